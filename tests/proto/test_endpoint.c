/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening on a path: one that is free, stale, taken or something else; and one front end at a
 * time. Not connecting, and not inherited descriptors (test_connect.c).
 */
#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static void test_path(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct stat st;
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	sockets_come(&rig, path);
	rig_play(&rig, "path: hello", rig_hello);
	rig_play(&rig, "path: ring", rig_ring0_running);
	rig_close(&rig);
	assert_int_equal(stat(path, &st), -1);
	rig_fini(&rig);
}

static void test_mode_and_owner(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	mode_t mask = umask(0077);
	struct stat st;
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	options.socket_mode = 0666;
	options.socket_group = getegid();
	options.socket_owner = geteuid();
	sockets_open(&rig, &options);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(st.st_gid, getegid());
	rig_close(&rig);
	if (geteuid() == 0) {
		options.socket_owner = 12345;
		options.socket_group = 23456;
		sockets_open(&rig, &options);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 12345);
		assert_int_equal(st.st_gid, 23456);
		rig_close(&rig);
	} else {
		options.socket_owner = 0;
		sockets_refuse(&rig, &options, EPERM, "cannot change owner");
		assert_int_equal(stat(path, &st), -1);
	}
	umask(mask);
	rig_fini(&rig);
}

static void test_stale_socket(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	close(sockets_listen(path)); /* the file stays */
	sockets_open(&rig, &options);
	sockets_come(&rig, path);
	sockets_go(&rig);
	rig_close(&rig);
	rig_fini(&rig);
}

static void test_live_socket(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	int live = sockets_listen(path), waiting[16];
	unsigned n = 0;
	struct stat before, after;
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	assert_int_equal(stat(path, &before), 0);
	sockets_refuse(&rig, &options, EADDRINUSE, "somebody listens on");
	/* Also when its backlog is full. */
	for (; n < 16; n++) {
		struct sockaddr_un name;

		waiting[n] = sockets_plain(path, &name);
		fcntl(waiting[n], F_SETFL, O_NONBLOCK);
		if (connect(waiting[n], (struct sockaddr *)&name, sizeof(name)) < 0)
			break;
	}
	assert_int_equal(errno, EAGAIN);
	sockets_refuse(&rig, &options, EADDRINUSE, "somebody listens on");
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	for (unsigned i = 0; i <= n; i++)
		close(waiting[i]);
	close(live);
	unlink(path);
	rig_fini(&rig);
}

static void test_not_a_socket(void **state)
{
	const char *path = sockets_path("file");
	struct vhost_user_options options = sockets_options(path);
	char link[128], long_path[200];
	struct rig rig;
	int fd;

	(void)state;
	rig_init(&rig, 2);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	sockets_refuse(&rig, &options, EEXIST, "not a socket");
	snprintf(link, sizeof(link), "%s/link", sockets_dir);
	assert_int_equal(symlink(path, link), 0);
	options.listen_path = link;
	sockets_refuse(&rig, &options, EEXIST, "not a socket");
	unlink(link);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	options.listen_path = sockets_dir;
	sockets_refuse(&rig, &options, EEXIST, "not a socket");
	options.listen_path = sockets_path("no/such/directory");
	sockets_refuse(&rig, &options, ENOENT, "no/such/directory");
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	options.listen_path = long_path;
	sockets_refuse(&rig, &options, ENAMETOOLONG, "must have 1 to 107");
	options.listen_path = "";
	sockets_refuse(&rig, &options, ENAMETOOLONG, "must have 1 to 107");
	options.listen_path = NULL;
	options.connect_path = long_path;
	sockets_refuse(&rig, &options, ENAMETOOLONG, "must have 1 to 107");
	options.connect_path = NULL;
	sockets_refuse(&rig, &options, EINVAL, "exactly one of");
	options.connect_path = options.listen_path = "/tmp/x";
	sockets_refuse(&rig, &options, EINVAL, "exactly one of");
	rig_fini(&rig);
}

/* A datagram socket listens for nobody, but it is somebody's. */
static void test_other_socket(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct sockaddr_un name;
	struct rig rig;
	int fd;

	(void)state;
	rig_init(&rig, 2);
	close(sockets_plain(path, &name));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	sockets_refuse(&rig, &options, EPROTOTYPE, "cannot find out");
	close(fd);
	unlink(path);
	rig_fini(&rig);
}

/* What somebody else has put in our place is left alone. */
static void test_socket_replaced(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct rig rig;
	int other;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	unlink(path);
	other = sockets_listen(path);
	rig_close(&rig);
	assert_int_equal(access(path, F_OK), 0);
	close(other);
	unlink(path);
	rig_fini(&rig);
}

static bool refused_one(struct rig *rig)
{
	return vhost_user_stats(rig->vu)->sessions_refused == 1;
}

static void test_second_front_end(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct rig rig;
	char byte;
	int second;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	sockets_come(&rig, path);
	rig_play(&rig, "second: hello", rig_hello);
	second = sockets_connect(path);
	rig_until(&rig, refused_one, "the second to be refused");
	assert_int_equal(recv(second, &byte, 1, MSG_DONTWAIT), 0);
	close(second);
	/* The first has not noticed. */
	rig_play(&rig, "second: ring", rig_ring0_running);
	assert_int_equal(vhost_user_stats(rig.vu)->sessions, 1);
	rig_close(&rig);
	rig_fini(&rig);
}

