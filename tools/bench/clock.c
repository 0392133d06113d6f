/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration of the tick counter against CLOCK_MONOTONIC; CPU time of processes.
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

bool clock_process_cpu_ns(pid_t pid, uint64_t *ns)
{
	clockid_t id;
	struct timespec ts;

	if (pid <= 0 || clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &ts) < 0)
		return false;
	*ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
	return true;
}
