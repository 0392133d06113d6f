/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's end of a packed virtqueue (VIRTIO 1.2, 2.8).
 * It is not a device's end and does no I/O: the caller sends the kick that publish asks for.
 *
 * The buffer id is the token. avail_idx/avail_wrap is where the next descriptor goes,
 * used_idx/used_wrap where the next used descriptor will appear; both move by the length of each
 * chain and the wrap counter flips when the position passes the end of the ring.
 */
#include "driver/ring.h"

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED (1u << VRING_PACKED_DESC_F_USED)

static inline uint16_t load16(const __le16 *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}

static inline void store16(void *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)p, value, __ATOMIC_RELAXED);
}

static inline uint16_t off_wrap(uint16_t idx, bool wrap)
{
	return (uint16_t)(idx | (wrap ? 1u << VRING_PACKED_EVENT_F_WRAP_CTR : 0));
}

static inline void advance(uint16_t *idx, bool *wrap, uint16_t cnt, uint16_t size)
{
	uint32_t next = (uint32_t)*idx + cnt;

	if (next >= size) {
		next -= size;
		*wrap = !*wrap;
	}
	*idx = (uint16_t)next;
}

static void packed_start(struct ring *r, uint32_t base)
{
	r->avail_idx = (uint16_t)(base & 0x7fff);
	r->avail_wrap = (base >> 15) & 1;
	r->used_idx = (uint16_t)((base >> 16) & 0x7fff);
	r->used_wrap = (base >> 31) & 1;
	/*
	 * A zeroed descriptor reads as used under wrap 0 and must not: give every descriptor the
	 * flags of a lap that is over, which is what the other wrap value means.
	 */
	for (uint32_t i = 0; i < r->size; i++) {
		bool wrap = i >= r->used_idx ? r->used_wrap : !r->used_wrap;

		r->packed_desc[i].flags = wrap ? 0 : FLAG_AVAIL | FLAG_USED;
	}
}

static uint32_t packed_base(const struct ring *r)
{
	return off_wrap(r->avail_idx, r->avail_wrap) | (uint32_t)off_wrap(r->used_idx, r->used_wrap)
							       << 16;
}

/* Writes one descriptor; the flags of the first of a burst are held back (invariant 2). */
static inline void desc_put(struct ring *r, uint64_t gpa, uint32_t bytes, uint16_t flags,
			    uint16_t token)
{
	struct vring_packed_desc *d = &r->packed_desc[r->avail_idx];

	flags = (uint16_t)(flags | (r->avail_wrap ? FLAG_AVAIL : FLAG_USED));
	d->addr = gpa;
	d->len = bytes;
	d->id = token;
	if (r->pending_cnt == 0) {
		r->burst_idx = r->avail_idx;
		r->burst_flags = flags;
	} else {
		store16(&d->flags, flags);
	}
	r->pending_cnt++;
	advance(&r->avail_idx, &r->avail_wrap, 1, r->size);
}

static inline void chain_commit(struct ring *r, uint16_t desc_cnt, uint16_t token)
{
	r->token[token].desc_cnt = desc_cnt;
	r->free_cnt = (uint16_t)(r->free_cnt - desc_cnt);
	r->inflight_cnt++;
	if (r->opts.in_order)
		ring_order_push(r, token);
}

static int packed_add(struct ring *r, const struct ring_seg *seg, unsigned int out_cnt,
		      unsigned int in_cnt, uint16_t token)
{
	unsigned int total = out_cnt + in_cnt;
	int rc = ring_may_add(r, total, token);

	if (rc < 0)
		return rc;
	if (r->opts.tables_only)
		return -EINVAL;
	for (unsigned int i = 0; i < total; i++) {
		uint16_t flags = (uint16_t)((i >= out_cnt ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < total ? VRING_DESC_F_NEXT : 0));

		desc_put(r, seg[i].gpa, seg[i].bytes, flags, token);
	}
	chain_commit(r, (uint16_t)total, token);
	return 0;
}

static int packed_add_table(struct ring *r, uint64_t table_gpa, uint32_t desc_cnt, uint16_t token)
{
	int rc = ring_may_add(r, 1, token);

	if (rc < 0)
		return rc;
	desc_put(r, table_gpa, desc_cnt * (uint32_t)sizeof(struct vring_packed_desc),
		 VRING_DESC_F_INDIRECT, token);
	chain_commit(r, 1, token);
	return 0;
}

