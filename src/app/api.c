/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of routes, and those that only look. Not objects' documents (api_objects.c) and not
 * changes (api_change.c).
 */
#include "app/api.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/api_priv.h"
#include "app/lan.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "control/netaddr.h"
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

/* A list of what fn gives for each object of a kind. */
static json_t *objects_json(const struct daemon *daemon, enum config_kind kind,
			    json_t *(*fn)(struct served *served))
{
	json_t *list = json_array();

	for (unsigned i = 0; i < daemon_cnt(daemon, kind); i++)
		json_array_append_new(list, fn(daemon_at(daemon, kind, i)));
	return list;
}

/* The routes' tags are kinds. */
static enum config_kind kind_of(const struct http_request *request)
{
	return http_tag(request);
}

static void list_kind(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	enum config_kind kind = kind_of(request);

	(void)name;
	(void)body;
	http_answer(request, 200,
		    json_pack("{s:o}", config_table(kind)->name,
			      objects_json(api->daemon, kind, api_object_summary)));
}

static void list_objects(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	json_t *lists = json_object();

	(void)name;
	(void)body;
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++)
		json_object_set_new(lists, config_table(kind)->name,
				    objects_json(api->daemon, kind, api_object_summary));
	http_answer(request, 200, lists);
}

/* NULL after a refusal. */
static struct served *find(struct http_request *request, const struct api *api, const char *name)
{
	enum config_kind kind = kind_of(request);
	struct served *served = daemon_find(api->daemon, kind, name);

	if (!served)
		http_refuse(request, 404, "there is no %s \"%s\"",
			    kind == CONFIG_ANY ? "object" : config_noun(kind), name);
	return served;
}

static void show_object(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct served *served = find(request, arg, name);

	(void)body;
	if (served)
		http_answer(request, 200, api_object_json(served));
}

static void show_object_stats(struct http_request *request, const char *name, json_t *body,
			      void *arg)
{
	struct served *served = find(request, arg, name);

	(void)body;
	if (served)
		http_answer(request, 200, api_object_stats(served));
}

static void answer_macs(void *arg, const struct netswitch_mac *rows, int cnt)
{
	struct http_request *request = arg;
	json_t *list = json_array();
	char mac[NETADDR_MAC_TEXT_BYTES];

	for (int i = 0; i < cnt; i++) {
		netaddr_format_mac(rows[i].mac, mac);
		json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:b, s:I}", "mac", mac,
						      "vlan", (int)rows[i].vlan, "port",
						      rows[i].port, "locked", (int)rows[i].locked,
						      "age_s", (json_int_t)rows[i].age_s));
	}
	http_answer(request, 200, cnt < 0 ? NULL : json_pack("{s:O}", "macs", list));
	json_decref(list);
}

static void list_macs(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct served *served = find(request, arg, name);

	(void)body;
	if (!served)
		return;
	if (served->closing)
		http_refuse(request, 409, "switch %s is being removed", name);
	else
		netswitch_macs(lan_of(served)->netswitch, answer_macs, request);
}

static json_t *workers_json(const struct daemon *daemon)
{
	unsigned cnt;
	struct worker *const *workers = daemon_workers(daemon, &cnt);
	json_t *list = json_array();

	for (unsigned i = 0; i < cnt; i++) {
		json_t *worker = observe_worker(
			workers[i], api_queues_on(daemon, workers[i]),
			placer_worker_busy_permille(daemon_placer(daemon), worker_idx(workers[i])));

		json_object_set_new(worker, "exchange", api_exchange_json(daemon, workers[i]));
		json_array_append_new(list, worker);
	}
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
		    json_pack("{s:o, s:o, s:o, s:o}", "disks",
			      objects_json(api->daemon, CONFIG_DISK, api_object_stats), "ports",
			      objects_json(api->daemon, CONFIG_PORT, api_object_stats), "uplinks",
			      objects_json(api->daemon, CONFIG_UPLINK, api_object_stats), "workers",
			      workers_json(api->daemon)));
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
	api_describe_net(list);
	observe_describe("worker", &worker, list);
	http_answer(request, 200, json_pack("{s:o}", "counters", list));
}

