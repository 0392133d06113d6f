/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks, switches, ports and uplinks as documents: their configuration, their state, and what is
 * behind them. Not the counters' names, which are their tables' (observe/).
 *
 * An object that is being removed may have lost its parts already: then it is shown without them.
 */
#include <string.h>

#include "app/api_priv.h"
#include "app/disk.h"
#include "app/lan.h"
#include "app/port.h"
#include "app/uplink.h"
#include "control/netaddr.h"
#include "control/schema.h"
#include "device/net/net.h"
#include "observe/counters.h"
#include "observe/objects.h"

static struct stat_table netport_table(void)
{
	return (struct stat_table){
		.name = "switch",
		.rows = netport_stat_rows,
		.row_cnt = netport_stat_row_cnt,
		.bytes = sizeof(struct netport_stats),
	};
}

static struct stat_table tap_table(void)
{
	return (struct stat_table){
		.name = "tap",
		.rows = tap_stat_rows,
		.row_cnt = tap_stat_row_cnt,
		.bytes = sizeof(struct tap_stats),
	};
}

static struct stat_table loop_table(void)
{
	return (struct stat_table){
		.name = "loop",
		.rows = loop_stat_rows,
		.row_cnt = loop_stat_row_cnt,
		.bytes = sizeof(struct loop_stats),
	};
}

/* "waiting", ... of what has a front end; "up" and "draining" of the rest. */
static const char *state_of(struct served *served)
{
	const struct served_front *front = served_front(served);

	if (front)
		return served_front_state_name(served_front_state(front));
	return served->closing ? "draining" : "up";
}

static json_t *mac_json(const uint8_t *mac)
{
	char text[NETADDR_MAC_TEXT_BYTES];

	netaddr_format_mac(mac, text);
	return json_string(text);
}

static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

/* What every document begins with. */
static json_t *head_json(struct served *served)
{
	return json_pack("{s:s, s:s, s:s}", "name", served_name(served), "kind",
			 config_noun(served_kind(served)), "state", state_of(served));
}

static void put_switch_counters(json_t *counters, const struct netport *netport)
{
	const struct stat_table table = netport_table();
	struct netport_stats stats;

	if (!netport)
		return;
	netport_stats(netport, &stats);
	put(counters, table.name, observe_counters(&table, &stats));
}

static json_t *uplink_counters(const struct uplink *uplink)
{
	const struct stat_table tap = tap_table();
	const struct stat_table loop = loop_table();
	json_t *counters = json_object();
	struct tap_stats tap_sum;
	struct loop_stats loop_sum;

	if (uplink->tap) {
		tap_stats(uplink->tap, &tap_sum);
		put(counters, tap.name, observe_counters(&tap, &tap_sum));
	}
	if (uplink->loop) {
		loop_stats(uplink->loop, &loop_sum);
		put(counters, loop.name, observe_counters(&loop, &loop_sum));
	}
	put_switch_counters(counters, uplink_port(uplink));
	return counters;
}

static json_t *counters_json(struct served *served)
{
	const struct served_front *front = served_front(served);
	json_t *counters;

	if (served_kind(served) == CONFIG_UPLINK)
		return uplink_counters(uplink_of(served));
	if (!front || !front->device)
		return json_object();
	counters = api_front_counters(front);
	if (served_kind(served) == CONFIG_PORT)
		put_switch_counters(counters, port_of(served)->netport);
	return counters;
}

static void put_disk(json_t *object, const struct disk *disk)
{
	const struct storage_info *info = storage_info(disk->storage);
	json_t *affinity = observe_affinity(disk->storage);

	put(object, "capacity_bytes", json_integer((json_int_t)info->capacity_bytes));
	put(object, "block_bytes", json_integer((json_int_t)info->block_bytes));
	put(object, "affinity", affinity ? affinity : json_null());
	put(object, "latency", observe_device_latency(disk->front.device));
}

/* What the guest has set, or what it is without its having set anything. */
static json_t *guest_json(const struct device *device)
{
	struct net_state state;
	json_t *object;

	net_device_state(device, &state);
	object = json_pack("{s:i, s:o, s:o, s:s, s:I}", "pairs", (int)state.pairs, "mac",
			   mac_json(state.mac), "mtu",
			   state.mtu ? json_integer(state.mtu) : json_null(), "link",
			   state.link_up ? "up" : "down", "offloads",
			   (json_int_t)state.guest_offloads);
	put(object, "promiscuous", json_boolean(state.promisc));
	put(object, "all_multicast", json_boolean(state.allmulti));
	put(object, "all_unicast", json_boolean(state.alluni));
	put(object, "no_multicast", json_boolean(state.nomulti));
	put(object, "no_unicast", json_boolean(state.nouni));
	put(object, "no_broadcast", json_boolean(state.nobcast));
	put(object, "unicast_addresses", json_integer(state.unicast_cnt));
	put(object, "unicast_overflow", json_boolean(state.unicast_overflow));
	put(object, "multicast_addresses", json_integer(state.multicast_cnt));
	put(object, "multicast_overflow", json_boolean(state.multicast_overflow));
	put(object, "vlans", json_integer(state.vlan_cnt));
	return object;
}

static void put_uplink(json_t *object, const struct uplink *uplink)
{
	put(object, "ifname", uplink->tap ? json_string(tap_ifname(uplink->tap)) : json_null());
}

