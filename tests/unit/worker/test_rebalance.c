/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebalancing by load: each rule by hand, properties of random plans, and simulations in which a
 * saturated worker's queues want more than is measured. Not the first placement.
 */
#include "fake_host.h"

#include "worker/rebalance.h"

#define WORKERS 16
#define QUEUES 96

static struct topology topology;
static struct rebalance_policy policy;
static struct rebalance_worker workers[WORKERS];
static struct rebalance_queue queues[QUEUES];
static struct rebalance_input input;
static struct rebalance_state rounds;
static struct rebalance_move moves[REBALANCE_MOVES_MAX];

static int setup(void **state)
{
	(void)state;
	fake_topology_make(&fake_shapes[4], &topology);
	memset(workers, 0, sizeof(workers));
	memset(queues, 0, sizeof(queues));
	rounds = (struct rebalance_state){0};
	policy = rebalance_policy_default;
	policy.hold_off_rounds = 0;
	input = (struct rebalance_input){
		.topology = &topology, .policy = &policy, .workers = workers, .queues = queues};
	return 0;
}

static void add_worker(int cpu)
{
	workers[input.worker_cnt++] = (struct rebalance_worker){.cpu = cpu};
}

/* The worker is as busy as its queues make it. */
static struct rebalance_queue *add_queue(unsigned worker, unsigned load)
{
	struct rebalance_queue *queue = &queues[input.queue_cnt++];

	*queue = (struct rebalance_queue){
		.worker = (uint16_t)worker, .load_permille = (uint16_t)load, .movable = true};
	workers[worker].busy_permille += load;
	return queue;
}

/* Worker 0 drowns by two queues of the same load, 1 is idle, on one node. */
static void drown(void)
{
	setup(NULL);
	add_worker(0);
	add_worker(1);
	add_queue(0, 500);
	add_queue(0, 500);
}

static void assert_one_move(unsigned queue, unsigned from, unsigned to)
{
	assert_int_equal(rebalance_round(&input, &rounds, moves), 1);
	assert_int_equal(moves[0].queue, queue);
	assert_int_equal(moves[0].from, from);
	assert_int_equal(moves[0].to, to);
}

static void assert_no_move(void)
{
	assert_int_equal(rebalance_round(&input, &rounds, moves), 0);
}

static void test_relief(void **state)
{
	(void)state;
	drown();
	assert_one_move(0, 0, 1);
}

static void test_only_when_saturated(void **state)
{
	(void)state;
	drown();
	workers[0].busy_permille = 950;
	assert_no_move();
	workers[0].busy_permille = 951;
	assert_one_move(0, 0, 1);
	/* Measured a little over the full time. */
	workers[0].busy_permille = 1010;
	assert_one_move(0, 0, 1);
}

static void test_room(void **state)
{
	(void)state;
	drown();
	workers[1].busy_permille = 401;
	assert_no_move();
	workers[1].busy_permille = 400;
	assert_one_move(0, 0, 1);
	/* Both drown. */
	workers[1].busy_permille = 1000;
	assert_no_move();
}

static void test_single_queue_stays(void **state)
{
	(void)state;
	drown();
	input.queue_cnt = 1;
	queues[0].load_permille = 1000;
	assert_no_move();
	queues[0].load_permille = 0;
	assert_no_move();
}

static void test_improvement_limit(void **state)
{
	(void)state;
	/* 1000 and 0 become 1000 - x and x: variance falls by a quarter at x = 67. */
	for (unsigned load = 1; load <= 100; load++) {
		drown();
		queues[0].load_permille = (uint16_t)load;
		queues[1].movable = false;
		if (load < 67)
			assert_no_move();
		else
			assert_one_move(0, 0, 1);
	}
	/* Smaller ones together. */
	drown();
	for (unsigned i = 0; i < 20; i++)
		add_queue(0, 5);
	workers[0].busy_permille = 1000;
	queues[0].movable = queues[1].movable = false;
	policy.moves_max = 13;
	assert_no_move();
	policy.moves_max = 14;
	assert_int_equal(rebalance_round(&input, &rounds, moves), 14);
}

static void test_others_hide_nothing(void **state)
{
	(void)state;
	/* Variance over all would hardly change. */
	drown();
	for (int cpu = 2; cpu < 16; cpu++) {
		add_worker(cpu);
		workers[cpu].busy_permille = cpu % 2 ? 900 : 10;
	}
	assert_one_move(0, 0, 1);
}

static void test_nodes(void **state)
{
	(void)state;
	drown();
	workers[1].cpu = 16;
	assert_no_move();
	policy.cross_numa = true;
	assert_one_move(0, 0, 1);
	/* Workers without a CPU are of no node, and so of one. */
	policy.cross_numa = false;
	workers[0].cpu = workers[1].cpu = -1;
	assert_one_move(0, 0, 1);
}

