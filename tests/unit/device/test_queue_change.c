/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes while a queue runs: stop, move, memory, descriptors, with requests in flight and under
 * load. Starting is test_queue.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

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

/* cnt reads that the storage keeps until told otherwise. */
static void hold_reads(unsigned idx, unsigned cnt)
{
	uint64_t deadline_ns = rig_deadline_ns();

	fake_storage_set_pace(storage, FAKE_STORAGE_HELD);
	for (unsigned i = 0; i < cnt; i++)
		rig_add(&rig, idx, (uint16_t)i, BLK_T_IN, i, 0, 512);
	rig_publish(&rig, idx);
	while (fake_storage_held(storage) < cnt)
		rig_check_deadline(deadline_ns, "held reads");
}

static void release_and_finish(struct rig_wait *wait, int status)
{
	uint64_t deadline_ns = rig_deadline_ns();

	assert_false(wait->finished);
	fake_storage_set_pace(storage, FAKE_STORAGE_INLINE);
	while (!wait->finished) {
		assert_int_equal(evloop_turn(rig.loop, 10), 0);
		rig_check_deadline(deadline_ns, "a change to finish");
	}
	assert_int_equal(wait->join.status, status);
}

static void test_stop_drains(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ADAPTIVE, .poll_max_ns = 50000};
	struct device_queue_setup setup;
	struct err err = ERR_INIT;
	struct rig_wait wait;

	(void)state;
	begin(&options);
	setup = rig_queue_setup(&rig, 0);
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	hold_reads(0, 10);
	rig_wait_open(&wait);
	device_queue_stop(rig.device, 0, &wait.join);
	rig_wait_begin(&rig, &wait);
	assert_false(wait.finished);
	/* While it drains nothing is fetched any more. */
	rig_add(&rig, 0, 20, BLK_T_IN, 0, 0, 512);
	rig_publish(&rig, 0);
	release_and_finish(&wait, 0);
	rig.queues[0].started = false;
	assert_false(device_queue_running(rig.device, 0));
	assert_int_equal(device_queue_base(rig.device, 0), 10);
	assert_int_equal(rig_take_used(&rig, 0), 10);
	assert_int_equal(*rig.queues[0].requests[20].status, RIG_NO_STATUS);
	rig_fd_back(setup.kick_fd);
	rig_fd_back(setup.call_fd);
	rig_fd_back(setup.err_fd);
	assert_int_equal(fake_storage_channels(storage), 0);
	/* It goes on where it stopped. */
	setup = rig_queue_setup(&rig, 0);
	setup.base = device_queue_base(rig.device, 0);
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(*rig.queues[0].requests[20].status, BLK_S_OK);
	assert_int_equal(rig_stats(&rig).reads, 11);
	end();
}

/* Bytes that say which request wrote them. */
static void fill(uint8_t *data, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		data[i] = (uint8_t)(seed * 31 + i * 7);
}

/* Eight writes at different places, each read back, all in flight at once. */
static void write_burst(unsigned round)
{
	for (uint16_t i = 0; i < 8; i++) {
		fill(rig.queues[0].requests[i].data, 1024, round * 8 + i);
		rig_add(&rig, 0, i, BLK_T_OUT, (round % 64) * 16 + i * 2, 1024, 0);
	}
	rig_publish(&rig, 0);
}

static void read_burst(unsigned round)
{
	for (uint16_t i = 0; i < 8; i++) {
		memset(rig.queues[0].requests[i].data, 0, 1024);
		rig_add(&rig, 0, i, BLK_T_IN, (round % 64) * 16 + i * 2, 0, 1024);
	}
	rig_publish(&rig, 0);
}

static void check_burst(unsigned round)
{
	for (uint16_t i = 0; i < 8; i++) {
		uint8_t expected[1024];

		fill(expected, sizeof(expected), round * 8 + i);
		assert_int_equal(*rig.queues[0].requests[i].status, BLK_S_OK);
		assert_memory_equal(rig.queues[0].requests[i].data, expected, sizeof(expected));
	}
}

enum disturbance { MOVES, STOPS, MEMORY_CHANGES, CALL_CHANGES, ALL_AT_ONCE };

