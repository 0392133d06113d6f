/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A receive queue: frames into the guest's buffers. Owner worker.
 * Not frames that find no buffers (rx_wait.c), and not what a frame has to become (egress.c).
 *
 * Theory of operation
 *
 * 1. deliver() is called by the switch on this worker, within the sender's turn or the exchange's.
 *    Each frame is copied once, from the sender's memory (its headers from the sender's slot) to
 *    as many receive chains as it takes; num_buffers goes into the first before anything is
 *    published, and a frame's buffers are published with one index store.
 * 2. Chains are fetched as frames need them, a burst at a time. Those that a frame needs and has
 *    not got enough of are kept (stash); they go back to the avail side when the queue stops, moves
 *    or gets other memory, so that the base is exact and nothing is in flight then.
 * 3. A plain frame into a buffer that holds all of it is the common case, and has a path of its
 * own; every other goes through struct net_egress, whose outputs may be put one at a time while the
 *    frame waits at the front.
 * 4. The driver's kicks are of interest only while frames wait: it is asked for none otherwise, and
 *    an idle receive queue is not polled.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "device/net/copy.h"
#include "device/net/rx_priv.h"

/* ---- buffers ---- */

static COLD void give_back_empty(struct net_queue *queue, struct vq_slot *const *slots,
				 unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		slots[i]->used_bytes = 0;
	virtqueue_complete(queue->queue.vq, queue->queue.pool, slots, cnt);
	queue->rx->given_back += cnt;
	stat_add(&queue->stats.rx_bad_chain, cnt);
}

/* Is it a buffer, and one that a header fits into? */
static ALWAYS_INLINE bool usable(const struct vq_slot *slot, const struct net_rules *rules)
{
	return slot->error == CHAIN_OK && slot->out_cnt == 0 &&
	       slot->in_bytes > rules->header_bytes;
}

/*
 * Fetches up to want buffers, which there is room for. Chains that are no buffers are given back at
 * once while nothing is before them. Behind buffers they are left in the ring: what is in the stash
 * is what was fetched last, without a gap, so that it can be unfetched.
 */
static NOINLINE bool fetch_buffers(struct net_queue *queue, unsigned want)
{
	struct device_queue *base = &queue->queue;
	struct net_rx *rx = queue->rx;
	struct vq_slot *slots[VIRTQUEUE_BURST];
	unsigned before = rx->stash_cnt;
	unsigned cnt;

	rx->bad_next = false;
	if (unlikely(!device_queue_may_fetch(base)))
		return false;
	if (want > RX_STASH_MAX - rx->stash_cnt)
		want = RX_STASH_MAX - rx->stash_cnt;
	cnt = virtqueue_fetch(base->vq, base->pool, slots, want);
	for (unsigned i = 0; i < cnt; i++) {
		if (likely(usable(slots[i], queue->rules))) {
			rx->stash[rx->stash_cnt++] = slots[i];
		} else if (rx->stash_cnt == 0) {
			give_back_empty(queue, &slots[i], 1);
		} else {
			rx->bad_next = true;
			virtqueue_unfetch(base->vq, base->pool, slots + i, cnt - i);
			break;
		}
	}
	return rx->stash_cnt > before;
}

/*
 * A frame needs more than the stash and the next chain is no buffer: a frame's buffers are used one
 * after another, so those before that go back like it. False: it is not so.
 */
static bool give_up_stash(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	if (!rx->bad_next)
		return false;
	rx->bad_next = false;
	give_back_empty(queue, rx->stash, rx->stash_cnt);
	rx->stash_cnt = 0;
	return true;
}

static ALWAYS_INLINE void take_from_stash(struct net_rx *rx, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		rx->done[rx->done_cnt++] = rx->stash[i];
	rx->stash_cnt -= cnt;
	for (unsigned i = 0; i < rx->stash_cnt; i++)
		rx->stash[i] = rx->stash[i + cnt];
}

void rx_publish(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	virtqueue_complete(queue->queue.vq, queue->queue.pool, rx->done, rx->done_cnt);
	rx->given_back += rx->done_cnt;
	rx->done_cnt = 0;
	if (unlikely(rx->copies_left))
		rx_wait_settle(queue);
}

