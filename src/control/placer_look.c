/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the placer knows of front ends: their vCPUs, whom these stand in the way of, and the views.
 * Not what follows from it: placer.c.
 */
#include "control/placer_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void placer_look_begin(struct placer *placer)
{
	placer->looked_pid = 0;
}

static unsigned look_at_threads(struct placed_state *state)
{
	struct placer *placer = state->placer;
	pid_t pid = 0;

	if (state->mode == PLACEMENT_AUTO && state->placed->front_pid)
		pid = state->placed->front_pid(state->placed->arg);
	if (pid <= 0)
		return 0;
	if (pid != placer->looked_pid) {
		placer->vcpu_cnt = vcpus_discover(placer->proc, pid, placer->vcpus, VCPUS_MAX);
		placer->looked_pid = pid;
	}
	return placer->vcpu_cnt;
}

static unsigned look_at_key(struct placed_state *state)
{
	struct placer *placer = state->placer;
	unsigned cnt;

	if (!state->vcpus)
		return 0;
	placer->looked_pid = 0;
	/* It was a right one when it was taken. */
	if (vcpus_parse(state->vcpus, placer->vcpus, VCPUS_MAX, &cnt, NULL))
		return 0;
	return cnt;
}

bool placer_look(struct placed_state *state)
{
	struct placer *placer = state->placer;
	unsigned cnt = look_at_threads(state);

	placer->source = VCPU_SOURCE_THREADS;
	if (!cnt) {
		cnt = look_at_key(state);
		placer->source = cnt ? VCPU_SOURCE_VCPUS : VCPU_SOURCE_ORDER;
	}
	placer->vcpu_cnt = cnt;
	placement_find_homes(&placer->topology, placer->vcpus, cnt, placer->homes);
	return placer->source != state->source || cnt != state->home_cnt ||
	       (cnt && memcmp(placer->homes, state->homes, cnt * sizeof(*state->homes)) != 0);
}

/* FNV-1a; a collision costs a placement too early. */
static uint64_t fingerprint(const struct vcpu_home *homes, unsigned cnt)
{
	const unsigned char *bytes = (const unsigned char *)homes;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < cnt * sizeof(*homes); i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash ? hash : 1;
}

bool placer_look_is_drift(const struct placed_state *state)
{
	const struct placer *placer = state->placer;

	if (placer->source != state->source || placer->vcpu_cnt != state->home_cnt)
		return false;
	for (unsigned i = 0; i < state->home_cnt; i++) {
		const struct vcpu_home *now = &placer->homes[i], *before = &state->homes[i];

		if (now->cpu != before->cpu || now->core != before->core || now->llc != before->llc)
			return false;
	}
	return true;
}

int placer_adopt(struct placed_state *state)
{
	struct placer *placer = state->placer;
	size_t bytes = placer->vcpu_cnt * sizeof(*state->homes);

	if (placer->vcpu_cnt != state->home_cnt) {
		free(state->homes);
		state->homes = placer->vcpu_cnt ? malloc(bytes) : NULL;
		state->home_cnt = state->homes ? placer->vcpu_cnt : 0;
	}
	state->drift = 0;
	if (state->home_cnt != placer->vcpu_cnt) {
		state->source = VCPU_SOURCE_ORDER;
		return -ENOMEM;
	}
	state->source = placer->source;
	if (state->homes)
		memcpy(state->homes, placer->homes, bytes);
	return 0;
}

static bool is_same_conflict(const struct placement_conflict *a, const struct placement_conflict *b)
{
	return a->vcpu == b->vcpu && a->tid == b->tid && a->worker == b->worker &&
	       a->cpu == b->cpu && a->only_cpu == b->only_cpu;
}

static void warn_of_conflicts(struct placed_state *state, unsigned kept)
{
	unsigned suppressed;
	char text[256];

	if (!log_limit_pass(&state->conflict_limit, clock_now_ns(), &suppressed))
		return;
	for (unsigned i = 0; i < kept; i++) {
		placement_describe_conflict(&state->conflicts[i], state->conflicts[i].worker, text,
					    sizeof(text));
		log_warn(state->placed->tag, "%s", text);
	}
	if (state->conflict_cnt > kept)
		log_warn(state->placed->tag, "%u more vCPUs are in workers' way",
			 state->conflict_cnt - kept);
}

