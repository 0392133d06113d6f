/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, tables and words as people write them: what is taken, what is refused and why, and that
 * what is written is taken again. Not the schema around them (test_net_change.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "control/rss_text.h"

static const char *fruit(unsigned idx)
{
	static const char *const names[] = {"fig", "figs", "plum"};

	return idx < ARRAY_LEN(names) ? names[idx] : NULL;
}

static void test_keys(void **state)
{
	static const struct {
		const char *text;
		const char *again;
	} right[] = {
		{"00", "00"},
		{"6D5a", "6d:5a"},
		{"6d:5A:56", "6d:5a:56"},
		{"6d5a:56da", "6d:5a:56:da"},
	};
	static const struct {
		const char *text;
		const char *why;
	} wrong[] = {
		{"", "is no key: behind 0 bytes comes no hexadecimal digit"},
		{":6d", "is no key: behind 0 bytes comes no hexadecimal digit"},
		{"6d:", "is no key: behind 1 bytes comes no hexadecimal digit"},
		{"6d::5a", "is no key: behind 1 bytes comes no hexadecimal digit"},
		{"6d 5a", "is no key: behind 1 bytes comes no hexadecimal digit"},
		{"0x6d", "is no key: behind 0 bytes comes a single hexadecimal digit, not two"},
		{"6d5", "is no key: behind 1 bytes comes a single hexadecimal digit, not two"},
		{"6:d5", "is no key: behind 0 bytes comes a single hexadecimal digit, not two"},
	};
	char text[2 * 64], again[RSS_TEXT_KEY_TEXT_BYTES], why[RSS_TEXT_WHY_BYTES];
	struct rss_key key;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(right); i++) {
		assert_true(rss_parse_key(right[i].text, &key, why));
		rss_format_key(&key, again);
		assert_string_equal(again, right[i].again);
	}
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_false(rss_parse_key(wrong[i].text, &key, why));
		assert_string_equal(why, wrong[i].why);
	}
	memset(text, 'a', sizeof(text));
	text[2 * RSS_TEXT_KEY_BYTES_MAX] = '\0';
	assert_true(rss_parse_key(text, &key, why));
	assert_int_equal(key.bytes, RSS_TEXT_KEY_BYTES_MAX);
	rss_format_key(&key, again);
	assert_int_equal(strlen(again), RSS_TEXT_KEY_TEXT_BYTES - 1);
	memset(text, 'a', sizeof(text));
	text[2 * RSS_TEXT_KEY_BYTES_MAX + 2] = '\0';
	assert_false(rss_parse_key(text, &key, why));
	assert_string_equal(why, "is a key of 41 bytes, the maximum is 40");
}

static void test_tables(void **state)
{
	static const char *const right[] = {"0", "63,0", "1,1,1,1"};
	static const struct {
		const char *text;
		const char *why;
	} wrong[] = {
		{"", "is no table: entry 0 is not a whole number"},
		{"a", "is no table: entry 0 is not a whole number"},
		{"0,", "is no table: entry 1 is not a whole number"},
		{"0, 1", "is no table: entry 1 is not a whole number"},
		{"0-1", "is no table: entry 0 is not a whole number"},
		{"-1,0", "is no table: entry 0 is not a whole number"},
		{"0,4294967296", "is no table: entry 1 is not a whole number"},
		{"0,64", "has 64 at entry 1, the maximum is 63"},
		{"0,1,2", "has 3 entries, which is no power of two"},
	};
	static char text[3 * 1024], again[RSS_TEXT_TABLE_TEXT_BYTES];
	char why[RSS_TEXT_WHY_BYTES];
	struct rss_table table;
	size_t len = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(right); i++) {
		assert_true(rss_parse_table(right[i], 63, &table, why));
		rss_format_table(&table, again);
		assert_string_equal(again, right[i]);
	}
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_false(rss_parse_table(wrong[i].text, 63, &table, why));
		assert_string_equal(why, wrong[i].why);
	}
	for (unsigned i = 0; i < RSS_TEXT_TABLE_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", i ? "," : "",
					i % 64);
	assert_true(rss_parse_table(text, 63, &table, why));
	assert_int_equal(table.cnt, RSS_TEXT_TABLE_MAX);
	rss_format_table(&table, again);
	assert_string_equal(again, text);
	snprintf(text + len, sizeof(text) - len, ",0");
	assert_false(rss_parse_table(text, 63, &table, why));
	assert_string_equal(why, "has 513 entries, the maximum is 512");
}

static void test_words(void **state)
{
	static const struct {
		const char *text;
		uint32_t bits;
		const char *again;
	} right[] = {
		{"fig", 1, "fig"},
		{"plum,fig", 5, "fig,plum"},
		{"plum,fig,figs", 7, "all"},
		{"all", 7, "all"},
	};
	static const struct {
		const char *text;
		const char *why;
	} wrong[] = {
		{"", "has \"\", which is none of the choices"},
		{"fi", "has \"fi\", which is none of the choices"},
		{"fig,", "has \"\", which is none of the choices"},
		{"fig,all", "has \"all\", which is none of the choices"},
		{"figs,fig,figs", "has figs twice"},
		{"a-word-of-more-than-24-letters",
		 "has \"a-word-of-more-than-24-l\", which is none of the choices"},
	};
	char why[RSS_TEXT_WHY_BYTES], again[32];
	uint32_t bits;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(right); i++) {
		assert_true(rss_parse_words(right[i].text, fruit, &bits, why));
		assert_int_equal(bits, right[i].bits);
		rss_format_words(bits, fruit, again, sizeof(again));
		assert_string_equal(again, right[i].again);
	}
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_false(rss_parse_words(wrong[i].text, fruit, &bits, why));
		assert_string_equal(why, wrong[i].why);
	}
	rss_format_words(5, fruit, again, 6);
	assert_string_equal(again, "fig,p");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
