/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steering and coalescing of a port that runs, as an operator sets them: what the device is told,
 * what is refused, and that a refusal changes nothing. Not what steering does with frames
 * (tests/unit/device, tests/unit/network).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "app/port.h"
#include "app/signals.h"
#include "daemon_rig.h"
#include "device/net/net.h"

/* What the wrapped function does next, and what it was told. */
static struct {
	int fail;                     /* at once */
	int fail_late;                /* through the join, once */
	unsigned steered;             /* calls */
	struct net_steering steering; /* of the last one that did not fail at once */
} fake;

int __real_net_device_set_steering(struct device *device, const struct net_steering *steering,
				   struct join *join, struct err *err);
int __wrap_net_device_set_steering(struct device *device, const struct net_steering *steering,
				   struct join *join, struct err *err);

int __wrap_net_device_set_steering(struct device *device, const struct net_steering *steering,
				   struct join *join, struct err *err)
{
	fake.steered++;
	if (fake.fail)
		return err_set(err, fake.fail, "steering.table: it fails");
	fake.steering = *steering;
	if (fake.fail_late) {
		join_add(join);
		join_done(join, -fake.fail_late);
		fake.fail_late = 0;
		return 0;
	}
	return __real_net_device_set_steering(device, steering, join, err);
}

static void begin(struct rig *rig)
{
	memset(&fake, 0, sizeof(fake));
	rig_prepare(rig);
	rig_start(rig);
}

static struct port *find_port(const struct rig *rig, const char *name)
{
	struct served *served = daemon_find(rig->daemon, CONFIG_PORT, name);

	assert_non_null(served);
	return port_of(served);
}

static void steered(const struct port *port, enum net_steering_mode mode)
{
	static struct net_steering_view view;

	net_device_steering_view(port->front.device, &view);
	assert_int_equal(view.mode, mode);
	assert_false(view.by_guest);
	assert_int_equal(port_config(port)->steering.mode, mode);
}

static void test_set_steering(void **state)
{
	static const uint8_t key[] = {1, 2, 3};
	struct rig rig;
	struct port *port;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT,
		     "{'name': 'p', 'switch': 'lan', 'queue-pairs': 4, 'steering': {'mode': 'rss', "
		     "'table': '3,2,1,0'}}",
		     0, NULL);
	port = find_port(&rig, "p");
	steered(port, NET_STEERING_RSS);
	/* Opened with it: nothing is set. */
	assert_int_equal(fake.steered, 0);
	rig_set(&rig, "p", "{'steering': {'key': '01:02:03', 'types': 'tcpv4'}}", 0, NULL);
	steered(port, NET_STEERING_RSS);
	assert_int_equal(fake.steering.key_bytes, sizeof(key));
	assert_memory_equal(fake.steering.key, key, sizeof(key));
	assert_int_equal(fake.steering.types, 1u << HASH_TYPE_TCPV4);
	assert_int_equal(fake.steering.table_cnt, 4);
	assert_int_equal(fake.steering.table[0], 3);
	/* A key that is given back is the common one. */
	rig_set(&rig, "p",
		"{'steering.mode': 'rebalance', 'steering.key': null, 'steering': "
		"{'interval-ms': 20}}",
		0, NULL);
	steered(port, NET_STEERING_REBALANCE);
	assert_int_equal(fake.steering.interval_ms, 20);
	assert_int_equal(fake.steering.key_bytes, TOEPLITZ_KEY_BYTES);
	assert_memory_equal(fake.steering.key, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	/* What does not change steering does not touch it. */
	assert_int_equal(fake.steered, 2);
	rig_set(&rig, "p", "{'poll': 'never', 'coalesce': {'usecs': 50}}", 0, NULL);
	assert_int_equal(fake.steered, 2);
	assert_int_equal(device_tuning(port->front.device)->coalesce.usecs, 50);
	assert_int_equal(device_tuning(port->front.device)->coalesce.packets, 256);
	assert_int_equal(device_tuning(port->front.device)->coalesce.mode, COALESCE_ADAPTIVE);
	rig_set(&rig, "p",
		"{'steering': {'mode': null, 'types': null, 'table': null, 'interval-ms': null}}",
		0, NULL);
	steered(port, NET_STEERING_LEARN);
	rig_stop(&rig);
}

