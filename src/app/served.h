/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object that the daemon serves, whatever its kind: what daemon.c and operate*.c see of disks,
 * switches, ports and uplinks. Not the kinds themselves (disk.c, lan.c, port.c, uplink.c).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_SERVED_H
#define PARIO_APP_SERVED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/evloop.h"
#include "control/config.h"
#include "worker/join.h"

struct daemon;
struct operation;
struct served_ops;

/* The struct of a kind begins with it. */
struct served {
	const struct served_ops *ops;
	struct daemon *daemon;
	struct config_object *config; /* the daemon's configuration's; run-time keys may change */
	char tag[80];                 /* "disk vda" */
	unsigned shift;               /* spreads objects with few queues over the workers */
	bool closing;
	bool gone; /* closed; of its device and the like nothing is left */
	void (*closed)(struct served *served);

	/* daemon.c: the drain waits for it */
	bool awaited;
	/* operate_object.c, while it is being removed */
	struct operation *remover; /* NULL: was answered */
	struct evloop_timer remove_deadline;
};

/*
 * A start goes through prepare (before there are workers), open and expose (what the world sees);
 * each is 0 or -errno with text, may be NULL, and is not called after one that failed.
 */
struct served_ops {
	size_t bytes;     /* of the kind's struct */
	const char *held; /* what an object that does not close still has under way */
	void (*init)(struct served *served); /* the struct is zero but for served; may be NULL */
	int (*prepare)(struct served *served, struct err *err);
	int (*open)(struct served *served, struct err *err);
	int (*expose)(struct served *served, struct err *err);
	/* A later step of an add failed: what was changed on the host is as it was. May be NULL. */
	void (*undo)(struct served *served);
	/* Whatever is open by then; served_is_closed() follows, perhaps from within. */
	void (*close)(struct served *served);
	void (*free)(struct served *served); /* what close() left; may be NULL */
	/*
	 * Changes what runs from one configuration to another where they differ; one change at a
	 * time. The join hears when the workers have taken it. 0, or -errno with text and nothing
	 * changed. NULL: no key can be changed.
	 */
	int (*change)(struct served *served, const struct config_object *from,
		      const struct config_object *to, struct join *join, struct err *err);
	void (*refresh)(struct served *served);          /* SIGHUP; may be NULL */
	void (*log_totals)(const struct served *served); /* as a line of the log; may be NULL */
};

extern const struct served_ops disk_ops;
extern const struct served_ops lan_ops;
extern const struct served_ops port_ops;
extern const struct served_ops uplink_ops;

/* What it is on a switch; NULL: nothing (any more). */
struct netport *served_netport(struct served *served);

/* An object of the kind of config, which is borrowed until served_free(). NULL without memory. */
struct served *served_new(struct daemon *daemon, struct config_object *config);
/* It is closed or was never opened. */
void served_free(struct served *served);
/* Ends a capture of it, drains and closes; then closed(served) is called, perhaps before this
 * returns. */
void served_close(struct served *served, void (*closed)(struct served *served));
/* What close() of the kind ends with. */
void served_is_closed(struct served *served);

static inline enum config_kind served_kind(const struct served *served)
{
	return served->config->kind;
}

static inline const char *served_name(const struct served *served)
{
	return served->config->name;
}

#endif
