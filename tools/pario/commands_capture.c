/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture: has the daemon write a port's frames into a file, shows how far it is, and ends it.
 * Not the capture, which the daemon does; but the filter's language is compiled here.
 */
#include <errno.h>
#include <jansson.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client.h"

#define LOOK_EVERY_MS 1000
#define SNAPLEN_OF_FILTER 262144

/* An option of capture: what it becomes in the API's body. */
struct option_row {
	const char *name;
	const char *key;
	bool takes_value;
};

static const struct option_row option_rows[] = {
	{"-w", "file", true},           {"--size", "size", true},
	{"--snaplen", "snaplen", true}, {"--direction", "direction", true},
	{"--filter", "filter", true},   {"--drops", "drops", false},
	{"--stop", NULL, false},
};

struct order {
	const char *port;
	bool stop;
	json_t *body;
};

static const struct option_row *find_option(const char *word, const char **value)
{
	const size_t len = strcspn(word, "=");

	for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
		const struct option_row *row = &option_rows[i];

		if (strcmp(row->name, word) == 0)
			return row;
		if (row->takes_value && row->name[1] == '-' && word[len] == '=' &&
		    strlen(row->name) == len && strncmp(row->name, word, len) == 0) {
			*value = word + len + 1;
			return row;
		}
	}
	return NULL;
}

/* As the daemon takes it, which is what tcpdump -ddd prints. NULL after a complaint. */
static json_t *compile(const char *expression)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN_OF_FILTER);
	struct bpf_program program;
	json_t *result = NULL;
	char *text = NULL;
	size_t size;
	FILE *out;

	if (!pcap || pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
		complain("--filter \"%s\": %s (see pcap-filter(7))", expression,
			 pcap ? pcap_geterr(pcap) : "no memory");
		if (pcap)
			pcap_close(pcap);
		return NULL;
	}
	out = open_memstream(&text, &size);
	if (out) {
		fprintf(out, "%u", program.bf_len);
		for (unsigned i = 0; i < program.bf_len; i++)
			fprintf(out, ",%u %u %u %u", program.bf_insns[i].code,
				program.bf_insns[i].jt, program.bf_insns[i].jf,
				program.bf_insns[i].k);
		if (fclose(out) == 0)
			result = json_string(text);
		free(text);
	}
	if (!result)
		complain("no memory for the filter");
	pcap_freecode(&program);
	pcap_close(pcap);
	return result;
}

/* The daemon has another working directory. NULL after a complaint. */
static json_t *whole_path(const char *path)
{
	char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	json_t *result;

	if (path[0] == '/') {
		result = json_string(path);
	} else if (here) {
		result = json_sprintf("%s/%s", strcmp(here, "/") == 0 ? "" : here, path);
		free(here);
	} else {
		complain("the working directory cannot be found: %s (give a whole path)",
			 strerror(errno));
		return NULL;
	}
	if (!result)
		complain("\"%s\" is not UTF-8", path);
	return result;
}

static json_t *value_json(const struct option_row *row, const char *value)
{
	json_t *result;

	if (!row->takes_value)
		return json_true();
	if (strcmp(row->key, "file") == 0)
		return whole_path(value);
	if (strcmp(row->key, "filter") == 0)
		return compile(value);
	result = json_string(value);
	if (!result)
		complain("the value of %s is not UTF-8", row->name);
	return result;
}

/* words->text[*at] is an option. */
static enum exit_status take_option(const struct words *words, int *at, struct order *order)
{
	const char *value = NULL;
	const struct option_row *row = find_option(words->text[*at], &value);
	json_t *json;

	if (!row) {
		complain("\"%s\" is no option of capture (see pario --help)", words->text[*at]);
		return EXIT_STATUS_USAGE;
	}
	if (!row->key) {
		order->stop = true;
		return EXIT_STATUS_DONE;
	}
	if (row->takes_value && !value) {
		if (*at + 1 == words->cnt) {
			complain("%s needs a value", row->name);
			return EXIT_STATUS_USAGE;
		}
		value = words->text[++*at];
	}
	if (json_object_get(order->body, row->key)) {
		complain("%s is given twice", row->name);
		return EXIT_STATUS_USAGE;
	}
	json = value_json(row, value);
	if (!json)
		return EXIT_STATUS_USAGE;
	json_object_set_new(order->body, row->key, json);
	return EXIT_STATUS_DONE;
}

static enum exit_status take_words(const struct words *words, struct order *order)
{
	enum exit_status status = EXIT_STATUS_DONE;

