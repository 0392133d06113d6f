/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature bits and config space of a block device, byte by byte, and the rules of writing to it.
 * No queue runs here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "device/blk/blk_priv.h"
#include "fake/fake_storage.h"

#define WRITEBACK 32u
#define BIT(n) (1ull << (n))

/* Not a worker: nothing here starts a queue. */
static char nobody;
static struct worker *const no_workers[] = {(struct worker *)(void *)&nobody};

static const struct storage_info usual_info = {
	.capacity_bytes = 64u << 20,
	.block_bytes = 512,
	.physical_block_bytes = 4096,
	.io_min_bytes = 4096,
	.io_opt_bytes = 65536,
	.discard_granularity_bytes = 4096,
	.can_discard = true,
	.volatile_cache = true,
};

static const struct blk_options usual_options = {
	.name = "vda",
	.queues = 4,
	.seg_max = 126,
	.discard = true,
	.packed = true,
	.event_idx = true,
	.indirect = true,
	.workers = no_workers,
	.worker_cnt = 1,
};

static struct storage *storage;

static struct device *make(const struct blk_options *options, const struct storage_info *info)
{
	struct device *device = NULL;
	struct err err = ERR_INIT;

	storage = fake_storage_new(info);
	if (blk_device_new(options, storage, NULL, &device, &err))
		fail_msg("%s", err.text);
	return device;
}

static void end(struct device *device)
{
	blk_device_free(device);
	fake_storage_free(storage);
}

static uint64_t config_get(struct device *device, uint32_t offset, uint32_t size)
{
	uint8_t bytes[8] = {0};
	uint64_t value = 0;

	assert_int_equal(device_config_read(device, offset, size, bytes, NULL), 0);
	for (unsigned i = size; i > 0; i--)
		value = value << 8 | bytes[i - 1];
	return value;
}

struct field {
	const char *name;
	uint32_t offset, size;
	uint64_t value;
};

static void check_fields(struct device *device, const struct field *fields, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		uint64_t value = config_get(device, fields[i].offset, fields[i].size);

		if (value != fields[i].value)
			fail_msg("%s: %llu, not %llu", fields[i].name, (unsigned long long)value,
				 (unsigned long long)fields[i].value);
	}
}

/* Offsets are those of VIRTIO 1.3, 5.2.4, written down here once more. */
static void test_every_field(void **state)
{
	static const struct field fields[] = {
		{"capacity", 0, 8, 131072},
		{"size_max", 8, 4, BLK_SIZE_MAX_BYTES},
		{"seg_max", 12, 4, 126},
		{"cylinders", 16, 2, 130},
		{"heads", 18, 1, 16},
		{"sectors", 19, 1, 63},
		{"blk_size", 20, 4, 512},
		{"physical_block_exp", 24, 1, 3},
		{"alignment_offset", 25, 1, 0},
		{"min_io_size", 26, 2, 8},
		{"opt_io_size", 28, 4, 128},
		{"writeback", 32, 1, 1},
		{"unused0", 33, 1, 0},
		{"num_queues", 34, 2, 4},
		{"max_discard_sectors", 36, 4, BLK_DISCARD_SECTORS_MAX},
		{"max_discard_seg", 40, 4, 8},
		{"discard_sector_alignment", 44, 4, 8},
		{"max_write_zeroes_sectors", 48, 4, BLK_WRITE_ZEROES_SECTORS_MAX},
		{"max_write_zeroes_seg", 52, 4, 8},
		{"write_zeroes_may_unmap", 56, 1, 1},
		{"unused1", 57, 3, 0},
		{"max_secure_erase_sectors", 60, 4, 0},
		{"max_secure_erase_seg", 64, 4, 0},
		{"secure_erase_sector_alignment", 68, 4, 0},
		{"zone_sectors", 72, 4, 0},
		{"max_open_zones", 76, 4, 0},
		{"max_active_zones", 80, 4, 0},
		{"max_append_sectors", 84, 4, 0},
		{"write_granularity", 88, 4, 0},
		{"model", 92, 1, 0},
		{"unused2", 93, 3, 0},
		{"beyond", 96, 8, 0},
		{"last byte", 255, 1, 0},
	};
	struct device *device = make(&usual_options, &usual_info);

	(void)state;
	check_fields(device, fields, ARRAY_LEN(fields));
	assert_int_equal(device_virtio_id(device), 2);
	assert_string_equal(device_name(device), "vda");
	assert_int_equal(device_queue_max(device), 4);
	end(device);
}

