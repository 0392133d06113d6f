/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device's end of split and packed rings for tests: one request at a time, every rule checked.
 * Not a thing to measure with.
 */
#include "fake/fake_ring.h"

#include <stddef.h>
#include <string.h>

#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED (1u << VRING_PACKED_DESC_F_USED)

/* One descriptor of either format, copied. */
struct any_desc {
	uint64_t gpa;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next; /* split */
	uint16_t id;   /* packed */
};

static uint16_t *avail_word(const struct fake_ring *r, unsigned int idx)
{
	return (uint16_t *)r->driver_area + idx;
}

static uint16_t *used_word(const struct fake_ring *r, unsigned int idx)
{
	return (uint16_t *)r->device_area + idx;
}

static uint16_t get16(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void put16(uint16_t *p, uint16_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static int fail(struct fake_ring *r, const char *rule)
{
	r->error = rule;
	return -1;
}

void fake_ring_start(struct fake_ring *r, uint32_t base)
{
	if (r->packed) {
		r->avail_idx = base & 0x7fff;
		r->avail_wrap = base >> 15 & 1;
		r->used_idx = base >> 16 & 0x7fff;
		r->used_wrap = base >> 31 & 1;
	} else {
		r->avail_idx = (uint16_t)base;
		r->used_idx = get16(used_word(r, 1));
		/* From a fresh base the order begins at descriptor 0; else the first chain says. */
		r->next_head = base ? UINT16_MAX : 0;
	}
	r->signalled_idx = r->used_idx;
	r->skipped_cnt = 0;
	r->skipped_desc_cnt = 0;
	r->used_since = 0;
	r->error = NULL;
}

uint32_t fake_ring_base(const struct fake_ring *r)
{
	if (!r->packed)
		return r->avail_idx;
	return (uint32_t)r->avail_idx | (uint32_t)r->avail_wrap << 15 |
	       (uint32_t)r->used_idx << 16 | (uint32_t)r->used_wrap << 31;
}

static void packed_step(struct fake_ring *r, uint16_t *idx, bool *wrap)
{
	if (++*idx == r->size) {
		*idx = 0;
		*wrap = !*wrap;
	}
}

static int seg_add(struct fake_ring *r, struct fake_chain *c, const struct any_desc *d)
{
	bool writable = d->flags & VRING_DESC_F_WRITE;
	struct fake_seg *s;

	if (c->seg_cnt == FAKE_CHAIN_SEG_MAX)
		return fail(r, "chain too long for the model");
	if (c->seg_cnt && c->seg[c->seg_cnt - 1].writable && !writable)
		return fail(r, "readable descriptor after a writable one");
	s = &c->seg[c->seg_cnt++];
	*s = (struct fake_seg){r->map(r->map_ctx, d->gpa, d->bytes), d->gpa, d->bytes, writable};
	return s->hva ? 0 : fail(r, "descriptor outside memory");
}

static int table_read(struct fake_ring *r, struct fake_chain *c, const struct any_desc *head)
{
	uint32_t cnt = head->bytes / 16;
	const uint8_t *table = r->map(r->map_ctx, head->gpa, head->bytes);

	c->indirect = true;
	if (!table || cnt == 0 || head->bytes % 16 || cnt > r->size)
		return fail(r, "indirect table: place or length");
	if (head->flags & VRING_DESC_F_NEXT)
		return fail(r, "indirect descriptor with NEXT");
	for (uint32_t i = 0; i < cnt; i++) {
		struct any_desc d;

		if (r->packed) {
			struct vring_packed_desc raw;

			memcpy(&raw, table + (size_t)i * 16, 16);
			d = (struct any_desc){raw.addr, raw.len, raw.flags, 0, 0};
			if (raw.flags & ~VRING_DESC_F_WRITE)
				return fail(r, "indirect table: flags other than WRITE");
		} else {
			struct vring_desc raw;
			bool more = i + 1 < cnt;

			memcpy(&raw, table + (size_t)i * 16, 16);
			d = (struct any_desc){raw.addr, raw.len, raw.flags, 0, 0};
			if (!(raw.flags & VRING_DESC_F_NEXT) != !more)
				return fail(r, "indirect table: NEXT");
			if (more && raw.next != i + 1)
				return fail(r, "indirect table: order");
			if (raw.flags & VRING_DESC_F_INDIRECT)
				return fail(r, "indirect table in a table");
		}
		if (seg_add(r, c, &d) < 0)
			return -1;
	}
	return 0;
}

static int split_pop(struct fake_ring *r, struct fake_chain *c)
{
	uint16_t idx = get16(avail_word(r, 1)), at;

	if (idx == r->avail_idx)
		return 0;
	if ((uint16_t)(idx - r->avail_idx) > r->size)
		return fail(r, "avail index jumped");
	at = get16(avail_word(r, 2u + r->avail_idx % r->size));
	if (at >= r->size)
		return fail(r, "head beyond the ring");
	if (r->in_order && r->next_head != UINT16_MAX && at != r->next_head)
		return fail(r, "in order: head out of order");
	c->id = at;
	for (;;) {
		struct vring_desc raw;
		struct any_desc d;

		memcpy(&raw, (const uint8_t *)r->desc + (size_t)at * 16, 16);
		d = (struct any_desc){raw.addr, raw.len, raw.flags, raw.next, 0};
		if (++c->desc_cnt > r->size)
			return fail(r, "chain longer than the ring");
		if ((d.flags & VRING_DESC_F_INDIRECT ? table_read(r, c, &d) : seg_add(r, c, &d)) <
		    0)
			return -1;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		if (d.next >= r->size || (r->in_order && d.next != (at + 1) % r->size))
			return fail(r, "next out of the ring or out of order");
		at = d.next;
	}
	r->next_head = (uint16_t)((at + 1) % r->size);
	r->avail_idx++;
	return 1;
}

static bool packed_is_avail(const struct fake_ring *r, uint16_t flags)
{
	return !!(flags & PACKED_AVAIL) == r->avail_wrap &&
	       !!(flags & PACKED_USED) != r->avail_wrap;
}

static int packed_pop(struct fake_ring *r, struct fake_chain *c)
{
	for (;;) {
		struct vring_packed_desc *p = (struct vring_packed_desc *)r->desc + r->avail_idx;
		uint16_t flags = get16(&p->flags);
		struct any_desc d;

		if (!packed_is_avail(r, flags))
			return c->desc_cnt ? fail(r, "chain only half available") : 0;
		d = (struct any_desc){p->addr, p->len, flags, 0, p->id};
		if (++c->desc_cnt > r->size)
			return fail(r, "chain longer than the ring");
		if ((flags & VRING_DESC_F_INDIRECT ? table_read(r, c, &d) : seg_add(r, c, &d)) < 0)
			return -1;
		packed_step(r, &r->avail_idx, &r->avail_wrap);
		if (flags & VRING_DESC_F_NEXT)
			continue;
		c->id = d.id;
		return 1;
	}
}

int fake_ring_pop(struct fake_ring *r, struct fake_chain *c)
{
	c->seg_cnt = 0;
	c->desc_cnt = 0;
	c->indirect = false;
	return r->packed ? packed_pop(r, c) : split_pop(r, c);
}

static void split_push(struct fake_ring *r, uint16_t id, uint32_t bytes)
{
	struct vring_used_elem e = {id, bytes};

	memcpy((uint8_t *)r->device_area + 4 + (size_t)(r->used_idx % r->size) * 8, &e, sizeof(e));
	r->used_idx = (uint16_t)(r->used_idx + 1 + r->skipped_cnt);
	if (!r->holds)
		put16(used_word(r, 1), r->used_idx);
}

static void packed_push(struct fake_ring *r, uint16_t id, unsigned int desc_cnt, uint32_t bytes)
{
	struct vring_packed_desc *p = (struct vring_packed_desc *)r->desc + r->used_idx;

	p->id = id;
	p->len = bytes;
	if (r->holds && !r->held_desc) {
		r->held_desc = p;
		r->held_flags = r->used_wrap ? PACKED_AVAIL | PACKED_USED : 0;
	} else {
		put16(&p->flags, r->used_wrap ? PACKED_AVAIL | PACKED_USED : 0);
	}
	for (unsigned int i = 0; i < desc_cnt + r->skipped_desc_cnt; i++)
		packed_step(r, &r->used_idx, &r->used_wrap);
	r->used_since = (uint16_t)(r->used_since + desc_cnt + r->skipped_desc_cnt);
}

void fake_ring_push(struct fake_ring *r, uint16_t id, uint16_t desc_cnt, uint32_t bytes, bool last)
{
	if (!last) {
		r->skipped_cnt++;
		r->skipped_desc_cnt += desc_cnt;
		return;
	}
	if (r->packed)
		packed_push(r, id, desc_cnt, bytes);
	else
		split_push(r, id, bytes);
	r->skipped_cnt = 0;
	r->skipped_desc_cnt = 0;
}

void fake_ring_hold(struct fake_ring *r)
{
	r->holds = true;
	r->held_desc = NULL;
}

void fake_ring_show(struct fake_ring *r)
{
	r->holds = false;
	if (!r->packed)
		put16(used_word(r, 1), r->used_idx);
	else if (r->held_desc)
		put16(&r->held_desc->flags, r->held_flags);
}

static bool packed_wants_call(struct fake_ring *r, uint16_t used_since)
{
	const struct vring_packed_desc_event *e = r->driver_area;
	uint16_t flags = get16(&e->flags) & 3, where = get16(&e->off_wrap);
	uint16_t at = r->used_idx;
	bool wrap = r->used_wrap;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	/* Walk back over what was used: was the position that the driver named among it? */
	while (used_since--) {
		if (at == 0) {
			at = r->size;
			wrap = !wrap;
		}
		at--;
		if (at == (where & 0x7fff) && wrap == where >> 15)
			return true;
	}
	return false;
}

bool fake_ring_wants_call(struct fake_ring *r)
{
	uint16_t old = r->signalled_idx, since = r->used_since;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	r->signalled_idx = r->used_idx;
	r->used_since = 0;
	if (r->packed)
		return since && packed_wants_call(r, since);
	if (old == r->used_idx)
		return false;
	if (!r->event_idx)
		return !(get16(avail_word(r, 0)) & VRING_AVAIL_F_NO_INTERRUPT);
	for (uint16_t at = old; at != r->used_idx; at++)
		if (at == get16(avail_word(r, 2u + r->size)))
			return true;
	return false;
}

void fake_ring_disarm(struct fake_ring *r)
{
	if (r->packed)
		put16(&((struct vring_packed_desc_event *)r->device_area)->flags,
		      VRING_PACKED_EVENT_FLAG_DISABLE);
	else if (r->event_idx)
		put16(used_word(r, 2u + 4u * r->size), (uint16_t)(r->avail_idx - 1));
	else
		put16(used_word(r, 0), VRING_USED_F_NO_NOTIFY);
}

bool fake_ring_arm(struct fake_ring *r)
{
	if (r->packed) {
		struct vring_packed_desc_event *e = r->device_area;

		put16(&e->off_wrap, (uint16_t)(r->avail_idx | r->avail_wrap << 15));
		put16(&e->flags,
		      r->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE);
	} else if (r->event_idx) {
		put16(used_word(r, 2u + 4u * r->size), r->avail_idx);
	} else {
		put16(used_word(r, 0), 0);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!r->packed)
		return get16(avail_word(r, 1)) != r->avail_idx;
	return packed_is_avail(r,
			       get16(&((struct vring_packed_desc *)r->desc + r->avail_idx)->flags));
}
