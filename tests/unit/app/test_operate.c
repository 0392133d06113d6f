/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys set on a running daemon and its disks, under load: what is answered, what the configuration
 * says and what the workers do agree. Not the disks' coming and going (test_operate_disk.c) and not
 * each wrong value's words (tests/unit/control/test_change.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/signals.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "base/log.h"
#include "control/schema.h"
#include "app/disk.h"
#include "daemon_rig.h"

/* How the next change of a placement fails. */
static struct {
	int at_once;
	int later;
	struct join *join;
} fail_placer;

int __real_placer_set(struct placer *placer, struct placed *placed,
		      const struct placer_settings *settings, struct join *join, struct err *err);
int __wrap_placer_set(struct placer *placer, struct placed *placed,
		      const struct placer_settings *settings, struct join *join, struct err *err);

int __wrap_placer_set(struct placer *placer, struct placed *placed,
		      const struct placer_settings *settings, struct join *join, struct err *err)
{
	int at_once = fail_placer.at_once;

	fail_placer.at_once = 0;
	if (at_once)
		return err_set(err, at_once, "no memory for the placement");
	if (fail_placer.later) {
		join_add(join);
		fail_placer.join = join;
	}
	return __real_placer_set(placer, placed, settings, join, err);
}

/* A block device's rq_affinity, as sysfs would show it. */
static int host_affinity = 1;

int __wrap_storage_affinity_read(struct storage *storage, struct storage_affinity **out,
				 struct err *err);
int __wrap_storage_set_rq_affinity(struct storage *storage, int value, struct err *err);

int __wrap_storage_affinity_read(struct storage *storage, struct storage_affinity **out,
				 struct err *err)
{
	(void)storage;
	if (host_affinity < 0)
		return err_set(err, ENODEV, "rq-affinity: there is no block device");
	*out = calloc(1, sizeof(**out));
	assert_non_null(*out);
	(*out)->rq_affinity = host_affinity;
	return 0;
}

int __wrap_storage_set_rq_affinity(struct storage *storage, int value, struct err *err)
{
	(void)storage;
	(void)err;
	host_affinity = value;
	return 0;
}

static void begin(struct rig *rig)
{
	rig_prepare(rig);
	rig_disk(rig, "a,backend=ram,size=1M,queues=4");
	rig_disk(rig, "b,backend=null,size=1M,queues=4,poll=always,coalesce.usecs=9");
	rig_start(rig);
}

/* What runs is what the configuration says, of every disk. */
static void assert_agreement(const struct rig *rig)
{
	for (unsigned i = 0; i < daemon_cnt(rig->daemon, CONFIG_DISK); i++) {
		const struct disk *disk = disk_of(daemon_at(rig->daemon, CONFIG_DISK, i));
		const struct config_disk *config = config_disk_at(daemon_config(rig->daemon), i);
		const struct device_tuning *tuning = device_tuning(disk->front.device);
		struct worker *const *workers;
		struct placed_view view;
		unsigned cnt;

		assert_ptr_equal(disk_config(disk), config);
		assert_int_equal(tuning->poll_mode, config->front.poll);
		assert_int_equal(tuning->poll_max_ns, config->front.poll_max_us * NS_PER_US);
		assert_int_equal(tuning->coalesce.mode, config->front.coalesce.mode);
		assert_int_equal(tuning->coalesce.packets, config->front.coalesce.packets);
		assert_int_equal(tuning->coalesce.usecs, config->front.coalesce.usecs);
		workers = device_workers(disk->front.device, &cnt);
		assert_int_equal(cnt, CPU_COUNT(&config->front.workers));
		for (unsigned w = 0; w < cnt; w++)
			assert_true(CPU_ISSET(worker_cpu(workers[w]), &config->front.workers));
		for (unsigned q = 0; q < device_queue_max(disk->front.device); q++) {
			const struct worker *worker = device_queue_worker(disk->front.device, q);

			if (worker)
				assert_true(CPU_ISSET(worker_cpu(worker), &config->front.workers));
		}
		placer_view(&disk->front.placed, &view);
		assert_int_equal(view.mode, config->front.placement);
	}
}

