/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a disk's configuration to the three objects that serve it, and back.
 * Not the order between disks, which daemon.c keeps.
 */
#include "app/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "device/blk/blk.h"

_Static_assert(CONFIG_SERIAL_BYTES_MAX == BLK_SERIAL_BYTES, "the schema's bound is the device's");

static void init(struct served *served)
{
	struct disk *disk = disk_of(served);

	disk->front.served = served;
	disk->rq_affinity_before = -1;
}

/* For the first time; what it was before is remembered. */
static int set_rq_affinity(struct disk *disk, int value, struct err *err)
{
	struct storage_affinity *affinity;
	int rc = storage_affinity_read(disk->storage, &affinity, err);

	if (rc)
		return rc;
	disk->rq_affinity_before = affinity->rq_affinity;
	free(affinity);
	return storage_set_rq_affinity(disk->storage, value, err);
}

static int change_rq_affinity(struct disk *disk, const struct config_disk *from,
			      const struct config_disk *to, struct err *err)
{
	bool was_given = config_given(&from->object, "rq-affinity");

	if (!config_given(&to->object, "rq-affinity"))
		return was_given && disk->rq_affinity_before >= 0
			       ? storage_set_rq_affinity(disk->storage, disk->rq_affinity_before,
							 err)
			       : 0;
	if (!was_given)
		return set_rq_affinity(disk, (int)to->rq_affinity, err);
	if (from->rq_affinity == to->rq_affinity)
		return 0;
	return storage_set_rq_affinity(disk->storage, (int)to->rq_affinity, err);
}

/* Opening failed at a later step: what open_storage() changed on the host is as it was. */
static void undo_host(struct served *served)
{
	struct disk *disk = disk_of(served);
	struct err err = ERR_INIT;

	if (disk->rq_affinity_before >= 0 &&
	    storage_set_rq_affinity(disk->storage, disk->rq_affinity_before, &err))
		log_error(served->tag, "rq-affinity is not put back: %s", err.text);
}

static int open_storage(struct served *served, struct err *err)
{
	struct disk *disk = disk_of(served);
	const struct config_disk *config = disk_config(disk);
	const struct storage_options options = {
		.name = config->object.name,
		.backend = config->backend,
		.path = config->path,
		.size_bytes = config->size_bytes,
		.read_only = config->read_only,
		.cache = config->cache,
		.format_raw = config_given(&config->object, "format"),
		.discard = config->discard,
		.pin_memory = config->pin_memory,
		.block_size = config->block_size_bytes,
		.channels = config->channels,
		.read_us = config->read_us,
		.write_us = config->write_us,
	};
	int rc = storage_open(&options, &disk->storage, err);

	if (rc == 0 && config_given(&config->object, "rq-affinity"))
		rc = set_rq_affinity(disk, (int)config->rq_affinity, err);
	return rc;
}

static int open_device(struct served *served, struct err *err)
{
	struct disk *disk = disk_of(served);
	const struct config_disk *config = disk_config(disk);
	const struct config_features *features = &config->front.features;
	struct worker **serving;
	struct blk_options options = {
		.name = config->object.name,
		.serial = config->serial,
		.queues = config->queues,
		.seg_max = config->seg_max,
		.discard = config->discard,
		.packed = features->packed,
		.in_order = features->in_order,
		.event_idx = features->event_idx,
		.indirect = features->indirect,
		.tuning = served_front_tuning(&config->front),
		.worker_shift = served->shift,
	};
	int rc;

	serving = served_pick_workers(served, &config->front.workers, &options.worker_cnt);
	if (!serving)
		return err_set(err, ENOMEM, "no memory for its workers");
	options.workers = serving;
	rc = blk_device_new(&options, disk->storage, served->daemon->loop, &disk->front.device,
			    err);
	free(serving);
	return rc ? rc : served_front_place(&disk->front, err);
}

static int expose(struct served *served, struct err *err)
{
	return served_front_listen(&disk_of(served)->front, err);
}

static int change(struct served *served, const struct config_object *from_object,
		  const struct config_object *to_object, struct join *join, struct err *err)
{
	const struct config_disk *from = (const struct config_disk *)from_object;
	const struct config_disk *to = (const struct config_disk *)to_object;
	struct disk *disk = disk_of(served);
	int rc = change_rq_affinity(disk, from, to, err);

	if (rc)
		return rc;
	rc = served_front_change(&disk->front, &from->front, &to->front, join, err);
	if (rc)
		change_rq_affinity(disk, to, from, NULL);
	return rc;
}

static void close_endpoint(struct served *served)
{
	served_front_close(&disk_of(served)->front, served_is_closed);
}

static void release(struct served *served)
{
	struct disk *disk = disk_of(served);

	served_front_release(&disk->front);
	blk_device_free(disk->front.device);
	storage_close(disk->storage);
}

void disk_refresh(struct disk *disk)
{
	struct err err = ERR_INIT;
	bool changed;

	if (storage_refresh(disk->storage, &changed, &err)) {
		log_error(disk->served.tag, "keeps its size: %s", err.text);
		return;
	}
	if (!changed)
		return;
	blk_device_resized(disk->front.device);
	log_info(disk->served.tag, "resized to %" PRIu64 " bytes",
		 storage_info(disk->storage)->capacity_bytes);
}

static void reload(struct served *served)
{
	disk_refresh(disk_of(served));
}

static void log_totals(const struct served *served)
{
	const struct disk *disk = (const struct disk *)served; /* begins with it */
	struct virtqueue_stats ring;
	struct blk_stats s;

	blk_device_stats(disk->front.device, &s);
	device_ring_stats(disk->front.device, &ring);
	log_info(disk->served.tag,
		 "served %" PRIu64 " reads (%" PRIu64 " bytes), %" PRIu64 " writes (%" PRIu64
		 " bytes), %" PRIu64 " flushes, %" PRIu64 " discards, %" PRIu64
		 " write-zeroes, %" PRIu64 " get-ids; %" PRIu64 " I/O errors, %" PRIu64
		 " refused; %" PRIu64 " kicks, %" PRIu64 " calls",
		 s.reads, s.read_bytes, s.writes, s.write_bytes, s.flushes, s.discards,
		 s.write_zeroes, s.get_ids, s.io_errors,
		 s.bad_range + s.bad_length + s.bad_framing + s.bad_flags + s.read_only +
			 s.unsupported + s.too_many_segments,
		 ring.kicks, ring.calls);
}

const struct served_ops disk_ops = {
	.bytes = sizeof(struct disk),
	.held = "requests are still with its storage",
	.init = init,
	.prepare = open_storage,
	.open = open_device,
	.expose = expose,
	.undo = undo_host,
	.close = close_endpoint,
	.free = release,
	.change = change,
	.refresh = reload,
	.log_totals = log_totals,
};
