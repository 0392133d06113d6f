/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader of pcapng files with one section and one interface. Not a test.
 */
#include "pcapng_reader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t u32_at(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint16_t u16_at(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t u64_at(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* "Two 4-octet words: the high one first." */
static uint64_t time_at(const uint8_t *at)
{
	return (uint64_t)u32_at(at) << 32 | u32_at(at + 4);
}

static void take_text(char text[READER_TEXT_BYTES], const uint8_t *value, uint16_t len)
{
	assert_true(len < READER_TEXT_BYTES);
	assert_int_equal(text[0], 0); /* once */
	memcpy(text, value, len);
	text[len] = '\0';
}

typedef void option_fn(struct reader *reader, uint16_t code, const uint8_t *value, uint16_t len);

/* What is left of a block's body is its options. */
static void read_options(struct reader *reader, const uint8_t *at, const uint8_t *end,
			 option_fn *take)
{
	bool ended = false;

	while (at < end) {
		uint16_t code, len;

		assert_true(end - at >= 4);
		assert_false(ended);
		code = u16_at(at);
		len = u16_at(at + 2);
		at += 4;
		assert_true(end - at >= ((len + 3) & ~3));
		if (code == 0)
			ended = true;
		else
			take(reader, code, at, len);
		for (unsigned i = len; i < ((len + 3u) & ~3u); i++)
			assert_int_equal(at[i], 0);
		at += (len + 3) & ~3;
	}
	assert_ptr_equal(at, end);
}

static void section_option(struct reader *reader, uint16_t code, const uint8_t *value, uint16_t len)
{
	assert_int_equal(code, 4);
	take_text(reader->application, value, len);
}

static void interface_option(struct reader *reader, uint16_t code, const uint8_t *value,
			     uint16_t len)
{
	if (code == 2) {
		take_text(reader->name, value, len);
	} else {
		assert_int_equal(code, 9);
		assert_int_equal(len, 1);
		reader->resolution = value[0];
	}
}

static void packet_option(struct reader *reader, uint16_t code, const uint8_t *value, uint16_t len)
{
	struct reader_packet *packet = &reader->packets[reader->packet_cnt];

	if (code == 1) {
		take_text(packet->comment, value, len);
	} else {
		assert_int_equal(code, 2);
		assert_int_equal(len, 4);
		packet->flags = u32_at(value);
	}
}

static void statistics_option(struct reader *reader, uint16_t code, const uint8_t *value,
			      uint16_t len)
{
	if (code == 1) {
		take_text(reader->totals, value, len);
		return;
	}
	assert_int_equal(len, 8);
	switch (code) {
	case 2:
		reader->start_ns = time_at(value);
		break;
	case 3:
		reader->end_ns = time_at(value);
		break;
	case 4:
		reader->received = u64_at(value);
		break;
	case 5:
		reader->dropped = u64_at(value);
		break;
	case 6:
		reader->accepted = u64_at(value);
		break;
	case 8:
		reader->delivered = u64_at(value);
		break;
	default:
		fail_msg("option %u in a statistics block", code);
	}
}

static void read_section(struct reader *reader, const uint8_t *body, const uint8_t *end)
{
	assert_int_equal(u32_at(body), 0x1a2b3c4d);
	assert_int_equal(u16_at(body + 4), 1);
	assert_int_equal(u16_at(body + 6), 0);
	assert_true(u64_at(body + 8) == UINT64_MAX);
	read_options(reader, body + 16, end, section_option);
}

static void read_interface(struct reader *reader, const uint8_t *body, const uint8_t *end)
{
	reader->link_type = u16_at(body);
	assert_int_equal(u16_at(body + 2), 0);
	reader->snaplen = u32_at(body + 4);
	read_options(reader, body + 8, end, interface_option);
}

static void read_packet(struct reader *reader, const uint8_t *body, const uint8_t *end)
{
	struct reader_packet *packet = &reader->packets[reader->packet_cnt];

	assert_true(reader->packet_cnt < READER_BLOCKS_MAX);
	assert_int_equal(u32_at(body), 0);
	packet->time_ns = time_at(body + 4);
	packet->captured_bytes = u32_at(body + 12);
	packet->original_bytes = u32_at(body + 16);
	packet->data = body + 20;
	assert_true(packet->captured_bytes <= packet->original_bytes);
	assert_true(packet->captured_bytes <= reader->snaplen);
	assert_true(packet->captured_bytes <= end - packet->data);
	read_options(reader, packet->data + ((packet->captured_bytes + 3) & ~3u), end,
		     packet_option);
	reader->packet_cnt++;
}

static void read_statistics(struct reader *reader, const uint8_t *body, const uint8_t *end)
{
	assert_false(reader->has_statistics);
	reader->has_statistics = true;
	assert_int_equal(u32_at(body), 0);
	read_options(reader, body + 12, end, statistics_option);
}

static void read_block(struct reader *reader, unsigned idx, uint32_t type, const uint8_t *body,
		       const uint8_t *end)
{
	assert_int_equal(type == 0x0a0d0d0a, idx == 0);
	assert_int_equal(type == 1, idx == 1);
	assert_false(reader->has_statistics); /* it is the last */
	switch (type) {
	case 0x0a0d0d0a:
		read_section(reader, body, end);
		break;
	case 1:
		read_interface(reader, body, end);
		break;
	case 6:
		read_packet(reader, body, end);
		break;
	case 5:
		read_statistics(reader, body, end);
		break;
	default:
		fail_msg("block %u is of type %u", idx, type);
	}
}

struct reader *reader_new(const void *bytes, size_t len)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	const uint8_t *at, *end;

	assert_non_null(reader);
	reader->bytes = malloc(len + 1);
	assert_non_null(reader->bytes);
	memcpy(reader->bytes, bytes, len);
	reader->len = len;
	at = reader->bytes;
	end = at + len;
	for (unsigned i = 0; at < end; i++) {
		uint32_t total;

		assert_true(end - at >= 12);
		total = u32_at(at + 4);
		assert_int_equal(total % 4, 0);
		assert_true(total >= 12 && total <= (size_t)(end - at));
		assert_int_equal(u32_at(at + total - 4), total);
		read_block(reader, i, u32_at(at), at + 8, at + total - 4);
		at += total;
	}
	return reader;
}

struct reader *reader_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct reader *reader;
	struct stat st;
	uint8_t *bytes;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	reader = reader_new(bytes, (size_t)st.st_size);
	free(bytes);
	return reader;
}

void reader_free(struct reader *reader)
{
	free(reader->bytes);
	free(reader);
}
