/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests through a virtqueue and back, in both formats: content, order, laps, bases, memory
 * changes. Not what a bad chain or a broken ring does (test_chain.c, test_fault.c).
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEG_CNT 3u
/* Past the wrap of the split ring's 16-bit indices. */
#define REQUEST_CNT 70000u

struct combo {
	struct driver_opts opts;
	char name[64];
};

/* One request as the test knows it, by id. */
struct shadow {
	uint64_t gpa;
	uint64_t stamp;
	uint32_t seg_cnt;
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Header of 16 bytes, 4096 bytes of data, 1 of status; as many of them as the ring has room for. */
static void submit(struct fixture *f, struct shadow *shadow, uint64_t stamp, uint32_t seg_cnt)
{
	const uint64_t gpa = DATA_GPA + stamp % 128 * 8192;
	const struct seg segs[SEG_CNT] = {
		{gpa, 16, false}, {gpa + 4096, 4096, true}, {gpa + 16, 1, true}};
	const int id = driver_add(&f->driver, segs, seg_cnt);

	assert_true(id >= 0);
	put64(driver_hva(f->memory, gpa), stamp);
	shadow[id] = (struct shadow){gpa, stamp, seg_cnt};
}

static void check_fetched(struct fixture *f, const struct shadow *shadow,
			  const struct vq_slot *slot)
{
	const struct shadow *s = &shadow[slot->id];
	const uint64_t gpa[SEG_CNT] = {s->gpa, s->gpa + 4096, s->gpa + 16};
	const size_t len[SEG_CNT] = {16, 4096, 1};

	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->out_cnt, 1);
	assert_int_equal(slot->in_cnt, s->seg_cnt - 1);
	assert_int_equal(slot->out_bytes, 16);
	assert_int_equal(slot->in_bytes, s->seg_cnt == 1 ? 0 : s->seg_cnt == 2 ? 4096 : 4097);
	assert_int_equal(slot->tail_in, s->seg_cnt > 1);
	for (unsigned i = 0; i < s->seg_cnt; i++) {
		assert_ptr_equal(slot->iov[i].iov_base, driver_hva(f->memory, gpa[i]));
		assert_int_equal(slot->iov[i].iov_len, len[i]);
	}
}

static uint32_t used_bytes_of(uint64_t stamp)
{
	return (uint32_t)(stamp * 2654435761u) | 1;
}

static void drain_used(struct fixture *f, const struct shadow *shadow, uint64_t *completed)
{
	uint32_t len;
	uint16_t id;

	while (driver_get_used(&f->driver, &id, &len)) {
		assert_int_equal(len, used_bytes_of(shadow[id].stamp));
		(*completed)++;
	}
}

/* Chains are fetched in the order of submission and completed in any order. */
static void test_round_trip(void **state)
{
	const struct combo *combo = *state;
	const uint32_t size = combo->opts.size;
	const uint32_t seg_cnt = combo->opts.indirect || size >= SEG_CNT ? SEG_CNT : size;
	struct shadow *shadow = calloc(size, sizeof(*shadow));
	struct vq_slot **held = calloc(size, sizeof(struct vq_slot *));
	uint64_t seed = 88172645463325252u;
	uint64_t submitted = 0, fetched = 0, completed = 0;
	uint32_t held_cnt = 0;
	struct fixture f;

	assert_true(shadow && held);
	fixture_init(&f, &combo->opts);
	while (completed < REQUEST_CNT) {
		const uint32_t need = combo->opts.indirect ? 1 : seg_cnt;
		uint64_t burst = 1 + random_next(&seed) % 48;
		struct vq_slot *slots[VIRTQUEUE_BURST];
		unsigned n;

		for (; burst > 0 && submitted - completed < 96 && f.driver.free_cnt >= need;
		     burst--)
			submit(&f, shadow, submitted++, seg_cnt);
		driver_publish(&f.driver);
		n = virtqueue_fetch(f.vq, f.pool, slots, 1 + random_next(&seed) % VIRTQUEUE_BURST);
		for (unsigned i = 0; i < n; i++) {
			check_fetched(&f, shadow, slots[i]);
			assert_int_equal(shadow[slots[i]->id].stamp, fetched++);
			assert_int_equal(get64(slots[i]->iov[0].iov_base), fetched - 1);
			held[held_cnt++] = slots[i];
		}
		assert_int_equal(virtqueue_in_flight(f.vq), held_cnt);
		n = 0;
		while (held_cnt > 0 && n < VIRTQUEUE_BURST && random_next(&seed) % 8) {
			const uint32_t pick = (uint32_t)(random_next(&seed) % held_cnt);

			slots[n] = held[pick];
			slots[n]->used_bytes = used_bytes_of(shadow[slots[n]->id].stamp);
			held[pick] = held[--held_cnt];
			n++;
		}
		virtqueue_complete(f.vq, f.pool, slots, n);
		drain_used(&f, shadow, &completed);
	}
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	assert_int_equal(virtqueue_stats(f.vq)->fetched, fetched);
	assert_int_equal(virtqueue_stats(f.vq)->completed, completed);
	free(shadow);
	free(held);
	fixture_fini(&f);
}

