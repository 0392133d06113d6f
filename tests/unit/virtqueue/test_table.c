/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How descriptors are linked: loops, next indices, indirect tables and where they may lie.
 * Not what the buffers are (test_chain.c).
 */
#include "fixture.h"

/* What a loop leaves: an error, no tail, and a ring in step. */
static void expect_split_error(struct fixture *f, enum chain_error error)
{
	struct vq_slot *slot = fixture_fetch_one(f);

	assert_int_equal(slot->error, error);
	assert_false(slot->tail_in);
	assert_int_equal(virtqueue_stats(f->vq)->chain_errors[error], 1);
	fixture_complete_one(f, slot, 0);
	assert_int_equal(get16(f->driver.device_area + 2), 1);
	assert_int_equal(virtqueue_fault(f->vq), VIRTQUEUE_OK);
}

static void test_split_loop(void **state)
{
	const struct driver_opts opts = {.size = 8};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_desc(&f.driver, 3, HDR_GPA, 16, F_NEXT, 5);
	driver_desc(&f.driver, 5, HDR_GPA, 16, F_NEXT, 3);
	driver_raw_head(&f.driver, 3);
	expect_split_error(&f, CHAIN_TOO_LONG);
	fixture_fini(&f);

	fixture_init(&f, &opts);
	driver_desc(&f.driver, 3, STATUS_GPA, 1, F_NEXT | F_WRITE, 3);
	driver_raw_head(&f.driver, 3);
	expect_split_error(&f, CHAIN_TOO_LONG);
	fixture_fini(&f);
}

/* A loop whose descriptors are all bad must end as well. */
static void test_split_loop_of_bad_descriptors(void **state)
{
	const struct driver_opts opts = {.size = 32768};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_desc(&f.driver, 3, HOLE_GPA, 16, F_NEXT | F_WRITE, 3);
	driver_raw_head(&f.driver, 3);
	expect_split_error(&f, CHAIN_BAD_ADDRESS);
	fixture_fini(&f);
}

static void test_split_next_out_of_range(void **state)
{
	const struct driver_opts opts = {.size = 8};
	static const uint16_t nexts[] = {8, 9, 0x7fff, 0xffff};
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(nexts); i++) {
		fixture_init(&f, &opts);
		driver_desc(&f.driver, 0, STATUS_GPA, 1, F_NEXT | F_WRITE, nexts[i]);
		driver_raw_head(&f.driver, 0);
		expect_split_error(&f, CHAIN_NEXT_OUT_OF_RANGE);
		fixture_fini(&f);
	}
}

/* A full ring is one chain: size descriptors are no loop. */
static void test_split_chain_of_ring_size(void **state)
{
	const struct driver_opts opts = {.size = 8};
	struct seg segs[8];
	struct vq_slot *slot;
	struct fixture f;
	int id;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		segs[i] = (struct seg){BUF_GPA + i, 1, i == 7};
	fixture_init(&f, &opts);
	id = driver_add(&f.driver, segs, 8);
	driver_publish(&f.driver);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->out_cnt + slot->in_cnt, 8);
	fixture_complete_one(&f, slot, 3);
	fixture_expect_used(&f, id, 3);
	fixture_expect_alive(&f);
	fixture_fini(&f);
}

static void test_split_table_loop(void **state)
{
	const struct driver_opts opts = {.size = 8, .indirect = true};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_table_desc(&f.driver, TABLE_GPA, 0, HDR_GPA, 16, F_NEXT, 1);
	driver_table_desc(&f.driver, TABLE_GPA, 1, HDR_GPA, 16, F_NEXT, 0);
	driver_desc(&f.driver, 0, TABLE_GPA, 32, F_INDIRECT, 0);
	driver_raw_head(&f.driver, 0);
	expect_split_error(&f, CHAIN_TOO_LONG);
	fixture_fini(&f);
}

