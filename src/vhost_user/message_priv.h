/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vhost-user message as it comes in, with its descriptors, and one as it goes out.
 * Not what it means (table.c and the handlers).
 *
 * Control thread only.
 */
#ifndef PARIO_VHOST_USER_MESSAGE_PRIV_H
#define PARIO_VHOST_USER_MESSAGE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vhost_user/wire.h"

/* No message of the protocol is longer; one that claims to be ends the session. */
#define MESSAGE_PAYLOAD_MAX 2048
/* SET_MEM_TABLE has 8. What comes beyond is closed, and the message is refused for it. */
#define MESSAGE_FDS_MAX 8
/* The longest reply: config space. */
#define OUTBOX_BYTES \
	(sizeof(struct wire_header) + sizeof(struct wire_config) + WIRE_CONFIG_BYTES_MAX)

/*
 * Incoming. Descriptors belong to the message, which closes them in message_reset(), unless a
 * handler took them. They may come with any byte of it.
 */
struct message {
	struct wire_header header;
	uint32_t got_bytes; /* of header and payload together */
	unsigned fd_cnt;
	bool fds_lost; /* more than MESSAGE_FDS_MAX, or this process had no number free for them */
	int fds[MESSAGE_FDS_MAX];
	_Alignas(8) uint8_t payload[MESSAGE_PAYLOAD_MAX];
};

enum message_progress {
	MESSAGE_PARTIAL, /* the socket has no more for now */
	MESSAGE_COMPLETE,
	MESSAGE_CLOSED, /* the peer is gone, between messages or within one */
	MESSAGE_BROKEN, /* framing is lost: err says why, the connection cannot go on */
};

/* For memory that was never a message. */
void message_init(struct message *m);
/* Closes what was not taken and makes room for the next one. */
void message_reset(struct message *m);

/*
 * Reads what is there, without blocking, and never beyond this message: descriptors that come with
 * the next one's first byte would else be taken for this one's.
 */
enum message_progress message_read(struct message *m, int sock, struct err *err);

/* Moves descriptor i to the caller. */
int message_take_fd(struct message *m, unsigned i);

static inline bool message_needs_reply(const struct message *m)
{
	return m->header.flags & WIRE_FLAG_NEED_REPLY;
}

/* Copies of the payload; bytes that were not sent read as zero. */
uint64_t message_u64(const struct message *m);
void message_copy(const struct message *m, void *to, uint32_t bytes);

/*
 * Outgoing: one message, sent as the peer takes it. There is never a second one waiting behind it:
 * the next is not made before this one is gone, and that is the bound on what a peer that does not
 * read can make us keep.
 */
struct outbox {
	uint32_t bytes; /* 0: empty */
	uint32_t sent_bytes;
	uint8_t data[OUTBOX_BYTES];
};

/* The outbox must be empty; payload_bytes within its bound. */
void outbox_put(struct outbox *box, uint32_t request, uint32_t flags, const void *payload,
		uint32_t payload_bytes);
static inline bool outbox_empty(const struct outbox *box)
{
	return box->bytes == 0;
}

/*
 * Sends without blocking: 0 when it is empty now, -EAGAIN when the peer has to read first, else
 * -errno. A pipe (not a socket) must be non-blocking itself.
 */
int outbox_flush(struct outbox *box, int fd, bool is_socket);

#endif
