/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of one point: a back end is started, loaded by this program run anew, and ended.
 * Which points there are and how often they run is decided elsewhere.
 */
#include "figures.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "figures_start.h"

#define NULL_BYTES (UINT64_C(1) << 30)
#define START_NS (10 * NS_PER_S)
#define START_LOOK_MS 2
/* Beyond its runtime: start-up, and a queue of 256 on a slow disk. */
#define LOAD_SPARE_S 40
#define ATTEMPTS 7

__attribute__((format(printf, 2, 3))) static void fail(struct point *p, const char *fmt, ...)
{
	va_list ap;
	int len = snprintf(p->note, sizeof(p->note), "failed: ");

	va_start(ap, fmt);
	vsnprintf(p->note + len, sizeof(p->note) - (size_t)len, fmt, ap);
	va_end(ap);
	p->failed = true;
}

/* A path as a value in somebody's option syntax: what would end the value is escaped. */
static void quote(char *out, size_t size, const char *path, char special, char escape)
{
	size_t len = 0;

	for (; *path && len + 2 < size; path++) {
		if (*path == special)
			out[len++] = escape;
		out[len++] = *path;
	}
	out[len] = '\0';
}

/* CPUs of this point's workers; see figures_plan.c for the overlap. */
static void worker_cpus(const struct figures *f, const struct point *p, int *cpu)
{
	for (unsigned int i = 0; i < p->workers; i++)
		cpu[i] = f->opts.cpu[f->input.load_cnt + i];
	if (p->overlap) {
		memmove(cpu + 1, cpu, (p->workers - 1) * sizeof(*cpu));
		cpu[0] = f->opts.cpu[0];
	}
}

/*
 * pariod leaves the setting behind when it ends, so where the step is shown at all, every point
 * says what it wants. The machine's own value comes back at the end (figures.c).
 */
static const char *affinity_key(const struct figures *f, const struct point *p)
{
	if (f->input.no_affinity)
		return "";
	if (p->affinity)
		return ",rq-affinity=2";
	return f->machine.rq_affinity == 0 ? ",rq-affinity=0" : ",rq-affinity=1";
}

static void pariod_args(struct args *args, const struct figures *f, const struct point *p,
			const char *sock)
{
	int cpu[BENCH_QUEUE_MAX];
	static char path[2 * FIGURES_PATH], cpus[BENCH_QUEUE_MAX * 12], disk[128];

	quote(path, sizeof(path), f->file, ',', ',');
	worker_cpus(f, p, cpu);
	figures_cpu_list(cpus, sizeof(cpus), cpu, p->workers);
	snprintf(disk, sizeof(disk), "d,socket=%s,queues=%u", sock, p->queues);
	args_add(args, "%s", f->daemon);
	args_add(args, "--disk");
	if (p->backend == FIGURES_FILE)
		args_add(args, "%s,read-only=true%s,path=%s", disk, affinity_key(f, p), path);
	else if (p->backend == FIGURES_FLASH)
		args_add(args, "%s,backend=flash,size=64M,channels=%d,read-us=%d", disk,
			 FIGURES_FLASH_CHANNELS, FIGURES_FLASH_READ_US);
	else
		args_add(args, "%s,backend=null,size=1G", disk);
	args_add(args, "--workers");
	args_add(args, "%s", cpus);
	args_add(args, "--poll");
	args_add(args, "%s", figures_poll_name[p->poll]);
	args_add(args, "--log-level");
	args_add(args, "error");
}

static void qsd_args(struct args *args, const struct figures *f, const struct point *p,
		     const char *sock)
{
	static char path[2 * FIGURES_PATH];

	quote(path, sizeof(path), f->file, ',', ',');
	args_add(args, "%s", f->opts.qsd);
	args_add(args, "--blockdev");
	if (p->backend == FIGURES_FILE) {
		args_add(args,
			 "driver=file,node-name=f0,read-only=on,cache.direct=on,aio=io_uring,"
			 "filename=%s",
			 path);
		args_add(args, "--blockdev");
		args_add(args, "driver=raw,node-name=d0,read-only=on,file=f0");
	} else {
		args_add(args, "driver=null-co,node-name=d0,size=%llu,read-zeroes=off",
			 (unsigned long long)NULL_BYTES);
	}
	args_add(args, "--export");
	args_add(args,
		 "type=vhost-user-blk,id=e0,node-name=d0,addr.type=unix,addr.path=%s,"
		 "writable=%s,num-queues=%u",
		 sock, p->backend == FIGURES_FILE ? "off" : "on", p->queues);
}

static void load_args(struct args *args, const struct figures *f, const struct point *p,
		      const char *sock, double runtime_s)
{
	unsigned int threads = p->queues < f->input.load_cnt ? p->queues : f->input.load_cnt;
	static char cpus[BENCH_CPU_MAX * 12];

	figures_cpu_list(cpus, sizeof(cpus), f->opts.cpu, threads);
	args_add(args, "%s", f->self);
	args_add(args, "blk");
	args_add(args, "%s", sock);
	args_add(args, "--rw");
	args_add(args, "randread");
	args_add(args, "--iodepth");
	args_add(args, "%u", p->depth);
	args_add(args, "--queues");
	args_add(args, "%u", p->queues);
	args_add(args, "--notify");
	args_add(args, "%s", p->irq ? "irq" : "poll");
	args_add(args, "--cpus");
	args_add(args, "%s", cpus);
	args_add(args, "--runtime");
	args_add(args, "%.0fms", runtime_s * 1e3);
	args_add(args, "--warmup");
	args_add(args, "%.0fms", f->opts.warmup_s * 1e3);
	args_add(args, "--wait");
	args_add(args, "5");
	args_add(args, "--no-progress");
	args_add(args, "--json");
}

