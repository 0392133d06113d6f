/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's life: start, name, CPU, signals, sleep, timers, locals, end. Not pollers, calls or
 * requests, which have tests of their own.
 */
#include "rig.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpuset.h"
#include "worker/worker_priv.h"

/* --- start and end --- */

static void read_tid(struct worker *worker, void *arg)
{
	(void)worker;
	*(pid_t *)arg = gettid();
}

static void test_free_leaves_nothing(void **state)
{
	const unsigned fds = open_fd_cnt();
	unsigned threads = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct rig *rig = rig_new(0);
		struct fake_poller fake;
		char task[64];
		pid_t tid;

		fake_init(&fake, POLL_MODE_ADAPTIVE, NS_PER_US);
		fake_add(rig, &fake);
		fake_remove(rig, &fake);
		rig_call(rig, read_tid, &tid);
		rig_free(rig);
		assert_int_equal(open_fd_cnt(), fds);
		/* The kernel takes a joined thread off /proc a moment later. */
		snprintf(task, sizeof(task), "/proc/self/task/%d", (int)tid);
		wait_until(access(task, F_OK) < 0);
		/* Counted after the first, for a sanitizer may keep a thread of its own. */
		if (i == 0)
			threads = thread_cnt();
		assert_int_equal(thread_cnt(), threads);
	}
	worker_free(NULL);
}

static void test_several_workers(void **state)
{
	struct worker *workers[8];
	struct evloop *loop = evloop_new(NULL);
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(loop);
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		const struct worker_options options = {.cpu = -1, .idx = i};

		assert_int_equal(worker_new(&options, loop, &workers[i], &err), 0);
		assert_int_equal(worker_idx(workers[i]), i);
		assert_int_equal(worker_cpu(workers[i]), -1);
	}
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++)
		worker_free(workers[i]);
	evloop_free(loop);
}

static void read_name(struct worker *worker, void *arg)
{
	(void)worker;
	pthread_getname_np(pthread_self(), arg, 16);
}

static void test_name(void **state)
{
	struct rig *rig = *state;
	char name[16] = "";

	rig_call(rig, read_name, name);
	assert_string_equal(name, "pario/w0");
}

static void read_signals(struct worker *worker, void *arg)
{
	(void)worker;
	pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void test_signals_are_controls(void **state)
{
	static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGPIPE, SIGUSR1, SIGALRM};
	static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct rig *rig = *state;
	sigset_t own;
	sigset_t theirs;

	rig_call(rig, read_signals, &theirs);
	pthread_sigmask(SIG_SETMASK, NULL, &own);
	for (unsigned i = 0; i < ARRAY_LEN(blocked); i++) {
		assert_true(sigismember(&theirs, blocked[i]));
		assert_false(sigismember(&own, blocked[i]));
	}
	for (unsigned i = 0; i < ARRAY_LEN(open); i++)
		assert_false(sigismember(&theirs, open[i]));
}

static void read_cpus(struct worker *worker, void *arg)
{
	(void)worker;
	if (cpuset_allowed(arg) < 0)
		abort();
}

static void test_pinned(void **state)
{
	cpu_set_t allowed;

	(void)state;
	assert_int_equal(cpuset_allowed(&allowed), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		const struct worker_options options = {.cpu = cpu, .idx = 5};
		struct rig rig = {.loop = evloop_new(NULL)};
		cpu_set_t got;

		if (CPU_ISSET(cpu, &allowed)) {
			assert_int_equal(worker_new(&options, rig.loop, &rig.worker, NULL), 0);
			assert_int_equal(worker_cpu(rig.worker), cpu);
			rig_call(&rig, read_cpus, &got);
			assert_int_equal(CPU_COUNT(&got), 1);
			assert_true(CPU_ISSET(cpu, &got));
			worker_free(rig.worker);
		}
		evloop_free(rig.loop);
	}
}

static void test_cpu_that_cannot_be_had(void **state)
{
	const unsigned fds = open_fd_cnt();
	struct evloop *loop = evloop_new(NULL);
	struct worker *worker = NULL;
	struct err err = ERR_INIT;
	struct worker_options options = {.cpu = 0, .idx = 5};
	char expected[ERR_TEXT_BYTES];
	char list[256];
	cpu_set_t allowed;

	(void)state;
	assert_int_equal(cpuset_allowed(&allowed), 0);
	cpuset_format(&allowed, list, sizeof(list));
	/* The highest that is not there: surely no CPU of this machine. */
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (!CPU_ISSET(cpu, &allowed)) {
			options.cpu = cpu;
			break;
		}
	}
	assert_int_equal(worker_new(&options, loop, &worker, &err), -EINVAL);
	assert_int_equal(err.code, EINVAL);
	assert_null(worker);
	snprintf(expected, sizeof(expected),
		 "worker 5: CPU %d cannot be had (Invalid argument); this process may run on %s",
		 options.cpu, list);
	assert_string_equal(err.text, expected);
	assert_int_equal(worker_new(&options, loop, &worker, NULL), -EINVAL);
	evloop_free(loop);
	assert_int_equal(open_fd_cnt(), fds);
}

