/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bursts of requests between a virtqueue and a storage channel. Owner worker only.
 * Not judging them (request.c).
 *
 * Theory of operation
 *
 * 1. A turn reaps what the storage has done, fetches a burst, judges it, submits it, reaps again
 *    (null and small ram or cached file I/O are done by then), gives all that is finished back in
 *    one burst, and repeats while bursts come full, up to a bound. The driver is called once.
 * 2. A request is in one place at a time: in the storage (in_storage counts them), or about to be
 *    completed. Its one storage_op is used again for what follows: the next segment of a discard,
 *    or the flush behind a write in write-through mode.
 * 3. What the storage did within submit is not announced by on_complete; what it does later is, and
 *    a wake-up is followed by a poll. So a turn ends either with a reap that found less than it
 *    asked for and resubmitted nothing, or with queue.unfinished set, which keeps the poller hot.
 */
#include "device/blk/blk_priv.h"

#include "base/check.h"

/* One turn takes at most so many bursts, so that the queues of a worker get their turns. */
#define BURSTS_PER_TURN 4
/* And no more bursts once so much was asked for: copies of a ram disk take this thread's time. */
#define BYTES_PER_TURN (4u << 20)
/* Two reaps and the requests that need no storage. */
#define DONE_MAX (3 * VIRTQUEUE_BURST)

/* What a turn has gathered to give back. */
struct done_list {
	unsigned cnt;
	struct vq_slot *slots[DONE_MAX];
};

static ALWAYS_INLINE struct blk_request *request_of_slot(struct vq_slot *slot)
{
	return container_of(slot, struct blk_request, slot);
}

static ALWAYS_INLINE void add_done(struct done_list *done, struct blk_request *req, uint8_t status)
{
	blk_request_finish(req, status);
	done->slots[done->cnt++] = &req->slot;
}

static void submit(struct blk_queue *queue, struct storage_op *const *ops, unsigned cnt)
{
	queue->in_storage += cnt;
	storage_submit(queue->channel, ops, cnt);
}

/*
 * The storage has done req's operation. True: op was filled in anew and has to be submitted.
 * 5.2.6.2: in write-through mode a write is reported when it is durable; a discard has no content
 * to lose.
 */
static bool goes_on(struct blk_request *req, bool writethrough)
{
	struct storage_op *op = &req->op;

	if (op->kind == STORAGE_READ || op->kind == STORAGE_FLUSH)
		return false;
	if (op->kind != STORAGE_WRITE && blk_request_next_segment(req))
		return true;
	if (!writethrough || op->kind == STORAGE_DISCARD)
		return false;
	blk_op_flush(op);
	return true;
}

static void reap(struct blk_queue *queue, struct done_list *done)
{
	struct storage_op *ops[VIRTQUEUE_BURST], *again[VIRTQUEUE_BURST];
	unsigned again_cnt = 0;
	unsigned cnt = storage_reap(queue->channel, ops, VIRTQUEUE_BURST);
	/* After the reap: see struct blk_device. */
	bool writethrough = load_relaxed(&queue->blk->writethrough);

	queue->in_storage -= cnt;
	for (unsigned i = 0; i < cnt; i++) {
		struct blk_request *req = container_of(ops[i], struct blk_request, op);

		if (unlikely(req->op.result < 0)) {
			stat_inc(&queue->stats.io_errors);
			add_done(done, req, BLK_S_IOERR);
		} else if (unlikely(goes_on(req, writethrough))) {
			again[again_cnt++] = &req->op;
		} else {
			add_done(done, req, BLK_S_OK);
		}
	}
	if (unlikely(again_cnt))
		submit(queue, again, again_cnt);
	queue->queue.unfinished = cnt == VIRTQUEUE_BURST || again_cnt;
}

/* A request was accepted. */
static ALWAYS_INLINE void count_request(struct blk_stats *stats, const struct storage_op *op)
{
	switch (op->kind) {
	case STORAGE_READ:
		stat_inc(&stats->reads);
		stat_add(&stats->read_bytes, op->len_bytes);
		break;
	case STORAGE_WRITE:
		stat_inc(&stats->writes);
		stat_add(&stats->write_bytes, op->len_bytes);
		break;
	case STORAGE_FLUSH:
		stat_inc(&stats->flushes);
		break;
	case STORAGE_DISCARD:
		stat_inc(&stats->discards);
		break;
	case STORAGE_WRITE_ZEROES:
		stat_inc(&stats->write_zeroes);
		break;
	case STORAGE_KIND_MAX_:
		break;
	}
}

