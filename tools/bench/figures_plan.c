/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which points the figures have, and which of them this machine cannot show. Nothing is run here.
 *
 * The steps of the ladder follow the paper. It has all queues on one thread that is notified, then
 * more threads, then polling, then a core for each thread that nothing else runs on. Until that
 * last step the first worker shares its CPU with a thread of the load where there are CPUs enough
 * for both layouts; with fewer, workers have CPUs of their own from the beginning and the step is
 * not shown.
 */
#include "figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LADDER_DEPTH_CNT 2
#define SCALE_DEPTH 32

const char *const figures_name[FIGURE_MAX_] = {
	[FIGURE_DEPTH] = "depth",
	[FIGURE_SCALE] = "scale",
	[FIGURE_LADDER] = "ladder",
};
const char *const figures_backend_name[FIGURES_BACKEND_MAX_] = {
	[FIGURES_NULL] = "null",
	[FIGURES_FLASH] = "flash",
	[FIGURES_FILE] = "file",
};
const char *const figures_server_name[SERVER_MAX_] = {
	[SERVER_PARIOD] = "pariod",
	[SERVER_QSD] = "qemu-storage-daemon",
	[SERVER_FIO] = "fio",
};
const char *const figures_poll_name[FIGURES_POLL_MAX_] = {
	[FIGURES_ALWAYS] = "always",
	[FIGURES_ADAPTIVE] = "adaptive",
	[FIGURES_NEVER] = "never",
};
const char *const ladder_step_name[STEP_MAX_] = {
	[STEP_BASELINE] = "baseline",
	[STEP_PARALLEL] = "+ parallel workers",
	[STEP_POLLING] = "+ polling",
	[STEP_DEDICATED] = "+ dedicated cores",
	[STEP_AFFINITY] = "+ completion affinity",
	[STEP_ADAPTIVE] = "adaptive",
};

static struct point *plan_add(struct plan *plan, const struct point *model, const char *note)
{
	struct point *p;

	if (plan->cnt == plan->size) {
		unsigned int size = plan->size ? plan->size * 2 : 64;
		struct point *more = realloc(plan->point, size * sizeof(*more));

		if (!more) {
			plan->failed = true;
			return NULL;
		}
		plan->point = more;
		plan->size = size;
	}
	p = &plan->point[plan->cnt++];
	*p = *model;
	snprintf(p->note, sizeof(p->note), "%s%s", note ? "not shown: " : "", note ? note : "");
	return p;
}

void plan_free(struct plan *plan)
{
	free(plan->point);
	memset(plan, 0, sizeof(*plan));
}

void plan_split_cpus(unsigned int cpu_cnt, unsigned int *load_cnt, unsigned int *worker_cnt)
{
	*load_cnt = cpu_cnt >= 4 ? cpu_cnt / 2 : 1;
	*worker_cnt = cpu_cnt > *load_cnt ? cpu_cnt - *load_cnt : 1;
	if (*worker_cnt > BENCH_QUEUE_MAX)
		*worker_cnt = BENCH_QUEUE_MAX;
}

static void plan_depth(struct plan *plan, const struct plan_input *in, enum figures_backend backend,
		       unsigned int *group)
{
	unsigned int factor = in->quick ? 16 : 2;

	for (unsigned int depth = 1; depth <= 256; depth *= factor) {
		struct point p = {.figure = FIGURE_DEPTH,
				  .backend = backend,
				  .queues = 1,
				  .workers = 1,
				  .depth = depth,
				  .group = (*group)++};

		for (p.poll = 0; p.poll < FIGURES_POLL_MAX_; p.poll++)
			plan_add(plan, &p, NULL);
		p.server = SERVER_FIO;
		p.poll = 0;
		if (backend == FIGURES_FILE)
			plan_add(plan, &p, in->no_fio);
	}
}

static unsigned int doubled(unsigned int n, unsigned int last)
{
	return n < last && n * 2 > last ? last : n * 2;
}

