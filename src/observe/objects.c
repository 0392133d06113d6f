/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device, a queue and a worker show of themselves. Not the rows of counters (counters.c).
 */
#include "observe/objects.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "observe/counters.h"
#include "observe/interrupts.h"

/* In u64; the biggest table has half of it. */
#define TABLE_COUNTERS_MAX 128
#define VIRTIO_ID_BLOCK 2

struct table_copy {
	uint64_t counters[TABLE_COUNTERS_MAX];
};

/* Of a queue, or summed up when idx is -1. */
static void copy_table(const struct device *device, int idx, unsigned table,
		       struct table_copy *copy)
{
	unsigned cnt;
	const struct stat_table *tables = device_stat_tables(device, &cnt);

	CHECK(tables[table].bytes <= sizeof(copy->counters));
	memset(copy, 0, sizeof(*copy));
	if (idx < 0)
		device_stats(device, table, copy->counters);
	else
		device_queue_stats(device, (unsigned)idx, table, copy->counters);
}

static json_t *tables_json(const struct device *device, int idx)
{
	unsigned cnt;
	const struct stat_table *tables = device_stat_tables(device, &cnt);
	json_t *object = json_object();
	struct table_copy copy;

	for (unsigned i = 0; i < cnt; i++) {
		copy_table(device, idx, i, &copy);
		json_object_set_new(object, tables[i].name,
				    observe_counters(&tables[i], copy.counters));
	}
	return object;
}

json_t *observe_device_counters(const struct device *device)
{
	return tables_json(device, -1);
}

/* Of a queue, or summed up when idx is -1; 0 when there is none of that name. */
static uint64_t counter_of(const struct device *device, int idx, const char *table,
			   const char *name)
{
	unsigned cnt;
	const struct stat_table *tables = device_stat_tables(device, &cnt);
	struct table_copy copy;

	for (unsigned i = 0; i < cnt; i++) {
		if (strcmp(tables[i].name, table) != 0)
			continue;
		copy_table(device, idx, i, &copy);
		for (unsigned row = 0; row < tables[i].row_cnt; row++) {
			if (strcmp(tables[i].rows[row].name, name) == 0)
				return copy.counters[tables[i].rows[row].offset / sizeof(uint64_t)];
		}
	}
	return 0;
}

uint64_t observe_device_counter(const struct device *device, const char *table, const char *name)
{
	return counter_of(device, -1, table, name);
}

uint64_t observe_queue_counter(const struct device *device, unsigned idx, const char *table,
			       const char *name)
{
	return counter_of(device, (int)idx, table, name);
}

json_t *observe_device_latency(const struct device *device)
{
	struct device_queue_view view;
	struct latency sum;

	memset(&sum, 0, sizeof(sum));
	for (unsigned i = 0; i < device_queue_max(device); i++) {
		if (device_queue_view(device, i, &view))
			stat_sum(&sum, &view.latency, sizeof(sum));
	}
	return observe_latency(&sum);
}

unsigned observe_device_queues_running(const struct device *device)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < device_queue_max(device); i++)
		cnt += device_queue_running(device, i);
	return cnt;
}

/* VIRTIO 1.3, 5.1.3, 5.2.3 and 6. */
static const char *const net_feature_names[] = {
	[0] = "csum",
	[1] = "guest-csum",
	[2] = "ctrl-guest-offloads",
	[3] = "mtu",
	[5] = "mac",
	[7] = "guest-tso4",
	[8] = "guest-tso6",
	[9] = "guest-ecn",
	[10] = "guest-ufo",
	[11] = "host-tso4",
	[12] = "host-tso6",
	[13] = "host-ecn",
	[14] = "host-ufo",
	[15] = "mrg-rxbuf",
	[16] = "status",
	[17] = "ctrl-vq",
	[18] = "ctrl-rx",
	[19] = "ctrl-vlan",
	[20] = "ctrl-rx-extra",
	[21] = "guest-announce",
	[22] = "mq",
	[23] = "ctrl-mac-addr",
	[50] = "device-stats",
	[52] = "vq-notf-coal",
	[53] = "notf-coal",
	[54] = "guest-uso4",
	[55] = "guest-uso6",
	[56] = "host-uso",
	[57] = "hash-report",
	[59] = "guest-hdrlen",
	[60] = "rss",
	[61] = "rsc-ext",
	[62] = "standby",
	[63] = "speed-duplex",
};

static const char *const block_feature_names[] = {
	[1] = "size-max", [2] = "seg-max",  [4] = "geometry",      [5] = "ro",
	[6] = "blk-size", [9] = "flush",    [10] = "topology",     [11] = "config-wce",
	[12] = "mq",      [13] = "discard", [14] = "write-zeroes",
};

