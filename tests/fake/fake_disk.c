/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake back end's disk: virtio-blk requests on memory, with faults; and the null disk, which is
 * there to find out how fast a front end can be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_blk.h>

#include "fake/fake_backend.h"

#define BURST_MAX 64
#define FAULT_ONE_IN 64

/* Does the fault hit this request? From `after` on, one of FAULT_ONE_IN. */
static bool hits(const struct fake_backend *b, enum fake_fault fault)
{
	return b->fault == fault && b->done >= b->after && b->done % FAULT_ONE_IN == 0;
}

/* Moves bytes between the disk and the segments from `skip` bytes on; direction by `to_disk`. */
static uint32_t data_move(const struct fake_chain *c, uint64_t skip, uint64_t len, uint8_t *disk,
			  bool to_disk, bool dry)
{
	uint32_t moved = 0;

	for (unsigned int i = 0; i < c->seg_cnt && moved < len; i++) {
		const struct fake_seg *s = &c->seg[i];
		uint64_t n = s->bytes;

		if (s->writable == to_disk)
			continue;
		if (skip >= n) {
			skip -= n;
			continue;
		}
		n -= skip;
		if (n > len - moved)
			n = len - moved;
		if (!dry && to_disk)
			memcpy(disk + moved, s->hva + skip, n);
		else if (!dry)
			memcpy(s->hva + skip, disk + moved, n);
		moved += (uint32_t)n;
		skip = 0;
	}
	return moved;
}

