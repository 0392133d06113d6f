/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network device tells the driver: features, config space, and the rules that follow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "net_control_rig.h"

#define BIT(b) (1ull << (b))
#define RINGS                                                                              \
	(BIT(DEVICE_F_VERSION_1) | BIT(DEVICE_F_INDIRECT_DESC) | BIT(DEVICE_F_EVENT_IDX) | \
	 BIT(DEVICE_F_RING_PACKED) | BIT(DEVICE_F_IN_ORDER))
#define ALWAYS                                                                                    \
	(BIT(NET_F_STATUS) | BIT(NET_F_CTRL_VQ) | BIT(NET_F_CTRL_RX) | BIT(NET_F_CTRL_RX_EXTRA) | \
	 BIT(NET_F_CTRL_VLAN) | BIT(NET_F_CTRL_MAC_ADDR) | BIT(NET_F_CTRL_GUEST_OFFLOADS) |       \
	 BIT(NET_F_GUEST_ANNOUNCE) | BIT(NET_F_DEVICE_STATS) | BIT(NET_F_GUEST_HDRLEN) |          \
	 BIT(NET_F_SPEED_DUPLEX) | BIT(NET_F_NOTF_COAL) | BIT(NET_F_VQ_NOTF_COAL) |               \
	 BIT(NET_F_HASH_REPORT))
#define MANY (BIT(NET_F_MQ) | BIT(NET_F_RSS))

static struct net_rig rig;
static const struct net_rig_options plain;

static uint64_t offered(struct net_options *options)
{
	return net_features_offered(options) & ~RINGS;
}

static void test_offered(void **state)
{
	struct net_options options = {.queue_pairs = 1};

	(void)state;
	assert_int_equal(offered(&options), ALWAYS);
	options.queue_pairs = 2;
	assert_int_equal(offered(&options), ALWAYS | MANY);
	options.mac_given = true;
	options.mtu = 1500;
	assert_int_equal(offered(&options), ALWAYS | MANY | BIT(NET_F_MAC) | BIT(NET_F_MTU));
	options = (struct net_options){.queue_pairs = 1,
				       .packed = true,
				       .in_order = true,
				       .event_idx = true,
				       .indirect = true};
	assert_int_equal(net_features_offered(&options), RINGS | ALWAYS);
}

/* Each offload is a bit of its own, and is not offered without those that it needs. */
static void test_offloads(void **state)
{
	static const struct {
		size_t option;
		unsigned feature;
		int needs[2]; /* one of them; -1: none */
	} rows[] = {
#define OFFLOAD(name) offsetof(struct net_offloads, name)
		{OFFLOAD(csum), NET_F_CSUM, {-1, -1}},
		{OFFLOAD(guest_csum), NET_F_GUEST_CSUM, {-1, -1}},
		{OFFLOAD(mrg_rxbuf), NET_F_MRG_RXBUF, {-1, -1}},
		{OFFLOAD(host_tso4), NET_F_HOST_TSO4, {NET_F_CSUM, -1}},
		{OFFLOAD(host_tso6), NET_F_HOST_TSO6, {NET_F_CSUM, -1}},
		{OFFLOAD(host_ufo), NET_F_HOST_UFO, {NET_F_CSUM, -1}},
		{OFFLOAD(host_uso), NET_F_HOST_USO, {NET_F_CSUM, -1}},
		{OFFLOAD(host_ecn), NET_F_HOST_ECN, {NET_F_HOST_TSO4, NET_F_HOST_TSO6}},
		{OFFLOAD(guest_tso4), NET_F_GUEST_TSO4, {NET_F_GUEST_CSUM, -1}},
		{OFFLOAD(guest_tso6), NET_F_GUEST_TSO6, {NET_F_GUEST_CSUM, -1}},
		{OFFLOAD(guest_ufo), NET_F_GUEST_UFO, {NET_F_GUEST_CSUM, -1}},
		{OFFLOAD(guest_uso4), NET_F_GUEST_USO4, {NET_F_GUEST_CSUM, -1}},
		{OFFLOAD(guest_uso6), NET_F_GUEST_USO6, {NET_F_GUEST_CSUM, -1}},
		{OFFLOAD(guest_ecn), NET_F_GUEST_ECN, {NET_F_GUEST_TSO4, NET_F_GUEST_TSO6}},
#undef OFFLOAD
	};

	(void)state;
	static_assert(ARRAY_LEN(rows) == sizeof(struct net_offloads), "each of them");
	for (unsigned set = 0; set < 1u << ARRAY_LEN(rows); set++) {
		struct net_options options = {.queue_pairs = 1};
		uint64_t features;

		for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
			((bool *)&options.offloads)[rows[i].option] = set >> i & 1;
		features = offered(&options);
		for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
			bool need = rows[i].needs[0] < 0;

			for (unsigned n = 0; n < 2; n++)
				need |= rows[i].needs[n] >= 0 && features >> rows[i].needs[n] & 1;
			assert_int_equal(features >> rows[i].feature & 1, (set >> i & 1) && need);
		}
	}
}

