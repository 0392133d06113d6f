/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest memory that the driver side invents: memfd regions with guest physical addresses.
 * It is not a memory map of a real guest, and nothing here knows of vhost-user.
 *
 * All regions lie back to back in our own address space, so that a buffer may run over the end of
 * one region into the next. With gap_bytes 0 they are back to back in guest physical addresses too,
 * and such a buffer is one descriptor that crosses regions; with a gap, or no_cross, shm_alloc()
 * never hands out memory that crosses.
 */
#ifndef PARIO_BENCH_DRIVER_SHM_H
#define PARIO_BENCH_DRIVER_SHM_H

#include <stdbool.h>
#include <stdint.h>

#define SHM_REGION_MAX 512
#define SHM_GPA_BASE_DEFAULT UINT64_C(0x40000000)

struct shm_opts {
	uint64_t bytes;           /* in all; rounded up so that regions are equal and page-sized */
	unsigned int region_cnt;  /* 0 counts as 1 */
	uint64_t gpa_base;        /* 0 counts as SHM_GPA_BASE_DEFAULT */
	uint64_t gap_bytes;       /* guest physical hole between regions; page multiple */
	uint64_t fd_offset_bytes; /* where in its memfd a region begins; page multiple */
	bool no_cross;            /* no allocation lies in two regions, as if there were a gap */
};

struct shm_region {
	int fd; /* memfd, owned by the struct shm */
	uint64_t gpa;
	uint64_t bytes;
	uint64_t fd_offset_bytes;
	uint8_t *hva; /* our mapping; its number is also the region's front-end user address */
};

struct shm {
	struct shm_region region[SHM_REGION_MAX];
	unsigned int region_cnt;
	uint64_t region_bytes; /* of each */
	bool no_cross;
	uint64_t next_bytes; /* bump allocator: offset of the first free byte */
	uint8_t *base;       /* of all regions */
	uint64_t bytes;      /* of all regions */
};

/* 0 or -errno. Memory is zero and only takes pages once touched. */
int shm_new(struct shm **out, const struct shm_opts *opts);
void shm_free(struct shm *shm);

/*
 * Zeroed memory from the front of what is unused; align a power of two, up to 2 MiB. NULL when
 * there is no room. gpa may be NULL. There is no way to give it back but shm_rewind().
 */
void *shm_alloc(struct shm *shm, uint64_t bytes, uint64_t align, uint64_t *gpa);

/* Forgets every allocation at or beyond mark (a value of next_bytes); zeroes that memory. */
void shm_rewind(struct shm *shm, uint64_t mark);

/* Guest physical and front-end user address of a pointer into the memory. */
uint64_t shm_gpa(const struct shm *shm, const void *hva);
static inline uint64_t shm_uva(const void *hva)
{
	return (uint64_t)(uintptr_t)hva;
}

#endif
