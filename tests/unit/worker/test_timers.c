/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timer heap against a plain model, without a worker. Not timers on a worker: test_worker.c.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "worker/worker_priv.h"

#define TIMERS 64

struct model_timer {
	struct worker_timer timer;
	unsigned expired;
};

static struct {
	struct timers timers;
	struct model_timer all[TIMERS];
	uint64_t last_deadline_ns;
	unsigned expired;
} fix;

static void expired(struct worker *worker, struct worker_timer *timer)
{
	struct model_timer *model = container_of(timer, struct model_timer, timer);

	assert_null(worker);
	assert_false(timer->running);
	assert_true(timer->deadline_ns >= fix.last_deadline_ns);
	fix.last_deadline_ns = timer->deadline_ns;
	model->expired++;
	fix.expired++;
}

static int setup(void **state)
{
	(void)state;
	memset(&fix, 0, sizeof(fix));
	timers_init(&fix.timers);
	for (unsigned i = 0; i < TIMERS; i++)
		fix.all[i].timer.expired = expired;
	return 0;
}

static unsigned run(uint64_t now_ns)
{
	fix.last_deadline_ns = 0;
	return timers_run(&fix.timers, NULL, now_ns);
}

static void test_empty(void **state)
{
	(void)state;
	assert_true(fix.timers.next_ns == NO_DEADLINE);
	assert_int_equal(run(UINT64_MAX), 0);
	timers_cancel(&fix.timers, &fix.all[0].timer);
	assert_int_equal(fix.timers.cnt, 0);
}

static void test_order(void **state)
{
	static const uint64_t deadlines[] = {50, 10, 40, 10, 30, 20, 60};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(deadlines); i++)
		timers_set(&fix.timers, &fix.all[i].timer, deadlines[i]);
	assert_int_equal(fix.timers.next_ns, 10);
	assert_int_equal(run(9), 0);
	assert_int_equal(run(10), 2);
	assert_int_equal(fix.timers.next_ns, 20);
	assert_int_equal(run(49), 3);
	assert_int_equal(fix.timers.next_ns, 50);
	assert_int_equal(run(1000), 2);
	assert_true(fix.timers.next_ns == NO_DEADLINE);
	for (unsigned i = 0; i < ARRAY_LEN(deadlines); i++)
		assert_int_equal(fix.all[i].expired, 1);
}

static void test_cancel(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		timers_set(&fix.timers, &fix.all[i].timer, 10 + i);
	timers_cancel(&fix.timers, &fix.all[0].timer); /* root */
	assert_int_equal(fix.timers.next_ns, 11);
	timers_cancel(&fix.timers, &fix.all[3].timer);
	timers_cancel(&fix.timers, &fix.all[3].timer);
	assert_false(fix.all[3].timer.running);
	assert_int_equal(fix.timers.cnt, 3);
	assert_int_equal(run(100), 3);
	assert_int_equal(fix.all[0].expired, 0);
	assert_int_equal(fix.all[3].expired, 0);
}

static void test_restart_moves(void **state)
{
	(void)state;
	timers_set(&fix.timers, &fix.all[0].timer, 10);
	timers_set(&fix.timers, &fix.all[1].timer, 20);
	timers_set(&fix.timers, &fix.all[0].timer, 30);
	assert_int_equal(fix.timers.next_ns, 20);
	assert_int_equal(fix.timers.cnt, 2);
	timers_set(&fix.timers, &fix.all[0].timer, 5);
	assert_int_equal(fix.timers.next_ns, 5);
	assert_int_equal(run(5), 1);
	assert_int_equal(fix.all[0].expired, 1);
	assert_int_equal(fix.all[1].expired, 0);
}

static void expired_again(struct worker *worker, struct worker_timer *timer)
{
	(void)worker;
	fix.expired++;
	timers_set(&fix.timers, timer, 1);
}

/* One that sets itself to the past must not keep the worker in timers_run. */
static void test_restart_to_the_past_ends(void **state)
{
	(void)state;
	fix.all[0].timer.expired = expired_again;
	timers_set(&fix.timers, &fix.all[0].timer, 1);
	timers_set(&fix.timers, &fix.all[1].timer, 1000);
	assert_true(run(10) <= 2);
	assert_true(fix.all[0].timer.running);
	timers_cancel(&fix.timers, &fix.all[0].timer);
	timers_cancel(&fix.timers, &fix.all[1].timer);
}

static void expired_cancels_next(struct worker *worker, struct worker_timer *timer)
{
	struct model_timer *model = container_of(timer, struct model_timer, timer);

	(void)worker;
	model->expired++;
	timers_cancel(&fix.timers, &model[1].timer);
}

static void test_cancelled_by_another(void **state)
{
	(void)state;
	fix.all[0].timer.expired = expired_cancels_next;
	timers_set(&fix.timers, &fix.all[0].timer, 1);
	timers_set(&fix.timers, &fix.all[1].timer, 2);
	timers_set(&fix.timers, &fix.all[2].timer, 3);
	assert_int_equal(run(10), 2);
	assert_int_equal(fix.all[0].expired, 1);
	assert_int_equal(fix.all[1].expired, 0);
	assert_int_equal(fix.all[2].expired, 1);
}

/* The least deadline of those that run, by looking at all of them. */
static uint64_t model_next(unsigned *running_cnt)
{
	uint64_t next_ns = NO_DEADLINE;

	*running_cnt = 0;
	for (unsigned i = 0; i < TIMERS; i++) {
		if (!fix.all[i].timer.running)
			continue;
		++*running_cnt;
		if (fix.all[i].timer.deadline_ns < next_ns)
			next_ns = fix.all[i].timer.deadline_ns;
	}
	return next_ns;
}

static void test_random_against_model(void **state)
{
	unsigned seed = 1;
	uint64_t now_ns = 1;
	unsigned running_cnt;
	unsigned due;

	(void)state;
	for (unsigned step = 0; step < 200000; step++) {
		struct worker_timer *timer = &fix.all[(unsigned)rand_r(&seed) % TIMERS].timer;
		unsigned choice = (unsigned)rand_r(&seed) % 8;

		if (choice < 5) {
			timers_set(&fix.timers, timer, now_ns + (unsigned)rand_r(&seed) % 100);
		} else if (choice < 7) {
			timers_cancel(&fix.timers, timer);
		} else {
			now_ns += (unsigned)rand_r(&seed) % 30;
			due = 0;
			for (unsigned i = 0; i < TIMERS; i++)
				due += fix.all[i].timer.running &&
				       fix.all[i].timer.deadline_ns <= now_ns;
			assert_int_equal(run(now_ns), due);
		}
		assert_true(fix.timers.next_ns == model_next(&running_cnt));
		assert_int_equal(fix.timers.cnt, running_cnt);
	}
	assert_true(fix.expired > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_empty, setup),
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_cancel, setup),
		cmocka_unit_test_setup(test_restart_moves, setup),
		cmocka_unit_test_setup(test_restart_to_the_past_ends, setup),
		cmocka_unit_test_setup(test_cancelled_by_another, setup),
		cmocka_unit_test_setup(test_random_against_model, setup),
	};

	return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
