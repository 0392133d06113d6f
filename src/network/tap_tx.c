/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the switch as the kernel is given them: from where the sender has them, or completed
 * and cut here where the interface has no offloads.
 * Not how they are written (tap_write.c), nor the reading of frames (tap_queue.c).
 */
#include <errno.h>
#include <string.h>

#include "flow/checksum.h"
#include "network/tap_priv.h"

/* A frame on its way into its writes. */
struct tx {
	struct tap_queue *queue;
	struct frame *frame;
	struct tap_write *first; /* NULL: none has been queued */
};

static struct tap_queue *tap_of_receiver(struct netport_queue *receiver)
{
	return container_of(receiver, struct tap_queue, receiver);
}

/* The write's first piece: its own header and head. */
static void tx_own_head(struct tap_write *write, unsigned head_bytes)
{
	write->pieces[0] = (struct iovec){&write->header, sizeof(write->header) + head_bytes};
}

/* head_bytes: the first bytes as the kernel sees them, which are in the first piece. */
static void tx_whole(struct tx *tx, struct tap_write *write, unsigned head_bytes)
{
	const struct frame *frame = tx->frame;
	const unsigned cnt = frame->iov_cnt;

	for (unsigned i = 0; i < cnt; i++)
		write->pieces[1 + i] = frame->iov[i];
	tap_write_send(write, 1 + cnt, frame->bytes - frame->head_bytes + head_bytes, tx->frame,
		       &tx->first);
}

/* Completes the checksum in head; iov holds what follows it. Guest memory may change before the
 * kernel reads it: then the sum is wrong, which is the guest's own loss. */
static void tx_complete(uint8_t *head, unsigned head_bytes, unsigned start, unsigned offset,
			const struct iovec *iov, unsigned iov_cnt)
{
	bool odd = (head_bytes - start) & 1;
	struct iov_cursor rest;
	uint16_t field;
	uint64_t sum;

	iov_cursor_init(&rest, iov, iov_cnt);
	sum = checksum_add(0, head + start, head_bytes - start, false);
	sum = checksum_add_iov(sum, &rest, FRAME_BYTES_MAX, &odd);
	field = checksum_fold(sum);
	if (field == 0)
		field = 0xffff; /* the same number, and UDP's only way to say it */
	memcpy(head + start + offset, &field, sizeof(field));
}

/* The next bytes at the cursor, behind the write's first piece. Its pieces, or 0: not all is there.
 */
static unsigned tx_slice(struct iov_cursor *payload, uint32_t bytes, struct tap_write *write)
{
	size_t got = 0;
	const unsigned cnt =
		iov_slice(payload, bytes, write->pieces + 1, write->pieces_max - 1, &got);

	return got < bytes ? 0 : 1 + cnt;
}

/* One segment, whose payload is at the cursor. */
static bool tx_segment(struct tx *tx, struct iov_cursor *payload)
{
	const struct segment *segment = &tx->queue->segment;
	const struct iov_cursor from = *payload;
	struct tap_write *write = tap_write_next(tx->queue, 0);
	unsigned cnt = tx_slice(payload, segment->payload_bytes, write);

	if (cnt == 0) { /* in more pieces */
		*payload = from;
		write = &tx->queue->direct;
		cnt = tx_slice(payload, segment->payload_bytes, write);
	}
	if (cnt == 0) {
		stat_inc(&tx->queue->stats.tx_errors);
		return false;
	}
	memset(&write->header, 0, sizeof(write->header));
	memcpy(write->head, segment->head, segment->head_bytes);
	if (segment->csum_start)
		tx_complete(write->head, segment->head_bytes, segment->csum_start,
			    segment->csum_offset, write->pieces + 1, cnt - 1);
	tx_own_head(write, segment->head_bytes);
	return tap_write_send(write, cnt, segment->head_bytes + segment->payload_bytes, tx->frame,
			      &tx->first);
}

/* What follows the headers: of the head as the sender has it, which stays, and behind it. */
static void tx_payload(struct tap_queue *queue, const struct frame *frame, unsigned in_head,
		       struct iov_cursor *payload)
{
	queue->payload[0].iov_base =
		(uint8_t *)(uintptr_t)frame->head + frame->head_bytes - in_head;
	queue->payload[0].iov_len = in_head;
	if (frame->iov_cnt > 0)
		memcpy(queue->payload + 1, frame->iov, frame->iov_cnt * sizeof(*frame->iov));
	iov_cursor_init(payload, queue->payload, frame->iov_cnt + 1u);
}

