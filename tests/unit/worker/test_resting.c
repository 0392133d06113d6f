/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mode always with many idle pollers: they rest, cost the busy ones little, and are not forgotten.
 * Not the other modes (test_hotset.c).
 */
#include "rig.h"

#include "worker/worker_priv.h"

#define CROWD 300
#define ENDLESS 0x7fffffff

static struct fake_poller crowd[CROWD];

static void count_resting(struct worker *worker, void *arg)
{
	*(unsigned *)arg = worker->set.resting_cnt;
}

static unsigned resting_cnt(struct rig *rig)
{
	unsigned cnt;

	rig_call(rig, count_resting, &cnt);
	return cnt;
}

static void crowd_add(struct rig *rig)
{
	for (unsigned i = 0; i < CROWD; i++) {
		fake_init(&crowd[i], POLL_MODE_ALWAYS, 0);
		fake_add(rig, &crowd[i]);
	}
	wait_until(resting_cnt(rig) == CROWD);
}

static void crowd_remove(struct rig *rig)
{
	for (unsigned i = 0; i < CROWD; i++)
		fake_remove(rig, &crowd[i]);
	assert_int_equal(resting_cnt(rig), 0);
	assert_int_equal(rig->worker->set.hot_cnt, 0);
}

struct snapshot {
	const struct fake_poller *busy;
	uint64_t now_ns;
	uint64_t busy_polls;
	uint64_t crowd_polls;
};

/* Between two turns, so that the numbers belong together. */
static void take_snapshot(struct worker *worker, void *arg)
{
	struct snapshot *snapshot = arg;

	snapshot->now_ns = worker_now_ns(worker);
	snapshot->busy_polls = get(&snapshot->busy->polls);
	snapshot->crowd_polls = 0;
	for (unsigned i = 0; i < CROWD; i++)
		snapshot->crowd_polls += get(&crowd[i].polls);
}

static void test_idle_ones_cost_the_busy_one_little(void **state)
{
	struct rig *rig = *state;
	struct fake_poller busy;
	struct snapshot before = {.busy = &busy}, after = {.busy = &busy};
	uint64_t looks;

	crowd_add(rig);
	fake_init(&busy, POLL_MODE_ALWAYS, 0);
	set(&busy.work_left, ENDLESS);
	fake_add(rig, &busy);
	/* From here on every turn does work. */
	wait_until(get(&busy.polls) > 1000);
	rig_call(rig, take_snapshot, &before);
	wait_until(get(&busy.polls) > before.busy_polls + 100000);
	rig_call(rig, take_snapshot, &after);
	looks = after.crowd_polls - before.crowd_polls;
	/* One for every 4 us, and what was due at the start. */
	assert_in_range(looks, 1, (after.now_ns - before.now_ns) / 4000 + CROWD);
	assert_int_equal(resting_cnt(rig), CROWD);
	fake_remove(rig, &busy);
	crowd_remove(rig);
}

/* More than what is enough for all who rest. */
static void take_long(struct fake_poller *fake)
{
	const uint64_t start_ns = clock_now_ns();

	(void)fake;
	while (clock_now_ns() - start_ns < 2ull * CROWD * 4000)
		continue;
}

static void test_a_slow_neighbour_takes_no_turns_away(void **state)
{
	struct rig *rig = *state;
	struct fake_poller slow;
	unsigned start[CROWD];
	unsigned turns;

	crowd_add(rig);
	fake_init(&slow, POLL_MODE_ALWAYS, 0);
	set(&slow.work_left, ENDLESS);
	slow.on_poll = take_long;
	fake_add(rig, &slow);
	wait_until(get(&slow.polls) > 1);
	for (unsigned i = 0; i < CROWD; i++)
		start[i] = get(&crowd[i].polls);
	turns = get(&slow.polls);
	wait_until(get(&slow.polls) >= turns + 8);
	/* The first and the last turn may be under way. */
	for (unsigned i = 0; i < CROWD; i++)
		assert_true(get(&crowd[i].polls) - start[i] >= 6);
	fake_remove(rig, &slow);
	crowd_remove(rig);
}