static void test_other_disks(void **state)
{
	static const struct field large_blocks[] = {
		{"capacity in sectors of 512", 0, 8, 131072},
		{"blk_size", 20, 4, 4096},
		{"physical_block_exp", 24, 1, 0},
		{"min_io_size", 26, 2, 0},
		{"opt_io_size", 28, 4, 0},
		{"writeback", 32, 1, 0},
		{"discard_sector_alignment", 44, 4, 8},
		{"write_zeroes_may_unmap", 56, 1, 0},
	};
	static const struct field huge[] = {
		{"capacity", 0, 8, 1ull << 42},
		{"cylinders", 16, 2, 65535},
		{"heads", 18, 1, 255},
		{"min_io_size", 26, 2, 65535},
	};
	static const struct field no_discard[] = {
		{"max_discard_sectors", 36, 4, 0},      {"max_discard_seg", 40, 4, 0},
		{"discard_sector_alignment", 44, 4, 0}, {"max_write_zeroes_sectors", 48, 4, 0},
		{"max_write_zeroes_seg", 52, 4, 0},     {"write_zeroes_may_unmap", 56, 1, 0},
	};
	struct blk_options options = usual_options;
	struct storage_info info = {.capacity_bytes = 64u << 20, .block_bytes = 4096};
	struct device *device = make(&options, &info);

	(void)state;
	check_fields(device, large_blocks, ARRAY_LEN(large_blocks));
	end(device);

	info = usual_info;
	info.io_min_bytes = 1u << 30;
	device = make(&options, &info);
	blk_of_device(device)->info = &(struct storage_info){
		.capacity_bytes = 1ull << 51, .block_bytes = 512, .io_min_bytes = 1u << 30};
	check_fields(device, huge, ARRAY_LEN(huge));
	end(device);

	options.discard = false;
	device = make(&options, &usual_info);
	check_fields(device, no_discard, ARRAY_LEN(no_discard));
	end(device);
}

static void test_reads_are_bounded(void **state)
{
	static const struct {
		uint32_t offset, size;
		int status;
	} reads[] = {
		{0, 256, 0},        {0, 257, -EINVAL},        {255, 1, 0},
		{256, 0, 0},        {256, 1, -EINVAL},        {257, 0, -EINVAL},
		{200, 57, -EINVAL}, {UINT32_MAX, 2, -EINVAL}, {2, UINT32_MAX, -EINVAL},
		{0, 60, 0},         {UINT32_MAX, 0, -EINVAL},
	};
	struct device *device = make(&usual_options, &usual_info);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(reads); i++) {
		struct err err = ERR_INIT;
		uint8_t bytes[DEVICE_CONFIG_BYTES_MAX + 1];
		int status;

		memset(bytes, 0xAA, sizeof(bytes));
		status = device_config_read(device, reads[i].offset, reads[i].size, bytes, &err);
		assert_int_equal(status, reads[i].status);
		assert_int_equal(err.code, -status);
		assert_int_equal(bytes[status ? 0 : reads[i].size], 0xAA);
	}
	end(device);
}

static uint64_t offered(bool read_only, bool discard, unsigned queues, bool ring_bits)
{
	struct blk_options options = usual_options;
	struct storage_info info = usual_info;
	struct device *device;
	uint64_t features;

	info.read_only = read_only;
	options.discard = discard;
	options.queues = queues;
	options.packed = options.event_idx = options.indirect = options.in_order = ring_bits;
	device = make(&options, &info);
	features = device_features(device);
	end(device);
	return features;
}

static void test_offered_features(void **state)
{
	const uint64_t always = BIT(1) | BIT(2) | BIT(4) | BIT(6) | BIT(9) | BIT(10) | BIT(11) |
				BIT(32);

	(void)state;
	assert_int_equal(offered(false, false, 1, false), always);
	assert_int_equal(offered(false, false, 2, false), always | BIT(12));
	assert_int_equal(offered(false, true, 1, false), always | BIT(13) | BIT(14));
	/* 5.2.6.2: nothing that writes on a read-only disk. */
	assert_int_equal(offered(true, true, 1, false), always | BIT(5));
	assert_int_equal(offered(false, false, 1, true),
			 always | BIT(28) | BIT(29) | BIT(34) | BIT(35));
}

static void test_set_features(void **state)
{
	static const struct {
		const char *name;
		uint64_t acked;
		int status;
		const char *text; /* a part of it */
	} cases[] = {
		{"nothing", 0, 0, ""},
		{"modern", BIT(32) | BIT(9), 0, ""},
		{"legacy, as early boot firmware may be", BIT(9), 0, ""},
		{"packed", BIT(32) | BIT(34), 0, ""},
		{"packed without VERSION_1", BIT(34), -EINVAL, "RING_PACKED without VERSION_1"},
		{"read-only, not offered", BIT(32) | BIT(5), -EINVAL, "bit 5 (RO) not offered"},
		{"two", BIT(32) | BIT(5) | BIT(35), -EINVAL, "bit 5 (RO), bit 35 (IN_ORDER)"},
		{"one without a name", BIT(32) | BIT(63), -EINVAL, "bit 63 not offered"},
		{"all", UINT64_MAX, -EINVAL, "bit 0, bit 3, "},
	};
	struct device *device = make(&usual_options, &usual_info);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		int status = device_set_features(device, cases[i].acked, &err);

		if (status != cases[i].status || !strstr(err.text, cases[i].text))
			fail_msg("%s: %d %s", cases[i].name, status, err.text);
	}
	/* What was refused has changed nothing. */
	assert_int_equal(device->acked, BIT(32) | BIT(34));
	end(device);
}

