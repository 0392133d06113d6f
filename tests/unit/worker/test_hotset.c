/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hot and cold: when a poller leaves the hot set, what brings it back, and what callbacks may do
 * to the set while it is walked. Not kicks: test_kick.c.
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

/* --- what callbacks may do to the set --- */

static void remove_self(struct fake_poller *fake)
{
	void *done = fake->arg;

	worker_poller_remove(&fake->poller);
	/* As when its owner frees it at once. */
	free(fake);
	add((unsigned *)done, 1);
}

static struct fake_poller *fake_alloc(enum poll_mode mode, uint64_t poll_max_ns, void *arg)
{
	struct fake_poller *fake = malloc(sizeof(*fake));

	assert_non_null(fake);
	fake_init(fake, mode, poll_max_ns);
	fake->arg = arg;
	return fake;
}

static void test_removes_itself(void **state)
{
	struct rig *rig = *state;
	struct fake_poller *fake;
	unsigned gone = 0;

	fake = fake_alloc(POLL_MODE_ALWAYS, 0, &gone);
	fake->on_poll = remove_self;
	fake_add(rig, fake);
	fake = fake_alloc(POLL_MODE_NEVER, 0, &gone);
	fake->on_prepare = remove_self;
	fake_add(rig, fake);
	fake = fake_alloc(POLL_MODE_NEVER, 0, &gone);
	fake->on_prepare = remove_self;
	fake->arrivals_left = 1;
	fake_add(rig, fake);
	fake = fake_alloc(POLL_MODE_NEVER, 0, &gone);
	fake->on_cancel = remove_self;
	fake->arrivals_left = 1;
	fake_add(rig, fake);
	wait_until(get(&gone) == 4);

	fake = fake_alloc(POLL_MODE_NEVER, 0, &gone);
	fake->on_cancel = remove_self;
	fake_add(rig, fake);
	fake_wait_cold(rig, fake);
	fake_wake(rig, fake);
	wait_until(get(&gone) == 5);

	fake = fake_alloc(POLL_MODE_NEVER, 0, &gone);
	fake->on_cancel = remove_self;
	fake->deadline_ns = clock_now_ns() + NS_PER_MS;
	fake_add(rig, fake);
	wait_until(get(&gone) == 6);
}

static struct fake_poller *crowd[8];
static unsigned crowd_gone;

/* The poller at crowd[0] takes all others out, whichever of them would be next. */
static void remove_the_others(struct fake_poller *fake)
{
	for (unsigned i = 1; i < ARRAY_LEN(crowd); i++) {
		if (!crowd[i])
			continue;
		worker_poller_remove(&crowd[i]->poller);
		free(crowd[i]);
		crowd[i] = NULL;
	}
	(void)fake;
	set(&crowd_gone, 1);
}

/* In one turn, crowd[0] after `place` others. */
static void add_crowd(struct worker *worker, void *arg)
{
	const unsigned place = *(unsigned *)arg;

	for (unsigned i = 1; i < ARRAY_LEN(crowd); i++) {
		if (i == place + 1)
			worker_poller_add(worker, &crowd[0]->poller);
		worker_poller_add(worker, &crowd[i]->poller);
	}
	if (place == ARRAY_LEN(crowd) - 1)
		worker_poller_add(worker, &crowd[0]->poller);
}

static void test_removes_others(void **state)
{
	struct rig *rig = *state;

	for (unsigned place = 0; place < ARRAY_LEN(crowd); place++) {
		set(&crowd_gone, 0);
		for (unsigned i = 0; i < ARRAY_LEN(crowd); i++)
			crowd[i] = fake_alloc(POLL_MODE_ALWAYS, 0, NULL);
		crowd[0]->on_poll = remove_the_others;
		rig_call(rig, add_crowd, &place);
		wait_until(get(&crowd_gone));
		fake_remove(rig, crowd[0]);
		free(crowd[0]);
	}
}

/* Adds the poller at arg, and itself again at the end of the list. */
static void add_other_and_self(struct fake_poller *fake)
{
	struct worker *worker = fake->poller.worker;
	struct fake_poller *other = fake->arg;

	worker_poller_remove(&fake->poller);
	worker_poller_add(worker, &fake->poller);
	if (other) {
		fake->arg = NULL;
		worker_poller_add(worker, &other->poller);
	}
}

