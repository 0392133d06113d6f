/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hand-made chains for request.c: one flat request, cut into entries as a test says.
 * No ring and no guest memory table: what the parser of chains would have made of them.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_CHAIN_RIG_H
#define PARIO_TESTS_UNIT_DEVICE_CHAIN_RIG_H

#include <stdint.h>

#include "device/blk/blk_priv.h"

#define CHAIN_RIG_MEMORY_BYTES (256u * 1024)
/* Between entries lie so many bytes that nothing may touch. */
#define CHAIN_RIG_GUARD_BYTES 16u
#define CHAIN_RIG_GUARD 0xA5
#define CHAIN_RIG_IN_FILL 0x5A

#define CAPACITY 1000u /* sectors, where a test does not need another */
#define HEADER 16u

struct chain_rig {
	uint8_t memory[CHAIN_RIG_MEMORY_BYTES];
	struct blk_request req;
	struct iovec long_iov[CHAIN_IOV_MAX]; /* stands for a block of the worker's pool */
	struct iovec as_made[CHAIN_IOV_MAX];  /* the entries before request.c changed them */
	unsigned entry_cnt;
	size_t used_bytes; /* of memory */
};

/* The readable part: a header, followed by payload. */
static inline size_t chain_put_header(void *flat, uint32_t type, uint64_t sector)
{
	struct blk_header header = {
		.type = le32_of(type),
		.reserved = le32_of(0xdeadbeef),
		.sector = le64_of(sector),
	};

	memcpy(flat, &header, sizeof(header));
	return sizeof(header);
}

static inline struct blk_wire_segment chain_segment(uint64_t sector, uint32_t cnt, uint32_t flags)
{
	return (struct blk_wire_segment){le64_of(sector), le32_of(cnt), le32_of(flags)};
}

void chain_begin(struct chain_rig *chain);
/* Readable entries with the bytes of flat, cut after each of cuts[] bytes; the rest in one. */
void chain_out(struct chain_rig *chain, const void *flat, size_t bytes, const size_t *cuts,
	       unsigned cut_cnt);
/* Writable entries, filled with CHAIN_RIG_IN_FILL. */
void chain_in(struct chain_rig *chain, size_t bytes, const size_t *cuts, unsigned cut_cnt);
enum blk_verdict chain_parse(struct chain_rig *chain, const struct blk_rules *rules,
			     uint64_t capacity_sectors);
/* Header and status in entries of their own; flat includes the header, in_bytes the status. */
enum blk_verdict chain_parse_usual(struct chain_rig *chain, const struct blk_rules *rules,
				   const void *flat, size_t bytes, size_t in_bytes);
/* Ends a request that was not submitted, and checks what the driver gets. */
void chain_check_finish(struct chain_rig *chain, enum blk_verdict verdict, uint8_t status,
			uint32_t used_bytes);
uint32_t chain_random(uint32_t *seed);
/* The bytes of the writable part as they are now, in order. */
void chain_read_in(const struct chain_rig *chain, uint8_t *to, size_t bytes);
/* Fails the test when a byte between the entries has changed. */
void chain_check_guards(const struct chain_rig *chain);

#endif
