/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys mean together. Not single values, which the schema judges (schema_value.c), not those
 * of networks (config_check_net.c), and not what the machine says to them (config_paths.c).
 */
#include "control/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cpuset.h"
#include "control/config_priv.h"
#include "control/schema.h"

#define CPUS_TEXT_BYTES 128

/* Of a key, or of the whole object that path is. */
static void complain_of(struct config_errors *errors, const struct config_origin *origin,
			const char *object, const char *key, const char *what)
{
	char path[CONFIG_PATH_BYTES];

	snprintf(path, sizeof(path), "%.100s%s%.64s", object, key ? "." : "", key ? key : "");
	config_errors_add(errors, origin, path, "%s", what);
}

void config_object_path(enum config_kind kind, const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "%s%s%.64s", config_noun(kind), name ? " " : "", name ? name : "");
}

void config_complain_of(const struct config *config, const struct config_object *object,
			const char *key, const char *what, struct config_errors *errors)
{
	const struct schema_table *table = config_table(object->kind);
	int row = key ? schema_find(table, key) : -1;
	const struct config_origin *origin = &object->origin;
	char path[CONFIG_PATH_BYTES];

	if (row >= 0 && object->given & 1ull << row)
		origin = &object->key_origin[row];
	if (origin->source)
		snprintf(path, sizeof(path), "%s[%u]", table->name, config_idx(config, object));
	else
		config_object_path(object->kind, object->name, path, sizeof(path));
	complain_of(errors, origin, path, key, what);
}

/* The key that a text begins with and what stands behind it, or no key and the whole. */
static const char *split_key(const struct schema_table *table, const char *text, char *key,
			     size_t size)
{
	size_t len = strcspn(text, ":");

	snprintf(key, size, "%.*s", (int)len, text);
	if (text[len] == ':' && schema_find(table, key) >= 0)
		return text + len + strspn(text + len, ": ");
	key[0] = '\0';
	return text;
}

void config_complain(const struct config *config, const struct config_object *object,
		     const struct err *err, struct config_errors *errors)
{
	char key[64];
	const char *what = split_key(config_table(object->kind), err->text, key, sizeof(key));

	config_complain_of(config, object, key[0] ? key : NULL, what, errors);
}

void config_refuse(const struct config_object *object, const struct err *err,
		   struct config_errors *errors)
{
	char path[CONFIG_PATH_BYTES];
	char key[64];
	const char *what = split_key(config_table(object->kind), err->text, key, sizeof(key));

	config_object_path(object->kind, object->name, path, sizeof(path));
	complain_of(errors, NULL, path, key[0] ? key : NULL, what);
}

struct config_front *config_front(struct config_object *object)
{
	switch (object->kind) {
	case CONFIG_DISK:
		return &((struct config_disk *)object)->front;
	case CONFIG_PORT:
		return &((struct config_port *)object)->front;
	default:
		return NULL;
	}
}

/* The first CPU of set that allowed does not have; -1 if there is none. */
static int first_cpu_outside(const cpu_set_t *set, const cpu_set_t *allowed)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, set) && !CPU_ISSET(cpu, allowed))
			return cpu;
	}
	return -1;
}

/* All but the first, which is left to the control thread and everybody else; at least one. */
static void default_workers(const cpu_set_t *allowed, cpu_set_t *workers)
{
	*workers = *allowed;
	for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(workers) > 1; cpu++) {
		if (CPU_ISSET(cpu, workers)) {
			CPU_CLR(cpu, workers);
			return;
		}
	}
}

static void finish_daemon(struct config_daemon *daemon, struct config_errors *errors)
{
	int row = schema_find(&schema_daemon, "workers");
	char text[CPUS_TEXT_BYTES];
	cpu_set_t allowed;
	int rc = cpuset_allowed(&allowed);
	int cpu;

	if (rc) {
		config_errors_add(errors, NULL, "daemon.workers",
				  "the CPUs of this process cannot be read: %s", strerror(-rc));
		return;
	}
	if (!config_given(&daemon->object, "workers")) {
		default_workers(&allowed, &daemon->workers);
		return;
	}
	cpu = first_cpu_outside(&daemon->workers, &allowed);
	if (cpu < 0)
		return;
	cpuset_format(&allowed, text, sizeof(text));
	config_errors_add(errors, &daemon->object.key_origin[row], "daemon.workers",
			  "CPU %d is not one that this process may use (allowed: %s)", cpu, text);
}

/*
 * What an object does not say of the keys that both have is as the daemon says, unless its kind has
 * a default of its own.
 */
