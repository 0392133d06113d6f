/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VLANs of ports: which one a frame belongs to, how it leaves. As Open vSwitch has them.
 * Not forwarding (send.c). Pure.
 *
 * ACCESS: untagged frames, and those with a priority tag (VLAN 0), belong to the port's VLAN; they
 * leave untagged. TRUNK and ANY: by the tag; a frame of VLAN 0 leaves as it came, one of any other
 * with a tag. An access port's priority tag must be set to the VLAN on such a port: VLAN 0 there is
 * another network.
 */
#include <string.h>

#include "network/netport_priv.h"

uint16_t netport_vlans_of_untagged(const struct netport_vlans *vlans)
{
	if (vlans->mode == NETPORT_VLAN_ACCESS)
		return vlans->access;
	return netport_vlans_carry(vlans, 0) ? 0 : NETPORT_NO_VLAN;
}

uint16_t netport_vlans_of_tagged(const struct netport_vlans *vlans, unsigned vid)
{
	if (vlans->mode == NETPORT_VLAN_ACCESS)
		return vid == 0 ? vlans->access : NETPORT_NO_VLAN;
	if (vid > NETPORT_VLAN_MAX || !netport_vlans_carry(vlans, vid))
		return NETPORT_NO_VLAN;
	return (uint16_t)vid;
}

static unsigned frame_tag_vid(const struct frame *frame)
{
	return (frame->head[NETPORT_TAG_OFFSET + 2] & 0xfu) << 8 |
	       frame->head[NETPORT_TAG_OFFSET + 3];
}

enum netport_tag_edit netport_tag_edit_vlan(const struct netport *port, const struct frame *frame)
{
	if (load_relaxed(&port->access))
		return frame->tagged ? NETPORT_TAG_POP : NETPORT_TAG_KEEP;
	if (frame->vlan == 0)
		return NETPORT_TAG_KEEP;
	if (!frame->tagged)
		return NETPORT_TAG_PUSH;
	return frame_tag_vid(frame) == frame->vlan ? NETPORT_TAG_KEEP : NETPORT_TAG_SET;
}

unsigned netport_edit_head(const struct frame *frame, enum netport_tag_edit edit, uint8_t *out)
{
	memcpy(out, frame->head, frame->head_bytes);
	return netport_edit_tag(out, frame->head_bytes, edit, frame->vlan);
}