/* Names of the objects of a kind that are on the switch. */
static json_t *members_json(const struct served *lan, enum config_kind kind)
{
	const struct config_list *list = &daemon_config(lan->daemon)->lists[kind];
	json_t *names = json_array();

	for (unsigned i = 0; i < list->cnt; i++) {
		const char *name = config_switch_of(list->objects[i]);

		if (name && strcmp(name, served_name(lan)) == 0)
			json_array_append_new(names, json_string(list->objects[i]->name));
	}
	return names;
}

static void put_front(json_t *object, const struct served_front *front)
{
	put(object, "front_end_pid", api_front_pid(front));
	put(object, "features", observe_device_features(front->device));
	put(object, "placement", api_placement_json(front));
	put(object, "queues", api_queues_json(front));
}

json_t *api_object_json(struct served *served)
{
	const struct schema_table *table = config_table(served_kind(served));
	const struct served_front *front = served_front(served);
	json_t *object = head_json(served);

	put(object, "config", schema_get(table, served->config));
	put(object, "given", schema_get_given(table, served->config));
	if (front && front->device)
		put_front(object, front);
	switch (served_kind(served)) {
	case CONFIG_DISK:
		put_disk(object, disk_of(served));
		break;
	case CONFIG_PORT:
		if (port_of(served)->front.device) {
			put(object, "guest", guest_json(port_of(served)->front.device));
			put(object, "steering", api_steering_json(port_of(served)));
		}
		break;
	case CONFIG_UPLINK:
		put_uplink(object, uplink_of(served));
		break;
	default:
		put(object, "ports", members_json(served, CONFIG_PORT));
		put(object, "uplinks", members_json(served, CONFIG_UPLINK));
		return object;
	}
	put(object, "counters", counters_json(served));
	return object;
}

static void put_traffic(json_t *object, struct served *served, const struct netport *netport)
{
	struct netport_stats stats;

	memset(&stats, 0, sizeof(stats));
	if (netport)
		netport_stats(netport, &stats);
	put(object, "switch", json_string(config_switch_of(served->config)));
	put(object, "in_frames", json_integer((json_int_t)stats.in_frames));
	put(object, "out_frames", json_integer((json_int_t)stats.out_frames));
}

json_t *api_object_summary(struct served *served)
{
	const struct served_front *front = served_front(served);
	json_t *object = head_json(served);

	if (front && front->device)
		put(object, "queues_running",
		    json_integer(observe_device_queues_running(front->device)));
	switch (served_kind(served)) {
	case CONFIG_DISK:
		put(object, "backend",
		    json_string(storage_backend_name(disk_config(disk_of(served))->backend)));
		put(object, "capacity_bytes",
		    json_integer(
			    (json_int_t)storage_info(disk_of(served)->storage)->capacity_bytes));
		put(object, "requests",
		    json_integer((json_int_t)observe_device_counter(disk_of(served)->front.device,
								    "ring", "completed")));
		break;
	case CONFIG_PORT:
		put(object, "mac", mac_json(port_config(port_of(served))->mac));
		put_traffic(object, served, port_of(served)->netport);
		break;
	case CONFIG_UPLINK:
		put(object, "type",
		    json_string(config_uplink_type_name(uplink_config(uplink_of(served))->type)));
		put_uplink(object, uplink_of(served));
		put_traffic(object, served, uplink_port(uplink_of(served)));
		break;
	default:
		put(object, "ports", members_json(served, CONFIG_PORT));
		put(object, "uplinks", members_json(served, CONFIG_UPLINK));
		break;
	}
	return object;
}

json_t *api_object_stats(struct served *served)
{
	json_t *object = json_pack("{s:s, s:s, s:o}", "name", served_name(served), "kind",
				   config_noun(served_kind(served)), "counters",
				   counters_json(served));

	if (served_kind(served) == CONFIG_DISK)
		put(object, "latency", observe_device_latency(served_front(served)->device));
	return object;
}

static struct stat_table exchange_table(void)
{
	return (struct stat_table){
		.name = "exchange",
		.rows = exchange_stat_rows,
		.row_cnt = exchange_stat_row_cnt,
		.bytes = sizeof(struct exchange_stats),
	};
}

json_t *api_exchange_json(const struct daemon *daemon, const struct worker *worker)
{
	const struct stat_table table = exchange_table();
	const struct fabric *fabric = daemon_fabric(daemon);

	/* None any more at the very end. */
	return fabric ? observe_counters(&table, exchange_stats(fabric_exchange(fabric, worker)))
		      : json_null();
}

void api_describe_net(json_t *list)
{
	const struct stat_table netport = netport_table();
	const struct stat_table tap = tap_table();
	const struct stat_table loop = loop_table();
	const struct stat_table exchange = exchange_table();
	const struct stat_table front_end = observe_front_end_table();
	unsigned cnt;
	const struct stat_table *tables = net_stat_tables(&cnt);

	for (unsigned i = 0; i < cnt; i++)
		observe_describe("port", &tables[i], list);
	observe_describe("port", &front_end, list);
	observe_describe("port", &netport, list);
	observe_describe("uplink", &tap, list);
	observe_describe("uplink", &loop, list);
	observe_describe("uplink", &netport, list);
	observe_describe("worker", &exchange, list);
}
