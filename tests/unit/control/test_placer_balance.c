/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placer's rounds: load that moves queues, and threads that are looked at again. Not the
 * decision itself: tests/unit/worker/test_rebalance.c. Not settling: test_placer.c.
 *
 * Rounds are of one second here, on 8 CPUs with two caches (0-3, 4-7).
 */
#include "placer_rig.h"

#define EIGHT_CPUS 3
#define TWO_NODES 4 /* 64 CPUs: 0-15 and 32-47 are node 0 */
#define SETTLE_MS 50
#define ROUND_MS 1000

static void open_round(unsigned shape, const char *cpus)
{
	rig_open(shape, cpus, ROUND_MS * NS_PER_MS);
}

/* A disk whose queues all run on worker 0, though both may serve it; a round begins. */
static struct rig_disk *crowd(const char *name, enum placement_mode mode)
{
	struct rig_disk *disk = rig_disk_new(name, 4);

	disk->pid = 0;
	rig_disk_use(disk, "0");
	rig_disk_add(disk, mode, NULL);
	rig_start(disk, 4);
	rig_pass_ms(SETTLE_MS);
	rig_disk_use(disk, "0-1");
	rig_stop(disk, 3);
	rig_pass_ms(SETTLE_MS);
	rig_forget_said();
	return disk;
}

static void begin_round(void)
{
	rig_pass_ms(ROUND_MS);
	placer_set_round(rig_placer, ROUND_MS * NS_PER_MS);
}

static void saturate(struct rig_disk *disk)
{
	rig_work(0, 990);
	rig_load(disk, 0, 500);
	rig_load(disk, 1, 300);
	rig_load(disk, 2, 200);
}

static void test_busy(void **state)
{
	(void)state;
	open_round(EIGHT_CPUS, "3,7");
	assert_int_equal(placer_worker_busy_permille(rig_placer, 0), 0);
	rig_work(0, 250);
	rig_work(1, 5000);
	rig_pass_ms(ROUND_MS);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 0), 250);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 1), 1000);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 2), 0);
	rig_work(0, 1000);
	/* A round that came late. */
	rig_pass_ms(2 * ROUND_MS);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 0), 500);
	placer_set_round(rig_placer, 0);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 0), 0);
	rig_work(0, 1000);
	rig_pass_ms(10 * ROUND_MS);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 0), 0);
	rig_close();
}

static void test_saturated_worker_gives(void **state)
{
	struct rig_disk *disk;

	(void)state;
	open_round(EIGHT_CPUS, "2,3");
	disk = crowd("vda", PLACEMENT_AUTO);
	rig_stand(disk, "0 0 0 -");
	begin_round();
	rig_work(0, 940);
	rig_load(disk, 0, 900);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "");
	saturate(disk);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "0>1");
	rig_said("info -: 1 queues leave busy workers: disk vda queue 0 from worker 0 to 1", NULL);
	/* It stays where load put it, also when its device's queues change. */
	rig_restart(disk, 3);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "1 0 0 0");
	rig_moved(disk, "");
	rig_said("info disk vda: placement auto by order: queues 1-3 on worker 0 (CPU 2); 0 on "
		 "worker 1 (CPU 3)",
		 NULL);
	/* Having moved, the next rounds hold off. */
	for (int i = 0; i < 6; i++) {
		rig_work(0, 990);
		rig_load(disk, 1, 500);
		rig_load(disk, 2, 490);
		rig_pass_ms(ROUND_MS);
		rig_moved(disk, "");
	}
	rig_work(0, 990);
	rig_load(disk, 1, 500);
	rig_load(disk, 2, 490);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "1>1");
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

