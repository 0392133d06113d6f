/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision to move queues away from saturated workers; policy in rebalance.h.
 * Not the first placement.
 */
#include "worker/rebalance.h"

#include "base/compiler.h"

/* A move that brings less than this part of what the giver's first one brings is not worth it. */
#define GAIN_PART_MIN 10
#define DOUBLINGS_MAX 3

const struct rebalance_policy rebalance_policy_default = {
	.saturated_permille = 950,
	.room_permille = 900,
	.improvement_percent = 25,
	.moves_max = 16,
	.hold_off_rounds = 6,
	.cross_numa = false,
};

enum role {
	ROLE_FREE,
	ROLE_TAKER, /* of the giver that is being planned for */
	ROLE_DONE,  /* gave, could not give, or took from an earlier giver */
};

struct plan {
	const struct rebalance_input *input;
	struct rebalance_move *moves;
	unsigned move_cnt;
	/* As the dry run leaves it. */
	uint16_t busy[PLACEMENT_WORKERS_MAX];
	uint8_t role[PLACEMENT_WORKERS_MAX];
};

struct candidate {
	struct rebalance_move move;
	unsigned load;
	uint64_t gain; /* of the sum of squares; 0 = none */
	enum placement_nearness nearness;
};

static unsigned load_of(const struct plan *plan, unsigned queue)
{
	unsigned load = plan->input->queues[queue].load_permille;

	return load < REBALANCE_FULL ? load : REBALANCE_FULL;
}

static bool is_moved(const struct plan *plan, unsigned queue)
{
	for (unsigned i = 0; i < plan->move_cnt; i++) {
		if (plan->moves[i].queue == queue)
			return true;
	}
	return false;
}

static bool may_take(const struct plan *plan, unsigned giver, unsigned taker)
{
	const struct rebalance_input *input = plan->input;

	if (taker == giver || plan->role[taker] == ROLE_DONE)
		return false;
	return input->policy->cross_numa ||
	       topology_node(input->topology, input->workers[taker].cpu) ==
		       topology_node(input->topology, input->workers[giver].cpu);
}

static bool may_go(const struct rebalance_queue *queue, int cpu, enum placement_nearness nearness)
{
	if (queue->cpus && (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, queue->cpus)))
		return false;
	return nearness != PLACEMENT_OWN_CPU &&
	       (nearness != PLACEMENT_SIBLING || queue->allow_siblings);
}

/* Takes the move into best if it is allowed and gains more, or as much and ends nearer. */
static void consider(const struct plan *plan, unsigned queue_idx, unsigned giver, unsigned taker,
		     struct candidate *best)
{
	const struct rebalance_input *input = plan->input;
	const struct rebalance_queue *queue = &input->queues[queue_idx];
	int cpu = input->workers[taker].cpu;
	unsigned load = load_of(plan, queue_idx);
	unsigned from = plan->busy[giver], to = plan->busy[taker];
	enum placement_nearness nearness;
	uint64_t gain;

	if (load == 0 || to + load > input->policy->room_permille || load > from ||
	    to + load >= from)
		return;
	/* from^2 + to^2 - (from - load)^2 - (to + load)^2 */
	gain = UINT64_C(2) * load * (from - to - load);
	if (gain < best->gain)
		return;
	nearness = placement_nearness(input->topology, queue->homes, queue->home_cnt, cpu);
	if (!may_go(queue, cpu, nearness) || (gain == best->gain && nearness >= best->nearness))
		return;
	*best = (struct candidate){
		.move = {.queue = queue_idx, .from = (uint16_t)giver, .to = (uint16_t)taker},
		.load = load,
		.gain = gain,
		.nearness = nearness,
	};
}

static struct candidate best_move(const struct plan *plan, unsigned giver)
{
	const struct rebalance_input *input = plan->input;
	struct candidate best = {.nearness = PLACEMENT_NEARNESS_MAX_};

	for (unsigned taker = 0; taker < input->worker_cnt; taker++) {
		if (!may_take(plan, giver, taker))
			continue;
		for (unsigned i = 0; i < input->queue_cnt; i++) {
			const struct rebalance_queue *queue = &input->queues[i];

			if (queue->worker == giver && queue->movable && !is_moved(plan, i))
				consider(plan, i, giver, taker, &best);
		}
	}
	return best;
}

static unsigned busy_before(const struct plan *plan, unsigned worker)
{
	unsigned busy = plan->input->workers[worker].busy_permille;

	return busy < REBALANCE_FULL ? busy : REBALANCE_FULL;
}

