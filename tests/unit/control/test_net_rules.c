/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, and what keys of switches, ports and uplinks mean together: each rule with what is
 * said. Not single values (test_net_change.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/compiler.h"
#include "control/netaddr.h"
#include "stage.h"

#define SPECS_MAX 3
#define LINES_MAX 2

struct spec {
	const char *text;
	enum config_kind kind;
};

struct rule_case {
	struct spec specs[SPECS_MAX];
	const char *lines[LINES_MAX]; /* exactly these */
};

#define DISK(text)                \
	{                         \
		text, CONFIG_DISK \
	}
#define SWITCH(text)                \
	{                           \
		text, CONFIG_SWITCH \
	}
#define PORT(text)                \
	{                         \
		text, CONFIG_PORT \
	}
#define UPLINK(text)                \
	{                           \
		text, CONFIG_UPLINK \
	}
#define MAC_A "02:00:00:00:00:0a"

static const struct rule_case cases[] = {
	{{PORT("a,switch=s,fd=4")}, {NULL}},
	{{SWITCH("s,mac-aging=5"), PORT("a,switch=s,fd=4"), UPLINK("u,switch=s")}, {NULL}},
	{{PORT("a,switch=s,fd=4,vlan=7"), PORT("b,switch=s,fd=5,trunk=0,,7-9")}, {NULL}},
	{{PORT("a,switch=s,fd=4"), UPLINK("l,switch=s,type=loop,queues=2,poll=never")}, {NULL}},

	{{PORT("a,fd=4")}, {"--port a: ports[0].switch: missing: every port needs one"}},
	{{PORT("a,switch=s,fd=4"), UPLINK("u")},
	 {"--uplink u: uplinks[0].switch: missing: every uplink needs one"}},
	{{PORT("a,switch=s")},
	 {"--port a: ports[0]: no front end can reach it: exactly one of socket, connect and fd "
	  "is needed"}},
	{{PORT("a,switch=s,fd=4,socket-mode=0660")},
	 {"--port a: ports[0].socket-mode: means nothing without socket"}},
	{{PORT("a,switch=s,fd=4,vlan=1,trunk=2")},
	 {"--port a: ports[0].trunk: vlan and trunk are both given: a port belongs to one VLAN "
	  "(vlan) or carries several (trunk)"}},

	/* Names are one space over all kinds, and so are sockets and descriptors. */
	{{DISK("a,backend=null,size=1M,fd=4"), PORT("a,switch=s,fd=5")},
	 {"--port a: ports[0].name: \"a\" is already the name of disks[0]"}},
	{{PORT("a,switch=s,fd=5"), UPLINK("s,switch=s")},
	 {"--port a: ports[0].switch: \"s\" is no switch but the name of an uplink",
	  "--uplink s: uplinks[0].switch: \"s\" is no switch but the name of an uplink"}},
	{{DISK("d,backend=null,size=1M,fd=4"), PORT("a,switch=d,fd=5")},
	 {"--port a: ports[0].switch: \"d\" is no switch but the name of a disk"}},
	{{DISK("d,backend=null,size=1M,fd=4"), PORT("a,switch=s,fd=4")},
	 {"--port a: ports[0].fd: 4 is already the descriptor of disks[0]"}},
	{{DISK("d,backend=null,size=1M,socket=/tmp/x"), PORT("a,switch=s,connect=/tmp/x")},
	 {"--port a: ports[0].connect: \"/tmp/x\" is already the socket of disks[0]"}},
	{{PORT("a,switch=daemon,fd=4")},
	 {"--port a: switches[0].name: \"daemon\" is what pario calls the daemon itself; choose "
	  "another"}},

	{{PORT("a,switch=s,fd=4,mac=" MAC_A), PORT("b,switch=s,fd=5,mac=" MAC_A)},
	 {"--port b: ports[1].mac: " MAC_A " is already the address of port a on the same "
	  "switch"}},
	{{PORT("a,switch=s,fd=4,mac=" MAC_A), PORT("b,switch=t,fd=5,mac=" MAC_A)}, {NULL}},

	{{PORT("a,switch=s,fd=4"), UPLINK("l,switch=s,type=loop,ifname=x,mtu=1500")},
	 {"--uplink l: uplinks[0].ifname: means nothing with type loop (allowed with: tap)",
	  "--uplink l: uplinks[0].mtu: means nothing with type loop (allowed with: tap)"}},
	{{PORT("a,switch=s,fd=4"), UPLINK("a-name-of-16-let,switch=s")},
	 {"--uplink a-name-of-16-let: uplinks[0].ifname: missing: the name has 16 bytes, that of "
	  "an interface at most 15"}},
	{{PORT("a,switch=s,fd=4"), UPLINK("a-name-of-16-let,switch=s,ifname=x")}, {NULL}},
	{{PORT("a,switch=s,fd=4"), UPLINK("u,switch=s,ifname=..")},
	 {"--uplink u: uplinks[0].ifname: \"..\" cannot be the name of an interface"}},
	{{PORT("a,switch=s,fd=4"), UPLINK("u,switch=s"), UPLINK("v,switch=s,ifname=u")},
	 {"--uplink v: uplinks[1].ifname: \"u\" is already the interface of another uplink"}},
	/* Steering: what the mode does not use, and queue pairs that are not there. */
	{{PORT("a,switch=s,fd=4,steering.mode=rss,steering.table=0,,15"),
	  PORT("b,switch=s,fd=5,steering.mode=rebalance,steering.key=0102,steering.interval-ms=50"),
	  PORT("c,switch=s,fd=6,steering.inner=true,steering.types=ipv4,,tcpv4,steering.mode=rss")},
	 {NULL}},
	{{PORT("a,switch=s,fd=4,steering.mode=rss,steering.table=0,,16")},
	 {"--port a: ports[0].steering.table: queue pair 16 at entry 1 is not there: queue-pairs "
	  "is "
	  "16 (allowed: 0 to 15)"}},
	{{PORT("a,switch=s,fd=4,queue-pairs=1,steering.mode=rss,steering.table=1")},
	 {"--port a: ports[0].steering.table: queue pair 1 at entry 0 is not there: queue-pairs is "
	  "1 (allowed: 0 to 0)"}},
	{{PORT("a,switch=s,fd=4,steering.key=0102,steering.types=all")},
	 {"--port a: ports[0].steering.types: means nothing with steering.mode learn (allowed "
	  "with: "
	  "rss, rebalance)",
	  "--port a: ports[0].steering.key: means nothing with steering.mode learn (allowed with: "
	  "rss, rebalance)"}},
	{{PORT("a,switch=s,fd=4,steering.mode=rss,steering.interval-ms=50")},
	 {"--port a: ports[0].steering.interval-ms: means nothing with steering.mode rss (allowed "
	  "with: rebalance)"}},

	{{UPLINK("u,switch=s")},
	 {"no disk and no port is configured: there is nothing to serve (--disk or --port "
	  "NAME,KEY=VALUE,..., or a file with disks or ports, or api=SOCKET to add them later)"}},
};

static void test_rules(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct stage *s = stage_begin();

		for (unsigned j = 0; j < SPECS_MAX && cases[i].specs[j].text; j++)
			stage_add(s, cases[i].specs[j].kind, cases[i].specs[j].text);
		stage_said(s, NULL);
		config_finish(&s->config, &s->errors);
		stage_said(s, cases[i].lines[0], cases[i].lines[1], NULL);
		stage_end(s);
	}
}