static void test_split_table_next_out_of_range(void **state)
{
	const struct driver_opts opts = {.size = 8, .indirect = true};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	/* Index 2 is a good descriptor, but past the length that the table was given. */
	for (unsigned i = 0; i < 3; i++)
		driver_table_desc(&f.driver, TABLE_GPA, i, BUF_GPA, 1, i < 2 ? F_NEXT : F_WRITE,
				  (uint16_t)(i + 1));
	driver_desc(&f.driver, 0, TABLE_GPA, 32, F_INDIRECT, 0);
	driver_raw_head(&f.driver, 0);
	expect_split_error(&f, CHAIN_NEXT_OUT_OF_RANGE);
	fixture_fini(&f);
}

/* VIRTIO 2.7.5.3.2: direct descriptors may come before the table. */
static void test_split_prefix_and_table(void **state)
{
	const struct driver_opts opts = {.size = 8, .indirect = true};
	struct vq_slot *slot;
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_desc(&f.driver, 0, HDR_GPA, 16, F_NEXT, 4);
	driver_desc(&f.driver, 4, TABLE_GPA, 32, F_INDIRECT | F_WRITE, 0);
	driver_table_desc(&f.driver, TABLE_GPA, 0, BUF_GPA, 512, F_NEXT, 1);
	driver_table_desc(&f.driver, TABLE_GPA, 1, STATUS_GPA, 1, F_WRITE, 0);
	driver_raw_head(&f.driver, 0);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->out_cnt, 2);
	assert_int_equal(slot->in_cnt, 1);
	fixture_expect_entry(&f, slot, 0, HDR_GPA, 16);
	fixture_expect_entry(&f, slot, 1, BUF_GPA, 512);
	fixture_expect_entry(&f, slot, 2, STATUS_GPA, 1);
	fixture_complete_one(&f, slot, 0);
	fixture_fini(&f);
}

static void test_split_nested_table(void **state)
{
	const struct driver_opts opts = {.size = 8, .indirect = true};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_table_desc(&f.driver, TABLE_GPA, 0, HDR_GPA, 16, F_NEXT, 1);
	driver_table_desc(&f.driver, TABLE_GPA, 1, TABLE_GPA, 32, F_INDIRECT, 0);
	driver_desc(&f.driver, 0, TABLE_GPA, 32, F_INDIRECT, 0);
	driver_raw_head(&f.driver, 0);
	expect_split_error(&f, CHAIN_INDIRECT_REFUSED);
	fixture_fini(&f);
}

static void test_split_table_with_next(void **state)
{
	const struct driver_opts opts = {.size = 8, .indirect = true};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_table_desc(&f.driver, TABLE_GPA, 0, STATUS_GPA, 1, F_WRITE, 0);
	driver_desc(&f.driver, 0, TABLE_GPA, 16, F_INDIRECT | F_NEXT, 1);
	driver_desc(&f.driver, 1, STATUS_GPA, 1, F_WRITE, 0);
	driver_raw_head(&f.driver, 0);
	expect_split_error(&f, CHAIN_INDIRECT_REFUSED);
	fixture_fini(&f);
}

/* Packed: the chain goes on behind the table, and the ring must stay in step. */
static void test_packed_table_with_next(void **state)
{
	const struct driver_opts opts = {
		.packed = true, .size = 8, .indirect = true, .start_idx = 0x8000};
	struct vq_slot *slot;
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_table_desc(&f.driver, TABLE_GPA, 0, STATUS_GPA, 1, F_WRITE, 0);
	driver_desc(&f.driver, 0, TABLE_GPA, 16, F_INDIRECT | F_NEXT | F_AVAIL, 1);
	driver_desc(&f.driver, 1, STATUS_GPA, 1, F_WRITE | F_AVAIL, 6);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->error, CHAIN_INDIRECT_REFUSED);
	assert_int_equal(slot->id, 6);
	assert_int_equal(slot->desc_cnt, 2);
	assert_false(slot->tail_in);
	fixture_complete_one(&f, slot, 0);
	assert_int_equal(virtqueue_base(f.vq), 0x80028002);
	fixture_fini(&f);
}

