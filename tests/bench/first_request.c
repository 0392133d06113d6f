/* SPDX-License-Identifier: Apache-2.0 */
/*
 * first_request SOCKET CPU IDLE_MS COUNT poll|irq: reads 4 KiB COUNT times, each after so long a
 * silence, and prints microseconds from before the kick to the completion seen, one a line.
 * Then the same without silence, as the last line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "front.h"

#define WARM 1000u

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double read_us(struct bench_front *b, int asleep)
{
	uint64_t begin_ns = bench_now_ns();

	if (blk_start(b->q, 0, VIRTIO_BLK_T_IN, 0, 4096) < 0)
		bench_die("the ring is full");
	if (ring_publish(b->q->ring))
		front_queue_kick(b->fq);
	bench_front_reap(b, 1, asleep);
	return (double)(bench_now_ns() - begin_ns) / 1e3;
}

int main(int argc, char **argv)
{
	static double warm_us[WARM];
	unsigned long idle_ms, cnt;
	struct timespec idle;
	struct bench_front b;
	int asleep;

	if (argc != 6)
		bench_die("usage: first_request SOCKET CPU IDLE_MS COUNT poll|irq");
	bench_pin((int)bench_number(argv[2]));
	idle_ms = bench_number(argv[3]);
	cnt = bench_number(argv[4]);
	asleep = strcmp(argv[5], "irq") == 0;
	idle = (struct timespec){(time_t)(idle_ms / 1000), (long)(idle_ms % 1000) * 1000000};
	bench_front_open(&b, argv[1], 1, 4096);
	(void)read_us(&b, asleep);
	for (unsigned long i = 0; i < cnt; i++) {
		/* Idleness is what is measured: there is nothing to wait for. */
		nanosleep(&idle, NULL);
		printf("%.2f\n", read_us(&b, asleep));
	}
	for (unsigned int i = 0; i < WARM; i++)
		warm_us[i] = read_us(&b, asleep);
	qsort(warm_us, WARM, sizeof(warm_us[0]), compare);
	printf("%.2f\n", warm_us[WARM / 2]);
	return 0;
}
