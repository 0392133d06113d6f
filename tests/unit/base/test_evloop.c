/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread's loop: descriptors, timers, posts, and what callbacks may do to them.
 * Not what runs on it.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/evloop.h"
#include "base/fdio.h"
#include "base/ordering.h"

#define DEADLINE_NS (60 * NS_PER_S)

static int setup(void **state)
{
	*state = evloop_new(NULL);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	evloop_free(*state);
	return 0;
}

/* Turns the loop until the condition holds; fails when that takes for ever. */
#define turn_until(loop, condition)                                      \
	do {                                                             \
		const uint64_t until_ns_ = clock_now_ns() + DEADLINE_NS; \
		while (!(condition)) {                                   \
			assert_int_equal(evloop_turn(loop, 100), 0);     \
			assert_true(clock_now_ns() < until_ns_);         \
		}                                                        \
	} while (0)

/* --- descriptors --- */

struct bell {
	struct evloop_fd watch;
	struct evloop *loop;
	unsigned fired;
	uint32_t events;
	bool drain;
	struct bell *victim; /* removed by the callback */
	struct bell *reborn; /* removed and added again by the callback */
};

static void bell_ready(struct evloop_fd *watch, uint32_t events)
{
	struct bell *bell = container_of(watch, struct bell, watch);

	bell->fired++;
	bell->events = events;
	if (bell->drain)
		fdio_drain(watch->fd);
	if (bell->victim)
		evloop_fd_remove(bell->loop, &bell->victim->watch);
	if (bell->reborn) {
		evloop_fd_remove(bell->loop, &bell->reborn->watch);
		assert_int_equal(evloop_fd_add(bell->loop, &bell->reborn->watch,
					       bell->reborn->watch.fd, EPOLLIN),
				 0);
	}
}

static void bell_open(struct bell *bell, struct evloop *loop)
{
	*bell = (struct bell){.watch.ready = bell_ready, .loop = loop};
	assert_int_equal(evloop_fd_add(loop, &bell->watch, eventfd(0, EFD_NONBLOCK), EPOLLIN), 0);
	assert_true(bell->watch.active);
}

static void bell_close(struct bell *bell)
{
	evloop_fd_remove(bell->loop, &bell->watch);
	assert_false(bell->watch.active);
	fdio_close(&bell->watch.fd);
}

