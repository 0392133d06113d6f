/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dissection: a table of frames, each whole, and cut off after every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "flow/dissect.h"
#include "frames.h"

#define PAYLOAD_BYTES 300
#define END 0xffff

enum from { FROM_START, FROM_L3, FROM_L4, FROM_EXT0 };

struct row {
	const char *layers;
	struct {
		enum from from;
		unsigned at;
		uint8_t value;
	} change[2]; /* at END: none */
	/* What is expected; offsets 0 where L4 is NONE. */
	uint16_t ether_type;
	uint8_t tag_cnt, l3, l4, proto;
	uint16_t l4_offset, payload_offset;
	bool fragment, extended;
};

#define PLAIN                              \
	{                                  \
		{FROM_START, END, 0},      \
		{                          \
			FROM_START, END, 0 \
		}                          \
	}
#define CHANGE(from, at, value)            \
	{                                  \
		{from, at, value},         \
		{                          \
			FROM_START, END, 0 \
		}                          \
	}
#define CHANGES(f1, a1, v1, f2, a2, v2) \
	{                               \
		{f1, a1, v1},           \
		{                       \
			f2, a2, v2      \
		}                       \
	}
#define IPV4 0x0800, 0, DISSECT_L3_IPV4
#define IPV6 0x86dd, 0, DISSECT_L3_IPV6
#define OTHER(type, tags) type, tags, DISSECT_L3_OTHER, DISSECT_L4_NONE, 0, 0, 0, false, false
#define TCP DISSECT_L4_TCP, 6
#define UDP DISSECT_L4_UDP, 17
#define NONE(proto) DISSECT_L4_NONE, proto, 0, 0

