/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reports of a load and of bare copies, as text and as one JSON object.
 */
#include "netload/results.h"

#include "report.h"

static const char *direction_name(const struct netload_opts *o, unsigned int from)
{
	if (o->socket_cnt == 1)
		return o->loop ? "a-a" : "a-out";
	return from ? "b-a" : "a-b";
}

uint64_t netload_lost(const struct netload_engine *e, const struct netload_result *r,
		      unsigned int from)
{
	const struct netload_sums *s = &r->from[from];
	uint64_t came = s->marked_cnt;

	/* Segments of a frame are received one by one: their number says nothing. */
	if (!r->counted || (e->opts->gso_size && s->marked_cnt > s->sent_cnt))
		return 0;
	if (r->from_cnt == 1 && came > e->verify.duplicate_cnt)
		came -= e->verify.duplicate_cnt;
	return s->sent_cnt > came ? s->sent_cnt - came : 0;
}

static double per_second(const struct netload_report *r, uint64_t cnt)
{
	return r->result->seconds > 0 ? (double)cnt / r->result->seconds : 0;
}

static double per_frame(const struct netload_report *r, uint64_t cnt)
{
	uint64_t frames = 0;

	for (unsigned int i = 0; i < r->result->from_cnt; i++)
		frames += r->result->from[i].sent_cnt + r->result->from[i].received_cnt;
	return frames ? (double)cnt / (double)frames : 0;
}

/* ---- for people ---- */

static void head(FILE *out, const struct netload_report *r)
{
	const struct netload_opts *o = r->opts;
	const struct netload_port *p = &r->session->port[0];

	fprintf(out,
		"%s%s%s: %s%u bytes%s, %u flows, bursts of %u, %u queue pair%s, %s rings of %u"
		"%s%s%s, %s\n",
		o->socket[0], o->socket_cnt > 1 ? " and " : "",
		o->socket_cnt > 1 ? o->socket[1] : "", o->imix ? "imix up to " : "", o->size_bytes,
		o->gso_size ? " of TCP to be segmented" : "", o->flow_cnt, o->burst, o->pairs,
		o->pairs == 1 ? "" : "s", o->format == RING_PACKED ? "packed" : "split",
		o->ring_size, p->mergeable ? ", merged buffers" : "",
		p->ring_opts.event_idx ? ", event index" : "", o->in_order ? ", in order" : "",
		o->irq ? "by call" : "polled");
}

static void direction_row(FILE *out, const struct netload_report *r, unsigned int from)
{
	const struct netload_sums *s = &r->result->from[from];
	uint64_t lost = netload_lost(r->engine, r->result, from);
	const struct histogram *h = &s->latency_ns;

	fprintf(out, "%-6s %10.3f %10.3f %10.3f %12llu %8.4f", direction_name(r->opts, from),
		per_second(r, s->sent_cnt) / 1e6, per_second(r, s->received_cnt) / 1e6,
		per_second(r, s->received_bytes) * 8 / 1e9, (unsigned long long)lost,
		s->sent_cnt ? (double)lost / (double)s->sent_cnt * 100 : 0);
	if (h->cnt)
		fprintf(out, " %9.2f %9.2f %9.2f %9.2f %9.2f",
			(double)histogram_quantile_ppm(h, 500000) / 1e3,
			(double)histogram_quantile_ppm(h, 900000) / 1e3,
			(double)histogram_quantile_ppm(h, 990000) / 1e3,
			(double)histogram_quantile_ppm(h, 999000) / 1e3, (double)h->max / 1e3);
	fputc('\n', out);
}

/* Frames of a rate were late or left out; latency does not hold it. */
static void pacing_line(FILE *out, const struct netload_report *r, unsigned int from)
{
	const struct netload_sums *s = &r->result->from[from];
	const struct histogram *h = &s->late_ns;

	fprintf(out,
		"%-6s sent late by p50 %.2f us, p99 %.2f us, at most %.2f us, which is not part of "
		"the latency; %llu left out\n",
		direction_name(r->opts, from), (double)histogram_quantile_ppm(h, 500000) / 1e3,
		(double)histogram_quantile_ppm(h, 990000) / 1e3, (double)h->max / 1e3,
		(unsigned long long)s->skipped_cnt);
}

