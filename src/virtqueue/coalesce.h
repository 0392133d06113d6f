/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a call is due, or may wait for more completions: one decision, pure.
 * Not the call (notify.c) and not the clock: times come in as values.
 *
 * Theory of operation
 *
 * 1. The decision is taken once for each end of a burst, and again whenever the owner looks while a
 *    call is held. It reads nothing but its arguments, and never the ring: what the driver wishes
 *    (its event index, its flags) is asked only when a call is due, about all that was held.
 * 2. A call is never held with nothing in flight, in any mode: no other completion would come and
 *    bring it along. So a request that is alone (depth 1) never waits, and a queue's last
 *    completion is called for at once. This takes the place of a timer while the storage works.
 * 3. A storage that stalls breaks the promise of more completions. So a held call has a deadline,
 *    usecs after the first completion that it covers; the owner comes back by then.
 * 4. Adaptive, for disks: vIC (Ahmad, Gulati, Mashtizadeh, USENIX ATC 2011). Below 4 requests in
 *    flight, or below 2000 completions per second, all are delivered. Above, the share of
 *    completions that bring a call falls with the requests in flight: 4/5, 3/4, 2/3, and from 16 on
 *    8 divided by them. packets and usecs bound it as in static mode.
 * 5. A call covers the whole burst that it ends, so a burst is called for when one of its
 *    completions would have been.
 *
 * Ports have other inputs (buffers that the driver posted, the rate of packets); their policy is
 * coalesce_port.h, over the same bounds.
 */
#ifndef PARIO_VIRTQUEUE_COALESCE_H
#define PARIO_VIRTQUEUE_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

enum coalesce_mode {
	COALESCE_OFF,      /* call at the end of each burst */
	COALESCE_STATIC,   /* hold until packets are there or usecs have passed */
	COALESCE_ADAPTIVE, /* hold by rate and requests in flight, within the same bounds */
	COALESCE_MODE_MAX_,
};

/* "off", "static", "adaptive"; NULL beyond. */
const char *coalesce_mode_name(enum coalesce_mode mode);

/* As virtio-net says it: VIRTIO 1.3, 5.1.6.5.9. */
struct coalesce_config {
	enum coalesce_mode mode;
	uint32_t packets; /* completions at most to one call; 0 counts as 1 */
	uint32_t usecs;   /* the first of them waits at most so long; 0: none waits */
	bool by_guest;    /* NOTF_COAL: mode is static, and it is the driver that said so */
};

/* Whoever says so, operator or driver: more is refused. */
#define COALESCE_PACKETS_MAX 1024
#define COALESCE_USECS_MAX 10000

/* Calls by how long the first that they cover had waited: bucket i holds waits below 2^i us. */
#define COALESCE_HELD_BUCKETS 16

/* What adaptive mode goes by. */
#define COALESCE_IN_FLIGHT_MIN 4
#define COALESCE_RATE_MIN 2000 /* completions per second */
#define COALESCE_EPOCH_NS 200000000u

/* Why a call is due. Each has a counter of its own (struct virtqueue_stats). */
enum coalesce_verdict {
	COALESCE_HOLD,          /* it is not */
	COALESCE_DUE_IN_FLIGHT, /* too little in flight for another completion to bring it along */
	COALESCE_DUE_RATE,      /* adaptive: completions are rare */
	COALESCE_DUE_RATIO,     /* adaptive: it is this burst's turn */
	COALESCE_DUE_PACKETS,
	COALESCE_DUE_DEADLINE,
	/* ports */
	COALESCE_DUE_BUFFERS, /* the driver's buffers, or its ring, could run out */
	COALESCE_DUE_QUIET,   /* what was waited for has not come: no more to come */
	COALESCE_DUE_ANSWERS, /* the guest answers what it receives: somebody waits for that */
	COALESCE_DUE_BARREN,  /* calls that were held brought nothing lately */
	COALESCE_VERDICT_MAX_,
};

/* "hold", "in-flight", ...: what decided; NULL beyond. */
const char *coalesce_verdict_name(enum coalesce_verdict verdict);

/* What a queue remembers between decisions; owner only. All zero at the start. */
struct coalesce_state {
	uint64_t due_ns;   /* when the held call is due; 0: none is held */
	uint64_t held_cnt; /* completions since the last call */

	/* adaptive */
	uint64_t epoch_ns;  /* when it began */
	uint64_t epoch_cnt; /* completions in it */
	bool fast;          /* the last epoch reached COALESCE_RATE_MIN */
	uint32_t turn;      /* completions of this round of the ratio, as the paper's counter */
};

/* What a disk's queue decides by. */
struct coalesce_disk_input {
	uint64_t now_ns;
	uint64_t new_cnt;   /* completions since the last decision; 0: the owner looks again */
	uint32_t in_flight; /* requests that are still to be completed */
};

/*
 * Pure but for *state. config->mode is not COALESCE_OFF. After any verdict but COALESCE_HOLD the
 * caller signals what is unsignalled and says coalesce_called().
 */
enum coalesce_verdict coalesce_decide_disk(const struct coalesce_config *config,
					   struct coalesce_state *state,
					   const struct coalesce_disk_input *input);

/* A queue's coalescing at this moment; any thread (virtqueue_coalesce_view()). */
struct coalesce_view {
	struct coalesce_config config; /* in force */
	uint32_t packets, usecs;       /* now: what adaptive mode chose, else those of config */
	enum coalesce_verdict why;     /* what decided last */
	uint64_t held[COALESCE_HELD_BUCKETS];
};

/* Nothing is held any more. */
static inline void coalesce_called(struct coalesce_state *state)
{
	state->due_ns = 0;
	state->held_cnt = 0;
}

/* The share of completions that bring a call: up of skip. Pure. */
struct coalesce_ratio {
	uint32_t up;
	uint32_t skip;
};

/* in_flight >= COALESCE_IN_FLIGHT_MIN. */
struct coalesce_ratio coalesce_ratio(uint32_t in_flight);

/*
 * Takes the paper's counter through cnt completions (at least 1): true when one of them is to be
 * delivered. *turn is in 1..skip afterwards; any value is allowed before.
 */
bool coalesce_turn(struct coalesce_ratio ratio, uint32_t *turn, uint64_t cnt);

#endif
