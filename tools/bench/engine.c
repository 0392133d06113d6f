/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load: turns of lanes, phases of workers.
 * Set-up, sums and failing are in engine_run.c.
 */
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "engine_priv.h"
#include "verify.h"
#include "workload.h"

#define SPIN_NS UINT64_C(50000) /* polled this long without result, offer the CPU to others */
#define SPIN_TURNS 16           /* empty turns between two looks at the clock */
#define SLEEP_MAX_NS UINT64_C(100000000)
#define RETRY_NS UINT64_C(1000000)
#define PACE_SLACK_NS UINT64_C(100000) /* woken this early, the rest is spun */

/* ---- a turn of a lane ---- */

static inline uint32_t may_start(struct worker *w, struct lane *l, uint64_t now)
{
	const struct engine *e = w->engine;
	uint32_t room = l->free_cnt < ENGINE_BURST ? l->free_cnt : ENGINE_BURST;

	if (w->phase >= PHASE_DRAIN)
		return 0;
	if (w->phase == PHASE_FINAL)
		return room;
	if (w->phase == PHASE_MEASURE && room > l->ios_left)
		room = (uint32_t)l->ios_left;
	if (e->interval_ticks) {
		uint64_t behind = e->interval_ticks * l->depth;

		if (now < l->due_ticks)
			return 0;
		/* What could not be started in time is not caught up beyond one depth. */
		if (now - l->due_ticks > behind)
			l->due_ticks = now - behind;
		if (room > (now - l->due_ticks) / e->interval_ticks + 1)
			room = (uint32_t)((now - l->due_ticks) / e->interval_ticks + 1);
	}
	return room;
}

static void start_failed(struct worker *w, const struct lane *l, int rc)
{
	engine_fail(w->engine, "queue %u: cannot add a request: %s", l->bq->fq->idx, strerror(-rc));
}

/* Fills free slots; the number of requests started. */
static inline uint32_t lane_fill(struct worker *w, struct lane *l, uint64_t now)
{
	uint32_t room = may_start(w, l, now), started = 0;
	bool measured = w->phase == PHASE_MEASURE;

	if (room == 0)
		return 0;
	if (l->free_cnt == l->depth)
		l->progress_ticks = now;
	while (started < room) {
		uint16_t slot = l->free_slot[l->free_cnt - 1];
		uint32_t type, bytes;
		int rc;

		if (w->engine->verify) {
			if (!verify_next(w, l, slot, &type, &bytes))
				break;
		} else {
			workload_next(w, l, slot, &type, &bytes);
		}
		l->op[slot].start_ticks = now;
		l->op[slot].measured = measured;
		rc = blk_start(l->bq, slot, type,
			       blk_type_is_in(type) || type == VIRTIO_BLK_T_OUT ? l->op[slot].sector
										: 0,
			       bytes);
		if (__builtin_expect(rc < 0, 0)) {
			start_failed(w, l, rc);
			break;
		}
		l->free_cnt--;
		started++;
	}
	if (ring_publish(l->ring))
		front_queue_kick(l->bq->fq);
	if (measured)
		l->ios_left -= started;
	l->due_ticks += started * w->engine->interval_ticks;
	return started;
}

static void status_failed(struct worker *w, const struct lane *l, uint16_t slot, uint8_t status)
{
	const struct op *op = &l->op[slot];

	engine_fail(w->engine,
		    "I/O error: %s of %u bytes at offset %llu on queue %u: status %u (%s)",
		    op_kind_name[op->kind], op->bytes,
		    (unsigned long long)op->sector * BLK_SECTOR_BYTES, l->bq->fq->idx, status,
		    blk_status_name(status));
}

static inline bool complete(struct worker *w, struct lane *l, const struct ring_used *used,
			    uint64_t now)
{
	const struct op *op = &l->op[used->token];
	uint8_t status = blk_status(l->bq, used->token);

	if (__builtin_expect(status != VIRTIO_BLK_S_OK, 0)) {
		status_failed(w, l, used->token, status);
		return false;
	}
	if (w->engine->verify && !verify_done(w, l, used))
		return false;
	if (w->phase == PHASE_MEASURE && op->measured) {
		struct op_stats *stats = &w->stats[op->kind];

		stats->ios++;
		stats->bytes += op->bytes;
		histogram_record(&stats->latency_ns,
				 clock_ticks_to_ns(&w->engine->clock, now - op->start_ticks));
	}
	l->free_slot[l->free_cnt++] = used->token;
	return true;
}

