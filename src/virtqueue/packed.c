/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed ring (VIRTIO 1.3, 2.8): one ring for both directions, told apart by wrap counters.
 * Not how a chain's descriptors are judged (chain_priv.h).
 *
 * Theory of operation
 *
 * 1. A position is an index below size and a wrap counter that flips at the end of the ring.
 *    There are two: next_avail (where we read) and next_used (where we write). A descriptor is
 *    available when its AVAIL bit equals next_avail's counter and its USED bit does not.
 * 2. Only a head's flags are ordered (PKD_AVAIL): the driver stores them last, so the rest of
 *    the chain is there. Flags, id and length are one word and come with one load.
 * 3. The descriptors of a chain follow each other in the ring; its id is in the last one. So the
 *    next head is known only when the chain was walked to its end, whatever is wrong with its
 *    buffers. A chain without an end breaks the queue.
 * 4. desc_in_flight counts descriptors from next_used to next_avail, never more than the ring
 *    has: a driver that offers more has overwritten what it had not got back. It follows that
 *    slots suffice and that used descriptors never overwrite available ones that were not read.
 * 5. A used descriptor goes to next_used, which then skips as many descriptors as the chain had.
 *    The word of the burst's first one is stored last, with release (PKD_USED): the driver looks
 *    at that position only, and sees all of the burst or nothing.
 */
#include <errno.h>

#include "virtqueue/chain_priv.h"
#include "virtqueue/virtqueue_priv.h"
#include "virtqueue/wire.h"

#define AVAIL_USED (WIRE_DESC_F_AVAIL | WIRE_DESC_F_USED)

struct packed_pos {
	uint16_t idx;
	bool wrap;
};

struct packed_queue {
	struct virtqueue vq;
	struct wire_desc GUEST *desc;
	const struct wire_event GUEST *driver_event;
	struct wire_event GUEST *device_event;
	struct packed_pos next_avail;
	struct packed_pos next_used;
	uint32_t desc_in_flight;
};

static_assert(offsetof(struct packed_queue, vq) == 0, "the base comes first");

/* Heads of chains that follow each other; all but the last are single descriptors. */
struct packed_run {
	struct wire_desc_copy desc[VIRTQUEUE_BURST];
};

static ALWAYS_INLINE struct packed_queue *packed_of(struct virtqueue *vq)
{
	return (struct packed_queue *)(void *)vq;
}

static ALWAYS_INLINE const struct packed_queue *packed_of_const(const struct virtqueue *vq)
{
	return (const struct packed_queue *)(const void *)vq;
}

static ALWAYS_INLINE struct packed_pos packed_advance(struct packed_pos pos, uint32_t cnt,
						      uint32_t size)
{
	uint32_t idx = pos.idx + cnt; /* cnt <= size */

	if (idx >= size) {
		idx -= size;
		pos.wrap = !pos.wrap;
	}
	pos.idx = (uint16_t)idx;
	return pos;
}

static ALWAYS_INLINE uint16_t packed_pos_encode(struct packed_pos pos)
{
	return (uint16_t)(pos.idx | (pos.wrap ? WIRE_WRAP_BIT : 0));
}

static struct packed_pos packed_pos_decode(uint32_t off_wrap)
{
	return (struct packed_pos){
		.idx = (uint16_t)(off_wrap & (WIRE_WRAP_BIT - 1)),
		.wrap = off_wrap & WIRE_WRAP_BIT,
	};
}

/* AVAIL and USED bits of an available descriptor of that lap. */
static ALWAYS_INLINE uint16_t packed_avail_bits(bool wrap)
{
	return wrap ? WIRE_DESC_F_AVAIL : WIRE_DESC_F_USED;
}

static int packed_size_check(uint32_t size, struct err *err)
{
	(void)size;
	(void)err;
	return 0;
}

static void packed_geometry(uint32_t size, struct virtqueue_geometry *geometry)
{
	*geometry = (struct virtqueue_geometry){
		.bytes = {wire_desc_table_bytes(size), sizeof(struct wire_event),
			  sizeof(struct wire_event)},
		.align_bytes = {16, 4, 4},
	};
}

