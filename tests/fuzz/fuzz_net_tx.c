/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: from what one guest transmits to what another receives, device/net/{tx,rx,
 * rx_wait,egress,header}.c, with real virtqueues and guest memory, on a clock of ours. Not the
 * switch: what is sent is delivered at once, with a tag pushed or popped if the input says so.
 *
 * Input: byte 0 rings (bits: packed, in order; receiver's: packed, in order, mergeable; both:
 * headers with a hash), byte 1 and 2 two sets of receiver's offloads, byte 3 a VLAN to be pushed,
 * then steps: a byte of which the low three bits say what, the others how much. What is missing is
 * zero.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/net/rx_priv.h"
#include "driver/ring.h"
#include "driver/shm.h"

#define RING_SIZE 64u
#define TX_BYTES 70000u /* of one chain */
#define RX_BYTES 4096u
#define STEPS_MAX 200

#define MUST(expr)                                                                    \
	do {                                                                          \
		if (!(expr)) {                                                        \
			fprintf(stderr, "violated: %s (line %d)\n", #expr, __LINE__); \
			abort();                                                      \
		}                                                                     \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t take_u8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static unsigned take_u16(struct input *in)
{
	unsigned low = take_u8(in);

	return low | (unsigned)take_u8(in) << 8;
}

/* ---- one guest's end of a queue, and ours ---- */

struct side {
	struct ring *rings[2]; /* by format */
	struct ring *ring;
	uint8_t *data[RING_SIZE]; /* by token */
	uint64_t gpa[RING_SIZE];
	uint32_t bytes[RING_SIZE]; /* posted */
	uint16_t free[RING_SIZE];
	unsigned free_cnt;
	struct virtqueue *vq;
	struct net_queue *queue;
};

static struct {
	struct shm *shm;
	struct gmap_region *region;
	struct gmem *memory;
	struct chain_pool *pool;
	struct side tx, rx;
	struct net_device net;
	struct net_rules rules[2], tx_rules;
	bool may[16]; /* gso types that some rules of the receiver allow */
	bool may_csum;
	unsigned header_bytes;
	struct toeplitz hash_key;
	uint16_t vlan;
	uint64_t now_ns;
} world;

static char here; /* where an exchange would be */

/* ---- what is not under test ---- */

void worker_poller_wake(struct poller *poller)
{
	(void)poller;
}

void netport_queue_open(struct netport_queue *queue, struct netport *port, unsigned idx,
			struct exchange *exchange)
{
	(void)queue, (void)port, (void)idx, (void)exchange;
}

void netport_queue_close(struct netport_queue *queue, bool moving)
{
	(void)queue, (void)moving;
}

enum netport_tag_edit netport_tag_edit_vlan(const struct netport *port, const struct frame *frame)
{
	(void)port;
	return frame->tagged ? NETPORT_TAG_POP : NETPORT_TAG_PUSH;
}

bool exchange_may_keep(struct exchange *exchange, const struct frame *frame)
{
	(void)exchange, (void)frame;
	return true;
}

void exchange_put_away(struct exchange *exchange, struct frame *frame)
{
	(void)exchange, (void)frame;
	MUST(false);
}

void exchange_put_kept(struct exchange *exchange, struct frame *frame)
{
	exchange_put(exchange, frame);
}

/* Queues do not move here. */
void fabric_copies_add(struct fabric *fabric, int cnt)
{
	(void)fabric;
	(void)cnt;
}

bool fabric_has_copies(const struct fabric *fabric)
{
	(void)fabric;
	return false;
}

void exchange_frame_returned(struct frame *frame)
{
	frame->source->returned(frame->source, &frame, 1);
}

void netport_show_drop(struct netport *port, struct exchange *exchange, const struct frame *frame,
		       enum netport_drop why)
{
	(void)port, (void)exchange;
	MUST(frame->refs > 0 && why != NETPORT_DROP_NONE);
}

void netport_send(struct netport *port, struct exchange *exchange, unsigned queue_idx,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	(void)queue_idx;
	struct netport_queue *receiver = &world.rx.queue->receiver;

	(void)port;
	for (unsigned i = 0; i < cnt; i++) {
		struct frame *frame = frames[i];

		MUST(frame->refs == 1 && frame->head_bytes <= FRAME_HEAD_BYTES);
		MUST(frame->bytes >= ETHER_HEADER_BYTES && frame->bytes <= FRAME_BYTES_MAX);
		MUST(frame->head_bytes + iov_total_bytes(frame->iov, frame->iov_cnt) ==
		     frame->bytes);
		frame->exchange = exchange;
		frame->hashed = false;
		frame->rss_generation = 0;
		frame->tagged = frame->head[12] == 0x81 && frame->head[13] == 0;
		if (frame->tagged && frame->head_bytes < ETHER_HEADER_BYTES + ETHER_TAG_BYTES)
			continue;
		frame->vlan = world.vlan;
		frame->refs++;
		receiver->ops->deliver(receiver, &frame, 1, now_ns);
	}
	receiver->ops->flush(receiver, now_ns);
}

/* ---- rings ---- */

static void side_make(struct side *side, uint32_t bytes)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct ring_opts opts = {.format = (enum ring_format)i, .size = RING_SIZE};

		MUST(!ring_new(&side->rings[i], world.shm, &opts));
	}
	for (unsigned i = 0; i < RING_SIZE; i++) {
		side->data[i] = shm_alloc(world.shm, bytes, 64, &side->gpa[i]);
		MUST(side->data[i]);
	}
	MUST(!posix_memalign((void **)&side->queue, CACHE_LINE_BYTES, sizeof(*side->queue)));
}

