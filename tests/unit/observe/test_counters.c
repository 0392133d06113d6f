/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and histograms as JSON, from rows of the test's making and from the tables that there are.
 * Not devices and queues, which tests/peers/test_api.py looks at while they run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "observe/counters.h"
#include "vhost_user/vhost_user.h"
#include "worker/worker.h"

struct sample {
	uint64_t apples;
	uint64_t pears;
	uint64_t most;
};

static const struct stat_row rows[] = {
	{"pears", "pieces", "Pears.", offsetof(struct sample, pears), STAT_COUNTER},
	{"apples", "pieces", "Apples.", offsetof(struct sample, apples), STAT_GAUGE},
	{"most", "bytes", "Much.", offsetof(struct sample, most), STAT_COUNTER},
};

static const struct stat_table table = {"fruit", rows, ARRAY_LEN(rows), sizeof(struct sample)};

/* Compares with text, and drops json. */
static void is_json(json_t *json, const char *text)
{
	char *got = json_dumps(json, JSON_COMPACT);

	assert_non_null(got);
	assert_string_equal(got, text);
	free(got);
	json_decref(json);
}

static void test_a_member_for_each_row(void **state)
{
	const struct sample sample = {.apples = 3, .pears = 5, .most = UINT64_MAX};

	(void)state;
	/* JSON's integers have a sign. */
	is_json(observe_counters(&table, &sample),
		"{\"pears\":5,\"apples\":3,\"most\":9223372036854775807}");
}

static void test_rows_describe_themselves(void **state)
{
	json_t *list = json_array();

	(void)state;
	observe_describe("basket", &table, list);
	assert_int_equal(json_array_size(list), 3);
	is_json(json_incref(json_array_get(list, 1)),
		"{\"object\":\"basket\",\"group\":\"fruit\",\"name\":\"apples\","
		"\"unit\":\"pieces\",\"kind\":\"gauge\",\"help\":\"Apples.\"}");
	json_decref(list);
}

static void test_no_latency(void **state)
{
	const struct latency latency = {0};

	(void)state;
	is_json(observe_latency(&latency),
		"{\"count\":0,\"mean_ns\":null,\"p50_ns\":null,\"p90_ns\":null,\"p99_ns\":null,"
		"\"p999_ns\":null,\"buckets\":[]}");
}

static void test_latency(void **state)
{
	struct latency latency = {0};
	json_t *json;
	json_t *buckets;

	(void)state;
	for (unsigned i = 0; i < 99; i++)
		latency_record(&latency, 100);
	latency_record(&latency, 1ull << 40);
	json = observe_latency(&latency);
	assert_int_equal(json_integer_value(json_object_get(json, "count")), 100);
	assert_int_equal(json_integer_value(json_object_get(json, "mean_ns")),
			 (99 * 100 + (1ull << 40)) / 100);
	assert_in_range(json_integer_value(json_object_get(json, "p50_ns")), 1, LATENCY_MIN_NS);
	assert_true(json_integer_value(json_object_get(json, "p999_ns")) >= 1ll << 36);
	buckets = json_object_get(json, "buckets");
	assert_int_equal(json_array_size(buckets), 2);
	is_json(json_incref(json_array_get(buckets, 0)), "[256,99]");
	/* The last has no end. */
	is_json(json_incref(json_array_get(buckets, 1)), "[null,1]");
	json_decref(json);
}

/* Each counter of the struct has exactly one row, so that none is forgotten in any view. */
static void is_whole(const struct stat_table *whole)
{
	assert_int_equal(whole->row_cnt * sizeof(uint64_t), whole->bytes);
	for (unsigned i = 0; i < whole->row_cnt; i++) {
		assert_true(whole->rows[i].offset < whole->bytes);
		for (unsigned j = 0; j < i; j++) {
			assert_int_not_equal(whole->rows[i].offset, whole->rows[j].offset);
			assert_string_not_equal(whole->rows[i].name, whole->rows[j].name);
		}
	}
}

static void test_tables_are_whole(void **state)
{
	const struct stat_table worker = observe_worker_table();
	const struct stat_table front_end = observe_front_end_table();

	(void)state;
	is_whole(&worker);
	is_whole(&front_end);
	is_whole(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_member_for_each_row),
		cmocka_unit_test(test_rows_describe_themselves),
		cmocka_unit_test(test_no_latency),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_tables_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
