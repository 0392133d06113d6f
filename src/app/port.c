/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a port's configuration to the objects that serve it, and back.
 * Not the order between ports and their switches, which daemon.c keeps.
 */
#include "app/port.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "app/lan.h"
#include "base/log.h"
#include "device/net/net.h"

/* VIRTIO 1.3, 5.1.4: the speed is not known. */
#define SPEED_UNKNOWN UINT32_MAX

static void init(struct served *served)
{
	port_of(served)->front.served = served;
}

static int join_switch(struct port *port, struct err *err)
{
	const struct config_port *config = port_config(port);
	struct netport_options options;
	int rc = lan_port_options(&port->served, &config->vlans, &options, err);

	if (rc)
		return rc;
	options.mac_lock = config->mac_lock;
	memcpy(options.mac, config->mac, sizeof(options.mac));
	return netport_open(&options, &port->netport, err);
}

/* Members one by one: padding is not the configuration's. */
static bool same_steering(const struct net_steering *a, const struct net_steering *b)
{
	return a->mode == b->mode && a->inner == b->inner && a->interval_ms == b->interval_ms &&
	       a->types == b->types && a->key_bytes == b->key_bytes &&
	       memcmp(a->key, b->key, sizeof(a->key)) == 0 && a->table_cnt == b->table_cnt &&
	       memcmp(a->table, b->table, sizeof(a->table)) == 0;
}

/* A key that was not given is the one that everybody has. */
static struct net_steering steering_of(const struct config_port *config)
{
	struct net_steering steering = config->steering;

	if (steering.key_bytes == 0) {
		steering.key_bytes = TOEPLITZ_KEY_BYTES;
		memcpy(steering.key, toeplitz_key_default, TOEPLITZ_KEY_BYTES);
	}
	return steering;
}

static int make_device(struct port *port, struct err *err)
{
	const struct config_port *config = port_config(port);
	const struct config_features *features = &config->front.features;
	struct daemon *daemon = port->served.daemon;
	struct worker **serving;
	struct net_options options = {
		.name = config->object.name,
		.queue_pairs = config->queue_pairs,
		.mac_given = true,
		.mtu = (uint16_t)config->mtu,
		.speed_mbit = config->speed_mbit ? config->speed_mbit : SPEED_UNKNOWN,
		.offloads = config->offloads,
		.steering = steering_of(config),
		.packed = features->packed,
		.in_order = features->in_order,
		.event_idx = features->event_idx,
		.indirect = features->indirect,
		.queue_num_rings = config->queue_num == CONFIG_QUEUE_NUM_RINGS,
		.tuning = served_front_tuning(&config->front),
		.fabric = daemon->fabric,
		.port = port->netport,
		.worker_shift = port->served.shift,
	};
	int rc;

	memcpy(options.mac, config->mac, sizeof(options.mac));
	serving = served_pick_workers(&port->served, &config->front.workers, &options.worker_cnt);
	if (!serving)
		return err_set(err, ENOMEM, "no memory for its workers");
	options.workers = serving;
	rc = net_device_new(&options, daemon->loop, &port->front.device, err);
	free(serving);
	return rc;
}

static int open_port(struct served *served, struct err *err)
{
	struct port *port = port_of(served);
	int rc = join_switch(port, err);

	if (rc == 0)
		rc = make_device(port, err);
	if (rc == 0 && port_config(port)->link == CONFIG_LINK_DOWN)
		net_device_set_link(port->front.device, false);
	return rc ? rc : served_front_place(&port->front, err);
}

static int expose(struct served *served, struct err *err)
{
	return served_front_listen(&port_of(served)->front, err);
}

static int change_steering(struct port *port, const struct config_port *from,
			   const struct config_port *to, struct join *join, struct err *err)
{
	const struct net_steering steering = steering_of(to);

	if (same_steering(&from->steering, &to->steering))
		return 0;
	return net_device_set_steering(port->front.device, &steering, join, err);
}

static int change(struct served *served, const struct config_object *from_object,
		  const struct config_object *to_object, struct join *join, struct err *err)
{
	const struct config_port *from = (const struct config_port *)from_object;
	const struct config_port *to = (const struct config_port *)to_object;
	struct port *port = port_of(served);
	int rc = served_front_change(&port->front, &from->front, &to->front, join, err);

	if (rc)
		return rc;
	rc = change_steering(port, from, to, join, err);
	if (rc) {
		/* Without memory to go back it stays where it was sent: its queues run. */
		served_front_change(&port->front, &to->front, &from->front, join, NULL);
		return rc;
	}
	lan_change_vlans(port->netport, &from->vlans, &to->vlans, join);
	if (from->mac_lock != to->mac_lock)
		netport_set_lock(port->netport, to->mac_lock, to->mac, join);
	if (from->link != to->link)
		net_device_set_link(port->front.device, to->link == CONFIG_LINK_UP);
	return 0;
}

static void left_switch(void *arg)
{
	served_is_closed(arg);
}

/* The device borrows the port of the switch, so it goes first. */
static void endpoint_closed(struct served *served)
{
	struct port *port = port_of(served);
	struct netport *netport = port->netport;

	served_front_release(&port->front);
	net_device_free(port->front.device);
	port->front.device = NULL;
	port->netport = NULL;
	if (netport)
		netport_close(netport, left_switch, served);
	else
		served_is_closed(served);
}

static void log_totals(const struct port *port)
{
	struct netport_stats s;

	netport_stats(port->netport, &s);
	log_info(port->served.tag,
		 "carried %" PRIu64 " frames (%" PRIu64 " bytes) from its guest, %" PRIu64
		 " frames (%" PRIu64 " bytes) to it; %" PRIu64 " dropped",
		 s.in_frames, s.in_bytes, s.out_frames, s.out_bytes,
		 s.drop_runt + s.drop_spoofed + s.drop_vlan + s.drop_storm + s.drop_hairpin +
			 s.drop_no_port + s.drop_no_queue + s.drop_inbox_full + s.drop_egress_vlan);
}

static void drained(struct served *served)
{
	if (port_of(served)->netport)
		log_totals(port_of(served));
	endpoint_closed(served);
}

static void close_port(struct served *served)
{
	served_front_close(&port_of(served)->front, drained);
}

const struct served_ops port_ops = {
	.bytes = sizeof(struct port),
	.held = "frames are still with its queues",
	.init = init,
	.open = open_port,
	.expose = expose,
	.close = close_port,
	.change = change,
};
