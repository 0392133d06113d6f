/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between api.c, api_captures.c, api_change.c, api_front.c and api_objects.c. Not for the daemon
 * (api.h).
 */
#ifndef PARIO_APP_API_PRIV_H
#define PARIO_APP_API_PRIV_H

#include <jansson.h>
#include <stdint.h>

#include "app/api.h"
#include "app/served_front.h"
#include "control/http.h"

struct api {
	struct daemon *daemon;
	struct http *http;
	uint64_t opened_ns;
};

/* api_front.c: parts of documents, new references; the device is there. */
json_t *api_placement_json(const struct served_front *front);
json_t *api_queues_json(const struct served_front *front);
json_t *api_front_counters(const struct served_front *front);
json_t *api_front_pid(const struct served_front *front);
/* worker NULL: on any. */
unsigned api_queues_on(const struct daemon *daemon, const struct worker *worker);
unsigned api_queues_running(const struct daemon *daemon);

/* api_objects.c: documents, new references. */
json_t *api_object_json(struct served *served);
json_t *api_object_summary(struct served *served);
json_t *api_object_stats(struct served *served);
/* What a worker had to do with others' frames. */
json_t *api_exchange_json(const struct daemon *daemon, const struct worker *worker);
/* Describes the counters of ports, uplinks and exchanges. */
void api_describe_net(json_t *list);

/* api_steering.c: of a port whose device is there. */
struct port;
json_t *api_steering_json(const struct port *port);

/* api.c */
json_t *api_daemon_json(const struct daemon *daemon);

/* api_captures.c: handlers, as below. */
void api_list_captures(struct http_request *request, const char *name, json_t *body, void *arg);
void api_show_capture(struct http_request *request, const char *name, json_t *body, void *arg);
void api_start_capture(struct http_request *request, const char *name, json_t *body, void *arg);
void api_remove_capture(struct http_request *request, const char *name, json_t *body, void *arg);

/* api_change.c: the HTTP status of a change that ended with rc, which is not 0. */
unsigned api_status(int rc);
/* Handlers of the routes that change something; arg is the struct api. */
void api_set_daemon(struct http_request *request, const char *name, json_t *body, void *arg);
void api_add(struct http_request *request, const char *name, json_t *body, void *arg);
void api_set(struct http_request *request, const char *name, json_t *body, void *arg);
void api_remove(struct http_request *request, const char *name, json_t *body, void *arg);
void api_resize(struct http_request *request, const char *name, json_t *body, void *arg);

#endif
