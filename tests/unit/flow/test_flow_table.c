/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learnt flows on a clock of the test's own: found, moved, told again in time, forgotten, bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/flow_table.h"
#include "frames.h"

#define SECOND 1000000000u
#define AGE (30ull * SECOND)
#define START (123456789ull * SECOND)

static uint32_t random32(uint64_t *seed)
{
	uint8_t raw[4];

	frames_random(raw, sizeof(raw), seed);
	return frames_be32(raw);
}

static void test_learnt(void **state)
{
	struct flow_table *table = flow_table_new(1024, AGE);

	(void)state;
	assert_non_null(table);
	assert_int_equal(flow_table_find(table, 0, START), FLOW_TABLE_NONE);
	assert_int_equal(flow_table_count(table, START), 0);
	assert_true(flow_table_learn(table, 0, 0, START));
	assert_true(flow_table_learn(table, UINT32_MAX, 63, START));
	assert_int_equal(flow_table_find(table, 0, START), 0);
	assert_int_equal(flow_table_find(table, UINT32_MAX, START), 63);
	assert_int_equal(flow_table_find(table, 1024, START), FLOW_TABLE_NONE);
	assert_int_equal(flow_table_count(table, START), 2);
	/* Once more the same: nothing to tell; elsewhere: at once. */
	assert_false(flow_table_learn(table, 0, 0, START + 1));
	assert_true(flow_table_learn(table, 0, 5, START + 2));
	assert_int_equal(flow_table_find(table, 0, START + 2), 5);
	assert_false(flow_table_learn(table, 0, 5, START + 3));
	assert_int_equal(flow_table_count(table, START), 2);
	flow_table_free(table);
	flow_table_free(NULL);
}

static void test_told(void **state)
{
	struct flow_table *table = flow_table_new(64, AGE);

	(void)state;
	flow_table_told(table, 77, 3, START);
	assert_int_equal(flow_table_find(table, 77, START), 3);
	/* What another told need not be told back. */
	assert_false(flow_table_learn(table, 77, 3, START + SECOND));
	flow_table_told(table, 77, 4, START + 2 * SECOND);
	assert_int_equal(flow_table_find(table, 77, START + 2 * SECOND), 4);
	assert_true(flow_table_learn(table, 77, 3, START + 3 * SECOND));
	/* A clock that was read before this one's: as old as nothing. */
	flow_table_told(table, 78, 1, START + SECOND);
	assert_int_equal(flow_table_find(table, 78, START), 1);
	assert_int_equal(flow_table_count(table, START), 2);
	flow_table_free(table);
}

/* Used all the time it is told every quarter of the age; then it is forgotten in one age. */
static void test_ageing(void **state)
{
	struct flow_table *table = flow_table_new(1024, AGE);
	uint64_t now = START, last_told = 0;
	unsigned told = 0;

	(void)state;
	for (; now < START + 10 * AGE; now += SECOND / 10) {
		if (flow_table_learn(table, 5, 2, now)) {
			told++;
			last_told = now;
		}
		assert_int_equal(flow_table_find(table, 5, now), 2);
		assert_in_range(now - last_told, 0, AGE / 4 + SECOND);
	}
	assert_in_range(told, 38, 41);
	assert_int_equal(flow_table_find(table, 5, last_told + AGE * 95 / 100), 2);
	assert_int_equal(flow_table_find(table, 5, last_told + AGE * 101 / 100), FLOW_TABLE_NONE);
	assert_int_equal(flow_table_count(table, last_told + AGE * 101 / 100), 0);
	/* It is new then. */
	assert_true(flow_table_learn(table, 5, 2, last_told + 2 * AGE));
	assert_int_equal(flow_table_find(table, 5, last_told + 2 * AGE), 2);
	flow_table_free(table);
}

static void test_short_ages(void **state)
{
	static const uint64_t ages[] = {1000, 1000000, SECOND, 3600ull * SECOND};

	(void)state;
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		struct flow_table *table = flow_table_new(FLOW_TABLE_WAYS, ages[i]);

		assert_true(flow_table_learn(table, 5, 2, START));
		assert_int_equal(flow_table_find(table, 5, START + ages[i] * 98 / 100), 2);
		assert_int_equal(flow_table_find(table, 5, START + ages[i] * 102 / 100),
				 FLOW_TABLE_NONE);
		assert_int_equal(flow_table_find(table, 5, START + 1000 * ages[i]),
				 FLOW_TABLE_NONE);
		flow_table_free(table);
	}
}

/* Of one set, the one that was not written for longest goes. */
static void test_oldest_gives_way(void **state)
{
	struct flow_table *table = flow_table_new(4 * FLOW_TABLE_WAYS, AGE);
	uint64_t now = START;

	(void)state;
	for (uint32_t i = 0; i < FLOW_TABLE_WAYS; i++, now += SECOND)
		assert_true(flow_table_learn(table, i * 4, i, now));
	/* The first one is used again, late enough to be written. */
	now = START + AGE / 3;
	assert_true(flow_table_learn(table, 0, 0, now));
	assert_true(flow_table_learn(table, 400, 9, now));
	assert_int_equal(flow_table_find(table, 0, now), 0);
	assert_int_equal(flow_table_find(table, 4, now), FLOW_TABLE_NONE);
	assert_int_equal(flow_table_find(table, 8, now), 2);
	assert_int_equal(flow_table_find(table, 12, now), 3);
	assert_int_equal(flow_table_find(table, 400, now), 9);
	flow_table_free(table);
}

/* Flows without end: as many as there are entries are known, and each says what was last learnt. */
static void test_bounded(void **state)
{
	struct flow_table *table = flow_table_new(256, AGE);
	uint64_t seed = 31, now = START;

	(void)state;
	for (unsigned i = 0; i < 100000; i++, now += 1000) {
		uint32_t hash = random32(&seed);
		unsigned queue = hash % 64;

		flow_table_learn(table, hash, queue, now);
		assert_int_equal(flow_table_find(table, hash, now), (int)queue);
	}
	assert_int_equal(flow_table_count(table, now), 256);
	flow_table_free(table);
}

/* Half as many flows as entries are nearly all known at once. */
static void test_capacity(void **state)
{
	struct flow_table *table = flow_table_new(4096, AGE);
	uint64_t seed = 32;
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < 2048; i++)
		flow_table_learn(table, random32(&seed), i % 64, START);
	seed = 32;
	for (unsigned i = 0; i < 2048; i++)
		known += flow_table_find(table, random32(&seed), START) == (int)(i % 64);
	assert_in_range(known, 2048 * 9 / 10, 2048);
	assert_int_equal(flow_table_count(table, START), known);
	flow_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_learnt),           cmocka_unit_test(test_told),
		cmocka_unit_test(test_ageing),           cmocka_unit_test(test_short_ages),
		cmocka_unit_test(test_oldest_gives_way), cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_capacity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
