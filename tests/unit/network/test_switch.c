/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One switch on one worker: who gets a frame, what is dropped and counted.
 * Not its limits (test_limits.c), not several workers (test_exchange.c), not VLANs (test_vlan.c).
 */
#include "lan.h"

#include <string.h>

#include "base/check.h"

static void test_floods_and_learns(void **state)
{
	(void)state;
	begin(3, NULL);
	send_one(0, rig_mac(1), rig_mac(2));
	EXPECT(0, 1, 1);
	send_one(1, rig_mac(2), rig_mac(1));
	EXPECT(1, 0, 0);
	send_burst(0, rig_mac(1), rig_mac(2), 32);
	EXPECT(0, 32, 0);
	send_one(2, rig_mac(3), RIG_BROADCAST);
	EXPECT(1, 1, 0);
	assert_int_equal(rig_stats(&t.ports[0]).flooded, 1);
	assert_int_equal(rig_stats(&t.ports[0]).in_frames, 33);
	assert_int_equal(rig_stats(&t.ports[0]).in_bytes, 33 * 60);
	assert_int_equal(rig_stats(&t.ports[1]).out_frames, 34);
	assert_int_equal(rig_stats(&t.ports[1]).out_bytes, 34 * 60);
	end();
}

/* Frames of one burst to many receivers: each in order, none lost. */
static void note_order(struct rig_queue *queue, const struct frame *frame)
{
	const unsigned number = (unsigned)frame->head[14] << 8 | frame->head[15];

	/* One flush each is owed for the burst, after all of it. */
	CHECK(queue->flush_cnt == 0);
	CHECK(queue->kept_counted[0] == 0 || number > queue->vlan);
	queue->kept_counted[0] = true;
	queue->vlan = (uint16_t)number;
}

static void test_mixed_burst(void **state)
{
	struct rig_head heads[NETPORT_BURST];

	(void)state;
	begin(4, NULL);
	for (unsigned i = 1; i < 4; i++)
		send_one(i, rig_mac(i), RIG_BROADCAST);
	EXPECT(3, 2, 2, 2);
	for (unsigned i = 0; i < 4; i++) {
		t.ports[i].queues[0].on_frame = note_order;
		t.ports[i].queues[0].flush_cnt = 0;
	}
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		heads[i] = (struct rig_head){.to = i == 20 ? RIG_BROADCAST : rig_mac(1 + i / 2 % 3),
					     .from = rig_mac(100 + i % 3),
					     .tci = RIG_NO_TAG,
					     .payload = (uint16_t)i};
	rig_send(&t.sender, &t.ports[0], heads, NETPORT_BURST);
	/* 0-1, 6-7, ... to the first; 20 would have been the second's. */
	EXPECT(0, 12 + 1, 9 + 1, 10 + 1);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(t.ports[i].queues[0].flush_cnt, 1);
	end();
}

static void test_one_call_for_a_burst(void **state)
{
	(void)state;
	begin(2, NULL);
	send_one(1, rig_mac(2), rig_mac(1));
	send_one(0, rig_mac(1), rig_mac(2));
	t.ports[1].queues[0].deliver_cnt = 0;
	t.ports[1].queues[0].flush_cnt = 0;
	send_burst(0, rig_mac(1), rig_mac(2), 32);
	assert_int_equal(t.ports[1].queues[0].deliver_cnt, 1);
	assert_int_equal(t.ports[1].queues[0].flush_cnt, 1);
	end();
}

static void test_hairpin(void **state)
{
	(void)state;
	begin(3, NULL);
	send_one(0, rig_mac(1), rig_mac(9));
	send_one(0, rig_mac(2), rig_mac(9));
	EXPECT(0, 2, 2);
	send_burst(0, rig_mac(1), rig_mac(2), 5);
	EXPECT(0, 0, 0);
	assert_int_equal(rig_stats(&t.ports[0]).drop_hairpin, 5);
	end();
}

