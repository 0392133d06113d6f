/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control side of a queue's life: start, stop, move, and what changes while it runs.
 * Not what the owner does about it (queue.c).
 *
 * Theory of operation
 *
 * 1. The changes of a queue stand in line, each in a place of its asker's own, and the first is
 *    under way: sent to the owner by worker_call, finished in change_done_on_control(). The next
 *    begins when it has ended. A queue that does not run any more ends all that wait, with 0:
 *    there is nothing to be changed.
 * 2. A move leaves, then comes elsewhere. What is outstanding does not keep it (remainder.c).
 * 3. A move whose target cannot open the queue goes back to where it came from. If that fails too
 *    the queue is lost: control gives back what comes in of its remainders, then retires it. The
 *    join hears the error in both cases.
 * 4. A watcher or a join may ask for changes, and the front end's join may take the device away
 *    when nothing runs: so joins are told last, and of those the front end's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "device/device_priv.h"

static void change_done_on_control(struct worker_call *call);
static void queue_changed(const struct device_queue *queue);
static void end_change(struct device_queue *queue, int status);

/* ---- the line ---- */

static void send_change(struct queue_change *change)
{
	change->tuning = change->queue->device->tuning;
	change->call.run_on_worker = device_queue_change_on_worker;
	change->call.done_on_control = change_done_on_control;
	worker_call(change->queue->home, &change->call);
}

static void begin_move(struct queue_change *change)
{
	struct device_queue *queue = change->queue;

	if (queue->home == change->target) {
		end_change(queue, 0);
		return;
	}
	change->coming = false;
	change->move_status = 0;
	change->remainder = device_remainder_new(queue);
	if (change->remainder)
		send_change(change);
	else
		end_change(queue, -ENOMEM);
}

/* The first in line; the queue runs. */
static void begin_change(struct device_queue *queue)
{
	if (queue->line->kind == QUEUE_CHANGE_MOVE)
		begin_move(queue->line);
	else
		send_change(queue->line);
}

static struct queue_change *free_change(struct device_queue *queue, enum queue_asker asker,
					enum queue_change_kind kind)
{
	struct queue_change *change = &queue->changes[asker];

	CHECK(!change->busy);
	change->queue = queue;
	change->kind = kind;
	return change;
}

static void ask(struct queue_change *change, struct join *join)
{
	struct device_queue *queue = change->queue;
	struct queue_change **end = &queue->line;

	change->busy = true;
	change->join = join;
	change->next = NULL;
	join_add(join);
	while (*end)
		end = &(*end)->next;
	*end = change;
	if (queue->line == change)
		begin_change(queue);
}

static struct queue_change *take_first(struct device_queue *queue)
{
	struct queue_change *change = queue->line;

	queue->line = change->next;
	change->busy = false;
	return change;
}

static void tell_watcher(const struct device *device)
{
	if (device->changed)
		device->changed(device->changed_arg);
}

/* The model hears. */
static void queue_changed(const struct device_queue *queue)
{
	struct device *device = queue->device;

	if (device->ops->queue_changed)
		device->ops->queue_changed(device, queue->idx);
}

static void end_change(struct device_queue *queue, int status)
{
	struct join *join = take_first(queue)->join;

	if (queue->line)
		begin_change(queue);
	join_done(join, status);
}

/*
 * No worker has the queue any more, or ever had: ends the change that led to it, and all others.
 * The front end hears last: when its queues have stopped the device may be taken away, and with it
 * what the operator's joins are part of.
 */
static void retire(struct device_queue *queue, int status)
{
	struct device *device = queue->device;
	const struct queue_change *head = queue->line;
	const bool ran = head->kind != QUEUE_CHANGE_START;
	const bool lost = head->kind == QUEUE_CHANGE_MOVE;
	const unsigned first = (unsigned)(head - queue->changes);
	struct join *joins[QUEUE_ASKER_MAX_] = {NULL};

	CHECK(list_empty(&queue->remainders));
	queue->base = virtqueue_base(queue->vq);
	stat_sum(&queue->ring_retired, virtqueue_stats(queue->vq), sizeof(queue->ring_retired));
	virtqueue_free(queue->vq);
	queue->vq = NULL;
	queue->kick_fd = -1;
	queue->running = false;
	queue->lost = false;
	device->running_cnt--;
	while (queue->line) {
		const struct queue_change *change = take_first(queue);

		joins[change - queue->changes] = change->join;
	}
	if (lost && device->front_ops)
		device->front_ops->queue_lost(device->front, queue->idx);
	queue_changed(queue);
	if (ran)
		tell_watcher(device);
	for (unsigned i = QUEUE_ASKER_MAX_; i-- > QUEUE_ASKER_FRONT;) {
		if (joins[i])
			join_done(joins[i], i == first ? status : 0);
	}
}

