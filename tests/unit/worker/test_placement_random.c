/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement of random inputs on machines of 1 to 256 CPUs, held against a model that goes through
 * the CPU sets themselves. Not answers by hand: test_placement.c.
 */
#include "fake_host.h"

#include "worker/placement.h"

#define ROUNDS 600
#define WORKERS 24

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

/* The same distance, from the sets instead of the homes. */
static enum placement_nearness model_nearness(const struct vcpu *vcpu, int worker_cpu)
{
	bool own = true, core = true, llc = true, node = true, any = false, one_node = true;
	int first_node = -1;

	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		if (!CPU_ISSET(cpu, &vcpu->cpus) || !topology.cpus[cpu].online)
			continue;
		first_node = any ? first_node : topology.cpus[cpu].node;
		any = true;
		own &= cpu == worker_cpu;
		core &= topology.cpus[cpu].core == topology.cpus[worker_cpu].core;
		llc &= topology.cpus[cpu].llc == topology.cpus[worker_cpu].llc;
		node &= topology.cpus[cpu].node == topology.cpus[worker_cpu].node;
		one_node &= topology.cpus[cpu].node == first_node;
	}
	if (!vcpu->known || (!any && vcpu->last_cpu < 0))
		return PLACEMENT_UNKNOWN;
	if (!any || !one_node)
		return vcpu->last_cpu >= 0 && topology.cpus[vcpu->last_cpu].node ==
						      topology.cpus[worker_cpu].node
			       ? PLACEMENT_NODE
			       : PLACEMENT_FAR;
	return own    ? PLACEMENT_OWN_CPU
	       : core ? PLACEMENT_SIBLING
	       : llc  ? PLACEMENT_CACHE
	       : node ? PLACEMENT_NODE
		      : PLACEMENT_FAR;
}

static uint64_t model_cost(unsigned queue, unsigned worker)
{
	static const uint64_t costs[] = {0, 1, 2, 3, 1 << 12, 1 << 23};
	struct placement_drivers drivers =
		placement_drivers(input.queue_cnt, input.home_cnt, queue);
	uint64_t sum = 0;

	for (unsigned i = 0; i < drivers.cnt; i++) {
		enum placement_nearness nearness =
			model_nearness(&vcpus[drivers.first + i], workers[worker].cpu);

		sum += input.allow_siblings && nearness == PLACEMENT_SIBLING ? 0 : costs[nearness];
	}
	return sum;
}

static void random_vcpu(struct fake_random *random, unsigned cpus, struct vcpu *vcpu)
{
	unsigned kind = fake_below(random, 8);
	unsigned cnt = kind < 5 ? 1 : kind == 5 ? 2 : fake_below(random, cpus);

	/* What a machine with room for 1024 CPUs says of an unpinned thread is among it. */
	*vcpu = (struct vcpu){.known = fake_below(random, 20) > 0,
			      .last_cpu = (int)fake_below(random, cpus)};
	for (unsigned i = 0; i < cnt; i++)
		CPU_SET(fake_below(random, cpus), &vcpu->cpus);
	if (kind == 7) {
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, &vcpu->cpus);
	}
}

static void random_input(unsigned seed)
{
	struct fake_random random = fake_random(seed);
	unsigned shape = fake_below(&random, ARRAY_LEN(fake_shapes));
	unsigned cpus = fake_shape_cpus(&fake_shapes[shape]);
	unsigned worker_max = cpus < WORKERS ? cpus : WORKERS;
	unsigned first = fake_below(&random, cpus);
	unsigned step = cpus > 32 ? 5 : 1;

	begin(shape);
	input.worker_cnt = 1 + fake_below(&random, worker_max);
	for (unsigned i = 0; i < input.worker_cnt; i++) {
		workers[i].cpu = (int)((first + i * step) % cpus);
		workers[i].queue_cnt = fake_below(&random, 3) ? 0 : fake_below(&random, 6);
	}
	input.allow_siblings = fake_below(&random, 4) == 0;
	input.queue_cnt = 1 + fake_below(&random, 40);
	input.home_cnt = fake_below(&random, 3) ? input.queue_cnt : fake_below(&random, 60);
	for (unsigned i = 0; i < input.home_cnt; i++)
		random_vcpu(&random, cpus, &vcpus[i]);
	placement_find_homes(&topology, vcpus, input.home_cnt, homes);
}

static uint64_t model_best(unsigned queue)
{
	uint64_t best = UINT64_MAX;

	for (unsigned w = 0; w < input.worker_cnt; w++) {
		uint64_t cost = model_cost(queue, w);

		best = cost < best ? cost : best;
	}
	return best;
}

