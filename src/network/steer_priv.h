/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steering on one worker: which queue each bucket and flow of a port is on, and what is about to
 * change that.
 * Not for other layers, and not the choice itself (flow/steering.h).
 */
#ifndef PARIO_NETWORK_STEER_PRIV_H
#define PARIO_NETWORK_STEER_PRIV_H

#include "base/clock.h"
#include "flow/flow_table.h"
#include "flow/steering.h"
#include "network/frame.h"
#include "network/netport.h"
#include "network/ring_priv.h"

struct exchange;
struct netport_replica;

/* Buckets of what has no table: by the upper bits of the flow's hash. */
#define STEER_SPREAD_BITS 9
/* Learnt flows: the table's entries, and so many of them may be off their bucket's queue. */
#define STEER_FLOWS 4096u
#define STEER_FLOW_AGE_NS (30 * NS_PER_S)
/* A flow without frames for so long has none outstanding: longer than they wait for buffers. */
#define STEER_FLOW_IDLE_NS NS_PER_S

/* So long a bucket or flow waits for what is outstanding; then it stays where it is, so long. */
#define STEER_GIVE_UP_NS NS_PER_MS
#define STEER_STAY_NS (100 * NS_PER_MS)
/* So long a frame waits at most: of a queue that goes to another worker, or of a whole port. */
#define STEER_HOLD_NS (20 * NS_PER_MS)
/* A fence that was not passed is sent again after that, and the clock is looked at. */
#define STEER_RETRY_NS (20 * NS_PER_US)

/* Moves at once, and frames held for them, of one worker. */
#define STEER_MOVES_MAX 64u
#define STEER_HELD_MAX 1024u
/* Besides, all that came back from one worker, which has a ring full at most, may be held. */
#define STEER_NODES (STEER_HELD_MAX + 1024u)

/* Where a bucket or flow is. All zeroes: nothing was sent yet. */
struct steer_place {
	uint64_t load; /* frames, with bytes weighed in; the owner writes, control reads */
	uint64_t stays_until_ns; /* a move was given up */
	uint8_t queue;           /* + 1 */
	uint8_t move;            /* + 1; 0: none is under way */
};

/* A learnt flow that is, or was, on another queue than its bucket. */
struct steer_flow {
	struct steer_place place;
	uint64_t used_ns; /* 0: no flow */
	uint32_t hash;
};

/* A port's steering on one worker. Control makes it, the worker has it while the port's replica. */
struct steer {
	const struct steering *steering; /* changes as long as buckets stay what they are */
	unsigned bucket_cnt;             /* with that of frames without a hash */
	uint8_t base; /* + 1: the queue of places that are zero, when that was the only one */
	uint8_t lone; /* + 1: the only queue now; nothing is looked up */
	uint8_t all;  /* + 1: the move that holds all frames of the port */
	bool used;    /* places are in use */
	struct flow_table *flows; /* LEARN: by what the port sends; else NULL */
	struct steer_flow *apart; /* LEARN: [STEER_FLOWS], in sets of FLOW_TABLE_WAYS */
	struct steer_place buckets[];
};

struct steer_list {
	uint16_t first, last; /* + 1; 0: empty */
};

enum steer_move_kind {
	STEER_MOVE_PLACE, /* a bucket or flow to another queue */
	STEER_MOVE_ALL,   /* a port to other buckets */
	STEER_MOVE_QUEUE, /* a queue to another worker */
};

struct steer_move {
	struct netport_replica *to; /* NULL: free */
	struct steer_place *place;  /* PLACE */
	uint64_t owed;              /* queues that frames may be outstanding in */
	uint64_t asked;             /* of these, the ones whose fence is out */
	uint64_t blocked;           /* of these, the ones in which frames waited for buffers */
	uint64_t ask_ns;            /* not before */
	uint64_t until_ns;          /* PLACE: given up then; ALL: if it is blocked */
	uint32_t token;             /* of this one, not of those that had the place before */
	uint8_t kind;
	uint8_t queue;             /* PLACE: where to; QUEUE: which */
	struct steer_list bounced; /* QUEUE: came back, so these are older */
	struct steer_list held;
};

