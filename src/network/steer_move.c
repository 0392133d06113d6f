/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets, flows and queues that move, and no flow is reordered by it. Owner worker.
 * Not why they move (steer.c), nor what a queue takes with it (device/net).
 *
 * Theory of operation
 *
 * 1. What is held is of this worker's senders, and each sender's worker decides for itself: there
 *    is no agreement between workers, and none is needed, as a flow is sent from one of them.
 * 2. A place that goes from queue A to queue B: frames to A are outstanding until they are where
 *    the guest sees them. So this worker sends a fence behind all that it pushed for A, holds what
 *    comes for the place, and gives it to B when the fence was passed. Rings are first in, first
 *    out; the fence is answered through the return ring, published at the end of the burst that
 *    it was met in, when A has been flushed; and A's owner says "not yet" (then it is sent again)
 *    while frames in A wait for buffers. If A is of this worker itself, it is flushed and asked.
 * 3. A queue that goes from worker x to y takes with it what waits in it. What is in x's inbox
 *    bounces, back to its sender, who holds it (bounced), behind it the fence comes back, and
 *    newer frames (held) wait meanwhile. Then y gets both lists in that order. So there is one way
 *    to a queue at a time (netport_replica.via), and a fence of 2. for A waits for the move of A.
 *    A queue is known to have been elsewhere, even if it is back, by the upper half of its owner.
 * 4. A queue of this worker is `direct` if its frames always went there: no more is looked up then.
 * 5. A port whose buckets become others, or whose only queue becomes another, is moved as a whole:
 *    fences for all queues that have been used; all frames wait, those of places that were about to
 *    move before them.
 * 6. Nothing waits without bound. After STEER_GIVE_UP_NS a place stays where it is, its frames
 *    go there, and it tries again after STEER_STAY_NS. What waits for a queue, or with all of its
 *    port, for STEER_HOLD_NS is dropped; but a port as a whole goes on after that time if nothing
 *    is outstanding but what waits for buffers: a queue that its guest gives none does not keep
 *    the others from their frames. Frames and moves are bounded in number: a place that finds no
 *    move free stays; a frame too many is dropped.
 * 7. While moves are active the exchange's poller has a deadline, so that somebody looks at the
 *    clock in every poll mode. A port that goes drops what is held for it.
 */
#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ordering.h"
#include "network/netport_priv.h"

static_assert(STEER_MOVES_MAX <= 64, "bits of steer_moves.active");

/* --- moves --- */

static unsigned move_idx(const struct exchange *exchange, const struct steer_move *move)
{
	return (unsigned)(move - exchange->moves.moves);
}

/* NULL: there are too many. */
static struct steer_move *move_new(struct netport_replica *to, struct exchange *exchange,
				   enum steer_move_kind kind)
{
	struct steer_moves *moves = &exchange->moves;
	struct steer_move *move;

	if (moves->active == UINT64_MAX)
		return NULL;
	move = &moves->moves[__builtin_ctzll(~moves->active)];
	*move = (struct steer_move){.to = to, .kind = (uint8_t)kind, .token = ++moves->token};
	moves->active |= 1ull << move_idx(exchange, move);
	worker_poller_wake(&exchange->poller);
	return move;
}

static void move_free(struct exchange *exchange, struct steer_move *move)
{
	CHECK(!move->held.first && !move->bounced.first);
	move->to = NULL;
	exchange->moves.active &= ~(1ull << move_idx(exchange, move));
}

/* --- fences --- */

enum asked {
	ASKED_PASSED, /* nothing is outstanding */
	ASKED_SENT,
	ASKED_LATER,   /* it cannot be asked now */
	ASKED_BLOCKED, /* frames wait for buffers */
};

#define TOKEN_SHIFT 16
#define TOKEN_MOVE_SHIFT 8

static enum asked fence_send(struct exchange *exchange, const struct steer_move *move,
			     unsigned queue_idx, enum ring_kind kind)
{
	const struct ring_entry fence = {
		.what = (uint64_t)move->token << TOKEN_SHIFT |
			move_idx(exchange, move) << TOKEN_MOVE_SHIFT | queue_idx,
		.port_id = move->to->id,
		.queue_idx = (uint16_t)queue_idx,
		.kind = (uint16_t)kind,
	};

	return exchange_push_fence(exchange, NETPORT_OWNER(move->to->via[queue_idx]), &fence)
		       ? ASKED_SENT
		       : ASKED_LATER;
}

