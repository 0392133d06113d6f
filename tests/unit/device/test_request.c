/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c against tables: each rule of VIRTIO 1.3 5.2.6 and each named refusal, any framing.
 * No threads, no ring, no storage. Segments have test_segments.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "chain_rig.h"

static const struct blk_rules rules_all = {
	.discard = true,
	.write_zeroes = true,
	.serial = "serial-0123456789",
};
static const struct blk_rules rules_none = {.serial = "s"};
static const struct blk_rules rules_read_only = {.read_only = true};

static struct chain_rig chain;

struct io_case {
	const char *name;
	uint32_t type;
	uint64_t sector;
	size_t out_bytes; /* beyond the header */
	size_t in_bytes;  /* beyond the status */
	const struct blk_rules *rules;
	enum blk_verdict verdict;
};

static const struct io_case io_cases[] = {
	{"read, first sector", BLK_T_IN, 0, 0, 512, &rules_all, BLK_SUBMIT},
	{"read, last sector", BLK_T_IN, CAPACITY - 1, 0, 512, &rules_all, BLK_SUBMIT},
	{"read, up to the end", BLK_T_IN, CAPACITY - 8, 0, 4096 - 512, &rules_all, BLK_SUBMIT},
	{"read, nothing negotiated", BLK_T_IN, 0, 0, 512, &rules_none, BLK_SUBMIT},
	{"read of a read-only disk", BLK_T_IN, 0, 0, 512, &rules_read_only, BLK_SUBMIT},
	{"read, one beyond", BLK_T_IN, CAPACITY, 0, 512, &rules_all, BLK_BAD_RANGE},
	{"read, over the end", BLK_T_IN, CAPACITY - 1, 0, 1024, &rules_all, BLK_BAD_RANGE},
	{"read, sector + length wraps", BLK_T_IN, UINT64_MAX, 0, 512, &rules_all, BLK_BAD_RANGE},
	{"read, sector * 512 wraps", BLK_T_IN, 1ull << 55, 0, 512, &rules_all, BLK_BAD_RANGE},
	{"read, sector * 512 wraps to 512", BLK_T_IN, (1ull << 55) + 1, 0, 512, &rules_all,
	 BLK_BAD_RANGE},
	{"read, no data", BLK_T_IN, 0, 0, 0, &rules_all, BLK_BAD_LENGTH},
	{"read, 511 bytes", BLK_T_IN, 0, 0, 511, &rules_all, BLK_BAD_LENGTH},
	{"read, 513 bytes", BLK_T_IN, 0, 0, 513, &rules_all, BLK_BAD_LENGTH},
	{"read with readable data", BLK_T_IN, 0, 512, 512, &rules_all, BLK_BAD_FRAMING},
	{"write, first sector", BLK_T_OUT, 0, 512, 0, &rules_all, BLK_SUBMIT},
	{"write, last sector", BLK_T_OUT, CAPACITY - 1, 512, 0, &rules_all, BLK_SUBMIT},
	{"write, one beyond", BLK_T_OUT, CAPACITY, 512, 0, &rules_all, BLK_BAD_RANGE},
	{"write, wraps", BLK_T_OUT, UINT64_MAX - 1, 1536, 0, &rules_all, BLK_BAD_RANGE},
	{"write, no data", BLK_T_OUT, 0, 0, 0, &rules_all, BLK_BAD_LENGTH},
	{"write, 100 bytes", BLK_T_OUT, 0, 100, 0, &rules_all, BLK_BAD_LENGTH},
	{"write with writable data", BLK_T_OUT, 0, 512, 512, &rules_all, BLK_BAD_FRAMING},
	{"write to a read-only disk", BLK_T_OUT, 0, 512, 0, &rules_read_only, BLK_READ_ONLY},
	{"write beyond a read-only disk", BLK_T_OUT, CAPACITY, 512, 0, &rules_read_only,
	 BLK_READ_ONLY},
	{"flush", BLK_T_FLUSH, 0, 0, 0, &rules_all, BLK_SUBMIT},
	{"flush, not negotiated", BLK_T_FLUSH, 0, 0, 0, &rules_none, BLK_SUBMIT},
	{"flush of a read-only disk", BLK_T_FLUSH, 0, 0, 0, &rules_read_only, BLK_SUBMIT},
	{"flush, any sector", BLK_T_FLUSH, UINT64_MAX, 0, 0, &rules_all, BLK_SUBMIT},
	{"flush with data", BLK_T_FLUSH, 0, 512, 512, &rules_all, BLK_SUBMIT},
	{"GET_ID", BLK_T_GET_ID, 0, 0, 20, &rules_all, BLK_GOT_ID},
	{"GET_ID with readable data", BLK_T_GET_ID, 0, 1, 20, &rules_all, BLK_BAD_FRAMING},
	{"discard, not negotiated", BLK_T_DISCARD, 0, 16, 0, &rules_none, BLK_UNSUPPORTED},
	{"zeroes, not negotiated", BLK_T_WRITE_ZEROES, 0, 16, 0, &rules_none, BLK_UNSUPPORTED},
	{"discard on a read-only disk", BLK_T_DISCARD, 0, 16, 0, &rules_read_only, BLK_UNSUPPORTED},
	{"old SCSI command", 2, 0, 0, 512, &rules_all, BLK_UNSUPPORTED},
	{"old SCSI command out", 3, 0, 512, 0, &rules_all, BLK_UNSUPPORTED},
	{"type 5", 5, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
	{"GET_LIFETIME", 10, 0, 0, 6, &rules_all, BLK_UNSUPPORTED},
	{"type 12", 12, 0, 16, 0, &rules_all, BLK_UNSUPPORTED},
	{"SECURE_ERASE", 14, 0, 16, 0, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_APPEND", 15, 0, 512, 8, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_REPORT", 16, 0, 0, 512, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_OPEN", 18, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_CLOSE", 20, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_FINISH", 22, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_RESET", 24, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
	{"ZONE_RESET_ALL", 26, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
	{"barrier bit of old drivers", BLK_T_OUT | 1u << 31, 0, 512, 0, &rules_all,
	 BLK_UNSUPPORTED},
	{"type with high bits", 0x100, 0, 0, 512, &rules_all, BLK_UNSUPPORTED},
	{"all ones", UINT32_MAX, 0, 0, 0, &rules_all, BLK_UNSUPPORTED},
};

static void check_submitted(const struct io_case *c)
{
	const struct storage_op *op = &chain.req.op;

	if (c->type == BLK_T_FLUSH) {
		assert_int_equal(op->kind, STORAGE_FLUSH);
		assert_int_equal(op->iov_cnt, 0);
		assert_int_equal(op->len_bytes, 0);
		return;
	}
	assert_int_equal(op->kind, c->type == BLK_T_IN ? STORAGE_READ : STORAGE_WRITE);
	assert_int_equal(op->offset_bytes, c->sector * 512);
	assert_int_equal(op->len_bytes, c->out_bytes + c->in_bytes);
	assert_int_equal(op->iov_cnt, 1);
	assert_int_equal(op->iov->iov_len, op->len_bytes);
	/* What success will report. */
	assert_int_equal(chain.req.slot.used_bytes, c->in_bytes + 1);
}

static void test_io_rules(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(io_cases); i++) {
		const struct io_case *c = &io_cases[i];
		static uint8_t flat[16 + 4096];
		enum blk_verdict verdict;

		chain_put_header(flat, c->type, c->sector);
		verdict = chain_parse_usual(&chain, c->rules, flat, HEADER + c->out_bytes,
					    c->in_bytes + 1);
		if (verdict != c->verdict)
			fail_msg("%s: verdict %d, not %d", c->name, (int)verdict, (int)c->verdict);
		if (verdict == BLK_SUBMIT)
			check_submitted(c);
		else if (verdict != BLK_GOT_ID)
			chain_check_finish(&chain, verdict,
					   verdict == BLK_UNSUPPORTED ? BLK_S_UNSUPP : BLK_S_IOERR,
					   1);
		chain_check_guards(&chain);
	}
}

/* Longer than anything a driver that keeps to the limits can ask for, over one aliased buffer. */
static void test_data_is_bounded(void **state)
{
	uint8_t flat[HEADER];

	(void)state;
	for (unsigned over = 0; over < 2; over++) {
		chain_begin(&chain);
		chain_put_header(flat, BLK_T_IN, 0);
		chain_out(&chain, flat, sizeof(flat), NULL, 0);
		chain_in(&chain, 513, (const size_t[]){512}, 1);
		chain.req.slot.inline_iov[1].iov_len = BLK_DATA_BYTES_MAX + over * 512ull;
		chain.req.slot.in_bytes = BLK_DATA_BYTES_MAX + over * 512ull + 1;
		assert_int_equal(chain_parse(&chain, &rules_all, UINT64_MAX >> 9),
				 over ? BLK_BAD_LENGTH : BLK_SUBMIT);
	}
}

/* Every byte of data must be in the op's iovecs, in order, and nothing else. */
static void check_data_bytes(const uint8_t *const *expected, size_t bytes)
{
	const struct storage_op *op = &chain.req.op;
	size_t pos = 0;

	assert_int_equal(op->len_bytes, bytes);
	for (uint32_t i = 0; i < op->iov_cnt; i++) {
		for (size_t k = 0; k < op->iov[i].iov_len; k++) {
			assert_true(pos < bytes);
			assert_ptr_equal((const uint8_t *)op->iov[i].iov_base + k, expected[pos]);
			pos++;
		}
	}
	assert_int_equal(pos, bytes);
}

/* Where the byte at pos of the out (or in) part lies. */
static void list_bytes(bool in, const uint8_t **list)
{
	unsigned first = in ? chain.req.slot.out_cnt : 0;
	unsigned end = in ? chain.entry_cnt : chain.req.slot.out_cnt;

	for (unsigned i = first; i < end; i++) {
		for (size_t k = 0; k < chain.as_made[i].iov_len; k++)
			*list++ = (const uint8_t *)chain.as_made[i].iov_base + k;
	}
}

static void check_framing(bool read, size_t bytes, const size_t *out_cuts, unsigned out_cut_cnt,
			  const size_t *in_cuts, unsigned in_cut_cnt)
{
	static const uint8_t *list[16 + 8192 + 1];
	static uint8_t flat[16 + 8192];
	static uint8_t in[8192 + 1];
	size_t in_bytes = read ? bytes + 1 : 1;

	memset(flat, 0x77, sizeof(flat));
	chain_put_header(flat, read ? BLK_T_IN : BLK_T_OUT, 3);
	chain_begin(&chain);
	chain_out(&chain, flat, read ? HEADER : HEADER + bytes, out_cuts, out_cut_cnt);
	chain_in(&chain, in_bytes, in_cuts, in_cut_cnt);
	assert_int_equal(chain_parse(&chain, &rules_all, CAPACITY), BLK_SUBMIT);
	assert_int_equal(chain.req.op.offset_bytes, 3 * 512);
	list_bytes(read, list);
	check_data_bytes(read ? list : list + HEADER, bytes);
	assert_int_equal(chain.req.slot.used_bytes, in_bytes);
	blk_request_finish(&chain.req, BLK_S_OK);
	chain_read_in(&chain, in, in_bytes);
	for (size_t i = 0; i + 1 < in_bytes; i++)
		assert_int_equal(in[i], CHAIN_RIG_IN_FILL);
	assert_int_equal(in[in_bytes - 1], BLK_S_OK);
	chain_check_guards(&chain);
}

static void test_framing_by_name(void **state)
{
	static size_t ones[1024];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ones); i++)
		ones[i] = 1;
	/* Header in one-byte pieces, data behind it in the last one's descriptor or its own. */
	check_framing(true, 512, ones, 15, (const size_t[]){512}, 1);
	check_framing(false, 512, ones, 16, NULL, 0);
	check_framing(false, 512, ones, 15, NULL, 0);
	/* Header and data in one descriptor; data and status in one. */
	check_framing(false, 1024, NULL, 0, NULL, 0);
	check_framing(true, 1024, NULL, 0, NULL, 0);
	/* Header cut in two, its second half with data. */
	check_framing(false, 512, (const size_t[]){8, 100}, 2, NULL, 0);
	/* All of the data in one-byte pieces, the status too. */
	check_framing(true, 512, NULL, 0, ones, 513);
	check_framing(false, 512, ones, 528, NULL, 0);
	/* The status shares its descriptor with the last byte of data only. */
	check_framing(true, 512, NULL, 0, (const size_t[]){511}, 1);
	/* 16 readable bytes first, but the status is not alone; and the other way round. */
	check_framing(true, 512, (const size_t[]){16}, 1, (const size_t[]){100}, 1);
	check_framing(true, 512, (const size_t[]){15}, 1, (const size_t[]){512}, 1);
	/* Many entries of data, usual framing. */
	check_framing(true, 8192, (const size_t[]){16}, 1,
		      (const size_t[]){1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024}, 8);
}

