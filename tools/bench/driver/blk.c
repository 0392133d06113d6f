/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk over the driver side of a ring: slots in shared memory, config space, one-off
 * requests. The hot path is inline in blk.h.
 */
#include "driver/blk.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64u
#define DESC_BYTES 16u
#define STATUS_OFFSET 16u /* in the slot's line, behind the header */
#define DATA_ALIGN UINT64_C(4096)

static uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

int blk_config_get(struct front *f, struct blk_config *c)
{
	/* Up to unused1 of WRITE_ZEROES: back ends that are older end there. */
	struct virtio_blk_config raw;
	const uint32_t bytes = offsetof(struct virtio_blk_config, max_secure_erase_sectors);
	uint64_t has = f->features ? f->features : f->features_offered;
	int rc;

#define HAS(bit) (has >> (bit)&1)
	memset(&raw, 0, sizeof(raw));
	rc = front_get_config(f, 0, &raw, bytes);
	if (rc < 0)
		return rc;
	*c = (struct blk_config){
		.capacity_sectors = raw.capacity,
		.size_max_bytes = HAS(VIRTIO_BLK_F_SIZE_MAX) && raw.size_max ? raw.size_max
									     : UINT32_MAX,
		.seg_max = HAS(VIRTIO_BLK_F_SEG_MAX) && raw.seg_max ? raw.seg_max : UINT32_MAX,
		.block_bytes = HAS(VIRTIO_BLK_F_BLK_SIZE) && raw.blk_size ? raw.blk_size
									  : BLK_SECTOR_BYTES,
		.writeback = HAS(VIRTIO_BLK_F_CONFIG_WCE) ? raw.wce : 1,
		.queue_cnt = HAS(VIRTIO_BLK_F_MQ) ? raw.num_queues : 1,
	};
	if (HAS(VIRTIO_BLK_F_GEOMETRY)) {
		c->cylinders = raw.geometry.cylinders;
		c->heads = raw.geometry.heads;
		c->sectors = raw.geometry.sectors;
	}
	if (HAS(VIRTIO_BLK_F_TOPOLOGY)) {
		c->physical_block_exp = raw.physical_block_exp;
		c->alignment_offset = raw.alignment_offset;
		c->min_io_blocks = raw.min_io_size;
		c->opt_io_blocks = raw.opt_io_size;
	}
	if (HAS(VIRTIO_BLK_F_DISCARD)) {
		c->discard_max_sectors = raw.max_discard_sectors;
		c->discard_max_seg = raw.max_discard_seg;
		c->discard_align_sectors = raw.discard_sector_alignment;
	}
	if (HAS(VIRTIO_BLK_F_WRITE_ZEROES)) {
		c->zeroes_max_sectors = raw.max_write_zeroes_sectors;
		c->zeroes_max_seg = raw.max_write_zeroes_seg;
		c->zeroes_may_unmap = raw.write_zeroes_may_unmap != 0;
	}
#undef HAS
	return 0;
}

static uint32_t segment_bytes(const struct blk_queue_opts *o)
{
	return o->segment_bytes && o->segment_bytes < o->data_bytes ? o->segment_bytes
								    : o->data_bytes;
}

/* Header, data and status of the longest request. */
static uint32_t seg_cnt_max(const struct blk_queue_opts *o)
{
	uint32_t longest = segment_bytes(o);

	return 2 + (longest ? (o->data_bytes + longest - 1) / longest : 0);
}

uint32_t blk_desc_cnt(const struct blk_queue_opts *o)
{
	return o->indirect ? 1 : seg_cnt_max(o);
}

static uint64_t line_and_table_bytes(const struct blk_queue_opts *o)
{
	return LINE_BYTES + (o->indirect ? round_up(seg_cnt_max(o) * DESC_BYTES, LINE_BYTES) : 0);
}

uint64_t blk_queue_shm_bytes(const struct blk_queue_opts *o)
{
	/* The last term: alignment, twice. */
	return o->slot_cnt * (line_and_table_bytes(o) + round_up(o->data_bytes, DATA_ALIGN)) +
	       2 * DATA_ALIGN;
}

static int slots_alloc(struct blk_queue *q, struct shm *shm, const struct blk_queue_opts *o)
{
	uint64_t stride = line_and_table_bytes(o);

	for (uint16_t i = 0; i < o->slot_cnt; i++) {
		struct blk_slot *s = &q->slot[i];
		uint64_t gpa;
		uint8_t *line = shm_alloc(shm, stride, LINE_BYTES, &gpa);

		if (!line)
			return -ENOSPC;
		s->header = (struct virtio_blk_outhdr *)line;
		s->status = line + STATUS_OFFSET;
		s->table = line + LINE_BYTES;
		s->table_gpa = gpa + LINE_BYTES;
		s->seg = q->seg_pool + (size_t)i * q->seg_cnt_max;
		s->seg[0] = (struct ring_seg){gpa, sizeof(*s->header)};
	}
	for (uint16_t i = 0; i < o->slot_cnt; i++) {
		struct blk_slot *s = &q->slot[i];

		s->data = shm_alloc(shm, o->data_bytes ? o->data_bytes : 1,
				    o->data_bytes >= DATA_ALIGN ? DATA_ALIGN : LINE_BYTES,
				    &q->data_gpa[i]);
		if (!s->data)
			return -ENOSPC;
		blk_slot_shape(q, i, 0, false);
	}
	return 0;
}

