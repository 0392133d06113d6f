/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes and workers made, threads started, watched and joined, counters summed.
 * What the threads do is in load.c.
 */
#include "netload/engine.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lines.h"

#define WATCH_MS 20
#define QUIET_NS UINT64_C(200000000) /* nothing has come for so long: what is missing is lost */

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

void netload_engine_fail(struct netload_engine *e, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&e->fail_lock);
	if (!e->failed) {
		e->failed = true;
		va_start(ap, fmt);
		vsnprintf(e->error, sizeof(e->error), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&e->fail_lock);
	atomic_store(&e->stop, true);
}

static void lane_init(struct netload_engine *e, unsigned int idx)
{
	const struct netload_opts *o = e->opts;
	struct netload_session *s = e->session;
	unsigned int port = idx % s->port_cnt, pair = idx / s->port_cnt;
	struct netload_lane *l = &e->lane[idx];

	l->port_idx = port;
	l->port = &s->port[port];
	l->rx = l->port->rx[pair];
	l->tx = l->port->tx[pair];
	l->gen = &l->port->gen[pair];
	l->sends = port == 0 || o->back;
	if (pair == 0 && s->port_cnt > 1)
		l->hello_left = o->mac_cnt;
	if (o->rate > 0)
		l->interval_ticks = clock_ns_to_ticks(
			&e->clock, (uint64_t)((double)NS_PER_S * o->pairs / o->rate));
	l->spacing.state = idx;
	l->looks = -1;
	histogram_init(&l->latency_ns);
	histogram_init(&l->late_ns);
}

static int judge_init(struct netload_engine *e)
{
	if (!e->opts->verify)
		return 0;
	if (netload_verify_init(&e->verify, e->opts->flow_cnt) < 0 ||
	    netload_looks_init(&e->looks, e->lane_cnt) < 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < e->lane_cnt; i++) {
		struct netload_lane *l = &e->lane[i];

		if (l->rx)
			l->looks = netload_looks_add(&e->looks, l->rx);
		if (l->rx && l->looks < 0)
			return -ENOMEM;
	}
	return 0;
}

static void workers_init(struct netload_engine *e)
{
	unsigned int next = 0;

	for (unsigned int i = 0; i < e->worker_cnt; i++) {
		struct netload_worker *w = &e->worker[i];
		unsigned int left = e->worker_cnt - i;

		w->engine = e;
		w->cpu = e->opts->cpu_cnt ? e->opts->cpu[i] : -1;
		w->lane = &e->lane[next];
		w->lane_cnt = (e->lane_cnt - next + left - 1) / left;
		next += w->lane_cnt;
	}
}

int netload_engine_init(struct netload_engine *e, struct netload_session *s)
{
	const struct netload_opts *o = s->opts;

	memset(e, 0, sizeof(*e));
	e->session = s;
	e->opts = o;
	pthread_mutex_init(&e->fail_lock, NULL);
	clock_init(&e->clock);
	e->lane_cnt = s->port_cnt * o->pairs;
	e->worker_cnt = o->cpu_cnt ? o->cpu_cnt : 1;
	if (e->worker_cnt > e->lane_cnt)
		e->worker_cnt = e->lane_cnt;
	e->lane = lines_zalloc(e->lane_cnt, sizeof(*e->lane));
	e->worker = lines_zalloc(e->worker_cnt, sizeof(*e->worker));
	if (!e->lane || !e->worker)
		return -ENOMEM;
	for (unsigned int i = 0; i < e->lane_cnt; i++)
		lane_init(e, i);
	if (judge_init(e) < 0)
		return -ENOMEM;
	workers_init(e);
	e->quiet_ticks = clock_ns_to_ticks(&e->clock, QUIET_NS);
	e->timeout_ticks = clock_ns_to_ticks(&e->clock, (uint64_t)(o->timeout_s * NS_PER_S));
	return 0;
}

void netload_engine_fini(struct netload_engine *e)
{
	netload_verify_fini(&e->verify);
	netload_looks_fini(&e->looks);
	free(e->worker);
	free(e->lane);
	pthread_mutex_destroy(&e->fail_lock);
}

static void *worker_main(void *arg)
{
	struct netload_worker *w = arg;

	netload_worker_run(w);
	atomic_fetch_sub(&w->engine->running, 1);
	return NULL;
}

static void threads_start(struct netload_engine *e)
{
	const struct netload_opts *o = e->opts;
	uint64_t now = clock_ticks();

	e->measure_start_ticks =
		now + clock_ns_to_ticks(&e->clock, (uint64_t)(o->warmup_s * NS_PER_S));
	e->measure_end_ticks = e->measure_start_ticks +
			       clock_ns_to_ticks(&e->clock, (uint64_t)(o->runtime_s * NS_PER_S));
	for (unsigned int i = 0; i < e->lane_cnt; i++) {
		struct netload_lane *l = &e->lane[i];

		l->sent_ticks = now;
		/* The pairs of a port one after the other, so that their frames are evenly spaced
		 * too. */
		l->due_ticks = now + l->interval_ticks * (i / e->session->port_cnt) / o->pairs;
	}
	atomic_store(&e->running, e->worker_cnt);
	atomic_store(&e->sending, e->worker_cnt);
	for (unsigned int i = 0; i < e->worker_cnt; i++) {
		struct netload_worker *w = &e->worker[i];
		pthread_attr_t attr;
		cpu_set_t set;
		int rc;

		pthread_attr_init(&attr);
		if (w->cpu >= 0) {
			CPU_ZERO(&set);
			CPU_SET(w->cpu, &set);
			pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
		}
		rc = pthread_create(&w->thread, &attr, worker_main, w);
		pthread_attr_destroy(&attr);
		w->started = rc == 0;
		if (w->started)
			continue;
		netload_engine_fail(e, "cannot start thread %u of %u: %s", i + 1, e->worker_cnt,
				    strerror(rc));
		atomic_fetch_sub(&e->running, 1);
		atomic_fetch_sub(&e->sending, 1);
	}
}

