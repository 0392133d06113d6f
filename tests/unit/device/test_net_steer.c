/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's policy: what a port's steering is under which options and with how many queues in use,
 * changes that come while another is under way, and a table that follows the load.
 * Not the guest's commands (test_net_rss.c). The switch is a fake, and the load is what the test
 * says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "net_command.h"
#include "net_steer_fake.h"

#define BUCKETS 256

static struct net_rig rig;

static void begin(void)
{
	static const struct net_rig_options options;

	net_steer_fake_reset();
	net_rig_open(&rig, &options);
}

static void end(void)
{
	net_rig_close(&rig);
	net_steer_fake_reset();
}

/* So many receive queues run, and no control queue: the VMM keeps it. */
static void run_pairs(unsigned pairs)
{
	for (unsigned i = 0; i < NET_RIG_PAIRS; i++) {
		if (i < pairs && !rig.queues[2 * i].started)
			net_rig_start(&rig, 2 * i, true);
	}
	for (unsigned i = NET_RIG_PAIRS; i-- > pairs;) {
		if (rig.queues[2 * i].started)
			net_rig_stop(&rig, 2 * i);
	}
}

static struct net_steering host(enum net_steering_mode mode)
{
	struct net_steering steering = {
		.mode = mode,
		.interval_ms = 1,
		.types = HASH_TYPES_ALL,
		.key_bytes = TOEPLITZ_KEY_BYTES,
	};

	memcpy(steering.key, toeplitz_key_symmetric, sizeof(steering.key));
	return steering;
}

static void set(const struct net_steering *steering)
{
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	net_rig_wait_open(&wait);
	if (net_device_set_steering(&rig.net.device, steering, &wait.join, &err))
		fail_msg("%s", err.text);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
}

static const struct net_steering_view *view(void)
{
	static struct net_steering_view view;

	net_device_steering_view(&rig.net.device, &view);
	return &view;
}

static const struct steering_options *present(void)
{
	static const struct steering_options nothing;

	return net_steer_fake.present ? &net_steer_fake.present->options : &nothing;
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(net_steering_mode_name(NET_STEERING_LEARN), "learn");
	assert_string_equal(net_steering_mode_name(NET_STEERING_RSS), "rss");
	assert_string_equal(net_steering_mode_name(NET_STEERING_REBALANCE), "rebalance");
	assert_null(net_steering_mode_name(NET_STEERING_MODE_MAX_));
}

/* With a single queue in use there is nothing to be learnt or chosen. */
static void test_learn(void **state)
{
	struct net_steering steering = host(NET_STEERING_LEARN);

	(void)state;
	begin();
	run_pairs(1);
	assert_int_equal(net_steer_fake.changes, 0);
	run_pairs(2);
	assert_int_equal(present()->kind, STEERING_LEARN);
	assert_int_equal(net_steer_fake.changes, 1);
	net_steer_fake.flows = 7;
	assert_int_equal(view()->flows, 7);
	assert_int_equal(view()->mode, NET_STEERING_LEARN);
	assert_int_equal(view()->table_cnt, 0);
	/* of more queues the switch hears by itself */
	run_pairs(4);
	assert_int_equal(net_steer_fake.changes, 1);
	assert_false(present()->inner);
	steering.inner = true;
	set(&steering);
	assert_true(present()->inner);
	run_pairs(1);
	assert_int_equal(present()->kind, STEERING_SPREAD);
	assert_int_equal(view()->flows, 0);
	end();
}

/* Dealt out evenly where no table was given. */
static void test_rss_dealt(void **state)
{
	const struct net_steering steering = host(NET_STEERING_RSS);

	(void)state;
	begin();
	set(&steering);
	assert_int_equal(present()->kind, STEERING_SPREAD);
	for (unsigned pairs = 2; pairs <= NET_RIG_PAIRS; pairs++) {
		run_pairs(pairs);
		assert_int_equal(present()->kind, STEERING_TABLE);
		assert_int_equal(present()->types, HASH_TYPES_ALL);
		assert_memory_equal(present()->key, toeplitz_key_symmetric, TOEPLITZ_KEY_BYTES);
		assert_int_equal(present()->table_cnt, 128);
		for (unsigned i = 0; i < 128; i++)
			assert_int_equal(present()->table[i], i % pairs);
		assert_int_equal(present()->unclassified, 0);
	}
	net_steer_fake.load[3] = 17;
	assert_int_equal(view()->load[3], 17);
	assert_int_equal(view()->table[3], 3);
	end();
}

