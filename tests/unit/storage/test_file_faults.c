/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, writes and flushes against a scripted kernel: short transfers, EAGAIN, errors, and the
 * synchronous path.
 * Not real I/O (test_file_io.c).
 */
#include "scripted.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

static void test_single(void **state)
{
	struct iovec iov = {memory, 4096};
	struct storage_op op = op_of(STORAGE_WRITE, &iov, 1, 8192, 4096);
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	submit(&f, &op);
	assert_sqe(0, IORING_OP_WRITE, AT(0), 4096, 8192);
	assert_int_equal(storage_pending(f.channel), 1);
	assert_nothing_reaped(&f);
	complete(0, 4096);
	assert_int_equal(f.completed, 1);
	assert_reaped(&f, &op, 0);
	assert_int_equal(f.stats->bytes[STORAGE_WRITE], 4096);
	assert_int_equal(f.stats->retries, 0);

	op = op_of(STORAGE_FLUSH, NULL, 0, 0, 0);
	submit(&f, &op);
	assert_int_equal(sqes[1].opcode, IORING_OP_FSYNC);
	assert_int_equal(sqes[1].fsync_flags, IORING_FSYNC_DATASYNC);
	complete(1, -EIO);
	assert_reaped(&f, &op, -EIO);
	assert_int_equal(f.stats->errors[STORAGE_FLUSH], 1);
	fixture_fini(&f);
}

/* It goes on where it stopped: within an entry, with what is left of it, then with the rest. */
static void test_short_transfers(void **state)
{
	struct iovec iov[4] = {
		{memory, 1024}, {memory + 8192, 0}, {memory + 16384, 2048}, {memory + 32768, 1024}};
	struct storage_op op = op_of(STORAGE_READ, iov, 4, 512, 4096);
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	submit(&f, &op);
	assert_sqe(0, IORING_OP_READV, (uint64_t)(uintptr_t)iov, 4, 512);
	complete(0, 512);
	assert_sqe(1, IORING_OP_READ, AT(512), 512, 1024);
	complete(1, 512);
	/* The empty entry is passed over. */
	assert_sqe(2, IORING_OP_READV, (uint64_t)(uintptr_t)&iov[2], 2, 1536);
	complete(2, 2048);
	assert_sqe(3, IORING_OP_READ, AT(32768), 1024, 3584);
	assert_nothing_reaped(&f);
	complete(3, 1024);
	assert_reaped(&f, &op, 0);
	/* Twice it was less than asked for. */
	assert_int_equal(f.stats->retries, 2);
	assert_int_equal(f.stats->bounced, 0);

	/* No progress at all ends it. */
	sqe_cnt = 0;
	submit(&f, &op);
	complete(0, 1024);
	assert_int_equal(sqe_cnt, 2);
	complete(1, 0);
	assert_reaped(&f, &op, -EIO);
	assert_int_equal(sqe_cnt, 2);
	fixture_fini(&f);
}

static void test_iov_max(void **state)
{
	static struct iovec iov[2500];
	struct storage_op op = op_of(STORAGE_WRITE, iov, 2500, 0, 2500 * 512);
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 2500; i++)
		iov[i] = (struct iovec){memory, 512};
	fixture_init(&f, 512, false);
	submit(&f, &op);
	assert_sqe(0, IORING_OP_WRITEV, (uint64_t)(uintptr_t)iov, 1024, 0);
	complete(0, 1024 * 512);
	assert_sqe(1, IORING_OP_WRITEV, (uint64_t)(uintptr_t)&iov[1024], 1024, 1024 * 512);
	complete(1, 1024 * 512);
	assert_sqe(2, IORING_OP_WRITEV, (uint64_t)(uintptr_t)&iov[2048], 452, 2048 * 512);
	complete(2, 452 * 512);
	assert_reaped(&f, &op, 0);
	/* That was planned, so it is no retry. */
	assert_int_equal(f.stats->retries, 0);
	fixture_fini(&f);
}

/* Longer than a request's length can be. */
static void test_huge(void **state)
{
	struct iovec iov = {memory, 3ull << 30};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 0, 3ull << 30);
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	for (unsigned i = 0; i < 3; i++) {
		if (i == 0)
			submit(&f, &op);
		assert_sqe(i, IORING_OP_READ, AT((uint64_t)i << 30), 1u << 30, (uint64_t)i << 30);
		complete(i, 1 << 30);
	}
	assert_reaped(&f, &op, 0);
	fixture_fini(&f);
}

static void test_again(void **state)
{
	struct iovec iov = {memory, 4096};
	struct storage_op op = op_of(STORAGE_WRITE, &iov, 1, 0, 4096);
	struct storage_op flush = op_of(STORAGE_FLUSH, NULL, 0, 0, 0);
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	submit(&f, &op);
	submit(&f, &flush);
	complete(0, -EAGAIN);
	complete(1, -EAGAIN);
	assert_int_equal(sqe_cnt, 2);
	assert_int_equal(timer->deadline_ns, now_ns + NS_PER_MS);
	expire();
	assert_int_equal(sqe_cnt, 4);
	assert_int_equal(sqes[2].opcode, IORING_OP_WRITE);
	assert_int_equal(sqes[3].opcode, IORING_OP_FSYNC);
	complete(3, 0);
	assert_reaped(&f, &flush, 0);
	/* Interrupted: at once. */
	complete(2, -EINTR);
	assert_sqe(4, IORING_OP_WRITE, AT(0), 4096, 0);
	complete(4, 4096);
	assert_reaped(&f, &op, 0);
	assert_int_equal(f.stats->retries, 3);

	/* Not for ever. */
	submit(&f, &op);
	for (unsigned i = 0; i < 1000; i++) {
		sqe_cnt = 0;
		complete(0, -EAGAIN);
		expire();
	}
	assert_nothing_reaped(&f);
	complete(0, -EAGAIN);
	assert_null(timer);
	assert_reaped(&f, &op, -EAGAIN);
	fixture_fini(&f);
}

