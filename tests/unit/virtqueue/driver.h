/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small virtio driver for tests of src/virtqueue: guest memory, and the driver's end of a ring.
 * It shares nothing with the code under test: it writes bytes at offsets, as the specification
 * gives them. Not a load generator (tools/bench).
 */
#ifndef PARIO_TESTS_VIRTQUEUE_DRIVER_H
#define PARIO_TESTS_VIRTQUEUE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest/gmem.h"
#include "virtqueue/virtqueue.h"

#define F_NEXT 1u
#define F_WRITE 2u
#define F_INDIRECT 4u
#define F_AVAIL 0x80u
#define F_USED 0x8000u

/*
 * Guest memory of three regions, heap-allocated so that a sanitizer sees their ends:
 *   LOW   16 KiB..: rings and everything ordinary
 *   NEXT  64 KiB that follow LOW in gpa but not in hva
 *   FAR   64 KiB somewhere else
 */
#define LOW_GPA UINT64_C(0x4000)
#define LOW_BYTES UINT64_C(0x400000)
#define NEXT_GPA (LOW_GPA + LOW_BYTES)
#define NEXT_BYTES UINT64_C(0x10000)
#define FAR_GPA UINT64_C(0x1000000000)
#define FAR_BYTES UINT64_C(0x10000)
/* uva = gpa + this, in every region. */
#define UVA_BASE UINT64_C(0x7f0000000000)

struct gmem *driver_memory_new(void);
/* The same without one region, sharing the others' bytes. */
struct gmem *driver_memory_without(const struct gmem *memory, unsigned row);
void driver_memory_free(struct gmem *memory); /* and the bytes */
/* Host address; the range must lie in one region. */
uint8_t *driver_hva(const struct gmem *memory, uint64_t gpa);

void put16(uint8_t *p, uint16_t v);
void put32(uint8_t *p, uint32_t v);
void put64(uint8_t *p, uint64_t v);
uint16_t get16(const uint8_t *p);
uint32_t get32(const uint8_t *p);
uint64_t get64(const uint8_t *p);

struct seg {
	uint64_t gpa;
	uint32_t len;
	bool writable;
};

struct driver_opts {
	bool packed;
	bool indirect; /* the driver uses tables for chains of more than one buffer */
	bool event_idx;
	bool in_order;
	uint32_t size;
	uint16_t start_idx; /* both sides' position at the start; packed: with wrap in bit 15 */
};

struct driver {
	struct driver_opts opts;
	struct gmem *memory;
	uint64_t desc_gpa, driver_gpa, device_gpa, table_gpa;
	uint8_t *desc, *driver_area, *device_area;
	uint32_t free_cnt;
	/* Split: free-running. Packed: below size, with wrap. */
	uint16_t avail_idx, used_idx;
	bool avail_wrap, used_wrap;
	uint16_t free_head; /* split: free list over next_free; packed: over ids */
	uint16_t *next_free;
	uint16_t *desc_cnt; /* by id; 0: not in flight */
	bool staged;        /* packed: a head whose flags are held back */
	uint16_t staged_idx, staged_flags;
};

/* Lays the ring out in LOW and zeroes it; offset_bytes moves it, for more than one at a time. */
void driver_init(struct driver *d, struct gmem *memory, const struct driver_opts *opts);
void driver_fini(struct driver *d);

/* Defaults that fit the driver: no fds, slots of struct vq_slot. */
struct virtqueue_config driver_config(const struct driver *d);

/* Adds a chain, not yet visible. Returns its id (split: head), or -1 if the ring is full. */
int driver_add(struct driver *d, const struct seg *segs, unsigned cnt);
/* Shows what was added. */
void driver_publish(struct driver *d);
/* Takes one completion. */
bool driver_get_used(struct driver *d, uint16_t *id, uint32_t *len);

/* Writes a raw descriptor of the ring or of a table (format by opts). */
void driver_desc(struct driver *d, uint32_t idx, uint64_t gpa, uint32_t len, uint16_t flags,
		 uint16_t next_or_id);
void driver_table_desc(struct driver *d, uint64_t table_gpa, uint32_t idx, uint64_t gpa,
		       uint32_t len, uint16_t flags, uint16_t next);
/* Split: puts a head into the avail ring and moves the index, whatever it is. */
void driver_raw_head(struct driver *d, uint16_t head);
/* Packed flags for the descriptor at idx of this lap. */
uint16_t driver_packed_flags(const struct driver *d, uint16_t flags);

/* Says how the driver wants calls: never, always, or (event_idx) at the entry `at`. */
void driver_want_never(struct driver *d);
void driver_want_always(struct driver *d);
void driver_want_at(struct driver *d, uint16_t at_off_wrap);
/* Would the driver kick for the entries from old (avail position) to the present one? */
bool driver_would_kick(const struct driver *d, uint16_t old_idx, bool old_wrap);

#endif
