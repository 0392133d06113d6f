/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory policy by system calls of its own: a library for two calls is not worth its dependency.
 */
#include "base/numa.h"

#include <linux/mempolicy.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's own bound is below; a mask that is too small for it is refused (EINVAL). */
#define NODES_MAX 1024u
#define WORD_BITS (8 * sizeof(unsigned long))

struct node_mask {
	unsigned long words[NODES_MAX / WORD_BITS];
};

/* May this process have memory of different nodes? */
static bool numa_has_choice(void)
{
	struct node_mask allowed = {{0}};
	unsigned cnt = 0;

	if (syscall(SYS_get_mempolicy, NULL, allowed.words, (unsigned long)NODES_MAX, NULL,
		    (unsigned long)MPOL_F_MEMS_ALLOWED) < 0)
		return false;
	for (unsigned i = 0; i < NODES_MAX / WORD_BITS; i++)
		cnt += (unsigned)__builtin_popcountl(allowed.words[i]);
	return cnt > 1;
}

void numa_prefer(void *start, size_t bytes, int node)
{
	const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t first = ((uintptr_t)start + page_bytes - 1) & ~(page_bytes - 1);
	const uintptr_t end = ((uintptr_t)start + bytes) & ~(page_bytes - 1);
	struct node_mask mask = {{0}};

	if (node < 0 || (unsigned)node >= NODES_MAX || first >= end || !numa_has_choice())
		return;
	mask.words[(unsigned)node / WORD_BITS] = 1ul << ((unsigned)node % WORD_BITS);
	/* maxnode counts one more than the bits that the kernel reads. */
	(void)syscall(SYS_mbind, first, end - first, (unsigned long)MPOL_PREFERRED, mask.words,
		      (unsigned long)NODES_MAX + 1, (unsigned long)MPOL_MF_MOVE);
}
