/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of ports' queues that are held: how long they stay, and what lets them go, with real
 * workers in each way of polling. Bounds are so long that nothing here depends on time.
 * Not when a call is held (unit/virtqueue).
 */
#include "net_rig.h"

#include <unistd.h>

#include "base/compiler.h"

#define LONG_US 60000000u
#define FRAMES 4u

static struct net_rig rig;
static struct net_received received;
static uint8_t frame[FRAME_BYTES_MAX];

static const enum poll_mode polled_or_not[] = {POLL_MODE_ALWAYS, POLL_MODE_NEVER};

static struct coalesce_config bounds(uint32_t packets, uint32_t usecs)
{
	return (struct coalesce_config){COALESCE_STATIC, packets, usecs, false};
}

/* Guest 1 receives; its queues coalesce. */
static void open_two(unsigned workers, enum poll_mode mode, struct coalesce_config config,
		     enum ring_format format)
{
	struct net_guest_options b = {
		.format = format,
		.buffer_bytes = 2048,
		.rx_worker = workers - 1,
		.poll_mode = mode,
		.coalesce = config,
	};

	net_rig_open(&rig, workers);
	net_rig_guest(&rig, 0, &(struct net_guest_options){0});
	net_rig_guest(&rig, 1, &b);
	net_rig_post(&rig.guests[1], 0, NET_RIG_ALL);
	(void)ring_arm(rig.guests[1].queues[0].ring);
}

static const struct virtqueue_stats *ring_of(unsigned guest, unsigned idx)
{
	return virtqueue_stats(device_queue_get(rig.guests[guest].device, idx)->vq);
}

static uint64_t calls(unsigned guest, unsigned idx)
{
	return stat_read(&ring_of(guest, idx)->calls);
}

static uint64_t held(unsigned guest, unsigned idx)
{
	return stat_read(&ring_of(guest, idx)->coalesced[COALESCE_HOLD]);
}

/* From `from` to the other, one at a time, until the sender has it back. */
static void send_frames(unsigned from, unsigned cnt)
{
	struct net_guest *a = &rig.guests[from], *b = &rig.guests[!from];

	for (unsigned i = 0; i < cnt; i++) {
		net_rig_frame(frame, 100, a, b, i);
		assert_true(net_rig_send(a, 1, NULL, frame, 100, NET_LAYOUT_ONE));
		net_rig_publish(a, 1);
		net_rig_until(&rig, net_rig_all_back(a, 1));
	}
}

static void receive_all(unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		net_rig_until(&rig, net_rig_receive(&rig.guests[1], 0, &received));
}

/* Three are held, and are there all the same. */
static void hold_three(void)
{
	const uint64_t before = held(1, 0);

	send_frames(0, FRAMES - 1);
	net_rig_until(&rig, held(1, 0) == before + FRAMES - 1);
	assert_int_equal(calls(1, 0), 0);
}

#define FOR_ALL_WAYS(body)                                                          \
	for (unsigned way = 0; way < 8; way++) {                                    \
		const unsigned workers = 1 + way % 2;                               \
		const enum poll_mode mode = polled_or_not[way / 2 % 2];             \
		const enum ring_format format = way / 4 ? RING_PACKED : RING_SPLIT; \
                                                                                    \
		open_two(workers, mode, bounds(FRAMES, LONG_US), format);           \
		body;                                                               \
		net_rig_close(&rig);                                                \
	}

static void by_number(void)
{
	hold_three();
	send_frames(0, 1);
	net_rig_until(&rig, calls(1, 0) == 1);
	receive_all(FRAMES);
}

static void test_by_number(void **state)
{
	(void)state;
	FOR_ALL_WAYS(by_number());
}

/* Other bounds, by which it was due, or may wait on. */
static void by_tuning(enum poll_mode mode)
{
	struct device_tuning tuning = *device_tuning(rig.guests[1].device);
	struct net_rig_wait wait;

	assert_int_equal(tuning.poll_mode, mode);
	hold_three();
	tuning.coalesce = bounds(FRAMES + 1, LONG_US);
	net_rig_wait_open(&wait);
	device_tune(rig.guests[1].device, &tuning, &wait.join);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
	send_frames(0, 1);
	assert_int_equal(calls(1, 0), 0);
	tuning.coalesce = bounds(2, LONG_US);
	net_rig_wait_open(&wait);
	device_tune(rig.guests[1].device, &tuning, &wait.join);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
	net_rig_until(&rig, calls(1, 0) == 1);
	receive_all(FRAMES);
}

static void test_by_tuning(void **state)
{
	(void)state;
	FOR_ALL_WAYS(by_tuning(mode));
}

