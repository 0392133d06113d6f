/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card of the test's own on a port of pariod: frames in and out, one buffer a frame
 * unless the test lays out chains itself, and the daemon's counters.
 * Neither fast nor a driver that anybody should copy; every error ends the test with a line.
 */
#ifndef PARIO_TESTS_NET_RIG_H
#define PARIO_TESTS_NET_RIG_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon.h"
#include "driver/front.h"

#define CARD_HEADER_BYTES 12u
#define CARD_DEADLINE_S 20
#define CARD_F(name) (1ull << (name))
/* What a card takes unless its options say otherwise: plain frames in mergeable buffers. */
#define CARD_FEATURES_PLAIN                                                                    \
	(1ull << 32 | CARD_F(VIRTIO_NET_F_MRG_RXBUF) | CARD_F(VIRTIO_NET_F_MAC) | 1ull << 28 | \
	 1ull << 29)
#define CARD_FEATURES_OFFLOADS                                                              \
	(CARD_FEATURES_PLAIN | CARD_F(VIRTIO_NET_F_CSUM) | CARD_F(VIRTIO_NET_F_HOST_TSO4) | \
	 CARD_F(VIRTIO_NET_F_HOST_TSO6) | CARD_F(VIRTIO_NET_F_HOST_UFO))

struct card_opts {
	enum ring_format format;
	uint16_t ring_size;       /* 0: 256 */
	uint64_t features;        /* 0: CARD_FEATURES_PLAIN; RING_PACKED follows the format */
	uint32_t rx_buffer_bytes; /* 0: 2048; header included */
	uint16_t rx_posted;       /* buffers to post at once */
	uint32_t tx_buffer_bytes; /* 0: 2048 */
};

struct card {
	char path[108];
	uint8_t mac[6];
	struct card_opts opts;
	struct front *f;
	struct shm *shm;
	struct front_queue *rx, *tx;
	uint8_t *rx_data, *tx_data; /* ring_size buffers each */
	uint16_t rx_free_cnt, tx_free_cnt;
	uint16_t *rx_free, *tx_free; /* tokens; last in, first out */
	struct ring_used held[256];  /* buffers used and not taken yet */
	unsigned held_head, held_cnt;
	uint64_t sent, received;
};

/* MAC address 02:00:00:00:00:number and socket path are set, nothing is connected. */
void card_init(struct card *card, const char *dir, const char *name, uint8_t number);
/* The text of --port for it, with keys (or "") at its end. */
void card_spec(const struct card *card, const char *name, const char *keys, char *out, size_t size);
void card_up(struct card *card, const struct card_opts *opts);
void card_down(struct card *card);
/* The connection breaks, as when a VMM is killed. */
void card_die(struct card *card);

uint8_t *card_tx_buffer(struct card *card, uint16_t token);
uint8_t *card_rx_buffer(struct card *card, uint16_t token);

/* Posts up to cnt free receive buffers. */
void card_post(struct card *card, unsigned cnt);
/* A frame under a header (NULL: zeroes). false: no room in the ring. */
bool card_try_send(struct card *card, const struct virtio_net_hdr_v1 *header, const void *frame,
		   uint32_t bytes);
void card_send(struct card *card, const struct virtio_net_hdr_v1 *header, const void *frame,
	       uint32_t bytes);
/* A chain as the test lays it out, whose token is the buffer's that it lies in. */
void card_send_chain(struct card *card, const struct ring_seg *seg, unsigned out_cnt,
		     unsigned in_cnt, uint16_t token);
uint16_t card_tx_token(struct card *card);
/* Takes back what was sent; how many are still out. */
unsigned card_reclaim(struct card *card);
/* All that was sent comes back. */
void card_wait_sent(struct card *card, const char *what);

/*
 * A received frame, if there is one: its bytes (copied to out, which has room for 66000), 0 if
 * there is none. Its buffers are posted again if repost.
 */
uint32_t card_try_receive(struct card *card, struct virtio_net_hdr_v1 *header, void *out,
			  bool repost);
uint32_t card_receive(struct card *card, void *out, const char *what);

/* An Ethernet frame of the local experimental type with a numbered, checkable payload. */
void frame_fill(uint8_t *frame, uint32_t bytes, const uint8_t *to, const uint8_t *from,
		uint32_t number);
/* Its number; dies if it is not as frame_fill() made it. */
uint32_t frame_check(const uint8_t *frame, uint32_t bytes, const char *what);
/* frame_fill()'s type? Anything else (a guest's own chatter) is not a test's frame. */
bool frame_is_ours(const uint8_t *frame, uint32_t bytes);

/* A counter of a port ("ports/a") as the API at path says. */
uint64_t api_counter(const char *path, const char *object, const char *name);
/* Waits until it is at least want. */
void api_wait_counter(const char *path, const char *object, const char *name, uint64_t want);

struct deadline {
	int64_t end_ns;
};
struct deadline deadline_in(unsigned seconds);
/* Dies with what when it has passed; gives the CPU away otherwise. */
void deadline_check(const struct deadline *deadline, const char *what);

#endif