static void packed_attach(struct virtqueue *vq, uint8_t *const hva[PART_CNT_])
{
	struct packed_queue *q = packed_of(vq);

	q->desc = gptr_from_hva(struct wire_desc, hva[PART_DESC]);
	q->driver_event = gptr_from_hva(const struct wire_event, hva[PART_DRIVER]);
	q->device_event = gptr_from_hva(struct wire_event, hva[PART_DEVICE]);
}

/*
 * Some front ends (User-Mode Linux) send base 0 for a ring that was never used, where 0x80008000
 * is right. As a position 0 means "one lap done": then descriptor 0 was used in that lap, and
 * has USED set, whether or not the driver has offered it again. In a fresh ring it is clear.
 */
static bool packed_base_is_blind(const struct packed_queue *q,
				 const struct virtqueue_config *config)
{
	if (config->base != 0 || config->base_is_exact)
		return false;
	return !(wire_packed_flags(wire_desc_load(&q->desc[0])) & WIRE_DESC_F_USED);
}

/*
 * DPDK's virtio-user says 0x8000 for a fresh ring: where the avail side is, and nothing of the used
 * side. Taken as it stands, a whole lap would be in flight; but a ring that was given back is
 * drained, and then both sides are at one position.
 */
static uint32_t packed_base_whole(const struct virtqueue_config *config)
{
	if (config->base_is_exact || config->base >> 16 != 0)
		return config->base;
	return config->base << 16 | config->base;
}

static int packed_start(struct virtqueue *vq, const struct virtqueue_config *config,
			struct err *err)
{
	const uint32_t fresh = WIRE_WRAP_BIT | WIRE_WRAP_BIT << 16;
	struct packed_queue *q = packed_of(vq);
	const uint32_t base = packed_base_is_blind(q, config) ? fresh : packed_base_whole(config);

	q->next_avail = packed_pos_decode(base & UINT16_MAX);
	q->next_used = packed_pos_decode(base >> 16);
	if (q->next_avail.idx >= vq->size || q->next_used.idx >= vq->size)
		return err_set(err, EINVAL,
			       "vring base 0x%x: avail index %u and used index %u of a packed ring "
			       "must be below its size %u",
			       config->base, q->next_avail.idx, q->next_used.idx, vq->size);
	vq->call_owed = base != fresh;
	return 0;
}

/* Loads the head at pos. False: it is not available. */
static ALWAYS_INLINE bool packed_load_head(const struct packed_queue *q, struct packed_pos pos,
					   struct wire_desc_copy *copy)
{
	const struct wire_desc GUEST *desc = &q->desc[pos.idx];

	copy->rest = gptr_load_le64_acquire(&desc->rest); /* PKD_AVAIL */
	if ((wire_packed_flags(*copy) & AVAIL_USED) != packed_avail_bits(pos.wrap))
		return false;
	copy->gpa = gptr_load_le64(&desc->gpa);
	return true;
}

static ALWAYS_INLINE bool packed_goes_on(struct wire_desc_copy desc)
{
	return wire_packed_flags(desc) & WIRE_DESC_F_NEXT;
}

/*
 * Loads heads as long as they are available and chains by themselves, so that the position of the
 * next is known. Starts the loads that the parser will need next. The first one is there already.
 * A head that ends the run is loaded again later: what is judged is that later copy.
 */
static ALWAYS_INLINE unsigned packed_load_run(struct packed_queue *q, struct packed_run *run,
					      unsigned max)
{
	struct packed_pos pos = q->next_avail;
	unsigned cnt = 0;

	do {
		chain_prefetch(&q->vq, run->desc[cnt].gpa);
		if (++cnt == max)
			break;
		pos = packed_advance(pos, 1, q->vq.size);
	} while (packed_load_head(q, pos, &run->desc[cnt]) && !packed_goes_on(run->desc[cnt]));
	return cnt;
}

/*
 * Feeds the chain that begins with *desc at next_avail, short and good, up to its last descriptor,
 * which is *desc then. Returns the number of descriptors; 0: it is not like that.
 */
static ALWAYS_INLINE uint32_t packed_walk_fast(struct packed_queue *q, struct chain_walk *walk,
					       struct wire_desc_copy *desc)
{
	uint32_t idx = q->next_avail.idx;

