/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to the daemon's HTTP API, and its answer. Not what is asked (commands_*.c).
 */
#ifndef PARIO_TOOLS_PARIO_CLIENT_H
#define PARIO_TOOLS_PARIO_CLIENT_H

#include <jansson.h>

#include "pario.h"

/*
 * Asks on the UNIX socket and waits. path is the route with one %s for name, which may be anything
 * (NULL: the route has none). body, which may be NULL, is taken. DONE and *answer, the caller's; or
 * REFUSED, after the daemon's errors, or why there are none, went to standard error.
 */
enum exit_status client_ask(const char *socket, const char *method, const char *path,
			    const char *name, json_t *body, json_t **answer);

#endif
