/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port's life: how it comes to all workers, changes there, and goes; its queues' owners.
 * Not its frames (send.c, egress.c).
 */
#include "network/netport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "network/netport_priv.h"
#include "worker/join.h"

#define NETPORT_ROW(member, unit_, help_)                                               \
	{                                                                               \
		.name = #member, .unit = (unit_), .help = (help_),                      \
		.offset = offsetof(struct netport_stats, member), .kind = STAT_COUNTER, \
	}

const struct stat_row netport_stat_rows[] = {
	NETPORT_ROW(in_frames, "frames", "Frames that came from the port."),
	NETPORT_ROW(in_bytes, "bytes", "Bytes of frames that came from the port."),
	NETPORT_ROW(out_frames, "frames", "Frames that were given to the port."),
	NETPORT_ROW(out_bytes, "bytes", "Bytes of frames that were given to the port."),
	NETPORT_ROW(flooded, "frames", "Frames of the port that went to all others."),
	NETPORT_ROW(drop_runt, "frames", "Dropped: shorter than an Ethernet header."),
	NETPORT_ROW(drop_spoofed, "frames",
		    "Dropped: not from the port's own address, or from none that can be one."),
	NETPORT_ROW(drop_vlan, "frames", "Dropped: of a VLAN that the port does not carry."),
	NETPORT_ROW(drop_storm, "frames", "Dropped: flooding beyond the limit."),
	NETPORT_ROW(drop_hairpin, "frames", "Dropped: for an address behind the same port."),
	NETPORT_ROW(drop_no_port, "frames", "Dropped: no other port is there."),
	NETPORT_ROW(drop_no_queue, "frames", "Dropped for the port: no queue of it runs."),
	NETPORT_ROW(drop_inbox_full, "frames", "Dropped for the port: its worker is behind."),
	NETPORT_ROW(drop_egress_vlan, "frames",
		    "Dropped for the port: of a VLAN that it does not carry."),
	NETPORT_ROW(learn_refused, "addresses",
		    "Addresses of the port that were not learnt: the table or its share is full."),
	NETPORT_ROW(flows_learnt, "flows",
		    "Flows of the guest that were new, or on another of its queues."),
	NETPORT_ROW(
		flows_returned, "frames",
		"Frames to the port that went to the queue that its guest sends the flow from."),
	NETPORT_ROW(held, "frames",
		    "Frames to the port that waited while a queue or bucket moved."),
	NETPORT_ROW(drop_held, "frames", "Dropped of these: too many, or too long."),
	NETPORT_ROW(moves, "moves", "Buckets that went to another queue."),
	NETPORT_ROW(moves_given_up, "moves", "Moves that were given up: frames were out too long."),
};
const unsigned netport_stat_row_cnt = ARRAY_LEN(netport_stat_rows);

/* --- one worker's replica --- */

/* Its own address goes to nobody else: in its VLAN, or in all where it has several. */
static void replica_lock(struct netport_replica *replica)
{
	const unsigned vlan = replica->vlans.mode == NETPORT_VLAN_ACCESS ? replica->vlans.access
									 : FDB_VLAN_ANY;

	if (replica->mac_lock)
		(void)fdb_lock(&replica->sw->fdb, fdb_key(replica->mac, vlan), &replica->addresses);
}

/* Where two ports have the same locked address, the second has it when the first goes. */
static void replica_inherit_lock(struct netport_replica *gone)
{
	struct list_node *node;
	struct list_node *next;

	list_for_each_safe(node, next, &gone->sw->members) {
		struct netport_replica *other = list_entry(node, struct netport_replica, member);

		if (gone->mac_lock && other != gone && other->mac == gone->mac)
			replica_lock(other);
	}
}

/* All that is known of its addresses, by itself or in others' caches, is void. */
static void replica_flush(struct netport_replica *replica)
{
	fdb_flush_port(&replica->sw->fdb, &replica->addresses);
	replica_inherit_lock(replica);
	netport_forget_cached(replica);
}

