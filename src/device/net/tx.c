/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transmit queue: frames out of the guest's ring, into the switch. Owner worker.
 * Not where they go (network/), and not the header's rules (header.c).
 *
 * Theory of operation
 *
 * 1. A turn fetches a burst of chains. Of each the vnet header and the frame's first bytes are
 *    copied into the slot with one copy, judged there, and delivered from there; the rest stays in
 *    guest memory, named by the chain's iovecs, until the receivers' workers have copied it.
 * 2. netport_send() takes a reference for each receiver that keeps a frame. Those that nobody kept
 *    are completed in the same turn, all with one index store; the others when their last reference
 *    comes back (frame_source.returned), in the next poll.
 * 3. What others have of a queue hangs on struct net_tx, which belongs to the worker on which the
 *    frames were sent. When the queue moves, it stays there with the remainder, and the queue gets
 *    another at its new worker.
 *    The new worker sends nothing before that has come back (net_queue.left_out: all of it has been
 *    delivered then) and as long as receivers have copies of frames that wait for buffers, for a
 *    bounded time: no flow is reordered by the move.
 * 4. A queue that drains waits for what is out. Receivers give back within a bound (rx_wait.c), and
 *    the kernel what a tap wrote.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ordering.h"
#include "device/net/copy.h"
#include "device/net/net_priv.h"

/* One turn takes at most so many bursts, and no more once so much was sent. */
#define BURSTS_PER_TURN 4
#define BYTES_PER_TURN (1u << 20)

/* Headers of nearly every frame lie within; a frame that says more of itself gets all of head. */
#define HEAD_BYTES_USUAL 128u

/*
 * So long a queue that came to a worker waits for what others sent: far longer than anybody keeps
 * frames, for what takes time is a worker that gets no CPU.
 */
#define LEFT_WAIT_NS NS_PER_S

struct net_tx {
	struct frame_source source; /* first */
	struct poller *poller;      /* of the queue, or of the remainder */
	unsigned out_cnt;           /* frames that others have */
	struct net_slot *back;      /* of those, what came back */
	unsigned back_cnt;
};

static void frames_returned(struct frame_source *source, struct frame *const *frames, unsigned cnt)
{
	struct net_tx *tx = container_of(source, struct net_tx, source);

	for (unsigned i = 0; i < cnt; i++) {
		struct net_slot *slot = container_of(frames[i], struct net_slot, frame);

		slot->next = tx->back;
		tx->back = slot;
	}
	tx->back_cnt += cnt;
	worker_poller_wake(tx->poller);
}

/* Gives back what came back, in bursts. */
static unsigned complete_returned(struct net_queue *queue)
{
	struct device_queue *base = &queue->queue;
	struct net_tx *tx = queue->tx;
	unsigned total = tx->back_cnt;

	while (tx->back) {
		struct vq_slot *slots[VIRTQUEUE_BURST];
		unsigned cnt = 0;

		for (; tx->back && cnt < VIRTQUEUE_BURST; tx->back = tx->back->next)
			slots[cnt++] = &tx->back->slot;
		virtqueue_complete(base->vq, base->pool, slots, cnt);
	}
	tx->back_cnt = 0;
	tx->out_cnt -= total;
	return total;
}

/*
 * Header and first bytes into the slot, and what is left of the chain's iovecs into the frame.
 * frame->bytes is known.
 */
static NOINLINE void take_pieces(struct net_slot *slot, unsigned header_bytes, unsigned head_bytes)
{
	struct frame *frame = &slot->frame;
	struct iovec *iov = slot->slot.iov;
	unsigned iov_cnt = slot->slot.out_cnt;
	struct iov_cursor cursor;

	iov_cursor_init(&cursor, iov, iov_cnt);
	memset(frame->plain_header, 0, sizeof(frame->plain_header));
	iov_copy_in(&cursor, frame->plain_header,
		    header_bytes < FRAME_PLAIN_BYTES ? header_bytes : FRAME_PLAIN_BYTES);
	/* Hash fields of the header are the device's to fill in. */
	if (header_bytes > FRAME_PLAIN_BYTES)
		iov_skip(&cursor, header_bytes - FRAME_PLAIN_BYTES);
	iov_copy_in(&cursor, frame->head, head_bytes);
	iov_cut_front(&iov, &iov_cnt, header_bytes + head_bytes);
	frame->iov = iov;
	frame->iov_cnt = (uint16_t)iov_cnt;
	frame->head_bytes = (uint16_t)head_bytes;
}

/* The same of a chain that begins with both in one buffer. */
static ALWAYS_INLINE bool take_usual(struct net_slot *slot, unsigned head_bytes)
{
	struct iovec *first = &slot->slot.iov[0];
	struct frame *frame = &slot->frame;
	const unsigned bytes = FRAME_PLAIN_BYTES + head_bytes;
	const bool all = first->iov_len == bytes;

	if (unlikely(first->iov_len < bytes))
		return false;
	copy_short_in(frame_wire(frame), gptr_from_hva(void, first->iov_base), bytes);
	first->iov_base = (uint8_t *)first->iov_base + bytes;
	first->iov_len -= bytes;
	frame->iov = first + all;
	frame->iov_cnt = (uint16_t)(slot->slot.out_cnt - all);
	frame->head_bytes = (uint16_t)head_bytes;
	return true;
}

