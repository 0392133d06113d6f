/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of an uplink's own, with memory for the largest, that it sends and gets back.
 * Not for guests' frames, whose memory is theirs.
 *
 * Of one worker. A frame is free, or taken by its user, or out: with those who got it. Memory is
 * touched as frames fill it, the latest used first, so what never holds large frames costs little.
 */
#ifndef PARIO_NETWORK_FRAME_POOL_H
#define PARIO_NETWORK_FRAME_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "network/frame.h"
#include "network/netport.h"

/* Frames of a pool. */
#define FRAME_POOL_CNT 256
/* Of one frame, behind its head: more than any can have, so that a longer one shows. */
#define FRAME_POOL_DATA_BYTES (68u * 1024)
_Static_assert(FRAME_HEAD_BYTES + FRAME_POOL_DATA_BYTES > FRAME_BYTES_MAX, "none is cut off");

struct pool_frame {
	struct frame frame; /* source and iov are set for good */
	struct iovec data;  /* frame.iov */
	struct pool_frame *next_free;
};

struct frame_pool {
	struct frame_source source;
	/* Some are free again. May end the pool. */
	void (*refilled)(struct frame_pool *pool);
	struct pool_frame *free;
	unsigned out_cnt;
	struct pool_frame *frames;
	uint8_t *memory;
};

/* Any thread, before its worker has it and after. Sets all but refilled. 0 or -ENOMEM with text. */
int frame_pool_init(struct frame_pool *pool, struct exchange *exchange, struct err *err);
/* None is out. Of a zeroed pool: nothing. */
void frame_pool_fini(struct frame_pool *pool);

/* Its worker. */

/* The one that is taken next, to be filled in, or NULL: all are out. */
static inline struct pool_frame *frame_pool_next(const struct frame_pool *pool)
{
	return pool->free;
}

/* Takes the one of frame_pool_next(), which now holds bytes, of them so many in its head. */
void frame_pool_take(struct frame_pool *pool, uint32_t bytes, uint16_t head_bytes);
void frame_pool_put(struct frame_pool *pool, struct frame *frame);
/* Frames that were taken, 1 to NETPORT_BURST: they are out, or free again. */
void frame_pool_send(struct frame_pool *pool, struct netport *port, struct frame *const *frames,
		     unsigned cnt, uint64_t now_ns);

#endif
