/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's thread: start, turns, sleep, end. See worker.h for the theory.
 * Not what it polls (hotset.c), not its messages (mailbox.c), not its ring (uring.c).
 */
#include "worker/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "base/numa.h"
#include "worker/worker_priv.h"

static const char *const poll_mode_names[] = {"adaptive", "always", "never"};
_Static_assert(ARRAY_LEN(poll_mode_names) == POLL_MODE_MAX_, "a name for each mode");

const char *poll_mode_name(enum poll_mode mode)
{
	return mode < POLL_MODE_MAX_ ? poll_mode_names[mode] : NULL;
}

int poll_mode_parse(const char *name, enum poll_mode *mode)
{
	for (unsigned i = 0; i < POLL_MODE_MAX_; i++) {
		if (strcmp(name, poll_mode_names[i]) == 0) {
			*mode = (enum poll_mode)i;
			return 0;
		}
	}
	return -EINVAL;
}

#define WORKER_STAT_ROW(member, kind_, name_, unit_, help_)                      \
	{                                                                        \
		.name = (name_), .unit = (unit_), .help = (help_),               \
		.offset = offsetof(struct worker_stats, member), .kind = (kind_) \
	}
#define WORKER_COUNTER(member, name, unit, help) \
	WORKER_STAT_ROW(member, STAT_COUNTER, name, unit, help)
#define WORKER_GAUGE(member, name, unit, help) WORKER_STAT_ROW(member, STAT_GAUGE, name, unit, help)

const struct stat_row worker_stat_rows[] = {
	WORKER_COUNTER(turns, "turns", "turns", "Turns of the worker's loop."),
	WORKER_COUNTER(busy_ns, "busy", "ns", "Time in turns that did work."),
	WORKER_COUNTER(spin_ns, "spin", "ns", "Time in turns that found nothing to do."),
	WORKER_COUNTER(sleep_ns, "sleep", "ns", "Time asleep in the kernel."),
	WORKER_COUNTER(sleeps, "sleeps", "sleeps", "Times the worker went to sleep."),
	WORKER_COUNTER(ring_entries, "ring_entries", "calls", "Calls of io_uring_enter."),
	WORKER_COUNTER(messages, "messages", "messages", "Messages from control."),
	WORKER_COUNTER(kicks, "kicks", "kicks", "Kicks of queues that were not polled."),
	WORKER_COUNTER(completions, "completions", "completions",
		       "Completions taken from io_uring, kicks included."),
	WORKER_COUNTER(timers, "timers", "timers", "Timers that expired."),
	WORKER_COUNTER(coolings, "coolings", "coolings",
		       "Times a queue was left to its kick because nothing came."),
	WORKER_GAUGE(hot_pollers, "hot_pollers", "queues", "Queues that are polled now."),
	WORKER_GAUGE(pollers, "pollers", "queues", "Queues that the worker has now."),
};
const unsigned worker_stat_row_cnt = ARRAY_LEN(worker_stat_rows);
_Static_assert(ARRAY_LEN(worker_stat_rows) * sizeof(uint64_t) == sizeof(struct worker_stats),
	       "a row for each counter");

static unsigned worker_run_calls(struct worker *worker)
{
	struct worker_call *call = mailbox_take(&worker->mailbox);
	struct worker_call *next;
	unsigned cnt = 0;

	for (; call; call = next) {
		/* Once acknowledged it is control's again. */
		next = call->next;
		cnt++;
		call->run_on_worker(worker, call);
	}
	stat_add(&worker->stats.messages, cnt);
	return cnt;
}

/* Charges the time since the turn's start, and makes now the start of what comes next. */
static void worker_account(struct worker *worker, uint64_t *counter)
{
	const uint64_t now_ns = clock_now_ns();

	stat_add(counter, now_ns - worker->now_ns);
	worker->now_ns = now_ns;
}

