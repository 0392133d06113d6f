/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formatting and writing of log lines. Not a transport: the service manager stores them.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/ordering.h"

#define LOG_LINE_BYTES 1024
#define LOG_LIMIT_BURST 5
#define LOG_LIMIT_WINDOW_NS (10ull * 1000 * 1000 * 1000)

static const char *const level_names[] = {"error", "warn", "info", "debug"};
_Static_assert(ARRAY_LEN(level_names) == LOG_LEVEL_MAX_, "a name for each level");

static enum log_level log_threshold = LOG_LEVEL_INFO;

const char *log_level_name(enum log_level level)
{
	return level < LOG_LEVEL_MAX_ ? level_names[level] : NULL;
}

int log_level_parse(const char *name, enum log_level *level)
{
	for (unsigned i = 0; i < LOG_LEVEL_MAX_; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_set_level(enum log_level level)
{
	store_relaxed(&log_threshold, level);
}

bool log_enabled(enum log_level level)
{
	return level <= load_relaxed(&log_threshold);
}

static size_t log_head(char *line, size_t size, enum log_level level, const char *tag)
{
	struct timespec now;
	struct tm utc;
	char stamp[32];
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	len = snprintf(line, size, "%s.%03ldZ %-5s %s%s", stamp, now.tv_nsec / 1000000,
		       level_names[level], tag ? tag : "", tag ? ": " : "");
	if (len < 0)
		return 0;
	return (size_t)len < size ? (size_t)len : size - 1;
}

void log_line(enum log_level level, const char *tag, const char *fmt, ...)
{
	char line[LOG_LINE_BYTES];
	size_t len;
	va_list ap;
	int more;

	if (level >= LOG_LEVEL_MAX_ || !log_enabled(level))
		return;
	len = log_head(line, sizeof(line) - 1, level, tag);
	va_start(ap, fmt);
	more = vsnprintf(line + len, sizeof(line) - 1 - len, fmt, ap);
	va_end(ap);
	if (more > 0)
		len += (size_t)more < sizeof(line) - 1 - len ? (size_t)more
							     : sizeof(line) - 2 - len;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[len++] = '\n';
	/* A log that cannot be written has nobody left to tell. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned *suppressed)
{
	*suppressed = 0;
	if (limit->window_start_ns == 0 || now_ns - limit->window_start_ns >= LOG_LIMIT_WINDOW_NS) {
		*suppressed = limit->suppressed;
		limit->window_start_ns = now_ns;
		limit->printed = 0;
		limit->suppressed = 0;
	}
	if (limit->printed >= LOG_LIMIT_BURST) {
		limit->suppressed++;
		return false;
	}
	limit->printed++;
	return true;
}
