/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kick watches by the thousand: drivers that kick at random, more kicks than the completion queue
 * holds, removal in the midst of it. Not single ones: test_kick.c.
 */
#include "rig.h"

#include <stdlib.h>

#include "base/fdio.h"
#include "worker/worker_priv.h"

#define CROWD 4000

static struct {
	struct fake_poller fakes[CROWD];
	int fds[CROWD];
	unsigned cnt;
	void (*on_kick)(struct fake_poller *fake); /* for those that crowd_open() makes */
} crowd;

static void crowd_add(struct worker *worker, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < crowd.cnt; i++) {
		worker_poller_add(worker, &crowd.fakes[i].poller);
		if (worker_poller_set_kick(&crowd.fakes[i].poller, crowd.fds[i]) < 0)
			set(&crowd.cnt, 0);
	}
}

static void crowd_remove(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
	for (unsigned i = 0; i < crowd.cnt; i++)
		worker_poller_remove(&crowd.fakes[i].poller);
}

static void crowd_count_hot(struct worker *worker, void *arg)
{
	*(unsigned *)arg = worker->set.hot_cnt;
}

static void crowd_wait_cold(struct rig *rig)
{
	unsigned hot_cnt;

	wait_until((rig_call(rig, crowd_count_hot, &hot_cnt), hot_cnt == 0));
}

static void crowd_open(struct rig *rig, unsigned cnt, enum poll_mode mode, uint64_t poll_max_ns)
{
	struct err err = ERR_INIT;
	uint64_t limit = 0;

	assert_int_equal(fdio_raise_limit(cnt + 256, &limit, &err), 0);
	if (limit < cnt + 256)
		fail_msg("RLIMIT_NOFILE is %lu, %u descriptors are needed", (unsigned long)limit,
			 cnt + 256);
	crowd.cnt = cnt;
	for (unsigned i = 0; i < cnt; i++) {
		fake_init(&crowd.fakes[i], mode, poll_max_ns);
		crowd.fakes[i].on_kick = crowd.on_kick;
		crowd.fds[i] = kick_fd_new();
	}
	rig_call(rig, crowd_add, NULL);
	assert_int_equal(crowd.cnt, cnt);
	crowd_wait_cold(rig);
}

static void crowd_close(struct rig *rig)
{
	rig_call(rig, crowd_remove, NULL);
	for (unsigned i = 0; i < crowd.cnt; i++)
		fdio_close(&crowd.fds[i]);
	wait_until(watch_cnt(rig) == 0);
}

struct driver {
	pthread_t thread;
	unsigned seed;
	unsigned left;
};

static void *driver_main(void *arg)
{
	struct driver *driver = arg;

	for (; driver->left > 0; driver->left--) {
		unsigned i = (unsigned)rand_r(&driver->seed) % crowd.cnt;

		fake_drive(&crowd.fakes[i], crowd.fds[i]);
	}
	return NULL;
}

/* Every unit of work that two drivers make is found, although each kicks only those that sleep. */
static void drive_at_random(unsigned each)
{
	struct driver drivers[2] = {{.seed = 1, .left = each}, {.seed = 2, .left = each}};
	unsigned left;

	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
		assert_int_equal(pthread_create(&drivers[i].thread, NULL, driver_main, &drivers[i]),
				 0);
	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
		assert_int_equal(pthread_join(drivers[i].thread, NULL), 0);
	wait_until(({
		left = 0;
		for (unsigned i = 0; i < crowd.cnt; i++)
			left += get(&crowd.fakes[i].work_left);
		left == 0;
	}));
}

static void test_thousands_cold_kicked_at_random(void **state)
{
	struct rig *rig = *state;
	unsigned kicks = 0;

	crowd_open(rig, CROWD, POLL_MODE_NEVER, 0);
	drive_at_random(20000);
	for (unsigned i = 0; i < crowd.cnt; i++)
		kicks += get(&crowd.fakes[i].kicks);
	assert_true(kicks > 0);
	crowd_wait_cold(rig);
	crowd_close(rig);
}

static void test_few_kicked_at_random_adaptive(void **state)
{
	struct rig *rig = *state;

	/* About as long as a driver's round over them: they go cold and hot all the time. */
	crowd_open(rig, 16, POLL_MODE_ADAPTIVE, 5 * NS_PER_US);
	drive_at_random(100000);
	crowd_close(rig);
}

/* No more watches in a turn than the queue has room for: who has to wait stays hot meanwhile. */
static void test_watches_are_armed_by_and_by(void **state)
{
	struct rig *rig = rig_new(4);
	unsigned polls = 0;

	(void)state;
	crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
	assert_true(rig->worker->uring.ring.cq.ring_entries * 4 < crowd.cnt);
	for (unsigned i = 0; i < crowd.cnt; i++) {
		assert_int_equal(get(&crowd.fakes[i].prepares), 1);
		assert_int_equal(get(&crowd.fakes[i].cancels), 0);
		polls += get(&crowd.fakes[i].polls);
	}
	assert_true(polls > 4 * crowd.cnt);
	crowd_close(rig);
	rig_free(rig);
}

/* --- completion queue overflow --- */