static void test_names(void **state)
{
	struct net_options all = {.queue_pairs = 2, .mac_given = true, .mtu = 1500};

	(void)state;
	memset(&all.offloads, 1, sizeof(all.offloads));
	for (unsigned bit = 0; bit < 64; bit++) {
		if (offered(&all) >> bit & 1)
			assert_non_null(net_feature_name(bit));
	}
	assert_string_equal(net_feature_name(NET_F_SPEED_DUPLEX), "SPEED_DUPLEX");
	assert_null(net_feature_name(4));
	assert_null(net_feature_name(200));
}

/* 5.1.2: the control queue's index moves with MQ. */
static void test_kinds(void **state)
{
	const uint64_t cvq = BIT(NET_F_CTRL_VQ), mq = BIT(NET_F_MQ), rss = BIT(NET_F_RSS);

	(void)state;
	assert_int_equal(net_queue_kind(cvq, 4, 0), NET_QUEUE_RX);
	assert_int_equal(net_queue_kind(cvq, 4, 1), NET_QUEUE_TX);
	assert_int_equal(net_queue_kind(cvq, 4, 2), NET_QUEUE_CONTROL);
	assert_int_equal(net_queue_kind(cvq, 4, 3), NET_QUEUE_NONE);
	assert_int_equal(net_queue_kind(cvq, 4, 8), NET_QUEUE_NONE);
	assert_int_equal(net_queue_kind(0, 4, 2), NET_QUEUE_NONE);
	assert_int_equal(net_queue_kind(cvq | mq, 4, 2), NET_QUEUE_RX);
	assert_int_equal(net_queue_kind(cvq | mq, 4, 7), NET_QUEUE_TX);
	assert_int_equal(net_queue_kind(cvq | mq, 4, 8), NET_QUEUE_CONTROL);
	assert_int_equal(net_queue_kind(cvq | rss, 4, 8), NET_QUEUE_CONTROL);
	assert_int_equal(net_queue_kind(mq, 4, 8), NET_QUEUE_NONE);
	assert_int_equal(net_queue_kind(cvq | mq, 4, 9), NET_QUEUE_NONE);
}

/* For placing: a pair is one vCPU's, and the control queue nobody's. */
static void test_groups(void **state)
{
	const struct net_rig_options without_mq = {.features_off = BIT(NET_F_MQ) | BIT(NET_F_RSS)};

	(void)state;
	net_rig_open(&rig, &plain);
	assert_int_equal(device_queue_group(&rig.net.device, 0), 0);
	assert_int_equal(device_queue_group(&rig.net.device, 1), 0);
	assert_int_equal(device_queue_group(&rig.net.device, 2), 1);
	assert_int_equal(device_queue_group(&rig.net.device, 3), 1);
	assert_int_equal(device_queue_group(&rig.net.device, 4), DEVICE_GROUP_ANY);
	net_rig_close(&rig);
	net_rig_open(&rig, &without_mq);
	assert_int_equal(device_queue_group(&rig.net.device, 1), 0);
	assert_int_equal(device_queue_group(&rig.net.device, 2), DEVICE_GROUP_ANY);
	net_rig_close(&rig);
}

static void read_config(void *data, uint32_t offset, uint32_t size)
{
	struct err err = ERR_INIT;

	assert_int_equal(device_config_read(&rig.net.device, offset, size, data, &err), 0);
}

static void test_config(void **state)
{
	static const uint8_t expected[28] = {
		0x52,
		0x54,
		0,
		1,
		2,
		3, /* mac */
		1,
		0, /* status: link up */
		NET_RIG_PAIRS,
		0, /* pairs */
		NET_RIG_MTU & 0xff,
		NET_RIG_MTU >> 8,
		10000 & 0xff,
		10000 >> 8,
		0,
		0,  /* speed */
		1,  /* full duplex */
		40, /* key bytes */
		128,
		0, /* entries of a table */
		0xff,
		1, /* hash types: all there are */
	};
	uint8_t config[28];
	uint8_t byte;

	(void)state;
	net_rig_open(&rig, &plain);
	read_config(config, 0, sizeof(config));
	assert_memory_equal(config, expected, sizeof(config));
	net_device_set_link(&rig.net.device, false);
	assert_int_equal(rig.config_changes, 1);
	read_config(&byte, 6, 1);
	assert_int_equal(byte, 0);
	assert_false(net_rig_state(&rig).link_up);
	net_device_set_link(&rig.net.device, false);
	assert_int_equal(rig.config_changes, 1);
	/* The link is not the driver's: a reset leaves it. */
	device_reset(&rig.net.device);
	assert_false(net_rig_state(&rig).link_up);
	net_device_set_link(&rig.net.device, true);
	assert_int_equal(rig.config_changes, 2);
	net_rig_close(&rig);
}

