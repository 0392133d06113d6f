/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uplink for tests and measurements: it sends every frame back to where it came from, with
 * source and destination address swapped.
 * Not for a switch that people use: to addresses that nobody has learnt it answers too.
 *
 * Frames to group addresses end here: what came from one would be no good source.
 */
#ifndef PARIO_NETWORK_LOOP_H
#define PARIO_NETWORK_LOOP_H

#include <stdint.h>

#include "base/err.h"
#include "base/stat.h"
#include "network/netport.h"

struct loop;

/* Everything is copied. */
struct loop_options {
	unsigned queues; /* 1 to NETPORT_QUEUES_MAX */
	struct netport_options port;
	struct worker *const *workers; /* queue i on workers[(i + worker_shift) % worker_cnt] */
	unsigned worker_cnt;
	unsigned worker_shift;
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	struct fabric *fabric;
};

struct loop_stats {
	uint64_t frames, bytes; /* sent back */
	uint64_t group;         /* ended here: to a group address */
	uint64_t full;          /* dropped: all frames of the queue are on their way */
	uint64_t errors;        /* dropped: shorter than it said */
};
extern const struct stat_row loop_stat_rows[];
extern const unsigned loop_stat_row_cnt;

/* Control. 0 or -errno with text. */
int loop_open(const struct loop_options *options, struct loop **out, struct err *err);
/* Drains; closed(arg) runs when it is gone. */
void loop_close(struct loop *loop, void (*closed)(void *arg), void *arg);
struct netport *loop_port(const struct loop *loop);
void loop_stats(const struct loop *loop, struct loop_stats *sum);

#endif