static void replica_set_vlans(struct netport_replica *replica, const struct netport_vlans *vlans)
{
	replica->vlans = *vlans;
	replica->untagged_vlan = netport_vlans_of_untagged(vlans);
}

static void replica_set_lock(struct netport_replica *replica, bool mac_lock, const uint8_t *mac)
{
	replica->mac_lock = mac_lock;
	replica->mac = fdb_mac(mac);
}

static void netport_join_on_worker(struct exchange *exchange, void *arg)
{
	struct netport *port = arg;
	struct netport_replica *replica = netport_on(port, exchange);

	exchange->ports[FABRIC_PORT_PLACE(port->id)] =
		(struct exchange_port){.replica = replica, .id = port->id};
	list_push_back(&replica->sw->members, &replica->member);
	replica->sw->fdb.generation++; /* who was the only other port is it no more */
	replica->joined = true;
	replica_lock(replica);
	netport_forget_cached(replica);
}

static void netport_leave_on_worker(struct exchange *exchange, void *arg)
{
	struct netport *port = arg;
	struct netport_replica *replica = netport_on(port, exchange);

	steer_moves_drop(exchange, replica, worker_now_ns(exchange->worker));
	list_remove(&replica->member);
	replica_flush(replica);
	replica->joined = false;
	exchange->ports[FABRIC_PORT_PLACE(port->id)] = (struct exchange_port){0};
	if (list_empty(&replica->sw->members))
		worker_timer_cancel(exchange->worker, &replica->sw->sweep);
}

/* --- control --- */

static void netport_settled(struct netport *port)
{
	store_release(&port->unsettled, port->unsettled - 1);
}

static void netport_joined(void *arg)
{
	netport_settled(arg);
}

static int vlans_check(const struct netport_vlans *vlans, const char *name, struct err *err)
{
	if (vlans->mode == NETPORT_VLAN_ACCESS &&
	    (vlans->access < 1 || vlans->access > NETPORT_VLAN_MAX))
		return err_set(err, EINVAL, "port %s: VLAN %u is not in 1 to %u", name,
			       vlans->access, NETPORT_VLAN_MAX);
	return 0;
}

static int netport_check(const struct netport_options *options, struct err *err)
{
	const uint64_t mac = fdb_mac(options->mac);

	if (!options->name || !options->name[0] || strlen(options->name) >= NAME_BYTES)
		return err_set(err, EINVAL, "the name of a port has 1 to %u characters",
			       NAME_BYTES - 1);
	if (options->mac_lock && (mac == 0 || (mac & 1)))
		return err_set(
			err, EINVAL,
			"port %s: its address cannot be locked, for it is no unicast address",
			options->name);
	return vlans_check(&options->vlans, options->name, err);
}

static void netport_destroy(struct netport *port)
{
	free(port->join_round);
	free(port->leave_round);
	free(port->capture_round);
	free(port->steering_round);
	free(port);
}

static struct netport *netport_alloc(struct fabric *fabric)
{
	const size_t bytes =
		sizeof(struct netport) + fabric->worker_cnt * sizeof(struct netport_replica);
	struct netport *port = aligned_alloc(CACHE_LINE_BYTES, bytes);

	if (!port)
		return NULL;
	memset(port, 0, bytes);
	port->join_round = fabric_round_new(fabric);
	port->leave_round = fabric_round_new(fabric);
	port->capture_round = fabric_round_new(fabric);
	port->steering_round = fabric_round_new(fabric);
	if (!port->join_round || !port->leave_round || !port->capture_round ||
	    !port->steering_round) {
		netport_destroy(port);
		return NULL;
	}
	return port;
}

static void netport_init(struct netport *port, const struct netport_options *options)
{
	struct netswitch *sw = options->netswitch;

	port->sw = sw;
	port->receivers = 1;
	port->access = options->vlans.mode == NETPORT_VLAN_ACCESS;
	port->unsettled = 1;
	snprintf(port->name, sizeof(port->name), "%s", options->name);
	for (unsigned i = 0; i < NETPORT_QUEUES_MAX; i++)
		port->owners[i] = NETPORT_OWNER_NONE;
	for (unsigned i = 0; i < sw->fabric->worker_cnt; i++) {
		struct netport_replica *replica = &port->replicas[i];

		replica->port = port;
		replica->sw = &sw->replicas[i];
		replica->id = port->id;
		replica_set_vlans(replica, &options->vlans);
		replica_set_lock(replica, options->mac_lock, options->mac);
	}
}

