/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine says to the paths of a configuration. Nothing is opened.
 * Not what keys mean together (config_check.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config_priv.h"
#include "control/schema.h"

static void check_image(const struct config *config, const struct config_disk *disk,
			struct config_errors *errors)
{
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
	config_complain_of(config, &disk->object, "path", what, errors);
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

static void check_socket(const struct config *config, const struct config_object *object,
			 const struct config_front *front, struct config_errors *errors)
{
	char what[CONFIG_PATH_BYTES + 64];

	if (front->socket_path && !socket_fits(front->socket_path, what, sizeof(what)))
		config_complain_of(config, object, "socket", what, errors);
}

static void check_api(const struct config_daemon *daemon, struct config_errors *errors)
{
	int row = schema_find(&schema_daemon, "api");
	char what[CONFIG_PATH_BYTES + 64];

	if (daemon->api_path && !socket_fits(daemon->api_path, what, sizeof(what)))
		config_errors_add(errors, &daemon->object.key_origin[row], "daemon.api", "%s",
				  what);
}

void config_check_object_paths(const struct config *config, const struct config_object *object,
			       struct config_errors *errors)
{
	if (object->kind == CONFIG_DISK) {
		const struct config_disk *disk = (const struct config_disk *)object;

		check_image(config, disk, errors);
		check_socket(config, object, &disk->front, errors);
	} else if (object->kind == CONFIG_PORT) {
		check_socket(config, object, &((const struct config_port *)object)->front, errors);
	}
}

void config_check_paths(const struct config *config, struct config_errors *errors)
{
	check_api(&config->daemon, errors);
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < config->lists[kind].cnt; i++)
			config_check_object_paths(config, config->lists[kind].objects[i], errors);
	}
}
