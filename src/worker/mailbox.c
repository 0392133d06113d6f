/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages to a worker: calls that it runs, and their acknowledgement to control.
 * Not the loop: worker.c decides when the mailbox is looked at.
 *
 * Theory of operation
 *
 * 1. The inbox is a stack that any thread pushes to and only the owner takes, all at once: no
 *    lock, no allocation, no ABA. The owner reverses what it took, so the calls of one sender run
 *    in the order they were sent. A push publishes the call (release), the take sees it (acquire).
 * 2. INBOX_WAKE. The sender pushes, then looks at `sleeping`. The owner that wants to sleep sets
 *    `sleeping`, then looks at the inbox. All four are sequentially consistent, so at least one of
 *    the two sees the other: either the owner does not sleep or the sender rings.
 * 3. Whoever clears `sleeping` rings: of many senders to a sleeping owner one makes the syscall.
 * 4. The bell is an eventfd under a multishot poll in the owner's ring. It is never read: each
 *    write is an event of its own, and the count has room for 2^64 of them.
 * 5. An awake owner pays one relaxed load a turn; a sender pays one locked instruction.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fdio.h"
#include "worker/worker_priv.h"

int mailbox_open(struct mailbox *mailbox, struct err *err)
{
	mailbox->inbox = NULL;
	mailbox->sleeping = 0;
	mailbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mailbox->wake_fd < 0)
		return err_set(err, errno, "cannot make an eventfd: %m");
	return 0;
}

void mailbox_close(struct mailbox *mailbox)
{
	fdio_close(&mailbox->wake_fd);
}

static void mailbox_rang(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct mailbox *mailbox = container_of(op, struct mailbox, wake);

	/* That the worker woke up was all that it is for. */
	(void)res;
	if (cqe_flags & IORING_CQE_F_MORE)
		return;
	uring_own_ended(mailbox->uring);
	uring_watch(mailbox->uring, mailbox->wake_fd, &mailbox->wake);
}

void mailbox_watch(struct mailbox *mailbox, struct uring *uring)
{
	mailbox->uring = uring;
	mailbox->wake.done = mailbox_rang;
	uring_watch(uring, mailbox->wake_fd, &mailbox->wake);
}

void mailbox_push(struct mailbox *mailbox, struct worker_call *call)
{
	struct worker_call *head = load_relaxed(&mailbox->inbox);

	do {
		call->next = head;
	} while (!__atomic_compare_exchange_n(&mailbox->inbox, &head, call, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	/* INBOX_WAKE */
	if (__atomic_load_n(&mailbox->sleeping, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&mailbox->sleeping, 0, __ATOMIC_SEQ_CST))
		(void)fdio_signal(mailbox->wake_fd); /* an eventfd of our own: cannot fail */
}

struct worker_call *mailbox_take(struct mailbox *mailbox)
{
	struct worker_call *call = __atomic_exchange_n(&mailbox->inbox, NULL, __ATOMIC_ACQUIRE);
	struct worker_call *ordered = NULL;
	struct worker_call *next;

	for (; call; call = next) {
		next = call->next;
		call->next = ordered;
		ordered = call;
	}
	return ordered;
}

bool mailbox_sleep(struct mailbox *mailbox)
{
	/* INBOX_WAKE */
	__atomic_store_n(&mailbox->sleeping, 1, __ATOMIC_SEQ_CST);
	if (likely(!__atomic_load_n(&mailbox->inbox, __ATOMIC_SEQ_CST)))
		return true;
	store_relaxed(&mailbox->sleeping, 0);
	return false;
}

void mailbox_awake(struct mailbox *mailbox)
{
	store_relaxed(&mailbox->sleeping, 0);
}

static void worker_call_acked(struct evloop_post *post)
{
	struct worker_call *call = container_of(post, struct worker_call, post);

	call->done_on_control(call);
}

void worker_call(struct worker *worker, struct worker_call *call)
{
	call->worker = worker;
	call->post.run = worker_call_acked;
	mailbox_push(&worker->mailbox, call);
}

void worker_call_ack(struct worker_call *call)
{
	evloop_post(call->worker->control, &call->post);
}