static int inherit(const struct config_daemon *daemon, struct config_object *object)
{
	const struct schema_table *table = config_table(object->kind);
	int rc = 0;

	for (unsigned i = 0; i < table->row_cnt && rc == 0; i++) {
		const struct schema_row *row = &table->rows[i];
		int of_daemon = schema_find(&schema_daemon, row->key);

		if (of_daemon >= 0 && !row->value && !(object->given & 1ull << i))
			rc = schema_copy(row, object, &schema_daemon.rows[of_daemon], daemon);
	}
	return rc;
}

static void check_workers(const struct config *config, struct config_object *object,
			  struct config_errors *errors)
{
	const struct config_daemon *daemon = &config->daemon;
	const struct config_front *front = config_front(object);
	const cpu_set_t *workers = front ? &front->workers : NULL;
	char text[CPUS_TEXT_BYTES];
	char what[CPUS_TEXT_BYTES + 96];
	int cpu;

	if (object->kind == CONFIG_UPLINK)
		workers = &((const struct config_uplink *)object)->workers;
	cpu = workers ? first_cpu_outside(workers, &daemon->workers) : -1;
	if (cpu < 0)
		return;
	cpuset_format(&daemon->workers, text, sizeof(text));
	snprintf(what, sizeof(what), "CPU %d is not among the daemon's workers (allowed: %s)", cpu,
		 text);
	config_complain_of(config, object, "workers", what, errors);
}

/* "file, ram": what the bits stand for that a key belongs to. */
static void words_text(uint32_t bits, const char *(*word)(unsigned idx), char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < 32 && word(i); i++) {
		if (bits & 1u << i)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						word(i));
	}
}

static const char *backend_word(unsigned idx)
{
	return idx < STORAGE_BACKEND_MAX_ ? storage_backend_name((enum storage_backend)idx) : NULL;
}

static const char *mode_word(unsigned idx)
{
	return net_steering_mode_name((enum net_steering_mode)idx);
}

/* Keys that mean nothing beside the others. */
static void check_belonging(const struct config *config, const struct config_object *object,
			    struct config_errors *errors)
{
	const struct schema_table *table = config_table(object->kind);
	const struct config_disk *disk = (const struct config_disk *)object;
	const struct config_port *port = (const struct config_port *)object;
	char names[64];
	char what[160];

	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct schema_row *row = &table->rows[i];

		if (!(object->given & 1ull << i))
			continue;
		/* Only a disk's rows have these, and only a port's the next. */
		if (row->backends && !(row->backends & 1u << disk->backend)) {
			words_text(row->backends, backend_word, names, sizeof(names));
			snprintf(what, sizeof(what),
				 "does not belong to backend %s (allowed with: %s)",
				 storage_backend_name(disk->backend), names);
			config_complain_of(config, object, row->key, what, errors);
		}
		if (row->steering && !(row->steering & 1u << port->steering.mode)) {
			words_text(row->steering, mode_word, names, sizeof(names));
			snprintf(what, sizeof(what),
				 "means nothing with steering.mode %s (allowed with: %s)",
				 net_steering_mode_name(port->steering.mode), names);
			config_complain_of(config, object, row->key, what, errors);
		}
		if (row->only_with && !config_given(object, row->only_with)) {
			snprintf(what, sizeof(what), "means nothing without %s", row->only_with);
			config_complain_of(config, object, row->key, what, errors);
		}
	}
}

static void check_storage(const struct config *config, const struct config_disk *disk,
			  struct config_errors *errors)
{
	const char *backend = storage_backend_name(disk->backend);
	char what[96];

	if (disk->backend == STORAGE_BACKEND_FILE && !config_given(&disk->object, "path"))
		config_complain_of(config, &disk->object, "path",
				   "missing: backend file needs a file or block device", errors);
	if (disk->backend != STORAGE_BACKEND_FILE && !config_given(&disk->object, "size")) {
		snprintf(what, sizeof(what), "missing: backend %s needs a size, such as 1G",
			 backend);
		config_complain_of(config, &disk->object, "size", what, errors);
	}
	if (disk->block_size_bytes && disk->size_bytes % disk->block_size_bytes) {
		snprintf(what, sizeof(what), "%llu is not a multiple of the block-size %u",
			 (unsigned long long)disk->size_bytes, disk->block_size_bytes);
		config_complain_of(config, &disk->object, "size", what, errors);
	}
}

static void check_front(const struct config *config, const struct config_object *object,
			struct config_errors *errors)
{
	static const char *const ways[] = {"socket", "connect", "fd"};
	const char *given[ARRAY_LEN(ways)];
	unsigned cnt = 0;
	char what[128];

	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		if (config_given(object, ways[i]))
			given[cnt++] = ways[i];
	}
	if (cnt == 0) {
		config_complain_of(config, object, NULL,
				   "no front end can reach it: exactly one of socket, connect and "
				   "fd is needed",
				   errors);
	} else if (cnt > 1) {
		snprintf(what, sizeof(what),
			 "%s and %s are both given: exactly one of socket, connect and fd is "
			 "needed",
			 given[0], given[1]);
		config_complain_of(config, object, given[1], what, errors);
	}
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static const char *front_path(const struct config_front *front)
{
	return front->socket_path ? front->socket_path : front->connect_path;
}

