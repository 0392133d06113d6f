/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One port that the daemon serves: its place on a switch, device and endpoint, made and undone in
 * order. Not a device model (device/net) and not its configuration (control/config.h).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_PORT_H
#define PARIO_APP_PORT_H

#include "app/served_front.h"
#include "base/compiler.h"
#include "network/netport.h"

/* Once it is closing, device and netport may be NULL. */
struct port {
	struct served served;
	struct served_front front;
	struct netport *netport;
};

static inline struct port *port_of(struct served *served)
{
	return container_of(served, struct port, served);
}

static inline const struct config_port *port_config(const struct port *port)
{
	return (const struct config_port *)port->served.config;
}

#endif
