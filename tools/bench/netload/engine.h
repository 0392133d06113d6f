/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load of `pario-bench net`: lanes (a queue pair of a port), the workers that drive them, and
 * what they have counted.
 * It connects to nothing, prints nothing and judges no contents.
 *
 * Theory of operation
 *
 * 1. A lane belongs to one worker. Nothing is shared in the hot loop.
 * 2. A worker goes from WARMUP to MEASURE to DRAIN by the clock, at the same ticks as all others.
 *    Frames that are sent while measuring carry a mark, so that those still on their way when
 *    sending ends are not taken for lost: DRAIN ends when all marked ones have come or none has
 * come for a while.
 * 3. Before all that, each port sends a frame from each of its addresses, so that a switch knows
 *    where they are.
 * 4. By call, a receive queue is asleep (armed) or awake. Asleep it is not taken from, whatever is
 *    in its ring, until its call fd has counted: the load sees calls as a guest does, however often
 *    the thread is awake to send. Awake it is taken from until it gives less than a whole burst,
 *    and armed again at once. That the used index stands still spares the look at the fd.
 * 5. A rate is a schedule: frames have due times, and what is due is sent, at most a burst at once.
 *    What is more than a millisecond late is left out and counted. Latency begins when a frame is
 *    built, not when it was due: how late frames were is told beside it.
 */
#ifndef PARIO_BENCH_NETLOAD_ENGINE_H
#define PARIO_BENCH_NETLOAD_ENGINE_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/histogram.h"
#include "clock.h"
#include "netload/looks.h"
#include "netload/session.h"
#include "netload/verify.h"
#include "random.h"

enum netload_phase { NETLOAD_WARMUP, NETLOAD_MEASURE, NETLOAD_DRAIN, NETLOAD_DONE };

struct netload_lane {
	struct netload_port *port;
	struct net_queue *rx, *tx;
	struct frame_gen *gen;
	unsigned int port_idx;
	bool sends;
	bool asleep; /* by call: the receive queue is armed, and the call has not come */
	int looks;   /* number of the receive queue; -1: order is not judged */
	uint32_t hello_left;

	uint64_t interval_ticks, due_ticks; /* of frames; interval 0: no rate */
	struct random spacing;
	uint64_t sent_ticks; /* progress of a full ring */

	/* While measuring. */
	uint64_t sent_cnt, sent_bytes;
	uint64_t received_cnt, received_bytes;
	uint64_t kick_cnt, rx_call_cnt, tx_call_cnt;
	uint64_t returned_cnt;    /* received on the pair that the flow is sent from here */
	uint64_t skipped_cnt;     /* due, and left out */
	struct histogram late_ns; /* behind their due times */
	/* Always. */
	uint64_t marked_cnt;  /* received, sent while measuring */
	uint64_t foreign_cnt; /* received, not ours */
	uint64_t reported;    /* part of marked_cnt that is in engine->came */
	struct histogram latency_ns;
};

struct netload_worker {
	struct netload_engine *engine;
	struct netload_lane *lane;
	unsigned int lane_cnt;
	int cpu; /* -1: not pinned */
	pthread_t thread;
	bool started;

	enum netload_phase phase;
	uint64_t idle_since_ticks; /* 0: not idle */
	uint64_t came_ticks;       /* a frame, last */
	/* Room for idle_called(): two ports, two rings of each pair. */
	struct pollfd call_poll[4 * NETLOAD_PAIR_MAX];
	struct front_queue *call_fq[4 * NETLOAD_PAIR_MAX];
};

struct netload_engine {
	struct netload_session *session;
	const struct netload_opts *opts;
	struct bench_clock clock;
	struct netload_lane *lane;
	unsigned int lane_cnt;
	struct netload_worker *worker;
	unsigned int worker_cnt;
	struct netload_verify verify;
	struct netload_looks looks;

	uint64_t measure_start_ticks, measure_end_ticks, quiet_ticks, timeout_ticks;
	atomic_uint sending; /* workers that may still send marked frames */
	atomic_uint running;
	atomic_uint_fast64_t sent, came; /* marked frames, known once sending is 0 */
	atomic_bool stop;
	pthread_mutex_t fail_lock;
	bool failed;
	char error[512];
};

/* Sums of one direction; from[0]: sent by the first socket. */
struct netload_sums {
	uint64_t sent_cnt, sent_bytes, received_cnt, received_bytes, marked_cnt;
	uint64_t returned_cnt, skipped_cnt;
	struct histogram latency_ns, late_ns;
};

struct netload_result {
	struct netload_sums from[2];
	unsigned int from_cnt; /* directions with frames */
	bool counted;          /* what was sent was to come back */
	uint64_t kick_cnt, rx_call_cnt, tx_call_cnt, foreign_cnt;
	double seconds;
	double server_cpu_s; /* negative: not known */
};

/* 0 or -ENOMEM. Then run; fini in any case. */
int netload_engine_init(struct netload_engine *e, struct netload_session *s);
void netload_engine_fini(struct netload_engine *e);
/* Starts the threads, watches over them and returns when they have ended. */
void netload_engine_run(struct netload_engine *e, struct netload_result *r);

/* First reason only; any thread. Workers end soon after. */
void netload_engine_fail(struct netload_engine *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* load.c: the loop of a worker. */
void netload_worker_run(struct netload_worker *w);

#endif
