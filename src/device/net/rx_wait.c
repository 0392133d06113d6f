/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that found no receive buffers: held, then copied, then given up. Owner worker.
 * Not their delivery (rx.c).
 *
 * Theory of operation
 *
 * 1. A frame without buffers waits at its receiver in the order of its coming. First it is held:
 *    it stays in its sender's memory, which costs nothing if buffers come soon. After RX_HOLD_NS,
 *    or when many are held already, it is copied to the receiver's own pool, and the sender has it
 *    back: nobody holds a sender for longer. A full pool is a drop.
 * 2. What waits is copies, then held ones: frames are let go from the oldest on. Copies therefore
 *    lie in the pool in the order in which they leave it: a ring of bytes, no free list.
 * 3. A copy is a frame like any other; its source is this queue.
 * 4. What has waited for RX_STALE_NS is dropped when buffers come: a guest that was stopped for a
 *    while gets no frames of before. The same at once where there are buffers, but too few for the
 *    frame: all that the ring has may never be enough for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "device/net/rx_priv.h"

#define POOL_ALIGN 64u

static struct rx_waiting *waiting_at(struct net_rx *rx, unsigned pos)
{
	return &rx->waiting[(rx->wait_first + pos) % RX_WAIT_MAX];
}

/* ---- the pool ---- */

static void pool_returned(struct frame_source *source, struct frame *const *frames, unsigned cnt)
{
	struct net_rx *rx = container_of(source, struct net_rx, source);

	for (unsigned i = 0; i < cnt; i++)
		rx->pool_used -= container_of(frames[i], struct rx_pooled, frame)->room_bytes;
}

/* Room for a copy, or NULL. What does not fit before the pool's end is skipped with it. */
static struct rx_pooled *pool_take(struct net_rx *rx, uint32_t payload_bytes)
{
	const uint32_t bytes =
		(uint32_t)(sizeof(struct rx_pooled) + payload_bytes + POOL_ALIGN - 1) / POOL_ALIGN *
		POOL_ALIGN;
	const uint32_t to_end = RX_POOL_BYTES - rx->pool_at;
	const uint32_t skip = bytes > to_end ? to_end : 0;
	struct rx_pooled *pooled;

	if (skip + bytes > RX_POOL_BYTES - rx->pool_used)
		return NULL;
	if (skip)
		rx->pool_at = 0;
	pooled = (struct rx_pooled *)(void *)(rx->pool + rx->pool_at);
	rx->pool_at = (rx->pool_at + bytes) % RX_POOL_BYTES;
	rx->pool_used += skip + bytes;
	pooled->room_bytes = skip + bytes;
	return pooled;
}

/* All but what its sender's worker counts and changes meanwhile. */
static void copy_frame(struct frame *to, const struct frame *from)
{
	const size_t first = offsetof(struct frame, bytes);

	memcpy((char *)to + first, (const char *)from + first,
	       offsetof(struct frame, head) - first + from->head_bytes);
}
_Static_assert(offsetof(struct frame, source) < offsetof(struct frame, bytes) &&
		       offsetof(struct frame, refs) < offsetof(struct frame, bytes),
	       "the sender's come first");

static struct frame *pool_copy(struct net_rx *rx, const struct frame *frame)
{
	const uint32_t payload_bytes = frame->bytes - frame->head_bytes;
	struct rx_pooled *pooled = pool_take(rx, payload_bytes);
	struct iov_cursor cursor;

	if (!pooled)
		return NULL;
	copy_frame(&pooled->frame, frame);
	pooled->frame.source = &rx->source;
	pooled->frame.exchange = rx->source.exchange;
	pooled->frame.refs = 1;
	pooled->frame.iov = &pooled->iov;
	pooled->frame.iov_cnt = payload_bytes != 0;
	pooled->iov = (struct iovec){pooled->payload, payload_bytes};
	iov_cursor_init(&cursor, frame->iov, frame->iov_cnt);
	iov_copy_in(&cursor, pooled->payload, payload_bytes);
	return &pooled->frame;
}

/* ---- who waits ---- */

static void put_waiting(struct net_queue *queue, const struct rx_waiting *w)
{
	if (!w->pooled)
		queue->rx->held_cnt--;
	else
		queue->rx->copies_left++;
	if (w->kept)
		exchange_put_kept(queue->exchange, w->frame);
	else
		exchange_put(queue->exchange, w->frame);
}

static void pop_front(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	put_waiting(queue, waiting_at(rx, 0));
	rx->wait_first = (rx->wait_first + 1) % RX_WAIT_MAX;
	rx->wait_cnt--;
}

static COLD void drop(struct net_queue *queue, const struct frame *frame)
{
	stat_inc(&queue->stats.rx_no_buffer);
	netport_show_drop(queue->net->port, queue->exchange, frame, NETPORT_DROP_NO_BUFFER);
}

/* The frame at the front will not be delivered, or not to its end. */
static void abort_front(struct net_queue *queue)
{
	queue->rx->egressing = false;
	queue->rx->output_ready = false;
	drop(queue, waiting_at(queue->rx, 0)->frame);
	pop_front(queue);
}

/* Copies the one at pos; false: there is no room. */
static bool make_pooled(struct net_queue *queue, unsigned pos)
{
	struct net_rx *rx = queue->rx;
	struct rx_waiting *w = waiting_at(rx, pos);
	struct frame *copy = pool_copy(rx, w->frame);

	if (!copy)
		return false;
	if (pos == 0 && rx->egressing)
		net_egress_moved(&rx->egress, copy);
	fabric_copies_add(queue->net->fabric, 1);
	put_waiting(queue, w);
	w->frame = copy;
	w->pooled = true;
	w->kept = false;
	stat_inc(&queue->stats.rx_pooled);
	return true;
}

