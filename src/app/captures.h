/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The captures of a daemon: which ports are captured, by whose order, into which files.
 * Not a capture (network/capture.h), and not the routes (api_captures.c).
 *
 * Theory of operation
 *
 * 1. A port has one capture at most that has not ended. One that has ended is kept for its numbers
 *    until it is removed or the port is captured again; of those CAPTURES_ENDED_MAX at most.
 * 2. Orders (starting, removing) are embedded in their askers' objects and answered by exactly one
 *    done(), perhaps from within the function that began them; complaints were said before.
 * 3. A file is made, never opened: what is there already is refused.
 * 4. A port that goes ends its capture first: captures_leave().
 *
 * Control thread only.
 */
#ifndef PARIO_APP_CAPTURES_H
#define PARIO_APP_CAPTURES_H

#include <jansson.h>
#include <stdbool.h>

#include "base/evloop.h"
#include "control/config.h"
#include "network/capture.h"

struct captures;
struct captured;

#define CAPTURES_ENDED_MAX 64

struct captures_options {
	struct evloop *loop;
	unsigned worker_cnt; /* of the fabric */
	/* The port or uplink of that name that is not about to go; NULL: none. */
	struct netport *(*find)(void *arg, const char *name);
	void *arg;
};

/* NULL without memory. */
struct captures *captures_new(const struct captures_options *options);
/* None is there that has not ended. NULL is allowed. */
void captures_free(struct captures *captures);

struct captures_order {
	/* The asker's: set both, and errors.say and .arg. captured lives until done() returns, and
	 * is NULL with an error. */
	void (*done)(struct captures_order *order, int status, const struct captured *captured);
	struct config_errors errors;
};

/*
 * spec is an object of the keys of captures_spec.h. Status 0: every worker has it. -EINVAL: a key
 * or value is wrong, or the file cannot be made; -ENOENT: no such port; -EBUSY: it is captured
 * already, or the file is there; -ENOMEM.
 */
void captures_start(struct captures *captures, const json_t *spec, struct captures_order *order);
/* Ends it and forgets it. Status 0: it has ended. -ENOENT: there is none; -EBUSY: it is going. */
void captures_remove(struct captures *captures, const char *port_name,
		     struct captures_order *order);
/* The port is about to go; left(arg) runs when nothing of it is captured, perhaps at once. */
void captures_leave(struct captures *captures, const struct netport *port, void (*left)(void *arg),
		    void *arg);

/* NULL: there is none of that port. */
const struct captured *captures_find(const struct captures *captures, const char *port_name);
/* {"captures": [...]} */
json_t *captures_json(const struct captures *captures);
json_t *captured_json(const struct captured *captured);

#endif
