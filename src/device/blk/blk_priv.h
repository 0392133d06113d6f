/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of virtio-blk share: the wire's constants, a judged request, a queue, the device.
 * Not for anybody outside device/blk and its tests.
 *
 * A request's way: request.c judges a parsed chain (pure), io.c moves bursts of them between the
 * virtqueue and the storage, remainder.c ends those that a moved queue left behind, config.c says
 * what the driver is told, blk.c makes and ends devices.
 */
#ifndef PARIO_DEVICE_BLK_BLK_PRIV_H
#define PARIO_DEVICE_BLK_BLK_PRIV_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/le.h"
#include "device/blk/blk.h"
#include "device/device_priv.h"
#include "guest/gptr.h"
#include "storage/storage.h"
#include "virtqueue/chain.h"

/* VIRTIO 1.3, 5.2.3 "Feature bits". */
#define BLK_F_SIZE_MAX 1
#define BLK_F_SEG_MAX 2
#define BLK_F_GEOMETRY 4
#define BLK_F_RO 5
#define BLK_F_BLK_SIZE 6
#define BLK_F_FLUSH 9
#define BLK_F_TOPOLOGY 10
#define BLK_F_CONFIG_WCE 11
#define BLK_F_MQ 12
#define BLK_F_DISCARD 13
#define BLK_F_WRITE_ZEROES 14

/* VIRTIO 1.3, 5.2.6 "Device Operation". */
#define BLK_T_IN 0u
#define BLK_T_OUT 1u
#define BLK_T_FLUSH 4u
#define BLK_T_GET_ID 8u
#define BLK_T_DISCARD 11u
#define BLK_T_WRITE_ZEROES 13u

#define BLK_S_OK 0u
#define BLK_S_IOERR 1u
#define BLK_S_UNSUPP 2u

#define BLK_SEGMENT_UNMAP 1u

/* Sectors are 512 bytes whatever blk_size says (5.2.5). */
#define BLK_SECTOR_BYTES 512u
#define BLK_SECTOR_SHIFT 9

/* Limits that config space announces. */
#define BLK_SEG_MAX_MAX 1022u /* CHAIN_IOV_MAX less header and status */
#define BLK_SIZE_MAX_BYTES (1u << 20)
#define BLK_DISCARD_SECTORS_MAX (1u << 21)      /* 1 GiB a segment */
#define BLK_WRITE_ZEROES_SECTORS_MAX (1u << 18) /* 128 MiB: a fallback may have to write them */
/* Segments of one discard or zeroes request: they are kept in the slot's inline iovecs. */
#define BLK_SEGMENTS_MAX CHAIN_IOV_INLINE
/*
 * Data of one request. A driver that keeps to size_max and seg_max cannot ask for more; one that
 * does not could otherwise, by naming the same memory again and again, keep a worker busy for
 * minutes, and the used length has 32 bits.
 */
#define BLK_DATA_BYTES_MAX (1u << 30)

struct blk_header {
	struct le32 type;
	struct le32 reserved; /* ioprio of old drivers; not looked at */
	struct le64 sector;
};
static_assert(sizeof(struct blk_header) == 16, "VIRTIO 1.3, 5.2.6");

/* struct virtio_blk_discard_write_zeroes. */
struct blk_wire_segment {
	struct le64 sector;
	struct le32 sector_cnt;
	struct le32 flags;
};
static_assert(sizeof(struct blk_wire_segment) == 16, "VIRTIO 1.3, 5.2.6");

/* Our own copy of one, judged. */
struct blk_segment {
	uint64_t sector;
	uint32_t sector_cnt;
	uint32_t may_unmap;
};
static_assert(sizeof(struct blk_segment) == sizeof(struct iovec), "fits in an inline iovec");

