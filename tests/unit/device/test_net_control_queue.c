/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue as a ring: commands in any framing and format, chains that cannot be used, and
 * queues that move, stop and begin anew around them. What commands mean is test_net_control.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "net_command.h"

#define BIT(b) (1ull << (b))

static struct net_rig rig;

static void begin_with(const struct net_rig_options *options)
{
	net_rig_open(&rig, options);
	net_rig_start_all(&rig);
}

static void begin(void)
{
	begin_with(&(struct net_rig_options){0});
}

/* Header and data may be cut anywhere, also in a chain longer than a slot has room for. */
static void test_framing(void **state)
{
	static const uint8_t command[] = {MAC, 0, 2, 0, 0, 0, 2, 1, 1, 1, 1,    1, 2, 2,
					  2,   2, 2, 2, 1, 0, 0, 0, 1, 0, 0x5e, 3, 3, 3};
	struct net_rig_answer answer;

	(void)state;
	begin();
	for (uint32_t piece = 1; piece <= sizeof(command); piece++) {
		assert_int_equal(net_rig_do(&rig, MAC, 0, "\0\0\0\0\0\0\0", 8), NET_OK);
		memcpy(rig.out, command, sizeof(command));
		answer = net_rig_command(&rig, sizeof(command), 1, piece);
		assert_int_equal(answer.ack, NET_OK);
		assert_int_equal(net_rig_rules(&rig)->unicast_cnt, 2);
		assert_int_equal(net_rig_rules(&rig)->multicast[0][5], 3);
	}
	/* the answer, too */
	rig.out[0] = STATS;
	rig.out[1] = 0;
	answer = net_rig_command(&rig, 2, 20, 1);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 9);
	assert_int_equal(net_command_answer_u64(&rig, 1), BIT(32) | BIT(0) | BIT(16));
	net_rig_close(&rig);
}

static void expect_malformed(uint32_t bytes, uint32_t in_bytes, uint8_t ack)
{
	uint64_t before = net_command_stats(&rig).control_malformed;
	struct net_rig_answer answer = net_rig_command(&rig, bytes, in_bytes, 0);

	assert_int_equal(answer.ack, ack);
	assert_int_equal(answer.used_bytes, in_bytes ? 1 : 0);
	assert_int_equal(net_command_stats(&rig).control_malformed, before + 1);
}

static void test_malformed(void **state)
{
	(void)state;
	begin();
	memset(rig.out, 0, NET_RIG_BYTES);
	rig.out[2] = 1;                         /* promiscuous, if it were executed */
	expect_malformed(3, 0, NET_RIG_NO_ACK); /* no room for the ack */
	expect_malformed(0, 1, NET_ERR);
	expect_malformed(1, 1, NET_ERR);
	expect_malformed(NET_COMMAND_BYTES_MAX + 1, 1, NET_ERR);
	expect_malformed(NET_RIG_BYTES, 1, NET_ERR);
	assert_int_equal(net_command_stats(&rig).control_commands, 0);
	assert_false(net_rig_state(&rig).promisc);
	/* the longest is looked at */
	assert_int_equal(net_rig_command(&rig, NET_COMMAND_BYTES_MAX, 1, 0).ack, NET_ERR);
	assert_int_equal(net_command_stats(&rig).control_commands, 1);
	assert_int_equal(net_command_u8(&rig, RX, 0, 1), NET_OK);
	net_rig_close(&rig);
}

/* Chains that cannot be used: a loop, an index out of bounds, memory that is not the guest's. */
static void test_chain_loop_and_bounds(void **state)
{
	struct ring *ring = rig.queues[NET_RIG_CONTROL].ring;
	uint64_t malformed;

	(void)state;
	begin();
	ring = rig.queues[NET_RIG_CONTROL].ring;
	for (unsigned bad = 0; bad < 4; bad++) {
		struct vring_desc *first = &ring->split_desc[0];

		malformed = net_command_stats(&rig).control_malformed;
		memset(rig.in, NET_RIG_NO_ACK, 16);
		first[0] = (struct vring_desc){rig.out_gpa, 3, VRING_DESC_F_NEXT, 1};
		first[1] = (struct vring_desc){rig.in_gpa, 1, VRING_DESC_F_WRITE, 0};
		if (bad == 0)
			first[0].next = 0;
		else if (bad == 1)
			first[0].next = NET_RIG_RING;
		else if (bad == 2)
			first[0].addr = 0xfffffffffffffffe;
		else
			first[1].addr = 0x10;
		ring->avail->ring[ring->avail->idx % NET_RIG_RING] = 0;
		store_release(&ring->avail->idx, (uint16_t)(ring->avail->idx + 1));
		net_rig_kick(&rig, NET_RIG_CONTROL);
		{
			uint64_t deadline_ns = net_rig_deadline_ns();

			while (load_acquire(&ring->used->idx) != ring->avail->idx)
				net_rig_turn(&rig, deadline_ns, "a bad chain");
		}
		net_rig_ping(&rig);
		assert_int_equal(net_command_stats(&rig).control_malformed, malformed + 1);
		/* where the end is known the driver is answered */
		assert_int_equal(rig.in[0], bad == 2 ? NET_ERR : NET_RIG_NO_ACK);
	}
	net_rig_close(&rig);
}

