/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An errno with one line of text for a person: which object, what was given, what is allowed.
 * Not used on the data path, which has named enums and counters.
 */
#ifndef PARIO_BASE_ERR_H
#define PARIO_BASE_ERR_H

#include "base/compiler.h"

#define ERR_TEXT_BYTES 512

/* Caller-owned; text is always NUL-terminated and has no newline. Zero-initialise: ERR_INIT. */
struct err {
	int code; /* positive errno, 0 while unset */
	char text[ERR_TEXT_BYTES];
};

#define ERR_INIT      \
	{             \
		0, "" \
	}

/* Fills err (which may be NULL) and returns -code, so that it can end a function. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "text: " before what is there already; for callers that know the object's path. */
void err_prefix(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
