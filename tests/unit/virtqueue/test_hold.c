/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are held, on rings: what is called for in the end, and that nothing is lost on the
 * way, whatever changes meanwhile. The clock is the test's.
 * Not the decision itself (test_coalesce.c), not any order of events (test_hold_random.c).
 */
#include "hold_rig.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/compiler.h"

static const struct coalesce_config off = {COALESCE_OFF, 8, 50, false};

/* The end of a burst that completed cnt: how many calls it made. */
static uint64_t burst(struct rig *rig, unsigned cnt, uint64_t now_ns)
{
	complete(rig, cnt);
	virtqueue_notify_burst(rig->f.vq, now_ns);
	return fixture_signals(rig->f.call_fd);
}

/* Off: each burst has its call, and nothing is ever held. */
static void test_off(void **state)
{
	struct rig rig;

	rig_init(&rig, *state, false);
	submit(&rig, 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(burst(&rig, 1, T0), 1);
		assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
	}
	assert_int_equal(burst(&rig, 0, T0), 0);
	for (unsigned i = 0; i < COALESCE_VERDICT_MAX_; i++)
		assert_int_equal(coalesced(&rig, i), 0);
	rig_fini(&rig);
}

static void test_static(void **state)
{
	struct rig rig;

	rig_init(&rig, *state, false);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	submit(&rig, 30);
	/* By number. */
	assert_int_equal(burst(&rig, 3, T0), 0);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), T0 + 50 * US);
	assert_int_equal(burst(&rig, 4, T0 + 10 * US), 0);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), T0 + 50 * US);
	assert_int_equal(burst(&rig, 1, T0 + 20 * US), 1);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
	/* By time, without a completion. */
	assert_int_equal(burst(&rig, 1, T0 + 30 * US), 0);
	assert_int_equal(burst(&rig, 0, T0 + 79 * US), 0);
	assert_int_equal(burst(&rig, 0, T0 + 80 * US), 1);
	assert_int_equal(burst(&rig, 0, T0 + 500 * US), 0);
	/* Nothing left in flight. */
	assert_int_equal(burst(&rig, 1, T0 + 600 * US), 0);
	complete(&rig, 15);
	assert_int_equal(burst(&rig, 5, T0 + 601 * US), 1);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
	/* Ends of bursts, not looks. */
	assert_int_equal(coalesced(&rig, COALESCE_HOLD), 4);
	assert_int_equal(coalesced(&rig, COALESCE_DUE_PACKETS), 1);
	assert_int_equal(coalesced(&rig, COALESCE_DUE_DEADLINE), 1);
	assert_int_equal(coalesced(&rig, COALESCE_DUE_IN_FLIGHT), 1);
	assert_int_equal(virtqueue_stats(rig.f.vq)->calls, 3);
	rig_fini(&rig);
}

/* Depth 1 never waits, in no mode. */
static void test_depth_1(void **state)
{
	struct rig rig;

	for (unsigned mode = 0; mode < COALESCE_MODE_MAX_; mode++) {
		const struct coalesce_config config = {(enum coalesce_mode)mode, 1000, 1000000,
						       false};

		rig_init(&rig, *state, false);
		virtqueue_set_coalesce(rig.f.vq, &config);
		for (unsigned i = 0; i < 2000; i++) {
			submit(&rig, 1);
			assert_int_equal(burst(&rig, 1, T0 + i * US), 1);
			assert_int_equal(driver_reap(&rig), 1);
		}
		rig_fini(&rig);
	}
}

