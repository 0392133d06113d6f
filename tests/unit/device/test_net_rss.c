/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of class MQ: every rule of VIRTIO 1.3, 5.1.6.5.5 to 5.1.6.5.7 and of 5.1.6.4.3, with
 * what is sent and what comes of it. What is refused changes nothing.
 * Not where frames go (src/network, src/flow), and not the host's own policy (test_net_steer.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "net_command.h"
#include "net_steer_fake.h"

#define BIT(b) (1ull << (b))
#define PAIRS_SET 0
#define RSS_CONFIG 1
#define HASH_CONFIG 2

static struct net_rig rig;

static void begin(uint64_t features_off)
{
	struct net_rig_options options = {.features_off = features_off};

	net_steer_fake_reset();
	net_rig_open(&rig, &options);
	net_rig_start_all(&rig);
}

static void end(void)
{
	net_rig_close(&rig);
	net_steer_fake_reset();
}

/* A command in parts; each is written as it is said, right or wrong. */
struct rss {
	uint32_t types;
	uint32_t mask;
	uint16_t unclassified;
	uint32_t entries; /* that are there */
	uint16_t table[256];
	uint16_t max_tx_vq;
	uint8_t key_len;
	uint32_t key_bytes; /* that are there */
	uint8_t key[255];
};

/* Entries 0 and 1 in turns. */
static struct rss good(void)
{
	struct rss rss = {
		.types = HASH_TYPES_ALL,
		.mask = 127,
		.entries = 128,
		.max_tx_vq = 2,
		.key_len = 40,
		.key_bytes = 40,
	};

	for (unsigned i = 0; i < ARRAY_LEN(rss.table); i++)
		rss.table[i] = i & 1;
	memcpy(rss.key, toeplitz_key_default, sizeof(toeplitz_key_default));
	return rss;
}

static uint32_t put(uint8_t *to, uint32_t at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[at + i] = (uint8_t)(value >> 8 * i);
	return at + bytes;
}

static uint8_t send(const struct rss *rss, int more)
{
	static uint8_t data[2048];
	uint32_t at = put(data, 0, rss->types, 4);

	memset(data + 4, 0, sizeof(data) - 4);
	at = put(data, at, rss->mask, 2);
	at = put(data, at, rss->unclassified, 2);
	for (uint32_t i = 0; i < rss->entries; i++)
		at = put(data, at, rss->table[i], 2);
	at = put(data, at, rss->max_tx_vq, 2);
	at = put(data, at, rss->key_len, 1);
	memcpy(data + at, rss->key, rss->key_bytes);
	return net_rig_do(&rig, MQ, RSS_CONFIG, data, at + rss->key_bytes + (uint32_t)more);
}

static uint8_t send_hash(uint32_t types, uint64_t reserved, uint8_t key_len, uint32_t key_bytes)
{
	uint8_t data[300] = {0};
	uint32_t at = put(data, 0, types, 4);

	at = put(data, at, reserved, 8);
	at = put(data, at, key_len, 1);
	memcpy(data + at, toeplitz_key_symmetric,
	       key_bytes < TOEPLITZ_KEY_BYTES ? key_bytes : TOEPLITZ_KEY_BYTES);
	return net_rig_do(&rig, MQ, HASH_CONFIG, data, at + key_bytes);
}

static const struct steering_options *present(void)
{
	static const struct steering_options nothing;

	return net_steer_fake.present ? &net_steer_fake.present->options : &nothing;
}

static void test_accepted(void **state)
{
	struct rss rss = good();
	static struct net_steering_view view;

	(void)state;
	begin(0);
	assert_int_equal(present()->kind, STEERING_SPREAD);
	rss.unclassified = 1;
	rss.max_tx_vq = 1;
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(present()->kind, STEERING_TABLE);
	assert_false(present()->inner);
	assert_int_equal(present()->types, HASH_TYPES_ALL);
	assert_int_equal(present()->key_bytes, 40);
	assert_memory_equal(present()->key, toeplitz_key_default, 40);
	assert_int_equal(present()->table_cnt, 128);
	assert_memory_equal(present()->table, rss.table, 128 * sizeof(rss.table[0]));
	assert_int_equal(present()->unclassified, 1);
	/* Transmit queues are said, receive queues are those that are named. */
	assert_int_equal(rig.net.control->state.pairs, 1);
	assert_int_equal(net_rig_switch.receivers, 2);
	assert_int_equal(net_rig_state(&rig).pairs, 2);
	net_device_steering_view(&rig.net.device, &view);
	assert_true(view.by_guest && view.hash_report);
	assert_int_equal(view.types, HASH_TYPES_ALL);
	assert_int_equal(view.table_cnt, 128);
	assert_int_equal(view.unclassified, 1);
	assert_memory_equal(view.table, rss.table, 128 * sizeof(rss.table[0]));
	end();
}

