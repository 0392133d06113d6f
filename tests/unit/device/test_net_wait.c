/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receivers without buffers, or with such as are none: frames wait, senders do not.
 * Not frames that find buffers at once (test_net_frames.c).
 */
#include "net_rig.h"

#include "device/net/rx_priv.h"

static struct net_rig rig;
static struct net_received received;
static uint8_t frame[FRAME_BYTES_MAX];

#define NO_MERGE BIT(NET_F_MRG_RXBUF)

/* Sends frames seq..seq + cnt - 1 and waits until the sender has all of its buffers back. */
static void send_all(struct net_guest *from, struct net_guest *to, unsigned bytes, uint32_t seq,
		     unsigned cnt)
{
	uint64_t deadline_ns = net_rig_deadline_ns();

	for (unsigned i = 0; i < cnt;) {
		net_rig_frame(frame, bytes, from, to, seq + i);
		if (net_rig_send(from, 1, NULL, frame, bytes, NET_LAYOUT_ONE)) {
			i++;
			continue;
		}
		net_rig_publish(from, 1);
		if (!net_rig_reap(from, 1))
			net_rig_turn(&rig, deadline_ns, "the sender's buffers");
	}
	net_rig_publish(from, 1);
	net_rig_until(&rig, net_rig_all_back(from, 1));
}

/* Turns until one is there. */
static void receive(struct net_guest *guest)
{
	net_rig_until(&rig, net_rig_receive(guest, 0, &received));
}

static void open_two(unsigned workers, const struct net_guest_options *receiver)
{
	struct net_guest_options b = *receiver;

	b.rx_worker = workers - 1;
	net_rig_open(&rig, workers);
	net_rig_guest(&rig, 0, &(struct net_guest_options){0});
	net_rig_guest(&rig, 1, &b);
}

/* Frames that a guest was to receive, delivered or given up. */
static uint64_t came(const struct net_guest *guest)
{
	const struct net_stats stats = net_rig_stats(guest);

	return stats.rx_frames + stats.rx_no_buffer;
}

/*
 * Nobody posts: the sender has its buffers back, and the frames come, in order, when buffers do.
 * Frames that waited for RX_STALE_NS are dropped, so on a machine that stood still it is done
 * again.
 */
static void check_wait(unsigned workers, unsigned bytes, unsigned cnt)
{
	struct net_guest *a, *b;
	struct net_stats stats;
	uint64_t from_ns;

	open_two(workers, &(struct net_guest_options){.size = 256, .buffer_bytes = 1526});
	a = &rig.guests[0];
	b = &rig.guests[1];
	for (;;) {
		struct net_stats before = net_rig_stats(b);

		from_ns = clock_now_ns();
		send_all(a, b, bytes, 0, cnt);
		stats = net_rig_stats(b);
		assert_int_equal(stats.rx_pooled - before.rx_pooled, cnt);
		net_rig_post(b, 0, NET_RIG_ALL);
		net_rig_until(&rig, came(b) - before.rx_frames - before.rx_no_buffer == cnt);
		if (clock_now_ns() - from_ns < RX_STALE_NS / 2)
			break;
		while (net_rig_receive(b, 0, &received))
			;
	}
	for (unsigned i = 0; i < cnt; i++) {
		receive(b);
		assert_int_equal(received.bytes, bytes);
		net_rig_frame_check(received.frame, bytes, a, b, i);
	}
	net_rig_close(&rig);
}

static void test_wait_and_come(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		check_wait(workers, 60, 200);
		check_wait(workers, 1500, 100);
		check_wait(workers, 9000, 10);
	}
}

/* Far more than is kept. What is not delivered is counted; order is kept, and others lose nothing.
 */
