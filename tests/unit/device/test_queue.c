/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a queue: how it starts, how it is woken and calls, how it breaks; with real workers
 * and rings over a fake storage. Changes while it runs are test_queue_change.c's, what the requests
 * mean is test_blk.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "device/blk/blk_priv.h"
#include "device_rig.h"
#include "fake/fake_storage.h"

static const struct storage_info info = {
	.capacity_bytes = 8u << 20,
	.block_bytes = 512,
	.physical_block_bytes = 512,
	.can_discard = true,
	.volatile_cache = true,
};

static struct rig rig;
static struct storage *storage;

static void begin(const struct rig_options *options)
{
	storage = fake_storage_new(&info);
	rig_open(&rig, options, storage);
}

static void end(void)
{
	rig_close(&rig);
	assert_int_equal(fake_storage_channels(storage), 0);
	fake_storage_free(storage);
}

static struct ring *ring_of(unsigned idx)
{
	return rig.queues[idx].ring;
}

static void test_start_serves_what_is_there(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER, .event_idx = true};
	struct device_queue_setup setup;
	struct err err = ERR_INIT;

	(void)state;
	begin(&options);
	setup = rig_queue_setup(&rig, 0);
	/* Published before the queue starts; the kick is swallowed. */
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	ring_publish(ring_of(0));
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	assert_true(device_queue_running(rig.device, 0));
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(*rig.queues[0].requests[0].status, BLK_S_OK);
	end();
}

static void test_start_is_refused_with_a_reason(void **state)
{
	static const char *const texts[] = {"queue 1: the device has 1",
					    "queue 0: ", "queue 0 runs already"};
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		struct device_queue_setup setup = rig_queue_setup(&rig, 0);
		struct err err = ERR_INIT;
		struct rig_wait wait;

		if (i == 1)
			setup.size = 3; /* no power of two */
		rig_wait_open(&wait);
		assert_int_not_equal(
			device_queue_start(rig.device, i == 0, &setup, &wait.join, &err), 0);
		assert_int_equal(wait.join.pending, 1);
		if (strncmp(err.text, texts[i], strlen(texts[i])))
			fail_msg("%s", err.text);
		rig_fd_back(setup.kick_fd);
		rig_fd_back(setup.call_fd);
		rig_fd_back(setup.err_fd);
		if (i == 1)
			rig_queue_start(&rig, 0); /* as it should be */
	}
	/* The one that runs is none the worse. */
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

static void test_start_needs_memory(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct device_queue_setup setup;
	struct err err = ERR_INIT;
	struct rig_wait wait;

	(void)state;
	begin(&options);
	rig_wait_open(&wait);
	device_set_memory(rig.device, NULL, &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), 0);
	assert_null(device_memory(rig.device));
	assert_int_equal(rig.memory->refs, 1);
	setup = rig_queue_setup(&rig, 0);
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), -EINVAL);
	assert_string_equal(err.text, "queue 0: there is no memory table");
	rig_fd_back(setup.kick_fd);
	end();
}

/* What goes wrong on the worker reaches the join, and nothing is left. */
static void test_start_fails_on_the_worker(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < 2; i++) {
		struct device_queue_setup setup = rig_queue_setup(&rig, 0);
		struct err err = ERR_INIT;

		if (i == 0) {
			fake_storage_fail_open(storage, EMFILE, 1);
		} else {
			/* Not a descriptor that can be waited for. */
			close(setup.kick_fd);
			setup.kick_fd = memfd_create("no kick", MFD_CLOEXEC);
		}
		assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err),
				 i == 0 ? -EMFILE : -EINVAL);
		assert_false(device_queue_running(rig.device, 0));
		rig_fd_back(setup.kick_fd);
		rig_fd_back(setup.call_fd);
		rig_fd_back(setup.err_fd);
		assert_int_equal(fake_storage_channels(storage), 0);
	}
	rig_queue_start(&rig, 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

static void test_stop_of_what_does_not_run(void **state)
{
	struct rig_options options = {.queues = 2};
	int fd = eventfd(0, 0);
	struct rig_wait wait;

	(void)state;
	begin(&options);
	rig_wait_open(&wait);
	device_queue_stop(rig.device, 1, &wait.join);
	device_queue_stop(rig.device, 77, &wait.join);
	device_queue_move(rig.device, 1, rig.workers[0], &wait.join);
	device_queue_set_call(rig.device, 1, fd, &wait.join);
	device_queue_set_err(rig.device, UINT32_MAX, -1, &wait.join);
	assert_int_equal(wait.join.pending, 1);
	rig_fd_back(fd);
	assert_int_equal(rig_wait_done(&rig, &wait), 0);
	assert_int_equal(device_queue_base(rig.device, 1), 0);
	assert_int_equal(device_queue_base(rig.device, 77), 0);
	assert_false(device_queue_running(rig.device, 77));
	assert_null(device_queue_worker(rig.device, 1));
	end();
}

static void test_queues_spread_over_workers(void **state)
{
	struct rig_options options = {.queues = 4};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < 4; i++) {
		rig_queue_start(&rig, i);
		assert_ptr_equal(device_queue_worker(rig.device, i), rig.workers[i % RIG_WORKERS]);
		assert_int_equal(rig_do(&rig, i, BLK_T_IN, i, 0, 512), BLK_S_OK);
	}
	assert_int_equal(rig_stats(&rig).reads, 4);
	end();
}