/* Sampled shares that add up to twice what the worker worked. */
static void test_loads_are_scaled(void **state)
{
	struct rig_disk *disk;

	(void)state;
	open_round(EIGHT_CPUS, "2,3");
	disk = crowd("vda", PLACEMENT_AUTO);
	begin_round();
	rig_work(0, 1000);
	rig_work(1, 700);
	rig_load(disk, 0, 1200);
	rig_load(disk, 1, 360);
	rig_load(disk, 2, 440);
	rig_pass_ms(ROUND_MS);
	/* 600, 180 and 220 of 1000: only the second fits beside 700, and less than 900. */
	rig_moved(disk, "1>1");
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

static void test_who_may_move(void **state)
{
	struct rig_disk *off, *fixed;
	struct rig_wait wait;

	(void)state;
	open_round(EIGHT_CPUS, "1-3");
	off = crowd("off", PLACEMENT_AUTO);
	rig_disk_use(off, "0");
	assert_int_equal(rig_disk_set(off, PLACEMENT_OFF, NULL, &wait), 0);
	fixed = rig_disk_new("fixed", 2);
	/* Worker 1 is idle, but not its own. */
	rig_disk_use(fixed, "0");
	rig_disk_add(fixed, PLACEMENT_FIXED, NULL);
	rig_start(fixed, 2);
	rig_pass_ms(SETTLE_MS);
	begin_round();
	rig_forget_said();
	saturate(off);
	rig_load(fixed, 0, 300);
	rig_load(fixed, 1, 200);
	rig_pass_ms(ROUND_MS);
	rig_moved(off, "");
	rig_moved(fixed, "");
	rig_disk_use(fixed, "0,2");
	assert_int_equal(rig_disk_set(fixed, PLACEMENT_FIXED, NULL, &wait), 0);
	rig_moved(fixed, "1>2");
	begin_round();
	saturate(off);
	rig_load(fixed, 0, 300);
	rig_pass_ms(ROUND_MS);
	rig_moved(off, "");
	rig_moved(fixed, "0>2");
	/* Asked for the same, it stays; for others, it is placed by order again. */
	assert_int_equal(rig_disk_set(fixed, PLACEMENT_FIXED, NULL, &wait), 0);
	rig_moved(fixed, "");
	rig_disk_use(fixed, "0-2");
	assert_int_equal(rig_disk_set(fixed, PLACEMENT_FIXED, NULL, &wait), 0);
	rig_moved(fixed, "0>0 1>1");
	rig_forget_said();
	rig_disk_remove(off);
	rig_disk_remove(fixed);
	rig_close();
}

/* A vCPU's only CPU is no place for its queue, however idle the worker there is. */
static void test_not_onto_the_vcpu(void **state)
{
	struct rig_disk *disk;

	(void)state;
	open_round(EIGHT_CPUS, "2,3");
	disk = rig_disk_new("vda", 4);
	disk->pid = 0;
	rig_disk_use(disk, "0");
	rig_disk_add(disk, PLACEMENT_AUTO, "3");
	rig_start(disk, 4);
	rig_pass_ms(SETTLE_MS);
	rig_disk_use(disk, "0-1");
	begin_round();
	saturate(disk);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "");
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

/* Moves under way: the round leaves the device alone, and a move of the round is joined too. */
static void test_round_while_moving(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;

	(void)state;
	open_round(EIGHT_CPUS, "2,3");
	disk = crowd("vda", PLACEMENT_AUTO);
	begin_round();
	rig_hold(disk);
	saturate(disk);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "0>1");
	/* Wants queue 0 back while it is on its way. */
	rig_disk_use(disk, "0");
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, NULL, &wait), 0);
	for (int i = 0; i < 10; i++) {
		saturate(disk);
		rig_pass_ms(ROUND_MS);
	}
	rig_moved(disk, "");
	assert_false(wait.finished);
	rig_release(disk, 0);
	rig_moved(disk, "0>0");
	assert_true(wait.finished);
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

/* Threads that are pinned after they were placed; a load's move does not outlive other homes. */
static void test_pinned_later(void **state)
{
	struct rig_disk *disk;

	(void)state;
	open_round(EIGHT_CPUS, "3,7");
	rig_thread(RIG_PID, 0, "0-7", 1);
	rig_thread(RIG_PID, 1, "0-7", 5);
	disk = rig_disk_new("vda", 2);
	rig_disk_add(disk, PLACEMENT_AUTO, NULL);
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "0 1");
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "");
	rig_forget_said();
	rig_thread(RIG_PID, 0, "5", 5);
	rig_thread(RIG_PID, 1, "1", 1);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "0>1 1>0");
	rig_said(
		"info disk vda: placement auto by threads (2 vCPUs): queues 1 on worker 0 (CPU 3); "
		"0 on worker 1 (CPU 7)",
		NULL);
	/* Their conflicts are looked for as well. */
	rig_thread(RIG_PID, 1, "3", 3);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "1>1");
	rig_said("warn disk vda: vCPU 1 (thread 4253) may only run on CPU 3, which is worker 0's: "
		 "move the vCPU or choose other workers",
		 "info disk vda: placement auto by threads (2 vCPUs): queues 0-1 on worker 1 (CPU "
		 "7)",
		 NULL);
	rig_disk_remove(disk);
	rig_close();
}

