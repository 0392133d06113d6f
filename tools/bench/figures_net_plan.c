/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which points the figures of ports have, and which of them this machine cannot show. Nothing is
 * run here.
 */
#include "figures_net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const netfig_figure_name[NETFIG_FIGURE_MAX_] = {
	[NETFIG_MAX] = "max",
	[NETFIG_RATE] = "rate",
	[NETFIG_SCALE] = "scale",
	[NETFIG_LADDER] = "ladder",
};
const char *const netfig_mode_name[NETFIG_MODE_MAX_] = {
	[NETFIG_OFF] = "off",
	[NETFIG_STATIC] = "static",
	[NETFIG_ADAPTIVE] = "adaptive",
};
const char *const netfig_step_name[NETFIG_STEP_MAX_] = {
	[NETFIG_BASELINE] = "baseline",
	[NETFIG_COALESCED] = "+ coalescing",
	[NETFIG_VRSS] = "+ vRSS",
	[NETFIG_BOTH] = "+ both",
};

static const char few_cpus[] = "one CPU is left for workers beside that of the load; two workers "
			       "take three CPUs";

static void plan_add(struct netfig_plan *plan, const struct netfig_point *model, const char *note)
{
	struct netfig_point *p;

	if (plan->cnt == plan->size) {
		unsigned int size = plan->size ? plan->size * 2 : 64;
		struct netfig_point *more = realloc(plan->point, size * sizeof(*more));

		if (!more) {
			plan->failed = true;
			return;
		}
		plan->point = more;
		plan->size = size;
	}
	p = &plan->point[plan->cnt++];
	*p = *model;
	snprintf(p->note, sizeof(p->note), "%s%s", note ? "not shown: " : "", note ? note : "");
}

void netfig_plan_free(struct netfig_plan *plan)
{
	free(plan->point);
	memset(plan, 0, sizeof(*plan));
}

static void plan_max(struct netfig_plan *plan, const struct netfig_input *in)
{
	for (unsigned int i = 0; i < in->size_cnt; i++) {
		struct netfig_point p = {.figure = NETFIG_MAX,
					 .size_bytes = in->size[i],
					 .queues = 1,
					 .workers = 1,
					 .irq = true};

		plan_add(plan, &p, NULL);
	}
}

static void plan_rate(struct netfig_plan *plan, const struct netfig_input *in, unsigned int size,
		      unsigned int *group)
{
	static const unsigned int share[] = {2, 5, 10, 20, 40, 60, 80, 100};

	for (unsigned int i = 0; i < sizeof(share) / sizeof(share[0]); i++) {
		struct netfig_point p = {.figure = NETFIG_RATE,
					 .size_bytes = size,
					 .queues = 1,
					 .workers = 1,
					 .share = share[i],
					 .irq = true,
					 .group = (*group)++};

		if (in->quick && share[i] != 5 && share[i] != 60)
			continue;
		for (p.mode = 0; p.mode < NETFIG_MODE_MAX_; p.mode++)
			plan_add(plan, &p, p.mode == NETFIG_ADAPTIVE ? in->no_adaptive : NULL);
	}
}

static unsigned int doubled(unsigned int n, unsigned int last)
{
	return n < last && n * 2 > last ? last : n * 2;
}

static void plan_scale(struct netfig_plan *plan, const struct netfig_input *in, unsigned int size,
		       unsigned int *group)
{
	unsigned int most = in->worker_cnt > 8 ? in->worker_cnt : 8;

	for (unsigned int queues = 1; queues <= most; queues = doubled(queues, most)) {
		struct netfig_point p = {.figure = NETFIG_SCALE,
					 .size_bytes = size,
					 .queues = queues,
					 .rss = queues > 1,
					 .group = (*group)++};
		const char *missing = queues > 1 ? in->no_rss : NULL;

		if (in->quick && queues != 1 && queues != 4)
			continue;
		for (p.workers = 1; p.workers <= in->worker_cnt && p.workers <= queues;
		     p.workers = doubled(p.workers, in->worker_cnt))
			plan_add(plan, &p, missing);
		p.workers = 2;
		if (in->worker_cnt == 1 && queues > 1)
			plan_add(plan, &p, few_cpus);
	}
}

static void plan_ladder(struct netfig_plan *plan, const struct netfig_input *in, unsigned int size,
			unsigned int group)
{
	const char *no_vrss = in->worker_cnt < 2 ? few_cpus : in->no_rss;
	unsigned int queues = 2 * in->worker_cnt < BENCH_QUEUE_MAX ? 2 * in->worker_cnt
								   : BENCH_QUEUE_MAX;

	for (enum netfig_step step = 0; step < NETFIG_STEP_MAX_; step++) {
		bool coalesced = step == NETFIG_COALESCED || step == NETFIG_BOTH;
		bool vrss = step >= NETFIG_VRSS;
		struct netfig_point p = {.figure = NETFIG_LADDER,
					 .step = step,
					 .mode = coalesced ? NETFIG_ADAPTIVE : NETFIG_OFF,
					 .size_bytes = size,
					 .queues = vrss ? queues : 1,
					 .workers = vrss ? in->worker_cnt : 1,
					 .irq = true,
					 .rss = vrss,
					 .group = group};

		plan_add(plan, &p, vrss && no_vrss ? no_vrss : coalesced ? in->no_adaptive : NULL);
	}
}

void netfig_plan_make(struct netfig_plan *plan, const struct netfig_input *input)
{
	unsigned int group = 1;

	memset(plan, 0, sizeof(*plan));
	plan_max(plan, input);
	for (unsigned int i = 0; i < input->size_cnt; i++)
		plan_rate(plan, input, input->size[i], &group);
	for (unsigned int i = 0; i < input->size_cnt; i++)
		plan_scale(plan, input, input->size[i], &group);
	for (unsigned int i = 0; i < input->size_cnt; i++)
		plan_ladder(plan, input, input->size[i], group++);
}

struct spread netfig_spread(const struct netfig_point *p, enum netfig_metric metric)
{
	return spread_of(p->value[metric], p->run_cnt);
}

double netfig_max_pps(const struct netfig *f, unsigned int size_bytes)
{
	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct netfig_point *p = &f->plan.point[i];

		if (p->figure == NETFIG_MAX && p->size_bytes == size_bytes)
			return netfig_spread(p, NETFIG_PPS).median;
	}
	return NAN;
}

double netfig_rate(const struct netfig *f, const struct netfig_point *p)
{
	if (p->share == 0)
		return NAN;
	return floor(netfig_max_pps(f, p->size_bytes) * p->share / 100);
}
