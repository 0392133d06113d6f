/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's io_uring: submission entries for other layers, completions by callback.
 * Not a scheduler: the worker decides when the ring is entered (once a turn).
 *
 * Flags: SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG, SUBMIT_ALL, CQSIZE; no SQPOLL. Made by the
 * worker thread. All functions are for that thread.
 */
#ifndef PARIO_WORKER_URING_H
#define PARIO_WORKER_URING_H

#include <liburing.h>
#include <stdint.h>

#include "base/err.h"

struct uring;

/* One request to the kernel, embedded in its user; must stay until done() ran with no F_MORE. */
struct uring_op {
	/*
	 * res as in the CQE: >= 0, or -errno. Runs between the pollers of one turn and those of the
	 * next, never within uring_sqe(). Without IORING_CQE_F_MORE in cqe_flags it is the last
	 * call, and the op may be freed or used again here.
	 */
	void (*done)(struct uring_op *op, int res, uint32_t cqe_flags);
};

/*
 * A cleared submission entry whose completion goes to op. Never NULL: a full queue is submitted
 * first. Fill it with liburing's io_uring_prep_*() and then uring_sqe_bind(), both before the next
 * uring_sqe(). The kernel gets it at the end of the turn.
 */
struct io_uring_sqe *uring_sqe(struct uring *uring);

static inline void uring_sqe_bind(struct io_uring_sqe *sqe, struct uring_op *op)
{
	io_uring_sqe_set_data(sqe, op);
}

/* Requests submitted or queued and not completed, kick watches not counted. */
unsigned uring_pending(const struct uring *uring);

#endif
