/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices in the placer's hands: settling, placing, moving; policy in placer.h.
 * Not finding vCPUs (placer_look.c) and not load (placer_balance.c).
 */
#include "control/placer_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/cpuset.h"

/* ---- the placer ---- */

int placer_new(const struct placer_options *options, struct placer **out, struct err *err)
{
	size_t bytes = sizeof(struct placer) + options->worker_cnt * sizeof(struct placer_worker);
	struct placer *placer = calloc(1, bytes);

	CHECK(options->worker_cnt && options->worker_cnt <= PLACEMENT_WORKERS_MAX);
	if (placer)
		placer->proc = strdup(options->proc ? options->proc : VCPUS_PROC);
	if (!placer || !placer->proc) {
		free(placer);
		return err_set(err, ENOMEM, "no memory to place the queues of %u workers",
			       options->worker_cnt);
	}
	placer->loop = options->loop;
	list_init(&placer->states);
	if (topology_read(options->sysfs, &placer->topology))
		log_warn(NULL, "no CPU is known from %s: all are taken to be equally near",
			 options->sysfs ? options->sysfs : TOPOLOGY_SYSFS);
	placer->worker_cnt = options->worker_cnt;
	for (unsigned i = 0; i < options->worker_cnt; i++) {
		CHECK(worker_idx(options->workers[i]) == i);
		placer->workers[i].worker = options->workers[i];
	}
	placer->round.expired = placer_round_expired;
	placer_set_round(placer, options->round_ns);
	*out = placer;
	return 0;
}

void placer_free(struct placer *placer)
{
	if (!placer)
		return;
	CHECK(list_empty(&placer->states));
	evloop_timer_cancel(placer->loop, &placer->round);
	free(placer->proc);
	free(placer);
}

/* ---- moves ---- */

void placer_count_queue(struct placed_state *state, unsigned queue, uint16_t idx)
{
	struct placer_worker *workers = state->placer->workers;
	uint16_t *at = &state->queues[queue].worker;

	if (*at != PLACEMENT_NONE)
		workers[*at].queue_cnt--;
	*at = idx;
	if (idx != PLACEMENT_NONE)
		workers[idx].queue_cnt++;
}

/* A move may have failed, or met a queue that had stopped. */
static void count_where_they_are(struct placed_state *state)
{
	for (unsigned i = 0; i < state->queue_cnt; i++) {
		struct worker *worker = device_queue_worker(state->placed->device, i);

		if (worker && state->queues[i].worker != PLACEMENT_NONE)
			placer_count_queue(state, i, (uint16_t)worker_idx(worker));
	}
}

/* What is told may set anew, or remove: state is not touched afterwards. */
static void tell_waiters(struct placed_state *state, int status)
{
	struct list_node told, *pos, *tmp;

	list_init(&told);
	list_for_each_safe(pos, tmp, &state->waiters) {
		list_remove(pos);
		list_push_back(&told, pos);
	}
	while (!list_empty(&told)) {
		struct placer_waiter *waiter = list_entry(told.next, struct placer_waiter, node);
		struct join *join = waiter->join;

		list_remove(&waiter->node);
		free(waiter);
		join_done(join, status);
	}
}

static void moves_finished(struct join *join)
{
	struct placed_state *state = container_of(join, struct placed_state, moves);

	state->moving = false;
	count_where_they_are(state);
	if (join->status)
		log_warn(state->placed->tag, "not all of its queues could be moved: %s",
			 strerror(-join->status));
	if (state->due) {
		placer_look_begin(state->placer);
		placer_place(state);
	} else {
		tell_waiters(state, join->status);
	}
}

void placer_moves_begin(struct placed_state *state)
{
	CHECK(!state->moving);
	state->moving = true;
	join_open(&state->moves, moves_finished);
}

void placer_moves_end(struct placed_state *state)
{
	join_done(&state->moves, 0);
}

/* ---- one placement ---- */

static void note_workers(struct placed_state *state, cpu_set_t *numbers, cpu_set_t *cpus)
{
	unsigned cnt;
	struct worker *const *workers = device_workers(state->placed->device, &cnt);

	CPU_ZERO(numbers);
	CPU_ZERO(cpus);
	for (unsigned i = 0; i < cnt; i++) {
		int cpu = worker_cpu(workers[i]);

		CPU_SET(worker_idx(workers[i]), numbers);
		if (cpu >= 0 && cpu < CPU_SETSIZE)
			CPU_SET(cpu, cpus);
	}
}

