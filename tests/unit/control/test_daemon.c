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
#include "app/daemon_priv.h"
#include "app/disk.h"
#include "app/signals.h"
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
	struct disk *closing_disks[DISKS];
	unsigned closing_cnt;
} fake;

static int fake_open(enum step step, unsigned idx, struct err *err)
{
	if (fake.fail_step == step && fake.fail_idx == idx)
		return err_set(err, fake.fail_code, "path: it fails");
	fake.opened[step]++;
	return 0;
}

static unsigned disk_idx(const struct disk *disk)
{
	return (unsigned)(disk->config->name[0] - 'a');
}

void disk_init(struct disk *disk, const struct config_disk *config, void *owner)
{
	disk->config = config;
	disk->owner = owner;
	snprintf(disk->tag, sizeof(disk->tag), "disk %s", config->name);
}

int disk_open_storage(struct disk *disk, struct err *err)
{
	assert_int_equal(fake.opened[STEP_WORKER], 0);
	return fake_open(STEP_STORAGE, disk_idx(disk), err);
}

int disk_open_device(struct disk *disk, struct evloop *loop, struct worker *const *workers,
		     unsigned worker_cnt, unsigned shift, struct err *err)
{
	(void)loop;
	assert_non_null(workers[0]);
	assert_int_equal(worker_cnt, fake.opened[STEP_WORKER]);
	assert_int_equal(shift, disk_idx(disk));
	assert_int_equal(fake.opened[STEP_STORAGE], DISKS);
	return fake_open(STEP_DEVICE, disk_idx(disk), err);
}

int disk_place(struct disk *disk, struct placer *placer, struct err *err)
{
	(void)disk;
	(void)err;
	assert_ptr_equal(placer, &fake);
	return 0;
}

/* Nothing was asked of this daemon while it ran. */
void operate_stop(struct daemon *daemon)
{
	assert_true(list_empty(&daemon->operations));
}

int disk_open_endpoint(struct disk *disk, struct evloop *loop, struct err *err)
{
	int rc = fake_open(STEP_ENDPOINT, disk_idx(disk), err);

	fake.loop = loop;
	assert_int_equal(fake.opened[STEP_DEVICE], DISKS);
	if (rc == 0)
		disk->endpoint = (struct vhost_user *)disk; /* only compared with NULL */
	return rc;
}

static void close_now(struct disk *disk)
{
	fake.closed_endpoints++;
	disk->endpoint = NULL;
	disk->closed(disk);
}

static void close_later(struct evloop_timer *timer)
{
	close_now(fake.closing_disks[timer - fake.later]);
}

void __real_evloop_timer_set(struct evloop *loop, struct evloop_timer *timer, uint64_t deadline_ns);

void disk_close_endpoint(struct disk *disk, void (*closed)(struct disk *disk))
{
	unsigned idx = fake.closing_cnt;

	disk->closed = closed;
	/* No disk may be freed while another is not closed. */
	assert_int_equal(fake.freed_disks, 0);
	if (!disk->endpoint) {
		closed(disk);
		return;
	}
	switch (fake.closing) {
	case CLOSING_AT_ONCE:
		close_now(disk);
		break;
	case CLOSING_LATER:
		fake.closing_disks[idx] = disk;
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

void disk_free(struct disk *disk)
{
	assert_null(disk->endpoint);
	assert_int_equal(fake.freed_workers, 0);
	fake.freed_disks++;
}

void disk_refresh(struct disk *disk)
{
	(void)disk;
	if (++fake.refreshed == DISKS)
		raise(SIGTERM);
}

void disk_log_totals(const struct disk *disk)
{
	(void)disk;
	assert_int_equal(fake.closed_endpoints, DISKS);
	assert_int_equal(fake.freed_disks, 0);
	fake.totals++;
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
