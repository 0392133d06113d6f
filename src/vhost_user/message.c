/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: reading a message and its descriptors as they come, and sending one as it is taken.
 * Not its meaning (table.c).
 */
#include "vhost_user/message_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fdio.h"

void message_init(struct message *m)
{
	memset(&m->header, 0, sizeof(m->header));
	m->got_bytes = 0;
	m->fd_cnt = 0;
	m->fds_lost = false;
}

void message_reset(struct message *m)
{
	for (unsigned i = 0; i < m->fd_cnt; i++)
		fdio_close(&m->fds[i]);
	message_init(m);
}

/* Every descriptor that came is ours from here on: kept, or closed at once. */
static void message_collect_fds(struct message *m, struct msghdr *msg)
{
	struct cmsghdr *c;

	if (msg->msg_flags & MSG_CTRUNC)
		m->fds_lost = true;
	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t cnt;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		cnt = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < cnt; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (m->fd_cnt < MESSAGE_FDS_MAX) {
				m->fds[m->fd_cnt++] = fd;
			} else {
				fdio_close(&fd);
				m->fds_lost = true;
			}
		}
	}
}

/* Bytes read (> 0), 0 at the end of the stream, or -errno. */
static ssize_t message_receive(struct message *m, int sock, void *to, size_t bytes)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = to, .iov_len = bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	do {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		/* The socket's own flags are left alone: it may be shared with whoever gave it. */
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	message_collect_fds(m, &msg);
	return n;
}

/* As soon as the header is there: can the rest be read at all? */
static bool message_header_fits(const struct message *m, struct err *err)
{
	const struct wire_header *h = &m->header;

	if ((h->flags & WIRE_FLAG_VERSION_MASK) != WIRE_FLAG_VERSION ||
	    h->flags & WIRE_FLAG_REPLY) {
		err_set(err, EPROTO,
			"request %u has flags 0x%x, which are not those of a request of version 1",
			h->request, h->flags);
		return false;
	}
	if (h->size > MESSAGE_PAYLOAD_MAX) {
		err_set(err, EMSGSIZE, "request %u claims a payload of %u bytes, the most is %u",
			h->request, h->size, MESSAGE_PAYLOAD_MAX);
		return false;
	}
	return true;
}

enum message_progress message_read(struct message *m, int sock, struct err *err)
{
	const uint32_t header_bytes = sizeof(m->header);

	for (;;) {
		bool in_header = m->got_bytes < header_bytes;
		uint32_t end = in_header ? header_bytes : header_bytes + m->header.size;
		uint8_t *to = in_header ? (uint8_t *)&m->header + m->got_bytes
					: m->payload + (m->got_bytes - header_bytes);
		ssize_t n;

		if (m->got_bytes == end)
			return MESSAGE_COMPLETE;
		n = message_receive(m, sock, to, end - m->got_bytes);
		if (n == -EAGAIN || n == -EWOULDBLOCK)
			return MESSAGE_PARTIAL;
		if (n == 0 || n == -ECONNRESET)
			return MESSAGE_CLOSED;
		if (n < 0) {
			err_set(err, (int)-n, "cannot read from the front end: %s",
				strerror((int)-n));
			return MESSAGE_BROKEN;
		}
		m->got_bytes += (uint32_t)n;
		if (m->got_bytes == header_bytes && in_header && !message_header_fits(m, err))
			return MESSAGE_BROKEN;
	}
}

int message_take_fd(struct message *m, unsigned i)
{
	int fd;

	CHECK(i < m->fd_cnt);
	fd = m->fds[i];
	m->fds[i] = -1;
	return fd;
}

void message_copy(const struct message *m, void *to, uint32_t bytes)
{
	uint32_t there = m->header.size < bytes ? m->header.size : bytes;

	memcpy(to, m->payload, there);
	memset((uint8_t *)to + there, 0, bytes - there);
}

uint64_t message_u64(const struct message *m)
{
	uint64_t v;

	message_copy(m, &v, sizeof(v));
	return v;
}

void outbox_put(struct outbox *box, uint32_t request, uint32_t flags, const void *payload,
		uint32_t payload_bytes)
{
	const struct wire_header header = {
		.request = request,
		.flags = flags,
		.size = payload_bytes,
	};

	CHECK(outbox_empty(box));
	CHECK(payload_bytes <= sizeof(box->data) - sizeof(header));
	memcpy(box->data, &header, sizeof(header));
	if (payload_bytes)
		memcpy(box->data + sizeof(header), payload, payload_bytes);
	box->bytes = (uint32_t)sizeof(header) + payload_bytes;
	box->sent_bytes = 0;
}

int outbox_flush(struct outbox *box, int fd, bool is_socket)
{
	while (box->sent_bytes < box->bytes) {
		const uint8_t *from = box->data + box->sent_bytes;
		size_t left = box->bytes - box->sent_bytes;
		ssize_t n;

		n = is_socket ? send(fd, from, left, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(fd, from, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		box->sent_bytes += (uint32_t)n;
	}
	box->bytes = 0;
	return 0;
}
