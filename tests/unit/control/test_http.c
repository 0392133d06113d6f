/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server over a real socket: what clients may send, in which pieces, and when they leave.
 * Not the API that is built on it (tests/peers/test_api.py).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fdio.h"
#include "base/socket.h"
#include "control/http.h"

#define DEADLINE_NS (60 * NS_PER_S)
#define BIG_BYTES (4u << 20)
#define WAITING_MAX 4

struct stage {
	struct evloop *loop;
	struct http *http;
	char dir[32];
	char path[48];
	struct http_request *waiting[WAITING_MAX];
	unsigned waiting_cnt;
	unsigned handled;
	char name[HTTP_NAME_BYTES];
};

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

static const struct http_route routes[] = {
	{"GET", "/v1/things", "Lists.", false, handle_now},
	{"POST", "/v1/things", "Adds.", true, handle_now},
	{"GET", "/v1/things/NAME", "Shows.", false, handle_now},
	{"DELETE", "/v1/things/NAME", "Removes, later.", false, handle_later},
	{"POST", "/v1/things/NAME/change", "Changes.", true, handle_now},
	{"GET", "/v1/big", "Much.", false, handle_big},
	{"GET", "/v1/no/NAME", "No.", false, handle_refuse},
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	if (!stage)
		return -1;
	strcpy(stage->dir, "/tmp/pario-http-XXXXXX");
	if (!mkdtemp(stage->dir))
		return -1;
	snprintf(stage->path, sizeof(stage->path), "%s/s", stage->dir);
	stage->loop = evloop_new(NULL);
	*state = stage;
	return stage->loop && http_open(stage->loop, stage->path, routes, ARRAY_LEN(routes), stage,
					&stage->http, NULL) == 0
		       ? 0
		       : -1;
}

static int teardown(void **state)
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

struct client {
	int fd;
	char *text; /* all that came, NUL-terminated */
	size_t len;
	bool eof;
};

static struct client client_open(const struct stage *stage)
{
	struct client client = {.fd = -1};

	assert_int_equal(socket_connect(stage->path, &client.fd, NULL), 0);
	client.text = calloc(1, 1);
	return client;
}

static void client_close(struct client *client)
{
	fdio_close(&client->fd);
	free(client->text);
	client->text = NULL;
}

static void client_read(struct client *client)
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

/* Turns the loop, and lets the client read, until the condition holds. */
#define turn_until(stage, client, condition)                                \
	do {                                                                \
		const uint64_t until_ns_ = clock_now_ns() + DEADLINE_NS;    \
		while (!(condition)) {                                      \
			assert_int_equal(evloop_turn((stage)->loop, 2), 0); \
			client_read(client);                                \
			assert_true(clock_now_ns() < until_ns_);            \
		}                                                           \
	} while (0)

static void client_send_bytes(struct stage *stage, struct client *client, const char *text,
			      size_t len)
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

static void client_send(struct stage *stage, struct client *client, const char *text)
{
	client_send_bytes(stage, client, text, strlen(text));
}

static unsigned count(const char *text, const char *word)
{
	unsigned cnt = 0;

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
		cnt++;
	return cnt;
}

/* The server answers with this status and a body that has the words. */
static void expect(struct stage *stage, struct client *client, int status, const char *words)
{
	char line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %d ", status);
	turn_until(stage, client,
		   client->eof || (strstr(client->text, "\r\n\r\n") &&
				   strstr(strstr(client->text, "\r\n\r\n"), "}\n")));
	if (!strstr(client->text, line) || !strstr(client->text, words))
		fail_msg("wanted %s and \"%s\", got:\n%s", line, words, client->text);
}

static void ask(struct stage *stage, const char *request, int status, const char *words)
{
	struct client client = client_open(stage);

	client_send(stage, &client, request);
	expect(stage, &client, status, words);
	client_close(&client);
}

static void still_serves(struct stage *stage)
{
	ask(stage, "GET /v1/things HTTP/1.1\r\nHost: x\r\n\r\n", 200, "{\"name\":\"\"}");
}

/* --- tests --- */

static void routes_are_found(void **state)
{
	ask(*state, "GET /v1/things/vda HTTP/1.1\r\nHost: x\r\n\r\n", 200, "{\"name\":\"vda\"}");
	ask(*state, "GET /v1/things/v%64a?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "\"vda\"");
	ask(*state,
	    "POST /v1/things/vda/change HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n"
	    "{\"a\":1}",
	    201, "{\"name\":\"vda\",\"body\":{\"a\":1}}");
	ask(*state, "GET /v1/no/vda HTTP/1.1\r\nHost: x\r\n\r\n", 409,
	    "{\"errors\":[\"\\\"vda\\\" ? is taken\"]}");
}

