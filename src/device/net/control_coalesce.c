/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifications coalescing as the driver sets it (VIRTIO 1.3, 5.1.6.5 "Notifications Coalescing").
 * Not the coalescing (virtqueue/coalesce.h), nor how a queue comes to what holds (net.c). Control
 * thread only.
 *
 * Theory of operation
 *
 * 1. Each queue has one setting, the last that was made for it: RX_SET and TX_SET are for all
 *    queues of a direction, those that are not enabled included, and VQ_SET is for one. What they
 *    left is net_driver_state.coalesce, and goes to the queues with the rules.
 * 2. A queue that was disabled comes back with what RX_SET or TX_SET said last, or with nothing. So
 *    that is given to it at once when it is disabled: by its ring, or as one of the pairs that the
 *    driver does not use any more. A ring that stops and goes on where it was is the VMM's doing,
 *    of which the driver knows nothing, and keeps its setting; one that starts anew does not.
 * 3. Nothing (not given) is 0 and 0 to the driver, which it reads with VQ_GET; what the host wants
 *    holds then, as the standard leaves to the device how often it notifies.
 * 4. The answer to VQ_GET lies behind the ack, as all that a command answers. (In the standard's
 *    struct it is part of what lies before. Its authors' patch for Linux has it as here, and no
 *    driver that was released asks.)
 * 5. More packets or microseconds than an operator may ask for are refused: a driver could hold its
 *    own calls for an hour, and it would look like a fault of ours.
 */
#include <string.h>

#include "device/net/control_priv.h"

enum { TX_SET = 0, RX_SET = 1, VQ_SET = 2, VQ_GET = 3 };

struct coal {
	struct le32 max_packets;
	struct le32 max_usecs;
};
static_assert(sizeof(struct coal) == 8, "VIRTIO 1.3, 5.1.6.5");

struct coal_vq {
	struct le16 vq_index;
	struct le16 reserved;
};
static_assert(sizeof(struct coal_vq) == 4, "VIRTIO 1.3, 5.1.6.5: without the struct above");

static struct net_coalesce *default_of(struct net_driver_state *state, unsigned idx)
{
	return idx % 2 ? &state->tx_coalesce : &state->rx_coalesce;
}

static bool is_data_queue(const struct net_device *net, unsigned idx)
{
	enum net_queue_kind kind = net_queue_kind(net->device.acked, net->pairs_max, idx);

	return kind == NET_QUEUE_RX || kind == NET_QUEUE_TX;
}

/*
 * By the driver: a receive or transmit queue, and one of the pairs that it uses. A table of RSS may
 * lead to more receive queues than it transmits on; one that leads to fewer disables none.
 */
static bool is_used(const struct net_device *net, unsigned idx)
{
	const struct net_driver_state *state = &net->control->state;
	unsigned pairs = state->pairs;

	if (idx % 2 == 0 && state->receivers > pairs)
		pairs = state->receivers;
	return is_data_queue(net, idx) && idx / 2 < pairs;
}

static bool is_enabled(const struct net_device *net, unsigned idx)
{
	return is_used(net, idx) && device_queue_running(&net->device, idx) &&
	       device_queue_get(&net->device, idx)->enabled_said;
}

/* Back to the default. True: it was another one. */
static bool restore(struct net_device *net, unsigned idx)
{
	struct net_driver_state *state = &net->control->state;
	struct net_coalesce *now = &state->coalesce[idx];
	const struct net_coalesce *want = default_of(state, idx);

	if (now->given == want->given && now->packets == want->packets && now->usecs == want->usecs)
		return false;
	*now = *want;
	return true;
}

bool net_coalesce_settle(struct net_device *net)
{
	bool changed = false;

	for (unsigned idx = 0; idx < 2 * net->pairs_max; idx++)
		changed |= !is_used(net, idx) && restore(net, idx);
	return changed;
}

bool net_coalesce_queue_changed(struct net_device *net, unsigned idx, bool starts)
{
	if ((starts && device_queue_starts_fresh(&net->device, idx)) ||
	    !device_queue_get(&net->device, idx)->enabled_said)
		return restore(net, idx);
	return false;
}

/* Ours, at any alignment. False: it cannot be. */
static bool take_coal(struct net_device *net, const uint8_t *data, struct net_coalesce *out)
{
	struct coal coal;

	memcpy(&coal, data, sizeof(coal));
	*out = (struct net_coalesce){
		.given = true,
		.packets = le32_get(coal.max_packets),
		.usecs = le32_get(coal.max_usecs),
	};
	if (out->packets <= COALESCE_PACKETS_MAX && out->usecs <= COALESCE_USECS_MAX)
		return true;
	stat_inc(&net->control->command.queue->stats.control_coalesce);
	return false;
}

/* All queues of a direction. */
static uint8_t set_all(struct net_device *net, unsigned first, const uint8_t *data, uint32_t bytes)
{
	struct net_driver_state *state = &net->control->state;
	struct net_coalesce want;

	if (!device_has_feature(net->device.acked, NET_F_NOTF_COAL) ||
	    bytes != sizeof(struct coal) || !take_coal(net, data, &want))
		return NET_ERR;
	*default_of(state, first) = want;
	for (unsigned idx = first; idx < ARRAY_LEN(state->coalesce); idx += 2)
		state->coalesce[idx] = want;
	return NET_OK;
}

/* False: no such queue, or it is not enabled. What follows its index is ignored. */
static bool take_index(const struct net_device *net, const uint8_t *data, unsigned *idx)
{
	struct coal_vq vq;

	memcpy(&vq, data, sizeof(vq));
	*idx = le16_get(vq.vq_index);
	return is_enabled(net, *idx);
}

static uint8_t set_one(struct net_device *net, const uint8_t *data, uint32_t bytes)
{
	struct net_coalesce want;
	unsigned idx;

	if (!device_has_feature(net->device.acked, NET_F_VQ_NOTF_COAL) ||
	    bytes != sizeof(struct coal_vq) + sizeof(struct coal) || !take_index(net, data, &idx) ||
	    !take_coal(net, data + sizeof(struct coal_vq), &want))
		return NET_ERR;
	net->control->state.coalesce[idx] = want;
	return NET_OK;
}

static uint8_t get_one(struct net_device *net, const uint8_t *data, uint32_t bytes)
{
	struct net_command *command = &net->control->command;
	const struct net_coalesce *now;
	struct coal coal;
	unsigned idx;

	if (!device_has_feature(net->device.acked, NET_F_VQ_NOTF_COAL) ||
	    bytes != sizeof(struct coal_vq) || !take_index(net, data, &idx))
		return NET_ERR;
	now = &net->control->state.coalesce[idx];
	coal.max_packets = le32_of(now->packets);
	coal.max_usecs = le32_of(now->usecs);
	memcpy(command->result, &coal, sizeof(coal));
	command->result_bytes = sizeof(coal);
	return NET_OK;
}

uint8_t net_control_coalesce(struct net_device *net, uint8_t number, const uint8_t *data,
			     uint32_t bytes, bool *rules)
{
	uint8_t ack = NET_ERR;

	switch (number) {
	case TX_SET:
		ack = set_all(net, 1, data, bytes);
		break;
	case RX_SET:
		ack = set_all(net, 0, data, bytes);
		break;
	case VQ_SET:
		ack = set_one(net, data, bytes);
		break;
	case VQ_GET:
		return get_one(net, data, bytes);
	default:
		break;
	}
	*rules = ack == NET_OK;
	return ack;
}
