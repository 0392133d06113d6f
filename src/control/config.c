/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From trees to typed structs: every key is looked up in the schema and set by its row.
 * Not what keys mean together (config_check.c).
 */
#include "control/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cpuset.h"
#include "control/config_priv.h"

/* What may stand at the top of a file. */
#define TOP_KEYS "daemon, disks, switches, ports, uplinks"

void config_errors_add(struct config_errors *errors, const struct config_origin *origin,
		       const char *path, const char *fmt, ...)
{
	struct err line = ERR_INIT;
	char text[ERR_TEXT_BYTES];
	char place[ERR_TEXT_BYTES / 3] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (origin && origin->source && origin->line)
		snprintf(place, sizeof(place), "%s:%u: ", origin->source, origin->line);
	else if (origin && origin->source)
		snprintf(place, sizeof(place), "%s: ", origin->source);
	/* err_set replaces control characters, so that one mistake stays one line. */
	err_set(&line, EINVAL, "%s%s%s%s", place, path ? path : "", path && *path ? ": " : "",
		text);
	errors->cnt++;
	errors->say(errors->arg, line.text);
}

const struct schema_table *config_table(enum config_kind kind)
{
	static const struct schema_table *const tables[] = {
		[CONFIG_DISK] = &schema_disk,     [CONFIG_SWITCH] = &schema_switch,
		[CONFIG_PORT] = &schema_port,     [CONFIG_UPLINK] = &schema_uplink,
		[CONFIG_DAEMON] = &schema_daemon,
	};

	return tables[kind];
}

const char *config_noun(enum config_kind kind)
{
	return config_table(kind)->noun;
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config->daemon.object.kind = CONFIG_DAEMON;
	schema_set_defaults(&schema_daemon, &config->daemon);
}

void config_fini(struct config *config)
{
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		struct config_list *list = &config->lists[kind];

		while (list->cnt)
			config_remove(config, list->objects[list->cnt - 1]);
		free(list->objects);
	}
	schema_clear(&schema_daemon, &config->daemon);
	for (unsigned i = 0; i < config->source_cnt; i++)
		free(config->sources[i]);
	free(config->sources);
	memset(config, 0, sizeof(*config));
}

void config_no_memory(struct config_errors *errors)
{
	config_errors_add(errors, NULL, NULL, "no memory for the configuration");
}

/* A copy of a source's name that lives as long as the configuration; NULL after a complaint. */
static const char *keep_source(struct config *config, const char *name,
			       struct config_errors *errors)
{
	char **sources = realloc(config->sources, (config->source_cnt + 1) * sizeof(*sources));
	char *copy = strdup(name);

	if (sources)
		config->sources = sources;
	if (!sources || !copy) {
		free(copy);
		config_no_memory(errors);
		return NULL;
	}
	config->sources[config->source_cnt++] = copy;
	return copy;
}

struct config_object *config_append_new(struct config *config, enum config_kind kind,
					struct config_origin origin, struct config_errors *errors)
{
	const struct schema_table *table = config_table(kind);
	struct config_list *list = &config->lists[kind];
	struct config_object **objects =
		realloc(list->objects, (list->cnt + 1) * sizeof(*list->objects));
	struct config_object *object = calloc(1, table->object_bytes);

	if (objects)
		list->objects = objects;
	if (!objects || !object) {
		free(object);
		config_no_memory(errors);
		return NULL;
	}
	list->objects[list->cnt++] = object;
	object->kind = kind;
	schema_set_defaults(table, object);
	object->origin = origin;
	return object;
}

static void set_row(struct config_object *object, const struct schema_table *table, int idx,
		    const char *text, const struct config_origin *origin, const char *path,
		    struct config_errors *errors)
{
	struct err err = ERR_INIT;

	/* Also when the value is wrong: it was given, and one complaint is enough. */
	object->given |= 1ull << idx;
	object->key_origin[idx] = *origin;
	if (schema_set(&table->rows[idx], object, text, &err))
		config_errors_add(errors, origin, path, "%s", err.text);
}

/* "list", "mapping", "null": what stands where one value is needed. */
static const char *json_kind(const json_t *value)
{
	return json_is_array(value) ? "list" : json_is_object(value) ? "mapping" : "null";
}

static void complain_unknown(const struct filling *f, const struct config_origin *origin,
			     const char *path, const char *key)
{
	const char *nearest = schema_nearest(f->table, key);

	if (schema_is_group(f->table, key))
		config_errors_add(f->errors, origin, path, "a mapping of keys to values is needed");
	else if (nearest)
		config_errors_add(f->errors, origin, path, "unknown key (did you mean %s?)",
				  nearest);
	else
		config_errors_add(f->errors, origin, path,
				  "unknown key (`pario schema` lists those of %s)", f->table->name);
}

