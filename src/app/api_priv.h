/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between api.c, api_change.c and api_disks.c. Not for the daemon (api.h).
 */
#ifndef PARIO_APP_API_PRIV_H
#define PARIO_APP_API_PRIV_H

#include <jansson.h>
#include <stdint.h>

#include "app/api.h"
#include "control/http.h"

struct api {
	struct daemon *daemon;
	struct http *http;
	uint64_t opened_ns;
};

/* api_disks.c: documents, new references. */
json_t *api_disk_json(const struct disk *disk);
json_t *api_disk_summary(const struct disk *disk);
json_t *api_disk_stats(const struct disk *disk);
unsigned api_queues_on(const struct daemon *daemon, const struct worker *worker);

/* api.c */
json_t *api_daemon_json(const struct daemon *daemon);

/* api_change.c: handlers of the routes that change something; arg is the struct api. */
void api_set_daemon(struct http_request *request, const char *name, json_t *body, void *arg);
void api_add_disk(struct http_request *request, const char *name, json_t *body, void *arg);
void api_set_disk(struct http_request *request, const char *name, json_t *body, void *arg);
void api_remove_disk(struct http_request *request, const char *name, json_t *body, void *arg);
void api_resize_disk(struct http_request *request, const char *name, json_t *body, void *arg);

#endif
