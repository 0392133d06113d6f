/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: found in the table of routes, its body collected and judged, its answer sent.
 * Not connections and not the socket (http.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "control/http_priv.h"
#include "control/json_text.h"

#define NAME_SEGMENT "NAME"
/* Of a body that is too large, what is read and forgotten so that its sender sees the answer. */
#define FORGOTTEN_BYTES_MAX (16 * HTTP_BODY_BYTES_MAX)

/* Not const because libmicrohttpd's argument is not; it does not write there. */
static char no_memory[] = "{\"errors\":[\"no memory\"]}\n";

/* Does path fit the route? Then name is what stands for NAME; it is cut to no size. */
static bool path_fits(const char *route, const char *path, char *name)
{
	size_t len;

	name[0] = '\0';
	while (*route && *path) {
		if (strncmp(route, NAME_SEGMENT, strlen(NAME_SEGMENT)) == 0) {
			len = strcspn(path, "/");
			if (len == 0 || len >= HTTP_NAME_BYTES)
				return false;
			memcpy(name, path, len);
			name[len] = '\0';
			route += strlen(NAME_SEGMENT);
			path += len;
		} else if (*route++ != *path++) {
			return false;
		}
	}
	return *route == *path;
}

/* HEAD is GET whose answer libmicrohttpd sends without the body. */
unsigned http_tag(const struct http_request *request)
{
	return request->route->tag;
}

static bool method_fits(const char *route, const char *method)
{
	return strcmp(route, strcmp(method, "HEAD") == 0 ? "GET" : method) == 0;
}

static const struct http_route *find_route(const struct http *http, struct http_request *request)
{
	for (unsigned i = 0; i < http->route_cnt; i++) {
		if (method_fits(http->routes[i].method, request->method) &&
		    path_fits(http->routes[i].path, request->path, request->name))
			return &http->routes[i];
	}
	return NULL;
}

/* "GET, PATCH": methods of all routes that the path fits; "" if there is none. */
static void allowed_methods(const struct http_request *request, char *buf, size_t size)
{
	const struct http *http = request->http;
	char name[HTTP_NAME_BYTES];
	size_t len = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < http->route_cnt && len < size; i++) {
		if (path_fits(http->routes[i].path, request->path, name))
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						http->routes[i].method);
	}
}

static json_t *error_json(const char *text)
{
	return json_pack("{s:[o]}", "errors", json_text(text));
}

/* Takes body. The first answer counts. */
static void set_answer(struct http_request *request, unsigned status, json_t *body)
{
	char *line;

	if (!request->status) {
		char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
		size_t len = text ? strlen(text) : 0;

		line = text ? realloc(text, len + 2) : NULL;
		if (line)
			memcpy(line + len, "\n", 2);
		else
			free(text);
		request->answer = line;
		request->status = line ? status : 500;
		log_debug("api", "%s %s: %u", request->method, request->path, request->status);
	}
	json_decref(body);
}

static void free_if_unheld(struct http_request *request)
{
	if (request->held_by_connection || request->held_by_handler)
		return;
	free(request->body);
	free(request->answer);
	free(request);
}

static void wake(struct http_request *request)
{
	if (!request->asleep)
		return;
	request->asleep = false;
	list_remove(&request->node);
	MHD_resume_connection(request->connection);
	http_run_soon(request->http);
}

void http_answer(struct http_request *request, unsigned status, json_t *body)
{
	CHECK(request->held_by_handler);
	request->held_by_handler = false;
	set_answer(request, status, body);
	wake(request);
	free_if_unheld(request);
}

void http_refuse(struct http_request *request, unsigned status, const char *fmt, ...)
{
	struct err text = ERR_INIT;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, ap);
	va_end(ap);
	http_answer(request, status, error_json(text.text));
}

void http_request_cut(struct http_request *request)
{
	set_answer(request, 503, error_json("the daemon is ending"));
	wake(request);
}

/* How deep objects and lists stand in each other; the parser bounds only what could hurt itself. */
static unsigned text_depth(const char *text, size_t len)
{
	unsigned depth = 0;
	unsigned deepest = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '{' || text[i] == '['))
			deepest = ++depth > deepest ? depth : deepest;
		else if (!quoted && (text[i] == '}' || text[i] == ']') && depth)
			depth--;
	}
	return deepest;
}

/* NULL after an answer. */
static json_t *parse_body(struct http_request *request)
{
	json_error_t error;
	json_t *body;
	char text[ERR_TEXT_BYTES];

	if (request->body_bytes == 0) {
		set_answer(request, 400, error_json("a body is needed: a JSON object"));
		return NULL;
	}
	if (text_depth(request->body, request->body_bytes) > HTTP_DEPTH_MAX) {
		snprintf(text, sizeof(text), "the body is nested more than %d deep",
			 HTTP_DEPTH_MAX);
		set_answer(request, 400, error_json(text));
		return NULL;
	}
	body = json_loadb(request->body, request->body_bytes,
			  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!body) {
		snprintf(text, sizeof(text), "the body is not valid JSON: line %d, column %d: %s",
			 error.line, error.column, error.text);
		set_answer(request, 400, error_json(text));
	} else if (!json_is_object(body)) {
		json_decref(body);
		body = NULL;
		set_answer(request, 400, error_json("the body must be a JSON object"));
	}
	return body;
}

