/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which queue frames go to by a table and by what was learnt, and single moves: given up, to a
 * queue that closes, of a port that goes, with too many frames.
 * Not traffic while everything moves (test_steer_order.c).
 */
#include "steer_rig.h"

#include <string.h>

#define GUEST_MAC rig_mac(1)
#define PEER_MAC rig_mac(2)
#define FLOW 5u

static struct rig *rig;
static struct steer_port guest;
static struct rig_port peer;
static struct steer_sender sender; /* from the peer to the guest */
static uint32_t sequence;          /* of FLOW */

static const uint16_t queue_0[] = {0}, queue_1[] = {1}, queue_2[] = {2};

/* The guest's queue i is on worker i % worker_cnt; the peer's sender on worker 0. */
static void begin(unsigned worker_cnt, enum poll_mode mode)
{
	rig = rig_new(worker_cnt, NULL, mode);
	steer_port_open(rig, &guest);
	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++)
		steer_queue_open(&guest, i, i % worker_cnt);
	rig_port_open(rig, &peer, NULL, 0);
	sender = (struct steer_sender){
		.port = &peer, .from = PEER_MAC, .to = GUEST_MAC, .reverse = true};
	rig_sender_init(&sender.sender, rig, 0);
	sequence = 0;
}

static void end(void)
{
	rig_sender_fini(&sender.sender);
	rig_port_close(&peer);
	steer_port_close(&guest);
	rig_free(rig);
}

static void send_one(void)
{
	steer_send(&sender, 0, FLOW, ++sequence, 1);
}

static unsigned frames_of(unsigned queue_idx)
{
	return get(&guest.queues[queue_idx].frame_cnt);
}

static struct netport_stats stats(void)
{
	return rig_stats(&guest.port);
}

/* The queue has one frame more. */
static void expect_at(unsigned queue_idx)
{
	const unsigned before = frames_of(queue_idx);

	send_one();
	rig_until(rig, frames_of(queue_idx) == before + 1);
}

/* Sends until a frame comes there: whatever keeps the others does not last. */
static void expect_soon_at(unsigned queue_idx)
{
	const unsigned before = frames_of(queue_idx);

	do {
		send_one();
		rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	} while (frames_of(queue_idx) == before);
}

static void run_table(unsigned worker_cnt)
{
	begin(worker_cnt, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_0, 1);
	expect_at(0);
	steer_set_table(&guest, 16, queue_1, 1);
	expect_soon_at(1);
	steer_set_table(&guest, 16, queue_2, 1);
	expect_soon_at(2);
	assert_int_equal(stats().moves, 2);
	assert_int_equal(steer_port_frames(&guest), sequence);
	end();
}

static void test_table_on_one_worker(void **state)
{
	(void)state;
	run_table(1);
}

static void test_table_on_two_workers(void **state)
{
	(void)state;
	run_table(2);
}

/* Each bucket is where its entry says, and counted. */
static void test_buckets(void **state)
{
	static const uint16_t queue_of[] = {3, 1, 0, 2};
	uint64_t load[32] = {0};
	uint64_t by_queue[STEER_RIG_QUEUES] = {0};

	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 32, queue_of, 4);
	for (uint32_t flow = 0; flow < STEER_RIG_FLOWS; flow++)
		steer_send(&sender, 0, flow, 1, 10);
	rig_until(rig, steer_port_frames(&guest) == 10 * STEER_RIG_FLOWS);
	assert_int_equal(netport_bucket_load(guest.port.port, load), 32);
	for (unsigned i = 0; i < 32; i++)
		by_queue[queue_of[i % 4]] += load[i];
	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++) {
		assert_int_equal(by_queue[i], frames_of(i));
		assert_true(frames_of(i) > 0);
	}
	/* Of the next table the load is counted from the start. */
	steer_set_table(&guest, 32, queue_of, 4);
	memset(load, 0, sizeof(load));
	netport_bucket_load(guest.port.port, load);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(load[i], 0);
	end();
}

/* An entry names a queue that is not there: another one is as good, always the same. */
static void test_unusable(void **state)
{
	unsigned used = 0;

	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_1, 1);
	steer_queue_close(&guest, 1, false);
	for (unsigned i = 0; i < 8; i++)
		send_one();
	rig_until(rig, steer_port_frames(&guest) == 8);
	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++)
		used += frames_of(i) > 0;
	assert_int_equal(used, 1);
	steer_queue_open(&guest, 1, 1);
	expect_soon_at(1);
	end();
}

