/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's end of a virtqueue, split and packed, behind one small interface.
 * It is not pario's device end (src/virtqueue) and shares nothing with it, so that a misreading of
 * the specification in one is found by the other. Layouts come from <linux/virtio_ring.h>.
 *
 * Theory of operation
 *
 * A request is named by a token, a number below the ring size that the caller chooses and that is
 * not in flight. ring_add() writes descriptors but shows them to nobody; ring_publish() makes all
 * that was added since the last publish available in one store and says whether the device wants a
 * kick. ring_get_used() takes completions in bursts.
 *
 * 1. Split: what was added is invisible because avail->idx is stored only by ring_publish().
 * 2. Packed: what was added is invisible because the flags of the *first* descriptor of the burst
 *    are stored last, by ring_publish(): a device looks at descriptors in ring order.
 * 3. What the device writes is judged: an unknown id, an index that jumps, or an id that is not in
 *    flight makes ring_get_used() fail with -EPROTO and set ring->error.
 * 4. Publish, full fence, read of the device's event area: a device that arms, fences and looks
 *    again cannot miss a request, nor can ring_arm() miss a completion.
 *
 * A ring belongs to one thread. All areas are public, so that hostile tests can write what no
 * honest driver would.
 */
#ifndef PARIO_BENCH_DRIVER_RING_H
#define PARIO_BENCH_DRIVER_RING_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#include "driver/shm.h"

#define RING_SIZE_MAX 32768u
/* Length of a completion that an in-order device skipped (VIRTIO 1.2, 2.7.9 and 2.8.9). */
#define RING_LEN_UNKNOWN UINT32_MAX

enum ring_format { RING_SPLIT, RING_PACKED };

struct ring_opts {
	enum ring_format format;
	uint16_t size; /* split: a power of two; at most RING_SIZE_MAX */
	bool event_idx;
	bool in_order;
	/*
	 * All chains use ring_add_table(), and split heads are the token: a descriptor that is
	 * already right is not written again, which spares the device a cache miss a request.
	 */
	bool tables_only;
};

struct ring_seg {
	uint64_t gpa;
	uint32_t bytes;
};

struct ring_used {
	uint16_t token;
	uint32_t bytes; /* as the device wrote it, or RING_LEN_UNKNOWN */
};

struct ring;

struct ring_ops {
	int (*add)(struct ring *r, const struct ring_seg *seg, unsigned int out_cnt,
		   unsigned int in_cnt, uint16_t token);
	int (*add_table)(struct ring *r, uint64_t table_gpa, uint32_t desc_cnt, uint16_t token);
	bool (*publish)(struct ring *r);
	int (*get_used)(struct ring *r, struct ring_used *used, unsigned int max);
	void (*disarm)(struct ring *r);
	bool (*arm)(struct ring *r);
	void (*start)(struct ring *r, uint32_t base); /* areas are zero */
	uint32_t (*base)(const struct ring *r);
};

/* What a token in flight has in the ring. */
struct ring_token {
	uint16_t desc_cnt; /* 0: not in flight */
	uint16_t head;     /* split: index of its first descriptor */
};

struct ring {
	const struct ring_ops *ops;
	struct ring_opts opts;
	uint16_t size;
	uint16_t mask;     /* split: size - 1 */
	uint16_t free_cnt; /* descriptors */
	uint16_t inflight_cnt;

	/* In shared memory, with their guest physical addresses. */
	union {
		struct vring_desc *split_desc;
		struct vring_packed_desc *packed_desc;
		void *desc;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
		void *driver_area;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
		void *device_area;
	};
	uint64_t desc_gpa, driver_gpa, device_gpa;
	uint64_t desc_bytes, driver_bytes, device_bytes;

	/* Split: free-running indices. Packed: positions below size, with a wrap counter each. */
	uint16_t avail_idx;
	uint16_t used_idx;
	bool avail_wrap;
	bool used_wrap;
	bool armed;
	uint16_t pending_cnt;   /* added and not published: split chains, packed descriptors */
	uint16_t published_idx; /* split: avail_idx at the last publish */
	uint16_t event_written; /* split: last used_event stored */
	uint16_t free_head;     /* split: list of free descriptors; in order: next descriptor */
	uint16_t burst_idx;     /* packed: position of the first unpublished descriptor */
	uint16_t burst_flags;   /* packed: its flags, held back */

