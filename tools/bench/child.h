/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other programs, run for `pario-bench figures`: started, listened to, ended by their pid.
 * What they are told and what they answer is figures_run.c's business.
 */
#ifndef PARIO_BENCH_CHILD_H
#define PARIO_BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ARGS_MAX 64

/* A command line that owns its words. Zeroed is empty. */
struct args {
	char *word[ARGS_MAX + 1]; /* ends with NULL */
	unsigned int cnt;
	bool failed; /* out of memory or room: child_start() will say so */
};

void args_add(struct args *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void args_free(struct args *args);

/*
 * Starts args->word[0], searched in PATH, on these CPUs (cpu_cnt 0: wherever we may run), with
 * standard input from nowhere, standard output to out_fd (-1: nowhere) and standard error to the
 * file err_path. It dies with the thread that started it. Its pid, or -errno.
 */
pid_t child_start(const struct args *args, const int *cpu, unsigned int cpu_cnt, int out_fd,
		  const char *err_path);

/* True while it runs. When it has ended, *status is as of waitpid() and the pid is not ours any
 * more. */
bool child_runs(pid_t pid, int *status);

/* SIGTERM, and SIGKILL when it has not ended after some seconds. */
void child_stop(pid_t pid);

/*
 * Runs a program to its end and gives back its standard output, to be freed. 0, -errno, or -EPROTO
 * when it ended with another status than 0 (what it wrote is given back all the same).
 * -ETIME: it took longer than timeout_s and was killed; -EINTR: child_interrupted().
 */
int child_capture(const struct args *args, const int *cpu, unsigned int cpu_cnt, double timeout_s,
		  const char *err_path, char **out);

/* First line of a file, without its end; empty when there is none. */
void child_first_line(const char *path, char *line, size_t size);

/* SIGINT and SIGTERM end what runs and are remembered from then on. */
void child_catch_signals(void);
bool child_interrupted(void);

#endif
