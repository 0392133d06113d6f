/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net over the driver side of a ring: slots, config space, frames in one buffer or several.
 * The lean way into the ring is in net_ring.h.
 */
#include "driver/net.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "driver/net_ring.h"

#define LINE_BYTES 64u
#define DESC_BYTES 16u
#define PAGE_BYTES 4096u

static uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

int net_config_get(struct front *f, struct net_config *c)
{
	struct virtio_net_config raw;
	const uint32_t bytes = offsetof(struct virtio_net_config, speed);
	uint64_t has = f->features ? f->features : f->features_offered;
	int rc;

	memset(&raw, 0, sizeof(raw));
	rc = front_get_config(f, 0, &raw, bytes);
	if (rc < 0)
		return rc;
	*c = (struct net_config){.link_up = true, .pair_max = 1};
	if (has >> VIRTIO_NET_F_MAC & 1)
		memcpy(c->mac, raw.mac, sizeof(c->mac));
	if (has >> VIRTIO_NET_F_STATUS & 1)
		c->link_up = raw.status & VIRTIO_NET_S_LINK_UP;
	if (has >> VIRTIO_NET_F_MQ & 1)
		c->pair_max = raw.max_virtqueue_pairs;
	if (has >> VIRTIO_NET_F_MTU & 1)
		c->mtu = raw.mtu;
	return 0;
}

static uint32_t segment_bytes(const struct net_queue_opts *o)
{
	return o->segment_bytes && o->segment_bytes < o->buffer_bytes ? o->segment_bytes
								      : o->buffer_bytes;
}

static uint32_t seg_cnt_max(const struct net_queue_opts *o)
{
	return (o->buffer_bytes + segment_bytes(o) - 1) / segment_bytes(o);
}

static uint64_t table_bytes(const struct net_queue_opts *o)
{
	return o->indirect ? round_up(seg_cnt_max(o) * DESC_BYTES, LINE_BYTES) : 0;
}

/* Big buffers begin on pages, so that a copy from one to another is as fast as it can be. */
static uint64_t buffer_align(const struct net_queue_opts *o)
{
	return o->buffer_bytes >= PAGE_BYTES ? PAGE_BYTES : LINE_BYTES;
}

uint64_t net_queue_shm_bytes(const struct net_queue_opts *o)
{
	return o->slot_cnt * (table_bytes(o) + round_up(o->buffer_bytes, buffer_align(o))) +
	       2 * PAGE_BYTES;
}

static int slots_alloc(struct net_queue *q, struct shm *shm)
{
	const struct net_queue_opts *o = &q->opts;

	for (uint16_t i = 0; i < o->slot_cnt; i++) {
		struct net_slot *s = &q->slot[i];

		s->data = shm_alloc(shm, round_up(o->buffer_bytes, LINE_BYTES), buffer_align(o),
				    &s->gpa);
		if (o->indirect)
			s->table = shm_alloc(shm, table_bytes(o), LINE_BYTES, &s->table_gpa);
		if (!s->data || (o->indirect && !s->table))
			return -ENOSPC;
		s->seg = q->seg_pool + (size_t)i * seg_cnt_max(o);
		net_slot_shape(q, i, o->buffer_bytes);
		net_free_put(q, i);
	}
	return 0;
}

int net_queue_new(struct net_queue **out, struct front_queue *fq, struct shm *shm,
		  const struct net_queue_opts *o)
{
	struct net_queue *q = NULL;
	int rc = -ENOMEM;

	if (o->slot_cnt == 0 || o->slot_cnt > fq->ring->size || o->buffer_bytes < NET_HEADER_BYTES)
		return front_fail(fq->front, -EINVAL,
				  "queue %u: %u buffers of %u bytes for a ring of %u", fq->idx,
				  o->slot_cnt, o->buffer_bytes, fq->ring->size);
	q = calloc(1, sizeof(*q));
	if (!q)
		return front_fail(fq->front, rc, "queue %u: out of memory", fq->idx);
	q->fq = fq;
	q->ring = fq->ring;
	q->opts = *o;
	q->slot = calloc(o->slot_cnt, sizeof(*q->slot));
	q->free = calloc(o->slot_cnt, sizeof(*q->free));
	q->seg_pool = calloc((size_t)o->slot_cnt * seg_cnt_max(o), sizeof(*q->seg_pool));
	q->lean = !q->ring->opts.in_order && (o->indirect || seg_cnt_max(o) == 1);
	if (q->slot && q->free && q->seg_pool)
		rc = slots_alloc(q, shm);
	if (rc < 0) {
		net_queue_free(q);
		return front_fail(fq->front, rc, "queue %u: no memory for %u buffers of %u bytes",
				  fq->idx, o->slot_cnt, o->buffer_bytes);
	}
	*out = q;
	return 0;
}