int netport_open(const struct netport_options *options, struct netport **out, struct err *err)
{
	struct fabric *fabric = options->netswitch->fabric;
	struct netport *port;
	int rc = netport_check(options, err);

	if (rc < 0)
		return rc;
	port = netport_alloc(fabric);
	if (!port)
		return err_set(err, ENOMEM, "no memory for port %s", options->name);
	if (!fabric_take_port_id(fabric, &port->id)) {
		netport_destroy(port);
		return err_set(err, EINVAL,
			       "port %s: there are %u ports already, the most there can be",
			       options->name, FABRIC_PORTS_MAX);
	}
	netport_init(port, options);
	netswitch_get(port->sw);
	port->sw->port_cnt++;
	fabric_round_start(port->join_round, netport_join_on_worker, netport_joined, port);
	*out = port;
	return 0;
}

static void netport_left(void *arg)
{
	struct netport *port = arg;
	struct netswitch *sw = port->sw;
	void (*closed)(void *arg) = port->closed;
	void *closed_arg = port->closed_arg;

	/* Entries with its number that are still in some ring name nobody from here on. */
	fabric_put_port_id(sw->fabric, port->id);
	netport_free_steering(port);
	netport_destroy(port);
	sw->port_cnt--;
	netswitch_put(sw);
	if (closed)
		closed(closed_arg);
}

void netport_close(struct netport *port, void (*closed)(void *arg), void *arg)
{
	CHECK(load_relaxed(&port->open) == 0);
	CHECK(!port->capture_join && !port->capture_rings);
	port->closed = closed;
	port->closed_arg = arg;
	/* Behind a change of steering that is under way: workers take rounds in their order. */
	fabric_round_start(port->leave_round, netport_leave_on_worker, netport_left, port);
}

const char *netport_name(const struct netport *port)
{
	return port->name;
}

struct netswitch *netport_switch(const struct netport *port)
{
	return port->sw;
}

void netport_stats(const struct netport *port, struct netport_stats *sum)
{
	*sum = (struct netport_stats){0};
	for (unsigned i = 0; i < port->sw->fabric->worker_cnt; i++)
		stat_sum(sum, &port->replicas[i].stats, sizeof(*sum));
}

void netport_set_receivers(struct netport *port, unsigned cnt)
{
	const uint64_t all = UINT64_MAX;

	CHECK(cnt >= 1 && cnt <= NETPORT_QUEUES_MAX);
	store_relaxed(&port->receivers, all >> (NETPORT_QUEUES_MAX - cnt));
}

/* --- changes at run time --- */

struct netport_change {
	struct netport *port;
	struct fabric_round *round;
	struct join *join;
	bool is_lock;
	bool mac_lock;
	uint8_t mac[ETHER_MAC_BYTES];
	struct netport_vlans vlans;
};

static void change_on_worker(struct exchange *exchange, void *arg)
{
	const struct netport_change *change = arg;
	struct netport_replica *replica = netport_on(change->port, exchange);

	replica_flush(replica);
	if (change->is_lock)
		replica_set_lock(replica, change->mac_lock, change->mac);
	else
		replica_set_vlans(replica, &change->vlans);
	replica_lock(replica);
	netport_forget_cached(replica);
}

static void change_done(void *arg)
{
	struct netport_change *change = arg;
	struct join *join = change->join;

	netport_settled(change->port);
	free(change->round);
	free(change);
	join_done(join, 0);
}

