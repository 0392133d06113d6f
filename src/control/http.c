/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd in our loop: its socket, its descriptor, its time-outs, its end.
 * Not requests (http_request.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fdio.h"
#include "control/http_priv.h"

/* Runs that the answers of the last moment get; who reads slower than that misses his. */
#define LAST_RUNS_MAX 100

/*
 * At the limit libmicrohttpd looks away from its listening socket, and back only in the run after
 * the one in which a connection has ended. Nothing tells of that run but this.
 */
static bool has_room_again(struct http *http)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
	bool was_full = http->full;

	http->full = info && info->num_connections >= HTTP_CONNECTIONS_MAX;
	return was_full && !http->full;
}

static void run(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	http->run_soon = false;
	MHD_run(http->mhd);
	if (has_room_again(http) || http->run_soon)
		evloop_timer_set(http->loop, &http->timer, clock_now_ns());
	else if (MHD_get_timeout(http->mhd, &timeout_ms) == MHD_YES)
		evloop_timer_set(http->loop, &http->timer, clock_now_ns() + timeout_ms * NS_PER_MS);
	else
		evloop_timer_cancel(http->loop, &http->timer);
}

void http_run_soon(struct http *http)
{
	http->run_soon = true;
	evloop_timer_set(http->loop, &http->timer, clock_now_ns());
}

static void on_ready(struct evloop_fd *watch, uint32_t epoll_events)
{
	(void)epoll_events;
	run(container_of(watch, struct http, watch));
}

static void on_timer(struct evloop_timer *timer)
{
	run(container_of(timer, struct http, timer));
}

static int start(struct http *http, int *fd, struct err *err)
{
	const union MHD_DaemonInfo *info;
	int rc;

	/* Takes the descriptor if it starts. */
	http->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
				     http_request_step, http, MHD_OPTION_LISTEN_SOCKET, *fd,
				     MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_SILENCE_S,
				     MHD_OPTION_NOTIFY_COMPLETED, http_request_completed, http,
				     MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (!http->mhd)
		return err_set(err, ENOMEM, "libmicrohttpd cannot start");
	*fd = -1;
	info = MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return err_set(err, ENOSYS, "libmicrohttpd was built without epoll");
	rc = evloop_fd_add(http->loop, &http->watch, info->epoll_fd, EPOLLIN);
	if (rc)
		return err_set(err, -rc, "cannot watch libmicrohttpd: %s", strerror(-rc));
	run(http);
	return 0;
}

int http_open(struct evloop *loop, const char *path, const struct http_route *routes,
	      unsigned route_cnt, void *arg, struct http **out, struct err *err)
{
	struct http *http = calloc(1, sizeof(*http));
	int fd = -1;
	int rc;

	*out = NULL;
	if (!http)
		return err_set(err, ENOMEM, "no memory for a server");
	http->loop = loop;
	http->routes = routes;
	http->route_cnt = route_cnt;
	http->arg = arg;
	http->watch.ready = on_ready;
	http->timer.expired = on_timer;
	list_init(&http->waiting);
	rc = socket_listen(path, 0600, (uid_t)-1, (gid_t)-1, &fd, &http->file, err);
	if (rc == 0) {
		http->path = strdup(path);
		rc = http->path ? start(http, &fd, err)
				: err_set(err, ENOMEM, "no memory for a server");
		/* For http_close(), or with what failed. */
		if (!http->path)
			socket_unlink(path, &http->file);
	}
	if (rc) {
		http_close(http);
		fdio_close(&fd);
		return rc;
	}
	*out = http;
	return 0;
}

/* Wakes all that sleep and lets the last answers go. */
static void drain(struct http *http)
{
	struct list_node *pos, *next;

	http->closing = true;
	list_for_each_safe(pos, next, &http->waiting)
		http_request_cut(list_entry(pos, struct http_request, node));
	for (unsigned i = 0; i < LAST_RUNS_MAX && http->open_cnt; i++)
		MHD_run(http->mhd);
}

void http_close(struct http *http)
{
	if (!http)
		return;
	if (http->path)
		socket_unlink(http->path, &http->file);
	if (http->mhd) {
		drain(http);
		evloop_timer_cancel(http->loop, &http->timer);
		evloop_fd_remove(http->loop, &http->watch);
		MHD_stop_daemon(http->mhd);
	}
	free(http->path);
	free(http);
}
