/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several workers: inboxes, what comes back, learning from each other, queues that move, sleepers.
 * Not a load (test_traffic.c).
 */
#include "rig.h"

#include <string.h>

#include "base/check.h"
#include "network/netport_priv.h"

static struct {
	struct rig *rig;
	struct rig_port ports[RIG_PORTS_MAX];
	unsigned port_cnt;
	struct rig_sender senders[RIG_WORKERS_MAX];
} t;

/* Port i with its queue on worker i. */
static void begin(unsigned worker_cnt, unsigned port_cnt)
{
	t.rig = rig_new(worker_cnt, NULL, POLL_MODE_ADAPTIVE);
	t.port_cnt = port_cnt;
	for (unsigned i = 0; i < port_cnt; i++)
		rig_port_open(t.rig, &t.ports[i], NULL, (int)(i % worker_cnt));
	for (unsigned i = 0; i < worker_cnt; i++)
		rig_sender_init(&t.senders[i], t.rig, i);
}

static void end(void)
{
	for (unsigned i = 0; i < t.rig->worker_cnt; i++)
		rig_sender_fini(&t.senders[i]);
	for (unsigned i = 0; i < t.port_cnt; i++)
		rig_port_close(&t.ports[i]);
	rig_free(t.rig);
}

static void send(unsigned worker, unsigned port, uint64_t from, uint64_t to, unsigned cnt)
{
	struct rig_head heads[NETPORT_BURST];

	for (unsigned i = 0; i < cnt; i++)
		heads[i] = (struct rig_head){
			.to = to, .from = from, .tci = RIG_NO_TAG, .payload = (uint16_t)i};
	rig_send(&t.senders[worker], &t.ports[port], heads, cnt);
}

static const struct exchange_stats *stats(unsigned worker)
{
	return exchange_stats(rig_exchange(t.rig, worker));
}

static void expect_frames(unsigned port, unsigned cnt)
{
	rig_until(t.rig, rig_port_frames(&t.ports[port]) >= cnt);
	assert_int_equal(rig_port_frames(&t.ports[port]), cnt);
}

/* Who has learnt and told others that it has; the first frame of a port may be too early. */
static void introduce(unsigned worker, unsigned port, uint64_t mac)
{
	const uint64_t learns = stat_read(&stats(!worker)->learns);

	while (stat_read(&stats(!worker)->learns) == learns) {
		send(worker, port, mac, mac, 1);
		assert_int_equal(evloop_turn(t.rig->loop, 2), 0);
	}
}

static void forget_counts(void)
{
	for (unsigned i = 0; i < t.port_cnt; i++)
		t.ports[i].queues[0].frame_cnt = 0;
}

static void test_there_and_back(void **state)
{
	(void)state;
	begin(2, 3);
	introduce(0, 0, rig_mac(1));
	introduce(1, 1, rig_mac(2));
	forget_counts();
	send(0, 0, rig_mac(1), rig_mac(2), 32);
	expect_frames(1, 32);
	send(1, 1, rig_mac(2), rig_mac(1), 20);
	expect_frames(0, 20);
	assert_int_equal(rig_port_frames(&t.ports[2]), 0);
	rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent));
	/* A whole burst is one deliver() and one flush() there, too, if it was taken at once. */
	assert_true(t.ports[1].queues[0].flush_cnt <= t.ports[1].queues[0].deliver_cnt);
	end();
}

/* What one worker learns the others know: no worker floods for ever. */
static void test_learns_from_others(void **state)
{
	(void)state;
	begin(3, 3);
	rig_until(t.rig, netswitch_port_cnt(t.rig->sw) == 3);
	introduce(0, 0, rig_mac(1));
	rig_until(t.rig, stat_read(&stats(2)->learns) > 0);
	forget_counts();
	send(2, 2, rig_mac(3), rig_mac(1), 32);
	expect_frames(0, 32);
	assert_int_equal(rig_port_frames(&t.ports[1]), 0);
	/* It moves to a port of another worker. */
	introduce(1, 1, rig_mac(1));
	rig_until(t.rig, stat_read(&stats(2)->learns) > 1);
	forget_counts();
	send(2, 2, rig_mac(3), rig_mac(1), 32);
	expect_frames(1, 32);
	assert_int_equal(rig_port_frames(&t.ports[0]), 0);
	end();
}

/* A broadcast to three workers is one frame that comes back once. */
static void test_flood(void **state)
{
	(void)state;
	begin(3, 6);
	for (unsigned i = 0; i < 10; i++)
		send(0, 0, rig_mac(1), RIG_BROADCAST, 32);
	for (unsigned i = 1; i < 6; i++)
		expect_frames(i, 320);
	assert_int_equal(rig_port_frames(&t.ports[0]), 0);
	end();
}

