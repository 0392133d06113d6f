/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots over depth and over queues, with the sentences that say what they show. The ladder's are
 * in figures_ladder.c, the page around all of them in figures_page.c.
 */
#include "figures.h"

#include <math.h>
#include <string.h>

#include "svg.h"

/* Points of one line: same server and mode, one after the other in the order of the plan. */
struct line_key {
	enum figure figure;
	enum figures_backend backend;
	enum figures_server server;
	enum figures_poll poll;
	unsigned int workers;
};

static bool matches(const struct point *p, const struct line_key *key)
{
	return p->figure == key->figure && p->backend == key->backend && p->server == key->server &&
	       p->poll == key->poll && p->workers == key->workers;
}

static struct svg_series *series_add(struct svg_lines *plot, const struct figures *f,
				     const struct line_key *key, enum metric metric)
{
	struct svg_series *s = &plot->series[plot->cnt];

	if (plot->cnt == SVG_SERIES_MAX)
		return NULL;
	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < f->plan.cnt && s->cnt < SVG_POINTS_MAX; i++) {
		const struct point *p = &f->plan.point[i];
		struct spread spread = point_spread(p, metric);

		if (!matches(p, key) || !isfinite(spread.median))
			continue;
		s->x[s->cnt] = key->figure == FIGURE_DEPTH ? p->depth : p->queues;
		s->y[s->cnt++] = (struct svg_value){spread.median, spread.min, spread.max};
	}
	if (s->cnt == 0)
		return NULL;
	plot->cnt++;
	return s;
}

/* pariod's three modes and, where it is measured, fio: 0 to FIGURES_POLL_MAX_. */
static struct line_key depth_key(enum figures_backend backend, unsigned int line)
{
	struct line_key key = {FIGURE_DEPTH, backend, SERVER_PARIOD, line, 1};

	if (line == FIGURES_POLL_MAX_) {
		key.server = SERVER_FIO;
		key.poll = 0;
	}
	return key;
}

static const char *depth_name(unsigned int line)
{
	return line == FIGURES_POLL_MAX_ ? "fio, bare" : figures_poll_name[line];
}

static void depth_iops(FILE *out, const struct figures *f, enum figures_backend backend)
{
	static struct svg_lines plot; /* too large for the stack */

	plot.cnt = 0;
	plot.x_label = "requests in flight";
	plot.y_label = "requests per second";
	snprintf(plot.title, sizeof(plot.title), "%s: IOPS against depth",
		 figures_backend_name[backend]);
	for (unsigned int line = 0; line <= FIGURES_POLL_MAX_; line++) {
		struct line_key key = depth_key(backend, line);
		struct svg_series *s = series_add(&plot, f, &key, METRIC_IOPS);

		if (!s)
			continue;
		s->color = line;
		snprintf(s->name, sizeof(s->name), "%s", depth_name(line));
	}
	svg_write_lines(out, &plot);
}

static void depth_latency(FILE *out, const struct figures *f, enum figures_backend backend)
{
	static struct svg_lines plot;

	plot.cnt = 0;
	plot.x_label = "requests in flight";
	plot.y_label = "latency, us";
	snprintf(plot.title, sizeof(plot.title), "%s: latency against depth, p50 and p99",
		 figures_backend_name[backend]);
	for (unsigned int line = 0; line <= FIGURES_POLL_MAX_; line++)
		for (unsigned int tail = 0; tail < 2; tail++) {
			struct line_key key = depth_key(backend, line);
			struct svg_series *s =
				series_add(&plot, f, &key, tail ? METRIC_P99_US : METRIC_P50_US);

			if (!s)
				continue;
			s->color = line;
			s->dashed = tail;
			snprintf(s->name, sizeof(s->name), "%s, %s", depth_name(line),
				 tail ? "p99" : "p50");
		}
	svg_write_lines(out, &plot);
}

/* One end of the lines, in words: the least depth or the greatest. */
static void depth_say(FILE *out, const struct figures *f, enum figures_backend backend,
		      bool greatest)
{
	bool said = false;

	for (unsigned int line = 0; line <= FIGURES_POLL_MAX_; line++) {
		struct line_key key = depth_key(backend, line);
		const struct point *end = NULL;
		char text[32];

		for (unsigned int i = 0; i < f->plan.cnt; i++) {
			const struct point *p = &f->plan.point[i];

			if (matches(p, &key) && p->run_cnt && (!end || greatest))
				end = p;
		}
		if (!end)
			continue;
		if (!said)
			fprintf(out, "<br>%s at depth %u: ", figures_backend_name[backend],
				end->depth);
		svg_format(text, sizeof(text), point_spread(end, METRIC_IOPS).median);
		fprintf(out, "%s%s %s IOPS, p50 %.3g us, p99 %.3g us", said ? "; " : "",
			depth_name(line), text, point_spread(end, METRIC_P50_US).median,
			point_spread(end, METRIC_P99_US).median);
		said = true;
	}
	if (said)
		fputs(".\n", out);
}

