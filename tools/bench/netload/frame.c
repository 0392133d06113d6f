/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers, contents and checksums of generated frames.
 * Nothing here is in the hot loop, but in verify mode.
 */
#include "netload/frame.h"

#include <errno.h>
#include <stdlib.h>

#include "random.h"

#define ADDRESS_A 0xc6120001u /* 198.18.0.1 and .2: for benchmarks (RFC 2544) */
#define ADDRESS_B 0xc6120002u

static void put16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, (uint16_t)(value >> 16));
	put16(to + 2, (uint16_t)value);
}

int frame_gen_init(struct frame_gen *g, const struct frame_opts *opts)
{
	*g = (struct frame_gen){.opts = *opts, .l2_bytes = opts->vlan ? 18 : 14};
	g->first_flow = opts->stream & FRAME_PAIR_MASK;
	g->flow = g->first_flow;
	g->count = calloc(opts->flow_cnt, sizeof(*g->count));
	return g->count ? 0 : -ENOMEM;
}

void frame_gen_fini(struct frame_gen *g)
{
	free(g->count);
	g->count = NULL;
}

uint32_t frame_head_bytes(const struct frame_gen *g)
{
	return g->l2_bytes + FRAME_IP_BYTES +
	       (g->opts.gso_size ? FRAME_TCP_BYTES
				 : FRAME_UDP_BYTES + (uint32_t)sizeof(struct frame_tag));
}

uint64_t frame_sum(const uint8_t *bytes, uint32_t cnt)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i + 1 < cnt; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return i < cnt ? sum + ((uint32_t)bytes[i] << 8) : sum;
}

uint16_t frame_sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint64_t frame_sum_pseudo(const uint8_t *ip, uint32_t l4_bytes)
{
	return frame_sum(ip + 12, 8) + ip[9] + l4_bytes;
}

void frame_pattern(uint8_t *to, uint32_t bytes, uint8_t stream, uint32_t flow, uint64_t at)
{
	uint64_t seed = (uint64_t)(stream & FRAME_FROM_B) << 56 ^ (uint64_t)flow << 44;

	while (bytes > 0) {
		uint64_t word = random_mix(seed ^ at >> 3);
		uint32_t skip = at & 7, piece = 8 - skip < bytes ? 8 - skip : bytes;

		word >>= 8 * skip;
		memcpy(to, &word, piece);
		to += piece;
		at += piece;
		bytes -= piece;
	}
}

static void build_ip(const struct frame_gen *g, uint8_t *ip, uint32_t bytes)
{
	bool from_b = g->opts.stream & FRAME_FROM_B;

	memset(ip, 0, FRAME_IP_BYTES);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)bytes);
	put16(ip + 6, 0x4000); /* do not fragment */
	ip[8] = 64;
	ip[9] = g->opts.gso_size ? 6 : 17;
	put32(ip + 12, from_b ? ADDRESS_B : ADDRESS_A);
	put32(ip + 16, from_b ? ADDRESS_A : ADDRESS_B);
	put16(ip + 10, (uint16_t)~frame_sum_fold(frame_sum(ip, FRAME_IP_BYTES)));
}

static void build_l4(const struct frame_gen *g, uint8_t *l4, uint32_t bytes)
{
	uint16_t port_to = FRAME_PORT_TO;

	memset(l4, 0, g->opts.gso_size ? FRAME_TCP_BYTES : FRAME_UDP_BYTES);
	memcpy(g->opts.answers ? l4 : l4 + 2, &port_to, sizeof(port_to));
	if (g->opts.gso_size) {
		struct frame_option option = {
			.nop = {1, 1}, .kind = 8, .bytes = 10, .magic = FRAME_MAGIC};

		l4[12] = (FRAME_TCP_BYTES / 4) << 4;
		l4[13] = 0x10; /* ACK */
		put16(l4 + 14, 0xffff);
		memcpy(l4 + 20, &option, sizeof(option));
	} else {
		struct frame_tag tag = {.magic = FRAME_MAGIC};

		put16(l4 + 4, (uint16_t)bytes);
		memcpy(l4 + FRAME_UDP_BYTES, &tag, sizeof(tag));
	}
}

/* The offset of the checksum within the transport header. */
static uint32_t csum_offset(const struct frame_gen *g)
{
	return g->opts.gso_size ? 16 : 6;
}

void frame_build(const struct frame_gen *g, uint8_t *buffer, uint32_t bytes)
{
	struct virtio_net_hdr_mrg_rxbuf *header = (void *)buffer;
	uint8_t *frame = buffer + NET_HEADER_BYTES, *ip = frame + g->l2_bytes;
	uint8_t *l4 = ip + FRAME_IP_BYTES;
	uint32_t head = frame_head_bytes(g), l4_bytes = bytes - g->l2_bytes - FRAME_IP_BYTES;

	memset(header, 0, sizeof(*header));
	memcpy(frame, g->opts.dst_mac, 6);
	memcpy(frame + 6, g->opts.src_mac, 6);
	if (g->opts.vlan) {
		put16(frame + 12, 0x8100);
		put16(frame + 14, g->opts.vlan);
	}
	put16(ip - 2, 0x0800);
	build_ip(g, ip, bytes - g->l2_bytes);
	build_l4(g, l4, l4_bytes);
	frame_pattern(frame + head, bytes - head, g->opts.stream, 0, 0);
	if (!g->opts.csum && !g->opts.gso_size)
		return;
	header->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->hdr.csum_start = (uint16_t)(g->l2_bytes + FRAME_IP_BYTES);
	header->hdr.csum_offset = (uint16_t)csum_offset(g);
	put16(l4 + csum_offset(g), frame_sum_fold(frame_sum_pseudo(ip, l4_bytes)));
	if (g->opts.gso_size && bytes > head + g->opts.gso_size) {
		header->hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		header->hdr.gso_size = g->opts.gso_size;
		header->hdr.hdr_len = (uint16_t)head;
	}
}

void frame_fill(const struct frame_gen *g, uint8_t *buffer, uint32_t bytes, uint32_t flow,
		uint32_t count)
{
	uint8_t *frame = buffer + NET_HEADER_BYTES, *ip = frame + g->l2_bytes;
	uint8_t *l4 = ip + FRAME_IP_BYTES;
	uint32_t head = frame_head_bytes(g), l4_bytes = bytes - g->l2_bytes - FRAME_IP_BYTES;
	uint16_t sum;

	frame_pattern(frame + head, bytes - head, g->opts.stream, flow,
		      g->opts.gso_size ? count : frame_pattern_at(count));
	if (g->opts.csum || g->opts.gso_size)
		return;
	put16(l4 + csum_offset(g), 0);
	sum = (uint16_t)~frame_sum_fold(frame_sum(l4, l4_bytes) + frame_sum_pseudo(ip, l4_bytes));
	put16(l4 + csum_offset(g), sum ? sum : 0xffff);
}
