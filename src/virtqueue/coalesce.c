/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision when a call is due. Not the call (notify.c).
 */
#include "virtqueue/coalesce.h"

#include <stddef.h>

#include "base/compiler.h"

static const char *const mode_names[] = {"off", "static", "adaptive"};
_Static_assert(ARRAY_LEN(mode_names) == COALESCE_MODE_MAX_, "a name for each mode");

const char *coalesce_mode_name(enum coalesce_mode mode)
{
	return mode < COALESCE_MODE_MAX_ ? mode_names[mode] : NULL;
}
