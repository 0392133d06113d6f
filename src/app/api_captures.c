/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes of captures. Not the captures (captures.h).
 */
#include <stdlib.h>
#include <string.h>

#include "app/api_priv.h"
#include "app/captures.h"
#include "base/compiler.h"
#include "control/json_text.h"

/* Lives from the request to its answer, perhaps longer than the API. */
struct capture_request {
	struct captures_order order;
	struct http_request *request;
	json_t *complaints;
	unsigned status; /* of success */
};

static void complain(void *arg, const char *line)
{
	struct capture_request *asked = arg;

	json_array_append_new(asked->complaints, json_text(line));
}

static void done(struct captures_order *order, int rc, const struct captured *captured)
{
	struct capture_request *asked = container_of(order, struct capture_request, order);

	if (rc == 0)
		http_answer(asked->request, asked->status, captured_json(captured));
	else
		http_answer(asked->request, api_status(rc),
			    json_pack("{s:O}", "errors", asked->complaints));
	json_decref(asked->complaints);
	free(asked);
}

/* NULL after an answer. */
static struct capture_request *ask(struct http_request *request, unsigned status)
{
	struct capture_request *asked = calloc(1, sizeof(*asked));

	if (!asked) {
		http_refuse(request, 503, "no memory");
		return NULL;
	}
	asked->request = request;
	asked->status = status;
	asked->complaints = json_array();
	asked->order.done = done;
	asked->order.errors.say = complain;
	asked->order.errors.arg = asked;
	return asked;
}

void api_list_captures(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;

	(void)name;
	(void)body;
	http_answer(request, 200, captures_json(daemon_captures(api->daemon)));
}

void api_show_capture(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	const struct captured *captured = captures_find(daemon_captures(api->daemon), name);

	(void)body;
	if (captured)
		http_answer(request, 200, captured_json(captured));
	else
		http_refuse(request, 404, "there is no capture of \"%s\"", name);
}

void api_start_capture(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	struct capture_request *asked = ask(request, 201);

	(void)name;
	if (asked)
		captures_start(daemon_captures(api->daemon), body, &asked->order);
}

void api_remove_capture(struct http_request *request, const char *name, json_t *body, void *arg)
{
	const struct api *api = arg;
	struct capture_request *asked = ask(request, 200);

	(void)body;
	if (asked)
		captures_remove(daemon_captures(api->daemon), name, &asked->order);
}
