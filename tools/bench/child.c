/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and ending other programs; never by name, always by the pid that fork() gave.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

#define STOP_NS (15 * NS_PER_S)
#define LOOK_MS 5
#define OUTPUT_BYTES_MAX (4u << 20)

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

void child_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool child_interrupted(void)
{
	return interrupted != 0;
}

void args_add(struct args *args, const char *fmt, ...)
{
	va_list ap;

	if (args->failed || args->cnt == ARGS_MAX) {
		args->failed = true;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&args->word[args->cnt], fmt, ap) < 0) {
		args->word[args->cnt] = NULL;
		args->failed = true;
	} else {
		args->cnt++;
	}
	va_end(ap);
}

void args_free(struct args *args)
{
	for (unsigned int i = 0; i < args->cnt; i++)
		free(args->word[i]);
	memset(args, 0, sizeof(*args));
}

/* In the child, between fork and exec. */
static void become(const struct args *args, const int *cpu, unsigned int cpu_cnt, int out_fd,
		   const char *err_path, pid_t parent)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int err_fd = open(err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cpu_set_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	CPU_ZERO(&set);
	for (unsigned int i = 0; i < cpu_cnt; i++)
		CPU_SET(cpu[i], &set);
	if (cpu_cnt)
		(void)sched_setaffinity(0, sizeof(set), &set);
	dup2(null_fd, STDIN_FILENO);
	dup2(out_fd >= 0 ? out_fd : null_fd, STDOUT_FILENO);
	dup2(err_fd >= 0 ? err_fd : null_fd, STDERR_FILENO);
	execvp(args->word[0], args->word);
	dprintf(STDERR_FILENO, "%s: %s\n", args->word[0], strerror(errno));
	_exit(127);
}

pid_t child_start(const struct args *args, const int *cpu, unsigned int cpu_cnt, int out_fd,
		  const char *err_path)
{
	pid_t parent = getpid(), pid;

	if (args->failed || args->cnt == 0)
		return -ENOMEM;
	pid = fork();
	if (pid == 0)
		become(args, cpu, cpu_cnt, out_fd, err_path, parent);
	return pid < 0 ? -errno : pid;
}

bool child_runs(pid_t pid, int *status)
{
	pid_t rc;

	do
		rc = waitpid(pid, status, WNOHANG);
	while (rc < 0 && errno == EINTR);
	return rc == 0;
}

void child_stop(pid_t pid)
{
	uint64_t deadline_ns = clock_monotonic_ns() + STOP_NS;
	int status;

	kill(pid, SIGTERM);
	while (child_runs(pid, &status)) {
		if (clock_monotonic_ns() > deadline_ns)
			kill(pid, SIGKILL);
		poll(NULL, 0, LOOK_MS);
	}
}

/* Reads until the other end closes. 0, -ETIME, -EINTR, -EFBIG or -ENOMEM. */
static int output_read(int fd, uint64_t deadline_ns, char **out)
{
	size_t len = 0, size = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (child_interrupted())
			return -EINTR;
		if (clock_monotonic_ns() > deadline_ns)
			return -ETIME;
		if (poll(&p, 1, 100) <= 0)
			continue;
		if (size - len < 4096) {
			char *more = size < OUTPUT_BYTES_MAX ? realloc(*out, size + 65536) : NULL;

			if (!more)
				return size < OUTPUT_BYTES_MAX ? -ENOMEM : -EFBIG;
			*out = more;
			size += 65536;
		}
		n = read(fd, *out + len, size - len - 1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			len += (size_t)n;
		(*out)[len] = '\0';
		if (n == 0)
			return 0;
	}
}

int child_capture(const struct args *args, const int *cpu, unsigned int cpu_cnt, double timeout_s,
		  const char *err_path, char **out)
{
	uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)(timeout_s * NS_PER_S);
	int fds[2], status = 0, rc;
	pid_t pid;

	*out = NULL;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = child_start(args, cpu, cpu_cnt, fds[1], err_path);
	close(fds[1]);
	rc = pid < 0 ? pid : output_read(fds[0], deadline_ns, out);
	close(fds[0]);
	if (pid < 0)
		return rc;
	if (rc < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		rc = -EPROTO;
	return rc;
}

void child_first_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(line, (int)size, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (file)
		fclose(file);
}
