/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of a frame's first bytes, whose length is known to be short: faster than a call.
 * Not for payload.
 */
#ifndef PARIO_DEVICE_NET_COPY_H
#define PARIO_DEVICE_NET_COPY_H

#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "guest/gptr.h"

/* A vnet header and an Ethernet header are longer than this. */
#define COPY_SHORT_MIN 16

/* Two copies of a fixed size that overlap as far as they have to. */
#define COPY_ENDS(n)                                                     \
	do {                                                             \
		__builtin_memcpy(to, from, (n));                         \
		__builtin_memcpy(to + len - (n), from + len - (n), (n)); \
	} while (0)

/* At least COPY_SHORT_MIN bytes. */
static ALWAYS_INLINE void copy_short(void *dst, const void *src, size_t len)
{
	unsigned char *to = dst;
	const unsigned char *from = src;

	if (likely(len >= 64 && len <= 128))
		COPY_ENDS(64);
	else if (len > 128)
		memcpy(to, from, len);
	else if (len >= 32)
		COPY_ENDS(32);
	else
		COPY_ENDS(16);
}

/*
 * Out of a guest's memory. Bytes in the middle may be read twice; what counts, and is judged, is
 * what stands in the copy afterwards.
 */
static ALWAYS_INLINE void copy_short_in(void *dst, const void GUEST *src, size_t len)
{
	GPTR_BEFORE_LOAD();
	copy_short(dst, (const void *)gptr_to_hva(src), len);
	fence_compiler();
}

static ALWAYS_INLINE void copy_short_out(void GUEST *dst, const void *src, size_t len)
{
	copy_short((void *)gptr_to_hva(dst), src, len);
}

#undef COPY_ENDS

#endif