/* Entries count while their queue is in use; the share of the others is spread. */
static void test_rss_table_beyond_use(void **state)
{
	struct net_steering steering = host(NET_STEERING_RSS);
	static const uint16_t table[8] = {3, 3, 3, 3, 1, 1, 0, 3};
	static const uint16_t two[8] = {0, 1, 0, 1, 1, 1, 0, 1};

	(void)state;
	begin();
	steering.table_cnt = 8;
	memcpy(steering.table, table, sizeof(table));
	set(&steering);
	run_pairs(4);
	assert_int_equal(present()->table_cnt, 8);
	assert_memory_equal(present()->table, table, sizeof(table));
	run_pairs(2);
	assert_memory_equal(present()->table, two, sizeof(two));
	run_pairs(4);
	assert_memory_equal(present()->table, table, sizeof(table));
	end();
}

static void test_guest_before_host(void **state)
{
	const struct net_steering steering = host(NET_STEERING_RSS);
	/* one type, one entry: queue 2; key 6d 5a */
	static const uint8_t rss[] = {2, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0, 2, 0x6d, 0x5a};
	struct net_steering other = host(NET_STEERING_REBALANCE);

	(void)state;
	begin();
	set(&steering);
	net_rig_start_all(&rig);
	assert_int_equal(present()->kind, STEERING_SPREAD); /* one pair in use until it says more */
	assert_int_equal(net_rig_do(&rig, MQ, 1, rss, sizeof(rss)), NET_OK);
	assert_int_equal(present()->types, 2);
	assert_int_equal(present()->table[0], 2);
	assert_true(view()->by_guest);
	assert_int_equal(view()->mode, NET_STEERING_RSS);
	/* The host's wish waits, and no timer runs for it. */
	set(&other);
	assert_int_equal(present()->types, 2);
	assert_int_equal(view()->mode, NET_STEERING_REBALANCE);
	assert_true(view()->by_guest);
	assert_int_equal(net_command_u16(&rig, MQ, 0, 4), NET_OK);
	assert_int_equal(present()->types, HASH_TYPES_ALL);
	assert_int_equal(present()->table_cnt, BUCKETS);
	assert_false(view()->by_guest);
	end();
}

static void expect_refused(const struct net_steering *bad, const char *name)
{
	const unsigned changes = net_steer_fake.changes;
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	net_rig_wait_open(&wait);
	assert_int_equal(net_device_set_steering(&rig.net.device, bad, &wait.join, &err), -EINVAL);
	assert_non_null(strstr(err.text, name));
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
	assert_int_equal(net_steer_fake.changes, changes);
	assert_int_equal(view()->mode, NET_STEERING_RSS);
	assert_int_equal(view()->types, HASH_TYPES_ALL);
}

static void test_refused(void **state)
{
	struct net_steering bad = host(NET_STEERING_RSS);

	(void)state;
	begin();
	set(&bad);
	run_pairs(4);
	bad.mode = NET_STEERING_MODE_MAX_;
	expect_refused(&bad, "steering.mode");
	bad = host(NET_STEERING_RSS);
	bad.types = 0;
	expect_refused(&bad, "steering.types");
	bad.types = 1u << HASH_TYPE_MAX_;
	expect_refused(&bad, "steering.types");
	bad = host(NET_STEERING_RSS);
	bad.key_bytes = 0;
	expect_refused(&bad, "steering.key: 0 bytes");
	bad.key_bytes = TOEPLITZ_KEY_BYTES + 1;
	expect_refused(&bad, "steering.key: 41 bytes");
	bad = host(NET_STEERING_REBALANCE);
	bad.interval_ms = 0;
	expect_refused(&bad, "steering.interval");
	bad = host(NET_STEERING_RSS);
	bad.table_cnt = 3;
	expect_refused(&bad, "steering.table: 3 entries");
	bad.table_cnt = 2 * STEERING_TABLE_MAX;
	expect_refused(&bad, "steering.table: 1024 entries");
	bad.table_cnt = 4;
	bad.table[3] = NET_RIG_PAIRS;
	expect_refused(&bad, "entry 3 names queue pair 4");
	end();
}