struct set_case {
	const char *changes;
	const char *line; /* NULL: taken */
};

static const struct set_case disk_cases[] = {
	{"{'poll': 'never'}", NULL},
	{"{'poll': 'always'}", NULL},
	{"{'poll': 'adaptive', 'poll-max-us': 80}", NULL},
	{"{'poll': 'often'}",
	 "disk a.poll: \"often\" is none of the choices (allowed: adaptive, always, never)"},
	{"{'poll-max-us': '0'}", NULL},
	{"{'poll-max-us': -1}",
	 "disk a.poll-max-us: -1 is below the minimum of 0 (allowed: 0 to 1000000)"},
	{"{'coalesce': {'mode': 'static', 'packets': 4, 'usecs': 100}}", NULL},
	{"{'coalesce.mode': 'adaptive'}", NULL},
	{"{'coalesce.packets': 0}",
	 "disk a.coalesce.packets: 0 is below the minimum of 1 (allowed: 1 to 1024)"},
	{"{'coalesce.usecs': null, 'coalesce.mode': 'off'}", NULL},
	{"{'coalesce.usecs': 10001}",
	 "disk a.coalesce.usecs: 10001 is above the maximum of 10000 (allowed: 1 to 10000)"},
	{"{'coalesce.mode': 1}",
	 "disk a.coalesce.mode: \"1\" is none of the choices (allowed: off, static, adaptive)"},
	{"{'placement': 'fixed'}", NULL},
	{"{'placement': 'off'}", NULL},
	{"{'placement': 'auto', 'vcpus': '0', 'siblings': true}", NULL},
	{"{'placement': 'here'}",
	 "disk a.placement: \"here\" is none of the choices (allowed: auto, fixed, off)"},
	{"{'siblings': false}", NULL},
	{"{'siblings': 2}",
	 "disk a.siblings: \"2\" is neither true nor false (allowed: true, false)"},
	{"{'vcpus': null}", NULL},
	{"{'rq-affinity': 1}",
	 "disk a.rq-affinity: does not belong to backend ram (allowed with: file)"},
	{"{'queues': 2}", "disk a.queues: cannot be changed while it runs; remove the disk and "
			  "add it anew"},
	{"{'poll': 'never', 'size': '2M'}",
	 "disk a.size: cannot be changed while it runs; remove the disk and add it anew"},
};

static void test_set_disk_under_load(void **state)
{
	struct guest guest;
	struct rig rig;

	(void)state;
	begin(&rig);
	guest_start(&rig, &guest, "a", 4);
	for (unsigned i = 0; i < ARRAY_LEN(disk_cases); i++) {
		const struct set_case *c = &disk_cases[i];
		enum poll_mode poll = config_disk_at(&rig.config, 0)->front.poll;

		rig_set_disk(&rig, "a", c->changes, c->line ? -EINVAL : 0, c->line);
		/* All or nothing. */
		if (c->line)
			assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, poll);
		assert_agreement(&rig);
		guest_progress(&rig, &guest);
	}
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

static void test_values_are_taken(void **state)
{
	struct rig rig;
	const struct config_disk *disk;

	(void)state;
	begin(&rig);
	disk = config_disk_at(&rig.config, 0);
	rig_set_disk(&rig, "a",
		     "{'poll': 'never', 'poll-max-us': 80, 'coalesce': {'mode': 'static'}, "
		     "'vcpus': '0', 'siblings': true, 'placement': 'off'}",
		     0, NULL);
	assert_int_equal(disk->front.poll, POLL_MODE_NEVER);
	assert_int_equal(disk->front.poll_max_us, 80);
	assert_int_equal(disk->front.coalesce.mode, COALESCE_STATIC);
	assert_string_equal(disk->front.vcpus, "0");
	assert_true(disk->front.siblings);
	assert_int_equal(disk->front.placement, PLACEMENT_OFF);
	assert_agreement(&rig);
	rig_set_disk(&rig, "a", "{'vcpus': null, 'poll': null}", 0, NULL);
	assert_null(disk->front.vcpus);
	assert_int_equal(disk->front.poll, POLL_MODE_ADAPTIVE);
	assert_agreement(&rig);
	rig_stop(&rig);
}

