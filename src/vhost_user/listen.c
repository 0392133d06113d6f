/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where front ends come from: a socket that listens, one that connects, one that was inherited.
 * Not what is said to them (session.c).
 *
 * One front end at a time. While one is served, others are accepted and closed at once, so that
 * they see that they are not wanted; while the queues of one that left still drain, the next may
 * connect and waits in the backlog.
 */
#include "vhost_user/vhost_user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fdio.h"
#include "base/log.h"
#include "base/socket.h"
#include "vhost_user/session_priv.h"

#define SOCKET_MODE_DEFAULT 0600
/* Client mode: from one attempt to the next, doubled until the longest. */
#define RETRY_MIN_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS (3 * NS_PER_S)
/* After accept() failed for want of descriptors or memory. */
#define ACCEPT_PAUSE_NS (200 * NS_PER_MS)

struct vhost_user {
	/* constant */
	struct evloop *loop;
	struct device *device;
	const char *tag;
	char *path; /* NULL: inherited descriptor */
	bool client;
	bool any_memory;
	bool own_file; /* path is a socket that we made */
	struct socket_file file;

	struct evloop_fd listener; /* watch; fd -1 where nothing listens */
	struct evloop_timer timer; /* client: next attempt; else: accept again */
	uint64_t retry_ns;
	pid_t peer_pid;           /* of the session; 0 unknown */
	uint64_t messages_before; /* stats.messages at the start of the session */
	struct session *session;  /* NULL: none */
	int retry_code;           /* client: why the last attempt failed, so that it is said once */
	struct log_limit limit;

	bool closing;
	void (*closed)(void *arg);
	void *closed_arg;
	struct vhost_user_stats stats;
};

#define STAT_ROW(member, what, text)                                \
	{                                                           \
		.name = #member, .unit = (what), .help = (text),    \
		.offset = offsetof(struct vhost_user_stats, member) \
	}

const struct stat_row vhost_user_stat_rows[] = {
	STAT_ROW(sessions, "front ends", "Front ends that were served."),
	STAT_ROW(sessions_refused, "front ends", "Front ends that came while one was served."),
	STAT_ROW(messages, "messages", "Messages that were received."),
	STAT_ROW(messages_refused, "messages", "Messages that were not obeyed."),
	STAT_ROW(session_errors, "connections", "Connections dropped for what came over them."),
};
const unsigned vhost_user_stat_row_cnt = ARRAY_LEN(vhost_user_stat_rows);

/* Nobody can come any more. */
static void endpoint_shut(struct vhost_user *vu)
{
	evloop_fd_remove(vu->loop, &vu->listener);
	evloop_timer_cancel(vu->loop, &vu->timer);
	if (vu->own_file)
		socket_unlink(vu->path, &vu->file);
	vu->own_file = false;
	fdio_close(&vu->listener.fd);
}

static void endpoint_free(struct vhost_user *vu)
{
	endpoint_shut(vu);
	free(vu->path);
	free(vu);
}

static void endpoint_close_finish(struct vhost_user *vu)
{
	void (*closed)(void *arg) = vu->closed;
	void *arg = vu->closed_arg;

	endpoint_free(vu);
	closed(arg);
}

/* For lines that a front end can cause at will. */
static bool endpoint_may_log(struct vhost_user *vu)
{
	unsigned held_back;

	if (!log_limit_pass(&vu->limit, clock_now_ns(), &held_back))
		return false;
	if (held_back)
		log_info(vu->tag, "%u lines about front ends were held back", held_back);
	return true;
}

static int endpoint_watch(struct vhost_user *vu)
{
	if (vu->listener.active)
		return 0;
	return evloop_fd_add(vu->loop, &vu->listener, vu->listener.fd, EPOLLIN);
}

static void endpoint_retry(struct vhost_user *vu)
{
	evloop_timer_set(vu->loop, &vu->timer, clock_now_ns() + vu->retry_ns);
	vu->retry_ns = vu->retry_ns * 2 < RETRY_MAX_NS ? vu->retry_ns * 2 : RETRY_MAX_NS;
}