static void other_paths_are_refused(void **state)
{
	static const char *const paths[] = {"/",
					    "/v1",
					    "/v1/thing",
					    "/v1/thingss",
					    "/v1/things/",
					    "/v1/things/a/b",
					    "/v1/things//change"};
	char request[512];

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[i]);
		ask(*state, request, 404, "{\"errors\":[\"there is no ");
	}
	/* Longer than any name and any route. */
	snprintf(request, sizeof(request), "GET /v1/things/%0*d HTTP/1.1\r\nHost: x\r\n\r\n", 300,
		 1);
	ask(*state, request, 404, "there is no /v1/things/000");
	assert_int_equal(((struct stage *)*state)->handled, 0);
}

static void other_methods_are_refused(void **state)
{
	struct client client = client_open(*state);

	ask(*state, "PUT /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 405,
	    "PUT is not for /v1/things (allowed: GET, POST)");
	ask(*state, "POST /v1/things/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405,
	    "\r\nAllow: GET, DELETE\r\n");
	client_send(*state, &client, "HEAD /v1/things HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until((struct stage *)*state, &client, strstr(client.text, "\r\n\r\n"));
	assert_non_null(strstr(client.text, "HTTP/1.1 200 "));
	assert_non_null(strstr(client.text, "Content-Length: 12\r\n"));
	assert_null(strchr(client.text, '{'));
	client_close(&client);
}

static void a_request_may_come_a_byte_at_a_time(void **state)
{
	static const char request[] = "POST /v1/things HTTP/1.1\r\nHost: x\r\n"
				      "Transfer-Encoding: chunked\r\n\r\n"
				      "3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
	struct client client = client_open(*state);

	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		client_send_bytes(*state, &client, &request[i], 1);
		/* A client that is slow stalls only itself. */
		if (i % 40 == 0)
			still_serves(*state);
	}
	expect(*state, &client, 201, "{\"name\":\"\",\"body\":{\"a\":1}}");
	client_close(&client);
}

