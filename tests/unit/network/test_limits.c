/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a switch on one worker does not allow: ageing, floods, locked addresses, too many of them.
 * Not forwarding (test_switch.c).
 */
#include "lan.h"

#include <string.h>

#include "worker/join.h"

static void test_ages(void **state)
{
	const struct netswitch_options options = {.mac_aging_s = 10};
	const struct rig_head from_1 = {.to = rig_mac(2), .from = rig_mac(1), .tci = RIG_NO_TAG};
	const struct rig_head from_2 = {.to = rig_mac(1), .from = rig_mac(2), .tci = RIG_NO_TAG};
	const uint64_t start_ns = clock_now_ns();

	(void)state;
	begin(3, &options);
	rig_send_at(&t.sender, &t.ports[1], &from_2, 1, start_ns);
	EXPECT(1, 0, 1);
	rig_send_at(&t.sender, &t.ports[0], &from_1, 1, start_ns + 1);
	rig_send_at(&t.sender, &t.ports[0], &from_1, 1, start_ns + 10 * NS_PER_S - 1);
	EXPECT(0, 2, 0);
	rig_send_at(&t.sender, &t.ports[0], &from_1, 1, start_ns + 10 * NS_PER_S);
	EXPECT(0, 1, 1);
	/* The sender was heard of by its own frames all the time. */
	rig_send_at(&t.sender, &t.ports[1], &from_2, 1, start_ns + 19 * NS_PER_S);
	EXPECT(1, 0, 0);
	end();
}

static void test_storm(void **state)
{
	const struct netswitch_options options = {.flood_limit_pps = 100};
	const uint64_t start_ns = clock_now_ns();
	struct rig_head heads[NETPORT_BURST];
	struct netport_stats stats;

	(void)state;
	begin(2, &options);
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		heads[i] = (struct rig_head){
			.to = RIG_BROADCAST, .from = rig_mac(1), .tci = RIG_NO_TAG};
	/* A tenth of a second's share at once, then as many as the time brings. */
	rig_send_at(&t.sender, &t.ports[0], heads, NETPORT_BURST, start_ns);
	EXPECT(0, 10);
	rig_send_at(&t.sender, &t.ports[0], heads, NETPORT_BURST, start_ns + 50 * NS_PER_MS);
	EXPECT(0, 5);
	rig_send_at(&t.sender, &t.ports[0], heads, NETPORT_BURST, start_ns + 10 * NS_PER_S);
	EXPECT(0, 10);
	stats = rig_stats(&t.ports[0]);
	assert_int_equal(stats.flooded, 25);
	assert_int_equal(stats.drop_storm, 3 * NETPORT_BURST - 25);
	/* Others are not held to it, and neither are frames with one receiver. */
	heads[0] = (struct rig_head){.to = rig_mac(1), .from = rig_mac(2), .tci = RIG_NO_TAG};
	heads[1] = (struct rig_head){.to = RIG_BROADCAST, .from = rig_mac(2), .tci = RIG_NO_TAG};
	rig_send_at(&t.sender, &t.ports[1], heads, 2, start_ns + 10 * NS_PER_S);
	EXPECT(2, 0);
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		heads[i] =
			(struct rig_head){.to = rig_mac(2), .from = rig_mac(1), .tci = RIG_NO_TAG};
	rig_send_at(&t.sender, &t.ports[0], heads, NETPORT_BURST, start_ns + 10 * NS_PER_S);
	EXPECT(0, NETPORT_BURST);
	end();
}

