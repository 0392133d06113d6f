/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-made chains for request.c: see chain_rig.h.
 * Not a test in itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chain_rig.h"

void chain_begin(struct chain_rig *chain)
{
	memset(chain->memory, CHAIN_RIG_GUARD, sizeof(chain->memory));
	memset(&chain->req, 0xEE, sizeof(chain->req));
	chain->req.slot.iov = chain->req.slot.inline_iov;
	chain->req.slot.out_bytes = 0;
	chain->req.slot.in_bytes = 0;
	chain->req.slot.out_cnt = 0;
	chain->req.slot.in_cnt = 0;
	chain->req.slot.error = CHAIN_OK;
	chain->req.slot.tail_in = false;
	chain->entry_cnt = 0;
	chain->used_bytes = CHAIN_RIG_GUARD_BYTES;
}

static void add_entry(struct chain_rig *chain, const uint8_t *flat, size_t bytes)
{
	struct vq_slot *slot = &chain->req.slot;

	assert_true(chain->used_bytes + bytes + CHAIN_RIG_GUARD_BYTES <= sizeof(chain->memory));
	assert_true(chain->entry_cnt < CHAIN_IOV_MAX);
	if (chain->entry_cnt == CHAIN_IOV_INLINE) {
		memcpy(chain->long_iov, slot->inline_iov, sizeof(slot->inline_iov));
		slot->iov = chain->long_iov;
	}
	slot->iov[chain->entry_cnt].iov_base = chain->memory + chain->used_bytes;
	slot->iov[chain->entry_cnt].iov_len = bytes;
	chain->as_made[chain->entry_cnt++] =
		(struct iovec){chain->memory + chain->used_bytes, bytes};
	if (flat)
		memcpy(chain->memory + chain->used_bytes, flat, bytes);
	else
		memset(chain->memory + chain->used_bytes, CHAIN_RIG_IN_FILL, bytes);
	chain->used_bytes += bytes + CHAIN_RIG_GUARD_BYTES;
}

static unsigned add_cut(struct chain_rig *chain, const uint8_t *flat, size_t bytes,
			const size_t *cuts, unsigned cut_cnt)
{
	unsigned before = chain->entry_cnt;
	size_t pos = 0;

	for (unsigned i = 0; i < cut_cnt && pos < bytes; i++) {
		size_t part = cuts[i] < bytes - pos ? cuts[i] : bytes - pos;

		add_entry(chain, flat ? flat + pos : NULL, part);
		pos += part;
	}
	if (pos < bytes)
		add_entry(chain, flat ? flat + pos : NULL, bytes - pos);
	return chain->entry_cnt - before;
}

void chain_out(struct chain_rig *chain, const void *flat, size_t bytes, const size_t *cuts,
	       unsigned cut_cnt)
{
	chain->req.slot.out_cnt = (uint16_t)add_cut(chain, flat, bytes, cuts, cut_cnt);
	chain->req.slot.out_bytes = bytes;
}

void chain_in(struct chain_rig *chain, size_t bytes, const size_t *cuts, unsigned cut_cnt)
{
	chain->req.slot.in_cnt = (uint16_t)add_cut(chain, NULL, bytes, cuts, cut_cnt);
	chain->req.slot.in_bytes = bytes;
	chain->req.slot.tail_in = bytes != 0;
}

enum blk_verdict chain_parse(struct chain_rig *chain, const struct blk_rules *rules,
			     uint64_t capacity_sectors)
{
	return blk_request_parse(&chain->req, rules, capacity_sectors);
}

void chain_read_in(const struct chain_rig *chain, uint8_t *to, size_t bytes)
{
	for (unsigned i = chain->req.slot.out_cnt; i < chain->entry_cnt && bytes; i++) {
		size_t part = chain->as_made[i].iov_len < bytes ? chain->as_made[i].iov_len : bytes;

		memcpy(to, chain->as_made[i].iov_base, part);
		to += part;
		bytes -= part;
	}
	assert_int_equal(bytes, 0);
}

void chain_check_guards(const struct chain_rig *chain)
{
	size_t pos = 0;

	for (unsigned i = 0; i <= chain->entry_cnt; i++) {
		size_t end = i < chain->entry_cnt ? (size_t)((uint8_t *)chain->as_made[i].iov_base -
							     chain->memory)
						  : chain->used_bytes;

		for (; pos < end; pos++)
			assert_int_equal(chain->memory[pos], CHAIN_RIG_GUARD);
		if (i < chain->entry_cnt)
			pos += chain->as_made[i].iov_len;
	}
}

enum blk_verdict chain_parse_usual(struct chain_rig *chain, const struct blk_rules *rules,
				   const void *flat, size_t bytes, size_t in_bytes)
{
	const size_t header_cut[] = {HEADER};
	const size_t status_cut[] = {in_bytes > 1 ? in_bytes - 1 : 1};

	chain_begin(chain);
	chain_out(chain, flat, bytes, header_cut, 1);
	if (in_bytes)
		chain_in(chain, in_bytes, status_cut, 1);
	return chain_parse(chain, rules, CAPACITY);
}

void chain_check_finish(struct chain_rig *chain, enum blk_verdict verdict, uint8_t status,
			uint32_t used_bytes)
{
	size_t in_bytes = chain->req.slot.in_bytes;
	static uint8_t bytes[4096];

	assert_int_equal(blk_verdict_status(verdict), status);
	blk_request_finish(&chain->req, blk_verdict_status(verdict));
	assert_int_equal(chain->req.slot.used_bytes, used_bytes);
	if (in_bytes) {
		assert_true(in_bytes <= sizeof(bytes));
		chain_read_in(chain, bytes, in_bytes);
		assert_int_equal(bytes[in_bytes - 1], status);
	}
	chain_check_guards(chain);
}

uint32_t chain_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}