/* Drops all from pos on: there is no room, and order is kept. */
static void drop_from(struct net_queue *queue, unsigned pos)
{
	struct net_rx *rx = queue->rx;

	while (rx->wait_cnt > pos) {
		if (rx->wait_cnt == 1) {
			abort_front(queue);
			return;
		}
		rx->wait_cnt--;
		drop(queue, waiting_at(rx, rx->wait_cnt)->frame);
		put_waiting(queue, waiting_at(rx, rx->wait_cnt));
	}
}

void rx_wait_let_go(struct net_queue *queue, uint64_t now_ns, bool all)
{
	struct net_rx *rx = queue->rx;

	while (rx->held_cnt) {
		const unsigned pos = rx->wait_cnt - rx->held_cnt;

		if (!all && now_ns < waiting_at(rx, pos)->since_ns + RX_HOLD_NS)
			return;
		if (!make_pooled(queue, pos))
			drop_from(queue, pos);
	}
}

void rx_wait_push(struct net_queue *queue, struct frame *frame, uint64_t now_ns)
{
	struct net_rx *rx = queue->rx;
	const bool home = exchange_is_home(queue->exchange, frame);
	struct rx_waiting *w = waiting_at(rx, rx->wait_cnt);
	const bool copied = rx->wait_cnt > rx->held_cnt;
	const unsigned held_max = home && !copied ? RX_HELD_MAX : RX_HELD_FEW;
	bool held = false;

	if (rx->wait_cnt == RX_WAIT_MAX) {
		drop(queue, frame);
		exchange_put(queue->exchange, frame);
		return;
	}
	*w = (struct rx_waiting){.frame = frame, .since_ns = now_ns};
	if (rx->held_cnt < held_max && (home || exchange_may_keep(queue->exchange, frame)))
		held = true;
	w->kept = held && !home;
	rx->wait_cnt++;
	rx->held_cnt++;
	if (held) {
		stat_inc(&queue->stats.rx_held);
		return;
	}
	/* Its turn to be copied is when those before it have been. */
	rx_wait_let_go(queue, now_ns, true);
}

/* Those at the front that are plain, as a burst. Returns how many left. */
static unsigned drain_plain(struct net_queue *queue, uint64_t now_ns)
{
	struct net_rx *rx = queue->rx;
	struct frame *frames[NETPORT_BURST];
	unsigned cnt = 0, done;

	if (rx->egressing)
		return 0;
	for (; cnt < NETPORT_BURST && cnt < rx->wait_cnt; cnt++) {
		const struct rx_waiting *w = waiting_at(rx, cnt);

		if (now_ns > w->since_ns + RX_STALE_NS)
			break;
		frames[cnt] = w->frame;
	}
	done = rx_put_plain(queue, frames, cnt);
	for (unsigned i = 0; i < done; i++)
		pop_front(queue);
	return done;
}

unsigned rx_wait_drain(struct net_queue *queue, uint64_t now_ns)
{
	struct net_rx *rx = queue->rx;
	unsigned cnt = 0;

	while (rx->wait_cnt && cnt < NETPORT_BURST * 4) {
		const unsigned plain = drain_plain(queue, now_ns);
		struct rx_waiting *w = waiting_at(rx, 0);

		cnt += plain;
		if (plain)
			continue;
		if (now_ns > w->since_ns + RX_STALE_NS) {
			if (!rx->stash_cnt && !virtqueue_has_avail(queue->queue.vq))
				break;
			abort_front(queue);
		} else if (rx_put_frame(queue, w->frame) == RX_PUT_NO_BUFFER) {
			break;
		} else {
			pop_front(queue);
		}
		cnt++;
	}
	return cnt;
}

uint64_t rx_wait_deadline_ns(const struct net_rx *rx)
{
	const unsigned pos = rx->wait_cnt - rx->held_cnt;

	if (rx->held_cnt)
		return rx->waiting[(rx->wait_first + pos) % RX_WAIT_MAX].since_ns + RX_HOLD_NS;
	/* No kick is to be counted on if the driver has posted all that it has. */
	return rx->wait_cnt && rx->stash_cnt
		       ? rx->waiting[rx->wait_first].since_ns + RX_STALE_NS + 1
		       : 0;
}

void rx_wait_rules_changed(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;
	const bool partly = rx->egress.segments > rx->output_ready;

	if (!rx->egressing || rx->egress.rules == queue->rules)
		return;
	/* Of segments by the old rules the rest is not sent by others. */
	if (partly)
		abort_front(queue);
	rx->egressing = false;
	rx->output_ready = false;
}

void rx_wait_clear(struct net_queue *queue)
{
	drop_from(queue, 0);
	rx_wait_settle(queue);
}

void rx_wait_settle(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	if (rx->copies_left)
		fabric_copies_add(queue->net->fabric, -(int)rx->copies_left);
	rx->copies_left = 0;
}

void rx_wait_arrive(struct net_rx *rx, struct exchange *exchange)
{
	rx->source.exchange = exchange;
	for (unsigned i = 0; i < rx->wait_cnt; i++)
		waiting_at(rx, i)->frame->exchange = exchange;
}

int rx_wait_init(struct net_rx *rx, struct err *err)
{
	void *pool = mmap(NULL, RX_POOL_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (pool == MAP_FAILED)
		return err_set(err, errno, "no memory for frames that wait: %m");
	rx->pool = pool;
	rx->source.returned = pool_returned;
	return 0;
}

void rx_wait_fini(struct net_rx *rx)
{
	munmap(rx->pool, RX_POOL_BYTES);
}
