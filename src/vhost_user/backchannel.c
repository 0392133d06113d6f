/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that the back end sends by itself, on the descriptor of SET_BACKEND_REQ_FD: so far
 * that config space has changed. Not replies (session.c).
 *
 * No acknowledgement is asked for, so nothing is ever waited for or read here. A front end that
 * does not read holds back one message; changes in the meantime are one change.
 */
#include "vhost_user/session_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/fdio.h"

static void backchannel_ready(struct evloop_fd *watch, uint32_t epoll_events)
{
	struct session *s = container_of(watch, struct session, back.watch);

	(void)epoll_events;
	backchannel_flush(s);
}

void backchannel_init(struct session *s)
{
	s->back.fd = -1;
	s->back.watch.ready = backchannel_ready;
}

void backchannel_close(struct session *s)
{
	evloop_fd_remove(s->loop, &s->back.watch);
	/* What was not taken is told to the next one, from its start. */
	if (!outbox_empty(&s->back.out))
		s->back.config_changed = true;
	s->back.out.bytes = 0;
	fdio_close(&s->back.fd);
}

/* A UNIX stream socket is used as it is; a pipe is made safe to write to. */
static int backchannel_judge(int *fd, bool *is_socket, struct err *err)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(domain);
	struct stat st;
	int ret;

	*is_socket = getsockopt(*fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0;
	if (*is_socket) {
		len = sizeof(type);
		if (domain == AF_UNIX && getsockopt(*fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    type == SOCK_STREAM)
			return 0;
		return err_set(err, EINVAL, "the socket is not a UNIX stream socket");
	}
	if (fstat(*fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return err_set(err, EINVAL,
			       "descriptor is neither a UNIX stream socket nor a pipe");
	ret = fdio_open_doorbell(fd);
	if (ret < 0)
		return err_set(err, -ret, "cannot open the pipe for writing: %s", strerror(-ret));
	return 0;
}

int backchannel_set(struct session *s, struct message *m, struct err *err)
{
	int fd = message_take_fd(m, 0);
	bool is_socket;
	int ret = backchannel_judge(&fd, &is_socket, err);

	if (ret < 0) {
		fdio_close(&fd);
		return ret;
	}
	backchannel_close(s);
	s->back.fd = fd;
	s->back.is_socket = is_socket;
	return 0;
}

void backchannel_config_changed(struct session *s)
{
	s->back.config_changed = true;
	backchannel_flush(s);
}

/* The next message, if there is one and it may be sent now. */
static bool backchannel_fill(struct session *s)
{
	struct backchannel *b = &s->back;

	if (!outbox_empty(&b->out))
		return true;
	if (!b->config_changed || !(s->protocol_features >> WIRE_PF_CONFIG & 1) ||
	    !session_running(s))
		return false;
	b->config_changed = false;
	outbox_put(&b->out, WIRE_BACKEND_CONFIG_CHANGE_MSG, WIRE_FLAG_VERSION, NULL, 0);
	return true;
}

void backchannel_flush(struct session *s)
{
	struct backchannel *b = &s->back;
	int ret = 0;

	if (b->fd < 0)
		return;
	while (!ret && backchannel_fill(s))
		ret = outbox_flush(&b->out, b->fd, b->is_socket);
	if (!ret)
		evloop_fd_remove(s->loop, &b->watch);
	else if (ret == -EAGAIN && !b->watch.active)
		ret = evloop_fd_add(s->loop, &b->watch, b->fd, EPOLLOUT);
	if (!ret || ret == -EAGAIN)
		return;
	session_log(s, "config changes are not told any more, their channel failed: %s",
		    strerror(-ret));
	backchannel_close(s);
}
