/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 10,000 random flows of each hash type, as whole frames, land where DPDK's rte_softrss() and a
 * look-up in the table say.
 * Not a test of the selection among types, which is tests/unit/flow/test_toeplitz.c.
 *
 * Tuples are made first; DPDK hashes the tuple, and pario the frame that is built from it, which
 * has tags, options, extension headers and a payload as chance will have it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/steering.h"

/* Last: DPDK defines container_of() where nobody has. */
#include <rte_thash.h>

#define FLOWS_A_TYPE 10000u
/* A key and a table serve so many flows. */
#define FLOWS_A_KEY 50u
#define TYPE(t) (1u << (t))

struct flow {
	uint8_t source[16], destination[16]; /* of the hash */
	uint16_t source_port, destination_port;
};

struct frame {
	uint8_t bytes[DISSECT_BYTES_MAX];
	unsigned len;
	unsigned next; /* of the field that says what follows */
};

static uint64_t seed = 20261128;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

static unsigned random_below(unsigned n)
{
	return (unsigned)((random64() >> 32) % n);
}

static void random_bytes(uint8_t *dst, size_t len)
{
	for (size_t i = 0; i < len; i++)
		dst[i] = (uint8_t)(random64() >> 56);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static bool is_ipv6(enum hash_type type)
{
	return type >= HASH_TYPE_IPV6;
}

static bool is_extended(enum hash_type type)
{
	return type >= HASH_TYPE_IP_EX;
}

static bool has_ports(enum hash_type type)
{
	return type % 3 != HASH_TYPE_IPV4;
}

static uint8_t *append(struct frame *f, unsigned bytes)
{
	uint8_t *at = f->bytes + f->len;

	memset(at, 0, bytes);
	f->len += bytes;
	return at;
}

static void append_ether(struct frame *f, bool ipv6)
{
	memset(f, 0, sizeof(*f));
	random_bytes(append(f, 12), 12);
	for (unsigned tags = random_below(3); tags; tags--) {
		uint8_t *tag = append(f, 4);

		put16(tag, tags == 2 ? ETHER_TYPE_QINQ : ETHER_TYPE_VLAN);
		put16(tag + 2, random_below(65536));
	}
	put16(append(f, 2), ipv6 ? ETHER_TYPE_IPV6 : ETHER_TYPE_IPV4);
}

static void append_ipv4(struct frame *f, const struct flow *flow, unsigned rest_bytes)
{
	unsigned header_bytes = 20 + 4 * random_below(11);
	unsigned at = f->len;
	uint8_t *ip = append(f, header_bytes);

	random_bytes(ip, header_bytes);
	ip[0] = (uint8_t)(0x40 | header_bytes / 4);
	put16(ip + 2, header_bytes + rest_bytes);
	/* Don't fragment, or not; never a fragment. */
	put16(ip + 6, random_below(2) ? 0x4000 : 0);
	memcpy(ip + 12, flow->source, 4);
	memcpy(ip + 16, flow->destination, 4);
	f->next = at + 9;
}

static uint8_t *append_extension(struct frame *f, uint8_t proto, unsigned bytes)
{
	unsigned at = f->len;
	uint8_t *extension = append(f, bytes);

	f->bytes[f->next] = proto;
	extension[1] = (uint8_t)(bytes / 8 - 1);
	f->next = at;
	return extension;
}

/*
 * Hop-by-hop options, a routing header of type 2 and destination options, each by chance, one of
 * them at least. Where the flow's addresses are those of a mobile node the IP header has others.
 */
static void append_extensions(struct frame *f, const struct flow *flow, bool hashed, uint8_t *ip)
{
	unsigned which = 1 + random_below(7);
	uint8_t *extension;

	if (which & 1) {
		extension = append_extension(f, 0, 8);
		extension[2] = 1;
		extension[3] = 4;
	}
	if (which & 2) {
		extension = append_extension(f, 43, 24);
		extension[2] = 2;
		extension[3] = 1;
		random_bytes(extension + 8, 16);
		if (hashed) {
			random_bytes(ip + 24, 16);
			memcpy(extension + 8, flow->destination, 16);
		}
	}
	if (which & 4) {
		extension = append_extension(f, 60, 24);
		/* Padding before it: of two bytes, then of one byte twice. */
		extension[2] = 1;
		extension[3] = 0;
		extension[6] = 201;
		extension[7] = 16;
		random_bytes(extension + 8, 16);
		if (hashed) {
			random_bytes(ip + 8, 16);
			memcpy(extension + 8, flow->source, 16);
		}
	}
}

static void append_ipv6(struct frame *f, const struct flow *flow, enum hash_type type,
			unsigned rest_bytes)
{
	unsigned at = f->len;
	uint8_t *ip = append(f, 40);

	random_bytes(ip, 8);
	ip[0] = (uint8_t)(0x60 | (ip[0] & 15));
	memcpy(ip + 8, flow->source, 16);
	memcpy(ip + 24, flow->destination, 16);
	f->next = at + 6;
	if (is_extended(type))
		append_extensions(f, flow, true, ip);
	else if (random_below(2))
		append_extensions(f, flow, false, ip);
	put16(ip + 4, f->len - at - 40 + rest_bytes);
}

static void append_l4(struct frame *f, const struct flow *flow, bool tcp)
{
	uint8_t *l4 = append(f, tcp ? 20 : 8);

	f->bytes[f->next] = tcp ? IP_PROTO_TCP : IP_PROTO_UDP;
	put16(l4, flow->source_port);
	put16(l4 + 2, flow->destination_port);
	if (tcp)
		l4[12] = 0x50;
	else
		put16(l4 + 4, 8);
}

/* Of types without ports the frame has some all the same, or is ICMP. */
static void build(struct frame *f, const struct flow *flow, enum hash_type type)
{
	bool tcp = has_ports(type) ? type % 3 == HASH_TYPE_TCPV4 : random_below(2);
	unsigned payload_bytes = random_below(16);
	unsigned l4_bytes = tcp ? 20 : 8;
	uint8_t *payload;

	append_ether(f, is_ipv6(type));
	if (is_ipv6(type))
		append_ipv6(f, flow, type, l4_bytes + payload_bytes);
	else
		append_ipv4(f, flow, l4_bytes + payload_bytes);
	append_l4(f, flow, tcp);
	if (!has_ports(type) && random_below(3) == 0)
		f->bytes[f->next] = is_ipv6(type) ? 58 : 1;
	payload = append(f, payload_bytes);
	random_bytes(payload, payload_bytes);
}

/* By DPDK: words of the tuple in the host's order. */
static uint32_t softrss(const struct flow *flow, enum hash_type type, const uint8_t *key)
{
	unsigned address_words = is_ipv6(type) ? 4 : 1;
	union rte_thash_tuple tuple;
	uint32_t *word = (uint32_t *)&tuple;

	for (unsigned i = 0; i < address_words; i++) {
		memcpy(word + i, flow->source + 4 * i, 4);
		memcpy(word + address_words + i, flow->destination + 4 * i, 4);
	}
	for (unsigned i = 0; i < 2 * address_words; i++)
		word[i] = rte_be_to_cpu_32(word[i]);
	word[2 * address_words] = (uint32_t)flow->source_port << 16 | flow->destination_port;
	return rte_softrss(word, 2 * address_words + has_ports(type), key);
}

/* Types without which the frame would be of another one; those that cannot matter by chance. */
static uint32_t types_for(enum hash_type type)
{
	uint32_t other =
		is_ipv6(type) ? TYPE(HASH_TYPE_IPV4) | TYPE(HASH_TYPE_TCPV4) | TYPE(HASH_TYPE_UDPV4)
			      : HASH_TYPES_ALL & ~(TYPE(HASH_TYPE_IPV4) | TYPE(HASH_TYPE_TCPV4) |
						   TYPE(HASH_TYPE_UDPV4));

	if (has_ports(type))
		other |= TYPE(is_ipv6(type) ? HASH_TYPE_IPV6 : HASH_TYPE_IPV4);
	if (is_extended(type))
		other |= TYPE(HASH_TYPE_TCPV6) | TYPE(HASH_TYPE_UDPV6) | TYPE(HASH_TYPE_IPV6);
	return TYPE(type) | ((uint32_t)random64() & other);
}

static struct steering *make_steering(enum hash_type type, struct steering_options *options)
{
	unsigned queue_cnt = 1 + random_below(STEERING_QUEUES_MAX);
	struct err err = ERR_INIT;
	struct steering *steering;

	memset(options, 0, sizeof(*options));
	options->kind = STEERING_TABLE;
	options->types = types_for(type);
	options->key_bytes = TOEPLITZ_KEY_BYTES;
	random_bytes(options->key, sizeof(options->key));
	options->table_cnt = 1u << random_below(10);
	for (unsigned i = 0; i < options->table_cnt; i++)
		options->table[i] = (uint16_t)random_below(queue_cnt);
	options->unclassified = (uint16_t)random_below(queue_cnt);
	if (steering_new(options, queue_cnt, &steering, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	return steering;
}

/* Whether it landed where DPDK says; tells where it did not. */
static bool check_flow(const struct steering *steering, const struct steering_options *options,
		       enum hash_type type)
{
	struct steering_choice choice;
	struct dissection d;
	struct frame frame;
	struct flow flow;
	uint8_t *head;
	uint32_t hash;

	random_bytes((uint8_t *)&flow, sizeof(flow));
	build(&frame, &flow, type);
	/* Of its own size, so that a sanitizer sees its end. */
	head = malloc(frame.len);
	if (!head)
		exit(1);
	memcpy(head, frame.bytes, frame.len);
	dissect(head, frame.len, &d);
	steering_choose(steering, head, frame.len, &d, &choice);
	free(head);
	hash = softrss(&flow, type, options->key);
	if (choice.flow.report == type + 1 && choice.flow.hash == hash &&
	    choice.bucket == hash % options->table_cnt &&
	    choice.queue == options->table[hash % options->table_cnt])
		return true;
	fprintf(stderr,
		"%s: hash 0x%08x, report %u, bucket %u, queue %u; DPDK: hash 0x%08x, queue %u\n",
		hash_type_name(type), choice.flow.hash, choice.flow.report, choice.bucket,
		choice.queue, hash, options->table[hash % options->table_cnt]);
	return false;
}

int main(void)
{
	unsigned wrong = 0;

	for (unsigned type = 0; type < HASH_TYPE_MAX_; type++) {
		for (unsigned i = 0; i < FLOWS_A_TYPE / FLOWS_A_KEY && wrong < 20; i++) {
			struct steering_options options;
			struct steering *steering = make_steering(type, &options);

			for (unsigned j = 0; j < FLOWS_A_KEY; j++)
				wrong += !check_flow(steering, &options, type);
			steering_free(steering);
		}
		if (!wrong)
			printf("%s: %u flows as DPDK says\n", hash_type_name(type), FLOWS_A_TYPE);
	}
	return wrong != 0;
}
