/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device between its workers and its front end, whatever the device is.
 * Not the placing (control/placer.h) and not the protocol (vhost_user/).
 */
#include "app/served_front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "app/disk.h"
#include "app/port.h"
#include "base/clock.h"

static const char *const state_names[] = {"waiting", "connected", "draining"};
_Static_assert(ARRAY_LEN(state_names) == FRONT_STATE_MAX_, "a name for each state");

const char *served_front_state_name(enum front_state state)
{
	return state < FRONT_STATE_MAX_ ? state_names[state] : NULL;
}

enum front_state served_front_state(const struct served_front *front)
{
	if (front->served->closing)
		return FRONT_DRAINING;
	return front->endpoint && vhost_user_connected(front->endpoint) ? FRONT_CONNECTED
									: FRONT_WAITING;
}

struct served_front *served_front(struct served *served)
{
	switch (served_kind(served)) {
	case CONFIG_DISK:
		return &disk_of(served)->front;
	case CONFIG_PORT:
		return &port_of(served)->front;
	default:
		return NULL;
	}
}

struct device_tuning served_front_tuning(const struct config_front *config)
{
	return (struct device_tuning){
		.poll_mode = config->poll,
		.poll_max_ns = config->poll_max_us * NS_PER_US,
		.coalesce = config->coalesce,
	};
}

struct worker **served_pick_workers(const struct served *served, const cpu_set_t *cpus,
				    unsigned *cnt)
{
	const struct daemon *daemon = served->daemon;
	struct worker **picked = calloc(daemon->worker_cnt, sizeof(void *));

	*cnt = 0;
	for (unsigned i = 0; i < daemon->worker_cnt && picked; i++) {
		if (CPU_ISSET(worker_cpu(daemon->workers[i]), cpus))
			picked[(*cnt)++] = daemon->workers[i];
	}
	return picked;
}

int served_front_listen(struct served_front *front, struct err *err)
{
	const struct config_front *config = config_front(front->served->config);
	const struct vhost_user_options options = {
		.listen_path = config->socket_path,
		.connect_path = config->connect_path,
		.fd = config->fd,
		.socket_mode = config->socket_mode,
		.socket_owner = config->socket_owner,
		.socket_group = config->socket_group,
		.any_memory = config->any_memory,
	};
	int rc = vhost_user_open(front->served->daemon->loop, front->device, &options,
				 &front->endpoint, err);

	if (rc)
		err_prefix(err, "%s",
			   config->socket_path    ? "socket"
			   : config->connect_path ? "connect"
						  : "fd");
	return rc;
}

static pid_t front_pid(void *arg)
{
	const struct served_front *front = arg;

	return front->endpoint ? vhost_user_peer_pid(front->endpoint) : 0;
}

static struct placer_settings placer_settings(const struct config_front *config)
{
	return (struct placer_settings){
		.mode = config->placement,
		.allow_siblings = config->siblings,
		.vcpus = config->vcpus,
	};
}

int served_front_place(struct served_front *front, struct err *err)
{
	const struct placer_settings settings =
		placer_settings(config_front(front->served->config));
	struct placer *placer = front->served->daemon->placer;
	int rc;

	front->placed = (struct placed){
		.device = front->device,
		.front_pid = front_pid,
		.arg = front,
		.tag = front->served->tag,
	};
	rc = placer_add(placer, &front->placed, &settings, err);
	if (rc == 0)
		front->placer = placer;
	return rc;
}

static bool same_coalesce(const struct coalesce_config *a, const struct coalesce_config *b)
{
	return a->mode == b->mode && a->packets == b->packets && a->usecs == b->usecs;
}

static void change_tuning(struct served_front *front, const struct config_front *from,
			  const struct config_front *to, struct join *join)
{
	const struct device_tuning tuning = served_front_tuning(to);

	if (from->poll != to->poll || from->poll_max_us != to->poll_max_us ||
	    !same_coalesce(&from->coalesce, &to->coalesce))
		device_tune(front->device, &tuning, join);
}

static int change_workers(struct served_front *front, const struct config_front *to,
			  struct err *err)
{
	struct worker **serving;
	unsigned cnt;
	int rc;

	serving = served_pick_workers(front->served, &to->workers, &cnt);
	if (!serving)
		return err_set(err, ENOMEM, "no memory for its workers");
	rc = device_set_workers(front->device, serving, cnt, err);
	free(serving);
	return rc;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static int change_placement(struct served_front *front, const struct config_front *from,
			    const struct config_front *to, struct join *join, struct err *err)
{
	const struct placer_settings settings = placer_settings(to);
	bool other_workers = !CPU_EQUAL(&from->workers, &to->workers);
	int rc = 0;

	if (!other_workers && from->placement == to->placement && from->siblings == to->siblings &&
	    same_text(from->vcpus, to->vcpus))
		return 0;
	if (other_workers)
		rc = change_workers(front, to, err);
	if (rc)
		return rc;
	rc = placer_set(front->placer, &front->placed, &settings, join, err);
	/* Nothing moved by then. That there is no memory to go back leaves more workers allowed. */
	if (rc && other_workers)
		change_workers(front, from, NULL);
	return rc;
}

int served_front_change(struct served_front *front, const struct config_front *from,
			const struct config_front *to, struct join *join, struct err *err)
{
	int rc = change_placement(front, from, to, join, err);

	if (rc == 0)
		change_tuning(front, from, to, join);
	return rc;
}

static void endpoint_closed(void *arg)
{
	struct served_front *front = arg;

	front->endpoint = NULL;
	front->closed(front->served);
}

void served_front_close(struct served_front *front, void (*closed)(struct served *served))
{
	front->closed = closed;
	if (front->endpoint)
		vhost_user_close(front->endpoint, endpoint_closed, front);
	else
		closed(front->served);
}

void served_front_release(struct served_front *front)
{
	if (front->placer)
		placer_remove(front->placer, &front->placed);
	front->placer = NULL;
}
