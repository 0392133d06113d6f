/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HTTP server refuses or bounds: bodies, depth, sizes, connections, slow readers, garbage.
 * Not what it serves (test_http.c).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "http_rig.h"

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
	char body[1024];
	char request[2048];
	size_t len = 0;

	for (unsigned i = 1; i < depth; i++)
		len += (size_t)snprintf(body + len, sizeof(body) - len, "{\"a\":");
	len += (size_t)snprintf(body + len, sizeof(body) - len, "{");
	for (unsigned i = 0; i < depth; i++)
		len += (size_t)snprintf(body + len, sizeof(body) - len, "}");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bodies_are_judged, stage_setup, stage_teardown),
		cmocka_unit_test_setup_teardown(depth_is_bounded, stage_setup, stage_teardown),
		cmocka_unit_test_setup_teardown(size_is_bounded, stage_setup, stage_teardown),
		cmocka_unit_test_setup_teardown(a_slow_reader_stalls_itself, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(connections_are_bounded, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(garbage_does_no_harm, stage_setup, stage_teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
