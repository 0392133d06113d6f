/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steering: what is refused and by which words, and the queue of a frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "flow/steering.h"
#include "frames.h"

static struct steering_options table_options(void)
{
	struct steering_options options = {
		.kind = STEERING_TABLE,
		.types = HASH_TYPES_ALL,
		.key_bytes = TOEPLITZ_KEY_BYTES,
		.table_cnt = 128,
		.unclassified = 1,
	};

	memcpy(options.key, toeplitz_key_default, sizeof(options.key));
	for (unsigned i = 0; i < options.table_cnt; i++)
		options.table[i] = (uint16_t)(i * 7 % 4);
	return options;
}

static struct steering *make(const struct steering_options *options)
{
	struct steering *steering;
	struct err err = ERR_INIT;

	assert_int_equal(steering_new(options, 4, &steering, &err), 0);
	assert_non_null(steering);
	return steering;
}

static void refuse(const struct steering_options *options, unsigned queue_cnt, const char *text)
{
	struct steering *steering = (struct steering *)1;
	struct err err = ERR_INIT;

	assert_int_equal(steering_new(options, queue_cnt, &steering, &err), -EINVAL);
	assert_null(steering);
	assert_int_equal(err.code, EINVAL);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
	assert_int_equal(steering_new(options, queue_cnt, &steering, NULL), -EINVAL);
}

static void test_refusals(void **state)
{
	struct steering_options options = table_options();

	(void)state;
	refuse(&options, 0, "0 queues");
	refuse(&options, STEERING_QUEUES_MAX + 1, "65 queues");
	refuse(&options, 3, "table entry 1: there is no queue 3, give 0 to 2");
	options.table[127] = 4;
	refuse(&options, 4, "table entry 127: there is no queue 4");
	options = table_options();
	options.unclassified = 4;
	refuse(&options, 4, "unclassified frames: there is no queue 4");
	for (unsigned cnt = 0; cnt < 2000; cnt++) {
		bool fits = cnt && cnt <= STEERING_TABLE_MAX && (cnt & (cnt - 1)) == 0;

		options = table_options();
		options.table_cnt = cnt;
		if (!fits)
			refuse(&options, 4, "power of two, 1 to 512");
		else
			steering_free(make(&options));
	}
	options = table_options();
	options.key_bytes = 41;
	refuse(&options, 4, "key of 41 bytes: 1 to 40");
	options.key_bytes = 0;
	refuse(&options, 4, "key of 0 bytes");
	options = table_options();
	options.types = 0x200;
	refuse(&options, 4, "hash types 0x200");
	options.kind = STEERING_LEARN;
	refuse(&options, 4, "hash types 0x200");
	options = table_options();
	options.kind = (enum steering_kind)7;
	refuse(&options, 4, "kind 7");
}

static void test_generations(void **state)
{
	struct steering_options options = {.kind = STEERING_LEARN};
	struct steering *a = make(&options), *b = make(&options);

	(void)state;
	assert_int_not_equal(a->generation, 0);
	assert_true(a->generation < b->generation);
	steering_free(a);
	steering_free(b);
	steering_free(NULL);
}

static struct steering_choice choose(const struct steering *steering, const struct frames_head *f)
{
	struct steering_choice choice;
	struct dissection d;

	dissect(f->bytes, f->len, &d);
	steering_choose(steering, f->bytes, f->len, &d, &choice);
	return choice;
}

static void test_table(void **state)
{
	struct steering_options options = table_options();
	struct steering *steering = make(&options);
	uint64_t seed = 21;

	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		struct steering_choice choice;
		struct frames_head f;
		uint32_t hash;

		frames_build(&f, "ip4 tcp", 0);
		frames_random(f.bytes + f.l3 + 12, 8, &seed);
		frames_random(f.bytes + f.l4, 4, &seed);
		memmove(f.bytes + f.l4 - 8, f.bytes + f.l3 + 12, 8);
		hash = toeplitz_hash(&steering->toeplitz, f.bytes + f.l4 - 8, 12);
		choice = choose(steering, &f);
		assert_int_equal(choice.flow.report, HASH_TYPE_TCPV4 + 1);
		assert_int_equal(choice.flow.hash, hash);
		assert_int_equal(choice.bucket, hash & 127);
		assert_int_equal(choice.queue, options.table[hash & 127]);
	}
	steering_free(steering);
}

static void test_unclassified(void **state)
{
	struct steering_options options = table_options();
	struct steering_choice choice;
	struct steering *steering;
	struct frames_head f;

	(void)state;
	options.types = 1u << HASH_TYPE_TCPV4;
	options.unclassified = 2;
	steering = make(&options);
	frames_build(&f, "ip4 udp", 0);
	choice = choose(steering, &f);
	assert_int_equal(choice.flow.report, 0);
	assert_int_equal(choice.bucket, STEERING_NO_BUCKET);
	assert_int_equal(choice.queue, 2);
	steering_free(steering);
	options.types = 0;
	steering = make(&options);
	frames_build(&f, "ip4 tcp", 0);
	choice = choose(steering, &f);
	assert_int_equal(choice.bucket, STEERING_NO_BUCKET);
	assert_int_equal(choice.queue, 2);
	steering_free(steering);
}

/* Without a table: the symmetric hash, and what is reported only where it is asked for. */
static void test_without_table(void **state)
{
	struct steering_options options = {.kind = STEERING_LEARN};
	struct steering *learn = make(&options), *reported;
	struct steering_choice choice;
	struct frames_head f;
	struct dissection d;

	(void)state;
	frames_build(&f, "ip4 tcp", 0);
	dissect(f.bytes, f.len, &d);
	choice = choose(learn, &f);
	assert_int_equal(choice.spread, dissect_flow_hash(f.bytes, f.len, &d));
	assert_int_equal(choice.flow.report, 0);
	assert_int_equal(choice.bucket, STEERING_NO_BUCKET);
	options = table_options();
	options.kind = STEERING_SPREAD;
	reported = make(&options);
	choice = choose(reported, &f);
	assert_int_equal(choice.spread, dissect_flow_hash(f.bytes, f.len, &d));
	assert_int_equal(choice.flow.report, HASH_TYPE_TCPV4 + 1);
	assert_int_equal(choice.bucket, STEERING_NO_BUCKET);
	steering_free(learn);
	steering_free(reported);
}

/* Each usable queue gets its part, and no other one anything. */
static void test_spread(void **state)
{
	static const uint64_t masks[] = {1, 0x8000000000000000, 0xf, 0xa5, UINT64_MAX, 0x6};

	(void)state;
	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		unsigned queue_cnt = (unsigned)__builtin_popcountll(masks[i]);
		unsigned cnt[64] = {0};
		uint32_t hash = 1;

		for (unsigned round = 0; round < 64000; round++) {
			unsigned queue = steering_spread(hash, masks[i]);

			assert_true(queue < 64);
			cnt[queue]++;
			hash += 0x9e3779b9;
		}
		for (unsigned q = 0; q < 64; q++) {
			if (!(masks[i] >> q & 1))
				assert_int_equal(cnt[q], 0);
			else
				assert_in_range(cnt[q], 64000 / queue_cnt * 9 / 10,
						64000 / queue_cnt * 11 / 10 + 1);
		}
		assert_true(masks[i] >> steering_spread(0, masks[i]) & 1);
		assert_true(masks[i] >> steering_spread(UINT32_MAX, masks[i]) & 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),      cmocka_unit_test(test_generations),
		cmocka_unit_test(test_table),         cmocka_unit_test(test_unclassified),
		cmocka_unit_test(test_without_table), cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
