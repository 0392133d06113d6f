/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves with requests in the storage: what stays behind ends there once, the rest goes on at the
 * new worker. What else is asked for meanwhile is test_move_change.c's, moves under load are
 * test_queue_change.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "hold_rig.h"

/* One request is slow: everything else goes on, wherever the queue is moved to meanwhile. */
static void run_slow_request(const struct rig_options *options)
{
	unsigned requests = 1;

	begin(options);
	hold_reads(0, 1);
	keep_held();
	for (unsigned move = 0; move < 5; move++) {
		rig_queue_move(&rig, 0, (move + 1) % RIG_WORKERS);
		for (uint16_t i = 1; i < 20; i++)
			rig_add(&rig, 0, i, BLK_T_IN, i, 0, 512);
		rig_publish(&rig, 0);
		requests += 19;
		if (options->in_order)
			break; /* none overtakes the first */
		rig_wait_used(&rig, 0, 19);
		assert_int_equal(status_of(0), RIG_NO_STATUS);
		/* The queue's own, and the one that was left with the slow one. */
		wait_channels(2);
	}
	release_held();
	rig_wait_used(&rig, 0, options->in_order ? 20 : 1);
	for (uint16_t i = 0; i < 20; i++)
		assert_int_equal(status_of(i), BLK_S_OK);
	wait_channels(1);
	rig_queue_stop(&rig, 0);
	assert_int_equal(rig_take_used(&rig, 0), 0);
	assert_int_equal(queue_stats().moves, options->in_order ? 1 : 5);
	assert_int_equal(queue_stats().adopted, 1);
	assert_int_equal(queue_stats().starts, 1);
	check_counters(requests);
	end();
}

static void test_a_slow_request_keeps_nothing(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		struct rig_options options = {
			.format = bits & 1 ? RING_PACKED : RING_SPLIT,
			.event_idx = true,
			.in_order = bits & 2,
			.poll_mode = bits & 4 ? POLL_MODE_NEVER : POLL_MODE_ADAPTIVE,
			.poll_max_ns = 20000,
		};

		run_slow_request(&options);
	}
}

/* Nothing outstanding: nothing is left behind. */
static void test_an_idle_queue_moves(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct rig_wait wait;

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < 10; i++) {
		rig_queue_move(&rig, 0, (i + 1) % RIG_WORKERS);
		assert_int_equal(fake_storage_channels(storage), 1);
		assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	}
	assert_int_equal(queue_stats().moves, 10);
	assert_int_equal(queue_stats().adopted, 0);
	/* To where it is: nothing to do. */
	rig_wait_open(&wait);
	device_queue_move(rig.device, 0, device_queue_worker(rig.device, 0), &wait.join);
	assert_int_equal(wait.join.pending, 1);
	assert_int_equal(wait.join.status, 0);
	assert_int_equal(queue_stats().moves, 10);
	end();
}

/* Each move leaves some behind: as many remainders, which all come in. */
static void test_many_remainders(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ADAPTIVE, .size = 256};

	(void)state;
	begin(&options);
	for (unsigned i = 0; i < 10; i++) {
		hold_reads((uint16_t)(i * 8), 8);
		rig_queue_move(&rig, 0, (i + 1) % RIG_WORKERS);
		assert_int_equal(fake_storage_channels(storage), i + 2);
	}
	fake_storage_set_pace(storage, FAKE_STORAGE_LATER);
	rig_wait_used(&rig, 0, 80);
	for (uint16_t i = 0; i < 80; i++)
		assert_int_equal(status_of(i), BLK_S_OK);
	wait_channels(1);
	rig_queue_stop(&rig, 0);
	assert_int_equal(queue_stats().adopted, 80);
	check_counters(80);
	end();
}

