/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of operations on a running daemon, and looking at it.
 * Not what they do (operate_set.c, operate_object.c, operate_resize.c) and not its start and end
 * (daemon.c).
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

unsigned daemon_cnt(const struct daemon *daemon, enum config_kind kind)
{
	return daemon->lists[kind].cnt;
}

struct served *daemon_at(const struct daemon *daemon, enum config_kind kind, unsigned idx)
{
	return daemon->lists[kind].objects[idx];
}

struct served *daemon_find(const struct daemon *daemon, enum config_kind kind, const char *name)
{
	const struct config_object *found = kind == CONFIG_ANY
						    ? config_find_any(daemon->config, name)
						    : config_find(daemon->config, kind, name);

	return found ? daemon->lists[found->kind].objects[config_idx(daemon->config, found)] : NULL;
}

struct worker *const *daemon_workers(const struct daemon *daemon, unsigned *cnt)
{
	*cnt = daemon->worker_cnt;
	return daemon->workers;
}

struct captures *daemon_captures(const struct daemon *daemon)
{
	return daemon->captures;
}

struct placer *daemon_placer(const struct daemon *daemon)
{
	return daemon->placer;
}

struct fabric *daemon_fabric(const struct daemon *daemon)
{
	return daemon->fabric;
}

/* "(there are: vda, vdb)", cut when there are many. */
static void names_text(const struct daemon *daemon, enum config_kind wanted, char *buf, size_t size)
{
	size_t len = 0;

	snprintf(buf, size, "none");
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		const struct config_list *list = &daemon->config->lists[kind];

		if (wanted != CONFIG_ANY && wanted != kind)
			continue;
		for (unsigned i = 0; i < list->cnt && len < size; i++)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						list->objects[i]->name);
	}
	if (len >= size)
		snprintf(buf + size - 5, 5, " ...");
}

void operation_complain(struct operation *op, const struct served *served, const struct err *err)
{
	config_refuse(served->config, err, &op->errors);
}

struct served *operation_object(struct operation *op, int *status)
{
	struct served *served = daemon_find(op->daemon, op->kind, op->name);
	struct err err = ERR_INIT;
	char names[256];

	if (!served) {
		names_text(op->daemon, op->kind, names, sizeof(names));
		config_errors_add(&op->errors, NULL, NULL,
				  "no %s is named \"%.64s\" (there are: %s)",
				  op->kind == CONFIG_ANY ? "object" : config_noun(op->kind),
				  op->name, names);
		*status = -ENOENT;
		return NULL;
	}
	if (served->closing) {
		*status = err_set(&err, EBUSY, "is being removed: it is gone when it is drained");
		operation_complain(op, served, &err);
		return NULL;
	}
	return served;
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
		  enum config_kind kind, const char *name, const char *size_text, json_t *json)
{
	op->daemon = daemon;
	op->kind = kind;
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

void operate_add(struct daemon *daemon, enum config_kind kind, json_t *spec, struct operation *op)
{
	const char *name = json_string_value(json_object_get(spec, "name"));

	begin(daemon, op, operate_begin_add, kind, name ? name : NO_NAME, NULL, spec);
}

void operate_remove(struct daemon *daemon, enum config_kind kind, const char *name,
		    struct operation *op)
{
	begin(daemon, op, operate_begin_remove, kind, name, NULL, NULL);
}

void operate_set(struct daemon *daemon, enum config_kind kind, const char *name, json_t *changes,
		 struct operation *op)
{
	begin(daemon, op, operate_begin_set, kind, name, NULL, changes);
}

void operate_set_daemon(struct daemon *daemon, json_t *changes, struct operation *op)
{
	begin(daemon, op, operate_begin_set_daemon, CONFIG_DAEMON, NULL, NULL, changes);
}

void operate_resize(struct daemon *daemon, const char *name, const char *size_text,
		    struct operation *op)
{
	begin(daemon, op, operate_begin_resize, CONFIG_DISK, name, size_text, NULL);
}
