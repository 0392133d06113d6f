/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a block device's completions come back: its queue directory in sysfs, read and written.
 * Not what the device can do (blockdev.c), and not for other layers, who have storage.h.
 */
#ifndef PARIO_STORAGE_BLOCKDEV_AFFINITY_H
#define PARIO_STORAGE_BLOCKDEV_AFFINITY_H

#include <sys/types.h>

#include "base/err.h"
#include "storage/storage.h"

#define BLOCKDEV_SYSFS "/sys"

/*
 * dev is a disk, a partition, or a device of the mapper on one disk; the disk below is meant. As
 * storage_affinity_read() and storage_set_rq_affinity(). root stands for BLOCKDEV_SYSFS. Control.
 */
int blockdev_affinity_read(const char *root, dev_t dev, struct storage_affinity **out,
			   struct err *err);
int blockdev_affinity_set(const char *root, dev_t dev, int value, struct err *err);

#endif
