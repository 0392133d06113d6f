/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What breaks a queue, by name, and what a broken queue still does; and what is refused when a
 * queue is made.
 * Not bad chains, which leave the ring in step (test_chain.c).
 */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Broken: said once, sticky, and quiet; what is in flight still completes. */
static void expect_broken(struct fixture *f, enum virtqueue_fault fault)
{
	assert_int_equal(virtqueue_fault(f->vq), fault);
	assert_int_equal(fixture_signals(f->err_fd), 1);
	assert_false(virtqueue_has_avail(f->vq));
	assert_false(virtqueue_arm(f->vq));
	fixture_fetch_none(f);
	fixture_fetch_none(f);
	assert_int_equal(fixture_signals(f->err_fd), 0);
	assert_int_equal(virtqueue_fault(f->vq), fault);
}

static const struct seg one = {DATA_GPA, 512, true};

static void test_avail_jump(void **state)
{
	static const uint16_t jumps[] = {9, 10, 0x8000, 0xffff};
	const struct driver_opts opts = {.size = 8, .start_idx = 65533};
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(jumps); i++) {
		fixture_init(&f, &opts);
		put16(f.driver.driver_area + 2, (uint16_t)(65533 + jumps[i]));
		assert_true(virtqueue_has_avail(f.vq));
		fixture_fetch_none(&f);
		expect_broken(&f, VIRTQUEUE_FAULT_AVAIL_JUMP);
		/* Going back to what was right does not mend it. */
		put16(f.driver.driver_area + 2, 65533);
		driver_add(&f.driver, &one, 1);
		driver_publish(&f.driver);
		fixture_fetch_none(&f);
		assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_FAULT_AVAIL_JUMP);
		fixture_fini(&f);
	}
}

/* A full ring is no jump. */
static void test_full_ring_is_no_jump(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct fixture f;

	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 8; i++)
		assert_true(driver_add(&f.driver, &one, 1) >= 0);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 8);
	fixture_fetch_none(&f);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	fixture_fini(&f);
}

/* More available descriptors than the ring has: some were not given back. */
static void test_packed_overcommit(void **state)
{
	const struct driver_opts opts = {.packed = true, .size = 4, .start_idx = 0x8000};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct fixture f;

	(void)state;
	/* One at a time, past the end. */
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 4; i++)
		driver_desc(&f.driver, i, DATA_GPA, 512, F_WRITE | F_AVAIL, (uint16_t)i);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 4);
	driver_desc(&f.driver, 0, DATA_GPA, 512, F_WRITE | F_USED, 4);
	fixture_fetch_none(&f);
	expect_broken(&f, VIRTQUEUE_FAULT_AVAIL_JUMP);
	virtqueue_complete(f.vq, f.pool, slots, 4);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	fixture_fini(&f);

	/* A chain that is longer than what is left. */
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 2; i++)
		driver_desc(&f.driver, i, DATA_GPA, 512, F_WRITE | F_AVAIL, (uint16_t)i);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 2);
	driver_desc(&f.driver, 2, DATA_GPA, 512, F_WRITE | F_NEXT | F_AVAIL, 2);
	driver_desc(&f.driver, 3, DATA_GPA, 512, F_WRITE | F_NEXT | F_AVAIL, 2);
	driver_desc(&f.driver, 0, DATA_GPA, 512, F_WRITE | F_USED, 2);
	fixture_fetch_none(&f);
	expect_broken(&f, VIRTQUEUE_FAULT_AVAIL_JUMP);
	fixture_fini(&f);
}

/* The good heads before the bad one are served. */
static void test_head_range(void **state)
{
	static const uint16_t heads[] = {8, 9, 0x7fff, 0xffff};
	const struct driver_opts opts = {.size = 8};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
		fixture_init(&f, &opts);
		driver_desc(&f.driver, 5, DATA_GPA, 512, F_WRITE, 0);
		driver_raw_head(&f.driver, 5);
		driver_raw_head(&f.driver, heads[i]);
		assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 1);
		assert_int_equal(slots[0]->id, 5);
		expect_broken(&f, VIRTQUEUE_FAULT_HEAD_RANGE);
		fixture_complete_one(&f, slots[0], 9);
		assert_int_equal(get16(f.driver.device_area + 2), 1);
		assert_int_equal(get32(f.driver.device_area + 4), 5);
		assert_int_equal(get32(f.driver.device_area + 8), 9);
		fixture_fini(&f);
	}
}

