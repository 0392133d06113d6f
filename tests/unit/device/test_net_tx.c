/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest transmits that is no frame, is not its to send, or changes under our eyes; and what
 * is left when nothing is transmitted any more.
 * Not good frames (test_net_frames.c).
 */
#include "net_rig.h"

#include <pthread.h>
#include <sys/mman.h>

#include "base/ordering.h"

static struct net_rig rig;
static struct net_received received;
static uint8_t frame[FRAME_BYTES_MAX];

static void open_pair(const struct net_guest_options *sender, unsigned workers)
{
	struct net_guest_options b = {.buffer_bytes = 1526, .rx_worker = workers - 1};

	net_rig_open(&rig, workers);
	net_rig_guest(&rig, 0, sender);
	net_rig_guest(&rig, 1, &b);
}

/* A good frame gets through. */
static void check_works(uint32_t seq)
{
	struct net_guest *a = &rig.guests[0], *b = &rig.guests[1];

	net_rig_post(b, 0, NET_RIG_ALL);
	net_rig_frame(frame, 100, a, b, seq);
	assert_true(net_rig_send(a, 1, NULL, frame, 100, NET_LAYOUT_ONE));
	net_rig_publish(a, 1);
	net_rig_until(&rig, net_rig_receive(b, 0, &received));
	net_rig_frame_check(received.frame, 100, a, b, seq);
	net_rig_until(&rig, net_rig_all_back(a, 1));
}

struct bad {
	const char *what;
	uint64_t (*counter)(const struct net_stats *stats);
	struct net_header header;
	unsigned bytes; /* of the frame, in one with its header */
	/* or these, from the buffer's start; gpa 1: an address that is none */
	unsigned out_cnt, in_cnt;
	struct ring_seg segs[2];
};

#define COUNTER(name)                                       \
	static uint64_t name(const struct net_stats *stats) \
	{                                                   \
		return stats->name;                         \
	}
COUNTER(tx_bad_chain)
COUNTER(tx_bad_header)
COUNTER(tx_runt)
COUNTER(tx_too_long)
COUNTER(tx_bad_csum)
COUNTER(tx_bad_gso)
COUNTER(tx_over_mtu)

static struct net_header csum(unsigned start, unsigned offset)
{
	return (struct net_header){
		.flags = NET_HDR_F_NEEDS_CSUM,
		.csum_start = le16_of((uint16_t)start),
		.csum_offset = le16_of((uint16_t)offset),
	};
}

static struct net_header gso(uint8_t type, unsigned bytes, bool partial)
{
	struct net_header header = csum(34, 16);

	if (!partial)
		header.flags = 0;
	header.gso_type = type;
	header.gso_size = le16_of((uint16_t)bytes);
	return header;
}

static uint64_t refused(const struct net_stats *s)
{
	return s->tx_bad_chain + s->tx_bad_header + s->tx_runt + s->tx_too_long + s->tx_bad_csum +
	       s->tx_bad_gso + s->tx_over_mtu + s->tx_disabled;
}

static void send_bad(const struct bad *bad, enum net_layout layout)
{
	struct net_guest *a = &rig.guests[0], *b = &rig.guests[1];
	struct net_stats before = net_rig_stats(a), after;

	if (bad->bytes) {
		net_rig_frame(frame, bad->bytes, a, b, 1);
		assert_true(net_rig_send(a, 1, &bad->header, frame, bad->bytes, layout));
	} else {
		const uint16_t token = net_rig_token(a, 1);
		struct ring_seg segs[2] = {bad->segs[0], bad->segs[1]};

		for (unsigned i = 0; i < 2; i++) {
			if (segs[i].gpa != 1)
				segs[i].gpa += a->queues[1].buffers[token].gpa;
		}
		assert_int_equal(net_rig_add(a, 1, segs, bad->out_cnt, bad->in_cnt, token), 0);
	}
	net_rig_publish(a, 1);
	net_rig_until(&rig, net_rig_all_back(a, 1));
	after = net_rig_stats(a);
	if (bad->counter(&after) != bad->counter(&before) + 1)
		fail_msg("%s is not counted", bad->what);
	assert_int_equal(refused(&after), refused(&before) + 1);
	assert_int_equal(after.tx_frames, before.tx_frames);
	assert_false(net_rig_receive(b, 0, &received));
}

