/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture of a port's frames into a pcapng file while it runs: the session on control, and what the
 * switch calls on workers.
 * Not the file format (pcapng.h), and not who asks for it (app/).
 *
 * Theory of operation
 *
 * 1. A session has a ring (struct capture_ring) for each worker. netport_set_capture() gives each
 *    worker's replica of the port its ring; a replica without one costs a test of a pointer, once a
 *    burst. One session a port: its rings have one producer, the worker, and one consumer, control.
 * 2. The worker copies a frame's first bytes (to snaplen) into its ring, as the port sends or gets
 *    them: in, with what the guest sent; out, with the tag that the port puts in or takes out. It
 *    never waits: a frame for which there is no room is missed, and counted.
 * 3. A frame that comes in is recorded before its fate is known. Records of a burst are therefore
 *    not published before capture_in_end(), and capture_drop() writes the reason into them. A frame
 *    that is dropped on its way out has a record of its own.
 * 4. Control drains all rings every CAPTURE_DRAIN_NS, oldest record first, into blocks, and those
 *    into the file. Records of two workers that come in different rounds may be out of order by
 *    about that time.
 * 5. The file never exceeds its limit: room for the last block, which has the totals, is kept.
 * After a failed write it is cut back to the last whole block.
 * 6. A session ends when it is told to, at the limit, or with the first failed write: the rings are
 *    taken from the workers, drained once more, and then it is over (ended()). Its numbers stay
 * until it is freed; rings and file are gone before.
 */
#ifndef PARIO_NETWORK_CAPTURE_H
#define PARIO_NETWORK_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/evloop.h"
#include "base/stat.h"
#include "network/netport.h"

struct capture;
struct capture_filter;
struct capture_ring;

#define CAPTURE_DRAIN_NS 10000000ull
#define CAPTURE_SIZE_MIN 4096
#define CAPTURE_SIZE_DEFAULT (100u << 20)
#define CAPTURE_SNAPLEN_MIN ETHER_HEADER_BYTES
#define CAPTURE_SNAPLEN_MAX FRAME_BYTES_MAX
#define CAPTURE_RING_BYTES_MIN (1u << 18) /* two frames of any length */
#define CAPTURE_RING_BYTES_DEFAULT (1u << 22)

/* As the counters of netport.h have it: in is from the port into the switch. */
enum capture_direction {
	CAPTURE_IN,
	CAPTURE_OUT,
	CAPTURE_DIRECTION_MAX_,
};

enum capture_state {
	CAPTURE_STARTING, /* not all workers have it */
	CAPTURE_RUNNING,
	CAPTURE_STOPPING, /* not all workers have let go */
	CAPTURE_ENDED,
	CAPTURE_STATE_MAX_,
};

enum capture_end {
	CAPTURE_END_NONE, /* it runs */
	CAPTURE_END_ASKED,
	CAPTURE_END_SIZE,  /* the limit is reached */
	CAPTURE_END_PORT,  /* the port goes */
	CAPTURE_END_ERROR, /* the file cannot be written, or no memory */
	CAPTURE_END_MAX_,
};

/* "running", ...; "size limit", ... NULL beyond. */
const char *capture_state_name(enum capture_state state);
const char *capture_end_name(enum capture_end end);

/* Text is copied. */
struct capture_options {
	struct netport *port;  /* borrowed until ended() */
	const char *port_name; /* as if_name */
	const char *file_name; /* for texts */
	unsigned worker_cnt;   /* of the port's fabric */
	struct evloop *control;
	uint64_t size_bytes; /* of the file at most; CAPTURE_SIZE_MIN or more */
	uint32_t snaplen;    /* bytes of a frame at most; between _MIN and _MAX */
	uint32_t ring_bytes; /* a power of two; 0: CAPTURE_RING_BYTES_DEFAULT */
	bool in, out;        /* directions, one at least */
	bool drops_only;     /* only frames that are dropped */
	/* Control: every worker has it. Not called if it is to end before that. */
	void (*started)(struct capture *capture, void *arg);
	/* Control, once, perhaps from within capture_stop(): it is ENDED and may be freed here. */
	void (*ended)(struct capture *capture, void *arg);
	void *arg;
};

struct capture_stats {
	uint64_t frames; /* written */
	uint64_t file_bytes;
	uint64_t missed;   /* wanted, but their worker's ring was full */
	uint64_t seen;     /* that came by in a wanted direction, whatever the filter says */
	uint64_t accepted; /* of those, by the filter */
	uint64_t dropped;  /* of those written: with a drop reason */
};
extern const struct stat_row capture_stat_rows[];
extern const unsigned capture_stat_row_cnt;

/*
 * Control. Writes the head of the file, and sends the rings to the workers, who have them when
 * started() is called, perhaps before this returns, but after *out is set. fd, a regular file open
 * for writing, and the filter (NULL: all frames) are taken, also on failure. 0, or -EINVAL /
 * -ENOMEM / -errno with text; then ended() is not called.
 */
int capture_start(const struct capture_options *options, int fd, struct capture_filter *filter,
		  struct capture **out, struct err *err);
/* Control, any state: begins to end it. The first reason counts. */
void capture_stop(struct capture *capture, enum capture_end why);
/* Control; ENDED. NULL is allowed. */
void capture_free(struct capture *capture);

/* Control. */
enum capture_state capture_state(const struct capture *capture);
enum capture_end capture_end(const struct capture *capture);
/* What went wrong, after CAPTURE_END_ERROR; else "". */
const char *capture_error(const struct capture *capture);
void capture_stats(const struct capture *capture, struct capture_stats *stats);

/*
 * Workers: the ring is the calling worker's, of a replica of the port. Frames are as netport_send()
 * has them. No call may come once the ring has been taken from the replica.
 */

/* A burst comes from the port. capture_in_end() follows in the same netport_send(). */
void capture_in(struct capture_ring *ring, struct frame *const *frames, unsigned cnt,
		uint64_t now_ns);
void capture_in_end(struct capture_ring *ring);
/* These go to the port: to deliver(), or to the inbox of its worker. */
void capture_out(struct capture_ring *ring, struct frame *const *frames, unsigned cnt,
		 uint64_t now_ns);
/* IN: of the burst between capture_in() and _in_end(). OUT: it was not given to capture_out(). */
void capture_drop(struct capture_ring *ring, const struct frame *frame,
		  enum capture_direction direction, enum netport_drop drop, uint64_t now_ns);

#endif
