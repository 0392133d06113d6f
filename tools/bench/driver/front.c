/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user front end: the connection, sending, and the judgement of replies.
 * What the messages are for is in front_setup.c, front_mem.c and front_queue.c.
 */
#include "driver/front.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const request_name[] = {
	[VU_GET_FEATURES] = "GET_FEATURES",
	[VU_SET_FEATURES] = "SET_FEATURES",
	[VU_SET_OWNER] = "SET_OWNER",
	[VU_RESET_OWNER] = "RESET_OWNER",
	[VU_SET_MEM_TABLE] = "SET_MEM_TABLE",
	[VU_SET_LOG_BASE] = "SET_LOG_BASE",
	[VU_SET_LOG_FD] = "SET_LOG_FD",
	[VU_SET_VRING_NUM] = "SET_VRING_NUM",
	[VU_SET_VRING_ADDR] = "SET_VRING_ADDR",
	[VU_SET_VRING_BASE] = "SET_VRING_BASE",
	[VU_GET_VRING_BASE] = "GET_VRING_BASE",
	[VU_SET_VRING_KICK] = "SET_VRING_KICK",
	[VU_SET_VRING_CALL] = "SET_VRING_CALL",
	[VU_SET_VRING_ERR] = "SET_VRING_ERR",
	[VU_GET_PROTOCOL_FEATURES] = "GET_PROTOCOL_FEATURES",
	[VU_SET_PROTOCOL_FEATURES] = "SET_PROTOCOL_FEATURES",
	[VU_GET_QUEUE_NUM] = "GET_QUEUE_NUM",
	[VU_SET_VRING_ENABLE] = "SET_VRING_ENABLE",
	[VU_SET_BACKEND_REQ_FD] = "SET_BACKEND_REQ_FD",
	[VU_GET_CONFIG] = "GET_CONFIG",
	[VU_SET_CONFIG] = "SET_CONFIG",
	[VU_GET_INFLIGHT_FD] = "GET_INFLIGHT_FD",
	[VU_SET_INFLIGHT_FD] = "SET_INFLIGHT_FD",
	[VU_RESET_DEVICE] = "RESET_DEVICE",
	[VU_GET_MAX_MEM_SLOTS] = "GET_MAX_MEM_SLOTS",
	[VU_ADD_MEM_REG] = "ADD_MEM_REG",
	[VU_REM_MEM_REG] = "REM_MEM_REG",
	[VU_SET_STATUS] = "SET_STATUS",
	[VU_GET_STATUS] = "GET_STATUS",
};

const char *vu_request_name(uint32_t request)
{
	if (request >= sizeof(request_name) / sizeof(request_name[0]) || !request_name[request])
		return "request";
	return request_name[request];
}

int front_fail(struct front *f, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->error, sizeof(f->error), fmt, ap);
	va_end(ap);
	return rc;
}

static struct front *front_alloc(int timeout_ms)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->sock = -1;
	f->listener = -1;
	f->backend_sock = -1;
	f->timeout_ms = timeout_ms ? timeout_ms : FRONT_TIMEOUT_MS_DEFAULT;
	return f;
}

int front_open_sock(struct front **out, int sock, int timeout_ms)
{
	struct front *f = front_alloc(timeout_ms);

	*out = f;
	if (!f) {
		close(sock);
		return -ENOMEM;
	}
	f->sock = sock;
	return 0;
}

static void forget_connection(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	if (f->backend_sock >= 0)
		close(f->backend_sock);
	f->sock = -1;
	f->backend_sock = -1;
	f->features = 0;
	f->protocol = 0;
}

int front_accept(struct front *f)
{
	forget_connection(f);
	f->sock = channel_accept(f->listener, f->timeout_ms);
	if (f->sock == -ETIMEDOUT)
		return front_fail(f, -ETIMEDOUT, "no back end connected within %d ms",
				  f->timeout_ms);
	if (f->sock < 0)
		return front_fail(f, f->sock, "cannot accept: %s", strerror(-f->sock));
	return 0;
}

int front_open(struct front **out, const struct front_opts *opts)
{
	struct front *f = front_alloc(opts->timeout_ms);

	*out = f;
	if (!f)
		return -ENOMEM;
	if (opts->listen) {
		f->listener = channel_listen(opts->path);
		if (f->listener < 0)
			return front_fail(f, f->listener, "%s: cannot listen: %s", opts->path,
					  strerror(-f->listener));
		return front_accept(f);
	}
	f->sock = channel_connect(opts->path, opts->wait_ms);
	if (f->sock < 0)
		return front_fail(f, f->sock, "%s: cannot connect: %s", opts->path,
				  strerror(-f->sock));
	return 0;
}

void front_close(struct front *f)
{
	if (!f)
		return;
	forget_connection(f);
	if (f->listener >= 0)
		close(f->listener);
	free(f);
}

pid_t front_peer_pid(const struct front *f)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(f->sock, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return 0;
	return cred.pid;
}

static int connection_failed(struct front *f, int rc, const char *doing, uint32_t request)
{
	switch (rc) {
	case -ETIMEDOUT:
		return front_fail(f, rc, "%s %s: no answer within %d ms", doing,
				  vu_request_name(request), f->timeout_ms);
	case -ECONNRESET:
	case -EPIPE:
		return front_fail(f, rc, "%s %s: the back end closed the connection", doing,
				  vu_request_name(request));
	case -EPROTO:
		return front_fail(f, rc, "%s %s: malformed message", doing,
				  vu_request_name(request));
	default:
		return front_fail(f, rc, "%s %s: %s", doing, vu_request_name(request),
				  strerror(-rc));
	}
}

