/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verify mode: choice of requests, expected contents, comparison.
 */
#include "verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pattern.h"
#include "workload.h"

#define TRY_CNT 8
#define CHUNK_BYTES 131072u
#define OVERWRITE_ONE_IN 8
#define CHUNK_NONE UINT64_MAX

/* In a thousand requests, where the device offers them. */
#define FLUSH_PERMILLE 4
#define DISCARD_PERMILLE 8
#define ZEROES_PERMILLE 12

int verify_new(struct verify **out, struct engine *e)
{
	const struct session *s = e->session;
	struct verify *v = calloc(1, sizeof(*v));
	uint32_t data_sectors = s->blk_opts.data_bytes / BLK_SECTOR_BYTES;

	if (!v)
		return -ENOMEM;
	v->op = calloc((size_t)s->queue_cnt * s->opts->iodepth, sizeof(*v->op));
	if (!v->op || rangemap_init(&v->map, s->sector_cnt) < 0) {
		verify_free(v);
		return -ENOMEM;
	}
	v->chunk_sectors = CHUNK_BYTES / BLK_SECTOR_BYTES;
	if (v->chunk_sectors > data_sectors)
		v->chunk_sectors = data_sectors;
	v->chunk_sectors -= v->chunk_sectors % s->align_sectors;
	v->chunk_cnt = (s->sector_cnt + v->chunk_sectors - 1) / v->chunk_sectors;
	*out = v;
	return 0;
}

void verify_free(struct verify *v)
{
	if (!v)
		return;
	rangemap_fini(&v->map);
	free(v->op);
	free(v);
}

static bool lock_random(struct worker *w, struct verify *v, uint32_t cnt, uint32_t align,
			struct verify_range *r)
{
	uint64_t positions = (v->map.sector_cnt - cnt) / align + 1;

	for (unsigned int i = 0; i < TRY_CNT; i++) {
		r->first = random_below(&w->rng, positions) * align;
		r->cnt = cnt;
		if (rangemap_lock(&v->map, r->first, cnt))
			return true;
	}
	return false;
}

static void fill_write(const struct worker *w, struct verify *v, struct lane *l, uint16_t slot)
{
	const struct verify_range *r = &l->verify_op[slot].range[0];
	uint64_t *word = (uint64_t *)(void *)l->bq->slot[slot].data;
	uint64_t first_sector = w->engine->session->first_sector;

	for (uint32_t i = 0; i < r->cnt; i++) {
		uint64_t at = r->first + i;
		uint32_t generation = (rangemap_generation(&v->map, at) + 1) &
				      RANGEMAP_GENERATION_MASK;

		/* Nobody looks before the range is unlocked, so the table may run ahead. */
		rangemap_set(&v->map, at, RANGEMAP_WRITTEN, generation);
		pattern_fill(word + (size_t)i * PATTERN_WORD_CNT, w->engine->opts->seed,
			     first_sector + at, generation);
	}
}

/* So that a read which moved no data is not taken for one that did. */
static void poison_read(struct lane *l, uint16_t slot, uint32_t cnt)
{
	uint64_t *word = (uint64_t *)(void *)l->bq->slot[slot].data;

	for (uint32_t i = 0; i < cnt; i++, word += PATTERN_WORD_CNT) {
		word[0] = ~word[0] | 1;
		word[PATTERN_WORD_CNT - 1] = UINT64_MAX;
	}
}

static bool next_read_write(struct worker *w, struct verify *v, struct lane *l, uint16_t slot,
			    uint32_t *type, uint32_t *bytes)
{
	const struct engine *e = w->engine;
	struct verify_op *vop = &l->verify_op[slot];
	uint32_t cnt = workload_pick_sectors(e, &w->rng), known, unseen;
	bool read = random_below(&w->rng, 100) < e->opts->rwmixread;

	if (!lock_random(w, v, cnt, e->session->align_sectors, &vop->range[0]))
		return false;
	vop->range_cnt = 1;
	rangemap_count(&v->map, vop->range[0].first, cnt, &known, &unseen);
	/*
	 * What holds nothing known cannot be checked: write it instead. What was written and not
	 * yet read is mostly read before it is written again, or a lost write would go unseen.
	 */
	if (known == 0)
		read = false;
	else if (unseen > 0 && random_below(&w->rng, OVERWRITE_ONE_IN) != 0)
		read = true;
	if (read)
		poison_read(l, slot, cnt);
	else
		fill_write(w, v, l, slot);
	*type = read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
	*bytes = cnt * BLK_SECTOR_BYTES;
	l->op[slot].kind = read ? OP_READ : OP_WRITE;
	l->op[slot].sector = e->session->first_sector + vop->range[0].first;
	l->op[slot].bytes = *bytes;
	return true;
}