/* Takes the change, which is copied. */
static void netport_change(const struct netport_change *wanted)
{
	struct netport *port = wanted->port;
	struct netport_change *change = malloc(sizeof(*change));
	struct fabric_round *round = fabric_round_new(port->sw->fabric);

	join_add(wanted->join);
	if (!change || !round) {
		free(change);
		free(round);
		join_done(wanted->join, -ENOMEM);
		return;
	}
	*change = *wanted;
	change->round = round;
	store_release(&port->unsettled, port->unsettled + 1);
	if (!change->is_lock)
		store_relaxed(&port->access, change->vlans.mode == NETPORT_VLAN_ACCESS);
	fabric_round_start(round, change_on_worker, change_done, change);
}

void netport_set_vlans(struct netport *port, const struct netport_vlans *vlans, struct join *join)
{
	struct netport_change change = {.port = port, .join = join, .vlans = *vlans};

	netport_change(&change);
}

void netport_set_lock(struct netport *port, bool mac_lock, const uint8_t *mac, struct join *join)
{
	struct netport_change change = {
		.port = port, .join = join, .is_lock = true, .mac_lock = mac_lock};

	memcpy(change.mac, mac, sizeof(change.mac));
	netport_change(&change);
}

static void capture_on_worker(struct exchange *exchange, void *arg)
{
	struct netport *port = arg;

	netport_on(port, exchange)->capture =
		port->capture_rings ? port->capture_rings[exchange->idx] : NULL;
}

static void capture_done(void *arg)
{
	struct netport *port = arg;
	struct join *join = port->capture_join;

	port->capture_join = NULL;
	join_done(join, 0);
}

/* Needs no memory: what cannot be taken away could not be freed. */
void netport_set_capture(struct netport *port, struct capture_ring *const *rings, struct join *join)
{
	CHECK(!port->capture_join);
	join_add(join);
	port->capture_join = join;
	port->capture_rings = rings;
	fabric_round_start(port->capture_round, capture_on_worker, capture_done, port);
}

/* --- queues; their owner --- */

void netport_queue_open(struct netport_queue *queue, struct netport *port, unsigned idx,
			struct exchange *exchange)
{
	struct netport_replica *replica = netport_on(port, exchange);
	const uint32_t before = load_relaxed(&port->owners[idx]);
	const uint32_t owner = ((before >> 16) + 1) << 16 | exchange->idx;
	const uint32_t via = replica->via[idx];

	CHECK(replica->joined);
	CHECK(idx < NETPORT_QUEUES_MAX);
	CHECK(!replica->queues[idx]);
	queue->port = port;
	queue->idx = idx;
	queue->exchange = exchange;
	queue->dirty = false;
	queue->dirty_next = NULL;
	replica->queues[idx] = queue;
	if (!replica->queue_moves[idx] && (via == 0 || NETPORT_OWNER(via) == exchange->idx)) {
		replica->via[idx] = owner;
		replica->direct[idx] = queue;
	}
	store_release(&port->owners[idx], owner);
	__atomic_fetch_or(&port->open, 1ull << idx, __ATOMIC_RELEASE);
}

/* Nobody has it now. */
static void queue_disown(struct netport *port, unsigned idx, unsigned owner)
{
	const uint32_t before = load_relaxed(&port->owners[idx]);

	if (owner == NETPORT_OWNER_NONE)
		__atomic_fetch_and(&port->open, ~(1ull << idx), __ATOMIC_RELAXED);
	store_release(&port->owners[idx], (before & ~0xffffu) | owner);
}

void netport_queue_close(struct netport_queue *queue, bool moving)
{
	struct netport *port = queue->port;
	struct netport_replica *replica = netport_on(port, queue->exchange);

	CHECK(replica->queues[queue->idx] == queue);
	CHECK(!queue->dirty);
	replica->queues[queue->idx] = NULL;
	replica->direct[queue->idx] = NULL;
	queue_disown(port, queue->idx, moving ? NETPORT_OWNER_MOVING : NETPORT_OWNER_NONE);
}

void netport_queue_gone(struct netport *port, unsigned idx)
{
	if (NETPORT_OWNER(load_relaxed(&port->owners[idx])) == NETPORT_OWNER_MOVING)
		queue_disown(port, idx, NETPORT_OWNER_NONE);
}
