/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is seen of queues: tables, views, the watcher; where they start; and calls that are held.
 * The coalescer's decisions are the virtqueue's tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hold_rig.h"

/* A call that waits for more goes out when the queue leaves. */
static void test_a_held_call_goes_before_the_move(void **state)
{
	struct rig_options options = {
		.poll_mode = POLL_MODE_NEVER,
		/* Longer than the test may take. */
		.coalesce = {.mode = COALESCE_STATIC, .packets = 64, .usecs = 600 * 1000 * 1000},
	};
	uint64_t deadline_ns = rig_deadline_ns();
	struct virtqueue_stats ring;
	uint64_t cnt;

	(void)state;
	begin(&options);
	/* The first decision of a ring is a call. */
	(void)!read(rig.queues[0].call_fd, &cnt, sizeof(cnt));
	assert_false(ring_arm(rig.queues[0].ring));
	/* Others are in the storage: with none, there would be nothing to wait for. */
	hold_reads(0, 4);
	keep_held();
	rig_add(&rig, 0, 9, BLK_T_IN, 9, 0, 512);
	rig_publish(&rig, 0);
	rig_wait_used(&rig, 0, 1);
	assert_false(ring_arm(rig.queues[0].ring));
	rig_add(&rig, 0, 9, BLK_T_IN, 9, 0, 512);
	rig_publish(&rig, 0);
	while (status_of(9) == RIG_NO_STATUS)
		rig_check_deadline(deadline_ns, "a request");
	rig_ping(&rig);
	assert_int_equal(read(rig.queues[0].call_fd, &cnt, sizeof(cnt)), -1);
	rig_queue_move(&rig, 0, 1);
	assert_int_equal(read(rig.queues[0].call_fd, &cnt, sizeof(cnt)), sizeof(cnt));
	release_held();
	rig_wait_used(&rig, 0, 5);
	rig_queue_stop(&rig, 0);
	device_queue_stats(rig.device, 0, TABLE_RING, &ring);
	assert_int_equal(ring.completed, 6);
	end();
}

/* So it does when it is not held back any more, in the mode that sleeps after each burst. */
static void test_a_held_call_is_due(void **state)
{
	struct rig_options options = {
		.poll_mode = POLL_MODE_NEVER,
		.coalesce = {.mode = COALESCE_STATIC, .packets = 64, .usecs = 500},
	};
	struct device_tuning tuning = {.poll_mode = POLL_MODE_NEVER};
	uint64_t deadline_ns = rig_deadline_ns();
	struct rig_wait wait;
	uint64_t cnt;

	(void)state;
	for (unsigned tuned = 0; tuned < 2; tuned++) {
		options.coalesce.usecs = tuned ? 600 * 1000 * 1000 : 500;
		begin(&options);
		(void)!read(rig.queues[0].call_fd, &cnt, sizeof(cnt));
		hold_reads(0, 4);
		keep_held();
		assert_false(ring_arm(rig.queues[0].ring));
		rig_add(&rig, 0, 9, BLK_T_IN, 9, 0, 512);
		rig_publish(&rig, 0);
		while (status_of(9) == RIG_NO_STATUS)
			rig_check_deadline(deadline_ns, "a request");
		if (tuned) {
			rig_wait_open(&wait);
			device_tune(rig.device, &tuning, &wait.join);
			assert_int_equal(rig_wait_done(&rig, &wait), 0);
		}
		while (read(rig.queues[0].call_fd, &cnt, sizeof(cnt)) < 0)
			rig_check_deadline(deadline_ns, "a call");
		release_held();
		rig_wait_used(&rig, 0, 5);
		end();
	}
}

/* What comes in from elsewhere while the queue sleeps is held, and called for in time. */
static void test_a_held_call_of_what_was_left(void **state)
{
	struct rig_options options = {
		.poll_mode = POLL_MODE_NEVER,
		.coalesce = {.mode = COALESCE_STATIC, .packets = 64, .usecs = 500},
	};
	uint64_t deadline_ns = rig_deadline_ns();
	struct virtqueue_stats ring;
	uint64_t cnt;

	(void)state;
	begin(&options);
	hold_reads(0, 1);
	rig_queue_move(&rig, 0, 1);
	hold_reads(1, 1);
	rig_ping(&rig);
	(void)!read(rig.queues[0].call_fd, &cnt, sizeof(cnt));
	assert_false(ring_arm(rig.queues[0].ring));
	fake_storage_let_go(storage, 512);
	while (read(rig.queues[0].call_fd, &cnt, sizeof(cnt)) < 0) {
		assert_int_equal(evloop_turn(rig.loop, 1), 0);
		rig_check_deadline(deadline_ns, "a call");
	}
	device_queue_stats(rig.device, 0, TABLE_RING, &ring);
	assert_true(ring.coalesced[COALESCE_HOLD] >= 1);
	assert_int_equal(ring.coalesced[COALESCE_DUE_DEADLINE], 1);
	release_held();
	rig_wait_used(&rig, 0, 2);
	end();
}

static unsigned changes;

static void count_change(void *arg)
{
	assert_ptr_equal(arg, &changes);
	changes++;
}

