/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated port: whatever happens next, in order of time. Not a test.
 */
#include "port_sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 4096u
#define PAIRS_MAX 64u
#define NEVER UINT64_MAX
/* Latencies by quarters of octaves. */
#define LATENCY_CNT 256

struct sim {
	const struct sim_options *options;
	struct sim_result *result;
	uint64_t now_ns, end_ns, from_ns;
	uint32_t random, guest_random; /* what comes is the same whatever the guest does */
	struct coalesce_port_state *state;

	/* what comes */
	uint64_t next_ns;
	uint32_t train_left;
	uint64_t train_gap_ns;
	uint64_t pair_ns[PAIRS_MAX];

	/* the ring */
	uint64_t came_ns[QUEUE_MAX];
	uint32_t first, cnt; /* used and not read */
	uint32_t read_cnt;   /* read and not posted again */
	uint32_t unsignalled;
	uint64_t new_cnt;

	/* the guest */
	bool awake;
	uint64_t guest_ns; /* when it does something next */
	uint64_t sent;

	uint64_t latency[LATENCY_CNT];
	uint64_t latency_cnt, latency_sum;
};

static double chance(uint32_t *random)
{
	*random = *random * 1664525u + 1013904223u;
	return ((*random >> 8) + 0.5) / (1 << 24);
}

static bool counts(const struct sim *sim)
{
	return sim->now_ns >= sim->from_ns;
}

static uint32_t free_cnt(const struct sim *sim)
{
	return sim->options->size - sim->cnt - sim->read_cnt;
}

/* ---- what comes ---- */

static uint64_t rate_now(const struct sim *sim)
{
	const struct sim_options *o = sim->options;

	return o->jump_ns && sim->now_ns - SIM_START_NS >= o->jump_ns ? o->jump_rate : o->rate;
}

static uint64_t next_gap(struct sim *sim)
{
	const double mean_ns = (double)SIM_S / (double)rate_now(sim);

	switch (sim->options->arrivals) {
	case SIM_POISSON:
		return (uint64_t)(-log(chance(&sim->random)) * mean_ns) + 1;
	case SIM_BURSTY:
		if (sim->train_left > 0) {
			sim->train_left--;
			return mean_ns < 1000 ? (uint64_t)mean_ns : 1000;
		}
		sim->train_left = (uint32_t)(chance(&sim->random) * 40);
		return (uint64_t)(mean_ns * (sim->train_left + 1) * 2 * chance(&sim->random)) + 1;
	case SIM_BATCHES:
		return (uint64_t)(mean_ns * sim->options->batch);
	default:
		return (uint64_t)mean_ns;
	}
}

static void call_guest(struct sim *sim)
{
	const struct sim_options *o = sim->options;
	const bool wanted = (!sim->awake && sim->cnt > 0) || o->rearms;

	sim->unsignalled = 0;
	coalesce_port_called(sim->state, wanted);
	if (!wanted)
		return;
	if (counts(sim))
		sim->result->calls++;
	if (sim->awake)
		return;
	sim->awake = true;
	sim->guest_ns = sim->now_ns + o->wake_ns;
	if (o->wake_more_ns)
		sim->guest_ns += (uint64_t)(chance(&sim->guest_random) * (double)o->wake_more_ns);
}

static void note_hold(struct sim *sim)
{
	const struct sim_options *o = sim->options;
	const uint64_t after_ns = sim->now_ns - SIM_START_NS;
	const uint64_t change_ns = o->pairs ? o->pairs_until_ns : o->jump_ns;

	if (!sim->result->held_first_ns && after_ns >= change_ns)
		sim->result->held_first_ns = after_ns;
}

/* A burst has ended, or (new_cnt is 0) the owner looks. */
static void decide(struct sim *sim)
{
	const struct sim_options *o = sim->options;
	const bool was_held = sim->state->due_ns != 0;
	enum coalesce_verdict verdict;
	uint64_t limit_ns;
	unsigned asks;

	if (o->config.mode == COALESCE_OFF) {
		sim->new_cnt = 0;
		call_guest(sim);
		return;
	}
	asks = coalesce_port_asks(&o->config, sim->state, sim->now_ns);
	verdict = coalesce_decide_port(&o->config, sim->state,
				       &(struct coalesce_port_input){
					       .now_ns = sim->now_ns,
					       .new_cnt = sim->new_cnt,
					       .new_bytes = sim->new_cnt * 60,
					       .used_cnt = sim->unsignalled,
					       .size = o->size,
					       .asks = asks,
					       .free_cnt = free_cnt(sim),
					       .sent_cnt = o->unseen ? 0 : sim->sent,
					       .sent_known = true,
					       .receive = true,
				       });
	sim->new_cnt = 0;
	if (counts(sim))
		sim->result->verdicts[verdict]++;
	if (verdict == COALESCE_HOLD) {
		note_hold(sim);
		return;
	}
	limit_ns = sim->state->first_ns + o->config.usecs * SIM_US;
	if (was_held && sim->now_ns > limit_ns && sim->now_ns - limit_ns > sim->result->over_ns)
		sim->result->over_ns = sim->now_ns - limit_ns;
	call_guest(sim);
}

static void frames_come(struct sim *sim, uint32_t cnt)
{
	for (uint32_t i = 0; i < cnt; i++) {
		if (counts(sim))
			sim->result->frames++;
		if (free_cnt(sim) == 0) {
			if (counts(sim))
				sim->result->drops++;
			continue;
		}
		sim->came_ns[(sim->first + sim->cnt++) % QUEUE_MAX] = sim->now_ns;
		sim->unsignalled++;
		sim->new_cnt++;
	}
	if (sim->unsignalled)
		decide(sim);
}

