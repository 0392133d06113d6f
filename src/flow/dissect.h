/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame is: where its layers begin, and which flow it belongs to.
 * Not where it goes (network/), and not what was negotiated about it (device/net).
 *
 * Pure. Input is our own copy of a frame's first bytes; nothing here looks at guest memory, and
 * nothing is read beyond head_bytes, whatever the lengths in the headers say.
 */
#ifndef PARIO_FLOW_DISSECT_H
#define PARIO_FLOW_DISSECT_H

#include <stdbool.h>
#include <stdint.h>

/* All that is ever looked at. Ethernet, two tags, IPv6 with extensions, TCP with options fit. */
#define DISSECT_BYTES_MAX 256

#define ETHER_HEADER_BYTES 14
#define ETHER_TAG_BYTES 4
#define ETHER_MAC_BYTES 6

#define ETHER_TYPE_IPV4 0x0800
#define ETHER_TYPE_ARP 0x0806
#define ETHER_TYPE_RARP 0x8035
#define ETHER_TYPE_VLAN 0x8100
#define ETHER_TYPE_IPV6 0x86dd
#define ETHER_TYPE_QINQ 0x88a8

#define IP_PROTO_TCP 6
#define IP_PROTO_UDP 17

enum dissect_l3 { DISSECT_L3_OTHER, DISSECT_L3_IPV4, DISSECT_L3_IPV6 };
enum dissect_l4 { DISSECT_L4_NONE, DISSECT_L4_TCP, DISSECT_L4_UDP };

/*
 * Offsets count from the destination MAC address; 0: there is no such layer, or it is cut off.
 * Where l4 is not NONE its header lies within ip_bytes, which is not 0 then.
 */
struct dissection {
	uint32_t ip_bytes;   /* IPv4: total length; IPv6: 40 + payload length (0: jumbogram) */
	uint16_t ether_type; /* behind all tags, host byte order; 0: cut off */
	uint16_t l3_offset;  /* of the IP header that is whole and sane, else 0 */
	uint16_t l4_offset;  /* of a TCP or UDP header that is whole and no fragment's, else 0 */
	uint16_t payload_offset; /* behind that header, else 0 */
	uint8_t l3;              /* enum dissect_l3 */
	uint8_t l4;              /* enum dissect_l4 */
	uint8_t ip_proto;        /* of what follows IP and its extension headers */
	uint8_t tag_cnt;         /* VLAN tags that were skipped, two at most */
	bool fragment;           /* any IP fragment, the first one included: l4 is NONE */
	bool ipv6_extended;      /* extension headers were skipped */
};

/* head holds the first head_bytes (at most DISSECT_BYTES_MAX) of a frame. Any bytes are safe. */
void dissect(const uint8_t *head, unsigned head_bytes, struct dissection *out);

/*
 * The frame that a VXLAN datagram carries (RFC 7348: UDP port 4789, the VNI is valid), with or
 * without tags of its own: returns where in head it begins and fills *inner, whose offsets count
 * from there. 0, and *inner undefined: head is something else, a fragment, or ends before the
 * carried frame's Ethernet header does. outer is dissect()'s of head.
 */
unsigned dissect_inner(const uint8_t *head, unsigned head_bytes, const struct dissection *outer,
		       struct dissection *inner);

/*
 * A hash of the flow: addresses and ports, or addresses alone, or the MAC addresses of what is not
 * IP. The same for both directions of a flow. Cheap and without a key: for spreading, not for
 * what an attacker must not predict.
 */
uint32_t dissect_flow_hash(const uint8_t *head, unsigned head_bytes, const struct dissection *d);

#endif
