/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of steering share: a port with four queues that publish like a guest's ring, and
 * senders of flows whose frames have numbers. Not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_STEER_RIG_H
#define PARIO_TESTS_UNIT_NETWORK_STEER_RIG_H

#include "rig.h"

#include "flow/steering.h"
#include "network/netport_priv.h"
#include "worker/join.h"

#define STEER_RIG_FLOWS 64
#define STEER_RIG_QUEUES 4
#define STEER_RIG_PENDING 8192

/* A queue that publishes at flush(), or not while the guest has no buffers. */
struct steer_queue {
	struct netport_queue queue; /* first */
	unsigned worker;
	bool open;
	unsigned full; /* the guest has no buffers */
	unsigned pending_cnt;
	struct {
		uint32_t flow, sequence;
	} pending[STEER_RIG_PENDING];
	/* read by anybody */
	unsigned frame_cnt; /* published */
	unsigned flow_cnt[STEER_RIG_FLOWS];
};

struct steer_port {
	struct rig_port port; /* its queues are not used */
	struct steer_queue queues[STEER_RIG_QUEUES];
};

/* The number of the last frame of each flow that was published, in whichever queue. */
extern uint32_t steer_published[STEER_RIG_FLOWS];

void steer_port_open(struct rig *rig, struct steer_port *port);
/* Closes all queues that are open. */
void steer_port_close(struct steer_port *port);
void steer_queue_open(struct steer_port *port, unsigned idx, unsigned worker);
void steer_queue_close(struct steer_port *port, unsigned idx, bool moving);
/* What waits goes with it. */
void steer_queue_move(struct steer_port *port, unsigned idx, unsigned worker);
/* The guest has no buffers from now on; it has: what waited is published. */
void steer_queue_set_full(struct steer_port *port, unsigned idx, bool full);
unsigned steer_port_frames(const struct steer_port *port);

/* Takes effect everywhere before it returns. queue_of[i % cnt] is bucket i's queue. */
void steer_set_table(struct steer_port *port, unsigned table_cnt, const uint16_t *queue_of,
		     unsigned cnt);
void steer_set_kind(struct rig_port *port, enum steering_kind kind);

/* Sends frames of flows, with numbers, from one worker. */
struct steer_sender {
	struct rig_sender sender;
	struct rig_port *port; /* from */
	uint64_t from, to;
	bool reverse; /* it is the other side of the flows */
};
/* Of the flow: frames with the numbers from first on, cnt of them; on the sender's worker. */
void steer_send_on_worker(struct steer_sender *sender, unsigned queue_idx, const uint32_t *flows,
			  const uint32_t *sequences, unsigned cnt, uint64_t now_ns);
/* The same in bursts, from control. */
void steer_send(struct steer_sender *sender, unsigned queue_idx, uint32_t flow, uint32_t first,
		unsigned cnt);

#endif
