/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads: pinned, one io_uring each, polling what is hot and sleeping when nothing is.
 * Not what they poll: pollers come from device/ (and later network/).
 *
 * Theory of operation
 *
 * 1. A poller belongs to one worker from worker_poller_add to worker_poller_remove; its functions
 *    run on that thread alone.
 * 2. Hot set: the pollers that are polled each turn. A poller leaves it when it found nothing for
 *    its spin window, measured from the turn of its last work: prepare_sleep (arm, re-check) is
 *    asked at that moment, and if work arrived in between it stays and the window begins anew. It
 *    returns on its kick, on worker_poller_wake, on its deadline.
 *    mode always: never leaves, and so the worker never sleeps; but one that found nothing for a
 *    while, and has no deadline, rests: of those one is polled every few us while there are others
 *    that do not rest, else some in each turn, so that a thousand idle queues cost a busy one next
 *    to nothing. mode never: window 0.
 *    mode adaptive: a window between 0 and poll_max_ns, which starts at poll_max_ns and is learnt
 *    from the gaps between one work and the next. Work that it slept for (kick, completion or
 *    deadline, and what prepare_sleep found): after a gap of up to poll_max_ns the window doubles,
 *    from 4 us on; after a longer one it is halved, unless spinning met a gap longer than the half
 *    since the long gap before. Work that it met while spinning: as it was. Each 16th long gap is
 *    followed by a probe of poll_max_ns. Why, and the rest: window.h.
 * 3. The worker sleeps only when the hot set is empty, in io_uring, and everything wakes it there:
 *    kicks (multishot POLL_ADD on the kick fd, which is never read), I/O completions, messages (an
 *    eventfd of its own, INBOX_WAKE), timers (as the wait's timeout).
 * 4. Turn: messages, hot pollers, one io_uring entry if something was queued or the kernel says
 *    that completions wait (IORING_SQ_TASKRUN), completions, timers. The clock is read once, at
 *    the turn's start. Cold pollers cost nothing. What a callback adds or wakes is polled in this
 *    turn or the next, but no turn polls more pollers than were hot at its start. One without a
 *    window is polled again after work, so that it can cool in this turn: when the last cools, what
 *    it submitted is handed over by the entry that sleeps.
 * 5. Calls: control sends a worker_call; the worker runs it between turns and acknowledges, at once
 *    or later (draining), with worker_call_ack; done_on_control then runs on the control thread.
 * 6. A kick watch is armed when its poller first cools, and again whenever the kernel ended it
 *    (completion without F_MORE: its queue was full): until then the poller is hot and needs none.
 *    Arming looks at the descriptor's level, so a kick in between is not lost. While the ring has
 *    no room for it (uring_can_watch) the poller stays hot. Its memory lives until its last
 *    completion was seen, however early the poller goes (kick.c).
 * 7. Loads: one turn in 64 (at a distance that varies) is measured, and 64 times what a poll took
 *    that did work is added to its poller's load_ns. What polls cause elsewhere in the turn, as in
 *    io_uring, is in busy_ns alone: a worker's pollers share that in the ratio of their loads.
 */
#ifndef PARIO_WORKER_WORKER_H
#define PARIO_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/evloop.h"
#include "base/list.h"
#include "base/stat.h"
#include "worker/window.h"

struct worker;
struct uring;
struct kick_watch;

enum poll_mode {
	POLL_MODE_ADAPTIVE,
	POLL_MODE_ALWAYS,
	POLL_MODE_NEVER,
	POLL_MODE_MAX_,
};

const char *poll_mode_name(enum poll_mode mode);
int poll_mode_parse(const char *name, enum poll_mode *mode);

/* Callback timer on a worker, embedded in its user; zeroed before its first use. */
struct worker_timer {
	void (*expired)(struct worker *worker, struct worker_timer *timer);
	uint64_t deadline_ns;
	/* timers.c: a node of a pairing heap */
	struct worker_timer *child;
	struct worker_timer *next;
	struct worker_timer *prev; /* sibling before, or parent of a first child */
	bool running;
};

struct poller;

/* All on the owning worker. Each may remove its own poller, or add, wake or remove others. */
struct poller_ops {
	/*
	 * One turn's share of work. Returns how much was done; 0 counts towards the spin window.
	 * now_ns is the time of the turn's start.
	 */
	unsigned (*poll)(struct poller *poller, uint64_t now_ns);
	/* Arm and re-check. True: work arrived, stay hot. Also flushes held notifications. */
	bool (*prepare_sleep)(struct poller *poller);
	/*
	 * Hot again: undo of prepare_sleep. Called once for each prepare_sleep before the next
	 * poll, also when that said true; not called when the poller is removed in between.
	 */
	void (*cancel_sleep)(struct poller *poller);
	/*
	 * When a cold poller wants to be polled without a kick, or 0 for never. Asked when it
	 * leaves the hot set, and in mode always before it rests, which it does not until that
	 * says 0. May be NULL.
	 */
	uint64_t (*next_deadline)(struct poller *poller);
	/*
	 * The kick fd fired. Counting only; the poller is made hot by the worker. Kicks that come
	 * before the first prepare_sleep are not seen: until then nobody needs them. Several kicks
	 * at once may count as one. May be NULL.
	 */
	void (*kicked)(struct poller *poller);
};

/*
 * Embedded in its user, who sets ops, mode and poll_max_ns and zeroes the rest before
 * worker_poller_add; from then on all of it is the worker's.
 */
struct poller {
	const struct poller_ops *ops;
	enum poll_mode mode;
	uint64_t poll_max_ns;
	/*
	 * Time of the worker that this poller's polls took is added there (sampled, so exact only
	 * over many turns); NULL: not wanted. The user's, who may read it on any thread.
	 */
	uint64_t *load_ns;
	struct list_node node; /* in the worker's hot, resting or cold list */
	struct worker *worker;
	struct kick_watch *watch;
	/*
	 * How long it is polled without work now; UINT64_MAX: always. May be read by any thread,
	 * with a relaxed load.
	 */
	uint64_t window_ns;
	struct poll_window window;
	uint64_t worked_ns;    /* start of the turn of its last work, or of its first */
	uint64_t spin_from_ns; /* the window begins there, or at worked_ns if that is later */
	struct worker_timer deadline; /* runs while cold, if next_deadline gave one */
	bool hot;
	bool resting; /* hot, in mode always, and polled less often than each turn */
	bool woken;   /* while hot: worker_poller_wake came since the last poll began */
	bool slept;   /* a window ended since its last work */
};

/*
 * A message from control to a worker and back, embedded in its sender's object. The sender sets the
 * two functions; the call is not to be touched from worker_call() until done_on_control() runs.
 */
struct worker_call {
	/* On the worker. Must lead to exactly one worker_call_ack, now or later. */
	void (*run_on_worker)(struct worker *worker, struct worker_call *call);
	/* On control, after the acknowledgement. The call may be freed or reused here. */
	void (*done_on_control)(struct worker_call *call);
	/* mailbox.c */
	struct worker_call *next;
	struct worker *worker;
	struct evloop_post post;
};

/* Counters in ns or counts, and two gauges; written by the worker, read by anybody. */
struct worker_stats {
	uint64_t turns;
	uint64_t busy_ns;  /* turns that did work */
	uint64_t spin_ns;  /* turns that found nothing */
	uint64_t sleep_ns; /* in the kernel, waiting, with what was handed over on the way */
	uint64_t sleeps;
	uint64_t ring_entries; /* io_uring_enter calls */
	uint64_t messages;
	uint64_t kicks;       /* of cold pollers; several at once may be one */
	uint64_t completions; /* taken from io_uring, kicks and the worker's own included */
	uint64_t timers;      /* expired */
	uint64_t coolings;    /* times a poller left the hot set to wait for a kick */
	uint64_t hot_pollers; /* now */
	uint64_t pollers;     /* now */
};

extern const struct stat_row worker_stat_rows[];
extern const unsigned worker_stat_row_cnt;

struct worker_options {
	int cpu;             /* pinned there; -1 = not pinned (tests) */
	unsigned idx;        /* for names: thread "pario/w<idx>" */
	unsigned sq_entries; /* io_uring submission entries; 0 = default 256 */
};

/*
 * Control. Starts the thread and waits until its ring is up. -ENOSYS / -EPERM with text when
 * io_uring is missing or forbidden (kernel.io_uring_disabled, seccomp), naming kernel 6.1 as the
 * floor; -EINVAL when the CPU cannot be had.
 */
int worker_new(const struct worker_options *options, struct evloop *control, struct worker **out,
	       struct err *err);
/*
 * Control. No poller, timer, I/O or unacknowledged call may be left (held by CHECK). Calls that
 * were sent before run first. Joins the thread. NULL is allowed.
 */
void worker_free(struct worker *worker);

int worker_cpu(const struct worker *worker);
/* NUMA node of its CPU, for memory that it works on; -1 when it is not pinned or not known. */
int worker_node(const struct worker *worker);
unsigned worker_idx(const struct worker *worker);
const struct worker_stats *worker_stats(const struct worker *worker);

/* Control (or any thread). Never blocks. Calls of one sender run in the order they were sent. */
void worker_call(struct worker *worker, struct worker_call *call);
/* Worker. The call belongs to control from here on. */
void worker_call_ack(struct worker_call *call);

/* Worker only, from here on. */

/* poller starts hot, without cancel_sleep. */
void worker_poller_add(struct worker *worker, struct poller *poller);
/* When it returns, no function of the poller is called any more and its kick fd may be closed. */
void worker_poller_remove(struct poller *poller);
/* It is polled at least once more before it may leave the hot set. */
void worker_poller_wake(struct poller *poller);
/*
 * Watches kick_fd (borrowed until replaced or removed; -1 = none) and makes the poller hot, for a
 * kick may be pending. Only an eventfd is taken: front ends choose this descriptor, poll() on one
 * of a file system can hang, and a pipe that nobody reads fills up. 0, -EINVAL for another kind, or
 * -errno; on failure nothing is watched.
 */
int worker_poller_set_kick(struct poller *poller, int kick_fd);
/*
 * Watches the kick fd from this moment on, hot or cold, and not only when the poller cools: each
 * later write to it is told of (kicked), together with those before while that was not. False:
 * there is none, or no room for it yet.
 */
bool worker_poller_arm_kick(struct poller *poller);
/*
 * Takes effect at once, hot or cold: `always` makes it hot, `never` lets it cool in the next turn
 * that finds nothing, `adaptive` starts with a window of poll_max_ns, which counts in this mode
 * only. A cold poller whose deadline runs is made hot, so that it is polled, and asked for the next
 * deadline, under the new mode. The same mode and poll_max_ns again change nothing.
 */
void worker_poller_set_mode(struct poller *poller, enum poll_mode mode, uint64_t poll_max_ns);

/* (Re)starts the timer. A deadline in the past expires in this turn or the next. No allocation. */
void worker_timer_set(struct worker *worker, struct worker_timer *timer, uint64_t deadline_ns);
/* No-op when not running. */
void worker_timer_cancel(struct worker *worker, struct worker_timer *timer);

/* Time of this turn's start; no clock is read. */
uint64_t worker_now_ns(const struct worker *worker);
struct uring *worker_uring(struct worker *worker);

/*
 * A per-worker object of another layer (such as virtqueue's chain_pool), kept for it by key.
 * keys are small constants; slot NULL until set. Freed by the setter's free_fn at worker_free, on
 * the worker, while its ring is still there. A slot is set once.
 */
enum worker_local {
	WORKER_LOCAL_CHAIN_POOL,
	WORKER_LOCAL_STORAGE,
	WORKER_LOCAL_MAX_,
};
void *worker_local_get(const struct worker *worker, enum worker_local key);
void worker_local_set(struct worker *worker, enum worker_local key, void *object,
		      void (*free_fn)(void *object));

#endif
