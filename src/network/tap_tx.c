/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the switch into the kernel, from where the sender has them, or completed and cut here
 * where the interface has no offloads.
 * Not the reading of frames (tap_queue.c).
 *
 * A frame is one writev of the worker and is given back at once: nobody's memory is held, and order
 * is what it was. The kernel takes the frame through its whole stack within that call, a
 * microsecond of which the entry is a tenth (60 B: 695 ns; a batch of 32 in io_uring on a
 * registered file: 640 to 720 ns, on a plain one 790 ns; Linux 6.18, no page table isolation). A
 * registered file would besides outlive its queue by up to a second (uring_file_put), and with it
 * the interface and its name.
 */
#include <errno.h>
#include <string.h>

#include "flow/checksum.h"
#include "network/tap_priv.h"

/* Entries before the sender's: vnet header and head. */
#define IOV_OWN 2

static struct tap_queue *tap_of_receiver(struct netport_queue *receiver)
{
	return container_of(receiver, struct tap_queue, receiver);
}

/* iov[0] is the header, bytes those behind it. False: no use to go on with this frame. */
static bool tx_write(struct tap_queue *queue, unsigned iov_cnt, uint32_t bytes)
{
	const ssize_t got = writev(queue->fd, queue->iov, (int)iov_cnt);

	if (likely(got >= 0)) {
		stat_inc(&queue->stats.tx_frames);
		stat_add(&queue->stats.tx_bytes, bytes);
		return true;
	}
	if (errno == EAGAIN || errno == ENOBUFS) {
		stat_inc(&queue->stats.tx_full);
		return false;
	}
	stat_inc(&queue->stats.tx_errors);
	if (errno == EBADFD || errno == ENODEV)
		tap_queue_lose(queue);
	return false;
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

static enum segment_kind tx_segment_kind(const struct frame *frame, const struct dissection *d)
{
	const bool ipv4 = d->l3 == DISSECT_L3_IPV4;

	switch (frame->gso) {
	case FRAME_GSO_TCP4:
		return SEGMENT_TCP4;
	case FRAME_GSO_TCP6:
		return SEGMENT_TCP6;
	case FRAME_GSO_UDP:
		return ipv4 ? SEGMENT_UFO4 : SEGMENT_UFO6;
	default:
		return ipv4 ? SEGMENT_UDP4 : SEGMENT_UDP6;
	}
}

/* One segment, whose payload is at the cursor. */
static bool tx_segment(struct tap_queue *queue, struct iov_cursor *payload)
{
	struct segment *segment = &queue->segment;
	size_t got = 0;
	unsigned cnt;

	cnt = iov_slice(payload, segment->payload_bytes, queue->iov + IOV_OWN, IOV_MAX - IOV_OWN,
			&got);
	if (got < segment->payload_bytes) {
		stat_inc(&queue->stats.tx_errors);
		return false;
	}
	if (segment->csum_start)
		tx_complete(segment->head, segment->head_bytes, segment->csum_start,
			    segment->csum_offset, queue->iov + IOV_OWN, cnt);
	queue->iov[1] = (struct iovec){segment->head, segment->head_bytes};
	return tx_write(queue, IOV_OWN + cnt, segment->head_bytes + segment->payload_bytes);
}

/* head_bytes of queue->head are the frame's first bytes as the kernel sees them. */
static void tx_segments(struct tap_queue *queue, const struct frame *frame, unsigned head_bytes)
{
	const uint32_t bytes = frame->bytes - frame->head_bytes + head_bytes;
	struct iov_cursor payload;
	struct dissection d;
	struct segmenter s;

	dissect(queue->head, head_bytes < DISSECT_BYTES_MAX ? head_bytes : DISSECT_BYTES_MAX, &d);
	if (d.payload_offset == 0 || d.payload_offset > head_bytes || frame->iov_cnt >= IOV_MAX ||
	    segment_begin(&s, tx_segment_kind(frame, &d), queue->head, &d, bytes - d.payload_offset,
			  frame->gso_bytes) < 0) {
		stat_inc(&queue->stats.tx_errors);
		return;
	}
	if (frame->gso == FRAME_GSO_UDP) /* fragments cannot carry a partial one */
		tx_complete(queue->head, head_bytes, d.l4_offset, frame->csum_offset, frame->iov,
			    frame->iov_cnt);
	queue->payload[0].iov_base = queue->head + d.payload_offset;
	queue->payload[0].iov_len = head_bytes - d.payload_offset;
	if (frame->iov_cnt > 0)
		memcpy(queue->payload + 1, frame->iov, frame->iov_cnt * sizeof(*frame->iov));
	iov_cursor_init(&payload, queue->payload, frame->iov_cnt + 1u);
	memset(&queue->header, 0, sizeof(queue->header));
	while (segment_next(&s, &queue->segment)) {
		if (!tx_segment(queue, &payload))
			return;
	}
}

static void tx_plain(struct tap_queue *queue, const struct frame *frame, uint8_t *head,
		     unsigned head_bytes)
{
	const unsigned cnt = frame->iov_cnt;

	if (unlikely(cnt > IOV_MAX - IOV_OWN)) {
		stat_inc(&queue->stats.tx_errors);
		return;
	}
	queue->iov[1] = (struct iovec){head, head_bytes};
	for (unsigned i = 0; i < cnt; i++)
		queue->iov[IOV_OWN + i] = frame->iov[i];
	tx_write(queue, IOV_OWN + cnt, frame->bytes - frame->head_bytes + head_bytes);
}

/* Without the kernel's help. */
static void tx_software(struct tap_queue *queue, const struct frame *frame, unsigned head_bytes)
{
	const int shift = (int)head_bytes - (int)frame->head_bytes;

	if (frame->gso != FRAME_GSO_NONE) {
		tx_segments(queue, frame, head_bytes);
		return;
	}
	tx_complete(queue->head, head_bytes, (unsigned)(frame->csum_start + shift),
		    frame->csum_offset, frame->iov, frame->iov_cnt);
	memset(&queue->header, 0, sizeof(queue->header));
	tx_plain(queue, frame, queue->head, head_bytes);
}

static bool tx_needs_software(const struct tap *tap, const struct frame *frame)
{
	if (!tap->offloads)
		return frame->csum_partial || frame->gso != FRAME_GSO_NONE;
	return frame->gso == FRAME_GSO_UDP_L4 && !tap->uso;
}

static void tx_frame(struct tap_queue *queue, const struct frame *frame)
{
	const enum netport_tag_edit edit = netport_tag_edit(queue->receiver.port, frame);
	unsigned head_bytes = frame->head_bytes;

	queue->iov[0] = (struct iovec){&queue->header, sizeof(queue->header)};
	if (unlikely(tx_needs_software(queue->tap, frame))) {
		head_bytes = netport_edit_head(frame, edit, queue->head);
		tx_software(queue, frame, head_bytes);
		return;
	}
	if (edit == NETPORT_TAG_KEEP) {
		tap_header_fill(&queue->header, frame, 0);
		tx_plain(queue, frame, (uint8_t *)(uintptr_t)frame->head, head_bytes);
		return;
	}
	head_bytes = netport_edit_head(frame, edit, queue->head);
	tap_header_fill(&queue->header, frame, (int)head_bytes - (int)frame->head_bytes);
	tx_plain(queue, frame, queue->head, head_bytes);
}

static void tap_deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
			uint64_t now_ns)
{
	struct tap_queue *queue = tap_of_receiver(receiver);

	(void)now_ns;
	for (unsigned i = 0; i < cnt; i++) {
		if (likely(!queue->lost))
			tx_frame(queue, frames[i]);
		else
			stat_inc(&queue->stats.tx_errors);
		exchange_put(queue->exchange, frames[i]);
	}
}

/* Everything has left by then. */
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
