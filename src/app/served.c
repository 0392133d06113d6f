/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is the same for every kind of object. Not the order between objects, which daemon.c keeps.
 */
#include "app/served.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/captures.h"
#include "app/daemon_priv.h"
#include "app/port.h"
#include "app/uplink.h"

struct served *served_new(struct daemon *daemon, struct config_object *config)
{
	static const struct served_ops *const kinds[] = {
		[CONFIG_DISK] = &disk_ops,
		[CONFIG_SWITCH] = &lan_ops,
		[CONFIG_PORT] = &port_ops,
		[CONFIG_UPLINK] = &uplink_ops,
	};
	const struct served_ops *ops = kinds[config->kind];
	struct served *served = calloc(1, ops->bytes);

	if (!served)
		return NULL;
	served->ops = ops;
	served->daemon = daemon;
	served->config = config;
	snprintf(served->tag, sizeof(served->tag), "%s %s", config_noun(config->kind),
		 config->name);
	if (ops->init)
		ops->init(served);
	return served;
}

void served_free(struct served *served)
{
	if (served->ops->free)
		served->ops->free(served);
	free(served);
}

struct netport *served_netport(struct served *served)
{
	if (served_kind(served) == CONFIG_PORT)
		return port_of(served)->netport;
	if (served_kind(served) == CONFIG_UPLINK)
		return uplink_port(uplink_of(served));
	return NULL;
}

static void close_now(void *arg)
{
	struct served *served = arg;

	served->ops->close(served);
}

void served_close(struct served *served, void (*closed)(struct served *served))
{
	served->closed = closed;
	served->closing = true;
	if (served_netport(served))
		captures_leave(served->daemon->captures, served_netport(served), close_now, served);
	else
		close_now(served);
}

void served_is_closed(struct served *served)
{
	served->gone = true;
	served->closed(served);
}
