/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log: one line per event on standard error, with a level and the object's tag.
 * Not for the data path: workers log only rare events, and those that a guest can cause go
 * through a log_limit.
 */
#ifndef PARIO_BASE_LOG_H
#define PARIO_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX_,
};

/* "error", "warn", "info", "debug"; NULL beyond. */
const char *log_level_name(enum log_level level);
/* 0 or -EINVAL. */
int log_level_parse(const char *name, enum log_level *level);

/* Set before threads start; read by every thread. Default: info. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/*
 * Any thread; one write(2) for a line, so lines never mix. tag names the object ("disk vda",
 * "worker 2") and may be NULL. Control characters are replaced. No newline in fmt.
 */
void log_line(enum log_level level, const char *tag, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_error(tag, ...) log_line(LOG_LEVEL_ERROR, tag, __VA_ARGS__)
#define log_warn(tag, ...) log_line(LOG_LEVEL_WARN, tag, __VA_ARGS__)
#define log_info(tag, ...) log_line(LOG_LEVEL_INFO, tag, __VA_ARGS__)
#define log_debug(tag, ...)                                          \
	do {                                                         \
		if (log_enabled(LOG_LEVEL_DEBUG))                    \
			log_line(LOG_LEVEL_DEBUG, tag, __VA_ARGS__); \
	} while (0)

/* Owned by one thread. At most burst lines in interval_ns; then silence, counted. */
struct log_limit {
	uint64_t window_start_ns;
	unsigned printed;
	unsigned suppressed;
};

/*
 * May a line be printed now? When a new window opens after lines were held back, *suppressed is
 * set to their number for the caller to mention, else to 0.
 */
bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, unsigned *suppressed);

#endif
