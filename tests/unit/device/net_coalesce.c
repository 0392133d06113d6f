/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that sets how its calls are coalesced: see net_coalesce.h.
 */
#include "net_coalesce.h"

struct net_rig rig;
struct net_guest *guest;

const struct coalesce_config host = {COALESCE_ADAPTIVE, 64, 100, false};

void begin_with(uint64_t features_off, enum ring_format format)
{
	const struct net_guest_options options = {
		.format = format,
		.pairs = NET_RIG_PAIRS,
		.buffer_bytes = 2048,
		.control = true,
		.features_off = features_off,
		.poll_mode = POLL_MODE_NEVER, /* a worker that polls calls before it sleeps */
		.coalesce = host,
	};

	net_rig_open(&rig, NET_RIG_WORKERS);
	guest = net_rig_guest(&rig, 0, &options);
}

void end(void)
{
	net_rig_close(&rig);
}

/* ---- the driver ---- */

struct answer command(uint8_t class, uint8_t number, const void *data, uint32_t bytes,
		      uint32_t in_bytes)
{
	struct net_guest_queue *queue = &guest->queues[CONTROL];
	const uint16_t token = net_rig_token(guest, CONTROL);
	struct net_buffer *buffer = &queue->buffers[token];
	const uint32_t in_at = 1024;
	const struct ring_seg segs[] = {{buffer->gpa, 2 + bytes}, {buffer->gpa + in_at, in_bytes}};
	struct answer answer;
	struct ring_used used;

	buffer->data[0] = class;
	buffer->data[1] = number;
	if (bytes)
		memcpy(buffer->data + 2, data, bytes);
	memset(buffer->data + in_at, UNTOUCHED, 1024);
	assert_int_equal(net_rig_add(guest, CONTROL, segs, 1, 1, token), 0);
	net_rig_publish(guest, CONTROL);
	net_rig_until(&rig, ring_get_used(queue->ring, &used, 1) == 1);
	assert_int_equal(used.token, token);
	queue->free[queue->free_cnt++] = token;
	answer.used_bytes = used.bytes;
	answer.ack = buffer->data[in_at];
	memcpy(answer.result, buffer->data + in_at + 1, sizeof(answer.result));
	return answer;
}

uint8_t ack_of(uint8_t class, uint8_t number, const void *data, uint32_t bytes)
{
	const struct answer answer = command(class, number, data, bytes, 1);

	assert_int_equal(answer.used_bytes, 1);
	return answer.ack;
}

static void put_le32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_le32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* RX_SET or TX_SET, byte by byte as the standard has it: packets come first. */
uint8_t set_all(uint8_t number, uint32_t packets, uint32_t usecs)
{
	uint8_t data[8];

	put_le32(data, packets);
	put_le32(data + 4, usecs);
	return ack_of(CLASS_NOTF_COAL, number, data, sizeof(data));
}

uint8_t set_one(uint16_t idx, uint32_t packets, uint32_t usecs)
{
	uint8_t data[12] = {(uint8_t)idx, (uint8_t)(idx >> 8), 0xA5, 0x5A /* ignored */};

	put_le32(data + 4, packets);
	put_le32(data + 8, usecs);
	return ack_of(CLASS_NOTF_COAL, VQ_SET, data, sizeof(data));
}

struct answer get_one(uint16_t idx)
{
	const uint8_t data[4] = {(uint8_t)idx, (uint8_t)(idx >> 8), 0x5A, 0xA5 /* ignored */};

	return command(CLASS_NOTF_COAL, VQ_GET, data, sizeof(data), 9);
}

uint8_t set_pairs(uint16_t pairs)
{
	const uint8_t data[2] = {(uint8_t)pairs, (uint8_t)(pairs >> 8)};

	return ack_of(CLASS_MQ, 0, data, sizeof(data));
}

/* ---- what came of it ---- */

void assert_config(const struct coalesce_config *is, const struct coalesce_config *want)
{
	assert_int_equal(is->mode, want->mode);
	assert_int_equal(is->packets, want->packets);
	assert_int_equal(is->usecs, want->usecs);
	assert_int_equal(is->by_guest, want->by_guest);
}

struct coalesce_config in_force(unsigned idx)
{
	struct device_queue_view view;

	assert_true(device_queue_view(guest->device, idx, &view));
	return view.coalesce.config;
}

void assert_set(uint16_t idx, uint32_t packets, uint32_t usecs)
{
	const struct coalesce_config want = {COALESCE_STATIC, packets, usecs, true};
	const struct coalesce_config is = in_force(idx);
	const struct answer answer = get_one(idx);

	assert_config(&is, &want);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 9);
	assert_int_equal(get_le32(answer.result), packets);
	assert_int_equal(get_le32(answer.result + 4), usecs);
	assert_int_equal(answer.result[8], UNTOUCHED);
}

void assert_not_set_but(uint16_t idx, const struct coalesce_config *want)
{
	const struct coalesce_config is = in_force(idx);
	const struct answer answer = get_one(idx);

	assert_config(&is, want);
	assert_int_equal(answer.ack, NET_OK);
	assert_int_equal(answer.used_bytes, 9);
	assert_int_equal(get_le32(answer.result), 0);
	assert_int_equal(get_le32(answer.result + 4), 0);
}

void assert_not_set(uint16_t idx)
{
	assert_not_set_but(idx, &host);
}

void begin(void)
{
	begin_with(0, RING_SPLIT);
	assert_int_equal(set_pairs(NET_RIG_PAIRS), NET_OK);
}
