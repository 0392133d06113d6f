/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See flash_priv.h. Time is given in; no clock is read here and no byte is moved.
 */
#include "storage/flash_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ordering.h"
#include "base/overflow.h"

int flash_model_init(struct flash_model *model, uint32_t lane_cnt, uint32_t read_us,
		     uint32_t write_us)
{
	size_t bytes = lane_cnt * sizeof(*model->lanes);

	model->lane_cnt = lane_cnt;
	model->read_ns = read_us * NS_PER_US;
	model->write_ns = write_us * NS_PER_US;
	model->lanes = aligned_alloc(CACHE_LINE_BYTES, bytes);
	if (!model->lanes)
		return -ENOMEM;
	memset(model->lanes, 0, bytes);
	return 0;
}

void flash_model_fini(struct flash_model *model)
{
	free(model->lanes);
	model->lanes = NULL;
}

/*
 * Takes a lane for busy_ns from when it is free; returns when that ends. The exchange fails only
 * where another worker took the same lane in between.
 */
static inline uint64_t lane_take(struct flash_lane *lane, uint64_t busy_ns, uint64_t now_ns)
{
	uint64_t until_ns = load_relaxed(&lane->busy_until_ns);
	uint64_t end_ns;

	do {
		/* What never ends has no order to keep either: any amount may follow. */
		if (overflow_add_u64(until_ns > now_ns ? until_ns : now_ns, busy_ns, &end_ns))
			end_ns = FLASH_NEVER_NS;
	} while (!__atomic_compare_exchange_n(&lane->busy_until_ns, &until_ns, end_ns, true,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return end_ns;
}

static inline uint64_t pages_ns(uint64_t page_cnt, uint64_t page_ns)
{
	uint64_t ns;

	return overflow_mul_u64(page_cnt, page_ns, &ns) ? FLASH_NEVER_NS : ns;
}

struct flash_due flash_model_transfer(const struct flash_model *model, enum storage_kind kind,
				      uint64_t offset_bytes, uint64_t len_bytes, uint64_t now_ns)
{
	uint64_t page_ns = kind == STORAGE_READ ? model->read_ns : model->write_ns;
	uint64_t first = offset_bytes / FLASH_PAGE_BYTES;
	uint64_t page_cnt = (offset_bytes + len_bytes - 1) / FLASH_PAGE_BYTES - first + 1;
	uint32_t lane_idx = (uint32_t)(first % model->lane_cnt);
	struct flash_due due = {.ns = 0, .lane_idx = lane_idx};

	if (likely(page_cnt == 1)) {
		due.ns = lane_take(&model->lanes[lane_idx], page_ns, now_ns);
		return due;
	}
	/* A lane's pages follow each other: nothing that comes later gets in between. */
	for (uint64_t i = 0; i < page_cnt && i < model->lane_cnt; i++) {
		uint64_t cnt = (page_cnt - i + model->lane_cnt - 1) / model->lane_cnt;
		uint64_t end_ns =
			lane_take(&model->lanes[lane_idx], pages_ns(cnt, page_ns), now_ns);

		if (end_ns > due.ns)
			due = (struct flash_due){end_ns, lane_idx};
		lane_idx = lane_idx + 1 == model->lane_cnt ? 0 : lane_idx + 1;
	}
	return due;
}

struct flash_due flash_model_flush(const struct flash_model *model)
{
	struct flash_due due = {0, 0};

	for (uint32_t i = 0; i < model->lane_cnt; i++) {
		uint64_t until_ns = load_relaxed(&model->lanes[i].busy_until_ns);

		if (until_ns > due.ns)
			due = (struct flash_due){until_ns, i};
	}
	return due;
}

int flash_queue_init(struct flash_queue *queue, uint32_t lane_cnt)
{
	queue->heap_cnt = 0;
	queue->lists = calloc(lane_cnt, sizeof(*queue->lists));
	queue->heap = calloc(lane_cnt, sizeof(*queue->heap));
	if (queue->lists && queue->heap)
		return 0;
	flash_queue_fini(queue);
	return -ENOMEM;
}

void flash_queue_fini(struct flash_queue *queue)
{
	free(queue->lists);
	free(queue->heap);
	queue->lists = NULL;
	queue->heap = NULL;
}

/* Puts due where it belongs on the way from the hole at idx to the root. */
static void heap_up(struct flash_due *heap, uint32_t idx, struct flash_due due)
{
	while (idx > 0 && due.ns < heap[(idx - 1) / 2].ns) {
		heap[idx] = heap[(idx - 1) / 2];
		idx = (idx - 1) / 2;
	}
	heap[idx] = due;
}

/* The same from the root, which is the hole, downwards. */
static void heap_down(struct flash_due *heap, uint32_t cnt, struct flash_due due)
{
	uint32_t idx = 0, child;

	while ((child = 2 * idx + 1) < cnt) {
		if (child + 1 < cnt && heap[child + 1].ns < heap[child].ns)
			child++;
		if (due.ns <= heap[child].ns)
			break;
		heap[idx] = heap[child];
		idx = child;
	}
	heap[idx] = due;
}

void flash_queue_push(struct flash_queue *queue, struct storage_op *op, struct flash_due due)
{
	struct flash_list *list = &queue->lists[due.lane_idx];

	op->due_ns = due.ns;
	op->next = NULL;
	if (list->first) {
		CHECK(list->last->due_ns <= due.ns);
		list->last->next = op;
	} else {
		list->first = op;
		heap_up(queue->heap, queue->heap_cnt++, due);
	}
	list->last = op;
}

struct storage_op *flash_queue_pop(struct flash_queue *queue, uint64_t now_ns)
{
	struct flash_due due;
	struct flash_list *list;
	struct storage_op *op;

	if (!queue->heap_cnt || queue->heap[0].ns > now_ns)
		return NULL;
	due = queue->heap[0];
	list = &queue->lists[due.lane_idx];
	op = list->first;
	list->first = op->next;
	if (op->next)
		due.ns = op->next->due_ns;
	else
		due = queue->heap[--queue->heap_cnt];
	heap_down(queue->heap, queue->heap_cnt, due);
	return op;
}
