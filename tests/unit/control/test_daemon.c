/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app/daemon.c over disks and workers that are not there: the order of things, the undo of every
 * step that can fail, and drains that do not end. Not real disks: tests/peers/test_lifecycle.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/api.h"
#include "app/captures.h"
#include "app/daemon_priv.h"
#include "app/served.h"
#include "app/signals.h"
#include "app/uplink.h"
#include "base/clock.h"
#include "stage.h"

#define DISKS 3

enum step {
	STEP_STORAGE,
	STEP_WORKER,
	STEP_DEVICE,
	STEP_ENDPOINT,
	STEP_NONE,
};

enum closing {
	CLOSING_AT_ONCE,
	CLOSING_LATER,
	CLOSING_NEVER,
	CLOSING_NEVER_WITH_SIGNAL, /* a second SIGTERM comes during the drain */
};

/* What the fakes were asked for. */
static struct {
	enum step fail_step;
	unsigned fail_idx;
	int fail_code;
	enum closing closing;
	unsigned opened[STEP_NONE];
	unsigned freed_disks;
	unsigned freed_workers;
	unsigned closed_endpoints;
	unsigned refreshed;
	unsigned totals;
	struct evloop *loop;
	struct evloop_timer later[DISKS];
	struct served *closing_disks[DISKS];
	unsigned closing_cnt;
	unsigned fabrics;
	unsigned captures;
} fake;

static int fake_open(enum step step, unsigned idx, struct err *err)
{
	if (fake.fail_step == step && fake.fail_idx == idx)
		return err_set(err, fake.fail_code, "path: it fails");
	fake.opened[step]++;
	return 0;
}

/* A disk that is not there. */
struct fake_disk {
	struct served served;
	bool exposed;
};

static unsigned disk_idx(const struct served *served)
{
	return (unsigned)(served_name(served)[0] - 'a');
}

static int open_storage(struct served *served, struct err *err)
{
	assert_int_equal(fake.opened[STEP_WORKER], 0);
	return fake_open(STEP_STORAGE, disk_idx(served), err);
}

static int open_device(struct served *served, struct err *err)
{
	const struct daemon *daemon = served->daemon;

	assert_non_null(daemon->workers[0]);
	assert_int_equal(daemon->worker_cnt, fake.opened[STEP_WORKER]);
	assert_int_equal(served->shift, disk_idx(served));
	assert_int_equal(fake.opened[STEP_STORAGE], DISKS);
	assert_ptr_equal(daemon->placer, &fake);
	assert_ptr_equal(daemon->fabric, &fake);
	return fake_open(STEP_DEVICE, disk_idx(served), err);
}

/* Nothing was asked of this daemon while it ran. */
void operate_stop(struct daemon *daemon)
{
	assert_true(list_empty(&daemon->operations));
}

static int open_endpoint(struct served *served, struct err *err)
{
	int rc = fake_open(STEP_ENDPOINT, disk_idx(served), err);

	fake.loop = served->daemon->loop;
	assert_int_equal(fake.opened[STEP_DEVICE], DISKS);
	container_of(served, struct fake_disk, served)->exposed = rc == 0;
	return rc;
}

static void close_now(struct served *served)
{
	fake.closed_endpoints++;
	container_of(served, struct fake_disk, served)->exposed = false;
	served_is_closed(served);
}

static void close_later(struct evloop_timer *timer)
{
	close_now(fake.closing_disks[timer - fake.later]);
}

void __real_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns);

static void close_endpoint(struct served *served)
{
	unsigned idx = fake.closing_cnt;

	/* No disk may be freed while another is not closed. */
	assert_int_equal(fake.freed_disks, 0);
	if (!container_of(served, struct fake_disk, served)->exposed) {
		served_is_closed(served);
		return;
	}
	switch (fake.closing) {
	case CLOSING_AT_ONCE:
		close_now(served);
		break;
	case CLOSING_LATER:
		fake.closing_disks[idx] = served;
		fake.later[idx].expired = close_later;
		fake.closing_cnt++;
		__real_evloop_timer_set(fake.loop, &fake.later[idx],
					clock_now_ns() + (idx + 1) * NS_PER_MS);
		break;
	case CLOSING_NEVER_WITH_SIGNAL:
		if (fake.closing_cnt++ == 0)
			raise(SIGTERM);
		break;
	case CLOSING_NEVER:
		break;
	}
}

static void free_disk(struct served *served)
{
	assert_false(container_of(served, struct fake_disk, served)->exposed);
	assert_int_equal(fake.freed_workers, 0);
	fake.freed_disks++;
}

static void refresh(struct served *served)
{
	(void)served;
	if (++fake.refreshed == DISKS)
		raise(SIGTERM);
}

static void log_totals(const struct served *served)
{
	(void)served;
	assert_int_equal(fake.closed_endpoints, DISKS);
	assert_int_equal(fake.freed_disks, 0);
	fake.totals++;
}