int blk_queue_new(struct blk_queue **out, struct front_queue *fq, struct shm *shm,
		  const struct blk_queue_opts *o)
{
	struct blk_queue *q = calloc(1, sizeof(*q));
	int rc = -ENOMEM;

	if (!q)
		return front_fail(fq->front, rc, "queue %u: out of memory", fq->idx);
	q->fq = fq;
	q->ring = fq->ring;
	q->slot_cnt = o->slot_cnt;
	q->data_bytes = o->data_bytes;
	q->segment_bytes = segment_bytes(o);
	q->seg_cnt_max = seg_cnt_max(o);
	q->indirect = o->indirect;
	q->slot = calloc(o->slot_cnt, sizeof(*q->slot));
	q->data_gpa = calloc(o->slot_cnt, sizeof(*q->data_gpa));
	q->seg_pool = calloc((size_t)o->slot_cnt * q->seg_cnt_max, sizeof(*q->seg_pool));
	if (q->slot && q->data_gpa && q->seg_pool)
		rc = slots_alloc(q, shm, o);
	if (rc < 0) {
		blk_queue_free(q);
		return front_fail(fq->front, rc, "queue %u: no memory for %u slots of %u bytes",
				  fq->idx, o->slot_cnt, o->data_bytes);
	}
	*out = q;
	return 0;
}

void blk_queue_free(struct blk_queue *q)
{
	if (!q)
		return;
	free(q->slot);
	free(q->data_gpa);
	free(q->seg_pool);
	free(q);
}

void blk_slot_shape(struct blk_queue *q, uint16_t slot, uint32_t bytes, bool in)
{
	struct blk_slot *s = &q->slot[slot];
	uint64_t gpa = q->data_gpa[slot];
	uint32_t left = bytes;
	uint16_t n = 1;

	while (left > 0) {
		uint32_t piece = left < q->segment_bytes ? left : q->segment_bytes;

		s->seg[n++] = (struct ring_seg){gpa, piece};
		gpa += piece;
		left -= piece;
	}
	s->seg[n++] = (struct ring_seg){s->seg[0].gpa + STATUS_OFFSET, 1};
	s->out_cnt = in ? 1 : (uint16_t)(n - 1);
	s->in_cnt = (uint16_t)(n - s->out_cnt);
	s->shape_bytes = bytes;
	s->shape_in = in;
	if (q->indirect)
		ring_table_write(q->ring->opts.format, s->table, s->seg, s->out_cnt, s->in_cnt);
}

const char *blk_status_name(uint8_t status)
{
	switch (status) {
	case VIRTIO_BLK_S_OK:
		return "OK";
	case VIRTIO_BLK_S_IOERR:
		return "IOERR";
	case VIRTIO_BLK_S_UNSUPP:
		return "UNSUPP";
	case BLK_STATUS_NONE:
		return "not written";
	default:
		return "unknown";
	}
}

const char *blk_type_name(uint32_t type)
{
	switch (type) {
	case VIRTIO_BLK_T_IN:
		return "read";
	case VIRTIO_BLK_T_OUT:
		return "write";
	case VIRTIO_BLK_T_FLUSH:
		return "flush";
	case VIRTIO_BLK_T_GET_ID:
		return "get-id";
	case VIRTIO_BLK_T_DISCARD:
		return "discard";
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return "write-zeroes";
	default:
		return "unknown request";
	}
}

/* Polls for one completion; sleeps a millisecond at a time, so that it is cheap to be slow. */
static int used_wait(struct blk_queue *q, struct ring_used *used)
{
	struct front *f = q->fq->front;
	int64_t deadline_ms = channel_now_ms() + f->timeout_ms;

	for (unsigned int spin = 0;; spin++) {
		int n = ring_get_used(q->ring, used, 1);

		if (n < 0)
			return front_fail(f, n, "queue %u: %s", q->fq->idx, q->ring->error);
		if (n == 1)
			return 0;
		if (spin < 1000)
			continue;
		if (front_queue_failed(q->fq))
			return front_fail(f, -EIO, "queue %u: the back end signalled an error",
					  q->fq->idx);
		if (channel_now_ms() >= deadline_ms)
			return front_fail(f, -ETIMEDOUT, "queue %u: no completion within %d ms",
					  q->fq->idx, f->timeout_ms);
		/* No event but a hang-up wakes this. */
		if (channel_wait(f->sock, 0, 1) == 0)
			return front_fail(f, -ECONNRESET,
					  "queue %u: the back end closed the connection",
					  q->fq->idx);
	}
}

int blk_call(struct blk_queue *q, uint16_t slot, uint32_t type, uint64_t sector, void *data,
	     uint32_t bytes)
{
	struct front *f = q->fq->front;
	struct ring_used used;
	int rc;

	if (slot >= q->slot_cnt || bytes > q->data_bytes)
		return front_fail(f, -EINVAL, "queue %u: slot %u of %u, %u bytes of %u", q->fq->idx,
				  slot, q->slot_cnt, bytes, q->data_bytes);
	if (bytes && !blk_type_is_in(type))
		memcpy(q->slot[slot].data, data, bytes);
	rc = blk_start(q, slot, type, sector, bytes);
	if (rc < 0)
		return front_fail(f, rc, "queue %u: cannot add: %s", q->fq->idx, strerror(-rc));
	if (ring_publish(q->ring))
		front_queue_kick(q->fq);
	rc = used_wait(q, &used);
	if (rc < 0)
		return rc;
	if (used.token != slot)
		return front_fail(f, -EPROTO, "queue %u: request %u completed, not %u", q->fq->idx,
				  used.token, slot);
	if (bytes && blk_type_is_in(type))
		memcpy(data, q->slot[slot].data, bytes);
	return blk_status(q, slot);
}
