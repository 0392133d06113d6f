/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kick watches one at a time: what wakes, what does not, replacement and removal under fire.
 * Not crowds (test_kick_many.c), not the notification rules of a ring (virtqueue/).
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "worker/worker_priv.h"

#define HOUR_NS (3600 * NS_PER_S)

/* A poller that is cold and watched. */
static void fake_cold(struct rig *rig, struct fake_poller *fake, int fd)
{
	fake_init(fake, POLL_MODE_NEVER, 0);
	fake_add(rig, fake);
	assert_int_equal(fake_set_kick(rig, fake, fd), 0);
	fake_wait_cold(rig, fake);
}

static void test_kick_wakes(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();
	uint64_t value = 0;
	unsigned polls;

	fake_cold(rig, &fake, fd);
	for (unsigned i = 1; i <= 1000; i++) {
		polls = get(&fake.polls);
		assert_int_equal(fdio_signal(fd), 0);
		wait_until(get(&fake.polls) > polls && get(&fake.kicks) == i);
		/* It goes to sleep by itself. */
		wait_until(get(&fake.prepares) == get(&fake.polls));
	}
	fake_remove(rig, &fake);
	/* The descriptor is the front end's: nothing was read from it. */
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	assert_int_equal(value, 1000);
	fdio_close(&fd);
}

