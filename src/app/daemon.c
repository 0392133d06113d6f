/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building everything in order, serving, and taking it down in the opposite order.
 * Not single objects (served.h) and not signals themselves (signals.c).
 *
 * Theory of operation
 *
 * 1. Order: descriptors' limit, SIGBUS, loop, signals, storage of all disks, workers, placer,
 *    fabric, switches, devices and ports of switches, endpoints and interfaces, API. The world can
 *    see only the last but one, so whatever is wrong before leaves no trace. Within a step all
 *    objects are tried, so that one run names every mistake; the next step is not begun.
 * 2. The end, after a signal or a failed start, is the same: disks, ports and uplinks are closed,
 *    each draining what it has; when the last has said so, and operations that were begun are
 *    answered, the switches, and then the fabric; then all of it, placer, workers, signals and loop
 *    are freed.
 * 3. A drain has a deadline. An operation that the kernel does not give back keeps a worker's
 *    memory in use, so after the deadline (or a second signal) nothing can be freed: the process
 *    says what did not finish and leaves.
 */
#include "app/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/api.h"
#include "app/captures.h"
#include "app/daemon_priv.h"
#include "app/limits.h"
#include "base/clock.h"
#include "base/evloop.h"
#include "base/log.h"
#include "control/schema.h"
#include "guest/gfault.h"

/* What went wrong is a person's to put right, unless the machine ran out of something. */
static void fail(struct daemon *daemon, int rc)
{
	if (rc == -ENOMEM || rc == -ENOSYS || rc == -EPERM)
		daemon->status = EXIT_STATUS_FAILED;
	else
		daemon->status = EXIT_STATUS_WRONG;
}

static void fail_object(struct daemon *daemon, const struct served *served, int rc,
			const struct err *err)
{
	config_complain(daemon->config, served->config, err, daemon->errors);
	/* An object's permissions are the operator's to give. */
	daemon->status = rc == -ENOMEM ? EXIT_STATUS_FAILED : EXIT_STATUS_WRONG;
}

void daemon_await_one_less(struct daemon *daemon, struct served *served)
{
	if (!served->awaited)
		return;
	served->awaited = false;
	daemon->open_cnt--;
	daemon_check_end(daemon);
}

static void object_closed(struct served *served)
{
	daemon_await_one_less(served->daemon, served);
}

/* Closes all of a kind; the caller holds a count of its own. */
static void close_kind(struct daemon *daemon, enum config_kind kind)
{
	for (unsigned i = 0; i < daemon->lists[kind].cnt; i++) {
		struct served *served = daemon->lists[kind].objects[i];

		if (served->gone)
			continue;
		served->awaited = true;
		daemon->open_cnt++;
		/* One that is being removed says by itself when it is closed. */
		if (!served->closing)
			served_close(served, object_closed);
	}
}

static void fabric_closed(void *arg)
{
	struct daemon *daemon = arg;

	daemon->fabric = NULL;
	daemon->open_cnt--;
	daemon_check_end(daemon);
}

/* What can only go when all before it has gone. Each holds a count of its own meanwhile. */
static void drain_more(struct daemon *daemon)
{
	daemon->open_cnt++;
	switch (++daemon->drained) {
	case DRAINED_OBJECTS:
		close_kind(daemon, CONFIG_SWITCH);
		break;
	case DRAINED_SWITCHES:
		if (daemon->fabric) {
			daemon->open_cnt++;
			fabric_free(daemon->fabric, fabric_closed, daemon);
		}
		break;
	default:
		evloop_stop(daemon->loop);
		break;
	}
	daemon->open_cnt--;
}

void daemon_check_end(struct daemon *daemon)
{
	while (daemon->draining && daemon->drained < DRAINED_ALL && daemon->open_cnt == 0 &&
	       list_empty(&daemon->operations))
		drain_more(daemon);
}