static void test_framing_any_cuts(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		size_t out_cuts[40], in_cuts[40];
		size_t cut_max = 1 + chain_random(&seed) % 300;
		bool read = chain_random(&seed) & 1;

		for (unsigned i = 0; i < ARRAY_LEN(out_cuts); i++) {
			out_cuts[i] = 1 + chain_random(&seed) % cut_max;
			in_cuts[i] = 1 + chain_random(&seed) % cut_max;
		}
		check_framing(read, 512 * (1 + chain_random(&seed) % 8), out_cuts,
			      chain_random(&seed) % 40, in_cuts, chain_random(&seed) % 40);
	}
}

static void test_no_header(void **state)
{
	uint8_t flat[HEADER] = {0};

	(void)state;
	for (size_t bytes = 0; bytes < HEADER; bytes++) {
		chain_begin(&chain);
		chain_out(&chain, flat, bytes, NULL, 0);
		chain_in(&chain, 513, (const size_t[]){512}, 1);
		assert_int_equal(chain_parse(&chain, &rules_all, CAPACITY), BLK_BAD_FRAMING);
		chain_check_finish(&chain, BLK_BAD_FRAMING, BLK_S_IOERR, 1);
	}
}

static void test_no_status(void **state)
{
	uint8_t flat[HEADER + 512] = {0};

	(void)state;
	chain_put_header(flat, BLK_T_OUT, 0);
	assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, sizeof(flat), 0),
			 BLK_BAD_FRAMING);
	assert_null((const void *)(uintptr_t)chain.req.status);
	chain_check_finish(&chain, BLK_BAD_FRAMING, BLK_S_IOERR, 0);

	chain_begin(&chain);
	chain_out(&chain, flat, sizeof(flat), NULL, 0);
	assert_int_equal(chain_parse(&chain, &rules_all, CAPACITY), BLK_BAD_FRAMING);
	chain_check_finish(&chain, BLK_BAD_FRAMING, BLK_S_IOERR, 0);
}

