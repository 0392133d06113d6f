/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Coalescing and its counters, one queue at a time. Not the rows of counters (counters.c).
 */
#include "observe/interrupts.h"

#include <string.h>

#include "base/stat.h"
#include "observe/objects.h"

#define PERMILLE 1000u

/* Of the last bucket, which has no end: null. */
static json_t *end_json(unsigned bucket)
{
	return bucket + 1 < COALESCE_HELD_BUCKETS ? json_integer((json_int_t)1 << bucket)
						  : json_null();
}

static json_t *quantile_json(const uint64_t *held, uint64_t cnt, unsigned permille)
{
	/* The rank without overflow, for cnt is a counter of years. */
	const uint64_t rank = cnt / PERMILLE * permille + cnt % PERMILLE * permille / PERMILLE;
	uint64_t below = 0;

	for (unsigned i = 0; i < COALESCE_HELD_BUCKETS; i++) {
		below += held[i];
		if (below > rank)
			return end_json(i);
	}
	return json_null();
}

static json_t *held_json(const uint64_t *held)
{
	json_t *buckets = json_array();
	uint64_t cnt = 0;

	for (unsigned i = 0; i < COALESCE_HELD_BUCKETS; i++) {
		cnt += held[i];
		if (held[i])
			json_array_append_new(buckets, json_pack("[o, I]", end_json(i),
								 (json_int_t)held[i]));
	}
	return json_pack("{s:I, s:o, s:o, s:o}", "count", (json_int_t)cnt, "p50_us",
			 quantile_json(held, cnt, 500), "p99_us", quantile_json(held, cnt, 990),
			 "buckets", buckets);
}

static void put_config(json_t *object, const struct coalesce_config *config)
{
	json_object_set_new(object, "mode", json_string(coalesce_mode_name(config->mode)));
	json_object_set_new(object, "packets", json_integer(config->packets));
	json_object_set_new(object, "usecs", json_integer(config->usecs));
	json_object_set_new(object, "by", json_string(config->by_guest ? "guest" : "host"));
}

json_t *observe_coalesce(const struct coalesce_view *view, const struct coalesce_config *tuning)
{
	json_t *object = json_object();

	put_config(object, view ? &view->config : tuning);
	json_object_set_new(
		object, "now",
		view ? json_pack("{s:I, s:I, s:s}", "packets", (json_int_t)view->packets, "usecs",
				 (json_int_t)view->usecs, "why", coalesce_verdict_name(view->why))
		     : json_null());
	json_object_set_new(object, "held", view ? held_json(view->held) : json_null());
	return object;
}

json_t *observe_interrupts(const struct device *device, unsigned idx)
{
	const bool net = device_virtio_id(device) == OBSERVE_VIRTIO_ID_NET;
	const uint64_t sent = observe_queue_counter(device, idx, "ring", "calls");
	const uint64_t held = observe_queue_counter(device, idx, "ring", "calls_held");
	const uint64_t unwanted = observe_queue_counter(device, idx, "ring", "calls_suppressed");
	const uint64_t carried =
		net ? observe_queue_counter(device, idx, "frames", "rx_frames") +
				observe_queue_counter(device, idx, "frames", "tx_frames")
		    : observe_queue_counter(device, idx, "ring", "completed");

	return json_pack("{s:I, s:I, s:I, s:I, s:o}", "sent", (json_int_t)sent, "held",
			 (json_int_t)held, "unwanted", (json_int_t)unwanted, "carried",
			 (json_int_t)carried, "per_interrupt",
			 sent ? json_real((double)carried / (double)sent) : json_null());
}