/* Discard or write-zeroes of up to VERIFY_RANGE_MAX segments, as many as can be locked. */
static bool next_erase(struct worker *w, struct verify *v, struct lane *l, uint16_t slot,
		       bool zeroes, uint32_t *type, uint32_t *bytes)
{
	const struct session *s = w->engine->session;
	const struct blk_config *c = &s->config;
	struct verify_op *vop = &l->verify_op[slot];
	struct virtio_blk_discard_write_zeroes *seg = (void *)l->bq->slot[slot].data;
	uint32_t seg_max = zeroes ? c->zeroes_max_seg : c->discard_max_seg;
	uint32_t sectors_max = zeroes ? c->zeroes_max_sectors : c->discard_max_sectors;
	uint32_t align = s->align_sectors, covered = 0;
	bool unmap = zeroes && random_below(&w->rng, 2);
	unsigned int wanted;

	if (!zeroes && c->discard_align_sectors > align)
		align = c->discard_align_sectors;
	if (seg_max > VERIFY_RANGE_MAX)
		seg_max = VERIFY_RANGE_MAX;
	wanted = 1 + (unsigned int)random_below(&w->rng, seg_max ? seg_max : 1);
	vop->range_cnt = 0;
	while (vop->range_cnt < wanted) {
		struct verify_range *r = &vop->range[vop->range_cnt];
		uint32_t cnt = workload_pick_sectors(w->engine, &w->rng);

		if (cnt > sectors_max)
			cnt = sectors_max;
		/* Not 0: session.c refuses a block size below 512. */
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero) */
		cnt = cnt < align ? align : cnt - cnt % align;
		if (cnt > sectors_max || cnt > v->map.sector_cnt ||
		    !lock_random(w, v, cnt, align, r))
			break;
		seg[vop->range_cnt++] = (struct virtio_blk_discard_write_zeroes){
			.sector = s->first_sector + r->first,
			.num_sectors = cnt,
			.flags = unmap ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0,
		};
		for (uint32_t i = 0; i < cnt; i++)
			rangemap_set(&v->map, r->first + i,
				     zeroes ? RANGEMAP_ZERO : RANGEMAP_UNKNOWN,
				     rangemap_generation(&v->map, r->first + i));
		covered += cnt;
	}
	if (vop->range_cnt == 0)
		return false;
	*type = zeroes ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD;
	*bytes = vop->range_cnt * (uint32_t)sizeof(*seg);
	l->op[slot].kind = zeroes ? OP_ZEROES : OP_DISCARD;
	l->op[slot].sector = seg[0].sector;
	l->op[slot].bytes = covered * BLK_SECTOR_BYTES;
	return true;
}

/* The next chunk of the last pass that has anything known in it. */
static bool next_final(struct worker *w, struct verify *v, struct lane *l, uint16_t slot,
		       uint32_t *type, uint32_t *bytes)
{
	struct verify_op *vop = &l->verify_op[slot];
	struct verify_range *r = &vop->range[0];
	uint32_t known, unseen;

	for (;;) {
		if (l->final_chunk == CHUNK_NONE)
			l->final_chunk = atomic_fetch_add(&v->next_chunk, 1);
		if (l->final_chunk >= v->chunk_cnt)
			return false;
		r->first = l->final_chunk * v->chunk_sectors;
		r->cnt = v->chunk_sectors;
		if (r->first + r->cnt > v->map.sector_cnt)
			r->cnt = (uint32_t)(v->map.sector_cnt - r->first);
		/* A lane that is not as far may still write here: try again later. */
		if (!rangemap_lock(&v->map, r->first, r->cnt))
			return false;
		l->final_chunk = CHUNK_NONE;
		rangemap_count(&v->map, r->first, r->cnt, &known, &unseen);
		if (known)
			break;
		rangemap_unlock(&v->map, r->first, r->cnt);
	}
	vop->range_cnt = 1;
	poison_read(l, slot, r->cnt);
	*type = VIRTIO_BLK_T_IN;
	*bytes = r->cnt * BLK_SECTOR_BYTES;
	l->op[slot].kind = OP_READ;
	l->op[slot].sector = w->engine->session->first_sector + r->first;
	l->op[slot].bytes = *bytes;
	return true;
}

