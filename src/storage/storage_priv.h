/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a back end of storage.h is made of: its function table and the objects that it embeds.
 * Not for anybody outside storage/.
 */
#ifndef PARIO_STORAGE_STORAGE_PRIV_H
#define PARIO_STORAGE_STORAGE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/ordering.h"
#include "base/overflow.h"
#include "storage/storage.h"

#define STORAGE_NAME_BYTES 64
#define STORAGE_SECTOR_BYTES 512u

/*
 * One row for each back end. storage.c allocates storage_bytes and channel_bytes, zeroed, so each
 * back end's own struct begins with struct storage or struct storage_channel.
 */
struct storage_ops {
	size_t storage_bytes;
	size_t channel_bytes;
	/* Control. Fills info; on failure leaves nothing behind and close is not called. */
	int (*open)(struct storage *storage, const struct storage_options *options,
		    struct err *err);
	void (*close)(struct storage *storage);
	/* Control. The capacity as it is now. NULL: it cannot change. */
	int (*refresh)(struct storage *storage, uint64_t *capacity_bytes, struct err *err);
	/* Worker. May be NULL, both. */
	int (*channel_open)(struct storage_channel *channel, struct err *err);
	void (*channel_close)(struct storage_channel *channel);
	/* Worker. Each operation is completed, now or later, by storage_channel_complete(). */
	void (*submit)(struct storage_channel *channel, struct storage_op *const *ops,
		       unsigned cnt);
	/*
	 * Worker. Puts what is done by now on the done list; called at the start of each reap. NULL
	 * for back ends that put it there without being asked.
	 */
	void (*look)(struct storage_channel *channel);
	/*
	 * Worker. storage_channel_map_guest() of a disk with pin_memory. NULL for back ends whose
	 * I/O has no use of it: the option is refused.
	 */
	int (*map_guest)(struct storage_channel *channel, struct gmem *memory);
};

extern const struct storage_ops null_storage_ops;
extern const struct storage_ops ram_storage_ops;
extern const struct storage_ops flash_storage_ops;
extern const struct storage_ops file_storage_ops;

struct storage {
	const struct storage_ops *ops;
	struct storage_info info;         /* capacity: control stores, workers load, relaxed */
	bool discard;                     /* the option: deallocation is wanted */
	bool pin_memory;                  /* the option */
	unsigned channel_cnt;             /* open ones; atomic, for workers open and close them */
	char tag[STORAGE_NAME_BYTES + 8]; /* "disk NAME" */
};

/* One worker's. */
struct storage_channel {
	const struct storage_ops *ops;
	struct storage *storage;
	struct worker *worker;
	struct storage_op *done_head; /* completed and not reaped, oldest first */
	struct storage_op **done_tail;
	unsigned pending;
	bool submitting;
	void (*completed)(void *arg);
	void *completed_arg;
	struct log_limit log_limit;
	struct storage_stats *stats; /* its own, or the submitter's; read by anybody */
	struct storage_stats own_stats;
};

/* Puts an operation on the done list; for submit's own loop, where nobody is to be woken. */
static inline void storage_channel_push(struct storage_channel *channel, struct storage_op *op,
					int result)
{
	op->result = result;
	op->next = NULL;
	*channel->done_tail = op;
	channel->done_tail = &op->next;
}

/* Completes an operation. The last thing a back end does with it, and with its own state. */
static inline void storage_channel_complete(struct storage_channel *channel, struct storage_op *op,
					    int result)
{
	storage_channel_push(channel, op, result);
	if (!channel->submitting && channel->completed)
		channel->completed(channel->completed_arg);
}

/* Is the operation within the disk as it is now? */
static inline bool storage_op_within(const struct storage *storage, const struct storage_op *op)
{
	return op->kind == STORAGE_FLUSH ||
	       range_within(op->offset_bytes, op->len_bytes,
			    load_relaxed(&storage->info.capacity_bytes));
}

/*
 * For open functions of back ends without a file: the size is given and fits the block size, and
 * what only a file has is not. Fills info but for volatile_cache and can_discard.
 */
int storage_open_sized(struct storage *storage, const struct storage_options *options,
		       struct err *err);

#endif
