/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an adaptive poller learns from its gaps: the rule step by step, and where it comes to rest
 * under loads of a known shape. No worker, no clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "worker/window.h"

#define US 1000ull
#define MAX_NS (50 * US)

/* --- the rule --- */

struct step {
	const char *what;
	bool slept;
	struct poll_window from;
	uint64_t gap_ns;
	uint64_t max_ns;
	struct poll_window to;
};

#define W(window, spin, longest, cnt)                                              \
	{                                                                          \
		.window_ns = (window), .spin_ns = (spin), .longest_ns = (longest), \
		.long_cnt = (cnt)                                                  \
	}

static const struct step steps[] = {
	{"the first step", true, W(0, 0, 0, 3), 1, MAX_NS, W(4 * US, 4 * US, 0, 3)},
	{"doubles", true, W(4 * US, 4 * US, 0, 0), 5 * US, MAX_NS, W(8 * US, 8 * US, 0, 0)},
	{"one step at a time", true, W(4 * US, 4 * US, 0, 0), 49 * US, MAX_NS,
	 W(8 * US, 8 * US, 0, 0)},
	{"a gap of just the maximum is short", true, W(32 * US, 32 * US, 0, 0), MAX_NS, MAX_NS,
	 W(MAX_NS, MAX_NS, 0, 0)},
	{"at the maximum", true, W(MAX_NS, MAX_NS, 0, 0), MAX_NS, MAX_NS, W(MAX_NS, MAX_NS, 0, 0)},
	{"a gap of just the window was slept through", true, W(8 * US, 8 * US, 0, 0), 8 * US,
	 MAX_NS, W(16 * US, 16 * US, 0, 0)},
	{"a maximum below the first step", true, W(0, 0, 0, 0), 1 * US, 3 * US,
	 W(3 * US, 3 * US, 0, 0)},
	{"a maximum of nothing", true, W(0, 0, 0, 0), 1, 0, W(0, 0, 0, 1)},
	{"no overflow", true, W(UINT64_MAX / 2 + 1, 0, 0, 0), UINT64_MAX, UINT64_MAX,
	 W(UINT64_MAX, UINT64_MAX, 0, 0)},
	{"halved", true, W(MAX_NS, MAX_NS, 0, 0), MAX_NS + 1, MAX_NS, W(25 * US, 25 * US, 0, 1)},
	{"below the first step: nothing", true, W(7 * US, 7 * US, 0, 0), 60 * US, MAX_NS,
	 W(0, 0, 0, 1)},
	{"the first step can be reached", true, W(8 * US, 8 * US, 0, 0), 60 * US, MAX_NS,
	 W(4 * US, 4 * US, 0, 1)},
	{"stays 0", true, W(0, 0, 0, 0), 60 * US, MAX_NS, W(0, 0, 0, 1)},
	{"earning, so kept", true, W(16 * US, 16 * US, 8 * US + 1, 0), 60 * US, MAX_NS,
	 W(16 * US, 16 * US, 0, 1)},
	{"half would do", true, W(16 * US, 16 * US, 8 * US, 0), 60 * US, MAX_NS,
	 W(8 * US, 8 * US, 0, 1)},
	{"a probe", true, W(0, 0, 0, POLL_WINDOW_PROBE_GAPS - 1), 60 * US, MAX_NS,
	 W(0, MAX_NS, 0, 0)},
	{"the end of a probe", true, W(4 * US, 4 * US, 0, 0), 5 * US, MAX_NS,
	 W(8 * US, 8 * US, 0, 0)},
	{"met while spinning", false, W(16 * US, 16 * US, 3, 2), 9 * US, MAX_NS,
	 W(16 * US, 16 * US, 9 * US, 2)},
	{"met, but not the longest", false, W(16 * US, 16 * US, 9 * US, 2), 3, MAX_NS,
	 W(16 * US, 16 * US, 9 * US, 2)},
	{"met late, for the turn was long", false, W(16 * US, 16 * US, 0, 0), 30 * US, MAX_NS,
	 W(16 * US, 16 * US, 30 * US, 0)},
	{"met in a probe", false, W(0, MAX_NS, 0, 0), 20 * US, MAX_NS,
	 W(32 * US, MAX_NS, 20 * US, 0)},
	{"met in a probe, within the window", false, W(8 * US, MAX_NS, 0, 0), 8 * US, MAX_NS,
	 W(8 * US, MAX_NS, 8 * US, 0)},
	{"met beyond a probe", false, W(0, MAX_NS, 0, 0), 80 * US, MAX_NS,
	 W(MAX_NS, MAX_NS, 80 * US, 0)},
};

static void test_steps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		const struct step *step = &steps[i];
		const struct poll_window got =
			step->slept ? poll_window_slept(step->from, step->gap_ns, step->max_ns)
				    : poll_window_met(step->from, step->gap_ns, step->max_ns);

		if (got.window_ns != step->to.window_ns || got.spin_ns != step->to.spin_ns ||
		    got.longest_ns != step->to.longest_ns || got.long_cnt != step->to.long_cnt)
			fail_msg("%s: %llu %llu %llu %u", step->what,
				 (unsigned long long)got.window_ns, (unsigned long long)got.spin_ns,
				 (unsigned long long)got.longest_ns, got.long_cnt);
	}
}

