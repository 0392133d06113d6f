/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces that the kinds of plots share; for svg*.c only.
 */
#ifndef PARIO_BENCH_SVG_PRIV_H
#define PARIO_BENCH_SVG_PRIV_H

#include "svg.h"

/* Begins a plot and writes its title; the caller ends it with "</svg>". */
void svg_open(FILE *out, const char *title, double width, double height);
void svg_text(FILE *out, double x, double y, const char *anchor, const char *class,
	      const char *text);
void svg_line(FILE *out, const char *class, double x1, double y1, double x2, double y2);

#endif
