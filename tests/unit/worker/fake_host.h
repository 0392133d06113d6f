/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines that are not there: topologies by shape, and sysfs and /proc trees in a temporary
 * directory. Not a worker: rig.h.
 */
#ifndef PARIO_TESTS_FAKE_HOST_H
#define PARIO_TESTS_FAKE_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "worker/topology.h"

/* Numbered as Linux does it on x86: first all cores' first threads, node by node. */
struct fake_shape {
	unsigned nodes;
	unsigned llcs;  /* in a node */
	unsigned cores; /* in an llc */
	unsigned threads;
};

/* 1, 2, 4 (SMT), 8 (two caches), 64 (2 nodes, SMT), 256 CPUs (2 nodes, 8 caches each, SMT). */
extern const struct fake_shape fake_shapes[6];

unsigned fake_shape_cpus(const struct fake_shape *shape);
void fake_topology_make(const struct fake_shape *shape, struct topology *topology);

/* A new directory; its path is valid until the next call. */
const char *fake_root_new(void);
/* Writes ROOT/PATH and makes its directories. */
void fake_write(const char *text, const char *fmt, ...) PRINTF_LIKE(2, 3);
void fake_delete(const char *fmt, ...) PRINTF_LIKE(1, 2);
void fake_root_delete(void);

/* cpu/ and node/ below the root, as the kernel shows this machine. */
void fake_topology_write(const struct topology *topology);

/* xorshift64*; the same numbers from the same seed everywhere. */
struct fake_random {
	uint64_t state;
};

struct fake_random fake_random(unsigned seed);
/* 0 to below - 1. */
unsigned fake_below(struct fake_random *random, unsigned below);

#endif
