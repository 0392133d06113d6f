/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pointers into guest memory and the only functions that look through them.
 * Not a translation of addresses (gmem.h).
 *
 * A GUEST pointer is our own address (hva) of memory that the guest may change at any moment. It
 * cannot be dereferenced outside this file: clang refuses with -Wnoderef, sparse with
 * address_space. So each value is loaded once, into a local, and judged there. gcc sees a plain
 * pointer; `make lint` compiles everything with clang.
 */
#ifndef PARIO_GUEST_GPTR_H
#define PARIO_GUEST_GPTR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/le.h"
#include "base/ordering.h"

#if defined(__CHECKER__)
#define GUEST __attribute__((noderef, address_space(1)))
#define GUEST_FORCE __attribute__((force))
#elif defined(__clang__)
#define GUEST __attribute__((noderef))
#define GUEST_FORCE
#else
#define GUEST
#define GUEST_FORCE
#endif

/* From a translated host address to a GUEST pointer and back; only the second opens the door. */
#define gptr_from_hva(type, hva) ((type GUEST *)(GUEST_FORCE uintptr_t)(hva))
#define gptr_to_hva(gptr) ((uintptr_t)(gptr))

/*
 * A fuzzer plays the guest that changes its memory between any two of our loads: it defines
 * gptr_fuzz_hook(), which is then called before each. Programs without one go on without.
 */
#ifdef PARIO_FUZZ_GPTR_HOOK
__attribute__((weak)) void gptr_fuzz_hook(void);
#define GPTR_BEFORE_LOAD()                \
	do {                              \
		if (gptr_fuzz_hook)       \
			gptr_fuzz_hook(); \
	} while (0)
#else
#define GPTR_BEFORE_LOAD() ((void)0)
#endif

static ALWAYS_INLINE uint16_t gptr_load_le16(const struct le16 GUEST *p)
{
	GPTR_BEFORE_LOAD();
	return le16toh(load_relaxed((const uint16_t *)gptr_to_hva(p)));
}

static ALWAYS_INLINE uint16_t gptr_load_le16_acquire(const struct le16 GUEST *p)
{
	GPTR_BEFORE_LOAD();
	return le16toh(load_acquire((const uint16_t *)gptr_to_hva(p)));
}

static ALWAYS_INLINE void gptr_store_le16(struct le16 GUEST *p, uint16_t v)
{
	store_relaxed((uint16_t *)gptr_to_hva(p), htole16(v));
}

static ALWAYS_INLINE void gptr_store_le16_release(struct le16 GUEST *p, uint16_t v)
{
	store_release((uint16_t *)gptr_to_hva(p), htole16(v));
}

static ALWAYS_INLINE uint32_t gptr_load_le32(const struct le32 GUEST *p)
{
	GPTR_BEFORE_LOAD();
	return le32toh(load_relaxed((const uint32_t *)gptr_to_hva(p)));
}

static ALWAYS_INLINE void gptr_store_le32(struct le32 GUEST *p, uint32_t v)
{
	store_relaxed((uint32_t *)gptr_to_hva(p), htole32(v));
}

/* p must be 8-byte aligned: ring structures are, by the checks at queue start. */
static ALWAYS_INLINE uint64_t gptr_load_le64(const struct le64 GUEST *p)
{
	GPTR_BEFORE_LOAD();
	return le64toh(load_relaxed((const uint64_t *)gptr_to_hva(p)));
}

static ALWAYS_INLINE uint64_t gptr_load_le64_acquire(const struct le64 GUEST *p)
{
	GPTR_BEFORE_LOAD();
	return le64toh(load_acquire((const uint64_t *)gptr_to_hva(p)));
}

static ALWAYS_INLINE void gptr_store_le64(struct le64 GUEST *p, uint64_t v)
{
	store_relaxed((uint64_t *)gptr_to_hva(p), htole64(v));
}

static ALWAYS_INLINE void gptr_store_le64_release(struct le64 GUEST *p, uint64_t v)
{
	store_release((uint64_t *)gptr_to_hva(p), htole64(v));
}

/*
 * Copies that may race with the guest: each byte is read once; the compiler may not go back to the
 * source, because the copy is opaque to it past the fence.
 */
static ALWAYS_INLINE void gptr_copy_in(void *dst, const void GUEST *src, size_t len)
{
	GPTR_BEFORE_LOAD();
	memcpy(dst, (const void *)gptr_to_hva(src), len);
	fence_compiler();
}

/* From one guest to another: what is not judged is read here, and nowhere else. */
static ALWAYS_INLINE void gptr_copy(void GUEST *dst, const void GUEST *src, size_t len)
{
	GPTR_BEFORE_LOAD();
	memcpy((void *)gptr_to_hva(dst), (const void *)gptr_to_hva(src), len);
}

static ALWAYS_INLINE void gptr_copy_out(void GUEST *dst, const void *src, size_t len)
{
	memcpy((void *)gptr_to_hva(dst), src, len);
}

#endif
