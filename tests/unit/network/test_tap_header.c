/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of a tap against frames that they fit, and those that they do not.
 * Pure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "flow/checksum.h"
#include "network/tap_priv.h"

#define L4_AT 34
#define TCP_BYTES 20
#define UDP_BYTES 8

/* IPv4 in Ethernet with so many bytes in all, of which the head is there. */
static void frame_of(struct frame *frame, uint8_t proto, uint32_t bytes)
{
	static const uint8_t start[] = {2, 0, 0, 0, 0, 1,  2, 0, 0, 0,  0, 2, 8, 0,  0x45, 0, 0,
					0, 0, 0, 0, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0,    0, 2};

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->head, start, sizeof(start));
	frame->head[16] = (uint8_t)((bytes - 14) >> 8);
	frame->head[17] = (uint8_t)(bytes - 14);
	frame->head[23] = proto;
	frame->head[L4_AT + 4] = (uint8_t)((bytes - L4_AT) >> 8); /* UDP's length */
	frame->head[L4_AT + 5] = (uint8_t)(bytes - L4_AT);
	if (proto == IP_PROTO_TCP)
		frame->head[L4_AT + 12] = 5 << 4;
	frame->bytes = bytes;
	frame->head_bytes = (uint16_t)(bytes < FRAME_HEAD_BYTES ? bytes : FRAME_HEAD_BYTES);
}

struct header_case {
	const char *name;
	uint8_t proto;
	uint32_t bytes;
	uint8_t flags, type;
	uint16_t gso_size, start, offset;
	bool good;
	uint8_t gso; /* of a good one */
};

#define CSUM TAP_HEADER_F_NEEDS_CSUM
#define TCP4 TAP_HEADER_GSO_TCPV4
#define TCP6 TAP_HEADER_GSO_TCPV6
#define USO TAP_HEADER_GSO_UDP_L4
#define UFO TAP_HEADER_GSO_UDP
#define ECN TAP_HEADER_GSO_ECN

static const struct header_case cases[] = {
	{"nothing", 6, 1514, 0, 0, 0, 0, 0, true, FRAME_GSO_NONE},
	{"nothing, of a frame without IP header", 6, 14, 0, 0, 0, 0, 0, true, FRAME_GSO_NONE},
	{"valid", 6, 1514, TAP_HEADER_F_DATA_VALID, 0, 0, 0, 0, true, FRAME_GSO_NONE},
	{"checksum", 6, 1514, CSUM, 0, 0, 34, 16, true, FRAME_GSO_NONE},
	{"checksum at the end of the head", 6, 1514, CSUM, 0, 0, 238, 16, true, FRAME_GSO_NONE},
	{"checksum behind the head", 6, 1514, CSUM, 0, 0, 239, 16, false, 0},
	{"checksum at the end of the frame", 6, 60, CSUM, 0, 0, 42, 16, true, FRAME_GSO_NONE},
	{"checksum behind the frame", 6, 60, CSUM, 0, 0, 43, 16, false, 0},
	{"checksum that wraps", 6, 60, CSUM, 0, 0, 65535, 65535, false, 0},
	{"checksum in the addresses", 6, 60, CSUM, 0, 0, 0, 2, false, 0},
	{"large TCP", 6, 40000, CSUM, TCP4, 1448, 34, 16, true, FRAME_GSO_TCP4},
	{"large TCP with ECN", 6, 40000, CSUM, TCP4 | ECN, 1448, 34, 16, true, FRAME_GSO_TCP4},
	{"large TCP that was checked", 6, 40000, TAP_HEADER_F_DATA_VALID, TCP4, 1448, 0, 0, true,
	 FRAME_GSO_TCP4},
	{"large TCP, another checksum", 6, 40000, CSUM, TCP4, 1448, 34, 6, false, 0},
	{"large TCP, checksum elsewhere", 6, 40000, CSUM, TCP4, 1448, 36, 16, false, 0},
	{"large TCP of IPv6, which it is not", 6, 40000, CSUM, TCP6, 1448, 34, 16, false, 0},
	{"large TCP without size", 6, 40000, CSUM, TCP4, 0, 34, 16, false, 0},
	{"large TCP of tiny size", 6, 40000, CSUM, TCP4, FRAME_GSO_BYTES_MIN - 1, 34, 16, false, 0},
	{"large TCP without payload", 6, L4_AT + TCP_BYTES, CSUM, TCP4, 1448, 34, 16, false, 0},
	{"large TCP that is UDP", 17, 40000, CSUM, TCP4, 1448, 34, 16, false, 0},
	{"large UDP", 17, 40000, CSUM, USO, 1448, 34, 6, true, FRAME_GSO_UDP_L4},
	{"large UDP that is TCP", 6, 40000, CSUM, USO, 1448, 34, 6, false, 0},
	{"large datagram", 17, 40000, CSUM, UFO, 1448, 34, 6, true, FRAME_GSO_UDP},
	{"an unknown kind", 6, 40000, CSUM, 2, 1448, 34, 16, false, 0},
	{"ECN of nothing", 6, 40000, CSUM, ECN, 1448, 34, 16, false, 0},
};

