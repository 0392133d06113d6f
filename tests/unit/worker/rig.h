/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker tests share: a worker with its control loop, calls that wait, a fake poller that
 * counts and holds the worker to its contract. Not a test.
 */
#ifndef PARIO_TESTS_UNIT_WORKER_RIG_H
#define PARIO_TESTS_UNIT_WORKER_RIG_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/evloop.h"
#include "base/ordering.h"
#include "worker/worker.h"

struct rig {
	struct evloop *loop;
	struct worker *worker;
	pthread_t worker_thread;
};

/* For cmocka's fixtures: one worker, not pinned, with the default ring. *state is a struct rig. */
int rig_setup(void **state);
int rig_teardown(void **state);
/* The same with a submission queue of sq_entries. */
struct rig *rig_new(unsigned sq_entries);
void rig_free(struct rig *rig);

/* Runs fn on the worker and returns when control has its acknowledgement. */
void rig_call(struct rig *rig, void (*fn)(struct worker *worker, void *arg), void *arg);
/* Lets the worker make at least cnt turns. */
void rig_turns(struct rig *rig, unsigned cnt);
/* Waits until the worker sleeps, as far as its counters show. */
void rig_wait_asleep(struct rig *rig);

/* One look at a condition's clock: fails the test after a minute, else waits a little. */
void rig_wait_step(uint64_t start_ns);

/* Waits without the control loop; the condition is made true by other threads. */
#define wait_until(condition)                              \
	do {                                               \
		const uint64_t start_ns_ = clock_now_ns(); \
		while (!(condition))                       \
			rig_wait_step(start_ns_);          \
	} while (0)

/* A counter that the worker writes and the test reads, or the other way round. */
#define get(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define set(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add(p, n) __atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

struct fake_poller {
	struct poller poller;
	/* Set by the test, used up by the worker */
	unsigned work_left;     /* each poll does one unit */
	unsigned arrivals_left; /* so many prepare_sleeps say that work arrived */
	uint64_t deadline_ns;   /* next_deadline's answer */
	/* What each function does besides, on the worker; may be NULL */
	void (*on_poll)(struct fake_poller *fake);
	void (*on_prepare)(struct fake_poller *fake);
	void (*on_cancel)(struct fake_poller *fake);
	void (*on_kick)(struct fake_poller *fake);
	void (*on_deadline)(struct fake_poller *fake);
	void *arg;
	/* Written by the worker */
	unsigned polls;
	unsigned prepares;
	unsigned cancels;
	unsigned kicks;
	uint64_t poll_now_ns; /* of the last poll */
	unsigned armed;       /* 1 between prepare_sleep and cancel_sleep: a driver would kick */
};

/* Zeroed, with its functions, mode and window. */
void fake_init(struct fake_poller *fake, enum poll_mode mode, uint64_t poll_max_ns);
/* From the test's thread. */
void fake_add(struct rig *rig, struct fake_poller *fake);
void fake_remove(struct rig *rig, struct fake_poller *fake);
void fake_wake(struct rig *rig, struct fake_poller *fake);
int fake_set_kick(struct rig *rig, struct fake_poller *fake, int fd);
void fake_set_mode(struct rig *rig, struct fake_poller *fake, enum poll_mode mode,
		   uint64_t poll_max_ns);
/* Is it in the hot set now? */
bool fake_is_hot(struct rig *rig, struct fake_poller *fake);
/* Waits until it has left the hot set. */
void fake_wait_cold(struct rig *rig, struct fake_poller *fake);

/*
 * As a driver does it, from any thread: makes work, then kicks if the poller has armed. KICK_ARM's
 * full fences are sequentially consistent accesses here.
 */
void fake_drive(struct fake_poller *fake, int kick_fd);

int kick_fd_new(void);
/* Kick watches that exist, those that wait for their last completion included. */
unsigned watch_cnt(struct rig *rig);

unsigned open_fd_cnt(void);
unsigned thread_cnt(void);

#endif
