/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock bitmap and generation table of verify mode.
 */
#include "rangemap.h"

#include <errno.h>
#include <stdlib.h>

int rangemap_init(struct rangemap *m, uint64_t sector_cnt)
{
	m->sector_cnt = sector_cnt;
	m->busy = calloc(sector_cnt / 64 + 1, sizeof(*m->busy));
	m->known = calloc(sector_cnt, sizeof(*m->known));
	if (m->busy && m->known)
		return 0;
	rangemap_fini(m);
	return -ENOMEM;
}

void rangemap_fini(struct rangemap *m)
{
	free(m->busy);
	free(m->known);
	m->busy = NULL;
	m->known = NULL;
}

/* Bits of the word that holds sector `first` which belong to [first, end). */
static uint64_t word_mask(uint64_t first, uint64_t end)
{
	uint64_t mask = UINT64_MAX << (first % 64);

	if (end / 64 == first / 64)
		mask &= (UINT64_C(1) << (end % 64)) - 1;
	return mask;
}

void rangemap_unlock(struct rangemap *m, uint64_t first, uint32_t cnt)
{
	uint64_t end = first + cnt;

	while (first < end) {
		__atomic_fetch_and(&m->busy[first / 64], ~word_mask(first, end), __ATOMIC_RELEASE);
		first = (first / 64 + 1) * 64;
	}
}

bool rangemap_lock(struct rangemap *m, uint64_t first, uint32_t cnt)
{
	uint64_t at = first, end = first + cnt;

	while (at < end) {
		uint64_t mask = word_mask(at, end);
		uint64_t old = __atomic_fetch_or(&m->busy[at / 64], mask, __ATOMIC_ACQUIRE);

		if (old & mask) {
			/* Give back the bits that were free, and the words before. */
			__atomic_fetch_and(&m->busy[at / 64], ~(mask & ~old), __ATOMIC_RELEASE);
			if (at > first)
				rangemap_unlock(m, first, (uint32_t)(at - first));
			return false;
		}
		at = (at / 64 + 1) * 64;
	}
	return true;
}

void rangemap_count(const struct rangemap *m, uint64_t first, uint32_t cnt, uint32_t *known,
		    uint32_t *unseen)
{
	*known = 0;
	*unseen = 0;
	for (uint32_t i = 0; i < cnt; i++) {
		bool is_known = rangemap_state(m, first + i) != RANGEMAP_UNKNOWN;

		*known += is_known;
		*unseen += is_known && !(m->known[first + i] & RANGEMAP_SEEN);
	}
}