void net_rx_unfetch(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	rx_publish(queue);
	virtqueue_unfetch(queue->queue.vq, queue->queue.pool, rx->stash, rx->stash_cnt);
	rx->stash_cnt = 0;
}

/* ---- the common case ---- */

static ALWAYS_INLINE void copy_payload(uint8_t *dst, const struct frame *frame)
{
	for (unsigned i = 0; i < frame->iov_cnt; i++) {
		gptr_copy(gptr_from_hva(void, dst), gptr_from_hva(void, frame->iov[i].iov_base),
			  frame->iov[i].iov_len);
		dst += frame->iov[i].iov_len;
	}
}

static ALWAYS_INLINE void put_plain(struct vq_slot *slot, const struct frame *frame)
{
	const unsigned head_bytes = FRAME_PLAIN_BYTES + frame->head_bytes;
	uint8_t *dst = slot->iov[0].iov_base;

	copy_short_out(gptr_from_hva(void, dst), frame_wire_const(frame), head_bytes);
	copy_payload(dst + head_bytes, frame);
	slot->used_bytes = FRAME_PLAIN_BYTES + frame->bytes;
}

/* ---- any frame ---- */

/* A tag is on top of what the MTU allows; of a large frame its segments count. */
static bool over_mtu(const struct frame *frame, const struct net_rules *rules)
{
	uint32_t bytes = frame->gso == FRAME_GSO_NONE ? frame->bytes
						      : frame->d.payload_offset + frame->gso_bytes;

	return bytes > rules->rx_frame_bytes_max + (frame->tagged ? ETHER_TAG_BYTES : 0);
}

static bool in_table(const uint8_t table[][ETHER_MAC_BYTES], unsigned cnt, const uint8_t *mac)
{
	for (unsigned i = 0; i < cnt; i++) {
		if (memcmp(table[i], mac, ETHER_MAC_BYTES) == 0)
			return true;
	}
	return false;
}

