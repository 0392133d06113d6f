/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures as comma-separated values: one row a point, points that could not be shown included.
 * docs/man/pario-bench.1.scd describes the columns.
 */
#include "figures.h"
#include "figures_csv.h"

#include <math.h>

void csv_write_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

void csv_write_value(FILE *out, double value, int digits)
{
	fputc(',', out);
	if (isfinite(value))
		fprintf(out, "%.*f", digits, value);
}

static void spread_write(FILE *out, const struct point *p, enum metric metric, int digits)
{
	struct spread s = point_spread(p, metric);

	csv_write_value(out, s.median, digits);
	csv_write_value(out, s.min, digits);
	csv_write_value(out, s.max, digits);
}

static void point_write(FILE *out, const struct point *p)
{
	bool pariod = p->server == SERVER_PARIOD;

	fprintf(out, "%s,%s,%s,", figures_name[p->figure], figures_backend_name[p->backend],
		figures_server_name[p->server]);
	csv_write_text(out, p->figure == FIGURE_LADDER ? ladder_step_name[p->step] : "");
	fprintf(out, ",%u,%u,%u,%s,%s,%u", p->queues, p->workers, p->depth,
		pariod ? figures_poll_name[p->poll] : "",
		p->server == SERVER_FIO ? ""
		: p->irq                ? "irq"
					: "poll",
		p->run_cnt);
	spread_write(out, p, METRIC_IOPS, 1);
	spread_write(out, p, METRIC_P50_US, 3);
	spread_write(out, p, METRIC_P99_US, 3);
	spread_write(out, p, METRIC_CPU_US, 4);
	csv_write_value(out, point_spread(p, METRIC_CALLS).median, 5);
	csv_write_value(out, point_spread(p, METRIC_KICKS).median, 5);
	fputc(',', out);
	csv_write_text(out, p->note);
	fputc('\n', out);
}

bool figures_write_csv(const char *path, const struct figures *f)
{
	FILE *out = fopen(path, "we");
	bool ok;

	if (!out)
		return false;
	fputs("figure,backend,server,step,queues,workers,depth,poll,notify,runs,"
	      "iops,iops_min,iops_max,p50_us,p50_us_min,p50_us_max,p99_us,p99_us_min,p99_us_max,"
	      "cpu_us_per_request,cpu_us_per_request_min,cpu_us_per_request_max,"
	      "calls_per_request,kicks_per_request,note\n",
	      out);
	for (unsigned int i = 0; i < f->plan.cnt; i++)
		point_write(out, &f->plan.point[i]);
	ok = !ferror(out);
	return fclose(out) == 0 && ok;
}
