/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes that change something: each begins an operation and is answered when that is done.
 * Not the operations (operate.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/api_priv.h"
#include "control/json_text.h"

/* Lives from the request to the operation's end, perhaps longer than the API. */
struct change {
	struct operation op;
	struct daemon *daemon;
	struct http_request *request;
	json_t *complaints;
	json_t *(*answer)(const struct change *change);
	unsigned status; /* of success */
	enum config_kind kind;
	char name[HTTP_NAME_BYTES];
};

static json_t *answer_object(const struct change *change)
{
	struct served *served = daemon_find(change->daemon, change->kind, change->name);

	return served ? api_object_json(served) : json_object();
}

/* The last one: its name in the request may have been a number. */
static json_t *answer_added(const struct change *change)
{
	return api_object_json(daemon_at(change->daemon, change->kind,
					 daemon_cnt(change->daemon, change->kind) - 1));
}

static json_t *answer_daemon(const struct change *change)
{
	return api_daemon_json(change->daemon);
}

static json_t *answer_removed(const struct change *change)
{
	return json_pack("{s:s}", "removed", change->name);
}

unsigned api_status(int rc)
{
	switch (rc) {
	case -EINVAL:
		return 400;
	case -ENOENT:
		return 404;
	case -EBUSY:
		return 409;
	case -ENOSYS:
		return 501;
	case -ENOMEM:
		return 503;
	default:
		return 500;
	}
}

static void complain(void *arg, const char *line)
{
	struct change *change = arg;

	json_array_append_new(change->complaints, json_text(line));
}

static void done(struct operation *op, int rc)
{
	struct change *change = container_of(op, struct change, op);

	if (rc == 0) {
		http_answer(change->request, change->status, change->answer(change));
	} else {
		if (json_array_size(change->complaints) == 0)
			complain(change, strerror(-rc));
		http_answer(change->request, api_status(rc),
			    json_pack("{s:O}", "errors", change->complaints));
	}
	json_decref(change->complaints);
	free(change);
}

/* NULL after an answer. */
static struct change *begin(const struct api *api, struct http_request *request, const char *name,
			    json_t *(*answer)(const struct change *change))
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		http_refuse(request, 503, "no memory");
		return NULL;
	}
	change->daemon = api->daemon;
	change->request = request;
	change->kind = http_tag(request);
	change->complaints = json_array();
	change->answer = answer;
	change->status = 200;
	change->op.done = done;
	change->op.errors.say = complain;
	change->op.errors.arg = change;
	strncpy(change->name, name, sizeof(change->name) - 1);
	return change;
}

void api_set_daemon(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct api *api = arg;
	struct change *change = begin(api, request, name, answer_daemon);

	if (change)
		operate_set_daemon(api->daemon, body, &change->op);
}

void api_add(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct api *api = arg;
	struct change *change = begin(api, request, name, answer_added);

	if (!change)
		return;
	change->status = 201;
	operate_add(api->daemon, change->kind, body, &change->op);
}

void api_set(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct api *api = arg;
	struct change *change = begin(api, request, name, answer_object);

	if (change)
		operate_set(api->daemon, change->kind, name, body, &change->op);
}

void api_remove(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct api *api = arg;
	struct change *change = begin(api, request, name, answer_removed);

	(void)body;
	if (change)
		operate_remove(api->daemon, change->kind, name, &change->op);
}

void api_resize(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct api *api = arg;
	const json_t *size = json_object_get(body, "size");
	struct change *change;
	char text[64] = "";

	if (json_is_integer(size))
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(size));
	else if (json_is_string(size))
		snprintf(text, sizeof(text), "%.60s", json_string_value(size));
	if (!text[0] || json_object_size(body) != 1) {
		http_refuse(request, 400,
			    "disk %s: a size is needed, and nothing else: {\"size\": \"2G\"}",
			    name);
		return;
	}
	change = begin(api, request, name, answer_object);
	if (change)
		operate_resize(api->daemon, name, text, &change->op);
}
