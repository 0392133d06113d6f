/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software segmentation: the frames that a large TCP or UDP frame stands for (TSO, USO), or the IP
 * fragments of a large datagram (UFO).
 * Not the decision that it is needed, and not where the payload is: that is cut, never copied here.
 *
 * Pure. The header is our own judged copy; the payload is named by offset and length.
 */
#ifndef PARIO_FLOW_SEGMENT_H
#define PARIO_FLOW_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "flow/dissect.h"

enum segment_kind {
	SEGMENT_TCP4,
	SEGMENT_TCP6,
	SEGMENT_UDP4, /* USO: many datagrams */
	SEGMENT_UDP6,
	SEGMENT_UFO4, /* one datagram in fragments */
	SEGMENT_UFO6,
	SEGMENT_KIND_MAX_,
};

/* A header grows by so much at most (IPv6 fragment header). */
#define SEGMENT_HEADER_BYTES_MAX (DISSECT_BYTES_MAX + 8)

/*
 * What a UFO fragment holds: the datagram that is cut is what follows the IP header, for IPv6 what
 * follows the routing and hop-by-hop headers. Each fragment but the last carries segment_bytes of
 * that, so the first one carries the UDP header and that much less payload; offsets into the
 * payload still count from behind the UDP header. A datagram that fits in one fragment stays as it
 * is. Fragments have no DF; what a first header's options do not copy is a no-operation in the
 * others.
 */
struct segmenter {
	const uint8_t *head; /* borrowed; from the destination MAC to the end of the L4 header */
	struct dissection d;
	enum segment_kind kind;
	uint32_t payload_bytes; /* behind the L4 header */
	uint32_t segment_bytes; /* payload of each, at most; UFO: see above */
	uint32_t done_bytes;
	uint32_t idx;
	/*
	 * UFO6: identification of all fragments; UFO4: the same, its low half, if DF was set (the
	 * header's own means nothing then). segment_begin() makes one up of the header; a caller
	 * with a counter sets it before the first segment.
	 */
	uint32_t id;
	uint16_t split_offset; /* UFO: of the first byte in head that is cut, not repeated */
};

/* One frame of them. */
struct segment {
	uint8_t head[SEGMENT_HEADER_BYTES_MAX];
	uint16_t head_bytes;
	/* The L4 checksum in head: */
	uint16_t csum_start;  /* offset of the L4 header in head; 0: nothing is to be completed */
	uint16_t csum_offset; /* of the field, from csum_start; it holds the pseudo header's sum */
	uint32_t payload_offset; /* into the large frame's payload */
	uint32_t payload_bytes;
	bool last;
};

/*
 * head holds all up to the end of the L4 header (d->payload_offset bytes, of which d is the
 * dissection), payload_bytes is what follows it, and is believed before the lengths in the headers.
 * For UFO the L4 checksum in head must be complete already, as fragments cannot carry a partial
 * one; segment_bytes is rounded down to a multiple of 8 there. -EINVAL when kind and d do not fit,
 * when segment_bytes is 0 (UFO: has no room for a byte of payload in the first fragment), and when
 * a segment, or the datagram of UFO, would be longer than IP can say.
 */
int segment_begin(struct segmenter *s, enum segment_kind kind, const uint8_t *head,
		  const struct dissection *d, uint32_t payload_bytes, uint32_t segment_bytes);
/* All of them, from the first; at least one. */
unsigned segment_cnt(const struct segmenter *s);
/*
 * The next one: IP lengths, identification, IPv4 header checksum, sequence number, FIN and PSH (on
 * the last only), CWR (on the first only), UDP length set (not for UFO, whose checksum covers it).
 * False: that was the last.
 */
bool segment_next(struct segmenter *s, struct segment *out);

#endif
