/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of network/ know of a fabric: rings, exchanges, rounds over all workers.
 * Not for other layers.
 */
#ifndef PARIO_NETWORK_FABRIC_PRIV_H
#define PARIO_NETWORK_FABRIC_PRIV_H

#include "network/fabric.h"
#include "network/netport.h"
#include "network/ring_priv.h"
#include "network/steer_priv.h"

/* The number of a port: its place (low 16 bits) and the place's generation. */
#define FABRIC_PORT_PLACE(id) ((id)&0xffffu)

/* One producer, one consumer; all else that they know is in their own struct exchange_peer. */
struct ring {
	CACHE_ALIGNED uint32_t tail; /* the producer publishes (release) */
	CACHE_ALIGNED uint32_t head; /* the consumer has taken (release) */
	CACHE_ALIGNED struct ring_entry entries[FABRIC_RING_ENTRIES];
};

/* What an exchange knows of another. Its owner only. */
struct exchange_peer {
	struct exchange *exchange; /* the other */
	struct ring *out;          /* its inbox for us */
	struct ring *out_returns;
	struct ring *in; /* our inbox for it */
	struct ring *in_returns;
	uint32_t out_tail; /* published at the end of the burst */
	uint32_t out_head; /* as last seen */
	uint32_t out_returns_tail;
	uint32_t in_head;
	uint32_t in_returns_head;
	uint32_t out_cnt;   /* frames and fences that it has of us */
	uint32_t fence_cnt; /* fences alone */
	uint32_t kept;      /* frames of it that receivers here keep */
	bool dirty;         /* something is to be published */
};

struct netport_replica;
struct exchange_port {
	struct netport_replica *replica; /* NULL: none */
	uint32_t id;
};

/* By who writes, not by size. */
struct exchange { /* NOLINT(clang-analyzer-optin.performance.Padding) */
	/* Any worker: who clears it rings */
	CACHE_ALIGNED int sleeping;

	/* Constant */
	CACHE_ALIGNED struct fabric *fabric;
	struct worker *worker;
	int wake_fd;
	uint16_t idx;
	uint16_t peer_cnt; /* its own place is there, too, and never used */
	struct exchange_peer *peers;

	/* Owner */
	bool in_burst; /* what is put into rings will be published by whoever began the burst */
	uint16_t dirty_cnt;
	uint16_t *dirty_peers;
	struct netport_queue *dirty_queues;
	struct exchange_port *ports; /* [FABRIC_PORTS_MAX] */
	struct poller poller;
	struct steer_moves moves;

	struct exchange_stats stats CACHE_ALIGNED;
};

struct fabric_place {
	bool used;
	uint16_t generation;
};

/* Control only, but for what is constant. */
struct fabric {
	unsigned worker_cnt;
	struct exchange **exchanges;
	struct ring *rings; /* inboxes, then return rings: [from * worker_cnt + to] */
	struct fabric_round *start;
	struct fabric_round *stop;
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	void (*closed)(void *arg);
	void *closed_arg;
	unsigned next_place;
	unsigned copies; /* any worker: fabric_copies() */
	struct fabric_place places[FABRIC_PORTS_MAX];
};

/* exchange.c */

extern const struct poller_ops exchange_poller_ops;

static inline void exchange_mark_dirty(struct exchange *exchange, struct exchange_peer *peer)
{
	if (peer->dirty)
		return;
	peer->dirty = true;
	exchange->dirty_peers[exchange->dirty_cnt++] = (uint16_t)(peer - exchange->peers);
}

/*
 * Pushes frames for a queue to the inbox of its worker, with a reference of each. Returns how many
 * found room. Published by exchange_end_burst().
 */
unsigned exchange_push(struct exchange *exchange, unsigned to, uint32_t port_id, unsigned queue_idx,
		       enum ring_kind kind, struct frame *const *frames, unsigned cnt);
/*
 * Tells all others that an address is behind a port (RING_LEARN), or that the port sends a flow
 * from a queue (RING_FLOW). False: not all of them have room for it.
 */
bool exchange_tell(struct exchange *exchange, enum ring_kind kind, uint32_t port_id, uint64_t what);
/* A fence behind all that was pushed for the queue. False: there is no room. */
bool exchange_push_fence(struct exchange *exchange, unsigned to, const struct ring_entry *fence);
/* A frame of another worker whose queue has moved on goes back, to be sent there. */
void exchange_bounce(struct exchange *exchange, struct frame *frame, uint32_t port_id,
		     unsigned queue_idx);

static inline void exchange_begin_burst(struct exchange *exchange)
{
	exchange->in_burst = true;
}
/* Flushes queues and publishes what was pushed. */
void exchange_end_burst(struct exchange *exchange, uint64_t now_ns);

/* The replica of a port that may be gone: NULL then. */
static inline struct netport_replica *exchange_port(const struct exchange *exchange,
						    uint32_t port_id)
{
	const struct exchange_port *port = &exchange->ports[FABRIC_PORT_PLACE(port_id)];

	return port->id == port_id ? port->replica : NULL;
}

/* fabric.c; control. */

/* Something that is to run on each worker, and then once on control. One run at a time. */
struct fabric_round;
struct fabric_round *fabric_round_new(struct fabric *fabric);
/* done may free the round. */
void fabric_round_start(struct fabric_round *round,
			void (*run)(struct exchange *exchange, void *arg), void (*done)(void *arg),
			void *arg);

/* False: there are too many ports. */
bool fabric_take_port_id(struct fabric *fabric, uint32_t *port_id);
void fabric_put_port_id(struct fabric *fabric, uint32_t port_id);

#endif
