/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmap and munmap of the regions that a front end shares.
 * Not lookup, and not the table of regions (gmem.c).
 */
#include "guest/gmap.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/overflow.h"
#include "guest/gfault.h"

static int gmap_check_desc(const struct gmap_desc *desc, struct err *err)
{
	uint64_t end;

	if (desc->size_bytes == 0)
		return err_set(err, EINVAL, "region at gpa 0x%" PRIx64 " has size 0", desc->gpa);
	if (overflow_add_u64(desc->gpa, desc->size_bytes, &end))
		return err_set(err, EINVAL, "region at gpa 0x%" PRIx64 ", size 0x%" PRIx64 " wraps",
			       desc->gpa, desc->size_bytes);
	if (overflow_add_u64(desc->uva, desc->size_bytes, &end))
		return err_set(err, EINVAL, "region at uva 0x%" PRIx64 ", size 0x%" PRIx64 " wraps",
			       desc->uva, desc->size_bytes);
	/* off_t is signed, and the mapping is rounded up to a page of the file (1 GiB at most). */
	if (overflow_add_u64(desc->mmap_offset_bytes, desc->size_bytes, &end) ||
	    end > (uint64_t)INT64_MAX - (1ull << 30))
		return err_set(err, EINVAL,
			       "region at gpa 0x%" PRIx64 ": offset 0x%" PRIx64 " + size 0x%" PRIx64
			       " is beyond any file",
			       desc->gpa, desc->mmap_offset_bytes, desc->size_bytes);
	return 0;
}

/* The file's page size: what offset and length of a mapping must be multiples of. */
static int gmap_check_file(const struct gmap_desc *desc, int fd, const struct gmap_policy *policy,
			   struct stat *st, uint64_t *page_bytes, struct err *err)
{
	struct statfs fs;

	if (fstat(fd, st) < 0 || fstatfs(fd, &fs) < 0)
		return err_set(err, errno,
			       "region at gpa 0x%" PRIx64 ": cannot look at its file: %m",
			       desc->gpa);
	*page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	if (fs.f_type == HUGETLBFS_MAGIC) {
		if (fs.f_bsize <= 0 || !is_pow2((uint64_t)fs.f_bsize) || fs.f_bsize > (1L << 30))
			return err_set(err, EINVAL,
				       "region at gpa 0x%" PRIx64 ": odd huge page size %ld",
				       desc->gpa, (long)fs.f_bsize);
		*page_bytes = (uint64_t)fs.f_bsize;
	} else if (fs.f_type != TMPFS_MAGIC && !policy->any_file) {
		return err_set(
			err, EINVAL,
			"region at gpa 0x%" PRIx64
			": its memory is not shared (file system type 0x%lx; allowed: memfd, "
			"tmpfs, hugetlbfs; in QEMU: memory-backend-memfd with share=on)",
			desc->gpa, (unsigned long)fs.f_type);
	}
	if (!S_ISREG(st->st_mode))
		return err_set(err, EINVAL, "region at gpa 0x%" PRIx64 ": not a regular file",
			       desc->gpa);
	if (st->st_size < 0 ||
	    !range_within(desc->mmap_offset_bytes, desc->size_bytes, (uint64_t)st->st_size))
		return err_set(err, EINVAL,
			       "region at gpa 0x%" PRIx64 ": its file has 0x%" PRIx64
			       " bytes, the region needs 0x%" PRIx64 " + 0x%" PRIx64,
			       desc->gpa, (uint64_t)st->st_size, desc->mmap_offset_bytes,
			       desc->size_bytes);
	return 0;
}

int gmap_region_new(const struct gmap_desc *desc, int fd, const struct gmap_policy *policy,
		    struct gmap_region **out, struct err *err)
{
	struct gmap_region *region;
	uint64_t page_bytes = 0, map_offset, lead;
	struct stat st;
	int ret;

	ret = gmap_check_desc(desc, err);
	if (!ret)
		ret = gmap_check_file(desc, fd, policy, &st, &page_bytes, err);
	if (ret)
		return ret;
	region = calloc(1, sizeof(*region));
	if (!region)
		return err_set(err, ENOMEM, "out of memory");
	map_offset = align_down(desc->mmap_offset_bytes, page_bytes);
	lead = desc->mmap_offset_bytes - map_offset;
	region->map_bytes = align_down(lead + desc->size_bytes + page_bytes - 1, page_bytes);
	region->map = mmap(NULL, region->map_bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE, fd, (off_t)map_offset);
	if (region->map == MAP_FAILED) {
		ret = err_set(err, errno,
			      "region at gpa 0x%" PRIx64 ", size 0x%" PRIx64 ": mmap: %m",
			      desc->gpa, desc->size_bytes);
		free(region);
		return ret;
	}
	/* A core dump is ours to debug; guests' memory is theirs. */
	madvise(region->map, region->map_bytes, MADV_DONTDUMP);
	region->fault_slot = gfault_register(region->map, region->map_bytes, page_bytes);
	if (region->fault_slot < 0) {
		munmap(region->map, region->map_bytes);
		free(region);
		return err_set(err, ENOMEM, "out of memory");
	}
	region->desc = *desc;
	region->hva = (uint8_t *)region->map + lead;
	region->dev = st.st_dev;
	region->ino = st.st_ino;
	region->refs = 1;
	*out = region;
	return 0;
}

bool gmap_region_same(const struct gmap_region *region, const struct gmap_desc *desc, int fd)
{
	struct stat st;

	return region->desc.gpa == desc->gpa && region->desc.size_bytes == desc->size_bytes &&
	       region->desc.uva == desc->uva &&
	       region->desc.mmap_offset_bytes == desc->mmap_offset_bytes && fstat(fd, &st) == 0 &&
	       st.st_dev == region->dev && st.st_ino == region->ino;
}

struct gmap_region *gmap_region_get(struct gmap_region *region)
{
	region->refs++;
	return region;
}

void gmap_region_put(struct gmap_region *region)
{
	if (!region)
		return;
	CHECK(region->refs > 0);
	if (--region->refs > 0)
		return;
	gfault_unregister(region->fault_slot);
	munmap(region->map, region->map_bytes);
	free(region);
}
