/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large frames and checksums that are left to others, between guests that take different things.
 * Not every kind of header (test_net_egress.c).
 */
#include "net_rig.h"

#include "device/net/rx_priv.h"
#include "unit/flow/frames.h"

#define MSS 1448u
#define NO_MERGE BIT(NET_F_MRG_RXBUF)
#define NO_CSUM (NET_RIG_GUEST_GSO | BIT(NET_F_GUEST_CSUM))

static struct net_rig rig;
static struct net_received received;

/* A large frame, or one with its checksum to be completed. */
static struct {
	uint8_t bytes[FRAME_BYTES_MAX];
	unsigned len, headers, l3, l4, csum_offset;
	bool ipv6;
	uint8_t proto, gso_type;
	struct net_header header;
} sent;

static uint64_t pseudo_sum(const uint8_t *bytes, unsigned len)
{
	const uint8_t *ip = bytes + sent.l3;
	const unsigned l4_bytes = len - sent.l4;
	const uint8_t tail[4] = {0, sent.proto, (uint8_t)(l4_bytes >> 8), (uint8_t)l4_bytes};
	uint64_t sum = frames_slow_sum(0, ip + (sent.ipv6 ? 8 : 12), sent.ipv6 ? 32 : 8, false);

	return frames_slow_sum(sum, tail, sizeof(tail), false);
}

static void make(const char *layers, unsigned payload_bytes, uint8_t gso_type)
{
	const bool tcp = strstr(layers, "tcp") != NULL;
	uint64_t seed = payload_bytes + 1;
	struct frames_head head;

	memset(&sent, 0, sizeof(sent));
	frames_build(&head, layers, payload_bytes);
	memcpy(sent.bytes, head.bytes, head.len);
	memcpy(sent.bytes, rig.guests[1].mac, 6);
	memcpy(sent.bytes + 6, rig.guests[0].mac, 6);
	frames_random(sent.bytes + head.len, payload_bytes, &seed);
	sent.len = head.len + payload_bytes;
	sent.headers = head.len;
	sent.l3 = head.l3;
	sent.l4 = head.l4;
	sent.ipv6 = head.ipv6;
	sent.proto = tcp ? 6 : 17;
	sent.csum_offset = tcp ? 16 : 6;
	sent.gso_type = gso_type;
	frames_put16(sent.bytes + sent.l4 + sent.csum_offset,
		     frames_slow_fold(pseudo_sum(sent.bytes, sent.len)));
	sent.header.flags = NET_HDR_F_NEEDS_CSUM;
	sent.header.csum_start = le16_of((uint16_t)sent.l4);
	sent.header.csum_offset = le16_of((uint16_t)sent.csum_offset);
	sent.header.gso_type = gso_type;
	sent.header.gso_size = le16_of(gso_type ? MSS : 0);
}

static void send(enum net_layout layout)
{
	struct net_guest *a = &rig.guests[0];

	assert_true(net_rig_send(a, 1, &sent.header, sent.bytes, sent.len, layout));
	net_rig_publish(a, 1);
}

/* Completes the checksum as a receiver has to, and holds it against the definition. */
static void check_csum(bool may_be_partial)
{
	uint8_t *field = received.frame + sent.l4 + sent.csum_offset;
	const unsigned l4_bytes = received.bytes - sent.l4;
	uint64_t sum;

	if (received.header.flags & NET_HDR_F_NEEDS_CSUM) {
		assert_true(may_be_partial);
		assert_int_equal(le16_get(received.header.csum_start), sent.l4);
		assert_int_equal(le16_get(received.header.csum_offset), sent.csum_offset);
		sum = frames_slow_sum(0, received.frame + sent.l4, l4_bytes, false);
		frames_put16(field, (uint16_t)~frames_slow_fold(sum));
	}
	sum = pseudo_sum(received.frame, received.bytes);
	sum = frames_slow_sum(sum, received.frame + sent.l4, l4_bytes, false);
	assert_int_equal(frames_slow_fold(sum), 0xffff);
}

/* It came as it was sent. */
static void check_whole(void)
{
	assert_int_equal(received.bytes, sent.len);
	assert_memory_equal(received.frame, sent.bytes, sent.len);
	/* The frame says of itself that CWR is set; the receiver is told. */
	assert_int_equal(received.header.gso_type & ~NET_HDR_GSO_ECN, sent.gso_type);
	assert_int_equal(le16_get(received.header.gso_size), sent.gso_type ? MSS : 0);
	if (sent.gso_type)
		assert_int_equal(le16_get(received.header.hdr_len), sent.headers);
	check_csum(true);
}

