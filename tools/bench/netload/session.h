/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to one or two vhost-user-net ports, negotiated, with memory, queues and frames.
 * It does set-up and tear-down on the main thread; the load is engine.c's.
 */
#ifndef PARIO_BENCH_NETLOAD_SESSION_H
#define PARIO_BENCH_NETLOAD_SESSION_H

#include "driver/net.h"
#include "netload/frame.h"
#include "netload/opts.h"

struct netload_port {
	struct front *front;
	struct shm *shm;
	struct net_config config; /* zero when the back end has none to read */
	struct ring_opts ring_opts;
	bool mergeable;
	uint32_t rx_buffer_bytes; /* of each */

	/* By pair; rx and tx are NULL where there is nothing to post or to send. */
	struct front_queue *rx_fq[NETLOAD_PAIR_MAX], *tx_fq[NETLOAD_PAIR_MAX];
	struct net_queue *rx[NETLOAD_PAIR_MAX], *tx[NETLOAD_PAIR_MAX];
	struct frame_gen gen[NETLOAD_PAIR_MAX];
};

struct netload_session {
	const struct netload_opts *opts;
	struct netload_port port[2];
	unsigned int port_cnt;
	pid_t server_pid; /* 0: not known */
	char error[384];
};

/*
 * An enum bench_status. BENCH_USAGE has printed its line; BENCH_FAILED has it in s->error.
 * netload_session_close() is due in any case.
 */
int netload_session_start(struct netload_session *s, const struct netload_opts *opts);
/* Stops all queues; the back ends have let go of the rings when this returns. */
int netload_session_stop(struct netload_session *s);
void netload_session_close(struct netload_session *s);

/* Frames of the slot: the size asked for, or imix by the slot's number. */
uint32_t netload_frame_bytes(const struct netload_opts *o, unsigned int slot);

/* A generator's options for a pair of a port. */
struct frame_opts netload_frame_opts(const struct netload_opts *o, unsigned int port,
				     unsigned int pair);

#endif
