/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive queues of guests that mean harm: buffers that are too small, of the wrong kind, nowhere.
 * Not transmit queues (net_hostile_tx.c).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net_lab.h"

#define H CARD_HEADER_BYTES
#define GUARD 0xa5
#define FRAMES 8u

/* A receive chain of cnt parts, each of bytes, in a buffer full of guard bytes. */
static void post_parts(struct lab *lab, unsigned out_cnt, unsigned in_cnt, uint32_t bytes)
{
	uint16_t token = lab->a.rx_free[--lab->a.rx_free_cnt];
	uint8_t *data = card_rx_buffer(&lab->a, token);
	struct ring_seg seg[64];

	memset(data, GUARD, lab->a.opts.rx_buffer_bytes);
	for (unsigned i = 0; i < out_cnt + in_cnt; i++)
		seg[i] = (struct ring_seg){shm_gpa(lab->a.shm, data) + (uint64_t)i * 16, bytes};
	if (ring_add(lab->a.rx->ring, seg, out_cnt, in_cnt, token) < 0)
		die("ring_add");
}

static void publish(struct lab *lab)
{
	if (ring_publish(lab->a.rx->ring))
		front_queue_kick(lab->a.rx);
}

/* Outside of the parts nothing was written. */
static void check_guards(struct lab *lab, unsigned skip, unsigned part_cnt, uint32_t bytes,
			 const char *what)
{
	for (uint16_t token = 0; token < lab->a.opts.ring_size; token++) {
		const uint8_t *data = card_rx_buffer(&lab->a, token);
		uint32_t end = lab->a.opts.rx_buffer_bytes;

		if (data[end - 1] != GUARD)
			continue; /* never posted */
		for (uint32_t i = 0; i < end; i++) {
			uint32_t part = i / 16;
			bool allowed = part >= skip && part < part_cnt && i % 16 < bytes;

			if (!allowed && data[i] != GUARD)
				die("%s: byte %u outside of the buffer was written", what, i);
		}
	}
}

/* An honest guest sends to the attacker, and is not held. */
static void storm(struct lab *lab, uint32_t bytes, const char *what)
{
	for (unsigned i = 0; i < FRAMES; i++) {
		frame_fill(lab->frame, bytes, lab->a.mac, lab->h1.mac, ++lab->number);
		card_send(&lab->h1, NULL, lab->frame, bytes);
	}
	card_wait_sent(&lab->h1, what);
}

static uint64_t drops(struct lab *lab)
{
	return lab_counter(lab, "rx_small_buffer") + lab_counter(lab, "rx_bad_chain") +
	       lab_counter(lab, "rx_no_buffer") + lab_counter(lab, "rx_pooled");
}

/* Frames are dropped, or kept for better buffers, and counted by whichever of the names fits. */
static void none_delivered(struct lab *lab, uint64_t before, const char *what)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (drops(lab) < before + 1)
		deadline_check(&deadline, what);
}

static void storm_on_parts(struct lab *lab, unsigned out_cnt, unsigned in_cnt, uint32_t bytes,
			   const char *what)
{
	uint64_t before = drops(lab);

	for (unsigned i = 0; i < 32; i++)
		post_parts(lab, out_cnt, in_cnt, bytes);
	publish(lab);
	storm(lab, 1514, what);
	none_delivered(lab, before, what);
	check_guards(lab, out_cnt, out_cnt + in_cnt, bytes, what);
}

static void buffers_of_one_byte(struct lab *lab)
{
	storm_on_parts(lab, 0, 1, 1, "buffers of one byte");
}

static void buffers_shorter_than_the_header(struct lab *lab)
{
	storm_on_parts(lab, 0, 1, H - 1, "buffers shorter than the header");
}

static void buffers_of_nothing(struct lab *lab)
{
	storm_on_parts(lab, 0, 1, 0, "buffers of length zero");
}

static void buffers_of_many_nothings(struct lab *lab)
{
	storm_on_parts(lab, 0, 8, 0, "buffers of many parts of length zero");
}

static void small_buffers_not_mergeable(struct lab *lab)
{
	storm_on_parts(lab, 0, 4, 16, "buffers smaller than the frame");
}

static void readable_buffers(struct lab *lab)
{
	storm_on_parts(lab, 1, 0, 16, "readable receive buffers");
}

static void readable_and_writable_buffers(struct lab *lab)
{
	storm_on_parts(lab, 1, 3, 16, "receive buffers with a readable part");
}

/* Mergeable: a header and nothing in each. 32 of them do not make a frame. */
static void buffers_as_long_as_the_header(struct lab *lab)
{
	storm_on_parts(lab, 0, 1, H, "buffers as long as the header");
}