/* Workers may still use everything: nothing is freed from here on. */
static void abandon(struct daemon *daemon, const char *why)
{
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < daemon->lists[kind].cnt; i++) {
			const struct served *served = daemon->lists[kind].objects[i];

			if (served->closing && !served->gone)
				log_error(served->tag, "%s: %s", why, served->ops->held);
		}
	}
	daemon->abandoned = true;
	daemon->status = EXIT_STATUS_FAILED;
	evloop_stop(daemon->loop);
}

static void deadline_expired(struct evloop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, deadline);
	char why[64];

	snprintf(why, sizeof(why), "not drained within %d s", DAEMON_DRAIN_S);
	abandon(daemon, why);
}

/*
 * Closes all that the world sees. When the last is closed, and what was begun with them is done,
 * the rest follows and the loop stops, perhaps before it runs.
 */
static void drain(struct daemon *daemon)
{
	daemon->draining = true;
	daemon->open_cnt = 1;
	daemon->deadline.expired = deadline_expired;
	evloop_timer_set(daemon->loop, &daemon->deadline,
			 clock_now_ns() + DAEMON_DRAIN_S * NS_PER_S);
	operate_stop(daemon);
	close_kind(daemon, CONFIG_DISK);
	close_kind(daemon, CONFIG_PORT);
	close_kind(daemon, CONFIG_UPLINK);
	daemon->open_cnt--;
	daemon_check_end(daemon);
}

static void on_terminate(void *arg, const char *signal_name)
{
	struct daemon *daemon = arg;
	char description[CONFIG_DESCRIPTION_BYTES];

	if (daemon->draining) {
		log_warn(NULL, "a second %s: not waiting for what is not drained", signal_name);
		abandon(daemon, "not drained");
		return;
	}
	config_describe(daemon->config, description, sizeof(description));
	log_info(NULL, "%s: draining %s, at most %d s", signal_name, description, DAEMON_DRAIN_S);
	drain(daemon);
}

static void on_reload(void *arg)
{
	struct daemon *daemon = arg;

	if (daemon->draining)
		return;
	log_info(NULL, "SIGHUP: looking at the disks' sizes");
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < daemon->lists[kind].cnt; i++) {
			struct served *served = daemon->lists[kind].objects[i];

			if (served->ops->refresh)
				served->ops->refresh(served);
		}
	}
}

static void open_loop(struct daemon *daemon)
{
	struct err err = ERR_INIT;
	int rc = limits_raise(daemon->config, &err);

	if (rc == 0)
		rc = gfault_install(&err);
	if (rc == 0) {
		daemon->loop = evloop_new(&err);
		rc = daemon->loop ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		daemon->signals.terminate = on_terminate;
		daemon->signals.reload = on_reload;
		daemon->signals.arg = daemon;
		rc = signals_open(&daemon->signals, daemon->loop, &err);
		daemon->signals_opened = rc == 0;
	}
	if (rc == 0)
		return;
	config_errors_add(daemon->errors, NULL, NULL, "%s", err.text);
	fail(daemon, rc);
}

struct served *daemon_append(struct daemon *daemon, enum config_kind kind)
{
	struct served_list *list = &daemon->lists[kind];
	struct served **objects = realloc(list->objects, (list->cnt + 1) * sizeof(*list->objects));
	struct served *served = NULL;

	if (objects) {
		list->objects = objects;
		served = served_new(daemon, config_at(daemon->config, kind, list->cnt));
	}
	if (!served)
		return NULL;
	/* A switch has no queues to spread. */
	served->shift = daemon->shift;
	daemon->shift += kind != CONFIG_SWITCH;
	list->objects[list->cnt++] = served;
	return served;
}

void daemon_remove(struct daemon *daemon, struct served *served)
{
	struct config_object *config = served->config;
	struct served_list *list = &daemon->lists[config->kind];
	unsigned idx = config_idx(daemon->config, config);

	served_free(served);
	list->cnt--;
	memmove(&list->objects[idx], &list->objects[idx + 1],
		(list->cnt - idx) * sizeof(*list->objects));
	config_remove(daemon->config, config);
}