static void test_all_have_their_turns(void **state)
{
	struct rig *rig = *state;
	unsigned start[CROWD];
	uint64_t sleeps;

	crowd_add(rig);
	sleeps = stat_read(&worker_stats(rig->worker)->sleeps);
	for (unsigned i = 0; i < CROWD; i++)
		start[i] = get(&crowd[i].polls);
	for (unsigned i = 0; i < CROWD; i++)
		wait_until(get(&crowd[i].polls) > start[i] + 100);
	/* None cools, whatever the worker does meanwhile. */
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(get(&crowd[i].prepares), 0);
	assert_int_equal(stat_read(&worker_stats(rig->worker)->sleeps), sleeps);
	crowd_remove(rig);
}

static void test_work_ends_the_rest(void **state)
{
	struct rig *rig = *state;
	struct fake_poller *one = &crowd[CROWD / 2], *other = &crowd[0];
	unsigned polls;

	crowd_add(rig);
	polls = get(&other->polls);
	set(&one->work_left, 10000);
	wait_until(get(&one->work_left) == 0);
	/* Polled on every turn meanwhile, and the others as those of a busy worker. */
	assert_true(get(&other->polls) - polls < 10000);
	wait_until(resting_cnt(rig) == CROWD);
	/* A wake as well, until it was found to have nothing. */
	fake_wake(rig, one);
	wait_until(resting_cnt(rig) == CROWD);
	assert_int_equal(get(&one->cancels), 0);
	crowd_remove(rig);
}

static void test_mode_changes_while_resting(void **state)
{
	struct rig *rig = *state;
	struct fake_poller *never = &crowd[1], *adaptive = &crowd[2];

	crowd_add(rig);
	fake_set_mode(rig, never, POLL_MODE_NEVER, 0);
	fake_set_mode(rig, adaptive, POLL_MODE_ADAPTIVE, 20 * NS_PER_US);
	fake_wait_cold(rig, never);
	fake_wait_cold(rig, adaptive);
	assert_int_equal(get(&never->prepares), 1);
	fake_set_mode(rig, never, POLL_MODE_ALWAYS, 0);
	wait_until(resting_cnt(rig) == CROWD - 1);
	assert_int_equal(get(&never->cancels), 1);
	fake_set_mode(rig, adaptive, POLL_MODE_ALWAYS, 0);
	crowd_remove(rig);
}

static void answer_again(struct fake_poller *fake)
{
	fake->deadline_ns = get((uint64_t *)fake->arg);
}

/* Polled when there is time would be too late for a call that is held. */
static void test_a_deadline_keeps_from_rest(void **state)
{
	struct rig *rig = *state;
	uint64_t deadline_ns = UINT64_MAX - 1;
	struct fake_poller one;
	uint64_t start_ns;

	fake_init(&one, POLL_MODE_ALWAYS, 0);
	one.deadline_ns = deadline_ns;
	one.on_deadline = answer_again;
	one.arg = &deadline_ns;
	fake_add(rig, &one);
	wait_until(get(&one.polls) > 0);
	/* Longer than what lets others rest. */
	start_ns = get(&one.poll_now_ns);
	wait_until(get(&one.poll_now_ns) > start_ns + 3 * NS_PER_MS);
	assert_int_equal(resting_cnt(rig), 0);
	set(&deadline_ns, 0);
	wait_until(resting_cnt(rig) == 1);
	fake_remove(rig, &one);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_idle_ones_cost_the_busy_one_little),
		TEST(test_a_slow_neighbour_takes_no_turns_away),
		TEST(test_all_have_their_turns),
		TEST(test_work_ends_the_rest),
		TEST(test_mode_changes_while_resting),
		TEST(test_a_deadline_keeps_from_rest),
	};

	return cmocka_run_group_tests_name("resting", tests, NULL, NULL);
}
