/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of back ends and the contract around them: checks, counters, the failure log.
 * Not a back end: where the bytes are is null.c, ram.c, flash.c and file*.c.
 */
#include "storage/storage.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/overflow.h"
#include "guest/iov.h"
#include "storage/storage_priv.h"

#define BLOCK_SIZE_MAX 4096u

static const char *const kind_names[] = {"read", "write", "flush", "discard", "write zeroes"};
_Static_assert(ARRAY_LEN(kind_names) == STORAGE_KIND_MAX_, "a name for each kind");

static const char *const backend_names[] = {"file", "null", "ram", "flash"};
_Static_assert(ARRAY_LEN(backend_names) == STORAGE_BACKEND_MAX_, "a name for each back end");

static const struct storage_ops *const backend_ops[] = {
	[STORAGE_BACKEND_FILE] = &file_storage_ops,
	[STORAGE_BACKEND_NULL] = &null_storage_ops,
	[STORAGE_BACKEND_RAM] = &ram_storage_ops,
	[STORAGE_BACKEND_FLASH] = &flash_storage_ops,
};
_Static_assert(ARRAY_LEN(backend_ops) == STORAGE_BACKEND_MAX_, "functions for each back end");

static const char *const cache_names[] = {"none", "writeback"};
_Static_assert(ARRAY_LEN(cache_names) == STORAGE_CACHE_MAX_, "a name for each cache mode");

#define ROW(member, name_, unit_, help_)                           \
	{                                                          \
		.name = (name_), .unit = (unit_), .help = (help_), \
		.offset = offsetof(struct storage_stats, member)   \
	}

const struct stat_row storage_stat_rows[] = {
	ROW(ops[STORAGE_READ], "read_ops", "requests", "Reads completed."),
	ROW(ops[STORAGE_WRITE], "write_ops", "requests", "Writes completed."),
	ROW(ops[STORAGE_FLUSH], "flush_ops", "requests", "Flushes completed."),
	ROW(ops[STORAGE_DISCARD], "discard_ops", "requests", "Discards completed."),
	ROW(ops[STORAGE_WRITE_ZEROES], "write_zeroes_ops", "requests", "Zeroings completed."),
	ROW(bytes[STORAGE_READ], "read_bytes", "bytes", "Bytes read."),
	ROW(bytes[STORAGE_WRITE], "write_bytes", "bytes", "Bytes written."),
	ROW(bytes[STORAGE_DISCARD], "discard_bytes", "bytes", "Bytes discarded."),
	ROW(bytes[STORAGE_WRITE_ZEROES], "write_zeroes_bytes", "bytes", "Bytes zeroed."),
	ROW(errors[STORAGE_READ], "read_errors", "requests", "Reads that failed."),
	ROW(errors[STORAGE_WRITE], "write_errors", "requests", "Writes that failed."),
	ROW(errors[STORAGE_FLUSH], "flush_errors", "requests", "Flushes that failed."),
	ROW(errors[STORAGE_DISCARD], "discard_errors", "requests", "Discards that failed."),
	ROW(errors[STORAGE_WRITE_ZEROES], "write_zeroes_errors", "requests",
	    "Zeroings that failed."),
	ROW(retries, "storage_retries", "times",
	    "Interrupted, refused for now, or short transfers that were continued."),
	ROW(bounced, "bounced", "requests", "Copied through an aligned buffer for O_DIRECT."),
	ROW(bounce_waits, "bounce_waits", "requests", "Waited for such a buffer."),
	ROW(unaligned_writes, "unaligned_writes", "requests",
	    "Writes refused because they are finer than the disk's blocks."),
	ROW(sync_slow, "sync_slow", "times",
	    "Synchronous calls over 1 ms; each turns to io_uring for 10 s."),
	ROW(sync_calls, "sync_calls", "times", "Synchronous calls."),
	ROW(fixed, "fixed", "requests",
	    "Requests of the kernel on registered guest memory (pin-memory)."),
};
const unsigned storage_stat_row_cnt = ARRAY_LEN(storage_stat_rows);

const char *storage_kind_name(enum storage_kind kind)
{
	return kind < STORAGE_KIND_MAX_ ? kind_names[kind] : NULL;
}

const char *storage_backend_name(enum storage_backend backend)
{
	return backend < STORAGE_BACKEND_MAX_ ? backend_names[backend] : NULL;
}

