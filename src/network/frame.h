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
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "flow/dissect.h"
#include "flow/segment.h"

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

/* A virtio-net header (VIRTIO 1.3, 5.1.6), as guests and taps have it. */
#define FRAME_PLAIN_BYTES 12

struct frame {
	struct frame_source *source; /* read on the sender's worker alone, which may change it */
	const struct iovec *iov;     /* what follows head; hva, of guest memory if a guest sends */
	struct exchange *exchange;   /* of the sender's worker; set by netport_send() */
	uint32_t refs;               /* the sender's worker alone */
	uint32_t bytes;              /* all of it: head and what iov holds */
	uint16_t iov_cnt;
	uint16_t head_bytes; /* at least ETHER_HEADER_BYTES, with its tag if it has one */
	uint32_t hash;       /* netport_send(): of the flow; only if `hashed` */
	/*
	 * The receiver's hash (Toeplitz), computed by the steering of that generation; 0: none was.
	 * Set by the sender's side where the frame has one receiver.
	 */
	uint64_t rss_generation;
	uint32_t rss_hash;
	uint16_t rss_report;

	/* Judged by the sender's side against the frame itself. */
	uint8_t gso;         /* enum frame_gso; not NONE: csum_partial is set and d is filled in */
	bool gso_ecn;        /* a large TCP frame with CWR set */
	bool csum_partial;   /* the L4 checksum is the pseudo header's sum: to be completed */
	bool csum_valid;     /* it was checked below us (a tap said so) */
	bool dissected;      /* d is filled in */
	bool hashed;         /* netport_send() */
	bool tagged;         /* netport_send(): head has an 802.1Q tag, at 12 */
	bool plain;          /* neither gso nor csum_partial nor csum_valid */
	uint16_t gso_bytes;  /* payload of each segment */
	uint16_t csum_start; /* csum_start + csum_offset + 2 <= head_bytes */
	uint16_t csum_offset;
	uint16_t vlan; /* netport_send(): the VLAN that it belongs to; 0: untagged */

	struct dissection d;
	/*
	 * The virtio-net header of a frame that is plain, for one buffer: zeroes, and num_buffers =
	 * 1. It stands right before head so that a receiver may copy both at once.
	 */
	uint8_t plain_header[FRAME_PLAIN_BYTES];
	uint8_t head[FRAME_HEAD_BYTES];
};
_Static_assert(offsetof(struct frame, head) ==
		       offsetof(struct frame, plain_header) + FRAME_PLAIN_BYTES,
	       "no gap: both are copied at once");

/* A frame of the sender's, about to be filled in: no offloads, not looked at, one reference. */
static ALWAYS_INLINE void frame_init(struct frame *frame, struct frame_source *source)
{
	frame->source = source;
	frame->refs = 1;
	frame->gso = FRAME_GSO_NONE;
	frame->gso_ecn = false;
	frame->csum_partial = false;
	frame->csum_valid = false;
	frame->dissected = false;
	frame->plain = true;
}

/* plain_header and head in one: FRAME_PLAIN_BYTES + FRAME_HEAD_BYTES. */
static ALWAYS_INLINE uint8_t *frame_wire(struct frame *frame)
{
	return (uint8_t *)frame + offsetof(struct frame, plain_header);
}

static ALWAYS_INLINE const uint8_t *frame_wire_const(const struct frame *frame)
{
	return (const uint8_t *)frame + offsetof(struct frame, plain_header);
}

/* Also when head was filled in anew behind it, as from a guest's buffer. */
static ALWAYS_INLINE void frame_set_plain_header(struct frame *frame)
{
	static const uint8_t plain[FRAME_PLAIN_BYTES] = {[10] = 1};

	memcpy(frame->plain_header, plain, sizeof(plain));
}

/* d, filled in at most once. The sender's side, before anybody else has the frame. */
static inline const struct dissection *frame_dissect(struct frame *frame)
{
	if (!frame->dissected) {
		dissect(frame->head, frame->head_bytes, &frame->d);
		frame->dissected = true;
	}
	return &frame->d;
}

/* How a large frame is cut. */
static inline enum segment_kind frame_segment_kind(const struct frame *frame,
						   const struct dissection *d)
{
	const bool v4 = d->l3 == DISSECT_L3_IPV4;

	switch (frame->gso) {
	case FRAME_GSO_TCP4:
		return SEGMENT_TCP4;
	case FRAME_GSO_TCP6:
		return SEGMENT_TCP6;
	case FRAME_GSO_UDP:
		return v4 ? SEGMENT_UFO4 : SEGMENT_UFO6;
	default:
		return v4 ? SEGMENT_UDP4 : SEGMENT_UDP6;
	}
}

/*
 * Can it be cut, for receivers that do not take it as it is? Whoever makes a large frame asks: from
 * then on it is a promise. gso, gso_bytes, bytes and d are set.
 */
static inline bool frame_can_be_cut(const struct frame *frame)
{
	struct segmenter trial;

	return segment_begin(&trial, frame_segment_kind(frame, &frame->d), frame->head, &frame->d,
			     frame->bytes - frame->d.payload_offset, frame->gso_bytes) == 0;
}

#endif
