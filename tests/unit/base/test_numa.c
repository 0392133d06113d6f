/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel is asked when memory is to be on a node; the kernel is played. Whether pages
 * really move shows only on a machine with two nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/numa.h"

long __wrap_syscall(long number, ...);

static struct {
	unsigned long allowed;
	int error; /* of both calls */
	unsigned binds;
	unsigned long start;
	unsigned long len;
	unsigned long policy;
	unsigned long flags;
	unsigned long mask[16];
	unsigned long mask_bits;
} kernel;

static long play_get(va_list args)
{
	unsigned long *mask;

	(void)va_arg(args, int *);
	mask = va_arg(args, unsigned long *);
	/* A kernel of many nodes refuses a mask that is too small for them. */
	assert_true(va_arg(args, unsigned long) >= 1024);
	assert_null(va_arg(args, void *));
	assert_int_equal(va_arg(args, unsigned long), MPOL_F_MEMS_ALLOWED);
	mask[0] = kernel.allowed;
	return 0;
}

static long play_bind(va_list args)
{
	const unsigned long *mask;

	kernel.binds++;
	kernel.start = va_arg(args, unsigned long);
	kernel.len = va_arg(args, unsigned long);
	kernel.policy = va_arg(args, unsigned long);
	mask = va_arg(args, const unsigned long *);
	kernel.mask_bits = va_arg(args, unsigned long) - 1;
	memcpy(kernel.mask, mask, sizeof(kernel.mask));
	kernel.flags = va_arg(args, unsigned long);
	return 0;
}

long __wrap_syscall(long number, ...)
{
	va_list args;
	long ret;

	if (kernel.error) {
		errno = kernel.error;
		return -1;
	}
	va_start(args, number);
	ret = number == SYS_mbind ? play_bind(args) : play_get(args);
	va_end(args);
	return ret;
}

static int reset(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.allowed = 0x3;
	return 0;
}

/* Only whole pages: the ends are shared with whoever is beside. */
static void test_whole_pages(void **state)
{
	const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	const unsigned long at = 16 * page;

	(void)state;
	numa_prefer((void *)(at + 1), 3 * page, 1);
	assert_int_equal(kernel.start, at + page);
	assert_int_equal(kernel.len, 2 * page);
	numa_prefer((void *)at, 2 * page + 1, 1);
	assert_int_equal(kernel.start, at);
	assert_int_equal(kernel.len, 2 * page);
	assert_int_equal(kernel.binds, 2);
	numa_prefer((void *)(at + 1), page, 1);
	numa_prefer((void *)at, page - 1, 1);
	numa_prefer((void *)at, 0, 1);
	assert_int_equal(kernel.binds, 2);
}

static void test_prefers_and_moves(void **state)
{
	const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);

	(void)state;
	numa_prefer((void *)page, page, 65);
	assert_int_equal(kernel.policy, MPOL_PREFERRED);
	assert_int_equal(kernel.flags, MPOL_MF_MOVE);
	assert_int_equal(kernel.mask_bits, 8 * sizeof(kernel.mask));
	assert_int_equal(kernel.mask[0], 0);
	assert_int_equal(kernel.mask[1], 2);
}

static void test_nothing_to_wish(void **state)
{
	const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);

	(void)state;
	numa_prefer((void *)page, page, -1);
	numa_prefer((void *)page, page, 1024);
	kernel.allowed = 0x4;
	numa_prefer((void *)page, page, 2);
	assert_int_equal(kernel.binds, 0);
}

static void test_refusals_are_no_matter(void **state)
{
	static const int codes[] = {ENOSYS, EPERM};
	const unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		kernel.error = codes[i];
		numa_prefer((void *)page, page, 1);
	}
	assert_int_equal(kernel.binds, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_whole_pages, reset),
		cmocka_unit_test_setup(test_prefers_and_moves, reset),
		cmocka_unit_test_setup(test_nothing_to_wish, reset),
		cmocka_unit_test_setup(test_refusals_are_no_matter, reset),
	};

	return cmocka_run_group_tests_name("numa", tests, NULL, NULL);
}