	struct ring_token *token; /* by token */
	uint16_t *token_of_head;  /* split: by first descriptor */
	uint16_t *next_free;      /* split: by descriptor */
	uint16_t *order;          /* in order: tokens as they were added, a FIFO */
	uint32_t order_head, order_cnt;
	uint32_t batch_left;  /* in order: requests of the last used element not yet taken */
	uint32_t batch_bytes; /* and its length, which is that of the last of them */

	const char *error; /* why the ring is unusable, static text */
};

/* Allocates the areas from shm (each on cache lines of its own). 0 or -errno. */
int ring_new(struct ring **out, struct shm *shm, const struct ring_opts *opts);
void ring_free(struct ring *ring);

/* Bytes of shared memory that ring_new() takes, alignment included. */
uint64_t ring_shm_bytes(const struct ring_opts *opts);

/*
 * Adds a chain of out_cnt device-readable and then in_cnt device-writable segments, as descriptors
 * of the ring itself. -ENOSPC: too few free descriptors; -EINVAL: token or counts; -EBUSY: token in
 * flight.
 */
static inline int ring_add(struct ring *r, const struct ring_seg *seg, unsigned int out_cnt,
			   unsigned int in_cnt, uint16_t token)
{
	return r->ops->add(r, seg, out_cnt, in_cnt, token);
}

/* Adds an indirect table that ring_table_write() made; it must stay as it is until used. */
static inline int ring_add_table(struct ring *r, uint64_t table_gpa, uint32_t desc_cnt,
				 uint16_t token)
{
	return r->ops->add_table(r, table_gpa, desc_cnt, token);
}

/* Writes an indirect table of out_cnt + in_cnt descriptors of 16 bytes. */
void ring_table_write(enum ring_format format, void *table, const struct ring_seg *seg,
		      unsigned int out_cnt, unsigned int in_cnt);

/* Makes what was added available. True: the device wants a kick. */
static inline bool ring_publish(struct ring *r)
{
	return r->ops->publish(r);
}

/* Number of completions stored in used, at most max, or -EPROTO with ring->error set. */
static inline int ring_get_used(struct ring *r, struct ring_used *used, unsigned int max)
{
	return r->ops->get_used(r, used, max);
}

/* Asks the device for no calls (the state of a new ring). */
static inline void ring_disarm(struct ring *r)
{
	r->ops->disarm(r);
}

/* Asks for a call at the next completion. True: one is already there, so do not sleep. */
static inline bool ring_arm(struct ring *r)
{
	return r->ops->arm(r);
}

/* The vring base (SET_VRING_BASE's coding) of a ring that has never been used. */
static inline uint32_t ring_base_fresh(enum ring_format format)
{
	return format == RING_PACKED ? 0x80008000u : 0u;
}

/*
 * Zeroes all areas and starts over from base; what was in flight is forgotten. A base other than
 * the fresh one puts a test next to where indices wrap.
 */
void ring_reset(struct ring *r, uint32_t base);

/* The vring base (SET_VRING_BASE's coding) of a ring in its present state. */
static inline uint32_t ring_base(const struct ring *r)
{
	return r->ops->base(r);
}

/* Shared by the two formats: the FIFO of an in-order ring. */
static inline void ring_order_push(struct ring *r, uint16_t token)
{
	r->order[(r->order_head + r->order_cnt++) % r->size] = token;
}

static inline uint16_t ring_order_pop(struct ring *r)
{
	uint16_t token = r->order[r->order_head];

	r->order_head = (r->order_head + 1) % r->size;
	r->order_cnt--;
	return token;
}

/* How many entries of the FIFO end with token; 0 when it is not there. */
uint32_t ring_order_find(const struct ring *r, uint16_t token);

/* -EINVAL, -EBUSY, -ENOSPC or 0: may desc_cnt descriptors be added for token? */
static inline int ring_may_add(const struct ring *r, unsigned int desc_cnt, uint16_t token)
{
	if (__builtin_expect(token >= r->size || desc_cnt == 0 || desc_cnt > r->size, 0))
		return -EINVAL;
	if (__builtin_expect(r->token[token].desc_cnt != 0, 0))
		return -EBUSY;
	return __builtin_expect(desc_cnt > r->free_cnt, 0) ? -ENOSPC : 0;
}

extern const struct ring_ops ring_split_ops;
extern const struct ring_ops ring_packed_ops;

#endif
