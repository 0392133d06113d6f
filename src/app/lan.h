/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One switch that the daemon serves, and what ports and uplinks need to join it.
 * Not the switching (network/netswitch.h).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_LAN_H
#define PARIO_APP_LAN_H

#include "app/served.h"
#include "base/compiler.h"
#include "network/netport.h"
#include "network/netswitch.h"

struct lan {
	struct served served;
	struct netswitch *netswitch;
};

static inline struct lan *lan_of(struct served *served)
{
	return container_of(served, struct lan, served);
}

static inline const struct config_switch *lan_config(const struct lan *lan)
{
	return (const struct config_switch *)lan->served.config;
}

/*
 * What an object that names a switch is on it: its name, the switch, its VLANs; no lock. -EBUSY
 * with text if the switch is being removed.
 */
int lan_port_options(const struct served *served, const struct config_vlans *vlans,
		     struct netport_options *options, struct err *err);
/* Tells the switch of VLANs that changed. */
void lan_change_vlans(struct netport *port, const struct config_vlans *from,
		      const struct config_vlans *to, struct join *join);

#endif
