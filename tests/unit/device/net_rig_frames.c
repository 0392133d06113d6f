/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guests of net_rig.h send and receive. Not how they come and go (net_rig.c).
 */
#include "net_rig.h"

#include <unistd.h>

/* 20 with a hash; 10 of a legacy driver without MRG_RXBUF, which has no num_buffers. */
static unsigned header_bytes(const struct net_guest *guest)
{
	if (guest->options.hash)
		return NET_HEADER_BYTES_HASH;
	return guest->options.features_off & BIT(DEVICE_F_VERSION_1) &&
			       guest->options.features_off & BIT(NET_F_MRG_RXBUF)
		       ? NET_HEADER_BYTES_LEGACY
		       : NET_HEADER_BYTES;
}

void net_rig_kick(struct net_guest *guest, unsigned idx)
{
	const uint64_t one = 1;

	assert_int_equal(write(guest->queues[idx].kick_fd, &one, sizeof(one)), sizeof(one));
}

bool net_rig_publish(struct net_guest *guest, unsigned idx)
{
	struct net_guest_queue *queue = &guest->queues[idx];

	queue->kicked = ring_publish(queue->ring);
	if (queue->kicked)
		net_rig_kick(guest, idx);
	return queue->kicked;
}

uint16_t net_rig_token(struct net_guest *guest, unsigned idx)
{
	struct net_guest_queue *queue = &guest->queues[idx];

	assert_true(queue->free_cnt > 0);
	return queue->free[--queue->free_cnt];
}

static void put_token(struct net_guest_queue *queue, uint16_t token)
{
	queue->free[queue->free_cnt++] = token;
}

int net_rig_add(struct net_guest *guest, unsigned idx, const struct ring_seg *segs,
		unsigned out_cnt, unsigned in_cnt, uint16_t token)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	struct net_buffer *buffer = &queue->buffers[token];
	int status;

	if (guest->options.indirect) {
		ring_table_write(guest->options.format, buffer->table, segs, out_cnt, in_cnt);
		status = ring_add_table(queue->ring, buffer->table_gpa, out_cnt + in_cnt, token);
	} else {
		status = ring_add(queue->ring, segs, out_cnt, in_cnt, token);
	}
	assert_true(status == 0 || status == -ENOSPC);
	return status;
}

static unsigned cut(struct ring_seg *segs, uint64_t gpa, unsigned header, unsigned bytes,
		    enum net_layout layout)
{
	unsigned cnt = 0;

	if (layout == NET_LAYOUT_TWO) {
		segs[cnt++] = (struct ring_seg){gpa, header};
	} else if (layout == NET_LAYOUT_BYTES) {
		for (; cnt + 1 < bytes && cnt + 1 < NET_RIG_PIECES_MAX; cnt++)
			segs[cnt] = (struct ring_seg){gpa + cnt, 1};
	}
	const unsigned before = layout == NET_LAYOUT_TWO ? header : cnt;

	segs[cnt++] = (struct ring_seg){gpa + before, bytes - before};
	return cnt;
}

bool net_rig_send(struct net_guest *guest, unsigned idx, const struct net_header *header,
		  const uint8_t *frame, unsigned bytes, enum net_layout layout)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	struct ring_seg segs[NET_RIG_PIECES_MAX];
	const unsigned skip = header_bytes(guest);
	struct net_buffer *buffer;
	unsigned cnt;
	uint16_t token;

	if (!queue->free_cnt)
		return false;
	token = queue->free[--queue->free_cnt];
	buffer = &queue->buffers[token];
	memset(buffer->data, 0, skip);
	if (header)
		memcpy(buffer->data, header, skip < sizeof(*header) ? skip : sizeof(*header));
	memcpy(buffer->data + skip, frame, bytes);
	cnt = cut(segs, buffer->gpa, skip, skip + bytes, layout);
	if (net_rig_add(guest, idx, segs, cnt, 0, token)) {
		put_token(queue, token);
		return false;
	}
	return true;
}

unsigned net_rig_reap(struct net_guest *guest, unsigned idx)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	static struct ring_used used[NET_RIG_SIZE_MAX];
	int cnt = ring_get_used(queue->ring, used, NET_RIG_SIZE_MAX);

	if (cnt < 0)
		fail_msg("ring: %s", queue->ring->error);
	for (int i = 0; i < cnt; i++) {
		/* Nothing of it is written; a batch says so of its last one alone. */
		assert_true(used[i].bytes == 0 || used[i].bytes == RING_LEN_UNKNOWN);
		put_token(queue, used[i].token);
	}
	return (unsigned)cnt;
}

bool net_rig_all_back(struct net_guest *guest, unsigned idx)
{
	net_rig_reap(guest, idx);
	return guest->queues[idx].free_cnt == guest->queues[idx].ring->size;
}

