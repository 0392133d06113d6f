/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory: an anonymous mapping, copied to and from within submit.
 * Not durable, and not reserved: memory is taken as the guest writes, and a host that has none left
 * ends the daemon as it would any process.
 *
 * Transparent huge pages are asked for: with 4 KiB pages a random read of 4 KiB spends a quarter of
 * its time walking page tables. So memory is taken 2 MiB at a time where the host has them.
 *
 * What was never written reads as zeroes without a look at the memory (which would map zero pages),
 * so a byte for each 64 KiB says whether anything in there was written. Queues on several workers
 * store to these bytes; only overlapping requests can disagree about one, and those have no order
 * anyway.
 *
 * Copying happens in submit: a burst of 32 requests of 1 MiB keeps the worker for some 5 ms.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"
#include "guest/iov.h"
#include "storage/ram_priv.h"

#define CHUNK_BYTES (64u * 1024)
/* Zeroing of at most this much is done in place, unless the guest wants the memory freed. */
#define ZERO_INLINE_BYTES CHUNK_BYTES
/* Of one request to the kernel, whose length has 32 bits. */
#define PUNCH_BYTES_MAX (1ull << 30)
/*
 * Lines of the next request's memory that are asked for while this one is copied: enough for the
 * page walk and until the processor's own prefetch runs. More were not faster.
 */
#define PREFETCH_LINES 8

static struct ram_storage *ram_of(struct storage *storage)
{
	return container_of(storage, struct ram_storage, base);
}

static int ram_map(struct ram_storage *ram, uint64_t size_bytes, struct err *err)
{
	unsigned long long size = size_bytes;

	if (size_bytes > INT64_MAX)
		return err_set(err, EFBIG, "size: %llu bytes are more than memory can be", size);
	ram->map = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->map == MAP_FAILED) {
		ram->map = NULL;
		return err_set(err, ENOMEM, "size: %llu bytes cannot be mapped: %m", size);
	}
	madvise(ram->map, size_bytes, MADV_DONTDUMP);
	madvise(ram->map, size_bytes, MADV_HUGEPAGE); /* kernels without them refuse */
	ram->written = calloc(size_bytes / CHUNK_BYTES + 1, 1);
	if (!ram->written)
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}

void ram_close(struct storage *storage)
{
	struct ram_storage *ram = ram_of(storage);

	if (ram->map)
		munmap(ram->map, ram->base.info.capacity_bytes);
	free(ram->written);
}

int ram_open(struct storage *storage, const struct storage_options *options, struct err *err)
{
	struct ram_storage *ram = ram_of(storage);
	int status = storage_open_sized(storage, options, err);

	if (status < 0)
		return status;
	ram->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	storage->info.physical_block_bytes = (uint32_t)ram->page_bytes;
	storage->info.discard_granularity_bytes = (uint32_t)ram->page_bytes;
	storage->info.can_discard = options->discard && !options->read_only;
	status = ram_map(ram, options->size_bytes, err);
	if (status < 0)
		ram_close(storage);
	return status;
}

/* Is anything written in [offset, offset + len)? len > 0. */
static bool ram_any_written(const struct ram_storage *ram, uint64_t offset, uint64_t len)
{
	for (uint64_t c = offset / CHUNK_BYTES; c <= (offset + len - 1) / CHUNK_BYTES; c++) {
		if (load_relaxed(&ram->written[c]))
			return true;
	}
	return false;
}

static void ram_read(const struct ram_storage *ram, const struct storage_op *op)
{
	uint64_t end = op->offset_bytes + op->len_bytes;
	struct iov_cursor cur;

	iov_cursor_init(&cur, op->iov, op->iov_cnt);
	for (uint64_t pos = op->offset_bytes; pos < end;) {
		uint64_t next = align_down(pos, CHUNK_BYTES) + CHUNK_BYTES;
		size_t n = (size_t)((next < end ? next : end) - pos);

		if (load_relaxed(&ram->written[pos / CHUNK_BYTES]))
			iov_copy_out(&cur, ram->map + pos, n);
		else
			iov_zero(&cur, n);
		pos += n;
	}
}

static void ram_write(struct ram_storage *ram, const struct storage_op *op)
{
	struct iov_cursor cur;

	for (uint64_t c = op->offset_bytes / CHUNK_BYTES;
	     c <= (op->offset_bytes + op->len_bytes - 1) / CHUNK_BYTES; c++) {
		if (!load_relaxed(&ram->written[c]))
			store_relaxed(&ram->written[c], 1);
	}
	iov_cursor_init(&cur, op->iov, op->iov_cnt);
	iov_copy_in(&cur, ram->map + op->offset_bytes, op->len_bytes);
}

