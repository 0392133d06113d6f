/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a chain: descriptor by descriptor into a slot's iovecs, for both ring formats.
 * Not where descriptors come from: split.c and packed.c feed it.
 *
 * Theory of operation
 *
 * 1. A format takes a slot (virtqueue_slot_peek), begins a walk, feeds chain_step() or
 *    chain_indirect() with its own copies of descriptors, and ends the walk. Nothing of the queue
 *    has changed until chain_walk_end() says that the walk did not starve.
 * 2. chain_step() is the good case alone: a buffer of at least one byte, within one region, in
 *    order, with room for its entry. All else is chain_step_slow(). A failed or starved walk has
 *    no room by definition, so that the good case needs no further test.
 * 3. After a failure descriptors are still fed, but only to find the last writable one (tail).
 *    A walk that is cut (its end cannot be found) has none.
 * 4. Each walk is bounded by CHAIN_IOV_MAX descriptors: each takes an entry, so a longer chain
 *    is too long whatever the ring allows.
 */
#ifndef PARIO_VIRTQUEUE_CHAIN_PRIV_H
#define PARIO_VIRTQUEUE_CHAIN_PRIV_H

#include "base/compiler.h"
#include "base/overflow.h"
#include "virtqueue/virtqueue_priv.h"
#include "virtqueue/wire.h"

struct chain_walk {
	/* For a burst. */
	const struct gmem *memory;
	struct chain_pool *pool;
	struct gmem_row row; /* copy of the row of the last hit */

	/* For a chain. */
	struct vq_slot *slot;
	struct iovec *iov;      /* where the next entry goes */
	struct iovec *iov_room; /* end of room */
	uint64_t total_bytes;
	uint16_t phase; /* 0, or WIRE_DESC_F_WRITE once there was a writable descriptor */
	uint8_t error;  /* enum chain_error, or CHAIN_STARVED */

	/* Valid only when there was an error. */
	bool cut;
	bool tail_pending; /* the last writable descriptor since the failure: */
	uint32_t tail_len;
	uint64_t tail_gpa;
};

/* The pool had no block: the walk is void, the chain stays in the ring. */
#define CHAIN_STARVED CHAIN_ERROR_MAX_

/* write: 0 or WIRE_DESC_F_WRITE. */
void chain_step_slow(struct chain_walk *walk, uint64_t gpa, uint32_t len, uint16_t write);
/* Notes why the chain cannot be used; the first reason stays. */
void chain_walk_fail(struct chain_walk *walk, enum chain_error error);
/* The same, and its end will not be found. */
void chain_walk_cut_slow(struct chain_walk *walk, enum chain_error error);
/* End of a walk that failed or starved. False: starved, the chain stays in the ring. */
bool chain_walk_end_slow(struct chain_walk *walk, struct virtqueue *vq);
/* Makes walk->row that of gpa. False: there is none. */
bool chain_row_find(struct chain_walk *walk, uint64_t gpa);
/*
 * Loads a descriptor of a table that is not aligned, or not in one region: byte for byte, each
 * once. False: some of it is no guest memory, the walk is cut.
 */
bool chain_load_scattered(struct chain_walk *walk, uint64_t gpa, struct wire_desc_copy *copy);
/* Feeds a table that is not aligned, or not in one region. */
void chain_indirect_scattered(struct chain_walk *walk, uint64_t gpa, uint32_t cnt, bool linked);

/*
 * Calls a seldom function on a copy of the walk, which `call` knows as `escaped`. So the walk
 * itself never has an address, and the compiler keeps what is hot of it in registers.
 */
#define CHAIN_SLOW(walk, call)                             \
	do {                                               \
		struct chain_walk copy_ = *(walk);         \
		struct chain_walk *const escaped = &copy_; \
		call;                                      \
		*(walk) = copy_;                           \
	} while (0)

static ALWAYS_INLINE void chain_walk_cut(struct chain_walk *walk, enum chain_error error)
{
	CHAIN_SLOW(walk, chain_walk_cut_slow(escaped, error));
}

/* Host address of gpa and how many bytes follow in its region, or NULL. */
static ALWAYS_INLINE uint8_t *chain_lookup(struct chain_walk *walk, uint64_t gpa,
					   uint64_t *avail_bytes)
{
	uint64_t delta = gpa - walk->row.gpa; /* wraps when below, and then is too large */

	if (unlikely(delta >= walk->row.size_bytes)) {
		bool found;

		CHAIN_SLOW(walk, found = chain_row_find(escaped, gpa));
		if (!found)
			return NULL;
		delta = gpa - walk->row.gpa;
	}
	*avail_bytes = walk->row.size_bytes - delta;
	return walk->row.hva + delta;
}

static ALWAYS_INLINE void chain_burst_begin(struct chain_walk *walk, const struct virtqueue *vq,
					    struct chain_pool *pool)
{
	walk->memory = vq->memory;
	walk->pool = pool;
	walk->row = vq->row;
}

static ALWAYS_INLINE void chain_burst_end(const struct chain_walk *walk, struct virtqueue *vq)
{
	vq->row = walk->row;
}

static ALWAYS_INLINE void chain_walk_begin(struct chain_walk *walk, struct vq_slot *slot)
{
	slot->iov = slot->inline_iov;
	slot->iov_class = 0;
	walk->slot = slot;
	walk->iov = slot->inline_iov;
	walk->iov_room = slot->inline_iov + CHAIN_IOV_INLINE;
	walk->total_bytes = 0;
	walk->phase = 0;
	walk->error = CHAIN_OK;
}