/* Nothing is hot: waits in the kernel for anything that can change that. */
static void worker_sleep(struct worker *worker)
{
	const uint64_t next_ns = worker->timers.next_ns;
	uint64_t timeout_ns = NO_DEADLINE;

	if (next_ns != NO_DEADLINE) {
		if (next_ns <= worker->now_ns)
			return;
		timeout_ns = next_ns - worker->now_ns;
	}
	if (!mailbox_sleep(&worker->mailbox))
		return;
	stat_inc(&worker->stats.sleeps);
	uring_wait(&worker->uring, timeout_ns);
	mailbox_awake(&worker->mailbox);
	worker_account(worker, &worker->stats.sleep_ns);
}

static unsigned worker_reap(struct worker *worker)
{
	const unsigned cnt = uring_turn(&worker->uring);

	if (cnt > 0)
		stat_add(&worker->stats.completions, cnt);
	return cnt;
}

static unsigned worker_run_timers(struct worker *worker)
{
	const unsigned cnt = timers_run(&worker->timers, worker, worker->now_ns);

	stat_add(&worker->stats.timers, cnt);
	return cnt;
}

static void worker_loop(struct worker *worker)
{
	struct worker_stats *stats = &worker->stats;
	unsigned work;
	bool was_hot;

	worker->now_ns = clock_now_ns();
	while (!worker->stopping) {
		work = 0;
		was_hot = worker->set.hot_cnt > 0;
		if (unlikely(mailbox_has(&worker->mailbox)))
			work += worker_run_calls(worker);
		work += hotset_poll(worker);
		/* If the last has just cooled, the sleep hands over what is queued. */
		if (!was_hot || worker->set.hot_cnt > 0)
			work += worker_reap(worker);
		if (unlikely(worker->timers.next_ns <= worker->now_ns))
			work += worker_run_timers(worker);
		stat_inc(&stats->turns);
		if (work == 0)
			cpu_relax();
		worker_account(worker, work > 0 ? &stats->busy_ns : &stats->spin_ns);
		if (worker->set.hot_cnt == 0 && !worker->stopping)
			worker_sleep(worker);
	}
}

static void worker_stop(struct worker *worker, struct worker_call *call)
{
	(void)call;
	worker->stopping = true;
}

static void worker_teardown(struct worker *worker)
{
	CHECK(worker->set.hot_cnt == 0 && list_empty(&worker->set.cold));
	uring_memories_fini(&worker->uring);
	CHECK(worker->timers.cnt == 0);
	CHECK(!mailbox_has(&worker->mailbox));
	for (unsigned key = WORKER_LOCAL_MAX_; key-- > 0;) {
		if (worker->locals[key].object)
			worker->locals[key].free_fn(worker->locals[key].object);
	}
	CHECK(uring_pending(&worker->uring) == 0);
	uring_close(&worker->uring);
	kick_watches_free(worker);
}

static int worker_pin(const struct worker *worker, struct err *err)
{
	char allowed[256] = "unknown";
	cpu_set_t set;
	int rc;

	if (worker->options.cpu < 0)
		return 0;
	if (cpuset_allowed(&set) == 0)
		cpuset_format(&set, allowed, sizeof(allowed));
	rc = cpuset_pin_self(worker->options.cpu);
	if (rc < 0)
		return err_set(err, EINVAL, "CPU %d cannot be had (%s); this process may run on %s",
			       worker->options.cpu, strerrordesc_np(-rc), allowed);
	return 0;
}

/* Whole pages of its own, which can be moved to the thread's node. */
static size_t worker_bytes(void)
{
	const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

	return (sizeof(struct worker) + page_bytes - 1) / page_bytes * page_bytes;
}

/*
 * The worker's memory was allocated on control's node; what the thread allocates itself, its ring
 * first of all, is on its own because it is the first to touch it.
 */
static void worker_settle(struct worker *worker)
{
	unsigned node;

	if (worker->options.cpu < 0 || getcpu(NULL, &node) < 0)
		return;
	worker->node = (int)node;
	numa_prefer(worker, worker_bytes(), worker->node);
}

