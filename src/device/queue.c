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
 * 5. Some devices have queues that run while they are disabled (ops->serves_disabled). A front end
 *    may disable a queue and then free its memory without another word, so one that was disabled
 *    is quiet: when that is acknowledged nothing is in flight, kicks are armed, and the ring is
 *    looked at only after a kick, whatever the mode, until the model finds nothing more. The kick
 *    fd is watched anew, and is never read: if there were kicks its first event tells of those. It
 *    is not followed, and waited for before the acknowledgement, so that later ones stand out (a
 *    move does not wait: a kick may get lost then, and the next one counts for it). A queue
 *    without a kick fd is left alone. Moves do not touch the ring.
 */
#include <errno.h>
#include <poll.h>

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
	if (queue->quiet)
		return POLL_MODE_NEVER;
	return queue->kick_fd < 0 || queue->kick_lost ? POLL_MODE_ALWAYS : tuning->poll_mode;
}

static bool kick_is_pending(const struct device_queue *queue)
{
	struct pollfd kick = {.fd = queue->kick_fd, .events = POLLIN};

	/* Nothing but an eventfd is watched, so this cannot hang. */
	return queue->kick_fd >= 0 && poll(&kick, 1, 0) > 0 && kick.revents & POLLIN;
}

/* What is true of a queue that comes, or becomes quiet. */
static void init_quiet(struct device_queue *queue, bool kicked)
{
	queue->kicked = kicked;
	queue->kick_is_old = false;
	queue->kick_lost = false;
	queue->quiet_fetched = virtqueue_stats(queue->vq)->fetched;
}

/* The kick fd is watched anew. True: an event about former kicks will come. */
static bool watch_quiet(struct device_queue *queue)
{
	bool armed = worker_poller_arm_kick(&queue->poller);

	/* After that: a front end that reads the descriptor cannot make us wait for nothing. */
	queue->kick_is_old = kick_is_pending(queue);
	return armed && queue->kick_is_old;
}

static void set_coalesce(struct device_queue *queue, const struct device_tuning *tuning)
{
	const struct device_ops *ops = queue->device->ops;

	if (ops->queue_coalesce_on_worker)
		ops->queue_coalesce_on_worker(queue, &tuning->coalesce);
	else
		virtqueue_set_coalesce(queue->vq, &tuning->coalesce);
}

