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
#include "base/list.h"

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

/*
 * Hands all that is queued to the kernel now, for what has to come after it and is not done in the
 * ring. No done() runs.
 */
void uring_submit_all(struct uring *uring);

/* Requests submitted or queued and not completed, kick watches not counted. */
unsigned uring_pending(const struct uring *uring);

/*
 * Registered files: a request on one, with IOSQE_FIXED_FILE and the slot in place of the
 * descriptor, needs no reference to the open file, whose counter is a cache line that all workers
 * of a disk would write to for each request.
 */

/*
 * The slot of fd in this ring, for as many users as ask for it. -1: it is not registered (no room,
 * or the kernel refuses), so use fd itself. fd must stay open and the same file until the last
 * uring_file_put().
 */
int uring_file_get(struct uring *uring, int fd);
/*
 * None of the user's requests on it may be pending. The kernel lets go of the file when it likes
 * (Linux 6.1: up to a second after all requests on registered things that were older; after a kill:
 * when it has taken the ring apart). So what must end at once with its owner, a lock or an
 * exclusive claim, belongs to another open file description than the one that is registered. -1 is
 * allowed.
 */
void uring_file_put(struct uring *uring, int slot);

/*
 * Registered memory (fixed buffers): the kernel looks up and pins the pages once, not for each
 * request. uring_memory.c has the theory.
 */

/* Each slot of the ring holds so much of a piece of memory, from its start on; the last less. */
#define URING_CHUNK_BITS 27
#define URING_CHUNK_BYTES (1ull << URING_CHUNK_BITS)

/* A piece of memory, shared by all who named it on this worker. Read only for its users. */
struct uring_memory {
	uint64_t start;       /* our address */
	uint64_t ready_bytes; /* registered by now, from the start; grows */
	unsigned first_idx;   /* slot of the first chunk; the others follow */
	/* uring_memory.c */
	unsigned slot_cnt;
	uint64_t size_bytes;
	uint64_t touched_bytes; /* faulted in, from the start */
	const void *identity;
	unsigned users; /* 0: its slots are being cleared */
	int status;     /* 0, or the -errno for which the rest is not registered */
	struct list_node node;
};

/*
 * Begins to register size_bytes from base on, in small steps between turns; or shares what
 * another user registered under the same identity (a gmap_region), base and size. It must stay
 * mapped until the last uring_memory_put(). 0; -ENOSPC: all slots are taken; -ENOMEM; or what the
 * kernel says to registered memory as such. A chunk that the kernel refuses later is a line in the
 * log, ends the registration of this piece, and is tried again for the next user.
 */
int uring_memory_get(struct uring *uring, const void *identity, void *base, uint64_t size_bytes,
		     struct uring_memory **out);
/*
 * The last user's: queued entries are handed over, and the slots cleared in small steps between
 * turns (until then the pages stay pinned, whatever becomes of the address). Requests under way
 * are not disturbed, for they hold the pages; but the memory may be unmapped only when their users
 * do without the address.
 */
void uring_memory_put(struct uring *uring, struct uring_memory *memory);

/*
 * Slot for a request of IORING_OP_READ_FIXED or IORING_OP_WRITE_FIXED on len > 0 bytes from start
 * on, or -1 when these are not in one registered chunk. Good until memory is put.
 */
static inline int uring_memory_idx(const struct uring_memory *memory, uint64_t start, uint64_t len)
{
	const uint64_t first = start - memory->start; /* wraps when below, and then is too large */

	if (first >= memory->ready_bytes || len > memory->ready_bytes - first ||
	    (first ^ (first + len - 1)) >> URING_CHUNK_BITS != 0)
		return -1;
	return (int)(memory->first_idx + (unsigned)(first >> URING_CHUNK_BITS));
}

#endif