/* With one other port, what nobody knows is for it: not flooded, and not held to the limit. */
static void test_lone_peer(void **state)
{
	const struct netswitch_options options = {.flood_limit_pps = 10};

	(void)state;
	begin(2, &options);
	for (unsigned i = 0; i < 4; i++)
		send_burst(0, rig_mac(1), rig_mac(9), NETPORT_BURST);
	EXPECT(0, 4 * NETPORT_BURST);
	assert_int_equal(rig_stats(&t.ports[0]).flooded, 0);
	assert_int_equal(rig_stats(&t.ports[0]).drop_storm, 0);
	/* It turns out to be behind the port that asks for it. */
	send_one(0, rig_mac(9), rig_mac(8));
	EXPECT(0, 1);
	send_one(0, rig_mac(1), rig_mac(9));
	EXPECT(0, 0);
	assert_int_equal(rig_stats(&t.ports[0]).drop_hairpin, 1);
	/* A third port: now it is flooding. */
	rig_port_open(t.rig, &t.ports[t.port_cnt++], NULL, 0);
	send_one(0, rig_mac(1), rig_mac(8));
	EXPECT(0, 1, 1);
	assert_int_equal(rig_stats(&t.ports[0]).flooded, 1);
	/* And without it as before. */
	rig_port_close(&t.ports[--t.port_cnt]);
	send_burst(0, rig_mac(1), rig_mac(8), NETPORT_BURST);
	EXPECT(0, NETPORT_BURST);
	assert_int_equal(rig_stats(&t.ports[0]).flooded, 1);
	end();
}

static void test_mac_lock(void **state)
{
	struct netport_options options = {.mac_lock = true};

	(void)state;
	begin(2, NULL);
	rig_mac_bytes(rig_mac(7), options.mac);
	send_one(1, rig_mac(7), rig_mac(1)); /* learnt, before it is locked */
	EXPECT(1, 0);
	rig_port_open(t.rig, &t.ports[2], &options, 0);
	t.port_cnt = 3;
	/* It never sent, and has its frames. */
	send_one(0, rig_mac(1), rig_mac(7));
	EXPECT(0, 0, 1);
	/* Nothing else comes from it. */
	send_one(2, rig_mac(8), rig_mac(1));
	send_one(2, rig_mac(8), RIG_BROADCAST);
	send_one(2, 0, rig_mac(1));
	EXPECT(0, 0, 0);
	assert_int_equal(rig_stats(&t.ports[2]).drop_spoofed, 3);
	send_one(2, rig_mac(7), rig_mac(1));
	EXPECT(1, 0, 0);
	/* Between good ones of a burst too. */
	send_burst(2, rig_mac(7), rig_mac(1), 3);
	send_one(2, rig_mac(1), rig_mac(7));
	EXPECT(3, 0, 0);
	/* Nobody takes the address. */
	send_one(1, rig_mac(7), rig_mac(1));
	send_one(0, rig_mac(1), rig_mac(7));
	EXPECT(1, 0, 1);
	/* When the port goes, anybody may. */
	rig_port_close(&t.ports[2]);
	t.port_cnt = 2;
	send_one(1, rig_mac(7), rig_mac(1));
	send_one(0, rig_mac(1), rig_mac(7));
	EXPECT(1, 1);
	end();
}

static unsigned changes;

static void change_finished(struct join *join)
{
	assert_int_equal(join->status, 0);
	changes++;
}

static void set_lock(unsigned port, bool mac_lock, uint64_t address)
{
	const unsigned before = changes;
	uint8_t mac[ETHER_MAC_BYTES];
	struct join join;

	rig_mac_bytes(address, mac);
	join_open(&join, change_finished);
	netport_set_lock(t.ports[port].port, mac_lock, mac, &join);
	join_done(&join, 0);
	rig_until(t.rig, changes > before);
}

/* No way that is known already gets around a lock that comes. */
static void test_lock_comes_and_goes(void **state)
{
	(void)state;
	begin(3, NULL);
	send_one(1, rig_mac(2), rig_mac(1));
	send_one(0, rig_mac(1), rig_mac(2));
	send_burst(0, rig_mac(1), rig_mac(2), 3);
	send_burst(1, rig_mac(2), rig_mac(1), 3);
	EXPECT(4, 4, 1);
	set_lock(0, true, rig_mac(7));
	send_burst(0, rig_mac(1), rig_mac(2), 3);
	EXPECT(0, 0, 0);
	assert_int_equal(rig_stats(&t.ports[0]).drop_spoofed, 3);
	/* The address that it had is not known any more, the one that it has is. */
	send_one(1, rig_mac(2), rig_mac(1));
	EXPECT(1, 0, 1);
	send_one(1, rig_mac(2), rig_mac(7));
	EXPECT(1, 0, 0);
	set_lock(0, false, rig_mac(7));
	send_one(1, rig_mac(2), rig_mac(7));
	EXPECT(1, 0, 1);
	send_burst(0, rig_mac(1), rig_mac(2), 3);
	EXPECT(0, 3, 0);
	end();
}