static void test_bad_chain(void **state)
{
	uint8_t flat[HEADER];

	(void)state;
	chain_put_header(flat, BLK_T_IN, 0);
	/* The tail is there: the status goes to its last byte. */
	chain_begin(&chain);
	chain_out(&chain, flat, sizeof(flat), NULL, 0);
	chain_in(&chain, 100, NULL, 0);
	chain.req.slot.error = CHAIN_BAD_ADDRESS;
	assert_int_equal(chain_parse(&chain, &rules_all, CAPACITY), BLK_BAD_CHAIN);
	chain_check_finish(&chain, BLK_BAD_CHAIN, BLK_S_IOERR, 1);
	/* It is not: nothing is written, whatever entries there are. */
	chain_begin(&chain);
	chain_out(&chain, flat, sizeof(flat), NULL, 0);
	chain_in(&chain, 100, NULL, 0);
	chain.req.slot.error = CHAIN_TOO_LONG;
	chain.req.slot.tail_in = false;
	assert_int_equal(chain_parse(&chain, &rules_all, CAPACITY), BLK_BAD_CHAIN);
	blk_request_finish(&chain.req, BLK_S_IOERR);
	assert_int_equal(chain.req.slot.used_bytes, 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(((uint8_t *)chain.as_made[1].iov_base)[i], CHAIN_RIG_IN_FILL);
}

static void check_get_id(const char *serial, size_t in_bytes, const size_t *cuts, unsigned cut_cnt)
{
	struct blk_rules rules = {0};
	size_t copied = in_bytes < BLK_SERIAL_BYTES ? in_bytes : BLK_SERIAL_BYTES;
	uint8_t flat[HEADER], in[64];

	memcpy(rules.serial, serial, strlen(serial));
	chain_put_header(flat, BLK_T_GET_ID, 0);
	chain_begin(&chain);
	chain_out(&chain, flat, sizeof(flat), NULL, 0);
	chain_in(&chain, in_bytes + 1, cuts, cut_cnt);
	assert_int_equal(chain_parse(&chain, &rules, CAPACITY), BLK_GOT_ID);
	chain_check_finish(&chain, BLK_GOT_ID, BLK_S_OK, (uint32_t)copied + 1);
	chain_read_in(&chain, in, in_bytes);
	assert_memory_equal(in, rules.serial, copied);
	for (size_t i = copied; i < in_bytes; i++)
		assert_int_equal(in[i], CHAIN_RIG_IN_FILL);
}

static void test_get_id(void **state)
{
	static const char full[] = "exactly-twenty-bytes";

	(void)state;
	static_assert(sizeof(full) == 21, "20 and the terminator");
	check_get_id(full, 20, (const size_t[]){20}, 1);
	check_get_id("short", 20, (const size_t[]){20}, 1);
	check_get_id("", 20, (const size_t[]){20}, 1);
	check_get_id(full, 5, (const size_t[]){5}, 1);
	check_get_id(full, 40, (const size_t[]){40}, 1);
	check_get_id(full, 20, (const size_t[]){1, 7, 3}, 3);
	check_get_id(full, 20, NULL, 0);
	check_get_id(full, 0, NULL, 0);
}

/* Once judged, what the guest does to its memory changes nothing (C.2: double fetch). */
static void test_guest_bytes_are_read_once(void **state)
{
	struct blk_wire_segment wire[2] = {chain_segment(1, 2, 0), chain_segment(10, 4, 0)};
	uint8_t flat[HEADER + sizeof(wire)];
	struct storage_op before;

	(void)state;
	chain_put_header(flat, BLK_T_DISCARD, 0);
	memcpy(flat + HEADER, wire, sizeof(wire));
	assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, sizeof(flat), 1), BLK_SUBMIT);
	memset(chain.memory, 0xFF, sizeof(chain.memory));
	assert_int_equal(chain.req.op.offset_bytes, 512);
	assert_true(blk_request_next_segment(&chain.req));
	assert_int_equal(chain.req.op.offset_bytes, 10 * 512);
	assert_int_equal(chain.req.op.len_bytes, 4 * 512);
	assert_false(blk_request_next_segment(&chain.req));

	chain_put_header(flat, BLK_T_IN, 5);
	assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, HEADER, 513), BLK_SUBMIT);
	before = chain.req.op;
	memset(chain.memory, 0xFF, sizeof(chain.memory));
	assert_memory_equal(&before, &chain.req.op, sizeof(before));
}

