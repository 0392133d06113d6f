/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the disk under a file or device, and its affinity of completions in sysfs: QUEUE/
 * rq_affinity, and mq/N/cpu_list for each hardware queue (the kernel's
 * Documentation/ABI/stable/sysfs-block).
 * Not I/O on the disk.
 */
#include "storage/blockdev_affinity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fdio.h"
#include "storage/file_priv.h"
#include "worker/cpulist.h"

/* Devices on devices: no real stack is deeper. */
#define DEPTH_MAX 8
#define QUEUES_MAX 4096u
#define PATH_BYTES 512

/* The directory of a block device in sysfs. */
struct disk_dir {
	char path[PATH_BYTES];
};

/* False when the name does not fit, which no file in sysfs has. */
static bool PRINTF_LIKE(2, 3) append(struct disk_dir *dir, const char *fmt, ...)
{
	const size_t used = strlen(dir->path);
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(dir->path + used, sizeof(dir->path) - used, fmt, args);
	va_end(args);
	return len >= 0 && (size_t)len < sizeof(dir->path) - used;
}

static bool has(const struct disk_dir *dir, const char *name)
{
	struct disk_dir path = *dir;

	return append(&path, "/%s", name) && access(path.path, F_OK) == 0;
}

/* How many devices this one is made of; the name of one of them. */
static unsigned slaves(const struct disk_dir *dir, char *name, size_t size)
{
	struct disk_dir path = *dir;
	unsigned cnt = 0;
	DIR *list = append(&path, "/slaves") ? opendir(path.path) : NULL;

	if (!list)
		return 0;
	for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, size, "%s", entry->d_name);
		cnt++;
	}
	closedir(list);
	return cnt;
}

static int not_found(dev_t dev, struct err *err)
{
	return err_set(err, ENODEV,
		       "rq-affinity: the host shows no block device %u:%u under this disk (its "
		       "file system is in memory, on a network or on several devices); leave it "
		       "out",
		       major(dev), minor(dev));
}

/* From a partition to its disk, from a mapped device to the one that it is on. */
static int find_disk(const char *root, dev_t dev, struct disk_dir *dir, struct err *err)
{
	char name[NAME_MAX + 1];
	unsigned cnt;

	dir->path[0] = '\0';
	if (!append(dir, "%s/dev/block/%u:%u", root, major(dev), minor(dev)) ||
	    access(dir->path, F_OK) < 0)
		return not_found(dev, err);
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		if (has(dir, "partition")) {
			if (!append(dir, "/.."))
				return not_found(dev, err);
			continue;
		}
		cnt = slaves(dir, name, sizeof(name));
		if (cnt == 0)
			return 0;
		if (cnt > 1)
			return err_set(err, ENODEV,
				       "rq-affinity: block device %u:%u is made of %u others; set "
				       "it on each in /sys/block/*/queue/rq_affinity",
				       major(dev), minor(dev), cnt);
		if (!append(dir, "/slaves/%s", name))
			return not_found(dev, err);
	}
	return not_found(dev, err);
}

static void disk_name(const struct disk_dir *dir, char *name, size_t size)
{
	char *real = realpath(dir->path, NULL);
	const char *last = real ? strrchr(real, '/') : NULL;

	snprintf(name, size, "%s", last ? last + 1 : "?");
	free(real);
}

