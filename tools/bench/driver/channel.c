/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets, framing and descriptors of the front end's side of vhost-user.
 * The meaning of messages is in front.c.
 */
#include "driver/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS 20

int64_t channel_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - channel_now_ms();

	return left > 0 ? (int)left : 0;
}

int channel_wait(int fd, short events, int timeout_ms)
{
	int64_t deadline_ms = channel_now_ms() + timeout_ms;
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int n = poll(&p, 1, left_ms(deadline_ms));

		if (n > 0)
			return 0;
		if (n == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

void vu_message_close_fds(struct vu_message *m)
{
	for (unsigned int i = 0; i < m->fd_cnt; i++)
		if (m->fd[i] >= 0)
			close(m->fd[i]);
	m->fd_cnt = 0;
}

int channel_send(int sock, const void *bytes, size_t size, const int *fd, unsigned int fd_cnt,
		 int timeout_ms)
{
	int64_t deadline_ms = channel_now_ms() + timeout_ms;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {0};
	const uint8_t *pos = bytes;

	if (fd_cnt > 64)
		return -EINVAL;
	while (size > 0) {
		struct iovec iov = {.iov_base = (void *)(uintptr_t)pos, .iov_len = size};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n;
		int rc;

		if (fd_cnt) {
			struct cmsghdr *c;

			msg.msg_control = control;
			msg.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(fd_cnt * sizeof(int));
			memcpy(CMSG_DATA(c), fd, fd_cnt * sizeof(int));
		}
		rc = channel_wait(sock, POLLOUT, left_ms(deadline_ms));
		if (rc < 0)
			return rc;
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return -errno;
		}
		pos += n;
		size -= (size_t)n;
		fd_cnt = 0; /* they went with the first byte */
	}
	return 0;
}

/* Appends the descriptors of one recvmsg(); what does not fit is closed and reported. */
static int fds_take(struct vu_message *m, struct msghdr *msg)
{
	int rc = msg->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		unsigned int cnt;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		cnt = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned int i = 0; i < cnt; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->fd_cnt < VU_FD_MAX) {
				m->fd[m->fd_cnt++] = fd;
			} else {
				close(fd);
				rc = -EPROTO;
			}
		}
	}
	return rc;
}

static int recv_exactly(int sock, struct vu_message *m, void *to, size_t size, int64_t deadline_ms)
{
	uint8_t *pos = to;

	while (size > 0) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(VU_FD_MAX * sizeof(int))];
		struct iovec iov = {.iov_base = pos, .iov_len = size};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};
		ssize_t n;
		int rc = channel_wait(sock, POLLIN, left_ms(deadline_ms));

		if (rc < 0)
			return rc;
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return -errno;
		}
		if (n == 0)
			return -ECONNRESET;
		rc = fds_take(m, &msg);
		if (rc < 0)
			return rc;
		pos += n;
		size -= (size_t)n;
	}
	return 0;
}

int channel_recv(int sock, struct vu_message *m, int timeout_ms)
{
	int64_t deadline_ms = channel_now_ms() + timeout_ms;
	int rc;

	m->fd_cnt = 0;
	rc = recv_exactly(sock, m, &m->header, sizeof(m->header), deadline_ms);
	if (rc == 0 && m->header.size > VU_PAYLOAD_MAX)
		rc = -EPROTO;
	if (rc == 0)
		rc = recv_exactly(sock, m, m->payload, m->header.size, deadline_ms);
	if (rc < 0)
		vu_message_close_fds(m);
	return rc;
}

static int path_fill(struct sockaddr_un *sun, const char *path)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memcpy(sun->sun_path, path, strlen(path));
	return 0;
}

int channel_connect(const char *path, int wait_ms)
{
	int64_t deadline_ms = channel_now_ms() + wait_ms;
	struct sockaddr_un sun;
	int rc = path_fill(&sun, path);

	if (rc < 0)
		return rc;
	for (;;) {
		/* Non-blocking: connect() to a listener that never accepts would wait for ever. */
		int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (sock < 0)
			return -errno;
		if (connect(sock, (struct sockaddr *)&sun, sizeof(sun)) == 0)
			return sock;
		rc = -errno;
		close(sock);
		if ((rc != -ENOENT && rc != -ECONNREFUSED && rc != -EAGAIN) ||
		    left_ms(deadline_ms) == 0)
			return rc;
		/* Between looks, not instead of one: the loop ends when connect() succeeds. */
		poll(NULL, 0, RETRY_MS);
	}
}

int channel_listen(const char *path)
{
	struct sockaddr_un sun;
	struct stat st;
	int sock, rc = path_fill(&sun, path);

	if (rc < 0)
		return rc;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		sock = channel_connect(path, 0);
		if (sock >= 0) {
			close(sock);
			return -EADDRINUSE;
		}
		unlink(path);
	}
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (bind(sock, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(sock, 1) < 0) {
		rc = -errno;
		close(sock);
		return rc;
	}
	return sock;
}

int channel_accept(int listener, int timeout_ms)
{
	int sock, rc = channel_wait(listener, POLLIN, timeout_ms);

	if (rc < 0)
		return rc;
	sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return sock < 0 ? -errno : sock;
}