/* Does the dry run lower the variance over the giver and its takers by what is asked? */
static bool is_worth_it(const struct plan *plan, unsigned giver)
{
	uint64_t cnt = 0, sum = 0, squares_before = 0, squares_after = 0;
	uint64_t before, after;

	for (unsigned i = 0; i < plan->input->worker_cnt; i++) {
		uint64_t old = busy_before(plan, i), now = plan->busy[i];

		if (i != giver && plan->role[i] != ROLE_TAKER)
			continue;
		cnt++;
		sum += old;
		squares_before += old * old;
		squares_after += now * now;
	}
	/* Variance times cnt^2; the sum stays the same. */
	before = cnt * squares_before - sum * sum;
	after = cnt * squares_after - sum * sum;
	return after * 100 + before * plan->input->policy->improvement_percent <= before * 100;
}

static void apply(struct plan *plan, const struct candidate *step)
{
	plan->busy[step->move.from] = (uint16_t)(plan->busy[step->move.from] - step->load);
	plan->busy[step->move.to] = (uint16_t)(plan->busy[step->move.to] + step->load);
	plan->role[step->move.to] = ROLE_TAKER;
	plan->moves[plan->move_cnt++] = step->move;
}

static void undo_beyond(struct plan *plan, unsigned move_cnt)
{
	while (plan->move_cnt > move_cnt) {
		const struct rebalance_move *move = &plan->moves[--plan->move_cnt];
		unsigned load = load_of(plan, move->queue);

		plan->busy[move->from] = (uint16_t)(plan->busy[move->from] + load);
		plan->busy[move->to] = (uint16_t)(plan->busy[move->to] - load);
	}
}

/* Adds the longest run of best moves whose end is worth it. */
static void plan_giver(struct plan *plan, unsigned giver, unsigned moves_max)
{
	unsigned good = plan->move_cnt;
	uint64_t first_gain = 0;

	while (plan->move_cnt < moves_max) {
		struct candidate step = best_move(plan, giver);

		if (step.gain == 0 || step.gain * GAIN_PART_MIN < first_gain)
			break;
		if (first_gain == 0)
			first_gain = step.gain;
		apply(plan, &step);
		if (is_worth_it(plan, giver))
			good = plan->move_cnt;
	}
	undo_beyond(plan, good);
	for (unsigned i = 0; i < plan->input->worker_cnt; i++) {
		if (plan->role[i] == ROLE_TAKER)
			plan->role[i] = plan->busy[i] != busy_before(plan, i) ? ROLE_DONE
									      : ROLE_FREE;
	}
	plan->role[giver] = ROLE_DONE;
}

/* The busiest saturated worker that was not planned for yet, or worker_cnt. */
static unsigned next_giver(const struct plan *plan)
{
	const struct rebalance_input *input = plan->input;
	unsigned best = input->worker_cnt;

	for (unsigned i = 0; i < input->worker_cnt; i++) {
		if (plan->role[i] == ROLE_FREE &&
		    plan->busy[i] > input->policy->saturated_permille &&
		    (best == input->worker_cnt || plan->busy[i] > plan->busy[best]))
			best = i;
	}
	return best;
}

static unsigned make_plan(const struct rebalance_input *input, struct rebalance_move *moves)
{
	unsigned moves_max = input->policy->moves_max, giver;
	struct plan plan = {.input = input, .moves = moves};

	if (moves_max > REBALANCE_MOVES_MAX)
		moves_max = REBALANCE_MOVES_MAX;
	for (unsigned i = 0; i < input->worker_cnt; i++)
		plan.busy[i] = (uint16_t)busy_before(&plan, i);
	for (giver = next_giver(&plan); giver < input->worker_cnt && plan.move_cnt < moves_max;
	     giver = next_giver(&plan))
		plan_giver(&plan, giver, moves_max);
	return plan.move_cnt;
}

unsigned rebalance_round(const struct rebalance_input *input, struct rebalance_state *state,
			 struct rebalance_move *moves)
{
	unsigned cnt;

	if (input->worker_cnt > PLACEMENT_WORKERS_MAX)
		return 0;
	if (state->hold_off > 0) {
		state->hold_off--;
		return 0;
	}
	cnt = make_plan(input, moves);
	if (cnt > 0) {
		state->hold_off = input->policy->hold_off_rounds << state->doublings;
		if (state->doublings < DOUBLINGS_MAX)
			state->doublings++;
		state->quiet = 0;
	} else if (state->doublings > 0 && ++state->quiet > input->policy->hold_off_rounds
								    << state->doublings) {
		state->doublings = 0;
		state->quiet = 0;
	}
	return cnt;
}
