/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a disk of a running daemon larger. Not adding and removing (operate_object.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/daemon_priv.h"
#include "app/disk.h"
#include "base/fdio.h"
#include "control/schema.h"

/* What keeps the disk from being resized whatever the size; NULL if nothing does. */
static const char *fixed_size(const struct config_disk *config)
{
	if (config->backend != STORAGE_BACKEND_FILE)
		return "only a disk of backend file can be resized; remove the disk and add it "
		       "anew";
	if (config_given(&config->object, "size"))
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
	const char *fixed = fixed_size(disk_config(disk));
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
	rc = grow_file(disk_config(disk)->path, bytes, err);
	if (rc)
		return rc;
	disk_refresh(disk);
	if (info->capacity_bytes != bytes)
		return err_set(err, EINVAL,
			       "size: %.128s has %" PRIu64
			       " bytes; a block device is made bigger with its own tools first, "
			       "and a file that took another's place is not served",
			       disk_config(disk)->path, info->capacity_bytes);
	return 0;
}

int operate_begin_resize(struct operation *op)
{
	struct err err = ERR_INIT;
	int status;
	struct served *served = operation_object(op, &status);

	if (!served)
		return status;
	status = resize(disk_of(served), op->size_text, &err);
	if (status == 0)
		return 0;
	operation_complain(op, served, &err);
	return status == -ENOMEM ? -ENOMEM : -EINVAL;
}