/* Whoever looks may look at any time. */
static void look(void)
{
	struct device_queue_view view;
	unsigned table_cnt;

	(void)device_stat_tables(rig.device, &table_cnt);
	for (unsigned i = 0; i < table_cnt; i++) {
		uint64_t out[64];

		device_queue_stats(rig.device, 0, i, out);
	}
	assert_true(device_queue_view(rig.device, 0, &view));
	assert_true(view.in_flight <= 64);
	assert_int_equal(view.fault, VIRTQUEUE_OK);
}

static void change_memory(struct join *join, struct gmem **old)
{
	struct err err = ERR_INIT;
	struct gmem *memory;

	assert_int_equal(gmem_new(rig.regions, rig.region_cnt, &memory, &err), 0);
	device_set_memory(rig.device, memory, join);
	*old = rig.memory;
	rig.memory = memory;
}

static void memory_changed(struct gmem *old)
{
	assert_int_equal(old->refs, 1); /* the device has let go of it */
	gmem_put(old);
}

/* The front end and the operator, both of whose wishes differ each time. */
static void ask_for_all(unsigned round)
{
	struct device_tuning tuning = {
		.poll_mode = (enum poll_mode)(round % POLL_MODE_MAX_),
		.poll_max_ns = 20000,
		.coalesce = {.mode = round / 3 % 3, .packets = 4, .usecs = 100},
	};
	struct gmem *old = NULL;
	struct rig_wait front, operator;

	rig_wait_open(&front);
	rig_wait_open(&operator);
	if (round & 1)
		device_tune(rig.device, &tuning, &operator.join);
	device_queue_move(rig.device, 0, rig.workers[round / 2 % RIG_WORKERS], &operator.join);
	if (!(round & 1))
		device_tune(rig.device, &tuning, &operator.join);
	if (round % 7 == 3)
		device_queue_stop(rig.device, 0, &front.join);
	else if (round % 2)
		change_memory(&front.join, &old);
	else
		device_queue_set_call(rig.device, 0, rig.queues[0].device_call_fd, &front.join);
	look();
	assert_int_equal(rig_wait_done(&rig, &front), 0);
	look();
	if (old)
		memory_changed(old);
	if (round % 7 == 3) {
		struct device_queue_setup setup = rig_queue_setup(&rig, 0);
		struct err err = ERR_INIT;

		setup.base = device_queue_base(rig.device, 0);
		assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	}
	assert_int_equal(rig_wait_done(&rig, &operator), 0);
}

static void disturb(enum disturbance what, unsigned round)
{
	struct err err = ERR_INIT;
	struct rig_wait wait;
	struct gmem *old;
	int fd, old_fd;

	rig_wait_open(&wait);
	look();
	switch (what) {
	case ALL_AT_ONCE:
		ask_for_all(round);
		break;
	case MOVES:
		rig_queue_move(&rig, 0, (round + 1) % RIG_WORKERS);
		break;
	case STOPS: {
		struct device_queue_setup setup;

		rig_queue_stop(&rig, 0);
		setup = rig_queue_setup(&rig, 0);
		setup.base = device_queue_base(rig.device, 0);
		assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
		break;
	}
	case MEMORY_CHANGES:
		change_memory(&wait.join, &old);
		assert_int_equal(rig_wait_done(&rig, &wait), 0);
		memory_changed(old);
		break;
	case CALL_CHANGES:
		old_fd = rig.queues[0].device_call_fd;
		fd = round % 4 == 3 ? -1 : dup(rig.queues[0].call_fd);
		device_queue_set_call(rig.device, 0, fd, &wait.join);
		assert_int_equal(rig_wait_done(&rig, &wait), 0);
		rig_fd_back(old_fd);
		rig.queues[0].device_call_fd = fd;
		break;
	}
}

static void run_disturbed(enum ring_format format, bool in_order, enum disturbance what)
{
	struct rig_options options = {
		.format = format,
		.event_idx = true,
		.in_order = in_order,
		.poll_mode = POLL_MODE_ADAPTIVE,
		.poll_max_ns = 20000,
	};

	begin(&options);
	fake_storage_set_pace(storage, FAKE_STORAGE_LATER);
	rig_queue_start(&rig, 0);
	for (unsigned round = 0; round < 40; round++) {
		write_burst(round);
		disturb(what, round);
		rig_wait_used(&rig, 0, 8);
		read_burst(round);
		disturb(what, round + 1);
		rig_wait_used(&rig, 0, 8);
		check_burst(round);
	}
	assert_int_equal(rig_stats(&rig).writes, 320);
	assert_int_equal(rig_stats(&rig).reads, 320);
	end();
}

