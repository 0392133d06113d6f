/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of horizontal bars that begin at zero, with whiskers and a label at the end of each.
 */
#include "svg_priv.h"

#include <math.h>

#define WIDTH 480.0
#define LEFT 148.0
#define RIGHT 390.0 /* what is right of it is for labels */
#define TOP 28.0
#define BAR 13.0
#define GAP 8.0
#define TICKS 4

/* 1, 2 or 5 times a power of ten, so that about TICKS steps reach the value. */
static double step_find(double value)
{
	double raw = value / TICKS, power;

	if (!(raw > 0))
		return 1;
	power = pow(10, floor(log10(raw)));
	if (raw <= power)
		return power;
	if (raw <= 2 * power)
		return 2 * power;
	return raw <= 5 * power ? 5 * power : 10 * power;
}

static unsigned int bars_in(const struct svg_bars *plot, const struct svg_row *row)
{
	unsigned int cnt = 0;

	for (unsigned int b = 0; b < SVG_BARS_MAX; b++)
		cnt += plot->legend[b] && isfinite(row->bar[b].at);
	return cnt ? cnt : 1;
}

static void bar_draw(FILE *out, const struct svg_row *row, unsigned int b, double y, double most)
{
	const struct svg_value *v = &row->bar[b];
	double scale = (RIGHT - LEFT) / most, end = LEFT + v->at * scale;

	fprintf(out, "<rect class=\"f%u\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
		b, LEFT, y, v->at * scale, BAR - 1);
	if (v->high > v->low) {
		svg_line(out, "w b", LEFT + v->low * scale, y + BAR / 2, LEFT + v->high * scale,
			 y + BAR / 2);
		end = fmax(end, LEFT + v->high * scale);
	}
	svg_text(out, end + 5, y + BAR - 2.5, "start", "n", row->label[b]);
}

static void axis(FILE *out, const struct svg_bars *plot, double bottom, double most)
{
	double step = step_find(most);
	char label[32];

	for (unsigned int i = 0; i * step <= most * (1 + 1e-9); i++) {
		double value = i * step, x = LEFT + value * (RIGHT - LEFT) / most;

		svg_line(out, "g", x, TOP, x, bottom);
		svg_format(label, sizeof(label), value);
		svg_text(out, x, bottom + 14, "middle", "n", label);
	}
	svg_line(out, "a", LEFT, TOP, LEFT, bottom);
	svg_text(out, (LEFT + RIGHT) / 2, bottom + 30, "middle", "n", plot->x_label);
}

static void legend(FILE *out, const struct svg_bars *plot, double y)
{
	double x = 10;

	for (unsigned int b = 0; b < SVG_BARS_MAX; b++) {
		if (!plot->legend[b])
			continue;
		fprintf(out,
			"<rect class=\"f%u\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\"/>\n",
			b, x, y - 10);
		svg_text(out, x + 18, y, "start", "n", plot->legend[b]);
		x += 235;
	}
}

void svg_write_bars(FILE *out, const struct svg_bars *plot)
{
	double most = 0, y = TOP + GAP, bottom = TOP + GAP;

	for (unsigned int r = 0; r < plot->cnt; r++) {
		const struct svg_row *row = &plot->row[r];

		bottom += bars_in(plot, row) * BAR + GAP;
		for (unsigned int b = 0; b < SVG_BARS_MAX; b++)
			if (plot->legend[b] && isfinite(row->bar[b].at))
				most = fmax(most, fmax(row->bar[b].at, row->bar[b].high));
	}
	svg_open(out, plot->title, WIDTH, bottom + 60);
	if (most > 0)
		axis(out, plot, bottom, most);
	else
		svg_text(out, (LEFT + WIDTH) / 2, bottom + 20, "middle", "n", "no values");
	for (unsigned int r = 0; r < plot->cnt; r++) {
		const struct svg_row *row = &plot->row[r];
		double middle = y + bars_in(plot, row) * BAR / 2;

		svg_text(out, LEFT - 6, middle + 4, "end", "n", row->name);
		if (row->note[0])
			svg_text(out, LEFT + 6, middle + 4, "start", "m", row->note);
		for (unsigned int b = 0; b < SVG_BARS_MAX; b++)
			if (most > 0 && plot->legend[b] && isfinite(row->bar[b].at)) {
				bar_draw(out, row, b, y, most);
				y += BAR;
			}
		y = middle + bars_in(plot, row) * BAR / 2 + GAP;
	}
	legend(out, plot, bottom + 50);
	fputs("</svg>\n", out);
}
