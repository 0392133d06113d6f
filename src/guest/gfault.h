/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Survival of guest memory that vanishes: a front end that truncates the file behind a mapping
 * would otherwise end the process with SIGBUS.
 * Not a page fault handler in general: a SIGBUS anywhere else is a bug and stays fatal.
 *
 * Theory of operation
 *
 * 1. Mappings are registered in slots of an array that only grows; the control thread writes them,
 *    the handler (any thread) reads them. A slot is used while its `bytes` is not 0, which is
 *    stored last (release) and loaded first (acquire), so a half-written slot is never believed.
 * 2. On a fault inside a registered mapping the handler puts an anonymous page there (MAP_FIXED):
 *    the guest that did this reads and writes nothing of anybody, and everybody else goes on. The
 *    kernel's own accesses (io_uring) fail with EFAULT, which is an I/O error of that request.
 * 3. Slots are freed before munmap, on the control thread, when no worker uses the region.
 */
#ifndef PARIO_GUEST_GFAULT_H
#define PARIO_GUEST_GFAULT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Process-wide, once, before threads start. 0 or -errno with text. */
int gfault_install(struct err *err);

/* Control thread. page_bytes is the mapping's page size. Slot index, or -ENOMEM. */
int gfault_register(void *map, size_t bytes, size_t page_bytes);
void gfault_unregister(int slot);

/* Faults that were survived since the start. Any thread. */
uint64_t gfault_count(void);

#endif
