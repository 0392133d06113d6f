/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake device: records, holds back acknowledgements, and watches its caller's manners. What an
 * operator does with it is fake_device_operate.c's. Nothing here touches guest memory.
 */
#include "fake/fake_device_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/overflow.h"

struct device *fake_device_new(const char *name, unsigned queues)
{
	struct device *device = calloc(1, sizeof(*device) + queues * sizeof(device->queues[0]));

	if (!device)
		abort();
	device->name = name;
	device->queue_cnt = queues;
	for (unsigned i = 0; i < queues; i++) {
		device->queues[i].setup.kick_fd = -1;
		device->queues[i].setup.call_fd = -1;
		device->queues[i].setup.err_fd = -1;
	}
	return device;
}

void fake_device_be_net(struct device *device)
{
	device->is_net = true;
}

void fake_device_misused(struct device *device, const char *what)
{
	fprintf(stderr, "fake device: %s\n", what);
	device->misuse++;
}

void fake_device_free(struct device *device)
{
	if (device->memory)
		fake_device_misused(device, "memory was not taken back");
	if (device->front)
		fake_device_misused(device, "the front end was not taken back");
	for (unsigned i = 0; i < device->queue_cnt; i++) {
		if (device->queues[i].running)
			fake_device_misused(device, "a queue runs at the end");
	}
	if (device->misuse)
		abort();
	free(device->workers);
	free(device);
}

void fake_device_record(struct device *device, const char *fmt, ...)
{
	size_t left = FAKE_CALLS_BYTES - device->calls_bytes;
	va_list ap;
	int n;

	if (left < 256)
		return; /* no test looks that far back */
	va_start(ap, fmt);
	n = vsnprintf(device->calls + device->calls_bytes, left, fmt, ap);
	va_end(ap);
	device->calls_bytes += (size_t)n;
}

void fake_device_record_next(struct device *device)
{
	if (device->calls_bytes)
		fake_device_record(device, "; ");
}

const char *fake_device_calls(struct device *device)
{
	return device->calls;
}

void fake_device_forget_calls(struct device *device)
{
	device->calls_bytes = 0;
	device->calls[0] = '\0';
}

static bool fds_open(const struct device_queue_setup *setup)
{
	const int fds[] = {setup->kick_fd, setup->call_fd, setup->err_fd};

	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		if (fds[i] >= 0 && fcntl(fds[i], F_GETFD) < 0)
			return false;
	}
	return true;
}

static void tell_watcher(struct device *device)
{
	if (device->changed)
		device->changed(device->changed_arg);
}

static void settle(struct device *device, const struct fake_held *held)
{
	struct fake_queue *q = held->queue >= 0 ? &device->queues[held->queue] : NULL;

	/* Borrowed: whoever gave them keeps them open until now. */
	if (held->old_fd >= 0 && fcntl(held->old_fd, F_GETFD) < 0)
		fake_device_misused(device,
				    "a descriptor was closed before its change was acknowledged");
	if (q && (held->stops || held->status)) {
		if (!fds_open(&q->setup))
			fake_device_misused(device, "descriptors were closed while the queue ran");
		q->setup.kick_fd = -1;
		q->setup.call_fd = -1;
		q->setup.err_fd = -1;
		q->running = false;
		q->stopping = false;
		if (held->stops)
			q->base += FAKE_DEVICE_PROGRESS;
		tell_watcher(device);
	}
	join_done(held->join, held->status);
}

static void hold_or_settle(struct device *device, struct fake_held held)
{
	join_add(held.join);
	if (!device->holding) {
		settle(device, &held);
		return;
	}
	if (device->held_cnt == FAKE_HELD_MAX)
		abort();
	device->held[device->held_cnt++] = held;
}

static void acknowledge(struct device *device, struct join *join, int queue, bool stops, int status)
{
	hold_or_settle(device, (struct fake_held){.join = join,
						  .queue = queue,
						  .stops = stops,
						  .status = status,
						  .old_fd = -1});
}

static void acknowledge_fd(struct device *device, struct join *join, int queue, int old_fd)
{
	hold_or_settle(device, (struct fake_held){.join = join, .queue = queue, .old_fd = old_fd});
}

void fake_device_hold(struct device *device)
{
	device->holding = true;
}

void fake_device_release(struct device *device)
{
	device->holding = false;
	while (device->held_cnt) {
		struct fake_held first = device->held[0];

		device->held_cnt--;
		memmove(device->held, device->held + 1, device->held_cnt * sizeof(first));
		settle(device, &first);
	}
}

unsigned fake_device_held(const struct device *device)
{
	return device->held_cnt;
}

void fake_device_fail_start(struct device *device, int code, bool late)
{
	device->fail_code = code;
	device->fail_late = late;
}

void fake_device_config_changed(struct device *device)
{
	if (device->front)
		device->front_ops->config_changed(device->front);
}

void fake_device_lose(struct device *device, unsigned idx)
{
	struct fake_queue *q = &device->queues[idx];

	q->running = false;
	q->setup.kick_fd = -1;
	q->setup.call_fd = -1;
	q->setup.err_fd = -1;
	q->base += FAKE_DEVICE_PROGRESS;
	if (device->front)
		device->front_ops->queue_lost(device->front, idx);
	tell_watcher(device);
}