/* Every number that is within what was offered. */
static void test_accepted_bounds(void **state)
{
	struct rss rss;

	(void)state;
	begin(0);
	for (unsigned cnt = 1; cnt <= 128; cnt *= 2) {
		rss = good();
		rss.mask = cnt - 1;
		rss.entries = cnt;
		assert_int_equal(send(&rss, 0), NET_OK);
		assert_int_equal(present()->table_cnt, cnt);
		assert_int_equal(net_rig_switch.receivers, cnt > 1 ? 2 : 1);
	}
	for (uint8_t bytes = 1; bytes <= 40; bytes++) {
		rss = good();
		rss.key_len = bytes;
		rss.key_bytes = bytes;
		assert_int_equal(send(&rss, 0), NET_OK);
		assert_int_equal(present()->key_bytes, bytes);
		/* What is left of a longer key is not in it. */
		if (bytes < 40)
			assert_int_equal(present()->key[bytes], 0);
	}
	for (unsigned type = 0; type < HASH_TYPE_MAX_; type++) {
		rss = good();
		rss.types = 1u << type;
		assert_int_equal(send(&rss, 0), NET_OK);
		assert_int_equal(present()->types, 1u << type);
	}
	end();
}

/* No types: all frames are unclassified, and there may be no key. */
static void test_no_types(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(0);
	rss.types = 0;
	rss.unclassified = 1;
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(present()->types, 0);
	assert_int_equal(present()->unclassified, 1);
	assert_null(net_rig_rules(&rig)->hash_key);
	rss.key_len = 0;
	rss.key_bytes = 0;
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(present()->kind, STEERING_TABLE);
	end();
}

static void expect_refused(const struct rss *rss, int more)
{
	static struct net_driver_state before;
	const struct net_rules *rules = net_rig_rules(&rig);
	const unsigned changes = net_steer_fake.changes;
	const unsigned receivers = net_rig_switch.receivers;

	memcpy(&before, &rig.net.control->state, sizeof(before));
	assert_int_equal(send(rss, more), NET_ERR);
	assert_memory_equal(&rig.net.control->state, &before, sizeof(before));
	assert_ptr_equal(net_rig_rules(&rig), rules);
	assert_int_equal(net_steer_fake.changes, changes);
	assert_int_equal(net_rig_switch.receivers, receivers);
}

static void test_table_no_power_of_two(void **state)
{
	static const uint32_t masks[] = {2, 4, 5, 6, 99, 126};

	(void)state;
	begin(0);
	for (unsigned i = 0; i < ARRAY_LEN(masks); i++) {
		struct rss rss = good();

		rss.mask = masks[i];
		rss.entries = masks[i] + 1;
		expect_refused(&rss, 0);
	}
	end();
}

static void test_table_too_long(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(0);
	rss.mask = 255;
	rss.entries = 256;
	expect_refused(&rss, 0);
	/* 65536 entries, which are not there: nor are they looked for. */
	rss.mask = 0xffff;
	expect_refused(&rss, 0);
	end();
}

static void test_table_queue_that_is_not_there(void **state)
{
	static const uint16_t bad[] = {NET_RIG_PAIRS, 63, 64, 0x7fff, 0x8000, 0x8001, 0xffff};

	(void)state;
	begin(0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		for (unsigned at = 0; at < 128; at += 127) {
			struct rss rss = good();

			rss.table[at] = bad[i];
			expect_refused(&rss, 0);
		}
	}
	end();
}

static void test_unclassified_queue_that_is_not_there(void **state)
{
	static const uint16_t bad[] = {NET_RIG_PAIRS, 64, 0x8000, 0xffff};

	(void)state;
	begin(0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct rss rss = good();

		rss.unclassified = bad[i];
		expect_refused(&rss, 0);
	}
	end();
}

static void test_max_tx_vq(void **state)
{
	static const uint16_t bad[] = {0, NET_RIG_PAIRS + 1, 64, 0x8000, 0xffff};

	(void)state;
	begin(0);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct rss rss = good();

		rss.max_tx_vq = bad[i];
		expect_refused(&rss, 0);
	}
	end();
}

static void test_key_too_long(void **state)
{
	(void)state;
	begin(0);
	for (unsigned bytes = 41; bytes <= 255; bytes += 107) {
		struct rss rss = good();

		rss.key_len = (uint8_t)bytes;
		rss.key_bytes = bytes;
		expect_refused(&rss, 0);
		assert_int_equal(send_hash(1, 0, (uint8_t)bytes, bytes), NET_ERR);
	}
	end();
}

static void test_types_without_key(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(0);
	rss.key_len = 0;
	rss.key_bytes = 0;
	expect_refused(&rss, 0);
	assert_int_equal(send_hash(1, 0, 0, 0), NET_ERR);
	end();
}

