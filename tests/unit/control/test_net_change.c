/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of switches, ports and uplinks, when one is added to a running daemon and when it is
 * changed there. Not what keys mean together (test_net_rules.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "control/schema.h"
#include "stage.h"

struct key_case {
	const char *key;
	const char *good; /* NULL: the one worker that there is at least */
	const char *bad;
	const char *why; /* what is said of bad; NULL: whatever it is */
};

#define NEITHER "\"x\" is neither true nor false (allowed: true, false)"
#define NO_CHOICE(choices) "\"x\" is none of the choices (allowed: " choices ")"
#define FLAG(key)                          \
	{                                  \
		key, "false", "x", NEITHER \
	}

static const struct key_case switch_cases[] = {
	{"name", "t", "t/u", NULL},
	{"mac-table-size", "16", "15", "15 is below the minimum of 16 (allowed: 16 to 65536)"},
	{"mac-aging", "1", "0", "0 is below the minimum of 1 (allowed: 1 to 86400)"},
	{"macs-per-port", "0", "65537",
	 "65537 is above the maximum of 65536 (allowed: 0 to 65536)"},
	{"flood-limit", "0", "-1", "-1 is below the minimum of 0 (allowed: 0 to 100000000)"},
};

static const struct key_case port_cases[] = {
	{"name", "b", "b c", NULL},
	{"switch", "s", "s/t", NULL},
	{"socket", "/tmp/y", "", "no value is given (allowed: 1 to 107 bytes)"},
	{"connect", "/tmp/y", "", "no value is given (allowed: 1 to 107 bytes)"},
	{"fd", "9", "2", NULL},
	{"socket-mode", "0660", "9", "\"9\" is not an octal mode (allowed: 0001 to 0777)"},
	{"socket-owner", "1", "no-such-user-here", NULL},
	{"socket-group", "1", "no-such-group-here", NULL},
	{"any-memory", "true", "x", NEITHER},
	{"mac", "02:00:00:00:00:01", "01:00:00:00:00:01",
	 "\"01:00:00:00:00:01\" is the address of no single station (allowed: a unicast address "
	 "such as 52:54:00:12:34:56)"},
	{"mac-lock", "true", "x", NEITHER},
	{"vlan", "4094", "4095", "4095 is above the maximum of 4094 (allowed: 1 to 4094)"},
	{"trunk", "10,20-30", "30-20",
	 "\"30-20\" is no list of VLANs (allowed: VLANs and ranges from 0 to 4094 such as "
	 "10,20-30)"},
	{"link", "down", "x", NO_CHOICE("up, down")},
	{"queue-pairs", "64", "0", "0 is below the minimum of 1 (allowed: 1 to 64)"},
	{"queue-num", "rings", "x", NO_CHOICE("pairs, rings")},
	{"mtu", "68", "67", "67 is below the minimum of 68 (allowed: 68 to 65535)"},
	{"speed", "10000", "0", "0 is below the minimum of 1 (allowed: 1 to 2147483647)"},
	FLAG("offloads.csum"),
	FLAG("offloads.guest-csum"),
	FLAG("offloads.host-tso4"),
	FLAG("offloads.host-tso6"),
	FLAG("offloads.host-ecn"),
	FLAG("offloads.host-ufo"),
	FLAG("offloads.host-uso"),
	FLAG("offloads.guest-tso4"),
	FLAG("offloads.guest-tso6"),
	FLAG("offloads.guest-ecn"),
	FLAG("offloads.guest-ufo"),
	FLAG("offloads.guest-uso4"),
	FLAG("offloads.guest-uso6"),
	FLAG("offloads.mrg-rxbuf"),
	FLAG("features.packed"),
	FLAG("features.in-order"),
	FLAG("features.event-idx"),
	FLAG("features.indirect"),
	{"workers", NULL, "3-2", NULL},
	{"poll", "never", "x", NO_CHOICE("adaptive, always, never")},
	{"poll-max-us", "80", "1000001",
	 "1000001 is above the maximum of 1000000 (allowed: 0 to 1000000)"},
	{"placement", "off", "x", NO_CHOICE("auto, fixed, off")},
	{"vcpus", "5,0-3", "5,,0", NULL},
	{"siblings", "true", "x", NEITHER},
	{"coalesce.mode", "adaptive", "x", NO_CHOICE("off, static, adaptive")},
	{"coalesce.packets", "64", "1025",
	 "1025 is above the maximum of 1024 (allowed: 1 to 1024)"},
	{"coalesce.usecs", "100", "0", "0 is below the minimum of 1 (allowed: 1 to 10000)"},
};

static const struct key_case uplink_cases[] = {
	{"name", "b", "b c", NULL},
	{"switch", "s", "s/t", NULL},
	{"type", "loop", "x", NO_CHOICE("tap, loop")},
	{"ifname", "tap7", "an-interface-of-", NULL},
	{"queues", "64", "65", "65 is above the maximum of 64 (allowed: 1 to 64)"},
	{"mtu", "9000", "x", "\"x\" is not a whole number (allowed: 68 to 65535)"},
	FLAG("offloads"),
	{"vlan", "1", "0", "0 is below the minimum of 1 (allowed: 1 to 4094)"},
	{"trunk", "0", "4095", NULL},
	{"workers", NULL, "3-2", NULL},
	{"poll", "never", "x", NO_CHOICE("adaptive, always, never")},
	{"poll-max-us", "80", "-1", "-1 is below the minimum of 0 (allowed: 0 to 1000000)"},
};

static const struct {
	enum config_kind kind;
	const struct key_case *cases;
	unsigned cnt;
	const char *spec;  /* of object x, which is there */
	const char *other; /* JSON of one that is added */
} kinds[] = {
	{CONFIG_SWITCH, switch_cases, ARRAY_LEN(switch_cases), "x", "{\"name\": \"n\"}"},
	{CONFIG_PORT, port_cases, ARRAY_LEN(port_cases), "x,switch=s,socket=/tmp/pario-test-x",
	 "{\"name\": \"n\", \"switch\": \"s\", \"socket\": \"/tmp/pario-test-n\"}"},
	{CONFIG_UPLINK, uplink_cases, ARRAY_LEN(uplink_cases), "x,switch=s",
	 "{\"name\": \"n\", \"switch\": \"s\"}"},
};

/* A CPU list that is right on any machine. */
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

/* Exactly one complaint about the key; why NULL: whatever it says. */
static void one_complaint(struct stage *s, const char *object, const char *key, const char *why)
{
	char line[ERR_TEXT_BYTES];

	assert_int_equal(s->errors.cnt, 1);
	snprintf(line, sizeof(line), "%s.%s: %s", object, key, why ? why : "");
	if (why)
		assert_string_equal(s->line[0], line);
	else
		assert_int_equal(strncmp(s->line[0], line, strlen(line)), 0);
	s->errors.cnt = 0;
}

static void add_with_bad(struct stage *s, unsigned k, const struct key_case *c)
{
	const char *noun = config_noun(kinds[k].kind);
	json_t *spec = json_loads(kinds[k].other, 0, NULL);
	unsigned switch_cnt = s->config.lists[CONFIG_SWITCH].cnt;
	char object[32];

	snprintf(object, sizeof(object), "%s%s", noun, strcmp(c->key, "name") == 0 ? "" : " n");
	json_object_set_new(spec, c->key, json_string(c->bad));
	assert_false(config_append(&s->config, kinds[k].kind, spec, &s->errors));
	one_complaint(s, object, c->key, c->why);
	assert_int_equal(s->config.lists[CONFIG_SWITCH].cnt, switch_cnt);
	json_decref(spec);
}

static struct config_object *change(struct stage *s, struct config_object *object, const char *key,
				    const char *text)
{
	json_t *changes = json_object();
	struct config_object *copy;

	json_object_set_new(changes, key, text ? json_string(text) : json_null());
	copy = config_change(&s->config, object, changes, &s->errors);
	json_decref(changes);
	return copy;
}

/* As JSON shows it, for comparing. */
static json_t *value_of(const struct config_object *object, const char *key)
{
	json_t *whole = schema_get(config_table(object->kind), object);
	const char *dot = strchr(key, '.');
	char group[32];
	json_t *value;

	snprintf(group, sizeof(group), "%.*s", dot ? (int)(dot - key) : 0, key);
	value = dot ? json_object_get(json_object_get(whole, group), dot + 1)
		    : json_object_get(whole, key);
	json_incref(value);
	json_decref(whole);
	return value;
}

static void change_key(struct stage *s, unsigned k, const struct key_case *c, bool runtime)
{
	struct config_object *object = config_find(&s->config, kinds[k].kind, "x");
	const char *good = good_value(s, c);
	char path[32], why[96];
	struct config_object *copy;
	json_t *before, *after;

	snprintf(path, sizeof(path), "%s x", config_noun(object->kind));
	snprintf(why, sizeof(why), "cannot be changed while it runs; remove the %s and add it anew",
		 config_noun(object->kind));
	assert_null(change(s, object, c->key, c->bad));
	one_complaint(s, path, c->key, runtime ? c->why : why);
	copy = change(s, object, c->key, good);
	if (!runtime) {
		assert_null(copy);
		one_complaint(s, path, c->key, why);
		return;
	}
	stage_said(s, NULL);
	before = value_of(object, c->key);
	config_take(object, copy);
	assert_true(config_given(object, c->key));
	/* Back to what it is when nobody says anything. */
	copy = change(s, object, c->key, NULL);
	stage_said(s, NULL);
	config_take(object, copy);
	assert_false(config_given(object, c->key));
	after = value_of(object, c->key);
	assert_true(json_equal(before, after));
	json_decref(before);
	json_decref(after);
}

static void test_every_key(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
		const struct schema_table *table = config_table(kinds[k].kind);

		assert_int_equal(kinds[k].cnt, table->row_cnt);
		for (unsigned i = 0; i < kinds[k].cnt; i++) {
			const struct key_case *c = &kinds[k].cases[i];
			int row = schema_find(table, c->key);
			struct stage *s = stage_begin();

			assert_true(row >= 0);
			config_set_daemon(&s->config, "api", "/tmp/pario-test-api", &s->errors);
			stage_add(s, kinds[k].kind, kinds[k].spec);
			config_finish(&s->config, &s->errors);
			stage_said(s, NULL);
			change_key(s, k, c, table->rows[row].runtime);
			if (strcmp(c->key, "fd") != 0)
				add_with_bad(s, k, c);
			stage_end(s);
		}
	}
}

