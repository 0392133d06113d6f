/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of the control queue, good and bad, and what they do to others. How a command gets
 * from the ring to its answer is test_net_control_queue.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "net_command.h"

#define BIT(b) (1ull << (b))

static struct net_rig rig;

static void begin(uint64_t features_off)
{
	struct net_rig_options options = {.features_off = features_off};

	net_rig_open(&rig, &options);
	/* With MQ away the control queue would be queue 2. */
	assert_false(features_off >> NET_F_MQ & 1);
	net_rig_start_all(&rig);
}

static void end(void)
{
	net_rig_close(&rig);
}

static void test_rx_modes(void **state)
{
	(void)state;
	begin(0);
	assert_true(net_rig_rules(&rig)->filter_macs);
	for (uint8_t mode = 0; mode < 6; mode++) {
		const struct net_rules *rules;
		bool flags[6];

		assert_int_equal(net_command_u8(&rig, RX, mode, 2), NET_ERR);
		assert_int_equal(net_rig_do(&rig, RX, mode, NULL, 0), NET_ERR);
		assert_int_equal(net_rig_do(&rig, RX, mode, "\1\1", 2), NET_ERR);
		assert_int_equal(net_command_u8(&rig, RX, mode, 1), NET_OK);
		rules = net_rig_rules(&rig);
		flags[0] = rules->promisc;
		flags[1] = rules->allmulti;
		flags[2] = rules->alluni;
		flags[3] = rules->nomulti;
		flags[4] = rules->nouni;
		flags[5] = rules->nobcast;
		for (unsigned i = 0; i < 6; i++)
			assert_int_equal(flags[i], i == mode);
		assert_int_equal(net_command_u8(&rig, RX, mode, 0), NET_OK);
	}
	assert_int_equal(net_command_u8(&rig, RX, 6, 1), NET_ERR);
	assert_int_equal(net_command_u8(&rig, RX, 255, 1), NET_ERR);
	assert_false(net_rig_state(&rig).promisc);
	end();
}

/* unicast_cnt and multicast_cnt are what the tables say, macs what there is. */
static uint8_t set_tables(uint32_t unicast_said, uint32_t unicast_cnt, uint32_t multicast_said,
			  uint32_t multicast_cnt, uint32_t surplus)
{
	static uint8_t data[NET_COMMAND_BYTES_MAX];
	struct le32 cnt = le32_of(unicast_said);
	uint8_t *at = data;

	memset(data, 0, sizeof(data));
	memcpy(at, &cnt, 4);
	at += 4;
	for (uint32_t i = 0; i < unicast_cnt; i++, at += 6)
		memcpy(at, (uint8_t[]){2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i}, 6);
	cnt = le32_of(multicast_said);
	memcpy(at, &cnt, 4);
	at += 4;
	for (uint32_t i = 0; i < multicast_cnt; i++, at += 6)
		memcpy(at, (uint8_t[]){1, 0, 0x5e, 0, (uint8_t)(i >> 8), (uint8_t)i}, 6);
	at += surplus;
	return net_rig_do(&rig, MAC, 0, data, (uint32_t)(at - data));
}

