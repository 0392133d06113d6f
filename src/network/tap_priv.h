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

/* Writes of a queue under way at most; what goes beyond is written at once. */
#define TAP_WRITES 256
/* Pieces of such a write: 64 KiB in pages and more. One in more pieces is written at once. */
#define TAP_WRITE_PIECES 32

/*
 * A write to the kernel. Those of one frame (segments that are cut here) share it: the first has
 * it, and stays until all have ended.
 */
struct tap_write {
	struct uring_op op;
	struct tap_queue *queue;
	struct tap_write *next_free;
	struct tap_write *first;
	struct frame *frame; /* of the first */
	unsigned left_cnt;   /* of the first: how many have not ended, itself included */
	uint32_t bytes;      /* behind the vnet header */
	/* What the kernel is given: the first piece is header and head, or the frame's own. */
	struct iovec *pieces;
	unsigned pieces_max;
	struct tap_header header;
	uint8_t head[SEGMENT_HEADER_BYTES_MAX]; /* right behind it */
	struct iovec own_pieces[TAP_WRITE_PIECES];
};
static_assert(offsetof(struct tap_write, head) ==
		      offsetof(struct tap_write, header) + sizeof(struct tap_header),
	      "no gap: both are one piece");
static_assert(SEGMENT_HEADER_BYTES_MAX >= FRAME_HEAD_BYTES + ETHER_TAG_BYTES, "a head and a tag");

/* One of the tap's queues. Its worker's from start to stop, control's otherwise. */
struct tap_queue {
	struct tap_stats stats CACHE_ALIGNED; /* the owner writes, anybody reads */
	struct poller poller;
	struct netport_queue receiver;
	struct tap *tap;
	struct worker *worker;
	struct exchange *exchange;
	struct worker_call start;
	struct worker_call stop;
	unsigned idx;
	int fd;
	bool lost;              /* the interface is gone */
	bool stopping;          /* `stop` is to be acknowledged */
	bool cancelling;        /* `cancel` is under way */
	bool watching;          /* `watch` is */
	bool starved;           /* all frames of the pool are out */
	struct uring_op cancel; /* of all that is under way, at the end */

	/* from the kernel */
	struct uring_op watch; /* a poll for input */
	struct frame_pool pool;
	unsigned errors_in_row;

	/* to the kernel */
	unsigned writing_cnt;
	struct tap_write *writes; /* TAP_WRITES */
	struct tap_write *free_writes;
	/* scratch of one frame */
	struct tap_write direct;             /* what is written at once */
	struct iovec direct_pieces[IOV_MAX]; /* its pieces */
	struct iovec payload[IOV_MAX];       /* of a frame that is segmented here */
	struct segment segment;
	uint8_t head[SEGMENT_HEADER_BYTES_MAX]; /* of such a frame */
	struct tap_header header;               /* of the frame that is read */
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
/* Owner: something has ended. Acknowledges `stop` if it was the last thing: then queue is gone. */
void tap_queue_ended(struct tap_queue *queue);

/* tap_write.c */
int tap_writes_init(struct tap_queue *queue, struct err *err); /* control */
void tap_writes_fini(struct tap_queue *queue);                 /* control; none is under way */
/* The write that is next to be filled in, with room for so many pieces, at most IOV_MAX. */
static inline struct tap_write *tap_write_next(struct tap_queue *queue, unsigned piece_cnt)
{
	return queue->free_writes && piece_cnt <= TAP_WRITE_PIECES ? queue->free_writes
								   : &queue->direct;
}
/*
 * Queues the write that tap_write_next() gave, or makes it at once. *first: NULL before the first
 * write of a frame; still NULL after its last: nothing of the frame is needed any more, and the
 * caller gives it back. bytes: behind the vnet header. False: refused by the kernel, and counted.
 */
bool tap_write_send(struct tap_write *write, unsigned piece_cnt, uint32_t bytes,
		    struct frame *frame, struct tap_write **first);

/* tap_tx.c */
extern const struct netport_ops tap_netport_ops;

#endif
