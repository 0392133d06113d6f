/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a file or block device as a disk: every check before the first request, and what the
 * disk can do.
 * Not I/O on behalf of a guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/overflow.h"
#include "storage/file_priv.h"
#include "storage/image_priv.h"

/* Aligned for whatever O_DIRECT may want; a disk that wants more is refused. */
#define PROBE_BYTES (64u * 1024)
#define DIRECT_ALIGN_MAX PROBE_BYTES
_Static_assert(FILE_BOUNCE_BYTES % DIRECT_ALIGN_MAX == 0, "whole blocks fit a bounce buffer");

static const char *file_type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
		return "a character device";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	default:
		return "of an unknown type";
	}
}

static int file_judge_type(const char *path, mode_t mode, struct err *err)
{
	if (S_ISREG(mode) || S_ISBLK(mode))
		return 0;
	return err_set(err, S_ISDIR(mode) ? EISDIR : EINVAL,
		       "path: %s is %s; a disk needs a file or a block device", path,
		       file_type_name(mode));
}

static int file_no_direct(const char *path, struct err *err)
{
	return err_set(err, EINVAL,
		       "path: %s is on a file system that cannot do O_DIRECT; use cache=writeback",
		       path);
}

static int file_open_failed(const char *path, const struct storage_options *options, int code,
			    struct err *err)
{
	bool readable = !options->read_only && access(path, R_OK) == 0;

	switch (code) {
	case ENOENT:
		return err_set(err, code,
			       "path: %s does not exist; create it (truncate -s 10G %s) or correct "
			       "the path",
			       path, path);
	case EACCES:
	case EPERM:
		return err_set(err, code,
			       "path: %s may not be %s by user %u; change its owner or mode%s",
			       path, readable ? "written" : "opened", (unsigned)geteuid(),
			       readable ? ", or set read-only" : "");
	case EROFS:
		return err_set(err, code,
			       "path: %s is on a read-only file system; set read-only, or move it",
			       path);
	case EBUSY:
		return err_set(err, code,
			       "path: %s is in use by this host (mounted, or part of another "
			       "device); end that use first, or set read-only",
			       path);
	case EINVAL:
		if (options->cache == STORAGE_CACHE_NONE)
			return file_no_direct(path, err);
		break;
	default:
		break;
	}
	return err_set(err, code, "path: %s cannot be opened: %s", path, strerror(code));
}

/*
 * fd has the claim so far: makes it claim_fd, and another description of the same file fd. Opened
 * through /proc, because the path may lead elsewhere by now.
 */
static void file_part_claim(struct file_storage *file, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	fd = open(path, flags);
	if (fd < 0)
		return;
	file->claim_fd = file->fd;
	file->fd = fd;
}

static int file_open_fd(struct file_storage *file, const struct storage_options *options,
			struct stat *st, struct err *err)
{
	int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int status;

	/* Looked at first, so that opening what is no disk has no effects on it. */
	if (stat(file->path, st) < 0)
		return file_open_failed(file->path, options, errno, err);
	status = file_judge_type(file->path, st->st_mode, err);
	if (status < 0)
		return status;
	flags |= options->read_only ? O_RDONLY : O_RDWR;
	if (file->direct)
		flags |= O_DIRECT;
	/* On a block device: the kernel's own claim. Nobody mounts it while the guest writes. */
	if (S_ISBLK(st->st_mode) && !options->read_only)
		flags |= O_EXCL;
	file->fd = open(file->path, flags);
	if (file->fd < 0)
		return file_open_failed(file->path, options, errno, err);
	if (fstat(file->fd, st) < 0)
		return file_open_failed(file->path, options, errno, err);
	status = file_judge_type(file->path, st->st_mode, err);
	if (status < 0)
		return status;
	/* O_NONBLOCK was for a pipe that took the file's place; io_uring would heed it. */
	if (fcntl(file->fd, F_SETFL, flags & O_DIRECT) < 0)
		return file_open_failed(file->path, options, errno, err);
	file->is_device = S_ISBLK(st->st_mode);
	file_part_claim(file, flags & (O_ACCMODE | O_DIRECT | O_CLOEXEC));
	return 0;
}

/* Where the kernel does not tell: the smallest read that it takes. */
static int file_probe_align_by_read(struct file_storage *file, void *buffer, struct err *err)
{
	for (uint32_t align = STORAGE_SECTOR_BYTES; align <= 4096; align *= 2) {
		if (pread(file->fd, buffer, align, 0) >= 0) {
			file->io_align = align;
			file->mem_align = align;
			return 0;
		}
		if (errno != EINVAL)
			return err_set(err, errno, "path: %s cannot be read: %m", file->path);
	}
	return file_no_direct(file->path, err);
}

