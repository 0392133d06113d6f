/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of the control queue in one line each: see net_command.h.
 */
#include "net_command.h"

#include <string.h>

uint8_t net_command_u8(struct net_rig *rig, uint8_t class, uint8_t number, uint8_t value)
{
	return net_rig_do(rig, class, number, &value, 1);
}

uint8_t net_command_u16(struct net_rig *rig, uint8_t class, uint8_t number, uint16_t value)
{
	struct le16 le = le16_of(value);

	return net_rig_do(rig, class, number, &le, sizeof(le));
}

uint8_t net_command_u64(struct net_rig *rig, uint8_t class, uint8_t number, uint64_t value)
{
	struct le64 le = le64_of(value);

	return net_rig_do(rig, class, number, &le, sizeof(le));
}

uint64_t net_command_answer_u64(const struct net_rig *rig, uint32_t at)
{
	struct le64 value;

	memcpy(&value, rig->in + at, sizeof(value));
	return le64_get(value);
}

struct net_stats net_command_stats(struct net_rig *rig)
{
	struct net_stats sum = {0};
	const struct device_queue *queue = device_queue_get(&rig->net.device, NET_RIG_CONTROL);

	stat_sum(&sum, &((const struct net_queue *)(const void *)queue)->stats, sizeof(sum));
	return sum;
}
