/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for several acknowledgements on the control thread: a counter with a continuation.
 * Not a lock and not a thread primitive: control thread only.
 */
#ifndef PARIO_WORKER_JOIN_H
#define PARIO_WORKER_JOIN_H

struct join {
	unsigned pending;
	int status; /* first error that was reported, 0 if none */
	void (*finished)(struct join *join);
};

/* Opens a join with one reference of the opener's own, so that it cannot finish too early. */
static inline void join_open(struct join *join, void (*finished)(struct join *join))
{
	join->pending = 1;
	join->status = 0;
	join->finished = finished;
}

static inline void join_add(struct join *join)
{
	join->pending++;
}

/* One acknowledgement, or the opener's own "that was all". finished() may run from here. */
static inline void join_done(struct join *join, int status)
{
	if (status && !join->status)
		join->status = status;
	if (--join->pending == 0)
		join->finished(join);
}

#endif
