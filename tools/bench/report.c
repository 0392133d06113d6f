/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report for people.
 */
#include "report.h"

#include <string.h>

#include "verify.h"

static void size_text(uint64_t bytes, char *text, size_t size)
{
	static const char unit[] = " kMGT";
	unsigned int u = 0;

	while (bytes && bytes % 1024 == 0 && unit[u + 1]) {
		bytes /= 1024;
		u++;
	}
	snprintf(text, size, "%llu%.*s", (unsigned long long)bytes, u ? 1 : 0, &unit[u]);
}

static void time_text(uint64_t ns, char *text, size_t size)
{
	if (ns < 10000)
		snprintf(text, size, "%.2f us", (double)ns / 1e3);
	else if (ns < 10000000)
		snprintf(text, size, "%.1f us", (double)ns / 1e3);
	else
		snprintf(text, size, "%.1f ms", (double)ns / 1e6);
}

static void head(FILE *out, const struct report *r)
{
	const struct bench_opts *o = r->opts;
	const struct session *s = r->session;
	char min[24], max[24];

	size_text(o->bs_min_bytes, min, sizeof(min));
	size_text(o->bs_max_bytes, max, sizeof(max));
	fprintf(out, "%s: %s %s%s%s, depth %u on %u queue%s, %s ring of %u%s%s%s, %s\n", o->socket,
		bench_rw_name[o->rw], min, o->bs_min_bytes == o->bs_max_bytes ? "" : "-",
		o->bs_min_bytes == o->bs_max_bytes ? "" : max, o->iodepth, o->queues,
		o->queues == 1 ? "" : "s", o->format == RING_PACKED ? "packed" : "split",
		s->ring_opts.size, s->indirect ? ", indirect" : "",
		s->ring_opts.event_idx ? ", event index" : "",
		s->ring_opts.in_order ? ", in order" : "", o->irq ? "by call" : "polled");
}

static void stats_row(FILE *out, const char *name, const struct op_stats *stats, double seconds)
{
	static const uint32_t ppm[] = {500000, 990000, 999000, 1000000};
	const struct histogram *h = &stats->latency_ns;
	char text[24];

	if (stats->ios == 0 || seconds <= 0)
		return;
	time_text((uint64_t)histogram_mean(h), text, sizeof(text));
	fprintf(out, "%-8s %12.0f %10.1f %11s", name, (double)stats->ios / seconds,
		(double)stats->bytes / seconds / 1e6, text);
	for (unsigned int i = 0; i < sizeof(ppm) / sizeof(ppm[0]); i++) {
		time_text(histogram_quantile_ppm(h, ppm[i]), text, sizeof(text));
		fprintf(out, " %11s", text);
	}
	fputc('\n', out);
}

static void cpu_lines(FILE *out, const struct report *r)
{
	const struct watch *w = r->watch;
	double iops = (double)r->result->total.ios / r->result->seconds;

	if (w->wall_s <= 0)
		return;
	if (w->server_cpu_s >= 0) {
		fprintf(out, "server %d: %.2f s of CPU time in %.2f s (%.1f %% of a core)",
			(int)r->session->server_pid, w->server_cpu_s, w->wall_s,
			w->server_cpu_s / w->wall_s * 100);
		if (w->server_cpu_s > 0)
			fprintf(out, ", %.0f IOPS for each core-second",
				iops * w->wall_s / w->server_cpu_s);
		fputc('\n', out);
	}
	fprintf(out, "client: %.1f %% of a core\n", w->client_cpu_s / w->wall_s * 100);
}

void report_table(FILE *out, const struct report *r)
{
	const struct engine_result *res = r->result;
	unsigned int kinds = 0;

	if (!res)
		return;
	head(out, r);
	fprintf(out, "%-8s %12s %10s %11s %11s %11s %11s %11s\n", "", "IOPS", "MB/s", "mean", "p50",
		"p99", "p99.9", "max");
	for (unsigned int k = 0; k < OP_MAX_; k++) {
		stats_row(out, op_kind_name[k], &res->kind[k], res->seconds);
		kinds += res->kind[k].ios > 0;
	}
	if (kinds > 1)
		stats_row(out, "total", &res->total, res->seconds);
	fprintf(out, "%llu requests in %.2f s", (unsigned long long)res->total.ios, res->seconds);
	if (res->total.ios)
		fprintf(out, ", %.3f kicks and %.3f calls each",
			(double)res->kick_cnt / (double)res->total.ios,
			(double)res->call_cnt / (double)res->total.ios);
	fputc('\n', out);
	if (res->seconds > 0)
		cpu_lines(out, r);
	if (r->engine->verify) {
		const struct verify *v = r->engine->verify;

		fprintf(out, "verify: %llu sectors compared, %s\n",
			(unsigned long long)v->sectors_checked,
			r->error ? "FAILED" : "no mismatch");
		if (v->bad_length_cnt)
			fprintf(out,
				"verify: %llu completions with a used length other than what "
				"was written\n",
				(unsigned long long)v->bad_length_cnt);
	}
}

int report_finish(const char *error, int status)
{
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "pario-bench: cannot write the report\n");
		status = BENCH_FAILED;
	}
	if (error)
		fprintf(stderr, "pario-bench: %s\n", error);
	return status;
}