static const char *feature_name(const struct device *device, unsigned bit)
{
	switch (bit) {
	case DEVICE_F_NOTIFY_ON_EMPTY:
		return "notify-on-empty";
	case DEVICE_F_INDIRECT_DESC:
		return "indirect-desc";
	case DEVICE_F_EVENT_IDX:
		return "event-idx";
	case DEVICE_F_VERSION_1:
		return "version-1";
	case DEVICE_F_RING_PACKED:
		return "ring-packed";
	case DEVICE_F_IN_ORDER:
		return "in-order";
	default:
		break;
	}
	if (device_virtio_id(device) == VIRTIO_ID_BLOCK && bit < ARRAY_LEN(block_feature_names))
		return block_feature_names[bit];
	if (device_virtio_id(device) == OBSERVE_VIRTIO_ID_NET && bit < ARRAY_LEN(net_feature_names))
		return net_feature_names[bit];
	return NULL;
}

json_t *observe_device_features(const struct device *device)
{
	uint64_t features = device_features(device);
	json_t *names = json_array();
	char text[16];

	for (unsigned bit = 0; bit < 64; bit++) {
		const char *name = feature_name(device, bit);

		snprintf(text, sizeof(text), "bit-%u", bit);
		if (features & 1ull << bit)
			json_array_append_new(names, json_string(name ? name : text));
	}
	return names;
}

static void put_polling(const struct device *device, const struct device_queue_view *view,
			json_t *object)
{
	const struct device_tuning *tuning = device_tuning(device);

	json_object_set_new(object, "poll", json_string(poll_mode_name(tuning->poll_mode)));
	json_object_set_new(object, "window_us",
			    view->window_ns == UINT64_MAX
				    ? json_null()
				    : json_integer((json_int_t)(view->window_ns / NS_PER_US)));
	json_object_set_new(object, "coalesce",
			    observe_coalesce(view->running ? &view->coalesce : NULL,
					     &tuning->coalesce));
}

static const char *queue_state(const struct device_queue_view *view)
{
	if (!view->running)
		return "stopped";
	return view->fault == VIRTQUEUE_OK ? "running" : "broken";
}

json_t *observe_queue(const struct device *device, unsigned idx)
{
	struct device_queue_view view;
	json_t *object;

	if (!device_queue_view(device, idx, &view))
		return NULL;
	object = json_pack("{s:i, s:s, s:s?, s:I, s:s, s:i}", "idx", (int)idx, "state",
			   queue_state(&view), "fault",
			   view.fault == VIRTQUEUE_OK ? NULL : virtqueue_fault_name(view.fault),
			   "size", (json_int_t)view.size, "format",
			   view.packed ? "packed" : "split", "depth", (int)view.in_flight);
	json_object_set_new(object, "worker",
			    view.worker ? json_integer(worker_idx(view.worker)) : json_null());
	json_object_set_new(object, "cpu",
			    view.worker ? json_integer(worker_cpu(view.worker)) : json_null());
	put_polling(device, &view, object);
	json_object_set_new(object, "interrupts", observe_interrupts(device, idx));
	json_object_set_new(object, "counters", tables_json(device, (int)idx));
	json_object_set_new(object, "latency", observe_latency(&view.latency));
	return object;
}

json_t *observe_affinity(struct storage *storage)
{
	struct storage_affinity *affinity;
	json_t *queues;
	json_t *object;
	char cpus[2048];

	if (storage_affinity_read(storage, &affinity, NULL))
		return NULL;
	queues = json_array();
	for (unsigned i = 0; i < affinity->queue_cnt; i++) {
		cpuset_format(&affinity->queue_cpus[i], cpus, sizeof(cpus));
		json_array_append_new(queues, json_string(cpus));
	}
	object = json_pack("{s:s, s:o, s:o}", "disk", affinity->disk, "rq_affinity",
			   affinity->rq_affinity < 0 ? json_null()
						     : json_integer(affinity->rq_affinity),
			   "queues", queues);
	free(affinity);
	return object;
}

json_t *observe_worker(const struct worker *worker, unsigned queue_cnt, unsigned busy_permille)
{
	const struct stat_table table = observe_worker_table();
	int cpu = worker_cpu(worker);
	int node = worker_node(worker);

	return json_pack("{s:i, s:o, s:o, s:i, s:i, s:o}", "idx", (int)worker_idx(worker), "cpu",
			 cpu < 0 ? json_null() : json_integer(cpu), "node",
			 node < 0 ? json_null() : json_integer(node), "queues", (int)queue_cnt,
			 "busy_permille", (int)busy_permille, "counters",
			 observe_counters(&table, worker_stats(worker)));
}