static void progress_publish(struct worker *w)
{
	uint64_t ios = 0, bytes = 0;

	for (unsigned int k = 0; k < OP_MAX_; k++) {
		ios += w->stats[k].ios;
		bytes += w->stats[k].bytes;
	}
	atomic_store_explicit(&w->progress_ios, ios, memory_order_relaxed);
	atomic_store_explicit(&w->progress_bytes, bytes, memory_order_relaxed);
}

static void phase_check(struct worker *w, uint64_t now);

/* One burst of completions and what may be started then. False: nothing to do, or failed. */
static inline bool lane_turn(struct worker *w, struct lane *l)
{
	struct ring_used used[ENGINE_BURST];
	uint64_t now = 0;
	int n = ring_get_used(l->ring, used, ENGINE_BURST);

	if (__builtin_expect(n < 0, 0)) {
		engine_fail(w->engine, "protocol error: queue %u: %s", l->bq->fq->idx,
			    l->ring->error);
		return false;
	}
	if (n > 0) {
		now = clock_ticks();
		if (__builtin_expect(now >= w->phase_end_ticks, 0))
			phase_check(w, now);
		l->progress_ticks = now;
		/* The lines that the device wrote last, and that we are about to write again. */
		for (int i = 0; i < n; i++)
			__builtin_prefetch(l->bq->slot[used[i].token].status, 1);
		for (int i = 0; i < n; i++)
			if (!complete(w, l, &used[i], now))
				return false;
	} else if (l->free_cnt == 0 || w->phase >= PHASE_DRAIN) {
		return false;
	}
	if (now == 0)
		now = clock_ticks();
	return lane_fill(w, l, now) > 0 || n > 0;
}

/* ---- phases ---- */

static void lanes_mark(struct worker *w, bool begin)
{
	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		struct lane *l = &w->lane[i];

		front_queue_take_calls(l->bq->fq);
		l->kick_cnt = l->bq->fq->kick_cnt - (begin ? 0 : l->kick_cnt);
		l->call_cnt = l->bq->fq->call_cnt - (begin ? 0 : l->call_cnt);
	}
}

static bool lanes_idle(const struct worker *w)
{
	for (unsigned int i = 0; i < w->lane_cnt; i++)
		if (w->lane[i].free_cnt != w->lane[i].depth)
			return false;
	return true;
}

static bool ios_done(const struct worker *w)
{
	for (unsigned int i = 0; i < w->lane_cnt; i++)
		if (w->lane[i].ios_left)
			return false;
	return lanes_idle(w);
}

static bool final_done(const struct worker *w)
{
	for (unsigned int i = 0; i < w->lane_cnt; i++)
		if (!verify_exhausted(&w->lane[i], w->engine->verify))
			return false;
	return lanes_idle(w);
}

static void measure_begin(struct worker *w)
{
	const struct engine *e = w->engine;

	w->phase = PHASE_MEASURE;
	w->phase_end_ticks = UINT64_MAX;
	if (e->opts->runtime_s > 0)
		w->phase_end_ticks =
			e->measure_start_ticks +
			clock_ns_to_ticks(&e->clock, (uint64_t)(e->opts->runtime_s * NS_PER_S));
	lanes_mark(w, true);
}

static void measure_end(struct worker *w, uint64_t now)
{
	w->measure_end_ticks = w->phase_end_ticks < now ? w->phase_end_ticks : now;
	w->phase_end_ticks = UINT64_MAX;
	w->phase = w->engine->verify ? PHASE_FINAL : PHASE_DRAIN;
	progress_publish(w);
	lanes_mark(w, false);
	atomic_fetch_sub(&w->engine->measuring, 1);
}

/* Moves on when a phase is over, by time or because its work is done. */
static void phase_check(struct worker *w, uint64_t now)
{
	struct engine *e = w->engine;

	if (w->phase == PHASE_WARMUP && now >= w->phase_end_ticks)
		measure_begin(w);
	if (w->phase == PHASE_MEASURE && (now >= w->phase_end_ticks || ios_done(w)))
		measure_end(w, now);
	if (w->phase == PHASE_FINAL && final_done(w))
		w->phase = PHASE_DRAIN;
	if (w->phase == PHASE_DRAIN && lanes_idle(w))
		w->phase = PHASE_DONE;
	if (atomic_load_explicit(&e->stop, memory_order_relaxed)) {
		if (w->phase == PHASE_MEASURE)
			measure_end(w, now);
		w->phase = PHASE_DONE;
	}
}

