/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement on machines of 1 to 64 CPUs, answers by hand. Not random inputs, nor larger machines:
 * test_placement_random.c. Not rebalancing: test_rebalance.c.
 */
#include "fake_host.h"

#include <errno.h>

#include "base/cpuset.h"
#include "worker/placement.h"

static struct topology topology;
static struct vcpu vcpus[VCPUS_MAX];
static struct vcpu_home homes[VCPUS_MAX];
static struct placement_worker workers[PLACEMENT_WORKERS_MAX];
static uint16_t given[PLACEMENT_QUEUES_MAX];
static struct placement_input input;

static void begin(unsigned shape)
{
	fake_topology_make(&fake_shapes[shape], &topology);
	memset(workers, 0, sizeof(workers));
	input = (struct placement_input){.topology = &topology, .workers = workers, .homes = homes};
}

static void add_worker(int cpu, unsigned queue_cnt)
{
	workers[input.worker_cnt++] = (struct placement_worker){cpu, queue_cnt};
}

static void add_workers(const char *cpus)
{
	cpu_set_t set;

	assert_int_equal(cpuset_parse(cpus, &set, NULL), 0);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set))
			add_worker(cpu, 0);
	}
}

/* Each CPU of the list is one vCPU's. */
static void pin_vcpus(const char *cpus)
{
	assert_int_equal(vcpus_parse(cpus, vcpus, VCPUS_MAX, &input.home_cnt, NULL), 0);
	placement_find_homes(&topology, vcpus, input.home_cnt, homes);
}

static void add_vcpu(const char *cpus, int last_cpu)
{
	struct vcpu *vcpu = &vcpus[input.home_cnt++];

	*vcpu = (struct vcpu){.known = true, .tid = 1, .last_cpu = last_cpu};
	if (cpus[0])
		assert_int_equal(cpuset_parse(cpus, &vcpu->cpus, NULL), 0);
	placement_find_homes(&topology, vcpus, input.home_cnt, homes);
}

static void assert_given(unsigned queue_cnt, const char *expected)
{
	char text[256] = "";

	input.queue_cnt = queue_cnt;
	assert_int_equal(placement_assign(&input, given), 0);
	for (unsigned i = 0; i < queue_cnt; i++) {
		char one[8];

		assert_true(given[i] < input.worker_cnt);
		snprintf(one, sizeof(one), "%s%d", i ? " " : "", workers[given[i]].cpu);
		strncat(text, one, sizeof(text) - strlen(text) - 1);
	}
	assert_string_equal(text, expected);
}

/* ---- by hand; answers are CPU numbers ---- */

static void test_one_and_two_cpus(void **state)
{
	(void)state;
	begin(0);
	add_workers("0");
	pin_vcpus("0");
	assert_given(1, "0");
	begin(1);
	add_workers("0-1");
	pin_vcpus("0-1");
	/* Each goes away from its own vCPU. */
	assert_given(2, "1 0");
}

static void test_siblings(void **state)
{
	(void)state;
	/* Siblings: 0-2, 1-3. */
	begin(2);
	add_workers("1-2");
	pin_vcpus("0");
	assert_given(3, "1 1 1");
	input.allow_siblings = true;
	assert_given(1, "2");
	/* Nothing else there. */
	begin(2);
	add_workers("2");
	pin_vcpus("0");
	assert_given(1, "2");
	/* The sibling rather than the vCPU's own CPU. */
	begin(2);
	add_workers("0,2");
	pin_vcpus("0");
	assert_given(1, "2");
	input.allow_siblings = true;
	assert_given(1, "2");
	/* A vCPU that may run on both threads of a core. */
	begin(2);
	add_workers("2-3");
	add_vcpu("0,2", 0);
	assert_given(1, "3");
}

static void test_caches(void **state)
{
	(void)state;
	/* Caches: 0-3, 4-7. */
	begin(3);
	add_workers("2-3,6-7");
	pin_vcpus("0,4,1,5");
	assert_given(4, "2 6 3 7");
	/* Distance demands two more here. */
	pin_vcpus("0,1");
	input.worker_cnt = 1;
	add_workers("6-7");
	assert_given(2, "2 2");
	/* A vCPU that floats over both caches is as near to all. */
	input.home_cnt = 0;
	add_vcpu("0-7", 0);
	add_vcpu("0-7", 0);
	add_vcpu("0-7", 0);
	assert_given(3, "2 6 7");
}