static void check_nearest(unsigned seed, unsigned queue)
{
	struct placement_drivers drivers =
		placement_drivers(input.queue_cnt, input.home_cnt, queue);
	enum placement_nearness worst = PLACEMENT_UNKNOWN;
	int cpu;

	if (given[queue] >= input.worker_cnt)
		fail_msg("seed %u: queue %u is on no worker", seed, queue);
	cpu = workers[given[queue]].cpu;
	if (model_cost(queue, given[queue]) != model_best(queue))
		fail_msg("seed %u: queue %u could stand nearer", seed, queue);
	for (unsigned i = 0; i < drivers.cnt; i++) {
		enum placement_nearness nearness = model_nearness(&vcpus[drivers.first + i], cpu);

		worst = nearness > worst ? nearness : worst;
	}
	if (placement_nearness(&topology, &homes[drivers.first], drivers.cnt, cpu) != worst)
		fail_msg("seed %u: queue %u: nearness is told wrong", seed, queue);
	if (worst < PLACEMENT_SIBLING || input.allow_siblings)
		return;
	/* Beside a vCPU of its own only if every worker is beside one of them. */
	for (unsigned w = 0; w < input.worker_cnt; w++) {
		if (placement_nearness(&topology, &homes[drivers.first], drivers.cnt,
				       workers[w].cpu) < PLACEMENT_SIBLING)
			fail_msg("seed %u: queue %u sits on a sibling for nothing", seed, queue);
	}
}

/* No worker can hand queues on to another that has two fewer, by any chain of equal moves. */
static void check_balance(unsigned seed)
{
	static bool reaches[WORKERS][WORKERS];
	unsigned load[WORKERS];

	memset(reaches, 0, sizeof(reaches));
	for (unsigned w = 0; w < input.worker_cnt; w++)
		load[w] = workers[w].queue_cnt;
	for (unsigned i = 0; i < input.queue_cnt; i++) {
		load[given[i]]++;
		for (unsigned w = 0; w < input.worker_cnt; w++)
			reaches[given[i]][w] |= model_cost(i, w) == model_best(i);
	}
	for (unsigned via = 0; via < input.worker_cnt; via++) {
		for (unsigned a = 0; a < input.worker_cnt; a++) {
			for (unsigned b = 0; b < input.worker_cnt; b++)
				reaches[a][b] |= reaches[a][via] && reaches[via][b];
		}
	}
	for (unsigned a = 0; a < input.worker_cnt; a++) {
		for (unsigned b = 0; b < input.worker_cnt; b++) {
			if (reaches[a][b] && load[a] > load[b] + 1)
				fail_msg("seed %u: worker %u has %u queues, %u has %u", seed, a,
					 load[a], b, load[b]);
		}
	}
}

static void test_properties(void **state)
{
	uint16_t again[PLACEMENT_QUEUES_MAX];

	(void)state;
	for (unsigned seed = 1; seed <= ROUNDS; seed++) {
		random_input(seed);
		assert_int_equal(placement_assign(&input, given), 0);
		for (unsigned i = 0; i < input.queue_cnt; i++)
			check_nearest(seed, i);
		check_balance(seed);
		assert_int_equal(placement_assign(&input, again), 0);
		assert_memory_equal(again, given, input.queue_cnt * sizeof(*given));
		input.current = given;
		assert_int_equal(placement_assign(&input, again), 0);
		assert_memory_equal(again, given, input.queue_cnt * sizeof(*given));
	}
}

/* Nothing demands a distance where nothing is known: the counts differ by one at most. */
static void test_even_by_order(void **state)
{
	(void)state;
	for (unsigned shape = 0; shape < ARRAY_LEN(fake_shapes); shape++) {
		unsigned cpus = fake_shape_cpus(&fake_shapes[shape]);

		begin(shape);
		input.worker_cnt = cpus;
		for (unsigned cpu = 0; cpu < cpus; cpu++)
			workers[cpu].cpu = (int)cpu;
		for (input.queue_cnt = 1; input.queue_cnt <= 256; input.queue_cnt += 51) {
			assert_int_equal(placement_assign(&input, given), 0);
			for (unsigned i = 0; i < input.queue_cnt; i++)
				assert_int_equal(given[i], i % cpus);
		}
	}
}

/* The largest there is: ends, and each queue next to its vCPU. */
static void test_largest(void **state)
{
	(void)state;
	begin(5);
	/* The second threads serve, the first ones run vCPUs: siblings are everywhere. */
	input.worker_cnt = 128;
	for (unsigned i = 0; i < 128; i++)
		workers[i].cpu = (int)(128 + i);
	assert_int_equal(vcpus_parse("0-127", vcpus, VCPUS_MAX, &input.home_cnt, NULL), 0);
	placement_find_homes(&topology, vcpus, input.home_cnt, homes);
	input.queue_cnt = 128;
	assert_int_equal(placement_assign(&input, given), 0);
	for (unsigned i = 0; i < 128; i++)
		assert_int_equal(placement_nearness(&topology, &homes[i], 1, workers[given[i]].cpu),
				 PLACEMENT_CACHE);
	for (unsigned i = 0; i < 128; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(given[i], given[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_even_by_order),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