/* Where there is only one CPU for workers there is nothing to choose. */
static void test_workers_of_disk(void **state)
{
	struct worker *const *workers;
	const struct device *device;
	struct guest guest;
	char changes[64];
	cpu_set_t allowed;
	struct rig rig;
	unsigned cnt;

	(void)state;
	rig_prepare(&rig);
	rig_disk(&rig, "a,backend=ram,size=1M,queues=4");
	assert_int_equal(cpuset_allowed(&allowed), 0);
	cpuset_format(&allowed, changes, sizeof(changes));
	rig_key(&rig, "workers", changes);
	rig_start(&rig);
	guest_start(&rig, &guest, "a", 4);
	workers = daemon_workers(rig.daemon, &cnt);
	device = disk_of(daemon_at(rig.daemon, CONFIG_DISK, 0))->front.device;
	/* Twice round, on as many as a big machine needs not be gone through. */
	cnt = cnt < 4 ? cnt : 4;
	for (unsigned i = 0; i < 2 * cnt; i++) {
		snprintf(changes, sizeof(changes), "{'workers': '%d'}",
			 worker_cpu(workers[i % cnt]));
		rig_set_disk(&rig, "a", changes, 0, NULL);
		for (unsigned q = 0; q < 4; q++)
			assert_ptr_equal(device_queue_worker(device, q), workers[i % cnt]);
		assert_agreement(&rig);
		guest_progress(&rig, &guest);
	}
	rig_set_disk(&rig, "a", "{'workers': null}", 0, NULL);
	assert_agreement(&rig);
	guest_progress(&rig, &guest);
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

static void test_set_daemon(void **state)
{
	struct guest guest_a;
	struct guest guest_b;
	struct rig rig;

	(void)state;
	begin(&rig);
	guest_start(&rig, &guest_a, "a", 4);
	guest_start(&rig, &guest_b, "b", 2);
	rig_set_daemon(&rig, "{'poll': 'never', 'coalesce': {'usecs': 70, 'mode': 'adaptive'}}", 0,
		       NULL);
	assert_int_equal(rig.config.daemon.poll, POLL_MODE_NEVER);
	assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, POLL_MODE_NEVER);
	assert_int_equal(config_disk_at(&rig.config, 0)->front.coalesce.usecs, 70);
	/* It said so itself. */
	assert_int_equal(config_disk_at(&rig.config, 1)->front.poll, POLL_MODE_ALWAYS);
	assert_int_equal(config_disk_at(&rig.config, 1)->front.coalesce.usecs, 9);
	assert_int_equal(config_disk_at(&rig.config, 1)->front.coalesce.mode, COALESCE_ADAPTIVE);
	assert_agreement(&rig);

	/* What was set on the disk stays; what is taken back follows again. */
	rig_set_disk(&rig, "a", "{'poll': 'adaptive'}", 0, NULL);
	rig_set_disk(&rig, "b", "{'poll': null}", 0, NULL);
	rig_set_daemon(&rig, "{'poll': 'always', 'poll-max-us': 33, 'placement': 'fixed'}", 0,
		       NULL);
	assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, POLL_MODE_ADAPTIVE);
	assert_int_equal(config_disk_at(&rig.config, 1)->front.poll, POLL_MODE_ALWAYS);
	assert_int_equal(config_disk_at(&rig.config, 1)->front.poll_max_us, 33);
	assert_agreement(&rig);
	guest_progress(&rig, &guest_a);
	guest_progress(&rig, &guest_b);

	rig_set_daemon(&rig, "{'rebalance-s': 0, 'log-level': 'warn'}", 0, NULL);
	assert_int_equal(rig.config.daemon.rebalance_s, 0);
	assert_true(log_enabled(LOG_LEVEL_WARN));
	rig_set_daemon(&rig, "{'rebalance-s': 1, 'log-level': 'error'}", 0, NULL);
	assert_false(log_enabled(LOG_LEVEL_WARN));

	rig_set_daemon(&rig, "{'api': '/tmp/x'}", -EINVAL,
		       "daemon.api: cannot be changed while it runs; start the daemon anew");
	rig_set_daemon(&rig, "{'poll': 'never', 'rebalance-s': 5000}", -EINVAL,
		       "daemon.rebalance-s: 5000 is above the maximum of 3600 (allowed: 0 to "
		       "3600)");
	assert_int_equal(rig.config.daemon.poll, POLL_MODE_ALWAYS);
	assert_agreement(&rig);
	guest_end(&rig, &guest_a);
	guest_end(&rig, &guest_b);
	rig_stop(&rig);
}