const struct served_ops disk_ops = {
	.bytes = sizeof(struct fake_disk),
	.held = "requests are still with its storage",
	.prepare = open_storage,
	.open = open_device,
	.expose = open_endpoint,
	.close = close_endpoint,
	.free = free_disk,
	.refresh = refresh,
	.log_totals = log_totals,
};

/* There are none of these. */
const struct served_ops lan_ops, port_ops, uplink_ops;

struct netport *uplink_port(const struct uplink *uplink)
{
	(void)uplink;
	fail_msg("there is no uplink");
	return NULL;
}

struct served *daemon_find(const struct daemon *daemon, enum config_kind kind, const char *name)
{
	(void)daemon;
	(void)kind;
	fail_msg("nobody asks for %s", name);
	return NULL;
}

struct captures *captures_new(const struct captures_options *options)
{
	assert_int_equal(options->worker_cnt, fake.opened[STEP_WORKER]);
	assert_int_equal(fake.opened[STEP_DEVICE], 0);
	fake.captures++;
	return (struct captures *)&fake; /* only handed on */
}

void captures_free(struct captures *captures)
{
	assert_true(!captures || captures == (struct captures *)&fake);
	assert_int_equal(fake.freed_workers, 0);
	fake.captures -= captures != NULL;
}

/* A disk has no frames. */
void captures_leave(struct captures *captures, const struct netport *port, void (*left)(void *arg),
		    void *arg)
{
	(void)captures;
	(void)port;
	(void)left;
	(void)arg;
	fail_msg("nothing is captured");
}

int fabric_new(const struct fabric_options *options, struct evloop *control, struct fabric **out,
	       struct err *err)
{
	(void)control;
	(void)err;
	assert_int_equal(options->worker_cnt, fake.opened[STEP_WORKER]);
	fake.fabrics++;
	*out = (struct fabric *)&fake; /* only handed on */
	return 0;
}

/* When nothing is left that sends, and before the workers. */
void fabric_free(struct fabric *fabric, void (*closed)(void *arg), void *arg)
{
	assert_ptr_equal(fabric, &fake);
	assert_int_equal(fake.closed_endpoints, fake.opened[STEP_ENDPOINT]);
	assert_int_equal(fake.freed_workers, 0);
	fake.fabrics--;
	closed(arg);
}

/* The linker puts the __wrap_ functions in place of worker/'s and evloop.c's own. */
int __wrap_worker_new(const struct worker_options *options, struct evloop *control,
		      struct worker **out, struct err *err);
void __wrap_worker_free(struct worker *worker);
int api_open(struct daemon *daemon, const char *path, struct api **out, struct err *err)
{
	(void)daemon;
	(void)path;
	*out = NULL;
	return err_set(err, EADDRINUSE, "it fails");
}

void api_close(struct api *api)
{
	assert_null(api);
}

int __wrap_placer_new(const struct placer_options *options, struct placer **out, struct err *err);
void __wrap_placer_free(struct placer *placer);
void __wrap_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns);

int __wrap_placer_new(const struct placer_options *options, struct placer **out, struct err *err)
{
	(void)err;
	assert_int_equal(options->worker_cnt, fake.opened[STEP_WORKER]);
	*out = (struct placer *)&fake; /* only handed on */
	return 0;
}

void __wrap_placer_free(struct placer *placer)
{
	assert_true(!placer || placer == (struct placer *)&fake);
	assert_int_equal(fake.freed_workers, 0);
}

int __wrap_worker_new(const struct worker_options *options, struct evloop *control,
		      struct worker **out, struct err *err)
{
	(void)control;
	*out = (struct worker *)&fake; /* only handed on */
	return fake_open(STEP_WORKER, options->idx, err);
}

void __wrap_worker_free(struct worker *worker)
{
	assert_ptr_equal(worker, &fake);
	fake.freed_workers++;
}

/* The drain's deadline, which is far away, comes at once if a drain is not to end. */
void __wrap_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns)
{
	assert_true(deadline_ns > clock_now_ns());
	if (fake.closing == CLOSING_NEVER)
		deadline_ns = clock_now_ns();
	__real_evloop_timer_set(loop, timer, deadline_ns);
}

static enum exit_status run(struct stage *s, bool *abandoned)
{
	for (unsigned i = 0; i < DISKS; i++) {
		char spec[64];

		snprintf(spec, sizeof(spec), "%c,backend=null,size=1M,socket=/tmp/%c", 'a' + i,
			 'a' + i);
		stage_add_disk(s, spec);
	}
	config_finish(&s->config, &s->errors);
	stage_said(s, NULL);
	return daemon_run(&s->config, &s->errors, abandoned);
}

static struct stage *begin(enum closing closing)
{
	memset(&fake, 0, sizeof(fake));
	fake.fail_step = STEP_NONE;
	fake.closing = closing;
	return stage_begin();
}

