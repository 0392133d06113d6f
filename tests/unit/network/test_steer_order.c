/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No flow is reordered while tables, queues and senders change all the time, on real workers. Runs
 * under TSan.
 * Not single moves (test_steer.c).
 */
#include "steer_rig.h"

#include <string.h>

#include "base/check.h"

#define WORKERS 3
#define GUEST_MAC rig_mac(1)
#define PEER_MAC rig_mac(2)
/* Frames of one talker that are out. */
#define OUT_MAX 200

#ifdef __SANITIZE_THREAD__
#define ROUNDS 300
#else
#define ROUNDS 2000
#endif

/* Sends the flows that are its own now. */
struct talker {
	struct poller poller;
	struct steer_sender sender;
	unsigned first, cnt; /* flows */
	unsigned active;     /* control: its turn; cleared, it sends no more */
	unsigned answered;   /* the talker: what it saw of that */
	unsigned random;
	bool guest; /* from random queues: what is learnt changes */
};

static struct rig *rig;
static struct steer_port guest;
static struct rig_port peer;
static uint32_t sequences[STEER_RIG_FLOWS]; /* of whoever sends the flow */
static uint32_t guest_sequences[STEER_RIG_FLOWS];
static unsigned seed;

static unsigned next_random(unsigned *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static unsigned talker_poll(struct poller *poller, uint64_t now_ns)
{
	struct talker *talker = container_of(poller, struct talker, poller);
	struct rig_sender *sender = &talker->sender.sender;
	uint32_t *counters = talker->guest ? guest_sequences : sequences;
	uint32_t flows[NETPORT_BURST], numbers[NETPORT_BURST];
	unsigned cnt;

	if (!get(&talker->active)) {
		/* Seen here, outside of a burst, what came back has been published. */
		if (get(&sender->sent) == get(&sender->back))
			__atomic_store_n(&talker->answered, 0, __ATOMIC_RELEASE);
		return 0;
	}
	__atomic_store_n(&talker->answered, 1, __ATOMIC_RELEASE);
	if (get(&sender->sent) - get(&sender->back) > OUT_MAX)
		return 0;
	cnt = 1 + next_random(&talker->random) % NETPORT_BURST;
	for (unsigned i = 0; i < cnt; i++) {
		flows[i] = talker->first + next_random(&talker->random) % talker->cnt;
		numbers[i] = ++counters[flows[i]];
	}
	steer_send_on_worker(&talker->sender,
			     talker->guest ? next_random(&talker->random) % STEER_RIG_QUEUES : 0,
			     flows, numbers, cnt, now_ns);
	return cnt;
}

static bool talker_prepare_sleep(struct poller *poller)
{
	(void)poller;
	return true;
}

static void talker_cancel_sleep(struct poller *poller)
{
	(void)poller;
}

static const struct poller_ops talker_ops = {
	.poll = talker_poll,
	.prepare_sleep = talker_prepare_sleep,
	.cancel_sleep = talker_cancel_sleep,
};

static void talker_add(struct worker *worker, void *arg)
{
	worker_poller_add(worker, &((struct talker *)arg)->poller);
}

static void talker_remove(struct worker *worker, void *arg)
{
	(void)worker;
	worker_poller_remove(&((struct talker *)arg)->poller);
}

static void talker_start(struct talker *talker, unsigned worker, bool is_guest, unsigned first,
			 unsigned cnt)
{
	*talker = (struct talker){
		.poller.ops = &talker_ops,
		.poller.mode = POLL_MODE_ADAPTIVE,
		.poller.poll_max_ns = NS_PER_MS,
		.sender = {.port = is_guest ? &guest.port : &peer,
			   .from = is_guest ? GUEST_MAC : PEER_MAC,
			   .to = is_guest ? PEER_MAC : GUEST_MAC,
			   .reverse = !is_guest},
		.first = first,
		.cnt = cnt,
		.random = worker + 1,
		.guest = is_guest,
	};
	rig_sender_init(&talker->sender.sender, rig, worker);
	rig_call(rig, worker, talker_add, talker);
}

/* No frame of it is out any more, as a transmit queue sees to before it sends elsewhere. */
static void talker_pause(struct talker *talker)
{
	__atomic_store_n(&talker->active, 0, __ATOMIC_RELEASE);
	rig_until(rig, !get(&talker->answered));
}

static void talker_go(struct talker *talker)
{
	__atomic_store_n(&talker->active, 1, __ATOMIC_RELEASE);
	rig_until(rig, get(&talker->answered));
}

static void talker_end(struct talker *talker)
{
	talker_pause(talker);
	rig_call(rig, talker->sender.sender.worker, talker_remove, talker);
	rig_sender_fini(&talker->sender.sender);
}

static void begin(void)
{
	rig = rig_new(WORKERS, NULL, POLL_MODE_ADAPTIVE);
	steer_port_open(rig, &guest);
	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++)
		steer_queue_open(&guest, i, i % WORKERS);
	rig_port_open(rig, &peer, NULL, 0);
	memset(sequences, 0, sizeof(sequences));
	memset(guest_sequences, 0, sizeof(guest_sequences));
	seed = 1;
}

