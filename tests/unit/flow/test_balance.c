/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Balancing: against the best assignment (by trying all, or by a bound that none is below), on
 * loads that flows make through the real hash, round by round as control would ask.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "flow/balance.h"
#include "flow/steering.h"
#include "frames.h"

#define FLOWS 1001u /* one elephant and 1,000 mice */
#define MOVES_MAX STEERING_TABLE_MAX

static uint64_t random64(uint64_t *seed)
{
	uint8_t raw[8];

	frames_random(raw, sizeof(raw), seed);
	return (uint64_t)frames_be32(raw) << 32 | frames_be32(raw + 4);
}

/* The share of the fullest queue. long double: sums of loads near 2^64. */
static long double highest(const uint64_t *load, const uint16_t *table, unsigned bucket_cnt,
			   unsigned queue_cnt)
{
	long double sum[STEERING_QUEUES_MAX] = {0}, max = 0;

	for (unsigned i = 0; i < bucket_cnt; i++)
		sum[table[i]] += (long double)load[i];
	for (unsigned q = 0; q < queue_cnt; q++)
		max = sum[q] > max ? sum[q] : max;
	return max;
}

/* No assignment is below it. */
static long double bound(const uint64_t *load, unsigned bucket_cnt, unsigned queue_cnt)
{
	long double total = 0, largest = 0;

	for (unsigned i = 0; i < bucket_cnt; i++) {
		total += (long double)load[i];
		largest = (long double)load[i] > largest ? (long double)load[i] : largest;
	}
	return total / queue_cnt > largest ? total / queue_cnt : largest;
}

/* Applies a plan, each move of which must be from where its bucket is to another queue. */
static unsigned apply(const uint64_t *load, uint16_t *table, unsigned bucket_cnt,
		      unsigned queue_cnt, unsigned moves_max)
{
	static struct balance_move moves[MOVES_MAX];
	bool moved[STEERING_TABLE_MAX] = {false};
	unsigned cnt = balance_plan(load, table, bucket_cnt, queue_cnt, moves, moves_max);

	assert_true(cnt <= moves_max);
	for (unsigned i = 0; i < cnt; i++) {
		assert_true(moves[i].bucket < bucket_cnt && moves[i].to < queue_cnt);
		assert_int_equal(moves[i].from, table[moves[i].bucket]);
		assert_int_not_equal(moves[i].from, moves[i].to);
		assert_false(moved[moves[i].bucket]);
		moved[moves[i].bucket] = true;
		table[moves[i].bucket] = moves[i].to;
	}
	return cnt;
}

/* Takes 0 to queue_cnt - 1 for bucket `at` and the rest; queues have no names, so none is new
 * before the one below it is used. */
static void try_all(const uint64_t *load, unsigned at, unsigned cnt, unsigned queue_cnt,
		    unsigned used, uint64_t *sum, uint64_t *best)
{
	uint64_t max = 0;

	for (unsigned q = 0; q < used; q++)
		max = sum[q] > max ? sum[q] : max;
	if (max >= *best)
		return;
	if (at == cnt) {
		*best = max;
		return;
	}
	for (unsigned q = 0; q < queue_cnt && q <= used; q++) {
		sum[q] += load[at];
		try_all(load, at + 1, cnt, queue_cnt, q == used ? used + 1 : used, sum, best);
		sum[q] -= load[at];
	}
}

/* Few buckets, where one wrong move is much: at most 1.15 of the best that there is. */
static void test_best_of_all(void **state)
{
	uint64_t seed = 41;

	(void)state;
	for (unsigned round = 0; round < 60000; round++) {
		unsigned bucket_cnt = 2 + (unsigned)(random64(&seed) % 10);
		unsigned queue_cnt = 2 + (unsigned)(random64(&seed) % 4);
		uint64_t range = 1 + random64(&seed) % 100, best = UINT64_MAX, sum[5] = {0};
		uint64_t load[16];
		uint16_t table[16];
		long double got;

		for (unsigned i = 0; i < bucket_cnt; i++) {
			load[i] = random64(&seed) % range + range / (1 + round % 4);
			table[i] = (uint16_t)(random64(&seed) % queue_cnt);
		}
		try_all(load, 0, bucket_cnt, queue_cnt, 0, sum, &best);
		apply(load, table, bucket_cnt, queue_cnt, MOVES_MAX);
		got = highest(load, table, bucket_cnt, queue_cnt);
		if (got > 1.15L * (long double)best)
			fail_msg("round %u: %u buckets on %u queues: %.0Lf, best %llu", round,
				 bucket_cnt, queue_cnt, got, (unsigned long long)best);
	}
}

struct flows {
	uint32_t hash[FLOWS];
	uint64_t rate[FLOWS]; /* bytes a second */
};