static void check_pool_full(unsigned workers, unsigned bytes)
{
	const unsigned cnt = 3000;
	struct net_guest *a, *b, *c;
	struct net_stats stats;
	uint32_t last = 0;
	unsigned got = 0;

	open_two(workers, &(struct net_guest_options){.buffer_bytes = 1526});
	a = &rig.guests[0];
	b = &rig.guests[1];
	c = net_rig_guest(&rig, 2, &(struct net_guest_options){.buffer_bytes = 1526});
	for (unsigned i = 0; i < cnt; i += 50) {
		net_rig_post(c, 0, NET_RIG_ALL);
		send_all(a, b, bytes, i, 50);
		send_all(a, c, bytes, i, 50);
		for (unsigned k = 0; k < 50; k++) {
			receive(c);
			assert_int_equal(net_rig_seq(received.frame), i + k);
		}
	}
	stats = net_rig_stats(b);
	assert_true(stats.rx_no_buffer >= cnt - RX_WAIT_MAX);
	do {
		net_rig_post(b, 0, NET_RIG_ALL);
		while (net_rig_receive(b, 0, &received)) {
			if (got++)
				assert_true(net_rig_seq(received.frame) > last);
			last = net_rig_seq(received.frame);
			net_rig_frame_check(received.frame, bytes, a, b, last);
		}
		stats = net_rig_stats(b);
		assert_int_equal(evloop_turn(rig.loop, 0), 0);
	} while (stats.rx_frames + stats.rx_no_buffer < cnt || got < stats.rx_frames);
	assert_int_equal(stats.rx_frames + stats.rx_no_buffer, cnt);
	/* It is as good as new. */
	net_rig_post(b, 0, NET_RIG_ALL);
	send_all(a, b, bytes, 7, 1);
	receive(b);
	assert_int_equal(net_rig_seq(received.frame), 7);
	net_rig_close(&rig);
}

static void test_pool_full(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		check_pool_full(workers, 60);
		check_pool_full(workers, 1500);
	}
}

static void test_small_buffers(void **state)
{
	struct net_guest *a, *b;

	(void)state;
	open_two(1, &(struct net_guest_options){.buffer_bytes = 200, .features_off = NO_MERGE});
	a = &rig.guests[0];
	b = &rig.guests[1];
	net_rig_post(b, 0, NET_RIG_ALL);
	for (unsigned i = 0; i < 100; i++) {
		send_all(a, b, 189 + i, 2 * i, 1);
		send_all(a, b, 188 - i, 2 * i + 1, 1);
		receive(b);
		assert_int_equal(received.bytes, 188 - i);
		net_rig_frame_check(received.frame, 188 - i, a, b, 2 * i + 1);
		net_rig_post(b, 0, NET_RIG_ALL);
	}
	assert_int_equal(net_rig_stats(b).rx_small_buffer, 100);
	net_rig_close(&rig);
}

/* A frame that all buffers of the ring together do not hold does not block the others for good. */
static void test_frame_larger_than_ring(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		struct net_guest *a, *b;

		open_two(workers, &(struct net_guest_options){.size = 16, .buffer_bytes = 200});
		a = &rig.guests[0];
		b = &rig.guests[1];
		net_rig_post(b, 0, NET_RIG_ALL);
		send_all(a, b, 5000, 0, 1);
		net_rig_until(&rig, net_rig_stats(b).rx_no_buffer == 1);
		send_all(a, b, 100, 1, 1);
		receive(b);
		net_rig_frame_check(received.frame, 100, a, b, 1);
		net_rig_close(&rig);
	}
}

/* ---- chains that are no buffers ---- */

enum bad { BAD_BYTE, BAD_HEADER_ONLY, BAD_READABLE, BAD_BOTH, BAD_ADDRESS, BAD_ZERO, BAD_CNT_ };

static void post_bad(struct net_guest *guest, enum bad bad)
{
	const uint16_t token = net_rig_token(guest, 0);
	const uint64_t gpa = guest->queues[0].buffers[token].gpa;
	struct ring_seg segs[2] = {{gpa, 1}, {gpa + 64, 64}};

	switch (bad) {
	case BAD_BYTE:
		assert_int_equal(net_rig_add(guest, 0, segs, 0, 1, token), 0);
		return;
	case BAD_HEADER_ONLY:
		segs[0].bytes = NET_HEADER_BYTES;
		assert_int_equal(net_rig_add(guest, 0, segs, 0, 1, token), 0);
		return;
	case BAD_READABLE:
		assert_int_equal(net_rig_add(guest, 0, segs, 2, 0, token), 0);
		return;
	case BAD_BOTH:
		assert_int_equal(net_rig_add(guest, 0, segs, 1, 1, token), 0);
		return;
	case BAD_ADDRESS:
		segs[1].gpa = 1;
		assert_int_equal(net_rig_add(guest, 0, segs, 0, 2, token), 0);
		return;
	case BAD_ZERO:
		segs[1].bytes = 0;
		assert_int_equal(net_rig_add(guest, 0, segs, 0, 2, token), 0);
		return;
	default:
		fail();
	}
}

