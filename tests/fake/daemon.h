/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pariod of the test's own: started with options, watched through /proc, stopped by its pid.
 * Not a mock: it is the real program.
 */
#ifndef PARIO_FAKE_DAEMON_H
#define PARIO_FAKE_DAEMON_H

#include <stdint.h>
#include <sys/types.h>

struct daemon {
	pid_t pid;
	char dir[64]; /* private directory; sockets and images of the test live there */
};

/* What must not grow. */
struct daemon_usage {
	unsigned fds;
	unsigned mappings;
	unsigned threads;
	uint64_t rss_bytes; /* anonymous and file pages, without shared memory of front ends */
	uint64_t cpu_ns;
};

/* Makes the directory. Prints and exits 1 on failure, like everything here. */
void daemon_prepare(struct daemon *daemon);
/* argv[0] is the program's path; ends with NULL. Returns when socket (NULL = none) answers. */
void daemon_start(struct daemon *daemon, const char *const argv[], const char *socket);
void daemon_usage(const struct daemon *daemon, struct daemon_usage *usage);
/* SIGTERM, wait, exit status must be 0; removes the directory. */
void daemon_stop(struct daemon *daemon);

/* Fails the test with a line. */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *fmt, ...);

#endif
