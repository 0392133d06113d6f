/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of frames for an uplink.
 * Not what is in them.
 */
#include "network/frame_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/compiler.h"

#define POOL_BYTES ((size_t)FRAME_POOL_CNT * FRAME_POOL_DATA_BYTES)

static void pool_returned(struct frame_source *source, struct frame *const *frames, unsigned cnt)
{
	struct frame_pool *pool = container_of(source, struct frame_pool, source);

	CHECK(pool->out_cnt >= cnt);
	pool->out_cnt -= cnt;
	for (unsigned i = 0; i < cnt; i++)
		frame_pool_put(pool, frames[i]);
	pool->refilled(pool);
}

int frame_pool_init(struct frame_pool *pool, struct exchange *exchange, struct err *err)
{
	void *map;

	pool->frames = calloc(FRAME_POOL_CNT, sizeof(*pool->frames));
	if (!pool->frames)
		return err_set(err, ENOMEM, "out of memory");
	map = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return err_set(err, ENOMEM, "%zu bytes for frames cannot be mapped: %m",
			       POOL_BYTES);
	pool->memory = map;
	madvise(map, POOL_BYTES, MADV_DONTDUMP);
	pool->source.exchange = exchange;
	pool->source.returned = pool_returned;
	for (unsigned i = FRAME_POOL_CNT; i-- > 0;) {
		struct pool_frame *own = &pool->frames[i];

		own->data.iov_base = pool->memory + (size_t)i * FRAME_POOL_DATA_BYTES;
		own->frame.source = &pool->source;
		own->frame.iov = &own->data;
		frame_pool_put(pool, &own->frame);
	}
	return 0;
}

void frame_pool_fini(struct frame_pool *pool)
{
	CHECK(pool->out_cnt == 0);
	if (pool->memory)
		munmap(pool->memory, POOL_BYTES);
	free(pool->frames);
}

void frame_pool_take(struct frame_pool *pool, uint32_t bytes, uint16_t head_bytes)
{
	struct pool_frame *own = pool->free;

	pool->free = own->next_free;
	own->data.iov_len = bytes - head_bytes;
	own->frame.bytes = bytes;
	own->frame.head_bytes = head_bytes;
	own->frame.iov_cnt = bytes > head_bytes;
	own->frame.refs = 1;
	own->frame.dissected = false;
	own->frame.hashed = false;
}

void frame_pool_put(struct frame_pool *pool, struct frame *frame)
{
	struct pool_frame *own = container_of(frame, struct pool_frame, frame);

	own->next_free = pool->free;
	pool->free = own;
}

void frame_pool_send(struct frame_pool *pool, struct netport *port, struct frame *const *frames,
		     unsigned cnt, uint64_t now_ns)
{
	netport_send(port, pool->source.exchange, 0, frames, cnt, now_ns);
	for (unsigned i = 0; i < cnt; i++) {
		if (--frames[i]->refs == 0)
			frame_pool_put(pool, frames[i]);
		else
			pool->out_cnt++;
	}
}
