/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of a test's making, in words, and the slow checksum that they are held against.
 * Not a second dissector: who builds a frame knows where its layers are.
 */
#ifndef PARIO_TESTS_UNIT_FLOW_FRAMES_H
#define PARIO_TESTS_UNIT_FLOW_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAMES_HEAD_MAX 512

struct frames_head {
	uint8_t bytes[FRAMES_HEAD_MAX];
	unsigned len;
	/* Of the last one of its kind; 0: there is none. */
	unsigned l3, l4;
	unsigned ext[16]; /* IPv6 extension headers, in order */
	unsigned ext_cnt;
	bool ipv6;
};

/*
 * Ethernet and then the layers named, apart by blanks: vlan qinq oldq arp ip4 ip4opt (12 bytes of
 * options) ip6 hbh rt (no segments left) rt0 (type 0, one left) rt2 (home address at 8) srh (type
 * 4, one left) dst dst24 home (destination options, home address at 8) frag ah tcp tcpopt (12 bytes
 * of options) udp icmp. Lengths are right for payload_bytes behind them, checksums are 0, L4 ports
 * are 1000 and 2000.
 */
void frames_build(struct frames_head *f, const char *layers, unsigned payload_bytes);

unsigned frames_be16(const uint8_t *p);
uint32_t frames_be32(const uint8_t *p);
void frames_put16(uint8_t *p, unsigned v);

/* Pseudo-random bytes that are the same in each run. */
void frames_random(uint8_t *dst, size_t len, uint64_t *state);

/* RFC 1071 by the definition: words of two bytes, big-endian, one after the other; not folded. */
uint64_t frames_slow_sum(uint64_t sum, const uint8_t *data, size_t len, bool odd);
/* Folded, not complemented. */
uint16_t frames_slow_fold(uint64_t sum);

#endif
