/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a driver sees of a disk: data, statuses, counters, cache modes, failures; through real
 * rings and workers, over a fake storage. Starting and stopping is test_queue.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "device/blk/blk_priv.h"
#include "device_rig.h"
#include "fake/fake_storage.h"

#define SECTORS 4096u
#define F(bit) (1ull << (bit))

static struct storage_info info_of(bool read_only, bool volatile_cache)
{
	return (struct storage_info){
		.capacity_bytes = SECTORS * 512ull,
		.block_bytes = 512,
		.physical_block_bytes = 512,
		.read_only = read_only,
		.can_discard = true,
		.volatile_cache = volatile_cache,
	};
}

static struct rig rig;
static struct storage *storage;

static void begin_with(const struct rig_options *options, struct storage_info info)
{
	storage = fake_storage_new(&info);
	rig_open(&rig, options, storage);
	rig_queue_start(&rig, 0);
}

static void begin(const struct rig_options *options)
{
	begin_with(options, info_of(false, true));
}

static void end(void)
{
	rig_close(&rig);
	assert_int_equal(fake_storage_channels(storage), 0);
	fake_storage_free(storage);
}

static struct rig_request *request(uint16_t token)
{
	return &rig.queues[0].requests[token];
}

static uint8_t status_of(uint16_t token)
{
	return *request(token)->status;
}

static void fill(uint8_t *data, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(seed * 131 + i * 3 + i / 512);
}

/* Depth times writes, then reads of the same, on a ring of 256. */
static void check_data(const struct rig_options *options, unsigned depth,
		       enum fake_storage_pace pace)
{
	static uint8_t expected[RIG_DATA_BYTES];

	begin(options);
	fake_storage_set_pace(storage, pace);
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned read = 0; read < 2; read++) {
			for (uint16_t i = 0; i < depth; i++) {
				uint32_t bytes = 512u << (i % 3);

				fill(request(i)->data, bytes, read ? 0 : round * 256 + i);
				rig_add(&rig, 0, i, read ? BLK_T_IN : BLK_T_OUT, i * 4,
					read ? 0 : bytes, read ? bytes : 0);
			}
			rig_publish(&rig, 0);
			rig_wait_used(&rig, 0, depth);
		}
		for (uint16_t i = 0; i < depth; i++) {
			fill(expected, 512u << (i % 3), round * 256 + i);
			assert_int_equal(status_of(i), BLK_S_OK);
			assert_memory_equal(request(i)->data, expected, 512u << (i % 3));
		}
	}
	assert_int_equal(rig_stats(&rig).writes, depth * 4);
	assert_int_equal(rig_stats(&rig).reads, depth * 4);
	assert_int_equal(rig_stats(&rig).read_bytes, rig_stats(&rig).write_bytes);
	end();
}

/* Each ring form with each feature, shallow and deeper than what one turn takes. */
static void test_data_over_all_rings(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct rig_options options = {
			.format = bits & 1 ? RING_PACKED : RING_SPLIT,
			.event_idx = bits & 2,
			.indirect = bits & 4,
			.in_order = bits & 8,
			.size = 1024,
			.poll_mode = bits & 2 ? POLL_MODE_NEVER : POLL_MODE_ADAPTIVE,
		};

		check_data(&options, 1, FAKE_STORAGE_INLINE);
		check_data(&options, 200, FAKE_STORAGE_INLINE);
		check_data(&options, 200, FAKE_STORAGE_LATER);
	}
}

static void test_always_polled(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ALWAYS, .size = 256};

	(void)state;
	check_data(&options, 64, FAKE_STORAGE_LATER);
}

struct refusal {
	const char *name;
	uint32_t type;
	uint64_t sector;
	uint32_t out_bytes, in_bytes;
	uint8_t status;
	size_t counter;
};

#define COUNTER(member) offsetof(struct blk_stats, member)

static const struct refusal refusals[] = {
	{"range", BLK_T_IN, SECTORS, 0, 512, BLK_S_IOERR, COUNTER(bad_range)},
	{"range, write", BLK_T_OUT, SECTORS - 1, 1024, 0, BLK_S_IOERR, COUNTER(bad_range)},
	{"length", BLK_T_IN, 0, 0, 100, BLK_S_IOERR, COUNTER(bad_length)},
	{"no data", BLK_T_OUT, 0, 0, 0, BLK_S_IOERR, COUNTER(bad_length)},
	{"framing", BLK_T_IN, 0, 512, 0, BLK_S_IOERR, COUNTER(bad_framing)},
	{"type", 99, 0, 0, 512, BLK_S_UNSUPP, COUNTER(unsupported)},
	{"segments", BLK_T_DISCARD, 0, 9 * 16, 0, BLK_S_IOERR, COUNTER(too_many_segments)},
};