/* A pinned worker knows its node, as the kernel tells it of that CPU; another has none. */
static void test_node(void **state)
{
	struct rig *rig = *state;
	struct worker_options options = {.cpu = 0, .idx = 1};
	struct worker *worker;
	struct err err = ERR_INIT;
	char path[64];
	cpu_set_t set;

	assert_int_equal(worker_node(rig->worker), -1);
	assert_int_equal(cpuset_allowed(&set), 0);
	while (!CPU_ISSET(options.cpu, &set))
		options.cpu++;
	assert_int_equal(worker_new(&options, rig->loop, &worker, &err), 0);
	assert_true(worker_node(worker) >= 0);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/node%d", options.cpu,
		 worker_node(worker));
	/* Kernels without NUMA have no such link, and one node. */
	if (access("/sys/devices/system/node/node0", F_OK) == 0)
		assert_int_equal(access(path, F_OK), 0);
	else
		assert_int_equal(worker_node(worker), 0);
	worker_free(worker);
}

/* --- sleep --- */

static void test_idle_worker_sleeps(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	struct fake_poller fake;
	uint64_t turns;
	uint64_t sleeps;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	rig_wait_asleep(rig);
	turns = stat_read(&stats->turns);
	sleeps = stat_read(&stats->sleeps);
	assert_true(sleeps > 0);
	for (unsigned i = 0; i < 100; i++)
		fake_wake(rig, &fake);
	rig_wait_asleep(rig);
	/*
	 * What each wake-up costs is a handful of turns (the call, its bell, the poll, the end of
	 * the window); an idle worker that spins makes thousands.
	 */
	assert_true(stat_read(&stats->turns) - turns < 101 * 10);
	assert_true(stat_read(&stats->sleeps) > sleeps);
	fake_remove(rig, &fake);
}

static void test_time_is_accounted(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	struct fake_poller fake;
	uint64_t spin_ns;
	uint64_t busy_ns;

	rig_wait_asleep(rig);
	spin_ns = stat_read(&stats->spin_ns);
	busy_ns = stat_read(&stats->busy_ns);
	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake.work_left = 1000;
	fake_add(rig, &fake);
	wait_until(get(&fake.polls) > 10000);
	fake_remove(rig, &fake);
	assert_true(stat_read(&stats->spin_ns) > spin_ns);
	assert_true(stat_read(&stats->busy_ns) > busy_ns);
	/* The sleep is charged when it ends. */
	rig_turns(rig, 2);
	assert_true(stat_read(&stats->sleep_ns) > 0);
}

static void test_stat_rows(void **state)
{
	(void)state;
	for (unsigned i = 0; i < worker_stat_row_cnt; i++) {
		const struct stat_row *row = &worker_stat_rows[i];

		assert_non_null(row->name);
		assert_non_null(row->unit);
		assert_non_null(row->help);
		assert_int_equal(row->offset, i * sizeof(uint64_t));
		assert_int_equal(row->kind,
				 strstr(row->name, "pollers") ? STAT_GAUGE : STAT_COUNTER);
	}
}

static void test_mode_names(void **state)
{
	enum poll_mode mode = POLL_MODE_MAX_;

	(void)state;
	for (unsigned i = 0; i < POLL_MODE_MAX_; i++) {
		assert_int_equal(poll_mode_parse(poll_mode_name((enum poll_mode)i), &mode), 0);
		assert_int_equal(mode, i);
	}
	assert_null(poll_mode_name(POLL_MODE_MAX_));
	assert_int_equal(poll_mode_parse("sometimes", &mode), -EINVAL);
	assert_int_equal(poll_mode_parse("", &mode), -EINVAL);
}

/* --- timers --- */

struct noted_timer {
	struct worker_timer timer;
	unsigned expired;
	unsigned order;
	uint64_t at_ns;
	unsigned again_cnt;
};

static struct noted_timer noted[5];
static unsigned expiries;

