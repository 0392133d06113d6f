/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of one point of ports: a daemon with two of them is started, loaded by this program run
 * anew, and ended. Which points there are is decided elsewhere.
 */
#include "figures_net.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "figures_start.h"

#define START_NS (10 * NS_PER_S)
#define START_LOOK_MS 2
#define LOAD_SPARE_S 40
#define ATTEMPTS 7

__attribute__((format(printf, 2, 3))) static void fail(struct netfig_point *p, const char *fmt, ...)
{
	va_list ap;
	int len = snprintf(p->note, sizeof(p->note), "failed: ");

	va_start(ap, fmt);
	vsnprintf(p->note + len, sizeof(p->note) - (size_t)len, fmt, ap);
	va_end(ap);
	p->failed = true;
}

static void port_args(struct args *args, const struct netfig *f, const struct netfig_point *p,
		      const char *name)
{
	char coalesce[96] = "";

	if (p->mode == NETFIG_STATIC)
		snprintf(coalesce, sizeof(coalesce), ",coalesce.packets=%d,coalesce.usecs=%d",
			 NETFIG_STATIC_PACKETS, NETFIG_STATIC_USECS);
	args_add(args, "--port");
	args_add(args, "%s,socket=%s/%s,switch=figures,queue-pairs=%u,coalesce.mode=%s%s%s", name,
		 f->tmp, name, p->queues, netfig_mode_name[p->mode], coalesce,
		 p->rss ? ",steering.mode=rss" : "");
}

static void daemon_args(struct args *args, const struct netfig *f, const struct netfig_point *p)
{
	static char cpus[BENCH_CPU_MAX * 12];

	figures_cpu_list(cpus, sizeof(cpus), f->opts.cpu + f->load_cnt, p->workers);
	args_add(args, "%s", f->daemon);
	port_args(args, f, p, "a");
	port_args(args, f, p, "b");
	args_add(args, "--workers");
	args_add(args, "%s", cpus);
	args_add(args, "--poll");
	args_add(args, "%s", p->irq ? "adaptive" : "always");
	args_add(args, "--log-level");
	args_add(args, "error");
}

static void load_args(struct args *args, const struct netfig *f, const struct netfig_point *p,
		      double runtime_s)
{
	static char cpus[BENCH_CPU_MAX * 12];
	double rate = netfig_rate(f, p);

	figures_cpu_list(cpus, sizeof(cpus), f->opts.cpu, f->load_cnt);
	args_add(args, "%s", f->self);
	args_add(args, "net");
	args_add(args, "%s/a", f->tmp);
	args_add(args, "%s/b", f->tmp);
	args_add(args, "--size");
	args_add(args, "%u", p->size_bytes);
	args_add(args, "--queue-pairs");
	args_add(args, "%u", p->queues);
	args_add(args, "--flows");
	args_add(args, "%d", NETFIG_FLOWS);
	args_add(args, "--notify");
	args_add(args, "%s", p->irq ? "irq" : "poll");
	args_add(args, "--rate");
	if (isfinite(rate))
		args_add(args, "%.0f", rate < 1 ? 1 : rate);
	else
		args_add(args, "max");
	args_add(args, "--latency");
	args_add(args, "--cpus");
	args_add(args, "%s", cpus);
	args_add(args, "--runtime");
	args_add(args, "%.0fms", runtime_s * 1e3);
	args_add(args, "--warmup");
	args_add(args, "%.0fms", f->opts.warmup_s * 1e3);
	args_add(args, "--wait");
	args_add(args, "5");
	args_add(args, "--json");
}

/* Waits for the sockets. False: the note says why. */
static bool daemon_wait(const struct netfig *f, struct netfig_point *p, pid_t *pid,
			const char *err_path)
{
	uint64_t deadline_ns = clock_monotonic_ns() + START_NS;
	char sock[96], line[128];
	struct stat st;
	int status;

	for (const char *name = "ab"; *name; name++) {
		snprintf(sock, sizeof(sock), "%s/%c", f->tmp, *name);
		while (stat(sock, &st) < 0 || !S_ISSOCK(st.st_mode)) {
			if (!child_runs(*pid, &status)) {
				*pid = -1;
				child_first_line(err_path, line, sizeof(line));
				fail(p, "pariod ended at once: %s",
				     line[0] ? line : "it did not say why");
				return false;
			}
			if (child_interrupted() || clock_monotonic_ns() > deadline_ns) {
				fail(p, "pariod made no socket in %s", f->tmp);
				return false;
			}
			poll(NULL, 0, START_LOOK_MS);
		}
	}
	return true;
}

/* As figures_point.c: a run in which nothing came, for want of a CPU, is tried again, longer. */
static void report_take(const struct netfig *f, struct netfig_point *p)
{
	double value[NETFIG_METRIC_MAX_], runtime_s = f->opts.runtime_s;
	char err_path[128], line[128];
	bool good = false;
	int rc = 0;

	snprintf(err_path, sizeof(err_path), "%s/load.err", f->tmp);
	for (unsigned int i = 0; i < ATTEMPTS && rc == 0 && !good; i++) {
		struct args args = {0};
		char *json = NULL;

		load_args(&args, f, p, runtime_s);
		rc = child_capture(&args, NULL, 0, runtime_s + f->opts.warmup_s + LOAD_SPARE_S,
				   err_path, &json);
		good = rc == 0 && netfig_report_parse(json, value);
		args_free(&args);
		free(json);
		runtime_s *= 2;
	}
	if (good) {
		for (unsigned int i = 0; i < NETFIG_METRIC_MAX_; i++)
			p->value[i][p->run_cnt] = value[i];
		p->run_cnt++;
		return;
	}
	child_first_line(err_path, line, sizeof(line));
	fail(p, "load: %s",
	     line[0]               ? line
	     : rc && rc != -EPROTO ? strerror(-rc)
				   : "no frame came in the time");
}

void netfig_point_run(const struct netfig *f, struct netfig_point *p)
{
	char err_path[96], sock[96];
	struct args args = {0};
	pid_t pid;

	if (p->share && !isfinite(netfig_rate(f, p))) {
		fail(p, "the highest rate, of which this is a share, is not known");
		return;
	}
	snprintf(err_path, sizeof(err_path), "%s/server.err", f->tmp);
	for (const char *name = "ab"; *name; name++) {
		snprintf(sock, sizeof(sock), "%s/%c", f->tmp, *name);
		(void)unlink(sock);
	}
	daemon_args(&args, f, p);
	pid = child_start(&args, NULL, 0, -1, err_path);
	args_free(&args);
	if (pid < 0) {
		fail(p, "cannot start pariod: %s", strerror(-pid));
		return;
	}
	if (daemon_wait(f, p, &pid, err_path))
		report_take(f, p);
	if (pid > 0)
		child_stop(pid);
}
