/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys mean together: defaults that follow other keys, cross checks, and paths of the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpuset.h"
#include "control/schema.h"
#include "stage.h"

#define SPECS_MAX 3

struct rule_case {
	const char *specs[SPECS_MAX];
	const char *lines[SPECS_MAX]; /* exactly these */
};

static const struct rule_case cases[] = {
	{{"a,backend=null,size=1M,socket=/tmp/x"}, {NULL}},
	{{"a,backend=null,size=1M,fd=4", "b,backend=ram,size=1M,fd=5"}, {NULL}},
	{{"a,path=x,connect=/tmp/x,format=raw,cache=writeback,size=1M"}, {NULL}},

	{{"a,backend=null,size=1M,socket=/tmp/x", "a,backend=null,size=1M,socket=/tmp/y"},
	 {"--disk a: disks[1].name: \"a\" is already the name of disks[0]"}},
	{{"a,backend=null,size=1M,socket=/tmp/x", "b,backend=null,size=1M,socket=/tmp/x"},
	 {"--disk b: disks[1].socket: \"/tmp/x\" is already the socket of disks[0]"}},
	{{"a,backend=null,size=1M,socket=/tmp/x", "b,backend=null,size=1M,connect=/tmp/x"},
	 {"--disk b: disks[1].connect: \"/tmp/x\" is already the socket of disks[0]"}},
	{{"a,backend=null,size=1M,fd=4", "b,backend=null,size=1M,fd=4"},
	 {"--disk b: disks[1].fd: 4 is already the descriptor of disks[0]"}},

	{{"a,backend=null,size=1M"},
	 {"--disk a: disks[0]: no front end can reach it: exactly one of socket, connect and fd "
	  "is needed"}},
	{{"a,backend=null,size=1M,socket=/tmp/x,connect=/tmp/y"},
	 {"--disk a: disks[0].connect: socket and connect are both given: exactly one of socket, "
	  "connect and fd is needed"}},
	{{"a,backend=null,size=1M,fd=4,socket=/tmp/x"},
	 {"--disk a: disks[0].fd: socket and fd are both given: exactly one of socket, connect and "
	  "fd is needed"}},
	{{"a,backend=null,size=1M,connect=/tmp/x,socket-mode=0660"},
	 {"--disk a: disks[0].socket-mode: means nothing without socket"}},
	{{"a,backend=null,size=1M,fd=4,socket-owner=root,socket-group=root"},
	 {"--disk a: disks[0].socket-owner: means nothing without socket",
	  "--disk a: disks[0].socket-group: means nothing without socket"}},

	{{"a,socket=/tmp/x"},
	 {"--disk a: disks[0].path: missing: backend file needs a file or block device"}},
	{{"a,backend=ram,socket=/tmp/x"},
	 {"--disk a: disks[0].size: missing: backend ram needs a size, such as 1G"}},
	{{"a,backend=null,socket=/tmp/x"},
	 {"--disk a: disks[0].size: missing: backend null needs a size, such as 1G"}},
	{{"a,backend=ram,size=1M,path=x,socket=/tmp/x"},
	 {"--disk a: disks[0].path: does not belong to backend ram (allowed with: file)"}},
	{{"a,backend=null,size=1M,cache=none,socket=/tmp/x"},
	 {"--disk a: disks[0].cache: does not belong to backend null (allowed with: file)"}},
	{{"a,backend=flash,size=1M,channels=8,read-us=10,write-us=20,fd=4"}, {NULL}},
	{{"a,backend=flash,fd=4"},
	 {"--disk a: disks[0].size: missing: backend flash needs a size, such as 1G"}},
	{{"a,backend=ram,size=1M,channels=8,read-us=10,write-us=20,fd=4"},
	 {"--disk a: disks[0].channels: does not belong to backend ram (allowed with: flash)",
	  "--disk a: disks[0].read-us: does not belong to backend ram (allowed with: flash)",
	  "--disk a: disks[0].write-us: does not belong to backend ram (allowed with: flash)"}},
	{{"a,path=x,pin-memory=on,socket=/tmp/x"}, {NULL}},
	{{"a,backend=ram,size=1M,pin-memory=on,socket=/tmp/x"},
	 {"--disk a: disks[0].pin-memory: does not belong to backend ram (allowed with: file)"}},
	{{"a,backend=ram,size=1536,block-size=1024,socket=/tmp/x"},
	 {"--disk a: disks[0].size: 1536 is not a multiple of the block-size 1024"}},
	{{NULL},
	 {"no disk and no port is configured: there is nothing to serve (--disk or --port "
	  "NAME,KEY=VALUE,..., or a file with disks or ports, or api=SOCKET to add them later)"}},
	{{"a,backend=null,size=1M,socket=/tmp/x,rq-affinity=1"},
	 {"--disk a: disks[0].rq-affinity: does not belong to backend null (allowed with: file)"}},
};

