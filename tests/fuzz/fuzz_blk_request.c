/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: device/blk/request.c over chains of any framing and content.
 * Not the parser of chains, whose promises (no empty entry, totals that are right) are kept here.
 *
 * Input: byte 0 rules (bits: read-only, discard, zeroes, chain error, tail), bytes 1-2 capacity in
 * sectors, byte 3 number of readable entries, byte 4 of writable ones, then for each entry two
 * bytes of length, then the content of the readable entries. What is missing is zero.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "device/blk/blk_priv.h"

#define ENTRIES_MAX 48u
#define ENTRY_BYTES_MAX 4096u

#define MUST(expr)                                                                    \
	do {                                                                          \
		if (!(expr)) {                                                        \
			fprintf(stderr, "violated: %s (line %d)\n", #expr, __LINE__); \
			abort();                                                      \
		}                                                                     \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t take_u8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static uint16_t take_u16(struct input *in)
{
	uint16_t low = take_u8(in);

	return (uint16_t)(low | take_u8(in) << 8);
}

struct chain {
	struct blk_request req;
	struct iovec as_made[ENTRIES_MAX]; /* each an allocation of its own, for ASan */
	struct iovec block[ENTRIES_MAX];
	unsigned cnt;
	unsigned out_cnt;
	uint64_t in_bytes;
};

static void make_chain(struct chain *chain, struct input *in, uint8_t flags)
{
	struct vq_slot *slot = &chain->req.slot;

	memset(chain, 0, sizeof(*chain));
	chain->out_cnt = take_u8(in) % (ENTRIES_MAX / 2 + 1);
	chain->cnt = chain->out_cnt + take_u8(in) % (ENTRIES_MAX / 2 + 1);
	for (unsigned i = 0; i < chain->cnt; i++)
		chain->as_made[i].iov_len = 1 + take_u16(in) % ENTRY_BYTES_MAX;
	for (unsigned i = 0; i < chain->cnt; i++) {
		struct iovec *entry = &chain->as_made[i];

		entry->iov_base = calloc(1, entry->iov_len);
		MUST(entry->iov_base);
		if (i < chain->out_cnt) {
			size_t got = entry->iov_len < in->size ? entry->iov_len : in->size;

			memcpy(entry->iov_base, in->data, got);
			in->data += got;
			in->size -= got;
			slot->out_bytes += entry->iov_len;
		} else {
			slot->in_bytes += entry->iov_len;
		}
	}
	slot->iov = chain->cnt > CHAIN_IOV_INLINE ? chain->block : slot->inline_iov;
	memcpy(slot->iov, chain->as_made, chain->cnt * sizeof(*slot->iov));
	slot->out_cnt = (uint16_t)chain->out_cnt;
	slot->in_cnt = (uint16_t)(chain->cnt - chain->out_cnt);
	slot->error = flags & 8 ? CHAIN_BAD_ADDRESS : CHAIN_OK;
	slot->tail_in = slot->in_cnt && (!slot->error || flags & 16);
	chain->in_bytes = slot->in_bytes;
}

/* Each entry of the op must lie within one that was made, of the right direction, in order. */
static void check_iov(const struct chain *chain, bool in)
{
	const struct storage_op *op = &chain->req.op;
	unsigned k = in ? chain->out_cnt : 0;
	unsigned end = in ? chain->cnt : chain->out_cnt;
	uint64_t total = 0;

	for (uint32_t i = 0; i < op->iov_cnt; i++) {
		const uint8_t *first = op->iov[i].iov_base;

		total += op->iov[i].iov_len;
		for (; k < end; k++) {
			const uint8_t *base = chain->as_made[k].iov_base;

			if (first >= base &&
			    first + op->iov[i].iov_len <= base + chain->as_made[k].iov_len)
				break;
		}
		MUST(k < end);
		k++;
	}
	MUST(total == op->len_bytes);
}

static void check_op(const struct chain *chain, const struct blk_rules *rules, uint64_t capacity)
{
	const struct storage_op *op = &chain->req.op;

	switch (op->kind) {
	case STORAGE_READ:
	case STORAGE_WRITE:
		MUST(op->len_bytes && op->len_bytes % 512 == 0);
		MUST(op->kind == STORAGE_READ || !rules->read_only);
		check_iov(chain, op->kind == STORAGE_READ);
		break;
	case STORAGE_FLUSH:
		return;
	case STORAGE_DISCARD:
		MUST(rules->discard && !op->may_unmap);
		break;
	case STORAGE_WRITE_ZEROES:
		MUST(rules->write_zeroes);
		break;
	default:
		MUST(false);
	}
	MUST(op->offset_bytes % 512 == 0 && op->len_bytes);
	MUST(op->offset_bytes / 512 <= capacity);
	MUST(op->len_bytes / 512 <= capacity - op->offset_bytes / 512);
}

static void check_status(const struct chain *chain)
{
	uintptr_t status = gptr_to_hva(chain->req.status);
	const struct iovec *last;

	if (!status)
		return;
	MUST(chain->cnt > chain->out_cnt);
	last = &chain->as_made[chain->cnt - 1];
	MUST(status == (uintptr_t)last->iov_base + last->iov_len - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t flags = take_u8(&in);
	uint64_t capacity = take_u16(&in);
	struct blk_rules rules = {
		.read_only = flags & 1,
		.discard = flags & 2,
		.write_zeroes = flags & 4,
		.serial = "fuzz",
	};
	static struct chain chain;
	enum blk_verdict verdict;

	make_chain(&chain, &in, flags);
	verdict = blk_request_parse(&chain.req, &rules, capacity);
	MUST(verdict < BLK_VERDICT_MAX_);
	check_status(&chain);
	/* The guest goes on writing; nothing that was judged may change by it. */
	for (unsigned i = 0; i < chain.cnt; i++)
		memset(chain.as_made[i].iov_base, 0xFF, chain.as_made[i].iov_len);
	if (verdict == BLK_SUBMIT) {
		unsigned segments = 1;

		MUST(chain.req.status);
		check_op(&chain, &rules, capacity);
		while (chain.req.op.kind >= STORAGE_DISCARD &&
		       blk_request_next_segment(&chain.req)) {
			check_op(&chain, &rules, capacity);
			MUST(++segments <= BLK_SEGMENTS_MAX);
		}
		if (flags & 32)
			blk_op_flush(&chain.req.op);
	} else {
		struct blk_stats stats = {0};
		uint64_t *counter = blk_verdict_counter(&stats, verdict);

		if (counter)
			++*counter;
	}
	blk_request_finish(&chain.req, blk_verdict_status(verdict));
	MUST(chain.req.slot.used_bytes <= chain.in_bytes);
	for (unsigned i = 0; i < chain.cnt; i++)
		free(chain.as_made[i].iov_base);
	return 0;
}
