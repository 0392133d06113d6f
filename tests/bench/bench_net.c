/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro benchmark: nanoseconds a frame of the whole way from one guest's transmit ring to another's
 * receive ring, both on one worker. Prints, asserts nothing about time; the drivers' share is not
 * counted.
 *
 *   bench_net [RING [ROUNDS [BURST]]]
 *
 * RING is split, split-indirect, packed, packed-indirect or all; indirect means that the sender
 * puts a header of its own and the frame in a table. instructions.py runs it under callgrind and
 * counts what happens within bench_net_poll(). bench_blk.c says how all rounds become one call to
 * the worker, and what is not counted.
 */
#include <stdio.h>
#include <unistd.h>

#include "net_rig.h"
#include "rings_main.h"

#define FRAME_BYTES 60u

struct bench {
	struct worker_call call;
	struct net_rig_wait done;
	struct net_rig rig;
	struct net_guest *from, *to;
	bool indirect;
	unsigned round_cnt;
	unsigned burst;
	uint64_t frame_cnt;
	uint64_t total_ns;
};

/* By this name callgrind is told what to count. */
unsigned bench_net_poll(struct poller *poller, uint64_t now_ns);

NOINLINE unsigned bench_net_poll(struct poller *poller, uint64_t now_ns)
{
	return poller->ops->poll(poller, now_ns);
}

void __wrap_uring_wait(struct uring *uring, uint64_t timeout_ns);
void __real_uring_wait(struct uring *uring, uint64_t timeout_ns);

/* Looks, and lets the others run, until there is something. */
void __wrap_uring_wait(struct uring *uring, uint64_t timeout_ns)
{
	(void)timeout_ns;
	__real_uring_wait(uring, 0);
	usleep(100);
}

static void bench_round(struct bench *bench, struct poller *poller)
{
	static struct net_received received;
	const struct net_header header = {0};
	uint8_t frame[FRAME_BYTES];
	uint64_t begin_ns;

	net_rig_frame(frame, sizeof(frame), bench->from, bench->to, 1);
	for (unsigned i = 0; i < bench->burst; i++)
		assert_true(net_rig_send(bench->from, 1, &header, frame, sizeof(frame),
					 bench->indirect ? NET_LAYOUT_TWO : NET_LAYOUT_ONE));
	net_rig_publish(bench->from, 1);
	begin_ns = clock_now_ns();
	assert_int_equal(bench_net_poll(poller, begin_ns), bench->burst);
	bench->total_ns += clock_now_ns() - begin_ns;
	assert_int_equal(net_rig_reap(bench->from, 1), bench->burst);
	for (unsigned i = 0; i < bench->burst; i++) {
		assert_true(net_rig_receive(bench->to, 0, &received));
		net_rig_frame_check(received.frame, received.bytes, bench->from, bench->to, 1);
		bench->frame_cnt++;
	}
	net_rig_post(bench->to, 0, NET_RIG_ALL);
}

static void bench_on_worker(struct worker *worker, struct worker_call *call)
{
	struct bench *bench = container_of(call, struct bench, call);
	struct poller *poller = &device_queue_get(bench->from->device, 1)->poller;

	assert_ptr_equal(poller->worker, worker);
	worker_poller_wake(poller);
	for (unsigned round = 0; round < bench->round_cnt; round++)
		bench_round(bench, poller);
	worker_call_ack(call);
}

static void bench_done(struct worker_call *call)
{
	join_done(&container_of(call, struct bench, call)->done.join, 0);
}

static void bench(unsigned ring, unsigned round_cnt, unsigned burst)
{
	const struct net_guest_options options = {
		.format = ring & 2 ? RING_PACKED : RING_SPLIT,
		.indirect = ring & 1,
		.size = 256,
		.event_idx = true,
		.buffer_bytes = 2048,
		.poll_mode = POLL_MODE_NEVER,
	};
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	bench.call.run_on_worker = bench_on_worker;
	bench.call.done_on_control = bench_done;
	bench.indirect = ring & 1;
	bench.round_cnt = round_cnt;
	bench.burst = burst;
	net_rig_open(&bench.rig, 1);
	bench.from = net_rig_guest(&bench.rig, 0, &options);
	bench.to = net_rig_guest(&bench.rig, 1, &options);
	net_rig_post(bench.to, 0, NET_RIG_ALL);
	net_rig_wait_open(&bench.done);
	join_add(&bench.done.join);
	worker_call(device_queue_worker(bench.from->device, 1), &bench.call);
	net_rig_wait_done(&bench.rig, &bench.done);
	printf("%-16s %5.1f ns a frame, %llu requests\n", ring_names[ring],
	       (double)bench.total_ns / round_cnt / burst, (unsigned long long)bench.frame_cnt);
	net_rig_close(&bench.rig);
}

int main(int argc, char **argv)
{
	return rings_main(argc, argv, 20000, bench);
}