/*
 * CVE-2026-86562: a command that is looked at twice. The driver changes it all the time, and what
 * is executed is one of its versions: tables of one entry, or of none, never of one that is not
 * there.
 */
static void test_double_read(void **state)
{
	uint8_t *command;

	(void)state;
	begin();
	command = rig.out;
	for (unsigned i = 0; i < 500; i++) {
		struct ring_used used;
		uint64_t deadline_ns = net_rig_deadline_ns();
		unsigned flip = 0;

		memset(command, 0, 16);
		command[0] = MAC;
		memset(rig.in, NET_RIG_NO_ACK, 4);
		net_rig_add(&rig, NET_RIG_CONTROL, 0, 16, 1, 0);
		while (!ring_get_used(rig.queues[NET_RIG_CONTROL].ring, &used, 1)) {
			store_relaxed(&command[2], flip++ & 1 ? 200 : 0);
			if (!(flip & 63))
				net_rig_turn(&rig, deadline_ns, "a command");
		}
		assert_true(rig.in[0] == NET_OK || rig.in[0] == NET_ERR);
		assert_int_equal(net_rig_rules(&rig)->unicast_cnt, 0);
	}
	net_rig_close(&rig);
}

/* Every queue has taken the rules when the driver gets the answer. */
static void test_rules_before_answer(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < 50; i++) {
		const struct net_rules *rules;

		assert_int_equal(net_command_u8(&rig, RX, 0, i & 1), NET_OK);
		rules = net_rig_rules(&rig);
		for (unsigned q = 0; q < NET_RIG_CONTROL; q++) {
			struct device_queue *queue = device_queue_get(&rig.net.device, q);

			assert_ptr_equal(load_relaxed(&net_of_queue(queue)->rules), rules);
		}
	}
	/* nobody waits for itself */
	assert_int_equal(rig.queues[NET_RIG_CONTROL].told_cnt, 0);
	net_rig_close(&rig);
}

static void test_formats(void **state)
{
	static const struct net_rig_options variants[] = {
		{.format = RING_PACKED},
		{.format = RING_PACKED, .in_order = true, .poll_mode = POLL_MODE_NEVER},
		{.format = RING_SPLIT, .in_order = true, .poll_mode = POLL_MODE_ALWAYS},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(variants); i++) {
		begin_with(&variants[i]);
		for (unsigned n = 0; n < 300; n++) {
			assert_int_equal(net_command_u8(&rig, RX, 0, 2), NET_ERR);
			assert_int_equal(net_command_u16(&rig, VLAN, n & 1, 5), NET_OK);
		}
		net_rig_close(&rig);
	}
}

/* Many at once: one after the other, in order. */
static void test_burst(void **state)
{
	(void)state;
	begin();
	rig.out[0] = VLAN;
	rig.out[1] = 0;
	rig.out[2] = 9;
	rig.out[3] = 0;
	for (uint16_t i = 0; i < 60; i++)
		net_rig_add(&rig, NET_RIG_CONTROL, i, i % 3 ? 4 : 1, 1, 0);
	for (unsigned i = 0; i < 60; i++)
		net_rig_used(&rig, NET_RIG_CONTROL);
	assert_int_equal(net_command_stats(&rig).control_commands, 40);
	assert_int_equal(net_command_stats(&rig).control_malformed, 20);
	assert_int_equal(net_rig_state(&rig).vlan_cnt, 1);
	net_rig_close(&rig);
}

/* The queue moves while commands are under way: each is answered once. */
static void test_moves(void **state)
{
	static const struct net_rig_options variants[] = {
		{.format = RING_SPLIT},
		{.format = RING_PACKED, .poll_mode = POLL_MODE_NEVER},
		{.format = RING_SPLIT, .poll_mode = POLL_MODE_ALWAYS},
	};

	(void)state;
	for (unsigned v = 0; v < ARRAY_LEN(variants); v++) {
		begin_with(&variants[v]);
		for (unsigned i = 0; i < 100; i++) {
			memcpy(rig.out, (uint8_t[]){RX, 0, i & 1}, 3);
			memset(rig.in, NET_RIG_NO_ACK, 16);
			/* 9 pieces and more: the iovecs are a block of the worker's that is left */
			net_rig_add(&rig, NET_RIG_CONTROL, 0, 3, 9, i & 2 ? 1 : 0);
			net_rig_add(&rig, NET_RIG_CONTROL, 100, 3, 9, 0);
			net_rig_move(&rig, NET_RIG_CONTROL, (i + 1) % NET_RIG_WORKERS);
			assert_int_equal(net_rig_used(&rig, NET_RIG_CONTROL), 1);
			assert_int_equal(net_rig_used(&rig, NET_RIG_CONTROL), 1);
			assert_int_equal(rig.in[0], NET_OK);
			assert_int_equal(net_rig_rules(&rig)->promisc, i & 1);
		}
		assert_int_equal(net_command_stats(&rig).control_commands, 200);
		net_rig_close(&rig);
	}
}

