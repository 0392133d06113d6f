/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One disk that the daemon serves: its storage, device and endpoint, made and undone in order.
 * Not a device model (device/blk) and not its configuration (control/config.h).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_DISK_H
#define PARIO_APP_DISK_H

#include "base/err.h"
#include "base/evloop.h"
#include "control/config.h"
#include "control/placer.h"
#include "device/device.h"
#include "storage/storage.h"
#include "vhost_user/vhost_user.h"
#include "worker/worker.h"

enum disk_state {
	DISK_WAITING,   /* for a front end */
	DISK_CONNECTED, /* to one */
	DISK_DRAINING,  /* being removed */
	DISK_STATE_MAX_,
};

/* "waiting", "connected", "draining"; NULL beyond. */
const char *disk_state_name(enum disk_state state);

struct disk {
	const struct config_disk *config;
	char tag[80];
	struct storage *storage;
	struct device *device;
	struct vhost_user *endpoint;
	struct worker *const *workers; /* all of the daemon's */
	unsigned worker_cnt;
	int rq_affinity_before; /* -1: none, or not known */
	struct placer *placer;  /* NULL: not placed */
	struct placed placed;
	bool closing;
	void (*closed)(struct disk *disk);
	void *owner;

	/* operate_disk.c, while it is being removed */
	struct operation *remover; /* NULL: was answered */
	struct evloop_timer remove_deadline;
};

/* The config is borrowed until disk_free(), and what it says may change. Nothing is opened. */
void disk_init(struct disk *disk, const struct config_disk *config, void *owner);

/* In this order; each 0 or -errno with text. */
int disk_open_storage(struct disk *disk, struct err *err);
/*
 * Of workers, which are borrowed until disk_free(), those on the disk's CPUs serve it; shift
 * spreads disks with few queues.
 */
int disk_open_device(struct disk *disk, struct evloop *loop, struct worker *const *workers,
		     unsigned worker_cnt, unsigned shift, struct err *err);
/* Its queues are the placer's from then on. */
int disk_place(struct disk *disk, struct placer *placer, struct err *err);
int disk_open_endpoint(struct disk *disk, struct evloop *loop, struct err *err);

/* Opening failed at a later step: what disk_open_storage() changed on the host is as it was. */
void disk_undo_host(struct disk *disk);

/* Drains and closes the endpoint; then closed(disk) is called, perhaps before this returns. */
void disk_close_endpoint(struct disk *disk, void (*closed)(struct disk *disk));
/* The endpoint is closed or was never opened. */
void disk_free(struct disk *disk);

/*
 * Changes what runs from one configuration to another where they differ; one change at a time. The
 * join hears when the workers have taken it. 0, or -errno with text and nothing changed.
 */
int disk_change(struct disk *disk, const struct config_disk *from, const struct config_disk *to,
		struct join *join, struct err *err);

enum disk_state disk_state(const struct disk *disk);

/* Looks at the image's size again and tells the guest of a change. */
void disk_refresh(struct disk *disk);
/* What it served, as one line of the log. */
void disk_log_totals(const struct disk *disk);

#endif
