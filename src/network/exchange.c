/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exchange at work: what comes in from other workers, what goes to them, waking them.
 * Not how exchanges are made (fabric.c), nor what a port does with frames (egress.c).
 */
#include "base/check.h"
#include "base/fdio.h"
#include "base/ordering.h"
#include "network/netport_priv.h"

#define RING_MASK (FABRIC_RING_ENTRIES - 1)
/* Entries of one ring in one poll: others wait meanwhile. */
#define RING_BUDGET 256
/* How far ahead frames are fetched into the cache. */
#define RETURN_AHEAD 4

#define EXCHANGE_ROW(member, unit_, help_)                                               \
	{                                                                                \
		.name = #member, .unit = (unit_), .help = (help_),                       \
		.offset = offsetof(struct exchange_stats, member), .kind = STAT_COUNTER, \
	}

const struct stat_row exchange_stat_rows[] = {
	EXCHANGE_ROW(frames_in, "frames", "Frames taken from other workers."),
	EXCHANGE_ROW(frames_out, "frames", "Frames given to other workers."),
	EXCHANGE_ROW(inbox_full, "frames", "Frames dropped because another worker was behind."),
	EXCHANGE_ROW(wakes, "wakes", "Times that another worker had to be woken."),
	EXCHANGE_ROW(learns, "addresses", "Addresses that other workers told."),
	EXCHANGE_ROW(bounces, "frames", "Frames that came back because their queue had moved on."),
};
const unsigned exchange_stat_row_cnt = ARRAY_LEN(exchange_stat_rows);

const struct exchange_stats *exchange_stats(const struct exchange *exchange)
{
	return &exchange->stats;
}

/* --- out --- */

static inline struct ring_entry *ring_place(struct ring *ring, uint32_t idx)
{
	return &ring->entries[idx & RING_MASK];
}

/* Places in the peer's inbox; looks again how far it came if there are less than wanted. */
static inline unsigned peer_inbox_room(struct exchange_peer *peer, unsigned wanted)
{
	unsigned room = FABRIC_RING_ENTRIES - (peer->out_tail - peer->out_head);

	if (room >= wanted)
		return room;
	peer->out_head = load_acquire(&peer->out->head);
	return FABRIC_RING_ENTRIES - (peer->out_tail - peer->out_head);
}

unsigned exchange_push(struct exchange *exchange, unsigned to, uint32_t port_id, unsigned queue_idx,
		       enum ring_kind kind, struct frame *const *frames, unsigned cnt)
{
	struct exchange_peer *peer = &exchange->peers[to];
	const unsigned returnable = FABRIC_RING_ENTRIES - peer->out_cnt;
	unsigned room = peer_inbox_room(peer, cnt);

	if (room > returnable)
		room = returnable;
	if (unlikely(cnt > room)) {
		stat_add(&exchange->stats.inbox_full, cnt - room);
		cnt = room;
	}
	for (unsigned i = 0; i < cnt; i++) {
		frames[i]->refs++;
		*ring_place(peer->out, peer->out_tail + i) = (struct ring_entry){
			.what = (uintptr_t)frames[i],
			.port_id = port_id,
			.queue_idx = (uint16_t)queue_idx,
			.kind = (uint16_t)kind,
		};
	}
	peer->out_tail += cnt;
	peer->out_cnt += cnt;
	stat_add(&exchange->stats.frames_out, cnt);
	exchange_mark_dirty(exchange, peer);
	return cnt;
}

bool exchange_tell(struct exchange *exchange, enum ring_kind kind, uint32_t port_id, uint64_t what)
{
	bool all = true;

	for (unsigned i = 0; i < exchange->peer_cnt; i++) {
		struct exchange_peer *peer = &exchange->peers[i];

		if (i == exchange->idx)
			continue;
		if (peer_inbox_room(peer, FABRIC_RING_ENTRIES / 2) < FABRIC_RING_ENTRIES / 2) {
			all = false;
			continue;
		}
		*ring_place(peer->out, peer->out_tail++) = (struct ring_entry){
			.what = what, .port_id = port_id, .kind = (uint16_t)kind};
		exchange_mark_dirty(exchange, peer);
	}
	return all;
}

bool exchange_push_fence(struct exchange *exchange, unsigned to, const struct ring_entry *fence)
{
	struct exchange_peer *peer = &exchange->peers[to];

	if (peer->out_cnt == FABRIC_RING_ENTRIES || peer_inbox_room(peer, 1) == 0)
		return false;
	*ring_place(peer->out, peer->out_tail++) = *fence;
	peer->out_cnt++;
	peer->fence_cnt++;
	exchange_mark_dirty(exchange, peer);
	return true;
}

/* The return ring has room: its peer never has more with us than fit. */
static void exchange_give_back(struct exchange *exchange, const struct ring_entry *entry,
			       unsigned to)
{
	struct exchange_peer *peer = &exchange->peers[to];

	*ring_place(peer->out_returns, peer->out_returns_tail++) = *entry;
	exchange_mark_dirty(exchange, peer);
	/* From outside of a burst nobody publishes it but the next poll. */
	if (!exchange->in_burst)
		worker_poller_wake(&exchange->poller);
}

