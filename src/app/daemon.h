/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: everything that a configuration describes, running, and its end.
 * Not the configuration.
 */
#ifndef PARIO_APP_DAEMON_H
#define PARIO_APP_DAEMON_H

#include "control/config.h"

enum exit_status {
	EXIT_STATUS_OK = 0,
	EXIT_STATUS_FAILED = 1, /* at run time */
	EXIT_STATUS_WRONG = 2,  /* option, key, path, permission */
};

struct daemon;

/*
 * Serves until a signal ends it. What is wrong at the start goes to errors, and then nothing was
 * started. config is borrowed, and changed by what is asked of the daemon (operate.h).
 * signals_block() was called before.
 *
 * *abandoned is set when a drain did not finish: workers still use memory, so the caller must leave
 * the process without freeing anything.
 */
enum exit_status daemon_run(struct config *config, struct config_errors *errors, bool *abandoned);

/*
 * Its two halves. The daemon lives from start's success to the end of finish; a start that fails
 * sets *out to NULL and has undone itself. Between them its loop may be turned by others.
 */
enum exit_status daemon_start(struct config *config, struct config_errors *errors,
			      struct daemon **out, bool *abandoned);
enum exit_status daemon_finish(struct daemon *daemon, bool *abandoned);

#endif
