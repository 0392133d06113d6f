/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of a queue that has moved away while the storage has them: reaped on the worker that
 * submitted them, ended by the one that the queue is on by then.
 * Not how they get there (device/remainder.c).
 *
 * A channel belongs to one worker, so what follows an operation (a discard's next segment, the
 * flush behind a write) is done here as well. The driver and the queue's counters hear of it only
 * from the owner: the request carries its result there.
 *
 * What the storage did within submit is not announced, but a reap that found something is followed
 * by another, so none is left behind.
 */
#include "base/check.h"
#include "base/clock.h"
#include "device/blk/blk_priv.h"

/* The storage has let go of a finished request's op: its link carries our lists. */
static void list_push(struct vq_slot **list, struct blk_request *req)
{
	req->op.next = *list ? &blk_request_of_slot(*list)->op : NULL;
	*list = &req->slot;
}

static struct blk_request *list_next(struct blk_request *req)
{
	return req->op.next ? container_of(req->op.next, struct blk_request, op) : NULL;
}

static struct blk_request *list_first(struct vq_slot *list)
{
	return list ? blk_request_of_slot(list) : NULL;
}

static void on_complete(void *arg)
{
	struct blk_remainder *rem = arg;

	worker_poller_wake(&rem->remainder.poller);
}

unsigned blk_queue_detach_on_worker(struct device_queue *base, struct device_remainder *rem_base)
{
	struct blk_queue *queue = blk_of_queue(base);
	struct blk_remainder *rem = blk_of_remainder(rem_base);
	unsigned outstanding = queue->in_storage;

	if (!outstanding) {
		blk_queue_close_on_worker(base);
		return 0;
	}
	rem->blk = queue->blk;
	rem->channel = queue->channel;
	storage_channel_on_complete(rem->channel, on_complete, rem);
	/* The queue's counters are its next owner's. */
	storage_channel_count_in(rem->channel, &rem->storage_stats);
	queue->channel = NULL;
	queue->in_storage = 0;
	return outstanding;
}

unsigned blk_remainder_reap_on_worker(struct device_remainder *base)
{
	struct blk_remainder *rem = blk_of_remainder(base);
	struct storage_op *ops[VIRTQUEUE_BURST], *again[VIRTQUEUE_BURST];
	unsigned again_cnt = 0;
	unsigned cnt = storage_reap(rem->channel, ops, VIRTQUEUE_BURST);
	/* After the reap: see struct blk_device. */
	bool writethrough = load_relaxed(&rem->blk->writethrough);

	for (unsigned i = 0; i < cnt; i++) {
		struct blk_request *req = container_of(ops[i], struct blk_request, op);

		if (req->op.result >= 0 && blk_request_goes_on(req, writethrough)) {
			again[again_cnt++] = &req->op;
			continue;
		}
		chain_iov_release(base->pool, &req->slot);
		list_push(&base->finished, req);
	}
	base->outstanding -= cnt - again_cnt;
	if (again_cnt)
		storage_submit(rem->channel, again, again_cnt);
	return cnt;
}

void blk_remainder_close_on_worker(struct device_remainder *base)
{
	struct blk_remainder *rem = blk_of_remainder(base);

	storage_channel_close(rem->channel);
	rem->channel = NULL;
}

unsigned blk_queue_adopt(struct device_queue *base, struct device_remainder *rem, uint64_t now_ns)
{
	struct blk_queue *queue = blk_of_queue(base);
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct blk_request *req = list_first(rem->batch);
	unsigned cnt = 0, total = 0;

	for (; req; req = list_next(req)) {
		bool failed = req->op.result < 0;

		if (failed)
			stat_inc(&queue->stats.io_errors);
		blk_request_finish(req, failed ? BLK_S_IOERR : BLK_S_OK);
		slots[cnt++] = &req->slot;
		if (cnt == VIRTQUEUE_BURST || !req->op.next) {
			virtqueue_complete(base->vq, base->pool, slots, cnt);
			total += cnt;
			cnt = 0;
		}
	}
	device_queue_notify(base, total, now_ns);
	/* The slots are free, but nothing was fetched into them yet. */
	now_ns = clock_now_ns();
	for (req = list_first(rem->batch); req; req = list_next(req))
		latency_record(&base->latency, now_ns - req->fetched_ns);
	return total;
}

void blk_remainder_retire(struct device_remainder *base)
{
	struct blk_remainder *rem = blk_of_remainder(base);

	stat_sum(&blk_of_queue(base->queue)->storage_retired, &rem->storage_stats,
		 sizeof(rem->storage_stats));
}
