/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control side of a device: features, config space, memory, and which queues there are.
 * Not the life of a queue across threads (change.c, queue.c), not its counters (view.c), and not a
 * device model (blk/).
 */
#include "device/device_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* A packed ring that was never served: both indices 0, both wrap counters 1. */
#define PACKED_BASE_FRESH 0x80008000u

int device_init(struct device *device, const struct device_ops *ops,
		const struct device_setup *setup, struct err *err)
{
	if (setup->queues < 1 || setup->queues > DEVICE_QUEUES_MAX)
		return err_set(err, EINVAL, "queues: %u is not within 1 to %u", setup->queues,
			       DEVICE_QUEUES_MAX);
	if (!setup->worker_cnt)
		return err_set(err, EINVAL, "workers: there is none");
	*device = (struct device){
		.ops = ops,
		.offered = setup->features,
		.queue_max = setup->queues,
		.queue_cnt_said = setup->queue_cnt_said ? setup->queue_cnt_said : setup->queues,
		.tuning = setup->tuning,
		.worker_cnt = setup->worker_cnt,
		.worker_shift = setup->worker_shift,
	};
	device->name = strdup(setup->name);
	device->workers = calloc(setup->worker_cnt, sizeof(void *));
	device->homes = calloc(setup->queues, sizeof(void *));
	device->queues = calloc(setup->queues, sizeof(void *));
	if (!device->name || !device->workers || !device->homes || !device->queues) {
		device_fini(device);
		return err_set(err, ENOMEM, "no memory for the device");
	}
	for (unsigned i = 0; i < setup->worker_cnt; i++)
		device->workers[i] = setup->workers[i];
	device->table_cnt = device_tables_init(device->ops, device->tables);
	return 0;
}

void device_fini(struct device *device)
{
	CHECK(!device->running_cnt);
	if (device->queues) {
		for (unsigned i = 0; i < device->queue_max; i++)
			free(device->queues[i]);
	}
	if (device->memory)
		gmem_put(device->memory);
	free(device->queues);
	free(device->homes);
	free(device->workers);
	free(device->name);
}

const char *device_name(const struct device *device)
{
	return device->name;
}

uint32_t device_virtio_id(const struct device *device)
{
	return device->ops->virtio_id;
}

uint64_t device_features(const struct device *device)
{
	return device->offered;
}

unsigned device_queue_max(const struct device *device)
{
	return device->queue_max;
}

uint64_t device_queue_cnt_said(const struct device *device)
{
	return device->queue_cnt_said;
}

bool device_serves_disabled(const struct device *device)
{
	return device->ops->serves_disabled;
}

bool device_takes_message(const struct device *device, enum device_message message)
{
	return device->ops->message && message < DEVICE_MESSAGE_MAX_;
}

int device_message(struct device *device, enum device_message message, uint64_t value,
		   struct err *err)
{
	if (!device_takes_message(device, message))
		return err_set(err, ENOSYS, "not for a %s", device->ops->kind);
	return device->ops->message(device, message, value, err);
}

static const char *feature_name(const struct device *device, unsigned bit)
{
	switch (bit) {
	case DEVICE_F_NOTIFY_ON_EMPTY:
		return "NOTIFY_ON_EMPTY";
	case DEVICE_F_INDIRECT_DESC:
		return "INDIRECT_DESC";
	case DEVICE_F_EVENT_IDX:
		return "EVENT_IDX";
	case DEVICE_F_VERSION_1:
		return "VERSION_1";
	case DEVICE_F_RING_PACKED:
		return "RING_PACKED";
	case DEVICE_F_IN_ORDER:
		return "IN_ORDER";
	default:
		return device->ops->feature_name(bit);
	}
}

/* "bit 13 (DISCARD), bit 40": what a person needs to see which side is at fault. */
static void name_features(const struct device *device, uint64_t features, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned bit = 0; bit < 64 && used < size; bit++) {
		const char *name;
		int got;

		if (!device_has_feature(features, bit))
			continue;
		name = feature_name(device, bit);
		got = snprintf(text + used, size - used, "%sbit %u%s%s%s", used ? ", " : "", bit,
			       name ? " (" : "", name ? name : "", name ? ")" : "");
		used += (size_t)got;
	}
}

