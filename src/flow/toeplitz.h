/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Toeplitz hash of receive-side scaling, and which bytes of a frame go into it.
 * Not what is done with it (steering.h).
 *
 * Pure. VIRTIO 1.3, 5.1.6.4.3 "Hash calculation for incoming packets": input is source address,
 * destination address, source port, destination port, each in network order; for each bit of it
 * that is set, the 32 bits of the key that begin there are exclusive-ored.
 */
#ifndef PARIO_FLOW_TOEPLITZ_H
#define PARIO_FLOW_TOEPLITZ_H

#include <stdbool.h>
#include <stdint.h>

#include "flow/dissect.h"

/* All that input of 36 bytes (IPv6, ports) needs; longer keys have no effect. */
#define TOEPLITZ_KEY_BYTES 40

/* Hash types, as bits of hash_types (VIRTIO 1.3, 5.1.6.4.3.1); what is reported is the bit + 1. */
enum hash_type {
	HASH_TYPE_IPV4,
	HASH_TYPE_TCPV4,
	HASH_TYPE_UDPV4,
	HASH_TYPE_IPV6,
	HASH_TYPE_TCPV6,
	HASH_TYPE_UDPV6,
	HASH_TYPE_IP_EX,
	HASH_TYPE_TCP_EX,
	HASH_TYPE_UDP_EX,
	HASH_TYPE_MAX_,
};
#define HASH_TYPES_ALL ((1u << HASH_TYPE_MAX_) - 1)

/* "ipv4", "tcpv4", ...; NULL beyond. */
const char *hash_type_name(enum hash_type type);

/* A key, prepared: one table look-up for each four bits of input. */
struct toeplitz {
	uint8_t key[TOEPLITZ_KEY_BYTES];
	uint32_t nibbles[36 * 2][16];
};

/* A key shorter than TOEPLITZ_KEY_BYTES is followed by zeroes. */
void toeplitz_init(struct toeplitz *toeplitz, const uint8_t *key, unsigned key_bytes);
/* bytes <= 36. */
uint32_t toeplitz_hash(const struct toeplitz *toeplitz, const uint8_t *input, unsigned bytes);

struct flow_hash {
	uint32_t hash;
	uint16_t report; /* enum hash_type + 1; 0: no type fits, there is no hash */
};
/* By the most specific of types (bits) that the frame is of. d is dissect()'s of head. */
struct flow_hash toeplitz_frame(const struct toeplitz *toeplitz, uint32_t types,
				const uint8_t *head, unsigned head_bytes,
				const struct dissection *d);

/* The key of Microsoft's verification suite, and one whose hash is the same in both directions. */
extern const uint8_t toeplitz_key_default[TOEPLITZ_KEY_BYTES];
extern const uint8_t toeplitz_key_symmetric[TOEPLITZ_KEY_BYTES];

#endif