static void test_runts_and_odd_sources(void **state)
{
	const struct rig_head head = {.to = rig_mac(2), .from = rig_mac(1), .tci = RIG_NO_TAG};

	(void)state;
	begin(2, NULL);
	send_one(0, rig_mac(1) | 1ull << 40, rig_mac(2));
	send_one(0, RIG_BROADCAST, rig_mac(2));
	assert_int_equal(rig_stats(&t.ports[0]).drop_spoofed, 2);
	EXPECT(0, 0);
	/* No address: not learnt, and not dropped. */
	send_one(0, 0, rig_mac(2));
	EXPECT(0, 1);
	send_one(1, rig_mac(2), 0);
	EXPECT(1, 0);
	rig_send(&t.sender, &t.ports[0], &head, 1);
	t.ports[1].queues[0].frame_cnt = 0;
	end();
}

struct runt_order {
	unsigned head_bytes;
	bool tagged;
};

static void send_runt(struct worker *worker, void *arg)
{
	const struct runt_order *order = arg;
	struct frame *frame = &t.sender.frames[0];

	memset(frame, 0, sizeof(*frame));
	rig_fill_head(frame->head, &(struct rig_head){.to = rig_mac(2),
						      .from = rig_mac(1),
						      .tci = order->tagged ? 0 : RIG_NO_TAG});
	frame->source = &t.sender.source;
	frame->head_bytes = (uint16_t)order->head_bytes;
	frame->bytes = order->head_bytes;
	frame->refs = 1;
	netport_send(t.ports[0].port, t.sender.source.exchange, 0, &frame, 1,
		     worker_now_ns(worker));
	CHECK(frame->refs == 1);
	frame->refs = 0;
}

static void test_runts(void **state)
{
	(void)state;
	begin(2, NULL);
	/* So that the short way knows these addresses. */
	send_one(1, rig_mac(2), rig_mac(1));
	send_one(0, rig_mac(1), rig_mac(2));
	EXPECT(1, 1);
	rig_call(t.rig, 0, send_runt, &(struct runt_order){.head_bytes = 13});
	rig_call(t.rig, 0, send_runt, &(struct runt_order){.head_bytes = 17, .tagged = true});
	assert_int_equal(rig_stats(&t.ports[0]).drop_runt, 2);
	EXPECT(0, 0);
	rig_call(t.rig, 0, send_runt, &(struct runt_order){.head_bytes = 14});
	rig_call(t.rig, 0, send_runt, &(struct runt_order){.head_bytes = 18, .tagged = true});
	assert_int_equal(rig_stats(&t.ports[0]).drop_runt, 2);
	EXPECT(0, 2);
	end();
}

static void test_station_moves(void **state)
{
	(void)state;
	begin(3, NULL);
	send_one(1, rig_mac(2), rig_mac(1));
	send_one(0, rig_mac(1), rig_mac(2));
	send_one(0, rig_mac(1), rig_mac(2));
	EXPECT(1, 2, 1);
	/* The cached way must see that it has moved. */
	send_one(2, rig_mac(2), rig_mac(1));
	EXPECT(1, 0, 0);
	send_burst(0, rig_mac(1), rig_mac(2), 4);
	EXPECT(0, 0, 4);
	/* And that it moves back, though port 1 knew it as its own. */
	send_one(1, rig_mac(2), rig_mac(1));
	send_burst(0, rig_mac(1), rig_mac(2), 4);
	EXPECT(1, 4, 0);
	end();
}

static void test_nobody_there(void **state)
{
	(void)state;
	begin(1, NULL);
	send_one(0, rig_mac(1), RIG_BROADCAST);
	assert_int_equal(rig_stats(&t.ports[0]).drop_no_port, 1);
	/* A port without a queue that runs. */
	rig_port_open(t.rig, &t.ports[1], NULL, 0);
	t.port_cnt = 2;
	send_one(1, rig_mac(2), rig_mac(1));
	EXPECT(1, 0);
	rig_queue_close(&t.ports[1], 0);
	send_burst(0, rig_mac(1), rig_mac(2), 7);
	assert_int_equal(rig_stats(&t.ports[1]).drop_no_queue, 7);
	rig_queue_open(&t.ports[1], 0, 0);
	send_burst(0, rig_mac(1), rig_mac(2), 7);
	EXPECT(0, 7);
	end();
}

