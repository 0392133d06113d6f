/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues that stop, move, get other memory and go, under traffic with sequence numbers.
 * Not what single frames become (test_net_frames.c, test_net_offload.c).
 */
#include "net_rig.h"

static struct net_rig rig;
static struct net_received received;
static uint8_t frame[FRAME_BYTES_MAX];

/* One guest sends to another as fast as both can. */
struct flow {
	struct net_guest *from, *to;
	unsigned idx; /* transmit queue */
	uint32_t sent, got;
	uint32_t next; /* one more than the highest that came */
	uint32_t late; /* came behind a higher one */
	bool seen[1 << 20];
};
static struct flow flow;

#define FLOW_MAX (1u << 20)

static void flow_init(struct net_guest *from, struct net_guest *to)
{
	memset(&flow, 0, sizeof(flow));
	flow.from = from;
	flow.to = to;
	flow.idx = 1;
}

static unsigned frame_bytes(uint32_t seq)
{
	return 60 + seq * 7919 % 2000;
}

static unsigned flow_receive(void)
{
	unsigned cnt = 0;

	while (net_rig_receive(flow.to, 0, &received)) {
		const uint32_t seq = net_rig_seq(received.frame);

		assert_true(seq < flow.sent);
		assert_false(flow.seen[seq]);
		flow.seen[seq] = true;
		assert_int_equal(received.bytes, frame_bytes(seq));
		net_rig_frame_check(received.frame, received.bytes, flow.from, flow.to, seq);
		flow.late += seq < flow.next;
		if (seq >= flow.next)
			flow.next = seq + 1;
		flow.got++;
		cnt++;
	}
	return cnt;
}

static unsigned flow_send(void)
{
	unsigned cnt = 0;

	net_rig_reap(flow.from, flow.idx);
	while (flow.sent < FLOW_MAX) {
		const unsigned bytes = frame_bytes(flow.sent);

		net_rig_frame(frame, bytes, flow.from, flow.to, flow.sent);
		if (!net_rig_send(flow.from, flow.idx, NULL, frame, bytes,
				  (enum net_layout)(flow.sent % 2)))
			break;
		flow.sent++;
		cnt++;
	}
	if (cnt)
		net_rig_publish(flow.from, flow.idx);
	return cnt;
}

/* Until so many more have been sent, and whatever has come has been looked at. */
static void flow_run(unsigned cnt)
{
	const uint32_t until = flow.sent + cnt;
	uint64_t deadline_ns = net_rig_deadline_ns();

	while (flow.sent < until) {
		net_rig_post(flow.to, 0, NET_RIG_ALL);
		if (!flow_send() + !flow_receive())
			net_rig_turn(&rig, deadline_ns, "traffic");
	}
}

/* Turns until a join finishes, with traffic. */
static void flow_wait(struct net_rig_wait *wait)
{
	uint64_t deadline_ns = net_rig_deadline_ns();

	join_done(&wait->join, 0);
	while (!wait->finished) {
		net_rig_post(flow.to, 0, NET_RIG_ALL);
		flow_send();
		flow_receive();
		net_rig_turn(&rig, deadline_ns, "a change under traffic");
	}
	assert_int_equal(wait->join.status, 0);
}

/* Frames for the receiver that were dropped, all of them counted. */
static uint64_t dropped(void)
{
	const struct net_stats stats = net_rig_stats(flow.to);
	struct netport_stats from, to;

	netport_stats(flow.from->port, &from);
	netport_stats(flow.to->port, &to);
	assert_int_equal(stats.rx_small_buffer + stats.rx_over_mtu + stats.rx_filtered, 0);
	assert_int_equal(from.drop_runt + from.drop_spoofed + from.drop_vlan + from.drop_storm +
				 from.drop_hairpin,
			 0);
	return stats.rx_no_buffer + to.drop_no_queue + to.drop_inbox_full + to.drop_held +
	       from.drop_no_port;
}

/* Every frame reached its receiver, which may have had no buffers for too long. */
static void check_none_lost(void)
{
	assert_int_equal(dropped(), net_rig_stats(flow.to).rx_no_buffer);
}

/* All that was sent has come, or was counted as dropped. */
static void flow_end(void)
{
	uint64_t deadline_ns = net_rig_deadline_ns();

	while (!net_rig_all_back(flow.from, flow.idx) || flow.got + dropped() != flow.sent) {
		net_rig_post(flow.to, 0, NET_RIG_ALL);
		flow_receive();
		net_rig_turn(&rig, deadline_ns, "the last frames");
		assert_true(flow.got + dropped() <= flow.sent);
	}
}

/* Every buffer that the receiver posted is used once, if enough frames come. */
static void check_no_buffer_lost(void)
{
	struct net_guest_queue *queue = &flow.to->queues[0];
	uint64_t deadline_ns = net_rig_deadline_ns();

	flow_receive();
	net_rig_post(flow.to, 0, NET_RIG_ALL);
	while (queue->free_cnt + queue->used_cnt < queue->ring->size) {
		flow_send();
		flow_receive();
		net_rig_turn(&rig, deadline_ns, "the last buffers");
	}
	flow_end();
}

static struct net_guest_options kind(unsigned bits)
{
	return (struct net_guest_options){
		.format = bits & 1 ? RING_PACKED : RING_SPLIT,
		.in_order = bits & 2,
		.indirect = bits & 4,
		.event_idx = bits & 8,
		.buffer_bytes = 700,
	};
}

static void open_pair(unsigned bits)
{
	struct net_guest_options a = kind(bits), b = kind(bits);

	b.rx_worker = NET_RIG_WORKERS - 1;
	net_rig_open(&rig, NET_RIG_WORKERS);
	net_rig_guest(&rig, 0, &a);
	net_rig_guest(&rig, 1, &b);
	flow_init(&rig.guests[0], &rig.guests[1]);
}

