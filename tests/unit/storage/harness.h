/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real worker for storage tests, with functions that wait: the test's thread is the control
 * thread. And the places that disks are made in: files, memory files, loop devices.
 * Not a test.
 */
#ifndef PARIO_TESTS_STORAGE_HARNESS_H
#define PARIO_TESTS_STORAGE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "storage/storage.h"
#include "worker/worker.h"

#define KIB 1024ull
#define MIB (1024ull * 1024)

struct harness {
	struct evloop *loop;
	struct worker *worker;
	char dir[128];    /* of this test program, on a disk file system; removed at the end */
	char tmpfs[128];  /* the name of one file on a tmpfs; removed at the end */
	pid_t background; /* a process that a test left running: killed at the end; 0 = none */
};

/* As cmocka's group setup and teardown; *state is the harness. */
int harness_setup(void **state);
int harness_teardown(void **state);

/* Runs fn on the worker and waits for it. */
void harness_run(struct harness *h, void (*fn)(struct worker *worker, void *arg), void *arg);

struct storage *harness_open(const struct storage_options *options);
struct storage_channel *harness_channel_open(struct harness *h, struct storage *storage);
void harness_channel_close(struct harness *h, struct storage_channel *channel);

/* Submits as one burst on the worker; returns when all are reaped. */
void harness_io(struct harness *h, struct storage_channel *channel, struct storage_op **ops,
		unsigned cnt);
/* One operation; the result. */
int harness_read(struct harness *h, struct storage_channel *channel, void *buffer, uint64_t offset,
		 uint64_t len);
int harness_write(struct harness *h, struct storage_channel *channel, const void *buffer,
		  uint64_t offset, uint64_t len);
int harness_range(struct harness *h, struct storage_channel *channel, enum storage_kind kind,
		  bool may_unmap, uint64_t offset, uint64_t len);
int harness_flush(struct harness *h, struct storage_channel *channel);

/* A path within dir, in a static buffer of its own for each of the last 8 calls. */
const char *harness_path(const struct harness *h, const char *name);
/* A sparse file of that size, made anew. */
void harness_make_file(const char *path, uint64_t size_bytes);
/* Allocated blocks of a file, in bytes. */
uint64_t harness_allocated(const char *path);
/* A private mount namespace with a tmpfs of that size at path (made). False: not permitted. */
bool harness_mount_tmpfs(const char *path, const char *size);

/* A loop device over a file, detached with its last user. False: there is none to be had. */
struct harness_loop {
	int fd;
	char path[32];
};
bool harness_loop_open(struct harness_loop *loop, const char *file, uint32_t block_bytes);
void harness_loop_close(struct harness_loop *loop);

/* Runs a shell command with its output in out. Returns its exit status. */
int harness_shell(char *out, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Fails with both texts unless text contains part. */
#define assert_contains(text, part)                                          \
	do {                                                                 \
		if (!strstr((text), (part)))                                 \
			fail_msg("\"%s\" is not in \"%s\"", (part), (text)); \
	} while (0)

/* A skip always says why. */
#define skip_because(...)                               \
	do {                                            \
		print_message("skipped: " __VA_ARGS__); \
		print_message("\n");                    \
		skip();                                 \
	} while (0)

#endif
