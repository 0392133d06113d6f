/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of a port's queues each frame goes to, and what is learnt for that.
 * Not how a bucket, flow or queue moves without reordering (steer_move.c), nor how steering comes
 * to workers (steer_change.c).
 *
 * Theory of operation
 *
 * 1. Steering says which queue a frame should go to; a place (struct steer_place), of this worker's
 *    replica alone, which one the frames of its bucket go to now. Where the two differ the place is
 *    moved, and until that is done its frames wait or go on as before: so a flow is never in two
 *    queues at once, whatever the reason: another table, another set of queues, something learnt.
 * 2. Without a table, buckets are ranges of the flow's hash. A learnt flow has a place of its own
 *    (apart), which begins where its bucket is, when that does not move; it is given up when the
 *    flow had no frames for long enough that none can be outstanding. If no entry is free the flow
 *    stays with its bucket.
 * 3. With one queue nothing is looked up. From one to several, places begin at that one (base);
 * from several to one, and when buckets become others, the whole port is moved.
 * 4. What a guest sends is learnt on the worker that sends it, and told to the others like an
 *    address, at half of the inbox's room at most. Whoever was not told hears it when the flow
 *    table says that it is time again.
 */
#include "base/clock.h"
#include "base/ordering.h"
#include "network/netport_priv.h"

#define STEER_ELSEWHERE UINT8_MAX

/* Weighed: what a frame costs, and what its bytes do. */
#define LOAD_BYTES_SHIFT 9

/* It is to be moved, or to be made, or about to move. */
static NOINLINE unsigned place_queue_slowly(struct netport_replica *to, struct exchange *exchange,
					    struct steer_place *place, unsigned wanted,
					    struct frame *frame, uint64_t now_ns)
{
	const unsigned at = place->queue ? place->queue : to->steer->base;

	if (!place->move) {
		if (at == 0 || at == wanted + 1) {
			place->queue = (uint8_t)(wanted + 1);
			return wanted;
		}
		if (steer_move_place(to, exchange, place, at - 1, wanted, now_ns))
			return wanted;
		if (!place->move) {
			place->queue = (uint8_t)at;
			return at - 1;
		}
	}
	steer_hold(exchange, &exchange->moves.moves[place->move - 1], frame, now_ns);
	return STEER_ELSEWHERE;
}

/* Where the frames of a place go; wanted is where they should. */
static inline unsigned place_queue(struct netport_replica *to, struct exchange *exchange,
				   struct steer_place *place, unsigned wanted, struct frame *frame,
				   uint64_t now_ns)
{
	stat_add(&place->load, 1 + (frame->bytes >> LOAD_BYTES_SHIFT));
	if (likely(place->queue == wanted + 1 && !place->move))
		return wanted;
	return place_queue_slowly(to, exchange, place, wanted, frame, now_ns);
}

/* --- learnt flows --- */

static uint32_t flow_hash(const struct steering *steering, struct frame *frame)
{
	struct steering_choice choice;

	if (!steering->options.inner)
		return netport_frame_hash(frame);
	steering_choose(steering, frame->head, frame->head_bytes, frame_dissect(frame), &choice);
	return choice.spread;
}

/* The flow's own place; NULL: it has none. victim: an entry that it may have, or NULL. */
static struct steer_flow *flow_apart(struct steer *steer, uint32_t hash, uint64_t now_ns,
				     struct steer_flow **victim)
{
	struct steer_flow *set =
		&steer->apart[hash % (STEER_FLOWS / FLOW_TABLE_WAYS) * FLOW_TABLE_WAYS];

	*victim = NULL;
	for (unsigned i = 0; i < FLOW_TABLE_WAYS; i++) {
		struct steer_flow *flow = &set[i];

		if (flow->used_ns && flow->hash == hash)
			return flow;
		if (!flow->used_ns ||
		    (now_ns > flow->used_ns + STEER_FLOW_IDLE_NS && !flow->place.move))
			*victim = flow;
	}
	return NULL;
}

