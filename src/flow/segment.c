/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of the frames that a large one stands for.
 * Not their payload, which is only named.
 *
 * A header that a guest made is repeated as it is but for the fields that must differ: lengths,
 * identification, sequence number, flags, checksums. What is wrong in it stays its own problem.
 */
#include "flow/segment.h"

#include <errno.h>
#include <string.h>

#include "flow/checksum.h"
#include "flow/flow_priv.h"

#define IP_BYTES_MAX 65535u
#define FRAGMENT_UNIT_BYTES 8u

#define IPV4_OPTION_COPIED 0x80u
#define IPV4_OPTION_END 0
#define IPV4_OPTION_NOP 1

static bool is_ufo(enum segment_kind kind)
{
	return kind == SEGMENT_UFO4 || kind == SEGMENT_UFO6;
}

static bool kind_fits(enum segment_kind kind, const struct dissection *d)
{
	switch (kind) {
	case SEGMENT_TCP4:
		return d->l3 == DISSECT_L3_IPV4 && d->l4 == DISSECT_L4_TCP;
	case SEGMENT_TCP6:
		return d->l3 == DISSECT_L3_IPV6 && d->l4 == DISSECT_L4_TCP;
	case SEGMENT_UDP4:
	case SEGMENT_UFO4:
		return d->l3 == DISSECT_L3_IPV4 && d->l4 == DISSECT_L4_UDP;
	case SEGMENT_UDP6:
	case SEGMENT_UFO6:
		return d->l3 == DISSECT_L3_IPV6 && d->l4 == DISSECT_L4_UDP;
	default:
		return false;
	}
}

/* Behind the headers that every router on the way looks at (RFC 8200, 4.5). */
static unsigned ipv6_split_offset(const uint8_t *head, const struct dissection *d)
{
	unsigned at = d->l3_offset + IPV6_HEADER_BYTES, split = at;
	uint8_t proto = head[d->l3_offset + IPV6_NEXT_HEADER];

	while (at < d->l4_offset) {
		const uint8_t *extension = head + at;

		at += ipv6_extension_bytes(proto, extension[1]);
		if (proto == IP_PROTO_HOP_BY_HOP || proto == IP_PROTO_ROUTING)
			split = at;
		proto = extension[0];
	}
	return split;
}

/* Bytes of the datagram that are in head already: the UDP header, and extensions before it. */
static uint32_t lead_bytes(const struct segmenter *s)
{
	return (uint32_t)s->d.payload_offset - s->split_offset;
}

static bool begin_ufo(struct segmenter *s)
{
	const uint8_t *udp = s->head + s->d.l4_offset;

	s->segment_bytes -= s->segment_bytes % FRAGMENT_UNIT_BYTES;
	s->split_offset = s->d.l4_offset;
	if (s->kind == SEGMENT_UFO6)
		s->split_offset = (uint16_t)ipv6_split_offset(s->head, &s->d);
	/* Two datagrams of a flow differ in their checksum, mostly. */
	s->id = dissect_flow_hash(s->head, s->d.payload_offset, &s->d) ^
		(uint32_t)be16_get(udp + UDP_CHECKSUM) * 0x10001u;
	return s->segment_bytes > lead_bytes(s);
}

/* The longest segment; of UFO, what is put together in the end, and a header more. */
static bool ip_can_say(const struct segmenter *s)
{
	uint64_t bytes = (uint64_t)s->d.payload_offset - s->d.l3_offset;

	bytes += is_ufo(s->kind) || s->payload_bytes < s->segment_bytes ? s->payload_bytes
									: s->segment_bytes;
	if (s->kind == SEGMENT_UFO6)
		bytes += IPV6_FRAGMENT_BYTES;
	if (s->d.l3 == DISSECT_L3_IPV6)
		bytes -= IPV6_HEADER_BYTES;
	return bytes <= IP_BYTES_MAX;
}

int segment_begin(struct segmenter *s, enum segment_kind kind, const uint8_t *head,
		  const struct dissection *d, uint32_t payload_bytes, uint32_t segment_bytes)
{
	if (!kind_fits(kind, d) || segment_bytes == 0)
		return -EINVAL;
	*s = (struct segmenter){
		.head = head,
		.d = *d,
		.kind = kind,
		.payload_bytes = payload_bytes,
		.segment_bytes = segment_bytes,
	};
	if (is_ufo(kind) && !begin_ufo(s))
		return -EINVAL;
	return ip_can_say(s) ? 0 : -EINVAL;
}

unsigned segment_cnt(const struct segmenter *s)
{
	uint64_t bytes = s->payload_bytes;

	if (is_ufo(s->kind))
		bytes += lead_bytes(s);
	return bytes ? (unsigned)((bytes + s->segment_bytes - 1) / s->segment_bytes) : 1;
}

/* All of the frame's IP packet is bytes long. */
static void ipv4_finish(uint8_t *ip, unsigned bytes, uint16_t id)
{
	uint16_t csum = 0;

	be16_put(ip + IPV4_TOTAL_LENGTH, bytes);
	be16_put(ip + IPV4_ID, id);
	memcpy(ip + IPV4_CHECKSUM, &csum, sizeof(csum));
	csum = checksum_fold(checksum_add(0, ip, (ip[0] & 15) * 4u, false));
	memcpy(ip + IPV4_CHECKSUM, &csum, sizeof(csum));
}

static void ipv6_finish(uint8_t *ip, unsigned bytes)
{
	be16_put(ip + IPV6_PAYLOAD_LENGTH, bytes - IPV6_HEADER_BYTES);
}