/* For the next front end. */
static void endpoint_wait(struct vhost_user *vu)
{
	if (vu->client)
		endpoint_retry(vu);
	else if (vu->listener.fd < 0)
		log_warn(vu->tag, "the front end on the inherited descriptor has left, and there "
				  "is no way for another one to come");
	else if (endpoint_watch(vu) < 0)
		evloop_timer_set(vu->loop, &vu->timer, clock_now_ns() + ACCEPT_PAUSE_NS);
}

static void endpoint_session_ended(void *arg)
{
	struct vhost_user *vu = arg;

	vu->session = NULL;
	if (vu->closing) {
		endpoint_close_finish(vu);
		return;
	}
	if (endpoint_may_log(vu))
		log_info(vu->tag, "front end has left");
	/* One that leaves without a word is asked less and less often. */
	if (vu->stats.messages != vu->messages_before)
		vu->retry_ns = RETRY_MIN_NS;
	endpoint_wait(vu);
}

/* 0: unknown. */
static pid_t endpoint_peer_pid(int fd)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid < 0)
		return 0;
	return peer.pid;
}

static void endpoint_log_peer(struct vhost_user *vu, int fd, const char *what)
{
	pid_t pid = endpoint_peer_pid(fd);

	if (!endpoint_may_log(vu))
		return;
	if (pid > 0)
		log_info(vu->tag, "%s (process %d)", what, (int)pid);
	else
		log_info(vu->tag, "%s", what);
}

/* fd is taken. */
static int endpoint_serve(struct vhost_user *vu, int fd, struct err *err)
{
	const struct session_options options = {
		.loop = vu->loop,
		.device = vu->device,
		.fd = fd,
		.any_memory = vu->any_memory,
		.stats = &vu->stats,
		.limit = &vu->limit,
		.ended = endpoint_session_ended,
		.arg = vu,
	};
	int ret;

	vu->peer_pid = endpoint_peer_pid(fd);
	endpoint_log_peer(vu, fd, "front end connected");
	vu->messages_before = vu->stats.messages;
	ret = session_new(&options, &vu->session, err);
	if (!ret)
		stat_inc(&vu->stats.sessions);
	return ret;
}

/* Another one is there already: it sees its connection closed. */
static void endpoint_refuse(struct vhost_user *vu, int fd)
{
	stat_inc(&vu->stats.sessions_refused);
	endpoint_log_peer(vu, fd, "a second front end was refused: one is connected");
	fdio_close(&fd);
}

static void endpoint_accept(struct evloop_fd *watch, uint32_t epoll_events)
{
	struct vhost_user *vu = container_of(watch, struct vhost_user, listener);
	struct err err = ERR_INIT;
	int fd;

	(void)epoll_events;
	if (vu->session && session_is_leaving(vu->session)) {
		/* This one can wait: endpoint_session_ended() looks again. */
		evloop_fd_remove(vu->loop, &vu->listener);
		return;
	}
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		if (endpoint_may_log(vu))
			log_warn(vu->tag, "cannot accept a front end: %m");
		evloop_fd_remove(vu->loop, &vu->listener);
		evloop_timer_set(vu->loop, &vu->timer, clock_now_ns() + ACCEPT_PAUSE_NS);
	} else if (vu->session) {
		endpoint_refuse(vu, fd);
	} else if (endpoint_serve(vu, fd, &err) < 0 && endpoint_may_log(vu)) {
		log_warn(vu->tag, "cannot serve a front end: %s", err.text);
	}
}

static void endpoint_connect(struct vhost_user *vu)
{
	struct err err = ERR_INIT;
	int fd;
	int ret = socket_connect(vu->path, &fd, &err);

	if (!ret)
		ret = endpoint_serve(vu, fd, &err);
	if (ret < 0 && ret != vu->retry_code)
		log_info(vu->tag, "waiting for a front end: %s", err.text);
	vu->retry_code = ret;
	if (ret < 0)
		endpoint_retry(vu);
}

