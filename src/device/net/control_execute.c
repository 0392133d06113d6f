/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each command of the control queue does to the driver's state (VIRTIO 1.3, 5.1.6.5).
 * Not how it came (control.c), nor statistics (control_stats.c). Control thread only.
 *
 * All of it works on our copy of the command. A command is as long as its data, no less and no
 * more, and its feature was negotiated; else it is refused and changes nothing.
 */
#include <string.h>

#include "device/net/control_priv.h"

enum {
	CLASS_RX = 0,
	CLASS_MAC = 1,
	CLASS_VLAN = 2,
	CLASS_ANNOUNCE = 3,
	CLASS_MQ = NET_CLASS_MQ,
	CLASS_GUEST_OFFLOADS = 5,
	CLASS_NOTF_COAL = 6,
	CLASS_STATS = 8,
};

enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { VLAN_ADD = 0, VLAN_DEL = 1 };

/* A command as its class sees it. */
struct args {
	struct net_device *net;
	struct net_driver_state *state;
	uint8_t number;
	const uint8_t *data; /* without class and number */
	uint32_t bytes;
};

static bool has(const struct args *args, unsigned feature)
{
	return device_has_feature(args->net->device.acked, feature);
}

/* Ours, at any alignment. */
static uint16_t get_le16(const uint8_t *data)
{
	struct le16 value;

	memcpy(&value, data, sizeof(value));
	return le16_get(value);
}

static uint32_t get_le32(const uint8_t *data)
{
	struct le32 value;

	memcpy(&value, data, sizeof(value));
	return le32_get(value);
}

static uint64_t get_le64(const uint8_t *data)
{
	struct le64 value;

	memcpy(&value, data, sizeof(value));
	return le64_get(value);
}

static uint8_t execute_rx(const struct args *args, bool *rules)
{
	struct net_driver_state *state = args->state;
	const struct {
		bool *flag;
		unsigned feature;
	} modes[] = {
		{&state->promisc, NET_F_CTRL_RX},      {&state->allmulti, NET_F_CTRL_RX},
		{&state->alluni, NET_F_CTRL_RX_EXTRA}, {&state->nomulti, NET_F_CTRL_RX_EXTRA},
		{&state->nouni, NET_F_CTRL_RX_EXTRA},  {&state->nobcast, NET_F_CTRL_RX_EXTRA},
	};

	if (args->number >= ARRAY_LEN(modes) || !has(args, modes[args->number].feature) ||
	    args->bytes != 1 || args->data[0] > 1)
		return NET_ERR;
	*modes[args->number].flag = args->data[0];
	*rules = true;
	return NET_OK;
}

/* One of the two tables; *data and *bytes move on. */
static bool take_table(const uint8_t **data, uint32_t *bytes, const uint8_t **macs, uint32_t *cnt)
{
	if (*bytes < sizeof(struct le32))
		return false;
	*cnt = get_le32(*data);
	*data += sizeof(struct le32);
	*bytes -= (uint32_t)sizeof(struct le32);
	if (*cnt > *bytes / ETHER_MAC_BYTES)
		return false;
	*macs = *data;
	*data += *cnt * ETHER_MAC_BYTES;
	*bytes -= *cnt * ETHER_MAC_BYTES;
	return true;
}

static void store_table(uint8_t (*table)[ETHER_MAC_BYTES], uint8_t *table_cnt, bool *overflow,
			const uint8_t *macs, uint32_t cnt)
{
	*overflow = cnt > NET_MAC_TABLE_MAX;
	*table_cnt = *overflow ? 0 : (uint8_t)cnt;
	memcpy(table, macs, *table_cnt * (size_t)ETHER_MAC_BYTES);
}

static uint8_t set_mac_table(const struct args *args)
{
	struct net_driver_state *state = args->state;
	const uint8_t *data = args->data;
	uint32_t bytes = args->bytes, unicast_cnt, multicast_cnt;
	const uint8_t *unicast, *multicast;

	if (!take_table(&data, &bytes, &unicast, &unicast_cnt) ||
	    !take_table(&data, &bytes, &multicast, &multicast_cnt) || bytes)
		return NET_ERR;
	store_table(state->unicast, &state->unicast_cnt, &state->unicast_overflow, unicast,
		    unicast_cnt);
	store_table(state->multicast, &state->multicast_cnt, &state->multicast_overflow, multicast,
		    multicast_cnt);
	return NET_OK;
}