static void test_nodes(void **state)
{
	(void)state;
	/* Nodes: 0-15 with 32-47, 16-31 with 48-63. */
	begin(4);
	add_workers("8-9,24-25");
	pin_vcpus("0-7");
	assert_given(8, "8 9 8 9 8 9 8 9");
	pin_vcpus("16-19,0-3");
	assert_given(8, "24 25 24 25 8 9 8 9");
	/* Floats over both nodes: where it ran last. */
	input.home_cnt = 0;
	add_vcpu("0-63", 50);
	add_vcpu("0-63", 3);
	add_vcpu("", 20);
	add_vcpu("", -1);
	assert_int_equal(homes[0].node, 1);
	assert_int_equal(homes[0].cpu, TOPOLOGY_NONE);
	assert_int_equal(homes[2].node, 1);
	assert_given(4, "24 8 25 9");
	/* No worker on the node: anywhere, evenly. */
	begin(4);
	add_workers("8-9");
	pin_vcpus("16-19");
	assert_given(4, "8 9 8 9");
}

static void test_what_others_have_counts(void **state)
{
	(void)state;
	begin(1);
	add_worker(0, 3);
	add_worker(1, 0);
	assert_given(5, "1 1 1 0 1");
}

static void test_groups(void **state)
{
	(void)state;
	/* Five vCPUs on two queues: 0-2 and 3-4. */
	begin(3);
	add_workers("3,7");
	pin_vcpus("0,1,4,5,6");
	assert_given(2, "3 7");
	/* The nearest to most of them. */
	pin_vcpus("0,4,5");
	assert_given(1, "7");
	/* More queues than vCPUs. */
	pin_vcpus("4,0");
	assert_given(5, "7 3 7 3 7");
}

static void test_chain_of_moves(void **state)
{
	(void)state;
	fake_topology_make(&(struct fake_shape){1, 1, 3, 2}, &topology);
	input = (struct placement_input){.topology = &topology, .workers = workers, .homes = homes};
	/* Siblings of 0, 1 and 2; two vCPUs for each queue. */
	add_workers("3-5");
	add_vcpu("1", 1); /* queue 0: on 3 or 5 */
	add_vcpu("1", 1);
	add_vcpu("2", 2); /* queue 1: on 3 or 4 */
	add_vcpu("2", 2);
	add_vcpu("0", 0); /* queue 2: on 4 */
	add_vcpu("2", 2);
	/* One by one they come to 3, 4, 4; only queue 1 to 3 and queue 0 to 5 makes it even. */
	assert_given(3, "5 3 4");
}

static void test_current_is_kept(void **state)
{
	uint16_t current[] = {1, 1, 1, 1, PLACEMENT_NONE, 0, 99};

	(void)state;
	begin(3);
	add_workers("2-3,6");
	input.current = current;
	for (unsigned i = 0; i < 7; i++)
		add_vcpu(i == 5 ? "4" : "0", 0);
	/* Load put four on one worker: they stay. The sixth's vCPU went to the other cache. */
	assert_given(7, "3 3 3 3 2 6 2");
	/* Asking again with the answer changes nothing. */
	memcpy(current, given, sizeof(current));
	assert_given(7, "3 3 3 3 2 6 2");
}

static void test_fixed_and_off(void **state)
{
	(void)state;
	begin(3);
	add_workers("2-4");
	pin_vcpus("2-4");
	workers[0].queue_cnt = 9;
	input.mode = PLACEMENT_FIXED;
	assert_given(5, "2 3 4 2 3");
	input.shift = 2;
	assert_given(5, "4 2 3 4 2");
	input.mode = PLACEMENT_OFF;
	assert_given(5, "4 2 3 4 2");
	assert_true(placement_mode_rebalances(PLACEMENT_AUTO));
	assert_true(placement_mode_rebalances(PLACEMENT_FIXED));
	assert_false(placement_mode_rebalances(PLACEMENT_OFF));
}

static void test_limits(void **state)
{
	(void)state;
	begin(0);
	given[0] = 77;
	input.queue_cnt = 1;
	assert_int_equal(placement_assign(&input, given), -EINVAL);
	add_workers("0");
	input.queue_cnt = PLACEMENT_QUEUES_MAX + 1;
	assert_int_equal(placement_assign(&input, given), -EINVAL);
	input.queue_cnt = 1;
	input.home_cnt = VCPUS_MAX + 1;
	assert_int_equal(placement_assign(&input, given), -EINVAL);
	input.home_cnt = 0;
	input.worker_cnt = PLACEMENT_WORKERS_MAX + 1;
	assert_int_equal(placement_assign(&input, given), -EINVAL);
	assert_int_equal(given[0], 77);
	/* Workers that are not pinned are all as near. */
	input.worker_cnt = 0;
	add_worker(-1, 0);
	add_worker(-1, 0);
	pin_vcpus("0");
	input.queue_cnt = 4;
	assert_int_equal(placement_assign(&input, given), 0);
	assert_int_equal(given[0] + given[1] + given[2] + given[3], 2);
	input.queue_cnt = 0;
	assert_int_equal(placement_assign(&input, given), 0);
}