/* A guard of 4, then a share of the completions, once the rate was seen. */
static void test_adaptive(void **state)
{
	static const struct coalesce_config config = {COALESCE_ADAPTIVE, 32, 1000, false};
	uint64_t now_ns = T0;
	unsigned calls = 0;
	struct rig rig;

	rig_init(&rig, *state, false);
	virtqueue_set_coalesce(rig.f.vq, &config);
	submit(&rig, 41);
	/* 40 in flight behind each completion, 10000 a second: at first all are called for. */
	for (unsigned i = 0; i < 4000; i++) {
		calls += (unsigned)burst(&rig, 1, now_ns);
		driver_reap(&rig);
		submit(&rig, 1);
		now_ns += 100 * US;
		if (i == 1999) {
			assert_int_equal(calls, 2000);
			assert_int_equal(coalesced(&rig, COALESCE_HOLD), 0);
		}
	}
	/* 40 / 8: one of five from then on. */
	assert_in_range(calls, 2000 + 399, 2000 + 401);
	/* The last of them. */
	assert_int_equal(burst(&rig, 37, now_ns), 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(burst(&rig, 1, now_ns), 1);
	rig_fini(&rig);
}

/* With events: the decision is about all that was held, and the driver's own wish counts. */
static void test_events(void **state)
{
	const struct way *way = *state;
	struct rig rig;

	for (unsigned at = 0; at < 12; at++) {
		rig_init(&rig, way, true);
		virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
		driver_want_at(&rig.f.driver, (uint16_t)(at | (way->packed ? 0x8000 : 0)));
		submit(&rig, 20);
		assert_int_equal(burst(&rig, 3, T0), 0);
		assert_int_equal(burst(&rig, 4, T0), 0);
		/* The eighth: a call if the entry is among the eight. */
		assert_int_equal(burst(&rig, 1, T0), at < 8);
		assert_int_equal(virtqueue_stats(rig.f.vq)->calls_suppressed, at >= 8);
		assert_int_equal(burst(&rig, 3, T0), 0);
		assert_int_equal(burst(&rig, 0, T0 + 50 * US), at >= 8 && at < 11);
		rig_fini(&rig);
	}
}

/* The driver looks by itself while a call is held, and then waits for what comes next. */
static void test_driver_looks_meanwhile(void **state)
{
	const struct way *way = *state;
	struct rig rig;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		rig_init(&rig, *state, event_idx);
		virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
		submit(&rig, 20);
		assert_int_equal(burst(&rig, 5, T0), 0);
		assert_int_equal(driver_reap(&rig), 5);
		driver_want_always(&rig.f.driver);
		if (event_idx && !way->packed) {
			/* Its event is behind the held ones: none is wanted for them. */
			assert_int_equal(burst(&rig, 0, T0 + 50 * US), 0);
			assert_int_equal(burst(&rig, 1, T0 + 51 * US), 0);
			assert_int_equal(burst(&rig, 0, T0 + 101 * US), 1);
		} else {
			assert_int_equal(burst(&rig, 0, T0 + 50 * US), 1);
		}
		rig_fini(&rig);
	}
}

/* virtqueue_notify() lets nothing wait, and leaves nothing behind. */
static void test_notify_releases(void **state)
{
	struct rig rig;

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		rig_init(&rig, *state, event_idx);
		virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
		submit(&rig, 30);
		assert_int_equal(burst(&rig, 7, T0), 0);
		virtqueue_notify(rig.f.vq);
		assert_int_equal(fixture_signals(rig.f.call_fd), 1);
		assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
		assert_int_equal(burst(&rig, 0, T0 + 500 * US), 0);
		driver_reap(&rig);
		driver_want_always(&rig.f.driver);
		/* Counted from 0 again, with a deadline of their own. */
		assert_int_equal(burst(&rig, 7, T0 + 500 * US), 0);
		assert_int_equal(virtqueue_held_until_ns(rig.f.vq), T0 + 550 * US);
		assert_int_equal(burst(&rig, 1, T0 + 501 * US), 1);
		rig_fini(&rig);
	}
}

/* To any mode while a call is held: it goes out at the next look, also without a completion. */
static void test_mode_changes_while_held(void **state)
{
	for (unsigned mode = 0; mode < COALESCE_MODE_MAX_; mode++) {
		const struct coalesce_config config = {(enum coalesce_mode)mode, 1000, 1000000,
						       false};
		struct rig rig;

		rig_init(&rig, *state, true);
		virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
		submit(&rig, 30);
		assert_int_equal(burst(&rig, 2, T0), 0);
		virtqueue_set_coalesce(rig.f.vq, &config);
		assert_int_equal(fixture_signals(rig.f.call_fd), 0);
		/* Due: whoever waits for the time finds it passed. */
		assert_int_not_equal(virtqueue_held_until_ns(rig.f.vq), 0);
		assert_true(virtqueue_held_until_ns(rig.f.vq) <= T0);
		assert_int_equal(burst(&rig, 0, T0 + 1), 1);
		assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
		rig_fini(&rig);
	}
}

