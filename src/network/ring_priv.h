/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes through the rings between two workers.
 * Not the rings (fabric_priv.h).
 */
#ifndef PARIO_NETWORK_RING_PRIV_H
#define PARIO_NETWORK_RING_PRIV_H

#include <stdint.h>

enum ring_kind {
	RING_FRAME,         /* inbox: a frame for a queue */
	RING_LEARN,         /* inbox: an address of the port */
	RING_FLOW,          /* inbox: a flow of the port, and the queue that it sends it from */
	RING_FENCE,         /* inbox: are the frames before it in the guest's ring? */
	RING_FENCE_QUEUE,   /* inbox: have those come back whose queue is not there any more? */
	RING_RETURN,        /* return ring: a frame that nobody here needs any more */
	RING_BOUNCE,        /* return ring: a frame whose queue is not here any more */
	RING_FENCED,        /* return ring: to a fence: yes */
	RING_FENCE_BLOCKED, /* return ring: to a fence: no, frames wait for buffers */
	RING_FENCE_AGAIN,   /* return ring: to a fence: its queue is elsewhere, ask there */
};

struct ring_entry {
	uint64_t what; /* struct frame *, the fdb's key of an address, a flow, a fence's number */
	uint32_t port_id;
	uint16_t queue_idx;
	uint16_t kind; /* enum ring_kind */
};

#endif