/* 2.8.7: flags but WRITE, and ids, of a packed table are reserved and ignored. */
static void test_packed_table_ignores_flags(void **state)
{
	const struct driver_opts opts = {
		.packed = true, .size = 8, .indirect = true, .start_idx = 0x8000};
	struct vq_slot *slot;
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	driver_table_desc(&f.driver, TABLE_GPA, 0, HDR_GPA, 16, F_INDIRECT | F_USED, 0xffff);
	driver_table_desc(&f.driver, TABLE_GPA, 1, STATUS_GPA, 1, F_WRITE | F_NEXT, 0);
	driver_desc(&f.driver, 0, TABLE_GPA, 32, F_INDIRECT | F_WRITE | F_AVAIL, 1);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->id, 1);
	assert_int_equal(slot->out_cnt, 1);
	assert_int_equal(slot->in_cnt, 1);
	fixture_expect_entry(&f, slot, 0, HDR_GPA, 16);
	fixture_expect_entry(&f, slot, 1, STATUS_GPA, 1);
	fixture_complete_one(&f, slot, 0);
	fixture_fini(&f);
}

/* One raw table as a whole chain, for the tests below. */
static struct vq_slot *fetch_table(struct fixture *f, uint64_t gpa, uint32_t len)
{
	struct driver *d = &f->driver;

	driver_desc(d, 0, gpa, len, (uint16_t)(F_INDIRECT | (d->opts.packed ? F_AVAIL : 0)), 0);
	if (!d->opts.packed)
		driver_raw_head(d, 0);
	return fixture_fetch_one(f);
}

static void expect_table_error(const struct way *way, uint64_t gpa, uint32_t len,
			       enum chain_error error)
{
	const struct driver_opts opts = way_opts(way, 8);
	struct vq_slot *slot;
	struct fixture f;

	fixture_init(&f, &opts);
	/* Good descriptors wherever the test may look. */
	for (unsigned i = 0; i < 600; i++)
		driver_table_desc(&f.driver, TABLE_GPA, i, STATUS_GPA, 1,
				  F_WRITE | (way->packed ? 0 : F_NEXT), (uint16_t)(i + 1));
	slot = fetch_table(&f, gpa, len);
	assert_int_equal(slot->error, error);
	assert_false(slot->tail_in);
	assert_int_equal(virtqueue_stats(f.vq)->chain_errors[error], 1);
	fixture_complete_one(&f, slot, 0);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	fixture_fini(&f);
}

static void test_table_length(void **state)
{
	static const uint32_t lengths[] = {0,  1,        8,        15,         17,
					   31, 516 * 16, 0x100000, 0xfffffff0, UINT32_MAX};

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++)
		expect_table_error(*state, TABLE_GPA, lengths[i], CHAIN_INDIRECT_LENGTH);
}

static void test_table_address(void **state)
{
	expect_table_error(*state, HOLE_GPA, 32, CHAIN_INDIRECT_ADDRESS);
	expect_table_error(*state, 0, 32, CHAIN_INDIRECT_ADDRESS);
	expect_table_error(*state, UINT64_MAX - 15, 32, CHAIN_INDIRECT_ADDRESS);
}

/* A table that leaves memory: half way, and in the middle of a descriptor. */
static void test_table_leaves_memory(void **state)
{
	static const uint64_t starts[] = {FAR_GPA + FAR_BYTES - 16, FAR_GPA + FAR_BYTES - 24};
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct vq_slot *slot;
	struct fixture f;

	for (unsigned i = 0; i < ARRAY_LEN(starts); i++) {
		fixture_init(&f, &opts);
		driver_table_desc(&f.driver, starts[i], 0, HDR_GPA, 16, way->packed ? 0 : F_NEXT,
				  1);
		slot = fetch_table(&f, starts[i], 32);
		assert_int_equal(slot->error, CHAIN_INDIRECT_ADDRESS);
		assert_int_equal(slot->out_cnt, 1);
		assert_false(slot->tail_in);
		fixture_complete_one(&f, slot, 0);
		fixture_fini(&f);
	}
}

