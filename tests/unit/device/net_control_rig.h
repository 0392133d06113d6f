/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control side of a network device with real workers, rings and guest memory, and the driver
 * that uses it. Its receive and transmit queues only note what they are told, and transmit queues
 * that are disabled discard; the switch is a fake.
 *
 * All of it runs on the test's thread, which is the control thread too.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_NET_CONTROL_RIG_H
#define PARIO_TESTS_UNIT_DEVICE_NET_CONTROL_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/net/control_priv.h"
#include "driver/ring.h"
#include "driver/shm.h"

#define NET_RIG_WORKERS 2
#ifndef NET_RIG_PAIRS
#define NET_RIG_PAIRS 2
#endif
#define NET_RIG_QUEUES (2 * NET_RIG_PAIRS + 1)
#define NET_RIG_CONTROL (2 * NET_RIG_PAIRS)
#define NET_RIG_RING 256
#define NET_RIG_BYTES 16384u
#define NET_RIG_NO_ACK 0xEE
#define NET_RIG_MTU 1500

struct net_rig_options {
	enum ring_format format;
	uint64_t features_off; /* offered ones that the driver does not take */
	bool in_order;
	bool no_mac;
	enum poll_mode poll_mode;
};

struct net_rig_queue {
	struct ring *ring;
	int kick_fd, call_fd;
	bool started;
	/* owner: what the model was told; read with load_relaxed */
	unsigned told_cnt;
	unsigned enabled_cnt, disabled_cnt;
	unsigned discarded_cnt;
};

struct net_rig {
	struct net_rig_options options;
	struct evloop *loop;
	struct worker *workers[NET_RIG_WORKERS];
	struct net_device net;
	struct shm *shm;
	struct gmap_region *regions[2];
	unsigned region_cnt;
	struct gmem *memory;
	uint8_t *out, *in;
	uint64_t out_gpa, in_gpa;
	unsigned config_changes;
	struct net_rig_queue queues[NET_RIG_QUEUES];
};

/* What the fake switch was asked for. */
struct net_rig_switch {
	unsigned receivers;
	unsigned sent;
	bool keep; /* frames are kept until net_rig_return() */
	struct frame *kept;
	uint8_t head[64]; /* of the last frame */
	uint32_t bytes;
};
extern struct net_rig_switch net_rig_switch;

struct net_rig_wait {
	struct join join;
	bool finished;
};

/* Features are negotiated, memory is set, no queue runs. */
void net_rig_open(struct net_rig *rig, const struct net_rig_options *options);
void net_rig_close(struct net_rig *rig);

void net_rig_wait_open(struct net_rig_wait *wait);
/* Drops the opener's reference and turns the loop until the join has finished. */
int net_rig_wait_done(struct net_rig *rig, struct net_rig_wait *wait);
/* A message through each worker and back. */
void net_rig_ping(struct net_rig *rig);
uint64_t net_rig_deadline_ns(void);
/* One turn of the loop; fails the test once the deadline has passed. */
void net_rig_turn(struct net_rig *rig, uint64_t deadline_ns, const char *what);

void net_rig_start_at(struct net_rig *rig, unsigned idx, bool enabled, uint32_t base);
void net_rig_start(struct net_rig *rig, unsigned idx, bool enabled);
void net_rig_stop(struct net_rig *rig, unsigned idx);
void net_rig_enable(struct net_rig *rig, unsigned idx, bool enabled);
void net_rig_move(struct net_rig *rig, unsigned idx, unsigned worker);
/* All receive and transmit queues, and the control queue, enabled. */
void net_rig_start_all(struct net_rig *rig);

/* Adds a chain of out and in bytes of rig->out and rig->in in pieces, shows it, and kicks. */
void net_rig_add(struct net_rig *rig, unsigned idx, uint16_t token, uint32_t out_bytes,
		 uint32_t in_bytes, uint32_t piece);
void net_rig_kick(struct net_rig *rig, unsigned idx);
/* Waits for one used chain; its used length. */
uint32_t net_rig_used(struct net_rig *rig, unsigned idx);

struct net_rig_answer {
	uint8_t ack; /* NET_RIG_NO_ACK: was not written */
	uint32_t used_bytes;
};
/* A command of rig->out, in pieces of so many bytes (0: one). */
struct net_rig_answer net_rig_command(struct net_rig *rig, uint32_t bytes, uint32_t in_bytes,
				      uint32_t piece);
/* Class, number and data; the ack. Checks that one byte was used. */
uint8_t net_rig_do(struct net_rig *rig, uint8_t class, uint8_t number, const void *data,
		   uint32_t bytes);
/* What queues work by now. */
const struct net_rules *net_rig_rules(const struct net_rig *rig);
struct net_state net_rig_state(const struct net_rig *rig);
/* The kept frame goes back, on the worker that sent it. */
void net_rig_return(struct net_rig *rig);

#endif
