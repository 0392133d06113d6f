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

#define KEY_ALLOWED "(allowed: 1 to 40 bytes in hexadecimal such as 6d:5a:56 or 6d5a56)"
#define TABLE_ALLOWED "(allowed: 1 to 512 queue pairs, a power of two, such as 0,1,2,3)"

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
	{"coalesce.mode", "off", "x", NO_CHOICE("off, static, adaptive")},
	{"coalesce.packets", "64", "1025",
	 "1025 is above the maximum of 1024 (allowed: 1 to 1024)"},
	{"coalesce.usecs", "100", "0", "0 is below the minimum of 1 (allowed: 1 to 10000)"},
	{"steering.mode", "rebalance", "x", NO_CHOICE("learn, rss, rebalance")},
	{"steering.types", "udpv6,tcpv4", "tcpv4,tcp",
	 "\"tcpv4,tcp\" has \"tcp\", which is none of the choices (allowed: all, ipv4, tcpv4, "
	 "udpv4, ipv6, tcpv6, udpv6, ip_ex, tcp_ex, udp_ex)"},
	{"steering.key", "6d:5a", "6d:5",
	 "\"6d:5\" is no key: behind 1 bytes comes a single hexadecimal digit, not "
	 "two " KEY_ALLOWED},
	{"steering.table", "1,0,15,2", "0,1,2",
	 "\"0,1,2\" has 3 entries, which is no power of two " TABLE_ALLOWED},
	{"steering.inner", "true", "x", NEITHER},
	{"steering.interval-ms", "10", "9", "9 is below the minimum of 10 (allowed: 10 to 60000)"},
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

/* The first mode of steering that a key belongs to; "" where it does not matter. */
static const char *mode_for(const struct schema_row *row)
{
	return row->steering ? net_steering_mode_name(
				       (enum net_steering_mode)__builtin_ctz(row->steering))
			     : "";
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
			char spec[96];

			assert_true(row >= 0);
			config_set_daemon(&s->config, "api", "/tmp/pario-test-api", &s->errors);
			snprintf(spec, sizeof(spec), "%s%s%s", kinds[k].spec,
				 table->rows[row].steering ? ",steering.mode=" : "",
				 mode_for(&table->rows[row]));
			stage_add(s, kinds[k].kind, spec);
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

static void fill(char *text, size_t size, const char *first, const char *more, unsigned cnt)
{
	size_t len = (size_t)snprintf(text, size, "%s", first);

	while (cnt-- > 1)
		len += (size_t)snprintf(text + len, size - len, "%s", more);
	assert_true(len < size);
}

/* A refused change of steering is named, and changes nothing; those beside it do not either. */
static void test_steering_that_cannot_be(void **state)
{
	static char long_key[3 * 41], long_table[4 * 1024];
	static const struct {
		const char *changes;
		const char *key;
		const char *why;
	} cases[] = {
		{"{\"steering\": {\"table\": \"0,1,4,1\"}}", "steering.table",
		 "queue pair 4 at entry 2 is not there: queue-pairs is 4 (allowed: 0 to 3)"},
		{"{\"steering.table\": \"64\"}", "steering.table",
		 "\"64\" has 64 at entry 0, the maximum is 63 " TABLE_ALLOWED},
		{"{\"steering.table\": \"0,,1\"}", "steering.table",
		 "\"0,,1\" is no table: entry 1 is not a whole number " TABLE_ALLOWED},
		{"{\"steering.table\": [0, 1]}", "steering.table",
		 "one value is needed, not a list"},
		{"{\"steering.key\": \"6d5a5\"}", "steering.key",
		 "\"6d5a5\" is no key: behind 2 bytes comes a single hexadecimal digit, not "
		 "two " KEY_ALLOWED},
		{"{\"steering.key\": \"6d:5g\"}", "steering.key",
		 "\"6d:5g\" is no key: behind 1 bytes comes a single hexadecimal digit, not "
		 "two " KEY_ALLOWED},
		{"{\"steering.key\": \"6d:\"}", "steering.key",
		 "\"6d:\" is no key: behind 1 bytes comes no hexadecimal digit " KEY_ALLOWED},
		{"{\"steering.types\": \"ipv4,ipv4\"}", "steering.types",
		 "\"ipv4,ipv4\" has ipv4 twice (allowed: all, ipv4, tcpv4, udpv4, ipv6, tcpv6, "
		 "udpv6, "
		 "ip_ex, tcp_ex, udp_ex)"},
		{"{\"steering.interval-ms\": 100}", "steering.interval-ms",
		 "means nothing with steering.mode rss (allowed with: rebalance)"},
		{"{\"coalesce.usecs\": 10001, \"steering.mode\": \"rebalance\"}", "coalesce.usecs",
		 "10001 is above the maximum of 10000 (allowed: 1 to 10000)"},
		{"{\"coalesce.packets\": 0, \"coalesce.usecs\": 9}", "coalesce.packets",
		 "0 is below the minimum of 1 (allowed: 1 to 1024)"},
	};
	struct stage *s = stage_begin();
	struct config_object *port;
	struct config_port before;

	(void)state;
	stage_add(s, CONFIG_PORT,
		  "x,switch=s,fd=4,queue-pairs=4,steering.mode=rss,steering.key=01:02");
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	port = config_at(&s->config, CONFIG_PORT, 0);
	before = *config_port_at(&s->config, 0);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *changes = json_loads(cases[i].changes, 0, NULL);

		assert_non_null(changes);
		assert_null(config_change(&s->config, port, changes, &s->errors));
		one_complaint(s, "port x", cases[i].key, cases[i].why);
		json_decref(changes);
	}
	/* What was given before is named with the place where it was. */
	assert_null(change(s, port, "steering.mode", NULL));
	stage_said(s,
		   "--port x: ports[0].steering.key: means nothing with steering.mode learn "
		   "(allowed with: rss, rebalance)",
		   NULL);
	s->errors.cnt = 0;
	fill(long_key, sizeof(long_key), "00", ":11", 41);
	assert_null(change(s, port, "steering.key", long_key));
	one_complaint(
		s, "port x", "steering.key",
		"\"00:11:11:11:11:11:11:11:11:11:11:11:11:11:11:11:...\" is a key of 41 bytes, "
		"the maximum is 40 " KEY_ALLOWED);
	fill(long_table, sizeof(long_table), "0", ",1", 1024);
	assert_null(change(s, port, "steering.table", long_table));
	one_complaint(
		s, "port x", "steering.table",
		"\"0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,...\" has 1024 entries, the "
		"maximum is 512 " TABLE_ALLOWED);
	assert_memory_equal(&before, config_port_at(&s->config, 0), sizeof(before));
	stage_end(s);
}