static void test_kick_before_watch(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();
	unsigned polls;

	fake_init(&fake, POLL_MODE_NEVER, 0);
	fake_add(rig, &fake);
	fake_wait_cold(rig, &fake);
	polls = get(&fake.polls);
	/* Work and its kick are there before the watch is: set_kick has to make the poller look. */
	set(&fake.work_left, 1);
	assert_int_equal(fdio_signal(fd), 0);
	assert_int_equal(fake_set_kick(rig, &fake, fd), 0);
	wait_until(get(&fake.work_left) == 0);
	assert_true(get(&fake.polls) > polls);
	fake_wait_cold(rig, &fake);
	set(&fake.work_left, 1);
	assert_int_equal(fdio_signal(fd), 0);
	wait_until(get(&fake.work_left) == 0);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

static void test_kick_while_hot(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();

	fake_cold(rig, &fake, fd);
	fake_set_mode(rig, &fake, POLL_MODE_ADAPTIVE, HOUR_NS);
	assert_int_equal(fdio_signal(fd), 0);
	wait_until(get(&fake.kicks) == 1);
	assert_int_equal(fdio_signal(fd), 0);
	wait_until(get(&fake.kicks) == 2);
	assert_true(fake_is_hot(rig, &fake));
	assert_int_equal(get(&fake.cancels), get(&fake.prepares));
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

static void test_kick_replaced(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int old = kick_fd_new();
	int old_peer = dup(old);
	int new = kick_fd_new();
	unsigned polls;

	fake_cold(rig, &fake, old);
	assert_int_equal(fake_set_kick(rig, &fake, new), 0);
	/* Borrowed only until then. */
	fdio_close(&old);
	fake_wait_cold(rig, &fake);
	polls = get(&fake.polls);
	assert_int_equal(fdio_signal(old_peer), 0);
	rig_turns(rig, 100);
	assert_int_equal(get(&fake.polls), polls);
	assert_int_equal(get(&fake.kicks), 0);
	assert_int_equal(fdio_signal(new), 0);
	wait_until(get(&fake.kicks) == 1 && get(&fake.polls) > polls);

	assert_int_equal(fake_set_kick(rig, &fake, -1), 0);
	fake_wait_cold(rig, &fake);
	polls = get(&fake.polls);
	assert_int_equal(fdio_signal(new), 0);
	rig_turns(rig, 100);
	assert_int_equal(get(&fake.polls), polls);
	wait_until(watch_cnt(rig) == 0);
	fake_remove(rig, &fake);
	fdio_close(&new);
	fdio_close(&old_peer);
}

/* The same descriptor anew, as after a front end sent it again. */
static void test_kick_replaced_by_itself(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();

	fake_cold(rig, &fake, fd);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(fake_set_kick(rig, &fake, fd), 0);
		set(&fake.work_left, 1);
		assert_int_equal(fdio_signal(fd), 0);
		wait_until(get(&fake.work_left) == 0);
		fake_wait_cold(rig, &fake);
	}
	wait_until(watch_cnt(rig) == 1);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

static void test_always_needs_no_watch(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fd = kick_fd_new();

	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	assert_int_equal(fake_set_kick(rig, &fake, fd), 0);
	assert_int_equal(fdio_signal(fd), 0);
	wait_until(get(&fake.polls) > 1000);
	assert_int_equal(get(&fake.kicks), 0);
	/* It has one as soon as it may sleep. */
	fake_set_mode(rig, &fake, POLL_MODE_NEVER, 0);
	wait_until(get(&fake.kicks) > 0);
	fake_wait_cold(rig, &fake);
	set(&fake.work_left, 1);
	assert_int_equal(fdio_signal(fd), 0);
	wait_until(get(&fake.work_left) == 0);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

/* --- descriptors of other kinds --- */

static void check_refused(struct rig *rig, struct fake_poller *fake, int fd, int expected)
{
	assert_int_equal(fake_set_kick(rig, fake, fd), expected);
	fake_wait_cold(rig, fake);
	wait_until(watch_cnt(rig) == 0);
	if (expected == -EINVAL)
		fdio_close(&fd);
}

/* What a front end could pass to hang or spin the worker; a good one before is forgotten. */
static void test_refused(void **state)
{
	struct rig *rig = *state;
	char path[] = "/tmp/pario-test-kick-XXXXXX";
	struct fake_poller fake;
	int fd = kick_fd_new();
	int sockets[2];
	int pipes[2];

	fake_cold(rig, &fake, fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	check_refused(rig, &fake, mkstemp(path), -EINVAL);
	unlink(path);
	check_refused(rig, &fake, memfd_create("pipe:[1]", 0), -EINVAL);
	check_refused(rig, &fake, memfd_create("anon_inode:[eventfd]", 0), -EINVAL);
	check_refused(rig, &fake, open("/dev/null", O_RDWR), -EINVAL);
	check_refused(rig, &fake, open("/", O_RDONLY | O_DIRECTORY), -EINVAL);
	check_refused(rig, &fake, epoll_create1(0), -EINVAL);
	check_refused(rig, &fake, sockets[0], -EINVAL);
	check_refused(rig, &fake, sockets[1], -EINVAL);
	check_refused(rig, &fake, pipes[0], -EINVAL);
	check_refused(rig, &fake, pipes[1], -EINVAL);
	check_refused(rig, &fake, 1000000, -EBADF);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

/* --- under fire --- */

struct gunner {
	pthread_t thread;
	int fd;
	unsigned stop;
};

static void *gunner_main(void *arg)
{
	struct gunner *gunner = arg;

	while (!get(&gunner->stop))
		(void)fdio_signal(gunner->fd);
	return NULL;
}

static void test_removed_under_fire(void **state)
{
	struct rig *rig = *state;
	struct gunner gunner = {.fd = kick_fd_new()};
	struct fake_poller *fake;

	assert_int_equal(pthread_create(&gunner.thread, NULL, gunner_main, &gunner), 0);
	for (unsigned i = 0; i < 2000; i++) {
		fake = malloc(sizeof(*fake));
		assert_non_null(fake);
		fake_init(fake, POLL_MODE_NEVER, 0);
		fake_add(rig, fake);
		assert_int_equal(fake_set_kick(rig, fake, gunner.fd), 0);
		if (i % 2)
			wait_until(get(&fake->kicks) > 0);
		if (i % 3)
			assert_int_equal(fake_set_kick(rig, fake, gunner.fd), 0);
		rig_turns(rig, i % 5);
		fake_remove(rig, fake);
		free(fake);
	}
	set(&gunner.stop, 1);
	assert_int_equal(pthread_join(gunner.thread, NULL), 0);
	wait_until(watch_cnt(rig) == 0);
	fdio_close(&gunner.fd);
}

static void remove_and_free(struct fake_poller *fake)
{
	unsigned *gone = fake->arg;

	worker_poller_remove(&fake->poller);
	free(fake);
	set(gone, 1);
}

static void test_removed_by_its_kick(void **state)
{
	struct rig *rig = *state;
	int fd = kick_fd_new();
	struct fake_poller *fake = malloc(sizeof(*fake));
	unsigned gone = 0;

	assert_non_null(fake);
	fake_init(fake, POLL_MODE_NEVER, 0);
	fake->arg = &gone;
	fake->on_kick = remove_and_free;
	fake_add(rig, fake);
	assert_int_equal(fake_set_kick(rig, fake, fd), 0);
	fake_wait_cold(rig, fake);
	assert_int_equal(fdio_signal(fd), 0);
	wait_until(get(&gone));
	wait_until(watch_cnt(rig) == 0);
	fdio_close(&fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_kick_wakes),
		TEST(test_kick_before_watch),
		TEST(test_kick_while_hot),
		TEST(test_kick_replaced),
		TEST(test_kick_replaced_by_itself),
		TEST(test_always_needs_no_watch),
		TEST(test_refused),
		TEST(test_removed_under_fire),
		TEST(test_removed_by_its_kick),
	};

	return cmocka_run_group_tests_name("kick", tests, NULL, NULL);
}
