/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema's rows: every type with right and wrong values and the exact words for the wrong
 * ones, defaults, names and their neighbours. Not sources of values (test_config.c, test_yaml.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "control/schema.h"

#define LONG_16 "0123456789abcdef"
#define LONG_64 LONG_16 LONG_16 LONG_16 LONG_16
#define SIZES "(allowed: 512 to 1048576T, suffixes K, M, G, T)"
#define SHOWN_48 LONG_16 LONG_16 LONG_16

struct row_case {
	const char *key;
	const char *text;
	const char *error; /* NULL: taken */
};

static const struct row_case cases[] = {
	{"queues", "1", NULL},
	{"queues", "256", NULL},
	{"queues", "0064", NULL},
	{"queues", "0", "0 is below the minimum of 1 (allowed: 1 to 256)"},
	{"queues", "-3", "-3 is below the minimum of 1 (allowed: 1 to 256)"},
	{"queues", "257", "257 is above the maximum of 256 (allowed: 1 to 256)"},
	{"queues", "18446744073709551617",
	 "18446744073709551617 is above the maximum of 256 (allowed: 1 to 256)"},
	{"queues", "-99999999999999999999",
	 "-99999999999999999999 is below the minimum of 1 (allowed: 1 to 256)"},
	{"queues", "", "no value is given (allowed: 1 to 256)"},
	{"queues", "-", "\"-\" is not a whole number (allowed: 1 to 256)"},
	{"queues", "four", "\"four\" is not a whole number (allowed: 1 to 256)"},
	{"queues", "4.0", "\"4.0\" is not a whole number (allowed: 1 to 256)"},
	{"queues", "4 ", "\"4 \" is not a whole number (allowed: 1 to 256)"},
	{"queues", "+4", "\"+4\" is not a whole number (allowed: 1 to 256)"},
	{"queues", "0x10", "\"0x10\" is not a whole number (allowed: 1 to 256)"},
	{"queues", LONG_64, "\"" SHOWN_48 "...\" is not a whole number (allowed: 1 to 256)"},
	{"poll-max-us", "0", NULL},
	{"poll-max-us", "1000001",
	 "1000001 is above the maximum of 1000000 (allowed: 0 to 1000000)"},

	{"block-size", "512", NULL},
	{"block-size", "4096", NULL},
	{"block-size", "1000",
	 "\"1000\" is not a power of two (allowed: powers of two from 512 to 4096)"},
	{"block-size", "256",
	 "256 is below the minimum of 512 (allowed: powers of two from 512 to 4096)"},

	{"size", "512", NULL},
	{"size", "1G", NULL},
	{"size", "3t", NULL},
	{"size", "1048576T", NULL},
	{"size", "0", "0 is below the minimum of 512 " SIZES},
	{"size", "-1G", "-1G is below the minimum of 512 " SIZES},
	{"size", "1048577T", "1048577T is above the maximum of 1048576T " SIZES},
	{"size", "16777216T", "16777216T is above the maximum of 1048576T " SIZES},
	{"size", "1000", "\"1000\" is not a multiple of 512 " SIZES},
	{"size", "10Q", "\"10Q\" is not a size " SIZES},
	{"size", "10GB", "\"10GB\" is not a size " SIZES},
	{"size", "G", "\"G\" is not a size " SIZES},
	{"size", "", "no value is given " SIZES},

	{"read-only", "true", NULL},
	{"read-only", "off", NULL},
	{"read-only", "yes", NULL},
	{"read-only", "1", "\"1\" is neither true nor false (allowed: true, false)"},
	{"read-only", "True", "\"True\" is neither true nor false (allowed: true, false)"},
	{"features.packed", "maybe", "\"maybe\" is neither true nor false (allowed: true, false)"},

	{"backend", "null", NULL},
	{"backend", "ramdisk",
	 "\"ramdisk\" is none of the choices (allowed: file, null, ram, flash)"},
	{"backend", "flash", NULL},
	{"channels", "1", NULL},
	{"channels", "256", NULL},
	{"channels", "0", "0 is below the minimum of 1 (allowed: 1 to 256)"},
	{"channels", "257", "257 is above the maximum of 256 (allowed: 1 to 256)"},
	{"read-us", "0", NULL},
	{"read-us", "fast", "\"fast\" is not a whole number (allowed: 0 to 60000000)"},
	{"write-us", "60000001",
	 "60000001 is above the maximum of 60000000 (allowed: 0 to 60000000)"},
	{"cache", "none", NULL},
	{"cache", "writethrough",
	 "\"writethrough\" is none of the choices (allowed: none, writeback)"},
	{"format", "raw", NULL},
	{"format", "qcow2", "\"qcow2\" is none of the choices (allowed: raw)"},
	{"poll", "always", NULL},
	{"poll", "sometimes",
	 "\"sometimes\" is none of the choices (allowed: adaptive, always, never)"},

	{"name", "vda.1_2-X", NULL},
	{"name", "no", NULL},
	{"name", "a b",
	 "\"a b\" has a letter that is not allowed (allowed: 1 to 64 letters, digits, '.', '_', "
	 "'-')"},
	{"name", LONG_64 "x",
	 "\"" SHOWN_48 "...\" has 65 bytes, the maximum is 64 (allowed: 1 to 64 letters, digits, "
	 "'.', '_', '-')"},
	{"serial", "a serial: 12345/6.78", NULL},
	{"serial", "123456789012345678901",
	 "\"123456789012345678901\" has 21 bytes, the maximum is 20 (allowed: 1 to 20 printable "
	 "bytes)"},
	{"serial", "a\tb", "\"a?b\" has a control character (allowed: 1 to 20 printable bytes)"},
	{"path", "/srv/my disk, old.raw", NULL},
	{"path", "", "no value is given (allowed: 1 to 4095 bytes)"},
	{"socket", LONG_64 LONG_16 LONG_16 "0123456789a", NULL},
	{"socket", LONG_64 LONG_16 LONG_16 "0123456789ab",
	 "\"" SHOWN_48 "...\" has 108 bytes, the maximum is 107 (allowed: 1 to 107 bytes)"},

	{"fd", "3", NULL},
	{"fd", "2", "2 is below the minimum of 3 (allowed: 3 to 2147483647)"},
	{"socket-mode", "660", NULL},
	{"socket-mode", "0777", NULL},
	{"socket-mode", "0", "0 is below the minimum of 0001 (allowed: 0001 to 0777)"},
	{"socket-mode", "1777", "1777 is above the maximum of 0777 (allowed: 0001 to 0777)"},
	{"socket-mode", "0888", "\"0888\" is not an octal mode (allowed: 0001 to 0777)"},
	{"socket-mode", "rw-r--r--", "\"rw-r--r--\" is not an octal mode (allowed: 0001 to 0777)"},
	{"socket-owner", "root", NULL},
	{"socket-owner", "12345", NULL},
	{"socket-owner", "no-such-user-here",
	 "\"no-such-user-here\" is no user of this system (allowed: a name or a number)"},
	{"socket-owner", "4294967295",
	 "\"4294967295\" is no valid number (allowed: a name or a number)"},
	{"socket-group", "root", NULL},
	{"socket-group", "no-such-group-here",
	 "\"no-such-group-here\" is no group of this system (allowed: a name or a number)"},

	{"workers", "0", NULL},
	{"workers", "2-3,5", NULL},
};

static void test_values(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct row_case *c = &cases[i];
		int idx = schema_find(&schema_disk, c->key);
		struct config_disk disk = {0};
		struct err err = ERR_INIT;
		int rc;

		assert_true(idx >= 0);
		rc = schema_set(&schema_disk.rows[idx], &disk, c->text, &err);
		assert_string_equal(err.text, c->error ? c->error : "");
		assert_int_equal(rc, c->error ? -EINVAL : 0);
		schema_clear(&schema_disk, &disk);
	}
}

