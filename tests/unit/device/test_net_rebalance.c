/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A skewed load on four receive queues, over real ports, rings and workers: in mode rebalance an
 * elephant's neighbours go to other queues, and no flow is reordered by that.
 * Not the plan (tests/unit/flow), nor when it is made (test_net_steer.c).
 */
#include "net_rig.h"

#include "unit/flow/frames.h"

#define MICE 1000u
#define FLOWS (MICE + 1)
/* Of each round: so many frames of the elephant, and one of each of some mice. */
#define ELEPHANT_FRAMES 8u
#define MICE_FRAMES 16u
#define ON_THE_WAY_MAX 128u
#define PAYLOAD_BYTES 32u

static struct net_rig rig;
static struct net_received received;

static struct {
	uint32_t sent;
	uint32_t next;  /* those below have come, or never will */
	uint32_t early; /* one behind the last that came while others before it had not; 0: none */
} flows[FLOWS];
static uint64_t rates[256]; /* frames of a thousand mice and what the elephant sends meanwhile */
static unsigned sent, got, next_mouse;

static struct net_steering_view *view(const struct net_guest *guest)
{
	static struct net_steering_view view;

	net_device_steering_view(guest->device, &view);
	return &view;
}

/* Flow 0 is the elephant. */
static unsigned build(uint8_t *frame, unsigned flow, uint32_t seq)
{
	struct frames_head head;

	frames_build(&head, "ip4 udp", PAYLOAD_BYTES);
	memcpy(frame, head.bytes, head.len);
	memcpy(frame, rig.guests[1].mac, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, rig.guests[0].mac, ETHER_MAC_BYTES);
	frames_put16(frame + head.l4, 2000 + flow);
	memset(frame + head.len, 0, PAYLOAD_BYTES);
	memcpy(frame + head.len, &seq, sizeof(seq));
	return head.len + PAYLOAD_BYTES;
}

static unsigned bucket_of(unsigned flow)
{
	static struct toeplitz key;
	uint8_t frame[256];
	struct dissection d;
	const unsigned bytes = build(frame, flow, 0);

	toeplitz_init(&key, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	dissect(frame, bytes, &d);
	return toeplitz_frame(&key, HASH_TYPES_ALL, frame, bytes, &d).hash % ARRAY_LEN(rates);
}

static bool send_one(struct net_guest *from, unsigned flow)
{
	uint8_t frame[256];
	const unsigned bytes = build(frame, flow, flows[flow].sent);

	if (!net_rig_send(from, 1, NULL, frame, bytes, NET_LAYOUT_ONE))
		return false;
	flows[flow].sent++;
	sent++;
	return true;
}

static void send_round(struct net_guest *from)
{
	if (sent - got + ELEPHANT_FRAMES + MICE_FRAMES > ON_THE_WAY_MAX)
		return;
	net_rig_reap(from, 1);
	for (unsigned i = 0; i < ELEPHANT_FRAMES; i++)
		send_one(from, 0);
	for (unsigned i = 0; i < MICE_FRAMES; i++) {
		if (send_one(from, 1 + next_mouse))
			next_mouse = (next_mouse + 1) % MICE;
	}
	net_rig_publish(from, 1);
}

static void take(unsigned flow, uint32_t seq)
{
	assert_true(flow < FLOWS);
	/* It came before those that it was sent before, if they came at all. */
	assert_true(seq >= flows[flow].next);
	if (seq == flows[flow].next)
		flows[flow].next++;
	else if (seq >= flows[flow].early)
		flows[flow].early = seq + 1;
	got++;
}

static void drain(struct net_guest *to)
{
	for (unsigned pair = 0; pair < NET_RIG_PAIRS; pair++) {
		while (net_rig_receive(to, 2 * pair, &received)) {
			uint32_t seq;

			memcpy(&seq, received.frame + 42, sizeof(seq));
			take(frames_be16(received.frame + 34) - 2000, seq);
		}
		net_rig_post(to, 2 * pair, NET_RIG_ALL);
	}
}

/*
 * A queue that was looked at first may have been given what belongs before the frames of one that
 * was looked at later. What was published before those is seen in a second look.
 */
static void receive(struct net_guest *to)
{
	static uint32_t seen[FLOWS];

	drain(to);
	for (unsigned i = 0; i < FLOWS; i++)
		seen[i] = flows[i].early;
	drain(to);
	for (unsigned i = 0; i < FLOWS; i++) {
		if (seen[i] > flows[i].next)
			flows[i].next = seen[i];
		if (flows[i].early <= flows[i].next)
			flows[i].early = 0;
	}
}

static uint64_t highest(const uint16_t *table)
{
	uint64_t sum[NET_RIG_PAIRS] = {0}, most = 0;

	for (unsigned i = 0; i < ARRAY_LEN(rates); i++)
		sum[table[i]] += rates[i];
	for (unsigned i = 0; i < NET_RIG_PAIRS; i++)
		most = sum[i] > most ? sum[i] : most;
	return most;
}

/* No assignment of buckets can be below the mean, or below the heaviest bucket. */
static uint64_t best(void)
{
	uint64_t total = 0, most = 0;

	for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
		total += rates[i];
		most = rates[i] > most ? rates[i] : most;
	}
	return total / NET_RIG_PAIRS > most ? total / NET_RIG_PAIRS : most;
}