/* A head that cannot be: sticky, signalled once, the other queue goes on, a re-start mends it. */
static void test_broken_queue(void **state)
{
	struct rig_options options = {.queues = 2, .poll_mode = POLL_MODE_ADAPTIVE};
	uint64_t deadline_ns = rig_deadline_ns();
	uint64_t signalled = 0;
	struct device_queue_setup setup;
	struct err err = ERR_INIT;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 0);
	rig_queue_start(&rig, 1);
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	ring_of(0)->avail->ring[0] = 64;
	rig_publish(&rig, 0);
	while (read(rig.queues[0].err_fd, &signalled, sizeof(signalled)) < 0)
		rig_check_deadline(deadline_ns, "the error descriptor");
	assert_int_equal(signalled, 1);
	assert_int_equal(rig_do(&rig, 1, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	rig_queue_stop(&rig, 0);
	ring_reset(ring_of(0), 0);
	setup = rig_queue_setup(&rig, 0);
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

/* No kick descriptor: polled, also where the mode says never. */
static void test_without_kicks(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct device_queue_setup setup;
	struct err err = ERR_INIT;

	(void)state;
	begin(&options);
	setup = rig_queue_setup(&rig, 0);
	close(setup.kick_fd);
	setup.kick_fd = -1;
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	for (unsigned i = 0; i < 10; i++) {
		rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
		ring_publish(ring_of(0));
		rig_wait_used(&rig, 0, 1);
	}
	end();
}

/* Waits until the queue is armed, then kicks: the driver must be asked to, each time. */
static void test_kicks_wake_and_are_counted(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER, .event_idx = true};
	struct virtqueue_stats ring_stats;

	(void)state;
	for (unsigned format = RING_SPLIT; format <= RING_PACKED; format++) {
		uint64_t deadline_ns = rig_deadline_ns();
		unsigned kicks = 0;

		options.format = format;
		begin(&options);
		rig_queue_start(&rig, 0);
		while (kicks < 20) {
			rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
			kicks += rig_publish(&rig, 0);
			rig_wait_used(&rig, 0, 1);
			rig_check_deadline(deadline_ns, "kicks");
		}
		rig_queue_stop(&rig, 0);
		device_ring_stats(rig.device, &ring_stats);
		/* Several at once may count as one, those before the first sleep as none. */
		assert_true(ring_stats.kicks > 0 && ring_stats.kicks <= kicks);
		assert_int_equal(ring_stats.fetched, rig_stats(&rig).reads);
		assert_int_equal(ring_stats.completed, ring_stats.fetched);
		end();
	}
}

/* One request, with the driver asleep until it is called. */
static void do_asleep(void)
{
	uint64_t deadline_ns = rig_deadline_ns();
	uint64_t called;

	assert_false(ring_arm(ring_of(0)));
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	rig_publish(&rig, 0);
	while (read(rig.queues[0].call_fd, &called, sizeof(called)) < 0)
		rig_check_deadline(deadline_ns, "a call");
	rig_wait_used(&rig, 0, 1);
}

/* In each mode, also where nothing ever prepares to sleep. */
static void test_calls_reach_the_driver(void **state)
{
	struct rig_options options = {.poll_max_ns = 1000};

	(void)state;
	for (unsigned format = RING_SPLIT; format <= RING_PACKED; format++) {
		options.format = format;
		for (unsigned mode = 0; mode < 2 * POLL_MODE_MAX_; mode++) {
			options.event_idx = mode >= POLL_MODE_MAX_;
			options.poll_mode = (enum poll_mode)(mode % POLL_MODE_MAX_);
			begin(&options);
			fake_storage_set_pace(storage, FAKE_STORAGE_LATER);
			rig_queue_start(&rig, 0);
			for (unsigned i = 0; i < 50; i++)
				do_asleep();
			end();
		}
	}
}

/* A predecessor may have gone between the used buffer and the call. */
static void test_start_gives_the_call_that_may_be_owed(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ALWAYS};
	uint64_t deadline_ns = rig_deadline_ns();
	uint64_t called;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 0);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	rig_queue_stop(&rig, 0);
	assert_int_equal(read(rig.queues[0].call_fd, &called, sizeof(called)), -1);
	rig_queue_start(&rig, 0);
	while (read(rig.queues[0].call_fd, &called, sizeof(called)) < 0)
		rig_check_deadline(deadline_ns, "a call");
	end();
}