/* A worker that sleeps is woken by what comes. */
static void test_wakes(void **state)
{
	const struct worker_stats *other;

	(void)state;
	begin(2, 2);
	other = worker_stats(t.rig->workers[1]);
	introduce(0, 0, rig_mac(1));
	introduce(1, 1, rig_mac(2));
	forget_counts();
	for (unsigned i = 0; i < 20; i++) {
		const uint64_t wakes = stat_read(&stats(0)->wakes);
		struct exchange *exchange = rig_exchange(t.rig, 1);

		rig_until(t.rig,
			  load_relaxed(&exchange->sleeping) && stat_read(&other->hot_pollers) == 0);
		send(0, 0, rig_mac(1), rig_mac(2), 3);
		expect_frames(1, 3 * (i + 1));
		assert_int_equal(stat_read(&stats(0)->wakes), wakes + 1);
		rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent));
	}
	end();
}

/* --- a worker that does not keep up --- */

static unsigned blocked;
static unsigned release;

static void block_worker(struct worker *worker, struct worker_call *call)
{
	(void)worker;
	__atomic_store_n(&blocked, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&release, __ATOMIC_ACQUIRE))
		cpu_relax();
	worker_call_ack(call);
}

static void unblocked(struct worker_call *call)
{
	(void)call;
	blocked = 0;
}

static void test_full_inbox(void **state)
{
	struct worker_call call = {.run_on_worker = block_worker, .done_on_control = unblocked};
	unsigned sent = 0;

	(void)state;
	begin(3, 3);
	introduce(1, 1, rig_mac(2));
	introduce(2, 2, rig_mac(3));
	rig_until(t.rig, stat_read(&stats(0)->learns) >= 2);
	forget_counts();
	release = 0;
	worker_call(t.rig->workers[1], &call);
	rig_until(t.rig, get(&blocked) == 1);
	/* The blocked one's inbox fills up; the third has all of its frames. */
	for (unsigned i = 0; i < 40; i++) {
		send(0, 0, rig_mac(1), rig_mac(2), 32);
		send(0, 0, rig_mac(1), rig_mac(3), 32);
		sent += 32;
		expect_frames(2, sent);
	}
	assert_int_equal(rig_stats(&t.ports[1]).drop_inbox_full, sent - FABRIC_RING_ENTRIES + 1);
	assert_int_equal(rig_stats(&t.ports[2]).drop_inbox_full, 0);
	assert_int_equal(stat_read(&stats(0)->inbox_full), sent - FABRIC_RING_ENTRIES + 1);
	__atomic_store_n(&release, 1, __ATOMIC_RELEASE);
	expect_frames(1, FABRIC_RING_ENTRIES - 1);
	rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent) && blocked == 0);
	/* And all is well again. */
	send(0, 0, rig_mac(1), rig_mac(2), 32);
	expect_frames(1, FABRIC_RING_ENTRIES - 1 + 32);
	end();
}

/* A receiver that keeps all it can leaves room for others on its worker. */
static void test_keeper(void **state)
{
	(void)state;
	begin(2, 4);
	introduce(1, 1, rig_mac(2));
	introduce(1, 3, rig_mac(4));
	introduce(0, 0, rig_mac(1));
	forget_counts();
	t.ports[1].queues[0].keeps = true;
	for (unsigned i = 0; i < FABRIC_KEPT_MAX / 32 + 4; i++) {
		send(0, 0, rig_mac(1), rig_mac(2), 32);
		expect_frames(1, 32 * (i + 1));
	}
	assert_int_equal(get(&t.ports[1].queues[0].kept_cnt), FABRIC_KEPT_MAX);
	assert_int_equal(get(&t.ports[1].queues[0].refused), 4 * 32);
	for (unsigned i = 0; i < 100; i++) {
		send(0, 0, rig_mac(1), rig_mac(4), 32);
		expect_frames(3, 32 * (i + 1));
		/* Those are back before more are sent, so that there is room for sure. */
		rig_until(t.rig,
			  get(&t.senders[0].sent) - get(&t.senders[0].back) <= FABRIC_KEPT_MAX);
	}
	assert_int_equal(rig_stats(&t.ports[3]).drop_inbox_full, 0);
	/* Given back from outside of any burst: they reach a sender that sleeps. */
	rig_queue_release(&t.ports[1], 0);
	rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent));
	t.ports[1].queues[0].keeps = true;
	send(0, 0, rig_mac(1), rig_mac(2), 32);
	rig_until(t.rig, get(&t.ports[1].queues[0].kept_cnt) == 32);
	rig_queue_release(&t.ports[1], 0);
	end();
}

/* The receiver takes all at once, but its sender does not look at what came back meanwhile. */
static void send_without_looking(struct worker *worker, void *arg)
{
	struct frame *frames[NETPORT_BURST];
	const uint64_t start_ns = clock_now_ns();
	unsigned sent = 0;

	(void)arg;
	for (unsigned burst = 0; burst < FABRIC_RING_ENTRIES / NETPORT_BURST + 2; burst++) {
		for (unsigned i = 0; i < NETPORT_BURST; i++) {
			const struct rig_head head = {
				.to = rig_mac(2), .from = rig_mac(1), .tci = RIG_NO_TAG};

			frames[i] = rig_sender_take(&t.senders[0]);
			frames[i]->head_bytes = (uint16_t)rig_fill_head(frames[i]->head, &head);
		}
		rig_sender_send(&t.senders[0], t.ports[0].port, frames, NETPORT_BURST,
				worker_now_ns(worker));
		sent += burst < FABRIC_RING_ENTRIES / NETPORT_BURST ? NETPORT_BURST : 0;
		while (rig_port_frames(&t.ports[1]) < sent)
			CHECK(clock_now_ns() - start_ns < 60 * NS_PER_S);
	}
}

