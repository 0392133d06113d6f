/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's io_uring: set-up, submission, completion. Not a scheduler, nor what is
 * registered with it (uring_files.c, uring_memory.c).
 *
 * Under DEFER_TASKRUN a completion becomes visible only when its thread enters the ring; the kernel
 * says by IORING_SQ_TASKRUN that one waits (TASKRUN_FLAG). What does not fit into the completion
 * queue is kept by the kernel (IORING_FEAT_NODROP) and handed out on the next entry, which
 * IORING_SQ_CQ_OVERFLOW asks for. So a turn looks at two words and enters only for a reason.
 */
#include "worker/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fdio.h"
#include "base/log.h"
#include "worker/worker_priv.h"

#define URING_SQ_ENTRIES_DEFAULT 256
/* Completions in one turn: I/O of several bursts, and kicks of queues that were cold. */
#define URING_CQ_PER_SQ 16

/* What the daemon asks of the kernel; all of it is in 6.1. */
static const uint8_t uring_needed_ops[] = {
	IORING_OP_NOP,    IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_READV,
	IORING_OP_WRITEV, IORING_OP_FSYNC,    IORING_OP_FALLOCATE,    IORING_OP_WRITE,
};

/* kernel.io_uring_disabled (Linux 6.6): 1 = for the unprivileged, 2 = for all. */
static bool uring_disabled_by_sysctl(void)
{
	char value = '0';
	int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &value, 1) != 1)
		value = '0';
	fdio_close(&fd);
	return value != '0';
}

static int uring_open_error(int code, struct err *err)
{
	switch (code) {
	case ENOSYS:
		return err_set(err, code,
			       "io_uring is missing: this kernel was built without it, or "
			       "a seccomp filter hides it; Linux 6.1 or later with CONFIG_IO_URING "
			       "is needed");
	case EPERM:
		if (uring_disabled_by_sysctl())
			return err_set(err, code,
				       "io_uring is forbidden by the sysctl "
				       "kernel.io_uring_disabled; set it to 0 (Linux 6.1 or later "
				       "is needed)");
		return err_set(err, code,
			       "io_uring is forbidden, probably by the seccomp filter of a "
			       "container; allow io_uring_setup, io_uring_enter and "
			       "io_uring_register (Linux 6.1 or later is needed)");
	case EINVAL:
		return err_set(err, code,
			       "this kernel's io_uring lacks SINGLE_ISSUER or "
			       "DEFER_TASKRUN; Linux 6.1 or later is needed");
	default:
		return err_set(err, code, "cannot make an io_uring: %s", strerrordesc_np(code));
	}
}

static int uring_probe(struct uring *uring, struct err *err)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&uring->ring);
	int rc = 0;

	if (!probe)
		return err_set(err, ENOMEM, "cannot ask io_uring what it can do");
	for (unsigned i = 0; i < ARRAY_LEN(uring_needed_ops) && rc == 0; i++) {
		if (!io_uring_opcode_supported(probe, uring_needed_ops[i]))
			rc = err_set(err, ENOSYS,
				     "this kernel's io_uring lacks operation %u; Linux "
				     "6.1 or later is needed",
				     uring_needed_ops[i]);
	}
	io_uring_free_probe(probe);
	return rc;
}

int uring_open(struct uring *uring, unsigned sq_entries, uint64_t *entry_stat, struct err *err)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
			 IORING_SETUP_SUBMIT_ALL,
	};
	int rc;

	if (sq_entries == 0)
		sq_entries = URING_SQ_ENTRIES_DEFAULT;
	params.cq_entries = sq_entries * URING_CQ_PER_SQ;
	uring->pending = 0;
	uring->own_cnt = 0;
	uring->new_watch_cnt = 0;
	uring->entry_stat = entry_stat;
	uring->log_limit = (struct log_limit){0};
	uring->files = NULL;
	uring_memories_init(uring);
	rc = io_uring_queue_init_params(sq_entries, &uring->ring, &params);
	if (rc < 0)
		return uring_open_error(-rc, err);
	rc = uring_probe(uring, err);
	if (rc < 0) {
		io_uring_queue_exit(&uring->ring);
		return rc;
	}
	/* Saves the look-up of the descriptor on each entry; without it all works the same. */
	(void)io_uring_register_ring_fd(&uring->ring);
	return 0;
}

void uring_close(struct uring *uring)
{
	io_uring_queue_exit(&uring->ring);
	uring_files_fini(uring);
}

unsigned uring_pending(const struct uring *uring)
{
	return uring->pending - uring->own_cnt;
}

static unsigned uring_flags(const struct uring *uring)
{
	return IO_URING_READ_ONCE(*uring->ring.sq.kflags);
}

