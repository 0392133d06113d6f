/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between http.c and http_request.c: a request from its first header to its answer.
 * Not for handlers (http.h).
 */
#ifndef PARIO_CONTROL_HTTP_PRIV_H
#define PARIO_CONTROL_HTTP_PRIV_H

#include <microhttpd.h>
#include <stddef.h>

#include "base/list.h"
#include "base/socket.h"
#include "control/http.h"

struct http {
	struct evloop *loop;
	struct MHD_Daemon *mhd;
	struct evloop_fd watch;
	struct evloop_timer timer;
	const struct http_route *routes;
	unsigned route_cnt;
	void *arg;
	char *path;
	struct socket_file file;
	struct list_node waiting; /* requests whose connections sleep */
	unsigned open_cnt;        /* requests that libmicrohttpd knows */
	bool run_soon;            /* a connection was woken since libmicrohttpd last ran */
	bool full;                /* HTTP_CONNECTIONS_MAX after its last run */
	bool closing;
};

struct http_request {
	struct http *http;
	struct MHD_Connection *connection;
	const struct http_route *route; /* NULL: none */
	char method[16];
	char path[HTTP_NAME_BYTES + 64];
	char name[HTTP_NAME_BYTES];
	char *body;
	size_t body_bytes; /* also those beyond the maximum, which are not kept */
	/* The answer, once there is one. */
	char *answer;
	unsigned status;
	bool begun;  /* the handler has it, or needs not to have it */
	bool asleep; /* in http->waiting */
	/* Who still knows it; free when nobody does. */
	bool held_by_connection;
	bool held_by_handler;
	struct list_node node;
};

/* libmicrohttpd's callbacks; cls is the struct http, *slot the request. */
enum MHD_Result http_request_step(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_bytes, void **slot);
void http_request_completed(void *cls, struct MHD_Connection *connection, void **slot,
			    enum MHD_RequestTerminationCode code);

/* libmicrohttpd has work that no descriptor tells of. */
void http_run_soon(struct http *http);

/* Wakes a request that sleeps, with 503 for an answer. */
void http_request_cut(struct http_request *request);

#endif
