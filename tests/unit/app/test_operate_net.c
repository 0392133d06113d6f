/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switches, ports and uplinks added to a running daemon, changed and removed, over real workers:
 * what is answered, what there is afterwards. Not frames (tests/unit/network, tests/peers).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/lan.h"
#include "app/port.h"
#include "app/signals.h"
#include "app/uplink.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "daemon_rig.h"
#include "device/net/net.h"

/* What the wrapped functions do next. */
static struct {
	int fail_device;
	int fail_switch;
} fake;

int __real_net_device_new(const struct net_options *options, struct evloop *control,
			  struct device **out, struct err *err);
int __wrap_net_device_new(const struct net_options *options, struct evloop *control,
			  struct device **out, struct err *err);
int __real_netswitch_new(const struct netswitch_options *options, struct fabric *fabric,
			 struct netswitch **out, struct err *err);
int __wrap_netswitch_new(const struct netswitch_options *options, struct fabric *fabric,
			 struct netswitch **out, struct err *err);

int __wrap_net_device_new(const struct net_options *options, struct evloop *control,
			  struct device **out, struct err *err)
{
	if (fake.fail_device)
		return err_set(err, fake.fail_device, "mtu: it fails");
	return __real_net_device_new(options, control, out, err);
}

int __wrap_netswitch_new(const struct netswitch_options *options, struct fabric *fabric,
			 struct netswitch **out, struct err *err)
{
	if (fake.fail_switch)
		return err_set(err, fake.fail_switch, "it fails");
	return __real_netswitch_new(options, fabric, out, err);
}

/* With a worker on every CPU, so that frames go from one to another. */
static void begin(struct rig *rig)
{
	char text[1024];
	cpu_set_t allowed;

	memset(&fake, 0, sizeof(fake));
	rig_prepare(rig);
	assert_int_equal(cpuset_allowed(&allowed), 0);
	cpuset_format(&allowed, text, sizeof(text));
	rig_key(rig, "workers", text);
	rig_start(rig);
}

static void spec_add(struct rig *rig, enum config_kind kind, const char *spec)
{
	config_add_spec(&rig->config, kind, spec, &rig->errors);
}

static struct port *find_port(const struct rig *rig, const char *name)
{
	struct served *served = daemon_find(rig->daemon, CONFIG_PORT, name);

	assert_non_null(served);
	return port_of(served);
}

static struct netswitch *find_switch(const struct rig *rig, const char *name)
{
	struct served *served = daemon_find(rig->daemon, CONFIG_SWITCH, name);

	assert_non_null(served);
	return lan_of(served)->netswitch;
}

static bool exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static void test_start_and_end(void **state)
{
	struct rig rig;
	char spec[256];

	(void)state;
	memset(&fake, 0, sizeof(fake));
	rig_prepare(&rig);
	snprintf(spec, sizeof(spec), "p,switch=lan,queue-pairs=2,mtu=1500,link=down,socket=%s",
		 rig_path(&rig, "p", "sock"));
	spec_add(&rig, CONFIG_PORT, spec);
	snprintf(spec, sizeof(spec), "q,switch=lan,vlan=7,socket=%s", rig_path(&rig, "q", "sock"));
	spec_add(&rig, CONFIG_PORT, spec);
	spec_add(&rig, CONFIG_UPLINK, "u,switch=other,type=loop,queues=2");
	rig_start(&rig);
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_SWITCH), 2);
	assert_int_equal(netswitch_port_cnt(find_switch(&rig, "lan")), 2);
	assert_int_equal(netswitch_port_cnt(find_switch(&rig, "other")), 1);
	assert_int_equal(device_queue_max(find_port(&rig, "p")->front.device), 5);
	assert_true(exists(rig_path(&rig, "p", "sock")));
	rig_stop(&rig);
}

static void expected(void *arg, const char *line)
{
	(void)arg;
	assert_non_null(strstr(line, "it fails"));
}

