/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of operations on a running daemon, and looking at it.
 * Not what they do (operate_set.c, operate_disk.c) and not its start and end (daemon.c).
 */
#include "app/operate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
	return daemon->disks[idx];
}

struct disk *daemon_find_disk(const struct daemon *daemon, const char *name)
{
	unsigned idx = config_find_disk(daemon->config, name);

	return idx < daemon->disk_cnt ? daemon->disks[idx] : NULL;
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

/* "(there are: vda, vdb)", cut when there are many. */
static void names_text(const struct daemon *daemon, char *buf, size_t size)
{
	size_t len = 0;

	snprintf(buf, size, "none");
	for (unsigned i = 0; i < daemon->disk_cnt && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
					daemon->config->disks[i]->name);
	if (len >= size)
		snprintf(buf + size - 5, 5, " ...");
}

void operation_complain(struct operation *op, const struct disk *disk, const struct err *err)
{
	config_disk_refuse(disk->config, err, &op->errors);
}

struct disk *operation_disk(struct operation *op, int *status)
{
	struct disk *disk = daemon_find_disk(op->daemon, op->name);
	struct err err = ERR_INIT;
	char names[256];

	if (!disk) {
		names_text(op->daemon, names, sizeof(names));
		config_errors_add(&op->errors, NULL, NULL,
				  "no disk is named \"%.64s\" (there are: %s)", op->name, names);
		*status = -ENOENT;
		return NULL;
	}
	if (disk->closing) {
		*status = err_set(&err, EBUSY, "is being removed: it is gone when it is drained");
		operation_complain(op, disk, &err);
		return NULL;
	}
	return disk;
}

void operation_end(struct operation *op, int status)
{
	struct daemon *daemon = op->daemon;

	list_remove(&op->node);
	free(op->name);
	free(op->size_text);
	json_decref(op->json);
	op->done(op, status);
	/* The operation is not ours any more. */
	operate_run(daemon);
	daemon_check_end(daemon);
}

/* Does an operation that came before stand in the way? */
static bool must_wait(struct daemon *daemon, const struct operation *op)
{
	for (struct list_node *node = daemon->operations.next; node != &op->node;
	     node = node->next) {
		const struct operation *other = container_of(node, struct operation, node);

		if (!op->name || !other->name || strcmp(op->name, other->name) == 0)
			return true;
	}
	return false;
}

static struct operation *next_to_begin(struct daemon *daemon)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &daemon->operations) {
		struct operation *op = container_of(node, struct operation, node);

		if (!op->begun && !must_wait(daemon, op))
			return op;
	}
	return NULL;
}

/* What ends within only marks the list as changed: the loop looks from its beginning each time. */
void operate_run(struct daemon *daemon)
{
	struct operation *op;

	if (daemon->operating || daemon->draining)
		return;
	daemon->operating = true;
	while ((op = next_to_begin(daemon))) {
		int status;

		op->begun = true;
		status = op->begin(op);
		if (status != OPERATION_PENDING)
			operation_end(op, status);
	}
	daemon->operating = false;
}

void operate_stop(struct daemon *daemon)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &daemon->operations) {
		struct operation *op = container_of(node, struct operation, node);

		if (op->begun)
			continue;
		config_errors_add(&op->errors, NULL, NULL, "the daemon is ending");
		operation_end(op, -EBUSY);
		next = daemon->operations.next;
	}
}

/* A name that no other operation has, so that it waits for those on the daemon only. */
#define NO_NAME ""

static void begin(struct daemon *daemon, struct operation *op, int (*begin_fn)(struct operation *),
		  const char *name, const char *size_text, json_t *json)
{
	op->daemon = daemon;
	op->begin = begin_fn;
	op->begun = false;
	op->name = name ? strdup(name) : NULL;
	op->size_text = size_text ? strdup(size_text) : NULL;
	op->json = json_incref(json);
	list_push_back(&daemon->operations, &op->node);
	if ((name && !op->name) || (size_text && !op->size_text)) {
		config_errors_add(&op->errors, NULL, NULL, "no memory");
		operation_end(op, -ENOMEM);
	} else if (daemon->draining) {
		config_errors_add(&op->errors, NULL, NULL, "the daemon is ending");
		operation_end(op, -EBUSY);
	} else {
		operate_run(daemon);
	}
}

void operate_add_disk(struct daemon *daemon, json_t *spec, struct operation *op)
{
	const char *name = json_string_value(json_object_get(spec, "name"));

	begin(daemon, op, operate_begin_add, name ? name : NO_NAME, NULL, spec);
}

void operate_remove_disk(struct daemon *daemon, const char *name, struct operation *op)
{
	begin(daemon, op, operate_begin_remove, name, NULL, NULL);
}

void operate_set_disk(struct daemon *daemon, const char *name, json_t *changes,
		      struct operation *op)
{
	begin(daemon, op, operate_begin_set_disk, name, NULL, changes);
}

void operate_set_daemon(struct daemon *daemon, json_t *changes, struct operation *op)
{
	begin(daemon, op, operate_begin_set_daemon, NULL, NULL, changes);
}

void operate_resize_disk(struct daemon *daemon, const char *name, const char *size_text,
			 struct operation *op)
{
	begin(daemon, op, operate_begin_resize, name, size_text, NULL);
}
