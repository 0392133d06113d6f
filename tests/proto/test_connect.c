/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other ways to a front end than a path to listen on: connecting and trying again, inherited
 * descriptors; and what happens when no descriptor is free.
 * Not what is said on the connection.
 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static int accept_within(struct rig *rig, int listener)
{
	uint64_t deadline_ns = clock_now_ns() + 20 * NS_PER_S;
	struct pollfd p = {.fd = listener, .events = POLLIN};

	while (poll(&p, 1, 0) == 0) {
		if (clock_now_ns() > deadline_ns)
			rig_fail(rig, "nobody connected");
		assert_int_equal(evloop_turn(rig->loop, 20), 0);
	}
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static void test_client(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = {
		.connect_path = path,
		.fd = -1,
	};
	struct rig rig;
	int listener;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options); /* nobody is there */
	rig_spin(&rig);
	assert_false(vhost_user_connected(rig.vu));
	close(sockets_listen(path)); /* there, but not listening */
	rig_spin(&rig);
	unlink(path);
	listener = sockets_listen(path);
	for (unsigned i = 0; i < 3; i++) {
		rig.front = accept_within(&rig, listener);
		assert_true(rig.front >= 0);
		rig_until(&rig, sockets_has_front, "the session");
		rig.sent = vhost_user_stats(rig.vu)->messages;
		rig_play(&rig, "client", rig_hello);
		rig_play(&rig, "client: ring", rig_ring0_running);
		sockets_go(&rig);
	}
	/* One that hangs up without a word is come back to as well. */
	for (unsigned i = 0; i < 3; i++) {
		rig.front = accept_within(&rig, listener);
		sockets_go(&rig);
	}
	/* Away for a while. */
	close(listener);
	unlink(path);
	rig_spin(&rig);
	listener = sockets_listen(path);
	rig.front = accept_within(&rig, listener);
	rig_until(&rig, sockets_has_front, "the session");
	assert_int_equal(vhost_user_stats(rig.vu)->sessions, 7);
	rig_close(&rig);
	close(listener);
	/* What we did not make we do not remove. */
	assert_int_equal(unlink(path), 0);
	rig_fini(&rig);
}

/* Closed while it waits for its next attempt. */
static void test_client_closed_waiting(void **state)
{
	struct vhost_user_options options = {
		.connect_path = sockets_path("nobody"),
		.fd = -1,
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	rig_fini(&rig);
}

static void test_inherited(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = {.fd = sockets_listen(path)};
	unsigned before;
	struct rig rig;
	int pair[2], fd;

	(void)state;
	rig_init(&rig, 2);
	/* One that listens. */
	sockets_open(&rig, &options);
	sockets_come(&rig, path);
	rig_play(&rig, "inherited: hello", rig_hello);
	sockets_go(&rig);
	sockets_come(&rig, path);
	rig_play(&rig, "inherited: hello again", rig_hello);
	rig_close(&rig);
	assert_int_equal(unlink(path), 0); /* not ours to remove */
	close(rig.front);
	rig.front = -1;
	/* What is none. */
	before = rig_fd_cnt();
	options.fd = rig.fds[FD_EVENT];
	sockets_refuse(&rig, &options, ENOTSOCK, "is not a socket");
	options.fd = rig.fds[FD_DATAGRAM];
	sockets_refuse(&rig, &options, EINVAL, "is not a UNIX stream socket");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	options.fd = fd;
	sockets_refuse(&rig, &options, EINVAL, "is not a UNIX stream socket");
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	options.fd = fd;
	sockets_refuse(&rig, &options, ENOTCONN, "neither listens nor is connected");
	close(fd);
	options.fd = 9999;
	sockets_refuse(&rig, &options, EBADF, "9999");
	assert_int_equal(rig_fd_cnt(), before);
	/* One that is connected: its flags are the front end's business too. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	options.fd = pair[0];
	sockets_open(&rig, &options);
	rig.front = pair[1];
	assert_int_equal(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
	sockets_go(&rig);
	rig_fini(&rig);
}

static bool served(struct rig *rig)
{
	return vhost_user_stats(rig->vu)->sessions == 1;
}

/* No descriptor is free for the connection: it waits, the loop does not spin, and it is served. */
static void test_out_of_descriptors(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct rlimit was, now;
	unsigned turns = 0;
	struct rig rig;
	int spare;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	rig.front = sockets_connect(path);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	spare = dup(0);
	assert_true(spare >= 0);
	close(spare);
	now = was;
	now.rlim_cur = (rlim_t)spare;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	for (uint64_t end_ns = clock_now_ns() + 50 * NS_PER_MS; clock_now_ns() < end_ns; turns++)
		evloop_turn(rig.loop, 10);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(turns < 50);
	assert_int_equal(vhost_user_stats(rig.vu)->sessions, 0);
	rig_until(&rig, served, "the front end to be served");
	rig_play(&rig, "out of descriptors", rig_hello);
	rig_close(&rig);
	rig_fini(&rig);
}

/* Descriptors that cannot be received are lost: the message is refused, not misread. */
static void test_out_of_descriptors_for_message(void **state)
{
	struct rlimit was, now;
	struct packet {
		struct vu_header header;
		uint64_t ring;
	} p = {{VU_SET_VRING_CALL, 1 | NEED, 8}, 0};
	static const enum rig_fd fds[] = {FD_EVENT};
	struct vu_header header;
	struct rig rig;
	uint64_t ack = 0;
	int spare;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_play(&rig, "out of descriptors", rig_hello);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	spare = dup(0);
	close(spare);
	now = was;
	now.rlim_cur = (rlim_t)spare;
	rig_send(&rig, &p, sizeof(p), fds, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	rig_spin(&rig);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(rig_receive(&rig, &header, &ack, sizeof(ack)));
	assert_int_equal(ack, 1);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_client_closed_waiting),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_out_of_descriptors_for_message),
	};

	return cmocka_run_group_tests_name("connect", tests, sockets_setup, sockets_remove);
}
