/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modelled flash device as functions of time: when requests are done, and what waits for it
 * against all that waits, looked through one by one. Not the back end (test_flash.c).
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "storage/flash_priv.h"

#define PAGE FLASH_PAGE_BYTES
#define READ_NS (80 * NS_PER_US)

static struct flash_model model_of(uint32_t lane_cnt)
{
	struct flash_model model;

	assert_int_equal(flash_model_init(&model, lane_cnt, 80, 200), 0);
	for (uint32_t i = 0; i < lane_cnt; i++)
		assert_int_equal((uintptr_t)&model.lanes[i] % CACHE_LINE_BYTES, 0);
	return model;
}

static uint64_t random_u64(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state >> 8;
}

struct transfer_case {
	const char *name;
	enum storage_kind kind;
	uint64_t offset_bytes;
	uint64_t len_bytes;
	uint64_t now_ns;
	uint64_t due_ns;
	uint32_t lane_idx;
	uint64_t busy_ns[4]; /* of the lanes afterwards; of 0 as before */
};

/* One after the other on a device of 4 lanes. */
static void test_transfer(void **state)
{
	static const struct transfer_case cases[] = {
		{"a page", STORAGE_READ, 0, PAGE, 1000, 81000, 0, {81000}},
		{"behind it", STORAGE_READ, 4 * PAGE, 512, 2000, 161000, 0, {161000}},
		{"the next lane", STORAGE_READ, 5 * PAGE, PAGE, 2000, 82000, 1, {161000, 82000}},
		{"the end of a page",
		 STORAGE_READ,
		 3 * PAGE - 512,
		 512,
		 3000,
		 83000,
		 2,
		 {161000, 82000, 83000}},
		{"programming",
		 STORAGE_WRITE,
		 7 * PAGE,
		 PAGE,
		 3000,
		 203000,
		 3,
		 {161000, 82000, 83000, 203000}},
		{"over the edge",
		 STORAGE_READ,
		 2 * PAGE - 512,
		 1024,
		 82500,
		 163000,
		 2,
		 {161000, 162500, 163000, 203000}},
		{"round to the first",
		 STORAGE_READ,
		 3 * PAGE,
		 2 * PAGE,
		 4000,
		 283000,
		 3,
		 {241000, 162500, 163000, 283000}},
		{"after a rest, 10 pages",
		 STORAGE_WRITE,
		 PAGE,
		 10 * PAGE,
		 1000000,
		 1600000,
		 1,
		 {1400000, 1600000, 1600000, 1400000}},
		{"whole rounds",
		 STORAGE_READ,
		 2 * PAGE,
		 8 * PAGE,
		 2000000,
		 2160000,
		 2,
		 {2160000, 2160000, 2160000, 2160000}},
	};
	struct flash_model model = model_of(4);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct transfer_case *c = &cases[i];
		struct flash_due due = flash_model_transfer(&model, c->kind, c->offset_bytes,
							    c->len_bytes, c->now_ns);

		if (due.ns != c->due_ns || due.lane_idx != c->lane_idx)
			fail_msg("%s: due at %llu on lane %u", c->name, (unsigned long long)due.ns,
				 due.lane_idx);
		for (unsigned l = 0; l < 4; l++) {
			if (model.lanes[l].busy_until_ns != c->busy_ns[l])
				fail_msg("%s: lane %u is busy until %llu", c->name, l,
					 (unsigned long long)model.lanes[l].busy_until_ns);
		}
	}
	flash_model_fini(&model);
}

/* Any number of pages takes as long as its pages one by one. */
static void test_transfer_is_its_pages(void **state)
{
	static const uint32_t lanes[] = {1, 2, 7, 32, 256};
	uint64_t seed = 20261122;

	(void)state;
	for (unsigned n = 0; n < ARRAY_LEN(lanes); n++) {
		struct flash_model whole = model_of(lanes[n]), single = model_of(lanes[n]);
		uint64_t now_ns = 0;

		for (unsigned i = 0; i < 2000; i++) {
			enum storage_kind kind = random_u64(&seed) % 2 ? STORAGE_READ
								       : STORAGE_WRITE;
			uint64_t offset = random_u64(&seed) % 10000 * 512;
			uint64_t len = (1 + random_u64(&seed) % 9000) * 512;
			uint64_t last_ns = 0;
			struct flash_due due;

			now_ns += random_u64(&seed) % (100 * READ_NS);
			due = flash_model_transfer(&whole, kind, offset, len, now_ns);
			for (uint64_t page = offset / PAGE; page * PAGE < offset + len; page++) {
				struct flash_due one = flash_model_transfer(
					&single, kind, page * PAGE, PAGE, now_ns);

				last_ns = one.ns > last_ns ? one.ns : last_ns;
			}
			assert_int_equal(due.ns, last_ns);
			assert_int_equal(whole.lanes[due.lane_idx].busy_until_ns, due.ns);
			for (uint32_t l = 0; l < lanes[n]; l++)
				assert_int_equal(whole.lanes[l].busy_until_ns,
						 single.lanes[l].busy_until_ns);
		}
		flash_model_fini(&whole);
		flash_model_fini(&single);
	}
}

