/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which CPUs share a core, a last-level cache and a NUMA node, as sysfs tells it.
 * Not which of them serves what: that is placement.h.
 *
 * Values only: once read, nothing here refers to a file. Control thread.
 */
#ifndef PARIO_WORKER_TOPOLOGY_H
#define PARIO_WORKER_TOPOLOGY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

/* CPUs with higher numbers are not seen: cpu_set_t cannot hold them either. */
#define TOPOLOGY_CPUS_MAX CPU_SETSIZE
#define TOPOLOGY_SYSFS "/sys/devices/system"

/* What is not known; never equal to what is. */
#define TOPOLOGY_NONE (-1)

struct topology_cpu {
	bool online;
	/* The lowest online CPU of the core: equal for hyperthread siblings. Itself if unknown. */
	int16_t core;
	/* The lowest online CPU that shares the last-level cache, or NONE. */
	int16_t llc;
	/* NUMA node. 0 for all where the kernel knows no nodes, NONE for a CPU that is in none. */
	int16_t node;
};

/* 8 KiB: not for the stack. */
struct topology {
	unsigned online_cnt;
	struct topology_cpu cpus[TOPOLOGY_CPUS_MAX];
};

/* No files: nothing online, each CPU its own core, no cache known, one node. */
void topology_init_flat(struct topology *topology);

/*
 * Reads ROOT/cpu and ROOT/node (root NULL: TOPOLOGY_SYSFS). Files that are missing or make no sense
 * leave what topology_init_flat said of that CPU. Nothing online at all: -ENOENT and the flat one,
 * which is fit for use.
 */
int topology_read(const char *root, struct topology *topology);

/* NONE for any number that is no CPU, such as -1 for a worker that is not pinned. */
int topology_core(const struct topology *topology, int cpu);
int topology_llc(const struct topology *topology, int cpu);
int topology_node(const struct topology *topology, int cpu);

/* Different threads of one core. */
bool topology_siblings(const struct topology *topology, int cpu, int other);

/* Takes CPUs that are not online out of the set; a flat topology leaves the set as it is. */
void topology_clip(const struct topology *topology, cpu_set_t *set);

#endif
