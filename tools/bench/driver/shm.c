/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory of the driver side: memfd regions in one reserved address range, and a bump
 * allocator. It does not tell anybody of the regions: front_mem.c does.
 */
#include "driver/shm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES UINT64_C(4096)
#define HUGE_BYTES UINT64_C(0x200000)

static uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + align - 1) & ~(align - 1);
}

/* Reserves address space whose start is a multiple of 2 MiB, so that huge pages fit. */
static uint8_t *reserve(uint64_t bytes)
{
	uint64_t whole = bytes + HUGE_BYTES;
	uint8_t *raw, *base;

	raw = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED)
		return NULL;
	base = (uint8_t *)round_up((uintptr_t)raw, HUGE_BYTES);
	if (base > raw)
		munmap(raw, (size_t)(base - raw));
	if (raw + whole > base + bytes)
		munmap(base + bytes, (size_t)(raw + whole - (base + bytes)));
	return base;
}

static int region_open(struct shm_region *r, uint8_t *hva)
{
	r->fd = memfd_create("pario-bench", MFD_CLOEXEC);
	if (r->fd < 0)
		return -errno;
	if (ftruncate(r->fd, (off_t)(r->fd_offset_bytes + r->bytes)) < 0)
		return -errno;
	if (mmap(hva, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd,
		 (off_t)r->fd_offset_bytes) == MAP_FAILED)
		return -errno;
	/* Only a wish: without huge pages everything works the same, with more TLB misses. */
	(void)madvise(hva, r->bytes, MADV_HUGEPAGE);
	r->hva = hva;
	return 0;
}

int shm_new(struct shm **out, const struct shm_opts *opts)
{
	unsigned int region_cnt = opts->region_cnt ? opts->region_cnt : 1;
	uint64_t gpa_base = opts->gpa_base ? opts->gpa_base : SHM_GPA_BASE_DEFAULT;
	uint64_t region_bytes;
	struct shm *s;
	int rc = 0;

	if (opts->bytes == 0 || opts->bytes > (UINT64_C(1) << 46) || region_cnt > SHM_REGION_MAX ||
	    opts->gap_bytes % PAGE_BYTES || opts->fd_offset_bytes % PAGE_BYTES)
		return -EINVAL;
	region_bytes = (opts->bytes + region_cnt - 1) / region_cnt;
	/* Several small regions keep their small size: tests want many of them. */
	region_bytes = round_up(region_bytes, region_bytes >= HUGE_BYTES ? HUGE_BYTES : PAGE_BYTES);

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->region_bytes = region_bytes;
	s->no_cross = opts->no_cross || opts->gap_bytes;
	s->bytes = region_bytes * region_cnt;
	for (unsigned int i = 0; i < SHM_REGION_MAX; i++)
		s->region[i].fd = -1;
	s->base = reserve(s->bytes);
	if (!s->base) {
		free(s);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < region_cnt && rc == 0; i++) {
		struct shm_region *r = &s->region[i];

		r->bytes = region_bytes;
		r->gpa = gpa_base + i * (region_bytes + opts->gap_bytes);
		r->fd_offset_bytes = opts->fd_offset_bytes;
		rc = region_open(r, s->base + i * region_bytes);
		s->region_cnt = i + 1;
	}
	if (rc < 0) {
		shm_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

void shm_free(struct shm *s)
{
	if (!s)
		return;
	munmap(s->base, s->bytes);
	for (unsigned int i = 0; i < s->region_cnt; i++)
		if (s->region[i].fd >= 0)
			close(s->region[i].fd);
	free(s);
}

void *shm_alloc(struct shm *s, uint64_t bytes, uint64_t align, uint64_t *gpa)
{
	uint64_t offset = round_up(s->next_bytes, align);
	uint64_t room_in_region = s->region_bytes - offset % s->region_bytes;

	if (s->no_cross && bytes > room_in_region) {
		if (bytes > s->region_bytes)
			return NULL;
		offset = round_up(offset + room_in_region, align);
	}
	if (bytes == 0 || offset > s->bytes || bytes > s->bytes - offset)
		return NULL;
	s->next_bytes = offset + bytes;
	if (gpa)
		*gpa = shm_gpa(s, s->base + offset);
	return s->base + offset;
}

void shm_rewind(struct shm *s, uint64_t mark)
{
	if (mark >= s->next_bytes)
		return;
	memset(s->base + mark, 0, s->next_bytes - mark);
	s->next_bytes = mark;
}

uint64_t shm_gpa(const struct shm *s, const void *hva)
{
	uint64_t offset = (uint64_t)((const uint8_t *)hva - s->base);

	return s->region[offset / s->region_bytes].gpa + offset % s->region_bytes;
}