static void test_stop_rx(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 20; i++) {
			flow_run(100);
			net_rig_queue_stop(&rig, flow.to, 0);
			flow_send();
			net_rig_queue_start(&rig, flow.to, 0, true);
		}
		assert_int_equal(flow.late, 0);
		check_no_buffer_lost();
		net_rig_close(&rig);
	}
}

/* Nothing at all is lost: what was not fetched is found again. */
static void test_stop_tx(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 20; i++) {
			flow_run(100);
			net_rig_queue_stop(&rig, flow.from, 1);
			flow_send();
			net_rig_queue_start(&rig, flow.from, 1, true);
		}
		flow_end();
		assert_int_equal(flow.late, 0);
		check_none_lost();
		net_rig_close(&rig);
	}
}

/* Disabled and enabled again: what comes meanwhile is dropped and counted. */
static void test_disable_rx(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 20; i++) {
			flow_run(100);
			net_rig_queue_enable(&rig, flow.to, 0, false);
			flow_send();
			net_rig_queue_enable(&rig, flow.to, 0, true);
		}
		assert_int_equal(flow.late, 0);
		check_no_buffer_lost();
		net_rig_close(&rig);
	}
}

static void move(struct net_guest *guest, unsigned idx, unsigned worker)
{
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_move(guest->device, idx, rig.workers[worker], &wait.join);
	flow_wait(&wait);
	assert_ptr_equal(device_queue_worker(guest->device, idx), rig.workers[worker]);
}

static void test_move_rx(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 20; i++) {
			flow_run(50);
			move(flow.to, 0, i % NET_RIG_WORKERS);
		}
		check_no_buffer_lost();
		net_rig_close(&rig);
	}
}

static void test_move_tx(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 20; i++) {
			flow_run(50);
			move(flow.from, 1, i % NET_RIG_WORKERS);
		}
		flow_end();
		check_none_lost();
		net_rig_close(&rig);
	}
}

/* Both at once, in all combinations. */
static void test_move_both(void **state)
{
	(void)state;
	open_pair(0);
	for (unsigned i = 0; i < 100; i++) {
		flow_run(50);
		move(flow.from, 1, i % 2);
		move(flow.to, 0, i / 2 % 2);
	}
	check_no_buffer_lost();
	net_rig_close(&rig);
}

/* The receiver has no buffers while its queue moves: what waits goes with it. */
static void test_move_waiting(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 10; i++) {
			flow_send();
			move(flow.to, 0, i % 2);
			flow_run(10);
		}
		check_no_buffer_lost();
		net_rig_close(&rig);
	}
}

static void test_change_memory(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		open_pair(bits);
		for (unsigned i = 0; i < 40; i++) {
			struct net_guest *guest = i % 2 ? flow.from : flow.to;
			struct net_rig_wait wait;
			struct err err = ERR_INIT;
			struct gmem *old = guest->memory;

			flow_run(50);
			assert_int_equal(gmem_new(&guest->region, 1, &guest->memory, &err), 0);
			net_rig_wait_open(&wait);
			device_set_memory(guest->device, guest->memory, &wait.join);
			flow_wait(&wait);
			assert_int_equal(old->refs, 1);
			gmem_put(old);
		}
		flow_end();
		check_none_lost();
		assert_int_equal(flow.late, 0);
		check_no_buffer_lost();
		net_rig_close(&rig);
	}
}

/* The receiver holds the sender's frames: the sender may change and go all the same. */
static void test_sender_goes(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		struct net_guest_options b = kind(0);
		struct net_guest *from;

		b.rx_worker = workers - 1;
		net_rig_open(&rig, workers);
		from = net_rig_guest(&rig, 0, &(struct net_guest_options){0});
		flow_init(from, net_rig_guest(&rig, 1, &b));
		flow_send();
		net_rig_queue_stop(&rig, from, 1);
		net_rig_guest_remove(&rig, from);
		net_rig_post(flow.to, 0, NET_RIG_ALL);
		/* Its frames are of nobody now. They come, or have waited too long. */
		flow.from = &rig.guests[0];
		net_rig_until(&rig, (net_rig_post(flow.to, 0, NET_RIG_ALL), flow_receive(),
				     flow.got + net_rig_stats(flow.to).rx_no_buffer ==
					     net_rig_stats(flow.to).rx_pooled));
		assert_int_equal(flow.late, 0);
		net_rig_close(&rig);
	}
}

/* The receiver goes while frames are on their way to it, and comes back. */
static void test_receiver_goes(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		struct net_guest_options b = kind(1);

		b.rx_worker = workers - 1;
		net_rig_open(&rig, workers);
		net_rig_guest(&rig, 0, &(struct net_guest_options){0});
		for (unsigned i = 0; i < 20; i++) {
			flow_init(&rig.guests[0], net_rig_guest(&rig, 1, &b));
			flow_run(i * 10);
			flow_send();
			net_rig_guest_remove(&rig, flow.to);
			assert_int_equal(flow.late, 0);
			net_rig_until(&rig, net_rig_all_back(flow.from, 1));
		}
		net_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_rx),      cmocka_unit_test(test_stop_tx),
		cmocka_unit_test(test_disable_rx),   cmocka_unit_test(test_move_rx),
		cmocka_unit_test(test_move_tx),      cmocka_unit_test(test_move_both),
		cmocka_unit_test(test_move_waiting), cmocka_unit_test(test_change_memory),
		cmocka_unit_test(test_sender_goes),  cmocka_unit_test(test_receiver_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
