/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's HTTP API: its routes, and their answers. Not HTTP (control/http.h), not what is done
 * (operate.h), and not how counters look (observe/).
 *
 * Control thread only.
 */
#ifndef PARIO_APP_API_H
#define PARIO_APP_API_H

#include "app/operate.h"
#include "base/err.h"

struct api;

/* Answers on the UNIX socket path from now on. 0 or -errno with text. */
int api_open(struct daemon *daemon, const char *path, struct api **out, struct err *err);
/*
 * Who waits for an answer is told that the daemon is ending; operations under way go on, and may
 * end after this. NULL is allowed.
 */
void api_close(struct api *api);

#endif