/* Windows: 515 entries, whatever the ring's size. */
static void test_table_of_515(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct vq_slot *slot;
	struct fixture f;

	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 515; i++)
		driver_table_desc(&f.driver, TABLE_GPA, i, BUF_GPA + i, 1,
				  (uint16_t)((i == 514 ? F_WRITE : 0) |
					     (i < 514 && !way->packed ? F_NEXT : 0)),
				  (uint16_t)(i + 1));
	slot = fetch_table(&f, TABLE_GPA, 515 * 16);
	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->out_cnt, 514);
	assert_int_equal(slot->in_cnt, 1);
	for (unsigned i = 0; i < 515; i++)
		fixture_expect_entry(&f, slot, i, BUF_GPA + i, 1);
	fixture_complete_one(&f, slot, 0);
	fixture_fini(&f);
}

/* Tables over two regions, cut between descriptors and within one, and tables at odd addresses. */
static void test_table_anywhere(void **state)
{
	static const uint64_t starts[] = {LOW_END_GPA - 16, LOW_END_GPA - 24, LOW_END_GPA - 1,
					  LOW_END_GPA - 47, TABLE_GPA + 4,    TABLE_GPA + 1};
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct vq_slot *slot;
	struct fixture f;

	for (unsigned i = 0; i < ARRAY_LEN(starts); i++) {
		fixture_init(&f, &opts);
		driver_table_desc(&f.driver, starts[i], 0, HDR_GPA, 16, way->packed ? 0 : F_NEXT,
				  1);
		driver_table_desc(&f.driver, starts[i], 1, BUF_GPA, 512, way->packed ? 0 : F_NEXT,
				  2);
		driver_table_desc(&f.driver, starts[i], 2, STATUS_GPA, 1, F_WRITE, 0);
		slot = fetch_table(&f, starts[i], 48);
		assert_int_equal(slot->error, CHAIN_OK);
		assert_int_equal(slot->out_cnt, 2);
		assert_int_equal(slot->in_cnt, 1);
		fixture_expect_entry(&f, slot, 0, HDR_GPA, 16);
		fixture_expect_entry(&f, slot, 1, BUF_GPA, 512);
		fixture_expect_entry(&f, slot, 2, STATUS_GPA, 1);
		fixture_complete_one(&f, slot, 0);
		fixture_fini(&f);
	}
}

/* Without the feature a table is refused, and so is its content. */
static void test_table_not_negotiated(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = {
		.packed = way->packed, .size = 8, .start_idx = way->packed ? 0x8000 : 0};
	struct vq_slot *slot;
	struct fixture f;

	fixture_init(&f, &opts);
	driver_table_desc(&f.driver, TABLE_GPA, 0, STATUS_GPA, 1, F_WRITE, 0);
	slot = fetch_table(&f, TABLE_GPA, 16);
	assert_int_equal(slot->error, CHAIN_INDIRECT_REFUSED);
	assert_int_equal(slot->out_cnt + slot->in_cnt, 0);
	assert_false(slot->tail_in);
	fixture_complete_one(&f, slot, 0);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_loop),
		cmocka_unit_test(test_split_loop_of_bad_descriptors),
		cmocka_unit_test(test_split_next_out_of_range),
		cmocka_unit_test(test_split_chain_of_ring_size),
		cmocka_unit_test(test_split_table_loop),
		cmocka_unit_test(test_split_table_next_out_of_range),
		cmocka_unit_test(test_split_prefix_and_table),
		cmocka_unit_test(test_split_nested_table),
		cmocka_unit_test(test_split_table_with_next),
		cmocka_unit_test(test_packed_table_with_next),
		cmocka_unit_test(test_packed_table_ignores_flags),
		WAYS_TABLE(test_table_length),
		WAYS_TABLE(test_table_address),
		WAYS_TABLE(test_table_leaves_memory),
		WAYS_TABLE(test_table_of_515),
		WAYS_TABLE(test_table_anywhere),
		WAYS_TABLE(test_table_not_negotiated),
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
