/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keys of ports and uplinks mean together and for the switch that they name.
 * Not what is the same for every kind of object (config_check.c).
 */
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "control/config_priv.h"
#include "control/netaddr.h"
#include "control/schema.h"

_Static_assert(NETADDR_MAC_BYTES == ETHER_MAC_BYTES, "a MAC address is one");
_Static_assert(NETADDR_VLAN_CNT == NETPORT_VLAN_MAX + 1, "a VLAN is one");

#define IFNAME_BYTES_MAX 15

const char *config_uplink_type_name(enum config_uplink_type type)
{
	static const char *const names[] = {"tap", "loop"};

	_Static_assert(ARRAY_LEN(names) == CONFIG_UPLINK_TYPE_MAX_, "a name for each type");
	return names[type];
}

const char *config_switch_of(const struct config_object *object)
{
	switch (object->kind) {
	case CONFIG_PORT:
		return ((const struct config_port *)object)->switch_name;
	case CONFIG_UPLINK:
		return ((const struct config_uplink *)object)->switch_name;
	default:
		return NULL;
	}
}

void config_imply_switch(struct config *config, const struct config_object *object,
			 struct config_errors *errors)
{
	const char *name = config_switch_of(object);
	struct config_object *made;
	int row;

	if (!name || config_find_any(config, name))
		return;
	row = schema_find(config_table(object->kind), "switch");
	made = config_append_new(config, CONFIG_SWITCH, object->key_origin[row], errors);
	if (made &&
	    schema_set(&schema_switch.rows[schema_find(&schema_switch, "name")], made, name, NULL))
		config_no_memory(errors);
}

static void check_switch(const struct config *config, const struct config_object *object,
			 struct config_errors *errors)
{
	const char *name = config_switch_of(object);
	const struct config_object *found = name ? config_find_any(config, name) : NULL;
	char what[160];

	if (!name) {
		snprintf(what, sizeof(what), "missing: every %s needs one",
			 config_noun(object->kind));
		config_complain_of(config, object, "switch", what, errors);
	} else if (found && found->kind != CONFIG_SWITCH) {
		snprintf(what, sizeof(what), "\"%s\" is no switch but the name of %s %s", name,
			 found->kind == CONFIG_UPLINK ? "an" : "a", config_noun(found->kind));
		config_complain_of(config, object, "switch", what, errors);
	}
}

static void check_vlans(const struct config *config, const struct config_object *object,
			struct config_errors *errors)
{
	if (config_given(object, "vlan") && config_given(object, "trunk"))
		config_complain_of(config, object, "trunk",
				   "vlan and trunk are both given: a port belongs to one VLAN "
				   "(vlan) or carries several (trunk)",
				   errors);
}

/* What of the table is no queue pair; that it belongs to the mode is checked with all keys. */
static void check_table(const struct config *config, const struct config_port *port,
			struct config_errors *errors)
{
	const struct net_steering *steering = &port->steering;
	char what[160];

	for (unsigned i = 0; i < steering->table_cnt; i++) {
		if (steering->table[i] < port->queue_pairs)
			continue;
		snprintf(what, sizeof(what),
			 "queue pair %u at entry %u is not there: queue-pairs is %u (allowed: 0 "
			 "to %u)",
			 steering->table[i], i, port->queue_pairs, port->queue_pairs - 1);
		config_complain_of(config, &port->object, "steering.table", what, errors);
		return;
	}
}

/* Of ports before it on the same switch. */
static void check_mac(const struct config *config, const struct config_port *port,
		      struct config_errors *errors)
{
	char text[NETADDR_MAC_TEXT_BYTES];
	char what[160];

	netaddr_format_mac(port->mac, text);
	for (unsigned i = 0; i < config->lists[CONFIG_PORT].cnt; i++) {
		const struct config_port *other = config_port_at(config, i);

		if (other == port)
			break;
		if (!port->switch_name || !other->switch_name || !other->object.name ||
		    strcmp(port->switch_name, other->switch_name) != 0 ||
		    memcmp(port->mac, other->mac, sizeof(port->mac)) != 0)
			continue;
		snprintf(what, sizeof(what),
			 "%s is already the address of port %s on the same switch", text,
			 other->object.name);
		config_complain_of(config, &port->object, "mac", what, errors);
		return;
	}
}

/* Keys that say something of an interface, which a loop has not. */
static void check_type(const struct config *config, const struct config_uplink *uplink,
		       struct config_errors *errors)
{
	static const char *const keys[] = {"ifname", "mtu", "offloads"};
	char what[80];

	snprintf(what, sizeof(what), "means nothing with type %s (allowed with: tap)",
		 config_uplink_type_name(uplink->type));
	for (unsigned i = 0; i < ARRAY_LEN(keys) && uplink->type != CONFIG_UPLINK_TAP; i++) {
		if (config_given(&uplink->object, keys[i]))
			config_complain_of(config, &uplink->object, keys[i], what, errors);
	}
}

static const char *interface_of(const struct config_uplink *uplink)
{
	if (uplink->type != CONFIG_UPLINK_TAP)
		return NULL;
	return uplink->ifname ? uplink->ifname : uplink->object.name;
}

static void check_interface(const struct config *config, const struct config_uplink *uplink,
			    struct config_errors *errors)
{
	const char *name = interface_of(uplink);
	char what[160];

	if (!name)
		return;
	if (strlen(name) > IFNAME_BYTES_MAX) {
		snprintf(what, sizeof(what),
			 "missing: the name has %zu bytes, that of an interface at most %d",
			 strlen(name), IFNAME_BYTES_MAX);
		config_complain_of(config, &uplink->object, "ifname", what, errors);
	}
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		snprintf(what, sizeof(what), "\"%s\" cannot be the name of an interface", name);
		config_complain_of(config, &uplink->object, "ifname", what, errors);
	}
	for (unsigned i = 0; i < config->lists[CONFIG_UPLINK].cnt; i++) {
		const struct config_uplink *other = config_uplink_at(config, i);

		if (other == uplink)
			break;
		if (!interface_of(other) || strcmp(name, interface_of(other)) != 0)
			continue;
		snprintf(what, sizeof(what), "\"%s\" is already the interface of another uplink",
			 name);
		config_complain_of(config, &uplink->object, "ifname", what, errors);
		return;
	}
}

void config_check_net(struct config *config, struct config_object *object,
		      struct config_errors *errors)
{
	struct config_port *port = (struct config_port *)object;

	switch (object->kind) {
	case CONFIG_PORT:
		if (!config_given(object, "mac") && object->name)
			netaddr_mac_of_name(object->name, port->mac);
		check_switch(config, object, errors);
		check_vlans(config, object, errors);
		check_table(config, port, errors);
		check_mac(config, port, errors);
		break;
	case CONFIG_UPLINK:
		check_switch(config, object, errors);
		check_vlans(config, object, errors);
		check_type(config, (struct config_uplink *)object, errors);
		check_interface(config, (struct config_uplink *)object, errors);
		break;
	default:
		break;
	}
}
