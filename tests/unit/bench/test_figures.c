/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure parts of `pario-bench figures`: the plan for machines of all sizes, medians, reports of
 * programs, the machine's description. test_figures_run.py has the program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "figures.h"
#include "svg.h"

static void plan_for(struct plan *plan, struct plan_input *in, unsigned int cpus)
{
	*in = (struct plan_input){.backend = {true, true, true}};
	plan_split_cpus(cpus, &in->load_cnt, &in->worker_cnt);
	plan_make(plan, in);
	assert_false(plan->failed);
}

/* Points of a step that can be shown, of those that there are. */
static unsigned int shown(const struct plan *plan, enum ladder_step step,
			  enum figures_backend backend, unsigned int *all)
{
	unsigned int cnt = 0;

	*all = 0;
	for (unsigned int i = 0; i < plan->cnt; i++) {
		const struct point *p = &plan->point[i];

		if (p->figure != FIGURE_LADDER || p->step != step || p->backend != backend)
			continue;
		(*all)++;
		cnt += p->note[0] == '\0';
	}
	return cnt;
}

static void test_cpus_are_split(void **state)
{
	(void)state;
	for (unsigned int cpus = 1; cpus <= 300; cpus++) {
		unsigned int load, workers;

		plan_split_cpus(cpus, &load, &workers);
		assert_in_range(load, 1, cpus);
		assert_in_range(workers, 1, BENCH_QUEUE_MAX);
		if (cpus > 1)
			assert_true(load + workers <= cpus);
		if (cpus >= 3)
			assert_true(workers >= 2);
	}
}

static void test_plan_uses_only_what_is_there(void **state)
{
	static const unsigned int cpus[] = {2, 3, 4, 5, 8, 64, 256};

	(void)state;
	for (unsigned int c = 0; c < sizeof(cpus) / sizeof(cpus[0]); c++) {
		struct plan_input in;
		struct plan plan;

		plan_for(&plan, &in, cpus[c]);
		for (unsigned int i = 0; i < plan.cnt; i++) {
			const struct point *p = &plan.point[i];

			assert_in_range(p->depth, 1, 256);
			assert_in_range(p->queues, 1, BENCH_QUEUE_MAX);
			assert_true(strncmp(p->note, "not shown: ", 11) == 0 || !p->note[0]);
			assert_true(strlen(p->note) < FIGURES_NOTE - 1);
			assert_false(p->failed);
			if (i)
				assert_in_range(p->group, plan.point[i - 1].group,
						plan.point[i - 1].group + 1);
			if (!p->note[0])
				assert_in_range(p->workers, 1, in.worker_cnt);
		}
		plan_free(&plan);
	}
}

static void test_steps_need_cpus(void **state)
{
	static const struct {
		unsigned int cpus, parallel, dedicated, affinity;
	} row[] = {{2, 0, 0, 0}, {3, 1, 0, 2}, {4, 1, 2, 2}, {32, 1, 2, 2}};

	(void)state;
	for (unsigned int r = 0; r < sizeof(row) / sizeof(row[0]); r++) {
		struct plan_input in;
		struct plan plan;
		unsigned int all;

		plan_for(&plan, &in, row[r].cpus);
		/* Each at two depths. */
		assert_int_equal(shown(&plan, STEP_BASELINE, FIGURES_FILE, &all), 4);
		assert_int_equal(shown(&plan, STEP_BASELINE, FIGURES_FLASH, &all), 2);
		assert_int_equal(all, 4);
		assert_int_equal(shown(&plan, STEP_PARALLEL, FIGURES_FILE, &all),
				 2 * row[r].parallel);
		assert_int_equal(all, 2);
		assert_int_equal(shown(&plan, STEP_POLLING, FIGURES_FILE, &all), 4);
		assert_int_equal(shown(&plan, STEP_DEDICATED, FIGURES_FILE, &all),
				 2 * row[r].dedicated);
		assert_int_equal(all, 4);
		assert_int_equal(shown(&plan, STEP_AFFINITY, FIGURES_FILE, &all),
				 2 * row[r].affinity);
		assert_int_equal(shown(&plan, STEP_AFFINITY, FIGURES_NULL, &all), 0);
		assert_int_equal(all, 4);
		assert_int_equal(shown(&plan, STEP_ADAPTIVE, FIGURES_FILE, &all), 4);
		plan_free(&plan);
	}
}

