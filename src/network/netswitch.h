/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A learning switch: its ports, its forwarding table, its limits.
 * Not a port (netport.h).
 *
 * Control thread only.
 */
#ifndef PARIO_NETWORK_NETSWITCH_H
#define PARIO_NETWORK_NETSWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/evloop.h"
#include "network/fabric.h"

struct netswitch;

#define NETSWITCH_MAC_TABLE_MIN 16
#define NETSWITCH_MAC_TABLE_MAX 65536
#define NETSWITCH_VLAN_ANY 4095

struct netswitch_options {
	const char *name;
	uint32_t mac_table_size;  /* addresses at most, default 8192 */
	uint32_t macs_per_port;   /* of one port, at most; 0: no limit but the table's */
	uint32_t mac_aging_s;     /* default 300 */
	uint32_t flood_limit_pps; /* flooded frames of one port on one worker; 0: none */
};

/* 0 or -EINVAL / -ENOMEM with text. The fabric is borrowed. */
int netswitch_new(const struct netswitch_options *options, struct fabric *fabric,
		  struct netswitch **out, struct err *err);
/*
 * No port is left, or those that are have been told to close. closed(arg) runs when no worker knows
 * it any more, which may be from within. NULL is allowed.
 */
void netswitch_free(struct netswitch *sw, void (*closed)(void *arg), void *arg);
const char *netswitch_name(const struct netswitch *sw);
unsigned netswitch_port_cnt(const struct netswitch *sw);

/* One row of the forwarding table, for people. */
struct netswitch_mac {
	uint8_t mac[6];
	uint16_t vlan; /* NETSWITCH_VLAN_ANY: locked in every VLAN */
	char port[64];
	bool locked;
	uint32_t age_s;
};
/*
 * Asks a worker for its replica; done(arg, rows, cnt) runs on control, rows are freed after it. -1
 * as cnt: no memory.
 */
void netswitch_macs(struct netswitch *sw,
		    void (*done)(void *arg, const struct netswitch_mac *rows, int cnt), void *arg);

#endif
