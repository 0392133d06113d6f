/* SPDX-License-Identifier: Apache-2.0 */
/*
 * On which NUMA node memory is to be. Not which CPU is on which: worker/topology.h.
 */
#ifndef PARIO_BASE_NUMA_H
#define PARIO_BASE_NUMA_H

#include <stddef.h>

/*
 * A wish: the whole pages within start..start+bytes, those that are there already and those to
 * come, are to be on node (-1: nothing is wished). Pages that lie in the range only in part may
 * hold somebody else's memory, and are left. Where there is one node, or the kernel or a filter of
 * system calls refuses, nothing happens and all works as well, only slower. Pages that are there
 * are copied: not for each request. Any thread.
 */
void numa_prefer(void *start, size_t bytes, int node);

#endif