/* What overtakes waits; the driver sees completions in the order of its submissions. */
static void test_in_order(void **state)
{
	const bool packed = ((const struct way *)*state)->packed;
	const struct driver_opts opts = {
		.packed = packed,
		.in_order = true,
		.size = 64,
		.start_idx = packed ? 0x8000 | 50 : 65500,
	};
	const struct seg seg = {DATA_GPA, 64, true};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	struct vq_slot *more[VIRTQUEUE_BURST];
	struct fixture f;
	int ids[VIRTQUEUE_BURST + 8];
	uint32_t len;
	uint16_t id;

	fixture_init(&f, &opts);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 32), 32);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, more, 32), 8);
	for (unsigned i = 0; i < 32; i++)
		slots[i]->used_bytes = i + 1;
	for (unsigned i = 0; i < 8; i++)
		more[i]->used_bytes = i + 33;
	virtqueue_complete(f.vq, f.pool, more, 8);
	for (unsigned i = 31; i > 0; i--) {
		virtqueue_complete(f.vq, f.pool, &slots[i], 1);
		assert_false(driver_get_used(&f.driver, &id, &len));
	}
	assert_int_equal(virtqueue_in_flight(f.vq), 40);
	assert_int_equal(virtqueue_stats(f.vq)->completed, 0);
	virtqueue_complete(f.vq, f.pool, &slots[0], 1);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
		fixture_expect_used(&f, ids[i], i + 1);
	assert_false(driver_get_used(&f.driver, &id, &len));
	fixture_expect_alive(&f);
	fixture_fini(&f);
}

/* A fetch returns at most a burst, and at most what it was asked for. */
static void test_burst_is_bounded(void **state)
{
	const struct driver_opts opts = {.size = 64};
	const struct seg seg = {DATA_GPA, 64, true};
	struct vq_slot *slots[64];
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 64; i++)
		driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 5), 5);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 64), VIRTQUEUE_BURST);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 64), 64 - 5 - VIRTQUEUE_BURST);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, slots, 64), 0);
	assert_int_equal(virtqueue_stats(f.vq)->bursts, 3);
	fixture_fini(&f);
}

/* What the driver has not published is not there. */
static void test_unpublished_is_invisible(void **state)
{
	const bool packed = ((const struct way *)*state)->packed;
	const struct driver_opts opts = {
		.packed = packed, .size = 8, .start_idx = packed ? 0x8000 : 0};
	const struct seg segs[] = {{DATA_GPA, 16, false}, {DATA_GPA + 64, 1, true}};
	struct fixture f;

	fixture_init(&f, &opts);
	driver_add(&f.driver, segs, 2);
	driver_add(&f.driver, segs, 2);
	assert_false(virtqueue_has_avail(f.vq));
	fixture_fetch_none(&f);
	driver_publish(&f.driver);
	assert_true(virtqueue_has_avail(f.vq));
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	fixture_fini(&f);
}

/* Stop and start in the middle of a lap, at every position of two laps. */
static void test_resume(void **state)
{
	const bool packed = ((const struct way *)*state)->packed;
	const struct driver_opts opts = {
		.packed = packed, .size = 8, .start_idx = packed ? 0x8000 : 65530};
	const struct seg segs[] = {{DATA_GPA, 16, false}, {DATA_GPA + 64, 1, true}};
	struct fixture f;

	fixture_init(&f, &opts);
	for (unsigned i = 0; i < 16; i++) {
		const unsigned cnt = i % 3 == 0 ? 2 : 1;
		const int id = driver_add(&f.driver, segs, cnt);
		const uint32_t base = virtqueue_base(f.vq);

		if (packed) {
			assert_int_equal(base & 0xffff, base >> 16);
			assert_int_equal(base & 0xffff,
					 f.driver.used_idx | f.driver.used_wrap << 15);
		} else {
			assert_int_equal(base, f.driver.used_idx);
		}
		driver_publish(&f.driver);
		fixture_restart(&f, base, true);
		fixture_complete_one(&f, fixture_fetch_one(&f), cnt);
		fixture_expect_used(&f, id, cnt);
	}
	fixture_fini(&f);
}

