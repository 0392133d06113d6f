/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch on one worker. Not a test.
 */
#include "lan.h"

struct lan t;

void begin(unsigned port_cnt, const struct netswitch_options *options)
{
	t.rig = rig_new(1, options, POLL_MODE_ADAPTIVE);
	t.port_cnt = port_cnt;
	for (unsigned i = 0; i < port_cnt; i++)
		rig_port_open(t.rig, &t.ports[i], NULL, 0);
	rig_sender_init(&t.sender, t.rig, 0);
}

void end(void)
{
	rig_sender_fini(&t.sender);
	for (unsigned i = 0; i < t.port_cnt; i++)
		rig_port_close(&t.ports[i]);
	rig_free(t.rig);
}

void send_one(unsigned port, uint64_t from, uint64_t to)
{
	const struct rig_head head = {.to = to, .from = from, .tci = RIG_NO_TAG};

	rig_send(&t.sender, &t.ports[port], &head, 1);
}

void send_burst(unsigned port, uint64_t from, uint64_t to, unsigned cnt)
{
	struct rig_head heads[NETPORT_BURST];

	for (unsigned i = 0; i < cnt; i++)
		heads[i] = (struct rig_head){.to = to, .from = from, .tci = RIG_NO_TAG};
	rig_send(&t.sender, &t.ports[port], heads, cnt);
}

void expect_frames(const unsigned *expected)
{
	for (unsigned i = 0; i < t.port_cnt; i++) {
		if (t.ports[i].queues[0].frame_cnt != expected[i])
			fail_msg("port %u has %u frames instead of %u", i,
				 t.ports[i].queues[0].frame_cnt, expected[i]);
		t.ports[i].queues[0].frame_cnt = 0;
	}
}
