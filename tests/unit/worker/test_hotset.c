/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot and cold: when a poller leaves the hot set and what brings it back. Not kicks (test_kick.c),
 * not what callbacks do to the set (test_hotset_callbacks.c).
 */
#include "rig.h"

#include <stdlib.h>

#include "worker/worker_priv.h"

#define HOUR_NS (3600 * NS_PER_S)

/* --- the three modes --- */

static void test_adaptive_stays_hot_in_its_window(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake_add(rig, &fake);
	wait_until(get(&fake.polls) > 100000);
	assert_int_equal(get(&fake.prepares), 0);
	assert_true(fake_is_hot(rig, &fake));
	fake_remove(rig, &fake);
}

static void test_adaptive_cools_after_its_window(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	unsigned polls;

	fake_init(&fake, POLL_MODE_ADAPTIVE, 200 * NS_PER_US);
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.prepares), 1);
	assert_int_equal(get(&fake.cancels), 0);
	/* Cold is never polled, however many turns the worker makes. */
	polls = get(&fake.polls);
	rig_turns(rig, 100);
	assert_int_equal(get(&fake.polls), polls);
	fake_remove(rig, &fake);
}

static uint64_t cooled_at_ns;

static void note_cooling(struct fake_poller *fake)
{
	cooled_at_ns = worker_now_ns(fake->poller.worker);
}

static uint64_t worked_at_ns;

static void note_work(struct fake_poller *fake)
{
	if (get(&fake->work_left) == 0 && worked_at_ns == 0)
		worked_at_ns = fake->poll_now_ns;
}

/* The window begins with the last work, not with the first poll. */
static void test_adaptive_window_is_measured_from_work(void **state)
{
	const uint64_t window_ns = 300 * NS_PER_US;
	struct rig *rig = *state;
	struct fake_poller fake;

	worked_at_ns = 0;
	cooled_at_ns = 0;
	fake_init(&fake, POLL_MODE_ADAPTIVE, window_ns);
	fake.work_left = 1000;
	fake.on_poll = note_work;
	fake.on_prepare = note_cooling;
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	assert_true(worked_at_ns > 0);
	assert_true(cooled_at_ns >= worked_at_ns + window_ns);
	fake_remove(rig, &fake);
}

static void test_always_never_leaves(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	const uint64_t sleeps = stat_read(&worker_stats(rig->worker)->sleeps);

	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	wait_until(get(&fake.polls) > 100000);
	assert_int_equal(get(&fake.prepares), 0);
	/* At most the sleep that was under way when it came. */
	assert_true(stat_read(&worker_stats(rig->worker)->sleeps) <= sleeps + 1);
	fake_remove(rig, &fake);
}

static void test_never_cools_at_once(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_NEVER, HOUR_NS);
	fake.work_left = 3;
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	/* Three turns of work, one that found nothing. */
	assert_int_equal(get(&fake.polls), 4);
	assert_int_equal(get(&fake.prepares), 1);
	fake_remove(rig, &fake);
}

/* --- prepare_sleep, wake, deadline, mode --- */

static void test_work_on_recheck_keeps_hot(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.arrivals_left = 2;
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.prepares), 3);
	assert_int_equal(get(&fake.cancels), 2);
	assert_int_equal(get(&fake.polls), 3);
	fake_remove(rig, &fake);
}

static uint64_t prepare_times_ns[2];

static void note_prepare(struct fake_poller *fake)
{
	prepare_times_ns[get(&fake->prepares) > 1] = worker_now_ns(fake->poller.worker);
}

static void test_work_on_recheck_resets_the_window(void **state)
{
	const uint64_t window_ns = 100 * NS_PER_US;
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, window_ns);
	fake.arrivals_left = 1;
	fake.on_prepare = note_prepare;
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.prepares), 2);
	assert_true(prepare_times_ns[1] - prepare_times_ns[0] >= window_ns);
	fake_remove(rig, &fake);
}

static void test_wake(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake_add(rig, &fake);
	for (unsigned i = 1; i <= 100; i++) {
		fake_wait_cold(rig, &fake);
		assert_int_equal(get(&fake.polls), i);
		assert_int_equal(get(&fake.prepares), i);
		fake_wake(rig, &fake);
		wait_until(get(&fake.polls) == i + 1);
		assert_int_equal(get(&fake.cancels), i);
	}
	fake_remove(rig, &fake);
}

static void wake_self_once(struct fake_poller *fake)
{
	if (fake->arg) {
		fake->arg = NULL;
		worker_poller_wake(&fake->poller);
	}
}

