/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UFO: fragments are put together again by the receiver's rules (RFC 791, RFC 8200 4.5) and give
 * the datagram byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow/segment.h"
#include "frames.h"

#define PACKET_BYTES_MAX 66000u

static uint8_t payload[PACKET_BYTES_MAX];

struct large {
	struct frames_head f;
	uint8_t *head; /* f's bytes, as many as there are */
	struct dissection d;
	enum segment_kind kind;
	unsigned split; /* first byte in head that is cut, not repeated */
	unsigned payload_bytes, segment_bytes;
};

/* The receiver's side. */
struct reassembly {
	uint8_t data[PACKET_BYTES_MAX];
	unsigned done, cnt;
	unsigned id, next_header;
	bool ended;
};

static struct reassembly whole;

static void large_make(struct large *l, const char *layers, unsigned split_back,
		       unsigned payload_bytes, unsigned segment_bytes)
{
	frames_build(&l->f, layers, payload_bytes);
	frames_put16(l->f.bytes + l->f.l4 + 6, 0x1234);
	l->head = malloc(l->f.len);
	assert_non_null(l->head);
	memcpy(l->head, l->f.bytes, l->f.len);
	dissect(l->head, l->f.len, &l->d);
	l->kind = l->f.ipv6 ? SEGMENT_UFO6 : SEGMENT_UFO4;
	l->split = l->f.l4 - split_back;
	l->payload_bytes = payload_bytes;
	l->segment_bytes = segment_bytes;
}

/* Fragment of `out`: what is behind at in the head, and the payload. */
static void take(const struct large *l, const struct segment *out, unsigned at, unsigned offset,
		 bool more, unsigned id)
{
	unsigned in_head = out->head_bytes - at, bytes = in_head + out->payload_bytes;

	assert_int_equal(offset, whole.done);
	assert_int_equal(more, !out->last);
	assert_true(bytes <= l->segment_bytes);
	assert_true(!more || bytes % 8 == 0);
	assert_true(!more || bytes == l->segment_bytes / 8 * 8);
	if (whole.cnt > 0)
		assert_int_equal(id, whole.id);
	whole.id = id;
	memcpy(whole.data + offset, out->head + at, in_head);
	memcpy(whole.data + offset + in_head, payload + out->payload_offset, out->payload_bytes);
	whole.done += bytes;
	whole.ended = !more;
	whole.cnt++;
}

static void take4(const struct large *l, const struct segment *out)
{
	const uint8_t *ip = out->head + l->f.l3;
	unsigned header_bytes = (ip[0] & 15) * 4u, field = frames_be16(ip + 6);

	assert_int_equal(header_bytes, (l->head[l->f.l3] & 15) * 4u);
	assert_int_equal(frames_be16(ip + 2), out->head_bytes - l->f.l3 + out->payload_bytes);
	assert_int_equal(frames_slow_fold(frames_slow_sum(0, ip, header_bytes, false)), 0xffff);
	assert_int_equal(field & 0xc000, 0);
	assert_memory_equal(ip + 8, l->head + l->f.l3 + 8, 2);
	assert_memory_equal(ip + 12, l->head + l->f.l3 + 12, 8);
	take(l, out, l->f.l3 + header_bytes, (field & 0x1fff) * 8, field & 0x2000,
	     frames_be16(ip + 4));
}

static void take6(const struct large *l, const struct segment *out)
{
	const uint8_t *ip = out->head + l->f.l3, *fragment = out->head + l->split;
	unsigned at = l->f.l3 + 40, field = frames_be16(fragment + 2);
	uint8_t next = ip[6];

	assert_int_equal(frames_be16(ip + 4), out->head_bytes - l->f.l3 - 40 + out->payload_bytes);
	/* The chain of headers leads to the fragment header. */
	while (at < l->split) {
		next = out->head[at];
		at += (out->head[at + 1] + 1u) * 8;
	}
	assert_int_equal(at, l->split);
	assert_int_equal(next, 44);
	assert_int_equal(fragment[1], 0);
	assert_int_equal(field & 6, 0);
	whole.next_header = fragment[0];
	take(l, out, l->split + 8, field & 0xfff8, field & 1, frames_be32(fragment + 4));
}