static void headers_are_judged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct header_case *c = &cases[i];
		const struct tap_header header = {
			.flags = c->flags,
			.gso_type = c->type,
			.gso_size = le16_of(c->gso_size),
			.csum_start = le16_of(c->start),
			.csum_offset = le16_of(c->offset),
		};
		struct frame frame;

		frame_of(&frame, c->proto, c->bytes);
		if (tap_header_judge(&frame, &header) != c->good)
			fail_msg("%s: is %s", c->name, c->good ? "refused" : "taken");
		if (!c->good)
			continue;
		assert_int_equal(frame.gso, c->gso);
		assert_int_equal(frame.gso_ecn, (c->type & ECN) != 0);
		assert_int_equal(frame.csum_partial, (c->flags & CSUM) || c->gso != FRAME_GSO_NONE);
		assert_int_equal(frame.csum_valid, c->flags == TAP_HEADER_F_DATA_VALID);
		if (c->gso != FRAME_GSO_NONE) {
			assert_int_equal(frame.gso_bytes, c->gso_size);
			assert_true(frame.dissected);
		}
	}
}

/* An IP header that says less than the frame has: its segments would be longer than IP can say. */
static void large_frame_that_cannot_be_cut(void **state)
{
	struct tap_header header = {
		.flags = TAP_HEADER_F_NEEDS_CSUM,
		.gso_type = TCP4,
		.gso_size = le16_of(1448),
		.csum_start = le16_of(L4_AT),
		.csum_offset = le16_of(16),
	};
	struct frame frame;

	(void)state;
	frame_of(&frame, IP_PROTO_TCP, 1000);
	frame.bytes = FRAME_BYTES_MAX;
	assert_true(tap_header_judge(&frame, &header));
	header.gso_size = le16_of(65535);
	frame_of(&frame, IP_PROTO_TCP, 1000);
	frame.bytes = FRAME_BYTES_MAX;
	assert_false(tap_header_judge(&frame, &header));
}

static void checked_large_frame_gets_a_partial_checksum(void **state)
{
	const struct tap_header header = {
		.flags = TAP_HEADER_F_DATA_VALID, .gso_type = TCP4, .gso_size = le16_of(100)};
	uint8_t pseudo[12] = {10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 0};
	struct frame frame;
	uint16_t field, sum;

	(void)state;
	frame_of(&frame, IP_PROTO_TCP, 1000);
	pseudo[10] = (1000 - L4_AT) >> 8;
	pseudo[11] = (uint8_t)(1000 - L4_AT);
	assert_true(tap_header_judge(&frame, &header));
	memcpy(&field, frame.head + L4_AT + 16, sizeof(field));
	sum = (uint16_t)~checksum_fold(checksum_add(0, pseudo, sizeof(pseudo), false));
	assert_int_equal(field, sum);
	assert_int_equal(frame.csum_start, L4_AT);
	assert_int_equal(frame.csum_offset, 16);
}

static void large_tcp_of_ipv6(void **state)
{
	struct tap_header header = {.flags = CSUM,
				    .gso_type = TCP6,
				    .gso_size = le16_of(1428),
				    .csum_start = le16_of(54),
				    .csum_offset = le16_of(16)};
	struct frame frame;

	(void)state;
	frame_of(&frame, IP_PROTO_TCP, 40000);
	memset(frame.head + 14, 0, FRAME_HEAD_BYTES - 14);
	frame.head[12] = 0x86;
	frame.head[13] = 0xdd;
	frame.head[14] = 0x60;
	frame.head[18] = (40000 - 54) >> 8;
	frame.head[19] = (uint8_t)(40000 - 54);
	frame.head[20] = IP_PROTO_TCP;
	frame.head[54 + 12] = 5 << 4;
	assert_true(tap_header_judge(&frame, &header));
	assert_int_equal(frame.gso, FRAME_GSO_TCP6);
	tap_header_fill(&header, &frame, -4);
	assert_int_equal(header.gso_type, TCP6);
	assert_int_equal(le16_get(header.csum_start), 50);
	assert_int_equal(le16_get(header.hdr_len), 54 + TCP_BYTES - 4);
	header.gso_type = TCP4;
	header.csum_start = le16_of(54);
	assert_false(tap_header_judge(&frame, &header));
}

/* What is made of a frame is judged to be the same frame. */
static void headers_are_filled(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct header_case *c = &cases[i];
		struct tap_header header = {
			.flags = c->flags,
			.gso_type = c->type,
			.gso_size = le16_of(c->gso_size),
			.csum_start = le16_of(c->start),
			.csum_offset = le16_of(c->offset),
		};
		struct frame frame;

		if (!c->good)
			continue;
		frame_of(&frame, c->proto, c->bytes);
		assert_true(tap_header_judge(&frame, &header));
		tap_header_fill(&header, &frame, 4);
		assert_int_equal(header.gso_type, c->type);
		if (frame.csum_partial) {
			assert_int_equal(header.flags, TAP_HEADER_F_NEEDS_CSUM);
			assert_int_equal(le16_get(header.csum_start), frame.csum_start + 4);
			assert_int_equal(le16_get(header.csum_offset), frame.csum_offset);
		} else {
			assert_int_equal(header.flags, c->flags);
		}
		if (frame.gso == FRAME_GSO_NONE)
			continue;
		assert_int_equal(le16_get(header.gso_size), c->gso_size);
		assert_int_equal(le16_get(header.hdr_len),
				 L4_AT + 4 + (c->proto == 6 ? TCP_BYTES : UDP_BYTES));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_judged),
		cmocka_unit_test(large_frame_that_cannot_be_cut),
		cmocka_unit_test(checked_large_frame_gets_a_partial_checksum),
		cmocka_unit_test(large_tcp_of_ipv6),
		cmocka_unit_test(headers_are_filled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