uint16_t placer_rank(struct placer_ranks *ranks, const struct device *device, unsigned idx)
{
	unsigned group = device_queue_group(device, idx);

	if (group == DEVICE_GROUP_ANY)
		return PLACEMENT_NONE;
	if (ranks->cnt == 0 || group != ranks->last)
		ranks->cnt++;
	ranks->last = group;
	return (uint16_t)(ranks->cnt - 1);
}

/* The queues that run, by number, the workers where they are, and their groups. */
static void list_running(struct placed_state *state)
{
	struct placer *placer = state->placer;
	struct placer_ranks ranks = {0};
	unsigned cnt = 0;

	for (unsigned i = 0; i < state->queue_cnt; i++) {
		struct placed_queue *queue = &state->queues[i];
		struct worker *worker = device_queue_worker(state->placed->device, i);
		const unsigned groups = ranks.cnt;

		if (!worker) {
			placer_count_queue(state, i, PLACEMENT_NONE);
			queue->by_load = false;
			continue;
		}
		placer->queue_idx[cnt] = (uint16_t)i;
		placer->current[cnt] = placer->slot_of_worker[worker_idx(worker)];
		queue->rank = placer_rank(&ranks, state->placed->device, i);
		if (ranks.cnt != groups)
			placer->group_current[groups] = placer->current[cnt];
		cnt++;
	}
	state->running_cnt = cnt;
	state->group_cnt = ranks.cnt;
}

static void assign_by_order(struct placed_state *state)
{
	struct placer *placer = state->placer;
	const struct device *device = state->placed->device;

	for (unsigned i = 0; i < state->running_cnt; i++) {
		unsigned place = device_queue_group(device, placer->queue_idx[i]);

		if (place == DEVICE_GROUP_ANY)
			place = placer->queue_idx[i];
		placer->target[i] = placer->group_target[place];
	}
}

static void assign_groups(struct placed_state *state)
{
	struct placer *placer = state->placer;

	for (unsigned i = 0; i < state->running_cnt; i++) {
		uint16_t rank = state->queues[placer->queue_idx[i]].rank;

		if (rank == PLACEMENT_NONE)
			rank = 0;
		if (state->group_cnt)
			placer->target[i] = placer->group_target[rank];
		else
			placer->target[i] =
				placer->current[i] == PLACEMENT_NONE ? 0 : placer->current[i];
	}
}

/* Fills target with an index into workers for each queue that runs. */
static int assign(struct placed_state *state, struct worker *const *workers, unsigned worker_cnt)
{
	struct placer *placer = state->placer;
	struct placement_input input = {
		.topology = &placer->topology,
		.mode = state->mode,
		.allow_siblings = state->allow_siblings,
		.shift = device_worker_shift(state->placed->device),
		.workers = placer->nearby,
		.worker_cnt = worker_cnt,
		.homes = state->homes,
		.home_cnt = state->home_cnt,
		.queue_cnt = state->group_cnt,
		.current = state->fresh ? NULL : placer->group_current,
	};
	int status;

	for (unsigned i = 0; i < worker_cnt; i++) {
		unsigned idx = worker_idx(workers[i]);

		placer->nearby[i] = (struct placement_worker){
			.cpu = worker_cpu(workers[i]),
			.queue_cnt = placer->workers[idx].queue_cnt,
		};
	}
	/* Its own queues are not load that is there already. */
	for (unsigned i = 0; i < state->queue_cnt; i++) {
		uint16_t idx = state->queues[i].worker;

		if (idx != PLACEMENT_NONE && placer->slot_of_worker[idx] != PLACEMENT_NONE)
			placer->nearby[placer->slot_of_worker[idx]].queue_cnt--;
	}
	/* As much as a group is one: others' load, in groups of this size. */
	for (unsigned i = 0; i < worker_cnt && state->group_cnt; i++)
		placer->nearby[i].queue_cnt =
			placer->nearby[i].queue_cnt * state->group_cnt / state->running_cnt;
	/* By order means by number, whichever queues run. */
	if (state->mode != PLACEMENT_AUTO)
		input.queue_cnt = state->queue_cnt;
	status = placement_assign(&input, placer->group_target);
	if (status)
		return status;
	if (state->mode == PLACEMENT_AUTO)
		assign_groups(state);
	else
		assign_by_order(state);
	return 0;
}