/* Has the device asked for a kick at a position among the added_cnt last ones? (2.8.10) */
static bool wants_kick(const struct ring *r, uint16_t added_cnt)
{
	uint16_t flags = load16(&r->device_event->flags) & 3;
	uint16_t where, event;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !r->opts.event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	where = load16(&r->device_event->off_wrap);
	event = where & 0x7fff;
	/* An event of the lap before lies one ring behind. */
	if ((where >> VRING_PACKED_EVENT_F_WRAP_CTR) != r->avail_wrap)
		event = (uint16_t)(event - r->size);
	return vring_need_event(event, r->avail_idx, (uint16_t)(r->avail_idx - added_cnt));
}

static bool packed_publish(struct ring *r)
{
	uint16_t added_cnt = r->pending_cnt;

	if (added_cnt == 0)
		return false;
	r->pending_cnt = 0;
	__atomic_store_n((uint16_t *)&r->packed_desc[r->burst_idx].flags, r->burst_flags,
			 __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return wants_kick(r, added_cnt);
}

static inline bool used_ready(const struct ring *r)
{
	uint16_t flags = __atomic_load_n((const uint16_t *)&r->packed_desc[r->used_idx].flags,
					 __ATOMIC_ACQUIRE);
	bool avail = flags & FLAG_AVAIL, used = flags & FLAG_USED;

	return avail == used && used == r->used_wrap;
}

static inline void chain_release(struct ring *r, uint16_t token)
{
	struct ring_token *t = &r->token[token];

	advance(&r->used_idx, &r->used_wrap, t->desc_cnt, r->size);
	r->free_cnt = (uint16_t)(r->free_cnt + t->desc_cnt);
	r->inflight_cnt--;
	t->desc_cnt = 0;
}

static int broken(struct ring *r, const char *why)
{
	r->error = why;
	return -EPROTO;
}

static inline int desc_read(struct ring *r, uint16_t *token, uint32_t *bytes)
{
	const struct vring_packed_desc *d = &r->packed_desc[r->used_idx];

	*token = load16(&d->id);
	*bytes = __atomic_load_n((const uint32_t *)&d->len, __ATOMIC_RELAXED);
	if (*token >= r->size)
		return broken(r, "used descriptor with an id beyond the ring");
	if (r->token[*token].desc_cnt == 0)
		return broken(r, "used descriptor with an id that is not in flight");
	return 0;
}

/* In order, a descriptor stands for all that were added before it: a batch, piece by piece. */
static int take_in_order(struct ring *r, struct ring_used *used, unsigned int max)
{
	unsigned int cnt = 0;

	while (cnt < max) {
		if (r->batch_left == 0) {
			uint16_t last;
			int rc;

			if (!used_ready(r))
				break;
			rc = desc_read(r, &last, &r->batch_bytes);
			if (rc < 0)
				return rc;
			r->batch_left = ring_order_find(r, last);
			if (r->batch_left == 0)
				return broken(r, "used descriptor is not in the order of requests");
		}
		r->batch_left--;
		used[cnt] = (struct ring_used){ring_order_pop(r),
					       r->batch_left ? RING_LEN_UNKNOWN : r->batch_bytes};
		chain_release(r, used[cnt++].token);
	}
	return (int)cnt;
}

static int packed_get_used(struct ring *r, struct ring_used *used, unsigned int max)
{
	unsigned int cnt = 0;

	if (r->opts.in_order)
		return take_in_order(r, used, max);
	while (cnt < max && used_ready(r)) {
		int rc = desc_read(r, &used[cnt].token, &used[cnt].bytes);

		if (rc < 0)
			return rc;
		chain_release(r, used[cnt++].token);
	}
	return (int)cnt;
}

static void packed_disarm(struct ring *r)
{
	r->armed = false;
	store16(&r->driver_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
}

static bool packed_arm(struct ring *r)
{
	r->armed = true;
	if (r->opts.event_idx) {
		store16(&r->driver_event->off_wrap, off_wrap(r->used_idx, r->used_wrap));
		/* The position before the flag that makes it count. */
		__atomic_store_n((uint16_t *)&r->driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC,
				 __ATOMIC_RELEASE);
	} else {
		store16(&r->driver_event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return r->batch_left != 0 || used_ready(r);
}

const struct ring_ops ring_packed_ops = {
	.add = packed_add,
	.add_table = packed_add_table,
	.publish = packed_publish,
	.get_used = packed_get_used,
	.disarm = packed_disarm,
	.arm = packed_arm,
	.start = packed_start,
	.base = packed_base,
};
