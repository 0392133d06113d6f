/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front end with one started queue, for the small programs of compare.py: what they share.
 * Failures end the program with a line; nothing here is a test.
 */
#ifndef PARIO_TESTS_BENCH_FRONT_H
#define PARIO_TESTS_BENCH_FRONT_H

#include <stdint.h>

#include "driver/blk.h"

struct bench_front {
	struct front *front;
	struct front_queue *fq;
	struct blk_queue *q;
	struct shm *shm;
};

__attribute__((format(printf, 1, 2), noreturn)) void bench_die(const char *fmt, ...);

/* Connects (waiting for the socket), shares memory, starts queue 0 with slots of data_bytes. */
void bench_front_open(struct bench_front *b, const char *path, uint16_t slot_cnt,
		      uint32_t data_bytes);

/* One request from start to end, which must succeed. */
void bench_front_call(struct bench_front *b, uint32_t type, uint64_t sector, uint32_t bytes);

/* Waits in a loop, or asleep on the call fd, for cnt completions, which must be good. */
void bench_front_reap(struct bench_front *b, unsigned int cnt, int asleep);

/* This thread on that CPU only. */
void bench_pin(int cpu);

/* A decimal number of an argument. */
unsigned long bench_number(const char *text);

uint64_t bench_now_ns(void);

#endif
