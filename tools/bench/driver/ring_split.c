/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's end of a split virtqueue (VIRTIO 1.2, 2.7).
 * It is not a device's end and does no I/O: the caller sends the kick that publish asks for.
 *
 * Free descriptors: with tables_only a chain's only descriptor is number `token` and the free list
 * is not used; in order they are taken round the table (2.7.5); else from a LIFO list.
 */
#include "driver/ring.h"

/* Rewritten this often while disarmed, a used_event is never reached (see split_disarm). */
#define EVENT_BEHIND 0x4000
#define EVENT_AGE_MAX 0x8000

static inline uint16_t load16(const __virtio16 *p)
{
	return __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
}

static inline void store16(void *p, uint16_t value)
{
	__atomic_store_n((uint16_t *)p, value, __ATOMIC_RELAXED);
}

static void split_start(struct ring *r, uint32_t base)
{
	uint16_t idx = (uint16_t)base;

	r->avail_idx = idx;
	r->published_idx = idx;
	r->used_idx = idx;
	r->free_head = 0;
	for (uint32_t i = 0; i < r->size; i++)
		r->next_free[i] = (uint16_t)(i + 1);
	store16(&r->avail->idx, idx);
	store16(&r->used->idx, idx);
}

static uint32_t split_base(const struct ring *r)
{
	return r->published_idx;
}

/* The next free descriptor after `idx` (or the first, for a new chain). */
static inline uint16_t desc_take(struct ring *r)
{
	uint16_t idx = r->free_head;

	r->free_head = r->opts.in_order ? (uint16_t)((idx + 1) & r->mask) : r->next_free[idx];
	return idx;
}

static inline void chain_commit(struct ring *r, uint16_t head, uint16_t desc_cnt, uint16_t token)
{
	r->token[token] = (struct ring_token){.desc_cnt = desc_cnt, .head = head};
	r->token_of_head[head] = token;
	r->free_cnt = (uint16_t)(r->free_cnt - desc_cnt);
	r->inflight_cnt++;
	if (r->opts.in_order)
		ring_order_push(r, token);
	store16(&r->avail->ring[r->avail_idx & r->mask], head);
	r->avail_idx++;
	r->pending_cnt++;
}

static int split_add(struct ring *r, const struct ring_seg *seg, unsigned int out_cnt,
		     unsigned int in_cnt, uint16_t token)
{
	unsigned int total = out_cnt + in_cnt;
	uint16_t head, idx;
	int rc = ring_may_add(r, total, token);

	if (rc < 0)
		return rc;
	if (r->opts.tables_only)
		return -EINVAL;
	head = desc_take(r);
	idx = head;
	for (unsigned int i = 0; i < total; i++) {
		bool more = i + 1 < total;
		uint16_t next = more ? desc_take(r) : 0;
		uint16_t flags = (uint16_t)((i >= out_cnt ? VRING_DESC_F_WRITE : 0) |
					    (more ? VRING_DESC_F_NEXT : 0));

		r->split_desc[idx] = (struct vring_desc){
			.addr = seg[i].gpa, .len = seg[i].bytes, .flags = flags, .next = next};
		if (more)
			r->next_free[idx] = next;
		idx = more ? next : idx;
	}
	chain_commit(r, head, (uint16_t)total, token);
	return 0;
}

static int split_add_table(struct ring *r, uint64_t table_gpa, uint32_t desc_cnt, uint16_t token)
{
	struct vring_desc *d;
	uint16_t head;
	uint32_t bytes = desc_cnt * (uint32_t)sizeof(struct vring_desc);
	int rc = ring_may_add(r, 1, token);

	if (rc < 0)
		return rc;
	head = r->opts.tables_only && !r->opts.in_order ? token : desc_take(r);
	d = &r->split_desc[head];
	/* Our own last write, still in our cache: reading it costs less than dirtying the line. */
	if (d->addr != table_gpa || d->len != bytes || d->flags != VRING_DESC_F_INDIRECT)
		*d = (struct vring_desc){
			.addr = table_gpa, .len = bytes, .flags = VRING_DESC_F_INDIRECT};
	chain_commit(r, head, 1, token);
	return 0;
}

static bool split_publish(struct ring *r)
{
	uint16_t old_idx = r->published_idx;
	uint16_t new_idx = r->avail_idx;

	if (r->pending_cnt == 0)
		return false;
	r->pending_cnt = 0;
	r->published_idx = new_idx;
	__atomic_store_n((uint16_t *)&r->avail->idx, new_idx, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->opts.event_idx)
		return vring_need_event(load16((__virtio16 *)&r->used->ring[r->size]), new_idx,
					old_idx);
	return !(load16(&r->used->flags) & VRING_USED_F_NO_NOTIFY);
}

