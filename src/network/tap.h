/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap interface of the host as a port of a switch: the way to the host's network, its bridge or
 * Open vSwitch, and other machines.
 * Not the host's configuration beyond the interface itself (addresses, bridge membership).
 *
 * Frames for the kernel go from where the sender has them straight into writes of the worker's
 * io_uring, all of a turn with one call; the sender has them back when these have ended. Frames
 * from the kernel are read into buffers of the queue (tap_queue.c says why by plain calls).
 * vnet_hdr: both ways with offloads.
 */
#ifndef PARIO_NETWORK_TAP_H
#define PARIO_NETWORK_TAP_H

#include <stdint.h>

#include "base/err.h"
#include "base/stat.h"
#include "network/netport.h"

struct tap;

/* Everything is copied. */
struct tap_options {
	const char *name;   /* of the uplink */
	const char *ifname; /* of the interface; made if it does not exist (and gone when closed),
			     * attached if it does */
	unsigned queues;    /* 1 to NETPORT_QUEUES_MAX; more than one: IFF_MULTI_QUEUE */
	uint32_t mtu;       /* 0: as it is */
	bool offloads;      /* checksum and segmentation both ways */
	struct netport_options port;
	struct worker *const *workers; /* queue i on workers[(i + worker_shift) % worker_cnt] */
	unsigned worker_cnt;
	unsigned worker_shift;
	enum poll_mode poll_mode;
	uint64_t poll_max_ns;
	struct fabric *fabric;
};

struct tap_stats {
	uint64_t tx_frames, tx_bytes; /* to the kernel */
	uint64_t rx_frames, rx_bytes; /* from it */
	uint64_t tx_errors;           /* the kernel refused a frame (interface down, too long) */
	uint64_t tx_full;             /* too much on its way already */
	uint64_t rx_errors;           /* a read failed */
	uint64_t rx_bad_header;       /* a vnet header that does not fit the frame */
	uint64_t lost;                /* 1 once the interface is gone */
};
extern const struct stat_row tap_stat_rows[];
extern const unsigned tap_stat_row_cnt;

/* Control. 0 or -errno with text that says what to do (missing /dev/net/tun, permission, ...). */
int tap_open(const struct tap_options *options, struct tap **out, struct err *err);
/* Drains; closed(arg) runs when it is gone. */
void tap_close(struct tap *tap, void (*closed)(void *arg), void *arg);
struct netport *tap_port(const struct tap *tap);
const char *tap_ifname(const struct tap *tap);
void tap_stats(const struct tap *tap, struct tap_stats *sum);

#endif
