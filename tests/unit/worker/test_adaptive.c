/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's pollers learn their windows, and change modes: what counts as a gap, and what does
 * not. Not the rule (test_window.c). A maximum of an hour makes every gap short, one of a
 * nanosecond every gap long, so that no timing matters.
 */
#include "rig.h"

#include "base/fdio.h"
#include "worker/worker_priv.h"

#define HOUR_NS (3600 * NS_PER_S)

struct forced {
	struct poller *poller;
	uint64_t window_ns;
};

static void force_on_worker(struct worker *worker, void *arg)
{
	const struct forced *forced = arg;
	struct poller *poller = forced->poller;

	(void)worker;
	poller->window.window_ns = forced->window_ns;
	poller->window.spin_ns = forced->window_ns;
	store_relaxed(&poller->window_ns, forced->window_ns);
}

static void force_window(struct rig *rig, struct fake_poller *fake, uint64_t window_ns)
{
	rig_call(rig, force_on_worker, &(struct forced){&fake->poller, window_ns});
}

static uint64_t window_of(const struct fake_poller *fake)
{
	return load_relaxed(&fake->poller.window_ns);
}

/* A cold poller gets one unit of work by a wake-up, and is cold again. */
static void wake_to_work(struct rig *rig, struct fake_poller *fake)
{
	add(&fake->work_left, 1);
	fake_wake(rig, fake);
	wait_until(get(&fake->work_left) == 0);
	fake_wait_cold(rig, fake);
}

static void test_starts_at_the_maximum(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, 123456);
	fake_add(rig, &fake);
	assert_int_equal(window_of(&fake), 123456);
	fake_remove(rig, &fake);
}

static void test_short_gaps_widen(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake_add(rig, &fake);
	force_window(rig, &fake, 0);
	fake_wait_cold(rig, &fake);
	for (unsigned i = 0; i < 8; i++) {
		wake_to_work(rig, &fake);
		assert_int_equal(window_of(&fake), (uint64_t)POLL_WINDOW_FIRST_NS << i);
	}
	fake_remove(rig, &fake);
}

static void test_long_gaps_narrow(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, 1);
	fake_add(rig, &fake);
	force_window(rig, &fake, 4 * POLL_WINDOW_FIRST_NS);
	fake_wait_cold(rig, &fake);
	wake_to_work(rig, &fake);
	assert_int_equal(window_of(&fake), 2 * POLL_WINDOW_FIRST_NS);
	wake_to_work(rig, &fake);
	assert_int_equal(window_of(&fake), POLL_WINDOW_FIRST_NS);
	wake_to_work(rig, &fake);
	assert_int_equal(window_of(&fake), 0);
	fake_remove(rig, &fake);
}

static void test_wake_ups_without_work(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake_add(rig, &fake);
	assert_int_equal(fake_set_kick(rig, &fake, fd), 0);
	force_window(rig, &fake, POLL_WINDOW_FIRST_NS);
	fake_wait_cold(rig, &fake);
	for (unsigned i = 0; i < 20; i++) {
		const unsigned cancels = get(&fake.cancels);

		if (i % 2 == 0)
			fake_wake(rig, &fake);
		else
			assert_int_equal(fdio_signal(fd), 0);
		wait_until(get(&fake.cancels) == cancels + 1);
		fake_wait_cold(rig, &fake);
	}
	assert_int_equal(window_of(&fake), POLL_WINDOW_FIRST_NS);
	/* The gap has gone on meanwhile: the work that comes now is the second step's. */
	wake_to_work(rig, &fake);
	assert_int_equal(window_of(&fake), 2 * POLL_WINDOW_FIRST_NS);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

/* When it is cold already, so that only its deadline can bring it back. */
static void make_work_once(struct fake_poller *fake)
{
	if (fake->arg)
		add(&fake->work_left, 1);
	fake->arg = NULL;
}

static void test_kick_and_deadline_count_as_wake_ups(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake_add(rig, &fake);
	assert_int_equal(fake_set_kick(rig, &fake, fd), 0);
	force_window(rig, &fake, 0);
	fake_wait_cold(rig, &fake);
	fake_drive(&fake, fd);
	wait_until(get(&fake.work_left) == 0);
	fake_wait_cold(rig, &fake);
	assert_int_equal(window_of(&fake), POLL_WINDOW_FIRST_NS);
	fake_remove(rig, &fake);

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake.deadline_ns = clock_now_ns() + NS_PER_MS;
	fake.on_deadline = make_work_once;
	fake.arg = rig;
	fake_add(rig, &fake);
	force_window(rig, &fake, 0);
	wait_until(get(&fake.prepares) == 2);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.work_left), 0);
	assert_int_equal(window_of(&fake), POLL_WINDOW_FIRST_NS);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

static void make_work(struct fake_poller *fake)
{
	if (get(&fake->prepares) == 1)
		add(&fake->work_left, 1);
}

static void test_work_found_on_arming(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake.on_prepare = make_work;
	fake.arrivals_left = 1;
	fake_add(rig, &fake);
	force_window(rig, &fake, 0);
	wait_until(get(&fake.prepares) == 2);
	fake_wait_cold(rig, &fake);
	assert_int_equal(get(&fake.work_left), 0);
	assert_int_equal(window_of(&fake), POLL_WINDOW_FIRST_NS);
	fake_remove(rig, &fake);
}

