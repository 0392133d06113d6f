/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settling, placing and moving by what is known of vCPUs. Not load: test_placer_balance.c.
 *
 * Most run on 8 CPUs with two caches (0-3, 4-7) and a worker beside each, worker 0 on CPU 3 and
 * worker 1 on CPU 7; devices start queue i on worker i % 2.
 */
#include "placer_rig.h"

#include <errno.h>

#define EIGHT_CPUS 3
#define SETTLE_MS 50

static struct rig_disk *open_disk(const char *vcpus)
{
	struct rig_disk *disk = rig_disk_new("vda", 4);

	rig_disk_add(disk, PLACEMENT_AUTO, vcpus);
	return disk;
}

static void test_settles_near_the_threads(void **state)
{
	struct rig_disk *disk;
	struct placed_view view;
	struct placed_queue_view queue;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "4", 4);
	rig_thread(RIG_PID, 1, "0-1", 0);
	disk = open_disk(NULL);
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS - 1);
	rig_moved(disk, "");
	rig_pass_ms(1);
	rig_moved(disk, "0>1 1>0");
	rig_stand(disk, "1 0 - -");
	rig_homes(disk, "1 0 . .");
	rig_said("info disk vda: placement auto by threads (2 vCPUs): queues 1 on worker 0 "
		 "(CPU 3); 0 on worker 1 (CPU 7)",
		 NULL);
	placer_view(&disk->placed, &view);
	assert_int_equal(view.mode, PLACEMENT_AUTO);
	assert_int_equal(view.source, VCPU_SOURCE_THREADS);
	assert_int_equal(view.vcpu_cnt, 2);
	assert_int_equal(view.conflicts, 0);
	assert_true(placer_queue_view(&disk->placed, 1, &queue));
	assert_int_equal(queue.vcpu_first, 1);
	assert_int_equal(queue.vcpu_cnt, 1);
	assert_int_equal(queue.nearness, PLACEMENT_CACHE);
	assert_false(placer_queue_view(&disk->placed, 2, &queue));
	rig_disk_remove(disk);
	rig_close();
}

/* Each change starts the wait anew, and the same again is neither moved nor told. */
static void test_settles_once(void **state)
{
	struct rig_disk *disk;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "4", 4);
	disk = open_disk(NULL);
	rig_restart(disk, 0);
	rig_pass_ms(SETTLE_MS - 1);
	rig_restart(disk, 1);
	rig_pass_ms(SETTLE_MS - 1);
	rig_moved(disk, "");
	rig_said_nothing();
	rig_pass_ms(1);
	/* One vCPU drives both. */
	rig_moved(disk, "0>1");
	rig_said("info disk vda: placement auto by threads (1 vCPUs): queues 0-1 on worker 1 "
		 "(CPU 7)",
		 NULL);
	rig_looks();
	rig_stop(disk, 0);
	rig_restart(disk, 0);
	rig_stand(disk, "1 1 - -");
	rig_pass_ms(SETTLE_MS);
	assert_int_equal(rig_looks(), 1);
	rig_moved(disk, "");
	rig_said_nothing();
	rig_disk_remove(disk);
	rig_close();
}

/* Fewer queues than vCPUs: the queues that run count, whatever their numbers. */
static void test_queues_that_run_count(void **state)
{
	struct rig_disk *disk;
	struct placed_queue_view queue;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	for (unsigned i = 0; i < 4; i++)
		rig_thread(RIG_PID, i, i < 2 ? "0-2" : "4-6", 0);
	disk = open_disk(NULL);
	rig_restart(disk, 1);
	rig_restart(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "- 0 1 -");
	assert_true(placer_queue_view(&disk->placed, 2, &queue));
	assert_int_equal(queue.vcpu_first, 2);
	assert_int_equal(queue.vcpu_cnt, 2);
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

static void test_key_without_pid(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	/* Threads that are there, but whose process nobody tells. */
	rig_thread(RIG_PID, 0, "0", 0);
	disk = rig_disk_new("vda", 4);
	disk->pid = 0;
	rig_disk_add(disk, PLACEMENT_AUTO, "5,1");
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_moved(disk, "0>1 1>0");
	rig_said("info disk vda: placement auto by vcpus (2 vCPUs): queues 1 on worker 0 (CPU 3); "
		 "0 on worker 1 (CPU 7)",
		 NULL);
	assert_int_equal(rig_looks(), 0);

	/* Another key: the join hears when the queues are there. */
	rig_hold(disk);
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "1,5", &wait), 0);
	assert_false(wait.finished);
	rig_stand(disk, "1 0 - -");
	rig_release(disk, 0);
	assert_true(wait.finished);
	assert_int_equal(wait.join.status, 0);
	rig_moved(disk, "0>0 1>1");
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