static void test_no_such_disk(void **state)
{
	struct rig rig;

	(void)state;
	begin(&rig);
	rig_set_disk(&rig, "c", "{'poll': 'never'}", -ENOENT,
		     "no disk is named \"c\" (there are: a, b)");
	rig_remove(&rig, "", -ENOENT, "no disk is named \"\" (there are: a, b)");
	rig_resize(&rig, "a\nb", "2M", -ENOENT, "no disk is named \"a?b\" (there are: a, b)");
	rig_remove(&rig, "a", 0, NULL);
	rig_remove(&rig, "b", 0, NULL);
	rig_resize(&rig, "b", "2M", -ENOENT, "no disk is named \"b\" (there are: none)");
	rig_stop(&rig);
}

static void test_rq_affinity(void **state)
{
	char spec[320];
	struct rig rig;

	(void)state;
	host_affinity = 1;
	rig_prepare(&rig);
	rig_image(&rig, "f", 1 << 20);
	snprintf(spec, sizeof(spec), "f,path=%s,cache=writeback", rig_path(&rig, "f", "raw"));
	rig_disk(&rig, spec);
	rig_start(&rig);
	assert_int_equal(host_affinity, 1);
	rig_set_disk(&rig, "f", "{'rq-affinity': 2}", 0, NULL);
	assert_int_equal(host_affinity, 2);
	rig_set_disk(&rig, "f", "{'rq-affinity': 0}", 0, NULL);
	assert_int_equal(host_affinity, 0);
	rig_set_disk(&rig, "f", "{'rq-affinity': 3}", -EINVAL,
		     "disk f.rq-affinity: 3 is above the maximum of 2 (allowed: 0 to 2)");
	/* What it was before us. */
	rig_set_disk(&rig, "f", "{'rq-affinity': null}", 0, NULL);
	assert_int_equal(host_affinity, 1);
	fail_placer.at_once = ENOMEM;
	rig_set_disk(&rig, "f", "{'rq-affinity': 2, 'placement': 'off'}", -ENOMEM,
		     "disk f: no memory for the placement");
	assert_int_equal(host_affinity, 1);
	/* The endpoint comes last: its socket is another's, which is alive. */
	rig_image(&rig, "g", 1 << 20);
	assert_int_equal(link(rig_path(&rig, "f", "sock"), rig_path(&rig, "twin", "sock")), 0);
	snprintf(spec, sizeof(spec),
		 "{'name': 'g', 'path': '%s', 'cache': 'writeback', 'rq-affinity': 2, 'socket': "
		 "'%s'}",
		 rig_path(&rig, "g", "raw"), rig_path(&rig, "twin", "sock"));
	rig_add(&rig, spec, -EINVAL, "disk g.socket: somebody listens on ...");
	assert_int_equal(host_affinity, 1);
	host_affinity = -1;
	rig_set_disk(&rig, "f", "{'rq-affinity': 2}", -EINVAL,
		     "disk f.rq-affinity: there is no block device");
	assert_false(config_given(config_at(&rig.config, CONFIG_DISK, 0), "rq-affinity"));
	assert_agreement(&rig);
	rig_stop(&rig);
}

