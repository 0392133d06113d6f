/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a configuration that is being served: every key with a right and a wrong value, what
 * may not change, JSON's own kinds of values. Not the doing: tests/unit/app/test_operate.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/schema.h"
#include "stage.h"

struct key_case {
	const char *key;
	const char *good; /* another than the default */
	const char *bad;
	const char *why; /* what is said of bad */
};

static const struct key_case daemon_cases[] = {
	{"workers", "0", "x", NULL},
	{"poll", "never", "often",
	 "\"often\" is none of the choices (allowed: adaptive, always, never)"},
	{"poll-max-us", "80", "-1", "-1 is below the minimum of 0 (allowed: 0 to 1000000)"},
	{"placement", "fixed", "near",
	 "\"near\" is none of the choices (allowed: auto, fixed, off)"},
	{"rebalance-s", "0", "3601", "3601 is above the maximum of 3600 (allowed: 0 to 3600)"},
	{"coalesce.mode", "static", "on",
	 "\"on\" is none of the choices (allowed: off, static, adaptive)"},
	{"coalesce.packets", "1024", "0", "0 is below the minimum of 1 (allowed: 1 to 1024)"},
	{"coalesce.usecs", "1", "10001",
	 "10001 is above the maximum of 10000 (allowed: 1 to 10000)"},
	{"api", "/tmp/api", "", "no value is given (allowed: 1 to 107 bytes)"},
	{"log-level", "error", "loud",
	 "\"loud\" is none of the choices (allowed: error, warn, info, debug)"},
};

static const struct key_case disk_cases[] = {
	{"name", "b", "b/c",
	 "\"b/c\" has a letter that is not allowed (allowed: 1 to 64 letters, digits, '.', '_', "
	 "'-')"},
	{"backend", "ram", "tape",
	 "\"tape\" is none of the choices (allowed: file, null, ram, flash)"},
	{"path", "/tmp/x", "", "no value is given (allowed: 1 to 4095 bytes)"},
	{"size", "2M", "2X",
	 "\"2X\" is not a size (allowed: 512 to 1048576T, suffixes K, M, G, T)"},
	{"channels", "8", "0", "0 is below the minimum of 1 (allowed: 1 to 256)"},
	{"read-us", "10000000", "60000001",
	 "60000001 is above the maximum of 60000000 (allowed: 0 to 60000000)"},
	{"write-us", "0", "x", "\"x\" is not a whole number (allowed: 0 to 60000000)"},
	{"format", "raw", "qcow2", "\"qcow2\" is none of the choices (allowed: raw)"},
	{"read-only", "true", "maybe",
	 "\"maybe\" is neither true nor false (allowed: true, false)"},
	{"cache", "writeback", "write",
	 "\"write\" is none of the choices (allowed: none, writeback)"},
	{"pin-memory", "true", "1", "\"1\" is neither true nor false (allowed: true, false)"},
	{"queues", "2", "257", "257 is above the maximum of 256 (allowed: 1 to 256)"},
	{"serial", "S-1", "", "no value is given (allowed: 1 to 20 printable bytes)"},
	{"block-size", "4096", "1000",
	 "\"1000\" is not a power of two (allowed: powers of two from 512 to 4096)"},
	{"seg-max", "10", "1023", "1023 is above the maximum of 1022 (allowed: 1 to 1022)"},
	{"discard", "false", "2", "\"2\" is neither true nor false (allowed: true, false)"},
	{"socket", "/tmp/y", "", "no value is given (allowed: 1 to 107 bytes)"},
	{"connect", "/tmp/y", "", "no value is given (allowed: 1 to 107 bytes)"},
	{"fd", "9", "2", "2 is below the minimum of 3 (allowed: 3 to 2147483647)"},
	{"socket-mode", "0660", "9", "\"9\" is not an octal mode (allowed: 0001 to 0777)"},
	{"socket-owner", "1", "no-such-user-here",
	 "\"no-such-user-here\" is no user of this system (allowed: a name or a number)"},
	{"socket-group", "1", "no-such-group-here",
	 "\"no-such-group-here\" is no group of this system (allowed: a name or a number)"},
	{"any-memory", "true", "x", "\"x\" is neither true nor false (allowed: true, false)"},
	{"features.packed", "false", "x", "\"x\" is neither true nor false (allowed: true, false)"},
	{"features.in-order", "true", "x",
	 "\"x\" is neither true nor false (allowed: true, false)"},
	{"features.event-idx", "false", "x",
	 "\"x\" is neither true nor false (allowed: true, false)"},
	{"features.indirect", "false", "x",
	 "\"x\" is neither true nor false (allowed: true, false)"},
	{"workers", NULL, "3-2", NULL},
	{"poll", "always", "x", "\"x\" is none of the choices (allowed: adaptive, always, never)"},
	{"poll-max-us", "80", "1000001",
	 "1000001 is above the maximum of 1000000 (allowed: 0 to 1000000)"},
	{"placement", "off", "x", "\"x\" is none of the choices (allowed: auto, fixed, off)"},
	{"vcpus", "5,0-3", "5,,0", NULL},
	{"siblings", "true", "x", "\"x\" is neither true nor false (allowed: true, false)"},
	{"coalesce.mode", "adaptive", "x",
	 "\"x\" is none of the choices (allowed: off, static, adaptive)"},
	{"coalesce.packets", "64", "1025",
	 "1025 is above the maximum of 1024 (allowed: 1 to 1024)"},
	{"coalesce.usecs", "100", "0", "0 is below the minimum of 1 (allowed: 1 to 10000)"},
	{"rq-affinity", "2", "3", "3 is above the maximum of 2 (allowed: 0 to 2)"},
};

