/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split ring (VIRTIO 1.3, 2.7): heads from the avail ring, used elements, suppression, base.
 * Not how a chain's descriptors are judged (chain_priv.h).
 */
#include <errno.h>

#include "base/overflow.h"
#include "virtqueue/chain_priv.h"
#include "virtqueue/virtqueue_priv.h"
#include "virtqueue/wire.h"

struct split_queue {
	struct virtqueue vq;
	const struct wire_desc GUEST *desc;
	const struct wire_avail GUEST *avail;
	struct wire_used GUEST *used;
	uint16_t next_avail_idx; /* free-running, as the ring's own indices */
	uint16_t next_used_idx;
	uint16_t mask; /* size - 1 */
};

static_assert(offsetof(struct split_queue, vq) == 0, "the base comes first");

/* What a burst took from the avail ring. */
struct split_head {
	struct wire_desc_copy desc;
	uint32_t id;
};

static ALWAYS_INLINE struct split_queue *split_of(struct virtqueue *vq)
{
	return (struct split_queue *)(void *)vq;
}

static ALWAYS_INLINE const struct split_queue *split_of_const(const struct virtqueue *vq)
{
	return (const struct split_queue *)(const void *)vq;
}

static int split_size_check(uint32_t size, struct err *err)
{
	if (!is_pow2(size))
		return err_set(err, EINVAL, "queue size %u of a split ring is no power of two",
			       size);
	return 0;
}

static void split_geometry(uint32_t size, struct virtqueue_geometry *geometry)
{
	*geometry = (struct virtqueue_geometry){
		.bytes = {wire_desc_table_bytes(size), wire_avail_bytes(size),
			  wire_used_bytes(size)},
		.align_bytes = {16, 2, 4},
	};
}

static void split_attach(struct virtqueue *vq, uint8_t *const hva[PART_CNT_])
{
	struct split_queue *q = split_of(vq);

	q->desc = gptr_from_hva(const struct wire_desc, hva[PART_DESC]);
	q->avail = gptr_from_hva(const struct wire_avail, hva[PART_DRIVER]);
	q->used = gptr_from_hva(struct wire_used, hva[PART_DEVICE]);
}

static int split_start(struct virtqueue *vq, const struct virtqueue_config *config, struct err *err)
{
	struct split_queue *q = split_of(vq);

	if (config->base > UINT16_MAX)
		return err_set(err, EINVAL, "vring base 0x%x of a split ring is above 0xffff",
			       config->base);
	q->mask = (uint16_t)(vq->size - 1);
	q->next_avail_idx = (uint16_t)config->base;
	q->next_used_idx = gptr_load_le16(&q->used->idx);
	vq->call_owed = q->next_avail_idx != 0 || q->next_used_idx != 0;
	return 0;
}

/*
 * Loads up to max heads and the first descriptor of each, and starts the loads that the parser
 * will need next. What was loaded here is not loaded again.
 */
static ALWAYS_INLINE unsigned split_load_heads(struct split_queue *q, struct split_head *heads,
					       unsigned max)
{
	const struct wire_desc GUEST *table = q->desc;
	const struct le16 GUEST *ring = q->avail->ring;
	const uint32_t size = q->vq.size;
	const uint32_t begin = q->next_avail_idx;
	/* AVAIL_PUB */
	const uint16_t avail_idx = gptr_load_le16_acquire(&q->avail->idx);
	const uint16_t pending = (uint16_t)(avail_idx - begin);
	unsigned cnt;

	if (pending == 0)
		return 0;
	if (unlikely(pending > size)) {
		virtqueue_break(&q->vq, VIRTQUEUE_FAULT_AVAIL_JUMP);
		return 0;
	}
	if (max > pending)
		max = pending;
	for (cnt = 0; cnt < max; cnt++) {
		const uint16_t id = gptr_load_le16(&ring[(begin + cnt) & (size - 1)]);

		if (unlikely(id >= size)) {
			virtqueue_break(&q->vq, VIRTQUEUE_FAULT_HEAD_RANGE);
			break;
		}
		heads[cnt].id = id;
		prefetch_read((const void *)gptr_to_hva(&table[id]));
	}
	for (unsigned i = 0; i < cnt; i++) {
		heads[i].desc = wire_desc_load(&table[heads[i].id]);
		chain_prefetch(&q->vq, heads[i].desc.gpa);
	}
	return cnt;
}

