/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coalescer's decision as values in and values out: bounds, guard, rate, ratio, deadline.
 * Not what a queue makes of it (test_hold.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/compiler.h"
#include "virtqueue/coalesce.h"

#define US 1000u
#define MS 1000000u
#define T0 (1000u * MS)

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(coalesce_mode_name(COALESCE_OFF), "off");
	assert_string_equal(coalesce_mode_name(COALESCE_STATIC), "static");
	assert_string_equal(coalesce_mode_name(COALESCE_ADAPTIVE), "adaptive");
	assert_null(coalesce_mode_name(COALESCE_MODE_MAX_));
}

/* One step of a story: what comes in, and what is to come out. */
struct step {
	uint64_t now_ns;
	uint64_t new_cnt;
	uint32_t in_flight;
	enum coalesce_verdict verdict;
	uint64_t due_ns; /* after it; a call clears it */
};

static void play(const struct coalesce_config *config, struct coalesce_state *state,
		 const struct step *steps, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		const struct coalesce_disk_input input = {steps[i].now_ns, steps[i].new_cnt,
							  steps[i].in_flight};
		const enum coalesce_verdict verdict = coalesce_decide_disk(config, state, &input);

		if (verdict != steps[i].verdict)
			fail_msg("step %u: verdict %d instead of %d", i, verdict, steps[i].verdict);
		if (verdict != COALESCE_HOLD)
			coalesce_called(state);
		if (state->due_ns != steps[i].due_ns)
			fail_msg("step %u: due at %llu", i, (unsigned long long)state->due_ns);
	}
}

#define PLAY(config, state, steps) play(config, state, steps, ARRAY_LEN(steps))

static void test_static(void **state)
{
	static const struct coalesce_config config = {COALESCE_STATIC, 8, 50, false};
	static const struct step steps[] = {
		/* alone */
		{T0, 1, 0, COALESCE_DUE_IN_FLIGHT, 0},
		/* one is enough to hold for, and the deadline is the first one's */
		{T0, 3, 1, COALESCE_HOLD, T0 + 50 * US},
		{T0 + 20 * US, 4, 1, COALESCE_HOLD, T0 + 50 * US},
		{T0 + 49 * US, 0, 1, COALESCE_HOLD, T0 + 50 * US},
		{T0 + 49 * US, 1, 1, COALESCE_DUE_PACKETS, 0},
		/* time, with and without a completion */
		{T0 + 60 * US, 1, 9, COALESCE_HOLD, T0 + 110 * US},
		{T0 + 110 * US - 1, 1, 9, COALESCE_HOLD, T0 + 110 * US},
		{T0 + 110 * US, 0, 9, COALESCE_DUE_DEADLINE, 0},
		{T0 + 120 * US, 7, 9, COALESCE_HOLD, T0 + 170 * US},
		{T0 + 300 * US, 0, 9, COALESCE_DUE_DEADLINE, 0},
		/* the last one takes the held ones along */
		{T0 + 301 * US, 2, 3, COALESCE_HOLD, T0 + 351 * US},
		{T0 + 302 * US, 3, 0, COALESCE_DUE_IN_FLIGHT, 0},
		/* a burst of more than packets */
		{T0 + 303 * US, 100, 28, COALESCE_DUE_PACKETS, 0},
		{T0 + 304 * US, 7, 28, COALESCE_HOLD, T0 + 354 * US},
	};
	struct coalesce_state s = {0};

	(void)state;
	PLAY(&config, &s, steps);
}

/* The ends of the bounds. */
static void test_bounds(void **state)
{
	static const struct step no_packets[] = {{T0, 1, 9, COALESCE_DUE_PACKETS, 0}};
	static const struct step no_time[] = {{T0, 1, 64, COALESCE_DUE_DEADLINE, 0}};
	static const struct step most[] = {
		{T0, UINT32_MAX - 1u, 9, COALESCE_HOLD, T0 + (uint64_t)UINT32_MAX * US},
		{T0 + (uint64_t)UINT32_MAX * US - 1, 0, 9, COALESCE_HOLD,
		 T0 + (uint64_t)UINT32_MAX * US},
		{T0 + (uint64_t)UINT32_MAX * US - 1, 1, 9, COALESCE_DUE_PACKETS, 0},
	};

	(void)state;
	for (unsigned packets = 0; packets < 2; packets++) {
		const struct coalesce_config config = {COALESCE_STATIC, packets, 50, false};
		struct coalesce_state s = {0};

		PLAY(&config, &s, no_packets);
	}
	for (unsigned mode = COALESCE_STATIC; mode < COALESCE_MODE_MAX_; mode++) {
		const struct coalesce_config config = {(enum coalesce_mode)mode, 8, 0, false};
		struct coalesce_state s = {.fast = true, .turn = 1, .epoch_ns = T0};

		PLAY(&config, &s, no_time);
	}
	{
		const struct coalesce_config config = {COALESCE_STATIC, UINT32_MAX, UINT32_MAX,
						       false};
		struct coalesce_state s = {0};

		PLAY(&config, &s, most);
	}
}

