/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the placer's files share: its state, and that of one device in its hands.
 * Not for others: placer.h.
 */
#ifndef PARIO_CONTROL_PLACER_PRIV_H
#define PARIO_CONTROL_PLACER_PRIV_H

#include "control/placer.h"

#include "base/list.h"
#include "base/log.h"
#include "worker/topology.h"

/* A front end starts its queues one after the other; they are placed when all are there. */
#define PLACER_SETTLE_NS (50 * NS_PER_MS)
/* Devices whose front end's threads are looked at again in one round. */
#define PLACER_LOOKS_MAX 16
/* Conflicts of one device that are kept, and said one by one. */
#define PLACER_CONFLICTS_MAX 4

struct placer_worker {
	struct worker *worker;
	unsigned queue_cnt; /* of all devices, as they were placed */
	uint64_t busy_seen_ns;
	uint64_t load_ns; /* of its queues in the round */
	unsigned busy_permille;
};

/* Somebody who asked for a placement. */
struct placer_waiter {
	struct list_node node;
	struct join *join;
};

struct placed_queue {
	uint16_t worker; /* where it was put, and is counted; PLACEMENT_NONE: did not run */
	uint16_t rank;   /* of its group among those that run; PLACEMENT_NONE: of none */
	bool by_load;    /* a round put it there */
	uint64_t load_seen_ns;
	uint64_t load_ns; /* of the round */
};

struct placed_state {
	struct placer *placer;
	struct placed *placed;
	struct list_node node;
	enum placement_mode mode;
	bool allow_siblings;
	char *vcpus; /* the key, or NULL */

	struct evloop_timer settle;
	struct join moves;
	bool moving; /* moves is open */
	bool due;    /* place again when the moves have finished */
	bool fresh;  /* what was asked for is new: no queue insists on where it stands */
	bool opened; /* by the round that is being carried out */
	struct list_node waiters;

	/* As of the last placement. */
	enum vcpu_source source;
	struct vcpu_home *homes;
	unsigned home_cnt;
	uint64_t drift; /* fingerprint of homes that were seen once, 0 none */
	struct placement_conflict conflicts[PLACER_CONFLICTS_MAX];
	unsigned conflict_cnt;
	unsigned running_cnt;
	unsigned group_cnt; /* with a queue that runs */
	cpu_set_t workers;  /* their numbers */
	cpu_set_t cpus;     /* theirs */

	struct log_limit limit;
	struct log_limit conflict_limit;
	unsigned load_table;             /* the device's table with its queues' load */
	const struct stat_row *load_row; /* NULL: it has none */
	unsigned queue_cnt;
	struct placed_queue queues[]; /* queue_cnt */
};

struct placer {
	struct evloop *loop;
	char *proc;
	struct topology topology;
	struct list_node states;

	/* placer_balance.c */
	uint64_t round_ns;
	uint64_t round_begin_ns;
	struct evloop_timer round;
	struct rebalance_state rebalance;
	struct rebalance_worker balance[PLACEMENT_WORKERS_MAX];

	/* What was found at the last look: see placer_look(). */
	struct vcpu vcpus[VCPUS_MAX];
	struct vcpu_home homes[VCPUS_MAX];
	unsigned vcpu_cnt;
	enum vcpu_source source;
	pid_t looked_pid; /* whose threads vcpus holds, 0 nobody's */

	/* Room for one placement. */
	struct placement_worker nearby[PLACEMENT_WORKERS_MAX];
	uint16_t slot_of_worker[PLACEMENT_WORKERS_MAX];
	uint16_t queue_idx[PLACEMENT_QUEUES_MAX];
	uint16_t current[PLACEMENT_QUEUES_MAX];       /* of each queue that runs */
	uint16_t target[PLACEMENT_QUEUES_MAX];        /* the same */
	uint16_t group_current[PLACEMENT_QUEUES_MAX]; /* of each group: its first queue's */
	uint16_t group_target[PLACEMENT_QUEUES_MAX];

	unsigned worker_cnt;
	struct placer_worker workers[]; /* worker_cnt */
};

/* placer.c */

/* Places what runs; when moves are under way, after them. */
void placer_place(struct placed_state *state);
/* A batch of moves: device_queue_move() with &state->moves between the two. */
void placer_moves_begin(struct placed_state *state);
void placer_moves_end(struct placed_state *state);
/* Counts a queue as served by worker number idx, or by none. */
void placer_count_queue(struct placed_state *state, unsigned queue, uint16_t idx);

/*
 * The ranks of groups among those that run, for queues that run in their order: of queue idx, or
 * PLACEMENT_NONE. All zero before the first.
 */
struct placer_ranks {
	unsigned cnt; /* groups so far */
	unsigned last;
};
uint16_t placer_rank(struct placer_ranks *ranks, const struct device *device, unsigned idx);

/* placer_look.c */

/* Before a series of looks in one go, in which each process's threads are read once. */
void placer_look_begin(struct placer *placer);
/* Finds the vCPUs of a device's front end, to be adopted. True: their homes are others. */
bool placer_look(struct placed_state *state);
/* ...but only by the node on which a vCPU ran last. */
bool placer_look_is_drift(const struct placed_state *state);
/* Makes what was found the device's. -ENOMEM: nothing is known of its vCPUs then. */
int placer_adopt(struct placed_state *state);
/* A few more devices' vCPUs, and what follows from them. */
void placer_look_again(struct placer *placer);
/* Warns of vCPUs that are in workers' way, if others than before were found. */
void placer_look_for_conflicts(struct placed_state *state);

/* placer_balance.c */

void placer_find_load_table(struct placed_state *state);
void placer_round_expired(struct evloop_timer *timer);

#endif
