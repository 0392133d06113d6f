/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storage for tests of devices, in place of src/storage by linking: it keeps bytes, holds
 * operations back until it is told to let them go, fails on demand and remembers what it was asked.
 * Not a back end, and slow: a lock around everything.
 *
 * The fake_storage_*() functions are for the test's thread, at any time.
 */
#ifndef PARIO_TESTS_FAKE_FAKE_STORAGE_H
#define PARIO_TESTS_FAKE_FAKE_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

/* When an operation completes. */
enum fake_storage_pace {
	FAKE_STORAGE_INLINE, /* within submit */
	FAKE_STORAGE_LATER,  /* some turns afterwards, out of order */
	FAKE_STORAGE_HELD,   /* not before the pace is changed */
	FAKE_STORAGE_KEEP,   /* within submit, but what was held stays so */
};

/* One operation as it was submitted. */
struct fake_storage_event {
	enum storage_kind kind;
	bool may_unmap;
	uint64_t offset_bytes;
	uint64_t len_bytes;
};

struct storage *fake_storage_new(const struct storage_info *info);
/* No channel may be open. */
void fake_storage_free(struct storage *storage);

void fake_storage_set_pace(struct storage *storage, enum fake_storage_pace pace);
/* What is held below end_bytes goes on, whatever the pace; 0: nothing does (the start). */
void fake_storage_let_go(struct storage *storage, uint64_t end_bytes);
/* The next cnt operations of the kind complete with -error and do nothing. */
void fake_storage_fail(struct storage *storage, enum storage_kind kind, int error, unsigned cnt);
/* The next cnt channels fail to open with -error. */
void fake_storage_fail_open(struct storage *storage, int error, unsigned cnt);
/* The next cnt calls of storage_channel_map_guest() fail with -error. */
void fake_storage_fail_map(struct storage *storage, int error, unsigned cnt);
/* As storage_refresh() would find it. */
void fake_storage_resize(struct storage *storage, uint64_t capacity_bytes);

unsigned fake_storage_held(struct storage *storage);
unsigned fake_storage_channels(struct storage *storage);
/* Calls of storage_channel_map_guest() so far. */
unsigned fake_storage_maps(struct storage *storage);
/* Operations submitted since the last fake_storage_forget(). */
unsigned fake_storage_count(struct storage *storage, enum storage_kind kind);
/* Copies the first max events since then, in order of submission; returns how many there are. */
unsigned fake_storage_events(struct storage *storage, struct fake_storage_event *events,
			     unsigned max);
void fake_storage_forget(struct storage *storage);
/* The disk's content. */
void fake_storage_put(struct storage *storage, uint64_t offset_bytes, const void *data,
		      uint64_t len_bytes);
void fake_storage_get(struct storage *storage, uint64_t offset_bytes, void *data,
		      uint64_t len_bytes);

#endif