static void send_all_bad(void)
{
	const struct bad bads[] = {
		{"no address", tx_bad_chain, .out_cnt = 2, .segs = {{0, 100}, {1, 10}}},
		{"nothing", tx_bad_chain, .out_cnt = 2, .segs = {{0, 100}, {0, 0}}},
		{"half a header", tx_bad_header, .out_cnt = 1, .segs = {{0, 11}}},
		{"writable", tx_bad_header, .out_cnt = 1, .in_cnt = 1, .segs = {{0, 100}, {0, 1}}},
		{"all writable", tx_bad_header, .in_cnt = 1, .segs = {{0, 100}}},
		{"header alone", tx_runt, .out_cnt = 1, .segs = {{0, 12}}},
		{"half an address", tx_runt, .out_cnt = 2, .segs = {{0, 12}, {12, 13}}},
		{"too long", tx_too_long, .out_cnt = 2, .segs = {{0, NET_RIG_BYTES_MAX}, {0, 1}}},
		{"longest", tx_too_long, .out_cnt = 2, .segs = {{0, 1 << 20}, {0, 1 << 22}}},
		{"csum in L2", tx_bad_csum, .header = csum(13, 2), .bytes = 100},
		{"csum at the end", tx_bad_csum, .header = csum(90, 9), .bytes = 100},
		{"csum far away", tx_bad_csum, .header = csum(0xffff, 0xffff), .bytes = 1000},
		{"csum in the payload", tx_bad_csum, .header = csum(34, 800), .bytes = 1000},
		{"not TCP", tx_bad_gso, .header = gso(1, 500, true), .bytes = 1000},
		{"no csum", tx_bad_gso, .header = gso(1, 500, false), .bytes = 1000},
		{"no type", tx_bad_gso, .header = gso(2, 500, true), .bytes = 1000},
		{"no type", tx_bad_gso, .header = gso(0x7f, 500, true), .bytes = 1000},
		{"ECN alone", tx_bad_gso, .header = gso(0x80, 500, true), .bytes = 1000},
		{"over MTU", tx_over_mtu, .bytes = 1515},
		{"over MTU", tx_over_mtu, .bytes = 9000},
	};

	for (unsigned i = 0; i < ARRAY_LEN(bads); i++) {
		send_bad(&bads[i], NET_LAYOUT_ONE);
		send_bad(&bads[i], NET_LAYOUT_TWO);
		send_bad(&bads[i], NET_LAYOUT_BYTES);
		check_works(i);
	}
}

static void test_refused(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		open_pair(&(struct net_guest_options){.format = (enum ring_format)(bits & 1),
						      .in_order = bits & 2,
						      .indirect = bits & 4,
						      .mtu = 1500},
			  1);
		send_all_bad();
		net_rig_close(&rig);
	}
}

static void test_csum_not_taken(void **state)
{
	const struct bad bad = {"csum", tx_bad_csum, .header = csum(34, 16), .bytes = 100};

	(void)state;
	open_pair(&(struct net_guest_options){.features_off = BIT(NET_F_CSUM)}, 1);
	send_bad(&bad, NET_LAYOUT_ONE);
	check_works(1);
	net_rig_close(&rig);
}

/* A disabled ring is looked at after a kick alone, and what it has is discarded. */
static void test_disabled(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		struct net_guest *a, *b;
		struct net_stats stats;

		open_pair(&(struct net_guest_options){.format = (enum ring_format)(bits & 1),
						      .poll_mode = bits & 2 ? POLL_MODE_ALWAYS
									    : POLL_MODE_ADAPTIVE},
			  NET_RIG_WORKERS);
		a = &rig.guests[0];
		b = &rig.guests[1];
		check_works(1);
		net_rig_post(b, 0, NET_RIG_ALL);
		net_rig_queue_enable(&rig, a, 1, false);
		net_rig_frame(frame, 100, a, b, 2);
		assert_true(net_rig_send(a, 1, NULL, frame, 100, NET_LAYOUT_ONE));
		ring_publish(a->queues[1].ring);
		/* A message to its worker and back, some times, and it is still there. */
		for (unsigned i = 0; i < 20; i++) {
			net_rig_queue_enable(&rig, a, 0, i % 2);
			assert_int_equal(net_rig_reap(a, 1), 0);
		}
		net_rig_kick(a, 1);
		net_rig_until(&rig, net_rig_all_back(a, 1));
		stats = net_rig_stats(a);
		assert_int_equal(stats.tx_disabled, 1);
		assert_int_equal(stats.tx_frames, 1);
		assert_false(net_rig_receive(b, 0, &received));
		net_rig_queue_enable(&rig, a, 1, true);
		check_works(3);
		net_rig_close(&rig);
	}
}

