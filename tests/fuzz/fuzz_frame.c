/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: flow/ over any bytes that may be a frame's first ones, and where it is steered.
 * Not right or wrong sums over payload, which unit tests hold against a slow reference.
 *
 * Input: byte 0 kind of segmentation, bytes 1-2 bytes of a segment, bytes 3-4 bytes of payload, all
 * big-endian, then the frame's head. What is missing is zero.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow/checksum.h"
#include "flow/dissect.h"
#include "flow/segment.h"
#include "flow/steering.h"

#define PARAMETER_BYTES 5u
/* A large frame of so many segments says no more than one of fewer. */
#define SEGMENT_CNT_MAX 48u

#define MUST(expr)                                                                    \
	do {                                                                          \
		if (!(expr)) {                                                        \
			fprintf(stderr, "violated: %s (line %d)\n", #expr, __LINE__); \
			abort();                                                      \
		}                                                                     \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned be16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void check_dissection(const struct dissection *d, unsigned head_bytes)
{
	MUST(d->tag_cnt <= 2);
	MUST((d->l3 == DISSECT_L3_OTHER) == (d->l3_offset == 0));
	MUST((d->l4 == DISSECT_L4_NONE) == (d->l4_offset == 0));
	MUST((d->l4 == DISSECT_L4_NONE) == (d->payload_offset == 0));
	if (d->l3 == DISSECT_L3_OTHER) {
		MUST(d->l4 == DISSECT_L4_NONE && !d->fragment && !d->ipv6_extended);
		MUST(d->ip_bytes == 0);
		return;
	}
	MUST(d->l3_offset == ETHER_HEADER_BYTES + d->tag_cnt * ETHER_TAG_BYTES);
	MUST(d->l3_offset + (d->l3 == DISSECT_L3_IPV4 ? 20u : 40u) <= head_bytes);
	MUST(d->ether_type == (d->l3 == DISSECT_L3_IPV4 ? ETHER_TYPE_IPV4 : ETHER_TYPE_IPV6));
	MUST(!d->ipv6_extended || d->l3 == DISSECT_L3_IPV6);
	if (d->l4 == DISSECT_L4_NONE)
		return;
	MUST(!d->fragment);
	MUST(d->ip_proto == (d->l4 == DISSECT_L4_TCP ? IP_PROTO_TCP : IP_PROTO_UDP));
	MUST(d->l4_offset >= d->l3_offset + 20 && d->payload_offset >= d->l4_offset + 8);
	MUST(d->payload_offset <= head_bytes);
	MUST(d->payload_offset - d->l3_offset <= (int64_t)d->ip_bytes);
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
	uint8_t kept[16];

	memcpy(kept, a, len);
	memcpy(a, b, len);
	memcpy(b, kept, len);
}

/* The way back of the same flow has the same hash. */
static void check_hash(const uint8_t *head, unsigned head_bytes, const struct dissection *d)
{
	uint32_t hash = dissect_flow_hash(head, head_bytes, d);
	uint8_t *back = malloc(head_bytes ? head_bytes : 1);

	MUST(back);
	memcpy(back, head, head_bytes);
	if (d->l3 == DISSECT_L3_IPV4)
		swap(back + d->l3_offset + 12, back + d->l3_offset + 16, 4);
	else if (d->l3 == DISSECT_L3_IPV6)
		swap(back + d->l3_offset + 8, back + d->l3_offset + 24, 16);
	else if (head_bytes >= 2 * ETHER_MAC_BYTES)
		swap(back, back + ETHER_MAC_BYTES, ETHER_MAC_BYTES);
	if (d->l4 != DISSECT_L4_NONE)
		swap(back + d->l4_offset, back + d->l4_offset + 2, 2);
	MUST(dissect_flow_hash(back, head_bytes, d) == hash);
	free(back);
}

/* Where a fragment's data belongs in the datagram. */
static uint32_t fragment_offset(const struct segmenter *s, const struct segment *out)
{
	if (s->kind == SEGMENT_UFO4)
		return (be16(out->head + s->d.l3_offset + 6) & 0x1fff) * 8;
	return be16(out->head + s->split_offset + 2) & 0xfff8;
}

static void check_segment(const struct segmenter *s, const struct segment *out, unsigned idx,
			  unsigned cnt)
{
	bool cut = s->split_offset && cnt > 1;
	struct dissection d;

	MUST(out->head_bytes <= sizeof(out->head));
	dissect(out->head, out->head_bytes, &d);
	MUST(d.l3 == s->d.l3 && d.l3_offset == s->d.l3_offset && d.tag_cnt == s->d.tag_cnt);
	MUST(d.ip_bytes == (uint32_t)out->head_bytes - d.l3_offset + out->payload_bytes);
	MUST(out->payload_bytes <= s->segment_bytes);
	if (d.l3 == DISSECT_L3_IPV4)
		MUST(checksum_fold(checksum_add(0, out->head + d.l3_offset,
						(out->head[d.l3_offset] & 15) * 4u, false)) == 0);
	if (cut) {
		uint32_t lead = idx ? 0u : (uint32_t)s->d.payload_offset - s->split_offset;

		MUST(out->csum_start == 0);
		MUST(d.fragment || d.ipv6_extended);
		MUST(fragment_offset(s, out) == idx * s->segment_bytes);
		MUST(out->last || lead + out->payload_bytes == s->segment_bytes);
		return;
	}
	MUST(d.l4 == s->d.l4 && d.l4_offset == s->d.l4_offset);
	MUST(d.payload_offset == out->head_bytes);
	if (!s->split_offset) {
		MUST(out->csum_start == d.l4_offset);
		MUST(out->csum_start + out->csum_offset + 2 <= out->head_bytes);
		MUST(out->last || out->payload_bytes == s->segment_bytes);
	}
}

static void check_segments(struct segmenter *s)
{
	unsigned cnt = segment_cnt(s), idx = 0;
	uint32_t done = 0;
	struct segment out;

	MUST(cnt > 0);
	while (idx < SEGMENT_CNT_MAX && segment_next(s, &out)) {
		MUST(idx < cnt);
		MUST(out.payload_offset == done);
		MUST(out.payload_bytes > 0 || s->payload_bytes == 0);
		MUST(out.last == (idx == cnt - 1));
		check_segment(s, &out, idx, cnt);
		done += out.payload_bytes;
		idx++;
	}
	if (cnt < SEGMENT_CNT_MAX)
		MUST(idx == cnt && done == s->payload_bytes);
}

/* By the definition, one byte after the other. */
static uint16_t slow_checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;
	uint16_t csum;
	uint8_t raw[2];

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum;
	raw[0] = (uint8_t)(sum >> 8);
	raw[1] = (uint8_t)sum;
	memcpy(&csum, raw, sizeof(csum));
	return csum;
}

/* The same bytes in two entries, summed up in two calls that need not end where entries do. */
static void check_checksum(uint8_t *head, unsigned head_bytes, unsigned cut)
{
	unsigned first = head_bytes ? cut % head_bytes : 0;
	struct iovec iov[] = {{head, first}, {head + first, head_bytes - first}};
	uint16_t want = slow_checksum(head, head_bytes);
	struct iov_cursor cursor;
	bool odd = false;
	uint64_t sum;

	MUST(checksum_fold(checksum_add(0, head, head_bytes, false)) == want);
	iov_cursor_init(&cursor, iov, 2);
	sum = checksum_add_iov(0, &cursor, cut / 256, &odd);
	sum = checksum_add_iov(sum, &cursor, SIZE_MAX, &odd);
	MUST(checksum_fold(sum) == want);
	MUST(odd == (head_bytes & 1));
}

/* Of the kind, by what is inside or not, with the hash types that are bits of types. */
static struct steering *make_steering(enum steering_kind kind, bool inner, uint32_t types)
{
	struct steering_options options = {
		.kind = kind,
		.inner = inner,
		.types = types,
		.key_bytes = TOEPLITZ_KEY_BYTES,
		.table_cnt = 64,
		.unclassified = 7,
	};
	struct steering *steering;

	memcpy(options.key, toeplitz_key_symmetric, sizeof(options.key));
	for (unsigned i = 0; i < options.table_cnt; i++)
		options.table[i] = (uint16_t)(i % 7);
	MUST(steering_new(&options, 8, &steering, NULL) == 0);
	return steering;
}

/* The report is of a type that is enabled, and of the layers that were found. */
static void check_report(const struct flow_hash *flow, uint32_t types, const struct dissection *d)
{
	unsigned type = flow->report - 1u;

	if (!flow->report) {
		MUST(flow->hash == 0);
		MUST(!(types & 1u << HASH_TYPE_IPV4) || d->l3 != DISSECT_L3_IPV4);
		MUST(!(types & 1u << HASH_TYPE_IPV6) || d->l3 != DISSECT_L3_IPV6);
		return;
	}
	MUST(type < HASH_TYPE_MAX_ && types & 1u << type);
	MUST(d->l3 == (type < HASH_TYPE_IPV6 ? DISSECT_L3_IPV4 : DISSECT_L3_IPV6));
	MUST(type < HASH_TYPE_IP_EX || d->ipv6_extended);
	MUST(type % 3 != 1 || d->l4 == DISSECT_L4_TCP);
	MUST(type % 3 != 2 || d->l4 == DISSECT_L4_UDP);
}

/*
 * Ways of steering take turns with the parameter, so that each input is steered in one way and a
 * corpus in all.
 */
static void check_steering(const uint8_t *head, unsigned head_bytes, const struct dissection *d,
			   unsigned parameter)
{
	uint32_t types = parameter / 8 & HASH_TYPES_ALL;
	enum steering_kind kind = parameter % 3;
	struct steering *steering = make_steering(kind, parameter & 4, types);
	struct steering_choice choice;
	struct dissection inner;
	unsigned at = dissect_inner(head, head_bytes, d, &inner);

	if (at) {
		MUST(at + ETHER_HEADER_BYTES <= head_bytes && d->l4 == DISSECT_L4_UDP);
		check_dissection(&inner, head_bytes - at);
	}
	steering_choose(steering, head, head_bytes, d, &choice);
	if (parameter & 4 && at && inner.l3 != DISSECT_L3_OTHER)
		d = &inner;
	check_report(&choice.flow, types, d);
	MUST((choice.bucket == STEERING_NO_BUCKET) ==
	     (kind != STEERING_TABLE || !choice.flow.report));
	if (choice.bucket != STEERING_NO_BUCKET) {
		MUST(choice.bucket == (choice.flow.hash & 63));
		MUST(choice.queue == choice.bucket % 7);
	} else {
		MUST(choice.queue == (kind == STEERING_TABLE ? 7 : 0));
	}
	steering_free(steering);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t parameters[PARAMETER_BYTES] = {0};
	size_t got = size < sizeof(parameters) ? size : sizeof(parameters);
	unsigned head_bytes = (unsigned)(size - got);
	struct segmenter s;
	struct dissection d;
	uint8_t *head;

	if (head_bytes > DISSECT_BYTES_MAX)
		head_bytes = DISSECT_BYTES_MAX;
	memcpy(parameters, data, got);
	/* Of its own size, so that a sanitizer sees both ends. */
	head = malloc(head_bytes ? head_bytes : 1);
	MUST(head);
	memcpy(head, data + got, head_bytes);
	dissect(head, head_bytes, &d);
	check_dissection(&d, head_bytes);
	check_hash(head, head_bytes, &d);
	check_steering(head, head_bytes, &d, be16(parameters + 1));
	check_checksum(head, head_bytes, be16(parameters + 1));
	if (d.l3 != DISSECT_L3_OTHER)
		checksum_pseudo(head, &d, d.ip_proto, d.ip_bytes);
	if (segment_begin(&s, parameters[0] % SEGMENT_KIND_MAX_, head, &d, be16(parameters + 3),
			  be16(parameters + 1)) == 0)
		check_segments(&s);
	free(head);
	return 0;
}
