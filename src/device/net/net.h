/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net: making a network device out of a port of a switch and a set of workers.
 * Not its parts (config.c, header.c, tx.c, rx.c, control.c), which net_priv.h names.
 */
#ifndef PARIO_DEVICE_NET_NET_H
#define PARIO_DEVICE_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/stat.h"
#include "device/device.h"
#include "flow/steering.h"
#include "network/netport.h"
#include "worker/worker.h"

#define NET_PAIRS_MAX 64
#define NET_MTU_MIN 68
#define NET_MTU_MAX 65535

/* Offloads that a port may have switched off one by one. */
struct net_offloads {
	bool csum;       /* CSUM: the guest leaves checksums to us */
	bool guest_csum; /* GUEST_CSUM: we may leave them to the guest */
	bool host_tso4, host_tso6, host_ecn, host_ufo, host_uso;
	bool guest_tso4, guest_tso6, guest_ecn, guest_ufo, guest_uso4, guest_uso6;
	bool mrg_rxbuf;
};

enum net_steering_mode {
	NET_STEERING_LEARN,     /* a flow returns on the queue that its guest sends it from */
	NET_STEERING_RSS,       /* by key, types and table */
	NET_STEERING_REBALANCE, /* the same, and the table follows the load */
	NET_STEERING_MODE_MAX_,
};
/* "learn", "rss", "rebalance"; NULL beyond. */
const char *net_steering_mode_name(enum net_steering_mode mode);

/*
 * What the host wants of frames to a port with several queues in use. The guest's own RSS command,
 * where it comes, goes over it.
 */
struct net_steering {
	enum net_steering_mode mode;
	bool inner;           /* VXLAN: by the headers inside */
	uint32_t interval_ms; /* REBALANCE: how often the load is looked at */
	/* RSS, REBALANCE */
	uint32_t types; /* bits of enum hash_type */
	unsigned key_bytes;
	uint8_t key[TOEPLITZ_KEY_BYTES];
	unsigned table_cnt;                 /* 0: as many entries as are good, dealt out evenly */
	uint16_t table[STEERING_TABLE_MAX]; /* queue pairs */
};

/* Strings are copied; fabric, workers and the port are borrowed until net_device_free(). */
struct net_options {
	const char *name;
	unsigned queue_pairs; /* 1 to NET_PAIRS_MAX */
	uint8_t mac[ETHER_MAC_BYTES];
	bool mac_given;      /* offer MAC */
	uint16_t mtu;        /* 0: MTU is not offered */
	uint32_t speed_mbit; /* SPEED_DUPLEX; 0xffffffff: not known */
	struct net_offloads offloads;
	struct net_steering steering;
	bool packed;
	bool in_order;
	bool event_idx;
	bool indirect;
	bool queue_num_rings; /* GET_QUEUE_NUM in rings, not in pairs */
	struct device_tuning tuning;
	struct fabric *fabric;
	struct netport *port;
	struct worker *const *workers;
	unsigned worker_cnt;
	unsigned worker_shift;
};

/* Frames of one queue, beside the virtqueue's own counters. "tx": from the guest. */
struct net_stats {
	uint64_t tx_frames, tx_bytes, tx_gso;
	uint64_t rx_frames, rx_bytes, rx_gso;
	uint64_t rx_segments; /* made in software for a guest that does not take large frames */
	uint64_t rx_csums;    /* completed in software */
	/* tx: refused by name */
	uint64_t tx_bad_chain;  /* the virtqueue said so */
	uint64_t tx_bad_header; /* no vnet header, or writable parts */
	uint64_t tx_runt;       /* shorter than an Ethernet header */
	uint64_t tx_too_long;   /* more than FRAME_BYTES_MAX */
	uint64_t tx_bad_csum;   /* csum_start, csum_offset beyond the headers, or not negotiated */
	uint64_t tx_bad_gso;    /* gso type, size, or headers that do not fit it */
	uint64_t tx_over_mtu;   /* longer than the port's MTU and no large frame */
	uint64_t tx_disabled;   /* the ring is started and not enabled: discarded */
	/* rx: dropped by name */
	uint64_t rx_no_buffer; /* none came in time, and the pool is full */
	uint64_t rx_bad_chain;
	uint64_t rx_small_buffer; /* does not fit into what the guest posted */
	uint64_t rx_over_mtu;
	uint64_t rx_filtered; /* MAC, VLAN filter of the guest */
	/* rx: kept */
	uint64_t rx_held;   /* frames that waited for buffers at their sender's */
	uint64_t rx_pooled; /* frames that were copied to wait longer */
	/* control queue */
	uint64_t control_commands;
	uint64_t control_refused;   /* answered ERR; the control thread writes it */
	uint64_t control_coalesce;  /* of these: packets or usecs beyond bounds */
	uint64_t control_malformed; /* bad chain, too short, too long, or no room for the answer */
};

extern const struct stat_row net_stat_rows[];
extern const unsigned net_stat_row_cnt;

/* Control: device_stat_tables() of any port, also while there is none. */
const struct stat_table *net_stat_tables(unsigned *cnt);

/* Control thread. 0 or -EINVAL / -ENOMEM with text. */
int net_device_new(const struct net_options *options, struct evloop *control, struct device **out,
		   struct err *err);
/* Control; every queue stopped. NULL is allowed. */
void net_device_free(struct device *device);

/* Control: link up or down; the guest is told (STATUS). */
void net_device_set_link(struct device *device, bool up);

/*
 * Control: the guest is asked to announce itself (GUEST_ANNOUNCE); for one that cannot, a RARP of
 * its address is sent.
 */
void net_device_announce(struct device *device);

/* What the guest set through its control queue, or the defaults. */
struct net_state {
	unsigned pairs; /* in use */
	uint8_t mac[ETHER_MAC_BYTES];
	uint16_t mtu; /* 0: none was said */
	bool link_up;
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	unsigned unicast_cnt, multicast_cnt; /* of the MAC table */
	unsigned vlan_cnt;                   /* of the VLAN filter */
	bool unicast_overflow, multicast_overflow;
	uint64_t guest_offloads; /* as GUEST_OFFLOADS has them */
};
/* Control. */
void net_device_state(const struct device *device, struct net_state *state);

/*
 * Control. What the host wants from now on; every queue has it when the join hears. -EINVAL with
 * text (a queue pair that there is not, no power of two, ...): nothing has changed.
 */
int net_device_set_steering(struct device *device, const struct net_steering *steering,
			    struct join *join, struct err *err);

/* How frames to the port are steered at this moment. */
struct net_steering_view {
	enum net_steering_mode mode; /* of the host */
	bool by_guest;               /* the guest's RSS command is in force */
	bool hash_report;            /* the guest is told hashes */
	uint32_t types;              /* the next are 0 in mode learn */
	unsigned key_bytes;
	uint8_t key[TOEPLITZ_KEY_BYTES];
	uint16_t unclassified;
	unsigned table_cnt;
	uint16_t table[STEERING_TABLE_MAX];
	/* Of each bucket: in the last whole interval (REBALANCE), else since the table was set. */
	uint64_t load[STEERING_TABLE_MAX];
	uint64_t balanced; /* rounds that moved buckets */
	unsigned flows;    /* learn: known now */
};
/* Control. */
void net_device_steering_view(const struct device *device, struct net_steering_view *view);

#endif