static void fio_args(struct args *args, const struct figures *f, const struct point *p,
		     double runtime_s)
{
	static char path[2 * FIGURES_PATH];

	quote(path, sizeof(path), f->file, ':', '\\');
	args_add(args, "%s", f->opts.fio);
	args_add(args, "--name=t");
	args_add(args, "--thread");
	args_add(args, "--readonly");
	args_add(args, "--rw=randread");
	args_add(args, "--bs=4k");
	args_add(args, "--ioengine=io_uring");
	args_add(args, "--direct=1");
	args_add(args, "--norandommap");
	args_add(args, "--randrepeat=0");
	args_add(args, "--time_based");
	args_add(args, "--lat_percentiles=1");
	args_add(args, "--clat_percentiles=0");
	args_add(args, "--runtime=%.0fms", runtime_s * 1e3);
	args_add(args, "--ramp_time=%.0fms", f->opts.warmup_s * 1e3);
	args_add(args, "--iodepth=%u", p->depth);
	args_add(args, "--filename=%s", path);
	args_add(args, "--output-format=json");
}

/* Waits for the socket of a server. False: the note says why. */
static bool server_wait(const struct figures *f, struct point *p, pid_t *pid, const char *sock,
			const char *err_path)
{
	uint64_t deadline_ns = clock_monotonic_ns() + START_NS;
	char line[128];
	struct stat st;
	int status;

	while (stat(sock, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		if (!child_runs(*pid, &status)) {
			*pid = -1;
			child_first_line(err_path, line, sizeof(line));
			fail(p, "%s ended at once: %s", figures_server_name[p->server],
			     line[0] ? line : "it did not say why");
			return false;
		}
		if (child_interrupted() || clock_monotonic_ns() > deadline_ns) {
			fail(p, "%s made no socket in %s", figures_server_name[p->server], f->tmp);
			return false;
		}
		poll(NULL, 0, START_LOOK_MS);
	}
	return true;
}

/*
 * Runs the load of a server, or fio. A sound report of no request at all means a short run on a
 * machine with other work, in which one side was given no CPU: then again, twice as long.
 */
static void report_take(const struct figures *f, struct point *p, const char *sock)
{
	const int *fio_cpu = &f->opts.cpu[f->input.load_cnt];
	double value[METRIC_MAX_], runtime_s = f->opts.runtime_s;
	char err_path[128], line[128];
	bool good = false, fio = p->server == SERVER_FIO;
	int rc = 0;

	snprintf(err_path, sizeof(err_path), "%s/load.err", f->tmp);
	for (unsigned int i = 0; i < ATTEMPTS && rc == 0 && !good; i++) {
		struct args args = {0};
		char *json = NULL;

		if (fio)
			fio_args(&args, f, p, runtime_s);
		else
			load_args(&args, f, p, sock, runtime_s);
		rc = child_capture(&args, fio_cpu, fio ? 1 : 0,
				   runtime_s + f->opts.warmup_s + LOAD_SPARE_S, err_path, &json);
		good = rc == 0 &&
		       (fio ? report_parse_fio(json, value) : report_parse_blk(json, value));
		args_free(&args);
		free(json);
		runtime_s *= 2;
	}
	if (good) {
		for (unsigned int i = 0; i < METRIC_MAX_; i++)
			p->value[i][p->run_cnt] = value[i];
		p->run_cnt++;
		return;
	}
	child_first_line(err_path, line, sizeof(line));
	fail(p, "%s: %s", fio ? "fio" : "load",
	     line[0]               ? line
	     : rc && rc != -EPROTO ? strerror(-rc)
				   : "no request was done in the time");
}

static void server_run(const struct figures *f, struct point *p)
{
	int cpu = f->opts.cpu[f->input.load_cnt];
	char sock[96], err_path[96];
	struct args args = {0};
	pid_t pid;

	snprintf(sock, sizeof(sock), "%s/disk.sock", f->tmp);
	snprintf(err_path, sizeof(err_path), "%s/server.err", f->tmp);
	(void)unlink(sock);
	if (p->server == SERVER_QSD)
		qsd_args(&args, f, p, sock);
	else
		pariod_args(&args, f, p, sock);
	/* pariod pins its workers itself; its control thread goes where the kernel puts it. */
	pid = child_start(&args, &cpu, p->server == SERVER_QSD ? 1 : 0, -1, err_path);
	args_free(&args);
	if (pid < 0) {
		fail(p, "cannot start %s: %s", figures_server_name[p->server], strerror(-pid));
		return;
	}
	if (server_wait(f, p, &pid, sock, err_path))
		report_take(f, p, sock);
	if (pid > 0)
		child_stop(pid);
}

void point_run(const struct figures *f, struct point *p)
{
	if (p->server == SERVER_FIO)
		report_take(f, p, NULL);
	else
		server_run(f, p);
}