static void queue_set_via(struct netport_replica *to, const struct exchange *exchange,
			  unsigned queue_idx, uint32_t owner)
{
	to->via[queue_idx] = owner;
	to->direct[queue_idx] = NETPORT_OWNER(owner) == exchange->idx ? to->queues[queue_idx]
								      : NULL;
}

static struct steer_move *queue_move_begin(struct netport_replica *to, struct exchange *exchange,
					   unsigned queue_idx)
{
	const uint32_t via = to->via[queue_idx];
	struct steer_move *move = move_new(to, exchange, STEER_MOVE_QUEUE);

	if (!move)
		return NULL;
	move->queue = (uint8_t)queue_idx;
	if (via && NETPORT_OWNER(via) != exchange->idx)
		move->owed = 1ull << queue_idx;
	to->queue_moves[queue_idx] = (uint8_t)(move_idx(exchange, move) + 1);
	to->direct[queue_idx] = NULL;
	return move;
}

/* The queue is this worker's, and all that it sent there went the short way. */
static enum asked ask_own(struct netport_queue *queue, uint64_t now_ns)
{
	if (queue->ops->waits && queue->ops->waits(queue))
		return ASKED_BLOCKED;
	/* Frames of this burst: the next queue's may be published before its end. */
	if (queue->dirty)
		queue->ops->flush(queue, now_ns);
	return ASKED_PASSED;
}

/* Is anything outstanding in the queue, of what was sent from here? */
static enum asked ask_place(struct exchange *exchange, const struct steer_move *move,
			    unsigned queue_idx, uint64_t now_ns)
{
	struct netport_replica *to = move->to;
	const uint32_t owner = load_acquire(&to->port->owners[queue_idx]);
	const uint32_t via = to->via[queue_idx];
	const bool was_here = NETPORT_OWNER(via) == exchange->idx;

	if (to->queue_moves[queue_idx])
		return ASKED_LATER;
	if (via == 0)
		return ASKED_PASSED;
	if (NETPORT_OWNER(owner) == NETPORT_OWNER_MOVING)
		return ASKED_LATER;
	if (owner != via && NETPORT_OWNER(owner) == NETPORT_OWNER_NONE) {
		if (was_here)
			return ASKED_PASSED;
	} else if (owner != via && was_here) {
		/* What waits in it went with it. */
		queue_set_via(to, exchange, queue_idx, owner);
	} else if (owner != via) {
		(void)queue_move_begin(to, exchange, queue_idx);
		return ASKED_LATER;
	}
	if (to->direct[queue_idx])
		return ask_own(to->direct[queue_idx], now_ns);
	return fence_send(exchange, move, queue_idx, RING_FENCE);
}

static void move_ask(struct exchange *exchange, struct steer_move *move, uint64_t now_ns)
{
	uint64_t left = move->owed & ~move->asked;

	if (now_ns < move->ask_ns)
		return;
	for (; left; left &= left - 1) {
		const unsigned queue_idx = (unsigned)__builtin_ctzll(left);
		const uint64_t bit = 1ull << queue_idx;
		const enum asked asked =
			move->kind == STEER_MOVE_QUEUE
				? fence_send(exchange, move, queue_idx, RING_FENCE_QUEUE)
				: ask_place(exchange, move, queue_idx, now_ns);

		if (asked == ASKED_PASSED)
			move->owed &= ~bit;
		else if (asked == ASKED_SENT)
			move->asked |= bit;
		else if (asked == ASKED_BLOCKED)
			move->blocked |= bit;
	}
}

enum ring_kind steer_fence_answer(struct exchange *exchange, const struct ring_entry *entry)
{
	const struct netport_replica *to = exchange_port(exchange, entry->port_id);
	struct netport_queue *queue;
	uint32_t owner;

