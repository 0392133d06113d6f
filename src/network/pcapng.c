/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts pcapng blocks together. Not what stands in them.
 */
#include "network/pcapng.h"

#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET 6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHERNET 1

#define OPTION_END 0
#define OPTION_COMMENT 1
#define SHB_USERAPPL 4
#define IF_NAME 2
#define IF_TSRESOL 9
#define EPB_FLAGS 2
#define ISB_STARTTIME 2
#define ISB_ENDTIME 3
#define ISB_IFRECV 4
#define ISB_IFDROP 5
#define ISB_FILTERACCEPT 6
#define ISB_USRDELIV 8

#define TSRESOL_NS 9 /* 10^-9 s */

/* A block that is being put: what does not fit any more makes all of it vanish at the end. */
struct block {
	struct pcapng_buffer *buffer;
	size_t start;
	bool overflow;
};

static void put_bytes(struct block *block, const void *data, size_t len)
{
	static const uint8_t zeros[4];
	struct pcapng_buffer *buffer = block->buffer;
	const size_t pad = -len & 3;

	if (block->overflow || len > buffer->max - buffer->len ||
	    pad > buffer->max - buffer->len - len) {
		block->overflow = true;
		return;
	}
	if (len > 0)
		memcpy(buffer->bytes + buffer->len, data, len);
	memcpy(buffer->bytes + buffer->len + len, zeros, pad);
	buffer->len += len + pad;
}

static void put_u32(struct block *block, uint32_t value)
{
	put_bytes(block, &value, sizeof(value));
}

static void put_time(struct block *block, uint64_t time_ns)
{
	put_u32(block, (uint32_t)(time_ns >> 32));
	put_u32(block, (uint32_t)time_ns);
}

static void put_option(struct block *block, uint16_t code, const void *value, size_t len)
{
	const uint16_t head[2] = {code, (uint16_t)len};

	put_bytes(block, head, sizeof(head));
	put_bytes(block, value, len);
}

static void put_text(struct block *block, uint16_t code, const char *text)
{
	if (text && *text)
		put_option(block, code, text, strnlen(text, PCAPNG_TEXT_BYTES));
}

/* Times in options are two halves, the high one first, whatever the byte order. */
static void put_time_option(struct block *block, uint16_t code, uint64_t time_ns)
{
	const uint32_t halves[2] = {(uint32_t)(time_ns >> 32), (uint32_t)time_ns};

	put_option(block, code, halves, sizeof(halves));
}

static void put_u64_option(struct block *block, uint16_t code, uint64_t value)
{
	put_option(block, code, &value, sizeof(value));
}

static struct block block_begin(struct pcapng_buffer *buffer, uint32_t type)
{
	struct block block = {.buffer = buffer, .start = buffer->len};

	put_u32(&block, type);
	put_u32(&block, 0); /* the length: block_end() */
	return block;
}

static bool block_end(struct block *block)
{
	struct pcapng_buffer *buffer = block->buffer;
	uint32_t total;

	put_option(block, OPTION_END, NULL, 0);
	total = (uint32_t)(buffer->len - block->start + sizeof(total));
	put_u32(block, total);
	if (block->overflow) {
		buffer->len = block->start;
		return false;
	}
	memcpy(buffer->bytes + block->start + 4, &total, sizeof(total));
	return true;
}

bool pcapng_put_section(struct pcapng_buffer *buffer, const char *application)
{
	struct block block = block_begin(buffer, BLOCK_SECTION);
	const uint16_t version[2] = {1, 0};
	const uint64_t length_unknown = UINT64_MAX;

	put_u32(&block, BYTE_ORDER_MAGIC);
	put_bytes(&block, version, sizeof(version));
	put_bytes(&block, &length_unknown, sizeof(length_unknown));
	put_text(&block, SHB_USERAPPL, application);
	return block_end(&block);
}

bool pcapng_put_interface(struct pcapng_buffer *buffer, const char *name, uint32_t snaplen)
{
	struct block block = block_begin(buffer, BLOCK_INTERFACE);
	const uint16_t link[2] = {LINKTYPE_ETHERNET, 0};
	const uint8_t resolution = TSRESOL_NS;

	put_bytes(&block, link, sizeof(link));
	put_u32(&block, snaplen);
	put_text(&block, IF_NAME, name);
	put_option(&block, IF_TSRESOL, &resolution, sizeof(resolution));
	return block_end(&block);
}

bool pcapng_put_packet(struct pcapng_buffer *buffer, const struct pcapng_packet *packet)
{
	struct block block = block_begin(buffer, BLOCK_PACKET);
	const uint32_t flags = packet->direction;

	put_u32(&block, 0); /* the interface */
	put_time(&block, packet->time_ns);
	put_u32(&block, packet->captured_bytes);
	put_u32(&block, packet->original_bytes);
	put_bytes(&block, packet->data, packet->captured_bytes);
	put_option(&block, EPB_FLAGS, &flags, sizeof(flags));
	put_text(&block, OPTION_COMMENT, packet->comment);
	return block_end(&block);
}

bool pcapng_put_statistics(struct pcapng_buffer *buffer, const struct pcapng_statistics *statistics)
{
	struct block block = block_begin(buffer, BLOCK_STATISTICS);

	put_u32(&block, 0); /* the interface */
	put_time(&block, statistics->time_ns);
	put_text(&block, OPTION_COMMENT, statistics->comment);
	put_time_option(&block, ISB_STARTTIME, statistics->start_ns);
	put_time_option(&block, ISB_ENDTIME, statistics->end_ns);
	put_u64_option(&block, ISB_IFRECV, statistics->received);
	put_u64_option(&block, ISB_IFDROP, statistics->dropped);
	put_u64_option(&block, ISB_FILTERACCEPT, statistics->accepted);
	put_u64_option(&block, ISB_USRDELIV, statistics->delivered);
	return block_end(&block);
}
