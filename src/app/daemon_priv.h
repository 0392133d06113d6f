/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own state, between daemon.c and operate*.c. Not for anybody outside of them.
 */
#ifndef PARIO_APP_DAEMON_PRIV_H
#define PARIO_APP_DAEMON_PRIV_H

#include <stdbool.h>

#include "app/daemon.h"
#include "app/operate.h"
#include "app/served.h"
#include "app/signals.h"
#include "base/evloop.h"
#include "control/config.h"
#include "control/placer.h"
#include "network/fabric.h"
#include "worker/worker.h"

struct served_list {
	struct served **objects; /* in the order of the configuration's */
	unsigned cnt;
};

/* How far a drain has come. */
enum drained {
	DRAINED_NOTHING,
	DRAINED_OBJECTS,  /* disks, ports, uplinks and operations are gone */
	DRAINED_SWITCHES, /* and they */
	DRAINED_ALL,      /* and the fabric */
};

struct daemon {
	struct config *config;
	struct config_errors *errors;
	struct evloop *loop;
	struct worker **workers;
	struct placer *placer;
	struct fabric *fabric;
	struct captures *captures;
	struct api *api; /* NULL: none is wanted */
	struct served_list lists[CONFIG_KIND_CNT];
	struct list_node operations; /* oldest first */
	struct signals signals;
	struct evloop_timer deadline;
	enum exit_status status;
	unsigned worker_cnt;
	unsigned shift; /* of the next object's queues over the workers */
	enum drained drained;
	unsigned open_cnt; /* while draining: closes that have not finished */
	bool signals_opened;
	bool operating; /* within operate_run() */
	bool draining;
	bool abandoned;
};

/* What a drain may take, of the whole daemon and of an object that is removed. */
#define DAEMON_DRAIN_S 10

/* What begin() of an operation returns when it will call operation_end() later. */
#define OPERATION_PENDING 1

/* Makes the next object of a kind, of which the configuration has more. NULL without memory. */
struct served *daemon_append(struct daemon *daemon, enum config_kind kind);
/* The object is closed, or was never opened. Its configuration goes too. */
void daemon_remove(struct daemon *daemon, struct served *served);
/* While draining: goes on when nothing is left to wait for. */
void daemon_check_end(struct daemon *daemon);
/* While draining: the object is closed. */
void daemon_await_one_less(struct daemon *daemon, struct served *served);

/* operate.c */

/* Answers; the operation is its asker's again. */
void operation_end(struct operation *op, int status);
/* A complaint of the operation about an object, or about what err says of one of its keys. */
void operation_complain(struct operation *op, const struct served *served, const struct err *err);
/* The object that is meant and may be changed; NULL after a complaint, with *status set. */
struct served *operation_object(struct operation *op, int *status);
/* Begins what may be begun. */
void operate_run(struct daemon *daemon);
/* The daemon ends: answers what waits, begins nothing more. */
void operate_stop(struct daemon *daemon);

/* operate_set.c */

int operate_begin_set(struct operation *op);
int operate_begin_set_daemon(struct operation *op);

/* operate_object.c */

int operate_begin_add(struct operation *op);
int operate_begin_remove(struct operation *op);

/* operate_resize.c */

int operate_begin_resize(struct operation *op);

#endif