static void run_case(const struct rule_case *c)
{
	struct stage *s = stage_begin();

	for (unsigned i = 0; i < SPECS_MAX && c->specs[i]; i++)
		stage_add_disk(s, c->specs[i]);
	stage_said(s, NULL);
	config_finish(&s->config, &s->errors);
	stage_said(s, c->lines[0], c->lines[1], c->lines[2], NULL);
	stage_end(s);
}

static void test_cross_checks(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
		run_case(&cases[i]);
}

/* The line of a cross check is that of the key which is wrong, or of the disk that lacks one. */
static void test_cross_check_lines(void **state)
{
	struct stage *s = stage_begin();
	char path[STAGE_PATH_BYTES];
	char line[2][ERR_TEXT_BYTES];

	(void)state;
	stage_add_yaml(s,
		       "disks:\n"
		       "- name: a\n  backend: null\n  size: 1M\n  fd: 3\n"
		       "- size: 1M\n  backend: null\n  fd: 4\n"
		       "- backend: null\n  size: 1M\n  name: a\n  fd: 5\n",
		       path);
	snprintf(line[0], sizeof(line[0]), "%s:6: disks[1].name: missing: every disk needs a name",
		 path);
	snprintf(line[1], sizeof(line[1]),
		 "%s:11: disks[2].name: \"a\" is already the name of disks[0]", path);
	config_finish(&s->config, &s->errors);
	stage_said(s, line[0], line[1], NULL);
	stage_end(s);
}

/* The first CPU that this process has, and the first that it has not. */
static void pick_cpus(cpu_set_t *allowed, int *first, int *wrong)
{
	*first = 0;
	*wrong = 0;
	assert_int_equal(cpuset_allowed(allowed), 0);
	while (!CPU_ISSET(*first, allowed))
		++*first;
	while (CPU_ISSET(*wrong, allowed))
		++*wrong;
}

static void test_workers_of_daemon(void **state)
{
	struct stage *s = stage_begin();
	char line[ERR_TEXT_BYTES];
	cpu_set_t allowed;
	char spec[64];
	char text[96];
	int first;
	int wrong;

	(void)state;
	pick_cpus(&allowed, &first, &wrong);
	cpuset_format(&allowed, text, sizeof(text));
	snprintf(spec, sizeof(spec), "%d,%d", wrong, first);
	config_set_daemon(&s->config, "workers", spec, &s->errors);
	stage_add_disk(s, "a,backend=null,size=1M,fd=3");
	config_finish(&s->config, &s->errors);
	snprintf(line, sizeof(line),
		 "daemon.workers: CPU %d is not one that this process may use (allowed: %s)", wrong,
		 text);
	stage_said(s, line, NULL);
	stage_end(s);
}