static void test_lock_of_two(void **state)
{
	struct netport_options options = {.mac_lock = true};

	(void)state;
	begin(1, NULL);
	rig_mac_bytes(rig_mac(7), options.mac);
	rig_port_open(t.rig, &t.ports[1], &options, 0);
	rig_port_open(t.rig, &t.ports[2], &options, 0);
	t.port_cnt = 3;
	send_one(0, rig_mac(1), rig_mac(7));
	EXPECT(0, 1, 0);
	rig_port_close(&t.ports[1]);
	t.ports[1] = t.ports[2];
	t.port_cnt = 1;
	send_one(0, rig_mac(1), rig_mac(7));
	assert_int_equal(t.ports[2].queues[0].frame_cnt, 1);
	rig_port_close(&t.ports[2]);
	end();
}

static void test_macs_per_port(void **state)
{
	const struct netswitch_options options = {.macs_per_port = 2};

	(void)state;
	begin(3, &options);
	for (unsigned i = 1; i <= 3; i++)
		send_one(0, rig_mac(i), RIG_BROADCAST);
	EXPECT(0, 3, 3);
	assert_int_equal(rig_stats(&t.ports[0]).learn_refused, 1);
	send_one(1, rig_mac(9), rig_mac(1));
	send_one(1, rig_mac(9), rig_mac(2));
	EXPECT(2, 0, 0);
	send_one(1, rig_mac(9), rig_mac(3));
	EXPECT(1, 0, 1);
	end();
}

static struct {
	unsigned cnt;
	struct netswitch_mac rows[8];
	bool done;
} macs;

static void macs_done(void *arg, const struct netswitch_mac *rows, int cnt)
{
	assert_ptr_equal(arg, &macs);
	assert_in_range(cnt, 0, ARRAY_LEN(macs.rows));
	macs.cnt = (unsigned)cnt;
	memcpy(macs.rows, rows, (size_t)cnt * sizeof(*rows));
	macs.done = true;
}

static void test_table_for_people(void **state)
{
	struct netport_options options = {.name = "locked", .mac_lock = true};
	uint8_t mac[ETHER_MAC_BYTES];
	unsigned found = 0;

	(void)state;
	begin(1, NULL);
	rig_mac_bytes(rig_mac(7), options.mac);
	rig_port_open(t.rig, &t.ports[1], &options, 0);
	t.port_cnt = 2;
	send_one(0, rig_mac(1), RIG_BROADCAST);
	netswitch_macs(t.rig->sw, macs_done, &macs);
	rig_until(t.rig, macs.done);
	assert_int_equal(macs.cnt, 2);
	for (unsigned i = 0; i < macs.cnt; i++) {
		const bool locked = macs.rows[i].locked;

		rig_mac_bytes(rig_mac(locked ? 7 : 1), mac);
		assert_memory_equal(macs.rows[i].mac, mac, 6);
		assert_int_equal(macs.rows[i].vlan, locked ? NETSWITCH_VLAN_ANY : 0);
		assert_string_equal(macs.rows[i].port, locked ? "locked" : "port");
		found += locked ? 1 : 16;
	}
	assert_int_equal(found, 17);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_lone_peer),
		cmocka_unit_test(test_mac_lock),
		cmocka_unit_test(test_lock_comes_and_goes),
		cmocka_unit_test(test_lock_of_two),
		cmocka_unit_test(test_macs_per_port),
		cmocka_unit_test(test_table_for_people),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