	/* Each takes an entry, so there is an end. */
	for (;;) {
		const uint32_t flags = wire_packed_flags(*desc);

		if (unlikely(!chain_step_fast(walk, *desc, flags, WIRE_DESC_F_INDIRECT)))
			return 0;
		if (!(flags & WIRE_DESC_F_NEXT))
			return (uint32_t)(walk->iov - walk->slot->inline_iov);
		if (unlikely(++idx == q->vq.size))
			idx = 0;
		*desc = wire_desc_load(&q->desc[idx]);
	}
}

/*
 * Feeds any chain that begins with *desc at next_avail, and goes on to its last descriptor, which
 * is *desc then, even when the walk failed. Returns the number of descriptors; 0: it has no end.
 */
static uint32_t packed_walk(struct packed_queue *q, struct chain_walk *walk,
			    struct wire_desc_copy *desc)
{
	const uint32_t size = q->vq.size;
	uint32_t idx = q->next_avail.idx;
	uint32_t cnt = 1;

	for (;;) {
		const uint32_t flags = wire_packed_flags(*desc);

		if (!chain_step(walk, *desc, flags, WIRE_DESC_F_INDIRECT))
			chain_indirect(walk, *desc, flags, false);
		if (!(flags & WIRE_DESC_F_NEXT))
			return cnt;
		if (cnt == size)
			return 0;
		cnt++;
		if (++idx == size)
			idx = 0;
		*desc = wire_desc_load(&q->desc[idx]);
	}
}

/*
 * Parses a chain that the fast walk gave up, from its head on: what was loaded before is void.
 * False: it starved. *desc_cnt as packed_walk() returns it, *last is its last descriptor.
 */
static NOINLINE bool packed_walk_again(struct packed_queue *q, struct chain_pool *pool,
				       struct vq_slot *slot, struct wire_desc_copy desc,
				       uint32_t *desc_cnt, struct wire_desc_copy *last)
{
	struct chain_failure failure;
	struct chain_walk walk;

	chain_burst_begin(&walk, &q->vq, pool, &failure);
	chain_walk_begin(&walk, slot);
	failure.error = CHAIN_OK;
	*desc_cnt = packed_walk(q, &walk, &desc);
	*last = desc;
	return chain_walk_end(&walk);
}

/* Parses the chain of several descriptors at next_avail. NULL: the queue broke, or it starved. */
static ALWAYS_INLINE struct vq_slot *
packed_take_chain(struct packed_queue *q, struct chain_walk *walk, struct wire_desc_copy desc)
{
	struct virtqueue *vq = &q->vq;
	const uint32_t room = vq->size - q->desc_in_flight;
	struct wire_desc_copy last;
	struct vq_slot *slot;
	uint32_t desc_cnt;

	if (unlikely(room == 0)) {
		virtqueue_break(vq, VIRTQUEUE_FAULT_AVAIL_JUMP);
		return NULL;
	}
	slot = virtqueue_slot_peek(vq);
	chain_walk_begin(walk, slot);
	last = desc;
	desc_cnt = packed_walk_fast(q, walk, &last);
	if (likely(desc_cnt != 0)) {
		chain_walk_end_fast(walk);
	} else {
		struct wire_desc_copy again;

		if (!packed_walk_again(q, walk->pool, slot, desc, &desc_cnt, &again))
			return NULL;
		last = again;
	}
	chain_prefetch_header(walk);
	slot->id = wire_packed_id(last);
	if (unlikely(desc_cnt - 1 >= room) || unlikely(virtqueue_id_claim(vq, slot->id))) {
		chain_iov_release(walk->pool, slot);
		virtqueue_break(vq, desc_cnt == 0     ? VIRTQUEUE_FAULT_CHAIN_FRAMING
				    : desc_cnt > room ? VIRTQUEUE_FAULT_AVAIL_JUMP
						      : VIRTQUEUE_FAULT_HEAD_IN_FLIGHT);
		return NULL;
	}
	virtqueue_slot_take(vq, slot);
	slot->desc_cnt = (uint16_t)desc_cnt;
	q->desc_in_flight += desc_cnt;
	q->next_avail = packed_advance(q->next_avail, desc_cnt, vq->size);
	return slot;
}

/* Parses chains of several descriptors, as long as there are such. */
static NOINLINE unsigned packed_take_chains(struct packed_queue *q, struct chain_pool *pool,
					    struct vq_slot **slots, unsigned max, bool *stop)
{
	struct wire_desc_copy desc;
	struct chain_walk walk;
	unsigned n = 0;

