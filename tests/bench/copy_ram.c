/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_ram disk SOCKET LOAD_CPU SECONDS DIRTY: reads of 128 KiB from a RAM disk;
 * copy_ram memcpy SERVER_CPU LOAD_CPU SECONDS DIRTY: the same without a disk, by memcpy() on the
 * CPU that is otherwise the server's. Prints bytes a second.
 *
 * Both move batches of DEPTH blocks from random places of 256 MiB into the same number of buffers.
 * With DIRTY 1 the load's CPU writes to every cache line of them between two batches, as a guest
 * does that uses what it reads; that time is not counted.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "front.h"
#include "random.h"

#define BLOCK (128u << 10)
#define DEPTH 16u
#define DISK_BYTES (256u << 20)
#define BLOCKS (DISK_BYTES / BLOCK)
#define LINE 64u

struct copier {
	int cpu;
	uint8_t *disk;
	uint8_t *buffer[DEPTH];
	uint32_t from[DEPTH];
	_Alignas(128) _Atomic unsigned int asked; /* batches; written by the load */
	_Alignas(128) _Atomic unsigned int done;  /* written by the copier */
	_Atomic int stop;
};

static void *copier_main(void *arg)
{
	struct copier *c = arg;
	unsigned int done = 0;

	bench_pin(c->cpu);
	while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
		if (atomic_load_explicit(&c->asked, memory_order_acquire) == done)
			continue;
		for (unsigned int i = 0; i < DEPTH; i++)
			memcpy(c->buffer[i], c->disk + (size_t)c->from[i] * BLOCK, BLOCK);
		atomic_store_explicit(&c->done, ++done, memory_order_release);
	}
	return NULL;
}

static void batch_copy(struct copier *c, const uint32_t *from)
{
	unsigned int next = atomic_load_explicit(&c->asked, memory_order_relaxed) + 1;

	memcpy(c->from, from, sizeof(c->from));
	atomic_store_explicit(&c->asked, next, memory_order_release);
	while (atomic_load_explicit(&c->done, memory_order_acquire) != next)
		;
}

static void batch_read(struct bench_front *b, const uint32_t *from)
{
	for (unsigned int i = 0; i < DEPTH; i++)
		if (blk_start(b->q, (uint16_t)i, VIRTIO_BLK_T_IN, (uint64_t)from[i] * (BLOCK / 512),
			      BLOCK) < 0)
			bench_die("the ring is full");
	if (ring_publish(b->q->ring))
		front_queue_kick(b->fq);
	bench_front_reap(b, DEPTH, 0);
}

static void dirty(uint8_t *const *buffer)
{
	for (unsigned int i = 0; i < DEPTH; i++)
		for (unsigned int at = 0; at < BLOCK; at += LINE)
			*(volatile uint8_t *)(buffer[i] + at) += 1;
}

static double run(struct bench_front *b, struct copier *c, double seconds, int dirties)
{
	uint64_t begin_ns = bench_now_ns(), busy_ns = 0, batches = 0;
	uint64_t end_ns = begin_ns + (uint64_t)(seconds * 1e9);
	struct random rng = {1};
	uint8_t *buffer[DEPTH];

	for (unsigned int i = 0; i < DEPTH; i++)
		buffer[i] = b ? b->q->slot[i].data : c->buffer[i];
	while (begin_ns < end_ns) {
		uint32_t from[DEPTH];

		for (unsigned int i = 0; i < DEPTH; i++)
			from[i] = (uint32_t)random_below(&rng, BLOCKS);
		if (dirties)
			dirty(buffer);
		begin_ns = bench_now_ns();
		if (b)
			batch_read(b, from);
		else
			batch_copy(c, from);
		busy_ns += bench_now_ns() - begin_ns;
		batches++;
	}
	return (double)(batches * DEPTH * BLOCK) / ((double)busy_ns / 1e9);
}

/* Every page of the disk is there: unwritten ones would all be the same page. */
static void disk_fill(struct bench_front *b)
{
	struct random rng = {2};

	for (unsigned int at = 0; at < BLOCKS; at++) {
		uint64_t *word = (uint64_t *)(void *)b->q->slot[0].data;

		for (unsigned int i = 0; i < BLOCK / 8; i += 64)
			word[i] = random_next(&rng);
		bench_front_call(b, VIRTIO_BLK_T_OUT, (uint64_t)at * (BLOCK / 512), BLOCK);
	}
}

static void copier_init(struct copier *c, int cpu)
{
	size_t bytes = DISK_BYTES + DEPTH * BLOCK;

	c->cpu = cpu;
	c->disk = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (c->disk == MAP_FAILED)
		bench_die("no memory");
	(void)madvise(c->disk, bytes, MADV_HUGEPAGE);
	memset(c->disk, 1, bytes);
	for (unsigned int i = 0; i < DEPTH; i++)
		c->buffer[i] = c->disk + DISK_BYTES + (size_t)i * BLOCK;
}

int main(int argc, char **argv)
{
	static struct copier c;
	struct bench_front b;
	pthread_t thread;
	double seconds;
	int dirties;

	if (argc != 6)
		bench_die("usage: copy_ram disk|memcpy SOCKET|CPU LOAD_CPU SECONDS DIRTY");
	seconds = atof(argv[4]);
	dirties = argv[5][0] == '1';
	bench_pin((int)bench_number(argv[3]));
	if (strcmp(argv[1], "disk") == 0) {
		bench_front_open(&b, argv[2], DEPTH, BLOCK);
		disk_fill(&b);
		printf("%.0f\n", run(&b, NULL, seconds, dirties));
		return 0;
	}
	copier_init(&c, (int)bench_number(argv[2]));
	if (pthread_create(&thread, NULL, copier_main, &c) != 0)
		bench_die("no thread");
	printf("%.0f\n", run(NULL, &c, seconds, dirties));
	atomic_store(&c.stop, 1);
	pthread_join(thread, NULL);
	return 0;
}
