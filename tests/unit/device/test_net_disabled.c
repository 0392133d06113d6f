/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues that run while they are disabled (device/queue.c, 5): they discard when they are kicked,
 * and leave the ring alone otherwise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "net_control_rig.h"

#define TX 1

static struct net_rig rig;

static const struct net_rig_options variants[] = {
	{.format = RING_SPLIT},
	{.format = RING_SPLIT, .poll_mode = POLL_MODE_ALWAYS},
	{.format = RING_SPLIT, .poll_mode = POLL_MODE_NEVER},
	{.format = RING_PACKED, .poll_mode = POLL_MODE_ALWAYS},
	{.format = RING_PACKED},
};

static unsigned discarded(void)
{
	return load_relaxed(&rig.queues[TX].discarded_cnt);
}

static void wait_discarded(unsigned cnt)
{
	uint64_t deadline_ns = net_rig_deadline_ns();

	while (discarded() != cnt)
		net_rig_turn(&rig, deadline_ns, "discarded frames");
}

/* What the device could write to, and what it would have changed by looking. */
struct areas {
	uint8_t desc[16 * NET_RIG_RING];
	uint8_t device[6 + 8 * NET_RIG_RING];
};

static void look(struct areas *areas)
{
	const struct ring *ring = rig.queues[TX].ring;

	memset(areas, 0, sizeof(*areas));
	memcpy(areas->desc, ring->desc, ring->desc_bytes);
	memcpy(areas->device, ring->device_area, ring->device_bytes);
}

static void expect_untouched(const struct areas *before)
{
	static struct areas now;

	for (unsigned i = 0; i < 20; i++)
		net_rig_ping(&rig);
	look(&now);
	assert_memory_equal(&now, before, sizeof(now));
}

/* Shows a frame without telling of it. */
static void add_silently(uint16_t token)
{
	const struct ring_seg seg = {rig.out_gpa, 60};

	assert_int_equal(ring_add(rig.queues[TX].ring, &seg, 1, 0, token), 0);
	(void)ring_publish(rig.queues[TX].ring);
}

static void add_and_kick(uint16_t token)
{
	const struct ring_seg seg = {rig.out_gpa, 60};

	assert_int_equal(ring_add(rig.queues[TX].ring, &seg, 1, 0, token), 0);
	assert_true(ring_publish(rig.queues[TX].ring)); /* it is armed */
	net_rig_kick(&rig, TX);
}

static void tune(void)
{
	struct device_tuning tuning = *device_tuning(&rig.net.device);
	struct net_rig_wait wait;

	tuning.poll_mode = POLL_MODE_ALWAYS;
	net_rig_wait_open(&wait);
	device_tune(&rig.net.device, &tuning, &wait.join);
	assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
}

static void test_discards_when_kicked(void **state)
{
	static struct areas before;

	(void)state;
	for (unsigned v = 0; v < ARRAY_LEN(variants); v++) {
		net_rig_open(&rig, &variants[v]);
		net_rig_start(&rig, TX, true);
		/* An old kick, which nobody has read, and nobody will. */
		net_rig_kick(&rig, TX);
		net_rig_ping(&rig);
		net_rig_enable(&rig, TX, false);
		for (uint16_t i = 0; i < 10; i++) {
			add_and_kick(i);
			wait_discarded(i + 1u);
			net_rig_used(&rig, TX);
		}
		net_rig_ping(&rig);
		/* armed again; from here on the memory may be anything's */
		look(&before);
		expect_untouched(&before);
		tune();
		expect_untouched(&before);
		net_rig_close(&rig);
	}
}

/* The front end disables the queue and uses its memory for something else. */
static void test_leaves_memory_alone(void **state)
{
	static struct areas before;

	(void)state;
	for (unsigned v = 0; v < ARRAY_LEN(variants); v++) {
		struct ring *ring;

		net_rig_open(&rig, &variants[v]);
		ring = rig.queues[TX].ring;
		net_rig_start(&rig, TX, true);
		net_rig_kick(&rig, TX);
		net_rig_enable(&rig, TX, false);
		/* what looks like frames is not followed either */
		memset(ring->desc, 0xa5, ring->desc_bytes);
		memset(ring->driver_area, 0x5a, ring->driver_bytes);
		memset(ring->device_area, 0x3c, ring->device_bytes);
		look(&before);
		expect_untouched(&before);
		tune();
		expect_untouched(&before);
		net_rig_move(&rig, TX, 0);
		expect_untouched(&before);
		net_rig_move(&rig, TX, 1);
		expect_untouched(&before);
		{
			struct net_rig_wait wait;

			/* nothing is held that a change of memory or a stop would have to write */
			net_rig_wait_open(&wait);
			device_set_memory(&rig.net.device, rig.memory, &wait.join);
			assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
		}
		expect_untouched(&before);
		net_rig_stop(&rig, TX);
		expect_untouched(&before);
		assert_int_equal(discarded(), 0);
		net_rig_close(&rig);
	}
}

