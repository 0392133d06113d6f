/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to JSON. Knows no counter by name.
 */
#include "observe/counters.h"

#include "base/compiler.h"
#include "vhost_user/vhost_user.h"
#include "worker/worker.h"

static json_t *u64_json(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

json_t *observe_counters(const struct stat_table *table, const void *counters)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct stat_row *row = &table->rows[i];
		const uint64_t *counter = (const void *)((const char *)counters + row->offset);

		json_object_set_new(object, row->name, u64_json(stat_read(counter)));
	}
	return object;
}

void observe_describe(const char *object, const struct stat_table *table, json_t *list)
{
	for (unsigned i = 0; i < table->row_cnt; i++) {
		const struct stat_row *row = &table->rows[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "object",
						      object, "group", table->name, "name",
						      row->name, "unit", row->unit, "kind",
						      row->kind == STAT_GAUGE ? "gauge" : "counter",
						      "help", row->help));
	}
}

static json_t *buckets_json(const struct latency *latency)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < LATENCY_BUCKET_CNT; i++) {
		uint64_t end_ns = latency_bucket_end_ns(i);

		if (latency->bucket[i])
			json_array_append_new(buckets,
					      json_pack("[o, o]",
							end_ns == UINT64_MAX ? json_null()
									     : u64_json(end_ns),
							u64_json(latency->bucket[i])));
	}
	return buckets;
}

json_t *observe_latency(const struct latency *latency)
{
	static const struct {
		const char *name;
		uint32_t ppm;
	} quantiles[] = {
		{"p50_ns", 500000}, {"p90_ns", 900000}, {"p99_ns", 990000}, {"p999_ns", 999000}};
	json_t *object = json_object();

	json_object_set_new(object, "count", u64_json(latency->cnt));
	json_object_set_new(object, "mean_ns",
			    latency->cnt ? u64_json(latency->sum_ns / latency->cnt) : json_null());
	for (unsigned i = 0; i < ARRAY_LEN(quantiles); i++)
		json_object_set_new(
			object, quantiles[i].name,
			latency->cnt ? u64_json(latency_quantile_ns(latency, quantiles[i].ppm))
				     : json_null());
	json_object_set_new(object, "buckets", buckets_json(latency));
	return object;
}

struct stat_table observe_worker_table(void)
{
	return (struct stat_table){
		.name = "worker",
		.rows = worker_stat_rows,
		.row_cnt = worker_stat_row_cnt,
		.bytes = sizeof(struct worker_stats),
	};
}

struct stat_table observe_front_end_table(void)
{
	return (struct stat_table){
		.name = "front_end",
		.rows = vhost_user_stat_rows,
		.row_cnt = vhost_user_stat_row_cnt,
		.bytes = sizeof(struct vhost_user_stats),
	};
}
