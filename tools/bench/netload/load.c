/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a worker: turns of lanes, phases, waiting.
 * Set-up, watching and sums are in engine.c.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "netload/engine.h"

#define RECEIVE_BURST 64u
#define LINE_BYTES 64u
#define SPIN_NS UINT64_C(50000)
#define SLEEP_MAX_NS UINT64_C(50000000)
#define CATCH_UP_NS UINT64_C(1000000) /* what is later than this is not sent any more */

/* ---- receiving ---- */

static bool verify_one(struct netload_worker *w, struct netload_lane *l, const struct net_frame *f,
		       const struct frame_seen *seen)
{
	struct netload_engine *e = w->engine;

	e->verify.guest_csum = front_has(l->port->front, VIRTIO_NET_F_GUEST_CSUM);
	e->verify.guest_tso4 = front_has(l->port->front, VIRTIO_NET_F_GUEST_TSO4);
	if (netload_verify_frame(&e->verify, l->rx, f, seen))
		return true;
	netload_engine_fail(e, "verify: %s", e->verify.error);
	return false;
}

static inline void receive_one(struct netload_worker *w, struct netload_lane *l,
			       const struct net_frame *f, uint64_t now)
{
	struct netload_engine *e = w->engine;
	const uint8_t *head = f->data + NET_HEADER_BYTES;
	uint32_t bytes = f->buffer[0].bytes - NET_HEADER_BYTES;
	uint8_t copy[FRAME_HEAD_MAX];
	struct frame_seen seen;

	if (__builtin_expect(f->buffer_cnt > 1 && bytes < sizeof(copy), 0)) {
		bytes = f->bytes < sizeof(copy) ? f->bytes : (uint32_t)sizeof(copy);
		net_frame_copy(l->rx, f, 0, copy, bytes);
		head = copy;
	}
	if (__builtin_expect(!frame_parse(head, bytes, &seen), 0)) {
		l->foreign_cnt++;
		return;
	}
	if (__builtin_expect(e->opts->verify, 0) && !verify_one(w, l, f, &seen))
		return;
	if (w->phase == NETLOAD_MEASURE) {
		l->received_cnt++;
		l->received_bytes += f->bytes;
	}
	if (!(seen.stream & FRAME_MEASURED))
		return;
	l->marked_cnt++;
	if (e->opts->stamps)
		histogram_record(&l->latency_ns,
				 clock_ticks_to_ns(&e->clock, frame_age_ticks(&seen, now)));
}

static inline unsigned int lane_receive(struct netload_worker *w, struct netload_lane *l,
					uint64_t now)
{
	struct net_frame frame[RECEIVE_BURST];
	int n;

	if (!l->rx)
		return 0;
	n = net_receive(l->rx, frame, RECEIVE_BURST);
	if (__builtin_expect(n < 0, 0)) {
		netload_engine_fail(w->engine, "protocol error: %s: queue %u: %s",
				    w->engine->opts->socket[l->port_idx], l->rx->fq->idx,
				    l->rx->ring->error);
		return 0;
	}
	for (int i = 0; i < n; i++) {
		receive_one(w, l, &frame[i], now);
		net_frame_done(l->rx, &frame[i]);
	}
	/* In bursts while frames come, and all there is when none do. */
	if (l->rx->free_cnt && (n == 0 || l->rx->free_cnt >= w->engine->opts->burst))
		if (net_post(l->rx, UINT32_MAX) < 0)
			netload_engine_fail(w->engine, "cannot post receive buffers");
	if (n > 0)
		w->came_ticks = now;
	return (unsigned int)n;
}

/* ---- sending ---- */

static inline uint32_t may_send(struct netload_worker *w, struct netload_lane *l, uint64_t now)
{
	uint32_t room = w->engine->opts->burst;
	uint64_t due, behind;

	if (l->hello_left)
		return l->hello_left < room ? l->hello_left : room;
	if (!l->sends || w->phase >= NETLOAD_DRAIN)
		return 0;
	if (l->interval_ticks == 0)
		return room;
	if (now < l->due_ticks)
		return 0;
	behind = clock_ns_to_ticks(&w->engine->clock, CATCH_UP_NS);
	if (now - l->due_ticks > behind + l->interval_ticks)
		l->due_ticks = now - behind;
	due = (now - l->due_ticks) / l->interval_ticks + 1;
	return due < room ? (uint32_t)due : room;
}

