/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fake_host.h. Not a worker.
 */
#include "fake_host.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpuset.h"

const struct fake_shape fake_shapes[6] = {
	{1, 1, 1, 1}, {1, 1, 2, 1}, {1, 1, 2, 2}, {1, 2, 4, 1}, {2, 1, 16, 2}, {2, 8, 8, 2},
};

static char root[64];

unsigned fake_shape_cpus(const struct fake_shape *shape)
{
	return shape->nodes * shape->llcs * shape->cores * shape->threads;
}

void fake_topology_make(const struct fake_shape *shape, struct topology *topology)
{
	unsigned cores = fake_shape_cpus(shape) / shape->threads;

	topology_init_flat(topology);
	topology->online_cnt = cores * shape->threads;
	for (unsigned cpu = 0; cpu < topology->online_cnt; cpu++) {
		unsigned core = cpu % cores;
		unsigned llc = core / shape->cores;

		topology->cpus[cpu] = (struct topology_cpu){
			.online = true,
			.core = (int16_t)core,
			.llc = (int16_t)(llc * shape->cores),
			.node = (int16_t)(llc / shape->llcs),
		};
	}
	/* As a kernel with NUMA shows the CPUs that are not there. */
	for (unsigned cpu = topology->online_cnt; cpu < TOPOLOGY_CPUS_MAX; cpu++)
		topology->cpus[cpu].node = TOPOLOGY_NONE;
}

const char *fake_root_new(void)
{
	snprintf(root, sizeof(root), "/tmp/pario-host-XXXXXX");
	assert_non_null(mkdtemp(root));
	return root;
}

__attribute__((format(printf, 3, 0))) static void below_root(char *path, size_t size,
							     const char *fmt, va_list args)
{
	int len = snprintf(path, size, "%s/", root);

	vsnprintf(path + len, size - (size_t)len, fmt, args);
}

void fake_write(const char *text, const char *fmt, ...)
{
	char path[256];
	va_list args;
	FILE *file;

	va_start(args, fmt);
	below_root(path, sizeof(path), fmt, args);
	va_end(args);
	for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int delete_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st, (void)kind, (void)ftw;
	return remove(path);
}

void fake_delete(const char *fmt, ...)
{
	char path[256];
	va_list args;

	va_start(args, fmt);
	below_root(path, sizeof(path), fmt, args);
	va_end(args);
	assert_int_equal(nftw(path, delete_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void fake_root_delete(void)
{
	assert_int_equal(nftw(root, delete_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* The online CPUs with the same value of the int16_t at offset. */
static void list_of(const struct topology *topology, size_t offset, int value, char *text,
		    size_t size)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		int16_t member;

		memcpy(&member, (const char *)&topology->cpus[cpu] + offset, sizeof(member));
		if (topology->cpus[cpu].online && member == value)
			CPU_SET(cpu, &set);
	}
	cpuset_format(&set, text, size - 1);
	strncat(text, "\n", 2);
}

static void write_cache(int cpu, int idx, const char *level, const char *type, const char *list)
{
	fake_write(level, "cpu/cpu%d/cache/index%d/level", cpu, idx);
	fake_write(type, "cpu/cpu%d/cache/index%d/type", cpu, idx);
	fake_write(list, "cpu/cpu%d/cache/index%d/shared_cpu_list", cpu, idx);
}

void fake_topology_write(const struct topology *topology)
{
	const size_t core = offsetof(struct topology_cpu, core);
	const size_t llc = offsetof(struct topology_cpu, llc);
	const size_t node = offsetof(struct topology_cpu, node);
	int node_max = -1;
	cpu_set_t online;
	char text[2048];

	CPU_ZERO(&online);
	for (int cpu = 0; cpu < TOPOLOGY_CPUS_MAX; cpu++) {
		const struct topology_cpu *of = &topology->cpus[cpu];

		if (!of->online)
			continue;
		CPU_SET(cpu, &online);
		node_max = of->node > node_max ? of->node : node_max;
		list_of(topology, core, of->core, text, sizeof(text));
		fake_write(text, "cpu/cpu%d/topology/core_cpus_list", cpu);
		write_cache(cpu, 0, "1\n", "Data\n", text);
		write_cache(cpu, 1, "1\n", "Instruction\n", text);
		list_of(topology, llc, of->llc, text, sizeof(text));
		write_cache(cpu, 2, "3\n", "Unified\n", text);
	}
	cpuset_format(&online, text, sizeof(text) - 1);
	strncat(text, "\n", 2);
	fake_write(text, "cpu/online");
	fake_write(text, "node/online");
	for (int i = 0; i <= node_max; i++) {
		list_of(topology, node, i, text, sizeof(text));
		fake_write(text, "node/node%d/cpulist", i);
	}
}

struct fake_random fake_random(unsigned seed)
{
	return (struct fake_random){.state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
}

unsigned fake_below(struct fake_random *random, unsigned below)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return (unsigned)((random->state * UINT64_C(0x2545f4914f6cdd1d) >> 33) % below);
}