static void test_mac_table(void **state)
{
	const struct net_rules *rules;

	(void)state;
	begin(0);
	assert_int_equal(set_tables(3, 3, 2, 2, 0), NET_OK);
	rules = net_rig_rules(&rig);
	assert_int_equal(rules->unicast_cnt, 3);
	assert_int_equal(rules->multicast_cnt, 2);
	assert_memory_equal(rules->unicast[2], ((uint8_t[]){2, 0, 0, 0, 0, 2}), 6);
	assert_memory_equal(rules->multicast[1], ((uint8_t[]){1, 0, 0x5e, 0, 0, 1}), 6);
	/* bad ones leave it */
	assert_int_equal(set_tables(4, 3, 2, 2, 0), NET_ERR);
	assert_int_equal(set_tables(3, 3, 3, 2, 0), NET_ERR);
	assert_int_equal(set_tables(3, 3, 2, 2, 1), NET_ERR);
	assert_int_equal(set_tables(0xffffffff, 3, 2, 2, 0), NET_ERR);
	assert_int_equal(set_tables(0x2aaaaaab, 3, 2, 2, 0), NET_ERR); /* * 6 wraps to 2 */
	assert_int_equal(net_rig_do(&rig, MAC, 0, "\0\0\0\0", 4), NET_ERR);
	assert_int_equal(net_rig_do(&rig, MAC, 0, "\0\0\0\0\0\0\0", 7), NET_ERR);
	assert_int_equal(net_rig_do(&rig, MAC, 0, NULL, 0), NET_ERR);
	assert_int_equal(net_rig_rules(&rig)->unicast_cnt, 3);
	/* exactly full */
	assert_int_equal(set_tables(NET_MAC_TABLE_MAX, NET_MAC_TABLE_MAX, NET_MAC_TABLE_MAX,
				    NET_MAC_TABLE_MAX, 0),
			 NET_OK);
	assert_int_equal(net_rig_rules(&rig)->multicast_cnt, NET_MAC_TABLE_MAX);
	assert_false(net_rig_rules(&rig)->alluni);
	/* too long: all of that kind pass */
	assert_int_equal(set_tables(NET_MAC_TABLE_MAX + 1, NET_MAC_TABLE_MAX + 1, 1, 1, 0), NET_OK);
	rules = net_rig_rules(&rig);
	assert_true(rules->alluni && !rules->allmulti);
	assert_int_equal(rules->multicast_cnt, 1);
	assert_true(net_rig_state(&rig).unicast_overflow);
	assert_int_equal(set_tables(1, 1, 500, 500, 0), NET_OK);
	rules = net_rig_rules(&rig);
	assert_true(!rules->alluni && rules->allmulti);
	assert_int_equal(set_tables(0, 0, 0, 0, 0), NET_OK);
	rules = net_rig_rules(&rig);
	assert_true(!rules->alluni && !rules->allmulti && !rules->unicast_cnt);
	end();
}

static void test_mac_address(void **state)
{
	static const uint8_t mac[7] = {2, 1, 2, 3, 4, 5, 6};
	uint8_t config[6];
	struct err err = ERR_INIT;

	(void)state;
	begin(0);
	assert_int_equal(net_rig_do(&rig, MAC, 1, mac, 5), NET_ERR);
	assert_int_equal(net_rig_do(&rig, MAC, 1, mac, 7), NET_ERR);
	assert_int_equal(net_rig_do(&rig, MAC, 1, "\3\1\2\3\4\5", 6), NET_ERR); /* a group */
	assert_int_equal(net_rig_do(&rig, MAC, 2, mac, 6), NET_ERR);
	assert_memory_equal(net_rig_rules(&rig)->mac, rig.net.options.mac, 6);
	assert_int_equal(net_rig_do(&rig, MAC, 1, mac, 6), NET_OK);
	assert_memory_equal(net_rig_rules(&rig)->mac, mac, 6);
	assert_int_equal(device_config_read(&rig.net.device, 0, 6, config, &err), 0);
	assert_memory_equal(config, mac, 6);
	assert_memory_equal(net_rig_state(&rig).mac, mac, 6);
	end();
}

/* Without an address of ours we do not know the driver's, before it says so. */
static void test_no_mac(void **state)
{
	struct net_rig_options options = {.no_mac = true};

	(void)state;
	net_rig_open(&rig, &options);
	net_rig_start_all(&rig);
	assert_true(net_rig_rules(&rig)->alluni);
	assert_int_equal(net_rig_do(&rig, MAC, 1, "\2\1\2\3\4\5", 6), NET_OK);
	assert_false(net_rig_rules(&rig)->alluni);
	end();
}

