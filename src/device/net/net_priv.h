/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of virtio-net share: the wire's constants, the rules that queues work by, a frame
 * in its slot, a queue, the device.
 * Not for anybody outside device/net and its tests.
 *
 * A frame's way: header.c judges a vnet header against its frame, and writes one for a receiver
 * (pure); tx.c takes frames out of a transmit queue and sends them; rx.c puts frames into a receive
 * queue. control.c serves the control queue, rules.c makes the rules, steer.c says how frames to a
 * port are spread over its queues, config.c what the driver is told, net.c makes and ends devices.
 */
#ifndef PARIO_DEVICE_NET_NET_PRIV_H
#define PARIO_DEVICE_NET_NET_PRIV_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/le.h"
#include "device/device_priv.h"
#include "device/net/net.h"
#include "flow/segment.h"
#include "guest/gptr.h"
#include "guest/iov.h"
#include "network/frame.h"
#include "network/netport.h"
#include "virtqueue/chain.h"

/* VIRTIO 1.3, 5.1.3 "Feature bits". */
#define NET_F_CSUM 0
#define NET_F_GUEST_CSUM 1
#define NET_F_CTRL_GUEST_OFFLOADS 2
#define NET_F_MTU 3
#define NET_F_MAC 5
#define NET_F_GUEST_TSO4 7
#define NET_F_GUEST_TSO6 8
#define NET_F_GUEST_ECN 9
#define NET_F_GUEST_UFO 10
#define NET_F_HOST_TSO4 11
#define NET_F_HOST_TSO6 12
#define NET_F_HOST_ECN 13
#define NET_F_HOST_UFO 14
#define NET_F_MRG_RXBUF 15
#define NET_F_STATUS 16
#define NET_F_CTRL_VQ 17
#define NET_F_CTRL_RX 18
#define NET_F_CTRL_VLAN 19
#define NET_F_CTRL_RX_EXTRA 20
#define NET_F_GUEST_ANNOUNCE 21
#define NET_F_MQ 22
#define NET_F_CTRL_MAC_ADDR 23
#define NET_F_DEVICE_STATS 50
#define NET_F_VQ_NOTF_COAL 52
#define NET_F_NOTF_COAL 53
#define NET_F_GUEST_USO4 54
#define NET_F_GUEST_USO6 55
#define NET_F_HOST_USO 56
#define NET_F_HASH_REPORT 57
#define NET_F_GUEST_HDRLEN 59
#define NET_F_RSS 60
#define NET_F_SPEED_DUPLEX 63

/* VIRTIO 1.3, 5.1.6 "Device Operation". */
#define NET_HDR_F_NEEDS_CSUM 1
#define NET_HDR_F_DATA_VALID 2
#define NET_HDR_GSO_NONE 0
#define NET_HDR_GSO_TCPV4 1
#define NET_HDR_GSO_UDP 3
#define NET_HDR_GSO_TCPV6 4
#define NET_HDR_GSO_UDP_L4 5
#define NET_HDR_GSO_ECN 0x80

struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	struct le16 hdr_len;
	struct le16 gso_size;
	struct le16 csum_start;
	struct le16 csum_offset;
	struct le16 num_buffers; /* absent of a legacy driver without MRG_RXBUF */
};
static_assert(sizeof(struct net_header) == 12, "VIRTIO 1.3, 5.1.6");

/* What follows it with HASH_REPORT. */
struct net_header_hash {
	struct le32 value;
	struct le16 report; /* enum hash_type + 1, or 0 */
	struct le16 padding;
};
static_assert(sizeof(struct net_header_hash) == 8, "VIRTIO 1.3, 5.1.6");
#define NET_TCP_CSUM_OFFSET 16
#define NET_UDP_CSUM_OFFSET 6

#define NET_HEADER_BYTES 12
#define NET_HEADER_BYTES_LEGACY 10
#define NET_HEADER_BYTES_HASH 20 /* HASH_REPORT, both directions */

/* Receive buffers that one frame is spread over, at most. */
#define NET_RX_BUFFERS_MAX 128
/* Entries of the MAC table of each kind, and VLANs of the filter (one bit each). */
#define NET_MAC_TABLE_MAX 64
#define NET_VLANS 4096

/* What the driver wants of a queue's calls; all zero: nothing, the host decides. */
struct net_coalesce {
	bool given;
	uint32_t packets, usecs; /* either is 0: each packet is called for */
};

/*
 * What queues work by. Control makes it (rules.c), and never changes it once it is published in
 * net_device.rules; the old one is freed when every running queue has said that it took the new one
 * (QUEUE_CHANGE_MODEL). Workers read it through net_queue.rules.
 */
