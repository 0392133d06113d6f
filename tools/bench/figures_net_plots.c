/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plots of ports, with the sentences that say what they show. The page around them is in
 * figures_net_page.c.
 */
#include "figures_net.h"

#include <math.h>
#include <string.h>

#include "svg.h"

static bool of_rate(const struct netfig_point *p, unsigned int size, enum netfig_mode mode)
{
	return p->figure == NETFIG_RATE && p->size_bytes == size && p->mode == mode;
}

static void rate_series(struct svg_lines *plot, const struct netfig *f, unsigned int size,
			enum netfig_mode mode, enum netfig_metric metric)
{
	struct svg_series *s = &plot->series[plot->cnt];

	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < f->plan.cnt && s->cnt < SVG_POINTS_MAX; i++) {
		const struct netfig_point *p = &f->plan.point[i];
		struct spread spread = netfig_spread(p, metric);

		if (!of_rate(p, size, mode) || !isfinite(spread.median))
			continue;
		s->x[s->cnt] = netfig_rate(f, p);
		s->y[s->cnt++] = (struct svg_value){spread.median, spread.min, spread.max};
	}
	if (s->cnt == 0)
		return;
	s->color = mode;
	s->dashed = metric == NETFIG_P50_US;
	snprintf(s->name, sizeof(s->name), "%s%s", netfig_mode_name[mode],
		 metric == NETFIG_P50_US   ? ", p50"
		 : metric == NETFIG_P99_US ? ", p99"
					   : "");
	plot->cnt++;
}

static void rate_plot(FILE *out, const struct netfig *f, unsigned int size,
		      enum netfig_metric metric, const char *what, const char *y_label)
{
	static struct svg_lines plot; /* too large for the stack */

	plot.cnt = 0;
	plot.x_label = "frames per second offered";
	plot.y_label = y_label;
	snprintf(plot.title, sizeof(plot.title), "%u bytes: %s against rate", size, what);
	for (enum netfig_mode mode = 0; mode < NETFIG_MODE_MAX_; mode++) {
		if (metric == NETFIG_P99_US)
			rate_series(&plot, f, size, mode, NETFIG_P50_US);
		rate_series(&plot, f, size, mode, metric);
	}
	svg_write_lines(out, &plot);
}

/* The point with another mode at the same rate; NULL when it has not run. */
static const struct netfig_point *beside(const struct netfig *f, const struct netfig_point *p,
					 enum netfig_mode mode)
{
	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct netfig_point *other = &f->plan.point[i];

		if (of_rate(other, p->size_bytes, mode) && other->share == p->share &&
		    other->run_cnt)
			return other;
	}
	return NULL;
}

static void rate_say(FILE *out, const struct netfig *f, unsigned int size)
{
	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct netfig_point *p = &f->plan.point[i];
		const struct netfig_point *off, *fixed;

		if (!of_rate(p, size, NETFIG_ADAPTIVE) || !p->run_cnt)
			continue;
		off = beside(f, p, NETFIG_OFF);
		fixed = beside(f, p, NETFIG_STATIC);
		if (!off || !fixed)
			continue;
		fprintf(out,
			"<br>%u bytes at %u %% of the highest rate: calls for each frame off %.3g, "
			"static %.3g, adaptive %.3g; p99 %.3g, %.3g, %.3g us.\n",
			size, p->share, netfig_spread(off, NETFIG_CALLS).median,
			netfig_spread(fixed, NETFIG_CALLS).median,
			netfig_spread(p, NETFIG_CALLS).median,
			netfig_spread(off, NETFIG_P99_US).median,
			netfig_spread(fixed, NETFIG_P99_US).median,
			netfig_spread(p, NETFIG_P99_US).median);
	}
}

