/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A switch: its replicas, the ageing of what they learnt, the table for people.
 * Not frames (send.c).
 */
#include "network/netswitch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "network/netport_priv.h"

/* Places of the table that are looked at at a time: some microseconds. */
#define SWEEP_PLACES 512
/* An address is told to other workers so often while it lives. */
#define LEARN_TELLS 4
/* Part of a second that a port may flood at once. */
#define FLOOD_BURST 10

static void netswitch_sweep(struct worker *worker, struct worker_timer *timer)
{
	struct netswitch_replica *sw = container_of(timer, struct netswitch_replica, sweep);

	fdb_sweep(&sw->fdb, SWEEP_PLACES, worker_now_ns(worker));
	if (sw->fdb.cnt > 0)
		worker_timer_set(worker, timer, worker_now_ns(worker) + sw->sweep_every_ns);
}

void netswitch_learnt(struct netswitch_replica *sw, struct worker *worker)
{
	if (!sw->sweep.running)
		worker_timer_set(worker, &sw->sweep, worker_now_ns(worker) + sw->sweep_every_ns);
}

static int replica_init(struct netswitch_replica *replica, const struct netswitch_options *options)
{
	const uint64_t aging_ns = options->mac_aging_s * NS_PER_S;
	const struct fdb_options table = {
		.max = options->mac_table_size,
		.port_max = options->macs_per_port,
		.locked_max = FABRIC_PORTS_MAX,
		.aging_ns = aging_ns,
	};

	list_init(&replica->members);
	replica->sweep.expired = netswitch_sweep;
	replica->learn_refresh_ns = aging_ns / LEARN_TELLS;
	if (options->flood_limit_pps > 0) {
		replica->flood_cost_ns = NS_PER_S / options->flood_limit_pps;
		replica->flood_burst_ns = NS_PER_S / FLOOD_BURST;
	}
	if (fdb_init(&replica->fdb, &table) < 0)
		return -ENOMEM;
	replica->sweep_every_ns = aging_ns / (1 + replica->fdb.mask / SWEEP_PLACES);
	return 0;
}

static void netswitch_destroy(struct netswitch *sw)
{
	for (unsigned i = 0; sw->replicas && i < sw->fabric->worker_cnt; i++)
		fdb_fini(&sw->replicas[i].fdb);
	free(sw->replicas);
	free(sw);
}

static int netswitch_check(const struct netswitch_options *options, struct err *err)
{
	if (!options->name || !options->name[0] || strlen(options->name) >= NAME_BYTES)
		return err_set(err, EINVAL, "the name of a switch has 1 to %u characters",
			       NAME_BYTES - 1);
	if (options->mac_table_size < NETSWITCH_MAC_TABLE_MIN ||
	    options->mac_table_size > NETSWITCH_MAC_TABLE_MAX)
		return err_set(err, EINVAL, "switch %s: a table of %u addresses is not in %u to %u",
			       options->name, options->mac_table_size, NETSWITCH_MAC_TABLE_MIN,
			       NETSWITCH_MAC_TABLE_MAX);
	if (options->mac_aging_s == 0)
		return err_set(err, EINVAL, "switch %s: addresses age in 1 second or more",
			       options->name);
	return 0;
}

int netswitch_new(const struct netswitch_options *options, struct fabric *fabric,
		  struct netswitch **out, struct err *err)
{
	struct netswitch *sw;
	int rc = netswitch_check(options, err);

	if (rc < 0)
		return rc;
	sw = calloc(1, sizeof(*sw));
	if (!sw)
		return err_set(err, ENOMEM, "no memory for switch %s", options->name);
	sw->fabric = fabric;
	sw->options = *options;
	sw->ref_cnt = 1;
	snprintf(sw->name, sizeof(sw->name), "%s", options->name);
	sw->options.name = sw->name;
	sw->replicas = calloc(fabric->worker_cnt, sizeof(*sw->replicas));
	for (unsigned i = 0; i < fabric->worker_cnt; i++) {
		if (!sw->replicas || replica_init(&sw->replicas[i], options) < 0) {
			netswitch_destroy(sw);
			return err_set(err, ENOMEM, "no memory for the tables of switch %s",
				       options->name);
		}
	}
	*out = sw;
	return 0;
}

void netswitch_get(struct netswitch *sw)
{
	sw->ref_cnt++;
}

void netswitch_put(struct netswitch *sw)
{
	void (*closed)(void *arg) = sw->closed;
	void *closed_arg = sw->closed_arg;

	if (--sw->ref_cnt > 0)
		return;
	netswitch_destroy(sw);
	if (closed)
		closed(closed_arg);
}

void netswitch_free(struct netswitch *sw, void (*closed)(void *arg), void *arg)
{
	if (!sw) {
		if (closed)
			closed(arg);
		return;
	}
	sw->closed = closed;
	sw->closed_arg = arg;
	netswitch_put(sw);
}

const char *netswitch_name(const struct netswitch *sw)
{
	return sw->name;
}

unsigned netswitch_port_cnt(const struct netswitch *sw)
{
	return sw->port_cnt;
}

/* --- the table for people --- */

struct macs_call {
	struct worker_call call;
	struct netswitch *sw;
	void (*done)(void *arg, const struct netswitch_mac *rows, int cnt);
	void *arg;
	uint32_t max;
	uint32_t cnt;
	struct netswitch_mac rows[];
};

static void macs_add_row(struct macs_call *macs, const struct fdb_entry *entry, uint64_t now_ns)
{
	struct netswitch_mac *row = &macs->rows[macs->cnt++];

	fdb_key_mac(entry->key, row->mac);
	row->vlan = (uint16_t)fdb_key_vlan(entry->key);
	snprintf(row->port, sizeof(row->port), "%s", netport_of_addresses(entry->port)->port->name);
	row->locked = entry->seen_ns == FDB_LOCKED;
	if (!row->locked && now_ns > entry->seen_ns)
		row->age_s = (uint32_t)((now_ns - entry->seen_ns) / NS_PER_S);
}

static void macs_run_on_worker(struct worker *worker, struct worker_call *call)
{
	struct macs_call *macs = container_of(call, struct macs_call, call);
	const struct fdb *fdb = &macs->sw->replicas[0].fdb;

	for (uint32_t i = 0; i <= fdb->mask && macs->cnt < macs->max; i++) {
		if (fdb->entries[i].port)
			macs_add_row(macs, &fdb->entries[i], worker_now_ns(worker));
	}
	worker_call_ack(call);
}

static void macs_done_on_control(struct worker_call *call)
{
	struct macs_call *macs = container_of(call, struct macs_call, call);
	struct netswitch *sw = macs->sw;

	macs->done(macs->arg, macs->rows, (int)macs->cnt);
	free(macs);
	netswitch_put(sw);
}

void netswitch_macs(struct netswitch *sw,
		    void (*done)(void *arg, const struct netswitch_mac *rows, int cnt), void *arg)
{
	const uint32_t max = sw->options.mac_table_size + FABRIC_PORTS_MAX;
	/* What is not written takes no memory. */
	struct macs_call *macs = calloc(1, sizeof(*macs) + max * sizeof(macs->rows[0]));

	if (!macs) {
		done(arg, NULL, -1);
		return;
	}
	macs->call.run_on_worker = macs_run_on_worker;
	macs->call.done_on_control = macs_done_on_control;
	macs->sw = sw;
	macs->done = done;
	macs->arg = arg;
	macs->max = max;
	netswitch_get(sw);
	worker_call(sw->fabric->exchanges[0]->worker, &macs->call);
}
