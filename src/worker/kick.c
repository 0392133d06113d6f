/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kick watches: a multishot poll on the descriptor by which a driver says "look at the ring".
 * Not a reader of it: the descriptor is shared with the front end and never read.
 *
 * Life of a watch: opened for a poller, armed when that first cools, closed when the poller gets
 * another descriptor or goes. A closed watch is cancelled and freed after the last completion of
 * both its poll and the cancellation, for the kernel names it in each of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/worker_priv.h"

struct kick_watch {
	struct uring_op poll;
	struct uring_op cancel;
	struct list_node node; /* in the worker's watches */
	struct worker *worker;
	struct poller *poller; /* NULL once closed */
	int fd;
	bool armed;      /* the kernel has the poll, or will in this turn */
	bool cancelling; /* the same for the cancellation */
	bool running;    /* kick_fired is on the stack */
};

static void kick_release(struct kick_watch *watch)
{
	if (watch->poller || watch->armed || watch->cancelling || watch->running)
		return;
	list_remove(&watch->node);
	free(watch);
}

static void kick_fired(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct kick_watch *watch = container_of(op, struct kick_watch, poll);
	struct poller *poller = watch->poller;

	/* An error ends the watch as a full queue does, and is met the same way: armed anew. */
	(void)res;
	if (!(cqe_flags & IORING_CQE_F_MORE)) {
		watch->armed = false;
		uring_own_ended(&watch->worker->uring);
	}
	watch->running = true;
	if (poller)
		stat_inc(&watch->worker->stats.kicks);
	if (poller && poller->ops->kicked)
		poller->ops->kicked(poller);
	/* Unless kicked() removed it. If the watch has ended, cooling arms it again. */
	if (watch->poller)
		worker_poller_wake(watch->poller);
	watch->running = false;
	kick_release(watch);
}

static void kick_cancelled(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct kick_watch *watch = container_of(op, struct kick_watch, cancel);

	/* 0, or -ENOENT when the poll had ended by itself. */
	(void)res;
	(void)cqe_flags;
	watch->cancelling = false;
	uring_own_ended(&watch->worker->uring);
	kick_release(watch);
}

/*
 * A front end chose the descriptor. The kernel's poll on a file of a file system may ask that file
 * system (FUSE) and never return, and a pipe that is never read fills up, after which its writer's
 * kicks are lost. The name under /proc/self/fd is made by the kernel, without the file's help.
 */
static int kick_judge(int fd)
{
	char link[32];
	char target[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return errno == ENOENT ? -EBADF : -errno;
	target[len] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0 ? 0 : -EINVAL;
}

int kick_watch_open(struct poller *poller, int fd, struct kick_watch **out)
{
	struct kick_watch *watch;
	int rc = kick_judge(fd);

	if (rc < 0)
		return rc;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->poll.done = kick_fired;
	watch->cancel.done = kick_cancelled;
	watch->worker = poller->worker;
	watch->poller = poller;
	watch->fd = fd;
	list_push_back(&poller->worker->watches, &watch->node);
	*out = watch;
	return 0;
}

void kick_watch_close(struct kick_watch *watch)
{
	watch->poller = NULL;
	if (watch->armed) {
		uring_cancel(&watch->worker->uring, &watch->poll, &watch->cancel);
		watch->cancelling = true;
		/*
		 * The caller may close the descriptor now, and its number may come to mean another
		 * one: a poll that is still queued would go to that.
		 */
		uring_submit(&watch->worker->uring);
	}
	kick_release(watch);
}

bool kick_watch_may_arm(const struct kick_watch *watch)
{
	return watch->armed || uring_can_watch(&watch->worker->uring);
}

void kick_watch_arm(struct kick_watch *watch)
{
	if (watch->armed)
		return;
	uring_watch(&watch->worker->uring, watch->fd, &watch->poll);
	watch->armed = true;
}

void kick_watches_free(struct worker *worker)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &worker->watches) {
		free(list_entry(node, struct kick_watch, node));
	}
	list_init(&worker->watches);
}