/*
 * The elephant's share of all is elephant_percent; mice are as Zipf has them, or equal. Addresses
 * and ports are random, the bucket is the real hash's.
 */
static void make_flows(struct flows *flows, unsigned elephant_percent, bool zipf, uint64_t *seed)
{
	static struct toeplitz toeplitz;
	uint64_t mice = 0;

	toeplitz_init(&toeplitz, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	for (unsigned i = 0; i < FLOWS; i++) {
		uint8_t input[12];

		frames_random(input, sizeof(input), seed);
		flows->hash[i] = toeplitz_hash(&toeplitz, input, sizeof(input));
		flows->rate[i] = zipf ? 100000000 / (i + 10) : 1000000;
		mice += i ? flows->rate[i] : 0;
	}
	flows->rate[0] = mice * elephant_percent / (100 - elephant_percent);
}

/* One measured interval: rates vary by a tenth about their means. */
static void measure(const struct flows *flows, unsigned bucket_cnt, uint64_t interval_ns,
		    uint64_t *load, uint64_t *seed)
{
	memset(load, 0, bucket_cnt * sizeof(*load));
	for (unsigned i = 0; i < FLOWS; i++) {
		uint64_t percent = 90 + random64(seed) % 21;

		load[flows->hash[i] & (bucket_cnt - 1)] +=
			flows->rate[i] / 100 * percent * (interval_ns / 1000000) / 1000;
	}
}

/*
 * One elephant, 1,000 mice, 4 queues: from a round-robin table the first plan is at most 1.15 of
 * the bound, and so is every later interval; once it is, hardly anything moves any more.
 */
static void test_elephant(void **state)
{
	static const unsigned percents[] = {5, 10, 20, 25, 30, 50, 90};
	static struct flows flows;
	uint64_t seed = 42;
	unsigned later_moves = 0, intervals = 0;

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		unsigned bucket_cnt = round & 1 ? 128 : 256;
		uint64_t load[256];
		uint16_t table[256];

		make_flows(&flows, percents[round % 7], round & 2, &seed);
		for (unsigned i = 0; i < bucket_cnt; i++)
			table[i] = (uint16_t)(i % 4);
		/* Ten intervals of 100 ms. */
		for (unsigned interval = 0; interval < 10; interval++) {
			unsigned cnt;
			long double got, best;

			measure(&flows, bucket_cnt, 100000000, load, &seed);
			cnt = apply(load, table, bucket_cnt, 4, MOVES_MAX);
			got = highest(load, table, bucket_cnt, 4);
			best = bound(load, bucket_cnt, 4);
			if (got > 1.15L * best)
				fail_msg("round %u, interval %u: %.3Lf of the bound", round,
					 interval, got / best);
			later_moves += interval ? cnt : 0;
			intervals += interval != 0;
		}
	}
	assert_true(later_moves * 5 < intervals);
}

/* What is measured now is for what comes: the plan of one interval is good in the next one. */
static void test_next_interval(void **state)
{
	static struct flows flows;
	uint64_t seed = 43;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		uint64_t load[128];
		uint16_t table[128];

		make_flows(&flows, 20, round & 1, &seed);
		for (unsigned i = 0; i < 128; i++)
			table[i] = (uint16_t)(i % 4);
		measure(&flows, 128, 100000000, load, &seed);
		apply(load, table, 128, 4, MOVES_MAX);
		measure(&flows, 128, 100000000, load, &seed);
		assert_true(highest(load, table, 128, 4) <= 1.2L * bound(load, 128, 4));
	}
}

/* Less than a tenth to win: nothing moves; a little more: it does. */
static void test_hysteresis(void **state)
{
	/* 100 + d on queue 0, 100 - d on queue 1; all the difference could go. */
	uint64_t load[] = {100, 10, 90};
	uint16_t table[] = {0, 0, 1};

	(void)state;
	assert_int_equal(apply(load, table, 3, 2, MOVES_MAX), 0);
	load[1] = 11;
	load[2] = 89;
	assert_int_equal(apply(load, table, 3, 2, MOVES_MAX), 0);
	load[1] = 15;
	load[2] = 84;
	assert_int_equal(apply(load, table, 3, 2, MOVES_MAX), 1);
	assert_int_equal(table[1], 1);
}

/* An exchange, where no single bucket helps. */
static void test_exchange(void **state)
{
	const uint64_t load[] = {30, 20, 20, 30, 20};
	uint16_t table[] = {0, 0, 0, 1, 1};

	(void)state;
	/* Half an exchange would be worse than none. */
	assert_int_equal(apply(load, table, 5, 2, 1), 0);
	assert_int_equal(apply(load, table, 5, 2, MOVES_MAX), 2);
	assert_true(highest(load, table, 5, 2) == 60);
}