/* Feeds the chain that begins with desc, all of it in the ring, short and good; or false. */
static ALWAYS_INLINE bool split_walk_fast(struct split_queue *q, struct chain_walk *walk,
					  struct wire_desc_copy desc)
{
	/* Each takes an entry, so a loop ends as well. */
	for (;;) {
		const uint32_t flags = wire_split_flags(desc);
		const uint32_t next = wire_split_next(desc);

		if (unlikely(!chain_step_fast(walk, desc, flags, WIRE_DESC_F_INDIRECT)))
			return false;
		if (!(flags & WIRE_DESC_F_NEXT))
			return true;
		if (unlikely(next >= q->vq.size))
			return false;
		desc = wire_desc_load(&q->desc[next]);
	}
}

/* Feeds any chain. */
static void split_walk(struct split_queue *q, struct chain_walk *walk, struct wire_desc_copy desc)
{
	uint32_t left = q->vq.chain_max;
	uint32_t next;

	while (chain_step(walk, desc, wire_split_flags(desc), WIRE_DESC_F_INDIRECT)) {
		if (!(wire_split_flags(desc) & WIRE_DESC_F_NEXT))
			return;
		if (--left == 0) {
			chain_walk_cut_slow(walk, CHAIN_TOO_LONG);
			return;
		}
		next = wire_split_next(desc);
		if (next >= q->vq.size) {
			chain_walk_cut_slow(walk, CHAIN_NEXT_OUT_OF_RANGE);
			return;
		}
		desc = wire_desc_load(&q->desc[next]);
	}
	chain_indirect(walk, desc, wire_split_flags(desc), true);
}

/*
 * Parses a chain that the fast walk gave up, from its head on: what was loaded before is void.
 * False: it starved.
 */
static NOINLINE bool split_walk_again(struct split_queue *q, struct chain_pool *pool,
				      struct vq_slot *slot, struct wire_desc_copy desc)
{
	struct chain_failure failure;
	struct chain_walk walk;

	chain_burst_begin(&walk, &q->vq, pool, &failure);
	chain_walk_begin(&walk, slot);
	failure.error = CHAIN_OK;
	split_walk(q, &walk, desc);
	chain_prefetch_header(&walk);
	return chain_walk_end(&walk);
}

/*
 * Parses chains as long as all are in the ring, or all in tables, and tells when to stop. Two
 * functions are made of it, each with what it needs in registers.
 */
static ALWAYS_INLINE unsigned split_take(struct split_queue *q, struct chain_pool *pool,
					 const struct split_head *heads, unsigned cnt,
					 struct vq_slot **slots, bool *stop, const bool tables)
{
	struct virtqueue *vq = &q->vq;
	struct chain_walk walk;
	unsigned n;

	chain_burst_begin(&walk, vq, pool, NULL);
	for (n = 0; n < cnt; n++) {
		const struct wire_desc_copy desc = heads[n].desc;
		const uint32_t flags = wire_split_flags(desc);
		const uint16_t id = (uint16_t)heads[n].id;
		struct vq_slot *slot;

		if (!(flags & WIRE_DESC_F_INDIRECT) == tables)
			return n;
		if (unlikely(virtqueue_id_claim(vq, id))) {
			virtqueue_break(vq, VIRTQUEUE_FAULT_HEAD_IN_FLIGHT);
			break;
		}
		slot = virtqueue_slot_peek(vq);
		slot->id = id;
		chain_walk_begin(&walk, slot);
		if (likely(tables ? chain_indirect_fast(&walk, desc, flags, true)
				  : split_walk_fast(q, &walk, desc))) {
			chain_walk_end_fast(&walk);
		} else if (!split_walk_again(q, pool, slot, desc)) {
			virtqueue_id_release(vq, id);
			break;
		}
		virtqueue_slot_take(vq, slot);
		slots[n] = slot;
	}
	*stop = n < cnt;
	return n;
}

static NOINLINE unsigned split_take_direct(struct split_queue *q, struct chain_pool *pool,
					   const struct split_head *heads, unsigned cnt,
					   struct vq_slot **slots, bool *stop)
{
	return split_take(q, pool, heads, cnt, slots, stop, false);
}

static NOINLINE unsigned split_take_tables(struct split_queue *q, struct chain_pool *pool,
					   const struct split_head *heads, unsigned cnt,
					   struct vq_slot **slots, bool *stop)
{
	return split_take(q, pool, heads, cnt, slots, stop, true);
}