/* A frame with offloads: its headers may be longer, and its header is looked at. */
static NOINLINE size_t judge_offloads(struct net_queue *queue, struct net_slot *slot,
				      const struct net_header *header)
{
	struct frame *frame = &slot->frame;
	struct iovec *iov = (struct iovec *)(uintptr_t)frame->iov;
	unsigned iov_cnt = frame->iov_cnt;
	const unsigned room = FRAME_HEAD_BYTES - frame->head_bytes;
	const unsigned rest = frame->bytes - frame->head_bytes;
	const unsigned more = rest < room ? rest : room;
	struct iov_cursor cursor;

	iov_cursor_init(&cursor, iov, iov_cnt);
	iov_copy_in(&cursor, frame->head + frame->head_bytes, more);
	iov_cut_front(&iov, &iov_cnt, more);
	frame->iov = iov;
	frame->iov_cnt = (uint16_t)iov_cnt;
	frame->head_bytes = (uint16_t)(frame->head_bytes + more);
	return net_header_judge(frame, header, queue->rules);
}

static COLD void count(struct net_queue *queue, size_t counter)
{
	stat_inc((uint64_t *)(void *)((char *)&queue->stats + (counter - 1)));
}

#define REFUSED(counter) (offsetof(struct net_stats, counter) + 1)

/* A tag is on top of what the MTU allows. */
static ALWAYS_INLINE bool over_mtu(const struct frame *frame, const struct net_rules *rules)
{
	return frame->bytes > rules->tx_frame_bytes_max && frame->gso == FRAME_GSO_NONE &&
	       frame->bytes >
		       rules->tx_frame_bytes_max + (frame->head[12] == 0x81 && frame->head[13] == 0
							    ? ETHER_TAG_BYTES
							    : 0);
}

/* From a chain to a frame; 0, or the counter of what is wrong with it. */
static ALWAYS_INLINE size_t take_frame(struct net_queue *queue, struct net_slot *slot)
{
	const struct net_rules *rules = queue->rules;
	struct frame *frame = &slot->frame;
	struct net_header header;
	uint64_t bytes = slot->slot.out_bytes;
	unsigned head_bytes;

	if (unlikely(slot->slot.error != CHAIN_OK))
		return REFUSED(tx_bad_chain);
	if (unlikely(bytes < rules->header_bytes || slot->slot.in_cnt != 0))
		return REFUSED(tx_bad_header);
	bytes -= rules->header_bytes;
	if (unlikely(bytes < ETHER_HEADER_BYTES))
		return REFUSED(tx_runt);
	if (unlikely(bytes > FRAME_BYTES_MAX))
		return REFUSED(tx_too_long);
	frame_init(frame, &queue->tx->source);
	frame->bytes = (uint32_t)bytes;
	head_bytes = bytes < HEAD_BYTES_USUAL ? (unsigned)bytes : HEAD_BYTES_USUAL;
	if (unlikely(rules->header_bytes != FRAME_PLAIN_BYTES) || !take_usual(slot, head_bytes))
		take_pieces(slot, rules->header_bytes, head_bytes);
	memcpy(&header, frame->plain_header, sizeof(header));
	frame_set_plain_header(frame);
	if (unlikely(header.flags & NET_HDR_F_NEEDS_CSUM || header.gso_type)) {
		size_t refused = judge_offloads(queue, slot, &header);

		if (unlikely(refused))
			return refused;
	}
	if (unlikely(over_mtu(frame, rules)))
		return REFUSED(tx_over_mtu);
	return 0;
}

/* What a turn has gathered to give back. */
struct done_list {
	unsigned cnt;
	struct vq_slot *slots[VIRTQUEUE_BURST];
};

static void send(struct net_queue *queue, struct frame **frames, unsigned cnt,
		 struct done_list *done, uint64_t now_ns)
{
	netport_send(queue->net->port, queue->exchange, queue->queue.idx / 2, frames, cnt, now_ns);
	for (unsigned i = 0; i < cnt; i++) {
		struct net_slot *slot = container_of(frames[i], struct net_slot, frame);

		if (likely(--frames[i]->refs == 0))
			done->slots[done->cnt++] = &slot->slot;
		else
			queue->tx->out_cnt++;
	}
}