/* One queue, then several, then one again. */
static void test_receivers(void **state)
{
	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	netport_set_receivers(guest.port.port, 1);
	steer_set_table(&guest, 16, queue_1, 1);
	expect_at(0);
	netport_set_receivers(guest.port.port, 4);
	expect_soon_at(1);
	assert_int_equal(stats().moves, 1);
	netport_set_receivers(guest.port.port, 1);
	expect_soon_at(0);
	netport_set_receivers(guest.port.port, 2);
	expect_soon_at(1);
	end();
}

/* What the guest sends, from whichever worker, comes back to the queue that it sent it from. */
static void test_learn(void **state)
{
	struct steer_sender guests = {.port = &guest.port, .from = GUEST_MAC, .to = PEER_MAC};

	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	rig_sender_init(&guests.sender, rig, 1);
	steer_set_kind(&guest.port, STEERING_LEARN);
	for (unsigned queue_idx = 0; queue_idx < STEER_RIG_QUEUES; queue_idx++) {
		/* The guest's worker is another than the peer's: it is told. */
		steer_send(&guests, queue_idx, FLOW, 1, 1);
		expect_soon_at(queue_idx);
		expect_at(queue_idx);
	}
	assert_int_equal(stats().flows_learnt, STEER_RIG_QUEUES);
	assert_true(stats().flows_returned >= STEER_RIG_QUEUES);
	assert_int_equal(netport_flow_count(guest.port.port), 1);
	/* The same flow again is nothing new. */
	steer_send(&guests, STEER_RIG_QUEUES - 1, FLOW, 1, 20);
	assert_int_equal(stats().flows_learnt, STEER_RIG_QUEUES);
	/* Not a queue that frames may go to: nothing is learnt of it. */
	netport_set_receivers(guest.port.port, 2);
	steer_send(&guests, 3, FLOW + 1, 1, 1);
	assert_int_equal(stats().flows_learnt, STEER_RIG_QUEUES);
	rig_sender_fini(&guests.sender);
	end();
}

/* A guest without buffers in the old queue: the bucket stays there, and moves when it has some. */
static void run_give_up(unsigned full)
{
	begin(2, POLL_MODE_NEVER);
	steer_set_table(&guest, 16, &(uint16_t){(uint16_t)full}, 1);
	steer_queue_set_full(&guest, full, true);
	send_one();
	rig_until(rig, get(&sender.sender.back) == 1);
	steer_set_table(&guest, 16, queue_2, 1);
	send_one();
	rig_until(rig, stats().moves_given_up == 1);
	rig_until(rig, get(&sender.sender.back) == 2);
	assert_int_equal(stats().held, 1);
	assert_int_equal(stats().drop_held, 0);
	assert_int_equal(frames_of(2), 0);
	steer_queue_set_full(&guest, full, false);
	assert_int_equal(frames_of(full), 2);
	expect_soon_at(2);
	assert_int_equal(stats().moves, 1);
	end();
}

static void test_give_up(void **state)
{
	(void)state;
	run_give_up(1);
}

static void test_give_up_here(void **state)
{
	(void)state;
	run_give_up(0);
}

/* Other buckets while a queue has no buffers: the others do not wait for it for ever. */
static void test_blocked_port(void **state)
{
	uint32_t number = 0;

	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_1, 1);
	steer_queue_set_full(&guest, 1, true);
	send_one();
	rig_until(rig, get(&sender.sender.back) == 1);
	steer_set_table(&guest, 32, queue_2, 1);
	do {
		steer_send(&sender, 0, FLOW + 1, ++number, 1);
		rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	} while (frames_of(2) == 0);
	/* By each worker that could have sent there. */
	assert_true(stats().moves_given_up >= 1);
	assert_int_equal(frames_of(2) + stats().drop_held, number);
	end();
}

/* The old queue closes, with what waits in it: nothing is outstanding any more. */
static void test_old_queue_closes(void **state)
{
	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_1, 1);
	steer_queue_set_full(&guest, 1, true);
	send_one();
	steer_set_table(&guest, 16, queue_2, 1);
	send_one();
	steer_queue_close(&guest, 1, false);
	expect_soon_at(2);
	assert_true(stats().moves == 1);
	end();
}

