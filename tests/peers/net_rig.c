/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cards of the test's own: bringing them up, chains, frames.
 * Not the daemon's counters (net_rig_api.c).
 */
#include "net_rig.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROTOCOL                                                             \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG | \
	 1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_CONFIGURE_MEM_SLOTS | 1ull << VU_PF_MTU)
#define RING_SIZE_DEFAULT 256
#define BUFFER_BYTES_DEFAULT 2048
/* IEEE 802: local experimental Ethernet type 1. */
#define TYPE_OURS 0x88b5
#define ETHER_BYTES 14u

struct deadline deadline_in(unsigned seconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct deadline){(ts.tv_sec + (int64_t)seconds) * 1000000000 + ts.tv_nsec};
}

void deadline_check(const struct deadline *deadline, const char *what)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec > deadline->end_ns)
		die("not in time: %s", what);
	sched_yield();
}

static void ok(struct card *card, int rc, const char *what)
{
	if (rc < 0)
		die("%s: %s: %s (%s)", card->path, what, card->f ? card->f->error : "",
		    strerror(-rc));
}

void card_init(struct card *card, const char *dir, const char *name, uint8_t number)
{
	memset(card, 0, sizeof(*card));
	snprintf(card->path, sizeof(card->path), "%s/%s.sock", dir, name);
	card->mac[0] = 2;
	card->mac[5] = number;
}

void card_spec(const struct card *card, const char *name, const char *keys, char *out, size_t size)
{
	snprintf(out, size, "%s,socket=%s,switch=lan,queue-pairs=1,mac=02:00:00:00:00:%02x%s", name,
		 card->path, card->mac[5], keys);
}

static uint16_t *all_tokens(uint16_t cnt)
{
	uint16_t *token = malloc(cnt * sizeof(*token));

	if (!token)
		die("no memory");
	for (uint16_t i = 0; i < cnt; i++)
		token[i] = (uint16_t)(cnt - 1 - i);
	return token;
}

static void defaults(struct card_opts *opts)
{
	if (!opts->ring_size)
		opts->ring_size = RING_SIZE_DEFAULT;
	if (!opts->features)
		opts->features = CARD_FEATURES_PLAIN;
	if (!opts->rx_buffer_bytes)
		opts->rx_buffer_bytes = BUFFER_BYTES_DEFAULT;
	if (!opts->tx_buffer_bytes)
		opts->tx_buffer_bytes = BUFFER_BYTES_DEFAULT;
	if (opts->format == RING_PACKED)
		opts->features |= 1ull << 34;
}

static void start_queue(struct card *card, struct front_queue **queue, uint16_t idx)
{
	struct ring_opts ring = {.format = card->opts.format,
				 .size = card->opts.ring_size,
				 .event_idx = card->f->features >> 29 & 1};

	ok(card, front_queue_new(queue, card->f, card->shm, idx, &ring), "queue");
	ok(card, front_queue_start(*queue), "start");
}

void card_up(struct card *card, const struct card_opts *opts)
{
	struct front_opts open = {.path = card->path, .wait_ms = 20000};
	struct shm_opts mem = {.region_cnt = 2};

	card->opts = *opts;
	defaults(&card->opts);
	/* Two regions, so that buffers lie in both. */
	mem.bytes = (uint64_t)card->opts.ring_size *
			    (card->opts.rx_buffer_bytes + card->opts.tx_buffer_bytes) +
		    (1 << 20);
	ok(card, front_open(&card->f, &open), "connect");
	ok(card, front_negotiate(card->f, PROTOCOL), "negotiate");
	if (~card->f->features_offered & card->opts.features &
	    ~(1ull << 28 | 1ull << 29 | CARD_F(VIRTIO_NET_F_MAC)))
		die("%s: features 0x%llx are not offered", card->path,
		    (unsigned long long)(~card->f->features_offered & card->opts.features));
	ok(card, front_set_features(card->f, card->opts.features & card->f->features_offered),
	   "features");
	if (shm_new(&card->shm, &mem) < 0)
		die("no shared memory");
	ok(card, front_share_mem(card->f, card->shm), "memory");
	start_queue(card, &card->rx, 0);
	start_queue(card, &card->tx, 1);
	card->rx_data = shm_alloc(
		card->shm, (uint64_t)card->opts.ring_size * card->opts.rx_buffer_bytes, 64, NULL);
	card->tx_data = shm_alloc(
		card->shm, (uint64_t)card->opts.ring_size * card->opts.tx_buffer_bytes, 64, NULL);
	if (!card->rx_data || !card->tx_data)
		die("no shared memory for buffers");
	card->rx_free = all_tokens(card->opts.ring_size);
	card->tx_free = all_tokens(card->opts.ring_size);
	card->rx_free_cnt = card->tx_free_cnt = card->opts.ring_size;
	card->held_head = card->held_cnt = 0;
	card->sent = card->received = 0;
	card_post(card, card->opts.rx_posted);
}

