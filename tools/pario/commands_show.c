/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that look at a running daemon, for people or (--json) as the API says it.
 * They know no counter by name but those of a summary: names and units come from /v1/counters.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "control/schema.h"
#include "grid.h"

static enum exit_status usage(const char *text)
{
	complain("%s", text);
	return EXIT_STATUS_USAGE;
}

static void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* object.a.b */
static const json_t *get(const json_t *object, const char *a, const char *b)
{
	const json_t *inner = json_object_get(object, a);

	return b ? json_object_get(inner, b) : inner;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

enum exit_status run_list(const struct words *words)
{
	static const char *const titles[] = {"NAME",  "KIND",    "STATE",    "BACKEND",
					     ">SIZE", ">QUEUES", ">REQUESTS"};
	enum exit_status status;
	struct grid grid;
	json_t *answer;
	json_t *disks;

	if (words->cnt)
		return usage("list takes no argument: pario list");
	status = client_ask(words->api, "GET", "/v1/disks", NULL, NULL, &answer);
	if (status != EXIT_STATUS_DONE)
		return status;
	disks = json_object_get(answer, "disks");
	if (words->json) {
		print_json(answer);
	} else {
		grid_begin(&grid, ARRAY_LEN(titles), titles);
		for (size_t i = 0; i < json_array_size(disks); i++) {
			const json_t *disk = json_array_get(disks, i);

			grid_add(&grid, "%s", text_of(disk, "name"));
			grid_add(&grid, "%s", text_of(disk, "kind"));
			grid_add(&grid, "%s", text_of(disk, "state"));
			grid_add(&grid, "%s", text_of(disk, "backend"));
			grid_add_bytes(&grid, get(disk, "capacity_bytes", NULL));
			grid_add_json(&grid, get(disk, "queues_running", NULL));
			grid_add_json(&grid, get(disk, "requests", NULL));
		}
		grid_end(&grid, "");
	}
	json_decref(answer);
	return status;
}

/* Unit of a counter, "" when it is not known. */
static const char *unit_of(const json_t *rows, const char *group, const char *name)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		if (strcmp(text_of(row, "group"), group) == 0 &&
		    strcmp(text_of(row, "name"), name) == 0)
			return text_of(row, "unit");
	}
	return "";
}

/* One group's counters that are not zero. */
static void add_counters(struct grid *grid, const json_t *rows, const char *group, json_t *counters)
{
	for (void *it = json_object_iter(counters); it; it = json_object_iter_next(counters, it)) {
		const json_t *value = json_object_iter_value(it);
		const char *name = json_object_iter_key(it);
		const char *unit = unit_of(rows, group, name);

		if (json_integer_value(value) == 0)
			continue;
		grid_add(grid, "%s.%s", group, name);
		grid_add_json(grid, value);
		grid_add(grid, "%s", unit);
	}
}

