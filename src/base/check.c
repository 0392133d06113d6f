/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when one of our own invariants does not hold: say so and abort.
 * Not reachable from bytes of a guest or a front end.
 */
#include "base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BACKTRACE_DEPTH 48

void check_failed(const char *expr, const char *file, int line)
{
	void *frames[BACKTRACE_DEPTH];
	int depth;

	fprintf(stderr, "pario: internal check failed: %s (%s:%d)\n", expr, file, line);
	depth = backtrace(frames, BACKTRACE_DEPTH);
	backtrace_symbols_fd(frames, depth, STDERR_FILENO);
	abort();
}
