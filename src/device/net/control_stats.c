/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics for the driver (VIRTIO 1.4, 5.1.6.5 "Device Statistics"): our counters in its layouts.
 * Not the counting. Control thread only.
 *
 * A type of statistics is offered if all that it tells is counted: those of the control queue, and
 * the basic ones of both directions. One bad entry refuses the whole command.
 */
#include <string.h>

#include "device/net/control_priv.h"

enum { STATS_QUERY = 0, STATS_GET = 1 };

enum {
	TYPE_RX_BASIC = 0,
	TYPE_TX_BASIC = 16,
	TYPE_CVQ = 32,
};

#define VALUES_MAX 6

struct stats_asked {
	struct le16 vq_index;
	struct le16 reserved[3];
	struct le64 types;
};
static_assert(sizeof(struct stats_asked) == NET_STATS_ASKED_BYTES, "VIRTIO 1.4");

struct stats_reply_header {
	uint8_t type;
	uint8_t reserved;
	struct le16 vq_index;
	struct le16 reserved1;
	struct le16 size;
};

/* What is known of one queue. */
struct sources {
	struct net_device *net;
	struct net_stats net_stats;
	struct virtqueue_stats ring;
};

static unsigned fill_cvq(const struct sources *from, uint64_t *values)
{
	/* The present command counts, and it is about to succeed. */
	values[0] = from->net->control->command_cnt + 1;
	values[1] = from->net->control->ok_cnt + 1;
	return 2;
}

static unsigned fill_rx_basic(const struct sources *from, uint64_t *values)
{
	const struct net_stats *stats = &from->net_stats;

	values[0] = from->ring.kicks;
	values[1] = stats->rx_frames;
	values[2] = stats->rx_bytes;
	values[3] = from->ring.calls;
	values[4] = stats->rx_no_buffer + stats->rx_bad_chain + stats->rx_small_buffer +
		    stats->rx_over_mtu + stats->rx_filtered;
	values[5] = stats->rx_no_buffer;
	return 6;
}

static unsigned fill_tx_basic(const struct sources *from, uint64_t *values)
{
	const struct net_stats *stats = &from->net_stats;
	uint64_t malformed = stats->tx_bad_chain + stats->tx_bad_header + stats->tx_runt +
			     stats->tx_too_long + stats->tx_bad_csum + stats->tx_bad_gso;

	values[0] = from->ring.kicks;
	values[1] = stats->tx_frames;
	values[2] = stats->tx_bytes;
	values[3] = from->ring.calls;
	values[4] = malformed + stats->tx_over_mtu + stats->tx_disabled;
	values[5] = malformed;
	return 6;
}

static const struct stats_type {
	uint8_t type;
	enum net_queue_kind kind;
	unsigned (*fill)(const struct sources *from, uint64_t *values);
} stats_types[] = {
	{TYPE_RX_BASIC, NET_QUEUE_RX, fill_rx_basic},
	{TYPE_TX_BASIC, NET_QUEUE_TX, fill_tx_basic},
	{TYPE_CVQ, NET_QUEUE_CONTROL, fill_cvq},
};

static void add_result(struct net_device *net, const void *data, uint32_t bytes)
{
	struct net_command *command = &net->control->command;

	memcpy(command->result + command->result_bytes, data, bytes);
	command->result_bytes += bytes;
}

static uint8_t query(struct net_device *net, uint32_t bytes)
{
	uint64_t types = 0;
	struct le64 reply;

	if (bytes)
		return NET_ERR;
	for (unsigned i = 0; i < ARRAY_LEN(stats_types); i++)
		types |= 1ull << stats_types[i].type;
	reply = le64_of(types);
	add_result(net, &reply, sizeof(reply));
	return NET_OK;
}

/* May queue idx, if there is one, be asked for that? */
static bool may_ask(const struct net_device *net, unsigned idx, uint64_t asked)
{
	enum net_queue_kind kind = net_queue_kind(net->device.acked, net->pairs_max, idx);
	uint64_t types = 0;

	if (kind == NET_QUEUE_NONE || idx >= net->device.queue_max)
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(stats_types); i++) {
		if (stats_types[i].kind == kind)
			types |= 1ull << stats_types[i].type;
	}
	return !(asked & ~types);
}

static void gather(struct net_device *net, unsigned idx, struct sources *from)
{
	const struct device_queue *base = device_queue_get(&net->device, idx);

	memset(from, 0, sizeof(*from));
	from->net = net;
	if (!base)
		return;
	stat_sum(&from->net_stats, &((const struct net_queue *)(const void *)base)->stats,
		 sizeof(from->net_stats));
	stat_sum(&from->ring, &base->ring_retired, sizeof(from->ring));
	if (base->running)
		stat_sum(&from->ring, virtqueue_stats(base->vq), sizeof(from->ring));
}

static void reply_queue(struct net_device *net, uint16_t idx, uint64_t types)
{
	struct sources from;

	gather(net, idx, &from);
	for (unsigned i = 0; i < ARRAY_LEN(stats_types); i++) {
		uint64_t values[VALUES_MAX];
		struct le64 out[VALUES_MAX];
		struct stats_reply_header header = {.type = stats_types[i].type,
						    .vq_index = le16_of(idx)};
		unsigned cnt;

		if (!(types >> stats_types[i].type & 1))
			continue;
		cnt = stats_types[i].fill(&from, values);
		for (unsigned v = 0; v < cnt; v++)
			out[v] = le64_of(values[v]);
		header.size = le16_of((uint16_t)(sizeof(header) + cnt * sizeof(out[0])));
		add_result(net, &header, sizeof(header));
		add_result(net, out, (uint32_t)(cnt * sizeof(out[0])));
	}
}

static uint8_t get(struct net_device *net, const uint8_t *data, uint32_t bytes)
{
	struct stats_asked asked;

	if (!bytes || bytes % sizeof(asked))
		return NET_ERR;
	for (uint32_t at = 0; at < bytes; at += (uint32_t)sizeof(asked)) {
		memcpy(&asked, data + at, sizeof(asked));
		if (!may_ask(net, le16_get(asked.vq_index), le64_get(asked.types)))
			return NET_ERR;
	}
	for (uint32_t at = 0; at < bytes; at += (uint32_t)sizeof(asked)) {
		memcpy(&asked, data + at, sizeof(asked));
		reply_queue(net, le16_get(asked.vq_index), le64_get(asked.types));
	}
	return NET_OK;
}

uint8_t net_control_stats(struct net_device *net, uint8_t number, const uint8_t *data,
			  uint32_t bytes)
{
	switch (number) {
	case STATS_QUERY:
		return query(net, bytes);
	case STATS_GET:
		return get(net, data, bytes);
	default:
		return NET_ERR;
	}
}