static void test_adds_in_poll(void **state)
{
	struct rig *rig = *state;
	struct fake_poller first;
	struct fake_poller second;

	fake_init(&first, POLL_MODE_ALWAYS, 0);
	fake_init(&second, POLL_MODE_ALWAYS, 0);
	first.on_poll = add_other_and_self;
	first.arg = &second;
	second.on_poll = add_other_and_self;
	fake_add(rig, &first);
	/* A turn that followed the list to its end would not end: the call would not be answered. */
	wait_until(get(&first.polls) > 1000 && get(&second.polls) > 1000);
	fake_remove(rig, &first);
	fake_remove(rig, &second);
}

static void wake_other(struct fake_poller *fake)
{
	worker_poller_wake(&((struct fake_poller *)fake->arg)->poller);
}

static struct fake_poller pair[2];

static void add_pair(struct worker *worker, void *arg)
{
	(void)arg;
	worker_poller_add(worker, &pair[0].poller);
	worker_poller_add(worker, &pair[1].poller);
}

static void remove_pair(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
	worker_poller_remove(&pair[0].poller);
	worker_poller_remove(&pair[1].poller);
}

/* Two that wake each other as they go to sleep, for ever: the worker lives on. */
static void test_wake_each_other(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < 2; i++) {
		fake_init(&pair[i], POLL_MODE_NEVER, 0);
		pair[i].on_prepare = wake_other;
		pair[i].arg = &pair[1 - i];
	}
	rig_call(rig, add_pair, NULL);
	wait_until(get(&pair[0].polls) > 1000 && get(&pair[1].polls) > 1000);
	rig_call(rig, remove_pair, NULL);
}

#define MANY 500

static struct fake_poller many[MANY];

/* Adds, removes and wakes at random from within every callback, over many turns. */
static void meddle(struct fake_poller *fake)
{
	struct worker *worker = fake->poller.worker;
	unsigned *seed = fake->arg;

	for (unsigned i = 0; i < 3; i++) {
		struct fake_poller *other = &many[(unsigned)rand_r(seed) % MANY];

		if (!other->poller.worker) {
			set(&other->armed, 0);
			worker_poller_add(worker, &other->poller);
		} else if ((unsigned)rand_r(seed) % 2) {
			worker_poller_wake(&other->poller);
		} else {
			worker_poller_remove(&other->poller);
		}
	}
}

static void remove_all(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
	for (unsigned i = 0; i < MANY; i++) {
		if (many[i].poller.worker)
			worker_poller_remove(&many[i].poller);
	}
}

static void add_all(struct worker *worker, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < MANY; i++) {
		set(&many[i].armed, 0);
		worker_poller_add(worker, &many[i].poller);
	}
}

static void test_meddling_callbacks(void **state)
{
	struct rig *rig = *state;
	const uint64_t turns = stat_read(&worker_stats(rig->worker)->turns);
	unsigned seed = 7;

	for (unsigned i = 0; i < MANY; i++) {
		fake_init(&many[i], POLL_MODE_NEVER, 0);
		many[i].arg = &seed;
		if (i % 4 == 0)
			many[i].on_poll = meddle;
		if (i % 4 == 1)
			many[i].on_prepare = meddle;
	}
	rig_call(rig, add_all, NULL);
	/* A call at a time, for all may happen to be cold. */
	while (stat_read(&worker_stats(rig->worker)->turns) < turns + 2000) {
		rig_turns(rig, 1);
		rig_call(rig, remove_all, NULL);
		rig_call(rig, add_all, NULL);
	}
	rig_call(rig, remove_all, NULL);
	assert_true(list_empty(&rig->worker->set.hot));
	assert_true(list_empty(&rig->worker->set.cold));
	assert_int_equal(rig->worker->set.hot_cnt, 0);
}

static void test_fair_among_many(void **state)
{
	struct rig *rig = *state;
	unsigned least;

	for (unsigned i = 0; i < MANY; i++)
		fake_init(&many[i], POLL_MODE_ALWAYS, 0);
	rig_call(rig, add_all, NULL);
	do {
		least = UINT32_MAX;
		for (unsigned i = 0; i < MANY; i++) {
			unsigned polls = get(&many[i].polls);

			least = polls < least ? polls : least;
		}
	} while (least < 100);
	rig_call(rig, remove_all, NULL);
	/* All were added in one turn and removed in one: each was polled in each turn between. */
	for (unsigned i = 1; i < MANY; i++)
		assert_int_equal(many[i].polls, many[0].polls);
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
		TEST(test_set_mode_while_asked_to_sleep),
		TEST(test_removes_itself),
		TEST(test_removes_others),
		TEST(test_adds_in_poll),
		TEST(test_wake_each_other),
		TEST(test_meddling_callbacks),
		TEST(test_fair_among_many),
	};

	return cmocka_run_group_tests_name("hotset", tests, NULL, NULL);
}
