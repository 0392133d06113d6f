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
	disk->rq_affinity_before = -1;
	snprintf(disk->tag, sizeof(disk->tag), "disk %s", config->name);
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
	bool was_given = config_disk_given(from, "rq-affinity");

	if (!config_disk_given(to, "rq-affinity"))
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

void disk_undo_host(struct disk *disk)
{
	struct err err = ERR_INIT;

	if (disk->rq_affinity_before >= 0 &&
	    storage_set_rq_affinity(disk->storage, disk->rq_affinity_before, &err))
		log_error(disk->tag, "rq-affinity is not put back: %s", err.text);
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
	int rc = storage_open(&options, &disk->storage, err);

	if (rc == 0 && config_disk_given(config, "rq-affinity"))
		rc = set_rq_affinity(disk, (int)config->rq_affinity, err);
	return rc;
}

static struct device_tuning disk_tuning(const struct config_disk *config)
{
	return (struct device_tuning){
		.poll_mode = config->poll,
		.poll_max_ns = config->poll_max_us * NS_PER_US,
		.coalesce = config->coalesce,
	};
}

/* Of workers, those on cpus; NULL without memory. */
static struct worker **pick_workers(struct worker *const *workers, unsigned worker_cnt,
				    const cpu_set_t *cpus, unsigned *cnt)
{
	struct worker **picked = calloc(worker_cnt, sizeof(void *));

	*cnt = 0;
	for (unsigned i = 0; i < worker_cnt && picked; i++) {
		if (CPU_ISSET(worker_cpu(workers[i]), cpus))
			picked[(*cnt)++] = workers[i];
	}
	return picked;
}

int disk_open_device(struct disk *disk, struct evloop *loop, struct worker *const *workers,
		     unsigned worker_cnt, unsigned shift, struct err *err)
{
	const struct config_disk *config = disk->config;
	struct worker **serving;
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
		.tuning = disk_tuning(config),
		.worker_shift = shift,
	};
	int rc;

	serving = pick_workers(workers, worker_cnt, &config->workers, &options.worker_cnt);
	if (!serving)
		return err_set(err, ENOMEM, "no memory for %u workers", worker_cnt);
	options.workers = serving;
	rc = blk_device_new(&options, disk->storage, loop, &disk->device, err);
	free(serving);
	if (rc)
		return rc;
	disk->workers = workers;
	disk->worker_cnt = worker_cnt;
	return 0;
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

static pid_t front_pid(void *arg)
{
	const struct disk *disk = arg;

	return disk->endpoint ? vhost_user_peer_pid(disk->endpoint) : 0;
}

static struct placer_settings placer_settings(const struct config_disk *config)
{
	return (struct placer_settings){
		.mode = config->placement,
		.allow_siblings = config->siblings,
		.vcpus = config->vcpus,
	};
}

int disk_place(struct disk *disk, struct placer *placer, struct err *err)
{
	const struct placer_settings settings = placer_settings(disk->config);
	int rc;

	disk->placed = (struct placed){
		.device = disk->device,
		.front_pid = front_pid,
		.arg = disk,
		.tag = disk->tag,
	};
	rc = placer_add(placer, &disk->placed, &settings, err);
	if (rc == 0)
		disk->placer = placer;
	return rc;
}

static bool same_coalesce(const struct coalesce_config *a, const struct coalesce_config *b)
{
	return a->mode == b->mode && a->packets == b->packets && a->usecs == b->usecs;
}

static void change_tuning(struct disk *disk, const struct config_disk *from,
			  const struct config_disk *to, struct join *join)
{
	const struct device_tuning tuning = disk_tuning(to);

	if (from->poll != to->poll || from->poll_max_us != to->poll_max_us ||
	    !same_coalesce(&from->coalesce, &to->coalesce))
		device_tune(disk->device, &tuning, join);
}

static int change_workers(struct disk *disk, const struct config_disk *to, struct err *err)
{
	struct worker **serving;
	unsigned cnt;
	int rc;

	serving = pick_workers(disk->workers, disk->worker_cnt, &to->workers, &cnt);
	if (!serving)
		return err_set(err, ENOMEM, "no memory for %u workers", disk->worker_cnt);
	rc = device_set_workers(disk->device, serving, cnt, err);
	free(serving);
	return rc;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static int change_placement(struct disk *disk, const struct config_disk *from,
			    const struct config_disk *to, struct join *join, struct err *err)
{
	const struct placer_settings settings = placer_settings(to);
	bool other_workers = !CPU_EQUAL(&from->workers, &to->workers);
	int rc = 0;

	if (!other_workers && from->placement == to->placement && from->siblings == to->siblings &&
	    same_text(from->vcpus, to->vcpus))
		return 0;
	if (other_workers)
		rc = change_workers(disk, to, err);
	if (rc)
		return rc;
	rc = placer_set(disk->placer, &disk->placed, &settings, join, err);
	/* Nothing moved by then. That there is no memory to go back leaves more workers allowed. */
	if (rc && other_workers)
		change_workers(disk, from, NULL);
	return rc;
}

int disk_change(struct disk *disk, const struct config_disk *from, const struct config_disk *to,
		struct join *join, struct err *err)
{
	int rc = change_rq_affinity(disk, from, to, err);

	if (rc)
		return rc;
	rc = change_placement(disk, from, to, join, err);
	if (rc)
		change_rq_affinity(disk, to, from, NULL);
	else
		change_tuning(disk, from, to, join);
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
	if (disk->placer)
		placer_remove(disk->placer, &disk->placed);
	disk->placer = NULL;
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