/* Without a kick a frame stays where it is, and is served when the queue is enabled. */
static void test_waits_for_enable(void **state)
{
	(void)state;
	for (unsigned v = 0; v < ARRAY_LEN(variants); v++) {
		net_rig_open(&rig, &variants[v]);
		net_rig_start(&rig, TX, true);
		net_rig_enable(&rig, TX, false);
		add_silently(0);
		for (unsigned i = 0; i < 20; i++)
			net_rig_ping(&rig);
		assert_int_equal(discarded(), 0);
		/* one kick is for all that is there */
		add_and_kick(1);
		wait_discarded(2);
		net_rig_enable(&rig, TX, true);
		assert_int_equal(load_relaxed(&rig.queues[TX].enabled_cnt), 2);
		assert_int_equal(load_relaxed(&rig.queues[TX].disabled_cnt), 1);
		net_rig_enable(&rig, TX, true);
		net_rig_enable(&rig, TX, false);
		add_and_kick(2);
		wait_discarded(3);
		net_rig_close(&rig);
	}
}

/* One that starts disabled looks once at what is there, as every queue does that starts. */
static void test_starts_disabled(void **state)
{
	(void)state;
	for (unsigned v = 0; v < ARRAY_LEN(variants); v++) {
		uint32_t base;

		net_rig_open(&rig, &variants[v]);
		base = ring_base(rig.queues[TX].ring);
		add_silently(0);
		net_rig_kick(&rig, TX);
		net_rig_start_at(&rig, TX, false, base);
		wait_discarded(1);
		net_rig_ping(&rig);
		net_rig_move(&rig, TX, 0);
		net_rig_ping(&rig);
		/* the old kick tells the new worker nothing; the next one does */
		add_silently(1);
		net_rig_ping(&rig);
		net_rig_kick(&rig, TX);
		net_rig_kick(&rig, TX);
		wait_discarded(2);
		net_rig_close(&rig);
	}
}

/* A control queue that is disabled takes no command. */
static void test_control(void **state)
{
	(void)state;
	net_rig_open(&rig, &variants[0]);
	net_rig_start_all(&rig);
	assert_int_equal(net_rig_do(&rig, 0, 0, "\1", 1), NET_OK);
	net_rig_enable(&rig, NET_RIG_CONTROL, false);
	memcpy(rig.out, "\0\0\0", 3);
	net_rig_add(&rig, NET_RIG_CONTROL, 0, 3, 1, 0);
	net_rig_kick(&rig, NET_RIG_CONTROL);
	for (unsigned i = 0; i < 20; i++)
		net_rig_ping(&rig);
	assert_true(net_rig_state(&rig).promisc);
	net_rig_enable(&rig, NET_RIG_CONTROL, true);
	net_rig_used(&rig, NET_RIG_CONTROL);
	assert_false(net_rig_state(&rig).promisc);
	net_rig_close(&rig);
}

/* Disabled with a command under way: it is answered before that is acknowledged. */
static void test_control_drains(void **state)
{
	(void)state;
	net_rig_open(&rig, &variants[0]);
	net_rig_start_all(&rig);
	for (unsigned i = 0; i < 100; i++) {
		struct ring_used used;
		bool taken;

		memcpy(rig.out, "\0\0\1", 3);
		net_rig_add(&rig, NET_RIG_CONTROL, 0, 3, 1, 0);
		net_rig_enable(&rig, NET_RIG_CONTROL, false);
		taken = ring_get_used(rig.queues[NET_RIG_CONTROL].ring, &used, 1) == 1;
		net_rig_ping(&rig);
		net_rig_enable(&rig, NET_RIG_CONTROL, true);
		if (!taken)
			net_rig_used(&rig, NET_RIG_CONTROL);
	}
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discards_when_kicked),
		cmocka_unit_test(test_leaves_memory_alone),
		cmocka_unit_test(test_waits_for_enable),
		cmocka_unit_test(test_starts_disabled),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_control_drains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
