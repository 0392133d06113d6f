/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file back end's own objects, shared by its parts: opening (file_open.c, blockdev.c, lock.c),
 * channels and the synchronous path (file.c), reads and writes (file_io.c, file_bounce.c),
 * registered guest memory (file_pin.c), and flush, discard and zeroes (file_range.c).
 * Not for the other back ends.
 */
#ifndef PARIO_STORAGE_FILE_PRIV_H
#define PARIO_STORAGE_FILE_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "storage/storage_priv.h"
#include "worker/worker.h"

/* Bounce buffers of a channel: so many of such a size at most, allocated when first needed. */
#define FILE_BOUNCE_BYTES (128u * 1024)
#define FILE_BOUNCE_MAX 8u
/* A channel keeps so many for later. */
#define FILE_BOUNCE_KEEP 2u

/* Which calls may be made from submit instead of io_uring. */
enum file_sync {
	FILE_SYNC_NEVER,
	FILE_SYNC_CACHED, /* buffered reads, RWF_NOWAIT: only what is in the page cache */
	FILE_SYNC_ALWAYS, /* no asynchronous path in this file system (tmpfs) */
};

/* How a range is discarded or zeroed. */
enum file_way {
	FILE_WAY_DISCARD_CMD, /* BLOCK_URING_CMD_DISCARD, Linux 6.12: block devices */
	FILE_WAY_PUNCH,       /* FALLOC_FL_PUNCH_HOLE */
	FILE_WAY_ZERO_RANGE,  /* FALLOC_FL_ZERO_RANGE */
	FILE_WAY_WRITE,       /* writes of zeroes */
	FILE_WAY_NONE,        /* succeed without doing anything */
};

/* What a range is to become; each has its ladder of ways, see file_range.c. */
enum file_range_use {
	FILE_RANGE_DISCARD,
	FILE_RANGE_ZERO_UNMAP,
	FILE_RANGE_ZERO_KEEP,
	FILE_RANGE_USE_MAX_,
};

struct file_storage {
	struct storage base;
	/*
	 * Two open file descriptions of one file: this one is for I/O and may be registered with
	 * rings, which let go of it late; the locks and the exclusive claim are on the other, so
	 * that they end with close() or the process. claim_fd is -1 where the second could not be
	 * had: then all is on fd, and it is not registered.
	 */
	int fd;
	int claim_fd;
	char *path;
	bool is_device;
	bool direct;             /* O_DIRECT */
	uint32_t mem_align;      /* of iov_base; 1 when not direct */
	uint32_t io_align;       /* of offsets and lengths; 1 when not direct */
	uint32_t range_align;    /* of ranges for fallocate: a device's logical block, else 1 */
	uint64_t size_max_bytes; /* the option; 0 = the file's own */
	enum file_sync sync;
};

struct file_bounce {
	struct file_bounce *next; /* in the free list; overwritten by data while in use */
};

/* Registered guest memory as a channel knows it; file_pin.c. */
struct file_pin_row {
	uint64_t start;
	struct uring_memory *memory;
};

struct file_pin {
	unsigned row_cnt;
	unsigned last; /* row of the last hit */
	struct file_pin_row rows[];
};

struct file_channel {
	struct storage_channel base;
	/* what requests name: the file's slot in the worker's ring with IOSQE_FIXED_FILE, or fd */
	int sqe_fd;
	uint8_t sqe_flags;
	int file_slot;        /* -1 = none */
	struct file_pin *pin; /* file_pin.c; NULL = no memory is registered */
	/* synchronous path */
	uint64_t async_until_ns; /* after a slow call */
	uint64_t sync_turn_ns;   /* the turn that sync_left_bytes is for */
	uint32_t sync_left_bytes;
	/* file_bounce.c */
	struct file_bounce *bounce_free;
	unsigned bounce_cnt;      /* allocated */
	unsigned bounce_free_cnt; /* of those, in the list */
	struct storage_op *bounce_wait_head;
	struct storage_op **bounce_wait_tail;
	/* operations that the kernel refused with EAGAIN, until the timer */
	struct storage_op *retry_head;
	struct storage_op **retry_tail;
	struct worker_timer retry_timer;
	/* The best way that was not refused yet. */
	uint8_t way[FILE_RANGE_USE_MAX_];
	struct log_limit unaligned_limit;
	struct log_limit pin_limit;
};