static void test_failure_reports_the_status_alone(void **state)
{
	uint8_t flat[HEADER], in[513];

	(void)state;
	chain_put_header(flat, BLK_T_IN, 0);
	assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, sizeof(flat), 513),
			 BLK_SUBMIT);
	assert_int_equal(chain.req.slot.used_bytes, 513);
	blk_request_finish(&chain.req, BLK_S_IOERR);
	assert_int_equal(chain.req.slot.used_bytes, 1);
	chain_read_in(&chain, in, sizeof(in));
	assert_int_equal(in[512], BLK_S_IOERR);
}

/* Each refusal has a counter of its own; what was served or counted elsewhere has none. */
static void test_refusals_are_counted_by_name(void **state)
{
	struct blk_stats stats = {0};
	const struct {
		enum blk_verdict verdict;
		uint64_t *counter;
	} rows[] = {
		{BLK_SUBMIT, NULL},
		{BLK_GOT_ID, NULL},
		{BLK_NOTHING, NULL},
		{BLK_BAD_CHAIN, NULL},
		{BLK_BAD_RANGE, &stats.bad_range},
		{BLK_BAD_LENGTH, &stats.bad_length},
		{BLK_BAD_FRAMING, &stats.bad_framing},
		{BLK_BAD_FLAGS, &stats.bad_flags},
		{BLK_READ_ONLY, &stats.read_only},
		{BLK_UNSUPPORTED, &stats.unsupported},
		{BLK_TOO_MANY_SEGMENTS, &stats.too_many_segments},
	};

	(void)state;
	assert_int_equal(ARRAY_LEN(rows), BLK_VERDICT_MAX_);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_ptr_equal(blk_verdict_counter(&stats, rows[i].verdict), rows[i].counter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io_rules),
		cmocka_unit_test(test_data_is_bounded),
		cmocka_unit_test(test_framing_by_name),
		cmocka_unit_test(test_framing_any_cuts),
		cmocka_unit_test(test_no_header),
		cmocka_unit_test(test_no_status),
		cmocka_unit_test(test_bad_chain),
		cmocka_unit_test(test_get_id),
		cmocka_unit_test(test_guest_bytes_are_read_once),
		cmocka_unit_test(test_failure_reports_the_status_alone),
		cmocka_unit_test(test_refusals_are_counted_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