static void refuse_route(struct http_request *request)
{
	char text[ERR_TEXT_BYTES];
	char methods[128];

	allowed_methods(request, methods, sizeof(methods));
	if (methods[0])
		snprintf(text, sizeof(text), "%s is not for %s (allowed: %s)", request->method,
			 request->path, methods);
	else
		snprintf(text, sizeof(text), "there is no %s", request->path);
	set_answer(request, methods[0] ? 405 : 404, error_json(text));
}

static void refuse_large(struct http_request *request)
{
	char text[ERR_TEXT_BYTES];

	snprintf(text, sizeof(text), "the body is larger than %d bytes", HTTP_BODY_BYTES_MAX);
	set_answer(request, 413, error_json(text));
}

/* All of the body is there. Afterwards there is an answer, or the handler will give one. */
static void dispatch(struct http_request *request)
{
	struct http *http = request->http;
	json_t *body = NULL;

	request->begun = true;
	if (http->closing) {
		http_request_cut(request);
	} else if (!request->route) {
		refuse_route(request);
	} else if (request->body_bytes > HTTP_BODY_BYTES_MAX) {
		refuse_large(request);
	} else {
		if (request->route->takes_body) {
			body = parse_body(request);
			if (!body)
				return;
		}
		request->held_by_handler = true;
		request->route->handle(request, request->name, body, http->arg);
		json_decref(body);
	}
}

static enum MHD_Result send_answer(struct http_request *request)
{
	struct MHD_Response *response;
	enum MHD_Result result;
	char methods[128];

	if (request->answer)
		response = MHD_create_response_from_buffer(strlen(request->answer), request->answer,
							   MHD_RESPMEM_MUST_FREE);
	else
		response = MHD_create_response_from_buffer(sizeof(no_memory) - 1, no_memory,
							   MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	request->answer = NULL;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	if (request->status == 405) {
		allowed_methods(request, methods, sizeof(methods));
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, methods);
	}
	/* What was not read of the body, or a listener that is gone: no further request. */
	if (request->http->closing || request->status == 413)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(request->connection, request->status, response);
	MHD_destroy_response(response);
	return result;
}

static struct http_request *request_new(struct http *http, struct MHD_Connection *connection,
					const char *url, const char *method)
{
	struct http_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->http = http;
	request->connection = connection;
	request->held_by_connection = true;
	list_init(&request->node);
	/* Cut, either fits no route. */
	snprintf(request->method, sizeof(request->method), "%s", method);
	snprintf(request->path, sizeof(request->path), "%s", url);
	request->route = find_route(http, request);
	http->open_cnt++;
	return request;
}

/* A length that was announced and is too much: no reason to let it come. */
static bool announces_too_much(struct MHD_Connection *connection)
{
	const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
						       MHD_HTTP_HEADER_CONTENT_LENGTH);

	return text && strtoull(text, NULL, 10) > FORGOTTEN_BYTES_MAX;
}

static enum MHD_Result collect(struct http_request *request, const char *data, size_t bytes)
{
	size_t total = request->body_bytes + bytes;
	char *body;

	if (total > FORGOTTEN_BYTES_MAX)
		return MHD_NO;
	request->body_bytes = total;
	if (total > HTTP_BODY_BYTES_MAX) {
		free(request->body);
		request->body = NULL;
		return MHD_YES;
	}
	body = realloc(request->body, total);
	if (!body)
		return MHD_NO;
	memcpy(body + total - bytes, data, bytes);
	request->body = body;
	return MHD_YES;
}

enum MHD_Result http_request_step(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_bytes, void **slot)
{
	struct http *http = cls;
	struct http_request *request = *slot;
	size_t bytes = *upload_bytes;

	(void)version;
	if (!request) {
		*slot = request = request_new(http, connection, url, method);
		if (!request)
			return MHD_NO;
		if (!announces_too_much(connection))
			return MHD_YES;
		request->begun = true;
		refuse_large(request);
		return send_answer(request);
	}
	if (bytes) {
		*upload_bytes = 0;
		return collect(request, upload, bytes);
	}
	if (!request->begun)
		dispatch(request);
	if (request->status)
		return send_answer(request);
	request->asleep = true;
	list_push_back(&http->waiting, &request->node);
	MHD_suspend_connection(connection);
	return MHD_YES;
}

void http_request_completed(void *cls, struct MHD_Connection *connection, void **slot,
			    enum MHD_RequestTerminationCode code)
{
	struct http *http = cls;
	struct http_request *request = *slot;

	(void)connection;
	(void)code;
	if (!request)
		return;
	*slot = NULL;
	http->open_cnt--;
	/* Suspended connections end only after they were woken (http_close). */
	CHECK(!request->asleep);
	request->held_by_connection = false;
	request->connection = NULL;
	free_if_unheld(request);
}
