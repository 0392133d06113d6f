/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro benchmark: nanoseconds a request in virtqueue_fetch() and virtqueue_complete(), chains of
 * three descriptors. Prints, asserts nothing; the driver's share is not counted.
 *
 *   bench_virtqueue [RING [ROUNDS [BURST]]]
 *
 * RING is split, split-indirect, packed, packed-indirect or all. instructions.py runs it under
 * callgrind and counts what happens within the two functions.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "driver.h"
#include "rings_main.h"

#define DATA_GPA (LOW_GPA + 0x300000)

static void add_burst(struct driver *d, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		const uint64_t at = DATA_GPA + i * 8192;
		const struct seg segs[] = {
			{at, 16, false}, {at + 4096, 4096, true}, {at + 16, 1, true}};

		driver_add(d, segs, 3);
	}
	driver_publish(d);
}

static void bench(unsigned ring, unsigned round_cnt, unsigned burst)
{
	const struct driver_opts opts = {
		.packed = ring & 2,
		.indirect = ring & 1,
		.size = 256,
		.start_idx = ring & 2 ? 0x8000 : 0,
	};
	struct gmem *memory = driver_memory_new();
	struct chain_pool *pool = chain_pool_new();
	struct virtqueue_config config;
	struct virtqueue *vq;
	struct driver d;
	uint64_t total_ns = 0;

	driver_init(&d, memory, &opts);
	config = driver_config(&d);
	config.slot_bytes = 320;
	if (!pool || virtqueue_new(&config, &vq, NULL) < 0)
		exit(1);
	for (unsigned round = 0; round < round_cnt; round++) {
		struct vq_slot *slots[VIRTQUEUE_BURST];
		uint64_t begin_ns;
		uint32_t len;
		uint16_t id;
		unsigned n;

		add_burst(&d, burst);
		begin_ns = clock_now_ns();
		n = virtqueue_fetch(vq, pool, slots, burst);
		for (unsigned i = 0; i < n; i++)
			slots[i]->used_bytes = 4097;
		virtqueue_complete(vq, pool, slots, n);
		total_ns += clock_now_ns() - begin_ns;
		while (driver_get_used(&d, &id, &len))
			;
	}
	printf("%-16s %5.1f ns a request, %llu requests\n", ring_names[ring],
	       (double)total_ns / round_cnt / burst,
	       (unsigned long long)virtqueue_stats(vq)->completed);
	virtqueue_free(vq);
	chain_pool_free(pool);
	driver_fini(&d);
	driver_memory_free(memory);
}

int main(int argc, char **argv)
{
	return rings_main(argc, argv, 200000, bench);
}
