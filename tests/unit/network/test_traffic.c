/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two and three workers with traffic all ways at once, while queues move and ports come and go:
 * order, content, and that every frame comes back. Runs under TSan.
 * Not single frames (test_exchange.c).
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define PORTS 4

/* A poller that sends bursts from one port to all others. */
struct talker {
	struct poller poller;
	struct rig_sender sender;
	struct rig_port *port;
	unsigned number;
	unsigned flood_every; /* bursts; 0: none */
	unsigned bursts_left;
	uint32_t sequence[PORTS + 1]; /* by destination; the last: all */
	unsigned done;
};

/* What a port has heard of each other. */
struct listener {
	uint32_t last[PORTS];
	uint32_t last_flooded[PORTS];
	uint64_t heard[PORTS];
};

static struct rig *rig;
static struct rig_port ports[PORTS];
static struct talker talkers[PORTS];
static struct listener listeners[PORTS];
static unsigned hears_all; /* a port loses nothing */
static unsigned moving;    /* frames may overtake others: their queue moves */

/* Behind the Ethernet header: sender, and its number for that receiver. */
#define SAYS_OFFSET 16
struct says {
	uint32_t from;
	uint32_t to;
	uint32_t sequence;
	uint32_t check;
};

static void listener_note(struct rig_queue *queue, const struct frame *frame)
{
	struct rig_port *port = container_of(queue - queue->queue.idx, struct rig_port, queues[0]);
	const unsigned number = (unsigned)(port - ports);
	struct listener *listener = &listeners[number];
	struct says says;
	uint32_t *last;

	memcpy(&says, frame->head + SAYS_OFFSET, sizeof(says));
	CHECK(says.check == (says.from ^ says.to << 8 ^ says.sequence * 2654435761u));
	CHECK(says.from < PORTS && says.from != number);
	CHECK(frame->exchange != queue->queue.exchange || frame->refs > 0);
	last = says.to == PORTS ? &listener->last_flooded[says.from] : &listener->last[says.from];
	/* Whoever is not known yet is looked for among all: heard where it is not meant for. */
	if (says.to == number || says.to == PORTS) {
		if (!load_relaxed(&moving))
			CHECK(says.sequence > *last);
		if (load_relaxed(&hears_all))
			CHECK(says.sequence == *last + 1);
		*last = says.sequence;
		listener->heard[says.from]++;
	}
}

static void frame_say(struct frame *frame, struct talker *talker, unsigned to)
{
	const struct rig_head head = {
		.to = to == PORTS ? RIG_BROADCAST : rig_mac(to),
		.from = rig_mac(talker->number),
		.tci = RIG_NO_TAG,
	};
	struct says says = {.from = talker->number, .to = to};

	says.sequence = ++talker->sequence[to];
	says.check = says.from ^ says.to << 8 ^ says.sequence * 2654435761u;
	rig_fill_head(frame->head, &head);
	memcpy(frame->head + SAYS_OFFSET, &says, sizeof(says));
	frame->head_bytes = SAYS_OFFSET + sizeof(says);
}

static bool talker_burst(struct talker *talker, uint64_t now_ns)
{
	const bool flood = talker->flood_every && talker->bursts_left % talker->flood_every == 0;
	struct frame *frames[NETPORT_BURST];
	unsigned cnt = 1 + talker->bursts_left * 7 % NETPORT_BURST;
	unsigned to = talker->bursts_left % PORTS;

	if (get(&talker->sender.sent) - get(&talker->sender.back) > FABRIC_RING_ENTRIES / 4)
		return false;
	for (unsigned i = 0; i < cnt; i++) {
		if (to == talker->number)
			to = (to + 1) % PORTS;
		frames[i] = rig_sender_take(&talker->sender);
		frame_say(frames[i], talker, flood ? PORTS : to);
		/* Bursts of one receiver, and mixed ones. */
		to = talker->bursts_left % 3 ? to : (to + 1) % PORTS;
	}
	rig_sender_send(&talker->sender, talker->port->port, frames, cnt, now_ns);
	return true;
}

static unsigned talker_poll(struct poller *poller, uint64_t now_ns)
{
	struct talker *talker = container_of(poller, struct talker, poller);

	if (talker->bursts_left == 0) {
		__atomic_store_n(&talker->done, 1, __ATOMIC_RELEASE);
		return 0;
	}
	if (!talker_burst(talker, now_ns))
		return 0;
	talker->bursts_left--;
	return 1;
}