struct ratio_row {
	uint32_t in_flight, up, skip;
};

static void test_ratio(void **state)
{
	static const struct ratio_row rows[] = {
		{4, 4, 5},    {7, 4, 5},    {8, 3, 4},        {11, 3, 4},
		{12, 2, 3},   {15, 2, 3},   {16, 1, 2},       {23, 1, 2},
		{24, 1, 3},   {31, 1, 3},   {32, 1, 4},       {64, 1, 8},
		{128, 1, 16}, {256, 1, 32}, {32768, 1, 4096}, {UINT32_MAX, 1, UINT32_MAX / 8},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct coalesce_ratio ratio = coalesce_ratio(rows[i].in_flight);

		assert_int_equal(ratio.up, rows[i].up);
		assert_int_equal(ratio.skip, rows[i].skip);
	}
}

/* The paper's step, for one completion. */
static bool deliver_one(uint32_t up, uint32_t skip, uint32_t *counter)
{
	if (*counter < up) {
		(*counter)++;
		return true;
	}
	if (*counter >= skip) {
		*counter = 1;
		return true;
	}
	(*counter)++;
	return false;
}

/* Bursts against single steps, from every position of the counter, and from beyond its end. */
static void test_turn_is_the_paper(void **state)
{
	(void)state;
	for (uint32_t in_flight = 4; in_flight < 200; in_flight += 3) {
		const struct coalesce_ratio ratio = coalesce_ratio(in_flight);

		for (uint32_t at = 1; at <= ratio.skip + 3; at++) {
			for (unsigned cnt = 1; cnt <= 2 * ratio.skip + 1; cnt++) {
				uint32_t turn = at, counter = at;
				bool deliver = false;

				for (unsigned i = 0; i < cnt; i++)
					deliver |= deliver_one(ratio.up, ratio.skip, &counter);
				assert_int_equal(coalesce_turn(ratio, &turn, cnt), deliver);
				assert_int_equal(turn, counter);
			}
		}
	}
	for (uint32_t at = 0; at < 2; at++) {
		uint32_t turn = at;

		assert_false(coalesce_turn(coalesce_ratio(64), &turn, 7));
		assert_true(coalesce_turn(coalesce_ratio(64), &turn, 1));
		assert_int_equal(turn, 1);
		assert_true(coalesce_turn(coalesce_ratio(64), &turn, UINT64_MAX / 2));
	}
}

/* Of 1000 single completions, the share that is to be delivered. */
static void test_ratio_in_the_long_run(void **state)
{
	static const struct {
		uint32_t in_flight;
		unsigned calls;
	} rows[] = {{1, 1000}, {3, 1000}, {4, 800}, {8, 750}, {12, 667}, {16, 500}, {80, 100}};
	static const struct coalesce_config config = {COALESCE_ADAPTIVE, 1000, 1000000, false};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct coalesce_state s = {.fast = true, .epoch_ns = T0};
		unsigned calls = 0;

		for (unsigned k = 0; k < 1000; k++) {
			const struct coalesce_disk_input input = {T0 + k, 1, rows[i].in_flight};

			if (coalesce_decide_disk(&config, &s, &input) == COALESCE_HOLD)
				continue;
			coalesce_called(&s);
			calls++;
		}
		assert_in_range(calls, rows[i].calls - 1, rows[i].calls + 1);
	}
}