static void test_types_not_supported(void **state)
{
	(void)state;
	begin(0);
	for (unsigned bit = HASH_TYPE_MAX_; bit < 32; bit++) {
		struct rss rss = good();

		rss.types |= 1u << bit;
		expect_refused(&rss, 0);
		assert_int_equal(send_hash(1u << bit, 0, 40, 40), NET_ERR);
	}
	end();
}

/* Neither a byte less than the lengths in it say, nor more than one of padding. */
static void test_length(void **state)
{
	struct rss rss = good();
	uint8_t data[512] = {0};

	(void)state;
	begin(0);
	expect_refused(&rss, 2);
	expect_refused(&rss, 200);
	for (int less = 1; less <= 4 + 2 + 2 + 256 + 2 + 1 + 40; less++)
		expect_refused(&rss, -less);
	rss.key_bytes = 39;
	expect_refused(&rss, 0);
	rss.key_bytes = 42;
	expect_refused(&rss, 0);
	/* Linux pads what it sends. */
	rss.key_bytes = 40;
	assert_int_equal(send(&rss, 1), NET_OK);
	for (uint32_t bytes = 0; bytes < 13 + 40; bytes++) {
		put(data, 0, 1, 4);
		data[12] = 40;
		assert_int_equal(net_rig_do(&rig, MQ, HASH_CONFIG, data, bytes), NET_ERR);
	}
	assert_int_equal(net_rig_do(&rig, MQ, HASH_CONFIG, data, 13 + 42), NET_ERR);
	assert_int_equal(net_rig_do(&rig, MQ, HASH_CONFIG, data, 13 + 41), NET_OK);
	assert_int_equal(net_rig_do(&rig, MQ, HASH_CONFIG, data, 13 + 40), NET_OK);
	end();
}

static void test_no_such_command(void **state)
{
	(void)state;
	begin(0);
	for (unsigned number = 3; number < 256; number++)
		assert_int_equal(net_command_u16(&rig, MQ, (uint8_t)number, 1), NET_ERR);
	end();
}

/* Each command needs its own feature, and no other. */
static void test_features(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(BIT(NET_F_RSS));
	expect_refused(&rss, 0);
	assert_int_equal(send_hash(1, 0, 40, 40), NET_OK);
	assert_int_equal(net_command_u16(&rig, MQ, PAIRS_SET, 2), NET_OK);
	end();
	begin(BIT(NET_F_HASH_REPORT));
	assert_int_equal(send_hash(1, 0, 40, 40), NET_ERR);
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(net_rig_rules(&rig)->header_bytes, 12);
	assert_null(net_rig_rules(&rig)->hash_key);
	end();
	/* 5.1.2: the control queue is where it is with MQ. */
	begin(BIT(NET_F_MQ));
	assert_int_equal(net_command_u16(&rig, MQ, PAIRS_SET, 2), NET_ERR);
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(net_rig_switch.receivers, 2);
	end();
}

/* 5.1.6.5.5: the device is configured by the last command. */
static void test_last_command_counts(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(0);
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(present()->kind, STEERING_TABLE);
	/* automatic steering, over the pairs that are said */
	assert_int_equal(net_command_u16(&rig, MQ, PAIRS_SET, 2), NET_OK);
	assert_int_equal(present()->kind, STEERING_LEARN);
	assert_int_equal(net_command_u16(&rig, MQ, PAIRS_SET, 1), NET_OK);
	assert_int_equal(present()->kind, STEERING_SPREAD);
	assert_int_equal(net_rig_switch.receivers, 1);
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(present()->kind, STEERING_TABLE);
	assert_int_equal(net_rig_switch.receivers, 2);
	/* of hashes alone */
	assert_int_equal(send_hash(2, 0, 40, 40), NET_OK);
	assert_int_equal(present()->kind, STEERING_LEARN);
	assert_int_equal(net_rig_switch.receivers, 2);
	end();
}

