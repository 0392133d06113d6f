/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps every device's queues on the workers where they belong: finds virtual CPUs, places, moves,
 * and shifts load. Not the decisions, which are pure (worker/placement.h, worker/rebalance.h), and
 * not the moving (device/device.h).
 *
 * Theory of operation
 *
 * 1. A queue starts where its device puts it, at once. When its device's queues have not changed
 *    for a moment, all that run are placed together: by the front end's threads (mode auto), else
 *    the `vcpus` key, else their order. Those that stand elsewhere are moved while they run, and
 *    start there from then on.
 * 2. Placed are groups of queues (device_queue_group()): both queues of a port's pair are where its
 *    vCPU is near. A queue of no group goes with the first that runs.
 * 3. One round of moves a device is under way at a time; what becomes due meanwhile follows.
 * 4. At each round's end the front ends' threads are looked at again, a few devices a round, for
 *    they may be pinned late. Only other homes place anew; a vCPU that merely ran on another node
 *    has to be found there twice.
 * 5. Then load is looked at (rebalance.h). It moves single queues, and what it moved stays there
 *    while its homes stay and its queue runs.
 *
 * Control thread only.
 */
#ifndef PARIO_CONTROL_PLACER_H
#define PARIO_CONTROL_PLACER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/evloop.h"
#include "device/device.h"
#include "worker/join.h"
#include "worker/placement.h"
#include "worker/rebalance.h"
#include "worker/vcpus.h"

struct placer;

struct placer_options {
	struct evloop *loop;
	/* All of the daemon's: workers[i] is worker i (worker_idx()). Borrowed. At least one, at
	 * most PLACEMENT_WORKERS_MAX. */
	struct worker *const *workers;
	unsigned worker_cnt;
	uint64_t round_ns; /* from one look at the load to the next; 0: never rebalance */
	const char *proc;  /* NULL: VCPUS_PROC */
	const char *sysfs; /* NULL: TOPOLOGY_SYSFS */
};

/* 0 or -ENOMEM with text. A machine whose topology cannot be read is taken to be flat, and said. */
int placer_new(const struct placer_options *options, struct placer **out, struct err *err);
/* Every device was removed. NULL is allowed. */
void placer_free(struct placer *placer);
/* Counts from now; 0: never rebalance, and what is known of the workers' load is forgotten. */
void placer_set_round(struct placer *placer, uint64_t round_ns);

/* Of one device; changed by placer_set(). */
struct placer_settings {
	enum placement_mode mode;
	bool allow_siblings;
	/* The `vcpus` key: host CPUs in the order of virtual ones; or NULL. Copied. */
	const char *vcpus;
};

/*
 * A device in the placer's hands, embedded in its user's object. The user sets the first group and
 * zeroes the rest.
 */
struct placed {
	struct device *device;
	pid_t (*front_pid)(void *arg); /* of the connected front end; 0 unknown */
	void *arg;
	const char *tag; /* for the log */

	/* placer.c */
	struct placed_state *state;
};

/* 0 or -ENOMEM / -EINVAL (vcpus) with text. From now on it is the device's watcher. */
int placer_add(struct placer *placer, struct placed *placed, const struct placer_settings *settings,
	       struct err *err);
/* No queue may run; moves that are under way have ended with them. Not added: no-op. */
void placer_remove(struct placer *placer, struct placed *placed);
/*
 * New settings, or new workers of the device (device_set_workers()): places all queues that run
 * and moves those that stand elsewhere; the join hears when they are there. 0, or -EINVAL /
 * -ENOMEM with text and nothing changed.
 */
int placer_set(struct placer *placer, struct placed *placed, const struct placer_settings *settings,
	       struct join *join, struct err *err);

/* What is known of the front end of a device. */
struct placed_view {
	enum placement_mode mode;
	enum vcpu_source source;
	unsigned vcpu_cnt;  /* 0: not known */
	unsigned conflicts; /* vCPUs that have no CPU without a worker (any device's) on it */
};

struct placed_queue_view {
	unsigned vcpu_first, vcpu_cnt;    /* that drive it; 0 of them: not known, or any may */
	enum placement_nearness nearness; /* of its worker to them */
};

void placer_view(const struct placed *placed, struct placed_view *view);
/* False when the queue does not run. */
bool placer_queue_view(const struct placed *placed, unsigned idx, struct placed_queue_view *view);
/* Time in turns that did work, of the last round; 0 before the first. */
unsigned placer_worker_busy_permille(const struct placer *placer, unsigned worker_idx);

#endif
