/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transmit queues of guests that mean harm: what vnet headers ask for and cannot be done.
 * Not chains and frames (net_hostile_tx.c).
 */
#include <string.h>

#include "net_lab.h"

#define TCP_FRAME_BYTES 4000u

struct header_try {
	struct virtio_net_hdr_v1 header;
	const char *counter;
};

/* Ethernet, IPv4 (20 bytes), TCP or UDP (20 or 8 bytes), payload. */
static void make_ip(struct lab *lab, uint8_t *frame, uint8_t protocol, uint32_t bytes)
{
	uint32_t ip_bytes = bytes - 14;

	memset(frame, 0x5a, bytes);
	memcpy(frame, lab->h1.mac, 6);
	memcpy(frame + 6, lab->a.mac, 6);
	frame[12] = 8;
	frame[13] = 0;
	memset(frame + 14, 0, 40);
	frame[14] = 0x45;
	frame[16] = (uint8_t)(ip_bytes >> 8);
	frame[17] = (uint8_t)ip_bytes;
	frame[22] = 64;
	frame[23] = protocol;
	memcpy(frame + 26, (const uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
	if (protocol == 6)
		frame[46] = 0x50;
	else
		frame[39] = (uint8_t)(ip_bytes - 20);
}

static void try_headers(struct lab *lab, const struct header_try *tries, unsigned cnt,
			uint8_t protocol, const char *what)
{
	for (unsigned i = 0; i < cnt; i++) {
		uint64_t before = lab_counter(lab, tries[i].counter);

		make_ip(lab, lab->frame, protocol, TCP_FRAME_BYTES);
		card_send(&lab->a, &tries[i].header, lab->frame, TCP_FRAME_BYTES);
		lab_nothing_arrives(lab, what);
		lab_counted(lab, tries[i].counter, before, 1);
	}
}

#define CSUM(start, offset)                            \
	{                                              \
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, \
		 .csum_start = (start),                \
		 .csum_offset = (offset)},             \
			"tx_bad_csum"                  \
	}
#define GSO(type, size)                                \
	{                                              \
		{.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, \
		 .gso_type = (type),                   \
		 .gso_size = (size),                   \
		 .hdr_len = 54,                        \
		 .csum_start = 34,                     \
		 .csum_offset = 16},                   \
			"tx_bad_gso"                   \
	}

static void checksum_beyond_the_frame(struct lab *lab)
{
	static const struct header_try tries[] = {
		CSUM(TCP_FRAME_BYTES, 16),
		CSUM(34, TCP_FRAME_BYTES),
		CSUM(65535, 65535),
		CSUM(65535, 0),
		CSUM(0, 65535),
		CSUM(1, 65535),
		CSUM(34, 65534),
		CSUM(TCP_FRAME_BYTES - 1, 0),
	};

	try_headers(lab, tries, sizeof(tries) / sizeof(tries[0]), 6, "a checksum out of place");
}

static void gso_of_nonsense(struct lab *lab)
{
	static const struct header_try tries[] = {
		GSO(VIRTIO_NET_HDR_GSO_TCPV4, 0),
		GSO(VIRTIO_NET_HDR_GSO_TCPV4, 1),
		GSO(VIRTIO_NET_HDR_GSO_TCPV6, 1400),
		GSO(VIRTIO_NET_HDR_GSO_UDP, 1400),
		GSO(2, 1400),
		GSO(77, 1400),
		GSO(VIRTIO_NET_HDR_GSO_ECN, 1400),
		GSO(0xff, 1400),
		GSO(0x20 | VIRTIO_NET_HDR_GSO_TCPV4, 1400),
	};

	try_headers(lab, tries, sizeof(tries) / sizeof(tries[0]), 6, "nonsense in gso fields");
}

static void gso_of_another_protocol(struct lab *lab)
{
	static const struct header_try tries[] = {GSO(VIRTIO_NET_HDR_GSO_TCPV4, 1400)};

	try_headers(lab, tries, 1, 17, "TSO of a UDP datagram");
	try_headers(lab, tries, 1, 1, "TSO of ICMP");
}

/* The TCP header says that it is longer than the frame. */
static void gso_of_headers_beyond_the_frame(struct lab *lab)
{
	static const struct header_try try = GSO(VIRTIO_NET_HDR_GSO_TCPV4, 1400);
	uint64_t before = lab_counter(lab, "tx_bad_gso");
	uint64_t csum_before = lab_counter(lab, "tx_bad_csum");

	make_ip(lab, lab->frame, 6, 60);
	lab->frame[46] = 0xf0;
	card_send(&lab->a, &try.header, lab->frame, 60);
	make_ip(lab, lab->frame, 6, 60);
	lab->frame[14] = 0x4f;
	card_send(&lab->a, &try.header, lab->frame, 60);
	card_send(&lab->a, &try.header, lab->frame, 14);
	lab_nothing_arrives(lab, "headers beyond the frame");
	lab_counted(lab, "tx_bad_gso", before, 2);
	lab_counted(lab, "tx_bad_csum", csum_before, 1);
}

static void offloads_not_negotiated(struct lab *lab)
{
	static const struct header_try tries[] = {
		CSUM(34, 16),
		{{.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400}, "tx_bad_gso"},
	};

	try_headers(lab, tries, 2, 6, "offloads that were not negotiated");
}

/* The device must not rely on hdr_len, and num_buffers means nothing here. */
static void fields_that_mean_nothing(struct lab *lab)
{
	static const uint16_t values[] = {0, 1, 13, 1000, 65535};

	for (unsigned i = 0; i < 5; i++) {
		struct virtio_net_hdr_v1 header = {.hdr_len = values[i],
						   .num_buffers = values[4 - i]};

		frame_fill(lab->frame, 600, lab->h1.mac, lab->a.mac, ++lab->number);
		card_send(&lab->a, &header, lab->frame, 600);
		lab_arrives(lab, 600, "fields that mean nothing");
	}
}

#define CASE(n, ...)                                                            \
	{                                                                       \
		.name = #n, .run = (n), .opts = {.rx_posted = 16, __VA_ARGS__ } \
	}
#define LARGE .ring_size = 128, .tx_buffer_bytes = 70016
#define OFFLOADS LARGE, .features = CARD_FEATURES_OFFLOADS

const struct hostile_case offload_cases[] = {
	CASE(checksum_beyond_the_frame, OFFLOADS), CASE(gso_of_nonsense, OFFLOADS),
	CASE(gso_of_another_protocol, OFFLOADS),   CASE(gso_of_headers_beyond_the_frame, OFFLOADS),
	CASE(offloads_not_negotiated, LARGE),      CASE(fields_that_mean_nothing),
};
const unsigned offload_case_cnt = sizeof(offload_cases) / sizeof(offload_cases[0]);
