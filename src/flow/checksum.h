/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Internet checksum (RFC 1071), over our own bytes and over guest memory.
 * Not which frames need one.
 *
 * A sum is a 32-bit or 64-bit one's complement sum in the byte order of memory; it can be added to
 * and is folded at the end.
 */
#ifndef PARIO_FLOW_CHECKSUM_H
#define PARIO_FLOW_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/dissect.h"
#include "guest/iov.h"

/* Adds len bytes. odd: the bytes before them were odd in number (of a sum that goes on). */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len, bool odd);
/*
 * The same of the next len bytes at the cursor (fewer if it ends before), which moves on; each byte
 * of guest memory is read once. *odd is carried from call to call.
 */
uint64_t checksum_add_iov(uint64_t sum, struct iov_cursor *cursor, size_t len, bool *odd);
/*
 * Folded to 16 bits and complemented: what is stored in a header (memory order), but that UDP
 * stores 0xffff for 0. 0: the sum was of data with a right checksum in it. Of a partial checksum
 * the field holds the complement of this.
 */
uint16_t checksum_fold(uint64_t sum);
/*
 * Sum of the pseudo header of the IP header at d->l3_offset, for l4_bytes of the protocol: not
 * folded, not complemented. d->l3 is not OTHER.
 */
uint64_t checksum_pseudo(const uint8_t *head, const struct dissection *d, uint8_t proto,
			 uint32_t l4_bytes);

#endif