/* A start that fails late undoes all of it. */
static void test_start_fails(void **state)
{
	static const struct {
		int *fail;
		enum exit_status status;
		int code;
	} cases[] = {{&fake.fail_device, EXIT_STATUS_WRONG, EINVAL},
		     {&fake.fail_switch, EXIT_STATUS_FAILED, ENOMEM}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_errors said = {.say = expected};
		struct daemon *daemon;
		bool abandoned;
		char spec[256];
		struct rig rig;

		memset(&fake, 0, sizeof(fake));
		rig_prepare(&rig);
		snprintf(spec, sizeof(spec), "p,switch=lan,socket=%s", rig_path(&rig, "p", "sock"));
		spec_add(&rig, CONFIG_PORT, spec);
		spec_add(&rig, CONFIG_UPLINK, "u,switch=lan,type=loop");
		config_finish(&rig.config, &rig.errors);
		*cases[i].fail = cases[i].code;
		assert_int_equal(daemon_start(&rig.config, &said, &daemon, &abandoned),
				 cases[i].status);
		assert_null(daemon);
		assert_false(abandoned);
		assert_int_equal(said.cnt, 1);
		*cases[i].fail = 0;
		rig_start(&rig);
		rig_stop(&rig);
	}
}

static void test_add_and_remove(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig);
	for (unsigned round = 0; round < 3; round++) {
		rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan', 'queue-pairs': 1}",
			     0, NULL);
		rig_add_kind(&rig, CONFIG_PORT, "{'name': 'q', 'switch': 'lan'}", 0, NULL);
		rig_add_kind(&rig, CONFIG_UPLINK, "{'name': 'u', 'switch': 'lan', 'type': 'loop'}",
			     0, NULL);
		assert_int_equal(daemon_cnt(rig.daemon, CONFIG_SWITCH), 1);
		assert_int_equal(netswitch_port_cnt(find_switch(&rig, "lan")), 3);
		assert_true(exists(rig_path(&rig, "p", "sock")));
		rig_remove_any(&rig, "lan", -EBUSY,
			       "switch lan: port p is on it: remove that first");
		rig_remove_any(&rig, "p", 0, NULL);
		assert_false(exists(rig_path(&rig, "p", "sock")));
		rig_remove_any(&rig, "p", -ENOENT,
			       "no object is named \"p\" (there are: lan, q, u)");
		rig_remove_any(&rig, "q", 0, NULL);
		rig_remove_any(&rig, "lan", -EBUSY,
			       "switch lan: uplink u is on it: remove that first");
		rig_remove_any(&rig, "u", 0, NULL);
		assert_int_equal(netswitch_port_cnt(find_switch(&rig, "lan")), 0);
		rig_remove_any(&rig, "lan", 0, NULL);
		for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
			assert_int_equal(daemon_cnt(rig.daemon, kind), 0);
			assert_int_equal(rig.config.lists[kind].cnt, 0);
		}
	}
	rig_stop(&rig);
}

/* Of kinds by name: what is no disk is not found among disks. */
static void test_kinds_are_apart(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", 0, NULL);
	rig_remove(&rig, "p", -ENOENT, "no disk is named \"p\" (there are: none)");
	rig_resize(&rig, "p", "1M", -ENOENT, "no disk is named \"p\" (there are: none)");
	rig_add(&rig, "{'name': 'p', 'backend': 'null', 'size': '1M', 'socket': '/tmp/none'}",
		-EINVAL, "disk p.name: \"p\" is already the name of another port");
	rig_add_kind(&rig, CONFIG_SWITCH, "{'name': 'lan'}", -EINVAL,
		     "switch lan.name: \"lan\" is already the name of another switch");
	rig_set(&rig, "lan", "{'mac-aging': 5}", -EINVAL,
		"switch lan.mac-aging: cannot be changed while it runs; remove the switch and add "
		"it anew");
	rig_stop(&rig);
}

/* What cannot be opened leaves nothing behind, the switch that it brought included. */
static void test_adding_fails(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig);
	fake.fail_device = EINVAL;
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", -EINVAL,
		     "port p.mtu: it fails");
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_PORT), 0);
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_SWITCH), 0);
	fake.fail_device = ENOMEM;
	rig_add_kind(&rig, CONFIG_SWITCH, "{'name': 'lan'}", 0, NULL);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", -ENOMEM,
		     "port p.mtu: it fails");
	/* A switch that was there stays. */
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_SWITCH), 1);
	assert_int_equal(netswitch_port_cnt(find_switch(&rig, "lan")), 0);
	fake.fail_device = 0;
	fake.fail_switch = EINVAL;
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'new'}", -EINVAL,
		     "port p: it fails");
	rig_add_kind(&rig, CONFIG_UPLINK, "{'name': 'u', 'switch': 'new', 'type': 'loop'}", -EINVAL,
		     "uplink u: it fails");
	assert_int_equal(daemon_cnt(rig.daemon, CONFIG_SWITCH), 1);
	/* One whose socket cannot be made. */
	fake.fail_switch = 0;
	rig_add_kind(&rig, CONFIG_PORT,
		     "{'name': 'p', 'switch': 'new', 'socket': '/no/such/dir/s'}", -EINVAL,
		     "port p.socket: the directory /no/such/dir cannot be reached: No such file "
		     "or directory");
	assert_int_equal(rig.config.lists[CONFIG_SWITCH].cnt, 1);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'new'}", 0, NULL);
	rig_stop(&rig);
}

