/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk over the storages of src/storage that need no file: what the layers make together.
 * Their details have tests of their own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "device/blk/blk_priv.h"
#include "device_rig.h"

#define DISK_BYTES (32ull << 20)
#define DEPTH 128u

static struct rig rig;
static struct storage *storage;

static void begin(enum storage_backend backend, const struct rig_options *options)
{
	struct storage_options storage_options = {
		.name = "rig",
		.backend = backend,
		.size_bytes = DISK_BYTES,
		.discard = true,
		.channels = backend == STORAGE_BACKEND_FLASH ? 8 : 0,
		.read_us = backend == STORAGE_BACKEND_FLASH ? 50 : 0,
		.write_us = backend == STORAGE_BACKEND_FLASH ? 20 : 0,
	};
	struct err err = ERR_INIT;

	if (storage_open(&storage_options, &storage, &err))
		fail_msg("%s", err.text);
	rig_open(&rig, options, storage);
	for (unsigned i = 0; i < rig.options.queues; i++)
		rig_queue_start(&rig, i);
}

static void end(void)
{
	rig_close(&rig);
	storage_close(storage);
}

static struct rig_request *request(unsigned idx, uint16_t token)
{
	return &rig.queues[idx].requests[token];
}

/* A pattern with place and generation in each sector. */
static void stamp(uint8_t *data, uint32_t bytes, uint64_t sector, unsigned round)
{
	for (uint32_t pos = 0; pos < bytes; pos += 8) {
		uint64_t word = (sector + pos / 512) << 24 | (uint64_t)round << 16 | pos % 512;

		memcpy(data + pos, &word, sizeof(word));
	}
}

static uint32_t bytes_of(unsigned i)
{
	static const uint32_t bytes[] = {512, 4096, 1536, 16384};

	return bytes[i % ARRAY_LEN(bytes)];
}

static uint64_t sector_of(unsigned idx, unsigned i)
{
	return (uint64_t)(idx * DEPTH + i) * (RIG_DATA_BYTES / 512);
}

static void send_all(unsigned idx, uint32_t type, unsigned round)
{
	for (uint16_t i = 0; i < DEPTH; i++) {
		uint32_t bytes = bytes_of(i + round);
		uint64_t sector = sector_of(idx, i);
		bool out = type == BLK_T_OUT;

		if (out)
			stamp(request(idx, i)->data, bytes, sector, round);
		else
			memset(request(idx, i)->data, 0xEE, bytes);
		rig_add(&rig, idx, i, type, sector, out ? bytes : 0, out ? 0 : bytes);
	}
	rig_publish(&rig, idx);
}

static void check_all(unsigned idx, unsigned round)
{
	static uint8_t expected[RIG_DATA_BYTES];

	for (uint16_t i = 0; i < DEPTH; i++) {
		stamp(expected, bytes_of(i + round), sector_of(idx, i), round);
		assert_int_equal(*request(idx, i)->status, BLK_S_OK);
		assert_memory_equal(request(idx, i)->data, expected, bytes_of(i + round));
	}
}

/* Several queues on several workers, all in flight at once. */
static void test_ram_keeps_data(void **state)
{
	(void)state;
	for (unsigned format = RING_SPLIT; format <= RING_PACKED; format++) {
		struct rig_options options = {
			.format = format,
			.size = 512,
			.queues = 4,
			.event_idx = true,
			.indirect = format == RING_PACKED,
			.poll_max_ns = 20000,
		};

		begin(STORAGE_BACKEND_RAM, &options);
		for (unsigned round = 0; round < 5; round++) {
			for (unsigned idx = 0; idx < 4; idx++)
				send_all(idx, BLK_T_OUT, round);
			for (unsigned idx = 0; idx < 4; idx++)
				rig_wait_used(&rig, idx, DEPTH);
			for (unsigned idx = 0; idx < 4; idx++)
				send_all(idx, BLK_T_IN, round);
			for (unsigned idx = 0; idx < 4; idx++)
				rig_wait_used(&rig, idx, DEPTH);
			for (unsigned idx = 0; idx < 4; idx++)
				check_all(idx, round);
		}
		assert_int_equal(rig_stats(&rig).writes, 4 * 5 * DEPTH);
		end();
	}
}

static void wait_all(unsigned idx, unsigned round)
{
	uint64_t deadline_ns = rig_deadline_ns();

	/* A move in the middle of the burst, and again when some of it has come back. */
	for (unsigned got = 0, move = 0; got < DEPTH; move++) {
		if (move < 4)
			rig_queue_move(&rig, idx, (idx + round + move) % RIG_WORKERS);
		else
			assert_int_equal(evloop_turn(rig.loop, 1), 0);
		got += rig_take_used(&rig, idx);
		rig_check_deadline(deadline_ns, "used buffers");
	}
}

