/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uplink that sends back what it gets.
 * Not a way to anywhere.
 *
 * deliver() must not send, so it copies frames into a pool of the queue and the poller sends them:
 * in this turn or the next. Frames keep what they leave open (checksum, segmentation).
 */
#include "network/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "guest/iov.h"
#include "network/frame_pool.h"
#include "worker/worker.h"

struct loop_queue {
	struct poller poller;
	struct netport_queue receiver;
	struct frame_pool pool;
	struct loop *loop;
	struct worker *worker;
	struct exchange *exchange;
	struct worker_call start;
	struct worker_call stop;
	unsigned idx;
	bool stopping;
	unsigned head; /* of waiting, both run free */
	unsigned tail;
	struct frame *waiting[FRAME_POOL_CNT]; /* to be sent, a ring */
	struct loop_stats stats CACHE_ALIGNED; /* the owner writes, anybody reads */
};

struct loop {
	struct netport *port;
	unsigned queue_cnt;
	unsigned started_cnt;
	unsigned stopped_cnt;
	struct loop_queue *queues;
	void (*closed)(void *arg);
	void *closed_arg;
};

#define ROW(member, unit, help)                                                        \
	{                                                                              \
#member, unit, help, offsetof(struct loop_stats, member), STAT_COUNTER \
	}

const struct stat_row loop_stat_rows[] = {
	ROW(frames, "frames", "Frames sent back."),
	ROW(bytes, "bytes", "Bytes of these."),
	ROW(group, "frames", "Frames to group addresses, which end here."),
	ROW(full, "frames", "Frames dropped because all of the loop's own were on their way."),
	ROW(errors, "frames", "Frames dropped because they were shorter than they said."),
};
const unsigned loop_stat_row_cnt = ARRAY_LEN(loop_stat_rows);

static void swap_addresses(uint8_t *head)
{
	uint8_t destination[ETHER_MAC_BYTES];

	memcpy(destination, head, ETHER_MAC_BYTES);
	memcpy(head, head + ETHER_MAC_BYTES, ETHER_MAC_BYTES);
	memcpy(head + ETHER_MAC_BYTES, destination, ETHER_MAC_BYTES);
}

/* Into own, which is taken if all of it was there. */
static bool copy_frame(struct loop_queue *queue, struct pool_frame *own, const struct frame *from)
{
	uint8_t edited[FRAME_HEAD_BYTES + ETHER_TAG_BYTES];
	const enum netport_tag_edit edit = netport_tag_edit(queue->receiver.port, from);
	const unsigned edited_bytes = netport_edit_head(from, edit, edited);
	const unsigned head_bytes = edited_bytes < FRAME_HEAD_BYTES ? edited_bytes
								    : FRAME_HEAD_BYTES;
	const int shift = (int)edited_bytes - (int)from->head_bytes;
	const uint32_t rest_bytes = from->bytes - from->head_bytes;
	uint8_t *data = own->data.iov_base;
	struct frame *to = &own->frame;
	struct iov_cursor rest;

	memcpy(to->head, edited, head_bytes);
	memcpy(data, edited + head_bytes, edited_bytes - head_bytes);
	iov_cursor_init(&rest, from->iov, from->iov_cnt);
	if (iov_copy_in(&rest, data + (edited_bytes - head_bytes), rest_bytes) < rest_bytes)
		return false;
	frame_pool_take(&queue->pool, edited_bytes + rest_bytes, (uint16_t)head_bytes);
	swap_addresses(to->head);
	to->gso = from->gso;
	to->gso_ecn = from->gso_ecn;
	to->gso_bytes = from->gso_bytes;
	to->csum_partial = from->csum_partial;
	to->csum_valid = from->csum_valid;
	to->csum_start = (uint16_t)(from->csum_start + shift);
	to->csum_offset = from->csum_offset;
	if (to->gso != FRAME_GSO_NONE)
		frame_dissect(to);
	return true;
}

static void loop_frame(struct loop_queue *queue, const struct frame *frame)
{
	struct pool_frame *own = frame_pool_next(&queue->pool);

	if (frame->head[0] & 1) {
		stat_inc(&queue->stats.group);
	} else if (!own) {
		stat_inc(&queue->stats.full);
	} else if (!copy_frame(queue, own, frame)) {
		stat_inc(&queue->stats.errors);
	} else {
		queue->waiting[queue->tail++ % FRAME_POOL_CNT] = &own->frame;
		stat_inc(&queue->stats.frames);
		stat_add(&queue->stats.bytes, own->frame.bytes);
	}
}

static void loop_deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
			 uint64_t now_ns)
{
	struct loop_queue *queue = container_of(receiver, struct loop_queue, receiver);

	(void)now_ns;
	for (unsigned i = 0; i < cnt; i++) {
		loop_frame(queue, frames[i]);
		exchange_put(queue->exchange, frames[i]);
	}
}

static void loop_flush(struct netport_queue *receiver, uint64_t now_ns)
{
	struct loop_queue *queue = container_of(receiver, struct loop_queue, receiver);

	(void)now_ns;
	if (queue->head != queue->tail)
		worker_poller_wake(&queue->poller);
}

static const struct netport_ops loop_netport_ops = {
	.kind = "loop",
	.deliver = loop_deliver,
	.flush = loop_flush,
};

static unsigned loop_poll(struct poller *poller, uint64_t now_ns)
{
	struct loop_queue *queue = container_of(poller, struct loop_queue, poller);
	struct frame *burst[NETPORT_BURST];
	unsigned cnt = 0;

	while (cnt < NETPORT_BURST && queue->head != queue->tail)
		burst[cnt++] = queue->waiting[queue->head++ % FRAME_POOL_CNT];
	if (cnt > 0)
		frame_pool_send(&queue->pool, queue->loop->port, burst, cnt, now_ns);
	return cnt;
}