static void test_start(void **state)
{
	const struct poll_window window = poll_window_start(MAX_NS);

	(void)state;
	assert_int_equal(window.window_ns, MAX_NS);
	assert_int_equal(window.spin_ns, MAX_NS);
	assert_int_equal(window.longest_ns, 0);
	assert_int_equal(window.long_cnt, 0);
}

/* --- loads --- */

/* A queue: gaps as they are, and what waking up adds to those that are slept through. */
struct load {
	struct poll_window window;
	uint64_t wake_ns;
	unsigned slept;
	uint64_t spun_ns; /* in vain */
};

static void load_gap(struct load *load, uint64_t gap_ns)
{
	if (gap_ns < load->window.spin_ns) {
		load->window = poll_window_met(load->window, gap_ns, MAX_NS);
		return;
	}
	load->slept++;
	load->spun_ns += load->window.spin_ns;
	load->window.spin_ns = load->window.window_ns;
	load->window = poll_window_slept(load->window, gap_ns + load->wake_ns, MAX_NS);
}

static void load_gaps(struct load *load, const uint64_t *gaps_us, unsigned cnt, unsigned rounds)
{
	load->slept = 0;
	load->spun_ns = 0;
	for (unsigned i = 0; i < rounds * cnt; i++)
		load_gap(load, gaps_us[i % cnt] * US);
}

static void test_long_gaps_end_the_spinning(void **state)
{
	static const uint64_t gaps_us[] = {200};
	struct load load = {.window = poll_window_start(MAX_NS)};

	(void)state;
	load_gaps(&load, gaps_us, 1, 5);
	assert_int_equal(load.window.window_ns, 0);
	/* What is left are the probes: 1/16 of the maximum for each wake-up. */
	load_gaps(&load, gaps_us, 1, 1600);
	assert_int_equal(load.slept, 1600);
	assert_int_equal(load.spun_ns, 100 * MAX_NS);
	assert_int_equal(load.window.window_ns, 0);
}

/* Gaps that sit just above a window do not leave it there. */
static void test_short_gaps_are_reached(void **state)
{
	(void)state;
	for (uint64_t gap_us = 1; gap_us < 50; gap_us++) {
		struct load load = {.window = {0}};

		load_gaps(&load, &gap_us, 1, 100);
		assert_in_range(load.window.window_ns, gap_us * US + 1, MAX_NS);
		assert_true(load.slept <= 5);
	}
}

/* I/O of 80 us that is not worth waiting for, and a guest that answers in 10: those are met. */
static void test_two_waits_in_turn(void **state)
{
	static const uint64_t gaps_us[] = {10, 80};
	struct load load = {.window = {0}};

	(void)state;
	load_gaps(&load, gaps_us, 2, 20);
	assert_int_equal(load.window.window_ns, 16 * US);
	load_gaps(&load, gaps_us, 2, 1000);
	assert_int_equal(load.slept, 1000);
	/* From above as well, for what is more than the short ones need is given back. */
	load.window = poll_window_start(MAX_NS);
	load_gaps(&load, gaps_us, 2, 20);
	assert_true(load.window.window_ns > 10 * US && load.window.window_ns < 20 * US);
}

/* A pause now and then does not end the spinning of a queue for which it pays. */
static void test_pauses(void **state)
{
	static const uint64_t gaps_us[] = {20, 20, 20, 20, 5000};
	struct load load = {.window = poll_window_start(MAX_NS), .wake_ns = 45 * US};

	(void)state;
	load_gaps(&load, gaps_us, ARRAY_LEN(gaps_us), 1000);
	assert_int_equal(load.slept, 1000);
	assert_true(load.window.window_ns > 20 * US);
}

/* Waking up makes each short gap look long; the probe sees how long it is. */
static void test_dear_wake_up(void **state)
{
	static const uint64_t idle_us[] = {100000};
	static const uint64_t busy_us[] = {20};
	struct load load = {.window = poll_window_start(MAX_NS), .wake_ns = 45 * US};

	(void)state;
	load_gaps(&load, idle_us, 1, 1000);
	assert_int_equal(load.window.window_ns, 0);
	load_gaps(&load, busy_us, 1, 1000);
	assert_true(load.window.window_ns > 20 * US);
	assert_true(load.slept <= POLL_WINDOW_PROBE_GAPS);
}

/* The same when each burst takes several turns, so that the first that a probe meets is nothing. */
static void test_dear_wake_up_and_bursts(void **state)
{
	static const uint64_t idle_us[] = {100000, 0, 0};
	static const uint64_t busy_us[] = {20, 0, 0};
	struct load load = {.window = poll_window_start(MAX_NS), .wake_ns = 45 * US};

	(void)state;
	load_gaps(&load, idle_us, 3, 1000);
	assert_true(load.window.window_ns <= POLL_WINDOW_FIRST_NS);
	load_gaps(&load, busy_us, 3, 1000);
	assert_true(load.window.window_ns > 20 * US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_long_gaps_end_the_spinning),
		cmocka_unit_test(test_short_gaps_are_reached),
		cmocka_unit_test(test_two_waits_in_turn),
		cmocka_unit_test(test_pauses),
		cmocka_unit_test(test_dear_wake_up),
		cmocka_unit_test(test_dear_wake_up_and_bursts),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
