/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping of the memory regions that a front end shares: one refcounted object per region.
 * Not lookup (gmem.h). Control thread only.
 */
#ifndef PARIO_GUEST_GMAP_H
#define PARIO_GUEST_GMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* As sent by the front end (vhost-user "Memory region description"). */
struct gmap_desc {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t uva;
	uint64_t mmap_offset_bytes;
};

struct gmap_region {
	struct gmap_desc desc; /* immutable */
	uint8_t *hva;          /* our address of gpa */
	void *map;             /* what mmap returned, page-aligned */
	uint64_t map_bytes;
	dev_t dev; /* identity of the file, so that an equal region is mapped once */
	ino_t ino;
	unsigned refs;  /* control thread only */
	int fault_slot; /* gfault.c */
};

/*
 * Which files may back guest memory. A FUSE or network file could hang a worker on a page fault,
 * and a file that is shorter than the region would raise SIGBUS.
 */
struct gmap_policy {
	bool any_file; /* the operator says that any file will do */
};

/*
 * Maps a region; fd stays the caller's. Refused: size 0, wrap of gpa, uva or offset + size, a file
 * that is shorter than offset + size, files that are neither memfd, tmpfs nor hugetlbfs unless the
 * policy allows any. The file's own page size (hugetlb) is honoured. On success *out has one
 * reference. 0 or -errno with text.
 */
int gmap_region_new(const struct gmap_desc *desc, int fd, const struct gmap_policy *policy,
		    struct gmap_region **out, struct err *err);

/* Would mapping desc from fd give what region is already? */
bool gmap_region_same(const struct gmap_region *region, const struct gmap_desc *desc, int fd);

struct gmap_region *gmap_region_get(struct gmap_region *region);
/* Unmaps with the last reference. NULL is allowed. */
void gmap_region_put(struct gmap_region *region);

#endif
