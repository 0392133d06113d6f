/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to a worker: order, acknowledgement now and later, many senders, waking a sleeper.
 * Not pollers.
 */
#include "rig.h"

#include <poll.h>
#include <stdlib.h>

#include "base/fdio.h"
#include "worker/join.h"
#include "worker/worker_priv.h"

static struct {
	pthread_t control;
	unsigned ran;
	unsigned done;
} seen;

static int setup(void **state)
{
	seen.control = pthread_self();
	seen.ran = 0;
	seen.done = 0;
	return rig_setup(state);
}

struct numbered_call {
	struct worker_call call;
	struct sender *sender;
	unsigned number;
	bool done;
};

struct sender {
	pthread_t thread;
	struct worker *worker;
	unsigned cnt;
	unsigned ran;  /* on the worker */
	unsigned done; /* on control */
	struct numbered_call *calls;
};

static void numbered_run(struct worker *worker, struct worker_call *call)
{
	struct numbered_call *numbered = container_of(call, struct numbered_call, call);

	if (worker != numbered->sender->worker || numbered->number != numbered->sender->ran)
		abort();
	numbered->sender->ran++;
	worker_call_ack(call);
}

static void numbered_done(struct worker_call *call)
{
	struct numbered_call *numbered = container_of(call, struct numbered_call, call);

	assert_true(pthread_equal(pthread_self(), seen.control));
	assert_int_equal(numbered->number, numbered->sender->done);
	numbered->sender->done++;
}

static void *sender_main(void *arg)
{
	struct sender *sender = arg;

	for (unsigned i = 0; i < sender->cnt; i++) {
		sender->calls[i] = (struct numbered_call){
			.call = {.run_on_worker = numbered_run, .done_on_control = numbered_done},
			.sender = sender,
			.number = i,
		};
		worker_call(sender->worker, &sender->calls[i].call);
	}
	return NULL;
}

static void sender_init(struct sender *sender, struct worker *worker, unsigned cnt)
{
	*sender = (struct sender){.worker = worker, .cnt = cnt};
	sender->calls = calloc(cnt, sizeof(*sender->calls));
	assert_non_null(sender->calls);
}

static void turn_until_done(struct rig *rig, const struct sender *sender)
{
	/* Without end: an acknowledgement that does not wake control hangs here. */
	while (sender->done < sender->cnt)
		assert_int_equal(evloop_turn(rig->loop, -1), 0);
}

static void test_in_order(void **state)
{
	struct rig *rig = *state;
	const uint64_t messages = stat_read(&worker_stats(rig->worker)->messages);
	struct sender sender;

	sender_init(&sender, rig->worker, 20000);
	sender_main(&sender);
	turn_until_done(rig, &sender);
	/* The counter is written after the batch that the last one was in. */
	rig_turns(rig, 1);
	assert_true(stat_read(&worker_stats(rig->worker)->messages) >= messages + sender.cnt);
	free(sender.calls);
}

#define SENDERS 4

static void send_from_threads(struct rig *rig)
{
	struct sender senders[SENDERS];

	for (unsigned i = 0; i < SENDERS; i++) {
		sender_init(&senders[i], rig->worker, 5000);
		assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]),
				 0);
	}
	for (unsigned i = 0; i < SENDERS; i++)
		turn_until_done(rig, &senders[i]);
	for (unsigned i = 0; i < SENDERS; i++) {
		assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
		assert_int_equal(senders[i].ran, senders[i].cnt);
		free(senders[i].calls);
	}
}

static void test_many_senders_to_an_idle_worker(void **state)
{
	send_from_threads(*state);
}

static void test_many_senders_to_a_busy_worker(void **state)
{
	struct rig *rig = *state;
	struct fake_poller fake;

	fake_init(&fake, POLL_MODE_ALWAYS, 0);
	fake_add(rig, &fake);
	send_from_threads(rig);
	fake_remove(rig, &fake);
}

/* One call at a time: the worker is asleep or about to sleep when each arrives (INBOX_WAKE). */
static void test_wakes_a_sleeper(void **state)
{
	struct rig *rig = *state;
	const uint64_t sleeps = stat_read(&worker_stats(rig->worker)->sleeps);

	rig_turns(rig, 20000);
	assert_true(stat_read(&worker_stats(rig->worker)->sleeps) > sleeps);
}

/* --- INBOX_WAKE without a loop around it --- */

#define WAKES 300000

struct edge {
	struct mailbox mailbox;
	unsigned taken;
	bool lost;
};

/* An owner that sleeps whenever it may, right after it took what there was. */
static void *edge_owner(void *arg)
{
	struct edge *edge = arg;
	struct mailbox *mailbox = &edge->mailbox;
	struct pollfd bell = {.fd = mailbox->wake_fd, .events = POLLIN};
	unsigned taken = 0;

	while (taken < WAKES) {
		if (mailbox_take(mailbox)) {
			set(&edge->taken, ++taken);
			/* Each time a little later, to meet all points of the sender's push. */
			for (unsigned i = 0; i < taken % 128; i++)
				fence_compiler();
		}
		if (taken < WAKES && mailbox_sleep(mailbox)) {
			if (poll(&bell, 1, 30 * 1000) != 1) {
				edge->lost = true;
				set(&edge->taken, WAKES);
				return NULL;
			}
			fdio_drain(mailbox->wake_fd);
			mailbox_awake(mailbox);
		}
	}
	return NULL;
}