static void test_missing_programs_are_reasons(void **state)
{
	struct plan_input in = {.load_cnt = 2,
				.worker_cnt = 2,
				.backend = {[FIGURES_FILE] = true},
				.no_fio = "fio is away",
				.no_qsd = "qsd is away",
				.no_affinity = "no such key"};
	unsigned int fio = 0, qsd = 0, affinity = 0;
	struct plan plan;

	(void)state;
	plan_make(&plan, &in);
	for (unsigned int i = 0; i < plan.cnt; i++) {
		const struct point *p = &plan.point[i];

		assert_int_equal(p->backend, FIGURES_FILE);
		fio += strcmp(p->note, "not shown: fio is away") == 0 && p->server == SERVER_FIO;
		qsd += strcmp(p->note, "not shown: qsd is away") == 0 && p->server == SERVER_QSD;
		affinity += strcmp(p->note, "not shown: no such key") == 0 && p->affinity;
		/* Without the key the last step must not ask for it either. */
		if (p->step == STEP_ADAPTIVE && p->figure == FIGURE_LADDER)
			assert_false(p->affinity);
	}
	assert_int_equal(fio, 9);
	assert_int_equal(qsd, 2);
	assert_int_equal(affinity, 4);
	plan_free(&plan);
}

static void test_spread(void **state)
{
	struct point p = {.run_cnt = 5};
	static const double value[] = {5, 1, NAN, 3, 2};
	struct spread s;

	(void)state;
	memcpy(p.value[METRIC_IOPS], value, sizeof(value));
	s = point_spread(&p, METRIC_IOPS);
	assert_true(s.median == 2.5 && s.min == 1 && s.max == 5);
	p.run_cnt = 2;
	s = point_spread(&p, METRIC_IOPS);
	assert_true(s.median == 3 && s.min == 1 && s.max == 5);
	p.run_cnt = 0;
	s = point_spread(&p, METRIC_IOPS);
	assert_true(isnan(s.median) && isnan(s.min) && isnan(s.max));
}

static void test_reports(void **state)
{
	static const char blk[] =
		"{\"results\": {\"total\": {\"iops\": 1000.0, \"latency_ns\": {\"p50\": 1500, "
		"\"p99\": 2500}}}, \"server\": {\"cpu_s\": 0.5, \"wall_s\": 1.0}, "
		"\"calls_per_request\": 0.25, \"error\": null}";
	static const char fio[] =
		"fio: a word before\n{\"jobs\": [{\"error\": 0, \"usr_cpu\": 10, \"sys_cpu\": 40, "
		"\"read\": {\"iops\": 500, \"lat_ns\": {\"percentile\": {\"50.000000\": 7000, "
		"\"99.000000\": 9000}}}}]}";
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"{\"results\": 3}",
		"{\"jobs\": []}",
		"{\"jobs\": [{}]}",
		"{\"results\": {\"total\": {\"iops\": 1000}}, \"error\": \"mismatch\"}",
		"{\"results\": {\"total\": {\"iops\": 0}}, \"error\": null}",
		"{\"jobs\": [{\"error\": 5, \"read\": {\"iops\": 500}}]}"};
	double value[METRIC_MAX_];

	(void)state;
	assert_true(report_parse_blk(blk, value));
	assert_true(value[METRIC_IOPS] == 1000 && value[METRIC_P50_US] == 1.5 &&
		    value[METRIC_P99_US] == 2.5);
	assert_true(fabs(value[METRIC_CPU_US] - 500) < 1e-6);
	assert_true(value[METRIC_CALLS] == 0.25 && isnan(value[METRIC_KICKS]));
	assert_true(report_parse_fio(fio, value));
	assert_true(value[METRIC_IOPS] == 500 && value[METRIC_P50_US] == 7 &&
		    value[METRIC_P99_US] == 9);
	assert_true(fabs(value[METRIC_CPU_US] - 1000) < 1e-6);
	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(report_parse_blk(bad[i], value));
		assert_false(report_parse_fio(bad[i], value));
	}
}

