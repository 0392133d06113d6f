/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes that meet a move or what it left behind: stop, memory, descriptors, tuning, and workers
 * that cannot take the queue. Moves alone are test_move.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hold_rig.h"

/* A stop drains what is elsewhere as well. */
static void test_stop_waits_for_what_was_left(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct rig_wait wait;

	(void)state;
	begin(&options);
	hold_reads(0, 5);
	rig_queue_move(&rig, 0, 1);
	hold_reads(5, 5);
	rig_wait_open(&wait);
	device_queue_stop(rig.device, 0, &wait.join);
	rig_wait_begin(&rig, &wait);
	assert_false(wait.finished);
	rig_add(&rig, 0, 20, BLK_T_IN, 0, 0, 512);
	rig_publish(&rig, 0);
	release_held();
	assert_int_equal(rig_wait_end(&rig, &wait), 0);
	rig.queues[0].started = false;
	/* By the join every channel was closed: the storage may be as well. */
	assert_int_equal(fake_storage_channels(storage), 0);
	assert_int_equal(device_queue_base(rig.device, 0), 10);
	assert_int_equal(rig_take_used(&rig, 0), 10);
	assert_int_equal(status_of(20), RIG_NO_STATUS);
	check_counters(10);
	end();
}

/* The old memory is in use until what was parsed under it has ended, wherever that is. */
static void test_memory_waits_for_what_was_left(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ADAPTIVE};
	struct err err = ERR_INIT;
	struct gmem *memory;
	struct rig_wait wait;

	(void)state;
	begin(&options);
	hold_reads(0, 3);
	rig_queue_move(&rig, 0, 1);
	keep_held();
	assert_int_equal(gmem_new(rig.regions, rig.region_cnt, &memory, &err), 0);
	rig_wait_open(&wait);
	device_set_memory(rig.device, memory, &wait.join);
	rig_wait_begin(&rig, &wait);
	assert_false(wait.finished);
	assert_int_equal(rig.memory->refs, 2);
	/* It goes on under the new one meanwhile. */
	rig_add(&rig, 0, 9, BLK_T_IN, 9, 0, 512);
	rig_publish(&rig, 0);
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(status_of(9), BLK_S_OK);
	release_held();
	assert_int_equal(rig_wait_end(&rig, &wait), 0);
	assert_int_equal(rig.memory->refs, 1);
	gmem_put(rig.memory);
	rig.memory = memory;
	rig_wait_used(&rig, 0, 3);
	/* Mapped by each channel at its opening, and by the one that was open then. */
	assert_int_equal(fake_storage_maps(storage), 3);
	end();
}

/* The call of what comes in late goes to the descriptor of then. */
static void test_call_of_what_was_left(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	int other = eventfd(0, EFD_NONBLOCK);
	int given = dup(other);
	uint64_t deadline_ns = rig_deadline_ns();
	struct rig_wait wait;
	uint64_t cnt;

	(void)state;
	begin(&options);
	hold_reads(0, 1);
	rig_queue_move(&rig, 0, 1);
	rig_wait_open(&wait);
	device_queue_set_call(rig.device, 0, given, &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), 0);
	rig_fd_back(rig.queues[0].device_call_fd);
	(void)!read(rig.queues[0].call_fd, &cnt, sizeof(cnt));
	(void)!read(other, &cnt, sizeof(cnt));
	assert_false(ring_arm(rig.queues[0].ring));
	release_held();
	while (read(other, &cnt, sizeof(cnt)) < 0) {
		assert_int_equal(evloop_turn(rig.loop, 1), 0);
		rig_check_deadline(deadline_ns, "the new call descriptor");
	}
	assert_int_equal(read(rig.queues[0].call_fd, &cnt, sizeof(cnt)), -1);
	rig_wait_used(&rig, 0, 1);
	rig_queue_stop(&rig, 0);
	rig_fd_back(given);
	close(other);
	end();
}

