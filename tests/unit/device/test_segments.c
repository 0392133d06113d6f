/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c against tables: the segments of DISCARD and WRITE_ZEROES (VIRTIO 1.3, 5.2.6).
 * Other requests have test_request.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain_rig.h"

static const struct blk_rules rules_all = {.discard = true, .write_zeroes = true};

static struct chain_rig chain;

/* A segment request is judged the same however header and segments are cut. */
static void test_segments_any_cuts(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (unsigned round = 0; round < 500; round++) {
		struct blk_wire_segment wire[BLK_SEGMENTS_MAX];
		uint8_t flat[HEADER + sizeof(wire)];
		unsigned cnt = 1 + chain_random(&seed) % BLK_SEGMENTS_MAX;
		size_t cuts[40];
		enum blk_verdict verdict;

		chain_put_header(flat, BLK_T_WRITE_ZEROES, 0);
		for (unsigned i = 0; i < cnt; i++)
			wire[i] = chain_segment(100 * i, i + 1, i & 1);
		memcpy(flat + HEADER, wire, sizeof(wire));
		for (unsigned i = 0; i < ARRAY_LEN(cuts); i++)
			cuts[i] = 1 + chain_random(&seed) % 20;
		chain_begin(&chain);
		chain_out(&chain, flat, HEADER + cnt * sizeof(wire[0]), cuts,
			  chain_random(&seed) % 40);
		chain_in(&chain, 1, NULL, 0);
		verdict = chain_parse(&chain, &rules_all, CAPACITY);
		for (unsigned i = 0; i < cnt; i++) {
			assert_int_equal(verdict, BLK_SUBMIT);
			assert_int_equal(chain.req.op.kind, STORAGE_WRITE_ZEROES);
			assert_int_equal(chain.req.op.offset_bytes, 100 * i * 512);
			assert_int_equal(chain.req.op.len_bytes, (i + 1) * 512);
			assert_int_equal(chain.req.op.may_unmap, i & 1);
			assert_int_equal(chain.req.op.iov_cnt, 0);
			verdict = blk_request_next_segment(&chain.req) ? BLK_SUBMIT : BLK_NOTHING;
		}
		assert_int_equal(verdict, BLK_NOTHING);
	}
}

struct segment_case {
	const char *name;
	uint32_t type;
	unsigned cnt;
	struct {
		uint64_t sector;
		uint32_t sectors;
		uint32_t flags;
	} s[2];
	enum blk_verdict verdict;
};

static const struct segment_case segment_cases[] = {
	{"one", BLK_T_DISCARD, 1, {{8, 8, 0}}, BLK_SUBMIT},
	{"whole disk", BLK_T_DISCARD, 1, {{0, CAPACITY, 0}}, BLK_SUBMIT},
	{"zeroes", BLK_T_WRITE_ZEROES, 1, {{8, 8, 0}}, BLK_SUBMIT},
	{"zeroes with unmap", BLK_T_WRITE_ZEROES, 1, {{8, 8, 1}}, BLK_SUBMIT},
	{"discard with unmap", BLK_T_DISCARD, 1, {{8, 8, 1}}, BLK_BAD_FLAGS},
	{"discard, unknown flag", BLK_T_DISCARD, 1, {{8, 8, 2}}, BLK_BAD_FLAGS},
	{"zeroes, unknown flag", BLK_T_WRITE_ZEROES, 1, {{8, 8, 2}}, BLK_BAD_FLAGS},
	{"zeroes, highest flag", BLK_T_WRITE_ZEROES, 1, {{8, 8, 1u << 31}}, BLK_BAD_FLAGS},
	{"flag in the second", BLK_T_DISCARD, 2, {{8, 8, 0}, {0, 8, 4}}, BLK_BAD_FLAGS},
	{"flag goes before range", BLK_T_DISCARD, 2, {{CAPACITY, 8, 0}, {0, 8, 4}}, BLK_BAD_FLAGS},
	{"beyond the end", BLK_T_DISCARD, 1, {{CAPACITY, 1, 0}}, BLK_BAD_RANGE},
	{"over the end", BLK_T_WRITE_ZEROES, 1, {{CAPACITY - 1, 2, 0}}, BLK_BAD_RANGE},
	{"sector wraps", BLK_T_DISCARD, 1, {{UINT64_MAX, 2, 0}}, BLK_BAD_RANGE},
	{"second beyond the end", BLK_T_DISCARD, 2, {{0, 8, 0}, {CAPACITY, 1, 0}}, BLK_BAD_RANGE},
	{"no sectors", BLK_T_DISCARD, 1, {{0, 0, 0}}, BLK_NOTHING},
	{"no sectors, at the end", BLK_T_DISCARD, 1, {{CAPACITY, 0, 0}}, BLK_NOTHING},
	{"no sectors, beyond", BLK_T_DISCARD, 1, {{CAPACITY + 1, 0, 0}}, BLK_BAD_RANGE},
	{"no sectors twice", BLK_T_WRITE_ZEROES, 2, {{0, 0, 1}, {8, 0, 0}}, BLK_NOTHING},
	{"none", BLK_T_DISCARD, 0, {{0, 0, 0}}, BLK_BAD_LENGTH},
	{"none of zeroes", BLK_T_WRITE_ZEROES, 0, {{0, 0, 0}}, BLK_BAD_LENGTH},
};