/* A request that needs no storage: answered, empty, or refused. */
static NOINLINE void finish_at_once(struct blk_queue *queue, struct blk_request *req,
				    enum blk_verdict verdict, struct done_list *done)
{
	uint64_t *counter = blk_verdict_counter(&queue->stats, verdict);

	if (counter)
		stat_inc(counter);
	else if (verdict == BLK_GOT_ID)
		stat_inc(&queue->stats.get_ids);
	else if (verdict == BLK_NOTHING)
		count_request(&queue->stats, &req->op);
	add_done(done, req, blk_verdict_status(verdict));
}

/* Fetches a burst, judges and submits it. Returns how many chains there were. */
static unsigned take(struct blk_queue *queue, struct done_list *done, uint64_t *bytes)
{
	struct blk_device *blk = queue->blk;
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct storage_op *ops[VIRTQUEUE_BURST];
	unsigned op_cnt = 0;
	unsigned cnt = virtqueue_fetch(queue->queue.vq, queue->queue.pool, slots, VIRTQUEUE_BURST);
	uint64_t sectors;

	if (!cnt)
		return 0;
	sectors = load_relaxed(&blk->info->capacity_bytes) >> BLK_SECTOR_SHIFT;
	for (unsigned i = 0; i < cnt; i++) {
		struct blk_request *req = request_of_slot(slots[i]);
		enum blk_verdict verdict = blk_request_parse(req, &blk->rules, sectors);

		if (unlikely(verdict != BLK_SUBMIT)) {
			finish_at_once(queue, req, verdict, done);
			continue;
		}
		count_request(&queue->stats, &req->op);
		*bytes += req->op.len_bytes;
		ops[op_cnt++] = &req->op;
	}
	if (op_cnt)
		submit(queue, ops, op_cnt);
	return cnt;
}

static unsigned blk_poll(struct poller *poller, uint64_t now_ns)
{
	struct device_queue *base = container_of(poller, struct device_queue, poller);
	struct blk_queue *queue = blk_of_queue(base);
	unsigned work = 0, given_back = 0;
	uint64_t bytes = 0;

	(void)now_ns;
	base->unfinished = false;
	for (unsigned burst = 0; burst < BURSTS_PER_TURN && bytes < BYTES_PER_TURN; burst++) {
		struct done_list done;
		unsigned taken = 0;

		done.cnt = 0;
		if (queue->in_storage)
			reap(queue, &done);
		if (device_queue_may_fetch(base))
			taken = take(queue, &done, &bytes);
		if (queue->in_storage && (taken || base->unfinished))
			reap(queue, &done);
		if (done.cnt)
			virtqueue_complete(base->vq, base->pool, done.slots, done.cnt);
		given_back += done.cnt;
		work += taken + done.cnt;
		if (taken < VIRTQUEUE_BURST)
			break;
	}
	if (given_back)
		virtqueue_notify(base->vq);
	device_queue_poll_end(base);
	return work;
}

/* The storage finished something outside submit. */
static void on_complete(void *arg)
{
	struct blk_queue *queue = arg;

	worker_poller_wake(&queue->queue.poller);
}

int blk_queue_open_on_worker(struct device_queue *base, struct worker *worker, struct err *err)
{
	struct blk_queue *queue = blk_of_queue(base);
	int status;

	queue->blk = blk_of_device(base->device);
	status = storage_channel_open(queue->blk->storage, worker, &queue->channel, err);
	if (!status)
		storage_channel_on_complete(queue->channel, on_complete, queue);
	return status;
}

void blk_queue_close_on_worker(struct device_queue *base)
{
	struct blk_queue *queue = blk_of_queue(base);

	CHECK(!queue->in_storage);
	storage_channel_close(queue->channel);
	queue->channel = NULL;
}

const struct poller_ops blk_poller_ops = {
	.poll = blk_poll,
	.prepare_sleep = device_queue_prepare_sleep,
	.cancel_sleep = device_queue_cancel_sleep,
	.kicked = device_queue_kicked,
};
