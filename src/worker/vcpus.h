/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a front end's virtual CPUs run: found in /proc by thread names, or given by a person.
 * Not what follows from it: that is placement.h.
 *
 * Thread names that are known: QEMU with `-name debug-threads=on` "CPU n/KVM" and "CPU n/TCG" (and
 * "ALL CPUs/TCG", one thread for all), cloud-hypervisor "vcpuN", crosvm "crosvm_vcpuN", Firecracker
 * "fc_vcpu N". All that is read was chosen by the front end (names, affinities) and serves as a
 * hint: at worst its own queues stand badly. Control thread.
 */
#ifndef PARIO_WORKER_VCPUS_H
#define PARIO_WORKER_VCPUS_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define VCPUS_MAX 1024
/* Threads of a front end that are looked at. */
#define VCPUS_TASKS_MAX 4096
#define VCPUS_PROC "/proc"

/* How it is known, best first. */
enum vcpu_source {
	VCPU_SOURCE_THREADS, /* discovery */
	VCPU_SOURCE_VCPUS,   /* the `vcpus` key */
	VCPU_SOURCE_ORDER,   /* not at all: queues are placed by their number */
	VCPU_SOURCE_MAX_,
};

/* "threads", "vcpus", "order"; NULL beyond. */
const char *vcpu_source_name(enum vcpu_source source);

struct vcpu {
	bool known;     /* false: a hole in the numbering, nothing below counts */
	pid_t tid;      /* 0 from the `vcpus` key */
	int last_cpu;   /* ran there last, -1 unknown */
	cpu_set_t cpus; /* may run there; empty = unknown. May name CPUs that are not online */
};

/*
 * Fills vcpus[0..] with the virtual CPUs that the process's threads show, and returns how many
 * (highest number + 1, holes included, at most max): 0 when none was recognised, the process is
 * gone, hidden, or pid is none (SO_PEERCRED gives 0 for a peer outside our namespace). Never fails;
 * of two threads with one name the lower tid counts. proc NULL: VCPUS_PROC.
 */
unsigned vcpus_discover(const char *proc, pid_t pid, struct vcpu *vcpus, unsigned max);

/*
 * The `vcpus` key: host CPUs in the order of the virtual ones, so "4-7" puts vCPU 0 on 4 and "0,32"
 * puts vCPU 1 on 32. Fills vcpus[0..] (at most max) and *cnt; -EINVAL with text as cpuset_parse().
 */
int vcpus_parse(const char *text, struct vcpu *vcpus, unsigned max, unsigned *cnt, struct err *err);

#endif