/* What is found wins over what was given, and what was given over nothing. */
static void test_sources(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;
	struct placed_view view;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "4", 4);
	disk = open_disk("1");
	rig_restart(disk, 0);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "1 - - -");
	/* A process without such threads. */
	disk->pid = RIG_PID + 1000;
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "1", &wait), 0);
	assert_true(wait.finished);
	rig_stand(disk, "0 - - -");
	placer_view(&disk->placed, &view);
	assert_int_equal(view.source, VCPU_SOURCE_VCPUS);
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, NULL, &wait), 0);
	assert_true(wait.finished);
	placer_view(&disk->placed, &view);
	assert_int_equal(view.source, VCPU_SOURCE_ORDER);
	assert_int_equal(view.vcpu_cnt, 0);
	rig_stand(disk, "0 - - -");
	rig_said("info disk vda: placement auto by threads (1 vCPUs): queues 0 on worker 1 (CPU 7)",
		 "info disk vda: placement auto by vcpus (1 vCPUs): queues 0 on worker 0 (CPU 3)",
		 "info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)", NULL);
	rig_disk_remove(disk);
	rig_close();
}

static void test_wrong_keys(void **state)
{
	struct rig_disk *disk = NULL;
	struct placer_settings settings = {.mode = PLACEMENT_FIXED, .vcpus = "1,1"};
	struct rig_wait wait;
	struct placed_view view;
	struct err err = ERR_INIT;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = rig_disk_new("vda", 2);
	assert_int_equal(placer_add(rig_placer, &disk->placed, &settings, &err), -EINVAL);
	assert_non_null(strstr(err.text, "vcpus: "));
	assert_null(disk->placed.state);
	placer_remove(rig_placer, &disk->placed);
	rig_disk_add(disk, PLACEMENT_AUTO, "5");
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "1 1");
	rig_moved(disk, "0>1");
	rig_forget_said();
	assert_int_equal(rig_disk_set(disk, PLACEMENT_OFF, "4-1", &wait), -EINVAL);
	assert_true(wait.finished);
	placer_view(&disk->placed, &view);
	assert_int_equal(view.mode, PLACEMENT_AUTO);
	assert_int_equal(view.source, VCPU_SOURCE_VCPUS);
	rig_moved(disk, "");
	rig_disk_remove(disk);
	rig_close();
}

static void test_conflicts(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;
	struct placed_view view;

	(void)state;
	rig_open(EIGHT_CPUS, "0,2,4-7", 0);
	rig_thread(RIG_PID, 0, "2", 2);
	rig_thread(RIG_PID, 1, "1-2", 2);
	rig_thread(RIG_PID, 2, "4,6", 4);
	disk = open_disk("0,2,4,5,6,7,1");
	/* Its own workers are elsewhere, but those of others are in the way as well. */
	rig_disk_use(disk, "0");
	rig_restart(disk, 0);
	rig_said("warn disk vda: vCPU 0 (thread 4252) may only run on CPU 2, which is worker 1's: "
		 "move the vCPU or choose other workers",
		 "warn disk vda: vCPU 2 (thread 4254) may only run on CPUs that have workers, the "
		 "first CPU 4 with worker 2: give it one without, or choose other workers",
		 NULL);
	rig_pass_ms(SETTLE_MS);
	rig_said("info disk vda: placement auto by threads (3 vCPUs): queues 0 on worker 0 (CPU 0)",
		 NULL);
	placer_view(&disk->placed, &view);
	assert_int_equal(view.conflicts, 2);
	/* Not again, until they are others; and not without end. */
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "0,2,4,5,6,7,1", &wait), 0);
	rig_said_nothing();
	assert_int_equal(rig_disk_set(disk, PLACEMENT_OFF, "0,2,4,5,6,7,1", &wait), 0);
	rig_said("warn disk vda: vCPU 0 may only run on CPU 0, which is worker 0's: move the vCPU "
		 "or choose other workers",
		 "warn disk vda: vCPU 1 may only run on CPU 2, which is worker 1's: move the vCPU "
		 "or choose other workers",
		 "warn disk vda: vCPU 2 may only run on CPU 4, which is worker 2's: move the vCPU "
		 "or choose other workers",
		 "warn disk vda: vCPU 3 may only run on CPU 5, which is worker 3's: move the vCPU "
		 "or choose other workers",
		 "warn disk vda: 2 more vCPUs are in workers' way",
		 "info disk vda: placement off by vcpus (7 vCPUs): queues 0 on worker 0 (CPU 0)",
		 NULL);
	placer_view(&disk->placed, &view);
	assert_int_equal(view.conflicts, 6);
	rig_disk_remove(disk);
	rig_close();
}