void device_queue_settle_lost(struct device_queue *queue)
{
	if (queue->lost && list_empty(&queue->remainders))
		retire(queue, queue->line->move_status);
}

static void started(struct device_queue *queue, int status)
{
	if (status) {
		retire(queue, status);
		return;
	}
	queue->starts++;
	tell_watcher(queue->device);
	end_change(queue, 0);
}

static void moved(struct device_queue *queue, struct queue_change *change)
{
	if (!change->coming) {
		change->coming = true;
		change->from = queue->home;
		queue->home = change->target;
		send_change(change);
	} else if (!change->status) {
		if (!change->move_status)
			queue->moves++;
		virtqueue_prefer_node(queue->vq, worker_node(queue->home));
		device_remainders_release(queue);
		end_change(queue, change->move_status);
	} else if (change->from) {
		change->move_status = change->status;
		queue->home = change->from;
		change->from = NULL;
		send_change(change);
	} else {
		queue->lost = true;
		queue->waiting = QUEUE_WAITING_DRAIN; /* nobody else has it: calls are not held */
		device_remainders_release(queue);
		device_queue_settle_lost(queue);
	}
}

static void change_done_on_control(struct worker_call *call)
{
	struct queue_change *change = container_of(call, struct queue_change, call);
	struct device_queue *queue = change->queue;

	switch (change->kind) {
	case QUEUE_CHANGE_START:
		started(queue, change->status);
		break;
	case QUEUE_CHANGE_STOP:
		retire(queue, 0);
		break;
	case QUEUE_CHANGE_MOVE:
		moved(queue, change);
		break;
	case QUEUE_CHANGE_MEMORY:
	case QUEUE_CHANGE_CALL:
	case QUEUE_CHANGE_ERR:
	case QUEUE_CHANGE_TUNE:
	case QUEUE_CHANGE_MODEL:
		end_change(queue, 0);
		break;
	case QUEUE_CHANGE_ENABLE:
		queue_changed(queue);
		end_change(queue, 0);
		break;
	}
}

/* ---- what is asked for ---- */

static struct device_queue *queue_new(struct device *device, unsigned idx)
{
	size_t bytes = device->ops->queue_bytes;
	struct device_queue *queue = aligned_alloc(CACHE_LINE_BYTES, bytes);

	if (!queue)
		return NULL;
	memset(queue, 0, bytes);
	queue->device = device;
	queue->idx = idx;
	queue->kick_fd = -1;
	list_init(&queue->remainders);
	snprintf(queue->tag, sizeof(queue->tag), "%s %s queue %u", device->ops->kind, device->name,
		 idx);
	store_release(&device->queues[idx], queue);
	return queue;
}

static int prepare_start(struct device *device, unsigned idx,
			 const struct device_queue_setup *setup, struct err *err)
{
	struct virtqueue_config config = {
		.size = setup->size,
		.packed = device_has_feature(device->acked, DEVICE_F_RING_PACKED),
		.event_idx = device_has_feature(device->acked, DEVICE_F_EVENT_IDX),
		.indirect = device_has_feature(device->acked, DEVICE_F_INDIRECT_DESC),
		.in_order = device_has_feature(device->acked, DEVICE_F_IN_ORDER),
		.base = setup->base,
		.base_is_exact = setup->base_is_exact,
		.where = setup->where,
		.memory = device->memory,
		.slot_bytes = device->ops->slot_bytes,
		.call_fd = setup->call_fd,
		.err_fd = setup->err_fd,
	};
	struct device_queue *queue;
	int status;

	if (idx >= device->queue_max)
		return err_set(err, EINVAL, "queue %u: the device has %u", idx, device->queue_max);
	if (device_queue_running(device, idx))
		return err_set(err, EBUSY, "queue %u runs already", idx);
	if (!device->memory)
		return err_set(err, EINVAL, "queue %u: there is no memory table", idx);
	queue = device->queues[idx] ? device->queues[idx] : queue_new(device, idx);
	if (!queue)
		return err_set(err, ENOMEM, "queue %u: no memory", idx);
	config.tag = queue->tag;
	status = virtqueue_new(&config, &queue->vq, err);
	if (status)
		err_prefix(err, "queue %u", idx);
	return status;
}

static struct worker *home_of(const struct device *device, unsigned idx)
{
	unsigned place = device_queue_group(device, idx);

	if (device->homes[idx])
		return device->homes[idx];
	if (place == DEVICE_GROUP_ANY)
		place = idx;
	return device->workers[(place + device->worker_shift) % device->worker_cnt];
}

