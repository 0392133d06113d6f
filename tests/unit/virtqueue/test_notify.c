/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls and kicks: when one is due, when none, in both formats, with and without events.
 * Not the memory ordering, which no single thread can see.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "virtqueue/virtqueue_priv.h"

struct split_row {
	uint16_t event, new_idx;
	uint64_t cnt;
	bool crossed;
};

static const struct split_row split_rows[] = {
	{0, 1, 1, true}, /* the very first */
	{0, 2, 2, true},
	{1, 2, 2, true},
	{2, 2, 2, false},
	{2, 2, 1, false},
	{0, 2, 1, false},
	{5, 6, 1, true},
	{4, 6, 1, false},
	{6, 6, 1, false},
	{65535, 0, 1, true},
	{65535, 1, 1, false},
	{65535, 1, 2, true},
	{65534, 2, 4, true},
	{65533, 2, 4, false},
	{1, 2, 4, true},
	{2, 2, 4, false},
	{100, 90, 32, false},
	{100, 101, 32, true},
	{68, 101, 32, false},
	{69, 101, 32, true},
	{32768, 0, 32768, true},
	{32767, 0, 32768, false},
	{0, 32768, 32768, true},
	/* More than a 16-bit index can tell apart. */
	{7, 3, 65536, true},
	{3, 3, 65536, true},
	{3, 3, 65535, false},
	{4, 3, 65535, true},
	{4, 3, UINT64_MAX, true},
};

static void test_split_table(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(split_rows); i++) {
		const struct split_row *row = &split_rows[i];

		if (notify_split_crossed(row->event, row->new_idx, row->cnt) != row->crossed)
			fail_msg("row %u", i);
	}
}

/* Against the definition: is event one of the cnt entries before new_idx? */
static void test_split_definition(void **state)
{
	static const uint16_t bases[] = {0, 1, 65530, 32760};

	(void)state;
	for (unsigned b = 0; b < ARRAY_LEN(bases); b++) {
		for (unsigned cnt = 1; cnt <= 20; cnt++) {
			for (int at = -30; at < 30; at++) {
				const uint16_t new_idx = (uint16_t)(bases[b] + cnt);
				const uint16_t event = (uint16_t)(bases[b] + at);
				const bool crossed = at >= 0 && at < (int)cnt;

				assert_int_equal(notify_split_crossed(event, new_idx, cnt),
						 crossed);
			}
		}
	}
}

/* Is position `at` of two laps (the second has wrap counter 1) one of the cnt before new_pos? */
static bool packed_is_among(uint32_t at, uint32_t new_pos, uint32_t cnt, uint32_t size)
{
	for (uint32_t i = 1; i <= cnt; i++) {
		if ((new_pos + 2 * size - i) % (2 * size) == at)
			return true;
	}
	return cnt == size; /* a whole ring: a call whatever the event */
}

static void check_packed(uint32_t size, uint32_t new_pos, uint32_t at)
{
	const uint16_t off_wrap = (uint16_t)(at % size | (at >= size) << 15);

	for (uint32_t cnt = 1; cnt <= size; cnt++)
		assert_int_equal(notify_packed_crossed(off_wrap, (uint16_t)(new_pos % size),
						       new_pos >= size, cnt, size),
				 packed_is_among(at, new_pos, cnt, size));
}

/* Against the definition, for all positions and events of small rings. */
static void test_packed_definition(void **state)
{
	(void)state;
	for (uint32_t size = 1; size <= 6; size++) {
		for (uint32_t new_pos = 0; new_pos < 2 * size; new_pos++) {
			for (uint32_t at = 0; at < 2 * size; at++)
				check_packed(size, new_pos, at);
		}
	}
}

