/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes and small macros that the compiler understands.
 * Not a place for helpers that do something at run time.
 */
#ifndef PARIO_BASE_COMPILER_H
#define PARIO_BASE_COMPILER_H

#include <stddef.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PRINTF_LIKE(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))
#define MUST_CHECK __attribute__((warn_unused_result))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((cold))
#define PURE __attribute__((pure))

/* Two cache lines: adjacent-line prefetch makes pairs of lines travel together on x86. */
#define CACHE_LINE_BYTES 64
#define CACHE_ALIGNED __attribute__((aligned(CACHE_LINE_BYTES)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                         \
	__extension__({                                                         \
		__typeof__(((type *)0)->member) *member_ptr_ = (ptr);           \
		(type *)(void *)((char *)member_ptr_ - offsetof(type, member)); \
	})

#define prefetch_read(p) __builtin_prefetch((p), 0, 3)
#define prefetch_write(p) __builtin_prefetch((p), 1, 3)

#endif
