/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One disk that the daemon serves: its storage, device and endpoint, made and undone in order.
 * Not a device model (device/blk) and not its configuration (control/config.h).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_DISK_H
#define PARIO_APP_DISK_H

#include "app/served_front.h"
#include "base/compiler.h"
#include "storage/storage.h"

struct disk {
	struct served served;
	struct served_front front;
	struct storage *storage;
	int rq_affinity_before; /* -1: none, or not known */
};

static inline struct disk *disk_of(struct served *served)
{
	return container_of(served, struct disk, served);
}

static inline const struct config_disk *disk_config(const struct disk *disk)
{
	return (const struct config_disk *)disk->served.config;
}

/* Looks at the image's size again and tells the guest of a change. */
void disk_refresh(struct disk *disk);

#endif
