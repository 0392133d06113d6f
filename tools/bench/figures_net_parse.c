/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values from the JSON report of `pario-bench net`. A value that is not there is NAN.
 */
#include "figures_net.h"

#include <jansson.h>
#include <math.h>

static double number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

bool netfig_report_parse(const char *json, double value[NETFIG_METRIC_MAX_])
{
	json_t *root = json_loads(json, 0, NULL);
	const json_t *direction = json_object_get(json_object_get(root, "directions"), "a-b");
	const json_t *latency = json_object_get(direction, "latency_ns");
	double seconds = number(root, "runtime_s"), received = number(direction, "received");
	bool good = root && json_is_null(json_object_get(root, "error"));

	value[NETFIG_PPS] = number(direction, "received_pps");
	value[NETFIG_CALLS] = number(root, "rx_calls_per_frame");
	value[NETFIG_CALLS_PER_S] = number(root, "rx_calls") / seconds;
	value[NETFIG_P50_US] = number(latency, "p50") / 1e3;
	value[NETFIG_P99_US] = number(latency, "p99") / 1e3;
	value[NETFIG_CPU_US] = number(json_object_get(root, "server"), "cpu_s") / received * 1e6;
	value[NETFIG_LOST] = number(direction, "lost") / number(direction, "sent");
	json_decref(root);
	return good && received > 0;
}
