/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP with JSON bodies over a UNIX socket, on the control thread's loop; libmicrohttpd underneath.
 * Not what is asked and answered there: that is a table of routes, given by the user (app/api.h).
 *
 * Theory of operation
 *
 * 1. libmicrohttpd has no thread of its own. Its epoll descriptor is watched by our loop, which
 * lets it run; its time-outs are a timer of the loop.
 * 2. A request reaches its handler when all of its body is there. The handler answers it at once or
 *    later (then the connection sleeps), exactly once, with http_answer() or http_refuse().
 * 3. A client that leaves meanwhile is found out when the answer goes to it: a request lives until
 *    it has been answered and its connection has let go of it, whichever comes last. So a handler's
 *    request is always valid, also after http_close(), when its answer goes nowhere.
 * 4. A client that sends or reads slowly stalls itself: a body is collected and an answer sent as
 *    they come, and who is silent for HTTP_SILENCE_S is dropped. So many connections at once are
 *    served; others wait to be accepted.
 * 5. Every error is {"errors": ["...", ...]}: no such path 404, not with this method 405 (Allow
 * says with which), a body that is no JSON object 400, one beyond HTTP_BODY_BYTES_MAX 413.
 *
 * Control thread only.
 */
#ifndef PARIO_CONTROL_HTTP_H
#define PARIO_CONTROL_HTTP_H

#include <jansson.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/evloop.h"

#define HTTP_BODY_BYTES_MAX 65536
#define HTTP_DEPTH_MAX 16 /* of objects and lists in a body */
#define HTTP_CONNECTIONS_MAX 64
#define HTTP_SILENCE_S 10
#define HTTP_NAME_BYTES 128

struct http;
struct http_request;

struct http_route {
	const char *method;
	const char *path; /* "/v1/disks/NAME/resize": the segment NAME stands for any */
	const char *help; /* one sentence */
	bool takes_body;  /* a JSON object; without it others are not looked at */
	unsigned tag;     /* the handler's own */
	/* name: what stands in NAME's place, or ""; body: borrowed; NULL unless takes_body. */
	void (*handle)(struct http_request *request, const char *name, json_t *body, void *arg);
};

/* Of the route of a request that is being handled. */
unsigned http_tag(const struct http_request *request);

/*
 * Listens on path with mode 0600: a stale socket file is replaced, a live one and what is no socket
 * are refused. routes and arg are borrowed. SIGPIPE must be ignored in the process. 0 or -errno
 * with text.
 */
int http_open(struct evloop *loop, const char *path, const struct http_route *routes,
	      unsigned route_cnt, void *arg, struct http **out, struct err *err);
/*
 * Removes the socket and ends all connections. Requests that are not answered yet get 503; their
 * handlers answer them all the same. Not from within a handler. NULL is allowed.
 */
void http_close(struct http *http);

/* Answers with a status and a body, which is taken; NULL (no memory) becomes 500. */
void http_answer(struct http_request *request, unsigned status, json_t *body);
/* Answers with one error. */
void http_refuse(struct http_request *request, unsigned status, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

#endif