int front_send_raw(struct front *f, uint32_t request, uint32_t flags, uint32_t size,
		   const void *payload, size_t payload_bytes, const int *fd, unsigned int fd_cnt)
{
	uint8_t bytes[sizeof(struct vu_header) + VU_PAYLOAD_MAX];
	struct vu_header header = {.request = request, .flags = flags, .size = size};
	size_t inline_bytes = payload_bytes < VU_PAYLOAD_MAX ? payload_bytes : VU_PAYLOAD_MAX;
	int rc;

	memcpy(bytes, &header, sizeof(header));
	if (inline_bytes)
		memcpy(bytes + sizeof(header), payload, inline_bytes);
	rc = channel_send(f->sock, bytes, sizeof(header) + inline_bytes, fd, fd_cnt, f->timeout_ms);
	if (rc == 0 && payload_bytes > inline_bytes)
		rc = channel_send(f->sock, (const uint8_t *)payload + inline_bytes,
				  payload_bytes - inline_bytes, NULL, 0, f->timeout_ms);
	return rc < 0 ? connection_failed(f, rc, "sending", request) : 0;
}

int front_recv_raw(struct front *f, struct vu_message *m)
{
	int rc = channel_recv(f->sock, m, f->timeout_ms);

	return rc < 0 ? connection_failed(f, rc, "waiting for", 0) : 0;
}

int front_expect_close(struct front *f)
{
	for (;;) {
		struct vu_message m;
		int rc = channel_recv(f->sock, &m, f->timeout_ms);

		if (rc == -ECONNRESET)
			return 0;
		if (rc < 0)
			return connection_failed(f, rc, "waiting for the close after", 0);
		vu_message_close_fds(&m);
	}
}

/* Waits for the front-end socket while serving the back end's own requests. */
static int reply_wait(struct front *f)
{
	int64_t deadline_ms = channel_now_ms() + f->timeout_ms;

	for (;;) {
		struct pollfd p[2] = {{.fd = f->sock, .events = POLLIN},
				      {.fd = f->backend_sock, .events = POLLIN}};
		int64_t left = deadline_ms - channel_now_ms();
		int n = poll(p, 2, left > 0 ? (int)left : 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0 && p[0].revents)
			return 0;
		/* Its channel may close at any time; the reply is still to come. */
		if (n > 0 && p[1].revents && front_backend_step(f, 0) < 0) {
			close(f->backend_sock);
			f->backend_sock = -1;
		}
	}
}

static int reply_take(struct front *f, uint32_t request, struct vu_message *reply)
{
	int rc = reply_wait(f);

	reply->header = (struct vu_header){0};
	if (rc == 0)
		rc = channel_recv(f->sock, reply, f->timeout_ms);
	if (rc < 0)
		return connection_failed(f, rc, "waiting for the reply to", request);
	if (reply->header.request != request)
		rc = front_fail(f, -EPROTO, "reply to %s is for request %u",
				vu_request_name(request), reply->header.request);
	else if (reply->header.flags != (VU_FLAG_VERSION | VU_FLAG_REPLY))
		rc = front_fail(f, -EPROTO, "reply to %s has flags 0x%x, they must be 0x5",
				vu_request_name(request), reply->header.flags);
	if (rc < 0)
		vu_message_close_fds(reply);
	return rc;
}

static int reply_u64(struct front *f, uint32_t request, const struct vu_message *m)
{
	if (m->header.size == sizeof(uint64_t))
		return 0;
	return front_fail(f, -EPROTO, "reply to %s has %u bytes, it must have 8",
			  vu_request_name(request), m->header.size);
}

int front_call(struct front *f, uint32_t request, const void *payload, uint32_t size, const int *fd,
	       unsigned int fd_cnt)
{
	bool ack = front_has_protocol(f, VU_PF_REPLY_ACK);
	uint32_t flags = VU_FLAG_VERSION | (ack ? VU_FLAG_NEED_REPLY : 0);
	struct vu_message reply;
	int rc = front_send_raw(f, request, flags, size, payload, size, fd, fd_cnt);

	if (rc < 0 || !ack)
		return rc;
	rc = reply_take(f, request, &reply);
	if (rc < 0)
		return rc;
	vu_message_close_fds(&reply);
	rc = reply_u64(f, request, &reply);
	if (rc == 0 && reply.u64 != 0)
		rc = front_fail(f, -EREMOTEIO, "the back end refused %s (%llu)",
				vu_request_name(request), (unsigned long long)reply.u64);
	return rc;
}

int front_query(struct front *f, uint32_t request, const void *payload, uint32_t size,
		struct vu_message *reply)
{
	int rc = front_send_raw(f, request, VU_FLAG_VERSION, size, payload, size, NULL, 0);

	return rc < 0 ? rc : reply_take(f, request, reply);
}

int front_call_u64(struct front *f, uint32_t request, uint64_t value)
{
	return front_call(f, request, &value, sizeof(value), NULL, 0);
}

int front_query_u64(struct front *f, uint32_t request, uint64_t *value)
{
	struct vu_message reply;
	int rc = front_query(f, request, NULL, 0, &reply);

	if (rc < 0)
		return rc;
	vu_message_close_fds(&reply);
	rc = reply_u64(f, request, &reply);
	if (rc == 0)
		*value = reply.u64;
	return rc;
}
