/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small histogram of times in ns, one for each queue: powers of two cut into four.
 * Not for measuring programs, which want finer buckets (histogram.h).
 *
 * The owner records, anybody reads: u64 counters like all others (stat.h). A value read back is at
 * most a quarter of itself off. Below LATENCY_MIN_NS all share the first bucket, from 2^37 ns (two
 * minutes) on the last.
 */
#ifndef PARIO_BASE_LATENCY_H
#define PARIO_BASE_LATENCY_H

#include <stdint.h>

#include "base/stat.h"

#define LATENCY_SUB_BITS 2
#define LATENCY_MIN_BITS 8
#define LATENCY_MAX_BITS 37
#define LATENCY_MIN_NS (1u << LATENCY_MIN_BITS)
#define LATENCY_BUCKET_CNT (1 + ((LATENCY_MAX_BITS - LATENCY_MIN_BITS) << LATENCY_SUB_BITS))

/* About 1 KiB, nothing but u64: stat_sum() adds them. */
struct latency {
	uint64_t cnt;
	uint64_t sum_ns;
	uint64_t bucket[LATENCY_BUCKET_CNT];
};

static inline unsigned latency_bucket_idx(uint64_t ns)
{
	unsigned octave;

	if (ns < LATENCY_MIN_NS)
		return 0;
	if (ns >> LATENCY_MAX_BITS)
		return LATENCY_BUCKET_CNT - 1;
	octave = 63u - (unsigned)__builtin_clzll(ns);
	/* The bits below the leading one choose the quarter. */
	return 1 + ((octave - LATENCY_MIN_BITS) << LATENCY_SUB_BITS) +
	       (unsigned)(ns >> (octave - LATENCY_SUB_BITS) & ((1u << LATENCY_SUB_BITS) - 1));
}

static inline void latency_record(struct latency *latency, uint64_t ns)
{
	stat_inc(&latency->bucket[latency_bucket_idx(ns)]);
	stat_inc(&latency->cnt);
	stat_add(&latency->sum_ns, ns);
}

/* First value beyond the bucket; UINT64_MAX for the last. */
uint64_t latency_bucket_end_ns(unsigned idx);

/*
 * The value below which ppm millionths of all lie, read from a copy or while others record: the
 * middle of its bucket; 0 when empty.
 */
uint64_t latency_quantile_ns(const struct latency *latency, uint32_t ppm);

#endif
