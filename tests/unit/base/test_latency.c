/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small histogram: bounds of its buckets, quantiles against a sorted array, the ends of the
 * range, sums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/latency.h"

static struct latency h;

static void reset(void)
{
	memset(&h, 0, sizeof(h));
}

/* The first value that is not in the bucket before. */
static uint64_t begin_of(unsigned idx)
{
	return idx == 0 ? 0 : latency_bucket_end_ns(idx - 1);
}

/* By hand: octaves from 256 on, each cut into four. */
static void test_bounds_by_hand(void **state)
{
	static const uint64_t ends[] = {256, 320,  384,  448,  512,  640, 768,
					896, 1024, 1280, 1536, 1792, 2048};

	(void)state;
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		assert_int_equal(latency_bucket_end_ns(i), ends[i]);
		assert_int_equal(latency_bucket_idx(ends[i] - 1), i);
		assert_int_equal(latency_bucket_idx(ends[i]), i + 1);
	}
}

/* Buckets follow each other, and each ends where the index says; none is wider than a quarter. */
static void test_buckets_follow_each_other(void **state)
{
	(void)state;
	for (unsigned i = 0; i + 1 < LATENCY_BUCKET_CNT; i++) {
		const uint64_t begin = begin_of(i);
		const uint64_t end = latency_bucket_end_ns(i);

		assert_true(begin < end);
		assert_int_equal(latency_bucket_idx(begin), i);
		assert_int_equal(latency_bucket_idx(end - 1), i);
		assert_int_equal(latency_bucket_idx(end), i + 1);
		if (i > 0)
			assert_true((end - begin) * 4 <= begin);
	}
}

static void test_ends_of_the_range(void **state)
{
	const unsigned last = LATENCY_BUCKET_CNT - 1;

	(void)state;
	assert_int_equal(latency_bucket_idx(0), 0);
	assert_int_equal(latency_bucket_idx(1), 0);
	assert_int_equal(latency_bucket_idx(LATENCY_MIN_NS - 1), 0);
	assert_int_equal(latency_bucket_idx(LATENCY_MIN_NS), 1);
	/* The bucket before the last is the last quarter of an octave; the last has no end. */
	assert_int_equal(latency_bucket_end_ns(last), UINT64_MAX);
	assert_int_equal(latency_bucket_idx(UINT64_MAX), last);
	assert_int_equal(latency_bucket_idx(1ull << LATENCY_MAX_BITS), last);
	assert_int_equal(latency_bucket_idx((1ull << LATENCY_MAX_BITS) - 1), last);
	assert_int_equal(begin_of(last), 7ull << (LATENCY_MAX_BITS - 3));
	assert_int_equal(latency_bucket_idx(begin_of(last)), last);
	assert_int_equal(latency_bucket_idx(begin_of(last) - 1), last - 1);
}

static void test_empty(void **state)
{
	(void)state;
	reset();
	assert_int_equal(latency_quantile_ns(&h, 0), 0);
	assert_int_equal(latency_quantile_ns(&h, 500000), 0);
	assert_int_equal(latency_quantile_ns(&h, UINT32_MAX), 0);
}

/* One value is all quantiles: the middle of its bucket. */
static void test_one_value(void **state)
{
	static const uint64_t values[] = {0, 255, 256, 1000, 123456, 987654321, 60000000000};
	static const uint32_t ppms[] = {0, 1, 500000, 999999, 1000000, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const unsigned idx = latency_bucket_idx(values[i]);

		reset();
		latency_record(&h, values[i]);
		assert_int_equal(h.cnt, 1);
		assert_int_equal(h.sum_ns, values[i]);
		for (unsigned k = 0; k < sizeof(ppms) / sizeof(ppms[0]); k++)
			assert_int_equal(latency_quantile_ns(&h, ppms[k]),
					 (begin_of(idx) + latency_bucket_end_ns(idx)) / 2);
	}
	/* The last bucket has no middle: where it begins. */
	reset();
	latency_record(&h, UINT64_MAX);
	assert_int_equal(latency_quantile_ns(&h, 1), begin_of(LATENCY_BUCKET_CNT - 1));
}

/* Which of a hundred values a quantile is, to the one. */
static void test_ranks(void **state)
{
	(void)state;
	reset();
	/* 90 fast, 9 slow, one very slow. */
	for (unsigned i = 0; i < 90; i++)
		latency_record(&h, 1000);
	for (unsigned i = 0; i < 9; i++)
		latency_record(&h, 100000);
	latency_record(&h, 10000000);
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 0)), latency_bucket_idx(1000));
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 900000)),
			 latency_bucket_idx(1000));
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 900001)),
			 latency_bucket_idx(100000));
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 990000)),
			 latency_bucket_idx(100000));
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 990001)),
			 latency_bucket_idx(10000000));
	assert_int_equal(latency_quantile_ns(&h, 1000001), latency_quantile_ns(&h, 1000000));
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Any values: never more than a quarter off the one of that rank. */
static void test_against_sorted(void **state)
{
	static const uint32_t ppms[] = {1, 100000, 500000, 900000, 990000, 999000, 1000000};
	static uint64_t values[5000];
	const unsigned cnt = sizeof(values) / sizeof(values[0]);
	uint64_t sum = 0;

	(void)state;
	reset();
	srand(7);
	for (unsigned i = 0; i < cnt; i++) {
		const unsigned bits = 9 + (unsigned)rand() % 27;

		values[i] = (1ull << bits) + ((uint64_t)rand() & ((1ull << bits) - 1));
		latency_record(&h, values[i]);
		sum += values[i];
	}
	assert_int_equal(h.cnt, cnt);
	assert_int_equal(h.sum_ns, sum);
	qsort(values, cnt, sizeof(values[0]), compare);
	for (unsigned i = 0; i < sizeof(ppms) / sizeof(ppms[0]); i++) {
		uint64_t rank = ((uint64_t)cnt * ppms[i] + 999999) / 1000000;
		const uint64_t want = values[rank - 1];
		const uint64_t got = latency_quantile_ns(&h, ppms[i]);

		assert_true(got > want ? (got - want) * 4 <= want : (want - got) * 4 <= want);
		assert_int_equal(latency_bucket_idx(got), latency_bucket_idx(want));
	}
}

/* Counts that no product of 64 bits could hold. */
static void test_large_counts(void **state)
{
	(void)state;
	reset();
	h.bucket[5] = UINT64_MAX / 4;
	h.bucket[9] = UINT64_MAX / 4;
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 499999)), 5);
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 500000)), 5);
	assert_int_equal(latency_bucket_idx(latency_quantile_ns(&h, 500001)), 9);
}

/* Histograms of several queues add up as any counters do. */
static void test_sum(void **state)
{
	struct latency sum = {0};

	(void)state;
	reset();
	latency_record(&h, 300);
	latency_record(&h, 5000000);
	stat_sum(&sum, &h, sizeof(h));
	stat_sum(&sum, &h, sizeof(h));
	assert_int_equal(sum.cnt, 4);
	assert_int_equal(sum.sum_ns, 2 * 5000300);
	assert_int_equal(sum.bucket[latency_bucket_idx(300)], 2);
	assert_int_equal(latency_quantile_ns(&sum, 500000), latency_quantile_ns(&h, 500000));
	assert_int_equal(latency_quantile_ns(&sum, 500001), latency_quantile_ns(&h, 1000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds_by_hand),
		cmocka_unit_test(test_buckets_follow_each_other),
		cmocka_unit_test(test_ends_of_the_range),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_value),
		cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_against_sorted),
		cmocka_unit_test(test_large_counts),
		cmocka_unit_test(test_sum),
	};

	return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
