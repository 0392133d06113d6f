/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting, watching and stopping a real pariod from a C test.
 */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_DEADLINE_S 60
#define STOP_DEADLINE_S 60

static pid_t running;

static void kill_running(void)
{
	if (running > 0)
		kill(running, SIGKILL);
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "FAIL: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(1);
}

void daemon_prepare(struct daemon *daemon)
{
	memset(daemon, 0, sizeof(*daemon));
	snprintf(daemon->dir, sizeof(daemon->dir), "/tmp/pario-test-XXXXXX");
	if (!mkdtemp(daemon->dir))
		die("mkdtemp: %s", strerror(errno));
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static int answers(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ok;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	ok = fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

void daemon_start(struct daemon *daemon, const char *const argv[], const char *socket)
{
	time_t deadline = now_s() + START_DEADLINE_S;

	daemon->pid = fork();
	if (daemon->pid < 0)
		die("fork: %s", strerror(errno));
	if (daemon->pid == 0) {
		execv(argv[0], (char *const *)(uintptr_t)argv); /* execv keeps them as they are */
		fprintf(stderr, "exec %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	running = daemon->pid;
	atexit(kill_running);
	while (socket && !answers(socket)) {
		int status;

		if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
			running = 0;
			die("pariod ended at once, status 0x%x", status);
		}
		if (now_s() > deadline)
			die("no answer on %s within %d s", socket, START_DEADLINE_S);
		poll(NULL, 0, 10);
	}
}

static unsigned count_entries(pid_t pid, const char *what)
{
	struct dirent *entry;
	unsigned cnt = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	dir = opendir(path);
	if (!dir)
		die("%s: %s", path, strerror(errno));
	while ((entry = readdir(dir)) != NULL)
		cnt += entry->d_name[0] != '.';
	closedir(dir);
	return cnt;
}

/* Threads of the program: the kernel's io_uring workers come and go as it likes. */
static unsigned count_threads(pid_t pid)
{
	struct dirent *entry;
	unsigned cnt = 0;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL) {
		char name[32] = "";
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.200s/comm", (int)pid, entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(name, sizeof(name), file))
			cnt += strncmp(name, "iou-", 4) != 0;
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return cnt;
}

static uint64_t thread_cpu_ns(pid_t pid)
{
	struct dirent *entry;
	uint64_t sum = 0;
	char path[320];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)) != NULL) {
		unsigned long long ns = 0;
		FILE *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.200s/schedstat", (int)pid,
			 entry->d_name);
		file = fopen(path, "r");
		if (file && fscanf(file, "%llu", &ns) == 1)
			sum += ns;
		if (file)
			fclose(file);
	}
	if (dir)
		closedir(dir);
	return sum;
}

void daemon_usage(const struct daemon *daemon, struct daemon_usage *usage)
{
	unsigned long long kib;
	char path[64], line[512];
	FILE *file;

	memset(usage, 0, sizeof(*usage));
	usage->fds = count_entries(daemon->pid, "fd");
	usage->threads = count_threads(daemon->pid);
	usage->cpu_ns = thread_cpu_ns(daemon->pid);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)daemon->pid);
	file = fopen(path, "r");
	if (!file)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		usage->mappings++;
	fclose(file);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)daemon->pid);
	file = fopen(path, "r");
	if (!file)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "RssAnon: %llu kB", &kib) == 1 ||
		    sscanf(line, "RssFile: %llu kB", &kib) == 1)
			usage->rss_bytes += kib << 10;
	}
	fclose(file);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void daemon_stop(struct daemon *daemon)
{
	time_t deadline = now_s() + STOP_DEADLINE_S;
	int status;

	kill(daemon->pid, SIGTERM);
	while (waitpid(daemon->pid, &status, WNOHANG) != daemon->pid) {
		if (now_s() > deadline)
			die("pariod did not end within %d s of SIGTERM", STOP_DEADLINE_S);
		poll(NULL, 0, 10);
	}
	running = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		die("pariod ended with status 0x%x", status);
	nftw(daemon->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
