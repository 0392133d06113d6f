/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user on the wire: request numbers, feature bits and payload layouts, for a back end.
 * Not the rules for them (table.c). Source: QEMU docs/interop/vhost-user.rst. All fields are in the
 * host's byte order. Every struct is a copy of bytes that a front end chose: nothing in it is to be
 * trusted before it was judged.
 */
#ifndef PARIO_VHOST_USER_WIRE_H
#define PARIO_VHOST_USER_WIRE_H

#include <stdint.h>

/* "Front-end message types" */
enum wire_request {
	WIRE_GET_FEATURES = 1,
	WIRE_SET_FEATURES = 2,
	WIRE_SET_OWNER = 3,
	WIRE_RESET_OWNER = 4,
	WIRE_SET_MEM_TABLE = 5,
	WIRE_SET_LOG_BASE = 6,
	WIRE_SET_LOG_FD = 7,
	WIRE_SET_VRING_NUM = 8,
	WIRE_SET_VRING_ADDR = 9,
	WIRE_SET_VRING_BASE = 10,
	WIRE_GET_VRING_BASE = 11,
	WIRE_SET_VRING_KICK = 12,
	WIRE_SET_VRING_CALL = 13,
	WIRE_SET_VRING_ERR = 14,
	WIRE_GET_PROTOCOL_FEATURES = 15,
	WIRE_SET_PROTOCOL_FEATURES = 16,
	WIRE_GET_QUEUE_NUM = 17,
	WIRE_SET_VRING_ENABLE = 18,
	WIRE_SEND_RARP = 19,
	WIRE_NET_SET_MTU = 20,
	WIRE_SET_BACKEND_REQ_FD = 21,
	WIRE_IOTLB_MSG = 22,
	WIRE_SET_VRING_ENDIAN = 23,
	WIRE_GET_CONFIG = 24,
	WIRE_SET_CONFIG = 25,
	WIRE_CREATE_CRYPTO_SESSION = 26,
	WIRE_CLOSE_CRYPTO_SESSION = 27,
	WIRE_POSTCOPY_ADVISE = 28,
	WIRE_POSTCOPY_LISTEN = 29,
	WIRE_POSTCOPY_END = 30,
	WIRE_GET_INFLIGHT_FD = 31,
	WIRE_SET_INFLIGHT_FD = 32,
	WIRE_GPU_SET_SOCKET = 33,
	WIRE_RESET_DEVICE = 34,
	WIRE_VRING_KICK = 35,
	WIRE_GET_MAX_MEM_SLOTS = 36,
	WIRE_ADD_MEM_REG = 37,
	WIRE_REM_MEM_REG = 38,
	WIRE_SET_STATUS = 39,
	WIRE_GET_STATUS = 40,
	WIRE_GET_SHARED_OBJECT = 41,
	WIRE_SET_DEVICE_STATE_FD = 42,
	WIRE_CHECK_DEVICE_STATE = 43,
	WIRE_GET_SHMEM_CONFIG = 44,
	WIRE_GET_VRING_BASE_SKIP_DRAIN = 45,
	WIRE_REQUEST_MAX_,
};

/* "Back-end message types", on the channel of SET_BACKEND_REQ_FD */
enum wire_backend_request {
	WIRE_BACKEND_CONFIG_CHANGE_MSG = 2,
};

/* Bit of the device features that belongs to the protocol: the front end knows bits of 15 and 16 */
#define WIRE_F_PROTOCOL_FEATURES 30

