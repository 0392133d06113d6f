/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's receive queue and its guest on a clock that is nobody's: frames come as said, the guest
 * wakes, works and posts buffers as said, and the coalescer decides. Not a test.
 */
#ifndef PARIO_TESTS_VIRTQUEUE_PORT_SIM_H
#define PARIO_TESTS_VIRTQUEUE_PORT_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "virtqueue/coalesce_port.h"

#define SIM_US 1000ull
#define SIM_MS 1000000ull
#define SIM_S 1000000000ull
#define SIM_START_NS (1000 * SIM_S)

enum sim_arrivals {
	SIM_STEADY,
	SIM_POISSON,
	SIM_BURSTY,  /* trains of 1 to 40 frames, 1 us apart */
	SIM_BATCHES, /* of `batch` frames at one instant */
	SIM_ARRIVALS_CNT_,
};

struct sim_options {
	enum sim_arrivals arrivals;
	uint32_t rate; /* frames a second; with pairs: 0 */
	uint32_t batch;
	/* From then on: another rate. */
	uint64_t jump_ns; /* after the start; 0: never */
	uint32_t jump_rate;
	/* Request and response: so many are under way, each comes back so long after its answer. */
	unsigned pairs;
	uint64_t turn_ns;
	uint64_t pairs_until_ns; /* after the start; then the stream at rate comes. 0: they never
				    end */
	bool unseen;             /* the answers leave elsewhere: nobody counts them */

	uint32_t size;
	bool at_once;     /* each buffer is posted when it is read; else by halves, as Linux does */
	bool rearms;      /* wants each call, awake or not */
	uint64_t wake_ns; /* from a call to the first look */
	uint64_t wake_more_ns; /* and up to so much more, at random */
	uint64_t service_ns;   /* of a frame */
	uint64_t look_ns;      /* of the owner of the queue, at a held call */
	uint64_t run_ns;
	uint64_t from_ns; /* counted from then on after the start */
	uint32_t seed;
	struct coalesce_config config;
};

struct sim_result {
	uint64_t frames; /* that came */
	uint64_t drops;
	uint64_t calls; /* made: the driver wanted them */
	uint64_t decided;
	uint64_t answers;         /* of pairs */
	uint64_t over_ns;         /* held longer than usecs, at most */
	uint64_t mean_ns, p99_ns; /* from coming to being read */
	uint64_t verdicts[COALESCE_VERDICT_MAX_];
	uint64_t held_first_ns; /* after the start: first hold since jump_ns, pairs_until_ns */
	struct coalesce_port_state state;
};

void sim_run(const struct sim_options *options, struct sim_result *result);

static inline double sim_calls_per_frame(const struct sim_result *result)
{
	return (double)result->calls / (double)(result->frames - result->drops);
}

#endif