void net_queue_free(struct net_queue *q)
{
	if (!q)
		return;
	free(q->slot);
	free(q->free);
	free(q->seg_pool);
	free(q);
}

void net_slot_shape(struct net_queue *q, uint16_t slot, uint32_t bytes)
{
	struct net_slot *s = &q->slot[slot];
	uint32_t longest = segment_bytes(&q->opts), left = bytes;
	uint64_t gpa = s->gpa;
	uint16_t n = 0;

	while (left > 0) {
		uint32_t piece = left < longest ? left : longest;

		s->seg[n++] = (struct ring_seg){gpa, piece};
		gpa += piece;
		left -= piece;
	}
	s->bytes = bytes;
	s->seg_cnt = n;
	if (s->table)
		ring_table_write(q->ring->opts.format, s->table, s->seg, q->opts.receive ? 0 : n,
				 q->opts.receive ? n : 0);
	if (q->lean && q->ring->opts.format == RING_SPLIT)
		net_ring_describe(q, slot);
}

void net_queue_reset(struct net_queue *q, uint32_t base)
{
	ring_reset(q->ring, base);
	q->free_head = 0;
	q->free_cnt = 0;
	q->used_head = 0;
	q->used_cnt = 0;
	for (uint16_t i = 0; i < q->opts.slot_cnt; i++) {
		net_slot_shape(q, i, q->slot[i].bytes);
		net_free_put(q, i);
	}
}

static int add_any(struct net_queue *q, uint16_t slot)
{
	const struct net_slot *s = &q->slot[slot];
	unsigned int out = q->opts.receive ? 0 : s->seg_cnt;

	if (s->table)
		return ring_add_table(q->ring, s->table_gpa, s->seg_cnt, slot);
	return ring_add(q->ring, s->seg, out, s->seg_cnt - out, slot);
}

int net_add(struct net_queue *q, uint16_t slot)
{
	return q->lean ? net_ring_add(q, slot) : add_any(q, slot);
}

int net_post(struct net_queue *q, uint32_t max)
{
	uint32_t cnt = q->free_cnt < max ? q->free_cnt : max;

	for (uint32_t i = 0; i < cnt; i++) {
		uint16_t slot = net_free_take(q);
		int rc = net_add(q, slot);

		/* A ring of chains may hold fewer than there are slots. */
		if (__builtin_expect(rc < 0, 0)) {
			net_free_put(q, slot);
			if (rc != -ENOSPC)
				return rc;
			cnt = i;
		}
	}
	if (cnt)
		net_publish(q);
	return (int)cnt;
}

static inline int used_take(struct net_queue *q, struct ring_used *used, unsigned int max)
{
	return q->lean ? net_ring_get_used(q, used, max) : ring_get_used(q->ring, used, max);
}

int net_reclaim(struct net_queue *q)
{
	struct ring_used used[NET_REAP_MAX];
	int n = used_take(q, used, NET_REAP_MAX);

	for (int i = 0; i < n; i++)
		net_free_put(q, used[i].token);
	return n;
}

/* What the device used since, behind what is left of the last time. */
static int used_refill(struct net_queue *q)
{
	int n;

	if (q->used_head) {
		memmove(q->used, q->used + q->used_head, q->used_cnt * sizeof(q->used[0]));
		q->used_head = 0;
	}
	n = used_take(q, q->used + q->used_cnt, NET_REAP_MAX - q->used_cnt);
	if (n > 0) {
		for (int i = 0; i < n; i++)
			__builtin_prefetch(q->slot[q->used[q->used_cnt + (uint32_t)i].token].data);
		q->used_cnt += (uint32_t)n;
	}
	return n < 0 ? n : 0;
}

