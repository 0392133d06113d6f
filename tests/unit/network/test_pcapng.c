/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks as a reader finds them, and buffers that end. Not what a capture puts into them.
 */
#include "pcapng_reader.h"

#include <string.h>

#include "base/compiler.h"
#include "network/pcapng.h"

static uint8_t bytes[1u << 16];

static struct pcapng_buffer buffer_of(size_t max)
{
	assert_true(max <= sizeof(bytes));
	memset(bytes, 0xee, sizeof(bytes));
	return (struct pcapng_buffer){.bytes = bytes, .max = max};
}

static void put_start(struct pcapng_buffer *buffer)
{
	assert_true(pcapng_put_section(buffer, "test 1"));
	assert_true(pcapng_put_interface(buffer, "vm1", 1000));
}

static void section_is_as_the_format_says(void **state)
{
	static const uint8_t want[] = {
		0x0a, 0x0d, 0x0d, 0x0a, 44,   0,    0,    0,    0x4d, 0x3c, 0x2b, 0x1a, 1, 0,   0,
		0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4,    0,    6,    0, 't', 'e',
		's',  't',  ' ',  '1',  0,    0,    0,    0,    0,    0,    44,   0,    0, 0,
	};
	struct pcapng_buffer buffer = buffer_of(sizeof(bytes));

	(void)state;
	assert_true(pcapng_put_section(&buffer, "test 1"));
	assert_int_equal(buffer.len, sizeof(want));
	assert_memory_equal(bytes, want, sizeof(want));
}

static void packet_is_as_the_format_says(void **state)
{
	static const uint8_t want[] = {
		6,    0,    0,    0,    60,   0,   0, 0, 0, 0,    0,    0,  0x88, 0x77, 0x66,
		0x55, 0x44, 0x33, 0x22, 0x11, 5,   0, 0, 0, 0xea, 0x05, 0,  0,    1,    2,
		3,    4,    5,    0,    0,    0,   2, 0, 4, 0,    2,    0,  0,    0,    1,
		0,    3,    0,    'h',  'e',  'y', 0, 0, 0, 0,    0,    60, 0,    0,    0,
	};
	struct pcapng_buffer buffer = buffer_of(sizeof(bytes));
	const uint8_t data[] = {1, 2, 3, 4, 5};

	(void)state;
	assert_true(pcapng_put_packet(&buffer, &(struct pcapng_packet){
						       .time_ns = 0x5566778811223344,
						       .data = data,
						       .captured_bytes = 5,
						       .original_bytes = 1514,
						       .direction = PCAPNG_OUTBOUND,
						       .comment = "hey",
					       }));
	assert_int_equal(buffer.len, sizeof(want));
	assert_memory_equal(bytes, want, sizeof(want));
}

static void all_that_is_put_is_read(void **state)
{
	struct pcapng_buffer buffer = buffer_of(sizeof(bytes));
	uint8_t data[64];
	struct reader *reader;

	(void)state;
	memset(data, 0x5a, sizeof(data));
	put_start(&buffer);
	for (uint32_t i = 0; i <= sizeof(data); i++)
		assert_true(pcapng_put_packet(&buffer, &(struct pcapng_packet){
							       .time_ns = 1000 + i,
							       .data = data,
							       .captured_bytes = i,
							       .original_bytes = 2 * i,
							       .direction = PCAPNG_INBOUND,
							       .comment = i % 2 ? "odd" : NULL,
						       }));
	assert_true(pcapng_put_statistics(&buffer, &(struct pcapng_statistics){
							   .time_ns = 9,
							   .start_ns = 7ull << 33 | 1,
							   .end_ns = 8ull << 33 | 2,
							   .received = 10,
							   .accepted = 8,
							   .dropped = 3,
							   .delivered = 5,
							   .comment = "over",
						   }));
	reader = reader_new(bytes, buffer.len);
	assert_string_equal(reader->application, "test 1");
	assert_string_equal(reader->name, "vm1");
	assert_int_equal(reader->link_type, 1);
	assert_int_equal(reader->snaplen, 1000);
	assert_int_equal(reader->resolution, 9);
	assert_int_equal(reader->packet_cnt, sizeof(data) + 1);
	for (uint32_t i = 0; i <= sizeof(data); i++) {
		assert_true(reader->packets[i].time_ns == 1000 + i);
		assert_int_equal(reader->packets[i].captured_bytes, i);
		assert_int_equal(reader->packets[i].original_bytes, 2 * i);
		assert_int_equal(reader->packets[i].flags, 1);
		assert_string_equal(reader->packets[i].comment, i % 2 ? "odd" : "");
		assert_memory_equal(reader->packets[i].data, data, i);
	}
	assert_true(reader->start_ns == (7ull << 33 | 1) && reader->end_ns == (8ull << 33 | 2));
	assert_true(reader->received == 10 && reader->accepted == 8);
	assert_true(reader->dropped == 3 && reader->delivered == 5);
	assert_string_equal(reader->totals, "over");
	reader_free(reader);
}

