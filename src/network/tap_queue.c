/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of a tap on its worker: its start and its end, and frames from the kernel.
 * Not frames to the kernel (tap_tx.c).
 *
 * Theory of operation
 *
 * 1. The poller reads up to a burst of frames and sends it, until the kernel has none. Then a
 *    one-shot poll for input is armed in the worker's ring, whose completion makes it read again:
 *    an idle queue costs nothing, hot or cold, and a busy one arms nothing.
 * 2. Reads are readv calls, one a frame, for each way to read in io_uring costs more. A frame of
 *    60 B (1514 B), in batches of 32, Linux 6.18: readv 505 (535) ns. Reads in the ring without a
 *    wait (RWF_NOWAIT): 585 (620), on a registered file 540 (575); Linux 6.1 refuses these on a tap
 *    (EOPNOTSUPP). Reads that may wait, in a chain (IOSQE_IO_HARDLINK) so that they are in order
 *    and one alone waits: 840 (885), on a registered file 795 (835). Those that wait without a
 *    chain are all woken by each frame, and O_NONBLOCK does not keep them from waiting.
 * 3. With no frame free the queue is `starved` and reads on when one returns: the kernel's queue
 *    fills up, and drops.
 * 4. An interface that was deleted is told by POLLERR, or by EBADFD. Then nothing is armed or read
 *    any more, and what is to be written is dropped and counted.
 * 5. Stopping: no more deliveries, no more reads; acknowledged when the poll and all writes have
 *    ended and all frames are back.
 */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include "base/log.h"
#include "network/tap_priv.h"

static const struct poller_ops rx_poller_ops;
static void rx_refilled(struct frame_pool *pool);
static void watch_done(struct uring_op *op, int res, uint32_t cqe_flags);
static void cancel_done(struct uring_op *op, int res, uint32_t cqe_flags);

static struct tap_queue *tap_of_poller(struct poller *poller)
{
	return container_of(poller, struct tap_queue, poller);
}

int tap_queue_init(struct tap_queue *queue, struct err *err)
{
	int status;

	queue->receiver.ops = &tap_netport_ops;
	queue->poller.ops = &rx_poller_ops;
	queue->watch.done = watch_done;
	queue->cancel.done = cancel_done;
	queue->pool.refilled = rx_refilled;
	status = tap_writes_init(queue, err);
	if (status < 0)
		return status;
	return frame_pool_init(&queue->pool, queue->exchange, err);
}

void tap_queue_fini(struct tap_queue *queue)
{
	frame_pool_fini(&queue->pool);
	tap_writes_fini(queue);
}

void tap_queue_lose(struct tap_queue *queue)
{
	if (queue->lost)
		return;
	queue->lost = true;
	stat_inc(&queue->stats.lost);
	if (!__atomic_exchange_n(&queue->tap->lost, true, __ATOMIC_RELAXED))
		log_error(queue->tap->tag,
			  "interface %s is gone; frames for it are dropped until this uplink is "
			  "removed and added again",
			  queue->tap->ifname);
}

void tap_queue_ended(struct tap_queue *queue)
{
	if (!queue->stopping || queue->watching || queue->cancelling || queue->writing_cnt > 0 ||
	    queue->pool.out_cnt > 0)
		return;
	queue->stopping = false;
	worker_poller_remove(&queue->poller);
	worker_call_ack(&queue->stop);
}

/* Takes what was read, header and frame, if the one fits the other. */
static bool rx_accept(struct tap_queue *queue, struct pool_frame *own, size_t bytes)
{
	if (bytes < sizeof(queue->header) + ETHER_HEADER_BYTES ||
	    bytes > sizeof(queue->header) + FRAME_BYTES_MAX)
		return false;
	bytes -= sizeof(queue->header);
	frame_pool_take(&queue->pool, (uint32_t)bytes,
			(uint16_t)(bytes < FRAME_HEAD_BYTES ? bytes : FRAME_HEAD_BYTES));
	if (tap_header_judge(&own->frame, &queue->header))
		return true;
	frame_pool_put(&queue->pool, &own->frame);
	return false;
}

/* After a read that failed. */
static void rx_failed(struct tap_queue *queue)
{
	if (errno == EAGAIN || errno == EINTR)
		return;
	stat_inc(&queue->stats.rx_errors);
	if (errno == EBADFD || errno == ENODEV || ++queue->errors_in_row >= TAP_RX_ERRORS_MAX)
		tap_queue_lose(queue);
}

