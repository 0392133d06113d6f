/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seldom half of the chain walk (chain_priv.h): failures, buffers over several regions, long
 * chains; and the pool of iovec blocks.
 * Not a ring format, and nothing here is called for a short and correct chain.
 */
#include "virtqueue/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/overflow.h"
#include "virtqueue/chain_priv.h"

static const char *const chain_error_names[] = {
	[CHAIN_OK] = "ok",
	[CHAIN_BAD_ADDRESS] = "bad_address",
	[CHAIN_ZERO_LENGTH] = "zero_length",
	[CHAIN_READABLE_AFTER_WRITABLE] = "readable_after_writable",
	[CHAIN_NEXT_OUT_OF_RANGE] = "next_out_of_range",
	[CHAIN_TOO_LONG] = "too_long",
	[CHAIN_INDIRECT_REFUSED] = "indirect_refused",
	[CHAIN_INDIRECT_LENGTH] = "indirect_length",
	[CHAIN_INDIRECT_ADDRESS] = "indirect_address",
};
_Static_assert(ARRAY_LEN(chain_error_names) == CHAIN_ERROR_MAX_, "a name for each error");

const char *chain_error_name(enum chain_error error)
{
	return (unsigned)error < CHAIN_ERROR_MAX_ ? chain_error_names[error] : "unknown";
}

/*
 * Classes of blocks, class 0 being the slot itself. 40: 128 KiB in pages with header and status;
 * 136: Linux with seg_max 126; the last: anything, and one more for the tail of a failed chain.
 * Counts are what one worker can hold of them in flight; memory is touched only by use.
 */
#define POOL_CLASS_CNT 4

struct pool_class {
	uint32_t iov_cnt;
	uint32_t block_cnt;
};

static const struct pool_class pool_classes[POOL_CLASS_CNT] = {
	{CHAIN_IOV_INLINE, 0},
	{40, 4096},
	{136, 4096},
	{CHAIN_IOV_MAX + 1, 256},
};

/* Entries of a block that a chain may take; the last class keeps one back. */
static uint32_t pool_room(unsigned class)
{
	const uint32_t cnt = pool_classes[class].iov_cnt;

	return cnt < CHAIN_IOV_MAX ? cnt : CHAIN_IOV_MAX;
}

/* A free block; the link lies in the block itself. */
struct pool_block {
	struct pool_block *next;
};

/* Owner worker only. */
struct chain_pool {
	struct pool_block *free[POOL_CLASS_CNT];
	uint32_t fresh_idx[POOL_CLASS_CNT]; /* blocks from here on were never used */
	uint8_t *arena[POOL_CLASS_CNT];
	uint8_t *map;
	size_t map_bytes;
};

static size_t pool_block_bytes(unsigned class)
{
	return pool_classes[class].iov_cnt * sizeof(struct iovec);
}

struct chain_pool *chain_pool_new(void)
{
	struct chain_pool *pool = calloc(1, sizeof(*pool));
	uint8_t *next;

	if (!pool)
		return NULL;
	for (unsigned i = 0; i < POOL_CLASS_CNT; i++)
		pool->map_bytes += pool_block_bytes(i) * pool_classes[i].block_cnt;
	/* Mapped, not allocated: blocks that are never used take no memory. */
	pool->map = mmap(NULL, pool->map_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->map == MAP_FAILED) {
		free(pool);
		return NULL;
	}
	next = pool->map;
	for (unsigned i = 0; i < POOL_CLASS_CNT; i++) {
		pool->arena[i] = next;
		next += pool_block_bytes(i) * pool_classes[i].block_cnt;
	}
	return pool;
}

void chain_pool_free(struct chain_pool *pool)
{
	if (!pool)
		return;
	munmap(pool->map, pool->map_bytes);
	free(pool);
}

static void *pool_get(struct chain_pool *pool, unsigned class)
{
	struct pool_block *block = pool->free[class];

	if (block) {
		pool->free[class] = block->next;
		return block;
	}
	if (pool->fresh_idx[class] == pool_classes[class].block_cnt)
		return NULL;
	return pool->arena[class] + pool_block_bytes(class) * pool->fresh_idx[class]++;
}

static void pool_put(struct chain_pool *pool, unsigned class, void *iov)
{
	const size_t offset = (size_t)((uint8_t *)iov - pool->arena[class]);
	struct pool_block *block = iov;

	/* A block comes home to the worker that lent it. */
	CHECK(offset < pool_block_bytes(class) * pool_classes[class].block_cnt);
	block->next = pool->free[class];
	pool->free[class] = block;
}

