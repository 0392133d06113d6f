/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step search for how much a port's calls are to cover: better, worse, turn round, park. Pure.
 * Not the decision about a call (coalesce_port.h).
 *
 * In the manner of Linux' net_dim, which goes by throughput and then by the number of events. Here
 * the second is a cost that counts waiting too: an event less is no gain if frames wait for it.
 */
#ifndef PARIO_VIRTQUEUE_COALESCE_SEARCH_H
#define PARIO_VIRTQUEUE_COALESCE_SEARCH_H

#include <stdint.h>

/* Levels are factors of what the square-root law says; 0 is the law's own. */
#define COALESCE_LEVEL_MIN (-1)
#define COALESCE_LEVEL_MAX 3

/* The factor, in eighths. */
uint32_t coalesce_level_eighths(int level);

/* What a level was like for a while. */
struct coalesce_sample {
	uint64_t rate;    /* frames a second */
	uint64_t bytes;   /* a second */
	uint64_t cost_ns; /* of a frame: its share of the calls' cost, and its wait */
};

/* All zero at the start. */
struct coalesce_search {
	int8_t level;
	int8_t step;   /* where it is going; 0: not begun */
	uint8_t steps; /* since it began */
	uint8_t turns; /* of these, back again */
	uint8_t parked;
	struct coalesce_sample best; /* of the level that it came from, or is parked at */
};

/* The level was as sample says: which one is next. */
void coalesce_search_step(struct coalesce_search *search, const struct coalesce_sample *sample);

#endif
