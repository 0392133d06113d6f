/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixture of the uplinks' tests: workers, switch and peer. Not a test.
 */
#include "uplink_rig.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "flow/checksum.h"

#define DEADLINE_NS (60 * NS_PER_S)
#define UDP_HEADER 8
#define IPV4_HEADER 20

void uplink_turn(struct uplink_rig *rig, uint64_t start_ns)
{
	assert_int_equal(evloop_turn(rig->first->loop, 1), 0);
	assert_true(clock_now_ns() - start_ns < DEADLINE_NS);
}

void uplink_closed(void *arg)
{
	*(bool *)arg = true;
}

struct uplink_rig *uplink_rig_new(void)
{
	const struct worker_options worker_options = {.cpu = -1, .idx = 1};
	struct uplink_rig *rig = calloc(1, sizeof(*rig));
	struct fabric_options options = {.worker_cnt = UPLINK_WORKERS,
					 .poll_mode = POLL_MODE_NEVER};
	const struct netswitch_options switch_options = {
		.name = "lan", .mac_table_size = 1024, .mac_aging_s = 300};
	struct err err = ERR_INIT;

	assert_non_null(rig);
	rig->first = rig_new(0);
	rig->second.loop = rig->first->loop;
	if (worker_new(&worker_options, rig->first->loop, &rig->second.worker, &err) < 0)
		fail_msg("%s", err.text);
	rig->workers[0] = rig->first->worker;
	rig->workers[1] = rig->second.worker;
	options.workers = rig->workers;
	if (fabric_new(&options, rig->first->loop, &rig->fabric, &err) < 0)
		fail_msg("%s", err.text);
	if (netswitch_new(&switch_options, rig->fabric, &rig->netswitch, &err) < 0)
		fail_msg("%s", err.text);
	return rig;
}

void uplink_rig_free(struct uplink_rig *rig)
{
	bool closed = false;

	netswitch_free(rig->netswitch, uplink_closed, &closed);
	uplink_wait(rig, closed);
	closed = false;
	fabric_free(rig->fabric, uplink_closed, &closed);
	uplink_wait(rig, closed);
	worker_free(rig->second.worker);
	rig_free(rig->first);
	free(rig);
}

/* On the peer's worker. */
static void peer_keep(struct peer *peer, const struct frame *frame)
{
	struct peer_frame *got = &peer->got[peer->got_cnt];
	uint8_t head[FRAME_HEAD_BYTES + ETHER_TAG_BYTES];
	const unsigned head_bytes =
		netport_edit_head(frame, netport_tag_edit(peer->port, frame), head);
	const int shift = (int)head_bytes - (int)frame->head_bytes;
	struct iov_cursor rest;

	if (peer->got_cnt == PEER_FRAMES_MAX)
		return;
	got->len = frame->bytes + (unsigned)shift;
	got->bytes = malloc(got->len);
	memcpy(got->bytes, head, head_bytes);
	iov_cursor_init(&rest, frame->iov, frame->iov_cnt);
	iov_copy_in(&rest, got->bytes + head_bytes, got->len - head_bytes);
	got->gso = frame->gso;
	got->gso_bytes = frame->gso_bytes;
	got->csum_partial = frame->csum_partial;
	got->csum_valid = frame->csum_valid;
	got->csum_start = (uint16_t)(frame->csum_start + shift);
	got->csum_offset = frame->csum_offset;
	peer->got_cnt++;
}

static void peer_deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
			 uint64_t now_ns)
{
	struct peer *peer = container_of(receiver, struct peer, receiver);

	(void)now_ns;
	pthread_mutex_lock(&peer->lock);
	for (unsigned i = 0; i < cnt; i++) {
		if (peer->keep)
			peer_keep(peer, frames[i]);
		if (peer->hold && peer->held_cnt < FRAME_POOL_CNT)
			peer->held[peer->held_cnt++] = frames[i];
		else
			exchange_put(peer->exchange, frames[i]);
	}
	peer->count += cnt;
	pthread_mutex_unlock(&peer->lock);
}

static void peer_flush(struct netport_queue *receiver, uint64_t now_ns)
{
	(void)receiver;
	(void)now_ns;
}

static const struct netport_ops peer_ops = {
	.kind = "port",
	.deliver = peer_deliver,
	.flush = peer_flush,
};

static void peer_refilled(struct frame_pool *pool)
{
	(void)pool;
}

static void peer_start(struct worker *worker, void *arg)
{
	struct peer *peer = arg;

	(void)worker;
	netport_queue_open(&peer->receiver, peer->port, 0, peer->exchange);
}

static void peer_stop(struct worker *worker, void *arg)
{
	struct peer *peer = arg;

	(void)worker;
	netport_queue_close(&peer->receiver, false);
}

