/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owned descriptors and doorbells, with the kinds that a front end may pass. Not an event loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fdio.h"

static bool fd_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_close(void **state)
{
	int fd = eventfd(0, 0);
	int old = fd;

	(void)state;
	assert_true(fd >= 0);
	errno = ENOTTY;
	fdio_close(&fd);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(fd, -1);
	assert_false(fd_is_open(old));
	fdio_close(&fd);
	assert_int_equal(fd, -1);
}

static void test_signal_and_drain(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t value = 0;

	(void)state;
	assert_int_equal(fdio_signal(fd), 0);
	assert_int_equal(fdio_signal(fd), 0);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 2);
	assert_int_equal(fdio_signal(fd), 0);
	fdio_drain(fd);
	assert_int_equal(read(fd, &value, sizeof(value)), -1);
	assert_int_equal(errno, EAGAIN);
	fdio_close(&fd);
	assert_int_equal(fdio_signal(-1), -EBADF);
}

static void test_full_counter_is_success(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	const uint64_t full = UINT64_MAX - 1;

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(fdio_signal(fd), 0);
	fdio_close(&fd);
}

static void test_doorbell_eventfd(void **state)
{
	int fd = eventfd(0, 0);
	int flags = fcntl(fd, F_GETFL);
	int passed = fd;

	(void)state;
	assert_int_equal(fdio_open_doorbell(&fd), 0);
	assert_int_equal(fd, passed);
	assert_int_equal(fcntl(fd, F_GETFL), flags);
	fdio_close(&fd);
}

/* User-Mode Linux passes a blocking pipe and does not always read it. */
static void test_doorbell_pipe(void **state)
{
	int fds[2];
	int passed;
	int theirs;
	int flags;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	/* As after SCM_RIGHTS: two descriptors, one description. */
	theirs = fds[1];
	passed = dup(theirs);
	assert_true(passed >= 0);
	flags = fcntl(theirs, F_GETFL);
	assert_int_equal(flags & O_NONBLOCK, 0);

	assert_int_equal(fdio_open_doorbell(&passed), 0);
	assert_int_equal(fcntl(theirs, F_GETFL), flags);
	assert_int_equal(fcntl(passed, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(passed, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	assert_int_equal(fdio_signal(passed), 0);
	assert_int_equal(read(fds[0], &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1);
	/* Full: said already, and no wait. */
	for (int i = 0; i < 1000 * 1000 / 8; i++)
		assert_int_equal(fdio_signal(passed), 0);
	fdio_close(&passed);
	fdio_close(&theirs);
	fdio_close(&fds[0]);
}

static void test_doorbell_pipe_without_reader(void **state)
{
	int fds[2];

	(void)state;
	/* As the daemon's threads have it: the error is the return value. */
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fdio_open_doorbell(&fds[1]), 0);
	fdio_close(&fds[0]);
	assert_int_equal(fdio_signal(fds[1]), -EPIPE);
	fdio_close(&fds[1]);
}

/* User-Mode Linux: a blocking socketpair in place of a pipe. Full, it must not hold us. */
static void test_doorbell_socket(void **state)
{
	int sockets[2];
	uint64_t got = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(fdio_open_doorbell(&sockets[1]), 0);
	assert_true(fdio_is_socket(sockets[1]));
	assert_int_equal(fcntl(sockets[1], F_GETFL) & O_NONBLOCK, 0);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(fdio_signal_socket(sockets[1]), 0);
	assert_int_equal(read(sockets[0], &got, sizeof(got)), sizeof(got));
	assert_int_equal(got, 1);
	close(sockets[0]);
	assert_true(fdio_signal_socket(sockets[1]) < 0);
	close(sockets[1]);
	assert_false(fdio_is_socket(-1));
}

static void check_refused(int fd, int expected)
{
	const int passed = fd;

	assert_true(fd >= 0);
	assert_int_equal(fdio_open_doorbell(&fd), expected);
	assert_int_equal(fd, passed);
	close(passed);
}

static void test_doorbell_refused(void **state)
{
	char path[] = "/tmp/pario-test-fdio-XXXXXX";
	int sockets[2];
	int bad = 1000000;

	(void)state;
	check_refused(mkstemp(path), -EINVAL);
	unlink(path);
	check_refused(memfd_create("m", 0), -EINVAL);
	check_refused(open("/dev/null", O_WRONLY), -EINVAL);
	check_refused(open("/", O_RDONLY | O_DIRECTORY), -EINVAL);
	/* A datagram would be one message for each signal, and an INET peer is not on this host. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
	check_refused(sockets[0], -EINVAL);
	check_refused(sockets[1], -EINVAL);
	check_refused(socket(AF_INET, SOCK_STREAM, 0), -EINVAL);
	assert_int_equal(fdio_open_doorbell(&bad), -ENOENT);
}

static void test_cloexec(void **state)
{
	int fd = eventfd(0, 0);

	(void)state;
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	assert_int_equal(fdio_set_cloexec(fd), 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	fdio_close(&fd);
	assert_int_equal(fdio_set_cloexec(-1), -EBADF);
}

static void test_raise_limit(void **state)
{
	struct rlimit lim;
	struct err err = ERR_INIT;
	uint64_t got = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = lim.rlim_max < 64 ? lim.rlim_max : 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	/* What is there already is not lowered. */
	assert_int_equal(fdio_raise_limit(1, &got, &err), 0);
	assert_int_equal(got, lim.rlim_cur);
	assert_int_equal(fdio_raise_limit(lim.rlim_max, &got, &err), 0);
	assert_int_equal(got, lim.rlim_max);
	/* More than can be had: as much as there is, and the caller learns it. */
	assert_int_equal(fdio_raise_limit(UINT64_MAX / 2, &got, &err), 0);
	assert_true(got >= lim.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_int_equal(got, lim.rlim_cur);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_signal_and_drain),
		cmocka_unit_test(test_full_counter_is_success),
		cmocka_unit_test(test_doorbell_eventfd),
		cmocka_unit_test(test_doorbell_pipe),
		cmocka_unit_test(test_doorbell_pipe_without_reader),
		cmocka_unit_test(test_doorbell_socket),
		cmocka_unit_test(test_doorbell_refused),
		cmocka_unit_test(test_cloexec),
		cmocka_unit_test(test_raise_limit),
	};

	return cmocka_run_group_tests_name("fdio", tests, NULL, NULL);
}
