/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of ports and its values as CSV; docs/man/pario-bench.1.scd describes the columns.
 */
#include "figures_net.h"

#include <string.h>

#include "figures_csv.h"
#include "figures_page.h"
#include "svg.h"

/* ---- CSV ---- */

static const struct column {
	const char *name;
	enum netfig_metric metric;
	int digits;
} column[] = {
	{"pps", NETFIG_PPS, 1},
	{"calls_per_frame", NETFIG_CALLS, 6},
	{"calls_per_s", NETFIG_CALLS_PER_S, 1},
	{"p50_us", NETFIG_P50_US, 3},
	{"p99_us", NETFIG_P99_US, 3},
	{"cpu_us_per_frame", NETFIG_CPU_US, 4},
	{"lost", NETFIG_LOST, 6},
};
#define COLUMN_CNT (sizeof(column) / sizeof(column[0]))

static void point_write(FILE *out, const struct netfig *f, const struct netfig_point *p)
{
	double rate = netfig_rate(f, p);

	fprintf(out, "%s,%u,", netfig_figure_name[p->figure], p->size_bytes);
	csv_write_text(out, p->figure == NETFIG_LADDER ? netfig_step_name[p->step] : "");
	fprintf(out, ",%s,%u,%u,%s,", netfig_mode_name[p->mode], p->queues, p->workers,
		p->rss ? "rss" : "");
	if (p->share)
		fprintf(out, "%u", p->share);
	csv_write_value(out, rate, 0);
	fprintf(out, ",%s,%u", p->irq ? "irq" : "poll", p->run_cnt);
	for (unsigned int i = 0; i < COLUMN_CNT; i++) {
		struct spread s = netfig_spread(p, column[i].metric);

		csv_write_value(out, s.median, column[i].digits);
		csv_write_value(out, s.min, column[i].digits);
		csv_write_value(out, s.max, column[i].digits);
	}
	fputc(',', out);
	csv_write_text(out, p->note);
	fputc('\n', out);
}

bool netfig_write_csv(const char *path, const struct netfig *f)
{
	FILE *out = fopen(path, "we");
	bool ok;

	if (!out)
		return false;
	fputs("figure,size,step,coalesce,queues,workers,steering,share,rate,notify,runs", out);
	for (unsigned int i = 0; i < COLUMN_CNT; i++)
		fprintf(out, ",%s,%s_min,%s_max", column[i].name, column[i].name, column[i].name);
	fputs(",note\n", out);
	for (unsigned int i = 0; i < f->plan.cnt; i++)
		point_write(out, f, &f->plan.point[i]);
	ok = !ferror(out);
	return fclose(out) == 0 && ok;
}

/* ---- HTML ---- */

static void cpus_row(FILE *out, const struct netfig *f)
{
	char text[1024];
	size_t len = 0;

	for (unsigned int i = 0; i < f->opts.cpu_cnt && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%d",
					i == 0             ? "load on "
					: i == f->load_cnt ? "; workers on "
							   : ", ",
					f->opts.cpu[i]);
	page_row(out, "CPUs", text);
}

static void machine_table(FILE *out, const struct netfig *f)
{
	char text[256];

	fputs("<table>\n", out);
	page_row(out, "Date", f->date);
	page_machine(out, &f->machine);
	page_wakeup(out, &f->wakeup);
	page_row(out, "pariod", f->version);
	cpus_row(out, f);
	snprintf(text, sizeof(text), "%g s after %g s of warm-up, %u of each point in turns",
		 f->opts.runtime_s, f->opts.warmup_s, f->opts.rounds);
	page_row(out, "Runs", text);
	snprintf(text, sizeof(text), "pario-bench figures%.230s", f->command_line);
	page_row(out, "Command", text);
	fputs("</table>\n", out);
}

static bool same_note(const struct netfig_point *a, const struct netfig_point *b)
{
	return a->figure == b->figure && strcmp(a->note, b->note) == 0;
}

static void note_write(FILE *out, const struct netfig *f, unsigned int at)
{
	const struct netfig_point *p = &f->plan.point[at];

	for (unsigned int i = 0; i < at; i++)
		if (same_note(&f->plan.point[i], p))
			return;
	fprintf(out, "<li>%u bytes, ", p->size_bytes);
	if (p->figure == NETFIG_LADDER)
		svg_write_text(out, netfig_step_name[p->step]);
	else if (p->figure == NETFIG_SCALE)
		fprintf(out, "%u queues, %u workers", p->queues, p->workers);
	else
		fprintf(out, "%s", netfig_mode_name[p->mode]);
	fputs(" and others like it: ", out);
	svg_write_text(out, p->note);
	fputs("</li>\n", out);
}

static void notes_write(FILE *out, const struct netfig *f, enum netfig_figure figure)
{
	bool any = false;

	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		if (f->plan.point[i].figure != figure || !f->plan.point[i].note[0])
			continue;
		if (!any)
			fputs("<p>Not in this figure:</p>\n<ul>\n", out);
		any = true;
		note_write(out, f, i);
	}
	if (any)
		fputs("</ul>\n", out);
}

static void body_write(FILE *out, const struct netfig *f)
{
	fputs("<h1>pario: interrupts of virtual NICs, and their load on many workers</h1>\n"
	      "<p>The evaluation of efficient interrupt coalescing and virtual RSS (Guan, Dong, "
	      "Ma, "
	      "Xu, Zhang, Li; IEEE TPDS, 2013) redone with pariod on the machine below, with "
	      "frames "
	      "from one port to another of a switch. Every point is the median of its runs, every "
	      "whisker goes from the least to the greatest of them; runs that are compared took "
	      "turns. The same values are in figures-net.csv.</p>\n",
	      out);
	if (f->opts.quick)
		fputs("<p><strong>Made with --quick: these runs are too short and too few to mean "
		      "anything.</strong></p>\n",
		      out);
	fputs("<h2>The machine</h2>\n", out);
	machine_table(out, f);
	notes_write(out, f, NETFIG_MAX);
	fputs("<h2>(a) Interrupts and latency against rate</h2>\n", out);
	netfig_plot_rate(out, f);
	notes_write(out, f, NETFIG_RATE);
	fputs("<h2>(b) Queues and workers</h2>\n", out);
	netfig_plot_scale(out, f);
	notes_write(out, f, NETFIG_SCALE);
	fputs("<h2>(c) The ladder</h2>\n", out);
	netfig_plot_ladder(out, f);
	notes_write(out, f, NETFIG_LADDER);
}

bool netfig_write_page(const char *path, const struct netfig *f)
{
	FILE *out = fopen(path, "we");
	bool ok;

	if (!out)
		return false;
	page_begin(out, "pario: figures of the network evaluation");
	body_write(out, f);
	page_end(out);
	ok = !ferror(out);
	return fclose(out) == 0 && ok;
}
