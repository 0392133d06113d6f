/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that look at several things of a running daemon, for people or (--json) as the API says
 * it. Not one object whole (commands_show.c).
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "grid.h"
#include "print.h"

static void print_disks(const json_t *disks)
{
	static const char *const titles[] = {"NAME",  "KIND",    "STATE",    "BACKEND",
					     ">SIZE", ">QUEUES", ">REQUESTS"};
	struct grid grid;

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

static void add_net(struct grid *grid, const json_t *objects)
{
	for (size_t i = 0; i < json_array_size(objects); i++) {
		const json_t *object = json_array_get(objects, i);
		const json_t *mac = get(object, "mac", NULL);

		grid_add(grid, "%s", text_of(object, "name"));
		grid_add(grid, "%s", text_of(object, "kind"));
		grid_add(grid, "%s", text_of(object, "state"));
		grid_add(grid, "%s", text_of(object, "switch"));
		grid_add_json(grid, mac ? mac : get(object, "ifname", NULL));
		grid_add_json(grid, get(object, "queues_running", NULL));
		grid_add_json(grid, get(object, "in_frames", NULL));
		grid_add_json(grid, get(object, "out_frames", NULL));
	}
}

static void print_net(const json_t *lists)
{
	static const char *const titles[] = {"NAME",          "KIND",    "STATE", "SWITCH",
					     "MAC/INTERFACE", ">QUEUES", ">IN",   ">OUT"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	add_net(&grid, get(lists, "switches", NULL));
	add_net(&grid, get(lists, "ports", NULL));
	add_net(&grid, get(lists, "uplinks", NULL));
	grid_end(&grid, "");
}

enum exit_status run_list(const struct words *words)
{
	enum exit_status status;
	const json_t *disks;
	json_t *answer;
	bool net;

	if (words->cnt)
		return usage("list takes no argument: pario list");
	status = client_ask(words->api, "GET", "/v1/objects", NULL, NULL, &answer);
	if (status != EXIT_STATUS_DONE)
		return status;
	disks = get(answer, "disks", NULL);
	net = json_array_size(get(answer, "switches", NULL)) > 0;
	if (words->json) {
		print_json(answer);
	} else {
		if (json_array_size(disks) || !net)
			print_disks(disks);
		if (json_array_size(disks) && net)
			printf("\n");
		if (net)
			print_net(answer);
	}
	json_decref(answer);
	return status;
}

static const char *const counted[] = {"disks", "ports", "uplinks"};

static void print_stats(const struct words *words, const json_t *lists)
{
	json_t *rows = ask_rows(words);
	bool first = true;

	for (size_t l = 0; l < ARRAY_LEN(counted); l++) {
		const json_t *list = json_object_get(lists, counted[l]);

		for (size_t i = 0; i < json_array_size(list); i++) {
			const json_t *object = json_array_get(list, i);

			printf("%s%s\n", first ? "" : "\n", text_of(object, "name"));
			first = false;
			print_counters(rows, text_of(object, "kind"),
				       json_object_get(object, "counters"), "  ");
			if (json_object_get(object, "latency"))
				print_latency(json_object_get(object, "latency"), "  ");
		}
	}
	json_decref(rows);
}

/* Leaves the object of that name alone in the lists; false when there is none. */
static bool keep_object(json_t *answer, const char *name)
{
	size_t cnt = 0;

	for (size_t l = 0; l < ARRAY_LEN(counted); l++) {
		json_t *list = json_object_get(answer, counted[l]);

		for (size_t i = json_array_size(list); i-- > 0;) {
			if (strcmp(text_of(json_array_get(list, i), "name"), name) != 0)
				json_array_remove(list, i);
		}
		cnt += json_array_size(list);
	}
	return cnt > 0;
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
	if (words->cnt && !keep_object(answer, words->text[0])) {
		complain("there is no disk, port or uplink \"%s\"", words->text[0]);
		status = EXIT_STATUS_REFUSED;
	} else if (words->json) {
		if (words->cnt)
			json_object_del(answer, "workers");
		print_json(answer);
	} else {
		print_stats(words, answer);
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

static void print_macs(const json_t *macs)
{
	static const char *const titles[] = {"MAC", ">VLAN", "PORT", ">AGE", "LOCKED"};
	struct grid grid;

	grid_begin(&grid, ARRAY_LEN(titles), titles);
	for (size_t i = 0; i < json_array_size(macs); i++) {
		const json_t *row = json_array_get(macs, i);

		grid_add(&grid, "%s", text_of(row, "mac"));
		grid_add_json(&grid, get(row, "vlan", NULL));
		grid_add(&grid, "%s", text_of(row, "port"));
		grid_add(&grid, "%lld s",
			 (long long)json_integer_value(json_object_get(row, "age_s")));
		grid_add(&grid, "%s", json_is_true(json_object_get(row, "locked")) ? "yes" : "");
	}
	grid_end(&grid, "");
}

enum exit_status run_macs(const struct words *words)
{
	enum exit_status status;
	json_t *answer;

	if (words->cnt != 1)
		return usage("macs takes one argument: pario macs SWITCH");
	status = client_ask(words->api, "GET", "/v1/switches/%s/macs", words->text[0], NULL,
			    &answer);
	if (status == EXIT_STATUS_DONE && words->json)
		print_json(answer);
	else if (status == EXIT_STATUS_DONE)
		print_macs(json_object_get(answer, "macs"));
	json_decref(answer);
	return status;
}