static void test_segment_rules(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(segment_cases); i++) {
		const struct segment_case *c = &segment_cases[i];
		uint8_t flat[HEADER + sizeof(c->s)];
		enum blk_verdict verdict;

		chain_put_header(flat, c->type, 12345); /* the header's sector is not used */
		for (unsigned k = 0; k < c->cnt; k++) {
			struct blk_wire_segment wire =
				chain_segment(c->s[k].sector, c->s[k].sectors, c->s[k].flags);

			memcpy(flat + HEADER + k * sizeof(wire), &wire, sizeof(wire));
		}
		verdict = chain_parse_usual(&chain, &rules_all, flat, HEADER + c->cnt * 16, 1);
		if (verdict != c->verdict)
			fail_msg("%s: verdict %d, not %d", c->name, (int)verdict, (int)c->verdict);
		if (verdict == BLK_SUBMIT)
			continue;
		if (verdict == BLK_NOTHING)
			chain_check_finish(&chain, verdict, BLK_S_OK, 1);
		else
			chain_check_finish(&chain, verdict,
					   verdict == BLK_BAD_FLAGS ? BLK_S_UNSUPP : BLK_S_IOERR,
					   1);
	}
}

/* As many as are announced, and one more. */
static void test_segment_count(void **state)
{
	static const uint32_t types[] = {BLK_T_DISCARD, BLK_T_WRITE_ZEROES};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		for (unsigned cnt = BLK_SEGMENTS_MAX; cnt <= BLK_SEGMENTS_MAX + 1; cnt++) {
			struct blk_wire_segment wire[BLK_SEGMENTS_MAX + 1];
			uint8_t flat[16 + sizeof(wire)];

			for (unsigned k = 0; k < cnt; k++)
				wire[k] = chain_segment(k * 2, 1, 0);
			chain_put_header(flat, types[i], 0);
			memcpy(flat + HEADER, wire, cnt * sizeof(wire[0]));
			assert_int_equal(chain_parse_usual(&chain, &rules_all, flat,
							   HEADER + cnt * sizeof(wire[0]), 1),
					 cnt > BLK_SEGMENTS_MAX ? BLK_TOO_MANY_SEGMENTS
								: BLK_SUBMIT);
			if (cnt > BLK_SEGMENTS_MAX)
				chain_check_finish(&chain, BLK_TOO_MANY_SEGMENTS, BLK_S_IOERR, 1);
		}
	}
}

/* Limits of one segment, on a disk that is large enough. */
static void test_segment_sectors_max(void **state)
{
	static const struct {
		uint32_t type, sectors_max;
	} limits[] = {
		{BLK_T_DISCARD, BLK_DISCARD_SECTORS_MAX},
		{BLK_T_WRITE_ZEROES, BLK_WRITE_ZEROES_SECTORS_MAX},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
		for (unsigned over = 0; over < 2; over++) {
			struct blk_wire_segment wire =
				chain_segment(0, limits[i].sectors_max + over, 0);
			uint8_t flat[HEADER + sizeof(wire)];

			chain_put_header(flat, limits[i].type, 0);
			memcpy(flat + HEADER, &wire, sizeof(wire));
			chain_begin(&chain);
			chain_out(&chain, flat, sizeof(flat), NULL, 0);
			chain_in(&chain, 1, NULL, 0);
			assert_int_equal(chain_parse(&chain, &rules_all, 1ull << 40),
					 over ? BLK_BAD_RANGE : BLK_SUBMIT);
		}
	}
}

static void test_segment_framing(void **state)
{
	static const size_t lengths[] = {1, 8, 15, 17, 31, 33, 127};
	uint8_t flat[HEADER + 128] = {0};

	(void)state;
	chain_put_header(flat, BLK_T_DISCARD, 0);
	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, HEADER + lengths[i],
						   1),
				 BLK_BAD_LENGTH);
		chain_check_finish(&chain, BLK_BAD_LENGTH, BLK_S_IOERR, 1);
	}
	assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, HEADER + 16, 17),
			 BLK_BAD_FRAMING);
	chain_check_finish(&chain, BLK_BAD_FRAMING, BLK_S_IOERR, 1);
}

static void test_empty_segments_are_skipped(void **state)
{
	struct blk_wire_segment wire[] = {chain_segment(1, 0, 0), chain_segment(2, 5, 1),
					  chain_segment(3, 0, 1), chain_segment(4, 6, 0),
					  chain_segment(5, 0, 0)};
	uint8_t flat[HEADER + sizeof(wire)];

	(void)state;
	chain_put_header(flat, BLK_T_WRITE_ZEROES, 0);
	memcpy(flat + HEADER, wire, sizeof(wire));
	assert_int_equal(chain_parse_usual(&chain, &rules_all, flat, sizeof(flat), 1), BLK_SUBMIT);
	assert_int_equal(chain.req.op.offset_bytes, 2 * 512);
	assert_true(chain.req.op.may_unmap);
	assert_true(blk_request_next_segment(&chain.req));
	assert_int_equal(chain.req.op.offset_bytes, 4 * 512);
	assert_int_equal(chain.req.op.len_bytes, 6 * 512);
	assert_false(chain.req.op.may_unmap);
	assert_int_equal(chain.req.op.kind, STORAGE_WRITE_ZEROES);
	assert_false(blk_request_next_segment(&chain.req));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments_any_cuts),
		cmocka_unit_test(test_segment_rules),
		cmocka_unit_test(test_segment_count),
		cmocka_unit_test(test_segment_sectors_max),
		cmocka_unit_test(test_segment_framing),
		cmocka_unit_test(test_empty_segments_are_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
