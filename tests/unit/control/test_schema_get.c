/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is shown of an object can be given back: schema_get() against schema_set(), for every row.
 * Not the parsing itself (test_schema.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "control/config.h"
#include "control/schema.h"

/* The value of a key, nested ones included; borrowed. */
static json_t *find(json_t *json, const char *key)
{
	const char *dot = strchr(key, '.');
	char group[32];

	if (!dot)
		return json_object_get(json, key);
	snprintf(group, sizeof(group), "%.*s", (int)(dot - key), key);
	return json_object_get(json_object_get(json, group), dot + 1);
}

/* As a client would write it. */
static void text_of(const json_t *value, char *buf, size_t size)
{
	if (json_is_string(value))
		snprintf(buf, size, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(buf, size, "%s", json_is_true(value) ? "true" : "false");
	else
		snprintf(buf, size, "%lld", (long long)json_integer_value(value));
}

/* A value that differs from the default where there is a choice. */
static void sample(const struct schema_row *row, char *buf, size_t size)
{
	static const char *const words[SCHEMA_TYPE_MAX_] = {
		[SCHEMA_BOOL] = "true",    [SCHEMA_POW2] = "1024",
		[SCHEMA_SIZE] = "3M",      [SCHEMA_MODE] = "0640",
		[SCHEMA_NAME] = "n.a-m_e", [SCHEMA_TEXT] = "some text",
		[SCHEMA_PATH] = "/a,b\"c", [SCHEMA_CPUS] = "1-2,5",
		[SCHEMA_ORDER] = "5,1-2",  [SCHEMA_USER] = "0",
		[SCHEMA_GROUP] = "0",      [SCHEMA_MAC] = "02:00:00:00:00:01",
		[SCHEMA_VLANS] = "1,5-7",  [SCHEMA_KEY] = "00:ff:a0",
		[SCHEMA_TABLE] = "3,0",    [SCHEMA_WORDS] = "ipv4,udpv6",
	};

	if (row->type == SCHEMA_CHOICE)
		snprintf(buf, size, "%s", row->choice(row->choice(1) ? 1 : 0));
	else if (words[row->type])
		snprintf(buf, size, "%s", words[row->type]);
	else
		snprintf(buf, size, "%llu", (unsigned long long)row->max);
}

static void check_row(const struct schema_table *table, const struct schema_row *row,
		      struct config_object *object, struct config_object *other)
{
	json_t *json, *again;
	char text[256];

	sample(row, text, sizeof(text));
	assert_int_equal(schema_set(row, object, text, NULL), 0);
	object->given |= 1ull << (row - table->rows);
	other->given = object->given;
	json = schema_get(table, object);
	assert_non_null(find(json, row->key));
	assert_false(json_is_null(find(json, row->key)));
	text_of(find(json, row->key), text, sizeof(text));
	assert_int_equal(schema_set(row, other, text, NULL), 0);
	again = schema_get(table, other);
	assert_true(json_equal(find(json, row->key), find(again, row->key)));
	json_decref(json);
	json_decref(again);
}

/* In a disk of backend file and a port that learns, without any key given. */
static bool means_something(const struct schema_row *row)
{
	return !row->only_with && (!row->steering || row->steering & 1u << NET_STEERING_LEARN) &&
	       (!row->backends || row->backends & 1u << STORAGE_BACKEND_FILE);
}

static void check_table(const struct schema_table *table, void *object, void *other)
{
	json_t *json;

	schema_set_defaults(table, object);
	schema_set_defaults(table, other);
	json = schema_get(table, object);
	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct schema_row *row = &table->rows[i];
		bool inherits = table != &schema_daemon &&
				schema_find(&schema_daemon, row->key) >= 0;

		assert_non_null(find(json, row->key));
		/* What has no default, and nobody gave, is shown as nothing. */
		if (!row->value && !inherits)
			assert_true(json_is_null(find(json, row->key)));
		if (row->value)
			assert_int_equal(json_is_null(find(json, row->key)), !means_something(row));
	}
	json_decref(json);
	for (unsigned i = 0; i < table->row_cnt; i++)
		check_row(table, &table->rows[i], object, other);
	json = schema_get_given(table, object);
	assert_int_equal(json_array_size(json), table->row_cnt);
	json_decref(json);
	schema_clear(table, object);
	schema_clear(table, other);
}

static void test_disk(void **state)
{
	static struct config_disk disk, other;

	(void)state;
	check_table(&schema_disk, &disk, &other);
}

static void test_net(void **state)
{
	static struct config_switch net, other_net;
	static struct config_port port, other_port;
	static struct config_uplink uplink, other_uplink;

	(void)state;
	check_table(&schema_switch, &net, &other_net);
	check_table(&schema_port, &port, &other_port);
	check_table(&schema_uplink, &uplink, &other_uplink);
}

static void test_daemon(void **state)
{
	static struct config_daemon daemon, other;

	(void)state;
	check_table(&schema_daemon, &daemon, &other);
}

/* A file's name may be any bytes, JSON's strings may not. */
static void test_path_that_is_no_text(void **state)
{
	static struct config_disk disk;
	int row = schema_find(&schema_disk, "path");
	json_t *json;

	(void)state;
	schema_set_defaults(&schema_disk, &disk);
	assert_int_equal(schema_set(&schema_disk.rows[row], &disk, "a\xff", NULL), 0);
	json = schema_get(&schema_disk, &disk);
	assert_string_equal(json_string_value(find(json, "path")), "a?");
	json_decref(json);
	schema_clear(&schema_disk, &disk);
}

/* Nobody who looks at a disk in memory wants to know of flash channels and of O_DIRECT. */
static void test_what_belongs(void **state)
{
	static const struct {
		enum storage_backend backend;
		const char *shown, *not_shown;
	} cases[] = {
		{STORAGE_BACKEND_FILE, "cache", "channels"},
		{STORAGE_BACKEND_RAM, "poll", "channels"},
		{STORAGE_BACKEND_RAM, "queues", "pin-memory"},
		{STORAGE_BACKEND_FLASH, "read-us", "cache"},
	};
	static struct config_disk disk;
	const uint64_t socket = 1ull << schema_find(&schema_disk, "socket");
	json_t *json;

	(void)state;
	schema_set_defaults(&schema_disk, &disk);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		disk.backend = cases[i].backend;
		json = schema_get(&schema_disk, &disk);
		assert_false(json_is_null(find(json, cases[i].shown)));
		assert_true(json_is_null(find(json, cases[i].not_shown)));
		assert_true(json_is_null(find(json, "socket-mode")));
		json_decref(json);
	}
	disk.object.given = socket;
	json = schema_get(&schema_disk, &disk);
	assert_string_equal(json_string_value(find(json, "socket-mode")), "0600");
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk),         cmocka_unit_test(test_net),
		cmocka_unit_test(test_daemon),       cmocka_unit_test(test_path_that_is_no_text),
		cmocka_unit_test(test_what_belongs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