static bool loop_prepare_sleep(struct poller *poller)
{
	const struct loop_queue *queue = container_of(poller, struct loop_queue, poller);

	return queue->head != queue->tail;
}

static void loop_cancel_sleep(struct poller *poller)
{
	(void)poller;
}

static const struct poller_ops loop_poller_ops = {
	.poll = loop_poll,
	.prepare_sleep = loop_prepare_sleep,
	.cancel_sleep = loop_cancel_sleep,
};

static void stop_if_done(struct loop_queue *queue)
{
	if (!queue->stopping || queue->pool.out_cnt > 0)
		return;
	queue->stopping = false;
	worker_poller_remove(&queue->poller);
	worker_call_ack(&queue->stop);
}

static void loop_refilled(struct frame_pool *pool)
{
	stop_if_done(container_of(pool, struct loop_queue, pool));
}

static void queue_start_on_worker(struct worker *worker, struct worker_call *call)
{
	struct loop_queue *queue = container_of(call, struct loop_queue, start);

	netport_queue_open(&queue->receiver, queue->loop->port, queue->idx, queue->exchange);
	worker_poller_add(worker, &queue->poller);
	worker_call_ack(call);
}

static void queue_stop_on_worker(struct worker *worker, struct worker_call *call)
{
	struct loop_queue *queue = container_of(call, struct loop_queue, stop);

	(void)worker;
	netport_queue_close(&queue->receiver, false);
	while (queue->head != queue->tail)
		frame_pool_put(&queue->pool, queue->waiting[queue->head++ % FRAME_POOL_CNT]);
	queue->stopping = true;
	stop_if_done(queue);
}

static void queue_started(struct worker_call *call)
{
	struct loop *loop = container_of(call, struct loop_queue, start)->loop;

	if (++loop->started_cnt == loop->queue_cnt)
		netport_set_receivers(loop->port, loop->queue_cnt);
}

static void loop_free(struct loop *loop)
{
	for (unsigned i = 0; loop->queues && i < loop->queue_cnt; i++)
		frame_pool_fini(&loop->queues[i].pool);
	free(loop->queues);
	free(loop);
}

static void port_closed(void *arg)
{
	struct loop *loop = arg;
	void (*closed)(void *arg) = loop->closed;
	void *closed_arg = loop->closed_arg;

	loop_free(loop);
	closed(closed_arg);
}

static void queue_stopped(struct worker_call *call)
{
	struct loop *loop = container_of(call, struct loop_queue, stop)->loop;

	if (++loop->stopped_cnt == loop->queue_cnt)
		netport_close(loop->port, port_closed, loop);
}

static int queues_new(struct loop *loop, const struct loop_options *options, struct err *err)
{
	int status = 0;

	loop->queues = aligned_alloc(CACHE_LINE_BYTES, options->queues * sizeof(*loop->queues));
	if (!loop->queues)
		return err_set(err, ENOMEM, "out of memory");
	memset(loop->queues, 0, options->queues * sizeof(*loop->queues));
	loop->queue_cnt = options->queues;
	for (unsigned i = 0; i < loop->queue_cnt && status == 0; i++) {
		struct loop_queue *queue = &loop->queues[i];

		queue->loop = loop;
		queue->idx = i;
		queue->worker = options->workers[(i + options->worker_shift) % options->worker_cnt];
		queue->exchange = fabric_exchange(options->fabric, queue->worker);
		queue->receiver.ops = &loop_netport_ops;
		queue->poller.ops = &loop_poller_ops;
		queue->poller.mode = options->poll_mode;
		queue->poller.poll_max_ns = options->poll_max_ns;
		queue->start.run_on_worker = queue_start_on_worker;
		queue->start.done_on_control = queue_started;
		queue->stop.run_on_worker = queue_stop_on_worker;
		queue->stop.done_on_control = queue_stopped;
		queue->pool.refilled = loop_refilled;
		status = frame_pool_init(&queue->pool, queue->exchange, err);
	}
	return status;
}

int loop_open(const struct loop_options *options, struct loop **out, struct err *err)
{
	struct loop *loop;
	int status;

	if (options->queues < 1 || options->queues > NETPORT_QUEUES_MAX)
		return err_set(err, EINVAL, "queues: %u is not from 1 to %d", options->queues,
			       NETPORT_QUEUES_MAX);
	loop = calloc(1, sizeof(*loop));
	if (!loop)
		return err_set(err, ENOMEM, "out of memory");
	status = queues_new(loop, options, err);
	if (status == 0)
		status = netport_open(&options->port, &loop->port, err);
	if (status < 0) {
		loop_free(loop);
		return status;
	}
	for (unsigned i = 0; i < loop->queue_cnt; i++)
		worker_call(loop->queues[i].worker, &loop->queues[i].start);
	*out = loop;
	return 0;
}

void loop_close(struct loop *loop, void (*closed)(void *arg), void *arg)
{
	loop->closed = closed;
	loop->closed_arg = arg;
	for (unsigned i = 0; i < loop->queue_cnt; i++)
		worker_call(loop->queues[i].worker, &loop->queues[i].stop);
}

struct netport *loop_port(const struct loop *loop)
{
	return loop->port;
}

void loop_stats(const struct loop *loop, struct loop_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < loop->queue_cnt; i++)
		stat_sum(sum, &loop->queues[i].stats, sizeof(*sum));
}