unsigned net_rig_post(struct net_guest *guest, unsigned idx, unsigned cnt)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	const unsigned pieces = guest->options.pieces;
	const uint32_t bytes = guest->options.buffer_bytes;
	unsigned n;

	for (n = 0; n < cnt && queue->free_cnt; n++) {
		const uint16_t token = queue->free[--queue->free_cnt];
		const struct net_buffer *buffer = &queue->buffers[token];
		struct ring_seg segs[NET_RIG_PIECES_MAX];

		for (unsigned i = 0; i < pieces; i++) {
			const uint32_t from = bytes / pieces * i;
			const uint32_t to = i + 1 == pieces ? bytes : bytes / pieces * (i + 1);

			segs[i] = (struct ring_seg){buffer->gpa + from, to - from};
		}
		memset(buffer->data, 0xEE, bytes);
		if (net_rig_add(guest, idx, segs, 0, pieces, token)) {
			put_token(queue, token);
			break;
		}
	}
	if (n)
		net_rig_publish(guest, idx);
	return n;
}

static void drop_used(struct net_guest_queue *queue, unsigned cnt)
{
	queue->used_cnt -= cnt;
	memmove(queue->used, queue->used + cnt, queue->used_cnt * sizeof(queue->used[0]));
}

/* Nothing is taken off in the midst of a frame. */
static void take_used(struct net_guest_queue *queue)
{
	unsigned empty = 0;

	const unsigned room = NET_RIG_SIZE_MAX - queue->used_cnt;
	int cnt = ring_get_used(queue->ring, queue->used + queue->used_cnt, room);

	if (cnt < 0)
		fail_msg("ring: %s", queue->ring->error);
	queue->used_cnt += (unsigned)cnt;
	for (; empty < queue->used_cnt && !queue->used[empty].bytes; empty++)
		put_token(queue, queue->used[empty].token);
	drop_used(queue, empty);
	queue->empty_cnt += empty;
}

bool net_rig_receive(struct net_guest *guest, unsigned idx, struct net_received *received)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	const uint8_t *first;
	unsigned bytes = 0;

	if (!queue->used_cnt || !queue->used[0].bytes)
		take_used(queue);
	if (!queue->used_cnt)
		return false;
	received->header.num_buffers = le16_of(1);
	first = queue->buffers[queue->used[0].token].data;
	memcpy(&received->header, first,
	       guest->options.hash ? sizeof(received->header) : header_bytes(guest));
	if (guest->options.hash)
		memcpy(&received->hash, first + sizeof(received->header), sizeof(received->hash));
	received->buffers = le16_get(received->header.num_buffers);
	assert_in_range(received->buffers, 1, NET_RX_BUFFERS_MAX);
	/* All were there when the first was. */
	assert_true(received->buffers <= queue->used_cnt);
	for (unsigned i = 0; i < received->buffers; i++) {
		const struct ring_used *used = &queue->used[i];
		const unsigned skip = i ? 0 : header_bytes(guest);

		assert_true(used->bytes > skip && used->bytes <= guest->options.buffer_bytes);
		/* All but the last are full. */
		if (i + 1 < received->buffers)
			assert_int_equal(used->bytes, guest->options.buffer_bytes);
		assert_true(bytes + used->bytes - skip <= sizeof(received->frame));
		memcpy(received->frame + bytes, queue->buffers[used->token].data + skip,
		       used->bytes - skip);
		bytes += used->bytes - skip;
		/* Nothing was written behind. */
		if (used->bytes < guest->options.buffer_bytes)
			assert_int_equal(queue->buffers[used->token].data[used->bytes], 0xEE);
		put_token(queue, used->token);
	}
	received->bytes = bytes;
	drop_used(queue, received->buffers);
	return true;
}

void net_rig_frame(uint8_t *frame, unsigned bytes, const struct net_guest *from,
		   const struct net_guest *to, uint32_t seq)
{
	uint32_t state = seq * 2654435761u + 1;

	assert_true(bytes >= ETHER_HEADER_BYTES);
	memcpy(frame, to->mac, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, from->mac, ETHER_MAC_BYTES);
	frame[12] = NET_RIG_ETHER_TYPE >> 8;
	frame[13] = NET_RIG_ETHER_TYPE & 0xff;
	for (unsigned i = 14; i < bytes; i++) {
		state = state * 1664525 + 1013904223;
		frame[i] = (uint8_t)(state >> 24);
	}
	if (bytes >= 18)
		memcpy(frame + 14, &seq, sizeof(seq));
}

uint32_t net_rig_seq(const uint8_t *frame)
{
	uint32_t seq;

	memcpy(&seq, frame + 14, sizeof(seq));
	return seq;
}

void net_rig_frame_check(const uint8_t *frame, unsigned bytes, const struct net_guest *from,
			 const struct net_guest *to, uint32_t seq)
{
	static uint8_t expected[FRAME_BYTES_MAX];

	net_rig_frame(expected, bytes, from, to, seq);
	assert_memory_equal(frame, expected, bytes);
}
