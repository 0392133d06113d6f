/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ladder, in requests per second and in CPU for each request: rows of bars, and what they show.
 */
#include "figures.h"

#include <math.h>
#include <string.h>

#include "svg.h"

enum { BAR_CALLED, BAR_POLLED };

static const char *const bar_legend[SVG_BARS_MAX] = {
	[BAR_CALLED] = "the load sleeps until called",
	[BAR_POLLED] = "the load polls",
};

static bool in_ladder(const struct point *p, enum figures_backend backend, unsigned int depth)
{
	return p->figure == FIGURE_LADDER && p->backend == backend && p->depth == depth;
}

/* The faster of the baselines; NULL when none has run. */
static const struct point *baseline_find(const struct figures *f, enum figures_backend backend,
					 unsigned int depth)
{
	const struct point *found = NULL;

	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct point *p = &f->plan.point[i];

		if (in_ladder(p, backend, depth) && p->step == STEP_BASELINE && p->run_cnt &&
		    (!found ||
		     point_spread(p, METRIC_IOPS).median > point_spread(found, METRIC_IOPS).median))
			found = p;
	}
	return found;
}

static struct svg_row *row_find(struct svg_bars *plot, const struct point *p)
{
	char name[SVG_NAME];
	struct svg_row *row;

	if (p->step == STEP_BASELINE)
		snprintf(name, sizeof(name), "baseline, %s",
			 p->server == SERVER_QSD ? "QEMU's" : "pariod");
	else
		snprintf(name, sizeof(name), "%s", ladder_step_name[p->step]);
	for (unsigned int r = 0; r < plot->cnt; r++)
		if (strcmp(plot->row[r].name, name) == 0)
			return &plot->row[r];
	if (plot->cnt == SVG_ROWS_MAX)
		return NULL;
	row = &plot->row[plot->cnt++];
	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s", name);
	for (unsigned int b = 0; b < SVG_BARS_MAX; b++)
		row->bar[b].at = NAN;
	return row;
}

static void bar_fill(struct svg_row *row, const struct point *p, enum metric metric, double base)
{
	unsigned int b = p->irq ? BAR_CALLED : BAR_POLLED;
	struct spread spread = point_spread(p, metric);
	char number[32];

	if (!isfinite(spread.median)) {
		snprintf(row->note, sizeof(row->note), "%s",
			 p->failed    ? "failed, see below"
			 : p->note[0] ? "not shown, see below"
				      : "not known");
		return;
	}
	row->bar[b] = (struct svg_value){spread.median, spread.min, spread.max};
	svg_format(number, sizeof(number), spread.median);
	if (metric == METRIC_IOPS && isfinite(base))
		snprintf(row->label[b], sizeof(row->label[b]), "%s (%.3gx)", number,
			 spread.median / base);
	else
		snprintf(row->label[b], sizeof(row->label[b]), "%s", number);
}

static void ladder_draw(FILE *out, const struct figures *f, enum figures_backend backend,
			unsigned int depth, enum metric metric)
{
	const struct point *base = baseline_find(f, backend, depth);
	static struct svg_bars plot; /* too large for the stack */
	double base_iops = base ? point_spread(base, METRIC_IOPS).median : NAN;

	plot.cnt = 0;
	memcpy(plot.legend, bar_legend, sizeof(plot.legend));
	plot.x_label = metric == METRIC_IOPS ? "requests per second (multiple of the baseline)"
					     : "CPU of the server for each request, us";
	snprintf(plot.title, sizeof(plot.title), "%s, depth %u on each queue",
		 figures_backend_name[backend], depth);
	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct point *p = &f->plan.point[i];
		struct svg_row *row = in_ladder(p, backend, depth) ? row_find(&plot, p) : NULL;

		if (row)
			bar_fill(row, p, metric, base_iops);
	}
	svg_write_bars(out, &plot);
}

static void ladders_draw(FILE *out, const struct figures *f, enum metric metric)
{
	fputs("<div class=\"plots\">\n", out);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (f->opts.backend[b]) {
			ladder_draw(out, f, b, 1, metric);
			ladder_draw(out, f, b, 32, metric);
		}
	fputs("</div>\n", out);
}

static void multiples_say(FILE *out, const struct figures *f, enum figures_backend backend,
			  unsigned int depth)
{
	const struct point *base = baseline_find(f, backend, depth), *best = NULL;
	double base_iops, best_iops = 0;

	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct point *p = &f->plan.point[i];
		double iops = point_spread(p, METRIC_IOPS).median;

		if (in_ladder(p, backend, depth) && iops > best_iops) {
			best = p;
			best_iops = iops;
		}
	}
	if (!base || !best)
		return;
	base_iops = point_spread(base, METRIC_IOPS).median;
	fprintf(out,
		"<br>%s, depth %u: the baseline is %s; the most is %.3g times that (%s, %s).\n",
		figures_backend_name[backend], depth, figures_server_name[base->server],
		best_iops / base_iops, ladder_step_name[best->step],
		best->irq ? "called" : "polled");
}

static void wakeup_say(FILE *out, const struct wakeup *w)
{
	fputs("<br>", out);
	if (isfinite(w->eventfd_us) && isfinite(w->polled_us))
		fprintf(out,
			"<strong>Waking a sleeping core is dear on this machine: %.3g us from an "
			"eventfd's write to the other thread's read, against %.3g us for a cache "
			"line that the other core polls</strong> (two pinned threads playing "
			"ping-pong, one way, medians). The multiples at depth 1 are as large as "
			"that ratio lets them be; where waking is cheaper, they are smaller.\n",
			w->eventfd_us, w->polled_us);
	else
		fputs("What it costs to wake a core could not be measured here.\n", out);
}

void figures_plot_ladder(FILE *out, const struct figures *f)
{
	ladders_draw(out, f, METRIC_IOPS);
	fprintf(out,
		"<p>The paper's measures one on top of the other, on %u queue%s. The baseline is "
		"one thread that is notified, by the call fd: pariod in mode <em>never</em> or "
		"qemu-storage-daemon, the faster of the two, is 1. From polling on there are two "
		"bars, for a load that sleeps until it is called, as an ordinary guest does, and "
		"for one that polls as well. <em>adaptive</em> is pariod's default, with the "
		"layout of the step before it.\n",
		f->input.worker_cnt, f->input.worker_cnt == 1 ? "" : "s");
	wakeup_say(out, &f->wakeup);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (f->opts.backend[b]) {
			multiples_say(out, f, b, 1);
			multiples_say(out, f, b, 32);
		}
	fputs("</p>\n", out);
}

void figures_plot_cpu(FILE *out, const struct figures *f)
{
	ladders_draw(out, f, METRIC_CPU_US);
	fputs("<p>CPU time of all threads of the server, kernel workers included, over the "
	      "requests of that time: the price of each step. A core that polls is charged "
	      "whole, so at depth 1 a polled request costs as much CPU as it takes time; at "
	      "depth 32 polling is the cheaper way, because nothing is paid for sleeping and "
	      "waking.</p>\n",
	      out);
}