/* A step of all objects of a kind; which is one of served_ops' first three. */
static void step_kind(struct daemon *daemon, enum config_kind kind,
		      int (*step)(struct served *served, struct err *err))
{
	for (unsigned i = 0; step && i < daemon->lists[kind].cnt; i++) {
		struct served *served = daemon->lists[kind].objects[i];
		struct err err = ERR_INIT;
		int rc = step(served, &err);

		if (rc)
			fail_object(daemon, served, rc, &err);
	}
}

static void prepare_objects(struct daemon *daemon)
{
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < daemon->config->lists[kind].cnt; i++) {
			if (daemon_append(daemon, kind))
				continue;
			config_errors_add(daemon->errors, NULL, NULL, "no memory for %u %s",
					  daemon->config->lists[kind].cnt,
					  config_table(kind)->name);
			fail(daemon, -ENOMEM);
			return;
		}
	}
	step_kind(daemon, CONFIG_DISK, disk_ops.prepare);
}

static void open_workers(struct daemon *daemon)
{
	const cpu_set_t *cpus = &daemon->config->daemon.workers;
	int rc = 0;

	daemon->workers = calloc((size_t)CPU_COUNT(cpus), sizeof(void *));
	if (!daemon->workers) {
		config_errors_add(daemon->errors, NULL, NULL, "no memory for workers");
		fail(daemon, -ENOMEM);
		return;
	}
	for (int cpu = 0; cpu < CPU_SETSIZE && rc == 0; cpu++) {
		struct worker_options options = {.cpu = cpu, .idx = daemon->worker_cnt};
		struct err err = ERR_INIT;

		if (!CPU_ISSET(cpu, cpus))
			continue;
		rc = worker_new(&options, daemon->loop, &daemon->workers[daemon->worker_cnt], &err);
		if (rc) {
			config_errors_add(daemon->errors, NULL, "daemon.workers", "%s", err.text);
			fail(daemon, rc);
		} else {
			daemon->worker_cnt++;
		}
	}
}

static void open_placer(struct daemon *daemon)
{
	const struct placer_options options = {
		.loop = daemon->loop,
		.workers = daemon->workers,
		.worker_cnt = daemon->worker_cnt,
		.round_ns = daemon->config->daemon.rebalance_s * NS_PER_S,
	};
	struct err err = ERR_INIT;
	int rc = placer_new(&options, &daemon->placer, &err);

	if (rc) {
		config_errors_add(daemon->errors, NULL, NULL, "%s", err.text);
		fail(daemon, rc);
	}
}

static void open_fabric(struct daemon *daemon)
{
	const struct fabric_options options = {
		.workers = daemon->workers,
		.worker_cnt = daemon->worker_cnt,
		.poll_mode = daemon->config->daemon.poll,
		.poll_max_ns = daemon->config->daemon.poll_max_us * NS_PER_US,
	};
	struct err err = ERR_INIT;
	int rc = fabric_new(&options, daemon->loop, &daemon->fabric, &err);

	if (rc) {
		config_errors_add(daemon->errors, NULL, NULL, "%s", err.text);
		fail(daemon, rc);
	}
}

static struct netport *find_netport(void *arg, const char *name)
{
	struct served *served = daemon_find(arg, CONFIG_PORT, name);

	if (!served)
		served = daemon_find(arg, CONFIG_UPLINK, name);
	return served && !served->closing ? served_netport(served) : NULL;
}

static void open_captures(struct daemon *daemon)
{
	const struct captures_options options = {
		.loop = daemon->loop,
		.worker_cnt = daemon->worker_cnt,
		.find = find_netport,
		.arg = daemon,
	};

	daemon->captures = captures_new(&options);
	if (daemon->captures)
		return;
	config_errors_add(daemon->errors, NULL, NULL, "no memory for captures");
	fail(daemon, -ENOMEM);
}

static void open_switches(struct daemon *daemon)
{
	step_kind(daemon, CONFIG_SWITCH, lan_ops.open);
}

