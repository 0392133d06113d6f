/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs on this machine to wake a thread on another core, beside what it costs to reach
 * one that is awake: the reason why polling gains so much or so little. Not part of any load.
 */
#ifndef PARIO_BENCH_WAKEUP_H
#define PARIO_BENCH_WAKEUP_H

struct wakeup {
	/* One way, half of a round trip, medians; NAN when it could not be measured. */
	double eventfd_us; /* from write() to the other's read() returning */
	double polled_us;  /* a cache line written here and seen there */
};

/* Threads on these two CPUs, each test for at most seconds. */
void wakeup_measure(struct wakeup *w, int cpu_a, int cpu_b, double seconds);

#endif