static int broken(struct net_queue *q, const char *why)
{
	q->ring->error = why;
	return -EPROTO;
}

/* The frame that begins at used[at]: 1, 0 when some of its buffers are not taken yet, -EPROTO. */
static inline int frame_assemble(struct net_queue *q, uint32_t at, struct net_frame *f)
{
	const struct ring_used *used = &q->used[at];
	const struct virtio_net_hdr_mrg_rxbuf *header = (const void *)q->slot[used[0].token].data;
	uint32_t left = q->used_head + q->used_cnt - at;

	f->data = (const uint8_t *)header;
	f->buffer = used;
	f->buffer_cnt = q->opts.mergeable ? __atomic_load_n(&header->num_buffers, __ATOMIC_RELAXED)
					  : 1;
	if (__builtin_expect(f->buffer_cnt == 0 || f->buffer_cnt > NET_FRAME_BUFFERS_MAX, 0))
		return broken(q, "num_buffers of a received frame is 0 or absurd");
	if (f->buffer_cnt > left)
		return 0;
	f->bytes = 0;
	for (uint16_t i = 0; i < f->buffer_cnt; i++) {
		if (__builtin_expect(used[i].bytes > q->slot[used[i].token].bytes, 0))
			return broken(q, "a used length is unknown or beyond the buffer");
		f->bytes += used[i].bytes;
	}
	if (__builtin_expect(used[0].bytes < NET_HEADER_BYTES, 0))
		return broken(q, "a received frame is shorter than its header");
	f->bytes -= NET_HEADER_BYTES;
	return 1;
}

int net_receive(struct net_queue *q, struct net_frame *frame, unsigned int max)
{
	unsigned int cnt = 0;
	uint32_t at;
	int rc = used_refill(q);

	if (rc < 0)
		return rc;
	at = q->used_head;
	while (cnt < max && at < q->used_head + q->used_cnt) {
		rc = frame_assemble(q, at, &frame[cnt]);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			/* With room left in used[], the ring has been read to its end (invariant
			 * 3). */
			if (q->used_cnt < NET_REAP_MAX)
				return broken(q, "a frame says it has more buffers than were used");
			break;
		}
		at += frame[cnt++].buffer_cnt;
	}
	q->used_cnt -= at - q->used_head;
	q->used_head = at;
	return (int)cnt;
}

static uint32_t packed_ahead(const struct ring *r, uint32_t known)
{
	const uint16_t both = 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;

	for (; known < r->size; known++) {
		uint32_t at = r->used_idx + known;
		bool wrap = at >= r->size ? !r->used_wrap : r->used_wrap;
		const struct vring_packed_desc *d =
			&r->packed_desc[at >= r->size ? at - r->size : at];
		uint16_t flags = __atomic_load_n((const uint16_t *)&d->flags, __ATOMIC_ACQUIRE) &
				 both;

		if (flags != (wrap ? both : 0))
			break;
	}
	return known;
}

uint32_t net_used_ahead(const struct net_queue *q, uint32_t known)
{
	const struct ring *r = q->ring;
	uint32_t cnt;

	if (r->opts.format == RING_PACKED)
		return q->used_cnt + packed_ahead(r, known > q->used_cnt ? known - q->used_cnt : 0);
	cnt = (uint16_t)(__atomic_load_n((const uint16_t *)&r->used->idx, __ATOMIC_ACQUIRE) -
			 r->used_idx);
	return q->used_cnt + (cnt < r->size ? cnt : r->size);
}

void net_frame_copy(const struct net_queue *q, const struct net_frame *f, uint32_t offset, void *to,
		    uint32_t bytes)
{
	uint8_t *pos = to;
	uint32_t skip = offset + NET_HEADER_BYTES;

	for (uint16_t i = 0; i < f->buffer_cnt && bytes > 0; i++) {
		uint32_t have = f->buffer[i].bytes, piece;

		if (skip >= have) {
			skip -= have;
			continue;
		}
		piece = have - skip < bytes ? have - skip : bytes;
		memcpy(pos, q->slot[f->buffer[i].token].data + skip, piece);
		pos += piece;
		bytes -= piece;
		skip = 0;
	}
}
