/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Toeplitz hash: published vectors, the definition bit by bit, and which fields of a frame
 * go into it (VIRTIO 1.3, 5.1.6.4.3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "flow/toeplitz.h"
#include "frames.h"

#define TYPE(t) (1u << HASH_TYPE_##t)

/* By the definition: for each bit of input that is set, the key's 32 bits that begin there. */
static uint32_t slow_hash(const uint8_t *key, const uint8_t *input, unsigned bytes)
{
	uint32_t hash = 0;

	for (unsigned bit = 0; bit < bytes * 8; bit++) {
		if (!(input[bit / 8] >> (7 - bit % 8) & 1))
			continue;
		for (unsigned i = 0; i < 32; i++) {
			unsigned at = bit + i;
			uint32_t v = at < TOEPLITZ_KEY_BYTES * 8 ? key[at / 8] >> (7 - at % 8) & 1u
								 : 0;

			hash ^= v << (31 - i);
		}
	}
	return hash;
}

struct vector {
	const char *source, *destination;
	uint16_t source_port, destination_port;
	uint32_t ip, l4;
};

/* Microsoft, "Verifying the RSS Hash Calculation". */
static const struct vector vectors[] = {
	{"66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178},
	{"199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea},
	{"24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
	{"38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f},
	{"153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2},
	{"3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5, 0x40207d3d},
	{"3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c, 0xdde51bbf},
	{"3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024,
	 0x4b61e985, 0x02d1feef},
};

static void vector_frame(struct frames_head *f, const struct vector *v, const char *l4)
{
	bool ipv6 = strchr(v->source, ':') != NULL;
	char layers[32];

	snprintf(layers, sizeof(layers), "%s %s", ipv6 ? "vlan ip6" : "ip4", l4);
	frames_build(f, layers, 0);
	assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, v->source,
				   f->bytes + f->l3 + (ipv6 ? 8 : 12)),
			 1);
	assert_int_equal(inet_pton(ipv6 ? AF_INET6 : AF_INET, v->destination,
				   f->bytes + f->l3 + (ipv6 ? 24 : 16)),
			 1);
	if (f->l4) {
		frames_put16(f->bytes + f->l4, v->source_port);
		frames_put16(f->bytes + f->l4 + 2, v->destination_port);
	}
}

static struct flow_hash hash_of(const struct toeplitz *toeplitz, uint32_t types,
				const struct frames_head *f)
{
	struct dissection d;

	dissect(f->bytes, f->len, &d);
	return toeplitz_frame(toeplitz, types, f->bytes, f->len, &d);
}

static void expect(const struct toeplitz *toeplitz, uint32_t types, const struct frames_head *f,
		   uint32_t hash, unsigned report)
{
	struct flow_hash got = hash_of(toeplitz, types, f);

	assert_int_equal(got.report, report);
	assert_int_equal(got.hash, hash);
}

static void test_published_vectors(void **state)
{
	static struct toeplitz toeplitz;
	struct frames_head f;

	(void)state;
	toeplitz_init(&toeplitz, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		unsigned first = strchr(v->source, ':') ? HASH_TYPE_IPV6 : HASH_TYPE_IPV4;

		vector_frame(&f, v, "tcp");
		expect(&toeplitz, HASH_TYPES_ALL, &f, v->l4, first + 2);
		expect(&toeplitz, 1u << first, &f, v->ip, first + 1);
		vector_frame(&f, v, "udp");
		expect(&toeplitz, HASH_TYPES_ALL, &f, v->l4, first + 3);
		vector_frame(&f, v, "icmp");
		expect(&toeplitz, HASH_TYPES_ALL, &f, v->ip, first + 1);
	}
}

static void test_definition(void **state)
{
	static struct toeplitz toeplitz;
	uint8_t key[TOEPLITZ_KEY_BYTES], input[36];
	uint64_t seed = 11;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		unsigned bytes = round % 37;

		frames_random(key, sizeof(key), &seed);
		frames_random(input, sizeof(input), &seed);
		toeplitz_init(&toeplitz, key, sizeof(key));
		assert_int_equal(toeplitz_hash(&toeplitz, input, bytes),
				 slow_hash(key, input, bytes));
	}
}

static void test_short_keys_end_in_zeroes(void **state)
{
	static struct toeplitz toeplitz;
	uint8_t input[36];
	uint64_t seed = 12;

	(void)state;
	frames_random(input, sizeof(input), &seed);
	for (unsigned bytes = 1; bytes < TOEPLITZ_KEY_BYTES; bytes++) {
		uint8_t padded[TOEPLITZ_KEY_BYTES] = {0};

		memcpy(padded, toeplitz_key_default, bytes);
		toeplitz_init(&toeplitz, toeplitz_key_default, bytes);
		assert_int_equal(toeplitz_hash(&toeplitz, input, sizeof(input)),
				 slow_hash(padded, input, sizeof(input)));
	}
}

static void swap(uint8_t *a, unsigned distance)
{
	uint8_t kept[16];

	memcpy(kept, a, distance);
	memmove(a, a + distance, distance);
	memcpy(a + distance, kept, distance);
}

/* Of 1,000 flows the default key sends hardly one both ways to the same hash. */
static void test_symmetric_key(void **state)
{
	static struct toeplitz symmetric, other;
	uint64_t seed = 13;

	(void)state;
	toeplitz_init(&symmetric, toeplitz_key_symmetric, TOEPLITZ_KEY_BYTES);
	toeplitz_init(&other, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	for (unsigned round = 0; round < 1000; round++) {
		bool ipv6 = round & 1;
		unsigned address = ipv6 ? 16 : 4;
		struct flow_hash there, there_other;
		struct frames_head f;

		frames_build(&f, ipv6 ? "ip6 udp" : "ip4 tcp", 0);
		frames_random(f.bytes + f.l3 + (ipv6 ? 8 : 12), 2 * address, &seed);
		frames_random(f.bytes + f.l4, 4, &seed);
		there = hash_of(&symmetric, HASH_TYPES_ALL, &f);
		there_other = hash_of(&other, HASH_TYPES_ALL, &f);
		swap(f.bytes + f.l3 + (ipv6 ? 8 : 12), address);
		swap(f.bytes + f.l4, 2);
		assert_int_equal(hash_of(&symmetric, HASH_TYPES_ALL, &f).hash, there.hash);
		assert_int_not_equal(hash_of(&other, HASH_TYPES_ALL, &f).hash, there_other.hash);
	}
}

struct choice {
	const char *layers;
	uint32_t types;
	unsigned report;
};

/* The type that is reported where each of some types are enabled. */
static void test_selection(void **state)
{
	static const struct choice choices[] = {
		{"ip4 tcp", HASH_TYPES_ALL, 2},
		{"ip4 tcp", TYPE(IPV4) | TYPE(UDPV4) | TYPE(TCPV6), 1},
		{"ip4 tcp", TYPE(UDPV4), 0},
		{"ip4 tcp", TYPE(TCPV4), 2},
		{"ip4 tcp", 0, 0},
		{"ip4 tcp", TYPE(IPV6) | TYPE(TCPV6) | TYPE(IP_EX) | TYPE(TCP_EX), 0},
		{"ip4opt udp", HASH_TYPES_ALL, 3},
		{"ip4 udp", TYPE(IPV4) | TYPE(TCPV4), 1},
		{"ip4 icmp", TYPE(TCPV4) | TYPE(UDPV4), 0},
		{"ip4 icmp", TYPE(TCPV4) | TYPE(IPV4), 1},
		{"vlan ip6 tcp", HASH_TYPES_ALL, 5},
		{"qinq vlan ip6 udp", HASH_TYPES_ALL, 6},
		{"ip6 udp", TYPE(IPV6) | TYPE(TCPV6), 4},
		{"ip6 icmp", HASH_TYPES_ALL, 4},
		/* Types of extension headers do not stand in for plain ones. */
		{"ip6 udp", TYPE(IP_EX) | TYPE(TCP_EX) | TYPE(UDP_EX), 0},
		{"ip6 dst tcp", HASH_TYPES_ALL, 8},
		{"ip6 hbh udp", HASH_TYPES_ALL, 9},
		{"ip6 hbh icmp", HASH_TYPES_ALL, 7},
		/* "Else if IP_EX is set" comes before "else skip extension headers". */
		{"ip6 dst tcp", TYPE(IP_EX) | TYPE(TCPV6) | TYPE(UDP_EX), 7},
		{"ip6 dst tcp", TYPE(TCPV6) | TYPE(UDP_EX), 5},
		{"ip6 dst tcp", TYPE(IPV6) | TYPE(UDP_EX), 4},
		{"ip6 dst udp", TYPE(UDPV6) | TYPE(TCP_EX), 6},
		{"ip6 dst udp", TYPE(TCPV6) | TYPE(TCP_EX), 0},
		{"ip6 frag tcp", HASH_TYPES_ALL, 7},
		{"ip6 frag tcp", HASH_TYPES_ALL & ~TYPE(IP_EX), 4},
		{"ip6 frag tcp", TYPE(TCPV6) | TYPE(TCP_EX), 0},
		{"arp", HASH_TYPES_ALL, 0},
		{"vlan arp", HASH_TYPES_ALL, 0},
		{"", HASH_TYPES_ALL, 0},
	};
	static struct toeplitz toeplitz;
	struct frames_head f;

	(void)state;
	toeplitz_init(&toeplitz, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		struct flow_hash got;

		frames_build(&f, choices[i].layers, 0);
		got = hash_of(&toeplitz, choices[i].types, &f);
		if (got.report != choices[i].report)
			fail_msg("%s with types 0x%x: report %u", choices[i].layers,
				 choices[i].types, got.report);
		if (!got.report)
			assert_int_equal(got.hash, 0);
	}
}

/* All fragments of a datagram have one hash, the first one's ports or not. */
static void test_fragments(void **state)
{
	static struct toeplitz toeplitz;
	struct frames_head f;
	uint32_t want;

	(void)state;
	toeplitz_init(&toeplitz, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	frames_build(&f, "ip4 udp", 1000);
	want = slow_hash(toeplitz_key_default, f.bytes + f.l3 + 12, 8);
	frames_put16(f.bytes + f.l3 + 6, 0x2000);
	expect(&toeplitz, HASH_TYPES_ALL, &f, want, HASH_TYPE_IPV4 + 1);
	frames_put16(f.bytes + f.l3 + 6, 0x2010);
	f.bytes[f.l4] ^= 0xff;
	expect(&toeplitz, HASH_TYPES_ALL, &f, want, HASH_TYPE_IPV4 + 1);
	frames_put16(f.bytes + f.l3 + 6, 0x0020);
	expect(&toeplitz, HASH_TYPES_ALL, &f, want, HASH_TYPE_IPV4 + 1);
	expect(&toeplitz, TYPE(UDPV4), &f, 0, 0);
}

/* What the definition gives for these addresses and the frame's ports, if it has any. */
static uint32_t extended_hash(const uint8_t *source, const uint8_t *destination,
			      const uint8_t *ports)
{
	uint8_t input[36];

	memcpy(input, source, 16);
	memcpy(input + 16, destination, 16);
	if (ports)
		memcpy(input + 32, ports, 4);
	return slow_hash(toeplitz_key_default, input, ports ? 36 : 32);
}

static void test_mobile_addresses(void **state)
{
	static struct toeplitz toeplitz;
	struct frames_head f;
	const uint8_t *ip, *ports;

	(void)state;
	toeplitz_init(&toeplitz, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	frames_build(&f, "ip6 home tcp", 0);
	ip = f.bytes + f.l3;
	ports = f.bytes + f.l4;
	expect(&toeplitz, HASH_TYPES_ALL, &f, extended_hash(f.bytes + f.ext[0] + 8, ip + 24, ports),
	       HASH_TYPE_TCP_EX + 1);
	/* Types that know nothing of them take the addresses of the IP header. */
	expect(&toeplitz, TYPE(TCPV6), &f, extended_hash(ip + 8, ip + 24, ports),
	       HASH_TYPE_TCPV6 + 1);
	frames_build(&f, "ip6 hbh rt2 home udp", 0);
	ip = f.bytes + f.l3;
	expect(&toeplitz, HASH_TYPES_ALL, &f,
	       extended_hash(f.bytes + f.ext[2] + 8, f.bytes + f.ext[1] + 8, f.bytes + f.l4),
	       HASH_TYPE_UDP_EX + 1);
	expect(&toeplitz, TYPE(IP_EX), &f,
	       extended_hash(f.bytes + f.ext[2] + 8, f.bytes + f.ext[1] + 8, NULL),
	       HASH_TYPE_IP_EX + 1);
	/* Before a fragment header they count, behind it they are data. */
	frames_build(&f, "ip6 rt2 frag home udp", 0);
	ip = f.bytes + f.l3;
	expect(&toeplitz, HASH_TYPES_ALL, &f, extended_hash(ip + 8, f.bytes + f.ext[0] + 8, NULL),
	       HASH_TYPE_IP_EX + 1);
	/* Other routing headers and options say nothing. */
	frames_build(&f, "ip6 rt0 dst24 tcp", 0);
	ip = f.bytes + f.l3;
	expect(&toeplitz, HASH_TYPES_ALL, &f, extended_hash(ip + 8, ip + 24, f.bytes + f.l4),
	       HASH_TYPE_TCP_EX + 1);
}

/* An option that claims more than its header has, or another length, is no home address. */
static void test_mobile_options_that_lie(void **state)
{
	static struct toeplitz toeplitz;
	struct frames_head f;
	const uint8_t *ip;
	uint32_t plain;

	(void)state;
	toeplitz_init(&toeplitz, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	frames_build(&f, "ip6 home rt2 tcp", 0);
	ip = f.bytes + f.l3;
	f.bytes[f.ext[1] + 1] = 1;
	plain = extended_hash(ip + 8, ip + 24, NULL);
	for (unsigned length = 0; length < 256; length++) {
		if (length == 16)
			continue;
		f.bytes[f.ext[0] + 7] = (uint8_t)length;
		expect(&toeplitz, TYPE(IP_EX), &f, plain, HASH_TYPE_IP_EX + 1);
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(hash_type_name(HASH_TYPE_IPV4), "ipv4");
	assert_string_equal(hash_type_name(HASH_TYPE_UDP_EX), "udp_ex");
	for (unsigned i = 0; i < HASH_TYPE_MAX_; i++)
		assert_non_null(hash_type_name(i));
	assert_null(hash_type_name(HASH_TYPE_MAX_));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_definition),
		cmocka_unit_test(test_short_keys_end_in_zeroes),
		cmocka_unit_test(test_symmetric_key),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_mobile_addresses),
		cmocka_unit_test(test_mobile_options_that_lie),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