/* HASH_REPORT: what receivers report is by the last parameters. */
static void test_hash_rules(void **state)
{
	struct rss rss = good();
	const struct net_rules *rules;

	(void)state;
	begin(0);
	rules = net_rig_rules(&rig);
	assert_true(rules->hash_report);
	assert_null(rules->hash_key);
	assert_int_equal(rules->hash_types, 0);
	/* reserved fields are not looked at */
	assert_int_equal(send_hash(5, 0x1122334455667788, 40, 40), NET_OK);
	rules = net_rig_rules(&rig);
	assert_int_equal(rules->hash_types, 5);
	assert_memory_equal(rules->hash_key->key, toeplitz_key_symmetric, 40);
	/* Nobody computes them but the receiver. */
	assert_int_equal(rules->hash_generation, 0);
	assert_int_equal(send(&rss, 0), NET_OK);
	rules = net_rig_rules(&rig);
	assert_int_equal(rules->hash_types, HASH_TYPES_ALL);
	assert_memory_equal(rules->hash_key->key, toeplitz_key_default, 40);
	assert_int_not_equal(rules->hash_generation, 0);
	assert_int_equal(rules->hash_generation, net_steer_fake.present->generation);
	/* another table, the same hashes */
	rss.table[0] = 1;
	assert_int_equal(send(&rss, 0), NET_OK);
	assert_int_equal(net_rig_rules(&rig)->hash_generation, net_steer_fake.present->generation);
	/* none any more */
	assert_int_equal(send_hash(0, 0, 0, 0), NET_OK);
	assert_null(net_rig_rules(&rig)->hash_key);
	assert_int_equal(net_rig_rules(&rig)->hash_generation, 0);
	assert_true(net_rig_rules(&rig)->hash_report);
	end();
}

/* The driver gets its answer when every worker has the table, and not before. */
static void test_answered_when_in_force(void **state)
{
	struct rss rss = good();
	uint8_t *ack;
	uint64_t deadline_ns = net_rig_deadline_ns();
	uint32_t at;

	(void)state;
	begin(0);
	ack = rig.in;
	net_steer_fake.hold = true;
	at = put(rig.out, 0, MQ, 1);
	at = put(rig.out, at, RSS_CONFIG, 1);
	at = put(rig.out, at, rss.types, 4);
	at = put(rig.out, at, 0, 2);
	at = put(rig.out, at, 1, 2);
	at = put(rig.out, at, 1, 2);
	at = put(rig.out, at, 2, 2);
	at = put(rig.out, at, 1, 1);
	at = put(rig.out, at, 0x6d, 1);
	*ack = NET_RIG_NO_ACK;
	net_rig_add(&rig, NET_RIG_CONTROL, 0, at, 1, 0);
	while (!net_steer_fake.pending)
		net_rig_turn(&rig, deadline_ns, "a change");
	net_rig_ping(&rig);
	assert_int_equal(*ack, NET_RIG_NO_ACK);
	assert_int_equal(net_steer_fake.pending->options.unclassified, 1);
	net_steer_fake_finish(0);
	assert_int_equal(net_rig_used(&rig, NET_RIG_CONTROL), 1);
	assert_int_equal(*ack, NET_OK);
	net_steer_fake.hold = false;
	end();
}

/* Without memory a command is refused, and all is as it was. */
static void test_no_memory(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(0);
	net_steer_fake.fails = true;
	expect_refused(&rss, 0);
	net_steer_fake.fails = false;
	assert_int_equal(send(&rss, 0), NET_OK);
	rss.unclassified = 1;
	net_steer_fake.fails = true;
	expect_refused(&rss, 0);
	net_steer_fake.fails = false;
	assert_int_equal(present()->unclassified, 0);
	end();
}

static void test_forgotten(void **state)
{
	struct rss rss = good();

	(void)state;
	begin(0);
	assert_int_equal(send(&rss, 0), NET_OK);
	/* paused: the front end's word counts; and resumed */
	net_rig_stop(&rig, NET_RIG_CONTROL);
	assert_int_equal(present()->kind, STEERING_LEARN);
	assert_null(net_rig_rules(&rig)->hash_key);
	net_rig_start_at(&rig, NET_RIG_CONTROL, true,
			 device_queue_base(&rig.net.device, NET_RIG_CONTROL));
	assert_int_equal(present()->kind, STEERING_TABLE);
	net_rig_ping(&rig);
	assert_int_equal(net_rig_rules(&rig)->hash_generation, net_steer_fake.present->generation);
	for (unsigned q = 0; q < NET_RIG_QUEUES; q++)
		net_rig_stop(&rig, q);
	device_reset(&rig.net.device);
	assert_int_equal(present()->kind, STEERING_SPREAD);
	assert_false(rig.net.control->state.rss);
	assert_int_equal(rig.net.control->state.hashing.types, 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_accepted_bounds),
		cmocka_unit_test(test_no_types),
		cmocka_unit_test(test_table_no_power_of_two),
		cmocka_unit_test(test_table_too_long),
		cmocka_unit_test(test_table_queue_that_is_not_there),
		cmocka_unit_test(test_unclassified_queue_that_is_not_there),
		cmocka_unit_test(test_max_tx_vq),
		cmocka_unit_test(test_key_too_long),
		cmocka_unit_test(test_types_without_key),
		cmocka_unit_test(test_types_not_supported),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_no_such_command),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_last_command_counts),
		cmocka_unit_test(test_hash_rules),
		cmocka_unit_test(test_answered_when_in_force),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