static void test_where_a_queue_may_go(void **state)
{
	struct vcpu_home home = {.cpu = 33, .core = 1, .llc = 0, .node = 0};
	cpu_set_t cpus;

	(void)state;
	drown();
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	queues[0].cpus = &cpus;
	queues[1].cpus = &cpus;
	assert_no_move();
	CPU_SET(1, &cpus);
	assert_one_move(0, 0, 1);
	queues[0].movable = false;
	assert_one_move(1, 0, 1);
	/* CPU 1 is the sibling of its vCPU's. */
	queues[1].homes = &home;
	queues[1].home_cnt = 1;
	assert_no_move();
	queues[1].allow_siblings = true;
	assert_one_move(1, 0, 1);
	home.cpu = 1;
	assert_no_move();
}

static void test_nearer_of_equals(void **state)
{
	struct vcpu_home home = {.cpu = 9, .core = 9, .llc = 8, .node = 0};

	(void)state;
	fake_topology_make(&fake_shapes[5], &topology);
	drown();
	fake_topology_make(&fake_shapes[5], &topology);
	add_worker(8);
	queues[1].homes = &home;
	queues[1].home_cnt = 1;
	queues[0].movable = false;
	assert_one_move(1, 0, 2);
}

static void test_busiest_first_and_one_giver_each(void **state)
{
	(void)state;
	drown();
	add_worker(2);
	add_queue(2, 480);
	add_queue(2, 480);
	/* Worker 1 has room for one of them only, and it goes to the busier giver. */
	assert_one_move(0, 0, 1);
	add_worker(3);
	assert_int_equal(rebalance_round(&input, &rounds, moves), 2);
	assert_int_equal(moves[0].from, 0);
	assert_int_equal(moves[1].from, 2);
	assert_int_not_equal(moves[0].to, moves[1].to);
	policy.moves_max = 1;
	assert_one_move(0, 0, 1);
	policy.moves_max = 0;
	assert_no_move();
}

static void test_hold_off(void **state)
{
	unsigned waits[8], cnt = 0, since = 0;

	(void)state;
	drown();
	policy.hold_off_rounds = 6;
	/* Somebody who always wants to move: each wait is twice as long, up to 8 times. */
	for (unsigned i = 0; cnt < ARRAY_LEN(waits) && i < 1000; i++) {
		if (rebalance_round(&input, &rounds, moves) == 0) {
			since++;
			continue;
		}
		waits[cnt++] = since;
		since = 0;
	}
	assert_int_equal(cnt, ARRAY_LEN(waits));
	for (unsigned i = 0; i < cnt; i++)
		assert_int_equal(waits[i], i == 0 ? 0 : i < 4 ? 6u << (i - 1) : 48);
	/* After peace for long enough it begins anew. */
	workers[0].busy_permille = 500;
	for (unsigned i = 0; i < 48 + 50; i++)
		assert_no_move();
	workers[0].busy_permille = 1000;
	assert_one_move(0, 0, 1);
	for (unsigned i = 0; i < 6; i++)
		assert_no_move();
	assert_one_move(0, 0, 1);
}

static void test_limits(void **state)
{
	(void)state;
	drown();
	input.worker_cnt = PLACEMENT_WORKERS_MAX + 1;
	assert_no_move();
	drown();
	policy.moves_max = 1000;
	for (unsigned i = 0; i < QUEUES - 2; i++)
		add_queue(0, 10);
	queues[0].movable = queues[1].movable = false;
	assert_int_equal(rebalance_round(&input, &rounds, moves), REBALANCE_MOVES_MAX);
}

/* ---- random plans ---- */

static struct vcpu_home homes[QUEUES];
static cpu_set_t subsets[QUEUES];

static void random_host(struct fake_random *random)
{
	unsigned cnt = 2 + fake_below(random, WORKERS - 1);

	setup(NULL);
	for (unsigned i = 0; i < cnt; i++)
		add_worker((int)(i * 3 % 64));
	policy.cross_numa = fake_below(random, 3) == 0;
	policy.moves_max = 1 + fake_below(random, REBALANCE_MOVES_MAX);
}