/* Off and on again before anybody looked. */
static void test_off_and_back_while_held(void **state)
{
	struct rig rig;

	rig_init(&rig, *state, true);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	submit(&rig, 30);
	assert_int_equal(burst(&rig, 2, T0), 0);
	virtqueue_set_coalesce(rig.f.vq, &off);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	assert_int_equal(burst(&rig, 1, T0 + 1), 1);
	/* From here on as configured. */
	driver_reap(&rig);
	driver_want_always(&rig.f.driver);
	assert_int_equal(burst(&rig, 1, T0 + 2), 0);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), T0 + 2 + 50 * US);
	rig_fini(&rig);
}

/* Switched on between a completion and the end of its burst: that burst is the first. */
static void test_on_before_the_end_of_a_burst(void **state)
{
	struct rig rig;

	rig_init(&rig, *state, false);
	submit(&rig, 30);
	assert_int_equal(burst(&rig, 5, T0), 1);
	complete(&rig, 7);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	assert_int_equal(burst(&rig, 0, T0), 0);
	assert_int_equal(burst(&rig, 1, T0), 1);
	rig_fini(&rig);
}

static void test_call_fd_replaced(void **state)
{
	const int other = eventfd(0, EFD_NONBLOCK);
	struct rig rig;

	assert_true(other >= 0);
	rig_init(&rig, *state, false);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	submit(&rig, 40);
	/* As the owner does it: a new fd, and a look at once. */
	assert_int_equal(burst(&rig, 3, T0), 0);
	virtqueue_set_call(rig.f.vq, other);
	virtqueue_notify(rig.f.vq);
	assert_int_equal(fixture_signals(other), 1);
	/* Without that it goes to the new one when it is due. */
	assert_int_equal(burst(&rig, 3, T0), 0);
	virtqueue_set_call(rig.f.vq, rig.f.call_fd);
	assert_int_equal(burst(&rig, 0, T0 + 50 * US), 1);
	assert_int_equal(fixture_signals(other), 0);
	/* None for a while: nothing is due, nothing is forgotten. */
	assert_int_equal(burst(&rig, 3, T0), 0);
	virtqueue_set_call(rig.f.vq, -1);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
	assert_int_equal(burst(&rig, 0, T0 + 50 * US), 0);
	assert_int_equal(burst(&rig, 1, T0 + 60 * US), 0);
	virtqueue_set_call(rig.f.vq, rig.f.call_fd);
	assert_int_equal(burst(&rig, 0, T0 + 70 * US), 1);
	assert_int_equal(burst(&rig, 0, T0 + 500 * US), 0);
	/* None from the start: a driver that polls. */
	virtqueue_set_call(rig.f.vq, -1);
	assert_int_equal(burst(&rig, 3, T0 + 500 * US), 0);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
	rig_fini(&rig);
	close(other);
}

/* The ring goes while a call about it is held: the call goes first, by the driver's last wish. */
static void test_memory_lost(void **state)
{
	for (unsigned wanted = 0; wanted < 2; wanted++) {
		struct gmem *without;
		struct rig rig;

		rig_init(&rig, *state, false);
		if (!wanted)
			driver_want_never(&rig.f.driver);
		virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
		submit(&rig, 20);
		assert_int_equal(burst(&rig, 3, T0), 0);
		without = driver_memory_without(rig.f.memory, 0);
		virtqueue_set_memory(rig.f.vq, without);
		assert_int_equal(fixture_signals(rig.f.call_fd), wanted);
		assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
		assert_int_equal(virtqueue_fault(rig.f.vq), VIRTQUEUE_FAULT_RING_UNMAPPED);
		/* What is completed later reaches no ring. */
		assert_int_equal(burst(&rig, 17, T0 + 1), 0);
		assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
		rig_fini(&rig);
		free(without);
	}
}