/* On its way from worker to worker: frames wait, and come in order. */
static void test_queue_on_its_way(void **state)
{
	(void)state;
	begin(2, POLL_MODE_NEVER);
	steer_set_table(&guest, 16, queue_1, 1);
	expect_at(1);
	steer_queue_close(&guest, 1, true);
	steer_send(&sender, 0, FLOW, 2, 100);
	assert_int_equal(stats().held, 100);
	steer_queue_open(&guest, 1, 0);
	rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	assert_int_equal(frames_of(1) + stats().drop_held, 101);
	assert_int_equal(stats().drop_no_queue, 0);
	sequence = 101;
	expect_at(1);
	end();
}

/* The same, and it never comes: frames go after a while; then it is known to be gone. */
static void test_queue_lost(void **state)
{
	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_1, 1);
	steer_queue_close(&guest, 1, true);
	send_one();
	rig_until(rig, stats().drop_held == 1);
	rig_until(rig, get(&sender.sender.back) == 1);
	netport_queue_gone(guest.port.port, 1);
	send_one();
	rig_until(rig, steer_port_frames(&guest) == 1);
	end();
}

static void test_too_many(void **state)
{
	const unsigned more = 50;

	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_1, 1);
	steer_queue_close(&guest, 1, true);
	steer_send(&sender, 0, FLOW, 1, STEER_HELD_MAX + more);
	assert_true(stats().drop_held >= more);
	rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	assert_int_equal(stats().drop_held, STEER_HELD_MAX + more);
	netport_queue_gone(guest.port.port, 1);
	end();
}

/* More buckets move than there is room for: those stay until there is. */
static void test_many_buckets(void **state)
{
	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 512, queue_1, 1);
	for (uint32_t flow = 0; flow < STEER_RIG_FLOWS; flow++)
		steer_send(&sender, 0, flow, 1, 1);
	steer_queue_set_full(&guest, 1, true);
	for (uint32_t flow = 0; flow < STEER_RIG_FLOWS; flow++)
		steer_send(&sender, 0, flow, 2, 1);
	rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	steer_set_table(&guest, 512, queue_2, 1);
	for (uint32_t flow = 0; flow < STEER_RIG_FLOWS; flow++)
		steer_send(&sender, 0, flow, 3, 1);
	rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	assert_int_equal(frames_of(2), 0);
	steer_queue_set_full(&guest, 1, false);
	rig_until(rig, frames_of(1) == 3 * STEER_RIG_FLOWS);
	end();
}

/* A port goes while frames wait for it. */
static void test_port_goes(void **state)
{
	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	steer_set_table(&guest, 16, queue_1, 1);
	steer_queue_close(&guest, 1, true);
	steer_send(&sender, 0, FLOW, 1, 300);
	netport_queue_gone(guest.port.port, 1);
	steer_port_close(&guest);
	rig_until(rig, get(&sender.sender.sent) == get(&sender.sender.back));
	rig_sender_fini(&sender.sender);
	rig_port_close(&peer);
	rig_free(rig);
}

struct heard {
	struct join join; /* first */
	bool done;
};

static void heard_all(struct join *join)
{
	((struct heard *)(void *)join)->done = true;
}

/* A port goes while workers are still to take its steering: that is heard before it has gone. */
static void test_port_goes_while_it_changes(void **state)
{
	const struct steering_options options = {.kind = STEERING_LEARN};
	struct heard heard = {0};
	struct steering *steering;

	(void)state;
	begin(2, POLL_MODE_ADAPTIVE);
	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++) {
		if (guest.queues[i].open)
			steer_queue_close(&guest, i, false);
	}
	assert_int_equal(steering_new(&options, STEER_RIG_QUEUES, &steering, NULL), 0);
	join_open(&heard.join, heard_all);
	netport_set_steering(guest.port.port, steering, &heard.join);
	join_done(&heard.join, 0);
	assert_false(heard.done);
	steer_port_close(&guest);
	assert_true(heard.done);
	assert_int_equal(heard.join.status, 0);
	rig_sender_fini(&sender.sender);
	rig_port_close(&peer);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_on_one_worker),
		cmocka_unit_test(test_table_on_two_workers),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_unusable),
		cmocka_unit_test(test_receivers),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_give_up),
		cmocka_unit_test(test_give_up_here),
		cmocka_unit_test(test_blocked_port),
		cmocka_unit_test(test_old_queue_closes),
		cmocka_unit_test(test_queue_on_its_way),
		cmocka_unit_test(test_queue_lost),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_many_buckets),
		cmocka_unit_test(test_port_goes),
		cmocka_unit_test(test_port_goes_while_it_changes),
	};

	return cmocka_run_group_tests_name("steer", tests, NULL, NULL);
}