struct net_rules {
	/* both directions */
	uint8_t header_bytes; /* 12; 20 with HASH_REPORT; 10 of a legacy driver without MRG_RXBUF */
	/* tx: what the driver may ask for */
	bool host_csum;
	uint8_t host_gso;            /* bit = enum frame_gso; UDP_L4 covers v4 and v6 */
	uint32_t tx_frame_bytes_max; /* of a frame that is not large: MTU + headers; tags come on
					top */
	/* rx: what the driver takes. After GUEST_OFFLOADS commands. */
	bool mergeable;
	bool guest_csum;
	bool guest_tso4, guest_tso6, guest_ecn, guest_ufo, guest_uso4, guest_uso6;
	bool guest_hdrlen;           /* hdr_len must be exact */
	uint32_t rx_frame_bytes_max; /* as tx_frame_bytes_max */
	/* rx: what the driver wants to see (CTRL_RX, MAC_TABLE, VLAN) */
	bool filter_macs; /* false: all; else by mac, unicast, multicast and the next */
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool filter_vlans; /* only tags in vlans (untagged frames pass) */
	uint8_t mac[ETHER_MAC_BYTES];
	uint8_t unicast_cnt, multicast_cnt;
	uint8_t unicast[NET_MAC_TABLE_MAX][ETHER_MAC_BYTES];
	uint8_t multicast[NET_MAC_TABLE_MAX][ETHER_MAC_BYTES];
	uint64_t vlans[NET_VLANS / 64];
	/* rx: HASH_REPORT; what frame->rss_hash is good for is of generation */
	bool hash_report;
	uint32_t hash_types;
	uint64_t hash_generation;
	const struct toeplitz *hash_key; /* rules.c: lives as long as the rules; NULL: no types */
	/* both: NOTF_COAL, VQ_NOTF_COAL, by queue */
	struct net_coalesce coalesce[2 * NET_PAIRS_MAX];
};

enum net_queue_kind { NET_QUEUE_RX, NET_QUEUE_TX, NET_QUEUE_CONTROL, NET_QUEUE_NONE };

/* A transmitted frame, or nothing but a chain (rx, control), in the virtqueue's slot array. */
struct net_slot {
	struct vq_slot slot;   /* first */
	struct net_slot *next; /* of a list of ours */
	struct frame frame;    /* tx */
};

struct net_device;

/* Where the rest of a frame's bytes come from: what is left of head, then the iovecs. */
struct net_payload {
	const uint8_t *rest;
	unsigned rest_bytes;
	struct iov_cursor cursor;
	size_t taken_bytes; /* of the iovecs */
};

/*
 * What a frame becomes for its receiver, one output after another (egress.c). Between two of them
 * the receiver takes payload_bytes of payload.
 */
struct net_egress {
	const struct frame *frame;
	const struct net_rules *rules;
	enum netport_tag_edit edit;
	bool begun;
	bool segmented;
	struct net_payload payload;
	/* the output */
	struct net_header header;
	struct net_header_hash hash; /* of the frame; only if rules->hash_report */
	uint32_t payload_bytes;
	uint16_t head_bytes;
	uint8_t head[SEGMENT_HEADER_BYTES_MAX + ETHER_TAG_BYTES];
	/* done in software so far */
	uint32_t csums;
	uint32_t segments;
	struct segmenter segmenter;
	uint8_t large_head[FRAME_HEAD_BYTES];
};

struct net_rx;

/* What one transmit queue has with others; outlives the queue's stay on a worker (tx.c). */
struct net_tx;

/* By topic, not by size; and the counters have lines of their own. */
struct net_queue {                 /* NOLINT(clang-analyzer-optin.performance.Padding) */
	struct device_queue queue; /* first */
	struct net_device *net;
	enum net_queue_kind kind; /* owner; as of the start */
	const struct net_rules *rules;
	bool enabled; /* owner: SET_VRING_ENABLE; see net_queue_enable_on_worker() */
	struct exchange *exchange;
	struct coalesce_config coalesce_host; /* owner: what the host wants; rules go over it */
	struct virtqueue_port port;           /* owner: rx, tx */

	/* tx */
	struct net_tx *tx; /* tx.c */
	/* Frames that are out from workers which the queue has left: they go first. */
	unsigned left_out;
	uint64_t left_until_ns; /* owner: not waited for any longer */

	/* rx */
	struct netport_queue receiver;
	struct net_rx *rx; /* rx.c */

	/* control */
	struct net_slot *command; /* control.c: the one that control is looking at */

	struct net_stats stats CACHE_ALIGNED; /* the owner writes, anybody reads */
};
static_assert(offsetof(struct net_queue, queue) == 0, "the base comes first");

struct net_remainder {
	struct device_remainder remainder; /* first */
	struct net_tx *tx;                 /* tx.c; NULL: of a control queue */
	struct net_slot *command;
};

struct net_control; /* control.c: state that the driver set, and the command under way */

struct net_device {
	struct device device; /* first */
	struct fabric *fabric;
	struct netport *port;
	unsigned pairs_max;
	bool queue_num_rings;
	struct net_options options; /* name is the device's; workers NULL */
	struct evloop *loop;        /* of the control thread */
	struct net_control *control;
	/* control publishes (release), owners load (acquire) when a queue comes and when told */
	struct net_rules *rules;
};

static inline struct net_device *net_of_device(const struct device *device)
{
	return (struct net_device *)(void *)(uintptr_t)device;
}

static inline struct net_queue *net_of_queue(struct device_queue *queue)
{
	return (struct net_queue *)(void *)queue;
}

