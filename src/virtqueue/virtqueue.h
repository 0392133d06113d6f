/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue as the back end sees it, whatever its format: start, bursts, notification, stop.
 * Not a thread (worker/) and not a device: who calls when is theirs.
 *
 * Theory of operation
 *
 * 1. Control prepares a virtqueue (virtqueue_new), hands it to its owner, and gets it back when
 *    the owner has let go of it. In between only the owner touches it, except for the counters,
 *    which anybody may read. No lock, no atomic but the ring's own edges (base/ordering.h).
 * 2. fetch takes up to a burst of chains out of the avail side, each parsed into a slot; each
 *    descriptor is loaded by value and judged there (a chain that is not short and good is
 *    loaded anew, and nothing of the first look counts). complete puts a burst into the used
 *    side with one index (split) or one head flag (packed) store. notify writes the call fd at
 *    most once for all that was completed since it last ran; notify_burst may leave that to a
 *    later one (coalesce.h).
 * 3. The used index is ours and never read back from guest memory, but for the first value of a
 *    split ring (the ring may have been served before us).
 * 4. A slot is the owner's from fetch to complete. At most `size` slots exist. An id that is in
 *    flight already breaks the queue, in both formats.
 * 5. What breaks the framing of the ring (index jump, head out of range, id in flight twice, a
 *    packed chain without end) makes the queue broken: sticky until it is started anew, err fd
 *    signalled once, nothing fetched any more; what is in flight still completes.
 * 6. The driver's kicks are off (disarm) while the owner polls. virtqueue_arm() is KICK_ARM: it
 *    switches them on and looks again, so that no chain is left behind between the two.
 * 7. A change of memory swaps the snapshot and the ring addresses at once; chains parsed under the
 *    old one are counted (memory_gen), so that the owner knows when the old one is free.
 */
#ifndef PARIO_VIRTQUEUE_VIRTQUEUE_H
#define PARIO_VIRTQUEUE_VIRTQUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stat.h"
#include "guest/gmem.h"
#include "virtqueue/chain.h"
#include "virtqueue/coalesce.h"

#define VIRTQUEUE_SIZE_MAX 32768
/* Most chains that one fetch returns. */
#define VIRTQUEUE_BURST 32

/* Why a queue is broken. */
enum virtqueue_fault {
	VIRTQUEUE_OK,
	VIRTQUEUE_FAULT_AVAIL_JUMP,     /* avail index moved by more than the ring's size; packed:
					   more descriptors available than the ring has free */
	VIRTQUEUE_FAULT_HEAD_RANGE,     /* head >= ring size */
	VIRTQUEUE_FAULT_HEAD_IN_FLIGHT, /* head or buffer id is in flight already */
	VIRTQUEUE_FAULT_CHAIN_FRAMING,  /* packed: a chain that does not end within the ring */
	VIRTQUEUE_FAULT_RING_UNMAPPED,  /* the ring is not in the new memory table */
	VIRTQUEUE_FAULT_MAX_,
};

const char *virtqueue_fault_name(enum virtqueue_fault fault);

/*
 * Where the three parts of a ring are, as uva from SET_VRING_ADDR: descriptor area, driver area
 * (split: avail ring; packed: driver event suppression), device area (split: used ring; packed:
 * device event suppression). VIRTIO 1.3, 2.7 and 2.8.
 */
struct virtqueue_location {
	uint64_t desc_uva;
	uint64_t driver_uva;
	uint64_t device_uva;
};

struct virtqueue_config {
	uint32_t size;
	bool packed;
	bool event_idx;
	bool indirect;
	bool in_order;
	uint32_t base;      /* as in SET_VRING_BASE, format by `packed` */
	bool base_is_exact; /* base came from our own GET_VRING_BASE: packed 0 is no "fresh" */
	struct virtqueue_location where;
	struct gmem *memory; /* borrowed; see virtqueue_set_memory */
	size_t slot_bytes;   /* the device's request struct, which begins with a struct vq_slot */
	int call_fd;         /* -1: none (the driver polls). Borrowed, the caller closes it */
	int err_fd;          /* -1: none. Borrowed */
	const char *tag;     /* for log lines ("disk vda queue 3"); outlives the queue */
};

/* Counters: the owner writes, anybody reads. Described by virtqueue_stat_rows. */
struct virtqueue_stats {
	uint64_t fetched;          /* chains taken */
	uint64_t completed;        /* chains given back */
	uint64_t bursts;           /* fetches that found something */
	uint64_t calls;            /* writes to the call fd */
	uint64_t calls_suppressed; /* completions' ends at which the driver wanted none */
	/* Decisions of the coalescer, by enum coalesce_verdict; while it is off there are none. */
	uint64_t coalesced[COALESCE_VERDICT_MAX_];
	uint64_t kicks;        /* counted by the device from the worker's kick watch */
	uint64_t pool_starved; /* fetch stopped because the pool had no block */
	uint64_t chain_errors[CHAIN_ERROR_MAX_];
};

extern const struct stat_row virtqueue_stat_rows[];
extern const unsigned virtqueue_stat_row_cnt;

struct virtqueue;

/*
 * Control thread. Checks size (split: power of two; packed: any; 1..32768), alignment of the three
 * parts (split 16/2/4, packed 16/4/4), that each lies wholly in one region of memory, and that
 * they do not overlap; allocates slots. 0 or -EINVAL / -ENOMEM with text. Guest memory is read
 * (split: used index; packed: descriptor 0, for a base of 0), never written: arming is the owner's
 * first act.
 */
int virtqueue_new(const struct virtqueue_config *config, struct virtqueue **out, struct err *err);
/*
 * Control thread, after the owner let go; in-flight slots are forgotten, and with them the iovec
 * blocks that long chains borrowed, so complete them first unless the pool goes as well. NULL is
 * allowed.
 */