static void restrict_queue(struct fake_random *random, struct rebalance_queue *queue)
{
	unsigned i = (unsigned)(queue - queues);
	int cpu = (int)fake_below(random, 64);

	homes[i] = (struct vcpu_home){.cpu = (int16_t)cpu,
				      .core = topology.cpus[cpu].core,
				      .llc = topology.cpus[cpu].llc,
				      .node = topology.cpus[cpu].node};
	queue->homes = &homes[i];
	queue->home_cnt = fake_below(random, 2);
	queue->movable = fake_below(random, 10) > 0;
	CPU_ZERO(&subsets[i]);
	for (unsigned w = 0; w < input.worker_cnt; w++) {
		if (fake_below(random, 3) > 0)
			CPU_SET(workers[w].cpu, &subsets[i]);
	}
	queue->cpus = fake_below(random, 3) ? NULL : &subsets[i];
}

/* Some workers full, some half, some idle; their queues divide what they are busy with. */
static void random_loads(struct fake_random *random)
{
	unsigned per_worker = QUEUES / WORKERS;

	for (unsigned w = 0; w < input.worker_cnt; w++) {
		unsigned kind = fake_below(random, 3);
		unsigned left = kind == 0 ? 1000 : kind == 1 ? fake_below(random, 1001) : 50;
		unsigned cnt = 1 + fake_below(random, per_worker);

		for (unsigned i = 0; i < cnt; i++) {
			unsigned load = i == cnt - 1 ? left : fake_below(random, left + 1);

			restrict_queue(random, add_queue(w, load));
			left -= load;
		}
	}
}

static void check_move(unsigned seed, const struct rebalance_move *move)
{
	const struct rebalance_queue *queue = &queues[move->queue];
	int to = workers[move->to].cpu;
	int from = workers[move->from].cpu;

	if (queue->worker != move->from || move->to >= input.worker_cnt || !queue->movable ||
	    workers[move->from].busy_permille <= 950 ||
	    (queue->cpus && !CPU_ISSET(to, queue->cpus)))
		fail_msg("seed %u: queue %u must not be moved like that", seed, move->queue);
	if (!policy.cross_numa && topology.cpus[to].node != topology.cpus[from].node)
		fail_msg("seed %u: queue %u crosses nodes", seed, move->queue);
	if (queue->home_cnt && topology.cpus[queue->homes[0].cpu].core == topology.cpus[to].core)
		fail_msg("seed %u: queue %u comes to a sibling", seed, move->queue);
}

/* Each giver and its takers, recomputed with the textbook's variance. */
static void check_variance(unsigned seed, unsigned giver, unsigned cnt)
{
	double old[WORKERS], now[WORKERS], sum = 0, before = 0, after = 0, n = 0;
	bool in[WORKERS] = {false};

	for (unsigned w = 0; w < input.worker_cnt; w++)
		old[w] = now[w] = workers[w].busy_permille;
	in[giver] = true;
	for (unsigned i = 0; i < cnt; i++) {
		if (moves[i].from != giver)
			continue;
		in[moves[i].to] = true;
		now[giver] -= queues[moves[i].queue].load_permille;
		now[moves[i].to] += queues[moves[i].queue].load_permille;
	}
	for (unsigned w = 0; w < input.worker_cnt; w++) {
		n += in[w];
		sum += in[w] ? old[w] : 0;
		if (w != giver && in[w] && now[w] > 900)
			fail_msg("seed %u: worker %u ends without room", seed, w);
	}
	for (unsigned w = 0; w < input.worker_cnt; w++) {
		before += in[w] ? (old[w] - sum / n) * (old[w] - sum / n) : 0;
		after += in[w] ? (now[w] - sum / n) * (now[w] - sum / n) : 0;
	}
	if (n > 1 && after > before * 0.75 + 1e-6)
		fail_msg("seed %u: worker %u: variance %f to %f", seed, giver, before, after);
}

static void test_properties(void **state)
{
	unsigned with_moves = 0, with_many = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 3000; seed++) {
		struct fake_random random = fake_random(seed);
		struct rebalance_move again[REBALANCE_MOVES_MAX];
		unsigned cnt;

		random_host(&random);
		random_loads(&random);
		cnt = rebalance_round(&input, &rounds, moves);
		assert_true(cnt <= policy.moves_max);
		with_moves += cnt > 0;
		with_many += cnt > 2;
		for (unsigned i = 0; i < cnt; i++) {
			check_move(seed, &moves[i]);
			for (unsigned j = 0; j < i; j++) {
				assert_int_not_equal(moves[i].queue, moves[j].queue);
				assert_int_not_equal(moves[i].to, moves[j].from);
				assert_int_not_equal(moves[i].from, moves[j].to);
				if (moves[i].to == moves[j].to)
					assert_int_equal(moves[i].from, moves[j].from);
			}
		}
		for (unsigned w = 0; w < input.worker_cnt; w++)
			check_variance(seed, w, cnt);
		memcpy(again, moves, sizeof(again));
		assert_int_equal(rebalance_round(&input, &rounds, moves), cnt);
		for (unsigned i = 0; i < cnt; i++) {
			assert_int_equal(again[i].queue, moves[i].queue);
			assert_int_equal(again[i].to, moves[i].to);
		}
	}
	/* The inputs are such that there is something to see. */
	assert_true(with_moves > 1000);
	assert_true(with_many > 100);
}

