/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests with several queue pairs, on two workers: a flow stays on one receive queue, in order.
 * Not one pair (test_net_frames.c).
 */
#include "net_rig.h"
#include "unit/flow/frames.h"

#define FLOWS 64u
#define FRAMES_EACH 100u

static struct net_rig rig;
static struct net_received received;

/* What is known of each flow at the receiver. */
static struct {
	unsigned queue; /* + 1; 0: none came */
	unsigned next;
} flows[FLOWS];

static unsigned make(uint8_t *frame, unsigned flow, uint32_t seq)
{
	struct frames_head head;

	frames_build(&head, "ip4 udp", 64);
	memcpy(frame, head.bytes, head.len);
	memcpy(frame, rig.guests[1].mac, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, rig.guests[0].mac, ETHER_MAC_BYTES);
	frames_put16(frame + head.l4, 2000 + flow);
	memset(frame + head.len, (int)flow, 64);
	memcpy(frame + head.len, &seq, sizeof(seq));
	return head.len + 64;
}

/* Returns how many came. */
static unsigned receive(unsigned pair)
{
	const unsigned head = 14 + 20 + 8;
	unsigned cnt = 0;

	while (net_rig_receive(&rig.guests[1], 2 * pair, &received)) {
		const unsigned flow = frames_be16(received.frame + 34) - 2000;
		uint32_t seq;

		assert_true(flow < FLOWS);
		assert_int_equal(received.bytes, head + 64);
		memcpy(&seq, received.frame + head, sizeof(seq));
		if (!flows[flow].queue)
			flows[flow].queue = pair + 1;
		assert_int_equal(flows[flow].queue, pair + 1);
		assert_int_equal(seq, flows[flow].next++);
		cnt++;
	}
	return cnt;
}

static void check_spread(unsigned pairs)
{
	const struct net_guest_options options = {.pairs = pairs, .buffer_bytes = 700};
	unsigned sent = 0, got[NET_RIG_PAIRS] = {0};
	uint64_t deadline_ns = net_rig_deadline_ns();
	struct net_guest *a, *b;

	net_rig_open(&rig, NET_RIG_WORKERS);
	a = net_rig_guest(&rig, 0, &options);
	b = net_rig_guest(&rig, 1, &options);
	memset(flows, 0, sizeof(flows));
	for (unsigned i = 0; i < pairs; i++) {
		net_rig_queue_move(&rig, a, 2 * i + 1, i % NET_RIG_WORKERS);
		net_rig_queue_move(&rig, b, 2 * i, (i + 1) % NET_RIG_WORKERS);
	}
	while (got[0] + got[1] < FLOWS * FRAMES_EACH) {
		for (unsigned i = 0; i < pairs; i++) {
			net_rig_post(b, 2 * i, NET_RIG_ALL);
			net_rig_reap(a, 2 * i + 1);
		}
		/* On the way are no more than one receive queue has buffers for. */
		while (sent - got[0] - got[1] < 32 && sent < FLOWS * FRAMES_EACH) {
			const unsigned flow = sent % FLOWS;
			uint8_t frame[256];
			const unsigned bytes = make(frame, flow, sent / FLOWS);

			if (!net_rig_send(a, 2 * (flow % pairs) + 1, NULL, frame, bytes,
					  NET_LAYOUT_TWO))
				break;
			sent++;
		}
		for (unsigned i = 0; i < pairs; i++) {
			net_rig_publish(a, 2 * i + 1);
			got[i] += receive(i);
		}
		net_rig_turn(&rig, deadline_ns, "frames of all flows");
	}
	for (unsigned i = 0; i < pairs; i++)
		assert_true(got[i] > 0);
	net_rig_close(&rig);
}

static void test_spread(void **state)
{
	(void)state;
	check_spread(1);
	check_spread(2);
}

/* The second receive queue is disabled, as with fewer pairs in use: all flows are the first's. */
static void test_one_disabled(void **state)
{
	const struct net_guest_options options = {.pairs = 2, .buffer_bytes = 700};
	struct net_guest *a, *b;

	(void)state;
	net_rig_open(&rig, NET_RIG_WORKERS);
	a = net_rig_guest(&rig, 0, &options);
	b = net_rig_guest(&rig, 1, &options);
	for (unsigned round = 0; round < 4; round++) {
		unsigned got = 0;

		memset(flows, 0, sizeof(flows));
		net_rig_queue_enable(&rig, b, 2, false);
		for (unsigned flow = 0; flow < 32; flow++) {
			uint8_t frame[256];
			const unsigned bytes = make(frame, flow, 0);

			assert_true(net_rig_send(a, 1, NULL, frame, bytes, NET_LAYOUT_ONE));
		}
		net_rig_post(b, 0, NET_RIG_ALL);
		net_rig_publish(a, 1);
		net_rig_until(&rig, (got += receive(0)) == 32);
		net_rig_until(&rig, net_rig_all_back(a, 1));
		net_rig_queue_enable(&rig, b, 2, true);
	}
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_one_disabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
