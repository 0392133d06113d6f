/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two namespaces with a tap each on one switch: the kernel's own TCP between them, large frames
 * and all, with the offloads of one, of both, of none.
 */
#include "uplink_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRANSFER_BYTES (16u << 20)
#define PORT 5001

static const char *const addresses[] = {"10.1.0.1", "10.1.0.2"};
static const char *const addresses6[] = {"fd00::1", "fd00::2"};
static const char *const ifnames[] = {"left0", "right0"};
static int namespaces[2];

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

static void enter(unsigned side)
{
	assert_int_equal(setns(namespaces[side], CLONE_NEWNET), 0);
}

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Of the right side. The port is another each time: the one before lingers. */
static union address right_address(int family)
{
	static uint16_t port = PORT;
	union address address = {.any.sa_family = (sa_family_t)family};

	if (family == AF_INET) {
		address.in.sin_port = htons(port++);
		inet_pton(family, addresses[1], &address.in.sin_addr);
	} else {
		address.in6.sin6_port = htons(port++);
		inet_pton(family, addresses6[1], &address.in6.sin6_addr);
	}
	return address;
}

/* A connection from the left to the right, both ends without waits. */
static void connect_sides(int family, int *left, int *right)
{
	const union address to = right_address(family);
	int listener, rc;

	enter(1);
	listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, &to.any, sizeof(to)), 0);
	assert_int_equal(listen(listener, 1), 0);
	enter(0);
	*left = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(*left >= 0);
	rc = connect(*left, &to.any, sizeof(to));
	if (rc < 0)
		fail_msg("no connection: %s", strerror(errno));
	*right = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(*right >= 0);
	assert_int_equal(fcntl(*left, F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

/* Byte i of a stream; sums of nearby bytes differ, so that no mix-up keeps a checksum. */
static uint8_t byte_at(unsigned i, unsigned seed)
{
	return (uint8_t)((i * 2654435761u >> 11) + seed);
}

static unsigned write_some(int fd, unsigned done, unsigned seed)
{
	static uint8_t bytes[65536];
	const unsigned left = TRANSFER_BYTES - done;
	const unsigned len = left < sizeof(bytes) ? left : (unsigned)sizeof(bytes);
	ssize_t got;

	for (unsigned i = 0; i < len; i++)
		bytes[i] = byte_at(done + i, seed);
	got = write(fd, bytes, len);
	if (got < 0)
		assert_int_equal(errno, EAGAIN);
	return got > 0 ? (unsigned)got : 0;
}

static unsigned read_some(int fd, unsigned done, unsigned seed)
{
	static uint8_t bytes[65536];
	const ssize_t got = read(fd, bytes, sizeof(bytes));

	if (got <= 0) {
		assert_int_equal(got, -1);
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	for (unsigned i = 0; i < (unsigned)got; i++) {
		if (bytes[i] != byte_at(done + i, seed))
			fail_msg("byte %u is wrong", done + i);
	}
	return (unsigned)got;
}

static void transfer(struct uplink_rig *rig, int from, int to, unsigned seed)
{
	const uint64_t start_ns = clock_now_ns();
	unsigned sent = 0, received = 0;

	while (received < TRANSFER_BYTES) {
		unsigned did;

		if (sent < TRANSFER_BYTES)
			sent += write_some(from, sent, seed);
		did = read_some(to, received, seed);
		received += did;
		if (did == 0)
			uplink_turn(rig, start_ns);
	}
}

static void streams_arrive_whole(struct uplink_rig *rig, int family, bool left_offloads,
				 bool right_offloads, unsigned queues, uint32_t mtu)
{
	const bool offloads[] = {left_offloads, right_offloads};
	struct tap_stats stats[2];
	struct tap *taps[2];
	int left, right;

	for (unsigned side = 0; side < 2; side++) {
		struct tap_options options = {
			.name = ifnames[side],
			.ifname = ifnames[side],
			.queues = queues,
			.mtu = mtu,
			.offloads = offloads[side],
			.worker_shift = side,
		};

		enter(side);
		taps[side] = rig_tap(rig, &options);
		if (family == AF_INET)
			host_address(ifnames[side], addresses[side]);
		else
			host_address6(ifnames[side], addresses6[side]);
	}
	connect_sides(family, &left, &right);
	transfer(rig, left, right, 1);
	transfer(rig, right, left, 2);
	for (unsigned side = 0; side < 2; side++) {
		tap_stats(taps[side], &stats[side]);
		assert_int_equal(stats[side].tx_errors + stats[side].tx_full, 0);
		assert_int_equal(stats[side].rx_errors + stats[side].rx_bad_header, 0);
		/* Large frames come from a side that has them, and only there. */
		if (offloads[side])
			assert_true(stats[side].rx_bytes / stats[side].rx_frames > 1000);
		else
			assert_true(stats[side].rx_bytes / stats[side].rx_frames <= 1514);
	}
	close(left);
	close(right);
	for (unsigned side = 0; side < 2; side++)
		rig_tap_close(rig, taps[side]);
}

static void offloads_of_both(void **state)
{
	streams_arrive_whole(*state, AF_INET, true, true, 1, 0);
}

static void offloads_of_the_left(void **state)
{
	streams_arrive_whole(*state, AF_INET, true, false, 1, 0);
}

static void offloads_of_none(void **state)
{
	streams_arrive_whole(*state, AF_INET, false, false, 1, 0);
}

static void offloads_with_queues(void **state)
{
	streams_arrive_whole(*state, AF_INET, true, true, 3, 0);
}

static void offloads_of_the_left_with_queues(void **state)
{
	streams_arrive_whole(*state, AF_INET, true, false, 2, 600);
}

static void offloads_with_ipv6(void **state)
{
	if (!host_has_ipv6())
		skip();
	for (unsigned turn = 0; turn < 4; turn++)
		streams_arrive_whole(*state, AF_INET6, turn & 1, turn & 2, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(offloads_of_both, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_of_the_left, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_of_none, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_with_queues, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_with_ipv6, setup, teardown),
		cmocka_unit_test_setup_teardown(offloads_of_the_left_with_queues, setup, teardown),
	};
	const char *reason;

	for (unsigned side = 0; side < 2; side++) {
		if (!host_enter(&reason)) {
			printf("skipped: %s\n", reason);
			return 77;
		}
		namespaces[side] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		if (namespaces[side] < 0) {
			printf("skipped: /proc/thread-self/ns/net cannot be opened\n");
			return 77;
		}
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
