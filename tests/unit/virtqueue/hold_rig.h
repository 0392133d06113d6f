/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of held calls share: a ring with much in flight, completed in order, and a clock
 * that is the test's. Not a test.
 */
#ifndef PARIO_TESTS_VIRTQUEUE_HOLD_RIG_H
#define PARIO_TESTS_VIRTQUEUE_HOLD_RIG_H

#include "fixture.h"

#define US 1000u
#define T0 1000000000u
#define RING_SIZE 64

static const struct coalesce_config hold_8_50us = {COALESCE_STATIC, 8, 50, false};

struct rig {
	struct fixture f;
	/* Fetched, in the order in which they will be completed. */
	struct vq_slot *slots[RING_SIZE];
	unsigned first, cnt;
};

static inline void rig_init(struct rig *rig, const struct way *way, bool event_idx)
{
	struct driver_opts opts = way_opts(way, RING_SIZE);

	opts.event_idx = event_idx;
	rig->first = 0;
	rig->cnt = 0;
	fixture_init(&rig->f, &opts);
	driver_want_always(&rig->f.driver);
}

static inline void rig_fini(struct rig *rig)
{
	fixture_fini(&rig->f);
}

/* cnt more requests are in flight. */
static inline void submit(struct rig *rig, unsigned cnt)
{
	const struct seg seg = {DATA_GPA, 64, true};

	for (unsigned i = 0; i < cnt; i++)
		assert_true(driver_add(&rig->f.driver, &seg, 1) >= 0);
	driver_publish(&rig->f.driver);
	for (unsigned i = 0; i < cnt; i++) {
		assert_int_equal(virtqueue_fetch(rig->f.vq, rig->f.pool,
						 &rig->slots[(rig->first + rig->cnt) % RING_SIZE],
						 1),
				 1);
		rig->cnt++;
	}
}

static inline void complete(struct rig *rig, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		fixture_complete_one(&rig->f, rig->slots[rig->first], 64);
		rig->first = (rig->first + 1) % RING_SIZE;
		rig->cnt--;
	}
}

/* The driver takes all that is there. */
static inline unsigned driver_reap(struct rig *rig)
{
	unsigned cnt = 0;
	uint32_t len;
	uint16_t id;

	while (driver_get_used(&rig->f.driver, &id, &len))
		cnt++;
	return cnt;
}

static inline uint64_t coalesced(const struct rig *rig, enum coalesce_verdict verdict)
{
	return virtqueue_stats(rig->f.vq)->coalesced[verdict];
}

#endif