/* The longest of each is taken, and goes where it belongs. */
static void test_steering_that_can_be(void **state)
{
	static char key[3 * 40], table[2 * 512];
	struct stage *s = stage_begin();
	const struct net_steering *steering;
	struct config_object *port;

	(void)state;
	stage_add(s, CONFIG_PORT, "x,switch=s,fd=4,queue-pairs=2,steering.mode=rebalance");
	config_finish(&s->config, &s->errors);
	port = config_at(&s->config, CONFIG_PORT, 0);
	steering = &config_port_at(&s->config, 0)->steering;
	assert_int_equal(steering->types, HASH_TYPES_ALL);
	assert_int_equal(steering->key_bytes, 0);
	assert_int_equal(steering->table_cnt, 0);
	assert_int_equal(steering->interval_ms, 1000);
	fill(key, sizeof(key), "fF", ":0a", 40);
	config_take(port, change(s, port, "steering.key", key));
	fill(table, sizeof(table), "0", ",1", 512);
	config_take(port, change(s, port, "steering.table", table));
	config_take(port, change(s, port, "steering.types", "udpv4,ipv4"));
	config_take(port, change(s, port, "steering.inner", "on"));
	config_take(port, change(s, port, "steering.interval-ms", "60000"));
	stage_said(s, NULL);
	assert_int_equal(steering->mode, NET_STEERING_REBALANCE);
	assert_int_equal(steering->types, 1u << HASH_TYPE_UDPV4 | 1u << HASH_TYPE_IPV4);
	assert_int_equal(steering->key_bytes, 40);
	assert_int_equal(steering->key[0], 0xff);
	assert_int_equal(steering->key[39], 0x0a);
	assert_int_equal(steering->table_cnt, 512);
	assert_int_equal(steering->table[0], 0);
	assert_int_equal(steering->table[511], 1);
	assert_true(steering->inner);
	assert_int_equal(steering->interval_ms, 60000);
	stage_end(s);
}

/* Ports coalesce as they say, or by defaults of their own, whatever the daemon says of disks. */
static void test_coalescing_is_a_ports_own(void **state)
{
	struct stage *s = stage_begin();
	json_t *changes = json_loads("{\"coalesce.mode\": \"static\", \"coalesce.usecs\": 77, "
				     "\"poll\": \"never\"}",
				     0, NULL);
	struct config_daemon *daemon;
	struct config_object *copy;

	(void)state;
	config_set_daemon(&s->config, "coalesce.packets", "5", &s->errors);
	stage_add(s, CONFIG_PORT, "x,switch=s,fd=4");
	stage_add(s, CONFIG_DISK, "d,backend=null,size=1M,fd=5");
	config_finish(&s->config, &s->errors);
	assert_int_equal(config_disk_at(&s->config, 0)->front.coalesce.packets, 5);
	daemon = config_change_daemon(&s->config, changes, &s->errors);
	copy = config_follow(&s->config, config_at(&s->config, CONFIG_PORT, 0), daemon, &s->errors);
	stage_said(s, NULL);
	assert_int_equal(((struct config_port *)copy)->front.poll, POLL_MODE_NEVER);
	assert_int_equal(((struct config_port *)copy)->front.coalesce.mode, COALESCE_ADAPTIVE);
	assert_int_equal(((struct config_port *)copy)->front.coalesce.packets, 256);
	assert_int_equal(((struct config_port *)copy)->front.coalesce.usecs, 1500);
	config_discard(copy);
	copy = config_follow(&s->config, config_at(&s->config, CONFIG_DISK, 0), daemon, &s->errors);
	assert_int_equal(((struct config_disk *)copy)->front.coalesce.mode, COALESCE_STATIC);
	assert_int_equal(((struct config_disk *)copy)->front.coalesce.usecs, 77);
	config_discard(copy);
	config_discard(&daemon->object);
	json_decref(changes);
	stage_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_adding_brings_a_switch),
		cmocka_unit_test(test_vlan_and_trunk),
		cmocka_unit_test(test_steering_that_cannot_be),
		cmocka_unit_test(test_steering_that_can_be),
		cmocka_unit_test(test_coalescing_is_a_ports_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