	chain_burst_begin(&walk, &q->vq, pool, NULL);
	while (n < max && packed_load_head(q, q->next_avail, &desc)) {
		if (!packed_goes_on(desc))
			return n;
		slots[n] = packed_take_chain(q, &walk, desc);
		if (unlikely(!slots[n]))
			break;
		n++;
	}
	*stop = true;
	return n;
}

/*
 * Parses cnt chains of one descriptor, tables above all. There is room for them: see the caller.
 * Returns how many it took; fewer: the queue broke, or the walk starved.
 */
static NOINLINE unsigned packed_take_run(struct packed_queue *q, struct chain_pool *pool,
					 const struct packed_run *run, struct vq_slot **slots,
					 unsigned cnt)
{
	struct virtqueue *vq = &q->vq;
	struct chain_walk walk;
	unsigned n;

	chain_burst_begin(&walk, vq, pool, NULL);
	for (n = 0; n < cnt; n++) {
		const struct wire_desc_copy desc = run->desc[n];
		const uint32_t flags = wire_packed_flags(desc);
		struct vq_slot *slot = virtqueue_slot_peek(vq);

		chain_walk_begin(&walk, slot);
		if (likely(flags & WIRE_DESC_F_INDIRECT)
			    ? likely(chain_indirect_fast(&walk, desc, flags, false))
			    : chain_step_fast(&walk, desc, flags, 0)) {
			chain_walk_end_fast(&walk);
		} else {
			struct wire_desc_copy last;
			uint32_t one;

			if (!packed_walk_again(q, pool, slot, desc, &one, &last))
				break;
		}
		slot->id = wire_packed_id(desc);
		if (unlikely(virtqueue_id_claim(vq, slot->id))) {
			chain_iov_release(pool, slot);
			virtqueue_break(vq, VIRTQUEUE_FAULT_HEAD_IN_FLIGHT);
			break;
		}
		virtqueue_slot_take(vq, slot);
		slot->desc_cnt = 1;
		slots[n] = slot;
	}
	q->desc_in_flight += n;
	q->next_avail = packed_advance(q->next_avail, n, vq->size);
	return n;
}

static unsigned packed_fetch(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot **slots,
			     unsigned max)
{
	struct packed_queue *q = packed_of(vq);
	struct packed_run run;
	bool stop = false;
	unsigned n = 0;

	while (n < max && !stop && packed_load_head(q, q->next_avail, &run.desc[0])) {
		const uint32_t room = vq->size - q->desc_in_flight;
		unsigned cnt, got;

		if (packed_goes_on(run.desc[0])) {
			n += packed_take_chains(q, pool, &slots[n], max - n, &stop);
			continue;
		}
		if (unlikely(room == 0)) {
			virtqueue_break(vq, VIRTQUEUE_FAULT_AVAIL_JUMP);
			break;
		}
		cnt = packed_load_run(q, &run, max - n < room ? max - n : room);
		got = packed_take_run(q, pool, &run, &slots[n], cnt);
		n += got;
		stop = got < cnt;
	}
	return n;
}

static void packed_unfetch(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n)
{
	struct packed_queue *q = packed_of(vq);
	uint32_t desc_cnt = 0;

	for (unsigned i = 0; i < n; i++)
		desc_cnt += slots[i]->desc_cnt;
	q->desc_in_flight -= desc_cnt; /* so it is at most the ring's size */
	if (desc_cnt > q->next_avail.idx) {
		q->next_avail.wrap = !q->next_avail.wrap;
		desc_cnt -= vq->size; /* wraps, and back again */
	}
	q->next_avail.idx = (uint16_t)(q->next_avail.idx - desc_cnt);
}