/* "0-1 on worker 0 (CPU 2); 2 on worker 1 (CPU 3)" */
static void describe_map(const struct placed_state *state, char *buf, size_t size)
{
	const struct placer *placer = state->placer;
	size_t used = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < placer->worker_cnt; i++) {
		char list[64], cpu[24] = "";
		cpu_set_t queues;
		int len;

		CPU_ZERO(&queues);
		for (unsigned j = 0; j < state->queue_cnt; j++) {
			if (state->queues[j].worker == i)
				CPU_SET(j, &queues);
		}
		if (CPU_COUNT(&queues) == 0)
			continue;
		cpuset_format(&queues, list, sizeof(list));
		if (worker_cpu(placer->workers[i].worker) >= 0)
			snprintf(cpu, sizeof(cpu), " (CPU %d)",
				 worker_cpu(placer->workers[i].worker));
		len = snprintf(buf + used, size - used, "%s%s on worker %u%s", used ? "; " : "",
			       list, i, cpu);
		if (len < 0 || (size_t)len >= size - used) {
			snprintf(buf + used, size - used, "; ...");
			return;
		}
		used += (size_t)len;
	}
}

static void log_placement(struct placed_state *state)
{
	char map[320], known[48] = "";
	unsigned suppressed;

	if (!log_limit_pass(&state->limit, clock_now_ns(), &suppressed))
		return;
	if (state->home_cnt)
		snprintf(known, sizeof(known), " (%u vCPUs)", state->home_cnt);
	if (suppressed)
		log_info(state->placed->tag, "%u more placements were not told", suppressed);
	describe_map(state, map, sizeof(map));
	log_info(state->placed->tag, "placement %s by %s%s: queues %s",
		 placement_mode_name(state->mode), vcpu_source_name(state->source), known, map);
}

/* Moves each queue to its target; returns whether any is now in another place than before. */
static bool carry_out(struct placed_state *state, struct worker *const *workers)
{
	struct placer *placer = state->placer;
	struct device *device = state->placed->device;
	bool changed = false;

	for (unsigned i = 0; i < state->running_cnt; i++) {
		unsigned idx = placer->queue_idx[i];
		struct placed_queue *queue = &state->queues[idx];
		uint16_t slot = placer->target[i], before = queue->worker;

		device_queue_set_home(device, idx, workers[slot]);
		if (queue->by_load && placer->current[i] != PLACEMENT_NONE)
			slot = placer->current[i];
		else
			queue->by_load = false;
		placer_count_queue(state, idx, (uint16_t)worker_idx(workers[slot]));
		changed |= queue->worker != before;
		if (slot != placer->current[i])
			device_queue_move(device, idx, workers[slot], &state->moves);
	}
	return changed;
}

static void forget_load_moves(struct placed_state *state)
{
	for (unsigned i = 0; i < state->queue_cnt; i++)
		state->queues[i].by_load = false;
}

static void place_running(struct placed_state *state, bool other_homes)
{
	struct placer *placer = state->placer;
	unsigned worker_cnt;
	struct worker *const *workers = device_workers(state->placed->device, &worker_cnt);
	int status;

	memset(placer->slot_of_worker, 0xff, sizeof(placer->slot_of_worker));
	for (unsigned i = 0; i < worker_cnt; i++)
		placer->slot_of_worker[worker_idx(workers[i])] = (uint16_t)i;
	list_running(state);
	if (state->fresh || other_homes)
		forget_load_moves(state);
	status = assign(state, workers, worker_cnt);
	if (status) {
		/* They stay where they are, and who waits hears of it. */
		join_add(&state->moves);
		join_done(&state->moves, status);
		return;
	}
	state->fresh = false;
	if ((carry_out(state, workers) || other_homes) && state->running_cnt)
		log_placement(state);
}

void placer_place(struct placed_state *state)
{
	bool other_homes;

	if (state->moving) {
		state->due = true;
		return;
	}
	state->due = false;
	evloop_timer_cancel(state->placer->loop, &state->settle);
	note_workers(state, &state->workers, &state->cpus);
	placer_moves_begin(state);
	other_homes = placer_look(state);
	if (placer_adopt(state))
		log_warn(state->placed->tag, "no memory for what is known of its vCPUs");
	placer_look_for_conflicts(state);
	place_running(state, other_homes);
	placer_moves_end(state);
}

