/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker's time goes into, as its counters and its pollers' loads tell it, and that pollers
 * which wait cost nothing. Shares and counts, never times.
 */
#include "rig.h"

#include "base/fdio.h"
#include "worker/worker_priv.h"

#define COLD_CNT 1000

static unsigned burnt;

static void burn(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++)
		store_relaxed(&burnt, burnt + 1);
}

static void burn_much(struct fake_poller *fake)
{
	(void)fake;
	burn(50000);
}

/* --- loads --- */

static void test_loads_have_the_right_order(void **state)
{
	struct rig *rig = *state;
	struct fake_poller much;
	struct fake_poller little;
	struct fake_poller none;
	uint64_t much_ns = 0;
	uint64_t little_ns = 0;
	uint64_t none_ns = 0;

	fake_init(&much, POLL_MODE_ALWAYS, 0);
	fake_init(&little, POLL_MODE_ALWAYS, 0);
	fake_init(&none, POLL_MODE_ALWAYS, 0);
	much.on_poll = burn_much;
	/* Takes as long as the first, but never did any work. */
	none.on_poll = burn_much;
	much.work_left = UINT32_MAX;
	little.work_left = UINT32_MAX;
	much.poller.load_ns = &much_ns;
	little.poller.load_ns = &little_ns;
	none.poller.load_ns = &none_ns;
	fake_add(rig, &much);
	fake_add(rig, &little);
	fake_add(rig, &none);
	/* The machine may take the CPU away during a short poll, so not at the first look. */
	wait_until(stat_read(&little_ns) > 0 && stat_read(&much_ns) > 10 * stat_read(&little_ns));
	assert_int_equal(stat_read(&none_ns), 0);
	fake_remove(rig, &much);
	fake_remove(rig, &little);
	fake_remove(rig, &none);
}

static uint64_t worked_ns;

/* Works in each 64th poll, which is in step with a measurement of each 64th turn. */
static void work_at_times(struct fake_poller *fake)
{
	uint64_t start_ns;

	if (get(&fake->polls) % 64 == 63)
		add(&fake->work_left, 1);
	if (get(&fake->polls) % 64 != 0)
		return;
	start_ns = clock_now_ns();
	burn(2000);
	stat_add(&worked_ns, clock_now_ns() - start_ns);
}

static void test_load_of_a_periodic_poller(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	uint64_t load_ns = 0;

	worked_ns = 0;
	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake.on_poll = work_at_times;
	fake.poller.load_ns = &load_ns;
	fake_add(rig, &fake);
	wait_until(get(&fake.polls) > 64 * 64 * 20 &&
		   stat_read(&load_ns) > stat_read(&worked_ns) / 3 &&
		   stat_read(&load_ns) < stat_read(&worked_ns) * 3);
	fake_remove(rig, &fake);
}

/* --- counters --- */

static void test_gauges(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	struct fake_poller fakes[3];
	int fd = kick_fd_new();

	assert_int_equal(stat_read(&stats->pollers), 0);
	for (unsigned i = 0; i < 3; i++) {
		fake_init(&fakes[i], i == 0 ? POLL_MODE_ALWAYS : POLL_MODE_NEVER, 0);
		fake_add(rig, &fakes[i]);
		assert_int_equal(stat_read(&stats->pollers), i + 1);
	}
	fake_wait_cold(rig, &fakes[1]);
	fake_wait_cold(rig, &fakes[2]);
	assert_int_equal(stat_read(&stats->hot_pollers), 1);
	assert_int_equal(stat_read(&stats->coolings), 2);
	fake_remove(rig, &fakes[0]);
	assert_int_equal(stat_read(&stats->hot_pollers), 0);
	assert_int_equal(stat_read(&stats->pollers), 2);
	assert_int_equal(fake_set_kick(rig, &fakes[1], fd), 0);
	fake_wait_cold(rig, &fakes[1]);
	assert_int_equal(stat_read(&stats->kicks), 0);
	fake_drive(&fakes[1], fd);
	wait_until(get(&fakes[1].work_left) == 0);
	assert_int_equal(stat_read(&stats->kicks), 1);
	assert_true(stat_read(&stats->completions) > 0);
	fake_remove(rig, &fakes[1]);
	fake_remove(rig, &fakes[2]);
	assert_int_equal(stat_read(&stats->pollers), 0);
	fdio_close(&fd);
}

static void test_expired_timers_are_counted(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.deadline_ns = 1;
	fake_add(rig, &fake);
	wait_until(get(&fake.prepares) == 2);
	assert_int_equal(stat_read(&worker_stats(rig->worker)->timers), 1);
	fake_remove(rig, &fake);
}

/* What shifts load away from busy workers must not take spinning for work. */
static void test_spinning_is_not_busy(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	struct fake_poller fake;
	unsigned polls;
	uint64_t busy_ns;

	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	/* The turn that ran the call is charged before the poll after the next. */
	polls = get(&fake.polls);
	wait_until(get(&fake.polls) > polls + 1000);
	busy_ns = stat_read(&stats->busy_ns);
	wait_until(get(&fake.polls) > polls + 100000);
	assert_int_equal(stat_read(&stats->busy_ns), busy_ns);
	fake_remove(rig, &fake);
}

/* --- cold pollers --- */

static struct fake_poller crowd[COLD_CNT];
static int crowd_fds[COLD_CNT];

static void crowd_join(struct worker *worker, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < COLD_CNT; i++) {
		worker_poller_add(worker, &crowd[i].poller);
		assert_int_equal(worker_poller_set_kick(&crowd[i].poller, crowd_fds[i]), 0);
	}
}

