/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owned descriptors and signalling through them. Not an event loop (evloop.c).
 */
#include "base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

void fdio_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fdio_signal(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int fdio_signal_socket(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	do {
		n = send(fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

static int fdio_socket_option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

bool fdio_is_socket(int fd)
{
	return fdio_socket_option(fd, SO_TYPE) >= 0;
}

int fdio_open_doorbell(int *fd)
{
	char link[32];
	char target[64];
	ssize_t len;
	int own;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", *fd);
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	if (strcmp(target, "anon_inode:[eventfd]") == 0)
		return 0;
	if (fdio_socket_option(*fd, SO_DOMAIN) == AF_UNIX &&
	    fdio_socket_option(*fd, SO_TYPE) == SOCK_STREAM)
		return 0;
	if (strncmp(target, "pipe:[", strlen("pipe:[")) != 0)
		return -EINVAL;
	own = open(link, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (own < 0)
		return -errno;
	fdio_close(fd);
	*fd = own;
	return 0;
}

void fdio_drain(int fd)
{
	uint64_t value;
	ssize_t n;

	do {
		n = read(fd, &value, sizeof(value));
	} while (n < 0 && errno == EINTR);
}

int fdio_set_cloexec(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int fdio_raise_limit(uint64_t want, uint64_t *got, struct err *err)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return err_set(err, errno, "cannot read RLIMIT_NOFILE: %m");
	if (lim.rlim_cur < want) {
		struct rlimit raised = lim;

		if (raised.rlim_max < want)
			raised.rlim_max = want; /* works with CAP_SYS_RESOURCE only */
		raised.rlim_cur = want;
		if (setrlimit(RLIMIT_NOFILE, &raised) < 0) {
			raised.rlim_max = lim.rlim_max;
			raised.rlim_cur = lim.rlim_max;
			if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
				raised = lim;
		}
		lim = raised;
	}
	*got = lim.rlim_cur;
	return 0;
}
