/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk requests over a ring of the driver side: slots, submission, completion.
 * It is neither a workload nor a checker of data.
 *
 * A queue has slots, numbered from 0; a slot is one request in flight and its number is the ring's
 * token. A slot owns, in shared memory, one cache line with the 16-byte header and the status byte
 * (where Linux has them too), room for an indirect table, and data_bytes of data. All that is laid
 * out once; blk_start() writes the header, the status and, only when direction or length differ
 * from the slot's last request, its descriptors. Nothing is allocated after blk_queue_new().
 *
 * A queue belongs to one thread.
 */
#ifndef PARIO_BENCH_DRIVER_BLK_H
#define PARIO_BENCH_DRIVER_BLK_H

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/front.h"

#define BLK_SECTOR_BYTES 512u
#define BLK_STATUS_NONE 0xffu /* what a slot's status byte holds until the device writes it */

/* The config space, with fields that no offered feature covers set to what VIRTIO implies. */
struct blk_config {
	uint64_t capacity_sectors;
	uint32_t size_max_bytes; /* of one segment; UINT32_MAX without SIZE_MAX */
	uint32_t seg_max;        /* data segments of one request; UINT32_MAX without SEG_MAX */
	uint32_t block_bytes;    /* 512 without BLK_SIZE */
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	uint16_t min_io_blocks;
	uint32_t opt_io_blocks;
	uint8_t writeback;  /* as the byte says; 1 without CONFIG_WCE */
	uint16_t queue_cnt; /* 1 without MQ */
	uint32_t discard_max_sectors, discard_max_seg,
		discard_align_sectors;               /* 0 without DISCARD */
	uint32_t zeroes_max_sectors, zeroes_max_seg; /* 0 without WRITE_ZEROES */
	bool zeroes_may_unmap;
};

/* GET_CONFIG and decoding by the features offered (or, once set, those in force). */
int blk_config_get(struct front *f, struct blk_config *config);

struct blk_queue_opts {
	uint16_t slot_cnt;
	uint32_t data_bytes;    /* of each slot; a multiple of 512 */
	uint32_t segment_bytes; /* longest data descriptor; 0: as long as the data */
	bool indirect;          /* chains in tables (INDIRECT_DESC must be negotiated) */
};

struct blk_slot {
	struct virtio_blk_outhdr *header; /* shared memory */
	uint8_t *status;
	uint8_t *data;
	void *table;
	uint64_t table_gpa;
	struct ring_seg *seg; /* header, data..., status */
	/* What the descriptors describe now. */
	uint32_t shape_bytes;
	uint16_t out_cnt, in_cnt;
	bool shape_in; /* data is device-writable */
};

struct blk_queue {
	struct front_queue *fq;
	struct ring *ring;
	struct blk_slot *slot;
	struct ring_seg *seg_pool;
	uint64_t *data_gpa;
	uint16_t slot_cnt;
	uint32_t data_bytes;
	uint32_t segment_bytes;
	uint32_t seg_cnt_max; /* of one request, header and status included */
	bool indirect;
};

/* Descriptors of the ring that one request of data_bytes takes. */
uint32_t blk_desc_cnt(const struct blk_queue_opts *opts);
/* Shared memory for the slots of one queue, without its ring. */
uint64_t blk_queue_shm_bytes(const struct blk_queue_opts *opts);

int blk_queue_new(struct blk_queue **out, struct front_queue *fq, struct shm *shm,
		  const struct blk_queue_opts *opts);
/* Leaves the front_queue alone. */
void blk_queue_free(struct blk_queue *q);

/* Describes data of another direction or length; blk_start() calls it when it must. */
void blk_slot_shape(struct blk_queue *q, uint16_t slot, uint32_t bytes, bool in);

static inline bool blk_type_is_in(uint32_t type)
{
	return type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
}

/*
 * Adds a request of the slot to the ring, without publishing it. bytes is the length of data in
 * slot->data: of the payload to write, the buffer to read into, the array of discard segments, or 0
 * for a flush. Errors are ring_add()'s.
 */
static inline int blk_start(struct blk_queue *q, uint16_t slot, uint32_t type, uint64_t sector,
			    uint32_t bytes)
{
	struct blk_slot *s = &q->slot[slot];
	bool in = blk_type_is_in(type);

	if (s->shape_bytes != bytes || s->shape_in != in)
		blk_slot_shape(q, slot, bytes, in);
	s->header->type = type;
	s->header->ioprio = 0;
	s->header->sector = sector;
	*s->status = BLK_STATUS_NONE;
	if (q->indirect)
		return ring_add_table(q->ring, s->table_gpa, (uint32_t)s->out_cnt + s->in_cnt,
				      slot);
	return ring_add(q->ring, s->seg, s->out_cnt, s->in_cnt, slot);
}

/* The status byte of a request that ring_get_used() has returned. */
static inline uint8_t blk_status(const struct blk_queue *q, uint16_t slot)
{
	return *(const volatile uint8_t *)q->slot[slot].status;
}

const char *blk_status_name(uint8_t status);
const char *blk_type_name(uint32_t type);

/*
 * One request from start to end, polled, for set-up and tests: data (NULL when bytes is 0) is
 * copied into the slot or out of it. The virtio status (0 to 255), or -errno with front->error.
 * slot must be free; completions of other slots that come in are lost, so none may be in flight.
 */
int blk_call(struct blk_queue *q, uint16_t slot, uint32_t type, uint64_t sector, void *data,
	     uint32_t bytes);

#endif