/* The back end says nothing on this socket unless asked: readable means that it has gone. */
static void socket_check(struct netload_engine *e, unsigned int port)
{
	char byte;
	ssize_t n = recv(e->session->port[port].front->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n == 0)
		netload_engine_fail(e, "%s: the back end closed the connection",
				    e->opts->socket[port]);
	else if (n > 0)
		netload_engine_fail(e,
				    "protocol error: %s: the back end sent a message that nobody "
				    "asked for",
				    e->opts->socket[port]);
}

static void look(struct netload_engine *e)
{
	struct netload_session *s = e->session;
	struct pollfd p[4];

	for (unsigned int i = 0; i < s->port_cnt; i++) {
		struct front *f = s->port[i].front;

		p[2 * i] = (struct pollfd){.fd = f->sock, .events = POLLIN};
		p[2 * i + 1] = (struct pollfd){.fd = f->backend_sock, .events = POLLIN};
	}
	if (poll(p, atomic_load(&e->stop) ? 0 : 2 * s->port_cnt, WATCH_MS) <= 0)
		return;
	for (unsigned int i = 0; i < s->port_cnt; i++) {
		struct front *f = s->port[i].front;

		if (p[2 * i].revents)
			socket_check(e, i);
		/* A back end may give up its own channel; if it has gone, the socket says so. */
		if (p[2 * i + 1].revents && front_backend_step(f, 0) < 0) {
			close(f->backend_sock);
			f->backend_sock = -1;
		}
	}
	for (unsigned int i = 0; i < e->lane_cnt; i++)
		if (front_queue_failed(e->lane[i].tx->fq) ||
		    (e->lane[i].rx && front_queue_failed(e->lane[i].rx->fq)))
			netload_engine_fail(e, "%s: the back end signalled an error on a queue",
					    e->opts->socket[e->lane[i].port_idx]);
}

static void result_sum(struct netload_engine *e, struct netload_result *r)
{
	const struct netload_opts *o = e->opts;

	r->from_cnt = o->back ? 2 : 1;
	r->counted = o->socket_cnt == 2 || o->loop;
	for (unsigned int i = 0; i < 2; i++) {
		histogram_init(&r->from[i].latency_ns);
		histogram_init(&r->from[i].late_ns);
	}
	for (unsigned int i = 0; i < e->lane_cnt; i++) {
		const struct netload_lane *l = &e->lane[i];
		struct netload_sums *out = &r->from[l->port_idx];
		struct netload_sums *in = &r->from[o->socket_cnt == 2 ? !l->port_idx : 0];

		out->sent_cnt += l->sent_cnt;
		out->sent_bytes += l->sent_bytes;
		out->skipped_cnt += l->skipped_cnt;
		histogram_merge(&out->late_ns, &l->late_ns);
		in->received_cnt += l->received_cnt;
		in->received_bytes += l->received_bytes;
		in->marked_cnt += l->marked_cnt;
		in->returned_cnt += l->returned_cnt;
		histogram_merge(&in->latency_ns, &l->latency_ns);
		r->kick_cnt += l->kick_cnt;
		r->rx_call_cnt += l->rx_call_cnt;
		r->tx_call_cnt += l->tx_call_cnt;
		r->foreign_cnt += l->foreign_cnt;
	}
	r->seconds = o->runtime_s;
}

void netload_engine_run(struct netload_engine *e, struct netload_result *r)
{
	struct sigaction action = {.sa_handler = on_signal}, old_int, old_term;
	pid_t server = e->session->server_pid;
	uint64_t begin_ns = 0, end_ns = 0;
	bool begun = false, ended = false;

	memset(r, 0, sizeof(*r));
	sigaction(SIGINT, &action, &old_int);
	sigaction(SIGTERM, &action, &old_term);
	threads_start(e);
	while (atomic_load(&e->running)) {
		uint64_t now = clock_ticks();

		if (!begun && now >= e->measure_start_ticks)
			begun = clock_process_cpu_ns(server, &begin_ns);
		if (!ended && now >= e->measure_end_ticks)
			ended = clock_process_cpu_ns(server, &end_ns);
		if (interrupted)
			netload_engine_fail(e, "interrupted");
		look(e);
	}
	for (unsigned int i = 0; i < e->worker_cnt; i++)
		if (e->worker[i].started)
			pthread_join(e->worker[i].thread, NULL);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	result_sum(e, r);
	r->server_cpu_s = begun && ended ? (double)(end_ns - begin_ns) / (double)NS_PER_S : -1;
}
