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

COLD void netport_drop_out(struct netport_replica *to, uint64_t *counter, enum netport_drop why,
			   struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	stat_add(counter, cnt);
	for (unsigned i = 0; i < cnt && to->capture; i++)
		capture_drop(to->capture, frames[i], CAPTURE_OUT, why, now_ns);
}

/* To another worker. */
static void give_away(struct netport_replica *to, struct exchange *exchange, unsigned owner,
		      unsigned queue_idx, struct frame *const *frames, unsigned cnt, bool again,
		      uint64_t now_ns)
{
	const unsigned pushed =
		exchange_push(exchange, owner, to->id, queue_idx, RING_FRAME, frames, cnt);

	if (likely(!again)) {
		replica_count_out(to, frames, pushed);
		if (unlikely(to->capture))
			capture_out(to->capture, frames, pushed, now_ns);
	}
	if (unlikely(pushed < cnt))
		netport_drop_out(to, &to->stats.drop_inbox_full, NETPORT_DROP_INBOX_FULL,
				 frames + pushed, cnt - pushed, now_ns);
}

static inline void give_here(struct netport_replica *to, struct exchange *exchange,
			     struct netport_queue *queue, struct frame *const *frames, unsigned cnt,
			     bool again, uint64_t now_ns)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < cnt; i++) {
		frames[i]->refs++;
		bytes += frames[i]->bytes;
	}
	if (likely(!again)) {
		stat_add(&to->stats.out_frames, cnt);
		stat_add(&to->stats.out_bytes, bytes);
		if (unlikely(to->capture))
			capture_out(to->capture, frames, cnt, now_ns);
	}
	queue_deliver(queue, exchange, frames, cnt, now_ns);
}

static ALWAYS_INLINE void give_queue(struct netport_replica *to, struct exchange *exchange,
				     unsigned queue_idx, struct frame *const *frames, unsigned cnt,
				     bool again, uint64_t now_ns)
{
	struct netport_queue *queue = to->direct[queue_idx];
	uint32_t owner;

	if (likely(queue)) {
		give_here(to, exchange, queue, frames, cnt, again, now_ns);
		return;
	}
	owner = load_relaxed(&to->port->owners[queue_idx]);
	if (unlikely(owner != to->via[queue_idx])) {
		if (!steer_settle_queue(to, exchange, queue_idx, frames, cnt, now_ns))
			return;
		queue = to->direct[queue_idx];
		owner = to->via[queue_idx];
		if (queue) {
			give_here(to, exchange, queue, frames, cnt, again, now_ns);
			return;
		}
	}
	give_away(to, exchange, NETPORT_OWNER(owner), queue_idx, frames, cnt, again, now_ns);
}

void netport_give_queue(struct netport_replica *to, struct exchange *exchange, unsigned queue_idx,
			struct frame *const *frames, unsigned cnt, bool again, uint64_t now_ns)
{
	give_queue(to, exchange, queue_idx, frames, cnt, again, now_ns);
}

static ALWAYS_INLINE void give(struct netport_replica *to, struct exchange *exchange,
			       struct frame *const *frames, unsigned cnt, bool alone,
			       uint64_t now_ns)
{
	const uint64_t usable = load_acquire(&to->port->open) & load_relaxed(&to->port->receivers);
	unsigned queue_idx;

	if (unlikely(usable == 0)) {
		netport_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE, frames, cnt,
				 now_ns);
	} else if (likely((usable & (usable - 1)) == 0)) {
		queue_idx = (unsigned)__builtin_ctzll(usable);
		if (likely(!to->steer) || steer_lone(to, exchange, queue_idx, frames, cnt, now_ns))
			give_queue(to, exchange, queue_idx, frames, cnt, false, now_ns);
	} else {
		steer_give(to, exchange, usable, frames, cnt, alone, now_ns);
	}
}

void netport_give(struct netport_replica *to, struct exchange *exchange,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	give(to, exchange, frames, cnt, true, now_ns);
}

void netport_give_shared(struct netport_replica *to, struct exchange *exchange,
			 struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	give(to, exchange, frames, cnt, false, now_ns);
}

/* The queue is not here. */
static COLD void receive_elsewhere(struct exchange *exchange, struct netport_replica *to,
				   const struct ring_entry *entry, struct frame *const *frames,
				   unsigned cnt, uint64_t now_ns)
{
	const uint32_t owner = to ? load_relaxed(&to->port->owners[entry->queue_idx])
				  : NETPORT_OWNER_NONE;

	for (unsigned i = 0; i < cnt; i++) {
		if (NETPORT_OWNER(owner) != NETPORT_OWNER_NONE) {
			exchange_bounce(exchange, frames[i], entry->port_id, entry->queue_idx);
			continue;
		}
		if (to)
			netport_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE,
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