static void forget(struct card *card)
{
	front_queue_free(card->rx);
	front_queue_free(card->tx);
	shm_free(card->shm);
	free(card->rx_free);
	free(card->tx_free);
	card->rx = card->tx = NULL;
	card->shm = NULL;
	card->f = NULL;
}

void card_down(struct card *card)
{
	ok(card, front_queue_stop(card->rx, NULL), "stop rx");
	ok(card, front_queue_stop(card->tx, NULL), "stop tx");
	front_close(card->f);
	forget(card);
}

void card_die(struct card *card)
{
	front_close(card->f);
	forget(card);
}

uint8_t *card_tx_buffer(struct card *card, uint16_t token)
{
	return card->tx_data + (size_t)token * card->opts.tx_buffer_bytes;
}

uint8_t *card_rx_buffer(struct card *card, uint16_t token)
{
	return card->rx_data + (size_t)token * card->opts.rx_buffer_bytes;
}

static void publish(struct front_queue *queue)
{
	if (ring_publish(queue->ring))
		front_queue_kick(queue);
}

void card_post(struct card *card, unsigned cnt)
{
	while (cnt-- && card->rx_free_cnt) {
		uint16_t token = card->rx_free[card->rx_free_cnt - 1];
		struct ring_seg seg = {shm_gpa(card->shm, card_rx_buffer(card, token)),
				       card->opts.rx_buffer_bytes};

		if (ring_add(card->rx->ring, &seg, 0, 1, token) < 0)
			break;
		card->rx_free_cnt--;
	}
	publish(card->rx);
}

uint16_t card_tx_token(struct card *card)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (!card->tx_free_cnt) {
		card_reclaim(card);
		deadline_check(&deadline, "a transmit buffer comes back");
	}
	return card->tx_free[--card->tx_free_cnt];
}

void card_send_chain(struct card *card, const struct ring_seg *seg, unsigned out_cnt,
		     unsigned in_cnt, uint16_t token)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);
	int rc;

	while ((rc = ring_add(card->tx->ring, seg, out_cnt, in_cnt, token)) == -ENOSPC) {
		card_reclaim(card);
		deadline_check(&deadline, "room in the transmit ring");
	}
	ok(card, rc, "ring_add");
	publish(card->tx);
	card->sent++;
}

bool card_try_send(struct card *card, const struct virtio_net_hdr_v1 *header, const void *frame,
		   uint32_t bytes)
{
	struct ring_seg seg;
	uint16_t token;
	uint8_t *to;

	card_reclaim(card);
	if (!card->tx_free_cnt || !card->tx->ring->free_cnt)
		return false;
	if (CARD_HEADER_BYTES + bytes > card->opts.tx_buffer_bytes)
		die("a frame of %u bytes is too long for the test's buffers", bytes);
	token = card_tx_token(card);
	to = card_tx_buffer(card, token);
	if (header)
		memcpy(to, header, CARD_HEADER_BYTES);
	else
		memset(to, 0, CARD_HEADER_BYTES);
	memcpy(to + CARD_HEADER_BYTES, frame, bytes);
	seg = (struct ring_seg){shm_gpa(card->shm, to), CARD_HEADER_BYTES + bytes};
	card_send_chain(card, &seg, 1, 0, token);
	return true;
}

void card_send(struct card *card, const struct virtio_net_hdr_v1 *header, const void *frame,
	       uint32_t bytes)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (!card_try_send(card, header, frame, bytes))
		deadline_check(&deadline, "room in the transmit ring");
}