static void test_packed_large_ring(void **state)
{
	const uint32_t size = 32768;

	(void)state;
	/* The last position of the ring, of this lap and of the one before. */
	assert_true(notify_packed_crossed(0x7fff | 0x8000, 0, false, 1, size));
	assert_false(notify_packed_crossed(0x7fff, 0, false, 1, size));
	assert_true(notify_packed_crossed(0x7fff | 0x8000, 1, false, 2, size));
	assert_false(notify_packed_crossed(0x7fff | 0x8000, 1, false, 1, size));
	assert_true(notify_packed_crossed(0, 1, false, 1, size));
	assert_false(notify_packed_crossed(0x8000, 1, false, 1, size));
	/* More than the ring has. */
	assert_true(notify_packed_crossed(0, 1, true, UINT64_MAX, size));
}

/* Runs cnt requests through, without notifying. */
static void run(struct fixture *f, unsigned cnt)
{
	const struct seg seg = {DATA_GPA, 64, true};
	struct vq_slot *slots[VIRTQUEUE_BURST];
	uint32_t len;
	uint16_t id;

	for (unsigned i = 0; i < cnt; i++)
		assert_true(driver_add(&f->driver, &seg, 1) >= 0);
	driver_publish(&f->driver);
	assert_int_equal(virtqueue_fetch(f->vq, f->pool, slots, VIRTQUEUE_BURST), cnt);
	virtqueue_complete(f->vq, f->pool, slots, cnt);
	while (driver_get_used(&f->driver, &id, &len))
		;
}

static uint64_t calls(struct fixture *f)
{
	virtqueue_notify(f->vq);
	return fixture_signals(f->call_fd);
}

/* Always, never; one call for many; none for none. */
static void test_call_flags(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct fixture f;

	fixture_init(&f, &opts);
	driver_want_always(&f.driver);
	assert_int_equal(calls(&f), 0);
	run(&f, 5);
	assert_int_equal(calls(&f), 1);
	assert_int_equal(calls(&f), 0);
	driver_want_never(&f.driver);
	run(&f, 5);
	assert_int_equal(calls(&f), 0);
	assert_int_equal(virtqueue_stats(f.vq)->calls, 1);
	assert_int_equal(virtqueue_stats(f.vq)->calls_suppressed, 1);
	/* What was decided is decided. */
	driver_want_always(&f.driver);
	assert_int_equal(calls(&f), 0);
	run(&f, 1);
	assert_int_equal(calls(&f), 1);
	fixture_fini(&f);
}

/* The position (free-running, or with wrap counter) that is `ahead` entries from the driver's. */
static uint16_t event_ahead(const struct driver *d, unsigned ahead)
{
	unsigned pos;

	if (!d->opts.packed)
		return (uint16_t)(d->used_idx + ahead);
	pos = d->used_idx + d->used_wrap * d->opts.size + ahead;
	return (uint16_t)(pos % d->opts.size | (pos / d->opts.size % 2) << 15);
}

/* A call exactly when the named entry is used, whatever the bursts, over several laps. */
static void test_call_events(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, 8);
	struct fixture f;

	opts.event_idx = true;
	opts.start_idx = way->packed ? 0x8003 : 65500;
	fixture_init(&f, &opts);
	run(&f, 1);
	calls(&f); /* a resumed ring gives one for its predecessor */
	for (unsigned round = 0; round < 60; round++) {
		const unsigned ahead = round % 7;
		const unsigned burst = 1 + round % 5;
		unsigned used = 0;

		driver_want_at(&f.driver, event_ahead(&f.driver, ahead));
		while (used <= ahead) {
			run(&f, burst);
			assert_int_equal(calls(&f), ahead >= used && ahead < used + burst);
			used += burst;
		}
		run(&f, 1);
		assert_int_equal(calls(&f), 0);
	}
	fixture_fini(&f);
}

/* Several bursts, then one decision: the event may be in any of them. */
static void test_call_once_for_many_bursts(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, 16);
	struct fixture f;

	opts.event_idx = true;
	for (unsigned ahead = 0; ahead < 15; ahead++) {
		fixture_init(&f, &opts);
		driver_want_at(&f.driver, event_ahead(&f.driver, ahead));
		for (unsigned i = 0; i < 4; i++)
			run(&f, 3);
		assert_int_equal(calls(&f), ahead < 12);
		assert_int_equal(calls(&f), 0);
		fixture_fini(&f);
	}
	/* More than the ring holds without a decision: a call, to be safe. */
	fixture_init(&f, &opts);
	driver_want_at(&f.driver, event_ahead(&f.driver, 2));
	for (unsigned i = 0; i < 12; i++)
		run(&f, 3);
	assert_int_equal(calls(&f), 1);
	fixture_fini(&f);
}

