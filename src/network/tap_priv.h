/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the tap share: its header on the wire, a queue, the tap.
 * Not for anybody outside tap*.c and their tests.
 */
#ifndef PARIO_NETWORK_TAP_PRIV_H
#define PARIO_NETWORK_TAP_PRIV_H

#include <assert.h>
#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/le.h"
#include "flow/segment.h"
#include "network/frame_pool.h"
#include "network/tap.h"
#include "worker/uring.h"
#include "worker/worker.h"

/* As VIRTIO 1.3, 5.1.6 has it; TUNSETVNETHDRSZ and TUNSETVNETLE make the kernel agree. */
struct tap_header {
	uint8_t flags;
	uint8_t gso_type;
	struct le16 hdr_len;
	struct le16 gso_size;
	struct le16 csum_start;
	struct le16 csum_offset;
	struct le16 num_buffers; /* the kernel ignores it */
};
static_assert(sizeof(struct tap_header) == 12, "VIRTIO 1.3, 5.1.6");

#define TAP_HEADER_F_NEEDS_CSUM 1
#define TAP_HEADER_F_DATA_VALID 2
#define TAP_HEADER_GSO_NONE 0
#define TAP_HEADER_GSO_TCPV4 1
#define TAP_HEADER_GSO_UDP 3
#define TAP_HEADER_GSO_TCPV6 4
#define TAP_HEADER_GSO_UDP_L4 5
#define TAP_HEADER_GSO_ECN 0x80

/* Failed reads one after another that make a queue give up. */
#define TAP_RX_ERRORS_MAX 64

/* One of the tap's queues. Its worker's from start to stop, control's otherwise. */
struct tap_queue {
	struct poller poller;
	struct netport_queue receiver;
	struct tap *tap;
	struct worker *worker;
	struct exchange *exchange;
	struct worker_call start;
	struct worker_call stop;
	unsigned idx;
	int fd;
	struct tap_header header; /* of the frame that is read or written */

	/* from the kernel */
	struct uring_op watch;   /* a poll for input */
	struct uring_op unwatch; /* its cancellation */
	bool watching;
	bool unwatching;
	bool starved;  /* all frames are out */
	bool lost;     /* the interface is gone */
	bool stopping; /* `stop` is to be acknowledged */
	unsigned errors_in_row;
	struct frame_pool pool;

	/* to the kernel: scratch of one deliver() */
	uint8_t head[FRAME_HEAD_BYTES + ETHER_TAG_BYTES];
	struct segment segment;
	struct iovec iov[IOV_MAX];     /* what a write is given */
	struct iovec payload[IOV_MAX]; /* of a frame that is segmented here */

	struct tap_stats stats CACHE_ALIGNED; /* the owner writes, anybody reads */
};

struct tap {
	char *tag; /* for the log */
	char ifname[IF_NAMESIZE];
	bool made; /* the interface came with us and goes with us */
	bool offloads;
	bool uso;  /* the kernel knows segmentation of UDP */
	bool lost; /* any worker: the line for the log was printed */
	struct netport *port;
	unsigned queue_cnt;
	unsigned started_cnt;
	unsigned stopped_cnt;
	struct tap_queue *queues;
	void (*closed)(void *arg);
	void *closed_arg;
};

/* tap_open.c; control. Opens all queues' fd, and sets the interface up. fd is -1 or open after. */
int tap_interface_open(struct tap *tap, const struct tap_options *options, struct err *err);

/* tap_header.c; pure. */

/* Sets the frame's offloads, whose bytes, head, head_bytes and iov are set. False: they contradict
 * the frame. May complete the head's checksum field to what a partial one is. */
bool tap_header_judge(struct frame *frame, const struct tap_header *header);
/* shift: what the first bytes are longer than the frame's head (a VLAN tag, or -4). */
void tap_header_fill(struct tap_header *header, const struct frame *frame, int shift);

/* tap_queue.c */
int tap_queue_init(struct tap_queue *queue, struct err *err); /* control */
void tap_queue_fini(struct tap_queue *queue);                 /* control */
void tap_queue_start_on_worker(struct worker *worker, struct worker_call *call);
void tap_queue_stop_on_worker(struct worker *worker, struct worker_call *call);
/* Owner: the interface is gone. */
void tap_queue_lose(struct tap_queue *queue);

/* tap_tx.c */
extern const struct netport_ops tap_netport_ops;

#endif
