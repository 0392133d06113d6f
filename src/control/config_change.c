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

unsigned config_find_disk(const struct config *config, const char *name)
{
	unsigned idx = 0;

	while (idx < config->disk_cnt && strcmp(config->disks[idx]->name, name) != 0)
		idx++;
	return idx;
}

bool config_append_disk(struct config *config, const json_t *spec, struct config_errors *errors)
{
	unsigned cnt = errors->cnt;
	unsigned idx = config->disk_cnt;
	const struct err inherited = {EINVAL, "fd: belongs to the command that starts the daemon; "
					      "a running one needs socket or connect"};
	char path[CONFIG_PATH_BYTES];
	struct tree tree;

	config_disk_path(config_name_in(spec), path, sizeof(path));
	if (tree_from_json(&tree, spec, path, errors) == 0 &&
	    config_fill_disk(config, &tree, tree.root, errors)) {
		/* Whoever may ask could name any descriptor that is open here. */
		if (config_disk_given(config->disks[idx], "fd"))
			config_disk_complain(config, idx, &inherited, errors);
		if (errors->cnt == cnt)
			config_finish_disk(config, idx, errors);
		if (errors->cnt == cnt)
			config_check_disk_paths(config, idx, errors);
		if (errors->cnt != cnt)
			config_remove_disk(config, idx);
	}
	tree_fini(&tree);
	return errors->cnt == cnt;
}

/* 0 or -ENOMEM; what was copied by then is in copy. */
static int copy_values(const struct schema_table *table, void *copy, const void *object)
{
	int rc = 0;

	for (unsigned i = 0; i < table->row_cnt && rc == 0; i++)
		rc = schema_copy(&table->rows[i], copy, &table->rows[i], object);
	return rc;
}

static struct config_disk *copy_disk(const struct config_disk *disk, struct config_errors *errors)
{
	struct config_disk *copy = calloc(1, sizeof(*copy));

	if (copy)
		copy->object = disk->object;
	if (!copy || copy_values(&schema_disk, copy, disk)) {
		config_discard_disk(copy);
		config_no_memory(errors);
		return NULL;
	}
	return copy;
}

static struct config_daemon *copy_daemon(const struct config_daemon *daemon,
					 struct config_errors *errors)
{
	struct config_daemon *copy = calloc(1, sizeof(*copy));

	if (copy)
		copy->object = daemon->object;
	if (!copy || copy_values(&schema_daemon, copy, daemon)) {
		config_discard_daemon(copy);
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

/* As config_finish_disk() says, with another disk and daemon in the configuration's places. */
static bool finish_copy(const struct config *config, unsigned idx, struct config_disk *copy,
			const struct config_daemon *daemon, struct config_errors *errors)
{
	struct config as_if = *config;
	struct config_disk **disks = malloc(config->disk_cnt * sizeof(*disks));
	unsigned cnt = errors->cnt;

	if (!disks) {
		config_no_memory(errors);
		return false;
	}
	memcpy(disks, config->disks, config->disk_cnt * sizeof(*disks));
	disks[idx] = copy;
	as_if.disks = disks;
	as_if.daemon = *daemon;
	config_finish_disk(&as_if, idx, errors);
	free(disks);
	return errors->cnt == cnt;
}

struct config_disk *config_change_disk(struct config *config, unsigned idx, const json_t *changes,
				       struct config_errors *errors)
{
	struct config_disk *copy = copy_disk(config->disks[idx], errors);
	char path[CONFIG_PATH_BYTES];

	config_disk_path(config->disks[idx]->name, path, sizeof(path));
	if (copy && fill_changes(&schema_disk, &copy->object, path, changes, errors) &&
	    finish_copy(config, idx, copy, &config->daemon, errors))
		return copy;
	config_discard_disk(copy);
	return NULL;
}

struct config_daemon *config_change_daemon(const struct config *config, const json_t *changes,
					   struct config_errors *errors)
{
	struct config_daemon *copy = copy_daemon(&config->daemon, errors);

	if (copy && fill_changes(&schema_daemon, &copy->object, "daemon", changes, errors))
		return copy;
	config_discard_daemon(copy);
	return NULL;
}

struct config_disk *config_follow_disk(const struct config *config, unsigned idx,
				       const struct config_daemon *daemon,
				       struct config_errors *errors)
{
	struct config_disk *copy = copy_disk(config->disks[idx], errors);

	if (copy && finish_copy(config, idx, copy, daemon, errors))
		return copy;
	config_discard_disk(copy);
	return NULL;
}

/* Swaps what may have changed: the other keys' strings stay where others may know them. */
static void take_values(const struct schema_table *table, struct config_object *object,
			struct config_object *copy)
{
	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct schema_row *row = &table->rows[i];

		if (!row->runtime)
			continue;
		schema_move(row, object, copy);
		object->key_origin[i] = copy->key_origin[i];
	}
	object->given = copy->given;
}

void config_take_disk(struct config_disk *disk, struct config_disk *copy)
{
	take_values(&schema_disk, &disk->object, &copy->object);
	config_discard_disk(copy);
}

void config_take_daemon(struct config_daemon *daemon, struct config_daemon *copy)
{
	take_values(&schema_daemon, &daemon->object, &copy->object);
	config_discard_daemon(copy);
}

void config_discard_disk(struct config_disk *copy)
{
	if (copy)
		schema_clear(&schema_disk, copy);
	free(copy);
}

void config_discard_daemon(struct config_daemon *copy)
{
	if (copy)
		schema_clear(&schema_daemon, copy);
	free(copy);
}
