/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flash back end on real workers: options, what takes time and what does not, one device under
 * two workers. Not when requests are done (test_flash_model.c), nor random ones (test_model.c).
 */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/ordering.h"
#include "storage/flash_priv.h"
#include "worker/worker_priv.h"

#define PAGE FLASH_PAGE_BYTES

static struct storage_options options_of(uint32_t channels, uint32_t read_us, uint32_t write_us)
{
	return (struct storage_options){.name = "vda",
					.backend = STORAGE_BACKEND_FLASH,
					.size_bytes = 16 * MIB,
					.discard = true,
					.channels = channels,
					.read_us = read_us,
					.write_us = write_us};
}

static void test_options_refused(void **state)
{
	static const struct {
		uint32_t channels, read_us, write_us;
		uint64_t size_bytes;
		const char *text;
	} cases[] = {
		{0, 80, 200, MIB, "channels: 0 is not within 1 to 256"},
		{257, 80, 200, MIB, "channels: 257 is not within 1 to 256"},
		{1, 60000001, 200, MIB, "read-us: 60000001 is not within 0 to 60000000"},
		{1, 80, 60000001, MIB, "write-us: 60000001 is not within 0 to 60000000"},
		{1, 80, 200, 0, "size: backend flash needs one, such as size=1G"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct storage_options options =
			options_of(cases[i].channels, cases[i].read_us, cases[i].write_us);
		struct storage *storage = NULL;
		struct err err = ERR_INIT;

		options.size_bytes = cases[i].size_bytes;
		assert_int_equal(storage_open(&options, &storage, &err), -EINVAL);
		assert_string_equal(err.text, cases[i].text);
	}
}

static void make_op(struct storage_op *op, struct iovec *iov, enum storage_kind kind,
		    uint8_t *buffer, uint64_t page)
{
	*iov = (struct iovec){buffer, PAGE};
	memset(op, 0xee, sizeof(*op));
	op->kind = kind;
	op->iov = iov;
	op->iov_cnt = 1;
	op->offset_bytes = page * PAGE;
	op->len_bytes = PAGE;
}

/* Nothing is done before its time; how much later is not asserted. */
static void test_takes_its_time(void **state)
{
	struct storage_options options = options_of(2, 2000, 5000);
	struct harness *h = *state;
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	static uint8_t buffer[4][PAGE];
	struct storage_op op[4], *ops[4];
	struct iovec iov[4];
	uint64_t start_ns;

	start_ns = clock_now_ns();
	assert_int_equal(harness_write(h, channel, buffer[0], 0, PAGE), 0);
	assert_true(clock_now_ns() - start_ns >= 5 * NS_PER_MS);

	/* Three on one lane and a flush behind them. */
	for (unsigned i = 0; i < 4; i++) {
		make_op(&op[i], &iov[i], i < 3 ? STORAGE_READ : STORAGE_FLUSH, buffer[i], 2 * i);
		ops[i] = &op[i];
	}
	start_ns = clock_now_ns();
	harness_io(h, channel, ops, 4);
	assert_true(clock_now_ns() - start_ns >= 3 * 2 * NS_PER_MS);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(op[i].result, 0);
	assert_int_equal(op[1].due_ns, op[0].due_ns + 2 * NS_PER_MS);
	assert_int_equal(op[2].due_ns, op[1].due_ns + 2 * NS_PER_MS);
	assert_int_equal(op[3].due_ns, op[2].due_ns);
	harness_channel_close(h, channel);
	storage_close(storage);
}

/* Ops that are submitted in one call and reaped in others; nobody is to be woken. */
struct burst {
	struct storage_channel *channel;
	struct storage_op *ops[4];
	unsigned cnt;
	unsigned reaped_cnt;
	struct storage_op *reaped[4];
};

static void burst_reap(struct worker *worker, void *arg)
{
	struct burst *burst = arg;

	(void)worker;
	burst->reaped_cnt += storage_reap(burst->channel, burst->reaped + burst->reaped_cnt,
					  burst->cnt - burst->reaped_cnt);
}

static void burst_submit(struct worker *worker, void *arg)
{
	struct burst *burst = arg;

	storage_submit(burst->channel, burst->ops, burst->cnt);
	burst_reap(worker, arg);
}

static void burst_wait(struct harness *h, struct burst *burst)
{
	uint64_t deadline_ns = clock_now_ns() + 60 * NS_PER_S;

	while (burst->reaped_cnt < burst->cnt) {
		assert_true(clock_now_ns() < deadline_ns);
		harness_run(h, burst_reap, burst);
	}
	assert_int_equal(storage_pending(burst->channel), 0);
}

/* What takes no flash time is done within submit; the turn's time is before that of a page. */
static void test_at_once(void **state)
{
	struct storage_options options = options_of(1, 1000, 20000);
	struct harness *h = *state;
	struct storage *storage = harness_open(&options);
	struct burst burst = {.channel = harness_channel_open(h, storage), .cnt = 4};
	static uint8_t buffer[PAGE];
	struct storage_op op[4];
	struct iovec iov[4];

	make_op(&op[0], &iov[0], STORAGE_WRITE, buffer, 0);
	make_op(&op[1], &iov[1], STORAGE_DISCARD, buffer, 100);
	make_op(&op[2], &iov[2], STORAGE_WRITE_ZEROES, buffer, 200);
	make_op(&op[3], &iov[3], STORAGE_READ, buffer, 16 * MIB / PAGE);
	for (unsigned i = 0; i < 4; i++)
		burst.ops[i] = &op[i];
	harness_run(h, burst_submit, &burst);
	assert_int_equal(burst.reaped_cnt, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(burst.reaped[i], &op[i + 1]);
	assert_int_equal(storage_pending(burst.channel), 1);
	burst_wait(h, &burst);
	assert_ptr_equal(burst.reaped[3], &op[0]);
	assert_int_equal(op[0].result | op[1].result | op[2].result, 0);
	assert_int_equal(op[3].result, -EIO);

	/* The same for a flush when nothing is to be waited for. */
	burst.cnt = 1;
	burst.reaped_cnt = 0;
	op[0].kind = STORAGE_FLUSH;
	harness_run(h, burst_submit, &burst);
	assert_int_equal(burst.reaped_cnt, 1);
	harness_channel_close(h, burst.channel);
	storage_close(storage);

	/* And for everything when pages take no time. */
	options = options_of(3, 0, 0);
	storage = harness_open(&options);
	burst = (struct burst){.channel = harness_channel_open(h, storage), .cnt = 2};
	make_op(&op[0], &iov[0], STORAGE_WRITE, buffer, 0);
	make_op(&op[1], &iov[1], STORAGE_READ, buffer, 1);
	burst.ops[0] = &op[0];
	burst.ops[1] = &op[1];
	harness_run(h, burst_submit, &burst);
	assert_int_equal(burst.reaped_cnt, 2);
	harness_channel_close(h, burst.channel);
	storage_close(storage);
}

struct timer_check {
	struct burst late, soon;
	uint64_t after_late_ns, after_soon_ns;
};

static void timer_check_run(struct worker *worker, void *arg)
{
	struct timer_check *check = arg;

	burst_submit(worker, &check->late);
	check->after_late_ns = worker->timers.next_ns;
	burst_submit(worker, &check->soon);
	check->after_soon_ns = worker->timers.next_ns;
}

/* What is done soon is not kept waiting by what was there before and is done late. */
static void test_wakes_for_the_first(void **state)
{
	struct storage_options options = options_of(2, 1000, 1000000);
	struct harness *h = *state;
	struct storage *storage = harness_open(&options);
	struct storage_channel *channel = harness_channel_open(h, storage);
	struct timer_check check = {.late = {.channel = channel, .cnt = 1},
				    .soon = {.channel = channel, .cnt = 1}};
	static uint8_t buffer[PAGE];
	struct storage_op op[2];
	struct iovec iov[2];

	make_op(&op[0], &iov[0], STORAGE_WRITE, buffer, 0);
	make_op(&op[1], &iov[1], STORAGE_READ, buffer, 1);
	check.late.ops[0] = &op[0];
	check.soon.ops[0] = &op[1];
	harness_run(h, timer_check_run, &check);
	assert_int_equal(check.after_late_ns, op[0].due_ns);
	assert_int_equal(check.after_soon_ns, op[1].due_ns);
	assert_true(op[1].due_ns < op[0].due_ns);
	/* One after the other, whichever of the two is asked. */
	check.late.cnt = 2;
	burst_wait(h, &check.late);
	assert_ptr_equal(check.late.reaped[0], &op[1]);
	assert_ptr_equal(check.late.reaped[1], &op[0]);
	harness_channel_close(h, channel);
	storage_close(storage);
}

/* A call that keeps its worker past the time of the operation, and one that waits behind it. */
struct polled {
	struct worker_call hold, close;
	struct burst burst;
	bool holding, close_sent; /* atomic */
	bool closed;
};

static void polled_hold(struct worker *worker, struct worker_call *call)
{
	struct polled *polled = container_of(call, struct polled, hold);

	burst_submit(worker, &polled->burst);
	store_release(&polled->holding, true);
	while (!load_acquire(&polled->close_sent) || clock_now_ns() < polled->burst.ops[0]->due_ns)
		cpu_relax();
	worker_call_ack(call);
}

static void polled_close(struct worker *worker, struct worker_call *call)
{
	struct polled *polled = container_of(call, struct polled, close);

	burst_reap(worker, &polled->burst);
	if (polled->burst.reaped_cnt)
		storage_channel_close(polled->burst.channel);
	worker_call_ack(call);
}

static void polled_held(struct worker_call *call)
{
	(void)call;
}

static void polled_closed(struct worker_call *call)
{
	container_of(call, struct polled, close)->closed = true;
}

/* Who reaps finds what is done before the timer does, and may close with the timer running. */
static void test_reap_looks(void **state)
{
	struct storage_options options = options_of(2, 100, 100);
	struct harness *h = *state;
	struct storage *storage = harness_open(&options);
	uint64_t deadline_ns = clock_now_ns() + 60 * NS_PER_S;
	struct polled polled = {.burst = {.cnt = 1}};
	static uint8_t buffer[PAGE];
	struct storage_op op;
	struct iovec iov;

	make_op(&op, &iov, STORAGE_READ, buffer, 0);
	polled.burst.channel = harness_channel_open(h, storage);
	polled.burst.ops[0] = &op;
	polled.hold.run_on_worker = polled_hold;
	polled.hold.done_on_control = polled_held;
	polled.close.run_on_worker = polled_close;
	polled.close.done_on_control = polled_closed;
	worker_call(h->worker, &polled.hold);
	while (!load_acquire(&polled.holding))
		assert_true(clock_now_ns() < deadline_ns);
	worker_call(h->worker, &polled.close);
	store_release(&polled.close_sent, true);
	while (!polled.closed) {
		assert_true(clock_now_ns() < deadline_ns);
		evloop_turn(h->loop, 1000);
	}
	assert_int_equal(polled.burst.reaped_cnt, 1);
	assert_int_equal(op.result, 0);
	storage_close(storage);
}

/* Two workers, one device: a flush on one stands behind a write on the other. */
static void test_two_workers(void **state)
{
	struct worker_options worker_options = {.cpu = -1, .idx = 1};
	struct storage_options options = options_of(4, 100, 20000);
	struct harness *h = *state, other = *h;
	struct storage *storage = harness_open(&options);
	struct burst burst = {.channel = harness_channel_open(h, storage), .cnt = 1};
	static uint8_t buffer[PAGE], back[PAGE];
	struct storage_channel *second;
	struct err err = ERR_INIT;
	struct storage_op op;
	struct iovec iov;
	uint64_t start_ns;

	assert_int_equal(worker_new(&worker_options, h->loop, &other.worker, &err), 0);
	second = harness_channel_open(&other, storage);
	for (unsigned i = 0; i < PAGE; i++)
		buffer[i] = (uint8_t)(i * 7 + 1);
	make_op(&op, &iov, STORAGE_WRITE, buffer, 3);
	burst.ops[0] = &op;
	start_ns = clock_now_ns();
	harness_run(h, burst_submit, &burst);
	assert_int_equal(harness_flush(&other, second), 0);
	assert_true(clock_now_ns() - start_ns >= 20 * NS_PER_MS);
	burst_wait(h, &burst);
	assert_int_equal(op.result, 0);
	assert_int_equal(harness_read(&other, second, back, 3 * PAGE, PAGE), 0);
	assert_memory_equal(back, buffer, PAGE);
	harness_channel_close(&other, second);
	worker_free(other.worker);
	harness_channel_close(h, burst.channel);
	storage_close(storage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_refused), cmocka_unit_test(test_takes_its_time),
		cmocka_unit_test(test_at_once),         cmocka_unit_test(test_wakes_for_the_first),
		cmocka_unit_test(test_reap_looks),      cmocka_unit_test(test_two_workers),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
