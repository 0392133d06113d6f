/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run of `pario-bench net` has shown, for people and for programs.
 * Nothing is measured here.
 */
#ifndef PARIO_BENCH_NETLOAD_RESULTS_H
#define PARIO_BENCH_NETLOAD_RESULTS_H

#include <stdio.h>

#include "netload/copy.h"
#include "netload/engine.h"

struct netload_report {
	const struct netload_opts *opts;
	const struct netload_session *session;
	const struct netload_engine *engine; /* NULL when it did not come to a run */
	const struct netload_result *result; /* NULL likewise */
	const struct netload_copy *copy;     /* --memcpy: in place of both */
	const char *error;                   /* NULL: all went well */
};

void netload_report_table(FILE *out, const struct netload_report *r);
void netload_report_json(FILE *out, const struct netload_report *r);

/* Marked frames that were sent and have not come; duplicates do not make up for it. */
uint64_t netload_lost(const struct netload_engine *e, const struct netload_result *r,
		      unsigned int from);

#endif
