/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at the used buffers of several queues; see looks.h.
 */
#include "netload/looks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int netload_looks_init(struct netload_looks *l, unsigned int size)
{
	memset(l, 0, sizeof(*l));
	l->queue = calloc(size, sizeof(*l->queue));
	l->size = size;
	return l->queue ? 0 : -ENOMEM;
}

void netload_looks_fini(struct netload_looks *l)
{
	for (unsigned int i = 0; i < l->cnt; i++)
		free(l->queue[i].look);
	free(l->queue);
	memset(l, 0, sizeof(*l));
}

int netload_looks_add(struct netload_looks *l, const struct net_queue *queue)
{
	struct netload_looks_queue *q = &l->queue[l->cnt];
	uint32_t size = 1;

	/* What is ahead and what was given out last are in flight no more than the ring is long. */
	while (size < 2u * queue->ring->size)
		size *= 2;
	if (l->cnt == l->size)
		return -ENOMEM;
	q->queue = queue;
	q->mask = size - 1;
	q->look = calloc(size, sizeof(*q->look));
	if (!q->look)
		return -ENOMEM;
	return (int)l->cnt++;
}

void netload_looks_take(struct netload_looks *l)
{
	for (unsigned int i = 0; i < l->cnt; i++) {
		struct netload_looks_queue *q = &l->queue[i];
		uint32_t known =
			(uint32_t)(q->seen_cnt > q->taken_cnt ? q->seen_cnt - q->taken_cnt : 0);
		uint64_t end = q->taken_cnt + net_used_ahead(q->queue, known);

		for (; q->seen_cnt < end; q->seen_cnt++)
			q->look[q->seen_cnt & q->mask] = l->now;
	}
	l->now++;
}