/* The words are base/cpuset.c's; that they come through is the schema's. */
static void test_cpu_list(void **state)
{
	int idx = schema_find(&schema_disk, "workers");
	struct config_disk disk = {0};
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(schema_set(&schema_disk.rows[idx], &disk, "2-3,5", &err), 0);
	assert_int_equal(CPU_COUNT(&disk.front.workers), 3);
	assert_int_equal(schema_set(&schema_disk.rows[idx], &disk, "3-2", &err), -EINVAL);
	assert_non_null(strstr(err.text, "3-2"));
	assert_non_null(strstr(err.text, "reversed"));
	assert_int_equal(CPU_COUNT(&disk.front.workers), 3);
}

static int set(struct config_disk *disk, const char *key, const char *text)
{
	return schema_set(&schema_disk.rows[schema_find(&schema_disk, key)], disk, text, NULL);
}

static void test_values_arrive(void **state)
{
	struct config_disk disk = {0};

	(void)state;
	assert_int_equal(set(&disk, "queues", "0064"), 0);
	assert_int_equal(disk.queues, 64);
	assert_int_equal(set(&disk, "size", "3t"), 0);
	assert_true(disk.size_bytes == 3ull << 40);
	assert_int_equal(set(&disk, "backend", "ram"), 0);
	assert_int_equal(disk.backend, STORAGE_BACKEND_RAM);
	assert_int_equal(set(&disk, "socket-mode", "660"), 0);
	assert_int_equal(disk.front.socket_mode, 0660);
	assert_int_equal(set(&disk, "socket-owner", "12345"), 0);
	assert_int_equal(disk.front.socket_owner, 12345);
	assert_int_equal(set(&disk, "socket-group", "root"), 0);
	assert_int_equal(disk.front.socket_group, 0);
	assert_int_equal(set(&disk, "fd", "7"), 0);
	assert_int_equal(disk.front.fd, 7);
	assert_int_equal(set(&disk, "features.in-order", "on"), 0);
	assert_true(disk.front.features.in_order);
	assert_int_equal(set(&disk, "path", "a"), 0);
	assert_int_equal(set(&disk, "path", "b"), 0);
	assert_string_equal(disk.path, "b");
	/* A refused value leaves the one before. */
	assert_int_equal(set(&disk, "path", ""), -EINVAL);
	assert_string_equal(disk.path, "b");
	assert_int_equal(set(&disk, "queues", "0"), -EINVAL);
	assert_int_equal(disk.queues, 64);
	schema_clear(&schema_disk, &disk);
	assert_null(disk.path);
}

