/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load: lanes and workers made, threads started and joined, counters summed.
 * What the threads do is in engine.c.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_priv.h"
#include "lines.h"
#include "verify.h"

const char *const op_kind_name[OP_MAX_] = {
	[OP_READ] = "read",     [OP_WRITE] = "write", [OP_DISCARD] = "discard",
	[OP_ZEROES] = "zeroes", [OP_FLUSH] = "flush",
};
_Static_assert(sizeof(op_kind_name) / sizeof(op_kind_name[0]) == OP_MAX_, "a name for each");

void engine_fail(struct engine *e, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&e->fail_lock);
	if (!e->failed) {
		e->failed = true;
		va_start(ap, fmt);
		vsnprintf(e->error, sizeof(e->error), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&e->fail_lock);
	atomic_store(&e->stop, true);
}

static void parameters_derive(struct engine *e)
{
	const struct bench_opts *o = e->opts;
	const struct session *s = e->session;

	e->sectors_min = o->bs_min_bytes / BLK_SECTOR_BYTES;
	e->sectors_max = o->bs_max_bytes / BLK_SECTOR_BYTES;
	if (e->sectors_min == e->sectors_max)
		e->positions = s->sector_cnt / e->sectors_min;
	e->sequential = o->rw == RW_READ || o->rw == RW_WRITE || o->rw == RW_TRIM;
	e->discards = o->rw == RW_TRIM;
	if (o->rw == RW_READ || o->rw == RW_RANDREAD)
		e->read_percent = 100;
	else if (o->rw == RW_RANDRW)
		e->read_percent = o->rwmixread;
	if (o->rate > 0)
		e->interval_ticks = clock_ns_to_ticks(
			&e->clock, (uint64_t)((double)NS_PER_S * o->queues / o->rate));
	e->timeout_ticks = clock_ns_to_ticks(&e->clock, (uint64_t)(o->timeout_s * NS_PER_S));
}

static void lane_init(struct engine *e, unsigned int idx)
{
	const struct session *s = e->session;
	const struct bench_opts *o = e->opts;
	struct lane *l = &e->lane[idx];
	uint64_t slice = s->sector_cnt / s->queue_cnt;

	l->bq = s->bq[idx];
	l->ring = l->bq->ring;
	l->depth = o->iodepth;
	l->op = e->op + (size_t)idx * o->iodepth;
	l->free_slot = e->free_slot + (size_t)idx * o->iodepth;
	/* Popped from the end: slot 0 goes first. */
	for (l->free_cnt = 0; l->free_cnt < l->depth; l->free_cnt++)
		l->free_slot[l->free_cnt] = (uint16_t)(l->depth - 1 - l->free_cnt);
	slice -= slice % s->align_sectors;
	l->first_sector = s->first_sector + idx * slice;
	l->end_sector = l->first_sector + slice;
	l->next_sector = l->first_sector;
	l->ios_left = UINT64_MAX;
	if (o->ios)
		l->ios_left = o->ios / o->queues + (idx < o->ios % o->queues);
	l->final_chunk = UINT64_MAX;
	if (e->verify)
		l->verify_op = e->verify->op + (size_t)idx * o->iodepth;
}

static void workers_init(struct engine *e)
{
	const struct bench_opts *o = e->opts;
	unsigned int next = 0;

	for (unsigned int i = 0; i < e->worker_cnt; i++) {
		struct worker *w = &e->worker[i];
		unsigned int left = e->worker_cnt - i;

		w->engine = e;
		w->cpu = o->cpu_cnt ? o->cpu[i] : -1;
		w->lane = &e->lane[next];
		w->lane_cnt = (o->queues - next + left - 1) / left;
		next += w->lane_cnt;
		w->rng.state = random_mix(o->seed + i + 1);
		for (unsigned int k = 0; k < OP_MAX_; k++)
			histogram_init(&w->stats[k].latency_ns);
	}
}

