/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk whose storage holds requests back: see hold_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hold_rig.h"

static const struct storage_info info = {
	.capacity_bytes = 8u << 20,
	.block_bytes = 512,
	.physical_block_bytes = 512,
	.can_discard = true,
	.volatile_cache = true,
};

struct rig rig;
struct storage *storage;

void begin(const struct rig_options *options)
{
	storage = fake_storage_new(&info);
	rig_open(&rig, options, storage);
	rig_queue_start(&rig, 0);
}

void end(void)
{
	rig_close(&rig);
	assert_int_equal(fake_storage_channels(storage), 0);
	fake_storage_free(storage);
}

uint8_t status_of(uint16_t token)
{
	return *rig.queues[0].requests[token].status;
}

void wait_held(unsigned cnt)
{
	uint64_t deadline_ns = rig_deadline_ns();

	while (fake_storage_held(storage) != cnt) {
		assert_int_equal(evloop_turn(rig.loop, 0), 0);
		rig_check_deadline(deadline_ns, "held operations");
	}
}

void wait_channels(unsigned cnt)
{
	uint64_t deadline_ns = rig_deadline_ns();

	while (fake_storage_channels(storage) != cnt) {
		assert_int_equal(evloop_turn(rig.loop, 1), 0);
		rig_check_deadline(deadline_ns, "channels to be closed");
	}
}

void hold_reads(uint16_t token, unsigned cnt)
{
	unsigned before = fake_storage_held(storage);

	fake_storage_set_pace(storage, FAKE_STORAGE_HELD);
	for (unsigned i = 0; i < cnt; i++)
		rig_add(&rig, 0, (uint16_t)(token + i), BLK_T_IN, token + i, 0, 512);
	rig_publish(&rig, 0);
	wait_held(before + cnt);
}

void keep_held(void)
{
	fake_storage_set_pace(storage, FAKE_STORAGE_KEEP);
}

void release_held(void)
{
	fake_storage_set_pace(storage, FAKE_STORAGE_INLINE);
}

struct device_queue_stats queue_stats(void)
{
	struct device_queue_stats stats;

	device_queue_stats(rig.device, 0, TABLE_QUEUE, &stats);
	return stats;
}

void check_counters(unsigned requests)
{
	struct virtqueue_stats ring;
	struct storage_stats kept;
	struct blk_stats blk = rig_stats(&rig);
	struct device_queue_view view;

	device_queue_stats(rig.device, 0, TABLE_RING, &ring);
	device_queue_stats(rig.device, 0, TABLE_STORAGE, &kept);
	assert_int_equal(ring.fetched, requests);
	assert_int_equal(ring.completed, requests);
	assert_int_equal(blk.reads + blk.writes + blk.discards + blk.flushes, requests);
	assert_int_equal(kept.ops[STORAGE_READ], blk.reads);
	assert_int_equal(kept.ops[STORAGE_READ], fake_storage_count(storage, STORAGE_READ));
	assert_int_equal(kept.ops[STORAGE_WRITE], fake_storage_count(storage, STORAGE_WRITE));
	assert_int_equal(kept.ops[STORAGE_FLUSH], fake_storage_count(storage, STORAGE_FLUSH));
	assert_int_equal(kept.ops[STORAGE_DISCARD], fake_storage_count(storage, STORAGE_DISCARD));
	assert_true(device_queue_view(rig.device, 0, &view));
	assert_int_equal(view.latency.cnt, requests);
}