/* -1 where there is no choice: devices without requests, older or newer kernels. */
static int read_value(const struct disk_dir *dir)
{
	struct disk_dir path = *dir;
	char digit = '\0';
	int fd = append(&path, "/queue/rq_affinity") ? open(path.path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return -1;
	if (read(fd, &digit, 1) != 1)
		digit = '\0';
	fdio_close(&fd);
	return digit >= '0' && digit <= '2' ? digit - '0' : -1;
}

static FILE *open_queue(const struct disk_dir *dir, unsigned idx)
{
	struct disk_dir path = *dir;

	return append(&path, "/mq/%u/cpu_list", idx) ? fopen(path.path, "re") : NULL;
}

static unsigned count_queues(const struct disk_dir *dir)
{
	unsigned cnt = 0;
	FILE *file;

	while (cnt < QUEUES_MAX && (file = open_queue(dir, cnt)) != NULL) {
		fclose(file);
		cnt++;
	}
	return cnt;
}

int blockdev_affinity_read(const char *root, dev_t dev, struct storage_affinity **out,
			   struct err *err)
{
	struct storage_affinity *affinity;
	struct disk_dir dir;
	unsigned cnt;
	int status = find_disk(root, dev, &dir, err);

	if (status < 0)
		return status;
	cnt = count_queues(&dir);
	affinity = calloc(1, sizeof(*affinity) + cnt * sizeof(affinity->queue_cpus[0]));
	if (!affinity)
		return err_set(err, ENOMEM, "rq-affinity: out of memory");
	disk_name(&dir, affinity->disk, sizeof(affinity->disk));
	affinity->rq_affinity = read_value(&dir);
	for (unsigned i = 0; i < cnt; i++) {
		FILE *file = open_queue(&dir, i);

		/* A device that goes away meanwhile; its sets stay empty. */
		if (!file)
			break;
		(void)cpulist_read(file, &affinity->queue_cpus[i]);
		fclose(file);
		affinity->queue_cnt++;
	}
	*out = affinity;
	return 0;
}

static int refused(const char *name, int was, int value, int code, struct err *err)
{
	switch (code) {
	case EACCES:
	case EPERM:
		return err_set(err, code,
			       "rq-affinity: that of %s is %d and user %u may not change it to %d; "
			       "run pariod as root, or set it before: echo %d > "
			       "/sys/block/%s/queue/rq_affinity",
			       name, was, (unsigned)geteuid(), value, value, name);
	case EROFS:
		return err_set(err, code,
			       "rq-affinity: that of %s is %d, and /sys is read-only here (a "
			       "container); set it on the host: echo %d > "
			       "/sys/block/%s/queue/rq_affinity",
			       name, was, value, name);
	default:
		return err_set(err, code,
			       "rq-affinity: that of %s is %d and cannot be set to %d: %s", name,
			       was, value, strerror(code));
	}
}

static int write_value(const struct disk_dir *dir, int value)
{
	const char digit = (char)('0' + value);
	struct disk_dir path = *dir;
	int status = 0;
	int fd = append(&path, "/queue/rq_affinity") ? open(path.path, O_WRONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return -errno;
	if (write(fd, &digit, 1) != 1)
		status = -errno;
	fdio_close(&fd);
	return status;
}

int blockdev_affinity_set(const char *root, dev_t dev, int value, struct err *err)
{
	char name[sizeof(((struct storage_affinity *)0)->disk)];
	struct disk_dir dir;
	int status, was;

	if (value < 0 || value > 2)
		return err_set(err, EINVAL,
			       "rq-affinity: %d is none of 0 (any CPU), 1 (near the submitting "
			       "one), 2 (the submitting one)",
			       value);
	status = find_disk(root, dev, &dir, err);
	if (status < 0)
		return status;
	disk_name(&dir, name, sizeof(name));
	was = read_value(&dir);
	if (was < 0)
		return err_set(err, EOPNOTSUPP,
			       "rq-affinity: block device %s has no such choice; leave it out",
			       name);
	/* So that an operator can have set it, and pariod needs no right to. */
	if (was == value)
		return 0;
	status = write_value(&dir, value);
	if (status < 0)
		return refused(name, was, value, -status, err);
	return 0;
}

/* ---- storage.h ---- */

static int device_of(struct storage *storage, dev_t *dev, struct err *err)
{
	struct stat st;

	if (storage->ops != &file_storage_ops)
		return err_set(err, EINVAL,
			       "rq-affinity: only backend file has a block device under it; leave "
			       "it out");
	if (fstat(file_of(storage)->fd, &st) < 0)
		return err_set(err, errno, "rq-affinity: %s does not tell its device: %m",
			       file_of(storage)->path);
	*dev = file_of(storage)->is_device ? st.st_rdev : st.st_dev;
	return 0;
}

int storage_set_rq_affinity(struct storage *storage, int value, struct err *err)
{
	dev_t dev = 0;
	int status = device_of(storage, &dev, err);

	return status < 0 ? status : blockdev_affinity_set(BLOCKDEV_SYSFS, dev, value, err);
}

int storage_affinity_read(struct storage *storage, struct storage_affinity **out, struct err *err)
{
	dev_t dev = 0;
	int status = device_of(storage, &dev, err);

	return status < 0 ? status : blockdev_affinity_read(BLOCKDEV_SYSFS, dev, out, err);
}
