/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow hash: the same both ways, of the right fields, spread over its low and high bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "flow/dissect.h"
#include "frames.h"

static uint32_t hash_of(const struct frames_head *f)
{
	struct dissection d;

	dissect(f->bytes, f->len, &d);
	return dissect_flow_hash(f->bytes, f->len, &d);
}

static void swap(uint8_t *a, unsigned distance)
{
	uint8_t kept[16];

	memcpy(kept, a, distance);
	memmove(a, a + distance, distance);
	memcpy(a + distance, kept, distance);
}

static void test_both_ways(void **state)
{
	static const char *const layers[] = {
		"ip4 tcp",        "ip4opt udp", "ip4 icmp", "ip6 tcp", "vlan ip6 hbh udp",
		"ip6 frag dst24", "arp",        "vlan arp", "",
	};
	uint64_t seed = 4;

	(void)state;
	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		for (unsigned round = 0; round < 100; round++) {
			struct frames_head f;
			unsigned address;
			uint32_t hash;

			frames_build(&f, layers[i], 0);
			address = f.ipv6 ? 16 : 4;
			frames_random(f.bytes, 12, &seed);
			if (f.l3)
				frames_random(f.bytes + f.l3 + (f.ipv6 ? 8 : 12), 2 * address,
					      &seed);
			if (f.l4)
				frames_random(f.bytes + f.l4, 4, &seed);
			hash = hash_of(&f);
			swap(f.bytes, 6);
			if (f.l3)
				swap(f.bytes + f.l3 + (f.ipv6 ? 8 : 12), address);
			if (f.l4 && strcmp(layers[i], "ip4 icmp"))
				swap(f.bytes + f.l4, 2);
			assert_int_equal(hash_of(&f), hash);
		}
	}
}

/* Which bytes count: each bit of them changes the hash, no other byte does. */
static void test_fields(void **state)
{
	static const struct {
		const char *layers;
		unsigned first[2], end[2]; /* ranges that count */
	} rows[] = {
		{"ip4 udp", {26, 34}, {34, 38}},    {"ip4 tcp", {26, 34}, {34, 38}},
		{"ip4 icmp", {26, 0}, {34, 0}},     {"vlan ip6 udp", {26, 58}, {58, 62}},
		{"ip6 frag udp", {22, 0}, {54, 0}}, {"arp", {0, 0}, {12, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frames_head f;
		struct dissection d;
		uint32_t hash;

		frames_build(&f, rows[i].layers, 0);
		dissect(f.bytes, f.len, &d);
		hash = dissect_flow_hash(f.bytes, f.len, &d);
		for (unsigned bit = 0; bit < f.len * 8; bit++) {
			unsigned at = bit / 8;
			bool counts = false;

			for (unsigned k = 0; k < 2; k++)
				counts |= at >= rows[i].first[k] && at < rows[i].end[k];
			f.bytes[at] ^= (uint8_t)(1u << bit % 8);
			if (counts)
				assert_int_not_equal(dissect_flow_hash(f.bytes, f.len, &d), hash);
			else
				assert_int_equal(dissect_flow_hash(f.bytes, f.len, &d), hash);
			f.bytes[at] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

#define FLOW_CNT 16384u
#define BUCKET_CNT 64u

/* Flows that differ in one field that counts up; buckets by each end of the hash. */
static void assert_spread(const char *layers, unsigned at, unsigned step)
{
	unsigned low[BUCKET_CNT] = {0}, high[BUCKET_CNT] = {0};
	struct frames_head f;

	frames_build(&f, layers, 0);
	for (unsigned i = 0; i < FLOW_CNT; i++) {
		uint32_t hash;

		frames_put16(f.bytes + at, i * step);
		hash = hash_of(&f);
		low[hash % BUCKET_CNT]++;
		high[hash >> 26]++;
	}
	for (unsigned i = 0; i < BUCKET_CNT; i++) {
		assert_in_range(low[i], FLOW_CNT / BUCKET_CNT * 2 / 3,
				FLOW_CNT / BUCKET_CNT * 3 / 2);
		assert_in_range(high[i], FLOW_CNT / BUCKET_CNT * 2 / 3,
				FLOW_CNT / BUCKET_CNT * 3 / 2);
	}
}

static void test_spread(void **state)
{
	(void)state;
	assert_spread("ip4 tcp", 34, 1);  /* source port */
	assert_spread("ip4 tcp", 36, 1);  /* destination port */
	assert_spread("ip4 udp", 34, 4);  /* every fourth */
	assert_spread("ip4 icmp", 28, 1); /* low half of the source address */
	assert_spread("ip4 icmp", 30, 1); /* high half of the destination address */
	assert_spread("ip6 tcp", 54, 1);  /* source port */
	assert_spread("ip6 icmp", 36, 1); /* end of the source address */
	assert_spread("ip6 icmp", 44, 1); /* middle of the destination address */
	assert_spread("arp", 10, 1);      /* end of the source MAC address */
}

/* Fewer bytes than two addresses: nothing to tell flows apart. */
static void test_no_addresses(void **state)
{
	static const uint8_t head[11] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
	static const uint8_t other[11] = {0};
	struct dissection d;

	(void)state;
	dissect(head, sizeof(head), &d);
	assert_int_equal(dissect_flow_hash(head, sizeof(head), &d),
			 dissect_flow_hash(other, sizeof(other), &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_no_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