static void test_fd_level_triggered(void **state)
{
	struct evloop *loop = *state;
	struct bell bell;

	bell_open(&bell, loop);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(bell.fired, 0);
	assert_int_equal(fdio_signal(bell.watch.fd), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(bell.fired, 2);
	assert_int_equal(bell.events, EPOLLIN);
	bell.drain = true;
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(bell.fired, 3);
	bell_close(&bell);
}

static void test_fd_change(void **state)
{
	struct evloop *loop = *state;
	struct bell bell;

	bell_open(&bell, loop);
	assert_int_equal(evloop_fd_change(loop, &bell.watch, EPOLLOUT), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(bell.events, EPOLLOUT);
	assert_int_equal(evloop_fd_change(loop, &bell.watch, 0), 0);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(bell.fired, 1);
	bell_close(&bell);
}

static void test_fd_errors(void **state)
{
	struct evloop *loop = *state;
	struct evloop_fd watch = {.ready = bell_ready};
	struct bell bell;
	struct evloop_fd again = {.ready = bell_ready};

	assert_int_equal(evloop_fd_add(loop, &watch, 1000000, EPOLLIN), -EBADF);
	assert_false(watch.active);
	bell_open(&bell, loop);
	assert_int_equal(evloop_fd_add(loop, &again, bell.watch.fd, EPOLLIN), -EEXIST);
	assert_false(again.active);
	evloop_fd_remove(loop, &again);
	assert_int_equal(fdio_signal(bell.watch.fd), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(bell.fired, 1);
	bell_close(&bell);
	/* Removing twice changes nothing. */
	evloop_fd_remove(loop, &bell.watch);
}

static void test_fd_remove_self_in_callback(void **state)
{
	struct evloop *loop = *state;
	struct bell bell;

	bell_open(&bell, loop);
	bell.victim = &bell;
	assert_int_equal(fdio_signal(bell.watch.fd), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(bell.fired, 1);
	bell_close(&bell);
}

/* Both are ready in one turn: whichever comes first removes the other, which is freed memory. */
static void test_fd_remove_other_in_callback(void **state)
{
	struct evloop *loop = *state;
	struct bell *a = malloc(sizeof(*a));
	struct bell *b = malloc(sizeof(*b));

	assert_non_null(a);
	assert_non_null(b);
	bell_open(a, loop);
	bell_open(b, loop);
	a->victim = b;
	b->victim = a;
	assert_int_equal(fdio_signal(a->watch.fd), 0);
	assert_int_equal(fdio_signal(b->watch.fd), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(a->fired + b->fired, 1);
	assert_true(a->watch.active != b->watch.active);
	bell_close(a);
	bell_close(b);
	free(a);
	free(b);
}

/* A watch that was removed and added anew in a turn hears nothing of what was found before. */
static void test_fd_reborn_in_callback(void **state)
{
	struct evloop *loop = *state;
	struct bell a;
	struct bell b;

	bell_open(&a, loop);
	bell_open(&b, loop);
	a.reborn = &b;
	b.reborn = &a;
	assert_int_equal(fdio_signal(a.watch.fd), 0);
	assert_int_equal(fdio_signal(b.watch.fd), 0);
	assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(a.fired + b.fired, 1);
	a.reborn = NULL;
	b.reborn = NULL;
	a.drain = true;
	b.drain = true;
	turn_until(loop, a.fired > 0 && b.fired > 0);
	bell_close(&a);
	bell_close(&b);
}

static void test_more_fds_than_a_batch(void **state)
{
	struct evloop *loop = *state;
	static struct bell bells[200];
	unsigned heard;

	for (unsigned i = 0; i < ARRAY_LEN(bells); i++) {
		bell_open(&bells[i], loop);
		bells[i].drain = true;
		assert_int_equal(fdio_signal(bells[i].watch.fd), 0);
	}
	do {
		assert_int_equal(evloop_turn(loop, -1), 0);
		heard = 0;
		for (unsigned i = 0; i < ARRAY_LEN(bells); i++)
			heard += bells[i].fired;
	} while (heard < ARRAY_LEN(bells));
	for (unsigned i = 0; i < ARRAY_LEN(bells); i++) {
		assert_int_equal(bells[i].fired, 1);
		bell_close(&bells[i]);
	}
}

/* --- timers --- */

struct alarm {
	struct evloop_timer timer;
	struct evloop *loop;
	unsigned expired;
	unsigned order;
	unsigned *clock; /* counts expiries over all alarms */
	struct alarm *victim;
	unsigned again_cnt; /* how often it sets itself to the past */
};

static void alarm_expired(struct evloop_timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);

	assert_false(timer->active);
	alarm->expired++;
	alarm->order = ++*alarm->clock;
	if (alarm->victim)
		evloop_timer_cancel(alarm->loop, &alarm->victim->timer);
	if (alarm->again_cnt > 0) {
		alarm->again_cnt--;
		evloop_timer_set(alarm->loop, timer, 1);
	}
}

static void alarm_init(struct alarm *alarm, struct evloop *loop, unsigned *clock)
{
	*alarm = (struct alarm){.timer.expired = alarm_expired, .loop = loop, .clock = clock};
}

static void test_timer_order(void **state)
{
	static const unsigned offsets_ms[] = {5, 1, 3, 1, 0, 4};
	static const unsigned orders[] = {6, 2, 4, 3, 1, 5};
	struct evloop *loop = *state;
	const uint64_t now_ns = clock_now_ns();
	struct alarm alarms[ARRAY_LEN(offsets_ms)];
	unsigned clock = 0;

	for (unsigned i = 0; i < ARRAY_LEN(alarms); i++) {
		alarm_init(&alarms[i], loop, &clock);
		evloop_timer_set(loop, &alarms[i].timer, now_ns + offsets_ms[i] * NS_PER_MS);
	}
	turn_until(loop, clock == ARRAY_LEN(alarms));
	for (unsigned i = 0; i < ARRAY_LEN(alarms); i++) {
		assert_int_equal(alarms[i].order, orders[i]);
		assert_int_equal(alarms[i].expired, 1);
	}
	assert_true(clock_now_ns() >= now_ns + 5 * NS_PER_MS);
}

static void test_timer_cancel_and_restart(void **state)
{
	struct evloop *loop = *state;
	const uint64_t now_ns = clock_now_ns();
	struct alarm cancelled;
	struct alarm later;
	struct alarm sooner;
	unsigned clock = 0;

	alarm_init(&cancelled, loop, &clock);
	alarm_init(&later, loop, &clock);
	alarm_init(&sooner, loop, &clock);
	evloop_timer_cancel(loop, &cancelled.timer);
	evloop_timer_set(loop, &cancelled.timer, now_ns);
	evloop_timer_set(loop, &later.timer, now_ns + NS_PER_MS);
	evloop_timer_set(loop, &sooner.timer, now_ns + 1000 * NS_PER_S);
	evloop_timer_set(loop, &later.timer, now_ns + 3 * NS_PER_MS);
	evloop_timer_set(loop, &sooner.timer, now_ns + 2 * NS_PER_MS);
	evloop_timer_cancel(loop, &cancelled.timer);
	assert_false(cancelled.timer.active);
	turn_until(loop, clock == 2);
	assert_int_equal(sooner.order, 1);
	assert_int_equal(later.order, 2);
	assert_int_equal(cancelled.expired, 0);
}

static void test_timer_cancelled_by_another(void **state)
{
	struct evloop *loop = *state;
	struct alarm first;
	struct alarm second;
	unsigned clock = 0;

	alarm_init(&first, loop, &clock);
	alarm_init(&second, loop, &clock);
	first.victim = &second;
	/* Both are due in the same turn. */
	evloop_timer_set(loop, &first.timer, 1);
	evloop_timer_set(loop, &second.timer, 2);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(first.expired, 1);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(second.expired, 0);
}

/* A timer that sets itself to the past runs once a turn, and does not hold the others up. */
static void test_timer_restarting_itself(void **state)
{
	struct evloop *loop = *state;
	struct alarm greedy;
	struct bell bell;
	unsigned clock = 0;

	alarm_init(&greedy, loop, &clock);
	greedy.again_cnt = 3;
	evloop_timer_set(loop, &greedy.timer, 1);
	bell_open(&bell, loop);
	assert_int_equal(fdio_signal(bell.watch.fd), 0);
	assert_int_equal(evloop_turn(loop, 0), 0);
	assert_int_equal(greedy.expired, 1);
	assert_int_equal(bell.fired, 1);
	turn_until(loop, greedy.expired == 4);
	assert_false(greedy.timer.active);
	bell_close(&bell);
}

static void test_far_timer_does_not_fire(void **state)
{
	struct evloop *loop = *state;
	struct alarm far;
	unsigned clock = 0;

	alarm_init(&far, loop, &clock);
	evloop_timer_set(loop, &far.timer, UINT64_MAX);
	assert_int_equal(evloop_turn(loop, 1), 0);
	assert_int_equal(far.expired, 0);
	evloop_timer_cancel(loop, &far.timer);
}

/* --- posts --- */

#define SENDERS 4
#define POSTS_PER_SENDER 5000

struct letter {
	struct evloop_post post;
	struct sender *sender;
	unsigned number;
};

struct sender {
	pthread_t thread;
	struct evloop *loop;
	unsigned received;
	struct letter letters[POSTS_PER_SENDER];
};

static void letter_run(struct evloop_post *post)
{
	struct letter *letter = container_of(post, struct letter, post);

	assert_int_equal(letter->number, letter->sender->received);
	letter->sender->received++;
}

static void *sender_main(void *arg)
{
	struct sender *sender = arg;

	for (unsigned i = 0; i < POSTS_PER_SENDER; i++) {
		sender->letters[i] = (struct letter){{letter_run, NULL}, sender, i};
		evloop_post(sender->loop, &sender->letters[i].post);
	}
	return NULL;
}

static void test_posts_from_threads_in_order(void **state)
{
	struct evloop *loop = *state;
	struct sender *senders = calloc(SENDERS, sizeof(*senders));
	unsigned received = 0;

	assert_non_null(senders);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].loop = loop;
		assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]),
				 0);
	}
	do {
		/* Without end: a post that does not wake the loop hangs here. */
		assert_int_equal(evloop_turn(loop, -1), 0);
		received = 0;
		for (unsigned i = 0; i < SENDERS; i++)
			received += senders[i].received;
	} while (received < SENDERS * POSTS_PER_SENDER);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
	free(senders);
}

