/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as a device sees it: an immutable snapshot of regions, and address lookup.
 * Not the mapping of regions (gmap.h).
 *
 * Theory of operation
 *
 * 1. A snapshot is built on the control thread, then read by any number of workers without locks:
 *    it never changes. A change of memory is a new snapshot that shares the regions that stayed.
 * 2. References are counted on the control thread alone. A worker borrows a snapshot between the
 *    message that gives it and the message that takes it back; the reply to the latter says that
 *    no request that was parsed under it is left.
 * 3. Regions are sorted by gpa and do not overlap, neither in gpa nor in uva: gmem_new() refuses
 *    what would make a lookup ambiguous.
 * 4. Descriptors carry gpa; ring addresses in SET_VRING_ADDR carry uva. Two lookups, both bounded
 *    by the region's end; a range may go on in the next region where that is adjacent, and then
 *    comes back in pieces.
 */
#ifndef PARIO_GUEST_GMEM_H
#define PARIO_GUEST_GMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "guest/gmap.h"

/* What GET_MAX_MEM_SLOTS answers. */
#define GMEM_SLOTS_MAX 509

/* Lookup row: what the hot path needs, 32 bytes, two in a cache line. */
struct gmem_row {
	uint64_t gpa;
	uint64_t size_bytes;
	uint8_t *hva;
	uint64_t uva;
};

struct gmem {
	unsigned refs; /* control thread only */
	unsigned row_cnt;
	struct gmap_region **regions; /* same order as rows; one reference each */
	struct gmem_row rows[];       /* sorted by gpa */
};

/*
 * Takes its own references on the regions. cnt may be 0. -EINVAL with text for overlaps in gpa or
 * uva, -E2BIG for more than GMEM_SLOTS_MAX, -ENOMEM.
 */
int gmem_new(struct gmap_region *const *regions, unsigned cnt, struct gmem **out, struct err *err);
struct gmem *gmem_get(struct gmem *gmem);
void gmem_put(struct gmem *gmem);

/*
 * Host address of gpa, and in *avail_bytes how many bytes from there on lie in the same region.
 * NULL when gpa is in no region. *hint is the row of the last hit (any value is safe).
 */
static ALWAYS_INLINE uint8_t *gmem_lookup(const struct gmem *gmem, uint64_t gpa, unsigned *hint,
					  uint64_t *avail_bytes);

/* The same for front-end addresses, for the whole range, which must lie in one region. */
uint8_t *gmem_lookup_uva(const struct gmem *gmem, uint64_t uva, uint64_t len_bytes);

/* Binary search; the slow half of gmem_lookup(). Row index or -1. */
int gmem_search(const struct gmem *gmem, uint64_t gpa);

static ALWAYS_INLINE uint8_t *gmem_lookup(const struct gmem *gmem, uint64_t gpa, unsigned *hint,
					  uint64_t *avail_bytes)
{
	unsigned idx = *hint;
	const struct gmem_row *row;
	uint64_t delta;

	if (likely(idx < gmem->row_cnt)) {
		row = &gmem->rows[idx];
		delta = gpa - row->gpa; /* wraps when below, and then is too large */
		if (likely(delta < row->size_bytes)) {
			*avail_bytes = row->size_bytes - delta;
			return row->hva + delta;
		}
	}
	int found = gmem_search(gmem, gpa);

	if (found < 0)
		return NULL;
	*hint = (unsigned)found;
	row = &gmem->rows[found];
	delta = gpa - row->gpa;
	*avail_bytes = row->size_bytes - delta;
	return row->hva + delta;
}

#endif
