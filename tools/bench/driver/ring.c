/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both ring formats of the driver side share: areas in shared memory, tables, the in-order
 * FIFO. It reads nothing that a device wrote.
 */
#include "driver/ring.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "ring fields are stored without swapping");

#define LINE_BYTES UINT64_C(128) /* two cache lines: the adjacent-line prefetcher pairs them */
#define DESC_BYTES UINT64_C(16)

static uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

static void area_sizes(const struct ring_opts *o, uint64_t *desc, uint64_t *driver,
		       uint64_t *device)
{
	*desc = DESC_BYTES * o->size;
	if (o->format == RING_PACKED) {
		*driver = sizeof(struct vring_packed_desc_event);
		*device = sizeof(struct vring_packed_desc_event);
	} else {
		/* flags, idx and the event word at the end */
		*driver = 6u + 2u * (uint64_t)o->size;
		*device = 6u + sizeof(struct vring_used_elem) * (uint64_t)o->size;
	}
}

uint64_t ring_shm_bytes(const struct ring_opts *o)
{
	uint64_t desc, driver, device;

	area_sizes(o, &desc, &driver, &device);
	return round_up(desc, LINE_BYTES) + round_up(driver, LINE_BYTES) +
	       round_up(device, LINE_BYTES) + LINE_BYTES;
}

static int areas_alloc(struct ring *r, struct shm *shm)
{
	area_sizes(&r->opts, &r->desc_bytes, &r->driver_bytes, &r->device_bytes);
	r->desc = shm_alloc(shm, round_up(r->desc_bytes, LINE_BYTES), LINE_BYTES, &r->desc_gpa);
	r->driver_area =
		shm_alloc(shm, round_up(r->driver_bytes, LINE_BYTES), LINE_BYTES, &r->driver_gpa);
	r->device_area =
		shm_alloc(shm, round_up(r->device_bytes, LINE_BYTES), LINE_BYTES, &r->device_gpa);
	return r->desc && r->driver_area && r->device_area ? 0 : -ENOMEM;
}

int ring_new(struct ring **out, struct shm *shm, const struct ring_opts *opts)
{
	struct ring *r;
	size_t size = opts->size;

	if (size == 0 || size > RING_SIZE_MAX ||
	    (opts->format == RING_SPLIT && (size & (size - 1)) != 0))
		return -EINVAL;
	r = aligned_alloc(LINE_BYTES, round_up(sizeof(*r), LINE_BYTES));
	if (!r)
		return -ENOMEM;
	memset(r, 0, sizeof(*r));
	r->opts = *opts;
	r->size = opts->size;
	r->mask = (uint16_t)(size - 1);
	r->ops = opts->format == RING_PACKED ? &ring_packed_ops : &ring_split_ops;
	r->token = calloc(size, sizeof(*r->token));
	r->token_of_head = calloc(size, sizeof(*r->token_of_head));
	r->next_free = calloc(size, sizeof(*r->next_free));
	r->order = calloc(size, sizeof(*r->order));
	if (!r->token || !r->token_of_head || !r->next_free || !r->order ||
	    areas_alloc(r, shm) < 0) {
		ring_free(r);
		return -ENOMEM;
	}
	ring_reset(r, ring_base_fresh(opts->format));
	*out = r;
	return 0;
}

void ring_free(struct ring *r)
{
	if (!r)
		return;
	free(r->token);
	free(r->token_of_head);
	free(r->next_free);
	free(r->order);
	free(r);
}

void ring_reset(struct ring *r, uint32_t base)
{
	memset(r->desc, 0, r->desc_bytes);
	memset(r->driver_area, 0, r->driver_bytes);
	memset(r->device_area, 0, r->device_bytes);
	memset(r->token, 0, r->size * sizeof(*r->token));
	r->free_cnt = r->size;
	r->inflight_cnt = 0;
	r->pending_cnt = 0;
	r->order_head = 0;
	r->order_cnt = 0;
	r->batch_left = 0;
	r->error = NULL;
	r->ops->start(r, base);
	r->ops->disarm(r);
}

uint32_t ring_order_find(const struct ring *r, uint16_t token)
{
	for (uint32_t i = 0; i < r->order_cnt; i++)
		if (r->order[(r->order_head + i) % r->size] == token)
			return i + 1;
	return 0;
}

void ring_table_write(enum ring_format format, void *table, const struct ring_seg *seg,
		      unsigned int out_cnt, unsigned int in_cnt)
{
	unsigned int total = out_cnt + in_cnt;

	for (unsigned int i = 0; i < total; i++) {
		uint16_t write = i >= out_cnt ? VRING_DESC_F_WRITE : 0;
		bool more = i + 1 < total;

		if (format == RING_PACKED) {
			struct vring_packed_desc *d = (struct vring_packed_desc *)table + i;

			*d = (struct vring_packed_desc){
				.addr = seg[i].gpa, .len = seg[i].bytes, .flags = write};
		} else {
			struct vring_desc *d = (struct vring_desc *)table + i;

			*d = (struct vring_desc){
				.addr = seg[i].gpa,
				.len = seg[i].bytes,
				.flags = (uint16_t)(write | (more ? VRING_DESC_F_NEXT : 0)),
				.next = (uint16_t)(more ? i + 1 : 0),
			};
		}
	}
}
