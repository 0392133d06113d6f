/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HASH_REPORT: headers of 20 bytes in both directions, and which hash a guest is told of its frames
 * (VIRTIO 1.3, 5.1.6.4). Ports, rings and workers are real.
 * Not which of the types a frame is of (tests/unit/flow), nor the commands (test_net_rss.c).
 */
#include "net_rig.h"

#include "device/net/control_priv.h"
#include "unit/flow/frames.h"

#define CONTROL(guest) (2 * (guest)->options.pairs)

static struct net_rig rig;
static struct net_received received;
static uint8_t frame[FRAME_BYTES_MAX];
static struct toeplitz key;

/* ---- the driver ---- */

static void put(uint8_t **at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*(*at)++ = (uint8_t)(value >> 8 * i);
}

static void command(struct net_guest *guest, const uint8_t *data, unsigned bytes)
{
	struct net_guest_queue *queue = &guest->queues[CONTROL(guest)];
	const uint16_t token = net_rig_token(guest, CONTROL(guest));
	struct net_buffer *buffer = &queue->buffers[token];
	const struct ring_seg segs[] = {{buffer->gpa, bytes}, {buffer->gpa + bytes, 1}};
	struct ring_used used;

	memcpy(buffer->data, data, bytes);
	buffer->data[bytes] = 0xEE;
	assert_int_equal(net_rig_add(guest, CONTROL(guest), segs, 1, 1, token), 0);
	net_rig_publish(guest, CONTROL(guest));
	net_rig_until(&rig, ring_get_used(queue->ring, &used, 1) == 1);
	queue->free[queue->free_cnt++] = token;
	assert_int_equal(buffer->data[bytes], NET_OK);
}

static void hash_config(struct net_guest *guest, uint32_t types)
{
	uint8_t data[64], *at = data;

	put(&at, NET_CLASS_MQ | 2 << 8, 2);
	put(&at, types, 4);
	put(&at, 0, 8);
	put(&at, TOEPLITZ_KEY_BYTES, 1);
	memcpy(at, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	command(guest, data, (unsigned)(at - data) + TOEPLITZ_KEY_BYTES);
}

/* Two entries: queues 0 and 1, by the lowest bit of the hash. */
static void rss_config(struct net_guest *guest, uint32_t types)
{
	uint8_t data[80], *at = data;

	put(&at, NET_CLASS_MQ | 1 << 8, 2);
	put(&at, types, 4);
	put(&at, 1, 2);
	put(&at, 1, 2); /* unclassified: queue 1 */
	put(&at, 0, 2);
	put(&at, 1, 2);
	put(&at, 2, 2);
	put(&at, TOEPLITZ_KEY_BYTES, 1);
	memcpy(at, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	command(guest, data, (unsigned)(at - data) + TOEPLITZ_KEY_BYTES);
}

/* Takes all frames: the driver's filters are none. */
static void promiscuous(struct net_guest *guest)
{
	command(guest, (const uint8_t[]){0, 0, 1}, 3);
}

/* ---- frames ---- */

static unsigned build(const struct net_guest *from, const struct net_guest *to, const char *layers,
		      unsigned flow, unsigned payload_bytes)
{
	struct frames_head head;

	frames_build(&head, layers, payload_bytes);
	memcpy(frame, head.bytes, head.len);
	memcpy(frame, to->mac, ETHER_MAC_BYTES);
	memcpy(frame + ETHER_MAC_BYTES, from->mac, ETHER_MAC_BYTES);
	if (head.l4)
		frames_put16(frame + head.l4, 2000 + flow);
	for (unsigned i = 0; i < payload_bytes; i++)
		frame[head.len + i] = (uint8_t)(i * 7 + flow);
	return head.len + payload_bytes;
}

static struct flow_hash hash_of(const uint8_t *bytes, unsigned len, uint32_t types)
{
	struct dissection d;
	const unsigned head_bytes = len < DISSECT_BYTES_MAX ? len : DISSECT_BYTES_MAX;

	dissect(bytes, head_bytes, &d);
	return toeplitz_frame(&key, types, bytes, head_bytes, &d);
}

static void send_one(struct net_guest *from, const struct net_header *header, unsigned bytes,
		     enum net_layout layout)
{
	assert_true(net_rig_send(from, 1, header, frame, bytes, layout));
	net_rig_publish(from, 1);
}

/* Waits for one on the queue, and compares it with what was sent. */
static void expect(struct net_guest *to, unsigned pair, unsigned bytes, struct flow_hash hash)
{
	net_rig_until(&rig, net_rig_receive(to, 2 * pair, &received));
	assert_int_equal(received.bytes, bytes);
	assert_memory_equal(received.frame, frame, bytes);
	assert_int_equal(le16_get(received.hash.report), hash.report);
	assert_int_equal(le32_get(received.hash.value), hash.hash);
	assert_int_equal(le16_get(received.hash.padding), 0);
}

static const struct flow_hash no_hash;

static const char *const kinds[] = {
	"ip4 udp",  "ip4 tcp",     "ip4 icmp",   "ip6 udp", "ip6 tcp",
	"ip6 icmp", "ip6 dst udp", "ip4opt tcp", "arp",     "ip6 frag udp",
};

/* All lengths, layouts and kinds of buffers; and a plain guest beside, which has 12 bytes. */
static void all_kinds(const struct net_guest_options *options, unsigned worker_cnt)
{
	struct net_guest_options a = *options, b = *options;
	struct net_guest *from, *to;
	/* Of the smallest buffers there may be too few for one frame. */
	const unsigned most = options->buffer_bytes == 21 ? 2500 : 3000;
	unsigned sent = 0;

	a.tx_worker = 0;
	b.rx_worker = worker_cnt - 1;
	b.control = true;
	net_rig_open(&rig, worker_cnt);
	from = net_rig_guest(&rig, 0, &a);
	to = net_rig_guest(&rig, 1, &b);
	promiscuous(to);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
			for (unsigned payload = 0; payload < most; payload += 401, sent++) {
				const unsigned bytes = build(from, to, kinds[i], i, payload);
				const struct flow_hash hash =
					round ? hash_of(frame, bytes, HASH_TYPES_ALL) : no_hash;

				net_rig_post(to, 0, NET_RIG_ALL);
				send_one(from, NULL, bytes, (enum net_layout)(sent % 3));
				expect(to, 0, bytes, hash);
				assert_int_equal(received.header.flags, 0);
				net_rig_until(&rig, net_rig_all_back(from, 1));
			}
		}
		/* Nothing is reported before it was asked for. */
		hash_config(to, HASH_TYPES_ALL);
	}
	net_rig_close(&rig);
}

