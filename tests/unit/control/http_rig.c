/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes, the loop's turns, and what clients do. Not tests.
 */
#include "http_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fdio.h"
#include "base/socket.h"
#include "control/http.h"

/* --- the routes under test --- */

static void handle_now(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct stage *stage = arg;

	stage->handled++;
	snprintf(stage->name, sizeof(stage->name), "%s", name);
	http_answer(request, body ? 201 : 200,
		    json_pack("{s:s, s:O*}", "name", name, "body", body));
}

static void handle_later(struct http_request *request, const char *name, json_t *body, void *arg)
{
	struct stage *stage = arg;

	(void)name;
	(void)body;
	assert_true(stage->waiting_cnt < WAITING_MAX);
	stage->waiting[stage->waiting_cnt++] = request;
}

static void handle_big(struct http_request *request, const char *name, json_t *body, void *arg)
{
	char *text = malloc(BIG_BYTES + 1);

	(void)name;
	(void)body;
	(void)arg;
	assert_non_null(text);
	memset(text, 'x', BIG_BYTES);
	text[BIG_BYTES] = '\0';
	http_answer(request, 200, json_pack("{s:s}", "big", text));
	free(text);
}

static void handle_refuse(struct http_request *request, const char *name, json_t *body, void *arg)
{
	(void)body;
	(void)arg;
	http_refuse(request, 409, "\"%s\" \xff is taken", name);
}

const struct http_route http_routes[] = {
	{"GET", "/v1/things", "Lists.", false, 0, handle_now},
	{"POST", "/v1/things", "Adds.", true, 0, handle_now},
	{"GET", "/v1/things/NAME", "Shows.", false, 0, handle_now},
	{"DELETE", "/v1/things/NAME", "Removes, later.", false, 0, handle_later},
	{"POST", "/v1/things/NAME/change", "Changes.", true, 0, handle_now},
	{"GET", "/v1/big", "Much.", false, 0, handle_big},
	{"GET", "/v1/no/NAME", "No.", false, 0, handle_refuse},
};

const unsigned http_route_cnt = ARRAY_LEN(http_routes);

int stage_setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	if (!stage)
		return -1;
	snprintf(stage->dir, sizeof(stage->dir), "/tmp/pario-http-XXXXXX");
	if (!mkdtemp(stage->dir))
		return -1;
	snprintf(stage->path, sizeof(stage->path), "%s/s", stage->dir);
	stage->loop = evloop_new(NULL);
	*state = stage;
	return stage->loop && http_open(stage->loop, stage->path, http_routes, http_route_cnt,
					stage, &stage->http, NULL) == 0
		       ? 0
		       : -1;
}

int stage_teardown(void **state)
{
	struct stage *stage = *state;
	int left;

	http_close(stage->http);
	evloop_free(stage->loop);
	unlink(stage->path);
	left = rmdir(stage->dir);
	free(stage);
	return left;
}

/* --- clients --- */

struct client client_open(const struct stage *stage)
{
	struct client client = {.fd = -1};

	assert_int_equal(socket_connect(stage->path, &client.fd, NULL), 0);
	client.text = calloc(1, 1);
	return client;
}

void client_close(struct client *client)
{
	fdio_close(&client->fd);
	free(client->text);
	client->text = NULL;
}

void client_read(struct client *client)
{
	static char part[65536];
	ssize_t got = recv(client->fd, part, sizeof(part), MSG_DONTWAIT);

	if (got < 0) {
		client->eof = errno == ECONNRESET;
		assert_true(client->eof || errno == EAGAIN);
	} else if (got == 0) {
		client->eof = true;
	} else {
		client->text = realloc(client->text, client->len + (size_t)got + 1);
		assert_non_null(client->text);
		memcpy(client->text + client->len, part, (size_t)got);
		client->len += (size_t)got;
		client->text[client->len] = '\0';
	}
}

void client_send_bytes(struct stage *stage, struct client *client, const char *text, size_t len)
{
	while (len) {
		ssize_t sent = send(client->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN)
			return; /* the server has hung up: its answer is judged, not this */
		if (sent > 0) {
			text += sent;
			len -= (size_t)sent;
		}
		assert_int_equal(evloop_turn(stage->loop, 0), 0);
	}
}

void client_send(struct stage *stage, struct client *client, const char *text)
{
	client_send_bytes(stage, client, text, strlen(text));
}

void expect(struct stage *stage, struct client *client, int status, const char *words)
{
	char line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	turn_until(stage, client,
		   client->eof || (strstr(client->text, "\r\n\r\n") &&
				   strstr(strstr(client->text, "\r\n\r\n"), "}\n")));
	if (!strstr(client->text, line) || !strstr(client->text, words))
		fail_msg("wanted %s and \"%s\", got:\n%s", line, words, client->text);
}

void ask(struct stage *stage, const char *request, int status, const char *words)
{
	struct client client = client_open(stage);

	client_send(stage, &client, request);
	expect(stage, &client, status, words);
	client_close(&client);
}

void still_serves(struct stage *stage)
{
	ask(stage, "GET /v1/things HTTP/1.1\r\nHost: x\r\n\r\n", 200, "{\"name\":\"\"}");
}