static void test_split_head_twice(void **state)
{
	const struct driver_opts opts = {.size = 8};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct fixture f;

	(void)state;
	/* In one burst. */
	fixture_init(&f, &opts);
	driver_desc(&f.driver, 5, DATA_GPA, 512, F_WRITE, 0);
	driver_raw_head(&f.driver, 5);
	driver_raw_head(&f.driver, 5);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 1);
	expect_broken(&f, VIRTQUEUE_FAULT_HEAD_IN_FLIGHT);
	fixture_complete_one(&f, slots[0], 0);
	fixture_fini(&f);

	/* In a later one. */
	fixture_init(&f, &opts);
	driver_desc(&f.driver, 5, DATA_GPA, 512, F_WRITE, 0);
	driver_raw_head(&f.driver, 5);
	fixture_fetch_one(&f);
	driver_raw_head(&f.driver, 5);
	fixture_fetch_none(&f);
	expect_broken(&f, VIRTQUEUE_FAULT_HEAD_IN_FLIGHT);
	fixture_fini(&f);

	/* After its completion it is as good as any other. */
	fixture_init(&f, &opts);
	driver_desc(&f.driver, 5, DATA_GPA, 512, F_WRITE, 0);
	for (unsigned i = 0; i < 20; i++) {
		driver_raw_head(&f.driver, 5);
		fixture_complete_one(&f, fixture_fetch_one(&f), 0);
	}
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	fixture_fini(&f);
}

/* Ids of packed rings are the driver's choice, below the ring's size or not. */
static void test_packed_id_twice(void **state)
{
	static const uint16_t ids[] = {0, 3, 4, 255, 256, 0x8000, 0xffff};
	const struct driver_opts opts = {.packed = true, .size = 4, .start_idx = 0x8000};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
		fixture_init(&f, &opts);
		driver_desc(&f.driver, 0, DATA_GPA, 512, F_WRITE | F_AVAIL, ids[i]);
		driver_desc(&f.driver, 1, DATA_GPA, 512, F_WRITE | F_AVAIL, ids[i]);
		assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 1);
		assert_int_equal(slots[0]->id, ids[i]);
		expect_broken(&f, VIRTQUEUE_FAULT_HEAD_IN_FLIGHT);
		fixture_complete_one(&f, slots[0], 6);
		assert_int_equal(get32(f.driver.desc + 8), 6);
		assert_int_equal(get16(f.driver.desc + 12), ids[i]);
		assert_int_equal(get16(f.driver.desc + 14), F_AVAIL | F_USED | F_WRITE);
		fixture_fini(&f);
	}
	/* One after the other is no matter. */
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 4; i++) {
		driver_desc(&f.driver, i, DATA_GPA, 512, F_WRITE | F_AVAIL, 0xffff);
		fixture_complete_one(&f, fixture_fetch_one(&f), 0);
	}
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	fixture_fini(&f);
}

/* Every descriptor says that there is a next one. */
static void test_packed_chain_framing(void **state)
{
	const struct driver_opts opts = {.packed = true, .size = 4, .start_idx = 0x8002};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 4; i++)
		driver_desc(&f.driver, i, DATA_GPA, 512, F_WRITE | F_NEXT | F_AVAIL, 1);
	fixture_fetch_none(&f);
	expect_broken(&f, VIRTQUEUE_FAULT_CHAIN_FRAMING);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	fixture_fini(&f);

	/* A long chain had borrowed a block: it comes home. */
	fixture_init(&f, &(struct driver_opts){.packed = true, .size = 64, .start_idx = 0x8000});
	for (unsigned i = 0; i < 64; i++)
		driver_desc(&f.driver, i, DATA_GPA, 512, F_WRITE | F_NEXT | F_AVAIL, 1);
	fixture_fetch_none(&f);
	expect_broken(&f, VIRTQUEUE_FAULT_CHAIN_FRAMING);
	fixture_fini(&f);

	/* As long as the ring and no longer: good. */
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 4; i++)
		driver_desc(&f.driver, i, DATA_GPA, 512,
			    (uint16_t)(F_WRITE | (i == 1 ? 0 : F_NEXT) | F_AVAIL), (uint16_t)i);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, VIRTQUEUE_BURST), 1);
	assert_int_equal(slots[0]->id, 1);
	assert_int_equal(slots[0]->desc_cnt, 4);
	assert_int_equal(slots[0]->in_cnt, 4);
	fixture_fini(&f);
}

/* The ring leaves memory: it is never touched again, and what is in flight is forgotten there. */
static void test_ring_unmapped(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	uint8_t before[64];
	struct vq_slot *slot;
	struct gmem *other;
	struct fixture f;

	fixture_init(&f, &opts);
	driver_add(&f.driver, &(struct seg){FAR_GPA, 512, true}, 1);
	driver_publish(&f.driver);
	slot = fixture_fetch_one(&f);
	virtqueue_disarm(f.vq);
	memcpy(before, f.driver.device_area, sizeof(before));
	other = driver_memory_without(f.memory, 0);
	virtqueue_set_memory(f.vq, other);
	expect_broken(&f, VIRTQUEUE_FAULT_RING_UNMAPPED);
	assert_false(virtqueue_memory_settled(f.vq));
	fixture_complete_one(&f, slot, 512);
	assert_true(virtqueue_memory_settled(f.vq));
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	virtqueue_notify(f.vq);
	virtqueue_disarm(f.vq);
	/* Not even if memory has it again. */
	virtqueue_set_memory(f.vq, f.memory);
	virtqueue_disarm(f.vq);
	fixture_fetch_none(&f);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_FAULT_RING_UNMAPPED);
	assert_memory_equal(before, f.driver.device_area, sizeof(before));
	fixture_fini(&f);
	free(other);
}

