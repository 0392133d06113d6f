/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading sysfs trees: machines of 1 to 256 CPUs, and trees with parts missing or spoilt.
 * Not placement on them: test_placement.c.
 */
#include "fake_host.h"

#include <errno.h>

#include "base/cpuset.h"
#include "worker/cpulist.h"

static struct topology made, seen;

static void assert_same(const struct topology *a, const struct topology *b)
{
	assert_int_equal(a->online_cnt, b->online_cnt);
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		assert_int_equal(a->cpus[cpu].online, b->cpus[cpu].online);
		assert_int_equal(a->cpus[cpu].core, b->cpus[cpu].core);
		assert_int_equal(a->cpus[cpu].llc, b->cpus[cpu].llc);
		assert_int_equal(a->cpus[cpu].node, b->cpus[cpu].node);
	}
}

static void test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fake_shapes); i++) {
		const char *root = fake_root_new();

		fake_topology_make(&fake_shapes[i], &made);
		fake_topology_write(&made);
		assert_int_equal(topology_read(root, &seen), 0);
		assert_same(&seen, &made);
		fake_root_delete();
	}
}

/* A 4-CPU machine with siblings 0-2 and 1-3, on which each test spoils something. */
static const char *small(void)
{
	const char *root = fake_root_new();

	fake_topology_make(&fake_shapes[2], &made);
	fake_topology_write(&made);
	return root;
}

static void check_and_delete(const char *root)
{
	assert_int_equal(topology_read(root, &seen), 0);
	assert_same(&seen, &made);
	fake_root_delete();
}

static void test_questions(void **state)
{
	const char *root = small();
	cpu_set_t set;
	char text[32];

	(void)state;
	check_and_delete(root);
	assert_true(topology_siblings(&seen, 0, 2));
	assert_true(topology_siblings(&seen, 3, 1));
	assert_false(topology_siblings(&seen, 0, 1));
	assert_false(topology_siblings(&seen, 2, 2));
	assert_false(topology_siblings(&seen, -1, 0));
	assert_false(topology_siblings(&seen, 0, TOPOLOGY_CPUS_MAX));
	assert_int_equal(topology_core(&seen, 3), 1);
	assert_int_equal(topology_llc(&seen, 3), 0);
	assert_int_equal(topology_node(&seen, 3), 0);
	assert_int_equal(topology_core(&seen, -1), TOPOLOGY_NONE);
	assert_int_equal(topology_llc(&seen, TOPOLOGY_CPUS_MAX), TOPOLOGY_NONE);
	assert_int_equal(topology_node(&seen, -1), TOPOLOGY_NONE);
	assert_int_equal(cpuset_parse("2-900", &set, NULL), 0);
	topology_clip(&seen, &set);
	cpuset_format(&set, text, sizeof(text));
	assert_string_equal(text, "2-3");
}

static void test_old_names(void **state)
{
	const char *root = small();

	(void)state;
	for (int cpu = 0; cpu < 4; cpu++) {
		fake_delete("cpu/cpu%d/topology/core_cpus_list", cpu);
		fake_write(cpu % 2 ? "1,3\n" : "0,2\n", "cpu/cpu%d/topology/thread_siblings_list",
			   cpu);
	}
	check_and_delete(root);
}

static void test_no_cores(void **state)
{
	const char *root = small();

	(void)state;
	for (int cpu = 0; cpu < 4; cpu++) {
		fake_delete("cpu/cpu%d/topology", cpu);
		made.cpus[cpu].core = (int16_t)cpu;
	}
	check_and_delete(root);
}

static void test_no_caches(void **state)
{
	const char *root = small();

	(void)state;
	for (int cpu = 0; cpu < 4; cpu++) {
		fake_delete("cpu/cpu%d/cache", cpu);
		made.cpus[cpu].llc = TOPOLOGY_NONE;
	}
	check_and_delete(root);
}

static void test_no_nodes(void **state)
{
	const char *root = small();

	(void)state;
	fake_delete("node");
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++)
		made.cpus[cpu].node = 0;
	check_and_delete(root);
}

static void test_no_online_list(void **state)
{
	const char *root = small();

	(void)state;
	fake_delete("cpu/online");
	check_and_delete(root);
}

static void test_offline_first_thread(void **state)
{
	const char *root = small();

	(void)state;
	/* The kernel takes an offline CPU out of the lists of the others; here some lag behind. */
	fake_write("1-3\n", "cpu/online");
	fake_write("1-3\n", "node/node0/cpulist");
	made.online_cnt = 3;
	made.cpus[0] = (struct topology_cpu){.core = 2, .llc = 1, .node = TOPOLOGY_NONE};
	made.cpus[2].core = 2;
	for (int cpu = 1; cpu < 4; cpu++)
		made.cpus[cpu].llc = 1;
	check_and_delete(root);
}

