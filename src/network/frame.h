/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame on its way from a sender to its receivers, and who owns it.
 * Not how it is switched (netswitch.h), nor what a guest's rings make of it (device/net).
 *
 * Theory of operation
 *
 * 1. A frame lives in memory of its sender (a transmit slot, a block of a tap's pool), is filled in
 *    once, before it is sent, and is read-only from then on until its last reference is gone. Its
 *    first bytes, the headers, are our own copy, judged there and delivered from there; the rest is
 *    where the sender has it (guest memory, for a guest's frame) and is copied once, by the
 *    receiver's worker.
 * 2. refs is a plain counter of the sender's worker. netport_send() takes a reference for each
 *    receiver that has to do with the frame later; the sender holds one of its own around the call.
 *    At 0 the frame's memory is the sender's again (frame_source.returned).
 * 3. A receiver on another worker never touches refs, nor looks at the source: it gives the
 *    reference back through a ring (fabric.h), and the sender's worker counts.
 */
#ifndef PARIO_NETWORK_FRAME_H
#define PARIO_NETWORK_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "flow/dissect.h"

/* Headers that are copied, at most: L2 to L4. */
#define FRAME_HEAD_BYTES DISSECT_BYTES_MAX
/* From the destination MAC address on, tags included. virtio-net and tap have no larger ones. */
#define FRAME_BYTES_MAX (65535 + ETHER_HEADER_BYTES + 2 * ETHER_TAG_BYTES)
/* Least segment of a large frame: a bound on the frames that one can be made into. */
#define FRAME_GSO_BYTES_MIN 32

enum frame_gso {
	FRAME_GSO_NONE,
	FRAME_GSO_TCP4,
	FRAME_GSO_TCP6,
	FRAME_GSO_UDP,    /* UFO: IP fragments of one datagram */
	FRAME_GSO_UDP_L4, /* USO: many datagrams */
	FRAME_GSO_MAX_,
};

struct exchange;
struct frame;

/* Whoever sends frames, on one worker. */
struct frame_source {
	struct exchange *exchange; /* of the worker that they go back to */
	/* There: the last references of these are gone. Not called for what netport_send() was
	 * given and nobody kept: its caller looks at refs. */
	void (*returned)(struct frame_source *source, struct frame *const *frames, unsigned cnt);
};

struct frame {
	struct frame_source *source; /* read on the sender's worker alone, which may change it */
	const struct iovec *iov;     /* what follows head; hva, of guest memory if a guest sends */
	struct exchange *exchange;   /* of the sender's worker; set by netport_send() */
	uint32_t refs;               /* the sender's worker alone */
	uint32_t bytes;              /* all of it: head and what iov holds */
	uint16_t iov_cnt;
	uint16_t head_bytes; /* at least ETHER_HEADER_BYTES, with its tag if it has one */

	/* Judged by the sender's side against the frame itself. */
	uint8_t gso;         /* enum frame_gso; not NONE: csum_partial is set and d is filled in */
	bool gso_ecn;        /* a large TCP frame with CWR set */
	bool csum_partial;   /* the L4 checksum is the pseudo header's sum: to be completed */
	bool csum_valid;     /* it was checked below us (a tap said so) */
	bool dissected;      /* d is filled in */
	uint16_t gso_bytes;  /* payload of each segment */
	uint16_t csum_start; /* csum_start + csum_offset + 2 <= head_bytes */
	uint16_t csum_offset;

	/* Set by netport_send(). */
	uint16_t vlan; /* the VLAN that it belongs to; 0: untagged */
	bool tagged;   /* head has an 802.1Q tag, at 12 */
	bool hashed;
	uint32_t hash; /* of the flow; only if `hashed` */

	struct dissection d;
	uint8_t head[FRAME_HEAD_BYTES];
};

/* d, filled in at most once. The sender's side, before anybody else has the frame. */
static inline const struct dissection *frame_dissect(struct frame *frame)
{
	if (!frame->dissected) {
		dissect(frame->head, frame->head_bytes, &frame->d);
		frame->dissected = true;
	}
	return &frame->d;
}

#endif