static void world_make(void)
{
	const struct shm_opts opts = {.bytes = 8u << 20, .region_cnt = 1};
	const struct gmap_policy policy = {0};
	struct err err = ERR_INIT;

	MUST(!shm_new(&world.shm, &opts));
	const struct shm_region *region = &world.shm->region[0];
	const struct gmap_desc desc = {
		.gpa = region->gpa, .size_bytes = region->bytes, .uva = shm_uva(region->hva)};
	MUST(!gmap_region_new(&desc, region->fd, &policy, &world.region, &err));
	MUST(!gmem_new(&world.region, 1, &world.memory, &err));
	world.pool = chain_pool_new();
	MUST(world.pool);
	side_make(&world.tx, TX_BYTES);
	side_make(&world.rx, RX_BYTES);
}

static void side_open(struct side *side, bool packed, bool in_order, enum net_queue_kind kind)
{
	struct ring *ring = side->rings[packed];
	struct err err = ERR_INIT;

	ring_reset(ring, ring_base_fresh(ring->opts.format));
	ring->opts.in_order = in_order;
	side->ring = ring;
	side->free_cnt = 0;
	for (unsigned i = 0; i < RING_SIZE; i++)
		side->free[side->free_cnt++] = (uint16_t)i;
	const struct virtqueue_config config = {
		.size = RING_SIZE,
		.packed = packed,
		.in_order = in_order,
		.base = ring_base(ring),
		.base_is_exact = true,
		.where = {shm_uva(ring->desc), shm_uva(ring->driver_area),
			  shm_uva(ring->device_area)},
		.memory = world.memory,
		.slot_bytes = sizeof(struct net_slot),
		.call_fd = -1,
		.err_fd = -1,
		.tag = "fuzz",
	};
	MUST(!virtqueue_new(&config, &side->vq, &err));
	memset(side->queue, 0, sizeof(*side->queue));
	side->queue->queue.vq = side->vq;
	side->queue->queue.pool = world.pool;
	side->queue->net = &world.net;
	side->queue->kind = kind;
	side->queue->exchange = (struct exchange *)(void *)&here;
}

static void rules_fill(struct net_rules *rules, uint8_t bits, bool mergeable)
{
	*rules = (struct net_rules){
		.header_bytes = (uint8_t)world.header_bytes,
		.hash_report = world.header_bytes == NET_HEADER_BYTES_HASH,
		.hash_types = HASH_TYPES_ALL,
		.hash_key = &world.hash_key,
		.host_csum = true,
		.host_gso = 0xff,
		.tx_frame_bytes_max = FRAME_BYTES_MAX,
		.rx_frame_bytes_max = FRAME_BYTES_MAX,
		.mergeable = mergeable,
		.guest_csum = bits & 1,
		.guest_tso4 = (bits & 3) == 3,
		.guest_tso6 = (bits & 5) == 5,
		.guest_ecn = (bits & 11) == 11,
		.guest_ufo = (bits & 17) == 17,
		.guest_uso4 = (bits & 33) == 33,
		.guest_uso6 = (bits & 33) == 33,
		.guest_hdrlen = bits & 64,
	};
	world.may_csum |= rules->guest_csum;
	world.may[NET_HDR_GSO_TCPV4] |= rules->guest_tso4;
	world.may[NET_HDR_GSO_TCPV6] |= rules->guest_tso6;
	world.may[NET_HDR_GSO_UDP] |= rules->guest_ufo;
	world.may[NET_HDR_GSO_UDP_L4] |= rules->guest_uso4;
}