static void test_all_kinds(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 2; workers++) {
		for (unsigned packed = 0; packed < 2; packed++) {
			struct net_guest_options options = {
				.format = packed ? RING_PACKED : RING_SPLIT,
				.hash = true,
				.event_idx = packed,
				.size = 256,
			};

			all_kinds(&options, workers);
			options.buffer_bytes = 64; /* many for each frame */
			all_kinds(&options, workers);
			options.buffer_bytes = 21; /* a byte of frame behind the header */
			options.size = 512;
			options.pieces = 1;
			all_kinds(&options, workers);
			options.buffer_bytes = 4096;
			options.pieces = 5; /* the header's end is not a buffer's */
			options.size = 256;
			options.features_off = BIT(NET_F_MRG_RXBUF);
			all_kinds(&options, workers);
		}
	}
}

/* Of headers that were cut within, whatever the driver wrote into fields that are not its own. */
static void test_tx_header(void **state)
{
	const struct net_guest_options plain = {.buffer_bytes = 2048};
	const struct net_guest_options hashed = {.buffer_bytes = 2048, .hash = true};
	struct net_guest *from, *to;
	struct net_stats stats;
	struct ring_seg segs[2];
	uint16_t token;

	(void)state;
	net_rig_open(&rig, 1);
	from = net_rig_guest(&rig, 0, &hashed);
	to = net_rig_guest(&rig, 1, &plain);
	net_rig_post(to, 0, NET_RIG_ALL);
	for (unsigned cut = 1; cut < 40; cut++) {
		const unsigned bytes = build(from, to, "ip4 udp", cut, 100);
		struct net_buffer *buffer;

		token = net_rig_token(from, 1);
		buffer = &from->queues[1].buffers[token];
		memset(buffer->data, 0, 12);
		memset(buffer->data + 12, 0xff, 8);
		memcpy(buffer->data + 20, frame, bytes);
		segs[0] = (struct ring_seg){buffer->gpa, cut};
		segs[1] = (struct ring_seg){buffer->gpa + cut, 20 + bytes - cut};
		assert_int_equal(net_rig_add(from, 1, segs, 2, 0, token), 0);
		net_rig_publish(from, 1);
		net_rig_until(&rig, net_rig_receive(to, 0, &received));
		assert_int_equal(received.bytes, bytes);
		assert_memory_equal(received.frame, frame, bytes);
		net_rig_until(&rig, net_rig_all_back(from, 1));
		net_rig_post(to, 0, NET_RIG_ALL);
	}
	/* Too short for the header, and for a frame behind it. */
	for (unsigned bytes = 1; bytes < 20 + 14; bytes++) {
		token = net_rig_token(from, 1);
		segs[0] = (struct ring_seg){from->queues[1].buffers[token].gpa, bytes};
		memset(from->queues[1].buffers[token].data, 0, bytes);
		assert_int_equal(net_rig_add(from, 1, segs, 1, 0, token), 0);
		net_rig_publish(from, 1);
		net_rig_until(&rig, net_rig_all_back(from, 1));
	}
	stats = net_rig_stats(from);
	assert_int_equal(stats.tx_bad_header, 19);
	assert_int_equal(stats.tx_runt, 14);
	assert_false(net_rig_receive(to, 0, &received));
	net_rig_close(&rig);
}

