/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VXLAN datagram carries is found by its bytes, and steered by where that is asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "flow/steering.h"
#include "frames.h"

/* outer and inner in frames_build()'s words; the outer ends in udp. Returns where the inner is. */
static unsigned build(struct frames_head *f, const char *outer, const char *inner)
{
	struct frames_head carried;
	unsigned at;

	frames_build(&carried, inner, 0);
	frames_build(f, outer, 8 + carried.len);
	frames_put16(f->bytes + f->l4 + 2, 4789);
	f->bytes[f->len] = 0x08;
	at = f->len + 8;
	memcpy(f->bytes + at, carried.bytes, carried.len);
	f->len = at + carried.len;
	return at;
}

static unsigned find_inner(const struct frames_head *f, unsigned len, struct dissection *inner)
{
	/* Of its own size, so that a sanitizer sees its end. */
	uint8_t *head = malloc(len);
	struct dissection outer;
	unsigned at;

	assert_non_null(head);
	memcpy(head, f->bytes, len);
	dissect(head, len, &outer);
	at = dissect_inner(head, len, &outer, inner);
	free(head);
	return at;
}

static bool is_same_dissection(const struct dissection *a, const struct dissection *b)
{
	return a->ip_bytes == b->ip_bytes && a->ether_type == b->ether_type &&
	       a->l3_offset == b->l3_offset && a->l4_offset == b->l4_offset &&
	       a->payload_offset == b->payload_offset && a->l3 == b->l3 && a->l4 == b->l4 &&
	       a->ip_proto == b->ip_proto && a->tag_cnt == b->tag_cnt &&
	       a->fragment == b->fragment && a->ipv6_extended == b->ipv6_extended;
}

static void test_found(void **state)
{
	static const char *const outers[] = {"ip4 udp", "vlan ip4opt udp", "ip6 udp",
					     "qinq vlan ip6 hbh udp"};
	static const char *const inners[] = {"ip4 tcp",     "ip4 udp", "vlan ip6 tcp",
					     "ip6 dst udp", "arp",     ""};

	(void)state;
	for (size_t o = 0; o < sizeof(outers) / sizeof(outers[0]); o++) {
		for (size_t i = 0; i < sizeof(inners) / sizeof(inners[0]); i++) {
			struct dissection got, want;
			struct frames_head f, carried;
			unsigned at = build(&f, outers[o], inners[i]);

			frames_build(&carried, inners[i], 0);
			dissect(carried.bytes, carried.len, &want);
			assert_int_equal(find_inner(&f, f.len, &got), at);
			assert_true(is_same_dissection(&got, &want));
		}
	}
}

static void test_not_found(void **state)
{
	struct dissection inner;
	struct frames_head f;

	(void)state;
	build(&f, "ip4 udp", "ip4 tcp");
	frames_put16(f.bytes + f.l4 + 2, 4790);
	assert_int_equal(find_inner(&f, f.len, &inner), 0);
	/* The port is the destination's. */
	build(&f, "ip4 udp", "ip4 tcp");
	frames_put16(f.bytes + f.l4, 4789);
	frames_put16(f.bytes + f.l4 + 2, 1000);
	assert_int_equal(find_inner(&f, f.len, &inner), 0);
	/* No VNI. */
	build(&f, "ip4 udp", "ip4 tcp");
	f.bytes[f.l4 + 8] = 0xf7;
	assert_int_equal(find_inner(&f, f.len, &inner), 0);
	/* A fragment, though a first one. */
	build(&f, "ip4 udp", "ip4 tcp");
	frames_put16(f.bytes + f.l3 + 6, 0x2000);
	assert_int_equal(find_inner(&f, f.len, &inner), 0);
	/* A datagram that ends before its padding does. */
	build(&f, "ip4 udp", "ip4 tcp");
	frames_put16(f.bytes + f.l3 + 2, 20 + 8 + 8 + 13);
	assert_int_equal(find_inner(&f, f.len, &inner), 0);
	frames_build(&f, "ip4 tcp", 0);
	frames_put16(f.bytes + f.l4 + 2, 4789);
	assert_int_equal(find_inner(&f, f.len, &inner), 0);
}

/* Whatever is cut off, layers are within what is left. */
static void test_cut_off(void **state)
{
	struct dissection inner;
	struct frames_head f;
	unsigned at = build(&f, "vlan ip6 udp", "vlan ip4 tcp");

	(void)state;
	for (unsigned len = 1; len < f.len; len++) {
		unsigned got = find_inner(&f, len, &inner);

		assert_int_equal(got, len >= at + 14 ? at : 0);
		if (got) {
			assert_int_equal(inner.l3_offset, len >= at + 18 + 20 ? 18 : 0);
			assert_int_equal(inner.l4_offset, 0);
		}
	}
}

static struct steering_choice choose(enum steering_kind kind, bool inner,
				     const struct frames_head *f)
{
	struct steering_options options = {
		.kind = kind,
		.inner = inner,
		.types = kind == STEERING_TABLE ? HASH_TYPES_ALL : 0,
		.key_bytes = TOEPLITZ_KEY_BYTES,
		.table_cnt = 128,
		.unclassified = 3,
	};
	struct steering_choice choice;
	struct steering *steering;
	struct dissection d;
	struct err err = ERR_INIT;

	memcpy(options.key, toeplitz_key_default, sizeof(options.key));
	assert_int_equal(steering_new(&options, 4, &steering, &err), 0);
	dissect(f->bytes, f->len, &d);
	steering_choose(steering, f->bytes, f->len, &d, &choice);
	steering_free(steering);
	return choice;
}

static bool is_same(const struct steering_choice *a, const struct steering_choice *b)
{
	return a->flow.hash == b->flow.hash && a->flow.report == b->flow.report &&
	       a->bucket == b->bucket && a->queue == b->queue && a->spread == b->spread;
}

/* By the carried frame alone, or by the carrier alone. */
static void test_steered_by(void **state)
{
	struct frames_head f, carried;

	(void)state;
	for (unsigned k = STEERING_SPREAD; k <= STEERING_TABLE; k++) {
		struct steering_choice want, got, outer;

		frames_build(&carried, "ip6 tcp", 0);
		want = choose(k, true, &carried);
		build(&f, "ip4 udp", "ip6 tcp");
		got = choose(k, true, &f);
		assert_true(is_same(&got, &want));
		outer = choose(k, false, &f);
		assert_false(is_same(&outer, &want));
		f.bytes[f.l4] ^= 0x55;
		got = choose(k, true, &f);
		assert_true(is_same(&got, &want));
		got = choose(k, false, &f);
		assert_false(is_same(&got, &outer));
	}
}

/* A carried frame that is not IP goes where its tunnel's flow goes. */
static void test_no_ip_inside(void **state)
{
	struct steering_choice with, without;
	struct frames_head f;

	(void)state;
	build(&f, "ip4 udp", "arp");
	with = choose(STEERING_TABLE, true, &f);
	without = choose(STEERING_TABLE, false, &f);
	assert_int_equal(with.flow.report, HASH_TYPE_UDPV4 + 1);
	assert_true(is_same(&with, &without));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),        cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_cut_off),      cmocka_unit_test(test_steered_by),
		cmocka_unit_test(test_no_ip_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