/* A switch that is named is there, with its defaults, once. */
static void test_switches_that_are_named(void **state)
{
	struct stage *s = stage_begin();

	(void)state;
	stage_add(s, CONFIG_SWITCH, "t,mac-table-size=16");
	stage_add(s, CONFIG_PORT, "a,switch=s,fd=4");
	stage_add(s, CONFIG_PORT, "b,switch=s,fd=5");
	stage_add(s, CONFIG_UPLINK, "u,switch=t");
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	assert_int_equal(s->config.lists[CONFIG_SWITCH].cnt, 2);
	assert_int_equal(config_switch_at(&s->config, 0)->mac_table_size, 16);
	assert_string_equal(config_switch_at(&s->config, 1)->object.name, "s");
	assert_int_equal(config_switch_at(&s->config, 1)->mac_table_size, 8192);
	assert_int_equal(config_switch_at(&s->config, 1)->mac_aging_s, 300);
	stage_end(s);
}

static void test_yaml(void **state)
{
	struct stage *s = stage_begin();
	char path[STAGE_PATH_BYTES];
	const struct config_port *port;

	(void)state;
	stage_add_yaml(s,
		       "switches:\n- name: lan\n  flood-limit: 0\n"
		       "ports:\n- name: vm1\n  switch: lan\n  socket: /tmp/vm1\n"
		       "  mac: 52:54:00:AB:cd:ef\n  offloads:\n    host-uso: false\n"
		       "  coalesce:\n    mode: static\n"
		       "  steering:\n    mode: rss\n    key: 6d:5A:56\n    table: 0,1,2,3\n"
		       "    types: tcpv4,udpv4\n"
		       "uplinks:\n- name: tap0\n  switch: lan\n  trunk: 0,10-12\n",
		       path);
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	assert_int_equal(config_switch_at(&s->config, 0)->flood_limit_pps, 0);
	port = config_port_at(&s->config, 0);
	assert_int_equal(port->mac[0], 0x52);
	assert_int_equal(port->mac[5], 0xef);
	assert_false(port->offloads.host_uso);
	assert_true(port->offloads.guest_uso6);
	assert_int_equal(port->front.coalesce.mode, COALESCE_STATIC);
	assert_int_equal(port->steering.mode, NET_STEERING_RSS);
	assert_int_equal(port->steering.key_bytes, 3);
	assert_int_equal(port->steering.key[1], 0x5a);
	assert_int_equal(port->steering.table_cnt, 4);
	assert_int_equal(port->steering.table[3], 3);
	assert_int_equal(port->steering.types, 1u << HASH_TYPE_TCPV4 | 1u << HASH_TYPE_UDPV4);
	assert_true(port->front.features.in_order);
	assert_true(CPU_EQUAL(&port->front.workers, &s->config.daemon.workers));
	assert_string_equal(config_uplink_at(&s->config, 0)->vlans.trunk, "0,10-12");
	stage_end(s);
}

