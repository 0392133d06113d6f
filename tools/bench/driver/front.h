/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vhost-user front end as a library: connection, negotiation, memory, queues.
 * It is neither a VMM nor tied to one kind of device, and it is not pario's back end turned round:
 * it shares no code with src/vhost_user.
 *
 * Every function returns 0 or -errno and, when it fails, leaves a sentence in front->error.
 *   -ETIMEDOUT   the back end said nothing for timeout_ms
 *   -ECONNRESET, -EPIPE   it closed the connection
 *   -EPROTO      it said something that the protocol does not allow
 *   -EREMOTEIO   it refused (an acknowledgement other than 0, an empty configuration)
 * After anything but -EREMOTEIO the connection is of no more use than for front_close().
 *
 * One thread at a time may use a struct front. Rings belong to the threads that drive them.
 */
#ifndef PARIO_BENCH_DRIVER_FRONT_H
#define PARIO_BENCH_DRIVER_FRONT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/channel.h"
#include "driver/protocol.h"
#include "driver/ring.h"
#include "driver/shm.h"

#define FRONT_TIMEOUT_MS_DEFAULT 10000

struct front_opts {
	const char *path;
	bool listen;    /* wait for a back end in client mode at path, in place of connecting */
	int wait_ms;    /* how long a missing or refusing socket is tried again */
	int timeout_ms; /* of every step; 0 counts as FRONT_TIMEOUT_MS_DEFAULT */
};

struct front {
	int sock;
	int listener;     /* -1, or the socket of listen mode: front_accept() takes the next one */
	int backend_sock; /* our end of the back end's own request channel, or -1 */
	int timeout_ms;

	uint64_t features_offered; /* as GET_FEATURES said, bit 30 included */
	uint64_t features;         /* as SET_FEATURES was told */
	uint64_t protocol_offered;
	uint64_t protocol;
	uint64_t queue_max;     /* GET_QUEUE_NUM; 1 without MQ */
	uint64_t mem_slots_max; /* GET_MAX_MEM_SLOTS; VU_MEM_TABLE_MAX without that feature */

	uint64_t config_change_cnt; /* messages seen on backend_sock */
	uint64_t backend_msg_cnt;

	char error[256];
};

static inline bool front_has(const struct front *f, unsigned int bit)
{
	return f->features >> bit & 1;
}

static inline bool front_offers(const struct front *f, unsigned int bit)
{
	return f->features_offered >> bit & 1;
}

static inline bool front_has_protocol(const struct front *f, unsigned int bit)
{
	return f->protocol >> bit & 1;
}

/* front.c: connection and messages. */

/* *out is set even when this fails, so that its error can be read; front_close() it always. */
int front_open(struct front **out, const struct front_opts *opts);
/* Wraps a socket that is already connected, and owns it from now on. */
int front_open_sock(struct front **out, int sock, int timeout_ms);
void front_close(struct front *f);
/* Listen mode: drops the connection there is and waits for the next. */
int front_accept(struct front *f);
/* Process at the other end of the socket; 0 when it cannot be told. */
pid_t front_peer_pid(const struct front *f);

/* A message that has no reply; with REPLY_ACK negotiated it asks for an acknowledgement. */
int front_call(struct front *f, uint32_t request, const void *payload, uint32_t size, const int *fd,
	       unsigned int fd_cnt);
/* A message that has a reply. fds in it are the caller's to close. */
int front_query(struct front *f, uint32_t request, const void *payload, uint32_t size,
		struct vu_message *reply);
int front_call_u64(struct front *f, uint32_t request, uint64_t value);
int front_query_u64(struct front *f, uint32_t request, uint64_t *value);

/*
 * Anything at all, for hostile tests: request, flags and size go into the header as given, then
 * payload_bytes of payload, whatever size says. Nothing is awaited.
 */
int front_send_raw(struct front *f, uint32_t request, uint32_t flags, uint32_t size,
		   const void *payload, size_t payload_bytes, const int *fd, unsigned int fd_cnt);
/* The next message, unjudged but for its framing. */
int front_recv_raw(struct front *f, struct vu_message *m);
/* 0 when the back end closes the connection within the timeout; what it says before is ignored. */
int front_expect_close(struct front *f);

/* Fills front->error and returns rc. */
int front_fail(struct front *f, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *vu_request_name(uint32_t request);

/* front_setup.c: features, configuration space, the back end's own requests. */

/*
 * GET_FEATURES, protocol features (those of protocol_wanted that are offered), GET_QUEUE_NUM,
 * GET_MAX_MEM_SLOTS, SET_OWNER and SET_BACKEND_REQ_FD, in QEMU's order.
 */
int front_negotiate(struct front *f, uint64_t protocol_wanted);
/* SET_FEATURES of exactly these bits; bit 30 is added when it was offered. */
int front_set_features(struct front *f, uint64_t features);
int front_get_config(struct front *f, uint32_t offset, void *to, uint32_t size);
int front_set_config(struct front *f, uint32_t offset, const void *from, uint32_t size);
/* Gives the back end a channel for requests of its own (BACKEND_REQ must be negotiated). */
int front_set_backend_channel(struct front *f);
/*
 * Takes and answers one message of that channel. 1: took one; 0: none within timeout_ms; -errno.
 * Messages that come in while a reply is awaited are taken then, so the back end cannot deadlock.
 */
int front_backend_step(struct front *f, int timeout_ms);

/* front_mem.c: guest memory. */

int front_set_mem_table(struct front *f, const struct shm *shm);
int front_add_mem_reg(struct front *f, const struct shm_region *region);
int front_rem_mem_reg(struct front *f, const struct shm_region *region);
/* SET_MEM_TABLE when it holds all regions, else ADD_MEM_REG for each. */
int front_share_mem(struct front *f, const struct shm *shm);

/* front_queue.c: virtqueues. */

struct front_queue {
	struct front *front;
	struct ring *ring;
	uint16_t idx;
	int kick_fd, call_fd, err_fd; /* eventfds, non-blocking */
	bool running;
	uint32_t base;     /* for SET_VRING_BASE: of the new ring, later as the back end left it */
	uint64_t kick_cnt; /* written by us */
	uint64_t call_cnt; /* written by the back end, as far as we have read them */
};

/* A ring in shm and its eventfds; nothing is sent. */
int front_queue_new(struct front_queue **out, struct front *f, struct shm *shm, uint16_t idx,
		    const struct ring_opts *opts);
void front_queue_free(struct front_queue *q);
/* NUM, BASE (queue->base), ADDR, ERR, CALL, KICK and, with protocol features, ENABLE. */
int front_queue_start(struct front_queue *q);
/* ENABLE 0 and GET_VRING_BASE: the back end has let go of the ring when this returns. */
int front_queue_stop(struct front_queue *q, uint32_t *base);

int front_vring_num(struct front *f, uint32_t idx, uint32_t size);
int front_vring_base(struct front *f, uint32_t idx, uint32_t base);
int front_vring_addr(struct front *f, uint32_t idx, const struct ring *ring);
/* request: VU_SET_VRING_KICK, _CALL or _ERR; fd -1 sends none (bit 8 set). */
int front_vring_fd(struct front *f, uint32_t request, uint32_t idx, int fd);
int front_vring_enable(struct front *f, uint32_t idx, bool enable);
int front_vring_base_get(struct front *f, uint32_t idx, uint32_t *base);

void front_queue_kick(struct front_queue *q);
/* Calls since the last look; never waits. */
uint64_t front_queue_take_calls(struct front_queue *q);
/* Has the back end signalled the queue's error fd? */
bool front_queue_failed(const struct front_queue *q);

#endif
