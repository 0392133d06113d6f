/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a disk's bytes are: one interface, several back ends, one contract.
 * Not virtio: requests here are offsets, lengths and iovecs, checked by the device before.
 *
 * Theory of operation
 *
 * 1. struct storage is opened on the control thread and immutable there but for its capacity. A
 *    channel is one queue's way into it; it belongs to the worker that opened it, needs no lock,
 *    and is closed there when none of its operations is left.
 * 2. submit takes a burst and never fails: what cannot be done becomes a completion with a result.
 *    An operation may complete within submit. reap returns what completed since, in any order.
 * 3. Nothing here sleeps on a worker, but for file.c's small synchronous I/O on file systems that
 *    have no asynchronous path (architecture.md section 8). ram and flash copy inside submit.
 * 4. storage.c wraps each call: it holds the caller to the contract (CHECK, our own promises only),
 *    counts, and logs failures rate-limited. Back ends need not.
 * 5. A range beyond the capacity is no broken promise, for a shrinking file and a request may
 *    cross: it gets -EIO (but from null, which has no end). Overlapping operations in flight have
 *    no order.
 */
#ifndef PARIO_STORAGE_STORAGE_H
#define PARIO_STORAGE_STORAGE_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/stat.h"
#include "guest/gmem.h"
#include "worker/uring.h"
#include "worker/worker.h"

enum storage_kind {
	STORAGE_READ,
	STORAGE_WRITE,
	STORAGE_FLUSH,        /* all completed writes are durable when it completes */
	STORAGE_DISCARD,      /* content afterwards undefined (reads may give zeroes or old data) */
	STORAGE_WRITE_ZEROES, /* reads give zeroes afterwards; may_unmap allows deallocation */
	STORAGE_KIND_MAX_,
};

const char *storage_kind_name(enum storage_kind kind);

struct storage_channel;

/* One operation, embedded in the device's request. The submitter fills the first group. */
struct storage_op {
	enum storage_kind kind;
	bool may_unmap;   /* WRITE_ZEROES */
	uint32_t iov_cnt; /* READ, WRITE: up to CHAIN-size many; the back end cuts at IOV_MAX */
	uint64_t offset_bytes; /* multiple of 512; not looked at for FLUSH */
	uint64_t len_bytes;    /* the same; READ, WRITE: equals the iovecs' total */
	struct iovec *iov;     /* stays the submitter's; entries are not changed */

	int result; /* when reaped: 0 or -errno */

	/* storage and back ends, between submit and reap */
	uint16_t attempts; /* in a row without progress */
	uint8_t way;       /* back end's: how the operation is being done */
	struct storage_op *next;
	struct storage_channel *channel;
	struct uring_op uring;
	uint64_t done_bytes; /* of len_bytes */
	union {
		uint64_t piece_bytes; /* file: of the request under way; ram: where it ends */
		uint64_t due_ns;      /* flash: when it is done */
	};
	void *scratch; /* back end's: bounce buffer */
};

enum storage_backend {
	STORAGE_BACKEND_FILE,
	STORAGE_BACKEND_NULL,
	STORAGE_BACKEND_RAM,
	STORAGE_BACKEND_FLASH,
	STORAGE_BACKEND_MAX_,
};

const char *storage_backend_name(enum storage_backend backend);
int storage_backend_parse(const char *name, enum storage_backend *backend);

enum storage_cache {
	STORAGE_CACHE_NONE,      /* O_DIRECT */
	STORAGE_CACHE_WRITEBACK, /* the host's page cache */
	STORAGE_CACHE_MAX_,
};

const char *storage_cache_name(enum storage_cache cache);
int storage_cache_parse(const char *name, enum storage_cache *cache);

/* Bounds of what a modelled flash device can be made of. */
#define STORAGE_FLASH_CHANNELS_MAX 256
#define STORAGE_FLASH_US_MAX 60000000

/* Filled by control/ from the schema. Strings are borrowed for the call. */
struct storage_options {
	const char *name; /* the disk's, for texts and tags */
	enum storage_backend backend;
	const char *path;    /* file */
	uint64_t size_bytes; /* file: 0 = all of it, else at most this; others: required */
	bool read_only;
	enum storage_cache cache; /* file */
	bool format_raw;          /* `format: raw` was given: take a file that looks like qcow2 */
	bool discard;             /* punch holes / discard; false: completes without doing so */
	bool pin_memory;          /* file: register guest memory with the kernel */
	uint32_t block_size;      /* 0 = from the back end (512 or the device's logical size) */
	uint32_t channels;        /* flash: from 1 on */
	uint32_t read_us;         /* flash: of one page by one channel */
	uint32_t write_us;        /* flash */
};

