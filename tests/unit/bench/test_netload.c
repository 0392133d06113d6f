/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench net` without a back end: its options, the frames it makes, and verify mode, which
 * must find every way in which a frame can be damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netload/frame.h"
#include "netload/opts.h"
#include "netload/verify.h"

#define FLOWS 5

static const struct netload_place here;

/* ---- options ---- */

static int parse(struct netload_opts *o, const char *line)
{
	static char text[512], command[] = "net";
	char *argv[32] = {command};
	int argc = 1;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	return netload_options_parse(o, argc, argv);
}

static void options_have_their_defaults(void **state)
{
	static struct netload_opts o;

	(void)state;
	assert_int_equal(parse(&o, "a b"), BENCH_OK);
	assert_string_equal(o.socket[0], "a");
	assert_string_equal(o.socket[1], "b");
	assert_int_equal(o.size_bytes, 60);
	assert_int_equal(o.gso_size, 0);
	assert_int_equal(o.flow_cnt, 16);
	assert_int_equal(o.burst, 32);
	assert_int_equal(o.ring_size, 256);
	assert_true(o.rx_buffer_cnt == UINT32_MAX);
	assert_int_equal(netload_rx_buffer_bytes(&o, true), 2048);
	assert_false(o.stamps);
}

static void options_are_taken(void **state)
{
	static struct netload_opts o;

	(void)state;
	assert_int_equal(parse(&o, "a --size 64k --gso 1000 --rx-buffers 0 --rate 7 --loop"),
			 BENCH_OK);
	assert_int_equal(o.size_bytes, 65536);
	assert_int_equal(o.gso_size, 1000);
	assert_int_equal(o.rx_buffer_cnt, 0);
	assert_true(o.stamps && o.loop);
	assert_int_equal(netload_rx_buffer_bytes(&o, true), 4096);
	assert_true(netload_rx_buffer_bytes(&o, false) > FRAME_BYTES_MAX);
	assert_int_equal(parse(&o, "a b --mac 02:aa:bb:cc:dd:ee --imix --ring packed --rate max "
				   "--queue-size 33 --direction both --queue-pairs 40"),
			 BENCH_OK);
	assert_memory_equal(o.mac[0], "\x02\xaa\xbb\xcc\xdd\xee", 6);
	assert_int_equal(o.size_bytes, 1514);
	assert_int_equal(o.flow_cnt, 40);
	assert_int_equal(o.spacing, NETLOAD_EVEN);
	assert_int_equal(parse(&o, "a b --rate 7 --spacing bursts"), BENCH_OK);
	assert_int_equal(o.spacing, NETLOAD_BURSTS);
	assert_int_equal(parse(&o, "a b --rate 7 --spacing poisson"), BENCH_OK);
	assert_int_equal(o.spacing, NETLOAD_POISSON);
	assert_int_equal(parse(&o, "a b --mac 02:aa:bb:cc:dd:ee --imix --ring packed --rate max "
				   "--queue-size 33 --direction both --queue-pairs 40"),
			 BENCH_OK);
	assert_true(o.back && o.format == RING_PACKED && o.rate == 0);
}

static void wrong_options_are_refused(void **state)
{
	static const char *const line[] = {
		"",
		"a b c",
		"a --size 59",
		"a --size 70000",
		"a --size x",
		"a --imix --size 60",
		"a --mac 02:00:00:00:00",
		"a --mac 01:00:00:00:00:00",
		"a --mac 02:00:00:00:00:0g",
		"a --mac 02:00:00:00:00:00:00",
		"a b --mac 02:70:61:0b:00:01",
		"a b --macs 2 --mac 02:70:61:0b:99:99",
		"a --vlan 0",
		"a --vlan 4095",
		"a b --direction c-d",
		"a --direction both",
		"a b --loop",
		"a --queue-size 33",
		"a --rx-buffers 257",
		"a --queue-pairs 65",
		"a --queue-pairs 8 --flows 7",
		"a --burst 0",
		"a --mergeable maybe",
		"a --rate 0",
		"a --memcpy",
		"a --verify --cpus 0,0",
		"a b --answers",
		"a --spacing poisson",
		"a --rate 5 --spacing odd",
		"a --verify --queue-pairs 2 --ring packed --in-order",
		"a --nonsense",
		"a --size",
	};
	static struct netload_opts o;

	(void)state;
	for (unsigned int i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		if (parse(&o, line[i]) != BENCH_USAGE)
			fail_msg("'%s' was taken", line[i]);
}

/* ---- frames ---- */

static const struct frame_opts plain = {
	.src_mac = {2, 0, 0, 0, 0, 1},
	.dst_mac = {2, 0, 0, 0, 0, 2},
	.mac_cnt = 1,
	.flow_cnt = FLOWS,
	.stream_cnt = 1,
	.stamps = true,
	.fill = true,
};

static _Alignas(64) uint8_t buffer[NET_HEADER_BYTES + FRAME_BYTES_MAX];

static struct virtio_net_hdr *header(void)
{
	return (void *)buffer;
}

static uint8_t *frame(void)
{
	return buffer + NET_HEADER_BYTES;
}

static void frames_say_who_and_when(void **state)
{
	static const uint32_t bytes[] = {60, 61, 64, 1514};

	(void)state;
	for (unsigned int i = 0; i < 2 * sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct frame_opts opts = plain;
		struct frame_gen g;
		struct frame_seen seen = {0};

		opts.vlan = i & 1 ? 5 : 0;
		opts.stream = FRAME_FROM_B | 1;
		opts.stream_cnt = 2;
		assert_int_equal(frame_gen_init(&g, &opts), 0);
		frame_build(&g, buffer, bytes[i / 2]);
		for (uint32_t n = 0; n < 3 * 2; n++) {
			frame_next(&g, buffer, bytes[i / 2], 1000 + n, FRAME_MEASURED);
			assert_true(frame_parse(frame(), bytes[i / 2], &seen));
			assert_int_equal(seen.stream, FRAME_FROM_B | FRAME_MEASURED | 1);
			/* The flows of the second of two pairs: 1 and 3. */
			assert_int_equal(seen.flow, 1 + 2 * (n & 1));
			assert_int_equal(seen.count, n / 2);
			assert_int_equal(frame_age_ticks(&seen, 1500 + n), 500);
		}
		assert_int_equal(frame()[3], 0);
		assert_int_equal(frame()[11], 1);
		frame_gen_fini(&g);
	}
}

static void answers_belong_to_their_flow(void **state)
{
	struct frame_opts opts = plain;
	struct frame_seen seen = {0};
	struct frame_gen g;

	(void)state;
	opts.answers = true;
	opts.stream = FRAME_FROM_B;
	assert_int_equal(frame_gen_init(&g, &opts), 0);
	frame_build(&g, buffer, 60);
	for (uint32_t n = 0; n < 2 * FLOWS; n++) {
		frame_next(&g, buffer, 60, n, 0);
		assert_int_equal(frame()[34] << 8 | frame()[35], 9);
		assert_int_equal(frame()[36] << 8 | frame()[37], FRAME_PORT_FIRST + n % FLOWS);
		assert_true(frame_parse(frame(), 60, &seen));
		assert_int_equal(seen.flow, n % FLOWS);
		assert_int_equal(seen.count, n / FLOWS);
	}
	frame_gen_fini(&g);
}

static void macs_vary_in_pairs(void **state)
{
	struct frame_opts opts = plain;
	struct frame_gen g;

	(void)state;
	opts.mac_cnt = 300;
	assert_int_equal(frame_gen_init(&g, &opts), 0);
	frame_build(&g, buffer, 60);
	for (unsigned int n = 0; n < 301; n++) {
		frame_next(&g, buffer, 60, 0, 0);
		assert_int_equal(frame()[4] << 8 | frame()[5], n % 300);
		assert_int_equal(frame()[10] << 8 | frame()[11], n % 300);
	}
	frame_gen_fini(&g);
}

static void long_frames_are_to_be_segmented(void **state)
{
	struct frame_opts opts = plain;
	struct frame_gen g;
	struct frame_seen seen = {0};

	(void)state;
	opts.gso_size = 1448;
	assert_int_equal(frame_gen_init(&g, &opts), 0);
	frame_build(&g, buffer, 65536);
	assert_int_equal(header()->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(header()->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(header()->gso_size, 1448);
	assert_int_equal(header()->hdr_len, 14 + 20 + 32);
	assert_int_equal(header()->csum_start, 34);
	assert_int_equal(header()->csum_offset, 16);
	for (uint32_t n = 0; n < 2 * FLOWS; n++) {
		frame_next(&g, buffer, 65536, n << FRAME_STAMP_SHIFT, 0);
		assert_true(frame_parse(frame(), 200, &seen));
		assert_true(seen.tcp);
		assert_int_equal(seen.flow, n % FLOWS);
		assert_int_equal(seen.count, n / FLOWS * (65536 - 66));
		assert_int_equal(frame_age_ticks(&seen, (n + 3) << FRAME_STAMP_SHIFT),
				 3 << FRAME_STAMP_SHIFT);
	}
	/* It fits one segment: none is asked for. */
	frame_build(&g, buffer, 66 + 1448);
	assert_int_equal(header()->gso_type, VIRTIO_NET_HDR_GSO_NONE);
	frame_gen_fini(&g);
}

static void frames_of_others_are_known(void **state)
{
	struct frame_seen seen = {0};
	struct frame_gen g;

	(void)state;
	assert_int_equal(frame_gen_init(&g, &plain), 0);
	for (uint32_t at = 0; at < 60; at++) {
		bool matters = at == 12 || at == 13 || at == 14 || at == 23 || at == 36 ||
			       at == 37 || at == 42;

		frame_build(&g, buffer, 60);
		assert_true(frame_parse(frame(), 60, &seen));
		frame()[at] ^= 0x55;
		if (frame_parse(frame(), 60, &seen) == matters)
			fail_msg("byte %u", at);
	}
	frame_build(&g, buffer, 60);
	assert_false(frame_parse(frame(), 55, &seen));
	assert_false(frame_parse(frame(), 0, &seen));
	frame_gen_fini(&g);
}

static void the_pattern_is_one_whole(void **state)
{
	uint8_t all[100], piece[100];

	(void)state;
	frame_pattern(all, sizeof(all), 0, 7, 1000);
	for (uint32_t from = 0; from < 100; from += 7)
		for (uint32_t cnt = 0; cnt <= 100 - from; cnt++) {
			frame_pattern(piece, cnt, FRAME_MEASURED, 7, 1000 + from);
			assert_memory_equal(piece, all + from, cnt);
		}
	frame_pattern(piece, sizeof(piece), FRAME_FROM_B, 7, 1000);
	assert_memory_not_equal(piece, all, sizeof(all));
	frame_pattern(piece, sizeof(piece), 0, 8, 1000);
	assert_memory_not_equal(piece, all, sizeof(all));
}

/* ---- verify mode ---- */

struct judge {
	struct frame_gen g;
	struct netload_verify v;
	uint32_t bytes;
};

static void judge_init(struct judge *j, uint32_t bytes, uint16_t gso_size, bool csum)
{
	struct frame_opts opts = plain;

	opts.gso_size = gso_size;
	opts.csum = csum;
	assert_int_equal(frame_gen_init(&j->g, &opts), 0);
	assert_int_equal(netload_verify_init(&j->v, FLOWS), 0);
	j->bytes = bytes;
	j->v.guest_csum = csum || gso_size;
	j->v.guest_tso4 = gso_size;
	frame_build(&j->g, buffer, bytes);
	frame_next(&j->g, buffer, bytes, 5, 0);
}

static void judge_fini(struct judge *j)
{
	frame_gen_fini(&j->g);
	netload_verify_fini(&j->v);
}

static bool judged(struct judge *j, uint32_t bytes)
{
	struct frame_seen seen = {0};

	return frame_parse(frame(), bytes, &seen) &&
	       netload_verify_bytes(&j->v, (const void *)buffer, frame(), bytes, &seen, &here);
}

static void whole_frames_are_good(void **state)
{
	static const uint32_t bytes[] = {60, 61, 590, 1514, 9000, 65536};

	(void)state;
	for (unsigned int i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
		for (unsigned int how = 0; how < 3; how++) {
			struct judge j;

			if (how == 2 && bytes[i] <= 1514)
				continue;
			judge_init(&j, bytes[i], how == 2 ? 1448 : 0, how == 1);
			for (unsigned int n = 0; n < 20; n++) {
				if (!judged(&j, bytes[i]))
					fail_msg("%s", j.v.error);
				frame_next(&j.g, buffer, bytes[i], 5, 0);
			}
			assert_int_equal(j.v.frame_cnt, 20);
			assert_int_equal(j.v.gap_cnt + j.v.duplicate_cnt + j.v.late_cnt, 0);
			judge_fini(&j);
		}
}

/* Every byte behind the MAC addresses, which no checksum covers. */
static void damage_is_found(void **state)
{
	struct judge j;

	(void)state;
	judge_init(&j, 100, 0, false);
	for (uint32_t at = 12; at < 100; at++) {
		frame()[at] ^= 1;
		if (judged(&j, 100))
			fail_msg("byte %u", at);
		frame()[at] ^= 1;
	}
	assert_true(judged(&j, 100));
	assert_false(judged(&j, 99));
	assert_false(judged(&j, 101));
	judge_fini(&j);
}

static void false_headers_are_found(void **state)
{
	struct judge j;

	(void)state;
	judge_init(&j, 4000, 1448, false);
	assert_true(judged(&j, 4000));
	j.v.guest_tso4 = false;
	assert_false(judged(&j, 4000));
	j.v.guest_tso4 = true;
	j.v.guest_csum = false;
	assert_false(judged(&j, 4000));
	j.v.guest_csum = true;
	header()->gso_size = 0;
	assert_false(judged(&j, 4000));
	header()->gso_size = 1448;
	header()->gso_type = VIRTIO_NET_HDR_GSO_UDP;
	assert_false(judged(&j, 4000));
	header()->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	header()->csum_start++;
	assert_false(judged(&j, 4000));
	header()->csum_start--;
	header()->csum_offset--;
	assert_false(judged(&j, 4000));
	judge_fini(&j);
}

/* The frames of a flow, by count, and what must come of them. */
static void count_all(struct judge *j, const int *count, bool tcp)
{
	for (; *count >= 0; count++) {
		struct frame_seen seen = {.count = (uint32_t)*count, .tcp = tcp};

		netload_verify_count(&j->v, &seen, tcp ? 100 : 0, &here);
	}
}

static void order_is_judged(void **state)
{
	static const int good[] = {0, 1, 2, 3, -1}, gap[] = {0, 1, 4, 5, -1},
			 again[] = {0, 1, 1, 0, -1}, late[] = {0, 2, 1, 3, 1, -1},
			 far[] = {0, 100, 1, 99, -1}, bytes[] = {0, 100, 300, 100, 400, -1};
	static const struct {
		const int *count;
		unsigned int gaps, duplicates, late;
	} row[] = {{good, 0, 0, 0}, {gap, 2, 0, 0},  {again, 0, 2, 0},
		   {late, 1, 1, 1}, {far, 99, 0, 2}, {bytes, 0, 0, 1}};

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct judge j;

		judge_init(&j, 60, 0, false);
		count_all(&j, row[i].count, row[i].count == bytes);
		assert_int_equal(j.v.gap_cnt, row[i].gaps);
		assert_int_equal(j.v.duplicate_cnt, row[i].duplicates);
		assert_int_equal(j.v.late_cnt, row[i].late);
		judge_fini(&j);
	}
}

/* A frame of a flow as it is met: where, and which look saw it first. */
struct met {
	uint32_t count;
	unsigned int queue;
	uint64_t look;
};

static const struct cross_row {
	const char *what;
	struct met met[8]; /* as the reader comes to them; the first with look 0 ends them */
	unsigned int gaps, duplicates, late, crossed;
} cross_row[] = {
	{"in turns", {{0, 0, 1}, {1, 1, 1}, {2, 0, 2}, {3, 1, 3}}, 0, 0, 0, 0},
	{"the second queue is read first", {{1, 1, 1}, {3, 1, 1}, {0, 0, 1}, {2, 0, 1}}, 0, 0, 0, 2},
	/* Used after the reader had passed its queue, before the other's end was read. */
	{"a look later", {{1, 1, 7}, {0, 0, 8}}, 0, 0, 0, 1},
	{"two looks later", {{1, 1, 7}, {0, 0, 9}}, 1, 0, 1, 0},
	{"read long after, and seen in time", {{0, 0, 1}, {90, 1, 5}, {1, 0, 6}}, 88, 0, 0, 1},
	{"behind a later one of its queue", {{0, 0, 1}, {2, 0, 1}, {1, 0, 1}}, 1, 0, 1, 0},
	/* 3 was seen first in look 9, but 2 already in look 5: 1 came two behind that. */
	{"the earliest later one counts", {{0, 0, 1}, {3, 1, 9}, {2, 2, 5}, {1, 0, 7}}, 1, 0, 1, 1},
	{"the middle of a gap", {{9, 1, 1}, {4, 0, 2}, {3, 2, 2}, {5, 0, 2}}, 6, 0, 0, 3},
	{"again, on another queue", {{0, 0, 1}, {1, 1, 1}, {0, 1, 1}, {1, 0, 2}}, 0, 2, 0, 0},
	{"crossed, and again", {{1, 1, 1}, {0, 0, 1}, {0, 2, 1}}, 0, 1, 0, 1},
	{"a queue is crossed and then overtaken", {{1, 1, 1}, {0, 1, 2}}, 1, 0, 1, 0},
};

static void order_is_judged_across_queues(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < sizeof(cross_row) / sizeof(cross_row[0]); i++) {
		const struct cross_row *row = &cross_row[i];
		struct judge j;

		judge_init(&j, 60, 0, false);
		for (const struct met *m = row->met; m->look; m++) {
			struct frame_seen seen = {.count = m->count};
			struct netload_place at = {.queue = m->queue, .look = m->look};

			netload_verify_count(&j.v, &seen, 0, &at);
		}
		if (j.v.gap_cnt != row->gaps || j.v.duplicate_cnt != row->duplicates ||
		    j.v.late_cnt != row->late || j.v.crossed_cnt != row->crossed)
			fail_msg("%s: %u missing, %u again, %u late, %u crossed", row->what,
				 (unsigned int)j.v.gap_cnt, (unsigned int)j.v.duplicate_cnt,
				 (unsigned int)j.v.late_cnt, (unsigned int)j.v.crossed_cnt);
		judge_fini(&j);
	}
}

/* More places where frames are missing than are remembered: the latest are. */
static void gaps_beyond_memory_are_the_oldest(void **state)
{
	struct judge j;

	(void)state;
	judge_init(&j, 60, 0, false);
	for (uint32_t n = 1; n < 2 * (NETLOAD_GAPS_MAX + 3); n += 2) {
		struct frame_seen seen = {.count = n};

		netload_verify_count(&j.v, &seen, 0, &here);
	}
	assert_int_equal(j.v.gap_cnt, NETLOAD_GAPS_MAX + 3);
	for (uint32_t n = 0; n < 2 * (NETLOAD_GAPS_MAX + 3); n += 2) {
		struct frame_seen seen = {.count = n};

		netload_verify_count(&j.v, &seen, 0, &here);
	}
	assert_int_equal(j.v.late_cnt, NETLOAD_GAPS_MAX);
	assert_int_equal(j.v.duplicate_cnt, 3);
	judge_fini(&j);
}

static void counts_wrap(void **state)
{
	static const int after[] = {0, 1, -1};
	struct judge j;

	(void)state;
	judge_init(&j, 60, 0, false);
	j.v.flow[0][0].next = UINT32_MAX;
	netload_verify_count(&j.v, &(struct frame_seen){.count = UINT32_MAX}, 0, &here);
	count_all(&j, after, false);
	assert_int_equal(j.v.gap_cnt + j.v.duplicate_cnt + j.v.late_cnt, 0);
	netload_verify_count(&j.v, &(struct frame_seen){.count = UINT32_MAX}, 0, &here);
	assert_int_equal(j.v.duplicate_cnt, 1);
	judge_fini(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_have_their_defaults),
		cmocka_unit_test(options_are_taken),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(frames_say_who_and_when),
		cmocka_unit_test(answers_belong_to_their_flow),
		cmocka_unit_test(macs_vary_in_pairs),
		cmocka_unit_test(long_frames_are_to_be_segmented),
		cmocka_unit_test(frames_of_others_are_known),
		cmocka_unit_test(the_pattern_is_one_whole),
		cmocka_unit_test(whole_frames_are_good),
		cmocka_unit_test(damage_is_found),
		cmocka_unit_test(false_headers_are_found),
		cmocka_unit_test(order_is_judged),
		cmocka_unit_test(order_is_judged_across_queues),
		cmocka_unit_test(gaps_beyond_memory_are_the_oldest),
		cmocka_unit_test(counts_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