/* ---- steps ---- */

/* Header, then a frame: the first bytes from the input, the rest whatever was there. */
static void transmit(struct input *in, unsigned pieces)
{
	struct side *side = &world.tx;
	struct ring_seg segs[9];
	uint32_t at = 0;
	uint32_t bytes = take_u16(in) + world.header_bytes;
	const unsigned fresh = take_u8(in);
	unsigned cnt = 0;
	uint16_t token;

	if (!side->free_cnt)
		return;
	token = side->free[side->free_cnt - 1];
	for (unsigned i = 0; i < fresh; i++)
		side->data[token][i] = take_u8(in);
	for (; cnt < pieces && at < bytes; cnt++) {
		uint32_t len = take_u8(in) % 64;

		if (len > bytes - at)
			len = bytes - at;
		segs[cnt] = (struct ring_seg){side->gpa[token] + at, len};
		at += len;
	}
	if (at < bytes)
		segs[cnt++] = (struct ring_seg){side->gpa[token] + at, bytes - at};
	if (!ring_add(side->ring, segs, cnt, 0, token))
		side->free_cnt--;
	ring_publish(side->ring);
}

static void post(uint32_t bytes, unsigned out_cnt, unsigned in_cnt)
{
	struct side *side = &world.rx;
	struct ring_seg segs[3];
	uint16_t token;

	if (!side->free_cnt || bytes < out_cnt + in_cnt)
		return;
	token = side->free[side->free_cnt - 1];
	for (unsigned i = 0; i < out_cnt + in_cnt; i++)
		segs[i] = (struct ring_seg){side->gpa[token] + i, 1};
	segs[out_cnt + in_cnt - 1].bytes = bytes - (out_cnt + in_cnt - 1);
	memset(side->data[token], 0xEE, bytes);
	side->bytes[token] = out_cnt ? 0 : bytes;
	if (!ring_add(side->ring, segs, out_cnt, in_cnt, token))
		side->free_cnt--;
	ring_publish(side->ring);
}

static void check_header(const struct net_header *header, uint32_t frame_bytes)
{
	const uint8_t gso = header->gso_type & (uint8_t)~NET_HDR_GSO_ECN;
	const bool partial = header->flags & NET_HDR_F_NEEDS_CSUM;

	MUST(frame_bytes >= ETHER_HEADER_BYTES);
	MUST(!(header->flags & ~(NET_HDR_F_NEEDS_CSUM | NET_HDR_F_DATA_VALID)));
	MUST(!partial || world.may_csum);
	if (partial)
		MUST(le16_get(header->csum_start) + le16_get(header->csum_offset) + 2u <=
		     frame_bytes);
	if (header->gso_type) {
		MUST(gso < 16 && world.may[gso] && partial);
		MUST(le16_get(header->gso_size) >= FRAME_GSO_BYTES_MIN);
		MUST(le16_get(header->hdr_len) <= frame_bytes);
	}
}

static void check_hash(const uint8_t *behind_header)
{
	struct net_header_hash hash;

	if (world.header_bytes != NET_HEADER_BYTES_HASH)
		return;
	memcpy(&hash, behind_header, sizeof(hash));
	MUST(le16_get(hash.report) <= HASH_TYPE_MAX_ && !le16_get(hash.padding));
	MUST(le16_get(hash.report) || !le32_get(hash.value));
}

