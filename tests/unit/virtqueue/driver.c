/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's end of a ring for tests, byte by byte. Not fast, and not shared with src/.
 */
#include "driver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define ROW_CNT 3

static const struct {
	uint64_t gpa, bytes;
} layout[ROW_CNT] = {{LOW_GPA, LOW_BYTES}, {NEXT_GPA, NEXT_BYTES}, {FAR_GPA, FAR_BYTES}};

void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

void put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)v);
	put32(p + 4, (uint32_t)(v >> 32));
}

uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

struct gmem *driver_memory_new(void)
{
	struct gmem *memory = calloc(1, sizeof(*memory) + ROW_CNT * sizeof(memory->rows[0]));

	assert(memory);
	for (unsigned i = 0; i < ROW_CNT; i++) {
		uint8_t *hva = aligned_alloc(64, layout[i].bytes);

		assert(hva);
		memset(hva, 0, layout[i].bytes);
		memory->rows[memory->row_cnt++] = (struct gmem_row){
			.gpa = layout[i].gpa,
			.size_bytes = layout[i].bytes,
			.hva = hva,
			.uva = layout[i].gpa + UVA_BASE,
		};
	}
	return memory;
}

struct gmem *driver_memory_without(const struct gmem *memory, unsigned row)
{
	struct gmem *other = calloc(1, sizeof(*other) + ROW_CNT * sizeof(other->rows[0]));

	assert(other);
	for (unsigned i = 0; i < memory->row_cnt; i++) {
		if (i != row)
			other->rows[other->row_cnt++] = memory->rows[i];
	}
	return other;
}

void driver_memory_free(struct gmem *memory)
{
	for (unsigned i = 0; i < memory->row_cnt; i++)
		free(memory->rows[i].hva);
	free(memory);
}

uint8_t *driver_hva(const struct gmem *memory, uint64_t gpa)
{
	for (unsigned i = 0; i < memory->row_cnt; i++) {
		const struct gmem_row *row = &memory->rows[i];

		if (gpa >= row->gpa && gpa - row->gpa < row->size_bytes)
			return row->hva + (gpa - row->gpa);
	}
	assert(!"gpa of a test is in no region");
	return NULL;
}

/* From LOW's start: descriptors, driver area, device area, and tables. */
#define DRIVER_AT (LOW_GPA + 32768 * 16)
#define DEVICE_AT (DRIVER_AT + 4 + 32768 * 2 + 2 + 58)
#define TABLE_AT (DEVICE_AT + 4 + 32768 * 8 + 2 + 58)
#define TABLE_DESC_CNT 16u
#define TABLE_CNT 8192u

void driver_init(struct driver *d, struct gmem *memory, const struct driver_opts *opts)
{
	memset(d, 0, sizeof(*d));
	d->opts = *opts;
	d->memory = memory;
	d->desc_gpa = LOW_GPA;
	d->driver_gpa = DRIVER_AT;
	d->device_gpa = DEVICE_AT;
	d->table_gpa = TABLE_AT;
	d->desc = driver_hva(memory, d->desc_gpa);
	d->driver_area = driver_hva(memory, d->driver_gpa);
	d->device_area = driver_hva(memory, d->device_gpa);
	memset(d->desc, 0, TABLE_AT - LOW_GPA);
	d->free_cnt = opts->size;
	d->next_free = calloc(opts->size, sizeof(*d->next_free));
	d->desc_cnt = calloc(opts->size, sizeof(*d->desc_cnt));
	assert(d->next_free && d->desc_cnt);
	for (uint32_t i = 0; i < opts->size; i++)
		d->next_free[i] = (uint16_t)((i + 1) % opts->size);
	if (opts->packed) {
		d->avail_idx = opts->start_idx & 0x7fff;
		d->used_idx = d->avail_idx;
		d->avail_wrap = opts->start_idx >> 15;
		d->used_wrap = d->avail_wrap;
		/* What earlier laps left: below used in this lap, above in the last one. */
		for (uint32_t i = 0; i < opts->size; i++) {
			const bool wrap = i < d->avail_idx ? d->avail_wrap : !d->avail_wrap;

			put16(d->desc + i * 16 + 14, wrap ? F_AVAIL | F_USED : 0);
		}
	} else {
		d->avail_idx = opts->start_idx;
		d->used_idx = opts->start_idx;
		put16(d->driver_area + 2, d->avail_idx);
		put16(d->device_area + 2, d->used_idx);
	}
}

void driver_fini(struct driver *d)
{
	free(d->next_free);
	free(d->desc_cnt);
}

struct virtqueue_config driver_config(const struct driver *d)
{
	struct virtqueue_config config = {
		.size = d->opts.size,
		.packed = d->opts.packed,
		.event_idx = d->opts.event_idx,
		.indirect = d->opts.indirect,
		.in_order = d->opts.in_order,
		.base = d->opts.start_idx,
		.base_is_exact = true,
		.where = {d->desc_gpa + UVA_BASE, d->driver_gpa + UVA_BASE,
			  d->device_gpa + UVA_BASE},
		.memory = d->memory,
		.slot_bytes = sizeof(struct vq_slot),
		.call_fd = -1,
		.err_fd = -1,
		.tag = "test queue",
	};

