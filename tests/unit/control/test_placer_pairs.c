/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placing of a port: both queues of a pair are near the vCPU that drives it, and a control queue
 * counts for nobody. Not what ports and disks have in common: test_placer.c.
 *
 * On 8 CPUs with two caches (0-3, 4-7) and a worker beside each, worker 0 on CPU 3 and worker 1 on
 * CPU 7; devices start pair i on worker i % 2, and a control queue by its own number.
 */
#include "placer_rig.h"

#define EIGHT_CPUS 3
#define SETTLE_MS 50

static struct rig_disk *new_port(unsigned pairs)
{
	struct rig_disk *port = rig_disk_new("net0", 2 * pairs + 1);

	rig_disk_pairs(port);
	return port;
}

static void check_view(struct rig_disk *port, unsigned queue, unsigned first, unsigned cnt)
{
	struct placed_queue_view view;

	assert_true(placer_queue_view(&port->placed, queue, &view));
	assert_int_equal(view.vcpu_first, first);
	assert_int_equal(view.vcpu_cnt, cnt);
	assert_int_equal(view.nearness, cnt ? PLACEMENT_CACHE : PLACEMENT_UNKNOWN);
}

/* Two vCPUs, the first on the second cache: receive and transmit queue of a pair are together. */
static void test_pairs_near_their_vcpus(void **state)
{
	struct rig_disk *port;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "4", 4);
	rig_thread(RIG_PID, 1, "0-1", 0);
	port = new_port(2);
	rig_disk_add(port, PLACEMENT_AUTO, NULL);
	rig_start(port, 5);
	rig_stand(port, "0 0 1 1 0");
	rig_pass_ms(SETTLE_MS);
	rig_stand(port, "1 1 0 0 1");
	rig_moved(port, "0>1 1>1 2>0 3>0 4>1");
	check_view(port, 0, 0, 1);
	check_view(port, 1, 0, 1);
	check_view(port, 2, 1, 1);
	check_view(port, 3, 1, 1);
	check_view(port, 4, 0, 0);
	rig_said("info disk net0: placement auto by threads (2 vCPUs): queues 2-3 on worker 0 "
		 "(CPU 3); 0-1,4 on worker 1 (CPU 7)",
		 NULL);
	rig_disk_remove(port);
	rig_close();
}

/* Fewer pairs than vCPUs: pairs are counted, not queues, and a control queue takes no share. */
static void test_neighbours_share_a_pair(void **state)
{
	struct rig_disk *port;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	for (unsigned i = 0; i < 4; i++)
		rig_thread(RIG_PID, i, i < 2 ? "4-6" : "0-2", 0);
	port = new_port(3);
	rig_disk_add(port, PLACEMENT_AUTO, NULL);
	for (unsigned i = 0; i < 4; i++)
		rig_restart(port, i);
	rig_restart(port, 6);
	rig_pass_ms(SETTLE_MS);
	rig_stand(port, "1 1 0 0 - - 1");
	for (unsigned i = 0; i < 4; i++)
		check_view(port, i, i < 2 ? 0 : 2, 2);
	check_view(port, 6, 0, 0);
	rig_forget_said();
	rig_disk_remove(port);
	rig_close();
}

/* Nothing is known: receive queues are on all workers alike, so that a port's load is. */
static void test_spread_by_pairs(void **state)
{
	static const enum placement_mode modes[] = {PLACEMENT_AUTO, PLACEMENT_FIXED, PLACEMENT_OFF};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct rig_disk *port;
		struct rig_wait wait;

		rig_open(EIGHT_CPUS, "2-4", 0);
		port = new_port(3);
		port->pid = 0;
		rig_disk_use(port, "0");
		rig_disk_add(port, modes[i], NULL);
		rig_start(port, 6);
		rig_pass_ms(SETTLE_MS);
		rig_stand(port, "0 0 0 0 0 0 -");
		rig_disk_use(port, "0-2");
		assert_int_equal(rig_disk_set(port, modes[i], NULL, &wait), 0);
		assert_true(wait.finished);
		rig_stand(port, "0 0 1 1 2 2 -");
		rig_forget_said();
		rig_disk_remove(port);
		rig_close();
	}
}

/* A port beside another: what the other has there is counted in queues of its own kind. */
static void test_other_ports_load(void **state)
{
	struct rig_disk *first, *second;
	struct rig_wait wait;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	first = new_port(1);
	second = new_port(3);
	first->pid = second->pid = 0;
	rig_disk_use(first, "0");
	rig_disk_add(first, PLACEMENT_AUTO, NULL);
	rig_disk_use(second, "1");
	rig_disk_add(second, PLACEMENT_AUTO, NULL);
	rig_start(first, 2);
	rig_start(second, 6);
	rig_pass_ms(SETTLE_MS);
	rig_disk_use(second, "0-1");
	assert_int_equal(rig_disk_set(second, PLACEMENT_AUTO, NULL, &wait), 0);
	/* One pair and three: two on either side. */
	rig_stand(second, "1 1 0 0 1 1 -");
	rig_disk_remove(first);
	rig_forget_said();
	rig_disk_remove(second);
	rig_close();
}

/* A transmit queue that comes late, or alone, is of its pair; so is one that was elsewhere. */
static void test_second_half_follows(void **state)
{
	struct rig_disk *port;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "0-2", 0);
	rig_thread(RIG_PID, 1, "4-6", 4);
	port = new_port(2);
	rig_disk_add(port, PLACEMENT_AUTO, NULL);
	rig_restart(port, 0);
	rig_restart(port, 2);
	rig_pass_ms(SETTLE_MS);
	rig_stand(port, "0 - 1 - -");
	rig_restart(port, 1);
	rig_restart(port, 3);
	rig_pass_ms(SETTLE_MS);
	rig_stand(port, "0 0 1 1 -");
	rig_stop(port, 2);
	rig_pass_ms(SETTLE_MS);
	check_view(port, 3, 1, 1);
	rig_stand(port, "0 0 - 1 -");
	rig_forget_said();
	rig_disk_remove(port);
	rig_close();
}

/* A control queue that runs alone stays where it started. */
static void test_control_alone(void **state)
{
	struct rig_disk *port;

	(void)state;
	rig_open(EIGHT_CPUS, "3,7", 0);
	rig_thread(RIG_PID, 0, "0-2", 0);
	port = new_port(1);
	rig_disk_shift(port, 1);
	rig_disk_add(port, PLACEMENT_AUTO, NULL);
	rig_restart(port, 2);
	rig_pass_ms(SETTLE_MS);
	rig_stand(port, "- - 1");
	rig_moved(port, "");
	check_view(port, 2, 0, 0);
	rig_forget_said();
	rig_disk_remove(port);
	rig_close();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs_near_their_vcpus),
		cmocka_unit_test(test_neighbours_share_a_pair),
		cmocka_unit_test(test_spread_by_pairs),
		cmocka_unit_test(test_other_ports_load),
		cmocka_unit_test(test_second_half_follows),
		cmocka_unit_test(test_control_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
