/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which receive queue of a port a frame belongs to: an immutable description, and the choice.
 * Not how it comes to workers and when it changes (network/netport.h), nor who decides on it
 * (device/net).
 *
 * Pure. Control makes a struct steering; workers only read it.
 */
#ifndef PARIO_FLOW_STEERING_H
#define PARIO_FLOW_STEERING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "flow/dissect.h"
#include "flow/toeplitz.h"

#define STEERING_TABLE_MAX 512 /* entries; a power of two each */
#define STEERING_QUEUES_MAX 64

enum steering_kind {
	STEERING_SPREAD, /* by dissect_flow_hash() over the queues that are there */
	STEERING_LEARN,  /* where the flow's own guest sends from; the rest as SPREAD */
	STEERING_TABLE,  /* Toeplitz and an indirection table (VIRTIO 1.3, 5.1.6.5.7) */
};

struct steering_options {
	enum steering_kind kind;
	bool inner; /* VXLAN: by the headers inside, where those are IP's */
	/* TABLE; of the other kinds where a hash is reported that does not choose (types not 0) */
	uint32_t types;     /* bits of enum hash_type; 0: nothing has a hash */
	unsigned key_bytes; /* 1 to TOEPLITZ_KEY_BYTES */
	uint8_t key[TOEPLITZ_KEY_BYTES];
	/* TABLE */
	unsigned table_cnt;                 /* a power of two, 1 to STEERING_TABLE_MAX */
	uint16_t table[STEERING_TABLE_MAX]; /* queue numbers */
	uint16_t unclassified;              /* queue of frames that have no hash */
};

struct steering {
	struct steering_options options;
	uint64_t generation; /* unlike that of any other; never 0 */
	struct toeplitz toeplitz;
};

/* Control. -EINVAL with text that names what is wrong (queue >= queue_cnt, too long, no power of
 * two, unknown types); -ENOMEM. */
int steering_new(const struct steering_options *options, unsigned queue_cnt, struct steering **out,
		 struct err *err);
void steering_free(struct steering *steering);

#define STEERING_NO_BUCKET 0xffffu

struct steering_choice {
	struct flow_hash flow; /* where there are types */
	uint16_t bucket;       /* TABLE: entry of the table, or STEERING_NO_BUCKET */
	uint16_t queue;        /* TABLE */
	uint32_t spread;       /* SPREAD, LEARN: symmetric hash of the flow */
};

/* d is dissect()'s of head. */
void steering_choose(const struct steering *steering, const uint8_t *head, unsigned head_bytes,
		     const struct dissection *d, struct steering_choice *choice);
/* The one of usable (bits, not 0) that a symmetric hash stands for. */
unsigned steering_spread(uint32_t hash, uint64_t usable);

#endif