static void test_work_met_while_spinning(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake_add(rig, &fake);
	force_window(rig, &fake, HOUR_NS / 4);
	for (unsigned i = 0; i < 100; i++) {
		add(&fake.work_left, 1);
		wait_until(get(&fake.work_left) == 0);
	}
	assert_int_equal(get(&fake.prepares), 0);
	assert_int_equal(window_of(&fake), HOUR_NS / 4);
	fake_remove(rig, &fake);
}

static void note_spin(struct worker *worker, void *arg)
{
	struct forced *forced = arg;

	(void)worker;
	forced->window_ns = forced->poller->window.spin_ns;
}

/* A probe spins longer than the window, and ends with it if nothing comes. */
static void test_probe(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	struct forced seen = {&fake.poller, 0};

	fake_init(&fake, POLL_MODE_ADAPTIVE, 1);
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	for (unsigned i = 1; i < POLL_WINDOW_PROBE_GAPS; i++)
		wake_to_work(rig, &fake);
	assert_int_equal(window_of(&fake), 0);
	assert_int_equal(fake.poller.window.long_cnt, POLL_WINDOW_PROBE_GAPS - 1);
	wake_to_work(rig, &fake);
	assert_int_equal(fake.poller.window.long_cnt, 0);
	rig_call(rig, note_spin, &seen);
	assert_int_equal(seen.window_ns, 0);
	fake_remove(rig, &fake);
}

/* --- modes --- */

static const enum poll_mode modes[] = {POLL_MODE_ADAPTIVE, POLL_MODE_ALWAYS, POLL_MODE_NEVER};

static void become(struct rig *rig, struct fake_poller *fake, enum poll_mode mode, bool hot)
{
	fake_set_mode(rig, fake, mode, hot ? HOUR_NS : 0);
	if (hot)
		fake_wake(rig, fake);
	else
		fake_wait_cold(rig, fake);
}

/* Every mode, hot and cold where it can be, to every mode: it behaves as if it had begun in it. */
static void test_any_mode_to_any(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	unsigned polls;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake_add(rig, &fake);
	for (unsigned i = 0; i < 2 * ARRAY_LEN(modes) * ARRAY_LEN(modes); i++) {
		const enum poll_mode from = modes[i / 2 / ARRAY_LEN(modes)];
		const enum poll_mode to = modes[i / 2 % ARRAY_LEN(modes)];
		const bool hot = i % 2 == 0 || from == POLL_MODE_ALWAYS;

		become(rig, &fake, POLL_MODE_NEVER, false);
		become(rig, &fake, from, hot);
		fake_set_mode(rig, &fake, to, 2 * HOUR_NS);
		polls = get(&fake.polls);
		switch (to) {
		case POLL_MODE_ADAPTIVE:
			assert_int_equal(window_of(&fake), 2 * HOUR_NS);
			fake_wake(rig, &fake);
			wait_until(get(&fake.polls) > polls + 1000);
			break;
		case POLL_MODE_ALWAYS:
			assert_int_equal(window_of(&fake), UINT64_MAX);
			wait_until(get(&fake.polls) > polls + 1000);
			break;
		default:
			assert_int_equal(window_of(&fake), 0);
			fake_wait_cold(rig, &fake);
			break;
		}
	}
	fake_remove(rig, &fake);
}

/* What never holds back until a deadline is looked at anew under the mode that follows. */
static void test_held_deadline_meets_a_new_mode(void **state)
{
	static const struct {
		enum poll_mode mode;
		uint64_t poll_max_ns;
	} next[] = {{POLL_MODE_ADAPTIVE, 0}, {POLL_MODE_NEVER, 1}, {POLL_MODE_ALWAYS, 0}};
	struct rig *rig = *state;
	struct fake_poller fake;

	for (unsigned i = 0; i < ARRAY_LEN(next); i++) {
		fake_init(&fake, POLL_MODE_NEVER, 0);
		fake.deadline_ns = clock_now_ns() + HOUR_NS;
		fake_add(rig, &fake);
		fake_wait_cold(rig, &fake);
		assert_int_equal(rig->worker->timers.cnt, 1);
		fake_set_mode(rig, &fake, next[i].mode, next[i].poll_max_ns);
		wait_until(get(&fake.polls) >= 2);
		assert_int_equal(get(&fake.cancels), 1);
		if (next[i].mode != POLL_MODE_ALWAYS)
			fake_wait_cold(rig, &fake);
		rig_turns(rig, 1);
		assert_int_equal(rig->worker->timers.cnt, 0);
		fake_remove(rig, &fake);
	}
}

/* Who sets something else of the queue sets the mode that it has. */
static void test_same_mode_keeps_what_was_learnt(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	fake_add(rig, &fake);
	force_window(rig, &fake, POLL_WINDOW_FIRST_NS);
	fake_set_mode(rig, &fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	assert_int_equal(window_of(&fake), POLL_WINDOW_FIRST_NS);
	fake_set_mode(rig, &fake, POLL_MODE_ADAPTIVE, 2 * HOUR_NS);
	assert_int_equal(window_of(&fake), 2 * HOUR_NS);
	fake_remove(rig, &fake);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_starts_at_the_maximum),
		TEST(test_short_gaps_widen),
		TEST(test_long_gaps_narrow),
		TEST(test_wake_ups_without_work),
		TEST(test_kick_and_deadline_count_as_wake_ups),
		TEST(test_work_found_on_arming),
		TEST(test_work_met_while_spinning),
		TEST(test_probe),
		TEST(test_any_mode_to_any),
		TEST(test_held_deadline_meets_a_new_mode),
		TEST(test_same_mode_keeps_what_was_learnt),
	};

	return cmocka_run_group_tests_name("adaptive", tests, NULL, NULL);
}
