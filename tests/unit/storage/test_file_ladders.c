/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against a scripted kernel: bounce buffers, and the ways of discarding and zeroing that a file
 * system or a kernel does not have.
 * Not real I/O (test_file_io.c).
 */
#include "scripted.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>

#include "base/log.h"

static uint8_t *sqe_buffer(unsigned idx)
{
	return (uint8_t *)(uintptr_t)sqes[idx].addr;
}

/* A read of 512 bytes from a disk of 4096-byte blocks, and from one that ends too early. */
static void test_bounce_widened(void **state)
{
	struct iovec iov = {memory + 1, 1024};
	struct storage_op op = op_of(STORAGE_READ, &iov, 1, 4096 + 3584, 1024);
	struct fixture f;

	(void)state;
	fixture_init(&f, 4096, false);
	submit(&f, &op);
	assert_sqe(0, IORING_OP_READ, sqes[0].addr, 8192, 4096);
	assert_int_equal(sqes[0].addr % 4096, 0);
	for (unsigned i = 0; i < 8192; i++)
		sqe_buffer(0)[i] = (uint8_t)(i >> 4);
	memset(memory, 0xff, 4096);
	complete(0, 8192);
	assert_reaped(&f, &op, 0);
	for (unsigned i = 0; i < 1024; i++)
		assert_int_equal(memory[1 + i], (uint8_t)((3584 + i) >> 4));
	assert_int_equal(memory[0], 0xff);
	assert_int_equal(memory[1025], 0xff);
	assert_int_equal(f.stats->bounced, 1);

	/* Short, so that half of it is there: the next read begins at the second block. */
	sqe_cnt = 0;
	submit(&f, &op);
	complete(0, 4096);
	assert_sqe(1, IORING_OP_READ, sqes[0].addr, 4096, 8192);
	complete(1, -EAGAIN);
	expire();
	assert_sqe(2, IORING_OP_READ, sqes[0].addr, 4096, 8192);
	complete(2, 512);
	assert_reaped(&f, &op, 0);

	/* So short that nothing of ours is there. */
	for (int got = 0; got <= 3584; got += 3584) {
		sqe_cnt = 0;
		submit(&f, &op);
		complete(0, got);
		assert_reaped(&f, &op, -EIO);
		assert_int_equal(sqe_cnt, 1);
	}
	fixture_fini(&f);
}

static void test_bounce_write(void **state)
{
	struct iovec iov = {memory + 1, 256 * KIB};
	struct storage_op op = op_of(STORAGE_WRITE, &iov, 1, 0, 256 * KIB);
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < sizeof(memory); i++)
		memory[i] = (uint8_t)(i * 13 + (i >> 8));
	fixture_init(&f, 512, false);
	submit(&f, &op);
	assert_sqe(0, IORING_OP_WRITE, sqes[0].addr, FILE_BOUNCE_BYTES, 0);
	assert_memory_equal(sqe_buffer(0), memory + 1, FILE_BOUNCE_BYTES);
	complete(0, 65536);
	assert_sqe(1, IORING_OP_WRITE, sqes[0].addr, FILE_BOUNCE_BYTES, 65536);
	assert_memory_equal(sqe_buffer(1), memory + 1 + 65536, FILE_BOUNCE_BYTES);
	complete(1, FILE_BOUNCE_BYTES);
	assert_sqe(2, IORING_OP_WRITE, sqes[0].addr, 65536, 3 * 65536);
	assert_memory_equal(sqe_buffer(2), memory + 1 + 3 * 65536, 65536);
	complete(2, 65536);
	assert_reaped(&f, &op, 0);
	assert_int_equal(f.stats->bounced, 1);
	assert_int_equal(f.stats->retries, 1);
	sqe_cnt = 0;
	submit(&f, &op);
	complete(0, -ENOSPC);
	assert_reaped(&f, &op, -ENOSPC);
	fixture_fini(&f);
}

/* Nobody keeps a buffer while others wait for one. */
static void test_bounce_turns(void **state)
{
	enum { OPS = FILE_BOUNCE_MAX + 2 };
	struct iovec iov = {memory + 1, 256 * KIB};
	struct storage_op op[OPS];
	struct fixture f;
	unsigned next = 0;

	(void)state;
	fixture_init(&f, 512, false);
	for (unsigned i = 0; i < OPS; i++) {
		op[i] = op_of(STORAGE_READ, &iov, 1, i * MIB, 256 * KIB);
		submit(&f, &op[i]);
	}
	assert_int_equal(sqe_cnt, FILE_BOUNCE_MAX);
	assert_int_equal(f.stats->bounce_waits, 2);
	/* The first half of the first is there: now the first of those that wait. */
	complete(next++, FILE_BOUNCE_BYTES);
	assert_int_equal(sqes[FILE_BOUNCE_MAX].off, FILE_BOUNCE_MAX * MIB);
	complete(next++, FILE_BOUNCE_BYTES);
	assert_int_equal(sqes[FILE_BOUNCE_MAX + 1].off, (FILE_BOUNCE_MAX + 1) * MIB);
	/* And in the end all of it. */
	while (next < sqe_cnt)
		complete(next++, FILE_BOUNCE_BYTES);
	assert_int_equal(next, 2 * OPS);
	for (unsigned i = 0; i < OPS; i++) {
		struct storage_op *got;

		assert_int_equal(storage_reap(f.channel, &got, 1), 1);
		assert_int_equal(got->result, 0);
	}
	fixture_fini(&f);
}

