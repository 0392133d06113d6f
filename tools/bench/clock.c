/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration of the tick counter against CLOCK_MONOTONIC.
 */
#include "clock.h"

#define CALIBRATE_NS UINT64_C(5000000)

void clock_init(struct bench_clock *c)
{
	uint64_t ns0 = clock_monotonic_ns(), ticks0 = clock_ticks(), ns1, ticks1;

	do {
		ns1 = clock_monotonic_ns();
		ticks1 = clock_ticks();
	} while (ns1 - ns0 < CALIBRATE_NS);
	c->ns_per_tick_q32 = (uint64_t)(((unsigned __int128)(ns1 - ns0) << 32) / (ticks1 - ticks0));
}
