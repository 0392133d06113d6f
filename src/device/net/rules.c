/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that queues work by: made out of features, options and what the driver set, and brought
 * to the workers.
 * Not who asks for them (control.c), nor what queues make of them (header.c, tx.c, rx.c).
 *
 * Theory of operation
 *
 * 1. Rules are never changed. New ones are published in net_device.rules, where a queue that comes
 *    finds them; those that run are told (device_tell_queues) and take them over, all in one round.
 *    When it has ended nobody has older ones than those that it was about, and those are freed.
 * 2. One round at a time. What is published meanwhile is told in the next one, however often it
 *    changed.
 * 3. One set is kept in reserve, so that rules for new features, which come while no queue runs,
 *    cannot fail.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "device/net/control_priv.h"

struct net_rules_node {
	struct net_rules rules; /* first: net_device.rules points there */
	struct toeplitz hash_key;
	struct net_rules_node *older;
};
static_assert(offsetof(struct net_rules_node, rules) == 0, "rules come first");

/* ---- making them ---- */

static void fill_host(const struct net_device *net, struct net_rules *rules)
{
	static const struct {
		uint8_t feature, gso;
	} large[] = {
		{NET_F_HOST_TSO4, FRAME_GSO_TCP4},
		{NET_F_HOST_TSO6, FRAME_GSO_TCP6},
		{NET_F_HOST_UFO, FRAME_GSO_UDP},
		{NET_F_HOST_USO, FRAME_GSO_UDP_L4},
	};
	uint64_t acked = net->device.acked;

	rules->host_csum = device_has_feature(acked, NET_F_CSUM);
	for (unsigned i = 0; rules->host_csum && i < ARRAY_LEN(large); i++) {
		if (device_has_feature(acked, large[i].feature))
			rules->host_gso |= (uint8_t)(1u << large[i].gso);
	}
}

static void fill_guest(const struct net_device *net, struct net_rules *rules)
{
	uint64_t on = net->control->state.guest_offloads;

	rules->mergeable = device_has_feature(net->device.acked, NET_F_MRG_RXBUF);
	rules->guest_hdrlen = device_has_feature(net->device.acked, NET_F_GUEST_HDRLEN);
	rules->guest_csum = device_has_feature(on, NET_F_GUEST_CSUM);
	if (!rules->guest_csum)
		return;
	rules->guest_tso4 = device_has_feature(on, NET_F_GUEST_TSO4);
	rules->guest_tso6 = device_has_feature(on, NET_F_GUEST_TSO6);
	rules->guest_ecn = (rules->guest_tso4 || rules->guest_tso6) &&
			   device_has_feature(on, NET_F_GUEST_ECN);
	rules->guest_ufo = device_has_feature(on, NET_F_GUEST_UFO);
	rules->guest_uso4 = device_has_feature(on, NET_F_GUEST_USO4);
	rules->guest_uso6 = device_has_feature(on, NET_F_GUEST_USO6);
}

/*
 * Only with a control queue that reaches us: where the VMM keeps it, or there is none, nobody could
 * tell what the driver wants, and it gets everything.
 */
static void fill_filters(const struct net_device *net, struct net_rules *rules)
{
	const struct net_driver_state *state = &net->control->state;
	uint64_t acked = net->device.acked;

	memcpy(rules->mac, state->mac, sizeof(rules->mac));
	if (!net->control->runs)
		return;
	rules->filter_macs = device_has_feature(acked, NET_F_CTRL_RX);
	rules->promisc = state->promisc;
	rules->allmulti = state->allmulti || state->multicast_overflow;
	rules->alluni = state->alluni || state->unicast_overflow || !state->mac_known;
	rules->nomulti = state->nomulti;
	rules->nouni = state->nouni;
	rules->nobcast = state->nobcast;
	rules->unicast_cnt = state->unicast_cnt;
	rules->multicast_cnt = state->multicast_cnt;
	memcpy(rules->unicast, state->unicast, sizeof(rules->unicast));
	memcpy(rules->multicast, state->multicast, sizeof(rules->multicast));
	rules->filter_vlans = device_has_feature(acked, NET_F_CTRL_VLAN);
	memcpy(rules->vlans, state->vlans, sizeof(rules->vlans));
}

