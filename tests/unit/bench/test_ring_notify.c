/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kicks and calls of the driver's end of both ring formats, against the model device of tests/fake:
 * asked for when they must be, not asked for when they need not be, and none lost.
 * What goes through the rings is test_ring_driver.c's matter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ring_rig.h"

#define DEADLINE_MS 20000

/* A kick is asked for when the device armed, once when it named a position, never when disarmed. */
static void test_kick_decision(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++)
		for (unsigned int event_idx = 0; event_idx < 2; event_idx++) {
			struct pair *p = pair_new(format, 8, event_idx, false, DIRECT,
						  ring_base_fresh(format));

			for (unsigned int lap = 0; lap < 70; lap++) {
				fake_ring_disarm(&p->dev);
				pair_add_one(p, 0);
				assert_false(ring_publish(p->ring));
				assert_false(ring_publish(p->ring)); /* nothing added */
				pair_device_takes(p, 1, true);
				pair_driver_takes(p, 1);

				assert_false(fake_ring_arm(&p->dev));
				pair_add_one(p, 0);
				pair_add_one(p, 1);
				assert_true(ring_publish(p->ring));
				pair_add_one(p, 2);
				assert_int_equal(ring_publish(p->ring), !event_idx);
				assert_true(fake_ring_arm(&p->dev));
				pair_device_takes(p, 3, true);
				pair_driver_takes(p, 3);
			}
			pair_free(p);
		}
}

static void test_call_decision(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++)
		for (unsigned int event_idx = 0; event_idx < 2; event_idx++) {
			struct pair *p = pair_new(format, 8, event_idx, false, DIRECT,
						  ring_base_fresh(format));

			for (unsigned int lap = 0; lap < 70; lap++) {
				ring_disarm(p->ring);
				for (uint16_t t = 0; t < 4; t++)
					pair_add_one(p, t);
				ring_publish(p->ring);
				pair_device_takes(p, 1, true);
				assert_false(fake_ring_wants_call(&p->dev));
				assert_true(ring_arm(p->ring)); /* one is there already */
				pair_driver_takes(p, 1);
				assert_false(ring_arm(p->ring));
				pair_device_takes(p, 2, true);
				assert_true(fake_ring_wants_call(&p->dev));
				pair_device_takes(p, 1, true);
				assert_int_equal(fake_ring_wants_call(&p->dev), !event_idx);
				pair_driver_takes(p, 3);
			}
			pair_free(p);
		}
}

/* Disarmed with EVENT_IDX, a split ring has no flag to say so: its event must stay out of reach. */
static void test_disarmed_is_silent(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++) {
		struct pair *p = pair_new(format, 8, true, false, DIRECT, ring_base_fresh(format));

		for (unsigned int i = 0; i < 140000; i++) {
			pair_add_one(p, 0);
			ring_publish(p->ring);
			pair_device_takes(p, 1, true);
			assert_false(fake_ring_wants_call(&p->dev));
			pair_driver_takes(p, 1);
		}
		pair_free(p);
	}
}

/* One used element for several requests: while some of them are not taken, arming says so. */
static void test_arm_with_a_batch_half_taken(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++) {
		struct pair *p = pair_new(format, 8, true, true, DIRECT, ring_base_fresh(format));
		static struct fake_chain c;
		struct ring_used used;

		for (uint16_t t = 0; t < 3; t++)
			pair_add_one(p, t);
		ring_publish(p->ring);
		for (unsigned int i = 0; i < 3; i++) {
			assert_int_equal(fake_ring_pop(&p->dev, &c), 1);
			fake_ring_push(&p->dev, c.id, c.desc_cnt, 0, i == 2);
		}
		for (uint16_t t = 0; t < 3; t++) {
			assert_true(ring_arm(p->ring));
			assert_int_equal(ring_get_used(p->ring, &used, 1), 1);
			assert_int_equal(used.token, t);
		}
		assert_false(ring_arm(p->ring));
		pair_free(p);
	}
}

struct duo {
	struct pair *pair;
	int kick_fd, call_fd;
	unsigned int requests;
	bool failed;
};

/* Sleeps until the eventfd is written; false at the deadline: a notification was lost. */
static bool sleep_on(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t cnt;

	if (poll(&p, 1, DEADLINE_MS) != 1)
		return false;
	return read(fd, &cnt, sizeof(cnt)) == sizeof(cnt);
}

static void wake(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *device_main(void *arg)
{
	struct duo *d = arg;
	struct fake_ring *dev = &d->pair->dev;
	struct fake_chain *c = malloc(sizeof(*c));
	unsigned int done = 0;

	while (c && done < d->requests && !d->failed) {
		int rc = fake_ring_pop(dev, c);

		if (rc == 1) {
			fake_ring_push(dev, c->id, c->desc_cnt, 1, true);
			done++;
			if (done % 3 == 0 && fake_ring_wants_call(dev))
				wake(d->call_fd);
		} else if (rc < 0) {
			d->failed = true;
		} else {
			if (fake_ring_wants_call(dev))
				wake(d->call_fd);
			if (!fake_ring_arm(dev) && !sleep_on(d->kick_fd))
				d->failed = true;
			fake_ring_disarm(dev);
		}
	}
	if (fake_ring_wants_call(dev))
		wake(d->call_fd);
	free(c);
	return NULL;
}

/* Both ends sleep whenever they can: one lost notification and this stands still. */
static void sleepers(enum ring_format format, bool event_idx, bool in_order, unsigned int depth)
{
	struct duo d = {.pair = pair_new(format, 64, event_idx, in_order, TABLES,
					 ring_base_fresh(format)),
			.kick_fd = eventfd(0, EFD_CLOEXEC),
			.call_fd = eventfd(0, EFD_CLOEXEC),
			.requests = 20000};
	struct ring *ring = d.pair->ring;
	unsigned int started = 0, done = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, device_main, &d), 0);
	while (done < d.requests) {
		struct ring_used used[16];
		int n = ring_get_used(ring, used, 16);

		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			d.pair->busy[used[i].token] = false;
		done += (unsigned int)n;
		for (uint16_t t = 0; t < depth && started < d.requests; t++)
			if (!d.pair->busy[t] && pair_add_random(d.pair, t) == 0)
				started++;
		if (ring_publish(ring))
			wake(d.kick_fd);
		if (n == 0 && done < d.requests && !ring_arm(ring) && !sleep_on(d.call_fd))
			fail_msg("no call: %u of %u done", done, d.requests);
		ring_disarm(ring);
	}
	pthread_join(thread, NULL);
	assert_false(d.failed);
	close(d.kick_fd);
	close(d.call_fd);
	pair_free(d.pair);
}

static void test_no_lost_notification(void **state)
{
	(void)state;
	for (unsigned int format = 0; format < 2; format++)
		for (unsigned int event_idx = 0; event_idx < 2; event_idx++)
			for (unsigned int in_order = 0; in_order < 2; in_order++) {
				sleepers(format, event_idx, in_order, 1);
				sleepers(format, event_idx, in_order, 32);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kick_decision),
		cmocka_unit_test(test_call_decision),
		cmocka_unit_test(test_disarmed_is_silent),
		cmocka_unit_test(test_arm_with_a_batch_half_taken),
		cmocka_unit_test(test_no_lost_notification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
