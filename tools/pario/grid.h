/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns for people: cells of text, printed aligned. Not what stands in them.
 */
#ifndef PARIO_TOOLS_PARIO_GRID_H
#define PARIO_TOOLS_PARIO_GRID_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"

struct grid {
	unsigned column_cnt;
	unsigned right; /* bit = column that is aligned to the right */
	unsigned cell_cnt;
	char **cells;
};

/* Begins with the titles, as many as there are columns; a '>' before one aligns it to the right. */
void grid_begin(struct grid *grid, unsigned column_cnt, const char *const *titles);
/* The next cell, row by row. */
void grid_add(struct grid *grid, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The next cell as people write it: "-" for null. */
void grid_add_json(struct grid *grid, const json_t *value);
/* Prints each row after indent, and frees it all. */
void grid_end(struct grid *grid, const char *indent);

/* Numbers with units, "-" for null. */
void grid_add_ns(struct grid *grid, const json_t *ns);
void grid_add_bytes(struct grid *grid, const json_t *bytes);

/* "1536M", or "~100.0G" where a whole number of some unit would be long. */
#define GRID_BYTES_TEXT 32
void grid_bytes_text(uint64_t bytes, char buf[GRID_BYTES_TEXT]);

#endif
