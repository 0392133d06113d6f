/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the place of netport.c under a capture. Not a test.
 */
#include "fake_netport.h"

#include <string.h>

#include "base/check.h"

void netport_set_capture(struct netport *port, struct capture_ring *const *rings, struct join *join)
{
	for (unsigned i = 0; i < port->worker_cnt; i++)
		port->rings[i] = rings && !port->refuse ? rings[i] : NULL;
	port->changes++;
	join_add(join);
	CHECK(!port->held);
	port->held = join;
	if (!port->hold)
		fake_netport_answer(port);
}

void fake_netport_answer(struct netport *port)
{
	struct join *join = port->held;

	port->held = NULL;
	join_done(join, port->refuse);
}

enum netport_tag_edit netport_tag_edit_vlan(const struct netport *port, const struct frame *frame)
{
	(void)frame;
	return port->edit;
}

unsigned netport_edit_head(const struct frame *frame, enum netport_tag_edit edit, uint8_t *out)
{
	const uint8_t tag[ETHER_TAG_BYTES] = {0x81, 0x00, (uint8_t)(frame->vlan >> 8),
					      (uint8_t)frame->vlan};

	memcpy(out, frame->head, 12);
	if (edit == NETPORT_TAG_POP) {
		memcpy(out + 12, frame->head + 16, frame->head_bytes - 16u);
		return frame->head_bytes - ETHER_TAG_BYTES;
	}
	CHECK(edit == NETPORT_TAG_PUSH);
	memcpy(out + 12, tag, sizeof(tag));
	memcpy(out + 16, frame->head + 12, frame->head_bytes - 12u);
	return frame->head_bytes + ETHER_TAG_BYTES;
}
