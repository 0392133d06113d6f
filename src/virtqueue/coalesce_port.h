/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a port's call is due, or may wait for more frames: one decision, pure.
 * Not the call (notify.c) and not the clock: times come in as values.
 *
 * Theory of operation
 *
 * 1. The decision is taken at the end of each burst of frames, and again whenever the owner looks
 *    while a call is held. Nothing promises that more frames come, as requests in flight do for
 *    disks: each hold has a deadline, usecs after the first frame that it covers.
 * 2. Static mode is virtio-net's notification coalescing (VIRTIO 1.3, 5.1.6.5.9): counted from
 *    the first frame after the last call, whichever of packets and usecs comes first, and either
 *    0 is every frame. Bounds that change are looked at with what is held already.
 * 3. Adaptive mode, receive. A call costs the guest about as much as COALESCE_CALL_COST says, a
 *    held frame its wait: n frames to a call cost C/n + n/2p each at p frames a second, which is
 *    least at n = sqrt(2Cp). So long as n frames take to come, n/p, and no longer, a call is
 *    held; n bounds it, twofold, should they come faster. Around that goes a step search
 *    (coalesce_search.h), and above it is COALESCE_TARGET_MAX.
 * 4. The hold must not add to the interval of the batches in which frames come from below (a
 *    tap's, another guest's): it ends one such interval before usecs, and with the batch after
 *    which none is to be expected in time; where batches come slower than calls would, each is
 *    called for.
 * 5. Nothing is held where fewer than two more frames are to be expected meanwhile.
 * 6. Requests and responses: who waits for an answer sends nothing more. A hold in which no frame
 *    comes for some intervals ends early (QUIET), and what it brought is remembered (trust):
 *    barren holds make it stop for a number of bursts that doubles, fruitful ones make up for
 *    them. A guest that sends about as many frames as it receives is not held up at all
 *    (ANSWERS); one that sends next to none receives a stream, and is trusted again without a
 *    trial; a train of frames is worth its hold then, though it ends quiet, unless frames come
 *    slower since calls are held: then somebody waits for them all the same (his answers leave on
 *    another queue).
 * 7. Buffers (Dong et al., HPCA 2010, and facts of our own): what is held plus what comes until
 *    the driver has posted new ones must fit into those that are there, by COALESCE_REDUNDANCY.
 *    What comes is measured, from calls that the driver wanted to the posting that followed, as a
 *    peak that decays; while it is not known, a quarter is used. Static mode has this bound, too.
 *    In adaptive mode what is held must also fit beside the most work that the driver had lately:
 *    near saturation its backlog is larger by what it has not read in time until it is idle
 *    again. The budget is set when a hold begins, by one count of the posted buffers.
 * 8. Transmit completions: as receive without 3, 6's answers and 7; a hold ends when half of the
 *    ring waits in it (a frame may be two entries), and after COALESCE_TX_USECS: the driver needs
 *    its ring.
 */
#ifndef PARIO_VIRTQUEUE_COALESCE_PORT_H
#define PARIO_VIRTQUEUE_COALESCE_PORT_H

#include "virtqueue/coalesce.h"
#include "virtqueue/coalesce_search.h"

/* What a call costs, in ns of a frame's waiting. */
#define COALESCE_CALL_COST_NS 3600000u
/*
 * More frames than that are not waited for: a fixed 32, as others have it, is to be as dear in
 * calls and slower, not the other way round. From there on a batch brings as many by itself.
 */
#define COALESCE_TARGET_MAX 30u
/* Buffers for each that should do: 6/5. */
#define COALESCE_REDUNDANCY_NUM 6
#define COALESCE_REDUNDANCY_DEN 5
#define COALESCE_TX_USECS 100u
#define COALESCE_TX_SHARE 4u

/* Rates are measured over so long, and so many bursts. */
#define COALESCE_PORT_EPOCH_NS 2000000u
#define COALESCE_PORT_EPOCH_BURSTS 32u
#define COALESCE_PORT_EPOCH_LONG_NS 16000000u
/* Levels are compared over so long, and so many bursts. */
#define COALESCE_SAMPLE_NS 10000000u
#define COALESCE_SAMPLE_BURSTS 64u

/* Peaks lose a 128th each time that they are measured. */
#define COALESCE_PEAK_DECAY 128u
/* Adaptive: buffers that are left for what comes at once, two bursts of the switch. */
#define COALESCE_RESERVE_CNT 64u
/* How few buffers there were is known of this long, and up to twice that. */
#define COALESCE_LOW_NS 500000000u

/* A train of so many more frames was worth its hold, also if it ended quiet. */
#define COALESCE_TRAIN_CNT 3u
/* A hold that ends quiet was harmful if frames came so much slower than without: 15/16. */
#define COALESCE_HARM_NUM 15u
#define COALESCE_HARM_DEN 16u

/* So many intervals between bursts without one, and no more comes. */
#define COALESCE_QUIET_GAPS 6u
#define COALESCE_QUIET_NS_MIN 10000u

/* A guest that sends a frame for so many that it receives answers; for so many, it does not. */
#define COALESCE_ANSWERS_SHARE 4u
#define COALESCE_STREAM_SHARE 64u

