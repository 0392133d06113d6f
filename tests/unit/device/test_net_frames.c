/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from one guest to another, of all lengths, over all kinds of rings and buffers.
 * Not offloads (test_net_offload.c) and not buffers that are missing (test_net_wait.c).
 */
#include "net_rig.h"

static struct net_rig rig;
static struct net_received received;
static uint8_t frame[FRAME_BYTES_MAX];

/* Are there buffers for one more frame, all those on their way considered? Then none waits. */
static bool has_room(const struct net_guest *to, unsigned bytes, unsigned on_the_way)
{
	const struct net_guest_options *options = &to->options;
	const unsigned buffers = options->size / (options->indirect ? 1 : options->pieces);
	const unsigned each =
		(bytes + NET_HEADER_BYTES + options->buffer_bytes - 1) / options->buffer_bytes;

	return (on_the_way + 1) * each <= buffers;
}

/* Lengths from..to, each once, in bursts; every one comes out as it went in. */
static void run(struct net_guest *from, struct net_guest *to, unsigned first, unsigned last,
		unsigned step)
{
	const unsigned big = to->options.buffer_bytes;
	unsigned sent = first, got = first;
	uint64_t deadline_ns = net_rig_deadline_ns();

	while (got <= last) {
		bool moved = false;

		net_rig_post(to, 0, NET_RIG_ALL);
		net_rig_reap(from, 1);
		while (sent <= last && has_room(to, sent, (sent - got) / step)) {
			net_rig_frame(frame, sent, from, to, sent);
			if (!net_rig_send(from, 1, NULL, frame, sent,
					  (enum net_layout)(sent / step % NET_LAYOUT_CNT_)))
				break;
			sent += step;
			moved = true;
		}
		if (moved)
			net_rig_publish(from, 1);
		while (net_rig_receive(to, 0, &received)) {
			assert_int_equal(received.bytes, got);
			net_rig_frame_check(received.frame, got, from, to, got);
			assert_int_equal(received.buffers,
					 (got + NET_HEADER_BYTES + big - 1) / big);
			assert_int_equal(received.header.flags, 0);
			assert_int_equal(received.header.gso_type, 0);
			got += step;
			moved = true;
		}
		if (!moved)
			net_rig_turn(&rig, deadline_ns, "frames");
	}
	net_rig_until(&rig, net_rig_all_back(from, 1));
}

static void run_kind(const struct net_guest_options *options, unsigned worker_cnt, unsigned first,
		     unsigned last, unsigned step)
{
	struct net_guest_options a = *options, b = *options;
	struct net_stats stats;

	a.tx_worker = 0;
	b.rx_worker = worker_cnt - 1;
	net_rig_open(&rig, worker_cnt);
	run(net_rig_guest(&rig, 0, &a), net_rig_guest(&rig, 1, &b), first, last, step);
	stats = net_rig_stats(&rig.guests[0]);
	assert_int_equal(stats.tx_frames, (last - first) / step + 1);
	stats = net_rig_stats(&rig.guests[1]);
	assert_int_equal(stats.rx_frames, (last - first) / step + 1);
	assert_int_equal(stats.rx_no_buffer + stats.rx_small_buffer + stats.rx_bad_chain, 0);
	net_rig_close(&rig);
}

/* Every second length, over all of: format, order, tables, events. */
static void all_rings(unsigned worker_cnt, struct net_guest_options options, unsigned first,
		      unsigned last, unsigned step)
{
	for (unsigned bits = 0; bits < 16; bits++) {
		options.format = bits & 1 ? RING_PACKED : RING_SPLIT;
		options.in_order = bits & 2;
		options.indirect = bits & 4;
		options.event_idx = bits & 8;
		run_kind(&options, worker_cnt, first, last, step);
	}
}

#define NO_MERGE BIT(NET_F_MRG_RXBUF)

static void test_all_lengths(void **state)
{
	(void)state;
	run_kind(&(struct net_guest_options){.buffer_bytes = 1526}, 1, 14, 1600, 1);
	run_kind(&(struct net_guest_options){.format = RING_PACKED}, 1, 14, 1600, 1);
	run_kind(&(struct net_guest_options){.features_off = NO_MERGE}, 2, 14, 1600, 1);
	run_kind(&(struct net_guest_options){.format = RING_PACKED, .buffer_bytes = 64}, 2, 14,
		 1600, 1);
}

static void test_rings_one_buffer(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		all_rings(workers, (struct net_guest_options){0}, 14, 1600, 13);
		all_rings(workers, (struct net_guest_options){.features_off = NO_MERGE}, 14, 1600,
			  13);
	}
}

static void test_rings_merged(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++)
		all_rings(workers, (struct net_guest_options){.buffer_bytes = 100}, 14, 1600, 13);
}

/* Buffers of several descriptors; the header may be cut. */
static void test_rings_pieces(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= NET_RIG_WORKERS; workers++) {
		all_rings(
			workers,
			(struct net_guest_options){.size = 512, .buffer_bytes = 200, .pieces = 25},
			14, 1600, 13);
		all_rings(workers,
			  (struct net_guest_options){.features_off = NO_MERGE, .pieces = 3}, 14,
			  1600, 13);
	}
}

static void test_long_frames(void **state)
{
	const unsigned last = FRAME_BYTES_MAX - (FRAME_BYTES_MAX - 60000) % 101;

	(void)state;
	for (unsigned packed = 0; packed < 2; packed++) {
		struct net_guest_options options = {.format = (enum ring_format)packed};

		run_kind(&options, 1, 60000, last, 101);
		options.buffer_bytes = 1526;
		run_kind(&options, 2, 60000, last, 101);
		options.pieces = 2;
		options.size = 128;
		run_kind(&options, 1, FRAME_BYTES_MAX - 20, FRAME_BYTES_MAX, 1);
		options.features_off = NO_MERGE;
		options.buffer_bytes = 0;
		run_kind(&options, 2, FRAME_BYTES_MAX - 20, FRAME_BYTES_MAX, 1);
	}
}

/* A driver of before 1.0: a shorter header, unless it merges; between it and any other. */
static void test_legacy(void **state)
{
	const uint64_t legacy = BIT(DEVICE_F_VERSION_1);
	const uint64_t off[] = {legacy, legacy | NO_MERGE, 0, NO_MERGE};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(off) * ARRAY_LEN(off); i++) {
		net_rig_open(&rig, 1);
		run(net_rig_guest(&rig, 0,
				  &(struct net_guest_options){
					  .features_off = off[i / ARRAY_LEN(off) % ARRAY_LEN(off)],
					  .indirect = i & 16}),
		    net_rig_guest(&rig, 1,
				  &(struct net_guest_options){.features_off =
								      off[i % ARRAY_LEN(off)],
							      .indirect = i & 16}),
		    14, 1600, 7);
		net_rig_close(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_lengths),  cmocka_unit_test(test_rings_one_buffer),
		cmocka_unit_test(test_rings_merged), cmocka_unit_test(test_rings_pieces),
		cmocka_unit_test(test_long_frames),  cmocka_unit_test(test_legacy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