/* The other segments are done where the first was submitted. */
static void test_a_discard_goes_on_behind(void **state)
{
	struct blk_wire_segment segments[3] = {
		{le64_of(0), le32_of(8), le32_of(0)},
		{le64_of(64), le32_of(8), le32_of(0)},
		{le64_of(128), le32_of(8), le32_of(0)},
	};
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};

	(void)state;
	for (unsigned later = 0; later < 2; later++) {
		begin(&options);
		fake_storage_set_pace(storage, FAKE_STORAGE_HELD);
		memcpy(rig.queues[0].requests[0].data, segments, sizeof(segments));
		rig_add(&rig, 0, 0, BLK_T_DISCARD, 0, sizeof(segments), 0);
		rig_publish(&rig, 0);
		wait_held(1);
		assert_int_equal(fake_storage_count(storage, STORAGE_DISCARD), 1);
		rig_queue_move(&rig, 0, 1);
		fake_storage_set_pace(storage, later ? FAKE_STORAGE_LATER : FAKE_STORAGE_INLINE);
		rig_wait_used(&rig, 0, 1);
		assert_int_equal(status_of(0), BLK_S_OK);
		assert_int_equal(fake_storage_count(storage, STORAGE_DISCARD), 3);
		wait_channels(1);
		check_counters(1);
		end();
	}
}

static void test_writethrough_flushes_behind(void **state)
{
	/* Without FLUSH and CONFIG_WCE the driver cannot ask for it: each write is durable. */
	struct rig_options options = {
		.poll_mode = POLL_MODE_NEVER,
		.features_off = 1ull << BLK_F_FLUSH | 1ull << BLK_F_CONFIG_WCE,
	};
	struct fake_storage_event events[2];

	(void)state;
	begin(&options);
	fake_storage_set_pace(storage, FAKE_STORAGE_HELD);
	rig_add(&rig, 0, 0, BLK_T_OUT, 0, 512, 0);
	rig_publish(&rig, 0);
	wait_held(1);
	rig_queue_move(&rig, 0, 1);
	fake_storage_set_pace(storage, FAKE_STORAGE_LATER);
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(status_of(0), BLK_S_OK);
	assert_int_equal(fake_storage_events(storage, events, 2), 2);
	assert_int_equal(events[0].kind, STORAGE_WRITE);
	assert_int_equal(events[1].kind, STORAGE_FLUSH);
	end();
}

/* The result travels with the request; the owner counts it. */
static void test_an_error_behind(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ADAPTIVE};

	(void)state;
	begin(&options);
	hold_reads(0, 3);
	rig_queue_move(&rig, 0, 1);
	fake_storage_fail(storage, STORAGE_READ, EIO, 1);
	release_held();
	rig_wait_used(&rig, 0, 3);
	assert_int_equal((status_of(0) == BLK_S_IOERR) + (status_of(1) == BLK_S_IOERR) +
				 (status_of(2) == BLK_S_IOERR),
			 1);
	assert_int_equal(rig_stats(&rig).io_errors, 1);
	end();
}

/* A chain that is longer than a slot's own iovecs: its block is the old worker's. */
static void test_a_borrowed_block_goes_home(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER, .size = 64};
	struct rig_request *req;
	struct ring_seg segs[22];

	(void)state;
	begin(&options);
	/* More often than a pool has blocks of the kind. */
	for (unsigned round = 0; round < 400; round++) {
		req = &rig.queues[0].requests[0];
		req->header->type = BLK_T_IN;
		req->header->sector = round;
		*req->status = RIG_NO_STATUS;
		segs[0] = (struct ring_seg){req->header_gpa, 16};
		for (unsigned i = 0; i < 20; i++)
			segs[i + 1] = (struct ring_seg){req->data_gpa + i * 512, 512};
		segs[21] = (struct ring_seg){req->status_gpa, 1};
		fake_storage_set_pace(storage, FAKE_STORAGE_HELD);
		assert_int_equal(ring_add(rig.queues[0].ring, segs, 1, 21, 0), 0);
		rig_publish(&rig, 0);
		wait_held(1);
		rig_queue_move(&rig, 0, (round + 1) % RIG_WORKERS);
		release_held();
		rig_wait_used(&rig, 0, 1);
		assert_int_equal(status_of(0), BLK_S_OK);
	}
	rig_queue_stop(&rig, 0);
	assert_int_equal(queue_stats().adopted, 400);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_slow_request_keeps_nothing),
		cmocka_unit_test(test_an_idle_queue_moves),
		cmocka_unit_test(test_many_remainders),
		cmocka_unit_test(test_a_discard_goes_on_behind),
		cmocka_unit_test(test_writethrough_flushes_behind),
		cmocka_unit_test(test_an_error_behind),
		cmocka_unit_test(test_a_borrowed_block_goes_home),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
