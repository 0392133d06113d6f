/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transmit queues of guests that mean harm: chains, frames, indices, addresses.
 * Not what vnet headers ask for (net_hostile_offloads.c), nor receive queues (net_hostile_rx.c).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "net_lab.h"

#define H CARD_HEADER_BYTES
#define FLIPS 4000u

static void header_in_pieces(struct lab *lab)
{
	struct ring_seg seg[H + 48 + 1];
	uint16_t token;
	uint64_t gpa = lab_prepare(lab, 600, &token);

	for (unsigned i = 0; i < H + 48; i++)
		seg[i] = (struct ring_seg){gpa + i, 1};
	seg[H + 48] = (struct ring_seg){gpa + H + 48, 600 - 48};
	card_send_chain(&lab->a, seg, H + 49, 0, token);
	lab_arrives(lab, 600, "a header in pieces of one byte");
}

static void header_in_pieces_of_a_table(struct lab *lab)
{
	struct ring_seg seg[H + 49];
	uint16_t token, other;
	uint64_t gpa = lab_prepare(lab, 600, &token);
	uint8_t *table;

	other = card_tx_token(&lab->a);
	table = card_tx_buffer(&lab->a, other);
	for (unsigned i = 0; i < H + 48; i++)
		seg[i] = (struct ring_seg){gpa + i, 1};
	seg[H + 48] = (struct ring_seg){gpa + H + 48, 600 - 48};
	ring_table_write(lab->a.opts.format, table, seg, H + 49, 0);
	if (ring_add_table(lab->a.tx->ring, shm_gpa(lab->a.shm, table), H + 49, token) < 0)
		die("ring_add_table");
	if (ring_publish(lab->a.tx->ring))
		front_queue_kick(lab->a.tx);
	lab_arrives(lab, 600, "a header in a table, in pieces of one byte");
}

static void shorter_than_the_header(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "tx_bad_header");

	for (uint32_t bytes = 1; bytes < H; bytes++) {
		uint16_t token;
		struct ring_seg seg = {lab_prepare(lab, 60, &token), bytes};

		card_send_chain(&lab->a, &seg, 1, 0, token);
	}
	lab_nothing_arrives(lab, "chains shorter than a header");
	lab_counted(lab, "tx_bad_header", before, H - 1);
}

static void runt_frames(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "tx_runt");

	for (uint32_t bytes = 0; bytes < 14; bytes++) {
		uint16_t token;
		struct ring_seg seg = {lab_prepare(lab, 60, &token), H + bytes};

		card_send_chain(&lab->a, &seg, 1, 0, token);
	}
	lab_nothing_arrives(lab, "runt frames");
	lab_counted(lab, "tx_runt", before, 14);
}

/* Ends within its tag: runt for whoever looks at the tag. */
static void runt_with_a_tag(struct lab *lab)
{
	uint16_t token;
	struct ring_seg seg = {lab_prepare(lab, 60, &token), H + 15};
	uint8_t *frame = card_tx_buffer(&lab->a, token) + H;

	frame[12] = 0x81;
	frame[13] = 0;
	card_send_chain(&lab->a, &seg, 1, 0, token);
	lab_nothing_arrives(lab, "a runt with a tag");
}

static void frame_of_70000_bytes(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "tx_too_long");

	frame_fill(lab->frame, 70000 - H, lab->h1.mac, lab->a.mac, ++lab->number);
	card_send(&lab->a, NULL, lab->frame, 70000 - H);
	lab_nothing_arrives(lab, "a frame of 70,000 bytes");
	lab_counted(lab, "tx_too_long", before, 1);
}

/* 100 descriptors that lead to the same buffer: much more than any frame has. */
static void frame_of_many_megabytes(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "tx_too_long");
	struct ring_seg seg[100];
	uint16_t token;

	seg[0] = (struct ring_seg){lab_prepare(lab, 60000, &token), 60000};
	for (unsigned i = 1; i < 100; i++)
		seg[i] = seg[0];
	card_send_chain(&lab->a, seg, 100, 0, token);
	lab_nothing_arrives(lab, "a frame of 6 MB");
	lab_counted(lab, "tx_too_long", before, 1);
}

/* Allowed or a bad chain, but never anything else. */
static void descriptors_of_length_zero(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "tx_bad_chain");
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);
	uint16_t token;
	uint64_t gpa = lab_prepare(lab, 600, &token);
	struct ring_seg seg[] = {{gpa, 0}, {gpa, H}, {gpa, 0}, {gpa + H, 600}, {gpa, 0}};
	uint32_t got;

	card_send_chain(&lab->a, seg, 5, 0, token);
	card_wait_sent(&lab->a, "a chain with descriptors of length zero");
	while ((got = card_try_receive(&lab->h1, NULL, lab->got, true)) == 0 &&
	       lab_counter(lab, "tx_bad_chain") == before)
		deadline_check(&deadline, "descriptors of length zero pass or are counted");
	if (got && (got != 600 || frame_check(lab->got, got, "zero") != lab->number))
		die("a frame with descriptors of length zero came as %u bytes", got);
}