/* Whatever else was negotiated, HASH_REPORT makes the header long. */
static uint8_t header_bytes(uint64_t acked)
{
	if (device_has_feature(acked, NET_F_HASH_REPORT))
		return NET_HEADER_BYTES_HASH;
	return device_has_feature(acked, DEVICE_F_VERSION_1) ||
			       device_has_feature(acked, NET_F_MRG_RXBUF)
		       ? NET_HEADER_BYTES
		       : NET_HEADER_BYTES_LEGACY;
}

/* Until the driver has said which hashes it wants, there are none (5.1.6.5.6.4). */
static void fill_hashing(const struct net_device *net, struct net_rules_node *node)
{
	const struct net_hashing *hashing = &net->control->state.hashing;
	struct net_rules *rules = &node->rules;

	rules->hash_report = device_has_feature(net->device.acked, NET_F_HASH_REPORT);
	if (!rules->hash_report || !net->control->runs || !hashing->types)
		return;
	toeplitz_init(&node->hash_key, hashing->key, hashing->key_bytes);
	rules->hash_key = &node->hash_key;
	rules->hash_types = hashing->types;
	rules->hash_generation = net_steer_generation(net, hashing);
}

static void fill(const struct net_device *net, struct net_rules_node *node)
{
	struct net_rules *rules = &node->rules;
	uint16_t mtu = net_mtu(net);

	memset(rules, 0, sizeof(*rules));
	rules->header_bytes = header_bytes(net->device.acked);
	rules->tx_frame_bytes_max = mtu ? mtu + ETHER_HEADER_BYTES : FRAME_BYTES_MAX;
	rules->rx_frame_bytes_max = rules->tx_frame_bytes_max;
	fill_host(net, rules);
	fill_guest(net, rules);
	fill_filters(net, rules);
	memcpy(rules->coalesce, net->control->state.coalesce, sizeof(rules->coalesce));
	fill_hashing(net, node);
}

/* ---- bringing them to the workers ---- */

static void begin_round(struct net_device *net);

static void round_done(struct join *join)
{
	struct net_control *control = container_of(join, struct net_control, round);
	struct net_device *net = control->command.net;
	struct net_rules_node *old = control->telling->older;
	struct join *waiter = control->waiter;

	control->telling->older = NULL;
	control->waiter = NULL;
	while (old) {
		struct net_rules_node *older = old->older;

		if (control->spare)
			free(old);
		else
			control->spare = old;
		old = older;
	}
	if (control->newest != control->telling)
		begin_round(net);
	else
		control->telling = NULL;
	if (waiter)
		join_done(waiter, 0);
}

static void begin_round(struct net_device *net)
{
	struct net_control *control = net->control;

	control->telling = control->newest;
	control->waiter = control->next_waiter;
	control->next_waiter = NULL;
	join_open(&control->round, round_done);
	device_tell_queues(&net->device, &control->round);
	join_done(&control->round, 0);
}

int net_rules_update(struct net_device *net, struct join *join)
{
	struct net_control *control = net->control;
	struct net_rules_node *node = control->spare;

	if (node)
		control->spare = NULL;
	else
		node = malloc(sizeof(*node));
	if (!node)
		return -ENOMEM;
	fill(net, node);
	node->older = control->newest;
	control->newest = node;
	store_release(&net->rules, &node->rules);
	if (join) {
		CHECK(!control->next_waiter);
		join_add(join);
		control->next_waiter = join;
	}
	if (!control->telling)
		begin_round(net);
	return 0;
}

void net_rules_free(struct net_device *net)
{
	struct net_control *control = net->control;

	CHECK(!control->telling);
	if (control->newest)
		CHECK(!control->newest->older);
	free(control->newest);
	free(control->spare);
	control->newest = NULL;
	control->spare = NULL;
	net->rules = NULL;
}