static int file_probe_align(struct file_storage *file, void *buffer, struct err *err)
{
	struct statx stx;

	file->io_align = 1;
	file->mem_align = 1;
	if (!file->direct)
		return 0;
	memset(&stx, 0, sizeof(stx));
	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 ||
	    !(stx.stx_mask & STATX_DIOALIGN))
		return file_probe_align_by_read(file, buffer, err);
	if (!is_pow2(stx.stx_dio_offset_align) || !is_pow2(stx.stx_dio_mem_align) ||
	    stx.stx_dio_offset_align > DIRECT_ALIGN_MAX || stx.stx_dio_mem_align > DIRECT_ALIGN_MAX)
		return file_no_direct(file->path, err);
	file->io_align = stx.stx_dio_offset_align;
	file->mem_align = stx.stx_dio_mem_align;
	return 0;
}

/* The capacity that a file of size_bytes makes. */
static int file_capacity(const struct file_storage *file, uint64_t size_bytes, uint64_t *capacity,
			 struct err *err)
{
	uint32_t block_bytes = file->base.info.block_bytes;

	if (size_bytes == 0)
		return err_set(err, EINVAL, "path: %s is empty; %s%s", file->path,
			       file->is_device ? "it has no medium"
					       : "give it the disk's size: truncate -s 10G ",
			       file->is_device ? "" : file->path);
	if (file->size_max_bytes && file->size_max_bytes <= size_bytes)
		size_bytes = file->size_max_bytes;
	if (size_bytes % block_bytes != 0)
		return err_set(err, EINVAL,
			       "path: the size of %s, %llu bytes, is no multiple of its block size "
			       "%u; round it up: truncate -s %%%u %s",
			       file->path, (unsigned long long)size_bytes, block_bytes, block_bytes,
			       file->path);
	*capacity = size_bytes;
	return 0;
}

static int file_judge_size_option(const struct file_storage *file, uint64_t size_bytes,
				  struct err *err)
{
	uint32_t block_bytes = file->base.info.block_bytes;

	if (file->size_max_bytes % block_bytes != 0)
		return err_set(err, EINVAL, "size: %llu is no multiple of the block size %u",
			       (unsigned long long)file->size_max_bytes, block_bytes);
	if (size_bytes > 0 && file->size_max_bytes > size_bytes)
		return err_set(err, EINVAL,
			       "size: %llu is beyond the %llu bytes of %s; leave size out, or "
			       "enlarge the file first",
			       (unsigned long long)file->size_max_bytes,
			       (unsigned long long)size_bytes, file->path);
	return 0;
}

static int file_set_block_size(struct file_storage *file, uint32_t own_bytes, uint32_t option,
			       struct err *err)
{
	if (option && option < file->io_align)
		return err_set(
			err, EINVAL,
			"block-size: %u is finer than the %u-byte blocks that O_DIRECT needs "
			"for %s; leave it out, or use cache=writeback",
			option, file->io_align, file->path);
	file->base.info.block_bytes = option ? option : own_bytes;
	return 0;
}

static int file_set_device_info(struct file_storage *file, const struct storage_options *options,
				uint64_t *size_bytes, struct err *err)
{
	struct storage_info *info = &file->base.info;
	struct blockdev_limits limits;
	int status = blockdev_limits_get(file->fd, &limits);

	if (status < 0)
		return err_set(err, -status, "path: %s does not tell its size: %s", file->path,
			       strerror(-status));
	if (limits.read_only && !options->read_only)
		return err_set(err, EROFS, "path: %s is a read-only device; set read-only",
			       file->path);
	status = file_set_block_size(file, limits.logical_bytes, options->block_size, err);
	if (status < 0)
		return status;
	file->range_align = limits.logical_bytes;
	info->physical_block_bytes = limits.physical_bytes;
	info->io_min_bytes = limits.io_min_bytes;
	info->io_opt_bytes = limits.io_opt_bytes;
	info->discard_granularity_bytes = limits.discard_granularity_bytes;
	info->can_discard = limits.discard_granularity_bytes > 0;
	*size_bytes = limits.size_bytes;
	return 0;
}

static int file_set_file_info(struct file_storage *file, const struct storage_options *options,
			      const struct stat *st, struct err *err)
{
	struct storage_info *info = &file->base.info;
	uint32_t fs_block_bytes = st->st_blksize < 4096 ? (uint32_t)st->st_blksize : 4096;
	uint32_t own_bytes = file->io_align > STORAGE_SECTOR_BYTES ? file->io_align
								   : STORAGE_SECTOR_BYTES;
	int status = file_set_block_size(file, own_bytes, options->block_size, err);

	if (status < 0)
		return status;
	file->range_align = 1;
	info->physical_block_bytes = fs_block_bytes;
	info->discard_granularity_bytes = fs_block_bytes;
	/* A hole behind the end changes nothing, and says whether holes can be. */
	info->can_discard = !options->read_only &&
			    fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				      st->st_size, STORAGE_SECTOR_BYTES) == 0;
	return 0;
}

/* The sector at pos, wherever that is, with zeroes behind the file's end; NULL if unreadable. */
static const uint8_t *file_read_sector(const struct file_storage *file, uint8_t *buffer,
				       uint64_t pos)
{
	uint64_t start = align_down(pos, file->io_align);
	size_t head = (size_t)(pos - start);
	ssize_t got;

	memset(buffer, 0, PROBE_BYTES);
	got = pread(file->fd, buffer, PROBE_BYTES, (off_t)start);
	if (got < 0 || (size_t)got <= head)
		return NULL;
	return buffer + head;
}