static const struct key_case *find_case(const struct key_case *cases, unsigned cnt, const char *key)
{
	for (unsigned i = 0; i < cnt; i++) {
		if (strcmp(cases[i].key, key) == 0)
			return &cases[i];
	}
	print_error("%s is in the schema, but not in the tables of this test\n", key);
	return NULL;
}

static void setup_stage(struct stage *s)
{
	config_set_daemon(&s->config, "api", "/tmp/pario-test-api", &s->errors);
	stage_add_disk(s, "a,path=/etc/passwd,socket=/tmp/pario-test-a,poll-max-us=7");
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
}

static json_t *change(const char *key, const char *text)
{
	return json_pack("{s:s}", key, text);
}

static struct config_disk *change_disk(struct stage *s, json_t *changes)
{
	struct config_object *copy = config_change(
		&s->config, config_at(&s->config, CONFIG_DISK, 0), changes, &s->errors);

	json_decref(changes);
	return (struct config_disk *)copy;
}

static struct config_daemon *change_daemon(struct stage *s, json_t *changes)
{
	struct config_daemon *copy = config_change_daemon(&s->config, changes, &s->errors);

	json_decref(changes);
	return copy;
}

/* Exactly one complaint about the key; why NULL: whatever it says. */
static void one_complaint(struct stage *s, const char *path, const char *key, const char *why)
{
	char line[ERR_TEXT_BYTES];

	assert_int_equal(s->errors.cnt, 1);
	snprintf(line, sizeof(line), "%s.%s: %s", path, key, why ? why : "");
	if (why)
		assert_string_equal(s->line[0], line);
	else
		assert_int_equal(strncmp(s->line[0], line, strlen(line)), 0);
	s->errors.cnt = 0;
}

/* Is the value of the row in object what text stands for? For types of run-time keys. */
static void assert_value(const struct schema_row *row, const void *object, const char *text)
{
	union {
		struct config_daemon daemon;
		struct config_disk disk;
	} want;
	const char *value = (const char *)object + row->offset;
	const char *expected = (const char *)&want + row->offset;

	memset(&want, 0, sizeof(want));
	assert_int_equal(schema_set(row, &want, text, NULL), 0);
	if (row->type == SCHEMA_ORDER) {
		assert_string_equal(*(char *const *)value, *(char *const *)expected);
		free(*(char *const *)expected);
	} else if (row->type == SCHEMA_CPUS) {
		assert_memory_equal(value, expected, sizeof(cpu_set_t));
	} else if (row->type == SCHEMA_BOOL) {
		assert_int_equal(*value, *expected);
	} else {
		assert_true(row->type == SCHEMA_INT || row->type == SCHEMA_CHOICE);
		assert_memory_equal(value, expected, sizeof(uint32_t));
	}
}