static void test_vlans(void **state)
{
	(void)state;
	begin(0);
	assert_true(net_rig_rules(&rig)->filter_vlans);
	assert_int_equal(net_command_u16(&rig, VLAN, 0, 0), NET_OK);
	assert_int_equal(net_command_u16(&rig, VLAN, 0, 4095), NET_OK);
	assert_int_equal(net_command_u16(&rig, VLAN, 0, 4095), NET_OK);
	assert_int_equal(net_rig_rules(&rig)->vlans[63], 1ull << 63);
	assert_int_equal(net_rig_rules(&rig)->vlans[0], 1);
	assert_int_equal(net_rig_state(&rig).vlan_cnt, 2);
	assert_int_equal(net_command_u16(&rig, VLAN, 0, 4096), NET_ERR);
	assert_int_equal(net_command_u16(&rig, VLAN, 1, 65535), NET_ERR);
	assert_int_equal(net_command_u16(&rig, VLAN, 2, 1), NET_ERR);
	assert_int_equal(net_command_u8(&rig, VLAN, 0, 1), NET_ERR);
	assert_int_equal(net_rig_do(&rig, VLAN, 0, "\1\0\0", 3), NET_ERR);
	assert_int_equal(net_command_u16(&rig, VLAN, 1, 4095), NET_OK);
	assert_int_equal(net_command_u16(&rig, VLAN, 1, 7), NET_OK);
	assert_int_equal(net_rig_state(&rig).vlan_cnt, 1);
	end();
}

/* CVE-2013-4150: more pairs than there are. */
static void test_pairs_beyond_max(void **state)
{
	static const uint16_t bad[] = {0, NET_RIG_PAIRS + 1, 64, 0x8000, 0xffff};

	(void)state;
	begin(0);
	assert_int_equal(net_rig_switch.receivers, 1);
	assert_int_equal(net_command_u16(&rig, MQ, 0, NET_RIG_PAIRS), NET_OK);
	assert_int_equal(net_rig_switch.receivers, NET_RIG_PAIRS);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(net_command_u16(&rig, MQ, 0, bad[i]), NET_ERR);
		assert_int_equal(net_rig_switch.receivers, NET_RIG_PAIRS);
		assert_int_equal(net_rig_state(&rig).pairs, NET_RIG_PAIRS);
	}
	assert_int_equal(net_command_u8(&rig, MQ, 0, 1), NET_ERR);
	assert_int_equal(net_rig_do(&rig, MQ, 0, "\1\0\0\0", 4), NET_ERR);
	assert_int_equal(net_command_u16(&rig, MQ, 1, 1), NET_ERR); /* too short: test_net_rss.c */
	assert_int_equal(net_command_u16(&rig, MQ, 2, 1), NET_ERR);
	assert_int_equal(net_command_u16(&rig, MQ, 0, 1), NET_OK);
	assert_int_equal(net_rig_switch.receivers, 1);
	end();
}

static void test_offloads(void **state)
{
	const uint64_t all = BIT(NET_F_GUEST_CSUM) | BIT(NET_F_GUEST_TSO4) | BIT(NET_F_GUEST_TSO6) |
			     BIT(NET_F_GUEST_ECN) | BIT(NET_F_GUEST_UFO) | BIT(NET_F_GUEST_USO4);

	(void)state;
	begin(BIT(NET_F_GUEST_USO6));
	assert_int_equal(net_rig_state(&rig).guest_offloads, all);
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, BIT(NET_F_GUEST_CSUM)), NET_OK);
	assert_true(net_rig_rules(&rig)->guest_csum);
	assert_false(net_rig_rules(&rig)->guest_tso4);
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, all), NET_OK);
	assert_true(net_rig_rules(&rig)->guest_uso4 && net_rig_rules(&rig)->guest_ecn);
	/* not negotiated, no offload, unknown */
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, BIT(NET_F_GUEST_USO6)), NET_ERR);
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, BIT(NET_F_CSUM)), NET_ERR);
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, UINT64_MAX), NET_ERR);
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 1, 0), NET_ERR);
	assert_int_equal(net_rig_do(&rig, OFFLOADS, 0, "\2\0\0\0", 4), NET_ERR);
	assert_int_equal(net_rig_state(&rig).guest_offloads, all);
	/* Linux counts it among them: not refused, and nothing more */
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, all | BIT(NET_F_GUEST_HDRLEN)), NET_OK);
	assert_int_equal(net_rig_state(&rig).guest_offloads, all);
	/* what needs another has no effect without it */
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, BIT(NET_F_GUEST_TSO4)), NET_OK);
	assert_false(net_rig_rules(&rig)->guest_tso4);
	assert_int_equal(net_command_u64(&rig, OFFLOADS, 0, 0), NET_OK);
	assert_false(net_rig_rules(&rig)->guest_csum);
	end();
}