	if (d->opts.packed)
		config.base = d->opts.start_idx | (uint32_t)d->opts.start_idx << 16;
	return config;
}

void driver_desc(struct driver *d, uint32_t idx, uint64_t gpa, uint32_t len, uint16_t flags,
		 uint16_t next_or_id)
{
	uint8_t *p = d->desc + idx * 16;

	put64(p, gpa);
	put32(p + 8, len);
	put16(p + (d->opts.packed ? 12 : 14), next_or_id);
	put16(p + (d->opts.packed ? 14 : 12), flags);
}

void driver_table_desc(struct driver *d, uint64_t table_gpa, uint32_t idx, uint64_t gpa,
		       uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t image[16];

	put64(image, gpa);
	put32(image + 8, len);
	put16(image + (d->opts.packed ? 12 : 14), next);
	put16(image + (d->opts.packed ? 14 : 12), flags);
	/* Byte by byte: the table may cross regions. */
	for (unsigned i = 0; i < sizeof(image); i++)
		*driver_hva(d->memory, table_gpa + idx * 16 + i) = image[i];
}

uint16_t driver_packed_flags(const struct driver *d, uint16_t flags)
{
	return (uint16_t)(flags | (d->avail_wrap ? F_AVAIL : F_USED));
}

void driver_raw_head(struct driver *d, uint16_t head)
{
	put16(d->driver_area + 4 + d->avail_idx % d->opts.size * 2, head);
	d->avail_idx++;
	put16(d->driver_area + 2, d->avail_idx);
}

static uint16_t take_free(struct driver *d)
{
	const uint16_t id = d->free_head;

	d->free_head = d->next_free[id];
	return id;
}

/* The flags of a packed head that is the first since the last publish are held back. */
static void packed_put(struct driver *d, bool head, uint64_t gpa, uint32_t len, uint16_t flags,
		       uint16_t id)
{
	const uint16_t idx = d->avail_idx;

	flags = driver_packed_flags(d, flags);
	if (head && !d->staged) {
		d->staged = true;
		d->staged_idx = idx;
		d->staged_flags = flags;
		driver_desc(d, idx, gpa, len, get16(d->desc + idx * 16 + 14), id);
	} else {
		driver_desc(d, idx, gpa, len, flags, id);
	}
	if (++d->avail_idx == d->opts.size) {
		d->avail_idx = 0;
		d->avail_wrap = !d->avail_wrap;
	}
}

static uint64_t table_write(struct driver *d, const struct seg *segs, unsigned cnt, uint16_t id)
{
	/* In rings of more than TABLE_CNT, tests keep fewer than that in flight. */
	const uint64_t gpa = d->table_gpa + (uint64_t)(id % TABLE_CNT) * TABLE_DESC_CNT * 16;

	assert(cnt <= TABLE_DESC_CNT);
	for (unsigned i = 0; i < cnt; i++) {
		const bool last = i + 1 == cnt;

		driver_table_desc(d, gpa, i, segs[i].gpa, segs[i].len,
				  (segs[i].writable ? F_WRITE : 0) |
					  (last || d->opts.packed ? 0 : F_NEXT),
				  last || d->opts.packed ? 0 : (uint16_t)(i + 1));
	}
	return gpa;
}

static void packed_add(struct driver *d, const struct seg *segs, unsigned cnt, uint16_t id,
		       uint64_t table)
{
	if (table) {
		packed_put(d, true, table, cnt * 16, F_INDIRECT, id);
		return;
	}
	for (unsigned i = 0; i < cnt; i++)
		packed_put(d, i == 0, segs[i].gpa, segs[i].len,
			   (segs[i].writable ? F_WRITE : 0) | (i + 1 < cnt ? F_NEXT : 0),
			   i + 1 < cnt ? (uint16_t)~id : id);
}

static void split_add(struct driver *d, const struct seg *segs, unsigned cnt, uint16_t head,
		      uint64_t table)
{
	uint16_t idx = head;

	put16(d->driver_area + 4 + d->avail_idx % d->opts.size * 2, head);
	d->avail_idx++;
	if (table) {
		driver_desc(d, head, table, cnt * 16, F_INDIRECT, 0xfff0);
		return;
	}
	for (unsigned i = 0; i < cnt; i++) {
		const bool last = i + 1 == cnt;
		const uint16_t next = last ? 0xfff0 : take_free(d);

		driver_desc(d, idx, segs[i].gpa, segs[i].len,
			    (segs[i].writable ? F_WRITE : 0) | (last ? 0 : F_NEXT), next);
		idx = next;
	}
}

