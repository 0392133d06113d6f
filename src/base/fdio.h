/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: owned ones, event descriptors, and the limit on their number.
 * Not a stream layer. Flags (O_NONBLOCK, ...) of descriptors that a front end passed are never
 * changed: they are shared with the front end.
 */
#ifndef PARIO_BASE_FDIO_H
#define PARIO_BASE_FDIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Closes *fd unless it is negative, and sets it to -1. errno is kept. */
void fdio_close(int *fd);

/*
 * Adds 1 to an eventfd, or writes 8 bytes to a pipe: the same write. A full pipe or counter already
 * says what we have to say, so EAGAIN is success. A front end's fd must be one that
 * fdio_open_doorbell() let pass and that is no socket. Returns 0 or -errno.
 */
int fdio_signal(int fd);

/* The same for a UNIX stream socket (User-Mode Linux makes its pipes of them). Never waits. */
int fdio_signal_socket(int fd);
bool fdio_is_socket(int fd);

/*
 * Judges a descriptor that a front end passed for us to signal, and makes it safe to write to from
 * a worker: an eventfd is taken as it is, and so is a UNIX stream socket (fdio_signal_socket does
 * not wait); a pipe is reopened non-blocking through /proc (its own description keeps its flags).
 * Anything else is refused, for a write to it could block or have effects of its own. Takes
 * ownership of *fd and may replace it. 0 or -EINVAL / -errno.
 */
int fdio_open_doorbell(int *fd);

/* Takes whatever an eventfd of ours counted. */
void fdio_drain(int fd);

/* Sets O_CLOEXEC on one of OUR descriptors. 0 or -errno. */
int fdio_set_cloexec(int fd);

/*
 * Raises RLIMIT_NOFILE towards want. *got is the limit now in force; returns 0, or -errno with text
 * when it could not be read at all.
 */
int fdio_raise_limit(uint64_t want, uint64_t *got, struct err *err);

#endif
