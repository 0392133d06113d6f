/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash keys, indirection tables and sets of words as people write them. Not what steering does with
 * them (device/net), and not what they mean for a port (config_check_net.c).
 *
 * Pure. A parser returns false and says why, to stand behind the text that was given; the value is
 * not defined then.
 */
#ifndef PARIO_CONTROL_RSS_TEXT_H
#define PARIO_CONTROL_RSS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RSS_TEXT_KEY_BYTES_MAX 40
#define RSS_TEXT_TABLE_MAX 512

/* As a port's steering has them, one after the other (schema_rows_net.c asserts that). */
struct rss_key {
	unsigned bytes; /* 0: none */
	uint8_t key[RSS_TEXT_KEY_BYTES_MAX];
};

struct rss_table {
	unsigned cnt; /* 0: none */
	uint16_t entries[RSS_TEXT_TABLE_MAX];
};

#define RSS_TEXT_WHY_BYTES 96
/* "6d:5a:56", and none behind the last. */
#define RSS_TEXT_KEY_TEXT_BYTES (3 * RSS_TEXT_KEY_BYTES_MAX)
/* Three digits of an entry at most, and commas. */
#define RSS_TEXT_TABLE_TEXT_BYTES (4 * RSS_TEXT_TABLE_MAX)

/* Pairs of hexadecimal digits, with a colon between two of them or not. */
bool rss_parse_key(const char *text, struct rss_key *key, char why[RSS_TEXT_WHY_BYTES]);
void rss_format_key(const struct rss_key *key, char text[RSS_TEXT_KEY_TEXT_BYTES]);

/* "0,1,2,3": a power of two of numbers, each at most entry_max, which is below 1000. */
bool rss_parse_table(const char *text, unsigned entry_max, struct rss_table *table,
		     char why[RSS_TEXT_WHY_BYTES]);
void rss_format_table(const struct rss_table *table, char text[RSS_TEXT_TABLE_TEXT_BYTES]);

/*
 * "ipv4,udpv6", or "all": bits of the indices that name() has those words at; NULL ends them.
 */
bool rss_parse_words(const char *text, const char *(*name)(unsigned idx), uint32_t *bits,
		     char why[RSS_TEXT_WHY_BYTES]);
/* Cut where it does not fit. */
void rss_format_words(uint32_t bits, const char *(*name)(unsigned idx), char *text, size_t size);

#endif
