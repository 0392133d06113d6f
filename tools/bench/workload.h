/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next request of every kind of load but verify; inline, because it is in the hot loop.
 * It fills what the engine knows of a request and sends nothing.
 */
#ifndef PARIO_BENCH_WORKLOAD_H
#define PARIO_BENCH_WORKLOAD_H

#include "engine.h"

/* Length in sectors: fixed, or by the distribution that --help describes for ranges. */
static inline uint32_t workload_pick_sectors(const struct engine *e, struct random *rng)
{
	uint32_t align = e->session->align_sectors, low, high;
	unsigned int octave;

	if (e->sectors_min == e->sectors_max)
		return e->sectors_min;
	/* Each octave half as likely as the one below it: equal bytes in all of them. */
	octave = (unsigned int)__builtin_ctzll(random_next(rng) | UINT64_C(1) << 24);
	while (octave > 0 && (uint64_t)e->sectors_min << octave > e->sectors_max)
		octave--;
	low = e->sectors_min << octave;
	high = 2 * low - align < e->sectors_max ? 2 * low - align : e->sectors_max;
	return low + (uint32_t)random_below(rng, (high - low) / align + 1) * align;
}

/* Fills the slot's op and *type; *bytes is the length of data that goes with it. */
static inline void workload_next(struct worker *w, struct lane *l, uint16_t slot, uint32_t *type,
				 uint32_t *bytes)
{
	const struct engine *e = w->engine;
	struct op *op = &l->op[slot];
	uint32_t cnt = workload_pick_sectors(e, &w->rng);
	bool read = e->read_percent == 100 ||
		    (e->read_percent && random_below(&w->rng, 100) < e->read_percent);

	if (e->sequential) {
		if (l->next_sector + cnt > l->end_sector)
			l->next_sector = l->first_sector;
		op->sector = l->next_sector;
		l->next_sector += cnt;
	} else {
		/* Offsets are multiples of the smallest size, as fio's are. */
		uint64_t positions = e->positions;

		if (!positions)
			positions = (e->session->sector_cnt - cnt) / e->sectors_min + 1;
		op->sector = e->session->first_sector +
			     random_below(&w->rng, positions) * e->sectors_min;
	}
	op->bytes = cnt * BLK_SECTOR_BYTES;
	*bytes = op->bytes;
	if (__builtin_expect(e->discards, 0)) {
		struct virtio_blk_discard_write_zeroes *seg = (void *)l->bq->slot[slot].data;

		*seg = (struct virtio_blk_discard_write_zeroes){.sector = op->sector,
								.num_sectors = cnt};
		op->kind = OP_DISCARD;
		*type = VIRTIO_BLK_T_DISCARD;
		*bytes = sizeof(*seg);
		return;
	}
	op->kind = read ? OP_READ : OP_WRITE;
	*type = read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
}

#endif