static uint8_t execute_mac(const struct args *args, bool *rules)
{
	uint8_t ack = NET_ERR;

	if (args->number == MAC_TABLE_SET && has(args, NET_F_CTRL_RX)) {
		ack = set_mac_table(args);
	} else if (args->number == MAC_ADDR_SET && has(args, NET_F_CTRL_MAC_ADDR) &&
		   args->bytes == ETHER_MAC_BYTES && !(args->data[0] & 1)) {
		memcpy(args->state->mac, args->data, ETHER_MAC_BYTES);
		args->state->mac_known = true;
		ack = NET_OK;
	}
	*rules = ack == NET_OK;
	return ack;
}

static uint8_t execute_vlan(const struct args *args, bool *rules)
{
	uint16_t vlan;

	if (args->number > VLAN_DEL || !has(args, NET_F_CTRL_VLAN) ||
	    args->bytes != sizeof(struct le16))
		return NET_ERR;
	vlan = get_le16(args->data);
	if (vlan >= NET_VLANS)
		return NET_ERR;
	if (args->number == VLAN_ADD)
		args->state->vlans[vlan / 64] |= 1ull << vlan % 64;
	else
		args->state->vlans[vlan / 64] &= ~(1ull << vlan % 64);
	*rules = true;
	return NET_OK;
}

static uint8_t execute_announce(const struct args *args, bool *rules)
{
	(void)rules;
	if (args->number || !has(args, NET_F_GUEST_ANNOUNCE) || args->bytes)
		return NET_ERR;
	args->net->control->announcing = false;
	return NET_OK;
}

static uint8_t execute_mq(const struct args *args, bool *rules)
{
	return net_control_mq(args->net, args->number, args->data, args->bytes, rules);
}

static uint8_t execute_offloads(const struct args *args, bool *rules)
{
	uint64_t on;

	if (args->number || !has(args, NET_F_CTRL_GUEST_OFFLOADS) ||
	    args->bytes != sizeof(struct le64))
		return NET_ERR;
	on = get_le64(args->data);
	/* Linux counts GUEST_HDRLEN among the offloads; 5.1.6.5.6 does not. Nothing hangs on it. */
	if (on & ~(args->net->device.acked & (net_offload_bits() | 1ull << NET_F_GUEST_HDRLEN)))
		return NET_ERR;
	args->state->guest_offloads = on & net_offload_bits();
	*rules = true;
	return NET_OK;
}

static uint8_t execute_coalesce(const struct args *args, bool *rules)
{
	return net_control_coalesce(args->net, args->number, args->data, args->bytes, rules);
}

static uint8_t execute_stats(const struct args *args, bool *rules)
{
	(void)rules;
	if (!has(args, NET_F_DEVICE_STATS))
		return NET_ERR;
	return net_control_stats(args->net, args->number, args->data, args->bytes);
}

uint8_t net_control_execute(struct net_device *net, bool *rules)
{
	static uint8_t (*const classes[])(const struct args *args, bool *rules) = {
		[CLASS_RX] = execute_rx,
		[CLASS_MAC] = execute_mac,
		[CLASS_VLAN] = execute_vlan,
		[CLASS_ANNOUNCE] = execute_announce,
		[CLASS_MQ] = execute_mq,
		[CLASS_GUEST_OFFLOADS] = execute_offloads,
		[CLASS_NOTF_COAL] = execute_coalesce,
		[CLASS_STATS] = execute_stats,
	};
	const struct net_command *command = &net->control->command;
	const struct args args = {
		.net = net,
		.state = &net->control->state,
		.number = command->data[1],
		.data = command->data + NET_COMMAND_BYTES_MIN,
		.bytes = command->bytes - NET_COMMAND_BYTES_MIN,
	};
	uint8_t class = command->data[0];
	uint8_t ack;

	if (class >= ARRAY_LEN(classes) || !classes[class])
		return NET_ERR;
	ack = classes[class](&args, rules);
	if (ack == NET_OK && net_coalesce_settle(net))
		*rules = true;
	return ack;
}
