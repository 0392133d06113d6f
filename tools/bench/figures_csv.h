/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields of comma-separated values, as the files of figures share them.
 * Which columns there are is each figure's own file's.
 */
#ifndef PARIO_BENCH_FIGURES_CSV_H
#define PARIO_BENCH_FIGURES_CSV_H

#include <stdio.h>

/* Quoted as RFC 4180 says; the text is one line. No comma before it. */
void csv_write_text(FILE *out, const char *text);
/* A comma, then the value with so many digits behind the point; not finite (not known): an empty
 * field. */
void csv_write_value(FILE *out, double value, int digits);

#endif
