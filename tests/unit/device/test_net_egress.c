/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what one guest sends to what another receives, without rings: transmit headers judged, and
 * frames as receivers get them that agreed on more or less.
 * Not the segmentation itself (tests/unit/flow).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "device/net/net_priv.h"
#include "unit/flow/frames.h"

#define PAYLOAD_MAX 16000u
#define GSO_BYTES 1000u

/* A sender's frame: head as a slot has it, the rest in pieces. */
struct sent {
	struct frame frame;
	struct iovec iov[3];
	uint8_t bytes[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	unsigned len;
	unsigned headers; /* bytes up to the payload */
	unsigned l4;
	struct net_header header;
};

static const struct net_rules all = {
	.header_bytes = 12,
	.host_csum = true,
	.host_gso = 0xff,
	.tx_frame_bytes_max = FRAME_BYTES_MAX,
	.mergeable = true,
	.guest_csum = true,
	.guest_tso4 = true,
	.guest_tso6 = true,
	.guest_ecn = true,
	.guest_ufo = true,
	.guest_uso4 = true,
	.guest_uso6 = true,
	.rx_frame_bytes_max = FRAME_BYTES_MAX,
};

/* Stores the sum of the pseudo header, as a guest does that leaves the rest to us. */
static void put_pseudo(struct sent *s, const struct frames_head *f, uint8_t proto,
		       unsigned csum_offset)
{
	const unsigned l4_bytes = s->len - s->l4;
	const uint8_t *ip = s->bytes + f->l3;
	uint8_t tail[4] = {0, proto, (uint8_t)(l4_bytes >> 8), (uint8_t)l4_bytes};
	uint64_t sum = frames_slow_sum(0, ip + (f->ipv6 ? 8 : 12), f->ipv6 ? 32 : 8, false);

	sum = frames_slow_sum(sum, tail, sizeof(tail), false);
	frames_put16(s->bytes + s->l4 + csum_offset, frames_slow_fold(sum));
}

static void make(struct sent *s, const char *layers, unsigned payload_bytes, uint8_t gso_type)
{
	uint64_t seed = 1 + payload_bytes;
	bool tcp = strstr(layers, "tcp") != NULL;
	struct frames_head f;
	unsigned head;

	memset(s, 0, sizeof(*s));
	frames_build(&f, layers, payload_bytes);
	memcpy(s->bytes, f.bytes, f.len);
	frames_random(s->bytes + f.len, payload_bytes, &seed);
	s->len = f.len + payload_bytes;
	s->headers = f.len;
	s->l4 = f.l4;
	put_pseudo(s, &f, tcp ? 6 : 17, tcp ? 16 : 6);
	s->header.flags = NET_HDR_F_NEEDS_CSUM;
	s->header.csum_start = le16_of((uint16_t)f.l4);
	s->header.csum_offset = le16_of(tcp ? 16 : 6);
	s->header.gso_type = gso_type;
	s->header.gso_size = le16_of(gso_type ? GSO_BYTES : 0);

	frame_init(&s->frame, NULL);
	head = s->len < FRAME_HEAD_BYTES ? s->len : FRAME_HEAD_BYTES;
	memcpy(s->frame.head, s->bytes, head);
	s->frame.head_bytes = (uint16_t)head;
	s->frame.bytes = s->len;
	/* Three pieces, one of them odd. */
	if (s->len > head + 40) {
		s->iov[0] = (struct iovec){s->bytes + head, 7};
		s->iov[1] = (struct iovec){s->bytes + head + 7, 20};
		s->iov[2] = (struct iovec){s->bytes + head + 27, s->len - head - 27};
		s->frame.iov_cnt = 3;
	} else if (s->len > head) {
		s->iov[0] = (struct iovec){s->bytes + head, s->len - head};
		s->frame.iov_cnt = 1;
	}
	s->frame.iov = s->iov;
}

static void judge_good(struct sent *s)
{
	assert_int_equal(net_header_judge(&s->frame, &s->header, &all), 0);
}

/* The output at hand, all of it. Takes its payload. */
static unsigned collect(struct net_egress *egress, uint8_t *out)
{
	struct net_payload *payload = &egress->payload;
	unsigned rest = egress->payload_bytes < payload->rest_bytes ? egress->payload_bytes
								    : payload->rest_bytes;
	unsigned at = egress->head_bytes;

	memcpy(out, egress->head, at);
	memcpy(out + at, payload->rest, rest);
	payload->rest += rest;
	payload->rest_bytes -= rest;
	at += rest;
	at += (unsigned)iov_copy_in(&payload->cursor, out + at, egress->payload_bytes - rest);
	payload->taken_bytes += egress->payload_bytes - rest;
	assert_int_equal(at, egress->head_bytes + egress->payload_bytes);
	return at;
}

/* Is the L4 checksum of an IPv4 or IPv6 frame right, all of it? */
static bool csum_right(const uint8_t *bytes, unsigned len, unsigned l3, unsigned l4, uint8_t proto)
{
	const bool ipv6 = bytes[l3] >> 4 == 6;
	uint8_t tail[4] = {0, proto, (uint8_t)((len - l4) >> 8), (uint8_t)(len - l4)};
	uint64_t sum = frames_slow_sum(0, bytes + l3 + (ipv6 ? 8 : 12), ipv6 ? 32 : 8, false);

	sum = frames_slow_sum(sum, tail, sizeof(tail), false);
	sum = frames_slow_sum(sum, bytes + l4, len - l4, false);
	return frames_slow_fold(sum) == 0xffff;
}

static void test_whole_large_frame(void **state)
{
	static struct net_egress egress;
	static uint8_t out[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static struct sent s;

	(void)state;
	make(&s, "ip4 tcp", 5000, NET_HDR_GSO_TCPV4);
	judge_good(&s);
	net_egress_begin(&egress, &s.frame, &all, NETPORT_TAG_KEEP);
	assert_true(net_egress_next(&egress));
	/* The frame has CWR set, so its segments are not all alike. */
	assert_int_equal(egress.header.gso_type, NET_HDR_GSO_TCPV4 | NET_HDR_GSO_ECN);
	assert_int_equal(le16_get(egress.header.gso_size), GSO_BYTES);
	assert_int_equal(le16_get(egress.header.hdr_len), s.headers);
	assert_int_equal(egress.header.flags, NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(le16_get(egress.header.csum_start), s.l4);
	assert_int_equal(le16_get(egress.header.csum_offset), 16);
	assert_int_equal(collect(&egress, out), s.len);
	assert_memory_equal(out, s.bytes, s.len);
	assert_false(net_egress_next(&egress));
}

static void check_segments(const char *layers, uint8_t type, uint8_t proto, bool guest_csum)
{
	static struct net_egress egress;
	static uint8_t out[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static uint8_t payload[PAYLOAD_MAX];
	static struct sent s;
	struct net_rules rules = all;
	unsigned cnt = 0, done = 0;

	rules.guest_tso4 = rules.guest_tso6 = rules.guest_uso4 = rules.guest_uso6 = false;
	rules.guest_csum = guest_csum;
	make(&s, layers, 4567, type);
	judge_good(&s);
	net_egress_begin(&egress, &s.frame, &rules, NETPORT_TAG_KEEP);
	while (net_egress_next(&egress)) {
		unsigned len = collect(&egress, out);

		assert_int_equal(egress.header.gso_type, 0);
		assert_int_equal(egress.header.flags, guest_csum ? NET_HDR_F_NEEDS_CSUM : 0);
		assert_true(len <= s.headers + GSO_BYTES);
		if (!guest_csum)
			assert_true(csum_right(out, len, ETHER_HEADER_BYTES, s.l4, proto));
		memcpy(payload + done, out + s.headers, len - s.headers);
		done += len - s.headers;
		cnt++;
	}
	assert_int_equal(cnt, 5);
	assert_int_equal(egress.segments, 5);
	assert_int_equal(egress.csums, guest_csum ? 0 : 5);
	assert_int_equal(done, 4567);
	assert_memory_equal(payload, s.bytes + s.headers, done);
}

static void test_segments(void **state)
{
	(void)state;
	for (int guest_csum = 0; guest_csum < 2; guest_csum++) {
		check_segments("ip4 tcp", NET_HDR_GSO_TCPV4, 6, guest_csum);
		check_segments("ip6 tcpopt", NET_HDR_GSO_TCPV6, 6, guest_csum);
		check_segments("ip4opt udp", NET_HDR_GSO_UDP_L4, 17, guest_csum);
		check_segments("ip6 udp", NET_HDR_GSO_UDP_L4, 17, guest_csum);
	}
}

/* Every length around the end of head, odd ones too. */
static void test_csum_completed(void **state)
{
	static struct net_egress egress;
	static uint8_t out[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static struct sent s;
	struct net_rules rules = all;

	(void)state;
	rules.guest_csum = false;
	for (unsigned payload = 0; payload < 600; payload++) {
		make(&s, payload % 2 ? "ip4 udp" : "ip6 tcp", payload, 0);
		judge_good(&s);
		net_egress_begin(&egress, &s.frame, &rules, NETPORT_TAG_KEEP);
		assert_true(net_egress_next(&egress));
		assert_int_equal(collect(&egress, out), s.len);
		assert_true(csum_right(out, s.len, ETHER_HEADER_BYTES, s.l4, payload % 2 ? 17 : 6));
		assert_int_equal(egress.header.flags, 0);
		assert_int_equal(egress.csums, 1);
		assert_false(net_egress_next(&egress));
	}
}

/* Fragments of one datagram, whose checksum is complete. */
static void test_fragments(void **state)
{
	static struct net_egress egress;
	static uint8_t out[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static uint8_t whole[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static struct sent s;
	struct net_rules rules = all;
	unsigned cnt = 0, done = 0;

	(void)state;
	rules.guest_ufo = false;
	make(&s, "ip4 udp", 3500, NET_HDR_GSO_UDP);
	judge_good(&s);
	net_egress_begin(&egress, &s.frame, &rules, NETPORT_TAG_KEEP);
	memcpy(whole, s.bytes, s.l4);
	while (net_egress_next(&egress)) {
		unsigned len = collect(&egress, out);

		assert_int_equal((frames_be16(out + 20) & 0x1fff) * 8, done);
		memcpy(whole + s.l4 + done, out + s.l4, len - s.l4);
		done += len - s.l4;
		cnt++;
	}
	assert_true(cnt > 3);
	assert_int_equal(done, 3508);
	assert_memory_equal(whole + s.headers, s.bytes + s.headers, 3500);
	assert_true(csum_right(whole, s.len, ETHER_HEADER_BYTES, s.l4, 17));
}

static void test_tags(void **state)
{
	static struct net_egress egress;
	static uint8_t out[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static struct sent s;

	(void)state;
	make(&s, "ip4 tcp", 3000, NET_HDR_GSO_TCPV4);
	judge_good(&s);
	s.frame.vlan = 0x123;
	net_egress_begin(&egress, &s.frame, &all, NETPORT_TAG_PUSH);
	assert_true(net_egress_next(&egress));
	assert_int_equal(collect(&egress, out), s.len + 4);
	assert_int_equal(frames_be16(out + 12), ETHER_TYPE_VLAN);
	assert_int_equal(frames_be16(out + 14), 0x123);
	assert_memory_equal(out, s.bytes, 12);
	assert_memory_equal(out + 16, s.bytes + 12, s.len - 12);
	assert_int_equal(le16_get(egress.header.csum_start), s.l4 + 4);
	assert_int_equal(le16_get(egress.header.hdr_len), s.headers + 4);

	make(&s, "vlan ip4 tcp", 30, 0);
	judge_good(&s);
	s.frame.tagged = true;
	net_egress_begin(&egress, &s.frame, &all, NETPORT_TAG_POP);
	assert_true(net_egress_next(&egress));
	assert_int_equal(collect(&egress, out), s.len - 4);
	assert_memory_equal(out, s.bytes, 12);
	assert_memory_equal(out + 12, s.bytes + 16, s.len - 16);
	assert_int_equal(le16_get(egress.header.csum_start), s.l4 - 4);
}

/* The frame is copied elsewhere between two of its segments. */
static void test_moved_between_segments(void **state)
{
	static struct net_egress egress;
	static uint8_t out[FRAMES_HEAD_MAX + PAYLOAD_MAX];
	static struct sent s, other;
	struct net_rules rules = all;
	unsigned done = 0, len;

	(void)state;
	rules.guest_tso4 = rules.guest_csum = false;
	make(&s, "ip4 tcp", 4000, NET_HDR_GSO_TCPV4);
	judge_good(&s);
	net_egress_begin(&egress, &s.frame, &rules, NETPORT_TAG_KEEP);
	while (net_egress_next(&egress)) {
		if (done == GSO_BYTES) {
			memcpy(&other, &s, sizeof(s));
			other.iov[0] = (struct iovec){other.bytes + other.frame.head_bytes,
						      other.len - other.frame.head_bytes};
			other.frame.iov = other.iov;
			other.frame.iov_cnt = 1;
			net_egress_moved(&egress, &other.frame);
			memset(s.bytes + s.headers, 0xee, 4000);
			memset(&s.frame.head[s.headers], 0xee, FRAME_HEAD_BYTES - s.headers);
		}
		len = collect(&egress, out);
		assert_memory_equal(out + s.headers,
				    other.len ? other.bytes + s.headers + done
					      : s.bytes + s.headers + done,
				    len - s.headers);
		done += len - s.headers;
	}
	assert_int_equal(done, 4000);
}

#define COUNTER(member) (offsetof(struct net_stats, member) + 1)

static void expect_refused(struct sent *s, const struct net_rules *rules, size_t counter)
{
	assert_int_equal(net_header_judge(&s->frame, &s->header, rules), counter);
}

/* CVE-2024-11614: a checksum beyond the frame. */
static void test_csum_beyond_headers(void **state)
{
	static struct sent s;
	struct net_rules rules = all;

	(void)state;
	for (unsigned start = 0; start < 0x10000; start += 13) {
		make(&s, "ip4 udp", 10, 0);
		s.header.csum_start = le16_of((uint16_t)start);
		if (start >= ETHER_HEADER_BYTES && start + 6 + 2 <= s.len)
			judge_good(&s);
		else
			expect_refused(&s, &all, COUNTER(tx_bad_csum));
	}
	make(&s, "ip4 udp", 10, 0);
	s.header.csum_offset = le16_of(0xffff);
	expect_refused(&s, &all, COUNTER(tx_bad_csum));
	make(&s, "ip4 udp", 10, 0);
	rules.host_csum = false;
	expect_refused(&s, &rules, COUNTER(tx_bad_csum));
}

/* DPDK 7023f3e532 and CVE-2026-100236: a segment of no size, headers that do not fit. */
static void test_bad_gso(void **state)
{
	static const struct {
		const char *layers;
		uint8_t type;
		uint16_t bytes;
	} bad[] = {
		{"ip4 tcp", NET_HDR_GSO_TCPV4, 0},
		{"ip4 tcp", NET_HDR_GSO_TCPV4, 1},
		{"ip4 tcp", NET_HDR_GSO_TCPV4, FRAME_GSO_BYTES_MIN - 1},
		{"ip4 tcp", NET_HDR_GSO_TCPV6, 1000},
		{"ip6 tcp", NET_HDR_GSO_TCPV4, 1000},
		{"ip4 udp", NET_HDR_GSO_TCPV4, 1000},
		{"ip4 tcp", NET_HDR_GSO_UDP, 1000},
		{"ip4 tcp", NET_HDR_GSO_UDP_L4, 1000},
		{"ip4 tcp", 2, 1000},
		{"ip4 tcp", 0x20 | NET_HDR_GSO_TCPV4, 1000},
		{"ip4 udp", NET_HDR_GSO_ECN | NET_HDR_GSO_UDP_L4, 1000},
		{"ip4 tcp", 0xff, 1000},
	};
	static struct sent s;
	struct net_rules rules = all;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		make(&s, bad[i].layers, 3000, bad[i].type);
		s.header.gso_size = le16_of(bad[i].bytes);
		expect_refused(&s, &all, COUNTER(tx_bad_gso));
	}
	/* Without, or with another, checksum. */
	make(&s, "ip4 tcp", 3000, NET_HDR_GSO_TCPV4);
	s.header.flags = 0;
	expect_refused(&s, &all, COUNTER(tx_bad_gso));
	make(&s, "ip4 tcp", 3000, NET_HDR_GSO_TCPV4);
	s.header.csum_offset = le16_of(6);
	expect_refused(&s, &all, COUNTER(tx_bad_gso));
	make(&s, "ip4 tcp", 3000, NET_HDR_GSO_TCPV4);
	s.header.csum_start = le16_of((uint16_t)(s.l4 + 2));
	expect_refused(&s, &all, COUNTER(tx_bad_gso));
	/* Not agreed on. */
	make(&s, "ip4 tcp", 3000, NET_HDR_GSO_TCPV4);
	rules.host_gso = (uint8_t) ~(1u << FRAME_GSO_TCP4);
	expect_refused(&s, &rules, COUNTER(tx_bad_gso));
}

/* hdr_len is a hint: nothing follows it. */
static void test_hdr_len_is_ignored(void **state)
{
	static struct net_egress egress;
	static struct sent s;

	(void)state;
	for (unsigned hdr_len = 0; hdr_len < 0x10000; hdr_len += 251) {
		make(&s, "ip4 tcp", 3000, NET_HDR_GSO_TCPV4);
		s.header.hdr_len = le16_of((uint16_t)hdr_len);
		s.header.num_buffers = le16_of((uint16_t)hdr_len);
		judge_good(&s);
		net_egress_begin(&egress, &s.frame, &all, NETPORT_TAG_KEEP);
		assert_true(net_egress_next(&egress));
		assert_int_equal(le16_get(egress.header.hdr_len), s.headers);
		assert_int_equal(le16_get(egress.header.num_buffers), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_large_frame),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_csum_completed),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_moved_between_segments),
		cmocka_unit_test(test_csum_beyond_headers),
		cmocka_unit_test(test_bad_gso),
		cmocka_unit_test(test_hdr_len_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
