/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A receive queue's own state, shared by rx.c (buffers) and rx_wait.c (frames without buffers).
 * Not for the rest of device/net.
 */
#ifndef PARIO_DEVICE_NET_RX_PRIV_H
#define PARIO_DEVICE_NET_RX_PRIV_H

#include "device/net/net_priv.h"

/* Buffers that were fetched and not filled yet: those of one frame, and a burst. */
#define RX_STASH_MAX (NET_RX_BUFFERS_MAX + VIRTQUEUE_BURST)

/*
 * Frames that wait: all of them, and of those the ones that are still in their senders' memory. On
 * one worker they may be all of a sender's ring: until buffers come, or their time is over, the
 * sender waits, and nothing is copied or lost. A receiver that has let frames wait for longer
 * already holds nobody up like that, and other workers' frames are few everywhere.
 */
#define RX_WAIT_MAX 1024u
#define RX_HELD_MAX 256u
#define RX_HELD_FEW 64u
/* So long a frame stays in its sender's memory at most; then it is copied, or dropped. */
#define RX_HOLD_NS 200000u
/* A frame that waited longer is not worth delivering any more. */
#define RX_STALE_NS 500000000ull
/* Copies of frames that wait, of one queue. Untouched pages take no memory. */
#define RX_POOL_BYTES (1u << 20)

/* A copy of a frame in the pool; what follows head comes behind it. */
struct rx_pooled {
	struct frame frame;
	struct iovec iov;
	uint32_t room_bytes; /* of the pool, with what was skipped at its end */
	uint8_t payload[];
};

struct rx_waiting {
	struct frame *frame;
	uint64_t since_ns;
	bool pooled;
	bool kept; /* of another worker: exchange_put_kept() */
};

struct net_rx {
	/* Buffers, oldest first. */
	struct vq_slot *stash[RX_STASH_MAX];
	unsigned stash_cnt;
	bool bad_next; /* behind the stash the ring has a chain that is no buffer */

	/* Filled and not published yet; whole frames. */
	struct vq_slot *done[RX_STASH_MAX];
	unsigned done_cnt;
	unsigned given_back; /* since the last flush */

	/* The frame at the front, when it takes more than one step or more than one output. */
	struct net_egress egress;
	bool egressing;
	bool output_ready; /* net_egress_next() was done, and its output has no buffers yet */

	/* Frames that wait, oldest first: copies, then those that are held. */
	unsigned wait_first, wait_cnt, held_cnt;
	struct rx_waiting waiting[RX_WAIT_MAX];

	/* Copies lie in the pool in the order in which they wait. */
	struct frame_source source;
	uint8_t *pool;
	uint32_t pool_at, pool_used;
	/* Copies that no longer wait, to be told (fabric_copies_add()) when what left is published.
	 */
	unsigned copies_left;
};

enum rx_put { RX_PUT_DONE, RX_PUT_NO_BUFFER };

/* rx.c: the frame, all of it, into buffers, or dropped; or as far as there are buffers. */
enum rx_put rx_put_frame(struct net_queue *queue, const struct frame *frame);
/* As many of the frames as are plain and fit, one buffer each. Returns how many. */
unsigned rx_put_plain(struct net_queue *queue, struct frame *const *frames, unsigned cnt);
/* What was filled is the driver's. */
void rx_publish(struct net_queue *queue);

/* rx_wait.c */
int rx_wait_init(struct net_rx *rx, struct err *err);
void rx_wait_fini(struct net_rx *rx);
/* The queue has come to this worker, with copies alone. */
void rx_wait_arrive(struct net_rx *rx, struct exchange *exchange);
/* Behind those that wait already; takes the frame's reference. */
void rx_wait_push(struct net_queue *queue, struct frame *frame, uint64_t now_ns);
/* Delivers from the front as long as there are buffers. Returns how many frames left. */
unsigned rx_wait_drain(struct net_queue *queue, uint64_t now_ns);
/* Copies, or drops, those that were held too long; all: whatever their time. */
void rx_wait_let_go(struct net_queue *queue, uint64_t now_ns, bool all);
/* When there is something to be done about those that wait; 0: not before buffers come. */
uint64_t rx_wait_deadline_ns(const struct net_rx *rx);
/* The queue has other rules: nothing goes on by the old ones, which may be freed. */
void rx_wait_rules_changed(struct net_queue *queue);
/* What left is where the guest sees it: copies that are gone are no longer counted. */
void rx_wait_settle(struct net_queue *queue);
/* Drops everything. */
void rx_wait_clear(struct net_queue *queue);

#endif
