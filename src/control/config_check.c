/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys mean together, and what the machine says to them.
 * Not single values, which the schema judges (schema_value.c).
 */
#include "control/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

void config_disk_path(const char *name, char *buf, size_t size)
{
	snprintf(buf, size, "disk%s%.64s", name ? " " : "", name ? name : "");
}

static void complain(struct config_errors *errors, const struct config *config, unsigned disk_idx,
		     const char *key, const char *what)
{
	const struct config_disk *disk = config->disks[disk_idx];
	int row = key ? schema_find(&schema_disk, key) : -1;
	const struct config_origin *origin = &disk->object.origin;
	char path[CONFIG_PATH_BYTES];

	if (row >= 0 && disk->object.given & 1ull << row)
		origin = &disk->object.key_origin[row];
	if (origin->source)
		snprintf(path, sizeof(path), "disks[%u]", disk_idx);
	else
		config_disk_path(disk->name, path, sizeof(path));
	complain_of(errors, origin, path, key, what);
}

/* The key that a text begins with and what stands behind it, or no key and the whole. */
static const char *split_key(const char *text, char *key, size_t size)
{
	size_t len = strcspn(text, ":");

	snprintf(key, size, "%.*s", (int)len, text);
	if (text[len] == ':' && schema_find(&schema_disk, key) >= 0)
		return text + len + strspn(text + len, ": ");
	key[0] = '\0';
	return text;
}

void config_disk_complain(const struct config *config, unsigned disk_idx, const struct err *err,
			  struct config_errors *errors)
{
	char key[64];
	const char *what = split_key(err->text, key, sizeof(key));

	complain(errors, config, disk_idx, key[0] ? key : NULL, what);
}

void config_disk_refuse(const struct config_disk *disk, const struct err *err,
			struct config_errors *errors)
{
	char path[CONFIG_PATH_BYTES];
	char key[64];
	const char *what = split_key(err->text, key, sizeof(key));

	config_disk_path(disk->name, path, sizeof(path));
	complain_of(errors, NULL, path, key[0] ? key : NULL, what);
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
	if (!config_daemon_given(daemon, "workers")) {
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

/* What a disk does not say of the keys that both have is as the daemon says. */
static int inherit(const struct config_daemon *daemon, struct config_disk *disk)
{
	int rc = 0;

	for (unsigned i = 0; i < schema_disk.row_cnt && rc == 0; i++) {
		const struct schema_row *row = &schema_disk.rows[i];
		int of_daemon = schema_find(&schema_daemon, row->key);

		if (of_daemon >= 0 && !(disk->object.given & 1ull << i))
			rc = schema_copy(row, disk, &schema_daemon.rows[of_daemon], daemon);
	}
	return rc;
}

static void check_workers(const struct config *config, unsigned idx, struct config_errors *errors)
{
	const struct config_daemon *daemon = &config->daemon;
	int cpu = first_cpu_outside(&config->disks[idx]->workers, &daemon->workers);
	char text[CPUS_TEXT_BYTES];
	char what[CPUS_TEXT_BYTES + 96];

	if (cpu < 0)
		return;
	cpuset_format(&daemon->workers, text, sizeof(text));
	snprintf(what, sizeof(what), "CPU %d is not among the daemon's workers (allowed: %s)", cpu,
		 text);
	complain(errors, config, idx, "workers", what);
}

/* "file, ram": the back ends that a key belongs to. */
static void backends_text(uint32_t backends, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < STORAGE_BACKEND_MAX_; i++) {
		if (backends & 1u << i)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						storage_backend_name((enum storage_backend)i));
	}
}

/* Keys that mean nothing beside the others. */
static void check_belonging(const struct config *config, unsigned idx, struct config_errors *errors)
{
	const struct config_disk *disk = config->disks[idx];
	char names[64];
	char what[160];

	for (unsigned i = 0; i < schema_disk.row_cnt; i++) {
		const struct schema_row *row = &schema_disk.rows[i];

		if (!(disk->object.given & 1ull << i))
			continue;
		if (row->backends && !(row->backends & 1u << disk->backend)) {
			backends_text(row->backends, names, sizeof(names));
			snprintf(what, sizeof(what),
				 "does not belong to backend %s (allowed with: %s)",
				 storage_backend_name(disk->backend), names);
			complain(errors, config, idx, row->key, what);
		}
		if (row->only_with && !config_disk_given(disk, row->only_with)) {
			snprintf(what, sizeof(what), "means nothing without %s", row->only_with);
			complain(errors, config, idx, row->key, what);
		}
	}
}