static void requests_may_come_together(void **state)
{
	struct stage *stage = *state;
	struct client client = client_open(stage);

	client_send(stage, &client,
		    "DELETE /v1/things/one HTTP/1.1\r\nHost: x\r\n\r\n"
		    "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
		    "GET /v1/things/three HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(stage, &client, stage->waiting_cnt == 1);
	still_serves(stage);
	client_read(&client);
	assert_int_equal(client.len, 0);
	http_answer(stage->waiting[0], 200, json_pack("{s:s}", "name", "one"));
	turn_until(stage, &client, count(client.text, "}\n") == 3);
	assert_true(strstr(client.text, "one") < strstr(client.text, "\"body\""));
	assert_true(strstr(client.text, "\"body\"") < strstr(client.text, "three"));
	client_close(&client);
}

static void several_may_wait(void **state)
{
	struct stage *stage = *state;
	struct client clients[WAITING_MAX];

	for (unsigned i = 0; i < WAITING_MAX; i++) {
		clients[i] = client_open(stage);
		client_send(stage, &clients[i], "DELETE /v1/things/x HTTP/1.1\r\nHost: x\r\n\r\n");
		turn_until(stage, &clients[i], stage->waiting_cnt == i + 1);
	}
	for (unsigned i = WAITING_MAX; i-- > 0;) {
		http_answer(stage->waiting[i], 200, json_pack("{s:i}", "idx", (int)i));
		expect(stage, &clients[i], 200, "\"idx\":");
		client_close(&clients[i]);
	}
}

static void a_client_may_leave_while_it_waits(void **state)
{
	struct stage *stage = *state;
	struct client client = client_open(stage);

	client_send(stage, &client, "DELETE /v1/things/x HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(stage, &client, stage->waiting_cnt == 1);
	client_close(&client);
	still_serves(stage);
	http_answer(stage->waiting[0], 200, json_object());
	still_serves(stage);
}

static void a_client_may_leave_in_the_middle(void **state)
{
	struct client client = client_open(*state);

	client_send(*state, &client,
		    "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"a\":");
	client_close(&client);
	still_serves(*state);
	assert_int_equal(((struct stage *)*state)->handled, 1);
}

static void the_end_answers_who_waits(void **state)
{
	struct stage *stage = *state;
	struct client client = client_open(stage);
	struct client left = client_open(stage);

	client_send(stage, &client, "DELETE /v1/things/x HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(stage, &client, stage->waiting_cnt == 1);
	client_send(stage, &left, "DELETE /v1/things/y HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(stage, &left, stage->waiting_cnt == 2);
	client_close(&left);
	http_close(stage->http);
	stage->http = NULL;
	assert_int_equal(access(stage->path, F_OK), -1);
	expect(stage, &client, 503, "the daemon is ending");
	turn_until(stage, &client, client.eof);
	/* Handlers answer all the same, to nobody. */
	http_answer(stage->waiting[0], 200, json_object());
	http_refuse(stage->waiting[1], 404, "gone");
	client_close(&client);
}

static void bodies_are_judged(void **state)
{
	static const struct {
		const char *body;
		const char *words;
	} cases[] = {
		{"", "a body is needed: a JSON object"},
		{"[]", "must be a JSON object"},
		{"1", "must be a JSON object"},
		{"null", "must be a JSON object"},
		{"{", "not valid JSON: line 1, column 1: "},
		{"{\"a\":1}x", "not valid JSON: line 1, column 8: end of file expected"},
		{"{\"a\":1,\"a\":2}", "duplicate object key"},
		{"{\"a\":\"\\u0000\"}", "not valid JSON"},
		{"{\"a\":\"\xff\"}", "not valid JSON"},
		{"{\"\\\"[[[[[[[[[[[[[[[[[\":", "not valid JSON"},
		{"{'a':1}", "not valid JSON"},
		{"{\"a\":1e999}", "not valid JSON"},
	};
	char request[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(request, sizeof(request),
			 "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(cases[i].body), cases[i].body);
		ask(*state, request, 400, cases[i].words);
	}
	assert_int_equal(((struct stage *)*state)->handled, 0);
}

/* {"a":{"a":...{}...}} with so many levels. */
static void ask_nested(struct stage *stage, unsigned depth, int status, const char *words)
{
	char body[1024] = "";
	char request[2048];

	for (unsigned i = 1; i < depth; i++)
		strcat(body, "{\"a\":");
	strcat(body, "{");
	for (unsigned i = 0; i < depth; i++)
		strcat(body, "}");
	snprintf(request, sizeof(request),
		 "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	ask(stage, request, status, words);
}

static void depth_is_bounded(void **state)
{
	ask_nested(*state, HTTP_DEPTH_MAX, 201, "{\"a\":{\"a\":");
	ask_nested(*state, HTTP_DEPTH_MAX + 1, 400, "nested more than 16 deep");
}

/* A body of so many bytes, announced or in chunks. */
static void ask_sized(struct stage *stage, size_t bytes, bool chunked, int status,
		      const char *words)
{
	struct client client = client_open(stage);
	char *body = malloc(bytes + 1);
	char head[128];

	assert_non_null(body);
	memset(body, ' ', bytes);
	memcpy(body, "{}", 2);
	if (chunked)
		snprintf(head, sizeof(head),
			 "POST /v1/things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "%zx\r\n",
			 bytes);
	else
		snprintf(head, sizeof(head),
			 "POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
			 bytes);
	client_send(stage, &client, head);
	client_send_bytes(stage, &client, body, bytes);
	if (chunked)
		client_send(stage, &client, "\r\n0\r\n\r\n");
	expect(stage, &client, status, words);
	client_close(&client);
	free(body);
}

static void size_is_bounded(void **state)
{
	struct stage *stage = *state;
	struct client client = client_open(stage);

	for (unsigned chunked = 0; chunked < 2; chunked++) {
		ask_sized(stage, HTTP_BODY_BYTES_MAX, chunked, 201, "\"body\":{}");
		ask_sized(stage, HTTP_BODY_BYTES_MAX + 1, chunked, 413, "larger than 65536 bytes");
	}
	/* What is announced and absurd is refused before it comes. */
	client_send(stage, &client,
		    "POST /v1/things HTTP/1.1\r\nHost: x\r\n"
		    "Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n");
	expect(stage, &client, 413, "larger than 65536 bytes");
	client_close(&client);
	/* What is not announced and absurd is cut off. */
	client = client_open(stage);
	client_send(stage, &client,
		    "POST /v1/things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < 2000 && !client.eof; i++) {
		static const char chunk[] = "400\r\n%01024d\r\n";
		char text[1100];

		snprintf(text, sizeof(text), chunk, 7);
		client_send(stage, &client, text);
		client_read(&client);
	}
	assert_true(client.eof);
	client_close(&client);
	still_serves(stage);
}

static void a_slow_reader_stalls_itself(void **state)
{
	struct stage *stage = *state;
	struct client client = client_open(stage);

	client_send(stage, &client, "GET /v1/big HTTP/1.1\r\nHost: x\r\n\r\n");
	for (unsigned i = 0; i < 20; i++)
		still_serves(stage);
	turn_until(stage, &client, client.len > BIG_BYTES && strstr(client.text, "}\n"));
	client_close(&client);
	/* One that never reads at all is cut off by the end. */
	client = client_open(stage);
	client_send(stage, &client, "GET /v1/big HTTP/1.1\r\nHost: x\r\n\r\n");
	still_serves(stage);
	http_close(stage->http);
	stage->http = NULL;
	client_close(&client);
}

static void connections_are_bounded(void **state)
{
	struct stage *stage = *state;
	struct client clients[HTTP_CONNECTIONS_MAX + 8];
	const unsigned cnt = ARRAY_LEN(clients);

	for (unsigned i = 0; i < cnt; i++) {
		clients[i] = client_open(stage);
		client_send(stage, &clients[i], "GET /v1/things HTTP/1.1\r\nHost: x\r\n\r\n");
	}
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		expect(stage, &clients[i], 200, "{\"name\":\"\"}");
	for (unsigned i = HTTP_CONNECTIONS_MAX; i < cnt; i++) {
		client_read(&clients[i]);
		assert_int_equal(clients[i].len, 0);
		assert_false(clients[i].eof);
	}
	/* Those who wait are served when others have left. */
	for (unsigned i = 0; i < HTTP_CONNECTIONS_MAX; i++)
		client_close(&clients[i]);
	for (unsigned i = HTTP_CONNECTIONS_MAX; i < cnt; i++) {
		expect(stage, &clients[i], 200, "{\"name\":\"\"}");
		client_close(&clients[i]);
	}
}

static void garbage_does_no_harm(void **state)
{
	static const char *const garbage[] = {
		"\r\n\r\n\r\n",
		"\x16\x03\x01\x02\x01\x01\xfc\x03\x03",
		"GET\r\n\r\n",
		"GET /v1/things\r\n\r\n",
		"GET /v1/things HTTP/9.9\r\n\r\n",
		"GET /v1/things HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
		"POST /v1/things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
		"A B C D E\r\n: :\r\n\r\n",
	};
	struct client client;
	char *header = malloc(200001);

	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		client = client_open(*state);
		client_send(*state, &client, garbage[i]);
		still_serves(*state);
		client_close(&client);
	}
	assert_non_null(header);
	memset(header, 'h', 200000);
	header[200000] = '\0';
	client = client_open(*state);
	client_send(*state, &client, "GET /v1/things HTTP/1.1\r\nHost: x\r\nX-Huge: ");
	client_send(*state, &client, header);
	turn_until((struct stage *)*state, &client, client.eof || strstr(client.text, " 431 "));
	client_close(&client);
	free(header);
	still_serves(*state);
}

static void the_socket_is_ours_alone(void **state)
{
	struct stage *stage = *state;
	struct err err = ERR_INIT;
	struct http *other;
	struct stat st;
	int fd;

	assert_int_equal(stat(stage->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(http_open(stage->loop, stage->path, routes, 1, NULL, &other, &err) < 0);
	assert_null(other);
	assert_non_null(strstr(err.text, "somebody listens on"));
	still_serves(stage);
	http_close(stage->http);
	stage->http = NULL;
	assert_int_equal(access(stage->path, F_OK), -1);

	/* One that is no socket stays; one that nobody listens on is replaced. */
	fd = open(stage->path, O_CREAT | O_CLOEXEC | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_true(http_open(stage->loop, stage->path, routes, 1, NULL, &other, &err) < 0);
	assert_non_null(strstr(err.text, "is not a socket"));
	close(fd);
	unlink(stage->path);
	{
		struct sockaddr_un name = {.sun_family = AF_UNIX};

		strcpy(name.sun_path, stage->path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
		close(fd);
	}
	assert_int_equal(http_open(stage->loop, stage->path, routes, ARRAY_LEN(routes), stage,
				   &stage->http, &err),
			 0);
	still_serves(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(routes_are_found, setup, teardown),
		cmocka_unit_test_setup_teardown(other_paths_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(other_methods_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_may_come_a_byte_at_a_time, setup,
						teardown),
		cmocka_unit_test_setup_teardown(requests_may_come_together, setup, teardown),
		cmocka_unit_test_setup_teardown(several_may_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_may_leave_while_it_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_may_leave_in_the_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_answers_who_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(bodies_are_judged, setup, teardown),
		cmocka_unit_test_setup_teardown(depth_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(size_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_reader_stalls_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_does_no_harm, setup, teardown),
		cmocka_unit_test_setup_teardown(the_socket_is_ours_alone, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);

	return cmocka_run_group_tests(tests, NULL, NULL);
}
