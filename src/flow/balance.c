/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buckets are moved from the fullest queue while that pays.
 * Not an exact solver, and not a prediction of load: it takes what it is given for what comes.
 *
 * Theory of operation
 *
 * 1. No assignment is better than the floor: the largest bucket, or an equal part of all, whichever
 *    is more. Within 1/32 above the floor, or above what a step could still win, the search ends.
 * 2. A step takes from the fullest queue: one bucket to the emptiest queue or, where no single one
 *    helps, one bucket for a smaller one of any queue. It is taken only if both queues end below
 *    what the fullest had. The sum of squares falls with each step, so steps end.
 * 3. Where steps end high above the floor, an assignment from nothing is made too: of the largest
 *    buckets, which decide how good it can be, by branch and bound within a budget, of the others
 *    largest first, each to the emptiest queue; then the same steps. Its queues are named such that
 *    most load stays where it is, and it is taken if it is within 1/32 of the floor or better by
 *    more than 1/64.
 * 4. Less than a tenth of gain is no plan. What is not moved is then at most 1/0.9 of the plan's
 *    highest load; that is how 1/32 keeps within 15 % in all.
 */
#include "flow/balance.h"

#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/compiler.h"
#include "flow/steering.h"

#define NOTHING 0xffffu
/* Loads are shifted right until they are below it, so that sums and tenfolds fit in 64 bits. */
#define LOAD_LIMIT (1ull << 50)
#define STEP_CNT_MAX 4096u
#define DEAL_DEPTH 20u
/* Queues looked at: a millisecond or two. */
#define DEAL_BUDGET 250000u

struct plan {
	const uint64_t *load;
	const uint16_t *table;
	unsigned bucket_cnt, queue_cnt;
	unsigned shift;
	uint64_t floor;
	unsigned moved_cnt; /* buckets that are elsewhere than in table */
	unsigned moved_max;
	unsigned order_cnt;
	uint64_t queue_load[STEERING_QUEUES_MAX];
	uint16_t queue[STEERING_TABLE_MAX]; /* of each bucket */
	uint16_t order[STEERING_TABLE_MAX]; /* buckets as they were moved first */
};

struct step {
	uint16_t bucket, in_return; /* NOTHING: there is no such step, or nothing in return */
	uint16_t to;
	uint64_t highest; /* of the two queues, afterwards */
};

static uint64_t load_of(const struct plan *plan, unsigned bucket)
{
	return plan->load[bucket] >> plan->shift;
}

static unsigned fullest(const struct plan *plan)
{
	unsigned q = 0;

	for (unsigned i = 1; i < plan->queue_cnt; i++)
		if (plan->queue_load[i] > plan->queue_load[q])
			q = i;
	return q;
}

static unsigned emptiest(const struct plan *plan)
{
	unsigned q = 0;

	for (unsigned i = 1; i < plan->queue_cnt; i++)
		if (plan->queue_load[i] < plan->queue_load[q])
			q = i;
	return q;
}

static void plan_init(struct plan *plan, const uint64_t *load, const uint16_t *table,
		      unsigned bucket_cnt, unsigned queue_cnt)
{
	uint64_t largest = 0, total = 0;

	memset(plan, 0, sizeof(*plan));
	plan->load = load;
	plan->table = table;
	plan->bucket_cnt = bucket_cnt;
	plan->queue_cnt = queue_cnt;
	plan->moved_max = bucket_cnt;
	for (unsigned i = 0; i < bucket_cnt; i++)
		if (load[i] > largest)
			largest = load[i];
	while (largest >> plan->shift >= LOAD_LIMIT)
		plan->shift++;
	for (unsigned i = 0; i < bucket_cnt; i++) {
		CHECK(table[i] < queue_cnt);
		total += load_of(plan, i);
		plan->queue[i] = table[i];
		plan->queue_load[table[i]] += load_of(plan, i);
	}
	plan->floor = (total + queue_cnt - 1) / queue_cnt;
	if (plan->floor < largest >> plan->shift)
		plan->floor = largest >> plan->shift;
}

static uint64_t good_enough(const struct plan *plan)
{
	return plan->floor + plan->floor / 32;
}

static bool is_good_enough(const struct plan *plan)
{
	return plan->queue_load[fullest(plan)] <= good_enough(plan);
}

/* The step if x leaves `from` for `to` and y, which may be NOTHING, comes back. */
static void consider(const struct plan *plan, unsigned from, unsigned to, unsigned x, unsigned y,
		     struct step *best)
{
	uint64_t back = y == NOTHING ? 0 : load_of(plan, y);
	uint64_t there = load_of(plan, x), left, come;

	if (there <= back)
		return;
	left = plan->queue_load[from] - there + back;
	come = plan->queue_load[to] + there - back;
	if (come < left)
		come = left;
	if (come < best->highest) {
		*best = (struct step){
			.bucket = (uint16_t)x,
			.in_return = (uint16_t)y,
			.to = (uint16_t)to,
			.highest = come,
		};
	}
}