static void end(void)
{
	rig_port_close(&peer);
	steer_port_close(&guest);
	rig_free(rig);
}

static void change_table(unsigned table_cnt)
{
	uint16_t queue_of[64];

	for (unsigned i = 0; i < ARRAY_LEN(queue_of); i++)
		queue_of[i] = (uint16_t)(next_random(&seed) % STEER_RIG_QUEUES);
	steer_set_table(&guest, table_cnt, queue_of, ARRAY_LEN(queue_of));
}

static void move_queue(void)
{
	const unsigned idx = next_random(&seed) % STEER_RIG_QUEUES;

	steer_queue_move(&guest, idx, (guest.queues[idx].worker + 1) % WORKERS);
}

/* What the talkers sent was published, in order as the queues see to, or counted. */
static void expect_all(const struct talker *talkers, unsigned cnt)
{
	const struct netport_stats stats = rig_stats(&guest.port);
	unsigned sent = 0;

	for (unsigned i = 0; i < cnt; i++)
		sent += get(&talkers[i].sender.sender.sent);
	assert_int_equal(steer_port_frames(&guest) + stats.drop_held + stats.drop_inbox_full +
				 stats.drop_no_queue,
			 sent);
	assert_int_equal(stats.drop_no_queue, 0);
	assert_true(steer_port_frames(&guest) > STEER_RIG_FLOWS);
}

/* Two senders, a table that changes all the time. */
static void test_tables(void **state)
{
	struct talker talkers[2];

	(void)state;
	begin();
	change_table(64);
	for (unsigned i = 0; i < 2; i++) {
		talker_start(&talkers[i], i, false, i * 32, 32);
		talker_go(&talkers[i]);
	}
	for (unsigned i = 0; i < ROUNDS; i++)
		change_table(64);
	for (unsigned i = 0; i < 2; i++)
		talker_pause(&talkers[i]);
	expect_all(talkers, 2);
	assert_true(rig_stats(&guest.port).moves > ROUNDS / 10);
	for (unsigned i = 0; i < 2; i++)
		talker_end(&talkers[i]);
	end();
}

/* Besides, queues go from worker to worker, and flows from sender to sender. */
static void test_everything_moves(void **state)
{
	struct talker talkers[2];

	(void)state;
	begin();
	change_table(64);
	for (unsigned i = 0; i < 2; i++)
		talker_start(&talkers[i], i, false, 0, STEER_RIG_FLOWS);
	for (unsigned i = 0; i < ROUNDS; i++) {
		if (i % 8 == 0) {
			talker_pause(&talkers[0]);
			talker_pause(&talkers[1]);
			talker_go(&talkers[i / 8 % 2]);
		}
		change_table(64);
		move_queue();
	}
	for (unsigned i = 0; i < 2; i++)
		talker_pause(&talkers[i]);
	expect_all(talkers, 2);
	assert_true(rig_stats(&guest.port).moves > 0);
	assert_true(rig_stats(&guest.port).held > 0);
	for (unsigned i = 0; i < 2; i++)
		talker_end(&talkers[i]);
	end();
}

/* Buckets become others, and queues more and less. */
static void test_other_buckets(void **state)
{
	struct talker talkers[2];

	(void)state;
	begin();
	for (unsigned i = 0; i < 2; i++) {
		talker_start(&talkers[i], i, false, i * 32, 32);
		talker_go(&talkers[i]);
	}
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		change_table(16u << next_random(&seed) % 4);
		netport_set_receivers(guest.port.port, 1 + next_random(&seed) % STEER_RIG_QUEUES);
		if (i % 16 == 0)
			steer_set_kind(&guest.port, i % 32 ? STEERING_SPREAD : STEERING_LEARN);
		move_queue();
	}
	for (unsigned i = 0; i < 2; i++)
		talker_pause(&talkers[i]);
	expect_all(talkers, 2);
	for (unsigned i = 0; i < 2; i++)
		talker_end(&talkers[i]);
	end();
}

/* The guest sends each flow from another queue all the time, and is followed. */
static void test_learnt(void **state)
{
	struct talker talkers[3];

	(void)state;
	begin();
	steer_set_kind(&guest.port, STEERING_LEARN);
	for (unsigned i = 0; i < 2; i++)
		talker_start(&talkers[i], i, false, i * 32, 32);
	talker_start(&talkers[2], 2, true, 0, STEER_RIG_FLOWS);
	for (unsigned i = 0; i < 3; i++)
		talker_go(&talkers[i]);
	for (unsigned i = 0; i < ROUNDS; i++)
		move_queue();
	talker_pause(&talkers[2]);
	for (unsigned i = 0; i < 2; i++)
		talker_pause(&talkers[i]);
	expect_all(talkers, 2);
	assert_true(rig_stats(&guest.port).moves > 0);
	assert_true(rig_stats(&guest.port).flows_returned > 0);
	for (unsigned i = 0; i < 3; i++)
		talker_end(&talkers[i]);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_everything_moves),
		cmocka_unit_test(test_other_buckets),
		cmocka_unit_test(test_learnt),
	};

	return cmocka_run_group_tests_name("steer order", tests, NULL, NULL);
}
