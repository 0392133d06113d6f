/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of place that a disk's bytes can be in, as a table that tests run over.
 * Not a test.
 */
#ifndef PARIO_TESTS_STORAGE_PLACES_H
#define PARIO_TESTS_STORAGE_PLACES_H

#include "harness.h"

enum place_kind {
	PLACE_DISK_FILE,
	PLACE_TMPFS_FILE,
	PLACE_LOOP_512,
	PLACE_LOOP_4096,
	PLACE_RAM,
	PLACE_FLASH,
};

struct place {
	const char *name;
	enum place_kind kind;
	enum storage_cache cache;
};

extern const struct place places[];
extern const unsigned place_cnt;

/* An open disk somewhere. */
struct placed {
	const struct place *place;
	char path[256]; /* of the file or device; empty for ram and flash */
	struct harness_loop loop;
	struct storage *storage;
	struct storage_channel *channel;
	const struct storage_stats *stats;
};

/* False, after a line that says why, where this host has no such place. */
bool placed_open(struct harness *h, const struct place *place, uint64_t size_bytes,
		 struct placed *placed);
void placed_close(struct harness *h, struct placed *placed);
/* The place of that kind; the test is skipped where there is none. */
void place_of(struct harness *h, enum place_kind kind, enum storage_cache cache, uint64_t size,
	      struct placed *placed);

/* Aligned to a page, with a page more than asked for. */
uint8_t *buffer_new(size_t bytes);
/* Bytes that differ within sectors, from sector to sector, and by seed. */
void fill(uint8_t *buffer, size_t bytes, unsigned seed);

#endif
