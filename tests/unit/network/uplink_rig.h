/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of uplinks share: two workers, a fabric, a switch, a port whose other side is the
 * test; and the host's side of a tap, in a network namespace of the test's own. Not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_UPLINK_RIG_H
#define PARIO_TESTS_UNIT_NETWORK_UPLINK_RIG_H

#include "../worker/rig.h"

#include "network/frame_pool.h"
#include "network/netport.h"
#include "network/netswitch.h"
#include "network/tap.h"

#define UPLINK_WORKERS 2
#define PEER_FRAMES_MAX 65536

struct uplink_rig {
	struct rig *first; /* owns the loop */
	struct rig second;
	struct worker *workers[UPLINK_WORKERS];
	struct fabric *fabric;
	struct netswitch *netswitch;
};

struct uplink_rig *uplink_rig_new(void);
/* All ports are closed. */
void uplink_rig_free(struct uplink_rig *rig);

/* One turn of the control loop; fails the test a minute after start_ns. */
void uplink_turn(struct uplink_rig *rig, uint64_t start_ns);
#define uplink_wait(rig, condition)                        \
	do {                                               \
		const uint64_t start_ns_ = clock_now_ns(); \
		while (!(condition))                       \
			uplink_turn(rig, start_ns_);       \
	} while (0)
/* For closed(arg): arg is a bool. */
void uplink_closed(void *arg);

/* A frame as a test sees it; offloads as struct frame has them. */
struct peer_frame {
	uint8_t *bytes;
	uint32_t len;
	uint8_t gso;
	bool csum_partial, csum_valid;
	uint16_t gso_bytes, csum_start, csum_offset;
};

/* A port of the switch with the test behind it, on worker `first` or `second`. */
struct peer {
	struct uplink_rig *rig;
	struct rig *worker; /* whose it is */
	struct netport *port;
	struct netport_queue receiver;
	struct frame_pool pool;
	struct exchange *exchange;
	struct iovec pieces[64]; /* of a frame that is sent in pieces */
	unsigned piece_cnt;
	pthread_mutex_t lock;
	bool keep; /* under lock: what comes in is kept, else only counted */
	bool hold; /* its worker: frames are not given back */
	struct frame *held[FRAME_POOL_CNT];
	unsigned held_cnt;
	struct peer_frame *got; /* under lock */
	unsigned got_cnt;
	unsigned count; /* all that came in */
};

struct peer *peer_new(struct uplink_rig *rig, unsigned worker_idx, const char *name,
		      const struct netport_vlans *vlans);
void peer_free(struct peer *peer);
/* Copies it and sends it. In so many pieces behind its head, if pieces > 1. */
void peer_send(struct peer *peer, const struct peer_frame *frame, unsigned pieces);
/* Waits for frame idx; it stays the peer's until peer_forget(). */
struct peer_frame *peer_get(struct peer *peer, unsigned idx);
unsigned peer_count(struct peer *peer);
void peer_forget(struct peer *peer);
void peer_only_count(struct peer *peer);
/* Frames that come are given back only when hold is ended; FRAME_POOL_CNT at most. */
void peer_hold(struct peer *peer, bool hold);

/* Ethernet, IPv4, UDP or TCP in out; lengths are set, checksum of L4 is partial. port is both. Its
 * length. */
unsigned build_udp(uint8_t *out, const uint8_t *to, const uint8_t *from, const char *ip_to,
		   const char *ip_from, uint16_t port, const void *payload, unsigned bytes);
/* Is the UDP or TCP checksum of an untagged IPv4 frame right? */
bool l4_checksum_is_right(const uint8_t *frame, unsigned len);
void fill_pattern(uint8_t *bytes, unsigned len, unsigned seed);

/* The host's side. host_enter() before anything: false with a reason if it is not permitted. */
bool host_enter(const char **reason);
/* An interface with an address and a neighbour. */
void host_address(const char *ifname, const char *ip);
bool host_has_ipv6(void);
void host_address6(const char *ifname, const char *ip);
void host_neighbour(const char *ifname, const char *ip, const uint8_t *mac);
void host_mac(const char *ifname, uint8_t *mac);
/* An interface that stays until host_delete(). Its descriptor if that is to stay open, else -1. */
int host_persistent(const char *ifname, int flags, bool keep_open);
void host_up(const char *ifname);
void host_delete(const char *ifname);
/* Of /proc/net/dev: frames that the interface could not give to us. */
uint64_t host_dropped(const char *ifname);
/* Raw frames of ethertype 0x88b5, the only ones it hears. */
int host_socket(const char *ifname);

/* tap_open() with the rest filled in. */
struct tap *rig_tap(struct uplink_rig *rig, struct tap_options *options);
void rig_tap_close(struct uplink_rig *rig, struct tap *tap);

#endif
