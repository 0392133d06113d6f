/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net headers: judged against the frame that a guest sends, written for the frame that a
 * guest receives. Pure.
 * Not what is done about a frame that a receiver does not take as it is (egress.c).
 *
 * Every field of a transmit header is the guest's word. What is kept of it is what our own look at
 * the headers (flow/dissect.h) confirms: a large frame has the protocol that gso_type says, its
 * headers are whole and within the part that we copied, and its checksum is where the protocol has
 * it. hdr_len is a hint that nobody needs (5.1.6.2), so it is not looked at.
 */
#include "device/net/net_priv.h"

#include <string.h>

#define TCP_FLAGS_OFFSET 13
#define TCP_FLAG_CWR 0x80

#define REFUSED(counter) (offsetof(struct net_stats, counter) + 1)

static size_t judge_csum(struct frame *frame, const struct net_header *header,
			 const struct net_rules *rules)
{
	const uint32_t start = le16_get(header->csum_start);
	const uint32_t offset = le16_get(header->csum_offset);

	if (!rules->host_csum || start < ETHER_HEADER_BYTES ||
	    start + offset + sizeof(uint16_t) > frame->head_bytes)
		return REFUSED(tx_bad_csum);
	frame->csum_partial = true;
	frame->csum_start = (uint16_t)start;
	frame->csum_offset = (uint16_t)offset;
	return 0;
}

/* What the guest calls its large frame; NONE: nothing that exists. */
static enum frame_gso gso_of(const struct frame *frame, uint8_t type)
{
	const struct dissection *d = &frame->d;

	switch (type) {
	case NET_HDR_GSO_TCPV4:
		return d->l3 == DISSECT_L3_IPV4 && d->l4 == DISSECT_L4_TCP ? FRAME_GSO_TCP4
									   : FRAME_GSO_NONE;
	case NET_HDR_GSO_TCPV6:
		return d->l3 == DISSECT_L3_IPV6 && d->l4 == DISSECT_L4_TCP ? FRAME_GSO_TCP6
									   : FRAME_GSO_NONE;
	case NET_HDR_GSO_UDP:
		return d->l4 == DISSECT_L4_UDP ? FRAME_GSO_UDP : FRAME_GSO_NONE;
	case NET_HDR_GSO_UDP_L4:
		return d->l4 == DISSECT_L4_UDP ? FRAME_GSO_UDP_L4 : FRAME_GSO_NONE;
	default:
		return FRAME_GSO_NONE;
	}
}

static size_t judge_gso(struct frame *frame, const struct net_header *header,
			const struct net_rules *rules)
{
	const struct dissection *d = frame_dissect(frame);
	const uint16_t gso_bytes = le16_get(header->gso_size);
	const bool ecn = header->gso_type & NET_HDR_GSO_ECN;
	enum frame_gso gso = gso_of(frame, header->gso_type & (uint8_t)~NET_HDR_GSO_ECN);
	const unsigned csum_offset = d->l4 == DISSECT_L4_TCP ? NET_TCP_CSUM_OFFSET
							     : NET_UDP_CSUM_OFFSET;

	if (gso == FRAME_GSO_NONE || !(rules->host_gso >> gso & 1) ||
	    gso_bytes < FRAME_GSO_BYTES_MIN)
		return REFUSED(tx_bad_gso);
	/* 5.1.6.2: a large frame needs its checksum completed, and that is the L4 header's. */
	if (!frame->csum_partial || frame->csum_start != d->l4_offset ||
	    frame->csum_offset != csum_offset)
		return REFUSED(tx_bad_gso);
	if (ecn && gso > FRAME_GSO_TCP6)
		return REFUSED(tx_bad_gso);
	frame->gso = (uint8_t)gso;
	frame->gso_bytes = gso_bytes;
	/* A receiver that does not take it as it is must be able to have it in pieces. */
	if (!frame_can_be_cut(frame))
		return REFUSED(tx_bad_gso);
	frame->gso_ecn = gso <= FRAME_GSO_TCP6 &&
			 (ecn || frame->head[d->l4_offset + TCP_FLAGS_OFFSET] & TCP_FLAG_CWR);
	return 0;
}