static void check_storage(const struct config *config, unsigned idx, struct config_errors *errors)
{
	const struct config_disk *disk = config->disks[idx];
	const char *backend = storage_backend_name(disk->backend);
	char what[96];

	if (disk->backend == STORAGE_BACKEND_FILE && !config_disk_given(disk, "path"))
		complain(errors, config, idx, "path",
			 "missing: backend file needs a file or block device");
	if (disk->backend != STORAGE_BACKEND_FILE && !config_disk_given(disk, "size")) {
		snprintf(what, sizeof(what), "missing: backend %s needs a size, such as 1G",
			 backend);
		complain(errors, config, idx, "size", what);
	}
	if (disk->block_size_bytes && disk->size_bytes % disk->block_size_bytes) {
		snprintf(what, sizeof(what), "%llu is not a multiple of the block-size %u",
			 (unsigned long long)disk->size_bytes, disk->block_size_bytes);
		complain(errors, config, idx, "size", what);
	}
}

static void check_front(const struct config *config, unsigned idx, struct config_errors *errors)
{
	static const char *const ways[] = {"socket", "connect", "fd"};
	const char *given[ARRAY_LEN(ways)];
	unsigned cnt = 0;
	char what[128];

	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		if (config_disk_given(config->disks[idx], ways[i]))
			given[cnt++] = ways[i];
	}
	if (cnt == 0) {
		complain(errors, config, idx, NULL,
			 "no front end can reach it: exactly one of socket, connect and fd is "
			 "needed");
	} else if (cnt > 1) {
		snprintf(what, sizeof(what),
			 "%s and %s are both given: exactly one of socket, connect and fd is "
			 "needed",
			 given[0], given[1]);
		complain(errors, config, idx, given[1], what);
	}
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

static const char *front_path(const struct config_disk *disk)
{
	return disk->socket_path ? disk->socket_path : disk->connect_path;
}

/* Against every disk before it, so that the later one is named. */
static void check_unique(const struct config *config, unsigned idx, struct config_errors *errors)
{
	const struct config_disk *disk = config->disks[idx];
	char what[256];

	if (same(front_path(disk), config->daemon.api_path)) {
		snprintf(what, sizeof(what), "\"%s\" is already the socket of daemon.api",
			 front_path(disk));
		complain(errors, config, idx, disk->socket_path ? "socket" : "connect", what);
	}
	for (unsigned i = 0; i < idx; i++) {
		const struct config_disk *other = config->disks[i];
		char owner[96];

		/* A disk that comes while others run is told their names: numbers change then. */
		if (disk->object.origin.source)
			snprintf(owner, sizeof(owner), "disks[%u]", i);
		else
			config_disk_path(other->name, owner, sizeof(owner));
		if (same(disk->name, other->name)) {
			snprintf(what, sizeof(what), "\"%s\" is already the name of %s", disk->name,
				 disk->object.origin.source ? owner : "another disk");
			complain(errors, config, idx, "name", what);
		}
		if (same(front_path(disk), front_path(other))) {
			snprintf(what, sizeof(what), "\"%s\" is already the socket of %s",
				 front_path(disk), owner);
			complain(errors, config, idx, disk->socket_path ? "socket" : "connect",
				 what);
		}
		if (disk->fd >= 0 && disk->fd == other->fd) {
			snprintf(what, sizeof(what), "%d is already the descriptor of %s", disk->fd,
				 owner);
			complain(errors, config, idx, "fd", what);
		}
	}
}

void config_finish_disk(struct config *config, unsigned idx, struct config_errors *errors)
{
	if (inherit(&config->daemon, config->disks[idx]))
		complain(errors, config, idx, NULL, "no memory for the configuration");
	if (!config->disks[idx]->name)
		complain(errors, config, idx, "name", "missing: every disk needs a name");
	else if (strcmp(config->disks[idx]->name, "daemon") == 0)
		complain(errors, config, idx, "name",
			 "\"daemon\" is what pario calls the daemon itself; choose another");
	check_belonging(config, idx, errors);
	check_storage(config, idx, errors);
	check_front(config, idx, errors);
	check_workers(config, idx, errors);
	check_unique(config, idx, errors);
}

