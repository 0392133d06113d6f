/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a worker: turns of lanes, phases, waiting.
 * Set-up, watching and sums are in engine.c.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

#include "netload/engine.h"

#define RECEIVE_BURST 64u
#define LINE_BYTES 64u
#define SPIN_NS UINT64_C(50000)
/* What is due sooner is waited for awake: no sleep ends more exactly. */
#define SLEEP_MIN_NS UINT64_C(100000)
#define YIELD_MIN_NS UINT64_C(20000)
#define SLEEP_MAX_NS UINT64_C(50000000)
#define CATCH_UP_NS UINT64_C(1000000) /* what is later than this is not sent any more */

/* ---- receiving ---- */

static bool verify_one(struct netload_worker *w, struct netload_lane *l, const struct net_frame *f,
		       const struct frame_seen *seen, uint64_t position)
{
	struct netload_engine *e = w->engine;
	const struct netload_place at = {
		.queue = l->rx->fq->idx / 2,
		.look = netload_looks_of(&e->looks, &e->looks.queue[l->looks], position),
	};

	/* For each frame: a reordering that is shorter than two looks is not seen. */
	netload_looks_take(&e->looks);
	e->verify.guest_csum = front_has(l->port->front, VIRTIO_NET_F_GUEST_CSUM);
	e->verify.guest_tso4 = front_has(l->port->front, VIRTIO_NET_F_GUEST_TSO4);
	if (netload_verify_frame(&e->verify, l->rx, f, seen, &at))
		return true;
	netload_engine_fail(e, "verify: %s", e->verify.error);
	return false;
}

static inline void receive_one(struct netload_worker *w, struct netload_lane *l,
			       const struct net_frame *f, uint64_t now, uint64_t position)
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
	if (__builtin_expect(e->opts->verify, 0) && !verify_one(w, l, f, &seen, position))
		return;
	if (w->phase == NETLOAD_MEASURE) {
		l->received_cnt++;
		l->received_bytes += f->bytes;
		if (e->opts->answers)
			l->returned_cnt += seen.flow % e->opts->pairs == l->rx->fq->idx / 2u;
	}
	if (!(seen.stream & FRAME_MEASURED))
		return;
	l->marked_cnt++;
	if (e->opts->stamps)
		histogram_record(&l->latency_ns,
				 clock_ticks_to_ns(&e->clock, frame_age_ticks(&seen, now)));
}

/* Tells the looks what net_receive() gave out; the position of its first buffer. */
static uint64_t looks_position(struct netload_worker *w, struct netload_lane *l,
			       const struct net_frame *frame, int cnt)
{
	uint32_t buffers = 0;

	for (int i = 0; i < cnt; i++)
		buffers += frame[i].buffer_cnt;
	return netload_looks_taken(&w->engine->looks.queue[l->looks], buffers);
}

/* Gives buffers to the device: in bursts while frames come, and all there are when none do. */
static inline void lane_post(struct netload_worker *w, struct netload_lane *l, bool all)
{
	if (l->rx->free_cnt && (all || l->rx->free_cnt >= w->engine->opts->burst))
		if (net_post(l->rx, UINT32_MAX) < 0)
			netload_engine_fail(w->engine, "cannot post receive buffers");
}

static inline unsigned int lane_receive(struct netload_worker *w, struct netload_lane *l,
					uint64_t now)
{
	struct net_frame frame[RECEIVE_BURST];
	uint64_t position = 0;
	int n;

	if (l->looks >= 0)
		netload_looks_take(&w->engine->looks);
	n = net_receive(l->rx, frame, RECEIVE_BURST);
	if (__builtin_expect(n < 0, 0)) {
		netload_engine_fail(w->engine, "protocol error: %s: queue %u: %s",
				    w->engine->opts->socket[l->port_idx], l->rx->fq->idx,
				    l->rx->ring->error);
		return 0;
	}
	if (l->looks >= 0)
		position = looks_position(w, l, frame, n);
	for (int i = 0; i < n; i++) {
		receive_one(w, l, &frame[i], now, position);
		position += frame[i].buffer_cnt;
		net_frame_done(l->rx, &frame[i]);
	}
	lane_post(w, l, n == 0);
	if (n > 0)
		w->came_ticks = now;
	return (unsigned int)n;
}

/* Takes calls of the receive queue; the first of them wakes it. */
static void lane_take_calls(struct netload_lane *l)
{
	if (front_queue_take_calls(l->port->rx_fq[l->tx->fq->idx / 2]) && l->asleep) {
		l->asleep = false;
		ring_disarm(l->rx->ring);
	}
}

/* Arms the receive queue; it stays awake when something has come meanwhile. */
static void lane_sleep(struct netload_worker *w, struct netload_lane *l)
{
	lane_post(w, l, true);
	l->asleep = !ring_arm(l->rx->ring);
	if (!l->asleep)
		ring_disarm(l->rx->ring);
}

/* By call: what a guest's driver does, from the call to arming anew. */
static inline unsigned int lane_receive_called(struct netload_worker *w, struct netload_lane *l,
					       uint64_t now)
{
	unsigned int n;

	if (l->asleep && net_used_ahead(l->rx, 0))
		lane_take_calls(l);
	if (l->asleep)
		return 0;
	n = lane_receive(w, l, now);
	if (n < RECEIVE_BURST)
		lane_sleep(w, l);
	return n;
}

/* ---- sending ---- */

