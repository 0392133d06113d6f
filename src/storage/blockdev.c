/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a block device says of itself: ioctls, and sysfs for what has none.
 * Not the opening of it (file_open.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fdio.h"
#include "storage/file_priv.h"

/* A number from /sys/dev/block/MAJOR:MINOR/WHERE/queue/NAME. False if it is not there. */
static bool blockdev_queue_number(dev_t rdev, const char *where, const char *name, uint64_t *value)
{
	char path[128], text[32];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(rdev), minor(rdev),
		 where, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, sizeof(text) - 1);
	fdio_close(&fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	*value = strtoull(text, NULL, 10);
	return true;
}

/* A partition has no queue of its own: its disk's is one directory up. */
static uint64_t blockdev_queue_limit(dev_t rdev, const char *name)
{
	uint64_t value = 0;

	if (!blockdev_queue_number(rdev, "", name, &value))
		blockdev_queue_number(rdev, "../", name, &value);
	return value;
}

int blockdev_limits_get(int fd, struct blockdev_limits *limits)
{
	unsigned physical = 0, io_min = 0, io_opt = 0;
	int logical = 0, read_only = 0;
	uint64_t size = 0, granularity;
	struct stat st;

	if (ioctl(fd, BLKGETSIZE64, &size) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
	    fstat(fd, &st) < 0)
		return -errno;
	/* These are hints; a device that does not tell has none. */
	if (ioctl(fd, BLKPBSZGET, &physical) < 0)
		physical = (unsigned)logical;
	if (ioctl(fd, BLKIOMIN, &io_min) < 0)
		io_min = 0;
	if (ioctl(fd, BLKIOOPT, &io_opt) < 0)
		io_opt = 0;
	if (ioctl(fd, BLKROGET, &read_only) < 0)
		read_only = 0;
	granularity = blockdev_queue_limit(st.st_rdev, "discard_granularity");
	if (blockdev_queue_limit(st.st_rdev, "discard_max_bytes") == 0)
		granularity = 0;
	*limits = (struct blockdev_limits){
		.size_bytes = size,
		.logical_bytes = (uint32_t)logical,
		.physical_bytes = physical,
		.io_min_bytes = io_min,
		.io_opt_bytes = io_opt,
		.discard_granularity_bytes = granularity <= UINT32_MAX ? (uint32_t)granularity : 0,
		.read_only = read_only != 0,
	};
	return 0;
}
