/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of routes, and those that only look. Not disks' documents (api_disks.c) and not changes
 * (api_change.c).
 */
#include "app/api.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/api_priv.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "control/schema.h"
#include "device/blk/blk.h"
#include "observe/counters.h"
#include "observe/objects.h"

/* Shows the table that it stands in. */
static void show_root(struct http_request *request, const char *name, json_t *body, void *arg);

json_t *api_daemon_json(const struct daemon *daemon)
{
	const struct config *config = daemon_config(daemon);

	return json_pack("{s:o, s:o}", "config", schema_get(&schema_daemon, &config->daemon),
			 "given", schema_get_given(&schema_daemon, &config->daemon));
}

static void show_daemon(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;

	(void)name;
	(void)body;
	http_answer(request, 200, api_daemon_json(api->daemon));
}

/* A list of what fn gives for each disk. */
static json_t *disks_json(const struct daemon *daemon, json_t *(*fn)(const struct disk *disk))
{
	json_t *list = json_array();

	for (unsigned i = 0; i < daemon_disk_cnt(daemon); i++)
		json_array_append_new(list, fn(daemon_disk(daemon, i)));
	return list;
}

static void list_disks(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;

	(void)name;
	(void)body;
	http_answer(request, 200,
		    json_pack("{s:o}", "disks", disks_json(api->daemon, api_disk_summary)));
}

static void show_disk(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	const struct disk *disk = daemon_find_disk(api->daemon, name);

	(void)body;
	if (disk)
		http_answer(request, 200, api_disk_json(disk));
	else
		http_refuse(request, 404, "there is no disk \"%s\"", name);
}

static json_t *workers_json(const struct daemon *daemon)
{
	unsigned cnt;
	struct worker *const *workers = daemon_workers(daemon, &cnt);
	json_t *list = json_array();

	for (unsigned i = 0; i < cnt; i++)
		json_array_append_new(
			list, observe_worker(workers[i], api_queues_on(daemon, workers[i]),
					     placer_worker_busy_permille(daemon_placer(daemon),
									 worker_idx(workers[i]))));
	return list;
}

static void list_workers(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;

	(void)name;
	(void)body;
	http_answer(request, 200, json_pack("{s:o}", "workers", workers_json(api->daemon)));
}

static void show_stats(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;

	(void)name;
	(void)body;
	http_answer(request, 200,
		    json_pack("{s:o, s:o}", "disks", disks_json(api->daemon, api_disk_stats),
			      "workers", workers_json(api->daemon)));
}

static void show_schema(struct http_request *request, const char *name, json_t *body, void *arg)
{
	(void)name;
	(void)body;
	(void)arg;
	http_answer(request, 200, schema_json());
}

static void show_counters(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct stat_table front_end = observe_front_end_table();
	const struct stat_table worker = observe_worker_table();
	unsigned cnt;
	const struct stat_table *tables = blk_stat_tables(&cnt);
	json_t *list = json_array();

	(void)name;
	(void)body;
	(void)arg;
	for (unsigned i = 0; i < cnt; i++)
		observe_describe("disk", &tables[i], list);
	observe_describe("disk", &front_end, list);
	observe_describe("worker", &worker, list);
	http_answer(request, 200, json_pack("{s:o}", "counters", list));
}

static const struct http_route routes[] = {
	{"GET", "/v1", "Version, process, counts, and the routes.", false, show_root},
	{"GET", "/v1/daemon", "The daemon's keys and their values.", false, show_daemon},
	{"PATCH", "/v1/daemon", "Changes keys of the daemon.", true, api_set_daemon},
	{"GET", "/v1/disks", "All disks in short.", false, list_disks},
	{"POST", "/v1/disks", "Adds a disk: an object of its keys.", true, api_add_disk},
	{"GET", "/v1/disks/NAME", "A disk with all that is known of it.", false, show_disk},
	{"PATCH", "/v1/disks/NAME", "Changes keys of a disk.", true, api_set_disk},
	{"DELETE", "/v1/disks/NAME", "Drains and removes a disk.", false, api_remove_disk},
	{"POST", "/v1/disks/NAME/resize", "Makes a disk larger: {\"size\": \"2G\"}.", true,
	 api_resize_disk},
	{"GET", "/v1/workers", "All workers with their counters.", false, list_workers},
	{"GET", "/v1/stats", "Counters and latencies of disks and workers.", false, show_stats},
	{"GET", "/v1/schema", "Every key: type, default, bounds, help.", false, show_schema},
	{"GET", "/v1/counters", "Every counter: unit, kind, help.", false, show_counters},
};

static json_t *routes_json(void)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < ARRAY_LEN(routes); i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "method", routes[i].method,
						"path", routes[i].path, "help", routes[i].help));
	return list;
}

static void show_root(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	const struct daemon *daemon = api->daemon;
	unsigned queue_cnt = 0;
	unsigned worker_cnt;

	(void)name;
	(void)body;
	daemon_workers(daemon, &worker_cnt);
	for (unsigned i = 0; i < daemon_disk_cnt(daemon); i++)
		queue_cnt += observe_device_queues_running(daemon_disk(daemon, i)->device);
	http_answer(request, 200,
		    json_pack("{s:s, s:i, s:I, s:i, s:i, s:i, s:o}", "version", PARIO_VERSION,
			      "pid", (int)getpid(), "uptime_s",
			      (json_int_t)((clock_now_ns() - api->opened_ns) / NS_PER_S), "disks",
			      (int)daemon_disk_cnt(daemon), "workers", (int)worker_cnt,
			      "queues_running", (int)queue_cnt, "routes", routes_json()));
}

int api_open(struct daemon *daemon, const char *path, struct api **out, struct err *err)
{
	struct api *api = calloc(1, sizeof(*api));
	int rc;

	*out = NULL;
	if (!api)
		return err_set(err, ENOMEM, "no memory for the API");
	api->daemon = daemon;
	api->opened_ns = clock_now_ns();
	rc = http_open(daemon_loop(daemon), path, routes, ARRAY_LEN(routes), api, &api->http, err);
	if (rc) {
		free(api);
		return rc;
	}
	*out = api;
	return 0;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	http_close(api->http);
	free(api);
}
