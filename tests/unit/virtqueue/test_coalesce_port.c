/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's decision as values in and values out: a rule, a test.
 * Not guests and traffic (test_coalesce_port_sim.c), not what a queue makes of it
 * (test_hold_port.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "virtqueue/coalesce_port.h"

#define US 1000ull
#define MS 1000000ull
#define S 1000000000ull
#define T0 (1000 * S)
#define PLENTY 4096u

/* A queue, its clock, and the driver. */
struct port {
	struct coalesce_config config;
	struct coalesce_port_state state;
	struct coalesce_port_input input;
};

static void port_init(struct port *port, enum coalesce_mode mode, uint32_t packets, uint32_t usecs)
{
	*port = (struct port){
		.config = {.mode = mode, .packets = packets, .usecs = usecs},
		.input = {.now_ns = T0,
			  .size = PLENTY,
			  .free_cnt = PLENTY,
			  .sent_known = true,
			  .receive = true},
	};
}

/* cnt frames at that time, a buffer each; 0: the owner looks. */
static enum coalesce_verdict at(struct port *port, uint64_t now_ns, unsigned cnt)
{
	enum coalesce_verdict verdict;

	port->input.now_ns = now_ns;
	port->input.new_cnt = cnt;
	port->input.new_bytes = cnt * 60;
	port->input.used_cnt += cnt;
	port->input.asks = coalesce_port_asks(&port->config, &port->state, now_ns);
	verdict = coalesce_decide_port(&port->config, &port->state, &port->input);
	if (verdict != COALESCE_HOLD) {
		port->input.used_cnt = 0;
		coalesce_port_called(&port->state, true);
		assert_int_equal(port->state.due_ns, 0);
	} else {
		assert_true(port->state.due_ns != 0);
	}
	return verdict;
}

static void configure(struct port *port, enum coalesce_mode mode, uint32_t packets, uint32_t usecs)
{
	port->config.mode = mode;
	port->config.packets = packets;
	port->config.usecs = usecs;
	coalesce_port_configured(&port->config, &port->state, port->input.receive);
}

/* Frames at an even distance, one at a time, with the looks that a held call asks for. */
static uint64_t stream(struct port *port, uint64_t from_ns, uint64_t gap_ns, unsigned cnt,
		       uint64_t *verdicts)
{
	for (unsigned i = 0; i < cnt; i++, from_ns += gap_ns) {
		while (port->state.due_ns && port->state.due_ns < from_ns)
			verdicts[at(port, port->state.due_ns, 0)]++;
		verdicts[at(port, from_ns, 1)]++;
	}
	return from_ns;
}

/* ---- static ---- */

static void test_static_counts_from_the_first_since_the_last_call(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, 10, 50);
	assert_int_equal(at(&port, T0, 1), COALESCE_HOLD);
	assert_int_equal(port.state.due_ns, T0 + 50 * US);
	assert_int_equal(at(&port, T0 + 20 * US, 8), COALESCE_HOLD);
	assert_int_equal(port.state.due_ns, T0 + 50 * US);
	/* By number. */
	assert_int_equal(at(&port, T0 + 30 * US, 1), COALESCE_DUE_PACKETS);
	/* By time, which begins again with the first after that. */
	assert_int_equal(at(&port, T0 + 300 * US, 2), COALESCE_HOLD);
	assert_int_equal(port.state.due_ns, T0 + 350 * US);
	assert_int_equal(at(&port, T0 + 350 * US - 1, 0), COALESCE_HOLD);
	assert_int_equal(at(&port, T0 + 350 * US, 0), COALESCE_DUE_DEADLINE);
	/* A burst of more. */
	assert_int_equal(at(&port, T0 + 400 * US, 32), COALESCE_DUE_PACKETS);
}

