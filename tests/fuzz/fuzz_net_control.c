/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer target: commands of the control queue, in chains of any framing and content, one after
 * the other (device/net/control*.c, rules.c).
 * Not the parser of chains, whose promises are kept here, nor threads: no queue is served.
 *
 * Input: bytes 0-7 the features that are not taken, then for each command: byte 0 flags (bits:
 * chain error, tail), byte 1 number of readable entries, byte 2 of writable ones, then for each
 * entry two bytes of length, then the content of the readable entries. What is missing is zero.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/net/control_priv.h"
#include "unit/device/net_steer_fake.h"
#include "virtqueue/virtqueue_priv.h"

#define ENTRIES_MAX 48u
#define ENTRY_BYTES_MAX 5000u
#define COMMANDS_MAX 64u
#define PAIRS 4u

#define MUST(expr)                                                                    \
	do {                                                                          \
		if (!(expr)) {                                                        \
			fprintf(stderr, "violated: %s (line %d)\n", #expr, __LINE__); \
			abort();                                                      \
		}                                                                     \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the switch ---- */

static unsigned receivers;

void netport_set_receivers(struct netport *port, unsigned cnt)
{
	(void)port;
	receivers = cnt;
}

void netport_queue_gone(struct netport *port, unsigned idx)
{
	(void)port, (void)idx;
}

void netport_send(struct netport *port, struct exchange *exchange, unsigned queue_idx,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	(void)queue_idx;
	(void)port;
	(void)exchange;
	(void)frames;
	(void)cnt;
	(void)now_ns;
	MUST(!"a command sends nothing");
}

struct exchange *fabric_exchange(const struct fabric *fabric, const struct worker *worker)
{
	(void)fabric;
	(void)worker;
	return NULL;
}

/* ---- a device whose queues are on no worker ---- */

static const struct stat_row no_rows[1];

static void table(unsigned idx, struct stat_table *out)
{
	(void)idx;
	*out = (struct stat_table){.name = "none", .rows = no_rows, .bytes = 8};
}

static bool is_told(const struct device *device, unsigned idx)
{
	(void)device;
	(void)idx;
	return false;
}

static const struct device_ops ops = {
	.kind = "port",
	.virtio_id = 1,
	.feature_name = net_feature_name,
	.features_acked = net_features_acked,
	.config_fill = net_config_fill,
	.config_write = net_config_write,
	.queue_is_told = is_told,
	.table_cnt = 1,
	.table = table,
};

static struct net_device net;

static struct net_queue queues[2 * PAIRS + 1];

/* All are enabled but the last pair. */
static void open_queues(void)
{
	static struct virtqueue vqs[2 * PAIRS + 1];

	for (unsigned i = 0; i < 2 * PAIRS + 1; i++) {
		struct device_queue *queue = &queues[i].queue;

		queue->idx = i;
		queue->vq = &vqs[i];
		queue->running = true;
		queue->enabled_said = i / 2 != PAIRS - 1;
		net.device.queues[i] = queue;
	}
}

static void open_device(void)
{
	static struct worker *no_worker;
	struct device_setup setup = {
		.name = "fuzz",
		.queues = 2 * PAIRS + 1,
		.workers = &no_worker,
		.worker_cnt = 1,
	};
	struct err err = ERR_INIT;

	net.loop = evloop_new(&err);
	MUST(net.loop);
	net.options = (struct net_options){
		.queue_pairs = PAIRS, .mac = {2, 1, 2, 3, 4, 5}, .mac_given = true, .mtu = 1500};
	memset(&net.options.offloads, 1, sizeof(net.options.offloads));
	net.pairs_max = PAIRS;
	setup.features = net_features_offered(&net.options);
	MUST(!device_init(&net.device, &ops, &setup, &err));
	MUST(!net_control_new(&net, &err));
	net.control->runs = true;
	net.control->command.queue = &queues[2 * PAIRS];
	open_queues();
}

/* ---- chains ---- */

struct input {
	const uint8_t *data;
	size_t size;
};

static uint8_t take_u8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static uint16_t take_u16(struct input *in)
{
	uint16_t low = take_u8(in);

	return (uint16_t)(low | take_u8(in) << 8);
}

struct chain {
	struct vq_slot slot;
	struct iovec entries[ENTRIES_MAX]; /* each an allocation of its own, for ASan */
	unsigned cnt;
};

static void make_chain(struct chain *chain, struct input *in)
{
	struct vq_slot *slot = &chain->slot;
	uint8_t flags = take_u8(in);

	memset(chain, 0, sizeof(*chain));
	slot->out_cnt = take_u8(in) % (ENTRIES_MAX / 2 + 1);
	slot->in_cnt = take_u8(in) % (ENTRIES_MAX / 2 + 1);
	chain->cnt = slot->out_cnt + slot->in_cnt;
	for (unsigned i = 0; i < chain->cnt; i++)
		chain->entries[i].iov_len = 1 + take_u16(in) % ENTRY_BYTES_MAX;
	for (unsigned i = 0; i < chain->cnt; i++) {
		struct iovec *entry = &chain->entries[i];
		size_t got = entry->iov_len < in->size ? entry->iov_len : in->size;

		entry->iov_base = calloc(1, entry->iov_len);
		MUST(entry->iov_base);
		if (i >= slot->out_cnt) {
			slot->in_bytes += entry->iov_len;
			continue;
		}
		memcpy(entry->iov_base, in->data, got);
		in->data += got;
		in->size -= got;
		slot->out_bytes += entry->iov_len;
	}
	slot->iov = chain->entries;
	slot->error = flags & 1 ? CHAIN_BAD_ADDRESS : CHAIN_OK;
	slot->tail_in = slot->in_cnt && (!slot->error || flags & 2);
}

static void free_chain(struct chain *chain)
{
	for (unsigned i = 0; i < chain->cnt; i++)
		free(chain->entries[i].iov_base);
}

/* What the guest wants is what the switch has, and no queue in it is none of the guest's. */
static void check_steering(const struct net_driver_state *state)
{
	const struct steering *steering = net_steer_fake.present;
	const struct net_rules *rules = net.rules;
	const uint64_t acked = net.device.acked;

	MUST(!state->rss || (steering && steering->options.kind == STEERING_TABLE));
	MUST(!state->rss || device_has_feature(acked, NET_F_RSS));
	for (unsigned i = 0; state->rss && i < state->table_cnt; i++)
		MUST(steering->options.table[i] == state->table[i] &&
		     state->table[i] < state->receivers);
	MUST(!state->rss || state->unclassified < state->receivers);
	MUST(!(state->hashing.types & ~HASH_TYPES_ALL));
	MUST(rules->hash_report == device_has_feature(acked, NET_F_HASH_REPORT));
	MUST((rules->header_bytes == NET_HEADER_BYTES_HASH) == rules->hash_report);
	MUST(!rules->hash_key || (rules->hash_report && rules->hash_types == state->hashing.types));
	MUST(!rules->hash_key ||
	     !memcmp(rules->hash_key->key, state->hashing.key, sizeof(state->hashing.key)));
	MUST(!rules->hash_generation || rules->hash_generation == steering->generation);
}

static void check_coalesce(void)
{
	const struct net_driver_state *state = &net.control->state;

	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		const struct net_coalesce *now = &state->coalesce[i];
		const struct net_coalesce *all = i % 2 ? &state->tx_coalesce : &state->rx_coalesce;

		MUST(now->packets <= COALESCE_PACKETS_MAX && now->usecs <= COALESCE_USECS_MAX);
		MUST(now->given || (!now->packets && !now->usecs));
		MUST(now->given || !all->given);
		/* Nothing of its own has a queue that is not enabled. */
		if ((i / 2 >= state->pairs && (i % 2 || i / 2 >= state->receivers)) ||
		    i / 2 == PAIRS - 1)
			MUST(now->packets == all->packets && now->usecs == all->usecs);
		MUST(net.rules->coalesce[i].packets == now->packets);
		MUST(net.rules->coalesce[i].usecs == now->usecs);
	}
}

static void check_state(void)
{
	const struct net_driver_state *state = &net.control->state;
	const struct net_rules *rules = net.rules;
	struct net_state view;

	MUST(state->pairs >= 1 && state->pairs <= PAIRS);
	MUST(state->receivers >= 1 && state->receivers <= PAIRS && receivers == state->receivers);
	check_steering(state);
	MUST(state->unicast_cnt <= NET_MAC_TABLE_MAX && state->multicast_cnt <= NET_MAC_TABLE_MAX);
	MUST(!(state->guest_offloads & ~(net.device.acked & net_offload_bits())));
	MUST(!(state->mac[0] & 1));
	MUST(rules->unicast_cnt == state->unicast_cnt && rules->promisc == state->promisc);
	MUST(rules->guest_csum || (!rules->guest_tso4 && !rules->guest_tso6 && !rules->guest_ufo));
	MUST(!memcmp(rules->mac, state->mac, sizeof(rules->mac)));
	net_device_state(&net.device, &view);
	MUST(view.vlan_cnt <= NET_VLANS);
	check_coalesce();
}

static void one_command(struct input *in)
{
	static struct chain chain;
	struct net_command *command = &net.control->command;

	make_chain(&chain, in);
	if (net_command_take(command, &chain.slot)) {
		struct net_driver_state before = net.control->state;
		bool rules = false;

		/* The guest goes on writing. */
		for (unsigned i = 0; i < chain.slot.out_cnt; i++)
			memset(chain.entries[i].iov_base, 0xff, chain.entries[i].iov_len);
		command->ack = net_control_execute(&net, &rules);
		net_receivers_update(&net);
		MUST(command->ack == NET_OK || command->ack == NET_ERR);
		MUST(command->result_bytes <= sizeof(command->result));
		if (command->ack == NET_ERR) {
			MUST(!rules && !command->result_bytes);
			MUST(!memcmp(&before, &net.control->state, sizeof(before)));
		}
		if (command->data[0] == NET_CLASS_MQ && command->ack == NET_OK)
			net_receivers_update(&net);
		if (rules)
			MUST(!net_rules_update(&net, NULL));
		net_command_answer(command, &chain.slot);
		MUST(chain.slot.used_bytes >= 1);
		MUST(*(const uint8_t *)chain.entries[chain.slot.out_cnt].iov_base == command->ack);
	}
	MUST(chain.slot.used_bytes <= chain.slot.in_bytes);
	check_state();
	free_chain(&chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint64_t without = 0;
	struct err err = ERR_INIT;

	if (!net.control)
		open_device();
	for (unsigned i = 0; i < 8; i++)
		without |= (uint64_t)take_u8(&in) << 8 * i;
	device_reset(&net.device);
	MUST(!device_set_features(&net.device, device_features(&net.device) & ~without, &err));
	check_state();
	for (unsigned i = 0; in.size && i < COMMANDS_MAX; i++)
		one_command(&in);
	return 0;
}