static uint8_t status_byte(void)
{
	struct err err = ERR_INIT;
	uint8_t status;

	assert_int_equal(device_config_read(&rig.net.device, 6, 1, &status, &err), 0);
	return status;
}

static void test_announce(void **state)
{
	(void)state;
	begin(0);
	net_device_announce(&rig.net.device);
	assert_int_equal(rig.config_changes, 1);
	assert_int_equal(status_byte(), 3);
	assert_int_equal(net_command_u8(&rig, ANNOUNCE, 0, 0), NET_ERR);
	assert_int_equal(net_rig_do(&rig, ANNOUNCE, 1, NULL, 0), NET_ERR);
	assert_int_equal(status_byte(), 3);
	assert_int_equal(net_rig_do(&rig, ANNOUNCE, 0, NULL, 0), NET_OK);
	assert_int_equal(status_byte(), 1);
	assert_int_equal(net_rig_switch.sent, 0);
	end();
	/* one that cannot is announced */
	begin(BIT(NET_F_GUEST_ANNOUNCE));
	net_device_announce(&rig.net.device);
	net_rig_ping(&rig);
	assert_int_equal(status_byte(), 1);
	assert_int_equal(net_rig_switch.sent, 1);
	assert_memory_equal(net_rig_switch.head + 6, rig.net.options.mac, 6);
	end();
}

/* A class that was not negotiated, one after the other. */
static void test_not_negotiated(void **state)
{
	static const struct {
		unsigned feature;
		uint8_t class, number, bytes;
	} rows[] = {
		{NET_F_CTRL_RX, RX, 0, 1},
		{NET_F_CTRL_RX, RX, 1, 1},
		{NET_F_CTRL_RX_EXTRA, RX, 2, 1},
		{NET_F_CTRL_RX_EXTRA, RX, 5, 1},
		{NET_F_CTRL_RX, MAC, 0, 8},
		{NET_F_CTRL_MAC_ADDR, MAC, 1, 6},
		{NET_F_CTRL_VLAN, VLAN, 0, 2},
		{NET_F_CTRL_VLAN, VLAN, 1, 2},
		{NET_F_GUEST_ANNOUNCE, ANNOUNCE, 0, 0},
		{NET_F_CTRL_GUEST_OFFLOADS, OFFLOADS, 0, 8},
		{NET_F_DEVICE_STATS, STATS, 0, 0},
	};
	static const uint8_t zeroes[8];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		begin(BIT(rows[i].feature));
		assert_int_equal(net_rig_do(&rig, rows[i].class, rows[i].number, zeroes,
					    rows[i].bytes),
				 NET_ERR);
		end();
	}
	begin(0);
	for (unsigned class = 0; class < 256; class ++) {
		if (class <= NOTF_COAL || class == STATS)
			continue;
		assert_int_equal(net_rig_do(&rig, (uint8_t) class, 0, zeroes, 8), NET_ERR);
	}
	assert_int_equal(net_command_stats(&rig).control_refused, 256 - 8);
	assert_int_equal(net_command_stats(&rig).control_commands, 256 - 8);
	end();
}

struct asked {
	struct le16 idx;
	struct le16 reserved[3];
	struct le64 types;
};

static struct asked ask(uint16_t idx, uint64_t types)
{
	return (struct asked){.idx = le16_of(idx), .types = le64_of(types)};
}

static struct net_rig_answer ask_stats(const struct asked *asked, uint32_t cnt, uint32_t in_bytes)
{
	rig.out[0] = STATS;
	rig.out[1] = 1;
	memcpy(rig.out + 2, asked, cnt * sizeof(*asked));
	return net_rig_command(&rig, 2 + cnt * (uint32_t)sizeof(*asked), in_bytes, 0);
}