static void test_static_zero_is_every_frame(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, 0, 50);
	assert_int_equal(at(&port, T0, 1), COALESCE_DUE_PACKETS);
	port_init(&port, COALESCE_STATIC, 1, 50);
	assert_int_equal(at(&port, T0, 1), COALESCE_DUE_PACKETS);
	port_init(&port, COALESCE_STATIC, 10, 0);
	assert_int_equal(at(&port, T0, 1), COALESCE_DUE_DEADLINE);
	port_init(&port, COALESCE_STATIC, 0, 0);
	assert_int_equal(at(&port, T0, 1), COALESCE_DUE_PACKETS);
}

static void test_static_largest_bounds(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, UINT32_MAX, UINT32_MAX);
	assert_int_equal(at(&port, T0, 1), COALESCE_HOLD);
	assert_int_equal(port.state.due_ns, T0 + UINT32_MAX * US);
	assert_int_equal(at(&port, T0 + UINT32_MAX * US - 1, 0), COALESCE_HOLD);
	assert_int_equal(at(&port, T0 + UINT32_MAX * US, 0), COALESCE_DUE_DEADLINE);
}

/* Ten are held: a bound of 8 fires at once, one of 11 goes on with the same count and time. */
static void test_static_bounds_that_change_are_looked_at_at_once(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, 20, 100);
	assert_int_equal(at(&port, T0, 10), COALESCE_HOLD);
	configure(&port, COALESCE_STATIC, 8, 100);
	assert_true(port.state.due_ns != 0 && port.state.due_ns <= T0);
	assert_int_equal(at(&port, T0 + 1, 0), COALESCE_DUE_PACKETS);

	port_init(&port, COALESCE_STATIC, 20, 100);
	assert_int_equal(at(&port, T0, 10), COALESCE_HOLD);
	configure(&port, COALESCE_STATIC, 11, 60);
	assert_int_equal(at(&port, T0 + 10 * US, 0), COALESCE_HOLD);
	assert_int_equal(port.state.due_ns, T0 + 60 * US);
	assert_int_equal(at(&port, T0 + 20 * US, 1), COALESCE_DUE_PACKETS);

	port_init(&port, COALESCE_STATIC, 20, 100);
	assert_int_equal(at(&port, T0, 10), COALESCE_HOLD);
	configure(&port, COALESCE_STATIC, 20, 5);
	assert_int_equal(at(&port, T0 + 10 * US, 0), COALESCE_DUE_DEADLINE);

	/* Nothing is held: nothing is looked at. */
	configure(&port, COALESCE_STATIC, 2, 5);
	assert_int_equal(port.state.due_ns, 0);
}

static void test_static_is_not_for_quiet_or_answers(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, 10, 1000);
	for (unsigned i = 0; i < 10; i++) {
		const uint64_t now_ns = T0 + i * 10 * MS;

		port.input.sent_cnt++;
		assert_int_equal(at(&port, now_ns, 1), COALESCE_HOLD);
		assert_int_equal(at(&port, now_ns + 1000 * US - 1, 0), COALESCE_HOLD);
		assert_int_equal(at(&port, now_ns + 1000 * US, 0), COALESCE_DUE_DEADLINE);
	}
}

/* ---- buffers ---- */

static void test_a_quarter_while_refills_are_not_known(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, 1000, 1000);
	port.input.free_cnt = 39;
	assert_int_equal(at(&port, T0, 1), COALESCE_HOLD); /* 40 were there */
	assert_int_equal(at(&port, T0, 9), COALESCE_HOLD);
	assert_int_equal(at(&port, T0, 1), COALESCE_DUE_BUFFERS);
	port.input.free_cnt = 0;
	assert_int_equal(at(&port, T0, 1), COALESCE_DUE_BUFFERS);
}

