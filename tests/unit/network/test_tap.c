/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap with the kernel behind it: frames both ways, what they leave open, several queues.
 * Not its opening, nor its end (test_tap_life.c).
 */
#include "uplink_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_BYTES_USUAL_MAX 1514
#define IP_HOST "10.0.0.1"
#define IP_PEER "10.0.0.2"
#define PORT 4000
#define UDP_AT (14 + 20)
#define PAYLOAD_AT (UDP_AT + 8)

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static const uint8_t peer_mac[] = {2, 0, 0, 0, 0, 2};
static const uint8_t some_mac[] = {2, 0, 0, 0, 0, 9};
static const unsigned lengths[] = {14, 60, 255, 256, 257, 300, 1500, 1514};

static void raw_frame(uint8_t *bytes, unsigned len, const uint8_t *to, const uint8_t *from,
		      unsigned seed)
{
	fill_pattern(bytes, len, seed);
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, from, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
}

/* The counters follow the write that the host's socket already knows of. */
static void wait_sent(struct tap *tap, uint64_t frames)
{
	const uint64_t start_ns = clock_now_ns();
	struct tap_stats stats;

	for (;;) {
		tap_stats(tap, &stats);
		assert_int_equal(stats.tx_errors + stats.tx_full, 0);
		if (stats.tx_frames >= frames)
			break;
		rig_wait_step(start_ns);
	}
	assert_int_equal(stats.tx_frames, frames);
}

static uint64_t sent(struct tap *tap)
{
	struct tap_stats stats;

	tap_stats(tap, &stats);
	return stats.tx_frames;
}

static bool refused(struct tap *tap)
{
	struct tap_stats stats;

	tap_stats(tap, &stats);
	assert_int_equal(stats.tx_frames, 0);
	return stats.tx_errors > 0;
}

static int setup(void **state)
{
	*state = uplink_rig_new();
	return 0;
}

static int teardown(void **state)
{
	uplink_rig_free(*state);
	return 0;
}

static void frames_from_the_kernel_are_whole(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = true};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	uint8_t bytes[FRAME_BYTES_USUAL_MAX];
	int fd = host_socket("tap0");
	struct tap_stats stats;
	uint64_t sum = 0;

	for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
		const struct peer_frame *got;

		raw_frame(bytes, lengths[i], peer_mac, some_mac, i);
		assert_int_equal(send(fd, bytes, lengths[i], 0), lengths[i]);
		got = peer_get(peer, i);
		assert_int_equal(got->len, lengths[i]);
		assert_memory_equal(got->bytes, bytes, lengths[i]);
		assert_int_equal(got->gso, FRAME_GSO_NONE);
		assert_false(got->csum_partial);
		sum += lengths[i];
	}
	tap_stats(tap, &stats);
	assert_int_equal(stats.rx_frames, ARRAY_LEN(lengths));
	assert_int_equal(stats.rx_bytes, sum);
	assert_int_equal(stats.rx_errors + stats.rx_bad_header + stats.tx_errors, 0);
	close(fd);
	rig_tap_close(rig, tap);
	peer_free(peer);
}

static void frames_to_the_kernel_are_whole(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = true};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	static uint8_t bytes[FRAME_BYTES_USUAL_MAX], got[2 * FRAME_BYTES_USUAL_MAX];
	int fd = host_socket("tap0");

	for (unsigned i = 0; i < 4 * ARRAY_LEN(lengths); i++) {
		const unsigned len = lengths[i % ARRAY_LEN(lengths)];
		const unsigned pieces = len > 300 ? 1 + 6 * (i / ARRAY_LEN(lengths)) : 1;
		const struct peer_frame frame = {.bytes = bytes, .len = len};

		raw_frame(bytes, len, some_mac, peer_mac, i);
		peer_send(peer, &frame, pieces);
		assert_int_equal(recv(fd, got, sizeof(got), 0), len);
		assert_memory_equal(got, bytes, len);
	}
	wait_sent(tap, 4 * ARRAY_LEN(lengths));
	close(fd);
	rig_tap_close(rig, tap);
	peer_free(peer);
}

