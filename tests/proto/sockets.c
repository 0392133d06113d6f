/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets with paths for the protocol tests. Not tests.
 */
#include "sockets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

char sockets_dir[64];

int sockets_setup(void **state)
{
	(void)state;
	snprintf(sockets_dir, sizeof(sockets_dir), "/tmp/pario-endpoint-XXXXXX");
	return mkdtemp(sockets_dir) ? 0 : -1;
}

int sockets_remove(void **state)
{
	(void)state;
	return rmdir(sockets_dir); /* every test has left it empty */
}

const char *sockets_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", sockets_dir, name);
	return path;
}

struct vhost_user_options sockets_options(const char *path)
{
	return (struct vhost_user_options){
		.listen_path = path,
		.fd = -1,
		.socket_owner = (uid_t)-1,
		.socket_group = (gid_t)-1,
	};
}

int sockets_plain(const char *path, struct sockaddr_un *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_true(strlen(path) < sizeof(name->sun_path));
	memcpy(name->sun_path, path, strlen(path));
	return fd;
}

int sockets_connect(const char *path)
{
	struct sockaddr_un name;
	int fd = sockets_plain(path, &name);

	if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int sockets_listen(const char *path)
{
	struct sockaddr_un name;
	int fd = sockets_plain(path, &name);

	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

void sockets_open(struct rig *rig, const struct vhost_user_options *options)
{
	struct err err = ERR_INIT;

	if (vhost_user_open(rig->loop, rig->device, options, &rig->vu, &err) < 0)
		rig_fail(rig, "endpoint: %s", err.text);
}

void sockets_refuse(struct rig *rig, const struct vhost_user_options *options, int code,
		    const char *part)
{
	unsigned fds = rig_fd_cnt();
	struct err err = ERR_INIT;
	int ret = vhost_user_open(rig->loop, rig->device, options, &rig->vu, &err);

	if (ret != -code || err.code != code || !strstr(err.text, part))
		rig_fail(rig, "%d, not %d: \"%s\"", -ret, code, err.text);
	assert_int_equal(rig_fd_cnt(), fds);
	assert_null(rig->vu);
}

bool sockets_has_front(struct rig *rig)
{
	return vhost_user_connected(rig->vu);
}

static bool has_none(struct rig *rig)
{
	return !vhost_user_connected(rig->vu) && !fake_device_has_front(rig->device);
}

void sockets_come(struct rig *rig, const char *path)
{
	rig->front = sockets_connect(path);
	assert_true(rig->front >= 0);
	rig_until(rig, sockets_has_front, "the front end to be served");
	rig->sent = vhost_user_stats(rig->vu)->messages;
}

void sockets_go(struct rig *rig)
{
	close(rig->front);
	rig->front = -1;
	rig_until(rig, has_none, "the front end to be forgotten");
}

void sockets_note_closed(void *arg)
{
	struct rig *rig = arg;

	rig->closed_cb = true;
	rig->vu = NULL;
}