static void test_watcher_homes_and_workers(void **state)
{
	struct rig_options options = {.queues = 2};
	struct err err = ERR_INIT;
	struct worker *const *workers;
	struct rig_wait wait;
	unsigned cnt;

	(void)state;
	begin(&options);
	changes = 0;
	device_set_watcher(rig.device, count_change, &changes);
	device_queue_set_home(rig.device, 1, rig.workers[0]);
	rig_queue_start(&rig, 1);
	assert_int_equal(changes, 1);
	assert_ptr_equal(device_queue_worker(rig.device, 1), rig.workers[0]);
	rig_queue_move(&rig, 1, 1);
	assert_int_equal(changes, 1);
	rig_queue_stop(&rig, 1);
	assert_int_equal(changes, 2);
	device_queue_set_home(rig.device, 1, NULL);
	rig_queue_start(&rig, 1);
	assert_ptr_equal(device_queue_worker(rig.device, 1), rig.workers[1]);
	/* Lost: that is a stop, too. */
	fake_storage_fail_open(storage, EMFILE, 2);
	rig_wait_open(&wait);
	device_queue_move(rig.device, 1, rig.workers[0], &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), -EMFILE);
	rig.queues[1].started = false;
	assert_int_equal(changes, 4);
	/* A start that fails is none. */
	fake_storage_fail_open(storage, EMFILE, 1);
	{
		struct device_queue_setup setup = rig_queue_setup(&rig, 1);

		assert_int_equal(rig_queue_try_start(&rig, 1, &setup, &err), -EMFILE);
	}
	assert_int_equal(changes, 4);
	device_set_watcher(rig.device, NULL, NULL);
	assert_int_equal(device_set_workers(rig.device, rig.workers, 0, &err), -EINVAL);
	assert_string_equal(err.text, "workers: there is none; give at least one");
	assert_int_equal(device_set_workers(rig.device, &rig.workers[1], 1, &err), 0);
	workers = device_workers(rig.device, &cnt);
	assert_int_equal(cnt, 1);
	assert_ptr_equal(workers[0], rig.workers[1]);
	/* What runs stays; what starts goes there. */
	assert_ptr_equal(device_queue_worker(rig.device, 0), rig.workers[0]);
	rig_queue_stop(&rig, 0);
	rig_queue_start(&rig, 0);
	assert_ptr_equal(device_queue_worker(rig.device, 0), rig.workers[1]);
	end();
}

static void test_tables_and_views(void **state)
{
	static const char *const names[] = {"queue", "requests", "ring", "storage"};
	struct rig_options options = {.queues = 2, .poll_mode = POLL_MODE_NEVER};
	const struct stat_table *tables;
	struct device_queue_view view;
	struct blk_stats sum;
	unsigned cnt;

	(void)state;
	begin(&options);
	tables = device_stat_tables(rig.device, &cnt);
	assert_int_equal(cnt, ARRAY_LEN(names));
	for (unsigned i = 0; i < cnt; i++) {
		uint64_t out[64];

		assert_string_equal(tables[i].name, names[i]);
		assert_true(tables[i].row_cnt > 0 && tables[i].bytes <= sizeof(out));
		for (unsigned row = 0; row < tables[i].row_cnt; row++)
			assert_true(tables[i].rows[row].offset + 8 <= tables[i].bytes);
		/* Never started. */
		memset(out, 0xEE, sizeof(out));
		device_queue_stats(rig.device, 1, i, out);
		for (unsigned word = 0; word < tables[i].bytes / 8; word++)
			assert_int_equal(out[word], 0);
	}
	assert_ptr_equal(device_queue_get(rig.device, 0)->poller.load_ns,
			 &device_queue_get(rig.device, 0)->load_ns);
	assert_false(device_queue_view(rig.device, 1, &view));
	assert_false(device_queue_view(rig.device, 77, &view));
	rig_queue_start(&rig, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	assert_int_equal(rig_do(&rig, 1, BLK_T_OUT, 0, 512, 0), BLK_S_OK);
	/* Refused ones take their time as well. */
	assert_int_equal(rig_do(&rig, 1, 99, 0, 512, 0), BLK_S_UNSUPP);
	rig_queue_stop(&rig, 1);
	rig_queue_start(&rig, 1);
	assert_int_equal(rig_do(&rig, 1, BLK_T_OUT, 0, 512, 0), BLK_S_OK);
	device_stats(rig.device, TABLE_REQUESTS, &sum);
	assert_int_equal(sum.reads, 1);
	assert_int_equal(sum.writes, 2);
	assert_int_equal(sum.unsupported, 1);
	rig_queue_stop(&rig, 1);
	assert_true(device_queue_view(rig.device, 1, &view));
	assert_false(view.running);
	assert_int_equal(view.size, 0);
	assert_int_equal(view.latency.cnt, 3);
	assert_true(view.latency.sum_ns > 0);
	assert_int_equal(queue_stats().starts, 1);
	end();
}

static void test_mapping_fails(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};

	(void)state;
	begin(&options);
	assert_int_equal(fake_storage_maps(storage), 1);
	fake_storage_fail_map(storage, ENOMEM, 1);
	rig_queue_move(&rig, 0, 1);
	assert_int_equal(fake_storage_maps(storage), 2);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_held_call_goes_before_the_move),
		cmocka_unit_test(test_a_held_call_is_due),
		cmocka_unit_test(test_a_held_call_of_what_was_left),
		cmocka_unit_test(test_watcher_homes_and_workers),
		cmocka_unit_test(test_tables_and_views),
		cmocka_unit_test(test_mapping_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