#define CHANGE "{'poll': 'never', 'placement': 'fixed', 'coalesce.mode': 'static'}"

/* One disk of the daemon's cannot have it: none has it. */
static void test_failure_is_taken_back(void **state)
{
	struct asked asked;
	struct guest guest;
	struct rig rig;
	json_t *json = rig_json(CHANGE);

	(void)state;
	begin(&rig);
	guest_start(&rig, &guest, "a", 4);
	fail_placer.at_once = ENOMEM;
	rig_set_disk(&rig, "a", CHANGE, -ENOMEM, "disk a: no memory for the placement");
	assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, POLL_MODE_ADAPTIVE);
	assert_agreement(&rig);

	fail_placer.later = ENOSPC;
	operate_set_daemon(rig.daemon, json, ask(&asked));
	json_decref(json);
	assert_false(asked.answered);
	assert_int_equal(device_tuning(disk_of(daemon_at(rig.daemon, CONFIG_DISK, 0))->front.device)
				 ->poll_mode,
			 POLL_MODE_NEVER);
	/* Both disks asked the placer with one join; both are heard. */
	fail_placer.later = 0;
	join_done(fail_placer.join, 0);
	join_done(fail_placer.join, -ENOSPC);
	rig_answer(&rig, &asked, -EBUSY,
		   "daemon: a worker could not take it: No space left on device");
	assert_int_equal(rig.config.daemon.poll, POLL_MODE_ADAPTIVE);
	assert_int_equal(rig.config.daemon.placement, PLACEMENT_AUTO);
	assert_agreement(&rig);
	guest_progress(&rig, &guest);

	rig_set_daemon(&rig, CHANGE, 0, NULL);
	assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, POLL_MODE_NEVER);
	assert_agreement(&rig);
	guest_progress(&rig, &guest);
	guest_end(&rig, &guest);
	rig_stop(&rig);
}

/* All begun at once: each sees what those before it have made of the disk. */
static void test_order(void **state)
{
	static const char *const polls[] = {"{'poll': 'never'}", "{'poll': 'always'}"};
	enum { CNT = 20 };
	static struct asked asked[CNT + 1];
	json_t *json[2] = {rig_json(polls[0]), rig_json(polls[1])};
	json_t *of_daemon = rig_json("{'poll': 'adaptive'}");
	struct guest guest;
	struct rig rig;

	(void)state;
	begin(&rig);
	guest_start(&rig, &guest, "a", 4);
	for (unsigned i = 0; i < CNT; i++) {
		if (i == CNT / 2)
			operate_set_daemon(rig.daemon, of_daemon, ask(&asked[CNT]));
		operate_set(rig.daemon, CONFIG_DISK, "a", json[i % 2], ask(&asked[i]));
	}
	/* The last waits for the others, which wait for the workers. */
	assert_false(asked[CNT - 1].answered);
	rig_until(&rig, asked[CNT - 1].answered);
	for (unsigned i = 0; i < CNT + 1; i++) {
		assert_true(asked[i].answered);
		assert_int_equal(asked[i].status, 0);
	}
	assert_int_equal(config_disk_at(&rig.config, 0)->front.poll, POLL_MODE_ALWAYS);
	assert_agreement(&rig);
	guest_progress(&rig, &guest);
	guest_end(&rig, &guest);
	json_decref(json[0]);
	json_decref(json[1]);
	json_decref(of_daemon);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_disk_under_load),
		cmocka_unit_test(test_values_are_taken),
		cmocka_unit_test(test_workers_of_disk),
		cmocka_unit_test(test_set_daemon),
		cmocka_unit_test(test_no_such_disk),
		cmocka_unit_test(test_rq_affinity),
		cmocka_unit_test(test_failure_is_taken_back),
		cmocka_unit_test(test_order),
	};

	signals_block();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
