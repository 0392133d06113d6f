/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread's event loop on epoll. Not for workers.
 *
 * Posts arrive on a lock-free stack; the sender that finds it empty rings the loop's eventfd. The
 * loop empties the eventfd first and takes the stack second, so a post that comes in between rings
 * again and none is left behind.
 */
#include "base/evloop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/ordering.h"

#define EVLOOP_BATCH 64
/* A deadline farther away is looked at again after this time; it also keeps it within an int. */
#define EVLOOP_WAIT_MAX_MS (3600ull * 1000)

struct evloop {
	/* Loop's thread */
	struct evloop_timer *timers; /* earliest first */
	struct evloop_fd posted;     /* watch on the eventfd */
	int epoll_fd;
	bool stopping;
	bool in_turn;
	/* The batch that is being delivered; evloop_fd_remove() blanks what it holds of a watch. */
	int event_cnt;
	int event_idx;
	struct epoll_event events[EVLOOP_BATCH];

	/* Any thread */
	struct evloop_post *posts; /* latest first */
};

static void evloop_run_posts(struct evloop_fd *watch, uint32_t epoll_events)
{
	struct evloop *loop = container_of(watch, struct evloop, posted);
	struct evloop_post *ordered = NULL;
	struct evloop_post *post;
	struct evloop_post *next;

	(void)epoll_events;
	fdio_drain(watch->fd);
	for (post = __atomic_exchange_n(&loop->posts, NULL, __ATOMIC_ACQUIRE); post; post = next) {
		next = post->next;
		post->next = ordered;
		ordered = post;
	}
	for (post = ordered; post; post = next) {
		/* The post may be freed or sent again by run(). */
		next = post->next;
		post->run(post);
	}
}

struct evloop *evloop_new(struct err *err)
{
	struct evloop *loop = calloc(1, sizeof(*loop));
	int fd;
	int rc;

	if (!loop) {
		err_set(err, ENOMEM, "no memory for an event loop");
		return NULL;
	}
	loop->epoll_fd = -1;
	loop->posted.ready = evloop_run_posts;
	loop->posted.fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		err_set(err, errno, "cannot make an epoll descriptor: %m");
		goto fail;
	}
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		err_set(err, errno, "cannot make an eventfd: %m");
		goto fail;
	}
	rc = evloop_fd_add(loop, &loop->posted, fd, EPOLLIN);
	if (rc < 0) {
		fdio_close(&fd);
		err_set(err, -rc, "cannot watch an eventfd (error %d)", -rc);
		goto fail;
	}
	return loop;

fail:
	evloop_free(loop);
	return NULL;
}

void evloop_free(struct evloop *loop)
{
	if (!loop)
		return;
	fdio_close(&loop->posted.fd);
	fdio_close(&loop->epoll_fd);
	free(loop);
}

static int evloop_ctl(struct evloop *loop, int op, struct evloop_fd *watch, uint32_t epoll_events)
{
	struct epoll_event event = {.events = epoll_events, .data.ptr = watch};

	return epoll_ctl(loop->epoll_fd, op, watch->fd, &event) < 0 ? -errno : 0;
}

int evloop_fd_add(struct evloop *loop, struct evloop_fd *watch, int fd, uint32_t epoll_events)
{
	int rc;

	CHECK(!watch->active);
	watch->fd = fd;
	rc = evloop_ctl(loop, EPOLL_CTL_ADD, watch, epoll_events);
	watch->active = rc == 0;
	return rc;
}

int evloop_fd_change(struct evloop *loop, struct evloop_fd *watch, uint32_t epoll_events)
{
	CHECK(watch->active);
	return evloop_ctl(loop, EPOLL_CTL_MOD, watch, epoll_events);
}

void evloop_fd_remove(struct evloop *loop, struct evloop_fd *watch)
{
	if (!watch->active)
		return;
	watch->active = false;
	/* Fails only if the user closed the descriptor before: then epoll has forgotten it. */
	(void)evloop_ctl(loop, EPOLL_CTL_DEL, watch, 0);
	for (int i = loop->event_idx; i < loop->event_cnt; i++) {
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
	}
}

void evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns)
{
	struct evloop_timer **at = &loop->timers;

	evloop_timer_cancel(loop, timer);
	while (*at && (*at)->deadline_ns <= deadline_ns)
		at = &(*at)->next;
	timer->deadline_ns = deadline_ns;
	timer->next = *at;
	timer->active = true;
	*at = timer;
}

void evloop_timer_cancel(struct evloop *loop, struct evloop_timer *timer)
{
	struct evloop_timer **at = &loop->timers;

	if (!timer->active)
		return;
	while (*at != timer)
		at = &(*at)->next;
	*at = timer->next;
	timer->next = NULL;
	timer->active = false;
}

/* Each timer that is due now runs once; one that starts itself anew waits for the next turn. */
static void evloop_run_timers(struct evloop *loop)
{
	const uint64_t now_ns = clock_now_ns();
	struct evloop_timer *timer;
	unsigned due_cnt = 0;

	for (timer = loop->timers; timer && timer->deadline_ns <= now_ns; timer = timer->next)
		due_cnt++;
	for (; due_cnt > 0; due_cnt--) {
		timer = loop->timers;
		if (!timer || timer->deadline_ns > now_ns)
			return;
		evloop_timer_cancel(loop, timer);
		timer->expired(timer);
	}
}

void evloop_post(struct evloop *loop, struct evloop_post *post)
{
	struct evloop_post *head = load_relaxed(&loop->posts);

	do {
		post->next = head;
	} while (!__atomic_compare_exchange_n(&loop->posts, &head, post, true, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
	/* Only the first has to ring. The eventfd is ours: its write cannot fail. */
	if (!head)
		(void)fdio_signal(loop->posted.fd);
}

/* Rounded up, so that the loop never wakes before its timer and has to come back. */
static int evloop_wait_ms(const struct evloop *loop, int timeout_ms)
{
	uint64_t now_ns;
	uint64_t wait_ms = 0;

	if (!loop->timers)
		return timeout_ms;
	now_ns = clock_now_ns();
	if (loop->timers->deadline_ns > now_ns)
		wait_ms = (loop->timers->deadline_ns - now_ns - 1) / NS_PER_MS + 1;
	if (wait_ms > EVLOOP_WAIT_MAX_MS)
		wait_ms = EVLOOP_WAIT_MAX_MS;
	if (timeout_ms >= 0 && (uint64_t)timeout_ms < wait_ms)
		return timeout_ms;
	return (int)wait_ms;
}

int evloop_turn(struct evloop *loop, int timeout_ms)
{
	struct evloop_fd *watch;
	int cnt;

	CHECK(!loop->in_turn);
	cnt = epoll_wait(loop->epoll_fd, loop->events, EVLOOP_BATCH,
			 evloop_wait_ms(loop, timeout_ms));
	if (cnt < 0)
		return errno == EINTR ? 0 : -errno;
	loop->in_turn = true;
	loop->event_cnt = cnt;
	for (loop->event_idx = 0; loop->event_idx < cnt;) {
		struct epoll_event event = loop->events[loop->event_idx++];

		watch = event.data.ptr;
		if (watch)
			watch->ready(watch, event.events);
	}
	loop->event_cnt = 0;
	evloop_run_timers(loop);
	loop->in_turn = false;
	return 0;
}

int evloop_run(struct evloop *loop)
{
	int rc = 0;

	while (!loop->stopping && rc == 0)
		rc = evloop_turn(loop, -1);
	loop->stopping = false;
	return rc;
}

void evloop_stop(struct evloop *loop)
{
	loop->stopping = true;
}
