/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over a chain: descriptor by descriptor into a slot's iovecs, for both ring formats.
 * Not where descriptors come from: split.c and packed.c feed it.
 *
 * Theory of operation
 *
 * 1. A format takes a slot (virtqueue_slot_peek), begins a walk, feeds it its own copies of
 *    descriptors, and ends the walk. Nothing of the queue has changed until it is known that the
 *    walk did not starve.
 * 2. Short and good chains go by chain_step_fast() and chain_indirect_fast(), which know no way but
 *    onwards: that is what keeps a walk in registers. Any other chain is walked anew from our copy
 *    of its head, by chain_step() and chain_indirect(); what was loaded of it before is void then,
 *    so that still each judgement is about one load. A failed or starved walk has no room by
 *    definition, so that the good case of chain_step() needs no further test.
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

/* Of walks that are not fast. Nothing but error is valid without one. */
struct chain_failure {
	uint8_t error; /* enum chain_error, or CHAIN_STARVED */
	bool cut;
	bool tail_pending; /* the last writable descriptor since the failure: */
	uint32_t tail_len;
	uint64_t tail_gpa;
};

struct chain_walk {
	/* For a burst. vq->row is the row of the last hit; as operands its members are free. */
	struct virtqueue *vq;
	struct chain_pool *pool;
	struct chain_failure *failure;

	/* For a chain. */
	struct vq_slot *slot;
	struct iovec *iov;      /* where the next entry goes */
	struct iovec *iov_room; /* end of room */
	uint64_t total_bytes;
	uint32_t phase; /* 0, or WIRE_DESC_F_WRITE once there was a writable descriptor */
};

/* The pool had no block: the walk is void, the chain stays in the ring. */
#define CHAIN_STARVED CHAIN_ERROR_MAX_

/* write: 0 or WIRE_DESC_F_WRITE. */
void chain_step_slow(struct chain_walk *walk, uint64_t gpa, uint32_t len, uint32_t write);
/* Notes why the chain cannot be used; the first reason stays. */
void chain_walk_fail(struct chain_walk *walk, enum chain_error error);
/* The same, and its end will not be found. */
void chain_walk_cut_slow(struct chain_walk *walk, enum chain_error error);
/* End of a walk that failed or starved. False: starved, the chain stays in the ring. */
bool chain_walk_end_slow(struct chain_walk *walk);
/* Makes vq->row that of gpa. False: there is none. */
bool chain_row_find(struct virtqueue *vq, uint64_t gpa);
/* Feeds a table that is not aligned, or not in one region; or none, if it is not allowed. */
void chain_indirect_slow(struct chain_walk *walk, struct wire_desc_copy desc, uint32_t flags,
			 bool linked);
/*
 * Calls a seldom function on a copy of the walk, which `call` knows as `escaped`. So the walk
 * itself never has an address, and the compiler keeps what is hot of it in registers; what it does
 * not take back of the copy, it knows to be constant.
 */
#define CHAIN_SLOW(walk, call)                             \
	do {                                               \
		struct chain_walk copy_ = *(walk);         \
		struct chain_walk *const escaped = &copy_; \
		call;                                      \
		(walk)->iov = copy_.iov;                   \
		(walk)->iov_room = copy_.iov_room;         \
		(walk)->total_bytes = copy_.total_bytes;   \
		(walk)->phase = copy_.phase;               \
	} while (0)

static ALWAYS_INLINE void chain_walk_cut(struct chain_walk *walk, enum chain_error error)
{
	CHAIN_SLOW(walk, chain_walk_cut_slow(escaped, error));
}

/*
 * Is all of len bytes from gpa on in that row? A row does not wrap. So for a gpa below it the
 * distance alone is beyond its size, or the sum overflows; and so for len 0, whose last byte is at
 * 2^64 - 1 or overflows as well.
 */
static ALWAYS_INLINE bool chain_row_spans(const struct gmem_row *row, uint64_t gpa, uint32_t len)
{
	const uint64_t delta = gpa - row->gpa;
	const uint64_t last = delta + ((uint64_t)len - 1);

	/* As overflow_add_u64(), but gcc 12 would keep that one's result in a register. */
	return last >= delta && last < row->size_bytes;
}

/* Host address of gpa and how many bytes follow in its region, or NULL. */
static ALWAYS_INLINE uint8_t *chain_lookup(struct virtqueue *vq, uint64_t gpa,
					   uint64_t *avail_bytes)
{
	uint64_t delta = gpa - vq->row.gpa; /* wraps when below, and then is too large */

	if (unlikely(delta >= vq->row.size_bytes)) {
		if (!chain_row_find(vq, gpa))
			return NULL;
		delta = gpa - vq->row.gpa;
	}
	*avail_bytes = vq->row.size_bytes - delta;
	return vq->row.hva + delta;
}