static void test_flush(void **state)
{
	struct flash_model model = model_of(32);
	uint64_t seed = 7, last_ns = 0;

	(void)state;
	assert_int_equal(flash_model_flush(&model).ns, 0);
	for (unsigned i = 0; i < 1000; i++) {
		struct flash_due due, flush;

		due = flash_model_transfer(&model, i % 3 ? STORAGE_READ : STORAGE_WRITE,
					   random_u64(&seed) % 4096 * PAGE,
					   (1 + random_u64(&seed) % 64) * PAGE, i * NS_PER_US);
		last_ns = due.ns > last_ns ? due.ns : last_ns;
		flush = flash_model_flush(&model);
		assert_int_equal(flush.ns, last_ns);
		/* It may stand behind what is on that lane. */
		assert_int_equal(model.lanes[flush.lane_idx].busy_until_ns, flush.ns);
	}
	flash_model_fini(&model);
}

/* Times that fit no clock end at the end of time, and do not come round to its beginning. */
static void test_end_of_time(void **state)
{
	struct flash_model model;

	(void)state;
	assert_int_equal(flash_model_init(&model, 1, STORAGE_FLASH_US_MAX, STORAGE_FLASH_US_MAX),
			 0);
	assert_int_equal(flash_model_transfer(&model, STORAGE_READ, 0, 1ull << 60, 5).ns,
			 FLASH_NEVER_NS);
	assert_int_equal(flash_model_transfer(&model, STORAGE_WRITE, 0, PAGE, 5).ns,
			 FLASH_NEVER_NS);
	flash_model_fini(&model);
}

/* Front ends that keep so many requests of a page in flight, for so long. */
struct load {
	unsigned queue_cnt;
	unsigned depth;
	bool sequential;
	uint64_t offset_bytes[8];
	uint64_t seed;
};

static uint64_t load_next(struct load *load, unsigned queue)
{
	if (!load->sequential)
		return random_u64(&load->seed) % 262144 * PAGE;
	load->offset_bytes[queue] += PAGE;
	return load->offset_bytes[queue];
}

static uint64_t load_run(const struct flash_model *model, struct load *load, uint64_t run_ns)
{
	struct storage_op *ops = calloc(load->queue_cnt * load->depth, sizeof(*ops));
	struct flash_queue queue;
	struct storage_op *op;
	uint64_t now_ns = 0, cnt = 0;

	assert_non_null(ops);
	assert_int_equal(flash_queue_init(&queue, model->lane_cnt), 0);
	for (unsigned i = 0; i < load->queue_cnt * load->depth; i++) {
		uint64_t offset = load_next(load, i / load->depth);

		flash_queue_push(&queue, &ops[i],
				 flash_model_transfer(model, STORAGE_READ, offset, PAGE, 0));
	}
	while ((now_ns = flash_queue_next_ns(&queue)) <= run_ns) {
		uint64_t offset;

		op = flash_queue_pop(&queue, now_ns);
		assert_non_null(op);
		assert_int_equal(op->due_ns, now_ns);
		cnt++;
		offset = load_next(load, (unsigned)(op - ops) / load->depth);
		flash_queue_push(&queue, op,
				 flash_model_transfer(model, STORAGE_READ, offset, PAGE, now_ns));
	}
	flash_queue_fini(&queue);
	free(ops);
	return cnt;
}

