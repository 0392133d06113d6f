/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verify mode of `pario-bench net`: is a received frame one that was sent, whole, once, in order?
 * It sends nothing and knows no rings but through net_frame_copy().
 *
 * One thread uses a struct netload_verify.
 */
#ifndef PARIO_BENCH_NETLOAD_VERIFY_H
#define PARIO_BENCH_NETLOAD_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "netload/frame.h"

/* Missing pieces that are remembered of a flow; with more, the oldest are given up. */
#define NETLOAD_GAPS_MAX 32

/* Where a frame was found, for its flow's order across queues (looks.h). */
struct netload_place {
	unsigned int queue; /* below 64 */
	uint64_t look;      /* which saw it first */
};

/* Counts that were not there when a later one was met, and what is known of the later ones. */
struct netload_gap {
	uint32_t first, last;
	uint64_t look;   /* least of those of later frames */
	uint64_t queues; /* bits: where later frames were met */
};

/* What has come of a flow. */
struct netload_flow {
	uint64_t next; /* count that is expected: frames, or bytes of TCP */
	uint32_t gap_cnt;
	struct netload_gap gap[NETLOAD_GAPS_MAX]; /* in the order of counts */
};

struct netload_verify {
	struct netload_flow *flow[2]; /* by sending side */
	uint32_t flow_cnt;
	bool guest_csum, guest_tso4; /* negotiated by the receiving port; set before each frame */
	uint8_t *frame;              /* one frame, put together */

	uint64_t frame_cnt;     /* judged and good in themselves */
	uint64_t byte_cnt;      /* of contents compared */
	uint64_t gap_cnt;       /* UDP: frames that were missing when a later one came */
	uint64_t duplicate_cnt; /* the same frame again */
	uint64_t late_cnt;      /* out of order (TCP: or again) */
	uint64_t crossed_cnt;   /* met late on another queue, but perhaps used in time: no fault */
	char error[160];        /* of the first frame that was wrong in itself */
	char late[160];         /* where the first was that is out of order; "": none */
};

/* 0 or -ENOMEM. */
int netload_verify_init(struct netload_verify *v, uint32_t flow_cnt);
void netload_verify_fini(struct netload_verify *v);

/*
 * Notes a count of a flow; bytes is 0 for UDP. A frame behind a later one of its flow is out of
 * order when a later one was met on the same queue, or when it was first seen two looks or more
 * after one. Else the order was the reader's, and gap_cnt is as if it had come in time.
 */
void netload_verify_count(struct netload_verify *v, const struct frame_seen *seen, uint32_t bytes,
			  const struct netload_place *at);

/* A frame in one piece, behind its vnet header. False: v->error says what is wrong with it. */
bool netload_verify_bytes(struct netload_verify *v, const struct virtio_net_hdr_mrg_rxbuf *header,
			  const uint8_t *frame, uint32_t bytes, const struct frame_seen *seen,
			  const struct netload_place *at);

/* Puts a received frame together, and judges it. */
bool netload_verify_frame(struct netload_verify *v, const struct net_queue *q,
			  const struct net_frame *f, const struct frame_seen *seen,
			  const struct netload_place *at);

#endif