	/* Frames before it were delivered, or went back before this does. */
	if (!to || entry->kind == RING_FENCE_QUEUE)
		return RING_FENCED;
	queue = to->queues[entry->queue_idx];
	if (queue)
		return queue->ops->waits && queue->ops->waits(queue) ? RING_FENCE_BLOCKED
								     : RING_FENCED;
	owner = load_relaxed(&to->port->owners[entry->queue_idx]);
	return NETPORT_OWNER(owner) == NETPORT_OWNER_NONE ? RING_FENCED : RING_FENCE_AGAIN;
}

void steer_fence_answered(struct exchange *exchange, uint64_t what, enum ring_kind answer,
			  uint64_t now_ns)
{
	struct steer_move *move = &exchange->moves.moves[what >> TOKEN_MOVE_SHIFT & 0xff];
	const uint64_t bit = 1ull << (what & 0xff);

	if (!move->to || move->token != (uint32_t)(what >> TOKEN_SHIFT))
		return; /* it was given up */
	move->asked &= ~bit;
	/* What has bounced is not in the queue, though that may be back where it was. */
	if (move->kind != STEER_MOVE_QUEUE && move->to->queue_moves[what & 0xff])
		answer = RING_FENCE_AGAIN;
	if (answer == RING_FENCED) {
		move->owed &= ~bit;
		return;
	}
	if (answer == RING_FENCE_BLOCKED)
		move->blocked |= bit;
	move->ask_ns = now_ns + STEER_RETRY_NS;
}

static void drop_stale(struct exchange *exchange, const struct steer_move *move,
		       struct steer_list *list, uint64_t now_ns)
{
	steer_list_drop(move->to, exchange, list, now_ns - STEER_HOLD_NS,
			&move->to->stats.drop_held, NETPORT_DROP_HELD, now_ns);
}

/* --- a bucket or flow --- */

bool steer_move_place(struct netport_replica *to, struct exchange *exchange,
		      struct steer_place *place, unsigned from, unsigned queue_idx, uint64_t now_ns)
{
	const bool open = load_acquire(&to->port->open) >> from & 1;
	struct steer_move *move;

	if (now_ns < place->stays_until_ns && open)
		return false;
	move = move_new(to, exchange, STEER_MOVE_PLACE);
	if (!move)
		return false;
	move->place = place;
	move->owed = 1ull << from;
	move->queue = (uint8_t)queue_idx;
	move->until_ns = now_ns + STEER_GIVE_UP_NS;
	move_ask(exchange, move, now_ns);
	if (move->owed == 0) {
		move_free(exchange, move);
		place->queue = (uint8_t)(queue_idx + 1);
		stat_inc(&to->stats.moves);
		return true;
	}
	place->queue = (uint8_t)(from + 1);
	place->move = (uint8_t)(move_idx(exchange, move) + 1);
	return false;
}

static void place_move_end(struct exchange *exchange, struct steer_move *move, bool done,
			   uint64_t now_ns)
{
	struct netport_replica *to = move->to;
	struct steer_place *place = move->place;
	struct steer_list held = move->held;

	place->move = 0;
	if (done) {
		place->queue = (uint8_t)(move->queue + 1);
		stat_inc(&to->stats.moves);
	} else {
		place->stays_until_ns = now_ns + STEER_STAY_NS;
		stat_inc(&to->stats.moves_given_up);
	}
	move->held = (struct steer_list){0};
	move_free(exchange, move);
	steer_list_give_queue(to, exchange, &held, place->queue - 1u, false, now_ns);
}

static bool place_move_step(struct exchange *exchange, struct steer_move *move, uint64_t now_ns)
{
	if (move->owed && now_ns < move->until_ns)
		return false;
	place_move_end(exchange, move, move->owed == 0, now_ns);
	return true;
}

/* --- a port --- */

static void places_begin_anew(struct steer *steer)
{
	for (unsigned i = 0; i < steer->bucket_cnt; i++) {
		steer->buckets[i].queue = 0;
		steer->buckets[i].move = 0;
		steer->buckets[i].stays_until_ns = 0;
	}
	if (steer->apart && steer->used)
		memset(steer->apart, 0, STEER_FLOWS * sizeof(*steer->apart));
	steer->base = 0;
	steer->lone = 0;
	steer->all = 0;
	steer->used = false;
}

