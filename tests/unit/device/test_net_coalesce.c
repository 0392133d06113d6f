/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NOTF_COAL and VQ_NOTF_COAL, rule by rule (VIRTIO 1.3, 5.1.6.5): what a driver says by its control
 * queue, and what its queues work by then.
 * Not when a call is due (test_net_coalesce_calls.c, tests/unit/virtqueue/test_notf_coal.c).
 */
#include "net_coalesce.h"

static void tune(const struct coalesce_config *config)
{
	struct device_tuning tuning = *device_tuning(guest->device);
	struct net_rig_wait wait;

	tuning.coalesce = *config;
	net_rig_wait_open(&wait);
	device_tune(guest->device, &tuning, &wait.join);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
}

/* ---- the rules ---- */

static void test_zero_at_first(void **state)
{
	(void)state;
	begin();
	for (uint16_t idx = 0; idx < CONTROL; idx++)
		assert_not_set(idx);
	end();
}

static void test_rx_set_is_for_all_receive_queues(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	assert_set(0, 15, 10);
	assert_set(2, 15, 10);
	assert_not_set(1);
	assert_not_set(3);
	end();
}

static void test_tx_set_is_for_all_transmit_queues(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(TX_SET, 16, 11), NET_OK);
	assert_set(1, 16, 11);
	assert_set(3, 16, 11);
	assert_not_set(0);
	assert_not_set(2);
	end();
}

/* The example of the standard, its six commands. */
static void test_last_setting_wins(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 100, 1), NET_OK);
	assert_set(0, 100, 1);
	assert_set(2, 100, 1);
	assert_int_equal(set_one(0, 200, 2), NET_OK);
	assert_set(0, 200, 2); /* reads it back, too */
	assert_set(2, 100, 1);
	assert_int_equal(set_one(1, 300, 3), NET_OK);
	assert_set(1, 300, 3);
	assert_not_set(3);
	assert_int_equal(set_all(TX_SET, 400, 4), NET_OK);
	assert_set(1, 400, 4);
	assert_set(3, 400, 4);
	/* And the other way round. */
	assert_int_equal(set_all(RX_SET, 500, 5), NET_OK);
	assert_set(0, 500, 5);
	assert_int_equal(set_one(2, 600, 6), NET_OK);
	assert_int_equal(set_one(2, 700, 7), NET_OK);
	assert_set(2, 700, 7);
	assert_set(0, 500, 5);
	end();
}

/* 0 is a setting as any other: each packet is called for, whatever the host would like. */
static void test_zero_is_a_setting(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 0, 50), NET_OK);
	assert_set(0, 0, 50);
	assert_int_equal(set_all(RX_SET, 8, 0), NET_OK);
	assert_set(0, 8, 0);
	assert_int_equal(set_one(2, 0, 0), NET_OK);
	assert_set(2, 0, 0);
	end();
}

static void assert_refused(uint16_t idx)
{
	const struct answer answer = get_one(idx);

	assert_int_equal(answer.ack, NET_ERR);
	assert_int_equal(answer.used_bytes, 1);
	assert_int_equal(answer.result[0], UNTOUCHED);
	assert_int_equal(set_one(idx, 5, 5), NET_ERR);
}

static void test_vq_of_no_data_queue_is_refused(void **state)
{
	const uint64_t refused = 2 * 5;

	(void)state;
	begin();
	assert_refused(CONTROL);
	assert_refused(CONTROL + 1);
	assert_refused(2 * NET_PAIRS_MAX);
	assert_refused(0x8000);
	assert_refused(0xffff);
	for (uint16_t idx = 0; idx < CONTROL; idx++)
		assert_not_set(idx);
	assert_int_equal(net_rig_stats(guest).control_refused, refused);
	assert_int_equal(net_rig_stats(guest).control_coalesce, 0);
	end();
}

static void test_vq_beyond_the_pairs_in_use_is_refused(void **state)
{
	(void)state;
	begin_with(0, RING_SPLIT);
	/* One pair until the driver says otherwise. */
	assert_not_set(0);
	assert_not_set(1);
	assert_refused(2);
	assert_refused(3);
	assert_int_equal(set_pairs(2), NET_OK);
	assert_not_set(2);
	assert_int_equal(set_one(3, 20, 30), NET_OK);
	assert_int_equal(set_pairs(1), NET_OK);
	assert_refused(2);
	assert_refused(3);
	end();
}