static bool talker_prepare_sleep(struct poller *poller)
{
	/* Whoever waits for its frames is polled until they are there. */
	return container_of(poller, struct talker, poller)->bursts_left > 0;
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

static void begin(unsigned worker_cnt, enum poll_mode mode, unsigned bursts, unsigned flood_every)
{
	rig = rig_new(worker_cnt, NULL, mode);
	memset(listeners, 0, sizeof(listeners));
	for (unsigned i = 0; i < PORTS; i++) {
		struct talker *talker = &talkers[i];

		rig_port_open(rig, &ports[i], NULL, (int)((i + 1) % worker_cnt));
		ports[i].queues[0].on_frame = listener_note;
		*talker = (struct talker){
			.poller = {.ops = &talker_ops, .mode = mode, .poll_max_ns = NS_PER_MS},
			.port = &ports[i],
			.number = i,
			.flood_every = flood_every,
			.bursts_left = bursts,
		};
		rig_sender_init(&talker->sender, rig, i % worker_cnt);
	}
}

static void talk(void)
{
	for (unsigned i = 0; i < PORTS; i++)
		rig_call(rig, talkers[i].sender.worker, talker_add, &talkers[i]);
}

static bool talkers_are_done(void)
{
	bool done = true;

	for (unsigned i = 0; i < PORTS; i++)
		done = done && get(&talkers[i].done) &&
		       get(&talkers[i].sender.sent) == get(&talkers[i].sender.back);
	return done;
}

static void end(void)
{
	rig_until(rig, talkers_are_done());
	for (unsigned i = 0; i < PORTS; i++)
		rig_call(rig, talkers[i].sender.worker, talker_remove, &talkers[i]);
	for (unsigned i = 0; i < PORTS; i++)
		rig_sender_fini(&talkers[i].sender);
	for (unsigned i = 0; i < PORTS; i++)
		rig_port_close(&ports[i]);
	rig_free(rig);
}

/* Everybody has heard everything, in order. */
static void run_lossless(unsigned worker_cnt, enum poll_mode mode, unsigned bursts)
{
	hears_all = 1;
	begin(worker_cnt, mode, bursts, 16);
	talk();
	rig_until(rig, talkers_are_done());
	for (unsigned to = 0; to < PORTS; to++) {
		for (unsigned from = 0; from < PORTS; from++) {
			if (from == to)
				continue;
			assert_int_equal(listeners[to].last[from], talkers[from].sequence[to]);
			assert_int_equal(listeners[to].last_flooded[from],
					 talkers[from].sequence[PORTS]);
			assert_true(listeners[to].heard[from] > bursts / 8);
		}
	}
	end();
	hears_all = 0;
}

static void test_one_worker(void **state)
{
	(void)state;
	run_lossless(1, POLL_MODE_ADAPTIVE, 3000);
}

static void test_two_workers(void **state)
{
	(void)state;
	run_lossless(2, POLL_MODE_ADAPTIVE, 3000);
}

static void test_three_workers(void **state)
{
	(void)state;
	run_lossless(3, POLL_MODE_ADAPTIVE, 2000);
}

/* Each burst meets a worker that sleeps, or is about to. */
static void test_sleepers(void **state)
{
	(void)state;
	run_lossless(3, POLL_MODE_NEVER, 2000);
}

static void test_always(void **state)
{
	(void)state;
	run_lossless(2, POLL_MODE_ALWAYS, 1000);
}

/* Receiving queues go from worker to worker all the time. */
static void test_queues_move(void **state)
{
	unsigned moves = 0;

	(void)state;
	moving = 1;
	begin(3, POLL_MODE_ADAPTIVE, 4000, 16);
	talk();
	while (!talkers_are_done()) {
		for (unsigned i = 0; i < PORTS; i++) {
			const unsigned worker = ports[i].queues[0].worker;

			rig_queue_close(&ports[i], 0);
			rig_queue_open(&ports[i], 0, (worker + 1) % 3);
			moves++;
		}
	}
	assert_true(moves >= PORTS);
	end();
	moving = 0;
}

/* A port is taken away and put back while all others talk to it. */
static void test_ports_come_and_go(void **state)
{
	static struct rig_port guest;
	unsigned times = 0;
	unsigned heard = 0;

	(void)state;
	begin(3, POLL_MODE_ADAPTIVE, 4000, 4);
	talk();
	for (; !talkers_are_done() || times == 0; times++) {
		rig_port_open(rig, &guest, NULL, -1);
		guest.queues[0].keeps = times % 2;
		rig_queue_open(&guest, 0, times % 3);
		heard += rig_port_frames(&guest);
		rig_port_close(&guest);
		heard += rig_port_frames(&guest);
	}
	assert_true(heard > 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_worker),
		cmocka_unit_test(test_two_workers),
		cmocka_unit_test(test_three_workers),
		cmocka_unit_test(test_sleepers),
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_queues_move),
		cmocka_unit_test(test_ports_come_and_go),
	};

	return cmocka_run_group_tests_name("traffic", tests, NULL, NULL);
}