static void refused_at_run_time(struct stage *s, const struct schema_table *table, const char *path,
				const char *key)
{
	one_complaint(s, path, key,
		      table == &schema_disk
			      ? "cannot be changed while it runs; remove the disk and add it anew"
			      : "cannot be changed while it runs; start the daemon anew");
}

static void test_every_key_of_daemon(void **state)
{
	(void)state;
	for (unsigned i = 0; i < schema_daemon.row_cnt; i++) {
		const struct schema_row *row = &schema_daemon.rows[i];
		const struct key_case *c =
			find_case(daemon_cases, ARRAY_LEN(daemon_cases), row->key);
		struct stage *s = stage_begin();
		struct config_daemon *copy;

		assert_non_null(c);
		setup_stage(s);
		assert_null(change_daemon(s, change(row->key, c->bad)));
		if (row->runtime)
			one_complaint(s, "daemon", row->key, c->why);
		else
			refused_at_run_time(s, &schema_daemon, "daemon", row->key);
		copy = change_daemon(s, change(row->key, c->good));
		if (row->runtime) {
			stage_said(s, NULL);
			assert_value(row, copy, c->good);
			assert_false(config_given(&s->config.daemon.object, row->key));
			config_take(&s->config.daemon.object, &copy->object);
			assert_value(row, &s->config.daemon, c->good);
			assert_true(config_given(&s->config.daemon.object, row->key));
		} else {
			assert_null(copy);
			refused_at_run_time(s, &schema_daemon, "daemon", row->key);
		}
		stage_end(s);
	}
}

/* A CPU list that is right on any machine: the one worker that it has at least. */
static const char *good_value(const struct stage *s, const struct key_case *c)
{
	static char text[16];

	for (int cpu = 0; !c->good && cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &s->config.daemon.workers))
			continue;
		snprintf(text, sizeof(text), "%d", cpu);
		return text;
	}
	return c->good;
}

static void change_key_of_disk(struct stage *s, const struct schema_row *row,
			       const struct key_case *c)
{
	const char *good = good_value(s, c);
	struct config_disk *copy = change_disk(s, change(row->key, c->bad));

	assert_null(copy);
	if (row->runtime)
		one_complaint(s, "disk a", row->key, c->why);
	else
		refused_at_run_time(s, &schema_disk, "disk a", row->key);
	copy = change_disk(s, change(row->key, good));
	if (!row->runtime) {
		assert_null(copy);
		refused_at_run_time(s, &schema_disk, "disk a", row->key);
		return;
	}
	stage_said(s, NULL);
	assert_value(row, copy, good);
	config_take(config_at(&s->config, CONFIG_DISK, 0), &copy->object);
	assert_value(row, config_disk_at(&s->config, 0), good);
	assert_true(config_given(config_at(&s->config, CONFIG_DISK, 0), row->key));
	/* And back to what it is when nobody says anything. */
	copy = change_disk(s, json_pack("{s:n}", row->key));
	stage_said(s, NULL);
	config_take(config_at(&s->config, CONFIG_DISK, 0), &copy->object);
	assert_false(config_given(config_at(&s->config, CONFIG_DISK, 0), row->key));
	if (row->value)
		assert_value(row, config_disk_at(&s->config, 0), row->value);
}

/* The same mistake when a disk is added reads the same. */
static void add_with_key(struct stage *s, const struct schema_row *row, const struct key_case *c)
{
	json_t *spec = json_pack("{s:s, s:s, s:s}", "name", "b", "path", "/etc/passwd", "socket",
				 "/tmp/pario-test-b");

	json_object_set_new(spec, row->key, json_string(c->bad));
	assert_false(config_append(&s->config, CONFIG_DISK, spec, &s->errors));
	/* A wrong name is nobody's. */
	one_complaint(s, strcmp(row->key, "name") == 0 ? "disk" : "disk b", row->key, c->why);
	assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 1);
	json_decref(spec);
}