/* A receiver that is disabled gets nothing, not even later. */
static void test_receiver_disabled(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		struct net_guest *a, *b;

		open_pair(&(struct net_guest_options){0}, workers);
		a = &rig.guests[0];
		b = &rig.guests[1];
		check_works(1);
		net_rig_post(b, 0, NET_RIG_ALL);
		net_rig_queue_enable(&rig, b, 0, false);
		for (unsigned i = 0; i < 10; i++) {
			net_rig_frame(frame, 100, a, b, 2);
			assert_true(net_rig_send(a, 1, NULL, frame, 100, NET_LAYOUT_ONE));
		}
		net_rig_publish(a, 1);
		net_rig_until(&rig, net_rig_all_back(a, 1));
		net_rig_queue_enable(&rig, b, 0, true);
		check_works(3);
		assert_int_equal(net_rig_stats(b).rx_frames, 2);
		net_rig_close(&rig);
	}
}

/* ---- a guest that changes what it has posted ---- */

static bool flipping;

/* The guest's memory, as another of its processors has it. */
static uint8_t *other_view(const struct net_guest *guest)
{
	const struct shm_region *region = &guest->shm->region[0];
	void *view = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd,
			  (off_t)region->fd_offset_bytes);

	assert_true(view != MAP_FAILED);
	return view;
}

struct flipper {
	const struct net_guest *guest;
	uint8_t *view;
};

static void *flip(void *arg)
{
	const struct flipper *flipper = arg;
	const struct net_guest *guest = flipper->guest;
	const struct net_guest_queue *queue = &guest->queues[1];

	for (unsigned n = 0; load_acquire(&flipping); n++) {
		for (unsigned i = 0; i < queue->ring->size; i++) {
			volatile uint8_t *mac = flipper->view +
						(queue->buffers[i].data - guest->shm->base) +
						NET_HEADER_BYTES + ETHER_MAC_BYTES;

			mac[5] = n % 2 ? guest->mac[5] : 0x77;
			mac[0] = n % 2 ? guest->mac[0] : 0x06;
		}
	}
	return NULL;
}

static void send_flipping(unsigned frames, enum net_layout layout)
{
	struct net_guest *a = &rig.guests[0], *b = &rig.guests[1];
	uint64_t deadline_ns = net_rig_deadline_ns();
	struct netport_stats stats;
	unsigned got = 0;
	pthread_t thread;

	struct flipper flipper = {.guest = a, .view = other_view(a)};

	store_release(&flipping, true);
	assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
	do {
		bool added = false;

		net_rig_reap(a, 1);
		net_rig_frame(frame, 100, a, b, 1);
		while (net_rig_send(a, 1, NULL, frame, 100, layout))
			added = true;
		if (added)
			net_rig_publish(a, 1);
		net_rig_post(b, 0, NET_RIG_ALL);
		while (net_rig_receive(b, 0, &received)) {
			assert_memory_equal(received.frame + 6, a->mac, 6);
			got++;
		}
		net_rig_turn(&rig, deadline_ns, "frames of both kinds");
		netport_stats(a->port, &stats);
	} while (stats.in_frames < frames || !got || !stats.drop_spoofed);
	store_release(&flipping, false);
	assert_int_equal(pthread_join(thread, NULL), 0);
	munmap(flipper.view, a->shm->region[0].bytes);
	net_rig_until(&rig, net_rig_all_back(a, 1));
}