static inline struct file_storage *file_of(struct storage *storage)
{
	return container_of(storage, struct file_storage, base);
}

static inline struct file_channel *file_channel_of(struct storage_channel *channel)
{
	return container_of(channel, struct file_channel, base);
}

/* For what only the owner of the claim may do, and for locks. */
static inline int file_claim_fd(const struct file_storage *file)
{
	return file->claim_fd < 0 ? file->fd : file->claim_fd;
}

static inline struct file_storage *file_channel_file(struct file_channel *channel)
{
	return file_of(channel->base.storage);
}

/* file_open.c. Control. */
int file_open(struct storage *storage, const struct storage_options *options, struct err *err);
void file_close(struct storage *storage);
int file_refresh(struct storage *storage, uint64_t *capacity_bytes, struct err *err);

/* What a block device says of itself. Control. */
struct blockdev_limits {
	uint64_t size_bytes;
	uint32_t logical_bytes;
	uint32_t physical_bytes;
	uint32_t io_min_bytes;
	uint32_t io_opt_bytes;
	uint32_t discard_granularity_bytes; /* 0 = cannot discard */
	bool read_only;
};

/* blockdev.c. 0 or -errno. */
int blockdev_limits_get(int fd, struct blockdev_limits *limits);

/*
 * lock.c. Takes and checks the byte locks by which QEMU's programs and pario see each other; they
 * last until fd is closed. 0; -EBUSY with text when another process is in the way. A file system
 * without locks is a warning in the log, under tag.
 */
int lock_image(int fd, const char *path, bool read_only, const char *tag, struct err *err);

/* All below: worker. */

/* file.c: the next request of an operation, from where its done_bytes is; completes it if none. */
void file_op_continue(struct file_channel *channel, struct storage_op *op);
/* file.c: a submission entry, to be prepared by the caller and then bound to its operation. */
struct io_uring_sqe *file_sqe(struct file_channel *channel);
void file_sqe_bind(struct io_uring_sqe *sqe, struct storage_op *op);
/*
 * file.c: EINTR and EAGAIN mean "again": now, or a millisecond later, and an error at last. True if
 * res was one of them and is dealt with.
 */
bool file_op_retried(struct file_channel *channel, struct storage_op *op, int res);
/* file.c: refuses an operation that is finer than the disk's blocks; completes it. */
void file_op_refuse_unaligned(struct file_channel *channel, struct storage_op *op);

/* file_io.c: reads and writes. */
bool file_io_aligned(const struct file_storage *file, const struct storage_op *op);
void file_io_continue(struct file_channel *channel, struct storage_op *op);
void file_io_done(struct file_channel *channel, struct storage_op *op, int res);

/* file_bounce.c: reads and writes that O_DIRECT refuses as they are; scratch is the buffer. */
void file_bounce_continue(struct file_channel *channel, struct storage_op *op);
void file_bounce_done(struct file_channel *channel, struct storage_op *op, int res);
void file_bounce_release(struct file_channel *channel, struct storage_op *op);
void file_bounce_fini(struct file_channel *channel);

/* file_pin.c: guest memory that is registered with the ring. */
int file_pin_map_guest(struct storage_channel *base, struct gmem *memory);
void file_pin_fini(struct file_channel *channel);
int file_pin_search(struct file_pin *pin, uint64_t start, uint64_t len);

/* The slot of registered memory for len bytes from start on, or -1. */
static inline int file_pin_idx(const struct file_channel *channel, uint64_t start, uint64_t len)
{
	struct file_pin *pin = channel->pin;
	int idx;

	if (likely(!pin))
		return -1;
	idx = uring_memory_idx(pin->rows[pin->last].memory, start, len);
	return likely(idx >= 0) ? idx : file_pin_search(pin, start, len);
}

/* file_range.c: discard and zeroes. */
void file_range_init(struct file_channel *channel);
void file_range_continue(struct file_channel *channel, struct storage_op *op);
void file_range_done(struct file_channel *channel, struct storage_op *op, int res);

#endif