/* "Protocol features" */
enum wire_protocol_feature {
	WIRE_PF_MQ = 0,
	WIRE_PF_LOG_SHMFD = 1,
	WIRE_PF_RARP = 2,
	WIRE_PF_REPLY_ACK = 3,
	WIRE_PF_MTU = 4,
	WIRE_PF_BACKEND_REQ = 5,
	WIRE_PF_CROSS_ENDIAN = 6,
	WIRE_PF_CRYPTO_SESSION = 7,
	WIRE_PF_PAGEFAULT = 8,
	WIRE_PF_CONFIG = 9,
	WIRE_PF_BACKEND_SEND_FD = 10,
	WIRE_PF_HOST_NOTIFIER = 11,
	WIRE_PF_INFLIGHT_SHMFD = 12,
	WIRE_PF_RESET_DEVICE = 13,
	WIRE_PF_INBAND_NOTIFICATIONS = 14,
	WIRE_PF_CONFIGURE_MEM_SLOTS = 15,
	WIRE_PF_STATUS = 16,
	WIRE_PF_XEN_MMAP = 17,
	WIRE_PF_SHARED_OBJECT = 18,
	WIRE_PF_DEVICE_STATE = 19,
	WIRE_PF_GET_VRING_BASE_SKIP_DRAIN = 20,
	WIRE_PF_SHMEM = 21,
	WIRE_PF_MAX_,
};

/* What this back end offers of them for any device; constant, as features_get_protocol() is. */
#define WIRE_PF_BIT(bit) (UINT64_C(1) << (bit))
#define WIRE_PF_OFFERED                                                                 \
	(WIRE_PF_BIT(WIRE_PF_MQ) | WIRE_PF_BIT(WIRE_PF_REPLY_ACK) |                     \
	 WIRE_PF_BIT(WIRE_PF_BACKEND_REQ) | WIRE_PF_BIT(WIRE_PF_CONFIG) |               \
	 WIRE_PF_BIT(WIRE_PF_RESET_DEVICE) | WIRE_PF_BIT(WIRE_PF_CONFIGURE_MEM_SLOTS) | \
	 WIRE_PF_BIT(WIRE_PF_STATUS))

#define WIRE_FLAG_VERSION 0x1u
#define WIRE_FLAG_VERSION_MASK 0x3u
#define WIRE_FLAG_REPLY 0x4u
#define WIRE_FLAG_NEED_REPLY 0x8u
/* A reply's flags are these and no other: QEMU and User-Mode Linux refuse a left-over need_reply */
#define WIRE_FLAGS_OF_REPLY (WIRE_FLAG_VERSION | WIRE_FLAG_REPLY)

struct wire_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};
_Static_assert(sizeof(struct wire_header) == 12, "vhost-user header");

/* SET_VRING_NUM, _BASE, _ENABLE, GET_VRING_BASE */
struct wire_vring_state {
	uint32_t idx;
	uint32_t num;
};
_Static_assert(sizeof(struct wire_vring_state) == 8, "vring state description");

struct wire_vring_location {
	uint32_t idx;
	uint32_t flags; /* bit 0: log writes to the used ring */
	uint64_t desc_uva;
	uint64_t used_uva;
	uint64_t avail_uva;
	uint64_t log_gpa;
};
_Static_assert(sizeof(struct wire_vring_location) == 40, "vring address description");

/* SET_VRING_KICK, _CALL, _ERR: a u64 */
#define WIRE_VRING_IDX_MASK 0xffull
#define WIRE_VRING_NO_FD 0x100ull

struct wire_region {
	uint64_t gpa;
	uint64_t size_bytes;
	uint64_t uva;
	uint64_t mmap_offset_bytes;
};
_Static_assert(sizeof(struct wire_region) == 32, "region");

#define WIRE_MEM_TABLE_MAX 8

struct wire_mem_table {
	uint32_t cnt;
	uint32_t padding;
	struct wire_region regions[WIRE_MEM_TABLE_MAX];
};
_Static_assert(sizeof(struct wire_mem_table) == 264, "memory regions description");

struct wire_mem_reg {
	uint64_t padding;
	struct wire_region region;
};
_Static_assert(sizeof(struct wire_mem_reg) == 40, "single memory region description");

#define WIRE_CONFIG_BYTES_MAX 256

/* Followed by size bytes of config space */
struct wire_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags; /* 0: written by the guest, 1: by live migration */
};
_Static_assert(sizeof(struct wire_config) == 12, "virtio device config space");

#endif
