/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of the schema: the keys of switches, ports and uplinks. Data only; the daemon and disks
 * are in schema_rows.c.
 */
#include "control/rss_text.h"
#include "control/schema_rows_priv.h"
#include "device/net/net.h"
#include "network/netport.h"
#include "network/netswitch.h"

/* IFNAMSIZ, with its zero. */
#define IFNAME_BYTES_MAX 15
/* Of `trunk`: every other VLAN, four digits each, and commas. */
#define TRUNK_BYTES_MAX 10240
/* A day. */
#define AGING_S_MAX 86400
#define FLOOD_PPS_MAX 100000000
/* VIRTIO 1.3, 5.1.4: speed has 31 bits. */
#define SPEED_MBIT_MAX 0x7fffffff

/* Fewer frames say little, and a load that lasts longer is seen by a person. */
#define INTERVAL_MS_MIN 10
#define INTERVAL_MS_MAX 60000
/* The modes that hash frames over a table. */
#define BY_TABLE (1u << NET_STEERING_RSS | 1u << NET_STEERING_REBALANCE)

_Static_assert(RSS_TEXT_KEY_BYTES_MAX == TOEPLITZ_KEY_BYTES, "a key is one");
_Static_assert(RSS_TEXT_TABLE_MAX == STEERING_TABLE_MAX, "a table is one");
_Static_assert(offsetof(struct net_steering, key) - offsetof(struct net_steering, key_bytes) ==
		       offsetof(struct rss_key, key),
	       "a key is stored as a struct rss_key");
_Static_assert(offsetof(struct net_steering, table) - offsetof(struct net_steering, table_cnt) ==
		       offsetof(struct rss_table, entries),
	       "a table is stored as a struct rss_table");

static const char *choice_queue_num(unsigned idx)
{
	static const char *const names[] = {"pairs", "rings"};

	return idx < ARRAY_LEN(names) ? names[idx] : NULL;
}

static const char *choice_link(unsigned idx)
{
	static const char *const names[] = {"up", "down"};

	return idx < ARRAY_LEN(names) ? names[idx] : NULL;
}

static const char *choice_uplink_type(unsigned idx)
{
	return idx < CONFIG_UPLINK_TYPE_MAX_ ? config_uplink_type_name((enum config_uplink_type)idx)
					     : NULL;
}

static const char *choice_steering(unsigned idx)
{
	return net_steering_mode_name((enum net_steering_mode)idx);
}

static const char *choice_hash_type(unsigned idx)
{
	return hash_type_name((enum hash_type)idx);
}

static const struct schema_row switch_rows[] = {
	SCHEMA_NAME_ROW(config_switch, "switch"),
	{.key = "mac-table-size",
	 .type = SCHEMA_INT,
	 .value = "8192",
	 .min = NETSWITCH_MAC_TABLE_MIN,
	 .max = NETSWITCH_MAC_TABLE_MAX,
	 .offset = SCHEMA_OFFSET(config_switch, mac_table_size),
	 .help = "The most MAC addresses that it learns. A frame to an address that is not among "
		 "them goes to all ports."},
	{.key = "mac-aging",
	 .type = SCHEMA_INT,
	 .value = "300",
	 .min = 1,
	 .max = AGING_S_MAX,
	 .offset = SCHEMA_OFFSET(config_switch, mac_aging_s),
	 .help = "Seconds after which an address that sends nothing is forgotten."},
	/* An eighth of the table: no guest that makes up addresses fills it, and few networks
	 * behind an uplink have more stations. */
	{.key = "macs-per-port",
	 .type = SCHEMA_INT,
	 .value = "1024",
	 .min = 0,
	 .max = NETSWITCH_MAC_TABLE_MAX,
	 .offset = SCHEMA_OFFSET(config_switch, macs_per_port),
	 .help = "The most addresses that it learns from one port or uplink, so that a guest which "
		 "makes up addresses does not fill the table; 0: no limit but the table's."},
	/* What one worker copies to some ten ports beside its other work; address resolution and
	 * the like stay below a thousandth of it. */
	{.key = "flood-limit",
	 .type = SCHEMA_INT,
	 .value = "100000",
	 .min = 0,
	 .max = FLOOD_PPS_MAX,
	 .offset = SCHEMA_OFFSET(config_switch, flood_limit_pps),
	 .help = "Frames a second that a port (on each worker that serves it) may send to "
		 "broadcast, multicast and unknown addresses, each of which goes to all ports; "
		 "those beyond are dropped and counted. 0: no limit."},
};

