/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a switch's configuration to the switch, and back.
 * Not its ports (port.c, uplink.c).
 */
#include "app/lan.h"

#include <errno.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "base/check.h"
#include "control/netaddr.h"

_Static_assert(sizeof(((struct netport_vlans *)0)->trunk) == NETADDR_VLAN_WORDS * sizeof(uint64_t),
	       "a set of VLANs is one");

static int open_switch(struct served *served, struct err *err)
{
	struct lan *lan = lan_of(served);
	const struct config_switch *config = lan_config(lan);
	const struct netswitch_options options = {
		.name = config->object.name,
		.mac_table_size = config->mac_table_size,
		.macs_per_port = config->macs_per_port,
		.mac_aging_s = config->mac_aging_s,
		.flood_limit_pps = config->flood_limit_pps,
	};

	return netswitch_new(&options, served->daemon->fabric, &lan->netswitch, err);
}

static void closed(void *arg)
{
	served_is_closed(arg);
}

static void close_switch(struct served *served)
{
	struct lan *lan = lan_of(served);
	struct netswitch *netswitch = lan->netswitch;

	lan->netswitch = NULL;
	if (netswitch)
		netswitch_free(netswitch, closed, served);
	else
		served_is_closed(served);
}

static void to_netport(const struct config_vlans *config, struct netport_vlans *vlans)
{
	memset(vlans, 0, sizeof(*vlans));
	if (config->trunk) {
		vlans->mode = NETPORT_VLAN_TRUNK;
		/* The schema has taken it. */
		CHECK(netaddr_parse_vlans(config->trunk, vlans->trunk));
	} else if (config->access) {
		vlans->mode = NETPORT_VLAN_ACCESS;
		vlans->access = (uint16_t)config->access;
	} else {
		vlans->mode = NETPORT_VLAN_ANY;
	}
}

int lan_port_options(const struct served *served, const struct config_vlans *vlans,
		     struct netport_options *options, struct err *err)
{
	const char *name = config_switch_of(served->config);
	struct served *lan = daemon_find(served->daemon, CONFIG_SWITCH, name);

	/* The configuration has every switch that is named. */
	CHECK(lan);
	if (lan->closing)
		return err_set(err, EBUSY, "switch: %.64s is being removed", name);
	memset(options, 0, sizeof(*options));
	options->name = served_name(served);
	options->netswitch = lan_of(lan)->netswitch;
	to_netport(vlans, &options->vlans);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

void lan_change_vlans(struct netport *port, const struct config_vlans *from,
		      const struct config_vlans *to, struct join *join)
{
	struct netport_vlans vlans;

	if (from->access == to->access && same_text(from->trunk, to->trunk))
		return;
	to_netport(to, &vlans);
	netport_set_vlans(port, &vlans, join);
}

const struct served_ops lan_ops = {
	.bytes = sizeof(struct lan),
	.held = "workers still know it",
	.open = open_switch,
	.close = close_switch,
};
