/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver's ring and model device on the same memory; not a test by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "ring_rig.h"

uint32_t pair_random(struct pair *p, uint32_t below)
{
	p->rng = p->rng * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)p->rng * below) >> 32);
}

static uint8_t *map(void *ctx, uint64_t gpa, uint64_t bytes)
{
	const struct shm *shm = ctx;

	for (unsigned int i = 0; i < shm->region_cnt; i++) {
		const struct shm_region *r = &shm->region[i];

		/* Regions are back to back here, so only the start is looked up. */
		if (gpa >= r->gpa && gpa < r->gpa + r->bytes)
			return gpa + bytes <= shm->region[0].gpa + shm->bytes
				       ? r->hva + (gpa - r->gpa)
				       : NULL;
	}
	return NULL;
}

struct pair *pair_new(enum ring_format format, uint16_t size, bool event_idx, bool in_order,
		      enum framing framing, uint32_t base)
{
	struct ring_opts opts = {.format = format,
				 .size = size,
				 .event_idx = event_idx,
				 .in_order = in_order,
				 .tables_only = framing == TABLES_ONLY};
	struct shm_opts mem = {.bytes = 4u << 20, .region_cnt = 3};
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->rng = size * 7u + format;
	p->framing = framing;
	mem.bytes += ring_shm_bytes(&opts) + (uint64_t)size * 128;
	assert_int_equal(shm_new(&p->shm, &mem), 0);
	assert_int_equal(ring_new(&p->ring, p->shm, &opts), 0);
	ring_reset(p->ring, base);
	for (uint16_t i = 0; i < size; i++) {
		p->table[i] = shm_alloc(p->shm, 128, 128, &p->table_gpa[i]);
		assert_non_null(p->table[i]);
	}
	p->dev = (struct fake_ring){.packed = format == RING_PACKED,
				    .event_idx = event_idx,
				    .in_order = in_order,
				    .size = size,
				    .desc = p->ring->desc,
				    .driver_area = p->ring->driver_area,
				    .device_area = p->ring->device_area,
				    .map = map,
				    .map_ctx = p->shm};
	fake_ring_start(&p->dev, base);
	return p;
}

void pair_free(struct pair *p)
{
	ring_free(p->ring);
	shm_free(p->shm);
	free(p);
}

int pair_add_random(struct pair *p, uint16_t token)
{
	unsigned int max = p->ring->size < SEG_MAX ? p->ring->size : SEG_MAX;
	unsigned int total = 1 + pair_random(p, max), out = pair_random(p, total + 1);
	bool table = p->framing == TABLES || p->framing == TABLES_ONLY ||
		     (p->framing == MIXED && pair_random(p, 2));
	int rc;

	for (unsigned int i = 0; i < total; i++)
		p->seg[token][i] = (struct ring_seg){
			p->shm->region[0].gpa + pair_random(p, (uint32_t)p->shm->bytes - 5000),
			1 + pair_random(p, 5000)};
	p->out_cnt[token] = out;
	p->in_cnt[token] = total - out;
	if (table) {
		ring_table_write(p->ring->opts.format, p->table[token], p->seg[token], out,
				 total - out);
		rc = ring_add_table(p->ring, p->table_gpa[token], total, token);
	} else {
		rc = ring_add(p->ring, p->seg[token], out, total - out, token);
	}
	if (rc == 0)
		p->busy[token] = true;
	return rc;
}

void pair_check_chain(struct pair *p, const struct fake_chain *c, uint16_t token)
{
	unsigned int total = p->out_cnt[token] + p->in_cnt[token];

	assert_true(p->busy[token]);
	assert_int_equal(c->seg_cnt, total);
	for (unsigned int i = 0; i < total; i++) {
		assert_int_equal(c->seg[i].gpa, p->seg[token][i].gpa);
		assert_int_equal(c->seg[i].bytes, p->seg[token][i].bytes);
		assert_int_equal(c->seg[i].writable, i >= p->out_cnt[token]);
	}
	assert_int_equal(c->desc_cnt, c->indirect ? 1 : total);
}

void pair_add_one(struct pair *p, uint16_t token)
{
	struct ring_seg seg = {p->shm->region[0].gpa, 16};

	assert_int_equal(ring_add(p->ring, &seg, 1, 0, token), 0);
}

void pair_device_takes(struct pair *p, unsigned int cnt, bool use)
{
	static struct fake_chain c;

	while (cnt--) {
		assert_int_equal(fake_ring_pop(&p->dev, &c), 1);
		if (use)
			fake_ring_push(&p->dev, c.id, c.desc_cnt, 0, true);
	}
}

void pair_driver_takes(struct pair *p, int cnt)
{
	struct ring_used used[64];

	assert_int_equal(ring_get_used(p->ring, used, 64), cnt);
}