static void test_stats(void **state)
{
	const uint64_t all = BIT(32) | BIT(0) | BIT(16);
	static const uint8_t cvq_header[8] = {32, 0, NET_RIG_CONTROL, 0, 0, 0, 24, 0};
	static const uint8_t tx_header[8] = {16, 0, 3, 0, 0, 0, 56, 0};
	struct net_rig_answer answer;
	struct asked asked[3];
	struct net_queue *tx;

	(void)state;
	begin(0);
	rig.out[0] = STATS;
	rig.out[1] = 0;
	answer = net_rig_command(&rig, 2, 9, 0);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 9);
	assert_int_equal(net_command_answer_u64(&rig, 1), all);
	assert_int_equal(net_rig_do(&rig, STATS, 2, NULL, 0), NET_ERR);
	tx = net_of_queue(device_queue_get(&rig.net.device, 3));
	store_relaxed(&tx->stats.tx_frames, 11);
	store_relaxed(&tx->stats.tx_bytes, 1100);
	store_relaxed(&tx->stats.tx_bad_gso, 2);
	store_relaxed(&tx->stats.tx_over_mtu, 3);
	asked[0] = ask(NET_RIG_CONTROL, BIT(32));
	asked[1] = ask(3, BIT(16));
	asked[2] = ask(0, BIT(0));
	answer = ask_stats(asked, 3, 1000);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 1 + 24 + 56 + 56);
	assert_memory_equal(rig.in + 1, cvq_header, 8);
	assert_int_equal(net_command_answer_u64(&rig, 9), 3);  /* this one is the third */
	assert_int_equal(net_command_answer_u64(&rig, 17), 2); /* of which one was refused */
	assert_memory_equal(rig.in + 25, tx_header, 8);
	assert_int_equal(net_command_answer_u64(&rig, 41), 11);
	assert_int_equal(net_command_answer_u64(&rig, 49), 1100);
	assert_int_equal(net_command_answer_u64(&rig, 65), 5);
	assert_int_equal(net_command_answer_u64(&rig, 73), 2);
	/* up to the room that there is */
	answer = ask_stats(asked, 3, 30);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 30);
	assert_int_equal(rig.in[30], NET_RIG_NO_ACK);
	answer = ask_stats(asked, 3, 1);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 1);
	/* nothing of a queue is not an error */
	asked[0] = ask(0, 0);
	assert_int_equal(ask_stats(asked, 1, 100).used_bytes, 1);
	end();
}

static void test_bad_stats(void **state)
{
	static struct asked asked[256];
	struct net_rig_answer answer;

	(void)state;
	begin(0);
	asked[0] = ask(0, BIT(0));
	for (unsigned i = 0; i < 6; i++) {
		static const struct {
			uint16_t idx;
			uint64_t types;
		} bad[] = {{NET_RIG_QUEUES, BIT(0)}, {0xffff, BIT(32)}, {0, BIT(16)}, {1, BIT(63)},
			   {NET_RIG_QUEUES, 0},      {0xffff, 0}};

		asked[1] = ask(bad[i].idx, bad[i].types);
		answer = ask_stats(asked, 2, 200);
		assert_int_equal(answer.ack, NET_ERR);
		assert_int_equal(answer.used_bytes, 1);
		assert_int_equal(rig.in[1], NET_RIG_NO_ACK);
	}
	assert_int_equal(net_rig_do(&rig, STATS, 1, NULL, 0), NET_ERR);
	assert_int_equal(net_rig_do(&rig, STATS, 1, asked, 15), NET_ERR);
	assert_int_equal(net_rig_do(&rig, STATS, 1, asked, 17), NET_ERR);
	assert_int_equal(net_rig_do(&rig, STATS, 0, asked, 1), NET_ERR);
	/* as many as fit in a command */
	for (unsigned i = 0; i < 255; i++)
		asked[i] = ask(1, BIT(16));
	answer = ask_stats(asked, 255, NET_RIG_BYTES);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 1 + 255 * 56);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rx_modes),       cmocka_unit_test(test_mac_table),
		cmocka_unit_test(test_mac_address),    cmocka_unit_test(test_no_mac),
		cmocka_unit_test(test_vlans),          cmocka_unit_test(test_pairs_beyond_max),
		cmocka_unit_test(test_offloads),       cmocka_unit_test(test_announce),
		cmocka_unit_test(test_not_negotiated), cmocka_unit_test(test_stats),
		cmocka_unit_test(test_bad_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
