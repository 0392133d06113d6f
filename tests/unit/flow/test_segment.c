/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TSO and USO: every segment is put together, its checksums are verified by the slow definition,
 * and all that must not differ from the large frame's header is held against it.
 * Not UFO (test_ufo.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "flow/checksum.h"
#include "flow/segment.h"
#include "frames.h"

#define PAYLOAD_BYTES_MAX 65536u
#define FRAME_BYTES (SEGMENT_HEADER_BYTES_MAX + PAYLOAD_BYTES_MAX)

struct large {
	struct frames_head f;
	uint8_t *head; /* f's bytes, as many as there are */
	struct dissection d;
	enum segment_kind kind;
	unsigned payload_bytes, segment_bytes;
};

static uint8_t payload[PAYLOAD_BYTES_MAX];
static uint8_t frame[FRAME_BYTES];

static void large_make(struct large *l, enum segment_kind kind, const char *layers,
		       unsigned payload_bytes, unsigned segment_bytes)
{
	frames_build(&l->f, layers, payload_bytes);
	l->head = malloc(l->f.len);
	assert_non_null(l->head);
	memcpy(l->head, l->f.bytes, l->f.len);
	dissect(l->head, l->f.len, &l->d);
	assert_int_equal(l->d.payload_offset, l->f.len);
	l->kind = kind;
	l->payload_bytes = payload_bytes;
	l->segment_bytes = segment_bytes;
}

/* Head, payload, and the L4 checksum completed as a device or a kernel does it. */
static unsigned put_together(const struct segment *out)
{
	unsigned len = out->head_bytes + out->payload_bytes, start = out->csum_start;
	uint16_t csum;

	memcpy(frame, out->head, out->head_bytes);
	memcpy(frame + out->head_bytes, payload + out->payload_offset, out->payload_bytes);
	csum = checksum_fold(checksum_add(0, frame + start, len - start, false));
	memcpy(frame + start + out->csum_offset, &csum, sizeof(csum));
	return len;
}

static void assert_checksums(const struct large *l, unsigned len)
{
	const uint8_t *ip = frame + l->f.l3;
	uint64_t sum = l->f.ipv6 ? frames_slow_sum(0, ip + 8, 32, false)
				 : frames_slow_sum(0, ip + 12, 8, false);

	if (!l->f.ipv6)
		assert_int_equal(frames_slow_fold(frames_slow_sum(0, ip, (ip[0] & 15) * 4, false)),
				 0xffff);
	sum += l->d.ip_proto + len - l->f.l4;
	assert_int_equal(
		frames_slow_fold(frames_slow_sum(sum, frame + l->f.l4, len - l->f.l4, false)),
		0xffff);
}

/* The fields that differ, and only they: they are judged, then put back as they were. */
static void assert_header(const struct large *l, unsigned len, unsigned idx, bool last)
{
	uint8_t *ip = frame + l->f.l3, *l4 = frame + l->f.l4;
	const uint8_t *ip0 = l->head + l->f.l3, *l40 = l->head + l->f.l4;

	if (l->f.ipv6) {
		assert_int_equal(frames_be16(ip + 4), len - l->f.l3 - 40);
		memcpy(ip + 4, ip0 + 4, 2);
	} else {
		assert_int_equal(frames_be16(ip + 2), len - l->f.l3);
		assert_int_equal(frames_be16(ip + 4), (frames_be16(ip0 + 4) + idx) & 0xffff);
		memcpy(ip + 2, ip0 + 2, 4);
		memcpy(ip + 10, ip0 + 10, 2);
	}
	if (l->d.l4 == DISSECT_L4_UDP) {
		assert_int_equal(frames_be16(l4 + 4), len - l->f.l4);
		memcpy(l4 + 4, l40 + 4, 4);
	} else {
		/* Here 0x99: CWR, ACK, PSH, FIN. */
		uint8_t want = (uint8_t)(0x10 | (idx ? 0 : 0x80) | (last ? 0x09 : 0));

		assert_int_equal(frames_be32(l4 + 4),
				 (uint32_t)(frames_be32(l40 + 4) + idx * l->segment_bytes));
		assert_int_equal(l4[13], want);
		memcpy(l4 + 4, l40 + 4, 4);
		l4[13] = l40[13];
		memcpy(l4 + 16, l40 + 16, 2);
	}
	assert_memory_equal(frame, l->head, l->f.len);
}

static void assert_segments(const struct large *l)
{
	unsigned done = 0, idx = 0, cnt;
	struct segmenter s;
	struct segment out;

	assert_int_equal(
		segment_begin(&s, l->kind, l->head, &l->d, l->payload_bytes, l->segment_bytes), 0);
	cnt = segment_cnt(&s);
	memset(&out, 0xa5, sizeof(out));
	while (segment_next(&s, &out)) {
		unsigned len;

		assert_true(idx < cnt);
		assert_int_equal(out.head_bytes, l->f.len);
		assert_int_equal(out.csum_start, l->f.l4);
		assert_int_equal(out.payload_offset, done);
		assert_int_equal(out.last, idx == cnt - 1);
		if (!out.last)
			assert_int_equal(out.payload_bytes, l->segment_bytes);
		else if (l->payload_bytes)
			assert_in_range(out.payload_bytes, 1, l->segment_bytes);
		len = put_together(&out);
		assert_checksums(l, len);
		assert_header(l, len, idx, out.last);
		done += out.payload_bytes;
		idx++;
	}
	assert_int_equal(idx, cnt);
	assert_int_equal(done, l->payload_bytes);
	assert_false(segment_next(&s, &out));
}

static void test_segments(void **state)
{
	static const struct {
		enum segment_kind kind;
		const char *layers;
	} rows[] = {
		{SEGMENT_TCP4, "ip4 tcp"},
		{SEGMENT_TCP4, "ip4 tcpopt"},
		{SEGMENT_TCP4, "vlan ip4opt tcpopt"},
		{SEGMENT_TCP4, "qinq vlan ip4 tcp"},
		{SEGMENT_TCP6, "ip6 tcp"},
		{SEGMENT_TCP6, "vlan ip6 tcpopt"},
		{SEGMENT_TCP6, "ip6 hbh rt dst tcp"},
		{SEGMENT_UDP4, "ip4 udp"},
		{SEGMENT_UDP4, "vlan ip4opt udp"},
		{SEGMENT_UDP6, "ip6 udp"},
		{SEGMENT_UDP6, "qinq vlan ip6 dst24 udp"},
	};
	static const unsigned sizes[][2] = {
		{0, 1448},    {1, 1448},    {1447, 1448},  {1448, 1448},
		{1449, 1448}, {2896, 1448}, {65000, 1448}, {64000, 536},
		{999, 1},     {5001, 77},   {1000, 65000}, {1000, 0xffffffff},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			struct large l;

			large_make(&l, rows[i].kind, rows[i].layers, sizes[k][0], sizes[k][1]);
			assert_segments(&l);
			free(l.head);
		}
	}
}