static void crowd_leave(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
	for (unsigned i = 0; i < COLD_CNT; i++)
		worker_poller_remove(&crowd[i].poller);
}

static void crowd_begin(struct rig *rig)
{
	const struct worker_stats *stats = worker_stats(rig->worker);

	for (unsigned i = 0; i < COLD_CNT; i++) {
		fake_init(&crowd[i], POLL_MODE_ADAPTIVE, 1000);
		crowd_fds[i] = kick_fd_new();
	}
	rig_call(rig, crowd_join, NULL);
	wait_until(stat_read(&stats->hot_pollers) == 0);
	rig_wait_asleep(rig);
}

static void crowd_end(struct rig *rig)
{
	rig_call(rig, crowd_leave, NULL);
	for (unsigned i = 0; i < COLD_CNT; i++)
		fdio_close(&crowd_fds[i]);
}

static unsigned crowd_polls(void)
{
	unsigned polls = 0;

	for (unsigned i = 0; i < COLD_CNT; i++)
		polls += get(&crowd[i].polls) + get(&crowd[i].prepares) + get(&crowd[i].cancels);
	return polls;
}

/* A thousand cold pollers beside a hot one: none is touched, and nothing enters the kernel. */
static void test_cold_pollers_cost_nothing(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	struct fake_poller fake;
	uint64_t entries;
	unsigned before;
	unsigned polls;

	crowd_begin(rig);
	before = crowd_polls();
	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	polls = get(&fake.polls);
	wait_until(get(&fake.polls) > polls + 1000);
	entries = stat_read(&stats->ring_entries);
	wait_until(get(&fake.polls) > polls + 100000);
	assert_int_equal(stat_read(&stats->ring_entries), entries);
	assert_int_equal(crowd_polls(), before);
	assert_int_equal(stat_read(&stats->hot_pollers), 1);
	fake_remove(rig, &fake);
	crowd_end(rig);
}

/* Woken by a kick, worked, asleep again: that is one entry into the kernel. */
static void test_a_sleep_is_one_system_call(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	uint64_t sleeps;
	uint64_t entries;
	uint64_t turns;

	crowd_begin(rig);
	sleeps = stat_read(&stats->sleeps);
	entries = stat_read(&stats->ring_entries);
	turns = stat_read(&stats->turns);
	for (unsigned i = 0; i < 200; i++) {
		struct fake_poller *fake = &crowd[i % COLD_CNT];
		const unsigned prepares = get(&fake->prepares);

		fake_drive(fake, crowd_fds[i % COLD_CNT]);
		wait_until(get(&fake->prepares) > prepares);
		/* Counted before the entry, so the worker is at its door or within. */
		wait_until(stat_read(&stats->sleeps) == sleeps + i + 1);
	}
	/* The last one's entry is counted just after its sleep. */
	wait_until(stat_read(&stats->ring_entries) - entries >= 200);
	assert_int_equal(stat_read(&stats->ring_entries) - entries, 200);
	assert_true(stat_read(&stats->turns) > turns);
	crowd_end(rig);
}

struct nop {
	struct uring_op op;
	struct fake_poller *fake;
	unsigned to_submit;
	unsigned completed;
};

static void nop_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct nop *nop = container_of(op, struct nop, op);

	(void)res;
	(void)cqe_flags;
	add(&nop->completed, 1);
	worker_poller_wake(&nop->fake->poller);
}

static void submit_nop(struct fake_poller *fake)
{
	struct nop *nop = fake->arg;
	struct io_uring_sqe *sqe;

	if (get(&nop->to_submit) == 0)
		return;
	add(&nop->to_submit, -1);
	sqe = uring_sqe(worker_uring(fake->poller.worker));
	io_uring_prep_nop(sqe);
	uring_sqe_bind(sqe, &nop->op);
}

/* A request without a window: the entry that submits its I/O sleeps too, one more for the kick. */
static void test_submitting_needs_no_entry_of_its_own(void **state)
{
	struct rig *rig = *state;
	const struct worker_stats *stats = worker_stats(rig->worker);
	struct fake_poller fake;
	struct nop nop = {.op.done = nop_done, .fake = &fake};
	int fd = kick_fd_new();
	uint64_t entries;
	uint64_t sleeps;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake.on_poll = submit_nop;
	fake.arg = &nop;
	fake_add(rig, &fake);
	assert_int_equal(fake_set_kick(rig, &fake, fd), 0);
	fake_wait_cold(rig, &fake);
	rig_wait_asleep(rig);
	entries = stat_read(&stats->ring_entries);
	sleeps = stat_read(&stats->sleeps);
	for (unsigned i = 1; i <= 100; i++) {
		set(&nop.to_submit, 1);
		fake_drive(&fake, fd);
		wait_until(get(&nop.completed) == i &&
			   stat_read(&stats->ring_entries) >= entries + 2ull * i);
		assert_int_equal(stat_read(&stats->ring_entries), entries + 2ull * i);
		assert_int_equal(stat_read(&stats->sleeps), sleeps + 2ull * i);
	}
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_loads_have_the_right_order),
		TEST(test_load_of_a_periodic_poller),
		TEST(test_gauges),
		TEST(test_expired_timers_are_counted),
		TEST(test_spinning_is_not_busy),
		TEST(test_cold_pollers_cost_nothing),
		TEST(test_a_sleep_is_one_system_call),
		TEST(test_submitting_needs_no_entry_of_its_own),
	};

	return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