/* The daemon ends while a removal is under way. */
static void test_end_in_the_middle(void **state)
{
	struct asked port, lan;
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", 0, NULL);
	rig_add_kind(&rig, CONFIG_SWITCH, "{'name': 'empty'}", 0, NULL);
	operate_remove(rig.daemon, CONFIG_ANY, "p", ask(&port));
	operate_remove(rig.daemon, CONFIG_ANY, "empty", ask(&lan));
	rig_stop(&rig);
	assert_true(port.answered);
	assert_int_equal(port.status, 0);
	assert_true(lan.answered);
	assert_int_equal(lan.status, 0);
}

static void test_set(void **state)
{
	struct rig rig;
	struct port *port;
	const struct config_port *config;
	struct net_state guest;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan', 'vlan': 5}", 0, NULL);
	rig_add_kind(&rig, CONFIG_UPLINK, "{'name': 'u', 'switch': 'lan', 'type': 'loop'}", 0,
		     NULL);
	port = find_port(&rig, "p");
	config = port_config(port);
	rig_set(&rig, "p",
		"{'poll': 'never', 'poll-max-us': 9, 'coalesce': {'mode': 'static'}, 'placement': "
		"'off', 'vlan': null, 'trunk': '0,5-9', 'mac-lock': true, 'link': 'down'}",
		0, NULL);
	assert_int_equal(device_tuning(port->front.device)->poll_mode, POLL_MODE_NEVER);
	assert_int_equal(device_tuning(port->front.device)->poll_max_ns, 9 * NS_PER_US);
	assert_int_equal(device_tuning(port->front.device)->coalesce.mode, COALESCE_STATIC);
	assert_string_equal(config->vlans.trunk, "0,5-9");
	assert_true(config->mac_lock);
	net_device_state(port->front.device, &guest);
	assert_false(guest.link_up);
	rig_set(&rig, "p", "{'link': null, 'mac-lock': null, 'trunk': null, 'poll': null}", 0,
		NULL);
	net_device_state(port->front.device, &guest);
	assert_true(guest.link_up);
	assert_false(config->mac_lock);
	assert_null(config->vlans.trunk);
	/* All or nothing. */
	rig_set(&rig, "p", "{'link': 'down', 'vlan': 5000}", -EINVAL,
		"port p.vlan: 5000 is above the maximum of 4094 (allowed: 1 to 4094)");
	net_device_state(port->front.device, &guest);
	assert_true(guest.link_up);
	rig_set(&rig, "p", "{'mtu': 1500}", -EINVAL,
		"port p.mtu: cannot be changed while it runs; remove the port and add it anew");
	/* What a port was not given follows the daemon; an uplink stays as it was opened. */
	rig_set_daemon(&rig, "{'poll': 'always', 'poll-max-us': 77}", 0, NULL);
	assert_int_equal(device_tuning(port->front.device)->poll_mode, POLL_MODE_ALWAYS);
	assert_int_equal(device_tuning(port->front.device)->poll_max_ns, 9 * NS_PER_US);
	assert_int_equal(config_uplink_at(&rig.config, 0)->poll, POLL_MODE_ADAPTIVE);
	rig_set(&rig, "u", "{'vlan': 12}", 0, NULL);
	assert_int_equal(config_uplink_at(&rig.config, 0)->vlans.access, 12);
	rig_stop(&rig);
}