/* The final destination is in the routing header, and counts for each segment's checksum. */
static void test_routing_header(void **state)
{
	struct segmenter s;
	struct segment out;
	struct large l;

	(void)state;
	large_make(&l, SEGMENT_UDP6, "ip6 srh udp", 3000, 1000);
	assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, 3000, 1000), 0);
	while (segment_next(&s, &out)) {
		unsigned len = put_together(&out);
		uint64_t sum = frames_slow_sum(0, frame + l.f.l3 + 8, 16, false);

		sum = frames_slow_sum(sum, frame + l.f.ext[0] + 8, 16, false);
		sum += 17 + len - l.f.l4;
		assert_int_equal(
			frames_slow_fold(frames_slow_sum(sum, frame + l.f.l4, len - l.f.l4, false)),
			0xffff);
	}
	free(l.head);
}

/* Flags that are not there are not put in, and what is not FIN, PSH or CWR stays. */
static void test_flags(void **state)
{
	struct segmenter s;
	struct segment out;
	struct large l;
	unsigned idx = 0;

	(void)state;
	large_make(&l, SEGMENT_TCP4, "ip4 tcp", 3000, 1000);
	l.head[l.f.l4 + 13] = 0x70; /* ECE, URG, ACK */
	assert_int_equal(segment_begin(&s, l.kind, l.head, &l.d, 3000, 1000), 0);
	for (; segment_next(&s, &out); idx++)
		assert_int_equal(out.head[l.f.l4 + 13], 0x70);
	assert_int_equal(idx, 3);
	free(l.head);
}

