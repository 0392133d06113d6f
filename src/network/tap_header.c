/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vnet header of a tap: judged against its frame, or made for one.
 * Not virtio-net's towards guests (device/net), whose fields depend on what was negotiated.
 */
#include <string.h>

#include "flow/checksum.h"
#include "network/tap_priv.h"

#define TCP_CHECKSUM_OFFSET 16
#define UDP_CHECKSUM_OFFSET 6

static bool gso_kind(const struct tap_header *header, const struct dissection *d, uint8_t *gso)
{
	switch (header->gso_type & ~TAP_HEADER_GSO_ECN) {
	case TAP_HEADER_GSO_TCPV4:
		*gso = FRAME_GSO_TCP4;
		return d->l3 == DISSECT_L3_IPV4 && d->l4 == DISSECT_L4_TCP;
	case TAP_HEADER_GSO_TCPV6:
		*gso = FRAME_GSO_TCP6;
		return d->l3 == DISSECT_L3_IPV6 && d->l4 == DISSECT_L4_TCP;
	case TAP_HEADER_GSO_UDP:
		*gso = FRAME_GSO_UDP;
		return d->l4 == DISSECT_L4_UDP;
	case TAP_HEADER_GSO_UDP_L4:
		*gso = FRAME_GSO_UDP_L4;
		return d->l4 == DISSECT_L4_UDP;
	default:
		return false;
	}
}

static bool judge_csum(struct frame *frame, const struct tap_header *header)
{
	const unsigned start = le16_get(header->csum_start);
	const unsigned offset = le16_get(header->csum_offset);

	if (start < ETHER_HEADER_BYTES || start + offset + 2 > frame->head_bytes)
		return false;
	frame->csum_partial = true;
	frame->csum_start = (uint16_t)start;
	frame->csum_offset = (uint16_t)offset;
	return true;
}

/*
 * The hardware below the kernel made this large frame of several and has checked them all: it comes
 * without a partial checksum, which those who segment it again need.
 */
static void make_partial(struct frame *frame, const struct dissection *d, unsigned offset)
{
	const uint64_t sum =
		checksum_pseudo(frame->head, d, d->ip_proto, frame->bytes - d->l4_offset);
	const uint16_t field = (uint16_t)~checksum_fold(sum);

	memcpy(frame->head + d->l4_offset + offset, &field, sizeof(field));
	frame->csum_partial = true;
	frame->csum_start = d->l4_offset;
	frame->csum_offset = (uint16_t)offset;
}

static bool judge_gso(struct frame *frame, const struct tap_header *header)
{
	const struct dissection *d = frame_dissect(frame);
	const unsigned size = le16_get(header->gso_size);
	unsigned offset = TCP_CHECKSUM_OFFSET;

	if (!gso_kind(header, d, &frame->gso) || size < FRAME_GSO_BYTES_MIN ||
	    d->payload_offset == 0 || d->payload_offset >= frame->bytes)
		return false;
	if (d->l4 == DISSECT_L4_UDP)
		offset = UDP_CHECKSUM_OFFSET;
	if (!frame->csum_partial)
		make_partial(frame, d, offset);
	else if (frame->csum_start != d->l4_offset || frame->csum_offset != offset)
		return false;
	frame->gso_bytes = (uint16_t)size;
	frame->gso_ecn = header->gso_type & TAP_HEADER_GSO_ECN;
	/* What a host's programs write there is not ours either. */
	return frame_can_be_cut(frame);
}

bool tap_header_judge(struct frame *frame, const struct tap_header *header)
{
	frame->gso = FRAME_GSO_NONE;
	frame->gso_ecn = false;
	frame->csum_partial = false;
	frame->csum_valid = header->flags & TAP_HEADER_F_DATA_VALID;
	if (header->flags & TAP_HEADER_F_NEEDS_CSUM) {
		if (!judge_csum(frame, header))
			return false;
	}
	if (header->gso_type == TAP_HEADER_GSO_NONE)
		return true;
	return judge_gso(frame, header);
}

void tap_header_fill(struct tap_header *header, const struct frame *frame, int shift)
{
	static const uint8_t types[FRAME_GSO_MAX_] = {
		[FRAME_GSO_NONE] = TAP_HEADER_GSO_NONE,     [FRAME_GSO_TCP4] = TAP_HEADER_GSO_TCPV4,
		[FRAME_GSO_TCP6] = TAP_HEADER_GSO_TCPV6,    [FRAME_GSO_UDP] = TAP_HEADER_GSO_UDP,
		[FRAME_GSO_UDP_L4] = TAP_HEADER_GSO_UDP_L4,
	};

	memset(header, 0, sizeof(*header));
	if (frame->csum_partial) {
		header->flags = TAP_HEADER_F_NEEDS_CSUM;
		header->csum_start = le16_of((uint16_t)(frame->csum_start + shift));
		header->csum_offset = le16_of(frame->csum_offset);
	} else if (frame->csum_valid) {
		header->flags = TAP_HEADER_F_DATA_VALID;
	}
	if (frame->gso == FRAME_GSO_NONE)
		return;
	header->gso_type = types[frame->gso];
	if (frame->gso_ecn)
		header->gso_type |= TAP_HEADER_GSO_ECN;
	header->gso_size = le16_of(frame->gso_bytes);
	header->hdr_len = le16_of((uint16_t)(frame->d.payload_offset + shift));
}