/* On the new thread: the ring belongs to the thread that makes it (SINGLE_ISSUER). */
static int worker_setup(struct worker *worker, struct err *err)
{
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "pario/w%u", worker->options.idx);
	pthread_setname_np(pthread_self(), name);
	rc = worker_pin(worker, err);
	if (rc < 0)
		return rc;
	worker_settle(worker);
	rc = uring_open(&worker->uring, worker->options.sq_entries, &worker->stats.ring_entries,
			err);
	if (rc < 0)
		return rc;
	mailbox_watch(&worker->mailbox, &worker->uring);
	return 0;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	const int status = worker_setup(worker, &worker->start_err);

	worker->start_status = status;
	sem_post(&worker->started);
	if (status == 0) {
		worker_loop(worker);
		worker_teardown(worker);
	}
	return NULL;
}

/*
 * Signals are control's, except those that say "this instruction faulted": they go to the thread
 * that caused them, and blocking them would kill the process.
 */
static int worker_start_thread(struct worker *worker)
{
	static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
	sigset_t blocked;
	sigset_t old;
	int rc;

	sigfillset(&blocked);
	for (unsigned i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&blocked, faults[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &old);
	rc = pthread_create(&worker->thread, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

static void worker_destroy(struct worker *worker)
{
	mailbox_close(&worker->mailbox);
	sem_destroy(&worker->started);
	free(worker);
}

int worker_new(const struct worker_options *options, struct evloop *control, struct worker **out,
	       struct err *err)
{
	struct worker *worker = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), worker_bytes());
	int rc;

	if (!worker)
		return err_set(err, ENOMEM, "worker %u: no memory", options->idx);
	memset(worker, 0, sizeof(*worker));
	worker->control = control;
	worker->options = *options;
	worker->node = -1;
	hotset_init(&worker->set);
	timers_init(&worker->timers);
	list_init(&worker->watches);
	sem_init(&worker->started, 0, 0);
	rc = mailbox_open(&worker->mailbox, &worker->start_err);
	if (rc < 0)
		goto fail;
	rc = worker_start_thread(worker);
	if (rc < 0) {
		err_set(&worker->start_err, -rc, "cannot start a thread: %s", strerrordesc_np(-rc));
		goto fail;
	}
	while (sem_wait(&worker->started) < 0)
		continue; /* EINTR */
	rc = worker->start_status;
	if (rc < 0) {
		pthread_join(worker->thread, NULL);
		goto fail;
	}
	*out = worker;
	return 0;

fail:
	if (err)
		*err = worker->start_err;
	err_prefix(err, "worker %u", options->idx);
	worker_destroy(worker);
	return rc;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	worker->stop.run_on_worker = worker_stop;
	worker_call(worker, &worker->stop);
	pthread_join(worker->thread, NULL);
	worker_destroy(worker);
}

int worker_cpu(const struct worker *worker)
{
	return worker->options.cpu;
}

int worker_node(const struct worker *worker)
{
	return worker->node;
}

unsigned worker_idx(const struct worker *worker)
{
	return worker->options.idx;
}

const struct worker_stats *worker_stats(const struct worker *worker)
{
	return &worker->stats;
}

void worker_timer_set(struct worker *worker, struct worker_timer *timer, uint64_t deadline_ns)
{
	timers_set(&worker->timers, timer, deadline_ns);
}

void worker_timer_cancel(struct worker *worker, struct worker_timer *timer)
{
	timers_cancel(&worker->timers, timer);
}

uint64_t worker_now_ns(const struct worker *worker)
{
	return worker->now_ns;
}

struct uring *worker_uring(struct worker *worker)
{
	return &worker->uring;
}

void *worker_local_get(const struct worker *worker, enum worker_local key)
{
	return worker->locals[key].object;
}

void worker_local_set(struct worker *worker, enum worker_local key, void *object,
		      void (*free_fn)(void *object))
{
	CHECK(!worker->locals[key].object);
	worker->locals[key] = (struct worker_local_slot){object, free_fn};
}
