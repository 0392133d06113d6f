/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A RARP broadcast on behalf of a guest that has come to this port, so that switches learn where it
 * is now (SEND_RARP).
 * Not the guest's own announcement (GUEST_ANNOUNCE: control.c).
 *
 * Theory of operation
 *
 * The frame and its source are an object of their own, which control sends to a worker by one call.
 * The worker acknowledges when nobody has the frame any more, and control frees it; the device may
 * be gone by then. One at a time for a device, so a front end cannot pile them up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/net/control_priv.h"

/* RFC 903: hardware and protocol types and sizes, then "request reverse". */
#define ARP_HARDWARE_ETHER 1
#define ARP_OP_REVERSE_REQUEST 3
#define RARP_BYTES 60 /* the least that an Ethernet frame has */

struct net_rarp {
	struct worker_call call;
	struct net_device *net; /* control; NULL: it is gone */
	struct netport *port;
	struct frame_source source;
	struct frame frame;
};

static uint8_t *put_be16(uint8_t *at, uint16_t value)
{
	*at++ = (uint8_t)(value >> 8);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *put_mac(uint8_t *at, const uint8_t *mac)
{
	memcpy(at, mac, ETHER_MAC_BYTES);
	return at + ETHER_MAC_BYTES;
}

static void fill_frame(struct net_rarp *rarp, const uint8_t *mac)
{
	struct frame *frame = &rarp->frame;
	uint8_t *at = frame->head;

	frame_init(frame, &rarp->source);
	frame_set_plain_header(frame);
	frame->bytes = RARP_BYTES;
	frame->head_bytes = RARP_BYTES;
	memset(at, 0xff, ETHER_MAC_BYTES);
	at = put_mac(at + ETHER_MAC_BYTES, mac);
	at = put_be16(at, ETHER_TYPE_RARP);
	at = put_be16(at, ARP_HARDWARE_ETHER);
	at = put_be16(at, ETHER_TYPE_IPV4);
	*at++ = ETHER_MAC_BYTES;
	*at++ = 4; /* bytes of an IPv4 address */
	at = put_be16(at, ARP_OP_REVERSE_REQUEST);
	at = put_mac(at, mac);
	put_mac(at + 4, mac);
	/* The rest is zero: no addresses, and padding. */
}

static void rarp_returned(struct frame_source *source, struct frame *const *frames, unsigned cnt)
{
	(void)frames;
	(void)cnt;
	worker_call_ack(&container_of(source, struct net_rarp, source)->call);
}

static void send_on_worker(struct worker *worker, struct worker_call *call)
{
	struct net_rarp *rarp = container_of(call, struct net_rarp, call);
	struct frame *frame = &rarp->frame;

	netport_send(rarp->port, rarp->source.exchange, 0, &frame, 1, worker_now_ns(worker));
	/* Ours is the last reference, or the last to go back is told of (returned). */
	if (--frame->refs == 0)
		worker_call_ack(call);
}

static void sent_on_control(struct worker_call *call)
{
	struct net_rarp *rarp = container_of(call, struct net_rarp, call);

	if (rarp->net)
		rarp->net->control->rarp = NULL;
	free(rarp);
}

int net_send_rarp(struct net_device *net, const uint8_t *mac, struct err *err)
{
	struct worker *worker = net->device.workers[0];
	struct net_rarp *rarp;

	if (mac[0] & 1)
		return err_set(err, EINVAL, "address %02x:%02x:%02x:%02x:%02x:%02x is a group's",
			       mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	if (net->control->rarp)
		return err_set(err, EBUSY, "the announcement before this one is under way");
	rarp = calloc(1, sizeof(*rarp));
	if (!rarp)
		return err_set(err, ENOMEM, "no memory for an announcement");
	rarp->net = net;
	rarp->port = net->port;
	rarp->source.exchange = fabric_exchange(net->fabric, worker);
	rarp->source.returned = rarp_returned;
	fill_frame(rarp, mac);
	rarp->call.run_on_worker = send_on_worker;
	rarp->call.done_on_control = sent_on_control;
	net->control->rarp = rarp;
	worker_call(worker, &rarp->call);
	return 0;
}

void net_rarp_forget(struct net_device *net)
{
	if (net->control->rarp)
		net->control->rarp->net = NULL;
}
