/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When what a queue holds was first seen to be used, in looks that cover all receive queues.
 * It takes nothing from any ring and knows no frames; verify.h judges order by it.
 *
 * Theory of operation
 *
 * One thread reads several queues one after the other, so it may meet frame n + 1 of a flow on one
 * queue before frame n on another although n was used first. Positions tell: every used buffer has
 * the number of the look in which it was first there. A device that uses n before n + 1 has n in
 * sight, on whatever queue, at the latest in the look after the one that first saw n + 1: that look
 * reads every queue after n + 1 had been there. So what is first seen two looks or more behind a
 * later frame of its flow was used after it, and what is not may have been used before it. The
 * judgement has no false alarms; what it can miss is a reordering shorter than two looks, and looks
 * are taken for each frame that is judged.
 *
 * One thread uses a struct netload_looks and all its queues.
 */
#ifndef PARIO_BENCH_NETLOAD_LOOKS_H
#define PARIO_BENCH_NETLOAD_LOOKS_H

#include <stdint.h>

#include "driver/net.h"

struct netload_looks_queue {
	const struct net_queue *queue;
	uint64_t seen_cnt;  /* buffers that some look has seen used */
	uint64_t taken_cnt; /* of those, given out by net_receive() */
	uint64_t *look;     /* by position & mask: which look saw it first */
	uint32_t mask;
};

struct netload_looks {
	struct netload_looks_queue *queue;
	unsigned int cnt, size;
	uint64_t now; /* number of the next look */
};

/* Room for so many queues. 0 or -ENOMEM; fini in any case. */
int netload_looks_init(struct netload_looks *l, unsigned int size);
void netload_looks_fini(struct netload_looks *l);

/* The number of a queue (from 0), or -ENOMEM. The queue is borrowed. */
int netload_looks_add(struct netload_looks *l, const struct net_queue *queue);

/* Looks at all queues. */
void netload_looks_take(struct netload_looks *l);

/* After net_receive(): so many buffers were given out. The position of the first. */
static inline uint64_t netload_looks_taken(struct netload_looks_queue *q, uint32_t buffer_cnt)
{
	uint64_t at = q->taken_cnt;

	q->taken_cnt += buffer_cnt;
	return at;
}

/* The look that saw a position first; what was taken before any look counts as seen in `now`. */
static inline uint64_t netload_looks_of(const struct netload_looks *l,
					const struct netload_looks_queue *q, uint64_t position)
{
	return position < q->seen_cnt ? q->look[position & q->mask] : l->now;
}

#endif
