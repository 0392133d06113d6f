/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding table alone: limits, ageing, moves, locks, and a model that it is held to.
 * Not learning from frames (test_switch.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "network/fdb.h"

#define AGING_NS (10 * NS_PER_S)

static struct fdb fdb;
static struct fdb_port ports[4];

static void begin(uint32_t max, uint32_t port_max)
{
	const struct fdb_options options = {
		.max = max, .port_max = port_max, .locked_max = 8, .aging_ns = AGING_NS};

	memset(ports, 0, sizeof(ports));
	assert_int_equal(fdb_init(&fdb, &options), 0);
}

static uint64_t key(unsigned number, unsigned vlan)
{
	return fdb_key(0x0002ull | (uint64_t)number << 16, vlan);
}

static enum fdb_learnt learn(uint64_t address, unsigned port, uint64_t now_ns)
{
	struct fdb_entry *entry = NULL;
	const enum fdb_learnt learnt = fdb_learn(&fdb, address, &ports[port], now_ns, &entry);

	if (learnt == FDB_REFUSED || learnt == FDB_IS_LOCKED)
		assert_null(entry);
	else
		assert_ptr_equal(entry, fdb_find(&fdb, address, now_ns));
	return learnt;
}

static const struct fdb_port *behind(uint64_t address, uint64_t now_ns)
{
	const struct fdb_entry *entry = fdb_find(&fdb, address, now_ns);

	return entry ? entry->port : NULL;
}

static void test_keys(void **state)
{
	const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
	uint8_t back[6];

	(void)state;
	fdb_key_mac(fdb_key(fdb_mac(mac), 7), back);
	assert_memory_equal(back, mac, 6);
	assert_int_equal(fdb_key_vlan(fdb_key(fdb_mac(mac), 4094)), 4094);
	assert_true((fdb_mac((const uint8_t[6]){1, 0, 0, 0, 0, 0}) & 1) == 1);
}

static void test_learns_per_vlan(void **state)
{
	(void)state;
	begin(100, 0);
	assert_int_equal(learn(key(1, 0), 0, 1), FDB_NEW);
	assert_int_equal(learn(key(1, 0), 0, 2), FDB_KNOWN);
	assert_int_equal(learn(key(1, 5), 1, 3), FDB_NEW);
	assert_ptr_equal(behind(key(1, 0), 3), &ports[0]);
	assert_ptr_equal(behind(key(1, 5), 3), &ports[1]);
	assert_null(behind(key(1, 6), 3));
	assert_null(behind(key(2, 0), 3));
	assert_int_equal(fdb.cnt, 2);
	fdb_fini(&fdb);
}

static void test_table_limit(void **state)
{
	unsigned found = 0;

	(void)state;
	begin(1000, 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(learn(key(i, 0), i % 4, 1), FDB_NEW);
	for (unsigned i = 1000; i < 2000; i++)
		assert_int_equal(learn(key(i, 0), i % 4, 1), FDB_REFUSED);
	for (unsigned i = 0; i < 2000; i++)
		found += behind(key(i, 0), 1) == &ports[i % 4];
	assert_int_equal(found, 1000);
	/* One that goes makes room for one. */
	fdb_flush_port(&fdb, &ports[3]);
	assert_int_equal(fdb.cnt, 750);
	assert_int_equal(ports[3].cnt, 0);
	for (unsigned i = 1000; i < 1250; i++)
		assert_int_equal(learn(key(i, 0), 0, 1), FDB_NEW);
	assert_int_equal(learn(key(1250, 0), 0, 1), FDB_REFUSED);
	fdb_fini(&fdb);
}

static void test_port_limit(void **state)
{
	(void)state;
	begin(100, 2);
	assert_int_equal(learn(key(1, 0), 0, 1), FDB_NEW);
	assert_int_equal(learn(key(2, 0), 0, 1), FDB_NEW);
	assert_int_equal(learn(key(3, 0), 0, 1), FDB_REFUSED);
	assert_int_equal(learn(key(1, 0), 0, 2), FDB_KNOWN);
	assert_int_equal(learn(key(3, 0), 1, 1), FDB_NEW);
	/* Nor by a move; and a move away makes room. */
	assert_int_equal(learn(key(3, 0), 0, 2), FDB_REFUSED);
	assert_ptr_equal(behind(key(3, 0), 2), &ports[1]);
	assert_int_equal(learn(key(1, 0), 1, 2), FDB_MOVED);
	assert_int_equal(learn(key(4, 0), 0, 2), FDB_NEW);
	assert_int_equal(ports[0].cnt, 2);
	assert_int_equal(ports[1].cnt, 2);
	fdb_fini(&fdb);
}

static void test_moves_are_seen(void **state)
{
	uint32_t generation;

	(void)state;
	begin(100, 0);
	learn(key(1, 0), 0, 1);
	generation = fdb.generation;
	learn(key(1, 0), 0, 2);
	learn(key(2, 0), 1, 2);
	assert_int_equal(fdb.generation, generation);
	assert_int_equal(learn(key(1, 0), 1, 3), FDB_MOVED);
	assert_int_not_equal(fdb.generation, generation);
	assert_ptr_equal(behind(key(1, 0), 3), &ports[1]);
	generation = fdb.generation;
	fdb_flush_port(&fdb, &ports[2]);
	assert_int_not_equal(fdb.generation, generation);
	fdb_fini(&fdb);
}

static void test_ages(void **state)
{
	uint32_t generation;

	(void)state;
	begin(100, 0);
	learn(key(1, 0), 0, 1000);
	learn(key(2, 0), 0, 1000);
	learn(key(2, 0), 0, 2000);
	assert_non_null(behind(key(1, 0), 1000 + AGING_NS - 1));
	assert_null(behind(key(1, 0), 1000 + AGING_NS));
	assert_non_null(behind(key(2, 0), 1000 + AGING_NS));
	/* A clock that is behind the one that it was learnt by makes nobody old. */
	assert_non_null(behind(key(2, 0), 500));
	/* Too old and heard from again: as if it were new. */
	assert_int_equal(fdb.cnt, 2);
	assert_int_equal(learn(key(1, 0), 0, 1000 + AGING_NS), FDB_NEW);
	assert_int_equal(fdb.cnt, 2);
	/* The sweep takes out what is too old and nothing else. */
	generation = fdb.generation;
	fdb_sweep(&fdb, fdb.mask + 1, 1999 + AGING_NS);
	assert_int_equal(fdb.cnt, 2);
	assert_int_equal(fdb.generation, generation);
	fdb_sweep(&fdb, fdb.mask + 2, 2000 + AGING_NS);
	assert_int_equal(fdb.cnt, 1);
	assert_int_not_equal(fdb.generation, generation);
	assert_int_equal(ports[0].cnt, 1);
	fdb_fini(&fdb);
}

static void test_locks(void **state)
{
	(void)state;
	begin(100, 1);
	learn(key(1, 5), 0, 1);
	learn(key(1, 6), 1, 1);
	/* In one VLAN: out of what was learnt there, and there alone. */
	assert_true(fdb_lock(&fdb, key(1, 5), &ports[2]));
	assert_ptr_equal(behind(key(1, 5), 1), &ports[2]);
	assert_ptr_equal(behind(key(1, 6), 1), &ports[1]);
	assert_int_equal(learn(key(1, 5), 0, 2), FDB_IS_LOCKED);
	assert_int_equal(learn(key(1, 6), 1, 2), FDB_KNOWN);
	assert_int_equal(ports[0].cnt, 0);
	/* It does not age. */
	assert_ptr_equal(behind(key(1, 5), 100 * AGING_NS), &ports[2]);
	fdb_sweep(&fdb, 2 * fdb.mask, 100 * AGING_NS);
	assert_ptr_equal(behind(key(1, 5), 100 * AGING_NS), &ports[2]);
	/* In all VLANs: also those where it was learnt. */
	assert_true(fdb_lock(&fdb, fdb_key(key(1, 0), FDB_VLAN_ANY), &ports[3]));
	assert_ptr_equal(behind(key(1, 6), 2), &ports[3]);
	assert_ptr_equal(behind(key(1, 0), 2), &ports[3]);
	assert_ptr_equal(behind(key(1, 5), 2), &ports[2]);
	assert_int_equal(learn(key(1, 7), 1, 2), FDB_IS_LOCKED);
	assert_int_equal(learn(key(2, 7), 1, 2), FDB_NEW);
	/* The second who wants it does not have it; the first may say so again. */
	assert_false(fdb_lock(&fdb, key(1, 5), &ports[0]));
	assert_true(fdb_lock(&fdb, key(1, 5), &ports[2]));
	assert_int_equal(fdb.locked_cnt, 2);
	fdb_flush_port(&fdb, &ports[2]);
	assert_ptr_equal(behind(key(1, 5), 2), &ports[3]);
	fdb_flush_port(&fdb, &ports[3]);
	assert_null(behind(key(1, 5), 2));
	assert_int_equal(fdb.locked_cnt, 0);
	assert_int_equal(learn(key(1, 5), 0, 3), FDB_NEW);
	fdb_fini(&fdb);
}

static void test_locks_are_bounded(void **state)
{
	(void)state;
	begin(16, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_true(fdb_lock(&fdb, key(i, 1), &ports[0]));
	assert_false(fdb_lock(&fdb, key(8, 1), &ports[0]));
	/* They take no room from what is learnt. */
	for (unsigned i = 100; i < 116; i++)
		assert_int_equal(learn(key(i, 1), 1, 1), FDB_NEW);
	fdb_fini(&fdb);
}

/* Random steps beside the simplest table that there is. */
#define MODEL_KEYS 600

struct model {
	struct fdb_port *port;
	uint64_t seen_ns;
};

static bool model_lives(const struct model *model, uint64_t now_ns)
{
	return model->port && now_ns - model->seen_ns < AGING_NS;
}

static void model_flush(struct model *model, const struct fdb_port *port)
{
	for (unsigned i = 0; i < MODEL_KEYS; i++) {
		if (model[i].port == port)
			model[i].port = NULL;
	}
}

static void test_model(void **state)
{
	static struct model model[MODEL_KEYS];
	uint64_t now_ns = AGING_NS;
	unsigned finds = 0;

	(void)state;
	begin(MODEL_KEYS, 0);
	srand(1);
	for (unsigned step = 0; step < 200000; step++) {
		const unsigned at = (unsigned)rand() % MODEL_KEYS;
		const unsigned port = (unsigned)rand() % ARRAY_LEN(ports);

		now_ns += (uint64_t)rand() % (AGING_NS / 500);
		if (step % 3 == 0) {
			assert_int_not_equal(learn(key(at, at % 3), port, now_ns), FDB_REFUSED);
			model[at] = (struct model){&ports[port], now_ns};
		} else if (step % 5000 == 1) {
			fdb_flush_port(&fdb, &ports[port]);
			model_flush(model, &ports[port]);
		} else if (step % 100 == 2) {
			fdb_sweep(&fdb, 64, now_ns);
		} else {
			assert_ptr_equal(behind(key(at, at % 3), now_ns),
					 model_lives(&model[at], now_ns) ? model[at].port : NULL);
			finds += model_lives(&model[at], now_ns);
		}
	}
	assert_true(finds > 10000);
	fdb_sweep(&fdb, 4 * fdb.mask, now_ns + AGING_NS);
	assert_int_equal(fdb.cnt, 0);
	for (unsigned i = 0; i < ARRAY_LEN(ports); i++)
		assert_int_equal(ports[i].cnt, 0);
	for (uint32_t i = 0; i <= fdb.mask; i++)
		assert_null(fdb.entries[i].port);
	fdb_fini(&fdb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),           cmocka_unit_test(test_learns_per_vlan),
		cmocka_unit_test(test_table_limit),    cmocka_unit_test(test_port_limit),
		cmocka_unit_test(test_moves_are_seen), cmocka_unit_test(test_ages),
		cmocka_unit_test(test_locks),          cmocka_unit_test(test_locks_are_bounded),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests_name("fdb", tests, NULL, NULL);
}