static void nothing_but_length_zero(struct lab *lab)
{
	uint16_t token;
	struct ring_seg seg[2] = {{lab_prepare(lab, 60, &token), 0}};

	seg[1] = seg[0];
	card_send_chain(&lab->a, seg, 2, 0, token);
	lab_nothing_arrives(lab, "a chain of nothing");
}

static void chain_with_writable_parts(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "tx_bad_header");
	uint16_t token;
	uint64_t gpa = lab_prepare(lab, 600, &token);
	struct ring_seg seg[2] = {{gpa, H + 300}, {gpa + H + 300, 300}};

	card_send_chain(&lab->a, seg, 1, 1, token);
	seg[0].gpa = lab_prepare(lab, 600, &token);
	card_send_chain(&lab->a, seg, 0, 1, token);
	lab_nothing_arrives(lab, "chains with writable parts");
	lab_counted(lab, "tx_bad_header", before, 2);
}

static void buffer_outside_of_memory(struct lab *lab)
{
	static const uint64_t bad[] = {0, 0x1000, UINT64_MAX - 8, UINT64_MAX - 4096};
	uint64_t before = lab_counter(lab, "tx_bad_chain");
	struct shm_region *last = &lab->a.shm->region[lab->a.shm->region_cnt - 1];

	for (unsigned i = 0; i < 5; i++) {
		uint16_t token;
		struct ring_seg seg[2] = {{lab_prepare(lab, 600, &token), H + 60}, {0, 500}};

		seg[1].gpa = i < 4 ? bad[i] : last->gpa + last->bytes - 100;
		card_send_chain(&lab->a, seg, 2, 0, token);
	}
	lab_nothing_arrives(lab, "buffers outside of memory");
	lab_counted(lab, "tx_bad_chain", before, 5);
}

static void index_jumps(struct lab *lab)
{
	struct ring *r = lab->a.tx->ring;

	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + r->size + 1), __ATOMIC_RELEASE);
	front_queue_kick(lab->a.tx);
	lab_wait_broken(lab->a.tx, "the transmit ring with an index that jumps is broken");
}

static void expose(struct lab *lab, uint16_t head)
{
	struct ring *r = lab->a.tx->ring;
	uint16_t idx = r->avail->idx;

	r->avail->ring[idx & r->mask] = head;
	__atomic_store_n(&r->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
	front_queue_kick(lab->a.tx);
}

static void head_out_of_range(struct lab *lab)
{
	expose(lab, lab->a.opts.ring_size);
	lab_wait_broken(lab->a.tx, "the transmit ring with a head out of range is broken");
}

static void wait_used_idx(struct lab *lab, uint16_t want)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (__atomic_load_n(&lab->a.tx->ring->used->idx, __ATOMIC_ACQUIRE) != want)
		deadline_check(&deadline, "a bad chain comes back");
}

static void chain_loops(struct lab *lab)
{
	struct vring_desc *desc = lab->a.tx->ring->split_desc;
	uint64_t before = lab_counter(lab, "tx_bad_chain");
	uint16_t token;
	uint64_t gpa = lab_prepare(lab, 60, &token);

	desc[0] = (struct vring_desc){gpa, 16, VRING_DESC_F_NEXT, 1};
	desc[1] = (struct vring_desc){gpa, 16, VRING_DESC_F_NEXT, 0};
	expose(lab, 0);
	wait_used_idx(lab, 1);
	desc[0].next = 60000;
	expose(lab, 0);
	wait_used_idx(lab, 2);
	lab_counted(lab, "tx_bad_chain", before, 2);
}

static void memory_vanishes(struct lab *lab)
{
	uint64_t features;

	lab_passes(lab, &lab->a, &lab->h1, 1514, "before memory vanishes");
	for (unsigned i = 0; i < 100; i++) {
		uint16_t token;
		struct ring_seg seg = {lab_prepare(lab, 1514, &token), H + 1514};

		if (ring_add(lab->a.tx->ring, &seg, 1, 0, token) < 0)
			die("ring_add");
	}
	ring_publish(lab->a.tx->ring);
	for (unsigned i = 0; i < lab->a.shm->region_cnt; i++) {
		if (ftruncate(lab->a.shm->region[i].fd, 0) < 0)
			die("ftruncate: %s", strerror(errno));
	}
	front_queue_kick(lab->a.tx);
	if (front_query_u64(lab->a.f, VU_GET_FEATURES, &features) < 0)
		die("no answer after memory vanished: %s", lab->a.f->error);
	/* What was read before is there, what comes from no memory is nobody's frame. */
	while (card_try_receive(&lab->h1, NULL, lab->got, true))
		;
}