/* ---- when nothing happens ---- */

static void timeout_check(struct worker *w, uint64_t now)
{
	struct engine *e = w->engine;

	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		const struct lane *l = &w->lane[i];

		if (l->free_cnt != l->depth && now - l->progress_ticks > e->timeout_ticks) {
			engine_fail(e,
				    "timeout: queue %u: nothing completed for %g s, %u requests "
				    "in flight",
				    l->bq->fq->idx, e->opts->timeout_s, l->depth - l->free_cnt);
			return;
		}
	}
}

/* How long until something can be started without a completion; SLEEP_MAX_NS at most. */
static uint64_t due_in_ns(const struct worker *w, uint64_t now)
{
	const struct engine *e = w->engine;
	uint64_t soonest = SLEEP_MAX_NS;

	/* Verify found all it tried in flight, on queues of other threads. */
	if (e->verify && lanes_idle(w))
		return RETRY_NS;
	for (unsigned int i = 0; e->interval_ticks && i < w->lane_cnt; i++) {
		const struct lane *l = &w->lane[i];
		uint64_t ns = l->due_ticks > now ? clock_ticks_to_ns(&e->clock, l->due_ticks - now)
						 : 0;

		if (l->free_cnt && l->ios_left && w->phase <= PHASE_MEASURE && ns < soonest)
			soonest = ns;
	}
	return soonest;
}

static struct timespec ns_to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

/* Polled: spin, then be kind to whoever shares the CPU; sleep only when nothing is in flight. */
static void idle_polled(struct worker *w, uint64_t now)
{
	uint64_t due_ns = due_in_ns(w, now);

	if (w->engine->interval_ticks && lanes_idle(w) && due_ns > 2 * PACE_SLACK_NS) {
		struct timespec ts = ns_to_timespec(due_ns - PACE_SLACK_NS);

		nanosleep(&ts, NULL);
		return;
	}
	if (w->idle_since_ticks == 0)
		w->idle_since_ticks = now;
	else if (clock_ticks_to_ns(&w->engine->clock, now - w->idle_since_ticks) > SPIN_NS)
		sched_yield();
}

/* By call fd: arm every lane, look again, sleep until one is called or due. */
static void idle_called(struct worker *w, uint64_t now)
{
	struct pollfd p[BENCH_QUEUE_MAX];
	struct timespec ts;
	bool ready = false;

	for (unsigned int i = 0; i < w->lane_cnt; i++) {
		ready |= ring_arm(w->lane[i].ring);
		p[i] = (struct pollfd){.fd = w->lane[i].bq->fq->call_fd, .events = POLLIN};
	}
	if (!ready) {
		ts = ns_to_timespec(due_in_ns(w, now));
		if (ppoll(p, w->lane_cnt, &ts, NULL) > 0)
			for (unsigned int i = 0; i < w->lane_cnt; i++)
				if (p[i].revents)
					front_queue_take_calls(w->lane[i].bq->fq);
	}
	for (unsigned int i = 0; i < w->lane_cnt; i++)
		ring_disarm(w->lane[i].ring);
}

void engine_worker_run(struct worker *w)
{
	struct engine *e = w->engine;
	unsigned int turns = 0;

	w->phase = PHASE_WARMUP;
	w->phase_end_ticks = e->measure_start_ticks;
	while (w->phase != PHASE_DONE) {
		bool busy = false;
		uint64_t now;

		for (unsigned int i = 0; i < w->lane_cnt; i++)
			busy |= lane_turn(w, &w->lane[i]);
		if (busy)
			w->idle_since_ticks = 0;
		/* A busy worker looks up now and then, a polling one nearly always. */
		turns++;
		if (busy ? turns % 64 : !e->opts->irq && turns % SPIN_TURNS)
			continue;
		progress_publish(w);
		now = clock_ticks();
		phase_check(w, now);
		timeout_check(w, now);
		if (busy || w->phase == PHASE_DONE)
			continue;
		if (e->opts->irq)
			idle_called(w, now);
		else
			idle_polled(w, now);
	}
	if (w->measure_end_ticks == 0)
		w->measure_end_ticks = clock_ticks();
}
