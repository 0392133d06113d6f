/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame within a VXLAN datagram (RFC 7348).
 * Not a tunnel's end: nothing is taken off, and other ports and encapsulations are plain UDP.
 */
#include "base/compiler.h"
#include "flow/dissect.h"
#include "flow/flow_priv.h"

#define VXLAN_PORT 4789
#define VXLAN_HEADER_BYTES 8u
/* "The I flag MUST be set to 1 for a valid VXLAN Network ID." */
#define VXLAN_FLAG_VNI 0x08u
#define UDP_DESTINATION_PORT 2

unsigned dissect_inner(const uint8_t *head, unsigned head_bytes, const struct dissection *outer,
		       struct dissection *inner)
{
	unsigned end = head_bytes < DISSECT_BYTES_MAX ? head_bytes : DISSECT_BYTES_MAX;
	unsigned at = outer->payload_offset;

	if (outer->l4 != DISSECT_L4_UDP ||
	    be16_get(head + outer->l4_offset + UDP_DESTINATION_PORT) != VXLAN_PORT)
		return 0;
	/* What is behind the datagram is padding, not the carried frame's. */
	if (outer->l3_offset + outer->ip_bytes < end)
		end = outer->l3_offset + outer->ip_bytes;
	if (at + VXLAN_HEADER_BYTES + ETHER_HEADER_BYTES > end || !(head[at] & VXLAN_FLAG_VNI))
		return 0;
	at += VXLAN_HEADER_BYTES;
	dissect(head + at, end - at, inner);
	return at;
}
