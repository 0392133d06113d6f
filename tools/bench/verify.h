/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verify mode: writes that can be told apart, and reads that are compared sector by sector.
 * It chooses and judges requests; sending them is engine.c's.
 *
 * Every sector in the extent has a generation that grows with each write to it. A request locks the
 * sectors it touches (rangemap.h), so that what a read must return is known: the pattern of the
 * last write, or zeroes after WRITE_ZEROES. What was never written or was discarded may hold
 * anything and is not compared. What was written is mostly read before it is written again,
 * whatever --rwmixread says, and at the end all that is known is read back once more.
 */
#ifndef PARIO_BENCH_VERIFY_H
#define PARIO_BENCH_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "rangemap.h"

#define VERIFY_RANGE_MAX 4

struct verify_range {
	uint64_t first; /* sector within the extent */
	uint32_t cnt;
};

struct verify_op {
	unsigned int range_cnt;
	struct verify_range range[VERIFY_RANGE_MAX];
};

struct verify {
	struct rangemap map;
	struct verify_op *op; /* by lane and slot */
	uint32_t chunk_sectors;
	uint64_t chunk_cnt;
	atomic_uint_fast64_t next_chunk;
	atomic_uint_fast64_t sectors_checked;
	atomic_uint_fast64_t bad_length_cnt; /* used lengths that were not what was written */
};

int verify_new(struct verify **out, struct engine *e);
void verify_free(struct verify *v);

/*
 * Fills slot with a request: op, data and *type. False when all that was tried is in flight, or, in
 * FINAL, when nothing is left. *bytes is the length of data.
 */
bool verify_next(struct worker *w, struct lane *l, uint16_t slot, uint32_t *type, uint32_t *bytes);

/* Judges a completed request whose status is OK and unlocks it. False: engine_fail() was called. */
bool verify_done(struct worker *w, struct lane *l, const struct ring_used *used);

/* In FINAL: has this lane nothing more to start? */
bool verify_exhausted(const struct lane *l, const struct verify *v);

#endif
