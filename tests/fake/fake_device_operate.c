/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operator's side of the fake device: workers, tuning, what can be seen of it. Nothing of it is
 * ever held back; what a front end does is fake_device.c's.
 */
#include "fake/fake_device_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void device_queue_move(struct device *device, unsigned idx, struct worker *worker,
		       struct join *join)
{
	(void)join;
	if (!device_queue_running(device, idx))
		return;
	fake_device_record_next(device);
	fake_device_record(device, "move %u", idx);
	device->queues[idx].worker = worker;
}

struct worker *device_queue_worker(const struct device *device, unsigned idx)
{
	return device_queue_running(device, idx) ? device->queues[idx].worker : NULL;
}

void device_tune(struct device *device, const struct device_tuning *tuning, struct join *join)
{
	(void)join;
	fake_device_record_next(device);
	fake_device_record(device, "tune %s %" PRIu64 " %s %u %u",
			   poll_mode_name(tuning->poll_mode), tuning->poll_max_ns,
			   coalesce_mode_name(tuning->coalesce.mode), tuning->coalesce.packets,
			   tuning->coalesce.usecs);
	device->tuning = *tuning;
}

const struct device_tuning *device_tuning(const struct device *device)
{
	return &device->tuning;
}

struct worker *const *device_workers(const struct device *device, unsigned *cnt)
{
	*cnt = device->worker_cnt;
	return device->workers;
}

int device_set_workers(struct device *device, struct worker *const *workers, unsigned cnt,
		       struct err *err)
{
	struct worker **copy;

	if (!cnt)
		return err_set(err, EINVAL, "workers: there is none; give at least one");
	copy = calloc(cnt, sizeof(*copy));
	if (!copy)
		abort();
	memcpy(copy, workers, cnt * sizeof(*copy));
	free(device->workers);
	device->workers = copy;
	device->worker_cnt = cnt;
	return 0;
}

void device_queue_set_home(struct device *device, unsigned idx, struct worker *worker)
{
	if (idx < device->queue_cnt)
		device->queues[idx].home = worker;
}

void device_set_watcher(struct device *device, void (*changed)(void *arg), void *arg)
{
	device->changed = changed;
	device->changed_arg = arg;
}

bool device_queue_view(const struct device *device, unsigned idx, struct device_queue_view *view)
{
	memset(view, 0, sizeof(*view));
	if (idx >= device->queue_cnt)
		return false;
	view->running = device->queues[idx].running;
	view->worker = device_queue_worker(device, idx);
	view->size = view->running ? device->queues[idx].setup.size : 0;
	return true;
}