static int udp_socket(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	const struct timeval patience = {.tv_sec = 60};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, IP_HOST, &in.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	inet_pton(AF_INET, IP_PEER, &in.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

/* One with addresses, a neighbour and a socket. */
struct inet_rig {
	struct peer *peer;
	struct tap *tap;
	uint8_t mac[ETHER_MAC_BYTES];
	int fd;
};

static void inet_open(struct uplink_rig *rig, struct inet_rig *inet, bool offloads)
{
	struct tap_options options = {.offloads = offloads};

	inet->peer = peer_new(rig, 1, "vm", NULL);
	inet->tap = rig_tap(rig, &options);
	host_address("tap0", IP_HOST);
	host_neighbour("tap0", IP_PEER, peer_mac);
	host_mac("tap0", inet->mac);
	inet->fd = udp_socket();
}

static void inet_close(struct uplink_rig *rig, struct inet_rig *inet)
{
	close(inet->fd);
	rig_tap_close(rig, inet->tap);
	peer_free(inet->peer);
}

static void partial_checksum_from_the_kernel(void **state)
{
	struct uplink_rig *rig = *state;
	uint8_t payload[1001];

	fill_pattern(payload, sizeof(payload), 5);
	for (unsigned offloads = 0; offloads < 2; offloads++) {
		const struct peer_frame *got;
		struct inet_rig inet;

		inet_open(rig, &inet, offloads);
		assert_int_equal(send(inet.fd, payload, sizeof(payload), 0), sizeof(payload));
		got = peer_get(inet.peer, 0);
		assert_int_equal(got->len, PAYLOAD_AT + sizeof(payload));
		assert_memory_equal(got->bytes + PAYLOAD_AT, payload, sizeof(payload));
		assert_int_equal(got->csum_partial, offloads);
		if (offloads) {
			assert_int_equal(got->csum_start, UDP_AT);
			assert_int_equal(got->csum_offset, 6);
		}
		assert_int_equal(l4_checksum_is_right(got->bytes, got->len), !offloads);
		inet_close(rig, &inet);
	}
}

static void partial_checksum_to_the_kernel(void **state)
{
	struct uplink_rig *rig = *state;
	static uint8_t payload[1001], bytes[FRAME_BYTES_USUAL_MAX], got[FRAME_BYTES_USUAL_MAX];

	for (unsigned offloads = 0; offloads < 2; offloads++) {
		struct inet_rig inet;

		inet_open(rig, &inet, offloads);
		for (unsigned len = 1; len <= sizeof(payload); len += 125) {
			struct peer_frame frame = {
				.bytes = bytes,
				.csum_partial = true,
				.csum_start = UDP_AT,
				.csum_offset = 6,
			};

			fill_pattern(payload, len, len);
			frame.len = build_udp(bytes, inet.mac, peer_mac, IP_HOST, IP_PEER, PORT,
					      payload, len);
			peer_send(inet.peer, &frame, 1);
			assert_int_equal(recv(inet.fd, got, sizeof(got), 0), len);
			assert_memory_equal(got, payload, len);
		}
		inet_close(rig, &inet);
	}
}

/* A wrong one must not arrive, or the test above says nothing. */
static void wrong_checksum_is_refused_by_the_kernel(void **state)
{
	struct uplink_rig *rig = *state;
	uint8_t bytes[FRAME_BYTES_USUAL_MAX], got[100];
	struct peer_frame frame = {.bytes = bytes, .csum_start = UDP_AT, .csum_offset = 6};
	struct inet_rig inet;

	inet_open(rig, &inet, true);
	frame.len = build_udp(bytes, inet.mac, peer_mac, IP_HOST, IP_PEER, PORT, "wrong", 5);
	peer_send(inet.peer, &frame, 1);
	frame.csum_partial = true;
	frame.len = build_udp(bytes, inet.mac, peer_mac, IP_HOST, IP_PEER, PORT, "right", 5);
	peer_send(inet.peer, &frame, 1);
	assert_int_equal(recv(inet.fd, got, sizeof(got), 0), 5);
	assert_memory_equal(got, "right", 5);
	inet_close(rig, &inet);
}

/* Segments of a datagram socket: one large frame, or many. */
static void large_udp_from_the_kernel(void **state)
{
	struct uplink_rig *rig = *state;
	static uint8_t payload[40000];
	const int segment = 1000;

	fill_pattern(payload, sizeof(payload), 8);
	for (unsigned offloads = 0; offloads < 2; offloads++) {
		struct inet_rig inet;
		unsigned done = 0;
		ssize_t sent_bytes;

		inet_open(rig, &inet, offloads);
		assert_int_equal(setsockopt(inet.fd, IPPROTO_UDP, UDP_SEGMENT, &segment,
					    sizeof(segment)),
				 0);
		sent_bytes = send(inet.fd, payload, sizeof(payload), 0);
		if (sent_bytes < 0 && errno == EIO && !offloads) {
			/* Before Linux 6.11 it takes an interface that completes checksums. */
			inet_close(rig, &inet);
			continue;
		}
		assert_int_equal(sent_bytes, sizeof(payload));
		for (unsigned i = 0; done < sizeof(payload); i++) {
			const struct peer_frame *got = peer_get(inet.peer, i);
			const unsigned bytes = got->len - PAYLOAD_AT;

			assert_memory_equal(got->bytes + PAYLOAD_AT, payload + done, bytes);
			done += bytes;
			if (!offloads) {
				assert_int_equal(bytes, segment);
				assert_true(l4_checksum_is_right(got->bytes, got->len));
			} else if (bytes > (unsigned)segment) { /* Linux 6.2 */
				assert_int_equal(got->gso, FRAME_GSO_UDP_L4);
				assert_int_equal(got->gso_bytes, segment);
				assert_true(got->csum_partial);
			}
		}
		assert_int_equal(done, sizeof(payload));
		inet_close(rig, &inet);
	}
}

static void large_udp_to_the_kernel(void **state)
{
	struct uplink_rig *rig = *state;
	static uint8_t payload[40000], bytes[sizeof(payload) + PAYLOAD_AT], got[sizeof(payload)];

	fill_pattern(payload, sizeof(payload), 3);
	for (unsigned turn = 0; turn < 4; turn++) {
		const bool offloads = turn & 1;
		const bool ufo = turn & 2;
		struct peer_frame frame = {
			.bytes = bytes,
			.csum_partial = true,
			.csum_start = UDP_AT,
			.csum_offset = 6,
			.gso = ufo ? FRAME_GSO_UDP : FRAME_GSO_UDP_L4,
			.gso_bytes = 1400,
		};
		struct inet_rig inet;
		unsigned done = 0;

		inet_open(rig, &inet, offloads);
		frame.len = build_udp(bytes, inet.mac, peer_mac, IP_HOST, IP_PEER, PORT, payload,
				      sizeof(payload));
		peer_send(inet.peer, &frame, 16);
		while (done < sizeof(payload)) {
			const unsigned want = ufo ? sizeof(payload)
					      : sizeof(payload) - done < 1400
						      ? (unsigned)sizeof(payload) - done
						      : 1400;

			assert_int_equal(recv(inet.fd, got, sizeof(got), 0), want);
			assert_memory_equal(got, payload + done, want);
			done += want;
		}
		/* A kernel without USO is given datagrams. */
		if (offloads && !ufo)
			uplink_wait(rig, sent(inet.tap) == 1 || sent(inet.tap) == 29);
		else
			wait_sent(inet.tap, offloads ? 1 : 29);
		inet_close(rig, &inet);
	}
}

static void access_vlan_is_untagged_for_the_kernel(void **state)
{
	struct uplink_rig *rig = *state;
	const struct netport_vlans trunk = {.mode = NETPORT_VLAN_TRUNK, .trunk = {1 << 10}};
	struct tap_options options = {
		.offloads = true,
		.port.vlans = {.mode = NETPORT_VLAN_ACCESS, .access = 10},
	};
	struct peer *peer = peer_new(rig, 1, "vm", &trunk);
	struct tap *tap = rig_tap(rig, &options);
	uint8_t plain[400], tagged[404], got[500];
	const struct peer_frame frame = {.bytes = tagged, .len = sizeof(tagged)};
	const struct peer_frame *in;
	struct tap_stats stats;
	int fd = host_socket("tap0");

	raw_frame(plain, sizeof(plain), some_mac, peer_mac, 1);
	memcpy(tagged, plain, 12);
	memcpy(tagged + 12, "\x81\x00\x00\x0a", 4);
	memcpy(tagged + 16, plain + 12, sizeof(plain) - 12);
	peer_send(peer, &frame, 1);
	assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(plain));
	assert_memory_equal(got, plain, sizeof(plain));
	/* The socket would not show a tag, which the kernel takes off. */
	wait_sent(tap, 1);
	tap_stats(tap, &stats);
	assert_int_equal(stats.tx_bytes, sizeof(plain));

	raw_frame(plain, sizeof(plain), peer_mac, some_mac, 2);
	assert_int_equal(send(fd, plain, sizeof(plain), 0), sizeof(plain));
	in = peer_get(peer, 0);
	assert_int_equal(in->len, sizeof(tagged));
	assert_memory_equal(in->bytes, plain, 12);
	assert_memory_equal(in->bytes + 12, "\x81\x00\x00\x0a", 4);
	assert_memory_equal(in->bytes + 16, plain + 12, sizeof(plain) - 12);
	close(fd);
	rig_tap_close(rig, tap);
	peer_free(peer);
}

static void queues_share_the_work(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = true, .queues = 4};
	struct peer *peer = peer_new(rig, 0, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	uint8_t bytes[100], got[200];
	int fd = host_socket("tap0");
	struct tap_stats stats;

	for (unsigned i = 0; i < 500; i++) {
		const struct peer_frame frame = {.bytes = bytes, .len = sizeof(bytes)};

		raw_frame(bytes, sizeof(bytes), peer_mac, some_mac, i);
		bytes[10] = (uint8_t)i;
		assert_int_equal(send(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
		assert_memory_equal(peer_get(peer, i)->bytes, bytes, sizeof(bytes));

		raw_frame(bytes, sizeof(bytes), some_mac, peer_mac, i);
		bytes[4] = (uint8_t)i;
		peer_send(peer, &frame, 1);
		assert_int_equal(recv(fd, got, sizeof(got), 0), sizeof(bytes));
		assert_memory_equal(got, bytes, sizeof(bytes));
	}
	tap_stats(tap, &stats);
	assert_int_equal(stats.rx_frames, 500);
	wait_sent(tap, 500);
	close(fd);
	rig_tap_close(rig, tap);
	peer_free(peer);
}

static void large_frame_without_its_checksum_field_is_refused(void **state)
{
	struct uplink_rig *rig = *state;
	struct tap_options options = {.offloads = false};
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	struct tap *tap = rig_tap(rig, &options);
	uint8_t bytes[2000];
	const struct peer_frame frame = {
		.bytes = bytes,
		.len = sizeof(bytes),
		.gso = FRAME_GSO_TCP4,
		.gso_bytes = 500,
		.csum_partial = true,
		.csum_start = UDP_AT,
		.csum_offset = 16,
	};

	/* No TCP: nothing that could be cut. */
	raw_frame(bytes, sizeof(bytes), some_mac, peer_mac, 1);
	peer_send(peer, &frame, 1);
	uplink_wait(rig, refused(tap));
	rig_tap_close(rig, tap);
	peer_free(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_from_the_kernel_are_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(frames_to_the_kernel_are_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(partial_checksum_from_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(partial_checksum_to_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_checksum_is_refused_by_the_kernel, setup,
						teardown),
		cmocka_unit_test_setup_teardown(large_udp_from_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(large_udp_to_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(access_vlan_is_untagged_for_the_kernel, setup,
						teardown),
		cmocka_unit_test_setup_teardown(queues_share_the_work, setup, teardown),
		cmocka_unit_test_setup_teardown(large_frame_without_its_checksum_field_is_refused,
						setup, teardown),
	};
	const char *reason;

	if (!host_enter(&reason)) {
		printf("skipped: %s\n", reason);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