bool fake_device_has_front(const struct device *device)
{
	return device->front != NULL;
}

int fake_device_kick_fd(const struct device *device, unsigned idx)
{
	return device->queues[idx].setup.kick_fd;
}

int fake_device_call_fd(const struct device *device, unsigned idx)
{
	return device->queues[idx].setup.call_fd;
}

int fake_device_err_fd(const struct device *device, unsigned idx)
{
	return device->queues[idx].setup.err_fd;
}

unsigned fake_device_misuse(const struct device *device)
{
	return device->misuse;
}

/* device/device.h */

const char *device_name(const struct device *device)
{
	return device->name;
}

uint32_t device_virtio_id(const struct device *device)
{
	return device->is_net ? 1 : 2;
}

uint64_t device_features(const struct device *device)
{
	(void)device;
	return FAKE_DEVICE_FEATURES;
}

unsigned device_queue_max(const struct device *device)
{
	return device->queue_cnt;
}

uint64_t device_queue_cnt_said(const struct device *device)
{
	return device->is_net ? device->queue_cnt / 2 : device->queue_cnt;
}

bool device_serves_disabled(const struct device *device)
{
	return device->is_net;
}

bool device_takes_message(const struct device *device, enum device_message message)
{
	return device->is_net && message < DEVICE_MESSAGE_MAX_;
}

int device_message(struct device *device, enum device_message message, uint64_t value,
		   struct err *err)
{
	fake_device_record_next(device);
	fake_device_record(device, "%s 0x%" PRIx64, message == DEVICE_MESSAGE_MTU ? "mtu" : "rarp",
			   value);
	if (!device->is_net)
		fake_device_misused(device, "a message that it does not take");
	if (message == DEVICE_MESSAGE_MTU && value > FAKE_DEVICE_MTU)
		return err_set(err, EINVAL, "mtu %" PRIu64, value);
	return 0;
}

static bool any_running(const struct device *device)
{
	for (unsigned i = 0; i < device->queue_cnt; i++) {
		if (device->queues[i].running)
			return true;
	}
	return false;
}

int device_set_features(struct device *device, uint64_t acked, struct err *err)
{
	fake_device_record_next(device);
	fake_device_record(device, "features 0x%" PRIx64, acked);
	if (any_running(device) && !(device->has_acked && device->acked == acked))
		fake_device_misused(device, "features were set while a queue runs");
	if (acked & ~FAKE_DEVICE_FEATURES)
		return err_set(err, EINVAL, "0x%" PRIx64 " was not offered",
			       acked & ~FAKE_DEVICE_FEATURES);
	if (acked >> DEVICE_F_RING_PACKED & 1 && !(acked >> DEVICE_F_VERSION_1 & 1))
		return err_set(err, EINVAL, "RING_PACKED without VERSION_1");
	device->acked = acked;
	device->has_acked = true;
	return 0;
}

int device_config_read(struct device *device, uint32_t offset, uint32_t size, void *data,
		       struct err *err)
{
	uint8_t config[DEVICE_CONFIG_BYTES_MAX] = {0};

	if (!range_within(offset, size, sizeof(config)))
		return err_set(err, EINVAL, "offset %u, size %u", offset, size);
	for (unsigned i = 0; i < FAKE_DEVICE_CONFIG_BYTES; i++)
		config[i] = (uint8_t)i;
	if (device->written)
		config[FAKE_DEVICE_CONFIG_WRITABLE] = device->written;
	memcpy(data, config + offset, size);
	return 0;
}

int device_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
			struct err *err)
{
	if (!range_within(offset, size, FAKE_DEVICE_CONFIG_BYTES))
		return err_set(err, EINVAL, "offset %u, size %u", offset, size);
	if (offset != FAKE_DEVICE_CONFIG_WRITABLE || size != 1)
		return err_set(err, EPERM, "offset %u, size %u cannot be written", offset, size);
	fake_device_record_next(device);
	fake_device_record(device, "write %u+%u", offset, size);
	memcpy(&device->written, data, 1);
	return 0;
}

void device_set_front(struct device *device, const struct device_front_ops *ops, void *front)
{
	if (front && device->front)
		fake_device_misused(device, "two front ends");
	device->front_ops = ops;
	device->front = front;
}

void device_set_memory(struct device *device, struct gmem *memory, struct join *join)
{
	struct gmem *old = device->memory;

	fake_device_record_next(device);
	if (memory)
		fake_device_record(device, "memory %u", memory->row_cnt);
	else
		fake_device_record(device, "memory none");
	if (device->held_cnt)
		fake_device_misused(device, "memory was set while another change is under way");
	if (!memory && any_running(device))
		fake_device_misused(device, "memory was taken back while a queue runs");
	device->memory = memory ? gmem_get(memory) : NULL;
	if (old)
		gmem_put(old);
	if (any_running(device))
		acknowledge(device, join, -1, false, 0);
}