static void put(const char *root, const char *path, const char *text)
{
	char full[256], *slash;
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static char root[] = "/tmp/pario-test-XXXXXX";

static int root_make(void **state)
{
	(void)state;
	memcpy(root + sizeof(root) - 7, "XXXXXX", 6);
	return mkdtemp(root) ? 0 : -1;
}

static int root_remove(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void test_machine_without_anything(void **state)
{
	struct machine m;
	int fd = open("/", O_RDONLY);

	(void)state;
	machine_read(&m, root);
	machine_read_file(&m, root, fd);
	machine_read_file(&m, root, -1);
	assert_string_equal(m.cpu, "unknown");
	assert_string_equal(m.cores, "unknown");
	assert_string_equal(m.smt, "unknown");
	assert_string_equal(m.numa, "unknown");
	assert_string_equal(m.memory, "unknown");
	assert_string_equal(m.hypervisor, "unknown");
	assert_string_equal(m.file_system, "unknown");
	assert_int_equal(m.block_queues, 0);
	assert_int_equal(m.rq_affinity, -1);
	close(fd);
}

static void test_machine_in_full(void **state)
{
	char text[512], path[128], link[256];
	struct machine m;
	struct stat st;
	int fd;

	(void)state;
	put(root, "/proc/cpuinfo",
	    "processor\t: 0\nmodel name\t: A CPU & more\nflags\t\t: fpu hypervisors vme\n");
	put(root, "/proc/meminfo", "MemTotal:       2097152 kB\n");
	put(root, "/sys/devices/system/cpu/online", "0-1\n");
	put(root, "/sys/devices/system/cpu/smt/active", "1\n");
	put(root, "/sys/devices/system/cpu/cpu0/x", "");
	put(root, "/sys/devices/system/cpu/cpu1/x", "");
	put(root, "/sys/devices/system/cpu/cpufreq/x", "");
	put(root, "/sys/devices/system/node/node0/x", "");
	put(root, "/sys/devices/system/node/node1/x", "");
	machine_read(&m, root);
	assert_string_equal(m.cpu, "A CPU & more");
	assert_string_equal(m.cores, "CPUs 0-1 online, 2 in all");
	assert_string_equal(m.smt, "on");
	assert_string_equal(m.numa, "2");
	assert_string_equal(m.memory, "2048 MiB");
	assert_string_equal(m.hypervisor, "no");
	put(root, "/proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
	put(root, "/sys/class/dmi/id/product_name", "Box\n");
	machine_read(&m, root);
	assert_string_equal(m.hypervisor, "yes: this machine is itself a guest (Box)");

	/* A partition of a disk with three queues, as far as our own root's number goes. */
	fd = open(root, O_RDONLY);
	assert_return_code(fstat(fd, &st), 0);
	snprintf(text, sizeof(text),
		 "1 2 0:99 / /a rw - tmpfs a rw\n"
		 "3 4 %u:%u / /b rw,x shared:1 - ext9 /dev/sdz1 rw\n",
		 major(st.st_dev), minor(st.st_dev));
	put(root, "/proc/self/mountinfo", text);
	put(root, "/sys/devices/sdz/sdz1/partition", "1\n");
	put(root, "/sys/devices/sdz/mq/0/x", "");
	put(root, "/sys/devices/sdz/mq/1/x", "");
	put(root, "/sys/devices/sdz/mq/2/x", "");
	put(root, "/sys/devices/sdz/queue/scheduler", "[none] x\n");
	put(root, "/sys/devices/sdz/queue/rq_affinity", "2\n");
	put(root, "/sys/dev/block/x", "");
	snprintf(path, sizeof(path), "%u:%u", major(st.st_dev), minor(st.st_dev));
	snprintf(link, sizeof(link), "%s/sys/dev/block/%s", root, path);
	assert_return_code(symlink("../../devices/sdz/sdz1", link), 0);
	machine_read_file(&m, root, fd);
	assert_string_equal(m.file_system, "ext9 on /dev/sdz1");
	if (major(st.st_dev)) {
		assert_int_equal(m.block_queues, 3);
		assert_int_equal(m.rq_affinity, 2);
		assert_non_null(strstr(m.rq_affinity_path, "/../queue/rq_affinity"));
		assert_string_equal(m.block_device,
				    "sdz, 3 hardware queues, scheduler [none] x, rq_affinity 2");
	} else {
		assert_non_null(strstr(m.block_device, "none"));
	}
	close(fd);
}

static void test_numbers_and_text(void **state)
{
	static const struct {
		double value;
		const char *text;
	} row[] = {{0, "0"},        {0.142, "0.142"}, {850, "850"},
		   {999.4, "999"},  {999.9, "1k"},    {1234, "1.23k"},
		   {3.4e6, "3.4M"}, {999700, "1M"},   {12.5e9, "12.5G"}};
	char text[32], *buffer = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&buffer, &size);

	(void)state;
	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		svg_format(text, sizeof(text), row[i].value);
		assert_string_equal(text, row[i].text);
	}
	svg_write_text(out, "a<b>&\"c\"\n");
	fclose(out);
	assert_string_equal(buffer, "a&lt;b&gt;&amp;&quot;c&quot; ");
	free(buffer);
}

static void test_plots_of_odd_values(void **state)
{
	static struct svg_lines lines = {.x_label = "x", .y_label = "y", .cnt = 2};
	static struct svg_bars bars = {.x_label = "x", .legend = {"a", "b"}, .cnt = 2};
	char *buffer = NULL;
	size_t size = 0;

	(void)state;
	/* Nothing, one value, values that are no numbers, zero: never a "nan" in a coordinate. */
	for (unsigned int round = 0; round < 4; round++) {
		FILE *out = open_memstream(&buffer, &size);
		double value = round == 0 ? NAN : round == 1 ? 0 : 1e6;

		for (unsigned int s = 0; s < 2; s++) {
			lines.series[s].cnt = round == 3 ? 1 : SVG_POINTS_MAX;
			for (unsigned int i = 0; i < SVG_POINTS_MAX; i++) {
				lines.series[s].x[i] = i + 1;
				lines.series[s].y[i] = (struct svg_value){value, NAN, NAN};
			}
			bars.row[s].bar[0] = (struct svg_value){value, NAN, NAN};
			bars.row[s].bar[1] = (struct svg_value){NAN, NAN, NAN};
		}
		svg_write_lines(out, &lines);
		svg_write_bars(out, &bars);
		fclose(out);
		assert_null(strstr(buffer, "nan"));
		assert_null(strstr(buffer, "inf"));
		assert_int_equal(strstr(buffer, "no values") != NULL, round < 2);
		free(buffer);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpus_are_split),
		cmocka_unit_test(test_plan_uses_only_what_is_there),
		cmocka_unit_test(test_steps_need_cpus),
		cmocka_unit_test(test_missing_programs_are_reasons),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_reports),
		cmocka_unit_test_setup_teardown(test_machine_without_anything, root_make,
						root_remove),
		cmocka_unit_test_setup_teardown(test_machine_in_full, root_make, root_remove),
		cmocka_unit_test(test_numbers_and_text),
		cmocka_unit_test(test_plots_of_odd_values),
	};

	return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