struct wce_case {
	const char *name;
	uint64_t acked;
	bool volatile_cache;
	int write; /* to writeback, or -1 */
	int write_status;
	uint8_t writeback; /* read afterwards */
	bool writethrough; /* io.c flushes after each write */
};

/* 5.2.5 and 5.2.6.2, facts.md B.7. */
static void test_cache_modes(void **state)
{
	static const uint64_t wce = BIT(32) | BIT(11), flush = BIT(32) | BIT(9);
	const struct wce_case cases[] = {
		{"before negotiation", 0, true, -1, 0, 1, true},
		{"both", wce | flush, true, -1, 0, 1, false},
		{"both, set to write-through", wce | flush, true, 0, 0, 0, true},
		{"both, set to write-back", wce | flush, true, 1, 0, 1, false},
		{"FLUSH alone", flush, true, -1, 0, 1, false},
		{"FLUSH alone cannot be set", flush, true, 0, -EPERM, 1, false},
		{"WCE without FLUSH starts write-through", wce, true, -1, 0, 0, true},
		{"WCE without FLUSH, set to write-back", wce, true, 1, 0, 1, false},
		{"neither", BIT(32), true, -1, 0, 0, true},
		{"neither cannot be set", BIT(32), true, 1, -EPERM, 0, true},
		{"no volatile cache", wce | flush, false, -1, 0, 0, false},
		{"no volatile cache, neither", BIT(32), false, -1, 0, 0, false},
		{"no volatile cache, set to write-through", wce | flush, false, 0, 0, 0, false},
		{"neither 0 nor 1", wce | flush, true, 2, -EINVAL, 1, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct wce_case *c = &cases[i];
		struct storage_info info = usual_info;
		struct err err = ERR_INIT;
		struct device *device;
		int status = 0;

		info.volatile_cache = c->volatile_cache;
		device = make(&usual_options, &info);
		assert_int_equal(device_set_features(device, c->acked, NULL), 0);
		if (c->write >= 0) {
			uint8_t value = (uint8_t)c->write;

			status = device_config_write(device, WRITEBACK, 1, &value, &err);
		}
		if (status != c->write_status || (status && !err.text[0]) ||
		    config_get(device, WRITEBACK, 1) != c->writeback ||
		    blk_of_device(device)->writethrough != c->writethrough)
			fail_msg("%s", c->name);
		end(device);
	}
}

static void test_mode_is_forgotten_by_reset(void **state)
{
	struct device *device = make(&usual_options, &usual_info);
	uint64_t acked = BIT(32) | BIT(9) | BIT(11);
	uint8_t off = 0;

	(void)state;
	assert_int_equal(device_set_features(device, acked, NULL), 0);
	assert_int_equal(device_config_write(device, WRITEBACK, 1, &off, NULL), 0);
	assert_int_equal(config_get(device, WRITEBACK, 1), 0);
	/* The same features again are no new negotiation. */
	assert_int_equal(device_set_features(device, acked, NULL), 0);
	assert_int_equal(config_get(device, WRITEBACK, 1), 0);
	device_reset(device);
	assert_int_equal(config_get(device, WRITEBACK, 1), 1);
	assert_int_equal(device->acked, 0);
	end(device);
}

/* QEMU passes a write on before it passes the features on. */
static void test_write_before_features(void **state)
{
	struct device *device = make(&usual_options, &usual_info);
	uint8_t off = 0;

	(void)state;
	assert_int_equal(device_config_write(device, WRITEBACK, 1, &off, NULL), 0);
	assert_int_equal(device_set_features(device, BIT(32) | BIT(9) | BIT(11), NULL), 0);
	assert_int_equal(config_get(device, WRITEBACK, 1), 0);
	assert_true(blk_of_device(device)->writethrough);
	end(device);
}

static void test_nothing_else_is_writable(void **state)
{
	struct device *device = make(&usual_options, &usual_info);
	uint8_t before[96], after[96], junk[128];

	(void)state;
	memset(junk, 0x55, sizeof(junk));
	assert_int_equal(device_config_read(device, 0, sizeof(before), before, NULL), 0);
	for (uint32_t offset = 0; offset <= 97; offset++) {
		for (uint32_t size = 1; size <= 97; size++) {
			struct err err = ERR_INIT;
			int status = device_config_write(device, offset, size, junk, &err);

			if (offset + size > 96 || (offset == WRITEBACK && size == 1))
				assert_int_equal(status, -EINVAL);
			else
				assert_int_equal(status, -EPERM);
			assert_true(err.text[0]);
		}
	}
	assert_int_equal(device_config_write(device, UINT32_MAX, 2, junk, NULL), -EINVAL);
	assert_int_equal(device_config_write(device, 0, 0, junk, NULL), 0);
	assert_int_equal(device_config_read(device, 0, sizeof(after), after, NULL), 0);
	assert_memory_equal(before, after, sizeof(before));
	end(device);
}

static unsigned told;

static void config_changed(void *front)
{
	assert_ptr_equal(front, &told);
	told++;
}

static void test_resize_is_told(void **state)
{
	static const struct device_front_ops front_ops = {.config_changed = config_changed};
	struct device *device = make(&usual_options, &usual_info);

	(void)state;
	told = 0;
	/* Nobody is there: no harm. */
	blk_device_resized(device);
	device_set_front(device, &front_ops, &told);
	fake_storage_resize(storage, 128u << 20);
	blk_device_resized(device);
	assert_int_equal(told, 1);
	assert_int_equal(config_get(device, 0, 8), 262144);
	device_set_front(device, &front_ops, NULL);
	blk_device_resized(device);
	assert_int_equal(told, 1);
	end(device);
}

static void test_bad_options(void **state)
{
	static const struct {
		unsigned queues;
		uint32_t seg_max;
		const char *serial;
		unsigned worker_cnt;
		const char *text;
	} cases[] = {
		{0, 126, NULL, 1, "queues: 0 "},
		{257, 126, NULL, 1, "queues: 257 "},
		{1, 0, NULL, 1, "seg-max: 0 "},
		{1, 1023, NULL, 1, "seg-max: 1023 "},
		{1, 126, "more-than-twenty-bytes", 1, "serial: "},
		{1, 126, NULL, 0, "workers: "},
	};

	(void)state;
	storage = fake_storage_new(&usual_info);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct blk_options options = usual_options;
		struct device *device = NULL;
		struct err err = ERR_INIT;

		options.queues = cases[i].queues;
		options.seg_max = cases[i].seg_max;
		options.serial = cases[i].serial;
		options.worker_cnt = cases[i].worker_cnt;
		assert_int_equal(blk_device_new(&options, storage, NULL, &device, &err), -EINVAL);
		if (strncmp(err.text, cases[i].text, strlen(cases[i].text)))
			fail_msg("%s", err.text);
		assert_null(device);
	}
	fake_storage_free(storage);
	blk_device_free(NULL);
}

