/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aligned columns. Not a terminal's business: no colours, no width of the screen.
 */
#include "grid.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/schema.h"

#define CELL_BYTES 256
#define COLUMNS_MAX 16
#define GAP 2
/* "9999M" */
#define EXACT_LETTERS_MAX 5

static void add(struct grid *grid, const char *text)
{
	char **cells = realloc(grid->cells, (grid->cell_cnt + 1) * sizeof(*cells));

	if (!cells)
		return;
	grid->cells = cells;
	cells[grid->cell_cnt++] = strdup(text);
}

void grid_begin(struct grid *grid, unsigned column_cnt, const char *const *titles)
{
	*grid = (struct grid){.column_cnt = column_cnt};
	for (unsigned i = 0; i < column_cnt; i++) {
		if (titles[i][0] == '>')
			grid->right |= 1u << i;
		add(grid, titles[i] + (titles[i][0] == '>'));
	}
}

void grid_add(struct grid *grid, const char *fmt, ...)
{
	char text[CELL_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	add(grid, text);
}

void grid_add_json(struct grid *grid, const json_t *value)
{
	char *text;

	if (!value || json_is_null(value)) {
		add(grid, "-");
	} else if (json_is_string(value)) {
		add(grid, json_string_value(value));
	} else {
		text = json_dumps(value, JSON_ENCODE_ANY);
		add(grid, text ? text : "?");
		free(text);
	}
}

void grid_add_ns(struct grid *grid, const json_t *ns)
{
	double value = json_number_value(ns);

	if (!json_is_number(ns))
		add(grid, "-");
	else if (value < 1e3)
		grid_add(grid, "%.0f ns", value);
	else if (value < 1e6)
		grid_add(grid, "%.1f us", value / 1e3);
	else if (value < 1e9)
		grid_add(grid, "%.1f ms", value / 1e6);
	else
		grid_add(grid, "%.1f s", value / 1e9);
}

void grid_bytes_text(uint64_t bytes, char buf[GRID_BYTES_TEXT])
{
	static const char suffixes[] = "KMGT";
	double value = (double)bytes;
	int unit = -1;

	schema_size_text(bytes, buf, GRID_BYTES_TEXT);
	if (strlen(buf) <= EXACT_LETTERS_MAX)
		return;
	while (value >= 1024 && unit + 1 < (int)sizeof(suffixes) - 1) {
		value /= 1024;
		unit++;
	}
	if (unit >= 0)
		snprintf(buf, GRID_BYTES_TEXT, "~%.1f%c", value, suffixes[unit]);
}

void grid_add_bytes(struct grid *grid, const json_t *bytes)
{
	char text[GRID_BYTES_TEXT];

	if (!json_is_integer(bytes)) {
		add(grid, "-");
		return;
	}
	grid_bytes_text((uint64_t)json_integer_value(bytes), text);
	add(grid, text);
}

static const char *cell(const struct grid *grid, unsigned idx)
{
	return grid->cells[idx] ? grid->cells[idx] : "";
}

/* Cells of the row from idx on that are empty leave no blanks at the end of the line. */
static bool ends_here(const struct grid *grid, unsigned idx)
{
	while (idx < grid->cell_cnt && idx % grid->column_cnt && !*cell(grid, idx))
		idx++;
	return idx >= grid->cell_cnt || idx % grid->column_cnt == 0;
}

void grid_end(struct grid *grid, const char *indent)
{
	size_t width[COLUMNS_MAX] = {0};

	for (unsigned i = 0; i < grid->cell_cnt; i++) {
		size_t len = strlen(cell(grid, i));

		if (len > width[i % grid->column_cnt])
			width[i % grid->column_cnt] = len;
	}
	for (unsigned i = 0; i < grid->cell_cnt; i++) {
		unsigned column = i % grid->column_cnt;
		bool last = ends_here(grid, i + 1);

		if (column == 0)
			fputs(indent, stdout);
		if (grid->right & 1u << column)
			printf("%*s", (int)width[column], cell(grid, i));
		else
			printf("%-*s", last ? 0 : (int)width[column], cell(grid, i));
		printf("%*s", last ? 0 : GAP, "");
		if (column + 1 == grid->column_cnt)
			putchar('\n');
	}
	for (unsigned i = 0; i < grid->cell_cnt; i++)
		free(grid->cells[i]);
	free(grid->cells);
}
