/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test of a virtqueue needs: guest memory, a driver, the queue under test.
 * Not the driver itself (driver.h).
 */
#ifndef PARIO_TESTS_VIRTQUEUE_FIXTURE_H
#define PARIO_TESTS_VIRTQUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "driver.h"

/* Room for buffers, 1 MiB up to the end of LOW; the parts of a request as tests place them. */
#define DATA_GPA (LOW_GPA + UINT64_C(0x300000))
#define LOW_END_GPA NEXT_GPA
#define HDR_GPA DATA_GPA
#define STATUS_GPA (DATA_GPA + 0x100)
#define BUF_GPA (DATA_GPA + 0x1000)
#define TABLE_GPA (DATA_GPA + 0x40000)
#define HOLE_GPA UINT64_C(0x500000000)

/* How a chain reaches the queue; the state of tests that are run for each. */
struct way {
	bool packed;
	bool indirect;
};

extern const struct way fixture_ways[4];

#define WAY_SPLIT_DIRECT(function) WAY_TEST_(function, " split direct", 0)
#define WAY_SPLIT_TABLE(function) WAY_TEST_(function, " split indirect", 1)
#define WAY_PACKED_DIRECT(function) WAY_TEST_(function, " packed direct", 2)
#define WAY_PACKED_TABLE(function) WAY_TEST_(function, " packed indirect", 3)
#define WAY_TEST_(function, name, idx)                                                      \
	{                                                                                   \
#function name, function, NULL, NULL, (void *)(uintptr_t)&fixture_ways[idx] \
	}
#define WAYS_ALL(function)                                                                  \
	WAY_SPLIT_DIRECT(function), WAY_SPLIT_TABLE(function), WAY_PACKED_DIRECT(function), \
		WAY_PACKED_TABLE(function)
#define WAYS_DIRECT(function) WAY_SPLIT_DIRECT(function), WAY_PACKED_DIRECT(function)
#define WAYS_TABLE(function) WAY_SPLIT_TABLE(function), WAY_PACKED_TABLE(function)

/* Of a new ring. */
struct driver_opts way_opts(const struct way *way, uint32_t size);

struct fixture {
	struct gmem *memory;
	struct chain_pool *pool;
	struct driver driver;
	struct virtqueue *vq;
	int call_fd;
	int err_fd;
};

/* Driver and queue from opts; with an eventfd for calls and one for errors. */
void fixture_init(struct fixture *f, const struct driver_opts *opts);
/* The same with what test wants changed in the configuration. */
void fixture_init_with(struct fixture *f, const struct driver_opts *opts,
		       void (*change)(struct virtqueue_config *config));
void fixture_fini(struct fixture *f);

/* Replaces the queue by a new one at that base, as after a stop and a start. */
void fixture_restart(struct fixture *f, uint32_t base, bool base_is_exact);

/* Signals since the last look. */
uint64_t fixture_signals(int fd);

struct vq_slot *fixture_fetch_one(struct fixture *f);
void fixture_fetch_none(struct fixture *f);
void fixture_complete_one(struct fixture *f, struct vq_slot *slot, uint32_t used_bytes);
/* The driver gets exactly this completion. */
void fixture_expect_used(struct fixture *f, int id, uint32_t used_bytes);
/* An entry of a slot is that buffer. */
void fixture_expect_entry(struct fixture *f, const struct vq_slot *slot, unsigned idx, uint64_t gpa,
			  size_t len);
/* A request goes through from end to end: the ring is in step. */
void fixture_expect_alive(struct fixture *f);

#endif
