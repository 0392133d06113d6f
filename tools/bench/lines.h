/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that shares no cache line with other memory: what one thread writes slows no other.
 * Not for the device: what that reads is shm.h's.
 */
#ifndef PARIO_BENCH_LINES_H
#define PARIO_BENCH_LINES_H

#include <stdlib.h>
#include <string.h>

#define LINES_BYTES 128u /* two: they are fetched in pairs */

/* cnt objects of that size, zeroed, for free(); NULL: no memory. */
static inline void *lines_zalloc(size_t cnt, size_t size)
{
	size_t bytes = (cnt * size + LINES_BYTES - 1) & ~(size_t)(LINES_BYTES - 1);
	void *p = aligned_alloc(LINES_BYTES, bytes);

	if (p)
		memset(p, 0, bytes);
	return p;
}

#endif
