/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram of unsigned values (in practice: nanoseconds).
 * It is not thread safe and it keeps no samples: one writer owns it, readers merge copies.
 *
 * Every octave [2^k, 2^(k+1)) is cut into HISTOGRAM_SUB_CNT buckets of equal width, so a value read
 * back differs from the value recorded by less than 1/HISTOGRAM_SUB_CNT of it (1.6 %). Values below
 * HISTOGRAM_SUB_CNT have a bucket each and are exact. Values of 2^HISTOGRAM_VALUE_BITS and above
 * (18 minutes, in nanoseconds) share the last bucket; minimum, maximum, sum and count stay exact.
 */
#ifndef PARIO_BASE_HISTOGRAM_H
#define PARIO_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_SUB_CNT (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_VALUE_BITS 40
#define HISTOGRAM_BUCKET_CNT ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1u) * HISTOGRAM_SUB_CNT)

/* About 18 KiB: put it in long-lived state, never on the stack of a worker. */
struct histogram {
	uint64_t cnt;
	uint64_t sum; /* stops at UINT64_MAX */
	uint64_t min; /* UINT64_MAX while empty */
	uint64_t max;
	uint64_t bucket[HISTOGRAM_BUCKET_CNT];
};

void histogram_init(struct histogram *h);

/* Adds the samples of src to dst. */
void histogram_merge(struct histogram *dst, const struct histogram *src);

/* 0 when empty. */
double histogram_mean(const struct histogram *h);

/*
 * The smallest recorded value v such that at least ppm millionths of all samples are <= v, to the
 * resolution above (the middle of the bucket, never outside [min, max]). 500000 is the median,
 * 1000000 the maximum. ppm above 1000000 counts as 1000000. 0 when empty.
 */
uint64_t histogram_quantile_ppm(const struct histogram *h, uint32_t ppm);

static inline uint32_t histogram_bucket_idx(uint64_t value)
{
	unsigned int octave;

	if (value < HISTOGRAM_SUB_CNT)
		return (uint32_t)value;
	if (value >> HISTOGRAM_VALUE_BITS)
		return HISTOGRAM_BUCKET_CNT - 1;
	octave = 63u - (unsigned int)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	/* The leading bit of the shifted value is worth one HISTOGRAM_SUB_CNT: hence no "+ 1". */
	return octave * HISTOGRAM_SUB_CNT + (uint32_t)(value >> octave);
}

/* Adds cnt samples of the same value. */
static inline void histogram_record_many(struct histogram *h, uint64_t value, uint64_t cnt)
{
	uint64_t total;

	h->bucket[histogram_bucket_idx(value)] += cnt;
	h->cnt += cnt;
	if (__builtin_mul_overflow(value, cnt, &total) ||
	    __builtin_add_overflow(h->sum, total, &h->sum))
		h->sum = UINT64_MAX;
	if (value < h->min && cnt > 0)
		h->min = value;
	if (value > h->max && cnt > 0)
		h->max = value;
}

static inline void histogram_record(struct histogram *h, uint64_t value)
{
	histogram_record_many(h, value, 1);
}

#endif