void chain_iov_release(struct chain_pool *pool, struct vq_slot *slot)
{
	if (slot->iov_class == 0)
		return;
	pool_put(pool, slot->iov_class, slot->iov);
	slot->iov = slot->inline_iov;
	slot->iov_class = 0;
}

static uint32_t walk_entry_cnt(const struct chain_walk *walk)
{
	return (uint32_t)(walk->iov - walk->slot->iov);
}

/* Makes room for one more entry by a move to a larger block. False: the walk starved. */
static bool walk_grow(struct chain_walk *walk)
{
	const uint32_t cnt = walk_entry_cnt(walk);
	struct vq_slot *slot = walk->slot;

	for (unsigned class = slot->iov_class + 1u; class < POOL_CLASS_CNT; class ++) {
		struct iovec *iov = pool_get(walk->pool, class);

		if (!iov)
			continue;
		memcpy(iov, slot->iov, cnt * sizeof(*iov));
		chain_iov_release(walk->pool, slot);
		slot->iov = iov;
		slot->iov_class = (uint8_t) class;
		walk->iov = iov + cnt;
		walk->iov_room = iov + pool_room(class);
		return true;
	}
	walk->failure->error = CHAIN_STARVED;
	walk->iov_room = walk->iov;
	return false;
}

static bool walk_full(const struct chain_walk *walk)
{
	return walk_entry_cnt(walk) == pool_classes[walk->slot->iov_class].iov_cnt;
}

void chain_walk_fail(struct chain_walk *walk, enum chain_error error)
{
	if (walk->failure->error != CHAIN_OK)
		return;
	walk->failure->error = (uint8_t)error;
	walk->failure->cut = false;
	walk->failure->tail_pending = false;
	walk->iov_room = walk->iov;
}

void chain_walk_cut_slow(struct chain_walk *walk, enum chain_error error)
{
	chain_walk_fail(walk, error);
	walk->failure->cut = true;
}

bool chain_row_find(struct virtqueue *vq, uint64_t gpa)
{
	const int idx = gmem_search(vq->memory, gpa);

	if (idx < 0)
		return false;
	vq->row = vq->memory->rows[idx];
	return true;
}

/* Appends a buffer, in as many entries as it has regions. Leaves no part of one that fails. */
static void walk_append(struct chain_walk *walk, uint64_t gpa, uint32_t len, uint32_t write)
{
	const uint32_t cnt_before = walk_entry_cnt(walk);
	uint64_t left = len;
	uint64_t end;

	if (overflow_add_u64(gpa, left - 1, &end)) {
		chain_walk_fail(walk, CHAIN_BAD_ADDRESS);
		return;
	}
	if (write != walk->phase)
		chain_walk_turn(walk);
	while (left > 0) {
		enum chain_error error = CHAIN_OK;
		uint64_t part;
		uint8_t *hva = chain_lookup(walk->vq, gpa, &part);

		if (!hva)
			error = CHAIN_BAD_ADDRESS;
		else if (walk_entry_cnt(walk) == CHAIN_IOV_MAX)
			error = CHAIN_TOO_LONG;
		if (error != CHAIN_OK) {
			walk->iov = walk->slot->iov + cnt_before;
			chain_walk_fail(walk, error);
			return;
		}
		if (walk_full(walk) && !walk_grow(walk))
			return;
		if (part > left)
			part = left;
		walk->iov->iov_base = hva;
		walk->iov->iov_len = part;
		walk->iov++;
		gpa += part;
		left -= part;
	}
	walk->total_bytes += len;
}

void chain_step_slow(struct chain_walk *walk, uint64_t gpa, uint32_t len, uint32_t write)
{
	if (walk->failure->error == CHAIN_OK) {
		if (len == 0)
			chain_walk_fail(walk, CHAIN_ZERO_LENGTH);
		else if (write < walk->phase)
			chain_walk_fail(walk, CHAIN_READABLE_AFTER_WRITABLE);
		else
			walk_append(walk, gpa, len, write);
	}
	if (walk->failure->error != CHAIN_OK && write) {
		walk->failure->tail_gpa = gpa;
		walk->failure->tail_len = len;
		walk->failure->tail_pending = true;
	}
}

/*
 * The last region's part of the tail, if all of the tail is guest memory.
 * NULL: it is not, so there is no place for a status.
 */
static uint8_t *walk_tail_lookup(struct chain_walk *walk, uint64_t *part_bytes)
{
	uint64_t gpa = walk->failure->tail_gpa;
	uint64_t left = walk->failure->tail_len;
	uint64_t end;

	if (left == 0 || overflow_add_u64(gpa, left - 1, &end))
		return NULL;
	for (;;) {
		uint64_t part;
		uint8_t *hva = chain_lookup(walk->vq, gpa, &part);

		if (!hva)
			return NULL;
		if (part >= left) {
			*part_bytes = left;
			return hva;
		}
		gpa += part;
		left -= part;
	}
}