static void print_counters(const json_t *rows, json_t *groups, const char *indent)
{
	static const char *const titles[] = {"COUNTER", ">VALUE", "UNIT"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (void *it = json_object_iter(groups); it; it = json_object_iter_next(groups, it))
		add_counters(&grid, rows, json_object_iter_key(it), json_object_iter_value(it));
	/* Nothing but the titles. */
	if (grid.cell_cnt == grid.column_cnt) {
		grid_add(&grid, "none that is not");
		grid_add(&grid, "0");
		grid_add(&grid, "%s", "");
	}
	grid_end(&grid, indent);
}

static void print_latency(const json_t *latency, const char *indent)
{
	static const char *const titles[] = {">LATENCIES", ">MEAN", ">P50",
					     ">P90",       ">P99",  ">P99.9"};
	static const char *const keys[] = {"mean_ns", "p50_ns", "p90_ns", "p99_ns", "p999_ns"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	grid_add_json(&grid, get(latency, "count", NULL));
	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		grid_add_ns(&grid, get(latency, keys[i], NULL));
	grid_end(&grid, indent);
}

static bool is_among(const json_t *names, const char *name)
{
	for (size_t i = 0; i < json_array_size(names); i++) {
		if (strcmp(json_string_value(json_array_get(names, i)), name) == 0)
			return true;
	}
	return false;
}

/* A size as one would write it; the rest as the API says it. */
static void add_value(struct grid *grid, const struct schema_table *table, const char *key,
		      const json_t *value)
{
	int row = schema_find(table, key);
	char text[32];

	if (row < 0 || table->rows[row].type != SCHEMA_SIZE || !json_is_integer(value)) {
		grid_add_json(grid, value);
		return;
	}
	schema_size_text((uint64_t)json_integer_value(value), text, sizeof(text));
	grid_add(grid, "%s", text);
}

/* What of an object's keys is shown. */
struct keys {
	const struct schema_table *table;
	const json_t *given;
	bool all; /* also keys that were not given, and which were */
};

/* Each key that has a value; nested ones with a dot. */
static void add_config(struct grid *grid, json_t *config, const struct keys *keys,
		       const char *group)
{
	for (void *it = json_object_iter(config); it; it = json_object_iter_next(config, it)) {
		json_t *value = json_object_iter_value(it);
		char key[96];
		bool given;

		snprintf(key, sizeof(key), "%s%s%s", group, *group ? "." : "",
			 json_object_iter_key(it));
		given = is_among(keys->given, key);
		if (json_is_object(value)) {
			add_config(grid, value, keys, key);
		} else if (!json_is_null(value) && (given || keys->all)) {
			grid_add(grid, "%s", key);
			add_value(grid, keys->table, key, value);
			if (keys->all)
				grid_add(grid, "%s", given ? "yes" : "");
		}
	}
}

static void print_config(const struct words *words, const struct schema_table *table,
			 const json_t *object)
{
	static const char *const titles[] = {"KEY", "VALUE", "GIVEN"};
	const struct keys keys = {table, json_object_get(object, "given"), words->all};
	struct grid grid;

	grid_begin(&grid, words->all ? 3 : 2, titles);
	add_config(&grid, json_object_get(object, "config"), &keys, "");
	grid_end(&grid, "  ");
	if (!words->all)
		printf("  others have their defaults%s: --all shows them\n",
		       table == &schema_disk ? " or the daemon's values" : "");
}

static void print_queues(const json_t *queues)
{
	static const char *const titles[] = {">QUEUE",    "STATE", ">WORKER", ">CPU",
					     "VCPUS",     "POLL",  ">DEPTH",  ">SIZE",
					     ">REQUESTS", ">P50",  ">P99",    "FAULT"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (size_t i = 0; i < json_array_size(queues); i++) {
		const json_t *queue = json_array_get(queues, i);

		grid_add_json(&grid, get(queue, "idx", NULL));
		grid_add_json(&grid, get(queue, "state", NULL));
		grid_add_json(&grid, get(queue, "worker", NULL));
		grid_add_json(&grid, get(queue, "cpu", NULL));
		grid_add_json(&grid, get(queue, "vcpus", NULL));
		grid_add_json(&grid, get(queue, "poll", NULL));
		grid_add_json(&grid, get(queue, "depth", NULL));
		grid_add_json(&grid, get(queue, "size", NULL));
		grid_add_json(&grid, get(get(queue, "counters", "ring"), "completed", NULL));
		grid_add_ns(&grid, get(queue, "latency", "p50_ns"));
		grid_add_ns(&grid, get(queue, "latency", "p99_ns"));
		grid_add_json(&grid, get(queue, "fault", NULL));
	}
	grid_end(&grid, "  ");
}

static void print_disk(const struct words *words, const json_t *disk, const json_t *rows)
{
	const json_t *placement = json_object_get(disk, "placement");
	const json_t *pid = json_object_get(disk, "front_end_pid");
	const json_t *queues = json_object_get(disk, "queues");
	long long capacity = json_integer_value(json_object_get(disk, "capacity_bytes"));
	char size[GRID_BYTES_TEXT];

	printf("%s: disk, %s", text_of(disk, "name"), text_of(disk, "state"));
	if (json_is_integer(pid))
		printf(" (front end: process %lld)", (long long)json_integer_value(pid));
	grid_bytes_text((uint64_t)capacity, size);
	printf("\n  %s (%lld bytes) in blocks of %lld bytes\n", size, capacity,
	       (long long)json_integer_value(json_object_get(disk, "block_bytes")));
	printf("  placement %s, by %s, %lld virtual CPUs known, %lld in conflict with a worker\n",
	       text_of(placement, "mode"), text_of(placement, "source"),
	       (long long)json_integer_value(json_object_get(placement, "vcpus")),
	       (long long)json_integer_value(json_object_get(placement, "conflicts")));
	printf("\n");
	print_config(words, &schema_disk, disk);
	printf("\n");
	if (json_array_size(queues))
		print_queues(queues);
	else
		printf("  no queue has run yet\n");
	printf("\n");
	print_counters(rows, json_object_get(disk, "counters"), "  ");
	printf("\n");
	print_latency(json_object_get(disk, "latency"), "  ");
}

/* The rows of all counters; an empty list when there are none to be had. */
static json_t *ask_rows(const struct words *words)
{
	json_t *rows = NULL;
	json_t *answer;

	if (client_ask(words->api, "GET", "/v1/counters", NULL, NULL, &answer) == EXIT_STATUS_DONE)
		rows = json_incref(json_object_get(answer, "counters"));
	json_decref(answer);
	return rows;
}

static enum exit_status show_daemon(const struct words *words)
{
	json_t *answer;
	enum exit_status status = client_ask(words->api, "GET", "/v1/daemon", NULL, NULL, &answer);

	if (status == EXIT_STATUS_DONE && words->json) {
		print_json(answer);
	} else if (status == EXIT_STATUS_DONE) {
		printf("daemon\n\n");
		print_config(words, &schema_daemon, answer);
	}
	json_decref(answer);
	return status;
}

enum exit_status run_show(const struct words *words)
{
	enum exit_status status;
	json_t *answer;
	json_t *rows;

	if (words->cnt != 1)
		return usage("show takes one argument: pario show NAME [--all]");
	if (strcmp(words->text[0], "daemon") == 0)
		return show_daemon(words);
	status = client_ask(words->api, "GET", "/v1/disks/%s", words->text[0], NULL, &answer);
	if (status == EXIT_STATUS_DONE && words->json) {
		print_json(answer);
	} else if (status == EXIT_STATUS_DONE) {
		rows = ask_rows(words);
		print_disk(words, answer, rows);
		json_decref(rows);
	}
	json_decref(answer);
	return status;
}

static void print_stats(const struct words *words, const json_t *disks)
{
	json_t *rows = ask_rows(words);

	for (size_t i = 0; i < json_array_size(disks); i++) {
		const json_t *disk = json_array_get(disks, i);

		printf("%s%s\n", i ? "\n" : "", text_of(disk, "name"));
		print_counters(rows, json_object_get(disk, "counters"), "  ");
		print_latency(json_object_get(disk, "latency"), "  ");
	}
	json_decref(rows);
}

/* Leaves the disk of that name alone in the list; false when there is none. */
static bool keep_disk(json_t *answer, const char *name)
{
	json_t *disks = json_object_get(answer, "disks");

	for (size_t i = json_array_size(disks); i-- > 0;) {
		if (strcmp(text_of(json_array_get(disks, i), "name"), name) != 0)
			json_array_remove(disks, i);
	}
	return json_array_size(disks) > 0;
}

enum exit_status run_stats(const struct words *words)
{
	enum exit_status status;
	json_t *answer;

	if (words->cnt > 1)
		return usage("stats takes at most one argument: pario stats [NAME]");
	status = client_ask(words->api, "GET", "/v1/stats", NULL, NULL, &answer);
	if (status != EXIT_STATUS_DONE)
		return status;
	if (words->cnt && !keep_disk(answer, words->text[0])) {
		complain("there is no disk \"%s\"", words->text[0]);
		status = EXIT_STATUS_REFUSED;
	} else if (words->json) {
		if (words->cnt)
			json_object_del(answer, "workers");
		print_json(answer);
	} else {
		print_stats(words, json_object_get(answer, "disks"));
	}
	json_decref(answer);
	return status;
}

static void print_workers(const json_t *workers)
{
	static const char *const titles[] = {">WORKER", ">CPU",  ">NODE", ">QUEUES",
					     ">LOAD",   ">BUSY", ">SPIN", ">SLEEP"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (size_t i = 0; i < json_array_size(workers); i++) {
		const json_t *worker = json_array_get(workers, i);
		double permille = json_number_value(json_object_get(worker, "busy_permille"));

		grid_add_json(&grid, get(worker, "idx", NULL));
		grid_add_json(&grid, get(worker, "cpu", NULL));
		grid_add_json(&grid, get(worker, "node", NULL));
		grid_add_json(&grid, get(worker, "queues", NULL));
		grid_add(&grid, "%.1f %%", permille / 10);
		grid_add_ns(&grid, get(worker, "counters", "busy"));
		grid_add_ns(&grid, get(worker, "counters", "spin"));
		grid_add_ns(&grid, get(worker, "counters", "sleep"));
	}
	grid_end(&grid, "");
}

enum exit_status run_workers(const struct words *words)
{
	enum exit_status status;
	json_t *answer;

	if (words->cnt)
		return usage("workers takes no argument: pario workers");
	status = client_ask(words->api, "GET", "/v1/workers", NULL, NULL, &answer);
	if (status == EXIT_STATUS_DONE && words->json)
		print_json(answer);
	else if (status == EXIT_STATUS_DONE)
		print_workers(json_object_get(answer, "workers"));
	json_decref(answer);
	return status;
}