static uint64_t received_cnt(const struct netload_result *res)
{
	uint64_t cnt = 0;

	for (unsigned int i = 0; i < res->from_cnt; i++)
		cnt += res->from[i].received_cnt;
	return cnt;
}

/* Several queues: how the frames came to be spread. */
static void queue_rows(FILE *out, const struct netload_report *r)
{
	const struct netload_engine *e = r->engine;

	fprintf(out, "%-6s %12s %12s %12s\n", "queue", "sent", "received", "calls");
	for (unsigned int i = 0; i < e->lane_cnt; i++) {
		const struct netload_lane *l = &e->lane[i];

		fprintf(out, "%c %-4u %12llu %12llu %12llu\n", l->port_idx ? 'b' : 'a',
			i / e->session->port_cnt, (unsigned long long)l->sent_cnt,
			(unsigned long long)l->received_cnt, (unsigned long long)l->rx_call_cnt);
	}
}

static void calls_line(FILE *out, const struct netload_report *r)
{
	const struct netload_result *res = r->result;
	double frames = (double)received_cnt(res), calls = (double)res->rx_call_cnt;

	fprintf(out, "received by %llu calls: %.4f for each frame", (unsigned long long)calls,
		frames > 0 ? calls / frames : 0);
	if (calls > 0)
		fprintf(out, ", %.2f frames for each", frames / calls);
	fprintf(out, ", %.0f a second\n", calls / res->seconds);
}

static void copy_line(FILE *out, const struct netload_report *r)
{
	double rate = (double)r->copy->buffer_cnt / r->copy->seconds;

	fprintf(out, "memcpy of %u bytes%s: %.0f a second, %.3f GB/s, %.3f Gbit/s\n",
		r->opts->size_bytes, r->opts->dirty ? ", dirtied in between" : "", rate,
		rate * r->opts->size_bytes / 1e9, rate * r->opts->size_bytes * 8 / 1e9);
}

static void verify_line(FILE *out, const struct netload_report *r)
{
	const struct netload_verify *v = &r->engine->verify;

	fprintf(out,
		"verify: %llu frames and %llu bytes compared, %llu missing when a later one came, "
		"%llu again, %llu out of order, %llu crossed between queues: %s\n",
		(unsigned long long)v->frame_cnt, (unsigned long long)v->byte_cnt,
		(unsigned long long)v->gap_cnt, (unsigned long long)v->duplicate_cnt,
		(unsigned long long)v->late_cnt, (unsigned long long)v->crossed_cnt,
		r->error ? "FAILED" : "good");
}

void netload_report_table(FILE *out, const struct netload_report *r)
{
	const struct netload_result *res = r->result;

	if (r->copy)
		copy_line(out, r);
	if (!res)
		return;
	head(out, r);
	fprintf(out, "%-6s %10s %10s %10s %12s %8s%s\n", "", "Mpps out", "Mpps in", "Gbit/s in",
		"lost", "%",
		r->opts->stamps ? "    p50 us       p90       p99     p99.9       max" : "");
	for (unsigned int i = 0; i < res->from_cnt; i++)
		direction_row(out, r, i);
	for (unsigned int i = 0; i < res->from_cnt; i++)
		if (res->from[i].late_ns.cnt)
			pacing_line(out, r, i);
	for (unsigned int i = 0; i < res->from_cnt && r->opts->answers; i++)
		fprintf(out, "%-6s %.2f %% came on the queue pair that their flow is sent from\n",
			direction_name(r->opts, i),
			res->from[i].received_cnt ? 100 * (double)res->from[i].returned_cnt /
							    (double)res->from[i].received_cnt
						  : 0);
	if (r->opts->irq)
		calls_line(out, r);
	if (r->opts->pairs > 1)
		queue_rows(out, r);
	fprintf(out, "%.2f s, %.4f kicks and %.4f calls for each frame sent or received",
		res->seconds, per_frame(r, res->kick_cnt),
		per_frame(r, res->rx_call_cnt + res->tx_call_cnt));
	if (res->foreign_cnt)
		fprintf(out, ", %llu frames of others", (unsigned long long)res->foreign_cnt);
	fputc('\n', out);
	if (res->server_cpu_s >= 0)
		fprintf(out, "server %d: %.1f %% of a core\n", (int)r->session->server_pid,
			res->server_cpu_s / res->seconds * 100);
	if (r->opts->verify)
		verify_line(out, r);
}

