/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked arithmetic at its edges. Not a test of the callers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/overflow.h"

static void test_add(void **state)
{
	uint64_t sum = 0;

	(void)state;
	assert_false(overflow_add_u64(1, 2, &sum));
	assert_int_equal(sum, 3);
	assert_false(overflow_add_u64(UINT64_MAX, 0, &sum));
	assert_true(sum == UINT64_MAX);
	assert_true(overflow_add_u64(UINT64_MAX, 1, &sum));
	assert_true(overflow_add_u64(UINT64_MAX, UINT64_MAX, &sum));
}

static void test_mul(void **state)
{
	uint64_t product = 0;

	(void)state;
	assert_false(overflow_mul_u64(3, 5, &product));
	assert_int_equal(product, 15);
	assert_false(overflow_mul_u64(UINT64_MAX, 1, &product));
	assert_true(product == UINT64_MAX);
	assert_false(overflow_mul_u64(UINT64_MAX, 0, &product));
	assert_int_equal(product, 0);
	assert_false(overflow_mul_u64(1ull << 32, (1ull << 32) - 1, &product));
	assert_true(overflow_mul_u64(1ull << 32, 1ull << 32, &product));
	/* As a guest would have it: sectors to bytes. */
	assert_true(overflow_mul_u64(UINT64_MAX / 512 + 1, 512, &product));
}

static void test_range_within(void **state)
{
	(void)state;
	assert_true(range_within(0, 10, 10));
	assert_true(range_within(9, 1, 10));
	assert_false(range_within(9, 2, 10));
	assert_true(range_within(10, 0, 10));
	assert_false(range_within(11, 0, 10));
	assert_true(range_within(0, 0, 0));
	assert_false(range_within(0, 1, 0));
	/* start + len wraps to something small. */
	assert_false(range_within(UINT64_MAX, 2, 10));
	assert_false(range_within(5, UINT64_MAX, 10));
	assert_false(range_within(UINT64_MAX, UINT64_MAX, 10));
	assert_true(range_within(0, UINT64_MAX, UINT64_MAX));
	assert_false(range_within(1, UINT64_MAX, UINT64_MAX));
}

static void test_pow2_and_align(void **state)
{
	(void)state;
	assert_false(is_pow2(0));
	assert_true(is_pow2(1));
	assert_true(is_pow2(2));
	assert_false(is_pow2(3));
	assert_true(is_pow2(1ull << 63));
	assert_false(is_pow2(UINT64_MAX));
	assert_int_equal(align_down(0, 512), 0);
	assert_int_equal(align_down(511, 512), 0);
	assert_int_equal(align_down(512, 512), 512);
	assert_true(align_down(UINT64_MAX, 4096) == UINT64_MAX - 4095);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_mul),
		cmocka_unit_test(test_range_within),
		cmocka_unit_test(test_pow2_and_align),
	};

	return cmocka_run_group_tests_name("overflow", tests, NULL, NULL);
}
