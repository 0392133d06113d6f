/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discard and zeroes on files and block devices: the best way that the file system or the device
 * can, and the next one when it says that it cannot.
 * Not the decision whether a disk offers discard at all (file_open.c).
 *
 * Each use of a range has a ladder of ways. A channel remembers where on it the file stands, so a
 * way that is not supported is tried once, or as often as requests were under way by then.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>

#include "base/check.h"
#include "base/overflow.h"
#include "storage/file_priv.h"

/* <linux/blkdev.h> of Linux 6.12: discards addr.. addr + addr3 without waiting. */
#ifndef BLOCK_URING_CMD_DISCARD
#define BLOCK_URING_CMD_DISCARD _IO(0x12, 0)
#endif

#define ZEROES_BYTES (256u * 1024)

/* Never written: all pages are the kernel's zero page. Aligned for O_DIRECT. */
static uint8_t zeroes[ZEROES_BYTES] __attribute__((aligned(4096)));

static const struct iovec zeroes_iov[] = {
	{zeroes, ZEROES_BYTES},
	{zeroes, ZEROES_BYTES},
	{zeroes, ZEROES_BYTES},
	{zeroes, ZEROES_BYTES},
};

static enum file_way file_way_first(enum file_range_use use, bool is_device)
{
	switch (use) {
	case FILE_RANGE_DISCARD:
		return is_device ? FILE_WAY_DISCARD_CMD : FILE_WAY_PUNCH;
	case FILE_RANGE_ZERO_UNMAP:
		return FILE_WAY_PUNCH;
	default:
		return FILE_WAY_ZERO_RANGE;
	}
}

static enum file_way file_way_next(enum file_range_use use, enum file_way way)
{
	switch (way) {
	case FILE_WAY_DISCARD_CMD:
		return FILE_WAY_PUNCH;
	case FILE_WAY_PUNCH:
		return use == FILE_RANGE_DISCARD ? FILE_WAY_NONE : FILE_WAY_ZERO_RANGE;
	case FILE_WAY_ZERO_RANGE:
		return FILE_WAY_WRITE;
	default:
		return FILE_WAY_NONE;
	}
}

static enum file_range_use file_range_use_of(const struct file_storage *file,
					     const struct storage_op *op)
{
	if (op->kind == STORAGE_DISCARD)
		return FILE_RANGE_DISCARD;
	return op->may_unmap && file->base.discard ? FILE_RANGE_ZERO_UNMAP : FILE_RANGE_ZERO_KEEP;
}

void file_range_init(struct file_channel *channel)
{
	const struct file_storage *file = file_channel_file(channel);

	for (unsigned use = 0; use < FILE_RANGE_USE_MAX_; use++)
		channel->way[use] =
			(uint8_t)file_way_first((enum file_range_use)use, file->is_device);
	if (!file->base.info.can_discard)
		channel->way[FILE_RANGE_DISCARD] = FILE_WAY_NONE;
}

static void file_range_command(struct file_channel *channel, struct storage_op *op, uint64_t start,
			       uint64_t len)
{
	struct io_uring_sqe *sqe = file_sqe(channel);
	int mode = FALLOC_FL_KEEP_SIZE;

	if (op->way == FILE_WAY_DISCARD_CMD) {
		sqe->opcode = IORING_OP_URING_CMD;
		sqe->cmd_op = BLOCK_URING_CMD_DISCARD;
		sqe->addr = start;
		sqe->addr3 = len;
	} else {
		mode |= op->way == FILE_WAY_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
		io_uring_prep_fallocate(sqe, -1, mode, (off_t)start, (off_t)len);
	}
	op->piece_bytes = op->len_bytes;
	file_sqe_bind(sqe, op);
	/* Not a slot: a device drops its pages only for who holds the claim (else EBUSY). */
	sqe->fd = file_claim_fd(file_channel_file(channel));
	sqe->flags = 0;
}

/* A MiB at a time, or what is left of less than a buffer. */
static void file_range_write(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	uint64_t pos = op->offset_bytes + op->done_bytes;
	uint64_t left = op->len_bytes - op->done_bytes;
	struct io_uring_sqe *sqe;
	unsigned cnt;

	if (((pos | left) & (file->io_align - 1)) != 0) {
		file_op_refuse_unaligned(channel, op);
		return;
	}
	sqe = file_sqe(channel);
	if (left < ZEROES_BYTES) {
		op->piece_bytes = left;
		io_uring_prep_write(sqe, -1, zeroes, (unsigned)left, pos);
	} else {
		cnt = ARRAY_LEN(zeroes_iov);
		if (left / ZEROES_BYTES < cnt)
			cnt = (unsigned)(left / ZEROES_BYTES);
		op->piece_bytes = (uint64_t)cnt * ZEROES_BYTES;
		io_uring_prep_writev(sqe, -1, zeroes_iov, cnt, pos);
	}
	file_sqe_bind(sqe, op);
}

void file_range_continue(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	uint64_t start = op->offset_bytes, end = start + op->len_bytes;
	uint64_t align = file->range_align;

	op->way = channel->way[file_range_use_of(file, op)];
	if (op->kind == STORAGE_DISCARD) {
		/* A hint: what is finer than a block stays as it is. */
		start = align_down(start + align - 1, align);
		end = align_down(end, align);
	}
	/* The page cache can write what a device's own zeroing is too coarse for. */
	if (((start | end) & (align - 1)) != 0)
		op->way = FILE_WAY_WRITE;
	if (start >= end || op->way == FILE_WAY_NONE)
		storage_channel_complete(&channel->base, op, 0);
	else if (op->way == FILE_WAY_WRITE)
		file_range_write(channel, op);
	else
		file_range_command(channel, op, start, end - start);
}

static bool file_range_unsupported(const struct storage_op *op, int res)
{
	switch (res) {
	case -EOPNOTSUPP:
	case -ENOSYS:
	case -ENOTTY:
		return true;
	case -EINVAL:
		/* Kernels that do not know the command. */
		return op->way == FILE_WAY_DISCARD_CMD;
	default:
		return false;
	}
}

void file_range_done(struct file_channel *channel, struct storage_op *op, int res)
{
	enum file_range_use use = file_range_use_of(file_channel_file(channel), op);

	if (file_op_retried(channel, op, res))
		return;
	if (op->way != FILE_WAY_WRITE && file_range_unsupported(op, res)) {
		/* Others that were under way may have moved the channel on already. */
		if (channel->way[use] == op->way)
			channel->way[use] = (uint8_t)file_way_next(use, (enum file_way)op->way);
		file_range_continue(channel, op);
		return;
	}
	if (res < 0 || op->way != FILE_WAY_WRITE) {
		storage_channel_complete(&channel->base, op, res);
		return;
	}
	CHECK((uint64_t)res <= op->piece_bytes);
	if ((uint64_t)res < op->piece_bytes)
		stat_inc(&channel->base.stats->retries);
	op->done_bytes += (uint64_t)res;
	if (res == 0)
		storage_channel_complete(&channel->base, op, -EIO);
	else if (op->done_bytes == op->len_bytes)
		storage_channel_complete(&channel->base, op, 0);
	else
		file_range_write(channel, op);
}