static void test_every_key_of_disk(void **state)
{
	(void)state;
	for (unsigned i = 0; i < schema_disk.row_cnt; i++) {
		const struct schema_row *row = &schema_disk.rows[i];
		const struct key_case *c = find_case(disk_cases, ARRAY_LEN(disk_cases), row->key);
		struct stage *s = stage_begin();
		struct config_disk scratch = {0};

		assert_non_null(c);
		setup_stage(s);
		change_key_of_disk(s, row, c);
		/* fd is refused as a whole, below. */
		if (strcmp(row->key, "fd") != 0)
			add_with_key(s, row, c);
		assert_int_equal(schema_set(row, &scratch, good_value(s, c), NULL), 0);
		schema_clear(&schema_disk, &scratch);
		stage_end(s);
	}
}

static void test_json_kinds(void **state)
{
	static const struct {
		const char *json;
		const char *line; /* NULL: taken, as poll-max-us 80 */
	} cases[] = {
		{"{\"poll-max-us\": 80}", NULL},
		{"{\"poll-max-us\": \"80\"}", NULL},
		{"{\"poll-max-us\": 80, \"siblings\": true, \"coalesce\": {\"usecs\": 5}}", NULL},
		{"{\"poll-max-us\": 2.5}", "disk a.poll-max-us: \"2.5\" is not a whole number "
					   "(allowed: 0 to 1000000)"},
		{"{\"poll-max-us\": true}", "disk a.poll-max-us: \"true\" is not a whole number "
					    "(allowed: 0 to 1000000)"},
		{"{\"poll-max-us\": [80]}", "disk a.poll-max-us: one value is needed, not a list"},
		{"{\"poll-max-us\": {\"a\": 1}}",
		 "disk a.poll-max-us: one value is needed, not a mapping"},
		{"{\"poll-max-us\": \"8\\u00000\"}",
		 "disk a.poll-max-us: no value is given (allowed: 0 to 1000000)"},
		{"{\"coalesce\": 5}", "disk a.coalesce: a mapping of keys to values is needed"},
		{"{\"coalesce\": {\"usecs\": {\"x\": 5}}}",
		 "disk a.coalesce.usecs: one value is needed, not a mapping"},
		{"{\"coalesce.usecs\": 5, \"coalesce\": {\"usecs\": 6}}",
		 "disk a.coalesce.usecs: given twice"},
		{"{\"pol\": 5}", "disk a.pol: unknown key (did you mean poll?)"},
		{"{\"serial\": null}", "disk a.serial: cannot be changed while it runs; remove "
				       "the disk and add it anew"},
		{"{}", "disk a: no key to change is given"},
		{"[]", "disk a: a mapping of keys to values is needed"},
		{"\"poll\"", "disk a: a mapping of keys to values is needed"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct stage *s = stage_begin();
		json_t *changes = json_loads(cases[i].json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		struct config_disk *copy;

		setup_stage(s);
		assert_non_null(changes);
		copy = change_disk(s, changes);
		stage_said(s, cases[i].line, NULL);
		assert_int_equal(!copy, !!cases[i].line);
		if (copy) {
			assert_int_equal(copy->front.poll_max_us, 80);
			config_discard(&copy->object);
		}
		/* Never the object itself. */
		assert_int_equal(config_disk_at(&s->config, 0)->front.poll_max_us, 7);
		stage_end(s);
	}
}

static void test_changes_are_cross_checked(void **state)
{
	struct stage *s = stage_begin();

	(void)state;
	stage_add_disk(s, "a,backend=null,size=1M,socket=/tmp/pario-test-a");
	config_finish(&s->config, &s->errors);
	assert_null(change_disk(s, change("rq-affinity", "1")));
	stage_said(s, "disk a.rq-affinity: does not belong to backend null (allowed with: file)",
		   NULL);
	stage_end(s);
}

/* A disk follows the daemon in what it was never given itself. */
static void test_following(void **state)
{
	struct stage *s = stage_begin();
	struct config_daemon *daemon;
	struct config_disk *disk;

	(void)state;
	setup_stage(s);
	daemon = change_daemon(s, json_pack("{s:i, s:s}", "poll-max-us", 99, "poll", "never"));
	disk = (struct config_disk *)config_follow(
		&s->config, config_at(&s->config, CONFIG_DISK, 0), daemon, &s->errors);
	stage_said(s, NULL);
	assert_int_equal(disk->front.poll, POLL_MODE_NEVER);
	assert_int_equal(disk->front.poll_max_us, 7);
	assert_int_equal(config_disk_at(&s->config, 0)->front.poll, POLL_MODE_ADAPTIVE);
	assert_int_equal(s->config.daemon.poll, POLL_MODE_ADAPTIVE);
	config_discard(&disk->object);
	config_discard(&daemon->object);
	stage_end(s);
}

static void test_adding_and_removing(void **state)
{
	struct stage *s = stage_begin();
	json_t *spec = json_pack("{s:s, s:s, s:s, s:s, s:i, s:{s:b}}", "name", "b", "backend",
				 "ram", "size", "1M", "socket", "/tmp/pario-test-b", "queues", 2,
				 "features", "packed", 0);
	const struct config_disk *first;

	(void)state;
	setup_stage(s);
	first = config_disk_at(&s->config, 0);
	assert_true(config_append(&s->config, CONFIG_DISK, spec, &s->errors));
	stage_said(s, NULL);
	assert_ptr_equal(config_disk_at(&s->config, 0), first);
	assert_int_equal(config_disk_at(&s->config, 1)->queues, 2);
	assert_false(config_disk_at(&s->config, 1)->front.features.packed);
	assert_int_equal(config_disk_at(&s->config, 1)->front.poll_max_us,
			 s->config.daemon.poll_max_us);
	assert_ptr_equal(config_find(&s->config, CONFIG_DISK, "b"),
			 config_at(&s->config, CONFIG_DISK, 1));
	assert_null(config_find(&s->config, CONFIG_DISK, "c"));
	assert_null(config_find(&s->config, CONFIG_PORT, "b"));

	assert_false(config_append(&s->config, CONFIG_DISK, spec, &s->errors));
	stage_said(s, "disk b.name: \"b\" is already the name of another disk",
		   "disk b.socket: \"/tmp/pario-test-b\" is already the socket of disk b", NULL);
	assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 2);

	config_remove(&s->config, config_at(&s->config, CONFIG_DISK, 0));
	assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 1);
	assert_string_equal(config_disk_at(&s->config, 0)->object.name, "b");
	json_decref(spec);
	stage_end(s);
}