/* ---- for programs ---- */

static void quantiles_object(FILE *out, const char *name, const struct histogram *h)
{
	fprintf(out,
		",\n      \"%s\": {\"mean\": %.1f, \"min\": %llu, \"p50\": %llu, "
		"\"p90\": %llu, \"p99\": %llu, \"p99_9\": %llu, \"max\": %llu}",
		name, histogram_mean(h), (unsigned long long)h->min,
		(unsigned long long)histogram_quantile_ppm(h, 500000),
		(unsigned long long)histogram_quantile_ppm(h, 900000),
		(unsigned long long)histogram_quantile_ppm(h, 990000),
		(unsigned long long)histogram_quantile_ppm(h, 999000), (unsigned long long)h->max);
}

static void direction_object(FILE *out, const struct netload_report *r, unsigned int from)
{
	const struct netload_sums *s = &r->result->from[from];
	const struct histogram *h = &s->latency_ns;

	fprintf(out,
		"    \"%s\": {\"sent\": %llu, \"sent_bytes\": %llu, \"received\": %llu, "
		"\"received_bytes\": %llu, \"lost\": %llu,\n"
		"      \"sent_pps\": %.1f, \"received_pps\": %.1f, \"received_bits_per_s\": %.1f",
		direction_name(r->opts, from), (unsigned long long)s->sent_cnt,
		(unsigned long long)s->sent_bytes, (unsigned long long)s->received_cnt,
		(unsigned long long)s->received_bytes,
		(unsigned long long)netload_lost(r->engine, r->result, from),
		per_second(r, s->sent_cnt), per_second(r, s->received_cnt),
		per_second(r, s->received_bytes) * 8);
	if (r->opts->answers)
		fprintf(out, ", \"returned\": %llu", (unsigned long long)s->returned_cnt);
	if (h->cnt)
		quantiles_object(out, "latency_ns", h);
	if (s->late_ns.cnt) {
		quantiles_object(out, "late_ns", &s->late_ns);
		fprintf(out, ", \"skipped\": %llu", (unsigned long long)s->skipped_cnt);
	}
	fputc('}', out);
}

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static void options_object(FILE *out, const struct netload_report *r)
{
	static const char *const spacing[] = {"even", "bursts", "poisson"};
	const struct netload_opts *o = r->opts;
	const struct netload_port *p = &r->session->port[0];

	fprintf(out,
		"  \"options\": {\"size\": %u, \"imix\": %s, \"gso\": %u, \"csum\": %s, "
		"\"flows\": %u, \"macs\": %u, \"vlan\": %u, \"rate\": %.1f, "
		"\"spacing\": \"%s\", \"burst\": %u,\n"
		"    \"queue_pairs\": %u, \"threads\": %u, \"ring\": \"%s\", \"queue_size\": %u, "
		"\"notify\": \"%s\", \"event_idx\": %s, \"in_order\": %s, \"indirect\": %s,\n"
		"    \"mergeable\": %s, \"guest_tso\": %s, \"rx_buffers\": %u, "
		"\"rx_buffer_bytes\": %u, \"dirty\": %s, "
		"\"warmup_s\": %.3f},\n",
		o->size_bytes, boolean(o->imix), o->gso_size, boolean(o->csum), o->flow_cnt,
		o->mac_cnt, o->vlan, o->rate, spacing[o->spacing], o->burst, o->pairs,
		r->engine->worker_cnt, o->format == RING_PACKED ? "packed" : "split", o->ring_size,
		o->irq ? "irq" : "poll", boolean(p->ring_opts.event_idx), boolean(o->in_order),
		boolean(o->indirect), boolean(p->mergeable),
		boolean(front_has(p->front, VIRTIO_NET_F_GUEST_TSO4)),
		o->rx_buffer_cnt < o->ring_size ? o->rx_buffer_cnt : o->ring_size,
		p->rx_buffer_bytes, boolean(o->dirty), o->warmup_s);
}

