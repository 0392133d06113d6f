/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steering of a switch that does not exist, in place of network/: it notes what it is given, and
 * changes take as long as the test says.
 * Not the rest of the fake switch, which is net_control_rig.h's.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_NET_STEER_FAKE_H
#define PARIO_TESTS_UNIT_DEVICE_NET_STEER_FAKE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "flow/steering.h"
#include "network/netport.h"
#include "worker/join.h"

struct net_steer_fake {
	struct steering *present;
	unsigned changes;
	bool fails; /* changes find no memory */
	bool hold;  /* changes last until net_steer_fake_finish() */
	struct steering *pending;
	struct join *join;
	unsigned flows;
	uint64_t load[STEERING_TABLE_MAX]; /* carried since the table was set */
};
extern struct net_steer_fake net_steer_fake;

void net_steer_fake_finish(int status);
/* Nothing is pending. */
void net_steer_fake_reset(void);

#endif