int device_queue_start(struct device *device, unsigned idx, const struct device_queue_setup *setup,
		       struct join *join, struct err *err)
{
	struct queue_change *change;
	struct device_queue *queue;
	int status = prepare_start(device, idx, setup, err);

	if (status)
		return status;
	queue = device->queues[idx];
	queue->base = setup->base;
	queue->size = setup->size;
	queue->kick_fd = setup->kick_fd;
	queue->memory = device->memory;
	queue->home = home_of(device, idx);
	virtqueue_prefer_node(queue->vq, worker_node(queue->home));
	queue->running = true;
	queue->enabled_said = setup->enabled || !device->ops->serves_disabled;
	device->running_cnt++;
	queue_changed(queue);
	change = free_change(queue, QUEUE_ASKER_FRONT, QUEUE_CHANGE_START);
	change->enabled = queue->enabled_said;
	ask(change, join);
	return 0;
}

void device_queue_stop(struct device *device, unsigned idx, struct join *join)
{
	if (device_queue_running(device, idx))
		ask(free_change(device->queues[idx], QUEUE_ASKER_FRONT, QUEUE_CHANGE_STOP), join);
}

void device_queue_move(struct device *device, unsigned idx, struct worker *worker,
		       struct join *join)
{
	struct queue_change *change;

	if (!device_queue_running(device, idx))
		return;
	change = free_change(device->queues[idx], QUEUE_ASKER_MOVE, QUEUE_CHANGE_MOVE);
	change->target = worker;
	ask(change, join);
}

static void set_fd(struct device *device, unsigned idx, enum queue_change_kind kind, int fd,
		   struct join *join)
{
	struct queue_change *change;

	if (!device_queue_running(device, idx))
		return;
	change = free_change(device->queues[idx], QUEUE_ASKER_FRONT, kind);
	change->fd = fd;
	ask(change, join);
}

void device_queue_set_call(struct device *device, unsigned idx, int call_fd, struct join *join)
{
	set_fd(device, idx, QUEUE_CHANGE_CALL, call_fd, join);
}

void device_queue_set_err(struct device *device, unsigned idx, int err_fd, struct join *join)
{
	set_fd(device, idx, QUEUE_CHANGE_ERR, err_fd, join);
}

void device_queue_set_enabled(struct device *device, unsigned idx, bool enabled, struct join *join)
{
	struct queue_change *change;

	CHECK(device->ops->serves_disabled);
	if (!device_queue_running(device, idx) || device->queues[idx]->enabled_said == enabled)
		return;
	device->queues[idx]->enabled_said = enabled;
	change = free_change(device->queues[idx], QUEUE_ASKER_FRONT, QUEUE_CHANGE_ENABLE);
	change->enabled = enabled;
	ask(change, join);
}

void device_tell_queues(struct device *device, struct join *join)
{
	const struct device_ops *ops = device->ops;

	for (unsigned i = 0; i < device->queue_max; i++) {
		if (!device_queue_running(device, i) ||
		    (ops->queue_is_told && !ops->queue_is_told(device, i)))
			continue;
		ask(free_change(device->queues[i], QUEUE_ASKER_MODEL, QUEUE_CHANGE_MODEL), join);
	}
}

void device_tune(struct device *device, const struct device_tuning *tuning, struct join *join)
{
	device->tuning = *tuning;
	for (unsigned i = 0; i < device->queue_max; i++) {
		if (device_queue_running(device, i))
			ask(free_change(device->queues[i], QUEUE_ASKER_TUNE, QUEUE_CHANGE_TUNE),
			    join);
	}
}

static void memory_settled(struct join *join)
{
	struct device *device = container_of(join, struct device, memory_join);
	struct join *waiter = device->memory_waiter;
	int status = join->status;

	device->memory_waiter = NULL;
	gmem_put(device->memory_old);
	device->memory_old = NULL;
	join_done(waiter, status);
}

void device_set_memory(struct device *device, struct gmem *memory, struct join *join)
{
	struct gmem *old = device->memory;

	CHECK(!device->memory_waiter);
	CHECK(memory || !device->running_cnt);
	device->memory = memory ? gmem_get(memory) : NULL;
	if (!device->running_cnt) {
		if (old)
			gmem_put(old);
		return;
	}
	join_add(join);
	device->memory_old = old;
	device->memory_waiter = join;
	join_open(&device->memory_join, memory_settled);
	for (unsigned i = 0; i < device->queue_max; i++) {
		struct queue_change *change;

		if (!device_queue_running(device, i))
			continue;
		change = free_change(device->queues[i], QUEUE_ASKER_FRONT, QUEUE_CHANGE_MEMORY);
		change->memory = memory;
		ask(change, &device->memory_join);
	}
	join_done(&device->memory_join, 0);
}