/* A vCPU that may run anywhere wanders between nodes: its queue follows only if it stays. */
static void test_drift(void **state)
{
	struct rig_disk *disk;

	(void)state;
	open_round(TWO_NODES, "3,19");
	rig_thread(RIG_PID, 0, "0-63", 1);
	disk = rig_disk_new("vda", 1);
	rig_disk_add(disk, PLACEMENT_AUTO, NULL);
	rig_start(disk, 1);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "0");
	rig_forget_said();
	for (int i = 0; i < 4; i++) {
		rig_thread(RIG_PID, 0, "0-63", i % 2 ? 1 : 17);
		rig_pass_ms(ROUND_MS);
		rig_moved(disk, "");
	}
	rig_thread(RIG_PID, 0, "0-63", 17);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "");
	rig_thread(RIG_PID, 0, "0-63", 20);
	rig_pass_ms(ROUND_MS);
	rig_moved(disk, "0>1");
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

/* Many front ends: some in each round, all in turn, and one process once. */
static void test_looks_in_turn(void **state)
{
	struct rig_disk *disks[40];

	(void)state;
	open_round(EIGHT_CPUS, "3,7");
	for (unsigned i = 0; i < ARRAY_LEN(disks); i++) {
		char name[8];

		snprintf(name, sizeof(name), "%u", i);
		disks[i] = rig_disk_new(name, 1);
		disks[i]->pid = RIG_PID + 100 * (pid_t)(i + 1);
		rig_thread(disks[i]->pid, 0, "0", 0);
		rig_disk_add(disks[i], PLACEMENT_AUTO, NULL);
		rig_start(disks[i], 1);
		rig_pass_ms(SETTLE_MS);
		rig_forget_said();
	}
	begin_round();
	rig_thread(disks[39]->pid, 0, "4", 4);
	for (unsigned i = 0; i < 3; i++) {
		rig_looks();
		rig_pass_ms(ROUND_MS);
		/* One was looked at again to place it. */
		assert_in_range(rig_looks(), 16, 17);
	}
	rig_moved(disks[39], "0>1");
	rig_forget_said();
	for (unsigned i = 0; i < ARRAY_LEN(disks); i++)
		disks[i]->pid = disks[0]->pid;
	rig_looks();
	rig_pass_ms(ROUND_MS);
	assert_int_equal(rig_looks(), 1);
	for (unsigned i = 0; i < ARRAY_LEN(disks); i++)
		rig_disk_remove(disks[i]);
	rig_forget_said();
	rig_close();
}

static void test_single_worker(void **state)
{
	struct rig_disk *disk;

	(void)state;
	open_round(EIGHT_CPUS, "3");
	disk = rig_disk_new("vda", 2);
	rig_disk_add(disk, PLACEMENT_AUTO, NULL);
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_forget_said();
	begin_round();
	rig_work(0, 1000);
	rig_load(disk, 0, 500);
	rig_load(disk, 1, 500);
	rig_pass_ms(ROUND_MS);
	assert_int_equal(placer_worker_busy_permille(rig_placer, 0), 1000);
	rig_moved(disk, "");
	rig_disk_remove(disk);
	rig_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_saturated_worker_gives),
		cmocka_unit_test(test_loads_are_scaled),
		cmocka_unit_test(test_who_may_move),
		cmocka_unit_test(test_not_onto_the_vcpu),
		cmocka_unit_test(test_round_while_moving),
		cmocka_unit_test(test_pinned_later),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_looks_in_turn),
		cmocka_unit_test(test_single_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
