/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains that were fetched and are given back unused: order, ids, bases, blocks, in-order rings;
 * and completions that the driver has to see all at once. Not ordinary bursts (test_ring.c).
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 20000u
#define SIZE 64u

struct combo {
	struct driver_opts opts;
	char name[64];
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* A chain of one to three buffers whose first carries the number of its submission. */
static void submit(struct fixture *f, uint64_t stamp)
{
	const uint64_t gpa = DATA_GPA + stamp % SIZE * 4096;
	const struct seg segs[3] = {{gpa, 16, true}, {gpa + 64, 64, true}, {gpa + 512, 8, true}};

	assert_true(driver_add(&f->driver, segs, 1 + (unsigned)(stamp % 3)) >= 0);
	put64(driver_hva(f->memory, gpa), stamp);
}

static void drain_used(struct fixture *f, uint64_t *used)
{
	uint32_t len;
	uint16_t id;

	while (driver_get_used(&f->driver, &id, &len)) {
		assert_int_equal(len, (uint32_t)*used);
		(*used)++;
	}
}

/* Whatever is taken and given back, each chain comes once, in order, until it is completed. */
static void test_fetch_again(void **state)
{
	const struct combo *combo = *state;
	uint64_t seed = 88172645463325252u, submitted = 0, done = 0, used = 0;
	unsigned held_cnt = 0, unfetched = 0;
	struct vq_slot *held[SIZE];
	struct fixture f;

	fixture_init(&f, &combo->opts);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned n;

		while (f.driver.free_cnt >= 3 && submitted - done < SIZE / 3 &&
		       random_next(&seed) % 4)
			submit(&f, submitted++);
		driver_publish(&f.driver);
		n = virtqueue_fetch(f.vq, f.pool, held + held_cnt,
				    1 + (unsigned)(random_next(&seed) % 8));
		held_cnt += n;
		for (unsigned i = 0; i < held_cnt; i++)
			assert_int_equal(get64(held[i]->iov[0].iov_base), done + i);
		n = held_cnt ? (unsigned)(random_next(&seed) % (held_cnt + 1)) : 0;
		if (round % 2) {
			virtqueue_unfetch(f.vq, f.pool, held + held_cnt - n, n);
			unfetched += n;
			held_cnt -= n;
		} else {
			for (unsigned i = 0; i < n; i++)
				held[i]->used_bytes = (uint32_t)(done + i);
			virtqueue_complete(f.vq, f.pool, held, n);
			done += n;
			held_cnt -= n;
			memmove(held, held + n, held_cnt * sizeof(struct vq_slot *));
		}
		assert_int_equal(virtqueue_in_flight(f.vq), held_cnt);
		drain_used(&f, &used);
		assert_int_equal(used, done);
	}
	assert_true(unfetched > ROUNDS / 4 && done > ROUNDS / 4);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	assert_int_equal(virtqueue_stats(f.vq)->fetched, done + held_cnt);
	fixture_fini(&f);
}

/* Given back, they are as if they had never been taken: the base says so, and a successor sees
 * them. */
static void test_base_after_unfetch(void **state)
{
	const struct driver_opts opts = way_opts(*state, 16);
	struct vq_slot *slots[3];
	struct fixture f;
	uint32_t base;

	fixture_init(&f, &opts);
	base = virtqueue_base(f.vq);
	for (uint64_t i = 0; i < 3; i++)
		submit(&f, i);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 3), 3);
	assert_int_not_equal(virtqueue_base(f.vq), base);
	virtqueue_unfetch(f.vq, f.pool, slots, 3);
	assert_int_equal(virtqueue_base(f.vq), base);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	fixture_restart(&f, base, true);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 3), 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(get64(slots[i]->iov[0].iov_base), i);
	fixture_fini(&f);
}

/* After a change of memory what was taken under the old one may be given back: it settles. */
static void test_unfetch_settles_memory(void **state)
{
	const struct driver_opts opts = way_opts(*state, 16);
	struct vq_slot *slots[2];
	struct fixture f;

	fixture_init(&f, &opts);
	submit(&f, 0);
	submit(&f, 1);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 2), 2);
	virtqueue_set_memory(f.vq, f.memory);
	assert_false(virtqueue_memory_settled(f.vq));
	virtqueue_unfetch(f.vq, f.pool, slots, 2);
	assert_true(virtqueue_memory_settled(f.vq));
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 2), 2);
	assert_int_equal(get64(slots[0]->iov[0].iov_base), 0);
	fixture_fini(&f);
}

/* More than a burst, completed with one call: in order, too, the driver's next look finds all. */
static void test_large_completion_in_order(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = {
		.packed = way->packed,
		.size = 128,
		.in_order = true,
		.start_idx = way->packed ? 0x8000 : 0,
	};
	const unsigned cnt = 3 * VIRTQUEUE_BURST;
	struct vq_slot *slots[3 * VIRTQUEUE_BURST];
	struct fixture f;
	uint64_t used = 0;
	unsigned got = 0;

	fixture_init(&f, &opts);
	for (uint64_t i = 0; i < cnt; i++) {
		const struct seg seg = {DATA_GPA + i * 4096, 64, true};

		assert_true(driver_add(&f.driver, &seg, 1) >= 0);
	}
	driver_publish(&f.driver);
	while (got < cnt)
		got += virtqueue_fetch(f.vq, f.pool, slots + got, cnt - got);
	for (unsigned i = 0; i < cnt; i++)
		slots[i]->used_bytes = i;
	virtqueue_complete(f.vq, f.pool, slots, cnt);
	drain_used(&f, &used);
	assert_int_equal(used, cnt);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	fixture_fini(&f);
}

static int run_fetch_again(void)
{
	static struct combo combos[8];
	static struct CMUnitTest tests[ARRAY_LEN(combos)];

	for (unsigned bits = 0; bits < ARRAY_LEN(combos); bits++) {
		struct combo *combo = &combos[bits];

		combo->opts = (struct driver_opts){
			.packed = bits & 1,
			.indirect = bits & 2,
			.in_order = bits & 4,
			.size = SIZE,
			.start_idx = bits & 1 ? 0x8000 : 0,
		};
		snprintf(combo->name, sizeof(combo->name), "fetch_again %s %s%s",
			 bits & 1 ? "packed" : "split", bits & 2 ? "indirect" : "direct",
			 bits & 4 ? " in order" : "");
		tests[bits] = (struct CMUnitTest){combo->name, test_fetch_again, NULL, NULL, combo};
	}
	return cmocka_run_group_tests_name("fetch again", tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_ALL(test_base_after_unfetch),
		WAYS_ALL(test_unfetch_settles_memory),
		WAYS_DIRECT(test_large_completion_in_order),
	};

	return run_fetch_again() + cmocka_run_group_tests_name("unfetch", tests, NULL, NULL);
}