static void receive(void)
{
	struct side *side = &world.rx;
	struct ring_used used[RING_SIZE];
	int cnt = ring_get_used(side->ring, used, RING_SIZE);

	MUST(cnt >= 0);
	for (unsigned i = 0, n; i < (unsigned)cnt; i += n) {
		struct net_header header;
		uint32_t bytes = 0;

		n = 1;
		if (used[i].bytes) {
			memcpy(&header, side->data[used[i].token], sizeof(header));
			check_hash(side->data[used[i].token] + sizeof(header));
			n = le16_get(header.num_buffers);
			MUST(n >= 1 && i + n <= (unsigned)cnt);
		}
		for (unsigned k = i; k < i + n; k++) {
			const uint16_t token = used[k].token;

			MUST(used[k].bytes <= side->bytes[token]);
			MUST(k + 1 == i + n || used[k].bytes == side->bytes[token]);
			for (uint32_t at = used[k].bytes; at < side->bytes[token]; at++)
				MUST(side->data[token][at] == 0xEE);
			bytes += used[k].bytes;
			side->free[side->free_cnt++] = token;
		}
		if (bytes)
			check_header(&header, bytes - world.header_bytes);
	}
}

static void reap(void)
{
	struct side *side = &world.tx;
	struct ring_used used[RING_SIZE];
	int cnt = ring_get_used(side->ring, used, RING_SIZE);

	MUST(cnt >= 0);
	for (int i = 0; i < cnt; i++) {
		MUST(used[i].bytes == 0 || used[i].bytes == RING_LEN_UNKNOWN);
		side->free[side->free_cnt++] = used[i].token;
	}
}

static void step(struct input *in)
{
	const uint8_t what = take_u8(in);
	const unsigned much = what >> 3;

	switch (what & 7) {
	case 0:
		transmit(in, much % 9);
		break;
	case 1:
		for (unsigned i = 0; i <= much; i++)
			post(RX_BYTES >> much % 6, 0, 1 + much % 2);
		break;
	case 2:
		post(take_u8(in), much & 1, 1 + (much >> 1 & 1));
		break;
	case 3:
		net_tx_poll(world.tx.queue, world.now_ns);
		reap();
		break;
	case 4:
		world.now_ns += (uint64_t)much * much * RX_HOLD_NS;
		net_rx_poll(world.rx.queue, world.now_ns);
		receive();
		break;
	case 5:
		world.rx.queue->rules = &world.rules[much & 1];
		net_rx_told(world.rx.queue);
		break;
	case 6:
		net_rx_unfetch(world.rx.queue);
		break;
	default:
		net_rx_disable(world.rx.queue, much & 1);
		net_rx_enable(world.rx.queue);
		break;
	}
}

static void world_end(void)
{
	/* Nobody holds a sender for longer, buffers or not. */
	while (virtqueue_has_avail(world.tx.vq))
		net_tx_poll(world.tx.queue, world.now_ns);
	world.now_ns += RX_HOLD_NS;
	net_rx_poll(world.rx.queue, world.now_ns);
	net_tx_poll(world.tx.queue, world.now_ns);
	reap();
	MUST(world.tx.free_cnt == RING_SIZE);
	MUST(!virtqueue_in_flight(world.tx.vq));
	net_rx_disable(world.rx.queue, false);
	receive();
	MUST(!virtqueue_in_flight(world.rx.vq));
	net_tx_close(world.tx.queue);
	net_rx_free(world.rx.queue->rx);
	virtqueue_free(world.tx.vq);
	virtqueue_free(world.rx.vq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	const uint8_t rings = take_u8(&in);
	struct err err = ERR_INIT;

	if (!world.shm)
		world_make();
	memset(world.may, 0, sizeof(world.may));
	world.may_csum = false;
	world.header_bytes = rings & 32 ? NET_HEADER_BYTES_HASH : NET_HEADER_BYTES;
	toeplitz_init(&world.hash_key, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	rules_fill(&world.tx_rules, 0, true);
	rules_fill(&world.rules[0], take_u8(&in), rings & 16);
	rules_fill(&world.rules[1], take_u8(&in), rings & 16);
	world.vlan = take_u8(&in);
	world.now_ns = RX_STALE_NS;
	side_open(&world.tx, rings & 1, rings & 2, NET_QUEUE_TX);
	side_open(&world.rx, rings & 4, rings & 8, NET_QUEUE_RX);
	world.tx.queue->rules = &world.tx_rules;
	world.rx.queue->rules = &world.rules[0];
	world.tx.queue->enabled = true;
	MUST(!net_tx_open(world.tx.queue, &err));
	MUST(!net_rx_open(world.rx.queue, &err));
	net_rx_enable(world.rx.queue);
	for (unsigned i = 0; i < STEPS_MAX && in.size; i++)
		step(&in);
	world_end();
	return 0;
}