size_t net_header_judge(struct frame *frame, const struct net_header *header,
			const struct net_rules *rules)
{
	size_t refused;

	/* DATA_VALID is the device's to say; a driver's is not looked at (5.1.6.2.1). */
	if (header->flags & NET_HDR_F_NEEDS_CSUM) {
		refused = judge_csum(frame, header, rules);
		if (refused)
			return refused;
		frame->plain = false;
	}
	if (header->gso_type != NET_HDR_GSO_NONE) {
		refused = judge_gso(frame, header, rules);
		if (refused)
			return refused;
	}
	return 0;
}

bool net_header_fits(const struct frame *frame, const struct net_rules *rules)
{
	if (frame->csum_partial && !rules->guest_csum)
		return false;
	switch ((enum frame_gso)frame->gso) {
	case FRAME_GSO_NONE:
		return true;
	case FRAME_GSO_TCP4:
		return rules->guest_tso4 && (!frame->gso_ecn || rules->guest_ecn);
	case FRAME_GSO_TCP6:
		return rules->guest_tso6 && (!frame->gso_ecn || rules->guest_ecn);
	case FRAME_GSO_UDP:
		return rules->guest_ufo;
	case FRAME_GSO_UDP_L4:
		return frame->d.l3 == DISSECT_L3_IPV4 ? rules->guest_uso4 : rules->guest_uso6;
	case FRAME_GSO_MAX_:
		break;
	}
	return false;
}

static uint8_t gso_type_of(const struct frame *frame)
{
	static const uint8_t types[] = {
		[FRAME_GSO_NONE] = NET_HDR_GSO_NONE,     [FRAME_GSO_TCP4] = NET_HDR_GSO_TCPV4,
		[FRAME_GSO_TCP6] = NET_HDR_GSO_TCPV6,    [FRAME_GSO_UDP] = NET_HDR_GSO_UDP,
		[FRAME_GSO_UDP_L4] = NET_HDR_GSO_UDP_L4,
	};
	static_assert(ARRAY_LEN(types) == FRAME_GSO_MAX_, "a type for each");

	return (uint8_t)(types[frame->gso] | (frame->gso_ecn ? NET_HDR_GSO_ECN : 0));
}

void net_header_fill(struct net_header *header, const struct frame *frame,
		     const struct net_rules *rules, int shift)
{
	memset(header, 0, sizeof(*header));
	header->num_buffers = le16_of(1);
	if (frame->csum_partial) {
		header->flags = NET_HDR_F_NEEDS_CSUM;
		header->csum_start = le16_of((uint16_t)(frame->csum_start + shift));
		header->csum_offset = le16_of(frame->csum_offset);
	} else if (frame->csum_valid && rules->guest_csum) {
		header->flags = NET_HDR_F_DATA_VALID;
	}
	if (frame->gso == FRAME_GSO_NONE)
		return;
	header->gso_type = gso_type_of(frame);
	header->gso_size = le16_of(frame->gso_bytes);
	header->hdr_len = le16_of((uint16_t)(frame->d.payload_offset + shift));
}

void net_header_fill_hash(struct net_header_hash *hash, const struct frame *frame,
			  const struct net_rules *rules)
{
	struct dissection d;
	struct flow_hash flow = {0};

	if (rules->hash_generation && frame->rss_generation == rules->hash_generation) {
		flow = (struct flow_hash){frame->rss_hash, frame->rss_report};
	} else if (rules->hash_key) {
		/* The frame may be looked at by several receivers: nothing of it is changed. */
		if (!frame->dissected)
			dissect(frame->head, frame->head_bytes, &d);
		flow = toeplitz_frame(rules->hash_key, rules->hash_types, frame->head,
				      frame->head_bytes, frame->dissected ? &frame->d : &d);
	}
	*hash = (struct net_header_hash){
		.value = le32_of(flow.report ? flow.hash : 0),
		.report = le16_of(flow.report),
	};
}