static void test_spoofing(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		open_pair(&(struct net_guest_options){.size = 256}, workers);
		send_flipping(30000, NET_LAYOUT_ONE);
		send_flipping(60000, NET_LAYOUT_TWO);
		send_flipping(70000, NET_LAYOUT_BYTES);
		net_rig_close(&rig);
	}
}

/* ---- nothing to do ---- */

static bool all_asleep(void)
{
	for (unsigned i = 0; i < rig.worker_cnt; i++) {
		if (load_relaxed(&worker_stats(rig.workers[i])->hot_pollers))
			return false;
	}
	return true;
}

static void test_idle(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 4; bits++) {
		const unsigned workers = 1 + (bits >> 1);
		struct net_guest_options b = {
			.format = (enum ring_format)(bits & 1),
			.rx_worker = workers - 1,
			.buffer_bytes = 1526,
		};
		struct net_guest *from, *to;

		net_rig_open(&rig, workers);
		from = net_rig_guest(&rig, 0, &(struct net_guest_options){0});
		to = net_rig_guest(&rig, 1, &b);
		for (unsigned i = 0; i < 3; i++) {
			/* With nothing waiting, buffers are posted without a kick. */
			net_rig_until(&rig, all_asleep());
			assert_int_equal(net_rig_post(to, 0, 1), 1);
			assert_false(to->queues[0].kicked);
			assert_true(all_asleep());
			net_rig_frame(frame, 100, from, to, i);
			for (unsigned k = 0; k < 2; k++)
				assert_true(
					net_rig_send(from, 1, NULL, frame, 100, NET_LAYOUT_ONE));
			/* Its transmit queue sleeps, and has said so. */
			assert_true(net_rig_publish(from, 1));
			net_rig_until(&rig, net_rig_receive(to, 0, &received));
			/* One waits, so a kick is of interest, and the only one to wake us. */
			net_rig_until(&rig, net_rig_stats(to).rx_pooled == i + 1 && all_asleep());
			net_rig_post(to, 0, 1);
			assert_true(to->queues[0].kicked);
			net_rig_until(&rig, net_rig_stats(to).rx_frames +
							    net_rig_stats(to).rx_no_buffer ==
						    2 * (i + 1));
			net_rig_until(&rig, net_rig_all_back(from, 1));
			while (net_rig_receive(to, 0, &received))
				;
		}
		net_rig_close(&rig);
	}
}

/* Calls that are held are made in the end, with nothing else going on. */
static void test_calls_come(void **state)
{
	static const enum poll_mode modes[] = {POLL_MODE_ADAPTIVE, POLL_MODE_NEVER,
					       POLL_MODE_ALWAYS};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(modes); i++) {
		struct net_guest_options b = {
			.buffer_bytes = 700, /* two a frame, so that some are taken in advance */
			.rx_worker = i / ARRAY_LEN(modes),
			.poll_mode = modes[i % ARRAY_LEN(modes)],
			.coalesce = {.mode = COALESCE_STATIC, .packets = 64, .usecs = 300},
		};
		struct net_guest *from, *to;
		uint64_t calls;

		net_rig_open(&rig, NET_RIG_WORKERS);
		from = net_rig_guest(&rig, 0, &(struct net_guest_options){0});
		to = net_rig_guest(&rig, 1, &b);
		net_rig_post(to, 0, NET_RIG_ALL);
		for (unsigned k = 0; k < 20; k++) {
			while (net_rig_receive(to, 0, &received))
				;
			(void)ring_arm(to->queues[0].ring);
			calls = net_rig_ring_stats(to).calls;
			net_rig_frame(frame, 1000, from, to, k);
			assert_true(net_rig_send(from, 1, NULL, frame, 1000, NET_LAYOUT_ONE));
			net_rig_publish(from, 1);
			net_rig_until(&rig, net_rig_ring_stats(to).calls > calls);
			net_rig_until(&rig, net_rig_receive(to, 0, &received));
			net_rig_post(to, 0, NET_RIG_ALL);
			net_rig_until(&rig, net_rig_all_back(from, 1));
		}
		net_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_csum_not_taken),
		cmocka_unit_test(test_disabled),   cmocka_unit_test(test_receiver_disabled),
		cmocka_unit_test(test_spoofing),   cmocka_unit_test(test_idle),
		cmocka_unit_test(test_calls_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