/* What came between a call and new buffers, and the redundancy. */
static void test_buffers_by_refills(void **state)
{
	struct port port;

	(void)state;
	port_init(&port, COALESCE_STATIC, 1000, 1000);
	port.input.free_cnt = 30;
	assert_int_equal(at(&port, T0, 60), COALESCE_DUE_BUFFERS);
	/* Ten more have come when the driver has posted 70. */
	port.input.free_cnt = 90;
	assert_int_equal(at(&port, T0 + 10 * US, 10), COALESCE_HOLD);
	/* Of 100: by 6/5, less 10. */
	assert_int_equal(port.state.budget_cnt, 83 - 10);
	assert_int_equal(at(&port, T0 + 20 * US, 63), COALESCE_HOLD);
	assert_int_equal(at(&port, T0 + 20 * US, 1), COALESCE_DUE_BUFFERS);
	/* Nothing was posted since: the rest is what there is. */
	port.input.free_cnt = 25;
	assert_int_equal(at(&port, T0 + 30 * US, 1), COALESCE_HOLD);
	assert_int_equal(port.state.budget_cnt, 26 * 5 / 6 - 10);
}

/* ---- adaptive ---- */

static void adaptive(struct port *port)
{
	port_init(port, COALESCE_ADAPTIVE, 256, 500);
}

static void test_target_is_the_root_law(void **state)
{
	static const struct {
		uint64_t gap_ns;
		unsigned frames_min, frames_max; /* that its hold time is */
	} rows[] = {{20 * US, 18, 20}, {10 * US, 26, 27}, {1 * US, 29, 31}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
		uint32_t packets, usecs;
		struct port port;

		adaptive(&port);
		stream(&port, T0, rows[i].gap_ns, (unsigned)(9 * MS / rows[i].gap_ns), verdicts);
		assert_int_equal(port.state.search.level, 0);
		assert_in_range(port.state.hold_ns / rows[i].gap_ns, rows[i].frames_min,
				rows[i].frames_max);
		coalesce_port_target(&port.config, &port.state, &packets, &usecs);
		assert_int_equal(usecs, port.state.hold_ns / US);
		assert_in_range(packets, 2 * rows[i].frames_min - 2, 2 * rows[i].frames_max + 2);
		assert_true(verdicts[COALESCE_DUE_DEADLINE] > 0);
		assert_int_equal(verdicts[COALESCE_DUE_QUIET], 0);
	}
}

static void test_target_within_the_bounds(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;
	uint64_t now_ns;

	(void)state;
	adaptive(&port);
	now_ns = stream(&port, T0, 10 * US, 1000, verdicts);
	/* 190 us by the law; the hold ends one distance of bursts before usecs. */
	configure(&port, COALESCE_ADAPTIVE, 256, 100);
	assert_in_range(port.state.hold_ns, 89 * US, 91 * US);
	now_ns = stream(&port, now_ns, 10 * US, 1000, verdicts);
	assert_in_range(port.state.hold_ns, 89 * US, 91 * US);
	/* And by number. */
	configure(&port, COALESCE_ADAPTIVE, 4, 500);
	verdicts[COALESCE_DUE_DEADLINE] = verdicts[COALESCE_DUE_PACKETS] = 0;
	now_ns = stream(&port, now_ns, 10 * US, 1000, verdicts);
	assert_in_range(verdicts[COALESCE_DUE_PACKETS], 249, 251);
	assert_true(verdicts[COALESCE_DUE_DEADLINE] <= 1);
	/* Not at all. */
	configure(&port, COALESCE_ADAPTIVE, 256, 0);
	assert_int_equal(at(&port, now_ns, 1) == COALESCE_HOLD, false);
	assert_int_equal(at(&port, now_ns, 1), COALESCE_DUE_RATE);
}

static void test_nothing_is_held_below_a_rate(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;

	(void)state;
	adaptive(&port);
	stream(&port, T0, 400 * US, 2000, verdicts);
	assert_int_equal(verdicts[COALESCE_HOLD], 0);
	assert_int_equal(verdicts[COALESCE_DUE_RATE] + verdicts[COALESCE_DUE_ANSWERS], 2000);
}

/* Batches come slower than calls would: each is called for. */
static void test_batches_from_below_have_their_calls(void **state)
{
	struct port port;

	(void)state;
	adaptive(&port);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_not_equal(at(&port, T0 + i * 250 * US, 32), COALESCE_HOLD);
	/* Faster than that, several share one. */
	for (unsigned i = 0; i < 1000; i++)
		(void)at(&port, T0 + S / 2 + i * 20 * US, 8);
	assert_true(port.state.hold_ns > 0);
}