/* Before the size is judged: that of an image in a format is nothing to be corrected. */
static int file_judge_format(const struct file_storage *file, uint64_t size_bytes, uint8_t *buffer,
			     struct err *err)
{
	const char *format = image_format(file_read_sector(file, buffer, 0), NULL);

	if (!format && size_bytes > STORAGE_SECTOR_BYTES)
		format = image_format(NULL, file_read_sector(file, buffer,
							     size_bytes - STORAGE_SECTOR_BYTES));
	if (!format)
		return 0;
	return err_set(
		err, EMEDIUMTYPE,
		"path: %s looks like a %s image, which pario cannot read; convert it "
		"(qemu-img convert -O raw), or give format=raw to serve its bytes as they are",
		file->path, format);
}

static int file_set_info(struct file_storage *file, const struct storage_options *options,
			 const struct stat *st, uint8_t *buffer, struct err *err)
{
	struct storage_info *info = &file->base.info;
	uint64_t size_bytes = (uint64_t)st->st_size;
	int status;

	if (file->is_device)
		status = file_set_device_info(file, options, &size_bytes, err);
	else
		status = file_set_file_info(file, options, st, err);
	if (status == 0 && !options->format_raw)
		status = file_judge_format(file, size_bytes, buffer, err);
	if (status == 0)
		status = file_judge_size_option(file, size_bytes, err);
	if (status == 0)
		status = file_capacity(file, size_bytes, &info->capacity_bytes, err);
	if (status < 0)
		return status;
	if (info->physical_block_bytes < info->block_bytes)
		info->physical_block_bytes = info->block_bytes;
	if (info->discard_granularity_bytes < info->block_bytes)
		info->discard_granularity_bytes = info->block_bytes;
	info->read_only = options->read_only;
	info->can_discard &= options->discard && !options->read_only;
	/* O_DIRECT goes past the page cache, not past the device's cache and the metadata. */
	info->volatile_cache = !options->read_only;
	return 0;
}

/*
 * Which calls may be made on a worker. A file system without RWF_NOWAIT is not enough to know: a
 * network or FUSE file system may lack it too, and a call to that may never return. So only those
 * that are memory.
 */
static enum file_sync file_probe_sync(const struct file_storage *file, void *buffer)
{
	struct iovec iov = {buffer, file->base.info.block_bytes};
	struct statfs fs;

	if (fstatfs(file->fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC) &&
	    !file->is_device && preadv2(file->fd, &iov, 1, 0, RWF_NOWAIT) < 0 &&
	    errno == EOPNOTSUPP)
		return FILE_SYNC_ALWAYS;
	return file->direct ? FILE_SYNC_NEVER : FILE_SYNC_CACHED;
}

static int file_open_checked(struct file_storage *file, const struct storage_options *options,
			     uint8_t *buffer, struct err *err)
{
	struct stat st;
	int status = file_open_fd(file, options, &st, err);

	if (status == 0)
		status = lock_image(file_claim_fd(file), file->path, options->read_only,
				    file->base.tag, err);
	if (status == 0)
		status = file_probe_align(file, buffer, err);
	if (status == 0)
		status = file_set_info(file, options, &st, buffer, err);
	if (status == 0)
		file->sync = file_probe_sync(file, buffer);
	return status;
}

int file_open(struct storage *storage, const struct storage_options *options, struct err *err)
{
	struct file_storage *file = file_of(storage);
	void *buffer = NULL;
	int status;

	file->fd = -1;
	file->claim_fd = -1;
	if (!options->path || !options->path[0])
		return err_set(err, EINVAL,
			       "path: backend file needs one, such as path=/srv/vda.raw");
	file->direct = options->cache == STORAGE_CACHE_NONE;
	file->size_max_bytes = options->size_bytes;
	file->path = strdup(options->path);
	if (!file->path || posix_memalign(&buffer, DIRECT_ALIGN_MAX, PROBE_BYTES) != 0)
		status = err_set(err, ENOMEM, "out of memory");
	else
		status = file_open_checked(file, options, buffer, err);
	free(buffer);
	if (status < 0)
		file_close(storage);
	return status;
}

void file_close(struct storage *storage)
{
	struct file_storage *file = file_of(storage);

	fdio_close(&file->fd);
	fdio_close(&file->claim_fd);
	free(file->path);
}

int file_refresh(struct storage *storage, uint64_t *capacity_bytes, struct err *err)
{
	struct file_storage *file = file_of(storage);
	struct blockdev_limits limits;
	struct stat st;
	uint64_t size_bytes;
	int status = 0;

	if (file->is_device) {
		status = blockdev_limits_get(file->fd, &limits);
		size_bytes = limits.size_bytes;
	} else {
		if (fstat(file->fd, &st) < 0)
			status = -errno;
		size_bytes = (uint64_t)st.st_size;
	}
	if (status < 0)
		return err_set(err, -status, "path: %s does not tell its size: %s", file->path,
			       strerror(-status));
	return file_capacity(file, size_bytes, capacity_bytes, err);
}