bool verify_exhausted(const struct lane *l, const struct verify *v)
{
	return l->final_chunk != CHUNK_NONE && l->final_chunk >= v->chunk_cnt;
}

bool verify_next(struct worker *w, struct lane *l, uint16_t slot, uint32_t *type, uint32_t *bytes)
{
	struct verify *v = w->engine->verify;
	const struct front *f = w->engine->session->front;
	unsigned int dice;

	if (w->phase == PHASE_FINAL)
		return next_final(w, v, l, slot, type, bytes);
	dice = (unsigned int)random_below(&w->rng, 1000);
	if (dice < FLUSH_PERMILLE) {
		if (!front_has(f, VIRTIO_BLK_F_FLUSH))
			return next_read_write(w, v, l, slot, type, bytes);
		l->verify_op[slot].range_cnt = 0;
		l->op[slot].kind = OP_FLUSH;
		l->op[slot].sector = 0;
		l->op[slot].bytes = 0;
		*type = VIRTIO_BLK_T_FLUSH;
		*bytes = 0;
		return true;
	}
	if (dice < FLUSH_PERMILLE + DISCARD_PERMILLE && front_has(f, VIRTIO_BLK_F_DISCARD))
		return next_erase(w, v, l, slot, false, type, bytes);
	if (dice >= 1000 - ZEROES_PERMILLE && front_has(f, VIRTIO_BLK_F_WRITE_ZEROES))
		return next_erase(w, v, l, slot, true, type, bytes);
	return next_read_write(w, v, l, slot, type, bytes);
}

static bool mismatch(struct worker *w, const struct lane *l, uint64_t at, const uint64_t *word)
{
	const struct engine *e = w->engine;
	const struct rangemap *m = &e->verify->map;
	char found[128], expected[64] = "zeroes";

	if (rangemap_state(m, at) == RANGEMAP_WRITTEN)
		snprintf(expected, sizeof(expected), "generation %u", rangemap_generation(m, at));
	pattern_describe(word, e->opts->seed, found, sizeof(found));
	engine_fail(w->engine, "mismatch at offset %llu, read on queue %u: expected %s, found %s",
		    (unsigned long long)(e->session->first_sector + at) * BLK_SECTOR_BYTES,
		    l->bq->fq->idx, expected, found);
	return false;
}

static bool check_read(struct worker *w, struct lane *l, uint16_t slot)
{
	const struct engine *e = w->engine;
	struct verify *v = e->verify;
	const struct verify_range *r = &l->verify_op[slot].range[0];
	const uint64_t *word = (const uint64_t *)(const void *)l->bq->slot[slot].data;
	uint64_t checked = 0;

	for (uint32_t i = 0; i < r->cnt; i++, word += PATTERN_WORD_CNT) {
		uint64_t at = r->first + i;
		bool good;

		switch (rangemap_state(&v->map, at)) {
		case RANGEMAP_WRITTEN:
			good = pattern_matches(word, e->opts->seed, e->session->first_sector + at,
					       rangemap_generation(&v->map, at));
			break;
		case RANGEMAP_ZERO:
			good = pattern_is_zero(word);
			break;
		default:
			continue;
		}
		if (!good)
			return mismatch(w, l, at, word);
		rangemap_set_seen(&v->map, at);
		checked++;
	}
	atomic_fetch_add_explicit(&v->sectors_checked, checked, memory_order_relaxed);
	return true;
}

bool verify_done(struct worker *w, struct lane *l, const struct ring_used *used)
{
	struct verify *v = w->engine->verify;
	const struct verify_op *vop = &l->verify_op[used->token];
	const struct op *op = &l->op[used->token];
	uint32_t written = 1 + (op->kind == OP_READ ? op->bytes : 0);

	if (op->kind == OP_READ && !check_read(w, l, used->token))
		return false;
	if (used->bytes != written && used->bytes != RING_LEN_UNKNOWN)
		atomic_fetch_add_explicit(&v->bad_length_cnt, 1, memory_order_relaxed);
	for (unsigned int i = 0; i < vop->range_cnt; i++)
		rangemap_unlock(&v->map, vop->range[i].first, vop->range[i].cnt);
	return true;
}