/* Cuts, puts together, compares. */
static void assert_reassembles(const struct large *l, struct segmenter *s)
{
	unsigned lead = l->f.len - l->split, cnt = segment_cnt(s);
	struct segment out;

	memset(&whole, 0, sizeof(whole));
	assert_true(cnt > 1);
	while (segment_next(s, &out)) {
		assert_int_equal(out.csum_start, 0);
		assert_true(out.payload_bytes > 0);
		assert_memory_equal(out.head, l->head, l->f.l3);
		if (l->f.ipv6)
			take6(l, &out);
		else
			take4(l, &out);
	}
	assert_int_equal(whole.cnt, cnt);
	assert_true(whole.ended);
	assert_int_equal(whole.done, lead + l->payload_bytes);
	assert_memory_equal(whole.data, l->head + l->split, lead);
	assert_memory_equal(whole.data + lead, payload, l->payload_bytes);
}

static void test_reassembly(void **state)
{
	/* back: bytes of extension headers that belong to what is cut; next: their kind. */
	static const struct {
		const char *layers;
		unsigned back, next;
	} rows[] = {
		{"ip4 udp", 0, 0},
		{"vlan ip4opt udp", 0, 0},
		{"ip6 udp", 0, 17},
		{"qinq vlan ip6 udp", 0, 17},
		{"ip6 hbh udp", 0, 17},
		{"ip6 hbh dst udp", 8, 60},
		{"ip6 hbh dst rt dst24 udp", 24, 60},
		{"ip6 rt udp", 0, 17},
		{"ip6 ah udp", 24, 51},
	};
	static const unsigned sizes[][2] = {
		{1473, 1480}, {8192, 1480}, {2953, 1480},   {2952, 1480}, {65400, 1480},
		{8000, 1487}, {5000, 48},   {65400, 65000}, {3000, 2999},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			struct segmenter s;
			struct large l;

			large_make(&l, rows[i].layers, rows[i].back, sizes[k][0], sizes[k][1]);
			assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, sizes[k][0],
						       sizes[k][1]),
					 0);
			s.id = 0xdeadbeef;
			assert_reassembles(&l, &s);
			if (l.f.ipv6) {
				assert_int_equal(whole.id, 0xdeadbeef);
				assert_int_equal(whole.next_header, rows[i].next);
			} else {
				assert_int_equal(whole.id, frames_be16(l.head + l.f.l3 + 4));
			}
			free(l.head);
		}
	}
}

/* What fits in one fragment is the datagram as it was, with its identification and DF. */
static void test_one(void **state)
{
	static const char *const layers[] = {"ip4 udp", "ip4opt udp", "ip6 udp", "ip6 hbh dst udp"};

	(void)state;
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		struct segmenter s;
		struct segment out;
		struct large l;

		large_make(&l, layers[i], 0, 1000, 1480);
		if (!l.f.ipv6)
			l.head[l.f.l3 + 6] = 0x40;
		assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, 1000, 1480), 0);
		assert_int_equal(segment_cnt(&s), 1);
		assert_true(segment_next(&s, &out));
		assert_true(out.last);
		assert_int_equal(out.csum_start, 0);
		assert_int_equal(out.payload_bytes, 1000);
		assert_int_equal(out.head_bytes, l.f.len);
		if (!l.f.ipv6)
			memset(out.head + l.f.l3 + 10, 0, 2);
		assert_memory_equal(out.head, l.head, l.f.len);
		assert_false(segment_next(&s, &out));
		free(l.head);
	}
}

/* With DF the identification of the header need not be one; the fragments have one, and no DF. */
static void test_do_not_fragment(void **state)
{
	struct segmenter s;
	struct large l;

	(void)state;
	large_make(&l, "ip4 udp", 0, 4000, 1480);
	l.head[l.f.l3 + 6] = 0x40;
	memset(l.head + l.f.l3 + 4, 0, 2);
	assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, 4000, 1480), 0);
	s.id = 0x12345678;
	assert_reassembles(&l, &s);
	assert_int_equal(whole.id, 0x5678);
	free(l.head);
}