/* Each kind takes what it is for, and nothing else. */
static void test_kinds(void **state)
{
	static const struct {
		const char *layers;
		unsigned kinds; /* bits */
	} rows[] = {
		{"ip4 tcp", 1u << SEGMENT_TCP4},
		{"ip6 tcp", 1u << SEGMENT_TCP6},
		{"ip4 udp", 1u << SEGMENT_UDP4 | 1u << SEGMENT_UFO4},
		{"ip6 udp", 1u << SEGMENT_UDP6 | 1u << SEGMENT_UFO6},
		{"ip4 icmp", 0},
		{"ip6 frag udp", 0},
		{"arp", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frames_head f;
		struct dissection d;
		struct segmenter s;

		frames_build(&f, rows[i].layers, 3000);
		dissect(f.bytes, f.len, &d);
		for (unsigned kind = 0; kind <= SEGMENT_KIND_MAX_; kind++)
			assert_int_equal(segment_begin(&s, kind, f.bytes, &d, 3000, 1000),
					 rows[i].kinds >> kind & 1 ? 0 : -EINVAL);
	}
}

/* Lengths that IP has a field for, and one more. */
static void test_limits(void **state)
{
	static const struct {
		enum segment_kind kind;
		const char *layers;
		unsigned payload_bytes, segment_bytes;
		int want;
	} rows[] = {
		{SEGMENT_TCP4, "ip4 tcp", 3000, 0, -EINVAL},
		{SEGMENT_UDP6, "ip6 udp", 0, 0, -EINVAL},
		{SEGMENT_TCP4, "ip4 tcp", 65495, 65535, 0},
		{SEGMENT_TCP4, "ip4 tcp", 65496, 65535, -EINVAL},
		{SEGMENT_TCP4, "ip4 tcp", 131072, 65495, 0},
		{SEGMENT_TCP4, "ip4 tcp", 131072, 65496, -EINVAL},
		{SEGMENT_TCP6, "ip6 tcp", 131072, 65515, 0},
		{SEGMENT_TCP6, "ip6 tcp", 131072, 65516, -EINVAL},
		{SEGMENT_TCP6, "ip6 hbh tcp", 131072, 65508, -EINVAL},
		{SEGMENT_TCP6, "ip6 tcp", 0xffffffff, 0xffffffff, -EINVAL},
		{SEGMENT_UDP4, "ip4 udp", 65508, 65508, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frames_head f;
		struct dissection d;
		struct segmenter s;

		frames_build(&f, rows[i].layers, 3000);
		dissect(f.bytes, f.len, &d);
		assert_int_equal(segment_begin(&s, rows[i].kind, f.bytes, &d, rows[i].payload_bytes,
					       rows[i].segment_bytes),
				 rows[i].want);
	}
}

static void test_counts(void **state)
{
	static const unsigned rows[][3] = {
		{0, 100, 1},   {1, 100, 1},   {100, 100, 1},
		{101, 100, 2}, {200, 100, 2}, {0xffffffff, 1, 0xffffffff},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frames_head f;
		struct dissection d;
		struct segmenter s;

		frames_build(&f, "ip4 tcp", 3000);
		dissect(f.bytes, f.len, &d);
		assert_int_equal(
			segment_begin(&s, SEGMENT_TCP4, f.bytes, &d, rows[i][0], rows[i][1]), 0);
		assert_int_equal(segment_cnt(&s), rows[i][2]);
	}
}

static int fill_payload(void **state)
{
	uint64_t seed = 5;

	(void)state;
	frames_random(payload, sizeof(payload), &seed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments), cmocka_unit_test(test_routing_header),
		cmocka_unit_test(test_flags),    cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_limits),   cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, fill_payload, NULL);
}