int storage_backend_parse(const char *name, enum storage_backend *backend)
{
	for (unsigned i = 0; i < STORAGE_BACKEND_MAX_; i++) {
		if (strcmp(name, backend_names[i]) == 0) {
			*backend = (enum storage_backend)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *storage_cache_name(enum storage_cache cache)
{
	return cache < STORAGE_CACHE_MAX_ ? cache_names[cache] : NULL;
}

int storage_cache_parse(const char *name, enum storage_cache *cache)
{
	for (unsigned i = 0; i < STORAGE_CACHE_MAX_; i++) {
		if (strcmp(name, cache_names[i]) == 0) {
			*cache = (enum storage_cache)i;
			return 0;
		}
	}
	return -EINVAL;
}

int storage_open_sized(struct storage *storage, const struct storage_options *options,
		       struct err *err)
{
	const char *backend = storage_backend_name(options->backend);
	uint32_t block_bytes = options->block_size ? options->block_size : STORAGE_SECTOR_BYTES;

	if (options->path)
		return err_set(err, EINVAL,
			       "path: %s was given, but backend %s has no file; leave path out, or "
			       "use backend=file",
			       options->path, backend);
	if (options->size_bytes == 0)
		return err_set(err, EINVAL, "size: backend %s needs one, such as size=1G", backend);
	if (options->size_bytes % block_bytes != 0)
		return err_set(err, EINVAL, "size: %llu is no multiple of the block size %u",
			       (unsigned long long)options->size_bytes, block_bytes);
	storage->info = (struct storage_info){
		.capacity_bytes = options->size_bytes,
		.block_bytes = block_bytes,
		.physical_block_bytes = block_bytes,
		.discard_granularity_bytes = block_bytes,
		.read_only = options->read_only,
	};
	return 0;
}

static int storage_options_judge(const struct storage_options *options, struct err *err)
{
	if (options->pin_memory && !backend_ops[options->backend]->map_guest)
		return err_set(err, EINVAL,
			       "pin-memory: backend %s has no use of it; leave it out, or use "
			       "backend=file",
			       storage_backend_name(options->backend));
	if (options->block_size &&
	    (!is_pow2(options->block_size) || options->block_size < STORAGE_SECTOR_BYTES ||
	     options->block_size > BLOCK_SIZE_MAX))
		return err_set(err, EINVAL, "block-size: %u is not one of 512, 1024, 2048 and 4096",
			       options->block_size);
	return 0;
}

int storage_open(const struct storage_options *options, struct storage **out, struct err *err)
{
	const struct storage_ops *ops;
	struct storage *storage;
	int status;

	CHECK(options->name && options->backend < STORAGE_BACKEND_MAX_);
	status = storage_options_judge(options, err);
	if (status < 0)
		return status;
	ops = backend_ops[options->backend];
	storage = calloc(1, ops->storage_bytes);
	if (!storage)
		return err_set(err, ENOMEM, "out of memory");
	storage->ops = ops;
	storage->discard = options->discard;
	storage->pin_memory = options->pin_memory;
	snprintf(storage->tag, sizeof(storage->tag), "disk %s", options->name);
	status = ops->open(storage, options, err);
	if (status < 0) {
		free(storage);
		return status;
	}
	CHECK(is_pow2(storage->info.block_bytes));
	CHECK(storage->info.block_bytes >= STORAGE_SECTOR_BYTES);
	CHECK(storage->info.capacity_bytes % storage->info.block_bytes == 0);
	*out = storage;
	return 0;
}

void storage_close(struct storage *storage)
{
	if (!storage)
		return;
	CHECK(__atomic_load_n(&storage->channel_cnt, __ATOMIC_ACQUIRE) == 0);
	storage->ops->close(storage);
	free(storage);
}

const struct storage_info *storage_info(const struct storage *storage)
{
	return &storage->info;
}

int storage_refresh(struct storage *storage, bool *changed, struct err *err)
{
	uint64_t capacity_bytes = storage->info.capacity_bytes;
	int status = 0;

	*changed = false;
	if (storage->ops->refresh)
		status = storage->ops->refresh(storage, &capacity_bytes, err);
	if (status < 0 || capacity_bytes == storage->info.capacity_bytes)
		return status;
	CHECK(capacity_bytes % storage->info.block_bytes == 0);
	store_relaxed(&storage->info.capacity_bytes, capacity_bytes);
	*changed = true;
	return 0;
}

int storage_channel_open(struct storage *storage, struct worker *worker,
			 struct storage_channel **out, struct err *err)
{
	const struct storage_ops *ops = storage->ops;
	struct storage_channel *channel = calloc(1, ops->channel_bytes);
	int status = 0;

	if (!channel)
		return err_set(err, ENOMEM, "out of memory");
	channel->ops = ops;
	channel->storage = storage;
	channel->worker = worker;
	channel->done_tail = &channel->done_head;
	channel->stats = &channel->own_stats;
	if (ops->channel_open)
		status = ops->channel_open(channel, err);
	if (status < 0) {
		free(channel);
		return status;
	}
	__atomic_fetch_add(&storage->channel_cnt, 1, __ATOMIC_RELAXED);
	*out = channel;
	return 0;
}

void storage_channel_close(struct storage_channel *channel)
{
	struct storage *storage;

	if (!channel)
		return;
	CHECK(channel->pending == 0);
	storage = channel->storage;
	if (channel->ops->channel_close)
		channel->ops->channel_close(channel);
	free(channel);
	__atomic_fetch_sub(&storage->channel_cnt, 1, __ATOMIC_RELEASE);
}

/* What the submitter promised. Ranges are judged by the back end: capacity may have changed. */
static inline void storage_op_check(const struct storage_channel *channel,
				    const struct storage_op *op)
{
	uint64_t total;

	if (op->kind == STORAGE_FLUSH)
		return;
	CHECK(op->kind < STORAGE_KIND_MAX_);
	CHECK(((op->offset_bytes | op->len_bytes) & (STORAGE_SECTOR_BYTES - 1)) == 0);
	CHECK(op->kind == STORAGE_READ || !channel->storage->info.read_only);
	if (op->kind > STORAGE_WRITE)
		return;
	total = likely(op->iov_cnt == 1) ? op->iov->iov_len : iov_total_bytes(op->iov, op->iov_cnt);
	CHECK(total == op->len_bytes);
}

void storage_submit(struct storage_channel *channel, struct storage_op *const *ops, unsigned cnt)
{
	CHECK(!channel->submitting);
	for (unsigned i = 0; i < cnt; i++) {
		storage_op_check(channel, ops[i]);
		ops[i]->channel = channel;
	}
	channel->pending += cnt;
	channel->submitting = true;
	channel->ops->submit(channel, ops, cnt);
	channel->submitting = false;
}

static COLD void storage_op_failed(struct storage_channel *channel, const struct storage_op *op)
{
	const char *tag = channel->storage->tag;
	const char *name = kind_names[op->kind];
	const char *why = strerrordesc_np(-op->result);
	unsigned held_back;

	stat_inc(&channel->stats->errors[op->kind]);
	if (!log_limit_pass(&channel->log_limit, worker_now_ns(channel->worker), &held_back))
		return;
	if (held_back)
		log_warn(tag, "%u more failures were not logged", held_back);
	if (op->kind == STORAGE_FLUSH)
		log_error(tag, "flush failed: %s", why ? why : "unknown error");
	else
		log_error(tag, "%s of %llu bytes at %llu failed: %s", name,
			  (unsigned long long)op->len_bytes, (unsigned long long)op->offset_bytes,
			  why ? why : "unknown error");
}

unsigned storage_reap(struct storage_channel *channel, struct storage_op **ops, unsigned max)
{
	struct storage_op *op;
	unsigned cnt = 0;

	if (channel->ops->look)
		channel->ops->look(channel);
	op = channel->done_head;
	while (op && cnt < max) {
		struct storage_op *next = op->next;

		stat_inc(&channel->stats->ops[op->kind]);
		if (unlikely(op->result < 0))
			storage_op_failed(channel, op);
		else if (op->kind != STORAGE_FLUSH)
			stat_add(&channel->stats->bytes[op->kind], op->len_bytes);
		ops[cnt++] = op;
		op = next;
	}
	channel->done_head = op;
	if (!op)
		channel->done_tail = &channel->done_head;
	channel->pending -= cnt;
	return cnt;
}

unsigned storage_pending(const struct storage_channel *channel)
{
	return channel->pending;
}

void storage_channel_on_complete(struct storage_channel *channel, void (*fn)(void *arg), void *arg)
{
	channel->completed = fn;
	channel->completed_arg = arg;
}

void storage_channel_count_in(struct storage_channel *channel, struct storage_stats *stats)
{
	channel->stats = stats;
}

int storage_channel_map_guest(struct storage_channel *channel, struct gmem *memory)
{
	return channel->storage->pin_memory ? channel->ops->map_guest(channel, memory) : 0;
}

const struct storage_stats *storage_channel_stats(const struct storage_channel *channel)
{
	return channel->stats;
}
