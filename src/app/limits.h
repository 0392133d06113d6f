/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many descriptors the configuration takes, and getting them.
 * Not a limit of ours: what the kernel gives is all used.
 */
#ifndef PARIO_APP_LIMITS_H
#define PARIO_APP_LIMITS_H

#include "base/err.h"
#include "control/config.h"

/*
 * Raises RLIMIT_NOFILE. -EMFILE with text when not even one queue of each disk could be served; a
 * warning in the log when not all queues of all disks could be used at once.
 */
int limits_raise(const struct config *config, struct err *err);

#endif