/* Without an error descriptor, too, and a second fault does not hide the first. */
static void test_first_fault_stays(void **state)
{
	const struct driver_opts opts = {.size = 8};
	struct gmem *other;
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	virtqueue_set_err(f.vq, -1);
	put16(f.driver.driver_area + 2, 9);
	fixture_fetch_none(&f);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_FAULT_AVAIL_JUMP);
	other = driver_memory_without(f.memory, 0);
	virtqueue_set_err(f.vq, f.err_fd);
	virtqueue_set_memory(f.vq, other);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_FAULT_AVAIL_JUMP);
	assert_int_equal(fixture_signals(f.err_fd), 0);
	fixture_fini(&f);
	free(other);
}

/* Row of the table of refusals: what is changed, and what the text must say. */
struct refusal {
	bool packed;
	void (*change)(struct virtqueue_config *config);
	const char *text;
};

static void size_zero(struct virtqueue_config *config)
{
	config->size = 0;
}

static void size_too_large(struct virtqueue_config *config)
{
	config->size = 32769;
}

static void size_huge(struct virtqueue_config *config)
{
	config->size = UINT32_MAX;
}

static void size_odd(struct virtqueue_config *config)
{
	config->size = 12;
}

static void base_too_large(struct virtqueue_config *config)
{
	config->base = 0x10000;
}

static void base_avail_beyond(struct virtqueue_config *config)
{
	config->base = 0x80008000 | 16;
}

static void base_used_beyond(struct virtqueue_config *config)
{
	config->base = 0x80008000 | 0x7fffu << 16;
}

static void desc_odd(struct virtqueue_config *config)
{
	config->where.desc_uva += 8;
}

static void driver_odd(struct virtqueue_config *config)
{
	config->where.driver_uva += config->packed ? 2 : 1;
}

static void device_odd(struct virtqueue_config *config)
{
	config->where.device_uva += 2;
}

static void desc_nowhere(struct virtqueue_config *config)
{
	config->where.desc_uva = UVA_BASE + HOLE_GPA;
}

static void driver_nowhere(struct virtqueue_config *config)
{
	config->where.driver_uva = 0;
}

static void device_nowhere(struct virtqueue_config *config)
{
	config->where.device_uva = UINT64_MAX - 3;
}

/* Its first bytes are there, its last are in another region. */
static void desc_crosses(struct virtqueue_config *config)
{
	config->where.desc_uva = UVA_BASE + LOW_END_GPA - 16;
}

static void device_crosses(struct virtqueue_config *config)
{
	config->where.device_uva = UVA_BASE + LOW_END_GPA - 4;
}

static void driver_in_desc(struct virtqueue_config *config)
{
	config->where.driver_uva = config->where.desc_uva + (config->size - 1) * 16 + 12;
}

static void device_in_desc(struct virtqueue_config *config)
{
	config->where.device_uva = config->where.desc_uva;
}

static void device_in_driver(struct virtqueue_config *config)
{
	config->where.device_uva = config->where.driver_uva;
}

/* The event index at the end of the avail ring is part of it, used or not. */
static void device_in_used_event(struct virtqueue_config *config)
{
	config->where.device_uva = config->where.driver_uva + 4 + config->size * 2;
}

static const struct refusal refusals[] = {
	{false, size_zero, "queue size 0"},
	{true, size_zero, "queue size 0"},
	{false, size_too_large, "queue size 32769"},
	{true, size_too_large, "queue size 32769"},
	{true, size_huge, "queue size 4294967295"},
	{false, size_odd, "queue size 12 of a split ring"},
	{false, base_too_large, "vring base 0x10000"},
	{true, base_avail_beyond, "avail index 16"},
	{true, base_used_beyond, "used index 32767"},
	{false, desc_odd, "descriptor area"},
	{true, desc_odd, "descriptor area"},
	{false, driver_odd, "driver area"},
	{true, driver_odd, "driver area"},
	{false, device_odd, "device area"},
	{true, device_odd, "device area"},
	{false, desc_nowhere, "descriptor area"},
	{true, desc_nowhere, "descriptor area"},
	{false, driver_nowhere, "driver area"},
	{true, driver_nowhere, "driver area"},
	{false, device_nowhere, "device area"},
	{true, device_nowhere, "device area"},
	{false, desc_crosses, "descriptor area"},
	{true, desc_crosses, "descriptor area"},
	{false, device_crosses, "device area"},
	{false, driver_in_desc, "overlaps"},
	{true, driver_in_desc, "overlaps"},
	{false, device_in_desc, "overlaps"},
	{true, device_in_desc, "overlaps"},
	{false, device_in_driver, "overlaps"},
	{true, device_in_driver, "overlaps"},
	{false, device_in_used_event, "overlaps"},
};

