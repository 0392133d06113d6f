/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kick watches: what wakes, what does not, replacement and removal under fire, thousands at once,
 * a completion queue that overflows. Not the notification rules of a ring: virtqueue/.
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

static int kick_fd_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* A poller that is cold and watched. */
static void fake_cold(struct rig *rig, struct fake_poller *fake, int fd)
{
	fake_init(fake, POLL_MODE_NEVER, 0);
	fake_add(rig, fake);
	assert_int_equal(fake_set_kick(rig, fake, fd), 0);
	fake_wait_cold(rig, fake);
}

static void count_watches(struct worker *worker, void *arg)
{
	struct list_node *node;
	struct list_node *next;
	unsigned cnt = 0;

	list_for_each_safe(node, next, &worker->watches) {
		cnt++;
	}
	*(unsigned *)arg = cnt;
}

static unsigned watch_cnt(struct rig *rig)
{
	unsigned cnt;

	rig_call(rig, count_watches, &cnt);
	return cnt;
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

	fake_cold(rig, &fake, fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	check_refused(rig, &fake, mkstemp(path), -EINVAL);
	unlink(path);
	check_refused(rig, &fake, memfd_create("pipe:[1]", 0), -EINVAL);
	check_refused(rig, &fake, memfd_create("anon_inode:[eventfd]", 0), -EINVAL);
	check_refused(rig, &fake, open("/dev/null", O_RDWR), -EINVAL);
	check_refused(rig, &fake, open("/", O_RDONLY | O_DIRECTORY), -EINVAL);
	check_refused(rig, &fake, epoll_create1(0), -EINVAL);
	check_refused(rig, &fake, sockets[0], -EINVAL);
	check_refused(rig, &fake, sockets[1], -EINVAL);
	check_refused(rig, &fake, 1000000, -EBADF);
	fake_remove(rig, &fake);
	fdio_close(&fd);
}

static void test_pipe(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fake_cold(rig, &fake, fds[0]);
	for (unsigned i = 0; i < 100; i++) {
		set(&fake.work_left, 1);
		assert_int_equal(fdio_signal(fds[1]), 0);
		wait_until(get(&fake.work_left) == 0);
		fake_wait_cold(rig, &fake);
	}
	fake_remove(rig, &fake);
	fdio_close(&fds[0]);
	fdio_close(&fds[1]);
}

/* The other end is gone, for ever readable: that is one event, not a busy loop. */
static void test_pipe_hangup(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;
	unsigned kicks;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fake_cold(rig, &fake, fds[0]);
	fdio_close(&fds[1]);
	wait_until(get(&fake.kicks) > 0);
	fake_wait_cold(rig, &fake);
	kicks = get(&fake.kicks);
	rig_turns(rig, 100);
	assert_true(get(&fake.kicks) <= kicks + 1);
	fake_remove(rig, &fake);
	fdio_close(&fds[0]);
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

/* --- many --- */

#define CROWD 4000

static struct {
	struct fake_poller fakes[CROWD];
	int fds[CROWD];
	unsigned cnt;
	void (*on_kick)(struct fake_poller *fake); /* for those that crowd_open() makes */
} crowd;

static void crowd_add(struct worker *worker, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < crowd.cnt; i++) {
		worker_poller_add(worker, &crowd.fakes[i].poller);
		if (worker_poller_set_kick(&crowd.fakes[i].poller, crowd.fds[i]) < 0)
			set(&crowd.cnt, 0);
	}
}

static void crowd_remove(struct worker *worker, void *arg)
{
	(void)worker;
	(void)arg;
	for (unsigned i = 0; i < crowd.cnt; i++)
		worker_poller_remove(&crowd.fakes[i].poller);
}

static void crowd_count_hot(struct worker *worker, void *arg)
{
	*(unsigned *)arg = worker->set.hot_cnt;
}

static void crowd_wait_cold(struct rig *rig)
{
	unsigned hot_cnt;

	wait_until((rig_call(rig, crowd_count_hot, &hot_cnt), hot_cnt == 0));
}

static void crowd_open(struct rig *rig, unsigned cnt, enum poll_mode mode, uint64_t poll_max_ns)
{
	struct err err = ERR_INIT;
	uint64_t limit = 0;

	assert_int_equal(fdio_raise_limit(cnt + 256, &limit, &err), 0);
	if (limit < cnt + 256)
		fail_msg("RLIMIT_NOFILE is %lu, %u descriptors are needed", (unsigned long)limit,
			 cnt + 256);
	crowd.cnt = cnt;
	for (unsigned i = 0; i < cnt; i++) {
		fake_init(&crowd.fakes[i], mode, poll_max_ns);
		crowd.fakes[i].on_kick = crowd.on_kick;
		crowd.fds[i] = kick_fd_new();
	}
	rig_call(rig, crowd_add, NULL);
	assert_int_equal(crowd.cnt, cnt);
	crowd_wait_cold(rig);
}

static void crowd_close(struct rig *rig)
{
	rig_call(rig, crowd_remove, NULL);
	for (unsigned i = 0; i < crowd.cnt; i++)
		fdio_close(&crowd.fds[i]);
	wait_until(watch_cnt(rig) == 0);
}

struct driver {
	pthread_t thread;
	unsigned seed;
	unsigned left;
};

static void *driver_main(void *arg)
{
	struct driver *driver = arg;

	for (; driver->left > 0; driver->left--) {
		unsigned i = (unsigned)rand_r(&driver->seed) % crowd.cnt;

		fake_drive(&crowd.fakes[i], crowd.fds[i]);
	}
	return NULL;
}

/* Every unit of work that two drivers make is found, although each kicks only those that sleep. */
static void drive_at_random(unsigned each)
{
	struct driver drivers[2] = {{.seed = 1, .left = each}, {.seed = 2, .left = each}};
	unsigned left;

	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
		assert_int_equal(pthread_create(&drivers[i].thread, NULL, driver_main, &drivers[i]),
				 0);
	for (unsigned i = 0; i < ARRAY_LEN(drivers); i++)
		assert_int_equal(pthread_join(drivers[i].thread, NULL), 0);
	wait_until(({
		left = 0;
		for (unsigned i = 0; i < crowd.cnt; i++)
			left += get(&crowd.fakes[i].work_left);
		left == 0;
	}));
}

static void test_thousands_cold_kicked_at_random(void **state)
{
	struct rig *rig = *state;
	unsigned kicks = 0;

	crowd_open(rig, CROWD, POLL_MODE_NEVER, 0);
	drive_at_random(20000);
	for (unsigned i = 0; i < crowd.cnt; i++)
		kicks += get(&crowd.fakes[i].kicks);
	assert_true(kicks > 0);
	crowd_wait_cold(rig);
	crowd_close(rig);
}

static void test_few_kicked_at_random_adaptive(void **state)
{
	struct rig *rig = *state;

	/* About as long as a driver's round over them: they go cold and hot all the time. */
	crowd_open(rig, 16, POLL_MODE_ADAPTIVE, 5 * NS_PER_US);
	drive_at_random(100000);
	crowd_close(rig);
}

/* --- completion queue overflow --- */

struct hold {
	unsigned held;
	unsigned release;
	struct worker_call call;
	bool done;
};

static void hold_run(struct worker *worker, struct worker_call *call)
{
	struct hold *hold = container_of(call, struct hold, call);

	(void)worker;
	set(&hold->held, 1);
	wait_until(get(&hold->release));
	worker_call_ack(call);
}

static void hold_done(struct worker_call *call)
{
	container_of(call, struct hold, call)->done = true;
}

/*
 * More kicks than the completion queue holds, all while the worker looks elsewhere; the bell of its
 * mailbox comes last, so that it is among those that find the queue full.
 */
static void kick_all_at_once(struct rig *rig)
{
	struct hold hold = {
		.call = {.run_on_worker = hold_run, .done_on_control = hold_done},
	};

	assert_true(rig->worker->uring.ring.cq.ring_entries * 4 < crowd.cnt);
	worker_call(rig->worker, &hold.call);
	wait_until(get(&hold.held));
	for (unsigned i = 0; i < crowd.cnt; i++)
		fake_drive(&crowd.fakes[i], crowd.fds[i]);
	assert_int_equal(fdio_signal(rig->worker->mailbox.wake_fd), 0);
	set(&hold.release, 1);
	while (!hold.done)
		assert_int_equal(evloop_turn(rig->loop, 1000), 0);
}

static void check_overflow(struct rig *rig)
{
	crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
	for (unsigned round = 0; round < 20; round++) {
		kick_all_at_once(rig);
		for (unsigned i = 0; i < crowd.cnt; i++)
			wait_until(get(&crowd.fakes[i].work_left) == 0);
		crowd_wait_cold(rig);
		/* Calls still wake it. */
		rig_wait_asleep(rig);
		rig_turns(rig, 10);
	}
	crowd_close(rig);
}

static void test_cq_overflow_of_a_sleeper(void **state)
{
	struct rig *rig = rig_new(4);

	(void)state;
	check_overflow(rig);
	rig_free(rig);
}

static void crowd_count_hot_but_one(struct worker *worker, void *arg)
{
	*(unsigned *)arg = worker->set.hot_cnt - 1;
}

/* A worker that never sleeps has to fetch what the kernel kept, too. */
static void test_cq_overflow_while_polling(void **state)
{
	struct rig *rig = rig_new(4);
	struct fake_poller busy;
	unsigned hot_cnt;

	(void)state;
	crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
	fake_init(&busy, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &busy);
	for (unsigned round = 0; round < 20; round++) {
		kick_all_at_once(rig);
		for (unsigned i = 0; i < crowd.cnt; i++)
			wait_until(get(&crowd.fakes[i].work_left) == 0);
		wait_until((rig_call(rig, crowd_count_hot_but_one, &hot_cnt), hot_cnt == 0));
	}
	crowd_close(rig);
	fake_remove(rig, &busy);
	rig_free(rig);
}

static unsigned removed_cnt;

static void remove_self(struct fake_poller *fake)
{
	worker_poller_remove(&fake->poller);
	add(&removed_cnt, 1);
}

static void remove_crowd(struct fake_poller *fake)
{
	crowd_remove(fake->poller.worker, NULL);
	set(&removed_cnt, crowd.cnt);
}

/* Watches whose last completion the kernel still keeps are closed, by each kick or by the first. */
static void check_removal_in_overflow(void (*on_kick)(struct fake_poller *fake))
{
	for (unsigned round = 0; round < 10; round++) {
		struct rig *rig = rig_new(4);

		crowd.on_kick = on_kick;
		crowd_open(rig, 1000, POLL_MODE_NEVER, 0);
		set(&removed_cnt, 0);
		kick_all_at_once(rig);
		wait_until(get(&removed_cnt) == crowd.cnt);
		wait_until(watch_cnt(rig) == 0);
		for (unsigned i = 0; i < crowd.cnt; i++)
			fdio_close(&crowd.fds[i]);
		rig_free(rig);
	}
	crowd.on_kick = NULL;
}

static void test_removal_in_overflow(void **state)
{
	(void)state;
	check_removal_in_overflow(remove_self);
	check_removal_in_overflow(remove_crowd);
}

/* The worker goes while kicks are pending and watches are being cancelled. */
static void test_worker_free_under_fire(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct rig *rig = rig_new(4);

		crowd_open(rig, 200, POLL_MODE_NEVER, 0);
		for (unsigned i = 0; i < crowd.cnt; i++)
			assert_int_equal(fdio_signal(crowd.fds[i]), 0);
		rig_call(rig, crowd_remove, NULL);
		for (unsigned i = 0; i < crowd.cnt; i++)
			fdio_close(&crowd.fds[i]);
		rig_free(rig);
	}
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
		TEST(test_pipe),
		TEST(test_pipe_hangup),
		TEST(test_removed_under_fire),
		TEST(test_removed_by_its_kick),
		TEST(test_thousands_cold_kicked_at_random),
		TEST(test_few_kicked_at_random_adaptive),
		cmocka_unit_test(test_cq_overflow_of_a_sleeper),
		cmocka_unit_test(test_cq_overflow_while_polling),
		cmocka_unit_test(test_removal_in_overflow),
		cmocka_unit_test(test_worker_free_under_fire),
	};

	return cmocka_run_group_tests_name("kick", tests, NULL, NULL);
}