void exchange_put_away(struct exchange *exchange, struct frame *frame)
{
	exchange_give_back(exchange,
			   &(struct ring_entry){.what = (uintptr_t)frame, .kind = RING_RETURN},
			   frame->exchange->idx);
}

void exchange_bounce(struct exchange *exchange, struct frame *frame, uint32_t port_id,
		     unsigned queue_idx)
{
	exchange_give_back(exchange,
			   &(struct ring_entry){.what = (uintptr_t)frame,
						.port_id = port_id,
						.queue_idx = (uint16_t)queue_idx,
						.kind = RING_BOUNCE},
			   frame->exchange->idx);
}

bool exchange_may_keep(struct exchange *exchange, const struct frame *frame)
{
	struct exchange_peer *peer;

	if (exchange_is_home(exchange, frame))
		return true;
	peer = &exchange->peers[frame->exchange->idx];
	if (peer->kept >= FABRIC_KEPT_MAX)
		return false;
	peer->kept++;
	return true;
}

void exchange_put_kept(struct exchange *exchange, struct frame *frame)
{
	if (!exchange_is_home(exchange, frame))
		exchange->peers[frame->exchange->idx].kept--;
	exchange_put(exchange, frame);
}

static void exchange_flush_queues(struct exchange *exchange, uint64_t now_ns)
{
	struct netport_queue *queue = exchange->dirty_queues;
	struct netport_queue *next;

	exchange->dirty_queues = NULL;
	for (; queue; queue = next) {
		next = queue->dirty_next;
		queue->dirty = false;
		queue->ops->flush(queue, now_ns);
	}
}

static void exchange_publish(struct exchange *exchange)
{
	const unsigned cnt = exchange->dirty_cnt;
	struct exchange_peer *peer;
	struct exchange *other;

	for (unsigned i = 0; i < cnt; i++) {
		peer = &exchange->peers[exchange->dirty_peers[i]];
		peer->dirty = false;
		store_release(&peer->out->tail, peer->out_tail);
		store_release(&peer->out_returns->tail, peer->out_returns_tail);
	}
	exchange->dirty_cnt = 0;
	/* INBOX_WAKE */
	fence_full();
	for (unsigned i = 0; i < cnt; i++) {
		other = exchange->peers[exchange->dirty_peers[i]].exchange;
		if (likely(!load_relaxed(&other->sleeping)) ||
		    !__atomic_exchange_n(&other->sleeping, 0, __ATOMIC_SEQ_CST))
			continue;
		stat_inc(&exchange->stats.wakes);
		(void)fdio_signal(other->wake_fd); /* an eventfd of our own: cannot fail */
	}
}

void exchange_end_burst(struct exchange *exchange, uint64_t now_ns)
{
	if (exchange->dirty_queues)
		exchange_flush_queues(exchange, now_ns);
	if (exchange->dirty_cnt > 0)
		exchange_publish(exchange);
	exchange->in_burst = false;
}

/* --- in --- */

static inline struct frame *ring_frame(const struct ring_entry *entry)
{
	return (struct frame *)(uintptr_t)entry->what;
}

void exchange_frame_returned(struct frame *frame)
{
	frame->source->returned(frame->source, &frame, 1);
}

/* Hands frames back to their sources, in runs of one source. */
static void exchange_hand_back(struct frame *const *frames, unsigned cnt)
{
	for (unsigned i = 0, n; i < cnt; i += n) {
		struct frame_source *source = frames[i]->source;

		for (n = 1; i + n < cnt && frames[i + n]->source == source; n++)
			;
		source->returned(source, &frames[i], n);
	}
}

/* One reference less of ours; true: it was the last. */
static bool exchange_took_back(struct exchange *exchange, struct exchange_peer *peer,
			       const struct ring_entry *entry, uint64_t now_ns)
{
	struct frame *frame = ring_frame(entry);

	if (unlikely(entry->kind != RING_RETURN)) {
		if (entry->kind != RING_BOUNCE) {
			peer->fence_cnt--;
			steer_fence_answered(exchange, entry->what, (enum ring_kind)entry->kind,
					     now_ns);
			return false;
		}
		stat_inc(&exchange->stats.bounces);
		/* With that reference still held, so that it is not given back from within. */
		steer_bounced(exchange, frame, entry->port_id, entry->queue_idx, now_ns);
	}
	return --frame->refs == 0;
}

static unsigned exchange_take_returns(struct exchange *exchange, struct exchange_peer *peer,
				      uint64_t now_ns)
{
	struct ring *ring = peer->in_returns;
	unsigned cnt = load_acquire(&ring->tail) - peer->in_returns_head;
	struct frame *frames[NETPORT_BURST];
	unsigned frame_cnt = 0;

	for (unsigned i = 0; i < cnt; i++) {
		const struct ring_entry *entry = ring_place(ring, peer->in_returns_head + i);

		if (i + RETURN_AHEAD < cnt)
			prefetch_write(ring_frame(
				ring_place(ring, peer->in_returns_head + i + RETURN_AHEAD)));
		peer->out_cnt--;
		if (exchange_took_back(exchange, peer, entry, now_ns))
			frames[frame_cnt++] = ring_frame(entry);
		if (frame_cnt == NETPORT_BURST) {
			exchange_hand_back(frames, frame_cnt);
			frame_cnt = 0;
		}
	}
	exchange_hand_back(frames, frame_cnt);
	/* Nobody asks how far we came: out_cnt says what there is room for. */
	peer->in_returns_head += cnt;
	return cnt;
}

