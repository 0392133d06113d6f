/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of counters and histograms of times as JSON, generated from their rows alone.
 * Not the counting (base/stat.h) and not the objects that count (objects.h).
 *
 * Results are new references, the caller's; without memory they are NULL or lack parts. A counter
 * that is written meanwhile is read whole (relaxed loads); counters of one moment they are not.
 */
#ifndef PARIO_OBSERVE_COUNTERS_H
#define PARIO_OBSERVE_COUNTERS_H

#include <jansson.h>

#include "base/latency.h"
#include "base/stat.h"

/* {"reads": 12, ...}: a member for each row. counters is a struct of the table's kind. */
json_t *observe_counters(const struct stat_table *table, const void *counters);

/*
 * Appends to list, for each row, {"object": "disk", "group": "ring", "name": "kicks", "unit":
 * "kicks", "kind": "counter", "help": "..."}.
 */
void observe_describe(const char *object, const struct stat_table *table, json_t *list);

/*
 * {"count", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "buckets": [[end_ns, count], ...]}:
 * buckets that are not empty, each up to end_ns (null: no bound). Without values, mean and
 * quantiles are null.
 */
json_t *observe_latency(const struct latency *latency);

/* The tables of what is no queue. */
struct stat_table observe_worker_table(void);
struct stat_table observe_front_end_table(void);

#endif
