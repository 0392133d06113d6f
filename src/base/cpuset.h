/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU lists as people write them ("0", "2-3,5") and the process's allowed CPUs.
 * Not placement: which worker serves what is decided elsewhere.
 */
#ifndef PARIO_BASE_CPUSET_H
#define PARIO_BASE_CPUSET_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Parses "2-3,5". Empty, reversed, repeated and out-of-range parts are refused with text. */
int cpuset_parse(const char *text, cpu_set_t *set, struct err *err);

/* Writes the canonical form ("2-3,5") into buf; always terminated. */
void cpuset_format(const cpu_set_t *set, char *buf, size_t size);

/* CPUs that this process may run on. 0 or -errno. */
int cpuset_allowed(cpu_set_t *set);

/* Pins the calling thread to one CPU. 0 or -errno. */
int cpuset_pin_self(int cpu);

#endif
