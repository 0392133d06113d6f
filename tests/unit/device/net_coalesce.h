/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sets how its calls are coalesced: class NOTF_COAL byte by byte, and what holds for
 * its queues. Ports, rings and workers are real (net_rig.h). Not a test.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_NET_COALESCE_H
#define PARIO_TESTS_UNIT_DEVICE_NET_COALESCE_H

#include "device/net/control_priv.h"
#include "net_rig.h"

#define CLASS_MQ 4
#define CLASS_NOTF_COAL 6
enum { TX_SET, RX_SET, VQ_SET, VQ_GET };
#define CONTROL (2 * NET_RIG_PAIRS)
#define UNTOUCHED 0xEE

extern struct net_rig rig;
extern struct net_guest *guest;
/* What the host says. */
extern const struct coalesce_config host;

/* One guest, number 0, with NET_RIG_PAIRS pairs and a control queue, on workers that never poll. */
void begin_with(uint64_t features_off, enum ring_format format);
/* The same of all features, and all pairs are in use. */
void begin(void);
void end(void);

struct answer {
	uint8_t ack;
	uint32_t used_bytes;
	uint8_t result[16]; /* UNTOUCHED behind what was written */
};
/* data is readable, in_bytes are writable. */
struct answer command(uint8_t class, uint8_t number, const void *data, uint32_t bytes,
		      uint32_t in_bytes);
uint8_t ack_of(uint8_t class, uint8_t number, const void *data, uint32_t bytes);
/* RX_SET or TX_SET. */
uint8_t set_all(uint8_t number, uint32_t packets, uint32_t usecs);
uint8_t set_one(uint16_t idx, uint32_t packets, uint32_t usecs);
struct answer get_one(uint16_t idx);
uint8_t set_pairs(uint16_t pairs);

struct coalesce_config in_force(unsigned idx);
void assert_config(const struct coalesce_config *is, const struct coalesce_config *want);
/* The driver reads it, and the queue works by it. */
void assert_set(uint16_t idx, uint32_t packets, uint32_t usecs);
/* The driver has set nothing: it reads zeros, and what the host says holds. */
void assert_not_set_but(uint16_t idx, const struct coalesce_config *want);
void assert_not_set(uint16_t idx);

#endif