static void test_mac_of_a_name(void **state)
{
	struct stage *s = stage_begin();
	const uint8_t *mac[2];
	uint8_t again[NETADDR_MAC_BYTES];

	(void)state;
	stage_add(s, CONFIG_PORT, "vm1,switch=s,fd=4");
	stage_add(s, CONFIG_PORT, "vm2,switch=s,fd=5");
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	for (unsigned i = 0; i < 2; i++) {
		mac[i] = config_port_at(&s->config, i)->mac;
		assert_int_equal(mac[i][0] & 3, 2); /* one station's, locally administered */
	}
	assert_memory_not_equal(mac[0], mac[1], NETADDR_MAC_BYTES);
	netaddr_mac_of_name("vm1", again);
	assert_memory_equal(mac[0], again, NETADDR_MAC_BYTES);
	/* It is not to change from one version to the next. */
	assert_memory_equal(again, ((const uint8_t[]){0x2a, 0x01, 0x84, 0xfd, 0x91, 0xeb}),
			    NETADDR_MAC_BYTES);
	stage_end(s);
}

static void test_macs(void **state)
{
	static const char *const wrong[] = {
		"",
		"02:00:00:00:00:0",
		"02:00:00:00:00:0a:",
		"02-00-00-00-00-0a",
		"02000000000a",
		"02:00:00:00:00:0g",
		"0:20:00:00:00:0a0",
		" 2:00:00:00:00:0a",
	};
	char text[NETADDR_MAC_TEXT_BYTES];
	uint8_t mac[NETADDR_MAC_BYTES] = {1, 2, 3, 4, 5, 6};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_false(netaddr_parse_mac(wrong[i], mac));
		assert_int_equal(mac[0], 1);
	}
	assert_true(netaddr_parse_mac("F2:00:bC:ff:7f:09", mac));
	netaddr_format_mac(mac, text);
	assert_string_equal(text, "f2:00:bc:ff:7f:09");
	assert_true(netaddr_is_unicast(mac));
	assert_true(netaddr_parse_mac("01:00:5e:00:00:01", mac));
	assert_false(netaddr_is_unicast(mac));
	assert_true(netaddr_parse_mac("00:00:00:00:00:00", mac));
	assert_false(netaddr_is_unicast(mac));
}

static void test_vlans(void **state)
{
	static const char *const wrong[] = {
		"",       ",",    "1,",    ",1",    "4095",
		"1-4095", "5-4",  "-5",    "5-",    "1 ",
		"a",      "1--2", "1-2-3", "00001", "18446744073709551617",
	};
	uint64_t vlans[NETADDR_VLAN_WORDS];
	unsigned cnt = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(netaddr_parse_vlans(wrong[i], vlans));
	assert_true(netaddr_parse_vlans("4094,0,10-12,11-70", vlans));
	for (unsigned i = 0; i < NETADDR_VLAN_WORDS; i++)
		cnt += (unsigned)__builtin_popcountll(vlans[i]);
	assert_int_equal(cnt, 63);
	assert_true(vlans[0] & 1 && vlans[0] >> 10 & 1 && !(vlans[0] >> 9 & 1));
	assert_true(vlans[1] >> 6 & 1 && !(vlans[1] >> 7 & 1));
	assert_true(vlans[63] >> 62 & 1);
	assert_true(netaddr_parse_vlans("0-4094", vlans));
	assert_true(vlans[63] == UINT64_MAX >> 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules), cmocka_unit_test(test_switches_that_are_named),
		cmocka_unit_test(test_yaml),  cmocka_unit_test(test_mac_of_a_name),
		cmocka_unit_test(test_macs),  cmocka_unit_test(test_vlans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
