/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: one connection with one front end, from its first message to the device being free
 * for the next one. Not the socket that it came from (listen.c).
 *
 * Theory of operation
 *
 * 1. One message at a time. It is read, judged by its row of the table, and taken through a list
 *    of steps (enum session_step). Each step is one call of device functions on one open join; the
 *    next step runs when the join has finished, at once or after workers have answered. While that
 *    takes, nothing is read: the front end's later messages wait in its socket.
 * 2. Handlers only change what the front end has said (struct vring, memory, features). What
 *    follows from it is done by the steps after them: rings whose state says that they should not
 *    run are stopped, new memory goes to the device, rings whose state says that they should run
 *    are started. So a ring starts by state, whichever message was the last that it needed:
 *    location, size, kick message, enabled, features, memory with the ring in it.
 * 3. A ring's two states are independent: `kicked` (started by SET_VRING_KICK, stopped by
 *    GET_VRING_BASE) and `enabled`. It runs on the device when both are there. Of a device that
 *    serves disabled rings (net) one that is only started runs, too, as a disabled queue. Some
 *    front ends never stop such a ring: they disable it, free its memory, and set it up anew. So
 *    a disabled ring that gets a new size, base or location is stopped for it, and does not run
 *    again before it is kicked or enabled (`idles`).
 * 4. A ring that the device stopped gives its base back, which is exact; it goes on from there
 *    unless SET_VRING_BASE says otherwise.
 * 5. Descriptors of a ring are the session's and lent to the device while the ring runs, so a ring
 *    can start again without new ones. They are closed only when the ring has stopped, or when the
 *    join of the change that replaced them has finished.
 * 6. The end of a session is a list of steps too: stop all rings, take the memory back, reset. The
 *    connection is closed last, so that the front end sees it when the device is free. A front
 *    end that leaves while a step waits is noticed, and the end begins when the step is done.
 * 7. One reply is kept at most. A peer that does not read it is not read from either.
 * 8. While no ring runs the device is suspended and says nothing by itself: a config change waits.
 *
 * Control thread only.
 */
#ifndef PARIO_VHOST_USER_SESSION_PRIV_H
#define PARIO_VHOST_USER_SESSION_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/evloop.h"
#include "base/log.h"
#include "device/device.h"
#include "guest/gmem.h"
#include "vhost_user/message_priv.h"
#include "vhost_user/table_priv.h"
#include "vhost_user/vhost_user.h"
#include "worker/join.h"

/* What the front end has said of one ring. */
struct vring {
	struct virtqueue_location where;
	uint32_t size; /* 0: not set */
	uint32_t base;
	uint32_t answered_base; /* to the last GET_VRING_BASE */
	bool has_location;
	bool has_base;
	bool base_is_exact;
	bool has_answered_base;
	bool kicked;
	bool enabled;
	bool idles;     /* may run while disabled, if the device serves that */
	bool uncovered; /* stopped because memory does not hold it any more */
	bool changed;   /* this message may have made it startable */
	bool stopping;  /* its base is to be fetched */
	int kick_fd;    /* -1: none */
	int call_fd;
	int err_fd;
};

/* Back-end-initiated messages (SET_BACKEND_REQ_FD). */
struct backchannel {
	struct evloop_fd watch; /* active while the front end does not read */
	struct outbox out;
	int fd; /* -1: none */
	bool is_socket;
	bool config_changed; /* not told yet */
};

enum session_state {
	SESSION_READ, /* for the next message */
	SESSION_STEP, /* `step` is to run */
	SESSION_WAIT, /* for its join */
	SESSION_SEND, /* the reply, as the peer reads */
	SESSION_DEAD,
};

/* In this order; the last of a message and of an end have no device call. */
enum session_step {
	STEP_QUIESCE, /* stop what the row says */
	STEP_HANDLE,
	STEP_STOP,   /* rings that should not run any more */
	STEP_MEMORY, /* give the device what the handler prepared */
	STEP_START,  /* rings that should run now */
	STEP_FINISH, /* reply */
	STEP_END_STOP,
	STEP_END_MEMORY,
	STEP_END_FINISH,
};

