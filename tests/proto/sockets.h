/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets with paths for the protocol tests: a directory for a test program, plain sockets in it,
 * and front ends that come and go there.
 * Not the connection's contents (rig.h).
 */
#ifndef PARIO_PROTO_SOCKETS_H
#define PARIO_PROTO_SOCKETS_H

#include "rig.h"

#include <sys/un.h>

extern char sockets_dir[64];

/* Group setup and teardown; the latter fails when a test has left something. */
int sockets_setup(void **state);
int sockets_remove(void **state);

/* Of a name in the directory; good until the next call. */
const char *sockets_path(const char *name);
struct vhost_user_options sockets_options(const char *listen_path);

/* Plain sockets, apart from any endpoint. */
int sockets_plain(const char *path, struct sockaddr_un *name);
int sockets_connect(const char *path); /* -1: nobody there */
int sockets_listen(const char *path);

void sockets_open(struct rig *rig, const struct vhost_user_options *options);
/* It must not open, and must say part of why. */
void sockets_refuse(struct rig *rig, const struct vhost_user_options *options, int code,
		    const char *part);

/* A front end connects and is served; it leaves and is forgotten. */
void sockets_come(struct rig *rig, const char *path);
void sockets_go(struct rig *rig);
bool sockets_has_front(struct rig *rig);
/* For vhost_user_close(); arg is the rig. */
void sockets_note_closed(void *arg);

#endif
