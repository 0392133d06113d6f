/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file back end's channels: what becomes of a burst, and of a completion.
 * Not the opening of files (file_open.c), nor how each kind of operation is cut into requests.
 *
 * Theory of operation
 *
 * 1. An operation is a little state machine of its own fields: done_bytes says how far it is,
 *    file_op_continue() asks the kernel for the next part, file_op_done() takes the answer. Each
 *    answer either moves done_bytes, counts as an attempt, or ends the operation; so it ends.
 * 2. io_uring is the rule. The worker enters the ring once a turn; nothing is submitted here.
 * 3. Synchronous calls are the exception, at most 64 KiB each and 256 KiB a turn: where the file
 *    system has no asynchronous path (then io_uring would wake a kernel thread for each request),
 *    and for reads of what is in the page cache. A call of more than 1 ms turns the channel to
 *    io_uring for 10 s.
 * 4. Completing an operation is the last thing done with it, and with the channel's state.
 */
#include <errno.h>
#include <limits.h>
#include <sys/uio.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/file_priv.h"

#define SYNC_CALL_BYTES (64u * 1024)
#define SYNC_TURN_BYTES (256u * 1024)
#define SYNC_SLOW_NS NS_PER_MS
#define SYNC_PAUSE_NS (10 * NS_PER_S)

#define RETRY_NS NS_PER_MS
#define RETRY_MAX 1000u

static void file_op_done(struct uring_op *uring_op, int res, uint32_t cqe_flags)
{
	struct storage_op *op = container_of(uring_op, struct storage_op, uring);
	struct file_channel *channel = file_channel_of(op->channel);

	(void)cqe_flags;
	switch (op->kind) {
	case STORAGE_READ:
	case STORAGE_WRITE:
		file_io_done(channel, op, res);
		return;
	case STORAGE_FLUSH:
		if (!file_op_retried(channel, op, res))
			storage_channel_complete(&channel->base, op, res);
		return;
	default:
		file_range_done(channel, op, res);
	}
}

struct io_uring_sqe *file_sqe(struct file_channel *channel)
{
	return uring_sqe(worker_uring(channel->base.worker));
}

void file_sqe_bind(struct io_uring_sqe *sqe, struct storage_op *op)
{
	struct file_channel *channel = file_channel_of(op->channel);

	op->uring.done = file_op_done;
	/* The io_uring_prep_ functions have set both. */
	sqe->fd = channel->sqe_fd;
	sqe->flags = channel->sqe_flags;
	uring_sqe_bind(sqe, &op->uring);
}

static void file_flush(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	struct io_uring_sqe *sqe;

	if (file->base.info.read_only) {
		storage_channel_complete(&channel->base, op, 0);
		return;
	}
	sqe = file_sqe(channel);
	io_uring_prep_fsync(sqe, -1, IORING_FSYNC_DATASYNC);
	file_sqe_bind(sqe, op);
}

void file_op_continue(struct file_channel *channel, struct storage_op *op)
{
	switch (op->kind) {
	case STORAGE_READ:
	case STORAGE_WRITE:
		file_io_continue(channel, op);
		return;
	case STORAGE_FLUSH:
		file_flush(channel, op);
		return;
	default:
		file_range_continue(channel, op);
	}
}

static void file_retry_expired(struct worker *worker, struct worker_timer *timer)
{
	struct file_channel *channel = container_of(timer, struct file_channel, retry_timer);
	struct storage_op *op = channel->retry_head;

	(void)worker;
	channel->retry_head = NULL;
	channel->retry_tail = &channel->retry_head;
	while (op) {
		struct storage_op *next = op->next;

		file_op_continue(channel, op);
		op = next;
	}
}

bool file_op_retried(struct file_channel *channel, struct storage_op *op, int res)
{
	struct worker *worker = channel->base.worker;

	if (res != -EINTR && res != -EAGAIN) {
		op->attempts = 0;
		return false;
	}
	if (++op->attempts > RETRY_MAX)
		return false;
	stat_inc(&channel->base.stats->retries);
	if (res == -EINTR) {
		file_op_continue(channel, op);
		return true;
	}
	op->next = NULL;
	if (!channel->retry_head)
		worker_timer_set(worker, &channel->retry_timer, worker_now_ns(worker) + RETRY_NS);
	*channel->retry_tail = op;
	channel->retry_tail = &op->next;
	return true;
}

void file_op_refuse_unaligned(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	unsigned held_back;

	stat_inc(&channel->base.stats->unaligned_writes);
	if (log_limit_pass(&channel->unaligned_limit, worker_now_ns(channel->base.worker),
			   &held_back))
		log_warn(file->base.tag,
			 "a %s of %llu bytes at %llu is finer than the %u-byte blocks of %s; the "
			 "guest must use such blocks, or the disk cache=writeback",
			 storage_kind_name(op->kind), (unsigned long long)op->len_bytes,
			 (unsigned long long)op->offset_bytes, file->io_align, file->path);
	storage_channel_complete(&channel->base, op, -EIO);
}

