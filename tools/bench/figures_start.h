/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every page of figures needs before its first run: the daemon, a private directory, words.
 * Which points there are and how they are measured is each page's own affair.
 */
#ifndef PARIO_BENCH_FIGURES_START_H
#define PARIO_BENCH_FIGURES_START_H

#include <stdbool.h>
#include <stddef.h>

/* Says so on standard error. BENCH_FAILED. */
int figures_fail(const char *what, const char *why);

/*
 * Makes the directory for results unless it is there, and a private one in TMPDIR (at most size
 * bytes of name, short enough for sockets in it); self (FIGURES_PATH bytes) becomes this program's
 * path. An enum bench_status; it has said why.
 */
int figures_places_make(const char *out, char *self, char *tmp, size_t size);
/* Removes the private directory and the files that runs leave in it; "" is allowed. */
void figures_tmp_remove(const char *tmp);

/* The first line of what a program says about its version (MACHINE_TEXT bytes). False: it cannot be
 * run. */
bool figures_version_read(const char *tmp, const char *program, char *version);

/*
 * pariod: the one that was given (may be NULL), else the one beside this program, else in PATH.
 * daemon has FIGURES_PATH bytes. An enum bench_status; it has said why.
 */
int figures_daemon_find(const char *given, const char *argv0, const char *self, const char *tmp,
			char *daemon, char *version);
/* Whether its help names a key. */
bool figures_daemon_has(const char *tmp, const char *daemon, const char *key);

void figures_date_now(char *date, size_t size);
/* The words with a space before each. */
void figures_command_line(char *line, size_t size, int argc, char **argv);
/* "0,2,3" */
void figures_cpu_list(char *text, size_t size, const int *cpu, unsigned int cnt);

/* Options that the pages share; as the functions of options.h. */
int figures_take_cpus(const char *text, int *cpu, unsigned int *cnt);
int figures_take_runtime(const char *text, double *seconds);
int figures_take_rounds(const char *text, unsigned int *rounds);
/* A path that leaves room for the name of a file behind it; NULL is allowed. */
int figures_path_check(const char *name, const char *path);
/* All CPUs that this process may use, unless some are there; then whether they are enough. */
int figures_cpus_check(int *cpu, unsigned int *cnt);

#endif
