/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message table: one row for each request, with everything that is judged before a handler sees
 * the message. Not the handlers.
 *
 * What happens to a message that fails, in this order:
 *   1. unknown, not supported or not negotiated: never ends the session. A request that has a reply
 *      of its own gets an empty one (payload size 0), because its sender waits for it and a
 *      conforming front end takes that for the failure that it is; another gets a non-zero ack if
 *      it asked for one, and is otherwise ignored, counted and logged.
 *   2. all else (size, descriptors, phase, ring, and what the handler says): a reply of its own is
 *      empty, an ack that was asked for is non-zero; without either the front end cannot learn
 *      that we differ about the state of the device, so the row says whether the session ends.
 */
#ifndef PARIO_VHOST_USER_TABLE_PRIV_H
#define PARIO_VHOST_USER_TABLE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vhost_user/message_priv.h"

struct session;

/* Phases of a session, as a set. */
#define PHASE_FRESH 1u   /* no features acknowledged */
#define PHASE_READY 2u   /* features acknowledged, no ring runs */
#define PHASE_RUNNING 4u /* some ring runs */
#define PHASE_IDLE (PHASE_FRESH | PHASE_READY)
#define PHASE_ANY (PHASE_IDLE | PHASE_RUNNING)

enum reply_kind {
	REPLY_ACK, /* a u64 if REPLY_ACK is negotiated and need_reply is set */
	REPLY_OWN, /* always, by the handler */
};

/* Where the message says which ring it is about. */
enum ring_field {
	RING_FIELD_NONE,
	RING_FIELD_STATE, /* u32 at the start */
	RING_FIELD_FD,    /* u64: bits 0-7 the ring, bit 8 no descriptor comes, the rest 0 */
};

/* What must be true of rings before the handler runs. */
enum ring_rule {
	RINGS_AS_THEY_ARE,
	RINGS_NAMED_IDLE,    /* refused while the ring runs; stopped if it does so disabled */
	RINGS_NAMED_QUIESCE, /* it is stopped and drained; it starts again by its state */
	RINGS_ALL_QUIESCE,   /* all are */
	RINGS_IDLE_QUIESCE,  /* those that run disabled are, if the features are new */
};

/* Row 2 above: without an ack, does a failure end the session? */
enum on_failure {
	FAILURE_ENDS,
	FAILURE_IGNORED,
};

/*
 * 0, or -errno with text. Device functions that take a join get session's, which is open: the reply
 * waits for it. Own replies are put with session_reply().
 */
typedef int request_handler(struct session *s, struct message *m, struct err *err);

struct request_row {
	const char *name;
	request_handler *handle; /* NULL: known, but of a feature that is never offered */
	uint16_t payload_min;
	uint16_t payload_max;
	uint8_t fds_min;
	uint8_t fds_max;
	uint8_t phases;
	int8_t feature; /* protocol feature that must be negotiated, -1 = none */
	enum reply_kind reply;
	enum ring_field ring;
	enum ring_rule rings;
	enum on_failure failure;
};

/* NULL for a number that no row has. */
const struct request_row *table_row(uint32_t request);

/* The session as far as the table asks. */
struct table_facts {
	unsigned phase; /* one of PHASE_* */
	uint64_t protocol_features;
	unsigned queue_max;
};

enum refusal {
	REFUSAL_NONE,
	REFUSAL_UNKNOWN, /* the first three are failure class 1 above */
	REFUSAL_UNSUPPORTED,
	REFUSAL_NOT_NEGOTIATED,
	REFUSAL_PAYLOAD_SIZE,
	REFUSAL_FD_CNT,
	REFUSAL_PHASE,
	REFUSAL_RING,
};

static inline bool refusal_is_harmless(enum refusal refusal)
{
	return refusal >= REFUSAL_UNKNOWN && refusal <= REFUSAL_NOT_NEGOTIATED;
}

/* Pure. row may be NULL. *ring is set when the row has one and nothing is refused. */
enum refusal table_judge(const struct request_row *row, const struct message *m,
			 const struct table_facts *facts, unsigned *ring, struct err *err);

/* Handlers, by topic. */
request_handler features_get, features_set, features_get_protocol, features_set_protocol;
request_handler features_set_owner, features_reset_owner, features_get_queue_cnt;
request_handler features_get_status, features_set_status, features_reset_device;
request_handler memory_set_table, memory_add, memory_remove, memory_get_slots;
request_handler vring_set_size, vring_set_location, vring_set_base, vring_get_base;
request_handler vring_set_kick, vring_set_call, vring_set_err, vring_set_enable;
request_handler config_get, config_set, backchannel_set;
request_handler features_set_mtu, features_send_rarp;

#endif