static void spoofed_source(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "drop_spoofed");

	for (unsigned i = 0; i < 8; i++) {
		const uint8_t from[6] = {2, 0, 0, 0, (uint8_t)i, (uint8_t)(i ? 1 : 2)};

		frame_fill(lab->frame, 60, lab->h1.mac, from, ++lab->number);
		card_send(&lab->a, NULL, lab->frame, 60);
	}
	/* No unicast address is no source either. */
	frame_fill(lab->frame, 60, lab->h1.mac, (const uint8_t[]){3, 0, 0, 0, 0, 1}, ++lab->number);
	card_send(&lab->a, NULL, lab->frame, 60);
	lab_nothing_arrives(lab, "frames with another source");
	lab_counted(lab, "drop_spoofed", before, 9);
}

struct flipper {
	atomic_bool stop;
	struct card *card;
};

/* Each byte is the guest's to write at any time. */
static void *flip(void *arg)
{
	struct flipper *flipper = arg;
	volatile uint8_t *data = flipper->card->tx_data;
	size_t step = flipper->card->opts.tx_buffer_bytes;

	for (uint8_t value = 0; !atomic_load(&flipper->stop); value++) {
		for (unsigned i = 0; i < 64; i++)
			data[i * step + H + 11] = value & 1 ? 1 : 9;
	}
	return NULL;
}

static void mac_flipped_after_posting(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "drop_spoofed");
	struct flipper flipper = {.card = &lab->a};
	uint64_t arrived = 0;
	pthread_t thread;

	if (pthread_create(&thread, NULL, flip, &flipper) != 0)
		die("pthread_create");
	for (unsigned i = 0; i < FLIPS; i++) {
		frame_fill(lab->frame, 200, lab->h1.mac, lab->a.mac, i);
		card_send(&lab->a, NULL, lab->frame, 200);
		/* Few at a time, so that h1 has room for all of them. */
		if (i % 32 == 31 || i == FLIPS - 1)
			card_wait_sent(&lab->a, "frames that flip");
		while (card_try_receive(&lab->h1, NULL, lab->got, true)) {
			if (memcmp(lab->got + 6, lab->a.mac, 6) != 0)
				die("a frame from %02x arrives under mac-lock", lab->got[11]);
			arrived++;
		}
	}
	atomic_store(&flipper.stop, true);
	pthread_join(thread, NULL);
	lab_passes(lab, &lab->a, &lab->h2, 60, "after flips");
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (arrived + lab_counter(lab, "drop_spoofed") - before < FLIPS) {
		while (card_try_receive(&lab->h1, NULL, lab->got, true)) {
			if (memcmp(lab->got + 6, lab->a.mac, 6) != 0)
				die("a frame from %02x arrives under mac-lock", lab->got[11]);
			arrived++;
		}
		deadline_check(&deadline, "each frame that flips arrives or is counted");
	}
	if (arrived + lab_counter(lab, "drop_spoofed") - before != FLIPS)
		die("%u frames were sent, %llu arrived, %llu were dropped", FLIPS,
		    (unsigned long long)arrived,
		    (unsigned long long)(lab_counter(lab, "drop_spoofed") - before));
}

#define CASE(n, ...)                                                            \
	{                                                                       \
		.name = #n, .run = (n), .opts = {.rx_posted = 16, __VA_ARGS__ } \
	}
#define SPLIT_CASE(n)                                                                  \
	{                                                                              \
		.name = #n, .run = (n), .split_only = true, .opts = {.rx_posted = 16 } \
	}
#define LARGE .ring_size = 128, .tx_buffer_bytes = 70016

const struct hostile_case tx_cases[] = {
	CASE(header_in_pieces),
	CASE(header_in_pieces_of_a_table),
	CASE(shorter_than_the_header),
	CASE(runt_frames),
	CASE(runt_with_a_tag),
	CASE(frame_of_70000_bytes, LARGE),
	CASE(frame_of_many_megabytes, LARGE),
	CASE(descriptors_of_length_zero),
	CASE(nothing_but_length_zero),
	CASE(chain_with_writable_parts),
	CASE(buffer_outside_of_memory),
	CASE(memory_vanishes),
	CASE(spoofed_source),
	CASE(mac_flipped_after_posting),
	SPLIT_CASE(index_jumps),
	SPLIT_CASE(head_out_of_range),
	SPLIT_CASE(chain_loops),
};
const unsigned tx_case_cnt = sizeof(tx_cases) / sizeof(tx_cases[0]);
