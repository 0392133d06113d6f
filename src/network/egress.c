/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on their way out of a switch: which queue of the receiver, on which worker.
 * Not which port (send.c), nor how rings work (exchange.c).
 */
#include "base/check.h"
#include "base/ordering.h"
#include "network/capture.h"
#include "network/netport_priv.h"

/* The queue is this worker's, and the frames have a reference for it. */
static inline void queue_deliver(struct netport_queue *queue, struct exchange *exchange,
				 struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	queue->ops->deliver(queue, frames, cnt, now_ns);
	if (!queue->dirty) {
		queue->dirty = true;
		queue->dirty_next = exchange->dirty_queues;
		exchange->dirty_queues = queue;
	}
}

static void replica_count_out(struct netport_replica *to, struct frame *const *frames, unsigned cnt)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < cnt; i++)
		bytes += frames[i]->bytes;
	stat_add(&to->stats.out_frames, cnt);
	stat_add(&to->stats.out_bytes, bytes);
}

COLD void netport_show_drop(struct netport *port, struct exchange *exchange,
			    const struct frame *frame, enum netport_drop why)
{
	struct capture_ring *capture = netport_on(port, exchange)->capture;

	if (capture)
		capture_drop(capture, frame, CAPTURE_OUT, why, worker_now_ns(exchange->worker));
}

/* Of no use to the port: cnt frames are dropped. */
static COLD void replica_drop_out(struct netport_replica *to, uint64_t *counter,
				  enum netport_drop why, struct frame *const *frames, unsigned cnt,
				  uint64_t now_ns)
{
	stat_add(counter, cnt);
	for (unsigned i = 0; i < cnt && to->capture; i++)
		capture_drop(to->capture, frames[i], CAPTURE_OUT, why, now_ns);
}

/* To another worker. */
static void give_away(struct netport_replica *to, struct exchange *exchange, unsigned owner,
		      unsigned queue_idx, struct frame *const *frames, unsigned cnt,
		      uint64_t now_ns)
{
	unsigned pushed;

	if (unlikely(owner == NETPORT_OWNER_NONE)) {
		replica_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE, frames, cnt,
				 now_ns);
		return;
	}
	pushed = exchange_push(exchange, owner, to->id, queue_idx, RING_FRAME, frames, cnt);
	replica_count_out(to, frames, pushed);
	if (unlikely(to->capture))
		capture_out(to->capture, frames, pushed, now_ns);
	if (unlikely(pushed < cnt))
		replica_drop_out(to, &to->stats.drop_inbox_full, NETPORT_DROP_INBOX_FULL,
				 frames + pushed, cnt - pushed, now_ns);
}

static inline void give_queue(struct netport_replica *to, struct exchange *exchange,
			      unsigned queue_idx, struct frame *const *frames, unsigned cnt,
			      uint64_t now_ns)
{
	const unsigned owner = load_relaxed(&to->port->owners[queue_idx]);
	struct netport_queue *queue = to->queues[queue_idx];
	uint64_t bytes = 0;

	if (unlikely(!queue) || owner != exchange->idx) {
		give_away(to, exchange, owner == exchange->idx ? NETPORT_OWNER_NONE : owner,
			  queue_idx, frames, cnt, now_ns);
		return;
	}
	for (unsigned i = 0; i < cnt; i++) {
		frames[i]->refs++;
		bytes += frames[i]->bytes;
	}
	stat_add(&to->stats.out_frames, cnt);
	stat_add(&to->stats.out_bytes, bytes);
	if (unlikely(to->capture))
		capture_out(to->capture, frames, cnt, now_ns);
	queue_deliver(queue, exchange, frames, cnt, now_ns);
}

static unsigned nth_bit(uint64_t mask, unsigned n)
{
	for (; n > 0; n--)
		mask &= mask - 1;
	return (unsigned)__builtin_ctzll(mask);
}

