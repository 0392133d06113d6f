/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is the same for every kind of object. Not the order between objects, which daemon.c keeps.
 */
#include "app/served.h"

#include <stdio.h>
#include <stdlib.h>

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

void served_close(struct served *served, void (*closed)(struct served *served))
{
	served->closed = closed;
	served->closing = true;
	served->ops->close(served);
}

void served_is_closed(struct served *served)
{
	served->gone = true;
	served->closed(served);
}