/*
 * Starts the load of what a head refers to: an indirect table, or a request's header. A guess by
 * the row of the last hit; what is elsewhere is found when it is walked.
 */
static ALWAYS_INLINE void chain_prefetch(const struct virtqueue *vq, uint64_t gpa)
{
	const uint64_t delta = gpa - vq->row.gpa;

	if (likely(delta < vq->row.size_bytes))
		prefetch_read(vq->row.hva + delta);
}

/* A request's header comes first: it is what the device reads next. (Maybe stale: no harm.) */
static ALWAYS_INLINE void chain_prefetch_header(const struct chain_walk *walk)
{
	prefetch_read(walk->slot->inline_iov[0].iov_base);
}

static ALWAYS_INLINE void chain_burst_begin(struct chain_walk *walk, struct virtqueue *vq,
					    struct chain_pool *pool, struct chain_failure *failure)
{
	walk->vq = vq;
	walk->pool = pool;
	walk->failure = failure;
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
}

/* From here on entries are writable. */
static ALWAYS_INLINE void chain_walk_turn(struct chain_walk *walk)
{
	walk->phase = WIRE_DESC_F_WRITE;
	walk->slot->out_bytes = walk->total_bytes;
	walk->slot->out_cnt = (uint16_t)(walk->iov - walk->slot->iov);
}

/* The good case of chain_step(). False: it is not one, no entry was made. */
static ALWAYS_INLINE bool chain_step_fast(struct chain_walk *walk, struct wire_desc_copy desc,
					  uint32_t flags, const uint32_t stop)
{
	const struct gmem_row *row = &walk->vq->row;
	const uint32_t len = wire_desc_len(desc);

	/* The flags that are seldom as they were in the descriptor before, in one test. */
	if ((flags ^ walk->phase) & (WIRE_DESC_F_WRITE | stop)) {
		if (unlikely((flags & (WIRE_DESC_F_WRITE | stop)) != WIRE_DESC_F_WRITE))
			return false;
		chain_walk_turn(walk);
	}
	if (unlikely(!chain_row_spans(row, desc.gpa, len)) || unlikely(walk->iov == walk->iov_room))
		return false;
	walk->iov->iov_base = row->hva + (desc.gpa - row->gpa);
	walk->iov->iov_len = len;
	walk->iov++;
	walk->total_bytes += len;
	return true;
}

/*
 * Feeds a descriptor. stop is a constant: 0, or WIRE_DESC_F_INDIRECT. False: the descriptor has
 * that flag, and was not looked at.
 */
static ALWAYS_INLINE bool chain_step(struct chain_walk *walk, struct wire_desc_copy desc,
				     uint32_t flags, const uint32_t stop)
{
	if (likely(chain_step_fast(walk, desc, flags, stop)))
		return true;
	if (flags & stop)
		return false;
	CHAIN_SLOW(walk, chain_step_slow(escaped, desc.gpa, wire_desc_len(desc),
					 flags & WIRE_DESC_F_WRITE));
	return true;
}

/*
 * Feeds a table of cnt descriptors. linked is a constant of the format: split tables are linked by
 * `next` and have no tables of their own (2.7.5.3), packed ones are read from front to back and
 * have no flag but WRITE (2.8.7).
 */
static ALWAYS_INLINE void chain_table(struct chain_walk *walk, const struct wire_desc GUEST *table,
				      uint32_t cnt, const bool linked)
{
	const uint32_t bound = cnt < CHAIN_IOV_MAX ? cnt : CHAIN_IOV_MAX;
	const struct wire_desc GUEST *at = table;
	const struct wire_desc GUEST *end = table + bound;
	uint32_t left = bound;

	for (;;) {
		const struct wire_desc_copy desc = wire_desc_load(at);
		const uint32_t flags = linked ? wire_split_flags(desc) : wire_packed_flags(desc);
		uint32_t next;

		if (unlikely(!chain_step(walk, desc, flags, linked ? WIRE_DESC_F_INDIRECT : 0))) {
			chain_walk_cut(walk, CHAIN_INDIRECT_REFUSED);
			return;
		}
		if (!linked) {
			if (++at != end)
				continue;
			if (unlikely(cnt > bound))
				chain_walk_cut(walk, CHAIN_TOO_LONG);
			return;
		}
		if (!(flags & WIRE_DESC_F_NEXT))
			return;
		next = wire_split_next(desc);
		if (unlikely(next >= cnt)) {
			chain_walk_cut(walk, CHAIN_NEXT_OUT_OF_RANGE);
			return;
		}
		if (unlikely(--left == 0)) {
			chain_walk_cut(walk, CHAIN_TOO_LONG);
			return;
		}
		at = &table[next];
	}
}

