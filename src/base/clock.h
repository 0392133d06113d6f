/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Monotonic time in nanoseconds. Not wall-clock time, which only the log uses.
 */
#ifndef PARIO_BASE_CLOCK_H
#define PARIO_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS (1000ull * 1000)
#define NS_PER_S (1000ull * 1000 * 1000)

/* Any thread; vDSO, no syscall. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
