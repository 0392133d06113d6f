/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a histogram of times. Not recording, which is inline (latency.h).
 */
#include "base/latency.h"

/* Where bucket idx begins. */
static uint64_t bucket_start_ns(unsigned idx)
{
	unsigned octave;
	unsigned quarter;

	if (idx == 0)
		return 0;
	octave = LATENCY_MIN_BITS + ((idx - 1) >> LATENCY_SUB_BITS);
	quarter = (idx - 1) & ((1u << LATENCY_SUB_BITS) - 1);
	return (1ull << octave) + ((uint64_t)quarter << (octave - LATENCY_SUB_BITS));
}

uint64_t latency_bucket_end_ns(unsigned idx)
{
	return idx + 1 < LATENCY_BUCKET_CNT ? bucket_start_ns(idx + 1) : UINT64_MAX;
}

uint64_t latency_quantile_ns(const struct latency *latency, uint32_t ppm)
{
	uint64_t total = 0;
	uint64_t below = 0;
	uint64_t rank;
	unsigned idx;

	/* Not cnt, which may be ahead of the buckets by what is being recorded. */
	for (idx = 0; idx < LATENCY_BUCKET_CNT; idx++)
		total += stat_read(&latency->bucket[idx]);
	if (total == 0)
		return 0;
	if (ppm > 1000000)
		ppm = 1000000;
	rank = (uint64_t)(((__uint128_t)total * ppm + 999999) / 1000000);
	if (rank == 0)
		rank = 1;
	for (idx = 0; idx + 1 < LATENCY_BUCKET_CNT; idx++) {
		below += stat_read(&latency->bucket[idx]);
		if (below >= rank)
			break;
	}
	if (idx + 1 == LATENCY_BUCKET_CNT)
		return bucket_start_ns(idx);
	return (bucket_start_ns(idx) + latency_bucket_end_ns(idx)) / 2;
}
