/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pario-bench figures net`: prepares, runs the plan round by round, writes, and cleans up.
 * See figures_net.h for how the parts fit together.
 */
#include "figures_net.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "figures_start.h"

static int prepare(struct netfig *f, const char *program)
{
	unsigned int worker_cnt;
	int rc = figures_places_make(f->opts.out, f->self, f->tmp, sizeof(f->tmp));

	if (rc != BENCH_OK)
		return rc;
	figures_date_now(f->date, sizeof(f->date));
	rc = figures_daemon_find(f->opts.daemon, program, f->self, f->tmp, f->daemon, f->version);
	if (rc != BENCH_OK)
		return rc;
	machine_read(&f->machine, "");
	plan_split_cpus(f->opts.cpu_cnt, &f->load_cnt, &worker_cnt);
	f->input = (struct netfig_input){
		.worker_cnt = worker_cnt,
		.size_cnt = f->opts.size_cnt,
		.quick = f->opts.quick,
	};
	memcpy(f->input.size, f->opts.size, sizeof(f->input.size));
	if (!figures_daemon_has(f->tmp, f->daemon, "steering.mode"))
		f->input.no_rss = "this pariod has no key steering.mode";
	netfig_plan_make(&f->plan, &f->input);
	return f->plan.failed ? figures_fail("figures", "out of memory") : BENCH_OK;
}

static void progress(const struct netfig *f, const struct netfig_point *p, unsigned int at)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%u of %u points: %s, %u bytes, %u queues, %u %%%20s", at,
			f->plan.cnt, netfig_figure_name[p->figure], p->size_bytes, p->queues,
			p->share ? p->share : 100, "");
}

/* The points of a group, [first, end), in turns; each round begins with another one. */
static void group_run(struct netfig *f, unsigned int first, unsigned int end)
{
	unsigned int cnt = end - first;

	for (unsigned int round = 0; round < f->opts.rounds; round++)
		for (unsigned int i = 0; i < cnt && !child_interrupted(); i++) {
			struct netfig_point *p = &f->plan.point[first + (round + i) % cnt];

			if (!p->note[0])
				netfig_point_run(f, p);
		}
	for (unsigned int i = first; i < end; i++) {
		const struct netfig_point *p = &f->plan.point[i];

		if (!p->failed || child_interrupted())
			continue;
		f->failed_cnt++;
		fprintf(stderr, "pario-bench: %s, %u bytes, %s, %u queues: %s\n",
			netfig_figure_name[p->figure], p->size_bytes, netfig_mode_name[p->mode],
			p->queues, p->note);
	}
}

static void plan_run(struct netfig *f)
{
	unsigned int first = 0;

	wakeup_measure(&f->wakeup, f->opts.cpu[0], f->opts.cpu[f->load_cnt],
		       f->opts.quick ? 0.1 : 1);
	for (unsigned int i = 1; i <= f->plan.cnt && !child_interrupted(); i++) {
		if (i < f->plan.cnt && f->plan.point[i].group == f->plan.point[first].group)
			continue;
		progress(f, &f->plan.point[first], first);
		group_run(f, first, i);
		first = i;
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%79s\r", "");
}

static int results_write(const struct netfig *f)
{
	char path[FIGURES_PATH];

	snprintf(path, sizeof(path), "%.1000s/figures-net.csv", f->opts.out);
	if (!netfig_write_csv(path, f))
		return figures_fail(path, strerror(errno));
	printf("%s\n", path);
	snprintf(path, sizeof(path), "%.1000s/figures-net.html", f->opts.out);
	if (!netfig_write_page(path, f))
		return figures_fail(path, strerror(errno));
	printf("%s\n", path);
	if (f->failed_cnt == 0)
		return BENCH_OK;
	fprintf(stderr, "pario-bench: %u of %u points failed; the page and the CSV say why\n",
		f->failed_cnt, f->plan.cnt);
	return BENCH_FAILED;
}

int figures_net_main(int argc, char **argv, const char *program)
{
	static struct netfig f;
	int status;

	/* Before getopt_long() puts the words into its own order. */
	figures_command_line(f.command_line, sizeof(f.command_line), argc, argv);
	status = netfig_options_parse(&f.opts, argc, argv);
	if (status != BENCH_OK)
		return status < 0 ? BENCH_OK : status;
	child_catch_signals();
	status = prepare(&f, program);
	if (status == BENCH_OK) {
		plan_run(&f);
		status = child_interrupted()
				 ? figures_fail("figures", "interrupted, nothing is written")
				 : results_write(&f);
	}
	figures_tmp_remove(f.tmp);
	netfig_plan_free(&f.plan);
	return status;
}
