/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of worker/ share: the worker's parts and the functions on them.
 * Not for other layers.
 */
#ifndef PARIO_WORKER_WORKER_PRIV_H
#define PARIO_WORKER_WORKER_PRIV_H

#include <pthread.h>
#include <semaphore.h>

#include "base/compiler.h"
#include "base/list.h"
#include "base/log.h"
#include "base/ordering.h"
#include "worker/uring.h"
#include "worker/worker.h"

#define NO_DEADLINE UINT64_MAX

/* uring_memory.c. Worker only. */
struct uring_memories {
	struct list_node list;    /* of struct uring_memory, by slot */
	bool have_slots;          /* the ring has its table */
	struct worker_timer step; /* runs while there is something to register or to clear */
	struct log_limit log_limit;
};

/* uring.c. Worker only. */
struct uring {
	struct io_uring ring;
	unsigned pending; /* requests without their last completion, queued ones included */
	unsigned own_cnt; /* those of them that are the worker's own: watches, cancellations */
	unsigned new_watch_cnt; /* watches that were asked for in this turn */
	uint64_t *entry_stat;   /* counts io_uring_enter calls */
	struct log_limit log_limit;
	struct uring_files *files; /* uring_files.c; NULL until somebody asks for a slot */
	struct uring_memories memories;
};

int uring_open(struct uring *uring, unsigned sq_entries, uint64_t *entry_stat, struct err *err);
void uring_close(struct uring *uring);
/* Enters the ring if something is queued or the kernel asks for it, and completes what is there. */
unsigned uring_turn(struct uring *uring);
/* Submits what is queued and sleeps until a completion or for timeout_ns (NO_DEADLINE: no end). */
void uring_wait(struct uring *uring, uint64_t timeout_ns);
/* Hands what is queued to the kernel, which has taken its references to descriptors afterwards. */
void uring_submit(struct uring *uring);
/*
 * Is this a moment for uring_watch()? A descriptor that was ever kicked is readable for ever, so
 * its watch completes as soon as it is there. While the kernel still keeps completions that found
 * the queue full it ends a multishot poll at its first event (seen on 6.1); watches that are armed
 * anew as fast as the kept ones come out would then never come to rest. So not while it keeps some,
 * and in a turn no more than the queue has room for.
 */
bool uring_can_watch(const struct uring *uring);
/*
 * The worker's own requests, which uring_pending() does not count: a multishot poll for input on
 * fd, and the cancellation of target. The done() of each calls uring_own_ended() when it is the
 * last.
 */
void uring_watch(struct uring *uring, int fd, struct uring_op *op);
void uring_cancel(struct uring *uring, struct uring_op *target, struct uring_op *op);
void uring_own_ended(struct uring *uring);

/* uring_files.c. When the ring has gone. */
void uring_files_fini(struct uring *uring);

void uring_memories_init(struct uring *uring);
/* Before the worker looks whether timers are left. Nobody may use any memory. */
void uring_memories_fini(struct uring *uring);

/* timers.c. Worker only. */
struct timers {
	struct worker_timer *root;
	uint64_t next_ns; /* deadline of the root, or NO_DEADLINE */
	unsigned cnt;
};

void timers_init(struct timers *timers);
void timers_set(struct timers *timers, struct worker_timer *timer, uint64_t deadline_ns);
void timers_cancel(struct timers *timers, struct worker_timer *timer);
/* Expires what is due at now_ns, at most each timer that runs now. Returns how many. */
unsigned timers_run(struct timers *timers, struct worker *worker, uint64_t now_ns);

/* mailbox.c */
struct mailbox {
	/* Any thread */
	struct worker_call *inbox; /* latest first */
	int sleeping; /* the owner is about to sleep or does; whoever clears it rings */
	int wake_fd;  /* constant while senders exist */
	/* Owner */
	struct uring *uring;
	struct uring_op wake;
};

int mailbox_open(struct mailbox *mailbox, struct err *err);
void mailbox_close(struct mailbox *mailbox);
/* Owner: watches the wake fd in its ring. */
void mailbox_watch(struct mailbox *mailbox, struct uring *uring);
/* Any thread. */
void mailbox_push(struct mailbox *mailbox, struct worker_call *call);
/* Owner: is there something? One load. */
static inline bool mailbox_has(const struct mailbox *mailbox)
{
	return load_relaxed(&mailbox->inbox) != NULL;
}
/* Owner: everything that is there, each sender's calls in order. */
struct worker_call *mailbox_take(struct mailbox *mailbox);
/* Owner. False: something arrived, do not sleep. True: a push from now on rings the wake fd. */
bool mailbox_sleep(struct mailbox *mailbox);
/* Owner, after a mailbox_sleep that said true. */
void mailbox_awake(struct mailbox *mailbox);

/* hotset.c. Worker only. */
struct hotset {
	struct list_node hot;
	struct list_node resting; /* hot as well, but polled in turns */
	struct list_node cold;
	unsigned hot_cnt; /* of both */
	unsigned resting_cnt;
	uint64_t visited_ns;      /* when some of those that rest were last polled */
	struct list_node *cursor; /* next to be polled in this turn */
	struct poller *current;   /* whose function runs; NULL once it was removed */
	unsigned unmeasured_left; /* turns to the next that is measured, that included */
	uint32_t random;
};

void hotset_init(struct hotset *set);
/* One turn over the hot pollers. Returns the work done. */
unsigned hotset_poll(struct worker *worker);

/* kick.c. Worker only. */

/* Takes nothing: fd is borrowed until kick_watch_close(). 0 or -errno. */
int kick_watch_open(struct poller *poller, int fd, struct kick_watch **out);
/* The poller is forgotten at once, the watch's memory is freed after its last completion. */
void kick_watch_close(struct kick_watch *watch);
/* Is it armed, or may it be now? If not, its poller has to stay hot. */
bool kick_watch_may_arm(const struct kick_watch *watch);
/* Arms it unless it is armed. */
void kick_watch_arm(struct kick_watch *watch);
/* Frees what still waits for completions, after the ring has gone. */
void kick_watches_free(struct worker *worker);

struct worker_local_slot {
	void *object;
	void (*free_fn)(void *object);
};

struct worker {
	/* Written by senders: a line of its own, which the worker only reads while nobody sends */
	CACHE_ALIGNED struct mailbox mailbox;

	/* Written by the worker, read by anybody */
	CACHE_ALIGNED struct worker_stats stats;

	/* Worker only, touched each turn */
	uint64_t now_ns;
	struct hotset set;
	struct timers timers;
	struct uring uring;

	/* Worker only */
	struct list_node watches; /* kick watches that are not freed yet */
	struct worker_local_slot locals[WORKER_LOCAL_MAX_];

	/* Control only */
	pthread_t thread;
	struct worker_call stop;

	/* Written before the thread runs, constant afterwards */
	struct evloop *control;
	struct worker_options options;

	/* From the thread to worker_new(), by `started`; constant afterwards */
	int node;
	int start_status;
	struct err start_err;
	sem_t started;

	/* Worker only: the stop call ran */
	bool stopping;
};

#endif