/* Queues that move while their requests are in the storage: nothing is lost, or done twice. */
static void test_moves_keep_data(void **state)
{
	static const enum storage_backend backends[] = {STORAGE_BACKEND_RAM, STORAGE_BACKEND_FLASH};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct rig_options options = {
			.format = i & 1 ? RING_PACKED : RING_SPLIT,
			.size = 512,
			.queues = 2,
			.event_idx = true,
			.poll_mode = i & 1 ? POLL_MODE_NEVER : POLL_MODE_ADAPTIVE,
			.poll_max_ns = 20000,
		};
		struct storage_stats kept;

		begin(backends[i / 2], &options);
		for (unsigned round = 0; round < 6; round++) {
			for (unsigned idx = 0; idx < 2; idx++)
				send_all(idx, round & 1 ? BLK_T_IN : BLK_T_OUT, round & ~1u);
			for (unsigned idx = 0; idx < 2; idx++)
				wait_all(idx, round);
			for (unsigned idx = 0; idx < 2 && round & 1; idx++)
				check_all(idx, round & ~1u);
		}
		for (unsigned idx = 0; idx < 2; idx++)
			rig_queue_stop(&rig, idx);
		device_stats(rig.device, 3, &kept);
		assert_int_equal(kept.ops[STORAGE_WRITE], 2 * 3 * DEPTH);
		assert_int_equal(kept.ops[STORAGE_READ], 2 * 3 * DEPTH);
		assert_int_equal(kept.bytes[STORAGE_READ], kept.bytes[STORAGE_WRITE]);
		assert_int_equal(kept.bytes[STORAGE_READ], rig_stats(&rig).read_bytes);
		end();
	}
}

/* Segments that complete later (freed by the kernel's threads) and within submit. */
static void test_ram_discards_and_zeroes(void **state)
{
	static const uint32_t types[] = {BLK_T_DISCARD, BLK_T_WRITE_ZEROES};
	struct rig_options options = {.event_idx = true, .poll_mode = POLL_MODE_NEVER};

	(void)state;
	begin(STORAGE_BACKEND_RAM, &options);
	for (unsigned t = 0; t < ARRAY_LEN(types); t++) {
		struct blk_wire_segment segments[3] = {
			{le64_of(0), le32_of(2048), le32_of(0)},
			{le64_of(4096), le32_of(1), le32_of(0)},
			{le64_of(8192), le32_of(1024), le32_of(0)},
		};
		static const uint64_t sectors[] = {0, 2047, 4096, 8192, 9215};

		for (unsigned i = 0; i < ARRAY_LEN(sectors); i++) {
			memset(request(0, 0)->data, 0x11, 512);
			assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, sectors[i], 512, 0), BLK_S_OK);
		}
		memset(request(0, 0)->data, 0x22, 512);
		assert_int_equal(rig_do(&rig, 0, BLK_T_OUT, 2048, 512, 0), BLK_S_OK);
		memcpy(request(0, 0)->data, segments, sizeof(segments));
		assert_int_equal(rig_do(&rig, 0, types[t], 0, sizeof(segments), 0), BLK_S_OK);
		for (unsigned i = 0; i < ARRAY_LEN(sectors); i++) {
			assert_int_equal(rig_do(&rig, 0, BLK_T_IN, sectors[i], 0, 512), BLK_S_OK);
			assert_int_equal(request(0, 0)->data[511], 0);
		}
		assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 2048, 0, 512), BLK_S_OK);
		assert_int_equal(request(0, 0)->data[0], 0x22);
	}
	end();
}

/* Everything is done within submit: one burst of the driver, whole in a turn or in several. */
static void test_null_completes(void **state)
{
	(void)state;
	for (unsigned mode = 0; mode < POLL_MODE_MAX_; mode++) {
		struct rig_options options = {
			.size = 512,
			.event_idx = true,
			.poll_mode = (enum poll_mode)mode,
		};
		struct virtqueue_stats stats;

		begin(STORAGE_BACKEND_NULL, &options);
		for (unsigned round = 0; round < 50; round++) {
			send_all(0, round & 1 ? BLK_T_OUT : BLK_T_IN, round);
			rig_wait_used(&rig, 0, DEPTH);
		}
		assert_int_equal(rig_do(&rig, 0, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
		device_ring_stats(rig.device, &stats);
		assert_int_equal(stats.completed, 50 * DEPTH + 1);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ram_keeps_data),
		cmocka_unit_test(test_moves_keep_data),
		cmocka_unit_test(test_ram_discards_and_zeroes),
		cmocka_unit_test(test_null_completes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
