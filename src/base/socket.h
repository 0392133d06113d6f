/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UNIX sockets as the control thread needs them: listening on a path, connecting to one, an
 * inherited one. Not what is said on them.
 *
 * Control thread only. All descriptors are close-on-exec. 0 or -errno with text.
 */
#ifndef PARIO_BASE_SOCKET_H
#define PARIO_BASE_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* A socket file that we made. */
struct socket_file {
	dev_t dev;
	ino_t ino;
};

/*
 * Listens, non-blocking. A file that is a socket on which nobody answers is replaced; one on which
 * somebody does, and one that is no socket, is refused. Mode and owner hold before the first
 * connection can come. uid, gid -1: as is.
 */
int socket_listen(const char *path, mode_t mode, uid_t uid, gid_t gid, int *fd,
		  struct socket_file *file, struct err *err);

/* Removes the file, unless somebody has put another in its place. */
void socket_unlink(const char *path, const struct socket_file *file);

/* Can there be a socket of that name at all? */
int socket_check_path(const char *path, struct err *err);

/* One attempt, which does not block. */
int socket_connect(const char *path, int *fd, struct err *err);

/* What an inherited descriptor is; refused when it is no UNIX stream socket, or unconnected. */
int socket_judge(int fd, bool *listening, struct err *err);

#endif