/* Without a caller's counter, datagrams of one flow still have different ones. */
static void test_own_id(void **state)
{
	struct segmenter a, b;
	struct large l;

	(void)state;
	large_make(&l, "ip6 udp", 0, 4000, 1480);
	assert_int_equal(segment_begin(&a, l.kind, l.head, &l.d, 4000, 1480), 0);
	l.head[l.f.l4 + 7] ^= 1;
	assert_int_equal(segment_begin(&b, l.kind, l.head, &l.d, 4000, 1480), 0);
	assert_int_not_equal(a.id, b.id);
	free(l.head);
}

/* Options in the second fragment, for options in the first; lengths are a guest's. */
static void test_options(void **state)
{
	static const struct {
		uint8_t first[12], second[12];
	} rows[] = {
		{{0x94, 4, 0, 0, 7, 7, 4, 9, 9, 9, 9, 0}, {0x94, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0}},
		{{7, 7, 4, 9, 9, 9, 9, 0x94, 4, 5, 6, 0}, {1, 1, 1, 1, 1, 1, 1, 0x94, 4, 5, 6, 0}},
		{{1, 1, 0x83, 3, 4, 1, 7, 3, 4, 1, 1, 1}, {1, 1, 0x83, 3, 4, 1, 1, 1, 1, 1, 1, 1}},
		{{0, 7, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9}, {0, 7, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9}},
		/* Lengths of 0 and 1, too long ones, and one that is cut off. */
		{{7, 0, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{{0x94, 1, 7, 3, 9, 9, 9, 9, 9, 9, 9, 9}, {0x94, 1, 7, 3, 9, 9, 9, 9, 9, 9, 9, 9}},
		{{7, 13, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{{7, 255, 4, 9, 9, 9, 9, 9, 9, 9, 9, 9}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{{0x94, 255, 4, 9, 9, 9, 9, 9, 9, 9, 7, 1},
		 {0x94, 255, 4, 9, 9, 9, 9, 9, 9, 9, 7, 1}},
		{{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segmenter s;
		struct segment out;
		struct large l;

		large_make(&l, "ip4opt udp", 0, 4000, 1480);
		memcpy(l.head + l.f.l3 + 20, rows[i].first, 12);
		assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, 4000, 1480), 0);
		assert_true(segment_next(&s, &out));
		assert_memory_equal(out.head + l.f.l3 + 20, rows[i].first, 12);
		while (segment_next(&s, &out)) {
			const uint8_t *ip = out.head + l.f.l3;

			assert_int_equal(out.head_bytes, l.f.l4);
			assert_memory_equal(ip + 20, rows[i].second, 12);
			assert_int_equal(frames_slow_fold(frames_slow_sum(0, ip, 32, false)),
					 0xffff);
		}
		free(l.head);
	}
}

static void test_limits(void **state)
{
	static const struct {
		const char *layers;
		unsigned payload_bytes, segment_bytes;
		int want;
	} rows[] = {
		{"ip4 udp", 4000, 0, -EINVAL},
		{"ip4 udp", 4000, 7, -EINVAL},
		/* Room for the UDP header, and none for payload. */
		{"ip4 udp", 4000, 15, -EINVAL},
		{"ip4 udp", 4000, 16, 0},
		{"ip6 dst24 udp", 4000, 39, -EINVAL},
		{"ip6 dst24 udp", 4000, 40, 0},
		/* The datagram's own length. */
		{"ip4 udp", 65507, 1480, 0},
		{"ip4 udp", 65508, 1480, -EINVAL},
		{"ip6 udp", 65519, 1480, 0},
		{"ip6 udp", 65520, 1480, -EINVAL},
		{"ip6 udp", 65527, 65528, -EINVAL},
		{"ip4 udp", 0xffffffff, 1480, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segmenter s;
		struct large l;

		large_make(&l, rows[i].layers, 0, 100, 1480);
		assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, rows[i].payload_bytes,
					       rows[i].segment_bytes),
				 rows[i].want);
		free(l.head);
	}
}

static int fill_payload(void **state)
{
	uint64_t seed = 6;

	(void)state;
	frames_random(payload, sizeof(payload), &seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reassembly),      cmocka_unit_test(test_one),
		cmocka_unit_test(test_do_not_fragment), cmocka_unit_test(test_own_id),
		cmocka_unit_test(test_options),         cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, fill_payload, NULL);
}