/* A header in pieces, and a frame over many small buffers: odd, but a guest may. */
static void header_in_pieces_of_one_byte(struct lab *lab)
{
	struct ring_seg seg[H + 3];
	uint16_t token = lab->a.rx_free[--lab->a.rx_free_cnt];
	uint8_t *data = card_rx_buffer(&lab->a, token);
	uint64_t gpa = shm_gpa(lab->a.shm, data);

	for (unsigned i = 0; i < H + 2; i++)
		seg[i] = (struct ring_seg){gpa + i, 1};
	seg[H + 2] = (struct ring_seg){gpa + H + 2, 1800};
	if (ring_add(lab->a.rx->ring, seg, 0, H + 3, token) < 0)
		die("ring_add");
	publish(lab);
	lab_passes(lab, &lab->h1, &lab->a, 1514, "a receive buffer in pieces");
}

static void buffer_outside_of_memory(struct lab *lab)
{
	static const uint64_t bad[] = {0, 0x1000, UINT64_MAX - 8, UINT64_MAX - 4096};
	struct shm_region *last = &lab->a.shm->region[lab->a.shm->region_cnt - 1];
	uint64_t before = drops(lab);

	for (unsigned i = 0; i < 5; i++) {
		struct ring_seg seg = {i < 4 ? bad[i] : last->gpa + last->bytes - 100, 2048};
		uint16_t token = lab->a.rx_free[--lab->a.rx_free_cnt];

		if (ring_add(lab->a.rx->ring, &seg, 0, 1, token) < 0)
			die("ring_add");
	}
	publish(lab);
	storm(lab, 1514, "receive buffers outside of memory");
	none_delivered(lab, before, "receive buffers outside of memory");
}

static void index_jumps(struct lab *lab)
{
	struct ring *r = lab->a.rx->ring;

	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + r->size + 1), __ATOMIC_RELEASE);
	front_queue_kick(lab->a.rx);
	storm(lab, 60, "a receive ring whose index jumps");
	lab_wait_broken(lab->a.rx, "the receive ring with an index that jumps is broken");
}

static void expose(struct lab *lab, uint16_t head)
{
	struct ring *r = lab->a.rx->ring;
	uint16_t idx = r->avail->idx;

	r->avail->ring[idx & r->mask] = head;
	__atomic_store_n(&r->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
	front_queue_kick(lab->a.rx);
}

static void chain_loops(struct lab *lab)
{
	struct vring_desc *desc = lab->a.rx->ring->split_desc;
	uint64_t before = lab_counter(lab, "rx_bad_chain");
	uint64_t gpa = shm_gpa(lab->a.shm, lab->a.rx_data);

	desc[0] = (struct vring_desc){gpa, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1};
	desc[1] = (struct vring_desc){gpa, 16, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 0};
	expose(lab, 0);
	storm(lab, 60, "a receive chain that loops");
	api_wait_counter(lab->api, "ports/a", "rx_bad_chain", before + 1);
}

static void memory_vanishes(struct lab *lab)
{
	uint64_t features;

	card_post(&lab->a, 32);
	lab_passes(lab, &lab->h1, &lab->a, 1514, "before memory vanishes");
	for (unsigned i = 0; i < lab->a.shm->region_cnt; i++) {
		if (ftruncate(lab->a.shm->region[i].fd, 0) < 0)
			die("ftruncate: %s", strerror(errno));
	}
	storm(lab, 1514, "memory of the receiver vanished");
	if (front_query_u64(lab->a.f, VU_GET_FEATURES, &features) < 0)
		die("no answer after memory vanished: %s", lab->a.f->error);
}

/* Frames wait for buffers when the guest goes. */
static void dies_while_frames_wait(struct lab *lab)
{
	storm(lab, 1514, "no buffers at all");
	for (unsigned i = 0; i < 200; i++) {
		frame_fill(lab->frame, 1514, lab->a.mac, lab->h1.mac, ++lab->number);
		card_send(&lab->h1, NULL, lab->frame, 1514);
	}
}

#define CASE(n, ...)                                                  \
	{                                                             \
		.name = "rx_" #n, .run = (n), .opts = { __VA_ARGS__ } \
	}
#define SPLIT_CASE(n)                                            \
	{                                                        \
		.name = "rx_" #n, .run = (n), .split_only = true \
	}
#define NOT_MERGEABLE .features = CARD_FEATURES_PLAIN & ~CARD_F(VIRTIO_NET_F_MRG_RXBUF)

const struct hostile_case rx_cases[] = {
	CASE(buffers_of_one_byte),
	CASE(buffers_shorter_than_the_header),
	CASE(buffers_of_nothing),
	CASE(buffers_of_many_nothings),
	CASE(buffers_as_long_as_the_header),
	CASE(small_buffers_not_mergeable, NOT_MERGEABLE),
	CASE(readable_buffers),
	CASE(readable_and_writable_buffers),
	CASE(header_in_pieces_of_one_byte),
	CASE(buffer_outside_of_memory),
	CASE(memory_vanishes),
	CASE(dies_while_frames_wait),
	SPLIT_CASE(index_jumps),
	SPLIT_CASE(chain_loops),
};
const unsigned rx_case_cnt = sizeof(rx_cases) / sizeof(rx_cases[0]);
