/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Set-up of a front end on tools/bench's driver.
 */
#include "front.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STALL_NS UINT64_C(30000000000)
#define RING_SIZE 256

void bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

unsigned long bench_number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end)
		bench_die("'%s' is not a number", text);
	return value;
}

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		bench_die("CPU %d: %s", cpu, strerror(errno));
}

static void ok(struct front *f, int rc, const char *what)
{
	if (rc < 0)
		bench_die("%s: %s (%s)", what, f ? f->error : "", strerror(-rc));
}

void bench_front_open(struct bench_front *b, const char *path, uint16_t slot_cnt,
		      uint32_t data_bytes)
{
	struct front_opts opts = {.path = path, .wait_ms = 10000};
	struct blk_queue_opts slots = {.slot_cnt = slot_cnt, .data_bytes = data_bytes};
	struct shm_opts shm_opts = {.bytes = (2u << 20) + 2 * (uint64_t)slot_cnt * data_bytes};
	struct ring_opts ring = {.format = RING_SPLIT, .size = RING_SIZE};
	struct front *f;
	int rc = front_open(&b->front, &opts);

	f = b->front;
	ok(f, rc, "connect");
	ok(f,
	   front_negotiate(f, 1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG |
				      1ull << VU_PF_CONFIGURE_MEM_SLOTS),
	   "negotiate");
	/* Neither a packed ring nor completion in order. */
	ok(f, front_set_features(f, f->features_offered & ~(3ull << 34)), "features");
	ring.event_idx = front_has(f, VIRTIO_RING_F_EVENT_IDX);
	slots.indirect = front_has(f, VIRTIO_RING_F_INDIRECT_DESC);
	ring.tables_only = slots.indirect;
	ok(f, shm_new(&b->shm, &shm_opts), "memory");
	ok(f, front_share_mem(f, b->shm), "memory");
	ok(f, front_queue_new(&b->fq, f, b->shm, 0, &ring), "queue");
	ok(f, blk_queue_new(&b->q, b->fq, b->shm, &slots), "slots");
	ok(f, front_queue_start(b->fq), "start");
}

void bench_front_call(struct bench_front *b, uint32_t type, uint64_t sector, uint32_t bytes)
{
	int rc = blk_start(b->q, 0, type, sector, bytes);

	ok(b->front, rc, "add");
	if (ring_publish(b->q->ring))
		front_queue_kick(b->fq);
	bench_front_reap(b, 1, 0);
}

static unsigned int take(struct bench_front *b)
{
	struct ring_used used[64];
	int n = ring_get_used(b->q->ring, used, 64);

	ok(b->front, n, "used");
	for (int i = 0; i < n; i++)
		if (blk_status(b->q, used[i].token) != VIRTIO_BLK_S_OK)
			bench_die("request failed: %s",
				  blk_status_name(blk_status(b->q, used[i].token)));
	return (unsigned int)n;
}

void bench_front_reap(struct bench_front *b, unsigned int cnt, int asleep)
{
	uint64_t deadline_ns = bench_now_ns() + STALL_NS;
	struct pollfd p = {.fd = b->fq->call_fd, .events = POLLIN};

	while (cnt > 0) {
		unsigned int n = take(b);

		cnt -= n < cnt ? n : cnt;
		if (n || cnt == 0)
			continue;
		/* The clock is cheap beside what is waited for, and a back end may die. */
		if (bench_now_ns() > deadline_ns)
			bench_die("no completion in %llu s",
				  (unsigned long long)(STALL_NS / 1000000000));
		if (!asleep || ring_arm(b->q->ring))
			continue;
		poll(&p, 1, 1000);
		front_queue_take_calls(b->fq);
	}
	ring_disarm(b->q->ring);
}