/* Frees the descriptors of a token that was used. */
static inline void chain_release(struct ring *r, uint16_t token)
{
	struct ring_token *t = &r->token[token];

	if (!r->opts.in_order && !r->opts.tables_only) {
		uint16_t last = t->head;

		for (uint16_t i = 1; i < t->desc_cnt; i++)
			last = r->next_free[last];
		r->next_free[last] = r->free_head;
		r->free_head = t->head;
	}
	r->free_cnt = (uint16_t)(r->free_cnt + t->desc_cnt);
	r->inflight_cnt--;
	t->desc_cnt = 0;
}

static int broken(struct ring *r, const char *why)
{
	r->error = why;
	return -EPROTO;
}

/* The token of the next used element, or -EPROTO. */
static inline int elem_read(struct ring *r, uint16_t *token, uint32_t *bytes)
{
	const struct vring_used_elem *elem = &r->used->ring[r->used_idx & r->mask];
	uint32_t head = __atomic_load_n((const uint32_t *)&elem->id, __ATOMIC_RELAXED);

	*bytes = __atomic_load_n((const uint32_t *)&elem->len, __ATOMIC_RELAXED);
	if (head >= r->size)
		return broken(r, "used element with an id beyond the ring");
	*token = r->token_of_head[head];
	if (r->token[*token].desc_cnt == 0 || r->token[*token].head != head)
		return broken(r, "used element with an id that is not in flight");
	return 0;
}

/* In order, an element stands for all that were added before it: a batch, taken piece by piece. */
static int take_in_order(struct ring *r, struct ring_used *used, unsigned int max, uint16_t idx)
{
	unsigned int cnt = 0;

	while (cnt < max && r->used_idx != idx) {
		if (r->batch_left == 0) {
			uint16_t last;
			int rc = elem_read(r, &last, &r->batch_bytes);

			if (rc < 0)
				return rc;
			r->batch_left = ring_order_find(r, last);
			if (r->batch_left == 0 || r->batch_left > (uint16_t)(idx - r->used_idx))
				return broken(r, "used element is not in the order of requests");
		}
		r->batch_left--;
		used[cnt] = (struct ring_used){ring_order_pop(r),
					       r->batch_left ? RING_LEN_UNKNOWN : r->batch_bytes};
		chain_release(r, used[cnt++].token);
		r->used_idx++;
	}
	return (int)cnt;
}

static int take_any_order(struct ring *r, struct ring_used *used, unsigned int max, uint16_t idx)
{
	unsigned int cnt = 0;

	while (cnt < max && r->used_idx != idx) {
		int rc = elem_read(r, &used[cnt].token, &used[cnt].bytes);

		if (rc < 0)
			return rc;
		chain_release(r, used[cnt++].token);
		r->used_idx++;
	}
	return (int)cnt;
}

static void split_disarm(struct ring *r)
{
	r->armed = false;
	if (!r->opts.event_idx) {
		store16(&r->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
		return;
	}
	/*
	 * 2.7.7.1: flags stay 0. The event is behind, but not just behind: a device that is between
	 * publishing a burst and asking whether to call would find it among what it has just used.
	 */
	r->event_written = (uint16_t)(r->used_idx - EVENT_BEHIND);
	store16(&r->avail->ring[r->size], r->event_written);
}

static bool split_arm(struct ring *r)
{
	r->armed = true;
	if (r->opts.event_idx) {
		r->event_written = r->used_idx;
		store16(&r->avail->ring[r->size], r->event_written);
	} else {
		store16(&r->avail->flags, 0);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return load16(&r->used->idx) != r->used_idx;
}

static int split_get_used(struct ring *r, struct ring_used *used, unsigned int max)
{
	uint16_t idx = __atomic_load_n((uint16_t *)&r->used->idx, __ATOMIC_ACQUIRE);
	int cnt;

	if (idx == r->used_idx)
		return 0;
	if ((uint16_t)(idx - r->used_idx) > r->inflight_cnt - r->pending_cnt)
		return broken(r, "used index is ahead of the requests in flight");
	cnt = r->opts.in_order ? take_in_order(r, used, max, idx)
			       : take_any_order(r, used, max, idx);
	if (!r->armed && r->opts.event_idx &&
	    (uint16_t)(r->used_idx - r->event_written) > EVENT_AGE_MAX)
		split_disarm(r);
	return cnt;
}

const struct ring_ops ring_split_ops = {
	.add = split_add,
	.add_table = split_add_table,
	.publish = split_publish,
	.get_used = split_get_used,
	.disarm = split_disarm,
	.arm = split_arm,
	.start = split_start,
	.base = split_base,
};