/* Frames go on whatever is changed, and whatever comes and goes beside them. */
static void test_under_traffic(void **state)
{
	static const char *const changes[] = {
		"{'poll': 'never'}",
		"{'coalesce': {'mode': 'static', 'packets': 2, 'usecs': 100}}",
		"{'poll': 'always', 'coalesce': {'mode': null}}",
		"{'trunk': '0'}",
		"{'trunk': null, 'poll': null}",
		"{'placement': 'off'}",
		"{'mac-lock': true}",
		"{'mac-lock': false}",
		"{'coalesce': {'mode': 'off'}}",
		"{'steering': {'mode': 'rss', 'table': '0'}, 'coalesce': {'mode': 'adaptive'}}",
		"{'steering': {'mode': 'rebalance', 'table': null, 'interval-ms': 10}}",
		"{'steering': {'inner': true, 'types': 'ipv4'}}",
		"{'steering': {'mode': null, 'interval-ms': null, 'types': null}}",
	};
	struct worker *const *workers;
	struct guest guest;
	char text[64];
	unsigned cnt;
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT,
		     "{'name': 'p', 'switch': 'lan', 'mac': '02:00:00:00:00:02'}", 0, NULL);
	rig_add_kind(&rig, CONFIG_UPLINK, "{'name': 'u', 'switch': 'lan', 'type': 'loop'}", 0,
		     NULL);
	nic_start(&rig, &guest, "p");
	guest_progress(&rig, &guest);
	assert_int_equal(served_front_state(&find_port(&rig, "p")->front), FRONT_CONNECTED);
	for (unsigned i = 0; i < ARRAY_LEN(changes); i++) {
		rig_set(&rig, "p", changes[i], 0, NULL);
		guest_progress(&rig, &guest);
	}
	workers = daemon_workers(rig.daemon, &cnt);
	for (unsigned i = 0; i < 2 * cnt && i < 8; i++) {
		snprintf(text, sizeof(text), "{'workers': '%d'}", worker_cpu(workers[i % cnt]));
		rig_set(&rig, "p", text, 0, NULL);
		guest_progress(&rig, &guest);
	}
	for (unsigned i = 0; i < 3; i++) {
		rig_add_kind(&rig, CONFIG_PORT, "{'name': 'q', 'switch': 'lan'}", 0, NULL);
		guest_progress(&rig, &guest);
		rig_remove_any(&rig, "q", 0, NULL);
		guest_progress(&rig, &guest);
		/* What sends them back goes, and comes again. */
		rig_remove_any(&rig, "u", 0, NULL);
		rig_add_kind(&rig, CONFIG_UPLINK,
			     "{'name': 'u', 'switch': 'lan', 'type': 'loop', 'queues': 2}", 0,
			     NULL);
		guest_progress(&rig, &guest);
	}
	guest_end(&rig, &guest);
	rig_remove_any(&rig, "p", 0, NULL);
	rig_stop(&rig);
}

/* The daemon ends, and a port is removed, while frames are on their way. */
static void test_end_under_traffic(void **state)
{
	struct guest guest;
	struct rig rig;

	(void)state;
	for (unsigned removes = 0; removes < 2; removes++) {
		begin(&rig);
		rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", 0, NULL);
		rig_add_kind(&rig, CONFIG_UPLINK, "{'name': 'u', 'switch': 'lan', 'type': 'loop'}",
			     0, NULL);
		nic_start(&rig, &guest, "p");
		guest_progress(&rig, &guest);
		if (removes)
			rig_remove_any(&rig, "p", 0, NULL);
		rig_stop(&rig);
		__atomic_store_n(&guest.end, true, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(guest.thread, NULL), 0);
	}
}

/* Of what a guest sent, the switch knows the address. */
struct macs {
	bool answered;
	int cnt;
	struct netswitch_mac row;
};

static void take_macs(void *arg, const struct netswitch_mac *rows, int cnt)
{
	struct macs *macs = arg;

	macs->answered = true;
	macs->cnt = cnt;
	if (cnt == 1)
		macs->row = rows[0];
}

static void test_macs(void **state)
{
	struct macs macs = {false};
	struct guest guest;
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", 0, NULL);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'q', 'switch': 'lan'}", 0, NULL);
	nic_start(&rig, &guest, "p");
	rig_until(&rig, __atomic_load_n(&guest.submitted, __ATOMIC_ACQUIRE) > 2);
	while (macs.cnt != 1) {
		macs.answered = false;
		netswitch_macs(find_switch(&rig, "lan"), take_macs, &macs);
		rig_until(&rig, macs.answered);
		assert_in_range(macs.cnt, 0, 1);
	}
	assert_string_equal(macs.row.port, "p");
	assert_memory_equal(macs.row.mac, ((const uint8_t[]){2, 0, 0, 0, 0, 2}), 6);
	assert_false(macs.row.locked);
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_end),     cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_add_and_remove),    cmocka_unit_test(test_kinds_are_apart),
		cmocka_unit_test(test_adding_fails),      cmocka_unit_test(test_set),
		cmocka_unit_test(test_end_in_the_middle), cmocka_unit_test(test_under_traffic),
		cmocka_unit_test(test_end_under_traffic), cmocka_unit_test(test_macs),
	};

	signals_block();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