/* The hold would end before the next batch: so it ends with this one. */
static void test_a_hold_ends_with_a_batch(void **state)
{
	unsigned calls = 0, looks = 0;
	struct port port;

	(void)state;
	adaptive(&port);
	for (unsigned i = 0; i < 2000; i++) {
		const uint64_t now_ns = T0 + i * 80 * US;

		if (port.state.due_ns && port.state.due_ns < now_ns)
			looks += at(&port, port.state.due_ns, 0) != COALESCE_HOLD;
		calls += at(&port, now_ns, 10) != COALESCE_HOLD;
	}
	/* 240 us of 80 us each: three batches share a call, and nobody looks at the clock. */
	assert_in_range(port.state.hold_ns, 161 * US, 240 * US + 80 * US);
	assert_in_range(calls, 500, 1000);
	assert_int_equal(looks, 0);
}

/* It waits for frames that do not come: not to the end. */
static void test_quiet_ends_a_hold(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;
	uint64_t now_ns;

	(void)state;
	adaptive(&port);
	now_ns = stream(&port, T0, 10 * US, 2000, verdicts);
	while (at(&port, now_ns, 1) == COALESCE_HOLD)
		now_ns += 10 * US;
	now_ns += 10 * US;
	assert_int_equal(at(&port, now_ns, 1), COALESCE_HOLD);
	assert_in_range(port.state.due_ns, now_ns + 50 * US, now_ns + 70 * US);
	assert_int_equal(at(&port, port.state.due_ns - 1, 0), COALESCE_HOLD);
	assert_int_equal(at(&port, port.state.due_ns, 0), COALESCE_DUE_QUIET);
}

/* A guest that answers is never held up, and one that stops doing so is found out in an epoch. */
static void test_answers(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;
	uint64_t now_ns = T0;

	(void)state;
	adaptive(&port);
	for (unsigned i = 0; i < 5000; i++, now_ns += 50 * US) {
		port.input.sent_cnt++;
		assert_int_not_equal(at(&port, now_ns, 1), COALESCE_HOLD);
	}
	assert_int_equal(at(&port, now_ns, 1), COALESCE_DUE_ANSWERS);
	now_ns = stream(&port, now_ns + 10 * US, 10 * US, 1000, verdicts);
	assert_true(verdicts[COALESCE_HOLD] > 500);
}

/*
 * Somebody waits for what is held, and nobody counts the answers: each hold is barren, and the next
 * is tried after twice as many bursts.
 */
static void test_barren_holds_become_rare(void **state)
{
	unsigned skipped = 0, holds = 0;
	unsigned before = 0;
	struct port port;
	uint64_t now_ns = T0;

	(void)state;
	adaptive(&port);
	port.input.sent_known = false;
	for (unsigned i = 0; i < 20000; i++) {
		enum coalesce_verdict verdict = at(&port, now_ns, 1);

		skipped += verdict == COALESCE_DUE_BARREN;
		if (verdict == COALESCE_HOLD) {
			holds++;
			if (holds > 2)
				assert_true(skipped - before >= 2 * COALESCE_SKIP_MIN);
			before = skipped;
			now_ns = port.state.due_ns;
			assert_int_equal(at(&port, now_ns, 0), COALESCE_DUE_QUIET);
		}
		now_ns += 50 * US;
	}
	assert_in_range(holds, 5, 10);
}

/* Experience with fruitful holds outlasts one barren one. */
static void test_one_barren_hold_of_many_is_forgiven(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;
	uint64_t now_ns;

	(void)state;
	adaptive(&port);
	now_ns = stream(&port, T0, 10 * US, 5000, verdicts);
	while (at(&port, now_ns, 1) == COALESCE_HOLD)
		now_ns += 10 * US;
	now_ns += 10 * US;
	assert_int_equal(at(&port, now_ns, 1), COALESCE_HOLD);
	assert_int_equal(at(&port, port.state.due_ns, 0), COALESCE_DUE_QUIET);
	assert_int_equal(at(&port, now_ns + 100 * US, 1), COALESCE_HOLD);
}

