/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One UNIX stream socket that carries vhost-user messages and descriptors, with a deadline on
 * everything: a peer that is silent gives -ETIMEDOUT, never a hang.
 * It frames messages and knows nothing of what they mean.
 */
#ifndef PARIO_BENCH_DRIVER_CHANNEL_H
#define PARIO_BENCH_DRIVER_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "driver/protocol.h"

/* A message as it arrived. The receiver owns fd[]; vu_message_close_fds() closes what is left. */
struct vu_message {
	struct vu_header header;
	union {
		uint8_t payload[VU_PAYLOAD_MAX];
		uint64_t u64;
		struct vu_vring_state state;
		struct vu_config config;
	};
	int fd[VU_FD_MAX];
	unsigned int fd_cnt;
};

void vu_message_close_fds(struct vu_message *m);

/* Milliseconds of the monotonic clock. */
int64_t channel_now_ms(void);

/* Waits for poll(2) events on fd: 0, -ETIMEDOUT, or another -errno. timeout_ms 0: only look. */
int channel_wait(int fd, short events, int timeout_ms);

/*
 * Sends size bytes as they are, the descriptors with the first of them: no check of anything, so
 * that a test can send what no front end would. 0, -ETIMEDOUT, -EPIPE, ...
 */
int channel_send(int sock, const void *bytes, size_t size, const int *fd, unsigned int fd_cnt,
		 int timeout_ms);

/*
 * Receives one whole message. 0; -ETIMEDOUT; -ECONNRESET when the peer closed; -EPROTO for a header
 * that cannot be (payload above VU_PAYLOAD_MAX, too many descriptors).
 */
int channel_recv(int sock, struct vu_message *m, int timeout_ms);

/*
 * Connects to a UNIX socket. While wait_ms lasts, a path that is not there or refuses is tried
 * again. The socket (close-on-exec) or -errno.
 */
int channel_connect(const char *path, int wait_ms);

/* A listening socket at path, replacing a stale one. The socket or -errno. */
int channel_listen(const char *path);

/* The next connection within timeout_ms, or -errno. */
int channel_accept(int listener, int timeout_ms);

#endif