static int come_on_worker(struct device_queue *queue, struct worker *worker,
			  const struct device_tuning *tuning, bool starts)
{
	const struct device *device = queue->device;
	struct err err = ERR_INIT;
	int status;

	queue->pool = chain_pool_of_worker(worker);
	if (!queue->pool)
		return -ENOMEM;
	queue->waiting = QUEUE_WAITING_NOTHING;
	queue->unfinished = false;
	init_quiet(queue, starts);
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
	if (device->ops->serves_disabled)
		device->ops->queue_enable_on_worker(queue, !queue->quiet);
	set_coalesce(queue, tuning);
	if (!queue->quiet)
		virtqueue_disarm(queue->vq);
	worker_poller_add(worker, &queue->poller);
	status = worker_poller_set_kick(&queue->poller, queue->kick_fd);
	if (status) {
		worker_poller_remove(&queue->poller);
		device->ops->queue_close_on_worker(queue);
		return status;
	}
	/* One that starts looks at its ring anyhow. */
	if (queue->quiet && !starts)
		(void)watch_quiet(queue);
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

/* True: see watch_quiet(). */
static bool become_quiet(struct device_queue *queue, const struct device_tuning *tuning)
{
	virtqueue_notify(queue->vq);
	queue->quiet = true;
	init_quiet(queue, false);
	worker_poller_set_mode(&queue->poller, POLL_MODE_NEVER, tuning->poll_max_ns);
	/* What is there already is looked at with the next kick, or when it is enabled. */
	(void)virtqueue_arm(queue->vq);
	if (worker_poller_set_kick(&queue->poller, queue->kick_fd)) {
		queue->kick_lost = true;
		return false;
	}
	return watch_quiet(queue);
}

void device_queue_settle_on_worker(struct device_queue *queue)
{
	struct queue_change *change = queue->draining;

	if (queue->waiting == QUEUE_WAITING_MEMORY && virtqueue_memory_settled(queue->vq)) {
		queue->waiting = QUEUE_WAITING_NOTHING;
		acknowledge(change, 0);
	} else if (queue->waiting == QUEUE_WAITING_DRAIN && !virtqueue_in_flight(queue->vq)) {
		stop_on_worker(queue, change);
	} else if (queue->waiting == QUEUE_WAITING_QUIET && !virtqueue_in_flight(queue->vq)) {
		if (become_quiet(queue, &change->tuning)) {
			queue->waiting = QUEUE_WAITING_KICK;
			return;
		}
		queue->waiting = QUEUE_WAITING_NOTHING;
		acknowledge(change, 0);
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

static void enable_on_worker(struct device_queue *queue, struct queue_change *change)
{
	const struct device_tuning *tuning = &change->tuning;

	if (!change->enabled) {
		queue->device->ops->queue_enable_on_worker(queue, false);
		virtqueue_notify(queue->vq);
		wait_on_worker(queue, change, QUEUE_WAITING_QUIET);
		return;
	}
	queue->quiet = false;
	queue->device->ops->queue_enable_on_worker(queue, true);
	virtqueue_disarm(queue->vq);
	worker_poller_set_mode(&queue->poller, poll_mode_of(queue, tuning), tuning->poll_max_ns);
	worker_poller_wake(&queue->poller);
	virtqueue_notify(queue->vq);
	acknowledge(change, 0);
}

static void tune_on_worker(struct device_queue *queue, const struct device_tuning *tuning)
{
	worker_poller_set_mode(&queue->poller, poll_mode_of(queue, tuning), tuning->poll_max_ns);
	set_coalesce(queue, tuning);
	/* A call that was held is looked at by the rules of now. */
	worker_poller_wake(&queue->poller);
}

void device_queue_change_on_worker(struct worker *worker, struct worker_call *call)
{
	struct queue_change *change = container_of(call, struct queue_change, call);
	struct device_queue *queue = change->queue;

	switch (change->kind) {
	case QUEUE_CHANGE_START:
		queue->quiet = !change->enabled;
		acknowledge(change, come_on_worker(queue, worker, &change->tuning, true));
		break;
	case QUEUE_CHANGE_MOVE:
		if (change->coming)
			acknowledge(change, come_on_worker(queue, worker, &change->tuning, false));
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
	case QUEUE_CHANGE_ENABLE:
		enable_on_worker(queue, change);
		break;
	case QUEUE_CHANGE_MODEL:
		queue->device->ops->queue_told_on_worker(queue);
		acknowledge(change, 0);
		break;
	}
}

/* A kick was followed until the model found nothing: but look again before waiting for the next. */
static bool quiet_prepare_sleep(struct device_queue *queue)
{
	uint64_t fetched = virtqueue_stats(queue->vq)->fetched;
	bool avail;

	if (!queue->kicked)
		return false;
	virtqueue_notify(queue->vq);
	avail = virtqueue_arm(queue->vq);
	/* Some models take nothing from a disabled queue. */
	queue->kicked = avail && fetched != queue->quiet_fetched;
	queue->quiet_fetched = fetched;
	return queue->kicked;
}

bool device_queue_prepare_sleep(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	if (unlikely(queue->quiet) && !device_queue_drains(queue))
		return quiet_prepare_sleep(queue);
	/*
	 * A queue that is never polled sleeps after each burst: only a deadline lets a call wait
	 * there (next_deadline). One that is polled has found nothing for a while: no more to come.
	 */
	if (poller->mode != POLL_MODE_NEVER || device_queue_drains(queue))
		virtqueue_notify(queue->vq);
	if (queue->unfinished)
		return true;
	/* A queue that drains is woken by its completions; its kicks are of no interest. */
	if (device_queue_drains(queue))
		return false;
	return virtqueue_arm(queue->vq);
}

void device_queue_cancel_sleep(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	if (!queue->quiet)
		virtqueue_disarm(queue->vq);
}

uint64_t device_queue_next_deadline(struct poller *poller)
{
	return virtqueue_held_until_ns(container_of(poller, struct device_queue, poller)->vq);
}

void device_queue_kicked(struct poller *poller)
{
	struct device_queue *queue = container_of(poller, struct device_queue, poller);

	stat_inc(&virtqueue_stats_mutable(queue->vq)->kicks);
	if (likely(!queue->quiet))
		return;
	if (!queue->kick_is_old) {
		queue->kicked = true;
		return;
	}
	queue->kick_is_old = false;
	if (queue->waiting == QUEUE_WAITING_KICK) {
		queue->waiting = QUEUE_WAITING_NOTHING;
		acknowledge(queue->draining, 0);
	}
}
