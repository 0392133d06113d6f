/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver is told of the port: feature bits and config space.
 * Not what queues make of it (rules.c). Control thread only.
 *
 * Some bits are of no use without others (VIRTIO 1.3, 5.1.3.1). They are not offered then. A driver
 * that takes them nevertheless without the others is served: what hangs in the air has no effect
 * (rules.c), and commands of features that it did not take are refused one by one.
 */
#include <errno.h>
#include <string.h>

#include "device/net/control_priv.h"

#define NET_S_LINK_UP 1
#define NET_S_ANNOUNCE 2
#define NET_DUPLEX_FULL 1

/* VIRTIO 1.3, 5.1.4. */
struct net_config {
	uint8_t mac[ETHER_MAC_BYTES];
	struct le16 status;
	struct le16 max_virtqueue_pairs;
	struct le16 mtu;
	struct le32 speed;
	uint8_t duplex;
	uint8_t rss_max_key_size;
	struct le16 rss_max_indirection_table_length;
	struct le32 supported_hash_types;
	struct le32 supported_tunnel_types;
};
static_assert(sizeof(struct net_config) == 28, "VIRTIO 1.3, 5.1.4");

static uint64_t bit_if(bool offered, unsigned bit)
{
	return offered ? 1ull << bit : 0;
}

static uint64_t offloads_offered(const struct net_offloads *offloads)
{
	uint64_t features = bit_if(offloads->mrg_rxbuf, NET_F_MRG_RXBUF);

	if (offloads->csum)
		features |= 1ull << NET_F_CSUM | bit_if(offloads->host_tso4, NET_F_HOST_TSO4) |
			    bit_if(offloads->host_tso6, NET_F_HOST_TSO6) |
			    bit_if(offloads->host_ufo, NET_F_HOST_UFO) |
			    bit_if(offloads->host_uso, NET_F_HOST_USO);
	if (offloads->guest_csum)
		features |= 1ull << NET_F_GUEST_CSUM |
			    bit_if(offloads->guest_tso4, NET_F_GUEST_TSO4) |
			    bit_if(offloads->guest_tso6, NET_F_GUEST_TSO6) |
			    bit_if(offloads->guest_ufo, NET_F_GUEST_UFO) |
			    bit_if(offloads->guest_uso4, NET_F_GUEST_USO4) |
			    bit_if(offloads->guest_uso6, NET_F_GUEST_USO6);
	if (features & (1ull << NET_F_HOST_TSO4 | 1ull << NET_F_HOST_TSO6))
		features |= bit_if(offloads->host_ecn, NET_F_HOST_ECN);
	if (features & (1ull << NET_F_GUEST_TSO4 | 1ull << NET_F_GUEST_TSO6))
		features |= bit_if(offloads->guest_ecn, NET_F_GUEST_ECN);
	return features;
}

/* Those of the transport and the rings (VIRTIO 1.3, 6). */
static uint64_t ring_features(const struct net_options *options)
{
	return 1ull << DEVICE_F_VERSION_1 | bit_if(options->indirect, DEVICE_F_INDIRECT_DESC) |
	       bit_if(options->event_idx, DEVICE_F_EVENT_IDX) |
	       bit_if(options->packed, DEVICE_F_RING_PACKED) |
	       bit_if(options->in_order, DEVICE_F_IN_ORDER);
}

uint64_t net_features_offered(const struct net_options *options)
{
	return ring_features(options) | offloads_offered(&options->offloads) |
	       bit_if(options->mtu, NET_F_MTU) | bit_if(options->mac_given, NET_F_MAC) |
	       bit_if(options->queue_pairs > 1, NET_F_MQ) |
	       bit_if(options->queue_pairs > 1, NET_F_RSS) | 1ull << NET_F_HASH_REPORT |
	       1ull << NET_F_STATUS | 1ull << NET_F_CTRL_VQ | 1ull << NET_F_CTRL_RX |
	       1ull << NET_F_CTRL_RX_EXTRA | 1ull << NET_F_CTRL_VLAN | 1ull << NET_F_CTRL_MAC_ADDR |
	       1ull << NET_F_CTRL_GUEST_OFFLOADS | 1ull << NET_F_GUEST_ANNOUNCE |
	       1ull << NET_F_DEVICE_STATS | 1ull << NET_F_VQ_NOTF_COAL | 1ull << NET_F_NOTF_COAL |
	       1ull << NET_F_GUEST_HDRLEN | 1ull << NET_F_SPEED_DUPLEX;
}

