/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk: making a block device out of a storage and a set of workers.
 * Not its parts (config.c, request.c, io.c), which blk_priv.h names.
 */
#ifndef PARIO_DEVICE_BLK_BLK_H
#define PARIO_DEVICE_BLK_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/evloop.h"
#include "base/stat.h"
#include "device/device.h"
#include "storage/storage.h"
#include "worker/worker.h"

#define BLK_SERIAL_BYTES 20 /* VIRTIO 1.3, 5.2.6: GET_ID */

/* Strings are copied; storage, workers and the loop are borrowed until blk_device_free(). */
struct blk_options {
	const char *name;
	const char *serial; /* at most 20 bytes; NULL = the name, cut */
	unsigned queues;    /* 1..DEVICE_QUEUES_MAX */
	uint32_t seg_max;   /* data segments of a request, 1..1022 */
	bool discard;       /* offer DISCARD and WRITE_ZEROES */
	bool packed;        /* offer RING_PACKED */
	bool in_order;
	bool event_idx;
	bool indirect;
	struct device_tuning tuning;
	struct worker *const
		*workers; /* queue i starts on workers[(i + worker_shift) % worker_cnt] */
	unsigned worker_cnt;
	unsigned worker_shift; /* so that many one-queue disks spread */
};

/* Request counters of one queue, beside the virtqueue's own. */
struct blk_stats {
	uint64_t reads, writes, flushes, discards, write_zeroes, get_ids;
	uint64_t read_bytes, write_bytes;
	uint64_t io_errors; /* storage said no */
	/* refused by name, each completed with IOERR or UNSUPP */
	uint64_t bad_range;   /* beyond the capacity */
	uint64_t bad_length;  /* not a multiple of 512, no data, too short a segment */
	uint64_t bad_framing; /* no header, no status byte, data on the wrong side */
	uint64_t bad_flags;   /* unknown flag bits, unmap on discard */
	uint64_t read_only;   /* write to a read-only disk */
	uint64_t unsupported; /* unknown type, or one that was not negotiated */
	uint64_t too_many_segments;
};

extern const struct stat_row blk_stat_rows[];
extern const unsigned blk_stat_row_cnt;

/* Control: device_stat_tables() of any disk, also while there is none. */
const struct stat_table *blk_stat_tables(unsigned *cnt);

/* Control thread. 0 or -EINVAL / -ENOMEM with text. */
int blk_device_new(const struct blk_options *options, struct storage *storage,
		   struct evloop *control, struct device **out, struct err *err);
/* Control; every queue stopped. NULL is allowed. */
void blk_device_free(struct device *device);

/* Control: the storage's capacity changed; config space follows and the front end is told. */
void blk_device_resized(struct device *device);

/* Control: sums over the queues, also over those that have stopped. */
void blk_device_stats(const struct device *device, struct blk_stats *sum);

#endif
