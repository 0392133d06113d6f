/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callbacks may do to the hot set while it is walked: remove and free, add, wake, at random.
 * Not when a poller is hot: test_hotset.c.
 */
#include "rig.h"

#include <stdlib.h>

#include "worker/worker_priv.h"

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

	fake = fake_alloc(POLL_MODE_NEVER, 0, &gone);
	fake->on_deadline = remove_self;
	fake->deadline_ns = clock_now_ns() + NS_PER_MS;
	fake_add(rig, fake);
	wait_until(get(&gone) == 7);
	rig_turns(rig, 1);
	assert_int_equal(rig->worker->timers.cnt, 0);
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
	/* A turn that followed the list to its end would never end, nor answer a call. */
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
		fake_init(&many[i], POLL_MODE_ADAPTIVE, 3600 * NS_PER_S);
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
		TEST(test_removes_itself),     TEST(test_removes_others),
		TEST(test_adds_in_poll),       TEST(test_wake_each_other),
		TEST(test_meddling_callbacks), TEST(test_fair_among_many),
	};

	return cmocka_run_group_tests_name("hotset_callbacks", tests, NULL, NULL);
}