static uint64_t counter_at(size_t offset)
{
	struct blk_stats stats = rig_stats(&rig);

	return *(uint64_t *)(void *)((char *)&stats + offset);
}

/* Each is answered and counted by name, the storage hears nothing, the queue goes on. */
static void test_refusals(void **state)
{
	struct rig_options options = {.event_idx = true};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct refusal *r = &refusals[i];
		uint64_t before = counter_at(r->counter);
		uint8_t status = rig_do(&rig, 0, r->type, r->sector, r->out_bytes, r->in_bytes);

		if (status != r->status || counter_at(r->counter) != before + 1)
			fail_msg("%s: status %u", r->name, status);
	}
	for (unsigned kind = 0; kind < STORAGE_KIND_MAX_; kind++)
		assert_int_equal(fake_storage_count(storage, (enum storage_kind)kind), 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, SECTORS - 1, 0, 512), BLK_S_OK);
	assert_int_equal(rig_stats(&rig).reads, 1);
	assert_int_equal(rig_stats(&rig).writes, 0);
	end();
}

static void put_segment(uint16_t token, unsigned idx, uint64_t sector, uint32_t cnt, uint32_t flags)
{
	struct blk_wire_segment wire = {le64_of(sector), le32_of(cnt), le32_of(flags)};

	memcpy(request(token)->data + idx * sizeof(wire), &wire, sizeof(wire));
}

static void check_event(const struct fake_storage_event *event, enum storage_kind kind,
			uint64_t sector, uint64_t cnt, bool may_unmap)
{
	assert_int_equal(event->kind, kind);
	assert_int_equal(event->offset_bytes, sector * 512);
	assert_int_equal(event->len_bytes, cnt * 512);
	assert_int_equal(event->may_unmap, may_unmap);
}

/* Several segments, one after the other, over both paces. */
static void test_segments(void **state)
{
	struct rig_options options = {.event_idx = true};
	struct fake_storage_event events[16];
	static uint8_t disk[64 * 512];

	(void)state;
	for (unsigned pace = FAKE_STORAGE_INLINE; pace <= FAKE_STORAGE_LATER; pace++) {
		begin(&options);
		fake_storage_set_pace(storage, (enum fake_storage_pace)pace);
		memset(disk, 0xFF, sizeof(disk));
		fake_storage_put(storage, 0, disk, sizeof(disk));
		put_segment(0, 0, 10, 2, 0);
		put_segment(0, 1, 20, 0, 1);
		put_segment(0, 2, 30, 3, 1);
		put_segment(0, 3, 40, 1, 0);
		assert_int_equal(rig_do(&rig, 0, BLK_T_WRITE_ZEROES, 0, 64, 0), BLK_S_OK);
		assert_int_equal(fake_storage_events(storage, events, 16), 3);
		check_event(&events[0], STORAGE_WRITE_ZEROES, 10, 2, false);
		check_event(&events[1], STORAGE_WRITE_ZEROES, 30, 3, true);
		check_event(&events[2], STORAGE_WRITE_ZEROES, 40, 1, false);
		fake_storage_get(storage, 0, disk, sizeof(disk));
		for (unsigned i = 0; i < ARRAY_LEN(disk); i++) {
			unsigned sector = i / 512;
			bool zeroed = sector == 10 || sector == 11 ||
				      (sector >= 30 && sector < 33) || sector == 40;

			assert_int_equal(disk[i], zeroed ? 0 : 0xFF);
		}
		fake_storage_forget(storage);
		for (unsigned i = 0; i < 8; i++)
			put_segment(0, i, i * 100, 5, 0);
		assert_int_equal(rig_do(&rig, 0, BLK_T_DISCARD, 0, 128, 0), BLK_S_OK);
		assert_int_equal(fake_storage_events(storage, events, 16), 8);
		for (unsigned i = 0; i < 8; i++)
			check_event(&events[i], STORAGE_DISCARD, i * 100, 5, false);
		fake_storage_forget(storage);
		put_segment(0, 0, 0, 0, 0);
		assert_int_equal(rig_do(&rig, 0, BLK_T_DISCARD, 0, 16, 0), BLK_S_OK);
		assert_int_equal(fake_storage_events(storage, events, 16), 0);
		assert_int_equal(rig_stats(&rig).discards, 2);
		assert_int_equal(rig_stats(&rig).write_zeroes, 1);
		end();
	}
}