struct session_options {
	struct evloop *loop;
	struct device *device;
	int fd; /* taken, also on failure */
	bool any_memory;
	struct vhost_user_stats *stats; /* the endpoint's */
	struct log_limit *limit;        /* the endpoint's: over all its front ends */
	/* The session is gone, the device is free. May come from within session_new's caller. */
	void (*ended)(void *arg);
	void *arg;
};

struct session {
	/* constant */
	struct evloop *loop;
	struct device *device;
	const char *tag;
	struct gmap_policy policy;
	struct vhost_user_stats *stats;
	struct log_limit *limit;
	void (*ended)(void *arg);
	void *arg;
	unsigned vring_cnt;
	int retired_fd; /* replaced in this step; closed when the step's join has finished */

	/* connection */
	int fd;
	struct evloop_fd watch;
	uint32_t watched; /* epoll events asked for */
	struct message in;
	struct outbox out;

	/* progress */
	enum session_state state;
	enum session_step step;
	struct join join;
	struct evloop_timer slow; /* says that a step takes long */
	uint64_t step_start_ns;
	bool joined; /* the join has finished */
	bool active; /* session_run() is on the stack */
	bool ending;

	/* the message that is being worked on */
	const struct request_row *row; /* NULL: unknown */
	unsigned ring;                 /* that it names, if its row has one */
	enum refusal refusal;
	struct err failure; /* code 0: none so far */

	/* what the front end has said */
	uint64_t features; /* acknowledged, without bit 30 */
	bool has_features;
	uint64_t protocol_features;
	uint8_t status;
	struct gmem *memory;      /* NULL: none yet */
	struct gmem *next_memory; /* for STEP_MEMORY */
	struct backchannel back;
	struct vring vrings[]; /* vring_cnt */
};

/* session.c */

/* Begins to serve the connection. 0 or -errno with text. */
int session_new(const struct session_options *options, struct session **out, struct err *err);
/* Ends it as soon as what is under way allows; ended() follows, perhaps from within. */
void session_close(struct session *s);

/* Its end has begun, or must: the front end is not there any more. */
bool session_is_leaving(const struct session *s);

/* Puts the reply of a request that has its own. */
void session_reply(struct session *s, const void *payload, uint32_t payload_bytes);
void session_reply_u64(struct session *s, uint64_t value);
/* The message fails, but its steps go on. The first reason is kept. */
void session_fail(struct session *s, const struct err *why);
/* A warning about what the front end did, under its endpoint's limit. */
void session_log(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Some ring runs, disabled or not. */
bool session_running(const struct session *s);
/* Some enabled ring runs. */
bool session_serving(const struct session *s);

/* features.c: does the message, SET_FEATURES, say something new while no enabled ring runs? */
bool features_are_new(const struct session *s);

/* memory.c */
void memory_give(struct session *s);
void memory_drop(struct session *s);

/* vring.c: the steps' side of rings */
void vrings_init(struct session *s);
void vrings_fini(struct session *s);
/* All of them, or those that should not run. */
void vrings_stop_all(struct session *s);
void vrings_stop_unwanted(struct session *s);
void vring_stop(struct session *s, unsigned idx);
/* After the join of a stop: their bases. */
void vrings_collect(struct session *s);
/* The device had to stop it by itself. */
void vring_lost(struct session *s, unsigned idx);
void vrings_start_wanted(struct session *s);
/* Something that all rings depend on has changed. */
void vrings_changed(struct session *s);
void vrings_enable_all(struct session *s, bool enabled);
/* Does it run, and is it disabled? */
bool vring_idles(const struct session *s, unsigned idx);
/* If it does it is stopped, until it is kicked or enabled. */
void vring_end_idling(struct session *s, unsigned idx);
void vrings_end_idling(struct session *s);
/* All stop until their next kick message. */
void vrings_halt(struct session *s);
/* Back to rings that were never set up; err_fd and the last answered base stay. */
void vrings_forget(struct session *s);
/* Marks running rings that memory does not hold. */
void vrings_uncover(struct session *s, const struct gmem *memory);

/* backchannel.c */
void backchannel_init(struct session *s);
void backchannel_close(struct session *s);
void backchannel_config_changed(struct session *s);
/* Sends what waits, if it may. */
void backchannel_flush(struct session *s);

#endif