static unsigned learnt_queue(struct netport_replica *to, struct exchange *exchange, uint64_t usable,
			     struct frame *frame, uint32_t hash, struct steer_place *bucket,
			     unsigned spread, uint64_t now_ns)
{
	struct steer *steer = to->steer;
	struct steer_flow *victim;
	struct steer_flow *flow = flow_apart(steer, hash, now_ns, &victim);
	const int learnt = flow_table_find(steer->flows, hash, now_ns);
	const bool known = learnt != FLOW_TABLE_NONE && usable >> learnt & 1;
	unsigned queue_idx;

	if (!flow && known && victim && !bucket->move) {
		flow = victim;
		*flow = (struct steer_flow){.hash = hash, .place.queue = bucket->queue};
	}
	if (flow)
		flow->used_ns = now_ns;
	queue_idx = place_queue(to, exchange, flow ? &flow->place : bucket,
				flow && known ? (unsigned)learnt : spread, frame, now_ns);
	if (known && queue_idx == (unsigned)learnt)
		stat_inc(&to->stats.flows_returned);
	return queue_idx;
}

/* --- the choice --- */

/* Of the queues that there are, always the same one for a bucket. */
static inline unsigned spread_bucket(unsigned bucket, uint64_t usable)
{
	return steering_spread(bucket * 0x9e3779b1u, usable);
}

static unsigned table_queue(struct netport_replica *to, struct exchange *exchange, uint64_t usable,
			    struct frame *frame, bool alone, uint64_t now_ns)
{
	struct steer *steer = to->steer;
	const struct steering *steering = steer->steering;
	struct steering_choice choice;
	unsigned wanted, bucket;

	steering_choose(steering, frame->head, frame->head_bytes, frame_dissect(frame), &choice);
	if (alone) {
		frame->rss_generation = steering->generation;
		frame->rss_hash = choice.flow.hash;
		frame->rss_report = choice.flow.report;
	}
	bucket = choice.bucket == STEERING_NO_BUCKET ? steer->bucket_cnt - 1 : choice.bucket;
	wanted = choice.queue;
	if (unlikely(!(usable >> wanted & 1)))
		wanted = spread_bucket(bucket, usable);
	return place_queue(to, exchange, &steer->buckets[bucket], wanted, frame, now_ns);
}

/* STEER_ELSEWHERE: it was held, or dropped. */
static unsigned choose_queue(struct netport_replica *to, struct exchange *exchange, uint64_t usable,
			     struct frame *frame, bool alone, uint64_t now_ns)
{
	struct steer *steer = to->steer;
	struct steer_place *bucket;
	unsigned spread;
	uint32_t hash;

	if (steer->steering->options.kind == STEERING_TABLE)
		return table_queue(to, exchange, usable, frame, alone, now_ns);
	hash = flow_hash(steer->steering, frame);
	bucket = &steer->buckets[hash >> (32 - STEER_SPREAD_BITS)];
	spread = steering_spread(hash & ~(UINT32_MAX >> STEER_SPREAD_BITS), usable);
	if (steer->flows)
		return learnt_queue(to, exchange, usable, frame, hash, bucket, spread, now_ns);
	return place_queue(to, exchange, bucket, spread, frame, now_ns);
}

static void hold_all(struct exchange *exchange, struct steer_move *move,
		     struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	for (unsigned i = 0; i < cnt; i++) {
		/* Once others have it, nothing may be written to it. */
		netport_frame_hash(frames[i]);
		steer_hold(exchange, move, frames[i], now_ns);
	}
}

/* True: all frames wait. */
static bool waits_for_all(struct steer *steer, struct exchange *exchange,
			  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	if (likely(!steer->all))
		return false;
	hold_all(exchange, &exchange->moves.moves[steer->all - 1], frames, cnt, now_ns);
	return true;
}

