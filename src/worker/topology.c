/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the CPU topology from sysfs, and asking it. Not placement.
 */
#include "worker/topology.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "worker/cpulist.h"

#define PATH_BYTES 512
#define CACHES_MAX 16

static FILE *PRINTF_LIKE(1, 2) open_file(const char *fmt, ...)
{
	char path[PATH_BYTES];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(path))
		return NULL;
	return fopen(path, "re");
}

static bool read_list_of(FILE *file, cpu_set_t *set)
{
	bool ok;

	CPU_ZERO(set);
	if (!file)
		return false;
	ok = cpulist_read(file, set);
	fclose(file);
	return ok;
}

/* -1 when none of the set is online, or it does not hold the CPU that it is said to be of. */
static int lowest_online(const struct topology *topology, const cpu_set_t *set, int of_cpu)
{
	if (!CPU_ISSET(of_cpu, set))
		return -1;
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		if (CPU_ISSET(cpu, set) && topology->cpus[cpu].online)
			return cpu;
	}
	return -1;
}

static void read_online(const char *root, struct topology *topology)
{
	char path[PATH_BYTES];
	cpu_set_t set;
	bool listed = read_list_of(open_file("%s/cpu/online", root), &set);

	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		bool online = listed && CPU_ISSET(cpu, &set);

		if (!listed) {
			int len = snprintf(path, sizeof(path), "%s/cpu/cpu%d", root, cpu);

			online = len > 0 && (size_t)len < sizeof(path) && access(path, F_OK) == 0;
		}
		topology->cpus[cpu].online = online;
		topology->online_cnt += online;
	}
}

/* One list tells it of all its members, so each core and each cache is read once. */
static void read_core(const char *root, struct topology *topology, int cpu, cpu_set_t *done)
{
	/* The second is the older kernels' name. */
	static const char *const names[] = {"core_cpus_list", "thread_siblings_list"};
	cpu_set_t set;
	int core = -1;

	for (size_t i = 0; core < 0 && i < ARRAY_LEN(names); i++) {
		if (read_list_of(open_file("%s/cpu/cpu%d/topology/%s", root, cpu, names[i]), &set))
			core = lowest_online(topology, &set, cpu);
	}
	if (core < 0)
		return;
	for (int member = 0; member < TOPOLOGY_CPUS_MAX; member++) {
		if (!CPU_ISSET(member, &set) || CPU_ISSET(member, done))
			continue;
		CPU_SET(member, done);
		topology->cpus[member].core = (int16_t)core;
	}
}

/* A file's first characters; "" when it is not there. */
static void read_word(FILE *file, char *word, int size)
{
	word[0] = '\0';
	if (!file)
		return;
	if (!fgets(word, size, file))
		word[0] = '\0';
	fclose(file);
}

/* The level of one cache, 0 or less for one that holds no data or is not described. */
static long cache_level(const char *root, int cpu, int cache)
{
	char level[8], type[16];

	read_word(open_file("%s/cpu/cpu%d/cache/index%d/level", root, cpu, cache), level,
		  sizeof(level));
	read_word(open_file("%s/cpu/cpu%d/cache/index%d/type", root, cpu, cache), type,
		  sizeof(type));
	return strncmp(type, "Instruction", 11) == 0 ? 0 : strtol(level, NULL, 10);
}

static void read_llc(const char *root, struct topology *topology, int cpu, cpu_set_t *done)
{
	long best_level = 0;
	int best = -1, llc;
	cpu_set_t set;

	for (int cache = 0; cache < CACHES_MAX; cache++) {
		long level = cache_level(root, cpu, cache);

		if (level > best_level) {
			best_level = level;
			best = cache;
		}
	}
	if (best < 0 ||
	    !read_list_of(open_file("%s/cpu/cpu%d/cache/index%d/shared_cpu_list", root, cpu, best),
			  &set))
		return;
	llc = lowest_online(topology, &set, cpu);
	if (llc < 0)
		return;
	for (int member = 0; member < TOPOLOGY_CPUS_MAX; member++) {
		if (!CPU_ISSET(member, &set) || CPU_ISSET(member, done))
			continue;
		CPU_SET(member, done);
		topology->cpus[member].llc = (int16_t)llc;
	}
}

/* "node12" -> 12; -1 for any other name. */
static int node_of_name(const char *name)
{
	char *end;
	long node;

	if (strncmp(name, "node", 4) != 0 || name[4] < '0' || name[4] > '9')
		return -1;
	node = strtol(name + 4, &end, 10);
	return *end == '\0' && node <= INT16_MAX ? (int)node : -1;
}

static void read_nodes(const char *root, struct topology *topology)
{
	char path[PATH_BYTES];
	int len = snprintf(path, sizeof(path), "%s/node", root);
	DIR *dir = len > 0 && (size_t)len < sizeof(path) ? opendir(path) : NULL;
	int16_t nodes[TOPOLOGY_CPUS_MAX];
	bool any = false;
	cpu_set_t set;

	if (!dir)
		return;
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++)
		nodes[cpu] = TOPOLOGY_NONE;
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		int node = node_of_name(entry->d_name);

		if (node < 0 ||
		    !read_list_of(open_file("%s/node/node%d/cpulist", root, node), &set))
			continue;
		for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
			if (!CPU_ISSET(cpu, &set))
				continue;
			nodes[cpu] = (int16_t)node;
			any = true;
		}
	}
	closedir(dir);
	for (int cpu = 0; any && cpu < TOPOLOGY_CPUS_MAX; cpu++)
		topology->cpus[cpu].node = nodes[cpu];
}

void topology_init_flat(struct topology *topology)
{
	topology->online_cnt = 0;
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++)
		topology->cpus[cpu] = (struct topology_cpu){
			.core = (int16_t)cpu, .llc = TOPOLOGY_NONE, .node = 0};
}

int topology_read(const char *root, struct topology *topology)
{
	cpu_set_t cores, caches;

	if (!root)
		root = TOPOLOGY_SYSFS;
	CPU_ZERO(&cores);
	CPU_ZERO(&caches);
	topology_init_flat(topology);
	read_online(root, topology);
	if (topology->online_cnt == 0)
		return -ENOENT;
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		if (!topology->cpus[cpu].online)
			continue;
		if (!CPU_ISSET(cpu, &cores))
			read_core(root, topology, cpu, &cores);
		if (!CPU_ISSET(cpu, &caches))
			read_llc(root, topology, cpu, &caches);
	}
	read_nodes(root, topology);
	return 0;
}

static bool is_cpu(int cpu)
{
	return cpu >= 0 && cpu < TOPOLOGY_CPUS_MAX;
}

int topology_core(const struct topology *topology, int cpu)
{
	return is_cpu(cpu) ? topology->cpus[cpu].core : TOPOLOGY_NONE;
}

int topology_llc(const struct topology *topology, int cpu)
{
	return is_cpu(cpu) ? topology->cpus[cpu].llc : TOPOLOGY_NONE;
}

int topology_node(const struct topology *topology, int cpu)
{
	return is_cpu(cpu) ? topology->cpus[cpu].node : TOPOLOGY_NONE;
}

bool topology_siblings(const struct topology *topology, int cpu, int other)
{
	return cpu != other && is_cpu(cpu) && is_cpu(other) &&
	       topology->cpus[cpu].core == topology->cpus[other].core;
}

void topology_clip(const struct topology *topology, cpu_set_t *set)
{
	if (topology->online_cnt == 0)
		return;
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		if (!topology->cpus[cpu].online)
			CPU_CLR(cpu, set);
	}
}
