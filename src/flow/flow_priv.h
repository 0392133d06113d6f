/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and fields of network headers, in our own copies of them.
 * Not a parser: whoever calls has made sure that the bytes are there.
 */
#ifndef PARIO_FLOW_FLOW_PRIV_H
#define PARIO_FLOW_FLOW_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define IPV4_HEADER_BYTES_MIN 20u
#define IPV4_TOTAL_LENGTH 2
#define IPV4_ID 4
#define IPV4_FRAGMENT 6
#define IPV4_PROTO 9
#define IPV4_CHECKSUM 10
#define IPV4_SOURCE 12
/* In the field at IPV4_FRAGMENT; its other 13 bits are the offset in units of 8 bytes. */
#define IPV4_DONT_FRAGMENT 0x4000u
#define IPV4_MORE_FRAGMENTS 0x2000u
#define IPV4_OFFSET_MASK 0x1fffu

#define IPV6_HEADER_BYTES 40u
#define IPV6_PAYLOAD_LENGTH 4
#define IPV6_NEXT_HEADER 6
#define IPV6_SOURCE 8
#define IPV6_DESTINATION 24
#define IPV6_ADDRESS_BYTES 16u
#define IPV6_EXTENSION_BYTES_MIN 8u
#define IPV6_FRAGMENT_BYTES 8u
/* More than any stack sends; they would fill the head anyway. */
#define IPV6_EXTENSION_CNT_MAX 8u

#define TCP_HEADER_BYTES_MIN 20u
#define TCP_SEQUENCE 4
#define TCP_DATA_OFFSET 12
#define TCP_FLAGS 13
#define TCP_CHECKSUM 16
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

#define UDP_HEADER_BYTES 8u
#define UDP_LENGTH 4
#define UDP_CHECKSUM 6

enum ip_proto {
	IP_PROTO_HOP_BY_HOP = 0,
	IP_PROTO_ROUTING = 43,
	IP_PROTO_FRAGMENT = 44,
	IP_PROTO_AUTHENTICATION = 51,
	IP_PROTO_DESTINATION = 60,
};

static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void be16_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t be32_get(const uint8_t *p)
{
	return (uint32_t)be16_get(p) << 16 | be16_get(p + 2);
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
	be16_put(p, v >> 16);
	be16_put(p + 2, v);
}

/* In the byte order of memory. */
static inline uint32_t raw32_get(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t raw64_get(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline bool ipv6_is_extension(uint8_t proto)
{
	return proto == IP_PROTO_HOP_BY_HOP || proto == IP_PROTO_ROUTING ||
	       proto == IP_PROTO_FRAGMENT || proto == IP_PROTO_AUTHENTICATION ||
	       proto == IP_PROTO_DESTINATION;
}

/* Length of the IPv6 extension header of that kind whose second byte is `length`. */
static inline unsigned ipv6_extension_bytes(uint8_t proto, uint8_t length)
{
	if (proto == IP_PROTO_FRAGMENT)
		return IPV6_FRAGMENT_BYTES;
	if (proto == IP_PROTO_AUTHENTICATION)
		return (length + 2u) * 4;
	return (length + 1u) * 8;
}

#endif