/* What may be done with each kind: plural of the path, what a person calls one. */
#define KIND_ROUTES(plural, one, kind)                                              \
	{"GET", "/v1/" plural, "All " plural " in short.", false, kind, list_kind}, \
		{"POST", "/v1/" plural, "Adds " one ": an object of its keys.",     \
		 true,   kind,          api_add},                                   \
		OBJECT_ROUTES(plural, one, kind)

#define OBJECT_ROUTES(plural, one, kind)                                                           \
	{"GET",      "/v1/" plural "/NAME", "With all that is known of " one ".", false, kind,     \
	 show_object},                                                                             \
		{"GET",                                                                            \
		 "/v1/" plural "/NAME/stats",                                                      \
		 "Counters of " one ".",                                                           \
		 false,                                                                            \
		 kind,                                                                             \
		 show_object_stats},                                                               \
		{"PATCH", "/v1/" plural "/NAME", "Changes keys of " one ".", true, kind, api_set}, \
	{                                                                                          \
		"DELETE", "/v1/" plural "/NAME", "Drains and removes " one ".", false, kind,       \
			api_remove                                                                 \
	}

static const struct http_route routes[] = {
	{"GET", "/v1", "Version, process, counts, and the routes.", false, 0, show_root},
	{"GET", "/v1/daemon", "The daemon's keys and their values.", false, 0, show_daemon},
	{"PATCH", "/v1/daemon", "Changes keys of the daemon.", true, 0, api_set_daemon},
	{"GET", "/v1/objects", "All disks, switches, ports and uplinks in short.", false, 0,
	 list_objects},
	OBJECT_ROUTES("objects", "an object of any kind", CONFIG_ANY),
	KIND_ROUTES("disks", "a disk", CONFIG_DISK),
	{"POST", "/v1/disks/NAME/resize", "Makes a disk larger: {\"size\": \"2G\"}.", true,
	 CONFIG_DISK, api_resize},
	KIND_ROUTES("switches", "a switch", CONFIG_SWITCH),
	{"GET", "/v1/switches/NAME/macs", "The MAC addresses that a switch knows.", false,
	 CONFIG_SWITCH, list_macs},
	KIND_ROUTES("ports", "a port", CONFIG_PORT),
	KIND_ROUTES("uplinks", "an uplink", CONFIG_UPLINK),
	{"GET", "/v1/captures", "All captures with their counters.", false, 0, api_list_captures},
	{"POST", "/v1/captures", "Captures a port or uplink into a file.", true, 0,
	 api_start_capture},
	{"GET", "/v1/captures/NAME", "The capture of a port.", false, 0, api_show_capture},
	{"DELETE", "/v1/captures/NAME", "Ends the capture of a port, and forgets it.", false, 0,
	 api_remove_capture},
	{"GET", "/v1/workers", "All workers with their counters.", false, 0, list_workers},
	{"GET", "/v1/stats", "Counters and latencies of all objects and workers.", false, 0,
	 show_stats},
	{"GET", "/v1/schema", "Every key: type, default, bounds, help.", false, 0, show_schema},
	{"GET", "/v1/counters", "Every counter: unit, kind, help.", false, 0, show_counters},
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
	unsigned worker_cnt;
	json_t *object;

	(void)name;
	(void)body;
	daemon_workers(daemon, &worker_cnt);
	object = json_pack("{s:s, s:i, s:I, s:i, s:i}", "version", PARIO_VERSION, "pid",
			   (int)getpid(), "uptime_s",
			   (json_int_t)((clock_now_ns() - api->opened_ns) / NS_PER_S), "workers",
			   (int)worker_cnt, "queues_running", (int)api_queues_running(daemon));
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++)
		json_object_set_new(object, config_table(kind)->name,
				    json_integer(daemon_cnt(daemon, kind)));
	json_object_set_new(object, "routes", routes_json());
	http_answer(request, 200, object);
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