/* Without memory: the old one is in force, and what was wanted comes with the next change. */
static void test_no_memory(void **state)
{
	const struct net_steering steering = host(NET_STEERING_RSS);
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	(void)state;
	begin();
	run_pairs(2);
	net_steer_fake.fails = true;
	net_rig_wait_open(&wait);
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &wait.join, &err), 0);
	assert_int_equal(net_rig_wait_done(&rig, &wait), -ENOMEM);
	assert_int_equal(present()->kind, STEERING_LEARN);
	net_steer_fake.fails = false;
	run_pairs(3);
	assert_int_equal(present()->kind, STEERING_TABLE);
	end();
}

/* One change at a time; what comes meanwhile is one more, and whoever waits hears of his own. */
static void test_one_change_at_a_time(void **state)
{
	struct net_steering steering = host(NET_STEERING_RSS);
	struct net_rig_wait first, second;
	struct err err = ERR_INIT;

	(void)state;
	begin();
	run_pairs(4);
	net_steer_fake.hold = true;
	net_rig_wait_open(&first);
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &first.join, &err), 0);
	join_done(&first.join, 0);
	assert_non_null(net_steer_fake.pending);
	net_rig_wait_open(&second);
	for (uint32_t types = 1; types <= 3; types++) {
		steering.types = types;
		assert_int_equal(
			net_device_set_steering(&rig.net.device, &steering, &second.join, &err), 0);
	}
	join_done(&second.join, 0);
	assert_int_equal(present()->kind, STEERING_LEARN);
	net_steer_fake_finish(0);
	assert_true(first.finished);
	assert_false(second.finished);
	assert_int_equal(present()->types, HASH_TYPES_ALL);
	assert_int_equal(net_steer_fake.pending->options.types, 3);
	net_steer_fake_finish(0);
	assert_true(second.finished);
	assert_null(net_steer_fake.pending);
	assert_int_equal(present()->types, 3);
	assert_int_equal(net_steer_fake.changes, 3);
	/* back and forth while one is under way: nothing follows */
	steering.types = 1;
	net_rig_wait_open(&first);
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &first.join, &err), 0);
	steering.types = 2;
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &first.join, &err), 0);
	steering.types = 1;
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &first.join, &err), 0);
	join_done(&first.join, 0);
	net_steer_fake_finish(0);
	assert_true(first.finished);
	assert_null(net_steer_fake.pending);
	net_steer_fake.hold = false;
	end();
}

/* The device goes while a change is under way, and another is wanted. */
static void test_device_goes(void **state)
{
	struct net_steering steering = host(NET_STEERING_REBALANCE);
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	(void)state;
	begin();
	run_pairs(2);
	net_steer_fake.hold = true;
	net_rig_wait_open(&wait);
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &wait.join, &err), 0);
	steering.types = 1;
	assert_int_equal(net_device_set_steering(&rig.net.device, &steering, &wait.join, &err), 0);
	join_done(&wait.join, 0);
	net_rig_close(&rig);
	assert_false(wait.finished);
	net_steer_fake_finish(0);
	assert_true(wait.finished);
	net_steer_fake_reset();
}

/* ---- rebalance ---- */

/* One elephant and a thousand mice, by bucket. */
static void make_rates(uint64_t *rates, uint64_t elephant)
{
	uint32_t seed = 1;

	memset(rates, 0, BUCKETS * sizeof(*rates));
	for (unsigned mouse = 0; mouse < 1000; mouse++) {
		seed = seed * 1664525 + 1013904223;
		rates[seed >> 24] += 10 + (seed >> 8 & 7);
	}
	rates[42] += elephant;
}

static uint64_t highest(const uint64_t *rates)
{
	uint64_t sum[NET_RIG_PAIRS] = {0}, most = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		sum[present()->table[i]] += rates[i];
	for (unsigned i = 0; i < NET_RIG_PAIRS; i++)
		most = sum[i] > most ? sum[i] : most;
	return most;
}

/* No assignment of buckets can be below the mean, or below the heaviest bucket. */
static uint64_t best(const uint64_t *rates)
{
	uint64_t total = 0, most = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		total += rates[i];
		most = rates[i] > most ? rates[i] : most;
	}
	total = (total + NET_RIG_PAIRS - 1) / NET_RIG_PAIRS;
	return total > most ? total : most;
}

static void carry(const uint64_t *rates)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		net_steer_fake.load[i] += rates[i];
}

/* Until so many intervals more have ended, each with something carried. */
static void carry_until(const uint64_t *rates, uint64_t balanced)
{
	uint64_t deadline_ns = net_rig_deadline_ns();

	while (view()->balanced < balanced) {
		carry(rates);
		net_rig_turn(&rig, deadline_ns, "a round that moves buckets");
	}
}