/*
 * Entries that the kernel did not take (EAGAIN, EBUSY: short of memory) stay queued and go with the
 * next entry. EINTR and ETIME are how a wait ends.
 */
static void uring_judge(struct uring *uring, int rc)
{
	unsigned suppressed;

	if (rc >= 0 || rc == -EINTR || rc == -ETIME || rc == -EAGAIN || rc == -EBUSY)
		return;
	if (log_limit_pass(&uring->log_limit, clock_now_ns(), &suppressed))
		log_error("io_uring", "entering the ring failed: %s (%u such lines held back)",
			  strerrordesc_np(-rc), suppressed);
}

void uring_submit(struct uring *uring)
{
	if (io_uring_sq_ready(&uring->ring) == 0)
		return;
	stat_inc(uring->entry_stat);
	uring_judge(uring, io_uring_submit(&uring->ring));
}

/*
 * The kernel took nothing, or not all: it has no memory for requests. Those that complete give
 * theirs back, so it is asked to complete some.
 */
static void uring_make_room(struct uring *uring)
{
	stat_inc(uring->entry_stat);
	uring_judge(uring, io_uring_get_events(&uring->ring));
	sched_yield();
}

void uring_submit_all(struct uring *uring)
{
	uring_submit(uring);
	while (io_uring_sq_ready(&uring->ring) > 0) {
		uring_make_room(uring);
		uring_submit(uring);
	}
}

/* The submission queue is full: hands it over. */
static NOINLINE struct io_uring_sqe *uring_sqe_after_submit(struct uring *uring)
{
	struct io_uring_sqe *sqe;

	for (;;) {
		uring_submit(uring);
		sqe = io_uring_get_sqe(&uring->ring);
		if (sqe)
			return sqe;
		uring_make_room(uring);
	}
}

struct io_uring_sqe *uring_sqe(struct uring *uring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	if (unlikely(!sqe))
		sqe = uring_sqe_after_submit(uring);
	memset(sqe, 0, sizeof(*sqe));
	uring->pending++;
	return sqe;
}

bool uring_can_watch(const struct uring *uring)
{
	return uring->new_watch_cnt < uring->ring.cq.ring_entries / 4 &&
	       !(uring_flags(uring) & IORING_SQ_CQ_OVERFLOW);
}

void uring_watch(struct uring *uring, int fd, struct uring_op *op)
{
	struct io_uring_sqe *sqe = uring_sqe(uring);

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	uring_sqe_bind(sqe, op);
	uring->own_cnt++;
	uring->new_watch_cnt++;
}

void uring_cancel(struct uring *uring, struct uring_op *target, struct uring_op *op)
{
	struct io_uring_sqe *sqe = uring_sqe(uring);

	io_uring_prep_cancel(sqe, target, 0);
	uring_sqe_bind(sqe, op);
	uring->own_cnt++;
}

void uring_own_ended(struct uring *uring)
{
	uring->own_cnt--;
}

/* Only what is there now: what the callbacks bring about is for the next turn. */
static unsigned uring_reap(struct uring *uring)
{
	struct io_uring_cq *cq = &uring->ring.cq;
	const unsigned tail = io_uring_smp_load_acquire(cq->ktail);
	unsigned head = *cq->khead;
	const unsigned cnt = tail - head;
	struct uring_op *op;
	uint32_t flags;
	int res;

	while (head != tail) {
		const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];

		op = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		flags = cqe->flags;
		/* Given back before done() runs, which may enter the ring and make it move on. */
		io_uring_smp_store_release(cq->khead, ++head);
		if (!(flags & IORING_CQE_F_MORE))
			uring->pending--;
		op->done(op, res, flags);
	}
	return cnt;
}

unsigned uring_turn(struct uring *uring)
{
	uring->new_watch_cnt = 0;
	if (io_uring_sq_ready(&uring->ring) > 0 ||
	    (uring_flags(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) {
		stat_inc(uring->entry_stat);
		uring_judge(uring, io_uring_submit_and_get_events(&uring->ring));
	}
	return uring_reap(uring);
}

void uring_wait(struct uring *uring, uint64_t timeout_ns)
{
	struct __kernel_timespec ts;
	struct __kernel_timespec *until = NULL;
	struct io_uring_cqe *cqe;

	if (timeout_ns != NO_DEADLINE) {
		ts.tv_sec = (long long)(timeout_ns / NS_PER_S);
		ts.tv_nsec = (long long)(timeout_ns % NS_PER_S);
		until = &ts;
	}
	stat_inc(uring->entry_stat);
	uring_judge(uring, io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, until, NULL));
}
