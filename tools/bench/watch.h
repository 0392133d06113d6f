/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the main thread does while workers run: CPU clocks, progress, the health of the connection.
 * It takes no part in the load.
 */
#ifndef PARIO_BENCH_WATCH_H
#define PARIO_BENCH_WATCH_H

#include <stdbool.h>

#include "engine.h"

struct watch {
	/* Over the measured time, or as near to it as a look every WATCH_MS comes. */
	double wall_s;
	double server_cpu_s; /* negative: not known */
	double client_cpu_s;
	uint64_t config_change_cnt;
};

/* Returns when all workers have ended. */
void watch_run(struct watch *w, struct engine *e);

#endif
