/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two vhost-user-net ports and a wire between them, for testing front ends: what comes in at one
 * goes out at the other, with faults to order. One thread, one front end for each port.
 * It is not pario, shares no code with it, and switches nothing.
 *
 * usage: fake_wire SOCKET_A SOCKET_B [--fault NAME] [--after FRAMES]
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "driver/channel.h"
#include "fake/fake_backend.h"

#define BIT(n) (UINT64_C(1) << (n))
#define HEADER_BYTES 12u
#define FRAME_MAX (HEADER_BYTES + 65600u)
#define BUFFERS_MAX 512
#define PAIR_MAX (FAKE_QUEUE_MAX / 2)

enum wire_fault {
	WIRE_GOOD,
	WIRE_DROP,    /* one frame is lost */
	WIRE_TWICE,   /* one frame comes twice */
	WIRE_SWAP,    /* one frame is kept back until the 20th after it has gone */
	WIRE_CORRUPT, /* one byte of one frame */
	WIRE_SHORT,   /* one frame lacks its last byte */
	WIRE_CSUM,    /* one frame says that its checksum is to be completed */
	WIRE_BUFFERS, /* one frame says that it has a buffer more */
	WIRE_LENGTH,  /* one used length is beyond the buffer */
	WIRE_BAD_ID,  /* one used id is not in flight */
	WIRE_STALL,   /* takes nothing more */
	WIRE_CLOSE,   /* closes the first connection */
	WIRE_SPREAD,  /* no fault: three frames to one queue, three to the next, in order */
	WIRE_CROSS,   /* the same, and one frame is kept back until the 20th after it has gone */
	WIRE_FAULT_MAX_,
};

static const char *const fault_name[WIRE_FAULT_MAX_] = {
	"none",    "drop",   "twice",  "swap",  "corrupt", "short",  "csum",
	"buffers", "length", "bad-id", "stall", "close",   "spread", "cross",
};

static const uint64_t offered = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) |
				BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_RING_F_EVENT_IDX) |
				BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VU_F_PROTOCOL_FEATURES) |
				BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) |
				BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
				BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_MQ);

struct wire {
	struct fake_backend port[2];
	enum wire_fault fault;
	uint64_t after, frame_cnt;
	uint32_t kept_bytes; /* of a frame that was swapped, 0: none */
	uint8_t kept[FRAME_MAX];
	uint8_t frame[FRAME_MAX];
};

static int pop(struct fake_backend *b, struct fake_queue *q, struct fake_chain *c)
{
	int rc = fake_ring_pop(&q->ring, c);

	if (rc < 0) {
		fprintf(stderr, "fake_wire: the driver broke a rule: %s\n", q->ring.error);
		b->end = true;
	}
	return rc;
}

