/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coalescing of a queue as JSON, from views of the test's making. Not queues that run, which
 * tests/peers/test_api.py looks at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "observe/interrupts.h"

/* Compares with text, and drops json. */
static void is_json(json_t *json, const char *text)
{
	char *got = json_dumps(json, JSON_COMPACT);

	assert_non_null(got);
	assert_string_equal(got, text);
	free(got);
	json_decref(json);
}

static void test_a_queue_that_does_not_run(void **state)
{
	const struct coalesce_config tuning = {COALESCE_ADAPTIVE, 256, 500, false};

	(void)state;
	is_json(observe_coalesce(NULL, &tuning),
		"{\"mode\":\"adaptive\",\"packets\":256,\"usecs\":500,\"by\":\"host\","
		"\"now\":null,\"held\":null}");
}

/* What is in force goes over what the host says. */
static void test_the_guests(void **state)
{
	const struct coalesce_config tuning = {COALESCE_ADAPTIVE, 256, 500, false};
	const struct coalesce_view view = {
		.config = {COALESCE_STATIC, 8, 50, true},
		.packets = 8,
		.usecs = 50,
		.why = COALESCE_DUE_DEADLINE,
	};

	(void)state;
	is_json(observe_coalesce(&view, &tuning),
		"{\"mode\":\"static\",\"packets\":8,\"usecs\":50,\"by\":\"guest\","
		"\"now\":{\"packets\":8,\"usecs\":50,\"why\":\"deadline\"},"
		"\"held\":{\"count\":0,\"p50_us\":null,\"p99_us\":null,\"buckets\":[]}}");
}

static void test_how_long_they_were_held(void **state)
{
	struct coalesce_view view = {.config = {COALESCE_ADAPTIVE, 256, 500, false},
				     .packets = 32,
				     .usecs = 64,
				     .why = COALESCE_DUE_PACKETS};
	const uint64_t many = INT64_MAX / 2;

	(void)state;
	/* Half of them below 1 us, a hundredth above 8: of the rest it is the bucket's end. */
	view.held[0] = 50;
	view.held[3] = 48;
	view.held[4] = 2;
	is_json(observe_coalesce(&view, &view.config),
		"{\"mode\":\"adaptive\",\"packets\":256,\"usecs\":500,\"by\":\"host\","
		"\"now\":{\"packets\":32,\"usecs\":64,\"why\":\"packets\"},"
		"\"held\":{\"count\":100,\"p50_us\":8,\"p99_us\":16,"
		"\"buckets\":[[1,50],[8,48],[16,2]]}}");
	/* The last bucket has no end, and counters may be large. */
	view.held[0] = many;
	view.held[3] = view.held[4] = 0;
	view.held[COALESCE_HELD_BUCKETS - 1] = many / 10;
	is_json(observe_coalesce(&view, &view.config),
		"{\"mode\":\"adaptive\",\"packets\":256,\"usecs\":500,\"by\":\"host\","
		"\"now\":{\"packets\":32,\"usecs\":64,\"why\":\"packets\"},"
		"\"held\":{\"count\":5072854620270126693,\"p50_us\":1,\"p99_us\":null,"
		"\"buckets\":[[1,4611686018427387903],[null,461168601842738790]]}}");
}

static void test_every_verdict_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COALESCE_VERDICT_MAX_; i++) {
		const char *name = coalesce_verdict_name((enum coalesce_verdict)i);

		assert_non_null(name);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(name,
						coalesce_verdict_name((enum coalesce_verdict)j));
	}
	assert_null(coalesce_verdict_name(COALESCE_VERDICT_MAX_));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_queue_that_does_not_run),
		cmocka_unit_test(test_the_guests),
		cmocka_unit_test(test_how_long_they_were_held),
		cmocka_unit_test(test_every_verdict_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
