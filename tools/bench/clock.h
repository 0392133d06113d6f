/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock of the hot loop: CPU ticks where they are constant, CLOCK_MONOTONIC elsewhere.
 * It is not for time of day, and a tick has no unit until clock_init() has calibrated it.
 */
#ifndef PARIO_BENCH_CLOCK_H
#define PARIO_BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define NS_PER_S UINT64_C(1000000000)

struct bench_clock {
	uint64_t ns_per_tick_q32; /* nanoseconds of a tick, times 2^32 */
};

/* Takes about 5 ms on x86. */
void clock_init(struct bench_clock *c);

/* CPU time of all threads, ended ones and kernel workers of io_uring included; false: not known. */
bool clock_process_cpu_ns(pid_t pid, uint64_t *ns);

static inline uint64_t clock_monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* About 10 ns: read once for a burst, not for a request. */
static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return clock_monotonic_ns();
#endif
}

static inline uint64_t clock_ticks_to_ns(const struct bench_clock *c, uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * c->ns_per_tick_q32 >> 32);
}

static inline uint64_t clock_ns_to_ticks(const struct bench_clock *c, uint64_t ns)
{
	return (uint64_t)(((unsigned __int128)ns << 32) / c->ns_per_tick_q32);
}

#endif
