/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor chains once they are parsed: request slots, their iovecs, and the pool that lends
 * iovec blocks to long chains.
 * Not a ring format (split.c, packed.c), and not what a request means (device/).
 */
#ifndef PARIO_VIRTQUEUE_CHAIN_H
#define PARIO_VIRTQUEUE_CHAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

/* Iovecs in the slot itself; longer chains borrow a block from the worker's pool. */
#define CHAIN_IOV_INLINE 8
/* Windows drivers build chains of 512 + 3 whatever the ring's size. */
#define CHAIN_INDIRECT_MIN 515
/* Hard bound on iovecs of one chain: a descriptor that crosses regions takes several. */
#define CHAIN_IOV_MAX 1024

/*
 * Why a chain could not be used. All of them leave the ring in step: the chain's head (and, packed,
 * its length in the ring) is known, so the chain is completed with an error. What loses the framing
 * breaks the queue (enum virtqueue_fault).
 */
enum chain_error {
	CHAIN_OK,
	CHAIN_BAD_ADDRESS, /* a buffer is not (wholly) guest memory, or gpa + len wraps */
	CHAIN_ZERO_LENGTH, /* a descriptor of length 0 */
	CHAIN_READABLE_AFTER_WRITABLE,
	CHAIN_NEXT_OUT_OF_RANGE, /* split or indirect: next >= table size */
	CHAIN_TOO_LONG,          /* loop, or longer than the bound of architecture.md section 4 */
	CHAIN_INDIRECT_REFUSED,  /* not negotiated, nested, or together with NEXT */
	CHAIN_INDIRECT_LENGTH,   /* 0, no multiple of 16, or beyond the bound */
	CHAIN_INDIRECT_ADDRESS,  /* the table is not guest memory */
	CHAIN_ERROR_MAX_,
};

const char *chain_error_name(enum chain_error error);

/*
 * Result of parsing one chain; the head of every device's request struct. Owner worker only.
 * iov holds out_cnt readable entries, then in_cnt writable ones; iov_base is hva. The device may
 * change entries of iov, not the pointer itself (it is how the block finds its way home).
 *
 * When error is set, the entries before the bad descriptor are there, and tail_in says whether the
 * chain's last writable descriptor could be translated: then the last entry is it (of one that
 * crosses regions: its last part), so that a device can still store a status in its last byte. A
 * chain whose end cannot be found (loop, next out of range, unusable table) has no such entry.
 * Without error tail_in says whether there are writable entries.
 */
struct vq_slot {
	struct iovec *iov;
	uint64_t out_bytes;
	uint64_t in_bytes;
	uint32_t used_bytes; /* set by the device before virtqueue_complete() */
	uint16_t out_cnt;
	uint16_t in_cnt;
	uint16_t id;       /* split: head index; packed: buffer id */
	uint16_t desc_cnt; /* packed: descriptors of the ring that the chain took */
	uint8_t error;     /* enum chain_error */
	bool tail_in;
	uint8_t iov_class;    /* chain.c: where iov came from */
	uint8_t memory_gen;   /* virtqueue.c: which snapshot it was parsed under */
	bool done;            /* virtqueue.c: completed, waiting for its turn (IN_ORDER) */
	struct vq_slot *link; /* virtqueue.c: free list */
	struct iovec inline_iov[CHAIN_IOV_INLINE];
};

/*
 * Blocks of iovecs for chains longer than CHAIN_IOV_INLINE. One pool a worker, bounded, all of it
 * allocated by _new. An empty pool means "stop fetching for now": the chain stays in the ring.
 */
struct chain_pool;
struct chain_pool *chain_pool_new(void);
void chain_pool_free(struct chain_pool *pool);
/*
 * Gives a block that slot borrowed back to the pool it came from; nothing if there is none. For
 * chains that are completed where that pool is not: virtqueue_complete() does it by itself.
 */
void chain_iov_release(struct chain_pool *pool, struct vq_slot *slot);

#endif
