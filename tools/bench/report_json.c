/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report for programs: one JSON object.
 */
#include "report.h"

#include "verify.h"

void json_string(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

void json_error_end(FILE *out, const char *error)
{
	fputs("  \"error\": ", out);
	if (error)
		json_string(out, error);
	else
		fputs("null", out);
	fputs("\n}\n", out);
}

static void stats_object(FILE *out, const char *name, const struct op_stats *stats, double seconds)
{
	const struct histogram *h = &stats->latency_ns;

	fprintf(out,
		"    \"%s\": {\"requests\": %llu, \"bytes\": %llu, \"iops\": %.1f, "
		"\"bytes_per_s\": %.1f,\n"
		"      \"latency_ns\": {\"mean\": %.1f, \"min\": %llu, \"p50\": %llu, "
		"\"p90\": %llu, \"p99\": %llu, \"p99_9\": %llu, \"max\": %llu}}",
		name, (unsigned long long)stats->ios, (unsigned long long)stats->bytes,
		seconds > 0 ? (double)stats->ios / seconds : 0,
		seconds > 0 ? (double)stats->bytes / seconds : 0, histogram_mean(h),
		h->cnt ? (unsigned long long)h->min : 0,
		(unsigned long long)histogram_quantile_ppm(h, 500000),
		(unsigned long long)histogram_quantile_ppm(h, 900000),
		(unsigned long long)histogram_quantile_ppm(h, 990000),
		(unsigned long long)histogram_quantile_ppm(h, 999000), (unsigned long long)h->max);
}

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static void options_object(FILE *out, const struct report *r)
{
	const struct bench_opts *o = r->opts;
	const struct session *s = r->session;

	fprintf(out,
		"  \"options\": {\"rw\": \"%s\", \"bs_min\": %u, \"bs_max\": %u, \"iodepth\": %u, "
		"\"queues\": %u, \"threads\": %u,\n"
		"    \"ring\": \"%s\", \"ring_size\": %u, \"notify\": \"%s\", \"indirect\": %s, "
		"\"event_idx\": %s, \"in_order\": %s,\n"
		"    \"offset\": %llu, \"size\": %llu, \"rwmixread\": %u, \"rate\": %.1f, "
		"\"seed\": %llu, \"warmup_s\": %.3f},\n",
		bench_rw_name[o->rw], o->bs_min_bytes, o->bs_max_bytes, o->iodepth, o->queues,
		r->engine ? r->engine->worker_cnt : 0,
		o->format == RING_PACKED ? "packed" : "split", s->ring_opts.size,
		o->irq ? "irq" : "poll", boolean(s->indirect), boolean(s->ring_opts.event_idx),
		boolean(s->ring_opts.in_order),
		(unsigned long long)s->first_sector * BLK_SECTOR_BYTES,
		(unsigned long long)s->sector_cnt * BLK_SECTOR_BYTES, o->rwmixread, o->rate,
		(unsigned long long)o->seed, o->warmup_s);
}

static void result_objects(FILE *out, const struct report *r)
{
	const struct engine_result *res = r->result;
	const struct watch *w = r->watch;
	double total = res->total.ios ? (double)res->total.ios : 1;
	double iops = res->seconds > 0 ? (double)res->total.ios / res->seconds : 0;

	fprintf(out, "  \"runtime_s\": %.6f,\n  \"results\": {\n", res->seconds);
	for (unsigned int k = 0; k < OP_MAX_; k++)
		if (res->kind[k].ios) {
			stats_object(out, op_kind_name[k], &res->kind[k], res->seconds);
			fputs(",\n", out);
		}
	stats_object(out, "total", &res->total, res->seconds);
	fprintf(out,
		"\n  },\n  \"kicks\": %llu, \"calls\": %llu, \"kicks_per_request\": %.6f, "
		"\"calls_per_request\": %.6f,\n",
		(unsigned long long)res->kick_cnt, (unsigned long long)res->call_cnt,
		(double)res->kick_cnt / total, (double)res->call_cnt / total);
	if (w->server_cpu_s >= 0 && w->wall_s > 0) {
		fprintf(out, "  \"server\": {\"pid\": %d, \"cpu_s\": %.6f, \"wall_s\": %.6f, ",
			(int)r->session->server_pid, w->server_cpu_s, w->wall_s);
		fprintf(out, "\"cpu_percent\": %.3f, \"iops_per_core_s\": %.1f},\n",
			w->server_cpu_s / w->wall_s * 100,
			w->server_cpu_s > 0 ? iops * w->wall_s / w->server_cpu_s : 0);
	}
	fprintf(out, "  \"client\": {\"cpu_s\": %.6f, \"wall_s\": %.6f},\n", w->client_cpu_s,
		w->wall_s);
	fprintf(out, "  \"config_changes\": %llu,\n", (unsigned long long)w->config_change_cnt);
	if (r->engine->verify)
		fprintf(out,
			"  \"verify\": {\"sectors_compared\": %llu, \"bad_used_lengths\": %llu},\n",
			(unsigned long long)r->engine->verify->sectors_checked,
			(unsigned long long)r->engine->verify->bad_length_cnt);
}

void report_json(FILE *out, const struct report *r)
{
	fputs("{\n  \"program\": \"pario-bench\", \"version\": \"" PARIO_VERSION "\",\n"
	      "  \"socket\": ",
	      out);
	json_string(out, r->opts->socket);
	fputs(",\n", out);
	if (r->result) {
		options_object(out, r);
		result_objects(out, r);
	}
	json_error_end(out, r->error);
}