/* VIRTIO 1.3, 5.2.4 "Device configuration layout". No field needs padding. */
struct blk_config {
	struct le64 capacity;
	struct le32 size_max;
	struct le32 seg_max;
	struct le16 cylinders;
	uint8_t heads;
	uint8_t sectors;
	struct le32 blk_size;
	uint8_t physical_block_exp;
	uint8_t alignment_offset;
	struct le16 min_io_size;
	struct le32 opt_io_size;
	uint8_t writeback;
	uint8_t unused0;
	struct le16 num_queues;
	struct le32 max_discard_sectors;
	struct le32 max_discard_seg;
	struct le32 discard_sector_alignment;
	struct le32 max_write_zeroes_sectors;
	struct le32 max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
	struct le32 max_secure_erase_sectors;
	struct le32 max_secure_erase_seg;
	struct le32 secure_erase_sector_alignment;
	uint8_t zoned[24];
};
static_assert(sizeof(struct blk_config) == 96, "VIRTIO 1.3, 5.2.4");

/* What request.c judges by. Written by control while no queue runs, read by workers. */
struct blk_rules {
	bool read_only;
	bool discard;                     /* negotiated */
	bool write_zeroes;                /* negotiated */
	uint8_t serial[BLK_SERIAL_BYTES]; /* padded with NUL */
};

/* What became of a chain. From BLK_BAD_CHAIN on: refused. */
enum blk_verdict {
	BLK_SUBMIT,    /* op is filled in */
	BLK_GOT_ID,    /* GET_ID, answered */
	BLK_NOTHING,   /* discard or zeroes of no sectors at all: done */
	BLK_BAD_CHAIN, /* the virtqueue said so, and counted it */
	BLK_BAD_RANGE,
	BLK_BAD_LENGTH,
	BLK_BAD_FRAMING,
	BLK_BAD_FLAGS,
	BLK_READ_ONLY,
	BLK_UNSUPPORTED,
	BLK_TOO_MANY_SEGMENTS,
	BLK_VERDICT_MAX_,
};

/* One request, in the virtqueue's slot array. Owner worker only. */
struct blk_request {
	struct vq_slot slot; /* first; used_bytes is what success will report */
	struct storage_op op;
	uint8_t GUEST *status; /* where the status byte goes; NULL: the chain has none */
	uint8_t segment_cnt;   /* DISCARD, WRITE_ZEROES: segments kept by blk_segment_put() */
	uint8_t segment_idx;   /* the next one to be done */
	uint64_t fetched_ns;   /* start of the turn that took it */
};

/*
 * Judges the chain in req->slot. Guest memory is read here and never again: the header once, the
 * segments of a discard once, both into copies. With BLK_SUBMIT the op is filled in and its
 * iovecs are entries of slot.iov, whose framing bytes were cut off. Pure but for GET_ID, which
 * stores the answer.
 */
enum blk_verdict blk_request_parse(struct blk_request *req, const struct blk_rules *rules,
				   uint64_t capacity_sectors);

/* Fills op with the next segment that has sectors. False: that was the last one. */
bool blk_request_next_segment(struct blk_request *req);

/* VIRTIO_BLK_S_* of a request that was not submitted. */
uint8_t blk_verdict_status(enum blk_verdict verdict);
/* The counter of struct blk_stats for a refusal; NULL for the others. */
uint64_t *blk_verdict_counter(struct blk_stats *stats, enum blk_verdict verdict);

/* Makes op a flush. */
void blk_op_flush(struct storage_op *op);

/*
 * The storage has done req's operation. True: op was filled in anew and has to be submitted.
 * 5.2.6.2: in write-through mode a write is reported when it is durable; a discard has no content
 * to lose.
 */
static inline bool blk_request_goes_on(struct blk_request *req, bool writethrough)
{
	struct storage_op *op = &req->op;

	if (op->kind == STORAGE_READ || op->kind == STORAGE_FLUSH)
		return false;
	if (op->kind != STORAGE_WRITE && blk_request_next_segment(req))
		return true;
	if (!writethrough || op->kind == STORAGE_DISCARD)
		return false;
	blk_op_flush(op);
	return true;
}

static ALWAYS_INLINE struct blk_request *blk_request_of_slot(struct vq_slot *slot)
{
	return container_of(slot, struct blk_request, slot);
}

/* Ends req: status to the guest, and used_bytes to go with it. */
static inline void blk_request_finish(struct blk_request *req, uint8_t status)
{
	if (unlikely(status != BLK_S_OK))
		req->slot.used_bytes = 1;
	if (likely(req->status != NULL))
		gptr_copy_out(req->status, &status, 1);
	else
		req->slot.used_bytes = 0;
}