int device_set_features(struct device *device, uint64_t acked, struct err *err)
{
	uint64_t surplus = acked & ~device->offered;

	/* A front end repeats itself when only its own bits change (migration's log). */
	if (acked == device->acked)
		return 0;
	if (surplus) {
		char names[256];

		name_features(device, surplus, names, sizeof(names));
		return err_set(err, EINVAL, "features 0x%llx: %s not offered",
			       (unsigned long long)acked, names);
	}
	/*
	 * Without VERSION_1 the driver is a legacy one: the same layouts in the guest's own byte
	 * order, which is taken to be little-endian.
	 */
	if (device_has_feature(acked, DEVICE_F_RING_PACKED) &&
	    !device_has_feature(acked, DEVICE_F_VERSION_1))
		return err_set(err, EINVAL, "features 0x%llx: RING_PACKED without VERSION_1",
			       (unsigned long long)acked);
	if (device->running_cnt)
		return err_set(err, EBUSY, "features cannot change while %u queues run",
			       device->running_cnt);
	device->acked = acked;
	device->ops->features_acked(device);
	return 0;
}

int device_config_read(struct device *device, uint32_t offset, uint32_t size, void *data,
		       struct err *err)
{
	uint64_t config[DEVICE_CONFIG_BYTES_MAX / sizeof(uint64_t)] = {0};

	if (offset > sizeof(config) || size > sizeof(config) - offset)
		return err_set(err, EINVAL, "config space: offset %u and size %u are beyond %zu",
			       offset, size, sizeof(config));
	device->ops->config_fill(device, config);
	memcpy(data, (const char *)config + offset, size);
	return 0;
}

int device_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
			struct err *err)
{
	uint64_t config[DEVICE_CONFIG_BYTES_MAX / sizeof(uint64_t)] = {0};
	unsigned bytes = device->ops->config_fill(device, config);

	if (offset > bytes || size > bytes - offset)
		return err_set(err, EINVAL, "config space: offset %u and size %u are beyond %u",
			       offset, size, bytes);
	return device->ops->config_write(device, offset, size, data, err);
}

void device_set_front(struct device *device, const struct device_front_ops *ops, void *front)
{
	device->front_ops = front ? ops : NULL;
	device->front = front;
}

struct gmem *device_memory(const struct device *device)
{
	return device->memory;
}

bool device_queue_running(const struct device *device, unsigned idx)
{
	const struct device_queue *queue;

	queue = idx < device->queue_max ? device_queue_get(device, idx) : NULL;
	return queue && queue->running;
}

uint32_t device_queue_base(const struct device *device, unsigned idx)
{
	const struct device_queue *queue;

	queue = idx < device->queue_max ? device_queue_get(device, idx) : NULL;
	return queue ? queue->base : 0;
}

bool device_queue_starts_fresh(const struct device *device, unsigned idx)
{
	const uint32_t base = device_queue_base(device, idx);

	/* Some front ends say 0 of a new packed ring, too, or half of what is right. */
	if (!device_has_feature(device->acked, DEVICE_F_RING_PACKED))
		return base == 0;
	return base == 0 || base == PACKED_BASE_FRESH || base == (PACKED_BASE_FRESH & 0xffff);
}

struct worker *device_queue_worker(const struct device *device, unsigned idx)
{
	return device_queue_running(device, idx) ? device->queues[idx]->home : NULL;
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
	copy = calloc(cnt, sizeof(void *));
	if (!copy)
		return err_set(err, ENOMEM, "no memory for %u workers", cnt);
	memcpy(copy, workers, cnt * sizeof(void *));
	free(device->workers);
	device->workers = copy;
	device->worker_cnt = cnt;
	return 0;
}

unsigned device_queue_group(const struct device *device, unsigned idx)
{
	return device->ops->queue_group ? device->ops->queue_group(device, idx) : idx;
}

unsigned device_worker_shift(const struct device *device)
{
	return device->worker_shift;
}

void device_queue_set_home(struct device *device, unsigned idx, struct worker *worker)
{
	if (idx < device->queue_max)
		device->homes[idx] = worker;
}

void device_set_watcher(struct device *device, void (*changed)(void *arg), void *arg)
{
	device->changed = changed;
	device->changed_arg = arg;
}

void device_reset(struct device *device)
{
	CHECK(!device->running_cnt);
	device->acked = 0;
	device->ops->features_acked(device);
	for (unsigned i = 0; i < device->queue_max; i++) {
		if (device->queues[i])
			device->queues[i]->base = 0;
	}
}