/* The base says where we read, the used index where we write, in flight in between. */
static void test_base_with_in_flight(void **state)
{
	const struct driver_opts packed = {.packed = true, .size = 8, .start_idx = 6};
	const struct driver_opts split = {.size = 8, .start_idx = 65534};
	const struct seg seg = {DATA_GPA, 16, true};
	struct fixture f;

	(void)state;
	fixture_init(&f, &packed);
	for (unsigned i = 0; i < 3; i++)
		driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	for (unsigned i = 0; i < 3; i++) {
		struct vq_slot *slot;

		assert_int_equal(virtqueue_fetch(f.vq, f.pool, &slot, 1), 1);
	}
	/* avail: 6, 7, 0 with the wrap counter flipped to 1; used: still 6 with wrap 0 */
	assert_int_equal(virtqueue_base(f.vq), 0x8001 | 6 << 16);
	fixture_fini(&f);

	fixture_init(&f, &split);
	for (unsigned i = 0; i < 3; i++)
		driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	for (unsigned i = 0; i < 3; i++) {
		struct vq_slot *slot;

		assert_int_equal(virtqueue_fetch(f.vq, f.pool, &slot, 1), 1);
	}
	assert_int_equal(virtqueue_base(f.vq), 1);
	fixture_fini(&f);
}

/* User-Mode Linux sends base 0 for a ring that was never used. */
static void test_packed_base_zero_fresh(void **state)
{
	const struct driver_opts opts = {.packed = true, .size = 8, .start_idx = 0x8000};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	fixture_restart(&f, 0, false);
	assert_int_equal(virtqueue_base(f.vq), 0x80008000);
	fixture_expect_alive(&f);
	/* The same with a request waiting: descriptor 0 is available, in the first lap. */
	fixture_fini(&f);
	fixture_init(&f, &opts);
	driver_add(&f.driver, &(struct seg){DATA_GPA, 16, true}, 1);
	driver_publish(&f.driver);
	fixture_restart(&f, 0, false);
	assert_int_equal(fixture_fetch_one(&f)->in_bytes, 16);
	fixture_fini(&f);
}

/* As DPDK's virtio-user says it: only where the avail side is. */
static void test_packed_base_half(void **state)
{
	const struct driver_opts opts = {.packed = true, .size = 8, .start_idx = 0x8000};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	fixture_restart(&f, 0x8000, false);
	assert_int_equal(virtqueue_base(f.vq), 0x80008000);
	fixture_expect_alive(&f);
	/* What we said ourselves is what we meant. */
	fixture_restart(&f, 0x8001, true);
	assert_int_equal(virtqueue_base(f.vq), 0x8001);
	fixture_fini(&f);
}

/* After a lap 0 is an honest base, whoever says it. */
static void test_packed_base_zero_second_lap(void **state)
{
	const struct driver_opts opts = {.packed = true, .size = 2, .start_idx = 0x8000};
	struct fixture f;

	(void)state;
	for (unsigned exact = 0; exact < 2; exact++) {
		fixture_init(&f, &opts);
		fixture_expect_alive(&f);
		fixture_expect_alive(&f);
		assert_int_equal(virtqueue_base(f.vq), 0);
		fixture_restart(&f, 0, exact);
		assert_int_equal(virtqueue_base(f.vq), 0);
		fixture_expect_alive(&f);
		fixture_fini(&f);
	}
	/* And our own 0 is believed even when the ring looks fresh. */
	fixture_init(&f, &opts);
	fixture_restart(&f, 0, true);
	assert_int_equal(virtqueue_base(f.vq), 0);
	fixture_fini(&f);
}

/* Split without in-flight tracking: what our predecessor fetched and never completed is lost. */
static void test_split_base_ahead_of_used(void **state)
{
	const struct driver_opts opts = {.size = 8};
	const struct seg seg = {DATA_GPA, 512, true};
	struct fixture f;
	int id;

	(void)state;
	fixture_init(&f, &opts);
	driver_add(&f.driver, &seg, 1);
	driver_add(&f.driver, &seg, 1);
	id = driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	fixture_restart(&f, 2, true);
	fixture_complete_one(&f, fixture_fetch_one(&f), 7);
	fixture_expect_used(&f, id, 7);
	fixture_fini(&f);
}

