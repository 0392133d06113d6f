/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder share: the queue object and the table of a ring format.
 * Not for users of virtqueues (virtqueue.h).
 */
#ifndef PARIO_VIRTQUEUE_VIRTQUEUE_PRIV_H
#define PARIO_VIRTQUEUE_VIRTQUEUE_PRIV_H

#include "base/check.h"
#include "base/compiler.h"
#include "virtqueue/coalesce_port.h"
#include "virtqueue/virtqueue.h"

enum virtqueue_part { PART_DESC, PART_DRIVER, PART_DEVICE, PART_CNT_ };

/* Size and alignment of the parts of a ring. */
struct virtqueue_geometry {
	uint64_t bytes[PART_CNT_];
	unsigned align_bytes[PART_CNT_];
};

/*
 * One ring format. Called per burst, never per descriptor; the only place where formats differ.
 * All but size_check, geometry and start: owner only, and only while the ring is attached.
 */
struct virtqueue_ops {
	const char *name;
	size_t object_bytes; /* of the format's struct, which begins with a struct virtqueue */

	/* Is config->size (in 1..VIRTQUEUE_SIZE_MAX) one that the format allows? */
	int (*size_check)(uint32_t size, struct err *err);
	void (*geometry)(uint32_t size, struct virtqueue_geometry *geometry);
	/* Sets the positions from config->base; attached already, reads the ring. */
	int (*start)(struct virtqueue *vq, const struct virtqueue_config *config, struct err *err);
	/* Ring pointers from host addresses; NULL: no ring any more. */
	void (*attach)(struct virtqueue *vq, uint8_t *const hva[PART_CNT_]);

	unsigned (*fetch)(struct virtqueue *vq, struct chain_pool *pool, struct vq_slot **slots,
			  unsigned max);
	/* The last n chains that were fetched are available again; slots in the order of fetch. */
	void (*unfetch)(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n);
	/* Used side; adds to unsignalled_cnt. */
	void (*publish)(struct virtqueue *vq, struct vq_slot *const *slots, unsigned n);
	/* After IRQ_CHECK's fence: does the driver want a call for the last unsignalled_cnt? */
	bool (*wants_call)(const struct virtqueue *vq);
	void (*arm)(struct virtqueue *vq); /* the fence and the second look are the caller's */
	void (*disarm)(struct virtqueue *vq);
	bool (*has_avail)(const struct virtqueue *vq);
	/* Entries (heads; packed: descriptors) that are posted and not used, as unsignalled_cnt. */
	uint32_t (*free_cnt)(const struct virtqueue *vq);
	uint32_t (*base)(const struct virtqueue *vq);
};

/* Ids (split heads, packed buffer ids) are 16 bits wide, packed ones whatever the ring's size. */
#define ID_CNT 65536

/* What the ring says about kicks; unknown at the start, another back end may have written it. */
enum kick_state { KICKS_UNKNOWN, KICKS_ON, KICKS_OFF };

/* Padding: the counters have cache lines of their own. */
struct virtqueue { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	/* Owner: read and written on every burst. */
	const struct virtqueue_ops *ops;
	const struct gmem *memory;
	struct vq_slot *slots_free; /* LIFO: what was used last is in the cache */
	bool *ids;                  /* in flight? Pages that no id falls into are never touched */
	uint8_t *slots;
	size_t slot_bytes;
	uint32_t slots_fresh_idx; /* slots from here on were never used, nor touched */
	uint32_t size;
	uint32_t table_bytes_max;  /* of an indirect table; 0: not negotiated */
	uint32_t table_fast_bytes; /* the same, and it fits into a slot */
	uint32_t chain_max;        /* descriptors of a chain in the ring, as far as we walk */
	uint32_t in_flight;
	uint32_t gen_in_flight[2]; /* not completed, by slot->memory_gen */
	struct gmem_row row;       /* of the last hit; of size 0 at first */
	uint8_t memory_gen;
	uint8_t kick_state; /* enum kick_state */
	bool event_idx;
	bool in_order;
	bool attached;              /* the ring is where the memory table says */
	bool call_owed;             /* published, maybe by a predecessor, and no way to ask */
	uint32_t fault;             /* enum virtqueue_fault; any thread reads */
	uint64_t unsignalled_cnt;   /* used elements or descriptors since the last notify */
	struct vq_slot *order_head; /* in order: FIFO of slots as they were fetched */
	struct vq_slot *order_tail;
	struct coalesce_config coalesce_config;
	struct coalesce_state coalesce;
	uint64_t decided_cnt; /* completions that the coalescer knows of */
	/* The same of ports. */
	struct coalesce_port_state port;
	uint64_t port_frames, port_bytes; /* of the counters, that it knows of */
	bool port_receive;
	bool port_counted; /* these two are of the last decision */