static void all_move_end(struct exchange *exchange, struct steer_move *move, uint64_t now_ns)
{
	struct netport_replica *to = move->to;
	struct steer_list held = move->held;
	struct frame *frames[NETPORT_BURST];
	unsigned cnt;

	if (move->owed)
		stat_inc(&to->stats.moves_given_up);
	move->held = (struct steer_list){0};
	move_free(exchange, move);
	places_begin_anew(to->steer);
	while ((cnt = steer_list_pop_burst(&exchange->moves, &held, frames)) > 0) {
		netport_give_shared(to, exchange, frames, cnt, now_ns);
		steer_put_frames(frames, cnt);
	}
}

/* Frames that wait already come first: the first of their moves is made the port's. */
static struct steer_move *all_move_take(struct netport_replica *to, struct exchange *exchange)
{
	struct steer_moves *moves = &exchange->moves;
	struct steer_move *all = NULL;
	uint64_t left = moves->active;

	for (; left; left &= left - 1) {
		struct steer_move *move = &moves->moves[__builtin_ctzll(left)];

		if (move->to != to || move->kind != STEER_MOVE_PLACE)
			continue;
		move->place->move = 0;
		if (!all) {
			all = move;
			continue;
		}
		steer_list_append(moves, &all->held, &move->held);
		move_free(exchange, move);
	}
	if (!all)
		return move_new(to, exchange, STEER_MOVE_ALL);
	all->kind = STEER_MOVE_ALL;
	all->token = ++moves->token;
	all->asked = 0;
	all->blocked = 0;
	all->ask_ns = 0;
	return all;
}

void steer_move_all(struct netport_replica *to, struct exchange *exchange, uint64_t now_ns)
{
	struct steer_move *move = all_move_take(to, exchange);

	if (!move) {
		stat_inc(&to->stats.moves_given_up);
		places_begin_anew(to->steer);
		return;
	}
	move->owed = 0;
	for (unsigned i = 0; i < NETPORT_QUEUES_MAX; i++)
		move->owed |= (uint64_t)(to->via[i] || to->queue_moves[i]) << i;
	move->until_ns = now_ns + STEER_HOLD_NS;
	to->steer->all = (uint8_t)(move_idx(exchange, move) + 1);
	move_ask(exchange, move, now_ns);
	if (move->owed == 0)
		all_move_end(exchange, move, now_ns);
}

static bool all_move_step(struct exchange *exchange, struct steer_move *move, uint64_t now_ns)
{
	if (move->owed == 0 || (now_ns >= move->until_ns && (move->owed & ~move->blocked) == 0)) {
		all_move_end(exchange, move, now_ns);
		return true;
	}
	drop_stale(exchange, move, &move->held, now_ns);
	return false;
}

/* --- a queue --- */

bool steer_settle_queue(struct netport_replica *to, struct exchange *exchange, unsigned queue_idx,
			struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	const uint32_t owner = load_acquire(&to->port->owners[queue_idx]);
	const uint32_t via = to->via[queue_idx];
	struct steer_move *move;

	if (to->queue_moves[queue_idx]) {
		move = &exchange->moves.moves[to->queue_moves[queue_idx] - 1];
	} else if (NETPORT_OWNER(owner) == NETPORT_OWNER_NONE) {
		netport_drop_out(to, &to->stats.drop_no_queue, NETPORT_DROP_NO_QUEUE, frames, cnt,
				 now_ns);
		return false;
	} else if (NETPORT_OWNER(owner) != NETPORT_OWNER_MOVING &&
		   (via == 0 || NETPORT_OWNER(via) == exchange->idx || owner == via)) {
		queue_set_via(to, exchange, queue_idx, owner);
		return true;
	} else {
		move = queue_move_begin(to, exchange, queue_idx);
	}
	if (!move)
		netport_drop_out(to, &to->stats.drop_held, NETPORT_DROP_HELD, frames, cnt, now_ns);
	for (unsigned i = 0; move && i < cnt; i++)
		steer_hold(exchange, move, frames[i], now_ns);
	return false;
}

