/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking keys up, and the texts that every view of a row shares.
 * Not the parsing of values (schema_value.c) and not layouts (schema_print.c).
 */
#include "control/schema.h"

#include <string.h>

#include "base/check.h"
#include "base/compiler.h"

#define DISTANCE_WORD_MAX 32

static const char *const type_names[] = {
	[SCHEMA_BOOL] = "boolean",    [SCHEMA_INT] = "integer",     [SCHEMA_POW2] = "integer",
	[SCHEMA_FD] = "descriptor",   [SCHEMA_SIZE] = "size",       [SCHEMA_MODE] = "mode",
	[SCHEMA_CHOICE] = "choice",   [SCHEMA_NAME] = "name",       [SCHEMA_TEXT] = "text",
	[SCHEMA_PATH] = "path",       [SCHEMA_CPUS] = "cpu-list",   [SCHEMA_USER] = "user",
	[SCHEMA_GROUP] = "group",     [SCHEMA_ORDER] = "cpu-order", [SCHEMA_MAC] = "mac-address",
	[SCHEMA_VLANS] = "vlan-list", [SCHEMA_KEY] = "key",         [SCHEMA_TABLE] = "table",
	[SCHEMA_WORDS] = "words",
};
_Static_assert(ARRAY_LEN(type_names) == SCHEMA_TYPE_MAX_, "a name for each type");

const char *schema_type_name(enum schema_type type)
{
	return type_names[type];
}

const struct schema_table *schema_table(unsigned idx)
{
	static const struct schema_table *const tables[] = {
		&schema_daemon, &schema_disk, &schema_switch, &schema_port, &schema_uplink,
	};

	return idx < ARRAY_LEN(tables) ? tables[idx] : NULL;
}

int schema_find(const struct schema_table *table, const char *key)
{
	for (unsigned i = 0; i < table->row_cnt; i++) {
		if (strcmp(table->rows[i].key, key) == 0)
			return (int)i;
	}
	return -1;
}

bool schema_is_group(const struct schema_table *table, const char *group)
{
	size_t len = strlen(group);

	for (unsigned i = 0; i < table->row_cnt; i++) {
		const char *key = table->rows[i].key;

		if (strncmp(key, group, len) == 0 && key[len] == '.')
			return true;
	}
	return false;
}

/* Levenshtein's recurrence over one row of the matrix. */
unsigned schema_distance(const char *a, const char *b, unsigned limit)
{
	unsigned row[DISTANCE_WORD_MAX + 1];
	size_t len_a = strnlen(a, DISTANCE_WORD_MAX + 1);
	size_t len_b = strnlen(b, DISTANCE_WORD_MAX + 1);

	if (len_a > DISTANCE_WORD_MAX || len_b > DISTANCE_WORD_MAX)
		return limit;
	for (unsigned j = 0; j <= len_b; j++)
		row[j] = j;
	for (unsigned i = 1; i <= len_a; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= len_b; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[len_b] < limit ? row[len_b] : limit;
}

const char *schema_nearest(const struct schema_table *table, const char *key)
{
	/* Half of a short word may not be wrong: "fd" is not meant by "id". */
	unsigned best = strlen(key) <= 4 ? 2 : 3;
	const char *nearest = NULL;

	for (unsigned i = 0; i < table->row_cnt; i++) {
		const char *candidate = table->rows[i].key;
		const char *leaf = strrchr(candidate, '.');
		unsigned distance = schema_distance(key, candidate, best);

		/* "packed" for "features.packed", and "read_only" for "read-only". */
		if (leaf && strcmp(leaf + 1, key) == 0)
			distance = 1;
		if (distance < best) {
			best = distance;
			nearest = candidate;
		}
	}
	return nearest;
}

void schema_size_text(uint64_t bytes, char *buf, size_t size)
{
	static const char *const suffixes[] = {"", "K", "M", "G", "T"};
	unsigned i = 0;

	while (bytes && bytes % 1024 == 0 && i + 1 < ARRAY_LEN(suffixes)) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, size, "%llu%s", (unsigned long long)bytes, suffixes[i]);
}

static void choices_text(const struct schema_row *row, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; row->choice(i); i++) {
		int more = snprintf(buf + len, size - len, "%s%s", i ? ", " : "", row->choice(i));

		CHECK(more > 0 && (size_t)more < size - len);
		len += (size_t)more;
	}
}

static void words_text(const struct schema_row *row, char *buf, size_t size)
{
	int len = snprintf(buf, size, "all, ");

	choices_text(row, buf + len, size - (size_t)len);
}

void schema_allowed_text(const struct schema_row *row, char *buf, size_t size)
{
	unsigned long long min = row->min;
	unsigned long long max = row->max;
	char low[32];
	char high[32];

	switch (row->type) {
	case SCHEMA_BOOL:
		snprintf(buf, size, "true, false");
		break;
	case SCHEMA_INT:
	case SCHEMA_FD:
		snprintf(buf, size, "%llu to %llu", min, max);
		break;
	case SCHEMA_POW2:
		snprintf(buf, size, "powers of two from %llu to %llu", min, max);
		break;
	case SCHEMA_SIZE:
		schema_size_text(row->min, low, sizeof(low));
		schema_size_text(row->max, high, sizeof(high));
		snprintf(buf, size, "%s to %s, suffixes K, M, G, T", low, high);
		break;
	case SCHEMA_MODE:
		snprintf(buf, size, "%04llo to %04llo", min, max);
		break;
	case SCHEMA_CHOICE:
		choices_text(row, buf, size);
		break;
	case SCHEMA_NAME:
		snprintf(buf, size, "1 to %llu letters, digits, '.', '_', '-'", max);
		break;
	case SCHEMA_TEXT:
		snprintf(buf, size, "1 to %llu printable bytes", max);
		break;
	case SCHEMA_PATH:
		snprintf(buf, size, "1 to %llu bytes", max);
		break;
	case SCHEMA_CPUS:
	case SCHEMA_ORDER:
		snprintf(buf, size, "CPU numbers and ranges such as 2-3,5");
		break;
	case SCHEMA_USER:
	case SCHEMA_GROUP:
		snprintf(buf, size, "a name or a number");
		break;
	case SCHEMA_MAC:
		snprintf(buf, size, "a unicast address such as 52:54:00:12:34:56");
		break;
	case SCHEMA_VLANS:
		snprintf(buf, size, "VLANs and ranges from 0 to 4094 such as 10,20-30");
		break;
	case SCHEMA_KEY:
		snprintf(buf, size, "%llu to %llu bytes in hexadecimal such as 6d:5a:56 or 6d5a56",
			 min, max);
		break;
	case SCHEMA_TABLE:
		snprintf(buf, size, "%llu to %llu queue pairs, a power of two, such as 0,1,2,3",
			 min, max);
		break;
	case SCHEMA_WORDS:
		words_text(row, buf, size);
		break;
	case SCHEMA_TYPE_MAX_:
		CHECK(false);
	}
}

const char *schema_default_text(const struct schema_row *row)
{
	return row->value ? row->value : row->value_in_words;
}

const char *schema_runtime_text(const struct schema_row *row)
{
	return row->runtime ? " Can be set at run time." : "";
}