static void test_every_step_is_undone(void **state)
{
	static const char *const said[] = {
		"--disk b: disks[1].path: it fails",
		"daemon.workers: path: it fails",
		"--disk b: disks[1].path: it fails",
		"--disk b: disks[1].path: it fails",
	};

	(void)state;
	for (enum step step = STEP_STORAGE; step < STEP_NONE; step++) {
		struct stage *s = begin(CLOSING_AT_ONCE);
		bool abandoned;

		fake.fail_step = step;
		fake.fail_idx = step == STEP_WORKER ? 0 : 1;
		fake.fail_code = EINVAL;
		assert_int_equal(run(s, &abandoned), EXIT_STATUS_WRONG);
		stage_said(s, said[step], NULL);
		assert_false(abandoned);
		assert_int_equal(fake.freed_disks, DISKS);
		assert_int_equal(fake.freed_workers, fake.opened[STEP_WORKER]);
		assert_int_equal(fake.fabrics, 0);
		assert_int_equal(fake.captures, 0);
		assert_int_equal(fake.closed_endpoints, fake.opened[STEP_ENDPOINT]);
		assert_int_equal(fake.totals, 0);
		/* All disks of the step were tried, the next step was not begun. */
		if (step != STEP_WORKER)
			assert_int_equal(fake.opened[step], DISKS - 1);
		for (enum step next = step + 1; next < STEP_NONE; next++)
			assert_int_equal(fake.opened[next], 0);
		stage_end(s);
	}
}

static void test_no_api(void **state)
{
	struct stage *s = begin(CLOSING_LATER);
	bool abandoned;

	(void)state;
	config_set_daemon(&s->config, "api", "/run/api", &s->errors);
	assert_int_equal(run(s, &abandoned), EXIT_STATUS_WRONG);
	stage_said(s, "daemon.api: it fails", NULL);
	assert_false(abandoned);
	assert_int_equal(fake.closed_endpoints, DISKS);
	assert_int_equal(fake.freed_disks, DISKS);
	stage_end(s);
}

static void test_undo_that_takes_time(void **state)
{
	struct stage *s = begin(CLOSING_LATER);
	bool abandoned;

	(void)state;
	fake.fail_step = STEP_ENDPOINT;
	fake.fail_idx = 2;
	fake.fail_code = EADDRINUSE;
	assert_int_equal(run(s, &abandoned), EXIT_STATUS_WRONG);
	assert_false(abandoned);
	assert_int_equal(fake.closed_endpoints, 2);
	assert_int_equal(fake.freed_disks, DISKS);
	stage_end(s);
}

static void test_out_of_memory_is_no_mistake(void **state)
{
	struct stage *s = begin(CLOSING_AT_ONCE);
	bool abandoned;

	(void)state;
	fake.fail_step = STEP_DEVICE;
	fake.fail_code = ENOMEM;
	assert_int_equal(run(s, &abandoned), EXIT_STATUS_FAILED);
	stage_end(s);
}

static void test_drain(void **state)
{
	static const enum closing ways[] = {CLOSING_AT_ONCE, CLOSING_LATER};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		struct stage *s = begin(ways[i]);
		bool abandoned;

		raise(SIGTERM);
		assert_int_equal(run(s, &abandoned), EXIT_STATUS_OK);
		stage_said(s, NULL);
		assert_false(abandoned);
		assert_int_equal(fake.closed_endpoints, DISKS);
		assert_int_equal(fake.totals, DISKS);
		assert_int_equal(fake.freed_disks, DISKS);
		assert_int_equal(fake.freed_workers, fake.opened[STEP_WORKER]);
		stage_end(s);
	}
}

/* 0 if a drain that does not end frees nothing, for workers may still use it. */
static int run_abandoned(enum closing closing)
{
	struct stage *s = begin(closing);
	bool abandoned;

	raise(SIGTERM);
	if (run(s, &abandoned) != EXIT_STATUS_FAILED || !abandoned)
		return 1;
	return fake.freed_disks || fake.freed_workers || fake.totals ? 2 : 0;
}

/* In processes that leave as main() does, so that what is not freed is no leak of this one. */
static void test_drain_that_does_not_end(void **state)
{
	static const enum closing ways[] = {CLOSING_NEVER, CLOSING_NEVER_WITH_SIGNAL};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ways); i++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (child == 0)
			_exit(run_abandoned(ways[i]));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void test_reload(void **state)
{
	struct stage *s = begin(CLOSING_AT_ONCE);
	bool abandoned;

	(void)state;
	raise(SIGHUP);
	assert_int_equal(run(s, &abandoned), EXIT_STATUS_OK);
	assert_int_equal(fake.refreshed, DISKS);
	stage_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_step_is_undone),
		cmocka_unit_test(test_no_api),
		cmocka_unit_test(test_undo_that_takes_time),
		cmocka_unit_test(test_out_of_memory_is_no_mistake),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_that_does_not_end),
		cmocka_unit_test(test_reload),
	};

	signals_block();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
