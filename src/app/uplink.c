/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an uplink's configuration to what carries its frames, and back.
 * Not the order between uplinks and their switches, which daemon.c keeps.
 */
#include "app/uplink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "app/daemon_priv.h"
#include "app/lan.h"
#include "app/served_front.h"
#include "base/clock.h"
#include "base/log.h"

struct netport *uplink_port(const struct uplink *uplink)
{
	if (uplink->loop)
		return loop_port(uplink->loop);
	return uplink->tap ? tap_port(uplink->tap) : NULL;
}

static int open_tap(struct uplink *uplink, const struct netport_options *port,
		    struct worker *const *workers, unsigned worker_cnt, struct err *err)
{
	const struct config_uplink *config = uplink_config(uplink);
	const struct tap_options options = {
		.name = config->object.name,
		.ifname = config->ifname ? config->ifname : config->object.name,
		.queues = config->queues,
		.mtu = config->mtu,
		.offloads = config->offloads,
		.port = *port,
		.workers = workers,
		.worker_cnt = worker_cnt,
		.worker_shift = uplink->served.shift,
		.poll_mode = config->poll,
		.poll_max_ns = config->poll_max_us * NS_PER_US,
		.fabric = uplink->served.daemon->fabric,
	};

	return tap_open(&options, &uplink->tap, err);
}

static int open_loop(struct uplink *uplink, const struct netport_options *port,
		     struct worker *const *workers, unsigned worker_cnt, struct err *err)
{
	const struct config_uplink *config = uplink_config(uplink);
	const struct loop_options options = {
		.queues = config->queues,
		.port = *port,
		.workers = workers,
		.worker_cnt = worker_cnt,
		.worker_shift = uplink->served.shift,
		.poll_mode = config->poll,
		.poll_max_ns = config->poll_max_us * NS_PER_US,
		.fabric = uplink->served.daemon->fabric,
	};

	return loop_open(&options, &uplink->loop, err);
}

static int expose(struct served *served, struct err *err)
{
	struct uplink *uplink = uplink_of(served);
	const struct config_uplink *config = uplink_config(uplink);
	struct netport_options port;
	struct worker **serving;
	unsigned cnt;
	int rc = lan_port_options(served, &config->vlans, &port, err);

	if (rc)
		return rc;
	serving = served_pick_workers(served, &config->workers, &cnt);
	if (!serving)
		return err_set(err, ENOMEM, "no memory for its workers");
	rc = config->type == CONFIG_UPLINK_LOOP ? open_loop(uplink, &port, serving, cnt, err)
						: open_tap(uplink, &port, serving, cnt, err);
	free(serving);
	return rc;
}

static int change(struct served *served, const struct config_object *from_object,
		  const struct config_object *to_object, struct join *join, struct err *err)
{
	const struct config_uplink *from = (const struct config_uplink *)from_object;
	const struct config_uplink *to = (const struct config_uplink *)to_object;

	(void)err;
	lan_change_vlans(uplink_port(uplink_of(served)), &from->vlans, &to->vlans, join);
	return 0;
}

static void closed(void *arg)
{
	served_is_closed(arg);
}

static void log_totals(const struct uplink *uplink)
{
	struct netport_stats s;

	netport_stats(uplink_port(uplink), &s);
	log_info(uplink->served.tag,
		 "carried %" PRIu64 " frames (%" PRIu64 " bytes) in, %" PRIu64 " frames (%" PRIu64
		 " bytes) out",
		 s.in_frames, s.in_bytes, s.out_frames, s.out_bytes);
}

static void close_uplink(struct served *served)
{
	struct uplink *uplink = uplink_of(served);
	struct tap *tap = uplink->tap;
	struct loop *loop = uplink->loop;

	if (tap || loop)
		log_totals(uplink);
	uplink->tap = NULL;
	uplink->loop = NULL;
	if (tap)
		tap_close(tap, closed, served);
	else if (loop)
		loop_close(loop, closed, served);
	else
		served_is_closed(served);
}

const struct served_ops uplink_ops = {
	.bytes = sizeof(struct uplink),
	.held = "frames are still with the kernel",
	.expose = expose,
	.close = close_uplink,
	.change = change,
};