/* Frames from place `from` on for one queue, NETPORT_BURST at most. */
static unsigned ring_gather(struct ring *ring, uint32_t from, unsigned cnt, struct frame **frames)
{
	const struct ring_entry *first = ring_place(ring, from);
	unsigned n;

	for (n = 0; n < cnt && n < NETPORT_BURST; n++) {
		const struct ring_entry *entry = ring_place(ring, from + n);

		if (entry->port_id != first->port_id || entry->queue_idx != first->queue_idx ||
		    entry->kind != first->kind)
			break;
		frames[n] = ring_frame(entry);
		prefetch_read(frames[n]);
		prefetch_read(frames[n]->head);
	}
	return n;
}

/* Anything but a frame. */
static NOINLINE void exchange_take_message(struct exchange *exchange,
					   const struct exchange_peer *peer,
					   const struct ring_entry *entry, uint64_t now_ns)
{
	struct ring_entry answer = *entry;

	switch (entry->kind) {
	case RING_LEARN:
		stat_inc(&exchange->stats.learns);
		netport_learn_told(exchange, entry->port_id, entry->what, now_ns);
		break;
	case RING_FLOW:
		steer_learn_told(exchange, entry->port_id, entry->what, now_ns);
		break;
	default:
		/* Published with this burst's end, so after the queues have been flushed. */
		answer.kind = (uint16_t)steer_fence_answer(exchange, entry);
		exchange_give_back(exchange, &answer, peer->exchange->idx);
		break;
	}
}

static unsigned exchange_take_inbox(struct exchange *exchange, struct exchange_peer *peer,
				    uint64_t now_ns)
{
	struct ring *ring = peer->in;
	unsigned cnt = load_acquire(&ring->tail) - peer->in_head;
	struct frame *frames[NETPORT_BURST];
	unsigned did;

	if (cnt > RING_BUDGET)
		cnt = RING_BUDGET;
	for (unsigned i = 0; i < cnt; i += did) {
		const struct ring_entry *entry = ring_place(ring, peer->in_head + i);

		if (unlikely(entry->kind != RING_FRAME)) {
			exchange_take_message(exchange, peer, entry, now_ns);
			did = 1;
			continue;
		}
		did = ring_gather(ring, peer->in_head + i, cnt - i, frames);
		stat_add(&exchange->stats.frames_in, did);
		netport_receive(exchange, entry, frames, did, now_ns);
	}
	peer->in_head += cnt;
	if (cnt > 0)
		store_release(&ring->head, peer->in_head);
	return cnt;
}

static struct exchange *exchange_of_poller(struct poller *poller)
{
	return container_of(poller, struct exchange, poller);
}

static unsigned exchange_poll(struct poller *poller, uint64_t now_ns)
{
	struct exchange *exchange = exchange_of_poller(poller);
	unsigned did = exchange->dirty_cnt;

	exchange_begin_burst(exchange);
	for (unsigned i = 0; i < exchange->peer_cnt; i++) {
		if (i == exchange->idx)
			continue;
		did += exchange_take_returns(exchange, &exchange->peers[i], now_ns);
		did += exchange_take_inbox(exchange, &exchange->peers[i], now_ns);
	}
	if (unlikely(exchange->moves.active))
		did += steer_moves_step(exchange, now_ns);
	exchange_end_burst(exchange, now_ns);
	return did;
}

static bool exchange_prepare_sleep(struct poller *poller)
{
	struct exchange *exchange = exchange_of_poller(poller);

	/* INBOX_WAKE */
	store_relaxed(&exchange->sleeping, 1);
	fence_full();
	for (unsigned i = 0; i < exchange->peer_cnt; i++) {
		const struct exchange_peer *peer = &exchange->peers[i];

		if (i != exchange->idx &&
		    (load_relaxed(&peer->in->tail) != peer->in_head ||
		     load_relaxed(&peer->in_returns->tail) != peer->in_returns_head))
			return true;
	}
	return false;
}

static void exchange_cancel_sleep(struct poller *poller)
{
	store_relaxed(&exchange_of_poller(poller)->sleeping, 0);
}

/* Whoever holds frames looks at the clock. */
static uint64_t exchange_next_deadline(struct poller *poller)
{
	const struct exchange *exchange = exchange_of_poller(poller);

	return exchange->moves.active ? worker_now_ns(exchange->worker) + STEER_RETRY_NS : 0;
}

const struct poller_ops exchange_poller_ops = {
	.poll = exchange_poll,
	.prepare_sleep = exchange_prepare_sleep,
	.cancel_sleep = exchange_cancel_sleep,
	.next_deadline = exchange_next_deadline,
};
