/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port as its worker's data path knows it, and a switch, likewise.
 * Not for other layers.
 */
#ifndef PARIO_NETWORK_NETPORT_PRIV_H
#define PARIO_NETWORK_NETPORT_PRIV_H

#include "base/list.h"
#include "network/fabric_priv.h"
#include "network/fdb.h"
#include "network/netport.h"
#include "network/netswitch.h"

#define NAME_BYTES 64

/* A switch on one worker. */
struct netswitch_replica {
	struct fdb fdb;
	struct list_node members;  /* of struct netport_replica */
	uint64_t flood_cost_ns;    /* of one flooded frame; 0: there is no limit */
	uint64_t flood_burst_ns;   /* so much may be flooded at once */
	uint64_t learn_refresh_ns; /* an address is told again after that time */
	struct worker_timer sweep; /* runs while anything is learnt */
	uint64_t sweep_every_ns;
};

struct netswitch {
	char name[NAME_BYTES];
	struct fabric *fabric;
	struct netswitch_options options;
	unsigned port_cnt;
	unsigned ref_cnt; /* its owner's, its ports', and of questions under way */
	void (*closed)(void *arg);
	void *closed_arg;
	struct netswitch_replica *replicas; /* [worker_cnt] */
};

void netswitch_get(struct netswitch *sw);
void netswitch_put(struct netswitch *sw);
/* Owner: something was learnt. */
void netswitch_learnt(struct netswitch_replica *sw, struct worker *worker);

#define NETPORT_NO_VLAN 0xffffu

/*
 * The first bytes of a frame that passed all checks, and its receiver. `rest` is all 8 bytes from
 * the fifth of the source address on if there is a tag, else the 4 of the address.
 */
struct netport_way {
	uint64_t first;
	uint64_t rest;
	struct netport_replica *to;
	uint16_t vlan;
	bool tagged;
};
#define NETPORT_WAYS 64
/* No frame has it: its type is no tag. */
#define NETPORT_WAY_NONE UINT64_MAX

/* A port on one worker, which alone touches it once it has joined. */
struct netport_replica {
	CACHE_ALIGNED struct netport *port;
	struct netswitch_replica *sw;
	/* What was looked up is good while the fdb's generation is this, and until then. */
	uint64_t cache_until_ns;
	struct capture_ring *capture; /* NULL: none runs */
	struct steer *steer;          /* NULL: steering was never set */
	uint32_t cache_generation;
	uint32_t id;
	uint64_t src_key; /* the last source that needs no learning */
	uint64_t mac;
	uint16_t untagged_vlan; /* of untagged frames; NETPORT_NO_VLAN: not carried */
	bool mac_lock;
	bool joined;
	uint64_t flood_next_ns; /* when the next flooded frame would be due at the rate allowed */
	struct fdb_port addresses;
	struct list_node member; /* of the switch */

	struct netport_way ways[NETPORT_WAYS];
	struct netport_stats stats CACHE_ALIGNED;
	struct netport_queue *queues[NETPORT_QUEUES_MAX]; /* those of this worker */
	/* Of these, the ones that may be given frames as they come (steer_move.c). */
	struct netport_queue *direct[NETPORT_QUEUES_MAX];
	/* Where the last frames to a queue went, as in owners; 0: none is outstanding. */
	uint32_t via[NETPORT_QUEUES_MAX];
	uint8_t queue_moves[NETPORT_QUEUES_MAX]; /* + 1; 0: none is under way */
	struct netport_vlans vlans;
};

/* The low half of netport.owners; the upper one is another each time that a queue is opened. */
#define NETPORT_OWNER(word) ((word)&0xffffu)
#define NETPORT_OWNER_NONE 0xffffu
#define NETPORT_OWNER_MOVING 0xfffeu /* it comes to another worker soon */

struct netport {
	/* Owners of queues write, senders read */
	CACHE_ALIGNED uint64_t open; /* bit = queue; with release after its owner */
	uint64_t receivers;          /* bits that senders may use */
	uint32_t owners[NETPORT_QUEUES_MAX];

