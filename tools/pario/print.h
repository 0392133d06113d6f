/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What commands that look at a daemon print in common. Not columns (grid.h).
 */
#ifndef PARIO_TOOLS_PARIO_PRINT_H
#define PARIO_TOOLS_PARIO_PRINT_H

#include <jansson.h>

#include "pario.h"

/* Complains, and is EXIT_STATUS_USAGE. */
enum exit_status usage(const char *text);
void print_json(const json_t *json);

/* object.a, or object.a.b; borrowed. */
const json_t *get(const json_t *object, const char *a, const char *b);
/* "-" where there is no text. */
const char *text_of(const json_t *object, const char *key);

/* The rows of all counters, the caller's; an empty list when there are none to be had. */
json_t *ask_rows(const struct words *words);
/* Those that are not zero, with the units that rows know for an object of the kind. */
void print_counters(const json_t *rows, const char *kind, json_t *groups, const char *indent);
void print_latency(const json_t *latency, const char *indent);

#endif