static void endpoint_timer_expired(struct evloop_timer *timer)
{
	struct vhost_user *vu = container_of(timer, struct vhost_user, timer);

	if (vu->client)
		endpoint_connect(vu);
	else
		endpoint_wait(vu);
}

static int endpoint_listen(struct vhost_user *vu, const struct vhost_user_options *options,
			   struct err *err)
{
	mode_t mode = options->socket_mode ? options->socket_mode : SOCKET_MODE_DEFAULT;
	int ret = socket_listen(vu->path, mode, options->socket_owner, options->socket_group,
				&vu->listener.fd, &vu->file, err);

	if (ret < 0)
		return ret;
	vu->own_file = true;
	ret = endpoint_watch(vu);
	return ret < 0 ? err_set(err, -ret, "cannot watch %s: %s", vu->path, strerror(-ret)) : 0;
}

static int endpoint_inherit(struct vhost_user *vu, int fd, struct err *err)
{
	bool listening;
	int ret = socket_judge(fd, &listening, err);

	if (ret < 0)
		return ret;
	fdio_set_cloexec(fd);
	if (!listening)
		return endpoint_serve(vu, fd, err);
	/* Ours alone from here on. A blocking accept() could wait for a front end that gave up. */
	ret = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (ret < 0)
		return err_set(err, errno, "cannot make fd %d non-blocking: %m", fd);
	vu->listener.fd = fd;
	ret = endpoint_watch(vu);
	if (ret < 0) {
		vu->listener.fd = -1;
		return err_set(err, -ret, "cannot watch fd %d: %s", fd, strerror(-ret));
	}
	return 0;
}

static int endpoint_begin(struct vhost_user *vu, const struct vhost_user_options *options,
			  struct err *err)
{
	const char *path = options->listen_path ? options->listen_path : options->connect_path;

	if (!!options->listen_path + !!options->connect_path + (options->fd >= 0) != 1)
		return err_set(err, EINVAL, "exactly one of socket, connect and fd must be given");
	if (!path)
		return endpoint_inherit(vu, options->fd, err);
	vu->path = strdup(path);
	if (!vu->path)
		return err_set(err, ENOMEM, "out of memory");
	if (options->listen_path)
		return endpoint_listen(vu, options, err);
	vu->client = true;
	return socket_check_path(path, err);
}

int vhost_user_open(struct evloop *loop, struct device *device,
		    const struct vhost_user_options *options, struct vhost_user **out,
		    struct err *err)
{
	struct vhost_user *vu = calloc(1, sizeof(*vu));
	int ret;

	if (!vu)
		return err_set(err, ENOMEM, "out of memory");
	vu->loop = loop;
	vu->device = device;
	vu->tag = device_name(device);
	vu->any_memory = options->any_memory;
	vu->listener.fd = -1;
	vu->listener.ready = endpoint_accept;
	vu->timer.expired = endpoint_timer_expired;
	vu->retry_ns = RETRY_MIN_NS;
	ret = endpoint_begin(vu, options, err);
	if (ret < 0) {
		endpoint_free(vu);
		return ret;
	}
	if (vu->client)
		endpoint_connect(vu);
	*out = vu;
	return 0;
}

void vhost_user_close(struct vhost_user *vu, void (*closed)(void *arg), void *arg)
{
	vu->closing = true;
	vu->closed = closed;
	vu->closed_arg = arg;
	endpoint_shut(vu);
	if (vu->session)
		session_close(vu->session);
	else
		endpoint_close_finish(vu);
}

bool vhost_user_connected(const struct vhost_user *vu)
{
	return vu->session && !session_is_leaving(vu->session);
}

pid_t vhost_user_peer_pid(const struct vhost_user *vu)
{
	return vhost_user_connected(vu) ? vu->peer_pid : 0;
}

const struct vhost_user_stats *vhost_user_stats(const struct vhost_user *vu)
{
	return &vu->stats;
}
