/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of pario share: a command's words, and the table of commands.
 * Not the daemon's API itself (client.h).
 */
#ifndef PARIO_TOOLS_PARIO_PARIO_H
#define PARIO_TOOLS_PARIO_PARIO_H

#include <stdbool.h>

#include "base/compiler.h"

enum exit_status {
	EXIT_STATUS_DONE = 0,
	EXIT_STATUS_REFUSED = 1,
	EXIT_STATUS_USAGE = 2,
};

/* A command line without the command's name and without the options that may stand anywhere. */
struct words {
	const char *api; /* socket of the daemon */
	bool json;
	bool all; /* of show: also what nobody gave */
	int cnt;
	char **text;
};

/* One line on standard error, with the program's name. */
void complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* commands_file.c: what needs no daemon. */
enum exit_status run_check(const struct words *words);
enum exit_status run_schema(const struct words *words);

/* commands_show.c */
enum exit_status run_show(const struct words *words);

/* commands_list.c */
enum exit_status run_list(const struct words *words);
enum exit_status run_macs(const struct words *words);
enum exit_status run_stats(const struct words *words);
enum exit_status run_workers(const struct words *words);

/* commands_change.c */
enum exit_status run_set(const struct words *words);
enum exit_status run_add(const struct words *words);
enum exit_status run_remove(const struct words *words);
enum exit_status run_resize(const struct words *words);

/* commands_capture.c */
enum exit_status run_capture(const struct words *words);

#endif
