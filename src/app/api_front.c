/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the documents of disks and ports have in common: placement, queues, the front end.
 * Not the documents (api_objects.c).
 */
#include <stdio.h>

#include "app/api_priv.h"
#include "observe/counters.h"
#include "observe/objects.h"

json_t *api_placement_json(const struct served_front *front)
{
	struct placed_view view;

	placer_view(&front->placed, &view);
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

static json_t *queue_json(const struct served_front *front, unsigned idx)
{
	json_t *object = observe_queue(front->device, idx);
	struct placed_queue_view view;

	if (object && placer_queue_view(&front->placed, idx, &view)) {
		json_object_set_new(object, "vcpus", drivers_json(&view));
		json_object_set_new(object, "nearness",
				    json_string(placement_nearness_name(view.nearness)));
	} else if (object) {
		json_object_set_new(object, "vcpus", json_null());
		json_object_set_new(object, "nearness", json_null());
	}
	return object;
}

json_t *api_queues_json(const struct served_front *front)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < device_queue_max(front->device); i++) {
		json_t *queue = queue_json(front, i);

		if (queue)
			json_array_append_new(list, queue);
	}
	return list;
}

json_t *api_front_counters(const struct served_front *front)
{
	const struct stat_table table = observe_front_end_table();
	json_t *counters = observe_device_counters(front->device);

	/* None any more while the last of a removed object drains. */
	if (front->endpoint)
		json_object_set_new(counters, table.name,
				    observe_counters(&table, vhost_user_stats(front->endpoint)));
	return counters;
}

json_t *api_front_pid(const struct served_front *front)
{
	pid_t pid = front->endpoint ? vhost_user_peer_pid(front->endpoint) : 0;

	return pid > 0 ? json_integer(pid) : json_null();
}

/* Of a kind that has a device for each object. */
static unsigned queues_of(const struct daemon *daemon, enum config_kind kind,
			  const struct worker *worker)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < daemon_cnt(daemon, kind); i++) {
		const struct device *device = served_front(daemon_at(daemon, kind, i))->device;

		for (unsigned q = 0; device && q < device_queue_max(device); q++)
			cnt += worker ? device_queue_worker(device, q) == worker
				      : device_queue_running(device, q);
	}
	return cnt;
}

unsigned api_queues_on(const struct daemon *daemon, const struct worker *worker)
{
	return queues_of(daemon, CONFIG_DISK, worker) + queues_of(daemon, CONFIG_PORT, worker);
}

unsigned api_queues_running(const struct daemon *daemon)
{
	return api_queues_on(daemon, NULL);
}