struct relay {
	struct evloop_post post;
	struct evloop *loop;
	unsigned left;
	unsigned ran;
};

static void relay_run(struct evloop_post *post)
{
	struct relay *relay = container_of(post, struct relay, post);

	relay->ran++;
	if (relay->left > 0) {
		relay->left--;
		evloop_post(relay->loop, post);
	} else {
		evloop_stop(relay->loop);
	}
}

/* A post may be sent again from its own run; each round is a turn of its own. */
static void test_post_again_from_run(void **state)
{
	struct relay relay = {.post.run = relay_run, .loop = *state, .left = 3};

	evloop_post(relay.loop, &relay.post);
	assert_int_equal(evloop_turn(relay.loop, -1), 0);
	assert_int_equal(relay.ran, 1);
	assert_int_equal(evloop_run(relay.loop), 0);
	assert_int_equal(relay.ran, 4);
}

static void post_free(struct evloop_post *post)
{
	free(container_of(post, struct relay, post));
}

static void test_post_freed_by_run(void **state)
{
	struct relay *relay;
	struct relay last = {.post.run = relay_run, .loop = *state};

	for (unsigned i = 0; i < 100; i++) {
		relay = calloc(1, sizeof(*relay));
		assert_non_null(relay);
		relay->post.run = post_free;
		evloop_post(*state, &relay->post);
	}
	evloop_post(*state, &last.post);
	assert_int_equal(evloop_run(*state), 0);
	assert_int_equal(last.ran, 1);
}