static void test_vq_whose_ring_is_not_enabled_is_refused(void **state)
{
	(void)state;
	begin();
	net_rig_queue_enable(&rig, guest, 2, false);
	assert_refused(2);
	assert_not_set(3);
	net_rig_queue_stop(&rig, guest, 3);
	assert_refused(3);
	net_rig_queue_start(&rig, guest, 3, false);
	assert_refused(3);
	net_rig_queue_enable(&rig, guest, 3, true);
	assert_not_set(3);
	net_rig_queue_enable(&rig, guest, 2, true);
	assert_not_set(2);
	end();
}

static void test_enabled_again_has_what_rx_set_said(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	assert_int_equal(set_one(2, 99, 98), NET_OK);
	net_rig_queue_enable(&rig, guest, 2, false);
	net_rig_queue_enable(&rig, guest, 2, true);
	assert_set(2, 15, 10);
	/* What was said meanwhile counts. */
	assert_int_equal(set_one(2, 99, 98), NET_OK);
	net_rig_queue_enable(&rig, guest, 2, false);
	assert_int_equal(set_all(RX_SET, 16, 11), NET_OK);
	net_rig_queue_enable(&rig, guest, 2, true);
	assert_set(2, 16, 11);
	end();
}

static void test_enabled_again_has_what_tx_set_said(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(TX_SET, 15, 10), NET_OK);
	assert_int_equal(set_one(3, 99, 98), NET_OK);
	net_rig_queue_enable(&rig, guest, 3, false);
	net_rig_queue_enable(&rig, guest, 3, true);
	assert_set(3, 15, 10);
	end();
}

static void test_enabled_again_has_nothing_where_nothing_was_said(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(TX_SET, 15, 10), NET_OK); /* not for queue 2 */
	assert_int_equal(set_one(2, 99, 98), NET_OK);
	assert_set(2, 99, 98);
	net_rig_queue_enable(&rig, guest, 2, false);
	net_rig_queue_enable(&rig, guest, 2, true);
	assert_not_set(2);
	assert_set(3, 15, 10);
	end();
}

static void test_pairs_used_again_have_what_all_have(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	assert_int_equal(set_one(0, 97, 96), NET_OK);
	assert_int_equal(set_one(2, 99, 98), NET_OK);
	assert_int_equal(set_one(3, 95, 94), NET_OK);
	assert_int_equal(set_pairs(1), NET_OK);
	assert_int_equal(set_pairs(2), NET_OK);
	assert_set(0, 97, 96); /* was used all the time */
	assert_set(2, 15, 10);
	assert_not_set(3);
	end();
}

/* RX_SET is also for those that come later. */
static void test_pairs_used_first_have_what_all_have(void **state)
{
	(void)state;
	begin_with(0, RING_SPLIT);
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	assert_int_equal(set_all(TX_SET, 25, 20), NET_OK);
	assert_int_equal(set_pairs(2), NET_OK);
	assert_set(2, 15, 10);
	assert_set(3, 25, 20);
	end();
}

/* The VMM pauses: the ring goes on where it was, and the driver knows nothing of it. */
static void test_ring_that_goes_on_keeps_its_setting(void **state)
{
	uint8_t frame[60];

	(void)state;
	begin();
	assert_int_equal(set_one(3, 99, 98), NET_OK);
	net_rig_frame(frame, sizeof(frame), guest, guest, 1);
	assert_true(net_rig_send(guest, 3, NULL, frame, sizeof(frame), NET_LAYOUT_ONE));
	net_rig_publish(guest, 3);
	net_rig_until(&rig, net_rig_all_back(guest, 3));
	net_rig_queue_stop(&rig, guest, 3);
	assert_int_equal(device_queue_base(guest->device, 3), 1);
	net_rig_queue_start(&rig, guest, 3, true);
	assert_set(3, 99, 98);
	end();
}

/* The driver gives all up, and begins anew with its rings. */
static void reset(void)
{
	struct err err = ERR_INIT;
	const uint64_t features = device_features(guest->device);

	for (unsigned i = 0; i <= CONTROL; i++)
		net_rig_queue_stop(&rig, guest, i);
	device_reset(guest->device);
	assert_int_equal(device_set_features(guest->device, features, &err), 0);
	for (unsigned i = 0; i <= CONTROL; i++) {
		ring_reset(guest->queues[i].ring, 0);
		net_rig_queue_start(&rig, guest, i, true);
	}
	assert_int_equal(set_pairs(2), NET_OK);
}

