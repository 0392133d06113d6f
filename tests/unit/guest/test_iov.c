/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursor over iovecs: every cut of a small buffer, compared with plain memcpy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "guest/iov.h"

#define BYTES 12
#define PIECES_MAX (BYTES + 2)

/* mask bit i: a cut after byte i. An empty entry is put in front and behind. */
static unsigned cut_by_mask(uint8_t *buf, unsigned mask, struct iovec *iov)
{
	unsigned cnt = 0;
	size_t start = 0;

	iov[cnt++] = (struct iovec){buf, 0};
	for (size_t i = 0; i < BYTES; i++) {
		if (i == BYTES - 1 || (mask & (1u << i))) {
			iov[cnt++] = (struct iovec){buf + start, i + 1 - start};
			start = i + 1;
		}
	}
	iov[cnt++] = (struct iovec){buf, 0};
	return cnt;
}

static void test_copy_every_cut(void **state)
{
	static const uint8_t want[BYTES] = "abcdefghijkl";

	(void)state;
	for (unsigned mask = 0; mask < 1u << (BYTES - 1); mask++) {
		struct iovec iov[PIECES_MAX];
		uint8_t buf[BYTES], got[BYTES + 1];
		struct iov_cursor cur;
		unsigned cnt;

		memcpy(buf, want, BYTES);
		cnt = cut_by_mask(buf, mask, iov);
		assert_int_equal(iov_total_bytes(iov, cnt), BYTES);
		iov_cursor_init(&cur, iov, cnt);
		assert_int_equal(iov_copy_in(&cur, got, 5), 5);
		assert_int_equal(iov_skip(&cur, 2), 2);
		assert_int_equal(iov_copy_in(&cur, got + 7, BYTES), 5);
		assert_memory_equal(got, want, 5);
		assert_memory_equal(got + 7, want + 7, 5);
		assert_int_equal(iov_copy_in(&cur, got, 1), 0);

		iov_cursor_init(&cur, iov, cnt);
		assert_int_equal(iov_zero(&cur, 3), 3);
		assert_int_equal(iov_copy_out(&cur, "XY", 2), 2);
		assert_memory_equal(buf, "\0\0\0XYfghijkl", BYTES);
	}
}

static void test_cut_and_slice(void **state)
{
	(void)state;
	for (unsigned mask = 0; mask < 1u << (BYTES - 1); mask++) {
		for (size_t front = 0; front <= BYTES; front++) {
			uint8_t buf[BYTES];
			struct iovec iov[PIECES_MAX], out[PIECES_MAX];
			struct iovec *head = iov;
			struct iov_cursor cur;
			size_t back = (BYTES - front) / 2, got;
			unsigned cnt = cut_by_mask(buf, mask, iov), slices;

			assert_int_equal(iov_cut_front(&head, &cnt, front), front);
			assert_int_equal(iov_cut_back(head, &cnt, back), back);
			assert_int_equal(iov_total_bytes(head, cnt), BYTES - front - back);
			iov_cursor_init(&cur, head, cnt);
			slices = iov_slice(&cur, BYTES, out, PIECES_MAX, &got);
			assert_int_equal(got, BYTES - front - back);
			assert_int_equal(iov_total_bytes(out, slices), got);
			if (slices)
				assert_ptr_equal(out[0].iov_base, buf + front);
		}
	}
}

/* Every cut of one side against many of the other, in two steps, and over both ends. */
static void test_copy_between(void **state)
{
	(void)state;
	for (unsigned mask = 0; mask < 1u << (BYTES - 1); mask++) {
		for (size_t first = 0; first <= BYTES; first++) {
			uint8_t from[BYTES] = "abcdefghijkl", to[BYTES] = {0};
			struct iovec from_iov[PIECES_MAX], to_iov[PIECES_MAX];
			struct iov_cursor src, dst;

			iov_cursor_init(&src, from_iov, cut_by_mask(from, mask, from_iov));
			iov_cursor_init(&dst, to_iov,
					cut_by_mask(to, (mask * 5 + 3) & 0x7ff, to_iov));
			assert_int_equal(iov_copy(&dst, &src, first), first);
			assert_int_equal(iov_copy(&dst, &src, 2 * BYTES), BYTES - first);
			assert_memory_equal(to, from, BYTES);
			assert_int_equal(iov_copy(&dst, &src, 1), 0);
		}
	}
}

static void test_slice_of_short_output(void **state)
{
	uint8_t buf[BYTES];
	struct iovec iov[PIECES_MAX], out[2];
	struct iov_cursor cur;
	size_t got;
	unsigned cnt = cut_by_mask(buf, 0x7ff, iov);

	(void)state;
	iov_cursor_init(&cur, iov, cnt);
	assert_int_equal(iov_slice(&cur, BYTES, out, 2, &got), 2);
	assert_int_equal(got, 2);
	assert_int_equal(iov_slice(&cur, BYTES, out, 2, &got), 2);
	assert_ptr_equal(out[0].iov_base, buf + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy_every_cut),
		cmocka_unit_test(test_cut_and_slice),
		cmocka_unit_test(test_copy_between),
		cmocka_unit_test(test_slice_of_short_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