/* From here on entries are writable. */
static ALWAYS_INLINE void chain_walk_turn(struct chain_walk *walk)
{
	walk->phase = WIRE_DESC_F_WRITE;
	walk->slot->out_bytes = walk->total_bytes;
	walk->slot->out_cnt = (uint16_t)(walk->iov - walk->slot->iov);
}

static ALWAYS_INLINE void chain_step(struct chain_walk *walk, uint64_t gpa, uint32_t len,
				     uint16_t flags)
{
	const uint64_t delta = gpa - walk->row.gpa; /* wraps when below, and then is too large */
	const uint16_t write = flags & WIRE_DESC_F_WRITE;

	/* Length 0 wraps to more than there can be. */
	if (unlikely(delta >= walk->row.size_bytes) ||
	    unlikely((uint64_t)len - 1 >= walk->row.size_bytes - delta) ||
	    unlikely(walk->iov == walk->iov_room))
		goto slow;
	if (write != walk->phase) {
		if (unlikely(!write))
			goto slow;
		chain_walk_turn(walk);
	}
	walk->iov->iov_base = walk->row.hva + delta;
	walk->iov->iov_len = len;
	walk->iov++;
	walk->total_bytes += len;
	return;
slow:
	CHAIN_SLOW(walk, chain_step_slow(escaped, gpa, len, write));
}

/*
 * Feeds a table of cnt descriptors: at `table`, or scattered from gpa on. linked is a constant of
 * the format: split tables are linked by `next` (2.7.5.3), packed ones are read from front to back
 * and have no flag but WRITE (2.8.7).
 */
static ALWAYS_INLINE void chain_table(struct chain_walk *walk, const struct wire_desc GUEST *table,
				      uint64_t gpa, uint32_t cnt, const bool linked,
				      const bool scattered)
{
	const uint32_t bound = cnt < CHAIN_IOV_MAX ? cnt : CHAIN_IOV_MAX;
	uint32_t idx = 0;

	for (uint32_t steps = 0; likely(steps < bound); steps++) {
		struct wire_desc_copy desc;
		uint16_t flags;

		if (!scattered)
			desc = wire_desc_load(&table[idx]);
		else if (!chain_load_scattered(walk, gpa + (uint64_t)idx * WIRE_DESC_BYTES, &desc))
			return;
		flags = linked ? wire_split_flags(desc) : wire_packed_flags(desc);
		if (linked && unlikely(flags & WIRE_DESC_F_INDIRECT)) {
			chain_walk_cut(walk, CHAIN_INDIRECT_REFUSED);
			return;
		}
		chain_step(walk, desc.gpa, wire_desc_len(desc), flags);
		idx++;
		if (linked) {
			if (!(flags & WIRE_DESC_F_NEXT))
				return;
			idx = wire_split_next(desc);
			if (unlikely(idx >= cnt)) {
				chain_walk_cut(walk, CHAIN_NEXT_OUT_OF_RANGE);
				return;
			}
		} else if (idx == cnt) {
			return;
		}
	}
	chain_walk_cut(walk, CHAIN_TOO_LONG);
}

/* Feeds the indirect table that a descriptor refers to. */
static ALWAYS_INLINE void chain_indirect(struct chain_walk *walk, const struct virtqueue *vq,
					 uint64_t gpa, uint32_t len, const bool linked)
{
	const uint32_t cnt = len / WIRE_DESC_BYTES;
	uint64_t avail_bytes = 0;
	uint64_t end;
	uint8_t *hva;

	if (unlikely(len - 1 >= vq->table_bytes_max || len % WIRE_DESC_BYTES != 0)) {
		chain_walk_cut(walk, vq->table_bytes_max == 0 ? CHAIN_INDIRECT_REFUSED
							      : CHAIN_INDIRECT_LENGTH);
		return;
	}
	hva = chain_lookup(walk, gpa, &avail_bytes);
	if (likely(hva && len <= avail_bytes && (uintptr_t)hva % sizeof(uint64_t) == 0))
		chain_table(walk, gptr_from_hva(const struct wire_desc, hva), gpa, cnt, linked,
			    false);
	else if (hva && !overflow_add_u64(gpa, len - 1, &end))
		CHAIN_SLOW(walk, chain_indirect_scattered(escaped, gpa, cnt, linked));
	else
		chain_walk_cut(walk, CHAIN_INDIRECT_ADDRESS);
}

/* False: starved. True: the slot is filled but for id and desc_cnt, which are the format's. */
static ALWAYS_INLINE bool chain_walk_end(struct chain_walk *walk, struct virtqueue *vq)
{
	struct vq_slot *slot = walk->slot;
	uint16_t cnt;

	if (unlikely(walk->error != CHAIN_OK)) {
		bool ended;

		CHAIN_SLOW(walk, ended = chain_walk_end_slow(escaped, vq));
		if (!ended)
			return false;
	} else {
		slot->tail_in = walk->phase != 0;
	}
	cnt = (uint16_t)(walk->iov - slot->iov);
	if (unlikely(walk->phase == 0)) {
		slot->out_bytes = walk->total_bytes;
		slot->out_cnt = cnt;
	}
	slot->in_bytes = walk->total_bytes - slot->out_bytes;
	slot->in_cnt = (uint16_t)(cnt - slot->out_cnt);
	slot->used_bytes = 0;
	slot->error = walk->error;
	slot->memory_gen = vq->memory_gen;
	slot->done = false;
	/* A request's header comes first: it is what the device reads next. */
	prefetch_read(slot->iov->iov_base);
	return true;
}

#endif