int driver_add(struct driver *d, const struct seg *segs, unsigned cnt)
{
	const bool table = d->opts.indirect && cnt > 1;
	const unsigned need = table ? 1 : cnt;
	uint64_t table_gpa = 0;
	uint16_t id;

	if (need > d->free_cnt)
		return -1;
	d->free_cnt -= need;
	id = take_free(d);
	d->desc_cnt[id] = (uint16_t)need;
	if (table)
		table_gpa = table_write(d, segs, cnt, id);
	if (d->opts.packed)
		packed_add(d, segs, cnt, id, table_gpa);
	else
		split_add(d, segs, cnt, id, table_gpa);
	return id;
}

void driver_publish(struct driver *d)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!d->opts.packed) {
		put16(d->driver_area + 2, d->avail_idx);
	} else if (d->staged) {
		put16(d->desc + d->staged_idx * 16 + 14, d->staged_flags);
		d->staged = false;
	}
}

static void give_free(struct driver *d, uint16_t id)
{
	d->next_free[id] = d->free_head;
	d->free_head = id;
}

static bool split_get_used(struct driver *d, uint16_t *id, uint32_t *len)
{
	const uint8_t *elem = d->device_area + 4 + d->used_idx % d->opts.size * 8;

	if (get16(d->device_area + 2) == d->used_idx)
		return false;
	*id = (uint16_t)get32(elem);
	*len = get32(elem + 4);
	assert(get32(elem) < d->opts.size);
	assert(d->desc_cnt[*id] > 0);
	d->used_idx++;
	/* The chain's descriptors go back in the order in which they are linked. */
	for (uint16_t idx = *id, left = d->desc_cnt[*id]; left > 0; left--) {
		const uint16_t next = get16(d->desc + idx * 16 + 14);

		give_free(d, idx);
		idx = next;
	}
	return true;
}

static bool packed_get_used(struct driver *d, uint16_t *id, uint32_t *len)
{
	const uint8_t *desc = d->desc + d->used_idx * 16;
	const uint16_t flags = get16(desc + 14);
	uint32_t idx;

	if (!!(flags & F_AVAIL) != d->used_wrap || !!(flags & F_USED) != d->used_wrap)
		return false;
	*id = get16(desc + 12);
	*len = get32(desc + 8);
	assert(*id < d->opts.size);
	assert(d->desc_cnt[*id] > 0);
	assert(!!(flags & F_WRITE) == (*len != 0));
	idx = d->used_idx + d->desc_cnt[*id];
	if (idx >= d->opts.size) {
		idx -= d->opts.size;
		d->used_wrap = !d->used_wrap;
	}
	d->used_idx = (uint16_t)idx;
	give_free(d, *id);
	return true;
}

bool driver_get_used(struct driver *d, uint16_t *id, uint32_t *len)
{
	const bool got = d->opts.packed ? packed_get_used(d, id, len) : split_get_used(d, id, len);

	if (!got)
		return false;
	d->free_cnt += d->desc_cnt[*id];
	d->desc_cnt[*id] = 0;
	return true;
}

void driver_want_never(struct driver *d)
{
	if (d->opts.packed)
		put16(d->driver_area + 2, 1);
	else if (!d->opts.event_idx)
		put16(d->driver_area, 1);
	else /* far behind; there is no off switch */
		put16(d->driver_area + 4 + d->opts.size * 2, (uint16_t)(d->used_idx - 1));
}

void driver_want_always(struct driver *d)
{
	if (d->opts.packed)
		put16(d->driver_area + 2, 0);
	else if (!d->opts.event_idx)
		put16(d->driver_area, 0);
	else
		put16(d->driver_area + 4 + d->opts.size * 2, d->used_idx);
}

void driver_want_at(struct driver *d, uint16_t at_off_wrap)
{
	assert(d->opts.event_idx);
	if (d->opts.packed) {
		put16(d->driver_area, at_off_wrap);
		put16(d->driver_area + 2, 2);
	} else {
		put16(d->driver_area + 4 + d->opts.size * 2, at_off_wrap);
	}
}

bool driver_would_kick(const struct driver *d, uint16_t old_idx, bool old_wrap)
{
	const unsigned flags = get16(d->device_area + (d->opts.packed ? 2 : 0));
	uint16_t at, off_wrap;

	if (!d->opts.packed) {
		if (!d->opts.event_idx)
			return !(flags & 1);
		at = get16(d->device_area + 4 + d->opts.size * 8);
		for (uint16_t i = old_idx; i != d->avail_idx; i++) {
			if (i == at)
				return true;
		}
		return false;
	}
	if (flags != 2)
		return flags == 0;
	off_wrap = get16(d->device_area);
	while (old_idx != d->avail_idx || old_wrap != d->avail_wrap) {
		if (off_wrap == (uint16_t)(old_idx | old_wrap << 15))
			return true;
		if (++old_idx == d->opts.size) {
			old_idx = 0;
			old_wrap = !old_wrap;
		}
	}
	return false;
}