/* A driver that takes a ring back to its beginning has disabled the queue. */
static void test_ring_that_starts_anew_has_what_all_have(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(TX_SET, 15, 10), NET_OK);
	assert_int_equal(set_one(3, 99, 98), NET_OK);
	net_rig_queue_stop(&rig, guest, 3);
	assert_int_equal(device_queue_base(guest->device, 3), 0);
	net_rig_queue_start(&rig, guest, 3, true);
	assert_set(3, 15, 10);
	end();
}

static void test_device_reset_clears_all(void **state)
{
	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	assert_int_equal(set_all(TX_SET, 16, 11), NET_OK);
	assert_int_equal(set_one(2, 99, 98), NET_OK);
	reset();
	for (uint16_t idx = 0; idx < CONTROL; idx++)
		assert_not_set(idx);
	/* Nor is there anything to come back to. */
	net_rig_queue_enable(&rig, guest, 2, false);
	net_rig_queue_enable(&rig, guest, 2, true);
	assert_not_set(2);
	end();
}

static void test_guest_goes_over_host(void **state)
{
	static const struct coalesce_config other = {COALESCE_STATIC, 7, 77, false};

	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	tune(&other);
	assert_set(0, 15, 10);
	assert_set(2, 15, 10);
	assert_not_set_but(1, &other);
	/* On another worker, too. */
	net_rig_queue_move(&rig, guest, 0, 1);
	net_rig_queue_move(&rig, guest, 0, 0);
	net_rig_queue_move(&rig, guest, 1, 1);
	assert_set(0, 15, 10);
	assert_not_set_but(1, &other);
	/* What the host said meanwhile holds as soon as the driver's is gone. */
	reset();
	for (uint16_t idx = 0; idx < CONTROL; idx++)
		assert_not_set_but(idx, &other);
	end();
}

/* Without a restart: a per-queue setting goes with the queue's being disabled. */
static void test_host_is_back_when_the_guests_goes(void **state)
{
	static const struct coalesce_config other = {COALESCE_OFF, 7, 77, false};

	(void)state;
	begin();
	assert_int_equal(set_one(2, 15, 10), NET_OK);
	tune(&other);
	assert_set(2, 15, 10);
	net_rig_queue_enable(&rig, guest, 2, false);
	net_rig_queue_enable(&rig, guest, 2, true);
	assert_not_set_but(2, &other);
	end();
}

static void test_wrong_lengths_are_refused(void **state)
{
	static const uint8_t data[64] = {2}; /* queue 2 */
	static const struct {
		uint8_t number;
		uint32_t bytes; /* that are right */
	} commands[] = {{TX_SET, 8}, {RX_SET, 8}, {VQ_SET, 12}, {VQ_GET, 4}};

	(void)state;
	begin();
	for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
		for (uint32_t bytes = 0; bytes <= 16; bytes++) {
			if (bytes == commands[i].bytes)
				continue;
			assert_int_equal(ack_of(CLASS_NOTF_COAL, commands[i].number, data, bytes),
					 NET_ERR);
		}
	}
	for (unsigned number = VQ_GET + 1; number < 256; number += 36)
		assert_int_equal(ack_of(CLASS_NOTF_COAL, (uint8_t)number, data, 8), NET_ERR);
	for (uint16_t idx = 0; idx < CONTROL; idx++)
		assert_not_set(idx);
	end();
}

static void test_values_beyond_bounds_are_refused_and_counted(void **state)
{
	static const struct {
		uint32_t packets, usecs;
	} bad[] = {
		{COALESCE_PACKETS_MAX + 1, 1},
		{1, COALESCE_USECS_MAX + 1},
		{0, UINT32_MAX},
		{UINT32_MAX, 0},
		{0x80000001, 0x80000001},
	};

	(void)state;
	begin();
	assert_int_equal(set_all(RX_SET, COALESCE_PACKETS_MAX, COALESCE_USECS_MAX), NET_OK);
	assert_int_equal(set_one(3, COALESCE_PACKETS_MAX, COALESCE_USECS_MAX), NET_OK);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(set_all(RX_SET, bad[i].packets, bad[i].usecs), NET_ERR);
		assert_int_equal(set_all(TX_SET, bad[i].packets, bad[i].usecs), NET_ERR);
		assert_int_equal(set_one(3, bad[i].packets, bad[i].usecs), NET_ERR);
	}
	assert_int_equal(net_rig_stats(guest).control_coalesce, 3 * ARRAY_LEN(bad));
	assert_int_equal(net_rig_stats(guest).control_refused, 3 * ARRAY_LEN(bad));
	assert_set(0, COALESCE_PACKETS_MAX, COALESCE_USECS_MAX);
	assert_set(3, COALESCE_PACKETS_MAX, COALESCE_USECS_MAX);
	assert_not_set(1);
	/* Nor is a refused one what a queue comes back to. */
	net_rig_queue_enable(&rig, guest, 3, false);
	net_rig_queue_enable(&rig, guest, 3, true);
	assert_not_set(3);
	end();
}

