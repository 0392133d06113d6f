/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assignment of queues to workers; policy in placement.h. Not rebalancing by load.
 */
#include "worker/placement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static const char *const mode_names[] = {"auto", "fixed", "off"};
_Static_assert(ARRAY_LEN(mode_names) == PLACEMENT_MODE_MAX_, "a name for each mode");

static const char *const nearness_names[] = {"unknown", "cache",   "node",
					     "far",     "sibling", "own-cpu"};
_Static_assert(ARRAY_LEN(nearness_names) == PLACEMENT_NEARNESS_MAX_, "a name for each");

const char *placement_mode_name(enum placement_mode mode)
{
	return mode < PLACEMENT_MODE_MAX_ ? mode_names[mode] : NULL;
}

int placement_mode_parse(const char *name, enum placement_mode *mode)
{
	for (unsigned i = 0; i < PLACEMENT_MODE_MAX_; i++) {
		if (strcmp(name, mode_names[i]) == 0) {
			*mode = (enum placement_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool placement_mode_rebalances(enum placement_mode mode)
{
	return mode != PLACEMENT_OFF;
}

const char *placement_nearness_name(enum placement_nearness nearness)
{
	return nearness < PLACEMENT_NEARNESS_MAX_ ? nearness_names[nearness] : NULL;
}

/* ---- where vCPUs are ---- */

static void keep_what_is_shared(int16_t *shared, bool first, int value)
{
	if (first)
		*shared = (int16_t)value;
	else if (*shared != value)
		*shared = TOPOLOGY_NONE;
}

static struct vcpu_home find_home(const struct topology *topology, const struct vcpu *vcpu)
{
	struct vcpu_home home = {TOPOLOGY_NONE, TOPOLOGY_NONE, TOPOLOGY_NONE, TOPOLOGY_NONE};
	cpu_set_t set = vcpu->cpus;
	bool first = true;

	if (!vcpu->known)
		return home;
	topology_clip(topology, &set);
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		keep_what_is_shared(&home.cpu, first, cpu);
		keep_what_is_shared(&home.core, first, topology_core(topology, cpu));
		keep_what_is_shared(&home.llc, first, topology_llc(topology, cpu));
		keep_what_is_shared(&home.node, first, topology_node(topology, cpu));
		first = false;
	}
	if (home.node == TOPOLOGY_NONE)
		home.node = (int16_t)topology_node(topology, vcpu->last_cpu);
	return home;
}

void placement_find_homes(const struct topology *topology, const struct vcpu *vcpus, unsigned cnt,
			  struct vcpu_home *homes)
{
	for (unsigned i = 0; i < cnt; i++)
		homes[i] = find_home(topology, &vcpus[i]);
}

struct placement_drivers placement_drivers(unsigned queue_cnt, unsigned vcpu_cnt, unsigned queue)
{
	unsigned each, longer;

	if (vcpu_cnt == 0)
		return (struct placement_drivers){0, 0};
	if (queue_cnt >= vcpu_cnt)
		return (struct placement_drivers){queue % vcpu_cnt, 1};
	each = vcpu_cnt / queue_cnt;
	longer = vcpu_cnt % queue_cnt;
	return (struct placement_drivers){
		.first = queue * each + (queue < longer ? queue : longer),
		.cnt = each + (queue < longer ? 1 : 0),
	};
}

static bool is_equal(int16_t known, int value)
{
	return known != TOPOLOGY_NONE && known == value;
}

static enum placement_nearness home_nearness(const struct topology *topology,
					     const struct vcpu_home *home, int cpu)
{
	if (is_equal(home->cpu, cpu))
		return PLACEMENT_OWN_CPU;
	if (is_equal(home->core, topology_core(topology, cpu)))
		return PLACEMENT_SIBLING;
	if (is_equal(home->llc, topology_llc(topology, cpu)))
		return PLACEMENT_CACHE;
	if (is_equal(home->node, topology_node(topology, cpu)))
		return PLACEMENT_NODE;
	if (home->core == TOPOLOGY_NONE && home->llc == TOPOLOGY_NONE &&
	    home->node == TOPOLOGY_NONE)
		return PLACEMENT_UNKNOWN;
	return PLACEMENT_FAR;
}

enum placement_nearness placement_nearness(const struct topology *topology,
					   const struct vcpu_home *homes, unsigned cnt, int cpu)
{
	enum placement_nearness worst = PLACEMENT_UNKNOWN;

	for (unsigned i = 0; i < cnt; i++) {
		enum placement_nearness nearness = home_nearness(topology, &homes[i], cpu);

		if (nearness > worst)
			worst = nearness;
	}
	return worst;
}

/* ---- assignment ---- */

/*
 * Each weight is more than all the smaller ones can add up to, for VCPUS_MAX of them. A worker that
 * can be no nearer to anybody's sibling is thus always preferred.
 */
#define COST_SIBLING (UINT64_C(1) << 12)
#define COST_OWN_CPU (UINT64_C(1) << 23)
_Static_assert(VCPUS_MAX * 3 < COST_SIBLING, "siblings outweigh distance");
_Static_assert(VCPUS_MAX *COST_SIBLING < COST_OWN_CPU, "the own CPU outweighs siblings");

static const uint64_t costs[] = {
	[PLACEMENT_UNKNOWN] = 0,
	[PLACEMENT_CACHE] = 1,
	[PLACEMENT_NODE] = 2,
	[PLACEMENT_FAR] = 3,
	[PLACEMENT_SIBLING] = COST_SIBLING,
	[PLACEMENT_OWN_CPU] = COST_OWN_CPU,
};

struct assignment {
	const struct placement_input *input;
	uint16_t worker_of_queue[PLACEMENT_QUEUES_MAX];
	bool keeps[PLACEMENT_QUEUES_MAX]; /* not to be moved for the spread's sake */
	uint64_t best_cost[PLACEMENT_QUEUES_MAX];
	unsigned load[PLACEMENT_WORKERS_MAX];
	/* search for a chain of moves */
	uint16_t reached_from[PLACEMENT_WORKERS_MAX];
	uint16_t reached_by[PLACEMENT_WORKERS_MAX]; /* the queue to move */
	uint16_t pending[PLACEMENT_WORKERS_MAX];
};

static uint64_t cost_of(const struct assignment *a, unsigned queue, unsigned worker)
{
	const struct placement_input *input = a->input;
	struct placement_drivers drivers =
		placement_drivers(input->queue_cnt, input->home_cnt, queue);
	uint64_t sum = 0;

	for (unsigned i = 0; i < drivers.cnt; i++) {
		enum placement_nearness nearness = home_nearness(input->topology,
								 &input->homes[drivers.first + i],
								 input->workers[worker].cpu);

		if (nearness != PLACEMENT_SIBLING || !input->allow_siblings)
			sum += costs[nearness];
	}
	return sum;
}

static bool is_nearest(const struct assignment *a, unsigned queue, unsigned worker)
{
	return cost_of(a, queue, worker) == a->best_cost[queue];
}

static void give(struct assignment *a, unsigned queue, unsigned worker)
{
	a->worker_of_queue[queue] = (uint16_t)worker;
	a->load[worker]++;
}

static void keep_current(struct assignment *a)
{
	const struct placement_input *input = a->input;

	for (unsigned queue = 0; queue < input->queue_cnt; queue++) {
		unsigned worker = input->current ? input->current[queue] : PLACEMENT_NONE;

		a->worker_of_queue[queue] = PLACEMENT_NONE;
		a->best_cost[queue] = UINT64_MAX;
		for (unsigned i = 0; i < input->worker_cnt; i++) {
			uint64_t cost = cost_of(a, queue, i);

			if (cost < a->best_cost[queue])
				a->best_cost[queue] = cost;
		}
		if (worker < input->worker_cnt && is_nearest(a, queue, worker)) {
			give(a, queue, worker);
			a->keeps[queue] = true;
		}
	}
}

static void give_the_rest(struct assignment *a)
{
	const struct placement_input *input = a->input;

	for (unsigned queue = 0; queue < input->queue_cnt; queue++) {
		unsigned best = PLACEMENT_NONE;

		if (a->keeps[queue])
			continue;
		for (unsigned i = 0; i < input->worker_cnt; i++) {
			if (is_nearest(a, queue, i) &&
			    (best == PLACEMENT_NONE || a->load[i] < a->load[best]))
				best = i;
		}
		give(a, queue, best);
	}
}

/* Moves one queue along each link of the chain that ends at worker. */
static void move_along(struct assignment *a, unsigned start, unsigned worker)
{
	a->load[start]--;
	a->load[worker]++;
	for (; worker != start; worker = a->reached_from[worker])
		a->worker_of_queue[a->reached_by[worker]] = (uint16_t)worker;
}

/* What can be reached from one worker by moving one of its queues. True: an end was found. */
static bool reach_from(struct assignment *a, unsigned start, unsigned worker, unsigned *pending_cnt,
		       unsigned *end)
{
	const struct placement_input *input = a->input;

	for (unsigned queue = 0; queue < input->queue_cnt; queue++) {
		if (a->worker_of_queue[queue] != worker || a->keeps[queue])
			continue;
		for (unsigned to = 0; to < input->worker_cnt; to++) {
			if (a->reached_from[to] != PLACEMENT_NONE || !is_nearest(a, queue, to))
				continue;
			a->reached_from[to] = (uint16_t)worker;
			a->reached_by[to] = (uint16_t)queue;
			if (a->load[to] + 2 <= a->load[start]) {
				*end = to;
				return true;
			}
			a->pending[(*pending_cnt)++] = (uint16_t)to;
		}
	}
	return false;
}

static unsigned lightest_load(const struct assignment *a)
{
	unsigned lightest = a->load[0];

	for (unsigned i = 1; i < a->input->worker_cnt; i++) {
		if (a->load[i] < lightest)
			lightest = a->load[i];
	}
	return lightest;
}

/* Breadth first: the shortest chain of moves that takes one queue off start. */
static bool relieve(struct assignment *a, unsigned start)
{
	unsigned taken = 0, pending_cnt = 1, end;

	if (a->load[start] < lightest_load(a) + 2)
		return false;
	for (unsigned i = 0; i < a->input->worker_cnt; i++)
		a->reached_from[i] = PLACEMENT_NONE;
	a->reached_from[start] = (uint16_t)start;
	a->pending[0] = (uint16_t)start;
	while (taken < pending_cnt) {
		if (reach_from(a, start, a->pending[taken++], &pending_cnt, &end)) {
			move_along(a, start, end);
			return true;
		}
	}
	return false;
}

/* Each move lowers the sum of the squares of the loads, so this ends. */
static void even_out(struct assignment *a)
{
	bool again = true;

	while (again) {
		again = false;
		for (unsigned i = 0; i < a->input->worker_cnt; i++) {
			while (relieve(a, i))
				again = true;
		}
	}
}

int placement_assign(const struct placement_input *input, uint16_t *worker_of_queue)
{
	struct assignment *a;

	if (input->worker_cnt == 0 || input->worker_cnt > PLACEMENT_WORKERS_MAX ||
	    input->queue_cnt > PLACEMENT_QUEUES_MAX || input->home_cnt > VCPUS_MAX)
		return -EINVAL;
	if (input->mode != PLACEMENT_AUTO) {
		for (unsigned i = 0; i < input->queue_cnt; i++)
			worker_of_queue[i] = (uint16_t)((i + input->shift) % input->worker_cnt);
		return 0;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->input = input;
	for (unsigned i = 0; i < input->worker_cnt; i++)
		a->load[i] = input->workers[i].queue_cnt;
	keep_current(a);
	give_the_rest(a);
	even_out(a);
	memcpy(worker_of_queue, a->worker_of_queue, input->queue_cnt * sizeof(*worker_of_queue));
	free(a);
	return 0;
}

/* ---- conflicts ---- */

/* Index of the worker on cpu, or worker_cnt. */
static unsigned worker_on(const struct placement_worker *workers, unsigned worker_cnt, int cpu)
{
	unsigned i = 0;

	while (i < worker_cnt && workers[i].cpu != cpu)
		i++;
	return i;
}

static bool find_conflict(const struct topology *topology, const struct placement_worker *workers,
			  unsigned worker_cnt, const struct vcpu *vcpu,
			  struct placement_conflict *conflict)
{
	cpu_set_t set = vcpu->cpus;
	unsigned cpus = 0;

	if (!vcpu->known)
		return false;
	topology_clip(topology, &set);
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		unsigned worker;

		if (!CPU_ISSET(cpu, &set))
			continue;
		worker = worker_on(workers, worker_cnt, cpu);
		if (worker == worker_cnt)
			return false;
		if (cpus++ == 0) {
			conflict->worker = worker;
			conflict->cpu = cpu;
		}
	}
	conflict->tid = vcpu->tid;
	conflict->only_cpu = cpus == 1;
	return cpus > 0;
}

unsigned placement_find_conflicts(const struct topology *topology,
				  const struct placement_worker *workers, unsigned worker_cnt,
				  const struct vcpu *vcpus, unsigned vcpu_cnt,
				  struct placement_conflict *conflicts, unsigned max)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < vcpu_cnt; i++) {
		struct placement_conflict conflict = {.vcpu = i};

		if (!find_conflict(topology, workers, worker_cnt, &vcpus[i], &conflict))
			continue;
		if (cnt < max)
			conflicts[cnt] = conflict;
		cnt++;
	}
	return cnt;
}

void placement_describe_conflict(const struct placement_conflict *conflict, unsigned worker_idx,
				 char *buf, size_t size)
{
	char thread[32] = "";

	if (conflict->tid > 0)
		snprintf(thread, sizeof(thread), " (thread %d)", (int)conflict->tid);
	if (conflict->only_cpu)
		snprintf(buf, size,
			 "vCPU %u%s may only run on CPU %d, which is worker %u's: move the vCPU or "
			 "choose other workers",
			 conflict->vcpu, thread, conflict->cpu, worker_idx);
	else
		snprintf(buf, size,
			 "vCPU %u%s may only run on CPUs that have workers, the first CPU %d with "
			 "worker %u: give it one without, or choose other workers",
			 conflict->vcpu, thread, conflict->cpu, worker_idx);
}