static void plan_scale(struct plan *plan, const struct plan_input *in, enum figures_backend backend,
		       unsigned int *group)
{
	unsigned int most = in->worker_cnt > 8 ? in->worker_cnt : 8;

	for (unsigned int queues = 1; queues <= most; queues = doubled(queues, most)) {
		struct point p = {.figure = FIGURE_SCALE,
				  .backend = backend,
				  .queues = queues,
				  .depth = SCALE_DEPTH,
				  .poll = FIGURES_ALWAYS,
				  .group = (*group)++};

		if (in->quick && queues != 1 && queues != most)
			continue;
		for (p.workers = 1; p.workers <= in->worker_cnt && p.workers <= queues;
		     p.workers = doubled(p.workers, in->worker_cnt))
			plan_add(plan, &p, NULL);
		p.workers = 2;
		if (in->worker_cnt == 1 && queues > 1)
			plan_add(plan, &p,
				 "one CPU is left for workers beside that of the load; two "
				 "workers take three CPUs");
	}
}

/* The same configuration with a load that is called and with one that polls. */
static void ladder_add(struct plan *plan, struct point p, const char *note)
{
	p.irq = true;
	plan_add(plan, &p, note);
	p.irq = false;
	plan_add(plan, &p, note);
}

static const char *affinity_missing(const struct plan_input *in, enum figures_backend backend)
{
	if (backend != FIGURES_FILE)
		return "no block device is below this back end: its completions leave no core";
	if (in->worker_cnt < 2)
		return "one worker, and so one core that submits: there is nothing to direct";
	return in->no_affinity;
}

static void plan_ladder(struct plan *plan, const struct plan_input *in,
			enum figures_backend backend, unsigned int depth, unsigned int group)
{
	bool overlap = in->load_cnt >= 2 && in->worker_cnt >= 2;
	const char *few = "one CPU is left for workers beside that of the load; this step takes "
			  "three CPUs";
	struct point p = {.figure = FIGURE_LADDER,
			  .backend = backend,
			  .queues = in->worker_cnt,
			  .workers = 1,
			  .depth = depth,
			  .poll = FIGURES_NEVER,
			  .irq = true,
			  .overlap = overlap,
			  .group = group};

	p.step = STEP_BASELINE;
	plan_add(plan, &p, NULL);
	p.server = SERVER_QSD;
	p.overlap = false;
	plan_add(plan, &p,
		 backend == FIGURES_FLASH ? "qemu-storage-daemon has no such back end"
					  : in->no_qsd);
	p.server = SERVER_PARIOD;
	p.overlap = overlap;
	p.step = STEP_PARALLEL;
	p.workers = in->worker_cnt;
	plan_add(plan, &p, in->worker_cnt < 2 ? few : NULL);
	p.step = STEP_POLLING;
	p.poll = FIGURES_ALWAYS;
	ladder_add(plan, p, NULL);
	p.step = STEP_DEDICATED;
	p.overlap = false;
	ladder_add(plan, p,
		   overlap ? NULL
			   : "too few CPUs for a layout in which workers overlap the load beside "
			     "one in which they do not (4 are needed); workers had CPUs of their "
			     "own in all steps");
	p.step = STEP_AFFINITY;
	p.affinity = true;
	ladder_add(plan, p, affinity_missing(in, backend));
	p.step = STEP_ADAPTIVE;
	p.affinity = affinity_missing(in, backend) == NULL;
	p.poll = FIGURES_ADAPTIVE;
	ladder_add(plan, p, NULL);
}

void plan_make(struct plan *plan, const struct plan_input *input)
{
	static const unsigned int ladder_depth[LADDER_DEPTH_CNT] = {1, 32};
	unsigned int group = 0;

	memset(plan, 0, sizeof(*plan));
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (input->backend[b])
			plan_depth(plan, input, b, &group);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (input->backend[b])
			plan_scale(plan, input, b, &group);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		for (unsigned int d = 0; d < LADDER_DEPTH_CNT; d++)
			if (input->backend[b])
				plan_ladder(plan, input, b, ladder_depth[d], group++);
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

struct spread spread_of(const double *value, unsigned int run_cnt)
{
	double known[FIGURES_ROUNDS_MAX];
	struct spread s = {NAN, NAN, NAN};
	unsigned int cnt = 0;

	for (unsigned int i = 0; i < run_cnt; i++)
		if (isfinite(value[i]))
			known[cnt++] = value[i];
	if (cnt == 0)
		return s;
	qsort(known, cnt, sizeof(known[0]), compare);
	s.min = known[0];
	s.max = known[cnt - 1];
	s.median = (known[(cnt - 1) / 2] + known[cnt / 2]) / 2;
	return s;
}

struct spread point_spread(const struct point *p, enum metric metric)
{
	return spread_of(p->value[metric], p->run_cnt);
}
