/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing and writing of keys, tables and words: pure, and without a locale.
 * Not the texts that say what is allowed (schema.c).
 */
#include "control/rss_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/overflow.h"
#include "control/hex_digit.h"

#define WORD_BYTES_MAX 24

static PRINTF_LIKE(2, 3) bool refuse(char why[RSS_TEXT_WHY_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, RSS_TEXT_WHY_BYTES, fmt, args);
	va_end(args);
	return false;
}

bool rss_parse_key(const char *text, struct rss_key *key, char why[RSS_TEXT_WHY_BYTES])
{
	unsigned cnt = 0;

	memset(key, 0, sizeof(*key));
	for (;;) {
		int high = hex_digit(text[0]);
		int low = high < 0 ? -1 : hex_digit(text[1]);

		if (high < 0)
			return refuse(why, "is no key: behind %u bytes comes no hexadecimal digit",
				      cnt);
		if (low < 0)
			return refuse(
				why,
				"is no key: behind %u bytes comes a single hexadecimal digit, "
				"not two",
				cnt);
		if (cnt < RSS_TEXT_KEY_BYTES_MAX)
			key->key[cnt] = (uint8_t)(high << 4 | low);
		cnt++;
		text += 2;
		if (*text == '\0')
			break;
		text += *text == ':';
	}
	if (cnt > RSS_TEXT_KEY_BYTES_MAX)
		return refuse(why, "is a key of %u bytes, the maximum is %u", cnt,
			      RSS_TEXT_KEY_BYTES_MAX);
	key->bytes = cnt;
	return true;
}

void rss_format_key(const struct rss_key *key, char text[RSS_TEXT_KEY_TEXT_BYTES])
{
	text[0] = '\0';
	for (unsigned i = 0; i < key->bytes && i < RSS_TEXT_KEY_BYTES_MAX; i++)
		snprintf(text + (i ? 3 * i - 1 : 0), i ? 4 : 3, "%s%02x", i ? ":" : "",
			 key->key[i]);
}

/* Digits from *text on, which moves behind them; -1 when there are none, or far too many. */
static int parse_number(const char **text)
{
	int value = 0;
	unsigned cnt = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++) {
		if (++cnt > 6)
			return -1;
		value = 10 * value + (**text - '0');
	}
	return cnt ? value : -1;
}

bool rss_parse_table(const char *text, unsigned entry_max, struct rss_table *table,
		     char why[RSS_TEXT_WHY_BYTES])
{
	unsigned cnt = 0;

	memset(table, 0, sizeof(*table));
	for (;;) {
		int entry = parse_number(&text);

		if (entry < 0 || (*text != '\0' && *text != ','))
			return refuse(why, "is no table: entry %u is not a whole number", cnt);
		if ((unsigned)entry > entry_max)
			return refuse(why, "has %d at entry %u, the maximum is %u", entry, cnt,
				      entry_max);
		if (cnt < RSS_TEXT_TABLE_MAX)
			table->entries[cnt] = (uint16_t)entry;
		cnt++;
		if (*text == '\0')
			break;
		text++;
	}
	if (cnt > RSS_TEXT_TABLE_MAX)
		return refuse(why, "has %u entries, the maximum is %u", cnt, RSS_TEXT_TABLE_MAX);
	if (!is_pow2(cnt))
		return refuse(why, "has %u entries, which is no power of two", cnt);
	table->cnt = cnt;
	return true;
}

void rss_format_table(const struct rss_table *table, char text[RSS_TEXT_TABLE_TEXT_BYTES])
{
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < table->cnt && i < RSS_TEXT_TABLE_MAX; i++)
		len += (size_t)snprintf(text + len, RSS_TEXT_TABLE_TEXT_BYTES - len, "%s%u",
					i ? "," : "", table->entries[i] % 1000u);
}

bool rss_parse_words(const char *text, const char *(*name)(unsigned idx), uint32_t *bits,
		     char why[RSS_TEXT_WHY_BYTES])
{
	*bits = 0;
	if (strcmp(text, "all") == 0) {
		for (unsigned i = 0; name(i); i++)
			*bits |= 1u << i;
		return true;
	}
	for (;;) {
		size_t len = strcspn(text, ",");
		unsigned i = 0;

		while (name(i) && (strlen(name(i)) != len || strncmp(name(i), text, len) != 0))
			i++;
		if (!name(i))
			return refuse(why, "has \"%.*s\", which is none of the choices",
				      (int)(len < WORD_BYTES_MAX ? len : WORD_BYTES_MAX), text);
		if (*bits & 1u << i)
			return refuse(why, "has %s twice", name(i));
		*bits |= 1u << i;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

void rss_format_words(uint32_t bits, const char *(*name)(unsigned idx), char *text, size_t size)
{
	uint32_t all = 0;
	size_t len = 0;

	for (unsigned i = 0; name(i); i++)
		all |= 1u << i;
	snprintf(text, size, "%s", bits == all ? "all" : "");
	for (unsigned i = 0; bits != all && name(i) && len < size; i++) {
		if (bits & 1u << i)
			len += (size_t)snprintf(text + len, size - len, "%s%s", len ? "," : "",
						name(i));
	}
}