static void check_bad(const struct net_guest_options *options, enum bad bad)
{
	const unsigned good = 12;
	struct net_guest *a, *b;

	open_two(1, options);
	a = &rig.guests[0];
	b = &rig.guests[1];
	for (unsigned i = 0; i < good; i++) {
		if (i % 4 != 1)
			post_bad(b, bad);
		net_rig_post(b, 0, 1);
	}
	post_bad(b, bad);
	net_rig_publish(b, 0);
	send_all(a, b, 100, 0, good);
	for (unsigned i = 0; i < good; i++) {
		receive(b);
		net_rig_frame_check(received.frame, 100, a, b, i);
	}
	send_all(a, b, 100, good, 1);
	net_rig_post(b, 0, 1);
	receive(b);
	assert_int_equal(b->queues[0].empty_cnt, 10);
	assert_int_equal(net_rig_stats(b).rx_bad_chain, 10);
	net_rig_close(&rig);
}

static void test_bad_buffers(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		const struct net_guest_options options = {
			.format = bits & 1 ? RING_PACKED : RING_SPLIT,
			.in_order = bits & 2,
			.indirect = bits & 4,
			.features_off = bits & 8 ? NO_MERGE : 0,
			.buffer_bytes = 1526,
		};

		for (unsigned bad = 0; bad < BAD_CNT_; bad++)
			check_bad(&options, (enum bad)bad);
	}
}

/* Bad ones among buffers that were taken and not used; then the queue stops. */
static void test_bad_buffers_unfetched(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		const struct net_guest_options options = {
			.format = bits & 1 ? RING_PACKED : RING_SPLIT,
			.in_order = bits & 2,
			.indirect = bits & 4,
			.features_off = NO_MERGE,
			.buffer_bytes = 200,
		};
		struct net_guest *a, *b;

		open_two(1, &options);
		a = &rig.guests[0];
		b = &rig.guests[1];
		net_rig_post(b, 0, 1);
		post_bad(b, BAD_HEADER_ONLY);
		net_rig_post(b, 0, 1);
		post_bad(b, BAD_BOTH);
		net_rig_publish(b, 0);
		send_all(a, b, 500, 0, 8);
		assert_int_equal(net_rig_stats(b).rx_small_buffer, 8);
		net_rig_queue_stop(&rig, b, 0);
		net_rig_queue_start(&rig, b, 0, true);
		send_all(a, b, 100, 10, 2);
		for (unsigned i = 0; i < 2; i++) {
			receive(b);
			net_rig_frame_check(received.frame, 100, a, b, 10 + i);
		}
		net_rig_post(b, 0, 1);
		send_all(a, b, 100, 12, 1);
		receive(b);
		net_rig_frame_check(received.frame, 100, a, b, 12);
		assert_int_equal(b->queues[0].empty_cnt, 2);
		assert_int_equal(net_rig_stats(b).rx_bad_chain, 2);
		net_rig_close(&rig);
	}
}

/* A bad one in the midst of what one frame needs: no frame gets lost but that, nothing stalls. */
static void test_bad_buffer_within_frame(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 8; bits++) {
		const struct net_guest_options options = {
			.format = bits & 1 ? RING_PACKED : RING_SPLIT,
			.in_order = bits & 2,
			.indirect = bits & 4,
			.buffer_bytes = 200,
		};
		struct net_guest *a, *b;

		open_two(1, &options);
		a = &rig.guests[0];
		b = &rig.guests[1];
		net_rig_post(b, 0, 2);
		post_bad(b, BAD_HEADER_ONLY);
		net_rig_post(b, 0, 8);
		send_all(a, b, 600, 0, 1);
		receive(b);
		net_rig_frame_check(received.frame, 600, a, b, 0);
		assert_int_equal(received.buffers, 4);
		net_rig_post(b, 0, NET_RIG_ALL);
		send_all(a, b, 600, 1, 1);
		receive(b);
		net_rig_frame_check(received.frame, 600, a, b, 1);
		net_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait_and_come),
		cmocka_unit_test(test_pool_full),
		cmocka_unit_test(test_small_buffers),
		cmocka_unit_test(test_frame_larger_than_ring),
		cmocka_unit_test(test_bad_buffers),
		cmocka_unit_test(test_bad_buffers_unfetched),
		cmocka_unit_test(test_bad_buffer_within_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
