/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steering of a switch that does not exist: see net_steer_fake.h.
 */
#include "net_steer_fake.h"

#include <string.h>

struct net_steer_fake net_steer_fake;

static void take(struct steering *steering)
{
	steering_free(net_steer_fake.present);
	net_steer_fake.present = steering;
	net_steer_fake.changes++;
	memset(net_steer_fake.load, 0, sizeof(net_steer_fake.load));
}

void netport_set_steering(struct netport *port, struct steering *steering, struct join *join)
{
	(void)port;
	if (net_steer_fake.pending)
		__builtin_trap(); /* one at a time */
	if (net_steer_fake.fails) {
		steering_free(steering);
		join_add(join);
		join_done(join, -ENOMEM);
		return;
	}
	if (!net_steer_fake.hold) {
		take(steering);
		return;
	}
	net_steer_fake.pending = steering;
	net_steer_fake.join = join;
	join_add(join);
}

void net_steer_fake_finish(int status)
{
	struct steering *steering = net_steer_fake.pending;
	struct join *join = net_steer_fake.join;

	net_steer_fake.pending = NULL;
	if (status)
		steering_free(steering);
	else
		take(steering);
	join_done(join, status);
}

void net_steer_fake_reset(void)
{
	steering_free(net_steer_fake.present);
	memset(&net_steer_fake, 0, sizeof(net_steer_fake));
}

const struct steering *netport_steering(const struct netport *port)
{
	(void)port;
	return net_steer_fake.present;
}

unsigned netport_bucket_load(const struct netport *port, uint64_t *load)
{
	const struct steering *present = net_steer_fake.present;

	(void)port;
	if (!present || present->options.kind != STEERING_TABLE)
		return 0;
	for (unsigned i = 0; i < present->options.table_cnt; i++)
		load[i] += net_steer_fake.load[i];
	return present->options.table_cnt;
}

unsigned netport_flow_count(const struct netport *port)
{
	(void)port;
	return net_steer_fake.flows;
}
