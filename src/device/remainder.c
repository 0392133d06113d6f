/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a queue left behind on a worker when it moved: from the leave to the last completion.
 * Not the move (change.c, queue.c), and not what a request is (the model).
 *
 * Theory of operation
 *
 * 1. A remainder is one worker_call that goes in circles: control sends it to the worker A that is
 *    to be left, ahead of the move; A keeps it, and acknowledges when it has finished something.
 *    Control sends it, with that batch, to the queue's owner, who gives the batch back to the
 *    driver and acknowledges; control returns it to A. What A finishes meanwhile is the next batch.
 * 2. While the queue moves (again), it has no owner: control holds the batch and sends it when the
 *    move has ended. A batch that was sent before a move began arrives before it, as calls of one
 *    sender keep their order; so every batch is adopted by an owner, or held.
 * 3. With the last batch nothing of the remainder is left on A: its poller and its way into the
 *    storage went before. A queue whose chains are all given back has no remainder any more, so
 *    that a stop and a change of memory need not ask for them.
 * 4. Several remainders of a queue may exist. Each has a chain outstanding, so there are no more
 *    than the ring has places.
 * 5. A queue that no worker could take back is lost: control itself gives the batches back, for
 *    nobody else has the ring, and ends the queue with the last of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/device_priv.h"

/* ---- the worker that was left ---- */

/* Control may have it afterwards. */
static void hand_over(struct device_remainder *rem)
{
	if (!rem->call_here || !rem->detached || (!rem->finished && rem->outstanding))
		return;
	rem->batch = rem->finished;
	rem->finished = NULL;
	rem->last = !rem->outstanding;
	rem->call_here = false;
	worker_call_ack(&rem->call);
}

static void arrive_on_worker(struct worker *worker, struct worker_call *call)
{
	struct device_remainder *rem = container_of(call, struct device_remainder, call);

	(void)worker;
	rem->call_here = true;
	hand_over(rem);
}

static unsigned remainder_poll(struct poller *poller, uint64_t now_ns)
{
	struct device_remainder *rem = container_of(poller, struct device_remainder, poller);
	const struct device_ops *ops = rem->queue->device->ops;
	unsigned work = ops->remainder_reap_on_worker(rem);

	(void)now_ns;
	if (!rem->outstanding) {
		worker_poller_remove(poller);
		ops->remainder_close_on_worker(rem);
	}
	hand_over(rem);
	return work;
}

static bool remainder_prepare_sleep(struct poller *poller)
{
	(void)poller; /* a poll that found nothing: the rest is announced */
	return false;
}

static void remainder_cancel_sleep(struct poller *poller)
{
	(void)poller;
}

static const struct poller_ops remainder_poller_ops = {
	.poll = remainder_poll,
	.prepare_sleep = remainder_prepare_sleep,
	.cancel_sleep = remainder_cancel_sleep,
};

void device_remainder_detach_on_worker(struct device_queue *queue, struct device_remainder *rem,
				       struct worker *worker)
{
	rem->pool = queue->pool;
	rem->outstanding = queue->device->ops->queue_detach_on_worker(queue, rem);
	rem->detached = true;
	if (rem->outstanding) {
		rem->poller.ops = &remainder_poller_ops;
		rem->poller.mode = POLL_MODE_NEVER;
		worker_poller_add(worker, &rem->poller);
	}
	hand_over(rem);
}

/* ---- the queue's owner ---- */

static void adopt_on_worker(struct worker *worker, struct worker_call *call)
{
	struct device_remainder *rem = container_of(call, struct device_remainder, call);
	struct device_queue *queue = rem->queue;
	unsigned cnt = queue->device->ops->queue_adopt(queue, rem, worker_now_ns(worker));

	stat_add(&queue->adopted, cnt);
	/* A call that is held is due at a time that nobody waits for while the queue is cold. */
	worker_poller_wake(&queue->poller);
	/* First: a queue that ends here has no remainder any more when control hears of it. */
	worker_call_ack(call);
	device_queue_poll_end(queue);
}

/* ---- control ---- */

static void finished_on_control(struct worker_call *call);
static void adopted_on_control(struct worker_call *call);

static void send_to_worker(struct device_remainder *rem)
{
	rem->call.run_on_worker = arrive_on_worker;
	rem->call.done_on_control = finished_on_control;
	worker_call(rem->worker, &rem->call);
}

static void send_to_owner(struct device_remainder *rem)
{
	rem->call.run_on_worker = adopt_on_worker;
	rem->call.done_on_control = adopted_on_control;
	worker_call(rem->queue->home, &rem->call);
}

/* The batch is in. */
static void go_round(struct device_remainder *rem)
{
	rem->batch = NULL;
	if (!rem->last) {
		send_to_worker(rem);
		return;
	}
	list_remove(&rem->node);
	rem->queue->device->ops->remainder_retire(rem);
	free(rem);
}

static void adopted_on_control(struct worker_call *call)
{
	go_round(container_of(call, struct device_remainder, call));
}

/* The ring is ours, see 5. */
static void adopt_lost(struct device_remainder *rem)
{
	struct device_queue *queue = rem->queue;
	unsigned cnt = queue->device->ops->queue_adopt(queue, rem, clock_now_ns());

	stat_add(&queue->adopted, cnt);
	go_round(rem);
}

static void finished_on_control(struct worker_call *call)
{
	struct device_remainder *rem = container_of(call, struct device_remainder, call);
	struct device_queue *queue = rem->queue;

	if (!rem->batch) {
		go_round(rem); /* nothing was outstanding at all */
	} else if (queue->lost) {
		adopt_lost(rem);
		device_queue_settle_lost(queue);
	} else if (device_queue_moving(queue)) {
		rem->held = true;
	} else {
		send_to_owner(rem);
	}
}

void device_remainders_release(struct device_queue *queue)
{
	struct list_node *pos, *tmp;

	list_for_each_safe(pos, tmp, &queue->remainders) {
		struct device_remainder *rem = list_entry(pos, struct device_remainder, node);

		if (!rem->held)
			continue;
		rem->held = false;
		if (queue->lost)
			adopt_lost(rem);
		else
			send_to_owner(rem);
	}
}

struct device_remainder *device_remainder_new(struct device_queue *queue)
{
	size_t bytes = queue->device->ops->remainder_bytes;
	struct device_remainder *rem = aligned_alloc(CACHE_LINE_BYTES, bytes);

	if (!rem)
		return NULL;
	memset(rem, 0, bytes);
	rem->queue = queue;
	rem->worker = queue->home;
	list_push_back(&queue->remainders, &rem->node);
	send_to_worker(rem);
	return rem;
}