static void test_workers_of_disk(void **state)
{
	struct stage *s = stage_begin();
	char line[ERR_TEXT_BYTES];
	cpu_set_t allowed;
	char spec[64];
	int first;
	int wrong;

	(void)state;
	pick_cpus(&allowed, &first, &wrong);
	snprintf(spec, sizeof(spec), "%d", first);
	config_set_daemon(&s->config, "workers", spec, &s->errors);
	snprintf(spec, sizeof(spec), "a,backend=null,size=1M,fd=3,workers=%d", wrong);
	stage_add_disk(s, spec);
	config_finish(&s->config, &s->errors);
	snprintf(line, sizeof(line),
		 "--disk a: disks[0].workers: CPU %d is not among the daemon's workers (allowed: "
		 "%d)",
		 wrong, first);
	stage_said(s, line, NULL);
	stage_end(s);
}

/* Pinned to some CPUs, how many workers are the default, and is the first CPU one of them? */
static void default_workers(unsigned want_cnt, const cpu_set_t *pin, int first)
{
	struct stage *s = stage_begin();
	const cpu_set_t *workers = &s->config.daemon.workers;

	assert_int_equal(sched_setaffinity(0, sizeof(*pin), pin), 0);
	stage_add_disk(s, "a,backend=null,size=1M,fd=3");
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	assert_int_equal(CPU_COUNT(workers), want_cnt);
	assert_int_equal(!!CPU_ISSET(first, workers), CPU_COUNT(pin) == 1);
	assert_true(CPU_EQUAL(workers, &config_disk_at(&s->config, 0)->front.workers));
	stage_end(s);
}

static void test_default_workers(void **state)
{
	cpu_set_t allowed;
	cpu_set_t one;
	int first;
	int wrong;

	(void)state;
	pick_cpus(&allowed, &first, &wrong);
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	default_workers(1, &one, first);
	default_workers(CPU_COUNT(&allowed) > 1 ? (unsigned)CPU_COUNT(&allowed) - 1 : 1, &allowed,
			first);
}

static void test_inheritance(void **state)
{
	struct stage *s = stage_begin();

	(void)state;
	config_set_daemon(&s->config, "poll", "never", &s->errors);
	config_set_daemon(&s->config, "poll-max-us", "7", &s->errors);
	stage_add_disk(s, "a,backend=null,size=1M,fd=3");
	stage_add_disk(s, "b,backend=null,size=1M,fd=4,poll=always,poll-max-us=9");
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	assert_int_equal(config_disk_at(&s->config, 0)->front.poll, POLL_MODE_NEVER);
	assert_int_equal(config_disk_at(&s->config, 0)->front.poll_max_us, 7);
	assert_int_equal(config_disk_at(&s->config, 1)->front.poll, POLL_MODE_ALWAYS);
	assert_int_equal(config_disk_at(&s->config, 1)->front.poll_max_us, 9);
	stage_end(s);
}

/* Whatever both have is inherited, so it must be of one kind, with the same bounds. */
static void test_keys_of_both(void **state)
{
	unsigned cnt = 0;

	(void)state;
	for (unsigned i = 0; i < schema_disk.row_cnt; i++) {
		const struct schema_row *row = &schema_disk.rows[i];
		int idx = schema_find(&schema_daemon, row->key);
		const struct schema_row *other = &schema_daemon.rows[idx < 0 ? 0 : idx];

		if (idx < 0)
			continue;
		assert_int_equal(row->type, other->type);
		assert_int_equal(row->min, other->min);
		assert_int_equal(row->max, other->max);
		assert_ptr_equal(row->choice, other->choice);
		assert_string_equal(row->value_in_words, "the daemon's");
		cnt++;
	}
	assert_true(cnt >= 7);
}

