/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains that a driver should not build, by name of their error, and unusual ones that it may.
 * Each test says what is left for the device, and that the ring is in step afterwards.
 * Not links and indirect tables (test_table.c), nor what breaks the queue (test_fault.c).
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

/* Sends a chain, and returns what was made of it. */
static struct vq_slot *send(struct fixture *f, const struct seg *segs, unsigned cnt, int *id)
{
	*id = driver_add(&f->driver, segs, cnt);
	assert_true(*id >= 0);
	driver_publish(&f->driver);
	return fixture_fetch_one(f);
}

/* Completes it, and proves that the ring goes on. */
static void finish(struct fixture *f, struct vq_slot *slot, int id)
{
	const unsigned error = slot->error;

	if (error != CHAIN_OK)
		assert_int_equal(virtqueue_stats(f->vq)->chain_errors[error], 1);
	fixture_complete_one(f, slot, 3);
	fixture_expect_used(f, id, 3);
	assert_int_equal(virtqueue_fault(f->vq), VIRTQUEUE_OK);
	fixture_expect_alive(f);
}

/* Row of the table of bad chains: what is sent, what is expected. */
struct bad_chain {
	const char *name;
	struct seg segs[5];
	unsigned cnt;
	enum chain_error error;
	unsigned out_cnt, in_cnt;
	uint64_t tail_gpa; /* 0: no tail */
	size_t tail_len;
};

