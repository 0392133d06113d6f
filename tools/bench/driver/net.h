/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net frames over a ring of the driver side: buffers, posting, sending, merged buffers.
 * It is neither a generator of frames nor a judge of what is in them.
 *
 * Theory of operation
 *
 * A queue has slots, numbered from 0; a slot is one buffer in shared memory, which begins with the
 * vnet header on a cache line of its own, and its number is the ring's token. Free slots are a
 * FIFO, so that a device which uses buffers in order meets them in the same order each lap.
 *
 * 1. Lean: a slot is one descriptor (of the ring, or of an indirect table that never changes) and
 *    the device is not told IN_ORDER. In a split ring descriptor n is slot n for ever, and what
 *    already stands in the avail ring is not written again, which spares both sides a cache miss.
 *    The ring's own book-keeping is kept true, so that ring_publish(), ring_arm() and ring_base()
 *    work on it; ring_add() and ring_get_used() must not be mixed in.
 * 2. Everything else goes through ring_add() and ring_get_used().
 * 3. The device publishes all buffers of a frame at once (VIRTIO 1.2, 5.1.6.4): a frame that says
 * it has more buffers than have been used is an error of the device.
 *
 * A queue belongs to one thread.
 */
#ifndef PARIO_BENCH_DRIVER_NET_H
#define PARIO_BENCH_DRIVER_NET_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/front.h"

#define NET_HEADER_BYTES 12u /* with VERSION_1 it always has num_buffers */
#define NET_REAP_MAX 128u    /* used buffers taken from the ring at once */
#define NET_FRAME_BUFFERS_MAX NET_REAP_MAX

/* Of SET_VRING: the receive ring of a pair is 2n, the transmit ring 2n + 1. */
#define NET_RX_IDX(pair) ((uint16_t)(2 * (pair)))
#define NET_TX_IDX(pair) ((uint16_t)(2 * (pair) + 1))

/* The config space, with fields that no offered feature covers set to what VIRTIO implies. */
struct net_config {
	uint8_t mac[6];    /* zero without MAC */
	bool link_up;      /* true without STATUS */
	uint16_t pair_max; /* 1 without MQ */
	uint16_t mtu;      /* 0 without MTU */
};

/* GET_CONFIG and decoding by the features offered (or, once set, those in force). */
int net_config_get(struct front *f, struct net_config *config);

struct net_queue_opts {
	uint16_t slot_cnt;
	uint32_t buffer_bytes;  /* of each slot, vnet header included */
	uint32_t segment_bytes; /* longest descriptor; 0: as long as the buffer */
	bool indirect;          /* INDIRECT_DESC must be negotiated */
	bool receive;           /* device-writable */
	bool mergeable;         /* MRG_RXBUF was negotiated */
};

struct net_slot {
	uint8_t *data; /* shared memory: vnet header, frame */
	uint64_t gpa;
	uint64_t table_gpa; /* indirect */
	void *table;
	struct ring_seg *seg;
	uint32_t bytes; /* that the descriptors describe now, header included */
	uint16_t seg_cnt;
};

struct net_queue {
	struct front_queue *fq;
	struct ring *ring;
	struct net_slot *slot;
	struct ring_seg *seg_pool;
	struct net_queue_opts opts;
	bool lean;

	uint16_t *free; /* FIFO of free slots, slot_cnt long */
	uint32_t free_head, free_cnt;

	/* Receive: taken from the ring, not yet given out. */
	struct ring_used used[NET_REAP_MAX];
	uint32_t used_head, used_cnt;
};

/* A frame that was received. Its buffers are slots that the caller owns until net_free_put(). */
struct net_frame {
	const uint8_t *data; /* of the first buffer: vnet header, then the frame's beginning */
	uint32_t bytes;      /* in all buffers, vnet header not counted */
	uint16_t buffer_cnt;
	const struct ring_used *buffer; /* until the next net_receive() */
};

/* Shared memory for the slots of one queue, without its ring. */
uint64_t net_queue_shm_bytes(const struct net_queue_opts *opts);
int net_queue_new(struct net_queue **out, struct front_queue *fq, struct shm *shm,
		  const struct net_queue_opts *opts);
/* Leaves the front_queue alone. */
void net_queue_free(struct net_queue *q);
/*
 * ring_reset(), which alone would leave a ring without its descriptors, and all slots free again.
 * front_queue->base is for the caller to set.
 */
void net_queue_reset(struct net_queue *q, uint32_t base);

/*
 * Describes the first bytes of the slot's buffer from now on (vnet header included). The slot must
 * not be in the ring.
 */
void net_slot_shape(struct net_queue *q, uint16_t slot, uint32_t bytes);

static inline uint16_t net_free_take(struct net_queue *q)
{
	uint16_t slot = q->free[q->free_head];

	q->free_head = q->free_head + 1 == q->opts.slot_cnt ? 0 : q->free_head + 1;
	q->free_cnt--;
	return slot;
}

static inline void net_free_put(struct net_queue *q, uint16_t slot)
{
	uint32_t at = q->free_head + q->free_cnt;

	q->free[at >= q->opts.slot_cnt ? at - q->opts.slot_cnt : at] = slot;
	q->free_cnt++;
}

/* Adds a slot to the ring, to be sent or to be filled; nothing is published. 0 or ring_add()'s. */
int net_add(struct net_queue *q, uint16_t slot);

/* Adds up to max free slots and publishes them with one doorbell; how many, or -errno. */
int net_post(struct net_queue *q, uint32_t max);

/* Publishes what was added; kicks if the device wants that. */
static inline void net_publish(struct net_queue *q)
{
	if (ring_publish(q->ring))
		front_queue_kick(q->fq);
}

/* Takes buffers that were sent back into the FIFO; how many, or -EPROTO with ring->error. */
int net_reclaim(struct net_queue *q);

/*
 * Whole frames that were received, at most max; -EPROTO with ring->error for what no device may do:
 * a length beyond the buffers or below the header, more buffers than were used.
 */
int net_receive(struct net_queue *q, struct net_frame *frame, unsigned int max);

/*
 * Buffers that the device has used and net_receive() has not given out: 0 to the ring's size, and
 * at least `known`, which the caller knows to be there. Takes nothing, judges nothing. Not for a
 * packed ring with in_order, which does not say how many were used without taking them.
 */
uint32_t net_used_ahead(const struct net_queue *q, uint32_t known);

/* Gives the frame's buffers back to the FIFO. */
static inline void net_frame_done(struct net_queue *q, const struct net_frame *f)
{
	for (uint16_t i = 0; i < f->buffer_cnt; i++)
		net_free_put(q, f->buffer[i].token);
}

/* Copies bytes of the frame, from offset (0: behind the vnet header), out of its buffers. */
void net_frame_copy(const struct net_queue *q, const struct net_frame *f, uint32_t offset, void *to,
		    uint32_t bytes);

#endif