static void test_serial(void **state)
{
	static const struct {
		const char *name, *serial;
		char expected[BLK_SERIAL_BYTES + 1];
	} cases[] = {
		{"vda", NULL, "vda"},
		{"vda", "", ""},
		{"vda", "S123", "S123"},
		{"vda", "exactly-twenty-bytes", "exactly-twenty-bytes"},
		{"a-name-that-is-longer-than-that", NULL, "a-name-that-is-longe"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct blk_options options = usual_options;
		struct device *device;

		options.name = cases[i].name;
		options.serial = cases[i].serial;
		device = make(&options, &usual_info);
		assert_memory_equal(blk_of_device(device)->rules.serial, cases[i].expected,
				    BLK_SERIAL_BYTES);
		end(device);
	}
}

static void test_every_counter_has_a_row(void **state)
{
	(void)state;
	for (unsigned i = 0; i < blk_stat_row_cnt; i++) {
		assert_int_equal(blk_stat_rows[i].offset % sizeof(uint64_t), 0);
		for (unsigned k = 0; k < i; k++) {
			assert_int_not_equal(blk_stat_rows[i].offset, blk_stat_rows[k].offset);
			assert_string_not_equal(blk_stat_rows[i].name, blk_stat_rows[k].name);
		}
	}
	assert_int_equal(blk_stat_row_cnt * sizeof(uint64_t), sizeof(struct blk_stats));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_other_disks),
		cmocka_unit_test(test_reads_are_bounded),
		cmocka_unit_test(test_offered_features),
		cmocka_unit_test(test_set_features),
		cmocka_unit_test(test_cache_modes),
		cmocka_unit_test(test_mode_is_forgotten_by_reset),
		cmocka_unit_test(test_write_before_features),
		cmocka_unit_test(test_nothing_else_is_writable),
		cmocka_unit_test(test_resize_is_told),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_serial),
		cmocka_unit_test(test_every_counter_has_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