/* The queue stops, is disabled, or moves: what was held goes out. */
static void by_disabling(void)
{
	hold_three();
	net_rig_queue_enable(&rig, &rig.guests[1], 0, false);
	assert_int_equal(calls(1, 0), 1);
	net_rig_queue_enable(&rig, &rig.guests[1], 0, true);
}

static void test_by_disabling(void **state)
{
	(void)state;
	FOR_ALL_WAYS(by_disabling());
}

static void by_moving(unsigned workers)
{
	hold_three();
	net_rig_queue_move(&rig, &rig.guests[1], 0, workers == 2 ? 0 : 1);
	assert_int_equal(calls(1, 0), 1);
	/* There it is held again. */
	receive_all(FRAMES - 1);
	(void)ring_arm(rig.guests[1].queues[0].ring);
	send_frames(0, FRAMES);
	net_rig_until(&rig, calls(1, 0) >= 2);
}

static void test_by_moving(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		open_two(2, polled_or_not[i], bounds(FRAMES, LONG_US), RING_SPLIT);
		by_moving(2);
		net_rig_close(&rig);
	}
}

static void by_stopping(void)
{
	uint64_t value;

	hold_three();
	net_rig_queue_stop(&rig, &rig.guests[1], 0);
	assert_int_equal(read(rig.guests[1].queues[0].call_fd, &value, sizeof(value)),
			 sizeof(value));
	assert_int_equal(value, 1);
	net_rig_queue_start(&rig, &rig.guests[1], 0, true);
}

static void test_by_stopping(void **state)
{
	(void)state;
	FOR_ALL_WAYS(by_stopping());
}

/* Adaptive polling flushes before it sleeps: nobody would look at the clock. */
static void test_by_sleep(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 2; workers++) {
		open_two(workers, POLL_MODE_ADAPTIVE, bounds(1000, LONG_US), RING_SPLIT);
		for (unsigned i = 0; i < 20; i++) {
			const uint64_t before = calls(1, 0);

			(void)ring_arm(rig.guests[1].queues[0].ring);
			send_frames(0, 1);
			net_rig_until(&rig, calls(1, 0) == before + 1);
			receive_all(1);
			net_rig_post(&rig.guests[1], 0, NET_RIG_ALL);
		}
		assert_true(held(1, 0) > 0);
		net_rig_close(&rig);
	}
}

/* Never polled: the deadline is the sleep's timeout. Always polled: it is looked at. */
static void test_by_time(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		open_two(1 + i / 2, polled_or_not[i % 2], bounds(1000, 2000), RING_SPLIT);
		for (unsigned k = 0; k < 10; k++) {
			const uint64_t before = calls(1, 0);

			(void)ring_arm(rig.guests[1].queues[0].ring);
			send_frames(0, 1);
			net_rig_until(&rig, calls(1, 0) == before + 1);
			receive_all(1);
			net_rig_post(&rig.guests[1], 0, NET_RIG_ALL);
		}
		assert_int_equal(held(1, 0), 10);
		assert_int_equal(stat_read(&ring_of(1, 0)->coalesced[COALESCE_DUE_DEADLINE]), 10);
		net_rig_close(&rig);
	}
}

/* Completions of a transmit queue, likewise. */
static void test_transmit(void **state)
{
	(void)state;
	FOR_ALL_WAYS({
		net_rig_post(&rig.guests[0], 0, NET_RIG_ALL);
		(void)ring_arm(rig.guests[1].queues[1].ring);
		send_frames(1, FRAMES - 1);
		net_rig_until(&rig, held(1, 1) == FRAMES - 1);
		assert_int_equal(calls(1, 1), 0);
		send_frames(1, 1);
		net_rig_until(&rig, calls(1, 1) == 1);
	});
}

/* What the guest said of a queue goes over the host's, and is seen. */
static void test_view(void **state)
{
	struct device_queue_view view;

	(void)state;
	open_two(1, POLL_MODE_ALWAYS, bounds(FRAMES, LONG_US), RING_SPLIT);
	by_number();
	assert_true(device_queue_view(rig.guests[1].device, 0, &view));
	assert_int_equal(view.coalesce.config.mode, COALESCE_STATIC);
	assert_false(view.coalesce.config.by_guest);
	assert_int_equal(view.coalesce.packets, FRAMES);
	assert_int_equal(view.coalesce.usecs, LONG_US);
	assert_int_equal(view.coalesce.why, COALESCE_DUE_PACKETS);
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_number),    cmocka_unit_test(test_by_tuning),
		cmocka_unit_test(test_by_disabling), cmocka_unit_test(test_by_moving),
		cmocka_unit_test(test_by_stopping),  cmocka_unit_test(test_by_sleep),
		cmocka_unit_test(test_by_time),      cmocka_unit_test(test_transmit),
		cmocka_unit_test(test_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