static void dirty(uint8_t *data, uint32_t bytes)
{
	for (uint32_t at = LINE_BYTES; at < bytes; at += LINE_BYTES)
		*(volatile uint8_t *)(data + at) += 1;
}

static bool send_blocked(struct netload_worker *w, struct netload_lane *l, uint64_t now)
{
	if (now - l->sent_ticks > w->engine->timeout_ticks)
		netload_engine_fail(w->engine,
				    "timeout: %s: queue %u: nothing was taken for %g s, %u frames "
				    "in flight",
				    w->engine->opts->socket[l->port_idx], l->tx->fq->idx,
				    w->engine->opts->timeout_s,
				    l->tx->opts.slot_cnt - l->tx->free_cnt);
	return false;
}

static inline void send_one(struct netload_worker *w, struct netload_lane *l, uint16_t slot,
			    uint64_t now, uint8_t mark)
{
	struct net_slot *s = &l->tx->slot[slot];
	uint32_t bytes = s->bytes - NET_HEADER_BYTES;

	frame_next(l->gen, s->data, bytes, now, mark);
	if (__builtin_expect(w->engine->opts->dirty, 0))
		dirty(s->data, s->bytes);
	if (mark) {
		l->sent_cnt++;
		l->sent_bytes += bytes;
	}
}

static inline bool lane_send(struct netload_worker *w, struct netload_lane *l, uint64_t now)
{
	uint32_t room = may_send(w, l, now), sent = 0;
	uint8_t mark = w->phase == NETLOAD_MEASURE && l->sends && !l->hello_left ? FRAME_MEASURED
										 : 0;

	if (room == 0)
		return false;
	if (l->tx->free_cnt < room && net_reclaim(l->tx) < 0) {
		netload_engine_fail(w->engine, "protocol error: %s: queue %u: %s",
				    w->engine->opts->socket[l->port_idx], l->tx->fq->idx,
				    l->tx->ring->error);
		return false;
	}
	if (room > l->tx->free_cnt)
		room = l->tx->free_cnt;
	for (; sent < room; sent++) {
		uint16_t slot = net_free_take(l->tx);

		/* Added before it is written: nobody looks at it until it is published. */
		if (__builtin_expect(net_add(l->tx, slot) < 0, 0)) {
			net_free_put(l->tx, slot);
			break;
		}
		send_one(w, l, slot, now, mark);
	}
	if (sent == 0)
		return send_blocked(w, l, now);
	net_publish(l->tx);
	l->sent_ticks = now;
	if (l->hello_left)
		l->hello_left -= sent;
	else
		l->due_ticks += sent * l->interval_ticks;
	return true;
}

/* ---- phases ---- */

static void lanes_mark(struct netload_worker *w, bool begin)
{
	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct netload_lane *l = &w->lane[i];
		struct front_queue *rx = l->port->rx_fq[l->tx->fq->idx / 2];
		struct front_queue *tx = l->tx->fq;

		front_queue_take_calls(rx);
		front_queue_take_calls(tx);
		l->kick_cnt = rx->kick_cnt + tx->kick_cnt - (begin ? 0 : l->kick_cnt);
		l->call_cnt = rx->call_cnt + tx->call_cnt - (begin ? 0 : l->call_cnt);
	}
}

static void sending_end(struct netload_worker *w)
{
	uint64_t sent = 0;

	for (unsigned int i = 0; i < w->lane_cnt; i++)
		sent += w->lane[i].sent_cnt;
	atomic_fetch_add(&w->engine->sent, sent);
	atomic_fetch_sub(&w->engine->sending, 1);
}