/* The sender strikes at the moment at which the owner lies down. */
static void test_inbox_wake(void **state)
{
	struct edge edge = {0};
	struct worker_call call = {0};
	pthread_t owner;

	(void)state;
	assert_int_equal(mailbox_open(&edge.mailbox, NULL), 0);
	assert_int_equal(pthread_create(&owner, NULL, edge_owner, &edge), 0);
	for (unsigned i = 0; i < WAKES && get(&edge.taken) == i; i++) {
		mailbox_push(&edge.mailbox, &call);
		while (get(&edge.taken) == i)
			cpu_relax();
	}
	assert_int_equal(pthread_join(owner, NULL), 0);
	assert_false(edge.lost);
	mailbox_close(&edge.mailbox);
}

/* --- acknowledged later --- */

struct late_call {
	struct worker_call call;
	struct worker_timer timer;
	struct rig *rig;
	bool done;
};

static void late_expired(struct worker *worker, struct worker_timer *timer)
{
	(void)worker;
	worker_call_ack(&container_of(timer, struct late_call, timer)->call);
}

static void late_run(struct worker *worker, struct worker_call *call)
{
	struct late_call *late = container_of(call, struct late_call, call);

	add(&seen.ran, 1);
	worker_timer_set(worker, &late->timer, worker_now_ns(worker) + NS_PER_MS);
}

static void late_done(struct worker_call *call)
{
	container_of(call, struct late_call, call)->done = true;
	seen.done++;
}

static void test_acknowledged_later(void **state)
{
	struct rig *rig = *state;
	struct late_call late = {
		.call = {.run_on_worker = late_run, .done_on_control = late_done},
		.timer = {.expired = late_expired},
	};

	for (unsigned i = 1; i <= 3; i++) {
		late.done = false;
		worker_call(rig->worker, &late.call);
		/* Calls behind it are not held up by it. */
		rig_turns(rig, 3);
		while (!late.done)
			assert_int_equal(evloop_turn(rig->loop, -1), 0);
		assert_int_equal(get(&seen.ran), i);
		assert_int_equal(seen.done, i);
	}
}

static void freed_run(struct worker *worker, struct worker_call *call)
{
	(void)worker;
	worker_call_ack(call);
	add(&seen.ran, 1);
}

static void freed_done(struct worker_call *call)
{
	free(call);
	seen.done++;
}

/* Control may free a call while the worker still walks the list it was in. */
static void test_freed_when_done(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < 5000; i++) {
		struct worker_call *call = calloc(1, sizeof(*call));

		assert_non_null(call);
		call->run_on_worker = freed_run;
		call->done_on_control = freed_done;
		worker_call(rig->worker, call);
		if (i % 7 == 0)
			assert_int_equal(evloop_turn(rig->loop, 0), 0);
	}
	while (seen.done < 5000)
		assert_int_equal(evloop_turn(rig->loop, -1), 0);
}

/* --- a call that leads to another, and several workers joined --- */

struct chain_call {
	struct worker_call call;
	unsigned left;
	bool done;
};

static void chain_run(struct worker *worker, struct worker_call *call)
{
	struct chain_call *chain = container_of(call, struct chain_call, call);

	if (chain->left > 0) {
		chain->left--;
		/* From the worker to itself: the next turn, not this one. */
		worker_call(worker, call);
	} else {
		worker_call_ack(call);
	}
}

static void chain_done(struct worker_call *call)
{
	container_of(call, struct chain_call, call)->done = true;
}

static void test_call_from_the_worker(void **state)
{
	struct rig *rig = *state;
	struct chain_call chain = {
		.call = {.run_on_worker = chain_run, .done_on_control = chain_done},
		.left = 1000,
	};
	uint64_t turns = stat_read(&worker_stats(rig->worker)->turns);

	worker_call(rig->worker, &chain.call);
	while (!chain.done)
		assert_int_equal(evloop_turn(rig->loop, -1), 0);
	assert_true(stat_read(&worker_stats(rig->worker)->turns) >= turns + 1000);
}

struct joined_call {
	struct worker_call call;
	struct join *join;
	int status;
};

static void joined_run(struct worker *worker, struct worker_call *call)
{
	(void)worker;
	worker_call_ack(call);
}

static void joined_done(struct worker_call *call)
{
	struct joined_call *joined = container_of(call, struct joined_call, call);

	join_done(joined->join, joined->status);
}

static void join_finished(struct join *join)
{
	(void)join;
	seen.done++;
}

static void test_join_over_workers(void **state)
{
	struct rig *rig = *state;
	const struct worker_options options = {.cpu = -1, .idx = 1};
	struct worker *other = NULL;
	struct joined_call calls[10];
	struct join join;

	assert_int_equal(worker_new(&options, rig->loop, &other, NULL), 0);
	join_open(&join, join_finished);
	for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
		calls[i] = (struct joined_call){
			.call = {.run_on_worker = joined_run, .done_on_control = joined_done},
			.join = &join,
			.status = i == 4 ? -5 : 0,
		};
		join_add(&join);
		worker_call(i % 2 ? other : rig->worker, &calls[i].call);
	}
	assert_int_equal(seen.done, 0);
	join_done(&join, 0);
	while (seen.done == 0)
		assert_int_equal(evloop_turn(rig->loop, -1), 0);
	assert_int_equal(join.status, -5);
	worker_free(other);
	/* With nothing to wait for it finishes at once. */
	join_open(&join, join_finished);
	join_done(&join, 0);
	assert_int_equal(seen.done, 2);
	assert_int_equal(join.status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_in_order),
		TEST(test_many_senders_to_an_idle_worker),
		TEST(test_many_senders_to_a_busy_worker),
		TEST(test_wakes_a_sleeper),
		cmocka_unit_test(test_inbox_wake),
		TEST(test_acknowledged_later),
		TEST(test_freed_when_done),
		TEST(test_call_from_the_worker),
		TEST(test_join_over_workers),
	};

	return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