/* How many bytes of synchronous calls this turn has left. */
static uint32_t file_sync_budget(struct file_channel *channel)
{
	uint64_t now_ns = worker_now_ns(channel->base.worker);

	if (now_ns < channel->async_until_ns)
		return 0;
	if (channel->sync_turn_ns != now_ns) {
		channel->sync_turn_ns = now_ns;
		channel->sync_left_bytes = SYNC_TURN_BYTES;
	}
	return channel->sync_left_bytes;
}

static ssize_t file_sync_call(struct file_channel *channel, const struct file_storage *file,
			      const struct storage_op *op)
{
	int flags = file->sync == FILE_SYNC_CACHED ? RWF_NOWAIT : 0;
	uint64_t start_ns = clock_now_ns(), end_ns;
	ssize_t res;

	if (op->kind == STORAGE_READ)
		res = preadv2(file->fd, op->iov, (int)op->iov_cnt, (off_t)op->offset_bytes, flags);
	else
		res = pwritev2(file->fd, op->iov, (int)op->iov_cnt, (off_t)op->offset_bytes, flags);
	if (res < 0)
		res = -errno;
	end_ns = clock_now_ns();
	channel->sync_left_bytes -= (uint32_t)op->len_bytes;
	stat_inc(&channel->base.stats->sync_calls);
	if (end_ns - start_ns > SYNC_SLOW_NS) {
		channel->async_until_ns = end_ns + SYNC_PAUSE_NS;
		stat_inc(&channel->base.stats->sync_slow);
	}
	return res;
}

/* True if the operation was completed; else io_uring does it, or what is left of it. */
static bool file_sync_try(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	ssize_t res;

	if (op->kind != STORAGE_READ &&
	    (op->kind != STORAGE_WRITE || file->sync != FILE_SYNC_ALWAYS))
		return false;
	if (op->len_bytes > SYNC_CALL_BYTES || op->iov_cnt > IOV_MAX ||
	    op->len_bytes > file_sync_budget(channel) || !file_io_aligned(file, op))
		return false;
	res = file_sync_call(channel, file, op);
	if (likely(res == (ssize_t)op->len_bytes)) {
		storage_channel_complete(&channel->base, op, 0);
		return true;
	}
	if (res > 0) {
		op->done_bytes = (uint64_t)res;
		stat_inc(&channel->base.stats->retries);
	}
	/* An error, EAGAIN first of all, is io_uring's to find again: one place judges them. */
	return false;
}

static void file_submit(struct storage_channel *base, struct storage_op *const *ops, unsigned cnt)
{
	struct file_channel *channel = file_channel_of(base);
	const struct file_storage *file = file_channel_file(channel);
	bool sync = file->sync != FILE_SYNC_NEVER;

	for (unsigned i = 0; i < cnt; i++) {
		struct storage_op *op = ops[i];

		op->done_bytes = 0;
		op->attempts = 0;
		op->scratch = NULL;
		if (unlikely(!storage_op_within(&file->base, op)))
			storage_channel_complete(base, op, -EIO);
		else if (!sync || !file_sync_try(channel, op))
			file_op_continue(channel, op);
	}
}

static int file_channel_open(struct storage_channel *base, struct err *err)
{
	struct file_channel *channel = file_channel_of(base);
	struct file_storage *file = file_channel_file(channel);

	(void)err;
	channel->file_slot = -1;
	if (file->claim_fd >= 0)
		channel->file_slot = uring_file_get(worker_uring(base->worker), file->fd);
	channel->sqe_fd = channel->file_slot < 0 ? file->fd : channel->file_slot;
	channel->sqe_flags = channel->file_slot < 0 ? 0 : IOSQE_FIXED_FILE;
	channel->bounce_wait_tail = &channel->bounce_wait_head;
	channel->retry_tail = &channel->retry_head;
	channel->retry_timer.expired = file_retry_expired;
	file_range_init(channel);
	return 0;
}

static void file_channel_close(struct storage_channel *base)
{
	struct file_channel *channel = file_channel_of(base);

	CHECK(!channel->retry_head && !channel->bounce_wait_head);
	worker_timer_cancel(base->worker, &channel->retry_timer);
	file_bounce_fini(channel);
	file_pin_fini(channel);
	uring_file_put(worker_uring(base->worker), channel->file_slot);
}

const struct storage_ops file_storage_ops = {
	.storage_bytes = sizeof(struct file_storage),
	.channel_bytes = sizeof(struct file_channel),
	.open = file_open,
	.close = file_close,
	.refresh = file_refresh,
	.channel_open = file_channel_open,
	.channel_close = file_channel_close,
	.submit = file_submit,
	.map_guest = file_pin_map_guest,
};
