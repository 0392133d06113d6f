/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's coalescer against guests and traffic of many kinds, on a clock that is nobody's: calls,
 * waits and drops beside those of no coalescing and of a static one.
 * Not single decisions (test_coalesce_port.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "port_sim.h"

static const struct coalesce_config off = {.mode = COALESCE_OFF};
static const struct coalesce_config adaptive = {COALESCE_ADAPTIVE, 256, 500, false};
/* What others use everywhere. */
static const struct coalesce_config fixed = {COALESCE_STATIC, 32, 1000, false};

static const uint32_t rates[] = {1000,    2500,    5000,    10000,  25000,  50000,
				 100000,  200000,  400000,  600000, 800000, 950000,
				 1000000, 1100000, 1500000, 3000000};
static const uint32_t sizes[] = {64, 256, 1024};

/* A guest that reads a frame in 1 us: beyond 1000000 frames a second it is saturated. */
static const struct sim_options guest = {
	.size = 256,
	.wake_ns = 10 * SIM_US,
	.wake_more_ns = 20 * SIM_US,
	.service_ns = SIM_US,
	.look_ns = SIM_US,
	.run_ns = 300 * SIM_MS,
	.batch = 16,
	.seed = 1,
};

static struct sim_result run(const struct sim_options *options,
			     const struct coalesce_config *config)
{
	struct sim_options o = *options;
	struct sim_result result;

	o.config = *config;
	sim_run(&o, &result);
	return result;
}

/* Nothing is lost, but for `more`, that would not have been lost anyhow. */
static void check_drops(const struct sim_options *o, uint64_t more)
{
	const struct sim_result without = run(o, &off);
	const struct sim_result with = run(o, &adaptive);

	assert_int_equal(with.frames, without.frames);
	if (with.drops > without.drops + more)
		fail_msg("%llu dropped instead of %llu: arrivals %d, %u a second, ring of %u, "
			 "at once %d, re-arms %d, wakes within %llu",
			 (unsigned long long)with.drops, (unsigned long long)without.drops,
			 (int)o->arrivals, o->rate, o->size, o->at_once, o->rearms,
			 (unsigned long long)(o->wake_ns + o->wake_more_ns));
}

/*
 * At exactly what a slow guest can take its backlog is a walk at random, for good: one call that is
 * held shifts it for that long, and chance decides which way drops differ.
 */
static uint64_t chance_at(const struct sim_options *o)
{
	return o->rate == SIM_S / o->service_ns && o->wake_more_ns > 20 * SIM_US ? o->size / 16 : 0;
}

static void check_drops_at_all_rates(struct sim_options o)
{
	for (unsigned size = 0; size < ARRAY_LEN(sizes); size++) {
		o.size = sizes[size];
		for (unsigned kind = 0; kind < SIM_ARRIVALS_CNT_; kind++) {
			o.arrivals = kind;
			for (unsigned rate = 0; rate < ARRAY_LEN(rates); rate++) {
				o.rate = rates[rate];
				check_drops(&o, chance_at(&o));
			}
		}
	}
}

static void test_no_overflow_drops(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.run_ns = 100 * SIM_MS;
	for (unsigned at_once = 0; at_once < 2; at_once++) {
		o.at_once = at_once;
		o.wake_ns = 5 * SIM_US;
		o.wake_more_ns = 0;
		check_drops_at_all_rates(o);
		o.wake_ns = 10 * SIM_US;
		o.wake_more_ns = 20 * SIM_US;
		check_drops_at_all_rates(o);
	}
}

/* The guest is slow to wake, and wants each call. */
static void test_no_overflow_drops_slow_guest(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.run_ns = 100 * SIM_MS;
	o.rearms = true;
	o.wake_ns = 30 * SIM_US;
	o.wake_more_ns = 50 * SIM_US;
	check_drops_at_all_rates(o);
}

/*
 * Another rate, all of a sudden. If that is more than the guest can take for good, each moment in
 * which it does not read yet counts, and with it the one call that is held at that time.
 */
static void test_no_overflow_drops_when_rates_jump(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.run_ns = 40 * SIM_MS;
	o.jump_ns = 30 * SIM_MS;
	for (unsigned size = 0; size < ARRAY_LEN(sizes); size++) {
		o.size = sizes[size];
		/* From each third: what is held differs little from one to the next. */
		for (unsigned from = 0; from < ARRAY_LEN(rates); from += 3) {
			for (unsigned to = 0; to < ARRAY_LEN(rates); to++) {
				o.rate = rates[from];
				o.jump_rate = rates[to];
				check_drops(&o, rates[to] > SIM_S / o.service_ns ? o.size / 4 : 0);
			}
		}
	}
}

/* Where each second frame or more has a call, a tenth of that is left, and less. */
static void check_tenth(const struct sim_options *o)
{
	const struct sim_result without = run(o, &off);
	const struct sim_result with = run(o, &adaptive);

	if (sim_calls_per_frame(&without) < 0.5)
		return;
	if (sim_calls_per_frame(&with) > sim_calls_per_frame(&without) / 10 ||
	    with.p99_ns > without.p99_ns + adaptive.usecs * SIM_US)
		fail_msg("%u a second, ring of %u: %.3f calls for a frame instead of %.3f, "
			 "p99 %llu us",
			 o->rate, o->size, sim_calls_per_frame(&with),
			 sim_calls_per_frame(&without), (unsigned long long)with.p99_ns / 1000);
}

static void test_steady_stream(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.from_ns = 50 * SIM_MS;
	o.wake_ns = 2 * SIM_US;
	o.wake_more_ns = 0;
	for (unsigned size = 1; size < ARRAY_LEN(sizes); size++) {
		o.size = sizes[size];
		for (o.rate = 50000; o.rate <= 900000; o.rate += 50000) {
			for (unsigned rearms = 0; rearms < 2; rearms++) {
				o.rearms = rearms;
				check_tenth(&o);
			}
		}
	}
	o.arrivals = SIM_POISSON;
	o.rate = 100000;
	check_tenth(&o);
	/* It was about something. */
	assert_true(run(&o, &off).calls > 20000);
}

/* Rare frames are called for as ever. */
static void test_below_a_rate(void **state)
{
	struct sim_options o = guest;

	(void)state;
	for (o.rate = 100; o.rate <= 2500; o.rate += 400) {
		const struct sim_result without = run(&o, &off);
		const struct sim_result with = run(&o, &adaptive);

		assert_int_equal(with.calls, without.calls);
		assert_int_equal(with.mean_ns, without.mean_ns);
		assert_int_equal(with.verdicts[COALESCE_HOLD], 0);
	}
}

/* Somebody waits for each answer: within a hundredth as many as without. */
static void test_request_response(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.pairs = 1;
	o.run_ns = 2 * SIM_S;
	for (unsigned unseen = 0; unseen < 2; unseen++) {
		o.unseen = unseen;
		for (o.turn_ns = 5 * SIM_US; o.turn_ns < 500 * SIM_US; o.turn_ns *= 3) {
			const struct sim_result without = run(&o, &off);
			const struct sim_result with = run(&o, &adaptive);

			assert_true(with.answers >= without.answers - without.answers / 100);
			if (!unseen)
				assert_int_equal(with.verdicts[COALESCE_HOLD], 0);
		}
	}
}

static void test_many_requests_at_once(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.run_ns = 2 * SIM_S;
	o.turn_ns = 30 * SIM_US;
	for (o.pairs = 2; o.pairs <= 32; o.pairs *= 2) {
		const struct sim_result without = run(&o, &off);
		struct sim_result with = run(&o, &adaptive);

		assert_true(with.answers >= without.answers - without.answers / 100);
		/* Their answers leave on another queue: found out, at a price. */
		o.unseen = true;
		with = run(&o, &adaptive);
		if (with.answers < without.answers - without.answers / 10)
			fail_msg("%u at once: %llu instead of %llu", o.pairs,
				 (unsigned long long)with.answers,
				 (unsigned long long)without.answers);
		o.unseen = false;
	}
}

/* It was request and response, and is a stream now: held again within 50 ms. */
static void test_stream_after_requests(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.pairs = 1;
	o.turn_ns = 30 * SIM_US;
	o.pairs_until_ns = 500 * SIM_MS;
	o.run_ns = 600 * SIM_MS;
	o.from_ns = 500 * SIM_MS;
	for (o.rate = 10000; o.rate <= 640000; o.rate *= 4) {
		const struct sim_result with = run(&o, &adaptive);

		assert_in_range(with.held_first_ns, o.pairs_until_ns,
				o.pairs_until_ns + 50 * SIM_MS);
		assert_true(sim_calls_per_frame(&with) < 0.5);
	}
}

/* More calls (by more than chance) and longer waits than a fixed setting at once: never. */
static void test_never_dominated(void **state)
{
	struct sim_options o = guest;

	(void)state;
	o.from_ns = 50 * SIM_MS;
	for (unsigned size = 0; size < ARRAY_LEN(sizes); size++) {
		o.size = sizes[size];
		for (unsigned kind = 0; kind < SIM_ARRIVALS_CNT_; kind++) {
			o.arrivals = kind;
			for (unsigned rate = 0; rate < ARRAY_LEN(rates); rate++) {
				struct sim_result with, by_number;

				o.rate = rates[rate];
				with = run(&o, &adaptive);
				by_number = run(&o, &fixed);
				if (with.calls > by_number.calls + by_number.calls / 20 &&
				    with.p99_ns > by_number.p99_ns)
					fail_msg("arrivals %u, %u a second, ring of %u: %llu calls "
						 "and p99 %llu us, beside %llu and %llu us",
						 kind, o.rate, o.size,
						 (unsigned long long)with.calls,
						 (unsigned long long)with.p99_ns / 1000,
						 (unsigned long long)by_number.calls,
						 (unsigned long long)by_number.p99_ns / 1000);
			}
		}
	}
}

/* Where calls are as few as with a fixed setting, waits are no longer. */
static void test_as_few_calls_no_longer_waits(void **state)
{
	struct sim_options o = guest;
	unsigned as_few = 0, no_longer = 0, dominated = 0;

	(void)state;
	o.wake_ns = o.wake_more_ns = 3 * SIM_US;
	o.service_ns = 300;
	o.run_ns = 700 * SIM_MS;
	o.from_ns = 600 * SIM_MS;
	for (unsigned size = 1; size < ARRAY_LEN(sizes); size++) {
		o.size = sizes[size];
		for (unsigned kind = 0; kind < SIM_ARRIVALS_CNT_; kind++) {
			o.arrivals = kind;
			for (o.rate = 150000; o.rate < 1000000; o.rate += 200000) {
				const struct sim_result with = run(&o, &adaptive);
				const struct sim_result by_number = run(&o, &fixed);

				if (with.calls <= by_number.calls) {
					as_few++;
					no_longer += with.p99_ns <= by_number.p99_ns;
				} else {
					dominated += with.p99_ns > by_number.p99_ns;
				}
			}
		}
	}
	assert_true(as_few > 5);
	assert_true(no_longer * 10 >= as_few * 8);
	assert_int_equal(dominated, 0);
}

/* No hold is longer than usecs and a look. */
static void test_deadlines(void **state)
{
	struct sim_options o = guest;

	(void)state;
	for (o.look_ns = 100; o.look_ns < 50 * SIM_US; o.look_ns *= 20) {
		for (unsigned kind = 0; kind < SIM_ARRIVALS_CNT_; kind++) {
			o.arrivals = kind;
			for (unsigned rate = 0; rate < ARRAY_LEN(rates); rate++) {
				o.rate = rates[rate];
				assert_true(run(&o, &adaptive).over_ns <= o.look_ns);
				assert_true(run(&o, &fixed).over_ns <= o.look_ns);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_overflow_drops),
		cmocka_unit_test(test_no_overflow_drops_slow_guest),
		cmocka_unit_test(test_no_overflow_drops_when_rates_jump),
		cmocka_unit_test(test_steady_stream),
		cmocka_unit_test(test_below_a_rate),
		cmocka_unit_test(test_request_response),
		cmocka_unit_test(test_many_requests_at_once),
		cmocka_unit_test(test_stream_after_requests),
		cmocka_unit_test(test_never_dominated),
		cmocka_unit_test(test_as_few_calls_no_longer_waits),
		cmocka_unit_test(test_deadlines),
	};

	return cmocka_run_group_tests_name("port simulated", tests, NULL, NULL);
}