static void set_steering(struct net_guest *guest)
{
	struct net_steering steering = {
		.mode = NET_STEERING_REBALANCE,
		.interval_ms = 20,
		.types = HASH_TYPES_ALL,
		.key_bytes = TOEPLITZ_KEY_BYTES,
	};
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	memcpy(steering.key, toeplitz_key_default, sizeof(steering.key));
	net_rig_wait_open(&wait);
	if (net_device_set_steering(guest->device, &steering, &wait.join, &err))
		fail_msg("%s", err.text);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
}

static void test_elephant_and_mice(void **state)
{
	const struct net_guest_options one = {.size = 256};
	const struct net_guest_options many = {
		.pairs = NET_RIG_PAIRS, .size = 256, .buffer_bytes = 256};
	const uint64_t deadline_ns = net_rig_deadline_ns();
	struct net_guest *from, *to;
	struct netport_stats stats;

	(void)state;
	net_rig_open(&rig, NET_RIG_WORKERS);
	from = net_rig_guest(&rig, 0, &one);
	to = net_rig_guest(&rig, 1, &many);
	for (unsigned i = 0; i < NET_RIG_PAIRS; i++)
		net_rig_queue_move(&rig, to, 2 * i, i % NET_RIG_WORKERS);
	set_steering(to);
	for (unsigned i = 0; i < MICE; i++)
		rates[bucket_of(1 + i)]++;
	rates[bucket_of(0)] += MICE * ELEPHANT_FRAMES / MICE_FRAMES;
	assert_int_equal(view(to)->table_cnt, ARRAY_LEN(rates));
	assert_true(highest(view(to)->table) * 100 > best() * 115);
	/* As long as it takes, and some moves more. */
	while (highest(view(to)->table) * 100 > best() * 115 || sent < 50000) {
		send_round(from);
		receive(to);
		net_rig_turn(&rig, deadline_ns, "a table that is balanced");
	}
	while (got < sent) {
		receive(to);
		net_rig_turn(&rig, deadline_ns, "what was sent last");
	}
	netport_stats(to->port, &stats);
	assert_true(view(to)->balanced > 0);
	assert_true(stats.moves > 0);
	assert_int_equal(stats.drop_held, 0);
	/* Each bucket that moved has a queue, and nothing was lost on the way. */
	for (unsigned i = 0; i < FLOWS; i++)
		assert_int_equal(flows[i].next, flows[i].sent);
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elephant_and_mice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