static void test_drivers(void **state)
{
	struct placement_drivers drivers;

	(void)state;
	for (unsigned queue_cnt = 1; queue_cnt <= 70; queue_cnt++) {
		for (unsigned vcpu_cnt = 1; vcpu_cnt <= 70; vcpu_cnt++) {
			unsigned next = 0, longest = 0, shortest = 70;

			for (unsigned i = 0; i < queue_cnt; i++) {
				drivers = placement_drivers(queue_cnt, vcpu_cnt, i);
				if (queue_cnt >= vcpu_cnt) {
					assert_int_equal(drivers.cnt, 1);
					assert_int_equal(drivers.first, i % vcpu_cnt);
					continue;
				}
				assert_int_equal(drivers.first, next);
				next += drivers.cnt;
				longest = drivers.cnt > longest ? drivers.cnt : longest;
				assert_true(drivers.cnt <= shortest);
				shortest = drivers.cnt;
			}
			if (queue_cnt < vcpu_cnt) {
				assert_int_equal(next, vcpu_cnt);
				assert_true(longest - shortest <= 1);
			}
		}
	}
	assert_int_equal(placement_drivers(4, 0, 2).cnt, 0);
}

static void test_names(void **state)
{
	enum placement_mode mode;

	(void)state;
	for (unsigned i = 0; i < PLACEMENT_MODE_MAX_; i++) {
		assert_int_equal(placement_mode_parse(placement_mode_name(i), &mode), 0);
		assert_int_equal(mode, i);
	}
	assert_int_equal(placement_mode_parse("Auto", &mode), -EINVAL);
	assert_int_equal(placement_mode_parse("", &mode), -EINVAL);
	assert_null(placement_mode_name(PLACEMENT_MODE_MAX_));
	assert_string_equal(placement_nearness_name(PLACEMENT_CACHE), "cache");
	assert_string_equal(placement_nearness_name(PLACEMENT_OWN_CPU), "own-cpu");
	assert_null(placement_nearness_name(PLACEMENT_NEARNESS_MAX_));
}

static void test_conflicts(void **state)
{
	struct placement_conflict found[4];
	char text[256];

	(void)state;
	begin(3);
	add_workers("2-3");
	add_vcpu("0", 0);
	add_vcpu("3", 3);
	add_vcpu("1-3", 2);
	add_vcpu("2-3", 2);
	/* Those beyond this machine's eight do not count. */
	add_vcpu("2,900", 2);
	add_vcpu("900", -1);
	vcpus[input.home_cnt++].known = false;
	vcpus[4].tid = 0;
	assert_int_equal(placement_find_conflicts(&topology, workers, 2, vcpus, input.home_cnt,
						  found, 2),
			 3);
	assert_int_equal(placement_find_conflicts(&topology, workers, 2, vcpus, input.home_cnt,
						  found, 4),
			 3);
	assert_int_equal(found[0].vcpu, 1);
	assert_int_equal(found[0].worker, 1);
	placement_describe_conflict(&found[0], 5, text, sizeof(text));
	assert_string_equal(text, "vCPU 1 (thread 1) may only run on CPU 3, which is worker 5's: "
				  "move the vCPU or choose other workers");
	placement_describe_conflict(&found[1], 0, text, sizeof(text));
	assert_string_equal(text, "vCPU 3 (thread 1) may only run on CPUs that have workers, the "
				  "first CPU 2 with worker 0: give it one without, or choose other "
				  "workers");
	placement_describe_conflict(&found[2], 0, text, sizeof(text));
	assert_string_equal(text, "vCPU 4 may only run on CPU 2, which is worker 0's: move the "
				  "vCPU or choose other workers");
	assert_int_equal(placement_find_conflicts(&topology, workers, 0, vcpus, input.home_cnt,
						  found, 4),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_and_two_cpus),
		cmocka_unit_test(test_siblings),
		cmocka_unit_test(test_caches),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_what_others_have_counts),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_chain_of_moves),
		cmocka_unit_test(test_current_is_kept),
		cmocka_unit_test(test_fixed_and_off),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_drivers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_conflicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