static void test_few_moves(void **state)
{
	uint64_t load[128];
	uint16_t table[128];

	(void)state;
	/* Balanced but for one bucket of which half a queue's load is made. */
	for (unsigned i = 0; i < 128; i++) {
		load[i] = 1000;
		table[i] = (uint16_t)(i % 4);
	}
	load[0] = 17000;
	assert_in_range(apply(load, table, 128, 4, MOVES_MAX), 1, 13);
	assert_true(highest(load, table, 128, 4) <= 37000);
}

/* An assignment from nothing: which queue has which part does not matter, so most stays. */
static void test_few_moves_afresh(void **state)
{
	const uint64_t load[] = {9, 3, 5, 7, 6, 7, 4, 7};
	uint16_t table[] = {0, 1, 1, 0, 0, 0, 1, 1};

	(void)state;
	assert_in_range(apply(load, table, 8, 2, MOVES_MAX), 1, 2);
	assert_true(highest(load, table, 8, 2) == 24);
}

static void test_moves_max(void **state)
{
	uint64_t seed = 44;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		unsigned moves_max = round % 8, rounds = 0, cnt;
		uint64_t load[128];
		uint16_t table[128];
		long double before;

		for (unsigned i = 0; i < 128; i++) {
			load[i] = random64(&seed) % 1000;
			table[i] = (uint16_t)(random64(&seed) % 2);
		}
		/* A few at a time make it as good in the end, and no time worse. */
		do {
			before = highest(load, table, 128, 4);
			cnt = apply(load, table, 128, 4, moves_max);
			assert_true(highest(load, table, 128, 4) <= before);
			assert_true(++rounds < 1000);
		} while (cnt);
		if (moves_max > 1)
			assert_true(highest(load, table, 128, 4) <= 1.15L * bound(load, 128, 4));
		else if (!moves_max)
			assert_int_equal(rounds, 1);
	}
}

static void test_nothing_to_do(void **state)
{
	uint64_t load[8] = {0};
	uint16_t table[8] = {0};

	(void)state;
	assert_int_equal(apply(load, table, 8, 4, MOVES_MAX), 0);
	assert_int_equal(apply(load, table, 0, 4, MOVES_MAX), 0);
	load[3] = 1;
	assert_int_equal(apply(load, table, 8, 4, MOVES_MAX), 0);
	for (unsigned i = 0; i < 8; i++)
		load[i] = i;
	assert_int_equal(apply(load, table, 8, 1, MOVES_MAX), 0);
}

static void test_largest_loads(void **state)
{
	static uint64_t load[STEERING_TABLE_MAX];
	static uint16_t table[STEERING_TABLE_MAX];

	(void)state;
	for (unsigned i = 0; i < STEERING_TABLE_MAX; i++)
		load[i] = UINT64_MAX - i % 3;
	apply(load, table, STEERING_TABLE_MAX, STEERING_QUEUES_MAX, MOVES_MAX);
	assert_true(highest(load, table, STEERING_TABLE_MAX, STEERING_QUEUES_MAX) <=
		    1.15L * bound(load, STEERING_TABLE_MAX, STEERING_QUEUES_MAX));
	/* One giant among what is nothing beside it. */
	memset(table, 0, sizeof(table));
	for (unsigned i = 1; i < STEERING_TABLE_MAX; i++)
		load[i] = 1ull << 60;
	load[0] = UINT64_MAX;
	apply(load, table, STEERING_TABLE_MAX, 4, MOVES_MAX);
	assert_true(highest(load, table, STEERING_TABLE_MAX, 4) <=
		    1.15L * bound(load, STEERING_TABLE_MAX, 4));
}

static void test_deterministic(void **state)
{
	static struct balance_move first[MOVES_MAX], second[MOVES_MAX];
	uint64_t load[256], seed = 45;
	uint16_t table[256], before[256];
	unsigned cnt;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		load[i] = random64(&seed) % 50;
		table[i] = before[i] = (uint16_t)(random64(&seed) % 3);
	}
	cnt = balance_plan(load, table, 256, 8, first, MOVES_MAX);
	assert_true(cnt > 0);
	assert_memory_equal(table, before, sizeof(table));
	assert_int_equal(balance_plan(load, table, 256, 8, second, MOVES_MAX), cnt);
	assert_memory_equal(first, second, cnt * sizeof(*first));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_best_of_all),      cmocka_unit_test(test_elephant),
		cmocka_unit_test(test_next_interval),    cmocka_unit_test(test_hysteresis),
		cmocka_unit_test(test_exchange),         cmocka_unit_test(test_few_moves),
		cmocka_unit_test(test_few_moves_afresh), cmocka_unit_test(test_moves_max),
		cmocka_unit_test(test_nothing_to_do),    cmocka_unit_test(test_largest_loads),
		cmocka_unit_test(test_deterministic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