static void packed_publish(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n)
{
	struct packed_queue *q = packed_of(vq);
	struct packed_pos pos = q->next_used;
	uint32_t desc_cnt = 0;
	uint64_t first = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct vq_slot *slot = slots[i];
		const unsigned flags = (pos.wrap ? AVAIL_USED : 0) |
				       (slot->used_bytes ? WIRE_DESC_F_WRITE : 0);
		const uint64_t rest = wire_packed_rest(slot->used_bytes, slot->id, (uint16_t)flags);

		if (i == 0)
			first = rest;
		else
			gptr_store_le64(&q->desc[pos.idx].rest, rest);
		desc_cnt += slot->desc_cnt;
		pos = packed_advance(pos, slot->desc_cnt, vq->size);
	}
	gptr_store_le64_release(&q->desc[q->next_used.idx].rest, first); /* PKD_USED */
	q->next_used = pos;
	q->desc_in_flight -= desc_cnt;
	vq->unsignalled_cnt += desc_cnt;
}

static bool packed_wants_call(const struct virtqueue *vq)
{
	const struct packed_queue *q = packed_of_const(vq);
	const uint32_t word = gptr_load_le32(&q->driver_event->word);

	switch (wire_event_flags(word)) {
	case WIRE_EVENT_DISABLE:
		return false;
	case WIRE_EVENT_DESC:
		if (!vq->event_idx)
			return true;
		return notify_packed_crossed(wire_event_off_wrap(word), q->next_used.idx,
					     q->next_used.wrap, vq->unsignalled_cnt, vq->size);
	default: /* WIRE_EVENT_ENABLE, and the reserved value: a call too many is no harm */
		return true;
	}
}

static void packed_arm(struct virtqueue *vq)
{
	struct packed_queue *q = packed_of(vq);
	uint32_t word = wire_event_word(0, WIRE_EVENT_ENABLE);

	if (vq->event_idx)
		word = wire_event_word(packed_pos_encode(q->next_avail), WIRE_EVENT_DESC);
	else if (vq->kick_state == KICKS_ON)
		return;
	gptr_store_le32(&q->device_event->word, word);
	vq->kick_state = KICKS_ON;
}

static void packed_disarm(struct virtqueue *vq)
{
	if (vq->kick_state == KICKS_OFF)
		return;
	gptr_store_le32(&packed_of(vq)->device_event->word, wire_event_word(0, WIRE_EVENT_DISABLE));
	vq->kick_state = KICKS_OFF;
}

static bool packed_is_avail(const struct packed_queue *q, struct packed_pos pos)
{
	const struct wire_desc_copy head = {.rest = gptr_load_le64(&q->desc[pos.idx].rest)};

	return (wire_packed_flags(head) & AVAIL_USED) == packed_avail_bits(pos.wrap);
}

static bool packed_has_avail(const struct virtqueue *vq)
{
	const struct packed_queue *q = packed_of_const(vq);

	return packed_is_avail(q, q->next_avail);
}

/*
 * A hint. Drivers make descriptors available in the ring's order, so the last one is found by
 * halving; whatever else a ring says, there are no more than fit into it.
 */
static uint32_t packed_free_cnt(const struct virtqueue *vq)
{
	const struct packed_queue *q = packed_of_const(vq);
	uint32_t there = 0, not_there = vq->size - q->desc_in_flight;

	if (not_there == 0 ||
	    packed_is_avail(q, packed_advance(q->next_avail, not_there - 1, vq->size)))
		return vq->size;
	/* Of descriptors 0 to there - 1 all are available; not_there - 1 is not. */
	while (there + 1 < not_there) {
		const uint32_t middle = there + (not_there - there) / 2;

		if (packed_is_avail(q, packed_advance(q->next_avail, middle - 1, vq->size)))
			there = middle;
		else
			not_there = middle;
	}
	return q->desc_in_flight + there;
}

static uint32_t packed_base(const struct virtqueue *vq)
{
	const struct packed_queue *q = packed_of_const(vq);

	return (uint32_t)packed_pos_encode(q->next_avail) |
	       (uint32_t)packed_pos_encode(q->next_used) << 16;
}

const struct virtqueue_ops packed_ops = {
	.name = "packed",
	.object_bytes = sizeof(struct packed_queue),
	.size_check = packed_size_check,
	.geometry = packed_geometry,
	.start = packed_start,
	.attach = packed_attach,
	.fetch = packed_fetch,
	.unfetch = packed_unfetch,
	.publish = packed_publish,
	.wants_call = packed_wants_call,
	.arm = packed_arm,
	.disarm = packed_disarm,
	.has_avail = packed_has_avail,
	.free_cnt = packed_free_cnt,
	.base = packed_base,
};
