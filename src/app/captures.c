/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the captures of a daemon: begins, ends, lists and forgets them.
 * Not what is asked (captures_spec.h).
 */
#include "app/captures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/captures_spec.h"
#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "network/capture_filter.h"
#include "observe/counters.h"

struct captured {
	struct list_node node; /* captures.all, oldest first */
	struct captures *captures;
	struct captures_spec spec;
	struct netport *port; /* NULL once it has ended */
	struct capture *capture;
	char tag[80];
	struct captures_order *starter; /* not answered yet */
	struct captures_order *remover;
	void (*left)(void *arg);
	void *left_arg;
};

struct captures {
	struct captures_options options;
	struct list_node all;
	unsigned ended_cnt;
};

struct captures *captures_new(const struct captures_options *options)
{
	struct captures *captures = calloc(1, sizeof(*captures));

	if (!captures)
		return NULL;
	captures->options = *options;
	list_init(&captures->all);
	return captures;
}

static void captured_free(struct captured *captured)
{
	capture_free(captured->capture);
	captures_spec_fini(&captured->spec);
	free(captured);
}

static void forget(struct captured *captured)
{
	CHECK(!captured->port);
	captured->captures->ended_cnt--;
	list_remove(&captured->node);
	captured_free(captured);
}

void captures_free(struct captures *captures)
{
	struct list_node *node;
	struct list_node *next;

	if (!captures)
		return;
	list_for_each_safe(node, next, &captures->all) {
		forget(container_of(node, struct captured, node));
	}
	free(captures);
}

static struct captured *find_of(const struct captures *captures, const char *port_name)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &captures->all) {
		struct captured *captured = container_of(node, struct captured, node);

		if (strcmp(captured->spec.port, port_name) == 0)
			return captured;
	}
	return NULL;
}

const struct captured *captures_find(const struct captures *captures, const char *port_name)
{
	return find_of(captures, port_name);
}

static void answer(struct captures_order **order, int status, const struct captured *captured)
{
	struct captures_order *answered = *order;

	*order = NULL;
	if (answered)
		answered->done(answered, status, status ? NULL : captured);
}

static void started(struct capture *capture, void *arg)
{
	struct captured *captured = arg;

	(void)capture;
	log_info(captured->tag, "goes to %s", captured->spec.file);
	answer(&captured->starter, 0, captured);
}

static void log_end(const struct captured *captured)
{
	const enum capture_end end = capture_end(captured->capture);
	struct capture_stats stats;

	capture_stats(captured->capture, &stats);
	log_info(captured->tag, "ended (%s) with %llu frames, %llu bytes, %llu frames missed%s%s",
		 capture_end_name(end), (unsigned long long)stats.frames,
		 (unsigned long long)stats.file_bytes, (unsigned long long)stats.missed,
		 end == CAPTURE_END_ERROR ? ": " : "", capture_error(captured->capture));
}

static void forget_oldest(struct captures *captures)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &captures->all) {
		struct captured *captured = container_of(node, struct captured, node);

		if (captures->ended_cnt <= CAPTURES_ENDED_MAX)
			return;
		if (!captured->port)
			forget(captured);
	}
}

static void ended(struct capture *capture, void *arg)
{
	struct captured *captured = arg;
	struct captures *captures = captured->captures;
	void (*left)(void *arg) = captured->left;
	void *left_arg = captured->left_arg;

	captured->port = NULL;
	captures->ended_cnt++;
	log_end(captured);
	if (captured->starter)
		config_errors_add(&captured->starter->errors, NULL, "capture",
				  "it has ended: %s%s%s", capture_end_name(capture_end(capture)),
				  capture_error(capture)[0] ? ": " : "", capture_error(capture));
	answer(&captured->starter, -EBUSY, NULL);
	if (captured->remover) {
		answer(&captured->remover, 0, captured);
		forget(captured);
	}
	forget_oldest(captures);
	if (left)
		left(left_arg);
}

/* -1 as fd after an error. */
static int open_file(const char *path, struct err *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		err_set(err, EEXIST, "file: %s exists (name another, or remove it first)", path);
	else if (fd < 0)
		err_set(err, errno, "file: %s cannot be made: %s", path, strerror(errno));
	return fd;
}

static int begin(struct captured *captured, struct err *err)
{
	const struct captures_spec *spec = &captured->spec;
	const struct capture_options options = {
		.port = captured->port,
		.port_name = spec->port,
		.file_name = spec->file,
		.worker_cnt = captured->captures->options.worker_cnt,
		.control = captured->captures->options.loop,
		.size_bytes = spec->size_bytes,
		.snaplen = spec->snaplen,
		.in = spec->direction != CAPTURES_OUT,
		.out = spec->direction != CAPTURES_IN,
		.drops_only = spec->drops,
		.started = started,
		.ended = ended,
		.arg = captured,
	};
	struct capture_filter *filter = NULL;
	int fd;
	int rc = spec->filter ? capture_filter_parse(spec->filter, &filter, err) : 0;

	if (rc)
		return rc;
	fd = open_file(spec->file, err);
	if (fd < 0) {
		capture_filter_free(filter);
		return -err->code;
	}
	rc = capture_start(&options, fd, filter, &captured->capture, err);
	if (rc)
		unlink(spec->file);
	return rc;
}

