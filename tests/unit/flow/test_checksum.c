/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums against the slow definition: lengths, alignments, odd pieces, cuts, carries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "flow/checksum.h"
#include "frames.h"

#define LARGE_BYTES 70001u

/* As a number, not complemented: what frames_slow_fold() gives. */
static uint16_t folded(uint64_t sum)
{
	return ntohs((uint16_t)~checksum_fold(sum));
}

/* A copy of its own size at that distance from an aligned address, so that ASan sees both ends. */
static uint8_t *exact_copy(const uint8_t *data, size_t len, size_t distance, uint8_t **block)
{
	*block = malloc(len + distance + !(len + distance));
	assert_non_null(*block);
	memcpy(*block + distance, data, len);
	return *block + distance;
}

static void test_every_length_and_alignment(void **state)
{
	uint8_t data[400];
	uint64_t seed = 1;

	(void)state;
	frames_random(data, sizeof(data), &seed);
	for (size_t len = 0; len <= 300; len++) {
		for (size_t distance = 0; distance < 8; distance++) {
			uint8_t *block, *p = exact_copy(data, len, distance, &block);

			for (int odd = 0; odd < 2; odd++)
				assert_int_equal(folded(checksum_add(0, p, len, odd)),
						 frames_slow_fold(frames_slow_sum(0, p, len, odd)));
			free(block);
		}
	}
}

static void test_known(void **state)
{
	/* RFC 1071, 3. */
	static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	(void)state;
	assert_int_equal(folded(checksum_add(0, data, sizeof(data), false)), 0xddf2);
	assert_int_equal(ntohs(checksum_fold(checksum_add(0, data, sizeof(data), false))), 0x220d);
	assert_int_equal(checksum_fold(0), 0xffff);
}

/* All the carries that there can be, into sums that are about to overflow. */
static void test_carries(void **state)
{
	static const uint64_t starts[] = {0, 1, 0xffff, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
	uint8_t *data = malloc(LARGE_BYTES);

	(void)state;
	assert_non_null(data);
	memset(data, 0xff, LARGE_BYTES);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		uint16_t start = ntohs((uint16_t)~checksum_fold(starts[i]));

		for (size_t len = LARGE_BYTES - 66; len <= LARGE_BYTES; len++) {
			uint64_t want = frames_slow_sum(start, data, len, false);

			assert_int_equal(folded(checksum_add(starts[i], data, len, false)),
					 frames_slow_fold(want));
		}
	}
	free(data);
}

static void test_pieces_go_on(void **state)
{
	uint64_t seed = 2;
	uint8_t *data = malloc(LARGE_BYTES);

	(void)state;
	assert_non_null(data);
	frames_random(data, LARGE_BYTES, &seed);
	for (unsigned round = 0; round < 200; round++) {
		size_t done = 0, len;
		uint64_t sum = 0;
		uint8_t r[3];

		frames_random(r, sizeof(r), &seed);
		len = frames_be16(r) % (round < 100 ? 500 : LARGE_BYTES);
		while (done < len) {
			size_t n;

			frames_random(r, sizeof(r), &seed);
			n = r[0] < 128 ? r[1] % 9 : frames_be16(r + 1) % 3000;
			n = n < len - done ? n : len - done;
			sum = checksum_add(sum, data + done, n, done % 2);
			done += n;
		}
		assert_int_equal(folded(sum),
				 frames_slow_fold(frames_slow_sum(0, data, len, false)));
	}
	free(data);
}

#define ENTRIES 24

/* Entries of any length, none included, each in memory of its own size. */
static size_t make_entries(struct iovec *iov, const uint8_t *data, size_t len, uint64_t *seed)
{
	size_t done = 0;

	for (unsigned i = 0; i < ENTRIES; i++) {
		uint8_t r[3];
		size_t n;

		frames_random(r, sizeof(r), seed);
		n = r[0] < 100 ? r[1] % 5 : frames_be16(r + 1) % 5000;
		n = n < len - done ? n : len - done;
		iov[i].iov_base = malloc(n + !n);
		assert_non_null(iov[i].iov_base);
		memcpy(iov[i].iov_base, data + done, n);
		iov[i].iov_len = n;
		done += n;
	}
	return done;
}

static void test_cursor(void **state)
{
	uint64_t seed = 3;
	uint8_t *data = malloc(LARGE_BYTES);

	(void)state;
	assert_non_null(data);
	frames_random(data, LARGE_BYTES, &seed);
	for (unsigned round = 0; round < 200; round++) {
		struct iovec iov[ENTRIES];
		size_t len = make_entries(iov, data, LARGE_BYTES, &seed), done = 0;
		struct iov_cursor cursor;
		uint64_t sum = 0, want = 0;
		bool odd = false;

		iov_cursor_init(&cursor, iov, ENTRIES);
		while (done < len) {
			uint8_t r[2];
			size_t n;

			frames_random(r, sizeof(r), &seed);
			n = frames_be16(r) % (round % 2 ? 17 : 9000);
			sum = checksum_add_iov(sum, &cursor, n, &odd);
			n = n < len - done ? n : len - done;
			want = frames_slow_sum(want, data + done, n, done % 2);
			done += n;
			assert_int_equal(odd, done % 2);
			assert_int_equal(folded(sum), frames_slow_fold(want));
		}
		/* The end is the end. */
		assert_true(checksum_add_iov(sum, &cursor, 4096, &odd) == sum);
		for (unsigned i = 0; i < ENTRIES; i++)
			free(iov[i].iov_base);
	}
	free(data);
}

static uint64_t slow_pseudo(const uint8_t *from, const uint8_t *to, unsigned bytes, uint8_t proto,
			    uint32_t l4_bytes)
{
	uint64_t sum = frames_slow_sum(0, from, bytes, false);

	return frames_slow_sum(sum, to, bytes, false) + proto + (l4_bytes >> 16) +
	       (l4_bytes & 0xffff);
}

static void test_pseudo(void **state)
{
	/* to: where the final destination is, from the IP header or the extension header on. */
	static const struct {
		const char *layers;
		bool in_extension;
		unsigned to;
	} rows[] = {
		{"ip4 tcp", false, 16},         {"vlan ip4opt udp", false, 16},
		{"ip6 tcp", false, 24},         {"qinq vlan ip6 udp", false, 24},
		{"ip6 hbh dst udp", false, 24}, {"ip6 rt udp", false, 24},
		{"ip6 rt0 udp", true, 24},      {"ip6 srh udp", true, 8},
		{"ip6 frag udp", false, 24},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static const uint32_t lengths[] = {0, 8, 1480, 65535, 65536, 0x12345678};
		struct dissection d;
		struct frames_head f;
		const uint8_t *to, *from;

		frames_build(&f, rows[i].layers, 100);
		dissect(f.bytes, f.len, &d);
		to = f.bytes + (rows[i].in_extension ? f.ext[0] : f.l3) + rows[i].to;
		from = f.bytes + f.l3 + (f.ipv6 ? 8 : 12);
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
			assert_int_equal(folded(checksum_pseudo(f.bytes, &d, 17, lengths[k])),
					 frames_slow_fold(slow_pseudo(from, to, f.ipv6 ? 16 : 4, 17,
								      lengths[k])));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length_and_alignment),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_carries),
		cmocka_unit_test(test_pieces_go_on),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_pseudo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