/* Neither looks for threads; queue i is on worker (i + shift). */
static void test_fixed_and_off(void **state)
{
	static const enum placement_mode modes[] = {PLACEMENT_FIXED, PLACEMENT_OFF};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct rig_disk *disk;
		struct rig_wait wait;

		rig_open(EIGHT_CPUS, "2-4", 0);
		rig_thread(RIG_PID, 0, "7", 7);
		disk = rig_disk_new("vda", 4);
		rig_disk_shift(disk, 1);
		rig_disk_add(disk, modes[i], NULL);
		rig_start(disk, 4);
		rig_stop(disk, 1);
		rig_pass_ms(SETTLE_MS);
		rig_stand(disk, "1 - 0 1");
		rig_moved(disk, "");
		rig_disk_use(disk, "1-2");
		assert_int_equal(rig_disk_set(disk, modes[i], NULL, &wait), 0);
		assert_true(wait.finished);
		rig_moved(disk, "0>2 2>2");
		rig_homes(disk, "2 . 2 1");
		assert_int_equal(rig_looks(), 0);
		rig_forget_said();
		rig_disk_remove(disk);
		rig_close();
	}
}

/* The operator gives a device other workers: all its queues are spread anew over them. */
static void test_other_workers(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = open_disk(NULL);
	rig_start(disk, 4);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "0 1 0 1");
	rig_stop(disk, 3);
	rig_disk_use(disk, "1");
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, NULL, &wait), 0);
	assert_true(wait.finished);
	rig_stand(disk, "1 1 1 -");
	rig_homes(disk, "1 1 1 .");
	rig_disk_use(disk, "0-1");
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, NULL, &wait), 0);
	rig_stand(disk, "0 1 0 -");
	rig_moved(disk, "0>1 2>1 0>0 2>0");
	/* The same again moves nothing. */
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, NULL, &wait), 0);
	assert_true(wait.finished);
	rig_moved(disk, "");
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

/* Other devices' queues count where all workers are equally near. */
static void test_other_devices(void **state)
{
	struct rig_disk *first, *second;
	struct rig_wait wait;

	(void)state;
	rig_open(EIGHT_CPUS, "0-2", 0);
	first = rig_disk_new("one", 3);
	rig_disk_use(first, "0");
	rig_disk_add(first, PLACEMENT_AUTO, NULL);
	second = rig_disk_new("two", 3);
	rig_disk_use(second, "1");
	rig_disk_add(second, PLACEMENT_AUTO, NULL);
	rig_start(first, 2);
	rig_start(second, 3);
	rig_pass_ms(SETTLE_MS);
	rig_disk_use(second, "0-2");
	assert_int_equal(rig_disk_set(second, PLACEMENT_AUTO, NULL, &wait), 0);
	rig_stand(second, "1 2 1");
	/* Once the first's are gone its worker is as good as the others. */
	rig_stop(first, 0);
	rig_stop(first, 1);
	rig_pass_ms(SETTLE_MS);
	rig_disk_use(second, "0-1");
	assert_int_equal(rig_disk_set(second, PLACEMENT_AUTO, NULL, &wait), 0);
	rig_stand(second, "0 1 0");
	rig_disk_remove(first);
	rig_forget_said();
	rig_disk_remove(second);
	rig_close();
}

/* What becomes due while moves are under way follows them, and all who asked hear. */
static void test_due_while_moving(void **state)
{
	struct rig_disk *disk;
	struct rig_wait first, second;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = open_disk("0,4");
	disk->pid = 0;
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_hold(disk);
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "4,0", &first), 0);
	rig_moved(disk, "0>1 1>0");
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "0,4", &second), 0);
	rig_restart(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_moved(disk, "");
	assert_false(first.finished);
	assert_false(second.finished);
	rig_release(disk, 0);
	rig_moved(disk, "0>0 1>1");
	rig_stand(disk, "0 1 0 -");
	assert_true(first.finished);
	assert_true(second.finished);
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

static void test_move_fails(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = open_disk("0,4");
	disk->pid = 0;
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_forget_said();
	rig_hold(disk);
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "4,0", &wait), 0);
	rig_forget_said();
	rig_release(disk, -ENOMEM);
	assert_true(wait.finished);
	assert_int_equal(wait.join.status, -ENOMEM);
	rig_said("warn disk vda: not all of its queues could be moved: Cannot allocate memory",
		 NULL);
	/* It knows where they are, and tries again when it is asked to. */
	rig_stand(disk, "0 1 - -");
	rig_moved(disk, "0>1 1>0");
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "4,0", &wait), 0);
	rig_moved(disk, "0>1 1>0");
	assert_true(wait.finished);
	assert_int_equal(wait.join.status, 0);
	rig_forget_said();
	rig_disk_remove(disk);
	rig_close();
}

