/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two pinned threads that play ping-pong, through eventfds and through a cache line.
 */
#include "wakeup.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"

#define TRIPS_MAX 20000u
/* Polled trips are shorter than the clock is fine: so many are timed at once. */
#define POLLED_BATCH 100u
#define BALL_STOP UINT64_MAX

struct table {
	_Alignas(128) _Atomic uint64_t there; /* written by us */
	_Alignas(128) _Atomic uint64_t back;  /* written by the other thread */
	_Alignas(128) int there_fd;
	int back_fd;
	int cpu;
	bool by_fd;
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *other_main(void *arg)
{
	struct table *t = arg;
	uint64_t ball = 0;

	pin(t->cpu);
	while (t->by_fd) {
		uint64_t one = 1, got;

		if (read(t->there_fd, &got, sizeof(got)) < 0 ||
		    atomic_load(&t->there) == BALL_STOP || write(t->back_fd, &one, sizeof(one)) < 0)
			return NULL;
	}
	while (ball != BALL_STOP) {
		uint64_t next = atomic_load_explicit(&t->there, memory_order_acquire);

		if (next != ball) {
			ball = next;
			atomic_store_explicit(&t->back, ball, memory_order_release);
		}
	}
	return NULL;
}

static void trip_by_fd(struct table *t)
{
	uint64_t one = 1, got;

	if (write(t->there_fd, &one, sizeof(one)) == sizeof(one))
		(void)!read(t->back_fd, &got, sizeof(got));
}

static void trips_polled(struct table *t, uint64_t *ball)
{
	for (unsigned int i = 0; i < POLLED_BATCH; i++) {
		atomic_store_explicit(&t->there, ++*ball, memory_order_release);
		while (atomic_load_explicit(&t->back, memory_order_acquire) != *ball)
			;
	}
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Median one-way time in us, of what fits into the time. */
static double play(struct table *t, double seconds)
{
	uint64_t begin_ns = clock_monotonic_ns();
	uint64_t end_ns = begin_ns + (uint64_t)(seconds * NS_PER_S);
	double *trip_us = calloc(TRIPS_MAX, sizeof(*trip_us));
	double median = NAN;
	unsigned int cnt = 0;
	uint64_t ball = 0;

	while (trip_us && cnt < TRIPS_MAX && begin_ns < end_ns) {
		uint64_t now_ns;

		if (t->by_fd)
			trip_by_fd(t);
		else
			trips_polled(t, &ball);
		now_ns = clock_monotonic_ns();
		trip_us[cnt++] = (double)(now_ns - begin_ns) / 2e3 / (t->by_fd ? 1 : POLLED_BATCH);
		begin_ns = now_ns;
	}
	if (cnt) {
		qsort(trip_us, cnt, sizeof(*trip_us), compare);
		median = trip_us[cnt / 2];
	}
	free(trip_us);
	return median;
}

static double ping_pong(int cpu_a, int cpu_b, bool by_fd, double seconds)
{
	struct table t = {.cpu = cpu_b, .by_fd = by_fd};
	double result = NAN;
	cpu_set_t before;
	pthread_t other;

	t.there_fd = eventfd(0, EFD_CLOEXEC);
	t.back_fd = eventfd(0, EFD_CLOEXEC);
	sched_getaffinity(0, sizeof(before), &before);
	if (t.there_fd >= 0 && t.back_fd >= 0 &&
	    pthread_create(&other, NULL, other_main, &t) == 0) {
		uint64_t one = 1;

		pin(cpu_a);
		result = play(&t, seconds);
		atomic_store(&t.there, BALL_STOP);
		(void)!write(t.there_fd, &one, sizeof(one));
		pthread_join(other, NULL);
		(void)sched_setaffinity(0, sizeof(before), &before);
	}
	close(t.there_fd);
	close(t.back_fd);
	return result;
}

void wakeup_measure(struct wakeup *w, int cpu_a, int cpu_b, double seconds)
{
	w->eventfd_us = ping_pong(cpu_a, cpu_b, true, seconds);
	/* On one CPU two threads that spin would wait for the scheduler. */
	w->polled_us = cpu_a == cpu_b ? NAN : ping_pong(cpu_a, cpu_b, false, seconds);
}
