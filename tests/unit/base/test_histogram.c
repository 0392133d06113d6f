/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-linear histogram: exactness of small values, error bound of large ones, quantiles against a
 * sorted array, merging, and the ends of the range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/histogram.h"

static struct histogram h, other;

static void test_empty(void **state)
{
	(void)state;
	histogram_init(&h);
	assert_int_equal(h.cnt, 0);
	assert_int_equal(histogram_quantile_ppm(&h, 500000), 0);
	assert_true(histogram_mean(&h) == 0.0);
	histogram_record_many(&h, 77, 0);
	assert_int_equal(h.min, UINT64_MAX);
	assert_int_equal(h.max, 0);
}

/* Buckets do not overlap, leave no hole, and are visited in order. */
static void test_buckets_are_monotonic(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint64_t v = 0; v < 1 << 20; v++) {
		uint32_t idx = histogram_bucket_idx(v);

		assert_true(idx == last || idx == last + 1);
		last = idx;
	}
	for (unsigned int bit = 20; bit < 64; bit++) {
		uint64_t v = UINT64_C(1) << bit;

		assert_true(histogram_bucket_idx(v - 1) <= histogram_bucket_idx(v));
		assert_true(histogram_bucket_idx(v) < HISTOGRAM_BUCKET_CNT);
	}
	assert_int_equal(histogram_bucket_idx((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1),
			 HISTOGRAM_BUCKET_CNT - 1);
	assert_int_equal(histogram_bucket_idx(UINT64_MAX), HISTOGRAM_BUCKET_CNT - 1);
}

static void test_one_value_comes_back(void **state)
{
	static const uint64_t value[] = {0, 1, 63, 64, 65, 127, 128, 1000, 999999, 123456789012};

	(void)state;
	for (unsigned int i = 0; i < sizeof(value) / sizeof(value[0]); i++) {
		histogram_init(&h);
		histogram_record(&h, value[i]);
		/* Never outside [min, max], so a single value is exact. */
		assert_int_equal(histogram_quantile_ppm(&h, 0), value[i]);
		assert_int_equal(histogram_quantile_ppm(&h, 500000), value[i]);
		assert_int_equal(histogram_quantile_ppm(&h, 1000000), value[i]);
		assert_true(histogram_mean(&h) == (double)value[i]);
	}
}

static void test_small_values_are_exact(void **state)
{
	(void)state;
	histogram_init(&h);
	for (uint64_t v = 1; v <= 50; v++)
		histogram_record_many(&h, v, 2);
	assert_int_equal(h.cnt, 100);
	assert_int_equal(histogram_quantile_ppm(&h, 20000), 1);
	assert_int_equal(histogram_quantile_ppm(&h, 20001), 2);
	assert_int_equal(histogram_quantile_ppm(&h, 500000), 25);
	assert_int_equal(histogram_quantile_ppm(&h, 990000), 50);
	assert_true(histogram_mean(&h) == 25.5);
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the definition: the smallest value with at least ppm millionths of all at or below it. */
static void test_quantiles_against_sorted(void **state)
{
	enum { CNT = 20000 };
	static uint64_t value[CNT];
	static const uint32_t ppm[] = {1, 1000, 250000, 500000, 900000, 990000, 999000, 999900};
	uint64_t x = 88172645463325252u;

	(void)state;
	histogram_init(&h);
	for (unsigned int i = 0; i < CNT; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Every octave of the range has its share. */
		value[i] = (x >> 20) >> (x % 40);
		value[i] &= (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;
		histogram_record(&h, value[i]);
	}
	qsort(value, CNT, sizeof(value[0]), compare);
	for (unsigned int i = 0; i < sizeof(ppm) / sizeof(ppm[0]); i++) {
		uint64_t rank = ((uint64_t)CNT * ppm[i] + 999999) / 1000000;
		uint64_t want = value[rank ? rank - 1 : 0];
		uint64_t got = histogram_quantile_ppm(&h, ppm[i]);
		uint64_t error = got > want ? got - want : want - got;

		if (error * HISTOGRAM_SUB_CNT > want)
			fail_msg("%u ppm: %llu, not %llu", ppm[i], (unsigned long long)got,
				 (unsigned long long)want);
	}
	assert_int_equal(h.min, value[0]);
	assert_int_equal(h.max, value[CNT - 1]);
}

static void test_merge_is_recording_both(void **state)
{
	static struct histogram both;

	(void)state;
	histogram_init(&h);
	histogram_init(&other);
	histogram_init(&both);
	for (uint64_t v = 0; v < 5000; v++) {
		histogram_record(v % 3 ? &h : &other, v * v);
		histogram_record(&both, v * v);
	}
	histogram_merge(&h, &other);
	assert_memory_equal(&h, &both, sizeof(h));
	histogram_init(&other);
	histogram_merge(&h, &other);
	assert_memory_equal(&h, &both, sizeof(h));
	histogram_merge(&other, &h);
	assert_memory_equal(&other, &both, sizeof(h));
}

static void test_huge_values(void **state)
{
	(void)state;
	histogram_init(&h);
	histogram_record(&h, UINT64_MAX);
	histogram_record(&h, UINT64_MAX - 1);
	assert_int_equal(h.sum, UINT64_MAX);
	assert_int_equal(histogram_quantile_ppm(&h, 500000), UINT64_MAX);
	assert_int_equal(histogram_quantile_ppm(&h, 2000000), UINT64_MAX);
	histogram_record_many(&h, 0, UINT64_C(1) << 60);
	assert_int_equal(histogram_quantile_ppm(&h, 999999), 0);
	histogram_merge(&h, &h);
	assert_int_equal(h.sum, UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_buckets_are_monotonic),
		cmocka_unit_test(test_one_value_comes_back),
		cmocka_unit_test(test_small_values_are_exact),
		cmocka_unit_test(test_quantiles_against_sorted),
		cmocka_unit_test(test_merge_is_recording_both),
		cmocka_unit_test(test_huge_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