/* Fetches a burst and sends it. Returns how many chains there were. */
static unsigned take(struct net_queue *queue, uint64_t now_ns, uint64_t *bytes,
		     unsigned *given_back)
{
	struct device_queue *base = &queue->queue;
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct frame *frames[VIRTQUEUE_BURST];
	struct done_list done = {.cnt = 0};
	uint64_t sent_bytes = 0, large = 0;
	unsigned frame_cnt = 0;
	unsigned cnt = virtqueue_fetch(base->vq, base->pool, slots, VIRTQUEUE_BURST);

	for (unsigned i = 0; i < cnt; i++) {
		struct net_slot *slot = net_of_slot(slots[i]);
		size_t refused = unlikely(!queue->enabled) ? REFUSED(tx_disabled)
							   : take_frame(queue, slot);

		slot->slot.used_bytes = 0;
		if (unlikely(refused)) {
			count(queue, refused);
			done.slots[done.cnt++] = &slot->slot;
			continue;
		}
		sent_bytes += slot->frame.bytes;
		large += slot->frame.gso != FRAME_GSO_NONE;
		frames[frame_cnt++] = &slot->frame;
	}
	if (likely(frame_cnt)) {
		stat_add(&queue->stats.tx_frames, frame_cnt);
		stat_add(&queue->stats.tx_bytes, sent_bytes);
		if (large)
			stat_add(&queue->stats.tx_gso, large);
		send(queue, frames, frame_cnt, &done, now_ns);
	}
	virtqueue_complete(base->vq, base->pool, done.slots, done.cnt);
	*bytes += sent_bytes;
	*given_back += done.cnt;
	return cnt;
}

/* Does anything go before what the ring has? */
static bool must_wait(struct net_queue *queue, uint64_t now_ns)
{
	if (likely(!queue->left_until_ns))
		return false;
	if (queue->left_until_ns == UINT64_MAX)
		queue->left_until_ns = now_ns + LEFT_WAIT_NS;
	if ((load_acquire(&queue->left_out) || fabric_has_copies(queue->net->fabric)) &&
	    now_ns < queue->left_until_ns)
		return true;
	queue->left_until_ns = 0;
	return false;
}

unsigned net_tx_poll(struct net_queue *queue, uint64_t now_ns)
{
	struct device_queue *base = &queue->queue;
	unsigned work = 0, given_back = 0, taken = 0;
	uint64_t bytes = 0;

	base->unfinished = false;
	if (queue->tx->back)
		work = given_back = complete_returned(queue);
	if (unlikely(must_wait(queue, now_ns))) {
		base->unfinished = true;
		device_queue_notify(base, given_back, now_ns);
		return work;
	}
	for (unsigned burst = 0; burst < BURSTS_PER_TURN && bytes < BYTES_PER_TURN; burst++) {
		if (!device_queue_may_fetch(base))
			break;
		taken = take(queue, now_ns, &bytes, &given_back);
		work += taken;
		if (taken < VIRTQUEUE_BURST)
			break;
	}
	base->unfinished = taken == VIRTQUEUE_BURST;
	if (unlikely(device_queue_notify_port(base, given_back, &queue->port, now_ns)))
		device_queue_stay_polled(base, now_ns);
	return work;
}

int net_tx_open(struct net_queue *queue, struct err *err)
{
	struct net_tx *tx = calloc(1, sizeof(*tx));

	if (!tx)
		return err_set(err, ENOMEM, "no memory for a transmit queue");
	tx->source.exchange = queue->exchange;
	tx->source.returned = frames_returned;
	tx->poller = &queue->queue.poller;
	queue->tx = tx;
	queue->left_until_ns =
		load_acquire(&queue->left_out) || fabric_has_copies(queue->net->fabric) ? UINT64_MAX
											: 0;
	return 0;
}

void net_tx_close(struct net_queue *queue)
{
	CHECK(!queue->tx->out_cnt);
	free(queue->tx);
	queue->tx = NULL;
}

/* ---- a queue that moves ---- */

unsigned net_tx_detach(struct net_queue *queue, struct net_remainder *rem)
{
	struct net_tx *tx = queue->tx;
	unsigned outstanding = tx->out_cnt;

	if (!outstanding) {
		net_tx_close(queue);
		return 0;
	}
	tx->poller = &rem->remainder.poller;
	rem->tx = tx;
	queue->tx = NULL;
	__atomic_fetch_add(&queue->left_out, outstanding, __ATOMIC_RELAXED);
	return outstanding;
}

unsigned net_tx_reap(struct net_remainder *rem)
{
	struct device_remainder *base = &rem->remainder;
	struct net_tx *tx = rem->tx;
	unsigned cnt = tx->back_cnt;

	while (tx->back) {
		struct net_slot *slot = tx->back;

		tx->back = slot->next;
		chain_iov_release(base->pool, &slot->slot);
		slot->next = base->finished ? net_of_slot(base->finished) : NULL;
		base->finished = &slot->slot;
	}
	tx->back_cnt = 0;
	tx->out_cnt -= cnt;
	base->outstanding -= cnt;
	__atomic_fetch_sub(&net_of_queue(base->queue)->left_out, cnt, __ATOMIC_RELEASE);
	return cnt;
}

void net_tx_free(struct net_tx *tx)
{
	CHECK(!tx->out_cnt);
	free(tx);
}