/* With every room there can be: a block is whole, or nothing of it is there. */
static void without_room_nothing_is_put(void **state)
{
	const uint8_t data[] = {1, 2, 3};
	const struct pcapng_packet packet = {.data = data,
					     .captured_bytes = 3,
					     .original_bytes = 3,
					     .direction = PCAPNG_INBOUND,
					     .comment = "c"};
	const struct pcapng_statistics totals = {.comment = "c"};
	struct pcapng_buffer buffer = buffer_of(4096);
	size_t sizes[5];

	(void)state;
	put_start(&buffer);
	sizes[0] = 44;
	sizes[1] = buffer.len;
	assert_true(pcapng_put_packet(&buffer, &packet));
	sizes[2] = buffer.len;
	assert_true(pcapng_put_statistics(&buffer, &totals));
	sizes[3] = buffer.len;
	for (size_t max = 0; max <= sizes[3]; max++) {
		buffer = buffer_of(max);
		assert_int_equal(pcapng_put_section(&buffer, "test 1"), max >= sizes[0]);
		assert_int_equal(buffer.len, max >= sizes[0] ? sizes[0] : 0);
		if (max < sizes[0])
			continue;
		assert_int_equal(pcapng_put_interface(&buffer, "vm1", 1000), max >= sizes[1]);
		assert_int_equal(buffer.len, max >= sizes[1] ? sizes[1] : sizes[0]);
		if (max < sizes[1])
			continue;
		assert_int_equal(pcapng_put_packet(&buffer, &packet), max >= sizes[2]);
		assert_int_equal(buffer.len, max >= sizes[2] ? sizes[2] : sizes[1]);
		if (max < sizes[2])
			continue;
		assert_int_equal(pcapng_put_statistics(&buffer, &totals), max >= sizes[3]);
		assert_int_equal(buffer.len, max >= sizes[3] ? sizes[3] : sizes[2]);
		for (size_t i = max; i < 4096; i++)
			assert_int_equal(bytes[i], 0xee);
	}
}

static void bounds_hold_for_the_longest_texts(void **state)
{
	static char text[2 * PCAPNG_TEXT_BYTES];
	struct pcapng_buffer buffer = buffer_of(4096);
	struct reader *reader;
	size_t before;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	put_start(&buffer);
	before = buffer.len;
	assert_true(pcapng_put_packet(&buffer, &(struct pcapng_packet){.data = "abc",
								       .captured_bytes = 3,
								       .original_bytes = 3,
								       .direction = PCAPNG_INBOUND,
								       .comment = text}));
	assert_true(buffer.len - before - 3 <= PCAPNG_PACKET_BYTES);
	before = buffer.len;
	assert_true(pcapng_put_statistics(&buffer, &(struct pcapng_statistics){.comment = text}));
	assert_true(buffer.len - before <= PCAPNG_STATISTICS_BYTES);
	reader = reader_new(bytes, buffer.len);
	assert_int_equal(strlen(reader->packets[0].comment), PCAPNG_TEXT_BYTES);
	assert_int_equal(strlen(reader->totals), PCAPNG_TEXT_BYTES);
	reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(section_is_as_the_format_says),
		cmocka_unit_test(packet_is_as_the_format_says),
		cmocka_unit_test(all_that_is_put_is_read),
		cmocka_unit_test(without_room_nothing_is_put),
		cmocka_unit_test(bounds_hold_for_the_longest_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