/* The first error ends the request. */
static void test_segment_fails(void **state)
{
	struct rig_options options = {.event_idx = true};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < 3; i++)
		put_segment(0, i, i * 10, 1, 0);
	fake_storage_fail(storage, STORAGE_DISCARD, EIO, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_DISCARD, 0, 48, 0), BLK_S_IOERR);
	assert_int_equal(fake_storage_count(storage, STORAGE_DISCARD), 1);
	assert_int_equal(rig_stats(&rig).io_errors, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_DISCARD, 0, 48, 0), BLK_S_OK);
	end();
}

static void test_storage_errors(void **state)
{
	static const struct {
		enum storage_kind kind;
		uint32_t type, out_bytes, in_bytes;
	} cases[] = {
		{STORAGE_READ, BLK_T_IN, 0, 512},
		{STORAGE_WRITE, BLK_T_OUT, 512, 0},
		{STORAGE_FLUSH, BLK_T_FLUSH, 0, 0},
		{STORAGE_WRITE_ZEROES, BLK_T_WRITE_ZEROES, 16, 0},
	};
	struct rig_options options = {.event_idx = true};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		put_segment(0, 0, 0, 1, 0);
		fake_storage_fail(storage, cases[i].kind, i ? EIO : ENOSPC, 1);
		assert_int_equal(rig_do(&rig, 0, cases[i].type, 0, cases[i].out_bytes,
					cases[i].in_bytes),
				 BLK_S_IOERR);
		put_segment(0, 0, 0, 1, 0);
		assert_int_equal(rig_do(&rig, 0, cases[i].type, 0, cases[i].out_bytes,
					cases[i].in_bytes),
				 BLK_S_OK);
		assert_int_equal(rig_stats(&rig).io_errors, i + 1);
	}
	end();
}

static void test_get_id(void **state)
{
	struct rig_options options = {.event_idx = true};
	static const char expected[20] = "rig";

	(void)state;
	begin(&options);
	memset(request(0)->data, 0xFF, 21);
	assert_int_equal(rig_do(&rig, 0, BLK_T_GET_ID, 0, 0, 20), BLK_S_OK);
	assert_memory_equal(request(0)->data, expected, 20);
	assert_int_equal(request(0)->data[20], 0xFF);
	assert_int_equal(rig_stats(&rig).get_ids, 1);
	end();
}