/* Of an exchange. */
struct steer_moves {
	uint64_t active; /* bits of moves */
	uint32_t token;
	uint16_t free;     /* node + 1 */
	unsigned held_cnt; /* without those that came back */
	struct steer_move moves[STEER_MOVES_MAX];
	struct steer_node {
		struct frame *frame;
		uint64_t since_ns;
		uint16_t next; /* + 1 */
		bool bounced;
	} nodes[STEER_NODES];
};

/* steer.c; worker. */

/* More than one queue may be used: chooses for each frame. alone: nobody else gets the frames. */
void steer_give(struct netport_replica *to, struct exchange *exchange, uint64_t usable,
		struct frame *const *frames, unsigned cnt, bool alone, uint64_t now_ns);
/* One queue may be used. False: the frames were held, or dropped and counted. */
bool steer_lone(struct netport_replica *to, struct exchange *exchange, unsigned queue_idx,
		struct frame *const *frames, unsigned cnt, uint64_t now_ns);
/* The port learns where its guest sends flows from. */
void steer_learn(struct netport_replica *from, struct exchange *exchange, unsigned queue_idx,
		 struct frame *const *frames, unsigned cnt, uint64_t now_ns);
/* Another worker says it. */
void steer_learn_told(struct exchange *exchange, uint32_t port_id, uint64_t what, uint64_t now_ns);

/* steer_hold.c; worker. */

void steer_moves_init(struct steer_moves *moves);
/* With a reference. False: there is no room. */
bool steer_list_push(struct steer_moves *moves, struct steer_list *list, struct frame *frame,
		     bool bounced, uint64_t now_ns);
void steer_list_append(struct steer_moves *moves, struct steer_list *list, struct steer_list *tail);
/* NETPORT_BURST at most, with their references: steer_put_frames(). */
unsigned steer_list_pop_burst(struct steer_moves *moves, struct steer_list *list,
			      struct frame **frames);
void steer_put_frames(struct frame *const *frames, unsigned cnt);
/* All of them to the queue. again: they were counted already. */
void steer_list_give_queue(struct netport_replica *to, struct exchange *exchange,
			   struct steer_list *list, unsigned queue_idx, bool again,
			   uint64_t now_ns);
/* Drops those that have waited since then or longer. */
void steer_list_drop(struct netport_replica *to, struct exchange *exchange, struct steer_list *list,
		     uint64_t since_ns, uint64_t *counter, enum netport_drop why, uint64_t now_ns);
/* The frame waits; a reference is taken, or it is dropped and counted. */
void steer_hold(struct exchange *exchange, struct steer_move *move, struct frame *frame,
		uint64_t now_ns);

/* steer_move.c; worker. */

/*
 * A bucket or flow goes from queue to queue. True: at once. False: move is under way, and the place
 * knows it; or, where the place does not, it cannot be now.
 */
bool steer_move_place(struct netport_replica *to, struct exchange *exchange,
		      struct steer_place *place, unsigned from, unsigned queue_idx,
		      uint64_t now_ns);
/* All frames of the port wait until none is outstanding, if any is; then places begin anew. */
void steer_move_all(struct netport_replica *to, struct exchange *exchange, uint64_t now_ns);
/*
 * The queue is not where the last frames to it went. True: that is settled, and frames may be
 * given. False: these were held, or dropped and counted.
 */
bool steer_settle_queue(struct netport_replica *to, struct exchange *exchange, unsigned queue_idx,
			struct frame *const *frames, unsigned cnt, uint64_t now_ns);
/* A frame came back because its queue had moved on; keeps a reference or counts a drop. */
void steer_bounced(struct exchange *exchange, struct frame *frame, uint32_t port_id,
		   unsigned queue_idx, uint64_t now_ns);
/* Has everything before this fence of another worker been delivered? */
enum ring_kind steer_fence_answer(struct exchange *exchange, const struct ring_entry *entry);
/* The answer to one of ours. */
void steer_fence_answered(struct exchange *exchange, uint64_t what, enum ring_kind answer,
			  uint64_t now_ns);
/* Goes on with all moves, if any is active. Returns how many came to their end. */
unsigned steer_moves_step(struct exchange *exchange, uint64_t now_ns);
/* The port is gone: what is held for it is dropped. */
void steer_moves_drop(struct exchange *exchange, struct netport_replica *to, uint64_t now_ns);

/* steer_change.c; control. */

/* The port is about to be freed. */
void netport_free_steering(struct netport *port);

#endif