struct peer *peer_new(struct uplink_rig *rig, unsigned worker_idx, const char *name,
		      const struct netport_vlans *vlans)
{
	struct netport_options options = {.name = name, .netswitch = rig->netswitch};
	struct peer *peer = calloc(1, sizeof(*peer));
	struct err err = ERR_INIT;

	assert_non_null(peer);
	if (vlans)
		options.vlans = *vlans;
	peer->rig = rig;
	peer->worker = worker_idx == 0 ? rig->first : &rig->second;
	peer->exchange = fabric_exchange(rig->fabric, rig->workers[worker_idx]);
	peer->receiver.ops = &peer_ops;
	peer->keep = true;
	peer->got = calloc(PEER_FRAMES_MAX, sizeof(*peer->got));
	assert_non_null(peer->got);
	pthread_mutex_init(&peer->lock, NULL);
	peer->pool.refilled = peer_refilled;
	assert_int_equal(frame_pool_init(&peer->pool, peer->exchange, &err), 0);
	if (netport_open(&options, &peer->port, &err) < 0)
		fail_msg("%s", err.text);
	rig_call(peer->worker, peer_start, peer);
	return peer;
}

static void peer_is_home(struct worker *worker, void *arg)
{
	struct {
		struct peer *peer;
		bool home;
	} *question = arg;

	(void)worker;
	question->home = question->peer->pool.out_cnt == 0;
}

void peer_free(struct peer *peer)
{
	struct {
		struct peer *peer;
		bool home;
	} question = {peer, false};
	const uint64_t start_ns = clock_now_ns();
	bool closed = false;

	rig_call(peer->worker, peer_stop, peer);
	while (!question.home) {
		rig_call(peer->worker, peer_is_home, &question);
		uplink_turn(peer->rig, start_ns);
	}
	netport_close(peer->port, uplink_closed, &closed);
	uplink_wait(peer->rig, closed);
	peer_forget(peer);
	frame_pool_fini(&peer->pool);
	pthread_mutex_destroy(&peer->lock);
	free(peer->got);
	free(peer);
}

struct sending {
	struct peer *peer;
	const struct peer_frame *frame;
	unsigned pieces;
	bool sent;
};

/* What follows the head is one piece or, of unequal length, many. */
static void peer_cut(struct peer *peer, struct pool_frame *own, unsigned pieces)
{
	uint8_t *at = own->data.iov_base;
	size_t left = own->data.iov_len;

	own->frame.iov = &own->data;
	if (pieces <= 1)
		return;
	for (unsigned i = 0; i < pieces; i++) {
		const size_t bytes = i + 1 < pieces ? left / 3 : left;

		peer->pieces[i] = (struct iovec){at, bytes};
		at += bytes;
		left -= bytes;
	}
	own->frame.iov = peer->pieces;
	own->frame.iov_cnt = (uint16_t)pieces;
}

static void peer_send_on_worker(struct worker *worker, void *arg)
{
	struct sending *sending = arg;
	struct peer *peer = sending->peer;
	const struct peer_frame *from = sending->frame;
	struct pool_frame *own = frame_pool_next(&peer->pool);
	const unsigned head_bytes = from->len < FRAME_HEAD_BYTES ? from->len : FRAME_HEAD_BYTES;
	struct frame *frame;

	if (!own || (sending->pieces > 1 && peer->pool.out_cnt > 0))
		return;
	frame = &own->frame;
	memcpy(frame->head, from->bytes, head_bytes);
	memcpy(own->data.iov_base, from->bytes + head_bytes, from->len - head_bytes);
	frame_pool_take(&peer->pool, from->len, (uint16_t)head_bytes);
	frame->gso = from->gso;
	frame->gso_ecn = false;
	frame->gso_bytes = from->gso_bytes;
	frame->csum_partial = from->csum_partial;
	frame->csum_valid = from->csum_valid;
	frame->csum_start = from->csum_start;
	frame->csum_offset = from->csum_offset;
	if (frame->gso)
		frame_dissect(frame);
	peer_cut(peer, own, sending->pieces);
	frame_pool_send(&peer->pool, peer->port, &frame, 1, worker_now_ns(worker));
	sending->sent = true;
}

void peer_send(struct peer *peer, const struct peer_frame *frame, unsigned pieces)
{
	struct sending sending = {.peer = peer, .frame = frame, .pieces = pieces};
	const uint64_t start_ns = clock_now_ns();

	while (!sending.sent) {
		rig_call(peer->worker, peer_send_on_worker, &sending);
		assert_true(clock_now_ns() - start_ns < DEADLINE_NS);
	}
}

unsigned peer_count(struct peer *peer)
{
	unsigned count;

	pthread_mutex_lock(&peer->lock);
	count = peer->count;
	pthread_mutex_unlock(&peer->lock);
	return count;
}