static const struct row rows[] = {
	{"ip4 tcp", PLAIN, IPV4, TCP, 34, 54, false, false},
	{"ip4 tcpopt", PLAIN, IPV4, TCP, 34, 66, false, false},
	{"ip4 udp", PLAIN, IPV4, UDP, 34, 42, false, false},
	{"ip4opt tcp", PLAIN, IPV4, TCP, 46, 66, false, false},
	{"ip4 icmp", PLAIN, IPV4, NONE(1), false, false},
	{"ip6 tcp", PLAIN, IPV6, TCP, 54, 74, false, false},
	{"ip6 udp", PLAIN, IPV6, UDP, 54, 62, false, false},
	{"vlan ip4 tcp", PLAIN, 0x0800, 1, DISSECT_L3_IPV4, TCP, 38, 58, false, false},
	{"qinq vlan ip6 udp", PLAIN, 0x86dd, 2, DISSECT_L3_IPV6, UDP, 62, 70, false, false},
	{"oldq vlan ip4 udp", PLAIN, 0x0800, 2, DISSECT_L3_IPV4, UDP, 42, 50, false, false},
	{"qinq vlan vlan ip4 udp", PLAIN, OTHER(0x8100, 2)},
	{"arp", PLAIN, OTHER(0x0806, 0)},
	{"vlan arp", PLAIN, OTHER(0x0806, 1)},
	{"", PLAIN, OTHER(0x88b5, 0)},
	/* 802.3 with a length. */
	{"arp", CHANGES(FROM_START, 12, 0, FROM_START, 13, 38), OTHER(38, 0)},
	/* IPv4: version, header and total length, fragments, flags. */
	{"ip4 tcp", CHANGE(FROM_L3, 0, 0x65), OTHER(0x0800, 0)},
	{"ip4 tcp", CHANGE(FROM_L3, 0, 0x44), OTHER(0x0800, 0)},
	{"ip4 tcp", CHANGE(FROM_L3, 0, 0x40), OTHER(0x0800, 0)},
	{"ip4 tcp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 19), OTHER(0x0800, 0)},
	{"ip4 tcp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 0), OTHER(0x0800, 0)},
	{"ip4opt tcp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 31), OTHER(0x0800, 0)},
	{"ip4 tcp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 20), IPV4, NONE(6), false, false},
	{"ip4 tcp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 39), IPV4, NONE(6), false, false},
	{"ip4 tcp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 40), IPV4, TCP, 34, 54, false, false},
	{"ip4 udp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 27), IPV4, NONE(17), false, false},
	{"ip4 udp", CHANGES(FROM_L3, 2, 0, FROM_L3, 3, 28), IPV4, UDP, 34, 42, false, false},
	{"ip4 udp", CHANGE(FROM_L3, 6, 0x20), IPV4, NONE(17), true, false},
	{"ip4 udp", CHANGE(FROM_L3, 7, 1), IPV4, NONE(17), true, false},
	{"ip4 udp", CHANGE(FROM_L3, 6, 0x10), IPV4, NONE(17), true, false},
	{"ip4 udp", CHANGE(FROM_L3, 6, 0x40), IPV4, UDP, 34, 42, false, false},
	/* TCP's own length. */
	{"ip4 tcp", CHANGE(FROM_L4, 12, 0x40), IPV4, NONE(6), false, false},
	{"ip4 tcp", CHANGE(FROM_L4, 12, 0x00), IPV4, NONE(6), false, false},
	{"ip4 tcp", CHANGE(FROM_L4, 12, 0xf0), IPV4, TCP, 34, 94, false, false},
	{"ip6 tcp", CHANGES(FROM_L4, 12, 0xf0, FROM_L3, 4, 0), IPV6, TCP, 54, 114, false, false},
	/* IPv6: version, payload length, extensions. */
	{"ip6 tcp", CHANGE(FROM_L3, 0, 0x40), OTHER(0x86dd, 0)},
	{"ip6 udp", CHANGES(FROM_L3, 4, 0, FROM_L3, 5, 7), IPV6, NONE(17), false, false},
	{"ip6 udp", CHANGES(FROM_L3, 4, 0, FROM_L3, 5, 8), IPV6, UDP, 54, 62, false, false},
	{"ip6 udp", CHANGES(FROM_L3, 4, 0xff, FROM_L3, 5, 0xff), IPV6, UDP, 54, 62, false, false},
	{"ip6 hbh tcp", PLAIN, IPV6, TCP, 62, 82, false, true},
	{"ip6 hbh rt dst udp", PLAIN, IPV6, UDP, 94, 102, false, true},
	{"ip6 dst24 rt0 udp", PLAIN, IPV6, UDP, 118, 126, false, true},
	{"ip6 ah tcp", PLAIN, IPV6, TCP, 78, 98, false, true},
	{"ip6 frag udp", PLAIN, IPV6, NONE(17), true, true},
	{"ip6 hbh frag dst udp", PLAIN, IPV6, NONE(60), true, true},
	{"ip6 hbh icmp", PLAIN, IPV6, NONE(1), false, true},
	{"ip6 dst dst dst dst dst dst dst dst udp", PLAIN, IPV6, UDP, 118, 126, false, true},
	{"ip6 dst dst dst dst dst dst dst dst dst udp", PLAIN, IPV6, NONE(60), false, true},
	{"ip6 dst udp", CHANGE(FROM_EXT0, 1, 255), IPV6, NONE(60), false, false},
	{"ip6 dst udp", CHANGES(FROM_L3, 4, 0, FROM_L3, 5, 7), IPV6, NONE(60), false, false},
	{"ip6 dst24 udp", CHANGES(FROM_L3, 4, 0, FROM_L3, 5, 23), IPV6, NONE(60), false, false},
	{"qinq vlan ip6 hbh dst24 rt0 ah tcpopt", PLAIN, 0x86dd, 2, DISSECT_L3_IPV6, TCP, 158, 190,
	 false, true},
};

#define ROW_CNT (sizeof(rows) / sizeof(rows[0]))

static void build(struct frames_head *f, const struct row *row)
{
	frames_build(f, row->layers, PAYLOAD_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		const unsigned base[] = {
			[FROM_START] = 0,
			[FROM_L3] = f->l3,
			[FROM_L4] = f->l4,
			[FROM_EXT0] = f->ext[0],
		};

		if (row->change[i].at != END)
			f->bytes[base[row->change[i].from] + row->change[i].at] =
				row->change[i].value;
	}
}

static void assert_same(const struct dissection *a, const struct dissection *b)
{
	assert_int_equal(a->ip_bytes, b->ip_bytes);
	assert_int_equal(a->ether_type, b->ether_type);
	assert_int_equal(a->l3_offset, b->l3_offset);
	assert_int_equal(a->l4_offset, b->l4_offset);
	assert_int_equal(a->payload_offset, b->payload_offset);
	assert_int_equal(a->l3, b->l3);
	assert_int_equal(a->l4, b->l4);
	assert_int_equal(a->ip_proto, b->ip_proto);
	assert_int_equal(a->tag_cnt, b->tag_cnt);
	assert_int_equal(a->fragment, b->fragment);
	assert_int_equal(a->ipv6_extended, b->ipv6_extended);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_CNT; i++) {
		const struct row *row = &rows[i];
		struct frames_head f;
		struct dissection d, want = {
					     .ether_type = row->ether_type,
					     .l3 = row->l3,
					     .l4 = row->l4,
					     .l4_offset = row->l4_offset,
					     .payload_offset = row->payload_offset,
					     .ip_proto = row->proto,
					     .tag_cnt = row->tag_cnt,
					     .fragment = row->fragment,
					     .ipv6_extended = row->extended,
				     };

		print_message("[ row      ] %zu: %s\n", i, row->layers);
		build(&f, row);
		if (row->l3 != DISSECT_L3_OTHER) {
			want.l3_offset = (uint16_t)f.l3;
			want.ip_bytes = f.ipv6 ? 40 + frames_be16(f.bytes + f.l3 + 4)
					       : frames_be16(f.bytes + f.l3 + 2);
		}
		dissect(f.bytes, DISSECT_BYTES_MAX, &d);
		assert_same(&d, &want);
	}
}

/* What the cut leaves whole is found as before, what it does not is not there. */
static void assert_cut(const struct dissection *cut, const struct dissection *whole, unsigned len)
{
	if (cut->ether_type)
		assert_int_equal(cut->ether_type, whole->ether_type);
	else
		assert_true(len < ETHER_HEADER_BYTES + whole->tag_cnt * 4u);
	if (cut->l3 == DISSECT_L3_OTHER) {
		assert_int_equal(cut->l3_offset, 0);
		assert_true(whole->l3 == DISSECT_L3_OTHER ||
			    len < whole->l3_offset + (whole->l3 == DISSECT_L3_IPV4 ? 60u : 40u));
	} else {
		assert_int_equal(cut->l3, whole->l3);
		assert_int_equal(cut->l3_offset, whole->l3_offset);
		assert_int_equal(cut->ip_bytes, whole->ip_bytes);
		assert_true(len >= whole->l3_offset + (whole->l3 == DISSECT_L3_IPV4 ? 20u : 40u));
	}
	if (whole->l4 != DISSECT_L4_NONE && len >= whole->payload_offset) {
		assert_same(cut, whole);
		return;
	}
	assert_int_equal(cut->l4, DISSECT_L4_NONE);
	assert_int_equal(cut->l4_offset, 0);
	assert_int_equal(cut->payload_offset, 0);
}

static void test_cut_after_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROW_CNT; i++) {
		struct dissection whole, cut;
		struct frames_head f;

		build(&f, &rows[i]);
		dissect(f.bytes, DISSECT_BYTES_MAX, &whole);
		for (unsigned len = 0; len <= DISSECT_BYTES_MAX; len++) {
			/* Of its own size: ASan sees a byte too many. */
			uint8_t *exact = malloc(len + !len);

			assert_non_null(exact);
			memcpy(exact, f.bytes, len);
			dissect(exact, len, &cut);
			assert_cut(&cut, &whole, len);
			dissect_flow_hash(exact, len, &cut);
			free(exact);
		}
	}
}

/* A length of 0 behind a hop-by-hop header stands for one that is in its option. */
static void test_jumbogram(void **state)
{
	struct frames_head f;
	struct dissection d;

	(void)state;
	frames_build(&f, "ip6 hbh tcp", 0);
	frames_put16(f.bytes + f.l3 + 4, 0);
	dissect(f.bytes, f.len, &d);
	assert_int_equal(d.l3, DISSECT_L3_IPV6);
	assert_int_equal(d.ip_bytes, 0);
	assert_int_equal(d.l4, DISSECT_L4_NONE);
}

/* Nothing behind DISSECT_BYTES_MAX is looked at, even if it is there. */
static void test_longer_than_looked_at(void **state)
{
	struct frames_head f;
	struct dissection d;

	(void)state;
	frames_build(&f, "ip6 ah ah ah ah ah ah ah ah tcp", PAYLOAD_BYTES);
	dissect(f.bytes, f.len, &d);
	assert_int_equal(f.l4, 246);
	assert_int_equal(d.l4, DISSECT_L4_NONE);
	assert_int_equal(d.ip_proto, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_cut_after_every_byte),
		cmocka_unit_test(test_jumbogram),
		cmocka_unit_test(test_longer_than_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
