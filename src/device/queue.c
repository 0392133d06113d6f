/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a queue on its owner: it comes, changes, leaves.
 * Not who asks for that (change.c), what the queue does (the model's poll), nor the ring
 * (virtqueue/).
 *
 * Theory of operation
 *
 * 1. A change is one worker_call: the owner acts and acknowledges, at once or, when something has
 *    to drain first, in the poll that completed the last chain. From the acknowledgement on
 *    nothing of the queue is the worker's: it is the last thing that is done.
 * 2. To come to a worker is one path, for a start and for the second half of a move. The poller
 *    starts hot, so what the driver made available before is served without a kick.
 * 3. To stop: waiting = DRAIN keeps the model from fetching; when the last chain is completed the
 *    poller is taken off the worker, the model closes what it has there, and the base is exact. No
 *    chain, iovec block or storage operation is left then.
 * 4. To leave for another worker nothing is waited for: what is outstanding stays here as a
 *    remainder (remainder.c), and the ring goes with what the driver is owed said.
 */
#include <errno.h>

#include "base/log.h"
#include "device/device_priv.h"

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

/* Without a kick fd nobody tells us, so poll whatever the mode. */
static enum poll_mode poll_mode_of(const struct device_queue *queue,
				   const struct device_tuning *tuning)
{
	return queue->kick_fd < 0 ? POLL_MODE_ALWAYS : tuning->poll_mode;
}

static int come_on_worker(struct device_queue *queue, struct worker *worker,
			  const struct device_tuning *tuning)
{
	const struct device *device = queue->device;
	struct err err = ERR_INIT;
	int status;

	queue->pool = chain_pool_of_worker(worker);
	if (!queue->pool)
		return -ENOMEM;
	queue->waiting = QUEUE_WAITING_NOTHING;
	queue->unfinished = false;
	queue->poller = (struct poller){
		.ops = device->ops->poller_ops,
		.mode = poll_mode_of(queue, tuning),
		.poll_max_ns = tuning->poll_max_ns,
		.load_ns = &queue->load_ns,
	};
	status = device->ops->queue_open_on_worker(queue, worker, &err);
	if (status) {
		log_error(queue->tag, "cannot start on worker %u: %s", worker_idx(worker),
			  err.text);
		return status;
	}
	virtqueue_set_coalesce(queue->vq, &tuning->coalesce);
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

static void acknowledge(struct queue_change *change, int status)
{
	change->status = status;
	worker_call_ack(&change->call);
}

static void stop_on_worker(struct device_queue *queue, struct queue_change *change)
{
	virtqueue_notify(queue->vq);
	worker_poller_remove(&queue->poller);
	queue->device->ops->queue_close_on_worker(queue);
	acknowledge(change, 0);
}

static void leave_on_worker(struct device_queue *queue, struct worker *worker,
			    struct queue_change *change)
{
	virtqueue_notify(queue->vq);
	worker_poller_remove(&queue->poller);
	device_remainder_detach_on_worker(queue, change->remainder, worker);
	acknowledge(change, 0);
}

void device_queue_settle_on_worker(struct device_queue *queue)
{
	struct queue_change *change = queue->draining;

	if (queue->waiting == QUEUE_WAITING_MEMORY && virtqueue_memory_settled(queue->vq)) {
		queue->waiting = QUEUE_WAITING_NOTHING;
		acknowledge(change, 0);
	} else if (queue->waiting == QUEUE_WAITING_DRAIN && !virtqueue_in_flight(queue->vq)) {
		stop_on_worker(queue, change);
	}
}

static void wait_on_worker(struct device_queue *queue, struct queue_change *change,
			   enum queue_waiting waiting)
{
	queue->draining = change;
	queue->waiting = waiting;
	worker_poller_wake(&queue->poller);
	device_queue_settle_on_worker(queue);
}

static void tune_on_worker(struct device_queue *queue, const struct device_tuning *tuning)
{
	worker_poller_set_mode(&queue->poller, poll_mode_of(queue, tuning), tuning->poll_max_ns);
	virtqueue_set_coalesce(queue->vq, &tuning->coalesce);
	/* A call that was held is looked at by the rules of now. */
	worker_poller_wake(&queue->poller);
}

void device_queue_change_on_worker(struct worker *worker, struct worker_call *call)
{
	struct queue_change *change = container_of(call, struct queue_change, call);
	struct device_queue *queue = change->queue;

	switch (change->kind) {
	case QUEUE_CHANGE_START:
		acknowledge(change, come_on_worker(queue, worker, &change->tuning));
		break;
	case QUEUE_CHANGE_MOVE:
		if (change->coming)
			acknowledge(change, come_on_worker(queue, worker, &change->tuning));
		else
			leave_on_worker(queue, worker, change);
		break;
	case QUEUE_CHANGE_STOP:
		/* What was held is due: the last completions may take their time. */
		virtqueue_notify(queue->vq);
		wait_on_worker(queue, change, QUEUE_WAITING_DRAIN);
		break;
	case QUEUE_CHANGE_MEMORY:
		queue->memory = change->memory;
		virtqueue_set_memory(queue->vq, change->memory);
		if (queue->device->ops->queue_memory_on_worker)
			queue->device->ops->queue_memory_on_worker(queue);
		/* Hot again, so that the suppression state is written where the ring is now. */
		wait_on_worker(queue, change, QUEUE_WAITING_MEMORY);
		break;
	case QUEUE_CHANGE_CALL:
		virtqueue_set_call(queue->vq, change->fd);
		virtqueue_notify(queue->vq);
		acknowledge(change, 0);
		break;
	case QUEUE_CHANGE_ERR:
		virtqueue_set_err(queue->vq, change->fd);
		acknowledge(change, 0);
		break;
	case QUEUE_CHANGE_TUNE:
		tune_on_worker(queue, &change->tuning);
		acknowledge(change, 0);
		break;
	}
}

bool device_queue_prepare_sleep(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	/*
	 * A queue that is never polled sleeps after each burst: only a deadline lets a call wait
	 * there (next_deadline). One that is polled has found nothing for a while: no more to come.
	 */
	if (poller->mode != POLL_MODE_NEVER || !device_queue_may_fetch(queue))
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

uint64_t device_queue_next_deadline(struct poller *poller)
{
	return virtqueue_held_until_ns(container_of(poller, struct device_queue, poller)->vq);
}

void device_queue_kicked(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	stat_inc(&virtqueue_stats_mutable(queue->vq)->kicks);
}
