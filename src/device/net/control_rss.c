/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of class MQ (VIRTIO 1.3, 5.1.6.5.5 to 5.1.6.5.7): how many queues the driver uses, which
 * of them frames go to, and which hashes it is told.
 * Not how that comes to the switch (steer.c) and to the queues (rules.c). Control thread only.
 *
 * All of a command is judged before any of it is kept. The last one of them counts: VQ_PAIRS_SET
 * and HASH_CONFIG end what RSS_CONFIG said of queues, and parameters of hashes stay until others
 * come.
 */
#include <string.h>

#include "device/net/control_priv.h"

enum { MQ_VQ_PAIRS_SET = 0, MQ_RSS_CONFIG = 1, MQ_HASH_CONFIG = 2 };

/* Of HASH_CONFIG, between types and key; to be ignored. */
#define HASH_RESERVED_BYTES 8

/* What is left of a command's data; short: more was asked for than there is. */
struct reader {
	const uint8_t *data;
	uint32_t bytes;
	bool is_short;
};

static const uint8_t *take(struct reader *reader, uint32_t bytes)
{
	const uint8_t *at = reader->data;

	if (bytes > reader->bytes) {
		reader->is_short = true;
		return NULL;
	}
	reader->data += bytes;
	reader->bytes -= bytes;
	return at;
}

/* The next three: 0 of what is not there. */
static uint8_t take_u8(struct reader *reader)
{
	const uint8_t *at = take(reader, 1);

	return at ? *at : 0;
}

static uint16_t take_le16(struct reader *reader)
{
	const uint8_t *at = take(reader, sizeof(struct le16));
	struct le16 value = {0};

	if (at)
		memcpy(&value, at, sizeof(value));
	return le16_get(value);
}

static uint32_t take_le32(struct reader *reader)
{
	const uint8_t *at = take(reader, sizeof(struct le32));
	struct le32 value = {0};

	if (at)
		memcpy(&value, at, sizeof(value));
	return le32_get(value);
}

static bool has(const struct net_device *net, unsigned feature)
{
	return device_has_feature(net->device.acked, feature);
}

/*
 * Key length and key, with which both commands end. Hashes of some type cannot be without a key.
 * Linux (7.2) sends its struct as the compiler pads it: a byte more than the standard has.
 */
static bool take_key(struct reader *reader, struct net_hashing *hashing)
{
	const uint8_t *key;

	hashing->key_bytes = take_u8(reader);
	key = take(reader, hashing->key_bytes);
	if (reader->is_short || reader->bytes > 1 || hashing->key_bytes > sizeof(hashing->key) ||
	    (hashing->types && !hashing->key_bytes))
		return false;
	memcpy(hashing->key, key, hashing->key_bytes);
	return true;
}

static uint8_t set_pairs(struct net_device *net, struct reader *reader)
{
	struct net_driver_state *state = &net->control->state;
	const uint16_t pairs = take_le16(reader);

	if (!has(net, NET_F_MQ) || reader->is_short || reader->bytes || pairs < 1 ||
	    pairs > net->pairs_max)
		return NET_ERR;
	state->pairs = pairs;
	state->receivers = pairs;
	state->rss = false;
	return NET_OK;
}

/* 5.1.6.5.7.1; queues are numbered by pairs, with the reserved bit zero. */
static uint8_t set_rss(struct net_device *net, struct reader *reader)
{
	struct net_driver_state state = net->control->state;
	uint32_t table_cnt, last;
	uint16_t max_tx_vq;

	if (!has(net, NET_F_RSS))
		return NET_ERR;
	state.rss = true;
	state.hashing = (struct net_hashing){.types = take_le32(reader)};
	table_cnt = take_le16(reader) + 1u;
	state.unclassified = take_le16(reader);
	if (table_cnt & (table_cnt - 1) || table_cnt > NET_RSS_TABLE_MAX)
		return NET_ERR;
	last = state.unclassified;
	memset(state.table, 0, sizeof(state.table));
	for (uint32_t i = 0; i < table_cnt; i++) {
		state.table[i] = take_le16(reader);
		if (state.table[i] > last)
			last = state.table[i];
	}
	state.table_cnt = (uint16_t)table_cnt;
	max_tx_vq = take_le16(reader);
	if (!take_key(reader, &state.hashing) || state.hashing.types & ~HASH_TYPES_ALL ||
	    last >= net->pairs_max || max_tx_vq < 1 || max_tx_vq > net->pairs_max)
		return NET_ERR;
	state.pairs = max_tx_vq;
	state.receivers = last + 1;
	net->control->state = state;
	return NET_OK;
}

/* 5.1.6.5.6.4 */
static uint8_t set_hash(struct net_device *net, struct reader *reader)
{
	struct net_driver_state *state = &net->control->state;
	struct net_hashing hashing = {.types = take_le32(reader)};

	if (!has(net, NET_F_HASH_REPORT) || !take(reader, HASH_RESERVED_BYTES) ||
	    !take_key(reader, &hashing) || hashing.types & ~HASH_TYPES_ALL)
		return NET_ERR;
	state->hashing = hashing;
	/* Receive queues in use stay so; which of them it is, is left to us again. */
	state->rss = false;
	return NET_OK;
}

uint8_t net_control_mq(struct net_device *net, uint8_t number, const uint8_t *data, uint32_t bytes,
		       bool *rules)
{
	struct reader reader = {.data = data, .bytes = bytes};
	uint8_t ack;

	switch (number) {
	case MQ_VQ_PAIRS_SET:
		return set_pairs(net, &reader);
	case MQ_RSS_CONFIG:
		ack = set_rss(net, &reader);
		break;
	case MQ_HASH_CONFIG:
		ack = set_hash(net, &reader);
		break;
	default:
		return NET_ERR;
	}
	*rules = ack == NET_OK && has(net, NET_F_HASH_REPORT);
	return ack;
}
