/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes whose memory or lengths O_DIRECT refuses, through aligned buffers of our own.
 * Not read-modify-write: a write finer than a block is refused before it comes here.
 *
 * A channel has at most FILE_BOUNCE_MAX buffers, so a guest can only slow itself down. An operation
 * holds one for a piece at a time; between pieces it goes behind those that wait. An operation is
 * bounced as a whole: scratch, once set, says so.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/overflow.h"
#include "guest/iov.h"
#include "storage/file_priv.h"

static void file_bounce_wait(struct file_channel *channel, struct storage_op *op)
{
	op->next = NULL;
	*channel->bounce_wait_tail = op;
	channel->bounce_wait_tail = &op->next;
}

static struct storage_op *file_bounce_next_waiter(struct file_channel *channel)
{
	struct storage_op *op = channel->bounce_wait_head;

	if (op) {
		channel->bounce_wait_head = op->next;
		if (!op->next)
			channel->bounce_wait_tail = &channel->bounce_wait_head;
	}
	return op;
}

/* NULL: all are in use, and somebody will give one back; or there is no memory (*failed). */
static void *file_bounce_take(struct file_channel *channel, bool *failed)
{
	struct file_storage *file = file_channel_file(channel);
	size_t align = file->io_align > file->mem_align ? file->io_align : file->mem_align;
	struct file_bounce *buffer = channel->bounce_free;
	void *memory = NULL;

	*failed = false;
	if (buffer) {
		channel->bounce_free = buffer->next;
		channel->bounce_free_cnt--;
		return buffer;
	}
	if (channel->bounce_cnt == FILE_BOUNCE_MAX)
		return NULL;
	if (posix_memalign(&memory, align < 4096 ? 4096 : align, FILE_BOUNCE_BYTES) != 0) {
		/* With others in use it is only a wait. */
		*failed = channel->bounce_cnt == channel->bounce_free_cnt;
		return NULL;
	}
	channel->bounce_cnt++;
	return memory;
}

static void file_bounce_put(struct file_channel *channel, void *memory)
{
	struct file_bounce *buffer = memory;

	if (channel->bounce_free_cnt >= FILE_BOUNCE_KEEP) {
		channel->bounce_cnt--;
		free(memory);
		return;
	}
	buffer->next = channel->bounce_free;
	channel->bounce_free = buffer;
	channel->bounce_free_cnt++;
}

/* Where the next piece lies: the file's position, aligned down, and what is before the data. */
static uint64_t file_bounce_pos(const struct file_storage *file, const struct storage_op *op,
				uint32_t *head_bytes)
{
	uint64_t pos = op->offset_bytes + op->done_bytes;
	uint64_t start = align_down(pos, file->io_align);

	*head_bytes = (uint32_t)(pos - start);
	return start;
}

/* Asks for the next piece, op->scratch being a buffer. */
static void file_bounce_issue(struct file_channel *channel, struct storage_op *op)
{
	struct file_storage *file = file_channel_file(channel);
	struct io_uring_sqe *sqe;
	struct iov_cursor cur;
	uint32_t head_bytes;
	uint64_t start = file_bounce_pos(file, op, &head_bytes);
	uint64_t want = head_bytes + op->len_bytes - op->done_bytes;

	/* A read is widened to whole blocks at both ends; a write has them. */
	want = align_down(want + file->io_align - 1, file->io_align);
	op->piece_bytes = want < FILE_BOUNCE_BYTES ? want : FILE_BOUNCE_BYTES;
	sqe = file_sqe(channel);
	if (op->kind == STORAGE_READ) {
		io_uring_prep_read(sqe, -1, op->scratch, (unsigned)op->piece_bytes, start);
	} else {
		iov_cursor_init(&cur, op->iov, op->iov_cnt);
		iov_skip(&cur, op->done_bytes);
		iov_copy_in(&cur, op->scratch, op->piece_bytes);
		io_uring_prep_write(sqe, -1, op->scratch, (unsigned)op->piece_bytes, start);
	}
	file_sqe_bind(sqe, op);
}

void file_bounce_continue(struct file_channel *channel, struct storage_op *op)
{
	bool failed;

	if (!op->scratch) {
		if (op->done_bytes == 0)
			stat_inc(&channel->base.stats->bounced);
		op->scratch = file_bounce_take(channel, &failed);
		if (failed) {
			storage_channel_complete(&channel->base, op, -ENOMEM);
			return;
		}
		if (!op->scratch) {
			stat_inc(&channel->base.stats->bounce_waits);
			file_bounce_wait(channel, op);
			return;
		}
	}
	file_bounce_issue(channel, op);
}

void file_bounce_release(struct file_channel *channel, struct storage_op *op)
{
	struct storage_op *waiter = file_bounce_next_waiter(channel);
	void *memory = op->scratch;

	op->scratch = NULL;
	if (!waiter) {
		file_bounce_put(channel, memory);
		return;
	}
	waiter->scratch = memory;
	file_bounce_issue(channel, waiter);
}

/* Takes over what a request brought. False: there was nothing for us in it. */
static bool file_bounce_advance(struct file_channel *channel, struct storage_op *op, uint64_t got)
{
	struct file_storage *file = file_channel_file(channel);
	uint64_t left = op->len_bytes - op->done_bytes;
	uint32_t head_bytes;
	struct iov_cursor cur;

	file_bounce_pos(file, op, &head_bytes);
	if (got <= head_bytes)
		return false;
	got -= head_bytes;
	if (got > left)
		got = left;
	if (op->kind == STORAGE_READ) {
		iov_cursor_init(&cur, op->iov, op->iov_cnt);
		iov_skip(&cur, op->done_bytes);
		iov_copy_out(&cur, (const uint8_t *)op->scratch + head_bytes, got);
	}
	op->done_bytes += got;
	return true;
}

void file_bounce_done(struct file_channel *channel, struct storage_op *op, int res)
{
	int result = 0;

	if (file_op_retried(channel, op, res))
		return;
	if (res < 0) {
		result = res;
	} else {
		CHECK((uint64_t)res <= op->piece_bytes);
		if ((uint64_t)res < op->piece_bytes)
			stat_inc(&channel->base.stats->retries);
		if (!file_bounce_advance(channel, op, (uint64_t)res))
			result = -EIO;
	}
	if (result < 0 || op->done_bytes == op->len_bytes) {
		file_bounce_release(channel, op);
		storage_channel_complete(&channel->base, op, result);
	} else if (channel->bounce_wait_head) {
		file_bounce_wait(channel, op);
		file_bounce_release(channel, op);
	} else {
		file_bounce_issue(channel, op);
	}
}

void file_bounce_fini(struct file_channel *channel)
{
	struct file_bounce *buffer;

	CHECK(channel->bounce_cnt == channel->bounce_free_cnt);
	while ((buffer = channel->bounce_free)) {
		channel->bounce_free = buffer->next;
		free(buffer);
	}
}
