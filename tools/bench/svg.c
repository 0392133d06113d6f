/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all plots share, and the plot of lines. Coordinates are in units of the view box, which the
 * page scales as a whole.
 */
#include "svg_priv.h"

#include <math.h>
#include <string.h>

#define WIDTH 480.0
#define TOP 34.0
#define LEFT 58.0
#define RIGHT 466.0
#define BOTTOM 262.0
#define LEGEND_TOP 306.0
#define LEGEND_STEP 17.0
#define LEGEND_COLUMNS 2

void svg_write_text(FILE *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			/* Control characters are allowed in neither. */
			fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
		}
}

void svg_format(char *text, size_t size, double value)
{
	static const char *const suffix[] = {"", "k", "M", "G", "T"};
	unsigned int s = 0;

	while (fabs(value) >= 999.5 && s < 4) {
		value /= 1000;
		s++;
	}
	snprintf(text, size, "%.3g%s", value, suffix[s]);
}

void svg_open(FILE *out, const char *title, double width, double height)
{
	fprintf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n<title>", width, height);
	svg_write_text(out, title);
	fputs("</title>\n", out);
	svg_text(out, width / 2, 16, "middle", "t", title);
}

void svg_text(FILE *out, double x, double y, const char *anchor, const char *class,
	      const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor,
		class);
	svg_write_text(out, text);
	fputs("</text>\n", out);
}

void svg_line(FILE *out, const char *class, double x1, double y1, double x2, double y2)
{
	fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
		class, x1, y1, x2, y2);
}

static void mark(FILE *out, unsigned int shape, double x, double y)
{
	static const char *const polygon[] = {
		NULL,
		"-4,-4 4,-4 4,4 -4,4",
		"0,-5 5,4 -5,4",
		"0,-5 5,0 0,5 -5,0",
		"0,5 5,-4 -5,-4",
		"-5,-2 -2,-5 5,2 2,5",
	};

	if (shape == 0)
		fprintf(out, "<circle class=\"f0\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", x, y);
	else
		fprintf(out,
			"<polygon class=\"f%u\" points=\"%s\" transform=\"translate(%.1f "
			"%.1f)\"/>\n",
			shape, polygon[shape], x, y);
}

struct frame {
	double x_min, x_max, y_min, y_max; /* logarithms */
};

static double place_x(const struct frame *f, double x)
{
	double range = f->x_max - f->x_min;

	return LEFT + 12 + (RIGHT - LEFT - 24) * (range > 0 ? (log2(x) - f->x_min) / range : 0.5);
}

static double place_y(const struct frame *f, double y)
{
	return BOTTOM - (BOTTOM - TOP) * (log10(y) - f->y_min) / (f->y_max - f->y_min);
}

static bool drawable(const struct svg_value *v)
{
	return isfinite(v->at) && v->at > 0;
}

/* False when there is nothing to plot. */
static bool frame_find(struct frame *f, const struct svg_lines *plot)
{
	*f = (struct frame){INFINITY, -INFINITY, INFINITY, -INFINITY};
	for (unsigned int s = 0; s < plot->cnt; s++)
		for (unsigned int i = 0; i < plot->series[s].cnt; i++) {
			const struct svg_value *v = &plot->series[s].y[i];
			double low = v->low > 0 ? v->low : v->at;

			if (!drawable(v))
				continue;
			f->x_min = fmin(f->x_min, log2(plot->series[s].x[i]));
			f->x_max = fmax(f->x_max, log2(plot->series[s].x[i]));
			f->y_min = fmin(f->y_min, log10(fmin(v->at, low)));
			f->y_max = fmax(f->y_max, log10(fmax(v->at, v->high)));
		}
	if (f->x_min > f->x_max)
		return false;
	/* Whole decades. */
	f->y_min = floor(f->y_min);
	f->y_max = ceil(f->y_max);
	if (f->y_max <= f->y_min)
		f->y_max = f->y_min + 1;
	return true;
}

