/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server over a real socket: routes, pieces in which requests come, and clients that
 * leave. Not what is too much for it (test_http_limits.c), and not the API that is built on it
 * (tests/peers/test_api.py).
 */
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

#include "base/compiler.h"
#include "http_rig.h"

static unsigned count(const char *text, const char *word)
{
	unsigned cnt = 0;

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
		cnt++;
	return cnt;
}

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

static void the_socket_is_ours_alone(void **state)
{
	struct stage *stage = *state;
	struct err err = ERR_INIT;
	struct http *other;
	struct stat st;
	int fd;

	assert_int_equal(stat(stage->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(http_open(stage->loop, stage->path, http_routes, 1, NULL, &other, &err) < 0);
	assert_null(other);
	assert_non_null(strstr(err.text, "somebody listens on"));
	still_serves(stage);
	http_close(stage->http);
	stage->http = NULL;
	assert_int_equal(access(stage->path, F_OK), -1);

	/* One that is no socket stays; one that nobody listens on is replaced. */
	fd = open(stage->path, O_CREAT | O_CLOEXEC | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_true(http_open(stage->loop, stage->path, http_routes, 1, NULL, &other, &err) < 0);
	assert_non_null(strstr(err.text, "is not a socket"));
	close(fd);
	unlink(stage->path);
	{
		struct sockaddr_un name = {.sun_family = AF_UNIX};

		snprintf(name.sun_path, sizeof(name.sun_path), "%s", stage->path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
		close(fd);
	}
	assert_int_equal(http_open(stage->loop, stage->path, http_routes, http_route_cnt, stage,
				   &stage->http, &err),
			 0);
	still_serves(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(routes_are_found, stage_setup, stage_teardown),
		cmocka_unit_test_setup_teardown(other_paths_are_refused, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(other_methods_are_refused, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(a_request_may_come_a_byte_at_a_time, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(requests_may_come_together, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(several_may_wait, stage_setup, stage_teardown),
		cmocka_unit_test_setup_teardown(a_client_may_leave_while_it_waits, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(a_client_may_leave_in_the_middle, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(the_end_answers_who_waits, stage_setup,
						stage_teardown),
		cmocka_unit_test_setup_teardown(the_socket_is_ours_alone, stage_setup,
						stage_teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
