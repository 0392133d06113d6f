/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts of both ring formats in guest memory, from the VIRTIO specification (1.3, 2.7 and 2.8).
 * Not how a ring is worked (split.c, packed.c).
 */
#ifndef PARIO_VIRTQUEUE_WIRE_H
#define PARIO_VIRTQUEUE_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/le.h"
#include "guest/gptr.h"

/* Descriptor flags, both formats; AVAIL and USED are packed only. */
#define WIRE_DESC_F_NEXT (1u << 0)
#define WIRE_DESC_F_WRITE (1u << 1)
#define WIRE_DESC_F_INDIRECT (1u << 2)
#define WIRE_DESC_F_AVAIL (1u << 7)
#define WIRE_DESC_F_USED (1u << 15)

/*
 * A descriptor, 16 bytes in both formats. What stands in `rest`, from its low bits up:
 *   split   le32 len, le16 flags, le16 next
 *   packed  le32 len, le16 id, le16 flags
 * Two words, so that a descriptor is loaded by two loads and in no other way.
 */
struct wire_desc {
	struct le64 gpa;
	struct le64 rest;
};

static_assert(sizeof(struct wire_desc) == 16, "2.7.5 and 2.8.13");

#define WIRE_DESC_BYTES 16u

/* Our own copy of a descriptor: this is what gets judged. */
struct wire_desc_copy {
	uint64_t gpa;
	uint64_t rest;
};

static ALWAYS_INLINE struct wire_desc_copy wire_desc_load(const struct wire_desc GUEST *desc)
{
	return (struct wire_desc_copy){
		.gpa = gptr_load_le64(&desc->gpa),
		.rest = gptr_load_le64(&desc->rest),
	};
}

static ALWAYS_INLINE uint32_t wire_desc_len(struct wire_desc_copy desc)
{
	return (uint32_t)desc.rest;
}

static ALWAYS_INLINE uint16_t wire_split_flags(struct wire_desc_copy desc)
{
	return (uint16_t)(desc.rest >> 32);
}

static ALWAYS_INLINE uint16_t wire_split_next(struct wire_desc_copy desc)
{
	return (uint16_t)(desc.rest >> 48);
}

static ALWAYS_INLINE uint16_t wire_packed_id(struct wire_desc_copy desc)
{
	return (uint16_t)(desc.rest >> 32);
}

static ALWAYS_INLINE uint16_t wire_packed_flags(struct wire_desc_copy desc)
{
	return (uint16_t)(desc.rest >> 48);
}

/* `rest` of a used descriptor. */
static ALWAYS_INLINE uint64_t wire_packed_rest(uint32_t len, uint16_t id, uint16_t flags)
{
	return (uint64_t)len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

/* Split: driver area, 2.7.6. `size` entries, then le16 used_event. */
#define WIRE_AVAIL_F_NO_INTERRUPT 1u

struct wire_avail {
	struct le16 flags;
	struct le16 idx;
	struct le16 ring[];
};

/* Split: device area, 2.7.8. `size` elements, then le16 avail_event. */
#define WIRE_USED_F_NO_NOTIFY 1u

struct wire_used_elem {
	struct le32 id;
	struct le32 len;
};

struct wire_used {
	struct le16 flags;
	struct le16 idx;
	struct wire_used_elem ring[];
};

static inline uint64_t wire_desc_table_bytes(uint32_t size)
{
	return (uint64_t)size * sizeof(struct wire_desc);
}

static inline uint64_t wire_avail_bytes(uint32_t size)
{
	return sizeof(struct wire_avail) + (uint64_t)size * sizeof(struct le16) +
	       sizeof(struct le16);
}

static inline uint64_t wire_used_bytes(uint32_t size)
{
	return sizeof(struct wire_used) + (uint64_t)size * sizeof(struct wire_used_elem) +
	       sizeof(struct le16);
}

/*
 * Packed: event suppression, driver's and device's alike, 2.8.14. From its low bits up: 15 bits
 * offset, 1 bit wrap counter, 2 bits flags. One word, so that flags and position belong together.
 */
struct wire_event {
	struct le32 word;
};

#define WIRE_EVENT_ENABLE 0u
#define WIRE_EVENT_DISABLE 1u
#define WIRE_EVENT_DESC 2u

/* Position in a packed ring with its wrap counter, as off_wrap and as half a vring base. */
#define WIRE_WRAP_BIT (1u << 15)

static ALWAYS_INLINE uint32_t wire_event_word(uint16_t off_wrap, unsigned flags)
{
	return (uint32_t)off_wrap | (uint32_t)flags << 16;
}

static ALWAYS_INLINE uint16_t wire_event_off_wrap(uint32_t word)
{
	return (uint16_t)word;
}

static ALWAYS_INLINE unsigned wire_event_flags(uint32_t word)
{
	return word >> 16 & 3u;
}

#endif
