/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's timers: a pairing heap through the timers themselves, so that nothing is allocated
 * and setting one cannot fail. Not a clock: the worker says what time it is.
 *
 * Set is O(1); cancel and expiry are O(log n) amortised. Timers of equal deadline expire in no
 * particular order.
 */
#include "worker/worker_priv.h"

void timers_init(struct timers *timers)
{
	timers->root = NULL;
	timers->next_ns = NO_DEADLINE;
	timers->cnt = 0;
}

/* Both are roots without siblings, or NULL. */
static struct worker_timer *timers_merge(struct worker_timer *a, struct worker_timer *b)
{
	struct worker_timer *later;

	if (!a || !b)
		return a ? a : b;
	later = b;
	if (b->deadline_ns < a->deadline_ns) {
		later = a;
		a = b;
	}
	later->prev = a;
	later->next = a->child;
	if (a->child)
		a->child->prev = later;
	a->child = later;
	return a;
}

/* Takes the first off a list of siblings and makes it a root. */
static struct worker_timer *timers_shift(struct worker_timer **list)
{
	struct worker_timer *first = *list;

	if (!first)
		return NULL;
	*list = first->next;
	first->next = NULL;
	first->prev = NULL;
	return first;
}

/* The two passes of a pairing heap: pairs from left to right, then all into one from the right. */
static struct worker_timer *timers_merge_siblings(struct worker_timer *list)
{
	struct worker_timer *pairs = NULL; /* latest pair first, by next */
	struct worker_timer *root = NULL;
	struct worker_timer *a;
	struct worker_timer *pair;

	while ((a = timers_shift(&list)) != NULL) {
		pair = timers_merge(a, timers_shift(&list));
		pair->next = pairs;
		pairs = pair;
	}
	while ((pair = timers_shift(&pairs)) != NULL)
		root = timers_merge(root, pair);
	return root;
}

static void timers_set_root(struct timers *timers, struct worker_timer *root)
{
	timers->root = root;
	timers->next_ns = root ? root->deadline_ns : NO_DEADLINE;
}

void timers_cancel(struct timers *timers, struct worker_timer *timer)
{
	struct worker_timer *orphans;

	if (!timer->running)
		return;
	orphans = timers_merge_siblings(timer->child);
	timer->child = NULL;
	if (timer == timers->root) {
		timers_set_root(timers, orphans);
	} else {
		if (timer->prev->child == timer)
			timer->prev->child = timer->next;
		else
			timer->prev->next = timer->next;
		if (timer->next)
			timer->next->prev = timer->prev;
		timer->next = NULL;
		timer->prev = NULL;
		timers_set_root(timers, timers_merge(timers->root, orphans));
	}
	timer->running = false;
	timers->cnt--;
}

void timers_set(struct timers *timers, struct worker_timer *timer, uint64_t deadline_ns)
{
	timers_cancel(timers, timer);
	timer->deadline_ns = deadline_ns;
	timer->child = NULL;
	timer->next = NULL;
	timer->prev = NULL;
	timer->running = true;
	timers->cnt++;
	timers_set_root(timers, timers_merge(timers->root, timer));
}

unsigned timers_run(struct timers *timers, struct worker *worker, uint64_t now_ns)
{
	/* A timer that sets itself to the past again and again must not keep the worker here. */
	const unsigned max = timers->cnt;
	struct worker_timer *timer;
	unsigned expired_cnt;

	for (expired_cnt = 0; expired_cnt < max && timers->next_ns <= now_ns; expired_cnt++) {
		timer = timers->root;
		if (!timer)
			break;
		timers_cancel(timers, timer);
		timer->expired(worker, timer);
	}
	return expired_cnt;
}