struct blk_device {
	/* control */
	struct device device;
	struct storage *storage;
	uint32_t seg_max;
	bool writeback; /* what config space says where the driver may set it (CONFIG_WCE) */

	/* control writes while no queue runs, workers read */
	struct blk_rules rules;
	const struct storage_info *info; /* of storage; capacity is one relaxed load */

	/*
	 * Control stores, workers load (both relaxed): each write must be durable before it is
	 * reported. A driver that changed it submits what it wants to be treated so afterwards, and
	 * AVAIL_PUB orders that behind our store (5.2.6.2).
	 */
	bool writethrough;
};

/* Padding: counters, and what is control's, have cache lines of their own. */
struct blk_queue {                 /* NOLINT(clang-analyzer-optin.performance.Padding) */
	struct device_queue queue; /* first */

	/* owner worker */
	struct storage_channel *channel;
	struct blk_device *blk;
	unsigned in_storage; /* submitted and not reaped */

	/* the owner writes, anybody reads */
	CACHE_ALIGNED struct blk_stats stats;
	struct storage_stats storage_stats; /* of its channel, which counts here */

	/* control */
	CACHE_ALIGNED struct storage_stats storage_retired; /* of remainders that are no more */
};
static_assert(offsetof(struct blk_queue, channel) % CACHE_LINE_BYTES == 0,
	      "the owner's part shares no line with counters");
static_assert(offsetof(struct blk_queue, stats) % CACHE_LINE_BYTES == 0,
	      "who reads counters takes no line that the owner works on");
static_assert(offsetof(struct blk_queue, storage_retired) % CACHE_LINE_BYTES == 0,
	      "control and the owner share no cache line");

/* What a queue that moved left in the storage. Padding: as above. */
struct blk_remainder {                     /* NOLINT(clang-analyzer-optin.performance.Padding) */
	struct device_remainder remainder; /* first */

	/* the worker that was left */
	struct storage_channel *channel;
	struct blk_device *blk;

	/* it writes, anybody reads */
	CACHE_ALIGNED struct storage_stats storage_stats;
};

static inline struct blk_device *blk_of_device(struct device *device)
{
	return container_of(device, struct blk_device, device);
}

static inline const struct blk_device *blk_of_const_device(const struct device *device)
{
	return (const struct blk_device *)(const void *)((const char *)device -
							 offsetof(struct blk_device, device));
}

static inline struct blk_queue *blk_of_queue(struct device_queue *queue)
{
	return container_of(queue, struct blk_queue, queue);
}

static inline const struct blk_queue *blk_of_const_queue(const struct device_queue *queue)
{
	return (const struct blk_queue *)(const void *)((const char *)queue -
							offsetof(struct blk_queue, queue));
}

static inline struct blk_remainder *blk_of_remainder(struct device_remainder *rem)
{
	return container_of(rem, struct blk_remainder, remainder);
}

/* config.c; control. */
/* Without those of the rings. */
uint64_t blk_features_offered(const struct blk_options *options, const struct storage_info *info);
const char *blk_feature_name(unsigned bit);
void blk_features_acked(struct device *device);
unsigned blk_config_fill(const struct device *device, void *data);
int blk_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
		     struct err *err);

/* io.c; owner worker. */
extern const struct poller_ops blk_poller_ops;
int blk_queue_open_on_worker(struct device_queue *base, struct worker *worker, struct err *err);
void blk_queue_close_on_worker(struct device_queue *base);
void blk_queue_memory_on_worker(struct device_queue *base);

/* remainder.c; see struct device_ops. */
unsigned blk_queue_detach_on_worker(struct device_queue *base, struct device_remainder *rem_base);
unsigned blk_remainder_reap_on_worker(struct device_remainder *base);
void blk_remainder_close_on_worker(struct device_remainder *base);
unsigned blk_queue_adopt(struct device_queue *base, struct device_remainder *rem, uint64_t now_ns);
void blk_remainder_retire(struct device_remainder *base);

#endif
