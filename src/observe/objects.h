/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices, their queues and workers as JSON. Not disks and ports, whose configuration and placement
 * belong to others (app/api_objects.c adds them).
 *
 * Control thread only. Results are new references, the caller's; without memory they are NULL or
 * lack parts.
 */
#ifndef PARIO_OBSERVE_OBJECTS_H
#define PARIO_OBSERVE_OBJECTS_H

#include <jansson.h>

#include "device/device.h"
#include "storage/storage.h"
#include "worker/worker.h"

#define OBSERVE_VIRTIO_ID_NET 1

/* {"requests": {...}, "ring": {...}, ...}: sums over all queues, one object for each table. */
json_t *observe_device_counters(const struct device *device);
/* Over all queues, as observe_latency(). */
json_t *observe_device_latency(const struct device *device);
/* Names of the features that are offered; those without a name as "bit-40". */
json_t *observe_device_features(const struct device *device);
/* Of one table's counter, summed over all queues; 0 when there is none of that name. */
uint64_t observe_device_counter(const struct device *device, const char *table, const char *name);
/* The same of one queue. */
uint64_t observe_queue_counter(const struct device *device, unsigned idx, const char *table,
			       const char *name);
unsigned observe_device_queues_running(const struct device *device);

/*
 * A queue that was started once: {"idx", "state": "running|stopped|broken", "fault", "size",
 * "format", "depth", "worker", "cpu", "poll", "window_us", "coalesce", "interrupts", "counters",
 * "latency"}.
 * null: worker and cpu of one that does not run, the window of one that is always polled, no fault.
 * NULL for one that never ran.
 */
json_t *observe_queue(const struct device *device, unsigned idx);

/* {"disk", "rq_affinity", "queues": ["0-1", ...]}; NULL where the storage has no such thing. */
json_t *observe_affinity(struct storage *storage);

/* {"idx", "cpu", "node", "queues", "busy_permille", "counters"} */
json_t *observe_worker(const struct worker *worker, unsigned queue_cnt, unsigned busy_permille);

#endif