static uint64_t next_pair_ns(const struct sim *sim)
{
	uint64_t ns = NEVER;

	for (unsigned i = 0; i < sim->options->pairs; i++) {
		if (sim->pair_ns[i] < ns)
			ns = sim->pair_ns[i];
	}
	return ns;
}

static void pairs_come(struct sim *sim)
{
	uint32_t cnt = 0;

	for (unsigned i = 0; i < sim->options->pairs; i++) {
		if (sim->pair_ns[i] > sim->now_ns)
			continue;
		sim->pair_ns[i] = NEVER;
		cnt++;
	}
	frames_come(sim, cnt);
}

/* ---- the guest ---- */

static void record(struct sim *sim, uint64_t ns)
{
	const unsigned octave = ns ? 63u - (unsigned)__builtin_clzll(ns) : 0;
	const unsigned idx = octave * 4 + (octave > 1 ? (unsigned)(ns >> (octave - 2) & 3) : 0);

	sim->latency[idx]++;
	sim->latency_cnt++;
	sim->latency_sum += ns;
}

static void answer(struct sim *sim)
{
	const struct sim_options *o = sim->options;

	sim->sent++;
	if (counts(sim))
		sim->result->answers++;
	if (o->pairs_until_ns && sim->now_ns - SIM_START_NS >= o->pairs_until_ns)
		return;
	for (unsigned i = 0; i < o->pairs; i++) {
		if (sim->pair_ns[i] != NEVER)
			continue;
		sim->pair_ns[i] = sim->now_ns + o->turn_ns;
		return;
	}
}

static bool answers_now(const struct sim *sim)
{
	const struct sim_options *o = sim->options;

	return o->pairs && (!o->pairs_until_ns || sim->now_ns - SIM_START_NS < o->pairs_until_ns);
}

/* Reads the next frame, or finds none and sleeps. */
static void guest_acts(struct sim *sim)
{
	const struct sim_options *o = sim->options;

	if (sim->cnt == 0) {
		sim->awake = false;
		sim->guest_ns = NEVER;
		return;
	}
	if (counts(sim))
		record(sim, sim->now_ns - sim->came_ns[sim->first]);
	sim->first = (sim->first + 1) % QUEUE_MAX;
	sim->cnt--;
	sim->read_cnt++;
	if (o->at_once || free_cnt(sim) < o->size / 2)
		sim->read_cnt = 0;
	if (answers_now(sim))
		answer(sim);
	sim->guest_ns = sim->now_ns + o->service_ns;
}

/* It may sleep with frames unread: those were not called for. */
static void sleep_check(struct sim *sim)
{
	/* The driver looks again after it has armed, as drivers do. */
	if (!sim->awake && sim->cnt > sim->unsignalled)
		abort();
}

static uint64_t look_ns(const struct sim *sim)
{
	if (sim->state->due_ns == 0)
		return NEVER;
	if (sim->state->due_ns + sim->options->look_ns < sim->now_ns)
		return sim->now_ns;
	return sim->state->due_ns + sim->options->look_ns;
}

static void finish(struct sim *sim)
{
	struct sim_result *result = sim->result;
	uint64_t left = sim->latency_cnt / 100;

	for (unsigned i = LATENCY_CNT; i-- > 0;) {
		if (sim->latency[i] > left) {
			result->p99_ns = i < 8 ? 1u << i / 4 : (4ull + i % 4) << (i / 4 - 2);
			break;
		}
		left -= sim->latency[i];
	}
	if (sim->latency_cnt)
		result->mean_ns = sim->latency_sum / sim->latency_cnt;
}

void sim_run(const struct sim_options *options, struct sim_result *result)
{
	static struct sim sim;
	uint64_t look_at_ns = NEVER;

	memset(&sim, 0, sizeof(sim));
	memset(result, 0, sizeof(*result));
	sim.options = options;
	sim.result = result;
	sim.state = &result->state;
	sim.random = options->seed * 2654435761u + 1;
	sim.guest_random = sim.random + 1;
	sim.now_ns = SIM_START_NS;
	sim.from_ns = SIM_START_NS + options->from_ns;
	sim.end_ns = SIM_START_NS + options->run_ns;
	sim.guest_ns = NEVER;
	sim.next_ns = options->rate ? SIM_START_NS + options->pairs_until_ns + 1000 : NEVER;
	for (unsigned i = 0; i < options->pairs; i++)
		sim.pair_ns[i] = SIM_START_NS + 1000 + i * 777 % 10000;
	while (sim.now_ns < sim.end_ns) {
		const uint64_t pair_ns = next_pair_ns(&sim);
		uint64_t next_ns = sim.next_ns;

		if (pair_ns < next_ns)
			next_ns = pair_ns;
		if (sim.guest_ns < next_ns)
			next_ns = sim.guest_ns;
		if (look_at_ns < next_ns)
			next_ns = look_at_ns;
		sim.now_ns = next_ns;
		if (next_ns >= sim.end_ns)
			break;
		if (next_ns == look_at_ns) {
			if (sim.unsignalled && sim.state->due_ns)
				decide(&sim);
		} else if (next_ns == sim.guest_ns) {
			guest_acts(&sim);
		} else if (next_ns == sim.next_ns) {
			sim.next_ns += next_gap(&sim);
			frames_come(&sim, options->arrivals == SIM_BATCHES ? options->batch : 1);
		} else {
			pairs_come(&sim);
		}
		sleep_check(&sim);
		look_at_ns = look_ns(&sim);
	}
	finish(&sim);
}
