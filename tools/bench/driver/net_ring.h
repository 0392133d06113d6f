/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lean way into and out of a ring, for buffers of one descriptor each; for net.c only.
 * It is not another ring: it keeps the book-keeping of ring.h true (invariant 1 of net.h).
 */
#ifndef PARIO_BENCH_DRIVER_NET_RING_H
#define PARIO_BENCH_DRIVER_NET_RING_H

#include "driver/net.h"

#define NET_EVENT_AGE_MAX 0x8000u /* as ring_split.c: a used_event is rewritten before it is met */

static inline uint16_t net_desc_flags(const struct net_queue *q, bool table)
{
	if (table)
		return VRING_DESC_F_INDIRECT;
	return q->opts.receive ? VRING_DESC_F_WRITE : 0;
}

/* Split: writes descriptor `slot`, which then stands until the slot's shape changes. */
static inline void net_ring_describe(struct net_queue *q, uint16_t slot)
{
	const struct net_slot *s = &q->slot[slot];
	bool table = s->table != NULL;

	q->ring->token_of_head[slot] = slot;
	q->ring->split_desc[slot] = (struct vring_desc){
		.addr = table ? s->table_gpa : s->gpa,
		.len = table ? s->seg_cnt * (uint32_t)sizeof(struct vring_desc) : s->bytes,
		.flags = net_desc_flags(q, table),
	};
}

static inline void net_split_put(struct ring *r, uint16_t slot)
{
	uint16_t *entry = (uint16_t *)&r->avail->ring[r->avail_idx & r->mask];

	if (__atomic_load_n(entry, __ATOMIC_RELAXED) != slot)
		__atomic_store_n(entry, slot, __ATOMIC_RELAXED);
	r->avail_idx++;
}

static inline void net_packed_put(struct net_queue *q, uint16_t slot)
{
	const struct net_slot *s = &q->slot[slot];
	struct ring *r = q->ring;
	struct vring_packed_desc *d = &r->packed_desc[r->avail_idx];
	bool table = s->table != NULL;
	uint16_t flags = (uint16_t)(net_desc_flags(q, table) |
				    (r->avail_wrap ? 1u << VRING_PACKED_DESC_F_AVAIL
						   : 1u << VRING_PACKED_DESC_F_USED));

	d->addr = table ? s->table_gpa : s->gpa;
	d->len = table ? s->seg_cnt * (uint32_t)sizeof(struct vring_packed_desc) : s->bytes;
	d->id = slot;
	/* The first of a burst is made available last, by ring_publish(). */
	if (r->pending_cnt == 0) {
		r->burst_idx = r->avail_idx;
		r->burst_flags = flags;
	} else {
		__atomic_store_n((uint16_t *)&d->flags, flags, __ATOMIC_RELAXED);
	}
	if (++r->avail_idx == r->size) {
		r->avail_idx = 0;
		r->avail_wrap = !r->avail_wrap;
	}
}

static inline int net_ring_add(struct net_queue *q, uint16_t slot)
{
	struct ring *r = q->ring;
	int rc = ring_may_add(r, 1, slot);

	if (__builtin_expect(rc < 0, 0))
		return rc;
	r->token[slot] = (struct ring_token){.desc_cnt = 1, .head = slot};
	r->free_cnt--;
	r->inflight_cnt++;
	if (r->opts.format == RING_SPLIT)
		net_split_put(r, slot);
	else
		net_packed_put(q, slot);
	r->pending_cnt++;
	return 0;
}

static inline int net_ring_broken(struct ring *r, const char *why)
{
	r->error = why;
	return -EPROTO;
}

/* Takes one token out of flight; false when it is not. */
static inline bool net_token_release(struct ring *r, uint32_t token)
{
	if (__builtin_expect(token >= r->size || r->token[token].desc_cnt == 0, 0))
		return false;
	r->token[token].desc_cnt = 0;
	r->free_cnt++;
	r->inflight_cnt--;
	return true;
}

static inline int net_split_get_used(struct ring *r, struct ring_used *used, unsigned int max)
{
	uint16_t idx = __atomic_load_n((uint16_t *)&r->used->idx, __ATOMIC_ACQUIRE);
	uint16_t ready = (uint16_t)(idx - r->used_idx);
	unsigned int cnt = ready < max ? ready : max;

	if (__builtin_expect(ready > r->inflight_cnt - r->pending_cnt, 0))
		return net_ring_broken(r, "used index is ahead of the buffers in flight");
	for (unsigned int i = 0; i < cnt; i++) {
		const struct vring_used_elem *elem = &r->used->ring[r->used_idx & r->mask];
		uint32_t id = __atomic_load_n((const uint32_t *)&elem->id, __ATOMIC_RELAXED);

		if (!net_token_release(r, id))
			return net_ring_broken(r, "used element with an id that is not in flight");
		used[i].token = (uint16_t)id;
		used[i].bytes = __atomic_load_n((const uint32_t *)&elem->len, __ATOMIC_RELAXED);
		r->used_idx++;
	}
	if (cnt && !r->armed && r->opts.event_idx &&
	    (uint16_t)(r->used_idx - r->event_written) > NET_EVENT_AGE_MAX)
		ring_disarm(r);
	return (int)cnt;
}

static inline int net_packed_get_used(struct ring *r, struct ring_used *used, unsigned int max)
{
	const uint16_t both = 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;
	unsigned int cnt = 0;

	while (cnt < max) {
		const struct vring_packed_desc *d = &r->packed_desc[r->used_idx];
		uint16_t flags = __atomic_load_n((const uint16_t *)&d->flags, __ATOMIC_ACQUIRE) &
				 both;

		if (flags != (r->used_wrap ? both : 0))
			break;
		if (!net_token_release(r, d->id))
			return net_ring_broken(r,
					       "used descriptor with an id that is not in flight");
		used[cnt++] = (struct ring_used){d->id, d->len};
		if (++r->used_idx == r->size) {
			r->used_idx = 0;
			r->used_wrap = !r->used_wrap;
		}
	}
	return (int)cnt;
}

static inline int net_ring_get_used(struct net_queue *q, struct ring_used *used, unsigned int max)
{
	return q->ring->opts.format == RING_SPLIT ? net_split_get_used(q->ring, used, max)
						  : net_packed_get_used(q->ring, used, max);
}

#endif
