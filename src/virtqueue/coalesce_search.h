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

/* Levels are factors of what the square-root law says, in eighths; the second is the law's own. */
#define COALESCE_LEVEL_CNT 5
#define COALESCE_LEVEL_START 1
extern const uint8_t coalesce_level_eighths[COALESCE_LEVEL_CNT];

/* What a level was like for a while. */
struct coalesce_sample {
	uint64_t rate;    /* frames a second */
	uint64_t bytes;   /* a second */
	uint64_t cost_ns; /* of a frame: its share of the calls' cost, and its wait */
};

/* All zero but level = COALESCE_LEVEL_START, at the start. */
struct coalesce_search {
	uint8_t level;
	int8_t step;   /* where it is going; 0: not begun */
	uint8_t steps; /* since it began */
	uint8_t turns; /* of these, back again */
	uint8_t parked;
	struct coalesce_sample best; /* of the level that it came from, or is parked at */
};

/* The level was as sample says: which one is next. */
void coalesce_search_step(struct coalesce_search *search, const struct coalesce_sample *sample);

#endif
