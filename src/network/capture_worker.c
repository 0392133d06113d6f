/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture on a worker: frames are copied into its ring, and the ring's two ends.
 * Not the file (capture.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "guest/iov.h"
#include "network/capture_priv.h"

int capture_ring_init(struct capture_ring *ring, uint32_t size_bytes)
{
	memset(ring, 0, sizeof(*ring));
	ring->size_bytes = size_bytes;
	ring->bytes = aligned_alloc(CACHE_LINE_BYTES, size_bytes);
	return ring->bytes ? 0 : -ENOMEM;
}

void capture_ring_fini(struct capture_ring *ring)
{
	free(ring->bytes);
	ring->bytes = NULL;
}

static struct capture_record *record_at(const struct capture_ring *ring, uint64_t pos)
{
	return (struct capture_record *)(void *)&ring->bytes[pos & (ring->size_bytes - 1)];
}

const struct capture_record *capture_ring_peek(struct capture_ring *ring)
{
	const uint64_t written = load_acquire(&ring->written); /* CAPTURE_PUB */
	const struct capture_record *record;

	while (ring->taken != written) {
		record = record_at(ring, ring->taken);
		if (record->captured_bytes != CAPTURE_SKIP)
			return record;
		capture_ring_take(ring, record);
	}
	return NULL;
}

void capture_ring_take(struct capture_ring *ring, const struct capture_record *record)
{
	/* CAPTURE_PUB: what was read of the record was read before its room is free. */
	store_release(&ring->taken, ring->taken + record->record_bytes);
}

/* So many bytes are free behind write_pos? */
static bool has_room(struct capture_ring *ring, uint64_t bytes)
{
	if (ring->write_pos + bytes - ring->taken_seen <= ring->size_bytes)
		return true;
	ring->taken_seen = load_acquire(&ring->taken); /* CAPTURE_PUB */
	return ring->write_pos + bytes - ring->taken_seen <= ring->size_bytes;
}

/* Room in one piece for a record with so much data, or NULL: the ring is full. */
static struct capture_record *reserve(struct capture_ring *ring, uint32_t data_bytes)
{
	const uint32_t need = (sizeof(struct capture_record) + data_bytes + 7u) & ~7u;
	const uint32_t offset = ring->write_pos & (ring->size_bytes - 1);
	const uint32_t rest = ring->size_bytes - offset;
	struct capture_record *record = record_at(ring, ring->write_pos);
	uint32_t skip_bytes = 0;

	if (rest < need)
		skip_bytes = rest;
	if (!has_room(ring, (uint64_t)skip_bytes + need))
		return NULL;
	if (skip_bytes) {
		record->record_bytes = skip_bytes;
		record->captured_bytes = CAPTURE_SKIP;
		ring->write_pos += skip_bytes;
		record = record_at(ring, ring->write_pos);
	}
	record->record_bytes = need;
	return record;
}

static void publish(struct capture_ring *ring)
{
	if (ring->burst_cnt == 0)
		store_release(&ring->written, ring->write_pos); /* CAPTURE_PUB */
}

/* Bytes of a frame that are put together before the filter looks at them. */
struct first {
	uint8_t bytes[FRAME_HEAD_BYTES + ETHER_TAG_BYTES];
	uint32_t cnt;
	int shift; /* what the frame is longer than the sender's */
	struct iov_cursor rest;
};

static void gather(const struct capture_ring *ring, const struct frame *frame,
		   enum capture_direction direction, struct first *first)
{
	enum netport_tag_edit edit = NETPORT_TAG_KEEP;

	if (direction == CAPTURE_OUT)
		edit = netport_tag_edit(ring->port, frame);
	if (edit == NETPORT_TAG_KEEP) { /* also what is no frame yet: a runt */
		memcpy(first->bytes, frame->head, frame->head_bytes);
		first->cnt = frame->head_bytes;
	} else {
		first->cnt = netport_edit_head(frame, edit, first->bytes);
	}
	first->shift = (int)first->cnt - frame->head_bytes;
	iov_cursor_init(&first->rest, frame->iov, frame->iov_cnt);
	first->cnt += (uint32_t)iov_copy_in(&first->rest, first->bytes + first->cnt,
					    sizeof(first->bytes) - first->cnt);
}

static bool is_tagged(const uint8_t *data, uint32_t bytes)
{
	return bytes >= ETHER_HEADER_BYTES && data[12] == ETHER_TYPE_VLAN >> 8 &&
	       data[13] == (ETHER_TYPE_VLAN & 0xff);
}

static void fill(struct capture_record *record, const struct frame *frame,
		 enum capture_direction direction, const struct first *first, uint64_t now_ns)
{
	record->original_bytes = frame->bytes + (uint32_t)first->shift;
	record->time_ns = now_ns;
	record->direction = (uint8_t)direction;
	record->drop = NETPORT_DROP_NONE;
	/* What comes in has its VLAN when the switch has judged it: capture_in_end(). */
	record->vlan = 0;
	if (direction == CAPTURE_OUT && !is_tagged(first->bytes, first->cnt))
		record->vlan = frame->vlan;
	record->gso = frame->gso;
	record->gso_ecn = frame->gso_ecn;
	record->gso_bytes = frame->gso_bytes;
	record->csum_partial = frame->csum_partial;
}

/* NULL: not wanted, or missed. Not published. */
static struct capture_record *record_frame(struct capture_ring *ring, const struct frame *frame,
					   enum capture_direction direction, uint64_t now_ns)
{
	struct capture_record *record;
	struct first first;
	uint32_t want;
	uint32_t got;

	stat_inc(&ring->stats.seen);
	gather(ring, frame, direction, &first);
	want = frame->bytes + (uint32_t)first.shift;
	if (ring->filter && !capture_filter_match(ring->filter, first.bytes, first.cnt, want))
		return NULL;
	stat_inc(&ring->stats.accepted);
	if (want > ring->snaplen)
		want = ring->snaplen;
	record = reserve(ring, want);
	if (!record) {
		stat_inc(&ring->stats.missed);
		return NULL;
	}
	got = want < first.cnt ? want : first.cnt;
	memcpy(record->data, first.bytes, got);
	got += (uint32_t)iov_copy_in(&first.rest, record->data + got, want - got);
	record->captured_bytes = got;
	fill(record, frame, direction, &first, now_ns);
	ring->write_pos += record->record_bytes;
	return record;
}

void capture_in(struct capture_ring *ring, struct frame *const *frames, unsigned cnt,
		uint64_t now_ns)
{
	CHECK(ring->burst_cnt == 0 && cnt <= NETPORT_BURST);
	if (!ring->wants[CAPTURE_IN] || ring->drops_only)
		return;
	for (unsigned i = 0; i < cnt; i++) {
		struct capture_record *record = record_frame(ring, frames[i], CAPTURE_IN, now_ns);

		if (!record)
			continue;
		ring->burst[ring->burst_cnt].frame = frames[i];
		ring->burst[ring->burst_cnt].record = record;
		ring->burst_cnt++;
	}
}

void capture_in_end(struct capture_ring *ring)
{
	for (unsigned i = 0; i < ring->burst_cnt; i++) {
		struct capture_record *record = ring->burst[i].record;

		if (record->drop == NETPORT_DROP_NONE && !ring->burst[i].frame->tagged)
			record->vlan = ring->burst[i].frame->vlan;
	}
	ring->burst_cnt = 0;
	publish(ring);
}

void capture_out(struct capture_ring *ring, struct frame *const *frames, unsigned cnt,
		 uint64_t now_ns)
{
	if (!ring->wants[CAPTURE_OUT] || ring->drops_only)
		return;
	for (unsigned i = 0; i < cnt; i++)
		record_frame(ring, frames[i], CAPTURE_OUT, now_ns);
	publish(ring);
}

void capture_drop(struct capture_ring *ring, const struct frame *frame,
		  enum capture_direction direction, enum netport_drop drop, uint64_t now_ns)
{
	struct capture_record *record = NULL;

	if (!ring->wants[direction])
		return;
	if (direction == CAPTURE_OUT || ring->drops_only) {
		record = record_frame(ring, frame, direction, now_ns);
	} else {
		for (unsigned i = 0; i < ring->burst_cnt && !record; i++) {
			if (ring->burst[i].frame == frame)
				record = ring->burst[i].record;
		}
	}
	if (record)
		record->drop = drop;
	publish(ring);
}
