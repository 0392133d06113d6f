/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes of files through io_uring, straight from and to the submitter's iovecs.
 * Not the copying of what O_DIRECT refuses (file_bounce.c).
 *
 * An operation of more than IOV_MAX iovecs is done in parts that end at an entry. The array is not
 * ours to change, so a transfer that stopped within an entry goes on with one plain request for the
 * rest of that entry, and then at an entry again: no trimmed copies are needed.
 */
#include <errno.h>
#include <limits.h>

#include "base/check.h"
#include "guest/iov.h"
#include "storage/file_priv.h"

/* An SQE's length has 32 bits, and the kernel moves 2 GiB less a page at once at most. */
#define PART_MAX_BYTES (1ull << 30)

bool file_io_aligned(const struct file_storage *file, const struct storage_op *op)
{
	uint64_t io_bits = op->offset_bytes + op->done_bytes;
	uintptr_t mem_bits = 0;

	if (!file->direct)
		return true;
	for (uint32_t i = 0; i < op->iov_cnt; i++) {
		mem_bits |= (uintptr_t)op->iov[i].iov_base;
		io_bits |= op->iov[i].iov_len;
	}
	return (io_bits & (file->io_align - 1)) == 0 && (mem_bits & (file->mem_align - 1)) == 0;
}

static void file_io_single(struct file_channel *channel, struct storage_op *op, uint8_t *base,
			   uint64_t len)
{
	struct io_uring_sqe *sqe = file_sqe(channel);
	uint64_t pos = op->offset_bytes + op->done_bytes;
	bool read = op->kind == STORAGE_READ;
	int idx;

	op->piece_bytes = len < PART_MAX_BYTES ? len : PART_MAX_BYTES;
	idx = file_pin_idx(channel, (uint64_t)(uintptr_t)base, op->piece_bytes);
	if (idx >= 0) {
		io_uring_prep_rw(read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED, sqe, -1, base,
				 (unsigned)op->piece_bytes, pos);
		sqe->buf_index = (uint16_t)idx;
		stat_inc(&channel->base.stats->fixed);
	} else {
		io_uring_prep_rw(read ? IORING_OP_READ : IORING_OP_WRITE, sqe, -1, base,
				 (unsigned)op->piece_bytes, pos);
	}
	file_sqe_bind(sqe, op);
}

static void file_io_vector(struct file_channel *channel, struct storage_op *op,
			   const struct iovec *iov, unsigned cnt)
{
	struct io_uring_sqe *sqe = file_sqe(channel);
	uint64_t pos = op->offset_bytes + op->done_bytes;

	if (cnt > IOV_MAX) {
		cnt = IOV_MAX;
		op->piece_bytes = iov_total_bytes(iov, cnt);
	} else {
		op->piece_bytes = op->len_bytes - op->done_bytes;
	}
	if (op->kind == STORAGE_READ)
		io_uring_prep_readv(sqe, -1, iov, cnt, pos);
	else
		io_uring_prep_writev(sqe, -1, iov, cnt, pos);
	file_sqe_bind(sqe, op);
}

/* Does a write of what is left begin and end at a block? Reads may begin and end anywhere. */
static bool file_io_bounceable(const struct file_storage *file, const struct storage_op *op)
{
	uint64_t bits = (op->offset_bytes + op->done_bytes) | (op->len_bytes - op->done_bytes);

	return op->kind == STORAGE_READ || (bits & (file->io_align - 1)) == 0;
}

void file_io_continue(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	struct iov_cursor cur;

	if (op->done_bytes == op->len_bytes) {
		storage_channel_complete(&channel->base, op, 0);
		return;
	}
	if (unlikely(op->scratch || !file_io_aligned(file, op))) {
		if (op->scratch || file_io_bounceable(file, op))
			file_bounce_continue(channel, op);
		else
			file_op_refuse_unaligned(channel, op);
		return;
	}
	iov_cursor_init(&cur, op->iov, op->iov_cnt);
	if (op->done_bytes > 0)
		iov_skip(&cur, op->done_bytes);
	while (cur.offset_bytes == cur.iov->iov_len) {
		cur.iov++;
		cur.cnt--;
		cur.offset_bytes = 0;
	}
	if (cur.cnt == 1 || cur.offset_bytes > 0)
		file_io_single(channel, op, (uint8_t *)cur.iov->iov_base + cur.offset_bytes,
			       cur.iov->iov_len - cur.offset_bytes);
	else
		file_io_vector(channel, op, cur.iov, cur.cnt);
}

void file_io_done(struct file_channel *channel, struct storage_op *op, int res)
{
	if (unlikely(op->scratch)) {
		file_bounce_done(channel, op, res);
		return;
	}
	if (file_op_retried(channel, op, res))
		return;
	if (res <= 0) {
		/* No progress and no error: the file ends here, whatever its size once was. */
		storage_channel_complete(&channel->base, op, res < 0 ? res : -EIO);
		return;
	}
	CHECK((uint64_t)res <= op->piece_bytes);
	op->done_bytes += (uint64_t)res;
	if (likely(op->done_bytes == op->len_bytes)) {
		storage_channel_complete(&channel->base, op, 0);
		return;
	}
	if ((uint64_t)res < op->piece_bytes)
		stat_inc(&channel->base.stats->retries);
	file_io_continue(channel, op);
}