static void test_tune_and_stop_wait_in_line(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER, .queues = 2};
	struct device_tuning tuning = {.poll_mode = POLL_MODE_ALWAYS};
	struct rig_wait move, tune, stop;
	struct device_queue_view view;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 1);
	hold_reads(0, 4);
	rig_wait_open(&move);
	rig_wait_open(&tune);
	rig_wait_open(&stop);
	device_queue_move(rig.device, 0, rig.workers[1], &move.join);
	device_tune(rig.device, &tuning, &tune.join);
	assert_int_equal(rig_wait_done(&rig, &tune), 0);
	assert_true(device_queue_view(rig.device, 0, &view));
	assert_ptr_equal(view.worker, rig.workers[1]);
	assert_true(view.window_ns == UINT64_MAX);
	assert_int_equal(view.in_flight, 4);
	assert_int_equal(view.size, 64);
	assert_int_equal(device_tuning(rig.device)->poll_mode, POLL_MODE_ALWAYS);
	assert_int_equal(rig_wait_done(&rig, &move), 0);
	/* A long drain; what the operator asks for meanwhile ends with it. */
	device_queue_stop(rig.device, 0, &stop.join);
	rig_wait_open(&move);
	rig_wait_open(&tune);
	device_queue_move(rig.device, 0, rig.workers[0], &move.join);
	tuning.poll_mode = POLL_MODE_NEVER;
	device_tune(rig.device, &tuning, &tune.join);
	rig_wait_begin(&rig, &stop);
	rig_wait_begin(&rig, &move);
	assert_false(stop.finished || move.finished);
	release_held();
	assert_int_equal(rig_wait_end(&rig, &stop), 0);
	assert_true(move.finished);
	assert_int_equal(move.join.status, 0);
	assert_int_equal(rig_wait_done(&rig, &tune), 0);
	rig.queues[0].started = false;
	assert_false(device_queue_running(rig.device, 0));
	assert_true(device_queue_view(rig.device, 0, &view));
	assert_false(view.running);
	assert_null(view.worker);
	assert_int_equal(view.latency.cnt, 4);
	/* The other one has been tuned as well. */
	assert_true(device_queue_view(rig.device, 1, &view));
	assert_int_equal(view.window_ns, 0);
	assert_int_equal(rig_do(&rig, 1, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

/* Whatever the front end asks for behind a move reaches the queue where it is then. */
static void test_front_end_waits_for_a_move(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct err err = ERR_INIT;
	struct rig_wait move, front;
	struct gmem *memory;

	(void)state;
	begin(&options);
	hold_reads(0, 2);
	rig_wait_open(&move);
	rig_wait_open(&front);
	device_queue_move(rig.device, 0, rig.workers[1], &move.join);
	assert_int_equal(gmem_new(rig.regions, rig.region_cnt, &memory, &err), 0);
	device_set_memory(rig.device, memory, &front.join);
	release_held();
	assert_int_equal(rig_wait_done(&rig, &front), 0);
	assert_int_equal(rig_wait_done(&rig, &move), 0);
	assert_int_equal(rig.memory->refs, 1);
	gmem_put(rig.memory);
	rig.memory = memory;
	rig_wait_used(&rig, 0, 2);
	hold_reads(0, 2);
	rig_wait_open(&move);
	rig_wait_open(&front);
	device_queue_move(rig.device, 0, rig.workers[0], &move.join);
	device_queue_stop(rig.device, 0, &front.join);
	release_held();
	assert_int_equal(rig_wait_done(&rig, &front), 0);
	assert_true(move.join.pending == 1);
	assert_int_equal(queue_stats().moves, 2);
	rig.queues[0].started = false;
	assert_int_equal(rig_take_used(&rig, 0), 2);
	assert_int_equal(fake_storage_channels(storage), 0);
	end();
}

/* What comes in while the queue has no owner is kept for the next. */
static void test_a_batch_during_a_move(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct rig_wait wait;

	(void)state;
	begin(&options);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t deadline_ns = rig_deadline_ns();

		hold_reads(0, 3);
		rig_queue_move(&rig, 0, (round + 1) % RIG_WORKERS);
		release_held();
		/* Control is not told yet: its loop does not turn. */
		while (fake_storage_channels(storage) > 1)
			rig_check_deadline(deadline_ns, "what was left");
		rig_wait_open(&wait);
		device_queue_move(rig.device, 0, rig.workers[round % RIG_WORKERS], &wait.join);
		assert_int_equal(rig_wait_done(&rig, &wait), 0);
		rig_wait_used(&rig, 0, 3);
		rig_queue_move(&rig, 0, (round + 1) % RIG_WORKERS);
	}
	rig_queue_stop(&rig, 0);
	assert_int_equal(queue_stats().adopted, 60);
	check_counters(60);
	end();
}

/* A worker that cannot take the queue: it goes back to where its requests are. */
static void test_move_goes_back_with_requests_out(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct rig_wait wait;

	(void)state;
	begin(&options);
	hold_reads(0, 3);
	fake_storage_fail_open(storage, EMFILE, 1);
	rig_wait_open(&wait);
	device_queue_move(rig.device, 0, rig.workers[1], &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), -EMFILE);
	assert_ptr_equal(device_queue_worker(rig.device, 0), rig.workers[0]);
	release_held();
	rig_wait_used(&rig, 0, 3);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	rig_queue_stop(&rig, 0);
	assert_int_equal(queue_stats().moves, 0);
	assert_int_equal(queue_stats().adopted, 3);
	check_counters(4);
	end();
}

