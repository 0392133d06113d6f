/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the message table, and the one function that holds a message against its row.
 * Not the handlers.
 */
#include "vhost_user/table_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/compiler.h"

#define NO_FEATURE (-1)

/* A request of a feature that is never offered: only its name and its reply matter. */
#define UNSUPPORTED(title, need, answer)                                                          \
	{                                                                                         \
		.name = (title), .feature = (need), .reply = (answer), .failure = FAILURE_IGNORED \
	}

/* Payload sizes: exact. */
#define BYTES(n) .payload_min = (n), .payload_max = (n)
#define FDS(min, max) .fds_min = (min), .fds_max = (max)

/* A front end may set more room for config space aside than it asks for (SPDK: always 256). */
#define CONFIG_BYTES                               \
	.payload_min = sizeof(struct wire_config), \
	.payload_max = sizeof(struct wire_config) + WIRE_CONFIG_BYTES_MAX

static const struct request_row table_rows[] = {
	[WIRE_GET_FEATURES] = {.name = "GET_FEATURES",
			       .handle = features_get,
			       .phases = PHASE_ANY,
			       .feature = NO_FEATURE,
			       .reply = REPLY_OWN},
	/* While a ring runs only the same set again: the handler sees to it. */
	[WIRE_SET_FEATURES] = {.name = "SET_FEATURES",
			       .handle = features_set,
			       BYTES(8),
			       .phases = PHASE_ANY,
			       .feature = NO_FEATURE,
			       .rings = RINGS_IDLE_QUIESCE},
	[WIRE_SET_OWNER] = {.name = "SET_OWNER",
			    .handle = features_set_owner,
			    .phases = PHASE_ANY,
			    .feature = NO_FEATURE},
	[WIRE_RESET_OWNER] = {.name = "RESET_OWNER",
			      .handle = features_reset_owner,
			      .phases = PHASE_ANY,
			      .feature = NO_FEATURE,
			      .rings = RINGS_ALL_QUIESCE},
	/* May be longer than its regions: User-Mode Linux always sends room for two. */
	[WIRE_SET_MEM_TABLE] = {.name = "SET_MEM_TABLE",
				.handle = memory_set_table,
				.payload_min = 8,
				.payload_max = sizeof(struct wire_mem_table),
				FDS(0, WIRE_MEM_TABLE_MAX),
				.phases = PHASE_ANY,
				.feature = NO_FEATURE},
	[WIRE_SET_LOG_BASE] = UNSUPPORTED("SET_LOG_BASE", WIRE_PF_LOG_SHMFD, REPLY_ACK),
	[WIRE_SET_LOG_FD] = UNSUPPORTED("SET_LOG_FD", WIRE_PF_LOG_SHMFD, REPLY_ACK),
	[WIRE_SET_VRING_NUM] = {.name = "SET_VRING_NUM",
				.handle = vring_set_size,
				BYTES(sizeof(struct wire_vring_state)),
				.phases = PHASE_ANY,
				.feature = NO_FEATURE,
				.ring = RING_FIELD_STATE,
				.rings = RINGS_NAMED_IDLE},
	[WIRE_SET_VRING_ADDR] = {.name = "SET_VRING_ADDR",
				 .handle = vring_set_location,
				 BYTES(sizeof(struct wire_vring_location)),
				 .phases = PHASE_ANY,
				 .feature = NO_FEATURE,
				 .ring = RING_FIELD_STATE,
				 .rings = RINGS_NAMED_QUIESCE},
	[WIRE_SET_VRING_BASE] = {.name = "SET_VRING_BASE",
				 .handle = vring_set_base,
				 BYTES(sizeof(struct wire_vring_state)),
				 .phases = PHASE_ANY,
				 .feature = NO_FEATURE,
				 .ring = RING_FIELD_STATE,
				 .rings = RINGS_NAMED_IDLE},
	[WIRE_GET_VRING_BASE] = {.name = "GET_VRING_BASE",
				 .handle = vring_get_base,
				 BYTES(sizeof(struct wire_vring_state)),
				 .phases = PHASE_ANY,
				 .feature = NO_FEATURE,
				 .reply = REPLY_OWN,
				 .ring = RING_FIELD_STATE,
				 .rings = RINGS_NAMED_QUIESCE},
	[WIRE_SET_VRING_KICK] = {.name = "SET_VRING_KICK",
				 .handle = vring_set_kick,
				 BYTES(8),
				 FDS(0, 1),
				 .phases = PHASE_ANY,
				 .feature = NO_FEATURE,
				 .ring = RING_FIELD_FD,
				 .rings = RINGS_NAMED_QUIESCE},
	[WIRE_SET_VRING_CALL] = {.name = "SET_VRING_CALL",
				 .handle = vring_set_call,
				 BYTES(8),
				 FDS(0, 1),
				 .phases = PHASE_ANY,
				 .feature = NO_FEATURE,
				 .ring = RING_FIELD_FD},
	[WIRE_SET_VRING_ERR] = {.name = "SET_VRING_ERR",
				.handle = vring_set_err,
				BYTES(8),
				FDS(0, 1),
				.phases = PHASE_ANY,
				.feature = NO_FEATURE,
				.ring = RING_FIELD_FD},
	[WIRE_GET_PROTOCOL_FEATURES] = {.name = "GET_PROTOCOL_FEATURES",
					.handle = features_get_protocol,
					.phases = PHASE_ANY,
					.feature = NO_FEATURE,
					.reply = REPLY_OWN},
	[WIRE_SET_PROTOCOL_FEATURES] = {.name = "SET_PROTOCOL_FEATURES",
					.handle = features_set_protocol,
					BYTES(8),
					.phases = PHASE_IDLE,
					.feature = NO_FEATURE},
	/* MQ is what says that it may be asked; the answer is the same without. */
	[WIRE_GET_QUEUE_NUM] = {.name = "GET_QUEUE_NUM",
				.handle = features_get_queue_cnt,
				.phases = PHASE_ANY,
				.feature = NO_FEATURE,
				.reply = REPLY_OWN},
	/* 0 stops the ring by its state. Also before bit 30 is acknowledged: it is remembered. */
	[WIRE_SET_VRING_ENABLE] = {.name = "SET_VRING_ENABLE",
				   .handle = vring_set_enable,
				   BYTES(sizeof(struct wire_vring_state)),
				   .phases = PHASE_ANY,
				   .feature = NO_FEATURE,
				   .ring = RING_FIELD_STATE},
	/* Offered for devices that take it; refused, others learn where the guest is by its frames.
	 */
	[WIRE_SEND_RARP] = {.name = "SEND_RARP",
			    .handle = features_send_rarp,
			    BYTES(8),
			    .phases = PHASE_ANY,
			    .feature = WIRE_PF_RARP,
			    .failure = FAILURE_IGNORED},
	/* Refused, the MTU stays what it was, which is no reason to cut a guest off. */
	[WIRE_NET_SET_MTU] = {.name = "NET_SET_MTU",
			      .handle = features_set_mtu,
			      BYTES(8),
			      .phases = PHASE_ANY,
			      .feature = WIRE_PF_MTU,
			      .failure = FAILURE_IGNORED},
	/* Refused, it only means that config changes are not heard of. */
	[WIRE_SET_BACKEND_REQ_FD] = {.name = "SET_BACKEND_REQ_FD",
				     .handle = backchannel_set,
				     FDS(1, 1),
				     .phases = PHASE_ANY,
				     .feature = WIRE_PF_BACKEND_REQ,
				     .failure = FAILURE_IGNORED},
	[WIRE_IOTLB_MSG] = UNSUPPORTED("IOTLB_MSG", NO_FEATURE, REPLY_OWN),
	[WIRE_SET_VRING_ENDIAN] = UNSUPPORTED("SET_VRING_ENDIAN", WIRE_PF_CROSS_ENDIAN, REPLY_ACK),
	[WIRE_GET_CONFIG] = {.name = "GET_CONFIG",
			     .handle = config_get,
			     CONFIG_BYTES,
			     .phases = PHASE_ANY,
			     .feature = WIRE_PF_CONFIG,
			     .reply = REPLY_OWN},
	/* The guest chose the write; it may not cut its own disk off with it. */
	[WIRE_SET_CONFIG] = {.name = "SET_CONFIG",
			     .handle = config_set,
			     CONFIG_BYTES,
			     .phases = PHASE_ANY,
			     .feature = WIRE_PF_CONFIG,
			     .failure = FAILURE_IGNORED},
	[WIRE_CREATE_CRYPTO_SESSION] =
		UNSUPPORTED("CREATE_CRYPTO_SESSION", WIRE_PF_CRYPTO_SESSION, REPLY_OWN),
	[WIRE_CLOSE_CRYPTO_SESSION] =
		UNSUPPORTED("CLOSE_CRYPTO_SESSION", WIRE_PF_CRYPTO_SESSION, REPLY_ACK),
	[WIRE_POSTCOPY_ADVISE] = UNSUPPORTED("POSTCOPY_ADVISE", WIRE_PF_PAGEFAULT, REPLY_OWN),
	[WIRE_POSTCOPY_LISTEN] = UNSUPPORTED("POSTCOPY_LISTEN", WIRE_PF_PAGEFAULT, REPLY_ACK),
	[WIRE_POSTCOPY_END] = UNSUPPORTED("POSTCOPY_END", WIRE_PF_PAGEFAULT, REPLY_OWN),
	[WIRE_GET_INFLIGHT_FD] = UNSUPPORTED("GET_INFLIGHT_FD", WIRE_PF_INFLIGHT_SHMFD, REPLY_OWN),
	[WIRE_SET_INFLIGHT_FD] = UNSUPPORTED("SET_INFLIGHT_FD", WIRE_PF_INFLIGHT_SHMFD, REPLY_ACK),
	[WIRE_GPU_SET_SOCKET] = UNSUPPORTED("GPU_SET_SOCKET", NO_FEATURE, REPLY_ACK),
	[WIRE_RESET_DEVICE] = {.name = "RESET_DEVICE",
			       .handle = features_reset_device,
			       .phases = PHASE_ANY,
			       .feature = WIRE_PF_RESET_DEVICE,
			       .rings = RINGS_ALL_QUIESCE},
	[WIRE_VRING_KICK] = UNSUPPORTED("VRING_KICK", WIRE_PF_INBAND_NOTIFICATIONS, REPLY_ACK),
	[WIRE_GET_MAX_MEM_SLOTS] = {.name = "GET_MAX_MEM_SLOTS",
				    .handle = memory_get_slots,
				    .phases = PHASE_ANY,
				    .feature = WIRE_PF_CONFIGURE_MEM_SLOTS,
				    .reply = REPLY_OWN},
	[WIRE_ADD_MEM_REG] = {.name = "ADD_MEM_REG",
			      .handle = memory_add,
			      BYTES(sizeof(struct wire_mem_reg)),
			      FDS(1, 1),
			      .phases = PHASE_ANY,
			      .feature = WIRE_PF_CONFIGURE_MEM_SLOTS},
	/* Old front ends send the region's descriptor along: closed unseen. A region that is not
	 * there is not there afterwards either. */
	[WIRE_REM_MEM_REG] = {.name = "REM_MEM_REG",
			      .handle = memory_remove,
			      BYTES(sizeof(struct wire_mem_reg)),
			      FDS(0, 1),
			      .phases = PHASE_ANY,
			      .feature = WIRE_PF_CONFIGURE_MEM_SLOTS,
			      .failure = FAILURE_IGNORED},
	/* 0 stops all rings by their state. */
	[WIRE_SET_STATUS] = {.name = "SET_STATUS",
			     .handle = features_set_status,
			     BYTES(8),
			     .phases = PHASE_ANY,
			     .feature = WIRE_PF_STATUS,
			     .failure = FAILURE_IGNORED},
	[WIRE_GET_STATUS] = {.name = "GET_STATUS",
			     .handle = features_get_status,
			     .phases = PHASE_ANY,
			     .feature = WIRE_PF_STATUS,
			     .reply = REPLY_OWN},
	[WIRE_GET_SHARED_OBJECT] =
		UNSUPPORTED("GET_SHARED_OBJECT", WIRE_PF_SHARED_OBJECT, REPLY_OWN),
	[WIRE_SET_DEVICE_STATE_FD] =
		UNSUPPORTED("SET_DEVICE_STATE_FD", WIRE_PF_DEVICE_STATE, REPLY_OWN),
	[WIRE_CHECK_DEVICE_STATE] =
		UNSUPPORTED("CHECK_DEVICE_STATE", WIRE_PF_DEVICE_STATE, REPLY_OWN),
	[WIRE_GET_SHMEM_CONFIG] = UNSUPPORTED("GET_SHMEM_CONFIG", WIRE_PF_SHMEM, REPLY_OWN),
	[WIRE_GET_VRING_BASE_SKIP_DRAIN] = UNSUPPORTED(
		"GET_VRING_BASE_SKIP_DRAIN", WIRE_PF_GET_VRING_BASE_SKIP_DRAIN, REPLY_OWN),
};
_Static_assert(ARRAY_LEN(table_rows) == WIRE_REQUEST_MAX_, "a row for each request");