static void calls_object(FILE *out, const struct netload_report *r)
{
	const struct netload_result *res = r->result;
	uint64_t calls = res->rx_call_cnt + res->tx_call_cnt;
	double frames = (double)received_cnt(res), rx_calls = (double)res->rx_call_cnt;

	fprintf(out,
		"  \"kicks\": %llu, \"calls\": %llu, \"kicks_per_frame\": %.6f, "
		"\"calls_per_frame\": %.6f,\n"
		"  \"rx_calls\": %llu, \"tx_calls\": %llu, \"rx_calls_per_frame\": %.6f, "
		"\"frames_per_call\": ",
		(unsigned long long)res->kick_cnt, (unsigned long long)calls,
		per_frame(r, res->kick_cnt), per_frame(r, calls),
		(unsigned long long)res->rx_call_cnt, (unsigned long long)res->tx_call_cnt,
		frames > 0 ? rx_calls / frames : 0);
	if (rx_calls > 0)
		fprintf(out, "%.3f", frames / rx_calls);
	else
		fputs("null", out);
	fprintf(out, ",\n  \"foreign_frames\": %llu,\n", (unsigned long long)res->foreign_cnt);
}

static void queues_array(FILE *out, const struct netload_engine *e)
{
	fputs("  \"queues\": [", out);
	for (unsigned int i = 0; i < e->lane_cnt; i++) {
		const struct netload_lane *l = &e->lane[i];

		fprintf(out,
			"%s\n    {\"port\": \"%c\", \"queue\": %u, \"sent\": %llu, "
			"\"received\": %llu, \"rx_calls\": %llu, \"tx_calls\": %llu}",
			i ? "," : "", l->port_idx ? 'b' : 'a', i / e->session->port_cnt,
			(unsigned long long)l->sent_cnt, (unsigned long long)l->received_cnt,
			(unsigned long long)l->rx_call_cnt, (unsigned long long)l->tx_call_cnt);
	}
	fputs("\n  ],\n", out);
}

static void result_objects(FILE *out, const struct netload_report *r)
{
	const struct netload_result *res = r->result;
	const struct netload_verify *v = &r->engine->verify;
	uint64_t received_bytes = 0;

	fprintf(out, "  \"runtime_s\": %.6f,\n  \"directions\": {\n", res->seconds);
	for (unsigned int i = 0; i < res->from_cnt; i++) {
		fputs(i ? ",\n" : "", out);
		direction_object(out, r, i);
		received_bytes += res->from[i].received_bytes;
	}
	fprintf(out,
		"\n  },\n  \"total\": {\"received_pps\": %.1f, \"received_bits_per_s\": %.1f},\n",
		per_second(r, received_cnt(res)), per_second(r, received_bytes) * 8);
	calls_object(out, r);
	queues_array(out, r->engine);
	if (res->server_cpu_s >= 0)
		fprintf(out, "  \"server\": {\"pid\": %d, \"cpu_s\": %.6f},\n",
			(int)r->session->server_pid, res->server_cpu_s);
	if (r->opts->verify)
		fprintf(out,
			"  \"verify\": {\"frames\": %llu, \"bytes\": %llu, \"gaps\": %llu, "
			"\"duplicates\": %llu, \"out_of_order\": %llu, \"crossed\": %llu},\n",
			(unsigned long long)v->frame_cnt, (unsigned long long)v->byte_cnt,
			(unsigned long long)v->gap_cnt, (unsigned long long)v->duplicate_cnt,
			(unsigned long long)v->late_cnt, (unsigned long long)v->crossed_cnt);
}

void netload_report_json(FILE *out, const struct netload_report *r)
{
	fputs("{\n  \"program\": \"pario-bench\", \"version\": \"" PARIO_VERSION "\",\n"
	      "  \"sockets\": [",
	      out);
	for (unsigned int i = 0; i < r->opts->socket_cnt; i++) {
		fputs(i ? ", " : "", out);
		json_string(out, r->opts->socket[i]);
	}
	fputs("],\n", out);
	if (r->copy)
		fprintf(out,
			"  \"memcpy\": {\"size\": %u, \"dirty\": %s, \"buffers\": %llu, "
			"\"seconds\": %.6f, \"bytes_per_s\": %.1f},\n",
			r->opts->size_bytes, boolean(r->opts->dirty),
			(unsigned long long)r->copy->buffer_cnt, r->copy->seconds,
			(double)r->copy->buffer_cnt * r->opts->size_bytes / r->copy->seconds);
	if (r->result) {
		options_object(out, r);
		result_objects(out, r);
	}
	json_error_end(out, r->error);
}