#define VLAN_ROWS(of)                                                                            \
	{.key = "vlan",                                                                          \
	 .runtime = true,                                                                        \
	 .type = SCHEMA_INT,                                                                     \
	 .value_in_words = "none: without trunk, every VLAN with its tags as they are",          \
	 .min = 1,                                                                               \
	 .max = NETPORT_VLAN_MAX,                                                                \
	 .offset = SCHEMA_OFFSET(of, vlans.access),                                              \
	 .help = "The VLAN that it belongs to (access): its frames have no tag. Not beside "     \
		 "trunk."},                                                                      \
	{                                                                                        \
		.key = "trunk", .runtime = true, .type = SCHEMA_VLANS, .value_in_words = "none", \
		.max = TRUNK_BYTES_MAX, .offset = SCHEMA_OFFSET(of, vlans.trunk),                \
		.help = "The VLANs whose frames it carries, tagged; 0 stands for those "         \
			"without a tag. On a command line its commas are doubled."               \
	}

#define SWITCH_ROW(of, noun)                                                                      \
	{                                                                                         \
		.key = "switch", .type = SCHEMA_NAME,                                             \
		.value_in_words = "none: every " noun " needs one", .max = OBJECT_NAME_BYTES_MAX, \
		.offset = SCHEMA_OFFSET(of, switch_name),                                         \
		.help = "The switch that it is a port of. One that is not described anywhere is " \
			"made with its defaults."                                                 \
	}

#define OFFLOAD_ROW(name, member, text)                                               \
	{                                                                             \
		.key = "offloads." name, .type = SCHEMA_BOOL, .value = "true",        \
		.offset = SCHEMA_OFFSET(config_port, offloads.member), .help = (text) \
	}

