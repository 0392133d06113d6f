/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to one vhost-user-blk back end, negotiated, with memory and queues as asked for.
 * It does set-up and tear-down on the main thread; the load is engine.c's.
 */
#ifndef PARIO_BENCH_SESSION_H
#define PARIO_BENCH_SESSION_H

#include <stdint.h>

#include "driver/blk.h"
#include "options.h"

struct session {
	const struct bench_opts *opts;
	struct front *front;
	struct shm *shm;
	struct blk_config config;
	pid_t server_pid; /* 0: not known */

	/* What the options come to on this device. */
	uint64_t first_sector, sector_cnt; /* of the disk: the part that is used */
	uint32_t align_sectors;            /* of offsets and lengths */
	bool indirect;
	struct ring_opts ring_opts;
	struct blk_queue_opts blk_opts;

	struct front_queue *fq[BENCH_QUEUE_MAX];
	struct blk_queue *bq[BENCH_QUEUE_MAX];
	unsigned int queue_cnt; /* made so far */

	char error[384];
};

/*
 * Both return an enum bench_status. BENCH_USAGE has printed its line; BENCH_FAILED has it in
 * s->error. session_close() is due in any case.
 */
int session_connect(struct session *s, const struct bench_opts *opts);
int session_start(struct session *s);
/* Stops all queues and holds the bases that come back against what was sent. */
int session_stop(struct session *s);
void session_close(struct session *s);

/* BENCH_FAILED, with the text in s->error. */
int session_fail(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
