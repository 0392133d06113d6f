/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk as a document: its configuration, its state, its placement, and what its device shows.
 * Not the counters' names, which are their tables' (observe/).
 */
#include <stdio.h>

#include "app/api_priv.h"
#include "control/schema.h"
#include "observe/counters.h"
#include "observe/objects.h"

static json_t *placement_json(const struct disk *disk)
{
	struct placed_view view;

	placer_view(&disk->placed, &view);
	return json_pack("{s:s, s:s, s:i, s:i}", "mode", placement_mode_name(view.mode), "source",
			 vcpu_source_name(view.source), "vcpus", (int)view.vcpu_cnt, "conflicts",
			 (int)view.conflicts);
}

/* Of the vCPUs that drive a queue: "0", "0-1", or null when they are not known. */
static json_t *drivers_json(const struct placed_queue_view *view)
{
	char text[32];

	if (view->vcpu_cnt == 0)
		return json_null();
	if (view->vcpu_cnt == 1)
		snprintf(text, sizeof(text), "%u", view->vcpu_first);
	else
		snprintf(text, sizeof(text), "%u-%u", view->vcpu_first,
			 view->vcpu_first + view->vcpu_cnt - 1);
	return json_string(text);
}

static json_t *queue_json(const struct disk *disk, unsigned idx)
{
	json_t *object = observe_queue(disk->device, idx);
	struct placed_queue_view view;

	if (object && placer_queue_view(&disk->placed, idx, &view)) {
		json_object_set_new(object, "vcpus", drivers_json(&view));
		json_object_set_new(object, "nearness",
				    json_string(placement_nearness_name(view.nearness)));
	} else if (object) {
		json_object_set_new(object, "vcpus", json_null());
		json_object_set_new(object, "nearness", json_null());
	}
	return object;
}

static json_t *queues_json(const struct disk *disk)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < device_queue_max(disk->device); i++) {
		json_t *queue = queue_json(disk, i);

		if (queue)
			json_array_append_new(list, queue);
	}
	return list;
}

static json_t *counters_json(const struct disk *disk)
{
	const struct stat_table table = observe_front_end_table();
	json_t *counters = observe_device_counters(disk->device);

	/* None any more while the last of a removed disk drains. */
	if (disk->endpoint)
		json_object_set_new(counters, table.name,
				    observe_counters(&table, vhost_user_stats(disk->endpoint)));
	return counters;
}

json_t *api_disk_json(const struct disk *disk)
{
	const struct storage_info *info = storage_info(disk->storage);
	pid_t pid = disk->endpoint ? vhost_user_peer_pid(disk->endpoint) : 0;
	json_t *affinity = observe_affinity(disk->storage);

	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "name", disk->config->name, "kind", "disk", "state",
			 disk_state_name(disk_state(disk)), "front_end_pid",
			 pid > 0 ? json_integer(pid) : json_null(), "config",
			 schema_get(&schema_disk, disk->config), "given",
			 schema_get_given(&schema_disk, disk->config), "capacity_bytes",
			 (json_int_t)info->capacity_bytes, "block_bytes",
			 (json_int_t)info->block_bytes, "features",
			 observe_device_features(disk->device), "placement", placement_json(disk),
			 "affinity", affinity ? affinity : json_null(), "counters",
			 counters_json(disk), "latency", observe_device_latency(disk->device),
			 "queues", queues_json(disk));
}

json_t *api_disk_summary(const struct disk *disk)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:i, s:I}", "name", disk->config->name, "kind",
			 "disk", "state", disk_state_name(disk_state(disk)), "backend",
			 storage_backend_name(disk->config->backend), "capacity_bytes",
			 (json_int_t)storage_info(disk->storage)->capacity_bytes, "queues_running",
			 (int)observe_device_queues_running(disk->device), "requests",
			 (json_int_t)observe_device_counter(disk->device, "ring", "completed"));
}

json_t *api_disk_stats(const struct disk *disk)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "name", disk->config->name, "kind", "disk",
			 "counters", counters_json(disk), "latency",
			 observe_device_latency(disk->device));
}

unsigned api_queues_on(const struct daemon *daemon, const struct worker *worker)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < daemon_disk_cnt(daemon); i++) {
		const struct device *device = daemon_disk(daemon, i)->device;

		for (unsigned q = 0; q < device_queue_max(device); q++)
			cnt += device_queue_worker(device, q) == worker;
	}
	return cnt;
}