	for (int i = 0; i < words->cnt && status == EXIT_STATUS_DONE; i++) {
		if (words->text[i][0] == '-') {
			status = take_option(words, &i, order);
		} else if (order->port) {
			complain("capture takes one port, not \"%s\" too", words->text[i]);
			status = EXIT_STATUS_USAGE;
		} else {
			order->port = words->text[i];
		}
	}
	if (status != EXIT_STATUS_DONE)
		return status;
	if (!order->port || (order->stop ? json_object_size(order->body) > 0
					 : !json_object_get(order->body, "file"))) {
		complain("capture takes a port and a file: pario capture PORT -w FILE [OPTION]...; "
			 "or pario capture PORT --stop");
		return EXIT_STATUS_USAGE;
	}
	json_object_set_new(order->body, "port", json_string(order->port));
	return EXIT_STATUS_DONE;
}

static json_int_t counter(const json_t *capture, const char *name)
{
	return json_integer_value(json_object_get(json_object_get(capture, "counters"), name));
}

static const char *text_of(const json_t *capture, const char *key)
{
	const char *text = json_string_value(json_object_get(capture, key));

	return text ? text : "";
}

static void print_progress(const json_t *capture)
{
	fprintf(stderr,
		"\r%" JSON_INTEGER_FORMAT " frames, %" JSON_INTEGER_FORMAT
		" bytes, %" JSON_INTEGER_FORMAT " missed ",
		counter(capture, "frames"), counter(capture, "file_bytes"),
		counter(capture, "missed"));
	fflush(stderr);
}

/* The last words. */
static enum exit_status print_totals(const struct words *words, const json_t *capture)
{
	const char *error = text_of(capture, "error");

	if (words->json) {
		json_dumpf(capture, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("%s: %" JSON_INTEGER_FORMAT " frames (%" JSON_INTEGER_FORMAT
		       " of them dropped by the switch), %" JSON_INTEGER_FORMAT
		       " bytes, %" JSON_INTEGER_FORMAT " missed; ended: %s\n",
		       text_of(json_object_get(capture, "config"), "file"),
		       counter(capture, "frames"), counter(capture, "dropped"),
		       counter(capture, "file_bytes"), counter(capture, "missed"),
		       text_of(capture, "ended"));
	}
	if (!error[0])
		return EXIT_STATUS_DONE;
	complain("%s", error);
	return EXIT_STATUS_REFUSED;
}

/* Ends it, if it has not ended by itself, and says what it was. */
static enum exit_status finish(const struct words *words, const char *port)
{
	json_t *capture;
	enum exit_status status =
		client_ask(words->api, "DELETE", "/v1/captures/%s", port, NULL, &capture);

	if (status == EXIT_STATUS_DONE)
		status = print_totals(words, capture);
	json_decref(capture);
	return status;
}

/* Until a signal, or its end. */
static enum exit_status watch(const struct words *words, const char *port, int signal_fd)
{
	struct pollfd ready = {.fd = signal_fd, .events = POLLIN};
	const bool shows = isatty(STDERR_FILENO) && !words->json;
	bool over = false;

	while (!over) {
		json_t *capture;
		enum exit_status status;

		if (poll(&ready, 1, LOOK_EVERY_MS) > 0)
			break;
		status = client_ask(words->api, "GET", "/v1/captures/%s", port, NULL, &capture);
		if (status != EXIT_STATUS_DONE)
			return status;
		over = strcmp(text_of(capture, "state"), "ended") == 0;
		if (shows)
			print_progress(capture);
		json_decref(capture);
	}
	if (shows)
		fputc('\n', stderr);
	return finish(words, port);
}

static enum exit_status start(const struct words *words, struct order *order)
{
	enum exit_status status;
	sigset_t signals;
	int signal_fd;
	json_t *capture;

	/* Before it starts, so that none is lost, and none ends us and leaves it running. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (signal_fd < 0) {
		complain("signals cannot be waited for: %s", strerror(errno));
		return EXIT_STATUS_REFUSED;
	}
	status = client_ask(words->api, "POST", "/v1/captures", NULL, json_incref(order->body),
			    &capture);
	if (status == EXIT_STATUS_DONE) {
		fprintf(stderr, "capturing %s into %s; interrupt to end it\n", order->port,
			text_of(json_object_get(capture, "config"), "file"));
		status = watch(words, order->port, signal_fd);
	}
	json_decref(capture);
	close(signal_fd);
	return status;
}

enum exit_status run_capture(const struct words *words)
{
	struct order order = {.body = json_object()};
	enum exit_status status = take_words(words, &order);

	if (status == EXIT_STATUS_DONE)
		status = order.stop ? finish(words, order.port) : start(words, &order);
	json_decref(order.body);
	return status;
}
