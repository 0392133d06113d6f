/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from words.
 */
#include "frames.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct layer {
	const char *name;
	int ether_type; /* -1: not behind Ethernet */
	int ip_proto;   /* -1: not behind IP */
	unsigned bytes;
	uint8_t content[64];
};

#define IN_ETHER(type) .ether_type = (type), .ip_proto = -1
#define IN_IP(proto) .ether_type = -1, .ip_proto = (proto)
#define PORTS 0x03, 0xe8, 0x07, 0xd0
#define TCP_REST 0xff, 0xff, 0xf0, 0x01, 1, 2, 3, 4

static const struct layer layers_known[] = {
	{"vlan", IN_ETHER(0x8100), 4, {0x00, 0x05}},
	{"qinq", IN_ETHER(0x88a8), 4, {0x00, 0x06}},
	{"oldq", IN_ETHER(0x9100), 4, {0x00, 0x07}},
	{"arp", IN_ETHER(0x0806), 28, {0x00, 0x01, 0x08}},
	{"ip4", IN_ETHER(0x0800), 20, {0x45, 0, 0,  0, 0xff, 0xfe, 0,  0, 64, 0,
				       0,    0, 10, 0, 0,    1,    10, 0, 0,  2}},
	/* A router alert, which is copied into fragments, a record of the route, which is not. */
	{"ip4opt", IN_ETHER(0x0800), 32, {0x48, 0,  0,    0, 0x12, 0x34, 0, 0, 64, 0,    0,
					  0,    10, 0,    0, 1,    10,   0, 0, 2,  0x94, 4,
					  0,    0,  0x07, 7, 4,    0,    0, 0, 0,  0}},
	{"ip6", IN_ETHER(0x86dd), 40, {0x60, 0, 0, 0, 0, 0, 0, 64, 0xfd, 0, 0,    0, 0, 0,
				       0,    0, 0, 0, 0, 0, 0, 0,  0,    1, 0xfd, 0, 0, 0,
				       0,    0, 0, 0, 0, 0, 0, 0,  0,    0, 0,    2}},
	{"hbh", IN_IP(0), 8, {0, 0, 1, 4}},
	{"rt", IN_IP(43), 24, {0, 2, 4, 0, 0, 0, 0, 0, 0xfd, 9}},
	{"rt0", IN_IP(43), 40, {0, 4, 0, 1, 0,    0, 0, 0, 0xfd, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0,
				0, 0, 0, 0, 0xfd, 8, 8, 8, 0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8}},
	/* Of mobile nodes: the home address in a routing header of type 2 and in an option. */
	{"rt2", IN_IP(43), 24, {0, 2, 2, 1, 0, 0, 0, 0, 0xfd, 5, 0, 0,
				0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 5}},
	{"home", IN_IP(60), 24, {0, 2, 0, 1, 1, 0, 201, 16, 0xfd, 6, 0, 0,
				 0, 0, 0, 0, 0, 0, 0,   0,  0,    0, 0, 6}},
	{"srh", IN_IP(43), 40, {0, 4, 4, 1, 1,    0, 0, 0, 0xfd, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0,
				0, 0, 0, 0, 0xfd, 8, 8, 8, 0,    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8}},
	{"dst", IN_IP(60), 8, {0, 0, 1, 4}},
	{"dst24", IN_IP(60), 24, {0, 2, 1, 20}},
	{"frag", IN_IP(44), 8, {0, 0, 0, 1, 1, 2, 3, 4}},
	{"ah", IN_IP(51), 24, {0, 4, 0, 0, 1, 2, 3, 4}},
	{"tcp", IN_IP(6), 20, {PORTS, TCP_REST, 0x50, 0x99, 1, 0}},
	{"tcpopt", IN_IP(6), 32, {PORTS, TCP_REST, 0x80, 0x99, 1, 0, 0, 0, 0, 0, 1, 1, 8, 10}},
	{"udp", IN_IP(17), 8, {PORTS}},
	{"icmp", IN_IP(1), 8, {8, 0}},
};

static const struct layer *find_layer(const char *name)
{
	for (size_t i = 0; i < sizeof(layers_known) / sizeof(layers_known[0]); i++)
		if (!strcmp(layers_known[i].name, name))
			return &layers_known[i];
	fprintf(stderr, "no layer is called '%s'\n", name);
	abort();
}

/* next_at: of the field that says what follows; moves on to the new layer's own. */
static void append(struct frames_head *f, const struct layer *layer, unsigned *next_at)
{
	uint8_t *at = f->bytes + f->len;

	if (f->len + layer->bytes > sizeof(f->bytes))
		abort();
	memcpy(at, layer->content, layer->bytes < 64 ? layer->bytes : 64);
	if (layer->ether_type >= 0)
		frames_put16(f->bytes + *next_at, (unsigned)layer->ether_type);
	else
		f->bytes[*next_at] = (uint8_t)layer->ip_proto;
	if (layer->ether_type == 0x0800 || layer->ether_type == 0x86dd) {
		f->l3 = f->len;
		f->ipv6 = layer->ether_type == 0x86dd;
		*next_at = f->len + (f->ipv6 ? 6 : 9);
	} else if (layer->ether_type >= 0) {
		*next_at = f->len + layer->bytes - 2;
	} else if (layer->ip_proto == 6 || layer->ip_proto == 17 || layer->ip_proto == 1) {
		f->l4 = f->len;
	} else {
		f->ext[f->ext_cnt++] = f->len;
		*next_at = f->len;
	}
	f->len += layer->bytes;
}

void frames_build(struct frames_head *f, const char *layers, unsigned payload_bytes)
{
	static const uint8_t ether[14] = {2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x88, 0xb5};
	unsigned next_at = 12;
	char *words = strdup(layers), *rest = words, *word;

	memset(f, 0, sizeof(*f));
	memcpy(f->bytes, ether, sizeof(ether));
	f->len = sizeof(ether);
	while ((word = strsep(&rest, " ")))
		if (*word)
			append(f, find_layer(word), &next_at);
	free(words);
	if (f->l3 && f->ipv6)
		frames_put16(f->bytes + f->l3 + 4, f->len - f->l3 - 40 + payload_bytes);
	else if (f->l3)
		frames_put16(f->bytes + f->l3 + 2, f->len - f->l3 + payload_bytes);
	if (f->l4 && f->len - f->l4 == 8 && f->bytes[next_at] == 17)
		frames_put16(f->bytes + f->l4 + 4, 8 + payload_bytes);
}

unsigned frames_be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

uint32_t frames_be32(const uint8_t *p)
{
	return (uint32_t)frames_be16(p) << 16 | frames_be16(p + 2);
}

void frames_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void frames_random(uint8_t *dst, size_t len, uint64_t *state)
{
	for (size_t i = 0; i < len; i++) {
		*state = *state * 6364136223846793005u + 1442695040888963407u;
		dst[i] = (uint8_t)(*state >> 56);
	}
}

uint64_t frames_slow_sum(uint64_t sum, const uint8_t *data, size_t len, bool odd)
{
	for (size_t i = 0; i < len; i++, odd = !odd)
		sum += odd ? data[i] : (uint64_t)data[i] << 8;
	return sum;
}

uint16_t frames_slow_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}
