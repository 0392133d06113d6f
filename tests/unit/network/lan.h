/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch on one worker with some ports, each with one queue, and a sender for all of them.
 * Not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_LAN_H
#define PARIO_TESTS_UNIT_NETWORK_LAN_H

#include "rig.h"

struct lan {
	struct rig *rig;
	struct rig_port ports[RIG_PORTS_MAX];
	unsigned port_cnt;
	struct rig_sender sender;
};
extern struct lan t;

void begin(unsigned port_cnt, const struct netswitch_options *options);
void end(void);
void send_one(unsigned port, uint64_t from, uint64_t to);
void send_burst(unsigned port, uint64_t from, uint64_t to, unsigned cnt);

/* What each of the ports has been given since the last time. */
void expect_frames(const unsigned *expected);
#define EXPECT(...) expect_frames((const unsigned[RIG_PORTS_MAX]){__VA_ARGS__})

#endif