static void wait_lost(void)
{
	uint64_t deadline_ns = rig_deadline_ns();

	while (!device_queue_get(rig.device, 0)->lost) {
		assert_int_equal(evloop_turn(rig.loop, 1), 0);
		rig_check_deadline(deadline_ns, "a lost queue");
	}
}

static unsigned lost_cnt;

static void count_lost(void *front, unsigned idx)
{
	assert_ptr_equal(front, &lost_cnt);
	assert_int_equal(idx, 0);
	assert_false(device_queue_running(rig.device, 0));
	lost_cnt++;
}

/* Nor can it be taken back: it stops when the last has come in, and who waited is done. */
static void test_a_lost_queue(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER, .size = 128};
	static const struct device_front_ops front_ops = {.queue_lost = count_lost};
	struct rig_wait move, stop;

	(void)state;
	lost_cnt = 0;
	for (unsigned format = RING_SPLIT; format <= RING_PACKED; format++) {
		options.format = format;
		begin(&options);
		device_set_front(rig.device, &front_ops, &lost_cnt);
		hold_reads(0, 40);
		fake_storage_fail_open(storage, ENOMEM, 2);
		rig_wait_open(&move);
		rig_wait_open(&stop);
		device_queue_move(rig.device, 0, rig.workers[1], &move.join);
		device_queue_stop(rig.device, 0, &stop.join);
		rig_wait_begin(&rig, &move);
		wait_lost();
		assert_false(move.finished);
		assert_true(device_queue_running(rig.device, 0));
		release_held();
		assert_int_equal(rig_wait_end(&rig, &move), -ENOMEM);
		assert_int_equal(rig_wait_done(&rig, &stop), 0);
		rig.queues[0].started = false;
		assert_false(device_queue_running(rig.device, 0));
		assert_int_equal(rig_take_used(&rig, 0), 40);
		assert_int_equal(lost_cnt, 1 + (format == RING_PACKED));
		assert_int_equal(device_queue_base(rig.device, 0), ring_base(rig.queues[0].ring));
		for (uint16_t i = 0; i < 40; i++)
			assert_int_equal(status_of(i), BLK_S_OK);
		assert_int_equal(fake_storage_channels(storage), 0);
		rig_fd_back(rig.queues[0].device_call_fd);
		check_counters(40);
		/* And it can be started again. */
		rig_queue_start(&rig, 0);
		assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
		assert_int_equal(queue_stats().starts, 2);
		device_set_front(rig.device, NULL, NULL);
		end();
	}
}

static struct rig_wait lost_move, lost_tune;

static void check_operator_was_told(struct join *join)
{
	struct rig_wait *wait = container_of(join, struct rig_wait, join);

	assert_true(lost_move.finished);
	assert_true(lost_tune.finished);
	wait->finished = true;
}

/* With the front end's stop the device may go: nothing may be left that the operator asked for. */
static void test_the_front_end_hears_last(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct rig_wait stop;

	(void)state;
	begin(&options);
	hold_reads(0, 2);
	fake_storage_fail_open(storage, ENOMEM, 2);
	rig_wait_open(&lost_move);
	rig_wait_open(&stop);
	rig_wait_open(&lost_tune);
	stop.join.finished = check_operator_was_told;
	device_queue_move(rig.device, 0, rig.workers[1], &lost_move.join);
	device_queue_stop(rig.device, 0, &stop.join);
	device_tune(rig.device, device_tuning(rig.device), &lost_tune.join);
	rig_wait_begin(&rig, &lost_move);
	rig_wait_begin(&rig, &stop);
	rig_wait_begin(&rig, &lost_tune);
	wait_lost();
	release_held();
	assert_int_equal(rig_wait_end(&rig, &stop), 0);
	assert_int_equal(lost_move.join.status, -ENOMEM);
	assert_int_equal(lost_tune.join.status, 0);
	rig.queues[0].started = false;
	assert_int_equal(rig_take_used(&rig, 0), 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_waits_for_what_was_left),
		cmocka_unit_test(test_memory_waits_for_what_was_left),
		cmocka_unit_test(test_call_of_what_was_left),
		cmocka_unit_test(test_tune_and_stop_wait_in_line),
		cmocka_unit_test(test_front_end_waits_for_a_move),
		cmocka_unit_test(test_a_batch_during_a_move),
		cmocka_unit_test(test_move_goes_back_with_requests_out),
		cmocka_unit_test(test_a_lost_queue),
		cmocka_unit_test(test_the_front_end_hears_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