static bool drained(struct netload_worker *w, uint64_t now)
{
	struct netload_engine *e = w->engine;

	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct netload_lane *l = &w->lane[i];

		atomic_fetch_add(&e->came, l->marked_cnt - l->reported);
		l->reported = l->marked_cnt;
	}
	if (atomic_load(&e->sending) == 0 && atomic_load(&e->came) >= atomic_load(&e->sent) &&
	    !e->opts->verify)
		return true;
	return now - w->came_ticks > e->quiet_ticks && now - e->measure_end_ticks > e->quiet_ticks;
}

static void phase_check(struct netload_worker *w, uint64_t now)
{
	struct netload_engine *e = w->engine;

	if (w->phase == NETLOAD_WARMUP && now >= e->measure_start_ticks) {
		w->phase = NETLOAD_MEASURE;
		lanes_mark(w, true);
	}
	if (w->phase == NETLOAD_MEASURE && now >= e->measure_end_ticks) {
		w->phase = NETLOAD_DRAIN;
		lanes_mark(w, false);
		sending_end(w);
	}
	if (w->phase == NETLOAD_DRAIN && drained(w, now))
		w->phase = NETLOAD_DONE;
	if (atomic_load_explicit(&e->stop, memory_order_relaxed)) {
		if (w->phase == NETLOAD_MEASURE)
			lanes_mark(w, false);
		if (w->phase <= NETLOAD_MEASURE)
			sending_end(w);
		w->phase = NETLOAD_DONE;
	}
}

/* ---- when nothing happens ---- */

static uint64_t due_in_ns(const struct netload_worker *w, uint64_t now)
{
	uint64_t soonest = SLEEP_MAX_NS;

	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		const struct netload_lane *l = &w->lane[i];
		uint64_t ns = l->due_ticks > now
				      ? clock_ticks_to_ns(&w->engine->clock, l->due_ticks - now)
				      : 0;

		if (l->sends && w->phase < NETLOAD_DRAIN && l->tx->free_cnt &&
		    (l->interval_ticks == 0 || ns < soonest))
			soonest = l->interval_ticks ? ns : 0;
	}
	return soonest;
}

static void idle_polled(struct netload_worker *w, uint64_t now)
{
	if (w->idle_since_ticks == 0)
		w->idle_since_ticks = now;
	else if (clock_ticks_to_ns(&w->engine->clock, now - w->idle_since_ticks) > SPIN_NS)
		sched_yield();
}

/* By call fd: arm what can bring something, look again, sleep until called or due. */
static void idle_called(struct netload_worker *w, uint64_t now)
{
	struct pollfd *p = w->call_poll;
	struct front_queue **fq = w->call_fq;
	struct timespec ts = {0};
	unsigned int cnt = 0;
	bool ready = false;

	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct netload_lane *l = &w->lane[i];

		if (l->rx)
			fq[cnt++] = l->rx->fq;
		if (l->tx->free_cnt == 0)
			fq[cnt++] = l->tx->fq;
	}
	for (unsigned int i = 0; i < cnt; i++) {
		ready |= ring_arm(fq[i]->ring);
		p[i] = (struct pollfd){.fd = fq[i]->call_fd, .events = POLLIN};
	}
	ts.tv_nsec = (long)due_in_ns(w, now);
	if (!ready && ppoll(p, cnt, &ts, NULL) > 0)
		for (unsigned int i = 0; i < cnt; i++)
			if (p[i].revents)
				front_queue_take_calls(fq[i]);
	for (unsigned int i = 0; i < cnt; i++)
		ring_disarm(fq[i]->ring);
}

void netload_worker_run(struct netload_worker *w)
{
	const struct netload_opts *o = w->engine->opts;

	w->came_ticks = clock_ticks();
	while (w->phase != NETLOAD_DONE) {
		uint64_t now = clock_ticks();
		bool did = false;

		for (unsigned int i = 0; i < w->lane_cnt; i++) {
			struct netload_lane *l = &w->lane[i];

			did |= lane_receive(w, l, now) > 0;
			did |= lane_send(w, l, now);
		}
		phase_check(w, now);
		if (did)
			w->idle_since_ticks = 0;
		else if (o->irq)
			idle_called(w, now);
		else
			idle_polled(w, now);
	}
}