/* VIRTIO 1.3, 5.1.6.5.1 and 5.1.6.5.2. */
static bool mac_wanted(const struct net_rules *rules, const uint8_t *mac)
{
	static const uint8_t broadcast[ETHER_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (rules->promisc)
		return true;
	if (memcmp(mac, broadcast, ETHER_MAC_BYTES) == 0)
		return !rules->nobcast;
	if (mac[0] & 1)
		return !rules->nomulti &&
		       (rules->allmulti || in_table(rules->multicast, rules->multicast_cnt, mac));
	return !rules->nouni && (rules->alluni || memcmp(mac, rules->mac, ETHER_MAC_BYTES) == 0 ||
				 in_table(rules->unicast, rules->unicast_cnt, mac));
}

static bool vlan_wanted(const struct net_rules *rules, const struct frame *frame,
			enum netport_tag_edit edit)
{
	unsigned vlan = frame->vlan;

	if (edit == NETPORT_TAG_POP || (edit == NETPORT_TAG_KEEP && !frame->tagged))
		return true;
	if (edit == NETPORT_TAG_KEEP)
		vlan = (unsigned)(frame->head[14] << 8 | frame->head[15]) & (NET_VLANS - 1);
	return rules->vlans[vlan / 64] >> vlan % 64 & 1;
}

static bool filtered(const struct net_rules *rules, const struct frame *frame,
		     enum netport_tag_edit edit)
{
	return (rules->filter_macs && !mac_wanted(rules, frame->head)) ||
	       (rules->filter_vlans && !vlan_wanted(rules, frame, edit));
}

/* How many of the stash's buffers hold bytes; 0: more must be fetched, or TOO_MANY. */
#define TOO_MANY UINT32_MAX

static unsigned buffers_for(const struct net_rx *rx, bool mergeable, uint64_t bytes)
{
	uint64_t room = 0;

	for (unsigned i = 0; i < rx->stash_cnt; i++) {
		if (i == (mergeable ? NET_RX_BUFFERS_MAX : 1))
			return TOO_MANY;
		room += rx->stash[i]->in_bytes;
		if (room >= bytes)
			return i + 1;
	}
	return !mergeable && rx->stash_cnt ? TOO_MANY : 0;
}

/* Sequential writing over several buffers. */
struct rx_writer {
	struct vq_slot *const *slots;
	struct iov_cursor cursor;
	unsigned left; /* slots behind the current one */
};

static bool writer_next(struct rx_writer *writer)
{
	if (!writer->left)
		return false;
	writer->left--;
	writer->slots++;
	(*writer->slots)->used_bytes = 0;
	iov_cursor_init(&writer->cursor, (*writer->slots)->iov, (*writer->slots)->in_cnt);
	return true;
}

static void write_bytes(struct rx_writer *writer, const void *src, size_t len)
{
	const uint8_t *from = src;

	do {
		size_t got = iov_copy_out(&writer->cursor, from, len);

		(*writer->slots)->used_bytes += (uint32_t)got;
		from += got;
		len -= got;
	} while (len && writer_next(writer));
}

/* From a sender's memory to the receiver's, len bytes of what the cursor is at. */
static void write_guest(struct rx_writer *writer, struct iov_cursor *from, size_t len)
{
	do {
		size_t got = iov_copy(&writer->cursor, from, len);

		(*writer->slots)->used_bytes += (uint32_t)got;
		len -= got;
	} while (len && writer_next(writer));
}

static void write_output(struct net_queue *queue, struct net_egress *egress, unsigned slot_cnt)
{
	struct net_rx *rx = queue->rx;
	struct net_payload *payload = &egress->payload;
	struct rx_writer writer = {.slots = rx->stash, .left = slot_cnt - 1};
	uint32_t from_rest = egress->payload_bytes < payload->rest_bytes ? egress->payload_bytes
									 : payload->rest_bytes;

	rx->stash[0]->used_bytes = 0;
	iov_cursor_init(&writer.cursor, rx->stash[0]->iov, rx->stash[0]->in_cnt);
	egress->header.num_buffers = le16_of((uint16_t)slot_cnt);
	if (likely(!queue->rules->hash_report)) {
		write_bytes(&writer, &egress->header, queue->rules->header_bytes);
	} else {
		write_bytes(&writer, &egress->header, sizeof(egress->header));
		write_bytes(&writer, &egress->hash, sizeof(egress->hash));
	}
	write_bytes(&writer, egress->head, egress->head_bytes);
	write_bytes(&writer, payload->rest, from_rest);
	payload->rest += from_rest;
	payload->rest_bytes -= from_rest;
	write_guest(&writer, &payload->cursor, egress->payload_bytes - from_rest);
	payload->taken_bytes += egress->payload_bytes - from_rest;
}

/* The output that is ready, into buffers; one that fits into none is dropped. */
static enum rx_put put_output(struct net_queue *queue, struct net_egress *egress)
{
	struct net_rx *rx = queue->rx;
	const uint64_t bytes =
		(uint64_t)queue->rules->header_bytes + egress->head_bytes + egress->payload_bytes;
	unsigned cnt;

	while ((cnt = buffers_for(rx, queue->rules->mergeable, bytes)) == 0) {
		if (!fetch_buffers(queue, VIRTQUEUE_BURST) && !give_up_stash(queue))
			return RX_PUT_NO_BUFFER;
	}
	if (cnt == TOO_MANY) {
		uint32_t rest = egress->payload_bytes < egress->payload.rest_bytes
					? egress->payload_bytes
					: egress->payload.rest_bytes;

		stat_inc(&queue->stats.rx_small_buffer);
		netport_show_drop(queue->net->port, queue->exchange, egress->frame,
				  NETPORT_DROP_SMALL_BUFFER);
		/* Payload is taken in order: what comes next begins behind it. */
		egress->payload.rest += rest;
		egress->payload.rest_bytes -= rest;
		iov_skip(&egress->payload.cursor, egress->payload_bytes - rest);
		egress->payload.taken_bytes += egress->payload_bytes - rest;
		return RX_PUT_DONE;
	}
	if (rx->done_cnt + cnt > RX_STASH_MAX)
		rx_publish(queue);
	write_output(queue, egress, cnt);
	take_from_stash(rx, cnt);
	stat_inc(&queue->stats.rx_frames);
	stat_add(&queue->stats.rx_bytes, egress->head_bytes + egress->payload_bytes);
	return RX_PUT_DONE;
}

static void end_egress(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	rx->egressing = false;
	rx->output_ready = false;
	if (rx->egress.csums)
		stat_add(&queue->stats.rx_csums, rx->egress.csums);
	if (rx->egress.segments)
		stat_add(&queue->stats.rx_segments, rx->egress.segments);
	if (rx->egress.frame->gso != FRAME_GSO_NONE && !rx->egress.segmented)
		stat_inc(&queue->stats.rx_gso);
}

static enum rx_put go_on_egress(struct net_queue *queue)
{
	struct net_rx *rx = queue->rx;

	for (;;) {
		if (!rx->output_ready && !net_egress_next(&rx->egress))
			break;
		rx->output_ready = true;
		if (put_output(queue, &rx->egress) == RX_PUT_NO_BUFFER)
			return RX_PUT_NO_BUFFER;
		rx->output_ready = false;
	}
	end_egress(queue);
	return RX_PUT_DONE;
}

enum rx_put rx_put_frame(struct net_queue *queue, const struct frame *frame)
{
	const struct net_rules *rules = queue->rules;
	enum netport_tag_edit edit = NETPORT_TAG_KEEP;
	struct net_rx *rx = queue->rx;

	if (rx->egressing)
		return go_on_egress(queue);
	if (frame->vlan || frame->tagged)
		edit = netport_tag_edit(queue->net->port, frame);
	if (unlikely(over_mtu(frame, rules))) {
		stat_inc(&queue->stats.rx_over_mtu);
		netport_show_drop(queue->net->port, queue->exchange, frame, NETPORT_DROP_OVER_MTU);
		return RX_PUT_DONE;
	}
	if (unlikely(rules->filter_macs | rules->filter_vlans) && filtered(rules, frame, edit)) {
		stat_inc(&queue->stats.rx_filtered);
		return RX_PUT_DONE;
	}
	rx->egressing = true;
	rx->output_ready = false;
	net_egress_begin(&rx->egress, frame, rules, edit);
	return go_on_egress(queue);
}

/* ---- deliver ---- */

unsigned rx_put_plain(struct net_queue *queue, struct frame *const *frames, unsigned cnt)
{
	const struct net_rules *rules = queue->rules;
	struct net_rx *rx = queue->rx;
	uint64_t bytes = 0;
	unsigned n;

	if (unlikely(rules->header_bytes != FRAME_PLAIN_BYTES || rules->filter_macs ||
		     rules->filter_vlans))
		return 0;
	if (rx->stash_cnt < cnt)
		fetch_buffers(queue, cnt - rx->stash_cnt);
	if (rx->done_cnt + cnt > RX_STASH_MAX)
		rx_publish(queue);
	if (cnt > rx->stash_cnt)
		cnt = rx->stash_cnt;
	for (n = 0; n < cnt; n++) {
		const struct frame *frame = frames[n];
		struct vq_slot *slot = rx->stash[n];

		if (unlikely(frame->vlan || frame->tagged) &&
		    netport_tag_edit(queue->net->port, frame) != NETPORT_TAG_KEEP)
			break;
		if (unlikely(!frame->plain || frame->bytes > rules->rx_frame_bytes_max ||
			     slot->in_cnt != 1 ||
			     slot->in_bytes < FRAME_PLAIN_BYTES + frame->bytes))
			break;
		put_plain(slot, frame);
		bytes += frame->bytes;
	}
	take_from_stash(rx, n);
	stat_add(&queue->stats.rx_frames, n);
	stat_add(&queue->stats.rx_bytes, bytes);
	return n;
}

static void rx_deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
		       uint64_t now_ns)
{
	struct net_queue *queue = container_of(receiver, struct net_queue, receiver);
	struct net_rx *rx = queue->rx;
	unsigned i = 0;

	while (i < cnt && likely(rx->wait_cnt == 0)) {
		unsigned n = rx_put_plain(queue, frames + i, cnt - i);

		for (unsigned end = i + n; i < end; i++)
			exchange_put(queue->exchange, frames[i]);
		if (i == cnt || rx_put_frame(queue, frames[i]) == RX_PUT_NO_BUFFER)
			break;
		exchange_put(queue->exchange, frames[i++]);
	}
	for (; i < cnt; i++)
		rx_wait_push(queue, frames[i], now_ns);
	if (unlikely(rx->wait_cnt))
		worker_poller_wake(&queue->queue.poller);
}