struct gmem *device_memory(const struct device *device)
{
	return device->memory;
}

bool device_queue_running(const struct device *device, unsigned idx)
{
	return idx < device->queue_cnt && device->queues[idx].running;
}

static int check_start(struct device *device, unsigned idx, const struct device_queue_setup *setup,
		       struct err *err)
{
	const struct virtqueue_location *w = &setup->where;

	if (idx >= device->queue_cnt || device->queues[idx].running || !device->has_acked ||
	    !device->memory) {
		fake_device_misused(device, "a queue was started that could not be");
		return err_set(err, EINVAL, "start of queue %u", idx);
	}
	if (device->fail_code && !device->fail_late) {
		int code = device->fail_code;

		device->fail_code = 0;
		return err_set(err, code, "the test said so");
	}
	if (!(device->acked >> DEVICE_F_RING_PACKED & 1) && !is_pow2(setup->size))
		return err_set(err, EINVAL, "size %u is no power of two", setup->size);
	if (w->desc_uva % 16 ||
	    !gmem_lookup_uva(device->memory, w->desc_uva, 16ull * setup->size) ||
	    !gmem_lookup_uva(device->memory, w->driver_uva, 4) ||
	    !gmem_lookup_uva(device->memory, w->device_uva, 4))
		return err_set(err, EINVAL, "the ring is not in memory");
	return 0;
}

int device_queue_start(struct device *device, unsigned idx, const struct device_queue_setup *setup,
		       struct join *join, struct err *err)
{
	struct device_queue_setup taken = *setup;
	int ret, status = 0;

	fake_device_record_next(device);
	fake_device_record(device, "start %u size %u base 0x%x%s%s%s%s%s", idx, setup->size,
			   setup->base, setup->base_is_exact ? " exact" : "",
			   setup->enabled ? "" : " disabled", setup->kick_fd >= 0 ? " kick" : "",
			   setup->call_fd >= 0 ? " call" : "", setup->err_fd >= 0 ? " err" : "");
	if (!setup->enabled && !device->is_net)
		fake_device_misused(device, "a disabled queue was started");
	ret = check_start(device, idx, setup, err);
	if (ret) {
		return ret;
	}
	device->queues[idx].setup = taken;
	device->queues[idx].base = setup->base;
	device->queues[idx].running = true;
	device->queues[idx].worker = device->queues[idx].home;
	if (!device->queues[idx].worker && device->worker_cnt)
		device->queues[idx].worker = device->workers[idx % device->worker_cnt];
	if (device->fail_code) {
		status = -device->fail_code;
		device->fail_code = 0;
	}
	acknowledge(device, join, (int)idx, false, status);
	if (!status)
		tell_watcher(device);
	return 0;
}

void device_queue_stop(struct device *device, unsigned idx, struct join *join)
{
	struct fake_queue *q = &device->queues[idx];

	if (!device_queue_running(device, idx))
		return;
	fake_device_record_next(device);
	fake_device_record(device, "stop %u", idx);
	if (q->stopping)
		fake_device_misused(device, "a queue was stopped twice");
	q->stopping = true;
	acknowledge(device, join, (int)idx, true, 0);
}

void device_queue_set_enabled(struct device *device, unsigned idx, bool enabled, struct join *join)
{
	struct fake_queue *q = &device->queues[idx];

	if (!device->is_net)
		fake_device_misused(device,
				    "a queue was enabled that is not served while it is not");
	if (!device_queue_running(device, idx) || q->setup.enabled == enabled)
		return;
	fake_device_record_next(device);
	fake_device_record(device, "%s %u", enabled ? "enable" : "disable", idx);
	q->setup.enabled = enabled;
	acknowledge(device, join, (int)idx, false, 0);
}

uint32_t device_queue_base(const struct device *device, unsigned idx)
{
	return device->queues[idx].base;
}

static void set_doorbell(struct device *device, unsigned idx, const char *what, int *slot, int fd,
			 struct join *join)
{
	int old_fd;

	fake_device_record_next(device);
	fake_device_record(device, "%s %u%s", what, idx, fd < 0 ? " none" : "");
	if (!device_queue_running(device, idx))
		fake_device_misused(device, "a doorbell of a queue that does not run");
	old_fd = *slot;
	*slot = fd;
	acknowledge_fd(device, join, (int)idx, old_fd);
}

void device_queue_set_call(struct device *device, unsigned idx, int call_fd, struct join *join)
{
	set_doorbell(device, idx, "call", &device->queues[idx].setup.call_fd, call_fd, join);
}

void device_queue_set_err(struct device *device, unsigned idx, int err_fd, struct join *join)
{
	set_doorbell(device, idx, "err", &device->queues[idx].setup.err_fd, err_fd, join);
}

void device_reset(struct device *device)
{
	fake_device_record_next(device);
	fake_device_record(device, "reset");
	if (any_running(device))
		fake_device_misused(device, "a reset while a queue runs");
	device->acked = 0;
	device->has_acked = false;
	device->written = 0;
	for (unsigned i = 0; i < device->queue_cnt; i++)
		device->queues[i].base = 0;
}