static void ram_punched(struct uring_op *uring_op, int res, uint32_t cqe_flags);

/*
 * From done_bytes to piece_bytes, both places on the disk here. Freeing the pages of a big range
 * takes long: the kernel's threads do it, not we.
 */
static void ram_punch(struct ram_storage *ram, struct storage_op *op)
{
	uint64_t left = op->piece_bytes - op->done_bytes;
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(op->channel->worker));

	left = left < PUNCH_BYTES_MAX ? left : PUNCH_BYTES_MAX;
	io_uring_prep_madvise(sqe, ram->map + op->done_bytes, (off_t)left, MADV_DONTNEED);
	op->done_bytes += left;
	op->uring.done = ram_punched;
	uring_sqe_bind(sqe, &op->uring);
}

static void ram_punched(struct uring_op *uring_op, int res, uint32_t cqe_flags)
{
	struct storage_op *op = container_of(uring_op, struct storage_op, uring);
	struct ram_storage *ram = ram_of(op->channel->storage);
	uint64_t end = op->offset_bytes + op->len_bytes;

	(void)cqe_flags;
	if (res == 0 && op->done_bytes < op->piece_bytes) {
		ram_punch(ram, op);
		return;
	}
	if (res == 0) {
		/* Only chunks that lie within as a whole are known to be empty now. */
		for (uint64_t c = (op->offset_bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
		     (c + 1) * CHUNK_BYTES <= end; c++)
			store_relaxed(&ram->written[c], 0);
	}
	storage_channel_complete(op->channel, op, res);
}

/* True if the operation is done; else it completes in ram_punched(). */
static bool ram_zero(struct ram_storage *ram, struct storage_op *op)
{
	uint64_t offset = op->offset_bytes, end = offset + op->len_bytes;
	uint64_t first = align_down(offset + ram->page_bytes - 1, ram->page_bytes);
	uint64_t last = align_down(end, ram->page_bytes);

	if (!ram_any_written(ram, offset, op->len_bytes))
		return true;
	if (last <= first || (op->kind == STORAGE_WRITE_ZEROES && !op->may_unmap &&
			      op->len_bytes <= ZERO_INLINE_BYTES)) {
		memset(ram->map + offset, 0, op->len_bytes);
		return true;
	}
	memset(ram->map + offset, 0, first - offset);
	memset(ram->map + last, 0, end - last);
	/*
	 * Big ranges are freed also without may_unmap: what this disk allocates is nothing that a
	 * guest could count on, for all of it is taken on demand.
	 */
	op->done_bytes = first;
	op->piece_bytes = last;
	ram_punch(ram, op);
	return false;
}

bool ram_do(struct ram_storage *ram, struct storage_op *op, int *result)
{
	*result = 0;
	if (unlikely(!storage_op_within(&ram->base, op))) {
		*result = -EIO;
		return true;
	}
	if (op->kind == STORAGE_FLUSH || op->len_bytes == 0)
		return true;
	switch (op->kind) {
	case STORAGE_READ:
		ram_read(ram, op);
		return true;
	case STORAGE_WRITE:
		ram_write(ram, op);
		return true;
	case STORAGE_DISCARD:
		return !ram->base.discard || ram_zero(ram, op);
	default:
		return ram_zero(ram, op);
	}
}

static inline void ram_prefetch(const struct ram_storage *ram, const struct storage_op *op)
{
	const uint8_t *at = ram->map + op->offset_bytes;

	/* Beyond the disk as well: a prefetch does not fault. */
	for (unsigned i = 0; i < PREFETCH_LINES; i++)
		prefetch_read(at + (size_t)i * CACHE_LINE_BYTES);
}

static void ram_submit(struct storage_channel *channel, struct storage_op *const *ops, unsigned cnt)
{
	struct ram_storage *ram = ram_of(channel->storage);
	int result;

	for (unsigned i = 0; i < cnt; i++) {
		if (i + 1 < cnt)
			ram_prefetch(ram, ops[i + 1]);
		if (ram_do(ram, ops[i], &result))
			storage_channel_push(channel, ops[i], result);
	}
}

const struct storage_ops ram_storage_ops = {
	.storage_bytes = sizeof(struct ram_storage),
	.channel_bytes = sizeof(struct storage_channel),
	.open = ram_open,
	.close = ram_close,
	.submit = ram_submit,
};