static void test_adaptive(void **state)
{
	static const struct coalesce_config config = {COALESCE_ADAPTIVE, 6, 50, false};
	static const struct step steps[] = {
		{T0, 1, 3, COALESCE_DUE_IN_FLIGHT, 0},
		/* 64 in flight: one of eight, but six are the bound */
		{T0 + 1, 3, 64, COALESCE_HOLD, T0 + 1 + 50 * US},
		{T0 + 2, 3, 64, COALESCE_DUE_PACKETS, 0},
		{T0 + 3, 1, 64, COALESCE_HOLD, T0 + 3 + 50 * US},
		{T0 + 4, 1, 64, COALESCE_DUE_RATIO, 0},
		{T0 + 5, 1, 64, COALESCE_HOLD, T0 + 5 + 50 * US},
		/* looking again is no completion, and does not take its turn */
		{T0 + 6, 0, 64, COALESCE_HOLD, T0 + 5 + 50 * US},
		{T0 + 6, 0, 4, COALESCE_HOLD, T0 + 5 + 50 * US},
		{T0 + 5 + 50 * US, 0, 64, COALESCE_DUE_DEADLINE, 0},
		{T0 + 100 * US, 1, 64, COALESCE_HOLD, T0 + 150 * US},
		{T0 + 101 * US, 1, 3, COALESCE_DUE_IN_FLIGHT, 0},
		/* the guard began the ratio anew: one waits, of 4/5 the fifth */
		{T0 + 102 * US, 1, 4, COALESCE_DUE_RATIO, 0},
		{T0 + 102 * US, 1, 4, COALESCE_DUE_RATIO, 0},
		{T0 + 102 * US, 1, 4, COALESCE_DUE_RATIO, 0},
		{T0 + 102 * US, 1, 4, COALESCE_HOLD, T0 + 152 * US},
		{T0 + 103 * US, 2, 4, COALESCE_DUE_RATIO, 0},
	};
	struct coalesce_state s = {.fast = true, .epoch_ns = T0};

	(void)state;
	PLAY(&config, &s, steps);
}

/* cnt completions at now_ns with much in flight; what came of it. */
static enum coalesce_verdict many(struct coalesce_state *s, uint64_t now_ns, uint64_t cnt)
{
	static const struct coalesce_config config = {COALESCE_ADAPTIVE, UINT32_MAX, 1000, false};
	const struct coalesce_disk_input input = {now_ns, cnt, 8000};
	const enum coalesce_verdict verdict = coalesce_decide_disk(&config, s, &input);

	if (verdict != COALESCE_HOLD)
		coalesce_called(s);
	return verdict;
}

/* Below 2000 a second nothing waits; the rate is that of the epoch before. */
static void test_rate(void **state)
{
	struct coalesce_state s = {0};

	(void)state;
	/* At the start nothing is known. */
	assert_int_equal(many(&s, T0, 10), COALESCE_DUE_RATE);
	assert_int_equal(many(&s, T0 + 100 * MS, 398), COALESCE_DUE_RATE);
	assert_int_equal(many(&s, T0 + 200 * MS - 1, 1), COALESCE_DUE_RATE);
	/* 399 in 200 ms: not enough. */
	assert_int_equal(many(&s, T0 + 200 * MS, 0), COALESCE_DUE_RATE);
	assert_false(s.fast);
	assert_int_equal(many(&s, T0 + 300 * MS, 399), COALESCE_DUE_RATE);
	/* 400, with the one that ends the epoch. */
	assert_int_equal(many(&s, T0 + 400 * MS, 1), COALESCE_HOLD);
	assert_true(s.fast);
	/* An epoch that nobody ended is as long as it was: 1600 in 900 ms are too few. */
	assert_int_equal(many(&s, T0 + 1300 * MS, 1600), COALESCE_DUE_RATE);
	assert_int_equal(many(&s, T0 + 1400 * MS, 400), COALESCE_DUE_RATE);
	assert_int_not_equal(many(&s, T0 + 1500 * MS, 1), COALESCE_DUE_RATE);
	/* Idle for an hour, or a clock that went back: slow. */
	assert_int_equal(many(&s, T0 + 3600000ull * MS, 1), COALESCE_DUE_RATE);
	s.fast = true;
	assert_int_equal(many(&s, T0, 1), COALESCE_DUE_RATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_ratio),
		cmocka_unit_test(test_turn_is_the_paper),
		cmocka_unit_test(test_ratio_in_the_long_run),
		cmocka_unit_test(test_adaptive),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests_name("coalescer", tests, NULL, NULL);
}
