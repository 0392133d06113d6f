/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the control side of virtio-net shares: what the driver set, and the command under way.
 * Not for the data path, which sees struct net_rules.
 */
#ifndef PARIO_DEVICE_NET_CONTROL_PRIV_H
#define PARIO_DEVICE_NET_CONTROL_PRIV_H

#include "base/evloop.h"
#include "device/net/net_priv.h"

/* A command, its class and number included; longer ones are refused. */
#define NET_COMMAND_BYTES_MAX 4096
#define NET_COMMAND_BYTES_MIN 2

/* VIRTIO 1.3, 5.1.6.5 "Control Virtqueue". */
#define NET_OK 0
#define NET_ERR 1
#define NET_CLASS_MQ 4

/*
 * Entries of a driver's indirection table. The least that a device may offer: drivers of Linux
 * before 6.10 have room for no more, and do not look.
 */
#define NET_RSS_TABLE_MAX 128

/* Statistics (5.1.6.5.9): entries of 16 bytes ask for one result of at most 56 bytes each. */
#define NET_STATS_ASKED_BYTES 16
#define NET_STATS_RESULT_BYTES 56
#define NET_STATS_RESULTS_BYTES_MAX \
	(NET_COMMAND_BYTES_MAX / NET_STATS_ASKED_BYTES * NET_STATS_RESULT_BYTES)

/* MQ: how hashes are calculated, by the last RSS_CONFIG or HASH_CONFIG; no types: not at all. */
struct net_hashing {
	uint32_t types; /* bits of enum hash_type */
	uint8_t key_bytes;
	uint8_t key[TOEPLITZ_KEY_BYTES];
};

/* What the driver set; default after a reset. */
struct net_driver_state {
	unsigned pairs;     /* transmit queues in use */
	unsigned receivers; /* receive queues in use: from the first on */
	struct net_hashing hashing;
	bool rss; /* the last MQ command was RSS_CONFIG, with the next */
	uint16_t table_cnt, unclassified;
	uint16_t table[NET_RSS_TABLE_MAX];
	uint8_t mac[ETHER_MAC_BYTES];
	bool mac_known; /* given to the driver, or said by it */
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool unicast_overflow, multicast_overflow; /* the table was too long: all pass */
	uint8_t unicast_cnt, multicast_cnt;
	uint8_t unicast[NET_MAC_TABLE_MAX][ETHER_MAC_BYTES];
	uint8_t multicast[NET_MAC_TABLE_MAX][ETHER_MAC_BYTES];
	uint64_t vlans[NET_VLANS / 64];
	uint64_t guest_offloads; /* subset of what was negotiated */
	/* control_coalesce.c: by RX_SET and TX_SET; and of each queue, which may be by VQ_SET */
	struct net_coalesce rx_coalesce, tx_coalesce;
	struct net_coalesce coalesce[2 * NET_PAIRS_MAX];
};

/* See control.c. */
struct net_command {
	struct net_device *net;

	/* owner of the queue, or the worker that it left */
	bool busy; /* owners publish (release) and look (acquire) */
	bool answered;
	struct net_queue *queue;
	struct net_remainder *remainder; /* the queue has left this worker */
	struct worker *worker;

	/* handed over with post and call */
	struct evloop_post post;
	struct worker_call call;
	struct join join;
	bool rules;                     /* are to follow */
	struct net_driver_state before; /* the command */
	uint8_t ack;
	uint32_t bytes;
	uint32_t result_bytes;
	uint8_t data[NET_COMMAND_BYTES_MAX];
	uint8_t result[NET_STATS_RESULTS_BYTES_MAX];
};

struct net_rarp;
struct net_rules_node;
struct net_steer;

struct net_control {
	struct net_driver_state state;
	uint16_t mtu_said; /* 0: not by the front end */
	bool link_up;
	bool announcing; /* the driver has not acknowledged */
	bool runs;       /* the control queue */
	bool queue_runs[2 * NET_PAIRS_MAX];
	/* is on its way to a worker, and takes the rules there: not to be told; NULL: none */
	const struct device_queue *starting;
	uint64_t command_cnt, ok_cnt;
	struct net_rarp *rarp;   /* under way */
	struct net_steer *steer; /* steer.c */

	/* rules.c */
	struct net_rules_node *newest;
	struct net_rules_node *telling; /* the round is about it; NULL: none is under way */
	struct net_rules_node *spare;
	struct join round;
	struct join *waiter, *next_waiter;

	struct net_command command;
};

/* The MTU that the guest is told; 0: none. */
static inline uint16_t net_mtu(const struct net_device *net)
{
	return net->control->mtu_said ? net->control->mtu_said : net->options.mtu;
}

/* Bits of GUEST_OFFLOADS, which are those of the features. */
uint64_t net_offload_bits(void);
/* Config space has changed. */
void net_config_changed(struct net_device *net);
/* How many receive queues the switch may use, and how. */
void net_receivers_update(struct net_device *net);
/* Of those the driver takes. */
unsigned net_receivers(const struct net_device *net);

/* steer.c: how frames to the port are spread over its receive queues. */
int net_steer_new(struct net_device *net, struct err *err);
/* What is under way comes to its end without the device. */
void net_steer_free(struct net_device *net);
/*
 * Something that steering hangs on may have changed. The join, if there is one, hears when all
 * workers have what is wanted now, with -ENOMEM when they have the old one still. -ENOMEM: the join
 * will not hear.
 */
int net_steer_update(struct net_device *net, struct join *join);
/* Of frames whose hash is what these parameters make of them, or 0 (frame.h, rss_generation). */
uint64_t net_steer_generation(const struct net_device *net, const struct net_hashing *hashing);
/* -EINVAL with text: no such steering for a port of so many pairs. */
int net_steer_check(const struct net_steering *steering, unsigned pairs, struct err *err);

/* control_rss.c: the commands of class MQ; data without class and command. */
uint8_t net_control_mq(struct net_device *net, uint8_t number, const uint8_t *data, uint32_t bytes,
		       bool *rules);

/*
 * control.c, also for a fuzzer. Copies a command out of its chain; false: it is none, and was
 * answered. And the answer into it.
 */
bool net_command_take(struct net_command *command, struct vq_slot *chain);
void net_command_answer(const struct net_command *command, struct vq_slot *chain);

/*
 * control_execute.c: the command in net->control->command; changes the state and fills in the
 * result. Returns the ack; *rules says that the rules are to follow.
 */
uint8_t net_control_execute(struct net_device *net, bool *rules);

/* control_stats.c: class STATS; data without class and command. */
uint8_t net_control_stats(struct net_device *net, uint8_t number, const uint8_t *data,
			  uint32_t bytes);

/* control_coalesce.c: class NOTF_COAL; data without class and command. */
uint8_t net_control_coalesce(struct net_device *net, uint8_t number, const uint8_t *data,
			     uint32_t bytes, bool *rules);
/* Queue pairs may have been disabled by a command. True: so the rules are to follow. */
bool net_coalesce_settle(struct net_device *net);
/* Queue idx, which runs, starts or was enabled or disabled. True: as above. */
bool net_coalesce_queue_changed(struct net_device *net, unsigned idx, bool starts);

/* announce.c: one RARP at a time; -EBUSY, -EINVAL or -ENOMEM with text. */
int net_send_rarp(struct net_device *net, const uint8_t *mac, struct err *err);
/* The device goes; what is under way goes on without it. */
void net_rarp_forget(struct net_device *net);

#endif