struct hold {
	unsigned held;
	unsigned release;
	struct worker_call call;
	bool done;
};

static void hold_run(struct worker *worker, struct worker_call *call)
{
	struct hold *hold = container_of(call, struct hold, call);

	(void)worker;
	set(&hold->held, 1);
	wait_until(get(&hold->release));
	worker_call_ack(call);
}

static void hold_done(struct worker_call *call)
{
	container_of(call, struct hold, call)->done = true;
}

/*
 * More kicks than the completion queue holds, all while the worker looks elsewhere; the bell of its
 * mailbox comes last, so that it is among those that find the queue full.
 */
static void kick_all_at_once(struct rig *rig)
{
	struct hold hold = {
		.call = {.run_on_worker = hold_run, .done_on_control = hold_done},
	};

	assert_true(rig->worker->uring.ring.cq.ring_entries * 4 < crowd.cnt);
	worker_call(rig->worker, &hold.call);
	wait_until(get(&hold.held));
	for (unsigned i = 0; i < crowd.cnt; i++)
		fake_drive(&crowd.fakes[i], crowd.fds[i]);
	assert_int_equal(fdio_signal(rig->worker->mailbox.wake_fd), 0);
	set(&hold.release, 1);
	while (!hold.done)
		assert_int_equal(evloop_turn(rig->loop, 1000), 0);
}

static void check_overflow(struct rig *rig)
{
	crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
	for (unsigned round = 0; round < 20; round++) {
		kick_all_at_once(rig);
		for (unsigned i = 0; i < crowd.cnt; i++)
			wait_until(get(&crowd.fakes[i].work_left) == 0);
		crowd_wait_cold(rig);
		/* Calls still wake it. */
		rig_wait_asleep(rig);
		rig_turns(rig, 10);
	}
	crowd_close(rig);
}

static void test_cq_overflow_of_a_sleeper(void **state)
{
	struct rig *rig = rig_new(4);

	(void)state;
	check_overflow(rig);
	rig_free(rig);
}

static void crowd_count_hot_but_one(struct worker *worker, void *arg)
{
	*(unsigned *)arg = worker->set.hot_cnt - 1;
}

/* A worker that never sleeps has to fetch what the kernel kept, too. */
static void test_cq_overflow_while_polling(void **state)
{
	struct rig *rig = rig_new(4);
	struct fake_poller busy;
	unsigned hot_cnt;

	(void)state;
	crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
	fake_init(&busy, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &busy);
	for (unsigned round = 0; round < 20; round++) {
		kick_all_at_once(rig);
		for (unsigned i = 0; i < crowd.cnt; i++)
			wait_until(get(&crowd.fakes[i].work_left) == 0);
		wait_until((rig_call(rig, crowd_count_hot_but_one, &hot_cnt), hot_cnt == 0));
	}
	crowd_close(rig);
	fake_remove(rig, &busy);
	rig_free(rig);
}

static unsigned removed_cnt;

static void remove_self(struct fake_poller *fake)
{
	worker_poller_remove(&fake->poller);
	add(&removed_cnt, 1);
}

static void remove_crowd(struct fake_poller *fake)
{
	crowd_remove(fake->poller.worker, NULL);
	set(&removed_cnt, crowd.cnt);
}

/* Watches whose last completion the kernel still keeps are closed, by each kick or by the first. */
static void check_removal_in_overflow(void (*on_kick)(struct fake_poller *fake))
{
	for (unsigned round = 0; round < 10; round++) {
		struct rig *rig = rig_new(4);

		crowd.on_kick = on_kick;
		crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
		set(&removed_cnt, 0);
		kick_all_at_once(rig);
		wait_until(get(&removed_cnt) == crowd.cnt);
		wait_until(watch_cnt(rig) == 0);
		for (unsigned i = 0; i < crowd.cnt; i++)
			fdio_close(&crowd.fds[i]);
		rig_free(rig);
	}
	crowd.on_kick = NULL;
}

static void test_removal_in_overflow(void **state)
{
	(void)state;
	check_removal_in_overflow(remove_self);
	check_removal_in_overflow(remove_crowd);
}

/* The worker goes while kicks are pending and watches are being cancelled. */
static void test_worker_free_under_fire(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct rig *rig = rig_new(4);

		crowd_open(rig, 200, POLL_MODE_NEVER, 0);
		for (unsigned i = 0; i < crowd.cnt; i++)
			assert_int_equal(fdio_signal(crowd.fds[i]), 0);
		rig_call(rig, crowd_remove, NULL);
		for (unsigned i = 0; i < crowd.cnt; i++)
			fdio_close(&crowd.fds[i]);
		rig_free(rig);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_thousands_cold_kicked_at_random),
		TEST(test_few_kicked_at_random_adaptive),
		cmocka_unit_test(test_watches_are_armed_by_and_by),
		cmocka_unit_test(test_cq_overflow_of_a_sleeper),
		cmocka_unit_test(test_cq_overflow_while_polling),
		cmocka_unit_test(test_removal_in_overflow),
		cmocka_unit_test(test_worker_free_under_fire),
	};

	return cmocka_run_group_tests_name("kick_many", tests, NULL, NULL);
}