/* Chains parsed under the old memory are counted until they are completed. */
static void test_memory_change(void **state)
{
	const bool packed = ((const struct way *)*state)->packed;
	const struct driver_opts opts = {
		.packed = packed, .size = 8, .start_idx = packed ? 0x8000 : 0};
	const struct seg far = {FAR_GPA, 64, true};
	const struct seg low = {DATA_GPA, 64, true};
	struct vq_slot *old[2];
	struct vq_slot *new;
	struct gmem *other;
	struct fixture f;
	int ids[3];

	fixture_init(&f, &opts);
	other = driver_memory_without(f.memory, 2);
	ids[0] = driver_add(&f.driver, &far, 1);
	ids[1] = driver_add(&f.driver, &far, 1);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, old, 2), 2);
	assert_true(virtqueue_memory_settled(f.vq));
	virtqueue_set_memory(f.vq, other);
	assert_false(virtqueue_memory_settled(f.vq));

	/* The new memory has no FAR any more, though it was the last hit. */
	ids[2] = driver_add(&f.driver, &far, 1);
	driver_publish(&f.driver);
	new = fixture_fetch_one(&f);
	assert_int_equal(new->error, CHAIN_BAD_ADDRESS);
	fixture_complete_one(&f, new, 0);
	fixture_expect_used(&f, ids[2], 0);
	assert_false(virtqueue_memory_settled(f.vq));

	fixture_complete_one(&f, old[1], 2);
	assert_false(virtqueue_memory_settled(f.vq));
	fixture_complete_one(&f, old[0], 1);
	assert_true(virtqueue_memory_settled(f.vq));
	fixture_expect_used(&f, ids[1], 2);
	fixture_expect_used(&f, ids[0], 1);

	/* And back: what was parsed under `other` is not held against it. */
	ids[0] = driver_add(&f.driver, &low, 1);
	driver_publish(&f.driver);
	new = fixture_fetch_one(&f);
	virtqueue_set_memory(f.vq, f.memory);
	assert_false(virtqueue_memory_settled(f.vq));
	fixture_complete_one(&f, new, 0);
	assert_true(virtqueue_memory_settled(f.vq));
	fixture_expect_used(&f, ids[0], 0);
	fixture_expect_alive(&f);
	fixture_fini(&f);
	free(other);
}

/* In order mode what waits for its turn no longer uses the memory. */
static void test_memory_settles_in_order(void **state)
{
	const struct driver_opts opts = {.size = 8, .in_order = true};
	const struct seg seg = {DATA_GPA, 64, true};
	struct vq_slot *slots[2];
	struct gmem *other;
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	other = driver_memory_without(f.memory, 2);
	driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, &slots[0], 1), 1);
	virtqueue_set_memory(f.vq, other);
	driver_add(&f.driver, &seg, 1);
	driver_publish(&f.driver);
	assert_int_equal(virtqueue_fetch(f.vq, f.pool, &slots[1], 1), 1);
	fixture_complete_one(&f, slots[1], 0);
	assert_false(virtqueue_memory_settled(f.vq));
	fixture_complete_one(&f, slots[0], 0);
	assert_true(virtqueue_memory_settled(f.vq));
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	fixture_fini(&f);
	free(other);
}

/*
 * A worker's pool is finite. A chain that needs a block and finds none stays in the ring, in
 * both formats, and is fetched when one came back.
 */
static void test_pool_starvation(void **state)
{
	const bool packed = ((const struct way *)*state)->packed;
	const struct driver_opts opts = {.packed = packed,
					 .indirect = true,
					 .size = 16384,
					 .start_idx = packed ? 0x8000 : 0};
	struct seg segs[CHAIN_IOV_INLINE + 1];
	struct vq_slot **held = calloc(opts.size, sizeof(struct vq_slot *));
	struct vq_slot *slot;
	unsigned cnt = 0;
	uint32_t base;
	struct fixture f;

	assert_non_null(held);
	for (unsigned i = 0; i < ARRAY_LEN(segs); i++)
		segs[i] = (struct seg){DATA_GPA + i * 4096, 4096, true};
	fixture_init(&f, &opts);
	for (;;) {
		assert_true(cnt < 16000);
		driver_add(&f.driver, segs, ARRAY_LEN(segs));
		driver_publish(&f.driver);
		base = virtqueue_base(f.vq);
		if (virtqueue_fetch(f.vq, f.pool, &held[cnt], 1) == 0)
			break;
		assert_int_equal(held[cnt]->in_cnt, ARRAY_LEN(segs));
		cnt++;
	}
	assert_int_equal(virtqueue_stats(f.vq)->pool_starved, 1);
	assert_int_equal(virtqueue_fault(f.vq), VIRTQUEUE_OK);
	assert_int_equal(virtqueue_in_flight(f.vq), cnt);
	assert_int_equal(virtqueue_base(f.vq), base);
	assert_true(virtqueue_has_avail(f.vq));
	fixture_fetch_none(&f);

	fixture_complete_one(&f, held[--cnt], 0);
	slot = fixture_fetch_one(&f);
	assert_int_equal(slot->in_cnt, ARRAY_LEN(segs));
	for (unsigned i = 0; i < ARRAY_LEN(segs); i++)
		assert_ptr_equal(slot->iov[i].iov_base, driver_hva(f.memory, segs[i].gpa));
	fixture_complete_one(&f, slot, 0);
	virtqueue_complete(f.vq, f.pool, held, cnt);
	assert_int_equal(virtqueue_in_flight(f.vq), 0);
	/* All blocks came home: as many can be taken again. */
	for (unsigned i = 0; i <= cnt; i++) {
		uint32_t len;
		uint16_t id;

		while (driver_get_used(&f.driver, &id, &len))
			;
		driver_add(&f.driver, segs, ARRAY_LEN(segs));
		driver_publish(&f.driver);
		assert_int_equal(virtqueue_fetch(f.vq, f.pool, &held[i], 1), 1);
	}
	fixture_fini(&f);
	free(held);
}

