/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and ending a block device, resizing it, and its counters.
 * Not its requests (request.c, io.c) nor its config space (config.c).
 */
#include "device/blk/blk_priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ROW(member, unit_, help_)                                  \
	{                                                          \
		.name = #member, .unit = (unit_), .help = (help_), \
		.offset = offsetof(struct blk_stats, member)       \
	}

const struct stat_row blk_stat_rows[] = {
	ROW(reads, "requests", "Reads accepted."),
	ROW(writes, "requests", "Writes accepted."),
	ROW(flushes, "requests", "Flushes accepted."),
	ROW(discards, "requests", "Discards accepted."),
	ROW(write_zeroes, "requests", "Writes of zeroes accepted."),
	ROW(get_ids, "requests", "Questions for the serial number answered."),
	ROW(read_bytes, "bytes", "Bytes of the reads accepted."),
	ROW(write_bytes, "bytes", "Bytes of the writes accepted."),
	ROW(io_errors, "requests", "Requests that the storage failed."),
	ROW(bad_range, "requests", "Refused: beyond the capacity, or a segment that is too long."),
	ROW(bad_length, "requests", "Refused: no data, or a length that cannot be."),
	ROW(bad_framing, "requests", "Refused: no header, no status, or data on the wrong side."),
	ROW(bad_flags, "requests", "Refused: unknown segment flags, or unmap on a discard."),
	ROW(read_only, "requests", "Refused: write to a read-only disk."),
	ROW(unsupported, "requests", "Refused: type that is unknown or was not negotiated."),
	ROW(too_many_segments, "requests", "Refused: more discard segments than announced."),
};
const unsigned blk_stat_row_cnt = ARRAY_LEN(blk_stat_rows);
static_assert(ARRAY_LEN(blk_stat_rows) * sizeof(uint64_t) == sizeof(struct blk_stats),
	      "one row a counter");

enum { TABLE_REQUESTS, TABLE_STORAGE, TABLE_CNT_ };

static void blk_table(unsigned idx, struct stat_table *table)
{
	if (idx == TABLE_REQUESTS)
		*table = (struct stat_table){
			.name = "requests",
			.rows = blk_stat_rows,
			.row_cnt = blk_stat_row_cnt,
			.bytes = sizeof(struct blk_stats),
		};
	else
		*table = (struct stat_table){
			.name = "storage",
			.rows = storage_stat_rows,
			.row_cnt = storage_stat_row_cnt,
			.bytes = sizeof(struct storage_stats),
		};
}

static const struct blk_remainder *remainder_of_node(const struct list_node *node)
{
	return (const struct blk_remainder *)(const void *)((const char *)node -
							    offsetof(struct blk_remainder,
								     remainder.node));
}

static void blk_queue_table_add(const struct device_queue *base, unsigned idx, void *sum)
{
	const struct blk_queue *queue = blk_of_const_queue(base);
	const struct list_node *node;

	if (idx == TABLE_REQUESTS) {
		stat_sum(sum, &queue->stats, sizeof(queue->stats));
		return;
	}
	stat_sum(sum, &queue->storage_stats, sizeof(queue->storage_stats));
	stat_sum(sum, &queue->storage_retired, sizeof(queue->storage_retired));
	for (node = base->remainders.next; node != &base->remainders; node = node->next)
		stat_sum(sum, &remainder_of_node(node)->storage_stats,
			 sizeof(queue->storage_stats));
}

static const struct device_ops blk_device_ops = {
	.kind = "disk",
	.virtio_id = 2,
	.queue_bytes = sizeof(struct blk_queue),
	.remainder_bytes = sizeof(struct blk_remainder),
	.slot_bytes = sizeof(struct blk_request),
	.poller_ops = &blk_poller_ops,
	.feature_name = blk_feature_name,
	.features_acked = blk_features_acked,
	.config_fill = blk_config_fill,
	.config_write = blk_config_write,
	.queue_open_on_worker = blk_queue_open_on_worker,
	.queue_close_on_worker = blk_queue_close_on_worker,
	.queue_memory_on_worker = blk_queue_memory_on_worker,
	.queue_detach_on_worker = blk_queue_detach_on_worker,
	.remainder_reap_on_worker = blk_remainder_reap_on_worker,
	.remainder_close_on_worker = blk_remainder_close_on_worker,
	.queue_adopt = blk_queue_adopt,
	.remainder_retire = blk_remainder_retire,
	.table_cnt = TABLE_CNT_,
	.table = blk_table,
	.queue_table_add = blk_queue_table_add,
};

const struct stat_table *blk_stat_tables(unsigned *cnt)
{
	static struct stat_table tables[DEVICE_TABLES_MAX];

	*cnt = device_tables_init(&blk_device_ops, tables);
	return tables;
}

static int check_options(const struct blk_options *options, struct err *err)
{
	if (options->serial && strlen(options->serial) > BLK_SERIAL_BYTES)
		return err_set(err, EINVAL, "serial: '%s' has more than %u bytes", options->serial,
			       BLK_SERIAL_BYTES);
	if (options->seg_max < 1 || options->seg_max > BLK_SEG_MAX_MAX)
		return err_set(err, EINVAL, "seg-max: %u is not within 1 to %u", options->seg_max,
			       BLK_SEG_MAX_MAX);
	return 0;
}

/* Those of the transport and the rings (VIRTIO 1.3, 6). */
static uint64_t ring_features(const struct blk_options *options)
{
	return 1ull << DEVICE_F_VERSION_1 | (uint64_t)options->indirect << DEVICE_F_INDIRECT_DESC |
	       (uint64_t)options->event_idx << DEVICE_F_EVENT_IDX |
	       (uint64_t)options->packed << DEVICE_F_RING_PACKED |
	       (uint64_t)options->in_order << DEVICE_F_IN_ORDER;
}

int blk_device_new(const struct blk_options *options, struct storage *storage,
		   struct evloop *control, struct device **out, struct err *err)
{
	const struct storage_info *info = storage_info(storage);
	struct device_setup setup = {
		.name = options->name,
		.features = blk_features_offered(options, info) | ring_features(options),
		.queues = options->queues,
		.tuning = options->tuning,
		.workers = options->workers,
		.worker_cnt = options->worker_cnt,
		.worker_shift = options->worker_shift,
	};
	const char *serial = options->serial ? options->serial : options->name;
	struct blk_device *blk;
	int status;

	(void)control; /* workers carry their own way back to it */
	status = check_options(options, err);
	if (status)
		return status;
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return err_set(err, ENOMEM, "no memory for the device");
	status = device_init(&blk->device, &blk_device_ops, &setup, err);
	if (status) {
		free(blk);
		return status;
	}
	blk->storage = storage;
	blk->info = info;
	blk->seg_max = options->seg_max;
	blk->rules.read_only = info->read_only;
	memcpy(blk->rules.serial, serial, strnlen(serial, BLK_SERIAL_BYTES));
	blk_features_acked(&blk->device);
	*out = &blk->device;
	return 0;
}

void blk_device_free(struct device *device)
{
	if (!device)
		return;
	device_fini(device);
	free(blk_of_device(device));
}

void blk_device_resized(struct device *device)
{
	if (device->front_ops)
		device->front_ops->config_changed(device->front);
}

void blk_device_stats(const struct device *device, struct blk_stats *sum)
{
	device_stats(device, 1 + TABLE_REQUESTS, sum);
}
