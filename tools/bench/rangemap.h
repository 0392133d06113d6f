/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What verify mode knows of each sector: is it part of an I/O in flight, and what must it hold.
 * It does no I/O and knows nothing of queues.
 *
 * Threads share it. rangemap_lock() takes whole ranges or nothing; only who holds a sector's lock
 * touches its generation. Locking is an atomic OR on the words of a bitmap, so that nobody waits:
 * who does not get a range picks another.
 */
#ifndef PARIO_BENCH_RANGEMAP_H
#define PARIO_BENCH_RANGEMAP_H

#include <stdbool.h>
#include <stdint.h>

#define RANGEMAP_GENERATION_MASK 0x1fffffffu
#define RANGEMAP_SEEN 0x20000000u

/*
 * In the two highest bits of a sector's word. The bit below them says that a read has seen what the
 * sector holds now; the rest is its generation, which is kept in every state.
 */
enum rangemap_state {
	RANGEMAP_UNKNOWN = 0, /* never written by us, or discarded */
	RANGEMAP_WRITTEN = 1,
	RANGEMAP_ZERO = 2,
};

struct rangemap {
	uint64_t sector_cnt;
	uint64_t *busy;  /* a bit a sector */
	uint32_t *known; /* a word a sector */
};

/* 0 or -ENOMEM. Sectors are numbered from 0. */
int rangemap_init(struct rangemap *m, uint64_t sector_cnt);
void rangemap_fini(struct rangemap *m);

bool rangemap_lock(struct rangemap *m, uint64_t first, uint32_t cnt);
void rangemap_unlock(struct rangemap *m, uint64_t first, uint32_t cnt);

static inline enum rangemap_state rangemap_state(const struct rangemap *m, uint64_t sector)
{
	return m->known[sector] >> 30;
}

static inline uint32_t rangemap_generation(const struct rangemap *m, uint64_t sector)
{
	return m->known[sector] & RANGEMAP_GENERATION_MASK;
}

/* A new state, that no read has seen. */
static inline void rangemap_set(struct rangemap *m, uint64_t sector, enum rangemap_state state,
				uint32_t generation)
{
	m->known[sector] = (uint32_t)state << 30 | (generation & RANGEMAP_GENERATION_MASK);
}

static inline void rangemap_set_seen(struct rangemap *m, uint64_t sector)
{
	m->known[sector] |= RANGEMAP_SEEN;
}

/* Sectors of the range whose contents are known, and of these, those that no read has seen. */
void rangemap_count(const struct rangemap *m, uint64_t first, uint32_t cnt, uint32_t *known,
		    uint32_t *unseen);

#endif
