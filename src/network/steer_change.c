/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a port's steering comes to all workers, and what they say of it. Control.
 * Not the choice of a queue (steer.c).
 *
 * Theory of operation
 *
 * 1. A port has one struct steering, and for each worker a struct steer, made and freed here. A
 *    round over the workers puts another into their replicas; what was there is freed when all
 *    have taken the new.
 * 2. Where buckets mean the same as before (the same hash, as many of them) only the pointer to the
 *    steering changes: places stay, and those whose entry is another move when a frame comes. Else
 *    the replica gets new places, and the port is moved as a whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ordering.h"
#include "network/netport_priv.h"
#include "worker/join.h"

static void steer_free(struct steer *steer)
{
	if (!steer)
		return;
	flow_table_free(steer->flows);
	free(steer->apart);
	free(steer);
}

static struct steer *steer_new(const struct steering *steering)
{
	const struct steering_options *options = &steering->options;
	const bool learns = options->kind == STEERING_LEARN;
	const unsigned cnt = options->kind == STEERING_TABLE ? options->table_cnt + 1
							     : 1u << STEER_SPREAD_BITS;
	struct steer *steer = calloc(1, sizeof(*steer) + cnt * sizeof(steer->buckets[0]));

	if (!steer)
		return NULL;
	steer->steering = steering;
	steer->bucket_cnt = cnt;
	if (!learns)
		return steer;
	steer->flows = flow_table_new(STEER_FLOWS, STEER_FLOW_AGE_NS);
	steer->apart = calloc(STEER_FLOWS, sizeof(*steer->apart));
	if (steer->flows && steer->apart)
		return steer;
	steer_free(steer);
	return NULL;
}

static void steers_free(struct steer **steers, unsigned cnt)
{
	for (unsigned i = 0; steers && i < cnt; i++)
		steer_free(steers[i]);
	free(steers);
}

void netport_free_steering(struct netport *port)
{
	steers_free(port->steers, port->sw->fabric->worker_cnt);
	steering_free(port->steering);
}

static struct steer **steers_new(const struct steering *steering, unsigned cnt)
{
	struct steer **steers = calloc(cnt, sizeof(struct steer *));

	for (unsigned i = 0; steers && i < cnt; i++) {
		steers[i] = steer_new(steering);
		if (!steers[i]) {
			steers_free(steers, cnt);
			return NULL;
		}
	}
	return steers;
}

/* Does a frame have the same bucket by both? */
static bool buckets_are_the_same(const struct steering *a, const struct steering *b)
{
	if (a->options.kind != b->options.kind || a->options.inner != b->options.inner)
		return false;
	return a->options.kind != STEERING_TABLE ||
	       (a->options.table_cnt == b->options.table_cnt &&
		a->options.types == b->options.types &&
		memcmp(a->toeplitz.key, b->toeplitz.key, sizeof(a->toeplitz.key)) == 0);
}

/* The control thread takes the load meanwhile. */
static void replica_set_steering(struct steer *steer, const struct steering *steering)
{
	steer->steering = steering;
	for (unsigned i = 0; i < steer->bucket_cnt; i++) {
		steer->buckets[i].stays_until_ns = 0;
		store_relaxed(&steer->buckets[i].load, 0);
	}
}

static void steering_on_worker(struct exchange *exchange, void *arg)
{
	struct netport *port = arg;
	struct netport_replica *replica = netport_on(port, exchange);
	struct steer *steer = port->steers[exchange->idx];
	const uint64_t now_ns = worker_now_ns(exchange->worker);
	struct steer *old = replica->steer;

	if (old == steer) {
		replica_set_steering(steer, port->steering);
		return;
	}
	replica->steer = steer;
	exchange_begin_burst(exchange);
	/* What waits already for the whole port goes on to do so: nothing was sent since. */
	if (old && old->all)
		steer->all = old->all;
	else
		steer_move_all(replica, exchange, now_ns);
	exchange_end_burst(exchange, now_ns);
}

static void steering_done(void *arg)
{
	struct netport *port = arg;
	struct join *join = port->steering_join;

	steers_free(port->steers_old, port->sw->fabric->worker_cnt);
	port->steers_old = NULL;
	steering_free(port->steering_old);
	port->steering_old = NULL;
	port->steering_join = NULL;
	join_done(join, 0);
}

void netport_set_steering(struct netport *port, struct steering *steering, struct join *join)
{
	const unsigned worker_cnt = port->sw->fabric->worker_cnt;

	CHECK(!port->steering_join);
	join_add(join);
	if (!port->steering || !buckets_are_the_same(port->steering, steering)) {
		struct steer **steers = steers_new(steering, worker_cnt);

		if (!steers) {
			steering_free(steering);
			join_done(join, -ENOMEM);
			return;
		}
		port->steers_old = port->steers;
		port->steers = steers;
	}
	port->steering_join = join;
	port->steering_old = port->steering;
	port->steering = steering;
	fabric_round_start(port->steering_round, steering_on_worker, steering_done, port);
}

const struct steering *netport_steering(const struct netport *port)
{
	return port->steering;
}

unsigned netport_bucket_load(const struct netport *port, uint64_t *load)
{
	unsigned cnt;

	if (!port->steering || port->steering->options.kind != STEERING_TABLE)
		return 0;
	cnt = port->steering->options.table_cnt;
	for (unsigned worker = 0; worker < port->sw->fabric->worker_cnt; worker++) {
		for (unsigned i = 0; i < cnt; i++)
			load[i] += load_relaxed(&port->steers[worker]->buckets[i].load);
	}
	return cnt;
}

unsigned netport_flow_count(const struct netport *port)
{
	if (!port->steers || !port->steers[0]->flows)
		return 0;
	return flow_table_count(port->steers[0]->flows, clock_now_ns());
}