/* True: a call is held. */
static bool signal_driver(struct net_queue *queue, uint64_t now_ns)
{
	struct net_rx *rx = queue->rx;
	bool held;

	rx_publish(queue);
	held = device_queue_notify_port(&queue->queue, rx->given_back, &queue->port, now_ns);
	rx->given_back = 0;
	return held;
}

static void rx_flush(struct netport_queue *receiver, uint64_t now_ns)
{
	struct net_queue *queue = container_of(receiver, struct net_queue, receiver);

	/* A call that waits for its time needs somebody who looks at the clock. */
	if (unlikely(signal_driver(queue, now_ns)))
		worker_poller_wake(&queue->queue.poller);
}

static bool rx_waits(struct netport_queue *receiver)
{
	return container_of(receiver, struct net_queue, receiver)->rx->wait_cnt > 0;
}

const struct netport_ops net_rx_ops = {
	.kind = "port",
	.deliver = rx_deliver,
	.flush = rx_flush,
	.waits = rx_waits,
};

/* ---- the queue's own turns ---- */

unsigned net_rx_poll(struct net_queue *queue, uint64_t now_ns)
{
	unsigned work = 0;

	if (unlikely(!device_queue_may_fetch(&queue->queue)))
		net_rx_unfetch(queue);
	else if (queue->rx->wait_cnt)
		work = rx_wait_drain(queue, now_ns);
	if (queue->rx->held_cnt)
		rx_wait_let_go(queue, now_ns, false);
	if (unlikely(signal_driver(queue, now_ns)))
		device_queue_stay_polled(&queue->queue, now_ns);
	return work;
}