/* Feeds the indirect table that a descriptor with those flags refers to. */
static ALWAYS_INLINE void chain_indirect(struct chain_walk *walk, struct wire_desc_copy desc,
					 uint32_t flags, const bool linked)
{
	struct virtqueue *vq = walk->vq;
	const uint32_t len = wire_desc_len(desc);
	const uint8_t *hva;

	/* Length 0 is too large as well. */
	if (unlikely(flags & WIRE_DESC_F_NEXT) || unlikely(len - 1 >= vq->table_bytes_max) ||
	    unlikely(len % WIRE_DESC_BYTES != 0) ||
	    (unlikely(!chain_row_spans(&vq->row, desc.gpa, len)) &&
	     !(chain_row_find(vq, desc.gpa) && chain_row_spans(&vq->row, desc.gpa, len))))
		goto slow;
	hva = vq->row.hva + (desc.gpa - vq->row.gpa);
	if (unlikely((uintptr_t)hva % sizeof(uint64_t) != 0))
		goto slow;
	if (len > CACHE_LINE_BYTES)
		prefetch_read(hva + CACHE_LINE_BYTES);
	chain_table(walk, gptr_from_hva(const struct wire_desc, hva), len / WIRE_DESC_BYTES,
		    linked);
	chain_prefetch_header(walk);
	return;
slow:
	CHAIN_SLOW(walk, chain_indirect_slow(escaped, desc, flags, linked));
}

/* The good case of chain_indirect() alone: a short table in the row of the last hit. */
static ALWAYS_INLINE bool chain_indirect_fast(struct chain_walk *walk, struct wire_desc_copy head,
					      uint32_t flags, const bool linked)
{
	struct virtqueue *vq = walk->vq;
	const uint32_t len = wire_desc_len(head);
	const struct wire_desc GUEST *table;
	const struct wire_desc GUEST *at;
	const uint8_t *hva;

	/* Length 0 is too large as well. */
	if (unlikely(flags & WIRE_DESC_F_NEXT) || unlikely(len - 1 >= vq->table_fast_bytes) ||
	    unlikely(!chain_row_spans(&vq->row, head.gpa, len)))
		return false;
	hva = vq->row.hva + (head.gpa - vq->row.gpa);
	if (unlikely(((uintptr_t)hva % sizeof(uint64_t)) | (len % WIRE_DESC_BYTES)))
		return false;
	table = gptr_from_hva(const struct wire_desc, hva);
	at = table;
	if (len > CACHE_LINE_BYTES)
		prefetch_read(hva + CACHE_LINE_BYTES);
	/* Each takes an entry, so a loop ends as well. */
	for (;;) {
		const struct wire_desc_copy desc = wire_desc_load(at);

		flags = linked ? wire_split_flags(desc) : wire_packed_flags(desc);
		if (unlikely(
			    !chain_step_fast(walk, desc, flags, linked ? WIRE_DESC_F_INDIRECT : 0)))
			return false;
		if (linked) {
			if (!(flags & WIRE_DESC_F_NEXT))
				break;
			if (unlikely(wire_split_next(desc) >= len / WIRE_DESC_BYTES))
				return false;
			at = &table[wire_split_next(desc)];
		} else {
			at++;
			if (gptr_to_hva(at) == (uintptr_t)hva + len)
				break;
		}
	}
	chain_prefetch_header(walk);
	return true;
}

/* What the good and the other end have in common; error and tail_in are set before. */
static ALWAYS_INLINE void chain_walk_fill(struct chain_walk *walk)
{
	struct vq_slot *slot = walk->slot;
	const uint16_t cnt = (uint16_t)(walk->iov - slot->iov);

	if (unlikely(walk->phase == 0)) {
		slot->out_bytes = walk->total_bytes;
		slot->out_cnt = cnt;
		slot->tail_in = false;
	}
	slot->in_bytes = walk->total_bytes - slot->out_bytes;
	slot->in_cnt = (uint16_t)(cnt - slot->out_cnt);
	slot->used_bytes = 0;
	slot->memory_gen = walk->vq->memory_gen;
	slot->done = false;
}

static ALWAYS_INLINE void chain_walk_end_fast(struct chain_walk *walk)
{
	walk->slot->error = CHAIN_OK;
	walk->slot->tail_in = true;
	chain_walk_fill(walk);
}

/* False: starved. True: the slot is filled but for id and desc_cnt, which are the format's. */
static ALWAYS_INLINE bool chain_walk_end(struct chain_walk *walk)
{
	struct vq_slot *slot = walk->slot;

	slot->error = CHAIN_OK;
	slot->tail_in = true;
	if (walk->failure->error != CHAIN_OK && !chain_walk_end_slow(walk))
		return false;
	chain_walk_fill(walk);
	return true;
}

#endif
