/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user front end: features, configuration space and the channel of the back end's requests.
 * It knows the order in which a front end asks, not what a device's features mean.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/front.h"

#define CONFIG_HEAD_BYTES 12u

static int protocol_negotiate(struct front *f, uint64_t wanted)
{
	int rc;

	f->protocol = 0;
	f->protocol_offered = 0;
	if (!front_offers(f, VU_F_PROTOCOL_FEATURES))
		return 0;
	rc = front_query_u64(f, VU_GET_PROTOCOL_FEATURES, &f->protocol_offered);
	if (rc < 0)
		return rc;
	/* Sent with no protocol feature in force: the acknowledgement starts with the next one. */
	rc = front_call_u64(f, VU_SET_PROTOCOL_FEATURES, f->protocol_offered & wanted);
	if (rc == 0)
		f->protocol = f->protocol_offered & wanted;
	return rc;
}

int front_negotiate(struct front *f, uint64_t protocol_wanted)
{
	int rc = front_query_u64(f, VU_GET_FEATURES, &f->features_offered);

	if (rc == 0)
		rc = protocol_negotiate(f, protocol_wanted);
	f->queue_max = 1;
	if (rc == 0 && front_has_protocol(f, VU_PF_MQ))
		rc = front_query_u64(f, VU_GET_QUEUE_NUM, &f->queue_max);
	f->mem_slots_max = VU_MEM_TABLE_MAX;
	if (rc == 0 && front_has_protocol(f, VU_PF_CONFIGURE_MEM_SLOTS))
		rc = front_query_u64(f, VU_GET_MAX_MEM_SLOTS, &f->mem_slots_max);
	if (rc == 0)
		rc = front_call(f, VU_SET_OWNER, NULL, 0, NULL, 0);
	if (rc == 0 && front_has_protocol(f, VU_PF_BACKEND_REQ))
		rc = front_set_backend_channel(f);
	return rc;
}

int front_set_features(struct front *f, uint64_t features)
{
	int rc;

	if (front_offers(f, VU_F_PROTOCOL_FEATURES))
		features |= UINT64_C(1) << VU_F_PROTOCOL_FEATURES;
	rc = front_call_u64(f, VU_SET_FEATURES, features);
	if (rc == 0)
		f->features = features;
	return rc;
}

int front_get_config(struct front *f, uint32_t offset, void *to, uint32_t size)
{
	struct vu_config ask = {.offset = offset, .size = size};
	struct vu_message reply;
	int rc;

	if (size > VU_CONFIG_BYTES_MAX)
		return front_fail(f, -EINVAL, "GET_CONFIG: %u bytes asked, %u is the most", size,
				  VU_CONFIG_BYTES_MAX);
	rc = front_query(f, VU_GET_CONFIG, &ask, CONFIG_HEAD_BYTES + size, &reply);
	if (rc < 0)
		return rc;
	vu_message_close_fds(&reply);
	if (reply.header.size == 0)
		return front_fail(f, -EREMOTEIO, "the back end refused GET_CONFIG of %u+%u", offset,
				  size);
	if (reply.header.size != CONFIG_HEAD_BYTES + size || reply.config.size != size)
		return front_fail(f, -EPROTO,
				  "reply to GET_CONFIG of %u bytes says %u in a payload of %u",
				  size, reply.config.size, reply.header.size);
	memcpy(to, reply.config.data, size);
	return 0;
}

int front_set_config(struct front *f, uint32_t offset, const void *from, uint32_t size)
{
	struct vu_config config = {.offset = offset, .size = size};

	if (size > VU_CONFIG_BYTES_MAX)
		return front_fail(f, -EINVAL, "SET_CONFIG: %u bytes given, %u is the most", size,
				  VU_CONFIG_BYTES_MAX);
	memcpy(config.data, from, size);
	return front_call(f, VU_SET_CONFIG, &config, CONFIG_HEAD_BYTES + size, NULL, 0);
}

int front_set_backend_channel(struct front *f)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return front_fail(f, -errno, "socketpair: %s", strerror(errno));
	if (f->backend_sock >= 0)
		close(f->backend_sock);
	f->backend_sock = pair[0];
	rc = front_call(f, VU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	return rc;
}

int front_backend_step(struct front *f, int timeout_ms)
{
	struct vu_message m;
	int rc;

	if (f->backend_sock < 0)
		return front_fail(f, -ENOTCONN, "the back end has no request channel");
	rc = channel_wait(f->backend_sock, POLLIN, timeout_ms);
	if (rc == -ETIMEDOUT)
		return 0;
	if (rc == 0)
		rc = channel_recv(f->backend_sock, &m, f->timeout_ms);
	if (rc < 0)
		return front_fail(f, rc, "request channel of the back end: %s", strerror(-rc));
	vu_message_close_fds(&m);
	f->backend_msg_cnt++;
	if (m.header.request == VU_BACKEND_CONFIG_CHANGE)
		f->config_change_cnt++;
	if (m.header.flags & VU_FLAG_NEED_REPLY) {
		struct {
			struct vu_header header;
			uint8_t ack[sizeof(uint64_t)];
		} reply = {.header = {m.header.request, VU_FLAG_VERSION | VU_FLAG_REPLY,
				      sizeof(uint64_t)}};

		rc = channel_send(f->backend_sock, &reply, sizeof(reply), NULL, 0, f->timeout_ms);
		if (rc < 0)
			return front_fail(f, rc, "request channel of the back end: %s",
					  strerror(-rc));
	}
	return 1;
}
