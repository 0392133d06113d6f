/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modelled flash device as functions of time, and what of it a storage channel waits for.
 * Not its bytes and not a clock (flash.c).
 *
 * Theory of operation
 *
 * 1. A flash channel is called a lane here, for a channel of storage.h is something else. Page n
 *    belongs to lane n modulo lane_cnt. A lane does one page operation at a time, first come first
 *    served, so all that there is to know of it is until when it is busy.
 * 2. An operation takes each of its pages' lanes at once, when it is accepted, for as long as its
 *    pages there need, and is due when the last of them is done.
 * 3. A lane's time only grows. So of the operations of one storage channel, those that end on one
 *    lane are due in the order they were accepted: a list for each lane is sorted by itself, and a
 *    heap of the lists' heads, of fixed size, finds the next. Nothing is allocated on the way.
 * 4. Lanes are the hardware: queues on several workers use the same ones, so that is what workers
 *    share, with one compare-exchange for each lane that an operation takes. Nothing is published
 *    through it, so it needs no order. A lane has a cache line of its own: workers meet on one only
 *    where their requests meet on a channel of the drive.
 */
#ifndef PARIO_STORAGE_FLASH_PRIV_H
#define PARIO_STORAGE_FLASH_PRIV_H

#include <stdint.h>

#include "base/compiler.h"
#include "storage/storage.h"

#define FLASH_PAGE_BYTES 4096u
#define FLASH_NEVER_NS UINT64_MAX

struct flash_lane {
	uint64_t busy_until_ns; /* atomic; any worker */
} CACHE_ALIGNED;
_Static_assert(sizeof(struct flash_lane) == CACHE_LINE_BYTES, "no line holds two lanes");

struct flash_model {
	struct flash_lane *lanes;
	uint32_t lane_cnt;
	uint64_t read_ns; /* of a page */
	uint64_t write_ns;
};

/* When something is done, and the lane that then was the last. */
struct flash_due {
	uint64_t ns;
	uint32_t lane_idx;
};

/* Control. 0 or -ENOMEM. */
int flash_model_init(struct flash_model *model, uint32_t lane_cnt, uint32_t read_us,
		     uint32_t write_us);
void flash_model_fini(struct flash_model *model);
/* Any worker. READ or WRITE of len_bytes > 0 that the device accepts at now_ns. */
struct flash_due flash_model_transfer(const struct flash_model *model, enum storage_kind kind,
				      uint64_t offset_bytes, uint64_t len_bytes, uint64_t now_ns);
/* Any worker. When all that was accepted so far is done; may be in the past. */
struct flash_due flash_model_flush(const struct flash_model *model);

/* Operations on one lane, by op->next; earliest due first. */
struct flash_list {
	struct storage_op *first;
	struct storage_op *last;
};

/* Accepted by one storage channel and not yet due. One worker's. */
struct flash_queue {
	struct flash_list *lists; /* one for each lane */
	struct flash_due *heap;   /* first of each list that is not empty, by time */
	uint32_t heap_cnt;
};

/* 0 or -ENOMEM. */
int flash_queue_init(struct flash_queue *queue, uint32_t lane_cnt);
void flash_queue_fini(struct flash_queue *queue);
void flash_queue_push(struct flash_queue *queue, struct storage_op *op, struct flash_due due);
/* The operation that is due first, if it is by now_ns; or NULL. */
struct storage_op *flash_queue_pop(struct flash_queue *queue, uint64_t now_ns);

/* When the first is due; FLASH_NEVER_NS if there is none. */
static inline uint64_t flash_queue_next_ns(const struct flash_queue *queue)
{
	return queue->heap_cnt ? queue->heap[0].ns : FLASH_NEVER_NS;
}

#endif
