/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals as events of the control thread. Not a handler: nothing runs in signal context.
 */
#ifndef PARIO_APP_SIGNALS_H
#define PARIO_APP_SIGNALS_H

#include "base/err.h"
#include "base/evloop.h"

struct signals {
	struct evloop *loop;
	struct evloop_fd watch;
	int fd;
	void (*terminate)(void *arg, const char *signal_name); /* SIGTERM, SIGINT; each time */
	void (*reload)(void *arg);                             /* SIGHUP */
	void *arg;
};

/*
 * Blocks the signals that signals_open() will read, and ignores SIGPIPE. Before any other thread
 * exists, so that all of them inherit it.
 */
void signals_block(void);

/* terminate, reload and arg are set. 0 or -errno with text. */
int signals_open(struct signals *signals, struct evloop *loop, struct err *err);
void signals_close(struct signals *signals);

#endif
