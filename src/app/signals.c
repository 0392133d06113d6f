/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signalfd on the control thread's loop. Not a policy: daemon.c says what a signal means.
 */
#include "app/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fdio.h"

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
}

void signals_block(void)
{
	sigset_t set;

	signal_set(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* A front end that leaves while we answer is an error of write(2), not our end. */
	signal(SIGPIPE, SIG_IGN);
}

static void signals_ready(struct evloop_fd *watch, uint32_t epoll_events)
{
	struct signals *signals = container_of(watch, struct signals, watch);
	struct signalfd_siginfo info;

	(void)epoll_events;
	/* One for each turn: terminate() may have closed us before a second read. */
	if (read(signals->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		signals->reload(signals->arg);
	else
		signals->terminate(signals->arg, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
}

int signals_open(struct signals *signals, struct evloop *loop, struct err *err)
{
	sigset_t set;
	int rc;

	signal_set(&set);
	signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals->fd < 0)
		return err_set(err, errno, "cannot read signals: %m");
	signals->loop = loop;
	signals->watch.ready = signals_ready;
	rc = evloop_fd_add(loop, &signals->watch, signals->fd, EPOLLIN);
	if (rc) {
		fdio_close(&signals->fd);
		return err_set(err, -rc, "cannot watch signals: %s", strerror(-rc));
	}
	return 0;
}

void signals_close(struct signals *signals)
{
	evloop_fd_remove(signals->loop, &signals->watch);
	fdio_close(&signals->fd);
}
