/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long things took, of a run of traffic, and the line that says it.
 * Not a histogram: each is kept, to the nanosecond, up to a bound.
 */
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_MAX (1u << 20)

static uint32_t samples[SAMPLES_MAX];
static uint64_t done_cnt, lost_cnt, sum_ns;

void traffic_note(uint64_t ns)
{
	if (done_cnt < SAMPLES_MAX)
		samples[done_cnt] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	done_cnt++;
	sum_ns += ns;
}

void traffic_note_lost(void)
{
	lost_cnt++;
}

static int by_value(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t sample_cnt(void)
{
	return done_cnt < SAMPLES_MAX ? done_cnt : SAMPLES_MAX;
}

static double at_us(double share)
{
	const uint64_t cnt = sample_cnt();

	return cnt ? samples[(uint64_t)(share * (double)(cnt - 1))] / 1e3 : 0;
}

void traffic_report(uint64_t took_ns)
{
	const double seconds = (double)took_ns / 1e9;

	qsort(samples, sample_cnt(), sizeof(samples[0]), by_value);
	printf("{\"transactions\": %llu, \"seconds\": %.6f, \"per_second\": %.3f, "
	       "\"lost\": %llu, \"mean_us\": %.3f, \"p50_us\": %.3f, \"p99_us\": %.3f, "
	       "\"max_us\": %.3f}\n",
	       (unsigned long long)done_cnt, seconds, (double)done_cnt / seconds,
	       (unsigned long long)lost_cnt, done_cnt ? (double)sum_ns / (double)done_cnt / 1e3 : 0,
	       at_us(0.5), at_us(0.99), at_us(1));
}