static void *post_stop(void *arg)
{
	struct relay *relay = arg;

	evloop_post(relay->loop, &relay->post);
	return NULL;
}

static void test_run_until_stopped_by_post(void **state)
{
	struct relay relay = {.post.run = relay_run, .loop = *state};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, post_stop, &relay), 0);
	assert_int_equal(evloop_run(*state), 0);
	assert_int_equal(relay.ran, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* Stopped beforehand: returns at once, and the next run runs again. */
	evloop_stop(*state);
	assert_int_equal(evloop_run(*state), 0);
	evloop_post(*state, &relay.post);
	assert_int_equal(evloop_run(*state), 0);
	assert_int_equal(relay.ran, 2);
}

/* What was heard is over: the loop waits for the timer in few turns, not in a busy loop. */
static void test_waits_after_posts(void **state)
{
	struct evloop *loop = *state;
	struct relay relay = {.post.run = relay_run, .loop = loop, .left = 1};
	struct alarm alarm;
	unsigned clock = 0;
	unsigned turns = 0;

	evloop_post(loop, &relay.post);
	alarm_init(&alarm, loop, &clock);
	evloop_timer_set(loop, &alarm.timer, clock_now_ns() + 20 * NS_PER_MS);
	for (; alarm.expired == 0; turns++)
		assert_int_equal(evloop_turn(loop, -1), 0);
	assert_int_equal(relay.ran, 2);
	assert_true(turns <= 5);
}

/* --- life --- */

static unsigned open_fd_cnt(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned cnt = 0;

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

static void test_free_leaves_no_fd(void **state)
{
	const unsigned before = open_fd_cnt();
	struct err err = ERR_INIT;
	struct evloop *loop = evloop_new(&err);

	(void)state;
	assert_non_null(loop);
	assert_true(open_fd_cnt() > before);
	evloop_free(loop);
	assert_int_equal(open_fd_cnt(), before);
	evloop_free(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_fd_level_triggered),
		TEST(test_fd_change),
		TEST(test_fd_errors),
		TEST(test_fd_remove_self_in_callback),
		TEST(test_fd_remove_other_in_callback),
		TEST(test_fd_reborn_in_callback),
		TEST(test_more_fds_than_a_batch),
		TEST(test_timer_order),
		TEST(test_timer_cancel_and_restart),
		TEST(test_timer_cancelled_by_another),
		TEST(test_timer_restarting_itself),
		TEST(test_far_timer_does_not_fire),
		TEST(test_posts_from_threads_in_order),
		TEST(test_post_again_from_run),
		TEST(test_post_freed_by_run),
		TEST(test_run_until_stopped_by_post),
		TEST(test_waits_after_posts),
		cmocka_unit_test(test_free_leaves_no_fd),
	};

	return cmocka_run_group_tests_name("evloop", tests, NULL, NULL);
}