/* Filled at open; capacity changes only by storage_refresh(). */
struct storage_info {
	uint64_t capacity_bytes; /* multiple of block_bytes */
	/*
	 * Logical block, a power of two from 512 on. Reads may be finer; a finer write gets -EIO
	 * from a disk of bigger blocks under O_DIRECT, so this is what the guest must be told.
	 */
	uint32_t block_bytes;
	uint32_t physical_block_bytes;
	uint32_t io_min_bytes; /* 0 = unknown */
	uint32_t io_opt_bytes; /* 0 = unknown */
	uint32_t discard_granularity_bytes;
	bool read_only;
	bool can_discard;    /* DISCARD has an effect */
	bool volatile_cache; /* writes are not durable before FLUSH */
};

/* Counters of a channel; the worker writes, anybody reads. */
struct storage_stats {
	uint64_t ops[STORAGE_KIND_MAX_];
	uint64_t bytes[STORAGE_KIND_MAX_];
	uint64_t errors[STORAGE_KIND_MAX_];
	uint64_t retries;          /* EAGAIN, EINTR, short transfers that were continued */
	uint64_t bounced;          /* operations copied through an aligned buffer */
	uint64_t bounce_waits;     /* of those, waited for a buffer */
	uint64_t unaligned_writes; /* refused: finer than the disk's blocks under O_DIRECT */
	uint64_t sync_slow; /* synchronous calls over 1 ms; each switches to io_uring for 10 s */
	uint64_t sync_calls;
	uint64_t fixed; /* requests of the kernel on registered guest memory */
};

extern const struct stat_row storage_stat_rows[];
extern const unsigned storage_stat_row_cnt;

struct storage;

/*
 * Control thread; may block for the time of an open and a few ioctls. 0 or -errno with text that
 * begins with the option's key ("path: x.raw does not exist; ..."): the caller puts the object
 * before it.
 */
int storage_open(const struct storage_options *options, struct storage **out, struct err *err);
/* Control; no channel may be open. NULL is allowed. */
void storage_close(struct storage *storage);
/* Control, and workers (immutable but for the capacity, which is one relaxed load). */
const struct storage_info *storage_info(const struct storage *storage);
/*
 * Control. Looks at the size of the file or device again. 0 and *changed, for a capacity that grew
 * or shrank, or -errno with text; the capacity is the old one then.
 */
int storage_refresh(struct storage *storage, bool *changed, struct err *err);

/*
 * Where the disk's completions come back on the host: that of the block device under backend file,
 * or under the file system that its file is on.
 */
struct storage_affinity {
	char disk[32];   /* the kernel's name of it: "nvme0n1" */
	int rq_affinity; /* as storage_set_rq_affinity(); -1: the device has no such choice */
	/*
	 * Hardware queues; 0 for devices without. The CPUs of each are those that submit to it,
	 * and on which it interrupts as far as its driver can choose.
	 */
	unsigned queue_cnt;
	cpu_set_t queue_cpus[];
};

/*
 * Control. A look at this moment; the caller frees *out. -EINVAL for another back end, -ENODEV when
 * there is no such device or it is made of several, with text that begins with "rq-affinity".
 */
int storage_affinity_read(struct storage *storage, struct storage_affinity **out, struct err *err);
/*
 * Control. Completions are to be handled on any CPU (0), near the one that submitted (1, the
 * kernel's default) or on that very one (2). Of the whole device, whoever uses it, and it stays
 * when pariod has ended. Nothing is written when it is so already. Errors as above, -EOPNOTSUPP
 * where rq_affinity is -1, -EACCES and -EROFS that say what was there and what to do.
 */
int storage_set_rq_affinity(struct storage *storage, int value, struct err *err);

/* Worker. -ENOMEM or -errno with text. */
int storage_channel_open(struct storage *storage, struct worker *worker,
			 struct storage_channel **out, struct err *err);
/* Worker; nothing pending. NULL is allowed. */
void storage_channel_close(struct storage_channel *channel);
void storage_submit(struct storage_channel *channel, struct storage_op *const *ops, unsigned cnt);
/* Up to max completed operations, result set. */
unsigned storage_reap(struct storage_channel *channel, struct storage_op **ops, unsigned max);
/* Submitted and not reaped. */
unsigned storage_pending(const struct storage_channel *channel);
/*
 * Called on the worker whenever an operation completed outside submit: the owner's wake-up. It may
 * reap; it must not submit or close.
 */
void storage_channel_on_complete(struct storage_channel *channel, void (*fn)(void *arg), void *arg);
/*
 * Counters go there from now on, which must live as long as the channel. Without it a channel
 * counts in a struct of its own, which ends with it.
 */
void storage_channel_count_in(struct storage_channel *channel, struct storage_stats *stats);
/*
 * Guest memory is now `memory` (NULL: none), in which the buffers of every later operation lie.
 * Where the disk was opened with pin_memory its regions are registered with the worker's ring, a
 * chunk at a time between turns: until that is done, and for what the kernel refuses (logged),
 * operations go on unregistered. A region must stay mapped until each channel that was given it was
 * given a memory without it, or closed; and as long as operations that use it are not reaped. 0;
 * -errno, logged: some regions go without. Worker.
 */
int storage_channel_map_guest(struct storage_channel *channel, struct gmem *memory);
/* Any thread. */
const struct storage_stats *storage_channel_stats(const struct storage_channel *channel);

#endif
