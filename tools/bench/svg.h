/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plots as inline SVG: lines over a logarithmic axis, and rows of bars. Colours are classes that
 * the page gives a light and a dark value; every series has a mark of its own shape as well.
 * What is plotted is not known here. Values that are NAN are left out.
 */
#ifndef PARIO_BENCH_SVG_H
#define PARIO_BENCH_SVG_H

#include <stdbool.h>
#include <stdio.h>

#define SVG_SERIES_MAX 12
#define SVG_POINTS_MAX 16
#define SVG_ROWS_MAX 16
#define SVG_BARS_MAX 2
#define SVG_COLOR_CNT 6
#define SVG_NAME 64

struct svg_value {
	double at, low, high; /* low and high: the whisker */
};

struct svg_series {
	char name[SVG_NAME];
	unsigned int color; /* also the mark; below SVG_COLOR_CNT */
	bool dashed;
	unsigned int cnt;
	double x[SVG_POINTS_MAX]; /* above 0 */
	struct svg_value y[SVG_POINTS_MAX];
};

struct svg_lines {
	char title[SVG_NAME * 2];
	const char *x_label, *y_label; /* with units */
	unsigned int cnt;
	struct svg_series series[SVG_SERIES_MAX];
};

/* Both axes logarithmic: base 2 along x, 10 along y. Says so in words if there is no value. */
void svg_write_lines(FILE *out, const struct svg_lines *plot);

struct svg_row {
	char name[SVG_NAME];
	char note[SVG_NAME]; /* in place of bars when not empty */
	struct svg_value bar[SVG_BARS_MAX];
	char label[SVG_BARS_MAX][SVG_NAME]; /* at the end of the bar */
};

struct svg_bars {
	char title[SVG_NAME * 2];
	const char *x_label;              /* with unit */
	const char *legend[SVG_BARS_MAX]; /* the bars of a row; NULL: there is no such bar */
	unsigned int cnt;
	struct svg_row row[SVG_ROWS_MAX];
};

/* Horizontal, from zero. */
void svg_write_bars(FILE *out, const struct svg_bars *plot);

/* Text with what HTML and SVG would take for mark-up escaped. */
void svg_write_text(FILE *out, const char *text);

/* "850", "1.2k", "3.4M"; three digits. */
void svg_format(char *text, size_t size, double value);

#endif