/* Refused by name, with all that was asked beside it; nothing has changed. */
static void test_steering_is_refused(void **state)
{
	static const struct {
		const char *changes;
		const char *line;
	} cases[] = {
		{"{'poll': 'never', 'steering': {'table': '0,2'}}",
		 "port p.steering.table: queue pair 2 at entry 1 is not there: queue-pairs is 2 "
		 "(allowed: 0 to 1)"},
		{"{'poll': 'never', 'steering': {'table': '0,1,0'}}",
		 "port p.steering.table: \"0,1,0\" has 3 entries, which is no power of two "
		 "(allowed: "
		 "1 to 512 queue pairs, a power of two, such as 0,1,2,3)"},
		{"{'steering.key': '0g', 'poll': 'never'}",
		 "port p.steering.key: \"0g\" is no key: behind 0 bytes comes a single hexadecimal "
		 "digit, not two (allowed: 1 to 40 bytes in hexadecimal such as 6d:5a:56 or "
		 "6d5a56)"},
		{"{'poll': 'never', 'coalesce': {'usecs': 10001}}",
		 "port p.coalesce.usecs: 10001 is above the maximum of 10000 (allowed: 1 to "
		 "10000)"},
		{"{'coalesce.packets': 1025, 'steering.inner': true}",
		 "port p.coalesce.packets: 1025 is above the maximum of 1024 (allowed: 1 to 1024)"},
		{"{'steering': {'interval-ms': 100}}",
		 "port p.steering.interval-ms: means nothing with steering.mode rss (allowed with: "
		 "rebalance)"},
	};
	struct config_port before;
	struct rig rig;
	struct port *port;

	(void)state;
	begin(&rig);
	rig_add_kind(
		&rig, CONFIG_PORT,
		"{'name': 'q', 'switch': 'lan', 'queue-pairs': 2, 'steering': {'mode': 'rss', "
		"'table': '0,5'}}",
		-EINVAL,
		"port q.steering.table: queue pair 5 at entry 1 is not there: queue-pairs is 2 "
		"(allowed: 0 to 1)");
	rig_add_kind(
		&rig, CONFIG_PORT,
		"{'name': 'p', 'switch': 'lan', 'queue-pairs': 2, 'steering': {'mode': 'rss'}}", 0,
		NULL);
	port = find_port(&rig, "p");
	before = *port_config(port);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		rig_set(&rig, "p", cases[i].changes, -EINVAL, cases[i].line);
		assert_memory_equal(&before, port_config(port), sizeof(before));
		assert_int_equal(device_tuning(port->front.device)->poll_mode, POLL_MODE_ADAPTIVE);
		assert_int_equal(fake.steered, 0);
		steered(port, NET_STEERING_RSS);
	}
	rig_stop(&rig);
}

/* The device has no memory for it, at once or on its way: all that was asked is taken back. */
static void test_steering_fails(void **state)
{
	struct rig rig;
	struct port *port;

	(void)state;
	begin(&rig);
	rig_add_kind(&rig, CONFIG_PORT, "{'name': 'p', 'switch': 'lan'}", 0, NULL);
	port = find_port(&rig, "p");
	fake.fail = ENOMEM;
	rig_set(&rig, "p", "{'steering.mode': 'rss', 'poll': 'never', 'link': 'down'}", -ENOMEM,
		"port p.steering.table: it fails");
	assert_int_equal(device_tuning(port->front.device)->poll_mode, POLL_MODE_ADAPTIVE);
	assert_int_equal(port_config(port)->front.poll, POLL_MODE_ADAPTIVE);
	steered(port, NET_STEERING_LEARN);
	fake.fail = 0;
	fake.fail_late = ENOMEM;
	rig_set(&rig, "p", "{'steering.mode': 'rss', 'poll': 'never'}", -ENOMEM,
		"port p: a worker could not take it: Cannot allocate memory");
	assert_int_equal(device_tuning(port->front.device)->poll_mode, POLL_MODE_ADAPTIVE);
	/* It was told to go back. */
	assert_int_equal(fake.steering.mode, NET_STEERING_LEARN);
	steered(port, NET_STEERING_LEARN);
	rig_set(&rig, "p", "{'steering.mode': 'rss', 'poll': 'never'}", 0, NULL);
	steered(port, NET_STEERING_RSS);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_steering),
		cmocka_unit_test(test_steering_is_refused),
		cmocka_unit_test(test_steering_fails),
	};

	signals_block();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