static const char *front_key(const struct config_front *front)
{
	return front->socket_path ? "socket" : "connect";
}

/* Of what other has, too: "disks[1]", or while objects come and go its name. */
static void complain_taken(const struct config *config, const struct config_object *object,
			   const struct config_object *other, const char *key, const char *value,
			   const char *what, struct config_errors *errors)
{
	char owner[96];
	char text[256];

	if (object->origin.source)
		snprintf(owner, sizeof(owner), "%s[%u]", config_table(other->kind)->name,
			 config_idx(config, other));
	else if (strcmp(key, "name") == 0)
		snprintf(owner, sizeof(owner), "another %s", config_noun(other->kind));
	else
		config_object_path(other->kind, other->name, owner, sizeof(owner));
	snprintf(text, sizeof(text), "%s is already the %s of %s", value, what, owner);
	config_complain_of(config, object, key, text, errors);
}

static void check_against(const struct config *config, struct config_object *object,
			  struct config_object *other, struct config_errors *errors)
{
	const struct config_front *front = config_front(object);
	const struct config_front *theirs = config_front(other);
	char value[160];

	if (same(object->name, other->name)) {
		snprintf(value, sizeof(value), "\"%s\"", object->name);
		complain_taken(config, object, other, "name", value, "name", errors);
	}
	if (!front || !theirs)
		return;
	if (same(front_path(front), front_path(theirs))) {
		snprintf(value, sizeof(value), "\"%s\"", front_path(front));
		complain_taken(config, object, other, front_key(front), value, "socket", errors);
	}
	if (front->fd >= 0 && front->fd == theirs->fd) {
		snprintf(value, sizeof(value), "%d", front->fd);
		complain_taken(config, object, other, "fd", value, "descriptor", errors);
	}
}

/*
 * Against every object before it, so that the later one is named. One that comes while others run
 * is the later one of all.
 */
static void check_unique(const struct config *config, struct config_object *object,
			 struct config_errors *errors)
{
	const struct config_front *front = config_front(object);
	char what[256];

	if (front && same(front_path(front), config->daemon.api_path)) {
		snprintf(what, sizeof(what), "\"%s\" is already the socket of daemon.api",
			 front_path(front));
		config_complain_of(config, object, front_key(front), what, errors);
	}
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < config->lists[kind].cnt; i++) {
			struct config_object *other = config->lists[kind].objects[i];

			if (other == object && object->origin.source)
				return;
			if (other != object)
				check_against(config, object, other, errors);
		}
	}
}

static void check_name(const struct config *config, const struct config_object *object,
		       struct config_errors *errors)
{
	char what[64];

	snprintf(what, sizeof(what), "missing: every %s needs a name", config_noun(object->kind));
	if (!object->name)
		config_complain_of(config, object, "name", what, errors);
	else if (strcmp(object->name, "daemon") == 0)
		config_complain_of(
			config, object, "name",
			"\"daemon\" is what pario calls the daemon itself; choose another", errors);
}

void config_finish_object(struct config *config, struct config_object *object,
			  struct config_errors *errors)
{
	if (inherit(&config->daemon, object))
		config_complain_of(config, object, NULL, "no memory for the configuration", errors);
	check_name(config, object, errors);
	check_belonging(config, object, errors);
	if (object->kind == CONFIG_DISK)
		check_storage(config, (struct config_disk *)object, errors);
	else
		config_check_net(config, object, errors);
	if (config_front(object))
		check_front(config, object, errors);
	check_workers(config, object, errors);
	check_unique(config, object, errors);
}

static void imply_switches(struct config *config, struct config_errors *errors)
{
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < config->lists[kind].cnt; i++)
			config_imply_switch(config, config->lists[kind].objects[i], errors);
	}
}

void config_finish(struct config *config, struct config_errors *errors)
{
	finish_daemon(&config->daemon, errors);
	if (errors->cnt)
		return;
	if (config->lists[CONFIG_DISK].cnt == 0 && config->lists[CONFIG_PORT].cnt == 0 &&
	    !config->daemon.api_path)
		config_errors_add(errors, NULL, NULL,
				  "no disk and no port is configured: there is nothing to serve "
				  "(--disk or --port NAME,KEY=VALUE,..., or a file with disks or "
				  "ports, or api=SOCKET to add them later)");
	imply_switches(config, errors);
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < config->lists[kind].cnt; i++)
			config_finish_object(config, config->lists[kind].objects[i], errors);
	}
}
