/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of `pario-bench net`: built once into buffers, a few fields written for each sending,
 * and recognised on the other side. How they travel is driver/net.h's affair, and whether what came
 * is what was sent is verify.c's.
 *
 * Frames are IPv4 with UDP, or with TCP when they are to be segmented. The flow is the source port,
 * of answers the destination port: so an answer belongs to the flow that it answers.
 * Each flow counts: UDP frames carry a tag with the count, TCP frames have the count of bytes as
 * their sequence number, so that they are known again however they were segmented. The tag, or the
 * TCP timestamp option in its place, says who sent it and when.
 */
#ifndef PARIO_BENCH_NETLOAD_FRAME_H
#define PARIO_BENCH_NETLOAD_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "driver/net.h"

#define FRAME_BYTES_MIN 60u
#define FRAME_BYTES_MAX 65549u /* an Ethernet header and the longest IPv4 packet */
#define FRAME_BYTES_PLAIN 1514u
#define FRAME_FLOW_MAX 60000u
#define FRAME_MAC_MAX 65536u
#define FRAME_HEAD_MAX 96u /* all headers and the tag, vnet header not counted */

#define FRAME_FROM_B 0x40u   /* in stream: sent by the second socket */
#define FRAME_MEASURED 0x80u /* in stream: sent while measuring */
#define FRAME_PAIR_MASK 0x3fu

struct frame_opts {
	uint8_t src_mac[6], dst_mac[6];
	uint32_t mac_cnt;   /* 1: as above; else the two last bytes of both vary */
	uint16_t vlan;      /* 0: no tag */
	uint16_t gso_size;  /* 0: UDP; else TCP with this MSS */
	bool csum;          /* ask for checksums to be completed (always so with gso) */
	bool stamps;        /* write the time of sending */
	bool answers;       /* ports exchanged */
	bool fill;          /* contents and checksums by flow and count, for verify mode */
	uint32_t flow_cnt;  /* of all streams of this side */
	uint8_t stream;     /* pair, FRAME_FROM_B */
	uint8_t stream_cnt; /* flow f belongs to the stream of pair f % stream_cnt */
};

struct frame_gen {
	struct frame_opts opts;
	uint32_t l2_bytes; /* 14 or 18 */
	uint32_t first_flow, flow, mac;
	uint32_t *count; /* by flow: frames (UDP) or bytes (TCP) sent */
};

/* What a frame says of itself. */
struct frame_seen {
	uint8_t stream;
	bool tcp;
	uint32_t l2_bytes;
	uint32_t flow, count;
	uint64_t stamp_ticks; /* TCP: bits 6 to 37 only */
};

/* UDP: behind the header. In host order, as both ends are this program. */
struct frame_tag {
	uint8_t magic, stream;
	uint32_t count;
	uint64_t stamp_ticks;
} __attribute__((packed));
_Static_assert(sizeof(struct frame_tag) == 14, "fits the smallest frame, with a VLAN tag");

/* TCP: the option, as it stands behind the header. */
struct frame_option {
	uint8_t nop[2], kind, bytes;
	uint32_t stamp; /* ticks / 64 */
	uint8_t magic, stream, zero[2];
} __attribute__((packed));

#define FRAME_MAGIC 0xd9u
#define FRAME_IP_BYTES 20u
#define FRAME_UDP_BYTES 8u
#define FRAME_TCP_BYTES 32u /* with the option */
#define FRAME_PORT_FIRST 1024u
#define FRAME_PORT_TO 0x0900u /* 9, discard, as it is on the wire */
#define FRAME_STAMP_SHIFT 6

/* 0 or -ENOMEM. */
int frame_gen_init(struct frame_gen *g, const struct frame_opts *opts);
void frame_gen_fini(struct frame_gen *g);

/* Bytes of headers, tag included: the shortest frame. */
uint32_t frame_head_bytes(const struct frame_gen *g);

/* Writes vnet header, headers and payload into a buffer for frames of `bytes`. */
void frame_build(const struct frame_gen *g, uint8_t *buffer, uint32_t bytes);

/* Verify mode: contents and checksums, after the varying fields. */
void frame_fill(const struct frame_gen *g, uint8_t *buffer, uint32_t bytes, uint32_t flow,
		uint32_t count);

/* The bytes that belong at a place of a flow. */
void frame_pattern(uint8_t *to, uint32_t bytes, uint8_t stream, uint32_t flow, uint64_t at);
/* Where the pattern of a UDP frame begins. */
static inline uint64_t frame_pattern_at(uint32_t count)
{
	return (uint64_t)count << 16;
}

/* Ones' complement sum of bytes, not folded and not inverted; big-endian words. */
uint64_t frame_sum(const uint8_t *bytes, uint32_t cnt);
uint16_t frame_sum_fold(uint64_t sum);
/* Of addresses, protocol and length of the packet whose IPv4 header is at ip. */
uint64_t frame_sum_pseudo(const uint8_t *ip, uint32_t l4_bytes);

static inline uint16_t frame_be16(uint16_t value)
{
	return __builtin_bswap16(value);
}