const struct request_row *table_row(uint32_t request)
{
	if (request >= ARRAY_LEN(table_rows) || !table_rows[request].name)
		return NULL;
	return &table_rows[request];
}

static bool table_payload_fits(const struct request_row *row, const struct message *m,
			       struct err *err)
{
	if (m->header.size >= row->payload_min && m->header.size <= row->payload_max)
		return true;
	if (row->payload_min == row->payload_max)
		err_set(err, EINVAL, "payload of %u bytes, must be %u", m->header.size,
			row->payload_min);
	else
		err_set(err, EINVAL, "payload of %u bytes, must be %u to %u", m->header.size,
			row->payload_min, row->payload_max);
	return false;
}

static bool table_fds_fit(const struct request_row *row, const struct message *m, struct err *err)
{
	if (m->fds_lost) {
		err_set(err, EINVAL,
			"descriptors were lost: more than %u came, or this process is at its limit "
			"of open files",
			MESSAGE_FDS_MAX);
		return false;
	}
	if (m->fd_cnt >= row->fds_min && m->fd_cnt <= row->fds_max)
		return true;
	if (row->fds_min == row->fds_max)
		err_set(err, EINVAL, "%u descriptors came with it, must be %u", m->fd_cnt,
			row->fds_min);
	else
		err_set(err, EINVAL, "%u descriptors came with it, must be %u to %u", m->fd_cnt,
			row->fds_min, row->fds_max);
	return false;
}