	/* Control writes, workers read */
	CACHE_ALIGNED bool access; /* frames leave untagged */
	/* Some workers have not heard of it or of its VLANs: nothing is told about addresses. */
	unsigned unsettled;

	/* Control */
	uint32_t id;
	char name[NAME_BYTES];
	struct netswitch *sw;
	struct netport_options options;
	struct fabric_round *join_round;
	struct fabric_round *leave_round;
	struct fabric_round *capture_round;
	struct fabric_round *steering_round;
	struct join *capture_join;                 /* not NULL: the round is under way */
	struct capture_ring *const *capture_rings; /* what it gives to replicas; NULL: none */
	struct steering *steering;                 /* NULL: none was set */
	struct steering *steering_old;             /* while the round is under way */
	struct join *steering_join;                /* not NULL: it is */
	struct steer **steers;                     /* [worker_cnt]; what the replicas have */
	struct steer **steers_old;                 /* while the round is under way: had, or NULL */
	void (*closed)(void *arg);
	void *closed_arg;
	struct netport_replica replicas[]; /* [worker_cnt] */
};

static inline struct netport_replica *netport_on(struct netport *port,
						 const struct exchange *exchange)
{
	return &port->replicas[exchange->idx];
}

static inline struct netport_replica *netport_of_addresses(struct fdb_port *addresses)
{
	return container_of(addresses, struct netport_replica, addresses);
}

/* vlan.c; pure. */

static inline bool netport_vlans_carry(const struct netport_vlans *vlans, unsigned vlan)
{
	switch (vlans->mode) {
	case NETPORT_VLAN_ACCESS:
		return vlan == vlans->access;
	case NETPORT_VLAN_TRUNK:
		return vlans->trunk[vlan / 64] >> (vlan % 64) & 1;
	default:
		return true;
	}
}
/* The VLAN of a frame that comes in tagged with vid, or NETPORT_NO_VLAN: it is not carried. */
uint16_t netport_vlans_of_tagged(const struct netport_vlans *vlans, unsigned vid);
uint16_t netport_vlans_of_untagged(const struct netport_vlans *vlans);

/* send.c; worker. */

/* Forgets what was looked up. */
void netport_forget_cached(struct netport_replica *replica);
/* Another worker says that an address is behind a port. */
void netport_learn_told(struct exchange *exchange, uint32_t port_id, uint64_t key, uint64_t now_ns);

/* egress.c; worker. */

/*
 * Gives frames to a port: to deliver() of its queues here, or to inboxes; takes a reference of each
 * for that, or counts a drop. Nobody else gets them.
 */
void netport_give(struct netport_replica *to, struct exchange *exchange,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns);
/* The same where others may have them as well: nothing that depends on the port is put into them.
 */
void netport_give_shared(struct netport_replica *to, struct exchange *exchange,
			 struct frame *const *frames, unsigned cnt, uint64_t now_ns);
/* The same to a queue. again: they were counted and captured already. */
void netport_give_queue(struct netport_replica *to, struct exchange *exchange, unsigned queue_idx,
			struct frame *const *frames, unsigned cnt, bool again, uint64_t now_ns);
/* Of no use to the port: cnt frames are dropped, and counted. */
void netport_drop_out(struct netport_replica *to, uint64_t *counter, enum netport_drop why,
		      struct frame *const *frames, unsigned cnt, uint64_t now_ns);
/* Of the flow, the same in both directions. The sender's side. */
static inline uint32_t netport_frame_hash(struct frame *frame)
{
	const struct dissection *d;

	if (!frame->hashed) {
		d = frame_dissect(frame);
		frame->hash = dissect_flow_hash(frame->head, frame->head_bytes, d);
		frame->hashed = true;
	}
	return frame->hash;
}
/* Frames of another worker, with a reference of each, for the queue that the entry names. */
void netport_receive(struct exchange *exchange, const struct ring_entry *entry,
		     struct frame *const *frames, unsigned cnt, uint64_t now_ns);

#endif