/* One that is added brings its switch along, unless it is refused. */
static void test_adding_brings_a_switch(void **state)
{
	struct stage *s = stage_begin();
	json_t *spec = json_loads("{\"name\": \"p\", \"switch\": \"lan\", \"socket\": "
				  "\"/tmp/pario-test-p\"}",
				  0, NULL);

	(void)state;
	config_set_daemon(&s->config, "api", "/tmp/pario-test-api", &s->errors);
	config_finish(&s->config, &s->errors);
	json_object_set_new(spec, "fd", json_integer(3));
	assert_false(config_append(&s->config, CONFIG_PORT, spec, &s->errors));
	one_complaint(s, "port p", "fd", NULL);
	assert_int_equal(s->config.lists[CONFIG_SWITCH].cnt, 0);
	json_object_del(spec, "fd");
	assert_true(config_append(&s->config, CONFIG_PORT, spec, &s->errors));
	stage_said(s, NULL);
	assert_string_equal(config_at(&s->config, CONFIG_SWITCH, 0)->name, "lan");
	/* A name is taken whatever has it. */
	json_object_set_new(spec, "name", json_string("lan"));
	json_object_set_new(spec, "socket", json_string("/tmp/pario-test-q"));
	assert_false(config_append(&s->config, CONFIG_PORT, spec, &s->errors));
	one_complaint(s, "port lan", "name", "\"lan\" is already the name of another switch");
	json_decref(spec);
	stage_end(s);
}

static void test_vlan_and_trunk(void **state)
{
	struct stage *s = stage_begin();
	struct config_object *port, *copy;
	json_t *changes = json_loads("{\"vlan\": null, \"trunk\": \"5\"}", 0, NULL);

	(void)state;
	stage_add(s, CONFIG_PORT, "x,switch=s,fd=4,vlan=5");
	config_finish(&s->config, &s->errors);
	port = config_at(&s->config, CONFIG_PORT, 0);
	assert_null(change(s, port, "trunk", "5"));
	one_complaint(s, "port x", "trunk",
		      "vlan and trunk are both given: a port belongs to one VLAN (vlan) or carries "
		      "several (trunk)");
	copy = config_change(&s->config, port, changes, &s->errors);
	stage_said(s, NULL);
	config_take(port, copy);
	assert_int_equal(config_port_at(&s->config, 0)->vlans.access, 0);
	assert_string_equal(config_port_at(&s->config, 0)->vlans.trunk, "5");
	json_decref(changes);
	stage_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_adding_brings_a_switch),
		cmocka_unit_test(test_vlan_and_trunk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
