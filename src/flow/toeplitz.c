/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Toeplitz by nibbles of the input, and VIRTIO's choice of a hash type for a frame.
 * Not a dissector: offsets are dissect()'s; only addresses in IPv6 extension headers are looked
 * for here, where a type asks for them.
 */
#include "flow/toeplitz.h"

#include <string.h>

#include "base/check.h"
#include "base/compiler.h"
#include "flow/flow_priv.h"

#define INPUT_BYTES_MAX 36u
#define IPV4_ADDRESSES_BYTES 8u
#define IPV6_ADDRESSES_BYTES (2 * IPV6_ADDRESS_BYTES)
#define PORTS_BYTES 4u

/* RFC 6275, 6.3 and 6.4. */
#define HOME_ADDRESS_OPTION 201
#define HOME_ADDRESS_AT 2u
#define ROUTING_TYPE_HOME 2
#define ROUTING_TYPE_AT 2u
#define ROUTING_ADDRESS_AT 8u
#define OPTION_PAD1 0

#define BIT(type) (1u << (type))

const uint8_t toeplitz_key_default[TOEPLITZ_KEY_BYTES] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

/* A period of 16 bits: fields that change places, each a multiple of 16 bits long, hash alike. */
const uint8_t toeplitz_key_symmetric[TOEPLITZ_KEY_BYTES] = {
	0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
	0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
	0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a, 0x6d, 0x5a,
};

const char *hash_type_name(enum hash_type type)
{
	static const char *const names[] = {
		[HASH_TYPE_IPV4] = "ipv4",     [HASH_TYPE_TCPV4] = "tcpv4",
		[HASH_TYPE_UDPV4] = "udpv4",   [HASH_TYPE_IPV6] = "ipv6",
		[HASH_TYPE_TCPV6] = "tcpv6",   [HASH_TYPE_UDPV6] = "udpv6",
		[HASH_TYPE_IP_EX] = "ip_ex",   [HASH_TYPE_TCP_EX] = "tcp_ex",
		[HASH_TYPE_UDP_EX] = "udp_ex",
	};

	return (unsigned)type < ARRAY_LEN(names) ? names[type] : NULL;
}

/* The 32 bits of the key from bit `at` on. */
static uint32_t key_window(const uint8_t *key, unsigned at)
{
	uint32_t window = be32_get(key + at / 8);
	unsigned shift = at % 8;

	if (shift)
		window = window << shift | key[at / 8 + 4] >> (8 - shift);
	return window;
}

void toeplitz_init(struct toeplitz *toeplitz, const uint8_t *key, unsigned key_bytes)
{
	if (key_bytes > TOEPLITZ_KEY_BYTES)
		key_bytes = TOEPLITZ_KEY_BYTES;
	memset(toeplitz->key, 0, sizeof(toeplitz->key));
	memcpy(toeplitz->key, key, key_bytes);
	for (unsigned n = 0; n < ARRAY_LEN(toeplitz->nibbles); n++) {
		uint32_t *nibble = toeplitz->nibbles[n];

		nibble[0] = 0;
		/* The first bit of the input is the highest one of its byte. */
		for (unsigned bit = 0; bit < 4; bit++)
			nibble[8 >> bit] = key_window(toeplitz->key, n * 4 + bit);
		for (unsigned v = 3; v < 16; v++)
			nibble[v] = nibble[v & (v - 1)] ^ nibble[v & -v];
	}
}

/* Input bytes that begin at byte `at` of the whole; bytes is a constant where it matters. */
static ALWAYS_INLINE uint32_t hash_part(const struct toeplitz *toeplitz, unsigned at,
					const uint8_t *input, unsigned bytes)
{
	const uint32_t(*nibble)[16] = &toeplitz->nibbles[at * 2];
	uint32_t hash = 0;

#pragma GCC unroll 8
	for (unsigned i = 0; i < bytes; i++)
		hash ^= nibble[i * 2][input[i] >> 4] ^ nibble[i * 2 + 1][input[i] & 15];
	return hash;
}

uint32_t toeplitz_hash(const struct toeplitz *toeplitz, const uint8_t *input, unsigned bytes)
{
	CHECK(bytes <= INPUT_BYTES_MAX);
	return hash_part(toeplitz, 0, input, bytes);
}

static ALWAYS_INLINE struct flow_hash hash_of(uint32_t hash, enum hash_type type)
{
	return (struct flow_hash){.hash = hash, .report = (uint16_t)(type + 1)};
}

static ALWAYS_INLINE struct flow_hash hash_ipv4(const struct toeplitz *toeplitz, uint32_t types,
						const uint8_t *head, const struct dissection *d)
{
	enum hash_type type = d->l4 == DISSECT_L4_TCP ? HASH_TYPE_TCPV4 : HASH_TYPE_UDPV4;
	bool ports = d->l4 != DISSECT_L4_NONE && types & BIT(type);
	uint32_t hash;

	if (!ports) {
		type = HASH_TYPE_IPV4;
		if (!(types & BIT(type)))
			return (struct flow_hash){0};
	}
	hash = hash_part(toeplitz, 0, head + d->l3_offset + IPV4_SOURCE, IPV4_ADDRESSES_BYTES);
	if (ports)
		hash ^= hash_part(toeplitz, IPV4_ADDRESSES_BYTES, head + d->l4_offset, PORTS_BYTES);
	return hash_of(hash, type);
}