unsigned card_reclaim(struct card *card)
{
	struct ring_used used[64];
	int cnt;

	while ((cnt = ring_get_used(card->tx->ring, used, 64)) > 0) {
		for (int i = 0; i < cnt; i++)
			card->tx_free[card->tx_free_cnt++] = used[i].token;
	}
	if (cnt < 0)
		die("%s: transmit ring: %s", card->path, card->tx->ring->error);
	return card->tx->ring->inflight_cnt;
}

void card_wait_sent(struct card *card, const char *what)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (card_reclaim(card))
		deadline_check(&deadline, what);
}

static void fetch_used(struct card *card)
{
	int cnt;

	if (card->held_cnt)
		memmove(card->held, card->held + card->held_head,
			card->held_cnt * sizeof(card->held[0]));
	card->held_head = 0;
	cnt = ring_get_used(card->rx->ring, card->held + card->held_cnt, 256 - card->held_cnt);
	if (cnt < 0)
		die("%s: receive ring: %s", card->path, card->rx->ring->error);
	card->held_cnt += (unsigned)cnt;
}

uint32_t card_try_receive(struct card *card, struct virtio_net_hdr_v1 *header, void *out,
			  bool repost)
{
	struct virtio_net_hdr_v1 own;
	uint32_t bytes = 0;

	if (!card->held_cnt)
		fetch_used(card);
	if (!card->held_cnt)
		return 0;
	memcpy(&own, card_rx_buffer(card, card->held[card->held_head].token), sizeof(own));
	if (own.num_buffers < 1)
		die("%s: a frame in %u buffers", card->path, own.num_buffers);
	if (own.num_buffers > card->held_cnt)
		fetch_used(card);
	if (own.num_buffers > card->held_cnt)
		die("%s: a frame in %u buffers, %u are used", card->path, own.num_buffers,
		    card->held_cnt);
	for (unsigned i = 0; i < own.num_buffers; i++) {
		struct ring_used *used = &card->held[card->held_head++];
		uint32_t skip = i ? 0 : CARD_HEADER_BYTES;

		if (used->bytes < skip || used->bytes > card->opts.rx_buffer_bytes)
			die("%s: a buffer of %u bytes is used with %u", card->path,
			    card->opts.rx_buffer_bytes, used->bytes);
		memcpy((uint8_t *)out + bytes, card_rx_buffer(card, used->token) + skip,
		       used->bytes - skip);
		bytes += used->bytes - skip;
		card->rx_free[card->rx_free_cnt++] = used->token;
	}
	card->held_cnt -= own.num_buffers;
	if (header)
		*header = own;
	if (repost)
		card_post(card, own.num_buffers);
	card->received++;
	return bytes;
}

uint32_t card_receive(struct card *card, void *out, const char *what)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);
	uint32_t bytes;

	while ((bytes = card_try_receive(card, NULL, out, true)) == 0)
		deadline_check(&deadline, what);
	return bytes;
}

static uint8_t pattern(uint32_t number, uint32_t i)
{
	return (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

void frame_fill(uint8_t *frame, uint32_t bytes, const uint8_t *to, const uint8_t *from,
		uint32_t number)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = TYPE_OURS >> 8;
	frame[13] = TYPE_OURS & 0xff;
	memcpy(frame + ETHER_BYTES, &number, sizeof(number));
	for (uint32_t i = ETHER_BYTES + 4; i < bytes; i++)
		frame[i] = pattern(number, i);
}

bool frame_is_ours(const uint8_t *frame, uint32_t bytes)
{
	return bytes >= ETHER_BYTES + 4 && (frame[12] << 8 | frame[13]) == TYPE_OURS;
}

uint32_t frame_check(const uint8_t *frame, uint32_t bytes, const char *what)
{
	uint32_t number;

	if (!frame_is_ours(frame, bytes))
		die("%s: a frame of %u bytes and type %02x%02x that nobody sent", what, bytes,
		    frame[12], frame[13]);
	memcpy(&number, frame + ETHER_BYTES, sizeof(number));
	for (uint32_t i = ETHER_BYTES + 4; i < bytes; i++) {
		if (frame[i] != pattern(number, i))
			die("%s: frame %u of %u bytes differs at byte %u", what, number, bytes, i);
	}
	return number;
}
