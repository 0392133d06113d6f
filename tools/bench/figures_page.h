/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pages of figures have in common: the frame around them and rows about the machine.
 * What is on a page is its own file's.
 */
#ifndef PARIO_BENCH_FIGURES_PAGE_H
#define PARIO_BENCH_FIGURES_PAGE_H

#include <stdio.h>

#include "machine.h"
#include "wakeup.h"

/* Everything up to and with <body>; the title is mark-up. */
void page_begin(FILE *out, const char *title);
void page_end(FILE *out);

/* Rows of a table with two columns; values are text. */
void page_row(FILE *out, const char *name, const char *value);
void page_machine(FILE *out, const struct machine *m);
/* Nothing when it is not known. */
void page_wakeup(FILE *out, const struct wakeup *w);

#endif
