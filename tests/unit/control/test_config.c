/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a configuration together: --disk values, daemon keys, the order of sources.
 * Not YAML's own errors (test_yaml.c) and not what keys mean together (test_rules.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "stage.h"

static int setup(void **state)
{
	*state = stage_begin();
	return 0;
}

static int teardown(void **state)
{
	stage_end(*state);
	return 0;
}

static void test_disk_of_command_line(void **state)
{
	struct stage *s = *state;
	const struct config_disk *disk;

	stage_add_disk(s,
		       "vda,path=/srv/a,,b=c.raw,socket=/run/vda.sock,queues=4,features.packed=off,"
		       "read-only=on");
	stage_said(s, NULL);
	assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 1);
	disk = config_disk_at(&s->config, 0);
	assert_string_equal(disk->object.name, "vda");
	assert_string_equal(disk->path, "/srv/a,b=c.raw");
	assert_string_equal(disk->front.socket_path, "/run/vda.sock");
	assert_int_equal(disk->queues, 4);
	assert_false(disk->front.features.packed);
	assert_true(disk->front.features.event_idx);
	assert_true(disk->read_only);
	assert_true(config_given(&disk->object, "queues"));
	assert_true(config_given(&disk->object, "features.packed"));
	assert_false(config_given(&disk->object, "seg-max"));
}

static void test_commas(void **state)
{
	static const struct {
		const char *spec;
		const char *path;
	} cases[] = {
		{"a,path=,,", ","},    {"a,path=x,,", "x,"},
		{"a,path=,,,,", ",,"}, {"a,path=,,x,,y,,,queues=1", ",x,y,"},
		{"a,path=x=y", "x=y"}, {"a,path==", "="},
	};
	struct stage *s = *state;

	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		stage_add_disk(s, cases[i].spec);
		stage_said(s, NULL);
		assert_string_equal(config_disk_at(&s->config, i)->path, cases[i].path);
	}
}

struct spec_case {
	const char *spec;
	const char *line;
};

static const struct spec_case spec_cases[] = {
	{"", "--disk: \"\" does not begin with a name (write --disk NAME,KEY=VALUE,...)"},
	{",path=x", "--disk: \",path=x\" does not begin with a name (write --disk "
		    "NAME,KEY=VALUE,...)"},
	{"path=x,socket=y", "--disk: \"path=x,socket=y\" does not begin with a name (write --disk "
			    "NAME,KEY=VALUE,...)"},
	{"vda,read-only", "--disk vda: disks[0]: \"read-only\" is not KEY=VALUE (a comma in a "
			  "value is written ,,)"},
	{"vda,path=a,", "--disk vda: disks[0]: \"\" is not KEY=VALUE (a comma in a value is "
			"written ,,)"},
	{"vda,=x", "--disk vda: disks[0]: \"=x\" is not KEY=VALUE (a comma in a value is written "
		   ",,)"},
	{"vda,path=a,path=b", "--disk vda: disks[0]: path is given twice"},
	{"vda,name=vdb", "--disk vda: disks[0]: name is given twice"},
	{"vda,queues=0",
	 "--disk vda: disks[0].queues: 0 is below the minimum of 1 (allowed: 1 to 256)"},
	{"vda,queeues=4", "--disk vda: disks[0].queeues: unknown key (did you mean queues?)"},
	{"vda,packed=on", "--disk vda: disks[0].packed: unknown key (did you mean "
			  "features.packed?)"},
	{"vda,features.pakced=on", "--disk vda: disks[0].features.pakced: unknown key (did you "
				   "mean features.packed?)"},
	{"vda,features=on", "--disk vda: disks[0].features: a mapping of keys to values is needed"},
	{"vda,limits.iops=5", "--disk vda: disks[0].limits.iops: unknown key (`pario schema` "
			      "lists those of disks)"},
	{"v d,queues=1", "--disk v d: disks[0].name: \"v d\" has a letter that is not allowed "
			 "(allowed: 1 to 64 letters, digits, '.', '_', '-')"},
	{"vda,serial=a\nb", "--disk vda: disks[0].serial: \"a?b\" has a control character "
			    "(allowed: 1 to 20 printable bytes)"},
	{"vda,path=", "--disk vda: disks[0].path: no value is given (allowed: 1 to 4095 bytes)"},
};

