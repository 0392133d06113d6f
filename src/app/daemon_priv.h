/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own state, between daemon.c and operate*.c. Not for anybody outside of them.
 */
#ifndef PARIO_APP_DAEMON_PRIV_H
#define PARIO_APP_DAEMON_PRIV_H

#include <stdbool.h>

#include "app/daemon.h"
#include "app/disk.h"
#include "app/operate.h"
#include "app/signals.h"
#include "base/evloop.h"
#include "control/config.h"
#include "control/placer.h"
#include "worker/worker.h"

struct daemon {
	struct config *config;
	struct config_errors *errors;
	enum exit_status status;
	struct evloop *loop;
	struct signals signals;
	bool signals_opened;
	struct worker **workers;
	unsigned worker_cnt;
	struct placer *placer;
	struct api *api;     /* NULL: none is wanted */
	struct disk **disks; /* in the order of the configuration's */
	unsigned disk_cnt;
	unsigned shift;              /* of the next disk's queues over the workers */
	struct list_node operations; /* oldest first */
	bool operating;              /* within operate_run() */
	struct evloop_timer deadline;
	bool draining;
	bool abandoned;
	unsigned open_cnt; /* while draining: endpoints whose close has not finished */
};

/* What a drain may take, of the whole daemon and of a disk that is removed. */
#define DAEMON_DRAIN_S 10

/* What begin() of an operation returns when it will call operation_end() later. */
#define OPERATION_PENDING 1

/* Makes the idx-th disk of the configuration, the last one, and opens nothing. 0 or -ENOMEM. */
int daemon_append_disk(struct daemon *daemon);
/* The disk is closed, or was never opened. Its configuration goes too. */
void daemon_remove_disk(struct daemon *daemon, struct disk *disk);
unsigned daemon_disk_idx(const struct daemon *daemon, const struct disk *disk);
/* While draining: ends the loop when nothing is left to wait for. */
void daemon_check_end(struct daemon *daemon);
/* While draining: one endpoint less. */
void daemon_endpoint_closed(struct daemon *daemon);

/* operate.c */

/* Answers; the operation is its asker's again. */
void operation_end(struct operation *op, int status);
/* A complaint of the operation about disks[idx], or about what err says of one of its keys. */
void operation_complain(struct operation *op, const struct disk *disk, const struct err *err);
/* The disk that is meant and may be changed; NULL after a complaint, with *status set. */
struct disk *operation_disk(struct operation *op, int *status);
/* Begins what may be begun. */
void operate_run(struct daemon *daemon);
/* The daemon ends: answers what waits, begins nothing more. */
void operate_stop(struct daemon *daemon);

/* operate_set.c */

int operate_begin_set_disk(struct operation *op);
int operate_begin_set_daemon(struct operation *op);

/* operate_disk.c */

int operate_begin_add(struct operation *op);
int operate_begin_remove(struct operation *op);
int operate_begin_resize(struct operation *op);

#endif