static uint32_t frame_hash(struct frame *frame)
{
	const struct dissection *d;

	if (!frame->hashed) {
		d = frame_dissect(frame);
		frame->hash = dissect_flow_hash(frame->head, frame->head_bytes, d);
		frame->hashed = true;
	}
	return frame->hash;
}

/* By flow, each queue once, frames of one in their order. */
static NOINLINE void give_spread(struct netport_replica *to, struct exchange *exchange,
				 uint64_t usable, struct frame *const *frames, unsigned cnt,
				 uint64_t now_ns)
{
	const unsigned queue_cnt = (unsigned)__builtin_popcountll(usable);
	uint8_t queues[NETPORT_BURST];
	struct frame *group[NETPORT_BURST];
	uint64_t left = 0;

	for (unsigned i = 0; i < cnt; i++) {
		const uint64_t hash = frame_hash(frames[i]);

		queues[i] = (uint8_t)nth_bit(usable, (unsigned)(hash * queue_cnt >> 32));
		left |= 1ull << queues[i];
	}
	for (; left; left &= left - 1) {
		const unsigned queue_idx = (unsigned)__builtin_ctzll(left);
		unsigned group_cnt = 0;

		for (unsigned i = 0; i < cnt; i++) {
			if (queues[i] == queue_idx)
				group[group_cnt++] = frames[i];
		}
		give_queue(to, exchange, queue_idx, group, group_cnt, now_ns);
	}
}

void netport_give(struct netport_replica *to, struct exchange *exchange,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	const uint64_t usable = load_acquire(&to->port->open) & load_relaxed(&to->port->receivers);

	if (unlikely(usable == 0))
		replica_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE, frames, cnt,
				 now_ns);
	else if (likely((usable & (usable - 1)) == 0))
		give_queue(to, exchange, (unsigned)__builtin_ctzll(usable), frames, cnt, now_ns);
	else
		give_spread(to, exchange, usable, frames, cnt, now_ns);
}

void netport_give_again(struct exchange *exchange, struct frame *frame, uint32_t port_id,
			unsigned queue_idx, uint64_t now_ns)
{
	struct netport_replica *to = exchange_port(exchange, port_id);
	struct netport_queue *queue;
	unsigned owner;

	if (!to)
		return;
	queue = to->queues[queue_idx];
	owner = load_relaxed(&to->port->owners[queue_idx]);
	if (queue) {
		frame->refs++;
		queue_deliver(queue, exchange, &frame, 1, now_ns);
	} else if (owner == exchange->idx || owner == NETPORT_OWNER_NONE) {
		replica_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE, &frame, 1,
				 now_ns);
	} else if (exchange_push(exchange, owner, port_id, queue_idx, RING_FRAME_AGAIN, &frame,
				 1) == 0) {
		replica_drop_out(to, &to->stats.drop_inbox_full, NETPORT_DROP_INBOX_FULL, &frame, 1,
				 now_ns);
	}
}

/* The queue is not here. */
static COLD void receive_elsewhere(struct exchange *exchange, struct netport_replica *to,
				   const struct ring_entry *entry, struct frame *const *frames,
				   unsigned cnt, uint64_t now_ns)
{
	const unsigned owner = to ? load_relaxed(&to->port->owners[entry->queue_idx])
				  : NETPORT_OWNER_NONE;

	for (unsigned i = 0; i < cnt; i++) {
		if (entry->kind == RING_FRAME && owner != NETPORT_OWNER_NONE) {
			exchange_bounce(exchange, frames[i], entry->port_id, entry->queue_idx);
			continue;
		}
		if (to)
			replica_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE,
					 &frames[i], 1, now_ns);
		exchange_put_away(exchange, frames[i]);
	}
}

void netport_receive(struct exchange *exchange, const struct ring_entry *entry,
		     struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	struct netport_replica *to = exchange_port(exchange, entry->port_id);
	struct netport_queue *queue = to ? to->queues[entry->queue_idx] : NULL;

	if (likely(queue))
		queue_deliver(queue, exchange, frames, cnt, now_ns);
	else
		receive_elsewhere(exchange, to, entry, frames, cnt, now_ns);
}