	/* Owner: seldom. */
	int call_fd;
	int err_fd;
	bool call_is_socket; /* signalled with send(), as it may have no O_NONBLOCK */
	bool err_is_socket;
	const char *tag;
	struct virtqueue_location where;
	size_t map_bytes; /* control */

	/* Owner writes, anybody reads. */
	struct virtqueue_stats stats CACHE_ALIGNED;
	uint64_t held[COALESCE_HELD_BUCKETS]; /* as struct coalesce_view */
	uint32_t held_packets, held_usecs;
	uint32_t held_why; /* enum coalesce_verdict */
};
_Static_assert(offsetof(struct virtqueue, stats) % CACHE_LINE_BYTES == 0 &&
		       sizeof(struct virtqueue) % CACHE_LINE_BYTES == 0,
	       "who reads counters takes no line that the owner works on");

extern const struct virtqueue_ops split_ops;
extern const struct virtqueue_ops packed_ops;

/* Sticky; says so once, on the err fd and in the log. */
COLD void virtqueue_break(struct virtqueue *vq, enum virtqueue_fault fault);

/* Puts one that was never used on the empty free list. */
COLD struct vq_slot *virtqueue_slot_fresh(struct virtqueue *vq);

/* Marks an id as in flight; true when it was already. */
static ALWAYS_INLINE bool virtqueue_id_claim(struct virtqueue *vq, uint16_t id)
{
	if (unlikely(vq->ids[id]))
		return true;
	vq->ids[id] = true;
	return false;
}

static ALWAYS_INLINE void virtqueue_id_release(struct virtqueue *vq, uint16_t id)
{
	vq->ids[id] = false;
}

/* The slot that virtqueue_slot_take() will take. In flight are fewer than size: there is one. */
static ALWAYS_INLINE struct vq_slot *virtqueue_slot_peek(struct virtqueue *vq)
{
	struct vq_slot *slot = vq->slots_free;

	return likely(slot != NULL) ? slot : virtqueue_slot_fresh(vq);
}

/* The slot has its id, which is claimed. */
static ALWAYS_INLINE void virtqueue_slot_take(struct virtqueue *vq, struct vq_slot *slot)
{
	vq->slots_free = slot->link;
}

static ALWAYS_INLINE void virtqueue_slot_put(struct virtqueue *vq, struct vq_slot *slot)
{
	virtqueue_id_release(vq, slot->id);
	slot->link = vq->slots_free;
	vq->slots_free = slot;
}

/*
 * Pure: does a driver that asked for a call at `event` want one, now that the device has used cnt
 * more entries and its next one is new_idx? (2.7.7.2; notify.c)
 */
bool notify_split_crossed(uint16_t event, uint16_t new_idx, uint64_t cnt);
/* The same with wrap counters; cnt in descriptors. (2.8.10) */
bool notify_packed_crossed(uint16_t event_off_wrap, uint16_t new_idx, bool new_wrap, uint64_t cnt,
			   uint32_t size);

#endif