/* What is asked for, and may be: without a file yet. */
static int prepare(struct captures *captures, const json_t *spec, struct captured *captured,
		   struct config_errors *errors)
{
	int rc = captures_spec_parse(&captured->spec, spec, errors);
	const struct captured *before;

	if (rc)
		return rc;
	captured->port = captures->options.find(captures->options.arg, captured->spec.port);
	if (!captured->port) {
		config_errors_add(errors, NULL, "capture.port",
				  "there is no port and no uplink \"%s\"", captured->spec.port);
		return -ENOENT;
	}
	before = find_of(captures, captured->spec.port);
	if (before && before->port) {
		config_errors_add(errors, NULL, "capture.port",
				  "%s is captured already, to %s (end that first: DELETE "
				  "/v1/captures/%s, or pario capture %s --stop)",
				  captured->spec.port, before->spec.file, captured->spec.port,
				  captured->spec.port);
		return -EBUSY;
	}
	snprintf(captured->tag, sizeof(captured->tag), "capture %.64s", captured->spec.port);
	return 0;
}

void captures_start(struct captures *captures, const json_t *spec, struct captures_order *order)
{
	struct captured *captured = calloc(1, sizeof(*captured));
	struct captured *before;
	struct err err = ERR_INIT;
	int rc;

	if (!captured) {
		config_errors_add(&order->errors, NULL, "capture", "no memory");
		order->done(order, -ENOMEM, NULL);
		return;
	}
	captured->captures = captures;
	rc = prepare(captures, spec, captured, &order->errors);
	if (rc == 0) {
		before = find_of(captures, captured->spec.port);
		list_push_back(&captures->all, &captured->node);
		captured->starter = order;
		rc = begin(captured, &err);
		if (rc == 0) {
			if (before)
				forget(before);
			return;
		}
		list_remove(&captured->node);
		captures_spec_complain(&err, &order->errors);
		if (rc != -ENOMEM)
			rc = rc == -EEXIST ? -EBUSY : -EINVAL;
	}
	captured_free(captured);
	order->done(order, rc, NULL);
}

void captures_remove(struct captures *captures, const char *port_name, struct captures_order *order)
{
	struct captured *captured = find_of(captures, port_name);

	if (!captured) {
		config_errors_add(&order->errors, NULL, "capture", "no capture of \"%s\" is there",
				  port_name);
		order->done(order, -ENOENT, NULL);
	} else if (captured->remover) {
		config_errors_add(&order->errors, NULL, "capture", "that of %s is ending already",
				  port_name);
		order->done(order, -EBUSY, NULL);
	} else if (!captured->port) {
		order->done(order, 0, captured);
		forget(captured);
	} else {
		captured->remover = order;
		capture_stop(captured->capture, CAPTURE_END_ASKED);
	}
}

void captures_leave(struct captures *captures, const struct netport *port, void (*left)(void *arg),
		    void *arg)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &captures->all) {
		struct captured *captured = container_of(node, struct captured, node);

		if (captured->port != port)
			continue;
		captured->left = left;
		captured->left_arg = arg;
		capture_stop(captured->capture, CAPTURE_END_PORT);
		return;
	}
	left(arg);
}

static json_t *text_or_null(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

json_t *captured_json(const struct captured *captured)
{
	const struct stat_table table = {
		.name = "capture",
		.rows = capture_stat_rows,
		.row_cnt = capture_stat_row_cnt,
		.bytes = sizeof(struct capture_stats),
	};
	const struct capture *capture = captured->capture;
	const enum capture_end end = capture_end(capture);
	struct capture_stats stats;

	capture_stats(capture, &stats);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "port", captured->spec.port, "state",
			 capture_state_name(capture_state(capture)), "ended",
			 end == CAPTURE_END_NONE ? json_null() : json_string(capture_end_name(end)),
			 "error", text_or_null(capture_error(capture)), "config",
			 captures_spec_json(&captured->spec), "counters",
			 observe_counters(&table, &stats));
}

json_t *captures_json(const struct captures *captures)
{
	json_t *list = json_array();
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &captures->all) {
		json_array_append_new(list,
				      captured_json(container_of(node, struct captured, node)));
	}
	return json_pack("{s:o}", "captures", list);
}
