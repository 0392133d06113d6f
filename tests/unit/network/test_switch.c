/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One switch on one worker: who gets a frame, what is dropped and counted.
 * Not several workers (test_exchange.c), not VLANs (test_vlan.c).
 */
#include "rig.h"

#include <string.h>

static struct {
	struct rig *rig;
	struct rig_port ports[RIG_PORTS_MAX];
	unsigned port_cnt;
	struct rig_sender sender;
} t;

static void begin(unsigned port_cnt, const struct netswitch_options *options)
{
	t.rig = rig_new(1, options, POLL_MODE_ADAPTIVE);
	t.port_cnt = port_cnt;
	for (unsigned i = 0; i < port_cnt; i++)
		rig_port_open(t.rig, &t.ports[i], NULL, 0);
	rig_sender_init(&t.sender, t.rig, 0);
}

static void end(void)
{
	rig_sender_fini(&t.sender);
	for (unsigned i = 0; i < t.port_cnt; i++)
		rig_port_close(&t.ports[i]);
	rig_free(t.rig);
}

static void send_one(unsigned port, uint64_t from, uint64_t to)
{
	const struct rig_head head = {.to = to, .from = from, .tci = RIG_NO_TAG};

	rig_send(&t.sender, &t.ports[port], &head, 1);
}

static void send_burst(unsigned port, uint64_t from, uint64_t to, unsigned cnt)
{
	struct rig_head heads[NETPORT_BURST];

	for (unsigned i = 0; i < cnt; i++)
		heads[i] = (struct rig_head){.to = to, .from = from, .tci = RIG_NO_TAG};
	rig_send(&t.sender, &t.ports[port], heads, cnt);
}

/* What each of the ports has been given since the last time. */
static void expect_frames(const unsigned *expected)
{
	for (unsigned i = 0; i < t.port_cnt; i++) {
		if (t.ports[i].queues[0].frame_cnt != expected[i])
			fail_msg("port %u has %u frames instead of %u", i,
				 t.ports[i].queues[0].frame_cnt, expected[i]);
		t.ports[i].queues[0].frame_cnt = 0;
	}
}
#define EXPECT(...) expect_frames((const unsigned[RIG_PORTS_MAX]){__VA_ARGS__})

static void test_floods_and_learns(void **state)
{
	(void)state;
	begin(3, NULL);
	send_one(0, rig_mac(1), rig_mac(2));
	EXPECT(0, 1, 1);
	send_one(1, rig_mac(2), rig_mac(1));
	EXPECT(1, 0, 0);
	send_burst(0, rig_mac(1), rig_mac(2), 32);
	EXPECT(0, 32, 0);
	send_one(2, rig_mac(3), RIG_BROADCAST);
	EXPECT(1, 1, 0);
	assert_int_equal(rig_stats(&t.ports[0]).flooded, 1);
	assert_int_equal(rig_stats(&t.ports[0]).in_frames, 33);
	assert_int_equal(rig_stats(&t.ports[0]).in_bytes, 33 * 60);
	assert_int_equal(rig_stats(&t.ports[1]).out_frames, 34);
	assert_int_equal(rig_stats(&t.ports[1]).out_bytes, 34 * 60);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floods_and_learns),
	};

	return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
