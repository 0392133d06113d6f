/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure parts of `pario-bench figures net`: the plan, shares of rates, reports of loads.
 * test_figures_run.py has the program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "figures_net.h"

static void netfig_for(struct netfig_plan *plan, unsigned int workers, const char *no_rss)
{
	struct netfig_input in = {
		.worker_cnt = workers, .size = {60, 1514}, .size_cnt = 2, .no_rss = no_rss};

	netfig_plan_make(plan, &in);
	assert_false(plan->failed);
}

static void test_net_plan_uses_only_what_is_there(void **state)
{
	static const unsigned int workers[] = {1, 2, 3, 6, 64};

	(void)state;
	for (unsigned int w = 0; w < sizeof(workers) / sizeof(workers[0]); w++) {
		unsigned int vrss = 0;
		struct netfig_plan plan;

		netfig_for(&plan, workers[w], NULL);
		assert_int_equal(plan.point[0].figure, NETFIG_MAX);
		for (unsigned int i = 0; i < plan.cnt; i++) {
			const struct netfig_point *p = &plan.point[i];

			assert_in_range(p->queues, 1, BENCH_QUEUE_MAX);
			/* Groups in the order of the plan, and none in two pieces. */
			assert_true(i == 0 || p->group == plan.point[i - 1].group ||
				    p->group == plan.point[i - 1].group + 1);
			if (p->note[0]) {
				assert_int_equal(workers[w], 1);
				assert_non_null(strstr(p->note, "take three CPUs"));
				continue;
			}
			assert_in_range(p->workers, 1, workers[w]);
			assert_true(p->workers <= p->queues);
			vrss += p->figure == NETFIG_LADDER && p->step >= NETFIG_VRSS;
		}
		assert_int_equal(vrss, workers[w] > 1 ? 4 : 0);
		netfig_plan_free(&plan);
	}
}

static void test_net_plan_says_what_a_daemon_lacks(void **state)
{
	struct netfig_plan plan;
	unsigned int missing = 0;

	(void)state;
	netfig_for(&plan, 2, "no such key");
	for (unsigned int i = 0; i < plan.cnt; i++) {
		const struct netfig_point *p = &plan.point[i];

		assert_int_equal(p->note[0] != '\0', p->rss);
		missing += strcmp(p->note, "not shown: no such key") == 0;
	}
	assert_true(missing > 0);
	netfig_plan_free(&plan);
}

static void test_rates_are_shares_of_what_was_found(void **state)
{
	static struct netfig f;

	(void)state;
	netfig_for(&f.plan, 1, NULL);
	for (unsigned int i = 0; i < f.plan.cnt; i++)
		assert_true(isnan(netfig_rate(&f, &f.plan.point[i])));
	f.plan.point[0].value[NETFIG_PPS][0] = 1000;
	f.plan.point[0].value[NETFIG_PPS][1] = 3000;
	f.plan.point[0].run_cnt = 2;
	for (unsigned int i = 0; i < f.plan.cnt; i++) {
		const struct netfig_point *p = &f.plan.point[i];

		if (p->share && p->size_bytes == 60)
			assert_float_equal(netfig_rate(&f, p), 20.0 * p->share, 1e-9);
		else
			assert_true(isnan(netfig_rate(&f, p)));
	}
	netfig_plan_free(&f.plan);
}

static void test_net_report(void **state)
{
	static const char good[] =
		"{\"directions\": {\"a-b\": {\"sent\": 200, \"received\": 100, \"lost\": 50,"
		"\"received_pps\": 50, \"latency_ns\": {\"p50\": 1500, \"p99\": 2500}}},"
		"\"runtime_s\": 2, \"rx_calls\": 10, \"rx_calls_per_frame\": 0.1,"
		"\"server\": {\"cpu_s\": 0.5}, \"error\": null}";
	double value[NETFIG_METRIC_MAX_];

	(void)state;
	assert_true(netfig_report_parse(good, value));
	assert_float_equal(value[NETFIG_PPS], 50, 1e-9);
	assert_float_equal(value[NETFIG_CALLS], 0.1, 1e-9);
	assert_float_equal(value[NETFIG_CALLS_PER_S], 5, 1e-9);
	assert_float_equal(value[NETFIG_P50_US], 1.5, 1e-9);
	assert_float_equal(value[NETFIG_P99_US], 2.5, 1e-9);
	assert_float_equal(value[NETFIG_CPU_US], 5000, 1e-9);
	assert_float_equal(value[NETFIG_LOST], 0.25, 1e-9);
	assert_false(netfig_report_parse("{\"error\": null}", value));
	assert_true(isnan(value[NETFIG_P99_US]));
	assert_false(netfig_report_parse("", value));
	assert_false(netfig_report_parse(
		"{\"directions\": {\"a-b\": {\"received\": 1}}, \"error\": \"timeout\"}", value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_net_plan_uses_only_what_is_there),
		cmocka_unit_test(test_net_plan_says_what_a_daemon_lacks),
		cmocka_unit_test(test_rates_are_shares_of_what_was_found),
		cmocka_unit_test(test_net_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