struct peer_frame *peer_get(struct peer *peer, unsigned idx)
{
	uplink_wait(peer->rig, peer_count(peer) > idx);
	assert_true(idx < PEER_FRAMES_MAX);
	return &peer->got[idx];
}

void peer_forget(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	for (unsigned i = 0; i < peer->got_cnt; i++)
		free(peer->got[i].bytes);
	peer->got_cnt = 0;
	peer->count = 0;
	pthread_mutex_unlock(&peer->lock);
}

void peer_only_count(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	peer->keep = false;
	pthread_mutex_unlock(&peer->lock);
}

static void peer_hold_on_worker(struct worker *worker, void *arg)
{
	struct peer *peer = arg;

	(void)worker;
	peer->hold = !peer->hold;
	for (unsigned i = 0; i < peer->held_cnt; i++)
		exchange_put(peer->exchange, peer->held[i]);
	peer->held_cnt = 0;
}

void peer_hold(struct peer *peer, bool hold)
{
	rig_call(peer->worker, peer_hold_on_worker, peer);
	assert_int_equal(peer->hold, hold);
}

void fill_pattern(uint8_t *bytes, unsigned len, unsigned seed)
{
	for (unsigned i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251 + seed * 31);
}

static uint32_t address_of(const char *ip)
{
	struct in_addr address;

	assert_int_equal(inet_pton(AF_INET, ip, &address), 1);
	return address.s_addr;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

unsigned build_udp(uint8_t *out, const uint8_t *to, const uint8_t *from, const char *ip_to,
		   const char *ip_from, uint16_t port, const void *payload, unsigned bytes)
{
	const uint32_t addresses[] = {address_of(ip_from), address_of(ip_to)};
	const unsigned len = ETHER_HEADER_BYTES + IPV4_HEADER + UDP_HEADER + bytes;
	uint8_t *ip = out + ETHER_HEADER_BYTES;
	uint8_t *udp = ip + IPV4_HEADER;
	struct dissection d;
	uint16_t sum;

	memset(out, 0, ETHER_HEADER_BYTES + IPV4_HEADER + UDP_HEADER);
	memcpy(out, to, ETHER_MAC_BYTES);
	memcpy(out + ETHER_MAC_BYTES, from, ETHER_MAC_BYTES);
	put16(out + 12, ETHER_TYPE_IPV4);
	ip[0] = 0x45;
	put16(ip + 2, IPV4_HEADER + UDP_HEADER + bytes);
	ip[8] = 64;
	ip[9] = IP_PROTO_UDP;
	memcpy(ip + 12, addresses, sizeof(addresses));
	sum = checksum_fold(checksum_add(0, ip, IPV4_HEADER, false));
	memcpy(ip + 10, &sum, sizeof(sum));
	put16(udp, port);
	put16(udp + 2, port);
	put16(udp + 4, UDP_HEADER + bytes);
	memcpy(udp + UDP_HEADER, payload, bytes);
	dissect(out, len < DISSECT_BYTES_MAX ? len : DISSECT_BYTES_MAX, &d);
	assert_int_equal(d.l4, DISSECT_L4_UDP);
	sum = (uint16_t)~checksum_fold(checksum_pseudo(out, &d, IP_PROTO_UDP, UDP_HEADER + bytes));
	memcpy(udp + 6, &sum, sizeof(sum));
	return len;
}

bool l4_checksum_is_right(const uint8_t *frame, unsigned len)
{
	struct dissection d;
	uint64_t sum;

	dissect(frame, len < DISSECT_BYTES_MAX ? len : DISSECT_BYTES_MAX, &d);
	assert_int_equal(d.l3, DISSECT_L3_IPV4);
	assert_int_not_equal(d.l4, DISSECT_L4_NONE);
	sum = checksum_pseudo(frame, &d, d.ip_proto, len - d.l4_offset);
	return checksum_fold(checksum_add(sum, frame + d.l4_offset, len - d.l4_offset, false)) == 0;
}

struct tap *rig_tap(struct uplink_rig *rig, struct tap_options *options)
{
	struct err err = ERR_INIT;
	struct tap *tap;

	if (!options->name)
		options->name = "out";
	if (!options->ifname)
		options->ifname = "tap0";
	if (options->queues == 0)
		options->queues = 1;
	options->port.name = options->name;
	options->port.netswitch = rig->netswitch;
	options->workers = rig->workers;
	options->worker_cnt = UPLINK_WORKERS;
	options->fabric = rig->fabric;
	if (tap_open(options, &tap, &err) < 0)
		fail_msg("%s", err.text);
	/* Its queues are open once calls that were sent after theirs are through. */
	rig_turns(rig->first, 1);
	rig_turns(&rig->second, 1);
	return tap;
}

void rig_tap_close(struct uplink_rig *rig, struct tap *tap)
{
	bool closed = false;

	tap_close(tap, uplink_closed, &closed);
	uplink_wait(rig, closed);
}