bool net_rx_prepare_sleep(struct net_queue *queue)
{
	/* As device_queue_prepare_sleep(). */
	if (queue->queue.poller.mode != POLL_MODE_NEVER || device_queue_drains(&queue->queue))
		virtqueue_notify(queue->queue.vq);
	if (!queue->rx->wait_cnt || !device_queue_may_fetch(&queue->queue))
		return false;
	return virtqueue_arm(queue->queue.vq);
}

uint64_t net_rx_next_deadline(const struct net_queue *queue)
{
	const uint64_t held_ns = virtqueue_held_until_ns(queue->queue.vq);
	const uint64_t wait_ns = rx_wait_deadline_ns(queue->rx);

	return wait_ns && (!held_ns || wait_ns < held_ns) ? wait_ns : held_ns;
}

int net_rx_open(struct net_queue *queue, struct err *err)
{
	struct net_rx *rx = queue->rx;

	if (!rx) {
		rx = calloc(1, sizeof(*rx));
		if (!rx || rx_wait_init(rx, err)) {
			free(rx);
			return err_set(err, ENOMEM, "no memory for a receive queue");
		}
		queue->rx = rx;
	}
	rx_wait_arrive(rx, queue->exchange);
	rx_wait_rules_changed(queue);
	queue->receiver.ops = &net_rx_ops;
	return 0;
}

void net_rx_told(struct net_queue *queue)
{
	rx_wait_rules_changed(queue);
}

void net_rx_enable(struct net_queue *queue)
{
	netport_queue_open(&queue->receiver, queue->net->port, queue->queue.idx / 2,
			   queue->exchange);
	queue->enabled = true;
}

void net_rx_disable(struct net_queue *queue, bool keep)
{
	if (queue->enabled)
		netport_queue_close(&queue->receiver, keep);
	queue->enabled = false;
	net_rx_unfetch(queue);
	if (keep)
		rx_wait_let_go(queue, 0, true);
	else
		rx_wait_clear(queue);
	virtqueue_notify(queue->queue.vq);
	queue->rx->given_back = 0;
}

void net_rx_free(struct net_rx *rx)
{
	if (!rx)
		return;
	CHECK(!rx->wait_cnt && !rx->stash_cnt);
	rx_wait_fini(rx);
	free(rx);
}
