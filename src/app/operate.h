/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be done to a running daemon: looking at its objects, and changing them.
 * Not the protocol in which it is asked for (api.h) and not the texts of keys (control/schema.h).
 *
 * Theory of operation
 *
 * 1. A change is an operation, embedded in its asker's object. It is answered by exactly one
 *    done(), perhaps from within the function that began it; before that every complaint was said.
 *    Status 0: the workers have taken it, and the configuration says so. Else nothing has changed,
 *    but for an object that is being removed (6):
 *      -EINVAL  the keys or values are wrong, or the machine refuses them
 *      -ENOENT  there is no such object
 *      -EBUSY   the object is being removed, or was not drained in time, or others stand on it (a
 *               switch), or the daemon is ending
 *      -ENOMEM
 * 2. Operations on one object run one after another, in the order in which they came, and so do
 *    those on the daemon with all others. What is still waiting when the daemon ends is answered
 *    -EBUSY.
 * 3. Keys are those of the schema, checked by the same code as those of files and options; a nested
 *    key is written with a dot or as an object. Numbers and booleans of JSON are taken as their
 *    text. When changing, null stands for "as if it had not been given": the daemon's, or the
 *    default.
 * 4. Changes are all or nothing: they are checked on a copy, and if a worker cannot take them, they
 *    are taken back everywhere.
 * 5. A key of an object that was never given follows the daemon's, where that has it.
 * 6. Removing drains. A drain that takes longer than the daemon's deadline is answered -EBUSY and
 *    goes on: the object is draining until it is gone by itself.
 * 7. A switch that an added port or uplink names, and that is not there, is added with it.
 *
 * Control thread only.
 */
#ifndef PARIO_APP_OPERATE_H
#define PARIO_APP_OPERATE_H

#include <jansson.h>

#include "app/served.h"
#include "base/evloop.h"
#include "base/list.h"
#include "control/config.h"
#include "control/placer.h"
#include "worker/join.h"
#include "worker/worker.h"

struct captures;
struct daemon;
struct fabric;

/* What there is. Lists change with add and remove, so no index outlives a return. */
struct evloop *daemon_loop(const struct daemon *daemon);
const struct config *daemon_config(const struct daemon *daemon);
unsigned daemon_cnt(const struct daemon *daemon, enum config_kind kind);
struct served *daemon_at(const struct daemon *daemon, enum config_kind kind, unsigned idx);
/* kind may be CONFIG_ANY. NULL when there is none of that name. */
struct served *daemon_find(const struct daemon *daemon, enum config_kind kind, const char *name);
struct worker *const *daemon_workers(const struct daemon *daemon, unsigned *cnt);
struct placer *daemon_placer(const struct daemon *daemon);
struct fabric *daemon_fabric(const struct daemon *daemon);
struct captures *daemon_captures(const struct daemon *daemon);

/* Where an object is meant by its name alone. */
#define CONFIG_ANY CONFIG_KIND_CNT

struct operation_target;

struct operation {
	/* The asker's: set both, and errors.say and .arg; zero the rest. */
	void (*done)(struct operation *op, int status); /* op is the asker's again */
	struct config_errors errors;

	/* operate.c, from the beginning to done() */
	struct daemon *daemon;
	struct list_node node;
	int (*begin)(struct operation *op); /* the status, or OPERATION_PENDING */
	enum config_kind kind;              /* of the object, or CONFIG_ANY */
	char *name;                         /* of it; NULL: the daemon */
	char *size_text;
	json_t *json;
	bool begun;

	/* operate_set.c */
	struct join join;
	struct config_daemon *daemon_wanted;
	struct operation_target *targets; /* objects that are to change */
	unsigned target_cnt;
	int failed; /* 0 or the status that undoing, of an add too, ends with */

	/* operate_object.c */
	struct served *added;
	struct served *brought; /* the switch that came with it; NULL: it was there */
};

/*
 * Arguments are copied or referenced; op must live until done(). A spec is an object with the keys
 * of the kind; changes are an object with those keys that are to change. To set and remove, kind
 * may be CONFIG_ANY.
 */
void operate_add(struct daemon *daemon, enum config_kind kind, json_t *spec, struct operation *op);
void operate_remove(struct daemon *daemon, enum config_kind kind, const char *name,
		    struct operation *op);
void operate_set(struct daemon *daemon, enum config_kind kind, const char *name, json_t *changes,
		 struct operation *op);
void operate_set_daemon(struct daemon *daemon, json_t *changes, struct operation *op);
/* Of a disk. size_text as the key `size`: "20G". Only regular files, and only to more. */
void operate_resize(struct daemon *daemon, const char *name, const char *size_text,
		    struct operation *op);

#endif