static void test_wrong_specs(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(spec_cases); i++) {
		struct stage *s = stage_begin();

		stage_add_disk(s, spec_cases[i].spec);
		stage_said(s, spec_cases[i].line, NULL);
		stage_end(s);
	}
}

/* Each mistake is said, and the number is that over all disks. */
static void test_every_mistake(void **state)
{
	struct stage *s = *state;

	stage_add_disk(s, "vda,queues=x,size=y");
	stage_add_disk(s, "vdb,seg-max=2000");
	stage_said(s,
		   "--disk vda: disks[0].queues: \"x\" is not a whole number (allowed: 1 to 256)",
		   "--disk vda: disks[0].size: \"y\" is not a size (allowed: 512 to 1048576T, "
		   "suffixes K, M, G, T)",
		   "--disk vdb: disks[1].seg-max: 2000 is above the maximum of 1022 (allowed: 1 "
		   "to 1022)",
		   NULL);
}

static void test_bytes_that_are_no_text(void **state)
{
	struct stage *s = *state;

	stage_add_disk(s, "vda,path=\xff\xfe.raw");
	stage_said(s, NULL);
	assert_string_equal(config_disk_at(&s->config, 0)->path, "\xff\xfe.raw");
}

static void test_sources_add_up(void **state)
{
	struct stage *s = *state;
	char path[STAGE_PATH_BYTES];

	stage_add_yaml(s,
		       "daemon:\n  poll: never\n  poll-max-us: 10\n"
		       "disks:\n- name: first\n  backend: null\n",
		       path);
	config_set_daemon(&s->config, "poll", "always", &s->errors);
	stage_add_disk(s, "second,backend=null");
	stage_said(s, NULL);
	assert_int_equal(s->config.daemon.poll, POLL_MODE_ALWAYS);
	assert_int_equal(s->config.daemon.poll_max_us, 10);
	assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 2);
	assert_string_equal(config_disk_at(&s->config, 0)->object.name, "first");
	assert_string_equal(config_disk_at(&s->config, 1)->object.name, "second");
	assert_int_equal(config_disk_at(&s->config, 0)->backend, STORAGE_BACKEND_NULL);
}

static void test_daemon_keys(void **state)
{
	struct stage *s = *state;

	config_set_daemon(&s->config, "poll-max-us", "-1", &s->errors);
	config_set_daemon(&s->config, "log-level", "loud", &s->errors);
	stage_said(s, "daemon.poll-max-us: -1 is below the minimum of 0 (allowed: 0 to 1000000)",
		   "daemon.log-level: \"loud\" is none of the choices (allowed: error, warn, "
		   "info, debug)",
		   NULL);
	assert_int_equal(s->config.daemon.poll_max_us, 200);
	assert_true(config_given(&s->config.daemon.object, "log-level"));
	assert_false(config_given(&s->config.daemon.object, "workers"));
}

static void test_disk_by_keys(void **state)
{
	struct stage *s = *state;
	struct config_object *object;
	const struct config_disk *disk;

	object = config_new(&s->config, CONFIG_DISK, "vda", "--blk-file", &s->errors);
	assert_non_null(object);
	disk = (const struct config_disk *)object;
	config_set_key(&s->config, object, "path", "x.raw", &s->errors);
	config_set_key(&s->config, object, "fd", "1", &s->errors);
	stage_said(s,
		   "--blk-file: disks[0].fd: 1 is below the minimum of 3 (allowed: 3 to "
		   "2147483647)",
		   NULL);
	assert_string_equal(disk->object.name, "vda");
	assert_string_equal(disk->path, "x.raw");
}

/* A line that holds everything a person may have given stays one line of bounded length. */
static void test_long_values(void **state)
{
	struct stage *s = *state;
	static char spec[8192];

	memset(spec, 'a', sizeof(spec));
	memcpy(spec, "vda,path=", 9);
	spec[sizeof(spec) - 1] = '\0';
	stage_add_disk(s, spec);
	assert_int_equal(s->errors.cnt, 1);
	assert_non_null(strstr(s->line[0], "8182 bytes, the maximum is 4095"));
	memset(spec + 4, 'k', 4096); /* ,path=aaa becomes a key without end */
	spec[4100] = '=';
	stage_add_disk(s, spec);
	assert_int_equal(s->errors.cnt, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disk_of_command_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commas, setup, teardown),
		cmocka_unit_test(test_wrong_specs),
		cmocka_unit_test_setup_teardown(test_every_mistake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes_that_are_no_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sources_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_by_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_values, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
