/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads pcapng as another program would: written from the format's description, not from our
 * writer. Fails the test at whatever a reader could stumble over. Not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_PCAPNG_READER_H
#define PARIO_TESTS_UNIT_NETWORK_PCAPNG_READER_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>

#define READER_BLOCKS_MAX 8192
#define READER_TEXT_BYTES 600

struct reader_packet {
	uint64_t time_ns;
	const uint8_t *data; /* in reader.bytes */
	uint32_t captured_bytes;
	uint32_t original_bytes;
	uint32_t flags; /* epb_flags; 0: not given */
	char comment[READER_TEXT_BYTES];
};

struct reader {
	uint8_t *bytes;
	size_t len;
	/* section */
	char application[READER_TEXT_BYTES];
	/* interface */
	char name[READER_TEXT_BYTES];
	uint16_t link_type;
	uint32_t snaplen;
	uint8_t resolution;
	/* packets */
	struct reader_packet packets[READER_BLOCKS_MAX];
	unsigned packet_cnt;
	/* statistics */
	bool has_statistics;
	uint64_t start_ns, end_ns;
	uint64_t received, dropped, accepted, delivered;
	char totals[READER_TEXT_BYTES];
};

/* The bytes are copied. */
struct reader *reader_new(const void *bytes, size_t len);
struct reader *reader_open(const char *path);
void reader_free(struct reader *reader);

#endif