/* The next of its segments; true: it was the last. */
static bool check_segment(unsigned *at, bool may_be_partial)
{
	const unsigned left = sent.len - sent.headers - *at;
	const unsigned payload = left < MSS ? left : MSS;
	const uint8_t *ip = received.frame + sent.l3;

	assert_int_equal(received.header.gso_type, 0);
	assert_int_equal(received.bytes, sent.headers + payload);
	assert_memory_equal(received.frame, sent.bytes, sent.l3);
	assert_memory_equal(received.frame + sent.headers, sent.bytes + sent.headers + *at,
			    payload);
	if (sent.ipv6)
		assert_int_equal(frames_be16(ip + 4), received.bytes - sent.l3 - 40);
	else
		assert_int_equal(frames_be16(ip + 2), received.bytes - sent.l3);
	if (sent.proto == 6)
		assert_int_equal(frames_be32(received.frame + sent.l4 + 4),
				 frames_be32(sent.bytes + sent.l4 + 4) + *at);
	check_csum(may_be_partial);
	*at += payload;
	return payload == left;
}

static void open_pair(const struct net_guest_options *receiver, unsigned workers)
{
	struct net_guest_options b = *receiver;

	b.rx_worker = workers - 1;
	net_rig_open(&rig, workers);
	net_rig_guest(&rig, 0, &(struct net_guest_options){0});
	net_rig_guest(&rig, 1, &b);
}

static const struct {
	const char *layers;
	unsigned payload_bytes;
	uint8_t gso_type;
} larges[] = {
	{"ip4 tcp", 65535 - 40, NET_HDR_GSO_TCPV4},
	{"ip4 tcpopt", 65000, NET_HDR_GSO_TCPV4},
	{"ip6 tcp", 65535 - 60, NET_HDR_GSO_TCPV6},
	{"ip6 tcpopt", MSS + 1, NET_HDR_GSO_TCPV6},
	{"ip4 udp", 65535 - 28, NET_HDR_GSO_UDP_L4},
	{"ip6 udp", 40001, NET_HDR_GSO_UDP_L4},
	{"vlan ip4 tcp", 30000, NET_HDR_GSO_TCPV4},
	{"ip4 tcp", 1, NET_HDR_GSO_TCPV4},
	{"ip4 tcp", 1000, 0},
	{"ip6 udp", 1001, 0},
};

/* The receiver takes it as it is, over as many buffers as it takes. */
static void test_taken_whole(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		const struct net_guest_options options = {
			.format = (enum ring_format)(bits & 1),
			.in_order = bits & 2,
			.features_off = bits & 4 ? NO_MERGE : 0,
			.buffer_bytes = bits & 4 ? 0 : 1526,
			.size = 128,
		};
		struct net_guest *b;

		open_pair(&options, 1 + bits / 8);
		b = &rig.guests[1];
		for (unsigned i = 0; i < ARRAY_LEN(larges); i++) {
			net_rig_post(b, 0, NET_RIG_ALL);
			make(larges[i].layers, larges[i].payload_bytes, larges[i].gso_type);
			send((enum net_layout)(i % NET_LAYOUT_CNT_));
			net_rig_until(&rig, net_rig_receive(b, 0, &received));
			check_whole();
			net_rig_until(&rig, net_rig_all_back(&rig.guests[0], 1));
		}
		assert_int_equal(net_rig_stats(b).rx_gso, 8);
		assert_int_equal(net_rig_stats(b).rx_segments, 0);
		net_rig_close(&rig);
	}
}

/*
 * Receives all segments, posting at most some buffers at a time. False: the frame waited too long
 * for them, which is counted.
 */
static bool receive_segments(unsigned buffers, bool may_be_partial)
{
	struct net_guest *b = &rig.guests[1];
	const uint64_t lost = net_rig_stats(b).rx_no_buffer;
	uint64_t deadline_ns = net_rig_deadline_ns();
	unsigned at = 0;

	for (;;) {
		net_rig_post(b, 0, buffers);
		while (net_rig_receive(b, 0, &received)) {
			if (check_segment(&at, may_be_partial))
				return true;
		}
		if (net_rig_stats(b).rx_no_buffer != lost)
			return false;
		net_rig_turn(&rig, deadline_ns, "segments");
	}
}