/* Packed chains of several descriptors: the event is a position in the ring, not a count. */
static void test_call_event_in_descriptors(void **state)
{
	const struct driver_opts opts = {
		.packed = true, .event_idx = true, .size = 8, .start_idx = 0x8000};
	const struct seg segs[3] = {
		{DATA_GPA, 64, true}, {DATA_GPA, 64, true}, {DATA_GPA, 64, true}};
	struct fixture f;

	(void)state;
	for (unsigned at = 0; at < 8; at++) {
		fixture_init(&f, &opts);
		driver_want_at(&f.driver, (uint16_t)(at | 0x8000));
		driver_add(&f.driver, segs, 3);
		driver_publish(&f.driver);
		fixture_complete_one(&f, fixture_fetch_one(&f), 0);
		assert_int_equal(calls(&f), at < 3);
		fixture_fini(&f);
	}
}

/* Descriptor events without the feature, and the reserved value: a call, rather than a hang. */
static void test_packed_odd_flags(void **state)
{
	const struct driver_opts opts = {.packed = true, .size = 8, .start_idx = 0x8000};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	put16(f.driver.driver_area, 0x8007);
	put16(f.driver.driver_area + 2, 2);
	run(&f, 1);
	assert_int_equal(calls(&f), 1);
	put16(f.driver.driver_area + 2, 3);
	run(&f, 1);
	assert_int_equal(calls(&f), 1);
	/* Bits above are reserved. */
	put16(f.driver.driver_area + 2, 0xfffd);
	run(&f, 1);
	assert_int_equal(calls(&f), 0);
	fixture_fini(&f);
}

/* With events the NO_INTERRUPT flag means nothing; without them the event means nothing. */
static void test_split_other_mode_is_ignored(void **state)
{
	struct driver_opts opts = {.size = 8, .event_idx = true};
	struct fixture f;

	(void)state;
	fixture_init(&f, &opts);
	put16(f.driver.driver_area, 1);
	driver_want_at(&f.driver, 0);
	run(&f, 1);
	assert_int_equal(calls(&f), 1);
	fixture_fini(&f);

	opts.event_idx = false;
	fixture_init(&f, &opts);
	put16(f.driver.driver_area + 4 + 16, 0x5555);
	run(&f, 1);
	assert_int_equal(calls(&f), 1);
	fixture_fini(&f);
}

/* A ring that was served before us: the call for what our predecessor used may be missing. */
static void test_resumed_ring_calls_once(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, 8);
	struct fixture f;

	opts.event_idx = true;
	fixture_init(&f, &opts);
	assert_int_equal(calls(&f), 0);
	run(&f, 3);
	driver_want_at(&f.driver, event_ahead(&f.driver, 7));
	fixture_restart(&f, virtqueue_base(f.vq), true);
	assert_int_equal(calls(&f), 1);
	assert_int_equal(calls(&f), 0);
	run(&f, 1);
	assert_int_equal(calls(&f), 0);
	fixture_fini(&f);
}

/* The driver polls, then gives a call descriptor: what was used before it counts. */
static void test_call_descriptor_comes_late(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	struct fixture f;

	fixture_init(&f, &opts);
	virtqueue_set_call(f.vq, -1);
	run(&f, 3);
	assert_int_equal(calls(&f), 0);
	virtqueue_set_call(f.vq, f.call_fd);
	assert_int_equal(calls(&f), 1);
	assert_int_equal(calls(&f), 0);
	fixture_fini(&f);
}