static void call(struct fake_queue *q)
{
	uint64_t one = 1;

	if (fake_ring_wants_call(&q->ring) && q->call_fd >= 0 &&
	    write(q->call_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		perror("fake_wire: call");
}

/* Puts a frame into receive buffers, or drops it when there are none. */
static void deliver(struct wire *w, struct fake_backend *b, struct fake_queue *q, uint8_t *frame,
		    uint32_t bytes, bool faulty)
{
	static struct fake_chain c[BUFFERS_MAX];
	bool merges = b->features >> VIRTIO_NET_F_MRG_RXBUF & 1;
	const struct fake_ring before = q->ring;
	uint32_t at = 0, used[BUFFERS_MAX];
	unsigned int cnt = 0;
	uint16_t num;

	if (!q->running)
		return;
	while (at < bytes && cnt < (merges ? BUFFERS_MAX : 1) && pop(b, q, &c[cnt]) == 1) {
		used[cnt] = c[cnt].seg[0].bytes < bytes - at ? c[cnt].seg[0].bytes : bytes - at;
		memcpy(c[cnt].seg[0].hva, frame + at, used[cnt]);
		at += used[cnt++];
	}
	if (at < bytes) {
		/* As if they had never been looked at. */
		q->ring = before;
		return;
	}
	num = (uint16_t)(cnt + (faulty && w->fault == WIRE_BUFFERS));
	memcpy(c[0].seg[0].hva + 10, &num, sizeof(num));
	if (faulty && w->fault == WIRE_LENGTH)
		used[0] = c[0].seg[0].bytes + 1;
	if (faulty && w->fault == WIRE_BAD_ID)
		c[0].id = (uint16_t)(q->ring.size + 7);
	fake_ring_hold(&q->ring);
	for (unsigned int i = 0; i < cnt; i++)
		fake_ring_push(&q->ring, c[i].id, c[i].desc_cnt, used[i], true);
	fake_ring_show(&q->ring);
	call(q);
}

/* What the wire does to a frame on its way. */
static void carry(struct wire *w, struct fake_backend *b, struct fake_queue *q, uint32_t bytes)
{
	bool faulty = w->frame_cnt++ == w->after;

	if (faulty && w->fault == WIRE_DROP)
		return;
	if (faulty && (w->fault == WIRE_SWAP || w->fault == WIRE_CROSS)) {
		memcpy(w->kept, w->frame, bytes);
		w->kept_bytes = bytes;
		return;
	}
	if (faulty && w->fault == WIRE_CORRUPT)
		w->frame[bytes - 1] ^= 1;
	if (faulty && w->fault == WIRE_CSUM)
		w->frame[0] |= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (faulty && w->fault == WIRE_CLOSE)
		b->end = true;
	deliver(w, b, q, w->frame, bytes - (faulty && w->fault == WIRE_SHORT), faulty);
	if (faulty && w->fault == WIRE_TWICE)
		deliver(w, b, q, w->frame, bytes, false);
	if (w->kept_bytes && w->frame_cnt == w->after + 20) {
		deliver(w, b, q, w->kept, w->kept_bytes, false);
		w->kept_bytes = 0;
	}
}

/* Where the next frame of a pair goes. */
static struct fake_queue *receiver(struct wire *w, struct fake_backend *out, unsigned int pair)
{
	unsigned int cnt = 0;

	while (cnt < PAIR_MAX && out->queue[2 * cnt].running)
		cnt++;
	if (cnt && (w->fault == WIRE_SPREAD || w->fault == WIRE_CROSS))
		pair = (unsigned int)(w->frame_cnt / 3 % cnt);
	return &out->queue[2 * pair];
}

/* Moves some frames of a pair from a port to the other. */
static bool turn(struct wire *w, unsigned int from, unsigned int pair)
{
	static struct fake_chain c;
	struct fake_backend *in = &w->port[from], *out = &w->port[!from];
	struct fake_queue *tx = &in->queue[2 * pair + 1];
	bool stalled = w->fault == WIRE_STALL && w->frame_cnt >= w->after;
	unsigned int cnt = 0;

	if (!tx->running || stalled)
		return false;
	for (; cnt < 32 && pop(in, tx, &c) == 1; cnt++) {
		uint32_t bytes = 0;

		for (unsigned int i = 0; i < c.seg_cnt && bytes + c.seg[i].bytes <= FRAME_MAX;
		     i++) {
			memcpy(w->frame + bytes, c.seg[i].hva, c.seg[i].bytes);
			bytes += c.seg[i].bytes;
		}
		fake_ring_push(&tx->ring, c.id, c.desc_cnt, 0, true);
		carry(w, out, receiver(w, out, pair), bytes);
	}
	if (cnt)
		call(tx);
	return cnt > 0;
}

static void serve(struct wire *w)
{
	while (!w->port[0].end && !w->port[1].end) {
		struct pollfd p[2] = {{.fd = w->port[0].sock, .events = POLLIN},
				      {.fd = w->port[1].sock, .events = POLLIN}};
		bool worked = false;

		for (unsigned int i = 0; i < 2 * PAIR_MAX; i++)
			worked |= turn(w, i & 1, i / 2);
		if (poll(p, 2, worked ? 0 : 1) < 0 && errno != EINTR)
			return;
		for (unsigned int i = 0; i < 2; i++)
			if (p[i].revents)
				fake_backend_message(&w->port[i]);
	}
}

int main(int argc, char **argv)
{
	static struct wire wire;
	int listener[2];

	for (int i = 3; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--after") == 0)
			wire.after = strtoull(argv[i + 1], NULL, 10);
		for (unsigned int k = 0; k < WIRE_FAULT_MAX_; k++)
			if (strcmp(argv[i], "--fault") == 0 &&
			    strcmp(argv[i + 1], fault_name[k]) == 0)
				wire.fault = k;
	}
	for (int i = 0; i < 2; i++)
		listener[i] = argc > 2 ? channel_listen(argv[1 + i]) : -1;
	for (int i = 0; i < 2; i++) {
		int sock = listener[i] < 0 ? -1 : channel_accept(listener[i], FAKE_TIMEOUT_MS);

		wire.port[i].offered = offered;
		if (sock < 0 || fake_backend_init(&wire.port[i], sock) < 0) {
			fprintf(stderr, "usage: fake_wire SOCKET_A SOCKET_B [--fault NAME] "
					"[--after FRAMES]\n");
			return 2;
		}
		close(listener[i]);
	}
	serve(&wire);
	for (int i = 0; i < 2; i++)
		fake_backend_fini(&wire.port[i]);
	return 0;
}
