/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storage.h for tests of devices: see fake_storage.h.
 */
#include "fake/fake_storage.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "guest/iov.h"

#define EVENTS_MAX 4096
#define TICK_NS (50 * NS_PER_US)

struct storage {
	struct storage_info info;
	uint8_t *bytes;

	pthread_mutex_t lock; /* everything below, and the bytes */
	enum fake_storage_pace pace;
	uint64_t let_go_end;
	int fail_with[STORAGE_KIND_MAX_];
	unsigned fail_cnt[STORAGE_KIND_MAX_];
	int fail_open_with;
	unsigned fail_open_cnt;
	int fail_map_with;
	unsigned fail_map_cnt;
	unsigned map_cnt;
	unsigned held_cnt;
	unsigned channel_cnt;
	unsigned counts[STORAGE_KIND_MAX_];
	unsigned event_cnt;
	struct fake_storage_event events[EVENTS_MAX];
};

struct storage_channel {
	struct storage *storage;
	struct worker *worker;
	struct worker_timer timer;
	struct storage_op *waiting; /* last in, first out */
	struct storage_op *done;
	unsigned pending;
	void (*completed)(void *arg);
	void *completed_arg;
	struct storage_stats *stats;
	struct storage_stats own_stats;
	struct gmem *memory;
};

#define ROW(member, name_)                                                \
	{                                                                 \
		.name = (name_), .unit = "requests", .help = "As named.", \
		.offset = offsetof(struct storage_stats, member)          \
	}

const struct stat_row storage_stat_rows[] = {
	ROW(ops[STORAGE_READ], "read_ops"),
	ROW(ops[STORAGE_WRITE], "write_ops"),
	ROW(ops[STORAGE_FLUSH], "flush_ops"),
	ROW(ops[STORAGE_DISCARD], "discard_ops"),
};
const unsigned storage_stat_row_cnt = ARRAY_LEN(storage_stat_rows);

struct storage *fake_storage_new(const struct storage_info *info)
{
	struct storage *storage = calloc(1, sizeof(*storage));

	CHECK(storage);
	storage->info = *info;
	storage->bytes = calloc(1, info->capacity_bytes);
	CHECK(storage->bytes);
	pthread_mutex_init(&storage->lock, NULL);
	return storage;
}

void fake_storage_free(struct storage *storage)
{
	CHECK(storage->channel_cnt == 0);
	pthread_mutex_destroy(&storage->lock);
	free(storage->bytes);
	free(storage);
}

