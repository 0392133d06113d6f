/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers of a daemon have between them for frames: an exchange on each, and bounded rings
 * for each pair.
 * Not who gets a frame (netswitch.h).
 *
 * Theory of operation
 *
 * 1. From worker A to worker B there is an inbox ring (A pushes, B takes) and a return ring (B
 *    pushes, A takes), each with one producer and one consumer, and no atomic but their indices.
 * 2. A counts what it has with B (pushed and not returned); at the ring's size it pushes no more,
 *    so neither ring can overflow. A full inbox is a drop for that receiver alone. Addresses that A
 *    tells B (LEARN) take the inbox's room too, half of it at most, and are told again later if
 *    there was none.
 * 3. Each exchange has a poller. It is hot while something comes in, and looked at like any other;
 *    asleep, it is woken by INBOX_WAKE: push, full fence, look at the owner's `sleeping`, eventfd.
 *    One burst pushes to one worker with one fence and at most one write.
 * 4. An entry names a port by its place in the fabric and that place's generation, never by
 *    address. So what is still in a ring when a port goes is looked up in vain and given back.
 * 5. A queue that has moved on: B gives the frame back to A with the port's number (BOUNCE), and A
 *    holds it until all of them are back and the present owner is known (steer_move.c). A fence
 *    that A pushes behind them is answered through the return ring, and counts as a frame of 2.
 */
#ifndef PARIO_NETWORK_FABRIC_H
#define PARIO_NETWORK_FABRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/stat.h"
#include "network/frame.h"
#include "worker/worker.h"

struct fabric;
struct exchange;

#define FABRIC_RING_ENTRIES 1024
/* Frames of one worker that receivers on another may keep, all together. */
#define FABRIC_KEPT_MAX (FABRIC_RING_ENTRIES / 2)
/* Ports of all switches together. */
#define FABRIC_PORTS_MAX 2048

struct fabric_options {
	struct worker *const *workers; /* borrowed until fabric_free() */
	unsigned worker_cnt;
	enum poll_mode poll_mode; /* of the exchanges */
	uint64_t poll_max_ns;
};

/*
 * Control. Makes an exchange for each worker and sends it there; ready when this returns. 0 or
 * -ENOMEM / -errno with text.
 */
int fabric_new(const struct fabric_options *options, struct evloop *control, struct fabric **out,
	       struct err *err);
/* Control. No netport is left. closed(arg) runs when every worker has let go. NULL is allowed. */
void fabric_free(struct fabric *fabric, void (*closed)(void *arg), void *arg);

/* The exchange of a worker. Control or that worker. */
struct exchange *fabric_exchange(const struct fabric *fabric, const struct worker *worker);

/*
 * Any worker. Frames that receivers without buffers have copied, so that their senders have them
 * back although no guest has seen them: cnt more, or less. Counted before they are given back and
 * until their copies are published or dropped. A queue that sends from another worker waits for
 * them, as for those that have not come back.
 */
void fabric_copies_add(struct fabric *fabric, int cnt);
bool fabric_has_copies(const struct fabric *fabric);

/* Owner of the exchange only, down to the counters. */

struct exchange_stats;

/* What exchange_put() calls: the last reference of a frame of this worker; one of another's. */
void exchange_frame_returned(struct frame *frame);
void exchange_put_away(struct exchange *exchange, struct frame *frame);

/* Is the frame's sender on this very worker? */
static inline bool exchange_is_home(const struct exchange *exchange, const struct frame *frame)
{
	return frame->exchange == exchange;
}

/*
 * Gives back a reference that deliver() took over, at any later time: at once if the frame is of
 * this worker, else through the return ring to where it came from.
 */
static inline void exchange_put(struct exchange *exchange, struct frame *frame)
{
	if (!exchange_is_home(exchange, frame))
		exchange_put_away(exchange, frame);
	else if (unlikely(--frame->refs == 0))
		exchange_frame_returned(frame);
}

/*
 * May a receiver keep a frame of another worker for a while? There is a bound on those that are
 * kept, so that one receiver does not take the ring's room from the others. True: it is counted
 * until it is given back with exchange_put_kept(). A frame of this worker may be kept always.
 */
bool exchange_may_keep(struct exchange *exchange, const struct frame *frame);
void exchange_put_kept(struct exchange *exchange, struct frame *frame);

struct exchange_stats {
	uint64_t frames_in;  /* taken from other workers */
	uint64_t frames_out; /* pushed to other workers */
	uint64_t inbox_full; /* drops for a receiver whose worker does not keep up */
	uint64_t wakes;      /* eventfd writes to other workers */
	uint64_t learns;     /* addresses that others told */
	uint64_t bounces;    /* frames that came back because their queue had moved on */
};
extern const struct stat_row exchange_stat_rows[];
extern const unsigned exchange_stat_row_cnt;

/* Any thread. */
const struct exchange_stats *exchange_stats(const struct exchange *exchange);

#endif
