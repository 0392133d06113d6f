/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a front end's threads from /proc, and the `vcpus` key. Not placement.
 *
 * Each thread's directory is opened once and its files are read through that, so that name,
 * affinity and last CPU are of one thread even if tids are reused meanwhile. The affinity is read
 * from status (Cpus_allowed_list) for that reason, not with sched_getaffinity().
 */
#include "worker/vcpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/cpuset.h"
#include "base/fdio.h"
#include "worker/cpulist.h"

#define STAT_FIELD_STATE 3
#define STAT_FIELD_PROCESSOR 39
/* A line of status before the one we want may hold tens of thousands of groups. */
#define STATUS_CHUNKS_MAX 8192

static const char *const source_names[] = {"threads", "vcpus", "order"};
_Static_assert(ARRAY_LEN(source_names) == VCPU_SOURCE_MAX_, "a name for each source");

const char *vcpu_source_name(enum vcpu_source source)
{
	return source < VCPU_SOURCE_MAX_ ? source_names[source] : NULL;
}

static FILE *open_below(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	FILE *file;

	if (fd < 0)
		return NULL;
	file = fdopen(fd, "r");
	if (!file)
		fdio_close(&fd);
	return file;
}

/* The number after prefix, if only tail follows it (NULL: "/" and an accelerator's name). */
static int number_between(const char *name, const char *prefix, const char *tail)
{
	size_t skip = strlen(prefix);
	int number = 0;
	const char *at;

	if (strncmp(name, prefix, skip) != 0)
		return -1;
	at = name + skip;
	if (*at < '0' || *at > '9')
		return -1;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (number < VCPUS_MAX)
			number = number * 10 + (*at - '0');
	}
	if (tail)
		return strcmp(at, tail) == 0 ? number : -1;
	return strcmp(at, "/KVM") == 0 || strcmp(at, "/TCG") == 0 ? number : -1;
}

/* The virtual CPU that a thread of that name is, or -1. */
static int vcpu_of_name(const char *name)
{
	static const char *const prefixes[] = {"vcpu", "crosvm_vcpu", "fc_vcpu "};
	int number = number_between(name, "CPU ", NULL);

	if (number < 0 && strcmp(name, "ALL CPUs/TCG") == 0)
		return 0;
	for (size_t i = 0; number < 0 && i < ARRAY_LEN(prefixes); i++)
		number = number_between(name, prefixes[i], "");
	return number;
}

static int read_name(int task_fd)
{
	FILE *file = open_below(task_fd, "comm");
	char name[64];
	int number = -1;

	if (!file)
		return -1;
	if (fgets(name, sizeof(name), file)) {
		name[strcspn(name, "\n")] = '\0';
		number = vcpu_of_name(name);
	}
	fclose(file);
	return number;
}

static void read_affinity(int task_fd, cpu_set_t *set)
{
	static const char key[] = "Cpus_allowed_list:";
	FILE *file = open_below(task_fd, "status");
	bool line_start = true;
	char chunk[128];

	CPU_ZERO(set);
	if (!file)
		return;
	/* fgets is told a size that ends it right behind the key: the list is what comes next. */
	for (int i = 0; i < STATUS_CHUNKS_MAX && fgets(chunk, sizeof(key), file); i++) {
		if (line_start && strcmp(chunk, key) == 0) {
			cpulist_read(file, set);
			break;
		}
		line_start = strchr(chunk, '\n') != NULL;
	}
	fclose(file);
}

static int read_last_cpu(int task_fd)
{
	FILE *file = open_below(task_fd, "stat");
	char line[1024];
	size_t len;
	char *at, *end;
	long cpu;

	if (!file)
		return -1;
	len = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[len] = '\0';
	/* The name in parentheses may hold anything, so fields are counted from its end. */
	at = strrchr(line, ')');
	for (int field = STAT_FIELD_STATE; at && field <= STAT_FIELD_PROCESSOR; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -1;
	cpu = strtol(at, &end, 10);
	return end > at && cpu >= 0 && cpu < CPU_SETSIZE ? (int)cpu : -1;
}

static pid_t tid_of_name(const char *name)
{
	char *end;
	long tid = strtol(name, &end, 10);

	return tid > 0 && tid <= INT32_MAX && *end == '\0' ? (pid_t)tid : -1;
}

static void look_at_task(int dir_fd, const char *name, struct vcpu *vcpus, unsigned max,
			 unsigned *cnt)
{
	pid_t tid = tid_of_name(name);
	int task_fd, number;
	struct vcpu *vcpu;

	if (tid < 0)
		return;
	task_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (task_fd < 0)
		return;
	number = read_name(task_fd);
	if (number >= 0 && (unsigned)number < max) {
		for (; *cnt <= (unsigned)number; (*cnt)++)
			vcpus[*cnt] = (struct vcpu){.last_cpu = -1};
		vcpu = &vcpus[number];
		if (!vcpu->known || tid < vcpu->tid) {
			vcpu->known = true;
			vcpu->tid = tid;
			vcpu->last_cpu = read_last_cpu(task_fd);
			read_affinity(task_fd, &vcpu->cpus);
		}
	}
	fdio_close(&task_fd);
}

unsigned vcpus_discover(const char *proc, pid_t pid, struct vcpu *vcpus, unsigned max)
{
	unsigned cnt = 0, tasks = 0;
	char path[512];
	DIR *dir;
	int len;

	if (pid <= 0)
		return 0;
	if (max > VCPUS_MAX)
		max = VCPUS_MAX;
	len = snprintf(path, sizeof(path), "%s/%d/task", proc ? proc : VCPUS_PROC, (int)pid);
	if (len < 0 || (size_t)len >= sizeof(path))
		return 0;
	dir = opendir(path);
	if (!dir)
		return 0;
	for (struct dirent *entry = readdir(dir); entry && tasks < VCPUS_TASKS_MAX;
	     entry = readdir(dir), tasks++)
		look_at_task(dirfd(dir), entry->d_name, vcpus, max, &cnt);
	closedir(dir);
	return cnt;
}

int vcpus_parse(const char *text, struct vcpu *vcpus, unsigned max, unsigned *cnt, struct err *err)
{
	cpu_set_t set;
	int status = cpuset_parse(text, &set, err);
	const char *at = text;

	*cnt = 0;
	if (status)
		return status;
	/* The text is a right one from here on: numbers in range, "-" and ",". */
	while (*at != '\0') {
		char *end;
		long first = strtol(at, &end, 10);
		long last = *end == '-' ? strtol(end + 1, &end, 10) : first;

		for (long cpu = first; cpu <= last && *cnt < max; cpu++) {
			struct vcpu *vcpu = &vcpus[(*cnt)++];

			*vcpu = (struct vcpu){.known = true, .last_cpu = (int)cpu};
			CPU_SET((int)cpu, &vcpu->cpus);
		}
		at = *end == ',' ? end + 1 : end;
	}
	return 0;
}
