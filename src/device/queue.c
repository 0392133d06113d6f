/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a queue across two threads: start, stop, move, and what changes while it runs.
 * Not what the queue does (the model's poll) and not the ring (virtqueue/).
 *
 * Theory of operation
 *
 * 1. Each change is one worker_call at a time: control fills in queue->change, the owner acts and
 *    acknowledges, control finishes and tells the join. change.busy holds callers to "one change a
 *    queue".
 * 2. To leave a worker is one path, for stop and for move: waiting = DRAIN keeps the model from
 *    fetching; when the last chain is completed the poller is taken off the worker, the model
 *    closes what it has there, and the acknowledgement goes out. No chain, iovec block or storage
 *    operation is left on the worker then, and the base is exact.
 * 3. To come to a worker is one path as well, for start and for the second half of a move. The
 *    poller starts hot, so what the driver made available before is served without a kick.
 * 4. A drain ends in the poll that completed the last chain, or at once. From the acknowledgement
 *    on nothing of the queue is the worker's: it is the last that poll does.
 * 5. A move whose target cannot open the queue goes back to where it came from. If that fails too
 *    the queue is stopped, and the join hears the error in both cases.
 */
#include "device/device_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"

/* ---- owner worker ---- */

static void free_chain_pool(void *object)
{
	chain_pool_free(object);
}

static struct chain_pool *chain_pool_of_worker(struct worker *worker)
{
	struct chain_pool *pool = worker_local_get(worker, WORKER_LOCAL_CHAIN_POOL);

	if (!pool) {
		pool = chain_pool_new();
		if (pool)
			worker_local_set(worker, WORKER_LOCAL_CHAIN_POOL, pool, free_chain_pool);
	}
	return pool;
}

static int come_on_worker(struct device_queue *queue, struct worker *worker)
{
	const struct device *device = queue->device;
	struct err err = ERR_INIT;
	int status;

	queue->pool = chain_pool_of_worker(worker);
	if (!queue->pool)
		return -ENOMEM;
	queue->waiting = QUEUE_WAITING_NOTHING;
	queue->unfinished = false;
	/* Without a kick fd nobody tells us, so poll whatever the mode. */
	queue->poller = (struct poller){
		.ops = device->ops->poller_ops,
		.mode = queue->kick_fd < 0 ? POLL_MODE_ALWAYS : device->poll_mode,
		.poll_max_ns = device->poll_max_ns,
	};
	status = device->ops->queue_open_on_worker(queue, worker, &err);
	if (status) {
		log_error(queue->tag, "cannot start on worker %u: %s", worker_idx(worker),
			  err.text);
		return status;
	}
	virtqueue_disarm(queue->vq);
	worker_poller_add(worker, &queue->poller);
	status = worker_poller_set_kick(&queue->poller, queue->kick_fd);
	if (status) {
		worker_poller_remove(&queue->poller);
		device->ops->queue_close_on_worker(queue);
		return status;
	}
	/* Whoever served the ring before us may owe the driver a call. */
	virtqueue_notify(queue->vq);
	return 0;
}

static void acknowledge(struct device_queue *queue, int status)
{
	queue->waiting = QUEUE_WAITING_NOTHING;
	queue->change.status = status;
	worker_call_ack(&queue->change.call);
}

static void leave_on_worker(struct device_queue *queue)
{
	worker_poller_remove(&queue->poller);
	queue->device->ops->queue_close_on_worker(queue);
	acknowledge(queue, 0);
}

void device_queue_settle_on_worker(struct device_queue *queue)
{
	if (queue->waiting == QUEUE_WAITING_MEMORY && virtqueue_memory_settled(queue->vq))
		acknowledge(queue, 0);
	else if (queue->waiting == QUEUE_WAITING_DRAIN && !virtqueue_in_flight(queue->vq))
		leave_on_worker(queue);
}

static void wait_on_worker(struct device_queue *queue, enum queue_waiting waiting)
{
	queue->waiting = waiting;
	worker_poller_wake(&queue->poller);
	device_queue_settle_on_worker(queue);
}

static void change_on_worker(struct worker *worker, struct worker_call *call)
{
	struct device_queue *queue = container_of(call, struct device_queue, change.call);
	struct queue_change *change = &queue->change;

	switch (change->kind) {
	case QUEUE_CHANGE_START:
		acknowledge(queue, come_on_worker(queue, worker));
		break;
	case QUEUE_CHANGE_STOP:
	case QUEUE_CHANGE_MOVE:
		wait_on_worker(queue, QUEUE_WAITING_DRAIN);
		break;
	case QUEUE_CHANGE_MEMORY:
		virtqueue_set_memory(queue->vq, change->memory);
		/* Hot again, so that the suppression state is written where the ring is now. */
		wait_on_worker(queue, QUEUE_WAITING_MEMORY);
		break;
	case QUEUE_CHANGE_CALL:
		virtqueue_set_call(queue->vq, change->fd);
		virtqueue_notify(queue->vq);
		acknowledge(queue, 0);
		break;
	case QUEUE_CHANGE_ERR:
		virtqueue_set_err(queue->vq, change->fd);
		acknowledge(queue, 0);
		break;
	}
}

bool device_queue_prepare_sleep(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	virtqueue_notify(queue->vq);
	if (queue->unfinished)
		return true;
	/* A queue that drains is woken by its completions; its kicks are of no interest. */
	if (!device_queue_may_fetch(queue))
		return false;
	return virtqueue_arm(queue->vq);
}

void device_queue_cancel_sleep(struct poller *poller)
{
	virtqueue_disarm(container_of(poller, struct device_queue, poller)->vq);
}

void device_queue_kicked(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	stat_inc(&virtqueue_stats_mutable(queue->vq)->kicks);
}

/* ---- control ---- */

static void change_done_on_control(struct worker_call *call);

static void send_change(struct device_queue *queue, enum queue_change_kind kind)
{
	queue->change.kind = kind;
	queue->change.call.run_on_worker = change_on_worker;
	queue->change.call.done_on_control = change_done_on_control;
	worker_call(queue->home, &queue->change.call);
}

static void begin_change(struct device_queue *queue, enum queue_change_kind kind, struct join *join)
{
	CHECK(!queue->change.busy);
	queue->change.busy = true;
	queue->change.join = join;
	join_add(join);
	send_change(queue, kind);
}

static void end_change(struct device_queue *queue, int status)
{
	queue->change.busy = false;
	join_done(queue->change.join, status);
}

/* No worker has the queue any more, or ever had. */
static void retire(struct device_queue *queue)
{
	queue->base = virtqueue_base(queue->vq);
	device_ring_stats_add(&queue->device->ring_sum, virtqueue_stats(queue->vq));
	virtqueue_free(queue->vq);
	queue->vq = NULL;
	queue->kick_fd = -1;
	queue->running = false;
	queue->device->running_cnt--;
}

static void started(struct device_queue *queue)
{
	struct queue_change *change = &queue->change;

	if (!change->status) {
		end_change(queue, change->move_status);
	} else if (change->from) {
		change->move_status = change->status;
		queue->home = change->from;
		change->from = NULL;
		send_change(queue, QUEUE_CHANGE_START);
	} else {
		int status = change->move_status ? change->move_status : change->status;

		retire(queue);
		end_change(queue, status);
	}
}

static void change_done_on_control(struct worker_call *call)
{
	struct device_queue *queue = container_of(call, struct device_queue, change.call);
	struct queue_change *change = &queue->change;

	switch (change->kind) {
	case QUEUE_CHANGE_START:
		started(queue);
		break;
	case QUEUE_CHANGE_STOP:
		retire(queue);
		end_change(queue, 0);
		break;
	case QUEUE_CHANGE_MOVE:
		change->from = queue->home;
		queue->home = change->target;
		send_change(queue, QUEUE_CHANGE_START);
		break;
	case QUEUE_CHANGE_MEMORY:
	case QUEUE_CHANGE_CALL:
	case QUEUE_CHANGE_ERR:
		end_change(queue, 0);
		break;
	}
}

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

int device_queue_start(struct device *device, unsigned idx, const struct device_queue_setup *setup,
		       struct join *join, struct err *err)
{
	struct device_queue *queue;
	int status = prepare_start(device, idx, setup, err);

	if (status)
		return status;
	queue = device->queues[idx];
	queue->base = setup->base;
	queue->kick_fd = setup->kick_fd;
	queue->home = device->workers[(idx + device->worker_shift) % device->worker_cnt];
	queue->running = true;
	device->running_cnt++;
	queue->change.from = NULL;
	queue->change.move_status = 0;
	begin_change(queue, QUEUE_CHANGE_START, join);
	return 0;
}

void device_queue_stop(struct device *device, unsigned idx, struct join *join)
{
	if (device_queue_running(device, idx))
		begin_change(device->queues[idx], QUEUE_CHANGE_STOP, join);
}

void device_queue_move(struct device *device, unsigned idx, struct worker *worker,
		       struct join *join)
{
	struct device_queue *queue;

	if (!device_queue_running(device, idx) || device->queues[idx]->home == worker)
		return;
	queue = device->queues[idx];
	queue->change.target = worker;
	queue->change.move_status = 0;
	begin_change(queue, QUEUE_CHANGE_MOVE, join);
}

static void set_fd(struct device *device, unsigned idx, enum queue_change_kind kind, int fd,
		   struct join *join)
{
	if (!device_queue_running(device, idx))
		return;
	device->queues[idx]->change.fd = fd;
	begin_change(device->queues[idx], kind, join);
}

void device_queue_set_call(struct device *device, unsigned idx, int call_fd, struct join *join)
{
	set_fd(device, idx, QUEUE_CHANGE_CALL, call_fd, join);
}

void device_queue_set_err(struct device *device, unsigned idx, int err_fd, struct join *join)
{
	set_fd(device, idx, QUEUE_CHANGE_ERR, err_fd, join);
}

static void memory_settled(struct join *join)
{
	struct device *device = container_of(join, struct device, memory_join);
	struct join *waiter = device->memory_waiter;

	device->memory_waiter = NULL;
	gmem_put(device->memory_old);
	device->memory_old = NULL;
	join_done(waiter, join->status);
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
		if (!device_queue_running(device, i))
			continue;
		device->queues[i]->change.memory = memory;
		begin_change(device->queues[i], QUEUE_CHANGE_MEMORY, &device->memory_join);
	}
	join_done(&device->memory_join, 0);
}
