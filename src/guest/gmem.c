/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots of guest memory: building, references, and the slow half of lookup.
 * Not the mapping of regions (gmap.c).
 */
#include "guest/gmem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/overflow.h"

static int gmem_compare_gpa(const void *a, const void *b)
{
	const struct gmap_region *ra = *(struct gmap_region *const *)a;
	const struct gmap_region *rb = *(struct gmap_region *const *)b;

	return (ra->desc.gpa > rb->desc.gpa) - (ra->desc.gpa < rb->desc.gpa);
}

static bool gmem_overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
	/* Neither wraps: gmap_region_new() has checked. */
	return a < b + b_bytes && b < a + a_bytes;
}

static int gmem_check_overlap(struct gmap_region *const *sorted, unsigned cnt, struct err *err)
{
	for (unsigned i = 1; i < cnt; i++) {
		const struct gmap_desc *low = &sorted[i - 1]->desc;
		const struct gmap_desc *high = &sorted[i]->desc;

		if (gmem_overlap(low->gpa, low->size_bytes, high->gpa, high->size_bytes))
			return err_set(err, EINVAL,
				       "regions at gpa 0x%" PRIx64 " and 0x%" PRIx64 " overlap",
				       low->gpa, high->gpa);
	}
	for (unsigned i = 0; i < cnt; i++) {
		for (unsigned j = i + 1; j < cnt; j++) {
			const struct gmap_desc *a = &sorted[i]->desc;
			const struct gmap_desc *b = &sorted[j]->desc;

			if (gmem_overlap(a->uva, a->size_bytes, b->uva, b->size_bytes))
				return err_set(err, EINVAL,
					       "regions at uva 0x%" PRIx64 " and 0x%" PRIx64
					       " overlap",
					       a->uva, b->uva);
		}
	}
	return 0;
}

static void gmem_free(struct gmem *gmem)
{
	free(gmem->regions);
	free(gmem);
}

int gmem_new(struct gmap_region *const *regions, unsigned cnt, struct gmem **out, struct err *err)
{
	struct gmem *gmem;
	int ret;

	if (cnt > GMEM_SLOTS_MAX)
		return err_set(err, E2BIG, "%u memory regions, at most %u are allowed", cnt,
			       GMEM_SLOTS_MAX);
	gmem = calloc(1, sizeof(*gmem) + cnt * sizeof(gmem->rows[0]));
	if (!gmem)
		return err_set(err, ENOMEM, "out of memory");
	gmem->regions = calloc(cnt ? cnt : 1, sizeof(gmem->regions[0]));
	if (!gmem->regions) {
		gmem_free(gmem);
		return err_set(err, ENOMEM, "out of memory");
	}
	for (unsigned i = 0; i < cnt; i++)
		gmem->regions[i] = regions[i];
	qsort(gmem->regions, cnt, sizeof(gmem->regions[0]), gmem_compare_gpa);
	ret = gmem_check_overlap(gmem->regions, cnt, err);
	if (ret) {
		gmem_free(gmem);
		return ret;
	}
	for (unsigned i = 0; i < cnt; i++) {
		const struct gmap_region *region = gmap_region_get(gmem->regions[i]);

		gmem->rows[i] = (struct gmem_row){
			.gpa = region->desc.gpa,
			.size_bytes = region->desc.size_bytes,
			.hva = region->hva,
			.uva = region->desc.uva,
		};
	}
	gmem->row_cnt = cnt;
	gmem->refs = 1;
	*out = gmem;
	return 0;
}

struct gmem *gmem_get(struct gmem *gmem)
{
	gmem->refs++;
	return gmem;
}

void gmem_put(struct gmem *gmem)
{
	if (!gmem)
		return;
	CHECK(gmem->refs > 0);
	if (--gmem->refs > 0)
		return;
	for (unsigned i = 0; i < gmem->row_cnt; i++)
		gmap_region_put(gmem->regions[i]);
	gmem_free(gmem);
}

int gmem_search(const struct gmem *gmem, uint64_t gpa)
{
	unsigned low = 0;
	unsigned high = gmem->row_cnt;

	/* Invariant: rows below low start at or below gpa, rows from high on start above it. */
	while (low < high) {
		unsigned mid = low + (high - low) / 2;

		if (gmem->rows[mid].gpa <= gpa)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return -1;
	low--;
	return gpa - gmem->rows[low].gpa < gmem->rows[low].size_bytes ? (int)low : -1;
}

uint8_t *gmem_lookup_uva(const struct gmem *gmem, uint64_t uva, uint64_t len_bytes)
{
	for (unsigned i = 0; i < gmem->row_cnt; i++) {
		const struct gmem_row *row = &gmem->rows[i];

		if (uva >= row->uva && range_within(uva - row->uva, len_bytes, row->size_bytes))
			return row->hva + (uva - row->uva);
	}
	return NULL;
}