#define COALESCE_TRUST_MAX 8
#define COALESCE_TRUST_EPOCHS 64u /* without a loss, and the losses before are forgotten */
#define COALESCE_SKIP_MIN 64u
#define COALESCE_SKIP_MAX 8192u
#define COALESCE_REGAIN_MAX 1024u

/* What a port's queue remembers between decisions; owner only. All zero at the start. */
struct coalesce_port_state {
	/* what no call was made for yet */
	uint64_t due_ns;     /* when the owner has to look at a held call; 0: none is held */
	uint64_t first_ns;   /* when the first of them came */
	uint64_t held_cnt;   /* frames */
	uint64_t first_cnt;  /* of these, in the first burst */
	uint64_t early_ns;   /* sum of how much later than the first each came */
	uint64_t budget_cnt; /* entries of the ring that may wait */

	/* the last bursts */
	uint64_t last_ns;
	uint64_t gap_ns; /* typical distance of bursts */

	/* the running epoch, and what the last ones said */
	uint64_t epoch_ns;
	uint64_t epoch_cnt;    /* frames */
	uint64_t epoch_bursts; /* those at one instant are one */
	uint64_t sent_cnt;     /* the guest's frames when it began */
	uint64_t epoch_holds;  /* calls held in it */
	uint64_t rate;         /* frames a second */
	uint64_t free_rate;    /* slow means: while nothing was held, and since */
	uint64_t held_rate;
	uint64_t batch_ns; /* mean distance of bursts */
	bool measured;     /* an epoch has ended */
	bool answers;
	bool stream;

	/* the target in force */
	uint64_t hold_ns;  /* 0: nothing is held */
	uint64_t hold_cnt; /* frames */

	/* experience */
	int8_t trust;
	uint32_t trusted_epochs; /* with holds, since it was lost */
	bool regained;           /* by being a stream, and not tried yet */
	uint32_t skip_left;      /* bursts in which nothing is held */
	uint32_t skip_next;      /* how many the next time */
	uint32_t regain_left;    /* epochs of a stream until it is trusted again */
	uint32_t regain_next;

	/* buffers */
	uint64_t used_total; /* entries of the ring that were used, ever */
	uint64_t used_seen;  /* of those for which no call was made, known */
	uint64_t call_used;  /* used_total at the last call that was wanted */
	uint64_t call_ns;
	uint64_t posted_cnt;  /* that the driver had posted, ever, when it was counted last */
	uint64_t refill_cnt;  /* peak: entries used between a call and new buffers */
	uint64_t refill_ns;   /* peak: time */
	uint64_t free_low[2]; /* least that were posted and not used: in this window, the last */
	uint64_t window_ns;   /* when that began */
	bool call_open;       /* nothing was posted since that call */
	bool refill_known;

	/* the search's sample */
	struct coalesce_search search;
	uint64_t sample_ns;
	uint64_t sample_cnt;
	uint64_t sample_bytes;
	uint64_t sample_bursts;
	uint64_t sample_calls;
	uint64_t sample_wait_ns; /* of all frames */
	uint64_t now_ns;         /* of the last decision */
};

/* What a port's queue decides by. */
struct coalesce_port_input {
	uint64_t now_ns;
	uint64_t new_cnt;   /* frames since the last decision; 0: the owner looks again */
	uint64_t new_bytes; /* of these */
	uint32_t used_cnt;  /* entries of the ring that no call was made for */
	uint32_t size;      /* of the ring, in entries */
	unsigned asks;      /* what coalesce_port_asks() said, and the next are then */
	uint32_t free_cnt;  /* receive: posted and not used */
	uint64_t sent_cnt;  /* receive: frames that the guest has sent, ever */
	bool sent_known;
	bool receive;
};

enum coalesce_port_asks {
	COALESCE_ASKS_FREE = 1, /* free_cnt is read */
	COALESCE_ASKS_SENT = 2, /* sent_cnt is read: an epoch may end, and the target change */
};

/* What the next decision at now_ns with new frames reads that has to be looked for. */
unsigned coalesce_port_asks(const struct coalesce_config *config,
			    const struct coalesce_port_state *state, uint64_t now_ns);

/*
 * Pure but for *state. config->mode is not COALESCE_OFF. After any verdict but COALESCE_HOLD the
 * caller signals what is unsignalled and says coalesce_port_called().
 */
enum coalesce_verdict coalesce_decide_port(const struct coalesce_config *config,
					   struct coalesce_port_state *state,
					   const struct coalesce_port_input *input);

/* Nothing is held any more. wanted: the driver wished to be called. */
void coalesce_port_called(struct coalesce_port_state *state, bool wanted);

/* Other bounds are in force. What is held is to be decided about, now, by these. */
void coalesce_port_configured(const struct coalesce_config *config,
			      struct coalesce_port_state *state, bool receive);

/* What adaptive mode goes by now; else the bounds. */
void coalesce_port_target(const struct coalesce_config *config,
			  const struct coalesce_port_state *state, uint32_t *packets,
			  uint32_t *usecs);

#endif