static void test_remove_while_settling(void **state)
{
	struct rig_disk *disk;
	struct placed_view view;
	struct placed_queue_view queue;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "4", 4);
	disk = open_disk("0");
	placer_remove(rig_placer, &disk->placed);
	rig_disk_add(disk, PLACEMENT_AUTO, NULL);
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS - 1);
	rig_forget_said();
	rig_disk_remove(disk);
	/* One that is in nobody's hands. */
	disk = rig_disk_new("vdb", 1);
	placer_view(&disk->placed, &view);
	assert_int_equal(view.source, VCPU_SOURCE_ORDER);
	assert_false(placer_queue_view(&disk->placed, 0, &queue));
	free(disk->device);
	free(disk);
	rig_close();
}

/* Queues that stop while they are being moved: the moves end, nothing is waited for. */
static void test_stop_while_moving(void **state)
{
	struct rig_disk *disk;
	struct rig_wait wait;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = open_disk("0,4");
	disk->pid = 0;
	rig_start(disk, 2);
	rig_pass_ms(SETTLE_MS);
	rig_hold(disk);
	assert_int_equal(rig_disk_set(disk, PLACEMENT_AUTO, "4,0", &wait), 0);
	rig_stop(disk, 0);
	rig_stop(disk, 1);
	rig_release(disk, 0);
	assert_true(wait.finished);
	rig_pass_ms(SETTLE_MS);
	rig_stand(disk, "- - - -");
	rig_forget_said();
	/* The next front end's queues start where they were put. */
	rig_start(disk, 2);
	rig_stand(disk, "1 0 - -");
	rig_disk_remove(disk);
	rig_close();
}

/* A machine about which sysfs says nothing: everything is equally near, which is said once. */
static void test_no_topology(void **state)
{
	struct rig_disk *disk;
	struct placer *flat;
	struct placer_options options = {.loop = evloop_new(NULL), .sysfs = "/nonexistent"};
	struct worker *const *workers;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = open_disk(NULL);
	workers = device_workers(disk->device, &options.worker_cnt);
	options.workers = workers;
	assert_int_equal(placer_new(&options, &flat, NULL), 0);
	rig_said("warn -: no CPU is known from /nonexistent: all are taken to be equally near",
		 NULL);
	placer_free(flat);
	placer_free(NULL);
	evloop_free(options.loop);
	rig_disk_remove(disk);
	rig_close();
}

/* A front end that starts and stops without end does not fill the log. */
static void test_log_is_bounded(void **state)
{
	struct rig_disk *disk;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	disk = open_disk(NULL);
	for (int i = 0; i < 40; i++) {
		rig_restart(disk, 0);
		rig_pass_ms(SETTLE_MS);
		rig_stop(disk, 0);
		rig_pass_ms(SETTLE_MS);
	}
	rig_said("info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)",
		 "info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)",
		 "info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)",
		 "info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)",
		 "info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)", NULL);
	rig_pass_ms(10000);
	rig_restart(disk, 0);
	rig_pass_ms(SETTLE_MS);
	rig_said("info disk vda: 35 more placements were not told",
		 "info disk vda: placement auto by order: queues 0 on worker 0 (CPU 3)", NULL);
	rig_disk_remove(disk);
	rig_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settles_near_the_threads),
		cmocka_unit_test(test_settles_once),
		cmocka_unit_test(test_queues_that_run_count),
		cmocka_unit_test(test_key_without_pid),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_wrong_keys),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_fixed_and_off),
		cmocka_unit_test(test_other_workers),
		cmocka_unit_test(test_other_devices),
		cmocka_unit_test(test_due_while_moving),
		cmocka_unit_test(test_move_fails),
		cmocka_unit_test(test_remove_while_settling),
		cmocka_unit_test(test_stop_while_moving),
		cmocka_unit_test(test_no_topology),
		cmocka_unit_test(test_log_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