/* A queue that stops, or whose memory changes, waits for its command, and both come to an end. */
static void test_stop_with_command(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < 100; i++) {
		struct net_rig_wait wait;

		memcpy(rig.out, (uint8_t[]){RX, 0, 1}, 3);
		memset(rig.in, NET_RIG_NO_ACK, 4);
		net_rig_add(&rig, NET_RIG_CONTROL, 0, 3, 1, 0);
		net_rig_wait_open(&wait);
		device_set_memory(&rig.net.device, rig.memory, &wait.join);
		assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
		assert_int_equal(net_rig_used(&rig, NET_RIG_CONTROL), 1);
		net_rig_add(&rig, NET_RIG_CONTROL, 0, 3, 1, 0);
		/* the others stop at the same time: none of them is waited for in vain */
		net_rig_wait_open(&wait);
		for (unsigned q = 0; q < NET_RIG_QUEUES; q++)
			device_queue_stop(&rig.net.device, q, &wait.join);
		assert_int_equal(net_rig_wait_done(&rig, &wait), 0);
		for (unsigned q = 0; q < NET_RIG_QUEUES; q++)
			net_rig_start_at(&rig, q, true, device_queue_base(&rig.net.device, q));
		assert_int_equal(net_rig_used(&rig, NET_RIG_CONTROL), 1);
	}
	net_rig_close(&rig);
}

/* What the driver set ends with other features, a reset, and a control queue that begins anew. */
static void test_forget(void **state)
{
	struct ring_opts opts = {.size = NET_RIG_RING};

	(void)state;
	begin();
	assert_int_equal(net_command_u8(&rig, RX, 0, 1), NET_OK);
	assert_int_equal(net_command_u16(&rig, MQ, 0, 2), NET_OK);
	assert_int_equal(net_rig_switch.receivers, 2);
	/* paused and resumed: it goes on */
	net_rig_stop(&rig, NET_RIG_CONTROL);
	assert_false(net_rig_rules(&rig)->filter_macs);
	net_rig_start_at(&rig, NET_RIG_CONTROL, true,
			 device_queue_base(&rig.net.device, NET_RIG_CONTROL));
	assert_true(net_rig_state(&rig).promisc);
	assert_int_equal(net_rig_state(&rig).pairs, 2);
	/* a driver that was loaded anew */
	net_rig_stop(&rig, NET_RIG_CONTROL);
	ring_free(rig.queues[NET_RIG_CONTROL].ring);
	assert_int_equal(ring_new(&rig.queues[NET_RIG_CONTROL].ring, rig.shm, &opts), 0);
	net_rig_start(&rig, NET_RIG_CONTROL, true);
	assert_false(net_rig_state(&rig).promisc);
	assert_false(net_rig_rules(&rig)->promisc);
	assert_true(net_rig_rules(&rig)->filter_macs);
	assert_int_equal(net_rig_switch.receivers, 1);
	assert_int_equal(net_command_u8(&rig, RX, 1, 1), NET_OK);
	for (unsigned q = 0; q < NET_RIG_QUEUES; q++)
		net_rig_stop(&rig, q);
	device_reset(&rig.net.device);
	assert_false(net_rig_state(&rig).allmulti);
	net_rig_close(&rig);
}

/* Without a control queue of ours the front end's word counts. */
static void test_receivers_without_control(void **state)
{
	static const struct net_rig_options options;

	(void)state;
	net_rig_open(&rig, &options);
	assert_int_equal(net_rig_switch.receivers, 1);
	net_rig_start(&rig, 0, true);
	net_rig_start(&rig, 2, false);
	assert_int_equal(net_rig_switch.receivers, 1);
	net_rig_enable(&rig, 2, true);
	assert_int_equal(net_rig_switch.receivers, 2);
	assert_int_equal(net_rig_state(&rig).pairs, 2);
	net_rig_enable(&rig, 2, false);
	assert_int_equal(net_rig_switch.receivers, 1);
	net_rig_enable(&rig, 2, true);
	net_rig_stop(&rig, 0);
	assert_int_equal(net_rig_switch.receivers, 1);
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_chain_loop_and_bounds),
		cmocka_unit_test(test_double_read),
		cmocka_unit_test(test_rules_before_answer),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_stop_with_command),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_receivers_without_control),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
