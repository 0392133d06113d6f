/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame becomes for a receiver that does not take it as it is: checksums completed, large
 * frames cut, VLAN tags pushed and popped. One output after another, in order.
 * Not where they go (rx.c), and nothing is copied but headers: payload stays at its sender's.
 */
#include "device/net/net_priv.h"

#include <string.h>

#include "base/check.h"
#include "flow/checksum.h"
#include "flow/segment.h"

/* ---- payload: what is left of head, then the frame's iovecs ---- */

static void payload_begin(struct net_payload *payload, const struct frame *frame, unsigned offset)
{
	payload->rest = frame->head + offset;
	payload->rest_bytes = frame->head_bytes - offset;
	iov_cursor_init(&payload->cursor, frame->iov, frame->iov_cnt);
	payload->taken_bytes = 0;
}

/* Sums up the next len bytes, of a copy of where the payload is. */
static uint64_t payload_sum(struct net_payload payload, uint64_t sum, size_t len, bool odd)
{
	size_t n = len < payload.rest_bytes ? len : payload.rest_bytes;

	sum = checksum_add(sum, payload.rest, n, odd);
	odd ^= n & 1;
	return checksum_add_iov(sum, &payload.cursor, len - n, &odd);
}

/* ---- headers ---- */

/* The checksum at csum_start + csum_offset of head, over all from csum_start on. */
static void complete_csum(struct net_egress *egress, unsigned csum_start, unsigned csum_offset)
{
	const unsigned head_bytes = egress->head_bytes - csum_start;
	uint64_t sum;
	uint16_t csum;

	/* The field holds the pseudo header's sum, which is part of the whole. */
	sum = checksum_add(0, egress->head + csum_start, head_bytes, false);
	sum = payload_sum(egress->payload, sum, egress->payload_bytes, head_bytes & 1);
	csum = checksum_fold(sum);
	/* RFC 768: a UDP checksum of 0 means that there is none. */
	if (csum == 0 && csum_offset == NET_UDP_CSUM_OFFSET)
		csum = 0xffff;
	memcpy(egress->head + csum_start + csum_offset, &csum, sizeof(csum));
}

/* Head as the receiver sees it; the header's offsets move with it. */
static void edit_tag(struct net_egress *egress)
{
	egress->head_bytes = (uint16_t)netport_edit_tag(egress->head, egress->head_bytes,
							egress->edit, egress->frame->vlan);
}

static void plain_header(struct net_header *header)
{
	memset(header, 0, sizeof(*header));
	header->num_buffers = le16_of(1);
}

static int edit_shift(enum netport_tag_edit edit)
{
	return edit == NETPORT_TAG_PUSH  ? ETHER_TAG_BYTES
	       : edit == NETPORT_TAG_POP ? -ETHER_TAG_BYTES
					 : 0;
}

/* ---- one output for the frame ---- */

static void whole(struct net_egress *egress)
{
	const struct frame *frame = egress->frame;

	memcpy(egress->head, frame->head, frame->head_bytes);
	egress->head_bytes = frame->head_bytes;
	payload_begin(&egress->payload, frame, frame->head_bytes);
	egress->payload_bytes = frame->bytes - frame->head_bytes;
	if (!frame->csum_partial || egress->rules->guest_csum) {
		net_header_fill(&egress->header, frame, egress->rules, edit_shift(egress->edit));
	} else {
		complete_csum(egress, frame->csum_start, frame->csum_offset);
		plain_header(&egress->header);
		egress->csums++;
	}
	edit_tag(egress);
}

/* ---- one output for each segment ---- */

static void begin_segments(struct net_egress *egress)
{
	const struct frame *frame = egress->frame;
	const struct dissection *d = &frame->d;

	memcpy(egress->large_head, frame->head, d->payload_offset);
	payload_begin(&egress->payload, frame, d->payload_offset);
	/* Fragments cannot carry a checksum that is to be completed: it is the datagram's. */
	if (frame->gso == FRAME_GSO_UDP) {
		memcpy(egress->head, frame->head, d->payload_offset);
		egress->head_bytes = d->payload_offset;
		egress->payload_bytes = frame->bytes - d->payload_offset;
		complete_csum(egress, frame->csum_start, frame->csum_offset);
		memcpy(egress->large_head, egress->head, d->payload_offset);
	}
	/* Whoever made the frame has tried it (frame_can_be_cut). */
	CHECK(!segment_begin(&egress->segmenter, frame_segment_kind(frame, d), egress->large_head,
			     d, frame->bytes - d->payload_offset, frame->gso_bytes));
}

static bool next_segment(struct net_egress *egress)
{
	struct net_header *header = &egress->header;
	struct segment segment;

	if (!segment_next(&egress->segmenter, &segment))
		return false;
	memcpy(egress->head, segment.head, segment.head_bytes);
	egress->head_bytes = segment.head_bytes;
	egress->payload_bytes = segment.payload_bytes;
	plain_header(header);
	if (segment.csum_start && egress->rules->guest_csum) {
		header->flags = NET_HDR_F_NEEDS_CSUM;
		header->csum_start =
			le16_of((uint16_t)(segment.csum_start + edit_shift(egress->edit)));
		header->csum_offset = le16_of(segment.csum_offset);
	} else if (segment.csum_start) {
		complete_csum(egress, segment.csum_start, segment.csum_offset);
		egress->csums++;
	}
	edit_tag(egress);
	egress->segments++;
	return true;
}

void net_egress_begin(struct net_egress *egress, const struct frame *frame,
		      const struct net_rules *rules, enum netport_tag_edit edit)
{
	egress->frame = frame;
	egress->rules = rules;
	egress->edit = edit;
	egress->begun = false;
	egress->segmented = frame->gso != FRAME_GSO_NONE && !net_header_fits(frame, rules);
	egress->csums = 0;
	egress->segments = 0;
	if (unlikely(rules->hash_report))
		net_header_fill_hash(&egress->hash, frame, rules);
}

bool net_egress_next(struct net_egress *egress)
{
	if (egress->segmented) {
		if (!egress->begun)
			begin_segments(egress);
		egress->begun = true;
		return next_segment(egress);
	}
	if (egress->begun)
		return false;
	egress->begun = true;
	whole(egress);
	return true;
}

void net_egress_moved(struct net_egress *egress, const struct frame *frame)
{
	struct net_payload *payload = &egress->payload;
	const struct frame *old = egress->frame;

	egress->frame = frame;
	if (!egress->begun)
		return;
	payload->rest = frame->head + (payload->rest - old->head);
	iov_cursor_init(&payload->cursor, frame->iov, frame->iov_cnt);
	iov_skip(&payload->cursor, payload->taken_bytes);
}
