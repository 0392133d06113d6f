/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro benchmark: nanoseconds a frame of a switch between two ports of one worker.
 * Prints, asserts nothing about time; the receiver does nothing but give the frame back.
 *
 *   bench_switch [KIND [ROUNDS [BURST]]]
 *
 * KIND: flow (all frames alike), pairs (between 16 addresses in turn), tagged (one flow of a VLAN),
 * queues (one flow, four receiving queues), or all. instructions.py runs it under callgrind and
 * counts what happens within bench_switch_send(). All rounds are one call to the worker. Its sleep
 * is replaced: valgrind 3.19 holds all threads while one is in io_uring_enter.
 */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/worker_priv.h"

enum kind { KIND_FLOW, KIND_PAIRS, KIND_TAGGED, KIND_QUEUES, KIND_CNT };
static const char *const kind_names[KIND_CNT] = {"flow", "pairs", "tagged", "queues"};

#define PAIRS 16

struct bench {
	enum kind kind;
	unsigned round_cnt;
	unsigned burst;
	struct rig *rig;
	struct rig_port ports[2];
	struct rig_sender sender;
	uint64_t total_ns;
};

void __wrap_uring_wait(struct uring *uring, uint64_t timeout_ns);
void __real_uring_wait(struct uring *uring, uint64_t timeout_ns);

/* Looks, and lets the others run, until there is something. */
void __wrap_uring_wait(struct uring *uring, uint64_t timeout_ns)
{
	(void)timeout_ns;
	__real_uring_wait(uring, 0);
	usleep(100);
}

/* By this name callgrind is told what to count. */
void bench_switch_send(struct netport *port, struct exchange *exchange, struct frame *const *frames,
		       unsigned cnt, uint64_t now_ns);

NOINLINE void bench_switch_send(struct netport *port, struct exchange *exchange,
				struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	netport_send(port, exchange, 0, frames, cnt, now_ns);
}

static void sink_deliver(struct netport_queue *queue, struct frame *const *frames, unsigned cnt,
			 uint64_t now_ns)
{
	(void)now_ns;
	for (unsigned i = 0; i < cnt; i++)
		exchange_put(queue->exchange, frames[i]);
}

static void sink_flush(struct netport_queue *queue, uint64_t now_ns)
{
	(void)queue;
	(void)now_ns;
}

static const struct netport_ops sink_ops = {
	.kind = "sink", .deliver = sink_deliver, .flush = sink_flush};

static void bench_head(const struct bench *bench, struct frame *frame, unsigned i, bool back)
{
	const unsigned pair = bench->kind == KIND_PAIRS ? i % PAIRS : 0;
	const uint64_t a = rig_mac(100 + pair);
	const uint64_t b = rig_mac(200 + pair);
	const struct rig_head head = {
		.to = back ? a : b,
		.from = back ? b : a,
		.tci = bench->kind == KIND_TAGGED ? 5 : RIG_NO_TAG,
	};

	frame->head_bytes = (uint16_t)rig_fill_head(frame->head, &head);
}

static void bench_on_worker(struct worker *worker, void *arg)
{
	struct bench *bench = arg;
	struct frame *frames[NETPORT_BURST];
	const uint64_t now_ns = worker_now_ns(worker);
	uint64_t begin_ns;

	for (unsigned i = 0; i < ARRAY_LEN(bench->ports[1].queues); i++)
		bench->ports[1].queues[i].queue.ops = &sink_ops;
	for (unsigned i = 0; i < NETPORT_BURST; i++) {
		frames[i] = rig_sender_take(&bench->sender);
		bench_head(bench, frames[i], i, true);
	}
	/* All addresses are known before it begins. */
	netport_send(bench->ports[1].port, bench->sender.source.exchange, 0, frames, NETPORT_BURST,
		     now_ns);
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		bench_head(bench, frames[i], i, false);
	netport_send(bench->ports[0].port, bench->sender.source.exchange, 0, frames, NETPORT_BURST,
		     now_ns);
	begin_ns = clock_now_ns();
	for (unsigned round = 0; round < bench->round_cnt; round++)
		bench_switch_send(bench->ports[0].port, bench->sender.source.exchange, frames,
				  bench->burst, now_ns);
	bench->total_ns = clock_now_ns() - begin_ns;
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		frames[i]->refs = 0;
}

static void bench_run(enum kind kind, unsigned round_cnt, unsigned burst)
{
	static struct bench bench;

	bench = (struct bench){.kind = kind, .round_cnt = round_cnt, .burst = burst};
	bench.rig = rig_new(1, NULL, POLL_MODE_ADAPTIVE);
	rig_port_open(bench.rig, &bench.ports[0], NULL, 0);
	rig_port_open(bench.rig, &bench.ports[1], NULL, 0);
	for (unsigned i = 1; kind == KIND_QUEUES && i < 4; i++)
		rig_queue_open(&bench.ports[1], i, 0);
	if (kind == KIND_QUEUES)
		netport_set_receivers(bench.ports[1].port, 4);
	rig_sender_init(&bench.sender, bench.rig, 0);
	rig_call(bench.rig, 0, bench_on_worker, &bench);
	printf("%-8s burst %2u: %6.1f ns a frame, %u requests\n", kind_names[kind], burst,
	       (double)bench.total_ns / round_cnt / burst, round_cnt * burst);
	rig_sender_fini(&bench.sender);
	rig_port_close(&bench.ports[0]);
	rig_port_close(&bench.ports[1]);
	rig_free(bench.rig);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "all";
	const unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 1000000;
	const unsigned burst = argc > 3 ? (unsigned)atoi(argv[3]) : NETPORT_BURST;
	bool found = false;

	for (enum kind i = 0; i < KIND_CNT && rounds && burst && burst <= NETPORT_BURST; i++) {
		if (strcmp(kind, "all") != 0 && strcmp(kind, kind_names[i]) != 0)
			continue;
		bench_run(i, rounds, burst);
		found = true;
	}
	if (found)
		return 0;
	fprintf(stderr, "usage: %s [flow|pairs|tagged|queues|all [ROUNDS [BURST, at most %u]]]\n",
		argv[0], NETPORT_BURST);
	return 2;
}