/* Progress in between starts the count of attempts anew. */
static void test_again_with_progress(void **state)
{
	struct iovec iov = {memory, 8192};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 0, 8192);
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	submit(&f, &op);
	for (unsigned half = 0; half < 2; half++) {
		for (unsigned i = 0; i < 900; i++) {
			sqe_cnt = 0;
			complete(0, -EINTR);
			assert_int_equal(sqe_cnt, 1);
		}
		sqe_cnt = 0;
		complete(0, 4096);
	}
	assert_reaped(&f, &op, 0);
	fixture_fini(&f);
}

static void test_errors(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EFAULT, EINVAL, EOPNOTSUPP, ECANCELED, EDQUOT};
	struct iovec iov = {memory, 4096};
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, false);
	for (unsigned i = 0; i < ARRAY_LEN(errors); i++) {
		struct storage_op op = op_of(STORAGE_WRITE, &iov, 1, 0, 4096);

		sqe_cnt = 0;
		submit(&f, &op);
		complete(0, -errors[i]);
		assert_reaped(&f, &op, -errors[i]);
	}
	assert_int_equal(f.stats->errors[STORAGE_WRITE], ARRAY_LEN(errors));
	assert_int_equal(f.stats->bytes[STORAGE_WRITE], 0);
	fixture_fini(&f);
}

/* Calls in the worker itself, where the file system has no other way. */
static void test_sync_slow(void **state)
{
	struct iovec iov = {memory, 4096};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 0, 4096);
	struct fixture f;

	(void)state;
	fixture_init(&f, 1, false);
	f.file.sync = FILE_SYNC_ALWAYS;
	sync_result = 4096;
	submit(&f, &op);
	assert_reaped(&f, &op, 0);
	assert_int_equal(sync_flags, 0);
	assert_int_equal(sqe_cnt, 0);
	assert_int_equal(f.completed, 0);
	assert_int_equal(f.stats->sync_slow, 0);
	/* One that takes long is the last for 10 s. */
	sync_slow = true;
	now_ns = clock_now_ns();
	submit(&f, &op);
	assert_reaped(&f, &op, 0);
	assert_int_equal(f.stats->sync_slow, 1);
	assert_int_equal(sync_calls, 2);
	for (unsigned i = 0; i < 2; i++) {
		now_ns += 9 * NS_PER_S * i;
		sqe_cnt = 0;
		submit(&f, &op);
		assert_sqe(0, IORING_OP_READ, AT(0), 4096, 0);
		complete(0, 4096);
		assert_reaped(&f, &op, 0);
	}
	now_ns += 2 * NS_PER_S;
	sync_slow = false;
	submit(&f, &op);
	assert_reaped(&f, &op, 0);
	assert_int_equal(sync_calls, 3);
	assert_int_equal(f.stats->sync_calls, 3);
	fixture_fini(&f);
}

static void test_sync_falls_back(void **state)
{
	struct iovec iov = {memory, 4096};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 0, 4096);
	struct fixture f;

	(void)state;
	fixture_init(&f, 1, false);
	f.file.sync = FILE_SYNC_CACHED;
	/* Not cached, half of it cached, an error: io_uring does it, or the rest. */
	now_ns += 1;
	sync_result = -EAGAIN;
	submit(&f, &op);
	assert_int_equal(sync_flags, RWF_NOWAIT);
	assert_sqe(0, IORING_OP_READ, AT(0), 4096, 0);
	complete(0, 4096);
	assert_reaped(&f, &op, 0);
	sync_result = 1024;
	sqe_cnt = 0;
	submit(&f, &op);
	assert_sqe(0, IORING_OP_READ, AT(1024), 3072, 1024);
	complete(0, 3072);
	assert_reaped(&f, &op, 0);
	sync_result = -EIO;
	sqe_cnt = 0;
	submit(&f, &op);
	complete(0, -EIO);
	assert_reaped(&f, &op, -EIO);
	sync_result = 0;
	sqe_cnt = 0;
	submit(&f, &op);
	complete(0, 0);
	assert_reaped(&f, &op, -EIO);
	fixture_fini(&f);
}

/* 256 KiB a turn. */
static void test_sync_budget(void **state)
{
	struct iovec iov = {memory, 64 * KIB};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 0, 64 * KIB);
	struct fixture f;

	(void)state;
	fixture_init(&f, 1, false);
	f.file.sync = FILE_SYNC_ALWAYS;
	sync_result = 64 * KIB;
	for (unsigned turn = 0; turn < 2; turn++) {
		now_ns += NS_PER_US;
		for (unsigned i = 0; i < 4; i++) {
			submit(&f, &op);
			assert_reaped(&f, &op, 0);
		}
		assert_int_equal(sync_calls, 4 * (turn + 1));
		sqe_cnt = 0;
		submit(&f, &op);
		assert_int_equal(sqe_cnt, 1);
		complete(0, 64 * KIB);
		assert_reaped(&f, &op, 0);
	}
	assert_int_equal(sync_calls, 8);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single),          cmocka_unit_test(test_short_transfers),
		cmocka_unit_test(test_iov_max),         cmocka_unit_test(test_huge),
		cmocka_unit_test(test_again),           cmocka_unit_test(test_again_with_progress),
		cmocka_unit_test(test_errors),          cmocka_unit_test(test_sync_slow),
		cmocka_unit_test(test_sync_falls_back), cmocka_unit_test(test_sync_budget),
	};

	/* Failures are what this is about; each has its own assertion. */
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
