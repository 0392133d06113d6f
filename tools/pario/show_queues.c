/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts and steering for people. What the words mean is in docs/api.md.
 */
#include "show_queues.h"

#include <stdio.h>

#include "grid.h"
#include "print.h"

static long long number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* "32 of 256": what is so now, and its bound; the bound alone of a queue that does not run. */
static void add_bounded(struct grid *grid, const json_t *coalesce, const char *key)
{
	const json_t *now = get(coalesce, "now", key);

	if (now)
		grid_add(grid, "%lld of %lld", (long long)json_integer_value(now),
			 number(coalesce, key));
	else
		grid_add(grid, "%lld", number(coalesce, key));
}

/* Quantiles are ends of buckets; the last has none. */
static void add_held(struct grid *grid, const json_t *held, const char *quantile)
{
	const json_t *end_us = json_object_get(held, quantile);

	if (number(held, "count") == 0)
		grid_add(grid, "-");
	else if (json_is_integer(end_us))
		grid_add(grid, "<%lldus", (long long)json_integer_value(end_us));
	else
		grid_add(grid, "more");
}

static void add_each(struct grid *grid, const json_t *each)
{
	if (json_is_number(each))
		grid_add(grid, "%.1f", json_number_value(each));
	else
		grid_add(grid, "-");
}

void print_interrupts(const json_t *queues, const char *unit)
{
	char carried[16];
	const char *const titles[] = {">QUEUE",    ">INTERRUPTS", carried, ">EACH",    ">HELD",
				      ">UNWANTED", "COALESCE",    "BY",    ">PACKETS", ">USECS",
				      "LAST",      ">P50",        ">P99"};
	struct grid grid;

	snprintf(carried, sizeof(carried), ">%s", unit);
	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (size_t i = 0; i < json_array_size(queues); i++) {
		const json_t *queue = json_array_get(queues, i);
		const json_t *coalesce = get(queue, "coalesce", NULL);

		grid_add_json(&grid, get(queue, "idx", NULL));
		grid_add_json(&grid, get(queue, "interrupts", "sent"));
		grid_add_json(&grid, get(queue, "interrupts", "carried"));
		add_each(&grid, get(queue, "interrupts", "per_interrupt"));
		grid_add_json(&grid, get(queue, "interrupts", "held"));
		grid_add_json(&grid, get(queue, "interrupts", "unwanted"));
		grid_add(&grid, "%s", text_of(coalesce, "mode"));
		grid_add(&grid, "%s", text_of(coalesce, "by"));
		add_bounded(&grid, coalesce, "packets");
		add_bounded(&grid, coalesce, "usecs");
		grid_add(&grid, "%s", text_of(json_object_get(coalesce, "now"), "why"));
		add_held(&grid, json_object_get(coalesce, "held"), "p50_us");
		add_held(&grid, json_object_get(coalesce, "held"), "p99_us");
	}
	grid_end(&grid, "  ");
}

/* Who has which share of the table and of the load. */
static void print_shares(const json_t *queues)
{
	static const char *const titles[] = {">PAIR", ">BUCKETS", ">LOAD", ">SHARE"};
	struct grid grid;
	double sum = 0;

	for (size_t i = 0; i < json_array_size(queues); i++)
		sum += (double)number(json_array_get(queues, i), "load");
	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (size_t i = 0; i < json_array_size(queues); i++) {
		const json_t *queue = json_array_get(queues, i);

		grid_add_json(&grid, get(queue, "pair", NULL));
		grid_add_json(&grid, get(queue, "buckets", NULL));
		grid_add_json(&grid, get(queue, "load", NULL));
		if (sum > 0)
			grid_add(&grid, "%.1f %%", 100 * (double)number(queue, "load") / sum);
		else
			grid_add(&grid, "-");
	}
	grid_end(&grid, "  ");
}

void print_steering(const json_t *steering)
{
	const json_t *types = json_object_get(steering, "types");
	const json_t *queues = json_object_get(steering, "queues");

	if (!json_is_object(steering))
		return;
	printf("  steering %s, by the %s: %lld flows known, %lld frames returned to where their "
	       "flow is sent from\n",
	       text_of(steering, "mode"), text_of(steering, "by"), number(steering, "flows"),
	       number(steering, "flows_returned"));
	if (!json_is_string(json_object_get(steering, "table")))
		return;
	printf("  hashed:");
	for (size_t i = 0; i < json_array_size(types); i++)
		printf(" %s", json_string_value(json_array_get(types, i)));
	printf("%s; others to pair %lld\n", json_array_size(types) ? "" : " nothing",
	       number(steering, "unclassified"));
	printf("  key %s\n", text_of(steering, "key"));
	printf("  %lld rounds moved buckets, %lld moves, %lld given up\n",
	       number(steering, "balanced"), number(steering, "moves"),
	       number(steering, "moves_given_up"));
	print_shares(queues);
}
