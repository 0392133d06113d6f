/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue's memory follows it to its worker's NUMA node. Nodes and memory policy are played; the
 * workers, rings and requests are real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/numa.h"
#include "device/blk/blk_priv.h"
#include "device_rig.h"
#include "fake/fake_storage.h"

int __wrap_worker_node(const struct worker *worker);
void __wrap_numa_prefer(void *start, size_t bytes, int node);

#define FIRST_NODE 5
#define QUEUE_SIZE 64

static struct {
	void *start;
	size_t bytes;
	int node;
	unsigned calls;
} asked;

int __wrap_worker_node(const struct worker *worker)
{
	return FIRST_NODE + (int)worker_idx(worker);
}

void __wrap_numa_prefer(void *start, size_t bytes, int node)
{
	asked.start = start;
	asked.bytes = bytes;
	asked.node = node;
	asked.calls++;
}

static void test_memory_follows_the_queue(void **state)
{
	static const struct storage_info info = {
		.capacity_bytes = 8u << 20, .block_bytes = 512, .physical_block_bytes = 512};
	struct storage *storage = fake_storage_new(&info);
	const struct rig_options options = {.size = QUEUE_SIZE};
	struct rig rig;
	void *start;

	(void)state;
	rig_open(&rig, &options, storage);
	rig_queue_start(&rig, 0);
	assert_int_equal(asked.calls, 1);
	assert_int_equal(asked.node, worker_node(device_queue_worker(rig.device, 0)));
	/* All of it, with a slot for each chain that can be in flight. */
	assert_true(asked.bytes >= QUEUE_SIZE * sizeof(struct vq_slot));
	start = asked.start;
	for (unsigned i = 1; i <= 4; i++) {
		rig_queue_move(&rig, 0, i % RIG_WORKERS);
		assert_int_equal(asked.node, FIRST_NODE + (int)(i % RIG_WORKERS));
		assert_ptr_equal(asked.start, start);
		assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	}
	assert_int_equal(asked.calls, 5);
	rig_close(&rig);
	fake_storage_free(storage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_follows_the_queue),
	};

	return cmocka_run_group_tests_name("queue_node", tests, NULL, NULL);
}
