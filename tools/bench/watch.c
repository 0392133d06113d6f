/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Main thread while the load runs.
 */
#include "watch.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WATCH_MS 20

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

struct sample {
	bool taken, server_known;
	uint64_t wall_ns, server_ns, client_ns;
};

static void sample_take(struct sample *s, const struct engine *e)
{
	pid_t server = e->session->server_pid;

	s->taken = true;
	s->wall_ns = clock_monotonic_ns();
	/* A back end in this very process cannot be told from us. */
	s->server_known = server != getpid() && clock_process_cpu_ns(server, &s->server_ns);
	(void)clock_process_cpu_ns(getpid(), &s->client_ns);
}

static void progress_sum(struct engine *e, uint64_t *ios, uint64_t *bytes)
{
	*ios = 0;
	*bytes = 0;
	for (unsigned int i = 0; i < e->worker_cnt; i++) {
		*ios += atomic_load_explicit(&e->worker[i].progress_ios, memory_order_relaxed);
		*bytes += atomic_load_explicit(&e->worker[i].progress_bytes, memory_order_relaxed);
	}
}

struct progress {
	uint64_t next_ns, last_ns, last_ios, last_bytes;
	bool shown;
};

static void progress_show(struct progress *p, struct engine *e, uint64_t now_ns)
{
	uint64_t ios, bytes;
	double seconds = (double)(now_ns - p->last_ns) / (double)NS_PER_S;

	progress_sum(e, &ios, &bytes);
	fprintf(stderr, "\r%6.0f s  %12.0f IOPS  %9.1f MB/s  %14llu requests ",
		(double)(now_ns - e->start_ns) / (double)NS_PER_S,
		(double)(ios - p->last_ios) / seconds,
		(double)(bytes - p->last_bytes) / seconds / 1e6, (unsigned long long)ios);
	fflush(stderr);
	p->last_ns = now_ns;
	p->next_ns = now_ns + NS_PER_S;
	p->last_ios = ios;
	p->last_bytes = bytes;
	p->shown = true;
}

/* The back end says nothing on this socket unless asked: readable means that it has gone. */
static void socket_check(struct engine *e)
{
	char byte;
	ssize_t n = recv(e->session->front->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	if (n == 0)
		engine_fail(e, "the back end closed the connection");
	else if (n > 0)
		engine_fail(e, "protocol error: the back end sent a message that nobody asked for");
}

static void look(struct engine *e)
{
	struct front *f = e->session->front;
	struct pollfd p[2 + BENCH_QUEUE_MAX];
	unsigned int cnt = 2;

	p[0] = (struct pollfd){.fd = f->sock, .events = POLLIN};
	p[1] = (struct pollfd){.fd = f->backend_sock, .events = POLLIN};
	for (unsigned int i = 0; i < e->session->queue_cnt; i++)
		p[cnt++] = (struct pollfd){.fd = e->session->fq[i]->err_fd, .events = POLLIN};
	if (atomic_load(&e->stop))
		cnt = 0; /* the reason is known: only wait for the workers */
	if (poll(p, cnt, WATCH_MS) <= 0 || cnt == 0)
		return;
	if (p[0].revents)
		socket_check(e);
	/* A back end may give up its own channel; if it has gone, the socket says so. */
	if (p[1].revents && front_backend_step(f, 0) < 0) {
		close(f->backend_sock);
		f->backend_sock = -1;
	}
	for (unsigned int i = 2; i < cnt; i++)
		if (p[i].revents)
			engine_fail(e, "queue %u: the back end signalled an error on its error fd",
				    i - 2);
}

void watch_run(struct watch *w, struct engine *e)
{
	struct sigaction action = {.sa_handler = on_signal}, old_int, old_term;
	struct sample begin = {0}, end = {0};
	struct progress progress = {.next_ns = e->start_ns + NS_PER_S, .last_ns = e->start_ns};
	uint64_t begin_ns = e->start_ns + (uint64_t)(e->opts->warmup_s * NS_PER_S);

	sigaction(SIGINT, &action, &old_int);
	sigaction(SIGTERM, &action, &old_term);
	while (atomic_load(&e->running)) {
		uint64_t now_ns = clock_monotonic_ns();

		if (!begin.taken && now_ns >= begin_ns)
			sample_take(&begin, e);
		if (!end.taken && atomic_load(&e->measuring) == 0)
			sample_take(&end, e);
		if (e->opts->progress && now_ns >= progress.next_ns)
			progress_show(&progress, e, now_ns);
		if (interrupted)
			engine_fail(e, "interrupted");
		look(e);
	}
	if (!end.taken)
		sample_take(&end, e);
	if (progress.shown)
		fprintf(stderr, "\r%79s\r", "");
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	w->server_cpu_s = -1;
	w->config_change_cnt = e->session->front->config_change_cnt;
	if (!begin.taken)
		return;
	w->wall_s = (double)(end.wall_ns - begin.wall_ns) / (double)NS_PER_S;
	w->client_cpu_s = (double)(end.client_ns - begin.client_ns) / (double)NS_PER_S;
	if (begin.server_known && end.server_known)
		w->server_cpu_s = (double)(end.server_ns - begin.server_ns) / (double)NS_PER_S;
}