/* A wake that comes while the poller is asked to sleep, or is polled, is not lost. */
static void test_wake_of_itself(void **state)
{
	struct rig *rig = *state;
	struct fake_poller in_prepare;
	struct fake_poller in_poll;
	struct fake_poller in_deadline;

	fake_init(&in_prepare, POLL_MODE_NEVER, 0);
	in_prepare.on_prepare = wake_self_once;
	in_prepare.arg = rig;
	fake_add(rig, &in_prepare);
	fake_wait_cold(rig, &in_prepare);
	assert_int_equal(get(&in_prepare.polls), 2);
	assert_int_equal(get(&in_prepare.prepares), 2);
	assert_int_equal(get(&in_prepare.cancels), 1);

	fake_init(&in_poll, POLL_MODE_NEVER, 0);
	in_poll.on_poll = wake_self_once;
	in_poll.arg = rig;
	fake_add(rig, &in_poll);
	fake_wait_cold(rig, &in_poll);
	assert_int_equal(get(&in_poll.polls), 2);
	assert_int_equal(get(&in_poll.prepares), 1);

	fake_init(&in_deadline, POLL_MODE_NEVER, 0);
	in_deadline.on_deadline = wake_self_once;
	in_deadline.arg = rig;
	in_deadline.deadline_ns = clock_now_ns() + HOUR_NS;
	fake_add(rig, &in_deadline);
	fake_wait_cold(rig, &in_deadline);
	assert_int_equal(get(&in_deadline.polls), 2);
	assert_int_equal(get(&in_deadline.prepares), 2);
	assert_int_equal(rig->worker->timers.cnt, 0);
	fake_remove(rig, &in_deadline);
	fake_remove(rig, &in_prepare);
	fake_remove(rig, &in_poll);
}

static void test_deadline_of_a_cold_poller(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	const uint64_t deadline_ns = clock_now_ns() + 3 * NS_PER_MS;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.deadline_ns = deadline_ns;
	fake_add(rig, &fake);
	/* Nobody else touches the worker: its own timeout has to end the sleep. */
	wait_until(get(&fake.prepares) == 2);
	assert_int_equal(get(&fake.polls), 2);
	assert_int_equal(get(&fake.cancels), 1);
	fake_wait_cold(rig, &fake);
	assert_true(fake.poll_now_ns >= deadline_ns);
	fake_remove(rig, &fake);
}

static void test_deadline_is_dropped_when_hot(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.deadline_ns = clock_now_ns() + HOUR_NS;
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	assert_int_equal(rig->worker->timers.cnt, 1);
	fake_wake(rig, &fake);
	wait_until(get(&fake.polls) == 2);
	fake_wait_cold(rig, &fake);
	assert_int_equal(rig->worker->timers.cnt, 0);
	fake_remove(rig, &fake);
}

static void test_deadline_goes_with_the_poller(void **state)
{
	struct rig *rig = *state;
	struct fake_poller *fake = malloc(sizeof(*fake));

	assert_non_null(fake);
	fake_init(fake, POLL_MODE_NEVER, 0);
	fake->deadline_ns = clock_now_ns() + HOUR_NS;
	fake_add(rig, fake);
	fake_wait_cold(rig, fake);
	fake_remove(rig, fake);
	free(fake);
	rig_turns(rig, 1);
	assert_int_equal(rig->worker->timers.cnt, 0);
}

static void test_set_mode(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	unsigned polls;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	fake_set_mode(rig, &fake, POLL_MODE_ALWAYS, 0);
	polls = get(&fake.polls);
	wait_until(get(&fake.polls) > polls + 1000);
	assert_int_equal(get(&fake.prepares), 1);
	fake_set_mode(rig, &fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	polls = get(&fake.polls);
	wait_until(get(&fake.polls) > polls + 1000);
	assert_int_equal(get(&fake.prepares), 1);
	fake_set_mode(rig, &fake, POLL_MODE_NEVER, 0);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.prepares), 2);
	fake_set_mode(rig, &fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	assert_false(fake_is_hot(rig, &fake));
	fake_remove(rig, &fake);
}

static uint64_t changed_at_ns;

static void go_adaptive(struct worker *worker, void *arg)
{
	changed_at_ns = worker_now_ns(worker);
	worker_poller_set_mode(arg, POLL_MODE_ADAPTIVE, 300 * NS_PER_US);
}

/* What it did not find while it never slept does not count against the new window. */
static void test_set_mode_begins_a_window(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake.on_prepare = note_cooling;
	fake_add(rig, &fake);
	wait_until(get(&fake.polls) > 100000);
	rig_call(rig, go_adaptive, &fake.poller);
	fake_wait_cold(rig, &fake);
	assert_true(cooled_at_ns >= changed_at_ns + 300 * NS_PER_US);
	fake_remove(rig, &fake);
}

static void go_always(struct fake_poller *fake)
{
	worker_poller_set_mode(&fake->poller, POLL_MODE_ALWAYS, 0);
}

static void test_set_mode_while_asked_to_sleep(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.on_prepare = go_always;
	fake_add(rig, &fake);
	wait_until(get(&fake.polls) > 1000);
	assert_int_equal(get(&fake.prepares), 1);
	fake_remove(rig, &fake);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_adaptive_stays_hot_in_its_window),
		TEST(test_adaptive_cools_after_its_window),
		TEST(test_adaptive_window_is_measured_from_work),
		TEST(test_always_never_leaves),
		TEST(test_never_cools_at_once),
		TEST(test_work_on_recheck_keeps_hot),
		TEST(test_work_on_recheck_resets_the_window),
		TEST(test_wake),
		TEST(test_wake_of_itself),
		TEST(test_deadline_of_a_cold_poller),
		TEST(test_deadline_is_dropped_when_hot),
		TEST(test_deadline_goes_with_the_poller),
		TEST(test_set_mode),
		TEST(test_set_mode_begins_a_window),
		TEST(test_set_mode_while_asked_to_sleep),
	};

	return cmocka_run_group_tests_name("hotset", tests, NULL, NULL);
}