static void test_ports_come_and_go(void **state)
{
	(void)state;
	begin(3, NULL);
	for (unsigned i = 0; i < 200; i++) {
		/* All caches warm. */
		for (unsigned n = 0; n < 2; n++) {
			send_one(1, rig_mac(2), rig_mac(1));
			send_one(0, rig_mac(1), rig_mac(2));
		}
		t.ports[0].queues[0].frame_cnt = 0;
		t.ports[1].queues[0].frame_cnt = 0;
		t.ports[2].queues[0].frame_cnt = 0;
		rig_port_close(&t.ports[1]);
		send_one(0, rig_mac(1), rig_mac(2));
		assert_int_equal(t.ports[2].queues[0].frame_cnt, 1);
		t.ports[2].queues[0].frame_cnt = 0;
		rig_port_open(t.rig, &t.ports[1], NULL, 0);
		send_one(0, rig_mac(1), rig_mac(2));
		EXPECT(0, 1, 1);
	}
	assert_int_equal(netswitch_port_cnt(t.rig->sw), 3);
	end();
}

/* Frames that a receiver has for longer come back to their sender, once. */
static void test_receiver_keeps(void **state)
{
	(void)state;
	begin(3, NULL);
	t.ports[1].queues[0].keeps = true;
	t.ports[2].queues[0].keeps = true;
	send_burst(0, rig_mac(1), RIG_BROADCAST, 32);
	EXPECT(0, 32, 32);
	assert_int_equal(t.sender.back, 0);
	rig_queue_release(&t.ports[1], 0);
	assert_int_equal(t.sender.back, 0);
	rig_queue_release(&t.ports[2], 0);
	assert_int_equal(t.sender.back, 32);
	end();
}

static void test_many_queues(void **state)
{
	struct rig_head heads[NETPORT_BURST];
	unsigned used = 0;

	(void)state;
	begin(2, NULL);
	for (unsigned i = 1; i < 4; i++)
		rig_queue_open(&t.ports[1], i, 0);
	send_one(1, rig_mac(2), rig_mac(1));
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		heads[i] = (struct rig_head){
			.to = rig_mac(2), .from = rig_mac(100 + i), .tci = RIG_NO_TAG};
	/* One queue, until there are to be more. */
	rig_send(&t.sender, &t.ports[0], heads, NETPORT_BURST);
	assert_int_equal(t.ports[1].queues[0].frame_cnt, 32);
	netport_set_receivers(t.ports[1].port, 4);
	rig_send(&t.sender, &t.ports[0], heads, NETPORT_BURST);
	assert_int_equal(rig_port_frames(&t.ports[1]), 64);
	for (unsigned i = 1; i < 4; i++)
		used += t.ports[1].queues[i].frame_cnt > 0;
	assert_true(used >= 2);
	/* A flow stays where it is: the same frames again double each queue's number. */
	unsigned before[4];

	for (unsigned i = 0; i < 4; i++)
		before[i] = t.ports[1].queues[i].frame_cnt - (i == 0 ? 32 : 0);
	rig_send(&t.sender, &t.ports[0], heads, NETPORT_BURST);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(t.ports[1].queues[i].frame_cnt - (i == 0 ? 32 : 0), 2 * before[i]);
	/* Without some of them the others have it all. */
	rig_queue_close(&t.ports[1], 0);
	rig_queue_close(&t.ports[1], 2);
	rig_send(&t.sender, &t.ports[0], heads, NETPORT_BURST);
	assert_int_equal(rig_port_frames(&t.ports[1]), 4 * 32);
	assert_int_equal(rig_stats(&t.ports[1]).drop_no_queue, 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floods_and_learns),     cmocka_unit_test(test_mixed_burst),
		cmocka_unit_test(test_one_call_for_a_burst),  cmocka_unit_test(test_hairpin),
		cmocka_unit_test(test_runts_and_odd_sources), cmocka_unit_test(test_runts),
		cmocka_unit_test(test_station_moves),         cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_ports_come_and_go),     cmocka_unit_test(test_receiver_keeps),
		cmocka_unit_test(test_many_queues),
	};

	return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
