/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placer over the real device layer: real workers, rings and guest memory, and requests that
 * are under way while placements, starts and stops come on top of each other.
 * Not what is placed where: test_placer.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/virtio_blk.h>
#include <string.h>

#include "base/clock.h"
#include "control/placer.h"
#include "fake/fake_storage.h"
#include "unit/device/device_rig.h"

#define ROUNDS 200
#define QUEUES RIG_QUEUES_MAX
#define BATCH 8

struct live {
	struct rig rig;
	struct storage *storage;
	struct placer *placer;
	struct placed placed;
};

static struct live live;

static pid_t nobody(void *arg)
{
	(void)arg;
	return 0;
}

static void open_live(enum ring_format format)
{
	const struct storage_info info = {
		.capacity_bytes = 1 << 20, .block_bytes = 512, .physical_block_bytes = 512};
	struct rig_options options = {
		.format = format, .queues = QUEUES, .event_idx = true, .indirect = true};
	struct placer_settings settings = {.mode = PLACEMENT_AUTO};
	struct placer_options placer = {.worker_cnt = RIG_WORKERS, .round_ns = NS_PER_MS};

	memset(&live, 0, sizeof(live));
	live.storage = fake_storage_new(&info);
	fake_storage_set_pace(live.storage, FAKE_STORAGE_LATER);
	rig_open(&live.rig, &options, live.storage);
	placer.loop = live.rig.loop;
	placer.workers = live.rig.workers;
	assert_int_equal(placer_new(&placer, &live.placer, NULL), 0);
	live.placed =
		(struct placed){.device = live.rig.device, .front_pid = nobody, .tag = "disk live"};
	assert_int_equal(placer_add(live.placer, &live.placed, &settings, NULL), 0);
	for (unsigned i = 0; i < QUEUES; i++)
		rig_queue_start(&live.rig, i);
}

static void close_live(void)
{
	for (unsigned i = 0; i < QUEUES; i++)
		rig_queue_stop(&live.rig, i);
	placer_remove(live.placer, &live.placed);
	placer_free(live.placer);
	rig_close(&live.rig);
	fake_storage_free(live.storage);
}

/* Worker 0, worker 1, both; with and without vCPUs; now and then by order. */
static void ask(unsigned round, struct rig_wait *wait)
{
	struct placer_settings settings = {
		.mode = round % 5 == 4 ? PLACEMENT_FIXED : PLACEMENT_AUTO,
		.vcpus = round % 7 == 6 ? "0" : NULL,
	};
	struct worker *const *first = &live.rig.workers[round % 3 == 1];
	unsigned cnt = round % 3 == 2 ? 2 : 1;

	assert_int_equal(device_set_workers(live.rig.device, first, cnt, NULL), 0);
	rig_wait_open(wait);
	assert_int_equal(placer_set(live.placer, &live.placed, &settings, &wait->join, NULL), 0);
}

/* Some of what the driver made available may not have been fetched by then. */
static void restart(unsigned idx)
{
	struct device_queue_setup setup;
	struct err err = ERR_INIT;

	rig_queue_stop(&live.rig, idx);
	setup = rig_queue_setup(&live.rig, idx);
	setup.base = device_queue_base(live.rig.device, idx);
	if (rig_queue_try_start(&live.rig, idx, &setup, &err))
		fail_msg("%s", err.text);
}

static void send_batch(unsigned idx)
{
	for (uint16_t token = 0; token < BATCH; token++) {
		struct rig_request *request = &live.rig.queues[idx].requests[token];

		memset(request->data, (int)(idx + token + 1), 512);
		rig_add(&live.rig, idx, token, VIRTIO_BLK_T_OUT, idx * 64u + token, 512, 0);
	}
	rig_publish(&live.rig, idx);
}

static void take_batch(unsigned idx)
{
	rig_wait_used(&live.rig, idx, BATCH);
	for (unsigned token = 0; token < BATCH; token++)
		assert_int_equal(*live.rig.queues[idx].requests[token].status, VIRTIO_BLK_S_OK);
}

static uint64_t count_moves(void)
{
	unsigned cnt;
	const struct stat_table *tables = device_stat_tables(live.rig.device, &cnt);
	uint64_t sums[64];

	for (unsigned i = 0; i < cnt; i++) {
		for (unsigned j = 0; j < tables[i].row_cnt; j++) {
			const struct stat_row *row = &tables[i].rows[j];

			if (strcmp(tables[i].name, "queue") != 0 || strcmp(row->name, "moves") != 0)
				continue;
			assert_true(tables[i].bytes <= sizeof(sums));
			device_stats(live.rig.device, i, sums);
			return sums[row->offset / sizeof(uint64_t)];
		}
	}
	fail_msg("no counter of moves");
	return 0;
}

/* Every queue's requests go out, placements overtake each other, and all comes back. */
static void run(enum ring_format format)
{
	open_live(format);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct rig_wait first, second;

		for (unsigned i = 0; i < QUEUES; i++)
			send_batch(i);
		ask(round, &first);
		ask(round + 1, &second);
		if (round % 8 == 7)
			restart(round / 8 % QUEUES);
		assert_int_equal(rig_wait_done(&live.rig, &first), 0);
		assert_int_equal(rig_wait_done(&live.rig, &second), 0);
		for (unsigned i = 0; i < QUEUES; i++)
			take_batch(i);
	}
	assert_int_equal(rig_stats(&live.rig).writes, ROUNDS * QUEUES * BATCH);
	/* Each round leads from one worker to the other at least once. */
	assert_true(count_moves() >= ROUNDS);
	close_live();
}

static void test_split(void **state)
{
	(void)state;
	run(RING_SPLIT);
}

static void test_packed(void **state)
{
	(void)state;
	run(RING_PACKED);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