void netfig_plot_rate(FILE *out, const struct netfig *f)
{
	fputs("<div class=\"plots\">\n", out);
	for (unsigned int i = 0; i < f->opts.size_cnt; i++) {
		unsigned int size = f->opts.size[i];

		rate_plot(out, f, size, NETFIG_CALLS_PER_S, "calls", "calls per second");
		rate_plot(out, f, size, NETFIG_CALLS, "calls for each frame", "calls per frame");
		rate_plot(out, f, size, NETFIG_P99_US, "latency", "latency, us");
		rate_plot(out, f, size, NETFIG_CPU_US, "CPU of pariod", "us per frame");
	}
	fprintf(out,
		"</div>\n<p>One queue and one worker; the receiver is asleep until its call fd "
		"counts, empties its queue and arms it again at once, so that calls are the "
		"interrupts of a guest that is never slow. <em>off</em> calls at the end of each "
		"burst, <em>static</em> after %d frames or %d us, <em>adaptive</em> as the rate, "
		"the buffers that the guest has posted and the latency allow. Fewer calls at the "
		"same latency are better; rates are shares of the highest that came through, with "
		"<em>off</em>: ",
		NETFIG_STATIC_PACKETS, NETFIG_STATIC_USECS);
	for (unsigned int i = 0; i < f->opts.size_cnt; i++) {
		char text[32];

		svg_format(text, sizeof(text), netfig_max_pps(f, f->opts.size[i]));
		fprintf(out, "%s%s a second of %u bytes", i ? ", " : "", text, f->opts.size[i]);
	}
	fputs(". Latency is from sending: that a frame was sent late is no part of it.\n", out);
	for (unsigned int i = 0; i < f->opts.size_cnt; i++)
		rate_say(out, f, f->opts.size[i]);
	fputs("</p>\n", out);
}

static bool of_scale(const struct netfig_point *p, unsigned int size)
{
	return p->figure == NETFIG_SCALE && p->size_bytes == size;
}

static void scale_plot(FILE *out, const struct netfig *f, unsigned int size)
{
	static struct svg_lines plot;

	plot.cnt = 0;
	plot.x_label = "receive queues";
	plot.y_label = "frames per second";
	snprintf(plot.title, sizeof(plot.title), "%u bytes: throughput against queues and workers",
		 size);
	for (unsigned int workers = 1; workers <= f->input.worker_cnt; workers++) {
		struct svg_series *s = &plot.series[plot.cnt];

		if (plot.cnt == SVG_SERIES_MAX)
			break;
		memset(s, 0, sizeof(*s));
		for (unsigned int i = 0; i < f->plan.cnt && s->cnt < SVG_POINTS_MAX; i++) {
			const struct netfig_point *p = &f->plan.point[i];
			struct spread spread = netfig_spread(p, NETFIG_PPS);

			if (!of_scale(p, size) || p->workers != workers || !isfinite(spread.median))
				continue;
			s->x[s->cnt] = p->queues;
			s->y[s->cnt++] = (struct svg_value){spread.median, spread.min, spread.max};
		}
		if (s->cnt == 0)
			continue;
		s->color = plot.cnt % SVG_COLOR_CNT;
		s->dashed = plot.cnt >= SVG_COLOR_CNT;
		snprintf(s->name, sizeof(s->name), "%u worker%s", workers, workers == 1 ? "" : "s");
		plot.cnt++;
	}
	svg_write_lines(out, &plot);
}

static void scale_say(FILE *out, const struct netfig *f, unsigned int size)
{
	const struct netfig_point *one = NULL, *best = NULL;
	double most = 0;

	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct netfig_point *p = &f->plan.point[i];
		double pps = netfig_spread(p, NETFIG_PPS).median;

		if (!of_scale(p, size) || !isfinite(pps))
			continue;
		if (p->queues == 1 && p->workers == 1)
			one = p;
		if (pps > most) {
			most = pps;
			best = p;
		}
	}
	if (one && best)
		fprintf(out,
			"<br>%u bytes: at most %.2f times what one queue and one worker carry, on "
			"%u queue%s and %u worker%s.\n",
			size, most / netfig_spread(one, NETFIG_PPS).median, best->queues,
			best->queues == 1 ? "" : "s", best->workers, best->workers == 1 ? "" : "s");
}