static void test_unreturned(void **state)
{
	(void)state;
	begin(2, 2);
	introduce(1, 1, rig_mac(2));
	introduce(0, 0, rig_mac(1));
	rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent));
	forget_counts();
	rig_call(t.rig, 0, send_without_looking, NULL);
	assert_int_equal(rig_port_frames(&t.ports[1]), FABRIC_RING_ENTRIES);
	assert_int_equal(rig_stats(&t.ports[1]).drop_inbox_full, 2 * NETPORT_BURST);
	rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent));
	end();
}

/* --- queues that go while frames are on their way --- */

/*
 * 32 frames come to worker 1 for a queue that has just left it. The worker stands still meanwhile,
 * and senders are told what they would have read before the queue left.
 */
static void send_to_former_owner(struct worker_call *call)
{
	struct netport *port = t.ports[1].port;
	uint32_t former;

	release = 0;
	/* The sender knows where it is. */
	do {
		forget_counts();
		send(0, 0, rig_mac(1), rig_mac(2), 1);
		rig_until(t.rig, get(&t.senders[0].back) == get(&t.senders[0].sent));
	} while (rig_port_frames(&t.ports[1]) == 0);
	forget_counts();
	former = load_relaxed(&port->owners[0]);
	rig_queue_close(&t.ports[1], 0);
	worker_call(t.rig->workers[1], call);
	rig_until(t.rig, get(&blocked) == 1);
	store_relaxed(&port->owners[0], former);
	store_release(&port->open, 1);
	send(0, 0, rig_mac(1), rig_mac(2), 32);
	store_relaxed(&port->open, 0);
	store_relaxed(&port->owners[0], (former & ~0xffffu) | NETPORT_OWNER_NONE);
}

static void let_go(void)
{
	__atomic_store_n(&release, 1, __ATOMIC_RELEASE);
	rig_until(t.rig, blocked == 0 && get(&t.senders[0].back) == get(&t.senders[0].sent));
}

static void test_queue_moves(void **state)
{
	struct worker_call call = {.run_on_worker = block_worker, .done_on_control = unblocked};

	(void)state;
	begin(3, 2);
	introduce(1, 1, rig_mac(2));
	introduce(0, 0, rig_mac(1));
	forget_counts();
	/* To a third worker: they follow it, by way of their sender. */
	send_to_former_owner(&call);
	rig_queue_open(&t.ports[1], 0, 2);
	let_go();
	assert_int_equal(rig_port_frames(&t.ports[1]), 32);
	assert_int_equal(stat_read(&stats(0)->bounces), 32);
	/* To the sender's own. */
	rig_queue_close(&t.ports[1], 0);
	rig_queue_open(&t.ports[1], 0, 1);
	send_to_former_owner(&call);
	rig_queue_open(&t.ports[1], 0, 0);
	let_go();
	assert_int_equal(rig_port_frames(&t.ports[1]), 32);
	assert_int_equal(rig_stats(&t.ports[1]).drop_no_queue, 0);
	/* To nowhere. */
	rig_queue_close(&t.ports[1], 0);
	rig_queue_open(&t.ports[1], 0, 1);
	send_to_former_owner(&call);
	let_go();
	assert_int_equal(rig_port_frames(&t.ports[1]), 0);
	assert_int_equal(rig_stats(&t.ports[1]).drop_no_queue, 32);
	end();
}

/* What is in an inbox for a port that has gone is given back, and hits no port that comes after. */
static void test_port_goes(void **state)
{
	struct worker_call call = {.run_on_worker = block_worker, .done_on_control = unblocked};
	unsigned closed;

	(void)state;
	begin(2, 2);
	introduce(1, 1, rig_mac(2));
	introduce(0, 0, rig_mac(1));
	send_to_former_owner(&call);
	/* The worker hears of this before it looks at its inbox. */
	closed = t.rig->closed;
	netport_close(t.ports[1].port, rig_count_closed, t.rig);
	__atomic_store_n(&release, 1, __ATOMIC_RELEASE);
	rig_until(t.rig, t.rig->closed > closed);
	let_go();
	rig_port_open(t.rig, &t.ports[1], NULL, 1);
	send(0, 0, rig_mac(1), rig_mac(2), 1);
	expect_frames(1, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_learns_from_others),
		cmocka_unit_test(test_flood),          cmocka_unit_test(test_wakes),
		cmocka_unit_test(test_full_inbox),     cmocka_unit_test(test_unreturned),
		cmocka_unit_test(test_keeper),         cmocka_unit_test(test_queue_moves),
		cmocka_unit_test(test_port_goes),
	};

	return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
