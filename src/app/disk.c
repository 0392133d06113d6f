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

#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "device/blk/blk.h"

_Static_assert(CONFIG_SERIAL_BYTES_MAX == BLK_SERIAL_BYTES, "the schema's bound is the device's");

static const char *const state_names[] = {"waiting", "connected", "draining"};
_Static_assert(ARRAY_LEN(state_names) == DISK_STATE_MAX_, "a name for each state");

const char *disk_state_name(enum disk_state state)
{
	return state < DISK_STATE_MAX_ ? state_names[state] : NULL;
}

enum disk_state disk_state(const struct disk *disk)
{
	if (disk->closing)
		return DISK_DRAINING;
	return disk->endpoint && vhost_user_connected(disk->endpoint) ? DISK_CONNECTED
								      : DISK_WAITING;
}

void disk_init(struct disk *disk, const struct config_disk *config, void *owner)
{
	memset(disk, 0, sizeof(*disk));
	disk->config = config;
	disk->owner = owner;
	snprintf(disk->tag, sizeof(disk->tag), "disk %s", config->name);
}

int disk_open_storage(struct disk *disk, struct err *err)
{
	const struct config_disk *config = disk->config;
	const struct storage_options options = {
		.name = config->name,
		.backend = config->backend,
		.path = config->path,
		.size_bytes = config->size_bytes,
		.read_only = config->read_only,
		.cache = config->cache,
		.format_raw = config_disk_given(config, "format"),
		.discard = config->discard,
		.pin_memory = config->pin_memory,
		.block_size = config->block_size_bytes,
		.channels = config->channels,
		.read_us = config->read_us,
		.write_us = config->write_us,
	};

	return storage_open(&options, &disk->storage, err);
}

int disk_open_device(struct disk *disk, struct evloop *loop, struct worker *const *workers,
		     unsigned worker_cnt, unsigned shift, struct err *err)
{
	const struct config_disk *config = disk->config;
	struct worker **serving = calloc(worker_cnt, sizeof(void *));
	struct blk_options options = {
		.name = config->name,
		.serial = config->serial,
		.queues = config->queues,
		.seg_max = config->seg_max,
		.discard = config->discard,
		.packed = config->features.packed,
		.in_order = config->features.in_order,
		.event_idx = config->features.event_idx,
		.indirect = config->features.indirect,
		.tuning =
			{
				.poll_mode = config->poll,
				.poll_max_ns = config->poll_max_us * NS_PER_US,
			},
		.workers = serving,
		.worker_shift = shift,
	};
	int rc;

	if (!serving)
		return err_set(err, ENOMEM, "no memory for %u workers", worker_cnt);
	for (unsigned i = 0; i < worker_cnt; i++) {
		if (CPU_ISSET(worker_cpu(workers[i]), &config->workers))
			serving[options.worker_cnt++] = workers[i];
	}
	rc = blk_device_new(&options, disk->storage, loop, &disk->device, err);
	free(serving);
	return rc;
}

int disk_open_endpoint(struct disk *disk, struct evloop *loop, struct err *err)
{
	const struct config_disk *config = disk->config;
	const struct vhost_user_options options = {
		.listen_path = config->socket_path,
		.connect_path = config->connect_path,
		.fd = config->fd,
		.socket_mode = config->socket_mode,
		.socket_owner = config->socket_owner,
		.socket_group = config->socket_group,
		.any_memory = config->any_memory,
	};
	int rc = vhost_user_open(loop, disk->device, &options, &disk->endpoint, err);

	if (rc)
		err_prefix(err, "%s",
			   config->socket_path    ? "socket"
			   : config->connect_path ? "connect"
						  : "fd");
	return rc;
}

static void endpoint_closed(void *arg)
{
	struct disk *disk = arg;

	disk->endpoint = NULL;
	disk->closed(disk);
}

void disk_close_endpoint(struct disk *disk, void (*closed)(struct disk *disk))
{
	disk->closed = closed;
	disk->closing = true;
	if (disk->endpoint)
		vhost_user_close(disk->endpoint, endpoint_closed, disk);
	else
		closed(disk);
}

void disk_free(struct disk *disk)
{
	blk_device_free(disk->device);
	storage_close(disk->storage);
	disk->device = NULL;
	disk->storage = NULL;
}

void disk_refresh(struct disk *disk)
{
	struct err err = ERR_INIT;
	bool changed;

	if (storage_refresh(disk->storage, &changed, &err)) {
		log_error(disk->tag, "keeps its size: %s", err.text);
		return;
	}
	if (!changed)
		return;
	blk_device_resized(disk->device);
	log_info(disk->tag, "resized to %" PRIu64 " bytes",
		 storage_info(disk->storage)->capacity_bytes);
}

void disk_log_totals(const struct disk *disk)
{
	struct virtqueue_stats ring;
	struct blk_stats s;

	blk_device_stats(disk->device, &s);
	device_ring_stats(disk->device, &ring);
	log_info(disk->tag,
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