static const struct schema_row port_rows[] = {
	SCHEMA_NAME_ROW(config_port, "port"),
	SWITCH_ROW(config_port, "port"),
	SCHEMA_SOCKET_ROWS(config_port),
	{.key = "mac",
	 .type = SCHEMA_MAC,
	 .value_in_words = "made from the name, the same on every machine",
	 .offset = SCHEMA_OFFSET(config_port, mac),
	 .help = "The MAC address that is offered to the guest. QEMU gives its guest the one of "
		 "its own option mac=: set both alike if mac-lock is set. Give it where machines "
		 "with ports of the same names share a network."},
	{.key = "mac-lock",
	 .runtime = true,
	 .type = SCHEMA_BOOL,
	 .value = "false",
	 .offset = SCHEMA_OFFSET(config_port, mac_lock),
	 .help = "Drop frames from the guest whose source is not mac, and let no other port have "
		 "that address."},
	VLAN_ROWS(config_port),
	{.key = "link",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = choice_link,
	 .value = "up",
	 .offset = SCHEMA_OFFSET(config_port, link),
	 .help = "What the guest is told of the link."},
	/* QEMU refuses a port that has fewer pairs than it wants. */
	{.key = "queue-pairs",
	 .type = SCHEMA_INT,
	 .value = "16",
	 .min = 1,
	 .max = NET_PAIRS_MAX,
	 .offset = SCHEMA_OFFSET(config_port, queue_pairs),
	 .help = "The most pairs of queues that a front end may use; it may use fewer."},
	{.key = "queue-num",
	 .type = SCHEMA_CHOICE,
	 .choice = choice_queue_num,
	 .value = "pairs",
	 .offset = SCHEMA_OFFSET(config_port, queue_num),
	 .help = "The unit in which a front end is told the number of queues: pairs as QEMU and "
		 "DPDK take it, or rings."},
	{.key = "mtu",
	 .type = SCHEMA_INT,
	 .value_in_words = "none is offered",
	 .min = NET_MTU_MIN,
	 .max = NET_MTU_MAX,
	 .offset = SCHEMA_OFFSET(config_port, mtu),
	 .help = "The MTU that is offered to the guest, and beyond which frames are dropped."},
	{.key = "speed",
	 .type = SCHEMA_INT,
	 .value_in_words = "not known",
	 .min = 1,
	 .max = SPEED_MBIT_MAX,
	 .offset = SCHEMA_OFFSET(config_port, speed_mbit),
	 .help = "The speed that the guest is told, in Mbit/s; nothing is limited by it."},
	OFFLOAD_ROW("csum", csum, "Offer to complete checksums for the guest."),
	OFFLOAD_ROW("guest-csum", guest_csum,
		    "Offer to leave checksums of frames that never "
		    "were on a wire to the guest."),
	OFFLOAD_ROW("host-tso4", host_tso4, "Take large TCP frames over IPv4 from the guest."),
	OFFLOAD_ROW("host-tso6", host_tso6, "Take large TCP frames over IPv6 from the guest."),
	OFFLOAD_ROW("host-ecn", host_ecn, "Take large TCP frames with ECN from the guest."),
	OFFLOAD_ROW("host-ufo", host_ufo, "Take large UDP datagrams from the guest."),
	OFFLOAD_ROW("host-uso", host_uso, "Take trains of UDP datagrams from the guest."),
	OFFLOAD_ROW("guest-tso4", guest_tso4, "Offer large TCP frames over IPv4 to the guest."),
	OFFLOAD_ROW("guest-tso6", guest_tso6, "Offer large TCP frames over IPv6 to the guest."),
	OFFLOAD_ROW("guest-ecn", guest_ecn, "Offer large TCP frames with ECN to the guest."),
	OFFLOAD_ROW("guest-ufo", guest_ufo, "Offer large UDP datagrams to the guest."),
	OFFLOAD_ROW("guest-uso4", guest_uso4,
		    "Offer trains of UDP datagrams over IPv4 to the "
		    "guest."),
	OFFLOAD_ROW("guest-uso6", guest_uso6,
		    "Offer trains of UDP datagrams over IPv6 to the "
		    "guest."),
	OFFLOAD_ROW("mrg-rxbuf", mrg_rxbuf,
		    "Offer to spread a frame over several receive "
		    "buffers."),
	SCHEMA_RING_ROWS(config_port, "true",
			 "Offer to use buffers in the order in which they were made available."),
	SCHEMA_SERVICE_ROWS(config_port, "port"),
	{.key = "coalesce.mode",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = schema_choice_coalesce,
	 .value = "adaptive",
	 .offset = SCHEMA_OFFSET(config_port, front.coalesce.mode),
	 .help = "When the guest gets an interrupt, if it wants any, for frames to it and for "
		 "those "
		 "that it sent: with off at the end of each burst; with static when "
		 "coalesce.packets are there or coalesce.usecs have passed; with adaptive within "
		 "the same bounds and only while frames come fast, never beyond the buffers that "
		 "the guest has free, nor for an answer that it waits for. What the guest sets "
		 "itself (ethtool -C) goes over it."},
	/* The bounds, not the goals, of adaptive: what the receive ring of most guests holds, and
	 * what a guest that takes 5000 frames a second needs for six of them to share a call. */
	{.key = "coalesce.packets",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "256",
	 .min = 1,
	 .max = COALESCE_PACKETS_MAX,
	 .offset = SCHEMA_OFFSET(config_port, front.coalesce.packets),
	 .help = "The most frames to one interrupt, unless coalesce.mode is off."},
	{.key = "coalesce.usecs",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "1500",
	 .min = 1,
	 .max = COALESCE_USECS_MAX,
	 .offset = SCHEMA_OFFSET(config_port, front.coalesce.usecs),
	 .help = "How long a frame waits for its interrupt at most, in microseconds, unless "
		 "coalesce.mode is off."},
	{.key = "steering.mode",
	 .runtime = true,
	 .type = SCHEMA_CHOICE,
	 .choice = choice_steering,
	 .value = "learn",
	 .offset = SCHEMA_OFFSET(config_port, steering.mode),
	 .help = "On which of several receive queues a frame comes to the guest: with learn on the "
		 "one of the pair that the guest sends the same flow from, by a hash if it does "
		 "not; with rss by a hash and a table; with rebalance the same, and the table "
		 "follows the load that is measured, without reordering a flow. What the guest "
		 "sets itself (ethtool -X) goes over it."},
	{.key = "steering.types",
	 .runtime = true,
	 .type = SCHEMA_WORDS,
	 .choice = choice_hash_type,
	 .value = "all",
	 .steering = BY_TABLE,
	 .offset = SCHEMA_OFFSET(config_port, steering.types),
	 .help = "The kinds of frames that are hashed, each by its addresses, those of TCP and UDP "
		 "by their ports too; all others come on the first queue. On a command line its "
		 "commas are doubled."},
	{.key = "steering.key",
	 .runtime = true,
	 .type = SCHEMA_KEY,
	 .value_in_words = "that of Microsoft's verification suite",
	 .min = 1,
	 .max = TOEPLITZ_KEY_BYTES,
	 .steering = BY_TABLE,
	 .offset = SCHEMA_OFFSET(config_port, steering.key_bytes),
	 .help = "The key of the hash, as ethtool -x prints it; a shorter one is followed by "
		 "zeroes."},
	{.key = "steering.table",
	 .runtime = true,
	 .type = SCHEMA_TABLE,
	 .value_in_words = "the queue pairs in use, in turn",
	 .min = 1,
	 .max = STEERING_TABLE_MAX,
	 .steering = BY_TABLE,
	 .offset = SCHEMA_OFFSET(config_port, steering.table_cnt),
	 .help = "The queue pair, counted from 0, for each remainder of the hash by the length of "
		 "the table. On a command line its commas are doubled."},
	{.key = "steering.inner",
	 .runtime = true,
	 .type = SCHEMA_BOOL,
	 .value = "false",
	 .offset = SCHEMA_OFFSET(config_port, steering.inner),
	 .help = "Tell flows in VXLAN apart by the headers inside."},
	{.key = "steering.interval-ms",
	 .runtime = true,
	 .type = SCHEMA_INT,
	 .value = "1000",
	 .min = INTERVAL_MS_MIN,
	 .max = INTERVAL_MS_MAX,
	 .steering = 1u << NET_STEERING_REBALANCE,
	 .offset = SCHEMA_OFFSET(config_port, steering.interval_ms),
	 .help = "Milliseconds from one look at the load of the table to the next."},
};