static void noted_expired(struct worker *worker, struct worker_timer *timer)
{
	struct noted_timer *own = container_of(timer, struct noted_timer, timer);

	own->at_ns = worker_now_ns(worker);
	own->order = get(&expiries) + 1;
	if (own->again_cnt > 0) {
		own->again_cnt--;
		worker_timer_set(worker, timer, own->at_ns + 10 * NS_PER_US);
	}
	add(&own->expired, 1);
	add(&expiries, 1);
}

static const unsigned delays_us[] = {3000, 1000, 2000, 0, 500};

static void start_timers(struct worker *worker, void *arg)
{
	const uint64_t start_ns = worker_now_ns(worker);

	(void)arg;
	for (unsigned i = 0; i < ARRAY_LEN(noted); i++) {
		noted[i] = (struct noted_timer){.timer.expired = noted_expired};
		worker_timer_set(worker, &noted[i].timer, start_ns + delays_us[i] * NS_PER_US);
	}
	/* Never to be heard of. */
	worker_timer_cancel(worker, &noted[2].timer);
}

static void test_timers_wake_a_sleeper_in_order(void **state)
{
	static const unsigned orders[] = {4, 3, 0, 1, 2};
	struct rig *rig = *state;

	set(&expiries, 0);
	rig_call(rig, start_timers, NULL);
	wait_until(get(&expiries) == 4);
	rig_turns(rig, 1);
	for (unsigned i = 0; i < ARRAY_LEN(noted); i++) {
		assert_int_equal(noted[i].order, orders[i]);
		assert_int_equal(noted[i].expired, orders[i] != 0);
		if (orders[i] != 0)
			assert_true(noted[i].at_ns >= noted[i].timer.deadline_ns);
	}
}

static void start_repeating(struct worker *worker, void *arg)
{
	(void)arg;
	noted[0] = (struct noted_timer){.timer.expired = noted_expired, .again_cnt = 99};
	worker_timer_set(worker, &noted[0].timer, worker_now_ns(worker));
}

static void test_timer_that_repeats(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	/* On a worker that polls. */
	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	set(&expiries, 0);
	rig_call(rig, start_repeating, NULL);
	wait_until(get(&expiries) == 100);
	fake_remove(rig, &fake);
	/* On one that sleeps. */
	set(&expiries, 0);
	rig_call(rig, start_repeating, NULL);
	wait_until(get(&expiries) == 100);
}

/* --- locals --- */

static struct {
	pthread_t thread;
	unsigned cnt;
	void *order[WORKER_LOCAL_MAX_];
} freed;

static void note_freed(void *object)
{
	freed.thread = pthread_self();
	freed.order[freed.cnt++] = object;
}

static int local_objects[WORKER_LOCAL_MAX_];

static void set_locals(struct worker *worker, void *arg)
{
	(void)arg;
	for (unsigned key = 0; key < WORKER_LOCAL_MAX_; key++) {
		if (worker_local_get(worker, (enum worker_local)key))
			abort();
		worker_local_set(worker, (enum worker_local)key, &local_objects[key], note_freed);
		if (worker_local_get(worker, (enum worker_local)key) != &local_objects[key])
			abort();
	}
}

static void test_locals_are_freed_on_the_worker(void **state)
{
	struct rig *rig = rig_new(0);
	const pthread_t worker_thread = rig->worker_thread;

	(void)state;
	memset(&freed, 0, sizeof(freed));
	rig_call(rig, set_locals, NULL);
	assert_int_equal(freed.cnt, 0);
	rig_free(rig);
	assert_int_equal(freed.cnt, WORKER_LOCAL_MAX_);
	assert_true(pthread_equal(freed.thread, worker_thread));
	/* What was set last may stand on what was set first. */
	for (unsigned i = 0; i < WORKER_LOCAL_MAX_; i++)
		assert_ptr_equal(freed.order[i], &local_objects[WORKER_LOCAL_MAX_ - 1 - i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_leaves_nothing),
		cmocka_unit_test(test_several_workers),
		TEST(test_name),
		TEST(test_signals_are_controls),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_cpu_that_cannot_be_had),
		TEST(test_node),
		TEST(test_idle_worker_sleeps),
		TEST(test_time_is_accounted),
		cmocka_unit_test(test_stat_rows),
		cmocka_unit_test(test_mode_names),
		TEST(test_timers_wake_a_sleeper_in_order),
		TEST(test_timer_that_repeats),
		cmocka_unit_test(test_locals_are_freed_on_the_worker),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