static uint8_t read_write(struct fake_backend *b, const struct fake_chain *c, uint64_t sector,
			  uint64_t len, bool write, uint32_t *used)
{
	uint8_t *at = b->disk + sector * 512;
	bool lost = write ? hits(b, FAULT_LOSE_WRITE) : hits(b, FAULT_NO_DATA);

	if (len % 512 || sector * 512 > b->disk_bytes || len > b->disk_bytes - sector * 512)
		return VIRTIO_BLK_S_IOERR;
	if (write && sector * 512 + len + 512 <= b->disk_bytes && hits(b, FAULT_MISPLACE))
		at += 512;
	data_move(c, write ? 16 : 0, len, at, write, lost);
	if (!write) {
		*used += (uint32_t)len;
		if (!lost && hits(b, FAULT_CORRUPT))
			c->seg[1].hva[c->seg[1].bytes / 2] ^= 0x40;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t erase(struct fake_backend *b, const struct fake_chain *c, uint64_t len, bool zeroes)
{
	struct virtio_blk_discard_write_zeroes seg[8];

	if (len == 0 || len % sizeof(seg[0]) || len > sizeof(seg))
		return VIRTIO_BLK_S_UNSUPP;
	data_move(c, 16, len, (uint8_t *)seg, true, false);
	for (unsigned int i = 0; i < len / sizeof(seg[0]); i++) {
		uint64_t first = seg[i].sector * 512, bytes = (uint64_t)seg[i].num_sectors * 512;

		if (first > b->disk_bytes || bytes > b->disk_bytes - first)
			return VIRTIO_BLK_S_IOERR;
		/* Discarded data may be anything: make it something that nobody wrote. */
		if (!zeroes || b->fault != FAULT_KEEP_ZEROES)
			memset(b->disk + first, zeroes ? 0 : 0xdb, bytes);
	}
	return VIRTIO_BLK_S_OK;
}

static uint32_t serve(struct fake_backend *b, const struct fake_chain *c)
{
	struct virtio_blk_outhdr header = {0};
	const struct fake_seg *last = &c->seg[c->seg_cnt - 1];
	uint64_t out = 0, in = 0;
	uint32_t used = 1;
	uint8_t status;

	for (unsigned int i = 0; i < c->seg_cnt; i++)
		*(c->seg[i].writable ? &in : &out) += c->seg[i].bytes;
	if (out < sizeof(header) || in < 1)
		return 0;
	data_move(c, 0, sizeof(header), (uint8_t *)&header, true, false);
	switch (header.type) {
	case VIRTIO_BLK_T_IN:
		status = read_write(b, c, header.sector, in - 1, false, &used);
		break;
	case VIRTIO_BLK_T_OUT:
		status = read_write(b, c, header.sector, out - 16, true, &used);
		break;
	case VIRTIO_BLK_T_FLUSH:
		status = VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		status = erase(b, c, out - 16, header.type == VIRTIO_BLK_T_WRITE_ZEROES);
		break;
	default:
		status = VIRTIO_BLK_S_UNSUPP;
	}
	if (hits(b, FAULT_IOERR))
		status = VIRTIO_BLK_S_IOERR;
	if (!hits(b, FAULT_NO_STATUS))
		last->hva[last->bytes - 1] = status;
	return used;
}

static void call(struct fake_queue *q)
{
	uint64_t one = 1;

	if (fake_ring_wants_call(&q->ring) && q->call_fd >= 0 &&
	    write(q->call_fd, &one, sizeof(one)) < 0)
		perror("fake_backend: call");
}

struct done {
	uint16_t id, desc_cnt;
	uint32_t used;
};

static void shuffle(struct done *done, unsigned int cnt)
{
	for (unsigned int i = cnt; i > 1; i--) {
		unsigned int j = (unsigned int)rand() % i;
		struct done t = done[i - 1];

		done[i - 1] = done[j];
		done[j] = t;
	}
}

static bool disk_turn(struct fake_backend *b, struct fake_queue *q)
{
	static struct fake_chain c;
	struct done done[BURST_MAX];
	unsigned int cnt = 0;

	while (cnt < BURST_MAX && !(b->fault == FAULT_STALL && b->done >= b->after)) {
		int rc = fake_ring_pop(&q->ring, &c);

		if (rc < 0) {
			fprintf(stderr, "fake_backend: driver broke a rule: %s\n", q->ring.error);
			b->driver_error = true;
			b->end = true;
			return false;
		}
		if (rc == 0)
			break;
		done[cnt] = (struct done){c.id, c.desc_cnt, serve(b, &c)};
		if (hits(b, FAULT_BAD_ID))
			done[cnt].id = (uint16_t)(q->ring.size - 1);
		cnt++;
		b->done++;
	}
	if (b->shuffle && !q->ring.in_order)
		shuffle(done, cnt);
	for (unsigned int i = 0; i < cnt; i++)
		/* In order: batches of three, the last of the turn whatever it is. */
		fake_ring_push(&q->ring, done[i].id, done[i].desc_cnt, done[i].used,
			       !q->ring.in_order || i % 3 == 2 || i + 1 == cnt);
	if (cnt)
		call(q);
	return cnt > 0;
}

/* ---- the null disk: the least that a back end can do ---- */

static uint8_t *null_map(const struct fake_backend *b, uint64_t gpa)
{
	return b->region[0].hva + (gpa - b->region[0].gpa);
}

static bool null_split_turn(struct fake_backend *b, struct fake_queue *q)
{
	struct fake_ring *r = &q->ring;
	const struct vring_desc *desc = r->desc;
	const struct vring_avail *avail = r->driver_area;
	struct vring_used *used = r->device_area;
	uint16_t idx = __atomic_load_n((const uint16_t *)&avail->idx, __ATOMIC_ACQUIRE);
	uint16_t mask = (uint16_t)(r->size - 1), cnt = 0;

	/* The status byte is the last descriptor, in the ring or in a table. */
	for (; r->avail_idx != idx && cnt < BURST_MAX; cnt++) {
		uint16_t head = avail->ring[r->avail_idx++ & mask];
		const struct vring_desc *d = &desc[head];

		if (d->flags & VRING_DESC_F_INDIRECT)
			d = (const struct vring_desc *)(const void *)null_map(b, d->addr) +
			    d->len / 16 - 1;
		else
			while (d->flags & VRING_DESC_F_NEXT)
				d = &desc[d->next];
		*null_map(b, d->addr) = VIRTIO_BLK_S_OK;
		used->ring[r->used_idx++ & mask] = (struct vring_used_elem){head, 4097};
	}
	if (cnt)
		__atomic_store_n((uint16_t *)&used->idx, r->used_idx, __ATOMIC_RELEASE);
	return cnt > 0;
}

static void null_step(struct fake_ring *r)
{
	if (++r->avail_idx == r->size) {
		r->avail_idx = 0;
		r->avail_wrap = !r->avail_wrap;
	}
}

static bool null_packed_turn(struct fake_backend *b, struct fake_queue *q)
{
	struct fake_ring *r = &q->ring;
	struct vring_packed_desc *desc = r->desc;
	unsigned int cnt = 0;

	for (; cnt < BURST_MAX; cnt++) {
		struct vring_packed_desc *first = &desc[r->avail_idx], *d = first;
		bool wrap = r->avail_wrap;
		uint16_t flags = __atomic_load_n((uint16_t *)&d->flags, __ATOMIC_ACQUIRE);
		uint64_t status;

		if (!!(flags & 1u << VRING_PACKED_DESC_F_AVAIL) != wrap ||
		    !!(flags & 1u << VRING_PACKED_DESC_F_USED) == wrap)
			break;
		null_step(r);
		for (; d->flags & VRING_DESC_F_NEXT; null_step(r))
			d = &desc[r->avail_idx];
		status = d->addr;
		if (flags & VRING_DESC_F_INDIRECT)
			status = ((const struct vring_packed_desc *)(const void *)null_map(
					  b, d->addr) +
				  d->len / 16 - 1)
					 ->addr;
		*null_map(b, status) = VIRTIO_BLK_S_OK;
		first->id = d->id;
		first->len = 4097;
		__atomic_store_n(
			(uint16_t *)&first->flags,
			wrap ? 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED : 0,
			__ATOMIC_RELEASE);
	}
	/* In the order in which they came, so both positions are one. */
	r->used_idx = r->avail_idx;
	r->used_wrap = r->avail_wrap;
	return cnt > 0;
}

bool fake_disk_turn(struct fake_backend *b, struct fake_queue *q)
{
	if (!b->null_disk)
		return disk_turn(b, q);
	return q->ring.packed ? null_packed_turn(b, q) : null_split_turn(b, q);
}
