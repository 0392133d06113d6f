/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a configuration that is being served: disks that come and go, and keys on copies.
 * Not the doing (app/operate.h): here nothing is opened and no worker hears of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/config_priv.h"

struct config_object *config_find(const struct config *config, enum config_kind kind,
				  const char *name)
{
	const struct config_list *list = &config->lists[kind];

	for (unsigned i = 0; i < list->cnt; i++) {
		if (list->objects[i]->name && strcmp(list->objects[i]->name, name) == 0)
			return list->objects[i];
	}
	return NULL;
}

struct config_object *config_find_any(const struct config *config, const char *name)
{
	struct config_object *found = NULL;

	for (unsigned kind = 0; kind < CONFIG_KIND_CNT && !found; kind++)
		found = config_find(config, kind, name);
	return found;
}

unsigned config_idx(const struct config *config, const struct config_object *object)
{
	const struct config_list *list = &config->lists[object->kind];
	unsigned idx = 0;

	while (idx < list->cnt && list->objects[idx] != object)
		idx++;
	CHECK(idx < list->cnt);
	return idx;
}

void config_remove(struct config *config, struct config_object *object)
{
	struct config_list *list = &config->lists[object->kind];
	unsigned idx = config_idx(config, object);

	config_discard(object);
	list->cnt--;
	memmove(&list->objects[idx], &list->objects[idx + 1],
		(list->cnt - idx) * sizeof(*list->objects));
}

/* What is appended last is judged, with the switch that it may bring along. */
static void judge_appended(struct config *config, struct config_object *object,
			   struct config_errors *errors)
{
	const struct err inherited = {EINVAL, "fd: belongs to the command that starts the daemon; "
					      "a running one needs socket or connect"};
	unsigned cnt = errors->cnt;

	/* Whoever may ask could name any descriptor that is open here. */
	if (config_front(object) && config_given(object, "fd"))
		config_complain(config, object, &inherited, errors);
	if (errors->cnt == cnt)
		config_imply_switch(config, object, errors);
	if (errors->cnt == cnt)
		config_finish_object(config, object, errors);
	if (errors->cnt == cnt)
		config_check_object_paths(config, object, errors);
}

bool config_append(struct config *config, enum config_kind kind, const json_t *spec,
		   struct config_errors *errors)
{
	struct config_list *switches = &config->lists[CONFIG_SWITCH];
	unsigned switch_cnt = switches->cnt;
	unsigned cnt = errors->cnt;
	char path[CONFIG_PATH_BYTES];
	struct config_object *object = NULL;
	struct tree tree;

	config_object_path(kind, config_name_in(spec), path, sizeof(path));
	if (tree_from_json(&tree, spec, path, errors) == 0)
		object = config_fill_object(config, kind, &tree, tree.root, errors);
	if (object && errors->cnt == cnt)
		judge_appended(config, object, errors);
	tree_fini(&tree);
	if (errors->cnt == cnt)
		return true;
	if (object)
		config_remove(config, object);
	while (switches->cnt > switch_cnt)
		config_remove(config, switches->objects[switches->cnt - 1]);
	return false;
}

/* 0 or -ENOMEM; what was copied by then is in copy. */
static int copy_values(const struct schema_table *table, void *copy, const void *object)
{
	int rc = 0;

	for (unsigned i = 0; i < table->row_cnt && rc == 0; i++)
		rc = schema_copy(&table->rows[i], copy, &table->rows[i], object);
	return rc;
}

static struct config_object *copy_object(const struct config_object *object,
					 struct config_errors *errors)
{
	const struct schema_table *table = config_table(object->kind);
	struct config_object *copy = calloc(1, table->object_bytes);

	if (!copy) {
		config_no_memory(errors);
		return NULL;
	}
	*copy = *object;
	copy->name = NULL; /* a row copies it */
	if (copy_values(table, copy, object)) {
		config_discard(copy);
		config_no_memory(errors);
		return NULL;
	}
	return copy;
}

/* True if changes named a key and all of them were right. */
static bool fill_changes(const struct schema_table *table, struct config_object *object,
			 const char *path, const json_t *changes, struct config_errors *errors)
{
	unsigned cnt = errors->cnt;
	struct tree tree;
	struct filling f = {.table = table,
			    .object = object,
			    .path = path,
			    .tree = &tree,
			    .errors = errors,
			    .changing = true};

	if (tree_from_json(&tree, changes, path, errors) == 0) {
		config_fill(&f, tree.root);
		if (!f.seen && errors->cnt == cnt)
			config_errors_add(errors, NULL, path, "no key to change is given");
	}
	tree_fini(&tree);
	return errors->cnt == cnt;
}

/* As config_finish_object() says, with the copy and another daemon in their places. */
static bool finish_copy(const struct config *config, const struct config_object *object,
			struct config_object *copy, const struct config_daemon *daemon,
			struct config_errors *errors)
{
	struct config as_if = *config;
	struct config_list *list = &as_if.lists[object->kind];
	struct config_object **objects = malloc(list->cnt * sizeof(*objects));
	unsigned cnt = errors->cnt;

	if (!objects) {
		config_no_memory(errors);
		return false;
	}
	memcpy(objects, list->objects, list->cnt * sizeof(*objects));
	objects[config_idx(config, object)] = copy;
	list->objects = objects;
	as_if.daemon = *daemon;
	config_finish_object(&as_if, copy, errors);
	free(objects);
	return errors->cnt == cnt;
}

struct config_object *config_change(struct config *config, const struct config_object *object,
				    const json_t *changes, struct config_errors *errors)
{
	struct config_object *copy = copy_object(object, errors);
	char path[CONFIG_PATH_BYTES];

	config_object_path(object->kind, object->name, path, sizeof(path));
	if (copy && fill_changes(config_table(object->kind), copy, path, changes, errors) &&
	    finish_copy(config, object, copy, &config->daemon, errors))
		return copy;
	config_discard(copy);
	return NULL;
}

struct config_daemon *config_change_daemon(const struct config *config, const json_t *changes,
					   struct config_errors *errors)
{
	struct config_object *copy = copy_object(&config->daemon.object, errors);

	if (copy && fill_changes(&schema_daemon, copy, "daemon", changes, errors))
		return (struct config_daemon *)copy;
	config_discard(copy);
	return NULL;
}

struct config_object *config_follow(const struct config *config, const struct config_object *object,
				    const struct config_daemon *daemon,
				    struct config_errors *errors)
{
	struct config_object *copy = copy_object(object, errors);

	if (copy && finish_copy(config, object, copy, daemon, errors))
		return copy;
	config_discard(copy);
	return NULL;
}

/* Swaps what may have changed: the other keys' strings stay where others may know them. */
void config_take(struct config_object *object, struct config_object *copy)
{
	const struct schema_table *table = config_table(object->kind);

	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct schema_row *row = &table->rows[i];

		if (!row->runtime)
			continue;
		schema_move(row, object, copy);
		object->key_origin[i] = copy->key_origin[i];
	}
	object->given = copy->given;
	config_discard(copy);
}

void config_discard(struct config_object *copy)
{
	if (copy)
		schema_clear(config_table(copy->kind), copy);
	free(copy);
}
