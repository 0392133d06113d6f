/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows that a guest sends, and on which of its queues: bounded, and what is not used is forgotten.
 * Not which of them a frame is (dissect.h): a flow is its symmetric hash, and two that share one
 * share an entry.
 *
 * One worker's replica; no lock. Sets of FLOW_TABLE_WAYS entries, the oldest of a set gives way.
 */
#ifndef PARIO_FLOW_FLOW_TABLE_H
#define PARIO_FLOW_FLOW_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define FLOW_TABLE_WAYS 4
#define FLOW_TABLE_NONE (-1)

struct flow_table;

/* entries: a power of two of FLOW_TABLE_WAYS at least. NULL: no memory. */
struct flow_table *flow_table_new(unsigned entries, uint64_t age_ns);
void flow_table_free(struct flow_table *table);

/*
 * The guest sends the flow from queue. True: it is to be told to other replicas (new, on another
 * queue than before, or not told for a quarter of the age).
 */
bool flow_table_learn(struct flow_table *table, uint32_t hash, unsigned queue, uint64_t now_ns);
/* Another replica told. */
void flow_table_told(struct flow_table *table, uint32_t hash, unsigned queue, uint64_t now_ns);
/* Its queue, or FLOW_TABLE_NONE: not known, or too old. */
int flow_table_find(struct flow_table *table, uint32_t hash, uint64_t now_ns);
/* Any thread; approximate. Flows that are known and not too old. */
unsigned flow_table_count(const struct flow_table *table, uint64_t now_ns);

#endif