/* The index is judged in its full width, before anything narrower is made of it. */
static bool table_find_ring(const struct request_row *row, const struct message *m,
			    unsigned queue_max, unsigned *ring, struct err *err)
{
	struct wire_vring_state state;
	uint64_t word, idx;

	if (row->ring == RING_FIELD_STATE) {
		message_copy(m, &state, sizeof(state));
		idx = state.idx;
	} else {
		word = message_u64(m);
		idx = word & WIRE_VRING_IDX_MASK;
		if (word & ~(WIRE_VRING_IDX_MASK | WIRE_VRING_NO_FD)) {
			err_set(err, EINVAL, "0x%" PRIx64 " has bits beyond ring and no-descriptor",
				word);
			return false;
		}
		if (!!(word & WIRE_VRING_NO_FD) == (m->fd_cnt > 0)) {
			err_set(err, EINVAL, "ring %" PRIu64 ": bit 8 says %s, %u came", idx,
				word & WIRE_VRING_NO_FD ? "no descriptor" : "a descriptor",
				m->fd_cnt);
			return false;
		}
	}
	if (idx >= queue_max) {
		err_set(err, EINVAL, "ring %" PRIu64 " does not exist, there are %u", idx,
			queue_max);
		return false;
	}
	*ring = (unsigned)idx;
	return true;
}