static struct step find_step(const struct plan *plan)
{
	unsigned from = fullest(plan), to = emptiest(plan);
	struct step best = {.bucket = NOTHING, .highest = plan->queue_load[from]};

	for (unsigned x = 0; x < plan->bucket_cnt; x++)
		if (plan->queue[x] == from)
			consider(plan, from, to, x, NOTHING, &best);
	if (best.bucket != NOTHING)
		return best;
	for (unsigned x = 0; x < plan->bucket_cnt; x++) {
		if (plan->queue[x] != from || load_of(plan, x) == 0)
			continue;
		for (unsigned y = 0; y < plan->bucket_cnt; y++)
			if (plan->queue[y] != from)
				consider(plan, from, plan->queue[y], x, y, &best);
	}
	return best;
}

static void move_bucket(struct plan *plan, unsigned bucket, unsigned to)
{
	unsigned from = plan->queue[bucket], at = 0;

	plan->moved_cnt -= from != plan->table[bucket];
	plan->moved_cnt += to != plan->table[bucket];
	plan->queue_load[from] -= load_of(plan, bucket);
	plan->queue_load[to] += load_of(plan, bucket);
	plan->queue[bucket] = (uint16_t)to;
	while (at < plan->order_cnt && plan->order[at] != bucket)
		at++;
	if (at == plan->order_cnt)
		plan->order[plan->order_cnt++] = (uint16_t)bucket;
}

static void search(struct plan *plan)
{
	for (unsigned i = 0; i < STEP_CNT_MAX && !is_good_enough(plan); i++) {
		unsigned from = fullest(plan);
		struct step step = find_step(plan);

		/* As if neither bucket were moved yet, which is at most one step too careful. */
		if (step.bucket == NOTHING ||
		    plan->moved_cnt + 1 + (step.in_return != NOTHING) > plan->moved_max)
			return;
		move_bucket(plan, step.bucket, step.to);
		if (step.in_return != NOTHING)
			move_bucket(plan, step.in_return, from);
	}
}

/* An assignment of queues without names: buckets in the order of their load, in two parts. */
struct deal {
	struct plan *plan;
	unsigned depth;   /* so many largest buckets are tried on several queues */
	unsigned budget;  /* placements that may still be made */
	uint64_t highest; /* of the best assignment so far, which is in queue */
	uint16_t sorted[STEERING_TABLE_MAX];
	uint16_t queue[STEERING_TABLE_MAX];
};

static void deal_sort(struct deal *deal)
{
	const struct plan *plan = deal->plan;

	for (unsigned i = 0; i < plan->bucket_cnt; i++) {
		unsigned at = i;

		for (; at && load_of(plan, deal->sorted[at - 1]) < load_of(plan, i); at--)
			deal->sorted[at] = deal->sorted[at - 1];
		deal->sorted[at] = (uint16_t)i;
	}
}

/* The smaller buckets, each to the emptiest queue; the whole is kept if it is the best so far. */
static NOINLINE void deal_rest(struct deal *deal)
{
	struct plan *plan = deal->plan;
	uint64_t kept[STEERING_QUEUES_MAX], highest;

	memcpy(kept, plan->queue_load, sizeof(kept));
	for (unsigned at = deal->depth; at < plan->bucket_cnt; at++) {
		unsigned to = emptiest(plan);

		plan->queue[deal->sorted[at]] = (uint16_t)to;
		plan->queue_load[to] += load_of(plan, deal->sorted[at]);
	}
	highest = plan->queue_load[fullest(plan)];
	if (highest < deal->highest) {
		deal->highest = highest;
		memcpy(deal->queue, plan->queue, sizeof(deal->queue));
	}
	memcpy(plan->queue_load, kept, sizeof(kept));
}

/* The emptiest queue that is fuller than `above` (NULL: of all); queue_cnt if there is none. */
static unsigned next_fuller(const struct plan *plan, const uint64_t *above)
{
	unsigned best = plan->queue_cnt;

	for (unsigned q = 0; q < plan->queue_cnt; q++) {
		if (above && plan->queue_load[q] <= *above)
			continue;
		if (best == plan->queue_cnt || plan->queue_load[q] < plan->queue_load[best])
			best = q;
	}
	return best;
}

/*
 * Tries the large bucket `at` on queues from the emptiest on, one of those that are equally full,
 * and all after it; at most DEAL_DEPTH deep. The first assignment costs no more than a pass.
 */