static void test_defaults(void **state)
{
	struct config_daemon daemon = {0};
	struct config_disk disk = {0};

	(void)state;
	schema_set_defaults(&schema_daemon, &daemon);
	assert_int_equal(daemon.poll, POLL_MODE_ADAPTIVE);
	assert_int_equal(daemon.poll_max_us, 200);
	assert_int_equal(daemon.log_level, LOG_LEVEL_INFO);
	assert_int_equal(daemon.placement, PLACEMENT_AUTO);
	assert_int_equal(daemon.rebalance_s, 10);
	assert_int_equal(daemon.coalesce.mode, COALESCE_OFF);
	assert_int_equal(daemon.coalesce.packets, 16);
	assert_int_equal(daemon.coalesce.usecs, 50);
	assert_null(daemon.api_path);

	schema_set_defaults(&schema_disk, &disk);
	assert_int_equal(disk.backend, STORAGE_BACKEND_FILE);
	assert_int_equal(disk.cache, STORAGE_CACHE_NONE);
	assert_int_equal(disk.queues, 64);
	assert_int_equal(disk.seg_max, 126);
	assert_int_equal(disk.front.fd, -1);
	assert_int_equal(disk.front.socket_mode, 0600);
	assert_true(disk.front.socket_owner == (uid_t)-1);
	assert_true(disk.front.socket_group == (gid_t)-1);
	assert_true(disk.discard);
	assert_false(disk.read_only);
	assert_false(disk.pin_memory);
	assert_false(disk.front.any_memory);
	assert_true(disk.front.features.packed);
	assert_true(disk.front.features.event_idx);
	assert_true(disk.front.features.indirect);
	assert_false(disk.front.features.in_order);
	assert_null(disk.object.name);
	assert_null(disk.path);
	assert_null(disk.serial);
}

/* What every view relies on. */
static void test_rows_are_whole(void **state)
{
	static const struct schema_table *const tables[] = {&schema_daemon, &schema_disk};

	(void)state;
	for (unsigned t = 0; t < ARRAY_LEN(tables); t++) {
		for (unsigned i = 0; i < tables[t]->row_cnt; i++) {
			const struct schema_row *row = &tables[t]->rows[i];
			char allowed[96];

			assert_int_equal(schema_find(tables[t], row->key), i);
			assert_true(!row->value != !row->value_in_words);
			assert_true(*schema_runtime_text(row) ? row->runtime : !row->runtime);
			assert_true(row->help[strlen(row->help) - 1] == '.');
			schema_allowed_text(row, allowed, sizeof(allowed));
			assert_true(strlen(allowed) < sizeof(allowed) - 1);
			if (row->only_with)
				assert_true(schema_find(tables[t], row->only_with) >= 0);
		}
	}
}

static void test_nearest(void **state)
{
	(void)state;
	assert_string_equal(schema_nearest(&schema_disk, "queue"), "queues");
	assert_string_equal(schema_nearest(&schema_disk, "readonly"), "read-only");
	assert_string_equal(schema_nearest(&schema_disk, "read_only"), "read-only");
	assert_string_equal(schema_nearest(&schema_disk, "packed"), "features.packed");
	assert_string_equal(schema_nearest(&schema_disk, "features.paked"), "features.packed");
	assert_string_equal(schema_nearest(&schema_disk, "sokcet"), "socket");
	assert_null(schema_nearest(&schema_disk, "switch-mac-table"));
	assert_null(schema_nearest(&schema_disk, "zz"));
	assert_null(schema_nearest(&schema_disk, ""));
	assert_true(schema_is_group(&schema_disk, "features"));
	assert_false(schema_is_group(&schema_disk, "feature"));
	assert_false(schema_is_group(&schema_disk, "features.packed"));
	assert_int_equal(schema_distance("kitten", "sitting", 9), 3);
	assert_int_equal(schema_distance("", "abc", 9), 3);
	assert_int_equal(schema_distance("abc", "abc", 9), 0);
	assert_int_equal(schema_distance(LONG_64, "abc", 9), 9);
}

static void test_size_text(void **state)
{
	char buf[32];

	(void)state;
	schema_size_text(512, buf, sizeof(buf));
	assert_string_equal(buf, "512");
	schema_size_text(1536ull << 20, buf, sizeof(buf));
	assert_string_equal(buf, "1536M");
	schema_size_text(1ull << 60, buf, sizeof(buf));
	assert_string_equal(buf, "1048576T");
	schema_size_text(0, buf, sizeof(buf));
	assert_string_equal(buf, "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),         cmocka_unit_test(test_cpu_list),
		cmocka_unit_test(test_values_arrive),  cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_rows_are_whole), cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_size_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