static int write_config(uint32_t offset, const void *data, uint32_t size)
{
	struct err err = ERR_INIT;

	return device_config_write(&rig.net.device, offset, size, data, &err);
}

static void test_config_write(void **state)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 9, 9, 9};
	struct err err = ERR_INIT;
	uint8_t config[6];

	(void)state;
	net_rig_open(&rig, &plain);
	assert_int_equal(write_config(0, mac, 6), -EPERM);
	/* legacy, but with the command */
	assert_int_equal(device_set_features(&rig.net.device, BIT(NET_F_CTRL_MAC_ADDR), &err), 0);
	assert_int_equal(write_config(0, mac, 6), -EPERM);
	assert_int_equal(device_set_features(&rig.net.device, BIT(NET_F_MAC), &err), 0);
	assert_int_equal(write_config(6, mac, 1), -EPERM);
	assert_int_equal(write_config(5, mac, 2), -EPERM);
	assert_int_equal(write_config(28, mac, 1), -EINVAL);
	assert_int_equal(write_config(0, mac, 0), 0);
	assert_memory_equal(net_rig_rules(&rig)->mac, rig.net.options.mac, 6);
	/* byte by byte: the filter follows with the last */
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(write_config(i, mac + i, 1), 0);
	assert_memory_equal(net_rig_rules(&rig)->mac, mac, 6);
	read_config(config, 0, 6);
	assert_memory_equal(config, mac, 6);
	device_reset(&rig.net.device);
	read_config(config, 0, 6);
	assert_memory_equal(config, rig.net.options.mac, 6);
	net_rig_close(&rig);
}

static void set_features(uint64_t features)
{
	struct err err = ERR_INIT;

	if (device_set_features(&rig.net.device, features, &err))
		fail_msg("%s", err.text);
}

static void test_rules(void **state)
{
	const struct net_rules *rules;

	(void)state;
	net_rig_open(&rig, &plain);
	rules = net_rig_rules(&rig);
	assert_int_equal(rules->header_bytes, 20);
	assert_true(rules->host_csum && rules->mergeable && rules->guest_csum &&
		    rules->guest_tso4 && rules->guest_tso6 && rules->guest_ecn &&
		    rules->guest_ufo && rules->guest_uso4 && rules->guest_uso6 &&
		    rules->guest_hdrlen);
	assert_int_equal(rules->host_gso, 1u << FRAME_GSO_TCP4 | 1u << FRAME_GSO_TCP6 |
						  1u << FRAME_GSO_UDP | 1u << FRAME_GSO_UDP_L4);
	assert_int_equal(rules->tx_frame_bytes_max, NET_RIG_MTU + 14);
	assert_int_equal(rules->rx_frame_bytes_max, NET_RIG_MTU + 14);
	/* no control queue runs: everything passes */
	assert_false(rules->filter_macs);
	assert_false(rules->filter_vlans);
	/* legacy */
	set_features(BIT(NET_F_MAC));
	assert_int_equal(net_rig_rules(&rig)->header_bytes, 10);
	set_features(BIT(NET_F_MRG_RXBUF));
	assert_int_equal(net_rig_rules(&rig)->header_bytes, 12);
	set_features(BIT(DEVICE_F_VERSION_1));
	assert_int_equal(net_rig_rules(&rig)->header_bytes, 12);
	assert_false(net_rig_rules(&rig)->hash_report);
	/* longer with whatever else, and no hash before one is asked for */
	set_features(BIT(NET_F_HASH_REPORT));
	assert_int_equal(net_rig_rules(&rig)->header_bytes, 20);
	set_features(BIT(DEVICE_F_VERSION_1) | BIT(NET_F_HASH_REPORT));
	assert_int_equal(net_rig_rules(&rig)->header_bytes, 20);
	assert_true(net_rig_rules(&rig)->hash_report);
	assert_null(net_rig_rules(&rig)->hash_key);
	net_rig_close(&rig);
}