/* The same without a call fd at that time: the one that comes later is signalled. */
static void test_memory_lost_without_call_fd(void **state)
{
	struct gmem *without;
	struct rig rig;

	rig_init(&rig, *state, false);
	virtqueue_set_call(rig.f.vq, -1);
	submit(&rig, 5);
	assert_int_equal(burst(&rig, 3, T0), 0);
	without = driver_memory_without(rig.f.memory, 0);
	virtqueue_set_memory(rig.f.vq, without);
	virtqueue_set_call(rig.f.vq, rig.f.call_fd);
	virtqueue_notify(rig.f.vq);
	assert_int_equal(fixture_signals(rig.f.call_fd), 1);
	rig_fini(&rig);
	free(without);
}

/* Memory changes, the ring stays: nothing is lost, and holding goes on. */
static void test_memory_changes(void **state)
{
	struct gmem *without;
	struct rig rig;

	rig_init(&rig, *state, true);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	submit(&rig, 20);
	assert_int_equal(burst(&rig, 3, T0), 0);
	without = driver_memory_without(rig.f.memory, 2);
	virtqueue_set_memory(rig.f.vq, without);
	assert_int_equal(fixture_signals(rig.f.call_fd), 1);
	driver_reap(&rig);
	driver_want_always(&rig.f.driver);
	assert_int_equal(burst(&rig, 7, T0), 0);
	assert_int_equal(burst(&rig, 1, T0), 1);
	rig_fini(&rig);
	free(without);
}

/* A predecessor's call is never held, with much in flight and nothing completed. */
static void test_owed_call(void **state)
{
	struct rig rig;

	rig_init(&rig, *state, false);
	submit(&rig, 3);
	complete(&rig, 3);
	driver_reap(&rig);
	fixture_restart(&rig.f, virtqueue_base(rig.f.vq), true);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	submit(&rig, 20);
	assert_int_equal(burst(&rig, 0, T0), 1);
	assert_int_equal(burst(&rig, 0, T0), 0);
	assert_int_equal(burst(&rig, 7, T0), 0);
	assert_int_equal(burst(&rig, 1, T0), 1);
	rig_fini(&rig);
}

/* In order: what overtook others is not completed, so it is not waited for either. */
static void test_in_order(void **state)
{
	const struct way *way = *state;
	struct driver_opts opts = way_opts(way, RING_SIZE);
	struct rig rig = {0};

	opts.in_order = true;
	fixture_init(&rig.f, &opts);
	driver_want_always(&rig.f.driver);
	virtqueue_set_coalesce(rig.f.vq, &hold_8_50us);
	submit(&rig, 4);
	/* The first one is slow. */
	rig.first++;
	assert_int_equal(burst(&rig, 3, T0), 0);
	assert_int_equal(virtqueue_held_until_ns(rig.f.vq), 0);
	rig.first = 0;
	assert_int_equal(burst(&rig, 1, T0 + 500 * US), 1);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAYS_DIRECT(test_off),
		WAYS_DIRECT(test_static),
		WAYS_DIRECT(test_depth_1),
		WAYS_DIRECT(test_adaptive),
		WAYS_DIRECT(test_events),
		WAYS_DIRECT(test_driver_looks_meanwhile),
		WAYS_DIRECT(test_notify_releases),
		WAYS_DIRECT(test_mode_changes_while_held),
		WAYS_DIRECT(test_off_and_back_while_held),
		WAYS_DIRECT(test_on_before_the_end_of_a_burst),
		WAYS_DIRECT(test_call_fd_replaced),
		WAYS_DIRECT(test_memory_lost),
		WAYS_DIRECT(test_memory_lost_without_call_fd),
		WAYS_DIRECT(test_memory_changes),
		WAYS_DIRECT(test_owed_call),
		WAYS_DIRECT(test_in_order),
	};

	return cmocka_run_group_tests_name("held calls", tests, NULL, NULL);
}