/* Few buffers of a large ring: nothing is held. */
static void test_scarce_buffers(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;
	uint64_t now_ns;

	(void)state;
	adaptive(&port);
	now_ns = stream(&port, T0, 10 * US, 5000, verdicts);
	assert_int_equal(verdicts[COALESCE_DUE_BUFFERS], 0);
	port.input.free_cnt = COALESCE_RESERVE_CNT;
	while (at(&port, now_ns, 1) == COALESCE_HOLD)
		now_ns += 10 * US;
	assert_int_equal(at(&port, now_ns + 10 * US, 1), COALESCE_DUE_BUFFERS);
	/* Not at once again when there are more: it may come back. */
	port.input.free_cnt = PLENTY;
	assert_int_equal(at(&port, now_ns + 20 * US, 1), COALESCE_DUE_BUFFERS);
	verdicts[COALESCE_HOLD] = 0;
	stream(&port, now_ns + 30 * US, 10 * US, 2 * COALESCE_LOW_NS / (10 * US) + 1000, verdicts);
	assert_true(verdicts[COALESCE_HOLD] > 500);
}

/* ---- transmit ---- */

static void test_transmit(void **state)
{
	uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
	struct port port;
	uint64_t now_ns;

	(void)state;
	adaptive(&port);
	port.input.receive = false;
	port.input.size = 256;
	now_ns = stream(&port, T0, 5 * US, 5000, verdicts);
	/* By time, which is shorter, and not by the law. */
	assert_int_equal(port.state.hold_ns, COALESCE_TX_USECS * US);
	assert_true(verdicts[COALESCE_DUE_DEADLINE] > 100);
	/* Never more than a share of the ring. */
	now_ns = stream(&port, now_ns, 500, 20000, verdicts);
	assert_true(verdicts[COALESCE_DUE_BUFFERS] > 100);
	/* A driver that waits for its completions. */
	for (unsigned i = 0; i < 3; i++) {
		while (at(&port, now_ns, 1) == COALESCE_HOLD)
			now_ns += 500;
		now_ns += 500;
		if (at(&port, now_ns, 1) == COALESCE_HOLD)
			assert_int_equal(at(&port, port.state.due_ns, 0), COALESCE_DUE_QUIET);
		now_ns += 30 * US;
	}
	assert_int_equal(at(&port, now_ns, 1), COALESCE_DUE_BARREN);
}

/* ---- clocks ---- */

/* A clock that goes back or jumps makes a call due, and nothing else. */
static void test_clock_jumps(void **state)
{
	static const int64_t jumps[] = {-1, -(int64_t)(1 * MS), -(int64_t)(900 * S),
					(int64_t)(1 * S), (int64_t)(1000000 * S)};

	(void)state;
	for (unsigned mode = COALESCE_STATIC; mode < COALESCE_MODE_MAX_; mode++) {
		for (unsigned i = 0; i < ARRAY_LEN(jumps); i++) {
			uint64_t verdicts[COALESCE_VERDICT_MAX_] = {0};
			struct port port;
			uint64_t now_ns;

			port_init(&port, mode, 256, 500);
			now_ns = stream(&port, T0, 10 * US, 5000, verdicts);
			while (at(&port, now_ns, 1) == COALESCE_HOLD)
				now_ns += 10 * US;
			now_ns += 10 * US;
			assert_int_equal(at(&port, now_ns, 1), COALESCE_HOLD);
			now_ns += (uint64_t)jumps[i];
			assert_int_not_equal(at(&port, now_ns, 0), COALESCE_HOLD);
			/* It goes on as before, after a while. */
			now_ns = stream(&port, now_ns, 10 * US, 20000, verdicts);
			verdicts[COALESCE_HOLD] = 0;
			stream(&port, now_ns, 10 * US, 1000, verdicts);
			assert_true(verdicts[COALESCE_HOLD] > 800);
		}
	}
}