static void check_segments(const struct net_guest_options *options, unsigned workers,
			   unsigned buffers)
{
	const bool csum = !(options->features_off & BIT(NET_F_GUEST_CSUM));
	struct net_guest *b;
	struct net_stats stats;

	open_pair(options, workers);
	b = &rig.guests[1];
	for (unsigned i = 0; i < ARRAY_LEN(larges); i++) {
		if (!larges[i].gso_type)
			continue;
		do {
			/* What an attempt left that was given up. */
			while (net_rig_receive(b, 0, &received))
				;
			make(larges[i].layers, larges[i].payload_bytes, larges[i].gso_type);
			send((enum net_layout)(i % NET_LAYOUT_CNT_));
			if (buffers < NET_RIG_ALL)
				net_rig_until(&rig, net_rig_all_back(&rig.guests[0], 1));
		} while (!receive_segments(buffers, csum));
		net_rig_until(&rig, net_rig_all_back(&rig.guests[0], 1));
	}
	stats = net_rig_stats(b);
	assert_int_equal(stats.rx_gso, 0);
	assert_true(stats.rx_segments > 0);
	assert_true(csum ? !stats.rx_csums : stats.rx_csums >= stats.rx_segments);
	net_rig_close(&rig);
}

static void test_segments(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 32; bits++) {
		const struct net_guest_options options = {
			.format = (enum ring_format)(bits & 1),
			.in_order = bits & 2,
			.features_off = (bits & 4 ? NO_MERGE : 0) |
					(bits & 8 ? NO_CSUM : NET_RIG_GUEST_GSO),
			.buffer_bytes = bits & 4 ? 1600 : 700,
			.size = 256,
		};

		check_segments(&options, 1 + bits / 16, NET_RIG_ALL);
	}
}

/* Buffers run out in the midst of the segments, and of one; the sender has its own back by then. */
static void test_segments_wait(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		const struct net_guest_options options = {
			.format = (enum ring_format)(bits & 1),
			.in_order = bits & 2,
			.features_off = bits & 4 ? NO_CSUM : NET_RIG_GUEST_GSO,
			.buffer_bytes = 700,
		};

		check_segments(&options, 1 + bits / 8, 2 + bits % 3);
	}
}

static void test_csum_completed(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		const struct net_guest_options options = {
			.format = (enum ring_format)(bits & 1),
			.features_off = NO_CSUM | (bits & 2 ? NO_MERGE : 0),
			.buffer_bytes = bits & 2 ? 2000 : 300,
		};
		struct net_guest *b;

		open_pair(&options, 1 + bits / 4);
		b = &rig.guests[1];
		for (unsigned bytes = 0; bytes < 1460; bytes += 41) {
			net_rig_post(b, 0, NET_RIG_ALL);
			make(bytes % 2 ? "ip4 tcp" : "ip6 udp", bytes, 0);
			send((enum net_layout)(bytes % NET_LAYOUT_CNT_));
			net_rig_until(&rig, net_rig_receive(b, 0, &received));
			assert_int_equal(received.bytes, sent.len);
			assert_int_equal(received.header.flags, 0);
			check_csum(false);
			assert_memory_equal(received.frame + sent.headers,
					    sent.bytes + sent.headers, bytes);
			net_rig_until(&rig, net_rig_all_back(&rig.guests[0], 1));
		}
		net_rig_close(&rig);
	}
}

/*
 * The rules change, twice, while a frame waits between its segments: what is left of it is counted
 * as dropped, and the next one is whole.
 */
static void test_rules_change_between_segments(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		struct net_guest_options options = {
			.features_off = bits & 1 ? NO_CSUM : NET_RIG_GUEST_GSO,
			.buffer_bytes = 1600,
			.mtu = 9000,
		};
		struct net_guest *b;
		struct err err = ERR_INIT;

		open_pair(&options, 1 + bits / 2);
		b = &rig.guests[1];
		for (unsigned i = 0; i < 20; i++) {
			const uint64_t lost = net_rig_stats(b).rx_no_buffer;
			unsigned at = 0;

			make("ip4 tcp", 60000, NET_HDR_GSO_TCPV4);
			net_rig_post(b, 0, 1 + i % 3);
			send(NET_LAYOUT_ONE);
			net_rig_until(&rig, net_rig_all_back(&rig.guests[0], 1));
			for (unsigned k = 0; k < 2; k++)
				assert_int_equal(device_message(b->device, DEVICE_MESSAGE_MTU,
								8000 + i * 2 + k, &err),
						 0);
			net_rig_until(&rig, net_rig_stats(b).rx_no_buffer == lost + 1);
			while (net_rig_receive(b, 0, &received))
				assert_false(check_segment(&at, !(bits & 1)));
			do {
				send(NET_LAYOUT_ONE);
			} while (!receive_segments(NET_RIG_ALL, !(bits & 1)));
			net_rig_until(&rig, net_rig_all_back(&rig.guests[0], 1));
		}
		net_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken_whole),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_segments_wait),
		cmocka_unit_test(test_csum_completed),
		cmocka_unit_test(test_rules_change_between_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