static void open_objects(struct daemon *daemon)
{
	step_kind(daemon, CONFIG_DISK, disk_ops.open);
	step_kind(daemon, CONFIG_PORT, port_ops.open);
}

static void expose_objects(struct daemon *daemon)
{
	step_kind(daemon, CONFIG_DISK, disk_ops.expose);
	step_kind(daemon, CONFIG_PORT, port_ops.expose);
	step_kind(daemon, CONFIG_UPLINK, uplink_ops.expose);
}

static void open_api(struct daemon *daemon)
{
	const char *path = daemon->config->daemon.api_path;
	struct err err = ERR_INIT;
	int rc = path ? api_open(daemon, path, &daemon->api, &err) : 0;

	if (rc) {
		config_errors_add(daemon->errors, NULL, "daemon.api", "%s", err.text);
		fail(daemon, rc);
	}
}

static bool start(struct daemon *daemon)
{
	static void (*const steps[])(struct daemon * daemon) = {
		open_loop,     prepare_objects, open_workers, open_placer,    open_fabric,
		open_captures, open_switches,   open_objects, expose_objects, open_api,
	};

	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		steps[i](daemon);
		if (daemon->status != EXIT_STATUS_OK)
			return false;
	}
	return true;
}

static void free_all(struct daemon *daemon)
{
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < daemon->lists[kind].cnt; i++)
			served_free(daemon->lists[kind].objects[i]);
		free(daemon->lists[kind].objects);
	}
	captures_free(daemon->captures);
	placer_free(daemon->placer);
	for (unsigned i = 0; i < daemon->worker_cnt; i++)
		worker_free(daemon->workers[i]);
	free(daemon->workers);
	if (daemon->signals_opened)
		signals_close(&daemon->signals);
	evloop_free(daemon->loop);
	free(daemon);
}

static void log_totals(const struct daemon *daemon)
{
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < daemon->lists[kind].cnt; i++) {
			const struct served *served = daemon->lists[kind].objects[i];

			if (served->ops->log_totals)
				served->ops->log_totals(served);
		}
	}
}

enum exit_status daemon_finish(struct daemon *daemon, bool *abandoned)
{
	int rc = daemon->loop ? evloop_run(daemon->loop) : 0;
	enum exit_status status;

	if (rc) {
		log_error(NULL, "the event loop failed: %s", strerror(-rc));
		daemon->status = EXIT_STATUS_FAILED;
		daemon->abandoned = true;
	}
	/* Until here it answered, and nothing that is freed below is asked for any more. */
	api_close(daemon->api);
	*abandoned = daemon->abandoned;
	status = daemon->status;
	if (daemon->abandoned)
		return status;
	if (status == EXIT_STATUS_OK)
		log_totals(daemon);
	if (daemon->loop)
		evloop_timer_cancel(daemon->loop, &daemon->deadline);
	free_all(daemon);
	return status;
}

enum exit_status daemon_start(struct config *config, struct config_errors *errors,
			      struct daemon **out, bool *abandoned)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	char description[CONFIG_DESCRIPTION_BYTES];

	*out = NULL;
	*abandoned = false;
	if (!daemon) {
		config_errors_add(errors, NULL, NULL, "no memory for a daemon");
		return EXIT_STATUS_FAILED;
	}
	daemon->config = config;
	daemon->errors = errors;
	list_init(&daemon->operations);
	if (start(daemon)) {
		config_describe(config, description, sizeof(description));
		log_info(NULL, "ready: %s", description);
		*out = daemon;
		return EXIT_STATUS_OK;
	}
	if (daemon->loop)
		drain(daemon);
	return daemon_finish(daemon, abandoned);
}

enum exit_status daemon_run(struct config *config, struct config_errors *errors, bool *abandoned)
{
	struct daemon *daemon;
	enum exit_status status = daemon_start(config, errors, &daemon, abandoned);

	return daemon ? daemon_finish(daemon, abandoned) : status;
}