/* Would the driver kick for one more request? Adds it and runs it. */
static bool kicks(struct fixture *f)
{
	const uint16_t old_idx = f->driver.avail_idx;
	const bool old_wrap = f->driver.avail_wrap;
	const struct seg seg = {DATA_GPA, 64, true};
	const int id = driver_add(&f->driver, &seg, 1);
	bool kick;

	driver_publish(&f->driver);
	kick = driver_would_kick(&f->driver, old_idx, old_wrap);
	fixture_complete_one(f, fixture_fetch_one(f), 0);
	fixture_expect_used(f, id, 0);
	return kick;
}

/* Armed: kicks. Disarmed: none. At every position of some laps. */
static void test_arm(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, 4);
	struct fixture f;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		opts.event_idx = event_idx;
		opts.start_idx = way->packed ? 0x8000 : 65530;
		fixture_init(&f, &opts);
		for (unsigned i = 0; i < 20; i++) {
			assert_false(virtqueue_arm(f.vq));
			assert_false(virtqueue_arm(f.vq));
			assert_true(kicks(&f));
			virtqueue_disarm(f.vq);
			assert_false(kicks(&f));
			virtqueue_disarm(f.vq);
			assert_false(kicks(&f));
		}
		fixture_fini(&f);
	}
}

/* The request that slips in before arming is seen by arming. */
static void test_arm_looks_again(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, 4);
	const struct seg seg = {DATA_GPA, 64, true};
	struct fixture f;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		opts.event_idx = event_idx;
		fixture_init(&f, &opts);
		virtqueue_disarm(f.vq);
		fixture_fetch_none(&f);
		driver_add(&f.driver, &seg, 1);
		driver_publish(&f.driver);
		assert_true(virtqueue_has_avail(f.vq));
		assert_true(virtqueue_arm(f.vq));
		fixture_fetch_one(&f);
		assert_false(virtqueue_arm(f.vq));
		fixture_fini(&f);
	}
}

/* What a predecessor left in the ring does not confuse us: kicks off, then armed by us. */
static void test_arm_after_predecessor(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, 4);
	struct fixture f;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		opts.event_idx = event_idx;
		fixture_init(&f, &opts);
		put16(f.driver.device_area + (way->packed ? 2 : 0), 1);
		fixture_restart(&f, virtqueue_base(f.vq), true);
		assert_false(virtqueue_arm(f.vq));
		assert_true(kicks(&f));
		if (!way->packed)
			assert_int_equal(get16(f.driver.device_area), 0);
		fixture_fini(&f);
	}
}

/* Control makes a queue without writing to guest memory. */
static void test_new_writes_nothing(void **state)
{
	const struct way *way = *state;
	const struct driver_opts opts = way_opts(way, 8);
	uint8_t *before = malloc(LOW_BYTES);
	struct fixture f;

	assert_non_null(before);
	fixture_init(&f, &opts);
	memset(f.driver.device_area, 0x5a, 4);
	memcpy(before, driver_hva(f.memory, LOW_GPA), LOW_BYTES);
	fixture_restart(&f, virtqueue_base(f.vq), true);
	virtqueue_base(f.vq);
	virtqueue_has_avail(f.vq);
	assert_memory_equal(before, driver_hva(f.memory, LOW_GPA), LOW_BYTES);
	fixture_fini(&f);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_table),
		cmocka_unit_test(test_split_definition),
		cmocka_unit_test(test_packed_definition),
		cmocka_unit_test(test_packed_large_ring),
		WAYS_DIRECT(test_call_flags),
		WAYS_DIRECT(test_call_events),
		WAYS_DIRECT(test_call_once_for_many_bursts),
		cmocka_unit_test(test_call_event_in_descriptors),
		cmocka_unit_test(test_packed_odd_flags),
		cmocka_unit_test(test_split_other_mode_is_ignored),
		WAYS_DIRECT(test_resumed_ring_calls_once),
		WAYS_DIRECT(test_call_descriptor_comes_late),
		WAYS_DIRECT(test_arm),
		WAYS_DIRECT(test_arm_looks_again),
		WAYS_DIRECT(test_arm_after_predecessor),
		WAYS_DIRECT(test_new_writes_nothing),
	};

	return cmocka_run_group_tests_name("notification", tests, NULL, NULL);
}