const char *net_feature_name(unsigned bit)
{
	static const char *const names[] = {
		[NET_F_CSUM] = "CSUM",
		[NET_F_GUEST_CSUM] = "GUEST_CSUM",
		[NET_F_CTRL_GUEST_OFFLOADS] = "CTRL_GUEST_OFFLOADS",
		[NET_F_MTU] = "MTU",
		[NET_F_MAC] = "MAC",
		[NET_F_GUEST_TSO4] = "GUEST_TSO4",
		[NET_F_GUEST_TSO6] = "GUEST_TSO6",
		[NET_F_GUEST_ECN] = "GUEST_ECN",
		[NET_F_GUEST_UFO] = "GUEST_UFO",
		[NET_F_HOST_TSO4] = "HOST_TSO4",
		[NET_F_HOST_TSO6] = "HOST_TSO6",
		[NET_F_HOST_ECN] = "HOST_ECN",
		[NET_F_HOST_UFO] = "HOST_UFO",
		[NET_F_MRG_RXBUF] = "MRG_RXBUF",
		[NET_F_STATUS] = "STATUS",
		[NET_F_CTRL_VQ] = "CTRL_VQ",
		[NET_F_CTRL_RX] = "CTRL_RX",
		[NET_F_CTRL_VLAN] = "CTRL_VLAN",
		[NET_F_CTRL_RX_EXTRA] = "CTRL_RX_EXTRA",
		[NET_F_GUEST_ANNOUNCE] = "GUEST_ANNOUNCE",
		[NET_F_MQ] = "MQ",
		[NET_F_CTRL_MAC_ADDR] = "CTRL_MAC_ADDR",
		[NET_F_DEVICE_STATS] = "DEVICE_STATS",
		[NET_F_VQ_NOTF_COAL] = "VQ_NOTF_COAL",
		[NET_F_NOTF_COAL] = "NOTF_COAL",
		[NET_F_GUEST_USO4] = "GUEST_USO4",
		[NET_F_GUEST_USO6] = "GUEST_USO6",
		[NET_F_HOST_USO] = "HOST_USO",
		[NET_F_HASH_REPORT] = "HASH_REPORT",
		[NET_F_GUEST_HDRLEN] = "GUEST_HDRLEN",
		[NET_F_RSS] = "RSS",
		[NET_F_SPEED_DUPLEX] = "SPEED_DUPLEX",
	};

	return bit < ARRAY_LEN(names) ? names[bit] : NULL;
}

enum net_queue_kind net_queue_kind(uint64_t acked, unsigned pairs_max, unsigned idx)
{
	bool many = device_has_feature(acked, NET_F_MQ) || device_has_feature(acked, NET_F_RSS);
	unsigned pairs = many ? pairs_max : 1;

	if (idx < 2 * pairs)
		return idx % 2 ? NET_QUEUE_TX : NET_QUEUE_RX;
	if (idx == 2 * pairs && device_has_feature(acked, NET_F_CTRL_VQ))
		return NET_QUEUE_CONTROL;
	return NET_QUEUE_NONE;
}

unsigned net_queue_group(const struct device *device, unsigned idx)
{
	const struct net_device *net = net_of_device(device);

	if (net_queue_kind(device->acked, net->pairs_max, idx) == NET_QUEUE_CONTROL)
		return DEVICE_GROUP_ANY;
	return idx / 2;
}

void net_features_acked(struct device *device)
{
	struct net_device *net = net_of_device(device);

	/* A front end may say the MTU before the features, so only a reset forgets that. */
	if (!device->acked)
		net->control->mtu_said = 0;
	net_control_reset(net);
}

void net_config_changed(struct net_device *net)
{
	struct device *device = &net->device;

	if (device->front_ops)
		device->front_ops->config_changed(device->front);
}

unsigned net_config_fill(const struct device *device, void *data)
{
	const struct net_device *net = net_of_device(device);
	const struct net_control *control = net->control;
	uint16_t status = 0;
	struct net_config config = {
		.max_virtqueue_pairs = le16_of((uint16_t)net->pairs_max),
		.mtu = le16_of(net_mtu(net)),
		.speed = le32_of(net->options.speed_mbit),
		.duplex = NET_DUPLEX_FULL,
		.rss_max_key_size = TOEPLITZ_KEY_BYTES,
		.rss_max_indirection_table_length = le16_of(NET_RSS_TABLE_MAX),
		.supported_hash_types = le32_of(HASH_TYPES_ALL),
	};

	if (control->link_up)
		status |= NET_S_LINK_UP;
	if (control->announcing)
		status |= NET_S_ANNOUNCE;
	config.status = le16_of(status);
	memcpy(config.mac, control->state.mac, sizeof(config.mac));
	memcpy(data, &config, sizeof(config));
	return sizeof(config);
}

int net_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
		     struct err *err)
{
	struct net_device *net = net_of_device(device);
	struct net_driver_state *state = &net->control->state;
	uint8_t mac[ETHER_MAC_BYTES];

	if (!size)
		return 0;
	if (offset + size > sizeof(mac))
		return err_set(err, EPERM,
			       "config space: bytes %u to %u are not writable, only mac (0 to 5)",
			       offset, offset + size - 1);
	if (device_has_feature(device->acked, DEVICE_F_VERSION_1) ||
	    device_has_feature(device->acked, NET_F_CTRL_MAC_ADDR))
		return err_set(err, EPERM,
			       "config space: mac is written by legacy drivers without "
			       "CTRL_MAC_ADDR only");
	memcpy(mac, state->mac, sizeof(mac));
	memcpy(mac + offset, data, size);
	/* Written from the first byte to the last: it counts when it is whole. */
	memcpy(state->mac, mac, sizeof(mac));
	state->mac_known = true;
	if (offset + size == sizeof(mac) && net_rules_update(net, NULL))
		return err_set(err, ENOMEM, "config space: no memory for a new filter");
	return 0;
}
