/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding, removing and resizing disks of a running daemon. Not what a disk is made of (disk.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/daemon_priv.h"
#include "app/limits.h"
#include "app/operate.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "control/schema.h"

/* In the order of a start; the endpoint comes last, so that no front end sees a disk that fails. */
static int open_disk(struct daemon *daemon, struct disk *disk, struct err *err)
{
	int rc = limits_raise(daemon->config, err);

	if (rc == 0)
		rc = disk_open_storage(disk, err);
	if (rc == 0)
		rc = disk_open_device(disk, daemon->loop, daemon->workers, daemon->worker_cnt,
				      daemon->shift, err);
	if (rc == 0)
		rc = disk_place(disk, daemon->placer, err);
	if (rc == 0)
		rc = disk_open_endpoint(disk, daemon->loop, err);
	return rc;
}

int operate_begin_add(struct operation *op)
{
	struct daemon *daemon = op->daemon;
	struct err err = ERR_INIT;
	struct disk *disk;
	int rc;

	if (!config_append_disk(daemon->config, op->json, &op->errors))
		return -EINVAL;
	rc = daemon_append_disk(daemon);
	if (rc) {
		config_remove_disk(daemon->config, daemon->config->disk_cnt - 1);
		config_errors_add(&op->errors, NULL, NULL, "no memory for a disk");
		return rc;
	}
	disk = daemon->disks[daemon->disk_cnt - 1];
	rc = open_disk(daemon, disk, &err);
	if (rc) {
		operation_complain(op, disk, &err);
		disk_undo_host(disk);
		daemon_remove_disk(daemon, disk);
		return rc == -ENOMEM ? -ENOMEM : -EINVAL;
	}
	daemon->shift++;
	log_info(disk->tag, "added");
	return 0;
}

static void removed(struct disk *disk)
{
	struct daemon *daemon = disk->owner;
	struct operation *op = disk->remover;

	evloop_timer_cancel(daemon->loop, &disk->remove_deadline);
	disk->remover = NULL;
	if (daemon->draining) {
		/* The end frees all disks together. */
		daemon_endpoint_closed(daemon);
	} else {
		disk_log_totals(disk);
		log_info(disk->tag, "removed");
		daemon_remove_disk(daemon, disk);
	}
	if (op)
		operation_end(op, 0);
}

static void remove_deadline_expired(struct evloop_timer *timer)
{
	struct disk *disk = container_of(timer, struct disk, remove_deadline);
	struct operation *op = disk->remover;
	struct err err = ERR_INIT;

	disk->remover = NULL;
	err_set(&err, EBUSY,
		"not drained within %d s: requests are still with its storage; it is gone when "
		"they are done",
		DAEMON_DRAIN_S);
	log_warn(disk->tag, "%s", err.text);
	operation_complain(op, disk, &err);
	operation_end(op, -EBUSY);
}

int operate_begin_remove(struct operation *op)
{
	int status;
	struct disk *disk = operation_disk(op, &status);

	if (!disk)
		return status;
	disk->remover = op;
	disk->remove_deadline.expired = remove_deadline_expired;
	evloop_timer_set(op->daemon->loop, &disk->remove_deadline,
			 clock_now_ns() + DAEMON_DRAIN_S * NS_PER_S);
	disk_close_endpoint(disk, removed);
	return OPERATION_PENDING;
}

/* What keeps the disk from being resized whatever the size; NULL if nothing does. */
static const char *fixed_size(const struct config_disk *config)
{
	if (config->backend != STORAGE_BACKEND_FILE)
		return "only a disk of backend file can be resized; remove the disk and add it "
		       "anew";
	if (config_disk_given(config, "size"))
		return "the key size says how much of the file is served; remove the disk and add "
		       "it anew";
	if (config->read_only)
		return "a read-only disk is not resized";
	return NULL;
}

/* Makes a regular file that big; leaves a block device, which others resize, as it is. */
static int grow_file(const char *path, uint64_t bytes, struct err *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc = 0;

	if (fd < 0)
		return err_set(err, errno, "size: %.128s cannot be opened: %m", path);
	if (fstat(fd, &st) < 0)
		rc = err_set(err, errno, "size: %.128s cannot be looked at: %m", path);
	else if (S_ISREG(st.st_mode) && (uint64_t)st.st_size < bytes &&
		 ftruncate(fd, (off_t)bytes) < 0)
		rc = err_set(err, errno, "size: %.128s cannot be made %" PRIu64 " bytes: %m", path,
			     bytes);
	fdio_close(&fd);
	return rc;
}

/* The size as the key `size` would take it. */
static int parse_size(const char *text, uint64_t *bytes, struct err *err)
{
	const struct schema_row *row = &schema_disk.rows[schema_find(&schema_disk, "size")];
	struct config_disk scratch = {0};
	int rc = schema_set(row, &scratch, text, err);

	if (rc)
		err_prefix(err, "size");
	*bytes = scratch.size_bytes;
	return rc;
}

static int resize(struct disk *disk, const char *text, struct err *err)
{
	const struct storage_info *info = storage_info(disk->storage);
	const char *fixed = fixed_size(disk->config);
	uint64_t bytes;
	int rc;

	if (fixed)
		return err_set(err, EINVAL, "size: %s", fixed);
	rc = parse_size(text, &bytes, err);
	if (rc)
		return rc;
	if (bytes % info->block_bytes)
		return err_set(err, EINVAL,
			       "size: %" PRIu64
			       " is not a multiple of the disk's blocks of %u bytes",
			       bytes, info->block_bytes);
	if (bytes < info->capacity_bytes)
		return err_set(err, EINVAL,
			       "size: %" PRIu64 " is less than the %" PRIu64
			       " bytes that it has: a disk that runs only grows",
			       bytes, info->capacity_bytes);
	rc = grow_file(disk->config->path, bytes, err);
	if (rc)
		return rc;
	disk_refresh(disk);
	if (info->capacity_bytes != bytes)
		return err_set(err, EINVAL,
			       "size: %.128s has %" PRIu64
			       " bytes; a block device is made bigger with its own tools first, "
			       "and a file that took another's place is not served",
			       disk->config->path, info->capacity_bytes);
	return 0;
}

int operate_begin_resize(struct operation *op)
{
	struct err err = ERR_INIT;
	int status;
	struct disk *disk = operation_disk(op, &status);

	if (!disk)
		return status;
	status = resize(disk, op->size_text, &err);
	if (status == 0)
		return 0;
	operation_complain(op, disk, &err);
	return status == -ENOMEM ? -ENOMEM : -EINVAL;
}
