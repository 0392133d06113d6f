/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro benchmark: nanoseconds a request in virtqueue_fetch() and virtqueue_complete(), chains of
 * three descriptors in bursts of 32. Prints, asserts nothing; the driver's share is not counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "driver.h"

#define ROUND_CNT 200000u
#define DATA_GPA (LOW_GPA + 0x300000)

static void bench(bool packed, bool indirect)
{
	const struct driver_opts opts = {
		.packed = packed,
		.indirect = indirect,
		.size = 256,
		.start_idx = packed ? 0x8000 : 0,
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
	for (unsigned round = 0; round < ROUND_CNT; round++) {
		struct vq_slot *slots[VIRTQUEUE_BURST];
		uint64_t begin_ns;
		uint32_t len;
		uint16_t id;
		unsigned n;

		for (unsigned i = 0; i < VIRTQUEUE_BURST; i++) {
			const uint64_t at = DATA_GPA + i * 8192;
			const struct seg segs[] = {
				{at, 16, false}, {at + 4096, 4096, true}, {at + 16, 1, true}};

			driver_add(&d, segs, 3);
		}
		driver_publish(&d);
		begin_ns = clock_now_ns();
		n = virtqueue_fetch(vq, pool, slots, VIRTQUEUE_BURST);
		for (unsigned i = 0; i < n; i++)
			slots[i]->used_bytes = 4097;
		virtqueue_complete(vq, pool, slots, n);
		total_ns += clock_now_ns() - begin_ns;
		while (driver_get_used(&d, &id, &len))
			;
	}
	printf("%-6s %-8s %5.1f ns a request\n", packed ? "packed" : "split",
	       indirect ? "indirect" : "direct", (double)total_ns / ROUND_CNT / VIRTQUEUE_BURST);
	virtqueue_free(vq);
	chain_pool_free(pool);
	driver_fini(&d);
	driver_memory_free(memory);
}

int main(void)
{
	for (unsigned i = 0; i < 4; i++)
		bench(i & 2, i & 1);
	return 0;
}
