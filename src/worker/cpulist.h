/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU lists as the kernel writes them in sysfs and /proc ("0-3,8").
 * Not lists that people write: those are refused with text (base/cpuset.h), these are clipped.
 */
#ifndef PARIO_WORKER_CPULIST_H
#define PARIO_WORKER_CPULIST_H

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Reads one list up to the end of the line. CPUs that a cpu_set_t cannot hold are left out. False
 * and an empty set when it is no list or an empty one. Reads a bounded number of parts.
 */
bool cpulist_read(FILE *file, cpu_set_t *set);

#endif