static void deal_large(struct deal *deal, unsigned at)
{
	struct plan *plan = deal->plan;
	const uint64_t *above = NULL;
	uint64_t tried;

	if (at == deal->depth) {
		unsigned rest = plan->bucket_cnt - deal->depth;

		deal_rest(deal);
		deal->budget -= rest < deal->budget ? rest : deal->budget;
		return;
	}
	while (deal->budget && deal->highest > good_enough(plan)) {
		unsigned q = next_fuller(plan, above), bucket = deal->sorted[at];

		if (q == plan->queue_cnt ||
		    plan->queue_load[q] + load_of(plan, bucket) >= deal->highest)
			return;
		tried = plan->queue_load[q];
		above = &tried;
		deal->budget--;
		plan->queue[bucket] = (uint16_t)q;
		plan->queue_load[q] += load_of(plan, bucket);
		deal_large(deal, at + 1);
		plan->queue_load[q] = tried;
	}
}

static NOINLINE void deal_out(struct plan *plan)
{
	struct deal deal = {
		.plan = plan,
		.depth = plan->bucket_cnt < DEAL_DEPTH ? plan->bucket_cnt : DEAL_DEPTH,
		.budget = DEAL_BUDGET / plan->queue_cnt,
		.highest = UINT64_MAX,
	};

	deal_sort(&deal);
	memset(plan->queue_load, 0, sizeof(plan->queue_load));
	deal_large(&deal, 0);
	for (unsigned i = 0; i < plan->bucket_cnt; i++) {
		plan->queue[i] = deal.queue[i];
		plan->queue_load[deal.queue[i]] += load_of(plan, i);
	}
}

/* The queue that is not taken and has most of group's load in the table. */
static unsigned find_name(const struct plan *plan, unsigned group, uint64_t taken)
{
	uint64_t shared[STEERING_QUEUES_MAX] = {0};
	unsigned best = NOTHING;

	for (unsigned i = 0; i < plan->bucket_cnt; i++)
		if (plan->queue[i] == group)
			shared[plan->table[i]] += load_of(plan, i);
	for (unsigned q = 0; q < plan->queue_cnt; q++)
		if (!(taken >> q & 1) && (best == NOTHING || shared[q] > shared[best]))
			best = q;
	return best;
}

/* Gives the dealt-out queues such names that most load stays where it is. */
static NOINLINE void name_queues(struct plan *plan)
{
	uint64_t loads[STEERING_QUEUES_MAX], taken = 0;
	uint16_t names[STEERING_QUEUES_MAX] = {0};

	memcpy(loads, plan->queue_load, sizeof(loads));
	for (unsigned group = 0; group < plan->queue_cnt; group++) {
		unsigned name = find_name(plan, group, taken);

		names[group] = (uint16_t)name;
		taken |= 1ull << name;
		plan->queue_load[name] = loads[group];
	}
	for (unsigned i = 0; i < plan->bucket_cnt; i++)
		plan->queue[i] = names[plan->queue[i]];
}

/* Puts an assignment from nothing in the place of plan, if it is clearly better. */
static NOINLINE void try_afresh(struct plan *plan)
{
	uint64_t highest = plan->queue_load[fullest(plan)];
	struct plan afresh = *plan;

	deal_out(&afresh);
	name_queues(&afresh);
	afresh.moved_cnt = 0;
	afresh.order_cnt = 0;
	for (unsigned i = 0; i < plan->bucket_cnt; i++) {
		if (afresh.queue[i] == plan->table[i])
			continue;
		afresh.moved_cnt++;
		afresh.order[afresh.order_cnt++] = (uint16_t)i;
	}
	search(&afresh);
	if (is_good_enough(&afresh) || afresh.queue_load[fullest(&afresh)] < highest - highest / 64)
		*plan = afresh;
}

static unsigned write_moves(const struct plan *plan, struct balance_move *moves, unsigned moves_max)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < plan->order_cnt && cnt < moves_max; i++) {
		unsigned bucket = plan->order[i];

		if (plan->queue[bucket] == plan->table[bucket])
			continue;
		moves[cnt++] = (struct balance_move){
			.bucket = (uint16_t)bucket,
			.from = plan->table[bucket],
			.to = plan->queue[bucket],
		};
	}
	return cnt;
}

unsigned balance_plan(const uint64_t *load, const uint16_t *table, unsigned bucket_cnt,
		      unsigned queue_cnt, struct balance_move *moves, unsigned moves_max)
{
	uint64_t before, after;
	struct plan plan;

	CHECK(bucket_cnt <= STEERING_TABLE_MAX);
	CHECK(queue_cnt >= 1 && queue_cnt <= STEERING_QUEUES_MAX);
	plan_init(&plan, load, table, bucket_cnt, queue_cnt);
	before = plan.queue_load[fullest(&plan)];
	search(&plan);
	if (!is_good_enough(&plan))
		try_afresh(&plan);
	after = plan.queue_load[fullest(&plan)];
	if (after * 10 > before * 9 || before == 0)
		return 0;
	/* Part of a plan need not be an improvement: what fits is looked for on its own. */
	if (plan.moved_cnt > moves_max) {
		plan_init(&plan, load, table, bucket_cnt, queue_cnt);
		plan.moved_max = moves_max;
		search(&plan);
	}
	return write_moves(&plan, moves, moves_max);
}