/* head_bytes of queue->head are the frame's first bytes as the kernel sees them. */
static void tx_segments(struct tx *tx, unsigned head_bytes)
{
	struct tap_queue *queue = tx->queue;
	const struct frame *frame = tx->frame;
	const uint32_t bytes = frame->bytes - frame->head_bytes + head_bytes;
	struct iov_cursor payload;
	struct dissection d;
	struct segmenter s;

	dissect(queue->head, head_bytes < DISSECT_BYTES_MAX ? head_bytes : DISSECT_BYTES_MAX, &d);
	if (d.payload_offset == 0 || d.payload_offset > head_bytes ||
	    segment_begin(&s, frame_segment_kind(frame, &d), queue->head, &d,
			  bytes - d.payload_offset, frame->gso_bytes) < 0) {
		stat_inc(&queue->stats.tx_errors);
		return;
	}
	if (frame->gso == FRAME_GSO_UDP) /* fragments cannot carry a partial one */
		tx_complete(queue->head, head_bytes, d.l4_offset, frame->csum_offset, frame->iov,
			    frame->iov_cnt);
	tx_payload(queue, frame, head_bytes - d.payload_offset, &payload);
	while (segment_next(&s, &queue->segment)) {
		if (!tx_segment(tx, &payload))
			return;
	}
}

static bool tx_needs_software(const struct tap *tap, const struct frame *frame)
{
	if (!tap->offloads)
		return frame->csum_partial || frame->gso != FRAME_GSO_NONE;
	return frame->gso == FRAME_GSO_UDP_L4 && !tap->uso;
}

static void tx_frame(struct tx *tx)
{
	struct tap_queue *queue = tx->queue;
	const struct frame *frame = tx->frame;
	const enum netport_tag_edit edit = netport_tag_edit(queue->receiver.port, frame);
	const bool software = tx_needs_software(queue->tap, frame);
	struct tap_write *write = tap_write_next(queue, 1u + frame->iov_cnt);
	unsigned head_bytes = frame->head_bytes;
	int shift;

	if (unlikely(frame->iov_cnt >= IOV_MAX)) {
		stat_inc(&queue->stats.tx_errors);
		return;
	}
	if (likely(frame->plain && edit == NETPORT_TAG_KEEP)) {
		write->pieces[0] = (struct iovec){(void *)(uintptr_t)frame_wire_const(frame),
						  FRAME_PLAIN_BYTES + head_bytes};
		tx_whole(tx, write, head_bytes);
		return;
	}
	if (unlikely(software && frame->gso != FRAME_GSO_NONE)) {
		tx_segments(tx, netport_edit_head(frame, edit, queue->head));
		return;
	}
	head_bytes = netport_edit_head(frame, edit, write->head);
	shift = (int)head_bytes - (int)frame->head_bytes;
	if (unlikely(software)) {
		memset(&write->header, 0, sizeof(write->header));
		tx_complete(write->head, head_bytes, (unsigned)(frame->csum_start + shift),
			    frame->csum_offset, frame->iov, frame->iov_cnt);
	} else {
		tap_header_fill(&write->header, frame, shift);
	}
	tx_own_head(write, head_bytes);
	tx_whole(tx, write, head_bytes);
}

static void tap_deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
			uint64_t now_ns)
{
	struct tap_queue *queue = tap_of_receiver(receiver);

	(void)now_ns;
	for (unsigned i = 0; i < cnt; i++) {
		struct tx tx = {.queue = queue, .frame = frames[i]};

		if (likely(!queue->lost))
			tx_frame(&tx);
		else
			stat_inc(&queue->stats.tx_errors);
		if (!tx.first)
			exchange_put(queue->exchange, frames[i]);
	}
}

/* The worker's turn ends with the entry that takes what was queued. */
static void tap_flush(struct netport_queue *receiver, uint64_t now_ns)
{
	(void)receiver;
	(void)now_ns;
}

const struct netport_ops tap_netport_ops = {
	.kind = "tap",
	.deliver = tap_deliver,
	.flush = tap_flush,
};