static void test_read_only(void **state)
{
	struct rig_options options = {.event_idx = true};

	(void)state;
	begin_with(&options, info_of(true, true));
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, 0, 512, 0), BLK_S_IOERR);
	assert_int_equal(rig_stats(&rig).read_only, 1);
	put_segment(0, 0, 0, 1, 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_WRITE_ZEROES, 0, 16, 0), BLK_S_UNSUPP);
	assert_int_equal(rig_do(&rig, 0, BLK_T_DISCARD, 0, 16, 0), BLK_S_UNSUPP);
	assert_int_equal(rig_do(&rig, 0, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
	assert_int_equal(fake_storage_count(storage, STORAGE_WRITE), 0);
	end();
}

/* A write, zeroes, and a discard: how many flushes does the storage see of each? */
static void check_flushes(unsigned of_write, unsigned of_zeroes)
{
	fake_storage_forget(storage);
	assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, 8, 512, 0), BLK_S_OK);
	assert_int_equal(fake_storage_count(storage, STORAGE_WRITE), 1);
	assert_int_equal(fake_storage_count(storage, STORAGE_FLUSH), of_write);
	fake_storage_forget(storage);
	put_segment(0, 0, 0, 1, 0);
	put_segment(0, 1, 10, 1, 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_WRITE_ZEROES, 0, 32, 0), BLK_S_OK);
	assert_int_equal(fake_storage_count(storage, STORAGE_WRITE_ZEROES), 2);
	assert_int_equal(fake_storage_count(storage, STORAGE_FLUSH), of_zeroes);
	fake_storage_forget(storage);
	assert_int_equal(rig_do(&rig, 0, BLK_T_DISCARD, 0, 16, 0), BLK_S_OK);
	assert_int_equal(fake_storage_count(storage, STORAGE_FLUSH), 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	assert_int_equal(fake_storage_count(storage, STORAGE_FLUSH), 0);
	/* The driver's own flush always gets there, and is one. */
	assert_int_equal(rig_do(&rig, 0, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
	assert_int_equal(fake_storage_count(storage, STORAGE_FLUSH), 1);
}

static void set_writeback(uint8_t value)
{
	struct err err = ERR_INIT;

	if (device_config_write(rig.device, 32, 1, &value, &err))
		fail_msg("%s", err.text);
}

static void test_cache_modes(void **state)
{
	static const struct {
		uint64_t off;
		bool volatile_cache;
		unsigned flushes;
	} cases[] = {
		{0, true, 0},
		{F(BLK_F_CONFIG_WCE), true, 0},
		{F(BLK_F_FLUSH), true, 1},
		{F(BLK_F_CONFIG_WCE) | F(BLK_F_FLUSH), true, 1},
		{F(BLK_F_CONFIG_WCE) | F(BLK_F_FLUSH), false, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct rig_options options = {.event_idx = true, .features_off = cases[i].off};

		begin_with(&options, info_of(false, cases[i].volatile_cache));
		check_flushes(cases[i].flushes, cases[i].flushes);
		end();
	}
}

/* The mode changes while the queue runs, and holds from then on. */
static void test_mode_changes_while_running(void **state)
{
	struct rig_options options = {.event_idx = true};

	(void)state;
	for (unsigned pace = FAKE_STORAGE_INLINE; pace <= FAKE_STORAGE_LATER; pace++) {
		begin(&options);
		fake_storage_set_pace(storage, (enum fake_storage_pace)pace);
		check_flushes(0, 0);
		for (unsigned i = 0; i < 50; i++) {
			set_writeback(0);
			check_flushes(1, 1);
			set_writeback(1);
			check_flushes(0, 0);
		}
		end();
	}
}

/* In write-through mode a write is not reported before its flush is done, nor if that fails. */
static void test_writethrough_waits_for_the_flush(void **state)
{
	struct rig_options options = {.event_idx = true};
	struct fake_storage_event events[4];

	(void)state;
	begin(&options);
	set_writeback(0);
	fake_storage_fail(storage, STORAGE_FLUSH, EIO, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, 0, 512, 0), BLK_S_IOERR);
	assert_int_equal(rig_stats(&rig).io_errors, 1);
	assert_int_equal(rig_stats(&rig).flushes, 0); /* the driver sent none */
	/* A write that failed needs no flush. */
	fake_storage_forget(storage);
	fake_storage_fail(storage, STORAGE_WRITE, EIO, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, 0, 512, 0), BLK_S_IOERR);
	assert_int_equal(fake_storage_events(storage, events, 4), 1);
	end();
}

/* A whole ring of writes in write-through mode: each is two operations, in turns of many. */
static void test_writethrough_in_bursts(void **state)
{
	struct rig_options options = {.event_idx = true, .size = 512};

	(void)state;
	for (unsigned pace = FAKE_STORAGE_INLINE; pace <= FAKE_STORAGE_LATER; pace++) {
		for (unsigned mode = 0; mode < POLL_MODE_MAX_; mode++) {
			options.poll_mode = (enum poll_mode)mode;
			begin(&options);
			fake_storage_set_pace(storage, (enum fake_storage_pace)pace);
			set_writeback(0);
			for (uint16_t i = 0; i < 170; i++)
				rig_add(&rig, 0, i, BLK_T_OUT, i, 512, 0);
			rig_publish(&rig, 0);
			rig_wait_used(&rig, 0, 170);
			for (uint16_t i = 0; i < 170; i++)
				assert_int_equal(status_of(i), BLK_S_OK);
			assert_int_equal(fake_storage_count(storage, STORAGE_WRITE), 170);
			assert_int_equal(fake_storage_count(storage, STORAGE_FLUSH), 170);
			end();
		}
	}
}

/* The queue sees a new capacity at once, both ways. */
static void test_resize_while_running(void **state)
{
	struct rig_options options = {.event_idx = true};

	(void)state;
	begin(&options);
	assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, SECTORS, 512, 0), BLK_S_IOERR);
	fake_storage_resize(storage, 2 * SECTORS * 512);
	blk_device_resized(rig.device);
	assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, SECTORS, 512, 0), BLK_S_OK);
	fake_storage_resize(storage, SECTORS * 512 / 2);
	blk_device_resized(rig.device);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, SECTORS / 2, 0, 512), BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, SECTORS / 2 - 1, 0, 512), BLK_S_OK);
	assert_int_equal(rig_stats(&rig).bad_range, 2);
	end();
}