/* ---- simulations ---- */

static unsigned demands[QUEUES];

/* What the workers would measure: a saturated one divides its time by demand. */
static void measure(void)
{
	unsigned sums[WORKERS] = {0};

	for (unsigned i = 0; i < input.queue_cnt; i++)
		sums[queues[i].worker] += demands[i];
	for (unsigned w = 0; w < input.worker_cnt; w++)
		workers[w].busy_permille = sums[w] < 1000 ? sums[w] : 1000;
	for (unsigned i = 0; i < input.queue_cnt; i++) {
		unsigned sum = sums[queues[i].worker];

		queues[i].load_permille =
			(uint16_t)(sum > 1000 ? demands[i] * 1000 / sum : demands[i]);
	}
}

static uint64_t real_squares(void)
{
	uint64_t sums[WORKERS] = {0}, squares = 0;

	for (unsigned i = 0; i < input.queue_cnt; i++)
		sums[queues[i].worker] += demands[i];
	for (unsigned w = 0; w < input.worker_cnt; w++)
		squares += sums[w] * sums[w];
	return squares;
}

static unsigned simulate_round(void)
{
	unsigned cnt;

	measure();
	cnt = rebalance_round(&input, &rounds, moves);
	for (unsigned i = 0; i < cnt; i++)
		queues[moves[i].queue].worker = moves[i].to;
	return cnt;
}

static void random_demands(struct fake_random *random)
{
	unsigned most = 20 + fake_below(random, 1500);

	input.queue_cnt = 1 + fake_below(random, QUEUES);
	for (unsigned i = 0; i < input.queue_cnt; i++) {
		demands[i] = fake_below(random, 4) ? fake_below(random, most / 5)
						   : fake_below(random, most);
		queues[i] = (struct rebalance_queue){
			.worker = (uint16_t)fake_below(random, input.worker_cnt),
			.movable = true,
		};
		if (fake_below(random, 2))
			queues[i].worker = 0;
	}
}

static void test_constant_loads_come_to_rest(void **state)
{
	unsigned moved = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 1500; seed++) {
		struct fake_random random = fake_random(seed);
		unsigned round = 0;

		random_host(&random);
		random_demands(&random);
		for (;; round++) {
			uint64_t before = real_squares();

			if (simulate_round() == 0)
				break;
			moved++;
			/* Falls each time, so no assignment ever comes back. */
			if (real_squares() >= before)
				fail_msg("seed %u: round %u made it worse", seed, round);
			if (round == 300)
				fail_msg("seed %u: no rest", seed);
		}
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(simulate_round(), 0);
	}
	assert_true(moved > 1500);
}

/* Two loads that trade places each time something was moved: the worst there is. */
static void test_changing_loads_do_not_flap(void **state)
{
	unsigned move_rounds = 0;

	(void)state;
	drown();
	policy.hold_off_rounds = 6;
	for (unsigned i = 0; i < 10000; i++) {
		demands[0] = queues[0].worker == 0 ? 700 : 300;
		demands[1] = queues[1].worker == queues[0].worker ? 700 : 300;
		if (simulate_round() > 0) {
			move_rounds++;
			/* Together again. */
			queues[1].worker = queues[0].worker = 0;
		}
	}
	/* Hold-offs of 6, 12, 24, then always 48 rounds. */
	assert_in_range(move_rounds, 2, 4 + 10000 / 49);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_relief, setup),
		cmocka_unit_test_setup(test_only_when_saturated, setup),
		cmocka_unit_test_setup(test_room, setup),
		cmocka_unit_test_setup(test_single_queue_stays, setup),
		cmocka_unit_test_setup(test_improvement_limit, setup),
		cmocka_unit_test_setup(test_others_hide_nothing, setup),
		cmocka_unit_test_setup(test_nodes, setup),
		cmocka_unit_test_setup(test_where_a_queue_may_go, setup),
		cmocka_unit_test_setup(test_nearer_of_equals, setup),
		cmocka_unit_test_setup(test_busiest_first_and_one_giver_each, setup),
		cmocka_unit_test_setup(test_hold_off, setup),
		cmocka_unit_test_setup(test_limits, setup),
		cmocka_unit_test_setup(test_properties, setup),
		cmocka_unit_test_setup(test_constant_loads_come_to_rest, setup),
		cmocka_unit_test_setup(test_changing_loads_do_not_flap, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