/* What is too late to be sent: the schedule goes on without it. */
static void skip_late(struct netload_worker *w, struct netload_lane *l, uint64_t now)
{
	uint64_t behind = clock_ns_to_ticks(&w->engine->clock, CATCH_UP_NS), cnt;

	if (now - l->due_ticks <= behind + l->interval_ticks)
		return;
	cnt = (now - behind - l->due_ticks) / l->interval_ticks;
	l->due_ticks += cnt * l->interval_ticks;
	if (w->phase == NETLOAD_MEASURE)
		l->skipped_cnt += cnt;
}

static inline uint32_t may_send(struct netload_worker *w, struct netload_lane *l, uint64_t now)
{
	const struct netload_opts *o = w->engine->opts;
	uint32_t room = o->burst;
	uint64_t due;

	if (l->hello_left)
		return l->hello_left < room ? l->hello_left : room;
	if (!l->sends || w->phase >= NETLOAD_DRAIN)
		return 0;
	if (l->interval_ticks == 0)
		return room;
	if (now < l->due_ticks)
		return 0;
	skip_late(w, l, now);
	if (o->spacing == NETLOAD_BURSTS)
		return room;
	if (o->spacing == NETLOAD_POISSON)
		return 1;
	due = (now - l->due_ticks) / l->interval_ticks + 1;
	return due < room ? (uint32_t)due : room;
}

/* Exponentially distributed, interval_ticks on average. */
static uint64_t random_interval(struct netload_lane *l)
{
	/* Above 0, so that its logarithm is finite. */
	double u = ((double)(random_next(&l->spacing) >> 11) + 1) * 0x1p-53;

	return (uint64_t)(-log(u) * (double)l->interval_ticks);
}

/* After sending: how late the frames were, and when the next is due. */
static void schedule(struct netload_worker *w, struct netload_lane *l, uint64_t now, uint32_t sent,
		     bool measured)
{
	const struct netload_opts *o = w->engine->opts;
	uint64_t step = o->spacing == NETLOAD_EVEN ? l->interval_ticks : 0,
		 late = now - l->due_ticks;

	for (uint32_t i = 0; i < sent && measured; i++)
		histogram_record(&l->late_ns,
				 clock_ticks_to_ns(&w->engine->clock, late - i * step));
	l->due_ticks += o->spacing == NETLOAD_POISSON ? random_interval(l)
						      : sent * l->interval_ticks;
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
	else if (l->interval_ticks)
		schedule(w, l, now, sent, mark);
	return true;
}

/* ---- phases ---- */

static void lanes_mark(struct netload_worker *w, bool begin)
{
	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct netload_lane *l = &w->lane[i];
		struct front_queue *rx = l->port->rx_fq[l->tx->fq->idx / 2];
		struct front_queue *tx = l->tx->fq;

		lane_take_calls(l);
		front_queue_take_calls(tx);
		l->kick_cnt = rx->kick_cnt + tx->kick_cnt - (begin ? 0 : l->kick_cnt);
		l->rx_call_cnt = rx->call_cnt - (begin ? 0 : l->rx_call_cnt);
		l->tx_call_cnt = tx->call_cnt - (begin ? 0 : l->tx_call_cnt);
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

/*
 * By call fd: sleep until called or until shortly before something is due. Receive queues are
 * asleep or awake by lane_receive_called(); send queues are armed here, when they are full.
 */
static void idle_called(struct netload_worker *w, uint64_t now)
{
	struct pollfd *p = w->call_poll;
	struct front_queue **fq = w->call_fq;
	uint64_t due_ns = due_in_ns(w, now);
	struct timespec ts = {0};
	unsigned int cnt = 0;

	if (due_ns < SLEEP_MIN_NS) {
		if (due_ns > YIELD_MIN_NS)
			sched_yield();
		return;
	}
	ts.tv_nsec = (long)(due_ns - SLEEP_MIN_NS / 2);
	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct netload_lane *l = &w->lane[i];

		if (l->rx && !l->asleep)
			return;
		if (l->rx)
			fq[cnt++] = l->rx->fq;
		if (l->tx->free_cnt)
			continue;
		fq[cnt++] = l->tx->fq;
		if (ring_arm(l->tx->ring))
			ts.tv_nsec = 0;
	}
	for (unsigned int i = 0; i < cnt; i++)
		p[i] = (struct pollfd){.fd = fq[i]->call_fd, .events = POLLIN};
	(void)ppoll(p, cnt, &ts, NULL);
	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct netload_lane *l = &w->lane[i];

		if (l->rx)
			lane_take_calls(l);
		if (l->tx->free_cnt == 0) {
			front_queue_take_calls(l->tx->fq);
			ring_disarm(l->tx->ring);
		}
	}
}

static inline bool lane_turn(struct netload_worker *w, struct netload_lane *l, uint64_t now)
{
	bool did = false;

	if (l->rx)
		did = (w->engine->opts->irq ? lane_receive_called(w, l, now)
					    : lane_receive(w, l, now)) > 0;
	return lane_send(w, l, now) || did;
}

void netload_worker_run(struct netload_worker *w)
{
	const struct netload_opts *o = w->engine->opts;

	w->came_ticks = clock_ticks();
	/* Else the kernel may end a sleep 50 us late. */
	prctl(PR_SET_TIMERSLACK, 1);
	while (w->phase != NETLOAD_DONE) {
		uint64_t now = clock_ticks();
		bool did = false;

		for (unsigned int i = 0; i < w->lane_cnt; i++)
			did |= lane_turn(w, &w->lane[i], now);
		phase_check(w, now);
		if (did)
			w->idle_since_ticks = 0;
		else if (o->irq)
			idle_called(w, now);
		else
			idle_polled(w, now);
	}
}