static void axes(FILE *out, const struct frame *f, const struct svg_lines *plot)
{
	char label[32];

	for (int decade = (int)f->y_min; decade <= (int)f->y_max; decade++)
		for (unsigned int i = 0; i < 3; i++) {
			double value = pow(10, decade) * (i == 0 ? 1 : i == 1 ? 2 : 5);
			double y = place_y(f, value);

			if (log10(value) > f->y_max + 1e-9)
				break;
			svg_line(out, i ? "g2" : "g", LEFT, y, RIGHT, y);
			svg_format(label, sizeof(label), value);
			if (i == 0 || f->y_max - f->y_min < 3)
				svg_text(out, LEFT - 6, y + 4, "end", "n", label);
		}
	for (int power = (int)floor(f->x_min); power <= f->x_max + 1e-9; power++) {
		double x = place_x(f, exp2(power));

		svg_line(out, "a", x, BOTTOM, x, BOTTOM + 5);
		svg_format(label, sizeof(label), exp2(power));
		svg_text(out, x, BOTTOM + 17, "middle", "n", label);
	}
	svg_line(out, "a", LEFT, BOTTOM, RIGHT, BOTTOM);
	svg_line(out, "a", LEFT, TOP, LEFT, BOTTOM);
	svg_text(out, (LEFT + RIGHT) / 2, BOTTOM + 33, "middle", "n", plot->x_label);
	fprintf(out, "<g transform=\"translate(13 %.1f) rotate(-90)\">", (TOP + BOTTOM) / 2);
	svg_text(out, 0, 0, "middle", "n", plot->y_label);
	fputs("</g>\n", out);
}

static void series_draw(FILE *out, const struct frame *f, const struct svg_series *s)
{
	char class[16];

	fprintf(out, "<polyline class=\"l s%u%s\" points=\"", s->color, s->dashed ? " d" : "");
	for (unsigned int i = 0; i < s->cnt; i++)
		if (drawable(&s->y[i]))
			fprintf(out, "%.1f,%.1f ", place_x(f, s->x[i]), place_y(f, s->y[i].at));
	fputs("\"/>\n", out);
	snprintf(class, sizeof(class), "w s%u", s->color);
	for (unsigned int i = 0; i < s->cnt; i++) {
		const struct svg_value *v = &s->y[i];
		double x = place_x(f, s->x[i]);

		if (!drawable(v))
			continue;
		if (v->low > 0 && v->high > v->low)
			svg_line(out, class, x, place_y(f, v->low), x, place_y(f, v->high));
		mark(out, s->color, x, place_y(f, v->at));
	}
}

void svg_write_lines(FILE *out, const struct svg_lines *plot)
{
	unsigned int rows = (plot->cnt + LEGEND_COLUMNS - 1) / LEGEND_COLUMNS;
	struct frame f;

	svg_open(out, plot->title, WIDTH, LEGEND_TOP + LEGEND_STEP * (rows ? rows : 1));
	if (frame_find(&f, plot)) {
		axes(out, &f, plot);
		for (unsigned int s = 0; s < plot->cnt; s++)
			series_draw(out, &f, &plot->series[s]);
	} else {
		svg_text(out, WIDTH / 2, (TOP + BOTTOM) / 2, "middle", "n", "no values");
	}
	for (unsigned int s = 0; s < plot->cnt; s++) {
		const struct svg_series *series = &plot->series[s];
		unsigned int at_row = s / LEGEND_COLUMNS, at_column = s % LEGEND_COLUMNS;
		double x = LEFT + (RIGHT - LEFT) / LEGEND_COLUMNS * at_column;
		double y = LEGEND_TOP + LEGEND_STEP * at_row + 2;
		char class[16];

		snprintf(class, sizeof(class), "l s%u%s", series->color,
			 series->dashed ? " d" : "");
		svg_line(out, class, x, y, x + 24, y);
		mark(out, series->color, x + 12, y);
		svg_text(out, x + 30, y + 4, "start", "n", series->name);
	}
	fputs("</svg>\n", out);
}