/* Buffers that have no room for a byte of frame are given back, as with shorter headers. */
static void test_small_buffers(void **state)
{
	const struct net_guest_options options = {.buffer_bytes = 20, .hash = true};
	const struct net_guest_options plain = {.buffer_bytes = 2048};
	struct net_guest *from, *to;
	unsigned bytes;

	(void)state;
	net_rig_open(&rig, 1);
	from = net_rig_guest(&rig, 0, &plain);
	to = net_rig_guest(&rig, 1, &options);
	net_rig_post(to, 0, 4);
	bytes = build(from, to, "ip4 udp", 0, 10);
	send_one(from, NULL, bytes, NET_LAYOUT_ONE);
	net_rig_until(&rig, net_rig_stats(to).rx_bad_chain == 4);
	assert_false(net_rig_receive(to, 0, &received));
	assert_int_equal(to->queues[0].empty_cnt, 4);
	net_rig_close(&rig);
}

/* What is cut out of one large frame belongs to one flow. */
static void test_segments(void **state)
{
	const struct net_guest_options a = {.buffer_bytes = 4096};
	struct net_guest_options b = {
		.buffer_bytes = 4096, .hash = true, .control = true, .size = 256};
	const struct net_header header = {
		.flags = NET_HDR_F_NEEDS_CSUM,
		.gso_type = NET_HDR_GSO_TCPV4,
		.gso_size = le16_of(1000),
		.csum_start = le16_of(34),
		.csum_offset = le16_of(NET_TCP_CSUM_OFFSET),
	};
	struct net_guest *from, *to;

	(void)state;
	for (unsigned whole = 0; whole < 2; whole++) {
		unsigned bytes, got = 0, payload = 0;
		struct flow_hash hash;

		b.features_off = whole ? 0 : NET_RIG_GUEST_GSO;
		net_rig_open(&rig, 2);
		from = net_rig_guest(&rig, 0, &a);
		to = net_rig_guest(&rig, 1, &b);
		promiscuous(to);
		hash_config(to, HASH_TYPES_ALL);
		net_rig_post(to, 0, NET_RIG_ALL);
		bytes = build(from, to, "ip4 tcp", 3, 9500);
		hash = hash_of(frame, bytes, HASH_TYPES_ALL);
		assert_int_equal(hash.report, HASH_TYPE_TCPV4 + 1);
		send_one(from, &header, bytes, NET_LAYOUT_ONE);
		while (payload < 9500) {
			net_rig_until(&rig, net_rig_receive(to, 0, &received));
			assert_int_equal(le16_get(received.hash.report), hash.report);
			assert_int_equal(le32_get(received.hash.value), hash.hash);
			payload += received.bytes - 54;
			got++;
		}
		assert_int_equal(got, whole ? 1 : 10);
		net_rig_close(&rig);
	}
}

/* RSS: each frame is on the queue that its reported hash stands for, without one on the queue for
 * those; the sender computed it already. */
static void test_rss(void **state)
{
	const struct net_guest_options a = {.buffer_bytes = 2048, .pairs = 2};
	const struct net_guest_options b = {
		.buffer_bytes = 2048, .pairs = 2, .hash = true, .control = true};
	struct net_guest *from, *to;
	unsigned on[2] = {0};

	(void)state;
	net_rig_open(&rig, 2);
	from = net_rig_guest(&rig, 0, &a);
	to = net_rig_guest(&rig, 1, &b);
	net_rig_queue_move(&rig, to, 2, 1);
	promiscuous(to);
	rss_config(to, 1u << HASH_TYPE_UDPV4 | 1u << HASH_TYPE_IPV6);
	for (unsigned flow = 0; flow < 100; flow++) {
		for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
			const unsigned bytes = build(from, to, kinds[i], flow, 60);
			const struct flow_hash hash =
				hash_of(frame, bytes, 1u << HASH_TYPE_UDPV4 | 1u << HASH_TYPE_IPV6);
			const unsigned queue = hash.report ? hash.hash & 1 : 1;

			on[queue]++;
			net_rig_post(to, 0, NET_RIG_ALL);
			net_rig_post(to, 2, NET_RIG_ALL);
			send_one(from, NULL, bytes, NET_LAYOUT_ONE);
			expect(to, queue, bytes, hash);
			net_rig_until(&rig, net_rig_all_back(from, 1));
		}
	}
	assert_true(on[0] > 20 && on[1] > 20);
	net_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_kinds),     cmocka_unit_test(test_tx_header),
		cmocka_unit_test(test_small_buffers), cmocka_unit_test(test_segments),
		cmocka_unit_test(test_rss),
	};

	toeplitz_init(&key, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
