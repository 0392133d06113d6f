/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and latencies for people. Knows no counter by name: names and units come from
 * /v1/counters. Not whose they are (commands_show.c, commands_list.c).
 */
#include "print.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "grid.h"

enum exit_status usage(const char *text)
{
	complain("%s", text);
	return EXIT_STATUS_USAGE;
}

void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

const json_t *get(const json_t *object, const char *a, const char *b)
{
	const json_t *inner = json_object_get(object, a);

	return b ? json_object_get(inner, b) : inner;
}

const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

json_t *ask_rows(const struct words *words)
{
	json_t *rows = NULL;
	json_t *answer;

	if (client_ask(words->api, "GET", "/v1/counters", NULL, NULL, &answer) == EXIT_STATUS_DONE)
		rows = json_incref(json_object_get(answer, "counters"));
	json_decref(answer);
	return rows;
}

/* Unit of a counter, "" when it is not known. */
static const char *unit_of(const json_t *rows, const char *kind, const char *group,
			   const char *name)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		if (strcmp(text_of(row, "object"), kind) == 0 &&
		    strcmp(text_of(row, "group"), group) == 0 &&
		    strcmp(text_of(row, "name"), name) == 0)
			return text_of(row, "unit");
	}
	return "";
}

/* One group's counters that are not zero. */
static void add_counters(struct grid *grid, const json_t *rows, const char *kind, const char *group,
			 json_t *counters)
{
	for (void *it = json_object_iter(counters); it; it = json_object_iter_next(counters, it)) {
		const json_t *value = json_object_iter_value(it);
		const char *name = json_object_iter_key(it);
		const char *unit = unit_of(rows, kind, group, name);

		if (json_integer_value(value) == 0)
			continue;
		grid_add(grid, "%s.%s", group, name);
		grid_add_json(grid, value);
		grid_add(grid, "%s", unit);
	}
}

void print_counters(const json_t *rows, const char *kind, json_t *groups, const char *indent)
{
	static const char *const titles[] = {"COUNTER", ">VALUE", "UNIT"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (void *it = json_object_iter(groups); it; it = json_object_iter_next(groups, it))
		add_counters(&grid, rows, kind, json_object_iter_key(it),
			     json_object_iter_value(it));
	/* Nothing but the titles. */
	if (grid.cell_cnt == grid.column_cnt) {
		grid_add(&grid, "none that is not");
		grid_add(&grid, "0");
		grid_add(&grid, "%s", "");
	}
	grid_end(&grid, indent);
}

void print_latency(const json_t *latency, const char *indent)
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
