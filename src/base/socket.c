/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making, finding and judging UNIX sockets. Not what is said on them.
 */
#include "base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdio.h"

/* Peers that may wait until they are accepted, for example while another one's queues drain. */
#define SOCKET_BACKLOG 128

static int socket_name(const char *path, struct sockaddr_un *name, struct err *err)
{
	size_t len = strlen(path);

	memset(name, 0, sizeof(*name));
	name->sun_family = AF_UNIX;
	if (len == 0 || len >= sizeof(name->sun_path))
		return err_set(err, ENAMETOOLONG,
			       "socket path \"%s\" has %zu bytes, must have 1 to %zu", path, len,
			       sizeof(name->sun_path) - 1);
	memcpy(name->sun_path, path, len);
	return 0;
}

int socket_check_path(const char *path, struct err *err)
{
	struct sockaddr_un name;

	return socket_name(path, &name, err);
}

static int socket_open(int *fd, struct err *err)
{
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return err_set(err, errno, "cannot make a socket: %m");
	return 0;
}

int socket_connect(const char *path, int *fd, struct err *err)
{
	struct sockaddr_un name;
	int ret = socket_name(path, &name, err);

	if (ret < 0)
		return ret;
	ret = socket_open(fd, err);
	if (ret < 0)
		return ret;
	if (connect(*fd, (const struct sockaddr *)&name, sizeof(name)) < 0) {
		ret = err_set(err, errno, "cannot connect to %s: %m", path);
		fdio_close(fd);
	}
	return ret;
}

/* Makes room for our socket at path. */
static int socket_clear(const char *path, struct err *err)
{
	struct stat st;
	int fd, ret;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set(err, errno, "cannot look at %s: %m", path);
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, EEXIST,
			       "%s exists and is not a socket; remove it or choose another path",
			       path);
	ret = socket_connect(path, &fd, NULL);
	if (ret == 0)
		fdio_close(&fd);
	/* EAGAIN: somebody listens, and others are waiting there already. */
	if (ret == 0 || ret == -EAGAIN)
		return err_set(err, EADDRINUSE,
			       "somebody listens on %s already; stop them or choose another path",
			       path);
	if (ret != -ECONNREFUSED)
		return err_set(err, -ret, "cannot find out whether somebody listens on %s: %s",
			       path, strerror(-ret));
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "cannot remove the stale socket %s: %m", path);
	return 0;
}

static int socket_settle(const char *path, int fd, mode_t mode, uid_t uid, gid_t gid,
			 struct socket_file *file, struct err *err)
{
	struct stat st;

	/* Nobody can connect before listen(), so there is no moment of wider rights. */
	if (chmod(path, mode) < 0)
		return err_set(err, errno, "cannot set mode %o on %s: %m", (unsigned)mode, path);
	if ((uid != (uid_t)-1 || gid != (gid_t)-1) && lchown(path, uid, gid) < 0)
		return err_set(err, errno, "cannot change owner and group of %s to %d:%d: %m", path,
			       (int)uid, (int)gid);
	if (lstat(path, &st) < 0)
		return err_set(err, errno, "cannot look at %s: %m", path);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	if (listen(fd, SOCKET_BACKLOG) < 0)
		return err_set(err, errno, "cannot listen on %s: %m", path);
	return 0;
}

int socket_listen(const char *path, mode_t mode, uid_t uid, gid_t gid, int *fd,
		  struct socket_file *file, struct err *err)
{
	struct sockaddr_un name;
	int ret = socket_name(path, &name, err);

	if (!ret)
		ret = socket_clear(path, err);
	if (!ret)
		ret = socket_open(fd, err);
	if (ret < 0)
		return ret;
	if (bind(*fd, (const struct sockaddr *)&name, sizeof(name)) < 0) {
		ret = err_set(err, errno, "cannot make socket %s: %m", path);
		fdio_close(fd);
		return ret;
	}
	ret = socket_settle(path, *fd, mode, uid, gid, file, err);
	if (ret < 0) {
		unlink(path);
		fdio_close(fd);
	}
	return ret;
}

void socket_unlink(const char *path, const struct socket_file *file)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
		unlink(path);
}

int socket_judge(int fd, bool *listening, struct err *err)
{
	struct sockaddr_un peer;
	int domain = 0, type = 0, accepts = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return err_set(err, errno, "fd %d is not a socket: %m", fd);
	len = sizeof(int);
	if (domain != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
	    type != SOCK_STREAM)
		return err_set(err, EINVAL, "fd %d is not a UNIX stream socket", fd);
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) < 0)
		return err_set(err, errno, "cannot look at fd %d: %m", fd);
	*listening = accepts != 0;
	len = sizeof(peer);
	if (!*listening && getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return err_set(err, errno, "fd %d neither listens nor is connected: %m", fd);
	return 0;
}
