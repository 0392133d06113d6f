/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cheap generator of pseudo-random numbers for the hot loop (splitmix64).
 * Not for anything that must not be guessed.
 */
#ifndef PARIO_BENCH_RANDOM_H
#define PARIO_BENCH_RANDOM_H

#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t random_next(struct random *r)
{
	r->state += UINT64_C(0x9e3779b97f4a7c15);
	return random_mix(r->state);
}

/* Below `limit`, which is not 0; the bias is below limit / 2^64. */
static inline uint64_t random_below(struct random *r, uint64_t limit)
{
	return (uint64_t)((unsigned __int128)random_next(r) * limit >> 64);
}

#endif
