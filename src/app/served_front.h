/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What disks and ports have in common: a device on workers, placed, behind a socket.
 * Not the devices.
 *
 * Control thread only.
 */
#ifndef PARIO_APP_SERVED_FRONT_H
#define PARIO_APP_SERVED_FRONT_H

#include "app/served.h"
#include "control/placer.h"
#include "device/device.h"
#include "vhost_user/vhost_user.h"

enum front_state {
	FRONT_WAITING,   /* for a front end */
	FRONT_CONNECTED, /* to one */
	FRONT_DRAINING,  /* being removed */
	FRONT_STATE_MAX_,
};

/* "waiting", "connected", "draining"; NULL beyond. */
const char *served_front_state_name(enum front_state state);

struct served_front {
	struct served *served;
	struct device *device; /* the kind makes and frees it */
	struct vhost_user *endpoint;
	struct placer *placer; /* NULL: not placed */
	struct placed placed;
	void (*closed)(struct served *served);
};

/* Of the daemon's workers, those on cpus, for free(); NULL without memory. */
struct worker **served_pick_workers(const struct served *served, const cpu_set_t *cpus,
				    unsigned *cnt);
struct device_tuning served_front_tuning(const struct config_front *config);

/* The device's queues are the placer's from then on. */
int served_front_place(struct served_front *front, struct err *err);
int served_front_listen(struct served_front *front, struct err *err);
/* Drains and closes the endpoint, if there is one; then closed(served). */
void served_front_close(struct served_front *front, void (*closed)(struct served *served));
/* Closed or never opened: the device is the kind's alone again. */
void served_front_release(struct served_front *front);
/* As served_ops.change. */
int served_front_change(struct served_front *front, const struct config_front *from,
			const struct config_front *to, struct join *join, struct err *err);

enum front_state served_front_state(const struct served_front *front);
/* Of a disk or a port; NULL: the kind has none. */
struct served_front *served_front(struct served *served);

#endif
