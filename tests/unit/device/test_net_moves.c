/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From ring to ring, no flow is reordered while the receiver's table changes, its queues go from
 * worker to worker, and so does the sender's.
 * Not the switch alone (test_steer_order.c of the network tests).
 */
#include "flow/steering.h"
#include "net_rig.h"
#include "unit/flow/frames.h"

#define FLOWS 16u
#define PAIRS 2u
#define HEAD_BYTES (14 + 20 + 8)
#define OUT_MAX 24u
#ifdef __SANITIZE_THREAD__
#define ROUNDS 1000u
#else
#define ROUNDS 6000u
#endif

static struct net_rig rig;
static struct net_received received;
static struct net_guest *a, *b;

/*
 * What is known of each flow. Of two rings that are looked at one after the other, what comes out
 * of the second may be newer than what came into the first meanwhile: so a frame is late if a later
 * one was seen in a sweep over all rings before the last one.
 */
static struct {
	uint32_t sent;
	uint32_t in_ring[PAIRS]; /* the last of each */
	uint32_t swept;          /* the last, before the last sweep */
	uint32_t seen;           /* with it */
	uint32_t now;            /* and in this one */
} flows[FLOWS];

/* False: the ring is full. */
static bool send_one(unsigned flow)
{
	const uint32_t sequence = flows[flow].sent + 1;
	uint8_t frame[256];
	struct frames_head head;

	frames_build(&head, "ip4 udp", 64);
	memcpy(frame, head.bytes, head.len);
	memcpy(frame, b->mac, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, a->mac, ETHER_MAC_BYTES);
	frames_put16(frame + head.l4, 2000 + flow);
	memset(frame + head.len, (int)flow, 64);
	memcpy(frame + head.len, &sequence, sizeof(sequence));
	if (!net_rig_send(a, 1, NULL, frame, head.len + 64, NET_LAYOUT_TWO))
		return false;
	flows[flow].sent = sequence;
	return true;
}

static unsigned sweep(void)
{
	unsigned cnt = 0;

	for (unsigned pair = 0; pair < PAIRS; pair++) {
		while (net_rig_receive(b, 2 * pair, &received)) {
			const unsigned flow = frames_be16(received.frame + 34) - 2000;
			uint32_t sequence;

			assert_true(flow < FLOWS);
			memcpy(&sequence, received.frame + HEAD_BYTES, sizeof(sequence));
			assert_true(sequence > flows[flow].in_ring[pair]);
			assert_true(sequence > flows[flow].swept);
			flows[flow].in_ring[pair] = sequence;
			if (sequence > flows[flow].now)
				flows[flow].now = sequence;
			cnt++;
		}
		net_rig_post(b, 2 * pair, NET_RIG_ALL);
	}
	for (unsigned flow = 0; flow < FLOWS; flow++) {
		flows[flow].swept = flows[flow].seen;
		flows[flow].seen = flows[flow].now;
	}
	net_rig_reap(a, 1);
	return cnt;
}

static void set_table(unsigned seed)
{
	struct net_steering steering = {
		.mode = NET_STEERING_RSS,
		.types = HASH_TYPES_ALL,
		.key_bytes = TOEPLITZ_KEY_BYTES,
		.table_cnt = 16,
	};
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	memcpy(steering.key, toeplitz_key_default, sizeof(steering.key));
	for (unsigned i = 0; i < steering.table_cnt; i++)
		steering.table[i] = (uint16_t)(seed >> i % 7 & 1);
	net_rig_wait_open(&wait);
	if (net_device_set_steering(b->device, &steering, &wait.join, &err))
		fail_msg("%s", err.text);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
}

static struct netport_stats port_stats(void)
{
	struct netport_stats stats;

	netport_stats(b->port, &stats);
	return stats;
}

static void test_everything_moves(void **state)
{
	const struct net_guest_options options = {
		.pairs = PAIRS, .buffer_bytes = 700, .poll_mode = POLL_MODE_ADAPTIVE};
	unsigned sent = 0, got = 0;

	(void)state;
	net_rig_open(&rig, NET_RIG_WORKERS);
	a = net_rig_guest(&rig, 0, &options);
	b = net_rig_guest(&rig, 1, &options);
	memset(flows, 0, sizeof(flows));
	sweep();
	for (unsigned round = 0; round < ROUNDS; round++) {
		/* Frames that waited for too long were dropped. */
		while (sent - got - port_stats().drop_held < OUT_MAX && send_one(sent % FLOWS))
			sent++;
		net_rig_publish(a, 1);
		switch (round % 4) {
		case 0:
			net_rig_queue_move(&rig, a, 1, round / 4 % NET_RIG_WORKERS);
			break;
		case 1:
			net_rig_queue_move(&rig, b, 2 * (round / 8 % PAIRS),
					   round / 4 % NET_RIG_WORKERS);
			break;
		default:
			set_table(round * 37);
			break;
		}
		got += sweep();
	}
	net_rig_until(&rig, (got += sweep(), got + port_stats().drop_held == sent));
	assert_true(got > ROUNDS);
	assert_true(port_stats().moves > 0);
	assert_int_equal(port_stats().drop_no_queue, 0);
	assert_int_equal(port_stats().drop_inbox_full, 0);
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