/* The next one finds what the first found, nothing of what that said. */
static void test_next_front_end(void **state)
{
	static const struct rig_step changed[] = {
		ASK(SET_CONFIG, CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 1, 1), CALLS("write 32+1")),
		ASK(SET_STATUS, U64(15)),
		ACT(END),
	};
	static const struct rig_step fresh[] = {
		GET(GET_STATUS, EMPTY, 0),
		MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 0)),
		ACT(END),
	};
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	unsigned fds = 0;
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	for (unsigned i = 0; i < 1000; i++) {
		sockets_come(&rig, path);
		rig_play(&rig, "next: hello", rig_hello);
		rig_play(&rig, "next: fresh", fresh);
		rig_play(&rig, "next: ring", rig_ring0_running);
		rig_play(&rig, "next: changes", changed);
		sockets_go(&rig);
		if (i == 10)
			fds = rig_fd_cnt();
	}
	assert_int_equal(rig_fd_cnt(), fds);
	assert_int_equal(vhost_user_stats(rig.vu)->sessions, 1000);
	assert_int_equal(vhost_user_stats(rig.vu)->sessions_refused, 0);
	rig_close(&rig);
	rig_fini(&rig);
}

/* One that comes while the queues of the last one drain waits, and is not refused. */
static void test_next_waits_for_drain(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	unsigned turns = 0;
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	sockets_come(&rig, path);
	rig_play(&rig, "drain: hello", rig_hello);
	rig_play(&rig, "drain: ring", rig_ring0_running);
	fake_device_hold(rig.device);
	/* Both at once: the loop may see the new one first. */
	close(rig.front);
	rig.front = sockets_connect(path);
	assert_true(rig.front >= 0);
	rig_spin(&rig);
	assert_int_equal(fake_device_held(rig.device), 1);
	assert_false(vhost_user_connected(rig.vu));
	assert_true(rig_silent(&rig));
	/* Waiting costs nothing: with nothing else to do, a turn waits for its whole timeout. */
	for (uint64_t end_ns = clock_now_ns() + 50 * NS_PER_MS; clock_now_ns() < end_ns; turns++)
		evloop_turn(rig.loop, 10);
	assert_true(turns < 50);
	fake_device_release(rig.device);
	rig_until(&rig, sockets_has_front, "the next to be served");
	assert_int_equal(vhost_user_stats(rig.vu)->sessions_refused, 0);
	rig.sent = vhost_user_stats(rig.vu)->messages;
	rig_play(&rig, "drain: next", rig_hello);
	rig_close(&rig);
	rig_fini(&rig);
}

/* Many times over: gone and back before the loop looks. */
static void test_back_at_once(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	sockets_come(&rig, path);
	for (unsigned i = 0; i < 100; i++) {
		static const struct vu_header bytes = {.request = VU_SET_OWNER, .flags = 1};

		rig_send(&rig, &bytes, i % 2 ? sizeof(bytes) : 5, NULL, 0);
		close(rig.front);
		rig.front = sockets_connect(path);
		rig_spin(&rig);
		assert_true(vhost_user_connected(rig.vu));
	}
	assert_int_equal(vhost_user_stats(rig.vu)->sessions, 101);
	assert_int_equal(vhost_user_stats(rig.vu)->sessions_refused, 0);
	rig_close(&rig);
	rig_fini(&rig);
}

/* Close while the last one drains and the next one waits: that one is sent away at once. */
static void test_close_with_one_waiting(void **state)
{
	const char *path = sockets_path("s");
	struct vhost_user_options options = sockets_options(path);
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	sockets_open(&rig, &options);
	sockets_come(&rig, path);
	rig_play(&rig, "close: hello", rig_hello);
	rig_play(&rig, "close: ring", rig_ring0_running);
	fake_device_hold(rig.device);
	close(rig.front);
	rig.front = sockets_connect(path);
	rig_spin(&rig);
	assert_true(rig_silent(&rig));
	vhost_user_close(rig.vu, sockets_note_closed, &rig);
	assert_false(rig_silent(&rig));
	assert_int_equal(access(path, F_OK), -1);
	assert_false(rig.closed_cb);
	fake_device_release(rig.device);
	assert_true(rig.closed_cb);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_mode_and_owner),
		cmocka_unit_test(test_stale_socket),
		cmocka_unit_test(test_live_socket),
		cmocka_unit_test(test_not_a_socket),
		cmocka_unit_test(test_other_socket),
		cmocka_unit_test(test_socket_replaced),
		cmocka_unit_test(test_second_front_end),
		cmocka_unit_test(test_next_front_end),
		cmocka_unit_test(test_next_waits_for_drain),
		cmocka_unit_test(test_back_at_once),
		cmocka_unit_test(test_close_with_one_waiting),
	};

	return cmocka_run_group_tests_name("endpoint", tests, sockets_setup, sockets_remove);
}
