/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads, two sets of buffers, and a queue of indices between them.
 */
#include "netload/copy.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "driver/net.h"
#include "driver/shm.h"

#define LINE_BYTES 64u
#define PAGE_BYTES 4096u

/* The two sides write to lines of their own; what that costs in room does not matter here. */
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct pipe {
	const struct netload_opts *opts;
	struct shm *shm[2]; /* as the two ports have */
	uint8_t *from, *to;
	uint64_t stride_bytes;
	uint64_t to_bytes, to_at;              /* receive buffers are taken round and round */
	_Alignas(128) _Atomic uint64_t filled; /* buffers handed over; written by the load */
	atomic_bool stop;
	_Alignas(128) _Atomic uint64_t copied; /* written by the copier */
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *copier_main(void *arg)
{
	struct pipe *p = arg;
	const struct netload_opts *o = p->opts;
	uint64_t at = 0;

	pin(o->cpu[1]);
	while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
		uint64_t filled = atomic_load_explicit(&p->filled, memory_order_acquire);

		while (at < filled) {
			if (p->to_at + o->size_bytes > p->to_bytes)
				p->to_at = 0;
			memcpy(p->to + p->to_at, p->from + at % o->ring_size * p->stride_bytes,
			       o->size_bytes);
			p->to_at += p->stride_bytes;
			atomic_store_explicit(&p->copied, ++at, memory_order_release);
		}
	}
	return NULL;
}

static void fill(struct pipe *p, uint64_t at)
{
	const struct netload_opts *o = p->opts;
	uint8_t *data = p->from + at % o->ring_size * p->stride_bytes;

	for (uint32_t line = 0; o->dirty && line < o->size_bytes; line += LINE_BYTES)
		*(volatile uint8_t *)(data + line) += 1;
	atomic_store_explicit(&p->filled, at + 1, memory_order_release);
}

/* Keeps the copier fed until a time; how many it has copied by then. */
static uint64_t feed(struct pipe *p, uint64_t end_ns)
{
	uint64_t at = atomic_load_explicit(&p->filled, memory_order_relaxed), copied;

	do {
		copied = atomic_load_explicit(&p->copied, memory_order_acquire);
		for (unsigned int i = 0; i < p->opts->burst && at < copied + p->opts->ring_size;
		     i++)
			fill(p, at++);
	} while (clock_monotonic_ns() < end_ns);
	return copied;
}

/* As much memory as the buffers of the two ports have. */
static int buffers_make(struct pipe *p)
{
	const struct netload_opts *o = p->opts;
	uint32_t align = o->size_bytes < PAGE_BYTES ? LINE_BYTES : PAGE_BYTES;
	uint64_t bytes[2];

	p->stride_bytes = (o->size_bytes + align - 1) & ~(align - 1);
	p->to_bytes = (uint64_t)o->ring_size * netload_rx_buffer_bytes(o, !o->no_mergeable);
	if (p->to_bytes < p->stride_bytes)
		p->to_bytes = p->stride_bytes;
	bytes[0] = o->ring_size * p->stride_bytes;
	bytes[1] = p->to_bytes;
	for (unsigned int i = 0; i < 2; i++) {
		struct shm_opts shm_opts = {.bytes = bytes[i] + PAGE_BYTES};
		int rc = shm_new(&p->shm[i], &shm_opts);
		uint8_t **at = i ? &p->to : &p->from;

		if (rc < 0)
			return rc;
		*at = shm_alloc(p->shm[i], bytes[i], PAGE_BYTES, NULL);
		memset(*at, (int)i + 1, bytes[i]);
	}
	return 0;
}

int netload_copy_run(struct netload_copy *c, const struct netload_opts *o)
{
	static struct pipe pipe;
	pthread_t copier;
	uint64_t begin_ns, end_ns, before;
	int rc;

	memset(&pipe, 0, sizeof(pipe));
	pipe.opts = o;
	rc = buffers_make(&pipe);
	if (rc == 0)
		rc = -pthread_create(&copier, NULL, copier_main, &pipe);
	if (rc == 0) {
		pin(o->cpu[0]);
		before = feed(&pipe, clock_monotonic_ns() + (uint64_t)(o->warmup_s * NS_PER_S));
		begin_ns = clock_monotonic_ns();
		c->buffer_cnt =
			feed(&pipe, begin_ns + (uint64_t)(o->runtime_s * NS_PER_S)) - before;
		end_ns = clock_monotonic_ns();
		c->seconds = (double)(end_ns - begin_ns) / (double)NS_PER_S;
		atomic_store(&pipe.stop, true);
		pthread_join(copier, NULL);
	}
	shm_free(pipe.shm[0]);
	shm_free(pipe.shm[1]);
	return rc;
}