static void test_discard_ladder(void **state)
{
	struct storage_op op = op_of(STORAGE_DISCARD, NULL, 0, 4096, MIB);
	struct storage_op two = op;
	struct fixture f;

	(void)state;
	fixture_init(&f, 512, true);
	submit(&f, &op);
	submit(&f, &two);
	assert_int_equal(sqes[0].opcode, IORING_OP_URING_CMD);
	assert_int_equal(sqes[0].cmd_op, 0x1200);
	assert_int_equal(sqes[0].addr, 4096);
	assert_int_equal(sqes[0].addr3, MIB);
	/* Linux before 6.12: both were under way; one step down, not two. */
	complete(0, -EOPNOTSUPP);
	assert_fallocate(2, FALLOC_FL_PUNCH_HOLE, 4096, MIB);
	complete(1, -EINVAL);
	assert_fallocate(3, FALLOC_FL_PUNCH_HOLE, 4096, MIB);
	complete(2, 0);
	assert_reaped(&f, &op, 0);
	complete(3, -EOPNOTSUPP);
	assert_reaped(&f, &two, 0);
	/* It cannot be done: that is known now, and no error. */
	submit(&f, &op);
	assert_int_equal(sqe_cnt, 4);
	assert_reaped(&f, &op, 0);
	fixture_fini(&f);

	/* Nor does an answer that comes late lead back up. */
	fixture_init(&f, 512, true);
	submit(&f, &op);
	submit(&f, &two);
	complete(0, -EOPNOTSUPP);
	complete(2, -EOPNOTSUPP);
	assert_reaped(&f, &op, 0);
	complete(1, -EOPNOTSUPP);
	assert_int_equal(sqe_cnt, 3);
	assert_reaped(&f, &two, 0);
	fixture_fini(&f);

	/* A real error is one. */
	fixture_init(&f, 512, false);
	submit(&f, &op);
	assert_fallocate(0, FALLOC_FL_PUNCH_HOLE, 4096, MIB);
	complete(0, -EIO);
	assert_reaped(&f, &op, -EIO);
	fixture_fini(&f);
}

static void test_zeroes_ladder(void **state)
{
	enum { LEN = 2 * MIB - 128 * KIB + 512 };
	struct storage_op op = op_of(STORAGE_WRITE_ZEROES, NULL, 0, 512, LEN);
	struct fixture f;

	(void)state;
	op.may_unmap = true;
	fixture_init(&f, 512, false);
	submit(&f, &op);
	assert_fallocate(0, FALLOC_FL_PUNCH_HOLE, 512, LEN);
	complete(0, -EOPNOTSUPP);
	assert_fallocate(1, FALLOC_FL_ZERO_RANGE, 512, LEN);
	complete(1, -EOPNOTSUPP);
	assert_int_equal(sqes[2].opcode, IORING_OP_WRITEV);
	assert_int_equal(sqes[2].off, 512);
	/* What it writes are zeroes, a MiB of them. */
	for (unsigned i = 0, bytes = 0; i <= sqes[2].len; i++) {
		const struct iovec *iov = (const struct iovec *)(uintptr_t)sqes[2].addr;

		if (i == sqes[2].len) {
			assert_int_equal(bytes, MIB);
			break;
		}
		bytes += (unsigned)iov[i].iov_len;
		assert_int_equal((uintptr_t)iov[i].iov_base % 4096, 0);
		for (size_t j = 0; j < iov[i].iov_len; j++)
			assert_int_equal(((uint8_t *)iov[i].iov_base)[j], 0);
	}
	complete(2, 512);
	assert_int_equal(sqes[3].off, 1024);
	complete(3, -EAGAIN);
	expire();
	assert_int_equal(sqes[4].opcode, IORING_OP_WRITEV);
	assert_int_equal(sqes[4].off, 1024);
	complete(4, MIB);
	assert_int_equal(sqes[5].off, 1024 + MIB);
	assert_int_equal(sqes[5].len, 3); /* of four quarters, what fits */
	complete(5, 768 * KIB);
	assert_int_equal(sqes[6].opcode, IORING_OP_WRITE);
	assert_int_equal(sqes[6].off, 1024 + MIB + 768 * KIB);
	assert_int_equal(sqes[6].len, 128 * KIB);
	complete(6, (int)sqes[6].len);
	assert_reaped(&f, &op, 0);
	/* From now on written at once; without leave to unmap it is another question. */
	sqe_cnt = 0;
	submit(&f, &op);
	assert_int_equal(sqes[0].opcode, IORING_OP_WRITEV);
	complete(0, -ENOSPC);
	assert_reaped(&f, &op, -ENOSPC);
	sqe_cnt = 0;
	submit(&f, &op);
	complete(0, 0);
	assert_reaped(&f, &op, -EIO);
	op.may_unmap = false;
	sqe_cnt = 0;
	submit(&f, &op);
	assert_fallocate(0, FALLOC_FL_ZERO_RANGE, 512, LEN);
	complete(0, 0);
	assert_reaped(&f, &op, 0);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounce_widened), cmocka_unit_test(test_bounce_write),
		cmocka_unit_test(test_bounce_turns),   cmocka_unit_test(test_discard_ladder),
		cmocka_unit_test(test_zeroes_ladder),
	};

	/* Failures are what this is about; each has its own assertion. */
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