/* ---- names, the search ---- */

static void test_verdict_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COALESCE_VERDICT_MAX_; i++)
		assert_non_null(coalesce_verdict_name(i));
	assert_string_equal(coalesce_verdict_name(COALESCE_DUE_BUFFERS), "buffers");
	assert_null(coalesce_verdict_name(COALESCE_VERDICT_MAX_));
}

/* What a level is like, by a function of it. */
static int search(struct coalesce_search *s, uint64_t rate,
		  void (*like)(int level, struct coalesce_sample *sample), unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		struct coalesce_sample sample = {.rate = rate};

		like(s->level, &sample);
		coalesce_search_step(s, &sample);
		assert_in_range(s->level + 1, COALESCE_LEVEL_MIN + 1, COALESCE_LEVEL_MAX + 1);
	}
	return s->level;
}

static void like_more_bytes(int level, struct coalesce_sample *sample)
{
	sample->bytes = 1000000 << (level + 1);
	sample->cost_ns = 1000 << (level + 1);
}

static void like_cheaper(int level, struct coalesce_sample *sample)
{
	sample->bytes = 1000000;
	sample->cost_ns = 100000 >> (level + 1);
}

static void like_dearer(int level, struct coalesce_sample *sample)
{
	sample->bytes = 1000000;
	sample->cost_ns = 1000 << (level + 1);
}

static void like_all_the_same(int level, struct coalesce_sample *sample)
{
	sample->bytes = 1000000 + (uint64_t)level;
	sample->cost_ns = 1000 + (uint64_t)level;
}

static void test_search(void **state)
{
	struct coalesce_search s;

	(void)state;
	/* Throughput first, then what it costs, waits included. */
	s = (struct coalesce_search){0};
	assert_int_equal(search(&s, 1000, like_more_bytes, 20), COALESCE_LEVEL_MAX);
	s = (struct coalesce_search){0};
	assert_int_equal(search(&s, 1000, like_cheaper, 20), COALESCE_LEVEL_MAX);
	s = (struct coalesce_search){0};
	assert_int_equal(search(&s, 1000, like_dearer, 20), COALESCE_LEVEL_MIN);
	/* Nothing in it: where it was, and it stays. */
	s = (struct coalesce_search){0};
	assert_int_equal(search(&s, 1000, like_all_the_same, 20), 0);
	assert_true(s.parked);
	/* Other traffic makes it begin again; a little more of it does not. */
	assert_int_equal(search(&s, 1050, like_cheaper, 20), 0);
	assert_int_equal(search(&s, 2000, like_cheaper, 20), COALESCE_LEVEL_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static_counts_from_the_first_since_the_last_call),
		cmocka_unit_test(test_static_zero_is_every_frame),
		cmocka_unit_test(test_static_largest_bounds),
		cmocka_unit_test(test_static_bounds_that_change_are_looked_at_at_once),
		cmocka_unit_test(test_static_is_not_for_quiet_or_answers),
		cmocka_unit_test(test_a_quarter_while_refills_are_not_known),
		cmocka_unit_test(test_buffers_by_refills),
		cmocka_unit_test(test_target_is_the_root_law),
		cmocka_unit_test(test_target_within_the_bounds),
		cmocka_unit_test(test_nothing_is_held_below_a_rate),
		cmocka_unit_test(test_batches_from_below_have_their_calls),
		cmocka_unit_test(test_a_hold_ends_with_a_batch),
		cmocka_unit_test(test_quiet_ends_a_hold),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_barren_holds_become_rare),
		cmocka_unit_test(test_one_barren_hold_of_many_is_forgiven),
		cmocka_unit_test(test_scarce_buffers),
		cmocka_unit_test(test_transmit),
		cmocka_unit_test(test_clock_jumps),
		cmocka_unit_test(test_verdict_names),
		cmocka_unit_test(test_search),
	};

	return cmocka_run_group_tests_name("a port's decision", tests, NULL, NULL);
}
