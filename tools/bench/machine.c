/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the machine's description from /proc and /sys, of which a container may lack any part.
 */
#include "machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PATH_BYTES 512

static void unknown(char *text)
{
	snprintf(text, MACHINE_TEXT, "unknown");
}

/* First line of root/path; false when there is none. */
static bool line_read(const char *root, const char *path, char *line, size_t size)
{
	char full[PATH_BYTES];
	FILE *file;
	bool ok;

	snprintf(full, sizeof(full), "%s%s", root, path);
	file = fopen(full, "re");
	if (!file)
		return false;
	ok = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

/* Directory entries that begin with prefix and a digit; prefix "" counts all numbers. */
static unsigned int entries_count(const char *root, const char *path, const char *prefix)
{
	char full[PATH_BYTES];
	struct dirent *entry;
	unsigned int cnt = 0;
	size_t len = strlen(prefix);
	DIR *dir;

	snprintf(full, sizeof(full), "%s%s", root, path);
	dir = opendir(full);
	while (dir && (entry = readdir(dir)) != NULL)
		cnt += strncmp(entry->d_name, prefix, len) == 0 && entry->d_name[len] >= '0' &&
		       entry->d_name[len] <= '9';
	if (dir)
		closedir(dir);
	return cnt;
}

/* The value behind "key<blanks>: " of /proc/cpuinfo or /proc/meminfo. */
static bool value_read(const char *root, const char *path, const char *key, char *value,
		       size_t size)
{
	static char line[8192]; /* flags of a CPU are long */
	char full[PATH_BYTES];
	size_t len = strlen(key);
	bool found = false;
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	file = fopen(full, "re");
	while (file && !found && fgets(line, sizeof(line), file)) {
		const char *text = line + len;

		if (strncmp(line, key, len) != 0 || text[strspn(text, " \t")] != ':')
			continue;
		text = strchr(text, ':') + 1;
		snprintf(value, size, "%s", text + strspn(text, " \t"));
		value[strcspn(value, "\n")] = '\0';
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static void cpus_read(struct machine *m, const char *root)
{
	char line[64];
	unsigned int cnt;

	if (!value_read(root, "/proc/cpuinfo", "model name", m->cpu, sizeof(m->cpu)))
		unknown(m->cpu);
	if (line_read(root, "/sys/devices/system/cpu/online", line, sizeof(line)))
		snprintf(m->cores, sizeof(m->cores), "CPUs %s online, %u in all", line,
			 entries_count(root, "/sys/devices/system/cpu", "cpu"));
	if (line_read(root, "/sys/devices/system/cpu/smt/active", line, sizeof(line)))
		snprintf(m->smt, sizeof(m->smt), "%s", line[0] == '1' ? "on" : "off");
	cnt = entries_count(root, "/sys/devices/system/node", "node");
	if (cnt)
		snprintf(m->numa, sizeof(m->numa), "%u", cnt);
}

static void idle_read(struct machine *m, const char *root)
{
	char driver[64], governor[64];

	if (line_read(root, "/sys/devices/system/cpu/cpuidle/current_driver", driver,
		      sizeof(driver)) &&
	    line_read(root, "/sys/devices/system/cpu/cpuidle/current_governor", governor,
		      sizeof(governor)))
		snprintf(m->idle, sizeof(m->idle), "cpuidle driver %s, governor %s", driver,
			 governor);
}

static void hypervisor_read(struct machine *m, const char *root)
{
	static char flags[8192];
	char product[64], *save = NULL;
	bool found = false;

	if (!value_read(root, "/proc/cpuinfo", "flags", flags, sizeof(flags)))
		return;
	for (char *flag = strtok_r(flags, " ", &save); flag; flag = strtok_r(NULL, " ", &save))
		found |= strcmp(flag, "hypervisor") == 0;
	if (!line_read(root, "/sys/class/dmi/id/product_name", product, sizeof(product)))
		product[0] = '\0';
	snprintf(m->hypervisor, sizeof(m->hypervisor), "%s%s%s%s",
		 found ? "yes: this machine is itself a guest" : "no", product[0] ? " (" : "",
		 product, product[0] ? ")" : "");
}

void machine_read(struct machine *m, const char *root)
{
	char *const text[] = {m->cpu,    m->cores,      m->smt,         m->numa,        m->idle,
			      m->memory, m->hypervisor, m->file_system, m->block_device};
	struct utsname name;
	char line[64];

	m->block_queues = 0;
	m->rq_affinity = -1;
	m->rq_affinity_path[0] = '\0';
	for (unsigned int i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		unknown(text[i]);
	cpus_read(m, root);
	idle_read(m, root);
	hypervisor_read(m, root);
	if (value_read(root, "/proc/meminfo", "MemTotal", line, sizeof(line)))
		snprintf(m->memory, sizeof(m->memory), "%llu MiB", strtoull(line, NULL, 10) / 1024);
	if (uname(&name) == 0)
		snprintf(m->kernel, sizeof(m->kernel), "%.60s %.20s %.20s", name.sysname,
			 name.release, name.machine);
	else
		unknown(m->kernel);
}

/*
 * A line of mountinfo: id parent MAJ:MIN root mountpoint options [tags]... - type source options.
 * The device number that stat() shows for a file is the one there (not on btrfs: unknown then).
 */
static void file_system_read(struct machine *m, const char *root, dev_t dev)
{
	char full[PATH_BYTES], line[1024], wanted[32];
	FILE *file;

	snprintf(wanted, sizeof(wanted), "%u:%u", major(dev), minor(dev));
	snprintf(full, sizeof(full), "%s/proc/self/mountinfo", root);
	file = fopen(full, "re");
	while (file && fgets(line, sizeof(line), file)) {
		char type[32], source[64];
		const char *rest = strstr(line, " - ");
		char id[32];

		if (!rest || sscanf(line, "%*s %*s %31s", id) != 1 || strcmp(id, wanted) != 0 ||
		    sscanf(rest, " - %31s %63s", type, source) != 2)
			continue;
		snprintf(m->file_system, sizeof(m->file_system), "%s on %s", type, source);
		break;
	}
	if (file)
		fclose(file);
}

static void block_device_read(struct machine *m, const char *root, dev_t dev)
{
	char link[128], full[PATH_BYTES], target[PATH_BYTES], line[64];
	char path[PATH_BYTES / 2];
	const char *name, *sys = "/sys/dev/block";
	ssize_t len;
	int used;

	snprintf(link, sizeof(link), "%s/%u:%u", sys, major(dev), minor(dev));
	snprintf(full, sizeof(full), "%s%s", root, link);
	len = readlink(full, target, sizeof(target) - 1);
	if (len <= 0)
		return;
	target[len] = '\0';
	snprintf(path, sizeof(path), "%s", link);
	/* A partition has no queues: its disk is the directory above. */
	snprintf(full, sizeof(full), "%s/partition", path);
	if (line_read(root, full, line, sizeof(line))) {
		snprintf(path, sizeof(path), "%s/..", link);
		*strrchr(target, '/') = '\0';
	}
	name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
	snprintf(full, sizeof(full), "%s/mq", path);
	m->block_queues = entries_count(root, full, "");
	used = snprintf(m->block_device, MACHINE_TEXT, "%.40s, %u hardware queue%s", name,
			m->block_queues, m->block_queues == 1 ? "" : "s");
	snprintf(full, sizeof(full), "%s/queue/scheduler", path);
	if (line_read(root, full, line, sizeof(line)))
		used += snprintf(m->block_device + used, MACHINE_TEXT - (size_t)used,
				 ", scheduler %.40s", line);
	snprintf(m->rq_affinity_path, MACHINE_TEXT, "%.120s/queue/rq_affinity", path);
	if (!line_read(root, m->rq_affinity_path, line, sizeof(line)))
		return;
	m->rq_affinity = (int)strtol(line, NULL, 10);
	snprintf(m->block_device + used, MACHINE_TEXT - (size_t)used, ", rq_affinity %.4s", line);
}

void machine_read_file(struct machine *m, const char *root, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	if (S_ISBLK(st.st_mode)) {
		snprintf(m->file_system, sizeof(m->file_system), "none: a block device itself");
		block_device_read(m, root, st.st_rdev);
		return;
	}
	file_system_read(m, root, st.st_dev);
	if (major(st.st_dev) == 0)
		snprintf(m->block_device, sizeof(m->block_device),
			 "none: the file system has no block device of its own");
	else
		block_device_read(m, root, st.st_dev);
}
