/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network tests share: workers with a fabric and a switch, ports whose queues note what
 * they are given, senders that count what comes back. Not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_RIG_H
#define PARIO_TESTS_UNIT_NETWORK_RIG_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/evloop.h"
#include "base/ordering.h"
#include "network/netport.h"
#include "network/netswitch.h"
#include "worker/worker.h"

#define RIG_WORKERS_MAX 3
#define RIG_PORTS_MAX 8
#define RIG_FRAMES 4096

struct rig {
	struct evloop *loop;
	unsigned worker_cnt;
	struct worker *workers[RIG_WORKERS_MAX];
	struct fabric *fabric;
	struct netswitch *sw;
	unsigned closed; /* of what was told to close */
};

/* flood_limit_pps and so on; what is 0 gets a default. */
struct rig *rig_new(unsigned worker_cnt, const struct netswitch_options *options,
		    enum poll_mode mode);
/* The switch has no port any more. */
void rig_free(struct rig *rig);
/* For netport_close() and the like; arg is the rig. */
void rig_count_closed(void *arg);

/* Runs fn on a worker and returns when control has its acknowledgement. */
void rig_call(struct rig *rig, unsigned worker, void (*fn)(struct worker *worker, void *arg),
	      void *arg);
struct exchange *rig_exchange(struct rig *rig, unsigned worker);
/* Turns the control loop until the condition is true. */
#define rig_until(rig, condition)                                                \
	do {                                                                     \
		const uint64_t start_ns_ = clock_now_ns();                       \
		while (!(condition)) {                                           \
			assert_int_equal(evloop_turn((rig)->loop, 1), 0);        \
			assert_true(clock_now_ns() - start_ns_ < 60 * NS_PER_S); \
		}                                                                \
	} while (0)

/* Counters that a worker writes and the test reads. */
#define get(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n) __atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

/* A receiving queue that notes frames, and gives them back at once or when it is told to. */
struct rig_queue {
	struct netport_queue queue; /* first */
	struct rig *rig;
	unsigned worker;
	bool keeps;
	bool open;
	unsigned kept_cnt;
	struct frame *kept[RIG_FRAMES];
	bool kept_counted[RIG_FRAMES];
	/* read by anybody */
	unsigned frame_cnt;
	unsigned flush_cnt;
	unsigned deliver_cnt;
	unsigned refused; /* exchange_may_keep() said no */
	/* of the last frame */
	uint16_t vlan;
	unsigned head_bytes;
	uint8_t head[FRAME_HEAD_BYTES + ETHER_TAG_BYTES];
	/* what to do with each frame besides, on the owner; may be NULL */
	void (*on_frame)(struct rig_queue *queue, const struct frame *frame);
};

struct rig_port {
	struct rig *rig;
	struct netport *port;
	struct rig_queue queues[4];
};

/* Opens a port with queue 0 on that worker (no queue if it is negative). */
void rig_port_open(struct rig *rig, struct rig_port *port, const struct netport_options *options,
		   int worker);
void rig_port_close(struct rig_port *port);
void rig_queue_open(struct rig_port *port, unsigned idx, unsigned worker);
void rig_queue_close(struct rig_port *port, unsigned idx);
void rig_queue_release(struct rig_port *port, unsigned idx);
/* Of any one of its queues. */
unsigned rig_port_frames(const struct rig_port *port);

/* Sends from one worker. */
struct rig_sender {
	struct frame_source source; /* first */
	struct rig *rig;
	unsigned worker;
	struct frame *frames; /* RIG_FRAMES */
	unsigned next;
	/* read by anybody */
	unsigned sent;
	unsigned back; /* not kept by anybody, or returned */
};
void rig_sender_init(struct rig_sender *sender, struct rig *rig, unsigned worker);
/* All frames have come back. */
void rig_sender_fini(struct rig_sender *sender);

/* A frame's first bytes: addresses by number, VLAN tag if tci >= 0. */
#define RIG_NO_TAG (-1)
#define RIG_BROADCAST 0xffffffffffffull
struct rig_head {
	uint64_t to;
	uint64_t from;
	int tci;
	uint16_t type;
	uint16_t payload; /* put behind the headers */
};
unsigned rig_fill_head(uint8_t *head, const struct rig_head *what);

/* Sends cnt frames like that, in one burst, from port; returns when netport_send() has. */
void rig_send(struct rig_sender *sender, struct rig_port *port, const struct rig_head *heads,
	      unsigned cnt);
/* The same with another time than the worker's. */
void rig_send_at(struct rig_sender *sender, struct rig_port *port, const struct rig_head *heads,
		 unsigned cnt, uint64_t now_ns);
/* On the sender's worker: a free frame with one reference, without a head; a burst of such. */
struct frame *rig_sender_take(struct rig_sender *sender);
void rig_sender_send(struct rig_sender *sender, struct netport *port, struct frame *const *frames,
		     unsigned cnt, uint64_t now_ns);

struct netport_stats rig_stats(const struct rig_port *port);

/* A unicast address. */
static inline uint64_t rig_mac(unsigned number)
{
	return 0x020000000000ull | number;
}
void rig_mac_bytes(uint64_t mac, uint8_t *bytes);

#endif
