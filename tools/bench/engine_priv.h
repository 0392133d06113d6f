/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between engine.c (the turns) and engine_run.c (threads and sums); not for others.
 */
#ifndef PARIO_BENCH_ENGINE_PRIV_H
#define PARIO_BENCH_ENGINE_PRIV_H

#include "engine.h"

/* Everything that a worker's thread does, until PHASE_DONE. */
void engine_worker_run(struct worker *w);

#endif