enum refusal table_judge(const struct request_row *row, const struct message *m,
			 const struct table_facts *facts, unsigned *ring, struct err *err)
{
	if (!row) {
		err_set(err, ENOSYS, "no such request");
		return REFUSAL_UNKNOWN;
	}
	if (!row->handle) {
		if (row->feature >= 0)
			err_set(err, ENOSYS, "protocol feature bit %d is not offered",
				row->feature);
		else
			err_set(err, ENOSYS, "not supported by this device");
		return REFUSAL_UNSUPPORTED;
	}
	if (row->feature >= 0 && !(facts->protocol_features >> row->feature & 1)) {
		err_set(err, ENOSYS, "protocol feature bit %d was not negotiated", row->feature);
		return REFUSAL_NOT_NEGOTIATED;
	}
	if (!table_payload_fits(row, m, err))
		return REFUSAL_PAYLOAD_SIZE;
	if (!table_fds_fit(row, m, err))
		return REFUSAL_FD_CNT;
	if (!(row->phases & facts->phase)) {
		err_set(err, EBUSY, "not %s",
			facts->phase == PHASE_RUNNING ? "while a ring runs"
						      : "in this phase of the session");
		return REFUSAL_PHASE;
	}
	if (row->ring != RING_FIELD_NONE && !table_find_ring(row, m, facts->queue_max, ring, err))
		return REFUSAL_RING;
	return REFUSAL_NONE;
}