/* The home address in destination options of that many bytes, or NULL. */
static const uint8_t *find_home_address(const uint8_t *options, unsigned bytes)
{
	unsigned at = 2;

	while (at + 2 <= bytes) {
		unsigned option_bytes = options[at + 1] + 2u;

		if (options[at] == OPTION_PAD1) {
			at++;
			continue;
		}
		if (at + option_bytes > bytes)
			return NULL;
		if (options[at] == HOME_ADDRESS_OPTION &&
		    option_bytes == HOME_ADDRESS_AT + IPV6_ADDRESS_BYTES)
			return options + at + HOME_ADDRESS_AT;
		at += option_bytes;
	}
	return NULL;
}

/*
 * The addresses of mobile nodes, in the headers before a fragment's. Where there are none,
 * *source and *destination stay what they are.
 */
static void find_mobile_addresses(const uint8_t *head, unsigned head_bytes,
				  const struct dissection *d, const uint8_t **source,
				  const uint8_t **destination)
{
	unsigned end = head_bytes < DISSECT_BYTES_MAX ? head_bytes : DISSECT_BYTES_MAX;
	unsigned at = d->l3_offset + IPV6_HEADER_BYTES;
	uint8_t proto = head[d->l3_offset + IPV6_NEXT_HEADER];

	if (d->l3_offset + d->ip_bytes < end)
		end = d->l3_offset + d->ip_bytes;
	for (unsigned i = 0; i < IPV6_EXTENSION_CNT_MAX && ipv6_is_extension(proto); i++) {
		const uint8_t *extension = head + at;
		const uint8_t *home;
		unsigned bytes;

		if (proto == IP_PROTO_FRAGMENT || at + IPV6_EXTENSION_BYTES_MIN > end)
			return;
		bytes = ipv6_extension_bytes(proto, extension[1]);
		if (at + bytes > end)
			return;
		if (proto == IP_PROTO_ROUTING && extension[ROUTING_TYPE_AT] == ROUTING_TYPE_HOME &&
		    bytes == ROUTING_ADDRESS_AT + IPV6_ADDRESS_BYTES)
			*destination = extension + ROUTING_ADDRESS_AT;
		if (proto == IP_PROTO_DESTINATION) {
			home = find_home_address(extension, bytes);
			if (home)
				*source = home;
		}
		proto = extension[0];
		at += bytes;
	}
}

/* 5.1.6.4.3.4 "IPv6 packets with extension header": the types of its own, in the order there. */
static NOINLINE bool hash_ipv6_extended(const struct toeplitz *toeplitz, uint32_t types,
					const uint8_t *head, unsigned head_bytes,
					const struct dissection *d, struct flow_hash *out)
{
	const uint8_t *source = head + d->l3_offset + IPV6_SOURCE;
	const uint8_t *destination = head + d->l3_offset + IPV6_DESTINATION;
	enum hash_type type = d->l4 == DISSECT_L4_TCP ? HASH_TYPE_TCP_EX : HASH_TYPE_UDP_EX;
	bool ports = d->l4 != DISSECT_L4_NONE && types & BIT(type);
	uint32_t hash;

	if (!ports) {
		type = HASH_TYPE_IP_EX;
		if (!(types & BIT(type)))
			return false;
	}
	find_mobile_addresses(head, head_bytes, d, &source, &destination);
	hash = hash_part(toeplitz, 0, source, IPV6_ADDRESS_BYTES) ^
	       hash_part(toeplitz, IPV6_ADDRESS_BYTES, destination, IPV6_ADDRESS_BYTES);
	if (ports)
		hash ^= hash_part(toeplitz, IPV6_ADDRESSES_BYTES, head + d->l4_offset, PORTS_BYTES);
	*out = hash_of(hash, type);
	return true;
}

static ALWAYS_INLINE struct flow_hash hash_ipv6(const struct toeplitz *toeplitz, uint32_t types,
						const uint8_t *head, unsigned head_bytes,
						const struct dissection *d)
{
	enum hash_type type = d->l4 == DISSECT_L4_TCP ? HASH_TYPE_TCPV6 : HASH_TYPE_UDPV6;
	bool ports = d->l4 != DISSECT_L4_NONE && types & BIT(type);
	struct flow_hash extended;
	uint32_t hash;

	if (unlikely(d->ipv6_extended) &&
	    hash_ipv6_extended(toeplitz, types, head, head_bytes, d, &extended))
		return extended;
	if (!ports) {
		type = HASH_TYPE_IPV6;
		if (!(types & BIT(type)))
			return (struct flow_hash){0};
	}
	hash = hash_part(toeplitz, 0, head + d->l3_offset + IPV6_SOURCE, IPV6_ADDRESSES_BYTES);
	if (ports)
		hash ^= hash_part(toeplitz, IPV6_ADDRESSES_BYTES, head + d->l4_offset, PORTS_BYTES);
	return hash_of(hash, type);
}

struct flow_hash toeplitz_frame(const struct toeplitz *toeplitz, uint32_t types,
				const uint8_t *head, unsigned head_bytes,
				const struct dissection *d)
{
	if (d->l3 == DISSECT_L3_IPV4)
		return hash_ipv4(toeplitz, types, head, d);
	if (d->l3 == DISSECT_L3_IPV6)
		return hash_ipv6(toeplitz, types, head, head_bytes, d);
	return (struct flow_hash){0};
}