static inline struct net_slot *net_of_slot(struct vq_slot *slot)
{
	return (struct net_slot *)(void *)slot;
}

/*
 * What queue idx is under these features: rx 2i, tx 2i + 1, control 2N with N pairs under MQ or
 * RSS, else 2 (5.1.2). Pure.
 */
enum net_queue_kind net_queue_kind(uint64_t acked, unsigned pairs_max, unsigned idx);

/* header.c; pure. */

/*
 * Judges a transmit header against its frame, whose bytes, head, head_bytes and iov are set, and
 * sets the frame's offloads. Returns the counter in struct net_stats to be raised (offset), or 0:
 * the frame is good.
 */
size_t net_header_judge(struct frame *frame, const struct net_header *header,
			const struct net_rules *rules);
/* May a frame like that be given to the receiver as it is, large or with a partial checksum? */
bool net_header_fits(const struct frame *frame, const struct net_rules *rules);
/*
 * A receive header for a frame that fits. shift: what the receiver's first bytes are longer than
 * head (a VLAN tag, or -4). num_buffers is 1.
 */
void net_header_fill(struct net_header *header, const struct frame *frame,
		     const struct net_rules *rules, int shift);
/* What the receiver is told of the frame's hash, which its sender may have computed already. */
void net_header_fill_hash(struct net_header_hash *hash, const struct frame *frame,
			  const struct net_rules *rules);

/* egress.c; pure but for reading payload. frame and rules are borrowed until the last output. */
void net_egress_begin(struct net_egress *egress, const struct frame *frame,
		      const struct net_rules *rules, enum netport_tag_edit edit);
/* Fills in the next output. False: that was the last. */
bool net_egress_next(struct net_egress *egress);
/* The frame is somewhere else from now on: the same bytes, head_bytes as it was. */
void net_egress_moved(struct net_egress *egress, const struct frame *frame);

/* net.c; owner worker. Coalescing as rules and host say. */
void net_queue_coalesce(struct net_queue *queue);

/* tx.c, rx.c, control.c: per kind; owner worker. Called by net.c. */
unsigned net_tx_poll(struct net_queue *queue, uint64_t now_ns);
int net_tx_open(struct net_queue *queue, struct err *err);
void net_tx_close(struct net_queue *queue);
unsigned net_tx_detach(struct net_queue *queue, struct net_remainder *rem);
unsigned net_tx_reap(struct net_remainder *rem);
void net_tx_free(struct net_tx *tx);

unsigned net_rx_poll(struct net_queue *queue, uint64_t now_ns);
bool net_rx_prepare_sleep(struct net_queue *queue);
uint64_t net_rx_next_deadline(const struct net_queue *queue);
int net_rx_open(struct net_queue *queue, struct err *err);
void net_rx_enable(struct net_queue *queue);
/* queue->rules are others: the old ones are not used any more from here on. */
void net_rx_told(struct net_queue *queue);
/*
 * Nothing is received any more, and nothing taken in advance is left. keep: frames that wait go
 * with the queue to its next worker; else they are dropped. Also of one that is disabled already.
 */
void net_rx_disable(struct net_queue *queue, bool keep);
/* What was taken in advance goes back to the ring: it is about to stop, or memory changes. */
void net_rx_unfetch(struct net_queue *queue);
/* Control; the queue is with nobody. */
void net_rx_free(struct net_rx *rx);

/* Its device_queue_poll_end() is net.c's. */
unsigned net_control_poll(struct net_queue *queue, uint64_t now_ns);
/* At most one command is under way; it goes to the remainder. Returns 1 or 0. */
unsigned net_control_detach(struct net_queue *queue, struct net_remainder *rem);
/*
 * On the worker that was left: 1 when the command, rem->command, has come to its end. Its answer is
 * written then, and its iovecs are given back to rem's pool: it is only to be completed.
 */
unsigned net_control_reap(struct net_remainder *rem);

/* rules.c; control. */
/* Makes rules out of features, options and what the driver set, and publishes them. The old ones
 * are freed when all running queues have taken the new; join hears then. -ENOMEM: as it was. */
int net_rules_update(struct net_device *net, struct join *join);
/* No queue runs. */
void net_rules_free(struct net_device *net);

/* config.c; control. Members of device_ops. */
uint64_t net_features_offered(const struct net_options *options);
const char *net_feature_name(unsigned bit);
unsigned net_queue_group(const struct device *device, unsigned idx);
void net_features_acked(struct device *device);
unsigned net_config_fill(const struct device *device, void *data);
int net_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
		     struct err *err);

/* control.c; control. */
/* net is filled in; makes the first rules. */
int net_control_new(struct net_device *net, struct err *err);
void net_control_free(struct net_device *net);
/* Device reset: what the driver set is forgotten. */
void net_control_reset(struct net_device *net);

/* control.c; control. Members of device_ops. */
bool net_queue_is_told(const struct device *device, unsigned idx);
void net_queue_changed(struct device *device, unsigned idx);
int net_message(struct device *device, enum device_message message, uint64_t value,
		struct err *err);

#endif