static uint64_t resident_bytes(void)
{
	unsigned long total, resident;
	FILE *statm = fopen("/proc/self/statm", "r");

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu %lu", &total, &resident), 2);
	fclose(statm);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Slots that were never used take no memory: 1000 disks of 4 queues stay within their budget. */
static void test_idle_queues_are_small(void **state)
{
	enum { QUEUE_CNT = 4000 };
	const struct driver_opts opts = {.packed = true, .size = 256, .start_idx = 0x8000};
	struct virtqueue **queues = calloc(QUEUE_CNT, sizeof(struct virtqueue *));
	struct virtqueue_config config;
	uint64_t before;
	struct fixture f;

	(void)state;
	assert_non_null(queues);
	fixture_init(&f, &opts);
	config = driver_config(&f.driver);
	config.slot_bytes = 512;
	before = resident_bytes();
	for (unsigned i = 0; i < QUEUE_CNT; i++)
		assert_int_equal(virtqueue_new(&config, &queues[i], NULL), 0);
	/* 512 MiB if slots were touched. */
	assert_true(resident_bytes() - before < UINT64_C(64) << 20);
	for (unsigned i = 0; i < QUEUE_CNT; i++)
		virtqueue_free(queues[i]);
	fixture_fini(&f);
	free(queues);
}

static int run_round_trips(void)
{
	static const uint32_t sizes[] = {1, 2, 8, 256, 32768};
	static struct combo combos[8 * ARRAY_LEN(sizes)];
	static struct CMUnitTest tests[ARRAY_LEN(combos)];
	unsigned cnt = 0;

	for (unsigned bits = 0; bits < 8; bits++) {
		for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
			struct combo *combo = &combos[cnt];

			combo->opts = (struct driver_opts){
				.packed = bits & 1,
				.indirect = bits & 2,
				.event_idx = bits & 4,
				.size = sizes[i],
				.start_idx = bits & 1 ? 0x8000 : 0,
			};
			snprintf(combo->name, sizeof(combo->name), "round_trip %s %s %s size %u",
				 bits & 1 ? "packed" : "split", bits & 2 ? "indirect" : "direct",
				 bits & 4 ? "event_idx" : "flags", sizes[i]);
			tests[cnt] = (struct CMUnitTest){combo->name, test_round_trip, NULL, NULL,
							 combo};
			cnt++;
		}
	}
	return cmocka_run_group_tests_name("round trips", tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_DIRECT(test_in_order),
		cmocka_unit_test(test_burst_is_bounded),
		WAYS_DIRECT(test_unpublished_is_invisible),
		WAYS_DIRECT(test_resume),
		cmocka_unit_test(test_base_with_in_flight),
		cmocka_unit_test(test_packed_base_zero_fresh),
		cmocka_unit_test(test_packed_base_half),
		cmocka_unit_test(test_packed_base_zero_second_lap),
		cmocka_unit_test(test_split_base_ahead_of_used),
		WAYS_DIRECT(test_memory_change),
		cmocka_unit_test(test_memory_settles_in_order),
		WAYS_DIRECT(test_pool_starvation),
		cmocka_unit_test(test_idle_queues_are_small),
	};

	return run_round_trips() + cmocka_run_group_tests_name("rings", tests, NULL, NULL);
}