void fake_storage_set_pace(struct storage *storage, enum fake_storage_pace pace)
{
	pthread_mutex_lock(&storage->lock);
	storage->pace = pace;
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_let_go(struct storage *storage, uint64_t end_bytes)
{
	pthread_mutex_lock(&storage->lock);
	storage->let_go_end = end_bytes;
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_fail(struct storage *storage, enum storage_kind kind, int error, unsigned cnt)
{
	pthread_mutex_lock(&storage->lock);
	storage->fail_with[kind] = error;
	storage->fail_cnt[kind] = cnt;
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_fail_open(struct storage *storage, int error, unsigned cnt)
{
	pthread_mutex_lock(&storage->lock);
	storage->fail_open_with = error;
	storage->fail_open_cnt = cnt;
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_fail_map(struct storage *storage, int error, unsigned cnt)
{
	pthread_mutex_lock(&storage->lock);
	storage->fail_map_with = error;
	storage->fail_map_cnt = cnt;
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_resize(struct storage *storage, uint64_t capacity_bytes)
{
	pthread_mutex_lock(&storage->lock);
	if (capacity_bytes > storage->info.capacity_bytes) {
		storage->bytes = realloc(storage->bytes, capacity_bytes);
		CHECK(storage->bytes);
		memset(storage->bytes + storage->info.capacity_bytes, 0,
		       capacity_bytes - storage->info.capacity_bytes);
	}
	store_relaxed(&storage->info.capacity_bytes, capacity_bytes);
	pthread_mutex_unlock(&storage->lock);
}

static unsigned read_locked(struct storage *storage, const unsigned *value)
{
	unsigned v;

	pthread_mutex_lock(&storage->lock);
	v = *value;
	pthread_mutex_unlock(&storage->lock);
	return v;
}

unsigned fake_storage_held(struct storage *storage)
{
	return read_locked(storage, &storage->held_cnt);
}

unsigned fake_storage_channels(struct storage *storage)
{
	return read_locked(storage, &storage->channel_cnt);
}

unsigned fake_storage_maps(struct storage *storage)
{
	return read_locked(storage, &storage->map_cnt);
}

unsigned fake_storage_count(struct storage *storage, enum storage_kind kind)
{
	return read_locked(storage, &storage->counts[kind]);
}

unsigned fake_storage_events(struct storage *storage, struct fake_storage_event *events,
			     unsigned max)
{
	unsigned cnt;

	pthread_mutex_lock(&storage->lock);
	cnt = storage->event_cnt;
	memcpy(events, storage->events, (cnt < max ? cnt : max) * sizeof(*events));
	pthread_mutex_unlock(&storage->lock);
	return cnt;
}

void fake_storage_forget(struct storage *storage)
{
	pthread_mutex_lock(&storage->lock);
	memset(storage->counts, 0, sizeof(storage->counts));
	storage->event_cnt = 0;
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_put(struct storage *storage, uint64_t offset_bytes, const void *data,
		      uint64_t len_bytes)
{
	pthread_mutex_lock(&storage->lock);
	memcpy(storage->bytes + offset_bytes, data, len_bytes);
	pthread_mutex_unlock(&storage->lock);
}

void fake_storage_get(struct storage *storage, uint64_t offset_bytes, void *data,
		      uint64_t len_bytes)
{
	pthread_mutex_lock(&storage->lock);
	memcpy(data, storage->bytes + offset_bytes, len_bytes);
	pthread_mutex_unlock(&storage->lock);
}

/* ---- storage.h, as far as a device uses it ---- */

const struct storage_info *storage_info(const struct storage *storage)
{
	return &storage->info;
}

/* With the lock. */
static void note(struct storage *storage, const struct storage_op *op)
{
	storage->counts[op->kind]++;
	if (storage->event_cnt < EVENTS_MAX)
		storage->events[storage->event_cnt++] = (struct fake_storage_event){
			op->kind, op->may_unmap, op->offset_bytes, op->len_bytes};
}

/* With the lock. */
static void perform(struct storage *storage, struct storage_op *op)
{
	uint8_t *at = storage->bytes + op->offset_bytes;
	struct iov_cursor cursor;

	op->result = 0;
	if (storage->fail_cnt[op->kind]) {
		storage->fail_cnt[op->kind]--;
		op->result = -storage->fail_with[op->kind];
		return;
	}
	if (op->kind == STORAGE_FLUSH)
		return;
	if (op->offset_bytes + op->len_bytes > storage->info.capacity_bytes) {
		op->result = -EIO;
		return;
	}
	iov_cursor_init(&cursor, op->iov, op->iov_cnt);
	if (op->kind == STORAGE_READ)
		iov_copy_out(&cursor, at, op->len_bytes);
	else if (op->kind == STORAGE_WRITE)
		iov_copy_in(&cursor, at, op->len_bytes);
	else
		memset(at, 0, op->len_bytes);
}

static void push(struct storage_op **list, struct storage_op *op)
{
	op->next = *list;
	*list = op;
}

/* With the lock. */
static bool is_kept(const struct storage *storage, const struct storage_op *op)
{
	return (storage->pace == FAKE_STORAGE_HELD || storage->pace == FAKE_STORAGE_KEEP) &&
	       op->offset_bytes >= storage->let_go_end;
}

static void tick(struct worker *worker, struct worker_timer *timer)
{
	struct storage_channel *channel = container_of(timer, struct storage_channel, timer);
	struct storage *storage = channel->storage;
	struct storage_op **at = &channel->waiting;
	struct storage_op *op;
	bool any = false;

	pthread_mutex_lock(&storage->lock);
	while ((op = *at)) {
		if (is_kept(storage, op)) {
			at = &op->next;
			continue;
		}
		*at = op->next;
		storage->held_cnt--;
		perform(storage, op);
		push(&channel->done, op);
		any = true;
	}
	pthread_mutex_unlock(&storage->lock);
	if (channel->waiting)
		worker_timer_set(worker, timer, clock_now_ns() + TICK_NS);
	if (any)
		channel->completed(channel->completed_arg);
}

int storage_channel_open(struct storage *storage, struct worker *worker,
			 struct storage_channel **out, struct err *err)
{
	struct storage_channel *channel;
	int error = 0;

	pthread_mutex_lock(&storage->lock);
	if (storage->fail_open_cnt) {
		storage->fail_open_cnt--;
		error = storage->fail_open_with;
	} else {
		storage->channel_cnt++;
	}
	pthread_mutex_unlock(&storage->lock);
	if (error)
		return err_set(err, error, "the test wants no channel");
	channel = calloc(1, sizeof(*channel));
	CHECK(channel);
	channel->storage = storage;
	channel->worker = worker;
	channel->timer.expired = tick;
	channel->stats = &channel->own_stats;
	*out = channel;
	return 0;
}

void storage_channel_close(struct storage_channel *channel)
{
	CHECK(channel->pending == 0);
	worker_timer_cancel(channel->worker, &channel->timer);
	pthread_mutex_lock(&channel->storage->lock);
	channel->storage->channel_cnt--;
	pthread_mutex_unlock(&channel->storage->lock);
	free(channel);
}

/* What storage.c holds its callers to. */
static void check_contract(const struct storage_op *op, const struct storage *storage)
{
	CHECK(op->kind < STORAGE_KIND_MAX_);
	if (op->kind == STORAGE_FLUSH)
		return;
	CHECK(op->len_bytes && op->len_bytes % 512 == 0 && op->offset_bytes % 512 == 0);
	CHECK(op->kind == STORAGE_READ || !storage->info.read_only);
	if (op->kind <= STORAGE_WRITE)
		CHECK(iov_total_bytes(op->iov, op->iov_cnt) == op->len_bytes);
}

void storage_submit(struct storage_channel *channel, struct storage_op *const *ops, unsigned cnt)
{
	struct storage *storage = channel->storage;

	pthread_mutex_lock(&storage->lock);
	for (unsigned i = 0; i < cnt; i++) {
		check_contract(ops[i], storage);
		note(storage, ops[i]);
		channel->pending++;
		if (storage->pace == FAKE_STORAGE_INLINE || storage->pace == FAKE_STORAGE_KEEP) {
			perform(storage, ops[i]);
			push(&channel->done, ops[i]);
		} else {
			push(&channel->waiting, ops[i]);
			storage->held_cnt++;
		}
	}
	pthread_mutex_unlock(&storage->lock);
	if (channel->waiting)
		worker_timer_set(channel->worker, &channel->timer, clock_now_ns() + TICK_NS);
}

unsigned storage_reap(struct storage_channel *channel, struct storage_op **ops, unsigned max)
{
	unsigned cnt = 0;

	while (channel->done && cnt < max) {
		struct storage_op *op = channel->done;

		channel->done = op->next;
		stat_inc(&channel->stats->ops[op->kind]);
		if (op->result < 0)
			stat_inc(&channel->stats->errors[op->kind]);
		else if (op->kind != STORAGE_FLUSH)
			stat_add(&channel->stats->bytes[op->kind], op->len_bytes);
		ops[cnt++] = op;
	}
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
	struct storage *storage = channel->storage;
	int error = 0;

	channel->memory = memory;
	pthread_mutex_lock(&storage->lock);
	storage->map_cnt++;
	if (storage->fail_map_cnt) {
		storage->fail_map_cnt--;
		error = storage->fail_map_with;
	}
	pthread_mutex_unlock(&storage->lock);
	return -error;
}

const struct storage_stats *storage_channel_stats(const struct storage_channel *channel)
{
	return channel->stats;
}
