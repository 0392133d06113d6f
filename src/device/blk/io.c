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
 * 4. How long a request took is recorded once the driver has it and was called. In IN_ORDER mode it
 *    may have had to wait for others then; that time is not seen.
 */
#include "device/blk/blk_priv.h"

#include "base/check.h"
#include "base/clock.h"

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
		} else if (unlikely(blk_request_goes_on(req, writethrough))) {
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
static unsigned take(struct blk_queue *queue, struct done_list *done, uint64_t now_ns,
		     uint64_t *bytes)
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
		struct blk_request *req = blk_request_of_slot(slots[i]);
		enum blk_verdict verdict = blk_request_parse(req, &blk->rules, sectors);

		req->fetched_ns = now_ns;
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

/* What was given back, before its slots are fetched into again. One look at the clock for all. */
static void record_latency(struct blk_queue *queue, const struct done_list *done)
{
	uint64_t now_ns = clock_now_ns();

	for (unsigned i = 0; i < done->cnt; i++)
		latency_record(&queue->queue.latency,
			       now_ns - blk_request_of_slot(done->slots[i])->fetched_ns);
}

static unsigned blk_poll(struct poller *poller, uint64_t now_ns)
{
	struct device_queue *base = container_of(poller, struct device_queue, poller);
	struct blk_queue *queue = blk_of_queue(base);
	unsigned work = 0, given_back = 0;
	uint64_t bytes = 0;
	struct done_list done;

	base->unfinished = false;
	done.cnt = 0;
	for (unsigned burst = 0; burst < BURSTS_PER_TURN && bytes < BYTES_PER_TURN; burst++) {
		unsigned taken = 0;

		if (done.cnt)
			record_latency(queue, &done);
		done.cnt = 0;
		if (queue->in_storage)
			reap(queue, &done);
		if (device_queue_may_fetch(base))
			taken = take(queue, &done, now_ns, &bytes);
		if (queue->in_storage && (taken || base->unfinished))
			reap(queue, &done);
		if (done.cnt)
			virtqueue_complete(base->vq, base->pool, done.slots, done.cnt);
		given_back += done.cnt;
		work += taken + done.cnt;
		if (taken < VIRTQUEUE_BURST)
			break;
	}
	device_queue_notify(base, given_back, now_ns);
	if (done.cnt)
		record_latency(queue, &done);
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
	if (status)
		return status;
	storage_channel_on_complete(queue->channel, on_complete, queue);
	storage_channel_count_in(queue->channel, &queue->storage_stats);
	blk_queue_memory_on_worker(base);
	return 0;
}

void blk_queue_memory_on_worker(struct device_queue *base)
{
	/* Where that fails, operations go on as if nobody had tried; it was logged. */
	(void)storage_channel_map_guest(blk_of_queue(base)->channel, base->memory);
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
	.next_deadline = device_queue_next_deadline,
	.kicked = device_queue_kicked,
};