int engine_init(struct engine *e, struct session *s)
{
	const struct bench_opts *o = s->opts;
	size_t slots = (size_t)o->queues * o->iodepth;

	memset(e, 0, sizeof(*e));
	e->session = s;
	e->opts = o;
	pthread_mutex_init(&e->fail_lock, NULL);
	sem_init(&e->go, 0, 0);
	clock_init(&e->clock);
	parameters_derive(e);
	e->worker_cnt = o->cpu_cnt ? o->cpu_cnt : 1;
	if (e->worker_cnt > o->queues)
		e->worker_cnt = o->queues;
	e->worker = lines_zalloc(e->worker_cnt, sizeof(*e->worker));
	e->lane = lines_zalloc(o->queues, sizeof(*e->lane));
	e->op = lines_zalloc(slots, sizeof(*e->op));
	e->free_slot = lines_zalloc(slots, sizeof(*e->free_slot));
	if (!e->worker || !e->lane || !e->op || !e->free_slot)
		return -ENOMEM;
	if (o->rw == RW_VERIFY && verify_new(&e->verify, e) < 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < o->queues; i++)
		lane_init(e, i);
	workers_init(e);
	return 0;
}

void engine_fini(struct engine *e)
{
	verify_free(e->verify);
	free(e->worker);
	free(e->lane);
	free(e->op);
	free(e->free_slot);
	sem_destroy(&e->go);
	pthread_mutex_destroy(&e->fail_lock);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct engine *e = w->engine;

	while (sem_wait(&e->go) < 0 && errno == EINTR)
		;
	if (!atomic_load(&e->stop))
		engine_worker_run(w);
	atomic_fetch_sub(&e->running, 1);
	return NULL;
}

static int worker_start(struct worker *w)
{
	pthread_attr_t attr;
	cpu_set_t set;
	int rc;

	pthread_attr_init(&attr);
	if (w->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET(w->cpu, &set);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	rc = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	w->started = rc == 0;
	return -rc;
}

int engine_start(struct engine *e)
{
	unsigned int started = 0;
	int rc = 0;

	atomic_store(&e->running, e->worker_cnt);
	atomic_store(&e->measuring, e->worker_cnt);
	while (started < e->worker_cnt && rc == 0) {
		rc = worker_start(&e->worker[started]);
		started += rc == 0;
	}
	if (rc < 0) {
		engine_fail(e, "cannot start thread %u of %u: %s", started + 1, e->worker_cnt,
			    strerror(-rc));
		atomic_fetch_sub(&e->running, e->worker_cnt - started);
	}
	e->start_ns = clock_monotonic_ns();
	e->start_ticks = clock_ticks();
	e->measure_start_ticks =
		e->start_ticks +
		clock_ns_to_ticks(&e->clock, (uint64_t)(e->opts->warmup_s * NS_PER_S));
	for (unsigned int i = 0; i < e->opts->queues; i++)
		e->lane[i].due_ticks = e->start_ticks;
	for (unsigned int i = 0; i < started; i++)
		sem_post(&e->go);
	return rc;
}

void engine_join(struct engine *e)
{
	for (unsigned int i = 0; i < e->worker_cnt; i++)
		if (e->worker[i].started)
			pthread_join(e->worker[i].thread, NULL);
}

void engine_sum(struct engine *e, struct engine_result *r)
{
	uint64_t end_ticks = 0;

	memset(r, 0, sizeof(*r));
	for (unsigned int k = 0; k < OP_MAX_; k++)
		histogram_init(&r->kind[k].latency_ns);
	histogram_init(&r->total.latency_ns);
	for (unsigned int i = 0; i < e->worker_cnt; i++) {
		const struct worker *w = &e->worker[i];

		if (w->measure_end_ticks > end_ticks)
			end_ticks = w->measure_end_ticks;
		for (unsigned int k = 0; k < OP_MAX_; k++) {
			r->kind[k].ios += w->stats[k].ios;
			r->kind[k].bytes += w->stats[k].bytes;
			histogram_merge(&r->kind[k].latency_ns, &w->stats[k].latency_ns);
		}
	}
	for (unsigned int k = 0; k < OP_MAX_; k++) {
		r->total.ios += r->kind[k].ios;
		r->total.bytes += r->kind[k].bytes;
		histogram_merge(&r->total.latency_ns, &r->kind[k].latency_ns);
	}
	for (unsigned int i = 0; i < e->opts->queues; i++) {
		r->kick_cnt += e->lane[i].kick_cnt;
		r->call_cnt += e->lane[i].call_cnt;
	}
	if (end_ticks > e->measure_start_ticks)
		r->seconds =
			(double)clock_ticks_to_ns(&e->clock, end_ticks - e->measure_start_ticks) /
			(double)NS_PER_S;
}
