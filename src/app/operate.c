/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at and changing a running daemon. Not its start and end (daemon.c).
 */
#include "app/operate.h"

#include <errno.h>
#include <string.h>

#include "app/daemon_priv.h"

struct evloop *daemon_loop(const struct daemon *daemon)
{
	return daemon->loop;
}

const struct config *daemon_config(const struct daemon *daemon)
{
	return daemon->config;
}

unsigned daemon_disk_cnt(const struct daemon *daemon)
{
	return daemon->disk_cnt;
}

struct disk *daemon_disk(const struct daemon *daemon, unsigned idx)
{
	return &daemon->disks[idx];
}

struct disk *daemon_find_disk(const struct daemon *daemon, const char *name)
{
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		if (strcmp(daemon->disks[i].config->name, name) == 0)
			return &daemon->disks[i];
	}
	return NULL;
}

struct worker *const *daemon_workers(const struct daemon *daemon, unsigned *cnt)
{
	*cnt = daemon->worker_cnt;
	return daemon->workers;
}

struct placer *daemon_placer(const struct daemon *daemon)
{
	return daemon->placer;
}

static void refuse(struct operation *op)
{
	config_errors_add(&op->errors, NULL, NULL, "not available in this version");
	op->done(op, -ENOSYS);
}

void operate_add_disk(struct daemon *daemon, json_t *spec, struct operation *op)
{
	(void)daemon;
	(void)spec;
	refuse(op);
}

void operate_remove_disk(struct daemon *daemon, const char *name, struct operation *op)
{
	(void)daemon;
	(void)name;
	refuse(op);
}

void operate_set_disk(struct daemon *daemon, const char *name, json_t *changes,
		      struct operation *op)
{
	(void)daemon;
	(void)name;
	(void)changes;
	refuse(op);
}

void operate_set_daemon(struct daemon *daemon, json_t *changes, struct operation *op)
{
	(void)daemon;
	(void)changes;
	refuse(op);
}

void operate_resize_disk(struct daemon *daemon, const char *name, const char *size_text,
			 struct operation *op)
{
	(void)daemon;
	(void)name;
	(void)size_text;
	refuse(op);
}
