/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario show`: one object, or the daemon, for people or (--json) as the API says it.
 * Not what looks at several (commands_list.c) and not counters (print.c).
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "control/schema.h"
#include "grid.h"
#include "print.h"
#include "show_queues.h"

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
		       table == &schema_daemon || table == &schema_switch
			       ? ""
			       : " or the daemon's values");
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

static void print_head(const json_t *object)
{
	const json_t *pid = json_object_get(object, "front_end_pid");

	printf("%s: %s, %s", text_of(object, "name"), text_of(object, "kind"),
	       text_of(object, "state"));
	if (json_is_integer(pid))
		printf(" (front end: process %lld)", (long long)json_integer_value(pid));
	printf("\n");
}

static void print_placement(const json_t *object)
{
	const json_t *placement = json_object_get(object, "placement");

	if (placement)
		printf("  placement %s, by %s, %lld virtual CPUs known, %lld in conflict with a "
		       "worker\n",
		       text_of(placement, "mode"), text_of(placement, "source"),
		       (long long)json_integer_value(json_object_get(placement, "vcpus")),
		       (long long)json_integer_value(json_object_get(placement, "conflicts")));
}

static void print_disk(const json_t *disk)
{
	long long capacity = json_integer_value(json_object_get(disk, "capacity_bytes"));
	char size[GRID_BYTES_TEXT];

	grid_bytes_text((uint64_t)capacity, size);
	printf("  %s (%lld bytes) in blocks of %lld bytes\n", size, capacity,
	       (long long)json_integer_value(json_object_get(disk, "block_bytes")));
}

/* What the guest has set of its port. */
static void print_port(const json_t *port)
{
	static const char *const modes[] = {"promiscuous",  "all_multicast", "all_unicast",
					    "no_multicast", "no_unicast",    "no_broadcast"};
	const json_t *guest = json_object_get(port, "guest");

	printf("  on switch %s, MAC address %s\n",
	       text_of(json_object_get(port, "config"), "switch"),
	       text_of(json_object_get(port, "config"), "mac"));
	if (!guest)
		return;
	printf("  guest: link %s, MAC address %s, %lld pairs of queues, %lld addresses and %lld "
	       "VLANs in its filters",
	       text_of(guest, "link"), text_of(guest, "mac"),
	       (long long)json_integer_value(json_object_get(guest, "pairs")),
	       (long long)(json_integer_value(json_object_get(guest, "unicast_addresses")) +
			   json_integer_value(json_object_get(guest, "multicast_addresses"))),
	       (long long)json_integer_value(json_object_get(guest, "vlans")));
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		if (json_is_true(json_object_get(guest, modes[i])))
			printf(", %s", modes[i]);
	}
	printf("\n");
}

static void print_names(const char *title, const json_t *names)
{
	printf("  %s:%s", title, json_array_size(names) ? "" : " none");
	for (size_t i = 0; i < json_array_size(names); i++)
		printf(" %s", json_string_value(json_array_get(names, i)));
	printf("\n");
}

static const struct schema_table *table_of(const char *kind)
{
	const struct schema_table *table;

	for (unsigned i = 0; (table = schema_table(i)); i++) {
		if (strcmp(table->noun, kind) == 0)
			break;
	}
	return table;
}

static void print_object(const struct words *words, const json_t *object, const json_t *rows)
{
	const struct schema_table *table = table_of(text_of(object, "kind"));
	const json_t *queues = json_object_get(object, "queues");

	print_head(object);
	if (table == &schema_disk)
		print_disk(object);
	else if (table == &schema_port)
		print_port(object);
	else if (table == &schema_uplink)
		printf("  on switch %s, interface %s\n",
		       text_of(json_object_get(object, "config"), "switch"),
		       text_of(object, "ifname"));
	if (table == &schema_switch) {
		print_names("ports", json_object_get(object, "ports"));
		print_names("uplinks", json_object_get(object, "uplinks"));
	}
	print_placement(object);
	print_steering(json_object_get(object, "steering"));
	printf("\n");
	if (table)
		print_config(words, table, object);
	if (queues) {
		printf("\n");
		if (json_array_size(queues)) {
			print_queues(queues);
			printf("\n");
			print_interrupts(queues, table == &schema_port ? "FRAMES" : "REQUESTS");
		} else {
			printf("  no queue has run yet\n");
		}
	}
	if (json_object_get(object, "counters")) {
		printf("\n");
		print_counters(rows, text_of(object, "kind"), json_object_get(object, "counters"),
			       "  ");
	}
	if (json_object_get(object, "latency")) {
		printf("\n");
		print_latency(json_object_get(object, "latency"), "  ");
	}
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
	status = client_ask(words->api, "GET", "/v1/objects/%s", words->text[0], NULL, &answer);
	if (status == EXIT_STATUS_DONE && words->json) {
		print_json(answer);
	} else if (status == EXIT_STATUS_DONE) {
		rows = ask_rows(words);
		print_object(words, answer, rows);
		json_decref(rows);
	}
	json_decref(answer);
	return status;
}