static const struct bad_chain bad_chains[] = {
	{"address of a buffer",
	 {{HDR_GPA, 16, 0}, {HOLE_GPA, 512, 1}, {STATUS_GPA, 1, 1}},
	 3,
	 CHAIN_BAD_ADDRESS,
	 1,
	 1,
	 STATUS_GPA,
	 1},
	{"address of the first",
	 {{HOLE_GPA, 16, 0}, {BUF_GPA, 512, 1}, {STATUS_GPA, 1, 1}},
	 3,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"address of the status",
	 {{HDR_GPA, 16, 0}, {BUF_GPA, 512, 1}, {HOLE_GPA, 1, 1}},
	 3,
	 CHAIN_BAD_ADDRESS,
	 1,
	 1,
	 0,
	 0},
	{"two bad addresses",
	 {{HOLE_GPA, 16, 0}, {HOLE_GPA, 16, 0}, {STATUS_GPA, 1, 1}},
	 3,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"below all memory",
	 {{0, 16, 0}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"one byte past a region",
	 {{FAR_GPA + FAR_BYTES - 16, 17, 0}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"region's end as start",
	 {{FAR_GPA + FAR_BYTES, 1, 0}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"into a hole after two regions",
	 {{LOW_END_GPA - 16, (uint32_t)(16 + NEXT_BYTES + 1), 1}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"wraps 2^64",
	 {{UINT64_MAX - 7, 16, 0}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"wraps 2^64 as tail",
	 {{HDR_GPA, 0, 0}, {UINT64_MAX, 2, 1}},
	 2,
	 CHAIN_ZERO_LENGTH,
	 0,
	 0,
	 0,
	 0},
	{"4 GiB from a good start",
	 {{BUF_GPA, UINT32_MAX, 1}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"readable of length 0",
	 {{HDR_GPA, 16, 0}, {BUF_GPA, 0, 0}, {STATUS_GPA, 1, 1}},
	 3,
	 CHAIN_ZERO_LENGTH,
	 1,
	 1,
	 STATUS_GPA,
	 1},
	{"writable of length 0",
	 {{HDR_GPA, 16, 0}, {BUF_GPA, 0, 1}, {STATUS_GPA, 1, 1}},
	 3,
	 CHAIN_ZERO_LENGTH,
	 1,
	 1,
	 STATUS_GPA,
	 1},
	{"status of length 0",
	 {{HDR_GPA, 16, 0}, {BUF_GPA, 512, 1}, {STATUS_GPA, 0, 1}},
	 3,
	 CHAIN_ZERO_LENGTH,
	 1,
	 1,
	 0,
	 0},
	{"alone with length 0", {{HDR_GPA, 0, 0}}, 1, CHAIN_ZERO_LENGTH, 0, 0, 0, 0},
	{"length 0 in a hole",
	 {{HOLE_GPA, 0, 0}, {STATUS_GPA, 1, 1}},
	 2,
	 CHAIN_ZERO_LENGTH,
	 0,
	 1,
	 STATUS_GPA,
	 1},
	{"readable after the status",
	 {{HDR_GPA, 16, 0}, {STATUS_GPA, 1, 1}, {BUF_GPA, 512, 0}},
	 3,
	 CHAIN_READABLE_AFTER_WRITABLE,
	 1,
	 1,
	 STATUS_GPA,
	 1},
	{"readable between writables",
	 {{HDR_GPA, 16, 0}, {BUF_GPA, 512, 1}, {BUF_GPA, 8, 0}, {STATUS_GPA, 1, 1}},
	 4,
	 CHAIN_READABLE_AFTER_WRITABLE,
	 1,
	 2,
	 STATUS_GPA,
	 1},
	{"tail over two regions",
	 {{HOLE_GPA, 16, 0}, {LOW_END_GPA - 4, 7, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 1,
	 NEXT_GPA,
	 3},
	{"tail into a hole",
	 {{HOLE_GPA, 16, 0}, {FAR_GPA + FAR_BYTES - 4, 7, 1}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 0,
	 0,
	 0,
	 0},
	{"no writable at all",
	 {{HDR_GPA, 16, 0}, {HOLE_GPA, 16, 0}},
	 2,
	 CHAIN_BAD_ADDRESS,
	 1,
	 0,
	 0,
	 0},
};

static void check_bad_chain(const struct way *way, const struct bad_chain *row)
{
	const struct driver_opts opts = way_opts(way, 8);
	uint64_t in_bytes = 0;
	struct vq_slot *slot;
	struct fixture f;
	int id;

	fixture_init(&f, &opts);
	slot = send(&f, row->segs, row->cnt, &id);
	assert_int_equal(slot->error, row->error);
	assert_int_equal(slot->out_cnt, row->out_cnt);
	assert_int_equal(slot->in_cnt, row->in_cnt);
	assert_int_equal(slot->tail_in, row->tail_gpa != 0);
	/* Entries before the bad descriptor are there. */
	for (unsigned i = 0; i < row->out_cnt; i++)
		fixture_expect_entry(&f, slot, i, row->segs[i].gpa, row->segs[i].len);
	if (row->tail_gpa)
		fixture_expect_entry(&f, slot, slot->out_cnt + slot->in_cnt - 1u, row->tail_gpa,
				     row->tail_len);
	for (unsigned i = 0; i < row->in_cnt; i++)
		in_bytes += slot->iov[slot->out_cnt + i].iov_len;
	assert_int_equal(slot->in_bytes, in_bytes);
	finish(&f, slot, id);
	fixture_fini(&f);
}

static void test_bad_chains(void **state)
{
	for (unsigned i = 0; i < ARRAY_LEN(bad_chains); i++) {
		print_message("         %s\n", bad_chains[i].name);
		check_bad_chain(*state, &bad_chains[i]);
	}
}

/* Up to the last byte of a region, and a status in its own last byte. */
static void test_region_edge(void **state)
{
	const struct driver_opts opts = way_opts(*state, 8);
	const struct seg segs[] = {{FAR_GPA, (uint32_t)FAR_BYTES, false},
				   {FAR_GPA + FAR_BYTES - 1, 1, true}};
	struct vq_slot *slot;
	struct fixture f;
	int id;

	fixture_init(&f, &opts);
	slot = send(&f, segs, 2, &id);
	assert_int_equal(slot->error, CHAIN_OK);
	fixture_expect_entry(&f, slot, 0, FAR_GPA, FAR_BYTES);
	fixture_expect_entry(&f, slot, 1, FAR_GPA + FAR_BYTES - 1, 1);
	assert_true(slot->tail_in);
	finish(&f, slot, id);
	fixture_fini(&f);
}

/* Regions that follow each other in gpa are elsewhere in our memory: several entries. */
static void test_crosses_regions(void **state)
{
	const struct driver_opts opts = way_opts(*state, 8);
	const struct seg segs[] = {{LOW_END_GPA - 10, 30, false},
				   {LOW_END_GPA - 512, 1024, true},
				   {STATUS_GPA, 1, true}};
	struct vq_slot *slot;
	struct fixture f;
	int id;

	fixture_init(&f, &opts);
	slot = send(&f, segs, 3, &id);
	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->out_cnt, 2);
	assert_int_equal(slot->in_cnt, 3);
	assert_int_equal(slot->out_bytes, 30);
	assert_int_equal(slot->in_bytes, 1025);
	fixture_expect_entry(&f, slot, 0, LOW_END_GPA - 10, 10);
	fixture_expect_entry(&f, slot, 1, NEXT_GPA, 20);
	fixture_expect_entry(&f, slot, 2, LOW_END_GPA - 512, 512);
	fixture_expect_entry(&f, slot, 3, NEXT_GPA, 512);
	fixture_expect_entry(&f, slot, 4, STATUS_GPA, 1);
	finish(&f, slot, id);
	fixture_fini(&f);
}

/* Memory at both ends of the address space, so that what goes round finds memory. */
struct round_memory {
	struct gmem *memory;
	uint8_t *ends; /* 4096 bytes at gpa 0, then 4096 below 2^64 */
};

static void round_memory_init(struct round_memory *round, struct fixture *f)
{
	round->ends = calloc(2, 4096);
	round->memory = calloc(1, sizeof(*round->memory) + 3 * sizeof(round->memory->rows[0]));
	assert_true(round->ends && round->memory);
	round->memory->row_cnt = 3;
	round->memory->rows[0] = (struct gmem_row){0, 4096, round->ends, 0};
	round->memory->rows[1] = f->memory->rows[0];
	round->memory->rows[2] =
		(struct gmem_row){UINT64_MAX - 4095, 4096, round->ends + 4096, 4096};
	virtqueue_set_memory(f->vq, round->memory);
}

static void round_memory_fini(struct round_memory *round)
{
	free(round->memory);
	free(round->ends);
}

static void test_buffer_goes_round(void **state)
{
	const struct driver_opts opts = way_opts(*state, 8);
	const struct seg segs[] = {{UINT64_MAX - 4095, 4096, false},
				   {UINT64_MAX - 15, 32, true},
				   {STATUS_GPA, 1, true}};
	struct round_memory round;
	struct vq_slot *slot;
	struct fixture f;
	int id;

	fixture_init(&f, &opts);
	round_memory_init(&round, &f);
	slot = send(&f, segs, 3, &id);
	assert_int_equal(slot->error, CHAIN_BAD_ADDRESS);
	assert_int_equal(slot->out_cnt, 1);
	assert_ptr_equal(slot->iov[0].iov_base, round.ends + 4096);
	assert_int_equal(slot->iov[0].iov_len, 4096);
	assert_int_equal(slot->in_cnt, 1);
	fixture_expect_entry(&f, slot, 1, STATUS_GPA, 1);
	finish(&f, slot, id);
	fixture_fini(&f);
	round_memory_fini(&round);
}

static void test_tail_goes_round(void **state)
{
	const struct driver_opts opts = way_opts(*state, 8);
	const struct seg segs[] = {{HOLE_GPA, 16, false}, {UINT64_MAX - 15, 32, true}};
	struct round_memory round;
	struct vq_slot *slot;
	struct fixture f;
	int id;

	fixture_init(&f, &opts);
	round_memory_init(&round, &f);
	slot = send(&f, segs, 2, &id);
	assert_int_equal(slot->error, CHAIN_BAD_ADDRESS);
	assert_false(slot->tail_in);
	assert_int_equal(slot->in_cnt, 0);
	finish(&f, slot, id);
	fixture_fini(&f);
	round_memory_fini(&round);
}

static void test_table_goes_round(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct round_memory round;
	struct vq_slot *slot;
	struct fixture f;

	fixture_init(&f, &opts);
	round_memory_init(&round, &f);
	driver_desc(&f.driver, 0, UINT64_MAX - 15, 32,
		    (uint16_t)(F_INDIRECT | (way->packed ? F_AVAIL : 0)), 0);
	if (!way->packed)
		driver_raw_head(&f.driver, 0);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->error, CHAIN_INDIRECT_ADDRESS);
	assert_int_equal(slot->out_cnt + slot->in_cnt, 0);
	fixture_complete_one(&f, slot, 0);
	fixture_fini(&f);
	round_memory_fini(&round);
}

/* A chain of cnt buffers of one byte, raw, so that it may be as long as it likes. */
static void long_chain(struct fixture *f, unsigned cnt, bool last_writable)
{
	struct driver *d = &f->driver;
	const bool table = d->opts.indirect;
	const unsigned wrap_flag = d->opts.packed && !table ? F_AVAIL : 0;

	for (unsigned i = 0; i < cnt; i++) {
		const bool last = i + 1 == cnt;
		const uint16_t flags = (uint16_t)((last ? 0 : F_NEXT) | wrap_flag |
						  (last && last_writable ? F_WRITE : 0));
		const uint16_t next = d->opts.packed ? 7 : (uint16_t)(i + 1);

		if (table)
			driver_table_desc(d, TABLE_GPA, i, BUF_GPA + i, 1, flags, next);
		else
			driver_desc(d, i, BUF_GPA + i, 1, flags, next);
	}
	if (table)
		driver_desc(d, 0, TABLE_GPA, cnt * 16,
			    (uint16_t)(F_INDIRECT | (d->opts.packed ? F_AVAIL : 0)), 7);
	if (!d->opts.packed)
		driver_raw_head(d, 0);
}

static void check_length(const struct way *way, unsigned cnt, enum chain_error error, bool tail)
{
	const struct driver_opts opts = way_opts(way, 2048);
	const unsigned kept = error == CHAIN_OK ? cnt : CHAIN_IOV_MAX;
	struct vq_slot *slot;
	struct fixture f;
	uint32_t len;

	fixture_init(&f, &opts);
	long_chain(&f, cnt, true);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->error, error);
	assert_int_equal(slot->tail_in, tail);
	assert_int_equal(slot->out_cnt, error == CHAIN_OK ? cnt - 1 : CHAIN_IOV_MAX);
	assert_int_equal(slot->in_cnt, tail);
	for (unsigned i = 0; i < kept; i++)
		fixture_expect_entry(&f, slot, i, BUF_GPA + i, 1);
	if (tail)
		fixture_expect_entry(&f, slot, slot->out_cnt, BUF_GPA + cnt - 1, 1);
	fixture_complete_one(&f, slot, 5);
	/* The ring is in step: packed skips the whole chain, split one entry. */
	if (way->packed) {
		const uint32_t taken = way->indirect ? 1 : cnt;

		assert_int_equal(get32(f.driver.desc + 8), 5);
		assert_int_equal(get16(f.driver.desc + 12), 7);
		assert_int_equal(virtqueue_base(f.vq), (taken | 0x8000) | (taken | 0x8000) << 16);
	} else {
		len = get32(f.driver.device_area + 8);
		assert_int_equal(len, 5);
		assert_int_equal(get16(f.driver.device_area + 2), 1);
		assert_int_equal(virtqueue_base(f.vq), 1);
	}
	fixture_fini(&f);
}

/* Up to CHAIN_IOV_MAX entries, over every size of block. */
static void test_long_chains(void **state)
{
	static const unsigned lengths[] = {2, 7, 8, 9, 40, 41, 128, 136, 137, 515, 1023, 1024};

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++)
		check_length(*state, lengths[i], CHAIN_OK, true);
}

/* Blocks that a chain outgrew go back at once, and the last one with its completion. */
static void test_blocks_come_home(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 4096);
	struct seg segs[137];
	struct fixture f;
	int id;

	/* Outgrows the slot and two blocks, as often as all blocks together and more. */
	for (unsigned i = 0; i < ARRAY_LEN(segs); i++)
		segs[i] = (struct seg){BUF_GPA + i, 1, true};
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 9000; i++) {
		struct vq_slot *slot = send(&f, segs, ARRAY_LEN(segs), &id);

		assert_int_equal(slot->in_cnt, ARRAY_LEN(segs));
		fixture_complete_one(&f, slot, 1);
		fixture_expect_used(&f, id, 1);
	}
	/* More at once than there are blocks of the last kind, which are what is left if not. */
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(send(&f, segs, CHAIN_IOV_INLINE + 1, &id)->error, CHAIN_OK);
	assert_int_equal(virtqueue_stats(f.vq)->pool_starved, 0);
	fixture_fini(&f);
}

/* Beyond: an error. Packed chains are walked to their end, which the ring's step needs. */
static void test_too_long(void **state)
{
	const struct way *way = *state;
	const bool walked = way->packed && !way->indirect;

	check_length(way, 1025, CHAIN_TOO_LONG, walked);
	check_length(way, 1500, CHAIN_TOO_LONG, walked);
	check_length(way, 2047, CHAIN_TOO_LONG, walked);
}

/* Too long by regions, not by descriptors: the end is known, and with it the status. */
static void test_too_long_by_regions(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 2048);
	struct gmem *many;
	struct vq_slot *slot;
	struct fixture f;

	fixture_init(&f, &opts);
	many = calloc(1, sizeof(*many) + 501 * sizeof(many->rows[0]));
	assert_non_null(many);
	/* 500 regions of 16 bytes in a row, all of them the same bytes. */
	many->row_cnt = 501;
	many->rows[0] = f.memory->rows[0];
	for (unsigned i = 0; i < 500; i++)
		many->rows[1 + i] = (struct gmem_row){HOLE_GPA + i * 16, 16,
						      driver_hva(f.memory, FAR_GPA),
						      UINT64_C(1) << 62 | i * 16};
	virtqueue_set_memory(f.vq, many);
	{
		const struct seg segs[] = {{HDR_GPA, 16, false},
					   {HOLE_GPA, 8000, true},
					   {HOLE_GPA, 8000, true},
					   {HOLE_GPA, 8000, true},
					   {STATUS_GPA, 1, true}};
		int id;

		slot = send(&f, segs, 5, &id);
		assert_int_equal(slot->error, CHAIN_TOO_LONG);
		assert_int_equal(slot->out_cnt, 1);
		assert_int_equal(slot->in_cnt, 1001);
		assert_int_equal(slot->in_bytes, 16001);
		assert_true(slot->tail_in);
		fixture_expect_entry(&f, slot, 1001, STATUS_GPA, 1);
		finish(&f, slot, id);
	}
	fixture_fini(&f);
	free(many);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CHAIN_ERROR_MAX_; i++) {
		assert_string_not_equal(chain_error_name((enum chain_error)i), "unknown");
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(chain_error_name((enum chain_error)i),
						chain_error_name((enum chain_error)j));
	}
	assert_string_equal(chain_error_name(CHAIN_BAD_ADDRESS), "bad_address");
	assert_string_equal(chain_error_name(CHAIN_ERROR_MAX_), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_ALL(test_bad_chains),      WAYS_ALL(test_region_edge),
		WAYS_ALL(test_crosses_regions), WAYS_ALL(test_buffer_goes_round),
		WAYS_ALL(test_tail_goes_round), WAYS_TABLE(test_table_goes_round),
		WAYS_ALL(test_long_chains),     WAYS_DIRECT(test_blocks_come_home),
		WAYS_ALL(test_too_long),        WAYS_ALL(test_too_long_by_regions),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("chains", tests, NULL, NULL);
}