static unsigned split_fetch(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot **slots,
			    unsigned max)
{
	struct split_queue *q = split_of(vq);
	struct split_head heads[VIRTQUEUE_BURST];
	const unsigned cnt = split_load_heads(q, heads, max);
	unsigned n = 0;
	bool stop = false;

	while (n < cnt && !stop) {
		if (wire_split_flags(heads[n].desc) & WIRE_DESC_F_INDIRECT)
			n += split_take_tables(q, pool, &heads[n], cnt - n, &slots[n], &stop);
		else
			n += split_take_direct(q, pool, &heads[n], cnt - n, &slots[n], &stop);
	}
	q->next_avail_idx = (uint16_t)(q->next_avail_idx + n);
	return n;
}

static void split_unfetch(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n)
{
	struct split_queue *q = split_of(vq);

	(void)slots;
	q->next_avail_idx = (uint16_t)(q->next_avail_idx - n);
}

static void split_publish(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n)
{
	struct split_queue *q = split_of(vq);
	uint16_t idx = q->next_used_idx;

	for (unsigned i = 0; i < n; i++) {
		struct wire_used_elem GUEST *elem = &q->used->ring[idx & q->mask];

		gptr_store_le32(&elem->id, slots[i]->id);
		gptr_store_le32(&elem->len, slots[i]->used_bytes);
		idx++;
	}
	q->next_used_idx = idx;
	gptr_store_le16_release(&q->used->idx, idx); /* USED_PUB */
	vq->unsignalled_cnt += n;
}

static bool split_wants_call(const struct virtqueue *vq)
{
	const struct split_queue *q = split_of_const(vq);

	if (!vq->event_idx)
		return !(gptr_load_le16(&q->avail->flags) & WIRE_AVAIL_F_NO_INTERRUPT);
	return notify_split_crossed(gptr_load_le16(&q->avail->ring[vq->size]), q->next_used_idx,
				    vq->unsignalled_cnt);
}

/* used->ring has no room for avail_event in its type: it follows the last element. */
static struct le16 GUEST *split_avail_event(const struct split_queue *q)
{
	return gptr_from_hva(struct le16, gptr_to_hva(&q->used->ring[q->vq.size]));
}

static void split_arm(struct virtqueue *vq)
{
	struct split_queue *q = split_of(vq);

	if (vq->event_idx)
		gptr_store_le16(split_avail_event(q), q->next_avail_idx);
	if (vq->kick_state != KICKS_ON)
		gptr_store_le16(&q->used->flags, 0);
	vq->kick_state = KICKS_ON;
}

/*
 * With events there is nothing to switch off: the event index stays behind, and the driver kicks
 * once when its index comes round after 65536 chains. (2.7.10.2: flags are 0 then.)
 */
static void split_disarm(struct virtqueue *vq)
{
	if (vq->kick_state == KICKS_OFF)
		return;
	if (!vq->event_idx)
		gptr_store_le16(&split_of(vq)->used->flags, WIRE_USED_F_NO_NOTIFY);
	vq->kick_state = KICKS_OFF;
}

static bool split_has_avail(const struct virtqueue *vq)
{
	const struct split_queue *q = split_of_const(vq);

	return gptr_load_le16(&q->avail->idx) != q->next_avail_idx;
}

/* A hint: what an index that cannot be says is nothing. */
static uint32_t split_free_cnt(const struct virtqueue *vq)
{
	const struct split_queue *q = split_of_const(vq);
	const uint16_t avail = (uint16_t)(gptr_load_le16(&q->avail->idx) - q->next_avail_idx);

	return avail <= vq->size - vq->in_flight ? vq->in_flight + avail : vq->in_flight;
}

static uint32_t split_base(const struct virtqueue *vq)
{
	return split_of_const(vq)->next_avail_idx;
}

const struct virtqueue_ops split_ops = {
	.name = "split",
	.object_bytes = sizeof(struct split_queue),
	.size_check = split_size_check,
	.geometry = split_geometry,
	.start = split_start,
	.attach = split_attach,
	.fetch = split_fetch,
	.unfetch = split_unfetch,
	.publish = split_publish,
	.wants_call = split_wants_call,
	.arm = split_arm,
	.disarm = split_disarm,
	.has_avail = split_has_avail,
	.free_cnt = split_free_cnt,
	.base = split_base,
};