/* ---- devices ---- */

static void settled(struct evloop_timer *timer)
{
	struct placed_state *state = container_of(timer, struct placed_state, settle);

	placer_look_begin(state->placer);
	placer_place(state);
}

static void queues_changed(void *arg)
{
	struct placed_state *state = arg;

	evloop_timer_set(state->placer->loop, &state->settle, clock_now_ns() + PLACER_SETTLE_NS);
}

/* A copy of the key if it is a right one; *copy is NULL for none. */
static int take_vcpus(struct placer *placer, const char *vcpus, char **copy, struct err *err)
{
	unsigned cnt;
	int status;

	*copy = NULL;
	if (!vcpus)
		return 0;
	placer_look_begin(placer);
	status = vcpus_parse(vcpus, placer->vcpus, VCPUS_MAX, &cnt, err);
	if (status) {
		err_prefix(err, "vcpus");
		return status;
	}
	*copy = strdup(vcpus);
	return *copy ? 0 : err_set(err, ENOMEM, "no memory for the list of vCPUs");
}

int placer_add(struct placer *placer, struct placed *placed, const struct placer_settings *settings,
	       struct err *err)
{
	unsigned queue_cnt = device_queue_max(placed->device);
	struct placed_state *state;
	char *vcpus;
	int status = take_vcpus(placer, settings->vcpus, &vcpus, err);

	CHECK(!placed->state && queue_cnt <= PLACEMENT_QUEUES_MAX);
	if (status)
		return status;
	state = calloc(1, sizeof(*state) + queue_cnt * sizeof(state->queues[0]));
	if (!state) {
		free(vcpus);
		return err_set(err, ENOMEM, "no memory to place %u queues", queue_cnt);
	}
	state->placer = placer;
	state->placed = placed;
	state->mode = settings->mode;
	state->allow_siblings = settings->allow_siblings;
	state->vcpus = vcpus;
	state->settle.expired = settled;
	list_init(&state->waiters);
	state->source = VCPU_SOURCE_ORDER;
	state->queue_cnt = queue_cnt;
	for (unsigned i = 0; i < queue_cnt; i++)
		state->queues[i].worker = PLACEMENT_NONE;
	placer_find_load_table(state);
	placed->state = state;
	list_push_back(&placer->states, &state->node);
	device_set_watcher(placed->device, queues_changed, state);
	/* What runs already, and the key's conflicts. */
	placer_look_begin(placer);
	placer_place(state);
	return 0;
}

void placer_remove(struct placer *placer, struct placed *placed)
{
	struct placed_state *state = placed->state;

	if (!state)
		return;
	CHECK(!state->moving);
	device_set_watcher(placed->device, NULL, NULL);
	evloop_timer_cancel(placer->loop, &state->settle);
	for (unsigned i = 0; i < state->queue_cnt; i++)
		placer_count_queue(state, i, PLACEMENT_NONE);
	list_remove(&state->node);
	free(state->homes);
	free(state->vcpus);
	free(state);
	placed->state = NULL;
}

int placer_set(struct placer *placer, struct placed *placed, const struct placer_settings *settings,
	       struct join *join, struct err *err)
{
	struct placed_state *state = placed->state;
	struct placer_waiter *waiter;
	cpu_set_t workers, cpus;
	char *vcpus;
	int status = take_vcpus(placer, settings->vcpus, &vcpus, err);

	if (status)
		return status;
	waiter = malloc(sizeof(*waiter));
	if (!waiter) {
		free(vcpus);
		return err_set(err, ENOMEM, "no memory to place its queues");
	}
	note_workers(state, &workers, &cpus);
	if (state->mode != settings->mode || !CPU_EQUAL(&workers, &state->workers)) {
		state->fresh = true;
		for (unsigned i = 0; i < state->queue_cnt; i++)
			device_queue_set_home(placed->device, i, NULL);
	}
	free(state->vcpus);
	state->vcpus = vcpus;
	state->mode = settings->mode;
	state->allow_siblings = settings->allow_siblings;
	waiter->join = join;
	list_push_back(&state->waiters, &waiter->node);
	join_add(join);
	placer_look_begin(placer);
	placer_place(state);
	return 0;
}