void figures_plot_depth(FILE *out, const struct figures *f)
{
	fputs("<div class=\"plots\">\n", out);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (f->opts.backend[b]) {
			depth_iops(out, f, b);
			depth_latency(out, f, b);
		}
	fputs("</div>\n<p>4 KiB random reads on one queue by one polling thread, one worker, in "
	      "pariod's three modes of waiting. Depth is what one guest keeps in flight: on the "
	      "left latency decides, on the right the cost of a request. <em>always</em> and "
	      "<em>adaptive</em> should meet wherever work is steady, and <em>never</em> pays for "
	      "a sleep and a wake-up where depth does not hide them. Both scales are "
	      "logarithmic.\n",
	      out);
	if (f->opts.backend[FIGURES_FLASH])
		fprintf(out,
			"The modelled drive has %d channels of %d us: no more than %d reads a "
			"second, however many are in flight.\n",
			FIGURES_FLASH_CHANNELS, FIGURES_FLASH_READ_US,
			FIGURES_FLASH_CHANNELS * 1000000 / FIGURES_FLASH_READ_US);
	if (f->opts.backend[FIGURES_FILE])
		fputs("Bare fio reads the same file past the page cache with io_uring, on the CPU "
		      "that is otherwise the worker's.\n",
		      out);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (f->opts.backend[b]) {
			depth_say(out, f, b, false);
			depth_say(out, f, b, true);
		}
	fputs("</p>\n", out);
}

static void scale_iops(FILE *out, const struct figures *f, enum figures_backend backend)
{
	static struct svg_lines plot;
	struct line_key key = {.figure = FIGURE_SCALE, .backend = backend, .poll = FIGURES_ALWAYS};

	plot.cnt = 0;
	plot.x_label = "queues, 32 requests in flight on each";
	plot.y_label = "requests per second";
	snprintf(plot.title, sizeof(plot.title), "%s: IOPS against queues and workers",
		 figures_backend_name[backend]);
	for (key.workers = 1; key.workers <= f->input.worker_cnt; key.workers++) {
		struct svg_series *s = series_add(&plot, f, &key, METRIC_IOPS);

		if (!s)
			continue;
		s->color = (plot.cnt - 1) % SVG_COLOR_CNT;
		s->dashed = plot.cnt > SVG_COLOR_CNT;
		snprintf(s->name, sizeof(s->name), "%u worker%s", key.workers,
			 key.workers == 1 ? "" : "s");
	}
	svg_write_lines(out, &plot);
}

static void scale_say(FILE *out, const struct figures *f, enum figures_backend backend)
{
	double one = NAN, best = NAN;
	const struct point *at = NULL;
	char text[2][32];

	for (unsigned int i = 0; i < f->plan.cnt; i++) {
		const struct point *p = &f->plan.point[i];
		double iops = point_spread(p, METRIC_IOPS).median;

		if (p->figure != FIGURE_SCALE || p->backend != backend || !isfinite(iops))
			continue;
		if (p->queues == 1 && p->workers == 1)
			one = iops;
		if (!at || iops > best) {
			best = iops;
			at = p;
		}
	}
	if (!at || !isfinite(one))
		return;
	svg_format(text[0], sizeof(text[0]), one);
	svg_format(text[1], sizeof(text[1]), best);
	fprintf(out,
		"<br>%s: %s IOPS on one queue and one worker, at most %s (%.2f times) on %u "
		"queues and %u workers.\n",
		figures_backend_name[backend], text[0], text[1], best / one, at->queues,
		at->workers);
}

void figures_plot_scale(FILE *out, const struct figures *f)
{
	fputs("<div class=\"plots\">\n", out);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (f->opts.backend[b])
			scale_iops(out, f, b);
	fprintf(out,
		"</div>\n<p>One disk, its queues spread over its workers, which poll "
		"(<em>always</em>); the load polls too and has %u CPU%s here, workers have up to "
		"%u. One worker gains from more queues only what a fuller pipeline gives; the "
		"paper's point is what more workers give.\n",
		f->input.load_cnt, f->input.load_cnt == 1 ? "" : "s", f->input.worker_cnt);
	for (unsigned int b = 0; b < FIGURES_BACKEND_MAX_; b++)
		if (f->opts.backend[b])
			scale_say(out, f, b);
	fputs("</p>\n", out);
}