/* A driver that takes bits without those that they need: they have no effect. */
static void test_dependencies(void **state)
{
	const uint64_t v1 = BIT(DEVICE_F_VERSION_1);
	const struct net_rules *rules;

	(void)state;
	net_rig_open(&rig, &plain);
	set_features(v1 | BIT(NET_F_HOST_TSO4) | BIT(NET_F_HOST_USO) | BIT(NET_F_GUEST_TSO4) |
		     BIT(NET_F_GUEST_UFO) | BIT(NET_F_GUEST_USO6) | BIT(NET_F_GUEST_ECN));
	rules = net_rig_rules(&rig);
	assert_false(rules->host_csum);
	assert_int_equal(rules->host_gso, 0);
	assert_false(rules->guest_csum || rules->guest_tso4 || rules->guest_ufo ||
		     rules->guest_uso6 || rules->guest_ecn);
	set_features(v1 | BIT(NET_F_GUEST_CSUM) | BIT(NET_F_GUEST_ECN) | BIT(NET_F_GUEST_USO4));
	rules = net_rig_rules(&rig);
	assert_true(rules->guest_csum && rules->guest_uso4);
	assert_false(rules->guest_ecn);
	net_rig_close(&rig);
}

static int say_mtu(uint64_t mtu)
{
	struct err err = ERR_INIT;
	int status = device_message(&rig.net.device, DEVICE_MESSAGE_MTU, mtu, &err);

	if (status)
		assert_non_null(strstr(err.text, "mtu"));
	return status;
}

static void test_mtu(void **state)
{
	uint8_t config[2];

	(void)state;
	net_rig_open(&rig, &plain);
	assert_int_equal(say_mtu(67), -EINVAL);
	assert_int_equal(say_mtu(NET_RIG_MTU + 1), -EINVAL);
	assert_int_equal(say_mtu(0x100000000 + 1000), -EINVAL);
	assert_int_equal(net_rig_state(&rig).mtu, NET_RIG_MTU);
	assert_int_equal(say_mtu(68), 0);
	assert_int_equal(say_mtu(1400), 0);
	assert_int_equal(net_rig_state(&rig).mtu, 1400);
	assert_int_equal(net_rig_rules(&rig)->rx_frame_bytes_max, 1414);
	read_config(config, 10, 2);
	assert_int_equal(config[0] | config[1] << 8, 1400);
	/* QEMU says it before the features */
	set_features(BIT(DEVICE_F_VERSION_1) | BIT(NET_F_MTU));
	assert_int_equal(net_rig_state(&rig).mtu, 1400);
	device_reset(&rig.net.device);
	assert_int_equal(net_rig_state(&rig).mtu, NET_RIG_MTU);
	rig.net.options.mtu = 0;
	assert_int_equal(say_mtu(1400), -EPERM);
	net_rig_close(&rig);
}

static int send_rarp(uint64_t value)
{
	struct err err = ERR_INIT;

	return device_message(&rig.net.device, DEVICE_MESSAGE_RARP, value, &err);
}

static void wait_sent(unsigned cnt)
{
	uint64_t deadline_ns = net_rig_deadline_ns();

	while (load_acquire(&net_rig_switch.sent) != cnt)
		net_rig_turn(&rig, deadline_ns, "an announcement");
	net_rig_ping(&rig);
}

static void test_rarp(void **state)
{
	static const uint8_t expected[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 7,    8,    9, 0x80,
		0x35, 0,    1,    8,    0,    6,    4,    0,    3, 0x52, 0x54, 0, 7,
		8,    9,    0,    0,    0,    0,    0x52, 0x54, 0, 7,    8,    9,
	};

	(void)state;
	net_rig_open(&rig, &plain);
	assert_int_equal(send_rarp(0x090807005453), -EINVAL); /* a group */
	assert_int_equal(send_rarp(0xffff090807005452), 0);   /* what follows is not looked at */
	wait_sent(1);
	assert_int_equal(net_rig_switch.bytes, 60);
	assert_memory_equal(net_rig_switch.head, expected, sizeof(expected));
	/* One at a time, also when others keep the frame. */
	net_rig_switch.keep = true;
	assert_int_equal(send_rarp(0x090807005452), 0);
	assert_int_equal(send_rarp(0x090807005452), -EBUSY);
	wait_sent(2);
	assert_int_equal(send_rarp(0x090807005452), -EBUSY);
	net_rig_return(&rig);
	/* The device may go while it is under way. */
	assert_int_equal(send_rarp(0x090807005452), 0);
	wait_sent(3);
	net_rarp_forget(&rig.net);
	rig.net.control->rarp = NULL;
	net_rig_return(&rig);
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offered),      cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_names),        cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_groups),       cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_write), cmocka_unit_test(test_rules),
		cmocka_unit_test(test_dependencies), cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_rarp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
