/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values from the JSON reports of `pario-bench blk` and fio. A value that is not there is NAN.
 */
#include "figures.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static double number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

static void forget(double value[METRIC_MAX_])
{
	for (unsigned int i = 0; i < METRIC_MAX_; i++)
		value[i] = NAN;
}

bool report_parse_blk(const char *json, double value[METRIC_MAX_])
{
	json_t *root = json_loads(json, 0, NULL);
	const json_t *total = json_object_get(json_object_get(root, "results"), "total");
	const json_t *latency = json_object_get(total, "latency_ns");
	const json_t *server = json_object_get(root, "server");
	bool good = json_is_null(json_object_get(root, "error"));

	forget(value);
	value[METRIC_IOPS] = number(total, "iops");
	value[METRIC_P50_US] = number(latency, "p50") / 1e3;
	value[METRIC_P99_US] = number(latency, "p99") / 1e3;
	value[METRIC_CPU_US] =
		number(server, "cpu_s") / number(server, "wall_s") / value[METRIC_IOPS] * 1e6;
	value[METRIC_CALLS] = number(root, "calls_per_request");
	value[METRIC_KICKS] = number(root, "kicks_per_request");
	json_decref(root);
	return good && value[METRIC_IOPS] > 0;
}

bool report_parse_fio(const char *json, double value[METRIC_MAX_])
{
	/* It may say things before its report. */
	const char *begin = strchr(json, '{');
	json_t *root = begin ? json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	const json_t *job = json_array_get(json_object_get(root, "jobs"), 0);
	const json_t *read = json_object_get(job, "read");
	const json_t *percentile = json_object_get(json_object_get(read, "lat_ns"), "percentile");
	bool good = number(job, "error") == 0;

	forget(value);
	value[METRIC_IOPS] = number(read, "iops");
	value[METRIC_P50_US] = number(percentile, "50.000000") / 1e3;
	value[METRIC_P99_US] = number(percentile, "99.000000") / 1e3;
	value[METRIC_CPU_US] =
		(number(job, "usr_cpu") + number(job, "sys_cpu")) / 100 / value[METRIC_IOPS] * 1e6;
	json_decref(root);
	return good && value[METRIC_IOPS] > 0;
}
