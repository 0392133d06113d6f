/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests with network devices on one switch: real workers, virtqueues and guest memory, and the
 * drivers that use them. Not a test.
 *
 * The drivers' rings are those of tools/bench/driver. All of it runs on the test's thread, which
 * is the control thread too.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_NET_RIG_H
#define PARIO_TESTS_UNIT_DEVICE_NET_RIG_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "device/net/net_priv.h"
#include "driver/ring.h"
#include "driver/shm.h"
#include "guest/gmem.h"
#include "network/netswitch.h"

#define NET_RIG_WORKERS 2
#define NET_RIG_GUESTS 4
#ifndef NET_RIG_PAIRS
#define NET_RIG_PAIRS 2
#endif
#define NET_RIG_SIZE_MAX 512
#define NET_RIG_PIECES_MAX 64
/* Header and the longest frame there is. */
#define NET_RIG_BYTES_MAX (NET_HEADER_BYTES_HASH + FRAME_BYTES_MAX)
/* Most of the tests' frames are of this type, for local experiments. */
#define NET_RIG_ETHER_TYPE 0x88b5

#define BIT(n) (1ull << (n))
#define NET_RIG_GUEST_GSO                                                       \
	(BIT(NET_F_GUEST_TSO4) | BIT(NET_F_GUEST_TSO6) | BIT(NET_F_GUEST_ECN) | \
	 BIT(NET_F_GUEST_UFO) | BIT(NET_F_GUEST_USO4) | BIT(NET_F_GUEST_USO6))

struct net_guest_options {
	enum ring_format format;
	uint16_t size;  /* of all rings; 0 = 64 */
	unsigned pairs; /* 0 = 1 */
	bool event_idx, indirect, in_order;
	uint64_t features_off; /* offered ones that the driver does not take */
	uint32_t buffer_bytes; /* of a receive buffer; 0 = NET_RIG_BYTES_MAX */
	unsigned pieces;       /* descriptors of one; 0 = 1 */
	uint16_t mtu;
	unsigned rx_worker, tx_worker;
	bool no_lock; /* its address is not locked */
	bool control; /* the control queue, queue 2 * pairs, on rx_worker */
	bool hash;    /* HASH_REPORT */
	enum poll_mode poll_mode;
	struct coalesce_config coalesce;
};

/* Memory of one chain, by token. */
struct net_buffer {
	uint8_t *data;
	uint64_t gpa;
	void *table;
	uint64_t table_gpa;
};

struct net_guest_queue {
	struct ring *ring;
	struct net_buffer *buffers; /* ring->size of them */
	uint16_t *free;             /* tokens */
	unsigned free_cnt;
	struct ring_used used[NET_RIG_SIZE_MAX]; /* rx: taken off the ring, oldest first */
	unsigned used_cnt;
	unsigned empty_cnt;           /* rx: came back with nothing in them */
	int kick_fd, call_fd, err_fd; /* the driver's */
	bool started, was_started;
	bool kicked; /* the device wanted a kick for what was published last */
};

struct net_guest {
	struct net_guest_options options;
	unsigned number;
	uint8_t mac[ETHER_MAC_BYTES];
	struct netport *port;
	struct device *device;
	struct shm *shm;
	struct gmap_region *region;
	struct gmem *memory;
	struct net_guest_queue queues[2 * NET_RIG_PAIRS + 1];
	bool there;
};

static inline unsigned net_rig_queue_cnt(const struct net_guest *guest)
{
	return 2 * guest->options.pairs + guest->options.control;
}

struct net_rig {
	struct evloop *loop;
	struct worker *workers[NET_RIG_WORKERS];
	unsigned worker_cnt;
	struct fabric *fabric;
	struct netswitch *sw;
	struct net_guest guests[NET_RIG_GUESTS];
	unsigned closed; /* of what was told to close */
};

/* A join that remembers. */
struct net_rig_wait {
	struct join join;
	bool finished;
};

void net_rig_open(struct net_rig *rig, unsigned worker_cnt);
/* Guests that are there are removed. */
void net_rig_close(struct net_rig *rig);
/* A port with its device, all queues started and enabled. */
struct net_guest *net_rig_guest(struct net_rig *rig, unsigned number,
				const struct net_guest_options *options);