bool steer_lone(struct netport_replica *to, struct exchange *exchange, unsigned queue_idx,
		struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	struct steer *steer = to->steer;

	if (likely(steer->lone == queue_idx + 1 && !steer->all))
		return true;
	if (steer->lone != queue_idx + 1 && (steer->lone || steer->used) && !steer->all)
		steer_move_all(to, exchange, now_ns);
	if (waits_for_all(steer, exchange, frames, cnt, now_ns))
		return false;
	steer->lone = (uint8_t)(queue_idx + 1);
	return true;
}

/* Nothing else was ever said. Returns the queues, as bits. */
static uint64_t spread_all(uint64_t usable, struct frame *const *frames, unsigned cnt,
			   uint8_t *queues)
{
	const unsigned queue_cnt = (unsigned)__builtin_popcountll(usable);
	const bool dense = (usable & (usable + 1)) == 0;
	uint64_t left = 0;

	for (unsigned i = 0; i < cnt; i++) {
		const uint64_t hash = netport_frame_hash(frames[i]);

		queues[i] = (uint8_t)(likely(dense) ? hash * queue_cnt >> 32
						    : steering_spread((uint32_t)hash, usable));
		left |= 1ull << queues[i];
	}
	return left;
}

/* Each queue once, frames of one in their order. */
void steer_give(struct netport_replica *to, struct exchange *exchange, uint64_t usable,
		struct frame *const *frames, unsigned cnt, bool alone, uint64_t now_ns)
{
	struct steer *steer = to->steer;
	uint8_t queues[NETPORT_BURST];
	struct frame *group[NETPORT_BURST];
	uint64_t left = 0;

	if (steer) {
		if (waits_for_all(steer, exchange, frames, cnt, now_ns))
			return;
		if (unlikely(steer->lone)) {
			steer->base = steer->lone;
			steer->lone = 0;
		}
		steer->used = true;
	}
	if (!steer)
		left = spread_all(usable, frames, cnt, queues);
	for (unsigned i = 0; steer && i < cnt; i++) {
		queues[i] = (uint8_t)choose_queue(to, exchange, usable, frames[i], alone, now_ns);
		if (likely(queues[i] != STEER_ELSEWHERE))
			left |= 1ull << queues[i];
	}
	for (; left; left &= left - 1) {
		const unsigned queue_idx = (unsigned)__builtin_ctzll(left);
		unsigned group_cnt = 0;

		for (unsigned i = 0; i < cnt; i++) {
			if (queues[i] == queue_idx)
				group[group_cnt++] = frames[i];
		}
		netport_give_queue(to, exchange, queue_idx, group, group_cnt, false, now_ns);
	}
}

/* --- learning --- */

#define FLOW_QUEUE_SHIFT 32

void steer_learn(struct netport_replica *from, struct exchange *exchange, unsigned queue_idx,
		 struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	const uint64_t receivers = load_relaxed(&from->port->receivers);
	struct steer *steer = from->steer;
	uint32_t last = 0;

	if ((receivers & (receivers - 1)) == 0 || !(receivers >> queue_idx & 1))
		return;
	for (unsigned i = 0; i < cnt; i++) {
		const uint32_t hash = flow_hash(steer->steering, frames[i]);
		int known;

		if (i > 0 && hash == last)
			continue;
		last = hash;
		known = flow_table_find(steer->flows, hash, now_ns);
		if (!flow_table_learn(steer->flows, hash, queue_idx, now_ns))
			continue;
		if (known != (int)queue_idx)
			stat_inc(&from->stats.flows_learnt);
		(void)exchange_tell(exchange, RING_FLOW, from->id,
				    (uint64_t)queue_idx << FLOW_QUEUE_SHIFT | hash);
	}
}

void steer_learn_told(struct exchange *exchange, uint32_t port_id, uint64_t what, uint64_t now_ns)
{
	const struct netport_replica *port = exchange_port(exchange, port_id);

	if (port && port->steer && port->steer->flows)
		flow_table_told(port->steer->flows, (uint32_t)what,
				(unsigned)(what >> FLOW_QUEUE_SHIFT), now_ns);
}