static void test_moves_under_load(void **state)
{
	(void)state;
	run_disturbed(RING_SPLIT, false, MOVES);
	run_disturbed(RING_PACKED, false, MOVES);
	run_disturbed(RING_SPLIT, true, MOVES);
}

static void test_stops_under_load(void **state)
{
	(void)state;
	run_disturbed(RING_SPLIT, false, STOPS);
	run_disturbed(RING_PACKED, false, STOPS);
	run_disturbed(RING_PACKED, true, STOPS);
}

static void test_memory_changes_under_load(void **state)
{
	(void)state;
	run_disturbed(RING_SPLIT, false, MEMORY_CHANGES);
	run_disturbed(RING_PACKED, false, MEMORY_CHANGES);
}

static void test_call_changes_under_load(void **state)
{
	(void)state;
	run_disturbed(RING_SPLIT, false, CALL_CHANGES);
	run_disturbed(RING_PACKED, false, CALL_CHANGES);
}

static void test_all_at_once_under_load(void **state)
{
	(void)state;
	run_disturbed(RING_SPLIT, false, ALL_AT_ONCE);
	run_disturbed(RING_PACKED, false, ALL_AT_ONCE);
	run_disturbed(RING_SPLIT, true, ALL_AT_ONCE);
	run_disturbed(RING_PACKED, true, ALL_AT_ONCE);
}

/* A worker that cannot take the queue: it goes back, and is served there. */
static void test_move_goes_back(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_NEVER};
	struct rig_wait wait;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 0);
	fake_storage_fail_open(storage, EMFILE, 1);
	rig_wait_open(&wait);
	device_queue_move(rig.device, 0, rig.workers[1], &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), -EMFILE);
	assert_ptr_equal(device_queue_worker(rig.device, 0), rig.workers[0]);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	/* The failure was that move's alone. */
	rig_queue_move(&rig, 0, 1);
	assert_int_equal(rig_do(&rig, 0, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	/* Neither worker takes it: it is stopped, at its base. */
	fake_storage_fail_open(storage, ENOMEM, 2);
	rig_wait_open(&wait);
	device_queue_move(rig.device, 0, rig.workers[0], &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), -ENOMEM);
	assert_false(device_queue_running(rig.device, 0));
	assert_int_equal(device_queue_base(rig.device, 0), 2);
	rig_fd_back(rig.queues[0].device_call_fd);
	rig.queues[0].started = false;
	end();
}

static void test_memory_is_kept_while_in_use(void **state)
{
	struct rig_options options = {.queues = 2, .poll_mode = POLL_MODE_NEVER};
	struct err err = ERR_INIT;
	struct gmem *memory;
	struct rig_wait wait;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 0);
	rig_queue_start(&rig, 1);
	hold_reads(0, 3);
	assert_int_equal(gmem_new(rig.regions, rig.region_cnt, &memory, &err), 0);
	rig_wait_open(&wait);
	device_set_memory(rig.device, memory, &wait.join);
	rig_wait_begin(&rig, &wait);
	assert_false(wait.finished);
	assert_int_equal(rig.memory->refs, 2);
	assert_ptr_equal(device_memory(rig.device), memory);
	release_and_finish(&wait, 0);
	assert_int_equal(rig.memory->refs, 1);
	gmem_put(rig.memory);
	rig.memory = memory;
	rig_wait_used(&rig, 0, 3);
	assert_int_equal(rig_do(&rig, 1, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	end();
}

/* The ring itself goes away: that queue is broken, the daemon and the other queue are not. */
static void test_memory_without_the_ring(void **state)
{
	struct rig_options options = {.queues = 2, .poll_mode = POLL_MODE_ADAPTIVE};
	struct err err = ERR_INIT;
	struct gmem *empty, *full;
	struct rig_wait wait;
	uint64_t deadline_ns = rig_deadline_ns();
	uint64_t signalled = 0;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 0);
	hold_reads(0, 3);
	assert_int_equal(gmem_new(NULL, 0, &empty, &err), 0);
	rig_wait_open(&wait);
	device_set_memory(rig.device, empty, &wait.join);
	rig_wait_begin(&rig, &wait);
	release_and_finish(&wait, 0);
	while (read(rig.queues[0].err_fd, &signalled, sizeof(signalled)) < 0)
		rig_check_deadline(deadline_ns, "the error descriptor");
	/* Nothing was written into memory that is not there. */
	assert_int_equal(rig_take_used(&rig, 0), 0);
	full = rig.memory;
	rig_wait_open(&wait);
	device_set_memory(rig.device, full, &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), 0);
	gmem_put(empty);
	rig_queue_start(&rig, 1);
	assert_int_equal(rig_do(&rig, 1, BLK_T_IN, 0, 0, 512), BLK_S_OK);
	rig_queue_stop(&rig, 0);
	end();
}

