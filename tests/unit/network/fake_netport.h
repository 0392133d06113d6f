/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port as far as a capture sees one: it takes rings, at once or when the test says so, and has
 * a VLAN. Not a switch and not a test.
 */
#ifndef PARIO_TESTS_UNIT_NETWORK_FAKE_NETPORT_H
#define PARIO_TESTS_UNIT_NETWORK_FAKE_NETPORT_H

#include <stdbool.h>

#include "network/netport.h"
#include "worker/join.h"

#define FAKE_WORKERS_MAX 4

struct netport {
	unsigned worker_cnt;
	enum netport_tag_edit edit; /* of what goes out */
	struct capture_ring *rings[FAKE_WORKERS_MAX];
	bool hold;         /* joins hear at fake_netport_answer() only */
	int refuse;        /* the status that they hear */
	struct join *held; /* one at a time */
	unsigned changes;
};

void fake_netport_answer(struct netport *port);

#endif
