/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters: plain u64 members of the object that they describe, written by its owner alone with
 * relaxed stores, read by anybody with relaxed loads. Not atomic read-modify-write: one writer.
 */
#ifndef PARIO_BASE_STAT_H
#define PARIO_BASE_STAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/ordering.h"

static inline void stat_add(uint64_t *counter, uint64_t n)
{
	store_relaxed(counter, *counter + n);
}

static inline void stat_inc(uint64_t *counter)
{
	stat_add(counter, 1);
}

static inline uint64_t stat_read(const uint64_t *counter)
{
	return load_relaxed(counter);
}

enum stat_kind {
	STAT_COUNTER, /* only grows while its object lives */
	STAT_GAUGE,
};

/* One row of a table that describes a counter struct; every view is generated from such rows. */
struct stat_row {
	const char *name; /* snake case, without unit */
	const char *unit; /* "requests", "bytes", "ns", ... */
	const char *help; /* one sentence */
	uint32_t offset;  /* of the u64 in the counter struct */
	enum stat_kind kind;
};

/* A counter struct, which holds nothing but u64, as its views know it. */
struct stat_table {
	const char *name; /* of the group: "ring", "requests" */
	const struct stat_row *rows;
	unsigned row_cnt;
	size_t bytes; /* of the struct */
};

/* Adds all counters of a struct to those of another of its kind, which is the caller's own. */
static inline void stat_sum(void *to, const void *from, size_t bytes)
{
	uint64_t *sum = to;
	const uint64_t *counters = from;

	for (size_t i = 0; i < bytes / sizeof(*sum); i++)
		sum[i] += stat_read(&counters[i]);
}

#endif