static void test_rebalance(void **state)
{
	static const uint64_t elephants[] = {2000, 4500, 9000};
	const struct net_steering steering = host(NET_STEERING_REBALANCE);
	static uint64_t rates[BUCKETS];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(elephants); i++) {
		uint16_t elephants_queue;

		begin();
		set(&steering);
		run_pairs(4);
		assert_int_equal(present()->table_cnt, BUCKETS);
		make_rates(rates, elephants[i]);
		assert_true(highest(rates) * 100 > best(rates) * 115);
		elephants_queue = present()->table[42];
		carry_until(rates, 1);
		assert_true(highest(rates) * 100 <= best(rates) * 115);
		/* Its neighbours go, not the elephant. */
		assert_int_equal(present()->table[42], elephants_queue);
		assert_memory_equal(view()->table, present()->table,
				    BUCKETS * sizeof(present()->table[0]));
		end();
	}
}

/* A load that is even, or none, moves nothing. */
static void test_rebalance_leaves_what_is_good(void **state)
{
	const struct net_steering steering = host(NET_STEERING_REBALANCE);
	static uint64_t rates[BUCKETS];
	uint64_t deadline_ns = net_rig_deadline_ns();
	unsigned changes;

	(void)state;
	begin();
	set(&steering);
	run_pairs(4);
	changes = net_steer_fake.changes;
	for (unsigned i = 0; i < BUCKETS; i++)
		rates[i] = 10;
	/* Loads are seen, so an interval has ended. */
	while (!view()->load[0]) {
		carry(rates);
		net_rig_turn(&rig, deadline_ns, "an interval");
	}
	assert_int_equal(view()->load[1], view()->load[0]);
	while (view()->load[0])
		net_rig_turn(&rig, deadline_ns, "an interval without load");
	assert_int_equal(net_steer_fake.changes, changes);
	assert_int_equal(view()->balanced, 0);
	end();
}

/* What was balanced stays when only the interval changes; other queues are dealt to anew. */
static void test_rebalance_keeps_its_table(void **state)
{
	struct net_steering steering = host(NET_STEERING_REBALANCE);
	static uint64_t rates[BUCKETS];
	uint16_t table[BUCKETS];

	(void)state;
	begin();
	set(&steering);
	run_pairs(4);
	make_rates(rates, 4500);
	carry_until(rates, 1);
	memcpy(table, present()->table, sizeof(table));
	steering.interval_ms = 1000000;
	set(&steering);
	assert_memory_equal(present()->table, table, sizeof(table));
	run_pairs(3);
	for (unsigned i = 0; i < BUCKETS; i++)
		assert_int_equal(present()->table[i], i % 3);
	end();
}

/* The load of one interval, not of all time, and a change under way is no ground for another. */
static void test_rebalance_under_way(void **state)
{
	const struct net_steering steering = host(NET_STEERING_REBALANCE);
	static uint64_t rates[BUCKETS];
	uint64_t deadline_ns = net_rig_deadline_ns();

	(void)state;
	begin();
	set(&steering);
	run_pairs(4);
	make_rates(rates, 4500);
	net_steer_fake.hold = true;
	carry_until(rates, 1);
	assert_non_null(net_steer_fake.pending);
	for (unsigned i = 0; i < 20; i++) {
		carry(rates);
		net_rig_turn(&rig, deadline_ns, "turns");
	}
	assert_int_equal(view()->balanced, 1);
	net_steer_fake.hold = false;
	net_steer_fake_finish(0);
	/* Another skew is seen for what it is. */
	memset(rates, 0, sizeof(rates));
	for (unsigned i = 0; i < BUCKETS; i++)
		rates[i] = present()->table[i] == 3 ? 100 : 1;
	carry_until(rates, 2);
	assert_true(highest(rates) * 100 <= best(rates) * 115);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_rss_dealt),
		cmocka_unit_test(test_rss_table_beyond_use),
		cmocka_unit_test(test_guest_before_host),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_one_change_at_a_time),
		cmocka_unit_test(test_device_goes),
		cmocka_unit_test(test_rebalance),
		cmocka_unit_test(test_rebalance_leaves_what_is_good),
		cmocka_unit_test(test_rebalance_keeps_its_table),
		cmocka_unit_test(test_rebalance_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