void steer_bounced(struct exchange *exchange, struct frame *frame, uint32_t port_id,
		   unsigned queue_idx, uint64_t now_ns)
{
	struct netport_replica *to = exchange_port(exchange, port_id);
	struct steer_move *move;

	if (!to)
		return;
	move = to->queue_moves[queue_idx] ? &exchange->moves.moves[to->queue_moves[queue_idx] - 1]
					  : queue_move_begin(to, exchange, queue_idx);
	if (!move || !steer_list_push(&exchange->moves, &move->bounced, frame, true, now_ns))
		netport_drop_out(to, &to->stats.drop_held, NETPORT_DROP_HELD, &frame, 1, now_ns);
}

/* Nothing is outstanding, and it is known where the queue is, or that nobody has it. */
static void queue_move_end(struct exchange *exchange, struct steer_move *move, uint32_t owner,
			   uint64_t now_ns)
{
	struct netport_replica *to = move->to;
	const unsigned queue_idx = move->queue;
	struct steer_list bounced = move->bounced;
	struct steer_list held = move->held;

	move->bounced = (struct steer_list){0};
	move->held = (struct steer_list){0};
	to->queue_moves[queue_idx] = 0;
	move_free(exchange, move);
	if (NETPORT_OWNER(owner) == NETPORT_OWNER_NONE) {
		to->via[queue_idx] = 0;
		steer_list_drop(to, exchange, &bounced, UINT64_MAX, &to->stats.drop_no_queue,
				NETPORT_DROP_NO_QUEUE, now_ns);
		steer_list_drop(to, exchange, &held, UINT64_MAX, &to->stats.drop_no_queue,
				NETPORT_DROP_NO_QUEUE, now_ns);
		return;
	}
	queue_set_via(to, exchange, queue_idx, owner);
	steer_list_give_queue(to, exchange, &bounced, queue_idx, true, now_ns);
	steer_list_give_queue(to, exchange, &held, queue_idx, false, now_ns);
}

static bool queue_move_step(struct exchange *exchange, struct steer_move *move, uint64_t now_ns)
{
	const uint32_t owner = load_acquire(&move->to->port->owners[move->queue]);

	if (move->owed == 0 && NETPORT_OWNER(owner) != NETPORT_OWNER_MOVING) {
		queue_move_end(exchange, move, owner, now_ns);
		return true;
	}
	drop_stale(exchange, move, &move->bounced, now_ns);
	drop_stale(exchange, move, &move->held, now_ns);
	return false;
}

/* --- all of them --- */

unsigned steer_moves_step(struct exchange *exchange, uint64_t now_ns)
{
	uint64_t left = exchange->moves.active;
	unsigned ended = 0;

	for (; left; left &= left - 1) {
		struct steer_move *move = &exchange->moves.moves[__builtin_ctzll(left)];

		if (!move->to)
			continue; /* the end of another has led to its own */
		move_ask(exchange, move, now_ns);
		switch ((enum steer_move_kind)move->kind) {
		case STEER_MOVE_PLACE:
			ended += place_move_step(exchange, move, now_ns);
			break;
		case STEER_MOVE_ALL:
			ended += all_move_step(exchange, move, now_ns);
			break;
		case STEER_MOVE_QUEUE:
			ended += queue_move_step(exchange, move, now_ns);
			break;
		}
	}
	return ended;
}

void steer_moves_drop(struct exchange *exchange, struct netport_replica *to, uint64_t now_ns)
{
	uint64_t left = exchange->moves.active;

	for (; left; left &= left - 1) {
		struct steer_move *move = &exchange->moves.moves[__builtin_ctzll(left)];

		if (move->to != to)
			continue;
		steer_list_drop(to, exchange, &move->bounced, UINT64_MAX, &to->stats.drop_held,
				NETPORT_DROP_HELD, now_ns);
		steer_list_drop(to, exchange, &move->held, UINT64_MAX, &to->stats.drop_held,
				NETPORT_DROP_HELD, now_ns);
		move_free(exchange, move);
	}
}