/* Bytes of payload behind everything that the frame says of itself. */
static inline uint32_t frame_payload_bytes(const struct frame_gen *g, uint32_t bytes)
{
	return bytes - g->l2_bytes - FRAME_IP_BYTES -
	       (g->opts.gso_size ? FRAME_TCP_BYTES
				 : FRAME_UDP_BYTES + (uint32_t)sizeof(struct frame_tag));
}

/* The next frame: writes what differs from the last time into a buffer that frame_build() made. */
static inline void frame_next(struct frame_gen *g, uint8_t *buffer, uint32_t bytes,
			      uint64_t now_ticks, uint8_t measured)
{
	uint8_t *frame = buffer + NET_HEADER_BYTES;
	uint8_t *l4 = frame + g->l2_bytes + FRAME_IP_BYTES;
	uint8_t stream = g->opts.stream | measured;
	uint32_t flow = g->flow, count = g->count[flow];
	uint16_t port = frame_be16((uint16_t)(FRAME_PORT_FIRST + flow));

	g->flow = flow + g->opts.stream_cnt;
	if (g->flow >= g->opts.flow_cnt)
		g->flow = g->first_flow;
	memcpy(g->opts.answers ? l4 + 2 : l4, &port, sizeof(port));
	if (g->opts.mac_cnt > 1) {
		uint16_t low = frame_be16((uint16_t)g->mac);

		memcpy(frame + 4, &low, sizeof(low));
		memcpy(frame + 10, &low, sizeof(low));
		g->mac = g->mac + 1 == g->opts.mac_cnt ? 0 : g->mac + 1;
	}
	if (g->opts.gso_size) {
		struct frame_option *option = (void *)(l4 + 20);
		uint32_t seq = __builtin_bswap32(count);

		memcpy(l4 + 4, &seq, sizeof(seq));
		option->stream = stream;
		if (g->opts.stamps)
			option->stamp = (uint32_t)(now_ticks >> FRAME_STAMP_SHIFT);
		g->count[flow] = count + frame_payload_bytes(g, bytes);
	} else {
		struct frame_tag *tag = (void *)(l4 + FRAME_UDP_BYTES);

		tag->stream = stream;
		tag->count = count;
		if (g->opts.stamps)
			tag->stamp_ticks = now_ticks;
		g->count[flow] = count + 1;
	}
	if (__builtin_expect(g->opts.fill, 0))
		frame_fill(g, buffer, bytes, flow, count);
}

/* Reads the first `bytes` of a frame (of its first buffer); false: not one of ours. */
static inline bool frame_parse(const uint8_t *frame, uint32_t bytes, struct frame_seen *seen)
{
	const uint8_t *ip, *l4;
	uint16_t port[2];

	/* The shortest of ours, so that nothing below needs to ask again but for TCP. */
	if (__builtin_expect(bytes < FRAME_BYTES_MIN - 4, 0))
		return false;
	seen->l2_bytes = frame[12] == 0x81 && frame[13] == 0 ? 18 : 14;
	if (seen->l2_bytes == 18 && bytes < FRAME_BYTES_MIN)
		return false;
	ip = frame + seen->l2_bytes;
	l4 = ip + FRAME_IP_BYTES;
	memcpy(port, l4, sizeof(port));
	if (port[1] != FRAME_PORT_TO) {
		port[1] = port[0];
		memcpy(&port[0], l4 + 2, sizeof(port[0]));
	}
	if (__builtin_expect(
		    ip[-2] != 8 || ip[-1] != 0 || ip[0] != 0x45 || port[1] != FRAME_PORT_TO, 0))
		return false;
	seen->flow = (uint32_t)frame_be16(port[0]) - FRAME_PORT_FIRST;
	seen->tcp = ip[9] == 6;
	if (seen->tcp) {
		const struct frame_option *option = (const void *)(l4 + 20);
		uint32_t seq;

		if (bytes < seen->l2_bytes + FRAME_IP_BYTES + FRAME_TCP_BYTES ||
		    option->magic != FRAME_MAGIC)
			return false;
		memcpy(&seq, l4 + 4, sizeof(seq));
		seen->count = __builtin_bswap32(seq);
		seen->stream = option->stream;
		seen->stamp_ticks = (uint64_t)option->stamp << FRAME_STAMP_SHIFT;
		return true;
	}
	{
		const struct frame_tag *tag = (const void *)(l4 + FRAME_UDP_BYTES);

		seen->count = tag->count;
		seen->stream = tag->stream;
		seen->stamp_ticks = tag->stamp_ticks;
		return ip[9] == 17 && tag->magic == FRAME_MAGIC;
	}
}

/* Ticks from sending to now. */
static inline uint64_t frame_age_ticks(const struct frame_seen *seen, uint64_t now_ticks)
{
	if (!seen->tcp)
		return now_ticks - seen->stamp_ticks;
	return (uint64_t)(uint32_t)((now_ticks - seen->stamp_ticks) >> FRAME_STAMP_SHIFT)
	       << FRAME_STAMP_SHIFT;
}

#endif
