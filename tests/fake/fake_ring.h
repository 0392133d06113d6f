/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's end of a virtqueue, split and packed, written to be obviously right rather than
 * fast: the model against which the driver side of tools/bench is tested.
 * It is not pario's device end (src/virtqueue) and shares no code with either side.
 *
 * It also checks what a driver must do (VIRTIO 1.2, 2.7 and 2.8): fake_ring_pop() fails, with the
 * rule in ring->error, when a chain breaks one.
 */
#ifndef PARIO_FAKE_FAKE_RING_H
#define PARIO_FAKE_FAKE_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_ring.h>

#define FAKE_CHAIN_SEG_MAX 1100

struct fake_seg {
	uint8_t *hva;
	uint64_t gpa;
	uint32_t bytes;
	bool writable;
};

struct fake_chain {
	uint16_t id;       /* split: head; packed: buffer id */
	uint16_t desc_cnt; /* of the ring, not of a table */
	bool indirect;
	unsigned int seg_cnt;
	struct fake_seg seg[FAKE_CHAIN_SEG_MAX];
};

struct fake_ring {
	bool packed;
	bool event_idx;
	bool in_order;
	uint16_t size;
	void *desc;
	void *driver_area; /* split: avail ring; packed: driver event suppression */
	void *device_area; /* split: used ring; packed: device event suppression */

	/* Address of bytes of guest memory, or NULL. */
	uint8_t *(*map)(void *ctx, uint64_t gpa, uint64_t bytes);
	void *map_ctx;

	/* Split: free-running. Packed: position and wrap counter. */
	uint16_t avail_idx, used_idx;
	bool avail_wrap, used_wrap;
	uint16_t signalled_idx;        /* where used_idx stood at the last call decision */
	uint16_t next_head;            /* in order, split: the only head that may come next */
	unsigned int skipped_cnt;      /* in order: completions not yet written */
	unsigned int skipped_desc_cnt; /* and their descriptors */
	uint16_t used_since;           /* packed: descriptors used since the last call decision */

	/* Between fake_ring_hold() and fake_ring_show(). */
	bool holds;
	struct vring_packed_desc *held_desc; /* packed: first of them, and its flags */
	uint16_t held_flags;

	const char *error;
};

/* Starts from a vring base, as SET_VRING_BASE codes it. Other fields are set by the caller. */
void fake_ring_start(struct fake_ring *r, uint32_t base);

/* 1 and a chain, 0 when nothing is available, -1 when the driver broke a rule. */
int fake_ring_pop(struct fake_ring *r, struct fake_chain *c);

/*
 * Uses a chain. In order, last = false writes nothing: a later push with last = true stands for it
 * too. Else last must be true.
 */
void fake_ring_push(struct fake_ring *r, uint16_t id, uint16_t desc_cnt, uint32_t bytes, bool last);

/* What is pushed from now on is not seen by the driver before show: all of it at once. */
void fake_ring_hold(struct fake_ring *r);
void fake_ring_show(struct fake_ring *r);

/* Should the pushes since the last question be followed by a call? */
bool fake_ring_wants_call(struct fake_ring *r);

/* Asks for kicks from now on, or for none. True from arm: something is available already. */
bool fake_ring_arm(struct fake_ring *r);
void fake_ring_disarm(struct fake_ring *r);

/* GET_VRING_BASE's answer. */
uint32_t fake_ring_base(const struct fake_ring *r);

#endif
