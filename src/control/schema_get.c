/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the typed members of an object's struct to JSON: the inverse of schema_set(), so that what
 * is shown can be given back. Not the schema itself as JSON (schema_print.c).
 */
#include <string.h>

#include "base/cpuset.h"
#include "control/config.h"
#include "control/json_text.h"
#include "control/netaddr.h"
#include "control/rss_text.h"
#include "control/schema.h"

#define CPUS_TEXT_BYTES 2048
#define WORDS_TEXT_BYTES 256

static json_t *number_json(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *cpus_json(const cpu_set_t *cpus)
{
	char text[CPUS_TEXT_BYTES];

	if (CPU_COUNT(cpus) == 0)
		return json_null();
	cpuset_format(cpus, text, sizeof(text));
	return json_string(text);
}

static json_t *mac_json(const uint8_t *mac)
{
	char text[NETADDR_MAC_TEXT_BYTES];

	if (!netaddr_is_unicast(mac))
		return json_null();
	netaddr_format_mac(mac, text);
	return json_string(text);
}

static json_t *key_json(const void *member)
{
	char text[RSS_TEXT_KEY_TEXT_BYTES];
	struct rss_key key;

	memcpy(&key, member, sizeof(key));
	rss_format_key(&key, text);
	return key.bytes ? json_string(text) : json_null();
}

static json_t *table_json(const void *member)
{
	char text[RSS_TEXT_TABLE_TEXT_BYTES];
	struct rss_table table;

	memcpy(&table, member, sizeof(table));
	rss_format_table(&table, text);
	return table.cnt ? json_string(text) : json_null();
}

static json_t *words_json(const struct schema_row *row, const uint32_t *bits)
{
	char text[WORDS_TEXT_BYTES];

	rss_format_words(*bits, row->choice, text, sizeof(text));
	return json_string(text);
}

/* The value that "none" has in the types that have one is null. */
static json_t *value_json(const struct schema_row *row, const void *member)
{
	const char *text;
	char mode[16];

	switch (row->type) {
	case SCHEMA_BOOL:
		return json_boolean(*(const bool *)member);
	case SCHEMA_INT:
	case SCHEMA_POW2:
		return number_json(*(const uint32_t *)member);
	case SCHEMA_SIZE:
		return number_json(*(const uint64_t *)member);
	case SCHEMA_FD:
		return *(const int *)member < 0 ? json_null()
						: number_json((uint64_t) * (const int *)member);
	case SCHEMA_USER:
	case SCHEMA_GROUP:
		return *(const uint32_t *)member == UINT32_MAX
			       ? json_null()
			       : number_json(*(const uint32_t *)member);
	case SCHEMA_MODE:
		snprintf(mode, sizeof(mode), "%04o", *(const uint32_t *)member);
		return json_string(mode);
	case SCHEMA_CHOICE:
		return json_string(row->choice(*(const unsigned *)member));
	case SCHEMA_CPUS:
		return cpus_json(member);
	case SCHEMA_MAC:
		return mac_json(member);
	case SCHEMA_KEY:
		return key_json(member);
	case SCHEMA_TABLE:
		return table_json(member);
	case SCHEMA_WORDS:
		return words_json(row, member);
	case SCHEMA_VLANS:
	case SCHEMA_NAME:
	case SCHEMA_TEXT:
	case SCHEMA_PATH:
	case SCHEMA_ORDER:
	case SCHEMA_TYPE_MAX_:
		break;
	}
	text = *(char *const *)member;
	return text ? json_text(text) : json_null();
}

/* Has the key a value, if nobody gave one: a default, or the daemon's? */
static bool has_default(const struct schema_table *table, const struct schema_row *row)
{
	switch (row->type) {
	case SCHEMA_INT:
	case SCHEMA_POW2:
	case SCHEMA_SIZE:
	case SCHEMA_CHOICE:
	case SCHEMA_WORDS:
		return row->value ||
		       (table != &schema_daemon && schema_find(&schema_daemon, row->key) >= 0);
	default: /* the member itself says so */
		return true;
	}
}

/* A key of another back end or mode of steering, or one that means nothing without a key that was
 * not given. */
static bool belongs(const struct schema_table *table, const struct schema_row *row,
		    const struct config_object *head)
{
	const struct config_disk *disk = (const struct config_disk *)head;
	const struct config_port *port = (const struct config_port *)head;

	/* Only a disk's rows have back ends, and only a port's modes of steering. */
	if (row->steering && !(row->steering & 1u << port->steering.mode))
		return false;
	if (row->only_with && !(head->given & 1ull << schema_find(table, row->only_with)))
		return false;
	return !row->backends || row->backends & 1u << disk->backend;
}

/* Has the key a value that has an effect, given or not? */
static bool has_value(const struct schema_table *table, const struct schema_row *row,
		      const struct config_object *head)
{
	if (head->given & 1ull << (row - table->rows))
		return true;
	return has_default(table, row) && belongs(table, row, head);
}

/* "features.packed" becomes "packed" in an object "features". */
static void put(json_t *object, const char *key, json_t *value)
{
	const char *dot = strchr(key, '.');
	char group[64];
	json_t *inner;

	if (!dot) {
		json_object_set_new(object, key, value);
		return;
	}
	snprintf(group, sizeof(group), "%.*s", (int)(dot - key), key);
	inner = json_object_get(object, group);
	if (!inner) {
		inner = json_object();
		json_object_set_new(object, group, inner);
	}
	json_object_set_new(inner, dot + 1, value);
}

json_t *schema_get(const struct schema_table *table, const void *object)
{
	const struct config_object *head = object; /* every object begins with it */
	json_t *json = json_object();

	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct schema_row *row = &table->rows[i];

		put(json, row->key,
		    has_value(table, row, head)
			    ? value_json(row, (const char *)object + row->offset)
			    : json_null());
	}
	return json;
}

json_t *schema_get_given(const struct schema_table *table, const void *object)
{
	const struct config_object *head = object;
	json_t *keys = json_array();

	for (unsigned i = 0; i < table->row_cnt; i++) {
		if (head->given & 1ull << i)
			json_array_append_new(keys, json_string(table->rows[i].key));
	}
	return keys;
}
