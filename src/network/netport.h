/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of a switch, whatever is behind it: a guest's NIC (device/net), a tap, a loop.
 * Not the switch (netswitch.h).
 *
 * Theory of operation
 *
 * 1. struct netport is the control side. Each worker has a replica of what its data path needs to
 *    know (members, VLANs, forwarding table), changed by message: control adds a port to all
 *    replicas before its queues can come, and takes it out of all of them before it is freed.
 * 2. A receiving queue (struct netport_queue, embedded in its user's) belongs to one worker from
 *    netport_queue_open() to _close(). Only there is deliver() called. Senders look up the owner's
 *    number; a frame that comes to a worker which the queue has left goes back, and then to its
 *    owner, before newer ones; or it is dropped and counted.
 * 3. netport_send() classifies a burst (VLAN, spoofing), learns, looks up, and gives each frame to
 *    deliver() of a queue here, or to the inbox of its worker. Headers are read from frame->head
 *    alone.
 */
#ifndef PARIO_NETWORK_NETPORT_H
#define PARIO_NETWORK_NETPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/stat.h"
#include "network/fabric.h"
#include "network/frame.h"

#define NETPORT_QUEUES_MAX 64
/* Most frames of one netport_send() and of one deliver(). */
#define NETPORT_BURST 32
#define NETPORT_VLAN_MAX 4094

struct netswitch;
struct netport;
struct netport_queue;

/* Where a port's frames go. All on the owner of the queue. */
struct netport_ops {
	const char *kind; /* "port", "tap", "loop" */
	/*
	 * Takes all of them, in order, and one reference of each: copies now, or keeps the pointer
	 * for a bounded time, or drops and counts; whatever it does, exchange_put() follows.
	 * cnt is 1 to NETPORT_BURST. Must not send from within.
	 */
	void (*deliver)(struct netport_queue *queue, struct frame *const *frames, unsigned cnt,
			uint64_t now_ns);
	/* The end of the burst that deliver() was called in, once for each such queue. */
	void (*flush)(struct netport_queue *queue, uint64_t now_ns);
	/* Do any frames that it took still wait, so that others, elsewhere, could overtake them?
	 * NULL: never, after flush(). */
	bool (*waits)(struct netport_queue *queue);
};

struct netport_queue {
	/* set by the user before netport_queue_open() */
	const struct netport_ops *ops;
	/* netport.c */
	struct netport *port;
	unsigned idx;
	struct exchange *exchange; /* of its owner */
	bool dirty;                /* flush() is owed */
	struct netport_queue *dirty_next;
};

enum netport_vlan_mode {
	NETPORT_VLAN_ANY,    /* neither vlan nor trunk: every VLAN, tags as they are */
	NETPORT_VLAN_ACCESS, /* untagged frames, of one VLAN */
	NETPORT_VLAN_TRUNK,  /* tagged frames of the VLANs listed (0: untagged ones too) */
};

struct netport_vlans {
	enum netport_vlan_mode mode;
	uint16_t access;                             /* 1 to NETPORT_VLAN_MAX */
	uint64_t trunk[(NETPORT_VLAN_MAX + 2) / 64]; /* bit = VLAN */
};

/* Everything is copied. */
struct netport_options {
	const char *name;
	struct netswitch *netswitch;
	struct netport_vlans vlans;
	/* Drop frames whose source is not `mac`; that address is never learnt elsewhere. */
	bool mac_lock;
	uint8_t mac[ETHER_MAC_BYTES];
};

/* Why a frame went no further: the drop_ counters of struct netport_stats, then the receiver's. */
enum netport_drop {
	NETPORT_DROP_NONE,
	NETPORT_DROP_RUNT,
	NETPORT_DROP_SPOOFED,
	NETPORT_DROP_VLAN,
	NETPORT_DROP_STORM,
	NETPORT_DROP_HAIRPIN,
	NETPORT_DROP_NO_PORT,
	NETPORT_DROP_NO_QUEUE,
	NETPORT_DROP_INBOX_FULL,
	NETPORT_DROP_HELD,
	NETPORT_DROP_EGRESS_VLAN,
	NETPORT_DROP_NO_BUFFER,    /* none came in time */
	NETPORT_DROP_SMALL_BUFFER, /* it does not fit into those that are there */
	NETPORT_DROP_OVER_MTU,
	NETPORT_DROP_MAX_,
};

/* "spoofed source", ... as captures have it; NULL beyond. */
const char *netport_drop_name(enum netport_drop drop);

/* Counters of a port's way through the switch, summed over workers. "in": from the port. */
struct netport_stats {
	uint64_t in_frames, in_bytes;
	uint64_t out_frames, out_bytes; /* given to deliver() or to a worker's inbox */
	uint64_t flooded;               /* frames in that went to all */
	/* dropped, of frames in */
	uint64_t drop_runt;    /* shorter than an Ethernet header (with its tag) */
	uint64_t drop_spoofed; /* mac-lock, or a source that is no unicast address */
	uint64_t drop_vlan;    /* a VLAN that the port does not carry */
	uint64_t drop_storm;   /* flooding beyond the limit */
	uint64_t drop_hairpin; /* its destination is behind the port that it came from */
	uint64_t drop_no_port; /* nobody else is there */
	/* dropped, of frames out */
	uint64_t drop_no_queue;    /* the receiver has no queue that runs */
	uint64_t drop_inbox_full;  /* its worker does not keep up */
	uint64_t drop_egress_vlan; /* a VLAN that the receiver does not carry (locked address) */
	uint64_t learn_refused; /* addresses of the port that the table or its limit had no room for
				 */
	/* steering, of frames out */
	uint64_t flows_learnt;   /* flows of the guest that were new, or on another queue */
	uint64_t flows_returned; /* frames that went where their flow's guest sends from */
	uint64_t held;      /* frames that waited at their sender for a bucket or queue to move */
	uint64_t drop_held; /* of those: too many, or too long */
	uint64_t moves;     /* of a bucket, by one worker's replica */
	uint64_t moves_given_up; /* what was outstanding did not return in time */
};
extern const struct stat_row netport_stat_rows[];
extern const unsigned netport_stat_row_cnt;

/* Control. */

/* Joins the switch. -EINVAL / -ENOMEM with text. */
int netport_open(const struct netport_options *options, struct netport **out, struct err *err);
/* All queues are closed. closed(arg) runs when no worker knows it any more; it is freed before. */
void netport_close(struct netport *port, void (*closed)(void *arg), void *arg);
const char *netport_name(const struct netport *port);
struct netswitch *netport_switch(const struct netport *port);
void netport_stats(const struct netport *port, struct netport_stats *sum);
/* Any thread: how many receiving queues senders may spread over, from 0 on (default 1). */
void netport_set_receivers(struct netport *port, unsigned cnt);
/* Run-time changes; every worker has taken them when the join hears. */
struct join;
/*
 * How frames to the port are spread over its receiving queues; until the first, STEERING_SPREAD.
 * Takes it over, and frees it when no worker has it any more. One such change at a time (the join
 * must have heard); -ENOMEM through the join, and it is freed. A port may close meanwhile: the join
 * hears before closed() runs. A bucket that changes its queue, and
 * a queue that changes its worker, does so without reordering a flow: see steer_move.c.
 */
struct steering;
void netport_set_steering(struct netport *port, struct steering *steering, struct join *join);
/* Control. The present one (borrowed until the next change); NULL: none was set. */
const struct steering *netport_steering(const struct netport *port);
/*
 * Control. Adds to load[] what each bucket of the present table has carried since it was set
 * (frames, with bytes weighed in), and returns the number of buckets; 0 without a table.
 */
unsigned netport_bucket_load(const struct netport *port, uint64_t *load);
/* Control. Flows that are known now, STEERING_LEARN; of one replica. */
unsigned netport_flow_count(const struct netport *port);
void netport_set_vlans(struct netport *port, const struct netport_vlans *vlans, struct join *join);
void netport_set_lock(struct netport *port, bool mac_lock, const uint8_t *mac, struct join *join);
/*
 * The replica of worker i gives frames to rings[i] from then on (capture.h), or to none if rings is
 * NULL; one such change at a time. Array and rings are borrowed until others, or none, are there in
 * their place. Cannot fail. A port has none when it is closed.
 */
struct capture_ring;
void netport_set_capture(struct netport *port, struct capture_ring *const *rings,
			 struct join *join);

/* Worker, the owner of the queue. */

void netport_queue_open(struct netport_queue *queue, struct netport *port, unsigned idx,
			struct exchange *exchange);
/*
 * moving: it is opened on another worker soon, with the frames that wait in it, and frames for it
 * wait at their senders until then, a bounded time; or netport_queue_gone() follows.
 */
void netport_queue_close(struct netport_queue *queue, bool moving);
/* Control: no worker has the queue. One that was closed as moving will not be opened. */
void netport_queue_gone(struct netport *port, unsigned idx);

/*
 * Worker, any: frames (1 to NETPORT_BURST of them) come from the port, from its transmit queue
 * queue_idx (0 for what has no queues), for STEERING_LEARN. The caller holds a
 * reference of each; those with refs == 1 afterwards are not kept by anybody. deliver() and
 * flush() of queues on this worker run within.
 */
void netport_send(struct netport *port, struct exchange *exchange, unsigned queue_idx,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns);

/*
 * Worker, of the exchange: the port drops a frame that one of its queues there was given. It is
 * shown to a capture; counting is the caller's.
 */
void netport_show_drop(struct netport *port, struct exchange *exchange, const struct frame *frame,
		       enum netport_drop why);

#define NETPORT_TAG_OFFSET (2 * ETHER_MAC_BYTES)

/* How a receiver has to change the first bytes of a frame. */
enum netport_tag_edit {
	NETPORT_TAG_KEEP,
	NETPORT_TAG_PUSH,
	NETPORT_TAG_POP,
	NETPORT_TAG_SET, /* it has a priority tag (VLAN 0) but belongs to a VLAN: same length */
};
enum netport_tag_edit netport_tag_edit_vlan(const struct netport *port, const struct frame *frame);

/* Any worker. */
static inline enum netport_tag_edit netport_tag_edit(const struct netport *port,
						     const struct frame *frame)
{
	if (likely(frame->vlan == 0))
		return NETPORT_TAG_KEEP;
	return netport_tag_edit_vlan(port, frame);
}

/*
 * Pure. The same of a frame's first bytes in place, where there is room for a tag more. How many
 * they are then; the difference moves offsets.
 */
static inline unsigned netport_edit_tag(uint8_t *head, unsigned head_bytes,
					enum netport_tag_edit edit, uint16_t vlan)
{
	uint8_t *tag = head + NETPORT_TAG_OFFSET;
	const unsigned behind_bytes = head_bytes - NETPORT_TAG_OFFSET;

	switch (edit) {
	case NETPORT_TAG_KEEP:
		break;
	case NETPORT_TAG_PUSH:
		memmove(tag + ETHER_TAG_BYTES, tag, behind_bytes);
		tag[0] = ETHER_TYPE_VLAN >> 8;
		tag[1] = ETHER_TYPE_VLAN & 0xff;
		tag[2] = (uint8_t)(vlan >> 8);
		tag[3] = (uint8_t)vlan;
		return head_bytes + ETHER_TAG_BYTES;
	case NETPORT_TAG_POP:
		memmove(tag, tag + ETHER_TAG_BYTES, behind_bytes - ETHER_TAG_BYTES);
		return head_bytes - ETHER_TAG_BYTES;
	case NETPORT_TAG_SET:
		/* The priority stays. */
		tag[2] = (uint8_t)((tag[2] & 0xf0) | vlan >> 8);
		tag[3] = (uint8_t)vlan;
		break;
	}
	return head_bytes;
}

/*
 * Pure. The first bytes as the receiver sees them, into out (FRAME_HEAD_BYTES + ETHER_TAG_BYTES):
 * head, with a tag pushed, popped or set. Returns how many; the difference to head_bytes moves
 * offsets.
 */
unsigned netport_edit_head(const struct frame *frame, enum netport_tag_edit edit, uint8_t *out);

#endif