static void test_no_disks_but_api(void **state)
{
	struct stage *s = stage_begin();

	(void)state;
	config_set_daemon(&s->config, "api", "/tmp/api", &s->errors);
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	stage_add_disk(s, "a,backend=null,size=1M,socket=/tmp/api");
	config_finish(&s->config, &s->errors);
	stage_said(s, "--disk a: disks[0].socket: \"/tmp/api\" is already the socket of daemon.api",
		   NULL);
	stage_end(s);

	s = stage_begin();
	config_set_daemon(&s->config, "api", "/no/such/directory/api", &s->errors);
	config_finish(&s->config, &s->errors);
	config_check_paths(&s->config, &s->errors);
	stage_said(s,
		   "daemon.api: the directory /no/such/directory cannot be reached: No such file "
		   "or directory",
		   NULL);
	stage_end(s);
}

static void check_paths(const char *spec, const char *want)
{
	struct stage *s = stage_begin();

	stage_add_disk(s, spec);
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	config_check_paths(&s->config, &s->errors);
	stage_said(s, want, NULL);
	stage_end(s);
}

/* Another layer's text becomes a complaint like ours: its key joins the path. */
static void test_complaints_of_others(void **state)
{
	struct stage *s = stage_begin();
	struct err err = ERR_INIT;

	(void)state;
	stage_add_disk(s, "a,backend=null,size=1M,fd=3");
	err_set(&err, EINVAL, "path: x is locked");
	config_complain(&s->config, config_at(&s->config, CONFIG_DISK, 0), &err, &s->errors);
	err_set(&err, EINVAL, "out of memory: really");
	config_complain(&s->config, config_at(&s->config, CONFIG_DISK, 0), &err, &s->errors);
	stage_said(s, "--disk a: disks[0].path: x is locked",
		   "--disk a: disks[0]: out of memory: really", NULL);
	stage_end(s);
}

static void test_paths(void **state)
{
	char dir[] = "/tmp/pario-test-XXXXXX";
	char image[64];
	char spec[256];
	char line[512];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(spec, sizeof(spec), "a,path=%s,fd=3", image);
	snprintf(line, sizeof(line),
		 "--disk a: disks[0].path: %s does not exist; create it (truncate -s 10G %s) or "
		 "correct the path",
		 image, image);
	check_paths(spec, line);

	fclose(fopen(image, "w"));
	check_paths(spec, NULL);

	snprintf(spec, sizeof(spec), "a,path=%s,fd=3", dir);
	snprintf(line, sizeof(line),
		 "--disk a: disks[0].path: %s is a directory; a disk needs a file or a block "
		 "device",
		 dir);
	check_paths(spec, line);
	check_paths("a,path=/dev/null,fd=3", "--disk a: disks[0].path: /dev/null is a special "
					     "file; a disk needs a file or a block device");

	snprintf(spec, sizeof(spec), "a,backend=null,size=1M,socket=%s", image);
	snprintf(line, sizeof(line),
		 "--disk a: disks[0].socket: %s is there and is not a socket; remove it or choose "
		 "another path",
		 image);
	check_paths(spec, line);
	snprintf(spec, sizeof(spec), "a,backend=null,size=1M,socket=%s/x", image);
	snprintf(line, sizeof(line), "--disk a: disks[0].socket: %s is not a directory", image);
	check_paths(spec, line);
	snprintf(spec, sizeof(spec), "a,backend=null,size=1M,socket=%s/none/x", dir);
	snprintf(line, sizeof(line),
		 "--disk a: disks[0].socket: the directory %s/none cannot be reached: No such file "
		 "or directory",
		 dir);
	check_paths(spec, line);
	snprintf(spec, sizeof(spec), "a,backend=null,size=1M,socket=%s/x", dir);
	check_paths(spec, NULL);
	unlink(image);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cross_checks),
		cmocka_unit_test(test_cross_check_lines),
		cmocka_unit_test(test_workers_of_daemon),
		cmocka_unit_test(test_workers_of_disk),
		cmocka_unit_test(test_default_workers),
		cmocka_unit_test(test_inheritance),
		cmocka_unit_test(test_keys_of_both),
		cmocka_unit_test(test_no_disks_but_api),
		cmocka_unit_test(test_complaints_of_others),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