static const struct schema_row uplink_rows[] = {
	SCHEMA_NAME_ROW(config_uplink, "uplink"),
	SWITCH_ROW(config_uplink, "uplink"),
	{.key = "type",
	 .type = SCHEMA_CHOICE,
	 .choice = choice_uplink_type,
	 .value = "tap",
	 .offset = SCHEMA_OFFSET(config_uplink, type),
	 .help = "What is behind it: a tap interface of the host, or a loop that sends every frame "
		 "back with its addresses exchanged, for tests."},
	{.key = "ifname",
	 .type = SCHEMA_NAME,
	 .value_in_words = "the name",
	 .max = IFNAME_BYTES_MAX,
	 .offset = SCHEMA_OFFSET(config_uplink, ifname),
	 .help = "The tap interface: attached if it exists, otherwise made, and gone when the "
		 "uplink is."},
	{.key = "queues",
	 .type = SCHEMA_INT,
	 .value = "1",
	 .min = 1,
	 .max = NETPORT_QUEUES_MAX,
	 .offset = SCHEMA_OFFSET(config_uplink, queues),
	 .help = "Queues of the interface, spread over the workers."},
	{.key = "mtu",
	 .type = SCHEMA_INT,
	 .value_in_words = "as it is",
	 .min = NET_MTU_MIN,
	 .max = NET_MTU_MAX,
	 .offset = SCHEMA_OFFSET(config_uplink, mtu),
	 .help = "The MTU that the interface is given."},
	{.key = "offloads",
	 .type = SCHEMA_BOOL,
	 .value = "true",
	 .offset = SCHEMA_OFFSET(config_uplink, offloads),
	 .help = "Leave checksums and segmentation to the kernel, and take large frames from it."},
	VLAN_ROWS(config_uplink),
	SCHEMA_WORKERS_ROW(config_uplink, workers, "uplink", false),
	SCHEMA_POLL_ROWS(config_uplink, poll, poll_max_us, "uplink", false),
};

_Static_assert(ARRAY_LEN(switch_rows) <= CONFIG_KEYS_MAX, "a bit of `given` for each key");
_Static_assert(ARRAY_LEN(port_rows) <= CONFIG_KEYS_MAX, "a bit of `given` for each key");
_Static_assert(ARRAY_LEN(uplink_rows) <= CONFIG_KEYS_MAX, "a bit of `given` for each key");

const struct schema_table schema_switch = {
	.name = "switches",
	.noun = "switch",
	.prefix = "switches[].",
	.object_bytes = sizeof(struct config_switch),
	.rows = switch_rows,
	.row_cnt = ARRAY_LEN(switch_rows),
};

const struct schema_table schema_port = {
	.name = "ports",
	.noun = "port",
	.prefix = "ports[].",
	.object_bytes = sizeof(struct config_port),
	.rows = port_rows,
	.row_cnt = ARRAY_LEN(port_rows),
};

const struct schema_table schema_uplink = {
	.name = "uplinks",
	.noun = "uplink",
	.prefix = "uplinks[].",
	.object_bytes = sizeof(struct config_uplink),
	.rows = uplink_rows,
	.row_cnt = ARRAY_LEN(uplink_rows),
};
