/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over a UNIX socket by libcurl. Knows no route.
 */
#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HTTP_REFUSED 400
#define CONNECT_TIMEOUT_S 10L
/* A removal drains for as long as the daemon allows (10 s), a change waits for its workers. */
#define ANSWER_TIMEOUT_S 120L
#define ANSWER_BYTES_MAX (64u << 20)
#define URL_BYTES 1024
/* Ten seconds. */
#define BUSY_ATTEMPTS 1000
#define BUSY_PAUSE_NS 10000000

struct text {
	char *bytes;
	size_t len;
};

static size_t collect(char *data, size_t size, size_t cnt, void *arg)
{
	struct text *text = arg;
	size_t more = size * cnt;
	char *bytes;

	if (more > ANSWER_BYTES_MAX - text->len)
		return 0;
	bytes = realloc(text->bytes, text->len + more + 1);
	if (!bytes)
		return 0;
	memcpy(bytes + text->len, data, more);
	text->len += more;
	bytes[text->len] = '\0';
	text->bytes = bytes;
	return more;
}

/* The host in the URL is for the form; who is asked is the socket's owner. */
static bool make_url(CURL *curl, const char *path, const char *name, char url[URL_BYTES])
{
	char *escaped = name ? curl_easy_escape(curl, name, 0) : NULL;
	int len;

	if (name && !escaped)
		return false;
	len = snprintf(url, URL_BYTES, "http://pariod%.*s%s%s",
		       name ? (int)(strstr(path, "%s") - path) : (int)strlen(path), path,
		       name ? escaped : "", name ? strstr(path, "%s") + 2 : "");
	curl_free(escaped);
	return len > 0 && len < URL_BYTES;
}

static void explain_failure(CURL *curl, const char *socket, CURLcode code, const char *detail)
{
	long number = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
	if (code == CURLE_COULDNT_CONNECT)
		complain("no daemon answers on %s: %s (start pariod with api=%s, or name its "
			 "socket with --api or PARIO_API)",
			 socket, number ? strerror((int)number) : "no connection", socket);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		complain("the daemon on %s has not answered within %ld s", socket,
			 ANSWER_TIMEOUT_S);
	else
		complain("%s: %s", socket, detail[0] ? detail : curl_easy_strerror(code));
}

/* {"errors": [...]}, each a line. */
static void print_errors(const char *socket, long status, const json_t *answer)
{
	const json_t *errors = json_object_get(answer, "errors");

	for (size_t i = 0; i < json_array_size(errors); i++)
		complain("%s", json_string_value(json_array_get(errors, i)));
	if (json_array_size(errors) == 0)
		complain("%s answers with status %ld: is it a pariod's API?", socket, status);
}

static enum exit_status judge(const char *socket, long status, const struct text *text,
			      json_t **answer)
{
	json_t *json = json_loadb(text->bytes ? text->bytes : "", text->len, 0, NULL);

	if (json && status > 0 && status < HTTP_REFUSED) {
		*answer = json;
		return EXIT_STATUS_DONE;
	}
	print_errors(socket, status, json);
	json_decref(json);
	return EXIT_STATUS_REFUSED;
}

/* EAGAIN from a UNIX socket: so many wait to be accepted that there is no room beside them. */
static CURLcode perform_patiently(CURL *curl)
{
	const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
	CURLcode code = CURLE_OK;
	long number;

	for (unsigned i = 0; i < BUSY_ATTEMPTS; i++) {
		number = 0;
		code = curl_easy_perform(curl);
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
		if (code != CURLE_COULDNT_CONNECT || number != EAGAIN)
			break;
		nanosleep(&pause, NULL);
	}
	return code;
}

static enum exit_status perform(CURL *curl, const char *socket, const char *method,
				const char *body, json_t **answer)
{
	char detail[CURL_ERROR_SIZE] = "";
	struct text text = {0};
	enum exit_status result = EXIT_STATUS_REFUSED;
	long status = 0;
	CURLcode code;

	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, ANSWER_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
	if (body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	code = perform_patiently(curl);
	if (code == CURLE_OK) {
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
		result = judge(socket, status, &text, answer);
	} else {
		explain_failure(curl, socket, code, detail);
	}
	free(text.bytes);
	return result;
}

enum exit_status client_ask(const char *socket, const char *method, const char *path,
			    const char *name, json_t *body, json_t **answer)
{
	enum exit_status result = EXIT_STATUS_REFUSED;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	CURL *curl = curl_easy_init();
	char url[URL_BYTES];

	*answer = NULL;
	if (!curl || (body && !text)) {
		complain("no memory, or a value that is not UTF-8");
	} else if (!make_url(curl, path, name, url)) {
		complain("the name is too long");
	} else {
		curl_easy_setopt(curl, CURLOPT_URL, url);
		/* ".." is a name as good as any, and no way up. */
		curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
		result = perform(curl, socket, method, text, answer);
	}
	curl_easy_cleanup(curl);
	free(text);
	json_decref(body);
	return result;
}
