/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop: what is sent to it comes back with addresses swapped.
 */
#include "uplink_rig.h"

#include <stdlib.h>
#include <string.h>

#include "network/loop.h"

static const uint8_t peer_mac[] = {2, 0, 0, 0, 0, 2};
static const uint8_t loop_mac[] = {2, 0, 0, 0, 0, 9};

static int setup(void **state)
{
	*state = uplink_rig_new();
	return 0;
}

static int teardown(void **state)
{
	uplink_rig_free(*state);
	return 0;
}

static struct loop *loop_new(struct uplink_rig *rig, unsigned queues,
			     const struct netport_vlans *vlans)
{
	struct loop_options options = {
		.queues = queues,
		.port = {.name = "back", .netswitch = rig->netswitch},
		.workers = rig->workers,
		.worker_cnt = UPLINK_WORKERS,
		.fabric = rig->fabric,
	};
	struct err err = ERR_INIT;
	struct loop *loop;

	if (vlans)
		options.port.vlans = *vlans;
	if (loop_open(&options, &loop, &err) < 0)
		fail_msg("%s", err.text);
	rig_turns(rig->first, 1);
	rig_turns(&rig->second, 1);
	return loop;
}

static void loop_end(struct uplink_rig *rig, struct loop *loop)
{
	bool closed = false;

	loop_close(loop, uplink_closed, &closed);
	uplink_wait(rig, closed);
}

static void make(uint8_t *bytes, unsigned len, const uint8_t *to, unsigned seed)
{
	fill_pattern(bytes, len, seed);
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, peer_mac, 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
}

static void frames_come_back(void **state)
{
	static const unsigned lengths[] = {14, 60, 256, 257, 1514, 65549};
	static uint8_t bytes[65549];
	struct uplink_rig *rig = *state;

	for (unsigned worker = 0; worker < UPLINK_WORKERS; worker++) {
		struct loop *loop = loop_new(rig, 2, NULL);
		struct peer *peer = peer_new(rig, worker, "vm", NULL);
		struct loop_stats stats;

		for (unsigned i = 0; i < 50 * ARRAY_LEN(lengths); i++) {
			const unsigned len = lengths[i % ARRAY_LEN(lengths)];
			const struct peer_frame frame = {.bytes = bytes,
							 .len = len,
							 .csum_partial = len > 100,
							 .csum_start = 34,
							 .csum_offset = 16};
			const struct peer_frame *got;

			make(bytes, len, loop_mac, i);
			peer_send(peer, &frame, 1);
			got = peer_get(peer, i);
			assert_int_equal(got->len, len);
			assert_memory_equal(got->bytes, peer_mac, 6);
			assert_memory_equal(got->bytes + 6, loop_mac, 6);
			assert_memory_equal(got->bytes + 12, bytes + 12, len - 12);
			assert_int_equal(got->csum_partial, len > 100);
			assert_int_equal(got->csum_start, 34);
		}
		loop_stats(loop, &stats);
		assert_int_equal(stats.frames, 50 * ARRAY_LEN(lengths));
		assert_int_equal(stats.full + stats.errors + stats.group, 0);
		loop_end(rig, loop);
		peer_free(peer);
	}
}

static uint64_t group(const struct loop *loop)
{
	struct loop_stats stats;

	loop_stats(loop, &stats);
	assert_int_equal(stats.frames, 0);
	return stats.group;
}

static void group_frames_end_there(void **state)
{
	static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct uplink_rig *rig = *state;
	struct loop *loop = loop_new(rig, 1, NULL);
	struct peer *peer = peer_new(rig, 0, "vm", NULL);
	uint8_t bytes[60];
	const struct peer_frame frame = {.bytes = bytes, .len = sizeof(bytes)};

	make(bytes, sizeof(bytes), broadcast, 1);
	peer_send(peer, &frame, 1);
	uplink_wait(rig, group(loop) == 1);
	assert_int_equal(peer_count(peer), 0);
	loop_end(rig, loop);
	peer_free(peer);
}

/* A tag that the trunk side has is taken off on the way in and put on again on the way back. */
static void tags_are_edited(void **state)
{
	const struct netport_vlans trunk = {.mode = NETPORT_VLAN_TRUNK, .trunk = {1 << 5}};
	const struct netport_vlans access = {.mode = NETPORT_VLAN_ACCESS, .access = 5};
	struct uplink_rig *rig = *state;

	for (unsigned turn = 0; turn < 2; turn++) {
		struct loop *loop = loop_new(rig, 1, turn ? &trunk : &access);
		struct peer *peer = peer_new(rig, 1, "vm", turn ? &access : &trunk);
		uint8_t bytes[400];
		const struct peer_frame frame = {.bytes = bytes, .len = sizeof(bytes)};
		const struct peer_frame *got;

		make(bytes, sizeof(bytes), loop_mac, turn);
		if (turn == 0)
			memcpy(bytes + 12, "\x81\x00\x00\x05", 4);
		peer_send(peer, &frame, 1);
		got = peer_get(peer, 0);
		assert_int_equal(got->len, sizeof(bytes));
		assert_memory_equal(got->bytes + 6, loop_mac, 6);
		assert_memory_equal(got->bytes + 12, bytes + 12, sizeof(bytes) - 12);
		loop_end(rig, loop);
		peer_free(peer);
	}
}

static void closed_under_load(void **state)
{
	struct uplink_rig *rig = *state;
	struct peer *peer = peer_new(rig, 1, "vm", NULL);
	uint8_t bytes[1514];
	const struct peer_frame frame = {.bytes = bytes, .len = sizeof(bytes)};

	make(bytes, sizeof(bytes), loop_mac, 1);
	for (unsigned i = 0; i < 10; i++) {
		struct loop *loop = loop_new(rig, 1 + i % 4, NULL);

		for (unsigned k = 0; k < 100; k++)
			peer_send(peer, &frame, 1);
		loop_end(rig, loop);
	}
	peer_free(peer);
}

static void options_out_of_range(void **state)
{
	struct uplink_rig *rig = *state;
	struct loop_options options = {
		.port = {.name = "back", .netswitch = rig->netswitch},
		.workers = rig->workers,
		.worker_cnt = UPLINK_WORKERS,
		.fabric = rig->fabric,
	};
	struct err err = ERR_INIT;
	struct loop *loop;

	assert_true(loop_open(&options, &loop, &err) < 0);
	assert_non_null(strstr(err.text, "queues: 0"));
	options.queues = NETPORT_QUEUES_MAX + 1;
	assert_true(loop_open(&options, &loop, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(frames_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(group_frames_end_there, setup, teardown),
		cmocka_unit_test_setup_teardown(tags_are_edited, setup, teardown),
		cmocka_unit_test_setup_teardown(closed_under_load, setup, teardown),
		cmocka_unit_test_setup_teardown(options_out_of_range, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
