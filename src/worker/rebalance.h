/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which queues leave a saturated worker: a pure decision over one window's loads.
 * Not the first placement (placement.h), not measuring, not moving (device.h).
 *
 * Theory of operation
 *
 * The recipe is that of Open vSwitch's PMD auto load balance: only a worker that was over 95 % busy
 * for the window gives queues away, a dry run is made first, and the plan counts only if it lowers
 * the variance of the load by a quarter; never across NUMA nodes unless allowed.
 *
 * 1. Variance is taken over the workers that the plan touches (one giver and those that it gives
 *    to). Their sum does not change, so that any move that improves it also improves the variance
 *    of all; but a hundred other workers cannot hide that one of them drowns.
 * 2. A taker ends at most 90 % busy, so it does not become the next giver, and takes from one giver
 *    a round. A giver takes nothing.
 * 3. Then constant loads come to rest, even though a saturated worker's queues want more than was
 *    measured: its shares understate the demands by one factor of at least 1, a taker below the
 *    limit is measured rightly, so what lowers the measured squares lowers the real ones, and they
 *    are finitely many.
 * 4. After a round with moves the next ones hold off; each time moves are wanted again soon after,
 *    twice as long (up to 8 times). Loads that vary can thus not make queues flap.
 */
#ifndef PARIO_WORKER_REBALANCE_H
#define PARIO_WORKER_REBALANCE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/placement.h"

/* All the time of one worker in the window. Loads are thousandths of that. */
#define REBALANCE_FULL 1000
#define REBALANCE_MOVES_MAX 32

struct rebalance_policy {
	unsigned saturated_permille;  /* busier than that gives */
	unsigned room_permille;       /* no taker ends busier than that; below saturated_permille */
	unsigned improvement_percent; /* of the variance, at least */
	unsigned moves_max;           /* in a round, at most REBALANCE_MOVES_MAX */
	unsigned hold_off_rounds;     /* after a round with moves */
	bool cross_numa;
};

/* 950, 900, 25, 16, 6, no. With rounds of 10 s that is a minute of holding off. */
extern const struct rebalance_policy rebalance_policy_default;

struct rebalance_worker {
	int cpu;                /* -1 = not pinned */
	unsigned busy_permille; /* time in turns that did work; spinning is not busy */
};

struct rebalance_queue {
	uint16_t worker; /* index into workers */
	/* The worker's time that went into this queue; if only counts are known, its share of them.
	 */
	uint16_t load_permille;
	/* Runs, is not being changed, and placement_mode_rebalances(). */
	bool movable;
	bool allow_siblings;
	/* CPUs of the workers it may go to (the device's `workers` key); NULL = any. */
	const cpu_set_t *cpus;
	/* Of the vCPUs that drive it, see placement_drivers(). */
	const struct vcpu_home *homes;
	unsigned home_cnt;
};

struct rebalance_input {
	const struct topology *topology;
	const struct rebalance_policy *policy;
	const struct rebalance_worker *workers;
	unsigned worker_cnt; /* at most PLACEMENT_WORKERS_MAX */
	const struct rebalance_queue *queues;
	unsigned queue_cnt;
};

/* Kept by the caller from round to round; zeroed at first. */
struct rebalance_state {
	unsigned hold_off; /* rounds to sit out */
	unsigned doublings;
	unsigned quiet; /* rounds since without moves */
};

struct rebalance_move {
	unsigned queue;
	uint16_t from;
	uint16_t to;
};

/*
 * One round, at the end of each window. Fills moves[0..] (room for policy->moves_max) and returns
 * how many; a queue appears at most once. 0 also for input beyond the maxima.
 */
unsigned rebalance_round(const struct rebalance_input *input, struct rebalance_state *state,
			 struct rebalance_move *moves);

#endif
