/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which worker serves which queue: pure functions from topology, workers and virtual CPUs to an
 * assignment. Not the moving (device.h) and not what load changes later (rebalance.h).
 *
 * Theory of operation
 *
 * 1. Who drives a queue. A queue here is whatever one vCPU drives: of a disk a queue, of a port a
 *    pair (device_queue_group()). With as many queues as vCPUs, queue i is submitted by vCPU i.
 *    With fewer, Linux gives each queue a run of neighbouring vCPUs, the first ones longer by one
 *    (group_cpus_evenly(), which spreads the interrupt vectors that blk-mq maps by; virtio-net does
 *    the same). With more, the queues beyond the vCPUs have no driver in Linux; they count from
 *    vCPU 0 again.
 * 2. Where a vCPU is at home: what all CPUs have in common that it may run on (CPU, core, cache,
 *    node). One that may run on several nodes is taken to stay on the node where it ran last.
 * 3. Distance decides first: a queue goes to one of the workers that are nearest to its vCPUs by
 *    shared last-level cache, then NUMA node, then any. For several vCPUs the distances are added
 *    up. The vCPU's own hyperthread siblings come after every other worker (a poller there takes
 *    half the core away from the guest), unless siblings are allowed: then they are nearest of all.
 *    The vCPU's own only CPU is the very last choice.
 * 4. Among equally near workers queues are spread as evenly as can be: no chain of moves between
 *    equally near workers leads from a worker to one that has two queues fewer. So one worker has
 *    two queues more than another only where distance demands it; if it saturates, rebalance moves.
 *    Ties go to the worker with the fewest queues (other devices' count), then the lower index.
 * 5. Queues that have a worker already keep it while it is among the nearest; only the others are
 *    spread. Where nothing is known of the vCPUs all workers are equally near.
 */
#ifndef PARIO_WORKER_PLACEMENT_H
#define PARIO_WORKER_PLACEMENT_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/topology.h"
#include "worker/vcpus.h"

#define PLACEMENT_QUEUES_MAX 256
#define PLACEMENT_WORKERS_MAX TOPOLOGY_CPUS_MAX
/* No worker yet. */
#define PLACEMENT_NONE UINT16_MAX

enum placement_mode {
	PLACEMENT_AUTO,  /* as above */
	PLACEMENT_FIXED, /* queue i on worker (i + shift) % workers */
	PLACEMENT_OFF,   /* the same, and never rebalanced */
	PLACEMENT_MODE_MAX_,
};

/* "auto", "fixed", "off"; NULL beyond. */
const char *placement_mode_name(enum placement_mode mode);
/* 0 or -EINVAL. */
int placement_mode_parse(const char *name, enum placement_mode *mode);
/* May load move queues that were placed in this mode? */
bool placement_mode_rebalances(enum placement_mode mode);

/* What the CPUs of one virtual CPU have in common; TOPOLOGY_NONE: nothing, or it is not known. */
struct vcpu_home {
	int16_t cpu; /* its only CPU */
	int16_t core;
	int16_t llc;
	int16_t node;
};

/* homes has room for cnt. Small enough to keep; vcpus is not needed any more. */
void placement_find_homes(const struct topology *topology, const struct vcpu *vcpus, unsigned cnt,
			  struct vcpu_home *homes);

/* The vCPUs that drive a queue: cnt neighbours from first; cnt 0 when vcpu_cnt is 0. */
struct placement_drivers {
	unsigned first;
	unsigned cnt;
};

struct placement_drivers placement_drivers(unsigned queue_cnt, unsigned vcpu_cnt, unsigned queue);

/* In the order of choice, but that allowed siblings come first. */
enum placement_nearness {
	PLACEMENT_UNKNOWN, /* nothing is known of the vCPU */
	PLACEMENT_CACHE,   /* shared last-level cache */
	PLACEMENT_NODE,    /* same NUMA node */
	PLACEMENT_FAR,
	PLACEMENT_SIBLING, /* the other hyperthread of the vCPU's only core */
	PLACEMENT_OWN_CPU, /* the vCPU's only CPU */
	PLACEMENT_NEARNESS_MAX_,
};

/* "unknown", "cache", "node", "far", "sibling", "own-cpu"; NULL beyond. */
const char *placement_nearness_name(enum placement_nearness nearness);

/* Of a worker on cpu (-1 = not pinned) to the one among cnt homes that stands worst to it. */
enum placement_nearness placement_nearness(const struct topology *topology,
					   const struct vcpu_home *homes, unsigned cnt, int cpu);

struct placement_worker {
	int cpu;            /* -1 = not pinned */
	unsigned queue_cnt; /* queues that it serves for other devices */
};

struct placement_input {
	const struct topology *topology;
	enum placement_mode mode;
	bool allow_siblings;
	unsigned shift;                         /* fixed, off */
	const struct placement_worker *workers; /* those that the device may use */
	unsigned worker_cnt;
	const struct vcpu_home *homes;
	unsigned home_cnt; /* 0: queue order */
	unsigned queue_cnt;
	/* Per queue an index into workers or PLACEMENT_NONE; NULL: none has one. */
	const uint16_t *current;
};

/*
 * Fills worker_of_queue[0..queue_cnt) with indices into workers. Same input, same answer. -EINVAL
 * without workers or beyond the maxima above, -ENOMEM; nothing is written then.
 */
int placement_assign(const struct placement_input *input, uint16_t *worker_of_queue);

/* A vCPU that has no CPU without a worker on it. */
struct placement_conflict {
	unsigned vcpu;
	pid_t tid;       /* 0 if given by a person */
	unsigned worker; /* index of the first worker there, and its CPU */
	int cpu;
	bool only_cpu; /* false: the vCPU has several, with a worker on each */
};

/* Finds up to max of them; returns how many there are. */
unsigned placement_find_conflicts(const struct topology *topology,
				  const struct placement_worker *workers, unsigned worker_cnt,
				  const struct vcpu *vcpus, unsigned vcpu_cnt,
				  struct placement_conflict *conflicts, unsigned max);

/* One line without a newline, for the log; worker_idx is the daemon's number of that worker. */
void placement_describe_conflict(const struct placement_conflict *conflict, unsigned worker_idx,
				 char *buf, size_t size);

#endif
