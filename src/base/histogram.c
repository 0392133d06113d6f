/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cold half of the log-linear histogram: set-up, merge, quantiles.
 * Recording is inline in the header.
 */
#include "base/histogram.h"

#include <string.h>

#define PPM 1000000u

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

void histogram_merge(struct histogram *dst, const struct histogram *src)
{
	if (src->cnt == 0)
		return;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKET_CNT; i++)
		dst->bucket[i] += src->bucket[i];
	dst->cnt += src->cnt;
	if (__builtin_add_overflow(dst->sum, src->sum, &dst->sum))
		dst->sum = UINT64_MAX;
	if (src->min < dst->min)
		dst->min = src->min;
	if (src->max > dst->max)
		dst->max = src->max;
}

double histogram_mean(const struct histogram *h)
{
	return h->cnt ? (double)h->sum / (double)h->cnt : 0.0;
}

/* The middle of a bucket: its lowest value plus half its width. */
static uint64_t bucket_middle(uint32_t idx)
{
	uint32_t octave;
	uint64_t low;

	if (idx < HISTOGRAM_SUB_CNT)
		return idx;
	octave = idx / HISTOGRAM_SUB_CNT - 1;
	low = (uint64_t)(idx % HISTOGRAM_SUB_CNT + HISTOGRAM_SUB_CNT) << octave;
	return low + ((UINT64_C(1) << octave) >> 1);
}

/* cnt * ppm / 1e6, rounded up, without overflow. */
static uint64_t rank_of(uint64_t cnt, uint32_t ppm)
{
	uint64_t whole = cnt / PPM * ppm;
	uint64_t part = cnt % PPM * ppm;

	return whole + (part + PPM - 1) / PPM;
}

uint64_t histogram_quantile_ppm(const struct histogram *h, uint32_t ppm)
{
	uint64_t rank, seen = 0;

	if (h->cnt == 0)
		return 0;
	if (ppm >= PPM)
		return h->max;
	rank = rank_of(h->cnt, ppm);
	if (rank == 0)
		return h->min;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKET_CNT; i++) {
		uint64_t value;

		seen += h->bucket[i];
		if (seen < rank)
			continue;
		/* The last bucket has no upper end: its middle says nothing. */
		value = i == HISTOGRAM_BUCKET_CNT - 1 ? h->max : bucket_middle(i);
		if (value < h->min)
			return h->min;
		return value > h->max ? h->max : value;
	}
	return h->max;
}
