/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes of a tap's queue: queued in the worker's ring, or made at once; and their ends.
 * Not what is written (tap_tx.c).
 *
 * Theory of operation
 *
 * 1. deliver() queues a write for each frame, straight from where the sender has it, and the
 *    worker's one entry of this turn hands all of them to the kernel. Until the write has ended the
 *    queue has the frame, a slot of TAP_WRITES, and the head in it if that is not the sender's.
 * 2. Order: the kernel makes the writes of an entry one after another within the entry (seen on
 *    Linux 6.1 and 6.18), for a tap that is open without waits (O_NONBLOCK) takes a frame at once,
 *    and never has too many (TUNSETSNDBUF, tap_open.c). IOSQE_ASYNC would end that.
 * 3. Made at once, behind all that is queued, with a call of its own: a write when no slot is free,
 *    or in too many pieces, or of a frame that another worker's exchange does not let us keep. So
 *    nothing is dropped for want of a slot, and order is kept.
 * 4. The file is not registered with the ring. Linux 6.1 would let go of it up to a second after
 *    the end (uring_file_put): until then an interface that we made would stay, and one that we
 *    attached would be busy for the next to attach it, which no message to the kernel can help.
 *    What that costs of a frame of 60 B (1514 B), in batches of 32, Linux 6.18 without page table
 *    isolation: 729 (820) ns, registered 684 (757); a call for each 676 (724). Where an entry into
 *    the kernel costs more than the 100 ns of that machine, the batch is what is cheaper.
 * 5. A frame in one piece, header and all, is a plain write: 27 ns less than one of pieces.
 */
#include <errno.h>
#include <stdlib.h>

#include "network/tap_priv.h"

static void write_done(struct uring_op *op, int res, uint32_t cqe_flags);

int tap_writes_init(struct tap_queue *queue, struct err *err)
{
	queue->direct.queue = queue;
	queue->direct.pieces = queue->direct_pieces;
	queue->direct.pieces_max = IOV_MAX;
	queue->writes = calloc(TAP_WRITES, sizeof(*queue->writes));
	if (!queue->writes)
		return err_set(err, ENOMEM, "out of memory");
	for (unsigned i = TAP_WRITES; i-- > 0;) {
		struct tap_write *write = &queue->writes[i];

		write->op.done = write_done;
		write->queue = queue;
		write->pieces = write->own_pieces;
		write->pieces_max = TAP_WRITE_PIECES;
		write->next_free = queue->free_writes;
		queue->free_writes = write;
	}
	return 0;
}

void tap_writes_fini(struct tap_queue *queue)
{
	free(queue->writes);
}

/* res: bytes, or -errno. */
static bool write_judge(struct tap_queue *queue, ssize_t res, uint32_t bytes)
{
	if (likely(res >= 0)) {
		stat_inc(&queue->stats.tx_frames);
		stat_add(&queue->stats.tx_bytes, bytes);
		return true;
	}
	if (res == -EAGAIN || res == -ENOBUFS) {
		stat_inc(&queue->stats.tx_full);
		return false;
	}
	stat_inc(&queue->stats.tx_errors);
	if (res == -EBADFD || res == -ENODEV)
		tap_queue_lose(queue);
	return false;
}

static void write_free(struct tap_write *write)
{
	write->next_free = write->queue->free_writes;
	write->queue->free_writes = write;
}

static void write_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct tap_write *write = container_of(op, struct tap_write, op);
	struct tap_write *first = write->first;
	struct tap_queue *queue = write->queue;

	(void)cqe_flags;
	write_judge(queue, res, write->bytes);
	queue->writing_cnt--;
	if (write != first)
		write_free(write);
	if (--first->left_cnt == 0) {
		exchange_put_kept(queue->exchange, first->frame);
		write_free(first);
	}
	if (unlikely(queue->stopping))
		tap_queue_ended(queue);
}

/* Behind all that is queued. */
static bool write_now(struct tap_write *write, unsigned piece_cnt)
{
	struct tap_queue *queue = write->queue;
	ssize_t got;

	if (queue->writing_cnt > 0)
		uring_submit_all(worker_uring(queue->worker));
	got = writev(queue->fd, write->pieces, (int)piece_cnt);
	return write_judge(queue, got < 0 ? -errno : got, write->bytes);
}

static void write_queue(struct tap_write *write, unsigned piece_cnt)
{
	struct tap_queue *queue = write->queue;
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(queue->worker));

	if (piece_cnt == 1)
		io_uring_prep_write(sqe, queue->fd, write->pieces[0].iov_base,
				    (unsigned)write->pieces[0].iov_len, 0);
	else
		io_uring_prep_writev(sqe, queue->fd, write->pieces, piece_cnt, 0);
	uring_sqe_bind(sqe, &write->op);
	queue->free_writes = write->next_free;
	queue->writing_cnt++;
}

bool tap_write_send(struct tap_write *write, unsigned piece_cnt, uint32_t bytes,
		    struct frame *frame, struct tap_write **first)
{
	struct tap_queue *queue = write->queue;

	write->bytes = bytes;
	if (unlikely(write == &queue->direct ||
		     (!*first && !exchange_may_keep(queue->exchange, frame))))
		return write_now(write, piece_cnt);
	if (!*first) {
		*first = write;
		write->frame = frame;
		write->left_cnt = 0;
	}
	write->first = *first;
	write->first->left_cnt++;
	write_queue(write, piece_cnt);
	return true;
}
