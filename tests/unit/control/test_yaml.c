/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML files: what is read, and for everything that is refused the file, the line and the path.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "stage.h"

static const char whole_file[] =
	"# a comment\n"
	"daemon: {workers: '0', poll: always, log-level: debug}\n"
	"disks:\n"
	"  - name: no\n"
	"    backend: null\n"
	"    size: 1G\n"
	"    fd: 5\n"
	"    features:\n"
	"      packed: false\n"
	"      in-order: yes\n"
	"  - {name: b, path: \"/srv/a, b.raw\", socket: /run/b, socket-mode: 0660,\n"
	"     features.event-idx: off}\n";

static void test_whole_file(void **state)
{
	struct stage *s = stage_begin();
	const struct config *config = &s->config;
	char path[STAGE_PATH_BYTES];

	(void)state;
	stage_add_yaml(s, whole_file, path);
	stage_said(s, NULL);
	assert_int_equal(config->daemon.poll, POLL_MODE_ALWAYS);
	assert_int_equal(config->daemon.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(CPU_COUNT(&config->daemon.workers), 1);
	assert_int_equal(config->lists[CONFIG_DISK].cnt, 2);
	assert_string_equal(config_disk_at(config, 0)->object.name, "no");
	assert_int_equal(config_disk_at(config, 0)->backend, STORAGE_BACKEND_NULL);
	assert_int_equal(config_disk_at(config, 0)->front.fd, 5);
	assert_false(config_disk_at(config, 0)->front.features.packed);
	assert_true(config_disk_at(config, 0)->front.features.in_order);
	assert_string_equal(config_disk_at(config, 1)->path, "/srv/a, b.raw");
	assert_int_equal(config_disk_at(config, 1)->front.socket_mode, 0660);
	assert_false(config_disk_at(config, 1)->front.features.event_idx);
	assert_true(config_disk_at(config, 1)->front.features.packed);
	stage_end(s);
}

struct yaml_case {
	const char *text;
	const char *line; /* behind the file's name */
};

static const struct yaml_case cases[] = {
	/* places */
	{"disks:\n- name: a\n  queues: 4\n- name: b\n  queues: 0\n",
	 ":5: disks[1].queues: 0 is below the minimum of 1 (allowed: 1 to 256)"},
	{"disks:\n- name: a\n  features:\n    packed: 5\n",
	 ":4: disks[0].features.packed: \"5\" is neither true nor false (allowed: true, false)"},
	{"\n\ndaemon:\n  pol: always\n", ":4: daemon.pol: unknown key (did you mean poll?)"},
	{"disks:\n- name: a\n  readonly: true\n",
	 ":3: disks[0].readonly: unknown key (did you mean read-only?)"},
	{"disks:\n- name: a\n  limits:\n    iops: 5\n",
	 ":3: disks[0].limits: unknown key (`pario schema` lists those of disks)"},
	{"disk:\n- name: a\n",
	 ":1: disk: unknown key (allowed: daemon, disks, switches, ports, uplinks)"},
	{"daemon:\n  metrics: /run/x\n",
	 ":2: daemon.metrics: unknown key (`pario schema` lists those of daemon)"},
	/* shapes */
	{"- name: a\n", ": a mapping is needed (allowed: daemon, disks, switches, ports, uplinks)"},
	{"just words\n",
	 ": a mapping is needed (allowed: daemon, disks, switches, ports, uplinks)"},
	{"---\n", ": a mapping is needed (allowed: daemon, disks, switches, ports, uplinks)"},
	{"disks:\n  name: a\n", ":1: disks: a list of disks is needed (\"- name: ...\")"},
	{"disks:\n", ":1: disks: a list of disks is needed (\"- name: ...\")"},
	{"disks:\n- a\n", ":2: disks[0]: a mapping of keys to values is needed"},
	{"daemon: always\n", ":1: daemon: a mapping of keys to values is needed"},
	{"disks:\n- name: a\n  queues: [1, 2]\n",
	 ":3: disks[0].queues: one value is needed, not a list"},
	{"disks:\n- name: a\n  queues:\n    most: 2\n",
	 ":3: disks[0].queues: one value is needed, not a mapping"},
	{"disks:\n- name: a\n  features: packed\n",
	 ":3: disks[0].features: a mapping of keys to values is needed"},
	{"disks:\n- name: a\n  path:\n",
	 ":3: disks[0].path: no value is given (allowed: 1 to 4095 bytes)"},
	/* repetition */
	{"daemon:\n  poll: never\n  poll: always\n", ":3: daemon.poll: given twice"},
	{"disks:\n- name: a\n  features.packed: true\n  features:\n    packed: false\n",
	 ":5: disks[0].features.packed: given twice"},
	{"disks: []\ndisks: []\n", ":2: disks: given twice"},
	/* YAML that is none, or that we do not read */
	{"disks:\n- name: a\n queues: 4\n", ":3: not valid YAML: did not find expected key "
					    "while parsing a block mapping"},
	{"disks: [\n", ":2: not valid YAML: did not find expected node content while parsing a "
		       "flow node"},
	{"daemon:\n\tpoll: never\n", ":2: not valid YAML: found character that cannot start any "
				     "token while scanning for the next token"},
	{"a: \xff\n", ": not valid YAML: invalid leading UTF-8 octet"},
	{"daemon: &d\n  poll: never\n",
	 ":1: daemon: anchors, aliases and tags of YAML are not supported"},
	{"daemon:\n  poll: &p never\n",
	 ":2: daemon.poll: anchors, aliases and tags of YAML are not supported"},
	{"daemon: *d\n", ":1: daemon: anchors, aliases and tags of YAML are not supported"},
	{"daemon:\n  poll: !!str never\n",
	 ":2: daemon.poll: anchors, aliases and tags of YAML are not supported"},
	{"daemon: {}\n---\ndaemon: {}\n", ":2: a second document: only one is read"},
	{"? [a]\n: b\n", ":1: a key must be a single word"},
	{"daemon:\n  poll: \"a\\0b\"\n", ":2: daemon.poll: the value has a NUL byte"},
	{"a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n",
	 ":1: a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested too deeply"},
};

static void test_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct stage *s = stage_begin();
		char path[STAGE_PATH_BYTES];
		char line[ERR_TEXT_BYTES];

		stage_add_yaml(s, cases[i].text, path);
		snprintf(line, sizeof(line), "%s%s", path, cases[i].line);
		stage_said(s, line, NULL);
		stage_end(s);
	}
}

static void test_no_file(void **state)
{
	struct stage *s = stage_begin();

	(void)state;
	config_add_file(&s->config, "/nonexistent/pario.yaml", &s->errors);
	config_add_file(&s->config, "/tmp", &s->errors);
	stage_said(s, "/nonexistent/pario.yaml: cannot be read: No such file or directory",
		   "/tmp: is a directory; a file is needed", NULL);
	stage_end(s);
}

static void test_empty_file(void **state)
{
	struct stage *s = stage_begin();
	char path[STAGE_PATH_BYTES];

	(void)state;
	stage_add_yaml(s, "# nothing yet\n", path);
	stage_said(s, NULL);
	assert_int_equal(s->config.lists[CONFIG_DISK].cnt, 0);
	stage_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_file),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_empty_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
