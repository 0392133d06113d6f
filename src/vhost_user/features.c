/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about the device and the protocol as a whole: features, owner, number of queues, status,
 * resets. Not rings (vring.c).
 */
#include "vhost_user/session_priv.h"

#include <errno.h>
#include <inttypes.h>

#define PROTOCOL_BIT (1ull << WIRE_F_PROTOCOL_FEATURES)
#define STATUS_MAX 0xffu

int features_get(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	session_reply_u64(s, device_features(s->device) | PROTOCOL_BIT);
	return 0;
}

bool features_are_new(const struct session *s)
{
	return !session_serving(s) && (message_u64(&s->in) & ~PROTOCOL_BIT) != s->features;
}

int features_set(struct session *s, struct message *m, struct err *err)
{
	uint64_t said = message_u64(m);
	uint64_t acked = said & ~PROTOCOL_BIT;
	int ret;

	if (session_serving(s)) {
		if (acked == s->features)
			return 0;
		return err_set(err, EBUSY,
			       "0x%" PRIx64 " while rings run with 0x%" PRIx64
			       "; they have to be stopped before",
			       acked, s->features);
	}
	ret = device_set_features(s->device, acked, err);
	if (ret < 0)
		return ret;
	s->features = acked;
	s->has_features = true;
	/* A front end that does not know bit 30 never enables a ring: they are from here on. */
	if (!(said & PROTOCOL_BIT))
		vrings_enable_all(s, true);
	vrings_changed(s);
	return 0;
}

/* Constant for a device, so that every reconnect finds the same. */
static uint64_t protocol_offered(const struct session *s)
{
	uint64_t offered = WIRE_PF_OFFERED;

	if (device_takes_message(s->device, DEVICE_MESSAGE_MTU))
		offered |= WIRE_PF_BIT(WIRE_PF_MTU);
	if (device_takes_message(s->device, DEVICE_MESSAGE_RARP))
		offered |= WIRE_PF_BIT(WIRE_PF_RARP);
	return offered;
}

int features_get_protocol(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	session_reply_u64(s, protocol_offered(s));
	return 0;
}

/* Its own ack follows what it negotiates: User-Mode Linux asks for one with the same message. */
int features_set_protocol(struct session *s, struct message *m, struct err *err)
{
	uint64_t acked = message_u64(m);
	uint64_t offered = protocol_offered(s);

	if (acked & ~offered)
		return err_set(err, EINVAL,
			       "0x%" PRIx64 " holds 0x%" PRIx64 ", which was not offered", acked,
			       acked & ~offered);
	s->protocol_features = acked;
	return 0;
}

int features_set_owner(struct session *s, struct message *m, struct err *err)
{
	/* The connection says who owns the device. */
	(void)s;
	(void)m;
	(void)err;
	return 0;
}

/* "It is recommended that back-ends either ignore this message, or use it to disable all rings." */
int features_reset_owner(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	vrings_enable_all(s, false);
	return 0;
}

int features_get_queue_cnt(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	session_reply_u64(s, device_queue_cnt_said(s->device));
	return 0;
}

int features_set_mtu(struct session *s, struct message *m, struct err *err)
{
	return device_message(s->device, DEVICE_MESSAGE_MTU, message_u64(m), err);
}

int features_send_rarp(struct session *s, struct message *m, struct err *err)
{
	return device_message(s->device, DEVICE_MESSAGE_RARP, message_u64(m), err);
}

int features_get_status(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	session_reply_u64(s, s->status);
	return 0;
}

/*
 * 0 is the driver's reset, but QEMU also says it when a virtual machine is only paused, after it
 * stopped the rings: so rings stop, and what the guest set otherwise (write cache) stays.
 */
int features_set_status(struct session *s, struct message *m, struct err *err)
{
	uint64_t status = message_u64(m);

	if (status > STATUS_MAX)
		return err_set(err, EINVAL, "status 0x%" PRIx64 ", must be 0 to 0x%x", status,
			       STATUS_MAX);
	s->status = (uint8_t)status;
	if (status == 0)
		vrings_halt(s);
	return 0;
}

/* Every ring is quiescent here. Protocol features and memory belong to the connection and stay. */
int features_reset_device(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	vrings_forget(s);
	device_reset(s->device);
	s->features = 0;
	s->has_features = false;
	s->status = 0;
	return 0;
}