static void finish_tcp(const struct segmenter *s, struct segment *out, uint8_t *tcp)
{
	be32_put(tcp + TCP_SEQUENCE, be32_get(tcp + TCP_SEQUENCE) + out->payload_offset);
	if (!out->last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (s->idx > 0)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	out->csum_offset = TCP_CHECKSUM;
}

/* A segment with its own L4 header. */
static void next_segment(const struct segmenter *s, struct segment *out)
{
	const struct dissection *d = &s->d;
	uint8_t *ip = out->head + d->l3_offset, *l4 = out->head + d->l4_offset;
	uint32_t l4_bytes = (uint32_t)d->payload_offset - d->l4_offset + out->payload_bytes;
	unsigned ip_bytes = d->l4_offset - d->l3_offset + l4_bytes;
	uint16_t pseudo;

	memcpy(out->head, s->head, d->payload_offset);
	out->head_bytes = d->payload_offset;
	out->csum_start = d->l4_offset;
	if (d->l4 == DISSECT_L4_TCP) {
		finish_tcp(s, out, l4);
	} else {
		be16_put(l4 + UDP_LENGTH, l4_bytes);
		out->csum_offset = UDP_CHECKSUM;
	}
	if (d->l3 == DISSECT_L3_IPV4)
		ipv4_finish(ip, ip_bytes, (uint16_t)(be16_get(ip + IPV4_ID) + s->idx));
	else
		ipv6_finish(ip, ip_bytes);
	pseudo = (uint16_t)~checksum_fold(checksum_pseudo(out->head, d, d->ip_proto, l4_bytes));
	memcpy(l4 + out->csum_offset, &pseudo, sizeof(pseudo));
}

/* RFC 791, 3.1: options without the flag are in the first fragment only. */
static void ipv4_drop_options(uint8_t *ip)
{
	unsigned end = (ip[0] & 15) * 4u, at = IPV4_HEADER_BYTES_MIN;

	while (at < end && ip[at] != IPV4_OPTION_END) {
		unsigned bytes = 1;

		if (ip[at] != IPV4_OPTION_NOP)
			bytes = at + 1 < end && ip[at + 1] > 1 ? ip[at + 1] : end - at;
		if (bytes > end - at)
			bytes = end - at;
		if (!(ip[at] & IPV4_OPTION_COPIED))
			memset(ip + at, IPV4_OPTION_NOP, bytes);
		at += bytes;
	}
}

static void finish_fragment4(const struct segmenter *s, struct segment *out, uint32_t offset)
{
	uint8_t *ip = out->head + s->d.l3_offset;
	uint16_t id = be16_get(ip + IPV4_ID);

	if (segment_cnt(s) > 1) {
		if (be16_get(ip + IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT)
			id = (uint16_t)s->id;
		be16_put(ip + IPV4_FRAGMENT,
			 offset / FRAGMENT_UNIT_BYTES | (out->last ? 0 : IPV4_MORE_FRAGMENTS));
	}
	if (offset > 0)
		ipv4_drop_options(ip);
	ipv4_finish(ip, out->head_bytes - s->d.l3_offset + out->payload_bytes, id);
}

/* Puts the fragment header in at the split; what head has behind it moves back. */
static void insert_fragment6(const struct segmenter *s, struct segment *out, uint32_t offset)
{
	uint8_t *fragment = out->head + s->split_offset;
	unsigned at = s->d.l3_offset + IPV6_HEADER_BYTES;
	uint8_t *next = out->head + s->d.l3_offset + IPV6_NEXT_HEADER;

	while (at < s->split_offset) {
		uint8_t *extension = out->head + at;

		at += ipv6_extension_bytes(*next, extension[1]);
		next = extension;
	}
	memmove(fragment + IPV6_FRAGMENT_BYTES, fragment, out->head_bytes - s->split_offset);
	fragment[0] = *next;
	fragment[1] = 0;
	/* The offset's unit is that of the field without its low three bits. */
	be16_put(fragment + 2, offset | !out->last);
	be32_put(fragment + 4, s->id);
	*next = IP_PROTO_FRAGMENT;
	out->head_bytes = (uint16_t)(out->head_bytes + IPV6_FRAGMENT_BYTES);
}

static void next_fragment(const struct segmenter *s, struct segment *out)
{
	uint32_t offset = s->idx * s->segment_bytes;

	out->head_bytes = s->idx == 0 ? s->d.payload_offset : s->split_offset;
	memcpy(out->head, s->head, out->head_bytes);
	out->csum_start = 0;
	out->csum_offset = 0;
	if (s->kind == SEGMENT_UFO4) {
		finish_fragment4(s, out, offset);
		return;
	}
	if (segment_cnt(s) > 1)
		insert_fragment6(s, out, offset);
	ipv6_finish(out->head + s->d.l3_offset,
		    out->head_bytes - s->d.l3_offset + out->payload_bytes);
}

bool segment_next(struct segmenter *s, struct segment *out)
{
	uint32_t room = s->segment_bytes, left = s->payload_bytes - s->done_bytes;

	if (s->idx > 0 && left == 0)
		return false;
	if (is_ufo(s->kind) && s->idx == 0)
		room -= lead_bytes(s);
	out->payload_offset = s->done_bytes;
	out->payload_bytes = left < room ? left : room;
	out->last = out->payload_bytes == left;
	if (is_ufo(s->kind))
		next_fragment(s, out);
	else
		next_segment(s, out);
	s->done_bytes += out->payload_bytes;
	s->idx++;
	return true;
}