/* Up to a burst. *drained: the kernel has no more, or there is no use in asking. */
static unsigned rx_read(struct tap_queue *queue, struct frame **burst, bool *drained)
{
	struct pool_frame *own;
	unsigned cnt = 0;

	for (unsigned i = 0; i < NETPORT_BURST && (own = frame_pool_next(&queue->pool)); i++) {
		const struct iovec iov[] = {
			{&queue->header, sizeof(queue->header)},
			{own->frame.head, FRAME_HEAD_BYTES},
			{own->data.iov_base, FRAME_POOL_DATA_BYTES},
		};
		const ssize_t got = readv(queue->fd, iov, ARRAY_LEN(iov));

		if (got < 0) {
			rx_failed(queue);
			*drained = true;
			break;
		}
		queue->errors_in_row = 0;
		if (unlikely(!rx_accept(queue, own, (size_t)got))) {
			stat_inc(&queue->stats.rx_bad_header);
			continue;
		}
		stat_inc(&queue->stats.rx_frames);
		stat_add(&queue->stats.rx_bytes, own->frame.bytes);
		burst[cnt++] = &own->frame;
	}
	return cnt;
}

static void rx_refilled(struct frame_pool *pool)
{
	struct tap_queue *queue = container_of(pool, struct tap_queue, pool);

	if (queue->stopping) {
		tap_queue_ended(queue);
	} else if (queue->starved) {
		queue->starved = false;
		worker_poller_wake(&queue->poller);
	}
}

static void rx_watch(struct tap_queue *queue)
{
	struct io_uring_sqe *sqe = uring_sqe(worker_uring(queue->worker));

	io_uring_prep_poll_add(sqe, queue->fd, POLLIN);
	uring_sqe_bind(sqe, &queue->watch);
	queue->watching = true;
}

static void watch_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct tap_queue *queue = container_of(op, struct tap_queue, watch);

	(void)cqe_flags;
	queue->watching = false;
	if (queue->stopping) {
		tap_queue_ended(queue);
		return;
	}
	if (res < 0)
		stat_inc(&queue->stats.rx_errors);
	if (res < 0 || (res & (POLLERR | POLLHUP | POLLNVAL)))
		tap_queue_lose(queue);
	else
		worker_poller_wake(&queue->poller);
}

static void cancel_done(struct uring_op *op, int res, uint32_t cqe_flags)
{
	struct tap_queue *queue = container_of(op, struct tap_queue, cancel);

	(void)res;
	(void)cqe_flags;
	queue->cancelling = false;
	tap_queue_ended(queue);
}

static bool rx_can_read(const struct tap_queue *queue)
{
	return !queue->watching && !queue->lost && !queue->stopping && !queue->starved;
}

static unsigned rx_poll(struct poller *poller, uint64_t now_ns)
{
	struct tap_queue *queue = tap_of_poller(poller);
	struct frame *burst[NETPORT_BURST];
	bool drained = false;
	unsigned cnt;

	if (!rx_can_read(queue))
		return 0;
	cnt = rx_read(queue, burst, &drained);
	if (cnt > 0)
		frame_pool_send(&queue->pool, queue->tap->port, burst, cnt, now_ns);
	if (queue->lost)
		return cnt;
	if (drained)
		rx_watch(queue);
	else if (!frame_pool_next(&queue->pool))
		queue->starved = true;
	return cnt;
}

static bool rx_prepare_sleep(struct poller *poller)
{
	return rx_can_read(tap_of_poller(poller));
}

static void rx_cancel_sleep(struct poller *poller)
{
	(void)poller;
}

static const struct poller_ops rx_poller_ops = {
	.poll = rx_poll,
	.prepare_sleep = rx_prepare_sleep,
	.cancel_sleep = rx_cancel_sleep,
};

void tap_queue_start_on_worker(struct worker *worker, struct worker_call *call)
{
	struct tap_queue *queue = container_of(call, struct tap_queue, start);

	netport_queue_open(&queue->receiver, queue->tap->port, queue->idx, queue->exchange);
	worker_poller_add(worker, &queue->poller);
	worker_call_ack(call);
}

void tap_queue_stop_on_worker(struct worker *worker, struct worker_call *call)
{
	struct tap_queue *queue = container_of(call, struct tap_queue, stop);
	struct io_uring_sqe *sqe;

	netport_queue_close(&queue->receiver, false);
	queue->stopping = true;
	/* Writes end by themselves, unless the kernel makes them wait. */
	if (queue->watching || queue->writing_cnt > 0) {
		sqe = uring_sqe(worker_uring(worker));
		io_uring_prep_cancel_fd(sqe, queue->fd, IORING_ASYNC_CANCEL_ALL);
		uring_sqe_bind(sqe, &queue->cancel);
		queue->cancelling = true;
	}
	tap_queue_ended(queue);
}
