/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has shown, for people and for programs, and what a back end offers.
 * Nothing is measured here.
 */
#ifndef PARIO_BENCH_REPORT_H
#define PARIO_BENCH_REPORT_H

#include <stdio.h>

#include "engine.h"
#include "watch.h"

struct report {
	const struct bench_opts *opts;
	const struct session *session;
	const struct engine *engine;        /* NULL when it did not come to a run */
	const struct engine_result *result; /* NULL likewise */
	const struct watch *watch;
	const char *error; /* NULL: all went well */
};

void report_table(FILE *out, const struct report *r);
void report_json(FILE *out, const struct report *r);

/* --probe */
void report_probe_table(FILE *out, const struct session *s);
void report_probe_json(FILE *out, const struct session *s);

/*
 * What both commands end with: standard output is written out, and the error, if there is one, said
 * on the other. Returns status, or BENCH_FAILED when the report could not be written.
 */
int report_finish(const char *error, int status);

/* Names of feature bits; NULL for a bit without one. */
const char *feature_name(unsigned int bit);
const char *protocol_feature_name(unsigned int bit);

/* Writes a JSON string, quotes included. */
void json_string(FILE *out, const char *text);
/* The last member of a report, "error", and its end. */
void json_error_end(FILE *out, const char *error);

#endif