static void test_refused_specs(void **state)
{
	static const struct {
		const char *json;
		const char *line;
	} cases[] = {
		{"[]", "disk: a mapping of keys to values is needed"},
		{"{\"name\": \"b\", \"backend\": \"null\", \"size\": \"1M\", \"fd\": 3}",
		 "disk b.fd: belongs to the command that starts the daemon; a running one needs "
		 "socket or connect"},
		{"{\"name\": null, \"backend\": \"null\", \"size\": \"1M\", \"socket\": "
		 "\"/tmp/b\"}",
		 "disk.name: one value is needed, not a null"},
		{"{\"backend\": \"null\", \"size\": \"1M\", \"socket\": \"/tmp/b\"}",
		 "disk.name: missing: every disk needs a name"},
		{"{\"name\": \"daemon\", \"backend\": \"null\", \"size\": \"1M\", \"socket\": "
		 "\"/tmp/b\"}",
		 "disk daemon.name: \"daemon\" is what pario calls the daemon itself; choose "
		 "another"},
		{"{\"name\": \"b\", \"path\": \"/no/such/file\", \"socket\": \"/tmp/b\"}",
		 "disk b.path: /no/such/file does not exist; create it (truncate -s 10G "
		 "/no/such/file) or correct the path"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct stage *s = stage_begin();
		json_t *spec = json_loads(cases[i].json, 0, NULL);

		setup_stage(s);
		assert_false(config_append(&s->config, CONFIG_DISK, spec, &s->errors));
		stage_said(s, cases[i].line, NULL);
		assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 1);
		json_decref(spec);
		stage_end(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key_of_daemon),
		cmocka_unit_test(test_every_key_of_disk),
		cmocka_unit_test(test_json_kinds),
		cmocka_unit_test(test_changes_are_cross_checked),
		cmocka_unit_test(test_following),
		cmocka_unit_test(test_adding_and_removing),
		cmocka_unit_test(test_refused_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