void placer_look_for_conflicts(struct placed_state *state)
{
	struct placer *placer = state->placer;
	struct placement_conflict found[PLACER_CONFLICTS_MAX];
	unsigned cnt, kept;
	bool same;

	/* A vCPU is in the way of any worker, whichever device that serves. */
	for (unsigned i = 0; i < placer->worker_cnt; i++)
		placer->nearby[i].cpu = worker_cpu(placer->workers[i].worker);
	cnt = placement_find_conflicts(&placer->topology, placer->nearby, placer->worker_cnt,
				       placer->vcpus, placer->vcpu_cnt, found,
				       PLACER_CONFLICTS_MAX);
	kept = cnt < PLACER_CONFLICTS_MAX ? cnt : PLACER_CONFLICTS_MAX;
	same = cnt == state->conflict_cnt;
	for (unsigned i = 0; i < kept && same; i++)
		same = is_same_conflict(&found[i], &state->conflicts[i]);
	if (same)
		return;
	memcpy(state->conflicts, found, kept * sizeof(found[0]));
	state->conflict_cnt = cnt;
	warn_of_conflicts(state, kept);
}

/* Devices come in turn, so that a host with a thousand front ends is not read all at once. */
void placer_look_again(struct placer *placer)
{
	unsigned looks = 0;
	struct list_node *pos, *tmp, *last = placer->states.prev;

	placer_look_begin(placer);
	list_for_each_safe(pos, tmp, &placer->states) {
		struct placed_state *state = list_entry(pos, struct placed_state, node);
		bool is_last = pos == last;
		uint64_t seen;

		if (state->mode == PLACEMENT_AUTO && state->running_cnt && !state->moving) {
			list_remove(pos);
			list_push_back(&placer->states, pos);
			looks++;
			if (!placer_look(state)) {
				state->drift = 0;
				placer_look_for_conflicts(state);
			} else {
				seen = fingerprint(placer->homes, placer->vcpu_cnt);
				if (!placer_look_is_drift(state) || seen == state->drift)
					placer_place(state);
				else
					state->drift = seen;
			}
		}
		if (is_last || looks == PLACER_LOOKS_MAX)
			break;
	}
}

/* ---- views ---- */

void placer_view(const struct placed *placed, struct placed_view *view)
{
	const struct placed_state *state = placed->state;

	*view = (struct placed_view){.source = VCPU_SOURCE_ORDER};
	if (!state)
		return;
	view->mode = state->mode;
	view->source = state->source;
	view->vcpu_cnt = state->home_cnt;
	view->conflicts = state->conflict_cnt;
}

bool placer_queue_view(const struct placed *placed, unsigned idx, struct placed_queue_view *view)
{
	const struct placed_state *state = placed->state;
	struct placement_drivers drivers;
	struct placer_ranks ranks = {0};
	uint16_t rank = PLACEMENT_NONE;
	struct worker *worker;

	*view = (struct placed_queue_view){.nearness = PLACEMENT_UNKNOWN};
	worker = state ? device_queue_worker(placed->device, idx) : NULL;
	if (!worker)
		return false;
	for (unsigned i = 0; i < state->queue_cnt; i++) {
		uint16_t at;

		if (!device_queue_worker(placed->device, i))
			continue;
		at = placer_rank(&ranks, placed->device, i);
		if (i == idx)
			rank = at;
	}
	if (rank == PLACEMENT_NONE)
		return true;
	drivers = placement_drivers(ranks.cnt, state->home_cnt, rank);
	view->vcpu_first = drivers.first;
	view->vcpu_cnt = drivers.cnt;
	if (drivers.cnt)
		view->nearness = placement_nearness(&state->placer->topology,
						    state->homes + drivers.first, drivers.cnt,
						    worker_cpu(worker));
	return true;
}
