/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro benchmark: nanoseconds a request of a block device's whole poll, 4 KiB reads from `null`.
 * Prints, asserts nothing about time; the driver's share is not counted.
 *
 *   bench_blk [RING [ROUNDS [BURST]]]
 *
 * RING is split, split-indirect, packed, packed-indirect or all. instructions.py runs it under
 * callgrind and counts what happens within bench_blk_poll().
 *
 * The device and its worker are real, but all rounds are one call to the worker, in which it is the
 * driver as well: it makes a burst available, polls the queue once as a turn does, takes what is
 * used. No other poll runs meanwhile, so each counted poll has exactly one burst, and the same work
 * is done each time. Polls that find nothing (of the start, and before the queue goes to sleep) are
 * the worker's own, outside bench_blk_poll(), and so they are not counted. The driver wants to be
 * called for each burst.
 *
 * The worker's sleep is replaced: valgrind 3.19 holds all threads while one is in io_uring_enter.
 * Not counted either: the kernel's share (the call), and clock_gettime() but for the entry, which
 * valgrind makes a system call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "device/blk/blk_priv.h"
#include "device_rig.h"
#include "rings_main.h"

#define DISK_BYTES (1ull << 30)
#define READ_BYTES 4096u

struct bench {
	struct worker_call call;
	struct rig_wait done;
	struct rig rig;
	unsigned round_cnt;
	unsigned burst;
	uint64_t total_ns;
};

/* By this name callgrind is told what to count. */
unsigned bench_blk_poll(struct poller *poller, uint64_t now_ns);

NOINLINE unsigned bench_blk_poll(struct poller *poller, uint64_t now_ns)
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

static void bench_round(struct bench *bench, struct poller *poller, unsigned round)
{
	struct rig *rig = &bench->rig;
	uint64_t begin_ns;

	for (unsigned i = 0; i < bench->burst; i++)
		rig_add(rig, 0, (uint16_t)i, BLK_T_IN, ((uint64_t)round * 32 + i) * 8 % 65536, 0,
			READ_BYTES);
	assert_false(ring_arm(rig->queues[0].ring));
	/* A kick, if any, is looked at when the call has ended. */
	rig_publish(rig, 0);
	begin_ns = clock_now_ns();
	/* Chains taken and chains given back. */
	assert_int_equal(bench_blk_poll(poller, begin_ns), 2 * bench->burst);
	bench->total_ns += clock_now_ns() - begin_ns;
	assert_int_equal(rig_take_used(rig, 0), bench->burst);
	for (unsigned i = 0; i < bench->burst; i++)
		assert_int_equal(*rig->queues[0].requests[i].status, BLK_S_OK);
}

static void bench_on_worker(struct worker *worker, struct worker_call *call)
{
	struct bench *bench = container_of(call, struct bench, call);
	struct poller *poller = &device_queue_get(bench->rig.device, 0)->poller;

	assert_ptr_equal(poller->worker, worker);
	worker_poller_wake(poller);
	for (unsigned round = 0; round < bench->round_cnt; round++)
		bench_round(bench, poller, round);
	worker_call_ack(call);
}

static void bench_done(struct worker_call *call)
{
	join_done(&container_of(call, struct bench, call)->done.join, 0);
}

static struct storage *open_null(void)
{
	const struct storage_options options = {
		.name = "bench",
		.backend = STORAGE_BACKEND_NULL,
		.size_bytes = DISK_BYTES,
	};
	struct storage *storage;
	struct err err = ERR_INIT;

	if (storage_open(&options, &storage, &err))
		fail_msg("%s", err.text);
	return storage;
}

static void bench(unsigned ring, unsigned round_cnt, unsigned burst)
{
	const struct rig_options options = {
		.format = ring & 2 ? RING_PACKED : RING_SPLIT,
		.indirect = ring & 1,
		.size = 256,
		.event_idx = true,
		.poll_mode = POLL_MODE_NEVER,
	};
	struct storage *storage = open_null();
	struct bench bench = {
		.call = {.run_on_worker = bench_on_worker, .done_on_control = bench_done},
		.round_cnt = round_cnt,
		.burst = burst,
	};
	uint64_t calls = 0;

	rig_open(&bench.rig, &options, storage);
	rig_queue_start(&bench.rig, 0);
	rig_wait_open(&bench.done);
	join_add(&bench.done.join);
	worker_call(device_queue_worker(bench.rig.device, 0), &bench.call);
	rig_wait_done(&bench.rig, &bench.done);
	assert_int_equal(read(bench.rig.queues[0].call_fd, &calls, sizeof(calls)), sizeof(calls));
	printf("%-16s %5.1f ns a request, %llu requests, %llu calls\n", ring_names[ring],
	       (double)bench.total_ns / round_cnt / burst,
	       (unsigned long long)rig_stats(&bench.rig).reads, (unsigned long long)calls);
	rig_close(&bench.rig);
	storage_close(storage);
}

int main(int argc, char **argv)
{
	return rings_main(argc, argv, 100000, bench);
}
