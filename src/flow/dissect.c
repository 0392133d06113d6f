/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the layers of a frame begin, in one pass over its first bytes.
 * Not a judgement of a frame: what is odd or cut off has no offset, and that is all.
 */
#include "flow/dissect.h"

#include "base/compiler.h"
#include "flow/flow_priv.h"

#define ETHER_TYPE_QINQ_OLD 0x9100
#define TAG_CNT_MAX 2u

static ALWAYS_INLINE bool is_tag(uint16_t ether_type)
{
	return ether_type == ETHER_TYPE_VLAN || ether_type == ETHER_TYPE_QINQ ||
	       ether_type == ETHER_TYPE_QINQ_OLD;
}

/* The header at `at` of out->ip_proto, which must end before `end`. */
static ALWAYS_INLINE void dissect_l4(const uint8_t *head, unsigned at, unsigned end,
				     struct dissection *out)
{
	unsigned bytes;

	if (out->ip_proto == IP_PROTO_TCP) {
		if (at + TCP_HEADER_BYTES_MIN > end)
			return;
		bytes = (head[at + TCP_DATA_OFFSET] >> 4) * 4u;
		if (bytes < TCP_HEADER_BYTES_MIN || at + bytes > end)
			return;
		out->l4 = DISSECT_L4_TCP;
	} else if (out->ip_proto == IP_PROTO_UDP) {
		bytes = UDP_HEADER_BYTES;
		if (at + bytes > end)
			return;
		out->l4 = DISSECT_L4_UDP;
	} else {
		return;
	}
	out->l4_offset = (uint16_t)at;
	out->payload_offset = (uint16_t)(at + bytes);
}

static ALWAYS_INLINE void dissect_ipv4(const uint8_t *head, unsigned at, unsigned end,
				       struct dissection *out)
{
	const uint8_t *ip = head + at;
	unsigned header_bytes, total_bytes;

	if (at + IPV4_HEADER_BYTES_MIN > end)
		return;
	header_bytes = (ip[0] & 15) * 4u;
	total_bytes = be16_get(ip + IPV4_TOTAL_LENGTH);
	if (ip[0] >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES_MIN || at + header_bytes > end ||
	    total_bytes < header_bytes)
		return;
	out->l3 = DISSECT_L3_IPV4;
	out->l3_offset = (uint16_t)at;
	out->ip_bytes = total_bytes;
	out->ip_proto = ip[IPV4_PROTO];
	if (be16_get(ip + IPV4_FRAGMENT) & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) {
		out->fragment = true;
		return;
	}
	if (at + total_bytes < end)
		end = at + total_bytes;
	dissect_l4(head, at + header_bytes, end, out);
}

/*
 * Skips extension headers from *at on. False: what follows IP is not to be found here; ip_proto is
 * then the header that is cut off, or one too many, or what there is a fragment of.
 */
static NOINLINE bool skip_extensions(const uint8_t *head, unsigned *at, unsigned end,
				     struct dissection *out)
{
	for (unsigned i = 0; ipv6_is_extension(out->ip_proto); i++) {
		const uint8_t *extension = head + *at;
		unsigned bytes;

		if (i == IPV6_EXTENSION_CNT_MAX || *at + IPV6_EXTENSION_BYTES_MIN > end)
			return false;
		bytes = ipv6_extension_bytes(out->ip_proto, extension[1]);
		if (*at + bytes > end)
			return false;
		out->fragment = out->ip_proto == IP_PROTO_FRAGMENT;
		out->ipv6_extended = true;
		out->ip_proto = extension[0];
		*at += bytes;
		if (out->fragment)
			return false;
	}
	return true;
}

static ALWAYS_INLINE void dissect_ipv6(const uint8_t *head, unsigned at, unsigned end,
				       struct dissection *out)
{
	const uint8_t *ip = head + at;
	unsigned total_bytes, next;

	if (at + IPV6_HEADER_BYTES > end || ip[0] >> 4 != 6)
		return;
	out->l3 = DISSECT_L3_IPV6;
	out->l3_offset = (uint16_t)at;
	out->ip_proto = ip[IPV6_NEXT_HEADER];
	total_bytes = IPV6_HEADER_BYTES + be16_get(ip + IPV6_PAYLOAD_LENGTH);
	if (total_bytes == IPV6_HEADER_BYTES && out->ip_proto == IP_PROTO_HOP_BY_HOP)
		return;
	out->ip_bytes = total_bytes;
	if (at + total_bytes < end)
		end = at + total_bytes;
	next = at + IPV6_HEADER_BYTES;
	if (unlikely(ipv6_is_extension(out->ip_proto)) && !skip_extensions(head, &next, end, out))
		return;
	dissect_l4(head, next, end, out);
}

void dissect(const uint8_t *head, unsigned head_bytes, struct dissection *out)
{
	unsigned end = head_bytes < DISSECT_BYTES_MAX ? head_bytes : DISSECT_BYTES_MAX;
	unsigned at = ETHER_HEADER_BYTES;
	uint16_t ether_type;

	*out = (struct dissection){0};
	if (at > end)
		return;
	ether_type = be16_get(head + at - 2);
	while (unlikely(is_tag(ether_type)) && out->tag_cnt < TAG_CNT_MAX) {
		if (at + ETHER_TAG_BYTES > end)
			return;
		at += ETHER_TAG_BYTES;
		ether_type = be16_get(head + at - 2);
		out->tag_cnt++;
	}
	out->ether_type = ether_type;
	if (ether_type == ETHER_TYPE_IPV4)
		dissect_ipv4(head, at, end, out);
	else if (ether_type == ETHER_TYPE_IPV6)
		dissect_ipv6(head, at, end, out);
}

/*
 * Sum and exclusive or of a pair say nearly all about it but its order. Multiplication carries
 * low bits upwards, so the high half is what is good.
 */
static ALWAYS_INLINE uint64_t mix(uint64_t state, uint64_t v)
{
	state = (state ^ v) * 0x9e3779b97f4a7c15u;
	return state ^ state >> 32;
}

static ALWAYS_INLINE uint64_t pair32(uint32_t a, uint32_t b)
{
	return (uint64_t)(a + b) << 32 | (a ^ b);
}

uint32_t dissect_flow_hash(const uint8_t *head, unsigned head_bytes, const struct dissection *d)
{
	const uint8_t *ip = head + d->l3_offset;
	uint64_t state = 0;

	if (d->l3 == DISSECT_L3_IPV4) {
		state = mix(state,
			    pair32(raw32_get(ip + IPV4_SOURCE), raw32_get(ip + IPV4_SOURCE + 4)));
	} else if (d->l3 == DISSECT_L3_IPV6) {
		for (unsigned i = 0; i < IPV6_ADDRESS_BYTES; i += 8) {
			uint64_t a = raw64_get(ip + IPV6_SOURCE + i);
			uint64_t b = raw64_get(ip + IPV6_DESTINATION + i);

			state = mix(mix(state, a ^ b), a + b);
		}
	} else if (head_bytes >= 2 * ETHER_MAC_BYTES) {
		state = mix(state, pair32(raw32_get(head), raw32_get(head + ETHER_MAC_BYTES)));
		state = mix(state, pair32(be16_get(head + 4), be16_get(head + 10)));
	}
	if (d->l4 != DISSECT_L4_NONE) {
		const uint8_t *ports = head + d->l4_offset;

		state = mix(state, pair32(be16_get(ports), be16_get(ports + 2)));
	}
	return (uint32_t)(mix(state, d->l4) >> 32);
}
