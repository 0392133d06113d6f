/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load: worker threads that keep queues full, and what they count.
 * It knows neither options' spelling nor reports.
 *
 * Theory of operation
 *
 * A lane is one queue; a worker is one thread with the lanes that it drives, and nobody else
 * touches them while it runs. A turn of a lane takes up to ENGINE_BURST completions, then fills the
 * free slots and publishes them at once, with at most one kick. No allocation, lock or syscall is
 * in a turn, but the kick where the device wants one.
 *
 * Each worker goes through phases by its own reading of the clock:
 *   WARMUP   requests run and are not counted
 *   MEASURE  completions count; ends at its time, or when all requests of --ios are done
 *   FINAL    verify only: everything known is read back and compared
 *   DRAIN    no new requests; ends when none is in flight
 * The main thread only watches: the socket, error fds, progress, the server's CPU clock. Stopping
 * early and failing are one flag and one text, first come first kept.
 */
#ifndef PARIO_BENCH_ENGINE_H
#define PARIO_BENCH_ENGINE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "clock.h"
#include "driver/blk.h"
#include "random.h"
#include "session.h"

#define ENGINE_BURST 32u

enum op_kind { OP_READ, OP_WRITE, OP_DISCARD, OP_ZEROES, OP_FLUSH, OP_MAX_ };
extern const char *const op_kind_name[OP_MAX_];

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_FINAL, PHASE_DRAIN, PHASE_DONE };

struct op_stats {
	uint64_t ios;
	uint64_t bytes;
	struct histogram latency_ns;
};

/* A request in flight, by slot. */
struct op {
	uint64_t start_ticks;
	uint64_t sector; /* of the disk */
	uint32_t bytes;  /* of the disk that it covers */
	uint16_t kind;   /* enum op_kind */
	bool measured;   /* started in MEASURE, so that it counts when it completes */
};

struct verify;
struct verify_op;

struct lane {
	struct blk_queue *bq;
	struct ring *ring;
	struct op *op;
	uint16_t *free_slot; /* stack */
	uint32_t free_cnt;
	uint32_t depth;
	uint64_t next_sector, first_sector, end_sector; /* sequential: this lane's slice */
	uint64_t ios_left;                              /* in MEASURE, with --ios */
	uint64_t due_ticks;          /* --rate: when the next request may start */
	uint64_t progress_ticks;     /* last completion, or start from idle */
	uint64_t kick_cnt, call_cnt; /* at the start of MEASURE, then of MEASURE */
	struct verify_op *verify_op; /* by slot */
	uint64_t final_chunk;        /* verify: taken and not yet read; UINT64_MAX: none */
} __attribute__((aligned(64)));

struct worker {
	struct engine *engine;
	struct lane *lane;
	unsigned int lane_cnt;
	int cpu; /* -1: not pinned */
	enum phase phase;
	uint64_t phase_end_ticks; /* UINT64_MAX: not by time */
	uint64_t measure_end_ticks;
	struct random rng;
	uint64_t idle_since_ticks;                         /* 0: not idle */
	atomic_uint_fast64_t progress_ios, progress_bytes; /* read by the main thread */
	struct op_stats stats[OP_MAX_];
	pthread_t thread;
	bool started;
} __attribute__((aligned(128)));

struct engine {
	struct session *session;
	const struct bench_opts *opts;
	struct bench_clock clock;
	struct verify *verify; /* NULL but in verify mode */
	struct worker *worker;
	unsigned int worker_cnt;
	struct lane *lane; /* of all workers */
	struct op *op;
	uint16_t *free_slot;

	/* Derived, constant while running. */
	bool sequential, discards;
	uint32_t read_percent;
	uint64_t positions; /* of a request of one size; 0 when sizes vary */
	uint32_t sectors_min, sectors_max;
	uint64_t interval_ticks; /* --rate: of one lane */
	uint64_t timeout_ticks;

	uint64_t start_ticks, measure_start_ticks; /* set before the threads go */
	uint64_t start_ns;
	sem_t go;
	atomic_bool stop;
	atomic_uint running;   /* workers that have not ended */
	atomic_uint measuring; /* workers that have not come to the end of MEASURE */
	pthread_mutex_t fail_lock;
	bool failed;
	char error[384];
};

/* Sum over all workers, after they have ended. */
struct engine_result {
	double seconds; /* of MEASURE */
	struct op_stats kind[OP_MAX_];
	struct op_stats total;
	uint64_t kick_cnt, call_cnt;
};

/* 0 or -ENOMEM. */
int engine_init(struct engine *e, struct session *s);
void engine_fini(struct engine *e);
/* Starts the threads; 0 or -errno with e->error set. */
int engine_start(struct engine *e);
void engine_join(struct engine *e);
void engine_sum(struct engine *e, struct engine_result *r);

/* Keeps the first reason and stops all workers. */
void engine_fail(struct engine *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
