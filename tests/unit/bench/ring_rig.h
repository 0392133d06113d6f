/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver's ring and a model device on the same memory, for the tests of the ring driver.
 * It asserts as it goes; it is no test by itself.
 */
#ifndef PARIO_TESTS_BENCH_RING_RIG_H
#define PARIO_TESTS_BENCH_RING_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/ring.h"
#include "fake/fake_ring.h"

#define SEG_MAX 6

enum framing { DIRECT, TABLES, MIXED, TABLES_ONLY, FRAMING_CNT };

struct pair {
	struct shm *shm;
	struct ring *ring;
	struct fake_ring dev;
	enum framing framing;
	uint8_t *table[RING_SIZE_MAX]; /* by token */
	uint64_t table_gpa[RING_SIZE_MAX];
	/* What the device must see and the driver get back, by token. */
	struct ring_seg seg[RING_SIZE_MAX][SEG_MAX];
	unsigned int out_cnt[RING_SIZE_MAX], in_cnt[RING_SIZE_MAX];
	uint32_t used_bytes[RING_SIZE_MAX];
	bool busy[RING_SIZE_MAX];
	uint32_t rng;
};

struct pair *pair_new(enum ring_format format, uint16_t size, bool event_idx, bool in_order,
		      enum framing framing, uint32_t base);
void pair_free(struct pair *p);

uint32_t pair_random(struct pair *p, uint32_t below);

/* Adds a request with made-up segments; -ENOSPC when the ring is full. */
int pair_add_random(struct pair *p, uint16_t token);
/* The chain that the device popped is the one that was added for the token. */
void pair_check_chain(struct pair *p, const struct fake_chain *c, uint16_t token);

/* A request of one descriptor. */
void pair_add_one(struct pair *p, uint16_t token);
/* The device pops cnt chains and, with use, uses each. */
void pair_device_takes(struct pair *p, unsigned int cnt, bool use);
/* The driver finds exactly cnt completions. */
void pair_driver_takes(struct pair *p, int cnt);

#endif