/* A chain that names memory that is not there: IOERR where there is a status byte, counted. */
static void test_bad_address(void **state)
{
	struct rig_options options = {.event_idx = true};
	struct virtqueue_stats stats;
	struct rig_request *req;
	struct ring_seg segs[3];

	(void)state;
	begin(&options);
	req = request(0);
	*req->status = RIG_NO_STATUS;
	req->header->type = BLK_T_IN;
	req->header->sector = 0;
	segs[0] = (struct ring_seg){req->header_gpa, 16};
	segs[1] = (struct ring_seg){0x1000, 512};
	segs[2] = (struct ring_seg){req->status_gpa, 1};
	assert_int_equal(ring_add(rig.queues[0].ring, segs, 1, 2, 0), 0);
	rig_publish(&rig, 0);
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(*req->status, BLK_S_IOERR);
	device_ring_stats(rig.device, &stats);
	assert_int_equal(stats.chain_errors[CHAIN_BAD_ADDRESS], 1);
	/* No status byte: given back with nothing written. */
	segs[1] = (struct ring_seg){req->data_gpa, 512};
	assert_int_equal(ring_add(rig.queues[0].ring, segs, 2, 0, 0), 0);
	rig_publish(&rig, 0);
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(rig_stats(&rig).bad_framing, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

/* Chains longer than a slot, so that blocks of the worker's pool come and go. */
static void test_long_chains(void **state)
{
	struct rig_options options = {.event_idx = true, .size = 256};
	static uint8_t expected[RIG_DATA_BYTES];
	struct rig_request *req;

	(void)state;
	begin(&options);
	req = request(0);
	for (unsigned round = 0; round < 200; round++) {
		struct ring_seg segs[34];
		unsigned data_cnt = 32;

		fill(expected, sizeof(expected), round);
		fake_storage_put(storage, 0, expected, sizeof(expected));
		req->header->type = BLK_T_IN;
		req->header->sector = 0;
		segs[0] = (struct ring_seg){req->header_gpa, 16};
		for (unsigned i = 0; i < data_cnt; i++)
			segs[1 + i] = (struct ring_seg){req->data_gpa + i * 512, 512};
		segs[1 + data_cnt] = (struct ring_seg){req->status_gpa, 1};
		assert_int_equal(ring_add(rig.queues[0].ring, segs, 1, data_cnt + 1, 0), 0);
		rig_publish(&rig, 0);
		rig_wait_used(&rig, 0, 1);
		assert_int_equal(*req->status, BLK_S_OK);
		assert_memory_equal(req->data, expected, sizeof(expected));
	}
	end();
}

/* Counters of queues that stopped stay in the sum. */
static void test_stats_outlive_queues(void **state)
{
	struct rig_options options = {.event_idx = true, .queues = 2};
	struct virtqueue_stats stats;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	assert_int_equal(rig_do(&rig, 1, BLK_T_IN, 0, 0, 1024), BLK_S_OK);
	rig_queue_stop(&rig, 0);
	assert_int_equal(rig_stats(&rig).reads, 2);
	assert_int_equal(rig_stats(&rig).read_bytes, 1536);
	device_ring_stats(rig.device, &stats);
	assert_int_equal(stats.completed, 2);
	rig_queue_stop(&rig, 1);
	assert_int_equal(rig_stats(&rig).reads, 2);
	device_ring_stats(rig.device, &stats);
	assert_int_equal(stats.completed, 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_over_all_rings),
		cmocka_unit_test(test_always_polled),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_segment_fails),
		cmocka_unit_test(test_storage_errors),
		cmocka_unit_test(test_get_id),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_cache_modes),
		cmocka_unit_test(test_mode_changes_while_running),
		cmocka_unit_test(test_writethrough_waits_for_the_flush),
		cmocka_unit_test(test_writethrough_in_bursts),
		cmocka_unit_test(test_resize_while_running),
		cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_long_chains),
		cmocka_unit_test(test_stats_outlive_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