static void unset_row(struct filling *f, int idx)
{
	f->object->given &= ~(1ull << idx);
	schema_unset(&f->table->rows[idx], f->object);
}

static void fill_value(struct filling *f, const char *key, const json_t *value)
{
	struct config_origin origin = {f->tree->source, tree_line(f->tree, value)};
	char path[CONFIG_PATH_BYTES];
	int idx = schema_find(f->table, key);

	snprintf(path, sizeof(path), "%s.%s", f->path, key);
	if (idx < 0)
		complain_unknown(f, &origin, path, key);
	else if (f->changing && !f->table->rows[idx].runtime)
		config_errors_add(f->errors, &origin, path,
				  "cannot be changed while it runs; %s%s%s",
				  f->table == &schema_daemon ? "start the daemon" : "remove the ",
				  f->table == &schema_daemon ? "" : f->table->noun,
				  f->table == &schema_daemon ? " anew" : " and add it anew");
	else if (f->seen & 1ull << idx)
		config_errors_add(f->errors, &origin, path, "given twice");
	else if (f->changing && json_is_null(value))
		unset_row(f, idx);
	else if (!json_is_string(value))
		config_errors_add(f->errors, &origin, path, "one value is needed, not a %s",
				  json_kind(value));
	else
		set_row(f->object, f->table, idx, json_string_value(value), &origin, path,
			f->errors);
	if (idx >= 0)
		f->seen |= 1ull << idx;
}

/* The keys of a nested mapping ("features") get its name before a dot. */
static void fill_group(struct filling *f, const char *group, json_t *mapping)
{
	void *it;

	for (it = json_object_iter(mapping); it; it = json_object_iter_next(mapping, it)) {
		char key[CONFIG_PATH_BYTES / 2];

		snprintf(key, sizeof(key), "%s.%s", group, json_object_iter_key(it));
		fill_value(f, key, json_object_iter_value(it));
	}
}

void config_fill(struct filling *f, json_t *mapping)
{
	void *it;

	for (it = json_object_iter(mapping); it; it = json_object_iter_next(mapping, it)) {
		const char *key = json_object_iter_key(it);
		json_t *value = json_object_iter_value(it);

		if (json_is_object(value) && schema_is_group(f->table, key))
			fill_group(f, key, value);
		else
			fill_value(f, key, value);
	}
}

const char *config_name_in(const json_t *mapping)
{
	const char *name = json_string_value(json_object_get(mapping, "name"));
	const struct schema_row *row = &schema_disk.rows[schema_find(&schema_disk, "name")];
	struct config_disk scratch = {0};
	bool right = name && schema_set(row, &scratch, name, NULL) == 0;

	schema_clear(&schema_disk, &scratch);
	return right ? name : NULL;
}

struct config_object *config_fill_object(struct config *config, enum config_kind kind,
					 struct tree *tree, json_t *mapping,
					 struct config_errors *errors)
{
	struct config_origin origin = {tree->source, tree_line(tree, mapping)};
	char path[CONFIG_PATH_BYTES];
	struct filling f = {
		.table = config_table(kind), .path = path, .tree = tree, .errors = errors};

	if (tree->source)
		snprintf(path, sizeof(path), "%s[%u]", f.table->name, config->lists[kind].cnt);
	else
		config_object_path(kind, config_name_in(mapping), path, sizeof(path));
	f.object = config_append_new(config, kind, origin, errors);
	if (!f.object)
		return NULL;
	if (json_is_object(mapping))
		config_fill(&f, mapping);
	else
		config_errors_add(errors, &origin, path, "a mapping of keys to values is needed");
	return f.object;
}

/* The kind of which there is a list of that name; CONFIG_KIND_CNT: none. */
static enum config_kind kind_of_list(const char *name)
{
	unsigned kind = 0;

	while (kind < CONFIG_KIND_CNT && strcmp(config_table(kind)->name, name) != 0)
		kind++;
	return kind;
}

static void fill_top(struct config *config, struct tree *tree, const char *key, json_t *value,
		     struct config_errors *errors)
{
	struct config_origin origin = {tree->source, tree_line(tree, value)};
	enum config_kind kind = kind_of_list(key);
	struct filling f = {.table = &schema_daemon,
			    .object = &config->daemon.object,
			    .path = "daemon",
			    .tree = tree,
			    .errors = errors};

