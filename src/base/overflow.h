/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked arithmetic on sizes that others chose.
 * Each function returns true when the result does not fit; the result is then not to be used.
 */
#ifndef PARIO_BASE_OVERFLOW_H
#define PARIO_BASE_OVERFLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

static inline MUST_CHECK bool overflow_add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
	return __builtin_add_overflow(a, b, sum);
}

static inline MUST_CHECK bool overflow_mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
	return __builtin_mul_overflow(a, b, product);
}

/* Does [start, start + len) lie within [0, limit)? An empty range at the limit does. */
static inline MUST_CHECK bool range_within(uint64_t start, uint64_t len, uint64_t limit)
{
	return start <= limit && len <= limit - start;
}

/* Is v a power of two? Zero is none. */
static inline bool is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* align is a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

#endif
