/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error values with text. Not a log: nothing is printed here.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Values of a person (paths, keys) may hold control characters; a log line must stay one line. */
static void err_sanitize(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
	}
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		err->code = code;
		va_start(ap, fmt);
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
		va_end(ap);
		err_sanitize(err->text);
	}
	return -code;
}

void err_prefix(struct err *err, const char *fmt, ...)
{
	char prefix[ERR_TEXT_BYTES];
	char old[ERR_TEXT_BYTES];
	va_list ap;
	int len;

	if (!err)
		return;
	va_start(ap, fmt);
	len = vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	memcpy(old, err->text, sizeof(old));
	/* Truncation loses the end of the older text, never the object's path. */
	len = snprintf(err->text, sizeof(err->text), "%.250s: ", prefix);
	snprintf(err->text + len, sizeof(err->text) - (size_t)len, "%s", old);
	err_sanitize(err->text);
}