	if (strcmp(key, "daemon") == 0) {
		if (json_is_object(value))
			config_fill(&f, value);
		else
			config_errors_add(errors, &origin, key,
					  "a mapping of keys to values is needed");
	} else if (kind < CONFIG_KIND_CNT) {
		if (!json_is_array(value))
			config_errors_add(errors, &origin, key,
					  "a list of %s is needed (\"- name: ...\")", key);
		for (size_t i = 0; i < json_array_size(value); i++)
			config_fill_object(config, kind, tree, json_array_get(value, i), errors);
	} else {
		config_errors_add(errors, &origin, key, "unknown key (allowed: " TOP_KEYS ")");
	}
}

void config_add_file(struct config *config, const char *path, struct config_errors *errors)
{
	const char *source = keep_source(config, path, errors);
	struct config_origin origin = {source, 0};
	struct tree tree;
	void *it;

	if (!source)
		return;
	if (tree_load_yaml(&tree, path, source, errors) == 0) {
		if (tree.root && !json_is_object(tree.root))
			config_errors_add(errors, &origin, NULL,
					  "a mapping is needed (allowed: " TOP_KEYS ")");
		for (it = json_object_iter(tree.root); it;
		     it = json_object_iter_next(tree.root, it))
			fill_top(config, &tree, json_object_iter_key(it),
				 json_object_iter_value(it), errors);
	}
	tree_fini(&tree);
}

void config_add_spec(struct config *config, enum config_kind kind, const char *spec,
		     struct config_errors *errors)
{
	const struct schema_table *table = config_table(kind);
	const char *source;
	char option[16];
	char name[96];
	char path[32];
	struct tree tree;

	snprintf(option, sizeof(option), "--%s", table->noun);
	if (strcspn(spec, ",=") == 0 || spec[strcspn(spec, ",=")] == '=') {
		config_errors_add(errors, NULL, option,
				  "\"%.64s\" does not begin with a name "
				  "(write %s NAME,KEY=VALUE,...)",
				  spec, option);
		return;
	}
	snprintf(name, sizeof(name), "%s %.*s", option, (int)strcspn(spec, ",="), spec);
	snprintf(path, sizeof(path), "%s[%u]", table->name, config->lists[kind].cnt);
	source = keep_source(config, name, errors);
	if (!source)
		return;
	if (tree_parse_spec(&tree, spec, path, source, errors) == 0)
		config_fill_object(config, kind, &tree, tree.root, errors);
	tree_fini(&tree);
}

struct config_object *config_new(struct config *config, enum config_kind kind, const char *name,
				 const char *source, struct config_errors *errors)
{
	struct config_origin origin = {keep_source(config, source, errors), 0};
	struct config_object *object =
		origin.source ? config_append_new(config, kind, origin, errors) : NULL;

	if (object)
		config_set_key(config, object, "name", name, errors);
	return object;
}

void config_set_key(struct config *config, struct config_object *object, const char *key,
		    const char *text, struct config_errors *errors)
{
	const struct schema_table *table = config_table(object->kind);
	char path[CONFIG_PATH_BYTES];
	int idx = schema_find(table, key);

	CHECK(idx >= 0);
	snprintf(path, sizeof(path), "%s[%u].%s", table->name, config_idx(config, object), key);
	set_row(object, table, idx, text, &object->origin, path, errors);
}

void config_set_daemon(struct config *config, const char *key, const char *text,
		       struct config_errors *errors)
{
	const struct config_origin origin = {NULL, 0};
	char path[CONFIG_PATH_BYTES];
	int idx = schema_find(&schema_daemon, key);

	CHECK(idx >= 0);
	snprintf(path, sizeof(path), "daemon.%s", key);
	set_row(&config->daemon.object, &schema_daemon, idx, text, &origin, path, errors);
}

bool config_given(const struct config_object *object, const char *key)
{
	int idx = schema_find(config_table(object->kind), key);

	CHECK(idx >= 0);
	return object->given & 1ull << idx;
}

void config_describe(const struct config *config, char *buf, size_t size)
{
	const struct config_list *lists = config->lists;
	char cpus[128];
	char net[96] = "";

	cpuset_format(&config->daemon.workers, cpus, sizeof(cpus));
	if (lists[CONFIG_SWITCH].cnt)
		snprintf(net, sizeof(net), "%u ports and %u uplinks on %u switches, ",
			 lists[CONFIG_PORT].cnt, lists[CONFIG_UPLINK].cnt,
			 lists[CONFIG_SWITCH].cnt);
	snprintf(buf, size, "%u disks, %s%d workers (CPUs %s)", lists[CONFIG_DISK].cnt, net,
		 CPU_COUNT(&config->daemon.workers), cpus);
}
