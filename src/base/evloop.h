/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event loop of the control thread: descriptors, timers, and posts from other threads, on epoll.
 * Not for workers, which wait in io_uring (worker/worker.h).
 *
 * All functions but evloop_post() are for the loop's own thread.
 */
#ifndef PARIO_BASE_EVLOOP_H
#define PARIO_BASE_EVLOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct evloop;

/*
 * One watched descriptor, embedded in its user. fd stays the user's, who removes the watch before
 * closing it. Level-triggered.
 */
struct evloop_fd {
	void (*ready)(struct evloop_fd *watch, uint32_t epoll_events);
	int fd;
	bool active;
};

/* One-shot timer, embedded in its user. */
struct evloop_timer {
	void (*expired)(struct evloop_timer *timer);
	uint64_t deadline_ns;      /* clock_now_ns() scale */
	struct evloop_timer *next; /* sorted list: control timers are few */
	bool active;
};

/* A message from another thread, embedded in its sender's object; not reusable until it ran. */
struct evloop_post {
	void (*run)(struct evloop_post *post);
	struct evloop_post *next;
};

/* NULL with text when the system has no descriptor or memory left. */
struct evloop *evloop_new(struct err *err);
/* Threads that post must have ended; posts that have not run are forgotten. NULL is allowed. */
void evloop_free(struct evloop *loop);

/* Starts watching. The watch must not be active. 0 or -errno. */
int evloop_fd_add(struct evloop *loop, struct evloop_fd *watch, int fd, uint32_t epoll_events);
/*
 * Watches for other events from now on; the watch must be active. Events that this turn found
 * before may still be delivered. 0 or -errno.
 */
int evloop_fd_change(struct evloop *loop, struct evloop_fd *watch, uint32_t epoll_events);
/* No-op when inactive. After it returns, ready() is not called again, even within this turn. */
void evloop_fd_remove(struct evloop *loop, struct evloop_fd *watch);

/* (Re)starts the timer to expire at deadline_ns. A deadline in the past expires in this turn, or
 * in the next one when set by a timer. */
void evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns);
/* No-op when not running. After it returns, expired() is not called. */
void evloop_timer_cancel(struct evloop *loop, struct evloop_timer *timer);

/* Any thread; lock-free; run() is called on the loop's thread, in the order of one sender. */
void evloop_post(struct evloop *loop, struct evloop_post *post);

/* Runs until evloop_stop() was called, returns at once if it was called before. 0 or -errno. */
int evloop_run(struct evloop *loop);
/* One turn, waiting at most timeout_ms (-1 = until something happens). For tests. 0 or -errno.
 * Not from within a callback. */
int evloop_turn(struct evloop *loop, int timeout_ms);
void evloop_stop(struct evloop *loop);

#endif
