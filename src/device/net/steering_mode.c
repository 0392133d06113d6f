/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of modes of steering, apart from what steers (steer.c): who reads configurations needs
 * no switch.
 */
#include <assert.h>

#include "base/compiler.h"
#include "device/net/net.h"

const char *net_steering_mode_name(enum net_steering_mode mode)
{
	static const char *const names[] = {
		[NET_STEERING_LEARN] = "learn",
		[NET_STEERING_RSS] = "rss",
		[NET_STEERING_REBALANCE] = "rebalance",
	};
	static_assert(ARRAY_LEN(names) == NET_STEERING_MODE_MAX_, "a name for each");

	return mode < NET_STEERING_MODE_MAX_ ? names[mode] : NULL;
}