static void test_refusals(void **state)
{
	struct gmem *memory = driver_memory_new();

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(refusals); i++) {
		const struct driver_opts opts = {.packed = refusals[i].packed,
						 .size = 16,
						 .start_idx = refusals[i].packed ? 0x8000 : 0};
		struct virtqueue_config config;
		struct err err = ERR_INIT;
		struct virtqueue *vq;
		struct driver d;

		driver_init(&d, memory, &opts);
		config = driver_config(&d);
		refusals[i].change(&config);
		assert_int_equal(virtqueue_new(&config, &vq, &err), -EINVAL);
		if (!strstr(err.text, refusals[i].text))
			fail_msg("row %u: \"%s\" says nothing of \"%s\"", i, err.text,
				 refusals[i].text);
		/* Without text as well. */
		assert_int_equal(virtqueue_new(&config, &vq, NULL), -EINVAL);
		driver_fini(&d);
	}
	driver_memory_free(memory);
}

/* A front end whose addresses are aligned, but not where they end up in our memory. */
static void test_host_address_is_aligned_too(void **state)
{
	const struct driver_opts opts = {.size = 16};
	struct virtqueue_config config;
	struct err err = ERR_INIT;
	struct virtqueue *vq;
	struct gmem *memory;
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	memory = driver_memory_without(f.memory, 3);
	memory->rows[0].hva += 1;
	memory->rows[0].size_bytes -= 1;
	config = driver_config(&f.driver);
	config.memory = memory;
	assert_int_equal(virtqueue_new(&config, &vq, &err), -EINVAL);
	assert_non_null(strstr(err.text, "aligned"));
	/* Nor by a change of memory. */
	virtqueue_set_memory(f.vq, memory);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_FAULT_RING_UNMAPPED);
	fixture_fini(&f);
	free(memory);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VIRTQUEUE_FAULT_MAX_; i++) {
		assert_string_not_equal(virtqueue_fault_name((enum virtqueue_fault)i), "unknown");
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(virtqueue_fault_name((enum virtqueue_fault)i),
						virtqueue_fault_name((enum virtqueue_fault)j));
	}
	assert_string_equal(virtqueue_fault_name(VIRTQUEUE_FAULT_MAX_), "unknown");
}

/* Each counter has a row; rows of chain errors carry the errors' names. */
static void test_stat_rows(void **state)
{
	uint8_t seen[sizeof(struct virtqueue_stats) / sizeof(uint64_t)] = {0};

	(void)state;
	for (unsigned i = 0; i < virtqueue_stat_row_cnt; i++) {
		const struct stat_row *row = &virtqueue_stat_rows[i];

		assert_int_equal(row->offset % sizeof(uint64_t), 0);
		assert_true(row->offset < sizeof(struct virtqueue_stats));
		assert_int_equal(seen[row->offset / sizeof(uint64_t)]++, 0);
	}
	for (unsigned i = CHAIN_OK + 1; i < CHAIN_ERROR_MAX_; i++) {
		const size_t offset = offsetof(struct virtqueue_stats, chain_errors) + i * 8;
		const struct stat_row *found = NULL;

		for (unsigned j = 0; j < virtqueue_stat_row_cnt; j++) {
			if (virtqueue_stat_rows[j].offset == offset)
				found = &virtqueue_stat_rows[j];
		}
		assert_non_null(found);
		assert_string_equal(found->name + strlen("chain_errors_"),
				    chain_error_name((enum chain_error)i));
	}
	/* All but the counter of chains without an error, which nobody writes. */
	assert_int_equal(virtqueue_stat_row_cnt, ARRAY_LEN(seen) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_avail_jump),
		WAYS_DIRECT(test_full_ring_is_no_jump),
		cmocka_unit_test(test_packed_overcommit),
		cmocka_unit_test(test_head_range),
		cmocka_unit_test(test_split_head_twice),
		cmocka_unit_test(test_packed_id_twice),
		cmocka_unit_test(test_packed_chain_framing),
		WAYS_DIRECT(test_ring_unmapped),
		cmocka_unit_test(test_first_fault_stays),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_host_address_is_aligned_too),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_stat_rows),
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
