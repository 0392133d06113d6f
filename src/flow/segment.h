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

struct segmenter {
	const uint8_t *head; /* borrowed; from the destination MAC to the end of the L4 header */
	struct dissection d;
	enum segment_kind kind;
	uint32_t payload_bytes; /* behind the L4 header (UFO: counts from the L4 header's end too) */
	uint32_t segment_bytes; /* payload of each, at most */
	uint32_t done_bytes;
	uint32_t idx;
	uint32_t id; /* UFO6: identification of all fragments */
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
 * head_bytes covers the L4 header (d.payload_offset <= head_bytes), payload_bytes is what follows
 * it. For UFO the L4 checksum in head must be complete already, as fragments cannot carry a partial
 * one; segment_bytes is rounded down to a multiple of 8 there. -EINVAL when kind and d do not fit
 * or segment_bytes is 0 (after rounding).
 */
int segment_begin(struct segmenter *s, enum segment_kind kind, const uint8_t *head,
		  const struct dissection *d, uint32_t payload_bytes, uint32_t segment_bytes);
unsigned segment_cnt(const struct segmenter *s);
/*
 * The next one: IP lengths, identification, IPv4 header checksum, sequence number, FIN and PSH (on
 * the last only), CWR (on the first only), UDP length set. False: that was the last.
 */
bool segment_next(struct segmenter *s, struct segment *out);

#endif
