/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's counters, asked for by its HTTP API.
 * Not a client of HTTP: one question a connection, and of the answer the number after a name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net_rig.h"

#define ANSWER_BYTES (1 << 20)

static int connect_to(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

uint64_t api_counter(const char *path, const char *object, const char *name)
{
	char *answer = calloc(1, ANSWER_BYTES);
	size_t have = 0;
	char text[256];
	const char *at = NULL;
	uint64_t value;
	ssize_t got;
	int fd = connect_to(path);

	if (!answer)
		die("no memory");
	snprintf(text, sizeof(text),
		 "GET /v1/%s HTTP/1.1\r\nHost: pariod\r\nConnection: close\r\n\r\n", object);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: %s", path, strerror(errno));
	while ((got = read(fd, answer + have, ANSWER_BYTES - 1 - have)) > 0)
		have += (size_t)got;
	close(fd);
	snprintf(text, sizeof(text), "\"%s\":", name);
	/* The last: that of the object, after those of its queues. */
	for (const char *next = strstr(answer, text); next; next = strstr(next + 1, text))
		at = next;
	if (!at)
		die("GET /v1/%s tells no %s: %.300s", object, name, answer);
	value = strtoull(at + strlen(text), NULL, 10);
	free(answer);
	return value;
}

void api_wait_counter(const char *path, const char *object, const char *name, uint64_t want)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);
	char text[160];

	snprintf(text, sizeof(text), "%s of %s reaches %llu", name, object,
		 (unsigned long long)want);
	while (api_counter(path, object, name) < want)
		deadline_check(&deadline, text);
}
