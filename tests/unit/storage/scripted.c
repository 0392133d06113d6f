/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See scripted.h. Not a test.
 */
#include "scripted.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* The worker, as far as storage/ knows it. */

struct io_uring_sqe sqes[64];
unsigned sqe_cnt;
uint64_t now_ns = 1000 * NS_PER_S;
struct worker_timer *timer;

uint64_t worker_now_ns(const struct worker *worker)
{
	(void)worker;
	return now_ns;
}

struct uring *worker_uring(struct worker *worker)
{
	(void)worker;
	return NULL;
}

struct io_uring_sqe *uring_sqe(struct uring *uring)
{
	(void)uring;
	assert_true(sqe_cnt < ARRAY_LEN(sqes));
	memset(&sqes[sqe_cnt], 0, sizeof(sqes[0]));
	return &sqes[sqe_cnt++];
}

int file_slot = -1;
unsigned file_puts;

int uring_file_get(struct uring *uring, int fd)
{
	(void)uring;
	assert_int_equal(fd, FD);
	return file_slot;
}

void uring_file_put(struct uring *uring, int slot)
{
	(void)uring;
	assert_int_equal(slot, file_slot);
	file_puts++;
}

/* Registered memory: each piece that a test asked for, in slots from its own number on. */
struct uring_memory memories[4];

int uring_memory_get(struct uring *uring, const void *identity, void *base, uint64_t size_bytes,
		     struct uring_memory **out)
{
	(void)uring;
	for (unsigned i = 0; i < ARRAY_LEN(memories); i++) {
		if (memories[i].users > 0)
			continue;
		memories[i] = (struct uring_memory){
			.start = (uint64_t)(uintptr_t)base,
			.size_bytes = size_bytes,
			.ready_bytes = size_bytes,
			.first_idx = 100 * (i + 1),
			.identity = identity,
			.users = 1,
		};
		*out = &memories[i];
		return 0;
	}
	return -ENOSPC;
}

void uring_memory_put(struct uring *uring, struct uring_memory *piece)
{
	(void)uring;
	assert_int_equal(piece->users, 1);
	piece->users = 0;
}

void worker_timer_set(struct worker *worker, struct worker_timer *t, uint64_t deadline_ns)
{
	(void)worker;
	t->deadline_ns = deadline_ns;
	timer = t;
}

void worker_timer_cancel(struct worker *worker, struct worker_timer *t)
{
	(void)worker;
	if (timer == t)
		timer = NULL;
}

/* preadv2 of the synchronous path, by --wrap: what it returns and how long that takes. */
ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int cnt, off_t offset, int flags);
ssize_t sync_result;
int sync_flags;
unsigned sync_calls;
bool sync_slow;

ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int cnt, off_t offset, int flags)
{
	struct timespec pause = {0, 3 * 1000 * 1000};

	(void)iov;
	(void)cnt;
	(void)offset;
	assert_int_equal(fd, FD);
	sync_flags = flags;
	sync_calls++;
	if (sync_slow)
		nanosleep(&pause, NULL);
	errno = sync_result < 0 ? (int)-sync_result : 0;
	return sync_result < 0 ? -1 : sync_result;
}

static void on_complete(void *arg)
{
	((struct fixture *)arg)->completed++;
}

void fixture_init(struct fixture *f, uint32_t io_align, bool is_device)
{
	memset(f, 0, sizeof(*f));
	f->file.base.ops = &file_storage_ops;
	f->file.base.info = (struct storage_info){
		.capacity_bytes = 4096 * MIB, .block_bytes = 512, .can_discard = true};
	f->file.base.discard = true;
	snprintf(f->file.base.tag, sizeof(f->file.base.tag), "disk vda");
	f->file.fd = FD;
	f->file.claim_fd = FD + 1;
	f->file.path = strdup("/x.raw");
	f->file.is_device = is_device;
	f->file.direct = io_align > 1;
	f->file.io_align = io_align;
	f->file.mem_align = io_align > 1 ? 512 : 1;
	f->file.range_align = is_device ? 4096 : 1;
	assert_int_equal(storage_channel_open(&f->file.base, NULL, &f->channel, NULL), 0);
	storage_channel_on_complete(f->channel, on_complete, f);
	f->stats = storage_channel_stats(f->channel);
	sqe_cnt = 0;
	timer = NULL;
	sync_calls = 0;
	sync_slow = false;
}

void fixture_fini(struct fixture *f)
{
	assert_int_equal(storage_pending(f->channel), 0);
	assert_null(timer);
	storage_channel_close(f->channel);
	free(f->file.path);
}

void submit(struct fixture *f, struct storage_op *op)
{
	storage_submit(f->channel, &op, 1);
}

/* The last request that was made must be this one. */
void assert_sqe(unsigned idx, unsigned opcode, uint64_t addr, uint64_t len, uint64_t off)
{
	assert_int_equal(sqe_cnt, idx + 1);
	assert_int_equal(sqes[idx].fd, file_slot < 0 ? FD : file_slot);
	assert_int_equal(sqes[idx].flags, file_slot < 0 ? 0 : IOSQE_FIXED_FILE);
	assert_int_equal(sqes[idx].opcode, opcode);
	assert_int_equal(sqes[idx].addr, addr);
	assert_int_equal(sqes[idx].len, len);
	assert_int_equal(sqes[idx].off, off);
}

void complete(unsigned idx, int res)
{
	struct uring_op *op = (struct uring_op *)(uintptr_t)sqes[idx].user_data;

	op->done(op, res, 0);
}

void assert_reaped(struct fixture *f, const struct storage_op *expected, int result)
{
	struct storage_op *op = NULL;

	assert_int_equal(storage_reap(f->channel, &op, 1), 1);
	assert_ptr_equal(op, expected);
	assert_int_equal(op->result, result);
}

void assert_nothing_reaped(struct fixture *f)
{
	struct storage_op *op;

	assert_int_equal(storage_reap(f->channel, &op, 1), 0);
}

uint8_t memory[512 * KIB] __attribute__((aligned(4096)));

struct storage_op op_of(enum storage_kind kind, struct iovec *iov, unsigned cnt, uint64_t offset,
			uint64_t len)
{
	struct storage_op op = {.kind = kind, .iov = iov, .iov_cnt = cnt};

	op.offset_bytes = offset;
	op.len_bytes = len;
	return op;
}

void expire(void)
{
	struct worker_timer *t = timer;

	assert_non_null(t);
	timer = NULL;
	now_ns = t->deadline_ns;
	t->expired(NULL, t);
}

void assert_fallocate(unsigned idx, int mode, uint64_t start, uint64_t len)
{
	assert_int_equal(sqe_cnt, idx + 1);
	assert_int_equal(sqes[idx].opcode, IORING_OP_FALLOCATE);
	assert_int_equal(sqes[idx].fd, FD + 1);
	assert_int_equal(sqes[idx].flags, 0);
	assert_int_equal(sqes[idx].len, (unsigned)mode | FALLOC_FL_KEEP_SIZE);
	assert_int_equal(sqes[idx].off, start);
	assert_int_equal(sqes[idx].addr, len);
}