/* While a queue is polled the driver need not kick, as far as the ring can say so. */
static void test_no_kicks_while_hot(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ALWAYS};

	(void)state;
	for (unsigned format = RING_SPLIT; format <= RING_PACKED; format++) {
		options.format = format;
		begin(&options);
		rig_queue_start(&rig, 0);
		for (unsigned i = 0; i < 10; i++) {
			rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
			assert_false(rig_publish(&rig, 0));
			rig_wait_used(&rig, 0, 1);
		}
		end();
	}
}

struct sleep_check {
	struct worker_call call;
	bool kick_wanted[3];
	bool work_found;
	bool done;
};

/* Runs between the worker's turns, so that nobody else touches the queue meanwhile. */
static void sleep_and_wake_on_worker(struct worker *worker, struct worker_call *call)
{
	struct sleep_check *check = container_of(call, struct sleep_check, call);
	struct poller *poller = &device_queue_get(rig.device, 0)->poller;

	(void)worker;
	poller->ops->cancel_sleep(poller);
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	check->kick_wanted[0] = ring_publish(ring_of(0));
	check->work_found = poller->ops->prepare_sleep(poller);
	rig_add(&rig, 0, 1, BLK_T_IN, 0, 0, 512);
	check->kick_wanted[1] = ring_publish(ring_of(0));
	poller->ops->cancel_sleep(poller);
	rig_add(&rig, 0, 2, BLK_T_IN, 0, 0, 512);
	check->kick_wanted[2] = ring_publish(ring_of(0));
	worker_poller_wake(poller);
	worker_call_ack(call);
}

static void sleep_check_done(struct worker_call *call)
{
	container_of(call, struct sleep_check, call)->done = true;
}

static void test_arming_looks_again(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ALWAYS};

	(void)state;
	for (unsigned format = RING_SPLIT; format <= RING_PACKED; format++) {
		struct sleep_check check = {
			.call.run_on_worker = sleep_and_wake_on_worker,
			.call.done_on_control = sleep_check_done,
		};
		uint64_t deadline_ns = rig_deadline_ns();

		options.format = format;
		begin(&options);
		rig_queue_start(&rig, 0);
		worker_call(rig.workers[0], &check.call);
		while (!check.done) {
			assert_int_equal(evloop_turn(rig.loop, 10), 0);
			rig_check_deadline(deadline_ns, "the worker");
		}
		/* KICK_ARM: what came before the arming is found by it, without a kick. */
		assert_false(check.kick_wanted[0]);
		assert_true(check.work_found);
		/* Armed: what comes later is told by a kick. Hot again: it is not. */
		assert_true(check.kick_wanted[1]);
		assert_false(check.kick_wanted[2]);
		rig_wait_used(&rig, 0, 3);
		end();
	}
}

static void test_features_are_fixed_while_running(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct err err = ERR_INIT;
	uint64_t features;

	(void)state;
	begin(&options);
	features = device_features(rig.device);
	rig_queue_start(&rig, 0);
	assert_int_equal(device_set_features(rig.device, features, &err), 0);
	assert_int_equal(device_set_features(rig.device, features & ~(1ull << BLK_F_RO | 1ull << 9),
					     &err),
			 -EBUSY);
	rig_queue_stop(&rig, 0);
	device_reset(rig.device);
	assert_int_equal(device_queue_base(rig.device, 0), 0);
	assert_int_equal(device_set_features(rig.device, features, &err), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_serves_what_is_there),
		cmocka_unit_test(test_start_is_refused_with_a_reason),
		cmocka_unit_test(test_start_needs_memory),
		cmocka_unit_test(test_start_fails_on_the_worker),
		cmocka_unit_test(test_stop_of_what_does_not_run),
		cmocka_unit_test(test_queues_spread_over_workers),
		cmocka_unit_test(test_broken_queue),
		cmocka_unit_test(test_without_kicks),
		cmocka_unit_test(test_kicks_wake_and_are_counted),
		cmocka_unit_test(test_calls_reach_the_driver),
		cmocka_unit_test(test_start_gives_the_call_that_may_be_owed),
		cmocka_unit_test(test_no_kicks_while_hot),
		cmocka_unit_test(test_arming_looks_again),
		cmocka_unit_test(test_features_are_fixed_while_running),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