void virtqueue_free(struct virtqueue *vq);

/* Everything below: owner only, unless it says otherwise. */

/*
 * Takes up to max (<= VIRTQUEUE_BURST) chains. Slots with slot->error set are chains that could
 * not be used and are to be completed like the others. 0: nothing there, broken, or the pool is
 * empty. pool is the owner's. A fault found in mid-burst still gives the chains before it.
 */
unsigned virtqueue_fetch(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot **slots,
			 unsigned max);

/*
 * Undoes the fetch of the last n chains, given in the order in which they were fetched, none of
 * them completed: the driver's ring is as if they had never been looked at, and the next fetch
 * finds them again. For buffers that a device took in advance (virtio-net's receive queue).
 */
void virtqueue_unfetch(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot *const *slots,
		       unsigned n);

/*
 * Gives back n chains with their used_bytes; slots and iovec blocks are free afterwards. In order
 * mode those that overtook others wait. The driver sees all n at once, or none. Nothing is
 * signalled yet.
 */
void virtqueue_complete(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot *const *slots,
			unsigned n);

/*
 * IRQ_CHECK, then at most one write to the call fd, for all completed since the last time. Without
 * a call fd nothing is decided: what was completed counts when there is one. On a ring that was
 * served before us the first decision is a call, even if nothing was completed: the predecessor
 * may have died between its used entries and their call. So run this once after the start, too.
 */
void virtqueue_notify(struct virtqueue *vq);

/*
 * Takes effect at the next end of a burst. A call that is held is to be looked at from now on,
 * whatever the new mode (virtqueue_held_until_ns() says so), and goes out at the next of the two
 * below; a port's only if the new bounds do not allow it to wait.
 */
void virtqueue_set_coalesce(struct virtqueue *vq, const struct coalesce_config *config);
/*
 * The end of a burst, after what it completed, and of each poll while something is held (two loads
 * when nothing is): as virtqueue_notify(), unless the coalescer says that the call may wait.
 * Holding costs no fence and no look at the ring. Nothing is held while nothing is in flight, or
 * without a call fd, or when a predecessor owes a call. An owner that stops looking at the queue,
 * or gives it away, runs virtqueue_notify(), which lets nothing wait.
 */
void virtqueue_notify_burst(struct virtqueue *vq, uint64_t now_ns);

/* Where a port's queue counts; all owned by others, and growing. */
struct virtqueue_port {
	const uint64_t *frames; /* given to the driver, or taken from it */
	const uint64_t *bytes;  /* of these */
	const uint64_t *sent; /* receive: frames that the driver sent; may be NULL, any thread's */
	bool receive;
};
/*
 * virtqueue_notify_burst() of a port's queue: by frames, not chains (coalesce_port.h). A queue is
 * one or the other. While a call is held, and nothing else comes, the owner looks again when
 * virtqueue_held_until_ns() says. True: one is held.
 */
bool virtqueue_notify_port(struct virtqueue *vq, const struct virtqueue_port *port,
			   uint64_t now_ns);
/* When frames came last while calls may be held; only then it means something. */
uint64_t virtqueue_port_burst_ns(const struct virtqueue *vq);

/* When a held call is due, on the scale of now_ns, maybe in the past; 0: nothing is held. */
uint64_t virtqueue_held_until_ns(const struct virtqueue *vq);

/* Switches kicks on and re-checks. True: chains are there, the caller goes on polling. */
bool virtqueue_arm(struct virtqueue *vq);
/* Switches kicks off, as far as the format can. Cheap when they are off already. */
void virtqueue_disarm(struct virtqueue *vq);

/* Is there something to fetch? A hint, one load; false when broken. */
bool virtqueue_has_avail(const struct virtqueue *vq);

unsigned virtqueue_in_flight(const struct virtqueue *vq);

/*
 * How many entries (packed: descriptors; split: chains) the driver has posted that are not used
 * yet, fetched or not. A hint, at most the ring's size whatever the ring says; 0 when it is gone.
 */
uint32_t virtqueue_free_cnt(const struct virtqueue *vq);

/* As GET_VRING_BASE; exact only when nothing is in flight. Also control, after the owner let go. */
uint32_t virtqueue_base(const struct virtqueue *vq);

/*
 * Its own memory is to be on that NUMA node (base/numa.h). Control, while the queue exists: the
 * owner may use it meanwhile.
 */
void virtqueue_prefer_node(struct virtqueue *vq, int node);

/* Any thread. */
enum virtqueue_fault virtqueue_fault(const struct virtqueue *vq);
void virtqueue_coalesce_view(const struct virtqueue *vq, struct coalesce_view *view);
const struct virtqueue_stats *virtqueue_stats(const struct virtqueue *vq);
/* Owner: the device counts kicks here. */
struct virtqueue_stats *virtqueue_stats_mutable(struct virtqueue *vq);

/*
 * The caller closes the old ones, after this returned. A new call fd: notify once (above); a call
 * that was held goes to it.
 */
void virtqueue_set_call(struct virtqueue *vq, int call_fd);
void virtqueue_set_err(struct virtqueue *vq, int err_fd);

/*
 * From now on chains are parsed under memory, and the ring is where memory says. A ring that is
 * not there any more breaks the queue (and is never touched again). A call that is held goes out
 * first, while the ring that it is about is known. Only one change may be under
 * way: virtqueue_memory_settled() must have been true before the next.
 */
void virtqueue_set_memory(struct virtqueue *vq, struct gmem *memory);
/* Is every chain that was parsed under the memory before the last change completed? */
bool virtqueue_memory_settled(const struct virtqueue *vq);

#endif
