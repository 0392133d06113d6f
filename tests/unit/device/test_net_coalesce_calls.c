/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are held as the driver said, and a setting that comes meanwhile: it is looked at with
 * them at once (VIRTIO 1.3, 5.1.6.5). Not the other rules (test_net_coalesce.c).
 */
#include "net_coalesce.h"

static struct net_received received;

static uint64_t due(enum coalesce_verdict verdict)
{
	return net_rig_ring_stats(guest).coalesced[verdict];
}

/* Ten frames by a queue of a guest, when they began. */
static uint64_t send_ten(struct net_guest *sender, unsigned idx)
{
	uint8_t frame[60];
	uint64_t began_ns;

	for (uint32_t i = 0; i < 10; i++) {
		net_rig_frame(frame, sizeof(frame), sender, guest, i);
		assert_true(net_rig_send(sender, idx, NULL, frame, sizeof(frame), NET_LAYOUT_ONE));
	}
	began_ns = clock_now_ns();
	net_rig_publish(sender, idx);
	return began_ns;
}

/*
 * Ten frames are held, and then eight are enough: the call comes before the first has waited as
 * long as was said. Who tests may be kept from the processor for longer than that: then once more.
 */
static void check_fewer_at_once(uint8_t number, struct net_guest *sender, unsigned idx,
				uint64_t (*frames)(void))
{
	const uint64_t deadline_ns = net_rig_deadline_ns();
	uint64_t began_ns, ended_ns, packets;

	do {
		const uint64_t before = frames(), late = due(COALESCE_DUE_DEADLINE);

		packets = due(COALESCE_DUE_PACKETS);
		assert_int_equal(set_all(number, 15, COALESCE_USECS_MAX), NET_OK);
		began_ns = send_ten(sender, idx);
		net_rig_until(&rig, frames() == before + 10);
		assert_int_equal(due(COALESCE_DUE_PACKETS), packets);
		assert_int_equal(set_all(number, 8, COALESCE_USECS_MAX), NET_OK);
		net_rig_until(&rig, due(COALESCE_DUE_PACKETS) != packets ||
					    due(COALESCE_DUE_DEADLINE) != late);
		ended_ns = clock_now_ns();
		net_rig_until(&rig, net_rig_all_back(sender, idx));
		while (net_rig_receive(guest, 0, &received))
			;
		net_rig_post(guest, 0, NET_RIG_ALL);
		net_rig_turn(&rig, deadline_ns, "a call for fewer packets");
	} while (due(COALESCE_DUE_PACKETS) == packets ||
		 ended_ns - began_ns >= COALESCE_USECS_MAX * NS_PER_US);
}

static uint64_t received_frames(void)
{
	return net_rig_stats(guest).rx_frames;
}

static uint64_t sent_frames(void)
{
	return net_rig_stats(guest).tx_frames;
}

static void test_fewer_received_packets_fire_at_once(void **state)
{
	const struct net_guest_options sender = {.buffer_bytes = 2048};

	(void)state;
	begin();
	net_rig_guest(&rig, 1, &sender);
	net_rig_post(guest, 0, NET_RIG_ALL);
	check_fewer_at_once(RX_SET, &rig.guests[1], 1, received_frames);
	end();
}

static void test_fewer_sent_packets_fire_at_once(void **state)
{
	(void)state;
	begin();
	check_fewer_at_once(TX_SET, guest, 1, sent_frames);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fewer_received_packets_fire_at_once),
		cmocka_unit_test(test_fewer_sent_packets_fire_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