void netfig_plot_scale(FILE *out, const struct netfig *f)
{
	fputs("<div class=\"plots\">\n", out);
	for (unsigned int i = 0; i < f->opts.size_cnt; i++)
		scale_plot(out, f, f->opts.size[i]);
	fprintf(out,
		"</div>\n<p>Two ports with as many queue pairs each, %d flows spread by "
		"<em>steering.mode=rss</em>, workers and the load polling. A queue belongs to one "
		"worker: more queues than workers only spread finer. The load has %u CPU%s here, "
		"and makes and takes every frame.\n",
		NETFIG_FLOWS, f->load_cnt, f->load_cnt == 1 ? "" : "s");
	for (unsigned int i = 0; i < f->opts.size_cnt; i++)
		scale_say(out, f, f->opts.size[i]);
	fputs("</p>\n", out);
}

static bool of_ladder(const struct netfig_point *p, unsigned int size)
{
	return p->figure == NETFIG_LADDER && p->size_bytes == size;
}

static double ladder_base(const struct netfig *f, unsigned int size, enum netfig_metric metric)
{
	for (unsigned int i = 0; i < f->plan.cnt; i++)
		if (of_ladder(&f->plan.point[i], size) && f->plan.point[i].step == NETFIG_BASELINE)
			return netfig_spread(&f->plan.point[i], metric).median;
	return NAN;
}

static void ladder_row(struct svg_row *row, const struct netfig_point *p, enum netfig_metric metric,
		       double base)
{
	struct spread spread = netfig_spread(p, metric);
	char number[32];

	memset(row, 0, sizeof(*row));
	snprintf(row->name, sizeof(row->name), "%s", netfig_step_name[p->step]);
	row->bar[0].at = row->bar[1].at = NAN;
	if (!isfinite(spread.median)) {
		snprintf(row->note, sizeof(row->note), "%s",
			 p->failed    ? "failed, see below"
			 : p->note[0] ? "not shown, see below"
				      : "not known");
		return;
	}
	row->bar[0] = (struct svg_value){spread.median, spread.min, spread.max};
	svg_format(number, sizeof(number), spread.median);
	if (metric != NETFIG_PPS)
		snprintf(number, sizeof(number), "%.3g", spread.median);
	if (isfinite(base) && base > 0)
		snprintf(row->label[0], sizeof(row->label[0]), "%s (%.3gx)", number,
			 spread.median / base);
	else
		snprintf(row->label[0], sizeof(row->label[0]), "%s", number);
}

static void ladder_plot(FILE *out, const struct netfig *f, unsigned int size,
			enum netfig_metric metric, const char *x_label)
{
	static struct svg_bars plot;

	plot.cnt = 0;
	plot.x_label = x_label;
	plot.legend[0] = "the load sleeps until called";
	plot.legend[1] = NULL;
	snprintf(plot.title, sizeof(plot.title), "%u bytes, as fast as possible", size);
	for (unsigned int i = 0; i < f->plan.cnt && plot.cnt < SVG_ROWS_MAX; i++)
		if (of_ladder(&f->plan.point[i], size))
			ladder_row(&plot.row[plot.cnt++], &f->plan.point[i], metric,
				   ladder_base(f, size, metric));
	svg_write_bars(out, &plot);
}

void netfig_plot_ladder(FILE *out, const struct netfig *f)
{
	fputs("<div class=\"plots\">\n", out);
	for (unsigned int i = 0; i < f->opts.size_cnt; i++) {
		unsigned int size = f->opts.size[i];

		ladder_plot(out, f, size, NETFIG_PPS,
			    "frames per second (multiple of the baseline)");
		ladder_plot(out, f, size, NETFIG_CALLS, "calls for each frame");
		ladder_plot(out, f, size, NETFIG_CPU_US, "CPU of pariod for each frame, us");
	}
	fputs("</div>\n<p>The paper's two remedies one by one and together. The baseline is one "
	      "queue on one worker that calls at the end of each burst; coalescing is "
	      "<em>adaptive</em>; vRSS gives each port two queues for each worker, flows spread by "
	      "<em>steering.mode=rss</em>.</p>\n",
	      out);
}
