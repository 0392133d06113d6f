/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own state, between daemon.c and operate*.c. Not for anybody outside of them.
 */
#ifndef PARIO_APP_DAEMON_PRIV_H
#define PARIO_APP_DAEMON_PRIV_H

#include <stdbool.h>

#include "app/daemon.h"
#include "app/disk.h"
#include "app/signals.h"
#include "base/evloop.h"
#include "control/config.h"
#include "control/placer.h"
#include "worker/worker.h"

struct daemon {
	const struct config *config;
	struct config_errors *errors;
	enum exit_status status;
	struct evloop *loop;
	struct signals signals;
	bool signals_opened;
	struct worker **workers;
	unsigned worker_cnt;
	struct placer *placer;
	struct disk *disks;
	unsigned disk_cnt;
	struct evloop_timer deadline;
	bool draining;
	bool abandoned;
	unsigned open_cnt; /* endpoints whose close has not finished */
};

#endif
