/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building everything in order, serving, and taking it down in the opposite order.
 * Not single disks (disk.c) and not signals themselves (signals.c).
 *
 * Theory of operation
 *
 * 1. Order: descriptors' limit, SIGBUS, loop, signals, storage of all disks, workers, placer,
 * devices, endpoints, API. A front end can see only the last but one, so whatever is wrong before
 * leaves no trace. Within a step all disks are tried, so that one run names every mistake; the next
 * step is not begun.
 * 2. The end, after a signal or a failed start, is the same: endpoints are closed, each draining
 *    its session; when the last has said so, and operations that were begun are answered, API,
 * devices, storage, placer, workers, signals and loop are freed.
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
#include "app/daemon_priv.h"
#include "app/limits.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "base/evloop.h"
#include "base/log.h"
#include "guest/gfault.h"

void daemon_describe(const struct config *config, char *buf, size_t size)
{
	char cpus[128];

	cpuset_format(&config->daemon.workers, cpus, sizeof(cpus));
	snprintf(buf, size, "%u disks, %d workers (CPUs %s)", config->disk_cnt,
		 CPU_COUNT(&config->daemon.workers), cpus);
}

/* What went wrong is a person's to put right, unless the machine ran out of something. */
static void fail(struct daemon *daemon, int rc)
{
	if (rc == -ENOMEM || rc == -ENOSYS || rc == -EPERM)
		daemon->status = EXIT_STATUS_FAILED;
	else
		daemon->status = EXIT_STATUS_WRONG;
}

static void fail_disk(struct daemon *daemon, unsigned idx, int rc, const struct err *err)
{
	config_disk_complain(daemon->config, idx, err, daemon->errors);
	/* A disk's permissions are the operator's to give. */
	daemon->status = rc == -ENOMEM ? EXIT_STATUS_FAILED : EXIT_STATUS_WRONG;
}

void daemon_check_end(struct daemon *daemon)
{
	if (daemon->draining && daemon->open_cnt == 0 && list_empty(&daemon->operations))
		evloop_stop(daemon->loop);
}

void daemon_endpoint_closed(struct daemon *daemon)
{
	daemon->open_cnt--;
	daemon_check_end(daemon);
}

static void disk_closed(struct disk *disk)
{
	daemon_endpoint_closed(disk->owner);
}

/* Workers may still use everything: nothing is freed from here on. */
static void abandon(struct daemon *daemon, const char *why)
{
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		if (daemon->disks[i]->endpoint)
			log_error(daemon->disks[i]->tag, "%s: requests are still with its storage",
				  why);
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
 * Closes all endpoints. When the last is closed, and what was begun with the disks is done, the
 * loop stops, perhaps before it runs.
 */
static void drain(struct daemon *daemon)
{
	daemon->draining = true;
	daemon->open_cnt = 1;
	daemon->deadline.expired = deadline_expired;
	evloop_timer_set(daemon->loop, &daemon->deadline,
			 clock_now_ns() + DAEMON_DRAIN_S * NS_PER_S);
	operate_stop(daemon);
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		daemon->open_cnt++;
		/* One that is being removed says by itself when it is closed. */
		if (!daemon->disks[i]->closing)
			disk_close_endpoint(daemon->disks[i], disk_closed);
	}
	daemon_endpoint_closed(daemon);
}

static void on_terminate(void *arg, const char *signal_name)
{
	struct daemon *daemon = arg;

	if (daemon->draining) {
		log_warn(NULL, "a second %s: not waiting for what is not drained", signal_name);
		abandon(daemon, "not drained");
		return;
	}
	log_info(NULL, "%s: draining %u disks, at most %d s", signal_name, daemon->disk_cnt,
		 DAEMON_DRAIN_S);
	drain(daemon);
}

static void on_reload(void *arg)
{
	struct daemon *daemon = arg;

	if (daemon->draining)
		return;
	log_info(NULL, "SIGHUP: looking at the disks' sizes");
	for (unsigned i = 0; i < daemon->disk_cnt; i++)
		disk_refresh(daemon->disks[i]);
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

int daemon_append_disk(struct daemon *daemon)
{
	struct disk **disks =
		realloc(daemon->disks, (daemon->disk_cnt + 1) * sizeof(*daemon->disks));
	struct disk *disk = calloc(1, sizeof(*disk));

	if (disks)
		daemon->disks = disks;
	if (!disks || !disk) {
		free(disk);
		return -ENOMEM;
	}
	disk_init(disk, daemon->config->disks[daemon->disk_cnt], daemon);
	daemon->disks[daemon->disk_cnt++] = disk;
	return 0;
}

unsigned daemon_disk_idx(const struct daemon *daemon, const struct disk *disk)
{
	unsigned idx = 0;

	while (daemon->disks[idx] != disk)
		idx++;
	return idx;
}

void daemon_remove_disk(struct daemon *daemon, struct disk *disk)
{
	unsigned idx = daemon_disk_idx(daemon, disk);

	disk_free(disk);
	free(disk);
	daemon->disk_cnt--;
	memmove(&daemon->disks[idx], &daemon->disks[idx + 1],
		(daemon->disk_cnt - idx) * sizeof(*daemon->disks));
	config_remove_disk(daemon->config, idx);
}

static void open_storages(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->config->disk_cnt; i++) {
		struct err err = ERR_INIT;
		int rc = daemon_append_disk(daemon);

		if (rc) {
			config_errors_add(daemon->errors, NULL, NULL, "no memory for %u disks",
					  daemon->config->disk_cnt);
			fail(daemon, rc);
			return;
		}
		rc = disk_open_storage(daemon->disks[i], &err);
		if (rc)
			fail_disk(daemon, i, rc, &err);
	}
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

static void open_devices(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		struct err err = ERR_INIT;
		int rc = disk_open_device(daemon->disks[i], daemon->loop, daemon->workers,
					  daemon->worker_cnt, daemon->shift++, &err);

		if (rc == 0)
			rc = disk_place(daemon->disks[i], daemon->placer, &err);
		if (rc)
			fail_disk(daemon, i, rc, &err);
	}
}

static void open_endpoints(struct daemon *daemon)
{
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		struct err err = ERR_INIT;
		int rc = disk_open_endpoint(daemon->disks[i], daemon->loop, &err);

		if (rc)
			fail_disk(daemon, i, rc, &err);
	}
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
		open_loop,    open_storages,  open_workers, open_placer,
		open_devices, open_endpoints, open_api,
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
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		disk_free(daemon->disks[i]);
		free(daemon->disks[i]);
	}
	placer_free(daemon->placer);
	for (unsigned i = 0; i < daemon->worker_cnt; i++)
		worker_free(daemon->workers[i]);
	free(daemon->disks);
	free(daemon->workers);
	if (daemon->signals_opened)
		signals_close(&daemon->signals);
	evloop_free(daemon->loop);
	free(daemon);
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
	for (unsigned i = 0; i < daemon->disk_cnt && status == EXIT_STATUS_OK; i++)
		disk_log_totals(daemon->disks[i]);
	if (daemon->loop)
		evloop_timer_cancel(daemon->loop, &daemon->deadline);
	free_all(daemon);
	return status;
}

enum exit_status daemon_start(struct config *config, struct config_errors *errors,
			      struct daemon **out, bool *abandoned)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	char description[192];

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
		daemon_describe(config, description, sizeof(description));
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