static void wait_signalled(int fd, const char *what)
{
	uint64_t deadline_ns = rig_deadline_ns();
	uint64_t cnt;

	while (read(fd, &cnt, sizeof(cnt)) < 0)
		rig_check_deadline(deadline_ns, what);
}

static void set_call(int fd)
{
	struct rig_wait wait;

	rig_wait_open(&wait);
	device_queue_set_call(rig.device, 0, fd, &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), 0);
}

/* Polled always, so that a call comes from nowhere but where it should. */
static void test_call_fd_is_replaced(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ALWAYS};
	int other = eventfd(0, EFD_NONBLOCK);
	int given = dup(other);
	uint64_t cnt;

	(void)state;
	begin(&options);
	rig_queue_start(&rig, 0);
	assert_false(ring_arm(rig.queues[0].ring));
	set_call(given);
	rig_fd_back(rig.queues[0].device_call_fd);
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	rig_publish(&rig, 0);
	wait_signalled(other, "the new call descriptor");
	rig_wait_used(&rig, 0, 1);
	assert_int_equal(read(rig.queues[0].call_fd, &cnt, sizeof(cnt)), -1);
	/* Nobody to call for a while: the call is made up for when there is. */
	set_call(-1);
	rig_fd_back(given);
	assert_false(ring_arm(rig.queues[0].ring));
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	rig_publish(&rig, 0);
	rig_wait_used(&rig, 0, 1);
	given = dup(other);
	set_call(given);
	wait_signalled(other, "the call that was owed");
	rig_queue_stop(&rig, 0);
	rig_fd_back(given);
	close(other);
	end();
}

static void test_err_fd_is_replaced(void **state)
{
	struct rig_options options = {.poll_mode = POLL_MODE_ALWAYS};
	int other = eventfd(0, EFD_NONBLOCK);
	int given = dup(other);
	struct device_queue_setup setup;
	struct err err = ERR_INIT;
	struct rig_wait wait;
	uint64_t cnt;

	(void)state;
	begin(&options);
	setup = rig_queue_setup(&rig, 0);
	assert_int_equal(rig_queue_try_start(&rig, 0, &setup, &err), 0);
	rig_wait_open(&wait);
	device_queue_set_err(rig.device, 0, given, &wait.join);
	assert_int_equal(rig_wait_done(&rig, &wait), 0);
	rig_fd_back(setup.err_fd);
	rig_add(&rig, 0, 0, BLK_T_IN, 0, 0, 512);
	rig.queues[0].ring->avail->ring[0] = 0xFFFF;
	rig_publish(&rig, 0);
	wait_signalled(other, "the new error descriptor");
	assert_int_equal(read(rig.queues[0].err_fd, &cnt, sizeof(cnt)), -1);
	rig_queue_stop(&rig, 0);
	rig_fd_back(given);
	close(other);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_drains),
		cmocka_unit_test(test_moves_under_load),
		cmocka_unit_test(test_stops_under_load),
		cmocka_unit_test(test_memory_changes_under_load),
		cmocka_unit_test(test_call_changes_under_load),
		cmocka_unit_test(test_all_at_once_under_load),
		cmocka_unit_test(test_move_goes_back),
		cmocka_unit_test(test_memory_is_kept_while_in_use),
		cmocka_unit_test(test_memory_without_the_ring),
		cmocka_unit_test(test_call_fd_is_replaced),
		cmocka_unit_test(test_err_fd_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
