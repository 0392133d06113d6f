/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CHECK(): always-on assertions about our own promises.
 * Never for bytes that a guest, a front end or a person chose: those get named errors.
 */
#ifndef PARIO_BASE_CHECK_H
#define PARIO_BASE_CHECK_H

#include "base/compiler.h"

/* Prints the failed expression and a backtrace to standard error, then aborts. */
COLD __attribute__((noreturn)) void check_failed(const char *expr, const char *file, int line);

#define CHECK(expr)                                              \
	do {                                                     \
		if (unlikely(!(expr)))                           \
			check_failed(#expr, __FILE__, __LINE__); \
	} while (0)

#endif