/* The model's limit, channels / read-us, is reached when every lane has work, and never passed. */
static void test_saturation(void **state)
{
	const uint64_t limit = 32 * (NS_PER_S / READ_NS); /* of one second */
	struct load load = {.queue_cnt = 8, .depth = 32, .sequential = true};
	struct flash_model model = model_of(32);
	uint64_t cnt;

	(void)state;
	assert_int_equal(limit, 400000);
	for (unsigned i = 0; i < 8; i++)
		load.offset_bytes[i] = i * 1000 * PAGE;
	assert_int_equal(load_run(&model, &load, NS_PER_S), limit);
	flash_model_fini(&model);

	model = model_of(32);
	load = (struct load){.queue_cnt = 1, .depth = 1, .sequential = true};
	assert_int_equal(load_run(&model, &load, NS_PER_S), NS_PER_S / READ_NS);
	flash_model_fini(&model);

	/* One lane: depth makes a line, not speed. */
	model = model_of(1);
	load = (struct load){.queue_cnt = 8, .depth = 32, .seed = 3};
	assert_int_equal(load_run(&model, &load, NS_PER_S), NS_PER_S / READ_NS);
	flash_model_fini(&model);

	/* Chance leaves some lanes idle while others have a line: what the manual page says. */
	model = model_of(32);
	load = (struct load){.queue_cnt = 8, .depth = 32, .seed = 3};
	cnt = load_run(&model, &load, NS_PER_S);
	print_message("random, 256 in flight on 32 channels: %llu of %llu\n",
		      (unsigned long long)cnt, (unsigned long long)limit);
	assert_in_range(cnt, limit * 93 / 100, limit * 95 / 100);
	flash_model_fini(&model);
}

#define MODEL_OPS 512u

static void test_queue_order(void **state)
{
	static struct storage_op ops[MODEL_OPS];
	static uint64_t order[MODEL_OPS];
	static uint32_t lane[MODEL_OPS];
	static bool waiting[MODEL_OPS];
	uint64_t next_order = 0, seed = 99, now_ns = 0;
	struct flash_model model = model_of(9);
	struct flash_queue queue;

	(void)state;
	assert_int_equal(flash_queue_init(&queue, 9), 0);
	assert_int_equal(flash_queue_next_ns(&queue), FLASH_NEVER_NS);
	assert_null(flash_queue_pop(&queue, UINT64_MAX));
	for (unsigned step = 0; step < 100000; step++) {
		unsigned i = (unsigned)(random_u64(&seed) % MODEL_OPS);
		uint64_t first_ns = FLASH_NEVER_NS;
		struct storage_op *op;

		if (!waiting[i]) {
			struct flash_due due =
				random_u64(&seed) % 16 == 0
					? flash_model_flush(&model)
					: flash_model_transfer(&model, STORAGE_READ,
							       random_u64(&seed) % 512 * PAGE,
							       (1 + random_u64(&seed) % 4) * PAGE,
							       now_ns);

			flash_queue_push(&queue, &ops[i], due);
			waiting[i] = true;
			lane[i] = due.lane_idx;
			order[i] = next_order++;
		}
		now_ns += random_u64(&seed) % (READ_NS / 2);
		for (unsigned j = 0; j < MODEL_OPS; j++) {
			if (waiting[j] && ops[j].due_ns < first_ns)
				first_ns = ops[j].due_ns;
		}
		assert_int_equal(flash_queue_next_ns(&queue), first_ns);
		op = flash_queue_pop(&queue, now_ns);
		if (first_ns > now_ns) {
			assert_null(op);
			continue;
		}
		assert_non_null(op);
		assert_int_equal(op->due_ns, first_ns);
		i = (unsigned)(op - ops);
		assert_true(waiting[i]);
		waiting[i] = false;
		/* Nothing on its lane was accepted before it. */
		for (unsigned j = 0; j < MODEL_OPS; j++)
			assert_false(waiting[j] && lane[j] == lane[i] && order[j] < order[i]);
	}
	flash_queue_fini(&queue);
	flash_model_fini(&model);
}

#define TAKERS 4u
#define TAKES 1000000u

static pthread_barrier_t takers_ready;

static void *take_lanes(void *arg)
{
	const struct flash_model *model = arg;

	pthread_barrier_wait(&takers_ready);
	for (unsigned i = 0; i < TAKES; i++)
		flash_model_transfer(model, STORAGE_READ, i % 2 * PAGE, 2 * PAGE, 0);
	return NULL;
}

/* Workers that take the same lanes at once: each gets a time of its own. */
static void test_lanes_are_shared(void **state)
{
	struct flash_model model = model_of(3);
	pthread_t threads[TAKERS];

	(void)state;
	pthread_barrier_init(&takers_ready, NULL, TAKERS);
	for (unsigned i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_lanes, &model), 0);
	for (unsigned i = 0; i < TAKERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&takers_ready);
	assert_int_equal(model.lanes[0].busy_until_ns, TAKERS * TAKES / 2 * READ_NS);
	assert_int_equal(model.lanes[1].busy_until_ns, TAKERS * TAKES * READ_NS);
	assert_int_equal(model.lanes[2].busy_until_ns, TAKERS * TAKES / 2 * READ_NS);
	flash_model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_transfer_is_its_pages),
		cmocka_unit_test(test_flush),
		cmocka_unit_test(test_end_of_time),
		cmocka_unit_test(test_saturation),
		cmocka_unit_test(test_queue_order),
		cmocka_unit_test(test_lanes_are_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
