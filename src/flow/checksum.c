/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum in 64-byte steps.
 * Not a copy: what is summed up and delivered at once is summed up where it is delivered.
 *
 * Words of 32 bits are added in lanes of 64, so that no carry is lost and none has to be looked
 * for; 2^16 is 1 in one's complement, so it is the same sum. Where the data begins at an odd
 * position of the whole, its own sum has its two bytes exchanged (RFC 1071, 2 (B)).
 */
#include "flow/checksum.h"

#include <endian.h>
#include <string.h>

#include "base/compiler.h"
#include "flow/flow_priv.h"

#define STEP_BYTES 64u
/* Even, so that only the last of them can change the parity. */
#define COPY_BYTES 2048u

#define SRH_ROUTING_TYPE 4 /* RFC 8754 */

typedef uint64_t lanes __attribute__((vector_size(32)));

static ALWAYS_INLINE uint64_t add_carry(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	return sum + (sum < b);
}

/* Too small for its lanes to overflow: 2^32 steps. */
static ALWAYS_INLINE uint64_t sum_steps(const uint8_t *data, size_t len)
{
	lanes low = {0}, high = {0}, mask = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};

	for (; len >= STEP_BYTES; data += STEP_BYTES, len -= STEP_BYTES) {
		lanes a, b;

		memcpy(&a, data, sizeof(a));
		memcpy(&b, data + sizeof(a), sizeof(b));
		low += (a & mask) + (b & mask);
		high += (a >> 32) + (b >> 32);
	}
	low += high;
	return add_carry(add_carry(low[0], low[1]), add_carry(low[2], low[3]));
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static NOINLINE uint64_t sum_steps_avx2(const uint8_t *data,
									size_t len)
{
	return sum_steps(data, len);
}
#endif

static NOINLINE uint64_t sum_steps_any(const uint8_t *data, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2"))
		return sum_steps_avx2(data, len);
#endif
	return sum_steps(data, len);
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 32) + (sum & UINT32_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	sum = (sum >> 16) + (sum & UINT16_MAX);
	return (uint16_t)sum;
}

uint64_t checksum_add(uint64_t sum, const void *data, size_t len, bool odd)
{
	const uint8_t *p = data;
	uint64_t own = 0, tail = 0;

	if (len >= STEP_BYTES) {
		own = sum_steps_any(p, len);
		p += len & ~(size_t)(STEP_BYTES - 1);
		len &= STEP_BYTES - 1;
	}
	for (; len >= sizeof(tail); p += sizeof(tail), len -= sizeof(tail))
		own = add_carry(own, raw64_get(p));
	if (len) {
		memcpy(&tail, p, len);
		own = add_carry(own, tail);
	}
	if (odd)
		own = __builtin_bswap16(fold(own));
	return add_carry(sum, own);
}

uint64_t checksum_add_iov(uint64_t sum, struct iov_cursor *cursor, size_t len, bool *odd)
{
	uint8_t copy[COPY_BYTES];

	while (len > 0) {
		size_t want = len < sizeof(copy) ? len : sizeof(copy);
		size_t got = iov_copy_in(cursor, copy, want);

		sum = checksum_add(sum, copy, got, *odd);
		*odd ^= got & 1;
		len -= got;
		if (got < want)
			break;
	}
	return sum;
}

uint16_t checksum_fold(uint64_t sum)
{
	return (uint16_t)~fold(sum);
}

/*
 * Where a routing header has segments left, the destination in the IP header is only the next
 * station, and the pseudo header has the last one (RFC 8200, 8.1; RFC 8754, 2).
 */
static const uint8_t *final_destination(const uint8_t *head, const struct dissection *d)
{
	const uint8_t *ip = head + d->l3_offset;
	unsigned at = d->l3_offset + IPV6_HEADER_BYTES;
	uint8_t proto = ip[IPV6_NEXT_HEADER];

	while (at < d->l4_offset) {
		const uint8_t *extension = head + at;
		unsigned bytes = ipv6_extension_bytes(proto, extension[1]);

		if (proto == IP_PROTO_ROUTING && extension[3] > 0 &&
		    bytes >= IPV6_EXTENSION_BYTES_MIN + IPV6_ADDRESS_BYTES) {
			if (extension[2] == SRH_ROUTING_TYPE)
				return extension + IPV6_EXTENSION_BYTES_MIN;
			return extension + bytes - IPV6_ADDRESS_BYTES;
		}
		proto = extension[0];
		at += bytes;
	}
	return ip + IPV6_DESTINATION;
}

uint64_t checksum_pseudo(const uint8_t *head, const struct dissection *d, uint8_t proto,
			 uint32_t l4_bytes)
{
	const uint8_t *ip = head + d->l3_offset;
	/* The protocol is the last byte of a word; the length is a word or two. */
	uint64_t sum = (uint64_t)htobe32(proto) + htobe32(l4_bytes);

	if (d->l3 == DISSECT_L3_IPV4)
		return checksum_add(sum, ip + IPV4_SOURCE, 8, false);
	sum = checksum_add(sum, ip + IPV6_SOURCE, IPV6_ADDRESS_BYTES, false);
	return checksum_add(sum,
			    d->ipv6_extended ? final_destination(head, d) : ip + IPV6_DESTINATION,
			    IPV6_ADDRESS_BYTES, false);
}
