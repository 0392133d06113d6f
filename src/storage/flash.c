/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory that takes the time of a parallel flash drive, so that parallelism can be seen
 * on any machine. Not how that time is reckoned (flash_model.c) nor the memory (ram.c).
 *
 * Bytes are copied within submit, as ram does; the operation is then held until the model says that
 * it is done. Discard and zeroing change a drive's map and no page: they take no flash time, and a
 * flush does not wait for their memory to be freed.
 *
 * When an operation is accepted is read from the clock, once for each burst, so that none is done
 * before its time; that it is done is found by the turn's time, in reap while the poller is hot, by
 * a timer while it is not. So a polling worker is late by up to a turn, and a sleeping one by what
 * its wake-up takes (20 to 50 us on the machine this was written on): latency, but no throughput as
 * long as lanes have a line. The timer is moved to the front when it has to be and else left alone:
 * it may find nothing to do, once for each time that it was set.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "storage/flash_priv.h"
#include "storage/ram_priv.h"

struct flash_storage {
	struct ram_storage ram; /* first: ram.c sees its own */
	struct flash_model model;
};

struct flash_channel {
	struct storage_channel base;
	struct flash_queue queue;
	struct worker_timer timer;
};
_Static_assert(offsetof(struct flash_storage, ram) == 0, "a flash_storage is a ram_storage");
_Static_assert(offsetof(struct flash_channel, base) == 0, "storage.c allocates and frees it");

static struct flash_storage *flash_of(struct storage *storage)
{
	return container_of(storage, struct flash_storage, ram.base);
}

static struct flash_channel *channel_of(struct storage_channel *channel)
{
	return container_of(channel, struct flash_channel, base);
}

static int flash_options_judge(const struct storage_options *options, struct err *err)
{
	if (options->channels < 1 || options->channels > STORAGE_FLASH_CHANNELS_MAX)
		return err_set(err, EINVAL, "channels: %u is not within 1 to %d", options->channels,
			       STORAGE_FLASH_CHANNELS_MAX);
	if (options->read_us > STORAGE_FLASH_US_MAX)
		return err_set(err, EINVAL, "read-us: %u is not within 0 to %d", options->read_us,
			       STORAGE_FLASH_US_MAX);
	if (options->write_us > STORAGE_FLASH_US_MAX)
		return err_set(err, EINVAL, "write-us: %u is not within 0 to %d", options->write_us,
			       STORAGE_FLASH_US_MAX);
	return 0;
}

static int flash_open(struct storage *storage, const struct storage_options *options,
		      struct err *err)
{
	struct flash_storage *flash = flash_of(storage);
	int status = flash_options_judge(options, err);

	if (status == 0)
		status = ram_open(storage, options, err);
	if (status < 0)
		return status;
	if (flash_model_init(&flash->model, options->channels, options->read_us,
			     options->write_us) < 0) {
		ram_close(storage);
		return err_set(err, ENOMEM, "out of memory");
	}
	return 0;
}

static void flash_close(struct storage *storage)
{
	flash_model_fini(&flash_of(storage)->model);
	ram_close(storage);
}

/* Moves to the done list what is done by now. */
static unsigned flash_harvest(struct flash_channel *channel)
{
	uint64_t now_ns = worker_now_ns(channel->base.worker);
	struct storage_op *op;
	unsigned cnt = 0;

	while ((op = flash_queue_pop(&channel->queue, now_ns)) != NULL) {
		storage_channel_push(&channel->base, op, 0);
		cnt++;
	}
	return cnt;
}

/* Makes sure that the timer does not come after the next operation is due. */
static void flash_set_timer(struct flash_channel *channel)
{
	uint64_t next_ns = flash_queue_next_ns(&channel->queue);

	if (next_ns == FLASH_NEVER_NS ||
	    (channel->timer.running && channel->timer.deadline_ns <= next_ns))
		return;
	worker_timer_set(channel->base.worker, &channel->timer, next_ns);
}

static void flash_expired(struct worker *worker, struct worker_timer *timer)
{
	struct flash_channel *channel = container_of(timer, struct flash_channel, timer);
	unsigned cnt = flash_harvest(channel);

	(void)worker;
	flash_set_timer(channel);
	/* Last, for it may reap. */
	if (cnt && channel->base.completed)
		channel->base.completed(channel->base.completed_arg);
}

static void flash_look(struct storage_channel *base)
{
	flash_harvest(channel_of(base));
}

static int flash_channel_open(struct storage_channel *base, struct err *err)
{
	struct flash_channel *channel = channel_of(base);

	channel->timer.expired = flash_expired;
	if (flash_queue_init(&channel->queue, flash_of(base->storage)->model.lane_cnt) < 0)
		return err_set(err, ENOMEM, "out of memory");
	return 0;
}

static void flash_channel_close(struct storage_channel *base)
{
	struct flash_channel *channel = channel_of(base);

	worker_timer_cancel(base->worker, &channel->timer);
	flash_queue_fini(&channel->queue);
}

static void flash_submit_one(struct flash_storage *flash, struct flash_channel *channel,
			     struct storage_op *op, uint64_t now_ns)
{
	struct flash_due due = {0, 0};
	int result;

	if (!ram_do(&flash->ram, op, &result))
		return;
	if (op->kind == STORAGE_FLUSH)
		due = flash_model_flush(&flash->model);
	else if (op->kind <= STORAGE_WRITE && result == 0 && op->len_bytes > 0)
		due = flash_model_transfer(&flash->model, op->kind, op->offset_bytes, op->len_bytes,
					   now_ns);
	if (due.ns <= now_ns)
		storage_channel_push(&channel->base, op, result);
	else
		flash_queue_push(&channel->queue, op, due);
}

static void flash_submit(struct storage_channel *base, struct storage_op *const *ops, unsigned cnt)
{
	struct flash_storage *flash = flash_of(base->storage);
	struct flash_channel *channel = channel_of(base);
	uint64_t now_ns = clock_now_ns();

	for (unsigned i = 0; i < cnt; i++)
		flash_submit_one(flash, channel, ops[i], now_ns);
	flash_set_timer(channel);
}

const struct storage_ops flash_storage_ops = {
	.storage_bytes = sizeof(struct flash_storage),
	.channel_bytes = sizeof(struct flash_channel),
	.open = flash_open,
	.close = flash_close,
	.channel_open = flash_channel_open,
	.channel_close = flash_channel_close,
	.submit = flash_submit,
	.look = flash_look,
};
