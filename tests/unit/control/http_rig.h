/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server with routes of the test's making, and clients on its socket, all in one thread.
 * Not tests (test_http.c, test_http_limits.c).
 */
#ifndef PARIO_TESTS_UNIT_CONTROL_HTTP_RIG_H
#define PARIO_TESTS_UNIT_CONTROL_HTTP_RIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/evloop.h"
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

extern const struct http_route http_routes[];
extern const unsigned http_route_cnt;

int stage_setup(void **state);
int stage_teardown(void **state);

struct client {
	int fd;
	char *text; /* all that came, NUL-terminated */
	size_t len;
	bool eof;
};

struct client client_open(const struct stage *stage);
void client_close(struct client *client);
/* Takes what is there; client->eof when that is the end. */
void client_read(struct client *client);

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

/* Sends all of it, turning the loop. A server that hangs up meanwhile is no failure. */
void client_send_bytes(struct stage *stage, struct client *client, const char *text, size_t len);
void client_send(struct stage *stage, struct client *client, const char *text);

/* The server answers with this status and a body that has the words. */
void expect(struct stage *stage, struct client *client, int status, const char *words);
/* The same on a connection of its own. */
void ask(struct stage *stage, const char *request, int status, const char *words);
void still_serves(struct stage *stage);

#endif
