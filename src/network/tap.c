/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap as its users see it: opened, closed, counted.
 * Not its queues (tap_queue.c, tap_tx.c, tap_write.c), nor the interface (tap_open.c).
 */
#include "network/tap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fdio.h"
#include "network/tap_priv.h"

#define ROW(member, unit, help)                                                       \
	{                                                                             \
#member, unit, help, offsetof(struct tap_stats, member), STAT_COUNTER \
	}

const struct stat_row tap_stat_rows[] = {
	ROW(tx_frames, "frames", "Frames given to the kernel."),
	ROW(tx_bytes, "bytes", "Bytes of these."),
	ROW(rx_frames, "frames", "Frames from the kernel."),
	ROW(rx_bytes, "bytes", "Bytes of these."),
	ROW(tx_errors, "frames",
	    "Frames that the kernel refused: the interface is down or gone, or the frame too "
	    "long."),
	ROW(tx_full, "frames", "Frames dropped because the kernel had too many already."),
	ROW(rx_errors, "reads", "Reads that failed."),
	ROW(rx_bad_header, "frames",
	    "Frames from the kernel whose vnet header does not fit the frame."),
	{"lost", "interfaces", "1 once the interface is gone.", offsetof(struct tap_stats, lost),
	 STAT_GAUGE},
};
const unsigned tap_stat_row_cnt = ARRAY_LEN(tap_stat_rows);

static void tap_free(struct tap *tap)
{
	for (unsigned i = 0; tap->queues && i < tap->queue_cnt; i++) {
		fdio_close(&tap->queues[i].fd);
		tap_queue_fini(&tap->queues[i]);
	}
	free(tap->queues);
	free(tap->tag);
	free(tap);
}

static void tap_queue_started(struct worker_call *call)
{
	struct tap *tap = container_of(call, struct tap_queue, start)->tap;

	/* Nobody sends to a queue before it is there. */
	if (++tap->started_cnt == tap->queue_cnt)
		netport_set_receivers(tap->port, tap->queue_cnt);
}

static void tap_port_closed(void *arg)
{
	struct tap *tap = arg;
	void (*closed)(void *arg) = tap->closed;
	void *closed_arg = tap->closed_arg;

	tap_free(tap);
	closed(closed_arg);
}

static void tap_queue_stopped(struct worker_call *call)
{
	struct tap *tap = container_of(call, struct tap_queue, stop)->tap;

	if (++tap->stopped_cnt == tap->queue_cnt)
		netport_close(tap->port, tap_port_closed, tap);
}

static int tap_queues_new(struct tap *tap, const struct tap_options *options, struct err *err)
{
	int status = 0;

	tap->queues = aligned_alloc(CACHE_LINE_BYTES, options->queues * sizeof(*tap->queues));
	if (!tap->queues)
		return err_set(err, ENOMEM, "out of memory");
	memset(tap->queues, 0, options->queues * sizeof(*tap->queues));
	tap->queue_cnt = options->queues;
	for (unsigned i = 0; i < tap->queue_cnt; i++)
		tap->queues[i].fd = -1;
	for (unsigned i = 0; i < tap->queue_cnt && status == 0; i++) {
		struct tap_queue *queue = &tap->queues[i];
		const unsigned worker_idx = (i + options->worker_shift) % options->worker_cnt;

		queue->tap = tap;
		queue->idx = i;
		queue->worker = options->workers[worker_idx];
		queue->exchange = fabric_exchange(options->fabric, queue->worker);
		queue->poller.mode = options->poll_mode;
		queue->poller.poll_max_ns = options->poll_max_ns;
		queue->start.run_on_worker = tap_queue_start_on_worker;
		queue->start.done_on_control = tap_queue_started;
		queue->stop.run_on_worker = tap_queue_stop_on_worker;
		queue->stop.done_on_control = tap_queue_stopped;
		status = tap_queue_init(queue, err);
	}
	return status;
}

static int tap_judge(const struct tap_options *options, struct err *err)
{
	if (options->queues < 1 || options->queues > NETPORT_QUEUES_MAX)
		return err_set(err, EINVAL, "queues: %u is not from 1 to %d", options->queues,
			       NETPORT_QUEUES_MAX);
	if (options->worker_cnt == 0)
		return err_set(err, EINVAL, "workers: there is none");
	return 0;
}

int tap_open(const struct tap_options *options, struct tap **out, struct err *err)
{
	struct tap *tap;
	int status = tap_judge(options, err);

	if (status < 0)
		return status;
	tap = calloc(1, sizeof(*tap));
	if (!tap)
		return err_set(err, ENOMEM, "out of memory");
	tap->offloads = options->offloads;
	if (asprintf(&tap->tag, "uplink %s", options->name) < 0) {
		tap->tag = NULL;
		status = err_set(err, ENOMEM, "out of memory");
	}
	if (status == 0)
		status = tap_queues_new(tap, options, err);
	if (status == 0)
		status = tap_interface_open(tap, options, err);
	if (status == 0)
		status = netport_open(&options->port, &tap->port, err);
	if (status < 0) {
		tap_free(tap);
		return status;
	}
	for (unsigned i = 0; i < tap->queue_cnt; i++)
		worker_call(tap->queues[i].worker, &tap->queues[i].start);
	*out = tap;
	return 0;
}

void tap_close(struct tap *tap, void (*closed)(void *arg), void *arg)
{
	tap->closed = closed;
	tap->closed_arg = arg;
	for (unsigned i = 0; i < tap->queue_cnt; i++)
		worker_call(tap->queues[i].worker, &tap->queues[i].stop);
}

struct netport *tap_port(const struct tap *tap)
{
	return tap->port;
}

const char *tap_ifname(const struct tap *tap)
{
	return tap->ifname;
}

void tap_stats(const struct tap *tap, struct tap_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned i = 0; i < tap->queue_cnt; i++)
		stat_sum(sum, &tap->queues[i].stats, sizeof(*sum));
	sum->lost = sum->lost > 0;
}