static void test_highest_data_cache_counts(void **state)
{
	const char *root = small();

	(void)state;
	for (int cpu = 0; cpu < 4; cpu++) {
		char own[4];

		snprintf(own, sizeof(own), "%d\n", cpu);
		fake_write("4\n", "cpu/cpu%d/cache/index3/level", cpu);
		fake_write("Instruction\n", "cpu/cpu%d/cache/index3/type", cpu);
		fake_write(own, "cpu/cpu%d/cache/index3/shared_cpu_list", cpu);
	}
	check_and_delete(root);
	root = small();
	for (int cpu = 0; cpu < 4; cpu++) {
		fake_write("4\n", "cpu/cpu%d/cache/index3/level", cpu);
		fake_write("Unified\n", "cpu/cpu%d/cache/index3/type", cpu);
		fake_write(cpu % 2 ? "1,3\n" : "0,2\n", "cpu/cpu%d/cache/index3/shared_cpu_list",
			   cpu);
		made.cpus[cpu].llc = (int16_t)(cpu % 2);
	}
	check_and_delete(root);
}

static void test_spoilt_files(void **state)
{
	static const char *const bad[] = {"",    "\n",     "x\n",   "3-1\n", "0-\n",
					  ",\n", "0,,1\n", "0x1\n", "1\n",   "99999999999\n"};
	(void)state;
	/* CPU 0's list must at least name CPU 0; the last two do not. */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *root = small();

		fake_write(bad[i], "cpu/cpu0/topology/core_cpus_list");
		fake_write(bad[i], "cpu/cpu0/cache/index2/shared_cpu_list");
		for (int cpu = 1; cpu < 4; cpu++)
			fake_delete("cpu/cpu%d/cache", cpu);
		fake_delete("cpu/cpu2/topology");
		made.cpus[2].core = 2;
		for (int cpu = 0; cpu < 4; cpu++)
			made.cpus[cpu].llc = TOPOLOGY_NONE;
		check_and_delete(root);
	}
}

static void test_spoilt_nodes_and_levels(void **state)
{
	const char *root = small();

	(void)state;
	fake_write("0-3\n", "node/nodex/cpulist");
	fake_write("0-3\n", "node/node7x/cpulist");
	fake_write("garbage\n", "node/node5/cpulist");
	fake_write("high\n", "cpu/cpu0/cache/index3/level");
	fake_write("-3\n", "cpu/cpu0/cache/index4/level");
	check_and_delete(root);
}

static void test_beyond_the_maximum(void **state)
{
	const char *root = small();

	(void)state;
	fake_write("0-3,1024-4095\n", "cpu/online");
	fake_write("0-3,2000\n", "node/node0/cpulist");
	check_and_delete(root);
}

static void test_nothing_there(void **state)
{
	const char *root = fake_root_new();
	cpu_set_t set;

	(void)state;
	assert_int_equal(topology_read(root, &seen), -ENOENT);
	topology_init_flat(&made);
	assert_same(&seen, &made);
	assert_int_equal(topology_core(&seen, 7), 7);
	assert_int_equal(topology_llc(&seen, 7), TOPOLOGY_NONE);
	assert_int_equal(topology_node(&seen, 7), 0);
	CPU_ZERO(&set);
	CPU_SET(7, &set);
	topology_clip(&seen, &set);
	assert_int_equal(CPU_COUNT(&set), 1);
	fake_root_delete();
}

static void test_this_machine(void **state)
{
	cpu_set_t allowed;

	(void)state;
	assert_int_equal(cpuset_allowed(&allowed), 0);
	if (topology_read(NULL, &seen) < 0) {
		/* Without sysfs the flat one must have come out. */
		assert_int_equal(seen.online_cnt, 0);
		return;
	}
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		const struct topology_cpu *of = &seen.cpus[cpu];

		if (CPU_ISSET(cpu, &allowed))
			assert_true(of->online);
		if (of->online) {
			assert_true(of->core >= 0 && of->core <= cpu);
			assert_true(of->llc >= TOPOLOGY_NONE && of->llc <= cpu);
			assert_true(seen.cpus[of->core].online);
		}
	}
}

static void test_lists(void **state)
{
	static const struct {
		const char *text;
		const char *canonical; /* NULL: refused */
	} rows[] = {
		{"0\n", "0"},
		{"0-3,8", "0-3,8"},
		{"\t 2,5\n9\n", "2,5"},
		{"0-1023\n", "0-1023"},
		{"1020-99999\n", "1020-1023"},
		{"5000\n", ""},
		{"3,3,2-3\n", "2-3"},
		{"", NULL},
		{"1,", NULL},
		{"3-1\n", NULL},
		{"0,3-1\n", NULL},
		{"1-2-3", NULL},
		{"1 2", NULL},
		{"-1", NULL},
	};
	char buf[64];
	cpu_set_t set;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		char *text = strdup(rows[i].text);
		FILE *file = fmemopen(text, len ? len : 1, "r");

		assert_non_null(file);
		if (len == 0)
			getc(file);
		assert_int_equal(cpulist_read(file, &set), rows[i].canonical != NULL);
		cpuset_format(&set, buf, sizeof(buf));
		assert_string_equal(buf, rows[i].canonical ? rows[i].canonical : "");
		fclose(file);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_old_names),
		cmocka_unit_test(test_no_cores),
		cmocka_unit_test(test_no_caches),
		cmocka_unit_test(test_no_nodes),
		cmocka_unit_test(test_no_online_list),
		cmocka_unit_test(test_offline_first_thread),
		cmocka_unit_test(test_highest_data_cache_counts),
		cmocka_unit_test(test_spoilt_files),
		cmocka_unit_test(test_spoilt_nodes_and_levels),
		cmocka_unit_test(test_beyond_the_maximum),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_this_machine),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