void net_rig_guest_remove(struct net_rig *rig, struct net_guest *guest);

void net_rig_wait_open(struct net_rig_wait *wait);
/* Drops the opener's reference, turns the loop until the join has finished; its status. */
int net_rig_wait_done(struct net_rig *rig, struct net_rig_wait *wait);
/* A deadline for a loop: fails the test when it has passed. Turns the control loop. */
void net_rig_turn(struct net_rig *rig, uint64_t deadline_ns, const char *what);
uint64_t net_rig_deadline_ns(void);
#define net_rig_until(rig, condition)                                  \
	do {                                                           \
		const uint64_t deadline_ns_ = net_rig_deadline_ns();   \
		while (!(condition))                                   \
			net_rig_turn((rig), deadline_ns_, #condition); \
	} while (0)

/* Queue idx: 2i receives, 2i + 1 transmits. */
void net_rig_queue_start(struct net_rig *rig, struct net_guest *guest, unsigned idx, bool enabled);
void net_rig_queue_stop(struct net_rig *rig, struct net_guest *guest, unsigned idx);
void net_rig_queue_enable(struct net_rig *rig, struct net_guest *guest, unsigned idx, bool enabled);
void net_rig_queue_move(struct net_rig *rig, struct net_guest *guest, unsigned idx,
			unsigned worker);
/* Kicks if the device asks for it; says whether it did. */
bool net_rig_publish(struct net_guest *guest, unsigned idx);
void net_rig_kick(struct net_guest *guest, unsigned idx);
/* The token of a free buffer, which is taken. */
uint16_t net_rig_token(struct net_guest *guest, unsigned idx);
/* A chain of any kind, not published. -ENOSPC: no descriptors. */
int net_rig_add(struct net_guest *guest, unsigned idx, const struct ring_seg *segs,
		unsigned out_cnt, unsigned in_cnt, uint16_t token);

/* How a frame's bytes, header first, lie in descriptors. */
enum net_layout {
	NET_LAYOUT_ONE,   /* all in one */
	NET_LAYOUT_TWO,   /* the header in its own */
	NET_LAYOUT_BYTES, /* the first NET_RIG_PIECES_MAX - 1 bytes in one each */
	NET_LAYOUT_CNT_,
};
/*
 * Adds a frame to transmit queue idx and does not publish it. False: no free buffer or descriptors.
 * The last token is the one taken.
 */
bool net_rig_send(struct net_guest *guest, unsigned idx, const struct net_header *header,
		  const uint8_t *frame, unsigned bytes, enum net_layout layout);
/* Takes back what was transmitted. Returns how many. */
unsigned net_rig_reap(struct net_guest *guest, unsigned idx);
/* All that were added have come back. */
bool net_rig_all_back(struct net_guest *guest, unsigned idx);

/* Posts up to cnt receive buffers (as many as there are) and publishes them; how many. */
unsigned net_rig_post(struct net_guest *guest, unsigned idx, unsigned cnt);
#define NET_RIG_ALL NET_RIG_SIZE_MAX

struct net_received {
	struct net_header header;
	struct net_header_hash hash; /* with that option */
	unsigned buffers;
	unsigned bytes; /* without header */
	uint8_t frame[FRAME_BYTES_MAX + 64];
};
/*
 * A frame that was received, all its buffers; false: none. Buffers are free again, and those that
 * came back empty before it, which are counted. Fails the test
 * if the ring is wrong or a frame's buffers are not all there.
 */
bool net_rig_receive(struct net_guest *guest, unsigned idx, struct net_received *received);

struct net_stats net_rig_stats(const struct net_guest *guest);
struct virtqueue_stats net_rig_ring_stats(const struct net_guest *guest);

/* A frame of those bytes that says from whom, to whom, and which. At least 14 bytes. */
void net_rig_frame(uint8_t *frame, unsigned bytes, const struct net_guest *from,
		   const struct net_guest *to, uint32_t seq);
/* Which one it is; frames of 18 bytes and more. */
uint32_t net_rig_seq(const uint8_t *frame);
/* Fails the test if it is another. */
void net_rig_frame_check(const uint8_t *frame, unsigned bytes, const struct net_guest *from,
			 const struct net_guest *to, uint32_t seq);

#endif
