/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One uplink that the daemon serves: an interface of the host on a switch.
 * Not the interface (network/tap.h) and not its configuration (control/config.h).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_UPLINK_H
#define PARIO_APP_UPLINK_H

#include "app/served.h"
#include "base/compiler.h"
#include "network/loop.h"
#include "network/tap.h"

/* One of them, as the type says; both NULL: not open, or closing. */
struct uplink {
	struct served served;
	struct tap *tap;
	struct loop *loop;
};

static inline struct uplink *uplink_of(struct served *served)
{
	return container_of(served, struct uplink, served);
}

static inline const struct config_uplink *uplink_config(const struct uplink *uplink)
{
	return (const struct config_uplink *)uplink->served.config;
}

/* Its port on the switch; NULL: none any more. */
struct netport *uplink_port(const struct uplink *uplink);

#endif
