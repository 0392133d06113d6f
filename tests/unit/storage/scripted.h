/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted kernel for the file back end: the worker's functions are ours, so each completion is
 * what the test says. And a disk without a file on top of it.
 * Not a test, and no thread.
 */
#ifndef PARIO_TESTS_STORAGE_SCRIPTED_H
#define PARIO_TESTS_STORAGE_SCRIPTED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "storage/file_priv.h"

#define KIB 1024ull
#define MIB (1024ull * 1024)
#define FD 4711

/* What was asked of the kernel since the test set sqe_cnt to 0. */
extern struct io_uring_sqe sqes[64];
extern unsigned sqe_cnt;
/* The worker's clock, and its timer if one runs. */
extern uint64_t now_ns;
extern struct worker_timer *timer;

/* The slot of the file (-1: none), and how many times it was given back. */
extern int file_slot;
extern unsigned file_puts;
/* Registered memory; all of a piece is ready at once. users is 1 or 0. */
extern struct uring_memory memories[4];

/* preadv2 of the synchronous path: what it returns, what it was asked, whether it takes long. */
extern ssize_t sync_result;
extern int sync_flags;
extern unsigned sync_calls;
extern bool sync_slow;

struct fixture {
	struct file_storage file;
	struct storage_channel *channel;
	const struct storage_stats *stats;
	unsigned completed; /* calls of the owner's wake-up */
};

/* io_align 1 is the page cache. */
void fixture_init(struct fixture *f, uint32_t io_align, bool is_device);
/* Nothing may be left. */
void fixture_fini(struct fixture *f);

void submit(struct fixture *f, struct storage_op *op);
/* The kernel's answer to a request. */
void complete(unsigned idx, int res);
/* The worker's timer expires. */
void expire(void);
void assert_reaped(struct fixture *f, const struct storage_op *expected, int result);
void assert_nothing_reaped(struct fixture *f);
/* The last request that was made, and that there are so many. */
void assert_sqe(unsigned idx, unsigned opcode, uint64_t addr, uint64_t len, uint64_t off);
void assert_fallocate(unsigned idx, int mode, uint64_t start, uint64_t len);

/* What I/O goes to and from. */
extern uint8_t memory[512 * 1024];
/* As a number, for some of these are beyond it. */
#define AT(offset) ((uint64_t)(uintptr_t)memory + (offset))

struct storage_op op_of(enum storage_kind kind, struct iovec *iov, unsigned cnt, uint64_t offset,
			uint64_t len);

#endif