/* Appends the tail; the block of the last class has an entry more than a chain may take. */
static bool walk_append_tail(struct chain_walk *walk)
{
	uint64_t part_bytes;
	uint8_t *hva = walk_tail_lookup(walk, &part_bytes);

	if (!hva)
		return false;
	if (walk_full(walk) && !walk_grow(walk))
		return false;
	if (walk->phase == 0)
		chain_walk_turn(walk);
	walk->iov->iov_base = hva;
	walk->iov->iov_len = part_bytes;
	walk->iov++;
	walk->total_bytes += part_bytes;
	return true;
}

bool chain_walk_end_slow(struct chain_walk *walk)
{
	struct vq_slot *slot = walk->slot;

	if (walk->failure->error == CHAIN_STARVED || walk->failure->cut)
		slot->tail_in = false;
	else
		slot->tail_in = walk->failure->tail_pending ? walk_append_tail(walk)
							    : walk->phase != 0;
	if (walk->failure->error == CHAIN_STARVED) {
		chain_iov_release(walk->pool, slot);
		stat_inc(&walk->vq->stats.pool_starved);
		return false;
	}
	slot->error = walk->failure->error;
	stat_inc(&walk->vq->stats.chain_errors[slot->error]);
	return true;
}

/*
 * Loads a descriptor of a table: byte for byte, each once. False: some of it is no guest memory,
 * the walk is cut.
 */
static bool load_scattered(struct chain_walk *walk, uint64_t gpa, struct wire_desc_copy *copy)
{
	struct wire_desc desc = {0};
	uint8_t *dst = (uint8_t *)&desc;
	uint64_t left = sizeof(desc);

	while (left > 0) {
		uint64_t part;
		uint8_t *hva = chain_lookup(walk->vq, gpa, &part);

		if (!hva) {
			chain_walk_cut_slow(walk, CHAIN_INDIRECT_ADDRESS);
			return false;
		}
		if (part > left)
			part = left;
		gptr_copy_in(dst, gptr_from_hva(const void, hva), part);
		dst += part;
		gpa += part;
		left -= part;
	}
	copy->gpa = le64_get(desc.gpa);
	copy->rest = le64_get(desc.rest);
	return true;
}

/* As chain_table(), from gpa on. */
static void table_scattered(struct chain_walk *walk, uint64_t gpa, uint32_t cnt, bool linked)
{
	uint32_t idx = 0;

	for (uint32_t left = cnt < CHAIN_IOV_MAX ? cnt : CHAIN_IOV_MAX; left > 0; left--) {
		struct wire_desc_copy desc;
		uint32_t flags;

		if (!load_scattered(walk, gpa + (uint64_t)idx * WIRE_DESC_BYTES, &desc))
			return;
		flags = linked ? wire_split_flags(desc) : wire_packed_flags(desc);
		if (linked && (flags & WIRE_DESC_F_INDIRECT)) {
			chain_walk_cut_slow(walk, CHAIN_INDIRECT_REFUSED);
			return;
		}
		chain_step(walk, desc, flags, 0);
		idx++;
		if (linked) {
			if (!(flags & WIRE_DESC_F_NEXT))
				return;
			idx = wire_split_next(desc);
			if (idx >= cnt) {
				chain_walk_cut_slow(walk, CHAIN_NEXT_OUT_OF_RANGE);
				return;
			}
		} else if (idx == cnt) {
			return;
		}
	}
	chain_walk_cut_slow(walk, CHAIN_TOO_LONG);
}

void chain_indirect_slow(struct chain_walk *walk, struct wire_desc_copy desc, uint32_t flags,
			 bool linked)
{
	const uint32_t len = wire_desc_len(desc);
	uint64_t part, end;

	if ((flags & WIRE_DESC_F_NEXT) || walk->vq->table_bytes_max == 0)
		chain_walk_cut_slow(walk, CHAIN_INDIRECT_REFUSED);
	else if (len == 0 || len > walk->vq->table_bytes_max || len % WIRE_DESC_BYTES != 0)
		chain_walk_cut_slow(walk, CHAIN_INDIRECT_LENGTH);
	else if (overflow_add_u64(desc.gpa, len - 1, &end) ||
		 !chain_lookup(walk->vq, desc.gpa, &part))
		chain_walk_cut_slow(walk, CHAIN_INDIRECT_ADDRESS);
	else
		table_scattered(walk, desc.gpa, len / WIRE_DESC_BYTES, linked);
}