void config_finish(struct config *config, struct config_errors *errors)
{
	finish_daemon(&config->daemon, errors);
	if (errors->cnt)
		return;
	if (config->disk_cnt == 0 && !config->daemon.api_path)
		config_errors_add(errors, NULL, NULL,
				  "no disk is configured: there is nothing to serve (--disk "
				  "NAME,KEY=VALUE,... or a file with disks, or api=SOCKET to add "
				  "them later)");
	for (unsigned i = 0; i < config->disk_cnt; i++)
		config_finish_disk(config, i, errors);
}

static void check_image(const struct config *config, unsigned idx, struct config_errors *errors)
{
	const struct config_disk *disk = config->disks[idx];
	int mode = disk->read_only ? R_OK : R_OK | W_OK;
	char what[2 * CONFIG_PATH_BYTES];
	struct stat st;

	if (!disk->path)
		return;
	if (stat(disk->path, &st) < 0 && errno == ENOENT)
		snprintf(what, sizeof(what),
			 "%.128s does not exist; create it (truncate -s 10G %.64s) or correct the "
			 "path",
			 disk->path, disk->path);
	else if (faccessat(AT_FDCWD, disk->path, F_OK, AT_EACCESS) < 0)
		snprintf(what, sizeof(what), "%.128s cannot be reached: %s", disk->path,
			 strerror(errno));
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		snprintf(what, sizeof(what), "%.128s is %s; a disk needs a file or a block device",
			 disk->path, S_ISDIR(st.st_mode) ? "a directory" : "a special file");
	else if (faccessat(AT_FDCWD, disk->path, mode, AT_EACCESS) < 0)
		snprintf(what, sizeof(what),
			 "%.128s may not be %s by user %u; change its owner or mode%s", disk->path,
			 disk->read_only ? "read" : "written", (unsigned)geteuid(),
			 disk->read_only ? "" : ", or set read-only");
	else
		return;
	complain(errors, config, idx, "path", what);
}

/* Can a socket be made there? If not, what says why. */
static bool socket_fits(const char *path, char *what, size_t size)
{
	const char *slash = strrchr(path, '/');
	char dir[CONFIG_PATH_BYTES];
	struct stat st;

	if (!slash)
		snprintf(dir, sizeof(dir), ".");
	else
		snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	if (stat(dir, &st) < 0)
		snprintf(what, size, "the directory %.128s cannot be reached: %s", dir,
			 strerror(errno));
	else if (!S_ISDIR(st.st_mode))
		snprintf(what, size, "%.128s is not a directory", dir);
	else if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0)
		snprintf(what, size,
			 "user %u may not make a socket in the directory %.128s; change its owner "
			 "or mode",
			 (unsigned)geteuid(), dir);
	else if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		snprintf(what, size,
			 "%.128s is there and is not a socket; remove it or choose another path",
			 path);
	else
		return true;
	return false;
}

static void check_socket(const struct config *config, unsigned idx, struct config_errors *errors)
{
	const char *path = config->disks[idx]->socket_path;
	char what[CONFIG_PATH_BYTES + 64];

	if (path && !socket_fits(path, what, sizeof(what)))
		complain(errors, config, idx, "socket", what);
}

static void check_api(const struct config_daemon *daemon, struct config_errors *errors)
{
	int row = schema_find(&schema_daemon, "api");
	char what[CONFIG_PATH_BYTES + 64];

	if (daemon->api_path && !socket_fits(daemon->api_path, what, sizeof(what)))
		config_errors_add(errors, &daemon->object.key_origin[row], "daemon.api", "%s",
				  what);
}

void config_check_disk_paths(const struct config *config, unsigned idx,
			     struct config_errors *errors)
{
	check_image(config, idx, errors);
	check_socket(config, idx, errors);
}

void config_check_paths(const struct config *config, struct config_errors *errors)
{
	check_api(&config->daemon, errors);
	for (unsigned i = 0; i < config->disk_cnt; i++)
		config_check_disk_paths(config, i, errors);
}