/* *_SET needs NOTF_COAL, VQ_* needs VQ_NOTF_COAL, and neither the other. */
static void test_commands_that_were_not_agreed_on_are_refused(void **state)
{
	struct coalesce_config now;
	struct answer answer;

	(void)state;
	begin_with(BIT(NET_F_NOTF_COAL), RING_SPLIT);
	assert_int_equal(set_all(RX_SET, 15, 10), NET_ERR);
	assert_int_equal(set_all(TX_SET, 15, 10), NET_ERR);
	assert_not_set(0);
	assert_int_equal(set_one(0, 20, 30), NET_OK);
	assert_set(0, 20, 30);
	end();
	begin_with(BIT(NET_F_VQ_NOTF_COAL), RING_SPLIT);
	assert_int_equal(set_all(RX_SET, 15, 10), NET_OK);
	assert_int_equal(set_one(0, 20, 30), NET_ERR);
	answer = get_one(0);
	assert_int_equal(answer.ack, NET_ERR);
	assert_int_equal(answer.used_bytes, 1);
	assert_int_equal(in_force(0).packets, 15);
	end();
	begin_with(BIT(NET_F_VQ_NOTF_COAL) | BIT(NET_F_NOTF_COAL), RING_SPLIT);
	assert_int_equal(set_all(RX_SET, 15, 10), NET_ERR);
	assert_int_equal(set_one(0, 20, 30), NET_ERR);
	now = in_force(0);
	assert_config(&now, &host);
	end();
}

/* The result lies behind the ack, and no more is written than there is room. */
static void test_answer_in_little_room(void **state)
{
	static const uint8_t data[4] = {2};

	(void)state;
	begin_with(0, RING_PACKED);
	assert_int_equal(set_pairs(2), NET_OK);
	assert_int_equal(set_one(2, 0x102, 0x304), NET_OK);
	for (uint32_t room = 1; room <= 12; room++) {
		static const uint8_t whole[8] = {2, 1, 0, 0, 4, 3, 0, 0};
		const struct answer answer = command(CLASS_NOTF_COAL, VQ_GET, data, 4, room);
		const uint32_t used = room < 9 ? room : 9;

		assert_int_equal(answer.ack, NET_OK);
		assert_int_equal(answer.used_bytes, used);
		assert_memory_equal(answer.result, whole, used - 1);
		assert_int_equal(answer.result[used - 1], UNTOUCHED);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zero_at_first),
		cmocka_unit_test(test_rx_set_is_for_all_receive_queues),
		cmocka_unit_test(test_tx_set_is_for_all_transmit_queues),
		cmocka_unit_test(test_last_setting_wins),
		cmocka_unit_test(test_zero_is_a_setting),
		cmocka_unit_test(test_vq_of_no_data_queue_is_refused),
		cmocka_unit_test(test_vq_beyond_the_pairs_in_use_is_refused),
		cmocka_unit_test(test_vq_whose_ring_is_not_enabled_is_refused),
		cmocka_unit_test(test_enabled_again_has_what_rx_set_said),
		cmocka_unit_test(test_enabled_again_has_what_tx_set_said),
		cmocka_unit_test(test_enabled_again_has_nothing_where_nothing_was_said),
		cmocka_unit_test(test_pairs_used_again_have_what_all_have),
		cmocka_unit_test(test_pairs_used_first_have_what_all_have),
		cmocka_unit_test(test_ring_that_goes_on_keeps_its_setting),
		cmocka_unit_test(test_ring_that_starts_anew_has_what_all_have),
		cmocka_unit_test(test_device_reset_clears_all),
		cmocka_unit_test(test_guest_goes_over_host),
		cmocka_unit_test(test_host_is_back_when_the_guests_goes),
		cmocka_unit_test(test_wrong_lengths_are_refused),
		cmocka_unit_test(test_values_beyond_bounds_are_refused_and_counted),
		cmocka_unit_test(test_commands_that_were_not_agreed_on_are_refused),
		cmocka_unit_test(test_answer_in_little_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
